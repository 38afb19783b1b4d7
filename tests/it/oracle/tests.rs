//! The oracle against worlds small enough to compute by hand.

use serde_json::{Value, json};

use super::{Expected, Feeds, Options, Source, expected, figures::bucket_middle, person_id};

const HOUR: i64 = 3_600_000;

/// 2026-01-01T00:00:00Z plus days and hours: a Thursday, week 2026-W01.
pub(super) fn at(day: i64, hour: i64) -> i64 {
    1_767_225_600_000 + (day - 1) * 24 * HOUR + hour * HOUR
}

/// A canonical touchpoint of customer C1 with an id made from its kind and time.
pub(super) fn touch(kind: &str, occurred_at: i64, more: Value) -> Value {
    let mut event = json!({
        "id": format!("{kind}@{occurred_at}"),
        "kind": kind,
        "occurred_at": occurred_at,
        "identifiers": {"customer_id": "C1"},
    });
    for (name, value) in more.as_object().unwrap() {
        if name == "identifiers" {
            for (kind, values) in value.as_object().unwrap() {
                event["identifiers"][kind] = values.clone();
            }
        } else {
            event[name] = value.clone();
        }
    }
    event
}

pub(super) fn order(kind: &str, occurred_at: i64, order: &str, more: Value) -> Value {
    let mut event = touch(kind, occurred_at, more);
    event["identifiers"]["order"] = json!([order]);
    event
}

pub(super) fn case(kind: &str, occurred_at: i64, more: Value) -> Value {
    let mut event = touch(kind, occurred_at, more);
    event["identifiers"]["case"] = json!("T1");
    event
}

/// A visit on a later day, so that earlier days are closed.
fn closing(day: i64) -> Value {
    touch("other", at(day, 12), json!({}))
}

pub(super) fn world_with(options: &Options, events: &[Value]) -> Expected {
    let payloads: Vec<Vec<u8>> = events.iter().map(|event| serde_json::to_vec(event).unwrap()).collect();
    let timestamp_ms = at(400, 0);
    expected(payloads.iter().map(|payload| Source { spoke: "operations", payload, timestamp_ms }), options)
}

pub(super) fn world(events: &[Value]) -> Feeds {
    world_with(&Options::default(), events).feeds
}

fn customer(feeds: &Feeds) -> &Value {
    assert_eq!(feeds.customers.len(), 1);
    feeds.customers.values().next().unwrap()
}

/// (n, numerator, denominator) of a cell; `None` if it is not published.
fn cell(feeds: &Feeds, key: &str) -> Option<(i64, i64, i64)> {
    let value = feeds.metrics.get(key)?;
    let part = |name: &str| value[name].as_i64().unwrap();
    Some((part("n"), part("numerator"), part("denominator")))
}

pub(super) fn euro(minor: i64) -> Value {
    json!({"amount": {"minor": minor, "currency": "EUR"}})
}

#[test]
fn a_purchase_counts_in_its_windows_and_a_cancellation_takes_it_back() {
    let placed = order("order_placed", at(1, 9), "O1", euro(1_000));
    let second =
        order("order_placed", at(2, 9), "O2", json!({"amount": {"minor": 500, "currency": "EUR"}, "region": "north"}));
    let cancelled = order("order_cancelled", at(40, 9), "O1", json!({}));
    let feeds = world(&[placed.clone(), second.clone()]);
    assert_eq!(cell(&feeds, "orders|week:2026-W01|"), Some((2, 2, 1)));
    assert_eq!(cell(&feeds, "revenue|month:2026-01|currency=EUR"), Some((2, 1_500, 1)));
    assert_eq!(cell(&feeds, "average_order_value|day:2026-01-02|currency=EUR&region=north"), Some((1, 500, 1)));
    assert_eq!(cell(&feeds, "new_customers|day:2026-01-01|"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "new_customers|month:2026-01|phase=before"), Some((1, 1, 1)));
    let feeds = world(&[cancelled, second, placed]);
    assert_eq!(cell(&feeds, "orders|day:2026-01-01|"), None);
    assert_eq!(cell(&feeds, "revenue|month:2026-01|currency=EUR"), Some((1, 500, 1)));
    // The customer is new with the second order now, in the phase in which it was placed.
    assert_eq!(cell(&feeds, "new_customers|day:2026-01-01|"), None);
    assert_eq!(cell(&feeds, "new_customers|day:2026-01-02|phase=during"), Some((1, 1, 1)));
    let record = customer(&feeds);
    assert_eq!((&record["orders"], &record["frequency"], &record["phase"]), (&json!(1), &json!(0), &json!("during")));
    assert_eq!(record["revenue"], json!({"EUR": 500}));
    assert_eq!(record["monetary_value"], json!({"EUR": 500.0}));
    assert_eq!(record["journey"], json!([{"spoke": "operations", "kind": "order_cancelled", "channel": null}]));
}

