//! Journeys in, one after the other; a table of them out, which keeps every path beside it as a store does.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use crate::{
    analyses::journeys::JourneyTable,
    model::{Accumulator, PathOutcome},
};

/// A table, and what is known of each path and end.
#[derive(Debug, Default)]
pub struct WholeTable {
    table: JourneyTable,
    kept: BTreeMap<(Vec<String>, &'static str), Accumulator>,
}

impl WholeTable {
    /// Adds `times` times the journeys that took a path to an end.
    pub fn add(&mut self, path: &[&str], end: PathOutcome, journeys: &Accumulator, times: i64) {
        let steps: Vec<String> = path.iter().map(|&step| step.to_owned()).collect();
        let kept = self.kept.entry((steps.clone(), end.as_str())).or_default();
        let before = kept.clone();
        kept.add(journeys, times);
        if self.table.change(path, end, &before, kept) {
            let lost = self.kept.get(&(steps, PathOutcome::Lost.as_str())).map_or(0, |lost| lost.n);
            self.table.note_lost(path, lost);
        }
    }
}

impl Deref for WholeTable {
    type Target = JourneyTable;

    fn deref(&self) -> &JourneyTable {
        &self.table
    }
}

impl DerefMut for WholeTable {
    fn deref_mut(&mut self) -> &mut JourneyTable {
        &mut self.table
    }
}
