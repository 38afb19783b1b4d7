//! One person's timeline in, the insight record and the observations for cells out. Works with positions in the sorted
//! timeline: everything has a position where it begins and one where it ends.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::{
    Options, alerts,
    cells::{Moment, World, next},
    changes::Changes,
    contacts::Contacts,
    departments::Departments,
    experience,
    fields::IDENTIFIER_TYPES,
    journeys::{Bought, Journeys},
    months::{Months, Story},
    priorities::Priorities,
    relations, segments,
    sources::{Touch, instant},
    trade::{NEVER, Promise, Purchase, Trade, things, trade},
    value::{self, Buyers},
};

const CASES_MAX: usize = 128;
const IDENTIFIERS_MAX: usize = 64;
const JOURNEY_MAX: usize = 32;
const SCORES_MAX: usize = 64;

/// The phase before each position, and the one after the last.
fn phases(length: usize, purchases: &[Purchase]) -> Vec<&'static str> {
    let mut live = vec![0_i64; length + 2];
    let mut awaited = vec![0_i64; length + 2];
    for purchase in purchases {
        // In effect from the position after the placing up to and including the one that ends it.
        let mark = |counts: &mut Vec<i64>, end: usize| {
            if end > purchase.placed {
                counts[purchase.placed + 1] += 1;
                counts[end.min(length) + 1] -= 1;
            }
        };
        mark(&mut live, purchase.cancelled);
        mark(&mut awaited, purchase.cancelled.min(purchase.delivered).min(purchase.forgotten));
    }
    let (mut live_now, mut awaited_now) = (0, 0);
    (0..=length)
        .map(|position| {
            live_now += live[position];
            awaited_now += awaited[position];
            match (live_now, awaited_now) {
                (0, _) => "before",
                (_, 0) => "after",
                _ => "during",
            }
        })
        .collect()
}

/// A case from its opening, by positions.
pub(super) struct Case {
    pub name: String,
    pub opened: usize,
    pub first_reply: usize,
    pub first_resolution: usize,
    pub last_resolution: usize,
    pub open: bool,
    pub forgotten: usize,
}

fn cases(timeline: &[Touch]) -> Vec<Case> {
    let kinds = ["case_opened", "case_replied", "case_resolved", "case_reopened"];
    let mentions = timeline.iter().enumerate().filter(|(_, touch)| kinds.contains(&touch.kind.as_str()));
    let named = mentions.flat_map(|(position, touch)| {
        touch.named("case").map(move |name| (position, name, touch.kind == "case_opened"))
    });
    things(named, CASES_MAX)
        .into_iter()
        .map(|case| {
            let first = |wanted: &dyn Fn(&Touch) -> bool| {
                case.mentions.iter().copied().find(|&at| wanted(&timeline[at])).unwrap_or(NEVER)
            };
            let turn = case
                .mentions
                .iter()
                .rev()
                .find(|&&at| matches!(timeline[at].kind.as_str(), "case_resolved" | "case_reopened"));
            Case {
                name: case.name.to_owned(),
                opened: case.mentions[0],
                first_reply: first(&|touch| {
                    touch.kind == "case_replied" && touch.initiator == "agent" && touch.visibility == "public"
                }),
                first_resolution: first(&|touch| touch.kind == "case_resolved"),
                last_resolution: case
                    .mentions
                    .iter()
                    .copied()
                    .rfind(|&at| timeline[at].kind == "case_resolved")
                    .unwrap_or(NEVER),
                open: turn.is_none_or(|&at| timeline[at].kind == "case_reopened"),
                forgotten: case.forgotten,
            }
        })
        .collect()
}

/// What analyses look at of all persons.
#[derive(Default)]
pub struct Analysed {
    pub journeys: Journeys,
    pub months: Months,
    pub priorities: Priorities,
    pub changes: Changes,
    pub contacts: Contacts,
    pub departments: Departments,
    pub buyers: Buyers,
}

