//! What a new link costs in the links stage, without an engine's log: `cargo bench --bench links -- [customers]`, by default
//! 300,000.
//!
//! The state lies in the engine's store over a disk in memory, committed every 20,000 entries. First a company: each customer with
//! an e-mail, a phone, three cookies and four orders, each of which comes as a report of one home, mixed with all others. Then one
//! that knows only e-mails, with 0.6 addresses seen together per address. Memory is what keys and values take, without the store's
//! own.
//!
//! With 300,000 customers it needs about 3 GiB.

#![allow(clippy::print_stdout, reason = "a benchmark shows its table on standard output and fails loudly")]

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use bytes::Bytes;
use insight_hub::{
    engine::store::{MemoryDisk, Store},
    links::{Assigned, Counted, Effects, Links, Rules},
    model::{
        EventTime, Identifier, IdentifierType, IdentityState, JournalEntry, KeyValue, PersonId, PersonKey, StoreError,
    },
};

/// The allocator of the product.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const COMMIT_ENTRIES: usize = 20_000;

struct View(Store);

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError(error.to_string())
}

impl KeyValue for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.get(key).map_err(failed)
    }
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.put(key, value);
    }
    fn delete(&mut self, key: &[u8]) {
        self.0.delete(key);
    }
    fn put_local(&mut self, key: &[u8], value: &[u8]) {
        self.0.put_local(key, value);
    }
    fn delete_local(&mut self, key: &[u8]) {
        self.0.delete_local(key);
    }
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.0.scan(from, to, each).map_err(failed)
    }
}

/// What came out.
#[derive(Default)]
struct Tally {
    assigned: u64,
    identities: u64,
    journal: u64,
    counted: BTreeMap<String, u64>,
}

impl Effects for Tally {
    fn assign(&mut self, _home: PersonId, _assigned: Assigned) {
        self.assigned += 1;
    }
    fn expect(&mut self, _person: PersonId, _version: u64, _homes: u32) {}
    fn erased(&mut self, _home: PersonId, _erased: &[(PersonId, EventTime)]) {}
    fn identity(&mut self, _key: PersonId, _state: &IdentityState<'_>) {
        self.identities += 1;
    }
    fn journal(&mut self, _entry: &JournalEntry<'_>) {
        self.journal += 1;
    }
    fn counted(&mut self, event: Counted) {
        if !matches!(event, Counted::PersonOf(_)) {
            *self.counted.entry(format!("{event:?}")).or_default() += 1;
        }
    }
}

/// A report: a home and what was seen with it. The number after the type is the value.
type Report = Vec<(IdentifierType, u64)>;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % end
    }

    fn shuffle<T>(&mut self, of: &mut [T]) {
        for place in (1..of.len()).rev() {
            of.swap(place, self.below(place as u64 + 1) as usize);
        }
    }
}

fn company(customers: u64, random: &mut Random) -> Vec<Report> {
    use IdentifierType::{Cookie, CustomerId, Email, Order, Phone};
    let mut reports = Vec::new();
    for customer in 0..customers {
        reports.push(vec![(CustomerId, customer), (Email, customer), (Phone, customer)]);
        for number in 0..3 {
            let cookie = (Cookie, customer * 3 + number);
            // Anonymous first, then known.
            reports.push(vec![cookie]);
            reports.push(vec![if number == 0 { (CustomerId, customer) } else { (Email, customer) }, cookie]);
        }
        for number in 0..4 {
            let order = (Order, customer * 4 + number);
            reports.push(vec![if number % 2 == 0 { (Email, customer) } else { (CustomerId, customer) }, order]);
            // The shipment knows only the order.
            reports.push(vec![order]);
        }
    }
    random.shuffle(&mut reports);
    reports
}

fn only_addresses(addresses: u64, random: &mut Random) -> Vec<Report> {
    let mut reports: Vec<Report> = (0..addresses).map(|address| vec![(IdentifierType::Email, address)]).collect();
    for _ in 0..addresses * 6 / 10 {
        let (one, other) = (random.below(addresses), random.below(addresses));
        reports.push(vec![(IdentifierType::Email, one.min(other)), (IdentifierType::Email, one.max(other))]);
    }
    random.shuffle(&mut reports);
    reports
}

