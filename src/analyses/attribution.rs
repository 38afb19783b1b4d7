//! A family's journeys in, and out how the conversions are credited to the steps, by five rules beside each other.
//!
//! *Formula.*
//!
//! - **Markov**: journeys are a chain of the first order, START → steps → CONVERSION | NULL, with the transition counts as probabilities. The *removal
//!   effect* of a step is the part of the conversions that is lost where the step leads to NULL:
//!   `RE(c) = 1 − P(conversion | c leads to NULL) / P(conversion)`; its credit `RE(c) / ΣRE · conversions`.
//! - **First**, **last**: all to the first or last step. **Linear**: the same to each step of a path, a step that comes twice
//!   counting twice. **Position-based**: 40 % to the first, 40 % to the last, 20 % in equal parts to those between; half each
//!   where there are two, all to the only one.
//!
//! *Source.* Markov: E. Anderl, I. Becker, F. von Wangenheim, J. H. Schumann, "Mapping the customer journey: lessons learned from
//! graph-based online attribution modeling", International Journal of Research in Marketing 33, 2016. Position-based: the usual
//! "U-shaped" rule of web analytics, as Google Analytics had it.
//!
//! The chain is solved, never simulated. With `N = (I − Q)⁻¹` over the steps (expected visits), `v` the expected visits from
//! START and `h` the chance to convert from each step, a step is ever visited with probability `v(c) / N(c,c)` (J. G. Kemeny,
//! J. L. Snell, "Finite Markov chains", 1960, theorem 3.5.7), and what is lost with it is `v(c) · h(c) / N(c,c)`: one inverse
//! answers all removals, and nothing has to be solved again for each. `I − Q` is diagonally dominant by rows, so elimination needs no exchange of
//! rows; each diagonal element is computed as what leaves the step rather than as a difference from one (W. K. Grassmann, M. I.
//! Taksar, D. P. Heyman, 1985), so that a step that is rarely left loses no digits.
//!
//! Steps that no journey reaches and steps from which none converts have no part in conversions: they are taken out before, and
//! with them everything that could make the system singular. Beyond [`MARKOV_STEPS_MAX`] steps, the less frequent ones are one
//! step of the chain and get its credit together; the other four rules know them all.
//!
//! *Assumptions.* Where a journey goes depends on its last step only. *Credits sum* to the conversions that had a step
//! ([`Attribution::credited`]); those without any are nobody's. They are exact figures about these journeys, so they have no interval.
//!
//! *Smallest n.* [`OBSERVATIONS_MIN`] conversions: with few, credits change much by chance.
//!
//! *What not to conclude.* That switching a step off would lose its credit. The rules divide what happened; who was reached was
//! not chosen at random, and without the step they might have come another way. That the rules differ for a step is itself a
//! finding: nobody knows which one is right.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    journeys::{JourneyTable, Place},
    ranking::first,
    statistics::OBSERVATIONS_MIN,
};

/// As many steps as the chain is solved for in a few milliseconds; the work grows with the third power.
pub const MARKOV_STEPS_MAX: usize = 300;

/// How conversions are credited to steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution<'a> {
    /// Conversions.
    pub conversions: i64,
    /// Those that had a step: what the credits of each rule sum to.
    pub credited: i64,
    /// The chance that a journey of the chain converts, 0..1. In a chain that is counted from whole journeys it is their share.
    pub conversion_chance: f64,
    /// The steps with the greatest Markov credit, first things first.
    pub shown: Vec<StepCredit<'a>>,
    /// The others together.
    pub other: OtherSteps,
}

/// What a step is credited with.
#[derive(Clone, Debug, PartialEq)]
pub struct StepCredit<'a> {
    /// The step.
    pub step: &'a str,
    /// Conversions whose journey held it.
    pub conversions: i64,
    /// The part of all conversions that is lost where it leads to NULL, 0..1. Absent for steps that the chain has as one.
    pub removal_effect: Option<f64>,
    /// Its credits.
    pub credits: Credits,
}

/// Credits by rule, in conversions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Credits {
    /// By removal effect.
    pub markov: f64,
    /// All to the first step.
    pub first: f64,
    /// All to the last step.
    pub last: f64,
    /// The same to each.
    pub linear: f64,
    /// 40/20/40.
    pub position: f64,
}

impl Credits {
    fn add(&mut self, other: Credits) {
        self.markov += other.markov;
        self.first += other.first;
        self.last += other.last;
        self.linear += other.linear;
        self.position += other.position;
    }
}

/// Steps that are not shown, together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OtherSteps {
    /// How many.
    pub kinds: usize,
    /// Their credits.
    pub credits: Credits,
}

