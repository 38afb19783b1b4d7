//! What it costs to write one record of each feed, in nanoseconds on one core: `cargo bench --profile release --bench feeds`.
//!
//! Records are of the size that the company generator makes. The measure is the best of several rounds: what the code
//! costs, without what the machine did besides.

#![allow(clippy::print_stdout, reason = "a benchmark shows its table on standard output and fails loudly")]

use std::{collections::BTreeMap, hint::black_box, time::Instant};

use insight_hub::{
    feeds::{
        CatalogueRecord, Customers, Definitions, Encoder, FeedFormat, FeedRecord, Metrics, Names, PersonTouchpoint,
        Text, Touchpoints, event_id,
    },
    model::{
        BuyingSummary, CatalogueEntry, Channel, Currency, Day, Dimension, DurationSummary, EventTime, Identifier,
        IdentifierType, Initiator, InsightRecord, JourneyStep, Kind, MetricValue, Money, Percentiles, PersonId, Phase,
        ScoreSummary, Status, Touchpoint, Uncertainty, Visibility, Window, WindowKind,
    },
};

// A round is shorter than a scheduler's time slice, so that on a busy machine some rounds are undisturbed.
const ROUNDS: usize = 500;
const CALLS: usize = 1_000;

fn main() {
    println!("{:<22} {:>10} {:>8} {:>10}", "record", "format", "bytes", "ns/record");
    let customer = customer();
    let touchpoint = touchpoint();
    let on_timeline = PersonTouchpoint { person: PersonId([0xa5; 16]), touchpoint: &touchpoint };
    let metric = metric();
    let definition = CatalogueRecord::Metric(definition());
    for format in FeedFormat::ALL {
        measure::<Touchpoints>("touchpoint", format, &on_timeline);
        measure::<Customers>("customer", format, &customer);
        measure::<Metrics>("metric", format, &metric);
        measure::<Definitions>("definition", format, &definition);
    }
    measure_serde_json::<Touchpoints>("touchpoint", &on_timeline);
    measure_serde_json::<Customers>("customer", &customer);
    measure_serde_json::<Metrics>("metric", &metric);
    let mut encoder = Encoder::<Customers>::new(FeedFormat::Json, "insight-hub");
    let value = encoder.encode(&customer).to_vec();
    report("event id of a customer", "-", value.len(), || {
        black_box(event_id(black_box(b"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"), 7, Some(&value)));
    });
}

fn measure<'a, F: FeedRecord>(name: &str, format: FeedFormat, record: &'a F::Record<'a>) {
    let mut encoder = Encoder::<F>::new(format, "insight-hub");
    let bytes = encoder.encode(record).len();
    report(name, format.as_str(), bytes, || {
        black_box(encoder.encode(black_box(record)));
    });
}

/// The same JSON by the general writer: what `wire::json_text` has to be worth.
fn measure_serde_json<'a, F: FeedRecord>(name: &str, record: &'a F::Record<'a>) {
    let mut bytes = Vec::with_capacity(4_096);
    serde_json::to_writer(&mut bytes, &F::shape::<Text>(record, &Names::Clear)).expect("public shapes are JSON");
    report(name, "serde_json", bytes.len(), || {
        bytes.clear();
        serde_json::to_writer(&mut bytes, &F::shape::<Text>(black_box(record), &Names::Clear))
            .expect("public shapes are JSON");
        black_box(&bytes);
    });
}

fn report(name: &str, format: &str, bytes: usize, mut call: impl FnMut()) {
    let best = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..CALLS).for_each(|_| call());
            start.elapsed().as_nanos() as f64 / CALLS as f64
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<22} {format:>10} {bytes:>8} {best:>10.0}");
}

fn counts(entries: &[(&str, i64)]) -> BTreeMap<String, i64> {
    entries.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
}

