//! Cells in use, and which of them changed since the last commit, in; publications out, once per commit.

// tidy: hash order unseen because an IndexMap keeps the order of insertion

use indexmap::IndexMap;

use super::{
    cells::{CELL, Cell, Group, OTHERS, StoreKey, group_of, is_of_week, others_of},
    publishing::{Publishing, Rest, withhold},
    ranking::{Cached, Move, Ranking, Side},
    stage::{Effects, MetricsError},
};
use crate::model::{Accumulator, KeyValue};

/// The cells in use: a bounded cache over the store, and which of them changed since the last commit.
#[derive(Debug)]
pub(super) struct Cells {
    cached: Cached,
    ranking: Ranking,
    /// Positions in `cached`, in the order in which they became dirty.
    dirty: Vec<usize>,
    cached_max: usize,
    /// Counts commits; wraps, which at worst evicts a cell early.
    commit: u32,
    /// The commit of the last sweep.
    swept: u32,
    scratch: Vec<u8>,
}

impl Cells {
    /// `values_max`: how many values of a dimension are published each under its own key.
    pub(super) fn new(cached_max: usize, values_max: usize) -> Cells {
        Cells {
            ranking: Ranking::new(values_max),
            // Any fixed seeds do: no result depends on them.
            cached: IndexMap::with_hasher(ahash::RandomState::with_seeds(1, 2, 3, 4)),
            dirty: Vec::new(),
            cached_max,
            commit: 0,
            swept: 0,
            scratch: Vec::new(),
        }
    }

    /// Where a cell is cached, after reading it from the store if need be.
    fn position(&mut self, key: StoreKey, store: &dyn KeyValue) -> Result<usize, MetricsError> {
        if let Some(position) = self.cached.get_index_of(key.as_slice()) {
            return Ok(position);
        }
        let cell = match store.get(&key)? {
            Some(bytes) => Cell::decode(key[1], &bytes)?,
            None => Cell::default(),
        };
        Ok(self.cached.insert_full(key, cell).0)
    }

    /// The cell of a key, to be changed: it is looked at by the next [`Cells::publish`]. `late`: its window was settled.
    pub(super) fn change(
        &mut self,
        key: StoreKey,
        late: bool,
        store: &dyn KeyValue,
    ) -> Result<&mut Accumulator, MetricsError> {
        let position = self.position(key, store)?;
        let cell = &mut self.cached[position];
        cell.late |= late;
        if !cell.dirty {
            cell.dirty = true;
            self.dirty.push(position);
        }
        Ok(&mut cell.accumulator)
    }

    /// A rebuild begins to publish.
    pub(super) fn forget_ranks(&mut self, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        self.ranking.forget_all(store)
    }

    /// How many cells the next [`Cells::publish`] looks at.
    pub(super) fn waiting(&self) -> usize {
        self.dirty.len()
    }

    /// Stores what changed, for a rebuild to publish.
    pub(super) fn withhold(&mut self, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        self.commit = self.commit.wrapping_add(1);
        for position in std::mem::take(&mut self.dirty) {
            let (key, cell) = at(&mut self.cached, position);
            cell.took_turn(self.commit);
            withhold(key, cell, store);
            Ranking::withheld(key, !cell.is_nothing(), store)?;
        }
        Ok(())
    }

