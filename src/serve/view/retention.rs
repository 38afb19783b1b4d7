//! A feed that is not compacted in; what of it is too old or too much to be kept taken out, wherever it is among the others.
//!
//! Beside the records, one confirmation of the erasure of each identifier is kept for as long as its topic keeps it: the
//! confirmation is asked for long after many other changes, and holds nothing but hashes, a time and a number.

use std::ops::ControlFlow;

use serde_json::Value;

use super::{KEPT_MAX, ViewError, keys, remove, resolve};
use crate::{engine::store::Store, feeds::Feed};

/// Records of a feed that are taken out for their age before readers have their turn.
const FORGOTTEN_MAX: usize = 500;

/// Keeps the newest confirmation that an identifier was erased: it is asked for long after ten thousand other changes.
pub(super) fn confirm(
    store: &mut Store,
    feed: Feed,
    (timestamp_ms, change): (i64, &Value),
    packed: &[u8],
) -> Result<(), ViewError> {
    let is_one = feed == Feed::IdentityJournal && change.get("change").and_then(Value::as_str) == Some("erased");
    let id = change.pointer("/one/id").and_then(Value::as_str).filter(|_| is_one);
    let Some(key) = id.and_then(keys::confirmation) else { return Ok(()) };
    if let Some(before) = resolve(store, &key)? {
        // Partitions are read one after the other.
        if before.timestamp_ms > timestamp_ms {
            return Ok(());
        }
        store.delete(&keys::age(feed, before.timestamp_ms, &key));
    }
    store.put(&keys::age(feed, timestamp_ms, &key), &[]);
    store.put(&key, packed);
    Ok(())
}

/// Takes out at most [`FORGOTTEN_MAX`] records of a feed that are older than a time, wherever they are among the others; whether
/// that was all.
pub(super) fn forget_older(store: &mut Store, feed: Feed, than_ms: i64) -> Result<bool, ViewError> {
    let (span, mut old, mut is_all) = (keys::older(feed, than_ms), Vec::new(), true);
    store.scan(&span.start, &span.end, |age, _| {
        is_all = old.len() < FORGOTTEN_MAX;
        if is_all {
            old.push(age.to_vec());
        }
        if is_all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut taken_out = 0;
    for age in &old {
        let key = keys::of_aged(age);
        if keys::is_record(key) {
            taken_out += u64::from(remove(store, feed, key)?);
        } else {
            store.delete(key);
        }
        store.delete(age);
    }
    if taken_out > 0 {
        let arrivals = Arrivals::of(store, feed)?;
        Arrivals { kept: arrivals.kept.saturating_sub(taken_out), ..arrivals }.put(store, feed);
    }
    Ok(is_all)
}

/// Takes out the first records of a feed that came, as long as there are more than are kept.
pub(super) fn forget_more(store: &mut Store, feed: Feed) -> Result<(), ViewError> {
    let Arrivals { mut first, next, mut kept } = Arrivals::of(store, feed)?;
    let before = first;
    while kept > KEPT_MAX && first < next {
        // It may have been too old before.
        kept -= u64::from(remove(store, feed, &keys::arrival(feed, first))?);
        first += 1;
    }
    if first != before {
        Arrivals { first, next, kept }.put(store, feed);
    }
    Ok(())
}

/// The records of a feed that is not compacted, by the numbers that they got when they came.
struct Arrivals {
    /// Before it none is kept.
    first: u64,
    /// The next one's.
    next: u64,
    /// How many are kept.
    kept: u64,
}

impl Arrivals {
    fn of(store: &Store, feed: Feed) -> Result<Arrivals, ViewError> {
        let value = store.get(&keys::arrivals(feed))?;
        let number = |at: usize| {
            let bytes = value.as_deref().and_then(|value| value.get(at..at + 8));
            bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
        };
        Ok(Arrivals { first: number(0), next: number(8), kept: number(16) })
    }

    fn put(&self, store: &mut Store, feed: Feed) {
        let numbers = [self.first, self.next, self.kept].map(u64::to_be_bytes);
        store.put(&keys::arrivals(feed), numbers.as_flattened());
    }
}

/// The key of a feed's next record, by which the newest come first.
pub(super) fn next_arrival(store: &mut Store, feed: Feed) -> Result<Vec<u8>, ViewError> {
    let arrivals = Arrivals::of(store, feed)?;
    Arrivals { next: arrivals.next + 1, kept: arrivals.kept + 1, ..arrivals }.put(store, feed);
    Ok(keys::arrival(feed, arrivals.next))
}
