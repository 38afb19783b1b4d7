//! Alerts in simulation: while the hub takes in history nothing is told that is over in the end; nothing is told twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use insight_hub::{company::SourceEvent, engine::worker::WorkerOptions};
use serde_json::{Value, json};

use crate::{
    identity::{DEPARTMENTS, HOUR_MS, Hub, START_MS, Said, id, touch},
    simulation::{in_turn, seeds, small_worker},
};

/// Departments' events of so many days: cases that were answered late, complaints that were followed up late, promises that
/// were kept late; and some that never were.
fn history(days: i64) -> Vec<Said> {
    let mut said = Vec::new();
    let mut number = [0; 2];
    let mut event = |department: usize, hour: i64, kind: &str, who: &str, thing: Option<String>| {
        number[department] += 1;
        let mut identifiers = vec![id(&format!("customer_id:{who}"))];
        identifiers.extend(thing.map(|thing| id(&thing)));
        let mut event = touch(DEPARTMENTS[department], number[department], hour, kind, &identifiers);
        if kind == "order_placed" {
            let mut payload: Value = serde_json::from_slice(&event.payload).unwrap();
            payload["promised_at"] = json!(START_MS + (hour + 24) * HOUR_MS);
            event.payload = payload.to_string().into_bytes();
        }
        said.push((hour, event));
    };
    for day in 0..days {
        let (hour, who) = (day * 24, format!("C{}", day % 7));
        // The last of each kind stay as they are.
        let ends = day + 6 < days;
        event(0, hour + 1, "order_placed", &who, Some(format!("order:O{day}")));
        event(1, hour + 2, "case_opened", &who, Some(format!("case:T{day}")));
        event(1, hour + 3, "complaint_made", &who, None);
        if ends {
            event(0, hour + 24 * 4, "order_delivered", &who, Some(format!("order:O{day}")));
            event(1, hour + 24 * 5, "case_replied", &who, Some(format!("case:T{day}")));
            event(0, hour + 24 * 5 + 1, "follow_up_made", &who, None);
        }
    }
    said.sort_by_key(|(hour, _)| *hour);
    said.into_iter().map(|(_, event)| Said::Event(event)).collect()
}

/// Every publication of the feed, in the order of its partitions.
pub fn published(hub: &Hub) -> Vec<(String, Option<Value>)> {
    let cluster = hub.simulation.cluster().borrow();
    let records = cluster.read_committed(hub.map.alerts_feed);
    let key = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    let value = |value: &[u8]| serde_json::from_slice(value).unwrap();
    records.iter().map(|it| (key(it.key.as_deref().unwrap()), it.value.as_deref().map(value))).collect()
}

/// When departments' records came: as they happened, or long after.
fn came(said: &[Said], shift_ms: i64) -> Vec<Said> {
    let later = |said: &Said| match said {
        Said::Event(event) => {
            let timestamp_ms = if shift_ms == 0 { event.timestamp_ms } else { START_MS + shift_ms };
            Said::Event(SourceEvent { timestamp_ms, ..event.clone() })
        }
        other @ Said::Command { .. } => other.clone(),
    };
    said.iter().map(later).collect()
}

