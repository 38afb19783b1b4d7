//! Long histories that move from one person to another while alerts are told: of them nothing is told but what is so in the end, and
//! that once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Clerk, DEPARTMENTS, HOUR_MS, Hub, Id, Ordered, START_MS, Said, id, touch};
use crate::{
    alerts::published,
    simulation::{in_turn, seeds},
    world::assert_truth,
};

const PERSONS: usize = 1;
/// With what else each home has, more than one chunk of a move holds.
const VIEWS: usize = 290;
/// What each name has open in the end: a case and a complaint.
const OPEN: usize = 2;
const NAMES: usize = 2 * PERSONS + 1;

/// What a person was known by before it was known who it is.
fn names(person: usize) -> [Id; 2] {
    [id(&format!("email:e{person}@x.org")), id(&format!("loyalty:l{person}"))]
}

fn customer(name: &str, person: usize) -> Id {
    id(&format!("customer_id:{name}{person}"))
}

/// Whoever is known by nothing else: one home, which moves alone.
fn lone() -> Id {
    id("cookie:lone")
}

/// Under each name a case, a complaint and a promise whose ends are far from their beginnings; and a case and a complaint that
/// nobody answers. All days of it are over.
fn history() -> Vec<Said> {
    let mut said: Vec<(i64, Said)> = Vec::new();
    let mut numbers = [0; 2];
    let mut event = |hour: i64, kind: &str, who: &Id, thing: Option<String>| {
        let department = usize::from(hour % 2 == 0);
        numbers[department] += 1;
        let identifiers: Vec<Id> = [who.clone()].into_iter().chain(thing.map(|thing| id(&thing))).collect();
        let mut event = touch(DEPARTMENTS[department], numbers[department], hour, kind, &identifiers);
        if kind == "order_placed" {
            let mut payload: Value = serde_json::from_slice(&event.payload).unwrap();
            payload["promised_at"] = json!(START_MS + (hour + 24) * HOUR_MS);
            event.payload = payload.to_string().into_bytes();
        }
        said.push((hour, Said::Event(event)));
    };
    for person in 0..PERSONS {
        for who in names(person).into_iter().chain((person == 0).then(lone)) {
            let case = |number: usize| format!("case:T{}{number}", who.1);
            let order = format!("order:O{}", who.1);
            event(1, "case_opened", &who, Some(case(1)));
            event(2, "complaint_made", &who, None);
            event(3, "order_placed", &who, Some(order.clone()));
            event(4, "case_opened", &who, Some(case(2)));
            for view in 0..VIEWS {
                event(30 + view as i64, "page_viewed", &who, None);
            }
            // Whoever answers and delivers knows nothing but the case and the order: they are homes of their own, which move too.
            for (hour, kind, thing) in [(400, "case_replied", case(1)), (402, "order_delivered", order)] {
                match who == lone() {
                    true => event(hour, kind, &who, Some(thing)),
                    false => event(hour, kind, &id(&thing), None),
                }
            }
            event(401, "follow_up_made", &who, None);
            event(410, "complaint_made", &who, None);
        }
    }
    for person in 0..=PERSONS {
        for name in ["C", "D"] {
            event(5, "page_viewed", &customer(name, person), None);
        }
    }
    event(600, "page_viewed", &id("customer_id:Z"), None);
    said.sort_by_key(|(hour, _)| *hour);
    said.into_iter().map(|(_, said)| said).collect()
}

fn command(name: &str, order: Ordered) -> Said {
    Said::Command { id: name.to_owned(), order, at_ms: START_MS + 601 * HOUR_MS }
}

/// Everybody's names are a customer's.
fn link(name: &str) -> Ordered {
    let of = |person| names(person).map(|known| (customer(name, person), known));
    Ordered::Link((0..PERSONS).flat_map(of).collect())
}

/// And so is whoever is alone.
fn link_lone(name: &str) -> Ordered {
    Ordered::Link(vec![(customer(name, PERSONS), lone())])
}

/// Everything that was told under each key.
fn histories(hub: &Hub) -> BTreeMap<String, Vec<Option<Value>>> {
    let mut histories: BTreeMap<String, Vec<Option<Value>>> = BTreeMap::new();
    for (key, value) in published(hub) {
        histories.entry(key).or_default().push(value);
    }
    histories
}

/// Returns how many values were told while histories moved.
fn run_seed(seed: u64) -> usize {
    let what = format!("seed {seed} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1)");
    let mut hub = Hub::new(seed, 3);
    let mut clerk = Clerk::default();
    let mut told = 0;
    let mut tell = |part: &[Said], faults: u32, what: &str| {
        let before = histories(&hub);
        hub.tell(part);
        hub.simulation.add_faults(faults);
        clerk.hear(part);
        let feeds = hub.rest(what);
        assert_truth(&clerk.truth().feeds, &feeds, what);
        let mut news = histories(&hub);
        for (key, known) in before {
            news.get_mut(&key).unwrap().drain(..known.len());
        }
        (feeds.alerts, news)
    };
    let (open, _) = tell(&history(), 4, &format!("{what}, apart"));
    assert_eq!(open.len(), NAMES * OPEN, "{what}: {open:?}");
    let seen: Vec<Said> = open
        .values()
        .step_by(2)
        .map(|alert| alert["id"].as_str().unwrap())
        .map(|id| command(&format!("seen-{id}"), Ordered::Acknowledge(id.to_owned(), "mo")))
        .collect();
    let (before, _) = tell(&seen, 0, &format!("{what}, seen"));

    // To one customer each; and to another, as soon as they have begun to move.
    let first = [command("one", link("C")), command("alone", link_lone("C"))];
    let overtaken = [
        command("back", Ordered::Undo("one".to_owned())),
        command("other", link("D")),
        command("alone-back", Ordered::Undo("alone".to_owned())),
        command("alone-other", link_lone("D")),
    ];
    let mut before = before;
    for (number, part) in [&first[..], &overtaken].into_iter().enumerate() {
        let what = format!("{what}, moved {number}");
        let (open, news) = tell(part, 6, &what);
        let ids = |alerts: &BTreeMap<String, Value>| -> BTreeSet<String> {
            alerts.values().map(|alert| format!("{} {}", alert["id"], alert["acknowledged_by"])).collect()
        };
        assert_eq!(ids(&before), ids(&open), "{what}: what is open, and seen, is what was");
        let mut opened: BTreeSet<&String> = BTreeSet::new();
        for (key, value) in news.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value))) {
            let Some(value) = value else {
                assert!(number > 0 || before.contains_key(key), "{what}: {key} was told of, and is gone");
                continue;
            };
            let as_ever = ids(&BTreeMap::from([(key.clone(), value.clone())])).is_subset(&ids(&open));
            assert!(as_ever && value["state"] != "closed", "{what}: {value} is not so in the end");
            assert!(number > 0 || open.contains_key(key), "{what}: {value} is another's in the end");
            assert!(number > 0 || opened.insert(key) && value["revision"] == 1, "{what}: {value} was told before");
            told += 1;
        }
        before = open;
    }
    told
}

#[test]
fn while_long_histories_move_no_alert_is_told_that_is_not_so_in_the_end_and_none_twice() {
    let told = in_turn(seeds(20, 400), run_seed);
    let fewest = told.iter().min().copied().unwrap_or_default();
    assert!(fewest >= 2 * NAMES * OPEN, "only {fewest} were told while histories moved");
}
