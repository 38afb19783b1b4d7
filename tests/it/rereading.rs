//! Departments' topics read again in simulation: whatever interrupts it, the feeds become what a hub publishes whose mappings
//! were always those of now, and nothing is counted as having arrived twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use insight_hub::{
    company::{CompanyOptions, SourceEvent},
    engine::{
        log::{
            TopicPartition,
            sim::{FaultCounts, Simulation, SimulationOptions, SourceRecord},
        },
        rebuild::Rebuild,
        stage::StageError,
    },
    ingest::{self, LiveSpokes, Spoke, SpokeFile, SpokeSet},
    model::Calendar,
    topology::{
        self, Again, TopicMap, TopologyOptions,
        readings::{Reported, Rereading},
    },
};
use serde_json::Value;

use crate::{
    oracle::Feeds,
    simulation::{accounts, in_turn, read, seeds, small_company, small_worker, sources},
    world::{self, assert_truth, events, topology_options, truth},
};

/// Which mappings: those of `deploy/spokes`, or those with mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mappings {
    /// Wrong homes, ids, kinds and regions; touchpoints that should be skipped, and skipped ones that should not be.
    Wrong,
    /// Other mistakes, begun and never finished.
    Mistaken,
    Right,
}

/// What is replaced in a spoke file.
const WRONG: [(&str, &str, &str); 6] = [
    ("marketing", "customer_id = \"profile.customer\"\n", ""),
    ("marketing", "region = \"market\"", "region = { constant = \"nowhere\" }"),
    ("marketing", "EmailOpened = \"message_opened\"", "EmailOpened = \"ad_clicked\""),
    ("marketing", "id = \"id\"", "id = \"id\"\ncondition = \"event != 'PageViewed'\""),
    ("support", "id = \"id\"", "id = \"data.ticket\""),
    ("support", "condition = \"!has(data.spam) || !data.spam\"", "condition = \"type != 'ticket.rated'\""),
];
const MISTAKEN: [(&str, &str, &str); 2] = [
    ("marketing", "id = \"id\"", "id = \"ts\""),
    ("support", "email = \"data.requester.email\"", "phone = \"data.requester.phone\""),
];

