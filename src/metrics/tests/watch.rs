//! Weeks outside their usual range, told week by week.

use expect_test::expect;
use proptest::prelude::*;

use super::{Harness, day, midnight};
use crate::{
    metrics::Options,
    model::{Acknowledgement, AlertId, Calendar, Day, EventTime, KeyValue as _},
};

/// A Monday.
fn monday(week: i32) -> Day {
    day("2026-01-05").plus(7 * week)
}

/// So many orders in each week from the first on, in a region, every other week a little more.
fn usual(harness: &mut Harness, weeks: std::ops::Range<i32>) {
    for week in weeks {
        harness.tell(&format!("orders {} region=north n={}", monday(week).plus(2), 100 + week % 2 * 10));
    }
}

fn harness() -> Harness {
    Harness::new(Options::new(Calendar::utc(), 1))
}

/// The lines since the last time.
fn told(harness: &mut Harness) -> String {
    harness.committed.1.alerts.clear();
    std::mem::take(&mut harness.feed.alerts)
}

/// The newest touchpoint happens on the day on which a week, and the grace after it, are over.
fn after(harness: &mut Harness, week: i32) {
    harness.as_of(monday(week + 1).plus(1));
    harness.commit_all();
}

#[test]
fn an_unusual_week_opens_an_alert_once_it_is_over_and_the_next_usual_one_closes_it() {
    let mut harness = harness();
    usual(&mut harness, 0..10);
    harness.tell(&format!("orders {} region=north n=20", monday(10)));
    harness.as_of(monday(11));
    harness.commit_all();
    assert_eq!(told(&mut harness), "", "the grace is not over");
    after(&mut harness, 10);
    expect![[r#"
        orders region north open week:2026-W12 since 2026-03-23 company mean=105.00 n=20.00 usual_high=138.72 usual_low=71.28 value=20.00 windows=10.00 r1
    "#]]
    .assert_eq(&told(&mut harness));
    harness.restart(3);
    harness.commit_all();
    assert_eq!(told(&mut harness), "", "it is not told twice");
    // The next week is unusual as well: updated, not opened again.
    harness.tell(&format!("orders {} region=north n=900", monday(11)));
    after(&mut harness, 11);
    expect![[r#"
        orders region north open week:2026-W13 since 2026-03-23 company mean=105.00 n=900.00 usual_high=138.72 usual_low=71.28 value=900.00 windows=10.00 r2
    "#]]
    .assert_eq(&told(&mut harness));
    usual(&mut harness, 12..13);
    after(&mut harness, 12);
    expect![[r#"
        orders region north closed since 2026-03-23 company r3
    "#]]
    .assert_eq(&told(&mut harness));
    assert!(harness.feed.open_alerts.is_empty());
}

/// What a store says of a series that has an alert, but for its version: examined, and what the feed knows.
type Stored = (Option<Day>, Option<(AlertId, String, Day, u64, u32, u8)>);

#[test]
fn an_alert_of_before_alerts_named_their_test_is_told_once_more_and_goes_on() {
    let mut harness = harness();
    usual(&mut harness, 0..10);
    harness.tell(&format!("orders {} region=north n=20", monday(10)));
    after(&mut harness, 10);
    assert_eq!(told(&mut harness).lines().count(), 1);
    let stored = harness.store.map.iter().filter(|(key, _)| key[0] == b'u');
    let stored: Vec<_> = stored.map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in stored {
        let (examined, open): Stored = postcard::from_bytes(&value[1..]).expect("the form of now");
        // Nothing was said of a test.
        let open =
            open.map(|(id, owner, since, content, revision, weeks)| (id, owner, since, !content, revision, weeks));
        let value = postcard::to_extend(&(examined, open), vec![2]).expect("a vector takes every byte");
        harness.store.put(&key, &value);
    }
    harness.keep();
    harness.restart(3);
    harness.commit_all();
    let told = told(&mut harness);
    assert!(
        told.contains("orders region north open") && told.ends_with(" r2\n") && told.lines().count() == 1,
        "{told}"
    );
}

#[test]
fn late_contributions_open_change_and_close() {
    let mut harness = harness();
    usual(&mut harness, 0..11);
    after(&mut harness, 10);
    assert_eq!(told(&mut harness), "");
    harness.tell(&format!("orders {} region=north n=100", monday(10)));
    harness.commit_all();
    assert_eq!(harness.feed.open_alerts.len(), 1);
    harness.tell(&format!("orders {} region=north n=-100", monday(10)));
    harness.commit_all();
    assert_eq!(told(&mut harness).lines().count(), 2);
    assert!(harness.feed.open_alerts.is_empty());
    // The weeks before say what is usual.
    for week in 0..10 {
        harness.tell(&format!("orders {} region=north n=50", monday(week)));
    }
    harness.commit_all();
    assert_eq!(harness.feed.open_alerts.len(), 1, "{}", harness.feed.alerts);
}

#[test]
fn no_orders_at_all_are_a_number_and_no_answers_are_none() {
    let mut harness = harness();
    usual(&mut harness, 0..10);
    for week in 0..10 {
        let moved = 20 + week % 2;
        harness.tell(&format!("csat {} region=north n=40 a={moved} sum=120", monday(week)));
    }
    harness.tell(&format!("csat {} region=north n=29 a=29 sum=29", monday(10)));
    after(&mut harness, 10);
    let told = told(&mut harness);
    assert!(told.contains("orders region north open") && told.contains(" value=0.00"), "{told}");
    assert!(!told.contains("csat"), "29 answers are too few: {told}");
}

#[test]
fn an_alert_of_a_department_is_its_own_and_stays_seen() {
    let mut harness = harness();
    for week in 0..10 {
        harness.tell(&format!("nps {} spoke=support n=100 a={} b=10", monday(week), 60 + week % 2));
    }
    harness.tell(&format!("nps {} spoke=support n=100 a=10 b=60", monday(10)));
    after(&mut harness, 10);
    let id = *harness.feed.open_alerts.first().expect("an alert");
    assert!(told(&mut harness).contains(" support "), "its owner");
    let seen = |number, by: &str| Acknowledgement { number, at: EventTime(5), by: by.into() };
    for (number, by) in [(7, "mo"), (9, "jo")] {
        harness.metrics.acknowledge(id, &seen(number, by), &mut harness.store).expect("a good store");
    }
    harness.commit_all();
    let now = told(&mut harness);
    assert!(now.contains("acknowledged") && now.contains("by mo r2"), "{now}");
    harness.restart(0);
    // It closes, and is found again.
    harness.tell(&format!("nps {} spoke=support a=50 b=-50", monday(10)));
    harness.commit_all();
    harness.tell(&format!("nps {} spoke=support a=-50 b=50", monday(10)));
    harness.commit_all();
    let now = told(&mut harness);
    assert!(now.lines().count() == 2 && now.contains("by mo r1"), "{now}");
}

#[test]
fn what_is_over_before_the_hub_has_caught_up_is_not_told() {
    let mut harness = harness();
    harness.metrics.tell_alerts(false);
    usual(&mut harness, 0..10);
    harness.tell(&format!("orders {} region=north n=20", monday(10)));
    after(&mut harness, 10);
    usual(&mut harness, 11..12);
    after(&mut harness, 11);
    harness.tell(&format!("orders {} region=north n=3", monday(12)));
    after(&mut harness, 12);
    assert_eq!(told(&mut harness), "");
    harness.restart(2);
    harness.commit_all(); // another instance looks at everything
    let now = told(&mut harness);
    assert!(now.lines().count() == 1 && now.contains("2026-W14"), "{now}");
}

#[test]
fn a_few_steps_a_commit_come_to_the_same() {
    let tell = |mut options: Options, steps| {
        options.background_steps_max = steps;
        let mut harness = Harness::new(options);
        for region in 0..20 {
            for week in 0..11 {
                let n = if week == 10 && region % 4 == 0 { 5 } else { 100 + week % 2 * 10 };
                harness.tell(&format!("orders {} region=r{region} n={n}", monday(week)));
            }
        }
        harness.metrics.advance(midnight(monday(11).plus(1)), &harness.store).expect("a good store");
        harness.commit_all();
        harness.feed.open_alerts
    };
    let all = tell(Options::new(Calendar::utc(), 1), 10_000);
    assert_eq!(all.len(), 5);
    for steps in [1, 40] {
        assert_eq!(tell(Options::new(Calendar::utc(), 1), steps), all);
    }
}

#[test]
fn a_week_that_ends_while_series_are_looked_at_is_looked_at_in_all_of_them() {
    let mut options = Options::new(Calendar::utc(), 1);
    options.background_steps_max = 40;
    let mut harness = Harness::new(options);
    for region in 0..20 {
        for week in 0..12 {
            let n = if week == 10 { 5 } else { 100 + week % 2 * 10 };
            harness.tell(&format!("orders {} region=r{region} n={n}", monday(week)));
        }
    }
    let mut most = 0;
    harness.as_of(monday(11).plus(1));
    for _ in 0..10 {
        assert!(harness.commit(), "more to do");
        most = most.max(harness.feed.open_alerts.len());
    }
    assert!(0 < most && most < 20, "{most} are open: it is in the middle of them");
    after(&mut harness, 11);
    assert!(harness.feed.open_alerts.is_empty(), "{} are open", harness.feed.open_alerts.len());
}

#[test]
fn a_series_whose_weeks_are_all_to_come_is_looked_at_when_they_are_over() {
    let mut harness = harness();
    harness.as_of(monday(0));
    usual(&mut harness, 0..10);
    harness.tell(&format!("orders {} region=north n=20", monday(10)));
    harness.commit_all();
    after(&mut harness, 10);
    assert_eq!(harness.feed.open_alerts.len(), 1);
}

#[test]
fn what_comes_late_and_moves_the_beginning_back_closes_nothing_and_leaves_it_seen() {
    let seen = |harness: &mut Harness, id, number| {
        let seen = Acknowledgement { number, at: EventTime(5), by: "mo".into() };
        harness.metrics.acknowledge(id, &seen, &mut harness.store).expect("a good store");
        harness.commit_all();
    };
    let late = |harness: &mut Harness, week: i32, n: i64| {
        harness.tell(&format!("orders {} region=north n={n}", monday(week)));
        harness.commit_all();
    };
    for is_seen_first in [true, false] {
        let mut harness = harness();
        usual(&mut harness, 0..11);
        harness.tell(&format!("orders {} region=north n=20", monday(11)));
        after(&mut harness, 11);
        let id = *harness.feed.open_alerts.first().expect("an alert");
        told(&mut harness);
        if is_seen_first {
            seen(&mut harness, id, 7);
            told(&mut harness);
        }
        // The week before was not usual either.
        late(&mut harness, 10, -80);
        let now = told(&mut harness);
        assert!(now.lines().count() == 1 && now.contains("since 2026-03-23") && now.contains(" r1"), "{now}");
        assert_eq!(now.contains("acknowledged"), is_seen_first, "{now}");
        assert!(harness.feed.open_alerts.len() == 1 && !harness.feed.open_alerts.contains(&id));
        harness.restart(0);
        harness.commit_all();
        assert_eq!(told(&mut harness), "");
        if !is_seen_first {
            // By somebody who knows it under the id that it had.
            seen(&mut harness, id, 7);
            let now = told(&mut harness);
            assert!(
                now.contains("acknowledged") && now.contains("since 2026-03-23") && now.contains("by mo r2"),
                "{now}"
            );
        }
        // It was usual after all: what began with it is over, and what is left has been seen.
        late(&mut harness, 10, 80);
        let now = told(&mut harness);
        let lines: Vec<&str> = now.lines().collect();
        assert!(lines[0].contains("acknowledged") && lines[0].contains("since 2026-03-30"), "{now}");
        assert!(lines.len() == 2 && lines[1].contains("closed since 2026-03-23"), "{now}");
        assert_eq!(harness.feed.open_alerts.iter().collect::<Vec<_>>(), [&id]);
        usual(&mut harness, 12..13);
        after(&mut harness, 12);
        assert!(harness.feed.open_alerts.is_empty());
        assert!(harness.store.map.keys().all(|key| key[0] != b'j'), "nothing is left of what was open");
    }
}

/// What happens on the way.
#[derive(Clone, Debug)]
enum Event {
    Orders { region: u8, week: i32, n: i32 },
    Day(Day),
    Commit,
    Restart(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..4_u8, 0..18, prop_oneof![Just(7), Just(90), Just(400)])
            .prop_map(|(region, week, n)| Event::Orders { region, week, n }),
        2 => (0..18, 0..7).prop_map(|(week, days)| Event::Day(monday(week).plus(days))),
        3 => Just(Event::Commit),
        1 => (0..4_usize).prop_map(Event::Restart),
    ]
}

proptest! {
    #[test]
    fn however_it_comes_and_is_cut_the_alerts_are_those_of_all_at_once(
        events in prop::collection::vec(any_event(), 1..60),
        steps in prop_oneof![1_usize..200, Just(10_000)],
    ) {
        let begun = |steps| {
            let mut options = Options::new(Calendar::utc(), 1);
            options.background_steps_max = steps;
            let mut harness = Harness::new(options);
            for region in 0..4 {
                for week in 0..17 {
                    let n = 100 + week % 2 * 10;
                    harness.tell(&format!("orders {} region=r{region} n={n}", monday(week)));
                }
            }
            harness
        };
        let orders = |harness: &mut Harness, event: &Event| {
            if let Event::Orders { region, week, n } = event {
                harness.tell(&format!("orders {} region=r{region} n={n}", monday(*week)));
            }
        };
        let mut whole = begun(10_000);
        events.iter().for_each(|event| orders(&mut whole, event));
        after(&mut whole, 17);

        let mut harness = begun(steps);
        for event in &events {
            match event {
                Event::Day(day) => harness.as_of(*day),
                Event::Commit => drop(harness.commit()),
                Event::Restart(on_disk) => {
                    harness.commit();
                    harness.restart(*on_disk);
                }
                Event::Orders { .. } => orders(&mut harness, event),
            }
        }
        after(&mut harness, 17);
        prop_assert_eq!(&harness.feed.open_alerts, &whole.feed.open_alerts);
        prop_assert_eq!(harness.feed.values(), whole.feed.values());
    }
}
