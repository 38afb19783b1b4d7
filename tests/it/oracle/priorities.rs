//! Persons' timelines in, what `insight.priorities` must say of each month out.
//!
//! Keeps a row per person and month, and compares the rows with a subject with those without it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{cells::World, journeys::Bought, sources::Touch};

/// A person's month.
struct Row {
    subjects: BTreeSet<(String, String, String)>,
    /// Thousandths.
    csat: Option<i64>,
    revenue: i64,
    /// Of a customer: whether they bought in the month after.
    bought: Option<bool>,
}

/// Persons by month.
#[derive(Default)]
pub struct Priorities(BTreeMap<String, (Value, Vec<Row>)>);

/// The months of a timeline in order: name, what records say of it, positions, whether the month after is over.
fn months(timeline: &[Touch], world: &World) -> Vec<(String, Value, std::ops::Range<usize>)> {
    let mut found: Vec<(String, Value, std::ops::Range<usize>)> = Vec::new();
    for (at, touch) in timeline.iter().enumerate() {
        let (name, window) = world.month(world.day(touch.occurred_at));
        match found.last_mut().filter(|last| last.0 == name) {
            Some(last) => last.2.end = at + 1,
            None => found.push((name, window, at..at + 1)),
        }
    }
    found
}

/// Months since the year 0.
fn number(window: &Value) -> i64 {
    let start = window["start"].as_str().unwrap();
    start[..4].parse::<i64>().unwrap() * 12 + start[5..7].parse::<i64>().unwrap() - 1
}

impl Priorities {
    /// Adds the months of a person.
    pub fn add(&mut self, timeline: &[Touch], bought: &[Bought], world: &World) {
        let months = months(timeline, world);
        let month_at =
            |at: usize| months.iter().find(|(.., range)| range.contains(&at)).map(|(_, window, _)| number(window));
        let euros = |at: usize| match &timeline[at].amount {
            Some((minor, currency)) if currency == "EUR" => *minor,
            _ => 0,
        };
        for (name, window, range) in &months {
            let this = number(window);
            let after = world.month_after(window);
            if !world.is_over(&after) {
                continue;
            }
            let mut revenue = 0;
            for purchase in bought {
                let counts = |at| month_at(at).is_some_and(|month| (this - 11..=this).contains(&month));
                revenue += if counts(purchase.placed) { euros(purchase.placed) } else { 0 };
                revenue -= if counts(purchase.cancelled) { euros(purchase.placed) } else { 0 };
            }
            for at in (0..range.end).filter(|&at| timeline[at].kind == "subscription_renewed") {
                let counts = month_at(at).is_some_and(|month| (this - 11..=this).contains(&month));
                revenue += if counts { euros(at) } else { 0 };
            }
            let is_customer = bought.iter().any(|it| it.placed < range.end && it.cancelled >= range.end);
            let stays =
                |it: &&Bought| month_at(it.placed) == Some(this + 1) && month_at(it.cancelled) != Some(this + 1);
            let touches = || timeline[range.clone()].iter();
            let answers: Vec<i64> = touches()
                .filter_map(|touch| touch.score.as_ref())
                .filter(|(scale, ..)| scale == "csat")
                .map(|(_, value, _)| *value)
                .collect();
            let subject = |touch: &Touch| Some((touch.spoke.clone(), touch.kind.clone(), touch.subject.clone()?));
            let row = Row {
                subjects: touches().filter_map(subject).collect(),
                csat: (!answers.is_empty())
                    .then(|| (answers.iter().sum::<i64>() * 1_000).div_euclid(answers.len() as i64)),
                revenue,
                bought: is_customer.then(|| bought.iter().any(|it| stays(&it))),
            };
            self.0.entry(name.clone()).or_insert_with(|| (window.clone(), Vec::new())).1.push(row);
        }
    }

    /// The state of `insight.priorities`, by key, in the form of [`comparable`].
    pub fn publish(self) -> BTreeMap<String, Value> {
        self.0
            .into_iter()
            .map(|(month, (window, rows))| (format!("priorities|{month}|of=persons"), record(&window, &rows)))
            .collect()
    }
}

