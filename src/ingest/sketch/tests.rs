//! Samples of many shapes in; what the drafted spoke files say, and what they take of the very sample, out.

use serde_json::json;

use super::*;

fn draft(spoke: &str) -> Draft {
    Draft {
        spoke: spoke.to_owned(),
        topic: format!("{spoke}.events"),
        zone: None,
        options: Options::default(),
        now_ms: -1,
    }
}

fn payloads(records: &[Value]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.to_string().into_bytes()).collect()
}

/// Drafts a file that must compile, hold its own test, and be the same for the same sample.
#[track_caller]
fn sketched(spoke: &str, records: &[Value]) -> Sketch {
    let payloads = payloads(records);
    let made = sketch(&payloads, &draft(spoke)).expect("a draft");
    assert_eq!(sketch(&payloads, &draft(spoke)).as_ref(), Ok(&made), "the same sample, another file");
    let file = SpokeFile::parse(spoke, &made.text).expect("a spoke file");
    let compiled = Spoke::compile(&file, Options::default(), &Arc::default()).expect("a mapping");
    assert_eq!(trial::run(&compiled, &file.tests), [], "{}", made.text);
    made
}

/// Every record is taken, and the file has these lines and a test.
#[track_caller]
fn check(spoke: &str, records: &[Value], lines: &[&str]) -> Sketch {
    let made = sketched(spoke, records);
    assert_eq!(made.tally.taken, records.len(), "{:?}\n{}", made.tally, made.text);
    for line in lines {
        assert!(made.text.lines().any(|found| found.split(" # ").next() == Some(*line)), "{line} in\n{}", made.text);
    }
    assert!(made.text.contains("[[tests]]"), "{}", made.text);
    made
}

#[test]
fn a_webshop_with_nested_objects_and_money() {
    let words = ["order.created", "order.paid", "order.shipped", "order.cancelled"];
    let records: Vec<Value> = (0..40)
        .map(|n| {
            json!({
                "eventId": format!("e-{n}"), "eventType": words[n % 4], "createdAt": format!("2026-01-{:02}T09:00:00Z", n % 28 + 1),
                "customer": {"customerNo": format!("K{n:05}"), "email": format!("ann{n}@example.org"), "name": format!("Ann {n}")},
                "order": {"id": format!("O-{n}"), "total": 12.5 + n as f64, "currency": "EUR"},
                "channel": if n % 2 == 0 { "Webshop" } else { "store" },
                "warehouse": {"pickedBy": format!("w{n}@shop.example"), "employeeNo": n},
            })
        })
        .collect();
    let made = check(
        "shop",
        &records,
        &[
            "id = \"eventId\"",
            "occurred_at = { path = \"createdAt\", format = \"rfc3339\" }",
            "amount = { value = \"order.total\", unit = \"major\", currency = \"order.currency\" }",
            "path = \"eventType\"",
            "\"order.created\" = \"order_placed\"",
            "\"order.paid\" = \"payment_received\"",
            "\"order.shipped\" = \"order_shipped\"",
            "\"order.cancelled\" = \"order_cancelled\"",
            "customer_id = \"customer.customerNo\"",
            "order = \"order.id\"",
        ],
    );
    assert!(
        !made.text.contains("O-1\"") && !made.text.contains("ann1@") && !made.text.contains("w1@"),
        "{}",
        made.text
    );
    assert!(
        made.text.contains("warehouse.employeeNo is left out") || !made.text.contains("employeeNo = "),
        "{}",
        made.text
    );
}

#[test]
fn local_times_ask_for_a_zone_and_take_the_one_that_is_given() {
    let records: Vec<Value> = (0..20)
        .map(|n| json!({"nr": format!("A{n}"), "datum": format!("{:02}.01.2026 10:00", n + 1), "kundennummer": format!("K{n}"), "vorgang": "Besuch"}))
        .collect();
    let lines = [
        "occurred_at = { path = \"datum\", format = \"%d.%m.%Y %H:%M\", zone = \"UTC\" }",
        "id = \"nr\"",
        "customer_id = \"kundennummer\"",
    ];
    let made = check("club", &records, &lines);
    assert!(made.remarks.iter().any(|remark| remark.contains("--zone")), "{:?}", made.remarks);
    let amsterdam = Draft { zone: Some("Europe/Amsterdam".into()), ..draft("club") };
    let made = sketch(&payloads(&records), &amsterdam).expect("a draft");
    assert!(made.text.contains("zone = \"Europe/Amsterdam\""), "{}", made.text);
    assert!(!made.remarks.iter().any(|remark| remark.contains("--zone")), "{:?}", made.remarks);
    let nowhere = Draft { zone: Some("Europe/Nowhere".into()), ..draft("club") };
    assert_eq!(sketch(&payloads(&records), &nowhere).expect_err("no zone").key, "zone");
    // A zone in the records themselves.
    let zoned: Vec<Value> = (0..20)
        .map(|n| json!({"id": n + 1, "at": format!("2026-01-{:02} 10:00", n + 1), "tz": "Europe/Paris", "user_id": n + 1, "event": "visit_made"}))
        .collect();
    check("door", &zoned, &["occurred_at = { path = \"at\", format = \"local\", zone = { path = \"tz\" } }"]);
}

