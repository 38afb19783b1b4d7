//! The verifier against feeds that are wrong: it must see each way in which they can be.

use serde_json::{Value, json};

use super::{
    Feeds, Options, compare,
    tests::{at, case, euro, order, touch, world, world_with},
};
use crate::world::Publications;

#[test]
fn the_order_of_arrival_and_copies_change_nothing() {
    let mut events = vec![
        order("order_placed", at(1, 9), "O1", euro(1_000)),
        order("order_delivered", at(2, 9), "O1", json!({})),
        case("case_opened", at(3, 9), json!({})),
    ];
    let once = world(&events);
    events.reverse();
    events.push(events[0].clone());
    let twice = world_with(&Options::default(), &events);
    assert_eq!((twice.accepted, twice.repeated), (4, 1));
    assert_eq!(compare(&once, &twice.feeds), []);
}

#[test]
fn the_verifier_finds_what_is_lost_doubled_swapped_or_stale() {
    let mut events: Vec<Value> = (1..20)
        .map(|day| {
            order(
                "order_placed",
                at(day, 9),
                &format!("O{day}"),
                json!({"amount": {"minor": 100 * day, "currency": "EUR"}}),
            )
        })
        .collect();
    let mut other = touch("page_viewed", at(3, 9), json!({"id": "x"}));
    other["identifiers"] = json!({"customer_id": "C2"});
    events.push(other);
    let truth = world(&events);
    assert_eq!(compare(&truth, &truth.clone()), []);
    // A touchpoint that the hub lost, and one that it counted twice.
    assert_ne!(compare(&truth, &world(&events[1..])), []);
    let mut twice = events.clone();
    let mut copy = events[4].clone();
    copy["id"] = json!("the same under another id");
    twice.push(copy);
    assert_ne!(compare(&truth, &world(&twice)), []);
    // A record lost, one too many, two swapped, one stale; in each feed.
    for feed in 0..3 {
        fn of(feeds: &mut Feeds, feed: usize) -> &mut std::collections::BTreeMap<String, Value> {
            match feed {
                0 => &mut feeds.customers,
                1 => &mut feeds.touchpoints,
                _ => &mut feeds.metrics,
            }
        }
        let keys: Vec<String> = of(&mut truth.clone(), feed).keys().cloned().collect();
        let (first, last) = (&keys[0], &keys[keys.len() - 1]);
        let mut lost = truth.clone();
        of(&mut lost, feed).remove(first);
        assert_eq!(compare(&truth, &lost).len(), 1);
        let mut added = truth.clone();
        let value = of(&mut added, feed)[first].clone();
        of(&mut added, feed).insert("another".into(), value);
        assert_eq!(compare(&truth, &added).len(), 1);
        let mut swapped = truth.clone();
        let (left, right) = (of(&mut swapped, feed)[first].clone(), of(&mut swapped, feed)[last].clone());
        of(&mut swapped, feed).insert(first.clone(), right);
        of(&mut swapped, feed).insert(last.clone(), left);
        assert!(compare(&truth, &swapped).len() >= 2);
        let mut before = world(&events[..18]);
        let stale_key = of(&mut before, feed)
            .iter()
            .find(|(key, value)| of(&mut truth.clone(), feed).get(*key).is_some_and(|now| now != *value));
        if let Some((key, value)) = stale_key.map(|(key, value)| (key.clone(), value.clone())) {
            let mut stale = truth.clone();
            of(&mut stale, feed).insert(key, value);
            assert_ne!(compare(&truth, &stale), []);
        } else {
            // A touchpoint never changes.
            assert_eq!(feed, 1);
        }
    }
}

#[test]
fn the_verifier_compares_numbers_as_promised() {
    let feeds =
        |value: Value| Feeds { metrics: [("nps|day:2026-01-01|".to_owned(), value)].into(), ..Feeds::default() };
    let same = |left: Value, right: Value| compare(&feeds(left), &feeds(right)).is_empty();
    assert!(same(json!({"value": 0.1}), json!({"value": 0.1 + 1e-12, "revision": 4, "status": "final", "p50": null})));
    assert!(!same(json!({"value": 0.1}), json!({"value": 0.1 + 1e-7})));
    assert!(!same(json!({"n": 1_000_000_000_000_i64}), json!({"n": 1_000_000_000_001_i64})));
    assert!(!same(json!({"n": 1}), json!({})));
    assert!(same(json!({"window": {"kind": "day"}}), json!({"window": {"kind": "day"}, "definition_version": 2})));
}

#[test]
fn a_feed_with_nothing_to_compare_is_named() {
    let one = |value: Value| std::collections::BTreeMap::from([("a key".to_owned(), value)]);
    let some = || one(json!({"n": 1}));
    let full = Feeds {
        customers: some(),
        touchpoints: some(),
        identities: some(),
        alerts: some(),
        metrics: some(),
        journeys: some(),
        attribution: some(),
        drivers: some(),
        changes: some(),
        priorities: some(),
        scorecards: one(json!({"n": 1, "open_alerts": {"customer_lapsed": 2}})),
        balance: some(),
        parameters: some(),
    };
    full.assert_each_speaks("something in each");
    let silences: [(&[&str], fn(&mut Feeds)); 14] = [
        (&["customers"], |feeds| feeds.customers.clear()),
        (&["touchpoints"], |feeds| feeds.touchpoints.clear()),
        (&["identities"], |feeds| feeds.identities.clear()),
        (&["alerts"], |feeds| feeds.alerts.clear()),
        // What arrived is not compared.
        (&["metrics"], |feeds| feeds.metrics = [("data_quality|day:2026-01-01|".to_owned(), json!({"n": 1}))].into()),
        (&["journeys"], |feeds| feeds.journeys.clear()),
        (&["attribution"], |feeds| feeds.attribution.clear()),
        (&["drivers"], |feeds| feeds.drivers.clear()),
        (&["changes"], |feeds| feeds.changes.clear()),
        (&["priorities"], |feeds| feeds.priorities.clear()),
        (&["open_alerts", "scorecards"], |feeds| feeds.scorecards.clear()),
        (&["open_alerts"], |feeds| feeds.scorecards.values_mut().for_each(|card| card["open_alerts"] = json!({}))),
        (&["balance"], |feeds| feeds.balance.clear()),
        (&["parameters"], |feeds| feeds.parameters.clear()),
    ];
    for (named, silence) in silences {
        let mut feeds = full.clone();
        silence(&mut feeds);
        assert_eq!(feeds.silent().into_iter().collect::<Vec<_>>(), named);
    }
}

#[test]
fn a_publication_that_is_lost_doubled_or_goes_back_is_met() {
    let met = |revisions: &[Option<i64>]| {
        let mut publications = Publications::default();
        revisions.iter().try_for_each(|revision| {
            let value = revision.map(|revision| json!({ "revision": revision }).to_string());
            publications.meet(b"a key", value.as_deref().map(str::as_bytes))
        })
    };
    assert_eq!(met(&[Some(1), Some(2), None, Some(1), None, None]), Ok(()));
    for wrong in [&[Some(2)][..], &[Some(1), Some(3)], &[Some(1), Some(1)], &[Some(1), Some(2), Some(1)]] {
        assert!(met(wrong).unwrap_err().contains("a key"), "{wrong:?}");
    }
}
