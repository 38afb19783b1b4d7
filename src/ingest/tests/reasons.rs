//! Every rejection reason that can be raised, raised; and what their messages may not hold.

use super::*;

/// An operations event with one part replaced.
fn event(replace: &str, by: &str) -> String {
    let event = r#"{"id":"o-1","kind":"order_delivered","occurred_at":"2026-01-31T09:00:00Z","identifiers":{"customer_id":"SECRET-1"},"region":"SECRET-2"}"#;
    assert!(event.contains(replace), "{replace} is in the event");
    event.replace(replace, by)
}

fn long(length: usize) -> String {
    format!("\"{}\"", "S".repeat(length))
}

#[track_caller]
fn check_rejected(payload: &str, reason: Reason, field: &str) {
    let spoke = spoke(OPERATIONS).expect("an example spoke file");
    let rejection = rejection(&spoke, Some(payload.as_bytes())).expect("a rejection");
    assert_eq!((rejection.reason, rejection.field.as_str()), (reason, field), "{}", rejection.message);
    assert!(rejection.message.ends_with('.'), "no sentence: {}", rejection.message);
    assert!(!rejection.message.contains("SECRET"), "a payload's value: {}", rejection.message);
}

#[test]
fn what_is_no_json_object_is_undecodable() {
    for payload in [
        "",
        "{",
        "SECRET",
        "\u{feff}{}",
        "[]",
        "7",
        "null",
        "\"x\"",
        "{} {}",
        r#"{"id":"SECRET","id":"x"}"#.replace("{\"id\":\"SECRET\"", "{\"x\":\"SECRET\" \"id\":1").as_str(),
    ] {
        check_rejected(payload, Reason::Undecodable, "");
    }
    check_rejected(&event("\"o-1\"", "\"o-1\",\"id\":\"SECRET\""), Reason::Undecodable, "id");
    check_rejected(&event("\"SECRET-2\"", "\"\\ud800\""), Reason::Undecodable, "");
    let spoke = spoke(OPERATIONS).expect("an example spoke file");
    assert_eq!(rejection(&spoke, None).map(|rejection| rejection.reason), Some(Reason::Undecodable));
    assert_eq!(
        rejection(&spoke, Some(b"{\"id\":\"\xff\"}")).map(|rejection| rejection.reason),
        Some(Reason::Undecodable)
    );
}

#[test]
fn a_schema_that_is_not_in_the_folder_is_unknown() {
    let spoke = spoke(SALES).expect("an example spoke file");
    for payload in [&[0xC3, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0][..], &[0, 0, 0, 0, 9, 2, 2]] {
        let reason = rejection(&spoke, Some(payload)).map(|rejection| rejection.reason);
        assert_eq!(reason, Some(Reason::UnknownSchema));
    }
}

#[test]
fn what_every_touchpoint_needs_can_be_missing() {
    check_rejected(&event("\"id\":\"o-1\",", ""), Reason::MissingField, "id");
    check_rejected(&event("\"o-1\"", "\"\""), Reason::MissingField, "id");
    check_rejected(&event("\"o-1\"", "null"), Reason::MissingField, "id");
    check_rejected(&event("\"order_delivered\"", "\" \""), Reason::MissingField, "kind");
    check_rejected(&event("\"2026-01-31T09:00:00Z\"", "null"), Reason::MissingField, "occurred_at");
    check_rejected(
        &event("\"region\":", "\"amount\":{\"minor\":1},\"region\":"),
        Reason::MissingField,
        "amount.currency",
    );
    check_rejected(
        &event("\"region\":", "\"cost\":{\"currency\":\"EUR\"},\"region\":"),
        Reason::MissingField,
        "cost.minor",
    );
    check_rejected(&event("\"region\":", "\"score\":{\"value\":1},\"region\":"), Reason::MissingField, "score.scale");
    check_rejected(
        &event("\"region\":", "\"referrer\":{\"value\":\"x\"},\"region\":"),
        Reason::MissingField,
        "referrer.type",
    );
}

