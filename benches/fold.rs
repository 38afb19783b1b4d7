//! What the fold costs: `cargo bench --profile release --bench fold`. One table, nanoseconds unless said.

#![allow(clippy::print_stdout, reason = "a benchmark shows its table on standard output and fails loudly")]

use std::{collections::BTreeMap, hint::black_box, time::Instant};

use bytes::Bytes;
use insight_hub::{
    customers::{
        Contributions, Customers, Effects, FoldOptions, Head, Incoming, Item, Options, SeenPair, contributions::Signed,
        fold, record::render,
    },
    model::*,
};

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const START_MS: i64 = 1_767_225_600_000;
const DAY_MS: i64 = 86_400_000;

/// A fixed sequence: the same company in each run.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The `number`th of a customer's touchpoints: about one order thing and one case thing in five each, the rest contacts.
fn touchpoint(sequence: &mut Sequence, customer: u64, number: u64, at_ms: i64) -> Vec<u8> {
    const KINDS: [Kind; 10] = [
        Kind::PageViewed,
        Kind::MessageSent,
        Kind::OrderPlaced,
        Kind::MessageOpened,
        Kind::OrderShipped,
        Kind::CaseOpened,
        Kind::PageViewed,
        Kind::OrderDelivered,
        Kind::CaseReplied,
        Kind::SurveyAnswered,
    ];
    let kind = KINDS[(number % 10) as usize];
    let thing = format!("{customer}-{}", number / 10);
    let id = format!("{customer:06}-{number:06}");
    let customer = format!("c{customer:06}");
    let mut identifiers = vec![Identifier { kind: IdentifierType::CustomerId, value: &customer }];
    let (spoke, channel) = match kind {
        Kind::OrderPlaced => ("sales", Channel::Web),
        Kind::OrderShipped | Kind::OrderDelivered => ("operations", Channel::Post),
        Kind::CaseOpened | Kind::CaseReplied | Kind::SurveyAnswered => ("support", Channel::Phone),
        _ => ("marketing", Channel::Email),
    };
    match spoke {
        "sales" | "operations" => identifiers.push(Identifier { kind: IdentifierType::Order, value: &thing }),
        "support" => identifiers.push(Identifier { kind: IdentifierType::Case, value: &thing }),
        _ => {}
    }
    let regions = ["north", "south", "east", "west"];
    let products = ["lamp", "chair", "table", "desk", "shelf", "sofa"];
    let touchpoint = Touchpoint {
        occurred_at: EventTime(at_ms),
        id: &id,
        spoke,
        kind,
        label: None,
        identifiers,
        channel: Some(channel),
        subject: (spoke == "support").then_some("delivery"),
        product: (spoke == "sales").then(|| products[sequence.below(6) as usize]),
        region: Some(regions[(customer.len() + number as usize / 100) % 4]),
        segment: Some("private"),
        campaign: (spoke == "marketing").then_some("spring"),
        content: None,
        account: None,
        amount: (kind == Kind::OrderPlaced)
            .then_some(Money { minor: 1_000 + sequence.below(10_000) as i64, currency: Currency(*b"EUR") }),
        cost: None,
        score: (kind == Kind::SurveyAnswered).then_some(Score {
            scale: ScoreScale::Nps,
            value: sequence.below(11) as u8,
            item: None,
        }),
        promised_at: matches!(kind, Kind::OrderPlaced | Kind::OrderShipped).then_some(EventTime(at_ms + 3 * DAY_MS)),
        initiator: kind.default_initiator(),
        visibility: Visibility::Public,
        sentiment: None,
        referrer: None,
        effort: None,
        properties: Vec::new(),
    };
    let mut bytes = Vec::new();
    touchpoint.encode_into(&mut bytes);
    bytes
}

struct Quiet;

