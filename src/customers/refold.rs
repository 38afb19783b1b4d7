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
    positions::Place,
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

/// A change of one timeline. Positions as in `store_keys`; all lists ascend. What is stored and counted before or after is
/// decided by these alone: the store holds the touchpoints as they were before the change.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    /// Touchpoints that are new, with their positions.
    pub additions: Vec<(Vec<u8>, &'a Touchpoint<'a>)>,
    /// Positions that are stored and no longer counted.
    pub removals: Vec<Vec<u8>>,
    /// Positions that are stored and counted again.
    pub returns: Vec<Vec<u8>>,
    /// Positions that are stored and counted neither before nor after.
    pub hidden: Vec<Vec<u8>>,
    /// Whether the home's own touchpoints are counted, before and after.
    pub own: Own,
}

/// Whether the home's own touchpoints are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Own {
    /// They belong to the person of the same name, before the change and after it.
    #[default]
    Stay,
    /// They belong to another, before and after.
    Elsewhere,
    /// They leave for another.
    Leave,
    /// They come back.
    Come,
}

impl Own {
    fn counts(self) -> (bool, bool) {
        match self {
            Own::Stay => (true, true),
            Own::Elsewhere => (false, false),
            Own::Leave => (true, false),
            Own::Come => (false, true),
        }
    }
}

impl Change<'_> {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.additions.is_empty()
            && self.removals.is_empty()
            && self.returns.is_empty()
            && matches!(self.own, Own::Stay | Own::Elsewhere)
    }

    /// Whether every stored touchpoint is counted but the removals.
    fn is_plain(&self) -> bool {
        self.returns.is_empty() && self.hidden.is_empty() && self.own == Own::Stay
    }

    /// Whether a stored touchpoint is counted before and after the change.
    pub(super) fn counts(&self, position: &[u8]) -> Result<(bool, bool), StoreError> {
        let is_in = |list: &[Vec<u8>]| {
            !list.is_empty() && list.binary_search_by(|other| other.as_slice().cmp(position)).is_ok()
        };
        if self.is_plain() {
            return Ok((true, !is_in(&self.removals)));
        }
        if is_in(&self.hidden) {
            return Ok((false, false));
        }
        let place = Place::of_position(position).ok_or_else(|| store_keys::damaged("position", "too short"))?;
        let (before, after) = if place.home.is_none() { self.own.counts() } else { (true, true) };
        Ok((before && !is_in(&self.returns), after && !is_in(&self.removals)))
    }

    fn first(&self) -> &[u8] {
        if matches!(self.own, Own::Leave | Own::Come) {
            return &[];
        }
        let added = self.additions.first().map(|(position, _)| position.as_slice());
        let others = [&self.removals, &self.returns].map(|list| list.first().map(Vec::as_slice));
        others.into_iter().chain([added]).flatten().min().unwrap_or(&[])
    }
}

/// The outcome of a refold; nothing is written yet.
#[derive(Debug)]
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

/// Hears of each stored touchpoint that the change takes out of the timeline (`false`) or back into it (`true`).
pub(super) type Moved<'m> = dyn FnMut(&Touchpoint<'_>, bool) + 'm;

struct Folds<'a, 'm> {
    change: &'a Change<'a>,
    options: &'a FoldOptions,
    contributions: &'a mut Contributions,
    moved: &'a mut Moved<'m>,
    first_change: &'a [u8],
    /// The fold without the change, from the first change on.
    old: Option<Head>,
    new: Head,
    additions_done: usize,
    newest_snapshot: u64,
    snapshots: Vec<(Vec<u8>, Vec<u8>)>,
    capped: Vec<String>,
}

impl Folds<'_, '_> {
    fn stored(&mut self, position: &[u8], encoded: &[u8]) -> Result<(), StoreError> {
        self.add_until(Some(position));
        let (before, after) = self.change.counts(position)?;
        if !before && !after {
            return Ok(());
        }
        let touchpoint = Touchpoint::decode(encoded).map_err(|error| store_keys::damaged("touchpoint", error))?;
        if position < self.first_change {
            step(&mut self.new, &touchpoint, self.options, &mut Silence);
            return Ok(());
        }
        let old = self.old.get_or_insert_with(|| self.new.clone());
        if !after {
            let mut take_back = Signed { contributions: &mut *self.contributions, sign: -1 };
            step(old, &touchpoint, self.options, &mut take_back);
            (self.moved)(&touchpoint, false);
            return Ok(());
        }
        if !before {
            (self.moved)(&touchpoint, true);
            if self.contribute(position, &touchpoint) {
                self.capped.push(touchpoint.spoke.to_owned());
            }
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
        let count = self.new.touchpoints;
        if !count.is_multiple_of(SNAPSHOT_TOUCHPOINTS) {
            return;
        }
        let newest = self.newest_snapshot.max(count / SNAPSHOT_TOUCHPOINTS);
        if is_kept(count / SNAPSHOT_TOUCHPOINTS, newest) {
            if newest > self.newest_snapshot {
                // How long the timeline becomes was not known when this began.
                self.newest_snapshot = newest;
                self.snapshots.retain(|(_, snapshot)| {
                    let (ordinal, _) = store_keys::decode_snapshot(snapshot).expect("it was just encoded");
                    is_kept(ordinal / SNAPSHOT_TOUCHPOINTS, newest)
                });
            }
            self.snapshots.push((position.to_vec(), store_keys::encode_snapshot(&self.new)));
        }
    }
}

/// Refolds from the nearest snapshot before the change. `touchpoints` is the number of the current timeline.
pub(super) fn refold<S: KeyValue + ?Sized>(
    person: PersonId,
    change: &Change<'_>,
    touchpoints: u64,
    store: &S,
    (options, contributions): (&FoldOptions, &mut Contributions),
    moved: &mut Moved<'_>,
) -> Result<Refolded, StoreError> {
    let first_change = change.first();
    let (more, fewer) = (change.additions.len() + change.returns.len(), change.removals.len());
    let newest_snapshot = match change.own {
        // How many of the home's own there are is seen on the way.
        Own::Leave | Own::Come => 0,
        Own::Stay | Own::Elsewhere => (touchpoints + more as u64).saturating_sub(fewer as u64) / SNAPSHOT_TOUCHPOINTS,
    };
    let mut nearest: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut stale_snapshots = Vec::new();
    // A timeline that is shorter than the distance between two snapshots has none: one look into the store less.
    if touchpoints >= SNAPSHOT_TOUCHPOINTS {
        let mut result = Ok(());
        let (from, to) = (store_keys::of_person(b's', person), store_keys::after_person(b's', person));
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
    let mut from = store_keys::of_person(b't', person);
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
        moved,
        first_change,
        old: None,
        new,
        additions_done: 0,
        newest_snapshot,
        snapshots: Vec::new(),
        capped: Vec::new(),
    };
    let mut result = Ok(());
    let to = store_keys::after_person(b't', person);
    store.scan(&from, &to, &mut |key, value| {
        result = folds.stored(&key[store_keys::PERSON_PREFIX..], value);
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result?;
    folds.add_until(None);
    let before = folds.old.as_ref().map_or(folds.new.touchpoints, |old| old.touchpoints);
    if before != touchpoints {
        return Err(store_keys::damaged(
            "timeline",
            format_args!("{touchpoints} touchpoints expected, {before} found"),
        ));
    }
    Ok(Refolded { head: folds.new, snapshots: folds.snapshots, stale_snapshots, capped: folds.capped })
}
