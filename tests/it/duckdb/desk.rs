//! A department that tells of several orders, cases and contracts at once, in canonical touchpoints. In: a company's events; out: the same
//! with what it tells of every fourth customer.

use std::{collections::BTreeMap, sync::Arc};

use insight_hub::{
    company::SourceEvent,
    ingest::{self, Spoke, SpokeFile},
    wire::Schemas,
};
use serde_json::{Value, json};

use crate::oracle::{self, Source};

pub const NAME: &str = "desk";
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How long it tells of a customer.
const LASTS_DAYS: i64 = 34;

/// As the hub knows it.
pub fn spoke() -> Spoke {
    let file = format!("spoke = \"{NAME}\"\ntopic = \"{NAME}.events\"\nformat = \"touchpoint-json\"\n");
    let file = SpokeFile::parse(NAME, &file).unwrap();
    Spoke::compile(&file, ingest::Options::default(), &Arc::new(Schemas::default())).unwrap()
}

/// What it tells of orders: kind, day, which of them.
type Told = &'static [(&'static str, i64, &'static [&'static str])];

/// Each order was placed by itself.
const ORDERS: [Told; 8] = [
    &[("order_shipped", 1, &["a", "b"]), ("order_delivered", 2, &["a", "b", "c"])],
    &[("order_cancelled", 2, &["a", "b"]), ("order_delivered", 4, &["b", "c"])],
    &[
        ("order_delivered", 2, &["a", "c"]),
        ("order_returned", 9, &["a", "b", "c"]),
        ("order_cancelled", 11, &["a", "b", "c"]),
    ],
    &[("refund_issued", 2, &["a", "b"]), ("order_cancelled", 3, &["b", "c"]), ("refund_issued", 5, &["b", "c"])],
    &[("delivery_promised", 1, &["b", "c"]), ("order_shipped", 2, &["a", "c"])],
    &[("order_placed", 2, &["a", "d", "e"]), ("order_delivered", 6, &["a", "b", "d"])],
    // First placed together.
    &[("order_placed", 2, &["d", "e", "f"]), ("order_delivered", 3, &["e", "f"]), ("order_cancelled", 30, &["d", "e"])],
    // Across a month's end, and what is left is the first.
    &[("order_cancelled", 33, &["a", "b"])],
];
/// Each case was opened by itself.
const CASES: [Told; 4] = [
    &[("case_replied", 1, &["a", "b"]), ("case_resolved", 2, &["a", "b", "c"]), ("case_reopened", 4, &["b", "c"])],
    &[("case_resolved", 1, &["a", "b"]), ("case_reopened", 3, &["a", "b"]), ("case_resolved", 5, &["b", "c"])],
    &[("case_opened", 1, &["a", "d", "e"]), ("case_replied", 2, &["c", "d"]), ("case_reopened", 3, &["a", "e"])],
    &[("case_opened", 1, &["d", "e"]), ("case_resolved", 9, &["a", "e"])],
];
/// Each contract was started by itself.
const CONTRACTS: [Told; 2] = [
    &[("subscription_cancelled", 2, &["a", "b"]), ("subscription_started", 9, &["a", "b", "c"])],
    &[("subscription_started", 1, &["a", "d", "e"]), ("subscription_cancelled", 32, &["a", "b", "e"])],
];

/// What is told of a customer of a number from a moment on.
fn story(number: usize, customer: &str, begins: i64) -> Vec<SourceEvent> {
    let mut told = Vec::new();
    let mut tell = |thing: &str, kind: &str, at: i64, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("{NAME}-{thing}-{number}-{name}")).collect();
        let id = format!("{NAME}-{number}-{}", told.len());
        let identifiers = json!({"customer_id": customer, thing: names});
        let mut payload = json!({"id": id, "kind": kind, "occurred_at": at, "identifiers": identifiers});
        let mut say = |name: &str, value: Value| payload[name] = value;
        match kind {
            "order_placed" | "delivery_promised" | "order_shipped" => say("promised_at", json!(at + 3 * DAY_MS)),
            "order_returned" | "case_opened" => say("subject", json!(["delivery", "invoice"][number / 3 % 2])),
            _ => {}
        }
        if ["order_placed", "subscription_started", "refund_issued"].contains(&kind) {
            let currency = if number.is_multiple_of(7) { "USD" } else { "EUR" };
            say("amount", json!({"minor": 1_000 + 37 * at / HOUR_MS % 5_000, "currency": currency}));
        }
        say("region", json!(["north", "south", "east"][(at / DAY_MS % 3) as usize]));
        told.push(SourceEvent {
            spoke: NAME,
            key: id.into_bytes(),
            payload: payload.to_string().into_bytes(),
            occurred_at: at,
            timestamp_ms: at,
            valid: true,
            rejection: None,
            duplicate: false,
        });
    };
    for (thing, begin, stories) in [
        ("order", "order_placed", &ORDERS[..]),
        ("case", "case_opened", &CASES[..]),
        ("contract", "subscription_started", &CONTRACTS[..]),
    ] {
        // Of two customers in three there are no contracts.
        if thing == "contract" && !number.is_multiple_of(3) {
            continue;
        }
        for (name, hour) in [("a", 0), ("b", 5), ("c", 11)] {
            tell(thing, begin, begins + hour * HOUR_MS, &[name]);
        }
        for (kind, day, names) in stories[number % stories.len()] {
            tell(thing, kind, begins + day * DAY_MS, names);
        }
    }
    told
}

/// A company's events, and among them what the desk tells.
pub fn with_desk(events: Vec<SourceEvent>) -> Vec<SourceEvent> {
    let sources = events.iter().map(|event| Source {
        spoke: event.spoke,
        payload: &event.payload,
        timestamp_ms: event.timestamp_ms,
    });
    let mut known: BTreeMap<String, i64> = BTreeMap::new();
    for touchpoint in oracle::touchpoints(sources, &oracle::Options::default()).into_values() {
        if let Some(customer) = touchpoint["identifiers"]["customer_id"][0].as_str() {
            let at: jiff::Timestamp = touchpoint["occurred_at"].as_str().unwrap().parse().unwrap();
            let at = at.as_millisecond();
            let first = known.entry(customer.to_owned()).or_insert(at);
            *first = at.min(*first);
        }
    }
    let last = events.iter().map(|event| event.occurred_at).max().unwrap();
    let mut told: Vec<SourceEvent> = Vec::new();
    for (number, (customer, first)) in known.iter().step_by(4).enumerate() {
        let begins = (first + (number as i64 % 3 - 1) * 2 * DAY_MS + HOUR_MS / 2).min(last - LASTS_DAYS * DAY_MS);
        told.extend(story(number, customer, begins));
    }
    assert!(told.len() > 200, "{} touchpoints of the desk", told.len());
    told.sort_by_key(|event| event.timestamp_ms);
    let mut told = told.into_iter().peekable();
    let mut all = Vec::new();
    for event in events {
        while let Some(earlier) = told.next_if(|it| it.timestamp_ms <= event.timestamp_ms) {
            all.push(earlier);
        }
        all.push(event);
    }
    all.extend(told);
    all
}
