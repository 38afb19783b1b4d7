//! Persons' timelines, promises and open alerts in, what `insight.scorecards` must say of departments besides their kinds of contact out.
//!
//! Keeps a row for each person, month and department, and compares lists of the rows' figures.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::{
    cells::{Day, World},
    contacts::{self, FEWEST},
    escaped,
    intervals::means,
    months::{self, Story},
    sources::Touch,
    trade::Promise,
};

/// So many priorities are shown.
const SHOWN: usize = 5;
const MEASURES: [&str; 6] = ["csat", "nps", "sentiment", "first_response_time", "on_time", "promise_gap"];

/// A person's month at a department.
struct Row {
    failed: bool,
    cases_elsewhere: i64,
    /// In thousandths.
    csat_elsewhere: Option<i64>,
    /// What was observed there.
    here: BTreeMap<&'static str, i64>,
    bought_again: Option<i64>,
}

/// A promise, by days.
struct Promised {
    spoke: String,
    made: Day,
    due: Day,
    ended: Option<Day>,
}

/// By month and spoke.
#[derive(Default)]
pub struct Departments {
    promises: Vec<Promised>,
    rows: BTreeMap<(String, String), Vec<Row>>,
    /// By month and kind of contact: what was observed there, and whether the person bought again.
    felt: BTreeMap<(String, String), Vec<(BTreeMap<&'static str, i64>, Option<i64>)>>,
    /// With the month as records say it.
    alerts: BTreeMap<(String, String), (Value, BTreeMap<String, i64>)>,
}

fn fails(touch: &Touch) -> bool {
    let scored = touch.score.as_ref().is_some_and(|(scale, value, _)| match scale.as_str() {
        "csat" | "review" => *value <= 2,
        "nps" => *value <= 6,
        _ => false,
    });
    scored || touch.sentiment.is_some_and(|felt| felt < -20)
}

fn mean(values: &[i64], scale: i64) -> Option<i64> {
    (!values.is_empty()).then(|| (values.iter().sum::<i64>() * scale).div_euclid(values.len() as i64))
}

impl Departments {
    /// Adds the months of a person. `cases`: the positions at which cases were opened.
    pub fn add(&mut self, timeline: &[Touch], story: &Story, cases: &[usize], world: &World) {
        let month_of = |at: usize| world.month(world.day(timeline[at].occurred_at));
        let mut from = 0;
        while from < timeline.len() {
            let (month, window) = month_of(from);
            let to = (from..timeline.len()).find(|&at| month_of(at).0 != month).unwrap_or(timeline.len());
            if world.is_over(&window) {
                let person = months::person(timeline, from, to, story, world, &month);
                let spokes: BTreeSet<&str> = timeline[from..to].iter().map(|touch| &*touch.spoke).collect();
                for spoke in spokes {
                    let row = row(timeline, from..to, spoke, story, cases, person.get("bought_again").copied());
                    self.rows.entry((month.clone(), spoke.to_owned())).or_default().push(row);
                }
                let bought_again = person.get("bought_again").copied();
                let kinds: BTreeSet<String> = timeline[from..to].iter().map(contacts::name).collect();
                for kind in kinds {
                    let is_here = |at: usize| (from..to).contains(&at) && contacts::name(&timeline[at]) == kind;
                    let observed = observed(timeline, from..to, is_here, story);
                    self.felt.entry((month.clone(), kind)).or_default().push((observed, bought_again));
                }
            }
            from = to;
        }
    }

    /// Adds the promises to a person.
    pub fn add_promises(&mut self, timeline: &[Touch], promises: &[Promise], world: &World) {
        for promise in promises {
            let made = world.day(timeline[promise.made].occurred_at);
            self.promises.push(Promised {
                spoke: timeline[promise.made].spoke.clone(),
                made,
                due: made.max(world.day(promise.due)),
                ended: timeline.get(promise.ended).map(|end| world.day(end.occurred_at)),
            });
        }
    }

    /// Those of a spoke that are open when a day begins, and how many of them were to be kept before it.
    fn open(&self, spoke: &str, before: Day) -> [usize; 2] {
        let open = self.promises.iter().filter(|promise| {
            promise.spoke == spoke && promise.made < before && promise.ended.is_none_or(|end| end >= before)
        });
        [open.clone().count(), open.filter(|promise| promise.due < before).count()]
    }

    /// Adds open alerts, as the feed has them.
    pub fn add_alerts(&mut self, alerts: &BTreeMap<String, Value>, world: &World) {
        for alert in alerts.values() {
            let text = |name: &str| alert[name].as_str().unwrap().to_owned();
            let since: Date = text("since").parse().unwrap();
            let day = since.since(Date::constant(1970, 1, 1)).unwrap().get_days();
            let (month, window) = world.month(day);
            let (_, causes) = self.alerts.entry((month, text("owner"))).or_insert_with(|| (window, BTreeMap::new()));
            *causes.entry(text("cause")).or_default() += 1;
        }
    }

