//! `insight.priorities`: a month's persons by subject in, what to fix first out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    metrics::WindowShape,
    names::Names,
    notation::{Instant, Notation, finite},
    table::Feed,
};
use crate::{
    analyses::{
        priorities::{Group, Judged, Priority, SCORE_UNIT},
        ranking::Ranked,
        statistics::Difference,
    },
    model::{Acknowledgement, AlertId, AnalysisPlace, Status},
};

/// The feed `insight.priorities`. Key: [`crate::model::keys::analysis`].
#[derive(Debug)]
pub enum Priorities {}

/// What is published of a month.
#[derive(Clone, Debug)]
pub struct PrioritiesRecord<'a> {
    /// What it is about.
    pub place: AnalysisPlace<'a>,
    /// All persons of the month.
    pub everyone: Group,
    /// What to fix first; scores in [`SCORE_UNIT`]s.
    pub found: &'a Ranked<Priority<'a>, Judged>,
    /// Who has seen which of them.
    pub seen: &'a BTreeMap<AlertId, Acknowledgement>,
    /// Counts the publications of this key, from 1.
    pub revision: u64,
    /// Whether the window can still change.
    pub status: Status,
}

impl FeedRecord for Priorities {
    const FEED: Feed = Feed::Priorities;
    type Record<'a> = PrioritiesRecord<'a>;
    type Shape<'a, N: Notation> = PrioritiesShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a PrioritiesRecord<'a>, _: &Names) -> PrioritiesShape<'a, N> {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        PrioritiesShape {
            of: record.place.subject,
            window: WindowShape::of(record.place.window),
            persons: record.everyone.persons,
            priorities: record
                .found
                .shown
                .iter()
                .enumerate()
                .map(|(at, it)| PriorityShape::of(at, it, record.seen))
                .collect(),
            other: count(record.found.other.kinds),
            judged: count(record.found.other.judged),
            no_worse: count(record.found.other.no_worse),
            too_few: count(record.found.other.too_few),
            revision: i64::try_from(record.revision).unwrap_or(i64::MAX),
            status: record.status.as_str(),
        }
    }
}

/// The public shape of what to fix first; its fields are documented in `schemas/priorities.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct PrioritiesShape<'a, N> {
    of: &'a str,
    window: WindowShape<N>,
    persons: i64,
    priorities: Vec<PriorityShape<'a, N>>,
    other: i64,
    judged: i64,
    no_worse: i64,
    too_few: i64,
    revision: i64,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename = "Priority", bound(serialize = "N: Notation"))]
struct PriorityShape<'a, N> {
    rank: i64,
    id: String,
    owner: &'a str,
    kind: &'a str,
    subject: &'a str,
    reach: i64,
    value_at_risk: i64,
    outcome_drop: Option<f64>,
    outcome_drop_low: Option<f64>,
    outcome_drop_high: Option<f64>,
    score_drop: Option<f64>,
    score_drop_low: Option<f64>,
    score_drop_high: Option<f64>,
    ground: &'static str,
    score: Option<f64>,
    score_low: Option<f64>,
    score_high: Option<f64>,
    effort: i64,
    effort_source: &'static str,
    limit: Option<i64>,
    acknowledged_by: Option<&'a str>,
    acknowledged_at: Option<Instant<N>>,
}

impl<'a, N> PriorityShape<'a, N> {
    fn of(at: usize, priority: &Priority<'a>, seen: &'a BTreeMap<AlertId, Acknowledgement>) -> Self {
        let subject = priority.subject;
        let id = AlertId::of_priority(subject.spoke, subject.kind, subject.subject);
        let acknowledged = seen.get(&id);
        let [outcome_drop, outcome_drop_low, outcome_drop_high] = three(priority.outcome_drop);
        let points = priority.score_drop.map(|drop| drop.scaled(1.0 / SCORE_UNIT as f64));
        let [score_drop, score_drop_low, score_drop_high] = three(points);
        let [score, score_low, score_high] = three(Some(priority.score));
        PriorityShape {
            rank: i64::try_from(at + 1).unwrap_or(i64::MAX),
            id: id.to_string(),
            owner: priority.subject.spoke,
            kind: priority.subject.kind,
            subject: priority.subject.subject,
            reach: priority.reach,
            value_at_risk: priority.value_at_risk,
            outcome_drop,
            outcome_drop_low,
            outcome_drop_high,
            score_drop,
            score_drop_low,
            score_drop_high,
            ground: priority.ground.as_str(),
            score,
            score_low,
            score_high,
            effort: priority.effort,
            effort_source: priority.effort_source.as_str(),
            limit: priority.limit,
            acknowledged_by: acknowledged.map(|it| it.by.as_str()),
            acknowledged_at: acknowledged.map(|it| Instant::new(it.at)),
        }
    }
}

pub(super) fn three(difference: Option<Difference>) -> [Option<f64>; 3] {
    [
        difference.and_then(|it| finite(it.value)),
        difference.and_then(|it| finite(it.low)),
        difference.and_then(|it| finite(it.high)),
    ]
}
