//! Watermarks in, the day up to which windows are settled out.
//!
//! ```text
//! w source⁴  →  version (day | idle)          what each source's watermark, less the grace, has reached
//! m          →  version as-of-day settled     the last of them all, and the newest day seen
//! ```
//!
//! Decides only `status`, which is outside the promise of identical results.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};

use super::stage::MetricsError;
use crate::model::{Day, KeyValue};

const VERSION: u8 = 1;
const SOURCE: u8 = b'w';
const TIMES: &[u8] = b"m";

/// How far event time has come.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// By source: the day of its watermark less the grace; `None` while it is idle.
    sources: BTreeMap<u32, Option<i32>>,
    /// Sources that changed since they were stored.
    changed: Vec<u32>,
    as_of_day: Option<i32>,
    settled: Option<i32>,
    times_changed: bool,
}

impl Settling {
    pub(super) fn load(store: &dyn KeyValue) -> Result<Settling, MetricsError> {
        let mut settling = Settling::default();
        let mut corrupted = false;
        store.scan(&[SOURCE], &[SOURCE + 1], &mut |key, value| {
            match (key[1..].try_into(), decode(value)) {
                (Ok(source), Some(day)) => {
                    settling.sources.insert(u32::from_be_bytes(source), day);
                }
                _ => corrupted = true,
            }
            std::ops::ControlFlow::Continue(())
        })?;
        if let Some(bytes) = store.get(TIMES)? {
            match decode(&bytes) {
                Some((as_of_day, settled)) => (settling.as_of_day, settling.settled) = (as_of_day, settled),
                None => corrupted = true,
            }
        }
        if corrupted {
            return Err(MetricsError::Corrupted { what: "a watermark or the as-of day" });
        }
        Ok(settling)
    }

    /// The last closed day: the one before the day of the newest touchpoint.
    pub(super) fn closed(&self) -> Option<Day> {
        self.as_of_day.map(|day| Day(day).previous())
    }

    /// The day of the newest touchpoint: windows that start on it or before have begun.
    pub(super) fn as_of_day(&self) -> Option<Day> {
        self.as_of_day.map(Day)
    }

    /// Windows that settle on this day or before (at their end, or later where their metric waits for something) are
    /// settled.
    pub(super) fn settled(&self) -> Option<Day> {
        self.settled.map(Day)
    }

    /// Moves the as-of day forward; returns whether it moved.
    pub(super) fn advance(&mut self, day: Day) -> bool {
        let moves = self.as_of_day.is_none_or(|before| before < day.0);
        if moves {
            self.as_of_day = Some(day.0);
            self.times_changed = true;
        }
        moves
    }

    /// Forgets the as-of day; what is settled stays settled.
    pub(super) fn forget_as_of(&mut self) {
        self.as_of_day = None;
        self.times_changed = true;
    }

    /// Takes a source's watermark; returns whether more windows are settled now. Never fewer: a source that wakes up
    /// behind the others makes late changes, not unsettled windows. Nothing settles before `expected` sources were heard
    /// of: the first to speak would settle windows that the others still fill.
    pub(super) fn watermark(&mut self, source: u32, day: Option<Day>, expected: u32) -> bool {
        let day = day.map(|day| day.0);
        if self.sources.insert(source, day) == Some(day) {
            return false;
        }
        if !self.changed.contains(&source) {
            self.changed.push(source);
        }
        let lowest = self.sources.values().flatten().min().copied();
        let moves = lowest > self.settled && self.sources.len() >= expected as usize;
        if moves {
            self.settled = lowest;
            self.times_changed = true;
        }
        moves
    }

    /// Stores what changed.
    pub(super) fn save(&mut self, store: &mut dyn KeyValue) {
        for source in self.changed.drain(..) {
            let mut key = vec![SOURCE];
            key.extend_from_slice(&source.to_be_bytes());
            store.put(&key, &encode(&self.sources.get(&source).copied().flatten()));
        }
        if std::mem::take(&mut self.times_changed) {
            store.put(TIMES, &encode(&(self.as_of_day, self.settled)));
        }
    }
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("a vector takes every byte")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match bytes {
        [VERSION, rest @ ..] => postcard::from_bytes(rest).ok(),
        _ => None,
    }
}
