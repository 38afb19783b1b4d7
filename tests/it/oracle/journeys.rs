//! Persons' timelines in, the journeys that ended out: what `insight.journeys` must say of each goal, month and segment.
//!
//! Cuts each timeline into journeys by the positions where they begin and end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{cells::World, escaped, figures::percentile, segments, sources::Touch};

const GOALS: [&str; 5] = ["first_purchase", "repurchase", "resolution", "renewal", "referral"];
const STEPS_MAX: usize = 16;
const EXPIRE_AFTER_MS: i64 = 30 * 86_400_000;

/// A purchase, by positions in the timeline.
pub struct Bought {
    pub placed: usize,
    /// Where it was cancelled.
    pub cancelled: usize,
}

/// What ended in one month for one goal and segment.
#[derive(Default)]
pub struct Group {
    /// By path: the times of those that arrived, in milliseconds, and how many did not.
    paths: BTreeMap<Vec<String>, (Vec<i64>, i64)>,
}

/// Journeys by the key of their record.
#[derive(Default)]
pub struct Journeys(BTreeMap<String, (Value, Group)>);

/// What a position does for a goal.
#[derive(PartialEq)]
enum Does {
    /// Arrives; even if nothing led there?
    Arrive(bool),
    GiveUp,
    Begin,
    Pass,
}

impl Journeys {
    /// Adds the journeys of a person.
    pub fn add(&mut self, timeline: &[Touch], bought: &[Bought], world: &World) {
        let seen: Vec<usize> = (0..timeline.len()).filter(|&at| timeline[at].visibility != "internal").collect();
        // Whether every purchase before one is cancelled while it stands: then it is the first one.
        let becomes_first = |at: usize| {
            bought
                .iter()
                .filter(|it| it.placed == at)
                .any(|it| bought.iter().filter(|other| other.placed < at).all(|other| other.cancelled < it.cancelled))
        };
        // Whether the person has a purchase that was not cancelled, before the position and after it.
        let has = |at: usize, after: bool| {
            bought.iter().any(|purchase| {
                (purchase.placed < at || after && purchase.placed == at)
                    && (purchase.cancelled > at || !after && purchase.cancelled == at)
            })
        };
        for goal in GOALS {
            let does = |at: usize| {
                let kind = timeline[at].kind.as_str();
                let buys = bought.iter().any(|purchase| purchase.placed == at);
                let begins = |begins: bool| if begins { Does::Begin } else { Does::Pass };
                match (goal, kind) {
                    ("first_purchase", _) if buys => Does::Arrive(!has(at, false)),
                    ("first_purchase", _) => begins(!has(at, true)),
                    ("repurchase", _) if buys => Does::Arrive(has(at, false)),
                    ("repurchase", _) => begins(has(at, true)),
                    ("resolution", "case_resolved") => Does::Arrive(false),
                    ("resolution", _) => begins(kind == "case_opened"),
                    ("renewal", "subscription_renewed") => Does::Arrive(false),
                    ("renewal", "subscription_cancelled") => Does::GiveUp,
                    ("renewal", _) => begins(kind == "subscription_started"),
                    (_, "referral_made") => Does::Arrive(true),
                    _ => begins(has(at, true)),
                }
            };
            // Whether there is nothing to arrive at any more: no purchase to buy again after, or the first one seen by nobody.
            let ends = |at: usize| match goal {
                "repurchase" => has(at, false) && !has(at, true),
                "first_purchase" => timeline[at].visibility == "internal" && !has(at, false) && has(at, true),
                _ => false,
            };
            let ends_in_time = |after: usize, to: usize| {
                let by = timeline[after].occurred_at + EXPIRE_AFTER_MS;
                (after + 1..to).any(|at| timeline[at].occurred_at <= by && ends(at))
            };
            // Positions in `seen` of the journey that is under way.
            let mut begun: Option<usize> = None;
            for (number, &at) in seen.iter().enumerate() {
                let touch = &timeline[at];
                begun = begun.filter(|_| !ends_in_time(seen[number - 1], at + 1));
                if let Some(start) = begun {
                    let last = &timeline[seen[number - 1]];
                    if touch.occurred_at - last.occurred_at > EXPIRE_AFTER_MS {
                        let segment = segments::at_the_end(&timeline[..at]);
                        let day = world.day(last.occurred_at + EXPIRE_AFTER_MS);
                        self.count(goal, day, segment, path(timeline, &seen[start..number]), None, world);
                        begun = None;
                    }
                }
                match does(at) {
                    Does::Arrive(at_once) if begun.is_some() || at_once => {
                        let start = begun.unwrap_or(number);
                        let steps = path(timeline, &seen[start..number]);
                        let took = touch.occurred_at - timeline[seen[start]].occurred_at;
                        let cancelled = goal.ends_with("purchase")
                            && bought.iter().any(|it| it.placed == at && it.cancelled != usize::MAX);
                        let segment = segments::at_the_end(&timeline[..=at]);
                        let day = world.day(touch.occurred_at);
                        let led_to = if goal == "repurchase" && becomes_first(at) { "first_purchase" } else { goal };
                        self.count(led_to, day, segment, steps, (!cancelled).then_some(took), world);
                        begun = (goal == "renewal").then_some(number);
                    }
                    Does::GiveUp if begun.is_some() => {
                        let start = begun.take().unwrap();
                        let segment = segments::at_the_end(&timeline[..=at]);
                        let day = world.day(touch.occurred_at);
                        self.count(goal, day, segment, path(timeline, &seen[start..number]), None, world);
                    }
                    Does::Begin => {
                        begun.get_or_insert(number);
                    }
                    Does::Arrive(_) | Does::GiveUp | Does::Pass => {}
                }
            }
            if let (Some(start), Some(&last)) = (begun, seen.last())
                && !ends_in_time(last, timeline.len())
            {
                let day = world.day(timeline[last].occurred_at + EXPIRE_AFTER_MS);
                if day <= world.last_closed_day {
                    self.count(goal, day, segments::at_the_end(timeline), path(timeline, &seen[start..]), None, world);
                }
            }
        }
    }

