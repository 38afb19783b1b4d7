//! The whole hub in simulation: whatever fails, the feeds hold what the oracle says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use insight_hub::{
    company::{CompanyOptions, SourceEvent},
    engine::{
        log::{
            TopicPartition,
            sim::{Cluster, FaultCounts, Simulation, SimulationOptions, SourceRecord},
        },
        stage::Topology,
        topics::TopicIndex,
        worker::WorkerOptions,
    },
    feeds::Feed,
    topology::{self, TopicMap, TopologyOptions},
};
use serde_json::Value;

use crate::{
    accounts::assert_accounts,
    oracle::{self, Feeds},
    world::{
        Publications, SPOKE_PARTITIONS, assert_truth, counted, events, events_with_changes, latest, topology_options,
        truth, truth_under,
    },
};

/// How many seeds: the quick suite's, or the long one's.
pub fn seeds(quick: u64, full: u64) -> u64 {
    match std::env::var("INSIGHT_HUB_TEST_SEEDS").ok().and_then(|count| count.parse().ok()) {
        Some(count) => count,
        None if std::env::var_os("INSIGHT_HUB_TEST_FULL").is_some() => full,
        None => quick,
    }
}

/// Runs so many seeds, from `INSIGHT_HUB_TEST_SEED` on. Each is one thread's, from beginning to end: two at a time change
/// nothing but the time it takes.
pub fn in_turn<T: Send>(count: u64, run_seed: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let first: u64 = std::env::var("INSIGHT_HUB_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let next = AtomicU64::new(first);
    let run = || {
        let mut ran = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return ran;
            }
            ran.push(run_seed(seed));
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

pub fn small_company(seed: u64) -> CompanyOptions {
    CompanyOptions {
        seed,
        customers: 12,
        touchpoints: 300,
        // In some of them a month is over, and the one after it.
        days: if seed.is_multiple_of(4) { 100 } else { 40 },
        duplicates_per_million: 50_000,
        invalid_per_million: 20_000,
        late_per_million: 100_000,
        shuffled: seed.is_multiple_of(3),
        ..CompanyOptions::default()
    }
}

/// Feeds of which a small company may have nothing, with any seed: they ask for many observations. Larger companies have something of
/// each.
const SILENT_IN_SMALL: [&str; 2] = ["balance", "changes"];

/// Events as records of their departments' topics.
pub fn sources(events: &[SourceEvent], topology: &Topology) -> Vec<SourceRecord> {
    let topics: Vec<_> = topology.topics.iter().map(|(index, spec)| (spec.name.to_string(), index)).collect();
    let by_name: BTreeMap<&str, TopicIndex> = topics.iter().map(|(name, index)| (name.as_str(), *index)).collect();
    let record = |(index, event): (usize, &SourceEvent)| SourceRecord {
        to: TopicPartition {
            topic: by_name[format!("{}.events", event.spoke).as_str()],
            partition: index as i32 % SPOKE_PARTITIONS,
        },
        key: Some(event.key.clone()),
        value: event.payload.clone(),
        timestamp_ms: event.timestamp_ms,
    };
    events.iter().enumerate().map(record).collect()
}

/// The feeds as a subscriber sees them.
pub fn read(cluster: &Cluster, map: &TopicMap) -> Feeds {
    let feed = |topic| latest(cluster.read_committed(topic).into_iter().map(|it| (it.key.unwrap(), it.value)));
    Feeds {
        customers: feed(map.customers_feed),
        touchpoints: feed(map.touchpoints_feed),
        identities: feed(map.identities_feed),
        alerts: feed(map.alerts_feed),
        metrics: feed(map.metrics_feed),
        journeys: feed(map.journeys_feed),
        attribution: feed(map.attribution_feed),
        drivers: feed(map.drivers_feed),
        priorities: feed(map.priorities_feed),
        changes: feed(map.changes_feed),
        balance: feed(map.balance_feed),
        parameters: crate::oracle::parameters(feed(map.catalogue_feed)),
        scorecards: feed(map.scorecards_feed),
    }
}

/// The accounts of the departments, as a subscriber sees them.
pub fn accounts(cluster: &Cluster, map: &TopicMap) -> BTreeMap<String, Value> {
    latest(cluster.read_committed(map.spokes_feed).into_iter().map(|it| (it.key.unwrap(), it.value)))
}

/// Limits so small that everything happens in a short run: commits, flushes, idle partitions.
pub fn small_worker() -> WorkerOptions {
    WorkerOptions {
        commit_interval: Duration::from_millis(80),
        unflushed_bytes_max: 60_000,
        poll_records_max: 60,
        idle_after: Duration::from_millis(200),
        // So low that a small company is behind, and has to wait.
        suspend_lag_records: 3,
        catch_up_lag_records: 20,
        catch_up_interval: Duration::from_millis(160),
        ..WorkerOptions::default()
    }
}

/// Runs the hub on events under a seed's schedule and faults.
pub fn simulate(
    events: &[SourceEvent],
    options: &TopologyOptions,
    seed: u64,
    instances_max: usize,
    faults: u32,
) -> (Feeds, Simulation) {
    let (topology, map) = topology::topology(options);
    let sources = sources(events, &topology);
    // Metrics are many: what comes of them twice is looked for with some seeds.
    let counted = counted().filter(|feed| *feed != Feed::Metrics || seed.is_multiple_of(8));
    let counted: Vec<_> = counted.map(|feed| topology.topics.find(feed.topic()).unwrap()).collect();
    let simulation_options = SimulationOptions { seed, instances_max, faults, worker: small_worker() };
    let mut simulation = Simulation::new(simulation_options, topology, sources);
    simulation.run(&mut |_| {}).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let feeds = read(&simulation.cluster().borrow(), &map);
    // Whoever has met all of them was told each thing once.
    for topic in counted {
        let mut publications = Publications::default();
        for record in simulation.cluster().borrow().read_committed(topic) {
            let met = publications.meet(record.key.as_deref().unwrap(), record.value.as_deref());
            met.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        }
    }
    (feeds, simulation)
}

#[test]
fn a_quiet_run_gives_the_truth() {
    let events = events(small_company(1));
    let expected = truth(&events);
    assert!(expected.feeds.metrics.len() > 500 && expected.feeds.customers.len() > 5);
    let options = topology_options("quiet", 3);
    let (feeds, simulation) = simulate(&events, &options, 1, 1, 0);
    assert_truth(&expected.feeds, &feeds, "one instance, no faults");
    let (_, map) = topology::topology(&options);
    assert_accounts(&events, &accounts(&simulation.cluster().borrow(), &map), "one instance, no faults");
}

/// A company long enough for subscriptions to end, for people to come back, and for content to lead somewhere.
fn lasting_company(seed: u64) -> CompanyOptions {
    CompanyOptions { customers: 10, touchpoints: 900, days: 130, ..small_company(seed) }
}

#[test]
fn who_stays_goes_reads_and_is_written_to_is_counted_truly_under_faults() {
    /// A name, and whether a value shows it: what the truth must hold, so that the comparison is about it.
    type Situation = (&'static str, fn(&Value) -> bool);
    let situations: [(&str, Situation); 11] = [
        ("retention|week", ("some came back", |it| it["numerator"].as_i64() > Some(0))),
        ("retention|month", ("some did not", |it| it["numerator"].as_i64() < it["denominator"].as_i64())),
        ("churn|month", ("a subscription ended", |it| it["details"]["subscriptions_cancelled"].as_f64() > Some(0.0))),
        ("churn|week", ("none ran", |it| it["details"]["subscriptions_running"].as_f64() == Some(0.0))),
        ("advocacy|week", ("some speak well", |it| it["numerator"].as_i64() > Some(0))),
        ("contact_pressure|day", ("some have too many", |it| it["details"]["share_above_cap"].as_f64() > Some(0.0))),
        (
            "content_credibility",
            ("readers and others", |it| it["value"].is_number() && it["numerator"].as_i64() > Some(0)),
        ),
        ("acquisition_cost|month", ("it has its price", |it| it["value"].as_f64() > Some(0.0))),
        ("revenue|month", ("several together", |it| it["other_values"].as_i64() > Some(1))),
        ("customer_value", ("several together", |it| it["other_values"].is_number())),
        ("customer_value", ("more was paid back than paid", |it| it["value"].as_f64() < Some(0.0))),
    ];
    let counts = in_turn(seeds(60, 600), |seed| {
        let events = events(lasting_company(seed));
        let (cap, values) = (2, 1 + seed as usize % 3);
        let meaning = oracle::Options { contact_cap: cap, dimension_values_max: values, ..oracle::Options::default() };
        let expected = truth_under(&events, meaning);
        let mut options = topology_options("lasting", 2);
        options.customers.fold.contact_cap = cap;
        options.metrics.dimension_values_max = values;
        let (feeds, _) = simulate(&events, &options, seed, 3, 20);
        assert_truth(&expected.feeds, &feeds, &format!("seed {seed}"));
        situations.map(|(prefix, (_, is_so))| {
            expected.feeds.metrics.iter().filter(|(key, value)| key.starts_with(prefix) && is_so(value)).count()
        })
    });
    for (index, (prefix, (name, _))) in situations.iter().enumerate() {
        let found: usize = counts.iter().map(|counts| counts[index]).sum();
        assert!(found > counts.len(), "{prefix}: {name}: found {found} times with {} seeds", counts.len());
    }
}

/// A company with enough repeat buyers for the models of buying.
fn buying_company(seed: u64) -> CompanyOptions {
    CompanyOptions { customers: 90, touchpoints: 6_500, days: 92, ..small_company(seed) }
}

#[test]
fn parameters_of_buying_are_the_truth_under_faults() {
    let fitted = in_turn(seeds(2, 40), |seed| {
        let events = events_with_changes(buying_company(seed));
        let expected = truth(&events);
        expected.feeds.assert_each_speaks(&format!("seed {seed}"));
        let (feeds, _) = simulate(&events, &topology_options("buying", 2), seed, 3, 20);
        assert_truth(&expected.feeds, &feeds, &format!("seed {seed}"));
        let fits = |model: &str| {
            let is_fitted = |set: &&Value| set["parameters"][model]["log_likelihood"].is_number();
            feeds.parameters.values().filter(is_fitted).count()
        };
        for (key, set) in &feeds.parameters {
            let set = &set["parameters"];
            let (n, again, bought, spent) =
                (&set["customers"], &set["repeat_buyers"], &set["purchases"], &set["spend"]);
            println!(
                "seed {seed}: {key}: {n} customers, {again} again, {} {}",
                bought["convergence"], spent["convergence"]
            );
        }
        [fits("purchases"), fits("spend")]
    });
    for model in 0..2 {
        assert!(fitted.iter().map(|fits| fits[model]).sum::<usize>() > 0, "{fitted:?}");
    }
}

/// What the faults of one seed did.
struct Ran {
    faults: FaultCounts,
    instances: u64,
    restored: u64,
    commits: u64,
    /// The feeds of which the company had nothing.
    silent: BTreeSet<&'static str>,
}

fn run_seed(seed: u64) -> Ran {
    let events = events_with_changes(small_company(seed));
    assert!(events.len() >= 300);
    let expected = truth(&events);
    let options = topology_options("sim", 2);
    let (feeds, simulation) = simulate(&events, &options, seed, 3, 30);
    let what = format!("seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1)");
    assert_truth(&expected.feeds, &feeds, &what);
    let (_, map) = topology::topology(&options);
    assert_accounts(&events, &accounts(&simulation.cluster().borrow(), &map), &what);
    Ran {
        faults: simulation.faults().clone(),
        instances: simulation.instances_started(),
        restored: simulation.restored_records(),
        commits: simulation.commits(),
        silent: expected.feeds.silent(),
    }
}

#[test]
fn every_schedule_of_faults_gives_the_truth() {
    let count = seeds(1_000, 10_000);
    let ran = in_turn(count, run_seed);
    let mut total = FaultCounts::new();
    for (kind, fired) in ran.iter().flat_map(|ran| &ran.faults) {
        *total.entry(*kind).or_default() += fired;
    }
    let fewest_faults = ran.iter().map(|ran| ran.faults.values().sum::<u64>()).min().unwrap_or_default();
    let fewest_instances = ran.iter().map(|ran| ran.instances).min().unwrap_or_default();
    println!(
        "{count} seeds: {} faults took effect, at least {fewest_faults} a seed; at least {fewest_instances} \
         instances a seed; {} commits, {} records restored; by kind: {total:?}",
        total.values().sum::<u64>(),
        ran.iter().map(|ran| ran.commits).sum::<u64>(),
        ran.iter().map(|ran| ran.restored).sum::<u64>(),
    );
    let mut silent: BTreeMap<&str, usize> = BTreeMap::new();
    ran.iter().flat_map(|ran| &ran.silent).for_each(|feed| *silent.entry(feed).or_default() += 1);
    println!("seeds with nothing to compare of a feed: {silent:?}");
    if count >= 100 {
        for (feed, seeds) in silent {
            let speaks = seeds <= count as usize * 9 / 10;
            assert!(speaks || SILENT_IN_SMALL.contains(&feed), "{feed} held nothing with {seeds} of {count} seeds");
        }
        assert!(fewest_faults >= 10, "a seed had only {fewest_faults} faults");
        assert!(fewest_instances >= 3, "a seed had only {fewest_instances} instances");
        assert_eq!(total.len(), 10, "every kind of fault took effect: {total:?}");
    }
}

/// The verifier of this file is worth something only if it fails when the engine is wrong: a worker whose commit leaves
/// out the offsets, the changelog or the outputs must be caught. Here the wrong is done to what was read.
#[test]
fn a_feed_that_lost_repeated_swapped_or_kept_a_value_is_caught() {
    let events = events(small_company(4));
    let expected = truth(&events);
    let (feeds, _) = simulate(&events, &topology_options("wrong", 2), 2, 1, 0);
    assert_truth(&expected.feeds, &feeds, "before anything is done to it");
    let names: Vec<String> = feeds.customers.keys().cloned().collect();
    let injuries: [fn(&mut Feeds, &[String]); 11] = [
        |feeds, _| feeds.priorities.values_mut().next().unwrap()["persons"] = 1.into(),
        |feeds, _| drop(feeds.parameters.pop_last().unwrap()),
        |feeds, _| feeds.parameters.values_mut().next().unwrap()["parameters"]["repeat_buyers"] = 7_777.into(),
        |feeds, _| feeds.drivers.values_mut().find(|value| value["n"] != 0).unwrap()["mean"] = 0.125.into(),
        |feeds, _| {
            let (_, value) = feeds.journeys.iter_mut().find(|(_, value)| value["converted"] != 0).unwrap();
            value["paths"][0]["converted"] = 1_000.into();
        },
        |feeds, _| drop(feeds.attribution.pop_first().unwrap()),
        |feeds, names| drop(feeds.customers.remove(&names[0])),
        |feeds, names| feeds.customers.get_mut(&names[1]).unwrap()["touchpoints"] = 1_000_000.into(),
        |feeds, names| {
            let (a, b) = (feeds.customers[&names[0]].clone(), feeds.customers[&names[1]].clone());
            feeds.customers.insert(names[0].clone(), b);
            feeds.customers.insert(names[1].clone(), a);
        },
        |feeds, _| {
            let (key, value) = feeds.metrics.iter().find(|(key, _)| key.starts_with("reach|day")).unwrap();
            let (key, mut value) = (key.clone(), value.clone());
            value["n"] = (value["n"].as_i64().unwrap() - 1).into();
            feeds.metrics.insert(key, value);
        },
        |feeds, _| {
            let (key, value) = feeds.touchpoints.first_key_value().unwrap();
            let (key, value) = (format!("{key}-again"), value.clone());
            feeds.touchpoints.insert(key, value);
        },
    ];
    for (number, injure) in injuries.iter().enumerate() {
        let mut wrong = feeds.clone();
        injure(&mut wrong, &names);
        assert!(!crate::oracle::compare(&expected.feeds, &wrong).is_empty(), "injury {number} went unnoticed");
    }
}
