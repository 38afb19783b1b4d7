//! The insight record: what the company knows of one customer, as published on `insight.customers`.

use std::collections::BTreeMap;

use super::{
    kind::{Channel, Kind, vocabulary},
    time::{Day, EventTime},
};

vocabulary! {
    /// Where in the relationship a moment lies.
    Phase {
        Before => "before",
        During => "during",
        After => "after",
    }
}

/// The answers of one person on one scale (and item).
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreSummary {
    /// How many answers.
    pub n: i64,
    /// The newest answer.
    pub last: i64,
    /// Their mean.
    pub mean: f64,
}

/// How many, and how long on average.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DurationSummary {
    /// How many.
    pub n: i64,
    /// Mean in seconds; absent when `n` is 0.
    pub mean_seconds: Option<f64>,
}

/// One step of a journey: spoke · kind · channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JourneyStep {
    /// The department.
    pub spoke: String,
    /// What happened.
    pub kind: Kind,
    /// By which method of contact.
    pub channel: Option<Channel>,
}

/// How a customer bought: what the models of buying need of one customer. Several purchases on one day are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuyingSummary {
    /// The day of the first purchase.
    pub first_on: Day,
    /// The day of the last.
    pub last_on: Day,
    /// On how many days something was bought.
    pub days: i64,
    /// Of the days after the first, those with an amount in the currency of analyses.
    pub repeat_paid_days: i64,
    /// The sum of their amounts, in minor units.
    pub repeat_paid: i64,
}

/// How often a customer buys, and when they have lapsed against that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RhythmSummary {
    /// How many days of purchase it is known from.
    pub days: i64,
    /// Their mean distance.
    pub mean_gap_days: f64,
    /// More days than these without a purchase are a lapse.
    pub limit_days: i64,
    /// The day at whose close they have lapsed, if nothing is bought until then.
    pub lapses_on: Day,
    /// Whether that day is closed.
    pub lapsed: bool,
}

/// One customer, joined from every spoke: a pure function of the person's touchpoints and the last closed day.
#[derive(Clone, Debug, PartialEq)]
pub struct InsightRecord {
    /// The person's id: 32 hexadecimal digits.
    pub person: String,
    /// Every identifier seen, by type, values ascending.
    pub identifiers: BTreeMap<String, Vec<String>>,
    /// When the first touchpoint happened.
    pub first_seen: EventTime,
    /// When the newest happened.
    pub last_seen: EventTime,
    /// How many touchpoints.
    pub touchpoints: i64,
    /// Touchpoints by spoke.
    pub touchpoints_by_spoke: BTreeMap<String, i64>,
    /// Touchpoints by kind.
    pub touchpoints_by_kind: BTreeMap<String, i64>,
    /// Touchpoints by channel; those without a channel are not in it.
    pub touchpoints_by_channel: BTreeMap<String, i64>,
    /// Where in the relationship the person is now.
    pub phase: Phase,
    /// Purchases that were not cancelled.
    pub orders: i64,
    /// Repeat purchases: purchases after the first.
    pub frequency: i64,
    /// Minor units by currency: purchases that were not cancelled, and renewals.
    pub revenue: BTreeMap<String, i64>,
    /// Mean amount of a purchase in minor units, by currency.
    pub monetary_value: BTreeMap<String, f64>,
    /// How they bought; absent who did not.
    pub buying: Option<BuyingSummary>,
    /// How often they buy; absent who bought on fewer than three days.
    pub rhythm: Option<RhythmSummary>,
    /// Cases opened and not resolved.
    pub open_cases: i64,
    /// Answers by scale, or `scale:item`.
    pub scores: BTreeMap<String, ScoreSummary>,
    /// How the customer felt, −100…100.
    pub sentiment: Option<ScoreSummary>,
    /// From opening a case to the first public reply by an agent.
    pub first_response_time: DurationSummary,
    /// From opening a case to its first resolution.
    pub resolution_time: DurationSummary,
    /// Deliveries with a promise that were kept.
    pub deliveries_on_time: i64,
    /// Deliveries with a promise that were late.
    pub deliveries_late: i64,
    /// Promises that are neither kept nor cancelled.
    pub open_promises: i64,
    /// Of those, due by the last closed day.
    pub overdue_promises: i64,
    /// Messages received in the 30 days up to the last closed day.
    pub contacts_30_days: i64,
    /// Steps since the last purchase, oldest first, consecutive repeats collapsed, at most the newest 32.
    pub journey: Vec<JourneyStep>,
    /// The newest segment named.
    pub segment: Option<String>,
    /// The newest region named.
    pub region: Option<String>,
    /// The newest account named.
    pub account: Option<String>,
}
