//! The harness itself: a broker that keeps its promises, a reader that sees what is committed and nothing else.

use crate::harness::kafka::Broker;
use crate::harness::process::{Process, Signal};
use crate::harness::reader::{Follower, Record, compact, read, read_settled};
use crate::harness::sweeper::Scratch;
use crate::harness::unique;
use crate::harness::writer::{Message, Writer, create_topics};
use std::process::Command;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

fn values(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(record.value.as_deref().unwrap()).unwrap()).collect()
}

#[test]
fn the_reader_sees_committed_records_and_no_aborted_or_open_ones() {
    let bootstrap = Broker::shared().bootstrap();
    let topic = unique("smoke-transactions");
    create_topics(&bootstrap, &[(&topic, 2)], &[]);

    let writer = Writer::transactional(&bootstrap, &unique("smoke"), TIMEOUT);
    writer.begin();
    writer.write(&topic, &[Message::new("a", "committed").to(0).at(1_700_000_000_000).header("kind", "first")]);
    writer.commit();
    writer.begin();
    writer.write(&topic, &[Message::new("a", "aborted").to(0), Message::new("b", "aborted").to(1)]);
    writer.abort();
    writer.begin();
    writer.write(&topic, &[Message::new("b", "committed later").to(1)]);
    writer.commit();
    let open = Writer::transactional(&bootstrap, &unique("smoke"), Duration::from_secs(2));
    open.begin();
    open.write(&topic, &[Message::new("a", "open").to(0)]);

    let records = read(&bootstrap, &topic);
    assert_eq!(values(&records), ["committed", "committed later"]);
    assert_eq!(records[0].timestamp_ms, Some(1_700_000_000_000));
    assert_eq!(records[0].header("kind"), Some(&b"first"[..]));
    assert_eq!(records[1].partition, 1);

    // Nobody ends the open transaction: the broker does when its time is over, and the settled reader waits for that.
    drop(open);
    assert_eq!(values(&read_settled(&bootstrap, &topic, Duration::from_secs(30))), ["committed", "committed later"]);
}

#[test]
fn compaction_keeps_the_latest_value_of_each_key_and_drops_tombstones() {
    let bootstrap = Broker::shared().bootstrap();
    let topic = unique("smoke-compaction");
    create_topics(&bootstrap, &[(&topic, 3)], &[("cleanup.policy", "compact")]);
    let writer = Writer::new(&bootstrap);
    writer.write(
        &topic,
        &[Message::new("a", "1"), Message::new("b", "1"), Message::new("a", "2"), Message::tombstone("b")],
    );

    let latest: Vec<Record> = compact(&read(&bootstrap, &topic)).into_values().collect();
    assert_eq!(values(&latest), ["2"]);
    assert_eq!(latest[0].key_text(), "a");
}

#[test]
#[should_panic(expected = "in two partitions")]
fn a_key_in_two_partitions_is_refused() {
    let record = |partition| Record {
        partition,
        offset: 0,
        timestamp_ms: None,
        key: Some(b"a".to_vec()),
        value: Some(Vec::new()),
        headers: Vec::new(),
    };
    compact(&[record(0), record(1)]);
}

#[test]
fn a_broker_keeps_its_data_over_a_clean_and_a_hard_restart_while_a_follower_reads_on() {
    let mut broker = Broker::start();
    let bootstrap = broker.bootstrap();
    create_topics(&bootstrap, &[("kept", 2)], &[]);
    let follower = Follower::start(&bootstrap, "kept", |_| {});
    let batch: Vec<Message> = (0..1_000).map(|i| Message::new(i.to_string(), i.to_string())).collect();

    Writer::new(&bootstrap).write("kept", &batch);
    broker.stop();
    broker.restart();
    assert_eq!(read(&bootstrap, "kept").len(), 1_000, "after a clean restart");

    let writer = Writer::transactional(&bootstrap, "smoke", TIMEOUT);
    writer.begin();
    writer.write("kept", &batch);
    writer.commit();
    broker.kill();
    broker.restart();
    let records = read_settled(&bootstrap, "kept", Duration::from_secs(30));
    assert_eq!(records.len(), 2_000, "after a hard restart");
    assert_eq!(broker.lost_transaction(), None);

    std::thread::sleep(Duration::from_secs(2));
    let mut followed = follower.stop();
    followed.sort_by_key(|record| (record.partition, record.offset));
    assert_eq!(followed, records);
}

#[test]
fn a_process_can_be_frozen_woken_and_ended() {
    let scratch = Scratch::new("process");
    let mut process = Process::spawn(
        "counter",
        Command::new("sh").args(["-c", "trap 'echo bye; exit 7' TERM; while :; do echo tick; sleep 0.02; done"]),
        scratch.path(),
    );
    let ticks = |process: &Process| process.stdout().lines().filter(|line| *line == "tick").count();
    while ticks(&process) < 3 {
        assert!(process.is_running());
        std::thread::sleep(Duration::from_millis(10));
    }
    process.signal(Signal::Stop);
    std::thread::sleep(Duration::from_millis(100));
    let frozen = ticks(&process);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ticks(&process), frozen, "a frozen process does nothing");
    process.signal(Signal::Continue);
    while ticks(&process) == frozen {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(process.terminate(TIMEOUT).code(), Some(7));
    assert!(process.stdout().ends_with("bye\n"));
}
