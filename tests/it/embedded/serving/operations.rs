//! Every operation of the API, and who may ask for it.

use std::collections::BTreeSet;

use insight_hub::serve::http::openapi;
use serde_json::Value;

use super::{DAY_MS, Desk, ROLES, credentials::Login, event, json, orders};
use crate::harness::http::send;

/// The feeds, and the role that each needs.
const FEEDS: [(&str, &str); 17] = [
    ("customers", "read:customers"),
    ("touchpoints", "read:customers"),
    ("identities", "read:customers"),
    ("identity-journal", "read:customers"),
    ("alerts", "read:customers"),
    ("rejected", "read:customers"),
    ("audit", "read:customers"),
    ("metrics", "read:metrics"),
    ("journeys", "read:metrics"),
    ("attribution", "read:metrics"),
    ("drivers", "read:metrics"),
    ("priorities", "read:metrics"),
    ("changes", "read:metrics"),
    ("balance", "read:metrics"),
    ("scorecards", "read:metrics"),
    ("catalogue", "read:metrics"),
    ("spokes", "read:metrics"),
];

/// Operations that show personal data, or do something with it, by their name, and the roles that do so with them.
const NOTED: [(&str, &[&str]); 12] = [
    ("get_customer", &["read:customers"]),
    ("get_customer_timeline", &["read:customers"]),
    ("get_customer_identity", &["read:customers"]),
    ("list_identity_conflicts", &["read:customers", "review"]),
    ("list_alerts", &["read:customers"]),
    ("list_dead_letters", &["read:customers"]),
    ("get_dead_letter", &["read:customers"]),
    ("watch_feed", &[]),
    ("decide_identity", &["review"]),
    ("erase_person", &["erase"]),
    ("request_access", &["erase"]),
    ("get_access_request", &["erase"]),
];

/// Each operation, with something to put into its path and query, and the roles of which one is enough; none: everybody.
const OPERATIONS: &[(&str, &str, &[&str])] = &[
    ("/api/v1", "/api/v1", &[]),
    ("/api/v1/openapi.json", "/api/v1/openapi.json", &[]),
    ("/api/v1/metrics", "/api/v1/metrics", &["read:metrics"]),
    ("/api/v1/metrics/{metric}", "/api/v1/metrics/orders", &["read:metrics"]),
    ("/api/v1/metrics/{metric}/series", "/api/v1/metrics/orders/series?window=day", &["read:metrics"]),
    ("/api/v1/metrics/{metric}/roll-up", "/api/v1/metrics/orders/roll-up?window=day", &["read:metrics"]),
    ("/api/v1/journeys", "/api/v1/journeys", &["read:metrics"]),
    ("/api/v1/attribution", "/api/v1/attribution", &["read:metrics"]),
    ("/api/v1/drivers", "/api/v1/drivers", &["read:metrics"]),
    ("/api/v1/priorities", "/api/v1/priorities", &["read:metrics"]),
    ("/api/v1/changes", "/api/v1/changes", &["read:metrics"]),
    ("/api/v1/balance", "/api/v1/balance", &["read:metrics"]),
    ("/api/v1/scorecards", "/api/v1/scorecards", &["read:metrics"]),
    ("/api/v1/customers/{customer}", "/api/v1/customers/email:ann1@example.org", &["read:customers"]),
    ("/api/v1/customers/{customer}/timeline", "/api/v1/customers/email:ann1@example.org/timeline", &["read:customers"]),
    ("/api/v1/customers/{customer}/identity", "/api/v1/customers/email:ann1@example.org/identity", &["read:customers"]),
    ("/api/v1/identity/conflicts", "/api/v1/identity/conflicts", &["read:customers", "review"]),
    ("/api/v1/alerts", "/api/v1/alerts", &["read:customers", "read:metrics"]),
    ("/api/v1/dead-letters", "/api/v1/dead-letters", &["read:customers", "operate"]),
    ("/api/v1/dead-letters/{position}", "/api/v1/dead-letters/shop.events%7C1%7C1", &["read:customers", "operate"]),
    // Of feeds that are about persons read:customers: `FEEDS` has each.
    ("/api/v1/feeds/{feed}/events", "", &["read:customers", "read:metrics"]),
    // There is none: whoever may is told so.
    ("/api/v1/erasures/{erasure}", "/api/v1/erasures/00000000000000000000000000000000", &["erase"]),
    ("/api/v1/access-requests/{request}", "/api/v1/access-requests/00000000000000000000000000000000", &["erase"]),
    ("/api/v1/spokes", "/api/v1/spokes", &["read:metrics", "operate"]),
    ("/api/v1/spokes/{spoke}", "/api/v1/spokes/shop", &["read:metrics", "operate"]),
];