/// The credits of a family. `None` below [`OBSERVATIONS_MIN`] conversions with a step, and while its counts contradict each
/// other.
pub fn attribute(table: &JourneyTable, limit: usize) -> Option<Attribution<'_>> {
    let attribution = attribute_any(table, limit)?;
    (attribution.credited >= OBSERVATIONS_MIN).then_some(attribution)
}

/// The credits of a family with any number of conversions.
pub(super) fn attribute_any(table: &JourneyTable, limit: usize) -> Option<Attribution<'_>> {
    if table.transitions().any(|(_, _, n)| n < 0) {
        return None;
    }
    let steps: Vec<(&str, u32)> = table.steps().collect();
    let conversions = table.ended().goal;
    let mut without_step = 0;
    let mut reached: BTreeMap<u32, i64> = BTreeMap::new();
    for (from, to, n) in table.transitions() {
        match (from, to) {
            (Place::Start, Place::Goal) => without_step = n,
            (_, Place::Step(step)) => *reached.entry(step).or_default() += n,
            _ => {}
        }
    }
    let credited = conversions.checked_sub(without_step).filter(|credited| *credited >= 0)?;

    // States of the chain: the most frequent steps, and the others as one.
    let states_of = |step: u32| reached.get(&step).copied().unwrap_or_default();
    let mut by_frequency: Vec<usize> = (0..steps.len()).collect();
    by_frequency.sort_by(|&a, &b| states_of(steps[b].1).cmp(&states_of(steps[a].1)).then(a.cmp(&b)));
    let together = if steps.len() > MARKOV_STEPS_MAX { MARKOV_STEPS_MAX - 1 } else { steps.len() };
    let mut state: BTreeMap<u32, usize> = BTreeMap::new();
    // In the order of the names, so that sums of floats do not depend on how the table was filled.
    let mut kept: Vec<usize> = by_frequency[..together].to_vec();
    kept.sort_unstable();
    for (at, &step) in kept.iter().enumerate() {
        state.insert(steps[step].1, at);
    }
    for &step in &by_frequency[together..] {
        state.insert(steps[step].1, together);
    }
    let states = together + usize::from(steps.len() > together);
    let mut chain = Chain::new(states);
    for (from, to, n) in table.transitions() {
        chain.add(map(from, &state), map(to, &state), n);
    }
    let removal = chain.removal_effects();
    let sum: f64 = removal.effects.iter().sum();
    let unit = if sum > 0.0 { credited as f64 / sum } else { 0.0 };

    let mut credits: Vec<StepCredit<'_>> = Vec::with_capacity(steps.len());
    let mut one_for_many = Credits::default();
    if states > together {
        one_for_many.markov = removal.effects[together] * unit;
    }
    for &(name, step) in &steps {
        let mut credit = simple_credits(table, step);
        let at = state[&step];
        let removal_effect = (at < together).then(|| removal.effects[at]);
        credit.markov = removal_effect.unwrap_or_default() * unit;
        let conversions = table.presence(step).goal;
        credits.push(StepCredit { step: name, conversions, removal_effect, credits: credit });
    }
    let order = |a: &StepCredit<'_>, b: &StepCredit<'_>| -> Ordering {
        b.credits.markov.total_cmp(&a.credits.markov).then_with(|| a.step.cmp(b.step))
    };
    let mut other = OtherSteps { kinds: 0, credits: one_for_many };
    let shown = first(credits.iter().cloned(), limit, order);
    if let Some(last) = shown.last().or(credits.first()) {
        for credit in credits.iter().filter(|credit| shown.is_empty() || order(last, credit) == Ordering::Less) {
            other.kinds += 1;
            other.credits.add(credit.credits);
        }
    }
    Some(Attribution { conversions, credited, conversion_chance: removal.conversion_chance, shown, other })
}

fn map(place: Place<u32>, state: &BTreeMap<u32, usize>) -> Place<usize> {
    match place {
        Place::Start => Place::Start,
        Place::Step(step) => Place::Step(state[&step]),
        Place::Goal => Place::Goal,
        Place::Lost => Place::Lost,
    }
}

/// All but the Markov credit.
fn simple_credits(table: &JourneyTable, step: u32) -> Credits {
    let mut credits = Credits::default();
    for (length, stands) in table.stands(step) {
        let (first, last, anywhere) = (stands.first as f64, stands.last as f64, stands.anywhere as f64);
        credits.first += first;
        credits.last += last;
        credits.linear += anywhere / length as f64;
        credits.position += match length {
            1 => anywhere,
            2 => anywhere / 2.0,
            _ => {
                let between = stands.anywhere.wrapping_sub(stands.first).wrapping_sub(stands.last) as f64;
                0.4 * first + 0.4 * last + 0.2 / (length - 2) as f64 * between
            }
        };
    }
    credits
}

