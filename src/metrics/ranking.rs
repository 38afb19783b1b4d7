//! The values of a dimension in, which of them are published under keys of their own out.
//!
//! What competes is a *group*: the values of one dimension, for one metric, currency and window. Those with the most
//! observations (`n`, of equals the first by name) are published each under its own key, up to [`Options::dimension_values_max`];
//! the cells of the others are added up and published as one. Every cell is kept, and which are shown follows from what the
//! cells hold and from nothing before, so that it is the same in whatever order things came.
//!
//! ```text
//! v group value        →  (empty), or in a ranked group its rank    local: the values that are there
//! x group side …value  →  value                                     local: the ranks of a ranked group, of those shown the
//!                                                                   worst first, of the others the best
//! g group              →  how many are shown, and how many others   local: a ranked group
//! ```
//!
//! During a rebuild what is withheld competes by what it holds, so that each key is published once. A group is ranked while it has more values than are shown, and until it has a quarter less. All of this is made anew from
//! the cells, each of which says whether it is among the others.
//!
//! [`Options::dimension_values_max`]: super::Options::dimension_values_max

// tidy: hash order unseen because an IndexMap keeps the order of insertion

use std::{cmp::Reverse, ops::ControlFlow};

use indexmap::IndexMap;

use super::{
    catalogue,
    cells::{CELL, Cell, Group, StoreKey, accumulator, cell_of, group_of, is_counted, is_withheld, value_of},
    stage::MetricsError,
};
use crate::model::{Accumulator, KeyValue};

/// First bytes of the store's keys.
const VALUE: u8 = b'v';
const RANK: u8 = b'x';
const RANKED: u8 = b'g';

/// A rank in a stored form: the side and the weight.
const RANK_BYTES: usize = 9;

/// Ranks that one look into the store collects, to forget them.
const FORGOTTEN_AT_ONCE: usize = 4_096;

/// Groups of which it is remembered how many values they have.
const GROUPS_MAX: usize = 65_536;

/// The cells in memory.
pub(super) type Cached = IndexMap<StoreKey, Cell, ahash::RandomState>;

/// Whether a value is published under its own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Shown = 0,
    Others = 1,
}

/// What is known of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many values, each of which is shown.
    Small(usize),
    /// Its values have ranks.
    Ranked { shown: usize, others: usize },
}

/// Where a value stands in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rank {
    side: Side,
    weight: u64,
}

/// A value that changes sides.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) cell: StoreKey,
    pub(super) to: Side,
}

/// The groups.
#[derive(Debug)]
pub(super) struct Ranking {
    groups: IndexMap<Group, State, ahash::RandomState>,
    values_max: usize,
    /// Values that change sides because their group was ranked.
    moves: Vec<Move>,
}

impl Ranking {
    pub(super) fn new(values_max: usize) -> Ranking {
        Ranking {
            groups: IndexMap::with_hasher(ahash::RandomState::with_seeds(9, 10, 11, 12)),
            // Who shows nothing would have nothing to compare with.
            values_max: values_max.max(1),
            moves: Vec::new(),
        }
    }

    /// Takes what a cell of a group became: whether it was and is there. Returns whether its group is ranked, so that
    /// [`Ranking::settle`] and then [`Ranking::side`] are to be asked.
    pub(super) fn note(
        &mut self,
        key: &[u8],
        group: &Group,
        (before, now): (bool, bool),
        cached: &Cached,
        store: &mut dyn KeyValue,
    ) -> Result<bool, MetricsError> {
        if !before && !now {
            return Ok(false);
        }
        let state = self.state(group, cached, store)?;
        let value = value_of(key);
        let name = value_key(group, value);
        let next = match state {
            State::Small(_) if before == now => return Ok(false),
            State::Small(count) if now => {
                store.put_local(&name, &[]);
                if count + 1 > self.values_max { self.rank_all(group, cached, store)? } else { State::Small(count + 1) }
            }
            State::Small(count) => {
                store.delete_local(&name);
                State::Small(count.saturating_sub(1))
            }
            State::Ranked { mut shown, mut others } => {
                let rank = Rank::read(store.get(&name)?.as_deref())?;
                if let Some(rank) = rank {
                    store.delete_local(&rank.key(group, value));
                    *rank.count(&mut shown, &mut others) -= 1;
                }
                if now {
                    // Who is new waits among the others, from where the best are taken.
                    let side = rank.map_or(Side::Others, |rank| rank.side);
                    let rank = Rank { side, weight: weigh(key, cached, store)? };
                    *rank.count(&mut shown, &mut others) += 1;
                    rank.save(group, value, store);
                } else {
                    store.delete_local(&name);
                }
                State::Ranked { shown, others }
            }
        };
        self.groups.insert(*group, next);
        Ok(matches!(next, State::Ranked { .. }))
    }

