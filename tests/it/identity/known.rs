//! Anonymous to known: a cookie browses for a week, buys with an address, and a parcel knows only the order. Journey, metrics
//! and record are those of somebody who was known from the first visit.

use insight_hub::company::SourceEvent;
use serde_json::{Value, json};

use super::{Clerk, Hub, START_MS, Said, story::event};
use crate::{
    oracle::{self, Feeds},
    world::assert_truth,
};

const COOKIE: &str = "cookie:c-1";
const BUYER: &str = "email:ann@example.org cookie:c-1 order:O-1";
const PARCEL: &str = "order:O-1";
const DAY: i64 = 24;

fn with(mut event: SourceEvent, fields: Value) -> SourceEvent {
    let mut payload: Value = serde_json::from_slice(&event.payload).unwrap();
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event.payload = payload.to_string().into_bytes();
    event
}

/// Three weeks: visits in the first, the purchase and a promise in the second, the parcel and a visit in the third.
fn three_weeks() -> Vec<SourceEvent> {
    let mut events: Vec<SourceEvent> = (0..7)
        .map(|day| {
            let visit = event("shop", 1 + day, day as i64 * DAY + 9, "page_viewed", COOKIE);
            with(visit, json!({ "channel": if day % 2 == 0 { "web" } else { "app" }, "campaign": "spring" }))
        })
        .collect();
    events.push(with(
        event("shop", 8, 3 * DAY + 10, "survey_answered", COOKIE),
        json!({ "score": { "scale": "nps", "value": 9 } }),
    ));
    events.push(with(event("shop", 9, 7 * DAY + 12, "order_placed", BUYER), json!({ "channel": "web" })));
    let promised = json!({ "promised_at": START_MS + 13 * DAY * super::HOUR_MS });
    events.push(with(event("warehouse", 1, 7 * DAY + 13, "delivery_promised", PARCEL), promised));
    events.push(event("warehouse", 2, 8 * DAY, "order_shipped", PARCEL));
    events.push(event("warehouse", 3, 14 * DAY + 8, "order_delivered", PARCEL));
    events.push(event("shop", 10, 15 * DAY, "page_viewed", COOKIE));
    events
}

/// The same as if everybody had known from the start who it is.
fn known_from_the_start(events: &[SourceEvent]) -> Vec<SourceEvent> {
    let known = |event: &SourceEvent| {
        let mut payload: Value = serde_json::from_slice(&event.payload).unwrap();
        payload["identifiers"]["email"] = json!(["ann@example.org"]);
        SourceEvent { payload: payload.to_string().into_bytes(), ..event.clone() }
    };
    events.iter().map(known).collect()
}

/// The feeds, after each event was taken in before the next was said.
fn told_one_by_one(events: &[SourceEvent], seed: u64) -> Feeds {
    let mut hub = Hub::new(seed, if seed == 0 { 1 } else { 3 });
    let mut feeds = Feeds::default();
    for event in events {
        hub.tell(&[Said::Event(event.clone())]);
        hub.simulation.add_faults(u32::from(seed > 0));
        feeds = hub.rest("one by one");
    }
    let mut clerk = Clerk::default();
    clerk.hear(&events.iter().cloned().map(Said::Event).collect::<Vec<_>>());
    assert_truth(&clerk.truth().feeds, &feeds, "one by one");
    feeds
}

/// What each touchpoint carries is its own evidence; all else must be the same.
fn without_evidence(mut feeds: Feeds) -> Feeds {
    for touchpoint in feeds.touchpoints.values_mut() {
        touchpoint.as_object_mut().unwrap().remove("identifiers").unwrap();
    }
    feeds
}

#[test]
fn anonymous_to_known_is_as_if_known_from_the_first_visit() {
    let events = three_weeks();
    let known = without_evidence(told_one_by_one(&known_from_the_start(&events), 0));
    let mut parcel_first = events.clone();
    parcel_first.rotate_right(4);
    let mut delivery_first = events.clone();
    delivery_first.swap(0, 11);
    let backwards: Vec<SourceEvent> = events.iter().rev().cloned().collect();
    let orders = [
        ("as it happened", events),
        ("the parcel first", parcel_first),
        ("the delivery first", delivery_first),
        ("backwards", backwards),
    ];
    for (what, events) in orders {
        for seed in 0..4 {
            let feeds = told_one_by_one(&events, seed);
            let what = format!("{what}, schedule {seed}");
            assert_eq!(feeds.customers.len(), 1, "{what}: one person");
            let (person, record) = feeds.customers.first_key_value().unwrap();
            let carried: usize =
                feeds.touchpoints.values().filter(|it| it["identifiers"]["email"] != Value::Null).count();
            assert_eq!(carried, 1, "{what}: only the purchase says who it is");
            assert!(feeds.touchpoints.values().all(|it| it["person"] == person.as_str()), "{what}");
            assert_eq!(record["touchpoints"], 13);
            assert_eq!(record["first_seen"], "2026-03-02T09:00:00.000Z", "the first visit");
            assert_eq!(
                record["identifiers"],
                json!({"email": ["ann@example.org"], "cookie": ["c-1"], "order": ["O-1"]})
            );
            assert_eq!((&record["orders"], &record["deliveries_late"]), (&json!(1), &json!(1)));
            let differences = oracle::compare(&known.as_expected(), &without_evidence(feeds.clone()));
            assert!(differences.is_empty(), "{what}: not as if known from the start: {differences:?}");

            // Each step in its own week.
            let value = |metric: &str, week: &str, field: &str| {
                let cell = feeds.metrics.get(&format!("{metric}|week:2026-{week}|"));
                cell.map_or(Value::Null, |cell| cell[field].clone())
            };
            let in_weeks = |metric: &str, field: &str| ["W10", "W11", "W12"].map(|week| value(metric, week, field));
            assert_eq!(in_weeks("reach", "n"), [json!(1), json!(1), json!(1)], "{what}: one person in each week");
            assert_eq!(in_weeks("nps", "n"), [json!(1), Value::Null, Value::Null]);
            assert_eq!(in_weeks("orders", "value"), [Value::Null, json!(1.0), Value::Null]);
            assert_eq!(in_weeks("new_customers", "value"), [Value::Null, json!(1.0), Value::Null]);
            assert_eq!(in_weeks("on_time", "n"), [Value::Null, Value::Null, json!(1)]);
            let of_campaign = feeds.metrics.keys().filter(|key| key.starts_with("reach|week:2026-W10|campaign=spring"));
            assert_eq!(of_campaign.count(), 1, "{what}: the visits' campaign has reached the buyer");
        }
    }
}