/// Each operation that writes: its path, the path that is asked for, what is sent, the status of what is taken, and the roles of
/// which one is enough.
const WRITES: &[(&str, &str, &str, u16, &[&str])] = &[
    (
        "/api/v1/spokes/{spoke}/touchpoints",
        "/api/v1/spokes/shop/touchpoints",
        r#"[{"id":"w","kind":"page_viewed","occurred_at":1773964800000,"identifiers":{"cookie":"w"}}]"#,
        202,
        &["ingest:shop"],
    ),
    (
        "/api/v1/identity/decisions",
        "/api/v1/identity/decisions",
        r#"{"decision":"never_link","identifiers":["cookie:w","cookie:x"],"id":"of-the-test"}"#,
        202,
        &["review"],
    ),
    // There is none: whoever may is told so.
    (
        "/api/v1/alerts/{alert}/acknowledgement",
        "/api/v1/alerts/00000000000000000000000000000000/acknowledgement",
        "{}",
        404,
        &["review"],
    ),
    (
        "/api/v1/priorities/{priority}/acknowledgement",
        "/api/v1/priorities/00000000000000000000000000000000/acknowledgement",
        "{}",
        404,
        &["review"],
    ),
    (
        "/api/v1/erasures",
        "/api/v1/erasures",
        r#"{"identifier":"email:ann1@example.org","dry_run":true}"#,
        200,
        &["erase"],
    ),
    (
        "/api/v1/access-requests",
        "/api/v1/access-requests",
        r#"{"identifier":"email:ann1@example.org"}"#,
        202,
        &["erase"],
    ),
];