#[test]
fn a_list_of_contacts_is_read_element_by_element_and_a_list_of_goods_is_not() {
    let parcels: Vec<Value> = (0..12)
        .map(|n| {
            json!({"shipment": format!("S{n}"), "order_id": format!("O{n}"), "parcels": [
                {"number": "1", "status": "shipped", "shipped_at": "2026-01-31T09:00:00Z"},
                {"number": "2", "status": "delivered", "shipped_at": "2026-02-01T09:00:00Z"},
            ]})
        })
        .collect();
    let made = check(
        "post",
        &parcels,
        &[
            "occurred_at = { path = \".shipped_at\", format = \"rfc3339\" }",
            "order = \"order_id\"",
            "shipped = \"order_shipped\"",
            "delivered = \"order_delivered\"",
        ],
    );
    assert!(made.text.contains("each = { path = \"parcels\", key = \".number\" }"), "{}", made.text);
    assert_eq!(made.tally.touchpoints, 24);
    // Some have no such list: they are not to be rejected.
    let mut some = parcels.clone();
    some[3] = json!({"shipment": "S3", "order_id": "O3"});
    let made = sketched("post", &some);
    assert!(
        made.text.contains("\neach = { path = \"parcels\", key = \".number\", optional = true }\n"),
        "{}",
        made.text
    );
    assert_eq!((made.tally.skipped, made.tally.rejected_records), (1, 0));
    assert!(made.text.contains("# LOOK: some records have no parcels at all"), "{}", made.text);
    some[3]["parcels"] = json!([]);
    let made = sketched("post", &some);
    assert!(made.text.contains("\neach = { path = \"parcels\", key = \".number\" }\n"), "{}", made.text);
    assert_eq!(made.tally.skipped, 1);
    let orders: Vec<Value> = (0..12)
        .map(|n| {
            json!({"id": format!("O{n}"), "type": "purchase", "placed_at": "2026-01-31T09:00:00Z", "customer_id": format!("C{n}"),
                "lines": [{"sku": "P1", "count": 2}, {"sku": "P2", "count": 1}]})
        })
        .collect();
    let made = check("till", &orders, &["id = \"id\"", "occurred_at = { path = \"placed_at\", format = \"rfc3339\" }"]);
    assert!(!made.text.contains("\neach ") && made.text.contains("Lists of objects: lines"), "{}", made.text);
    // One document with everything in it.
    let batch = json!({"events": [
        {"uuid": "a", "kind": "page_viewed", "ts": 1_760_000_000, "visitor": {"cookie": "ck-1"}},
        {"uuid": "b", "kind": "page_viewed", "ts": 1_760_000_100, "visitor": {"cookie": "ck-2"}},
    ]});
    let made = check(
        "site",
        &[batch],
        &[
            "each = \"events\"",
            "id = \".uuid\"",
            "occurred_at = { path = \".ts\", format = \"epoch_s\" }",
            "cookie = \".visitor.cookie\"",
        ],
    );
    assert_eq!(made.tally.touchpoints, 2);
}

#[test]
fn answers_have_their_scale_or_are_asked_about() {
    let records: Vec<Value> = (0..22)
        .map(|n| json!({"id": n + 1, "time": "2026-01-31T09:00:00Z", "member_no": format!("M{n}"), "event": "survey", "nps": n % 11}))
        .collect();
    check("survey", &records, &["score = { scale = { constant = \"nps\" }, value = \"nps\" }"]);
    let records: Vec<Value> = (0..22)
        .map(|n| json!({"id": n + 1, "time": "2026-01-31T09:00:00Z", "member_no": format!("M{n}"), "event": "survey", "rating": n * 4}))
        .collect();
    let made = check(
        "survey",
        &records,
        &["score = { scale = { constant = \"csat\" }, value = \"rating\", range = [0, 100] }"],
    );
    assert!(made.remarks.iter().any(|remark| remark.starts_with("score: ")), "{:?}", made.remarks);
}

