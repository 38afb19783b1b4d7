//! Nanoseconds per event of decode + map + validate, by format, against the same parser into a derived struct of just the
//! needed fields, on the same bytes: the ratio is what the mapping costs.
//!
//! `cargo bench --bench ingest`: the best of many short runs on one thread, each
//! short enough to fit between two interruptions of a busy machine.

#![allow(
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark shows its table on standard output and fails loudly"
)]

use std::{borrow::Cow, collections::HashMap, hint::black_box, sync::Arc, time::Instant};

use insight_hub::{
    ingest::{Mapped, NoHeaders, Options, SourceRecord, Spoke, SpokeFile},
    model::Touchpoint,
    wire::{SchemaFolder, avro::encode_touchpoint, schemas::TOUCHPOINT_SCHEMA},
};
use serde::{Deserialize, Serialize};

/// As in the product.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const MARKETING: &str = include_str!("../deploy/spokes/marketing.toml");
const OPERATIONS: &str = "spoke = \"operations\"\ntopic = \"operations.events\"\nformat = \"touchpoint-json\"\n";
const SALES: &str = "spoke = \"sales\"\ntopic = \"sales.events\"\nformat = \"touchpoint-avro\"\n";

/// 281 bytes, as in every other figure of this repository.
const EVENT: &str = r#"{"event":"EmailOpened","id":"m-0000001","ts":1760000000,"profile":{"customer":"C-000001","mail":"ann.example@example.org","cookie":"ck-00000001"},"cmp":"spring-2026","medium":"email","segment":"families","market":"north","product":"P-12","asset":"newsletter-03","client":"iphone1"}"#;
const CANONICAL: &str = r#"{"id":"o-0000001","kind":"delivery_promised","occurred_at":"2026-01-31T09:00:00.000Z","identifiers":{"customer_id":["C-000001"],"order":["O-0000001"]},"channel":"partner","region":"north","product":"P-12","promised_at":"2026-02-03T12:00:00.000Z","properties":{"carrier":"north-post-01"}}"#;

/// The event's schema as Avro, every field that it has.
const EVENT_SCHEMA: &str = r#"{"type":"record","name":"Event","fields":[
    {"name":"event","type":"string"},{"name":"id","type":"string"},{"name":"ts","type":"long"},
    {"name":"profile","type":{"type":"record","name":"Profile","fields":[
        {"name":"customer","type":"string"},{"name":"mail","type":"string"},{"name":"cookie","type":"string"}]}},
    {"name":"cmp","type":"string"},{"name":"medium","type":"string"},{"name":"segment","type":"string"},
    {"name":"market","type":"string"},{"name":"product","type":"string"},{"name":"asset","type":"string"},
    {"name":"client","type":"string"}]}"#;

/// The same, newer: by which the mapping reads it.
const NEWER_SCHEMA: &str = r#"{"type":"record","name":"Event","fields":[
    {"name":"id","type":"string"},{"name":"event","type":"string"},{"name":"ts","type":"long"},
    {"name":"profile","type":{"type":"record","name":"Profile","fields":[
        {"name":"customer","type":["null","string"]},{"name":"mail","type":"string"},{"name":"cookie","type":"string"}]}},
    {"name":"campaign","type":"string","aliases":["cmp"]},{"name":"medium","type":"string"},
    {"name":"segment","type":"string"},{"name":"market","type":"string"},{"name":"product","type":"string"},
    {"name":"asset","type":"string"},{"name":"mood","type":["null","int"],"default":null},
    {"name":"referred_by","type":["null","string"],"default":null},{"name":"variant","type":"string","default":"a"},
    {"name":"spend","type":["null",{"type":"record","name":"Spend","fields":[
        {"name":"value","type":"double"},{"name":"currency","type":"string"}]}],"default":null},
    {"name":"survey","type":["null",{"type":"record","name":"Survey","fields":[
        {"name":"type","type":"string"},{"name":"answer","type":"int"},{"name":"item","type":"string"}]}],"default":null}]}"#;

/// What the mapping takes, by hand: the least that any decoder must do.
#[derive(Deserialize, Serialize)]
#[allow(dead_code, reason = "only their decoding is measured")]
struct Needed<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    ts: i64,
    #[serde(borrow)]
    profile: Profile<'a>,
    #[serde(borrow)]
    cmp: Cow<'a, str>,
    #[serde(borrow)]
    medium: Cow<'a, str>,
    #[serde(borrow)]
    segment: Cow<'a, str>,
    #[serde(borrow)]
    market: Cow<'a, str>,
    #[serde(borrow)]
    product: Cow<'a, str>,
    #[serde(borrow)]
    asset: Cow<'a, str>,
    /// Only to write it: no mapping takes it.
    #[serde(skip_deserializing)]
    client: &'static str,
}

#[derive(Deserialize, Serialize)]
#[allow(dead_code, reason = "only their decoding is measured")]
struct Profile<'a> {
    #[serde(borrow)]
    customer: Cow<'a, str>,
    #[serde(borrow)]
    mail: Cow<'a, str>,
    #[serde(borrow)]
    cookie: Cow<'a, str>,
}

/// The canonical touchpoint's fields that the event has. A time is a text in JSON and a number in Avro.
#[derive(Deserialize)]
#[serde(bound(deserialize = "At: Deserialize<'de>"))]
#[allow(dead_code, reason = "only their decoding is measured")]
struct NeededCanonical<'a, At> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    occurred_at: At,
    #[serde(borrow)]
    identifiers: HashMap<Cow<'a, str>, Vec<Cow<'a, str>>, ahash::RandomState>,
    #[serde(borrow)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    region: Option<Cow<'a, str>>,
    #[serde(borrow)]
    product: Option<Cow<'a, str>>,
    promised_at: Option<At>,
    #[serde(borrow)]
    properties: HashMap<Cow<'a, str>, Cow<'a, str>, ahash::RandomState>,
}

