//! Bytes that somebody is about to use in; a share of what all may use together, or none, out.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// What all clients together may hold for large requests.
pub(super) struct Budget {
    all: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

/// Taken until it is dropped.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(all: usize) -> Self {
        Self { all, free: Mutex::new(all), freed: Condvar::new() }
    }

    /// A share of so many bytes, at most all of them, or `None` if others do not give enough back in time.
    pub(super) fn take(&self, bytes: usize, wait: Duration) -> Option<Share<'_>> {
        let bytes = bytes.min(self.all);
        // A number cannot be half-changed.
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_timeout_while(free, wait, |free| *free < bytes);
        let mut free = waited.unwrap_or_else(PoisonError::into_inner).0;
        *free = free.checked_sub(bytes)?;
        Some(Share { budget: self, bytes })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back_and_nobody_gets_more_than_there_is() {
        let budget = Budget::new(10);
        let first = budget.take(6, Duration::ZERO).expect("a share");
        assert!(budget.take(5, Duration::from_millis(1)).is_none());
        let second = budget.take(4, Duration::ZERO).expect("the rest");
        drop(first);
        assert!(budget.take(6, Duration::ZERO).is_some());
        drop(second);
        assert!(budget.take(usize::MAX, Duration::ZERO).is_some(), "all of it is enough for anything");
    }

    #[test]
    fn who_waits_gets_what_another_one_gives_back() {
        let budget = Budget::new(10);
        let first = budget.take(10, Duration::ZERO).expect("a share");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take(1, Duration::from_secs(60)).is_some());
            drop(first);
            assert!(waiting.join().expect("no panic"));
        });
    }
}
