//! From an identifier to what its pairs reach, without walking through an oversize component.

// tidy: hash order unseen because members are kept in the order of the walk, and found by id

use std::collections::{HashMap, HashSet};

use ahash::RandomState;

use super::{
    decisions::Decision,
    graph::{Graph, View},
    rules::{RANKS, Rules},
    store_keys::{self, NO_LEVEL},
};
use crate::model::{KeyValue, PersonId, StoreError};

/// Pairs read at once: most identifiers have fewer.
const PAIRS_AT_ONCE: usize = 64;

/// What the walk found.
#[derive(Debug)]
pub(super) struct Reach {
    /// All that pairs below the oversize level, and link decisions, connect. The start comes first.
    pub members: Vec<PersonId>,
    /// The first level at which this is oversize; [`NO_LEVEL`] if it never is.
    pub oversize_from: u8,
}

/// What is known already of oversize levels in the graph that is walked.
pub(super) struct Bounds {
    /// The level is this one or a stronger one.
    at_most: HashMap<PersonId, u8, RandomState>,
    /// Whether the levels in the store hold too: they do before a change, and after one that only added pairs, which can
    /// make nothing less oversize.
    pub stored_hold: bool,
}

impl Bounds {
    pub fn new(stored_hold: bool) -> Bounds {
        Bounds { at_most: HashMap::with_hasher(RandomState::with_seeds(11, 12, 13, 14)), stored_hold }
    }

    fn of(&self, id: PersonId, stored: u8) -> u8 {
        let known = self.at_most.get(&id).copied().unwrap_or(NO_LEVEL);
        if self.stored_hold { known.min(stored) } else { known }
    }
}

/// Where the walk goes on.
enum Step {
    To(PersonId),
    /// More pairs of an identifier, from a key on.
    More(PersonId, Vec<u8>),
}

struct Walk {
    members: Vec<PersonId>,
    seen: HashSet<PersonId, RandomState>,
    /// Of the members, those that count for the size.
    counted: usize,
    /// The strongest bound of a member.
    bound: u8,
    /// The level at which the walk is.
    level: u8,
    /// Steps by the level of their pairs, or the level at which they were found.
    steps: [Vec<Step>; RANKS as usize],
}

impl<S: KeyValue + ?Sized> Graph<'_, S> {
    /// Walks from an identifier, all pairs of a level before any of the next, until the next would be oversize. A component
    /// of any size ends the walk after `component_max + 1` identifiers that are not things.
    pub fn reach(&mut self, start: PersonId, view: View, bounds: &mut Bounds) -> Result<Reach, StoreError> {
        let mut walk = Walk {
            members: Vec::new(),
            seen: HashSet::with_hasher(RandomState::with_seeds(11, 12, 13, 14)),
            counted: 0,
            bound: NO_LEVEL,
            level: 0,
            steps: std::array::from_fn(|_| Vec::new()),
        };
        self.visit(start, view, bounds, true, &mut walk)?;
        for level in 0..self.rules.ranks() {
            walk.level = level;
            let complete = walk.members.len();
            let is_oversize = |walk: &Walk| walk.counted > self.rules.component_max() || walk.bound <= level;
            let mut stop = is_oversize(&walk);
            while !stop && let Some(step) = walk.steps[usize::from(level)].pop() {
                match step {
                    Step::To(id) if walk.seen.contains(&id) => {}
                    Step::To(id) => self.visit(id, view, bounds, false, &mut walk)?,
                    Step::More(id, from) => self.spread(id, from, view, &mut walk)?,
                }
                stop = walk.counted > self.rules.component_max() || walk.bound <= level;
            }
            if stop {
                for member in &walk.members {
                    let known = bounds.at_most.entry(*member).or_insert(level);
                    *known = level.min(*known);
                }
                walk.members.truncate(complete);
                return Ok(Reach { members: walk.members, oversize_from: level });
            }
        }
        Ok(Reach { members: walk.members, oversize_from: NO_LEVEL })
    }

    /// An identifier, and those that link decisions connect to it, become members. Of others than the start's no more than
    /// show that this level is oversize, which none of them stays for: a command may have linked ten thousand, and each of
    /// their neighbours would walk through all.
    fn visit(
        &mut self,
        id: PersonId,
        view: View,
        bounds: &Bounds,
        is_start: bool,
        walk: &mut Walk,
    ) -> Result<(), StoreError> {
        let mut connected = vec![id];
        while let Some(id) = connected.pop() {
            if !walk.seen.insert(id) {
                continue;
            }
            walk.members.push(id);
            let Some(facts) = self.facts(id, view)? else {
                continue;
            };
            walk.counted += usize::from(Rules::counts(facts.kind));
            walk.bound = walk.bound.min(bounds.of(id, facts.oversize_from));
            if !is_start && (walk.counted > self.rules.component_max() || walk.bound <= walk.level) {
                return Ok(());
            }
            if facts.decided {
                let links = self.standing_of(id, view)?.filter(|(_, decision, _)| *decision == Decision::Link);
                connected.extend(links.map(|(other, ..)| other));
            }
            if !facts.shared {
                self.spread(id, store_keys::pairs_from(id, 0), view, walk)?;
            }
        }
        Ok(())
    }

    /// Notes where the pairs of an identifier lead.
    fn spread(&mut self, id: PersonId, from: Vec<u8>, view: View, walk: &mut Walk) -> Result<(), StoreError> {
        let rules = self.rules;
        let Some(own_rank) = self.facts(id, view)?.map(|facts| rules.rank(facts.kind)) else {
            return Ok(());
        };
        let (adjacent, more) = self.adjacent(&from, &store_keys::pairs_from(id, RANKS), PAIRS_AT_ONCE)?;
        // A weaker pair may lead to an identifier that has stronger ones.
        let earliest = own_rank.max(walk.level);
        let mut last = earliest;
        for pair in adjacent {
            last = earliest.max(pair.rank);
            if !walk.seen.contains(&pair.other) && self.facts(pair.other, view)?.is_some_and(|facts| !facts.shared) {
                walk.steps[usize::from(last)].push(Step::To(pair.other));
            }
        }
        if let Some(from) = more {
            walk.steps[usize::from(last)].push(Step::More(id, from));
        }
        Ok(())
    }
}
