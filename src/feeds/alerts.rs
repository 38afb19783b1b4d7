//! `insight.alerts`: an alert in, its public shape out.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    metrics::WindowShape,
    names::{Names, Shown},
    notation::{Date, FiniteMap, Instant, Notation},
    table::Feed,
};
use crate::model::{Alert, AlertSeries, Currency, Identifier, Window};

/// The feed `insight.alerts`. Key: the alert's id, or of one about a person `id|person`.
#[derive(Debug)]
pub enum Alerts {}

impl FeedRecord for Alerts {
    const FEED: Feed = Feed::Alerts;
    type Record<'a> = Alert<'a>;
    type Shape<'a, N: Notation> = AlertShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a Alert<'a>, names: &Names) -> AlertShape<'a, N> {
        let acknowledged = record.acknowledged.as_ref();
        AlertShape {
            id: record.id.to_string(),
            cause: record.cause.as_str(),
            state: record.state.as_str(),
            owner: record.owner,
            person: record.person.map_or_else(String::new, |person| person.to_string()),
            metric: record.series.as_ref().map(MetricShape::of),
            thing: record.thing.map(|thing| ThingShape::of(thing, names)),
            since: Date::new(record.since),
            happened_at: record.happened_at.map(Instant::new),
            figures: FiniteMap(&record.figures),
            test: record.test,
            acknowledged_by: acknowledged.map(|it| it.by.as_str()),
            acknowledged_at: acknowledged.map(|it| Instant::new(it.at)),
            revision: i64::from(record.revision),
        }
    }
}

/// The public shape of an alert; its fields are documented in `schemas/alerts.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct AlertShape<'a, N> {
    id: String,
    cause: &'static str,
    state: &'static str,
    owner: &'a str,
    person: String,
    metric: Option<MetricShape<'a, N>>,
    thing: Option<ThingShape<'a>>,
    since: Date<N>,
    happened_at: Option<Instant<N>>,
    figures: FiniteMap<'a, &'static str>,
    test: Option<&'static str>,
    acknowledged_by: Option<&'a str>,
    acknowledged_at: Option<Instant<N>>,
    revision: i64,
}

#[derive(Serialize)]
#[serde(rename = "AlertThing")]
struct ThingShape<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: Shown<'a>,
}

impl<'a> ThingShape<'a> {
    fn of(thing: Identifier<'a>, names: &Names) -> ThingShape<'a> {
        ThingShape { kind: thing.kind.as_str(), value: names.show(thing) }
    }
}

#[derive(Serialize)]
#[serde(rename = "AlertMetric", bound(serialize = "N: Notation"))]
struct MetricShape<'a, N> {
    id: &'a str,
    dimension: &'static str,
    dimension_value: &'a str,
    currency: Option<&'a str>,
    window: Option<WindowShape<N>>,
}

impl<'a, N> MetricShape<'a, N> {
    fn of((series, window): &'a (AlertSeries<'a>, Option<Window>)) -> Self {
        MetricShape {
            id: series.metric,
            dimension: series.dimension.as_str(),
            dimension_value: series.value,
            currency: series.currency.as_ref().map(Currency::as_str),
            window: window.map(WindowShape::of),
        }
    }
}
