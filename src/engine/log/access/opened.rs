//! A log that is open in this process and its owner's rules in; what others may do with it out.

use std::{
    collections::{BTreeMap, HashMap},
    ops::{ControlFlow, Range},
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    AccessError, Appended, BackupSummary, Durability, Header, LogAccess, NewRecord, Record, Result, Status, TopicInfo,
    error::of_append,
    name::{self, shown},
};
use crate::engine::log::commit_log::{self, Commit, CommitLog, CommitLogError, Policy, TopicPartition};

/// How long an append is tried again: well below what whoever asks through the socket waits for an answer.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(20);

/// What the owner of an open log decides and does for those who are not the engine. Called from many threads.
pub trait Owner: Send + Sync {
    /// Whether a topic of that name is a department's: others than the engine may create it and append to it.
    fn is_departments(&self, topic: &str) -> bool;

    /// Called after each append that did not ask to be durable, with its sequence number: makes it durable if that is the
    /// policy. Without one of its own, the owner syncs when it likes.
    ///
    /// # Errors
    /// Those of [`CommitLog::sync`]; the append is then [`AccessError::Unsure`].
    fn after_append(&self, log: &CommitLog, sequence: u64) -> std::result::Result<(), CommitLogError> {
        let _ = (log, sequence);
        Ok(())
    }

    /// Called when there is no room for an append: waits until there may be, and tells whether to try again. Must come back
    /// when the hub stops, and after half a minute, since who asks through the socket waits a minute for an answer; then, and by
    /// default at once, the caller is told to try again later.
    fn wait_for_room(&self) -> bool {
        false
    }

    /// Whether the hub waits for room.
    fn is_paused(&self) -> bool {
        false
    }

    /// Copies the log, as it is durable, to a directory that may have to be made.
    ///
    /// # Errors
    /// As [`LogAccess::backup`]. By default it is [`AccessError::Unsupported`].
    fn backup(&self, log: &CommitLog, directory: &Path) -> Result<BackupSummary> {
        let _ = (log, directory);
        Err(AccessError::Unsupported {
            reason: "this hub makes no backups while it runs; stop it and copy its data directory".to_owned(),
        })
    }
}

/// What others than the engine may take of the log.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one append, as [`NewRecord::bytes`] counts them. It is one block of one partition, which readers hold whole.
    pub append_bytes_max: usize,
    /// Partitions of a topic that is created: each is kept in memory for ever.
    pub topic_partitions_max: u32,
    /// Topics of the log beyond which none is created: names too are kept in memory for ever.
    pub topics_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { append_bytes_max: 8 << 20, topic_partitions_max: 256, topics_max: 1000 }
    }
}

/// A log that is open in this process, for those who are not the engine.
pub struct Opened {
    log: Arc<CommitLog>,
    owner: Arc<dyn Owner>,
    limits: Limits,
    /// Topics that were asked for: id and partitions stay as they are.
    known: RwLock<HashMap<String, Arc<Known>>>,
}

/// What does not change of a topic, and whose turn it is.
struct Known {
    name: String,
    id: u32,
    partitions: u32,
    turn: AtomicU32,
}

impl Known {
    /// The partition for records that leave the choice to the log.
    fn next(&self) -> u32 {
        self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(self.partitions).unwrap_or(0)
    }

    fn partition(&self, partition: u32) -> Result<TopicPartition> {
        if partition < self.partitions {
            return Ok(TopicPartition { topic: self.id, partition });
        }
        let (name, partitions) = (&self.name, self.partitions);
        let reason = format!("topic {name} has no partition {partition}; it has {partitions}, counted from 0");
        Err(AccessError::Mistaken { reason })
    }

    /// Says the topic's name where the log says its id.
    fn named(&self, partition: u32, error: CommitLogError) -> AccessError {
        match AccessError::from(error) {
            AccessError::Beyond { offset, end, .. } => {
                AccessError::Beyond { partition: format!("partition {partition} of topic {}", self.name), offset, end }
            }
            other => other,
        }
    }
}

