//! `insight.drivers`: a month's persons as sums in, what goes together with an outcome out.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    metrics::WindowShape,
    names::Names,
    notation::{Notation, finite},
    table::Feed,
};
use crate::{
    analyses::drivers::{Correlation, Moments},
    model::{AnalysisPlace, Measure, Status},
};

/// The feed `insight.drivers`. Key: [`crate::model::keys::analysis`].
#[derive(Debug)]
pub enum Drivers {}

/// What is published of one outcome.
#[derive(Clone, Copy, Debug)]
pub struct DriversRecord<'a> {
    /// What it is about; its subject is the outcome's name.
    pub place: AnalysisPlace<'a>,
    /// The outcome.
    pub outcome: Measure,
    /// The persons' months, by measure.
    pub moments: &'a Moments,
    /// Counts the publications of this key, from 1.
    pub revision: u64,
    /// Whether the window can still change.
    pub status: Status,
}

impl FeedRecord for Drivers {
    const FEED: Feed = Feed::Drivers;
    type Record<'a> = DriversRecord<'a>;
    type Shape<'a, N: Notation> = DriversShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a DriversRecord<'a>, _: &Names) -> DriversShape<'a, N> {
        let outcome = record.outcome as usize;
        let candidates: Vec<usize> = Measure::DRIVERS.iter().map(|driver| *driver as usize).collect();
        let weights = record.moments.relative_weights(&candidates, outcome);
        let weight = |driver: usize| {
            let found = weights.as_ref()?.weights.iter().find(|(index, _)| *index == driver)?;
            finite(found.1)
        };
        let mut found: Vec<(usize, Correlation)> = candidates
            .iter()
            .filter_map(|&driver| Some((driver, record.moments.correlation(driver, outcome)?)))
            .collect();
        // Strongest first, whatever its direction.
        found.sort_by(|(a, x), (b, y)| y.r.abs().total_cmp(&x.r.abs()).then(a.cmp(b)));
        let alone = record.moments.pair(outcome, outcome);
        DriversShape {
            outcome: record.place.subject,
            window: WindowShape::of(record.place.window),
            dimension: record.place.dimension.as_str(),
            dimension_value: record.place.dimension_value,
            n: alone.n,
            mean: (alone.n > 0).then(|| alone.first as f64 / alone.n as f64),
            drivers: found
                .into_iter()
                .map(|(driver, correlation)| DriverShape {
                    driver: Measure::ALL[driver].as_str(),
                    n: correlation.n,
                    correlation: finite(correlation.r),
                    interval_low: finite(correlation.low),
                    interval_high: finite(correlation.high),
                    relative_weight: weight(driver),
                })
                .collect(),
            r_squared: weights.as_ref().and_then(|weights| finite(weights.r_squared)),
            n_min: weights.as_ref().map_or(0, |weights| weights.n_min),
            adjusted: weights.as_ref().is_some_and(|weights| weights.repaired_from.is_some()),
            revision: i64::try_from(record.revision).unwrap_or(i64::MAX),
            status: record.status.as_str(),
        }
    }
}

/// The public shape of what goes together with an outcome; its fields are documented in `schemas/drivers.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct DriversShape<'a, N> {
    outcome: &'a str,
    window: WindowShape<N>,
    dimension: &'static str,
    dimension_value: &'a str,
    n: i64,
    mean: Option<f64>,
    drivers: Vec<DriverShape>,
    r_squared: Option<f64>,
    n_min: i64,
    adjusted: bool,
    revision: i64,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename = "Driver")]
struct DriverShape {
    driver: &'static str,
    n: i64,
    correlation: Option<f64>,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
    relative_weight: Option<f64>,
}
