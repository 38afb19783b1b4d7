//! Journeys in (each a path of steps and whether it reached the goal), and out: what leads where, and what leads to the goal.
//!
//! *Formula.* A [`JourneyTable`] holds one family: one goal in one window for one segment. Everything in it is a sum over journeys, so
//! adding in any order gives the same table and taking back leaves nothing behind. What it says is in [`Journeys`]:
//!
//! - **Transitions**: how often one step followed another, from the start and to the end; their share of what left the first.
//! - **Most travelled paths** to the goal, with the time they took (percentiles by nearest rank from log buckets, within 1 %).
//! - **Ends**: the last step of journeys that expired without the goal.
//! - **Critical paths**: steps, and pairs of steps in this order, after which the goal was reached more often than in journeys
//!   without them. `difference = goal/n with − goal/n without`, with Newcombe's interval
//!   ([`difference_of_shares`]). Ordered by the interval's
//!   lower end: a rise that is small and sure comes before one that is large in thirty journeys.
//!
//! *Smallest n.* [`OBSERVATIONS_MIN`] journeys with and without a step, for it to be compared; counts and paths are published from one on.
//!
//! *Source.* Which steps are compared and in what order is our own; the interval is R. G. Newcombe's (1998), see [`super::statistics`].
//! Journeys as counts of transitions: E. Anderl and others, 2016, see [`super::attribution`].
//!
//! *Assumptions.* Journeys are independent of each other (one person's second journey is not quite), and a journey's outcome is
//! final: a window with many open journeys, which are neither reached nor lost, shows those that ended early.
//!
//! *What not to conclude.* That a step causes the goal. Those who are about to buy look at the basket; that a visit to it
//! precedes a purchase says nothing about sending more people there. Longer journeys hold more steps and more pairs, and those
//! who stay longer also buy more. Of a hundred comparisons without any effect, five intervals of 95 % leave zero out: the number
//! of comparisons is published with them ([`Compared::compared`]).

use std::{collections::BTreeMap, sync::Arc};

use smallvec::SmallVec;

use super::{
    leaders::{Index, Leaders},
    ranking::{Ranked, Rest, first},
    statistics::{Difference, OBSERVATIONS_MIN, difference_of_shares, percentile},
};
use crate::model::{Accumulator, PathOutcome};

/// A place of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place<S> {
    /// Before the first step.
    Start,
    /// A step.
    Step(S),
    /// The goal.
    Goal,
    /// The end without it.
    Lost,
}

/// Journeys by their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Those that reached the goal.
    pub goal: i64,
    /// Those that were lost.
    pub lost: i64,
}

impl Ends {
    /// All of them.
    pub fn n(self) -> i64 {
        self.goal.wrapping_add(self.lost)
    }

    fn add(&mut self, end: PathOutcome, n: i64) {
        let count = match end {
            PathOutcome::Converted => &mut self.goal,
            PathOutcome::Lost => &mut self.lost,
        };
        *count = count.wrapping_add(n);
    }

    fn without(self, part: Ends) -> Ends {
        Ends { goal: self.goal.wrapping_sub(part.goal), lost: self.lost.wrapping_sub(part.lost) }
    }

    fn is_zero(self) -> bool {
        self == Ends::default()
    }
}

/// How often a step stood where in paths of one length that reached the goal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stands {
    /// As the first step.
    pub first: i64,
    /// As the last.
    pub last: i64,
    /// Anywhere, each time counted.
    pub anywhere: i64,
}

/// So many paths can be shown of a table.
pub const PATHS_MAX: usize = 100;

/// Names of steps, each with the number of paths (by their end) in the table that hold it: a name that none holds is forgotten.
#[derive(Clone, Debug, Default)]
struct Names {
    by_name: BTreeMap<Arc<str>, Index>,
    slots: Vec<(Arc<str>, u32)>,
    free: Vec<Index>,
}

