//! The canonical touchpoint, as JSON and as Avro: the same fields, whatever version of the schema wrote them.

use apache_avro::{schema_compatibility::SchemaCompatibility, types::Value, writer::datum::GenericDatumWriter};
use expect_test::{expect, expect_file};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    model::{Channel, Currency, EventTime, IdentifierType, Initiator, Kind, Money, Score, ScoreScale, Visibility},
    wire::{avro::encode_touchpoint, schemas::TOUCHPOINT_SCHEMA},
};

/// A touchpoint that has everything.
const FULL: &str = r#"{"id":"f-1","spoke":"operations","kind":"survey_answered","label":"Umfrage","occurred_at":"2026-01-31T09:00:00.250Z",
    "identifiers":{"order":["O-1"],"email":["Ann@Example.org","ann@example.org"],"customer_id":"C1"},"channel":"hologram","subject":"delivery",
    "product":"P-12","region":"north","segment":"families","campaign":"spring","content":"letter","account":"Acme",
    "amount":{"minor":-250,"currency":"EUR"},"cost":{"minor":"12","currency":"JPY"},"score":{"scale":"expectation","value":7,"item":"speed"},
    "promised_at":1769850000000,"initiator":"bot","visibility":"internal","sentiment":-100,"referrer":{"type":"email","value":"BOB@x"},
    "effort":-3,"properties":{"b":true,"a":1.5,"none":null},"unknown":{"later":[1,2,3]}}"#;

/// As PHP writes an object without members.
#[test]
fn an_empty_list_or_text_is_an_object_that_is_not_there() {
    for empty in ["[]", "\"\""] {
        check(
            OPERATIONS,
            &format!(
                r#"{{"id":"o-1","kind":"visit_made","occurred_at":"2026-02-10T09:00:00Z","identifiers":{{"customer_id":["C1"]}},
                "amount":{empty},"properties":{empty},"referrer":{empty}}}"#
            ),
            expect![[r#"
                operations o-1 visit_made at 2026-02-10T09:00:00.000Z by customer_id:C1, initiator customer
            "#]],
        );
    }
}

