//! `insight.journeys`: what the journeys of a family say in, its public shape out.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    metrics::WindowShape,
    names::Names,
    notation::{Notation, finite},
    table::Feed,
};
use crate::{
    analyses::{
        journeys::{self, Critical, Ends, Place, Times},
        ranking::Rest,
        statistics::wilson_interval,
    },
    model::{AnalysisPlace, Status},
};

/// The feed `insight.journeys`. Key: [`crate::model::keys::analysis`].
#[derive(Debug)]
pub enum Journeys {}

/// What is published of the journeys of a family.
#[derive(Clone, Debug)]
pub struct JourneysRecord<'a> {
    /// What they are about.
    pub place: AnalysisPlace<'a>,
    /// What they say.
    pub found: journeys::Journeys<'a>,
    /// Counts the publications of this key, from 1.
    pub revision: u64,
    /// Whether the window can still change.
    pub status: Status,
}

impl FeedRecord for Journeys {
    const FEED: Feed = Feed::Journeys;
    type Record<'a> = JourneysRecord<'a>;
    type Shape<'a, N: Notation> = JourneysShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a JourneysRecord<'a>, _: &Names) -> JourneysShape<'a, N> {
        let found = &record.found;
        let Ends { goal: converted, lost } = found.ended;
        let n = found.ended.n();
        let interval = wilson_interval(converted, n);
        JourneysShape {
            goal: record.place.subject,
            window: WindowShape::of(record.place.window),
            dimension: record.place.dimension.as_str(),
            dimension_value: record.place.dimension_value,
            journeys: n,
            converted,
            lost,
            conversion: quotient(converted, n),
            interval_low: interval.and_then(|(low, _)| finite(low)),
            interval_high: interval.and_then(|(_, high)| finite(high)),
            time: TimeShape::of(&found.times, converted),
            transitions: found.transitions.shown.iter().map(TransitionShape::of).collect(),
            transitions_other: RestShape::of(found.transitions.other),
            paths: found.paths.shown.iter().map(PathShape::of).collect(),
            paths_other: RestShape::of(found.paths.other),
            ends: found.ends.shown.iter().map(|end| LastStepShape { step: end.step, n: end.n }).collect(),
            ends_other: RestShape::of(found.ends.other),
            critical_steps: found.steps.shown.iter().map(CriticalShape::of).collect(),
            critical_steps_compared: long(found.steps.other.compared),
            critical_pairs: found.pairs.shown.iter().map(CriticalShape::of).collect(),
            critical_pairs_compared: long(found.pairs.other.compared),
            revision: i64::try_from(record.revision).unwrap_or(i64::MAX),
            status: record.status.as_str(),
        }
    }
}

fn long(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn quotient(numerator: i64, denominator: i64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

/// The public shape of the journeys of a family; its fields are documented in `schemas/journeys.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct JourneysShape<'a, N> {
    goal: &'a str,
    window: WindowShape<N>,
    dimension: &'static str,
    dimension_value: &'a str,
    journeys: i64,
    converted: i64,
    lost: i64,
    conversion: Option<f64>,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
    time: TimeShape,
    transitions: Vec<TransitionShape<'a>>,
    transitions_other: RestShape,
    paths: Vec<PathShape<'a>>,
    paths_other: RestShape,
    ends: Vec<LastStepShape<'a>>,
    ends_other: RestShape,
    critical_steps: Vec<CriticalShape<'a>>,
    critical_steps_compared: i64,
    critical_pairs: Vec<CriticalShape<'a>>,
    critical_pairs_compared: i64,
    revision: i64,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename = "Time")]
struct TimeShape {
    mean_seconds: Option<f64>,
    p50_seconds: Option<f64>,
    p90_seconds: Option<f64>,
}

impl TimeShape {
    fn of(times: &Times, n: i64) -> TimeShape {
        let seconds = |milliseconds: f64| finite(milliseconds / 1_000.0);
        TimeShape {
            mean_seconds: quotient(times.sum_ms, n).and_then(seconds),
            p50_seconds: times.p50_ms.and_then(seconds),
            p90_seconds: times.p90_ms.and_then(seconds),
        }
    }
}

#[derive(Serialize)]
#[serde(rename = "Transition")]
struct TransitionShape<'a> {
    from: &'a str,
    to: &'a str,
    n: i64,
    share: Option<f64>,
}

impl<'a> TransitionShape<'a> {
    fn of(transition: &journeys::Transition<'a>) -> TransitionShape<'a> {
        TransitionShape {
            from: place(transition.from),
            to: place(transition.to),
            n: transition.n,
            share: finite(transition.share),
        }
    }
}

fn place(place: Place<&str>) -> &str {
    match place {
        Place::Start => "(start)",
        Place::Step(step) => step,
        Place::Goal => "(goal)",
        Place::Lost => "(lost)",
    }
}

#[derive(Serialize)]
#[serde(rename = "Rest")]
struct RestShape {
    kinds: i64,
    n: i64,
}

impl RestShape {
    fn of(rest: Rest) -> RestShape {
        RestShape { kinds: long(rest.kinds), n: rest.n }
    }
}

#[derive(Serialize)]
#[serde(rename = "Path")]
struct PathShape<'a> {
    steps: Vec<&'a str>,
    converted: i64,
    lost: i64,
    time: TimeShape,
}

impl<'a> PathShape<'a> {
    fn of(path: &journeys::TravelledPath<'a>) -> PathShape<'a> {
        PathShape {
            steps: path.steps.clone(),
            converted: path.n,
            lost: path.lost,
            time: TimeShape::of(&path.times, path.n),
        }
    }
}

#[derive(Serialize)]
#[serde(rename = "LastStep")]
struct LastStepShape<'a> {
    step: Option<&'a str>,
    n: i64,
}

#[derive(Serialize)]
#[serde(rename = "Critical")]
struct CriticalShape<'a> {
    steps: Vec<&'a str>,
    with_n: i64,
    with_converted: i64,
    without_n: i64,
    without_converted: i64,
    difference: Option<f64>,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
}

impl<'a> CriticalShape<'a> {
    fn of(critical: &Critical<'a>) -> CriticalShape<'a> {
        CriticalShape {
            steps: std::iter::once(critical.step).chain(critical.then).collect(),
            with_n: critical.with.n(),
            with_converted: critical.with.goal,
            without_n: critical.without.n(),
            without_converted: critical.without.goal,
            difference: finite(critical.difference.value),
            interval_low: finite(critical.difference.low),
            interval_high: finite(critical.difference.high),
        }
    }
}
