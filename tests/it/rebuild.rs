//! A change of definition in simulation: whatever interrupts the rebuild, the feeds become what a hub publishes that never
//! knew another definition.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use insight_hub::{
    company::{CompanyOptions, SourceEvent},
    engine::{
        log::{
            TopicPartition,
            sim::{FaultCounts, Simulation, SimulationOptions},
        },
        rebuild::Rebuild,
        stage::{StageError, Topology},
    },
    model::{Calendar, PersonKey},
    topology::{self, TopicMap, TopologyOptions},
};
use serde_json::Value;

use crate::{
    accounts::assert_accounts,
    oracle,
    simulation::{accounts, in_turn, read, seeds, small_company, small_worker, sources},
    world::{assert_truth, events, segments, topology_options, truth_under},
};

/// What a definition says here.
#[derive(Clone, Copy, Debug)]
struct Definition {
    time_zone: &'static str,
    on_time_tolerance_ms: i64,
    unanswered_target_ms: i64,
    acquisition_spokes: &'static [&'static str],
    contact_cap: i64,
    segments: bool,
    dimension_values_max: usize,
}

const FIRST: Definition = Definition {
    time_zone: "UTC",
    on_time_tolerance_ms: 0,
    unanswered_target_ms: 86_400_000,
    acquisition_spokes: &["marketing", "sales"],
    contact_cap: 8,
    segments: false,
    dimension_values_max: 3,
};
/// Each seed's second definition: days begin before or after those of UTC.
const SECOND: [Definition; 3] = [
    Definition {
        time_zone: "Pacific/Auckland",
        on_time_tolerance_ms: 7_200_000,
        contact_cap: 1,
        dimension_values_max: 1_000,
        ..FIRST
    },
    Definition {
        time_zone: "America/Los_Angeles",
        unanswered_target_ms: 10_800_000,
        contact_cap: 3,
        segments: true,
        ..FIRST
    },
    Definition {
        time_zone: "Europe/Berlin",
        on_time_tolerance_ms: 86_400_000,
        unanswered_target_ms: 172_800_000,
        acquisition_spokes: &["operations"],
        contact_cap: 0,
        segments: true,
        dimension_values_max: 1,
    },
];
/// One that nobody wanted: begun by mistake, never finished.
const MISTAKE: Definition =
    Definition { time_zone: "Asia/Kathmandu", on_time_tolerance_ms: 1, unanswered_target_ms: 3_600_000, ..FIRST };

impl Definition {
    fn options(self) -> TopologyOptions {
        let mut options = topology_options("rebuild", 3);
        options.calendar = Calendar::of_zone(self.time_zone).unwrap();
        options.metrics.calendar = options.calendar.clone();
        options.customers.fold.calendar = options.calendar.clone();
        options.customers.fold.on_time_tolerance_ms = self.on_time_tolerance_ms;
        options.customers.fold.unanswered_target_ms = self.unanswered_target_ms;
        options.customers.fold.contact_cap = self.contact_cap;
        options.metrics.dimension_values_max = self.dimension_values_max;
        if self.segments {
            options.customers.fold.segments = Some(segments());
        }
        options.customers.fold.acquisition_spokes = self.acquisition_spokes.iter().map(|&spoke| spoke.into()).collect();
        options
    }

    fn topology(self) -> (Topology, TopicMap) {
        topology::topology(&self.options())
    }

    fn truth(self, events: &[SourceEvent]) -> oracle::Expected {
        let options = oracle::Options {
            time_zone: self.time_zone.into(),
            on_time_tolerance_ms: self.on_time_tolerance_ms,
            unanswered_target_ms: self.unanswered_target_ms,
            acquisition_spokes: self.acquisition_spokes.iter().map(|&spoke| spoke.into()).collect(),
            contact_cap: self.contact_cap,
            segments: self.segments,
            dimension_values_max: self.dimension_values_max,
            ..oracle::Options::default()
        };
        truth_under(events, options)
    }
}

/// One hub in its simulated world.
struct Hub {
    simulation: Simulation,
    map: TopicMap,
}

impl Hub {
    fn new(seed: u64, definition: Definition, events: &[SourceEvent], faults: u32) -> Hub {
        let (topology, map) = definition.topology();
        let options = SimulationOptions { seed, instances_max: 3, faults, worker: small_worker() };
        let sources = sources(events, &topology);
        Hub { simulation: Simulation::new(options, topology, sources), map }
    }

    fn append(&mut self, events: &[SourceEvent]) {
        self.simulation.append(sources(events, &FIRST.topology().0));
    }

