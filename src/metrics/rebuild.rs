//! A change of definition: cells emptied, filled again unseen, then published once each.
//!
//! ```text
//!        first part        all cells empty        every source refolded,
//!                                                 all levels up to date       every cell published
//! (none) ──────────▶ clearing ────────▶ withheld ──────────────────▶ publishing ──────────▶ (none)
//!                       ▲                  │                             │
//!                       └── another rebuild begins ◀─────────────────────┘
//!
//! r  →  version state        how far it is
//! ```
//!
//! Subscribers see each key go from its old value to its new one, or to a tombstone. Data quality is about arrivals, which
//! nothing folds again: its cells keep what they hold. As everything else does they are published once more, since a
//! definition also says how a value is computed from what a cell holds.

use std::{collections::BTreeSet, ops::ControlFlow};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    catalogue::index::DATA_QUALITY,
    cells::{self, StoreKey},
    families::ELEMENT,
    levels::Budget,
    ranking::Ranking,
    settling::Settling,
    stage::{Metrics, MetricsError},
    watch::Watch,
};
use crate::model::KeyValue;

const KEY: &[u8] = b"r";
const VERSION: u8 = 1;

/// How far a rebuild is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Rebuild {
    /// Cells before this key are empty.
    Clearing { from: Vec<u8> },
    /// Contributions are added and nothing is published; these sources have sent all that they keep.
    Withheld { refolded: BTreeSet<u32> },
    /// Cells before this key were published.
    Publishing { from: Vec<u8> },
}

impl Rebuild {
    fn load(store: &dyn KeyValue) -> Result<Option<Rebuild>, MetricsError> {
        match store.get(KEY)?.as_deref() {
            None => Ok(None),
            Some([VERSION, rest @ ..]) => {
                postcard::from_bytes(rest).map(Some).map_err(|_| MetricsError::Corrupted { what: "a rebuild's state" })
            }
            Some(_) => Err(MetricsError::Corrupted { what: "a rebuild's state" }),
        }
    }

    fn save(state: Option<&Rebuild>, store: &mut dyn KeyValue) {
        match state {
            Some(state) => {
                let bytes = postcard::to_extend(state, vec![VERSION]).expect("a vector takes every byte");
                store.put(KEY, &bytes);
            }
            None => store.delete(KEY),
        }
    }
}

impl Metrics {
    pub(super) fn rebuild(&mut self, store: &dyn KeyValue) -> Result<&mut Option<Rebuild>, MetricsError> {
        match &mut self.rebuild {
            Some(state) => Ok(state),
            empty => Ok(empty.insert(Rebuild::load(store)?)),
        }
    }

    /// Whether a rebuild is under way.
    pub fn is_rebuilding(&mut self, store: &dyn KeyValue) -> Result<bool, MetricsError> {
        Ok(self.rebuild(store)?.is_some())
    }

    /// Whether what is published is known to be of the present definition.
    pub fn is_rebuilt(&self) -> bool {
        self.rebuild == Some(None)
    }

    /// Whether a rebuild publishes nothing yet.
    pub fn is_withheld(&mut self, store: &dyn KeyValue) -> Result<bool, MetricsError> {
        Ok(matches!(self.rebuild(store)?, Some(Rebuild::Clearing { .. } | Rebuild::Withheld { .. })))
    }

