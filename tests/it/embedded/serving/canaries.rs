//! Personal data in every place that somebody can put some: in none of it is it said again by the log, whatever its level, by a figure,
//! or by an error.

use insight_hub::engine::log::{
    access::{Durability, NewRecord},
    commit_log::Policy,
};

use super::*;
use crate::harness::http::send;

/// What every canary has in it, whatever becomes of its case; phones have digits of their own.
const CANARY: &str = "canary";
const PHONE: &str = "305550199";

/// Where something of a canary is said again.
fn sings(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let found = lower.find(CANARY).or_else(|| lower.find(PHONE))?;
    let from = (0..=found.saturating_sub(150)).rev().find(|at| lower.is_char_boundary(*at)).unwrap_or_default();
    let to = (found + 60..lower.len()).find(|at| lower.is_char_boundary(*at)).unwrap_or(lower.len());
    Some(lower[from..to].to_owned())
}

/// Touchpoints with one in each of their fields, and the same that are wrong in each.
fn touchpoints() -> Vec<Value> {
    let person = json!({
        "email": "canary-email@example.org", "phone": "+49 30 555 0199", "customer_id": "canary-customer",
        "loyalty": "canary-loyalty", "device": "canary-device", "cookie": "canary-cookie", "anonymous": "canary-anonymous",
        "order": "canary-order", "case": "canary-case", "contract": "canary-contract",
    });
    let mut whole = event("canary-id", 3, "order_placed", person);
    let more = json!({
        "label": "canary label", "subject": "canary subject", "product": "canary product", "region": "canary region",
        "segment": "canary segment", "campaign": "canary campaign", "content": "canary content", "account": "canary account",
        "properties": { "name": "Canary Ann", "canary-key": "a value" },
        "referrer": { "type": "email", "value": "canary-referrer@example.org" },
        "amount": { "minor": 100, "currency": "EUR" }, "unheard_of": "canary unheard",
    });
    for (name, value) in more.as_object().unwrap() {
        whole[name] = value.clone();
    }
    let mut all = vec![whole.clone()];
    let wrong = [
        // A word that nobody knows is shown; one that is an address is not.
        ("kind", json!("canary-kind@example.org")),
        ("occurred_at", json!("canary-yesterday")),
        ("occurred_at", json!({ "canary": 1 })),
        ("identifiers", json!("canary-identifier")),
        ("identifiers", json!({ "email": "null", "canary-type": "x" })),
        ("identifiers", json!({ "email": { "canary": "x" } })),
        ("amount", json!({ "minor": "canary-amount", "currency": "EUR" })),
        ("amount", json!({ "minor": 1, "currency": "canary-currency" })),
        ("cost", json!("canary-cost")),
        ("score", json!({ "scale": "canary-scale", "value": 3 })),
        ("score", json!({ "scale": "nps", "value": "canary-score" })),
        ("channel", json!({ "canary": "channel" })),
        ("initiator", json!("canary-initiator")),
        ("visibility", json!("canary-visibility")),
        ("sentiment", json!("canary-sentiment")),
        ("effort", json!("canary-effort")),
        ("promised_at", json!("canary-promise")),
        ("referrer", json!({ "type": "canary-type", "value": "canary" })),
        ("properties", json!("canary-properties")),
        ("properties", json!({ "canary": { "deep": "canary" } })),
        ("id", json!({ "canary": "id" })),
        ("id", json!("canary".repeat(30))),
    ];
    for (index, (name, value)) in wrong.into_iter().enumerate() {
        let mut touchpoint = whole.clone();
        touchpoint["id"] = json!(format!("canary-{index}"));
        touchpoint[name] = value;
        all.push(touchpoint);
    }
    all
}

