//! Persons' timelines and what purchases are credited to in, kinds of contact out: what `insight.balance` must say of each month.
//!
//! Keeps every touchpoint's figures as lists, and computes means, variances and intervals from the lists.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Options, cells::World, departments::Departments, escaped, intervals::means, months::Story, sources::Touch,
};

/// The fewest that a mean is shown of.
pub const FEWEST: usize = 30;
const PURCHASES: [&str; 2] = ["first_purchase", "repurchase"];

/// What is known of one kind of contact in one month.
#[derive(Clone, Default)]
struct Contact {
    touchpoints: i64,
    cost: i64,
    /// Touchpoints that cost something in another currency.
    elsewhere: i64,
    effort: i64,
    scores: Vec<i64>,
    sentiment: Vec<i64>,
    /// Of deliveries with a promise: whether they were on time.
    on_time: Vec<bool>,
}

/// By month, with what records say of it, and by kind of contact.
#[derive(Default)]
pub struct Contacts(BTreeMap<String, (Value, BTreeMap<String, Contact>)>);

/// The name of a touchpoint's kind of contact.
pub fn name(touch: &Touch) -> String {
    [&touch.spoke, &touch.kind, touch.channel.as_deref().unwrap_or_default()].join(":")
}

impl Contacts {
    /// Adds the touchpoints of a person.
    pub fn add(&mut self, timeline: &[Touch], world: &World) {
        for touch in timeline {
            let (month, window) = world.month(world.day(touch.occurred_at));
            let (_, contacts) = self.0.entry(month).or_insert_with(|| (window, BTreeMap::new()));
            let contact = contacts.entry(name(touch)).or_default();
            contact.touchpoints += 1;
            contact.cost +=
                touch.cost.as_ref().filter(|(_, currency)| currency == "EUR").map_or(0, |(minor, _)| *minor);
            contact.elsewhere += i64::from(touch.cost.as_ref().is_some_and(|(_, currency)| currency != "EUR"));
            contact.effort += touch.effort.unwrap_or_default();
            contact.scores.extend(touch.score.iter().filter(|(scale, ..)| scale == "csat").map(|(_, value, _)| *value));
            contact.sentiment.extend(touch.sentiment);
        }
    }

    /// Adds the deliveries of a person that had been promised.
    pub fn add_deliveries(&mut self, timeline: &[Touch], story: &Story, world: &World) {
        for &(at, _, on_time) in &story.deliveries {
            let (month, _) = world.month(world.day(timeline[at].occurred_at));
            let (_, contacts) = self.0.get_mut(&month).unwrap();
            contacts.get_mut(&name(&timeline[at])).unwrap().on_time.push(on_time);
        }
    }

    /// The state of `insight.scorecards`, by key.
    pub fn scorecards(&self, attribution: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
        let mut feed = BTreeMap::new();
        for (month, (window, contacts)) in &self.0 {
            let credits = credits(attribution, month);
            let spoke_of = |name: &str| name.split(':').next().unwrap().to_owned();
            let mut spokes: Vec<String> = contacts.keys().map(|name| spoke_of(name)).collect();
            spokes.dedup();
            for spoke in spokes {
                let own: Vec<&Contact> =
                    contacts.iter().filter(|(name, _)| spoke_of(name) == spoke).map(|(_, contact)| contact).collect();
                let others: Vec<&Contact> =
                    contacts.iter().filter(|(name, _)| spoke_of(name) != spoke).map(|(_, contact)| contact).collect();
                let lists = |of: fn(&Contact) -> &Vec<i64>, these: &[&Contact]| -> Vec<i64> {
                    these.iter().flat_map(|contact| of(contact)).copied().collect()
                };
                let felt = |of: fn(&Contact) -> &Vec<i64>| feeling(&lists(of, &own), &lists(of, &others));
                let credit: f64 =
                    credits.iter().filter(|(name, _)| spoke_of(name) == spoke).map(|(_, credit)| credit).sum();
                let all: f64 = credits.values().sum();
                let contribution = (!credits.is_empty()).then(|| credit / all);
                let (basis, taken) = basis(contacts.values());
                let sum = |these: &[&Contact]| these.iter().map(|contact| taken(contact)).sum::<i64>() as f64;
                let share = sum(&own) / (sum(&own) + sum(&others));
                let cases = contacts.iter().filter(|(name, _)| name.split(':').take(2).eq([&*spoke, "case_opened"]));
                let promises = || own.iter().flat_map(|contact| &contact.on_time);
                let record = json!({"spoke": spoke, "window": window,
                    "touchpoints": own.iter().map(|contact| contact.touchpoints).sum::<i64>(),
                    "cases": cases.map(|(_, contact)| contact.touchpoints).sum::<i64>(),
                    "score": felt(|contact| &contact.scores), "sentiment": felt(|contact| &contact.sentiment),
                    "credited": credit, "contribution": contribution, "cost_basis": basis, "cost_share": share,
                    "net": contribution.map(|part| part - share), "promises": promises().count(),
                    "kept": promises().filter(|on_time| **on_time).count()});
                feed.insert(format!("scorecards|{month}|spoke={}", escaped(&spoke)), record);
            }
        }
        feed
    }