#[test]
fn every_field_goes_by_its_name() {
    check(
        OPERATIONS,
        FULL,
        expect![[r#"
        operations f-1 survey_answered at 2026-01-31T09:00:00.250Z by customer_id:C1 email:ann@example.org order:O-1, label Umfrage, channel other, subject delivery, product P-12, region north, segment families, campaign spring, content letter, account Acme, amount -250 EUR, cost 12 JPY, score expectation 7 speed, promised_at 2026-01-31T09:00:00.000Z, initiator bot, visibility internal, sentiment -100, referrer email:bob@x, effort -3, a=1.5, b=true
    "#]],
    );
    check(
        OPERATIONS,
        r#"{"id":"f-2","kind":"other","occurred_at":1769850000250,"identifiers":{"case":["T-1"]},"amount":null,"score":null,"properties":{}}"#,
        expect![[r#"
            operations f-2 other at 2026-01-31T09:00:00.250Z by case:T-1, initiator system
        "#]],
    );
}

#[test]
fn tests_of_a_mapping_may_name_every_field_that_a_touchpoint_shows() {
    let touchpoint = full();
    let mut shown: Vec<&str> = fields(&touchpoint).into_iter().map(|(name, _)| name).collect();
    let mut names = spoke_file::field_names();
    shown.sort_unstable();
    names.sort_unstable();
    assert_eq!(shown, names);
}

fn full() -> Touchpoint<'static> {
    Touchpoint {
        occurred_at: EventTime(1_769_850_000_250),
        id: "f-1",
        spoke: "sales",
        kind: Kind::OrderPlaced,
        label: Some("Bestellung"),
        identifiers: vec![
            Identifier { kind: IdentifierType::CustomerId, value: "C1" },
            Identifier { kind: IdentifierType::Order, value: "O-1" },
            Identifier { kind: IdentifierType::Order, value: "O-2" },
        ],
        channel: Some(Channel::Store),
        subject: Some("s"),
        product: Some("p"),
        region: Some("r"),
        segment: Some("g"),
        campaign: Some("c"),
        content: Some("t"),
        account: Some("a"),
        amount: Some(Money { minor: -1, currency: Currency(*b"EUR") }),
        cost: Some(Money { minor: 1_000_000_000_000_000, currency: Currency(*b"USD") }),
        score: Some(Score { scale: ScoreScale::Nps, value: 10, item: Some("i") }),
        promised_at: Some(EventTime(-1)),
        initiator: Initiator::Agent,
        visibility: Visibility::Internal,
        sentiment: Some(-100),
        referrer: Some(Identifier { kind: IdentifierType::Email, value: "é@x" }),
        effort: Some(i32::MIN),
        properties: vec![("a", "1"), ("b", "2")],
    }
}

/// What the sales spoke makes of a touchpoint's Avro form.
fn through_avro(touchpoint: &Touchpoint<'_>) -> String {
    let mut bytes = Vec::new();
    encode_touchpoint(touchpoint, &mut bytes);
    outcomes(&spoke(SALES).expect("an example spoke file"), &bytes)
}

#[test]
fn a_touchpoint_survives_its_avro_form_which_never_changes() {
    let touchpoint = full();
    assert_eq!(through_avro(&touchpoint), format!("{}\n", shown(&Mapped::Touchpoint(touchpoint.clone()))));
    let mut bytes = Vec::new();
    encode_touchpoint(&touchpoint, &mut bytes);
    let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expect_file!["../../../tests/fixtures/ingest/touchpoint-v1.hex"].assert_eq(&format!("{hexadecimal}\n"));
}

fn word() -> impl Strategy<Value = String> {
    "[a-zà-ÿ][ -~à-ÿ]{0,20}[a-z]"
}

proptest! {
    #[test]
    fn any_touchpoint_survives_its_avro_form(
        id in word(), kind in prop::sample::select(Kind::ALL), customer in word(), label in prop::option::of(word()),
        at in EventTime::MIN.0..NOW_MS, minor in prop::option::of(-1_000_000_000_000_000_i64..=1_000_000_000_000_000),
        channel in prop::option::of(prop::sample::select(Channel::ALL)), sentiment in prop::option::of(-100_i8..=100),
        region in prop::option::of(word()), effort in prop::option::of(any::<i32>()), value in word(),
    ) {
        let touchpoint = Touchpoint {
            id: &id,
            kind,
            label: label.as_deref(),
            occurred_at: EventTime(at),
            identifiers: vec![Identifier { kind: IdentifierType::Loyalty, value: &customer }],
            channel,
            region: region.as_deref(),
            amount: minor.map(|minor| Money { minor, currency: Currency(*b"EUR") }),
            score: None,
            sentiment,
            effort,
            promised_at: None,
            referrer: None,
            properties: vec![("key", &value)],
            ..full()
        };
        prop_assume!(!["null", "none", "nan", "undefined", "anonymous", "guest", "unknown", "true", "false", "id", "email"].contains(&customer.as_str()));
        prop_assert_eq!(through_avro(&touchpoint), format!("{}\n", shown(&Mapped::Touchpoint(touchpoint.clone()))));
    }
}

fn schema(text: &str) -> apache_avro::Schema {
    apache_avro::Schema::parse_str(text).expect("a schema of this test")
}

/// The canonical schema with its list of fields changed.
fn changed(change: impl Fn(&mut Vec<serde_json::Value>)) -> String {
    let mut schema: serde_json::Value = serde_json::from_str(TOUCHPOINT_SCHEMA).expect("the schema is JSON");
    change(schema["fields"].as_array_mut().expect("a record has fields"));
    schema.to_string()
}

/// What the sales spoke makes of a minimal touchpoint that was written with another version of the schema, in both framings.
fn written_with(version: &str) -> String {
    let schema = schema(version);
    let customer = Value::Array(vec![Value::String("C1".into())]);
    let value = Value::Record(vec![
        ("id".into(), Value::String("v-1".into())),
        ("kind".into(), Value::String("order_placed".into())),
        ("occurred_at".into(), Value::TimestampMillis(1_769_850_000_250)),
        ("identifiers".into(), Value::Map([("customer_id".to_owned(), customer)].into())),
        ("product".into(), Value::Union(1, Box::new(Value::String("P-1".into())))),
    ]);
    let value = value.resolve(&schema).expect("the version takes a minimal touchpoint");
    let writer = GenericDatumWriter::builder(&schema).build().expect("a schema without references");
    let datum = writer.write_value_to_vec(value).expect("it was resolved");

    let schemas =
        Arc::new(Schemas::from(crate::wire::SchemaFolder::from_files([("17.avsc", version)]).expect("a safe schema")));
    let file = SpokeFile::parse("sales.toml", SALES).expect("an example spoke file");
    let spoke = Spoke::compile(&file, Options::default(), &schemas).expect("an example spoke file");
    let mut registry = vec![0, 0, 0, 0, 17];
    registry.extend_from_slice(&datum);
    let mut single = vec![0xC3, 1];
    single.extend_from_slice(&wire::schemas::fingerprint(version).expect("a safe schema"));
    single.extend_from_slice(&datum);
    let outcome = outcomes(&spoke, &registry);
    assert_eq!(outcomes(&spoke, &single), outcome);
    outcome
}

#[test]
fn producers_may_add_remove_and_reorder_fields() {
    let expected = written_with(TOUCHPOINT_SCHEMA);
    expect![[r#"
        sales v-1 order_placed at 2026-01-31T09:00:00.250Z by customer_id:C1, product P-1, initiator customer
    "#]]
    .assert_eq(&expected);
    let reversed = changed(|fields| {
        // Money is defined where it is used first.
        let at = |fields: &[serde_json::Value], name| fields.iter().position(|field| field["name"] == name);
        let (amount, cost) = (at(fields, "amount"), at(fields, "cost"));
        if let (Some(amount), Some(cost)) = (amount, cost) {
            let definition = fields[amount]["type"].take();
            fields[amount]["type"] = fields[cost]["type"].take();
            fields[cost]["type"] = definition;
        }
        fields.reverse();
    });
    assert_eq!(written_with(&reversed), expected);
    let added = changed(|fields| {
        let inner = json!({"type": "record", "name": "New", "fields": [{"name": "list", "type": {"type": "array", "items": "string"}, "default": []}]});
        fields.insert(1, json!({"name": "new", "type": ["null", inner], "default": null}));
        fields.insert(
            5,
            json!({"name": "newer", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}, "default": "B"}),
        );
    });
    assert_eq!(written_with(&added), expected);
    for removed in ["spoke", "label", "cost", "channel", "score", "initiator", "properties", "effort"] {
        assert_eq!(written_with(&changed(|fields| fields.retain(|field| field["name"] != removed))), expected);
    }
}

#[test]
fn every_field_with_a_default_may_come_and_go_with_full_compatibility() {
    let current = schema(TOUCHPOINT_SCHEMA);
    let names: Vec<String> = current_fields(true);
    assert_eq!(current_fields(false), ["id", "kind", "occurred_at", "identifiers"]);
    for removed in names.iter().filter(|name| *name != "amount") {
        let without = schema(&changed(|fields| fields.retain(|field| field["name"] != **removed)));
        SchemaCompatibility::mutual_read(&current, &without).unwrap_or_else(|error| panic!("{removed}: {error}"));
    }
}

fn current_fields(with_default: bool) -> Vec<String> {
    let schema: serde_json::Value = serde_json::from_str(TOUCHPOINT_SCHEMA).expect("the schema is JSON");
    let fields = schema["fields"].as_array().expect("a record has fields");
    let named = fields.iter().filter(|field| field.get("default").is_some() == with_default);
    named.map(|field| field["name"].as_str().expect("a name").to_owned()).collect()
}
