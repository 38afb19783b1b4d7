//! The stage told as stories: contributions as text in, published lines out; and its promises as properties.

use std::{collections::BTreeMap, fmt::Write, ops::ControlFlow};

use bytes::Bytes;
use expect_test::{Expect, expect, expect_file};
use proptest::prelude::*;

use super::{
    Effects, Metrics, Options,
    catalogue::{self, MetricKind},
    values,
};
use crate::model::{
    Accumulator, Calendar, CellKey, Currency, Day, Dimension, EventTime, KeyValue, MetricValue, Outcome, StoreError,
    Uncertainty, Window, WindowKind, keys,
};

/// A store with its changelog.
#[derive(Clone, Default)]
struct TestStore {
    map: BTreeMap<Vec<u8>, Bytes>,
    changelog: Vec<(Vec<u8>, Option<Bytes>)>,
}

impl KeyValue for TestStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        KeyValue::get(&self.map, key)
    }
    fn put(&mut self, key: &[u8], value: Bytes) {
        self.changelog.push((key.to_vec(), Some(value.clone())));
        self.map.put(key, value);
    }
    fn delete(&mut self, key: &[u8]) {
        self.changelog.push((key.to_vec(), None));
        self.map.delete(key);
    }
    fn put_local(&mut self, key: &[u8], value: Bytes) {
        self.map.put(key, value);
    }
    fn delete_local(&mut self, key: &[u8]) {
        self.map.delete(key);
    }
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.map.scan(from, to, each)
    }
}

/// What a subscriber sees.
#[derive(Clone, Default)]
struct Feed {
    /// Each key's latest value, without revision and status.
    latest: BTreeMap<String, String>,
    lines: String,
    publications: usize,
}

impl Effects for Feed {
    fn value(&mut self, key: &str, value: &MetricValue<'_>) {
        self.publications += 1;
        self.latest.insert(key.to_owned(), figures_line(value));
        writeln!(
            self.lines,
            "{key} {} r{} {}",
            figures_line(value),
            value.revision,
            value.status
        )
        .expect("a string takes every character");
    }
    fn tombstone(&mut self, key: &str) {
        self.publications += 1;
        assert!(
            self.latest.remove(key).is_some(),
            "a tombstone for {key}, which was not published"
        );
        writeln!(self.lines, "{key} gone").expect("a string takes every character");
    }
}

fn figures_line(value: &MetricValue<'_>) -> String {
    let mut line = match value.value {
        Some(figure) => format!("{figure:.4}"),
        None => "-".to_owned(),
    };
    write!(
        line,
        " {} n={} {}/{}",
        value.unit, value.n, value.numerator, value.denominator
    )
    .expect("a string");
    match value.uncertainty {
        Some(Uncertainty::StandardError(error)) => write!(line, " ±{error:.4}").expect("a string"),
        Some(Uncertainty::Interval(low, high)) => write!(line, " [{low:.4} {high:.4}]").expect("a string"),
        None => {}
    }
    if let Some(percentiles) = value.percentiles {
        write!(
            line,
            " p50={:.4} p90={:.4} p99={:.4}",
            percentiles.p50, percentiles.p90, percentiles.p99
        )
        .expect("a string");
    }
    for (name, detail) in &value.details {
        write!(line, " {name}={detail:.4}").expect("a string");
    }
    line
}

/// What to add where; the windows follow from the metric.
#[derive(Clone, Debug)]
struct Addition {
    metric: u8,
    currency: Option<Currency>,
    dimension: Dimension,
    value: String,
    day: Day,
    add: Accumulator,
}

impl Addition {
    fn cells(&self) -> impl Iterator<Item = CellKey<'_>> {
        let kinds = match catalogue::CATALOGUE[usize::from(self.metric)].kind {
            MetricKind::Flow => &WindowKind::ALL[..],
            MetricKind::Level => &WindowKind::ALL[..1],
        };
        kinds.iter().map(|&kind| CellKey {
            metric: self.metric,
            currency: self.currency,
            dimension: self.dimension,
            value: &self.value,
            window: Window::of(kind, self.day),
        })
    }
}

/// The first instant of a day in UTC.
fn midnight(day: Day) -> EventTime {
    EventTime(i64::from(day.0) * 86_400_000)
}

