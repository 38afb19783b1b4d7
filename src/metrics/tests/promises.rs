//! The promise: whatever the order, the commits, the failures and the restarts, the same is published in the end.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Addition, Harness, figures_line};
use crate::{
    metrics::{
        Options,
        catalogue::{self, MetricKind},
        cells,
    },
    model::{
        Accumulator, Calendar, CellKey, Currency, Day, Dimension, MetricValue, Money, Status, Window, WindowKind, keys,
    },
};

/// What must be published in the end, without any of the stage's state: additions summed by cell, levels by definition.
fn brute_force(additions: &[Addition], as_of: Option<Day>, values_max: usize) -> BTreeMap<String, String> {
    let mut cells: BTreeMap<CellKey<'_>, Accumulator> = BTreeMap::new();
    type Changes<'a> = Vec<(Day, &'a Accumulator)>;
    let mut families: BTreeMap<(u8, Dimension, &str), Changes<'_>> = BTreeMap::new();
    for addition in additions {
        let kind = catalogue::CATALOGUE[usize::from(addition.metric)].kind;
        if kind == MetricKind::Flow || (kind == MetricKind::Opening && addition.add.n == 0) {
            for cell in addition.cells() {
                cells.entry(cell).or_default().add(&addition.add, 1);
            }
        } else {
            families
                .entry((addition.metric, addition.dimension, &addition.value))
                .or_default()
                .push((addition.day, &addition.add));
        }
    }
    if let Some(closed) = as_of.map(Day::previous) {
        for ((metric, dimension, value), changes) in &families {
            let level = |at: Day| {
                let mut sum = Accumulator::default();
                changes.iter().filter(|(day, _)| *day <= at).for_each(|(_, by)| sum.add(by, 1));
                sum
            };
            let opens = catalogue::CATALOGUE[usize::from(*metric)].kind == MetricKind::Opening;
            let first = changes.iter().map(|(day, _)| *day).min().expect("families have changes");
            let mut shown = BTreeMap::new();
            for day in (first.0..=closed.0).map(Day) {
                for kind in WindowKind::ALL {
                    let window = Window::of(kind, if opens { day.plus(1) } else { day });
                    let cell = CellKey { metric: *metric, currency: None, dimension: *dimension, value, window };
                    if opens && window.start == day.plus(1) {
                        shown.insert(cell, level(day));
                    } else if !opens {
                        shown.insert(cell, level(window.end().previous().min(closed)));
                    }
                }
            }
            for (cell, level) in shown {
                cells.entry(cell).or_default().add(&level, 1);
            }
        }
    }
    let has_begun = |cell: &CellKey<'_>| {
        let waits = catalogue::CATALOGUE[usize::from(cell.metric)].ahead;
        !waits || as_of.is_some_and(|as_of| cell.window.start <= as_of)
    };
    // What competes for a key of its own.
    let mut groups: BTreeMap<_, Vec<(CellKey<'_>, Accumulator)>> = BTreeMap::new();
    for (cell, sum) in cells.into_iter().filter(|(cell, sum)| !sum.is_zero() && has_begun(cell)) {
        let group = CellKey { value: "", ..cell };
        groups.entry(group).or_default().push((cell, sum));
    }
    let mut published = BTreeMap::new();
    for (group, mut values) in groups {
        let definition = &catalogue::CATALOGUE[usize::from(group.metric)];
        values.sort_by_key(|(cell, sum)| ((definition.figures)(sum).n.max(0).wrapping_neg(), cell.value));
        let others = values.split_off(values.len().min(values_max));
        let mut of_others = Accumulator::default();
        others.iter().for_each(|(_, sum)| of_others.add(sum, 1));
        let count = others.len() as u64;
        let all = values.iter().map(|(cell, sum)| (*cell, sum, None)).chain([(group, &of_others, Some(count))]);
        for (cell, sum, other_values) in all.filter(|(_, sum, _)| !sum.is_zero()) {
            for (currency, figures) in definition.published(cell.currency, sum) {
                let key = match other_values {
                    Some(_) => keys::metric_of_others(definition.id, cell.window, currency, cell.dimension),
                    None => keys::metric(definition.id, cell.window, currency, cell.dimension, cell.value),
                };
                let value = MetricValue {
                    metric: definition.id,
                    unit: definition.unit,
                    window: cell.window,
                    dimension: cell.dimension,
                    dimension_value: if other_values.is_some() { "other" } else { cell.value },
                    other_values,
                    currency,
                    n: figures.n,
                    numerator: figures.numerator,
                    denominator: figures.denominator,
                    value: figures.value,
                    uncertainty: figures.uncertainty,
                    percentiles: figures.percentiles,
                    details: figures.details,
                    revision: 0,
                    status: Status::Final,
                    definition_version: 1,
                };
                published.insert(key, figures_line(&value));
            }
        }
    }
    published
}