/// An absorbing chain as counts: START → steps → CONVERSION | NULL.
#[derive(Clone, Debug)]
pub struct Chain {
    steps: usize,
    start: Vec<i64>,
    start_goal: i64,
    start_lost: i64,
    /// Row by row.
    between: Vec<i64>,
    goal: Vec<i64>,
    lost: Vec<i64>,
}

/// What a chain says.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovalEffects {
    /// The chance to convert, 0..1.
    pub conversion_chance: f64,
    /// By step: the part of it that is lost where the step leads to NULL. All zero where nothing converts.
    pub effects: Vec<f64>,
}

impl Chain {
    /// A chain of so many steps in which nothing happened yet.
    pub fn new(steps: usize) -> Chain {
        Chain {
            steps,
            start: vec![0; steps],
            start_goal: 0,
            start_lost: 0,
            between: vec![0; steps * steps],
            goal: vec![0; steps],
            lost: vec![0; steps],
        }
    }

    /// Adds `n` ≥ 0 transitions. Nothing leads to the start, and from an end nothing leads anywhere: there, nothing is added.
    pub fn add(&mut self, from: Place<usize>, to: Place<usize>, n: i64) {
        let count = match (from, to) {
            (Place::Start, Place::Step(to)) => &mut self.start[to],
            (Place::Start, Place::Goal) => &mut self.start_goal,
            (Place::Start, Place::Lost) => &mut self.start_lost,
            (Place::Step(from), Place::Step(to)) => &mut self.between[from * self.steps + to],
            (Place::Step(from), Place::Goal) => &mut self.goal[from],
            (Place::Step(from), Place::Lost) => &mut self.lost[from],
            (_, Place::Start) | (Place::Goal | Place::Lost, _) => return,
        };
        *count = count.saturating_add(n.max(0));
    }

    /// Steps that can be reached from the start and from which a conversion can be reached.
    fn living(&self) -> Vec<usize> {
        let n = self.steps;
        let spread = |mut found: Vec<bool>, leads: &dyn Fn(usize, usize) -> bool| {
            let mut edge: Vec<usize> = (0..n).filter(|&step| found[step]).collect();
            while let Some(at) = edge.pop() {
                for (next, seen) in found.iter_mut().enumerate() {
                    if !*seen && leads(at, next) {
                        *seen = true;
                        edge.push(next);
                    }
                }
            }
            found
        };
        let reached = spread(self.start.iter().map(|n| *n > 0).collect(), &|at, next| self.between[at * n + next] > 0);
        let converting =
            spread(self.goal.iter().map(|n| *n > 0).collect(), &|at, next| self.between[next * n + at] > 0);
        (0..n).filter(|&step| reached[step] && converting[step]).collect()
    }

    /// The chance to convert, and what each step's removal takes from it.
    pub fn removal_effects(&self) -> RemovalEffects {
        let mut effects = vec![0.0; self.steps];
        let sum = |counts: &[i64]| counts.iter().map(|n| *n as f64).sum::<f64>();
        let started = sum(&self.start) + self.start_goal as f64 + self.start_lost as f64;
        if started <= 0.0 {
            return RemovalEffects { conversion_chance: 0.0, effects };
        }
        let living = self.living();
        let m = living.len();
        // I − Q over the living steps, its off-diagonal negated, with what leaves them all in the last column.
        let mut matrix = vec![0.0; m * (m + 1)];
        let mut to_goal = vec![0.0; m];
        for (row, &from) in living.iter().enumerate() {
            let counts = &self.between[from * self.steps..(from + 1) * self.steps];
            // A step that leads to itself only stays longer: without that, the same chance to convert and the same visits at all.
            let left = sum(counts) - counts[from] as f64 + self.goal[from] as f64 + self.lost[from] as f64;
            let mut staying = 0.0;
            for (column, &to) in living.iter().enumerate().filter(|(column, _)| *column != row) {
                let chance = counts[to] as f64 / left;
                matrix[row * (m + 1) + column] = chance;
                staying += counts[to] as f64;
            }
            matrix[row * (m + 1) + m] = (left - staying) / left;
            to_goal[row] = self.goal[from] as f64 / left;
        }
        let start: Vec<f64> = living.iter().map(|&step| self.start[step] as f64 / started).collect();
        let solved = Solved::of(matrix, m, &start, &to_goal);
        let through: f64 = start.iter().zip(&solved.chances).map(|(start, chance)| start * chance).sum();
        let conversion_chance = self.start_goal as f64 / started + through;
        if conversion_chance > 0.0 {
            for (at, &step) in living.iter().enumerate() {
                let lost = solved.visits[at] * solved.chances[at] / solved.returns[at];
                effects[step] = (lost / conversion_chance).clamp(0.0, 1.0);
            }
        }
        RemovalEffects { conversion_chance, effects }
    }
}

