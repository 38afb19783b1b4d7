//! What commands and other programs ask of an embedded log in; the same answers out, wherever the log is open.
//!
//! - [`LogAccess`]: what can be asked. `error`: which reaction a refusal demands. `name`: how topics may be called.
//! - [`opened`]: the log is open in this process; its owner's rules for those who are not the engine.
//! - [`socket`]: the log is open in another process of this machine, which serves it in its data directory.
//!
//! Nothing here retries by itself but for lack of room, and nothing connects again by itself: those are the caller's.
//!
//! ```
//! use std::{ops::ControlFlow, path::Path, sync::Arc};
//! use insight_hub::engine::log::{
//!     access::{Durability, LogAccess, NewRecord, opened::{self, Opened}, socket::{Limits, Remote, Server}},
//!     commit_log::{CommitLog, Options, Policy, files::real::RealFiles},
//! };
//!
//! struct Owner;
//! impl opened::Owner for Owner {
//!     fn is_departments(&self, topic: &str) -> bool {
//!         topic.starts_with("sales.")
//!     }
//! }
//!
//! let directory = std::env::temp_dir().join(format!("access-example-{}", std::process::id()));
//! let log = Arc::new(CommitLog::open(Arc::new(RealFiles::new(&directory)?), Options::default())?);
//! let access = Arc::new(Opened::new(log, Arc::new(Owner), opened::Limits::default()));
//! let server = Server::start(&directory, access, Limits::default())?;
//!
//! // In another process:
//! let hub = Remote::connect(&directory)?.ok_or("no hub runs there")?;
//! hub.create_topic("sales.orders", 2, Policy::Keep)?;
//! let order = NewRecord { key: Some(b"ann"), value: Some(b"{}"), ..NewRecord::default() };
//! hub.append("sales.orders", &[order], Durability::Synced)?;
//! let next = hub.read("sales.orders", 0, 0, 1 << 20, &mut |record| {
//!     assert_eq!(record.key, Some(&b"ann"[..]));
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!(next, 1);
//! server.stop();
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod name;
pub mod opened;
pub mod socket;

use std::{
    ops::{ControlFlow, Range},
    path::Path,
    time::Duration,
};

pub use error::{AccessError, Result};
pub use name::TOPIC_NAME_BYTES_MAX;

use super::commit_log::Policy;

/// What can be asked of an embedded log by those who are not the engine. Topics go by name, since ids mean nothing outside of
/// the process that has the log open.
///
/// Errors are the same wherever the log is open; in another process, [`AccessError::Gone`] may come in addition from every
/// call, and [`AccessError::Unsure`] from an append.
pub trait LogAccess: Send + Sync {
    /// The topics, in the order of their creation.
    ///
    /// # Errors
    /// None of its own.
    fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// The first offset that may still be there, and the one that the next record gets, of every partition of a topic.
    ///
    /// # Errors
    /// [`AccessError::Mistaken`] if there is no such topic.
    fn spans(&self, topic: &str) -> Result<Vec<Range<u64>>>;

    /// Hands over records of a partition from the first one at or after `from`, about `bytes_max` bytes of them or fewer, until
    /// `each` breaks. Returns the offset to go on from; it is `from` itself only at the end of the partition.
    ///
    /// # Errors
    /// [`AccessError::Beyond`] if `from` is beyond the end; [`AccessError::Mistaken`] if there is no such partition;
    /// [`AccessError::Stop`] if the log is damaged there.
    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        bytes_max: usize,
        each: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<u64>;

    /// Waits until something, anywhere in the log, was appended after `sequence`, at most for `wait`; returns the newest
    /// sequence number. A reader that follows asks for it first, reads to the end, and waits beyond it.
    ///
    /// # Errors
    /// None of its own.
    fn wait_beyond(&self, sequence: u64, wait: Duration) -> Result<u64>;

    /// Appends all the records in one commit, or none of them. No records are no commit.
    ///
    /// # Errors
    /// [`AccessError::Denied`] if the topic is not a department's; [`AccessError::Mistaken`] if the topic or a partition is not
    /// there; [`AccessError::TooLarge`], [`AccessError::Retry`]: it did not happen; [`AccessError::Unsure`]: it may have.
    fn append(&self, topic: &str, records: &[NewRecord<'_>], durability: Durability) -> Result<Appended>;

    /// Creates a department's topic. One that is there stays as it is: how long it keeps its records is for the hub's
    /// configuration to change, not for whoever appends. Durable when it returns.
    ///
    /// # Errors
    /// [`AccessError::Denied`] if such a name is not a department's; [`AccessError::Mistaken`] if it is no name, if the topic
    /// has another number of partitions or if a limit is passed; [`AccessError::Retry`]: it did not happen.
    fn create_topic(&self, name: &str, partitions: u32, policy: Policy) -> Result<()>;

    /// Makes everything that was appended before this call durable.
    ///
    /// # Errors
    /// [`AccessError::Stop`]: what was appended since the last sync may be lost.
    fn sync(&self) -> Result<()>;

    /// Writes a copy of the log, as it is durable now, to a directory on the machine of the hub; the hub goes on meanwhile.
    ///
    /// # Errors
    /// [`AccessError::Unsupported`] if the owner of the log makes none; [`AccessError::Mistaken`] if the directory cannot take
    /// one; [`AccessError::Retry`] for want of room.
    fn backup(&self, directory: &Path) -> Result<BackupSummary>;

    /// How the log is.
    ///
    /// # Errors
    /// [`AccessError::Retry`] if the machine does not tell its size.
    fn status(&self) -> Result<Status>;
}

/// A topic, as everybody knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// What is given up, and when.
    pub policy: Policy,
}

/// A header: its name and its value, which may be none.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// A record as it was read, borrowed for the time of the call that hands it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// At which offset of its partition.
    pub offset: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [Header<'a>],
}

/// A record to append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// To which partition. `None`: the log chooses, one partition for all those of a call and another one for the next call,
    /// so that a batch stays together on disk. Who needs an order by key chooses.
    pub partition: Option<u32>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [Header<'a>],
}

impl NewRecord<'_> {
    /// Bytes that count against the limit of an append: what the record says, and about what the log adds to that.
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| 8 + name.len() + value.map_or(0, <[u8]>::len));
        16 + self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
    }
}

/// When an append is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When the log's owner says so: with every commit, or a moment later.
    AsConfigured,
    /// When the call returns.
    Synced,
}

/// What an append did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The commit's sequence number; the newest one if there were no records.
    pub sequence: u64,
    /// The offsets that the records of each partition got, in the order of the records there; by partition.
    pub offsets: Vec<(u32, Range<u64>)>,
}

/// What a backup wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupSummary {
    /// Bytes of all its files.
    pub bytes: u64,
    /// How many files it has.
    pub files: u64,
}

/// How a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Bytes of all its segments.
    pub bytes: u64,
    /// The newest sequence number that was appended.
    pub newest: u64,
    /// The newest sequence number that is durable.
    pub durable: u64,
    /// Whether the hub waits for room on the disk.
    pub is_paused: bool,
    /// The version of the program that has the log open.
    pub version: String,
}
