//! A company with enough customers to compare its kinds of contact: what `insight.balance` says under faults is what the oracle
//! says.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use insight_hub::{
    company::{CompanyOptions, SourceEvent},
    metrics::Stated,
    model::Capacities,
};
use serde_json::{Value, json};

use crate::{
    experience::Random,
    identity::{CONTACT_CAP, DEPARTMENTS, HOUR_MS, Hub, START_MS, Said, canonical, options},
    oracle,
    simulation::{in_turn, seeds, simulate, small_company, small_worker},
    world::{assert_truth, events, topology_options, truth_under},
};

const CAPACITY: &str = "sales:order_placed:web=40, support:case_opened:phone=500, marketing:message_sent:email=450";

fn busy_company(seed: u64) -> CompanyOptions {
    CompanyOptions { customers: 150, touchpoints: 3_000, days: 45, ..small_company(seed) }
}

/// Sixty persons who are asked everywhere how content they are, in two months and in no order.
fn asked(number: usize, random: &mut Random) -> SourceEvent {
    let kind = random.pick(&["order_placed", "order_placed", "visit_made", "visit_made", "case_replied"]);
    let channel = random.pick(&["web", "phone"]);
    let at = START_MS + HOUR_MS * random.below(24 * 55) as i64;
    let person = random.below(60);
    let mut payload = json!({"id": number.to_string(), "kind": kind, "occurred_at": at, "channel": channel,
        "identifiers": {"customer_id": [format!("c{person}")], "order": [format!("o{number}")]}});
    let is_good = channel == "phone";
    if random.percent(60) {
        let value = if is_good { 3 + random.below(3) } else { 1 + random.below(4) };
        payload["score"] = json!({"scale": "csat", "value": value});
    }
    if random.percent(50) {
        payload["sentiment"] = json!(random.below(150) as i64 - if is_good { 50 } else { 100 });
    }
    if random.percent(if is_good { 90 } else { 20 }) {
        // Where something is paid for in another currency, nobody is told to invest.
        let currency = if kind == "visit_made" { random.pick(&["EUR", "EUR", "USD"]) } else { "EUR" };
        payload["cost"] = json!({"minor": random.below(500) as i64 - 20, "currency": currency});
    }
    if random.percent(20) {
        payload["effort"] = json!(random.below(9) as i64 - 1);
    }
    canonical(DEPARTMENTS[usize::from(random.percent(10))], number, at, &payload)
}

/// Many persons between two departments, of which one is silent at last: whom either fails, may ask and blame the other.
fn served(number: usize, random: &mut Random) -> SourceEvent {
    let kind = random.pick(&["order_placed", "order_delivered", "case_opened", "survey_answered", "visit_made"]);
    let day = random.below(62);
    let at = START_MS + HOUR_MS * (24 * day + random.below(24)) as i64;
    let department = DEPARTMENTS[usize::from(day < 59 && random.percent(50))];
    let person = random.below(160);
    let mut payload = json!({"id": number.to_string(), "kind": kind, "occurred_at": at,
        "identifiers": {"customer_id": [format!("c{person}")], "order": [format!("o{}", random.below(900))]}});
    match kind {
        "order_placed" => {
            payload["amount"] = json!({"minor": 100 + random.below(900), "currency": "EUR"});
            if random.percent(50) {
                payload["promised_at"] = json!(at + HOUR_MS * random.below(24 * 40) as i64);
            }
        }
        "order_delivered" if random.percent(60) => {
            payload["promised_at"] = json!(at + HOUR_MS * (random.below(40) as i64 - 20));
        }
        "case_opened" => {
            if random.percent(90) {
                payload["identifiers"]["case"] = json!([format!("t{}", random.below(700))]);
            }
            payload["subject"] = json!(random.pick(&["late", "dear"]));
            if random.percent(60) {
                payload["effort"] = json!(random.below(12) as i64 - 1);
            }
        }
        _ => {
            let value = 1 + random.below(5);
            payload["score"] = match random.below(8) {
                0 => json!({"scale": "nps", "value": 2 * value}),
                1 => json!({"scale": "review", "value": value}),
                _ => json!({"scale": "csat", "value": value}),
            };
            if random.percent(30) {
                payload["sentiment"] = json!(random.below(150) as i64 - 50);
            }
        }
    }
    canonical(department, number, at, &payload)
}

const ESTIMATED: usize = 600;

