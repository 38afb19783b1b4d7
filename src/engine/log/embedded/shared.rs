//! A directory in; the log that all workers of this process share out: its topics, its identity, its room.

use std::{
    fmt::Write as _,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{EmbeddedOptions, murmur2};
use crate::engine::{
    log::{
        LogError, Placement, TopicPartition,
        commit_log::{self, Commit, CommitLog, CommitLogError, NewRecord, Policy, files::real::RealFiles},
    },
    topics::{Cleanup, ErasedWithin, Ownership, TopicIndex, TopicSpec, Topics},
};

/// Its last record says which log this is.
pub(super) const IDENTITY_TOPIC: &str = "hub.identity";

/// One directory's log, for everybody in this process.
pub struct SharedLog {
    pub(super) log: Arc<CommitLog>,
    pub(super) options: EmbeddedOptions,
    id: String,
    directory: PathBuf,
    /// Whether there is room on the disk.
    has_room: AtomicBool,
    /// Microseconds of the longest append since the keeper asked last.
    longest_append_us: AtomicU64,
}

impl SharedLog {
    /// Opens the log in a directory, or begins one there.
    ///
    /// # Errors
    /// [`LogError::Stop`], with what to do.
    pub fn open(directory: &Path, options: EmbeddedOptions) -> Result<Arc<SharedLog>, LogError> {
        let unusable = |error: std::io::Error| {
            LogError::Stop(format!(
                "the log directory {} cannot be used: {error}; make it writable for this user",
                directory.display()
            ))
        };
        let files = RealFiles::new(directory).map_err(unusable)?;
        let storage = commit_log::Options { segment_bytes: options.segment_bytes, ..commit_log::Options::default() };
        let log = CommitLog::open(Arc::new(files), storage).map_err(stop)?;
        let id = identity(&log).map_err(stop)?;
        Ok(Arc::new(SharedLog {
            directory: directory.to_owned(),
            log: Arc::new(log),
            options,
            id,
            has_room: AtomicBool::new(true),
            longest_append_us: AtomicU64::new(0),
        }))
    }

    /// Gives the log in a directory an identity of its own, where it is another one's copy. From the moment of the copy on, both go
    /// different ways: an offset that somebody has of one is another record in the other, or none, and nothing but the identity tells.
    ///
    /// # Errors
    /// [`CommitLogError`] if the log cannot be opened or written: it may have the identity of the one that it was copied from.
    pub fn begin_another(directory: &Path) -> commit_log::Result<()> {
        let unusable =
            |reason| CommitLogError::Refused { action: "open", file: directory.display().to_string(), reason };
        let files = RealFiles::new(directory).map_err(unusable)?;
        let log = CommitLog::open(Arc::new(files), commit_log::Options::default())?;
        new_identity(&log, identity_partition(&log)?).map(drop)
    }

    /// The log itself.
    pub fn log(&self) -> &Arc<CommitLog> {
        &self.log
    }

    /// How many partitions a topic has; `None`: there is no such topic.
    pub fn partitions(&self, topic: &str) -> Option<i32> {
        let topics = self.log.topics();
        topics.iter().find(|found| found.name == topic).map(|found| found.partitions.cast_signed())
    }

    /// Creates the topics that are missing, departments' topics too: there is nobody else to do it. Returns which they were.
    ///
    /// # Errors
    /// [`LogError::Stop`] if one is there with another number of partitions, or the disk cannot be written.
    pub fn prepare(&self, topics: &Topics) -> Result<Vec<TopicIndex>, LogError> {
        let mut created = Vec::new();
        for (index, topic) in topics.iter() {
            if self.partitions(&topic.name).is_none() {
                created.push(index);
            }
            let partitions = topic.partitions.unsigned_abs();
            self.log.create_topic(&topic.name, partitions, self.policy(topic, topics.erased_within)).map_err(stop)?;
        }
        Ok(created)
    }

    /// What is given up of a topic.
    pub fn policy(&self, topic: &TopicSpec, within: ErasedWithin) -> Policy {
        let compact = |delete_retention_ms| Policy::Compact { delete_retention_ms };
        let retention = |milliseconds: Option<i64>| {
            milliseconds.map_or(Policy::Keep, |retention_ms| Policy::Delete { retention_ms })
        };
        match (topic.ownership, topic.cleanup) {
            (Ownership::Spoke, _) => self.options.spoke_policy(),
            (Ownership::Repartition, _) => Policy::Processed,
            (Ownership::Changelog, _) => compact(within.changelog_deletions_kept_ms()),
            (Ownership::Feed, Cleanup::Compact) => compact(within.feed_deletions_kept_ms()),
            (Ownership::Feed, Cleanup::Delete { retention_ms }) => retention(retention_ms),
        }
    }

    /// The offset that the hub has committed on the one partition of a topic; `None`: none yet, or there is no such topic.
    pub fn committed(&self, topic: &str) -> Option<i64> {
        let topics = self.log.topics();
        let topic = topics.iter().position(|found| found.name == topic)?;
        // A log has far fewer topics than that.
        let partition = commit_log::TopicPartition { topic: topic as u32, partition: 0 };
        self.log.committed(partition).map(u64::cast_signed)
    }

    /// What tells this log from others: it was given when the log was begun, or made of a backup.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What tells this log from others that a store may have been filled from.
    pub(super) fn identity_of(&self, topic: &str, partition: i32) -> String {
        format!("{}/{topic}/{partition}", self.id)
    }

    /// Bytes that this user may still write to the disk; all, where nobody knows.
    pub(super) fn available_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.directory).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Whether the disk has room.
    pub fn has_room(&self) -> bool {
        self.has_room.load(Ordering::Acquire)
    }

    /// Notes how long an append took.
    pub(super) fn note_append(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.longest_append_us.fetch_max(took_us, Ordering::Relaxed);
    }

    /// The longest append since this was asked last, if there was one.
    pub(super) fn take_longest_append(&self) -> Option<Duration> {
        let longest_us = self.longest_append_us.swap(0, Ordering::Relaxed);
        (longest_us > 0).then(|| Duration::from_micros(longest_us))
    }

    /// Notes whether the disk has room.
    pub(super) fn note_room(&self, has_room: bool) {
        self.has_room.store(has_room, Ordering::Release);
    }
}

