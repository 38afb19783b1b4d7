//! What the engine asks of a log: records of the assigned partitions in; one atomic commit of outputs, changelog and
//! offsets out. Behind it: Kafka, a log in a directory of this machine ([`embedded`], on the storage of [`commit_log`]), or
//! the simulation.

pub mod access;
pub mod commit_log;
pub mod embedded;
pub mod kafka;
pub mod outside;
pub mod sim;

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
    time::Duration,
};

use super::topics::TopicIndex;

/// A partition of a topic of the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Which topic.
    pub topic: TopicIndex,
    /// Which partition, from 0.
    pub partition: i32,
}

/// Headers of a record, without copying them.
pub trait Headers {
    /// Calls `each` with every header in order.
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// No headers.
impl Headers for () {
    fn each(&self, _each: &mut dyn FnMut(&str, Option<&[u8]>)) {}
}

impl Headers for Vec<(Arc<str>, Vec<u8>)> {
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in self {
            each(name, Some(value));
        }
    }
}

/// A record as it was read, borrowed from the client library.
pub struct Record<'a> {
    /// Where it was read.
    pub from: TopicPartition,
    /// At which offset.
    pub offset: i64,
    /// The record's own timestamp: milliseconds since 1970-01-01T00:00:00Z; negative if it has none.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a dyn Headers,
}

/// Which partition a record goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// This one: internal topics.
    At(i32),
    /// By the murmur2 hash of the key, as the Java client places it: public topics, where others must agree.
    ByKey,
}

/// A record to write in the current transaction.
pub struct Output<'a> {
    /// To which topic.
    pub topic: TopicIndex,
    /// To which partition of it.
    pub placement: Placement,
    /// Its key.
    pub key: &'a [u8],
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Its timestamp in milliseconds since 1970-01-01T00:00:00Z; `None`: the time of writing.
    pub timestamp_ms: Option<i64>,
}

/// What went wrong, named by the reaction that it demands.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Nothing of the transaction happened: abort it, put the staged entries back, go back to the committed offsets.
    #[error("the transaction was aborted and will be repeated: {0}")]
    Rewind(String),
    /// The outcome is unknown, or the producer is unusable: a new producer, and every task restored.
    #[error("the producer is replaced and the tasks are restored: {0}")]
    Rebuild(String),
    /// An offset is no longer in the log.
    #[error("{0}")]
    OutOfRange(String),
    /// Tell the operator and stop.
    #[error("{0}")]
    Stop(String),
}

/// A change in what this worker owns. Each is answered, in order, before the next poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// These partitions are this worker's from now on: answer with [`Source::accept`].
    Assigned(Vec<TopicPartition>),
    /// These go to another: commit, then answer with [`Source::release`].
    Revoked(Vec<TopicPartition>),
    /// These went to another already: never commit for them; answer with [`Source::release`].
    Lost(Vec<TopicPartition>),
}

/// Where a partition ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Open transactions included.
    pub high_watermark: i64,
    /// Before the first open transaction.
    pub last_stable_offset: i64,
}

/// The reading half of a worker's log.
pub trait Source {
    /// Hands the records that are at hand to `each`, at most `limit`, waiting up to `wait` for the first. Returns how many
    /// were handed over. `each` ends the poll by breaking: the records after that come with the next one. Its error ends
    /// it too, and is returned.
    fn poll(
        &mut self,
        wait: Duration,
        limit: usize,
        each: &mut dyn FnMut(&Record<'_>) -> Result<ControlFlow<()>, LogError>,
    ) -> Result<usize, LogError>;

    /// The next membership change that was seen while polling.
    fn membership(&mut self) -> Option<Membership>;

    /// Takes an assignment: returns the committed offset of each partition (`None`: nothing was ever committed), stable
    /// ones only, in the order given. The partitions stay paused until [`Source::start`].
    fn accept(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, LogError>;

    /// The committed offset of each partition, stable ones only, in the order given.
    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, LogError>;

    /// The offsets that a partition still has: from its first to its end.
    fn retained(&mut self, partition: TopicPartition) -> Result<Range<i64>, LogError>;

    /// Starts (or goes back to) reading a partition at an offset; `None`: at its beginning.
    fn start(&mut self, partition: TopicPartition, offset: Option<i64>) -> Result<(), LogError>;

    /// Gives partitions up, after their commit.
    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError>;

    /// Pauses (or resumes) reading partitions that were started; what was fetched ahead comes after that.
    fn pause(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<(), LogError>;

    /// Records not yet read, as far as is known without asking anybody.
    fn lag(&self, partition: TopicPartition) -> Option<i64>;

    /// Whether everything stable was fetched, delivered or not, as far as is known without asking anybody.
    fn is_at_end(&self, partition: TopicPartition) -> bool;

    /// The ends of the partitions that it reads, as far as they are known without asking anybody: for telemetry.
    fn ends(&self) -> Vec<(TopicPartition, Ends)> {
        Vec::new()
    }

    /// What tells a changelog partition from those that a store may have been filled from before: the cluster, the topic,
    /// the partition. A topic that was deleted and made again under its name has the same identity (no client library of
    /// ours tells topic ids): a store beyond its end is noticed by [`Source::changelog`], one within it is not, so whoever
    /// makes a changelog anew removes the data directories too.
    fn identity(&mut self, changelog: TopicPartition) -> Result<String, LogError>;

    /// A reader of a changelog partition from an offset (`None`: its beginning) to its end as of now, once every
    /// transaction that is open on it has ended. To be called after [`Source::accept`] of the task's input: offsets
    /// first, changelog second (KAFKA-10167).
    fn changelog(&mut self, partition: TopicPartition, from: Option<i64>)
    -> Result<Box<dyn ChangelogReader>, LogError>;
}

/// Progress of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// Not everything was read yet.
    More {
        /// About so many records remain.
        remaining: u64,
        /// The first offset that was not handed over.
        position: i64,
    },
    /// Everything was read.
    Complete {
        /// The first offset that was not handed over.
        position: i64,
    },
}

/// Reads one changelog partition for a restore.
pub trait ChangelogReader {
    /// Hands records to `each` (key, value or tombstone) for about as long as `budget`.
    fn read(
        &mut self,
        budget: Duration,
        each: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), LogError>,
    ) -> Result<Restored, LogError>;
}

/// The writing half of a worker's log: one transaction at a time.
pub trait Sink {
    /// Begins a transaction.
    fn begin(&mut self) -> Result<(), LogError>;

    /// Writes a record in it.
    fn send(&mut self, output: &Output<'_>) -> Result<(), LogError>;

    /// Puts the next offset of every input partition that it covers into it; what remains is [`Sink::commit`]. Before the
    /// offsets go out, the end offset of each partition in `measure` is read, own records included, and returned: only
    /// this worker can have written them, for as long as the offsets are then accepted.
    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        measure: &[TopicPartition],
    ) -> Result<Vec<i64>, LogError>;

    /// Commits it: records and offsets, all or nothing.
    fn commit(&mut self) -> Result<(), LogError>;

    /// Gives it up.
    fn abort(&mut self) -> Result<(), LogError>;

    /// A new producer under the same name: fences the old one and settles what it left open.
    fn rebuild(&mut self) -> Result<(), LogError>;

    /// Bytes handed to the client and not yet written.
    fn bytes_in_transaction(&self) -> usize;
}

/// A worker's log: two halves that can be used at the same time.
pub trait Log {
    /// The reading half.
    type Source: Source;
    /// The writing half.
    type Sink: Sink;
    /// Both.
    fn halves(&mut self) -> (&mut Self::Source, &mut Self::Sink);
}
