//! The stage told as stories: contributions as text in, published lines out; and its promises as properties.

mod departments;
mod families;
mod fits;
mod promises;
mod rebuild;
mod spokes;
mod stories;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    ops::ControlFlow,
};

use bytes::Bytes;

use super::{
    Analysed, Effects, Metrics, Options, Prioritised,
    catalogue::{self, MetricKind},
    cells, values,
};
use crate::analyses::{journeys::JourneyLimits, scorecards::Promises};
use crate::model::{
    Accumulator, Alert, AlertId, AnalysisPlace, CellKey, Currency, Day, DepartmentElement, DepartmentNews, Dimension,
    EventTime, GroupElement, KeyValue, MetricValue, Money, Outcome, Status, StoreError, Uncertainty, Window,
    WindowKind, contact_touchpoint, family, keys,
};

/// A store with its changelog.
#[derive(Clone, Default)]
struct TestStore {
    map: BTreeMap<Vec<u8>, Bytes>,
    changelog: Vec<(Vec<u8>, Option<Bytes>)>,
    /// How often a value was looked up.
    looks: std::cell::Cell<usize>,
}

impl KeyValue for TestStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.looks.set(self.looks.get() + 1);
        KeyValue::get(&self.map, key)
    }
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.changelog.push((key.to_vec(), Some(Bytes::copy_from_slice(value))));
        self.map.put(key, value);
    }
    fn delete(&mut self, key: &[u8]) {
        self.changelog.push((key.to_vec(), None));
        self.map.delete(key);
    }
    fn put_local(&mut self, key: &[u8], value: &[u8]) {
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
    /// A line for each publication of an alert.
    alerts: String,
    open_alerts: BTreeSet<AlertId>,
    /// All that was told last of journeys.
    journeys: BTreeMap<String, String>,
    /// What partitions tell that of the analyses.
    told: Vec<DepartmentNews>,
}