#[test]
fn what_is_not_known_is_said_and_not_made_up() {
    let records: Vec<Value> = (0..30).map(|n| json!({"weight": n * 3, "comment": format!("number {n}")})).collect();
    let made = sketched("scales", &records);
    assert_eq!(made.tally.taken, 0);
    assert_eq!(made.tally.rejected_records, 30);
    for field in ["id: ", "occurred_at: no time was found", "kind: ", "identifiers: nothing says who"] {
        assert!(made.remarks.iter().any(|remark| remark.starts_with(field)), "{field} in {:?}", made.remarks);
    }
    assert!(!made.text.contains("[[tests]]"), "{}", made.text);
    // Money without a currency is a comment with the line to put.
    let records: Vec<Value> = (0..30)
        .map(|n| json!({"id": n + 1, "time": "2026-01-31T09:00:00Z", "customer_id": n + 1, "type": "purchase", "total": "3.50"}))
        .collect();
    let made = check("kiosk", &records, &["purchase = \"order_placed\""]);
    assert!(made.text.contains("# amount = { value = \"total\", unit = \"major\""), "{}", made.text);
    assert!(made.text.contains("# LOOK: total may be money") && !made.text.contains("\namount"), "{}", made.text);
}

#[test]
fn names_that_nobody_foresaw_are_found_by_their_values() {
    let words = ["stay.started", "stay.paid", "permit.bought", "barrier.stuck"];
    let gates = ["web", "kiosk", "phone"];
    let records: Vec<Value> = (0..12)
        .map(|n| {
            json!({"ref": format!("g-{n}"), "x": words.get(n % 4), "at": "2026-03-02T08:00:00Z", "place": gates.get(n % 3),
                "driver": {"email": format!("d{n}@example.org"), "permitNo": format!("PK-{n}")}})
        })
        .collect();
    let made = check(
        "garage",
        &records,
        &[
            "path = \"x\"",
            "\"stay.started\" = \"visit_made\"",
            "\"permit.bought\" = \"subscription_started\"",
            "\"barrier.stuck\" = \"other\"",
            "email = \"driver.email\"",
            "loyalty = \"driver.permitNo\"",
            "channel = { path = \"place\", map = { kiosk = \"store\" } }",
        ],
    );
    for field in
        ["identifiers: is driver.email", "kind: which of our words are \"barrier.stuck\"", "channel: does place"]
    {
        assert!(made.remarks.iter().any(|remark| remark.starts_with(field)), "{field} in {:?}", made.remarks);
    }
    // Where somebody else is the customer, a driver works for the company.
    let records: Vec<Value> = (0..12)
        .map(|n| {
            json!({"id": n + 1, "event": "delivered", "at": "2026-03-02T08:00:00Z", "customer_no": format!("C{n}"),
                "driver": {"email": format!("d{n}@example.org")}})
        })
        .collect();
    let made = check("parcels", &records, &["customer_id = \"customer_no\""]);
    assert!(made.text.contains("driver.email is left out"), "{}", made.text);
}

#[test]
fn money_is_read_as_it_is_written() {
    let records = |written: &dyn Fn(usize) -> String| -> Vec<Value> {
        (0..10)
            .map(|n| {
                json!({"id": n + 1, "time": "2026-01-31T09:00:00Z", "customer_id": n + 1, "type": "purchase", "paid": written(n),
                    "currency": "EUR"})
            })
            .collect()
    };
    let line =
        |decimal: &str| format!("amount = {{ value = \"paid\", unit = \"major\"{decimal}, currency = \"currency\" }}");
    let (comma, point) = (line(", decimal = \",\""), line(", decimal = \".\""));
    for (written, expected) in [
        (&(|n| format!("{n},50")) as &dyn Fn(usize) -> String, &comma),
        (&|n| format!("{n}.250,50"), &comma),
        (&|n| format!("1\u{202f}{n}50,50"), &comma),
        (&|n| format!("1'{n}50.50"), &point),
        (&|n| format!("1,{n}50.5"), &point),
        // Some have no thousands, and some no decimals.
        (&|n| if n % 2 == 0 { format!("{n},5") } else { format!("1.{n}00") }, &comma),
        (&|n| format!("{n}.50"), &line("")),
    ] {
        let made = check("till", &records(written), &[expected]);
        let is_told = made.remarks.iter().any(|remark| remark.starts_with("amount: these are not written plainly"));
        assert_eq!(is_told, expected.contains("decimal"), "{:?}", made.remarks);
    }
    // One that is none among many is no other way to write.
    let made = sketched("till", &records(&|n| if n == 3 { "n/a".to_owned() } else { format!("{n}.5") }));
    assert!(!made.text.contains("decimal ="), "{}", made.text);
    let made = check("till", &records(&|n| format!("1,{n}50")), &[&point]);
    assert!(made.remarks.iter().any(|remark| remark.contains("is 1,234 more than a thousand")), "{:?}", made.remarks);
}

