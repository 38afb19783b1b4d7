//! Families as stories: when an analysis is published, and that what waits is not forgotten.

use expect_test::expect;

use super::{Harness, day};
use crate::{
    metrics::Options,
    model::{
        Accumulator, Acknowledgement, AlertId, Calendar, CellKey, Dimension, EventTime, GroupElement, Window,
        WindowKind, family,
    },
};

fn check(lines: &[&str], expected: expect_test::Expect) {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 1));
    lines.iter().for_each(|line| harness.tell(line));
    expected.assert_eq(&harness.feed.lines);
}

#[test]
fn a_family_is_published_when_no_contributions_come_settles_and_goes() {
    check(
        &[
            "journeys 2026-01-31 repurchase - converted marketing:ad_clicked:web>sales:visit_made:store 2",
            "journeys 2026-01-31 repurchase gold lost marketing:ad_clicked:web 1",
            "commit-once",
            "journeys 2026-01-31 repurchase - lost  1",
            "commit",
            "watermark 0 2026-02-02",
            "commit",
            "journeys 2026-01-31 repurchase gold lost marketing:ad_clicked:web -1",
            "journeys 2026-01-31 repurchase - lost  -1",
            "commit",
        ],
        expect![[r#"
            journeys|month:2026-01|goal=repurchase 2 reached, 1 lost r1 provisional
            journeys|month:2026-01|goal=repurchase&segment=gold 0 reached, 1 lost r1 provisional
            journeys|month:2026-01|goal=repurchase 2 reached, 1 lost r2 final
            journeys|month:2026-01|goal=repurchase&segment=gold 0 reached, 1 lost r2 final
            journeys|month:2026-01|goal=repurchase 2 reached, 0 lost r3 revised
            journeys|month:2026-01|goal=repurchase&segment=gold gone
        "#]],
    );
}

#[test]
fn a_family_that_is_due_survives_a_crash_and_a_transaction_that_fails_leaves_nothing() {
    check(
        &[
            "journeys 2026-01-31 referral - converted sales:visit_made:store 2",
            "commit-once",
            "journeys 2026-01-31 referral - converted sales:visit_made:store 5",
            "roll-back",
            "restart",
            "journeys 2026-02-01 referral - lost sales:visit_made:store 1",
            "commit-once",
            "restart",
            "commit",
        ],
        expect![[r#"
            journeys|month:2026-01|goal=referral 2 reached, 0 lost r1 provisional
            journeys|month:2026-02|goal=referral 0 reached, 1 lost r1 provisional
        "#]],
    );
}

#[test]
fn a_stream_without_a_pause_does_not_keep_an_analysis_waiting_for_ever() {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 1));
    for _ in 0..40 {
        harness.tell("journeys 2026-01-31 referral - lost sales:visit_made:store 1");
        harness.commit();
    }
    expect!["journeys|month:2026-01|goal=referral 0 reached, 33 lost r1 provisional\n"].assert_eq(&harness.feed.lines);
    harness.commit_all();
    assert!(harness.feed.lines.ends_with("0 reached, 40 lost r2 provisional\n"), "{}", harness.feed.lines);
}

#[test]
fn a_balance_is_published_while_purchases_are_credited_and_due_when_they_change() {
    check(
        &[
            "contacts 2026-01-05 s:ad_clicked:web 10 300",
            "contacts 2026-01-06 s:visit_made: 2 500",
            "contacts 2026-02-06 s:visit_made: 2 500",
            "commit",
            "journeys 2026-01-31 first_purchase - converted s:ad_clicked:web>s:visit_made: 20",
            "commit",
            "journeys 2026-01-31 repurchase - converted s:ad_clicked:web 30",
            "journeys 2026-01-31 first_purchase gold converted s:ad_clicked:web 50",
            "journeys 2026-01-31 resolution - converted s:visit_made: 50",
            "commit",
            "restart",
            "journeys 2026-01-31 first_purchase - converted s:ad_clicked:web>s:visit_made: 10",
            "commit",
            "watermark 0 2026-02-02",
            "commit",
            "contacts 2026-01-05 s:visit_made: -1 500",
            "commit",
            "watermark 0 2026-03-02",
            "commit",
            "journeys 2026-01-31 repurchase - converted s:ad_clicked:web -1",
            "journeys 2026-01-31 first_purchase - converted s:ad_clicked:web>s:visit_made: -1",
            "commit",
        ],
        expect![[r#"
            scorecards|month:2026-01|spoke=s 12 touchpoints, cost net None r1 provisional
            scorecards|month:2026-02|spoke=s 2 touchpoints, cost net None r1 provisional
            journeys|month:2026-01|goal=first_purchase 20 reached, 0 lost r1 provisional
            journeys|month:2026-01|goal=repurchase 30 reached, 0 lost r1 provisional
            journeys|month:2026-01|goal=resolution 50 reached, 0 lost r1 provisional
            journeys|month:2026-01|goal=first_purchase&segment=gold 50 reached, 0 lost r1 provisional
            balance|month:2026-01| by cost: ad_clicked +0.250 keep, visit_made -0.250 save r1 provisional
            scorecards|month:2026-01|spoke=s 12 touchpoints, cost net Some(+0.000) r2 provisional
            journeys|month:2026-01|goal=first_purchase 30 reached, 0 lost r2 provisional
            balance|month:2026-01| by cost: ad_clicked +0.000 keep, visit_made +0.000 keep r2 provisional
            scorecards|month:2026-01|spoke=s 12 touchpoints, cost net Some(+0.000) r3 provisional
            journeys|month:2026-01|goal=first_purchase 30 reached, 0 lost r3 final
            journeys|month:2026-01|goal=repurchase 30 reached, 0 lost r2 final
            journeys|month:2026-01|goal=resolution 50 reached, 0 lost r2 final
            journeys|month:2026-01|goal=first_purchase&segment=gold 50 reached, 0 lost r2 final
            balance|month:2026-01| by cost: ad_clicked +0.000 keep, visit_made +0.000 keep r3 final
            balance|month:2026-01| by cost: visit_made +0.107 keep, ad_clicked -0.107 save r4 revised
            scorecards|month:2026-01|spoke=s 11 touchpoints, cost net Some(+0.000) r4 provisional
            scorecards|month:2026-01|spoke=s 11 touchpoints, cost net Some(+0.000) r5 final
            journeys|month:2026-01|goal=first_purchase 29 reached, 0 lost r4 revised
            journeys|month:2026-01|goal=repurchase 29 reached, 0 lost r3 revised
            balance|month:2026-01| gone
            scorecards|month:2026-01|spoke=s 11 touchpoints, cost net None r6 revised
        "#]],
    );
}

/// So many persons of a month were touched by a subject, or are everybody; so many of them bought again.
fn touched(harness: &mut Harness, month: &str, subject: &[&str], (persons, again): (i64, i64)) {
    let element = [&[GroupElement::Persons.as_str()], subject].concat();
    let value = family::cell_value(&[family::PERSONS], &element);
    let window = Window::of(WindowKind::Month, day(month));
    let (metric, dimension) = (family::PRIORITIES, Dimension::Company);
    let cell = CellKey { metric, currency: None, dimension, value: &value, window };
    let sum = Accumulator { n: persons, a: again, b: persons, sum: 100 * persons, ..Accumulator::default() };
    harness.metrics.contribution(cell, &sum, &mut harness.store).expect("a good contribution");
}

const DELIVERY: [&str; 3] = ["support", "case_opened", "delivery"];

#[test]
fn a_priority_that_somebody_has_taken_on_says_so_in_every_month() {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 1));
    let month = |harness: &mut Harness, month: &str| {
        touched(harness, month, &[""], (1_000, 600));
        touched(harness, month, &DELIVERY, (100, 20));
    };
    month(&mut harness, "2026-01-31");
    harness.commit_all();
    let id = AlertId::of_priority("support", "case_opened", "delivery");
    let other = AlertId::of_priority("support", "case_opened", "invoice");
    for (id, number, by) in [(other, 1, "jo"), (id, 2, "mo"), (id, 3, "al")] {
        let seen = Acknowledgement { number, at: EventTime(5), by: by.into() };
        harness.metrics.acknowledge(id, &seen, &mut harness.store).expect("a good store");
    }
    harness.commit_all();
    assert_eq!(harness.feed.latest["priorities|month:2026-01|of=persons"], "1000 persons seen by mo");
    harness.restart(1);
    month(&mut harness, "2026-03-01");
    harness.commit_all();
    assert_eq!(harness.feed.latest["priorities|month:2026-03|of=persons"], "1000 persons seen by mo");
}

/// As where a department writes an order's number into the subject.
#[test]
fn many_subjects_of_a_month_are_not_looked_up_one_by_one() {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 1));
    touched(&mut harness, "2026-01-31", &[""], (30_000, 18_000));
    touched(&mut harness, "2026-01-31", &DELIVERY, (100, 20));
    for number in 0..20_000 {
        touched(&mut harness, "2026-01-31", &["support", "case_opened", &number.to_string()], (1, 1));
    }
    harness.commit_all();
    let looks = |harness: &mut Harness| {
        let before = harness.store.looks.get();
        harness.commit_all();
        harness.store.looks.get() - before
    };
    touched(&mut harness, "2026-01-31", &["support", "case_opened", "17"], (1, 0));
    let of_change = looks(&mut harness);
    let seen = Acknowledgement { number: 1, at: EventTime(5), by: "mo".into() };
    let id = AlertId::of_priority("support", "case_opened", "delivery");
    harness.metrics.acknowledge(id, &seen, &mut harness.store).expect("a good store");
    let of_acknowledgement = looks(&mut harness);
    assert_eq!(harness.feed.latest["priorities|month:2026-01|of=persons"], "30000 persons seen by mo");
    assert!(of_change.max(of_acknowledgement) < 1_000, "{of_change} and {of_acknowledgement} were looked up");
}