#[test]
fn an_order_placed_again_is_no_purchase_and_one_cancelled_never_lives_again() {
    let feeds = world(&[
        order("order_placed", at(1, 9), "O1", euro(1_000)),
        order("order_placed", at(1, 10), "O1", euro(9_000)),
        order("order_cancelled", at(1, 11), "O1", json!({})),
        order("order_placed", at(1, 12), "O1", euro(7_000)),
    ]);
    assert_eq!(cell(&feeds, "orders|day:2026-01-01|"), None);
    assert_eq!(customer(&feeds)["phase"], "before");
    assert_eq!(customer(&feeds)["orders"], 0);
    // Cancelled before it was placed: it is placed all the same.
    let feeds =
        world(&[order("order_cancelled", at(1, 8), "O1", json!({})), order("order_placed", at(1, 9), "O1", json!({}))]);
    assert_eq!(customer(&feeds)["orders"], 1);
    assert_eq!(cell(&feeds, "revenue|day:2026-01-01|currency=EUR"), None);
}

#[test]
fn a_cancellation_without_a_placing_ends_what_was_promised_until_the_order_is_placed() {
    let promise = |kind: &str, day: i64, due: i64| order(kind, at(day, 9), "O1", json!({"promised_at": at(due, 9)}));
    let cancelled = order("order_cancelled", at(3, 9), "O1", json!({}));
    let told = [promise("delivery_promised", 1, 2), cancelled, promise("order_shipped", 4, 5), closing(8)];
    let feeds = world(&told);
    assert_eq!(cell(&feeds, "overdue|day:2026-01-02|"), Some((1, 1, 1)));
    for day in 3..8 {
        assert_eq!(cell(&feeds, &format!("overdue|day:2026-01-0{day}|")), None, "{day}");
    }
    assert_eq!(customer(&feeds)["open_promises"], 0);
    assert!(feeds.alerts.is_empty());
    // Delivered without a promise.
    let delivered = order("order_delivered", at(6, 9), "O1", json!({}));
    assert_eq!(cell(&world(&[&told[..], &[delivered]].concat()), "on_time|month:2026-01|"), None);
    // Placed with the promise that was off, it is promised.
    let placed = promise("order_placed", 6, 2);
    let feeds = world(&[&told[..], &[placed]].concat());
    assert_eq!(cell(&feeds, "overdue|day:2026-01-05|"), None);
    assert_eq!(cell(&feeds, "overdue|day:2026-01-06|"), Some((1, 1, 1)));
    assert_eq!(customer(&feeds)["open_promises"], 1);
}

#[test]
fn the_phase_is_that_before_the_touchpoint() {
    let feeds = world(&[
        touch("page_viewed", at(1, 8), json!({})),
        order("order_placed", at(1, 9), "O1", json!({})),
        touch("page_viewed", at(1, 10), json!({})),
        order("order_delivered", at(1, 11), "O1", json!({})),
        touch("page_viewed", at(1, 12), json!({})),
        touch("order_placed", at(2, 1), json!({})),
        touch("page_viewed", at(2, 2), json!({})),
        touch("order_delivered", at(2, 3), json!({})),
        touch("subscription_started", at(3, 1), json!({})),
        touch("page_viewed", at(3, 2), json!({})),
    ]);
    for (day, phase, reached) in [
        (1, "before", true),
        (1, "during", true),
        (1, "after", true),
        (2, "after", true),
        (2, "during", true),
        (2, "before", false),
        (3, "after", true),
        (3, "during", false),
    ] {
        let key = format!("reach|day:2026-01-0{day}|phase={phase}");
        assert_eq!(cell(&feeds, &key), reached.then_some((1, 1, 1)), "{key}");
    }
    assert_eq!(customer(&feeds)["orders"], 3);
    assert_eq!(customer(&feeds)["phase"], "after");
}

