//! Persons' purchases in, out what `insight.catalogue` must say of how customers bought by the end of each month.
//!
//! The parameters themselves are not computed again: the oracle counts the customers, evaluates the likelihood of the published
//! parameters by its own formula, and looks whether a step in any direction finds better ones.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    alerts::shown,
    cells::{Day, World, civil, end, window_name, windows},
    sources::Touch,
    trade::{NEVER, Purchase, Trade},
};

/// Of so many months, the newest, parameters are published.
const MONTHS_MAX: usize = 12;
const BUYERS_MIN: usize = 30;

/// A purchase: its day, that of its cancellation, and its amount in euros.
struct Bought {
    placed: Day,
    cancelled: Day,
    minor: Option<i64>,
}

/// Everybody's purchases.
#[derive(Default)]
pub struct Buyers(Vec<Vec<Bought>>);

/// Days of purchase after the first, in which week after it the last was, days from the first to the month's last.
type History = (usize, i32, i32);

/// The days, and the total of those after the first that have an amount, with their number.
fn by_day(purchases: &[&Bought]) -> (Vec<Day>, usize, i64) {
    let mut days: BTreeMap<Day, Option<i64>> = BTreeMap::new();
    for purchase in purchases {
        let total = days.entry(purchase.placed).or_default();
        if let Some(minor) = purchase.minor {
            *total = Some(total.unwrap_or(0) + minor);
        }
    }
    let paid: Vec<i64> = days.values().skip(1).filter_map(|total| *total).collect();
    (days.into_keys().collect(), paid.len(), paid.iter().sum())
}

fn purchase(timeline: &[Touch], purchase: &Purchase, world: &World) -> Bought {
    let cancelled =
        if purchase.cancelled == NEVER { Day::MAX } else { world.day(timeline[purchase.cancelled].occurred_at) };
    let amount = timeline[purchase.placed].amount.as_ref().filter(|(_, currency)| currency == "EUR");
    Bought {
        placed: world.day(timeline[purchase.placed].occurred_at),
        cancelled,
        minor: amount.map(|(minor, _)| *minor),
    }
}

/// What a record says of purchases that were not cancelled.
pub fn bought(timeline: &[Touch], live: &[&Purchase], world: &World) -> Value {
    let all: Vec<Bought> = live.iter().map(|it| purchase(timeline, it, world)).collect();
    let (days, paid, total) = by_day(&all.iter().collect::<Vec<_>>());
    match (days.first(), days.last()) {
        (Some(first), Some(last)) => json!({
            "first_on": shown(*first),
            "last_on": shown(*last),
            "days": days.len(),
            "repeat_paid_days": paid,
            "repeat_paid": total,
        }),
        _ => Value::Null,
    }
}

impl Buyers {
    /// Adds a person's purchases.
    pub(super) fn add(&mut self, timeline: &[Touch], trade: &Trade, world: &World) {
        self.0.push(trade.purchases.iter().map(|it| purchase(timeline, it, world)).collect());
    }

    /// How everybody bought by the close of a day: histories, and repeat purchases with their total.
    fn at(&self, close: Day) -> (Vec<History>, Vec<(usize, i64)>) {
        let (mut histories, mut spending) = (Vec::new(), Vec::new());
        for person in &self.0 {
            let known: Vec<&Bought> = person.iter().filter(|it| it.placed <= close && it.cancelled > close).collect();
            let (days, paid, total) = by_day(&known);
            if let (Some(first), Some(last)) = (days.first(), days.last()) {
                histories.push((days.len() - 1, (last - first + 6) / 7, close - first));
                if paid > 0 {
                    spending.push((paid, total));
                }
            }
        }
        (histories, spending)
    }

