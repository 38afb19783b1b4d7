//! Every operation of the API, and who may ask for it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::http::send;

/// Each operation, with something to put into its path and query, and the roles of which one is enough; none: everybody.
pub const OPERATIONS: &[(&str, &str, &[&str])] = &[
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
    // Of feeds that are about persons read:customers; the test of streams has those.
    ("/api/v1/feeds/{feed}/events", "", &["read:customers", "read:metrics"]),
    ("/api/v1/erasures/{erasure}", "", &["erase"]),
    ("/api/v1/access-requests/{request}", "", &["erase"]),
    ("/api/v1/spokes", "/api/v1/spokes", &["read:metrics", "operate"]),
    ("/api/v1/spokes/{spoke}", "/api/v1/spokes/shop", &["read:metrics", "operate"]),
];

/// Each operation that writes: its path, the path that is asked for, what is sent, the status of what is taken, and the roles of
/// which one is enough.
pub const WRITES: &[(&str, &str, &str, u16, &[&str])] = &[
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
pub fn roles_of<'d>(described: &'d Value, path: &str, method: &str) -> BTreeSet<&'d str> {
    described["paths"][path][method]["security"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|way| way["token"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect()
}

/// Each of [`WRITES`] by each token (role, header, id), by tokens that are none and by other methods.
pub fn check_writes(port: u16, described: &Value, tokens: &[(&str, String, String)], revoked: &str) {
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
            send(port, "POST", asked, &headers, body.as_bytes()).expect("an answer")
        };
        for (role, token, _) in tokens {
            let answer = post(Some(token));
            let allowed = roles.contains(role);
            assert_eq!(answer.status, if allowed { *taken } else { 403 }, "{path} with {role}: {}", answer.body);
            if !allowed {
                assert_eq!(answer.problem(), "forbidden");
            }
        }
        for wrong in [None, Some(revoked), Some("Bearer x"), Some("Basic eDp5")] {
            let answer = post(wrong);
            assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"), "{path} with {wrong:?}");
        }
        for method in ["PUT", "DELETE", "PATCH"] {
            let headers = [("authorization", tokens[0].1.as_str()), ("content-type", "application/json")];
            let answer = send(port, method, asked, &headers, body.as_bytes()).expect("an answer");
            assert_eq!((answer.status, answer.problem().as_str()), (405, "method-not-allowed"), "{method} {path}");
        }
    }
}