fn spokes(mappings: Mappings) -> SpokeSet {
    let replaced: &[(&str, &str, &str)] = match mappings {
        Mappings::Wrong => &WRONG,
        Mappings::Mistaken => &MISTAKEN,
        Mappings::Right => &[],
    };
    let schemas = world::schemas();
    let compiled = ["marketing", "operations", "sales", "support"].map(|name| {
        let path = format!("{}/deploy/spokes/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let mut text = std::fs::read_to_string(path).unwrap();
        for (_, from, to) in replaced.iter().filter(|(spoke, ..)| *spoke == name) {
            assert!(text.contains(from), "{name} has {from}");
            text = text.replacen(from, to, 1);
        }
        if mappings == Mappings::Mistaken {
            // A key may be there once.
            text = text.replacen("phone = \"data.requester.phone\"\nphone", "phone", 1);
        }
        let file = SpokeFile::parse(name, &text).unwrap();
        Spoke::compile(&file, ingest::Options::default(), &schemas).unwrap()
    });
    SpokeSet::new(compiled).unwrap()
}

fn options(mappings: Mappings) -> TopologyOptions {
    TopologyOptions { spokes: Arc::new(LiveSpokes::new(spokes(mappings))), ..topology_options("rereading", 3) }
}

const CHANGED: [&str; 2] = ["marketing", "support"];

/// One hub in its simulated world.
struct Hub {
    simulation: Simulation,
    map: TopicMap,
}

impl Hub {
    fn new(seed: u64, mappings: Mappings, sources: Vec<SourceRecord>, faults: u32) -> Hub {
        let (topology, map) = topology::topology(&options(mappings));
        let options = SimulationOptions { seed, instances_max: 3, faults, worker: small_worker() };
        Hub { simulation: Simulation::new(options, topology, sources), map }
    }

    fn relaunch(&mut self, mappings: Mappings) {
        self.simulation.relaunch(topology::topology(&options(mappings)).0, None);
    }

    /// Starts the processes of a second reading, not knowing of any before.
    fn reread(&mut self, mappings: Mappings, forgets: bool) -> (Arc<Rebuild>, Arc<Rereading>) {
        let options = options(mappings);
        let again = CHANGED.map(|spoke| Again { spoke: spoke.to_owned(), is_compacted: false });
        let prepared = topology::topology(&options).0;
        let (topology, rereading) = topology::rereading(&options, &prepared, &again, forgets);
        let rebuild = Arc::new(Rebuild::new(&topology));
        self.simulation.relaunch(topology, Some(rebuild.clone()));
        (rebuild, rereading)
    }

    /// The same to its end.
    fn reread_all(&mut self, mappings: Mappings, forgets: bool) -> BTreeMap<String, Reported> {
        let (rebuild, rereading) = self.reread(mappings, forgets);
        self.simulation.run(&mut |_| {}).unwrap();
        let (progress, rebuilt) = (rereading.progress(), rebuild.progress());
        assert!(rebuilt.is_complete() && progress.over == progress.customers_partitions, "{rebuilt:?} {progress:?}");
        rereading.report()
    }

    fn feeds(&self) -> Feeds {
        read(&self.simulation.cluster().borrow(), &self.map)
    }

    /// What must not change: accounts, data quality, dead letters.
    fn arrived(&self) -> (BTreeMap<String, Value>, BTreeMap<String, Value>, usize) {
        let cluster = self.simulation.cluster().borrow();
        let mut quality = read(&cluster, &self.map).metrics;
        quality.retain(|key, _| key.starts_with("data_quality|"));
        for fields in quality.values_mut().filter_map(Value::as_object_mut) {
            fields.retain(|name, _| name != "status" && name != "revision");
        }
        (accounts(&cluster, &self.map), quality, cluster.read_committed(self.map.rejected_feed).len())
    }
}

fn all_sources(events: &[SourceEvent]) -> Vec<SourceRecord> {
    sources(events, &topology::topology(&options(Mappings::Right)).0)
}

/// What a hub publishes that never knew other mappings.
fn fresh(mappings: Mappings, sources: Vec<SourceRecord>) -> Feeds {
    let mut hub = Hub::new(1, mappings, sources, 0);
    hub.simulation.run(&mut |_| {}).unwrap();
    hub.feeds()
}

struct Ran {
    faults: FaultCounts,
    interrupted: u64,
    swept: u64,
}

fn run_seed(seed: u64) -> Ran {
    let events = events(CompanyOptions { touchpoints: 200, ..small_company(seed) });
    let (first, second) = events.split_at(events.len() * 2 / 3);
    let what = format!("seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1)");
    let at_rest = seed.is_multiple_of(2);
    let mut hub = Hub::new(seed, Mappings::Wrong, all_sources(first), 5);
    if at_rest {
        hub.simulation.run(&mut |_| {}).unwrap();
        assert_ne!(hub.feeds().touchpoints, truth(first).feeds.touchpoints, "{what}: the mistakes show");
    } else {
        // Killed somewhere: much was read that is not folded yet.
        hub.simulation.run_for(150 + seed % 90).unwrap();
    }
    let arrived = hub.arrived();

    let mut interrupted = 0;
    if seed % 4 < 3 {
        for attempt in 0..=seed % 3 {
            let wrong = seed % 5 == 4 && attempt == 0;
            let (rebuild, rereading) = hub.reread(if wrong { Mappings::Mistaken } else { Mappings::Right }, false);
            hub.simulation.add_faults(4);
            hub.simulation.run_for(60 + seed * 7 % 250).unwrap_or_else(|error| panic!("{what}: {error}"));
            let progress = rereading.progress();
            if progress.read > 0 && !rebuild.progress().is_complete() {
                interrupted += 1;
                // What is over in none is more than one commit, whose answer may be lost, from being over in all.
                if seed % 7 == 1 && progress.over == 0 {
                    hub.relaunch(Mappings::Right);
                    let ran = hub.simulation.run(&mut |_| {});
                    assert!(matches!(ran, Err(StageError::Generation(_))), "{what}: {ran:?}");
                }
            }
        }
    }
    hub.simulation.add_faults(6);
    let report = hub.reread_all(Mappings::Right, false);
    if at_rest {
        assert_truth(&truth(first).feeds, &hub.feeds(), &format!("{what}, read again"));
        assert_eq!(hub.arrived(), arrived, "{what}: nothing has arrived");
    }

    hub.relaunch(Mappings::Right);
    hub.simulation.append(all_sources(second));
    hub.simulation.add_faults(5);
    hub.simulation.run(&mut |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_truth(&truth(&events).feeds, &hub.feeds(), &format!("{what}, in the end"));
    let records: u64 = hub.arrived().0.values().map(|account| account["records"].as_u64().unwrap()).sum();
    assert_eq!(records, events.len() as u64, "{what}: each record has arrived once");
    Ran {
        faults: hub.simulation.faults().clone(),
        interrupted,
        swept: report.values().map(|report| report.swept.older).sum(),
    }
}

#[test]
fn every_schedule_of_faults_ends_in_the_mappings_of_now() {
    let count = seeds(100, 3_000);
    let ran = in_turn(count, run_seed);
    let faults: u64 = ran.iter().flat_map(|ran| ran.faults.values()).sum();
    let kinds: BTreeSet<_> = ran.iter().flat_map(|ran| ran.faults.keys()).collect();
    let interrupted: u64 = ran.iter().map(|ran| ran.interrupted).sum();
    let swept: u64 = ran.iter().map(|ran| ran.swept).sum();
    println!(
        "{count} seeds: {faults} faults of {} kinds took effect, {interrupted} second readings were ended in the middle, \
         {swept} touchpoints were swept",
        kinds.len()
    );
    if count >= 100 {
        assert!(interrupted > count / 4, "only {interrupted} second readings were ended in the middle");
        assert!(kinds.len() >= 9, "{kinds:?}");
        assert!(swept > count * 10, "only {swept} touchpoints were swept");
    }
}

/// What the feed of touchpoints holds of each department's ids, whoever's it is.
fn by_id(feeds: &Feeds) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, touchpoint) in &feeds.touchpoints {
        let mut touchpoint = touchpoint.clone();
        touchpoint.as_object_mut().unwrap().remove("person");
        let (_, id) = key.split_once('|').unwrap();
        found.entry(id.to_owned()).or_default().insert(touchpoint.to_string());
    }
    found
}