    /// Starts the processes of a rebuild, not knowing of any before.
    fn begin_rebuild(&mut self, definition: Definition) -> Arc<Rebuild> {
        let topology = definition.topology().0.stateful();
        let rebuild = Arc::new(Rebuild::new(&topology));
        self.simulation.relaunch(topology, Some(rebuild.clone()));
        rebuild
    }

    /// Starts the hub and expects it to refuse.
    fn refuses_to_run(&mut self, definition: Definition, says: &str) {
        self.simulation.relaunch(definition.topology().0, None);
        match self.simulation.run(&mut |_| {}) {
            Err(StageError::Generation(text)) => assert!(text.contains(says), "{text}"),
            other => panic!("the hub should refuse, saying {says:?}: {other:?}"),
        }
    }

    fn feeds(&self) -> oracle::Feeds {
        read(&self.simulation.cluster().borrow(), &self.map)
    }

    /// How many records the feeds have.
    fn published(&self) -> usize {
        let cluster = self.simulation.cluster().borrow();
        [self.map.customers_feed, self.map.touchpoints_feed, self.map.metrics_feed]
            .map(|feed| cluster.read_committed(feed).len())
            .iter()
            .sum()
    }

    /// For each key of the metrics feed, the different values (`None`: a tombstone) that were written at the offsets given
    /// or after them.
    fn metrics_since(&self, from: &[i64]) -> BTreeMap<String, Vec<Option<Value>>> {
        let mut seen: BTreeMap<String, Vec<Option<Value>>> = BTreeMap::new();
        let records = self.simulation.cluster().borrow().read_committed(self.map.metrics_feed);
        for record in records.into_iter().filter(|it| it.offset >= from[it.partition as usize]) {
            let mut value: Option<Value> = record.value.map(|value| serde_json::from_slice(&value).unwrap());
            for outside_of_the_promise in ["revision", "status"] {
                value.as_mut().map(|value| value.as_object_mut().unwrap().remove(outside_of_the_promise));
            }
            let values = seen.entry(String::from_utf8(record.key.unwrap().to_vec()).unwrap()).or_default();
            if values.last() != Some(&value) {
                values.push(value);
            }
        }
        seen
    }

    /// Where the metrics feed ends, by partition; what is written below may become visible later.
    fn metrics_ends(&self) -> Vec<i64> {
        let (cluster, topic) = (self.simulation.cluster().borrow(), self.map.metrics_feed);
        let partitions = 0..cluster.partition_count(topic);
        partitions.map(|partition| cluster.high_watermark(TopicPartition { topic, partition })).collect()
    }
}

struct Ran {
    faults: FaultCounts,
    interrupted: u64,
}

