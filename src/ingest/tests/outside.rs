//! What a mapping takes from a record's key and headers.

use super::{mapped::MINIMAL, *};

fn mapped(toml: &str, key: Option<&[u8]>, headers: &dyn Headers, payload: &str) -> String {
    let spoke = spoke(toml).expect("a spoke of this test");
    let mut lines = Vec::new();
    let record = SourceRecord { key, headers, ..record(Some(payload.as_bytes())) };
    spoke.map(&record, &mut |outcome| lines.push(shown(&outcome))).expect("its schema is at hand");
    lines.join("\n")
}

/// CloudEvents in binary mode: everything but the data is in headers, and the key is the customer.
fn binary() -> String {
    MINIMAL
        .replace("\"n\"", "\"@header:ce_id\"")
        .replace("\"what\"", r#"{ path = ["@header:ce_type", "type"], map = { "shop.visited" = "visit_made" } }"#)
        .replace("path = \"at\", format = \"epoch_ms\"", "path = \"@header:ce_time\", format = \"rfc3339\"")
        .replace("\"who\"", "[\"@key\", \"$.@key\"]")
}

fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn a_record_can_have_everything_in_its_key_and_headers() {
    let headers = vec![
        header("ce_id", "old"),
        header("ce_id", "e-1"),
        header("ce_type", "shop.visited"),
        header("ce_time", "2026-01-31T09:00:00Z"),
    ];
    assert_eq!(
        mapped(&binary(), Some(b"C1"), &headers, "{}"),
        "web e-1 visit_made at 2026-01-31T09:00:00.000Z by customer_id:C1, initiator customer"
    );
    // A key of the payload that is called so is written with the payload's sign.
    assert_eq!(
        mapped(&binary(), None, &headers, r#"{"@key":["C2"]}"#),
        "web e-1 visit_made at 2026-01-31T09:00:00.000Z by customer_id:C2, initiator customer"
    );
}

#[test]
fn what_is_not_there_is_missing_and_what_is_no_text_is_rejected() {
    assert!(mapped(&binary(), None, &NoHeaders, "{}").starts_with("missing_field [@header:ce_id] id:"));
    let headers = vec![header("ce_id", "e-1"), header("ce_type", ""), header("ce_time", "2026-01-31T09:00:00Z")];
    assert_eq!(
        mapped(&binary(), Some(b""), &headers, r#"{"type":"visit_made"}"#),
        "no_usable_identifier [@key] identifiers: no identifier is usable; send a customer number, an e-mail address or \
         another name of the customer, or of an order, case or contract."
    );
    assert_eq!(
        mapped(&binary(), Some(b"\xff"), &headers, "{}"),
        "wrong_type [@key] It is not UTF-8 text; send text, or take another place for it."
    );
}

#[test]
fn tests_of_a_mapping_give_key_and_headers() {
    let toml = binary()
        + r#"
        [[tests]]
        sample = '{}'
        key = "C1"
        headers = { ce_id = "e-1", ce_type = "shop.visited", ce_time = "2026-01-31T09:00:00Z" }
        expect = { id = "e-1", kind = "visit_made", identifiers = { customer_id = "C1" } }
        "#;
    let file = SpokeFile::parse("test.toml", &toml).expect("a spoke file of this test");
    assert_eq!(trial::run(&spoke(&toml).expect("a spoke of this test"), &file.tests), []);
    let wrong = spoke(&toml.replace("key = \"C1\"", "key = 1")).expect_err("no text");
    assert!(wrong.contains("tests[0].key: write text in quotes"), "{wrong}");
}
