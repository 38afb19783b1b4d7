//! Commits as they were appended in; what a log must hold, compared with what it holds, out. Shares no code with the log.

use std::{
    collections::{BTreeMap, HashMap},
    ops::ControlFlow,
};

use insight_hub::engine::log::commit_log::{Commit, CommitLog, NewRecord, Policy, TopicPartition};

/// The topics of every test: one per policy.
pub const TOPICS: [(&str, u32, Policy); 4] = [
    ("keep", 3, Policy::Keep),
    ("compact", 2, Policy::Compact { delete_retention_ms: TOMBSTONES_MS }),
    ("processed", 2, Policy::Processed),
    ("delete", 1, Policy::Delete { retention_ms: RETENTION_MS }),
];
pub const TOMBSTONES_MS: i64 = 300;
pub const RETENTION_MS: i64 = 400;

/// A record, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRecord {
    pub offset: u64,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What was in one commit; the model gives the offsets.
#[derive(Clone, Debug, Default)]
pub struct ModelCommit {
    pub records: Vec<(TopicPartition, ModelRecord)>,
    pub offsets: Vec<(TopicPartition, u64)>,
}

impl ModelCommit {
    pub fn to_commit(&self) -> Commit {
        let mut commit = Commit::new();
        for (partition, record) in &self.records {
            let headers: Vec<_> =
                record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            commit.record(
                *partition,
                &NewRecord {
                    timestamp_ms: record.timestamp_ms,
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    headers: &headers,
                },
            );
        }
        for (partition, next) in &self.offsets {
            commit.offset(*partition, *next);
        }
        commit
    }
}

/// What was appended.
#[derive(Clone, Default)]
pub struct Model {
    /// The records of each partition in order, with the sequence number of their commit.
    pub records: BTreeMap<TopicPartition, Vec<(u64, ModelRecord)>>,
    /// Consumer offsets in order, with the sequence number of their commit.
    pub offsets: Vec<(u64, TopicPartition, u64)>,
    /// Everything up to this sequence number must stay.
    pub durable: u64,
    /// A commit of which nobody knows whether it happened.
    pub maybe: Option<ModelCommit>,
    /// The newest time that the log was cleaned at.
    pub cleaned_ms: i64,
    /// The highest offset below which it was told that records are not needed.
    pub processed: BTreeMap<TopicPartition, u64>,
}

pub fn partitions() -> impl Iterator<Item = TopicPartition> {
    TOPICS.iter().zip(0..).flat_map(|((_, partitions, _), topic)| {
        (0..*partitions).map(move |partition| TopicPartition { topic, partition })
    })
}

impl Model {
    pub fn end(&self, partition: TopicPartition) -> u64 {
        self.records.get(&partition).and_then(|records| records.last()).map_or(0, |(_, record)| record.offset + 1)
    }

    pub fn records(&self, partition: TopicPartition) -> impl Iterator<Item = &ModelRecord> {
        self.records.get(&partition).into_iter().flatten().map(|(_, record)| record)
    }

    /// Gives the records of a commit the offsets that follow, and takes it in.
    pub fn append(&mut self, commit: ModelCommit, sequence: u64) {
        for (partition, mut record) in commit.records {
            record.offset = self.end(partition);
            self.records.entry(partition).or_default().push((sequence, record));
        }
        self.offsets.extend(commit.offsets.into_iter().map(|(partition, next)| (sequence, partition, next)));
    }

    /// What the model is of the log's first commits up to one.
    pub fn truncate(&mut self, newest: u64) {
        for records in self.records.values_mut() {
            records.truncate(records.partition_point(|(sequence, _)| *sequence <= newest));
        }
        self.offsets.truncate(self.offsets.partition_point(|(sequence, _, _)| *sequence <= newest));
    }

    /// The log was opened: it holds a prefix that includes everything durable. The model goes on
    /// from there; what the log holds is for [`Model::check`] to compare.
    pub fn reopened(&mut self, log: &CommitLog, context: &str) {
        let newest = log.newest();
        assert!(newest >= self.durable, "{context}: {newest} is all there is, {} was synced", self.durable);
        self.truncate(newest);
        if let Some(maybe) = self.maybe.take() {
            let partition = maybe.records[0].0;
            if log.end(partition).expect("a partition") > self.end(partition) {
                self.append(maybe, newest);
            }
        }
        self.durable = newest;
        assert_eq!(log.durable(), newest, "{context}");
    }

    /// The log holds what it must, and nothing else.
    pub fn check(&self, log: &CommitLog, context: &str) {
        let offsets: BTreeMap<_, _> = self.offsets.iter().map(|(_, partition, next)| (*partition, *next)).collect();
        for partition in partitions() {
            assert_eq!(log.committed(partition), offsets.get(&partition).copied(), "{context}: {partition}");
            assert_eq!(log.end(partition).expect("an end"), self.end(partition), "{context}: {partition}");
            let found = read_all(log, partition, 0, 1000);
            // The newest of each key matters only to what is compacted.
            let newest: HashMap<&[u8], u64> = match TOPICS[partition.topic as usize].2 {
                Policy::Compact { .. } => {
                    self.records(partition).filter_map(|record| Some((record.key.as_deref()?, record.offset))).collect()
                }
                Policy::Keep | Policy::Delete { .. } | Policy::Processed => HashMap::new(),
            };
            let mut found = found.into_iter().peekable();
            for record in self.records(partition) {
                if found.peek() == Some(record) {
                    found.next();
                } else {
                    assert!(!self.is_required(partition, record, &newest), "{context}: {partition} lacks {record:?}");
                }
            }
            assert_eq!(found.next(), None, "{context}: {partition} has more than was appended");
        }
    }

    fn is_required(&self, partition: TopicPartition, record: &ModelRecord, newest: &HashMap<&[u8], u64>) -> bool {
        match TOPICS[partition.topic as usize].2 {
            Policy::Keep => true,
            Policy::Delete { retention_ms } => record.timestamp_ms >= self.cleaned_ms - retention_ms,
            Policy::Processed => record.offset >= self.processed.get(&partition).copied().unwrap_or(0),
            Policy::Compact { delete_retention_ms } => {
                let Some(key) = record.key.as_deref() else { return true };
                let is_newest = newest.get(key) == Some(&record.offset);
                let is_old_tombstone =
                    record.value.is_none() && record.timestamp_ms < self.cleaned_ms - delete_retention_ms;
                is_newest && !is_old_tombstone
            }
        }
    }
}

/// The newest value of each key.
pub fn fold<'a>(records: impl Iterator<Item = &'a ModelRecord>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut latest = BTreeMap::new();
    for record in records {
        let Some(key) = record.key.clone() else { continue };
        match record.value.clone() {
            Some(value) => latest.insert(key, value),
            None => latest.remove(&key),
        };
    }
    latest
}

pub fn read_all(log: &CommitLog, partition: TopicPartition, from: u64, bytes_max: usize) -> Vec<ModelRecord> {
    let mut found = Vec::new();
    let mut next = from;
    let end = log.end(partition).expect("an end");
    while next < end {
        let after = log.read(partition, next, bytes_max, &mut |record| {
            found.push(ModelRecord {
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record.headers().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
            });
            ControlFlow::Continue(())
        });
        let after = after.expect("a read");
        assert!(after > next, "a read that does not go on");
        next = after;
    }
    found
}