/// The timeline in segments by rule.
pub fn in_segments(timeline: &[Touch], world: &World) -> Vec<Touch> {
    segments::by_rule(timeline, &trade(timeline), world)
}

/// The insight record and the open alerts; what metrics and journeys count goes into the world.
pub fn fold(
    name: &str,
    timeline: &[Touch],
    world: &mut World,
    analysed: &mut Analysed,
    options: &Options,
) -> (Value, BTreeMap<String, Value>) {
    let trade = trade(timeline);
    let cases = cases(timeline);
    let phases = phases(timeline.len(), &trade.purchases);
    let moments: Vec<Moment> = timeline.iter().zip(&phases).map(|(touch, phase)| world.moment(touch, phase)).collect();
    observe_trade(timeline, &moments, &trade, world, options);
    observe_cases(timeline, &moments, &cases, world, options);
    observe_answers(timeline, &moments, world);
    observe_presence(timeline, &moments, world);
    let bought: Vec<Bought> = trade
        .purchases
        .iter()
        .map(|purchase| Bought { placed: purchase.placed, cancelled: purchase.cancelled })
        .collect();
    analysed.journeys.add(timeline, &bought, world);
    analysed.priorities.add(timeline, &bought, world);
    experience::observe(timeline, &moments, &trade, &cases, world);
    let promised = trade.deliveries.iter().filter_map(|delivery| Some((delivery.at, delivery.promise?)));
    let late = |(at, promise): (usize, i64)| (at, timeline[at].occurred_at - promise);
    let answered = cases.iter().filter(|case| case.first_reply != NEVER);
    let took = |case: &Case| timeline[case.first_reply].occurred_at - timeline[case.opened].occurred_at;
    let story = Story {
        replies: answered.map(|case| (case.first_reply, took(case))).collect(),
        deliveries: promised.map(late).map(|(at, gap)| (at, gap, gap <= options.on_time_tolerance_ms)).collect(),
        bought,
        refunds: trade.refunds.clone(),
    };
    analysed.months.add(timeline, &story, world);
    analysed.contacts.add(timeline, world);
    analysed.buyers.add(timeline, &trade, world);
    analysed.contacts.add_deliveries(timeline, &story, world);
    let unnamed = |at: &usize| timeline[*at].kind == "case_opened" && timeline[*at].thing("case").is_none();
    let opened: Vec<usize> = cases.iter().map(|case| case.opened).chain((0..timeline.len()).filter(unnamed)).collect();
    analysed.departments.add(timeline, &story, &opened, world);
    analysed.departments.add_promises(timeline, &trade.promises, world);
    relations::observe_subscriptions(timeline, &moments, world);
    relations::observe_messages(timeline, &moments, world);
    let placed = trade.purchases.iter().map(|purchase| purchase.placed).collect();
    relations::observe_content(timeline, &moments, &phases, &placed, world);
    let of = alerts::Person { name, timeline, trade: &trade, cases: &cases };
    let alerts = alerts::open(&of, world, options);
    analysed.departments.add_alerts(&alerts, world);
    (record(name, timeline, &trade, &cases, phases[timeline.len()], world, options), alerts)
}