fn identity_partition(log: &CommitLog) -> commit_log::Result<commit_log::TopicPartition> {
    Ok(commit_log::TopicPartition { topic: log.create_topic(IDENTITY_TOPIC, 1, Policy::Keep)?, partition: 0 })
}

/// The identity that a log was given last; a log that has none is given one.
fn identity(log: &CommitLog) -> commit_log::Result<String> {
    let partition = identity_partition(log)?;
    let mut found = None;
    if let Some(last) = log.end(partition)?.checked_sub(1) {
        log.read(partition, last, 1, &mut |record| {
            found = record.value.map(|value| String::from_utf8_lossy(value).into_owned());
            ControlFlow::Break(())
        })?;
    }
    found.map_or_else(|| new_identity(log, partition), Ok)
}

fn new_identity(log: &CommitLog, partition: commit_log::TopicPartition) -> commit_log::Result<String> {
    let mut id = String::new();
    for _ in 0..2 {
        // Seeded by the system for every process: random enough to tell two logs apart.
        let _ = write!(id, "{:016x}", RandomState::new().build_hasher().finish());
    }
    let mut commit = Commit::new();
    commit.record(partition, &NewRecord { value: Some(id.as_bytes()), ..NewRecord::default() });
    log.append(&commit)?;
    log.sync()?;
    Ok(id)
}

/// Where the topics of a topology are in a log.
pub(super) struct Places(Vec<Place>);

struct Place {
    id: u32,
    partitions: u32,
}

impl Places {
    pub(super) fn new(shared: &SharedLog, topics: &Topics) -> Result<Places, LogError> {
        let stored = shared.log.topics();
        let place = |(_, topic): (TopicIndex, &TopicSpec)| {
            let id = stored.iter().position(|found| *found.name == *topic.name);
            let id = id.ok_or_else(|| LogError::Stop(format!("the log has no topic {}", topic.name)))?;
            // A log has far fewer topics than that.
            Ok(Place { id: id as u32, partitions: stored[id].partitions })
        };
        topics.iter().map(place).collect::<Result<_, _>>().map(Places)
    }

    /// A partition as the log knows it.
    pub(super) fn of(&self, key: TopicPartition) -> commit_log::TopicPartition {
        let place = &self.0[usize::from(key.topic.0)];
        commit_log::TopicPartition { topic: place.id, partition: key.partition.unsigned_abs() }
    }

    /// The partition that a record goes to.
    pub(super) fn placed(&self, topic: TopicIndex, placement: Placement, key: &[u8]) -> commit_log::TopicPartition {
        let place = &self.0[usize::from(topic.0)];
        let partition = match placement {
            Placement::At(partition) => partition.unsigned_abs(),
            Placement::ByKey => murmur2::partition_of(key, place.partitions),
        };
        commit_log::TopicPartition { topic: place.id, partition }
    }
}

/// An error that only the operator can do something about; it says what.
pub(super) fn stop(error: CommitLogError) -> LogError {
    LogError::Stop(error.to_string())
}
