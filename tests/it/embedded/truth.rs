//! One truth: whatever the number of workers, and over restarts, the feeds are those of the oracle and of the simulation.

use std::time::Duration;

use insight_hub::{
    company::CompanyOptions,
    engine::{log::embedded::EmbeddedOptions, worker::WorkerOptions},
};

use super::house::House;
use crate::{
    simulation::{simulate, small_worker},
    world::{assert_truth, events_with_changes, topology_options, truth},
};

fn company(touchpoints: u64) -> CompanyOptions {
    CompanyOptions {
        seed: 5,
        customers: touchpoints as u32 / 10,
        touchpoints,
        shuffled: true,
        ..CompanyOptions::default()
    }
}

#[test]
fn one_worker_and_two_give_the_truth() {
    let events = events_with_changes(company(5_000));
    let expected = truth(&events);
    expected.feeds.assert_each_speaks("one and two workers");
    let options = topology_options("embedded", 4);
    let (simulated, _) = simulate(&events, &options, 5, 3, 5);
    for workers in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let house = House::open(directory.path(), &options, EmbeddedOptions::default());
        house.write(&events);
        house.run(workers, WorkerOptions::default());
        let feeds = house.feeds();
        assert_truth(&expected.feeds, &feeds, &format!("{workers} workers and the oracle"));
        assert_truth(&simulated, &feeds, &format!("{workers} workers and the simulation"));
    }
}

#[test]
fn a_hub_that_is_opened_again_goes_on_with_another_number_of_workers() {
    let events = events_with_changes(company(3_000));
    let expected = truth(&events);
    expected.feeds.assert_each_speaks("six runs");
    let options = topology_options("embedded", 4);
    let embedded = EmbeddedOptions { segment_bytes: 1 << 20, ..EmbeddedOptions::default() };
    let directory = tempfile::tempdir().unwrap();
    for (number, part) in events.chunks(events.len() / 6 + 1).enumerate() {
        let house = House::open(directory.path(), &options, embedded.clone());
        house.write(part);
        let worker = WorkerOptions { commit_interval: Duration::from_millis(40), ..small_worker() };
        house.run(1 + number % 3, worker);
    }
    let house = House::open(directory.path(), &options, embedded);
    assert_truth(&expected.feeds, &house.feeds(), "six runs on one directory");
}
