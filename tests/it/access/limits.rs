//! Clients that are too many, too slow, too large or too much in; a hub that serves the others out.

use std::{
    io::{Read, Write},
    ops::{ControlFlow, Range},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use insight_hub::engine::log::{
    access::{
        AccessError, Appended, BackupSummary, Durability, LogAccess, NewRecord, Record, Result, Status, TopicInfo,
        socket::{Limits, Remote, Server},
    },
    commit_log::Policy,
};
use tempfile::TempDir;

use super::hub::{Hub, becomes, put, short, text};

/// A client that greeted and does as it likes.
pub fn greeted(hub: &Hub) -> UnixStream {
    let mut stream = UnixStream::connect(hub.directory.path().join("socket")).expect("a hub");
    stream.write_all(b"\xf1HUB\x01\0\x01\0").expect("a preface");
    let mut preface = [0; 8];
    stream.read_exact(&mut preface).expect("a preface");
    assert_eq!(preface, *b"\xf1HUB\x01\0\0\0");
    stream
}

/// Everything until the hub closes.
fn rest(mut stream: &UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A hub that closes before it read everything resets the connection; what it said was read.
    let _ = stream.read_to_end(&mut rest);
    rest
}

#[test]
fn one_client_too_many_is_told_and_comes_in_when_another_left() {
    let hub = Hub::with(Limits { connections_max: 2, ..Limits::default() });
    let (first, second) = (hub.remote(), hub.remote());
    let Err(error) = Remote::connect(hub.directory.path()) else { panic!("a third one") };
    assert!(matches!(error, AccessError::Retry { .. }), "{error}");
    assert!(error.to_string().contains("has 2 connections to its log, which is the most"), "{error}");
    first.topics().expect("the first one is served");
    drop(second);
    assert!(becomes(|| Remote::connect(hub.directory.path()).is_ok()));
}

#[test]
fn client_that_stops_in_the_middle_of_a_request_is_cut_off() {
    let hub = Hub::with(short());
    let began = Instant::now();
    let mut large = greeted(&hub);
    large.write_all(&[0, 0, 0xff, 0, 5, 1, 2, 3]).expect("the beginning of a frame of 16 MiB");
    let mut small = greeted(&hub);
    small.write_all(&[9]).expect("the beginning of a length");
    let mut silent = UnixStream::connect(hub.directory.path().join("socket")).expect("a hub");
    silent.write_all(b"\xf1H").expect("the beginning of a preface");
    hub.remote().topics().expect("others are served meanwhile");
    for stream in [large, small, silent] {
        assert_eq!(rest(&stream), b"");
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn client_that_does_not_read_is_cut_off() {
    let mut hub = Hub::with(short());
    let remote = hub.remote();
    remote.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
    let value = vec![7; 2 << 20];
    put_value(&remote, &value);
    let mut slow = greeted(&hub);
    let read = b"\x21\0\0\0\x03\x0c\0\0\0sales.orders\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff";
    slow.write_all(read).expect("a request");
    thread::sleep(Duration::from_millis(1500));
    remote.topics().expect("others are served");
    let answer = rest(&slow);
    assert!(!answer.is_empty() && answer.len() < 2 << 20, "cut off after {} bytes", answer.len());
    slow = greeted(&hub);
    slow.write_all(read).expect("a request");
    thread::sleep(Duration::from_millis(20));
    let began = Instant::now();
    hub.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "it does not keep the hub from stopping");
}

fn put_value(remote: &Remote, value: &[u8]) {
    let record = NewRecord { value: Some(value), ..NewRecord::default() };
    remote.append("sales.orders", &[record], Durability::AsConfigured).expect("an append");
}

#[test]
fn client_that_asks_nothing_for_long_is_cut_off() {
    let hub = Hub::with(Limits { idle: Duration::from_millis(500), ..Limits::default() });
    let remote = hub.remote();
    remote.topics().expect("topics");
    thread::sleep(Duration::from_millis(1500));
    assert!(matches!(remote.topics(), Err(AccessError::Gone { .. })));
    let newest = hub.remote().wait_beyond(1 << 40, Duration::from_millis(1500)).expect("who waits asks something");
    assert!(newest < 1 << 40);
}

#[test]
fn request_larger_than_the_hub_takes_is_refused_unread() {
    let hub = Hub::with(Limits { request_bytes_max: 100_000, ..Limits::default() });
    let remote = hub.remote();
    remote.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
    let large = vec![7; 10 << 20];
    let record = NewRecord { value: Some(&large), ..NewRecord::default() };
    let error = remote.append("sales.orders", &[record], Durability::AsConfigured).expect_err("too large");
    assert!(matches!(error, AccessError::TooLarge { limit: 100_000, .. }), "{error}");
    assert!(matches!(remote.topics(), Err(AccessError::Gone { .. })), "what was not read cannot be passed over");
    put_value(&hub.remote(), &vec![7; 90_000]);
}

#[test]
fn large_requests_share_what_there_is() {
    let hub = Hub::with(Limits { frame_wait: Duration::from_secs(2), ..Limits::default() });
    hub.remote().create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
    let mut greedy = greeted(&hub);
    greedy.write_all(&[0, 0, 0, 1, 5]).expect("the beginning of the largest frame");
    thread::sleep(Duration::from_millis(50));
    let remote = hub.remote();
    put_value(&remote, &vec![7; 60_000]);
    let value = vec![7; 1 << 20];
    let record = NewRecord { value: Some(&value), ..NewRecord::default() };
    let error = remote.append("sales.orders", &[record], Durability::AsConfigured).expect_err("no share");
    assert!(matches!(error, AccessError::Retry { .. }), "{error}");
    assert_eq!(rest(&greedy), b"", "it was late");
    put_value(&hub.remote(), &value);
}

/// A log with a defect.
struct Defect;

impl LogAccess for Defect {
    fn topics(&self) -> Result<Vec<TopicInfo>> {
        panic!("a defect that this test is about");
    }

    fn spans(&self, _topic: &str) -> Result<Vec<Range<u64>>> {
        Ok(vec![0..1])
    }

    fn read(
        &self,
        _topic: &str,
        _partition: u32,
        from: u64,
        _bytes_max: usize,
        _each: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<u64> {
        Ok(from)
    }

    fn wait_beyond(&self, sequence: u64, _wait: Duration) -> Result<u64> {
        Ok(sequence)
    }

    fn append(&self, _topic: &str, _records: &[NewRecord<'_>], _durability: Durability) -> Result<Appended> {
        panic!("a defect that this test is about");
    }

    fn create_topic(&self, _name: &str, _partitions: u32, _policy: Policy) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn backup(&self, _directory: &Path) -> Result<BackupSummary> {
        Ok(BackupSummary { bytes: 0, files: 0 })
    }

    fn status(&self) -> Result<Status> {
        Ok(Status { bytes: 0, newest: 0, durable: 0, is_paused: false, version: "é".repeat(20_000_000) })
    }
}

#[test]
fn a_panic_costs_one_connection_and_an_answer_too_large_none() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start(directory.path(), Arc::new(Defect), Limits::default()).expect("a server");
    let remote = || Remote::connect(directory.path()).expect("no error").expect("a hub");
    assert!(matches!(remote().topics(), Err(AccessError::Gone { .. })));
    let error = remote().append("a", &[text("a")], Durability::Synced).expect_err("nobody knows");
    assert!(matches!(error, AccessError::Unsure { .. }), "{error}");
    let remote = remote();
    assert!(matches!(remote.status(), Err(AccessError::Stop { .. })));
    assert_eq!(remote.spans("a"), Ok(vec![0..1]));
    server.stop();
}

#[test]
fn clients_that_come_and_go_leave_nothing() {
    let hub = Hub::with(Limits { connections_max: 4, ..Limits::default() });
    hub.remote().create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
    let before = descriptors();
    for _ in 0..600 {
        let connected = becomes(|| {
            Remote::connect(hub.directory.path())
                .is_ok_and(|it| put(&it.expect("a hub"), "sales.orders", &["a"]).is_ok())
        });
        assert!(connected);
    }
    // Other tests open some at the same time.
    assert!(descriptors() < before + 500, "{before} before, {} after", descriptors());
    assert_eq!(hub.remote().spans("sales.orders"), Ok(vec![0..600]));
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
