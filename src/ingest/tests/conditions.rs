//! A condition says which records, or which elements of them, are taken; what it leaves out is skipped and nothing else.

use expect_test::expect;

use super::{mapped::MINIMAL, *};

fn with(condition: &str) -> String {
    format!("condition = '''{condition}'''\n{MINIMAL}")
}

const VISIT: &str = r#"{"n":1,"what":"visit_made","at":1769850000250,"who":"C1","test":false,"shop":{"country":"NL"}}"#;

#[test]
fn what_the_condition_leaves_out_is_skipped_and_what_it_cannot_decide_rejected() {
    check(
        &with("!test && shop.country in ['NL', 'BE']"),
        VISIT,
        expect![[r#"
        web 1 visit_made at 2026-01-31T09:00:00.250Z by customer_id:C1, initiator customer
    "#]],
    );
    let check_skipped = |toml: &str, payload: &str| {
        let outcome = outcomes(&spoke(toml).expect("a spoke of this test"), payload.as_bytes());
        assert_eq!(outcome, "skipped by the condition\n", "{toml}");
    };
    check_skipped(&with("test"), VISIT);
    // What is left out may be of any shape: nothing else of it is looked at …
    check_skipped(&with("what == 'visit_made'"), r#"{"what":"ping","at":"rubbish"}"#);
    check_skipped(
        &with("what == 'visit_made'").replace("\"who\"", "\"who.number\""),
        r#"{"what":"ping","who":"nobody"}"#,
    );
    // … and of what is taken, it is.
    check(
        &with("what == 'visit_made'").replace("\"who\"", "\"who.number\""),
        VISIT,
        expect![[r#"
        wrong_type [who] It holds no object or list, but the spoke file has a path that leads into it; send one, or correct the path.
    "#]],
    );
    check(
        &with("shop.open"),
        VISIT,
        expect![[r#"
        condition_error [shop.open] condition: there is nothing here; ask has() before, as in has(a.b) && a.b > 1, or send it.
    "#]],
    );
    check(
        &with("shop.country"),
        VISIT,
        expect![[r#"
        condition_error [shop.country] condition: its outcome is not true or false; compare it with something.
    "#]],
    );
    check_skipped(&with("has(shop.open) && shop.open"), VISIT);
    // What is no event at all is no matter of the condition.
    for payload in ["{", "[]", "7"] {
        let outcome = outcomes(&spoke(&with("false")).expect("a spoke of this test"), payload.as_bytes());
        assert!(outcome.starts_with("undecodable"), "{payload}: {outcome}");
    }
}

#[test]
fn a_condition_on_the_element_is_asked_for_each_and_another_once() {
    let toml = |condition: &str| {
        with(condition)
            .replace("id = \"n\"", "id = \"n\"\neach = \"parcels\"")
            .replace("\"who\"", "[\"who\", \".who\"]")
    };
    let shipment = r#"{"n":"S1","what":"order_shipped","at":1769850000250,"who":"C1","paid":true,
        "parcels":[{"kg":3},{"kg":1},{"kg":"heavy"},{}]}"#;
    check(
        &toml("paid && element.kg > 2"),
        shipment,
        expect![[r#"
        web S1#1 order_shipped at 2026-01-31T09:00:00.250Z by customer_id:C1, initiator system
        skipped by the condition
        condition_error [parcels[2].kg] condition: it is of another type than what it is compared with; send the same type.
        condition_error [parcels[3].kg] condition: there is nothing here; ask has() before, as in has(a.b) && a.b > 1, or send it.
    "#]],
    );
    check(
        &toml("!paid"),
        shipment,
        expect![[r#"
        skipped by the condition
    "#]],
    );
}

#[test]
fn a_condition_sees_key_and_headers() {
    let toml = with("key.startsWith('shop-') && headers[\"ce_type\"] == 'shop.visited'");
    let spoke = spoke(&toml).expect("a spoke of this test");
    let asked = |key: Option<&[u8]>, ce_type: &str| {
        let headers = vec![("ce_type".to_owned(), ce_type.to_owned())];
        let mut lines = Vec::new();
        let record = SourceRecord { key, headers: &headers, ..record(Some(VISIT.as_bytes())) };
        spoke.map(&record, &mut |outcome| lines.push(shown(&outcome))).expect("its schema is at hand");
        lines.join("\n")
    };
    assert!(asked(Some(b"shop-1"), "shop.visited").starts_with("web 1 visit_made"));
    assert_eq!(asked(Some(b"shop-1"), "shop.closed"), "skipped by the condition");
    // One side that decides is enough, even where the other is not there or no text.
    assert_eq!(asked(None, "shop.closed"), "skipped by the condition");
    assert_eq!(asked(Some(b"\xff"), "shop.closed"), "skipped by the condition");
    assert!(asked(None, "shop.visited").starts_with("condition_error [@key] condition: there is nothing here"));
    assert!(asked(Some(b"\xff"), "shop.visited").starts_with("wrong_type [@key]"));
}

#[test]
fn the_canonical_touchpoint_may_have_a_condition() {
    let operations = OPERATIONS.to_owned() + "condition = 'kind != \"delivery_promised\" && has(identifiers)'\n";
    check(
        &operations,
        r#"{"id":"o-1","kind":"delivery_promised","occurred_at":1,"identifiers":{"order":"O-1"}}"#,
        expect![[r#"
        skipped by the condition
    "#]],
    );
    let into = OPERATIONS.to_owned() + "condition = 'has(identifiers.email)'\n";
    assert!(
        spoke(&into)
            .expect_err("a path into what is taken as a whole")
            .ends_with("condition: the path \"$.identifiers.email\" leads into what is taken as a whole")
    );
}

#[test]
fn a_list_of_identifiers_is_there_and_is_no_single_value() {
    let toml = with("has(who)");
    check(
        &toml,
        &VISIT.replace("\"C1\"", "[\"C1\",\"C2\"]"),
        expect![[r#"
        web 1 visit_made at 2026-01-31T09:00:00.250Z by customer_id:C1 customer_id:C2, initiator customer
    "#]],
    );
    check(
        &with("who == 'C1'"),
        &VISIT.replace("\"C1\"", "[\"C1\",\"C2\"]"),
        expect![[r#"
        condition_error [who] condition: it is a list or an object, and a condition sees single values; name one in it.
    "#]],
    );
}

#[test]
fn mistakes_in_a_condition_are_named_with_their_line() {
    let broken = |condition: &str| spoke(&with(condition)).expect_err("a mistake");
    assert_eq!(
        broken("what.startswith('visit')"),
        "spoke web, line 1: condition: there is no function \"startswith\"; did you mean \"startsWith\"?; there are has, \
         size, contains, startsWith, endsWith, matches, lowerAscii, upperAscii, trim, int, double, string, timestamp"
    );
    assert_eq!(
        broken("element.kg > 2"),
        "spoke web, line 1: condition: there is no element without each = \"…\"; a field of the payload that is called so \
         is payload.element"
    );
    assert!(
        spoke(&with("test").replace("condition", "conditions")).is_err_and(|error| error.contains("\"condition\"?"))
    );
}

#[test]
fn tests_of_a_mapping_can_say_that_a_sample_is_skipped() {
    let trial = |expect: &str| {
        let toml = with("!test") + &format!("[[tests]]\nsample = '''{}'''\n{expect}\n", VISIT.replace("false", "true"));
        let file = SpokeFile::parse("test.toml", &toml).expect("a spoke file of this test");
        let failures = trial::run(&spoke(&toml).expect("a spoke of this test"), &file.tests);
        failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(trial("expect_skipped = true"), "");
    assert_eq!(
        trial("expect = { kind = \"visit_made\" }"),
        "test 1: expected 1 touchpoints, found 0: skipped by the condition"
    );
    assert_eq!(
        trial("expect_rejected = \"condition_error\""),
        "test 1: expected condition_error, found skipped by the condition"
    );
    let each = with("element.kg > 2").replace("id = \"n\"", "id = \"n\"\neach = \"parcels\"")
        + "[[tests]]\nsample = '{\"n\":1,\"what\":\"visit_made\",\"at\":1769850000250,\"who\":\"C1\",\"parcels\":[{\"kg\":3},{\"kg\":1}]}'\n\
           expect = { id = \"1#1\" }\n";
    let file = SpokeFile::parse("test.toml", &each).expect("a spoke file of this test");
    assert_eq!(trial::run(&spoke(&each).expect("a spoke of this test"), &file.tests), []);
}