impl Opened {
    /// Access to a log by its owner's rules.
    pub fn new(log: Arc<CommitLog>, owner: Arc<dyn Owner>, limits: Limits) -> Self {
        Self { log, owner, limits, known: RwLock::new(HashMap::new()) }
    }

    fn known(&self, topic: &str) -> Result<Arc<Known>> {
        // Nothing is half-changed when a thread panics here.
        let found = self.known.read().unwrap_or_else(PoisonError::into_inner).get(topic).cloned();
        if let Some(found) = found {
            return Ok(found);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (commit_log::Topic { name, partitions, .. }, id) in self.log.topics().into_iter().zip(0..) {
            known.entry(name).or_insert_with_key(|name| {
                Arc::new(Known { name: name.clone(), id, partitions, turn: AtomicU32::new(0) })
            });
        }
        known.get(topic).cloned().ok_or_else(|| AccessError::Mistaken {
            reason: format!("the log has no topic {}; create it first, or ask which there are", shown(topic)),
        })
    }

    fn check_department(&self, topic: &str) -> Result<()> {
        if self.owner.is_departments(topic) {
            return Ok(());
        }
        let reason = format!(
            "topic {} is written by the hub alone; append to the topic of a department, as its spoke names it",
            shown(topic)
        );
        Err(AccessError::Denied { reason })
    }

    /// While the owner waits for room nobody takes what is left of it.
    fn check_room(&self) -> Result<()> {
        if self.owner.is_paused() && !self.owner.wait_for_room() {
            return Err(AccessError::Retry { reason: "the disk is full".to_owned() });
        }
        Ok(())
    }

    /// Tries until there is room, the owner gives up, or the caller has waited long: a quota may leave no room on a disk that has
    /// some.
    fn with_room<T>(
        &self,
        attempt: impl Fn() -> std::result::Result<T, CommitLogError>,
    ) -> std::result::Result<T, CommitLogError> {
        let began = Instant::now();
        loop {
            match attempt() {
                Err(CommitLogError::Full { .. }) if began.elapsed() < ROOM_WAIT_MAX && self.owner.wait_for_room() => {}
                outcome => return outcome,
            }
        }
    }
}

/// Records of one append, placed.
struct Batch {
    commit: Commit,
    /// Records of each partition.
    counts: BTreeMap<u32, u64>,
}

fn place(records: &[NewRecord<'_>], topic: &Known) -> Result<Batch> {
    let chosen = if records.iter().any(|record| record.partition.is_none()) { topic.next() } else { 0 };
    let mut batch = Batch { commit: Commit::new(), counts: BTreeMap::new() };
    for record in records {
        let partition = record.partition.unwrap_or(chosen);
        let (timestamp_ms, key, value, headers) = (record.timestamp_ms, record.key, record.value, record.headers);
        let new = commit_log::NewRecord { timestamp_ms, key, value, headers };
        batch.commit.record(topic.partition(partition)?, &new);
        *batch.counts.entry(partition).or_default() += 1;
    }
    Ok(batch)
}

impl LogAccess for Opened {
    fn topics(&self) -> Result<Vec<TopicInfo>> {
        let topics = self.log.topics().into_iter();
        Ok(topics
            .map(|commit_log::Topic { name, partitions, policy }| TopicInfo { name, partitions, policy })
            .collect())
    }

    fn spans(&self, topic: &str) -> Result<Vec<Range<u64>>> {
        let known = self.known(topic)?;
        (0..known.partitions)
            .map(|partition| {
                let partition = known.partition(partition)?;
                // In this order: both only grow, so the span is never turned round.
                let beginning = self.log.beginning(partition)?;
                Ok(beginning..self.log.end(partition)?)
            })
            .collect()
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        bytes_max: usize,
        each: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<u64> {
        let known = self.known(topic)?;
        let hand_over = &mut |record: &commit_log::Record<'_>| {
            // Most records have none: no allocation then.
            let headers: Vec<Header<'_>> = record.headers().collect();
            each(&Record {
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                key: record.key,
                value: record.value,
                headers: &headers,
            })
        };
        let read = self.log.read(known.partition(partition)?, from, bytes_max, hand_over);
        read.map_err(|error| known.named(partition, error))
    }

    fn wait_beyond(&self, sequence: u64, wait: Duration) -> Result<u64> {
        Ok(self.log.wait_beyond(sequence, wait))
    }

    fn append(&self, topic: &str, records: &[NewRecord<'_>], durability: Durability) -> Result<Appended> {
        let known = self.known(topic)?;
        self.check_department(topic)?;
        let bytes = records.iter().map(NewRecord::bytes).sum::<usize>();
        if bytes > self.limits.append_bytes_max {
            return Err(AccessError::TooLarge { bytes: bytes as u64, limit: self.limits.append_bytes_max as u64 });
        }
        if records.is_empty() {
            return Ok(Appended { sequence: self.log.newest(), offsets: Vec::new() });
        }
        self.check_room()?;
        let Batch { mut commit, counts } = place(records, &known)?;
        commit.pack_all();
        let appended = self.with_room(|| self.log.append(&commit)).map_err(of_append)?;
        let durable = match durability {
            Durability::AsConfigured => self.owner.after_append(&self.log, appended.sequence),
            Durability::Synced => self.log.sync().map(|_| ()),
        };
        // It is in the log, and readers may have seen it; whether it stays is what nobody can say.
        durable.map_err(|error| AccessError::Unsure { reason: error.to_string() })?;
        let mut offsets: Vec<(u32, Range<u64>)> = Vec::with_capacity(appended.bases.len());
        for (TopicPartition { partition, .. }, base) in appended.bases {
            let count = counts.get(&partition).copied().unwrap_or_default();
            offsets.push((partition, base..base + count));
        }
        offsets.sort_by_key(|(partition, _)| *partition);
        Ok(Appended { sequence: appended.sequence, offsets })
    }

    fn create_topic(&self, name: &str, partitions: u32, policy: Policy) -> Result<()> {
        let mistaken = |reason: String| Err(AccessError::Mistaken { reason });
        if !name::is_legal(name) {
            let longest = super::TOPIC_NAME_BYTES_MAX;
            let name = shown(name);
            return mistaken(format!(
                "{name} is no name for a topic; take 1 to {longest} of a-z, A-Z, 0-9, '.', '_', '-'"
            ));
        }
        self.check_department(name)?;
        let most = self.limits.topic_partitions_max;
        if !(1..=most).contains(&partitions) {
            return mistaken(format!("a topic cannot have {partitions} partitions; take 1 to {most}"));
        }
        let kept_ms = match policy {
            Policy::Keep | Policy::Processed => 0,
            Policy::Delete { retention_ms } => retention_ms,
            Policy::Compact { delete_retention_ms } => delete_retention_ms,
        };
        if kept_ms < 0 {
            return mistaken(format!("a retention cannot be {kept_ms} ms; take 0 or more"));
        }
        let topics = self.log.topics();
        if topics.iter().any(|known| known.name == name && known.partitions == partitions) {
            return Ok(());
        }
        // Topics are never removed, so two at a time pass the limit by what connections there are, once.
        if topics.len() >= self.limits.topics_max && !topics.iter().any(|known| known.name == name) {
            return mistaken(format!("the log has {} topics, which is the most; use one of them", topics.len()));
        }
        self.check_room()?;
        self.with_room(|| self.log.create_topic(name, partitions, policy))?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.log.sync()?;
        Ok(())
    }

    fn backup(&self, directory: &Path) -> Result<BackupSummary> {
        self.owner.backup(&self.log, directory)
    }

    fn status(&self) -> Result<Status> {
        // Durable first: it is never ahead of the newest.
        let durable = self.log.durable();
        Ok(Status {
            bytes: self.log.bytes()?,
            newest: self.log.newest(),
            durable,
            is_paused: self.owner.is_paused(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}
