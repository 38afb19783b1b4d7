//! `insight.customers`: an insight record in, its public shape out.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    encoder::FeedRecord,
    names::{Names, Shown},
    notation::{Date, FiniteMap, Instant, Notation, finite},
    table::Feed,
};
use crate::model::{
    BuyingSummary, DurationSummary, Identifier, IdentifierType, InsightRecord, JourneyStep, RhythmSummary, ScoreSummary,
};

/// The feed `insight.customers`. Key: the person id.
#[derive(Debug)]
pub enum Customers {}

impl FeedRecord for Customers {
    const FEED: Feed = Feed::Customers;
    type Record<'a> = InsightRecord;
    type Shape<'a, N: Notation> = CustomerShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a InsightRecord, names: &Names) -> CustomerShape<'a, N> {
        CustomerShape {
            person: &record.person,
            identifiers: Identifiers(&record.identifiers, names.clone()),
            first_seen: Instant::new(record.first_seen),
            last_seen: Instant::new(record.last_seen),
            touchpoints: record.touchpoints,
            touchpoints_by_spoke: &record.touchpoints_by_spoke,
            touchpoints_by_kind: &record.touchpoints_by_kind,
            touchpoints_by_channel: &record.touchpoints_by_channel,
            phase: record.phase.as_str(),
            orders: record.orders,
            frequency: record.frequency,
            revenue: &record.revenue,
            monetary_value: FiniteMap(&record.monetary_value),
            open_cases: record.open_cases,
            scores: Scores(&record.scores),
            sentiment: record.sentiment.as_ref().map(Score::of),
            first_response_time: Duration::of(&record.first_response_time),
            resolution_time: Duration::of(&record.resolution_time),
            deliveries_on_time: record.deliveries_on_time,
            deliveries_late: record.deliveries_late,
            open_promises: record.open_promises,
            overdue_promises: record.overdue_promises,
            contacts_30_days: record.contacts_30_days,
            journey: Journey(&record.journey),
            segment: record.segment.as_deref(),
            region: record.region.as_deref(),
            account: record.account.as_deref(),
            buying: record.buying.as_ref().map(Buying::of),
            rhythm: record.rhythm.as_ref().map(Rhythm::of),
        }
    }
}

/// The public shape of an insight record; its fields are documented in `schemas/customers.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct CustomerShape<'a, N> {
    person: &'a str,
    identifiers: Identifiers<'a>,
    first_seen: Instant<N>,
    last_seen: Instant<N>,
    touchpoints: i64,
    touchpoints_by_spoke: &'a BTreeMap<String, i64>,
    touchpoints_by_kind: &'a BTreeMap<String, i64>,
    touchpoints_by_channel: &'a BTreeMap<String, i64>,
    phase: &'static str,
    orders: i64,
    frequency: i64,
    revenue: &'a BTreeMap<String, i64>,
    monetary_value: FiniteMap<'a, String>,
    open_cases: i64,
    scores: Scores<'a>,
    sentiment: Option<Score>,
    first_response_time: Duration,
    resolution_time: Duration,
    deliveries_on_time: i64,
    deliveries_late: i64,
    open_promises: i64,
    overdue_promises: i64,
    contacts_30_days: i64,
    journey: Journey<'a>,
    segment: Option<&'a str>,
    region: Option<&'a str>,
    account: Option<&'a str>,
    buying: Option<Buying<N>>,
    rhythm: Option<Rhythm<N>>,
}

#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
struct Buying<N> {
    first_on: Date<N>,
    last_on: Date<N>,
    days: i64,
    repeat_paid_days: i64,
    repeat_paid: i64,
}

impl<N> Buying<N> {
    fn of(buying: &BuyingSummary) -> Buying<N> {
        Buying {
            first_on: Date::new(buying.first_on),
            last_on: Date::new(buying.last_on),
            days: buying.days,
            repeat_paid_days: buying.repeat_paid_days,
            repeat_paid: buying.repeat_paid,
        }
    }
}

#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
struct Rhythm<N> {
    days: i64,
    mean_gap_days: Option<f64>,
    limit_days: i64,
    lapses_on: Date<N>,
    lapsed: bool,
}

impl<N> Rhythm<N> {
    fn of(rhythm: &RhythmSummary) -> Rhythm<N> {
        Rhythm {
            days: rhythm.days,
            mean_gap_days: finite(rhythm.mean_gap_days),
            limit_days: rhythm.limit_days,
            lapses_on: Date::new(rhythm.lapses_on),
            lapsed: rhythm.lapsed,
        }
    }
}

struct Identifiers<'a>(&'a BTreeMap<String, Vec<String>>, Names);

impl Serialize for Identifiers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (kind, values) in self.0 {
            map.serialize_entry(kind, &Values(IdentifierType::parse(kind), values, &self.1))?;
        }
        map.end()
    }
}

struct Values<'a>(Option<IdentifierType>, &'a [String], &'a Names);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|value| match self.0 {
            Some(kind) => self.2.show(Identifier { kind, value }),
            None => Shown::Clear(value),
        }))
    }
}

#[derive(Serialize)]
#[serde(rename = "ScoreSummary")]
struct Score {
    n: i64,
    last: i64,
    mean: Option<f64>,
}

impl Score {
    fn of(score: &ScoreSummary) -> Score {
        Score { n: score.n, last: score.last, mean: finite(score.mean) }
    }
}

struct Scores<'a>(&'a BTreeMap<String, ScoreSummary>);

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (scale, score) in self.0 {
            map.serialize_entry(scale, &Score::of(score))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
#[serde(rename = "DurationSummary")]
struct Duration {
    n: i64,
    mean_seconds: Option<f64>,
}

impl Duration {
    fn of(duration: &DurationSummary) -> Duration {
        Duration { n: duration.n, mean_seconds: duration.mean_seconds.and_then(finite) }
    }
}

struct Journey<'a>(&'a [JourneyStep]);

impl Serialize for Journey<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|step| Step {
            spoke: &step.spoke,
            kind: step.kind.as_str(),
            channel: step.channel.map(|channel| channel.as_str()),
        }))
    }
}

#[derive(Serialize)]
#[serde(rename = "JourneyStep")]
struct Step<'a> {
    spoke: &'a str,
    kind: &'static str,
    channel: Option<&'static str>,
}