    /// Puts the best of a ranked group on the side of those shown; returns who changed sides.
    pub(super) fn settle(&mut self, group: &Group, store: &mut dyn KeyValue) -> Result<Vec<Move>, MetricsError> {
        let ranked = std::mem::take(&mut self.moves);
        let Some(&State::Ranked { mut shown, mut others }) = self.groups.get(group) else { return Ok(ranked) };
        // In order, so that who goes and comes back has not moved.
        let mut moved: IndexMap<StoreKey, Side, ahash::RandomState> =
            IndexMap::with_hasher(ahash::RandomState::with_seeds(9, 10, 11, 12));
        moved.extend(ranked.into_iter().map(|Move { cell, to }| (cell, to)));
        loop {
            let best = if others > 0 { first(group, Side::Others, store)? } else { None };
            let to_show = shown < self.values_max && best.is_some();
            let is_outdone = |worst: &(Rank, Vec<u8>)| {
                best.as_ref().is_some_and(|(rank, value)| {
                    rank.weight > worst.0.weight || (rank.weight == worst.0.weight && *value < worst.1)
                })
            };
            let (rank, value) = if to_show {
                best.expect("there is one to show")
            } else {
                let worst = if shown >= self.values_max { first(group, Side::Shown, store)? } else { None };
                match worst {
                    Some(worst) if shown > self.values_max || is_outdone(&worst) => worst,
                    _ => break,
                }
            };
            store.delete_local(&rank.key(group, &value));
            *rank.count(&mut shown, &mut others) -= 1;
            let side = if rank.side == Side::Shown { Side::Others } else { Side::Shown };
            let rank = Rank { side, ..rank };
            *rank.count(&mut shown, &mut others) += 1;
            rank.save(group, &value, store);
            let cell = cell_of(group, &value);
            if moved.swap_remove(&cell).is_none() {
                moved.insert(cell, side);
            }
        }
        let state = if others == 0 && shown <= self.values_max - self.values_max.div_ceil(4) {
            self.unrank(group, store)?;
            State::Small(shown)
        } else {
            save_counts(group, (shown, others), store);
            State::Ranked { shown, others }
        };
        self.groups.insert(*group, state);
        Ok(moved.into_iter().map(|(cell, to)| Move { cell, to }).collect())
    }

    /// Whether a cell is one of the values of its group.
    pub(super) fn knows(key: &[u8], group: &Group, store: &dyn KeyValue) -> Result<bool, MetricsError> {
        Ok(store.get(&value_key(group, value_of(key)))?.is_some())
    }