#[test]
fn renewals_are_revenue_and_no_purchases() {
    let contract = json!({"contract": "K1"});
    let with = |kind: &str, occurred_at: i64, minor: i64| {
        let mut event = touch(kind, occurred_at, euro(minor));
        event["identifiers"]["contract"] = contract["contract"].clone();
        event
    };
    let feeds = world(&[
        with("subscription_started", at(1, 1), 990),
        with("subscription_started", at(1, 2), 990),
        with("subscription_renewed", at(31, 1), 1_000),
        with("subscription_cancelled", at(32, 1), 5),
    ]);
    assert_eq!(cell(&feeds, "orders|month:2026-01|"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "revenue|month:2026-01|currency=EUR"), Some((2, 1_990, 1)));
    assert_eq!(cell(&feeds, "average_order_value|month:2026-01|currency=EUR"), Some((1, 990, 1)));
    assert_eq!(customer(&feeds)["revenue"], json!({"EUR": 1_990}));
    // Started again after it was cancelled, it is bought again and runs again.
    let feeds = world(&[
        with("subscription_cancelled", at(1, 0), 5),
        with("subscription_started", at(1, 1), 990),
        with("subscription_cancelled", at(12, 1), 5),
        with("subscription_cancelled", at(13, 1), 5),
        with("subscription_started", at(14, 1), 880),
        with("subscription_started", at(15, 1), 770),
        with("subscription_cancelled", at(40, 1), 5),
    ]);
    assert_eq!(cell(&feeds, "orders|month:2026-01|"), Some((2, 2, 1)));
    assert_eq!(cell(&feeds, "revenue|month:2026-01|currency=EUR"), Some((2, 1_870, 1)));
    assert_eq!(cell(&feeds, "churn|day:2026-01-12|"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "churn|month:2026-02|"), Some((1, 1, 1)));
}

#[test]
fn a_promise_is_kept_or_overdue_from_its_day_until_delivery() {
    let promised = |due: i64| json!({"promised_at": due, "region": "north"});
    let delivered = order("order_delivered", at(6, 12), "O1", json!({}));
    let feeds = world(&[
        order("order_placed", at(1, 9), "O1", json!({"promised_at": at(2, 9), "region": "south"})),
        // Replaced on day 3: the first one was overdue at the close of day 2 only.
        order("delivery_promised", at(3, 9), "O1", promised(at(4, 12))),
        delivered.clone(),
        closing(20),
    ]);
    let published: Vec<&str> = feeds
        .metrics
        .keys()
        .filter(|key| key.starts_with("overdue|") && !key.contains('='))
        .map(String::as_str)
        .collect();
    // Week 2026-W01 ends on Sunday the 4th. The month's last closed day is the 19th: level 0.
    assert_eq!(
        published,
        ["overdue|day:2026-01-02|", "overdue|day:2026-01-04|", "overdue|day:2026-01-05|", "overdue|week:2026-W01|"]
    );
    assert_eq!(cell(&feeds, "overdue|day:2026-01-02|region=south"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "overdue|day:2026-01-04|region=south"), None);
    // Two days late.
    assert_eq!(cell(&feeds, "promise_gap|day:2026-01-06|"), Some((1, 48 * HOUR, 1)));
    assert_eq!(feeds.metrics["promise_gap|day:2026-01-06|"]["value"], json!(2.0));
    assert_eq!(cell(&feeds, "on_time|day:2026-01-06|"), Some((1, 0, 1)));
    assert_eq!(cell(&feeds, "return_rate|day:2026-01-06|"), Some((1, 0, 1)));
    let record = customer(&feeds);
    assert_eq!((&record["deliveries_on_time"], &record["deliveries_late"]), (&json!(0), &json!(1)));
    assert_eq!(record["open_promises"], 0);
    // Not delivered: overdue on every closed day, and the longer windows show the last one.
    let feeds = world(&[order("delivery_promised", at(3, 9), "O1", promised(at(4, 12))), closing(20)]);
    assert_eq!(cell(&feeds, "overdue|day:2026-01-19|"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "overdue|day:2026-01-20|"), None);
    assert_eq!(cell(&feeds, "overdue|week:2026-W04|"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "overdue|month:2026-01|"), Some((1, 1, 1)));
    assert_eq!(customer(&feeds)["overdue_promises"], 1);
    // A tolerance of two days makes it on time, not less of a gap.
    let options = Options { on_time_tolerance_ms: 48 * HOUR, ..Options::default() };
    let late = [order("delivery_promised", at(3, 9), "O1", promised(at(4, 12))), delivered];
    let feeds = world_with(&options, &late).feeds;
    assert_eq!(cell(&feeds, "on_time|day:2026-01-06|"), Some((1, 1, 1)));
    assert_eq!(feeds.metrics["promise_gap|day:2026-01-06|"]["details"]["share_late"], json!(1.0));
}