fn customer() -> InsightRecord {
    let step = |spoke: &str, kind, channel| JourneyStep { spoke: spoke.to_owned(), kind, channel };
    InsightRecord {
        person: PersonId([0xa5; 16]).to_string(),
        identifiers: BTreeMap::from([
            ("customer_id".into(), vec!["0000004711".into()]),
            ("email".into(), vec!["customer4711@example.org".into()]),
            ("order".into(), vec!["o-100001".into(), "o-100002".into()]),
        ]),
        first_seen: EventTime(1_767_850_000_000),
        last_seen: EventTime(1_769_850_123_456),
        touchpoints: 10,
        touchpoints_by_spoke: counts(&[("marketing", 4), ("operations", 2), ("sales", 2), ("support", 2)]),
        touchpoints_by_kind: counts(&[
            ("message_sent", 4),
            ("order_placed", 2),
            ("order_delivered", 2),
            ("case_opened", 2),
        ]),
        touchpoints_by_channel: counts(&[("email", 6), ("web", 2), ("phone", 2)]),
        phase: Phase::After,
        orders: 2,
        frequency: 1,
        revenue: counts(&[("EUR", 12_345)]),
        monetary_value: BTreeMap::from([("EUR".into(), 6_172.5)]),
        open_cases: 1,
        scores: BTreeMap::from([("nps".into(), ScoreSummary { n: 2, last: 9, mean: 8.5 })]),
        sentiment: None,
        first_response_time: DurationSummary { n: 2, mean_seconds: Some(1_200.25) },
        resolution_time: DurationSummary { n: 1, mean_seconds: Some(86_412.125) },
        deliveries_on_time: 1,
        deliveries_late: 1,
        open_promises: 0,
        overdue_promises: 0,
        contacts_30_days: 4,
        journey: vec![
            step("operations", Kind::OrderDelivered, None),
            step("support", Kind::CaseOpened, Some(Channel::Phone)),
            step("support", Kind::CaseReplied, Some(Channel::Email)),
        ],
        segment: Some("consumer".into()),
        region: Some("north".into()),
        account: None,
        buying: Some(BuyingSummary {
            first_on: Day(20_463),
            last_on: Day(20_480),
            days: 2,
            repeat_paid_days: 1,
            repeat_paid: 6_345,
        }),
        rhythm: None,
    }
}

fn touchpoint() -> Touchpoint<'static> {
    let identifier = |kind, value| Identifier { kind, value };
    Touchpoint {
        occurred_at: EventTime(1_769_850_123_456),
        id: "sales-000012345678",
        spoke: "sales",
        kind: Kind::OrderPlaced,
        label: None,
        identifiers: vec![
            identifier(IdentifierType::CustomerId, "0000004711"),
            identifier(IdentifierType::Email, "customer4711@example.org"),
            identifier(IdentifierType::Order, "o-100001"),
        ],
        channel: Some(Channel::Web),
        subject: None,
        product: Some("chair"),
        region: Some("north"),
        segment: Some("consumer"),
        campaign: None,
        content: None,
        account: None,
        amount: Some(Money { minor: 12_345, currency: Currency(*b"EUR") }),
        cost: None,
        score: None,
        promised_at: Some(EventTime(1_770_050_123_456)),
        initiator: Initiator::Customer,
        visibility: Visibility::Public,
        sentiment: None,
        referrer: None,
        effort: None,
        properties: Vec::new(),
    }
}

fn metric() -> MetricValue<'static> {
    MetricValue {
        metric: "first_response_time",
        unit: "seconds",
        window: Window::of(WindowKind::Week, Day::from_civil(2026, 1, 31)),
        dimension: Dimension::Region,
        dimension_value: "north",
        other_values: None,
        currency: None,
        n: 31_234,
        numerator: 45_012_345_678,
        denominator: 31_234,
        value: Some(1_441.132_921_751_9),
        uncertainty: Some(Uncertainty::StandardError(12.531_234_567)),
        percentiles: Some(Percentiles { p50: 1_203.071_5, p90: 2_000.125, p99: 12_123.327_5 }),
        details: BTreeMap::from([("share_late", 0.123_456_789)]),
        revision: 2,
        status: Status::Provisional,
        definition_version: 1,
    }
}

fn definition() -> CatalogueEntry<'static> {
    CatalogueEntry {
        metric: "nps",
        title: "Net Promoter Score",
        unit: "points",
        formula: "100 · (promoters − detractors) / answers",
        inclusion: "every answer on the nps scale, 9 and 10 promoters, 0 to 6 detractors",
        counted_at: "when it was answered",
        source: "F. Reichheld, The One Number You Need to Grow, 2003",
        dimensions: vec!["company", "spoke", "channel", "segment", "region", "product"],
        version: 1,
    }
}
