//! `insight.attribution`: what the steps of a family's journeys are credited with in, its public shape out.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    metrics::WindowShape,
    names::Names,
    notation::{Notation, finite},
    table::Feed,
};
use crate::{
    analyses::attribution::{self, Credits, OtherSteps, StepCredit},
    model::{AnalysisPlace, Status},
};

/// The feed `insight.attribution`. Key: [`crate::model::keys::analysis`].
#[derive(Debug)]
pub enum Attribution {}

/// What is published of the credits of a family's steps.
#[derive(Clone, Debug)]
pub struct AttributionRecord<'a> {
    /// What they are about.
    pub place: AnalysisPlace<'a>,
    /// Journeys that reached the goal.
    pub conversions: i64,
    /// What they are credited to; `None` with too few conversions.
    pub found: Option<attribution::Attribution<'a>>,
    /// Counts the publications of this key, from 1.
    pub revision: u64,
    /// Whether the window can still change.
    pub status: Status,
}

impl FeedRecord for Attribution {
    const FEED: Feed = Feed::Attribution;
    type Record<'a> = AttributionRecord<'a>;
    type Shape<'a, N: Notation> = AttributionShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a AttributionRecord<'a>, _: &Names) -> AttributionShape<'a, N> {
        let found = record.found.as_ref();
        AttributionShape {
            goal: record.place.subject,
            window: WindowShape::of(record.place.window),
            dimension: record.place.dimension.as_str(),
            dimension_value: record.place.dimension_value,
            conversions: record.conversions,
            credited: found.map_or(0, |found| found.credited),
            conversion_chance: found.and_then(|found| finite(found.conversion_chance)),
            steps: found.map(|found| found.shown.iter().map(StepShape::of).collect()).unwrap_or_default(),
            other: OtherShape::of(found.map(|found| &found.other)),
            revision: i64::try_from(record.revision).unwrap_or(i64::MAX),
            status: record.status.as_str(),
        }
    }
}

/// The public shape of the credits of a family's steps; its fields are documented in `schemas/attribution.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct AttributionShape<'a, N> {
    goal: &'a str,
    window: WindowShape<N>,
    dimension: &'static str,
    dimension_value: &'a str,
    conversions: i64,
    credited: i64,
    conversion_chance: Option<f64>,
    steps: Vec<StepShape<'a>>,
    other: OtherShape,
    revision: i64,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename = "StepCredit")]
struct StepShape<'a> {
    step: &'a str,
    conversions: i64,
    removal_effect: Option<f64>,
    markov: Option<f64>,
    first: Option<f64>,
    last: Option<f64>,
    linear: Option<f64>,
    position: Option<f64>,
}

impl<'a> StepShape<'a> {
    fn of(credit: &StepCredit<'a>) -> StepShape<'a> {
        let Credits { markov, first, last, linear, position } = credit.credits;
        StepShape {
            step: credit.step,
            conversions: credit.conversions,
            removal_effect: credit.removal_effect.and_then(finite),
            markov: finite(markov),
            first: finite(first),
            last: finite(last),
            linear: finite(linear),
            position: finite(position),
        }
    }
}

#[derive(Serialize)]
#[serde(rename = "OtherSteps")]
struct OtherShape {
    kinds: i64,
    markov: Option<f64>,
    first: Option<f64>,
    last: Option<f64>,
    linear: Option<f64>,
    position: Option<f64>,
}

impl OtherShape {
    fn of(other: Option<&OtherSteps>) -> OtherShape {
        let credit = |of: fn(&Credits) -> f64| other.and_then(|other| finite(of(&other.credits)));
        OtherShape {
            kinds: other.map_or(0, |other| i64::try_from(other.kinds).unwrap_or(i64::MAX)),
            markov: credit(|credits| credits.markov),
            first: credit(|credits| credits.first),
            last: credit(|credits| credits.last),
            linear: credit(|credits| credits.linear),
            position: credit(|credits| credits.position),
        }
    }
}