/// What the inverse of `I − Q` says about each step.
struct Solved {
    /// Expected visits from the start.
    visits: Vec<f64>,
    /// The chance to convert from it.
    chances: Vec<f64>,
    /// Expected visits from itself: the inverse's diagonal.
    returns: Vec<f64>,
}

impl Solved {
    /// `matrix` has m rows: the chances of going to each other living step, and last that of leaving them. Diagonal elements are
    /// not looked at: they are one less nothing, since a step does not lead to itself.
    fn of(mut matrix: Vec<f64>, m: usize, start: &[f64], to_goal: &[f64]) -> Solved {
        let width = m + 1;
        // U's diagonal. L below the diagonal and U above it are kept negated: no element is negative, and nothing is subtracted.
        let mut pivots = vec![0.0; m];
        for k in 0..m {
            let (above, below) = matrix.split_at_mut((k + 1) * width);
            let row = &above[k * width..];
            let pivot: f64 = row[k + 1..].iter().sum();
            pivots[k] = pivot;
            for other in below.chunks_exact_mut(width) {
                let factor = other[k] / pivot;
                other[k] = factor;
                if factor > 0.0 {
                    for (element, &own) in other[k + 1..].iter_mut().zip(&row[k + 1..]) {
                        *element += factor * own;
                    }
                }
            }
            // The elimination has filled diagonal elements too, with a return to the step itself. They are never read: a pivot is
            // what leaves to later steps or for good.
        }
        let upper = |row: usize, column: usize| matrix[row * width + column];
        let mut solved = Solved { visits: start.to_vec(), chances: to_goal.to_vec(), returns: vec![0.0; m] };
        // (I − Q)ᵀ v = start: first Uᵀ, then Lᵀ.
        for (k, pivot) in pivots.iter().enumerate() {
            let value = solved.visits[k] / pivot;
            solved.visits[k] = value;
            for later in k + 1..m {
                solved.visits[later] += upper(k, later) * value;
            }
        }
        for k in (0..m).rev() {
            let value = solved.visits[k];
            for earlier in 0..k {
                solved.visits[earlier] += upper(k, earlier) * value;
            }
        }
        // (I − Q) h = goal: first L, then U.
        for k in 0..m {
            let row = &matrix[k * width..k * width + k];
            solved.chances[k] += row.iter().zip(&solved.chances).map(|(factor, chance)| factor * chance).sum::<f64>();
        }
        for k in (0..m).rev() {
            let row = &matrix[k * width + k + 1..k * width + m];
            let later: f64 = row.iter().zip(&solved.chances[k + 1..]).map(|(own, chance)| own * chance).sum();
            solved.chances[k] = (solved.chances[k] + later) / pivots[k];
        }
        // The diagonal of the inverse, U⁻¹·L⁻¹.
        solved.returns = diagonal_of_inverse(&matrix, &pivots, m);
        solved
    }
}

/// The diagonal of U⁻¹·L⁻¹, from L (with ones on its diagonal) and U, both negated beside the diagonal.
fn diagonal_of_inverse(matrix: &[f64], pivots: &[f64], m: usize) -> Vec<f64> {
    let width = m + 1;
    // Column by column of L⁻¹ would jump through memory: here row r of L⁻¹ from the rows above it, and row r of U⁻¹ from those below.
    let mut lower = vec![0.0; m * m];
    for row in 0..m {
        let (above, own) = lower.split_at_mut(row * m);
        for column in 0..row {
            let factor = matrix[row * width + column];
            if factor > 0.0 {
                for (element, &other) in own[..=column].iter_mut().zip(&above[column * m..=column * m + column]) {
                    *element += factor * other;
                }
            }
        }
        own[row] = 1.0;
    }
    let mut diagonal = vec![0.0; m];
    let mut upper = vec![0.0; m * m];
    for row in (0..m).rev() {
        let (own, below) = upper[row * m..].split_at_mut(m);
        for column in row + 1..m {
            let factor = matrix[row * width + column];
            if factor > 0.0 {
                let other = &below[(column - row - 1) * m..(column - row) * m];
                for (element, &other) in own[column..].iter_mut().zip(&other[column..]) {
                    *element += factor * other;
                }
            }
        }
        own[row] = 1.0;
        for element in &mut own[row..] {
            *element /= pivots[row];
        }
        diagonal[row] = (row..m).map(|k| own[k] * lower[k * m + row]).sum();
    }
    diagonal
}
