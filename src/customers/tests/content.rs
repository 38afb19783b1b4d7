//! Who consumed content and went on, and who was active without it: stories, and against a plain count.

use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;

use super::world::*;
use crate::{
    customers::fold::{
        self, DimensionValue, Emit, FoldOptions, Head, Place, head::READERS_BYTES_MAX, place::windows_of,
    },
    metrics::catalogue::index,
    model::*,
};

const COMPANY: [&str; 2] = ["content_credibility month:2026-03 company", "content_credibility month:2026-04 company"];

#[test]
fn content_is_credible_if_who_consumed_it_goes_on() {
    let reader = ["web page_viewed at 09:00", "web content_consumed at 1d09:00", "sales order_placed O1 at 20d09:00"];
    check_customers(&reader[..1], &COMPANY, expect!["content_credibility month:2026-03 company: n 0, b 1"]);
    check_customers(&reader[..2], &COMPANY, expect!["content_credibility month:2026-03 company: n 1"]);
    check_customers(&reader, &COMPANY, expect!["content_credibility month:2026-03 company: n 1, a 1"]);
    // Before it was known that they consumed content, they were one of the others.
    let late = [reader[0], reader[2], reader[1]];
    check_customers(&late, &COMPANY, expect!["content_credibility month:2026-03 company: n 1, a 1"]);
    let too_late = [reader[1], "sales order_placed O1 at 31d09:01"];
    check_customers(
        &too_late,
        &COMPANY,
        expect![[r#"
        content_credibility month:2026-03 company: n 1
        content_credibility month:2026-04 company: n 0, b 1"#]],
    );
    // Of a month of 31 days the thirty may be over, and the person is no consumer so far.
    let last_moment = ["web page_viewed at 60d09:00", "sales order_placed O1 at 90d09:00"];
    let may = ["content_credibility month:2026-05 company"];
    check_customers(&last_moment, &may, expect!["content_credibility month:2026-05 company: n 0, b 1, sum 1"]);
    let later = [last_moment[0], "sales order_placed O1 at 90d09:01"];
    check_customers(&later, &may, expect!["content_credibility month:2026-05 company: n 0, b 1"]);
    // The delivery makes it a later phase; the order itself is where they were active first.
    let delivered = ["sales order_placed O1 at 09:00", "operations order_delivered O1 at 5d09:00"];
    check_customers(&delivered[..1], &COMPANY, expect!["content_credibility month:2026-03 company: n 0, b 1"]);
    check_customers(&delivered, &COMPANY, expect!["content_credibility month:2026-03 company: n 0, b 1, sum 1"]);
}

#[test]
fn whoever_consumes_content_under_one_value_is_one_of_the_others_under_the_values_without_it() {
    let month = ["content_credibility month:2026-03"];
    let story = [
        "web page_viewed subject shoes region north at 09:00",
        "web content_consumed subject shoes at 1d09:00",
        "sales order_placed O1 region north at 2d09:00",
    ];
    // Under the region nothing was read, and the order is what they went on to, whatever it is about.
    check_customers(
        &story,
        &month,
        expect![[r#"
            content_credibility month:2026-03 company: n 1, a 1
            content_credibility month:2026-03 phase=before: n 1, a 1
            content_credibility month:2026-03 region=north: n 0, b 1, sum 1
            content_credibility month:2026-03 spoke=sales: n 0, b 1
            content_credibility month:2026-03 spoke=web: n 1, a 1
            content_credibility month:2026-03 subject=shoes: n 1, a 1"#]],
    );
    // What comes late makes a reader of them in the region too, from there on.
    let late = [&story[..], &["web content_consumed subject shoes region north at 1d10:00"]].concat();
    check_customers(
        &late,
        &["content_credibility month:2026-03 region"],
        expect!["content_credibility month:2026-03 region=north: n 1, a 1"],
    );
    let too_late = [&story[..], &["web content_consumed subject shoes region north at 2d10:00"]].concat();
    check_customers(
        &too_late,
        &["content_credibility month:2026-03 region"],
        expect!["content_credibility month:2026-03 region=north: n 1"],
    );
}

#[test]
fn each_month_is_counted_from_its_own_first_touchpoint_and_by_itself() {
    let story = [
        // Of 31 March; the order is where the sales department met them.
        "web page_viewed subject shoes at 29d09:00",
        "sales order_placed O1 at 29d10:00",
        // Of April: March stays as it is. The order of the thirtieth day is in time.
        "web content_consumed subject shoes at 30d09:00",
        "web page_viewed subject hats at 59d08:00",
        "sales order_placed O2 at 60d09:00",
        // Of May. When the content is consumed the thirty days of who viewed the page are over; the order is too late for the caps.
        "web page_viewed subject hats at 60d10:00",
        "web page_viewed subject caps at 60d10:00",
        "web content_consumed subject hats at 90d10:01",
        "sales order_placed O3 at 90d10:02",
        "web content_consumed subject caps at 90d10:03",
    ];
    check_customers(
        &story[..8],
        &["content_credibility month:2026-05 subject"],
        expect![[r#"
        content_credibility month:2026-05 subject=caps: n 0, b 1
        content_credibility month:2026-05 subject=hats: n 1"#]],
    );
    check_customers(
        &story,
        &["content_credibility"],
        expect![[r#"
        content_credibility month:2026-03 company: n 0, b 1, sum 1
        content_credibility month:2026-03 phase=before: n 0, b 1, sum 1
        content_credibility month:2026-03 spoke=sales: n 0, b 1
        content_credibility month:2026-03 spoke=web: n 0, b 1, sum 1
        content_credibility month:2026-03 subject=shoes: n 0, b 1, sum 1
        content_credibility month:2026-04 company: n 1, a 1
        content_credibility month:2026-04 phase=during: n 1, a 1
        content_credibility month:2026-04 spoke=web: n 1, a 1
        content_credibility month:2026-04 subject=hats: n 0, b 1, sum 1
        content_credibility month:2026-04 subject=shoes: n 1, a 1
        content_credibility month:2026-05 company: n 1, a 1
        content_credibility month:2026-05 phase=during: n 1, a 1
        content_credibility month:2026-05 spoke=sales: n 0, b 1
        content_credibility month:2026-05 spoke=web: n 1, a 1
        content_credibility month:2026-05 subject=caps: n 1
        content_credibility month:2026-05 subject=hats: n 1, a 1"#]],
    );
    // Who went on without content is one of those who consumed it, once they do.
    let late = [&story[..5], &["web content_consumed subject hats at 59d08:30"]].concat();
    check_customers(
        &late,
        &["content_credibility month:2026-04 subject"],
        expect![[r#"
        content_credibility month:2026-04 subject=hats: n 1, a 1
        content_credibility month:2026-04 subject=shoes: n 1, a 1"#]],
    );
}

#[test]
fn so_many_values_wait_at_once_and_further_ones_count_nowhere_until_those_went_on_or_are_over() {
    const LENGTH: usize = 1_000;
    // The first view is the first of the department and of the phase, too.
    let fit = READERS_BYTES_MAX / (LENGTH + 28);
    let view = |kind: &str, subject: usize, day: usize, number: usize| {
        let at = format!("{day}d{:02}:{:02}", 9 + number / 60, number % 60);
        touchpoint(&format!("web {kind} subject {subject:0LENGTH$} at {at}"), number)
    };
    let mut world = World::new(10);
    let views: Vec<_> = (0..fit + 3).map(|number| view("page_viewed", number, 0, number)).collect();
    world.batch(&views.iter().collect::<Vec<_>>());
    world.commit();
    let of = |world: &World, month: &str, value: &str| {
        let cell = world.told.cells.get(&format!("content_credibility month:{month} {value}"));
        cell.map_or([0; 4], |cell| [cell.n, cell.a, cell.b, cell.sum])
    };
    let subject = |number: usize| format!("subject={number:0LENGTH$}");
    let capped = |world: &World| world.told.outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Capped).count();
    let others = (0..fit + 3).map(|number| of(&world, "2026-03", &subject(number)));
    let expected = (0..fit + 3).map(|number| [0, 0, i64::from(number < fit), 0]);
    assert_eq!(others.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    assert_eq!(capped(&world), 3);
    // Whoever was not one of the others is not taken back; the company is always followed.
    let mut reader = World::new(10);
    reader.batch(&views.iter().collect::<Vec<_>>());
    reader
        .batch(&[&view("content_consumed", fit, 1, fit + 3), &touchpoint("sales order_placed O1 at 2d09:00", fit + 4)]);
    reader.commit();
    assert_eq!(of(&reader, "2026-03", &subject(fit)), [0; 4]);
    assert_eq!(of(&reader, "2026-03", "company"), [1, 1, 0, 0]);
    assert_eq!(capped(&reader), 4);
    // Those who went on make room, and so do those of whom it is too late.
    reader.batch(&[&view("page_viewed", 1_000, 2, fit + 5)]);
    reader.commit();
    assert_eq!(of(&reader, "2026-03", &subject(1_000)), [0, 0, 1, 0]);
    assert_eq!(of(&reader, "2026-03", &subject(0)), [0, 0, 1, 1]);
    world.batch(&[&view("page_viewed", fit, 35, fit + 3)]);
    world.commit();
    assert_eq!(of(&world, "2026-04", &subject(fit)), [0, 0, 1, 0]);
    assert_eq!((capped(&reader), capped(&world)), (4, 3));
}

/// By month and value: consumers, those who went on, others, those who went on.
type Counts = BTreeMap<(Window, Dimension, String), [i64; 4]>;

#[derive(Default)]
struct Told(Counts);

impl Emit for Told {
    fn cell(
        &mut self,
        metric: u8,
        _: Option<Currency>,
        window: Window,
        value: &DimensionValue<'_>,
        add: &Accumulator,
        times: i64,
    ) {
        if metric == index::CONTENT_CREDIBILITY {
            let counts = self.0.entry((window, value.dimension, value.value.to_owned())).or_default();
            for (count, add) in counts.iter_mut().zip([add.n, add.a, add.b, add.sum]) {
                *count += add * times;
            }
        }
    }
}

/// One touchpoint: the kind, which of the orders so far, when, and its values.
fn any_step() -> impl Strategy<Value = (Kind, usize, i64, [Option<usize>; 3])> {
    const KINDS: &[Kind] = &[
        Kind::PageViewed,
        Kind::PageViewed,
        Kind::ContentConsumed,
        Kind::ContentConsumed,
        Kind::MessageSent,
        Kind::OrderPlaced,
        Kind::OrderDelivered,
        Kind::OrderCancelled,
    ];
    let value = || prop::option::weighted(0.7, 0..3_usize);
    (prop::sample::select(KINDS), 0..9_usize, 0..95 * 24_i64, [value(), value(), value()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The definition, word by word: for each month and value the first touchpoint, and whether anything after it is a
    /// purchase or leaves a later phase.
    #[test]
    fn who_goes_on_is_what_a_plain_count_says(mut steps in prop::collection::vec(any_step(), 1..60)) {
        steps.sort_by_key(|&(_, _, hour, _)| hour);
        let (mut head, mut told, options) = (Head::default(), Told::default(), FoldOptions::default());
        let mut touchpoints = Vec::new();
        for (number, &(kind, order, hour, values)) in steps.iter().enumerate() {
            let mut touchpoint = plain(kind, format!("e{number:03}").leak(), EventTime((i64::from(MONDAY.0) * 24 + hour) * 3_600_000));
            touchpoint.identifiers.push(Identifier { kind: IdentifierType::CustomerId, value: "ann" });
            // Content that a program sends and nobody asked for is consumed, and nobody is active.
            if kind == Kind::ContentConsumed && order % 2 == 1 {
                touchpoint.initiator = Initiator::System;
            }
            // Each order is placed once; the others are about one that was, or was not.
            let order = if kind == Kind::OrderPlaced { number } else { order * 4 };
            if kind.as_str().starts_with("order") {
                let value = format!("o{order}").leak();
                touchpoint.identifiers.push(Identifier { kind: IdentifierType::Order, value });
            }
            let names = ["a", "b", "c"];
            touchpoint.subject = values[0].map(|at| names[at]);
            touchpoint.region = values[1].map(|at| names[at]);
            touchpoint.spoke = values[2].map_or("web", |at| names[at]);
            let day = options.calendar.day(touchpoint.occurred_at);
            let before = head.phase();
            fold::step(&mut head, &touchpoint, &options, &mut told);
            touchpoints.push((touchpoint, before, head.phase(), windows_of(day), day));
        }
        let mut firsts: BTreeMap<(Window, Dimension, String), (bool, usize)> = BTreeMap::new();
        for wanted in [Kind::ContentConsumed, Kind::PageViewed] {
            let consumes = wanted == Kind::ContentConsumed;
            for (at, (touchpoint, before, _, windows, day)) in touchpoints.iter().enumerate() {
                if consumes && touchpoint.kind != wanted || !consumes && touchpoint.initiator != Initiator::Customer {
                    continue;
                }
                let place = Place::of_touchpoint(touchpoint, (*before, None), *day, *windows);
                for value in &place.values {
                    firsts.entry((windows[2], value.dimension, value.value.to_owned())).or_insert((consumes, at));
                }
            }
        }
        let mut expected = Counts::new();
        for (key, (consumes, from)) in firsts {
            let (first, _, phase, ..) = &touchpoints[from];
            let until = first.occurred_at.0 + 30 * 86_400_000;
            let went_on = touchpoints[from + 1..].iter().any(|(touchpoint, _, after, ..)| {
                touchpoint.occurred_at.0 <= until && (touchpoint.kind == Kind::OrderPlaced || after > phase)
            });
            let one = [1, i64::from(went_on)];
            expected.insert(key, if consumes { [one[0], one[1], 0, 0] } else { [0, 0, one[0], one[1]] });
        }
        told.0.retain(|_, counts| *counts != [0; 4]);
        prop_assert_eq!(told.0, expected);
    }
}
