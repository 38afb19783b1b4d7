//! Nanoseconds per event of decode + map + validate, by format, against serde_json into a struct of just the needed fields.
//!
//! `cargo bench --bench ingest`: the best of many short runs on one thread, each
//! short enough to fit between two interruptions of a busy machine.

#![allow(
    clippy::print_stdout,
    clippy::panic,
    reason = "a benchmark shows its table on standard output and fails loudly"
)]

use std::{borrow::Cow, hint::black_box, sync::Arc, time::Instant};

use insight_hub::{
    ingest::{Mapped, NoHeaders, Options, SourceRecord, Spoke, SpokeFile},
    model::Touchpoint,
    wire::{SchemaFolder, avro::encode_touchpoint},
};
use serde::Deserialize;

/// As in the product.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const MARKETING: &str = include_str!("../deploy/spokes/marketing.toml");
const OPERATIONS: &str = include_str!("../deploy/spokes/operations.toml");
const SALES: &str = include_str!("../deploy/spokes/sales.toml");

/// 281 bytes, as in every other figure of this repository.
const EVENT: &str = r#"{"event":"EmailOpened","id":"m-0000001","ts":1760000000,"profile":{"customer":"C-000001","mail":"ann.example@example.org","cookie":"ck-00000001"},"cmp":"spring-2026","medium":"email","segment":"families","market":"north","product":"P-12","asset":"newsletter-03","client":"iphone1"}"#;
const CANONICAL: &str = r#"{"id":"o-0000001","kind":"delivery_promised","occurred_at":"2026-01-31T09:00:00.000Z","identifiers":{"customer_id":["C-000001"],"order":["O-0000001"]},"channel":"partner","region":"north","product":"P-12","promised_at":"2026-02-03T12:00:00.000Z","properties":{"carrier":"north-post-01"}}"#;

/// What the mapping takes, by hand: the least that any JSON decoder must do.
#[derive(Deserialize)]
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
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only their decoding is measured")]
struct Profile<'a> {
    #[serde(borrow)]
    customer: Cow<'a, str>,
    #[serde(borrow)]
    mail: Cow<'a, str>,
    #[serde(borrow)]
    cookie: Cow<'a, str>,
}

fn spoke(toml: &str) -> Spoke {
    let file = SpokeFile::parse("bench.toml", toml).expect("an example spoke file");
    Spoke::compile(&file, Options::default(), &Arc::new(SchemaFolder::default())).expect("an example spoke file")
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

/// Returns the nanoseconds of one event.
fn measure(name: &str, bytes: usize, mut run: impl FnMut()) -> u128 {
    const EVENTS: u32 = 500;
    let nanoseconds = (0..2_000)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..EVENTS {
                run();
            }
            start.elapsed().as_nanos() / u128::from(EVENTS)
        })
        .min()
        .unwrap_or_default();
    println!("{name:<52} {bytes:>4} bytes {nanoseconds:>6} ns/event");
    nanoseconds
}

fn map(name: &str, spoke: &Spoke, payload: &[u8]) -> u128 {
    measure(name, payload.len(), || {
        spoke.map(&record(black_box(payload)), &mut |outcome| match outcome {
            Mapped::Touchpoint(touchpoint) => drop(black_box(touchpoint)),
            other => panic!("the benchmark's event is not taken: {other:?}"),
        });
    })
}

/// What a condition costs, as a share of all the work on an event.
fn conditions(without: u128) {
    let with = |condition: &str| {
        spoke(&MARKETING.replacen("id = \"id\"", &format!("condition = \"{condition}\"\nid = \"id\""), 1))
    };
    let one = map("  with a condition of one comparison", &with("event != 'Ping'"), EVENT.as_bytes());
    let many = "event in ['EmailSent', 'EmailOpened'] && (!has(profile.test) || !profile.test) && ts > 1500000000 \
                && cmp.startsWith('spring') && profile.mail.matches('@example[.]org$')";
    let many = map("  with one of five, a list and a pattern among them", &with(many), EVENT.as_bytes());
    let ratio = |nanoseconds: u128| nanoseconds as f64 / without.max(1) as f64;
    println!("{:<52} {:.2} and {:.2} times as much", "  which is", ratio(one), ratio(many));
}

fn main() {
    assert_eq!(EVENT.len(), 281);
    measure("serde_json into a struct of the needed fields", EVENT.len(), || {
        black_box(serde_json::from_str::<Needed<'_>>(black_box(EVENT)).expect("the benchmark's own event"));
    });
    measure("serde_json into a tree of values", EVENT.len(), || {
        black_box(serde_json::from_str::<serde_json::Value>(black_box(EVENT)).expect("the benchmark's own event"));
    });
    let without = map("JSON: decode + map + validate", &spoke(MARKETING), EVENT.as_bytes());
    conditions(without);
    map("canonical JSON: decode + validate", &spoke(OPERATIONS), CANONICAL.as_bytes());
    let mut avro = Vec::new();
    spoke(OPERATIONS).map(&record(CANONICAL.as_bytes()), &mut |outcome| {
        if let Mapped::Touchpoint(touchpoint) = outcome {
            encode_touchpoint(&Touchpoint { spoke: "", ..touchpoint }, &mut avro);
        }
    });
    map("canonical Avro, single object: decode + validate", &spoke(SALES), &avro);
    spoke(OPERATIONS).map(&record(CANONICAL.as_bytes()), &mut |outcome| {
        if let Mapped::Touchpoint(touchpoint) = outcome {
            let mut bytes = Vec::new();
            measure("canonical Avro: encode", avro.len(), || {
                bytes.clear();
                encode_touchpoint(black_box(&touchpoint), &mut bytes);
            });
        }
    });
}