    /// The sets of parameters, with the customers that they are to be fitted to.
    pub fn publish(self, world: &World) -> BTreeMap<String, Value> {
        let Some(first) = self.0.iter().flatten().map(|it| it.placed).min() else { return BTreeMap::new() };
        let mut sets = Vec::new();
        let mut month = windows(first)[2];
        while end(month) - 1 <= world.last_closed_day {
            let (histories, spending) = self.at(end(month) - 1);
            if !histories.is_empty() || !sets.is_empty() {
                let name = window_name(month);
                let window =
                    json!({"kind": "month", "start": civil(month.1).to_string(), "end": civil(end(month)).to_string()});
                sets.push((format!("parameters|{name}|model=buying"), set(&window, &histories, &spending)));
            }
            month = windows(end(month))[2];
        }
        let older = sets.len().saturating_sub(MONTHS_MAX);
        // Nobody is left: nothing is published.
        sets.drain(older..).filter(|(_, set)| set["parameters"]["customers"] != 0).collect()
    }
}

fn set(window: &Value, histories: &[History], spending: &[(usize, i64)]) -> Value {
    let repeat_buyers = histories.iter().filter(|history| history.0 > 0).count();
    let known: Vec<(usize, i64)> = spending.iter().copied().filter(|(_, total)| *total > 0).collect();
    let verdict = |n: usize| (n < BUYERS_MIN).then_some("too_few");
    json!({
        "metric": "buying",
        "parameters": {
            "window": window,
            "currency": "EUR",
            "customers": histories.len(),
            "repeat_buyers": repeat_buyers,
            "n_min": BUYERS_MIN,
            "purchases": {"n": histories.len(), "left_out": 0, "convergence": verdict(repeat_buyers)},
            "spend": {"n": known.len(), "left_out": spending.len() - known.len(), "convergence": verdict(known.len())},
        },
        "histories": histories,
        "spending": known,
    })
}

/// Both sides in the form in which they can be compared; what is not published well becomes a difference. Two hubs' sets are
/// compared as they are.
pub fn comparable(
    expected: &BTreeMap<String, Value>,
    actual: &BTreeMap<String, Value>,
) -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
    let (mut expected, mut actual) = (expected.clone(), actual.clone());
    for (key, wanted) in &mut expected {
        let Some(histories) = wanted.as_object_mut().and_then(|wanted| wanted.remove("histories")) else { continue };
        let spending = wanted.as_object_mut().and_then(|wanted| wanted.remove("spending")).unwrap();
        let histories: Vec<History> = serde_json::from_value(histories).unwrap();
        let spending: Vec<(usize, i64)> = serde_json::from_value(spending).unwrap();
        let Some(found) = actual.get_mut(key) else { continue };
        let parameters = &mut found["parameters"];
        for (model, judged) in [
            ("purchases", judge_purchases(&parameters["purchases"], &histories)),
            ("spend", judge_spend(&parameters["spend"], &spending)),
        ] {
            let fit = parameters[model].as_object_mut().unwrap();
            fit.retain(|name, _| ["n", "left_out", "convergence"].contains(&name.as_str()));
            fit.insert("judged".into(), judged.into());
            wanted["parameters"][model]["judged"] = "good".into();
            if wanted["parameters"][model]["convergence"].is_null() {
                // Whether few customers determine the parameters is seen from the likelihood alone.
                wanted["parameters"][model]["convergence"] = parameters[model]["convergence"].clone();
            }
        }
        let kept = json!({"metric": found["metric"], "parameters": found["parameters"]});
        *found = kept;
        found["parameters"].as_object_mut().unwrap().remove("caveat");
    }
    (expected, actual)
}

fn values(fit: &Value) -> Vec<f64> {
    fit["parameters"].as_array().into_iter().flatten().filter_map(|it| it["value"].as_f64()).collect()
}