/// The roles that the description names for an operation.
fn roles_of<'d>(described: &'d Value, path: &str, method: &str) -> BTreeSet<&'d str> {
    described["paths"][path][method]["security"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|way| way["token"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect()
}

/// The status for whoever may.
fn taken(asked: &str) -> u16 {
    if asked.contains("/00000000") { 404 } else { 200 }
}

/// Each feed by each token. An id that is none is told to those who may watch, so that no stream is left open.
fn check_feeds(desk: &Desk, tokens: &[(&str, String, String)], wrong: &[Option<String>]) {
    for (feed, needed) in FEEDS {
        let path = format!("/api/v1/feeds/{feed}/events");
        for (role, token, _) in tokens {
            let answer = desk.ask(&path, &[("authorization", token), ("last-event-id", "yesterday")]);
            let expected = if *role == needed { (400, "invalid-cursor") } else { (403, "forbidden") };
            assert_eq!((answer.status, answer.problem().as_str()), expected, "{feed} with {role}");
        }
        for wrong in wrong {
            let headers: Vec<(&str, &str)> = wrong.iter().map(|token| ("authorization", token.as_str())).collect();
            assert_eq!(desk.ask(&path, &headers).status, 401, "{feed} with {wrong:?}");
        }
    }
}

/// Each of [`WRITES`] by each token (role, header, id), by tokens that are none and by other methods.
fn check_writes(desk: &Desk, described: &Value, tokens: &[(&str, String, String)], wrong: &[Option<String>]) {
    for (path, asked, body, taken, roles) in WRITES {
        let as_described: BTreeSet<&str> = roles.iter().map(|role| role.strip_suffix("shop").unwrap_or(role)).collect();
        let said: BTreeSet<&str> = roles_of(described, path, "post")
            .into_iter()
            .map(|role| role.strip_suffix("{spoke}").unwrap_or(role))
            .collect();
        assert_eq!(said, as_described, "{path}: the description says other roles");
        let post = |token: Option<&str>| {
            let json = [("content-type", "application/json")];
            let headers: Vec<(&str, &str)> =
                json.into_iter().chain(token.map(|token| ("authorization", token))).collect();
            send(desk.port, "POST", asked, &headers, body.as_bytes()).expect("an answer")
        };
        for (role, token, _) in tokens {
            let answer = post(Some(token));
            let allowed = roles.contains(role);
            assert_eq!(answer.status, if allowed { *taken } else { 403 }, "{path} with {role}: {}", answer.body);
            if !allowed {
                assert_eq!(answer.problem(), "forbidden");
            } else if *path == "/api/v1/access-requests" {
                let by = [("authorization", token.as_str())];
                let gathered = desk.becomes(&answer.headers["location"], &by, &|it| it.json()["status"] != "running");
                assert_eq!(gathered.json()["status"], "done", "{}", gathered.body);
            }
        }
        for wrong in wrong {
            let answer = post(wrong.as_deref());
            assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"), "{path} with {wrong:?}");
        }
        for method in ["PUT", "DELETE", "PATCH"] {
            let headers = [("authorization", tokens[0].1.as_str()), ("content-type", "application/json")];
            let answer = send(desk.port, method, asked, &headers, body.as_bytes()).expect("an answer");
            assert_eq!((answer.status, answer.problem().as_str()), (405, "method-not-allowed"), "{method} {path}");
        }
    }
}

/// Who saw or did what is noted, of each who may and of nobody else; and nothing of what was seen.
fn check_audit(desk: &Desk, tokens: &[(&str, String, String)]) {
    let audit = desk.feed("audit");
    for (operation, roles) in NOTED {
        for (role, _, actor) in tokens {
            let noted =
                audit.iter().filter(|entry| entry["operation"] == operation && entry["actor"] == actor.as_str());
            assert_eq!(noted.count() > 0, roles.contains(role), "{operation} by {role}: {audit:?}");
        }
    }
    let known: BTreeSet<&str> = NOTED.iter().map(|(operation, _)| *operation).collect();
    for entry in &audit {
        assert!(
            known.contains(entry["operation"].as_str().unwrap()),
            "an operation that the test does not know: {entry}"
        );
    }
    assert!(!serde_json::json!(audit).to_string().contains("ann1"), "{audit:?}");
}

#[test]
fn every_operation_is_for_its_roles_and_for_nobody_else() {
    let login = Login::new("access-login");
    let mut settings = login.settings();
    settings.push("serve.requests_per_second=100000");
    let mut desk = Desk::open("access-to-the-api", &settings);
    let mut events = orders(1..4);
    events.push(event("bad", 4, "juggled", json!({ "email": "ann1@example.org" })));
    desk.house.append(DAY_MS, &events);
    let described = openapi();
    assert_eq!(desk.ask("/api/v1/openapi.json", &[]).json(), described, "what is served is what the code says");
    let mut operations = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            assert!(matches!(method.as_str(), "get" | "post"), "{path}: the test knows no {method}");
            operations.insert((method.as_str(), path.as_str()));
        }
    }
    let reads = OPERATIONS.iter().map(|(path, _, _)| ("get", *path));
    let known: BTreeSet<(&str, &str)> = reads.chain(WRITES.iter().map(|(path, ..)| ("post", *path))).collect();
    assert_eq!(operations, known, "an operation that is not in the tables of this test");

    // Each role by a token of the hub's own, and by one of the company's login.
    let tokens: Vec<(&str, String, String)> = ROLES
        .iter()
        .flat_map(|role| [(*role, desk.token(role, &[])), (*role, login.token(role))])
        .map(|(role, (token, id))| (role, token, id))
        .collect();
    let of = |role: &str| tokens.iter().find(|(known, _, _)| *known == role).map(|(_, token, _)| token.as_str());
    let ends = |asked: &str| !asked.is_empty();
    for (_, asked, roles) in OPERATIONS.iter().filter(|(_, asked, roles)| ends(asked) && !roles.is_empty()) {
        desk.becomes(asked, &[("authorization", of(roles[0]).unwrap())], &|answer| answer.status == taken(asked));
    }
    let (revoked, id) = desk.token("read:metrics", &[]);
    desk.house.succeed(&["token", "revoke", &id]);
    let mut wrong: Vec<Option<String>> = vec![None, Some(revoked), Some("Bearer x".into()), Some("Basic eDp5".into())];
    wrong.extend(login.ended().map(Some));
    for (path, asked, roles) in OPERATIONS {
        let expected: BTreeSet<&str> = roles.iter().copied().collect();
        assert_eq!(roles_of(&described, path, "get"), expected, "{path}: the description says other roles");
        if !ends(asked) {
            continue;
        }
        for (role, token, _) in &tokens {
            let answer = desk.ask(asked, &[("authorization", token)]);
            let allowed = roles.is_empty() || roles.contains(role);
            assert_eq!(answer.status, if allowed { taken(asked) } else { 403 }, "{path} with {role}: {}", answer.body);
            if !allowed {
                assert_eq!(answer.problem(), "forbidden");
            }
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
            assert!(answer.headers["content-security-policy"].starts_with("default-src 'none'"));
        }
        for wrong in &wrong {
            let headers: Vec<(&str, &str)> = wrong.iter().map(|token| ("authorization", token.as_str())).collect();
            let answer = desk.ask(asked, &headers);
            assert_eq!(answer.status, if roles.is_empty() { 200 } else { 401 }, "{path} with {wrong:?}");
            if !roles.is_empty() {
                assert_eq!(
                    (answer.problem().as_str(), answer.headers["www-authenticate"].as_str()),
                    ("unauthenticated", "Bearer")
                );
            }
        }
    }

    check_feeds(&desk, &tokens, &wrong);
    check_writes(&desk, &described, &tokens, &wrong);
    check_audit(&desk, &tokens);
    let (other, _) = desk.token("ingest:support", &[]);
    for path in
        ["/api/v1/spokes/shop/touchpoints", "/api/v1/spokes/SHOP/touchpoints", "/api/v1/spokes/shop%2f/touchpoints"]
    {
        let answer =
            send(desk.port, "POST", path, &[("authorization", &other), ("content-type", "application/json")], b"[]");
        let answer = answer.expect("an answer");
        assert!(matches!(answer.status, 403 | 404), "a department's token writes another's: {path}: {}", answer.body);
    }

    let (_, metrics, id) = &tokens[0];
    let by = [("authorization", metrics.as_str())];
    for (path, status, word) in [
        ("/api/v1/metrics/unheard_of", 404, "not-found"),
        ("/api/v1/metrics/unheard_of/series?window=day", 404, "not-found"),
        ("/api/v1/spokes/unheard_of", 404, "not-found"),
        ("/api/v1/nothing", 404, "not-found"),
        ("/api/v1/customers/email:ann1@example.org", 403, "forbidden"),
        ("/nothing", 404, "not-found"),
        ("/api/v1/metrics/orders/series", 400, "invalid-parameter"),
        ("/api/v1/metrics/orders/series?window=year", 400, "invalid-parameter"),
        ("/api/v1/metrics/orders/series?window=day&colour=red", 400, "invalid-parameter"),
        ("/api/v1/metrics/orders/series?window=day&from=yesterday", 400, "invalid-parameter"),
        ("/api/v1/metrics?limit=0", 400, "invalid-parameter"),
        ("/api/v1/metrics?limit=1001", 400, "invalid-parameter"),
        ("/api/v1/metrics?cursor=AAAA", 400, "invalid-cursor"),
        ("/api/v1/metrics/%FF", 400, "invalid-parameter"),
    ] {
        let answer = desk.ask(path, &by);
        assert_eq!((answer.status, answer.problem().as_str()), (status, word), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = desk.try_ask(method, "/api/v1/metrics", &by).unwrap();
        assert_eq!((answer.status, answer.problem().as_str()), (405, "method-not-allowed"), "{method}");
    }
    // The page is for people, without a script.
    let page = desk.ask("/api/v1", &[]);
    assert!(
        page.headers["content-type"].starts_with("text/html") && !page.body.contains("<script"),
        "{:?}",
        page.headers
    );
    for path in OPERATIONS.iter().map(|(path, ..)| path).chain(WRITES.iter().map(|(path, ..)| path)) {
        assert!(page.body.contains(path), "the page does not say {path}");
    }
    assert!(page.body.contains("<code>application/x-ndjson</code>"), "it says what is sent");
    // Ends with the next request.
    let listed = desk.house.succeed(&["token", "list"]);
    assert!(listed.contains(id.as_str()) && !listed.contains(&metrics[20..]), "{listed}");
    desk.house.succeed(&["token", "revoke", id]);
    assert_eq!(desk.ask("/api/v1/metrics", &by).status, 401);
}