/// The identifiers of each of these touchpoints.
fn homes(touchpoints: &BTreeSet<String>) -> BTreeSet<String> {
    let identifiers = |text: &String| serde_json::from_str::<Value>(text).unwrap()["identifiers"].to_string();
    touchpoints.iter().map(identifiers).collect()
}

#[test]
fn what_retention_has_removed_is_kept_and_said_or_forgotten_if_asked_for() {
    let events = events(small_company(6));
    let all = all_sources(&events);
    let mut hub = Hub::new(6, Mappings::Wrong, all.clone(), 0);
    hub.simulation.run(&mut |_| {}).unwrap();
    let (before, arrived) = (hub.feeds(), hub.arrived());

    // The first fifth of each of their partitions is gone.
    let mut gone: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for source in &all {
        *gone.entry(source.to).or_default() += 1;
    }
    let topics = topology::topology(&options(Mappings::Right)).0.topics;
    let of_changed = |key: &TopicPartition| CHANGED.iter().any(|it| topics.get(key.topic).name.starts_with(it));
    gone.retain(|key, count| {
        *count /= 5;
        of_changed(key)
    });
    for (key, below) in &gone {
        hub.simulation.cluster().borrow_mut().remove_below(*key, *below);
    }
    let mut seen: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let mut retained = all;
    retained.retain(|source| {
        let seen = seen.entry(source.to).or_default();
        *seen += 1;
        *seen > gone.get(&source.to).copied().unwrap_or(0)
    });
    let anew = fresh(Mappings::Right, retained);

    let report = hub.reread_all(Mappings::Right, false);
    let feeds = hub.feeds();
    let (was, made, is) = (by_id(&before), by_id(&anew), by_id(&feeds));
    assert!(is.keys().eq(made.keys().chain(was.keys()).collect::<BTreeSet<_>>()), "nothing is gone");
    let mut of_two_homes = 0;
    for (id, is) in &is {
        match (was.get(id), made.get(id)) {
            (was, Some(made)) if was.is_none_or(|was| homes(was) == homes(made)) => assert_eq!(is, made, "{id}"),
            (Some(was), None) => assert_eq!(is, was, "{id} is kept"),
            // What the home of before has kept, because its record may be gone, and what the home of now has met.
            (was, made) => {
                of_two_homes += 1;
                let known: BTreeSet<_> = was.into_iter().chain(made).flatten().collect();
                assert!(is.iter().all(|one| known.contains(one)), "{id}: {is:?}");
            }
        }
    }
    assert!(of_two_homes > 5, "{of_two_homes}");
    let kept = was.keys().filter(|id| !made.contains_key(*id)).count();
    assert!(kept > 20, "{kept}");
    assert!(report.values().map(|report| report.swept.older).sum::<u64>() >= kept as u64);
    for (spoke, report) in &report {
        let missing: i64 =
            gone.iter().filter(|(key, _)| topics.get(key.topic).name.starts_with(spoke)).map(|it| it.1).sum();
        assert!(report.swept.keeps && report.swept.missing == missing && missing > 0, "{spoke}: {report:?}");
    }
    let of_records: u64 = feeds.customers.values().map(|record| record["touchpoints"].as_u64().unwrap()).sum();
    assert_eq!(of_records, feeds.touchpoints.len() as u64, "records agree");
    assert_eq!(hub.arrived(), arrived);

    let report = hub.reread_all(Mappings::Right, true);
    assert_truth(&anew, &hub.feeds(), "forgotten");
    assert!(report.values().all(|report| report.number == 2 && !report.swept.keeps), "{report:?}");
    assert_eq!(hub.arrived(), arrived);
}

