//! `insight.alerts`: an alert in, its public shape out.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    names::{Names, Shown},
    notation::{Date, FiniteMap, Instant, Notation},
    table::Feed,
};
use crate::model::{Alert, Identifier};

/// The feed `insight.alerts`. Key: the alert's id.
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
            person: record.person.to_string(),
            thing: record.thing.map(|thing| ThingShape::of(thing, names)),
            since: Date::new(record.since),
            happened_at: record.happened_at.map(Instant::new),
            figures: FiniteMap(&record.figures),
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
    thing: Option<ThingShape<'a>>,
    since: Date<N>,
    happened_at: Option<Instant<N>>,
    figures: FiniteMap<'a, &'static str>,
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
