//! Stages' commits in; one durable log in a directory of this machine, and its records, out: the hub without Kafka.
//!
//! All workers of one process share a [`SharedLog`]: a commit of any of them is one append to the [`CommitLog`] below it,
//! whole or not at all. Work is divided once, at the start: there is nobody to rebalance with.
//!
//! - `shared`: opening, topics, what waits while the disk is full.
//! - `source`, `changelog`, `sink`: the halves of one worker's log.
//! - `owner`: what others than the engine may do with it. `outside`: feeds and departments' topics, wherever it is open.
//! - `keeper`: the thread that syncs, cleans and watches the room on the disk.
//! - `murmur2`: where a key of a public topic goes, as on Kafka.
//!
//! What may be lost, and when, is decided by [`Fsync`]. A process that dies loses nothing that was committed, whatever the
//! policy; a machine that dies loses commits that were not synced, always the newest ones, all topics alike. Stores are
//! never ahead of the log: it is synced before one of them is written.

mod changelog;
mod keeper;
mod murmur2;
mod outside;
mod owner;
mod shared;
mod sink;
mod source;

use std::{sync::Arc, time::Duration};

pub use keeper::Keeper;
pub use outside::{AccessFeed, AccessFollow, AccessRecords, AccessSpokes};
pub use shared::SharedLog;
pub use sink::EmbeddedSink;
pub use source::EmbeddedSource;

#[cfg(doc)]
use super::commit_log::CommitLog;
use super::{
    Log, LogError,
    commit_log::{self, Policy},
};
use crate::engine::stage::Topology;

/// When commits are made to survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Each before it counts: nothing is lost.
    Commit,
    /// Every so often: what was committed since the last time may be lost, and is read again from what departments sent;
    /// what they sent in that time may be lost with it.
    Interval(Duration),
    /// When a segment is closed or a store is written: else the operating system decides (Linux: within about 30 seconds).
    Never,
}

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// When commits are synced.
    pub fsync: Fsync,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Nothing is appended while the disk has less room than this: stores and rewritten segments need some too.
    pub reserved_bytes: u64,
    /// How long departments' records are kept; `None`: for ever.
    pub spoke_retention: Option<Duration>,
    /// What names of topics begin with that are the hub's alone.
    pub reserved_names: Vec<String>,
    /// Topics with such a name that others do write to.
    pub inputs: Vec<String>,
    /// Of those, the ones that the hub does not read: nothing of them waits for it.
    pub unread: Vec<String>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        EmbeddedOptions {
            fsync: Fsync::Interval(Duration::from_millis(100)),
            segment_bytes: commit_log::Options::default().segment_bytes,
            reserved_bytes: 256 << 20,
            spoke_retention: None,
            reserved_names: Vec::new(),
            inputs: Vec::new(),
            unread: Vec::new(),
        }
    }
}

impl EmbeddedOptions {
    /// What is given up of departments' topics.
    pub fn spoke_policy(&self) -> Policy {
        self.spoke_retention.map_or(Policy::Keep, |kept| Policy::Delete {
            retention_ms: i64::try_from(kept.as_millis()).unwrap_or(i64::MAX),
        })
    }
}

/// Asked about ten times a second while a commit waits for room on the disk; false: give up.
pub type Patience = Box<dyn Fn() -> bool + Send>;

/// The log of one worker.
pub struct EmbeddedLog {
    source: EmbeddedSource,
    sink: EmbeddedSink,
}

impl EmbeddedLog {
    /// Worker `worker` of `workers`, whose part of the partitions is its own for as long as it lives. The topics of the
    /// topology are there ([`SharedLog::prepare`]).
    pub fn new(
        shared: &Arc<SharedLog>,
        topology: &Topology,
        worker: usize,
        workers: usize,
        now_ms: fn() -> i64,
        patience: Patience,
    ) -> Result<EmbeddedLog, LogError> {
        Ok(EmbeddedLog {
            source: EmbeddedSource::new(shared, topology, worker, workers)?,
            sink: EmbeddedSink::new(shared, topology, now_ms, patience)?,
        })
    }
}

impl Log for EmbeddedLog {
    type Source = EmbeddedSource;
    type Sink = EmbeddedSink;

    fn halves(&mut self) -> (&mut EmbeddedSource, &mut EmbeddedSink) {
        (&mut self.source, &mut self.sink)
    }
}