struct Harness {
    options: Options,
    metrics: Metrics,
    store: TestStore,
    feed: Feed,
    /// Store and feed as last committed.
    committed: (TestStore, Feed),
}

impl Harness {
    fn new(options: Options) -> Harness {
        Harness {
            metrics: Metrics::new(options.clone()),
            options,
            store: TestStore::default(),
            feed: Feed::default(),
            committed: Default::default(),
        }
    }

    fn add(&mut self, addition: &Addition) {
        for cell in addition.cells() {
            self.metrics
                .contribution(cell, &addition.add, &mut self.store)
                .expect("a good contribution");
        }
    }

    fn as_of(&mut self, day: Day) {
        self.metrics.advance(midnight(day), &self.store).expect("a good store");
    }

    fn watermark(&mut self, source: u32, day: Option<Day>) {
        self.metrics
            .watermark(source, day.map(midnight), &self.store)
            .expect("a good store");
    }

    fn publish(&mut self) -> bool {
        self.metrics
            .publish(&mut self.store, &mut self.feed)
            .expect("a good store")
    }

    fn commit(&mut self) -> bool {
        let left = self.publish();
        assert_eq!(left, self.metrics.has_background_work());
        self.metrics.committed();
        self.committed = (self.store.clone(), self.feed.clone());
        let stored = self.store.map.keys().filter(|key| key[0] == b'c').count();
        assert_eq!(
            stored,
            self.feed.latest.len(),
            "the store holds exactly what is published"
        );
        left
    }

    fn commit_all(&mut self) {
        while self.commit() {}
    }

    fn roll_back(&mut self) {
        self.metrics.rolled_back();
        (self.store, self.feed) = self.committed.clone();
    }

    /// Another instance, with a store made from the changelog; part of it may have been on disk already.
    fn restart(&mut self, on_disk: usize) {
        self.roll_back();
        let mut restored = TestStore::default();
        let changelog = std::mem::take(&mut self.store.changelog);
        let on_disk = on_disk % (changelog.len() + 1);
        for part in [&changelog[..on_disk], &changelog[on_disk..]] {
            for (key, value) in part {
                match value {
                    Some(value) => restored.map.put(key, value.clone()),
                    None => restored.map.delete(key),
                }
                Metrics::restored(key, value.as_deref(), &mut restored).expect("a good changelog");
            }
        }
        assert_eq!(
            restored.map, self.store.map,
            "the changelog restores the store, local entries too"
        );
        restored.changelog = changelog;
        self.store = restored;
        self.metrics = Metrics::new(self.options.clone());
        self.committed.0 = self.store.clone();
    }

    /// One line of a story; see the tests for the words.
    fn tell(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["as-of", date] => self.as_of(day(date)),
            ["watermark", source, "idle"] => self.watermark(source.parse().expect("a number"), None),
            ["watermark", source, date] => self.watermark(source.parse().expect("a number"), Some(day(date))),
            ["commit"] => self.commit_all(),
            ["commit-once"] => drop(self.commit()),
            ["roll-back"] => self.roll_back(),
            ["restart"] => self.restart(0),
            [metric, date, rest @ ..] => {
                let mut addition = Addition {
                    metric: (catalogue::CATALOGUE
                        .iter()
                        .position(|definition| definition.id == *metric))
                    .unwrap_or_else(|| panic!("no metric {metric}")) as u8,
                    currency: None,
                    dimension: Dimension::Company,
                    value: String::new(),
                    day: day(date),
                    add: Accumulator::default(),
                };
                let mut times = 1;
                for word in rest {
                    let (name, value) = word.split_once('=').unwrap_or((word, ""));
                    let number = || value.parse::<i64>().expect("a number");
                    match name {
                        "back" => times = -1,
                        "n" => addition.add.n = number(),
                        "a" => addition.add.a = number(),
                        "b" => addition.add.b = number(),
                        "observe" => addition.add.add(&Accumulator::observe(number()), 1),
                        "distribution" => addition.add.add(&Accumulator::observe_distribution(number()), 1),
                        "currency" => addition.currency = Currency::parse(value),
                        _ => match (Dimension::parse(name), Outcome::parse(name)) {
                            (Some(dimension), _) => {
                                (addition.dimension, addition.value) = (dimension, value.to_owned())
                            }
                            (_, Some(outcome)) => addition.add.add(&values::outcomes(outcome, number()), 1),
                            _ => panic!("what is {word}?"),
                        },
                    }
                }
                let add = std::mem::take(&mut addition.add);
                addition.add.add(&add, times);
                self.add(&addition);
            }
            _ => panic!("what is {line}?"),
        }
    }
}