/// A path of ten steps; which of three each is follows from a number.
fn long_path(number: usize) -> String {
    let steps = (0..10)
        .map(|place| format!("s{place}:visit_made:{}", ["web", "app", "store"][number / 3_usize.pow(place) % 3]));
    steps.collect::<Vec<_>>().join(">")
}

#[test]
fn a_large_family_is_read_by_several_commits_and_what_comes_meanwhile_is_in_it() {
    let journeys = |number: usize| {
        let end = if number.is_multiple_of(3) { "lost" } else { "converted" };
        format!("journeys 2026-01-31 referral - {end} {} {}", long_path(number / 2), 1 + number % 7)
    };
    // What comes later: journeys on paths that are known, before and after wherever the reading is, and some that are taken back.
    let later = |number: usize| match number % 4 {
        0 => format!("journeys 2026-01-31 referral - converted {} 3", long_path(number * 97 % 5_000)),
        1 => format!("journeys 2026-01-31 referral - lost {} 5", long_path(number * 31 % 5_000)),
        2 => format!("{} -1", journeys(number * 13 % 5_000).rsplit_once(' ').map_or("", |(told, _)| told)),
        _ => format!("journeys 2026-01-31 referral - converted {} 9", long_path(20_000 + number)),
    };
    let mut once = Harness::new(Options::new(Calendar::utc(), 1));
    let mut twice = Harness::new(Options::new(Calendar::utc(), 1));
    for number in 0..5_000 {
        once.tell(&journeys(number));
        twice.tell(&journeys(number));
    }
    once.commit_all();
    twice.commit_all();
    twice.tell("restart");
    // After so many commits with contributions an analysis does not wait any longer: it is read while they come.
    let before = twice.feed.publications;
    let mut first_told = None;
    for number in 0..60 {
        once.tell(&later(number));
        twice.tell(&later(number));
        twice.commit();
        if twice.feed.publications > before {
            first_told = first_told.or(Some(number));
        }
    }
    // At once, it would be told with number 32.
    assert!(first_told.is_some_and(|number| number > 34), "{first_told:?}");
    once.commit_all();
    twice.commit_all();
    assert!(!once.feed.journeys.is_empty());
    assert_eq!(once.feed.journeys, twice.feed.journeys);
    twice.tell("restart");
    twice.tell("journeys 2026-01-31 referral - lost  1");
    once.tell("journeys 2026-01-31 referral - lost  1");
    once.commit_all();
    twice.commit_all();
    assert_eq!(once.feed.journeys, twice.feed.journeys);
}