impl Names {
    fn index(&mut self, name: &str) -> Index {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let name: Arc<str> = name.into();
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push((Arc::clone(&name), 0));
                (self.slots.len() - 1) as Index
            }
        };
        self.slots[index as usize] = (Arc::clone(&name), 0);
        self.by_name.insert(name, index);
        index
    }

    fn of(&self, index: Index) -> &str {
        &self.slots[index as usize].0
    }

    fn shared(&self, index: Index) -> Arc<str> {
        Arc::clone(&self.slots[index as usize].0)
    }

    fn forget_unused(&mut self, index: Index) {
        let (name, uses) = &self.slots[index as usize];
        if *uses == 0 {
            self.by_name.remove(name);
            self.free.push(index);
        }
    }
}

/// The journeys of one family: one goal, one window, one segment. A path of length L costs O(L²) to add, for its pairs of steps.
/// What it keeps grows with the number of different steps and their pairs, not with that of the paths: those are kept by who
/// changes it, who says of each what there was before and is now.
#[derive(Clone, Debug, Default)]
pub struct JourneyTable {
    names: Names,
    /// How many paths there are, by their end.
    elements: usize,
    /// Paths that led to the goal.
    to_goal: Rest,
    leaders: Leaders,
    ends: Ends,
    times: Accumulator,
    transitions: BTreeMap<(Place<Index>, Place<Index>), i64>,
    presence: BTreeMap<Index, Ends>,
    presence_of_pairs: BTreeMap<(Index, Index), Ends>,
    stands: BTreeMap<(Index, usize), Stands>,
}

/// How much of each list is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JourneyLimits {
    /// Transitions.
    pub transitions: usize,
    /// Paths to the goal.
    pub paths: usize,
    /// Last steps of lost journeys.
    pub ends: usize,
    /// Critical steps, and as many critical pairs.
    pub critical: usize,
}

/// What a family's journeys say.
#[derive(Clone, Debug, PartialEq)]
pub struct Journeys<'a> {
    /// How many ended, and how.
    pub ended: Ends,
    /// How long those took that reached the goal.
    pub times: Times,
    /// What followed what, most frequent first.
    pub transitions: Ranked<Transition<'a>>,
    /// The most travelled paths to the goal.
    pub paths: Ranked<TravelledPath<'a>>,
    /// Where lost journeys ended, most frequent first.
    pub ends: Ranked<LastStep<'a>>,
    /// Steps whose presence goes with the goal.
    pub steps: Ranked<Critical<'a>, Compared>,
    /// Pairs of steps, in this order, whose presence goes with the goal.
    pub pairs: Ranked<Critical<'a>, Compared>,
}

/// How long journeys took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// Their exact sum.
    pub sum_ms: i64,
    /// The median.
    pub p50_ms: Option<f64>,
    /// Nine of ten took at most this.
    pub p90_ms: Option<f64>,
}

/// One thing after another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition<'a> {
    /// From here …
    pub from: Place<&'a str>,
    /// … to there,
    pub to: Place<&'a str>,
    /// this often.
    pub n: i64,
    /// Of all that left `from`, 0..1.
    pub share: f64,
}

/// A path to the goal.
#[derive(Clone, Debug, PartialEq)]
pub struct TravelledPath<'a> {
    /// Its steps, oldest first.
    pub steps: Vec<&'a str>,
    /// How many journeys took it to the goal.
    pub n: i64,
    /// How many took it and were lost.
    pub lost: i64,
    /// How long those took that reached the goal.
    pub times: Times,
}

/// Where lost journeys ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastStep<'a> {
    /// The last step; absent for journeys without any.
    pub step: Option<&'a str>,
    /// How many ended there.
    pub n: i64,
}

/// A step, or a pair of them, that goes with the goal.
#[derive(Clone, Debug, PartialEq)]
pub struct Critical<'a> {
    /// The step, or the earlier one of a pair.
    pub step: &'a str,
    /// The later one of a pair: the same step where coming back to it is what goes with the goal.
    pub then: Option<&'a str>,
    /// Journeys with it.
    pub with: Ends,
    /// Journeys without.
    pub without: Ends,
    /// The share that reached the goal with it less the share without, with its 95 % interval.
    pub difference: Difference,
}

