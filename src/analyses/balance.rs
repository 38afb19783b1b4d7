//! Every kind of contact in, with what customers feel there, what it contributes and what it costs, and out where to invest and
//! where to save.
//!
//! *Formula.*
//!
//! - *Contribution*: its part of all credited conversions (Markov credits, [`super::attribution`]), 0..1.
//! - *Cost*: its part of all costs; where none are known, of all stated effort; where that is not known either, of all
//!   touchpoints ([`CostBasis`]).
//! - *Net* = contribution − cost: above zero it brings a greater part than it takes. Over all contacts it sums to zero, so it is one
//!   ranking of what the same money could do elsewhere.
//! - *Feeling*: the mean score, and the mean sentiment, less that of all other contacts, each with Welch's interval
//!   ([`difference_of_means`]).
//! - *Drivers*: of what customers felt at contacts of the kind (a person's mean in the month: csat, nps, sentiment, time to the first
//!   reply where that was one, share on time and lateness of deliveries that were told of there), the correlation with buying again in
//!   the month, over the customers of whom both are known ([`super::drivers`]). It has no part in net or advice. How often
//!   somebody was contacted is none of them: who buys much is written to much.
//! - *Use*: touchpoints per capacity, where one is configured.
//!
//! The advice is a reading of these, not another figure. *Invest*: it brings more than it takes, and either customers feel worse there
//! than elsewhere or its capacity is used to nine tenths; never where costs were left out since they are in another currency: exchange
//! rates are not known here, and it takes more than is seen. *Save*: it takes more than it brings, and customers feel no better there
//! than elsewhere. *Keep*: all else; what costs much and pleases is kept.
//!
//! The feed takes scores from answers of 1–5 (csat) alone, since scales do not add up to one; conversions are purchases, first and
//! further ones, each in the month in which its journey ended.
//!
//! *Assumptions.* What attribution and drivers assume.
//!
//! *Smallest n.* [`OBSERVATIONS_MIN`]: conversions of a goal, for its credits; answers on each side, for a feeling; customers, for a driver.
//!
//! *Source.* What each part brings against what it takes, and what is felt there against elsewhere, are our own figures, read as
//! importance–performance analysis reads importance and satisfaction: J. A. Martilla, J. C. James, "Importance-performance analysis",
//! Journal of Marketing 41, 1977. Credits, intervals and correlations: [`super::attribution`], [`super::statistics`], [`super::drivers`].
//!
//! *What not to conclude.* That money moved from the end of the ranking to its beginning brings its
//! part: the next thousand contacts are not like the last. Contacts that prevent a loss (a call that calms a complaint) are
//! credited with no conversion; look at their feeling and at the drivers before saving on them. Nor that what goes together with buying
//! again makes customers buy: who is content in general answers well everywhere.

use super::{
    drivers::{Correlation, Pairs},
    ranking::Ranked,
    statistics::{Difference, OBSERVATIONS_MIN, Sums, difference_of_means},
};
use crate::model::Measure;

/// From this use of its capacity on, a contact has no room.
const USE_FULL: f64 = 0.9;

/// Which contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContactKey<'a> {
    /// The spoke.
    pub spoke: &'a str,
    /// The kind of touchpoint.
    pub kind: &'a str,
    /// The channel.
    pub channel: &'a str,
}

/// What is known of one kind of contact in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact<'a> {
    /// Which.
    pub key: ContactKey<'a>,
    /// How many touchpoints.
    pub touchpoints: i64,
    /// Scores that customers gave there, all on one scale.
    pub scores: Sums,
    /// Their sentiment there.
    pub sentiment: Sums,
    /// Conversions credited to it.
    pub credit: f64,
    /// What it cost, in minor units.
    pub cost: i64,
    /// How many of its touchpoints had a cost in another currency, which is not in that.
    pub costs_left_out: i64,
    /// What effort it took, in the organisation's unit.
    pub effort: i64,
    /// How many touchpoints the organisation can afford.
    pub capacity: Option<i64>,
    /// Persons by what they felt there and whether they bought again.
    pub pairs: Option<&'a Pairs>,
}

/// What costs are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostBasis {
    /// Costs.
    Cost,
    /// Effort, because no costs are known.
    Effort,
    /// Touchpoints, because neither is known.
    Touchpoints,
}

impl CostBasis {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            CostBasis::Cost => "cost",
            CostBasis::Effort => "effort",
            CostBasis::Touchpoints => "touchpoints",
        }
    }
}

/// What the figures suggest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// More of it, or better.
    Invest,
    /// As it is.
    Keep,
    /// Less of it, or cheaper.
    Save,
}

impl Advice {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Advice::Invest => "invest",
            Advice::Keep => "keep",
            Advice::Save => "save",
        }
    }
}

/// A kind of contact in the ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct Position<'a> {
    /// Which.
    pub key: ContactKey<'a>,
    /// From 1: where investing brings most.
    pub rank: usize,
    /// What is known of it.
    pub contact: Contact<'a>,
    /// Its part of the credited conversions, 0..1.
    pub contribution: f64,
    /// Its part of the costs, 0..1.
    pub cost: f64,
    /// The first less the second.
    pub net: f64,
    /// The mean score there less that elsewhere.
    pub score: Option<Difference>,
    /// The mean sentiment there less that elsewhere.
    pub sentiment: Option<Difference>,
    /// How far what is felt there goes together with buying again.
    pub drivers: Vec<(Measure, Correlation)>,
    /// Touchpoints per capacity.
    pub capacity_use: Option<f64>,
    /// What that suggests.
    pub advice: Advice,
}

