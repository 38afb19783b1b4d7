//! Paths to a goal with how often they were travelled in, as that changes; the most travelled ones out, in order.
//!
//! A month of a million customers has hundreds of thousands of paths, of which fifty are told of. So only the first
//! [`KEPT_MAX`] are kept, and the rank before which all of them are: what comes after it is known to be no better. When so many
//! of those that are kept have gone that the others would be asked for, [`Leaders::lacks`] says so, and all paths have to be
//! told again.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use crate::model::Accumulator;

/// A step's index in its table.
pub(super) type Index = u32;

/// So many paths are kept; more than are ever shown, so that few of them can go.
pub(super) const KEPT_MAX: usize = 400;

/// Most travelled first, equals by the names of their steps.
type Rank = (Reverse<i64>, Box<[Arc<str>]>);

/// One of the paths.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    /// Its journeys to the goal.
    pub goal: Accumulator,
    /// How many were lost on it.
    pub lost: i64,
    path: Box<[Index]>,
}

/// The most travelled paths of a table.
#[derive(Clone, Debug)]
pub(super) struct Leaders {
    by_rank: BTreeMap<Rank, Leader>,
    /// How often each of them was travelled to the goal.
    counts: BTreeMap<Box<[Index]>, i64>,
    /// Every other path comes from here on; `None`: there are no others.
    bound: Option<Rank>,
    kept_max: usize,
}

impl Default for Leaders {
    fn default() -> Leaders {
        Leaders::keeping(KEPT_MAX)
    }
}

impl Leaders {
    fn keeping(kept_max: usize) -> Leaders {
        Leaders { by_rank: BTreeMap::new(), counts: BTreeMap::new(), bound: None, kept_max }
    }

    /// The journeys of a path to the goal are these from now on. Returns whether it has come in: then how many were lost on it
    /// is not known here, and taken for none until [`Leaders::add_lost`] says it.
    pub fn set(&mut self, path: &[Index], name: impl Fn(Index) -> Arc<str>, goal: &Accumulator) -> bool {
        let rank = |n: i64| (Reverse(n), path.iter().map(|&step| name(step)).collect::<Box<[Arc<str>]>>());
        let known = self.counts.get(path).copied().and_then(|n| self.by_rank.remove(&rank(n)));
        if known.is_some() {
            self.counts.remove(path);
        }
        let is_less = |(Reverse(least), _): &Rank| goal.n < *least;
        if goal.n <= 0 || self.bound.as_ref().is_some_and(is_less) {
            return false;
        }
        let rank = rank(goal.n);
        if self.bound.as_ref().is_some_and(|bound| rank >= *bound) {
            return false;
        }
        let lost = known.as_ref().map(|leader| leader.lost);
        let leader = Leader { goal: goal.clone(), lost: lost.unwrap_or_default(), path: path.into() };
        self.by_rank.insert(rank, leader);
        self.counts.insert(path.into(), goal.n);
        if self.by_rank.len() > self.kept_max
            && let Some((rank, last)) = self.by_rank.pop_last()
        {
            self.counts.remove(&last.path);
            self.bound = Some(rank);
        }
        lost.is_none() && self.counts.contains_key(path)
    }

    /// So many journeys more were lost on a path, if it is one of these.
    pub fn add_lost(&mut self, path: &[Index], name: impl Fn(Index) -> Arc<str>, n: i64) {
        let Some(&count) = self.counts.get(path) else { return };
        let rank = (Reverse(count), path.iter().map(|&step| name(step)).collect());
        if let Some(leader) = self.by_rank.get_mut(&rank) {
            leader.lost = leader.lost.wrapping_add(n);
        }
    }

    /// The most travelled ones, first things first: names of steps, and journeys.
    pub fn iter(&self) -> impl Iterator<Item = (&[Arc<str>], &Leader)> {
        self.by_rank.iter().map(|((_, steps), leader)| (&**steps, leader))
    }

    /// Whether there are others of which one would be among the first so many.
    pub fn lacks(&self, shown: usize) -> bool {
        self.bound.is_some() && self.by_rank.len() < shown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_are_those_of_all_unless_they_say_that_some_are_lacking(
            changes in prop::collection::vec((prop::collection::vec(0_u32..3, 0..3), 0_i64..5, any::<bool>()), 0..80),
        ) {
            const SHOWN: usize = 3;
            // Not in the order of their indices.
            let name = |index: Index| -> Arc<str> { ["c", "a", "b"][index as usize].into() };
            let mut all: BTreeMap<Vec<Index>, (i64, i64)> = BTreeMap::new();
            let mut leaders = Leaders::keeping(5);
            for (path, n, is_lost) in changes {
                let (goal, lost) = all.entry(path.clone()).or_default();
                if is_lost {
                    *lost += n;
                    leaders.add_lost(&path, name, n);
                } else {
                    *goal = n;
                    if leaders.set(&path, name, &Accumulator::count(n)) {
                        leaders.add_lost(&path, name, *lost);
                    }
                }
                let mut expected: Vec<_> = all
                    .iter()
                    .filter(|(_, (goal, _))| *goal > 0)
                    .map(|(path, (goal, lost))| (Reverse(*goal), path.iter().map(|step| name(*step)).collect::<Vec<_>>(), *lost))
                    .collect();
                expected.sort();
                let found: Vec<_> =
                    leaders.iter().map(|(steps, it)| (Reverse(it.goal.n), steps.to_vec(), it.lost)).collect();
                prop_assert!(found.len() <= 5 && expected.starts_with(&found));
                prop_assert_eq!(leaders.lacks(SHOWN), found.len() < SHOWN.min(expected.len()) || (found.len() < SHOWN && leaders.bound.is_some()));
                if leaders.lacks(SHOWN) {
                    // Told again.
                    leaders = Leaders::keeping(5);
                    for (path, (goal, lost)) in &all {
                        if leaders.set(path, name, &Accumulator::count(*goal)) {
                            leaders.add_lost(path, name, *lost);
                        }
                    }
                }
            }
        }
    }
}
