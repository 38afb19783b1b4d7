//! Cells that wait for a day in, those whose day has come out: an index in the store, read from its front.
//!
//! ```text
//! prefix day⁴ cell  →  (nothing)          ascending; days that have come are taken out for good
//! ```
//! What was taken out of a store of sorted runs stays in it as a tombstone until the runs are merged, and whoever looks from the front
//! passes all of them again: with a million customers a tenth of a second each time. So a queue knows how far it was emptied.
//! That holds as long as nothing is put in for a day that has come, which [`super::publishing`] sees to: a cell whose window is
//! settled is not provisional, and one whose window has begun is not held back. What time it is never goes back, but in a rebuild,
//! which begins with another stage.

use std::ops::ControlFlow;

use super::{
    cells::{self, StoreKey},
    stage::MetricsError,
};
use crate::model::{Day, KeyValue};

/// One of the indexes.
#[derive(Debug)]
pub(super) struct Queue {
    prefix: u8,
    /// Nothing is in it before this key.
    front: StoreKey,
}

impl Queue {
    /// The queue under a prefix, of which nothing is known.
    pub(super) fn new(prefix: u8) -> Queue {
        Queue { prefix, front: StoreKey::from_slice(&[prefix]) }
    }

    /// The next cells, `limit` at most, that wait for a day up to `last`. Whoever asks takes them out of the store.
    pub(super) fn next(
        &mut self,
        last: Day,
        limit: usize,
        store: &dyn KeyValue,
    ) -> Result<Vec<StoreKey>, MetricsError> {
        let end = cells::index_key(self.prefix, last.plus(1), &[]);
        let mut found: Vec<StoreKey> = Vec::new();
        if self.front >= end {
            return Ok(found);
        }
        let front = &mut self.front;
        let from = front.clone();
        store.scan(&from, &end, &mut |key, _| {
            found.push(StoreKey::from_slice(cells::cell_of_index_key(key)));
            if found.len() < limit {
                return ControlFlow::Continue(());
            }
            // The smallest key after this one.
            *front = StoreKey::from_slice(key);
            front.push(0);
            ControlFlow::Break(())
        })?;
        if found.len() < limit {
            self.front = end;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;

    const PREFIX: u8 = cells::PROVISIONAL_BY_DAY;

    type Store = BTreeMap<Vec<u8>, Bytes>;

    fn key(day: i32, cell: &str) -> StoreKey {
        cells::index_key(PREFIX, Day(day), cell.as_bytes())
    }

    /// Takes cells out of queue and store, as publishing does.
    fn take(queue: &mut Queue, last: i32, limit: usize, store: &mut Store) -> String {
        let found = queue.next(Day(last), limit, store).expect("a map is always read");
        let names: Vec<&str> = found.iter().map(|cell| std::str::from_utf8(cell).expect("a name")).collect();
        for name in &names {
            store.retain(|key, _| !key.ends_with(name.as_bytes()));
        }
        names.join(" ")
    }

    #[test]
    fn days_that_have_come_are_taken_in_order_and_never_looked_at_again() {
        let (mut queue, mut store) = (Queue::new(PREFIX), Store::new());
        for (day, cell) in [(5, "c"), (-3, "a"), (5, "b"), (6, "d"), (9, "e")] {
            store.put_local(&key(day, cell), &[]);
        }
        let mut taken = |last, limit, store: &mut Store| take(&mut queue, last, limit, store);
        assert_eq!(taken(5, 2, &mut store), "a b");
        // Where tombstones would be, it does not look: what is there now is left alone.
        store.put_local(&key(5, "ab"), &[]);
        assert_eq!(taken(5, 2, &mut store), "c", "fewer than asked for: all of that day");
        store.put_local(&key(5, "z"), &[]);
        assert_eq!(taken(5, 2, &mut store), "");
        // What is put in for a later day is found on that day, before what was there.
        store.put_local(&key(6, "aa"), &[]);
        assert_eq!(taken(6, 2, &mut store), "aa d");
        assert_eq!(taken(8, 2, &mut store), "");
        store.put_local(&key(9, "dd"), &[]);
        assert_eq!(taken(12, 9, &mut store), "dd e");
        assert_eq!(store.into_keys().collect::<Vec<_>>(), [key(5, "ab").to_vec(), key(5, "z").to_vec()]);
    }
}
