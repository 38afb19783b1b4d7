//! One record with a list becomes as many touchpoints as the list has elements.

use expect_test::expect;

use super::{mapped::MINIMAL, *};

fn shipments() -> String {
    MINIMAL.replace("id = \"n\"", "id = \"n\"\neach = \"parcels\"").replace("path = \"at\"", "path = [\".at\", \"at\"]")
        + r#"
        product = ".sku"
        region = "land"
        amount = { value = ".price", unit = "major", currency = { constant = "EUR" } }
        properties = { first = ".tags[0]" }
        "#
}

const SHIPMENT: &str = r#"{"n":"S1","what":"order_shipped","at":1769850000250,"who":"C1","parcels":[
    {"sku":"P-1","price":"1.50","tags":["a","b"]},{"at":1769850001000,"sku":"P-2","tags":[]},{"price":2}],"land":"north"}"#;

#[test]
fn an_element_that_is_empty_is_no_touchpoint() {
    let spoke = spoke(&shipments()).expect("a spoke of this test");
    for element in ["\"\"", "[]"] {
        let payload =
            format!(r#"{{"n":"S1","what":"order_shipped","at":1769850000250,"who":"C1","parcels":[{element}]}}"#);
        let shown = outcomes(&spoke, payload.as_bytes());
        assert!(shown.contains("wrong_type"), "{element}: {shown}");
    }
}

#[test]
fn each_element_is_a_touchpoint_with_what_the_record_has() {
    check(
        &shipments(),
        SHIPMENT,
        expect![[r#"
        web S1#1 order_shipped at 2026-01-31T09:00:00.250Z by customer_id:C1, product P-1, region north, amount 150 EUR, initiator system, first=a
        web S1#2 order_shipped at 2026-01-31T09:00:01.000Z by customer_id:C1, product P-2, region north, initiator system
        web S1#3 order_shipped at 2026-01-31T09:00:00.250Z by customer_id:C1, region north, amount 200 EUR, initiator system
    "#]],
    );
    // No element, no touchpoint: that is no mistake.
    for nothing in ["[]", "null", "\"\""] {
        let payload = format!(r#"{{"n":"S1","what":"order_shipped","at":1,"who":"C1","parcels":{nothing}}}"#);
        assert_eq!(outcomes(&spoke(&shipments()).expect("a spoke of this test"), payload.as_bytes()), "skipped\n");
    }
}

#[test]
fn a_list_that_is_not_there_is_missed_unless_it_is_optional() {
    let renamed = r#"{"n":"S1","what":"order_shipped","at":1769850000250,"who":"C1","packages":[{"sku":"P-1"}]}"#;
    check(
        &shipments(),
        renamed,
        expect![[r#"
        missing_field [parcels] each: there is no such list; send it, if only an empty one, or say where it is now; if records may be without it, set each = { path = "…", optional = true } in the spoke file.
    "#]],
    );
    let deep = shipments().replace("each = \"parcels\"", "each = \"order.parcels\"");
    for (payload, expected) in [
        (renamed.to_owned(), "missing_field"),
        (renamed.replace("\"packages\"", "\"order\":{\"id\":1},\"packages\""), "missing_field"),
        (renamed.replace("\"packages\"", "\"order\":{\"parcels\":[]},\"packages\""), "skipped"),
    ] {
        let found = outcomes(&spoke(&deep).expect("a spoke of this test"), payload.as_bytes());
        assert!(found.starts_with(expected), "{payload}: {found}");
    }
    for optional in ["", ", key = \".sku\""] {
        let optional = format!("each = {{ path = \"parcels\", optional = true{optional} }}");
        let toml = shipments().replace("each = \"parcels\"", &optional);
        assert_eq!(outcomes(&spoke(&toml).expect("a spoke of this test"), renamed.as_bytes()), "skipped\n");
    }
    let strict = shipments().replace("each = \"parcels\"", "each = { path = \"parcels\", optional = false }");
    assert!(outcomes(&spoke(&strict).expect("a spoke of this test"), renamed.as_bytes()).starts_with("missing_field"));
    // The condition comes first: records of another kind need no list.
    let toml = format!("condition = \"what != 'order_shipped'\"\n{}", shipments());
    assert_eq!(
        outcomes(&spoke(&toml).expect("a spoke of this test"), renamed.as_bytes()),
        "skipped by the condition\n"
    );
}

#[test]
fn an_elements_id_is_the_records_with_a_key_or_its_own() {
    let keyed = shipments().replace("each = \"parcels\"", "each = { path = \"parcels\", key = \".sku\" }");
    check(
        &keyed,
        SHIPMENT,
        expect![[r#"
        web S1#P-1 order_shipped at 2026-01-31T09:00:00.250Z by customer_id:C1, product P-1, region north, amount 150 EUR, initiator system, first=a
        web S1#P-2 order_shipped at 2026-01-31T09:00:01.000Z by customer_id:C1, product P-2, region north, initiator system
        missing_field [parcels[2].sku] each.key: there is nothing that tells the element from the others of its record; send it.
    "#]],
    );
    // Blanks tell nothing apart.
    let blank = SHIPMENT.replace("\"P-1\"", "\" \"");
    let found = outcomes(&spoke(&keyed).expect("a spoke of this test"), blank.as_bytes());
    assert!(found.starts_with("missing_field [parcels[0].sku] each.key: there is nothing that tells"), "{found}");
    check(
        &shipments().replace("id = \"n\"", "id = \".sku\""),
        SHIPMENT,
        expect![[r#"
        web P-1 order_shipped at 2026-01-31T09:00:00.250Z by customer_id:C1, product P-1, region north, amount 150 EUR, initiator system, first=a
        web P-2 order_shipped at 2026-01-31T09:00:01.000Z by customer_id:C1, product P-2, region north, initiator system
        missing_field [parcels[2].sku] id: there is no id; send one, or set id = "content" in the spoke file.
    "#]],
    );
    check(
        &shipments().replace("id = \"n\"", "id = \"position\""),
        SHIPMENT,
        expect![[r#"
        web test.events-3-42#1 order_shipped at 2026-01-31T09:00:00.250Z by customer_id:C1, product P-1, region north, amount 150 EUR, initiator system, first=a
        web test.events-3-42#2 order_shipped at 2026-01-31T09:00:01.000Z by customer_id:C1, product P-2, region north, initiator system
        web test.events-3-42#3 order_shipped at 2026-01-31T09:00:00.250Z by customer_id:C1, region north, amount 200 EUR, initiator system
    "#]],
    );
    check(
        &shipments().replace("id = \"n\"", "id = \"content\""),
        SHIPMENT,
        expect![[r#"
        web 22177dd6900936f90ce450e33f3b3824 order_shipped at 2026-01-31T09:00:00.250Z by customer_id:C1, product P-1, region north, amount 150 EUR, initiator system, first=a
        web dd3f9f622d6146f3c1bdf5bf99a0d700 order_shipped at 2026-01-31T09:00:01.000Z by customer_id:C1, product P-2, region north, initiator system
        web bc7c645d3ba4e925c9e236d0314502c8 order_shipped at 2026-01-31T09:00:00.250Z by customer_id:C1, region north, amount 200 EUR, initiator system
    "#]],
    );
    let long = SHIPMENT.replace("S1", &"S".repeat(127));
    assert!(rejection(&spoke(&shipments()).expect("a spoke"), Some(long.as_bytes())).is_some_and(|rejection| {
        rejection.reason == Reason::TooLarge && rejection.message.contains("128 characters")
    }));
}

#[test]
fn identifiers_may_be_of_the_element_and_lists_in_it() {
    let toml =
        MINIMAL.replace("id = \"n\"", "id = \"n\"\neach = \"guests\"").replace("\"who\"", "\".\", email = \".mails\"");
    let guests = r#"{"n":"B1","what":"visit_made","at":1769850000250,"guests":[{"mails":["a@x.org","b@x.org"]},{"mails":"c@x.org"},{}]}"#;
    check(
        &toml.replace("\".\"", "\".number\""),
        guests,
        expect![[r#"
        web B1#1 visit_made at 2026-01-31T09:00:00.250Z by email:a@x.org email:b@x.org, initiator customer
        web B1#2 visit_made at 2026-01-31T09:00:00.250Z by email:c@x.org, initiator customer
        no_usable_identifier [guests[2].number] identifiers: no identifier is usable; send a customer number, an e-mail address or another name of the customer, or of an order, case or contract.
    "#]],
    );
    let numbers = r#"{"n":"B1","what":"visit_made","at":1769850000250,"guests":["C1","C2"]}"#;
    check(
        &toml.replace(", email = \".mails\"", ""),
        numbers,
        expect![[r#"
        web B1#1 visit_made at 2026-01-31T09:00:00.250Z by customer_id:C1, initiator customer
        web B1#2 visit_made at 2026-01-31T09:00:00.250Z by customer_id:C2, initiator customer
    "#]],
    );
}

#[test]
fn one_bad_element_is_rejected_alone_and_a_list_that_is_none_altogether() {
    let bad = SHIPMENT.replace("\"price\":2", "\"price\":\"two\"");
    check(
        &shipments(),
        &bad,
        expect![[r#"
        web S1#1 order_shipped at 2026-01-31T09:00:00.250Z by customer_id:C1, product P-1, region north, amount 150 EUR, initiator system, first=a
        web S1#2 order_shipped at 2026-01-31T09:00:01.000Z by customer_id:C1, product P-2, region north, initiator system
        wrong_type [parcels[2].price] amount: it is no amount of at most 10^15 minor units with at most 2 decimals (nothing is rounded); send a plain decimal number, or say with `decimal` how yours are written.
    "#]],
    );
    check(
        &shipments(),
        &SHIPMENT.replace("{\"price\":2}", "7"),
        expect![[r#"
        wrong_type [parcels[]] It holds no object or list, but the spoke file has a path that leads into it; send one, or correct the path.
    "#]],
    );
    check(
        &shipments(),
        r#"{"n":"S1","parcels":{"sku":"P-1"}}"#,
        expect![[r#"
        wrong_type [parcels] It holds no object or list, but the spoke file has a path that leads into it; send one, or correct the path.
    "#]],
    );
    let many = vec!["{}"; 1_001].join(",");
    check(
        &shipments(),
        &format!(r#"{{"parcels":[{many}]}}"#),
        expect![[r#"
        too_large [parcels] The list has more than 1000 elements; send fewer.
    "#]],
    );
}

#[test]
fn mistakes_in_each_are_named() {
    let broken = |from: &str, to: &str| spoke(&shipments().replace(from, to)).expect_err("a mistake").to_string();
    expect![[r#"
        spoke web, line 6: each: the path "par..cels" has an empty key; write it as keys joined by dots, such as "customer.id"
        spoke web, line 8: occurred_at.path: the path ".at" has an empty key; write it as keys joined by dots, such as "customer.id"
        spoke web, line 6: each.key: it must be a place in the element, such as ".number"
        spoke web, line 6: each.key: it is missing; add key = "…"
        spoke web, line 6: each.key: the id is the element's own already; remove it
        spoke web, line 5: id: some of its paths are of the element and some of the record; choose
        spoke web, line 6: each: write text in quotes, as in each = "…"
        spoke web, line 6: each.optional: write optional = true or optional = false
        spoke web, line 6: each.path: the path "par..cels" has an empty key; write it as keys joined by dots, such as "customer.id""#]].assert_eq(
        &[
            broken("each = \"parcels\"", "each = \"par..cels\""),
            broken("each = \"parcels\"", ""),
            broken("each = \"parcels\"", "each = { path = \"parcels\", key = \"n\" }"),
            broken("each = \"parcels\"", "each = { path = \"parcels\" }"),
            broken("id = \"n\"\neach = \"parcels\"", "id = \".n\"\neach = { path = \"parcels\", key = \".n\" }"),
            broken("id = \"n\"", "id = [\"n\", \".n\"]"),
            broken("each = \"parcels\"", "each = 5"),
            broken("each = \"parcels\"", "each = { path = \"parcels\", optional = \"yes\" }"),
            broken("each = \"parcels\"", "each = { path = \"par..cels\", optional = true }"),
        ]
        .join("\n"),
    );
}