    /// Empties up to `entries_max` cells, keeping what was published of them. `first`: begins a rebuild, whatever became
    /// of one before. Returns how many entries were looked at and whether there are more; until there are none, nothing
    /// else is to be called.
    pub fn clear(
        &mut self,
        first: bool,
        entries_max: usize,
        store: &mut dyn KeyValue,
    ) -> Result<(usize, bool), MetricsError> {
        if first {
            *self = Metrics::new(self.options.clone());
            // In another time zone the newest touchpoint may lie on an earlier day. Who refolds says which.
            let mut settling = Settling::load(store)?;
            settling.forget_as_of();
            settling.save(store);
            self.analysed.all_due(store)?;
            self.fits.all_due(store)?;
        }
        let from = match self.rebuild(store)? {
            Some(Rebuild::Clearing { from }) if !first => from.clone(),
            _ => vec![cells::CELL],
        };
        let mut found: Vec<(StoreKey, Bytes)> = Vec::new();
        store.scan(&from, &[cells::OTHERS + 1], &mut |key, value| {
            found.push((StoreKey::from_slice(key), Bytes::copy_from_slice(value)));
            if found.len() < entries_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let mut families = Vec::new();
        if found.len() < entries_max {
            let limit = entries_max - found.len();
            store.scan(&[cells::LEVEL_FAMILY], &[cells::LEVEL_FAMILY + 1], &mut |key, _| {
                families.push(key.to_vec());
                if families.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        if found.len() + families.len() < entries_max {
            let limit = entries_max - found.len() - families.len();
            let mut elements = Vec::new();
            store.scan(&[ELEMENT], &[ELEMENT + 1], &mut |key, _| {
                elements.push(key.to_vec());
                if elements.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            families.append(&mut elements);
        }
        let mut entries = found.len() + families.len();
        if entries < entries_max {
            entries += Ranking::forget(entries_max - entries, store)?;
        }
        if entries < entries_max {
            entries += Watch::all_due(entries_max - entries, store)?;
        }
        let more = entries == entries_max;
        for (key, value) in &found {
            let cell = cells::parse_cell_key(key)?;
            if cells::is_held_back(value) {
                store.delete_local(&cells::held_back_key(cell.window.start, key));
            }
            // A sum is made anew, of what becomes of the cells in it.
            let keeps = cell.metric == DATA_QUALITY && key[0] == cells::CELL;
            let withheld = cells::withheld(cell.metric, value, keeps)?;
            Ranking::withheld(key, withheld.is_some(), store)?;
            match withheld {
                Some(withheld) => store.put(key, &withheld),
                None => store.delete(key),
            }
        }
        for key in families {
            store.delete(&key);
        }
        let next = match (more, found.last()) {
            (true, Some((last, _))) => Rebuild::Clearing { from: after(last) },
            (true, None) => Rebuild::Clearing { from },
            (false, _) => Rebuild::Withheld { refolded: BTreeSet::new() },
        };
        Rebuild::save(Some(&next), store);
        self.rebuild = Some(Some(next));
        Ok((entries, more))
    }

    /// A source has sent all that it keeps, computed by the present definition.
    pub fn refolded(&mut self, source: u32, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        if let Some(state @ Rebuild::Withheld { .. }) = self.rebuild(store)? {
            if let Rebuild::Withheld { refolded } = state {
                refolded.insert(source);
            }
            Rebuild::save(Some(state), store);
        }
        Ok(())
    }

    /// Part of each publication: begins to publish once everything is there, and goes on with it. `up_to_date`: no level
    /// waits for a day to close. Returns whether it waits for the next commit.
    pub(super) fn publish_rebuilt(
        &mut self,
        up_to_date: bool,
        budget: &mut Budget,
        store: &mut dyn KeyValue,
    ) -> Result<bool, MetricsError> {
        let sources = self.options.sources as usize;
        let from = match self.rebuild(store)? {
            Some(Rebuild::Withheld { refolded }) if refolded.len() >= sources && up_to_date => None,
            Some(Rebuild::Publishing { from }) => Some(from.clone()),
            _ => return Ok(false),
        };
        if budget.is_spent() {
            return Ok(true);
        }
        let from = match from {
            Some(from) => from,
            None => {
                self.cells.forget_ranks(store)?;
                vec![cells::CELL]
            }
        };
        let limit = budget.steps;
        let mut found: Vec<(StoreKey, bool)> = Vec::new();
        store.scan(&from, &[cells::OTHERS + 1], &mut |key, value| {
            found.push((StoreKey::from_slice(key), cells::is_withheld(value)));
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        budget.spend(found.len());
        let more = found.len() == limit;
        let next = match found.last() {
            Some((last, _)) if more => Some(Rebuild::Publishing { from: after(last) }),
            _ if more => Some(Rebuild::Publishing { from }),
            _ => None,
        };
        for (key, _) in found.into_iter().filter(|(_, withheld)| *withheld) {
            self.cells.change(key, false, store)?;
        }
        self.settles |= next.is_none();
        self.begins |= next.is_none();
        Rebuild::save(next.as_ref(), store);
        self.rebuild = Some(next);
        Ok(more)
    }
}

/// The smallest key after this one.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