#[test]
fn a_cancellation_ends_the_promise_and_a_promise_kept_in_time_is_never_overdue() {
    let feeds = world(&[
        order("order_placed", at(1, 9), "O1", json!({"promised_at": at(2, 9)})),
        order("order_cancelled", at(4, 9), "O1", json!({})),
        order("order_placed", at(1, 9), "O2", json!({"promised_at": at(5, 9), "id": "second"})),
        order("order_delivered", at(5, 8), "O2", json!({})),
        // Only a touchpoint.
        order("order_delivered", at(6, 8), "O2", json!({})),
        closing(10),
    ]);
    let overdue: Vec<&str> =
        feeds.metrics.keys().filter(|key| key.starts_with("overdue|day")).map(|key| &key[8..22]).collect();
    assert!(overdue.iter().all(|day| ["day:2026-01-02", "day:2026-01-03"].contains(day)), "{overdue:?}");
    assert_eq!(cell(&feeds, "on_time|month:2026-01|"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "promise_gap|month:2026-01|"), Some((1, -HOUR, 1)));
    assert_eq!(cell(&feeds, "return_rate|month:2026-01|"), Some((1, 0, 1)));
}

#[test]
fn returns_count_once_an_order_and_need_no_delivery() {
    let feeds = world(&[
        order("order_returned", at(1, 9), "O1", json!({})),
        order("order_returned", at(1, 10), "O1", json!({})),
        touch("order_returned", at(1, 11), json!({})),
    ]);
    assert_eq!(cell(&feeds, "return_rate|day:2026-01-01|"), Some((0, 2, 0)));
    assert_eq!(feeds.metrics["return_rate|day:2026-01-01|"].get("value"), None);
}

#[test]
fn what_happens_to_several_happens_to_each_and_an_amount_is_one() {
    let of = |kind: &str, hour: i64, names: Value, more: Value| {
        let thing = if kind.starts_with("case") { "case" } else { "order" };
        let mut event = touch(kind, at(1, 0) + hour * HOUR, more);
        event["identifiers"][thing] = names;
        event
    };
    let both = || json!(["O1", "O2"]);
    let told = [
        of("order_placed", 9, json!("O1"), euro(1_000)),
        of("order_placed", 10, json!("O2"), json!({"promised_at": at(2, 0)})),
        of("order_placed", 11, json!(["O2", "O3"]), euro(300)),
        of("order_delivered", 30, both(), json!({"promised_at": at(2, 9)})),
        of("refund_issued", 31, both(), euro(200)),
        of("case_opened", 32, json!(["T1", "T2"]), json!({})),
        of("case_replied", 35, json!(["T1", "T2", "T3"]), json!({"initiator": "agent"})),
        closing(9),
    ];
    let feeds = world(&told);
    // O3 is known, and no purchase: O2 was one before.
    assert_eq!(cell(&feeds, "orders|month:2026-01|"), Some((2, 2, 1)));
    assert_eq!(cell(&feeds, "on_time|month:2026-01|"), Some((2, 2, 2)));
    assert_eq!(cell(&feeds, "margin|month:2026-01|currency=EUR"), Some((2, 800, 1)));
    assert_eq!(cell(&feeds, "first_response_time|month:2026-01|").map(|it| it.0), Some(2));
    assert_eq!(customer(&feeds)["open_promises"], 0);
    let cancelled = of("order_cancelled", 50, json!(["O1", "O2", "O3"]), json!({}));
    let feeds = world(&[&told[..], &[cancelled]].concat());
    assert_eq!(cell(&feeds, "orders|month:2026-01|"), None);
    assert_eq!(cell(&feeds, "margin|month:2026-01|currency=EUR"), None);
    // Of two cases that one touchpoint opens, each is unanswered by itself.
    let feeds = world(&[of("case_opened", 9, json!(["T1", "T2"]), json!({})), closing(9)]);
    assert_eq!(feeds.alerts.len(), 2);
}

