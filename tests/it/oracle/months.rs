//! Persons' timelines in, their months out: what `insight.drivers` must say of each outcome, month and segment.
//!
//! Looks at each month as a range of positions in the timeline, and correlates lists of values.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{cells::World, escaped, journeys::Bought, segments, sources::Touch, trade::Refund};

const DRIVERS: [&str; 7] = ["csat", "nps", "sentiment", "first_response_time", "on_time", "promise_gap", "contacts"];
const OUTCOMES: [&str; 5] = ["bought_again", "revenue", "margin", "churned", "referred"];

/// What else of a timeline is needed: by position.
pub struct Story {
    pub bought: Vec<Bought>,
    pub refunds: Vec<Refund>,
    /// Position of a first reply, and how long it took.
    pub replies: Vec<(usize, i64)>,
    /// Position of a delivery with a promise, how much later it was, whether that counts as on time.
    pub deliveries: Vec<(usize, i64, bool)>,
}

pub type Person = BTreeMap<&'static str, i64>;

/// Persons by month and segment.
#[derive(Default)]
pub struct Months(BTreeMap<(String, String), (Value, Vec<Person>)>);

impl Months {
    /// Adds the months of a person.
    pub fn add(&mut self, timeline: &[Touch], story: &Story, world: &World) {
        let mut from = 0;
        while from < timeline.len() {
            let (month, window) = world.month(world.day(timeline[from].occurred_at));
            let is_in = |at: usize| world.month(world.day(timeline[at].occurred_at)).0 == month;
            let to = (from..timeline.len()).find(|&at| !is_in(at)).unwrap_or(timeline.len());
            if world.is_over(&window) {
                let person = person(timeline, from, to, story, world, &month);
                let segment = segments::at_the_end(&timeline[..to]);
                let mut places = vec![(String::new(), "company", "")];
                if let Some(segment) = segment {
                    places.push((format!("&segment={}", escaped(segment)), "segment", segment));
                }
                for (suffix, dimension, value) in places {
                    let about = json!({"window": window, "dimension": dimension, "dimension_value": value});
                    let group = self.0.entry((month.clone(), suffix)).or_insert_with(|| (about, Vec::new()));
                    group.1.push(person.clone());
                }
            }
            from = to;
        }
    }

    /// The state of `insight.drivers`, by key, in the form of [`comparable`].
    pub fn publish(self) -> BTreeMap<String, Value> {
        let mut feed = BTreeMap::new();
        for ((month, suffix), (about, persons)) in self.0 {
            for outcome in OUTCOMES {
                let mut record = about.clone();
                let known: Vec<i64> = persons.iter().filter_map(|person| person.get(outcome).copied()).collect();
                let sum: i64 = known.iter().sum();
                record["outcome"] = json!(outcome);
                record["n"] = json!(known.len());
                record["mean"] = json!((!known.is_empty()).then(|| sum as f64 / known.len() as f64));
                let found = DRIVERS.iter().filter_map(|driver| {
                    let both = persons.iter().filter_map(|person| Some((*person.get(driver)?, *person.get(outcome)?)));
                    Some(((*driver).to_owned(), correlate(&both.collect::<Vec<_>>())?))
                });
                record["drivers"] = json!(found.collect::<BTreeMap<_, _>>());
                feed.insert(format!("drivers|{month}|outcome={outcome}{suffix}"), record);
            }
        }
        feed
    }
}

/// Months since the year 0, of `month:2026-01`.
fn number(month: &str) -> i64 {
    month[6..10].parse::<i64>().unwrap() * 12 + month[11..].parse::<i64>().unwrap()
}

/// Whether a month counts what is cancelled at a position: up to the end of the twelfth month after it.
pub fn counts(cancelled: usize, timeline: &[Touch], month: &str, world: &World) -> bool {
    let at = timeline.get(cancelled);
    at.is_some_and(|touch| number(&world.month(world.day(touch.occurred_at)).0) <= number(month) + 12)
}

