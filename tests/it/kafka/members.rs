//! Static membership: a process that lost its place by accident takes it back, two that share a name do not go on for ever.

use std::time::{Duration, Instant};

use insight_hub::company::SPOKES;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};

use super::house::{House, company};
use crate::{
    harness::kafka::Broker,
    world::{events, truth},
};

const WITHIN: Duration = Duration::from_secs(240);

/// What a broker that dies while a static member joins leaves behind: the place belongs to a join that nobody heard of. Here
/// a stranger takes it and goes without a word.
#[test]
fn a_static_member_whose_place_was_given_away_takes_it_back() {
    let events = events(company(8, 300, 3_000));
    let (first, second) = events.split_at(events.len() / 2);
    let house = House::new(&Broker::shared().bootstrap(), "place");
    let mut hubs = [house.start("a", &["hub.instance_id=a"], None)];
    hubs[0].wait_until_tasks(WITHIN);
    house.write(first);
    let thief: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", house.bootstrap())
        .set("group.id", &house.name)
        // As the hub names the member of its first worker.
        .set("group.instance.id", "a-0")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer can be made");
    thief.subscribe(&[&format!("{}.{}", house.name, SPOKES[0])]).expect("a subscription can be made");
    let fenced =
        |hub: &mut super::house::Instance| hub.process().stderr().contains("fenced in the group: joining anew");
    let start = Instant::now();
    while !fenced(&mut hubs[0]) {
        let _ = thief.poll(Duration::from_millis(50));
        assert!(hubs[0].process().is_running(), "it gave up\n{}", hubs[0].process().story());
        assert!(start.elapsed() < WITHIN, "the hub never lost its place\n{}", hubs[0].process().story());
    }
    drop(thief);
    house.write(second);
    house.assert_becomes(&truth(&events), &mut hubs, WITHIN);
    assert_eq!(hubs[0].process().terminate(Duration::from_secs(20)).code(), Some(0));
}

#[test]
fn of_two_processes_under_one_name_one_ends_and_says_why() {
    let events = events(company(9, 300, 3_000));
    let (first, second) = events.split_at(events.len() / 2);
    let house = House::new(&Broker::shared().bootstrap(), "twins");
    house.write(first);
    let mut hubs = vec![house.start("a", &["hub.instance_id=twin"], None)];
    hubs[0].wait_until_tasks(WITHIN);
    hubs.push(house.start("b", &["hub.instance_id=twin"], None));
    let start = Instant::now();
    let ended = loop {
        if let Some(ended) = hubs.iter_mut().position(|hub| !hub.process().is_running()) {
            break ended;
        }
        assert!(start.elapsed() < WITHIN, "both go on\n{}", hubs[0].process().story());
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut ended = hubs.remove(ended);
    assert_eq!(ended.process().status().and_then(|status| status.code()), Some(1));
    let said = ended.process().stderr();
    assert!(said.contains("another process runs under the same hub.instance_id"), "{said}");
    house.write(second);
    house.assert_becomes(&truth(&events), &mut hubs, WITHIN);
}
