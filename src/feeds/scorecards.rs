//! `insight.scorecards`: a department's month in, its public shape out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    balance::FeelingShape,
    encoder::FeedRecord,
    metrics::WindowShape,
    names::Names,
    notation::{Notation, finite},
    priorities::three,
    table::Feed,
};
use crate::{
    analyses::{
        drivers::Correlation,
        priorities::{Priority, SCORE_UNIT},
        scorecards::{Effect, Scorecard},
        statistics::{OBSERVATIONS_MIN, Sums},
    },
    model::{AlertCause, AnalysisPlace, Measure, Outcome, Status},
};

/// The feed `insight.scorecards`. Key: [`crate::model::keys::analysis`].
#[derive(Debug)]
pub enum Scorecards {}

/// What is published of a department's month.
#[derive(Clone, Copy, Debug)]
pub struct ScorecardRecord<'a> {
    /// What it is about; its subject is the spoke.
    pub place: AnalysisPlace<'a>,
    /// What was found.
    pub card: &'a Scorecard<'a>,
    /// Counts the publications of this key, from 1.
    pub revision: u64,
    /// Whether the window can still change.
    pub status: Status,
}

impl FeedRecord for Scorecards {
    const FEED: Feed = Feed::Scorecards;
    type Record<'a> = ScorecardRecord<'a>;
    type Shape<'a, N: Notation> = ScorecardShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a ScorecardRecord<'a>, _: &Names) -> ScorecardShape<'a, N> {
        let card = record.card;
        ScorecardShape {
            spoke: record.place.subject,
            window: WindowShape::of(record.place.window),
            touchpoints: card.touchpoints,
            cases: card.cases,
            score: FeelingShape::of(card.scores, card.score),
            sentiment: FeelingShape::of(card.sentiments, card.sentiment),
            credited: finite(card.credit),
            contribution: card.contribution.and_then(finite),
            cost_basis: card.cost_basis.as_str(),
            cost_share: finite(card.cost),
            net: card.net.and_then(finite),
            promises: card.promises,
            kept: card.kept,
            open_promises: card.open_promises.open,
            overdue_promises: card.open_promises.overdue,
            cases_elsewhere: EffectShape::of(&card.cases_elsewhere, 1),
            score_elsewhere: EffectShape::of(&card.scores_elsewhere, SCORE_UNIT),
            drivers: card.drivers.iter().map(DriverShape::of).collect(),
            priorities: card.priorities.iter().map(OwnedShape::of).collect(),
            other_priorities: i64::try_from(card.other_priorities).unwrap_or(i64::MAX),
            open_alerts: card.alerts.iter().map(AlertsShape::of).collect(),
            data_quality: ArrivedShape::of(&card.arrived),
            revision: i64::try_from(record.revision).unwrap_or(i64::MAX),
            status: record.status.as_str(),
        }
    }
}

/// The public shape of a department's month; its fields are documented in `schemas/scorecards.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct ScorecardShape<'a, N> {
    spoke: &'a str,
    window: WindowShape<N>,
    touchpoints: i64,
    cases: i64,
    score: FeelingShape,
    sentiment: FeelingShape,
    credited: Option<f64>,
    contribution: Option<f64>,
    cost_basis: &'static str,
    cost_share: Option<f64>,
    net: Option<f64>,
    promises: i64,
    kept: i64,
    open_promises: i64,
    overdue_promises: i64,
    cases_elsewhere: EffectShape,
    score_elsewhere: EffectShape,
    drivers: Vec<DriverShape>,
    priorities: Vec<OwnedShape<'a>>,
    other_priorities: i64,
    open_alerts: Vec<AlertsShape>,
    data_quality: ArrivedShape,
    revision: i64,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename = "Effect")]
struct EffectShape {
    failed: i64,
    failed_mean: Option<f64>,
    others: i64,
    others_mean: Option<f64>,
    difference: Option<f64>,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
}

impl EffectShape {
    /// `unit`: what the sums count in.
    fn of(effect: &Effect, unit: i64) -> EffectShape {
        let by = 1.0 / unit as f64;
        let mean = |sums: Sums| sums.mean().filter(|_| sums.n >= OBSERVATIONS_MIN).and_then(|mean| finite(mean * by));
        let [difference, interval_low, interval_high] = three(effect.difference.map(|it| it.scaled(by)));
        EffectShape {
            failed: effect.failed.n,
            failed_mean: mean(effect.failed),
            others: effect.others.n,
            others_mean: mean(effect.others),
            difference,
            interval_low,
            interval_high,
        }
    }
}

/// What is felt somewhere, and how far it goes together with buying again.
#[derive(Serialize)]
#[serde(rename = "Driver")]
pub(super) struct DriverShape {
    driver: &'static str,
    n: i64,
    correlation: Option<f64>,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
}

impl DriverShape {
    pub(super) fn of((measure, found): &(Measure, Correlation)) -> DriverShape {
        DriverShape {
            driver: measure.as_str(),
            n: found.n,
            correlation: finite(found.r),
            interval_low: finite(found.low),
            interval_high: finite(found.high),
        }
    }
}

#[derive(Serialize)]
#[serde(rename = "OwnedPriority")]
struct OwnedShape<'a> {
    rank: i64,
    kind: &'a str,
    subject: &'a str,
    reach: i64,
    value_at_risk: i64,
    ground: &'static str,
    score: Option<f64>,
    score_low: Option<f64>,
    score_high: Option<f64>,
    effort: i64,
    effort_source: &'static str,
}

impl<'a> OwnedShape<'a> {
    fn of((rank, priority): &(usize, Priority<'a>)) -> OwnedShape<'a> {
        let [score, score_low, score_high] = three(Some(priority.score));
        OwnedShape {
            rank: i64::try_from(*rank).unwrap_or(i64::MAX),
            kind: priority.subject.kind,
            subject: priority.subject.subject,
            reach: priority.reach,
            value_at_risk: priority.value_at_risk,
            ground: priority.ground.as_str(),
            score,
            score_low,
            score_high,
            effort: priority.effort,
            effort_source: priority.effort_source.as_str(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename = "OpenAlerts")]
struct AlertsShape {
    cause: &'static str,
    n: i64,
}

impl AlertsShape {
    fn of(&(cause, n): &(AlertCause, i64)) -> AlertsShape {
        AlertsShape { cause: cause.as_str(), n }
    }
}

/// The fields are those of [`Outcome`].
#[derive(Serialize)]
#[serde(rename = "DataQuality")]
struct ArrivedShape {
    accepted: i64,
    skipped: i64,
    duplicate: i64,
    conflicting: i64,
    rejected: i64,
    late: i64,
    capped: i64,
}

impl ArrivedShape {
    fn of(arrived: &BTreeMap<Outcome, i64>) -> ArrivedShape {
        let count = |outcome| arrived.get(&outcome).copied().unwrap_or_default();
        ArrivedShape {
            accepted: count(Outcome::Accepted),
            skipped: count(Outcome::Skipped),
            duplicate: count(Outcome::Duplicate),
            conflicting: count(Outcome::Conflicting),
            rejected: count(Outcome::Rejected),
            late: count(Outcome::Late),
            capped: count(Outcome::Capped),
        }
    }
}
