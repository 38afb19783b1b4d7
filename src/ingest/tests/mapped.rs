//! Departments' own JSON: the example spokes, and what a mapping can say.

use expect_test::expect;

use super::*;

/// The samples that an example file shows in its comments.
fn samples(toml: &str) -> String {
    let spoke = spoke(toml).expect("an example spoke file");
    let samples = toml.lines().filter_map(|line| line.strip_prefix("# ").filter(|line| line.starts_with('{')));
    samples.map(|sample| outcomes(&spoke, sample.as_bytes())).collect()
}

#[test]
fn the_samples_in_the_example_files_become_what_they_say() {
    expect![[r#"
        marketing m-0000001 message_opened at 2025-10-09T08:53:20.000Z by customer_id:C1 email:ann@example.org cookie:ck-1, channel email, product P-12, region north, segment families, campaign spring, content newsletter-3, initiator customer
        marketing m-0000002 survey_answered at 2025-10-09T09:53:20.000Z by customer_id:C1, channel web, product P-12, region north, segment families, campaign spring, score nps 9 -, initiator customer, sentiment 40
        marketing m-0000003 referral_made at 2025-10-09T10:53:20.000Z by customer_id:C2 email:bob@example.org, channel social, cost 125 EUR, initiator customer, referrer customer_id:C1
    "#]].assert_eq(&samples(MARKETING));
    expect![[r#"
        support s-0000001 case_opened at 2026-01-31T09:00:00.250Z by customer_id:C1 email:ann@example.org case:T-1, channel phone, subject delivery, product P-12, region north, segment families, initiator customer, effort 2
        support s-0000002 case_replied at 2026-01-31T09:20:00.000Z by customer_id:C1 email:ann@example.org case:T-1, channel email, subject delivery, initiator agent
        support s-0000003 survey_answered at 2026-02-01T08:00:00.000Z by customer_id:C1 case:T-1, channel web, subject delivery, score csat 4 -, initiator customer, sentiment -30
    "#]].assert_eq(&samples(SUPPORT));
    let canonical = expect![[r#"
        operations o-0000001 delivery_promised at 2026-01-31T09:00:00.000Z by customer_id:C1 order:O-1, product P-12, region north, promised_at 2026-02-03T12:00:00.000Z, initiator system
        operations o-0000002 order_delivered at 2026-02-02T02:40:00.000Z by customer_id:C1 order:O-1, channel partner, cost 499 EUR, initiator system, carrier=north-post
        operations o-0000003 refund_issued at 2026-02-05T10:00:00.000Z by customer_id:C1 order:O-1, amount -2500 EUR, initiator system
    "#]];
    canonical.assert_eq(&samples(OPERATIONS));
    canonical.assert_eq(&samples(PARCELS));
    expect![[r#"
        sales s-0000001-02 order_placed at 2026-01-31T09:00:00.250Z by customer_id:C1 order:O-1, channel web, product P-12, region north, segment families, amount 1999 EUR, initiator customer
        sales s-0000001-01 lead_created at 2026-01-31T08:00:00.000Z by cookie:ck-1, channel app, product P-12, region north, initiator customer
    "#]].assert_eq(&samples(&ORDERS.replace("\"avro\"", "\"json\"").replace("\"logical\"", "\"epoch_us\"")));
}

pub(super) const MINIMAL: &str = r#"
    spoke = "web"
    topic = "web.events"
    format = "json"
    id = "n"
    kind = "what"
    occurred_at = { path = "at", format = "epoch_ms" }
    identifiers = { customer_id = "who" }
"#;

#[test]
fn an_unknown_kind_is_other_with_the_departments_word_or_rejected() {
    let event = r#"{"n":1,"what":"Juggled","at":1769850000250,"who":"C1"}"#;
    check(
        MINIMAL,
        event,
        expect![[r#"
        web 1 other at 2026-01-31T09:00:00.250Z by customer_id:C1, label Juggled, initiator system
    "#]],
    );
    let strict = MINIMAL.replace("\"what\"", r#"{ path = "what", unmapped = "reject" }"#);
    check(
        &strict,
        event,
        expect![[r#"
        unknown_kind [what] kind: "Juggled" is no kind that is known; use a word of the vocabulary (or "other" with a label), or map it.
    "#]],
    );
    let hostile = format!(r#"{{"n":1,"what":"\u202e\u200b{}","at":1769850000250,"who":"C1"}}"#, "x".repeat(100));
    let cut = format!(r#""\u{{202e}}\u{{200b}}{}" is no kind"#, "x".repeat(62));
    let shown = outcomes(&spoke(&strict).expect("a mapping"), hostile.as_bytes());
    assert!(shown.contains(&cut), "{shown}");
    let constant = MINIMAL.replace("\"what\"", r#"{ constant = "visit_made" }"#);
    check(
        &constant,
        event,
        expect![[r#"
        web 1 visit_made at 2026-01-31T09:00:00.250Z by customer_id:C1, initiator customer
    "#]],
    );
}

#[test]
fn ids_can_be_made_from_the_content_or_the_position() {
    let event = r#"{"what":"visit_made","at":1769850000250,"who":"C1"}"#;
    let content = MINIMAL.replace("id = \"n\"", "id = \"content\"");
    check(
        &content,
        event,
        expect![[r#"
        web 346442bff76b899f6058a9f68c265f4c visit_made at 2026-01-31T09:00:00.250Z by customer_id:C1, initiator customer
    "#]],
    );
    // Another order of keys, other white space, another unmapped key: the same content.
    let again = r#"{ "who" : " C1", "at":1769850000250, "x": [], "what":"visit_made" }"#;
    let spoke = spoke(&content).expect("a spoke of this test");
    assert_eq!(outcomes(&spoke, event.as_bytes()), outcomes(&spoke, again.as_bytes()));
    check(
        &MINIMAL.replace("id = \"n\"", "id = \"position\""),
        event,
        expect![[r#"
            web test.events-3-42 visit_made at 2026-01-31T09:00:00.250Z by customer_id:C1, initiator customer
        "#]],
    );
    // A key that is called like one of these words is written with the payload's sign.
    let path = MINIMAL.replace("id = \"n\"", "id = \"$.content\"");
    check(
        &path,
        r#"{"content":"x7","what":"visit_made","at":1769850000250,"who":"C1"}"#,
        expect![[r#"
            web x7 visit_made at 2026-01-31T09:00:00.250Z by customer_id:C1, initiator customer
        "#]],
    );
}

#[test]
fn constants_maps_and_money_fill_the_fields() {
    let toml = format!(
        r#"{MINIMAL}
        region = {{ path = "land", map = {{ DE = "north" }} }}
        channel = {{ constant = "store" }}
        account = {{ constant = " Acme " }}
        effort = {{ constant = "3" }}
        amount = {{ value = "total", unit = "major", currency = {{ constant = "JPY" }} }}
        cost = {{ value = "fee[1]", unit = "minor", currency = "cur" }}
        properties = {{ till = "till", shop = {{ constant = "7" }} }}
        "#
    );
    check(
        &toml,
        r#"{"n":"7","what":"order_placed","at":"1769850000250","who":4711,"land":"DE","total":"1250","fee":[1,"-2"],"cur":"BHD","till":0.5}"#,
        expect![[r#"
            web 7 order_placed at 2026-01-31T09:00:00.250Z by customer_id:4711, channel store, region north, account Acme, amount 1250 JPY, cost -2 BHD, initiator customer, effort 3, shop=7, till=0.5
        "#]],
    );
    check(
        &toml,
        r#"{"n":"7","what":"order_placed","at":1769850000250,"who":"C1","land":"FR","total":12.5}"#,
        expect![[r#"
            wrong_type [total] amount: it is no amount of at most 10^15 minor units with at most 0 decimals (nothing is rounded); send a plain decimal number, or say with `decimal` how yours are written.
        "#]],
    );
}

#[test]
fn the_first_place_that_holds_something_counts_and_then_the_default() {
    let toml = MINIMAL
        .replace("id = \"n\"", "id = [\"n\", \"old.n\"]")
        .replace("path = \"at\"", "path = [\"at\", \"created\"]")
        .replace("\"what\"", r#"{ path = ["what", "type"], default = "visit_made" }"#)
        + r#"
        region = ["land", "address.land"]
        channel = { path = "via", map = { shop = "store" }, default = "web" }
        effort = { path = "effort", default = "3" }
        amount = { value = ["gross", "net"], unit = "major", currency = { path = "cur", default = "EUR" } }
        properties = { till = { path = "till", default = "none" } }
        "#;
    check(
        &toml,
        r#"{"n":null,"old":{"n":"7"},"type":"order_placed","created":1769850000250,"who":"C1","address":{"land":"north"},"via":"shop","net":1.5}"#,
        expect![[r#"
            web 7 order_placed at 2026-01-31T09:00:00.250Z by customer_id:C1, channel store, region north, amount 150 EUR, initiator customer, effort 3, till=none
        "#]],
    );
    check(
        &toml,
        r#"{"n":"8","at":1769850000250,"created":"never","who":"C1","via":" ","land":"south","address":{"land":"north"},"gross":2,"net":1.5,"cur":"USD"}"#,
        expect![[r#"
            web 8 visit_made at 2026-01-31T09:00:00.250Z by customer_id:C1, channel web, region south, amount 200 USD, initiator customer, effort 3, till=none
        "#]],
    );
    // An empty text, as exports write what is not there.
    check(
        &toml,
        r#"{"n":"8","at":" ","created":1769850000250,"who":"C1","land":"","address":{"land":"north"},"gross":"","net":"1.5"}"#,
        expect![[r#"
            web 8 visit_made at 2026-01-31T09:00:00.250Z by customer_id:C1, channel web, region north, amount 150 EUR, initiator customer, effort 3, till=none
        "#]],
    );
    // Blame falls on the place that was taken, or on the first if there is none.
    check(
        &toml,
        r#"{"n":"8","created":"never","who":"C1"}"#,
        expect![[r#"
            bad_timestamp [created] occurred_at: it is no time between the years 1900 and 2200 in the form that the spoke is configured for (RFC 3339 text such as 2026-01-31T09:00:00Z, a number since 1970, or a local time); send it in that form.
        "#]],
    );
    check(
        &toml,
        r#"{"n":"8","who":"C1"}"#,
        expect![[r#"
        missing_field [at] occurred_at: there is no time; send when it happened.
    "#]],
    );
}

#[test]
fn an_identifier_may_have_many_values() {
    let toml = MINIMAL.replace("\"who\"", "\"who\", email = [\"mail\", \"contact.mails\"]");
    check(
        &toml,
        r#"{"n":1,"what":"visit_made","at":1769850000250,"who":["C2",null,"C1","guest"],"mail":"B@x.org","contact":{"mails":["a@x.org","b@x.org","nobody"]}}"#,
        expect![[r#"
            web 1 visit_made at 2026-01-31T09:00:00.250Z by customer_id:C1 customer_id:C2 email:a@x.org email:b@x.org, initiator customer
        "#]],
    );
    check(
        &toml,
        r#"{"n":1,"what":"visit_made","at":1769850000250,"who":[],"contact":{"mails":"a@x.org"}}"#,
        expect![[r#"
            web 1 visit_made at 2026-01-31T09:00:00.250Z by email:a@x.org, initiator customer
        "#]],
    );
    check(
        &toml,
        r#"{"n":1,"what":"visit_made","at":1769850000250,"who":[["C1"]]}"#,
        expect![[r#"
        wrong_type [who] customer_id: it is an object or a list; send a single text, number or true/false.
    "#]],
    );
    check(
        &toml,
        r#"{"n":1,"what":"visit_made","at":1769850000250,"who":{"a":"C1"}}"#,
        expect![[r#"
        wrong_type [who] customer_id: it is an object or a list; send a single text, number or true/false.
    "#]],
    );
    let many = |count: usize| {
        let values: Vec<String> = (0..count).map(|n| format!("\"C{n}\"")).collect();
        format!("{{\"n\":1,\"what\":\"visit_made\",\"at\":1769850000250,\"who\":[{}]}}", values.join(","))
    };
    check(
        &toml,
        &many(33),
        expect![[r#"
        too_large [who] identifiers: there are more than 32 identifiers; send those of one customer.
    "#]],
    );
    check(
        &toml,
        &many(1001),
        expect![[r#"
        too_large [who] The list has more than 1000 elements; send fewer.
    "#]],
    );
}

#[test]
fn mistakes_in_a_mapping_name_the_key_and_what_to_write() {
    let broken = |from: &str, to: &str| spoke(&MINIMAL.replace(from, to)).expect_err("a mistake").to_string();
    expect![[r#"
        spoke web, line 6: kind.map.Bought: "order_place" is not known; did you mean "order_placed"?; use one of message_sent, message_opened, message_clicked, ad_shown, ad_clicked, page_viewed, content_consumed, event_attended, social_mentioned, review_posted, referral_made, consent_changed, lead_created, meeting_held, quote_sent, cart_abandoned, order_placed, order_cancelled, payment_received, subscription_started, subscription_renewed, subscription_cancelled, case_opened, case_replied, case_resolved, case_reopened, complaint_made, follow_up_made, delivery_promised, order_shipped, order_delivered, order_returned, refund_issued, invoice_issued, service_interrupted, service_restored, survey_answered, visit_made, change_enacted, other
        spoke web, line 6: kind.constant: "bought" is not known; use one of message_sent, message_opened, message_clicked, ad_shown, ad_clicked, page_viewed, content_consumed, event_attended, social_mentioned, review_posted, referral_made, consent_changed, lead_created, meeting_held, quote_sent, cart_abandoned, order_placed, order_cancelled, payment_received, subscription_started, subscription_renewed, subscription_cancelled, case_opened, case_replied, case_resolved, case_reopened, complaint_made, follow_up_made, delivery_promised, order_shipped, order_delivered, order_returned, refund_issued, invoice_issued, service_interrupted, service_restored, survey_answered, visit_made, change_enacted, other
        spoke web, line 6: kind.unmapped: "drop" is not known; use one of other, reject
        spoke web, line 8: identifiers.custmer_id: "custmer_id" is not known; did you mean "customer_id"?; use one of customer_id, email, phone, loyalty, device, cookie, anonymous, order, case, contract
        spoke web, line 8: identifiers: there is none; say where the customer's number or e-mail is
        spoke web, line 8: identifiers.customer_id: the path "who..x" has an empty key; write it as keys joined by dots, such as "customer.id"
        spoke web, line 8: identifiers.customer_id: the path "who[x]" has an index that is not a number up to 1000 in brackets
        spoke web, line 3: topic: a topic's name has 1 to 249 letters, digits, dots, hyphens or underscores
        spoke we|b, line 2: spoke: a spoke's name has 1 to 64 letters, digits, dots, hyphens or underscores
        spoke web, line 6: sentiment.constant: it is not a whole number from -100 to 100; send one in this range
        spoke web, line 5: id: write 1 to 8 paths in quotes, as in id = ["a.b", "c"]
        spoke web, line 6: kind.default: "visit" is not known; use one of message_sent, message_opened, message_clicked, ad_shown, ad_clicked, page_viewed, content_consumed, event_attended, social_mentioned, review_posted, referral_made, consent_changed, lead_created, meeting_held, quote_sent, cart_abandoned, order_placed, order_cancelled, payment_received, subscription_started, subscription_renewed, subscription_cancelled, case_opened, case_replied, case_resolved, case_reopened, complaint_made, follow_up_made, delivery_promised, order_shipped, order_delivered, order_returned, refund_issued, invoice_issued, service_interrupted, service_restored, survey_answered, visit_made, change_enacted, other
        spoke web, line 6: kind.default: a constant needs no default; remove it
        spoke web, line 6: sentiment.default: it is not a whole number from -100 to 100; send one in this range
        spoke web, line 6: region.constant: it is blank; fill it in or remove it
        spoke web, line 6: cost.currency.constant: "Euro" is not known; use one of EUR, USD, any other code of ISO 4217 in capitals
        spoke web, line 6: referrer.type: "mail" is not known; did you mean "email"?; use one of customer_id, email, phone, loyalty, device, cookie, anonymous, order, case, contract"#]].assert_eq(
        &[
            broken("\"what\"", r#"{ path = "what", map = { Bought = "order_place" } }"#),
            broken("\"what\"", r#"{ constant = "bought" }"#),
            broken("\"what\"", r#"{ path = "what", unmapped = "drop" }"#),
            broken("customer_id", "custmer_id"),
            broken("{ customer_id = \"who\" }", "{}"),
            broken("\"who\"", "\"who..x\""),
            broken("\"who\"", "\"who[x]\""),
            broken("web.events", "web events"),
            broken("\"web\"", "\"we|b\""),
            broken("id = \"n\"", "id = \"n\"\nsentiment = { constant = \"101\" }"),
            broken("id = \"n\"", "id = []"),
            broken("\"what\"", r#"{ path = "what", default = "visit" }"#),
            broken("\"what\"", r#"{ constant = "visit_made", default = "visit_made" }"#),
            broken("id = \"n\"", "id = \"n\"\nsentiment = { path = \"x\", default = \"101\" }"),
            broken("id = \"n\"", "id = \"n\"\nregion = { constant = \" \" }"),
            broken(
                "id = \"n\"",
                "id = \"n\"\ncost = { value = \"c\", unit = \"minor\", currency = { constant = \"Euro\" } }",
            ),
            broken(
                "id = \"n\"",
                "id = \"n\"\nreferrer = { type = \"mail\", value = \"r\" }",
            ),
        ]
        .join("\n"),
    );
}

#[test]
fn every_topic_and_every_name_belongs_to_one_spoke() {
    let compiled = |toml: &str| spoke(toml).expect("a spoke of this test");
    let set = SpokeSet::new([compiled(SUPPORT), compiled(MARKETING)]).expect("two departments");
    assert_eq!(set.of_topic("support.events").map(Spoke::name), Some("support"));
    assert!(set.of_topic("other").is_none());
    assert_eq!(set.iter().map(Spoke::topic).collect::<Vec<_>>(), ["marketing.events", "support.events"]);
    assert!(SpokeSet::new([compiled(MINIMAL), compiled(&MINIMAL.replace("\"web\"", "\"app\""))]).is_err());
    assert!(SpokeSet::new([compiled(MINIMAL), compiled(&MINIMAL.replace("web.events", "app.events"))]).is_err());
}

#[test]
fn local_times_have_a_zone_of_the_file_or_of_the_record() {
    let toml = MINIMAL.replace("format = \"epoch_ms\"", "format = \"local\", zone = \"Europe/Amsterdam\"")
        + "promised_at = { path = \"due\", format = \"%d.%m.%Y %H:%M\", zone = { path = \"tz\", default = \"UTC\" } }";
    let event =
        |due: &str| format!("{{\"n\":1,\"what\":\"visit_made\",\"at\":\"2026-01-31 10:00\",\"who\":\"C1\",{due}}}");
    check(
        &toml,
        &event(r#""due":"29.03.2026 02:30","tz":"Europe/Lisbon""#),
        expect![[r#"
        web 1 visit_made at 2026-01-31T09:00:00.000Z by customer_id:C1, promised_at 2026-03-29T01:30:00.000Z, initiator customer
    "#]],
    );
    check(
        &toml,
        &event(r#""due":"29.03.2026 02:30""#),
        expect![[r#"
        web 1 visit_made at 2026-01-31T09:00:00.000Z by customer_id:C1, promised_at 2026-03-29T02:30:00.000Z, initiator customer
    "#]],
    );
    check(
        &toml,
        &event(r#""due":"29.03.2026 02:30","tz":"Europe/Atlantis""#),
        expect![[r#"
        bad_timestamp [tz] promised_at: the time zone is missing or not in the IANA database; send a name such as Europe/Amsterdam.
    "#]],
    );
    check(
        &toml,
        &event(r#""due":"29/03/2026""#),
        expect![[r#"
        bad_timestamp [due] promised_at: it is no time between the years 1900 and 2200 in the form that the spoke is configured for (RFC 3339 text such as 2026-01-31T09:00:00Z, a number since 1970, or a local time); send it in that form.
    "#]],
    );
    // A day: it happened at its beginning, and is in time until its end.
    let days = MINIMAL.replace(
        "{ path = \"at\", format = \"epoch_ms\" }",
        "{ path = \"on\", format = \"%Y-%m-%d\", zone = \"Europe/Amsterdam\" }\n\
         promised_at = { path = \"for\", format = \"%Y-%m-%d\", zone = \"Europe/Amsterdam\" }",
    );
    check(
        &days,
        r#"{"n":1,"what":"delivery_promised","on":"2026-01-31","for":"2026-01-31","who":"C1"}"#,
        expect![[r#"
        web 1 delivery_promised at 2026-01-30T23:00:00.000Z by customer_id:C1, promised_at 2026-01-31T22:59:59.999Z, initiator system
    "#]],
    );
    let broken = |time: &str| {
        let toml = MINIMAL.replace("{ path = \"at\", format = \"epoch_ms\" }", time);
        spoke(&toml).expect_err("a mistake").to_string()
    };
    expect![[r#"
        spoke web, line 7: occurred_at.zone: it is missing; add zone = "Europe/Amsterdam", or { path = "…" }
        spoke web, line 7: occurred_at.zone: "Europe/Amsterdan" is no time zone of the IANA database; use a name such as "Europe/Amsterdam"
        spoke web, line 7: occurred_at.format: the pattern does not say the day: it needs year, month and day, as in "%d.%m.%Y %H:%M"
        spoke web, line 7: occurred_at.zone: the pattern has the offset or the zone; remove it
        spoke web, line 7: occurred_at.zone.default: "CEST" is no time zone of the IANA database; use a name such as "Europe/Amsterdam""#]].assert_eq(
        &[
            broken(r#"{ path = "at", format = "local" }"#),
            broken(r#"{ path = "at", format = "local", zone = "Europe/Amsterdan" }"#),
            broken(r#"{ path = "at", format = "%H:%M", zone = "UTC" }"#),
            broken(r#"{ path = "at", format = "%Y-%m-%d %z", zone = "UTC" }"#),
            broken(r#"{ path = "at", format = "local", zone = { path = "tz", default = "CEST" } }"#),
        ]
        .join("\n"),
    );
}

#[test]
fn a_spoke_says_where_its_phone_numbers_are() {
    let event =
        r#"{"n":1,"what":"order_placed","at":1769850000250,"who":"C1","call":["01 70 18 99 00","+49 30 123456"]}"#;
    let with_phone = MINIMAL.replace("customer_id = \"who\" }", "customer_id = \"who\", phone = \"call\" }");
    let french = with_phone.replace("format = \"json\"", "format = \"json\"\nphone_region = \"FR\"");
    check(
        &french,
        event,
        expect![[r#"
        web 1 order_placed at 2026-01-31T09:00:00.250Z by customer_id:C1 phone:+33170189900 phone:+4930123456, initiator customer
    "#]],
    );
    check(
        &with_phone,
        event,
        expect![[r#"
        web 1 order_placed at 2026-01-31T09:00:00.250Z by customer_id:C1 phone:+4930123456 phone:01 70 18 99 00, initiator customer
    "#]],
    );
    let error = spoke(&french.replace("\"FR\"", "\"XX\"")).expect_err("no such region").to_string();
    assert!(error.starts_with("spoke web, line 5: phone_region: \"XX\" is no region"), "{error}");
}