fn observe_trade(timeline: &[Touch], moments: &[Moment], trade: &Trade, world: &mut World, options: &Options) {
    let live = || trade.purchases.iter().filter(|purchase| purchase.cancelled == NEVER);
    for purchase in live() {
        let moment = &moments[purchase.placed];
        world.count("orders", moment, 1, 0, 0);
        if let Some((minor, currency)) = &timeline[purchase.placed].amount {
            world.measure("revenue", Some(currency), moment, *minor, 0);
            world.measure("average_order_value", Some(currency), moment, *minor, 0);
            world.measure("customer_value", Some(currency), moment, *minor, 0);
        }
    }
    if let Some(first) = live().map(|purchase| purchase.placed).min() {
        world.count("new_customers", &moments[first], 1, 0, 0);
        world.count("acquisition_cost", &moments[first], 1, 0, 0);
    }
    for (touch, moment) in timeline.iter().zip(moments) {
        if let Some((minor, currency)) =
            touch.cost.as_ref().filter(|_| options.acquisition_spokes.contains(&touch.spoke))
        {
            world.measure("acquisition_cost", Some(currency), moment, *minor, 0);
        }
    }
    for refund in trade.refunds.iter().filter(|refund| refund.taken_back == NEVER) {
        let (minor, currency) = timeline[refund.at].amount.as_ref().unwrap();
        world.measure("customer_value", Some(currency), &moments[refund.at], -minor.abs(), 0);
    }
    for (touch, moment) in timeline.iter().zip(moments).filter(|(touch, _)| touch.kind == "subscription_renewed") {
        if let Some((minor, currency)) = &touch.amount {
            world.measure("revenue", Some(currency), moment, *minor, 0);
            world.measure("customer_value", Some(currency), moment, *minor, 0);
        }
    }
    for delivery in &trade.deliveries {
        let moment = &moments[delivery.at];
        world.count("return_rate", moment, 1, 0, 0);
        if let Some(promise) = delivery.promise {
            let gap = timeline[delivery.at].occurred_at - promise;
            world.count("on_time", moment, 1, i64::from(gap <= options.on_time_tolerance_ms), 0);
            world.measure("promise_gap", None, moment, gap, i64::from(gap > 0));
        }
    }
    for &at in &trade.returns {
        world.count("return_rate", &moments[at], 0, 1, 0);
    }
    for promise in &trade.promises {
        let start = moments[promise.made].day.max(world.day(promise.due));
        let end = moments.get(promise.ended).map(|moment| moment.day);
        world.stands("overdue", &moments[promise.made], start, end);
    }
}

fn observe_cases(timeline: &[Touch], moments: &[Moment], cases: &[Case], world: &mut World, options: &Options) {
    for case in cases {
        let opened_at = timeline[case.opened].occurred_at;
        world.count("contact_rate", &moments[case.opened], 0, 1, 0);
        if let Some(reply) = timeline.get(case.first_reply) {
            world.measure("first_response_time", None, &moments[case.first_reply], reply.occurred_at - opened_at, 0);
        }
        if let Some(resolution) = timeline.get(case.first_resolution) {
            let taken = resolution.occurred_at - opened_at;
            world.measure("resolution_time", None, &moments[case.first_resolution], taken, 0);
        }
        let start = world.day(opened_at + options.unanswered_target_ms);
        let end = case.first_reply.min(case.first_resolution).min(case.forgotten);
        let end = moments.get(end).map(|moment| moment.day);
        world.stands("unanswered", &moments[case.opened], start, end);
    }
    for (touch, moment) in timeline.iter().zip(moments) {
        if touch.kind == "case_opened" && touch.thing("case").is_none() {
            world.count("contact_rate", moment, 0, 1, 0);
        }
    }
}

fn observe_answers(timeline: &[Touch], moments: &[Moment], world: &mut World) {
    for (touch, moment) in timeline.iter().zip(moments) {
        if let Some((scale, value, _)) = &touch.score {
            match scale.as_str() {
                "nps" => world.count("nps", moment, 1, i64::from(*value >= 9), i64::from(*value <= 6)),
                "csat" => world.measure("csat", None, moment, *value, i64::from(*value >= 4)),
                "ces" => world.measure("ces", None, moment, *value, i64::from(*value >= 5)),
                _ => {}
            }
        }
        if let Some(felt) = touch.sentiment {
            world.measure("sentiment", None, moment, felt, i64::from(felt < -20));
        }
    }
}

