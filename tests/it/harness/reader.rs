//! An independent `read_committed` reader: what any department's client would see, and none of the hub's code.

use rdkafka::ClientConfig;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const READ_WITHIN: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
        });
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }

    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    pub fn key_text(&self) -> &str {
        std::str::from_utf8(self.key.as_deref().unwrap_or_default()).expect("the key is text")
    }
}

fn consumer(bootstrap: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        // Never joined: partitions are assigned by hand and nothing is committed.
        .set("group.id", super::unique("reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "10")
        .set("fetch.queue.backoff.ms", "0")
        .set("reconnect.backoff.max.ms", "500")
        .set("log_level", "2")
        .create()
        .expect("a consumer can be made")
}

/// The number of partitions of a topic.
pub fn partitions(bootstrap: &str, topic: &str) -> i32 {
    partitions_of(&consumer(bootstrap, "read_committed"), topic)
}

fn partitions_of(consumer: &BaseConsumer, topic: &str) -> i32 {
    let start = Instant::now();
    loop {
        let answer = consumer.fetch_metadata(Some(topic), Duration::from_secs(5));
        let count = answer.as_ref().map_or(0, |metadata| metadata.topics().first().map_or(0, |t| t.partitions().len()));
        if count > 0 {
            return i32::try_from(count).expect("a topic has few partitions");
        }
        assert!(start.elapsed() < READ_WITHIN, "there is no topic {topic}: {:?}", answer.err());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The end offsets by partition: with `read_committed` the last stable offsets, with `read_uncommitted` the high watermarks.
fn ends(consumer: &BaseConsumer, topic: &str) -> BTreeMap<i32, (i64, i64)> {
    (0..partitions_of(consumer, topic))
        .map(|partition| {
            let start = Instant::now();
            loop {
                match consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)) {
                    Ok(range) => return (partition, range),
                    Err(error) if start.elapsed() > READ_WITHIN => panic!("no offsets of {topic}-{partition}: {error}"),
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        })
        .collect()
}

/// All committed records of a topic, from the beginning to the last stable offsets at the time of the call, in order of
/// (partition, offset). What a transaction that is still open hides is not waited for; see [`read_settled`].
pub fn read(bootstrap: &str, topic: &str) -> Vec<Record> {
    let consumer = consumer(bootstrap, "read_committed");
    let ends = ends(&consumer, topic);
    read_to(&consumer, topic, &ends)
}

/// As [`read`], but first waits until every transaction that was open at the time of the call has ended (after a kill the
/// broker ends it when its timeout is over).
#[track_caller]
pub fn read_settled(bootstrap: &str, topic: &str, within: Duration) -> Vec<Record> {
    let high = ends(&consumer(bootstrap, "read_uncommitted"), topic);
    let consumer = consumer(bootstrap, "read_committed");
    let start = Instant::now();
    loop {
        let stable = ends(&consumer, topic);
        if high.iter().all(|(partition, (_, high))| stable[partition].1 >= *high) {
            return read_to(&consumer, topic, &stable);
        }
        assert!(
            start.elapsed() < within,
            "{topic}: a transaction is still open after {within:?}: {stable:?} of {high:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn read_to(consumer: &BaseConsumer, topic: &str, ends: &BTreeMap<i32, (i64, i64)>) -> Vec<Record> {
    let mut waiting: BTreeMap<i32, i64> =
        ends.iter().filter(|(_, (low, end))| low < end).map(|(partition, (_, end))| (*partition, *end)).collect();
    let mut assignment = TopicPartitionList::new();
    for partition in waiting.keys() {
        assignment
            .add_partition_offset(topic, *partition, Offset::Offset(ends[partition].0))
            .expect("an offset can be assigned");
    }
    consumer.assign(&assignment).expect("partitions can be assigned");
    let mut records = Vec::new();
    let mut last_news = Instant::now();
    while !waiting.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                last_news = Instant::now();
                let end = ends[&message.partition()].1;
                if message.offset() < end {
                    records.push(Record::of(&message));
                }
                // The last offset before the end may be a transaction's marker, which is never delivered: then the end of
                // the partition or a later record says that this one is done.
                if message.offset() + 1 >= end {
                    waiting.remove(&message.partition());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                last_news = Instant::now();
                waiting.remove(&partition);
            }
            Some(Err(error)) => {
                assert!(last_news.elapsed() < READ_WITHIN, "{topic} cannot be read: {error}");
            }
            None => {
                assert!(last_news.elapsed() < READ_WITHIN, "{topic}: nothing for {READ_WITHIN:?}, {waiting:?} open")
            }
        }
    }
    consumer.unassign().expect("partitions can be given back");
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// The latest value by key, tombstones removed: what a compacted topic means.
///
/// Fails when a key appears in two partitions: then "the latest" means nothing, and no subscriber could know the truth.
#[track_caller]
pub fn compact(records: &[Record]) -> BTreeMap<Vec<u8>, Record> {
    let mut latest: BTreeMap<Vec<u8>, &Record> = BTreeMap::new();
    for record in records {
        let key = record.key.clone().unwrap_or_else(|| panic!("a record of a compacted topic has no key: {record:?}"));
        if let Some(before) = latest.get(&key) {
            assert_eq!(
                before.partition,
                record.partition,
                "the key {:?} is in two partitions",
                String::from_utf8_lossy(&key)
            );
            if before.offset > record.offset {
                continue;
            }
        }
        latest.insert(key, record);
    }
    latest.into_iter().filter(|(_, record)| record.value.is_some()).map(|(key, record)| (key, record.clone())).collect()
}

/// Reads a topic while it is being written, from the beginning until stopped; outlives broker restarts.
pub struct Follower {
    enough: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Vec<Record>>>,
}

impl Follower {
    /// `on_record` sees each committed record in the order of its partition: a panic in it fails the test at [`Self::stop`].
    pub fn start(bootstrap: &str, topic: &str, mut on_record: impl FnMut(&Record) + Send + 'static) -> Self {
        let consumer = consumer(bootstrap, "read_committed");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions_of(&consumer, topic) {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset can be assigned");
        }
        consumer.assign(&assignment).expect("partitions can be assigned");
        let enough = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&enough);
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let thread = std::thread::spawn(move || {
            let mut records = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                    let record = Record::of(&message);
                    on_record(&record);
                    records.push(record);
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
            records
        });
        Self { enough, count, thread: Some(thread) }
    }

    /// How many records it has seen so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends it and returns what it saw so far, in order of arrival.
    pub fn stop(mut self) -> Vec<Record> {
        self.enough.store(true, Ordering::Relaxed);
        match self.thread.take().expect("a follower is stopped once").join() {
            Ok(records) => records,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
    }
}
