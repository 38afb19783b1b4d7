//! What was done about what in, the metrics before and after it out: what `insight.changes` must say.
//!
//! Lists the observations of the days on each side, and compares the lists.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    cells::{Cell, Slice, World},
    escaped,
    intervals::{means, shares},
    sources::Touch,
};

/// The metrics, and in which unit values are published: parts of one.
const MEANS: [(&str, f64, &str); 8] = [
    ("expectation_gap", 1.0, "points"),
    ("ces", 1.0, "points"),
    ("sentiment", 1.0, "points"),
    ("promise_gap", 86_400_000.0, "days"),
    ("first_response_time", 1_000.0, "seconds"),
    ("resolution_time", 1_000.0, "seconds"),
    ("full_resolution_time", 1_000.0, "seconds"),
    ("follow_up_time", 1_000.0, "seconds"),
];
const SHARES: [&str; 6] = ["csat", "on_time", "return_rate", "first_contact_resolution", "referral", "word_of_mouth"];

/// Who did something about what, on which day, and each effort that was said of it.
#[derive(Default)]
pub struct Changes(BTreeMap<(Slice, i32, String), Vec<i64>>);

impl Changes {
    /// Notes what a timeline says was done.
    pub fn add(&mut self, timeline: &[Touch], world: &mut World) {
        for touch in timeline.iter().filter(|touch| touch.kind == "change_enacted") {
            let moment = world.moment(touch, "before");
            for slice in moment.slices {
                if !matches!(world.dimension(slice).0, "spoke" | "phase") {
                    self.0.entry((slice, moment.day, touch.spoke.clone())).or_default().extend(touch.effort);
                }
            }
        }
    }

    /// The state of `insight.changes`, by key.
    pub fn publish(&self, world: &mut World) -> BTreeMap<String, Value> {
        let mut feed = BTreeMap::new();
        for ((slice, day, spoke), efforts) in &self.0 {
            let effort = (!efforts.is_empty()).then(|| efforts.iter().sum::<i64>());
            let mut side = |metric: &str, first: i32, last: i32| {
                let mut all = Cell::default();
                for day in first..=last {
                    let cell = world.at(metric, None, (*slice, (0, day)));
                    all.n += cell.n;
                    all.a += cell.a;
                    all.b += cell.b;
                    all.values.extend(&cell.values);
                }
                all
            };
            let mut found: Vec<(&str, &str, Cell, Cell, [f64; 3], [f64; 2])> = Vec::new();
            let mut both = |metric: &str| (side(metric, day - 28, day - 1), side(metric, day + 1, day + 28));
            for metric in SHARES {
                let (before, after) = both(metric);
                if let Some(moved) = shares((after.a, after.n), (before.a, before.n)) {
                    let share = |cell: &Cell| 100.0 * cell.a as f64 / cell.n as f64;
                    let values = [share(&before), share(&after)];
                    found.push((metric, "percent", before, after, moved.map(|it| 100.0 * it), values));
                }
            }
            for (metric, unit, word) in MEANS {
                let (before, after) = both(metric);
                if let Some(moved) = means(&after.values, &before.values) {
                    let mean = |cell: &Cell| cell.values.iter().sum::<i64>() as f64 / cell.n as f64 / unit;
                    let values = [mean(&before), mean(&after)];
                    found.push((metric, word, before, after, moved.map(|it| it / unit), values));
                }
            }
            let (before, after) = both("nps");
            let answers = |cell: &Cell| {
                let none = cell.n - cell.a - cell.b;
                let of = |value: i64, times: i64| std::iter::repeat_n(value, times.max(0) as usize);
                of(1, cell.a).chain(of(-1, cell.b)).chain(of(0, none)).collect::<Vec<_>>()
            };
            if let Some(moved) = means(&answers(&after), &answers(&before)) {
                let net = |cell: &Cell| 100.0 * (cell.a - cell.b) as f64 / cell.n as f64;
                let values = [net(&before), net(&after)];
                found.push(("nps", "points", before, after, moved.map(|it| 100.0 * it), values));
            }
            let (dimension, value) = world.dimension(*slice);
            for (metric, unit, before, after, [difference, low, high], [was, is]) in found {
                let (name, window) = world.day_window(*day);
                let mut key = format!("change|{name}|by={}", escaped(spoke));
                if dimension != "company" {
                    key += &format!("&{dimension}={}", escaped(value));
                }
                let movement = if low > 0.0 {
                    "up"
                } else if high < 0.0 {
                    "down"
                } else {
                    "unclear"
                };
                let record = json!({
                    "by": spoke, "window": window, "dimension": dimension, "dimension_value": value, "metric": metric,
                    "unit": unit, "days": 28, "n_before": before.n, "n_after": after.n, "before": was, "after": is,
                    "difference": difference, "interval_low": low, "interval_high": high, "movement": movement, "effort": effort,
                });
                feed.insert(format!("{key}&metric={metric}"), record);
            }
        }
        feed
    }
}