#[test]
fn values_of_another_type_say_which() {
    let with = |more: &str| event("\"region\":", &format!("{more},\"region\":"));
    check_rejected(&event("\"SECRET-2\"", "{\"x\":\"SECRET\"}"), Reason::WrongType, "region");
    check_rejected(&event("\"o-1\"", "[1]"), Reason::WrongType, "id");
    check_rejected(&event("\"o-1\"", "0.5"), Reason::WrongType, "id");
    check_rejected(&event("\"o-1\"", "\"a\\u0000b\""), Reason::WrongType, "id");
    check_rejected(&event("\"SECRET-1\"", "[[1]]"), Reason::WrongType, "identifiers");
    check_rejected(&event("\"SECRET-1\"", "1.5"), Reason::WrongType, "identifiers");
    check_rejected(&event("customer_id", "SECRET_id"), Reason::WrongType, "identifiers");
    check_rejected(&event("{\"customer_id\":\"SECRET-1\"}", "\"C1\""), Reason::WrongType, "identifiers");
    check_rejected(&with(r#""amount":5"#), Reason::WrongType, "amount");
    check_rejected(&with(r#""amount":{"minor":5,"currency":"SECRET"}"#), Reason::WrongType, "amount.currency");
    check_rejected(&with(r#""amount":{"minor":0.5,"currency":"EUR"}"#), Reason::WrongType, "amount.minor");
    check_rejected(&with(r#""amount":{"minor":1000000000000001,"currency":"EUR"}"#), Reason::WrongType, "amount.minor");
    check_rejected(&with(r#""initiator":"SECRET""#), Reason::WrongType, "initiator");
    check_rejected(&with(r#""visibility":"SECRET""#), Reason::WrongType, "visibility");
    check_rejected(&with(r#""effort":3000000000"#), Reason::WrongType, "effort");
    check_rejected(&with(r#""sentiment":"SECRET""#), Reason::WrongType, "sentiment");
    check_rejected(&with(r#""score":{"scale":"SECRET","value":1}"#), Reason::WrongType, "score.scale");
    check_rejected(&with(r#""properties":{"a":["x","y"]}"#), Reason::WrongType, "properties");
    check_rejected(&with(r#""properties":{"":"x"}"#), Reason::WrongType, "properties");
    check_rejected(&with(r#""properties":[1]"#), Reason::WrongType, "properties");
}

#[test]
fn identifiers_of_nobody_are_not_usable() {
    for nobody in ["\"null\"", "\" \"", "0", "[]", "null", "[\"000\",\"guest\"]"] {
        check_rejected(&event("\"SECRET-1\"", nobody), Reason::NoUsableIdentifier, "identifiers");
    }
    check_rejected(
        &event("\"customer_id\":\"SECRET-1\"", "\"email\":\"SECRET\""),
        Reason::NoUsableIdentifier,
        "identifiers",
    );
    check_rejected(
        &event("\"identifiers\":{\"customer_id\":\"SECRET-1\"},", ""),
        Reason::NoUsableIdentifier,
        "identifiers",
    );
}

#[test]
fn a_kind_outside_the_vocabulary_is_unknown() {
    // The word is shown, unless it is somebody's.
    let spoke = spoke(OPERATIONS).expect("an example spoke file");
    let said = |word: &str| {
        let rejection = rejection(&spoke, Some(event("order_delivered", word).as_bytes())).expect("no such kind");
        assert_eq!((rejection.reason, &*rejection.field), (Reason::UnknownKind, "kind"));
        rejection.message
    };
    assert!(said("order_lost_24h").starts_with("kind: \"order_lost_24h\" is no kind"));
    for somebodys in ["SECRET@example.org", "SECRET 4711222"] {
        let message = said(somebodys);
        assert!(message.starts_with("kind: what stands there is no kind") && !message.contains("SECRET"), "{message}");
    }
}

#[test]
fn what_is_no_time_of_these_years_is_a_bad_timestamp() {
    for time in ["\"SECRET\"", "\"1899-12-31T23:59:59Z\"", "\"2200-01-01T00:00:00Z\"", "1769850000000000", "true", "{}"]
    {
        check_rejected(&event("\"2026-01-31T09:00:00Z\"", time), Reason::BadTimestamp, "occurred_at");
    }
    check_rejected(
        &event("\"region\":", "\"promised_at\":\"SECRET\",\"region\":"),
        Reason::BadTimestamp,
        "promised_at",
    );
}

#[test]
fn a_time_is_too_far_in_the_future_by_the_records_own_timestamp() {
    let limit = NOW_MS + Options::default().too_far_in_future_ms;
    let at = |milliseconds: i64| event("\"2026-01-31T09:00:00Z\"", &milliseconds.to_string());
    check_rejected(&at(limit + 1), Reason::TooFarInFuture, "occurred_at");
    let spoke = spoke(OPERATIONS).expect("an example spoke file");
    assert_eq!(rejection(&spoke, Some(at(limit).as_bytes())), None);
}

#[test]
fn answers_and_sentiments_have_ranges() {
    let with = |more: &str| event("\"region\":", &format!("{more},\"region\":"));
    for (scale, value) in [("nps", "11"), ("nps", "-1"), ("csat", "0"), ("ces", "8"), ("review", "4.5")] {
        let payload = with(&format!(r#""score":{{"scale":"{scale}","value":{value}}}"#));
        check_rejected(&payload, Reason::ScoreOutOfRange, "score.value");
    }
    check_rejected(&with(r#""sentiment":-101"#), Reason::ScoreOutOfRange, "sentiment");
}

#[test]
fn what_is_too_large_says_so() {
    let with = |more: String| event("\"region\":", &format!("{more},\"region\":"));
    check_rejected(&event("\"SECRET-2\"", &long(257)), Reason::TooLarge, "region");
    check_rejected(&event("\"o-1\"", &long(129)), Reason::TooLarge, "id");
    check_rejected(&event("\"SECRET-1\"", &long(257)), Reason::TooLarge, "identifiers");
    check_rejected(&with(format!("\"properties\":{{\"a\":{}}}", long(129))), Reason::TooLarge, "properties");
    check_rejected(&with(format!("\"properties\":{{{}:1}}", long(129))), Reason::TooLarge, "properties");
    let many = |of: &dyn Fn(usize) -> String| (0..33).map(of).collect::<Vec<_>>().join(",");
    check_rejected(
        &with(format!("\"properties\":{{{}}}", many(&|n| format!("\"p{n}\":1")))),
        Reason::TooLarge,
        "properties",
    );
    let identifiers = format!("[{}]", many(&|n| format!("\"C{n}\"")));
    check_rejected(&event("\"SECRET-1\"", &identifiers), Reason::TooLarge, "identifiers");
    check_rejected(&event("\"SECRET-2\"", &long(1 << 20)), Reason::TooLarge, "");
}

#[test]
fn a_payload_that_names_another_spoke_is_not_allowed() {
    check_rejected(&event("\"region\":", "\"spoke\":\"SECRET\",\"region\":"), Reason::SpokeNotAllowed, "spoke");
    let spoke = spoke(OPERATIONS).expect("an example spoke file");
    let own = event("\"region\":", "\"spoke\":\"operations\",\"region\":");
    assert_eq!(rejection(&spoke, Some(own.as_bytes())), None);
}
