//! A month's kinds of contact and what purchases are credited to in, one department's part of it out.
//!
//! *Formula.*
//!
//! - *Feeling*: its mean score and sentiment, less those of all other departments, with Welch's interval, as in
//!   [`super::balance`].
//! - *Contribution*, *cost*, *net*: its part of the credited purchases and of what all took, as in [`super::balance`]: summed over its
//!   kinds of contact. Without credits there is no contribution and no net.
//! - *Promises*: deliveries that its touchpoints told of and that had been promised, by whomever; *kept*: those on time.
//! - *Open promises*: those that its own touchpoints made up to the month's end and that had not ended by then: not delivered, nor
//!   cancelled, nor replaced by another promise, by whomever. *Overdue* of them: those to be kept by the month's end; of a month that
//!   is not over, some may still be kept in time.
//! - *Cases*: its touchpoints of kind `case_opened`.
//!
//! - *Priorities*: the first [`PRIORITIES`] of the month's ranking ([`super::priorities`]) that it owns, with their rank among all.
//! - *What its failures do to others*: of the persons whom it touched in the month, those with a touchpoint where it failed them
//!   (a delivery later than promised, an answer or review of 1 or 2 of 5, a detractor's answer of 0–6, a sentiment below −20)
//!   against those without one: the cases that a person opened at *other* departments, and the person's mean answer of 1–5 to
//!   *other* departments, each as the difference of the means, failed less not failed, with Welch's interval
//!   ([`difference_of_means`]).
//! - *Part in drivers*: of what customers felt at its own touchpoints (a person's mean in the month: csat, nps, sentiment, time to
//!   the first reply that it gave, share on time and lateness of deliveries that it told of), the correlation with buying again in
//!   the month, over the customers of whom both are known ([`super::drivers`]).
//!   The number of messages is no part of it: its effect is that of all departments' messages together.
//! - *Alerts*: those about customers and about metrics that it owns, that opened in the month and are open now, acknowledged or not, by
//!   cause. Where there is no touchpoint of it in the month, they are all that is said, beside its open promises.
//! - *Data quality*: what arrived from it in the month, by outcome, as `data_quality` counts it: copies and arrivals, by the day on which
//!   they came. It is the one part of a card that does not follow from the set of touchpoints.
//!
//! *Smallest n.* [`OBSERVATIONS_MIN`] answers or persons on each side of a comparison, and customers for a part in drivers; counts from one on.
//!
//! *Source.* That a department is judged by what customers feel, by money, by what it is about to fix and by what its work does elsewhere, and
//! not by one number, is the idea of R. S. Kaplan, D. P. Norton, "The balanced scorecard: measures that drive performance", Harvard
//! Business Review 70, 1992. Which figures are on the card, and what its failures do to others, is our own; each figure's own source is named
//! where it is computed: [`super::attribution`], [`super::drivers`], [`super::priorities`], [`super::statistics`].
//!
//! *Assumptions.* What attribution, priorities and drivers assume; and that whom it failed is like whom it did not fail but for the failure.
//!
//! *What not to conclude.* That a department whose net is below zero could be saved on: who
//! keeps customers is credited with no purchase; nor that whoever tells of a late delivery made it late; nor that its failures
//! *cause* what others see: who is unhappy with one department is readily so with the next, who has more contacts has more of
//! both, and within a month what others see may come before the failure. It is where departments should talk to each other.

use std::collections::BTreeMap;

use super::{
    balance::{Contact, CostBasis, feeling},
    contacts::{Contacts, Credited},
    drivers::{Correlation, PairSums, Pairs},
    priorities::{Priority, PriorityTable, SCORE_RANGE, Stated},
    statistics::{Difference, OBSERVATIONS_MIN, Sums, difference_of_means},
};
use crate::model::{Accumulator, AlertCause, Capacities, Kind, Measure, Outcome, parse_contact};

/// So many priorities are on a scorecard.
pub const PRIORITIES: usize = 5;

/// What persons of a department did and thought elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// The cases that each of them opened.
    pub cases: Sums,
    /// The mean answer of each who gave any, in [`super::priorities::SCORE_UNIT`]s.
    pub scores: Sums,
}

/// Promises that a department has made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// Those that have not ended.
    pub open: i64,
    /// Those of them that are to be kept by now.
    pub overdue: i64,
}

impl Promises {
    /// Adds the changes of a month: [`crate::model::DepartmentElement::Promises`].
    pub fn add(&mut self, changes: &Accumulator) {
        self.open = self.open.wrapping_add(changes.n);
        self.overdue = self.overdue.wrapping_add(changes.a);
    }
}

