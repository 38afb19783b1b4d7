//! One truth: one process, three processes and the simulation publish what the oracle says.

use std::time::{Duration, Instant};

use super::house::{House, company};
use crate::{
    accounts::assert_accounts,
    harness::kafka::Broker,
    simulation::simulate,
    world::{assert_truth, events_with_changes, topology_options, truth},
};

/// The quick suite's size or the long one's. For experiments: `INSIGHT_HUB_TEST_TOUCHPOINTS=2000`.
fn touchpoints(quick: u64, full: u64) -> u64 {
    let usual = if std::env::var_os("INSIGHT_HUB_TEST_FULL").is_some() { full } else { quick };
    std::env::var("INSIGHT_HUB_TEST_TOUCHPOINTS").ok().and_then(|count| count.parse().ok()).unwrap_or(usual)
}

#[test]
fn the_feeds_on_kafka_equal_the_oracle() {
    let events = events_with_changes(company(1, 20_000, touchpoints(200_000, 200_000)));
    let house = House::new(&Broker::shared().bootstrap(), "truth");
    house.write(&events);
    let start = Instant::now();
    let mut hubs = [house.start("a", &[], None)];
    house.wait_until_read(&mut hubs, Duration::from_secs(480));
    let seconds = start.elapsed().as_secs_f64();
    println!("{} records in {seconds:.1} s: {:.0} records/s", events.len(), events.len() as f64 / seconds);
    let expected = truth(&events);
    expected.feeds.assert_each_speaks("one process on Kafka");
    house.assert_becomes(&expected, &mut hubs, Duration::from_secs(60));
    let outcomes: f64 = ["accepted", "skipped", "rejected"]
        .map(|outcome| {
            hubs[0].labelled_figure("insight_hub_outcomes_total", &format!("outcome=\"{outcome}\"")).unwrap()
        })
        .iter()
        .sum();
    assert_eq!(outcomes as usize, events.len(), "every record is accounted for, once");
    assert_accounts(&events, &house.latest("spokes"), "one process on Kafka");
    let status = hubs[0].process().terminate(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "asked to stop, it commits and leaves");
}

#[test]
fn three_processes_give_the_same_feeds() {
    let events = events_with_changes(company(2, 3_000, touchpoints(5_000, 30_000)));
    let expected = truth(&events);
    expected.feeds.assert_each_speaks("three processes");
    let house = House::new(&Broker::shared().bootstrap(), "three");
    house.write(&events);
    let mut hubs = ["a", "b", "c"].map(|name| house.start(name, &[], None));
    house.assert_becomes(&expected, &mut hubs, Duration::from_secs(240));
    for hub in &mut hubs {
        assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));
    }
    let alone = House::new(&Broker::shared().bootstrap(), "alone");
    alone.write(&events);
    assert_accounts(&events, &house.latest("spokes"), "three processes");
    alone.assert_becomes(&expected, &mut [alone.start("a", &[], None)], Duration::from_secs(240));
    let three = house.feeds();
    assert_truth(&three, &alone.feeds(), "three processes and one");
    let (simulated, _) = simulate(&events, &topology_options("one-truth", 4), 2, 3, 5);
    assert_truth(&three, &simulated, "Kafka and simulation");
}