impl Effects for Quiet {
    fn touchpoint_gone(&mut self, _: PersonId, _: &str, _: &str) {}
    fn record_gone(&mut self, _: PersonId) {}
    fn withdraw(&mut self, _: PersonId, _: &[insight_hub::customers::WithdrawnPair]) {}
    fn alert(&mut self, _: &insight_hub::model::Alert<'_>) {}
    fn alert_gone(&mut self, _: &insight_hub::model::AlertKey, _: insight_hub::model::AlertCause) {}
    fn erased(&mut self, _: &str) {}
    fn pairs(&mut self, _: Identifier<'_>, _: &[SeenPair<'_>]) {}
    fn put(&mut self, _: PersonId, _: PersonId, _: &[Item<'_>], _: bool, _: bool) {}
    fn drop_fragment(&mut self, _: PersonId, _: PersonId, _: bool) {}
    fn settled(&mut self, _: PersonId, _: PersonId, _: u64) {}
    fn more(&mut self, _: PersonId) {}

    fn touchpoint(&mut self, _: PersonId, _: &Touchpoint<'_>) {}
    fn record(&mut self, _: PersonId, record: &InsightRecord) {
        black_box(record);
    }
    fn outcome(&mut self, _: &str, _: Outcome) {}
    fn contribution(&mut self, _: CellKey<'_>, add: &Accumulator) {
        black_box(add);
    }
}

fn row(what: &str, figure: f64, unit: &str) {
    println!("{what:<64} {figure:>10.0} {unit}");
}

/// Time on the processor where the system tells (Linux), so that neighbours on a busy machine count less; else time.
fn spent_ns(since: Instant) -> u128 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| since.elapsed().as_nanos())
}

/// Nanoseconds per item.
fn time<T>(items: usize, run: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    let before = spent_ns(start);
    black_box(run());
    (spent_ns(start) - before) as f64 / items as f64
}

/// Steps in the order of time over all customers, the combiner drained each 10,000 steps as a commit would.
fn steps(customers: u64, each: u64, gap_ms: i64, what: &str) -> Vec<Head> {
    let mut sequence = Sequence(7);
    let encoded: Vec<Vec<u8>> = (0..each)
        .flat_map(|number| (0..customers).map(move |customer| (customer, number)))
        .map(|(customer, number)| {
            let at_ms = START_MS + number as i64 * gap_ms + customer as i64 % 3_600_000;
            touchpoint(&mut sequence, customer, number, at_ms)
        })
        .collect();
    let touchpoints: Vec<Touchpoint<'_>> =
        encoded.iter().map(|bytes| Touchpoint::decode(bytes).expect("just encoded")).collect();
    let options = FoldOptions::default();
    let mut heads = vec![Head::default(); customers as usize];
    let mut contributions = Contributions::new(1_000_000);
    let mut cells = 0_u64;
    let per_step = time(touchpoints.len(), || {
        for (index, touchpoint) in touchpoints.iter().enumerate() {
            let head = &mut heads[index % customers as usize];
            let mut emit = Signed { contributions: &mut contributions, sign: 1 };
            fold::step(head, touchpoint, &options, &mut emit);
            if index % 10_000 == 9_999 {
                contributions.drain_sorted(|_, _| cells += 1);
            }
        }
    });
    row(what, per_step, "ns");
    row("  cells per step after combining, per mille", cells as f64 * 1_000.0 / touchpoints.len() as f64, "");
    heads
}

fn heads(heads: &[Head], what: &str) {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    let encode = time(heads.len(), || {
        for head in heads {
            head.encode_into(&mut bytes);
            ends.push(bytes.len());
        }
    });
    let decode = time(heads.len(), || {
        let mut start = 0;
        for &end in &ends {
            black_box(Head::decode(&bytes[start..end]).expect("just encoded"));
            start = end;
        }
    });
    let rendering = time(heads.len(), || {
        for head in heads {
            black_box(render(PersonId([7; 16]), head, Day(20_500)));
        }
    });
    row(&format!("{what}: encoded"), bytes.len() as f64 / heads.len() as f64, "bytes");
    row(&format!("{what}: encode"), encode, "ns");
    row(&format!("{what}: decode"), decode, "ns");
    row(&format!("{what}: render"), rendering, "ns");
}

fn incoming(encoded: &[u8], person: PersonId) -> Incoming<'_> {
    Incoming { person, encoded, after: None }
}