/// What is not shown of the comparisons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// All that had enough journeys on both sides to be compared, those that are shown among them.
    pub compared: usize,
    /// Those of them that raise the chance and are not shown.
    pub kinds: usize,
}

/// A path's steps, each once, with the first and the last position where it stands.
type Visits = SmallVec<[(Index, usize, usize); 32]>;

fn visits(path: &[Index]) -> Visits {
    let mut visits = Visits::new();
    for (position, &step) in path.iter().enumerate() {
        match visits.iter_mut().find(|(visited, ..)| *visited == step) {
            Some((.., last)) => *last = position,
            None => visits.push((step, position, position)),
        }
    }
    visits
}

fn bump<K: Ord>(counts: &mut BTreeMap<K, i64>, key: K, n: i64) {
    use std::collections::btree_map::Entry;
    match counts.entry(key) {
        Entry::Vacant(vacant) => _ = vacant.insert(n),
        Entry::Occupied(mut occupied) => {
            *occupied.get_mut() = occupied.get().wrapping_add(n);
            if *occupied.get() == 0 {
                occupied.remove();
            }
        }
    }
}

fn bump_ends<K: Ord>(counts: &mut BTreeMap<K, Ends>, key: K, end: PathOutcome, n: i64) {
    use std::collections::btree_map::Entry;
    match counts.entry(key) {
        Entry::Vacant(vacant) => vacant.insert(Ends::default()).add(end, n),
        Entry::Occupied(mut occupied) => {
            occupied.get_mut().add(end, n);
            if occupied.get().is_zero() {
                occupied.remove();
            }
        }
    }
}

impl JourneyTable {
    /// Whether nothing is left in it: the neutral element.
    pub fn is_zero(&self) -> bool {
        self.elements == 0
    }

    /// How many journeys ended, and how.
    pub fn ended(&self) -> Ends {
        self.ends
    }

    /// How many sums it consists of: what publishing it costs grows with them.
    pub fn sums(&self) -> usize {
        self.transitions.len() + self.presence_of_pairs.len() + self.stands.len()
    }

    /// How many different steps it has.
    pub fn kinds_of_steps(&self) -> usize {
        self.names.by_name.len()
    }

    /// Whether so many were taken back that the most travelled paths are not known any more: then every path has to be told
    /// again, to an empty table.
    pub fn lacks_paths(&self) -> bool {
        self.leaders.lacks(PATHS_MAX)
    }

    /// The journeys that took a path (its steps, oldest first, without direct repetitions) to an end were `before`, and are
    /// `after` now. `n` is their number; of those that reached the goal, `sum` and `buckets` tell the time that they took, in
    /// milliseconds ([`Accumulator::observe_distribution`]); of lost ones only the number counts.
    ///
    /// Returns whether it has to be told next how many journeys were lost on the path: [`JourneyTable::note_lost`].
    #[must_use]
    pub fn change(&mut self, path: &[&str], end: PathOutcome, before: &Accumulator, after: &Accumulator) -> bool {
        let path: SmallVec<[Index; 32]> = path.iter().map(|name| self.names.index(name)).collect();
        let visits = visits(&path);
        let n = after.n.wrapping_sub(before.n);
        let (was_there, is_there) = (!before.is_zero(), !after.is_zero());
        self.elements = self.elements + usize::from(is_there) - usize::from(was_there);
        for &(step, ..) in &visits {
            let uses = &mut self.names.slots[step as usize].1;
            *uses = *uses + u32::from(is_there) - u32::from(was_there);
        }
        let names = &self.names;
        let has_come_in = match end {
            PathOutcome::Converted => {
                self.times.add(after, 1);
                self.times.add(before, -1);
                self.to_goal.change(before.n, after.n);
                self.leaders.set(&path, |step| names.shared(step), after)
            }
            PathOutcome::Lost => {
                self.leaders.add_lost(&path, |step| names.shared(step), n);
                false
            }
        };
        if n != 0 {
            self.ends.add(end, n);
            self.count_transitions(&path, end, n);
            for (at, &(step, first, last)) in visits.iter().enumerate() {
                bump_ends(&mut self.presence, step, end, n);
                if first < last {
                    bump_ends(&mut self.presence_of_pairs, (step, step), end, n);
                }
                // Visits are in the order of their first positions, so the earlier one always comes before the later …
                for &(later, _, last_of_later) in &visits[at + 1..] {
                    debug_assert!(first < last_of_later);
                    bump_ends(&mut self.presence_of_pairs, (step, later), end, n);
                }
                // … and the later one before the earlier where that comes again.
                for &(later, first_of_later, _) in &visits[at + 1..] {
                    if first_of_later < last {
                        bump_ends(&mut self.presence_of_pairs, (later, step), end, n);
                    }
                }
            }
            if end == PathOutcome::Converted {
                self.count_stands(&path, n);
            }
        }
        for &(step, ..) in &visits {
            self.names.forget_unused(step);
        }
        has_come_in
    }

