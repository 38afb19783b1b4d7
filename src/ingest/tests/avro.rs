//! Avro in a department's own schema, and envelopes of CloudEvents.

use std::sync::Mutex;

use apache_avro::{Schema, types::Value as Avro};

use super::*;
use crate::wire::{
    SchemaFolder,
    registry::{Fetch, Registry, client::RegistryError},
};

const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"number","type":"string"},
    {"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID","LOST"]}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"promised","type":["null",{"type":"long","logicalType":"local-timestamp-millis"}],"default":null},
    {"name":"buyer","type":{"type":"record","name":"Buyer","fields":[
        {"name":"email","type":["null","string"],"default":null},
        {"name":"phones","type":{"type":"array","items":"string"}}]}},
    {"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}}]}"#;

const MAPPING: &str = r#"
    spoke = "shop"
    topic = "test.events"
    format = "avro"
    id = "number"
    kind = { path = "state", map = { NEW = "order_placed", PAID = "payment_received" } }
    occurred_at = { path = "at", format = "logical" }
    promised_at = { path = "promised", format = "local", zone = "Europe/Amsterdam" }
    amount = { value = "total", unit = "major", currency = { constant = "EUR" } }
    [identifiers]
    email = "buyer.email"
    phone = "buyer.phones"
    order = "number"
"#;

fn order(state: u32, promised: Avro) -> Vec<u8> {
    order_of(ORDER, state, promised)
}

fn order_of(schema: &str, state: u32, promised: Avro) -> Vec<u8> {
    let text = |text: &str| Avro::String(text.into());
    let symbols = ["NEW", "PAID", "LOST"];
    let value = Avro::Record(vec![
        ("number".into(), text("O-1")),
        ("state".into(), Avro::Enum(state, symbols[state as usize].into())),
        ("at".into(), Avro::TimestampMicros(1_769_850_000_250_999)),
        ("promised".into(), promised),
        (
            "buyer".into(),
            Avro::Record(vec![
                ("email".into(), Avro::Union(1, Box::new(text("ann@x.org")))),
                ("phones".into(), Avro::Array(vec![text("+31201234567"), text("+31207654321")])),
            ]),
        ),
        ("total".into(), Avro::Decimal(vec![0x01, 0x86, 0xA0].into())),
    ]);
    let schema = Schema::parse_str(schema).expect("a schema");
    let mut bytes = Vec::new();
    apache_avro::writer::datum::GenericDatumWriter::builder(&schema)
        .build()
        .and_then(|writer| writer.write_value(&mut bytes, value).map(|_| ()))
        .expect("the value fits the schema");
    bytes
}

fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), datum].concat()
}

fn compile(mapping: &str, schemas: Schemas) -> Result<Spoke, String> {
    let file = SpokeFile::parse("shop.toml", mapping).map_err(|error| error.to_string())?;
    Spoke::compile(&file, Options::default(), &Arc::new(schemas)).map_err(|error| error.to_string())
}

fn folder(files: &[(&str, &str)]) -> Schemas {
    SchemaFolder::from_files(files.iter().copied()).expect("safe schemas").into()
}

