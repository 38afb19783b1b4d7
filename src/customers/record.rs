//! A head and the last closed day → the insight record, and the next day on which it changes.

use std::collections::BTreeMap;

use super::{
    fold::head::{Answers, CONTACT_DAYS, Head, Sum},
    rhythm::rhythm,
};
use crate::model::{
    BuyingSummary, Day, DurationSummary, InsightRecord, JourneyStep, PersonId, RhythmSummary, ScoreSummary,
};

/// A day before every touchpoint: nothing is closed yet.
pub const NOTHING_CLOSED: Day = Day(-1_000_000);

/// The part of a record that depends on the last closed day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtClose {
    /// Messages received in the 30 days up to the close.
    pub contacts_30_days: i64,
    /// Open promises that are due by the close.
    pub overdue_promises: i64,
    /// Whether the customer has lapsed by the close, against their own rhythm.
    pub lapsed: bool,
}

impl AtClose {
    /// Evaluates a head at the close of a day.
    pub fn of(head: &Head, closed_day: Day) -> AtClose {
        let days = closed_day.plus(1 - CONTACT_DAYS)..=closed_day;
        let contacts = head.contacts.iter().filter(|contacts| days.contains(&contacts.day));
        let overdue = promise_starts(head).filter(|&start| start <= closed_day);
        AtClose {
            contacts_30_days: contacts.map(|contacts| i64::from(contacts.n)).sum(),
            overdue_promises: overdue.count() as i64,
            lapsed: rhythm(head).is_some_and(|rhythm| rhythm.lapse() <= closed_day),
        }
    }
}

fn promise_starts(head: &Head) -> impl Iterator<Item = Day> {
    head.orders.iter().filter_map(|order| order.promise.as_ref()).map(|promise| promise.overdue.start)
}

/// The first day after `closed_day` whose close changes the record, if nothing else happens.
pub fn next_change(head: &Head, closed_day: Day) -> Option<Day> {
    let lapse = rhythm(head).map(|rhythm| rhythm.lapse());
    if head.contacts.is_empty() && promise_starts(head).next().is_none() && lapse.is_none() {
        return None;
    }
    let now = AtClose::of(head, closed_day);
    let mut after = closed_day;
    loop {
        // A message counts from the close of its day until 30 days later; a promise is overdue from its start on, and a customer
        // lapses once.
        let next = head
            .contacts
            .iter()
            .flat_map(|contacts| [contacts.day, contacts.day.plus(CONTACT_DAYS)])
            .chain(promise_starts(head))
            .chain(lapse)
            .filter(|&day| day > after)
            .min()?;
        if AtClose::of(head, next) != now {
            return Some(next);
        }
        after = next;
    }
}

fn mean(sum: Sum) -> f64 {
    sum.sum as f64 / sum.n as f64
}

fn summary(sum: Sum, last: i64) -> ScoreSummary {
    ScoreSummary { n: sum.n, last, mean: mean(sum) }
}

fn duration(milliseconds: Sum) -> DurationSummary {
    DurationSummary { n: milliseconds.n, mean_seconds: (milliseconds.n > 0).then(|| mean(milliseconds) / 1_000.0) }
}

fn score_key(answers: &Answers) -> String {
    match &answers.item {
        Some(item) => format!("{}:{item}", answers.scale),
        None => answers.scale.as_str().to_owned(),
    }
}

/// The insight record of a person at the close of a day.
pub fn render(person: PersonId, head: &Head, closed_day: Day) -> InsightRecord {
    let at_close = AtClose::of(head, closed_day);
    let mut identifiers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (kind, value) in &head.identifiers {
        let values = match identifiers.get_mut(kind.as_str()) {
            Some(values) => values,
            None => identifiers.entry(kind.as_str().to_owned()).or_default(),
        };
        values.push(value.to_string());
    }
    for values in identifiers.values_mut() {
        values.sort_unstable();
    }
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let by_currency = |sums: &[(crate::model::Currency, Sum)]| -> Vec<(String, Sum)> {
        sums.iter().map(|(currency, sum)| (currency.as_str().to_owned(), *sum)).collect()
    };
    InsightRecord {
        person: person.to_string(),
        identifiers,
        first_seen: head.first_seen,
        last_seen: head.last_seen,
        touchpoints: count(head.touchpoints),
        touchpoints_by_spoke: head.spokes.iter().map(|(spoke, n)| (spoke.to_string(), count(*n))).collect(),
        touchpoints_by_kind: head.kinds.iter().map(|(kind, n)| (kind.to_string(), count(*n))).collect(),
        touchpoints_by_channel: head.channels.iter().map(|(channel, n)| (channel.to_string(), count(*n))).collect(),
        phase: head.phase(),
        orders: head.purchases,
        frequency: (head.purchases - 1).max(0),
        revenue: by_currency(&head.revenue.0).into_iter().map(|(currency, sum)| (currency, sum.sum)).collect(),
        monetary_value: by_currency(&head.purchase_amounts.0)
            .into_iter()
            .map(|(currency, sum)| (currency, mean(sum)))
            .collect(),
        buying: head.buying.history().map(|bought| BuyingSummary {
            first_on: bought.first,
            last_on: bought.last,
            days: i64::from(bought.days),
            repeat_paid_days: i64::from(bought.repeat_paid_days),
            repeat_paid: bought.repeat_paid,
        }),
        rhythm: rhythm(head).map(|rhythm| RhythmSummary {
            days: rhythm.gaps + 1,
            mean_gap_days: rhythm.mean_gap_days(),
            limit_days: rhythm.limit_days,
            lapses_on: rhythm.lapse(),
            lapsed: at_close.lapsed,
        }),
        open_cases: head.cases.iter().filter(|case| case.open).count() as i64,
        scores: head.scores.iter().map(|answers| (score_key(answers), summary(answers.sum, answers.last))).collect(),
        sentiment: head.sentiment.map(|(sum, last)| summary(sum, last)),
        first_response_time: duration(head.first_response_ms),
        resolution_time: duration(head.resolution_ms),
        deliveries_on_time: head.deliveries_on_time,
        deliveries_late: head.deliveries_late,
        open_promises: promise_starts(head).count() as i64,
        overdue_promises: at_close.overdue_promises,
        contacts_30_days: at_close.contacts_30_days,
        journey: head
            .journey
            .iter()
            .map(|step| JourneyStep {
                spoke: head.spokes.get(step.spoke as usize).map_or_else(String::new, |(spoke, _)| spoke.to_string()),
                kind: step.kind,
                channel: step.channel,
            })
            .collect(),
        segment: head.segment.as_deref().map(Into::into),
        region: head.region.as_deref().map(Into::into),
        account: head.account.as_deref().map(Into::into),
    }
}