    /// The state of `insight.balance`, by key, in the form of [`comparable`]. `attribution`: what that feed must say.
    pub fn publish(
        mut self,
        attribution: &BTreeMap<String, Value>,
        departments: &Departments,
        options: &Options,
    ) -> BTreeMap<String, Value> {
        let mut feed = BTreeMap::new();
        for (month, (window, contacts)) in &mut self.0 {
            let credits = credits(attribution, month);
            if credits.is_empty() {
                continue;
            }
            for step in credits.keys() {
                contacts.entry(step.clone()).or_default();
            }
            let drivers = |name: &str| departments.drivers_of_contact(month, name);
            feed.insert(format!("balance|{month}|"), record(window, contacts, (&credits, &drivers), options));
        }
        feed
    }
}

/// What purchases of a month are credited to.
fn credits(attribution: &BTreeMap<String, Value>, month: &str) -> BTreeMap<String, f64> {
    let mut credits: BTreeMap<String, f64> = BTreeMap::new();
    for goal in PURCHASES {
        let found = attribution.get(&format!("attribution|{month}|goal={goal}"));
        for (step, credit) in found.and_then(|record| record["steps"].as_object()).into_iter().flatten() {
            *credits.entry(step.clone()).or_default() += credit["markov"].as_f64().unwrap();
        }
    }
    credits.retain(|_, credit| *credit > 1e-12);
    credits
}