    /// So many journeys were lost on a path that has just become one of the most travelled.
    pub fn note_lost(&mut self, path: &[&str], n: i64) {
        let path: SmallVec<[Index; 32]> = path.iter().map(|name| self.names.index(name)).collect();
        let names = &self.names;
        self.leaders.add_lost(&path, |step| names.shared(step), n);
    }

    fn count_transitions(&mut self, path: &[Index], end: PathOutcome, n: i64) {
        let mut from = Place::Start;
        let end = match end {
            PathOutcome::Converted => Place::Goal,
            PathOutcome::Lost => Place::Lost,
        };
        for to in path.iter().map(|&step| Place::Step(step)).chain([end]) {
            bump(&mut self.transitions, (from, to), n);
            from = to;
        }
    }

    fn count_stands(&mut self, path: &[Index], n: i64) {
        for (position, &step) in path.iter().enumerate() {
            let stands = self.stands.entry((step, path.len())).or_default();
            stands.anywhere = stands.anywhere.wrapping_add(n);
            if position == 0 {
                stands.first = stands.first.wrapping_add(n);
            }
            if position + 1 == path.len() {
                stands.last = stands.last.wrapping_add(n);
            }
        }
        for &step in path {
            let key = (step, path.len());
            if self.stands.get(&key).is_some_and(|stands| *stands == Stands::default()) {
                self.stands.remove(&key);
            }
        }
    }

