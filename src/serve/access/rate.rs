//! Requests of one caller in; whether it is too many out: a bucket that fills at the rate, twice a second's worth deep.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Buckets that are kept. Only ids of tokens and a few words name one, so more of them are of tokens that are long gone.
const BUCKETS_MAX: usize = 10_000;

/// How much each caller may ask.
#[derive(Debug)]
pub struct Rate {
    per_second: u32,
    /// By caller: how much is in it, in nanoseconds of filling, and when that was so.
    buckets: Mutex<BTreeMap<String, (Duration, Instant)>>,
}

impl Rate {
    /// So many requests a second.
    pub fn new(per_second: u32) -> Rate {
        Rate { per_second: per_second.max(1), buckets: Mutex::new(BTreeMap::new()) }
    }

    /// Takes one request of a caller.
    ///
    /// # Errors
    /// How long to wait before the next one is taken.
    pub fn take(&self, caller: &str, now: Instant) -> Result<(), Duration> {
        let each = Duration::from_secs(1) / self.per_second;
        let full = Duration::from_secs(2);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(caller) {
            buckets.retain(|_, (held, at)| *held + now.saturating_duration_since(*at) < full);
        }
        let (held, at) = buckets.entry(caller.to_owned()).or_insert((full, now));
        *held = (*held + now.saturating_duration_since(*at)).min(full);
        *at = now;
        match held.checked_sub(each) {
            Some(left) => {
                *held = left;
                Ok(())
            }
            None => Err(each - *held),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_ask_at_the_rate_and_holds_up_nobody_else() {
        let rate = Rate::new(10);
        let now = Instant::now();
        assert_eq!((0..100).filter(|_| rate.take("one", now).is_ok()).count(), 20, "two seconds' worth at once");
        let wait = rate.take("one", now).expect_err("too many");
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(rate.take("other", now).is_ok());
        let later = now + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| rate.take("one", later).is_ok()).count(), 10);
        assert_eq!((0..100).filter(|_| rate.take("one", later + Duration::from_secs(90)).is_ok()).count(), 20);
    }
}