/// Contacts in the middle of the ranking, together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OtherContacts {
    /// How many kinds.
    pub kinds: usize,
    /// Their touchpoints.
    pub touchpoints: i64,
    /// Their part of the credited conversions.
    pub contribution: f64,
    /// Their part of the costs.
    pub cost: f64,
}

/// A window's balance.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance<'a> {
    /// What costs are compared by.
    pub cost_basis: CostBasis,
    /// Touchpoints of all kinds.
    pub touchpoints: i64,
    /// What they cost, by [`Balance::cost_basis`]: what the parts of the cost are parts of.
    pub cost: f64,
    /// Conversions credited: what the contributions are parts of.
    pub credit: f64,
    /// The ranking's beginning and its end, in order.
    pub ranking: Ranked<Position<'a>, OtherContacts>,
}

/// The balance of all kinds of contact, each given once. Of the ranking, `limit` are shown: the first half where to invest, the
/// other half where to save. `None` without touchpoints, without any credit, and while counts are negative.
pub fn balance<'a>(contacts: &[Contact<'a>], limit: usize) -> Option<Balance<'a>> {
    let is_consistent = |it: &Contact<'_>| {
        it.touchpoints >= 0 && it.cost >= 0 && it.effort >= 0 && it.credit >= 0.0 && it.credit.is_finite()
    };
    if !contacts.iter().all(is_consistent) {
        return None;
    }
    // In the order of the keys, so that sums of floats do not depend on how they came.
    let mut contacts: Vec<&Contact<'a>> = contacts.iter().collect();
    contacts.sort_unstable_by_key(|it| it.key);
    let total = |of: fn(&Contact<'_>) -> i64| contacts.iter().map(|it| i128::from(of(it))).sum::<i128>() as f64;
    let bases: [(CostBasis, fn(&Contact<'_>) -> i64); 3] = [
        (CostBasis::Cost, |it| it.cost),
        (CostBasis::Effort, |it| it.effort),
        (CostBasis::Touchpoints, |it| it.touchpoints),
    ];
    let (cost_basis, cost_of) = bases.into_iter().find(|(_, of)| total(*of) > 0.0)?;
    let (cost, credit) = (total(cost_of), contacts.iter().map(|it| it.credit).sum::<f64>());
    if credit <= 0.0 {
        return None;
    }
    let sum = |of: fn(&Contact<'_>) -> Sums| {
        contacts.iter().fold(Sums::default(), |sum, it| {
            let part = of(it);
            Sums {
                n: sum.n.wrapping_add(part.n),
                sum: sum.sum.wrapping_add(part.sum),
                squares: sum.squares.wrapping_add(part.squares),
            }
        })
    };
    let (scores, sentiments) = (sum(|it| it.scores), sum(|it| it.sentiment));
    let mut positions: Vec<Position<'a>> = contacts
        .iter()
        .map(|it| {
            let (contribution, cost) = (it.credit / credit, cost_of(it) as f64 / cost);
            let capacity = it.capacity.filter(|capacity| *capacity > 0);
            let mut position = Position {
                key: it.key,
                rank: 0,
                contact: **it,
                contribution,
                cost,
                net: contribution - cost,
                score: feeling(it.scores, scores),
                sentiment: feeling(it.sentiment, sentiments),
                drivers: it.pairs.map(Pairs::with_buying_again).unwrap_or_default(),
                capacity_use: capacity.map(|capacity| it.touchpoints as f64 / capacity as f64),
                advice: Advice::Keep,
            };
            position.advice = advice(&position);
            position
        })
        .collect();
    positions.sort_by(|a, b| b.net.total_cmp(&a.net).then_with(|| a.key.cmp(&b.key)));
    for (at, position) in positions.iter_mut().enumerate() {
        position.rank = at + 1;
    }
    let (invest, save) = (limit.div_ceil(2), limit / 2);
    let mut other = OtherContacts::default();
    if positions.len() > limit {
        for hidden in positions.drain(invest..positions.len() - save) {
            other.kinds += 1;
            other.touchpoints += hidden.contact.touchpoints;
            other.contribution += hidden.contribution;
            other.cost += hidden.cost;
        }
    }
    let touchpoints = contacts.iter().fold(0_i64, |sum, it| sum.wrapping_add(it.touchpoints));
    Some(Balance { cost_basis, touchpoints, cost, credit, ranking: Ranked { shown: positions, other } })
}

pub(super) fn feeling(here: Sums, everywhere: Sums) -> Option<Difference> {
    let elsewhere = everywhere.without(here);
    (here.n.min(elsewhere.n) >= OBSERVATIONS_MIN).then(|| difference_of_means(here, elsewhere)).flatten()
}

fn advice(position: &Position<'_>) -> Advice {
    let feelings = || position.score.into_iter().chain(position.sentiment);
    let is_worse = feelings().any(|it| it.high < 0.0);
    let is_better = !is_worse && feelings().any(|it| it.low > 0.0);
    let is_full = position.capacity_use.is_some_and(|part| part >= USE_FULL);
    // What is left out would make it dearer: nobody knows whether it brings more than it takes.
    let is_cost_known = position.contact.costs_left_out == 0;
    if position.net > 0.0 && is_cost_known && (is_worse || is_full) {
        Advice::Invest
    } else if position.net < 0.0 && !is_better {
        Advice::Save
    } else {
        Advice::Keep
    }
}
