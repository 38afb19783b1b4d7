//! The whole hub in simulation: whatever fails, the feeds hold what the oracle says.

use std::{collections::BTreeMap, time::Duration};

use insight_hub::{
    company::{CompanyOptions, SourceEvent},
    engine::{
        log::{
            TopicPartition,
            sim::{Cluster, FaultKind, Simulation, SimulationOptions, SourceRecord},
        },
        topics::TopicIndex,
        worker::WorkerOptions,
    },
    topology::{self, TopicMap, TopologyOptions},
};

use crate::{
    oracle::Feeds,
    world::{assert_truth, events, latest, topology_options, truth},
};

/// How many seeds: the quick suite's, or the long one's.
fn seeds(quick: u64, full: u64) -> u64 {
    match std::env::var("INSIGHT_HUB_TEST_SEEDS").ok().and_then(|count| count.parse().ok()) {
        Some(count) => count,
        None if std::env::var_os("INSIGHT_HUB_TEST_FULL").is_some() => full,
        None => quick,
    }
}

fn small_company(seed: u64) -> CompanyOptions {
    CompanyOptions {
        seed,
        customers: 12,
        touchpoints: 300,
        days: 40,
        duplicates_per_million: 50_000,
        invalid_per_million: 20_000,
        late_per_million: 100_000,
        shuffled: seed.is_multiple_of(3),
        ..CompanyOptions::default()
    }
}

fn sources(events: &[SourceEvent], topics: &[(String, TopicIndex)], partitions: i32) -> Vec<SourceRecord> {
    let by_name: BTreeMap<&str, TopicIndex> = topics.iter().map(|(name, index)| (name.as_str(), *index)).collect();
    let record = |(index, event): (usize, &SourceEvent)| SourceRecord {
        to: TopicPartition {
            topic: by_name[format!("{}.events", event.spoke).as_str()],
            partition: (index % usize::try_from(partitions).unwrap()) as i32,
        },
        key: Some(event.key.clone()),
        value: event.payload.clone(),
        timestamp_ms: event.timestamp_ms,
    };
    events.iter().enumerate().map(record).collect()
}

fn read(cluster: &Cluster, map: &TopicMap) -> Feeds {
    let feed = |topic| latest(cluster.read_committed(topic).into_iter().map(|it| (it.key.unwrap(), it.value)));
    Feeds {
        customers: feed(map.customers_feed),
        touchpoints: feed(map.touchpoints_feed),
        metrics: feed(map.metrics_feed),
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
    let topics: Vec<_> = topology.topics.iter().map(|(index, spec)| (spec.name.to_string(), index)).collect();
    let sources = sources(events, &topics, options.spoke_partitions);
    let worker = WorkerOptions {
        commit_interval: Duration::from_millis(80),
        unflushed_bytes_max: 60_000,
        poll_records_max: 60,
        ..WorkerOptions::default()
    };
    let simulation_options = SimulationOptions { seed, instances_max, faults, worker };
    let mut simulation = Simulation::new(simulation_options, topology, sources);
    simulation.run(&mut |_| {}).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let feeds = read(&simulation.cluster().borrow(), &map);
    (feeds, simulation)
}

#[test]
fn a_quiet_run_gives_the_truth() {
    let events = events(small_company(1));
    let expected = truth(&events);
    assert!(expected.feeds.metrics.len() > 500 && expected.feeds.customers.len() > 5);
    let (feeds, _) = simulate(&events, &topology_options("quiet", 3), 1, 1, 0);
    assert_truth(&expected.feeds, &feeds, "one instance, no faults");
}

#[test]
fn every_schedule_of_faults_gives_the_truth() {
    let mut total: BTreeMap<FaultKind, u64> = BTreeMap::new();
    let (mut fewest_faults, mut fewest_instances) = (u64::MAX, u64::MAX);
    let count = seeds(1_000, 10_000);
    let first: u64 = std::env::var("INSIGHT_HUB_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in first..first + count {
        let events = events(small_company(seed));
        assert!(events.len() >= 300);
        let expected = truth(&events);
        let (feeds, simulation) = simulate(&events, &topology_options("sim", 2), seed, 3, 30);
        assert_truth(
            &expected.feeds,
            &feeds,
            &format!("seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1)"),
        );
        fewest_faults = fewest_faults.min(simulation.faults().values().sum());
        fewest_instances = fewest_instances.min(simulation.instances_started());
        for (kind, count) in simulation.faults() {
            *total.entry(*kind).or_default() += count;
        }
    }
    println!(
        "{count} seeds, {} faults that took effect, at least {fewest_faults} a seed, at least {fewest_instances} instances \
         a seed: {total:?}",
        total.values().sum::<u64>()
    );
    if count >= 100 {
        assert!(fewest_faults >= 10, "a seed had only {fewest_faults} faults");
        assert!(fewest_instances >= 3, "a seed had only {fewest_instances} instances");
    }
}