#[test]
fn a_mapping_that_goes_and_comes_back_leaves_no_trace() {
    let events = events(small_company(5));
    let mut hub = Hub::new(5, Mappings::Right, all_sources(&events), 0);
    hub.simulation.run(&mut |_| {}).unwrap();
    let before = hub.feeds();
    assert_truth(&truth(&events).feeds, &before, "at first");
    hub.reread_all(Mappings::Wrong, false);
    assert_truth(&fresh(Mappings::Wrong, all_sources(&events)), &hub.feeds(), "the other mappings");
    let report = hub.reread_all(Mappings::Right, false);
    assert_truth(&before, &hub.feeds(), "as it was");
    assert!(report.values().all(|report| report.number == 2 && report.swept.older > 0), "{report:?}");
    // Once more finds nothing to sweep, and changes nothing.
    let report = hub.reread_all(Mappings::Right, false);
    assert_truth(&before, &hub.feeds(), "as it is");
    assert!(report.values().all(|report| report.number == 3 && report.swept.older == 0), "{report:?}");
}

#[test]
fn a_rebuild_of_kept_touchpoints_does_not_end_a_second_reading_and_one_of_both_ends_both() {
    // One whose second reading takes more than one commit.
    let in_the_middle = |seed: u64| {
        let events = events(small_company(seed));
        let mut hub = Hub::new(seed, Mappings::Wrong, all_sources(&events), 0);
        hub.simulation.run(&mut |_| {}).unwrap();
        let (_, rereading) = hub.reread(Mappings::Right, false);
        while rereading.progress().read == 0 {
            hub.simulation.run_for(1).unwrap();
        }
        let progress = rereading.progress();
        (progress.over == 0 && progress.read < progress.to_read).then_some((events, hub))
    };
    let (events, mut hub) = (3..13).find_map(in_the_middle).expect("a company that is in the middle");

    // Another definition, and nothing but that.
    let zone = "Pacific/Auckland";
    let elsewhere = |options: &mut TopologyOptions| {
        options.calendar = Calendar::of_zone(zone).unwrap();
        options.metrics.calendar = options.calendar.clone();
        options.customers.fold.calendar = options.calendar.clone();
    };
    let mut other = options(Mappings::Right);
    elsewhere(&mut other);
    let topology = topology::topology(&other).0;
    let stateful = topology.stateful();
    let rebuild = Arc::new(Rebuild::new(&stateful));
    hub.simulation.relaunch(stateful, Some(rebuild.clone()));
    hub.simulation.run(&mut |_| {}).unwrap();
    assert!(rebuild.progress().is_complete());
    hub.simulation.relaunch(topology.clone(), None);
    match hub.simulation.run(&mut |_| {}) {
        Err(StageError::Generation(text)) => assert!(text.contains("--from-sources"), "{text}"),
        other => panic!("the hub should refuse: {other:?}"),
    }

    // Back, and the rest of what is to be read: one command.
    let report = hub.reread_all(Mappings::Right, false);
    assert!(report.values().all(|report| report.number == 1), "it went on: {report:?}");
    assert_truth(&truth(&events).feeds, &hub.feeds(), "both");
}