#[test]
fn personal_data_is_in_no_log_no_figure_and_no_error_wherever_somebody_puts_it() {
    let settings = ["serve.requests_per_second=100000", "log.level=trace", "identity.phone_region=DE"];
    let mut desk = Desk::open("canaries", &settings);
    let sent = touchpoints();
    let access = desk.house.access();
    access.create_topic("shop.events", 2, Policy::Keep).unwrap();
    let mut values: Vec<Vec<u8>> = sent.iter().map(|value| value.to_string().into_bytes()).collect();
    values.extend([
        b"{\"canary".to_vec(),
        b"canary,canary@example.org".to_vec(),
        b"\xff\xfecanary".to_vec(),
        b"[\"canary\"]".to_vec(),
    ]);
    for value in &values {
        let record = NewRecord {
            partition: Some(0),
            timestamp_ms: DAY_MS,
            key: Some(b"canary-record-key"),
            value: Some(value),
            headers: &[("canary-header", Some(&b"canary-header-value"[..]))],
        };
        access.append("shop.events", &[record], Durability::AsConfigured).unwrap();
    }
    drop(access);
    let role = |role: &str| desk.token(role, &[]).0;
    let [customers, metrics, review, erase, ingest, operate] =
        ["read:customers", "read:metrics", "review", "erase", "ingest:shop", "operate"].map(role);
    let by = |token: &'static str| ("authorization", token);
    let leak = |token: String| -> &'static str { token.leak() };
    let (customers, metrics, review, erase) = (leak(customers), leak(metrics), leak(review), leak(erase));
    let (ingest, operate) = (leak(ingest), leak(operate));
    desk.becomes("/api/v1/customers/email:canary-email@example.org", &[by(customers)], &|it| it.status == 200);
    desk.becomes("/api/v1/dead-letters?limit=1000", &[by(operate)], &|it| it.items().len() >= 15);
    let whole = desk.ask("/api/v1/dead-letters?limit=1000", &[by(customers)]);
    assert!(sings(&whole.body).is_some(), "they are there");
    let masked = desk.ask("/api/v1/dead-letters?limit=1000", &[by(operate)]).items();
    // An id is what the department called it, and without it nobody finds what was rejected.
    for letter in &masked {
        let said = format!("{} {} {} {}", letter["reason"], letter["field"], letter["message"], letter["value"]);
        assert_eq!(sings(&said), None, "{letter}");
    }

    // In addresses and headers.
    let long = "canary".repeat(200);
    let mut answers: Vec<(String, Answer)> = Vec::new();
    let mut get = |path: &str, headers: &[(&str, &str)]| {
        let answer = desk.try_ask("GET", path, headers).unwrap_or_else(|| panic!("no answer to {path}"));
        answers.push((path.to_owned(), answer));
    };
    for path in [
        "/api/v1/customers/email:canary@example.org",
        "/api/v1/customers/phone:+49305550199",
        "/api/v1/customers/canary:canary",
        "/api/v1/customers/canary",
        "/api/v1/customers/email:canary@example.org/timeline?cursor=canary",
        "/api/v1/customers/email:canary@example.org/identity",
        "/api/v1/alerts?person=canary&owner=canary",
        "/api/v1/alerts?canary=canary",
        "/api/v1/dead-letters/canary%7C1%7C1",
        "/api/v1/dead-letters?spoke=canary&limit=canary",
        "/api/v1/identity/conflicts?cursor=canary",
        "/api/v1/feeds/canary/events",
        "/api/v1/metrics/canary",
        "/api/v1/metrics/orders/series?window=canary",
        "/api/v1/metrics/orders/series?window=day&dimension=canary&from=canary",
        "/api/v1/metrics/orders/roll-up?window=day&currency=canary",
        "/api/v1/spokes/canary",
        "/api/v1/erasures/canary",
        "/api/v1/access-requests/canary",
        "/api/v1/canary?canary=canary",
        "/canary",
        "/customers/canary",
        "/metrics?metric=canary&window=canary",
        "/spokes?spoke=canary",
        &format!("/api/v1/customers/email:{long}@example.org"),
    ] {
        for token in [customers, metrics, review, erase, operate] {
            get(path, &[by(token)]);
        }
    }
    for (name, value) in [
        ("user-agent", "canary"),
        ("referer", "http://canary.example/canary@example.org"),
        ("cookie", "insight_session=canary; canary=canary@example.org"),
        ("x-forwarded-for", "canary"),
        ("x-canary", "canary"),
        ("host", "canary.example"),
        ("origin", "http://canary.example"),
        ("accept", "canary/canary"),
        ("if-none-match", "\"canary\""),
        ("last-event-id", "canary"),
        ("traceparent", "canary"),
    ] {
        get("/api/v1/metrics/unheard_of", &[by(metrics), (name, value)]);
        get("/api/v1/feeds/canary/events", &[by(customers), (name, value)]);
    }
    for value in
        ["Bearer canary", "Basic Y2FuYXJ5OmNhbmFyeQ==", "canary", "Bearer ihub_canary_canary", "Bearer a.canary.b"]
    {
        get("/api/v1/metrics", &[("authorization", value)]);
    }

    // In bodies, and in what becomes a command.
    let json_type = ("content-type", "application/json");
    let mut post = |path: &str, headers: &[(&str, &str)], body: &str| {
        let answer = send(desk.port, "POST", path, headers, body.as_bytes());
        answers.push((format!("POST {path} {body}"), answer.unwrap_or_else(|| panic!("no answer to {path}"))));
    };
    for body in [
        r#"{"canary": "canary"}"#,
        r#"{"decision": "canary"}"#,
        r#"{"decision": "link", "identifiers": "canary"}"#,
        r#"{"decision": "link", "identifiers": ["canary"]}"#,
        r#"{"decision": "link", "identifiers": ["canary:canary", "email:canary@example.org"]}"#,
        r#"{"decision": "link", "identifiers": ["email:canary@example.org"]}"#,
        r#"{"decision": "undo", "command": "canary canary"}"#,
        r#"{"decision": "never_link", "identifiers": ["email:canary@example.org", "phone:+49305550199"], "id": "canary canary"}"#,
        r#"{"decision": "never_link", "identifiers": ["email:canary@example.org", "phone:+49305550199"], "id": "canary-command"}"#,
        r#"{"decision": "link", "identifiers": ["email:canary@example.org", "email:canary2@example.org"]}"#,
        "canary",
        "{\"canary",
    ] {
        post("/api/v1/identity/decisions", &[by(review), json_type], body);
        post("/api/v1/alerts/00000000000000000000000000000000/acknowledgement", &[by(review), json_type], body);
        post("/api/v1/erasures", &[by(erase), json_type], body);
        post("/api/v1/access-requests", &[by(erase), json_type], body);
    }
    for identifier in ["canary", "email:canary@example.org", "canary:x", "phone:+49305550199", "email:canary"] {
        let body = json!({ "identifier": identifier }).to_string();
        post(
            "/api/v1/erasures",
            &[by(erase), json_type],
            &json!({"identifier": identifier, "dry_run": true}).to_string(),
        );
        post("/api/v1/access-requests", &[by(erase), json_type], &body);
    }
    post("/api/v1/erasures", &[by(erase), json_type], r#"{"identifier": "email:canary-email@example.org"}"#);
    post("/api/v1/erasures", &[by(erase), ("content-type", "canary/canary")], "canary");
    let path = "/api/v1/spokes/shop/touchpoints";
    for touchpoint in &sent[1..] {
        post(path, &[by(ingest), json_type], &json!([touchpoint]).to_string());
    }
    for body in ["canary", "[\"canary\"]", "{\"canary\"", "[{\"canary\": 1}, \"canary\"]"] {
        post(path, &[by(ingest), json_type], body);
        post(path, &[by(ingest), ("content-type", "application/x-ndjson")], body);
    }
    post(path, &[by(ingest), ("content-type", "canary/canary")], "[]");
    post(path, &[by(ingest), json_type, ("content-encoding", "canary")], "[]");
    post("/api/v1/spokes/canary/touchpoints", &[by(ingest), json_type], "[]");
    let form = ("content-type", "application/x-www-form-urlencoded");
    post("/login", &[form], "token=canary&csrf=canary");
    post("/customers", &[by(customers), form], "customer=canary%40example.org&csrf=canary");
    post("/spokes/try", &[by(operate), form], "mapping=canary&sample=canary&csrf=canary");
    assert!(answers.len() > 200, "{} of them", answers.len());

    let mut errors = 0;
    for (request, answer) in &answers {
        // A login leads back to where somebody wanted to go, and that is theirs.
        if answer.status >= 400 || request.contains("/touchpoints") {
            errors += 1;
            let said = format!("{:?} {}", answer.headers, answer.body);
            assert_eq!(sings(&said), None, "{request}: {}", answer.status);
        }
    }
    assert!(errors > 150, "{errors} of {}", answers.len());
    assert_eq!(sings(&desk.house.metrics()), None, "a figure");
    // Everything was taken in, also the erasure.
    desk.becomes("/api/v1/customers/email:canary-email@example.org", &[by(customers)], &|it| it.status == 404);
    let log = desk.house.log();
    assert!(log.contains("TRACE"), "it says everything");
    assert_eq!(sings(&log), None, "the log");
    let audit = desk.house.succeed(&["export", "audit", "-o", "jsonl"]);
    assert!(audit.lines().count() > 5, "{audit}");
    assert_eq!(sings(&audit), None, "the audit");
}