/// The stage on a plain map: batches of 200, a commit each 2,000.
fn stage(customers: u64, each: u64) {
    let mut sequence = Sequence(11);
    let encoded: Vec<(PersonId, Vec<u8>)> = (0..each)
        .flat_map(|number| (0..customers).map(move |customer| (customer, number)))
        .map(|(customer, number)| {
            let at_ms = START_MS + number as i64 * 5 * DAY_MS + customer as i64;
            let person = PersonId(xxhash_rust::xxh3::xxh3_128(&customer.to_le_bytes()).to_be_bytes());
            (person, touchpoint(&mut sequence, customer, number, at_ms))
        })
        .collect();
    let mut store: BTreeMap<Vec<u8>, Bytes> = BTreeMap::new();
    let mut stage = Customers::new(Options::default());
    let per_touchpoint = time(encoded.len(), || {
        let mut uncommitted = 0;
        for chunk in encoded.chunks(200) {
            let batch: Vec<_> = chunk.iter().map(|(person, bytes)| incoming(bytes, *person)).collect();
            let day = Touchpoint::occurred_at_of(batch[0].encoded).expect("just encoded");
            stage.advance(Calendar::utc().day(day), &store).expect("a map never fails");
            stage.touchpoints(&batch, &mut store, &mut Quiet).expect("a map never fails");
            while stage.fire_timers(&mut store, 1_000).expect("a map never fails") {}
            uncommitted += chunk.len();
            if uncommitted >= 2_000 {
                stage.before_commit(&mut store, &mut Quiet).expect("a map never fails");
                stage.committed();
                uncommitted = 0;
            }
        }
    });
    row("stage with a map as store, decoding, records, commits: touchpoint", per_touchpoint, "ns");
}

fn late() {
    let person = PersonId([3; 16]);
    let mut sequence = Sequence(5);
    let total = 4_096;
    for lateness in [1_u64, 8, 64, 512, 4_000] {
        let mut store: BTreeMap<Vec<u8>, Bytes> = BTreeMap::new();
        let mut stage = Customers::new(Options::default());
        let at_ms = |number: u64| START_MS + number as i64 * 3_600_000;
        let on_time: Vec<Vec<u8>> =
            (0..total).map(|number| touchpoint(&mut sequence, 1, number, at_ms(number))).collect();
        let batch: Vec<_> = on_time.iter().map(|bytes| incoming(bytes, person)).collect();
        stage.touchpoints(&batch, &mut store, &mut Quiet).expect("a map never fails");
        stage.before_commit(&mut store, &mut Quiet).expect("a map never fails");
        stage.committed();
        let late: Vec<Vec<u8>> = (0..50_u64)
            .map(|index| {
                touchpoint(&mut sequence, 1, 100_000 + index * 10, at_ms(total - lateness) - 1_000 + index as i64)
            })
            .collect();
        let per_late = time(late.len(), || {
            for bytes in &late {
                let batch = [incoming(bytes, person)];
                stage.touchpoints(&batch, &mut store, &mut Quiet).expect("a map never fails");
            }
        });
        row(&format!("late by {lateness} of {total} touchpoints"), per_late, "ns");
    }
}

fn main() {
    // A yardstick for a machine that others use too: this should be about 50 ns on a core of 2020.
    let block = vec![7_u8; 1_000];
    row(
        "yardstick: XXH3-64 of 1,000 bytes",
        time(1_000_000, || {
            (0..1_000_000).fold(0, |sum, seed| sum ^ xxhash_rust::xxh3::xxh3_64_with_seed(black_box(&block), seed))
        }),
        "ns",
    );
    let people = steps(20_000, 20, 4 * DAY_MS, "step in order, 20 touchpoints a person, 4 days apart");
    heads(&people, "head of 20 touchpoints");
    let frequent = steps(2_000, 100, 3_600_000, "step in order, 100 touchpoints a person, an hour apart");
    heads(&frequent, "head of 100 touchpoints");
    let heavy = steps(10, 20_000, 360_000, "step in order, 20,000 touchpoints a person, 6 minutes apart");
    heads(&heavy, "head of 20,000 touchpoints");
    stage(20_000, 10);
    late();
}