#[test]
fn a_scorecard_is_due_with_its_priorities_and_alerts_and_final_when_the_month_after_is_over() {
    check(
        &[
            "contacts 2026-01-05 a:visit_made: 10 300",
            "contacts 2026-01-06 b:case_opened: 2 500",
            "alerts 2026-01-07 b case_unanswered 2",
            "alerts 2026-01-07 c promise_overdue 1",
            "commit",
            "persons 2026-01-31 - - 100 50",
            "persons 2026-01-31 b late 40 10",
            "persons 2026-01-31 b slow 40 15",
            "persons 2026-01-31 a dear 40 12",
            "commit",
            "watermark 0 2026-02-02",
            "commit",
            "restart",
            "watermark 0 2026-03-02",
            "commit",
            "alerts 2026-01-07 b case_unanswered -2",
            "alerts 2026-01-07 c promise_overdue -1",
            "commit",
            "persons 2026-01-31 b late -40 -10",
            "commit",
        ],
        expect![[r#"
            scorecards|month:2026-01|spoke=a 10 touchpoints, cost net None r1 provisional
            scorecards|month:2026-01|spoke=b 2 touchpoints, cost net None, 2 case_unanswered r1 provisional
            scorecards|month:2026-01|spoke=c 0 touchpoints, touchpoints net None, 1 promise_overdue r1 provisional
            priorities|month:2026-01|of=persons 100 persons r1 provisional
            scorecards|month:2026-01|spoke=a 10 touchpoints, cost net None, 2. dear r2 provisional
            scorecards|month:2026-01|spoke=b 2 touchpoints, cost net None, 1. late, 3. slow, 2 case_unanswered r2 provisional
            priorities|month:2026-01|of=persons 100 persons r2 final
            scorecards|month:2026-01|spoke=a 10 touchpoints, cost net None, 2. dear r3 final
            scorecards|month:2026-01|spoke=b 2 touchpoints, cost net None, 1. late, 3. slow, 2 case_unanswered r3 final
            scorecards|month:2026-01|spoke=c 0 touchpoints, touchpoints net None, 1 promise_overdue r2 final
            scorecards|month:2026-01|spoke=b 2 touchpoints, cost net None, 1. late, 3. slow r4 revised
            scorecards|month:2026-01|spoke=c gone
            priorities|month:2026-01|of=persons 100 persons r3 revised
            scorecards|month:2026-01|spoke=a 10 touchpoints, cost net None, 1. dear r4 revised
            scorecards|month:2026-01|spoke=b 2 touchpoints, cost net None, 2. slow r5 revised
        "#]],
    );
}

#[test]
fn a_rebuild_counts_what_scorecards_have_again() {
    let story = [
        "contacts 2026-01-05 b:visit_made: 10 300",
        "alerts 2026-01-07 b case_unanswered 2",
        "alerts 2026-01-07 c promise_overdue 1",
        "persons 2026-01-31 - - 100 50",
        "persons 2026-01-31 b late 40 10",
        "commit",
    ];
    let mut harness = Harness::new(Options::new(Calendar::utc(), 1));
    story.iter().for_each(|line| harness.tell(line));
    let before = harness.feed.latest.clone();
    assert_eq!(before.len(), 3, "{before:?}");
    let mut first = true;
    while harness.metrics.clear(std::mem::take(&mut first), 2, &mut harness.store).expect("a good store").1 {}
    story.iter().for_each(|line| harness.tell(line));
    assert_eq!(harness.feed.latest, before, "withheld");
    harness.metrics.refolded(0, &mut harness.store).expect("a good store");
    harness.commit_all();
    assert_eq!(harness.feed.latest, before);
}

/// Analyses that change with every commit keep none of the others waiting.
#[test]
fn without_a_pause_everything_has_its_turn() {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 1));
    for commit in 0..400 {
        for goal in ["a", "b", "c", "d", "e", "f"] {
            harness.tell(&format!("journeys 2026-01-31 {goal} - converted sales:visit_made:store 1"));
        }
        harness.tell("contacts 2026-01-05 b:case_opened: 1 500");
        harness.tell("alerts 2026-01-07 b case_unanswered 1");
        harness.tell("persons 2026-01-31 b late 1 0");
        assert!(harness.commit(), "there is always more in commit {commit}");
        if commit == 0 {
            harness.tell("restart");
        }
    }
    let told: Vec<&str> = harness.feed.latest.keys().map(|key| key.split('|').next().unwrap_or_default()).collect();
    for feed in ["journeys", "priorities", "scorecards"] {
        assert!(told.contains(&feed), "{feed} waits for ever: {told:?}");
    }
    let card = |harness: &Harness| harness.feed.latest["scorecards|month:2026-01|spoke=b"].clone();
    let amid = card(&harness);
    harness.commit_all();
    let end = card(&harness);
    assert!(
        end.contains("400 touchpoints") && end.contains("400 case_unanswered") && end != amid,
        "{amid}, then {end}"
    );
}

#[test]
fn whoever_has_seen_something_else_publishes_no_month_again() {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 1));
    for month in ["2026-01-31", "2026-02-28"] {
        touched(&mut harness, month, &[""], (1_000, 600));
        touched(&mut harness, month, &["b", "case_opened", "late"], (100, 20));
    }
    touched(&mut harness, "2026-02-28", &["b", "case_opened", "slow"], (100, 20));
    // Too few to say anything of.
    touched(&mut harness, "2026-02-28", &["b", "case_opened", "rare"], (20, 2));
    harness.commit_all();
    let seen = |harness: &mut Harness, subject: &str| {
        let before = harness.feed.publications;
        let id = AlertId::of_priority("b", "case_opened", subject);
        let seen = Acknowledgement { number: 1, at: EventTime(5), by: "mo".into() };
        harness.metrics.acknowledge(id, &seen, &mut harness.store).expect("a good store");
        harness.commit_all();
        harness.feed.publications - before
    };
    assert_eq!(seen(&mut harness, "an alert"), 0);
    assert_eq!(seen(&mut harness, "rare"), 0, "of which nothing is published");
    assert_eq!(seen(&mut harness, "slow"), 1, "the month that has it");
    assert_eq!(seen(&mut harness, "late"), 2);
}
