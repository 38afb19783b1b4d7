//! Parameters of the models of buying as stories: of which months there are some, and that whatever happens on the way, they
//! are those of all purchases.

use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;

use super::{Harness, day};
use crate::{
    metrics::Options,
    model::{Accumulator, Calendar, Day, PurchaseElement},
};

fn options(steps: usize) -> Options {
    Options { background_steps_max: steps, ..Options::new(Calendar::utc(), 1) }
}

#[test]
fn a_month_has_parameters_from_its_close_and_every_month_after_a_change_has_new_ones() {
    let mut harness = Harness::new(options(10_000));
    for line in [
        "bought 2026-01-05 d,0,20458,0 5",
        "commit",
        "as-of 2026-02-01",
        "commit",
        "as-of 2026-04-15",
        "watermark 0 2026-02-02",
        "commit",
        // One of them bought again in March.
        "bought 2026-03-05 d,0,20458,0 -1",
        "bought 2026-03-05 d,1,20458,9 1",
        "bought 2026-03-05 s,1,999 1 12345",
        "commit",
        // And all of January is taken back, with what came of it.
        "bought 2026-01-05 d,0,20458,0 -5",
        "bought 2026-03-05 d,0,20458,0 1",
        "bought 2026-03-05 d,1,20458,9 -1",
        "bought 2026-03-05 s,1,999 -1 -12345",
        "commit",
    ] {
        harness.tell(line);
    }
    expect![[r#"
        parameters|month:2026-01|model=buying 5 customers, 0 again, 0 of 0 paid EUR, r None, nu None r1 provisional
        parameters|month:2026-01|model=buying 5 customers, 0 again, 0 of 0 paid EUR, r None, nu None r2 final
        parameters|month:2026-02|model=buying 5 customers, 0 again, 0 of 0 paid EUR, r None, nu None r1 provisional
        parameters|month:2026-03|model=buying 5 customers, 0 again, 0 of 0 paid EUR, r None, nu None r1 provisional
        parameters|month:2026-03|model=buying 5 customers, 1 again, 1 of 1 paid EUR, r None, nu None r2 provisional
        parameters|month:2026-01|model=buying gone
        parameters|month:2026-02|model=buying gone
        parameters|month:2026-03|model=buying gone
    "#]]
    .assert_eq(&harness.feed.lines);
}

#[test]
fn the_newest_twelve_closed_months_have_parameters() {
    let mut harness = Harness::new(options(10_000));
    harness.tell("bought 2024-01-05 d,0,19727,0 5");
    harness.tell("as-of 2026-03-01");
    harness.tell("commit");
    let months: Vec<&str> = harness.feed.latest.keys().map(|key| &key[17..24]).collect();
    assert_eq!((months.len(), months[0], months[11]), (12, "2025-03", "2026-02"));
    harness.tell("as-of 2026-05-01");
    harness.tell("commit");
    let months: Vec<&str> = harness.feed.latest.keys().map(|key| &key[17..24]).collect();
    assert_eq!((months.len(), months[0], months[11]), (12, "2025-05", "2026-04"));
}

#[test]
fn a_stream_without_a_pause_does_not_keep_parameters_waiting_for_ever() {
    let mut harness = Harness::new(options(10_000));
    harness.tell("as-of 2026-02-01");
    for _ in 0..520 {
        harness.tell("bought 2026-01-05 d,0,20458,0 1");
        harness.commit();
    }
    assert!(harness.feed.lines.contains("month:2026-01|model=buying 513 customers"), "{}", harness.feed.lines);
    harness.commit_all();
    assert!(harness.feed.lines.contains("model=buying 520 customers"), "{}", harness.feed.lines);
}

/// A customer's purchases, as days after the first with an amount each.
type Customer = (i32, Vec<(i32, i64)>);

/// What a customer contributes: with each purchase, nothing more of what was known before, and what is known now.
fn changes((first, later): &Customer) -> Vec<(Day, String, Accumulator)> {
    let from = day("2026-01-01").0;
    let mut days: BTreeMap<i32, i64> = later.iter().map(|(after, minor)| (first + after, *minor)).collect();
    days.insert(*first, 0);
    let days: Vec<(i32, i64)> = days.into_iter().collect();
    let mut changes = Vec::new();
    for known in 1..=days.len() {
        let elements = |known: usize, times: i64| {
            let day = |at: usize| Day(from + days[at].0);
            let when = PurchaseElement::of_history(known as u32 - 1, day(0), day(known - 1));
            let mut one = Accumulator::default();
            one.add(&Accumulator::count(1), times);
            let mut all = vec![(when, one)];
            if known > 1 {
                let total = days[1..known].iter().map(|it| it.1).sum();
                let (element, add) = PurchaseElement::of_spending(known as u32 - 1, total);
                let mut sum = Accumulator::default();
                sum.add(&add, times);
                all.push((element, sum));
            }
            all
        };
        let mut all = elements(known, 1);
        if known > 1 {
            all.extend(elements(known - 1, -1));
        }
        for (element, add) in all {
            let mut name = String::new();
            element.push_name(&mut name);
            changes.push((Day(from + days[known - 1].0), name, add));
        }
    }
    changes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn parameters_are_those_of_all_purchases_whatever_happens_on_the_way(
        customers in prop::collection::vec((0..80_i32, prop::collection::vec((1..60_i32, 1..5_000_i64), 0..4)), 1..90),
        steps in prop::sample::select(vec![1_usize, 7, 60, 10_000]),
        faults in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8), 0..12),
        late in any::<prop::sample::Index>(),
    ) {
        let all: Vec<_> = customers.iter().map(changes).collect();
        let mut whole = Harness::new(options(10_000));
        for (day, element, add) in all.iter().flatten() {
            whole.bought(*day, element, add);
        }
        whole.tell("as-of 2026-06-02");
        whole.commit_all();

        let mut other = Harness::new(options(steps));
        let faults: BTreeMap<usize, u8> = faults.iter().map(|(at, what)| (at.index(all.len()), *what)).collect();
        let late = late.index(all.len());
        for at in (late..all.len()).chain(0..late) {
            if at == 0 {
                other.tell("as-of 2026-06-02");
            }
            let add = |harness: &mut Harness| {
                all[at].iter().for_each(|(day, element, add)| harness.bought(*day, element, add));
            };
            add(&mut other);
            match faults.get(&at) {
                Some(0) => other.restart(at),
                Some(1) => other.roll_back(),
                Some(2) => {
                    other.commit_all();
                    continue;
                }
                Some(_) => {
                    for _ in 0..5 {
                        other.commit();
                    }
                    continue;
                }
                None => {
                    other.commit();
                    continue;
                }
            }
            // What was lost comes again.
            add(&mut other);
            other.commit();
        }
        other.tell("as-of 2026-06-02");
        other.commit_all();
        prop_assert_eq!(&other.feed.latest, &whole.feed.latest);
    }
}