/// What is summed over a department's month besides its kinds of contact. An element of an abelian group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Department {
    /// Persons with a touchpoint where it failed them.
    failed: Elsewhere,
    /// The others that it touched.
    others: Elsewhere,
    /// As changes.
    promises: Promises,
    alerts: BTreeMap<AlertCause, i64>,
    pairs: Pairs,
}

impl Department {
    /// Persons whom it failed, or those whom it did not.
    pub fn side(&mut self, failed: bool) -> &mut Elsewhere {
        if failed { &mut self.failed } else { &mut self.others }
    }

    /// Adds the month's changes of promises.
    pub fn add_promises(&mut self, changes: &Accumulator) {
        self.promises.add(changes);
    }

    /// Adds open alerts about customers, or takes them back.
    pub fn add_alerts(&mut self, cause: AlertCause, n: i64) {
        let sum = self.alerts.entry(cause).or_default();
        *sum = sum.wrapping_add(n);
        if *sum == 0 {
            self.alerts.remove(&cause);
        }
    }

    /// Adds sums over persons with two measures, by their numbers.
    pub fn add_pair(&mut self, pair: (u8, u8), sums: &PairSums) {
        self.pairs.add(pair, sums);
    }

    /// Whether nothing is left.
    pub fn is_zero(&self) -> bool {
        *self == Department::default()
    }
}

/// The same figure of two groups of persons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// Of those whom the department failed.
    pub failed: Sums,
    /// Of the others.
    pub others: Sums,
    /// The first mean less the second.
    pub difference: Option<Difference>,
}

impl Effect {
    fn of(failed: Sums, others: Sums) -> Effect {
        let are_enough = failed.n.min(others.n) >= OBSERVATIONS_MIN;
        let difference = are_enough.then(|| difference_of_means(failed, others)).flatten();
        Effect { failed, others, difference }
    }
}

/// A department's month.
#[derive(Clone, Debug, PartialEq)]
pub struct Scorecard<'a> {
    /// Its touchpoints.
    pub touchpoints: i64,
    /// Of those, cases opened.
    pub cases: i64,
    /// Answers of 1–5 there.
    pub scores: Sums,
    /// Their mean less that of all other departments.
    pub score: Option<Difference>,
    /// Sentiment there.
    pub sentiments: Sums,
    /// Its mean less that of all other departments.
    pub sentiment: Option<Difference>,
    /// Purchases credited to it.
    pub credit: f64,
    /// Its part of all credited purchases, 0..1.
    pub contribution: Option<f64>,
    /// What costs are compared by.
    pub cost_basis: CostBasis,
    /// Its part of the costs, 0..1.
    pub cost: f64,
    /// The contribution less that.
    pub net: Option<f64>,
    /// Deliveries that had been promised.
    pub promises: i64,
    /// Those on time.
    pub kept: i64,
    /// Promises that it made and that are open at the month's end.
    pub open_promises: Promises,
    /// The first priorities that it owns, each with its rank among all.
    pub priorities: Vec<(usize, Priority<'a>)>,
    /// How many more it owns.
    pub other_priorities: usize,
    /// Cases that persons opened at other departments.
    pub cases_elsewhere: Effect,
    /// Persons' mean answers to other departments, in [`super::priorities::SCORE_UNIT`]s.
    pub scores_elsewhere: Effect,
    /// How far what is felt at its touchpoints goes together with buying again.
    pub drivers: Vec<(Measure, Correlation)>,
    /// Open alerts that it owns.
    pub alerts: Vec<(AlertCause, i64)>,
    /// What arrived from it, by outcome: outside the promise.
    pub arrived: BTreeMap<Outcome, i64>,
}

/// What a department's month is read from.
#[derive(Clone, Debug)]
pub struct MonthOf<'a> {
    /// All kinds of contact.
    pub contacts: &'a Contacts,
    /// What purchases are credited to.
    pub credited: &'a Credited,
    /// What else is summed over the department.
    pub department: &'a Department,
    /// All persons by subject.
    pub priorities: &'a PriorityTable,
    /// What the organisation states about subjects.
    pub stated: &'a Stated,
    /// Promises of the department that are open at the month's end.
    pub promises: Promises,
    /// Open alerts about metrics that it owns.
    pub metric_alerts: i64,
    /// What arrived from it in the month, by outcome.
    pub arrived: BTreeMap<Outcome, i64>,
}