pub fn person(timeline: &[Touch], from: usize, to: usize, story: &Story, world: &World, month: &str) -> Person {
    let mut person = Person::new();
    let touches = || timeline[from..to].iter();
    let inside = |at: usize| (from..to).contains(&at);
    let euros = |amount: &Option<(i64, String)>| {
        amount.as_ref().filter(|(_, currency)| currency == "EUR").map_or(0, |(minor, _)| *minor)
    };
    let mut mean = |name: &'static str, values: Vec<i64>, scale: i64| {
        if !values.is_empty() {
            let n = values.len() as i64;
            person.insert(name, (values.iter().sum::<i64>() * scale).div_euclid(n));
        }
    };
    for name in ["csat", "nps"] {
        let answers = touches().filter_map(|touch| touch.score.as_ref()).filter(|(scale, ..)| scale == name);
        mean(name, answers.map(|(_, value, _)| *value).collect(), 1_000);
    }
    mean("sentiment", touches().filter_map(|touch| touch.sentiment).collect(), 1_000);
    let replies = story.replies.iter().filter(|(at, _)| inside(*at));
    mean("first_response_time", replies.map(|(_, took)| *took).collect(), 1);
    let deliveries = || story.deliveries.iter().filter(|(at, ..)| inside(*at));
    mean("on_time", deliveries().map(|(_, _, on_time)| i64::from(*on_time)).collect(), 1_000);
    mean("promise_gap", deliveries().map(|(_, gap, _)| *gap).collect(), 1);
    person.insert("contacts", touches().filter(|touch| touch.kind == "message_sent").count() as i64);

    let stands = |purchase: &&Bought| purchase.placed < to && !counts(purchase.cancelled, timeline, month, world);
    let bought: Vec<usize> = story.bought.iter().filter(stands).map(|purchase| purchase.placed).collect();
    let is_customer = !bought.is_empty();
    let buys_again = |at: &usize| inside(*at) && bought.iter().any(|earlier| earlier < at);
    let bought_again = bought.iter().any(buys_again);
    let mut revenue: i64 = bought.iter().filter(|at| inside(**at)).map(|at| euros(&timeline[*at].amount)).sum();
    let renewals = touches().filter(|touch| touch.kind == "subscription_renewed");
    revenue += renewals.map(|touch| euros(&touch.amount)).sum::<i64>();
    let paid_back = |it: &&Refund| inside(it.at) && !counts(it.taken_back, timeline, month, world);
    let refunds: i64 = story.refunds.iter().filter(paid_back).map(|it| euros(&timeline[it.at].amount).abs()).sum();
    let costs: i64 = touches().map(|touch| euros(&touch.cost)).sum();
    let cancelled = touches().any(|touch| touch.kind == "subscription_cancelled");
    if is_customer {
        person.insert("bought_again", i64::from(bought_again));
        person.insert("revenue", revenue);
        person.insert("margin", revenue - refunds - costs);
        person.insert("referred", i64::from(touches().any(|touch| touch.kind == "referral_made")));
    }
    if is_customer || cancelled {
        person.insert("churned", i64::from(cancelled));
    }
    person
}

/// Pearson's r with Fisher's interval, of thirty pairs or more that vary.
pub fn correlate(pairs: &[(i64, i64)]) -> Option<Value> {
    if pairs.len() < 30 || pairs.iter().all(|it| it.0 == pairs[0].0) || pairs.iter().all(|it| it.1 == pairs[0].1) {
        return None;
    }
    let n = pairs.len() as f64;
    let mean = |of: fn(&(i64, i64)) -> i64| pairs.iter().map(|pair| of(pair) as f64).sum::<f64>() / n;
    let (x, y) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for pair in pairs {
        let (dx, dy) = (pair.0 as f64 - x, pair.1 as f64 - y);
        (xx, yy, xy) = (xx + dx * dx, yy + dy * dy, xy + dx * dy);
    }
    let r: f64 = (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0);
    let half = 1.959963984540054 / (n - 3.0).sqrt();
    let end = |shift: f64| if r.abs() < 1.0 - 1e-12 { (r.atanh() + shift).tanh() } else { r };
    Some(json!({"n": pairs.len(), "correlation": r, "interval_low": end(-half), "interval_high": end(half)}))
}

/// A published record without what depends on the order, and without the weights: those have numbers of their own.
pub fn comparable(record: &Value) -> Value {
    let mut kept = serde_json::Map::new();
    for name in ["outcome", "window", "dimension", "dimension_value", "n", "mean"] {
        kept.insert(name.into(), record[name].clone());
    }
    let of_driver = |it: &Value| {
        let name = it["driver"].as_str()?.to_owned();
        let mut value = serde_json::Map::new();
        for field in ["n", "correlation", "interval_low", "interval_high"] {
            value.insert(field.into(), it[field].clone());
        }
        Some((name, Value::Object(value)))
    };
    let drivers: BTreeMap<String, Value> =
        record["drivers"].as_array().into_iter().flatten().filter_map(of_driver).collect();
    kept.insert("drivers".into(), json!(drivers));
    Value::Object(kept)
}