#[test]
fn the_first_public_reply_by_an_agent_answers_a_case() {
    let feeds = world(&[
        case("case_replied", at(1, 1), json!({})),
        case("case_opened", at(1, 9), json!({"subject": "delivery"})),
        case("case_replied", at(1, 10), json!({"initiator": "bot"})),
        case("case_replied", at(1, 11), json!({"visibility": "internal"})),
        case("case_replied", at(4, 9), json!({})),
        case("case_replied", at(4, 10), json!({})),
        case("case_resolved", at(5, 9), json!({})),
        case("case_reopened", at(6, 9), json!({})),
        case("case_opened", at(6, 10), json!({})),
        closing(10),
    ]);
    assert_eq!(cell(&feeds, "first_response_time|month:2026-01|"), Some((1, 72 * HOUR, 1)));
    assert_eq!(cell(&feeds, "resolution_time|day:2026-01-05|"), Some((1, 96 * HOUR, 1)));
    // Waiting longer than a day: from the 2nd until the reply on the 4th.
    assert_eq!(cell(&feeds, "unanswered|day:2026-01-01|"), None);
    assert_eq!(cell(&feeds, "unanswered|day:2026-01-02|subject=delivery"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "unanswered|day:2026-01-03|"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "unanswered|day:2026-01-04|"), None);
    // One case opened; the customer was active on days 1 and 6.
    assert_eq!(cell(&feeds, "contact_rate|month:2026-01|"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "contact_rate|day:2026-01-06|"), Some((1, 0, 1)));
    let record = customer(&feeds);
    assert_eq!(record["open_cases"], 1);
    assert_eq!(record["first_response_time"], json!({"n": 1, "mean_seconds": 259_200.0}));
}

#[test]
fn answers_make_scores() {
    let answer = |hour: i64, scale: &str, value: i64| {
        touch("survey_answered", at(1, hour), json!({"score": {"scale": scale, "value": value}}))
    };
    let mut events: Vec<Value> =
        [9, 10, 8, 0].iter().enumerate().map(|(index, value)| answer(index as i64, "nps", *value)).collect();
    events.extend([5, 3].iter().enumerate().map(|(index, value)| answer(5 + index as i64, "csat", *value)));
    events.extend([7, 4].iter().enumerate().map(|(index, value)| answer(8 + index as i64, "ces", *value)));
    events.push(touch("other", at(1, 11), json!({"sentiment": -21})));
    events.push(touch("other", at(1, 12), json!({"sentiment": -20})));
    events.push(touch(
        "survey_answered",
        at(1, 13),
        json!({"score": {"scale": "perception", "value": 6, "item": "speed"}}),
    ));
    let feeds = world(&events);
    let nps = &feeds.metrics["nps|day:2026-01-01|"];
    assert_eq!((nps["n"].as_i64(), nps["numerator"].as_i64(), nps["value"].as_f64()), (Some(4), Some(1), Some(25.0)));
    // p = 0.5, d = 0.25: 100·√((0.75 − 0.0625)/4).
    assert!((nps["standard_error"].as_f64().unwrap() - 41.457_809_879_442_5).abs() < 1e-9);
    let csat = &feeds.metrics["csat|day:2026-01-01|"];
    assert_eq!((csat["value"].as_f64(), csat["details"]["mean"].as_f64()), (Some(50.0), Some(4.0)));
    // Wilson for 1 of 2.
    assert!((csat["interval_low"].as_f64().unwrap() - 9.453_120_573_423_74).abs() < 1e-9, "{csat}");
    let ces = &feeds.metrics["ces|day:2026-01-01|"];
    assert_eq!((ces["value"].as_f64(), ces["standard_error"].as_f64()), (Some(5.5), Some(1.5)));
    assert_eq!(ces["details"]["share_easy"].as_f64(), Some(0.5));
    let sentiment = &feeds.metrics["sentiment|day:2026-01-01|"];
    assert_eq!(
        (sentiment["numerator"].as_i64(), sentiment["details"]["share_negative"].as_f64()),
        (Some(-41), Some(0.5))
    );
    let scores = &customer(&feeds)["scores"];
    assert_eq!(scores["nps"], json!({"n": 4, "last": 0, "mean": 6.75}));
    assert_eq!(scores["perception:speed"], json!({"n": 1, "last": 6, "mean": 6.0}));
}

