//! The oracle's expectations, resolutions, follow-ups, buyers, margins and visits, computed by hand.

use serde_json::{Value, json};

use super::tests::{at, case, euro, order, touch, world};
use crate::oracle::Feeds;

/// (n, numerator, denominator) of a cell of the company; `None` if it is not published.
fn cell(feeds: &Feeds, metric: &str, window: &str) -> Option<(i64, i64, i64)> {
    at_key(feeds, &format!("{metric}|{window}|"))
}

fn at_key(feeds: &Feeds, key: &str) -> Option<(i64, i64, i64)> {
    let value = feeds.metrics.get(key)?;
    let part = |name: &str| value[name].as_i64().unwrap();
    Some((part("n"), part("numerator"), part("denominator")))
}

fn answer(day: i64, scale: &str, value: i64, item: &str) -> Value {
    touch("survey_answered", at(day, 9), json!({"score": {"scale": scale, "value": value, "item": item}}))
}

#[test]
fn gaps_are_of_neighbouring_answers_of_one_item() {
    let feeds = world(&[
        answer(1, "expectation", 7, "speed"),
        answer(2, "expectation", 5, "speed"),
        answer(3, "perception", 2, "speed"),
        answer(4, "perception", 6, "speed"),
        answer(5, "expectation", 4, "price"),
        answer(6, "expectation", 1, "speed"),
    ]);
    assert_eq!(cell(&feeds, "expectation_gap", "day:2026-01-03"), Some((1, -3, 1)));
    assert_eq!(cell(&feeds, "expectation_gap", "day:2026-01-06"), Some((1, 5, 1)));
    assert_eq!(at_key(&feeds, "expectation_gap|month:2026-01|item=speed"), Some((2, 2, 2)));
    assert_eq!(feeds.metrics["expectation_gap|month:2026-01|item=speed"]["details"]["share_below"], json!(0.5));
    assert_eq!(at_key(&feeds, "expectation_gap|month:2026-01|item=price"), None);
}

#[test]
fn the_last_resolution_counts_and_whether_the_first_one_held() {
    let opened = case("case_opened", at(1, 9), json!({"subject": "delivery"}));
    let resolved = case("case_resolved", at(2, 9), json!({}));
    let again = case("case_reopened", at(9, 9), json!({}));
    let once_more = case("case_resolved", at(9, 10), json!({}));
    let feeds = world(&[opened.clone(), resolved.clone(), again, once_more]);
    assert_eq!(cell(&feeds, "full_resolution_time", "month:2026-01"), Some((1, (8 * 24 + 1) * 3_600_000, 1)));
    assert_eq!(cell(&feeds, "full_resolution_time", "day:2026-01-02"), None);
    assert_eq!(cell(&feeds, "first_contact_resolution", "day:2026-01-02"), Some((1, 0, 1)));
    for (then, held) in [
        (case("case_reopened", at(9, 10), json!({})), 1),
        (touch("complaint_made", at(3, 9), json!({"subject": "delivery"})), 0),
        (touch("complaint_made", at(3, 9), json!({"subject": "invoice"})), 1),
        (case("survey_answered", at(3, 9), json!({"score": {"scale": "csat", "value": 5}})), 1),
        (case("case_replied", at(3, 9), json!({})), 1),
    ] {
        let feeds = world(&[opened.clone(), resolved.clone(), then.clone()]);
        assert_eq!(cell(&feeds, "first_contact_resolution", "day:2026-01-02"), Some((1, held, 1)), "{then}");
    }
}

#[test]
fn follow_ups_are_timed_from_the_first_cause_since_the_one_before() {
    let asked =
        |day: i64, value: i64| touch("survey_answered", at(day, 9), json!({"score": {"scale": "nps", "value": value}}));
    let feeds = world(&[
        touch("follow_up_made", at(1, 8), json!({})),
        asked(1, 7),
        asked(2, 6),
        touch("complaint_made", at(3, 9), json!({})),
        touch("follow_up_made", at(3, 10), json!({"initiator": "bot"})),
        touch("follow_up_made", at(3, 11), json!({"initiator": "system"})),
        touch("follow_up_made", at(3, 12), json!({"visibility": "internal"})),
        touch("follow_up_made", at(4, 9), json!({})),
        touch("complaint_made", at(5, 9), json!({})),
        touch("follow_up_made", at(7, 10), json!({})),
        touch("follow_up_made", at(8, 10), json!({})),
    ]);
    assert_eq!(cell(&feeds, "follow_up_time", "day:2026-01-01"), None);
    assert_eq!(cell(&feeds, "follow_up_time", "month:2026-01"), Some((2, (48 + 49) * 3_600_000, 2)));
    let month = &feeds.metrics["follow_up_time|month:2026-01|"];
    assert_eq!(month["details"]["share_within_48_hours"], json!(0.5));
}