/// Whether the person was there at all, per window and dimension value: sets, each counted once.
fn observe_presence(timeline: &[Touch], moments: &[Moment], world: &mut World) {
    let mut reached = HashSet::new();
    let mut active = HashSet::new();
    let mut spoke_well = HashSet::new();
    for (touch, moment) in timeline.iter().zip(moments) {
        let praises = touch.score.as_ref().is_some_and(|(scale, value, _)| {
            (scale == "review" && (4..=5).contains(value)) || (scale == "nps" && (9..=10).contains(value))
        });
        for place in moment.places() {
            reached.insert(place);
            if touch.initiator == "customer" {
                active.insert(place);
            }
            if praises || touch.kind == "referral_made" {
                spoke_well.insert(place);
            }
        }
    }
    for (slice, window) in &active {
        let later = (*slice, next(*window));
        let stays = active.contains(&later);
        let cell = world.at("churn", None, later);
        cell.n += 1;
        cell.b += i64::from(stays);
        let cell = world.at("retention", None, later);
        cell.n += 1;
        cell.a += i64::from(stays);
        let cell = world.at("advocacy", None, (*slice, *window));
        cell.n += 1;
        cell.a += i64::from(spoke_well.contains(&(*slice, *window)));
        world.at("customer_value", None, (*slice, *window)).n += 1;
    }
    for place in reached {
        world.at("reach", None, place).n += 1;
    }
    for place in active {
        world.at("contact_rate", None, place).n += 1;
    }
}

fn mean(values: &[i64]) -> f64 {
    values.iter().map(|value| i128::from(*value)).sum::<i128>() as f64 / values.len() as f64
}

fn summary(values: &[i64]) -> Value {
    json!({"n": values.len(), "last": values.last(), "mean": mean(values)})
}

fn duration(values: &[i64]) -> Value {
    let mean_seconds = (!values.is_empty()).then(|| mean(values) / 1_000.0);
    json!({"n": values.len(), "mean_seconds": mean_seconds})
}

