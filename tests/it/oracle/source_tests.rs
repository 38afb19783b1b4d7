//! The departments' shapes and encodings, by hand-written examples.

use serde_json::{Value, json};

use super::{
    Options, Source, compare, expected, person_id,
    tests::{at, world},
};

#[test]
fn avro_says_the_same_as_json() {
    use apache_avro::{Schema, rabin::Rabin, types::Value as Avro};
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/touchpoint.avsc");
    let schema = Schema::parse_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let event = json!({
        "id": "x1", "kind": "order_placed", "occurred_at": at(1, 9),
        "identifiers": {"customer_id": ["C1"], "order": ["O1"]}, "region": "north",
        "amount": {"minor": 1_250, "currency": "EUR"}, "promised_at": at(3, 9),
    });
    let avro = Avro::Record(vec![
        ("id".into(), Avro::from("x1")),
        ("kind".into(), Avro::from("order_placed")),
        ("occurred_at".into(), Avro::TimestampMillis(at(1, 9))),
        (
            "identifiers".into(),
            Avro::Map(
                [("customer_id", "C1"), ("order", "O1")]
                    .map(|(kind, value)| (kind.to_owned(), Avro::Array(vec![Avro::from(value)])))
                    .into(),
            ),
        ),
        ("region".into(), Avro::Union(1, Box::new(Avro::from("north")))),
        (
            "amount".into(),
            Avro::Union(
                1,
                Box::new(Avro::Record(vec![
                    ("minor".into(), Avro::Long(1_250)),
                    ("currency".into(), Avro::from("EUR")),
                ])),
            ),
        ),
        ("promised_at".into(), Avro::Union(1, Box::new(Avro::TimestampMillis(at(3, 9))))),
    ]);
    let datum = apache_avro::writer::datum::GenericDatumWriter::builder(&schema)
        .build()
        .unwrap()
        .write_value_to_vec(avro.resolve(&schema).unwrap())
        .unwrap();
    let bytes = [&[0xC3, 0x01], &schema.fingerprint::<Rabin>().bytes[..], &datum[..]].concat();
    let read = |payload: &[u8]| {
        let source = Source { spoke: "operations", payload, timestamp_ms: at(400, 0) };
        expected([source], &Options::default())
    };
    let by_avro = read(&bytes);
    assert!(by_avro.rejected.is_empty(), "{:?}", by_avro.rejected);
    assert_eq!(compare(&world(&[event]), &by_avro.feeds), []);
    let reasons = |payload: &[u8]| read(payload).rejected.into_keys().map(|(_, reason)| reason).collect::<Vec<_>>();
    assert_eq!(reasons(&bytes[..bytes.len() - 1]), ["undecodable"]);
    let mut foreign = bytes.clone();
    foreign[4] ^= 1;
    assert_eq!(reasons(&foreign), ["unknown_schema"]);
}

#[test]
fn the_shapes_of_marketing_and_support_are_understood() {
    let read = |spoke: &str, event: Value| {
        let payload = event.to_string().into_bytes();
        let source = Source { spoke, payload: &payload, timestamp_ms: at(400, 0) };
        let mut found = expected([source], &Options::default());
        assert!(found.rejected.is_empty(), "{:?}", found.rejected);
        found.feeds.touchpoints.pop_first().unwrap().1
    };
    let told = |touchpoint: &Value, members: Value| {
        for (name, value) in members.as_object().unwrap() {
            assert_eq!(touchpoint[name], *value, "{name}");
        }
    };
    let referrer = person_id(&Options::default().person_key, &(0, "C1".to_owned()));
    let referral = read(
        "marketing",
        json!({"event": "Referral", "id": "m-3", "ts": 1_760_007_200.125, "profile": {"customer": "C2", "mail": " Bob@Example.org"},
            "medium": "push", "market": "north", "referred_by": "C1", "spend": {"value": 1.25, "currency": "EUR"}, "mood": 40}),
    );
    told(
        &referral,
        json!({"kind": "referral_made", "label": null, "occurred_at": "2025-10-09T10:53:20.125Z", "channel": "app",
            "identifiers": {"customer_id": ["C2"], "email": ["bob@example.org"]}, "region": "north", "initiator": "customer",
            "referrer": {"type": "customer_id", "value": referrer}, "cost": {"minor": 125, "currency": "EUR"}, "sentiment": 40}),
    );
    let unmapped =
        read("marketing", json!({"event": "Balloon", "id": "m-4", "ts": "1760007200", "profile": {"cookie": "k"}}));
    told(&unmapped, json!({"kind": "other", "label": "Balloon", "initiator": "system", "visibility": "public"}));
    let commented = read(
        "support",
        json!({"id": "s-2", "type": "ticket.commented", "time": "2026-01-31T10:20:00+01:00", "data": {"ticket": "T-1",
            "via": "voice", "requester": {"number": "C1", "company": "acme"}, "author": "end_user",
            "comment": {"public": false}, "rating": {"scale": "satisfaction", "value": 4}, "priority": 2,
            "goodwill": {"minor": -500, "currency": "EUR"}}}),
    );
    told(
        &commented,
        json!({"kind": "case_replied", "occurred_at": "2026-01-31T09:20:00.000Z", "channel": "phone", "account": "acme",
            "identifiers": {"customer_id": ["C1"], "case": ["T-1"]}, "initiator": "customer", "visibility": "internal",
            "score": {"scale": "csat", "value": 4, "item": null}, "effort": 2, "amount": {"minor": -500, "currency": "EUR"}}),
    );
}