#[test]
fn buyers_come_again_were_referred_or_had_heard() {
    let review = touch("review_posted", at(1, 8), json!({}));
    let first = order("order_placed", at(1, 9), "O1", json!({}));
    let second = order("order_placed", at(40, 9), "O2", json!({"referrer": {"type": "email", "value": "bob@x.org"}}));
    let third = order("order_placed", at(45, 9), "O3", json!({}));
    let cancelled = order("order_cancelled", at(46, 9), "O1", json!({}));
    let feeds = world(&[review.clone(), first.clone(), second.clone(), third.clone()]);
    let of = |feeds: &Feeds, day: &str| {
        ["repurchase_30", "repurchase_60", "repurchase_90", "referral", "word_of_mouth"]
            .map(|metric| cell(feeds, metric, day).map(|(n, a, _)| (n, a)))
    };
    assert_eq!(of(&feeds, "day:2026-01-01"), [Some((1, 0)), Some((1, 1)), Some((1, 1)), Some((1, 0)), Some((1, 1))]);
    let feeds = world(&[review, first, second, third, cancelled]);
    assert_eq!(of(&feeds, "day:2026-01-01"), [None; 5]);
    assert_eq!(of(&feeds, "day:2026-02-09"), [Some((1, 1)); 5]);
}

#[test]
fn a_margin_takes_costs_and_refunds_of_either_sign_from_revenue() {
    let mut placed = order("order_placed", at(1, 9), "O1", euro(1_000));
    placed["cost"] = json!({"minor": 10, "currency": "USD"});
    let feeds = world(&[
        placed,
        order("refund_issued", at(1, 10), "O1", euro(-100)),
        order("refund_issued", at(1, 11), "O1", euro(30)),
        touch("ad_shown", at(1, 12), json!({"cost": {"minor": 7, "currency": "EUR"}})),
    ]);
    assert_eq!(at_key(&feeds, "margin|day:2026-01-01|currency=EUR"), Some((4, 863, 1)));
    assert_eq!(at_key(&feeds, "margin|day:2026-01-01|currency=USD"), Some((1, -10, 1)));
}

#[test]
fn what_is_paid_back_of_a_cancelled_order_counts_nowhere() {
    let placed = order("order_placed", at(1, 9), "O1", euro(5_000));
    let other = order("order_placed", at(1, 10), "O2", euro(70));
    let part = order("refund_issued", at(2, 9), "O1", euro(-1_000));
    let cancelled = order("order_cancelled", at(40, 9), "O1", json!({}));
    let rest = order("refund_issued", at(40, 10), "O1", euro(4_000));
    let unnamed = touch("refund_issued", at(40, 11), euro(5));
    let told = [placed, other, part, cancelled, rest, unnamed];
    let feeds = world(&told[..3]);
    assert_eq!(at_key(&feeds, "margin|day:2026-01-02|currency=EUR"), Some((1, -1_000, 1)));
    let feeds = world(&told);
    assert_eq!(at_key(&feeds, "margin|day:2026-01-02|currency=EUR"), None);
    assert_eq!(at_key(&feeds, "margin|month:2026-01|currency=EUR"), Some((1, 70, 1)));
    assert_eq!(at_key(&feeds, "margin|month:2026-02|currency=EUR"), Some((1, -5, 1)));
    assert_eq!(at_key(&feeds, "customer_value|month:2026-02|currency=EUR").map(|it| it.1), Some(-5));
    // Of a long row the first sixteen are known when it is cancelled.
    let mut row = told[..2].to_vec();
    row.extend((1..=18).map(|minor| order("refund_issued", at(2, 0) + minor, "O1", euro(minor))));
    row.push(told[3].clone());
    assert_eq!(at_key(&world(&row), "margin|month:2026-01|currency=EUR"), Some((3, 70 - 17 - 18, 1)));
}

#[test]
fn persons_enter_once_a_window_and_reach_a_purchase_that_stands() {
    let viewed = |day: i64| touch("page_viewed", at(day, 8), json!({}));
    let first = order("order_placed", at(3, 9), "O1", json!({}));
    let second = order("order_placed", at(25, 9), "O2", json!({}));
    let told = [viewed(1), first, viewed(4), second, viewed(26)];
    let feeds = world(&told);
    assert_eq!(cell(&feeds, "conversion", "day:2026-01-01"), Some((1, 0, 1)));
    assert_eq!(cell(&feeds, "conversion", "week:2026-W01"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "conversion", "day:2026-01-04"), Some((1, 0, 1)));
    assert_eq!(cell(&feeds, "conversion", "week:2026-W05"), Some((1, 0, 1)));
    assert_eq!(cell(&feeds, "conversion", "month:2026-01"), Some((1, 1, 1)));
    // Nobody entered after the cancelled one, and the first visit went on for three weeks and more.
    let mut cancelled = told.to_vec();
    cancelled.push(order("order_cancelled", at(27, 9), "O1", json!({})));
    let feeds = world(&cancelled);
    assert_eq!(cell(&feeds, "conversion", "day:2026-01-04"), None);
    assert_eq!(cell(&feeds, "conversion", "week:2026-W01"), Some((1, 0, 1)));
    assert_eq!(cell(&feeds, "conversion", "month:2026-01"), Some((1, 1, 1)));
    // Too late to matter.
    let mut late = told.to_vec();
    late.push(order("order_cancelled", at(3 + 91, 9), "O1", json!({})));
    let late = world(&late);
    assert_eq!(cell(&late, "conversion", "day:2026-01-04"), Some((1, 0, 1)));
    assert_eq!(cell(&late, "orders", "month:2026-01"), Some((1, 1, 1)));
}