    /// Publishes what differs from what was published, and stores it. `rebuilt`: from which key on a rebuild has not
    /// published yet. Returns the keys of the cells of weeks that were looked at.
    pub(super) fn publish(
        &mut self,
        times: Publishing,
        rebuilt: Option<&[u8]>,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<Vec<StoreKey>, MetricsError> {
        let mut weeks = Vec::new();
        self.commit = self.commit.wrapping_add(1);
        let mut groups = self.rank(times, store)?;
        let mut sums = Vec::new();
        for position in std::mem::take(&mut self.dirty) {
            let (key, cell) = at(&mut self.cached, position);
            if key[0] == OTHERS {
                // Once all are known that are in it.
                sums.push(position);
                continue;
            }
            let late = cell.took_turn(self.commit);
            if is_of_week(key) {
                weeks.push(key.clone());
            }
            let rest = times.publish(key, cell, late, &mut self.scratch, store, effects)?;
            if let Some(rest) = rest
                && let Some(group) = group_of(key)
            {
                groups.entry(group).or_default().add(&rest, late);
            }
        }
        for (group, rest) in groups {
            let key = others_of(&group);
            if rest.is_nothing() && store.get(&key)?.is_none() {
                continue;
            }
            let position = self.position(key, store)?;
            let (key, cell) = at(&mut self.cached, position);
            cell.accumulator.add(&rest.sum, 1);
            cell.late |= rest.late;
            if !cell.dirty && rebuilt.is_some_and(|from| key.as_slice() >= from) {
                cell.used = self.commit;
                withhold(key, cell, store);
            } else if !std::mem::replace(&mut cell.dirty, true) {
                sums.push(position);
            }
        }
        for position in sums {
            let group = self.cached.get_index(position).and_then(|(key, _)| group_of(key));
            let group = group.ok_or(MetricsError::Corrupted { what: "a sum of nothing" })?;
            let summed = self.ranking.others(&group, &self.cached, store)?;
            let (key, cell) = at(&mut self.cached, position);
            cell.summed = summed;
            let late = cell.took_turn(self.commit);
            times.publish(key, cell, late, &mut self.scratch, store, effects)?;
        }
        Ok(weeks)
    }

    /// Decides on which side every cell is that is looked at, and marks those that change sides. Returns the groups that are
    /// ranked.
    fn rank(
        &mut self,
        times: Publishing,
        store: &mut dyn KeyValue,
    ) -> Result<IndexMap<Group, Rest, ahash::RandomState>, MetricsError> {
        let mut groups: IndexMap<Group, Rest, _> = IndexMap::with_hasher(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let mut ranked = Vec::new();
        for &position in &self.dirty {
            let (key, cell) = self.cached.get_index(position).expect("positions of dirty cells hold until the sweep");
            let Some(group) = group_of(key).filter(|_| key[0] == CELL) else { continue };
            let was_there = if cell.withheld { Ranking::knows(key, &group, store)? } else { cell.is_counted() };
            let change = (was_there, times.shows(key, cell)?);
            if self.ranking.note(key, &group, change, &self.cached, store)? {
                ranked.push((position, group));
                groups.entry(group).or_default();
            } else {
                at(&mut self.cached, position).1.side = Side::Shown;
            }
        }
        let mut moves = Vec::new();
        for group in groups.keys() {
            moves.append(&mut self.ranking.settle(group, store)?);
        }
        for (position, group) in ranked {
            let (key, cell) = at(&mut self.cached, position);
            cell.side = Ranking::side(key, &group, store)?;
        }
        for Move { cell, to } in moves {
            let position = self.position(cell, store)?;
            let cell = &mut self.cached[position];
            if cell.dirty {
                cell.side = to;
            } else if !cell.withheld {
                // What a rebuild has not published yet changes sides when it does.
                (cell.side, cell.dirty) = (to, true);
                self.dirty.push(position);
            }
        }
        Ok(groups)
    }

    /// After a commit: drops what has not been used since the last sweep, and everything if that is not enough, so that a
    /// sweep is paid for by as many uses.
    pub(super) fn committed(&mut self) {
        self.ranking.committed();
        if self.cached.len() <= self.cached_max {
            return;
        }
        let swept = self.swept;
        self.cached.retain(|_, cell| cell.used.wrapping_sub(swept) as i32 > 0);
        if self.cached.len() > self.cached_max / 2 {
            self.cached.clear();
        }
        self.swept = self.commit;
    }
}

fn at(cached: &mut Cached, position: usize) -> (&StoreKey, &mut Cell) {
    cached.get_index_mut(position).expect("positions of dirty cells hold until the sweep, which finds none dirty")
}
