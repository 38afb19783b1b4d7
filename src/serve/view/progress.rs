//! What `follow` has seen in; how far the view is, for whoever asks, out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// How far a view is. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    complete: AtomicBool,
    behind: AtomicU64,
}

impl Progress {
    /// Whether it has held everything once since it was begun; until then it answers nothing.
    pub fn is_complete(&self) -> bool {
        self.0.complete.load(Ordering::Acquire)
    }

    /// Records of the feeds that it has not taken over, as of its last look.
    pub fn behind(&self) -> u64 {
        self.0.behind.load(Ordering::Acquire)
    }

    /// `filling`, `behind` or `current`.
    pub fn status(&self) -> &'static str {
        match (self.is_complete(), self.behind()) {
            (false, _) => "filling",
            (true, 0) => "current",
            (true, _) => "behind",
        }
    }

    pub(super) fn note_complete(&self, is_complete: bool) {
        self.0.complete.store(is_complete, Ordering::Release);
    }

    pub(super) fn note_behind(&self, records: u64) {
        self.0.behind.store(records, Ordering::Release);
    }
}