/// Whether the likelihood is as published, and a step of any parameter by `step` improves it by no more than `slack` of its
/// size.
fn judge(fit: &Value, n: usize, log_likelihood: &dyn Fn(&[f64]) -> f64, [step, slack, close]: [f64; 3]) -> String {
    let at = values(fit);
    if n < BUYERS_MIN {
        return if at.is_empty() { "good".into() } else { "parameters of too few".into() };
    }
    if at.len() < 3 {
        return "no parameters".into();
    }
    let here = log_likelihood(&at);
    // What is left of differences of logarithms of the gamma function where parameters are so large that nothing determines them.
    let largest = at.iter().copied().fold(2.0, f64::max);
    let rounding = n as f64 * 1e-15 * largest * largest.ln();
    let published = fit["log_likelihood"].as_f64().unwrap_or(f64::NAN);
    let is_close = (published - here).abs() <= close * here.abs().max(1.0) + rounding;
    if !is_close {
        return format!("a likelihood of {published}, which is {here} at {at:?}");
    }
    if fit["convergence"] != "converged" {
        return "good".into();
    }
    for index in 0..at.len() {
        for factor in [1.0 + step, 1.0 / (1.0 + step)] {
            let mut other = at.clone();
            other[index] *= factor;
            let there = log_likelihood(&other);
            if there > here + slack * here.abs() + rounding {
                return format!("parameter {index} times {factor} is likelier: {there} after {here}");
            }
        }
    }
    "good".into()
}

fn judge_purchases(fit: &Value, histories: &[History]) -> String {
    let repeat_buyers = histories.iter().filter(|history| history.0 > 0).count();
    judge(fit, repeat_buyers, &|at| histories.iter().map(|history| of_history(at, *history)).sum(), [0.01, 1e-9, 1e-9])
}

fn judge_spend(fit: &Value, spending: &[(usize, i64)]) -> String {
    // The hub knows totals by classes of one percent, the oracle exactly.
    judge(fit, spending.len(), &|at| spending.iter().map(|spent| gamma_gamma(at, *spent)).sum(), [0.05, 1e-6, 1e-4])
}

/// The logarithm of the likelihood of a customer of whom that is counted: the last is taken for the middle of its week.
pub fn of_history(at: &[f64], (repeats, last, age): History) -> f64 {
    let last_days = if last == 0 { 0 } else { (7 * last - 3).min(age) };
    bg_nbd(at, (repeats, f64::from(last_days) / 7.0, f64::from(age) / 7.0))
}

/// The logarithm of one customer's likelihood, times in weeks: Fader, Hardie, Lee 2005, equation 6.
pub fn bg_nbd(at: &[f64], (repeats, last, age): (usize, f64, f64)) -> f64 {
    let [r, alpha, a, b] = [at[0], at[1], at[2], at[3]];
    let x = repeats as f64;
    let beta = |a: f64, b: f64| log_gamma(a) + log_gamma(b) - log_gamma(a + b);
    let rate = log_gamma(r + x) - log_gamma(r) + r * alpha.ln();
    let stayed = beta(a, b + x) - beta(a, b) + rate - (r + x) * (alpha + age).ln();
    if repeats == 0 {
        return stayed;
    }
    let left = beta(a + 1.0, b + x - 1.0) - beta(a, b) + rate - (r + x) * (alpha + last).ln();
    let most = stayed.max(left);
    most + ((stayed - most).exp() + (left - most).exp()).ln()
}

/// The same of amounts: Fader, Hardie 2013, equation 1a, by the mean of a customer's amounts.
pub fn gamma_gamma(at: &[f64], (repeats, total): (usize, i64)) -> f64 {
    let [p, q, nu] = [at[0], at[1], at[2]];
    let x = repeats as f64;
    let mean = total as f64 / x;
    log_gamma(p * x + q) - log_gamma(p * x) - log_gamma(q) + q * nu.ln() + (p * x - 1.0) * mean.ln() + p * x * x.ln()
        - (p * x + q) * (nu + mean * x).ln()
}

/// J. Stirling's series, far enough from zero.
fn log_gamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 0.0);
    while x < 20.0 {
        below += x.ln();
        x += 1.0;
    }
    let s = 1.0 / (x * x);
    (x - 0.5) * x.ln() - x
        + 0.918_938_533_204_672_7
        + (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s / 1680.0))) / x
        - below
}
