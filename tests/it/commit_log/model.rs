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

/// What was in one commit; the offsets are filled in when it was appended.
#[derive(Clone, Debug, Default)]
pub struct ModelCommit {
    pub sequence: u64,
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

/// What was appended, in order.
#[derive(Default)]
pub struct Model {
    pub commits: Vec<ModelCommit>,
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
        let newest_first = self.commits.iter().rev().flat_map(|commit| commit.records.iter().rev());
        let mut found = newest_first.filter(|(at, _)| *at == partition);
        found.next().map_or(0, |(_, record)| record.offset + 1)
    }

    pub fn records(&self, partition: TopicPartition) -> Vec<&ModelRecord> {
        let all = self.commits.iter().flat_map(|commit| &commit.records);
        all.filter(|(at, _)| *at == partition).map(|(_, record)| record).collect()
    }

    /// Gives the records of a commit the offsets that follow, and takes it in.
    pub fn append(&mut self, mut commit: ModelCommit, sequence: u64) {
        let mut ends: BTreeMap<TopicPartition, u64> = BTreeMap::new();
        for (partition, record) in &mut commit.records {
            let end = ends.entry(*partition).or_insert_with(|| self.end(*partition));
            record.offset = *end;
            *end += 1;
        }
        commit.sequence = sequence;
        self.commits.push(commit);
    }

    /// The log was opened: it holds a prefix that includes everything durable. The model goes on
    /// from there; what the log holds is for [`Model::check`] to compare.
    pub fn reopened(&mut self, log: &CommitLog, context: &str) {
        let newest = log.newest();
        assert!(newest >= self.durable, "{context}: {newest} is all there is, {} was synced", self.durable);
        self.commits.retain(|commit| commit.sequence <= newest);
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
        let mut offsets = BTreeMap::new();
        for commit in &self.commits {
            offsets.extend(commit.offsets.iter().copied());
        }
        for partition in partitions() {
            assert_eq!(log.committed(partition), offsets.get(&partition).copied(), "{context}: {partition}");
            assert_eq!(log.end(partition).expect("an end"), self.end(partition), "{context}: {partition}");
            let found = read_all(log, partition, 0, 200);
            let wanted = self.records(partition);
            let newest: HashMap<&[u8], u64> =
                wanted.iter().filter_map(|record| Some((record.key.as_deref()?, record.offset))).collect();
            let mut found = found.into_iter().peekable();
            for record in &wanted {
                if found.peek() == Some(*record) {
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