    fn count(
        &mut self,
        goal: &str,
        day: super::cells::Day,
        segment: Option<&str>,
        path: Vec<String>,
        took: Option<i64>,
        world: &World,
    ) {
        let (month, window) = world.month(day);
        let mut groups = vec![(format!("journeys|{month}|goal={goal}"), "company", "")];
        if let Some(segment) = segment {
            groups.push((format!("journeys|{month}|goal={goal}&segment={}", escaped(segment)), "segment", segment));
        }
        for (key, dimension, value) in groups {
            let about = json!({"goal": goal, "window": window, "dimension": dimension, "dimension_value": value});
            let (_, group) = self.0.entry(key).or_insert_with(|| (about, Group::default()));
            let (times, lost) = group.paths.entry(path.clone()).or_default();
            match took {
                Some(took) => times.push(took),
                None => *lost += 1,
            }
        }
    }

    /// The states of `insight.journeys` and `insight.attribution`, by key, in the form of [`comparable`] and
    /// [`comparable_credits`].
    pub fn publish(self) -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
        let credited = |(key, (about, group)): (&String, &(Value, Group))| {
            (key.replacen("journeys|", "attribution|", 1), group.attribution(about.clone()))
        };
        let attribution = self.0.iter().map(credited).collect();
        (self.0.into_iter().map(|(key, (about, group))| (key, group.publish(about))).collect(), attribution)
    }
}