fn record(
    name: &str,
    timeline: &[Touch],
    trade: &Trade,
    cases: &[Case],
    phase: &str,
    world: &World,
    options: &Options,
) -> Value {
    let tally = |word: &dyn Fn(&Touch) -> Option<String>| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        timeline.iter().filter_map(word).for_each(|word| *counts.entry(word).or_default() += 1);
        counts
    };
    let newest =
        |field: &dyn Fn(&Touch) -> &Option<String>| timeline.iter().rev().find_map(|touch| field(touch).clone());
    let live: Vec<&Purchase> = trade.purchases.iter().filter(|purchase| purchase.cancelled == NEVER).collect();
    let mut paid: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for purchase in &live {
        if let Some((minor, currency)) = &timeline[purchase.placed].amount {
            paid.entry(currency).or_default().push(*minor);
        }
    }
    let mut revenue: BTreeMap<&str, i64> =
        paid.iter().map(|(currency, amounts)| (*currency, amounts.iter().sum())).collect();
    for touch in timeline.iter().filter(|touch| touch.kind == "subscription_renewed") {
        if let Some((minor, currency)) = &touch.amount {
            *revenue.entry(currency).or_default() += minor;
        }
    }
    let mut scores: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (scale, value, item) in timeline.iter().filter_map(|touch| touch.score.as_ref()) {
        let key = item.as_ref().map_or(scale.clone(), |item| format!("{scale}:{item}"));
        if scores.len() < SCORES_MAX || scores.contains_key(&key) {
            scores.entry(key).or_default().push(*value);
        }
    }
    let scores: Map<String, Value> = scores.into_iter().map(|(key, values)| (key, summary(&values))).collect();
    let felt: Vec<i64> = timeline.iter().filter_map(|touch| touch.sentiment).collect();
    let taken = |end: fn(&Case) -> usize| -> Vec<i64> {
        let ended = cases.iter().filter_map(|case| Some((timeline.get(end(case))?, case)));
        ended.map(|(touch, case)| touch.occurred_at - timeline[case.opened].occurred_at).collect()
    };
    let gaps: Vec<i64> = trade
        .deliveries
        .iter()
        .filter_map(|delivery| Some(timeline[delivery.at].occurred_at - delivery.promise?))
        .collect();
    let on_time = gaps.iter().filter(|gap| **gap <= options.on_time_tolerance_ms).count();
    let open: Vec<&Promise> = trade.promises.iter().filter(|promise| promise.ended == NEVER).collect();
    let closed_day = world.last_closed_day;
    let overdue = open
        .iter()
        .filter(|promise| world.day(timeline[promise.made].occurred_at).max(world.day(promise.due)) <= closed_day);
    let contacts = timeline.iter().filter(|touch| {
        let day = world.day(touch.occurred_at);
        touch.kind == "message_sent" && closed_day - 30 < day && day <= closed_day
    });
    let rhythm = alerts::rhythm(timeline, trade, world);
    json!({
        "person": name,
        "identifiers": identifiers(timeline),
        "first_seen": instant(timeline[0].occurred_at),
        "last_seen": instant(timeline[timeline.len() - 1].occurred_at),
        "touchpoints": timeline.len(),
        "touchpoints_by_spoke": tally(&|touch| Some(touch.spoke.clone())),
        "touchpoints_by_kind": tally(&|touch| Some(touch.kind.clone())),
        "touchpoints_by_channel": tally(&|touch| touch.channel.clone()),
        "phase": phase,
        "orders": live.len(),
        "frequency": live.len().saturating_sub(1),
        "revenue": revenue,
        "monetary_value": paid.iter().map(|(currency, amounts)| (*currency, mean(amounts))).collect::<BTreeMap<_, _>>(),
        "open_cases": cases.iter().filter(|case| case.open && case.forgotten == NEVER).count(),
        "scores": scores,
        "sentiment": (!felt.is_empty()).then(|| summary(&felt)),
        "first_response_time": duration(&taken(|case| case.first_reply)),
        "resolution_time": duration(&taken(|case| case.first_resolution)),
        "deliveries_on_time": on_time,
        "deliveries_late": gaps.len() - on_time,
        "open_promises": open.len(),
        "overdue_promises": overdue.count(),
        "contacts_30_days": contacts.count(),
        "journey": journey(timeline, trade),
        "segment": segments::at_the_end(timeline),
        "region": newest(&|touch| &touch.region),
        "account": newest(&|touch| &touch.account),
        "buying": value::bought(timeline, &live, world),
        "rhythm": rhythm.map(|rhythm| json!({
            "days": rhythm.days,
            "mean_gap_days": rhythm.mean,
            "limit_days": rhythm.limit,
            "lapses_on": alerts::shown(rhythm.lapses_on),
            "lapsed": rhythm.lapses_on <= closed_day,
        })),
    })
}

/// The first values mentioned of each type, ascending.
fn identifiers(timeline: &[Touch]) -> BTreeMap<&'static str, BTreeSet<&str>> {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (rank, value) in timeline.iter().flat_map(|touch| &touch.identifiers) {
        let values = named.entry(IDENTIFIER_TYPES[*rank]).or_default();
        if values.len() < IDENTIFIERS_MAX {
            values.insert(value);
        }
    }
    named
}

/// Steps after the last purchase: walked from the end.
fn journey(timeline: &[Touch], trade: &Trade) -> Value {
    let after = trade.purchases.iter().map(|purchase| purchase.placed + 1).max().unwrap_or(0);
    let step = |touch: &Touch| (touch.spoke.clone(), touch.kind.clone(), touch.channel.clone());
    let mut steps: Vec<_> = timeline[after..].iter().map(step).collect();
    steps.dedup();
    let newest = steps.len().saturating_sub(JOURNEY_MAX);
    steps[newest..]
        .iter()
        .map(|(spoke, kind, channel)| json!({"spoke": spoke, "kind": kind, "channel": channel}))
        .collect()
}
