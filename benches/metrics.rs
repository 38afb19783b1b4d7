//! What a contribution and a publication cost in the metrics stage, without an engine: `cargo bench --bench metrics`.

#![allow(clippy::print_stdout, reason = "a benchmark shows its table on standard output and fails loudly")]

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use insight_hub::{
    metrics::{Analysed, Effects, Metrics, Options, catalogue::index},
    model::{
        Accumulator, Alert, AlertId, AnalysisPlace, Calendar, CellKey, Currency, Day, DepartmentNews, Dimension,
        EventTime, MetricValue, Status, Window, WindowKind,
    },
};

const COMMITS: usize = 50;
const CONTRIBUTIONS_PER_COMMIT: usize = 20_000;

struct Counted(u64);

impl Effects for Counted {
    fn analysis(&mut self, _: &AnalysisPlace<'_>, _: Analysed<'_>, _: Option<(u64, Status)>) {}
    fn content(&mut self, _: &AnalysisPlace<'_>, _: Analysed<'_>) -> Option<u64> {
        None
    }
    fn alert(&mut self, _: &Alert<'_>) {}
    fn alert_gone(&mut self, _: AlertId) {}
    fn tell(&mut self, _: DepartmentNews) {}

    fn value(&mut self, key: &str, value: &MetricValue<'_>) {
        black_box((key, value));
        self.0 += 1;
    }
    fn tombstone(&mut self, key: &str) {
        black_box(key);
        self.0 += 1;
    }
}

fn main() {
    println!("{:<44} {:>16} {:>16} {:>14}", "cells in use", "ns/contribution", "ns/publication", "publications");
    flow("counts, 3,000 cells, all cached", 10, false, 65_536);
    flow("distributions, 3,000 cells, all cached", 10, true, 65_536);
    flow("counts, 90,000 cells, all cached", 300, false, 200_000);
    flow("counts, 90,000 cells, 10,000 cached", 300, false, 10_000);
    levels();
}

fn report(name: &str, contributions: (Duration, usize), publications: (Duration, u64)) {
    println!(
        "{name:<44} {:>16.0} {:>16.0} {:>14}",
        contributions.0.as_nanos() as f64 / contributions.1.max(1) as f64,
        publications.0.as_nanos() as f64 / publications.1.max(1) as f64,
        publications.1
    );
}

/// Contributions to 10 metrics × `values` dimension values × (20 days and their weeks and months).
fn flow(name: &str, values: u64, distribution: bool, cells_cached_max: usize) {
    let options = Options { cells_cached_max, ..Options::new(Calendar::utc(), 1) };
    let (mut metrics, mut store, mut effects) = (Metrics::new(options), BTreeMap::<Vec<u8>, Bytes>::new(), Counted(0));
    let names: Vec<String> = (0..values).map(|value| format!("product-{value}")).collect();
    let (mut contributing, mut publishing) = (Duration::ZERO, Duration::ZERO);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..COMMITS {
        let start = Instant::now();
        for _ in 0..CONTRIBUTIONS_PER_COMMIT {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = random >> 33;
            let day = Day(20_000 + (drawn / 10_000 % 20) as i32);
            let cell = CellKey {
                metric: if distribution { index::FIRST_RESPONSE_TIME } else { (drawn % 3) as u8 },
                currency: Currency::parse("EUR"),
                dimension: Dimension::Product,
                value: &names[(drawn / 10 % values) as usize],
                window: Window::of(WindowKind::ALL[(drawn % 5).min(2) as usize], day),
            };
            let add = if distribution {
                Accumulator::observe_distribution((drawn % 100_000_000) as i64)
            } else {
                Accumulator::observe((drawn % 11) as i64)
            };
            metrics.contribution(cell, &add, &mut store).expect("a map does not fail");
        }
        contributing += start.elapsed();
        let start = Instant::now();
        metrics.publish(&mut store, &mut effects).expect("a map does not fail");
        metrics.committed();
        publishing += start.elapsed();
    }
    report(name, (contributing, COMMITS * CONTRIBUTIONS_PER_COMMIT), (publishing, effects.0));
}

/// 3,000 families with a level, 60 days closing one after the other.
fn levels() {
    let mut metrics = Metrics::new(Options::new(Calendar::utc(), 1));
    let (mut store, mut effects) = (BTreeMap::<Vec<u8>, Bytes>::new(), Counted(0));
    let start = Instant::now();
    for family in 0..3_000 {
        let cell = CellKey {
            metric: index::OVERDUE,
            currency: None,
            dimension: Dimension::Product,
            value: &format!("product-{family}"),
            window: Window::of(WindowKind::Day, Day(20_000)),
        };
        metrics.contribution(cell, &Accumulator::count(1), &mut store).expect("a map does not fail");
    }
    let contributing = start.elapsed();
    let start = Instant::now();
    for day in 20_001..=20_060_i64 {
        metrics.advance(EventTime(day * 86_400_000), &store).expect("a map does not fail");
        while metrics.publish(&mut store, &mut effects).expect("a map does not fail") {
            metrics.committed();
        }
        metrics.committed();
    }
    report("levels, 3,000 families, 60 days closing", (contributing, 3_000), (start.elapsed(), effects.0));
}