fn spoke(toml: &str) -> Spoke {
    let file = SpokeFile::parse("bench.toml", toml).expect("an example spoke file");
    let schemas = SchemaFolder::from_files([("1.avsc", EVENT_SCHEMA), ("2.avsc", NEWER_SCHEMA)])
        .expect("the benchmark's own schema");
    Spoke::compile(&file, Options::default(), &Arc::new(schemas.into())).expect("an example spoke file")
}

fn record(payload: &[u8]) -> SourceRecord<'_> {
    SourceRecord {
        topic: "bench.events",
        partition: 0,
        offset: 0,
        timestamp_ms: 1_800_000_000_000,
        key: None,
        payload: Some(payload),
        headers: &NoHeaders,
    }
}

/// The best nanoseconds per event of many short runs.
fn measure(mut run: impl FnMut()) -> u128 {
    const EVENTS: u32 = 500;
    let runs = (0..2_000).map(|_| {
        let start = Instant::now();
        for _ in 0..EVENTS {
            run();
        }
        start.elapsed().as_nanos() / u128::from(EVENTS)
    });
    runs.min().unwrap_or_default()
}

/// Measures a parser into a struct, and the same parser under a mapping.
fn compare(name: &str, payload: &[u8], mut into_struct: impl FnMut(), spoke: &Spoke) {
    let floor = measure(&mut into_struct);
    let mapped = measure(|| {
        let each = &mut |outcome: Mapped<'_>| match outcome {
            Mapped::Touchpoint(touchpoint) => {
                black_box(&touchpoint);
            }
            other => panic!("the benchmark's event is not taken: {other:?}"),
        };
        spoke.map(&record(black_box(payload)), each).expect("its schema is at hand");
    });
    // Nanoseconds of an event are far below 2^53.
    let ratio = mapped as f64 / floor as f64;
    let bytes = payload.len();
    println!(
        "{name:<32} {bytes:>4} bytes {floor:>6} ns into a struct {mapped:>6} ns decode + map + validate {ratio:>6.2}"
    );
}

/// What anybody does with the bytes of a message: they are no text yet, and checking all of them at once is the fastest way.
fn from_json<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> T {
    let text = std::str::from_utf8(black_box(payload)).expect("the benchmark's own event");
    serde_json::from_str(text).expect("the benchmark's own event")
}

/// What a condition costs, as a share of all the work on an event.
fn conditions() {
    let with = |condition: &str| {
        spoke(&MARKETING.replacen("id = \"id\"", &format!("condition = \"{condition}\"\nid = \"id\""), 1))
    };
    let json = || {
        black_box(&from_json::<Needed<'_>>(EVENT.as_bytes()));
    };
    compare("  with a comparison", EVENT.as_bytes(), json, &with("event != 'Ping'"));
    let many = "event in ['EmailSent', 'EmailOpened'] && (!has(profile.test) || !profile.test) && ts > 1500000000 \
                && cmp.startsWith('spring') && profile.mail.matches('@example[.]org$')";
    compare("  with five, a list and a pattern", EVENT.as_bytes(), json, &with(many));
}

fn main() {
    assert_eq!(EVENT.len(), 281);
    let json = || from_json::<Needed<'_>>(EVENT.as_bytes());
    compare("JSON", EVENT.as_bytes(), || _ = black_box(&json()), &spoke(MARKETING));
    conditions();

    let schema: serde_avro_fast::Schema = EVENT_SCHEMA.parse().expect("the benchmark's own schema");
    let mut avro = vec![0, 0, 0, 0, 1];
    let event = Needed { client: "iphone1", ..json() };
    let mut configuration = serde_avro_fast::ser::SerializerConfig::new(&schema);
    serde_avro_fast::to_datum(&event, &mut avro, &mut configuration).expect("the event fits its schema");
    let decode = || {
        drop(black_box(
            serde_avro_fast::from_datum_slice::<Needed<'_>>(black_box(&avro[5..]), &schema).expect("it fits"),
        ));
    };
    let mapping = MARKETING.replace("format = \"json\"", "format = \"avro\"");
    compare("Avro", &avro, decode, &spoke(&mapping));
    // Another order of fields, another name of one, one more with a default.
    let read = mapping.replace("format = \"avro\"", "format = \"avro\"\nreader_schema = \"2.avsc\"");
    compare("  with a reader's schema", &avro, decode, &spoke(&read.replace("\"cmp\"", "\"campaign\"")));

    let decode = || _ = black_box(&from_json::<NeededCanonical<'_, &str>>(CANONICAL.as_bytes()));
    compare("canonical JSON", CANONICAL.as_bytes(), decode, &spoke(OPERATIONS));

    let mut avro = Vec::new();
    let each = &mut |outcome: Mapped<'_>| {
        if let Mapped::Touchpoint(touchpoint) = outcome {
            encode_touchpoint(&Touchpoint { spoke: "", ..touchpoint }, &mut avro);
        }
    };
    spoke(OPERATIONS).map(&record(CANONICAL.as_bytes()), each).expect("JSON needs no schema");
    let schema: serde_avro_fast::Schema = TOUCHPOINT_SCHEMA.parse().expect("the built-in schema");
    let decode = || {
        let datum = black_box(&avro[10..]);
        drop(black_box(
            serde_avro_fast::from_datum_slice::<NeededCanonical<'_, i64>>(datum, &schema).expect("it fits"),
        ));
    };
    compare("canonical Avro, single object", &avro, decode, &spoke(SALES));
}