fn record(window: &Value, rows: &[Row]) -> Value {
    let subjects: BTreeSet<_> = rows.iter().flat_map(|row| &row.subjects).collect();
    let mut priorities = BTreeMap::new();
    let (mut judged, mut no_worse, mut too_few) = (0, 0, 0);
    for subject in subjects {
        let (with, without): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.subjects.contains(subject));
        let outcomes = |rows: &[&Row]| {
            let known = || rows.iter().filter_map(|row| row.bought);
            (known().map(i64::from).sum::<i64>(), known().count() as i64)
        };
        let outcome = shares(outcomes(&without), outcomes(&with));
        let scores = |rows: &[&Row]| rows.iter().filter_map(|row| row.csat).collect::<Vec<_>>();
        let score = means(&scores(&without), &scores(&with));
        let (ground, impact) = match (outcome, score) {
            (Some(drop), _) => ("outcome", drop),
            (None, Some(drop)) => ("score", drop.map(|it| it / 4_000.0)),
            (None, None) => {
                too_few += 1;
                continue;
            }
        };
        judged += 1;
        let value: i64 = with.iter().map(|row| row.revenue).sum();
        if impact[0] <= 0.0 || value <= 0 {
            no_worse += 1;
            continue;
        }
        let points = score.map(|drop| drop.map(|it| it / 1_000.0));
        let worth = impact.map(|it| it * value as f64);
        let of = |three: Option<[f64; 3]>, at: usize| three.map(|it| it[at]);
        priorities.insert(
            format!("{}|{}|{}", subject.0, subject.1, subject.2),
            json!({
                "reach": with.len(), "value_at_risk": value, "ground": ground, "effort": 1, "limit": null,
                "outcome_drop": of(outcome, 0), "outcome_drop_low": of(outcome, 1), "outcome_drop_high": of(outcome, 2),
                "score_drop": of(points, 0), "score_drop_low": of(points, 1), "score_drop_high": of(points, 2),
                "score": worth[0], "score_low": worth[1], "score_high": worth[2],
            }),
        );
    }
    json!({
        "of": "persons", "window": window, "persons": rows.len(), "priorities": priorities, "other": 0,
        "judged": judged, "no_worse": no_worse, "too_few": too_few,
    })
}

const Z: f64 = 1.959963984540054;

/// Wilson's interval of a share.
pub fn wilson(a: i64, n: i64) -> (f64, f64) {
    let (p, size) = (a as f64 / n as f64, n as f64);
    let middle = (p + Z * Z / (2.0 * size)) / (1.0 + Z * Z / size);
    let half = Z / (1.0 + Z * Z / size) * (p * (1.0 - p) / size + Z * Z / (4.0 * size * size)).sqrt();
    (if a == 0 { 0.0 } else { middle - half }, if a == n { 1.0 } else { middle + half })
}

/// The first share less the second, with Newcombe's interval; thirty or more on each side.
pub fn shares(one: (i64, i64), other: (i64, i64)) -> Option<[f64; 3]> {
    let is_share = |(a, n): (i64, i64)| n >= 30 && (0..=n).contains(&a);
    if !is_share(one) || !is_share(other) {
        return None;
    }
    let share = |(a, n): (i64, i64)| a as f64 / n as f64;
    let ((p, q), (p_low, p_high), (q_low, q_high)) =
        ((share(one), share(other)), wilson(one.0, one.1), wilson(other.0, other.1));
    let low = p - q - ((p - p_low).powi(2) + (q_high - q).powi(2)).sqrt();
    let high = p - q + ((p_high - p).powi(2) + (q - q_low).powi(2)).sqrt();
    Some([p - q, low, high])
}

/// Value, low and high of a difference of means by Welch's test, thirty or more on each side.
pub fn means(one: &[i64], other: &[i64]) -> Option<[f64; 3]> {
    if one.len().min(other.len()) < 30 {
        return None;
    }
    let of = |values: &[i64]| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<i64>() as f64 / n;
        let spread: f64 = values.iter().map(|&value| (value as f64 - mean).powi(2)).sum();
        (n, mean, spread / (n - 1.0) / n)
    };
    let ((n, mean_one, a), (m, mean_other, b)) = (of(one), of(other));
    if a + b <= 0.0 {
        return None;
    }
    let freedom = (a + b).powi(2) / (a * a / (n - 1.0) + b * b / (m - 1.0));
    let half = student(freedom) * (a + b).sqrt();
    let value = mean_one - mean_other;
    Some([value, value - half, value + half])
}

/// Where Student's distribution has 0.475 above zero: Newton's method on Simpson's rule.
fn student(freedom: f64) -> f64 {
    let scale = (libm::lgamma((freedom + 1.0) / 2.0) - libm::lgamma(freedom / 2.0)).exp()
        / (freedom * std::f64::consts::PI).sqrt();
    let density = |x: f64| scale * (1.0 + x * x / freedom).powf(-(freedom + 1.0) / 2.0);
    let area = |to: f64| {
        let steps = 2_000;
        let at = |step: i32| density(to * f64::from(step) / f64::from(steps));
        let inner: f64 = (1..steps).map(|step| if step % 2 == 1 { 4.0 * at(step) } else { 2.0 * at(step) }).sum();
        (at(0) + inner + at(steps)) * to / f64::from(steps) / 3.0
    };
    let mut t = Z;
    for _ in 0..50 {
        let step = (area(t) - 0.475) / density(t);
        t -= step;
        if step.abs() < 1e-13 {
            break;
        }
    }
    t
}

/// A published record without ranks: floats decide them, and equal ones are told apart by names.
pub fn comparable(record: &Value) -> Value {
    let mut record = record.clone();
    let mut found = BTreeMap::new();
    for priority in record["priorities"].as_array().into_iter().flatten() {
        let mut priority = priority.clone();
        let fields = priority.as_object_mut().unwrap();
        fields.remove("rank");
        let part = |fields: &mut serde_json::Map<String, Value>, name| {
            fields.remove(name).and_then(|it| it.as_str().map(str::to_owned)).unwrap()
        };
        let key = ["owner", "kind", "subject"].map(|name| part(fields, name)).join("|");
        found.insert(key, priority);
    }
    record["priorities"] = json!(found);
    record
}
