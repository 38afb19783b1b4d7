//! `insight.metrics`: a metric's value in, its public shape out.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    names::Names,
    notation::{Date, FiniteMap, Notation, finite},
    table::Feed,
};
use crate::model::{MetricValue, Uncertainty, Window};

/// The feed `insight.metrics`. Key: [`crate::model::keys::metric`].
#[derive(Debug)]
pub enum Metrics {}

impl FeedRecord for Metrics {
    const FEED: Feed = Feed::Metrics;
    type Record<'a> = MetricValue<'a>;
    type Shape<'a, N: Notation> = MetricShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a MetricValue<'a>, _: &Names) -> MetricShape<'a, N> {
        let (standard_error, interval) = match record.uncertainty {
            None => (None, None),
            Some(Uncertainty::StandardError(error)) => (finite(error), None),
            Some(Uncertainty::Interval(low, high)) => (None, Some((low, high))),
        };
        MetricShape {
            metric: record.metric,
            unit: record.unit,
            window: WindowShape::of(record.window),
            dimension: record.dimension.as_str(),
            dimension_value: record.dimension_value,
            // No cell has so many.
            other_values: record.other_values.map(|values| i64::try_from(values).unwrap_or(i64::MAX)),
            currency: record.currency.as_ref().map(|currency| currency.as_str()),
            n: record.n,
            numerator: record.numerator,
            denominator: record.denominator,
            value: record.value.and_then(finite),
            standard_error,
            interval_low: interval.and_then(|(low, _)| finite(low)),
            interval_high: interval.and_then(|(_, high)| finite(high)),
            p50: record.percentiles.and_then(|percentiles| finite(percentiles.p50)),
            p90: record.percentiles.and_then(|percentiles| finite(percentiles.p90)),
            p99: record.percentiles.and_then(|percentiles| finite(percentiles.p99)),
            details: FiniteMap(&record.details),
            // Avro has no unsigned numbers; no key is ever published 2⁶³ times.
            revision: i64::try_from(record.revision).unwrap_or(i64::MAX),
            status: record.status.as_str(),
            definition_version: i64::from(record.definition_version),
        }
    }
}

/// The public shape of a metric's value; its fields are documented in `schemas/metrics.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct MetricShape<'a, N> {
    metric: &'a str,
    unit: &'a str,
    window: WindowShape<N>,
    dimension: &'static str,
    dimension_value: &'a str,
    other_values: Option<i64>,
    currency: Option<&'a str>,
    n: i64,
    numerator: i64,
    denominator: i64,
    value: Option<f64>,
    standard_error: Option<f64>,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    details: FiniteMap<'a, &'static str>,
    revision: i64,
    status: &'static str,
    definition_version: i64,
}

/// The public shape of a window.
#[derive(Serialize)]
#[serde(rename = "Window", bound(serialize = "N: Notation"))]
pub struct WindowShape<N> {
    kind: &'static str,
    start: Date<N>,
    end: Date<N>,
}

impl<N> WindowShape<N> {
    pub(super) fn of(window: Window) -> Self {
        WindowShape { kind: window.kind.as_str(), start: Date::new(window.start), end: Date::new(window.end()) }
    }
}