/// What is compared as cost, and how much of it a kind of contact takes.
fn basis<'a>(contacts: impl Iterator<Item = &'a Contact> + Clone) -> (&'static str, fn(&Contact) -> i64) {
    let bases: [(&'static str, fn(&Contact) -> i64); 3] = [
        ("cost", |contact| contact.cost.max(0)),
        ("effort", |contact| contact.effort.max(0)),
        ("touchpoints", |contact| contact.touchpoints),
    ];
    bases.into_iter().find(|(_, of)| contacts.clone().map(of).sum::<i64>() > 0).unwrap()
}

fn record(
    window: &Value,
    contacts: &BTreeMap<String, Contact>,
    (credits, drivers): (&BTreeMap<String, f64>, &dyn Fn(&str) -> Vec<Value>),
    options: &Options,
) -> Value {
    let credited: f64 = credits.values().sum();
    let (basis, taken) = basis(contacts.values());
    let total = |of: fn(&Contact) -> i64| contacts.values().map(of).sum::<i64>();
    let mut shown = BTreeMap::new();
    for (name, contact) in contacts {
        let credit = credits.get(name).copied().unwrap_or_default();
        let (contribution, share) = (credit / credited, taken(contact) as f64 / total(taken) as f64);
        let elsewhere = |of: fn(&Contact) -> &Vec<i64>| -> Vec<i64> {
            contacts.iter().filter(|(other, _)| *other != name).flat_map(|(_, other)| of(other)).copied().collect()
        };
        let score = feeling(&contact.scores, &elsewhere(|contact| &contact.scores));
        let sentiment = feeling(&contact.sentiment, &elsewhere(|contact| &contact.sentiment));
        let capacity = options.capacities.get(name).copied();
        let part = capacity.map(|capacity| contact.touchpoints as f64 / capacity as f64);
        let ends = |end: &str| [&score, &sentiment].map(|feeling| feeling[end].as_f64());
        let is_worse = ends("interval_high").into_iter().flatten().any(|high| high < 0.0);
        let is_better = !is_worse && ends("interval_low").into_iter().flatten().any(|low| low > 0.0);
        let net = contribution - share;
        let advice = match () {
            () if net > 0.0 && contact.elsewhere == 0 && (is_worse || part.is_some_and(|part| part >= 0.9)) => "invest",
            () if net < 0.0 && !is_better => "save",
            () => "keep",
        };
        let value = json!({"touchpoints": contact.touchpoints, "cost": contact.cost.max(0), "effort": contact.effort.max(0),
            "costs_left_out": contact.elsewhere,
            "credited": credit, "contribution": contribution, "cost_share": share, "net": net, "score": score,
            "sentiment": sentiment, "drivers": drivers(name), "capacity": capacity, "capacity_use": part, "advice": advice});
        shown.insert(name.clone(), without_chance(value));
    }
    json!({"window": window, "currency": "EUR", "cost_basis": basis, "touchpoints": total(|contact| contact.touchpoints),
        "credited": credited, "cost": total(taken), "contacts": shown, "is_ranked": true})
}

/// Where a contact brings what it takes, the last bit decides what is advised.
fn without_chance(mut contact: Value) -> Value {
    if contact["net"].as_f64().is_none_or(|net| net.abs() < 1e-9) {
        contact["advice"] = Value::Null;
    }
    contact
}

/// What is felt here, and how that differs from elsewhere (Welch's interval).
pub fn feeling(here: &[i64], elsewhere: &[i64]) -> Value {
    let mut feeling = json!({"n": here.len(), "mean": null});
    if here.len() >= FEWEST {
        feeling["mean"] = json!(here.iter().sum::<i64>() as f64 / here.len() as f64);
    }
    if let Some([difference, low, high]) = means(here, elsewhere) {
        feeling["difference"] = json!(difference);
        feeling["interval_low"] = json!(low);
        feeling["interval_high"] = json!(high);
    }
    feeling
}

/// A published record without the order of its list; whether that is by rank is said instead.
pub fn comparable(record: &Value) -> Value {
    let mut kept = serde_json::Map::new();
    for name in ["window", "currency", "cost_basis", "touchpoints", "credited", "cost"] {
        kept.insert(name.into(), record[name].clone());
    }
    if record["other"]["kinds"] == 0 {
        let contacts = record["contacts"].as_array().cloned().unwrap_or_default();
        let net = |contact: &Value| contact["net"].as_f64().unwrap_or(f64::NAN);
        let in_order = contacts.windows(2).all(|pair| net(&pair[0]) >= net(&pair[1]));
        let numbered = contacts.iter().zip(1..).all(|(contact, rank)| contact["rank"] == rank);
        kept.insert("is_ranked".into(), json!(in_order && numbered));
        let of = |contact: &Value| {
            let part = |name: &str| contact[name].as_str().unwrap_or("?").to_owned();
            let name = ["spoke", "kind", "channel"].map(part).join(":");
            let mut value = contact.clone();
            for name in ["spoke", "kind", "channel", "rank"] {
                value.as_object_mut()?.remove(name);
            }
            Some((name, without_chance(value)))
        };
        let contacts: BTreeMap<String, Value> = contacts.iter().filter_map(of).collect();
        kept.insert("contacts".into(), json!(contacts));
    }
    Value::Object(kept)
}
