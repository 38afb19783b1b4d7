//! What `follow` has seen in; how far the view is, for whoever asks, out.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A view that has not heard of its feeds for so long says so. They are asked for every second; a slow disk is no stop yet.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// How far a view is. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    complete: AtomicBool,
    behind: AtomicU64,
    unwritten: AtomicBool,
    looked: Mutex<Instant>,
}

impl Default for Inner {
    fn default() -> Inner {
        Inner {
            complete: AtomicBool::default(),
            behind: AtomicU64::default(),
            unwritten: AtomicBool::default(),
            looked: Mutex::new(Instant::now()),
        }
    }
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

    /// `stalled` (it does not follow its feeds, or cannot be written), `filling`, `behind` or `current`.
    pub fn status(&self) -> &'static str {
        self.status_at(Instant::now())
    }

    pub(super) fn status_at(&self, now: Instant) -> &'static str {
        let looked = *self.0.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stalled = self.0.unwritten.load(Ordering::Acquire) || now.duration_since(looked) >= STALLED_AFTER;
        match (is_stalled, self.is_complete(), self.behind()) {
            (true, ..) => "stalled",
            (_, false, _) => "filling",
            (_, true, 0) => "current",
            (_, true, _) => "behind",
        }
    }

    /// Whether it does not go on.
    pub fn is_stalled(&self) -> bool {
        self.status() == "stalled"
    }

    pub(super) fn note_complete(&self, is_complete: bool) {
        self.0.complete.store(is_complete, Ordering::Release);
    }

    /// The feeds were asked how many records there are beyond what was taken over.
    pub(super) fn note_behind(&self, records: u64) {
        self.0.behind.store(records, Ordering::Release);
        *self.0.looked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether it could be written last.
    pub(super) fn note_written(&self, is_written: bool) {
        self.0.unwritten.store(!is_written, Ordering::Release);
    }
}