/// Customers of whom a third asks about what is slow, and buys no more, and a third about what is dear, which keeps fewer of them away
/// and takes less, as the department says: in the month that counts, and otherwise in the next.
fn estimated(number: usize, random: &mut Random) -> SourceEvent {
    // In no order.
    let (part, person) = (number * 7 % ESTIMATED / 150, number * 7 % 150);
    let (group, in_group) = (person % 3, person / 3);
    let asks_about = ["slow", "dear", ""][group];
    let (kind, day) = match part {
        0 => ("order_placed", 1 + random.below(5)),
        1 if group < 2 => ("case_opened", 10 + random.below(10)),
        2 if in_group % 10 < [1, 3, 9][group] => ("order_placed", 33 + random.below(20)),
        3 if group < 2 => ("case_opened", 33 + random.below(20)),
        3 => ("visit_made", 62),
        _ => ("visit_made", 34),
    };
    let at = START_MS + HOUR_MS * (24 * day + random.below(24)) as i64;
    let mut payload = json!({"id": number.to_string(), "kind": kind, "occurred_at": at,
        "identifiers": {"customer_id": [format!("c{person}")], "order": [format!("o{number}")]}});
    if kind == "order_placed" {
        payload["amount"] = json!({"minor": 500, "currency": "EUR"});
    } else if kind == "case_opened" {
        payload["subject"] = json!(asks_about);
        let effort = [6 + random.below(5), 1 + random.below(3)][group];
        if random.percent(80) {
            payload["effort"] = json!(if part == 1 { effort } else { 90 * (1 - group) + 1 });
        }
    }
    canonical(DEPARTMENTS[0], number, at, &payload)
}

/// How often the truth shows what is worth comparing.
type Seen = BTreeMap<String, usize>;

fn run_seed(seed: u64) -> Seen {
    let events = events(busy_company(seed));
    let capacities: BTreeMap<String, i64> = CAPACITY
        .split(", ")
        .map(|word| word.split_once('=').unwrap())
        .map(|(contact, number)| (contact.to_owned(), number.parse().unwrap()))
        .collect();
    let expected = truth_under(&events, oracle::Options { capacities, ..oracle::Options::default() });
    let mut options = topology_options("balance", 2);
    options.metrics.capacities = Arc::new(Capacities::parse_list(CAPACITY).unwrap());
    let (feeds, _) = simulate(&events, &options, seed, 3, 20);
    let what = format!("seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1)");
    assert_truth(&expected.feeds, &feeds, &what);
    seen(&expected.feeds)
}

fn run_asked(seed: u64) -> Seen {
    run_told(seed, 1_200, asked)
}

fn run_served(seed: u64) -> Seen {
    run_told(seed, 1_800, served)
}

fn run_estimated(seed: u64) -> Seen {
    run_told(seed, ESTIMATED, estimated)
}

fn run_told(seed: u64, events: usize, event: fn(usize, &mut Random) -> SourceEvent) -> Seen {
    let mut random = Random(seed);
    let events: Vec<SourceEvent> = (0..events).map(|number| event(number, &mut random)).collect();
    // What it takes, how many persons can be handled, both, or more than there are; an effort of none is one of one.
    let [first, second] = DEPARTMENTS;
    let of = |spoke: &str, subject: &str| (spoke.to_owned(), "case_opened".to_owned(), subject.to_owned());
    let efforts = BTreeMap::from([(of(first, "late"), 7), (of(second, "late"), 3), (of(second, "dear"), 0)]);
    let limits = BTreeMap::from([(of(first, "late"), 20), (of(second, "late"), 15), (of(first, "dear"), 1_000_000)]);
    let names: BTreeSet<_> = efforts.keys().chain(limits.keys()).collect();
    let stated = |name| (efforts.get(name).map(|effort| *effort.max(&1)), limits.get(name).copied());
    let stated: BTreeMap<String, _> =
        names.iter().map(|name| (format!("{}|{}|{}", name.0, name.1, name.2), stated(*name))).collect();
    let truth = |events: &[SourceEvent]| {
        let meaning =
            oracle::Options { contact_cap: CONTACT_CAP, stated: stated.clone(), ..oracle::Options::default() };
        truth_under(events, meaning).feeds
    };
    let mut options = options("identity");
    options.metrics.stated = Arc::new(Stated { efforts: efforts.clone(), limits: limits.clone() });
    let mut hub = Hub::of(&options, seed, 1, small_worker());
    let (first, rest) = events.split_at(events.len() / 2);
    for (part, until) in [(first, events.len() / 2), (rest, events.len())] {
        hub.tell(&part.iter().cloned().map(Said::Event).collect::<Vec<_>>());
        let what = format!("seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1), {until} told");
        assert_truth(&truth(&events[..until]), &hub.rest(&what), &what);
    }
    seen(&truth(&events))
}