impl Group {
    fn publish(self, mut about: Value) -> Value {
        let mut transitions: BTreeMap<String, i64> = BTreeMap::new();
        let mut ends: BTreeMap<String, i64> = BTreeMap::new();
        let mut paths: BTreeMap<String, Value> = BTreeMap::new();
        let (mut all, mut lost_all) = (Vec::new(), 0);
        for (path, (times, lost)) in &self.paths {
            for (end, n) in [("(goal)", times.len() as i64), ("(lost)", *lost)] {
                let mut at = "(start)";
                for next in path.iter().map(String::as_str).chain([end]) {
                    *transitions.entry(format!("{at} {next}")).or_default() += n;
                    at = next;
                }
            }
            if *lost > 0 {
                *ends.entry(path.last().cloned().unwrap_or_default()).or_default() += lost;
            }
            if !times.is_empty() {
                let path = path.join(">");
                paths.insert(path, json!({"converted": times.len(), "lost": lost, "time": time(times)}));
            }
            all.extend(times);
            lost_all += lost;
        }
        transitions.retain(|_, n| *n > 0);
        about["journeys"] = json!(all.len() as i64 + lost_all);
        about["converted"] = json!(all.len());
        about["lost"] = json!(lost_all);
        about["conversion"] = json!(all.len() as f64 / (all.len() as i64 + lost_all) as f64);
        about["time"] = time(&all);
        about["transitions"] = json!(transitions);
        about["ends"] = json!(ends);
        about["paths"] = json!(paths);
        about
    }
}

fn time(times: &[i64]) -> Value {
    let seconds = |percent| (!times.is_empty()).then(|| percentile(times, percent) / 1_000.0);
    let sum: i64 = times.iter().sum();
    let mean = (!times.is_empty()).then(|| sum as f64 / times.len() as f64 / 1_000.0);
    json!({"mean_seconds": mean, "p50_seconds": seconds(50), "p90_seconds": seconds(90)})
}

/// The steps at positions, equal ones in a row once, the newest of them.
fn path(timeline: &[Touch], positions: &[usize]) -> Vec<String> {
    let mut steps: Vec<String> = positions
        .iter()
        .map(|&at| {
            let touch = &timeline[at];
            format!("{}:{}:{}", touch.spoke, touch.kind, touch.channel.as_deref().unwrap_or_default())
        })
        .collect();
    steps.dedup();
    steps.split_off(steps.len().saturating_sub(STEPS_MAX))
}