#[derive(Clone, Debug)]
enum Step {
    Add(Addition),
    AsOf(Day),
    Watermark(u32, Option<Day>),
    Commit,
    /// The commit fails; what it carried is delivered again.
    Fail,
    Restart(usize),
}

fn any_addition() -> impl Strategy<Value = Addition> {
    let accumulator = prop_oneof![
        (-2_i64..3).prop_map(Accumulator::count),
        (-50_i64..50).prop_map(Accumulator::observe_distribution),
        (1_i64..3, -1_i64..2, -1_i64..2).prop_map(|(n, a, b)| Accumulator { n, a, b, ..Accumulator::default() }),
    ];
    let metric = prop_oneof![
        Just(catalogue::index::OVERDUE),
        Just(catalogue::index::UNANSWERED),
        Just(catalogue::index::NPS),
        Just(catalogue::index::PROMISE_GAP),
        Just(catalogue::index::FIRST_CONTACT_RESOLUTION),
        Just(catalogue::index::REPURCHASE_30),
        Just(catalogue::index::CONVERSION),
        Just(catalogue::index::RETENTION),
        Just(catalogue::index::CHURN),
        Just(catalogue::index::CONTACT_PRESSURE),
        Just(catalogue::index::CUSTOMER_VALUE),
    ];
    let region = |name| (Dimension::Region, name);
    let dimension = prop_oneof![
        2 => Just((Dimension::Company, "")),
        2 => prop_oneof![Just(region("n")), Just(region("no"))],
        3 => prop_oneof![Just(region("a")), Just(region("nö")), Just(region("\0")), Just(region("z"))],
    ];
    (metric, dimension, 20_450_i32..20_560, accumulator).prop_map(|(metric, (dimension, value), day, add)| Addition {
        metric,
        currency: None,
        dimension,
        value: value.to_owned(),
        day: Day(day),
        add: match catalogue::CATALOGUE[usize::from(metric)].kind {
            MetricKind::Flow if metric == catalogue::index::CUSTOMER_VALUE => {
                let currency = Currency(if add.a == 0 { *b"EUR" } else { *b"USD" });
                Accumulator { n: add.n, ..Accumulator::money(Money { minor: add.sum, currency }) }
            }
            MetricKind::Flow => add,
            MetricKind::Level if metric == catalogue::index::CONTACT_PRESSURE => {
                Accumulator { n: add.n, a: add.a, sum: add.sum, ..Accumulator::default() }
            }
            // Either a change of the level, or something beside it.
            MetricKind::Opening if add.a != 0 || add.b != 0 => {
                Accumulator { n: 0, squares: 0, buckets: Vec::new(), ..add }
            }
            MetricKind::Level | MetricKind::Opening => Accumulator::count(add.n),
        },
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let day = (20_440_i32..20_580).prop_map(Day);
    prop_oneof![
        8 => any_addition().prop_map(Step::Add),
        2 => day.clone().prop_map(Step::AsOf),
        1 => (0_u32..3, prop::option::weighted(0.8, day)).prop_map(|(source, day)| Step::Watermark(source, day)),
        4 => Just(Step::Commit),
        1 => Just(Step::Fail),
        1 => any::<usize>().prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn commits_failures_restarts_caches_and_limits_change_nothing_of_the_result(
        steps in prop::collection::vec(any_step(), 1..80),
        retract in prop::collection::vec(any::<bool>(), 80),
        background_steps_max in 1_usize..60,
        cells_cached_max in 0_usize..12,
        dimension_values_max in 1_usize..5,
    ) {
        let options =
            Options { background_steps_max, cells_cached_max, dimension_values_max, ..Options::new(Calendar::utc(), 2) };
        let mut harness = Harness::new(options);
        let (mut additions, mut since_commit) = (Vec::new(), Vec::new());
        let (mut as_of, mut settled_before) = (None::<Day>, None);
        // Some contributions are taken back in the end, as late duplicates and merges do.
        let back = steps.iter().zip(&retract).filter_map(|(step, retract)| match step {
            Step::Add(addition) if *retract => {
                let mut back = addition.clone();
                back.add = Accumulator::default();
                back.add.add(&addition.add, -1);
                Some(Step::Add(back))
            }
            _ => None,
        });
        let all: Vec<Step> = steps.iter().cloned().chain(back).collect();
        for step in &all {
            let input = |harness: &mut Harness, step: &Step| match step {
                Step::Add(addition) => harness.add(addition),
                Step::AsOf(day) => harness.as_of(*day),
                Step::Watermark(source, day) => harness.watermark(*source, *day),
                _ => {}
            };
            match step {
                Step::Add(addition) => additions.push(addition.clone()),
                Step::AsOf(day) => as_of = as_of.max(Some(*day)),
                _ => {}
            }
            match step {
                Step::Commit => {
                    harness.commit();
                    since_commit.clear();
                    settled_before = settled_before.max(harness.metrics.settled_day());
                    prop_assert_eq!(settled_before, harness.metrics.settled_day());
                }
                Step::Fail | Step::Restart(_) => {
                    if matches!(step, Step::Fail) { harness.publish(); }
                    match step { Step::Restart(on_disk) => harness.restart(*on_disk), _ => harness.roll_back() }
                    for earlier in &since_commit { input(&mut harness, earlier); }
                }
                _ => {
                    input(&mut harness, step);
                    since_commit.push(step.clone());
                }
            }
        }
        harness.commit_all();
        prop_assert_eq!(&harness.feed.values(), &brute_force(&additions, as_of, dimension_values_max));
        // Nothing is left to say, and every status is what its window asks for.
        let publications = harness.feed.publications;
        harness.restart(3);
        harness.commit_all();
        prop_assert_eq!(harness.feed.publications, publications);
        let settled = harness.metrics.settled_day();
        for (key, value) in harness.store.map.iter().filter(|(key, _)| matches!(key[0], b'c' | b'd')) {
            let cell = cells::parse_cell_key(key).expect("a cell's key");
            // What each of the metrics above waits for, said once more.
            let (end, length) = (cell.window.end(), cell.window.end().0 - cell.window.start.0);
            let settles_on = match cell.metric {
                catalogue::index::FIRST_CONTACT_RESOLUTION => end.plus(7),
                catalogue::index::REPURCHASE_30 => end.plus(30),
                catalogue::index::CONVERSION => end.plus(length),
                _ => end,
            };
            let is_settled = settled.is_some_and(|settled| settles_on <= settled);
            if cells::is_held_back(value) {
                prop_assert!(as_of.is_none_or(|as_of| as_of < cell.window.start));
                continue;
            }
            if cells::is_among_others(value) {
                continue;
            }
            prop_assert_eq!(cells::stored_is_provisional(value), Some(!is_settled));
            let waits = harness.store.map.contains_key(cells::provisional_key(settles_on, key).as_slice());
            prop_assert_eq!(waits, !is_settled);
        }
        let waiting = harness.store.map.keys().filter(|key| key[0] == cells::PROVISIONAL_BY_DAY).count();
        let provisional = |value: &Bytes| cells::stored_is_provisional(value) == Some(true);
        let stored = harness.store.map.iter().filter(|(key, value)| matches!(key[0], b'c' | b'd') && provisional(value));
        prop_assert_eq!(waiting, stored.count());
    }

    #[test]
    fn order_and_splitting_into_commits_do_not_matter(
        additions in prop::collection::vec(any_addition(), 1..40).prop_flat_map(|additions| {
            (Just(additions.clone()), Just(additions).prop_shuffle())
        }),
        commits in prop::collection::vec(any::<bool>(), 40),
        as_of_at in 0_usize..40,
        values_max in 1_usize..4,
    ) {
        let (one_shot, shuffled) = additions;
        let as_of = Day(20_555);
        let options = Options { dimension_values_max: values_max, ..Options::new(Calendar::utc(), 2) };
        let mut first = Harness::new(options.clone());
        for addition in &one_shot { first.add(addition); }
        first.as_of(as_of);
        first.commit_all();
        let mut second = Harness::new(options);
        for (position, addition) in shuffled.iter().enumerate() {
            if position == as_of_at { second.as_of(as_of); }
            second.add(addition);
            if commits[position] { second.commit(); }
        }
        second.as_of(as_of);
        second.commit_all();
        prop_assert_eq!(&first.feed.latest, &second.feed.latest);
        prop_assert_eq!(&first.feed.values(), &brute_force(&one_shot, Some(as_of), values_max));
    }
}