fn value((kind, number): (IdentifierType, u64)) -> String {
    match kind {
        IdentifierType::Email => format!("person{number:08}@example.org"),
        IdentifierType::Phone => format!("+4917{number:08}"),
        IdentifierType::Cookie => format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        _ => format!("{number:08}"),
    }
}

/// CPU of this thread, from proc(5): what others do on the machine does not count.
fn thread_cpu() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a thread has a file in /proc");
    let nanoseconds = schedstat.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.expect("its first field is CPU time"))
}

fn run(name: &str, reports: &[Report], rules: Rules) {
    let mut store = View(Store::new(Box::new(MemoryDisk::scratch())));
    let mut links = Links::new(rules.clone(), PersonKey([7; 32]));
    let mut tally = Tally::default();
    let (mut resolving, mut publishing, mut slowest) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut mark = thread_cpu();
    let mut pairs_reported = 0;
    let mut commit = |store: &mut View, links: &mut Links, tally: &mut Tally| {
        let resolved = thread_cpu();
        resolving += resolved - mark;
        links.publish(store, tally).expect("a disk in memory does not fail");
        store.0.commit();
        mark = thread_cpu();
        publishing += mark - resolved;
    };
    for report in reports {
        let values: Vec<String> = report.iter().map(|name| value(*name)).collect();
        let names: Vec<Identifier<'_>> =
            report.iter().zip(&values).map(|((kind, _), value)| Identifier { kind: *kind, value }).collect();
        let pairs: Vec<_> = names.iter().map(|name| (names[0], *name, EventTime(1_000), None)).collect();
        pairs_reported += pairs.len();
        let started = Instant::now();
        links.pairs(names[0], &pairs, &mut store, &mut tally).expect("a disk in memory does not fail");
        slowest = slowest.max(started.elapsed());
        if store.0.staged_entries() >= COMMIT_ENTRIES {
            commit(&mut store, &mut links, &mut tally);
        }
    }
    commit(&mut store, &mut links, &mut tally);

    let mut entries: BTreeMap<char, (u64, u64)> = BTreeMap::new();
    let mut sizes: BTreeMap<u32, u64> = BTreeMap::new();
    store
        .scan(&[0], &[255], &mut |key, value| {
            let entry = entries.entry(char::from(key[0])).or_default();
            entry.0 += 1;
            entry.1 += (key.len() + value.len()) as u64;
            if key[0] == b'n' {
                let [id] = insight_hub::links::store_keys::parse_ids::<1>(key).expect("a node's key");
                let node = insight_hub::links::store_keys::Node::decode(id, value, &rules).expect("a node");
                if node.person == id {
                    *sizes.entry(node.members.next_power_of_two()).or_default() += 1;
                }
            }
            ControlFlow::Continue(())
        })
        .expect("a disk in memory does not fail");
    let identifiers = entries.get(&'n').map_or(0, |(count, _)| *count).max(1);
    let bytes: u64 = entries.values().map(|(_, bytes)| bytes).sum();
    let count: u64 = entries.values().map(|(count, _)| count).sum();
    let per_second = |time: Duration| pairs_reported as f64 / time.as_secs_f64();
    println!("{name}: {} reports, {pairs_reported} pairs, {identifiers} identifiers", reports.len());
    println!(
        "  per second of CPU: {:.0} pairs resolved, {:.0} with publication and commit; slowest report {:.1} ms (wall)",
        per_second(resolving),
        per_second(resolving + publishing),
        slowest.as_secs_f64() * 1e3
    );
    println!(
        "  {} assignments, {} identities published, {} lines of the journal; {:?}",
        tally.assigned, tally.identities, tally.journal, tally.counted
    );
    println!(
        "  a million identifiers: {:.2} million entries, {:.0} MB of keys and values ({:?})",
        count as f64 / identifiers as f64,
        bytes as f64 / identifiers as f64,
        entries
    );
    println!("  persons by size (up to): {sizes:?}");
}

fn main() {
    let customers = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(300_000);
    let mut random = Random(42);
    run("a company", &company(customers, &mut random), Rules::default());
    run("only e-mails, 0.6 pairs each", &only_addresses(customers, &mut random), Rules::default());
    run(
        "the same without limits",
        &only_addresses(customers, &mut random),
        Rules::default().with_limit(IdentifierType::Email, None),
    );
}