/// The scorecard of a spoke. `None` without a touchpoint or an open alert of it, and while counts are negative.
pub fn scorecard<'a>(month: MonthOf<'a>, spoke: &str) -> Option<Scorecard<'a>> {
    let MonthOf { contacts, credited, department, promises: open_promises, arrived, .. } = month;
    let is_of = |name: &str| parse_contact(name).is_some_and(|(of, ..)| of == spoke);
    let (mut promises, mut kept) = (0_i64, 0_i64);
    for (_, sums) in contacts.iter().filter(|(name, _)| is_of(name)) {
        promises = promises.wrapping_add(sums.promises);
        kept = kept.wrapping_add(sums.kept);
    }
    let capacities = Capacities::default();
    let all = contacts.contacts(credited, &capacities);
    if all.iter().any(|it| it.touchpoints < 0) {
        return None;
    }
    let own = || all.iter().filter(|it| it.key.spoke == spoke);
    let count = |of: fn(&Contact<'_>) -> bool| {
        own().filter(|it| of(it)).fold(0_i64, |sum, it| sum.wrapping_add(it.touchpoints))
    };
    let touchpoints = count(|_| true);
    let mut alerts = department.alerts.clone();
    *alerts.entry(AlertCause::MetricUnusual).or_default() += month.metric_alerts;
    let alerts: Vec<_> = alerts.into_iter().filter(|(_, n)| *n > 0).collect();
    if touchpoints == 0 {
        let is_something = !alerts.is_empty();
        return is_something.then(|| Scorecard { alerts, open_promises, arrived, ..Scorecard::default() });
    }
    let total = |of: fn(&Contact<'_>) -> i64| all.iter().map(|it| i128::from(of(it))).sum::<i128>() as f64;
    let bases: [(CostBasis, fn(&Contact<'_>) -> i64); 3] = [
        (CostBasis::Cost, |it| it.cost),
        (CostBasis::Effort, |it| it.effort),
        (CostBasis::Touchpoints, |it| it.touchpoints),
    ];
    let (cost_basis, cost_of) = bases.into_iter().find(|(_, of)| total(*of) > 0.0)?;
    let cost = own().map(|it| i128::from(cost_of(it))).sum::<i128>() as f64 / total(cost_of);
    let (credit, credits) = (own().map(|it| it.credit).sum::<f64>(), all.iter().map(|it| it.credit).sum::<f64>());
    let contribution = (credits > 0.0).then(|| credit / credits);
    let sums = |of: fn(&Contact<'_>) -> Sums| {
        let everywhere = all.iter().fold(Sums::default(), |sum, it| sum.and(of(it)));
        let here = own().fold(Sums::default(), |sum, it| sum.and(of(it)));
        (here, feeling(here, everywhere))
    };
    let ((scores, score), (sentiments, sentiment)) = (sums(|it| it.scores), sums(|it| it.sentiment));
    let ranked = month.priorities.prioritise(month.stated, SCORE_RANGE, usize::MAX).shown;
    let mut owned = (1..).zip(ranked).filter(|(_, priority)| priority.subject.spoke == spoke);
    let priorities: Vec<_> = owned.by_ref().take(PRIORITIES).collect();
    let (failed, others) = (&department.failed, &department.others);
    Some(Scorecard {
        touchpoints,
        cases: count(|it| it.key.kind == Kind::CaseOpened.as_str()),
        scores,
        score,
        sentiments,
        sentiment,
        credit,
        contribution,
        cost_basis,
        cost,
        net: contribution.map(|contribution| contribution - cost),
        promises,
        kept,
        open_promises,
        priorities,
        other_priorities: owned.count(),
        cases_elsewhere: Effect::of(failed.cases, others.cases),
        scores_elsewhere: Effect::of(failed.scores, others.scores),
        drivers: department.pairs.with_buying_again(),
        alerts,
        arrived,
    })
}

impl Default for Scorecard<'_> {
    /// That of a month without a touchpoint.
    fn default() -> Self {
        let nothing = Effect::of(Sums::default(), Sums::default());
        Scorecard {
            touchpoints: 0,
            cases: 0,
            scores: Sums::default(),
            score: None,
            sentiments: Sums::default(),
            sentiment: None,
            credit: 0.0,
            contribution: None,
            cost_basis: CostBasis::Touchpoints,
            cost: 0.0,
            net: None,
            promises: 0,
            kept: 0,
            open_promises: Promises::default(),
            priorities: Vec::new(),
            other_priorities: 0,
            cases_elsewhere: nothing,
            scores_elsewhere: nothing,
            drivers: Vec::new(),
            alerts: Vec::new(),
            arrived: BTreeMap::new(),
        }
    }
}