fn day(date: &str) -> Day {
    let parts: Vec<i32> = date.split('-').map(|part| part.parse().expect("a number")).collect();
    Day::from_civil(parts[0], parts[1] as u32, parts[2] as u32)
}

/// Tells a story and compares everything that was published, in order.
fn check_metrics(story: &[&str], published: Expect) {
    let mut harness = Harness::new(Options::new(Calendar::utc()));
    for line in story {
        harness.tell(line);
    }
    harness.tell("commit");
    published.assert_eq(&harness.feed.lines);
}

#[test]
fn an_answer_is_published_for_its_day_week_and_month() {
    check_metrics(
        &["nps 2026-01-31 n=1 a=1", "nps 2026-01-31 region=a|b n=1 b=1"],
        expect![[r#"
            nps|day:2026-01-31| 100.0000 points n=1 1/1 ±0.0000 detractors_share=0.0000 promoters_share=1.0000 r1 provisional
            nps|week:2026-W05| 100.0000 points n=1 1/1 ±0.0000 detractors_share=0.0000 promoters_share=1.0000 r1 provisional
            nps|month:2026-01| 100.0000 points n=1 1/1 ±0.0000 detractors_share=0.0000 promoters_share=1.0000 r1 provisional
            nps|day:2026-01-31|region=a%7Cb -100.0000 points n=1 -1/1 ±0.0000 detractors_share=1.0000 promoters_share=0.0000 r1 provisional
            nps|week:2026-W05|region=a%7Cb -100.0000 points n=1 -1/1 ±0.0000 detractors_share=1.0000 promoters_share=0.0000 r1 provisional
            nps|month:2026-01|region=a%7Cb -100.0000 points n=1 -1/1 ±0.0000 detractors_share=1.0000 promoters_share=0.0000 r1 provisional
        "#]],
    );
}

#[test]
fn contributions_of_one_commit_are_one_publication_and_none_if_they_cancel_out() {
    check_metrics(
        &[
            "ces 2026-01-31 observe=6 a=1",
            "ces 2026-01-31 observe=2",
            "commit",
            "ces 2026-01-31 observe=7 a=1",
            "ces 2026-01-31 observe=7 a=1 back",
            "commit",
        ],
        expect![[r#"
            ces|day:2026-01-31| 4.0000 points n=2 8/2 ±2.0000 share_easy=0.5000 r1 provisional
            ces|week:2026-W05| 4.0000 points n=2 8/2 ±2.0000 share_easy=0.5000 r1 provisional
            ces|month:2026-01| 4.0000 points n=2 8/2 ±2.0000 share_easy=0.5000 r1 provisional
        "#]],
    );
}

#[test]
fn a_cell_that_becomes_all_zero_is_a_tombstone_and_starts_anew() {
    check_metrics(
        &[
            "orders 2026-01-31 n=1",
            "commit",
            "orders 2026-01-31 n=1 back",
            "commit",
            "orders 2026-01-31 n=1 back",
            "orders 2026-01-31 n=1",
            "commit",
            "orders 2026-01-31 n=2",
        ],
        expect![[r#"
            orders|day:2026-01-31| 1.0000 orders n=1 1/1 r1 provisional
            orders|week:2026-W05| 1.0000 orders n=1 1/1 r1 provisional
            orders|month:2026-01| 1.0000 orders n=1 1/1 r1 provisional
            orders|day:2026-01-31| gone
            orders|week:2026-W05| gone
            orders|month:2026-01| gone
            orders|day:2026-01-31| 2.0000 orders n=2 2/1 r1 provisional
            orders|week:2026-W05| 2.0000 orders n=2 2/1 r1 provisional
            orders|month:2026-01| 2.0000 orders n=2 2/1 r1 provisional
        "#]],
    );
}

#[test]
fn money_is_per_currency_and_distributions_have_percentiles() {
    check_metrics(
        &[
            "revenue 2026-01-31 currency=EUR observe=1999",
            "revenue 2026-01-31 currency=EUR observe=1",
            "revenue 2026-01-31 currency=USD region=north observe=500",
            "first_response_time 2026-01-31 distribution=60000",
            "first_response_time 2026-01-31 distribution=120000",
            "data_quality 2026-01-31 spoke=sales accepted=3 rejected=1",
        ],
        expect![[r#"
            revenue|day:2026-01-31|currency=EUR 2000.0000 minor_units n=2 2000/1 r1 provisional
            revenue|week:2026-W05|currency=EUR 2000.0000 minor_units n=2 2000/1 r1 provisional
            revenue|month:2026-01|currency=EUR 2000.0000 minor_units n=2 2000/1 r1 provisional
            revenue|day:2026-01-31|currency=USD&region=north 500.0000 minor_units n=1 500/1 r1 provisional
            revenue|week:2026-W05|currency=USD&region=north 500.0000 minor_units n=1 500/1 r1 provisional
            revenue|month:2026-01|currency=USD&region=north 500.0000 minor_units n=1 500/1 r1 provisional
            first_response_time|day:2026-01-31| 90.0000 seconds n=2 180000/2 ±30.0000 p50=60.1595 p90=120.3195 p99=120.3195 r1 provisional
            first_response_time|week:2026-W05| 90.0000 seconds n=2 180000/2 ±30.0000 p50=60.1595 p90=120.3195 p99=120.3195 r1 provisional
            first_response_time|month:2026-01| 90.0000 seconds n=2 180000/2 ±30.0000 p50=60.1595 p90=120.3195 p99=120.3195 r1 provisional
            data_quality|day:2026-01-31|spoke=sales 0.7500 share n=4 3/4 accepted=3.0000 capped=0.0000 conflicting=0.0000 duplicate=0.0000 late=0.0000 rejected=1.0000 skipped=0.0000 r1 provisional
            data_quality|week:2026-W05|spoke=sales 0.7500 share n=4 3/4 accepted=3.0000 capped=0.0000 conflicting=0.0000 duplicate=0.0000 late=0.0000 rejected=1.0000 skipped=0.0000 r1 provisional
            data_quality|month:2026-01|spoke=sales 0.7500 share n=4 3/4 accepted=3.0000 capped=0.0000 conflicting=0.0000 duplicate=0.0000 late=0.0000 rejected=1.0000 skipped=0.0000 r1 provisional
        "#]],
    );
}

#[test]
fn a_window_is_provisional_until_the_watermark_passed_its_end_and_grace() {
    check_metrics(
        &[
            // Saturday 31 January: the week ends a day later than the month.
            "orders 2026-01-31 n=1",
            "watermark 0 2026-02-10",
            "watermark 1 2026-02-01",
            "commit",
            "watermark 1 2026-02-02",
            "commit",
            "orders 2026-01-31 n=1",
            "watermark 1 idle",
            "commit",
            "orders 2026-01-31 n=1",
            "orders 2026-02-09 n=1",
        ],
        expect![[r#"
            orders|day:2026-01-31| 1.0000 orders n=1 1/1 r1 final
            orders|week:2026-W05| 1.0000 orders n=1 1/1 r1 final
            orders|month:2026-01| 1.0000 orders n=1 1/1 r1 final
            orders|day:2026-01-31| 2.0000 orders n=2 2/1 r2 revised
            orders|week:2026-W05| 2.0000 orders n=2 2/1 r2 revised
            orders|month:2026-01| 2.0000 orders n=2 2/1 r2 revised
            orders|day:2026-01-31| 3.0000 orders n=3 3/1 r3 revised
            orders|week:2026-W05| 3.0000 orders n=3 3/1 r3 revised
            orders|month:2026-01| 3.0000 orders n=3 3/1 r3 revised
            orders|day:2026-02-09| 1.0000 orders n=1 1/1 r1 provisional
            orders|week:2026-W07| 1.0000 orders n=1 1/1 r1 provisional
            orders|month:2026-02| 1.0000 orders n=1 1/1 r1 provisional
        "#]],
    );
}

#[test]
fn a_level_is_published_for_closed_days_and_the_last_closed_day_of_weeks_and_months() {
    check_metrics(
        &[
            "overdue 2026-01-30 n=2",
            "overdue 2026-02-01 n=-1",
            "overdue 2026-02-04 n=-1",
            "commit",
            "as-of 2026-01-30",
            "commit",
            "as-of 2026-01-31",
            "commit",
            "as-of 2026-02-03",
            "commit",
            "as-of 2026-02-10",
        ],
        expect![[r#"
            overdue|day:2026-01-30| 2.0000 orders n=2 2/1 r1 provisional
            overdue|week:2026-W05| 2.0000 orders n=2 2/1 r1 provisional
            overdue|month:2026-01| 2.0000 orders n=2 2/1 r1 provisional
            overdue|day:2026-01-31| 2.0000 orders n=2 2/1 r1 provisional
            overdue|day:2026-02-01| 1.0000 orders n=1 1/1 r1 provisional
            overdue|week:2026-W05| 1.0000 orders n=1 1/1 r2 provisional
            overdue|day:2026-02-02| 1.0000 orders n=1 1/1 r1 provisional
            overdue|week:2026-W06| 1.0000 orders n=1 1/1 r1 provisional
            overdue|month:2026-02| 1.0000 orders n=1 1/1 r1 provisional
            overdue|day:2026-02-03| 1.0000 orders n=1 1/1 r1 provisional
            overdue|week:2026-W06| gone
            overdue|month:2026-02| gone
        "#]],
    );
}

#[test]
fn a_late_change_of_a_level_publishes_only_what_it_moves() {
    check_metrics(
        &[
            "unanswered 2026-01-26 n=1",
            "as-of 2026-01-31",
            "commit",
            "unanswered 2026-01-28 n=-1",
            "commit",
            "unanswered 2026-01-26 n=-1",
            "unanswered 2026-01-28 n=1",
        ],
        expect![[r#"
            unanswered|day:2026-01-26| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|day:2026-01-27| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|day:2026-01-28| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|day:2026-01-29| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|day:2026-01-30| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|week:2026-W05| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|month:2026-01| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|day:2026-01-28| gone
            unanswered|day:2026-01-29| gone
            unanswered|day:2026-01-30| gone
            unanswered|week:2026-W05| gone
            unanswered|month:2026-01| gone
            unanswered|day:2026-01-26| gone
            unanswered|day:2026-01-27| gone
        "#]],
    );
}

#[test]
fn what_a_failed_commit_published_is_published_again() {
    check_metrics(
        &[
            "orders 2026-01-31 n=1",
            "commit",
            "orders 2026-01-31 n=5",
            "roll-back",
            "orders 2026-01-31 n=5",
            "commit",
            "restart",
            "orders 2026-01-31 n=1",
        ],
        expect![[r#"
            orders|day:2026-01-31| 1.0000 orders n=1 1/1 r1 provisional
            orders|week:2026-W05| 1.0000 orders n=1 1/1 r1 provisional
            orders|month:2026-01| 1.0000 orders n=1 1/1 r1 provisional
            orders|day:2026-01-31| 6.0000 orders n=6 6/1 r2 provisional
            orders|week:2026-W05| 6.0000 orders n=6 6/1 r2 provisional
            orders|month:2026-01| 6.0000 orders n=6 6/1 r2 provisional
            orders|day:2026-01-31| 7.0000 orders n=7 7/1 r3 provisional
            orders|week:2026-W05| 7.0000 orders n=7 7/1 r3 provisional
            orders|month:2026-01| 7.0000 orders n=7 7/1 r3 provisional
        "#]],
    );
}

#[test]
fn work_beyond_a_commits_limit_goes_on_in_the_next_also_after_a_restart() {
    let options = Options {
        background_steps_max: 20,
        ..Options::new(Calendar::utc())
    };
    let mut harness = Harness::new(options);
    for line in ["overdue 2024-01-01 n=1", "as-of 2026-01-01", "commit-once"] {
        harness.tell(line);
    }
    let mut commits = 1;
    loop {
        let before = harness.feed.publications;
        let left = harness.commit();
        assert!(
            harness.feed.publications - before <= 20 + 3,
            "a day more than the limit at most"
        );
        if !left {
            break;
        }
        commits += 1;
        if commits % 7 == 0 {
            harness.restart(commits);
        }
    }
    assert!(commits > 30, "{commits}");
    assert_eq!(harness.feed.latest.len(), 731 + 105 + 24);
    // A late change that moves every one of them goes the same way.
    harness.tell("overdue 2024-01-01 n=4");
    harness.tell("commit-once");
    assert!(harness.metrics.has_background_work());
    harness.restart(5);
    harness.commit_all();
    assert!(
        harness
            .feed
            .latest
            .values()
            .all(|line| line.starts_with("5.0000 orders"))
    );
}

#[test]
fn the_stored_form_does_not_change_unnoticed() {
    let mut harness = Harness::new(Options::new(Calendar::utc()));
    for line in [
        "nps 2026-01-31 region=north n=3 a=2 b=1",
        "revenue 2026-01-31 currency=EUR observe=-1999",
        "promise_gap 2026-01-31 spoke=operations a=1 distribution=-86400000",
        "promise_gap 2026-01-31 spoke=operations distribution=3600000",
        "overdue 2026-01-31 n=2",
        "as-of 2026-02-02",
        "watermark 0 2026-02-02",
        "watermark 1 idle",
        "commit",
        "overdue 2026-03-01 n=-1",
        "commit",
    ] {
        harness.tell(line);
    }
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    };
    let lines: String = (harness.store.map.iter())
        .map(|(key, value)| format!("{} {}\n", hex(key), hex(value)))
        .collect();
    expect_file!["../../tests/fixtures/metrics_store_v1.txt"].assert_eq(&lines);
}

#[test]
fn a_store_of_version_1_is_read() {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len() / 2)
            .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).expect("hexadecimal"))
            .collect()
    };
    let mut harness = Harness::new(Options::new(Calendar::utc()));
    for line in include_str!("../../tests/fixtures/metrics_store_v1.txt").lines() {
        let (key, value) = line.split_once(' ').expect("key and value");
        harness.store.put(&bytes(key), Bytes::from(bytes(value)));
    }
    for line in ["nps 2026-01-31 region=north n=1 a=1", "overdue 2026-01-31 n=1"] {
        harness.tell(line);
    }
    harness.publish();
    expect![[r#"
        nps|day:2026-01-31|region=north 100.0000 points n=1 1/1 ±0.0000 detractors_share=0.0000 promoters_share=1.0000 r1 provisional
        nps|week:2026-W05|region=north 100.0000 points n=1 1/1 ±0.0000 detractors_share=0.0000 promoters_share=1.0000 r1 provisional
        nps|month:2026-01|region=north 100.0000 points n=1 1/1 ±0.0000 detractors_share=0.0000 promoters_share=1.0000 r1 provisional
    "#]].assert_eq(&harness.feed.lines);
}

/// What must be published in the end, without any of the stage's state: additions summed by cell, levels by definition.
fn brute_force(additions: &[Addition], as_of: Option<Day>) -> BTreeMap<String, String> {
    let mut cells: BTreeMap<CellKey<'_>, Accumulator> = BTreeMap::new();
    let mut families: BTreeMap<(u8, Dimension, &str), Vec<(Day, i64)>> = BTreeMap::new();
    for addition in additions {
        match catalogue::CATALOGUE[usize::from(addition.metric)].kind {
            MetricKind::Flow => {
                for cell in addition.cells() {
                    cells.entry(cell).or_default().add(&addition.add, 1);
                }
            }
            MetricKind::Level => families
                .entry((addition.metric, addition.dimension, &addition.value))
                .or_default()
                .push((addition.day, addition.add.n)),
        }
    }
    if let Some(closed) = as_of.map(Day::previous) {
        for ((metric, dimension, value), changes) in &families {
            let level = |at: Day| {
                changes
                    .iter()
                    .filter(|(day, _)| *day <= at)
                    .map(|(_, by)| by)
                    .sum::<i64>()
            };
            let first = changes
                .iter()
                .map(|(day, _)| *day)
                .min()
                .expect("families have changes");
            for day in (first.0..=closed.0).map(Day) {
                for kind in WindowKind::ALL {
                    let window = Window::of(kind, day);
                    let n = level(window.end().previous().min(closed));
                    let cell = CellKey {
                        metric: *metric,
                        currency: None,
                        dimension: *dimension,
                        value,
                        window,
                    };
                    cells.insert(cell, Accumulator::count(n));
                }
            }
        }
    }
    cells
        .into_iter()
        .filter(|(_, sum)| !sum.is_zero())
        .map(|(cell, sum)| {
            let definition = &catalogue::CATALOGUE[usize::from(cell.metric)];
            let figures = (definition.figures)(&sum);
            let value = MetricValue {
                metric: definition.id,
                unit: definition.unit,
                window: cell.window,
                dimension: cell.dimension,
                dimension_value: cell.value,
                currency: cell.currency,
                n: figures.n,
                numerator: figures.numerator,
                denominator: figures.denominator,
                value: figures.value,
                uncertainty: figures.uncertainty,
                percentiles: figures.percentiles,
                details: figures.details,
                revision: 0,
                status: crate::model::Status::Final,
                definition_version: 1,
            };
            let key = keys::metric(definition.id, cell.window, cell.currency, cell.dimension, cell.value);
            (key, figures_line(&value))
        })
        .collect()
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
        (1_i64..3, -1_i64..2, -1_i64..2).prop_map(|(n, a, b)| Accumulator {
            n,
            a,
            b,
            ..Accumulator::default()
        }),
    ];
    let metric = prop_oneof![
        Just(catalogue::index::OVERDUE),
        Just(catalogue::index::UNANSWERED),
        Just(catalogue::index::NPS),
        Just(catalogue::index::PROMISE_GAP),
    ];
    let dimension = prop_oneof![
        Just((Dimension::Company, "")),
        Just((Dimension::Region, "n")),
        Just((Dimension::Region, "no"))
    ];
    (metric, dimension, 20_450_i32..20_560, accumulator).prop_map(|(metric, (dimension, value), day, add)| Addition {
        metric,
        currency: None,
        dimension,
        value: value.to_owned(),
        day: Day(day),
        add: if matches!(catalogue::CATALOGUE[usize::from(metric)].kind, MetricKind::Level) {
            Accumulator::count(add.n)
        } else {
            add
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
    ) {
        let options = Options { background_steps_max, cells_cached_max, ..Options::new(Calendar::utc()) };
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
        prop_assert_eq!(&harness.feed.latest, &brute_force(&additions, as_of));
        // Nothing is left to say, and every status is what its window asks for.
        let publications = harness.feed.publications;
        harness.restart(3);
        harness.commit_all();
        prop_assert_eq!(harness.feed.publications, publications);
        let settled = harness.metrics.settled_day();
        for (key, value) in harness.store.map.iter().filter(|(key, _)| key[0] == b'c') {
            let window = super::cells::parse_cell_key(key).expect("a cell's key").window;
            let is_settled = settled.is_some_and(|settled| window.end() <= settled);
            prop_assert_eq!(super::cells::stored_is_provisional(value), Some(!is_settled));
        }
    }

    #[test]
    fn order_and_splitting_into_commits_do_not_matter(
        additions in prop::collection::vec(any_addition(), 1..40).prop_flat_map(|additions| {
            (Just(additions.clone()), Just(additions).prop_shuffle())
        }),
        commits in prop::collection::vec(any::<bool>(), 40),
        as_of_at in 0_usize..40,
    ) {
        let (one_shot, shuffled) = additions;
        let as_of = Day(20_555);
        let mut first = Harness::new(Options::new(Calendar::utc()));
        for addition in &one_shot { first.add(addition); }
        first.as_of(as_of);
        first.commit_all();
        let mut second = Harness::new(Options::new(Calendar::utc()));
        for (position, addition) in shuffled.iter().enumerate() {
            if position == as_of_at { second.as_of(as_of); }
            second.add(addition);
            if commits[position] { second.commit(); }
        }
        second.as_of(as_of);
        second.commit_all();
        prop_assert_eq!(&first.feed.latest, &second.feed.latest);
        prop_assert_eq!(&first.feed.latest, &brute_force(&one_shot, Some(as_of)));
    }
}