    /// A rebuild has stored a cell, to publish it: there is something in it, or was published of it, or neither. Ranks that there
    /// still are, as on a disk from before the rebuild, stay as they are.
    pub(super) fn withheld(key: &[u8], is_there: bool, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        let Some(group) = group_of(key).filter(|_| key[0] == CELL) else { return Ok(()) };
        let name = value_key(&group, value_of(key));
        let known = store.get(&name)?;
        match known {
            None if is_there => store.put_local(&name, &[]),
            Some(known) if !is_there => {
                store.delete_local(&name);
                if let Some(rank) = Rank::read(Some(&known))? {
                    store.delete_local(&rank.key(&group, value_of(key)));
                    if let Some((mut shown, mut others)) = counts(&group, store)? {
                        *rank.count(&mut shown, &mut others) -= 1;
                        save_counts(&group, (shown, others), store);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A rebuild begins to publish: whatever ranks there still are, as on a disk from before it began, are none of it.
    pub(super) fn forget_all(&mut self, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        self.groups.clear();
        while Ranking::forget(FORGOTTEN_AT_ONCE, store)? == FORGOTTEN_AT_ONCE {}
        Ok(())
    }

    /// A rebuild begins: forgets up to so many ranks, which are made anew from what it publishes. Returns how many there were.
    pub(super) fn forget(entries_max: usize, store: &mut dyn KeyValue) -> Result<usize, MetricsError> {
        let mut found: Vec<StoreKey> = Vec::new();
        // A group without its counts is not ranked: its ranks are nothing any more.
        for prefix in [RANKED, RANK] {
            store.scan(&[prefix], &[prefix + 1], &mut |key, _| {
                if found.len() < entries_max {
                    found.push(StoreKey::from_slice(key));
                }
                if found.len() < entries_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        found.iter().for_each(|key| store.delete_local(key));
        Ok(found.len())
    }

    /// On which side a cell of a settled group is.
    pub(super) fn side(key: &[u8], group: &Group, store: &dyn KeyValue) -> Result<Side, MetricsError> {
        let rank = Rank::read(store.get(&value_key(group, value_of(key)))?.as_deref())?;
        Ok(rank.map_or(Side::Shown, |rank| rank.side))
    }

    /// How many values of a group are among the others.
    pub(super) fn others(
        &mut self,
        group: &Group,
        cached: &Cached,
        store: &mut dyn KeyValue,
    ) -> Result<usize, MetricsError> {
        match self.state(group, cached, store)? {
            State::Small(_) => Ok(0),
            State::Ranked { others, .. } => Ok(others),
        }
    }

    /// Gives every value of a group its rank, the best on the side of those shown. Whoever is on the other side until now moves.
    fn rank_all(&mut self, group: &Group, cached: &Cached, store: &mut dyn KeyValue) -> Result<State, MetricsError> {
        let mut found = Vec::new();
        for (value, rank) in values(group, store)? {
            // One that was forgotten with the group's counts alone.
            if let Some(rank) = rank {
                store.delete_local(&rank.key(group, &value));
            }
            let (side, weight) = look(&cell_of(group, &value), cached, store)?;
            found.push((Reverse(weight), value, side));
        }
        found.sort_unstable();
        let shown = found.len().min(self.values_max);
        for (place, (Reverse(weight), value, before)) in found.iter().enumerate() {
            let side = if place < shown { Side::Shown } else { Side::Others };
            Rank { side, weight: *weight }.save(group, value, store);
            if side != *before {
                self.moves.push(Move { cell: cell_of(group, value), to: side });
            }
        }
        Ok(State::Ranked { shown, others: found.len() - shown })
    }

    fn state(&mut self, group: &Group, cached: &Cached, store: &mut dyn KeyValue) -> Result<State, MetricsError> {
        if let Some(state) = self.groups.get(group) {
            return Ok(*state);
        }
        let state = match counts(group, store)? {
            Some((shown, others)) => State::Ranked { shown, others },
            None => {
                let mut count = 0;
                let (from, to) = range(VALUE, group);
                store.scan(&from, &to, &mut |_, _| {
                    count += 1;
                    if count <= self.values_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                // More than may be shown: as after a restoration, which knows the values and no ranks.
                if count > self.values_max { self.rank_all(group, cached, store)? } else { State::Small(count) }
            }
        };
        self.groups.insert(*group, state);
        Ok(state)
    }

    /// Forgets the ranks of a group, not its values.
    fn unrank(&mut self, group: &Group, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        for (value, rank) in values(group, store)? {
            if let Some(rank) = rank {
                store.delete_local(&rank.key(group, &value));
                store.put_local(&value_key(group, &value), &[]);
            }
        }
        store.delete_local(&ranked_key(group));
        Ok(())
    }

    /// After a commit: bounds what is remembered.
    pub(super) fn committed(&mut self) {
        if self.groups.len() > GROUPS_MAX {
            self.groups.clear();
        }
    }

    /// A cell was restored into the store (`None`: its deletion): keeps the values of its group, and their ranks where it has any.
    pub(super) fn restored(key: &[u8], stored: Option<&[u8]>, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        let Some(group) = group_of(key) else { return Ok(()) };
        let (value, name) = (value_of(key), value_key(&group, value_of(key)));
        let rank = Rank::read(store.get(&name)?.as_deref())?;
        let ranked = counts(&group, store)?;
        // What a rebuild is to publish competes already.
        let now = match stored {
            Some(stored) if is_counted(stored) => Some(stored),
            Some(stored) if is_withheld(stored) && !accumulator(key[1], stored)?.is_zero() => Some(stored),
            _ => None,
        };
        let Some((mut shown, mut others)) = ranked else {
            if let Some(rank) = rank {
                store.delete_local(&rank.key(&group, value));
            }
            match now {
                Some(_) => store.put_local(&name, &[]),
                None => store.delete_local(&name),
            }
            return Ok(());
        };
        if let Some(rank) = rank {
            store.delete_local(&rank.key(&group, value));
            *rank.count(&mut shown, &mut others) -= 1;
        }
        match now {
            Some(stored) => {
                let cell = Cell::decode(key[1], stored)?;
                let rank = Rank { side: cell.side(), weight: weight_of(key, &cell.accumulator)? };
                *rank.count(&mut shown, &mut others) += 1;
                rank.save(&group, value, store);
            }
            None => store.delete_local(&name),
        }
        save_counts(&group, (shown, others), store);
        Ok(())
    }
}

impl Rank {
    fn read(stored: Option<&[u8]>) -> Result<Option<Rank>, MetricsError> {
        match stored {
            None | Some([]) => Ok(None),
            Some(&[side @ (0 | 1), a, b, c, d, e, f, g, h]) => Ok(Some(Rank {
                side: if side == 0 { Side::Shown } else { Side::Others },
                weight: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            })),
            Some(_) => Err(MetricsError::Corrupted { what: "a value's rank" }),
        }
    }

    fn save(self, group: &Group, value: &[u8], store: &mut dyn KeyValue) {
        let mut stored = [0; RANK_BYTES];
        stored[0] = self.side as u8;
        stored[1..].copy_from_slice(&self.weight.to_be_bytes());
        store.put_local(&value_key(group, value), &stored);
        store.put_local(&self.key(group, value), value);
    }

    /// Those shown from the fewest observations, of equals from the last by name; the others the other way round.
    fn key(self, group: &Group, value: &[u8]) -> StoreKey {
        let mut key = side_key(group, self.side);
        match self.side {
            Side::Shown => {
                key.extend_from_slice(&self.weight.to_be_bytes());
                // No byte of UTF-8 is 0xfe or above.
                key.extend(value.iter().map(|byte| 0xfe_u8.wrapping_sub(*byte)));
                key.push(0xff);
            }
            Side::Others => {
                key.extend_from_slice(&(!self.weight).to_be_bytes());
                key.extend_from_slice(value);
            }
        }
        key
    }

    fn count<'a>(self, shown: &'a mut usize, others: &'a mut usize) -> &'a mut usize {
        match self.side {
            Side::Shown => shown,
            Side::Others => others,
        }
    }
}

/// How many values of a ranked group are shown, and how many are not.
fn counts(group: &Group, store: &dyn KeyValue) -> Result<Option<(usize, usize)>, MetricsError> {
    match store.get(&ranked_key(group))?.as_deref() {
        None => Ok(None),
        Some(&[a, b, c, d, e, f, g, h]) => {
            Ok(Some((u32::from_be_bytes([a, b, c, d]) as usize, u32::from_be_bytes([e, f, g, h]) as usize)))
        }
        Some(_) => Err(MetricsError::Corrupted { what: "a group's counts" }),
    }
}

fn save_counts(group: &Group, (shown, others): (usize, usize), store: &mut dyn KeyValue) {
    let counts = [shown, others].map(|count| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
    store.put_local(&ranked_key(group), &counts.concat());
}

/// The values of a group, each with its rank if it has one.
fn values(group: &Group, store: &dyn KeyValue) -> Result<Vec<(Vec<u8>, Option<Rank>)>, MetricsError> {
    let (mut found, mut failure) = (Vec::new(), Ok(()));
    let (from, to) = range(VALUE, group);
    store.scan(&from, &to, &mut |key, stored| {
        match Rank::read(Some(stored)) {
            Ok(rank) => found.push((key[from.len()..].to_vec(), rank)),
            Err(error) => failure = Err(error),
        }
        if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    failure?;
    Ok(found)
}

/// The first of a side.
fn first(group: &Group, side: Side, store: &dyn KeyValue) -> Result<Option<(Rank, Vec<u8>)>, MetricsError> {
    let from = side_key(group, side);
    let mut to = from.clone();
    *to.last_mut().expect("it ends with the side") += 1;
    let mut found = None;
    store.scan(&from, &to, &mut |key, value| {
        let weight = key.get(from.len()..from.len() + 8).and_then(|bytes| bytes.try_into().ok());
        found = weight.map(|bytes| (u64::from_be_bytes(bytes), value.to_vec()));
        ControlFlow::Break(())
    })?;
    Ok(found.map(|(stored, value)| {
        let weight = if side == Side::Shown { stored } else { !stored };
        (Rank { side, weight }, value)
    }))
}

fn weigh(key: &[u8], cached: &Cached, store: &dyn KeyValue) -> Result<u64, MetricsError> {
    Ok(look(key, cached, store)?.1)
}

fn look(key: &[u8], cached: &Cached, store: &dyn KeyValue) -> Result<(Side, u64), MetricsError> {
    if let Some(cell) = cached.get(key) {
        return Ok((cell.side(), weight_of(key, &cell.accumulator)?));
    }
    let stored = store.get(key)?.ok_or(MetricsError::Corrupted { what: "a group, of which a cell is missing," })?;
    let cell = Cell::decode(key[1], &stored)?;
    Ok((cell.side(), weight_of(key, &cell.accumulator)?))
}

/// One more than the observations behind a cell, as it would be published. Nothing: it has nothing in it, and waits for a rebuild to
/// say so; it is behind everybody.
fn weight_of(key: &[u8], accumulator: &Accumulator) -> Result<u64, MetricsError> {
    let definition = catalogue::definition(key[1]).ok_or(MetricsError::UnknownMetric(key[1]))?;
    if accumulator.is_zero() {
        return Ok(0);
    }
    let n = (definition.figures)(accumulator).n;
    Ok(u64::try_from(n).unwrap_or_default().saturating_add(1))
}

fn side_key(group: &Group, side: Side) -> StoreKey {
    let mut key = in_group(RANK, group);
    key.push(side as u8);
    key
}

fn value_key(group: &Group, value: &[u8]) -> StoreKey {
    let mut key = in_group(VALUE, group);
    key.extend_from_slice(value);
    key
}

fn ranked_key(group: &Group) -> StoreKey {
    in_group(RANKED, group)
}

fn in_group(prefix: u8, group: &Group) -> StoreKey {
    let mut key = StoreKey::new();
    key.push(prefix);
    key.extend_from_slice(group);
    key
}

/// Between which keys everything of a group is.
fn range(prefix: u8, group: &Group) -> (StoreKey, StoreKey) {
    let from = in_group(prefix, group);
    let mut to = from.clone();
    while to.last() == Some(&u8::MAX) {
        to.pop();
    }
    // The first byte is not 0xff.
    *to.last_mut().expect("a prefix is not empty") += 1;
    (from, to)
}
