//! `insight.changes`: a metric before and after a change in, whether it moved out.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    metrics::WindowShape,
    names::Names,
    notation::{Notation, finite},
    table::Feed,
};
use crate::{
    analyses::change::Change,
    model::{AnalysisPlace, Status, keys},
};

/// The feed `insight.changes`. Key: [`change_key`].
#[derive(Debug)]
pub enum Changes {}

/// What is published of one metric and change.
#[derive(Clone, Copy, Debug)]
pub struct ChangeRecord<'a> {
    /// What was done: by the spoke that is the subject, on the day that is the window.
    pub place: AnalysisPlace<'a>,
    /// The metric.
    pub metric: &'a str,
    /// Its unit.
    pub unit: &'a str,
    /// How many days are compared on each side.
    pub days: i32,
    /// What the change took, as those who enacted it say.
    pub effort: Option<i64>,
    /// How it moved.
    pub change: Change,
    /// Counts the publications of this key, from 1.
    pub revision: u64,
    /// Whether it can still change.
    pub status: Status,
}

/// `change|day|parts`: `change|day:2026-05-13|by=operations&region=south&metric=on_time`.
pub fn change_key(place: &AnalysisPlace<'_>, metric: &str) -> String {
    let mut key = keys::analysis("change", "by", place);
    key.push_str("&metric=");
    keys::push_escaped(&mut key, metric);
    key
}

impl FeedRecord for Changes {
    const FEED: Feed = Feed::Changes;
    type Record<'a> = ChangeRecord<'a>;
    type Shape<'a, N: Notation> = ChangeShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a ChangeRecord<'a>, _: &Names) -> ChangeShape<'a, N> {
        let change = &record.change;
        ChangeShape {
            by: record.place.subject,
            window: WindowShape::of(record.place.window),
            dimension: record.place.dimension.as_str(),
            dimension_value: record.place.dimension_value,
            metric: record.metric,
            unit: record.unit,
            days: record.days,
            n_before: change.n_before,
            n_after: change.n_after,
            before: finite(change.before),
            after: finite(change.after),
            difference: finite(change.difference.value),
            interval_low: finite(change.difference.low),
            interval_high: finite(change.difference.high),
            movement: change.movement.as_str(),
            effort: record.effort,
            revision: i64::try_from(record.revision).unwrap_or(i64::MAX),
            status: record.status.as_str(),
        }
    }
}

/// The public shape of a metric before and after a change; its fields are documented in `schemas/changes.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct ChangeShape<'a, N> {
    by: &'a str,
    window: WindowShape<N>,
    dimension: &'static str,
    dimension_value: &'a str,
    metric: &'a str,
    unit: &'a str,
    days: i32,
    n_before: i64,
    n_after: i64,
    before: Option<f64>,
    after: Option<f64>,
    difference: Option<f64>,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
    movement: &'static str,
    effort: Option<i64>,
    revision: i64,
    status: &'static str,
}
