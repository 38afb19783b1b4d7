//! Months that are over and lose a purchase after all, as stories, and counted plainly.

use std::collections::BTreeMap;

use expect_test::expect;
use proptest::prelude::*;

use super::world::{MONDAY, World, check_customers, person_of, touchpoint};
use crate::model::{Identifier, IdentifierType};

/// What is told of outcomes: bought_again 7, revenue 8 and margin 9 by themselves, for the company and a segment, bought again beside an
/// answer at a department and a kind of contact, and of subjects.
const SHOWN: [&str; 4] = [" 7,7,p: ", " 8,8,p: ", " 9,9,p: ", " 0,7,p: "];

/// The lines of [`SHOWN`] and of subjects, by what they are about.
fn outcomes(world: &World) -> BTreeMap<String, String> {
    let is_shown = |line: &String| {
        line.starts_with("priorities") && line.contains(" persons g ") || SHOWN.iter().any(|part| line.contains(part))
    };
    let told = world.lines().into_iter().filter(is_shown);
    told.filter_map(|line| line.rsplit_once(": ").map(|(about, of)| (about.to_owned(), of.to_owned()))).collect()
}

/// A customer of March (which begins on day -1) who bought again in April, and was seen in June.
const STORY: [&str; 5] = [
    "sales order_placed O1 for 500EUR at 0d09:00",
    "sales order_placed O2 for 70EUR at 35d09:00",
    "support survey_answered csat 4 subject delivery at 36d09:00",
    "operations refund_issued O2 for 30EUR at 66d09:00",
    "web page_viewed at 95d09:00",
];

const OF_STORY: [&str; 6] = [
    "months month:2026-03 persons 8,8,p",
    "months month:2026-04 persons",
    "months month:2026-05 persons 9,9,p",
    "priorities",
    "scorecards month:2026-04 support 0,7,p",
    "balance month:2026-04 contacts support:survey_answered: 0,7,p",
];

fn shown(arrivals: &[&str]) -> Vec<String> {
    let mut world = World::new(10);
    for (number, line) in arrivals.iter().enumerate() {
        world.batch(&[&touchpoint(line, number)]);
    }
    world.advance(MONDAY.plus(400));
    world.commit();
    let is_shown = |line: &String| OF_STORY.iter().any(|prefix| line.starts_with(prefix));
    world.lines().into_iter().filter(is_shown).filter(|line| !line.contains(" s ")).collect()
}

#[test]
fn months_that_are_over_tell_of_a_purchase_no_longer_once_it_is_cancelled() {
    let cancelled = "sales order_cancelled O2 at 96d09:00";
    let told = shown(&[&STORY[..], &[cancelled]].concat());
    // As if it had been somebody else's, but for what it took to say so.
    let mut without = STORY;
    without[1] = "sales cart_abandoned at 35d09:00";
    without[3] = "operations page_viewed at 66d09:00";
    assert_eq!(told, shown(&[&without[..], &["sales page_viewed at 96d09:00"]].concat()));
    // It was told before: and so the comparison can fail.
    assert_ne!(told, shown(&STORY));
    // Whatever comes late.
    assert_eq!(told, shown(&[&[cancelled][..], &STORY[..]].concat()));
    assert_eq!(told, shown(&[&STORY[..4], &[cancelled][..], &STORY[4..]].concat()));
    let mut late = STORY.to_vec();
    let first = late.remove(0);
    assert_eq!(told, shown(&[&late[..], &[cancelled, first]].concat()));
}