#[test]
fn a_departments_own_schema_is_mapped_with_what_its_types_mean() {
    let spoke = compile(MAPPING, folder(&[("7.avsc", ORDER)])).expect("a right mapping");
    let promised = Avro::Union(1, Box::new(Avro::LocalTimestampMillis(1_769_875_200_000)));
    expect_test::expect![[r#"
        shop O-1 order_placed at 2026-01-31T09:00:00.250Z by email:ann@x.org phone:+31201234567 phone:+31207654321 order:O-1, amount 100000 EUR, promised_at 2026-01-31T15:00:00.000Z, initiator customer
    "#]]
    .assert_eq(&outcomes(&spoke, &framed(7, &order(0, promised))));
    // A date is the whole day: the 31st in Amsterdam, to its last millisecond.
    let dated = ORDER
        .replace(r#"{"type":"long","logicalType":"local-timestamp-millis"}"#, r#"{"type":"int","logicalType":"date"}"#);
    let (days, of_days) = (
        compile(MAPPING, folder(&[("7.avsc", &dated)])).expect("a right mapping"),
        Avro::Union(1, Box::new(Avro::Date(20_484))),
    );
    let found = outcomes(&days, &framed(7, &order_of(&dated, 0, of_days)));
    assert!(found.contains("promised_at 2026-01-31T22:59:59.999Z"), "{found}");
    let lost = outcomes(&spoke, &framed(7, &order(2, Avro::Union(0, Box::new(Avro::Null)))));
    assert!(lost.contains("other") && lost.contains("LOST"), "{lost}");
}

#[test]
fn what_is_no_avro_of_a_known_schema_is_rejected_with_the_reason() {
    let spoke = compile(MAPPING, folder(&[("7.avsc", ORDER)])).expect("a right mapping");
    let good = framed(7, &order(0, Avro::Union(0, Box::new(Avro::Null))));
    let said = |payload: &[u8]| rejection(&spoke, Some(payload)).map(|it| (it.reason, it.message));
    assert_eq!(said(&good), None);
    for (payload, reason, part) in [
        (b"{\"number\":\"O-1\"}".to_vec(), Reason::Undecodable, "no Avro framing"),
        (framed(8, &good[5..]), Reason::UnknownSchema, "not in the schema folder as 8.avsc"),
        (good[..good.len() - 1].to_vec(), Reason::Undecodable, "does not follow the schema"),
        ([&good[..], &[0]].concat(), Reason::Undecodable, "bytes are left"),
    ] {
        let (found, message) = said(&payload).expect("it must be rejected");
        assert!(found == reason && message.contains(part), "{found}: {message}");
    }
    let (reason, message) = said(b"\x00\x00").expect("it must be rejected");
    assert!(reason == Reason::Undecodable && message.contains("framing"), "{message}");
}

#[test]
fn a_reader_schema_fills_in_and_renames_and_says_what_does_not_fit() {
    let reader = ORDER
        .replace(r#""name":"number""#, r#""name":"order_number","aliases":["number"]"#)
        .replace(r#"{"name":"buyer""#, r#"{"name":"region","type":"string","default":"NL"},{"name":"buyer""#);
    let mapping = MAPPING
        .replace("\"number\"", "\"order_number\"")
        .replace("format = \"avro\"", "format = \"avro\"\n    reader_schema = \"order.avsc\"\n    region = \"region\"");
    let other = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"number","type":"int"}]}"#;
    let schemas = folder(&[("7.avsc", ORDER), ("8.avsc", other), ("order.avsc", &reader)]);
    let spoke = compile(&mapping, schemas).expect("a right mapping");
    let shown = outcomes(&spoke, &framed(7, &order(0, Avro::Union(0, Box::new(Avro::Null)))));
    assert!(shown.contains("O-1") && shown.contains("NL"), "{shown}");
    let rejection = rejection(&spoke, Some(&framed(8, &[2]))).expect("a schema that does not fit");
    assert_eq!((rejection.reason, &*rejection.field), (Reason::WrongType, "order_number"));
    assert!(rejection.message.contains("registry id 8"), "{}", rejection.message);
    let missing = compile(&mapping, folder(&[("7.avsc", ORDER)])).expect_err("there is no such file");
    assert!(missing.contains("line 5: reader_schema: there is no \"order.avsc\""), "{missing}");
    let lacking = compile(&mapping, folder(&[("order.avsc", ORDER)])).expect_err("it lacks what the mapping names");
    assert!(lacking.contains("reader_schema: order_number: the reader's schema has no such field"), "{lacking}");
}

#[test]
fn a_list_that_older_writers_do_not_have_is_by_default_what_the_readers_schema_says() {
    let mapping = MAPPING
        .replace("id = \"number\"", "id = \"number\"\n    each = \"parcels\"\n    product = \".\"")
        .replace("format = \"avro\"", "format = \"avro\"\n    reader_schema = \"order.avsc\"");
    let payload = framed(7, &order(0, Avro::Union(0, Box::new(Avro::Null))));
    for (of, default) in [(r#"["null",LIST]"#, "null"), ("LIST", "[]")] {
        let parcels = format!(r#"{{"name":"parcels","type":{of},"default":{default}}},{{"name":"buyer""#)
            .replace("LIST", r#"{"type":"array","items":"string"}"#);
        let reader = ORDER.replace(r#"{"name":"buyer""#, &parcels);
        let spoke = compile(&mapping, folder(&[("7.avsc", ORDER), ("order.avsc", &reader)])).expect("a right mapping");
        assert_eq!(outcomes(&spoke, &payload), "skipped\n", "{default}: there are none");
    }
}

#[test]
fn a_schema_that_is_being_fetched_makes_its_records_wait() {
    struct Slow(Arc<Mutex<Option<&'static str>>>);
    impl Fetch for Slow {
        fn schema(&mut self, _: u32) -> Result<String, RegistryError> {
            let answer = *self.0.lock().expect("no test panics with it");
            answer.map(str::to_owned).ok_or_else(|| RegistryError::Unavailable("connection refused".into()))
        }
    }
    let answer = Arc::new(Mutex::new(None));
    let registry = Registry::start(Slow(Arc::clone(&answer)), Duration::from_secs(60), Arc::new(|_| {}));
    let schemas = Schemas { registry: Some(registry.expect("a thread")), ..Schemas::default() };
    let spoke = compile(MAPPING, schemas).expect("a right mapping");
    let payload = framed(9, &order(0, Avro::Union(0, Box::new(Avro::Null))));
    let mut calls = 0;
    let not_yet = spoke.map(&record(Some(&payload)), &mut |_| calls += 1);
    assert_eq!((not_yet, calls), (Err(NotYet(SchemaRef::Id(9))), 0));
    *answer.lock().expect("unpoisoned") = Some(ORDER);
    spoke.wait_for(SchemaRef::Id(9), Duration::from_secs(60)).expect("it answers now");
    assert!(outcomes(&spoke, &payload).contains("order_placed"));
}

#[test]
fn times_of_a_schema_need_a_schema() {
    let json = MAPPING.replace("format = \"avro\"", "format = \"json\"");
    let error = compile(&json, Schemas::default()).expect_err("JSON has no logical types");
    assert!(error.contains("occurred_at.format: only an Avro schema says"), "{error}");
}

const TICKET: &str = r#"
    spoke = "support"
    topic = "test.events"
    format = "json"
    envelope = "cloudevents"
    id = "id"
    kind = { path = "type", map = { "ticket.opened" = "case_opened" } }
    occurred_at = { path = "time", format = "rfc3339" }
    subject = "data.topic"
    [identifiers]
    email = "data.requester.email"
"#;

#[test]
fn cloudevents_are_the_same_event_in_both_modes() {
    let spoke = compile(TICKET, Schemas::default()).expect("a right mapping");
    let data = r#"{"topic":"delivery","requester":{"email":"ann@x.org"}}"#;
    let structured = format!(
        r#"{{"specversion":"1.0","id":"e-1","type":"ticket.opened","time":"2026-01-31T09:00:00Z","data":{data}}}"#
    );
    let headers: Vec<(String, String)> = [
        ("ce_specversion", "1.0"),
        ("ce_id", "e-1"),
        ("ce_type", "ticket.opened"),
        ("ce_time", "2026-01-31T09:00:00Z"),
        ("content-type", "application/json"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let binary = |payload: Option<&[u8]>| {
        let record = SourceRecord { headers: &headers, ..record(payload) };
        let mut lines = String::new();
        spoke.map(&record, &mut |outcome| lines += &(shown(&outcome) + "\n")).expect("JSON has no schema");
        lines
    };
    let expected = outcomes(&spoke, structured.as_bytes());
    assert!(expected.contains("case_opened") && expected.contains("ann@x.org"), "{expected}");
    assert_eq!(binary(Some(data.as_bytes())), expected);
    // Without data there is no customer, but the event is there.
    assert!(binary(None).contains("no_usable_identifier"), "{}", binary(None));
    let neither = rejection(&spoke, Some(data.as_bytes())).expect("no CloudEvent");
    assert_eq!((neither.reason, &*neither.field), (Reason::MissingField, "specversion"));
    assert!(outcomes(&spoke, b"null").contains("not an object"));
}

#[test]
fn an_event_of_whose_data_nothing_is_read_may_have_any() {
    let plain = TICKET.replace("    subject = \"data.topic\"\n", "").replace("data.requester.email", "subject");
    let spoke = compile(&plain, Schemas::default()).expect("a right mapping");
    for data in ["{}", r#"{"topic":"delivery"}"#, "[1]", "[]", "\"x\"", "null"] {
        let event = format!(
            r#"{{"specversion":"1.0","id":"e-1","type":"ticket.opened","time":"2026-01-31T09:00:00Z","subject":"ann@x.org","data":{data}}}"#
        );
        let shown = outcomes(&spoke, event.as_bytes());
        assert!(shown.contains("case_opened") && shown.contains("ann@x.org"), "{data}: {shown}");
    }
}

/// An event in structured mode whose data is these bytes.
fn structured(data: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
    format!(
        r#"{{"specversion":"1.0","id":"e-9","type":"ticket.opened","time":"2026-01-31T09:00:00Z","data":null,"data_base64":"{}"}}"#,
        BASE64.encode(data)
    )
}

#[test]
fn data_in_structured_mode_may_be_bytes() {
    let spoke = compile(TICKET, Schemas::default()).expect("a right mapping");
    let event = structured(br#"{"topic":"delivery","requester":{"email":"ann@x.org"}}"#);
    let shown = outcomes(&spoke, event.as_bytes());
    assert!(shown.contains("case_opened") && shown.contains("ann@x.org") && shown.contains("delivery"), "{shown}");
    assert_eq!(outcomes(&spoke, event.replace("=\"", "\"").as_bytes()), shown);
    let says = |event: &str| {
        let rejection = rejection(&spoke, Some(event.as_bytes())).expect("it must be rejected");
        format!("{} [{}] {}", rejection.reason, rejection.field, rejection.message)
    };
    for (event, expected) in [
        (structured(b"{"), "undecodable [] The payload is not valid JSON"),
        (structured(b""), "undecodable [] The payload is not valid JSON"),
        (structured(b"{\"topic\":1,\"topic\":2}"), "undecodable [data.topic] The key is there twice"),
        (event.replace("\"data\":null", "\"data\":{}"), "undecodable [data_base64] The event has both"),
        (event.replace("base64\":\"", "base64\":\"*"), "undecodable [data_base64] It is no base64"),
        (r#"{"specversion":"1.0","data_base64":[1]}"#.to_owned(), "undecodable [data_base64] It is no base64"),
        (r#"{"data_base64":"e30="}"#.to_owned(), "missing_field [specversion]"),
    ] {
        assert!(says(&event).starts_with(expected), "{event}: {}", says(&event));
    }
}

#[test]
fn cloudevents_around_avro_come_in_both_modes() {
    let mapping = MAPPING
        .replace("format = \"avro\"", "format = \"avro\"\n    envelope = \"cloudevents\"")
        .replace("= \"number\"", "= \"id\"")
        .replace("\"state\"", "\"data.state\"")
        .replace("\"at\"", "\"data.at\"")
        .replace("\"promised\"", "\"data.promised\"")
        .replace("\"buyer.", "\"data.buyer.")
        .replace("\"total\"", "\"data.total\"");
    let spoke = compile(&mapping, folder(&[("7.avsc", ORDER)])).expect("a right mapping");
    let payload = framed(7, &order(0, Avro::Union(0, Box::new(Avro::Null))));
    let headers = vec![("ce_specversion".to_owned(), "1.0".to_owned()), ("ce_id".to_owned(), "e-9".to_owned())];
    let mut binary = String::new();
    let enveloped = SourceRecord { headers: &headers, ..record(Some(&payload)) };
    spoke.map(&enveloped, &mut |outcome| binary += &(shown(&outcome) + "\n")).expect("its schema is at hand");
    assert!(binary.contains("e-9") && binary.contains("order_placed"), "{binary}");
    let event = structured(&payload);
    assert_eq!(outcomes(&spoke, event.as_bytes()), binary);
    let mut schemas = Schemas7(0);
    spoke.map_noting(&record(Some(event.as_bytes())), &mut schemas, &mut |_| {}).expect("its schema is at hand");
    assert_eq!(schemas.0, 1);
    // As a sample it may be either.
    let mut sampled = String::new();
    spoke.map_json(&record(Some(event.as_bytes())), &mut |outcome| sampled += &(shown(&outcome) + "\n"));
    assert_eq!(sampled, binary);
    for (event, expected) in [
        (payload.clone(), "undecodable"),
        (br#"{"specversion":"1.0","id":"e-9","data":{"state":"PLACED"}}"#.to_vec(), "send it as data_base64"),
        (structured(&framed(8, &payload[5..])).into_bytes(), "not in the schema folder as 8.avsc"),
        (structured(&payload[..payload.len() - 1]).into_bytes(), "does not follow the schema"),
        (structured(b"{}").into_bytes(), "no Avro framing"),
    ] {
        let shown = outcomes(&spoke, &event);
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
}

/// Counts how often a schema is told.
struct Schemas7(u32);

impl crate::ingest::Notes for Schemas7 {
    fn schema(&mut self, schema: crate::wire::schemas::SchemaRef) {
        self.0 += u32::from(schema == crate::wire::schemas::SchemaRef::Id(7));
    }

    fn unmapped_kind(&mut self, _: &str) {}
}