#[test]
#[allow(clippy::float_cmp, reason = "middles of buckets are halves, which floats have exactly")]
fn percentiles_are_nearest_ranks_in_buckets_of_seven_binary_digits() {
    assert_eq!([bucket_middle(0), bucket_middle(127), bucket_middle(-5)], [0.0, 127.0, -5.0]);
    // 128..=129 share a bucket; 1000 = 0b1111101000 has lowest 1000, width 8.
    assert_eq!([bucket_middle(128), bucket_middle(129), bucket_middle(1_000)], [128.5, 128.5, 1_003.5]);
    assert_eq!(bucket_middle(-1_000), -1_003.5);
}

#[test]
fn reach_counts_persons_once_per_window_and_value() {
    let mut other = touch("page_viewed", at(2, 9), json!({"id": "x", "channel": "web"}));
    other["identifiers"] = json!({"email": ["Bob@Example.org "], "cookie": ["null", "ck-1"]});
    let feeds = world(&[
        touch("page_viewed", at(1, 9), json!({"channel": "web"})),
        touch("message_sent", at(1, 10), json!({"channel": "email"})),
        other,
    ]);
    assert_eq!(cell(&feeds, "reach|week:2026-W01|"), Some((2, 2, 1)));
    assert_eq!(cell(&feeds, "reach|week:2026-W01|channel=web"), Some((2, 2, 1)));
    assert_eq!(cell(&feeds, "reach|day:2026-01-01|"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "contact_rate|day:2026-01-01|channel=email"), None);
    let bob = person_id(&[7; 32], &(1, "bob@example.org".into()));
    assert_eq!(feeds.customers[&bob]["identifiers"], json!({"email": ["bob@example.org"], "cookie": ["ck-1"]}));
}

#[test]
fn contacts_are_those_of_the_thirty_days_up_to_the_last_closed_one() {
    let mut events: Vec<Value> = (1..=40).map(|day| touch("message_sent", at(day, 9), json!({}))).collect();
    // The newest is on day 40, so day 39 is the last closed one: days 10 to 39.
    assert_eq!(customer(&world(&events))["contacts_30_days"], 30);
    events.push(closing(41));
    assert_eq!(customer(&world(&events))["contacts_30_days"], 30);
    events.push(closing(45));
    assert_eq!(customer(&world(&events))["contacts_30_days"], 26);
}

