//! A year that is told with errors and then put right: late events, links, splits, erasures. In the end every feed holds what a
//! hub publishes that was given the final truth in one go.
//!
//! Every field of every feed is compared; what the promise leaves out is named in [`OUTSIDE`] and [`comparable`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use insight_hub::{
    company::{CompanyOptions, SourceEvent},
    engine::{log::embedded::EmbeddedOptions, worker::WorkerOptions},
    feeds::Feed,
    topology::TopologyOptions,
};
use serde_json::Value;

use crate::{
    embedded::House,
    identity::{CONTACT_CAP, Clerk, Hub, Ordered, Said},
    oracle::{self, Identifier},
    simulation::{in_turn, seeds, small_worker},
    world::{PERSON_KEY, assert_truth, events_with_changes, segments, topology_options},
};

/// Histories, and what tells of arrivals.
const OUTSIDE: [Feed; 4] = [Feed::IdentityJournal, Feed::Spokes, Feed::Rejected, Feed::Audit];
/// What a small year has too little for: many purchases, and many observations in four weeks.
const SILENT_IN_SMALL: [Feed; 2] = [Feed::Changes, Feed::Balance];
/// So many values of a dimension have keys of their own.
const VALUES_MAX: usize = 6;
const ORDER: usize = oracle::FIRST_THING;

/// A small deterministic source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }
}

/// A year in two ways.
struct Year {
    /// As it is told: after each part the hub comes to rest.
    parts: Vec<Vec<Said>>,
    /// The same as it is known in the end: decisions first, nothing of whom was erased.
    truth: Vec<Said>,
    late: usize,
    links: usize,
    splits: usize,
    erased: usize,
    /// Events of whom was erased.
    gone: usize,
}

fn options_of(orders: oracle::Orders) -> oracle::Options {
    oracle::Options { orders, person_key: PERSON_KEY, contact_cap: CONTACT_CAP, ..meaning() }
}

/// What the year means besides: customers are in segments by rule.
fn meaning() -> oracle::Options {
    oracle::Options { segments: true, dimension_values_max: VALUES_MAX, ..oracle::Options::default() }
}

/// The same for a hub.
fn hub_options(partitions: i32) -> TopologyOptions {
    let mut options = topology_options("retraction", partitions);
    options.customers.fold.contact_cap = CONTACT_CAP;
    options.customers.fold.segments = Some(segments());
    options.metrics.dimension_values_max = VALUES_MAX;
    options
}

fn source(event: &SourceEvent) -> oracle::Source<'_> {
    oracle::Source { spoke: event.spoke, payload: &event.payload, timestamp_ms: event.timestamp_ms }
}

fn pair(one: &Identifier, other: &Identifier) -> (Identifier, Identifier) {
    (one.min(other).clone(), one.max(other).clone())
}

