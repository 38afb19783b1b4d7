//! A month's kinds of contact and what purchases are credited to in, one department's part of it out.
//!
//! - *Feeling*: its mean score and sentiment, less those of all other departments, with Welch's interval, as in
//!   [`super::balance`].
//! - *Contribution*, *cost*, *net*: its part of the credited purchases and of what all took, as in [`super::balance`]: summed over its
//!   kinds of contact. Without credits there is no contribution and no net.
//! - *Promises*: deliveries that its touchpoints told of and that had been promised, by whomever; *kept*: those on time.
//! - *Cases*: its touchpoints of kind `case_opened`.
//!
//! *Assumed*: what attribution assumes. *Not to be concluded*: that a department whose net is below zero could be saved on: who
//! keeps customers is credited with no purchase; nor that whoever tells of a late delivery made it late.

use super::{
    balance::{Contact, CostBasis, feeling},
    contacts::{Contacts, Credited},
    statistics::{Difference, Sums},
};
use crate::model::{Capacities, Kind, parse_contact};

/// A department's month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scorecard {
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
}

/// The scorecard of a spoke. `None` without a touchpoint of it, and while counts are negative.
pub fn scorecard(contacts: &Contacts, credited: &Credited, spoke: &str) -> Option<Scorecard> {
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
    if touchpoints == 0 {
        return None;
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
    })
}
