//! Persons' timelines in, what `insight.priorities` must say of each month out.
//!
//! Keeps a row per person and month, and compares the rows with a subject with those without it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    cells::World,
    intervals::{means, shares},
    journeys::Bought,
    months,
    sources::Touch,
};

/// What the organisation states of subjects, by `spoke|kind|subject`: what it takes to fix one, how many persons can be handled.
pub type Stated = BTreeMap<String, (Option<i64>, Option<i64>)>;

/// A person's month.
struct Row {
    subjects: BTreeSet<(String, String, String)>,
    /// Each time that one of them is said to take so much.
    efforts: Vec<((String, String, String), i64)>,
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
fn of_person(timeline: &[Touch], world: &World) -> Vec<(String, Value, std::ops::Range<usize>)> {
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
        let found = of_person(timeline, world);
        let month_at =
            |at: usize| found.iter().find(|(.., range)| range.contains(&at)).map(|(_, window, _)| number(window));
        let euros = |at: usize| match &timeline[at].amount {
            Some((minor, currency)) if currency == "EUR" => *minor,
            _ => 0,
        };
        for (name, window, range) in &found {
            let this = number(window);
            let after = world.month_after(window);
            if !world.is_over(&after) {
                continue;
            }
            let stands = |purchase: &&Bought| !months::counts(purchase.cancelled, timeline, name, world);
            let mut revenue = 0;
            for purchase in bought.iter().filter(stands) {
                let counts = month_at(purchase.placed).is_some_and(|month| (this - 11..=this).contains(&month));
                revenue += if counts { euros(purchase.placed) } else { 0 };
            }
            for at in (0..range.end).filter(|&at| timeline[at].kind == "subscription_renewed") {
                let counts = month_at(at).is_some_and(|month| (this - 11..=this).contains(&month));
                revenue += if counts { euros(at) } else { 0 };
            }
            let is_customer = bought.iter().filter(stands).any(|it| it.placed < range.end);
            let is_after = |it: &Bought| month_at(it.placed) == Some(this + 1);
            let touches = || timeline[range.clone()].iter();
            let answers: Vec<i64> = touches()
                .filter_map(|touch| touch.score.as_ref())
                .filter(|(scale, ..)| scale == "csat")
                .map(|(_, value, _)| *value)
                .collect();
            let subject = |touch: &Touch| Some((touch.spoke.clone(), touch.kind.clone(), touch.subject.clone()?));
            let row = Row {
                subjects: touches().filter_map(subject).collect(),
                efforts: touches().filter_map(|touch| Some((subject(touch)?, touch.effort?))).collect(),
                csat: (!answers.is_empty())
                    .then(|| (answers.iter().sum::<i64>() * 1_000).div_euclid(answers.len() as i64)),
                revenue,
                bought: is_customer.then(|| bought.iter().filter(stands).any(is_after)),
            };
            self.0.entry(name.clone()).or_insert_with(|| (window.clone(), Vec::new())).1.push(row);
        }
    }

    /// The state of `insight.priorities`, by key, in the form of [`comparable`].
    pub fn publish(self, stated: &Stated) -> BTreeMap<String, Value> {
        self.0
            .into_iter()
            .map(|(month, (window, rows))| (format!("priorities|{month}|of=persons"), record(&window, &rows, stated)))
            .collect()
    }
}

/// The first 128 bits of BLAKE3, in hexadecimal.
fn id((spoke, kind, subject): &(String, String, String)) -> String {
    let text = format!("priority\0{spoke}\0{kind}\0{subject}\0");
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

fn record(window: &Value, rows: &[Row], stated: &Stated) -> Value {
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
        if outcome.is_none() && score.is_none() {
            too_few += 1;
            continue;
        }
        // A difference, then the ends of its interval.
        let (is_shown, is_sure) = (outcome.is_some(), |drop: Option<[f64; 3]>| drop.is_some_and(|it| it[1] > 0.0));
        let (ground, impact) = if is_shown && (is_sure(outcome) || !is_sure(score)) {
            ("outcome", outcome.unwrap())
        } else {
            ("score", score.unwrap().map(|it| it / 4_000.0))
        };
        judged += 1;
        let value: i64 = with.iter().map(|row| row.revenue).sum();
        if impact[0] <= 0.0 || value <= 0 {
            no_worse += 1;
            continue;
        }
        let points = score.map(|drop| drop.map(|it| it / 1_000.0));
        let name = format!("{}|{}|{}", subject.0, subject.1, subject.2);
        let (effort, limit) = stated.get(&name).copied().unwrap_or_default();
        let told: Vec<i64> =
            rows.iter().flat_map(|row| &row.efforts).filter(|(about, _)| about == subject).map(|it| it.1).collect();
        let (effort, source) = match effort {
            Some(stated) => (stated, "configured"),
            None if told.is_empty() => (1, "assumed"),
            None => {
                let mean = told.iter().sum::<i64>() as f64 / told.len() as f64;
                (((mean + 0.5).floor() as i64).max(1), "touchpoints")
            }
        };
        let reached = limit.map_or(with.len() as f64, |limit| (with.len() as f64).min(limit as f64));
        let worth = impact.map(|it| it * value as f64 * reached / with.len() as f64);
        let of = |three: Option<[f64; 3]>, at: usize| three.map(|it| it[at]);
        priorities.insert(
            name,
            json!({
                "reach": with.len(), "value_at_risk": value, "ground": ground, "effort": effort, "effort_source": source, "limit": limit,
                "outcome_drop": of(outcome, 0), "outcome_drop_low": of(outcome, 1), "outcome_drop_high": of(outcome, 2),
                "score_drop": of(points, 0), "score_drop_low": of(points, 1), "score_drop_high": of(points, 2),
                "score": worth[0], "score_low": worth[1], "score_high": worth[2],
                "id": id(subject), "acknowledged_by": null, "acknowledged_at": null,
            }),
        );
    }
    json!({
        "of": "persons", "window": window, "persons": rows.len(), "priorities": priorities, "other": 0,
        "judged": judged, "no_worse": no_worse, "too_few": too_few, "is_ranked": true,
    })
}

/// A published record without ranks: floats decide them, and equal ones are told apart by names. Whether scores per effort do not
/// ascend is said instead.
pub fn comparable(record: &Value) -> Value {
    let mut record = record.clone();
    let mut found = BTreeMap::new();
    let worth = |it: &Value| it["score"].as_f64().unwrap_or(f64::NAN) / it["effort"].as_f64().unwrap_or(f64::NAN);
    let shown = record["priorities"].as_array().cloned().unwrap_or_default();
    let is_ranked = shown.iter().zip(1..).all(|(it, rank)| it["rank"] == rank)
        && shown.windows(2).all(|two| worth(&two[0]) >= worth(&two[1]));
    record["is_ranked"] = json!(is_ranked);
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
