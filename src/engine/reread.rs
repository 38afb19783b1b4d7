//! An input that is read a second time: from where whoever knows says, up to the offset that the group had committed.
//!
//! ```text
//!  beginning       from                      to = what the group had committed
//!      ├─ read before ┼──── read again ─────────┤─ what `run` goes on with ─▶
//! ```
//!
//! The group's own offset stays where it is: each commit repeats it, which fences whoever has lost the partition. How far the
//! second reading is, its stage tells on the log like anything else; so whatever ends it in the middle, it goes on.

use super::log::TopicPartition;

/// Who knows from where inputs are read again.
pub trait Rereads: Send + Sync {
    /// From which offset; `None`: that is not known yet, and asked again.
    fn from(&self, input: TopicPartition) -> Option<i64>;
}

/// What of an input is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From which offset it should be.
    pub wanted: i64,
    /// From which it is: what is between was removed.
    pub from: i64,
    /// Up to which.
    pub to: i64,
}

/// How far a task's second reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reread {
    /// The offset that the group has committed and keeps.
    pub to: i64,
    /// Whether the stage was told that the end is reached.
    pub told: bool,
}