    /// Adds to the cards of departments with touchpoints what is known here, and cards of those with alerts alone.
    pub fn complete(&self, cards: &mut BTreeMap<String, Value>, priorities: &BTreeMap<String, Value>) {
        let mut keys: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        let named = self.rows.keys().chain(self.alerts.keys());
        for (month, spoke) in named {
            keys.insert(format!("scorecards|{month}|spoke={}", escaped(spoke)), (month, spoke));
        }
        for (key, (month, spoke)) in &keys {
            if !cards.contains_key(key) {
                let (window, _) = &self.alerts[&((*month).to_owned(), (*spoke).to_owned())];
                let felt = json!({"n": 0});
                let card = json!({"spoke": spoke, "window": window, "touchpoints": 0, "cases": 0, "score": felt,
                    "sentiment": felt, "credited": 0.0, "cost_basis": "touchpoints", "cost_share": 0.0, "promises": 0,
                    "kept": 0});
                cards.insert(key.clone(), card);
            }
        }
        for card in cards.values_mut() {
            let spoke = card["spoke"].as_str().unwrap().to_owned();
            let start = card["window"]["start"].as_str().unwrap();
            let month = format!("month:{}", &start[..7]);
            let end: Date = card["window"]["end"].as_str().unwrap().parse().unwrap();
            let end = end.since(Date::constant(1970, 1, 1)).unwrap().get_days();
            let [open, overdue] = self.open(&spoke, end);
            card["open_promises"] = json!(open);
            card["overdue_promises"] = json!(overdue);
            let of = (month, spoke);
            let fields = card.as_object_mut().unwrap();
            fields.append(&mut self.fields(&of));
            fields.append(&mut owned(priorities.get(&format!("priorities|{}|of=persons", of.0)), &of.1));
        }
    }

    /// What goes together with buying again at a kind of contact in a month.
    pub fn drivers_of_contact(&self, month: &str, contact: &str) -> Vec<Value> {
        let persons = self.felt.get(&(month.to_owned(), contact.to_owned()));
        correlated(&|measure| {
            let persons = persons.into_iter().flatten();
            persons.filter_map(|(here, bought_again)| Some((*here.get(measure)?, (*bought_again)?))).collect()
        })
    }

    fn fields(&self, of: &(String, String)) -> Map<String, Value> {
        let nobody = Vec::new();
        let rows = self.rows.get(of).unwrap_or(&nobody);
        let lists = |figure: fn(&Row) -> Option<i64>| {
            let side = |failed: bool| rows.iter().filter(|row| row.failed == failed).filter_map(figure).collect();
            [side(true), side(false)]
        };
        let drivers = correlated(&|measure| {
            rows.iter().filter_map(|row| Some((*row.here.get(measure)?, row.bought_again?))).collect()
        });
        let causes = self.alerts.get(of).map(|(_, causes)| causes.clone()).unwrap_or_default();
        let fields = json!({
            "cases_elsewhere": effect(lists(|row| Some(row.cases_elsewhere)), 1.0),
            "score_elsewhere": effect(lists(|row| row.csat_elsewhere), 1_000.0),
            "drivers": drivers,
            "open_alerts": causes,
        });
        fields.as_object().unwrap().clone()
    }
}

fn row(
    timeline: &[Touch],
    range: std::ops::Range<usize>,
    spoke: &str,
    story: &Story,
    cases: &[usize],
    bought_again: Option<i64>,
) -> Row {
    let is_here = |at: usize| range.contains(&at) && timeline[at].spoke == spoke;
    let own = || range.clone().filter(|&at| is_here(at)).map(|at| &timeline[at]);
    let deliveries = || story.deliveries.iter().filter(|(at, ..)| is_here(*at));
    let csat = |touch: &Touch| touch.score.as_ref().filter(|(scale, ..)| scale == "csat").map(|it| it.1);
    let elsewhere: Vec<i64> = range.clone().filter(|&at| !is_here(at)).filter_map(|at| csat(&timeline[at])).collect();
    Row {
        failed: own().any(fails) || deliveries().any(|(_, _, on_time)| !on_time),
        cases_elsewhere: cases.iter().filter(|at| range.contains(at) && !is_here(**at)).count() as i64,
        csat_elsewhere: mean(&elsewhere, 1_000),
        here: observed(timeline, range.clone(), is_here, story),
        bought_again,
    }
}

/// What a person felt where `is_here`.
fn observed(
    timeline: &[Touch],
    range: std::ops::Range<usize>,
    is_here: impl Fn(usize) -> bool,
    story: &Story,
) -> BTreeMap<&'static str, i64> {
    let own = || range.clone().filter(|&at| is_here(at)).map(|at| &timeline[at]);
    let deliveries = || story.deliveries.iter().filter(|(at, ..)| is_here(*at));
    let answers = |wanted: &str| -> Vec<i64> {
        own().filter_map(|touch| touch.score.as_ref()).filter(|(scale, ..)| scale == wanted).map(|it| it.1).collect()
    };
    let replies = story.replies.iter().filter(|(at, _)| is_here(*at)).map(|(_, took)| *took);
    let observed = [
        mean(&answers("csat"), 1_000),
        mean(&answers("nps"), 1_000),
        mean(&own().filter_map(|touch| touch.sentiment).collect::<Vec<_>>(), 1_000),
        mean(&replies.collect::<Vec<_>>(), 1),
        mean(&deliveries().map(|(_, _, on_time)| i64::from(*on_time)).collect::<Vec<_>>(), 1_000),
        mean(&deliveries().map(|(_, gap, _)| *gap).collect::<Vec<_>>(), 1),
    ];
    MEASURES.into_iter().zip(observed).filter_map(|(name, value)| Some((name, value?))).collect()
}