impl Year {
    fn new(options: CompanyOptions) -> Year {
        let mut dice = Dice(options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let events = events_with_changes(options);
        let no_orders = options_of(oracle::Orders::new());
        let read = |event: &SourceEvent| oracle::read(&source(event), &no_orders).ok();
        let identifiers: Vec<BTreeSet<Identifier>> =
            events.iter().map(|event| read(event).map(|touch| touch.identifiers).unwrap_or_default()).collect();
        let newest = (0..events.len()).filter(|at| events[*at].valid).max_by_key(|at| events[*at].occurred_at).unwrap();

        // Customers in random order; each is drawn for one thing only.
        let persons = oracle::persons(events.iter().map(source), &no_orders);
        let of_newest = &persons.of[identifiers[newest].first().unwrap()];
        let mut customers: Vec<Identifier> = persons.of.values().filter(|it| it.0 == 0).cloned().collect();
        customers.dedup();
        customers.sort();
        customers.dedup();
        let all = customers.len();
        for place in (1..all).rev() {
            customers.swap(place, dice.roll(place + 1));
        }
        customers.retain(|customer| customer != of_newest);
        let mut orders_of: BTreeMap<&Identifier, &Identifier> = BTreeMap::new();
        for (member, person) in persons.of.iter().filter(|(member, _)| member.0 == ORDER) {
            orders_of.insert(person, member);
        }
        let mut draw = |wanted: &dyn Fn(&Identifier) -> bool| {
            customers.iter().position(wanted).map(|place| customers.swap_remove(place)).unwrap()
        };

        // 2 % are linked by twos, 1 % are split: half of those had been linked by mistake, of the others an order is taken away.
        let (splits, erasures) = ((all / 100).max(2), (all / 100).max(1));
        let mistakes = splits / 2;
        let mut links = Vec::new();
        let mut nevers = Vec::new();
        for number in 0..(all / 100).max(1) + mistakes {
            let linked = pair(&draw(&|_| true), &draw(&|_| true));
            if number < mistakes {
                nevers.push(linked.clone());
            }
            links.push(linked);
        }
        for _ in mistakes..splits {
            let customer = draw(&|it| orders_of.contains_key(it));
            nevers.push(pair(&customer, orders_of[&customer]));
        }
        let erased: Vec<Identifier> = (0..erasures).map(|_| draw(&|_| true)).collect();

        let at_ms = events[newest].occurred_at + 86_400_000;
        let command =
            |kind: &str, number: usize, order: Ordered| Said::Command { id: format!("{kind}{number}"), order, at_ms };
        let linking: Vec<Said> =
            (0..).zip(&links).map(|(i, it)| command("link", i, Ordered::Link(vec![it.clone()]))).collect();
        let parting: Vec<Said> =
            (0..).zip(&nevers).map(|(i, it)| command("split", i, Ordered::Never(vec![it.clone()]))).collect();
        let erasing: Vec<Said> =
            (0..).zip(&erased).map(|(i, it)| command("erase", i, Ordered::Erase(it.clone()))).collect();

        // Whom the erasures take: persons as they are by then.
        let decided = links.iter().zip(0..).map(|(it, i)| (format!("link{i}"), oracle::Order::Link(vec![it.clone()])));
        let parted =
            nevers.iter().zip(0..).map(|(it, i)| (format!("split{i}"), oracle::Order::Never(vec![it.clone()])));
        let then = oracle::persons(events.iter().map(source), &options_of(decided.chain(parted).collect()));
        let taken: BTreeSet<&Identifier> = erased.iter().map(|it| &then.of[it]).collect();
        let members: BTreeSet<&Identifier> =
            then.of.iter().filter(|(_, person)| taken.contains(person)).map(|(member, _)| member).collect();

        let (mut streamed, mut late, mut afterwards, mut truth) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut gone = 0;
        for (event, identifiers) in events.iter().zip(&identifiers) {
            let is_gone = identifiers.iter().any(|it| members.contains(it));
            assert!(!is_gone || members.contains(identifiers.first().unwrap()), "an erasure takes whole events here");
            gone += usize::from(is_gone);
            let said = Said::Event(event.clone());
            if !is_gone {
                truth.push(said.clone());
            }
            match dice.roll(100) {
                // Of whom is erased something comes even later.
                0..30 if is_gone => afterwards.push(said),
                0..5 => late.push(said),
                _ => streamed.push(said),
            }
        }
        let late_events = late.len();
        let truth = [linking.clone(), parting.clone(), truth].concat();
        let counts = (links.len(), nevers.len(), erased.len());
        let parts = vec![streamed, late, linking, parting, erasing, afterwards];
        let (links, splits, erased) = counts;
        Year { parts, truth, late: late_events, links, splits, erased, gone }
    }
}

fn compared() -> impl Iterator<Item = Feed> {
    Feed::ALL.into_iter().filter(|feed| !OUTSIDE.contains(feed))
}

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// A value without its history: how often it was published, whether it changed after it was final, and, of a scorecard, what
/// arrived.
fn comparable(value: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(value).unwrap();
    for field in ["revision", "status", "data_quality"] {
        value.as_object_mut().unwrap().remove(field);
    }
    value
}

/// Keys whose values are not the same. Of the quality of data, arrivals are told.
fn differences(one: &Values, other: &Values) -> Vec<String> {
    let promised = |key: &&Vec<u8>| !key.starts_with(b"data_quality|");
    let keys: BTreeSet<&Vec<u8>> = one.keys().chain(other.keys()).filter(promised).collect();
    let value = |of: &Values, key: &Vec<u8>| of.get(key).map(|value| comparable(value));
    let differs = |key: &&Vec<u8>| one.get(*key) != other.get(*key) && value(one, key) != value(other, key);
    let shown = |key: &Vec<u8>| {
        let [one, other] = [one, other].map(|of| value(of, key).map_or("nothing".to_owned(), |it| it.to_string()));
        format!("{}:\n  {one}\n  {other}", String::from_utf8_lossy(key))
    };
    keys.into_iter().filter(differs).map(shown).collect()
}

#[track_caller]
fn assert_same(feed: Feed, put_right: &Values, truth: &Values, silent: &[Feed], what: &str) -> usize {
    let found = differences(put_right, truth);
    let first: Vec<&String> = found.iter().take(6).collect();
    assert!(found.is_empty(), "{what}, {feed:?}: {} values differ: {first:#?}", found.len());
    assert!(!truth.is_empty() || silent.contains(&feed), "{what}, {feed:?}: there is something to be compared");
    truth.len()
}

/// The year in simulation, with faults on the way; the oracle is asked after each part.
fn simulate(seed: u64) -> String {
    let year = Year::new(CompanyOptions { zipf_exponent_hundredths: 30, ..company(seed, 300, 2_400) });
    let options = hub_options(3);
    let worker = WorkerOptions { poll_records_max: 300, ..small_worker() };
    let latest = |hub: &Hub, feed: Feed| {
        let mut values = Values::new();
        let topic = hub.topic(feed.topic());
        for record in hub.simulation.cluster().borrow().read_committed(topic) {
            let key = record.key.unwrap().to_vec();
            match record.value {
                Some(value) => values.insert(key, value.to_vec()),
                None => values.remove(&key),
            };
        }
        values
    };
    let what = format!("seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1)");
    let mut whole = Hub::of(&options, seed ^ 1 << 40, 1, worker);
    whole.tell(&year.truth);
    whole.rest(&what);

    let mut hub = Hub::of(&options, seed, 3, worker);
    let mut clerk = Clerk { meaning: meaning(), ..Clerk::default() };
    for (number, part) in year.parts.iter().enumerate() {
        hub.tell(part);
        hub.simulation.add_faults(4);
        clerk.hear(part);
        let feeds = hub.rest(&what);
        if number == 0 {
            // What has to be put right.
            for feed in compared().filter(|feed| *feed != Feed::Alerts && !SILENT_IN_SMALL.contains(feed)) {
                let wrong = differences(&latest(&hub, feed), &latest(&whole, feed)).len();
                assert!(wrong > 0, "{what}: {feed:?} is right before it was put right");
            }
        }
        if number + 1 == year.parts.len() {
            assert_truth(&clerk.truth().feeds, &feeds, &what);
        }
    }
    let same = |feed| assert_same(feed, &latest(&hub, feed), &latest(&whole, feed), &SILENT_IN_SMALL, &what);
    let values: usize = compared().map(same).sum();
    format!("{what}: {} values, {year}", values)
}

fn company(seed: u64, customers: u32, touchpoints: u64) -> CompanyOptions {
    CompanyOptions { seed, customers, touchpoints, days: 365, ..CompanyOptions::default() }
}

impl std::fmt::Display for Year {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Year { late, links, splits, erased, gone, .. } = self;
        write!(formatter, "{late} events late, {links} links, {splits} splits, {erased} erased with {gone} events")
    }
}