fn run_seed(seed: u64) -> usize {
    const LONG_AFTER_MS: i64 = 500 * 24 * HOUR_MS;
    let said = history(40);
    let mut at_rest: BTreeSet<BTreeMap<String, String>> = BTreeSet::new();
    let mut least = usize::MAX;
    // All of it is there before it is read, as old as what happened; and long after it happened part by part, so that the hub
    // is at the end of what is there again and again.
    for (what, shift_ms, part) in [("at once", 0, said.len()), ("in parts", LONG_AFTER_MS, 9)] {
        let what = format!("seed {seed}, {what} (replay: INSIGHT_HUB_TEST_SEED={seed} INSIGHT_HUB_TEST_SEEDS=1)");
        // No department falls silent between two parts.
        let mut hub = Hub::with_worker(seed, 3, WorkerOptions { idle_after: Duration::from_secs(1), ..small_worker() });
        let said = came(&said, shift_ms);
        for part in said.chunks(part) {
            hub.tell(part);
            hub.simulation.produce_all();
            hub.simulation.add_faults(if part.len() == said.len() { 20 } else { 1 });
            hub.simulation.run_for(20).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        let feeds = hub.rest(&what);
        let mut opened: BTreeMap<String, usize> = BTreeMap::new();
        for (key, value) in published(&hub) {
            let value = value.unwrap_or_else(|| panic!("{what}: {key} was over again"));
            assert!(feeds.alerts.contains_key(&key), "{what}: {value} is not open in the end");
            *opened.entry(key).or_default() += usize::from(value["revision"] == 1);
        }
        assert!(opened.values().all(|count| *count == 1), "{what}: one opened twice");
        let ids = |(key, alert): (&String, &Value)| (key.clone(), format!("{} {}", alert["cause"], alert["since"]));
        least = least.min(feeds.alerts.len());
        at_rest.insert(feeds.alerts.iter().map(ids).collect());
    }
    assert_eq!(at_rest.len(), 1, "seed {seed}: what is open in the end depends on how it came");
    least
}

#[test]
fn no_alert_is_told_of_history_that_is_over_by_its_end_and_none_twice() {
    let ran = in_turn(seeds(20, 500), run_seed);
    let fewest = ran.iter().min().copied().unwrap_or_default();
    assert!(fewest >= 10, "only {fewest} were open in the end");
}

/// The same events as they come, one day after the other: each alert opens, and closes when its cause does.
#[test]
fn what_comes_as_it_happens_opens_and_closes_alerts_once_and_leaves_what_history_leaves() {
    let said = history(12);
    let mut hub = Hub::new(3, 1);
    let day = |said: &Said| match said {
        Said::Event(event) => (event.occurred_at - START_MS) / (24 * HOUR_MS),
        Said::Command { .. } => unreachable!("there are none"),
    };
    for of_day in said.chunk_by(|one, other| day(one) == day(other)) {
        hub.tell(of_day);
        hub.rest("day by day");
    }
    let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in published(&hub) {
        let state = value.map_or("gone".to_owned(), |value| value["state"].as_str().unwrap().to_owned());
        states.entry(key).or_default().push(state);
    }
    let closed = states.values().filter(|states| states.last().unwrap() == "gone").count();
    assert!(closed > 10, "{states:?}");
    for states in states.values() {
        let ends = states.strip_suffix(&["closed".to_owned(), "gone".to_owned()]).unwrap_or(states);
        assert!(!ends.is_empty() && ends.iter().all(|state| state == "open"), "{states:?}");
    }
    let mut other = Hub::new(4, 2);
    other.tell(&said);
    let (one, other) = (hub.rest("day by day"), other.rest("at once"));
    assert_eq!(one.alerts.keys().collect::<Vec<_>>(), other.alerts.keys().collect::<Vec<_>>());
}

/// Each hour an order of the one department at once, and a case of the other, which always tells so many hours later. Each
/// case is answered two days after it was opened, but those of the last days.
fn with_one_late(hours: i64, late_hours: i64) -> Vec<Said> {
    let mut said = Vec::new();
    for hour in 0..hours {
        let who = id(&format!("customer_id:C{}", hour % 7));
        let number = usize::try_from(hour).unwrap();
        let mut say = |department: usize, number: usize, hour: i64, kind: &str, thing: String, late: i64| {
            let event = touch(DEPARTMENTS[department], number, hour, kind, &[who.clone(), id(&thing)]);
            let came = event.timestamp_ms + late * HOUR_MS;
            said.push((came, SourceEvent { timestamp_ms: came, ..event }));
        };
        say(0, number, hour, "order_placed", format!("order:O{hour}"), 0);
        say(1, 2 * number, hour, "case_opened", format!("case:T{hour}"), late_hours);
        say(1, 2 * number + 1, hour + 48, "case_replied", format!("case:T{hour}"), late_hours);
    }
    said.sort_by_key(|(came, _)| *came);
    said.into_iter().map(|(_, event)| Said::Event(event)).collect()
}

/// Nobody falls silent: what is told is told because nothing is waited for.
fn told_of(seed: u64, said: &[Said]) -> Vec<(String, Option<Value>)> {
    let mut hub = Hub::with_worker(seed, 2, WorkerOptions { idle_after: Duration::MAX, ..small_worker() });
    for part in said.chunks(24) {
        hub.tell(part);
        hub.simulation.produce_all();
        hub.simulation.add_faults(1);
        hub.simulation.run_for(60).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    hub.rest(&format!("seed {seed}"));
    published(&hub)
}

#[test]
fn a_department_that_is_always_two_days_late_silences_nobody_and_one_that_loads_history_everybody() {
    let said = with_one_late(24 * 8, 48);
    in_turn(seeds(5, 100), |seed| {
        let told = told_of(seed, &said);
        let closed = told.iter().filter(|(_, value)| value.is_none()).count();
        assert!(closed > 20, "seed {seed}: cases are told of, and that they were answered: {closed} of {}", told.len());
        // The same, all of it long after it happened, within a quarter of an hour.
        let mut loaded = came(&said, 500 * 24 * HOUR_MS);
        for (number, said) in loaded.iter_mut().enumerate() {
            if let Said::Event(event) = said {
                event.timestamp_ms += i64::try_from(number).unwrap() * 1_000;
            }
        }
        let told = told_of(seed, &loaded);
        assert!(told.is_empty(), "seed {seed}: {told:?}");
    });
}
