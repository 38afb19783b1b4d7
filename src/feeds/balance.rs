//! `insight.balance`: a month's kinds of contact, ranked, in; where to invest and where to save, as the public sees it, out.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    metrics::WindowShape,
    names::Names,
    notation::{Notation, finite},
    scorecards::DriverShape,
    table::Feed,
};
use crate::{
    analyses::{
        balance::{self, OtherContacts, Position},
        statistics::{Difference, OBSERVATIONS_MIN, Sums},
    },
    model::{Currency, Status, Window},
};

/// The feed `insight.balance`. Key: [`crate::model::keys::analysis_of_company`].
#[derive(Debug)]
pub enum Balance {}

/// What is published of one month.
#[derive(Clone, Copy, Debug)]
pub struct BalanceRecord<'a> {
    /// The month.
    pub window: Window,
    /// The currency of costs.
    pub currency: Currency,
    /// What was found.
    pub balance: &'a balance::Balance<'a>,
    /// Counts the publications of this key, from 1.
    pub revision: u64,
    /// Whether the window can still change.
    pub status: Status,
}

impl FeedRecord for Balance {
    const FEED: Feed = Feed::Balance;
    type Record<'a> = BalanceRecord<'a>;
    type Shape<'a, N: Notation> = BalanceShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a BalanceRecord<'a>, _: &Names) -> BalanceShape<'a, N> {
        let balance = record.balance;
        BalanceShape {
            window: WindowShape::of(record.window),
            currency: record.currency.as_str(),
            cost_basis: balance.cost_basis.as_str(),
            touchpoints: balance.touchpoints,
            credited: finite(balance.credit),
            cost: finite(balance.cost),
            contacts: balance.ranking.shown.iter().map(ContactShape::of).collect(),
            other: OtherShape::of(&balance.ranking.other),
            revision: i64::try_from(record.revision).unwrap_or(i64::MAX),
            status: record.status.as_str(),
        }
    }
}

/// The public shape of a month's balance; its fields are documented in `schemas/balance.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct BalanceShape<'a, N> {
    window: WindowShape<N>,
    currency: &'a str,
    cost_basis: &'static str,
    touchpoints: i64,
    credited: Option<f64>,
    cost: Option<f64>,
    contacts: Vec<ContactShape<'a>>,
    other: OtherShape,
    revision: i64,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename = "Contact")]
struct ContactShape<'a> {
    rank: i64,
    spoke: &'a str,
    kind: &'a str,
    channel: &'a str,
    touchpoints: i64,
    cost: i64,
    costs_left_out: i64,
    effort: i64,
    credited: Option<f64>,
    contribution: Option<f64>,
    cost_share: Option<f64>,
    net: Option<f64>,
    score: FeelingShape,
    sentiment: FeelingShape,
    drivers: Vec<DriverShape>,
    capacity: Option<i64>,
    capacity_use: Option<f64>,
    advice: &'static str,
}

impl<'a> ContactShape<'a> {
    fn of(position: &Position<'a>) -> ContactShape<'a> {
        let contact = &position.contact;
        ContactShape {
            rank: i64::try_from(position.rank).unwrap_or(i64::MAX),
            spoke: position.key.spoke,
            kind: position.key.kind,
            channel: position.key.channel,
            touchpoints: contact.touchpoints,
            cost: contact.cost,
            costs_left_out: contact.costs_left_out,
            effort: contact.effort,
            credited: finite(contact.credit),
            contribution: finite(position.contribution),
            cost_share: finite(position.cost),
            net: finite(position.net),
            score: FeelingShape::of(contact.scores, position.score),
            sentiment: FeelingShape::of(contact.sentiment, position.sentiment),
            drivers: position.drivers.iter().map(DriverShape::of).collect(),
            capacity: contact.capacity,
            capacity_use: position.capacity_use.and_then(finite),
            advice: position.advice.as_str(),
        }
    }
}

/// What customers feel, and how that differs from elsewhere.
#[derive(Serialize)]
#[serde(rename = "Feeling")]
pub(super) struct FeelingShape {
    n: i64,
    mean: Option<f64>,
    difference: Option<f64>,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
}

impl FeelingShape {
    pub(super) fn of(sums: Sums, difference: Option<Difference>) -> FeelingShape {
        FeelingShape {
            n: sums.n,
            // Of few, a mean would say what one of them answered.
            mean: sums.mean().filter(|_| sums.n >= OBSERVATIONS_MIN),
            difference: difference.and_then(|it| finite(it.value)),
            interval_low: difference.and_then(|it| finite(it.low)),
            interval_high: difference.and_then(|it| finite(it.high)),
        }
    }
}

#[derive(Serialize)]
#[serde(rename = "OtherContacts")]
struct OtherShape {
    kinds: i64,
    touchpoints: i64,
    contribution: Option<f64>,
    cost_share: Option<f64>,
}

impl OtherShape {
    fn of(other: &OtherContacts) -> OtherShape {
        OtherShape {
            kinds: i64::try_from(other.kinds).unwrap_or(i64::MAX),
            touchpoints: other.touchpoints,
            contribution: finite(other.contribution),
            cost_share: finite(other.cost),
        }
    }
}
