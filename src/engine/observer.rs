//! What the engine tells those who watch it. It decides nothing by the answers.

use super::{
    log::TopicPartition,
    task::{Task, TaskState},
    topics::TopicIndex,
};

/// Places in a commit where a test may end the process, named as the fault tests name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillPoint {
    /// Everything is sent, the offsets are not.
    BeforeCommit,
    /// The offsets are sent, the commit is not asked for.
    AfterOffsets,
    /// The commit is asked for next: for a death a moment later, while nobody knows whether the request has arrived.
    DuringCommit,
    /// The log has committed, the task does not know yet.
    AfterCommit,
    /// The log has committed, the store on disk is not written yet.
    BeforeFlush,
    /// The store on disk is written.
    AfterFlush,
    /// A restore has read a part.
    MidRestore,
    /// Partitions are being given up.
    MidRevoke,
}

impl KillPoint {
    /// Every place.
    pub const ALL: [KillPoint; 8] = [
        KillPoint::BeforeCommit,
        KillPoint::AfterOffsets,
        KillPoint::DuringCommit,
        KillPoint::AfterCommit,
        KillPoint::BeforeFlush,
        KillPoint::AfterFlush,
        KillPoint::MidRestore,
        KillPoint::MidRevoke,
    ];

    /// Its name, as fault tests give it.
    pub const fn as_str(self) -> &'static str {
        match self {
            KillPoint::BeforeCommit => "before-commit",
            KillPoint::AfterOffsets => "after-offsets",
            KillPoint::DuringCommit => "during-commit",
            KillPoint::AfterCommit => "after-commit",
            KillPoint::BeforeFlush => "before-flush",
            KillPoint::AfterFlush => "after-flush",
            KillPoint::MidRestore => "mid-restore",
            KillPoint::MidRevoke => "mid-revoke",
        }
    }
}

/// Something that happened.
pub enum Observation<'a> {
    /// A task changed its state.
    TaskState {
        /// Which.
        task: &'a Task,
        /// The new one.
        state: TaskState,
    },
    /// A part of a changelog was put back.
    Restoring {
        /// Whose.
        task: &'a Task,
        /// About how many records remain.
        remaining: u64,
        /// How many this part had.
        records: u64,
    },
    /// A store was unusable and is restored from its changelog's beginning.
    StoreDiscarded {
        /// Whose.
        task: &'a Task,
        /// Why.
        reason: &'a str,
    },
    /// Partitions came or went.
    Membership {
        /// How.
        change: crate::telemetry::Rebalance,
        /// How many.
        partitions: usize,
    },
    /// A commit begins.
    CommitBegins,
    /// A task's part of a transaction was committed.
    Committed {
        /// Whose.
        task: &'a Task,
        /// The timestamp of the oldest record that it covered, in milliseconds since 1970-01-01T00:00:00Z.
        oldest_ms: i64,
    },
    /// Committed entries went to disk.
    Flushed {
        /// Whose.
        task: &'a Task,
        /// How many.
        entries: usize,
    },
    /// The transaction was committed.
    CommitEnds {
        /// Bytes sent in it.
        bytes: usize,
    },
    /// The transaction was aborted and is repeated.
    Aborted {
        /// Why.
        reason: &'a str,
    },
    /// The transaction was aborted because its partitions are another worker's.
    Dropped {
        /// Why.
        reason: &'a str,
    },
    /// The producer was replaced and the tasks are restored.
    Rebuilt {
        /// Why.
        reason: &'a str,
    },
    /// The worker takes nothing from spokes for now, or again.
    SpokesSuspended {
        /// Whether it does not.
        suspended: bool,
        /// By how many records its internal topics lag.
        lag: u64,
    },
}

/// Watches a worker.
pub trait Observer {
    /// Something happened.
    fn observe(&self, _observation: Observation<'_>) {}
    /// A record was taken.
    fn record_in(&self, _from: TopicPartition, _timestamp_ms: i64) {}
    /// A record was sent.
    fn record_out(&self, _to: TopicIndex) {}
    /// A place where a fault test may end the process.
    fn kill_point(&self, _point: KillPoint) {}
}

/// Watches nothing.
impl Observer for () {}
