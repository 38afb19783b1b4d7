//! A change in the middle of a timeline → the difference between the folds without and with it.
//!
//! ```text
//!   snapshot          first change                    end
//!      │   fold once       │ old timeline: taken back   │
//!      └──── silently ─────┤                            │
//!                          │ new timeline: contributed  │
//! ```
//! One scan of the timeline feeds both folds, so that memory does not grow with its length.

use std::ops::ControlFlow;

use super::{
    contributions::{Contributions, Signed},
    fold::{FoldOptions, Head, Silence, contribute, step, step_both},
    store_keys,
};
use crate::model::{KeyValue, PersonId, StoreError, Touchpoint};

/// A snapshot is taken after each multiple of so many touchpoints of a timeline: a late one refolds half as many on
/// average besides those after it.
pub(super) const SNAPSHOT_TOUCHPOINTS: u64 = 64;

/// Whether snapshot number `snapshot` (from 1) is still kept when `newest` is the newest: densely near the end, where
/// late touchpoints fall, and thinly before, so that there are O(log n) of them. A function of the numbers alone, and
/// what is dropped never comes back.
pub(super) fn is_kept(snapshot: u64, newest: u64) -> bool {
    snapshot > 0 && (newest - snapshot) >> snapshot.trailing_zeros() < 4
}

/// Deletes the snapshots of a person that are no longer kept.
pub(super) fn thin_snapshots<S: KeyValue + ?Sized>(
    person: PersonId,
    newest: u64,
    store: &mut S,
) -> Result<(), StoreError> {
    let mut dropped = Vec::new();
    let mut result = Ok(());
    let (from, to) = (store_keys::of_person(b's', person), store_keys::after_person(b's', person));
    store.scan(&from, &to, &mut |key, value| match store_keys::decode_snapshot(value) {
        Ok((ordinal, _)) => {
            if !is_kept(ordinal / SNAPSHOT_TOUCHPOINTS, newest.max(ordinal / SNAPSHOT_TOUCHPOINTS)) {
                dropped.push(key.to_vec());
            }
            ControlFlow::Continue(())
        }
        Err(error) => {
            result = Err(error);
            ControlFlow::Break(())
        }
    })?;
    for key in dropped {
        store.delete(&key);
    }
    result
}

/// A change of one timeline. Positions as in `store_keys`, both lists ascending, at least one of them not empty.
pub(super) struct Change<'a, 'b> {
    pub person: PersonId,
    /// Touchpoints that are new, with their positions.
    pub additions: &'a [(Vec<u8>, &'b Touchpoint<'b>)],
    /// Positions that are stored and no longer hold.
    pub removals: &'a [Vec<u8>],
}

/// The outcome of a refold; nothing is written yet.
pub(super) struct Refolded {
    /// The head after the changed timeline.
    pub head: Head,
    /// Snapshots to write.
    pub snapshots: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys of snapshots that no longer hold.
    pub stale_snapshots: Vec<Vec<u8>>,
    /// The spokes of the touchpoints that meet a cap and did not before.
    pub capped: Vec<String>,
}

struct Folds<'a, 'b> {
    change: &'a Change<'a, 'b>,
    options: &'a FoldOptions,
    contributions: &'a mut Contributions,
    first_change: &'a [u8],
    /// The fold without the change, from the first change on.
    old: Option<Head>,
    new: Head,
    additions_done: usize,
    removals_done: usize,
    newest_snapshot: u64,
    snapshots: Vec<(Vec<u8>, Vec<u8>)>,
    capped: Vec<String>,
}

impl Folds<'_, '_> {
    fn stored(&mut self, position: &[u8], encoded: &[u8]) -> Result<(), StoreError> {
        self.add_until(Some(position));
        let touchpoint = Touchpoint::decode(encoded).map_err(|error| store_keys::damaged("touchpoint", error))?;
        if position < self.first_change {
            step(&mut self.new, &touchpoint, self.options, &mut Silence);
            return Ok(());
        }
        let old = self.old.get_or_insert_with(|| self.new.clone());
        if self.change.removals.get(self.removals_done).is_some_and(|removed| removed == position) {
            let mut take_back = Signed { contributions: &mut *self.contributions, sign: -1 };
            step(old, &touchpoint, self.options, &mut take_back);
            self.removals_done += 1;
            return Ok(());
        }
        let stepped = step_both([old, &mut self.new], &touchpoint, self.options, &mut |facts, sign| {
            contribute(facts, &mut Signed { contributions: &mut *self.contributions, sign });
        });
        if stepped.capped {
            self.capped.push(touchpoint.spoke.to_owned());
        }
        self.take_snapshot(position);
        Ok(())
    }