#[test]
fn days_are_those_of_the_time_zone() {
    let options = Options { time_zone: "Europe/Berlin".into(), ..Options::default() };
    let events = [touch("page_viewed", at(1, 22), json!({})), touch("page_viewed", at(1, 23), json!({}))];
    let feeds = world_with(&options, &events).feeds;
    assert_eq!(cell(&feeds, "reach|day:2026-01-01|"), Some((1, 1, 1)));
    assert_eq!(cell(&feeds, "reach|day:2026-01-02|"), Some((1, 1, 1)));
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_stays_counted() {
    let mut events: Vec<Value> = (0..257)
        .map(|number| order("order_placed", at(1, 0) + number, &format!("O{number}"), json!({"promised_at": at(2, 0)})))
        .collect();
    // The first order is unknown by now: no cancellation, and placing it again is a purchase.
    events.push(order("order_cancelled", at(1, 1), "O0", json!({})));
    // Its cancellation was a first mention, too, and pushed out the next.
    assert_eq!(customer(&world(&events))["orders"], 257);
    assert_eq!(customer(&world(&events))["open_promises"], 255);
    events.push(order("order_placed", at(1, 2), "O0", json!({})));
    assert_eq!(customer(&world(&events))["orders"], 258);
    let many: Vec<Value> = (0..70)
        .map(|number| touch("other", at(1, 0) + number, json!({"identifiers": {"cookie": format!("k{number:02}")}})))
        .collect();
    let record = world(&many);
    let cookies = customer(&record)["identifiers"]["cookie"].as_array().unwrap();
    assert_eq!((cookies.len(), &cookies[63]), (64, &json!("k63")));
}

#[test]
fn the_journey_begins_after_the_last_purchase_and_collapses_repeats() {
    let mut events = vec![touch("page_viewed", at(1, 1), json!({})), order("order_placed", at(1, 2), "O1", json!({}))];
    events.extend((3..6).map(|hour| touch("page_viewed", at(1, hour), json!({"channel": "web"}))));
    events.push(touch("page_viewed", at(1, 7), json!({"channel": "app"})));
    let steps = json!([
        {"spoke": "operations", "kind": "page_viewed", "channel": "web"},
        {"spoke": "operations", "kind": "page_viewed", "channel": "app"},
    ]);
    assert_eq!(customer(&world(&events))["journey"], steps);
}

#[test]
fn one_purchase_ends_one_journey_even_if_the_one_before_it_was_cancelled() {
    let told = |cancelled: Value| {
        [
            order("order_placed", at(1, 9), "O1", json!({})),
            touch("payment_received", at(2, 9), json!({})),
            cancelled,
            order("order_placed", at(4, 9), "O2", json!({})),
            closing(50),
        ]
    };
    let ended = |feeds: &Feeds, goal: &str| {
        feeds
            .journeys
            .get(&format!("journeys|month:2026-01|goal={goal}"))
            .map(|it| (it["converted"].clone(), it["lost"].clone()))
    };
    for more in [json!({}), json!({"visibility": "internal"})] {
        let feeds = world(&told(order("order_cancelled", at(3, 9), "O1", more)));
        assert_eq!(ended(&feeds, "first_purchase"), Some((json!(1), json!(1))));
        assert_eq!(ended(&feeds, "repurchase"), None);
    }
    let feeds = world(&told(order("order_cancelled", at(3, 9), "O3", json!({}))));
    assert_eq!(ended(&feeds, "first_purchase"), Some((json!(1), json!(0))));
    assert_eq!(ended(&feeds, "repurchase"), Some((json!(1), json!(0))));
}

#[test]
fn the_purchase_before_which_all_are_cancelled_is_the_first_if_it_stood_then() {
    let told = |cancelled: &[&str]| {
        let placed = |day, name| order("order_placed", at(day, 9), name, json!({}));
        let seen = |day, channel: &str| touch("page_viewed", at(day, 9), json!({"channel": channel}));
        let mut events = vec![seen(1, "web"), placed(2, "O1"), seen(3, "app"), placed(4, "O2")];
        events.extend([seen(5, "store"), placed(6, "O3")]);
        let off = cancelled.iter().zip(7..).map(|(name, day)| order("order_cancelled", at(day, 9), name, json!({})));
        events.extend(off);
        world(&events)
    };
    let paths = |feeds: &Feeds, goal: &str| {
        let record = feeds.journeys.get(&format!("journeys|month:2026-01|goal={goal}"));
        let transitions = record.map_or(json!({}), |it| it["transitions"].clone());
        let ends = |channel: &str, end: &str| transitions[format!("operations:page_viewed:{channel} {end}")].clone();
        ["web", "app", "store"].map(|channel| (ends(channel, "(goal)"), ends(channel, "(lost)")))
    };
    let (none, led, lost) = ((json!(null), json!(null)), (json!(1), json!(null)), (json!(null), json!(1)));
    for (cancelled, first, again) in [
        (&[][..], [&led, &none, &none], [&none, &led, &led]),
        (&["O1"], [&lost, &led, &none], [&none, &none, &led]),
        (&["O2"], [&led, &none, &none], [&none, &lost, &led]),
        (&["O1", "O2"], [&lost, &lost, &led], [&none, &none, &none]),
        (&["O2", "O1"], [&lost, &none, &led], [&none, &lost, &none]),
    ] {
        let feeds = told(cancelled);
        assert_eq!(paths(&feeds, "first_purchase").each_ref(), first, "{cancelled:?}");
        assert_eq!(paths(&feeds, "repurchase").each_ref(), again, "{cancelled:?}");
    }
}