#[test]
fn a_year_put_right_is_the_year_known_from_the_start_and_what_the_oracle_says() {
    for said in in_turn(seeds(1, 10), simulate) {
        eprintln!("{said}");
    }
}

#[test]
#[ignore = "minutes: the full suite runs it"]
fn a_year_of_twenty_thousand_customers_put_right_is_the_year_known_from_the_start() {
    let year = Year::new(CompanyOptions { zipf_exponent_hundredths: 30, ..company(7, 20_000, 100_000) });
    let options = hub_options(4);
    // Alerts of history come once the sources are silent.
    let second = Duration::from_secs(1);
    let worker = WorkerOptions { commit_interval: second, idle_after: second, ..WorkerOptions::default() };
    let patience = Duration::from_secs(6 * 3_600);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [put_right, whole] =
        folders.each_ref().map(|folder| House::open(folder.path(), &options, EmbeddedOptions::default()));
    let told = |house: &House, said: &[Said]| {
        let begun = Instant::now();
        let (mut events, mut commands) = (Vec::new(), Vec::new());
        for said in said {
            match said {
                Said::Event(event) => events.push(event.clone()),
                Said::Command { id, order, at_ms } => commands.push((id.clone(), order.record(id).encode(), *at_ms)),
            }
        }
        house.order(&commands);
        house.write(&events);
        house.run_within(patience, 2, worker);
        eprintln!("{} events and {} commands: {:.1?}", events.len(), commands.len(), begun.elapsed());
    };
    told(&whole, &year.truth);
    for part in &year.parts {
        told(&put_right, part);
    }
    for feed in compared() {
        let (one, other) = (put_right.latest(feed.topic()), whole.latest(feed.topic()));
        eprintln!("{feed:?}: {} values are the same", assert_same(feed, &one, &other, &[], "a large year"));
    }
    eprintln!("{year}");
}