fn seen(feeds: &oracle::Feeds) -> Seen {
    let mut seen = Seen::new();
    let mut see = |what: &str, is: bool| *seen.entry(what.to_owned()).or_default() += usize::from(is);
    for card in feeds.scorecards.values() {
        see("cases elsewhere compared", card["cases_elsewhere"]["difference"].is_number());
        see("score elsewhere compared", card["score_elsewhere"]["difference"].is_number());
        see("part in drivers", card["drivers"].as_array().is_some_and(|drivers| !drivers.is_empty()));
        see("owned priority", card["priorities"].as_object().is_some_and(|owned| !owned.is_empty()));
        see("open alerts", card["open_alerts"].as_object().is_some_and(|causes| !causes.is_empty()));
        see("alerts alone", card["touchpoints"] == 0);
        see("open promises", card["open_promises"] != 0);
        see("promises to be kept later", card["open_promises"].as_u64() > card["overdue_promises"].as_u64());
        see("overdue promises", card["overdue_promises"] != 0);
    }
    for of_month in feeds.priorities.values().filter_map(|record| record["priorities"].as_object()) {
        // With one for what touchpoints say, another would be the first.
        let first = |effort: fn(&Value) -> f64| {
            let worth = |it: &Value| it["score"].as_f64().unwrap() / effort(it);
            of_month.iter().max_by(|a, b| worth(a.1).total_cmp(&worth(b.1))).map(|(name, _)| name)
        };
        let all = first(|it| it["effort"].as_f64().unwrap());
        let stated =
            |it: &Value| if it["effort_source"] == "configured" { it["effort"].as_f64().unwrap() } else { 1.0 };
        see("first by touchpoints' efforts", all != first(stated));
        for priority in of_month.values() {
            see("configured effort", priority["effort_source"] == "configured" && priority["effort"] != 1);
            see("touchpoints' effort", priority["effort_source"] == "touchpoints" && priority["effort"] != 1);
            let limit = priority["limit"].as_i64();
            see("stated limit", limit.is_some_and(|limit| Some(limit) < priority["reach"].as_i64()));
        }
    }
    for record in feeds.balance.values() {
        see("balance", true);
        for contact in record["contacts"].as_object().unwrap().values() {
            see(contact["advice"].as_str().unwrap_or("undecided"), true);
            see("score compared", contact["score"]["difference"].is_number());
            see("sentiment compared", contact["sentiment"]["difference"].is_number());
            see("costs left out", contact["costs_left_out"] != 0);
            see("drivers", contact["drivers"].as_array().is_some_and(|drivers| !drivers.is_empty()));
            see("capacity", contact["capacity_use"] != Value::Null);
            see("credited for what was earlier", contact["touchpoints"] == 0);
        }
    }
    seen
}

fn assert_seen(found: Vec<Seen>, wanted: &[&str]) {
    let mut total = Seen::new();
    for (what, times) in found.into_iter().flatten() {
        *total.entry(what).or_default() += times;
    }
    for what in wanted {
        assert!(total.get(*what).copied().unwrap_or_default() > 0, "{what}: {total:?}");
    }
}

#[test]
fn what_customers_say_at_each_kind_of_contact_is_compared_with_everywhere_else() {
    let wanted =
        ["balance", "invest", "keep", "save", "score compared", "sentiment compared", "drivers", "costs left out"];
    assert_seen(in_turn(seeds(4, 100), run_asked), &wanted);
}

#[test]
fn what_departments_do_to_each_other_is_what_the_oracle_says() {
    let wanted = [
        "cases elsewhere compared",
        "score elsewhere compared",
        "part in drivers",
        "owned priority",
        "configured effort",
        "stated limit",
        "open alerts",
        "alerts alone",
        "open promises",
        "promises to be kept later",
        "overdue promises",
    ];
    assert_seen(in_turn(seeds(3, 100), run_served), &wanted);
}

#[test]
fn what_touchpoints_say_that_subjects_take_decides_their_rank() {
    let wanted = ["touchpoints' effort", "first by touchpoints' efforts", "owned priority"];
    assert_seen(in_turn(seeds(2, 100), run_estimated), &wanted);
}

#[test]
fn what_kinds_of_contact_bring_and_take_is_what_the_oracle_says() {
    assert_seen(in_turn(seeds(4, 100), run_seed), &["balance", "keep", "save", "capacity"]);
}