impl Feed {
    /// The latest values of metrics, without the scorecards of those who own an alert about one.
    fn values(&self) -> BTreeMap<String, String> {
        let values = self.latest.iter().filter(|(key, _)| !key.starts_with("scorecards|"));
        values.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Effects for Feed {
    fn value(&mut self, key: &str, value: &MetricValue<'_>) {
        self.publications += 1;
        self.latest.insert(key.to_owned(), figures_line(value));
        writeln!(self.lines, "{key} {} r{} {}", figures_line(value), value.revision, value.status)
            .expect("a string takes every character");
    }
    fn alert(&mut self, alert: &Alert<'_>) {
        let (series, window) = alert.series.expect("it is about a metric");
        let about = [series.metric, series.dimension.as_str(), series.value].join(" ");
        let figures: String =
            alert.figures.iter().fold(String::new(), |text, (name, figure)| text + &format!(" {name}={figure:.2}"));
        let at = window.map_or_else(String::new, |window| format!(" {window}"));
        let seen = alert.acknowledged.as_ref().map_or_else(String::new, |it| format!(" by {}", it.by));
        let (state, owner, since) = (alert.state, alert.owner, alert.since);
        writeln!(self.alerts, "{about} {state}{at} since {since} {owner}{figures}{seen} r{}", alert.revision)
            .expect("a string takes every character");
        self.open_alerts.insert(alert.id);
    }
    fn tell(&mut self, news: DepartmentNews) {
        self.told.push(news);
    }
    fn alert_gone(&mut self, id: AlertId) {
        assert!(self.open_alerts.remove(&id), "it was never told");
    }
    fn analysis(&mut self, place: &AnalysisPlace<'_>, analysed: Analysed<'_>, published: Option<(u64, Status)>) {
        self.publications += 1;
        let (key, line) = match analysed {
            Analysed::Journeys(table) => {
                let ended = table.ended();
                let limits = JourneyLimits { transitions: 500, paths: 50, ends: 50, critical: 50 };
                self.journeys.insert(keys::analysis("journeys", "goal", place), format!("{:?}", table.publish(limits)));
                (keys::analysis("journeys", "goal", place), format!("{} reached, {} lost", ended.goal, ended.lost))
            }
            Analysed::Buying(found) => {
                let line = found.map(|(currency, found)| {
                    let (n, again, spend) = (found.customers, found.repeat_buyers, &found.spend);
                    let shape = found.purchases.fit.as_ref().map(|fit| fit.parameters[0].value);
                    let scale = spend.fit.as_ref().map(|fit| fit.parameters[2].value);
                    let paid = format!("{} of {} paid {}", spend.n, spend.n + spend.left_out, currency.as_str());
                    format!("{n} customers, {again} again, {paid}, r {shape:?}, nu {scale:?}")
                });
                (keys::analysis("parameters", "model", place), line.unwrap_or_default())
            }
            Analysed::Drivers(moments) => {
                let persons = moments.pair(6, 6).n;
                (keys::analysis("drivers", "of", place), format!("{persons} persons with contacts"))
            }
            Analysed::Priorities(Prioritised { everyone, seen, .. }) => {
                let seen: String = seen.values().map(|it| format!(" seen by {}", it.by)).collect();
                (keys::analysis("priorities", "of", place), format!("{} persons{seen}", everyone.persons))
            }
            Analysed::Change(compared) => {
                let key = format!("{}&metric={}", keys::analysis("change", "by", place), compared.metric.id);
                let line =
                    compared.change.map(|it| format!("{:.1} to {:.1}: {}", it.before, it.after, it.movement.as_str()));
                (key, line.unwrap_or_default())
            }
            Analysed::Scorecard(card) => {
                let line = card.map_or_else(String::new, |card| {
                    let mut line =
                        format!("{} touchpoints, {} net {:+.3?}", card.touchpoints, card.cost_basis.as_str(), card.net);
                    for (rank, it) in &card.priorities {
                        write!(line, ", {rank}. {}", it.subject.subject).expect("a string takes every character");
                    }
                    for (cause, n) in &card.alerts {
                        write!(line, ", {n} {cause}").expect("a string takes every character");
                    }
                    let Promises { open, overdue } = card.open_promises;
                    if (open, overdue) != (0, 0) {
                        write!(line, ", {open} promises, {overdue} overdue").expect("a string takes every character");
                    }
                    for (outcome, n) in &card.arrived {
                        write!(line, ", {n} {outcome}").expect("a string takes every character");
                    }
                    line
                });
                (keys::analysis("scorecards", "spoke", place), line)
            }
            Analysed::Balance(balance) => {
                let line = balance.map_or_else(String::new, |balance| {
                    let ranked = balance.ranking.shown.iter();
                    let ranked: Vec<String> =
                        ranked.map(|it| format!("{} {:+.3} {}", it.key.kind, it.net, it.advice.as_str())).collect();
                    format!("by {}: {}", balance.cost_basis.as_str(), ranked.join(", "))
                });
                (keys::analysis_of_company("balance", place.window), line)
            }
        };
        match published {
            Some((revision, status)) => {
                writeln!(self.lines, "{key} {line} r{revision} {status}").expect("a string takes every character");
                self.latest.insert(key, line);
            }
            None => {
                assert!(self.latest.remove(&key).is_some(), "a tombstone for {key}, which was not published");
                writeln!(self.lines, "{key} gone").expect("a string takes every character");
            }
        }
    }
    fn content(&mut self, _: &AnalysisPlace<'_>, analysed: Analysed<'_>) -> Option<u64> {
        let is_derived = !matches!(analysed, Analysed::Journeys(_) | Analysed::Drivers(_) | Analysed::Buying(_));
        is_derived.then(|| xxhash_rust::xxh3::xxh3_64(format!("{analysed:?}").as_bytes()))
    }
    fn tombstone(&mut self, key: &str) {
        self.publications += 1;
        assert!(self.latest.remove(key).is_some(), "a tombstone for {key}, which was not published");
        writeln!(self.lines, "{key} gone").expect("a string takes every character");
    }
}

fn figures_line(value: &MetricValue<'_>) -> String {
    let mut line = match value.value {
        Some(figure) => format!("{figure:.4}"),
        None => "-".to_owned(),
    };
    write!(line, " {} n={} {}/{}", value.unit, value.n, value.numerator, value.denominator).expect("a string");
    match value.uncertainty {
        Some(Uncertainty::StandardError(error)) => write!(line, " ±{error:.4}").expect("a string"),
        Some(Uncertainty::Interval(low, high)) => write!(line, " [{low:.4} {high:.4}]").expect("a string"),
        None => {}
    }
    if let Some(percentiles) = value.percentiles {
        write!(line, " p50={:.4} p90={:.4} p99={:.4}", percentiles.p50, percentiles.p90, percentiles.p99)
            .expect("a string");
    }
    for (name, detail) in &value.details {
        write!(line, " {name}={detail:.4}").expect("a string");
    }
    if let Some(values) = value.other_values {
        write!(line, " of {values} values").expect("a string");
    }
    line
}

/// A store without ranks of dimensions' values, which are made again when they are needed.
fn but_ranks(store: &BTreeMap<Vec<u8>, Bytes>) -> BTreeMap<Vec<u8>, Bytes> {
    let entries = store.iter().filter(|(key, _)| !matches!(key[0], b'x' | b'g'));
    entries.map(|(key, value)| (key.clone(), if key[0] == b'v' { Bytes::new() } else { value.clone() })).collect()
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
            MetricKind::Opening if self.add.n == 0 => &WindowKind::ALL[..],
            MetricKind::Level | MetricKind::Opening => &WindowKind::ALL[..1],
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
    /// What was told in commits and is not known to have been taken.
    told: Vec<DepartmentNews>,
    /// Disks as they were after commits: how much of the changelog is on them, and what they hold.
    disks: Vec<(usize, BTreeMap<Vec<u8>, Bytes>)>,
}

impl Harness {
    fn new(options: Options) -> Harness {
        Harness {
            metrics: Metrics::new(options.clone()),
            options,
            store: TestStore::default(),
            feed: Feed::default(),
            committed: Default::default(),
            told: Vec::new(),
            disks: Vec::new(),
        }
    }

    fn add(&mut self, addition: &Addition) {
        for cell in addition.cells() {
            self.metrics.contribution(cell, &addition.add, &mut self.store).expect("a good contribution");
        }
    }

    fn as_of(&mut self, day: Day) {
        self.metrics.advance(midnight(day), &self.store).expect("a good store");
    }

    fn watermark(&mut self, source: u32, day: Option<Day>) {
        self.metrics.watermark(source, day.map(midnight), &self.store).expect("a good store");
    }

    fn publish(&mut self) -> bool {
        for news in &self.told {
            self.metrics.department(news, &mut self.store).expect("a good store");
        }
        self.metrics.publish(&mut self.store, &mut self.feed).expect("a good store")
    }

    fn commit(&mut self) -> bool {
        let left = self.publish();
        assert_eq!(left, self.metrics.has_background_work());
        self.metrics.committed();
        self.told = std::mem::take(&mut self.feed.told);
        self.keep();
        let stored = self.store.map.iter().filter(|(key, _)| matches!(key[0], b'c' | b'd'));
        let stored: usize = stored.map(|(key, value)| cells::keys_published(key, value)).sum();
        let analysed =
            self.store.map.iter().filter(|(key, value)| matches!(key[0], b'f' | b'p') && value[2] != u8::MAX).count();
        assert_eq!(stored + analysed, self.feed.latest.len(), "the store holds exactly what is published");
        left || !self.told.is_empty()
    }

    /// What was published is committed.
    fn keep(&mut self) {
        self.committed = (self.store.clone(), self.feed.clone());
        self.disks.push((self.store.changelog.len(), self.store.map.clone()));
    }

    fn commit_all(&mut self) {
        while self.commit() {}
    }

    fn roll_back(&mut self) {
        self.metrics.rolled_back();
        (self.store, self.feed) = self.committed.clone();
    }

    /// Another instance, with a store made from the changelog; part of it may have been on disk already, as it was after the newest
    /// commit of that part.
    fn restart(&mut self, on_disk: usize) {
        self.roll_back();
        let mut restored = TestStore::default();
        let changelog = std::mem::take(&mut self.store.changelog);
        let on_disk = on_disk % (changelog.len() + 1);
        let disk = self.disks.iter().rev().find(|(length, _)| *length <= on_disk);
        let (length, map) = disk.cloned().unwrap_or_default();
        restored.map = map;
        for (key, value) in &changelog[length..] {
            match value {
                Some(value) => restored.map.put(key, value),
                None => restored.map.delete(key),
            }
            Metrics::restored(key, value.as_deref(), &mut restored).expect("a good changelog");
        }
        let (found, expected) = (but_ranks(&restored.map), but_ranks(&self.store.map));
        assert_eq!(found, expected, "the changelog restores the store, local entries too");
        restored.changelog = changelog;
        self.store = restored;
        self.metrics = Metrics::new(self.options.clone());
        self.committed.0 = self.store.clone();
    }

    /// A change of how customers bought.
    fn bought(&mut self, day: Day, element: &str, add: &Accumulator) {
        let value = family::cell_value(&["EUR"], &[element]);
        let window = Window::of(WindowKind::Month, day);
        let dimension = Dimension::Company;
        let cell = CellKey { metric: family::PURCHASES, currency: None, dimension, value: &value, window };
        self.metrics.contribution(cell, add, &mut self.store).expect("a good contribution");
    }

    /// Adds to an element of a family of the company.
    fn element(&mut self, metric: u8, day: Day, value: &str, add: &Accumulator) {
        let window = Window::of(WindowKind::Month, day);
        let cell = CellKey { metric, currency: None, dimension: Dimension::Company, value, window };
        self.metrics.contribution(cell, add, &mut self.store).expect("a good contribution");
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
            // Journeys: when, goal, segment (or -), outcome, path, how many.
            ["journeys", date, goal, segment, outcome, path, n] => {
                let name: Vec<&str> = [*goal].into_iter().chain((*segment != "-").then_some(*segment)).collect();
                let value = family::cell_value(&name, &[outcome, path]);
                let cell = CellKey {
                    metric: family::JOURNEYS,
                    currency: None,
                    dimension: if *segment == "-" { Dimension::Company } else { Dimension::Segment },
                    value: &value,
                    window: Window::of(WindowKind::Month, day(date)),
                };
                let mut add = Accumulator::default();
                let one = match *outcome {
                    "converted" => Accumulator::observe_distribution(90_000),
                    _ => Accumulator::count(1),
                };
                add.add(&one, n.parse().expect("a number"));
                self.metrics.contribution(cell, &add, &mut self.store).expect("a good contribution");
            }
            // Kinds of contact: when, which, how many, what they cost.
            ["contacts", date, contact, n, cost] => {
                let value = family::cell_value(&[family::CONTACTS], &[contact, "t"]);
                let cell = CellKey {
                    metric: family::BALANCE,
                    currency: None,
                    dimension: Dimension::Company,
                    value: &value,
                    window: Window::of(WindowKind::Month, day(date)),
                };
                let mut add = Accumulator::default();
                let cost = cost.parse().expect("a number");
                add.add(&contact_touchpoint(cost, 0, false), n.parse().expect("a number"));
                self.metrics.contribution(cell, &add, &mut self.store).expect("a good contribution");
            }
            // Open alerts: when they opened, whose they are, why, how many.
            ["alerts", date, spoke, cause, n] => {
                let value = family::cell_value(&[spoke], &[&format!("!{cause}")]);
                let add = Accumulator::count(n.parse().expect("a number"));
                self.element(family::SCORECARDS, day(date), &value, &add);
            }
            // Changes of promises: when, whose, how many more are open, how many more are to be kept.
            ["promises", date, spoke, open, due] => {
                let mut element = String::new();
                DepartmentElement::Promises.push_name(&mut element);
                let value = family::cell_value(&[spoke], &[&element]);
                let [n, a] = [open, due].map(|number| number.parse().expect("a number"));
                self.element(family::SCORECARDS, day(date), &value, &Accumulator { n, a, ..Accumulator::default() });
            }
            // Persons: when, with a subject (or -) of which spoke, how many of them, how many bought again.
            ["persons", date, spoke, subject, n, again] => {
                let parts = [*spoke, "case_opened", *subject];
                let subject = if *subject == "-" { String::new() } else { family::element(&parts) };
                let value = family::cell_value(&[family::PERSONS], &[GroupElement::Persons.as_str(), &subject]);
                let (n, again): (i64, i64) = (n.parse().expect("a number"), again.parse().expect("a number"));
                let add = Accumulator { n, a: again, b: n, sum: 100 * n, ..Accumulator::default() };
                self.element(family::PRIORITIES, day(date), &value, &add);
            }
            // How customers bought: when, which element, how many, and their sum.
            ["bought", date, element, n, rest @ ..] => {
                let n = n.parse().expect("a number");
                let sum = rest.first().map_or(0, |sum| sum.parse().expect("a number"));
                self.bought(day(date), element, &Accumulator { n, sum, ..Accumulator::default() });
            }
            [metric, date, rest @ ..] => {
                let mut addition = Addition {
                    metric: (catalogue::CATALOGUE.iter().position(|definition| definition.id == *metric))
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
                        "sum" => addition.add.sum = number(),
                        "observe" => addition.add.add(&Accumulator::observe(number()), 1),
                        "distribution" => addition.add.add(&Accumulator::observe_distribution(number()), 1),
                        "money" => {
                            let (minor, code) = value.split_at(value.len() - 3);
                            let minor = minor.parse().expect("minor units");
                            let currency = Currency::parse(code).expect("a currency");
                            addition.add.add(&Accumulator::money(Money { minor, currency }), 1);
                        }
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