/// What goes together with buying again, of the pairs of each measure that there are.
fn correlated(pairs: &dyn Fn(&str) -> Vec<(i64, i64)>) -> Vec<Value> {
    let of = |measure: &&str| {
        let mut found = months::correlate(&pairs(measure))?;
        found["driver"] = json!(measure);
        Some(found)
    };
    MEASURES.iter().filter_map(of).collect()
}

fn effect([failed, others]: [Vec<i64>; 2], unit: f64) -> Value {
    let mean = |values: &[i64]| {
        (values.len() >= FEWEST).then(|| values.iter().sum::<i64>() as f64 / values.len() as f64 / unit)
    };
    let mut effect = json!({"failed": failed.len(), "failed_mean": mean(&failed), "others": others.len(),
        "others_mean": mean(&others)});
    if let Some([difference, low, high]) = means(&failed, &others).map(|three| three.map(|it| it / unit)) {
        effect["difference"] = json!(difference);
        effect["interval_low"] = json!(low);
        effect["interval_high"] = json!(high);
    }
    effect
}

/// The priorities of a month that a spoke owns, as that feed must say them.
fn owned(month: Option<&Value>, spoke: &str) -> Map<String, Value> {
    let all = month.and_then(|record| record["priorities"].as_object()).into_iter().flatten();
    let mut shown = BTreeMap::new();
    for (name, priority) in all {
        let (owner, about) = name.split_once('|').unwrap();
        if owner == spoke {
            let kept =
                ["reach", "value_at_risk", "ground", "score", "score_low", "score_high", "effort", "effort_source"];
            let fields = kept.iter().map(|name| ((*name).to_owned(), priority[*name].clone()));
            shown.insert(about.to_owned(), Value::Object(fields.collect()));
        }
    }
    let more = shown.len().saturating_sub(SHOWN);
    let fields = json!({"priorities": shown, "other_priorities": more, "is_ranked": true});
    fields.as_object().unwrap().clone()
}

/// A published record without ranks: floats decide them. Whether they ascend, and scores per effort do not, is said instead.
pub fn comparable(record: &Value) -> Value {
    let mut record = record.clone();
    let priorities = record["priorities"].as_array().cloned().unwrap_or_default();
    let worth = |it: &Value| it["score"].as_f64().unwrap_or(f64::NAN) / it["effort"].as_f64().unwrap_or(f64::NAN);
    let rank = |it: &Value| it["rank"].as_i64().unwrap_or_default();
    let is_ranked = priorities.windows(2).all(|two| worth(&two[0]) >= worth(&two[1]) && rank(&two[0]) < rank(&two[1]))
        && priorities.iter().all(|it| rank(it) > 0);
    let named = priorities.into_iter().map(|mut priority| {
        let fields = priority.as_object_mut().unwrap();
        fields.remove("rank");
        let mut part = |name: &str| fields.remove(name).and_then(|it| it.as_str().map(str::to_owned)).unwrap();
        (["kind", "subject"].map(&mut part).join("|"), priority)
    });
    let named: BTreeMap<String, Value> = named.collect();
    let causes = record["open_alerts"].as_array().into_iter().flatten();
    let causes: BTreeMap<String, Value> =
        causes.map(|it| (it["cause"].as_str().unwrap_or("?").to_owned(), it["n"].clone())).collect();
    record["open_alerts"] = json!(causes);
    record["is_ranked"] = json!(is_ranked);
    let is_cut = record["other_priorities"] != 0;
    let fields = record.as_object_mut().unwrap();
    // What arrived is outside the promise.
    for outside in ["revision", "status", "data_quality"] {
        fields.remove(outside);
    }
    if is_cut {
        fields.remove("priorities");
    } else {
        fields.insert("priorities".into(), json!(named));
    }
    record
}