#[test]
fn whoever_bought_nothing_else_was_no_customer_of_any_month() {
    check_customers(
        &[
            STORY[0],
            "support survey_answered csat 4 at 36d09:00",
            "sales order_cancelled O1 at 66d09:00",
            "closed 150d",
        ],
        &[
            "months month:2026-03 persons",
            "months month:2026-04 persons 7",
            "priorities month:2026-03",
            "priorities month:2026-04",
        ],
        expect![[r#"
            months month:2026-03 persons 6,6,p: n 1
            priorities month:2026-03 persons g : n 1
            priorities month:2026-04 persons g : n 1
            priorities month:2026-04 persons s : n 1, sum 4000"#]],
    );
}

#[test]
fn where_the_first_purchase_is_cancelled_the_next_one_bought_nothing_again() {
    check_customers(
        &[&STORY[..3], &["sales order_cancelled O1 at 66d09:00", "closed 150d"]].concat(),
        &[
            "months month:2026-03 persons 8",
            "months month:2026-04 persons 7,7,p",
            "months month:2026-04 persons 8,8,p",
            "priorities",
        ],
        expect![[r#"
            months month:2026-04 persons 7,7,p: n 1
            months month:2026-04 persons 8,8,p: n 1, a 70, b 70
            priorities month:2026-03 persons g : n 1
            priorities month:2026-04 persons g : n 1, b 1, sum 70
            priorities month:2026-04 persons g support survey_answered delivery: n 1, b 1, sum 70
            priorities month:2026-04 persons s : n 1, sum 4000
            priorities month:2026-04 persons s support survey_answered delivery: n 1, sum 4000
            priorities month:2026-05 persons g : n 1, b 1, sum 70"#]],
    );
}

#[test]
fn a_month_counts_what_is_cancelled_up_to_the_end_of_the_twelfth_month_after_it() {
    let told = |cancelled: &str| {
        let mut world = World::new(10);
        let lines = [STORY[0], STORY[1], STORY[2], &format!("sales order_cancelled O1 at {cancelled}")];
        for (number, line) in lines.iter().enumerate() {
            world.batch(&[&touchpoint(line, number)]);
        }
        world.advance(MONDAY.plus(900));
        world.commit();
        let outcomes = outcomes(&world);
        let of = |about: &str| outcomes.get(about).cloned().unwrap_or_default();
        [
            "months month:2026-03 persons 8,8,p",
            "months month:2026-04 persons 7,7,p",
            "priorities month:2026-04 persons g ",
        ]
        .map(of)
    };
    // 2027-03-31, 2027-04-01, 2027-04-30, 2027-05-01.
    assert_eq!(told("394d23:59"), ["", "n 1", "n 1, b 1, sum 70"].map(str::to_owned));
    let stays = "n 1, a 500, b 500".to_owned();
    assert_eq!(told("395d00:00"), [stays.clone(), "n 1".to_owned(), "n 1, b 1, sum 70".to_owned()]);
    assert_eq!(told("424d23:59"), [stays.clone(), "n 1".to_owned(), "n 1, b 1, sum 70".to_owned()]);
    assert_eq!(told("425d00:00"), [stays, "n 1, a 1, b 1".to_owned(), "n 1, b 1, sum 570".to_owned()]);
}

#[test]
fn nothing_is_kept_of_months_that_nothing_can_change() {
    let size = |first: &str, months: i32| {
        let mut world = World::new(10);
        world.batch(&[&touchpoint(first, 0)]);
        for month in 0..months {
            let line = format!("support survey_answered csat 4 subject delivery at {}d09:00", 10 + 30 * month);
            world.batch(&[&touchpoint(&line, 1 + month as usize)]);
        }
        let ann = person_of(Identifier { kind: IdentifierType::CustomerId, value: "ann" });
        let mut bytes = Vec::new();
        world.commit();
        world.head(ann).encode_into(&mut bytes);
        bytes.len()
    };
    // Nobody can cancel what has no name.
    for nothing in
        ["web page_viewed at 09:00", "sales order_placed for 500EUR at 09:00", "sales subscription_started S1 at 09:00"]
    {
        assert!(size(nothing, 30) <= size(nothing, 3) + 8, "{nothing}: {} and {}", size(nothing, 30), size(nothing, 3));
    }
    let named = "sales order_placed O1 for 500EUR at 09:00";
    let [few, year, years] = [3, 14, 30].map(|months| size(named, months));
    assert!(few + 400 < year && years <= year + 8, "{few} {year} {years}");
}

/// Something that happens: on which day, what, to which order, for how much.
type Event = (i32, u8, u8, i64);

/// The touchpoint's line; each of a day a minute after the one before.
fn line(number: usize, &(day, what, order, amount): &Event) -> String {
    let segment = ["gold", "silver"][usize::from(order % 2)];
    let what = match what {
        0..=2 => format!("sales order_placed O{order} for {amount}EUR"),
        3..=5 => format!("sales order_cancelled O{order}"),
        6 => format!("operations refund_issued O{order} for {amount}EUR"),
        7 => format!("sales order_placed for {amount}EUR"),
        _ => "support survey_answered csat 4 subject delivery".to_owned(),
    };
    format!("{what} segment {segment} at {day}d{:02}:{:02}", number / 60, number % 60)
}

/// Months since the year 0, and the month's name.
fn month(day: i32) -> (i32, String) {
    let (year, month, _) = MONDAY.plus(day).civil();
    (year * 12 + month as i32, format!("month:{year:04}-{month:02}"))
}

/// Plainly: for each month all of the timeline, with what is cancelled up to twelve months later left out.
fn recount(events: &[Event]) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    let months: BTreeMap<i32, String> = events.iter().map(|event| month(event.0)).collect();
    for (number, name) in months {
        // Position, month and amount of what was bought and paid back and stands.
        let (mut bought, mut refunds) = (Vec::new(), Vec::new());
        let mut orders: BTreeMap<u8, (bool, bool)> = BTreeMap::new();
        for (at, &(day, what, order, amount)) in events.iter().enumerate() {
            let (placed, off) = orders.entry(order).or_default();
            let is_cancelled_later = |from: usize| {
                let later = events[from + 1..].iter().find(|it| (3..=5).contains(&it.1) && it.2 == order);
                later.is_some_and(|it| month(it.0).0 <= number + 12)
            };
            match what {
                0..=2 if !*placed => {
                    (*placed, *off) = (true, false);
                    if !is_cancelled_later(at) {
                        bought.push((at, month(day).0, amount));
                    }
                }
                3..=5 => *off = true,
                6 if !*off && !is_cancelled_later(at) => refunds.push((month(day).0, amount)),
                7 => bought.push((at, month(day).0, amount)),
                _ => {}
            }
        }
        let mut say = |about: String, [n, a, b, sum]: [i64; 4]| {
            let mut text = format!("n {n}");
            for (name, value) in [("a", a), ("b", b), ("sum", sum)] {
                if value != 0 {
                    text.push_str(&format!(", {name} {value}"));
                }
            }
            told.insert(about, text);
        };
        let is_customer = bought.iter().any(|it| it.1 <= number);
        let first = bought.iter().map(|it| it.0).min();
        let again = i64::from(bought.iter().any(|it| it.1 == number && Some(it.0) != first));
        let revenue: i64 = bought.iter().filter(|it| it.1 == number).map(|it| it.2).sum();
        let margin = revenue - refunds.iter().filter(|it| it.0 == number).map(|it| it.1).sum::<i64>();
        let of_month = || events.iter().filter(|event| month(event.0).0 == number);
        let has_answered = of_month().any(|event| event.1 > 7);
        if is_customer {
            let segment = ["gold", "silver"][usize::from(of_month().next_back().unwrap().2 % 2)];
            for of in ["persons".to_owned(), format!("persons {segment}")] {
                for (measure, value) in [(7, again), (8, revenue), (9, margin)] {
                    say(format!("months {name} {of} {measure},{measure},p"), [1, value, value, 0]);
                }
                if has_answered {
                    say(format!("months {name} {of} 0,7,p"), [1, 4_000, again, 0]);
                }
            }
            if has_answered {
                say(format!("scorecards {name} support 0,7,p"), [1, 4_000, again, 0]);
                say(format!("balance {name} contacts support:survey_answered: 0,7,p"), [1, 4_000, again, 0]);
            }
        }
        let customers = i64::from(is_customer);
        let yes = customers * i64::from(bought.iter().any(|it| it.1 == number + 1));
        let paid = bought.iter().filter(|it| (number - 11..=number).contains(&it.1)).map(|it| it.2).sum();
        say(format!("priorities {name} persons g "), [1, yes, customers, paid]);
        if has_answered {
            say(format!("priorities {name} persons g support survey_answered delivery"), [1, yes, customers, paid]);
        }
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_cancelled_and_whenever_it_comes_months_tell_what_a_plain_count_finds(
        mut events in prop::collection::vec((0..620_i32, 0..12_u8, 0..5_u8, 1..90_i64), 1..90),
        keys in prop::collection::vec(any::<u32>(), 90),
        batch in 1..40_usize,
    ) {
        events.sort_by_key(|event| event.0);
        let lines: Vec<String> = events.iter().enumerate().map(|(number, event)| line(number, event)).collect();
        let mut arrivals: Vec<_> = lines.iter().enumerate().map(|(number, line)| touchpoint(line, number)).collect();
        // Most come in their order, the others whenever.
        let mut order: Vec<(u32, usize)> = keys.iter().zip(0..arrivals.len())
            .map(|(key, at)| (if key % 4 == 0 { key % 90 } else { at as u32 }, at)).collect();
        order.sort_unstable();
        let sorted: Vec<_> = order.iter().map(|&(_, at)| arrivals[at].clone()).collect();
        arrivals = sorted;
        let mut world = World::new(10);
        for some in arrivals.chunks(batch) {
            world.batch(&some.iter().collect::<Vec<_>>());
            world.commit();
        }
        world.advance(MONDAY.plus(720));
        world.commit();
        prop_assert_eq!(outcomes(&world), recount(&events));
    }
}