fn run_seed(seed: u64) -> Ran {
    let events = events(CompanyOptions { touchpoints: 200, ..small_company(seed) });
    let (first, second) = events.split_at(events.len() * 2 / 3);
    let definition = SECOND[seed as usize % SECOND.len()];
    let what = format!("seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1)");
    let mut hub = Hub::new(seed, FIRST, first, 5);
    if seed.is_multiple_of(2) {
        hub.simulation.run(&mut |_| {}).unwrap();
        assert_truth(&FIRST.truth(first).feeds, &hub.feeds(), &what);
    } else {
        // Killed somewhere: much was read that is not folded yet, and folded that is not counted yet.
        hub.simulation.run_for(150 + seed % 90).unwrap();
    }

    let mut interrupted = 0;
    if seed % 4 < 3 {
        for attempt in 0..=seed % 3 {
            let wrong = seed % 5 == 4 && attempt == 0;
            let rebuild = hub.begin_rebuild(if wrong { MISTAKE } else { definition });
            hub.simulation.add_faults(4);
            hub.simulation.run_for(20 + seed * 7 % 110).unwrap_or_else(|error| panic!("{what}: {error}"));
            // A rebuild that has not begun is not ended in the middle: until it has, it goes on.
            for _ in 0..40 {
                if rebuild.progress().entries > 0 {
                    break;
                }
                hub.simulation.run_for(5).unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            let progress = rebuild.progress();
            if progress.entries > 0 && !progress.is_complete() {
                interrupted += 1;
                if seed % 7 == 1 && progress.done == 0 {
                    hub.simulation.relaunch(definition.topology().0, None);
                    let ran = hub.simulation.run_for(2_000);
                    match ran {
                        Err(StageError::Generation(_)) => {}
                        // All of it was committed before the last process could tell.
                        Ok(()) => {
                            assert_truth(&definition.truth(first).feeds, &hub.feeds(), &format!("{what}, rebuilt"))
                        }
                        Err(error) => panic!("{what}: {error}"),
                    }
                }
                if seed % 7 == 3 {
                    // Started as it was before, by mistake: tasks that nothing was done to yet may go on until one sees it.
                    hub.simulation.relaunch(FIRST.topology().0, None);
                    let ran = hub.simulation.run_for(100);
                    assert!(matches!(ran, Ok(()) | Err(StageError::Generation(_))), "{what}: {ran:?}");
                }
            }
        }
    }
    let rebuild = hub.begin_rebuild(definition);
    let before = hub.metrics_ends();
    hub.simulation.add_faults(6);
    hub.simulation.run(&mut |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    let progress = rebuild.progress();
    assert!(progress.is_complete(), "{what}: {progress:?}");
    if seed.is_multiple_of(2) {
        for (key, values) in hub.metrics_since(&before) {
            assert_eq!(values.len(), 1, "{what}: {key} goes from its old value to its new one: {values:?}");
        }
        assert_truth(&definition.truth(first).feeds, &hub.feeds(), &format!("{what}, rebuilt"));
    }

    hub.simulation.relaunch(definition.topology().0, None);
    hub.append(second);
    hub.simulation.add_faults(5);
    hub.simulation.run(&mut |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_truth(&definition.truth(&events).feeds, &hub.feeds(), &format!("{what}, in the end"));
    // What arrived is neither forgotten nor counted again.
    assert_accounts(&events, &accounts(&hub.simulation.cluster().borrow(), &hub.map), &what);
    Ran { faults: hub.simulation.faults().clone(), interrupted }
}

#[test]
fn every_schedule_of_faults_ends_in_the_new_definition() {
    let count = seeds(100, 3_000);
    let ran = in_turn(count, run_seed);
    let faults: u64 = ran.iter().flat_map(|ran| ran.faults.values()).sum();
    let kinds: BTreeSet<_> = ran.iter().flat_map(|ran| ran.faults.keys()).collect();
    let interrupted: u64 = ran.iter().map(|ran| ran.interrupted).sum();
    println!(
        "{count} seeds: {faults} faults of {} kinds took effect, {interrupted} rebuilds were ended in the middle",
        kinds.len()
    );
    if count >= 100 {
        assert!(interrupted > count / 4, "only {interrupted} rebuilds were ended in the middle");
        assert!(kinds.len() >= 9, "{kinds:?}");
    }
}

#[test]
fn a_hub_says_what_to_do_and_a_rebuild_again_does_nothing() {
    let events = events(small_company(4));
    let mut hub = Hub::new(4, FIRST, &events, 0);
    hub.simulation.run(&mut |_| {}).unwrap();
    let old = hub.feeds().as_expected();
    hub.refuses_to_run(SECOND[0], "another definition");
    assert_truth(&old, &hub.feeds(), "a hub that refuses changes nothing");

    let rebuild = hub.begin_rebuild(SECOND[0]);
    while rebuild.progress().entries == 0 {
        hub.simulation.run_for(5).unwrap();
    }
    assert!(!rebuild.progress().is_complete());
    hub.refuses_to_run(SECOND[0], "rebuild");
    hub.refuses_to_run(FIRST, "rebuild");
    let rebuild = hub.begin_rebuild(SECOND[0]);
    hub.simulation.run(&mut |_| {}).unwrap();
    let progress = rebuild.progress();
    assert!(progress.is_complete() && progress.was_needed, "{progress:?}");
    assert_truth(&SECOND[0].truth(&events).feeds, &hub.feeds(), "rebuilt");

    let published = hub.published();
    let again = hub.begin_rebuild(SECOND[0]);
    hub.simulation.run(&mut |_| {}).unwrap();
    assert!(again.progress().is_complete() && !again.progress().was_needed, "{:?}", again.progress());
    assert_eq!(hub.published(), published, "nothing to do, nothing done");

    // And back, which is a rebuild like any other.
    hub.begin_rebuild(FIRST);
    hub.simulation.run(&mut |_| {}).unwrap();
    assert_truth(&old, &hub.feeds(), "rebuilt to what it was");
}

#[test]
fn placement_is_not_rebuilt() {
    let events = events(small_company(5));
    let mut hub = Hub::new(5, FIRST, &events[..60], 0);
    hub.simulation.run(&mut |_| {}).unwrap();
    let mut options = SECOND[0].options();
    options.person_key = PersonKey([8; 32]);
    let topology = topology::topology(&options).0;
    for rebuild in [false, true] {
        let rebuild = rebuild.then(|| Arc::new(Rebuild::new(&topology)));
        hub.simulation.relaunch(topology.stateful(), rebuild);
        match hub.simulation.run(&mut |_| {}) {
            // Said by whichever is looked at first: what a disk holds of the store, or the changelog.
            Err(StageError::Placement(text)) => {
                assert!(text.contains("person key") || text.contains("cannot be used: it is placement"), "{text}");
            }
            other => panic!("another key should be refused: {other:?}"),
        }
    }
}
