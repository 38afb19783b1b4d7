//! Idle source partitions in simulation: a department that falls silent holds nothing back, and may speak again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use insight_hub::{
    company::{CompanyOptions, SourceEvent},
    engine::{
        log::sim::{Simulation, SimulationOptions},
        worker::WorkerOptions,
    },
    topology,
};
use serde_json::Value;

use crate::{
    simulation::{read, small_worker, sources},
    world::{assert_truth, events, topology_options, truth},
};

/// Event time, by which the company's events are in order.
const DAY_MS: i64 = 86_400_000;

/// What support says after `quiet_from` comes late, or never.
fn company() -> (Vec<SourceEvent>, Vec<SourceEvent>) {
    let mut all = events(CompanyOptions { seed: 3, customers: 6, touchpoints: 400, days: 40, ..Default::default() });
    all.sort_by_key(|event| event.timestamp_ms);
    let quiet_from = all[0].timestamp_ms + 5 * DAY_MS;
    all.into_iter().partition(|event| event.spoke != "support" || event.timestamp_ms < quiet_from)
}

/// The status of each day of the company-wide reach, by its first day.
fn days(metrics: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let days = metrics.iter().filter(|(key, _)| key.starts_with("reach|day:") && key.ends_with('|'));
    days.map(|(key, value)| (key.clone(), value["status"].as_str().unwrap().to_owned())).collect()
}

fn is(days: &BTreeMap<String, String>, status: &str) -> BTreeSet<String> {
    days.iter().filter(|(_, it)| *it == status).map(|(day, _)| day.clone()).collect()
}

#[test]
fn a_silent_department_holds_nothing_back_and_may_speak_again() {
    let (first, late) = company();
    assert!(late.len() > 20);
    // So many customers partitions that some never have a touchpoint.
    let options = topology_options("idle", 12);
    let (topology, map) = topology::topology(&options);
    let run = |idle_after: Duration, faults: u32| {
        let worker = WorkerOptions { idle_after, ..small_worker() };
        let simulation_options = SimulationOptions { seed: 11, instances_max: 2, faults, worker };
        let records = sources(&first, &topology);
        let mut simulation = Simulation::new(simulation_options, topology.clone(), records);
        simulation.run(&mut |_| {}).unwrap();
        simulation
    };

    let waiting = run(Duration::MAX, 0);
    let held_back = days(&read(&waiting.cluster().borrow(), &map).metrics);
    let mut simulation = run(Duration::from_millis(200), 20);
    let feeds = read(&simulation.cluster().borrow(), &map);
    assert_truth(&truth(&first).feeds, &feeds, "nothing but status depends on who is idle");
    let before = days(&feeds.metrics);
    let settled: BTreeSet<String> = is(&before, "final").union(&is(&before, "revised")).cloned().collect();
    let (waits, goes_on) = (is(&held_back, "provisional").len(), is(&before, "provisional").len());
    assert!(before.len() >= 30 && waits > 25, "{waits} of {} days wait for support", before.len());
    assert!((1..=4).contains(&goes_on), "{goes_on} of {} days wait with support idle: {before:?}", before.len());

    simulation.append(sources(&late, &topology));
    simulation.run(&mut |_| {}).unwrap();
    let feeds = read(&simulation.cluster().borrow(), &map);
    let all: Vec<SourceEvent> = first.iter().chain(&late).cloned().collect();
    assert_truth(&truth(&all).feeds, &feeds, "late touchpoints count");
    let after = days(&feeds.metrics);
    for day in &settled {
        assert_ne!(after[day], "provisional", "{day} was settled before support spoke again");
    }
    assert!(is(&after, "revised").intersection(&settled).count() > 5, "{after:?}");
}