/// A published record without what depends on how lists are cut and ordered.
pub fn comparable(record: &Value) -> Value {
    let mut kept = serde_json::Map::new();
    for name in
        ["goal", "window", "dimension", "dimension_value", "journeys", "converted", "lost", "conversion", "time"]
    {
        kept.insert(name.into(), record[name].clone());
    }
    let mut cut = Vec::new();
    let list = |name: &str| record[name].as_array().cloned().unwrap_or_default();
    for (name, other) in [("transitions", "transitions_other"), ("ends", "ends_other"), ("paths", "paths_other")] {
        if record[other]["kinds"] != 0 {
            cut.push(name);
        }
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let transitions: BTreeMap<String, Value> = list("transitions")
        .iter()
        .map(|it| (format!("{} {}", text(&it["from"]), text(&it["to"])), it["n"].clone()))
        .collect();
    let ends: BTreeMap<String, Value> = list("ends").iter().map(|it| (text(&it["step"]), it["n"].clone())).collect();
    let paths: BTreeMap<String, Value> = list("paths")
        .iter()
        .map(|it| {
            let steps: Vec<String> = it["steps"].as_array().into_iter().flatten().map(text).collect();
            let value = json!({"converted": it["converted"], "lost": it["lost"], "time": it["time"]});
            (steps.join(">"), value)
        })
        .collect();
    kept.insert("transitions".into(), json!(transitions));
    kept.insert("ends".into(), json!(ends));
    kept.insert("paths".into(), json!(paths));
    // More than is published: what is shown of it depends on the order.
    kept.retain(|name, _| !cut.contains(&name.as_str()));
    Value::Object(kept)
}

/// What conversions are credited to, by path: how many of the credits each rule gives to a step.
fn credits(paths: &BTreeMap<Vec<String>, (Vec<i64>, i64)>) -> BTreeMap<String, Value> {
    let mut steps: Vec<&String> = paths.keys().flatten().collect();
    steps.sort();
    steps.dedup();
    // The chance to arrive, where whoever comes to a step is lost there.
    let chance = |without: Option<&String>| {
        let number = |step: &String| steps.binary_search(&step).unwrap();
        let size = steps.len();
        // Row `size` is the start. Column `size` is the arrival.
        let mut counts = vec![vec![0.0; size + 1]; size + 1];
        let mut left = vec![0.0; size + 1];
        for (path, (times, lost)) in paths {
            let n = times.len() as f64 + *lost as f64;
            let mut at = size;
            for step in path {
                counts[at][number(step)] += n;
                left[at] += n;
                at = number(step);
            }
            counts[at][size] += times.len() as f64;
            left[at] += n;
        }
        // chance[i] = Σ P(i→j)·chance[j] + P(i→arrival), iterated until nothing moves.
        let mut chances = vec![0.0; size + 1];
        loop {
            let mut moved: f64 = 0.0;
            for at in 0..=size {
                let gone = at < size && without == Some(steps[at]);
                let sum: f64 = (0..size).map(|next| counts[at][next] * chances[next]).sum::<f64>() + counts[at][size];
                let chance = if gone || left[at] == 0.0 { 0.0 } else { sum / left[at] };
                moved = moved.max((chance - chances[at]).abs());
                chances[at] = chance;
            }
            if moved < 1e-15 {
                return chances[size];
            }
        }
    };
    let all = chance(None);
    let effects: Vec<f64> = steps.iter().map(|step| 1.0 - chance(Some(step)) / all).collect();
    let credited: f64 =
        paths.iter().filter(|(path, _)| !path.is_empty()).map(|(_, (times, _))| times.len() as f64).sum();
    let sum: f64 = effects.iter().sum();
    let mut found = BTreeMap::new();
    for (step, effect) in steps.iter().zip(effects) {
        let (mut first, mut last, mut linear, mut position, mut with) = (0.0, 0.0, 0.0, 0.0, 0);
        for (path, (times, _)) in paths.iter().filter(|(path, _)| path.contains(step)) {
            let (n, length) = (times.len() as f64, path.len());
            with += times.len();
            for (place, _) in path.iter().enumerate().filter(|(_, it)| it == step) {
                let (is_first, is_last) = (place == 0, place + 1 == length);
                first += if is_first { n } else { 0.0 };
                last += if is_last { n } else { 0.0 };
                linear += n / length as f64;
                position += match length {
                    1 => n,
                    2 => n / 2.0,
                    _ if is_first || is_last => 0.4 * n,
                    _ => 0.2 * n / (length - 2) as f64,
                };
            }
        }
        let markov = if sum > 0.0 { effect / sum * credited } else { 0.0 };
        let credit = json!({"conversions": with, "removal_effect": effect, "markov": markov, "first": first,
            "last": last, "linear": linear, "position": position});
        found.insert((*step).clone(), credit);
    }
    found
}

impl Group {
    /// What `insight.attribution` must say, in the form of [`comparable_credits`].
    fn attribution(&self, mut about: Value) -> Value {
        let conversions: usize = self.paths.values().map(|(times, _)| times.len()).sum();
        about["conversions"] = json!(conversions);
        let direct = self.paths.get(&Vec::new()).map_or(0, |(times, _)| times.len());
        if conversions - direct >= 30 {
            about["credited"] = json!(conversions - direct);
            about["steps"] = json!(credits(&self.paths));
        } else {
            about["credited"] = json!(0);
            about["steps"] = json!({});
        }
        about
    }
}

/// A published record of credits without what depends on how lists are cut and ordered; the chance is that of the chain.
pub fn comparable_credits(record: &Value) -> Value {
    let mut kept = serde_json::Map::new();
    for name in ["goal", "window", "dimension", "dimension_value", "conversions", "credited"] {
        kept.insert(name.into(), record[name].clone());
    }
    if record["other"]["kinds"] == 0 {
        let of_step = |it: &Value| {
            let mut credit = it.clone();
            credit.as_object_mut()?.remove("step");
            Some((it["step"].as_str()?.to_owned(), credit))
        };
        let steps: BTreeMap<String, Value> =
            record["steps"].as_array().into_iter().flatten().filter_map(of_step).collect();
        kept.insert("steps".into(), json!(steps));
    }
    Value::Object(kept)
}