    /// What the journeys say; of paths [`PATHS_MAX`] at most.
    pub fn publish(&self, limits: JourneyLimits) -> Journeys<'_> {
        Journeys {
            ended: self.ends,
            times: times(&self.times),
            transitions: self.publish_transitions(limits.transitions),
            paths: self.publish_paths(limits.paths),
            ends: self.publish_ends(limits.ends),
            steps: self
                .publish_critical(self.presence.iter().map(|(&step, &with)| (step, None, with)), limits.critical),
            pairs: self.publish_critical(
                self.presence_of_pairs.iter().map(|(&(step, then), &with)| (step, Some(then), with)),
                limits.critical,
            ),
        }
    }

    fn place(&self, place: Place<Index>) -> Place<&str> {
        match place {
            Place::Start => Place::Start,
            Place::Step(step) => Place::Step(self.names.of(step)),
            Place::Goal => Place::Goal,
            Place::Lost => Place::Lost,
        }
    }

    fn publish_transitions(&self, limit: usize) -> Ranked<Transition<'_>> {
        let mut left: BTreeMap<Place<Index>, i64> = BTreeMap::new();
        for (&(from, _), &n) in &self.transitions {
            let left = left.entry(from).or_default();
            *left = left.wrapping_add(n);
        }
        let all = self.transitions.iter().filter(|(_, n)| **n > 0);
        let mut rest = Rest::default();
        let transitions = all.map(|(&(from, to), &n)| {
            rest.add(n);
            // Where counts contradict each other for a moment, no more than all of it.
            let share = n as f64 / left[&from].max(n) as f64;
            Transition { from: self.place(from), to: self.place(to), n, share }
        });
        let shown = first(transitions, limit, |a, b| b.n.cmp(&a.n).then_with(|| (a.from, a.to).cmp(&(b.from, b.to))));
        let other = rest.without(shown.iter().map(|it| it.n));
        Ranked { shown, other }
    }

    fn publish_paths(&self, limit: usize) -> Ranked<TravelledPath<'_>> {
        let shown: Vec<TravelledPath<'_>> = self
            .leaders
            .iter()
            .take(limit)
            .map(|(steps, leader)| TravelledPath {
                steps: steps.iter().map(|step| &**step).collect(),
                n: leader.goal.n,
                lost: leader.lost,
                times: times(&leader.goal),
            })
            .collect();
        let other = self.to_goal.without(shown.iter().map(|path| path.n));
        Ranked { shown, other }
    }

    fn publish_ends(&self, limit: usize) -> Ranked<LastStep<'_>> {
        let mut rest = Rest::default();
        let lost = self.transitions.iter().filter(|((_, to), n)| *to == Place::Lost && **n > 0);
        let lasts = lost.map(|(&(from, _), &n)| {
            rest.add(n);
            let step = match from {
                Place::Step(step) => Some(self.names.of(step)),
                Place::Start | Place::Goal | Place::Lost => None,
            };
            LastStep { step, n }
        });
        let shown = first(lasts, limit, |a, b| b.n.cmp(&a.n).then_with(|| a.step.cmp(&b.step)));
        let other = rest.without(shown.iter().map(|it| it.n));
        Ranked { shown, other }
    }

    fn publish_critical(
        &self,
        candidates: impl Iterator<Item = (Index, Option<Index>, Ends)>,
        limit: usize,
    ) -> Ranked<Critical<'_>, Compared> {
        let mut other = Compared::default();
        let raising = candidates.filter_map(|(step, then, with)| {
            let without = self.ends.without(with);
            let is_consistent = [with.goal, with.lost, without.goal, without.lost].iter().all(|count| *count >= 0);
            if !is_consistent || with.n().min(without.n()) < OBSERVATIONS_MIN {
                return None;
            }
            other.compared += 1;
            // In integers first: most of the comparisons end here.
            let rises =
                i128::from(with.goal) * i128::from(without.n()) > i128::from(without.goal) * i128::from(with.n());
            let difference =
                rises.then(|| difference_of_shares((with.goal, with.n()), (without.goal, without.n()))).flatten()?;
            other.kinds += 1;
            Some(Critical {
                step: self.names.of(step),
                then: then.map(|then| self.names.of(then)),
                with,
                without,
                difference,
            })
        });
        let shown = first(raising, limit, |a, b| {
            let by_certainty = b.difference.low.total_cmp(&a.difference.low);
            let by_rise = || b.difference.value.total_cmp(&a.difference.value);
            by_certainty.then_with(by_rise).then_with(|| (a.step, a.then).cmp(&(b.step, b.then)))
        });
        other.kinds -= shown.len();
        Ranked { shown, other }
    }

    /// The steps by name, each with its index: what attribution stands on.
    pub(super) fn steps(&self) -> impl Iterator<Item = (&str, Index)> {
        self.names.by_name.iter().map(|(name, &index)| (&**name, index))
    }

    pub(super) fn transitions(&self) -> impl Iterator<Item = (Place<Index>, Place<Index>, i64)> {
        self.transitions.iter().map(|(&(from, to), &n)| (from, to, n))
    }

    pub(super) fn presence(&self, step: Index) -> Ends {
        self.presence.get(&step).copied().unwrap_or_default()
    }

    /// By length of the path.
    pub(super) fn stands(&self, step: Index) -> impl Iterator<Item = (usize, Stands)> {
        self.stands.range((step, 0)..=(step, usize::MAX)).map(|(&(_, length), &stands)| (length, stands))
    }
}

fn times(journeys: &Accumulator) -> Times {
    Times {
        sum_ms: journeys.sum,
        p50_ms: percentile(&journeys.buckets, journeys.n, 50),
        p90_ms: percentile(&journeys.buckets, journeys.n, 90),
    }
}
