//! How much is restored: after a kill what was committed since the store's offset, without a disk everything.

use std::{collections::BTreeSet, time::Duration};

use super::house::{House, company};
use crate::{
    harness::{
        kafka::Broker,
        reader::{Record, read_settled},
    },
    world::{events, truth},
};

const RESTORED: &str = "insight_hub_restore_records_total";

fn changelogs(house: &House) -> Vec<Record> {
    let read = |topic: &String| read_settled(house.bootstrap(), topic, Duration::from_secs(60));
    house.changelog_topics().iter().flat_map(read).collect()
}

#[test]
fn a_kill_restores_what_was_committed_since_and_a_lost_disk_everything() {
    let within = Duration::from_secs(120);
    let events = events(company(6, 500, 6_000));
    let (first, second) = events.split_at(events.len() / 10 * 9);
    // Nothing but its own end may take the tasks from a process: it would restore more than this test is about.
    let house = House::new(&Broker::shared().bootstrap(), "restore").set("kafka.session_timeout_ms=60000");
    house.write(first);
    let mut hubs = [house.start("a", &["hub.instance_id=a"], None)];
    house.assert_becomes(&truth(first), &mut hubs, within);
    // A clean stop leaves everything in the stores.
    assert_eq!(hubs[0].process().terminate(Duration::from_secs(20)).code(), Some(0));
    let before = changelogs(&house).len();

    let mut hubs = [house.start("a", &["hub.instance_id=a"], None)];
    hubs[0].wait_until_tasks(within);
    hubs[0].wait_until_ready(within);
    assert_eq!(hubs[0].figure(RESTORED), Some(0.0), "after a clean stop nothing is restored");
    house.write(second);
    let expected = truth(&events);
    house.assert_becomes(&expected, &mut hubs, within);
    assert_eq!(hubs[0].figure("insight_hub_flushes_total"), Some(0.0), "the stores are as they were");
    hubs[0].process().kill();
    let all = changelogs(&house);
    let since = all.len() - before;

    let mut hubs = [house.start("a", &["hub.instance_id=a"], None)];
    hubs[0].wait_until_tasks(within);
    hubs[0].wait_until_ready(within);
    let restored = hubs[0].figure(RESTORED).unwrap() as usize;
    println!("after a kill: {restored} records restored, {since} committed since the last flush, {} in all", all.len());
    assert!(0 < restored && restored <= since, "{restored} records restored, {since} were committed since the flush");
    house.assert_becomes(&expected, &mut hubs, within);
    hubs[0].process().kill();

    house.lose_disk("a");
    let all = changelogs(&house);
    let keys: BTreeSet<_> = all.iter().map(|record| (record.partition, record.key.clone())).collect();
    let mut hubs = [house.start("a", &["hub.instance_id=a"], None)];
    hubs[0].wait_until_tasks(within);
    hubs[0].wait_until_ready(within);
    let restored = hubs[0].figure(RESTORED).unwrap() as usize;
    println!("after the loss of the disk: {restored} of {} records, {} keys", all.len(), keys.len());
    assert!(keys.len() <= restored && restored <= all.len(), "{restored} of {} restored", all.len());
    house.assert_becomes(&expected, &mut hubs, within);
}
