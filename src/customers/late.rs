//! Alerts that are found days after they should have opened: whose, since when they are known, and when they are told.
//!
//! ```text
//!   found late ──an hour of arrivals, or every department is silent──▶ told
//!        └───────what ends the cause──────▶ nothing was told
//! ```
//! Old records among new ones are a load of history into a topic that is live: what they tell of first they may take back a
//! moment later. So may what was held back for a restart in the middle of one, which is why the end of history releases nothing
//! that is late. Whether an alert is open does not depend on it, only when the feed hears so. Time is that at which records came;
//! after a restart it goes on with the next.

use super::{
    stage::{Customers, person},
    store_keys,
};
use crate::model::{AlertId, Day, KeyValue, PersonId, StoreError};

/// What should have opened more days before the last closed one was found late. One: a department may tell of a day when it is over.
const LATE_DAYS: i32 = 1;
/// So long it waits. A load of a year in ten hours tells of an answer that came a month later within it.
pub const LATE_WAIT_MS: i64 = 3_600_000;
/// Those who wait are looked through so often at most, since all of them are.
const LOOK_MS: i64 = 60_000;
/// Alert and when it was found.
const WAITING_BYTES: usize = 24;

/// What is known of arrivals.
#[derive(Debug)]
pub(super) struct Late {
    /// When the newest record came; `None`: none has since the start.
    now_ms: Option<i64>,
    /// Whether no department is speaking. At first nobody is waited for.
    is_quiet: bool,
    /// When those who wait are to be looked through.
    next_ms: i64,
}

impl Default for Late {
    fn default() -> Late {
        Late { now_ms: None, is_quiet: true, next_ms: i64::MIN }
    }
}

impl Late {
    /// Those who wait, or are held back, are to be looked through.
    pub(super) fn look(&mut self) {
        self.next_ms = i64::MIN;
    }

    /// Whether anything that is found now may wait.
    pub(super) fn may_wait(&self) -> bool {
        !self.is_quiet
    }

    pub(super) fn is_due(&self) -> bool {
        self.is_quiet || self.next_ms <= self.now_ms.unwrap_or(i64::MIN)
    }

    /// Whether an alert that was found first in an hour of arrivals, or is found now, waits; it is among `waiting` then.
    pub(super) fn waits(
        &mut self,
        (id, since, closed_day): (AlertId, Day, Day),
        before: &Waiting,
        waiting: &mut Waiting,
    ) -> bool {
        if self.is_quiet || since.plus(LATE_DAYS) >= closed_day {
            return false;
        }
        let found_ms = before.found_ms(id).or(self.now_ms);
        let until_ms = found_ms.map_or(i64::MIN, |found_ms| found_ms.saturating_add(LATE_WAIT_MS));
        if found_ms.is_some() && self.now_ms.is_some_and(|now_ms| now_ms >= until_ms) {
            return false;
        }
        waiting.0.push((id, found_ms.unwrap_or(i64::MIN)));
        self.next_ms = self.next_ms.min(until_ms);
        true
    }
}

/// The late alerts of a person, and when the first record came after which they were found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting(Vec<(AlertId, i64)>);

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn found_ms(&self, id: AlertId) -> Option<i64> {
        self.0.iter().find(|(known, found_ms)| *known == id && *found_ms > i64::MIN).map(|(_, found_ms)| *found_ms)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(id, found_ms)| [&id.0[..], &found_ms.to_be_bytes()].concat()).collect()
    }

    /// `None`: all of the person's alerts are held back.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Waiting>, StoreError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let damaged = || store_keys::damaged("held alert", "24 bytes each expected");
        let (entries, []) = bytes.as_chunks::<WAITING_BYTES>() else { return Err(damaged()) };
        let entry = |bytes: &[u8; WAITING_BYTES]| {
            let (id, found_ms) = bytes.split_first_chunk().ok_or_else(damaged)?;
            Ok((AlertId(*id), i64::from_be_bytes(found_ms.try_into().map_err(|_| damaged())?)))
        };
        entries.iter().map(entry).collect::<Result<_, StoreError>>().map(|entries| Some(Waiting(entries)))
    }
}

impl Customers {
    /// How far arrivals are, in milliseconds, if it is known; and whether no department is speaking any more.
    pub fn arrivals_are_at(&mut self, now_ms: Option<i64>, is_quiet: bool) {
        self.late.now_ms = self.late.now_ms.max(now_ms);
        self.late.is_quiet = is_quiet;
    }

    /// Looks at up to `max` people whose alerts were held back, unless they still are, or have waited long enough. Returns whether
    /// there are more.
    pub fn release_alerts<S: KeyValue + ?Sized>(&mut self, store: &mut S, max: usize) -> Result<bool, StoreError> {
        if !self.alerts_are_live || !self.late.is_due() {
            return Ok(false);
        }
        let (from, to) = store_keys::all_held();
        let now_ms = self.late.now_ms.unwrap_or(i64::MIN);
        let mut next_ms = i64::MAX;
        let mut found: Vec<(Vec<u8>, bool)> = Vec::new();
        let mut result = Ok(());
        let mut more = false;
        let people = &self.people;
        let is_quiet = self.late.is_quiet;
        store.scan(&from, &to, &mut |key, value| {
            if found.len() == max {
                more = true;
                return std::ops::ControlFlow::Break(());
            }
            match Waiting::decode(value) {
                Ok(None) => found.push((key.to_vec(), true)),
                Ok(Some(waiting)) => {
                    let until_ms = |(_, found_ms): &(AlertId, i64)| found_ms.saturating_add(LATE_WAIT_MS);
                    let until_ms = waiting.0.iter().map(until_ms).min().unwrap_or(i64::MIN);
                    let is_dirty = || {
                        let id = key[1..].try_into().map(PersonId);
                        id.is_ok_and(|id| people.get(&id).is_some_and(|person| person.dirty))
                    };
                    match is_quiet || until_ms <= now_ms {
                        true if !is_dirty() => found.push((key.to_vec(), false)),
                        true => {}
                        false => next_ms = next_ms.min(until_ms),
                    }
                }
                Err(error) => result = Err(error),
            }
            if result.is_ok() { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
        })?;
        result?;
        for (key, is_history) in found {
            let name = key[1..].try_into().map_err(|_| store_keys::damaged("held alert", "17 bytes expected"))?;
            let id = PersonId(name);
            let person = person(&mut self.people, id, store)?;
            if is_history {
                // A restore may leave one of somebody who is held back no more.
                store.delete_local(&key);
            }
            if !std::mem::replace(&mut person.dirty, true) {
                self.dirty.push(id);
            }
        }
        if !more {
            self.late.next_ms = next_ms.max(now_ms.saturating_add(LOOK_MS));
        }
        Ok(more)
    }
}
