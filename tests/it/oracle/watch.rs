//! Published values of metrics in, the open alerts about weeks outside their usual range out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Options,
    alerts::shown,
    cells::{Day, World},
    sources::instant,
};

/// Weeks that are looked back to, and how many of them say what is usual.
const BACK: i32 = 52;
const WEEKS: usize = 12;
const WEEKS_MIN: usize = 8;
const N_MIN: i64 = 30;
/// Days of grace after which a week is looked at.
const GRACE: i32 = 1;
const COUNTS: [&str; 6] = ["new_customers", "revenue", "orders", "reach", "overdue", "unanswered"];
const NOT_WATCHED: [&str; 3] = ["data_quality", "acquisition_cost", "customer_value"];

/// How many days after its end a week still changes.
fn waits(metric: &str) -> i32 {
    match metric {
        "first_contact_resolution" | "conversion" => 7,
        "repurchase_30" | "content_credibility" => 30,
        "repurchase_60" => 60,
        "repurchase_90" => 90,
        _ => 0,
    }
}

fn day(date: &str) -> Day {
    let date: jiff::civil::Date = date.parse().unwrap();
    (date - jiff::civil::date(1970, 1, 1)).get_days()
}

/// Both tails of Student's t beyond `t`, for a whole number of degrees of freedom, as finite sums of powers of a cosine.
fn tails(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let mut term = if freedom % 2 == 1 { cosine } else { 1.0 };
    let mut sum = 0.0;
    let mut step = if freedom % 2 == 1 { 1.0 } else { 0.0 };
    while (step as usize) < freedom - 1 {
        sum += term;
        step += 2.0;
        term *= cosine * cosine * (step - 1.0) / step;
    }
    let within = if freedom % 2 == 1 { 2.0 / std::f64::consts::PI * (angle + sine * sum) } else { sine * sum };
    1.0 - within
}

fn student(freedom: usize) -> f64 {
    let (mut low, mut high) = (3.0, 700.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if tails(middle, freedom) > 0.001 { low = middle } else { high = middle }
    }
    low
}

/// What is said of the test below.
const TEST: &str = "outside the 99.9 % prediction interval of the usual weeks before it (Student's t), and more than 3.29 \
    standard errors of its own from their mean";

type Weeks<'a> = BTreeMap<Day, &'a Value>;

/// The figures of an alert about the last week and the first week of its run, if it is unusual: what usual weeks before say,
/// from a year before on.
fn judge(weeks: &Weeks<'_>, metric: &str, last: Day) -> Option<(Value, Day)> {
    let counts = COUNTS.contains(&metric);
    let mut usual: Vec<f64> = Vec::new();
    let mut found: Option<(Value, Day)> = None;
    for start in (last - 7 * BACK..=last).step_by(7) {
        let week = weeks.get(&start);
        let number = |field: &str| week.and_then(|week| week[field].as_f64());
        let n = week.map_or(0, |week| week["n"].as_i64().unwrap());
        let has_begun = weeks.range(last - 7 * BACK..start).next().is_some();
        let value = if week.is_none() && counts && has_begun { Some(0.0) } else { number("value") };
        let before = &usual[usual.len().saturating_sub(WEEKS)..];
        let figures = value.filter(|_| (counts || n >= N_MIN) && before.len() >= WEEKS_MIN).and_then(|value| {
            let k = before.len() as f64;
            let mean = before.iter().sum::<f64>() / k;
            let variance = before.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (k - 1.0);
            let own = match (number("standard_error"), number("interval_low"), number("interval_high")) {
                (Some(error), ..) => error,
                (None, Some(low), Some(high)) => (high - low) / 2.0 / 1.959_963_984_540_054,
                _ if counts && metric != "revenue" => mean.sqrt(),
                _ => 0.0,
            };
            let scatter = student(before.len() - 1) * (variance * (1.0 + 1.0 / k)).sqrt();
            let half = scatter.max(3.290_526_731_491_925_5 * own);
            (half > 0.0 && (value - mean).abs() > half).then(|| {
                let (low, high) = (mean - half, mean + half);
                json!({"value": value, "n": n as f64, "mean": mean, "usual_low": low, "usual_high": high, "windows": k})
            })
        });
        if figures.is_none() && (counts || n >= N_MIN) {
            usual.extend(value);
        }
        found = figures.map(|figures| (figures, found.take().map_or(start, |(_, first)| first)));
    }
    found
}

/// The alerts that are open, by key.
pub fn open(metrics: &BTreeMap<String, Value>, world: &World, options: &Options) -> BTreeMap<String, Value> {
    let mut series: BTreeMap<[&str; 4], Weeks<'_>> = BTreeMap::new();
    let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    for value in metrics.values() {
        let [metric, dimension] = ["metric", "dimension"].map(|field| value[field].as_str().unwrap());
        let is_watched = !NOT_WATCHED.contains(&metric) && !["campaign", "account"].contains(&dimension);
        if is_watched && value["window"]["kind"] == "week" {
            let [of, currency] = ["dimension_value", "currency"].map(|field| value[field].as_str().unwrap_or_default());
            let start = day(&text(&value["window"]["start"]));
            series.entry([metric, currency, dimension, of]).or_default().insert(start, value);
        }
    }
    let mut open = BTreeMap::new();
    for ([metric, currency, dimension, value], weeks) in series {
        // 1970-01-05 was a Monday.
        let monday = |day: Day| day - (day - 4).rem_euclid(7);
        let looked_at = world.last_closed_day + 1 - GRACE;
        let last = monday(looked_at - waits(metric) - 7);
        let Some((figures, first)) = judge(&weeks, metric, last) else { continue };
        let opens = |first: Day| first + 7 + waits(metric) + GRACE - 1;
        let id = |first: Day| {
            let mut hashed = Vec::new();
            for part in ["alert", "metric_unusual", metric, currency, dimension, value] {
                hashed.extend(part.as_bytes());
                hashed.push(0);
            }
            hashed.extend(opens(first).to_be_bytes());
            blake3::hash(&hashed).to_hex()[..32].to_owned()
        };
        // Who has seen what began later in the same run has seen it.
        let seen = (first..=last).step_by(7).filter_map(|week| options.acknowledged.get(&id(week)));
        let (id, since, seen) = (id(first), opens(first), seen.min_by_key(|(_, at)| *at));
        let alert = json!({
            "id": id,
            "cause": "metric_unusual",
            "state": if seen.is_some() { "acknowledged" } else { "open" },
            "owner": if dimension == "spoke" { value } else { "company" },
            "person": "",
            "metric": {
                "id": metric,
                "dimension": dimension,
                "dimension_value": value,
                "currency": Some(currency).filter(|currency| !currency.is_empty()),
                "window": {"kind": "week", "start": shown(last), "end": shown(last + 7)},
            },
            "thing": null,
            "since": shown(since),
            "happened_at": null,
            "figures": figures,
            "test": TEST,
            "acknowledged_by": seen.map(|(by, _)| by),
            "acknowledged_at": seen.map(|(_, at)| instant(*at)),
        });
        open.insert(id, alert);
    }
    open
}