    /// Folds the additions up to a position; all that are left without one.
    fn add_until(&mut self, position: Option<&[u8]>) {
        let change = self.change;
        while let Some((at, touchpoint)) = change.additions.get(self.additions_done)
            && position.is_none_or(|position| at.as_slice() <= position)
        {
            self.old.get_or_insert_with(|| self.new.clone());
            if self.contribute(at, touchpoint) {
                self.capped.push(touchpoint.spoke.to_owned());
            }
            self.additions_done += 1;
        }
    }

    fn contribute(&mut self, position: &[u8], touchpoint: &Touchpoint<'_>) -> bool {
        let mut contribute = Signed { contributions: &mut *self.contributions, sign: 1 };
        let stepped = step(&mut self.new, touchpoint, self.options, &mut contribute);
        self.take_snapshot(position);
        stepped.capped
    }

    fn take_snapshot(&mut self, position: &[u8]) {
        if self.new.touchpoints.is_multiple_of(SNAPSHOT_TOUCHPOINTS)
            && is_kept(self.new.touchpoints / SNAPSHOT_TOUCHPOINTS, self.newest_snapshot)
        {
            self.snapshots.push((position.to_vec(), store_keys::encode_snapshot(&self.new)));
        }
    }
}

/// Refolds from the nearest snapshot before the change. `touchpoints` is the number of the current timeline.
pub(super) fn refold<S: KeyValue + ?Sized>(
    change: &Change<'_, '_>,
    touchpoints: u64,
    store: &S,
    options: &FoldOptions,
    contributions: &mut Contributions,
) -> Result<Refolded, StoreError> {
    let first_added = change.additions.first().map(|(position, _)| position.as_slice());
    let first_removed = change.removals.first().map(Vec::as_slice);
    let first_change = [first_added, first_removed].into_iter().flatten().min().unwrap_or(&[]);

    let after = touchpoints + change.additions.len() as u64 - change.removals.len() as u64;
    let newest_snapshot = after / SNAPSHOT_TOUCHPOINTS;
    let mut nearest: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut stale_snapshots = Vec::new();
    // A timeline that is shorter than the distance between two snapshots has none: one look into the store less.
    if touchpoints >= SNAPSHOT_TOUCHPOINTS {
        let mut result = Ok(());
        let (from, to) = (store_keys::of_person(b's', change.person), store_keys::after_person(b's', change.person));
        store.scan(&from, &to, &mut |key, value| match store_keys::decode_snapshot(value) {
            Ok((ordinal, encoded)) => {
                let is_before = &key[store_keys::PERSON_PREFIX..] < first_change;
                if is_before {
                    nearest = Some((key.to_vec(), encoded.to_vec()));
                }
                if !is_before || !is_kept(ordinal / SNAPSHOT_TOUCHPOINTS, newest_snapshot) {
                    stale_snapshots.push(key.to_vec());
                }
                ControlFlow::Continue(())
            }
            Err(error) => {
                result = Err(error);
                ControlFlow::Break(())
            }
        })?;
        result?;
    }

    let mut new = Head::default();
    let mut from = store_keys::of_person(b't', change.person);
    if let Some((key, encoded)) = nearest {
        new = Head::decode(&encoded).map_err(|error| store_keys::damaged("snapshot", error))?;
        // The first key after the snapshot's own touchpoint.
        from.extend_from_slice(&key[store_keys::PERSON_PREFIX..]);
        from.push(0);
    }
    let mut folds = Folds {
        change,
        options,
        contributions,
        first_change,
        old: None,
        new,
        additions_done: 0,
        removals_done: 0,
        newest_snapshot,
        snapshots: Vec::new(),
        capped: Vec::new(),
    };
    let mut result = Ok(());
    let to = store_keys::after_person(b't', change.person);
    store.scan(&from, &to, &mut |key, value| {
        result = folds.stored(&key[store_keys::PERSON_PREFIX..], value);
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result?;
    folds.add_until(None);
    if folds.new.touchpoints != after {
        return Err(store_keys::damaged(
            "timeline",
            format_args!("{} touchpoints expected, {} found", after, folds.new.touchpoints),
        ));
    }
    Ok(Refolded { head: folds.new, snapshots: folds.snapshots, stale_snapshots, capped: folds.capped })
}