#[test]
fn canonical_touchpoints_need_no_mapping() {
    let records: Vec<Value> = (0..10)
        .map(|n| json!({"id": format!("o-{n}"), "kind": "order_delivered", "occurred_at": "2026-01-31T09:00:00Z", "identifiers": {"customer_id": ["C1"]}}))
        .collect();
    let made = sketched("operations", &records);
    assert!(made.text.contains("format = \"touchpoint-json\"") && made.remarks.is_empty(), "{}", made.text);
    assert_eq!(made.tally.taken, 10);
}

#[test]
fn keys_that_need_escapes_and_values_that_are_hostile_come_through() {
    let records: Vec<Value> = (0..25)
        .map(|n| {
            json!({
                "event.id": format!("e'''{n}"), "a\"b\\[0]": {"t.s": 1_760_000_000 + n}, "@key": "x",
                "kind": if n % 2 == 0 { "entry\u{202e}\"] [evil]" } else { "exit # }" }, "customer id": format!("C{n}"),
                "content": {"title": "x"}, "medium": "web\u{1b}[2J",
                "newline\nkey": 1, "": {"x": 1}, "ann@example.org": 5,
            })
        })
        .collect();
    let made = check("odd", &records, &[r#"id = "event\\.id""#, r#"customer_id = "customer id""#]);
    assert!(
        !made.text.contains('\u{1b}') && !made.text.contains('\u{202e}') && !made.text.contains("ann@example.org = "),
        "{}",
        made.text
    );
    assert!(!made.text.contains("ann@example.org\""), "{}", made.text);
    // Large, deep, wide; no object at all.
    let mut deep = json!({"id": 1});
    for _ in 0..100 {
        deep = json!({"d": deep, "l": [[deep]]});
        if deep.to_string().len() > 200_000 {
            break;
        }
    }
    let wide: Value = (0..20_000).map(|n| (format!("key{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    assert!(sketched("wide", &[deep, wide]).text.contains("Some places were not looked at"));
    for none in [json!(1), json!([1, 2]), json!("x"), Value::Null] {
        assert!(sketch(&payloads(&[none]), &draft("none")).is_err());
    }
    assert!(sketch(&[], &draft("none")).is_err());
    assert_eq!(sketch(&payloads(&[json!({"id": 1})]), &draft("no spaces")).expect_err("a name").key, "spoke");
}

#[test]
fn nothing_of_anybody_is_written_down() {
    let secret = |n: usize| format!("secret{n}");
    let records: Vec<Value> = (0..30)
        .map(|n| {
            json!({
                "id": secret(n), "at": "2026-01-31T09:00:00Z", "type": "call",
                "caller": {"email": format!("{}@example.com", secret(n)), "phone": format!("+4930{:07}", 5_550_000 + n), "number": secret(n)},
                "region": secret(n), "topic": format!("{} is not at all happy with what came", secret(n)),
                "notes": secret(n), "assignee": {"email": format!("{}@work.example", secret(n))},
            })
        })
        .collect();
    let made = check("desk", &records, &["email = \"caller.email\"", "phone = \"caller.phone\""]);
    let said = format!("{}{:?}{:?}", made.text, made.remarks, made.tally);
    assert!(!said.contains("secret") && !said.contains("555"), "{said}");
    assert!(made.text.contains("topic is left out: it reads like free text"), "{}", made.text);
    assert!(made.text.contains("assignee.email is left out"), "{}", made.text);
}

#[test]
fn a_bad_record_is_counted_with_its_reason() {
    let mut records: Vec<Value> = (0..20)
        .map(|n| json!({"id": format!("v{n}"), "time": "2026-01-31T09:00:00Z", "customer_id": format!("C{n}"), "type": "visit_made"}))
        .collect();
    records.push(json!({"id": "v20", "time": "yesterday", "customer_id": "C20", "type": "visit_made"}));
    records.push(json!({"id": "v21", "time": "2026-01-31T09:00:00Z", "type": "visit_made"}));
    let made = sketched("gate", &records);
    assert_eq!((made.tally.taken, made.tally.rejected_records), (20, 2));
    let reasons: Vec<(&str, &str, usize)> =
        made.tally.rejected.iter().map(|((reason, field), count)| (reason.as_str(), field.as_str(), *count)).collect();
    assert_eq!(reasons, [("bad_timestamp", "time", 1), ("no_usable_identifier", "customer_id", 1)]);
}
