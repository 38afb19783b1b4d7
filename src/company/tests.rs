//! The company keeps its promises: reproducible, of the size asked for, bounded in memory, labelled.

use std::collections::{BTreeMap, HashSet};

use super::*;

/// Tells one stream of events from another.
pub(super) fn digest(events: impl Iterator<Item = SourceEvent>) -> String {
    let mut hasher = blake3::Hasher::new();
    for event in events {
        hasher.update(event.spoke.as_bytes());
        hasher.update(&event.key);
        hasher.update(&event.payload);
        hasher.update(&event.timestamp_ms.to_le_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[test]
fn a_seed_gives_the_same_company_everywhere() {
    // Golden: whoever changes the company changes fixtures and benchmarks with it.
    let company = digest(Company::new(CompanyOptions::default()));
    let bench = digest(BenchEvents::new(BenchOptions { events: 10_000, ..BenchOptions::default() }));
    assert_eq!((company.as_str(), bench.as_str()), ("960d24d6ad563e30", "f740a43c63e0a5f6"));
}

#[test]
fn the_counts_are_those_asked_for() {
    let options = CompanyOptions { touchpoints: 50_000, ..CompanyOptions::default() };
    let events: Vec<SourceEvent> = Company::new(options.clone()).collect();
    let originals = events.iter().filter(|event| event.valid && !event.duplicate).count();
    assert_eq!(originals, 50_000);
    let copies = events.iter().filter(|event| event.duplicate).count();
    assert!((400..600).contains(&copies), "{copies}");
    let on_its_way = |event: &&SourceEvent| event.timestamp_ms - event.occurred_at > 31 * SECOND;
    let late = events.iter().filter(|event| event.valid && !event.duplicate).filter(on_its_way).count();
    assert!((2_200..2_900).contains(&late), "{late}");
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in events.iter().filter_map(|event| event.rejection) {
        *reasons.entry(reason.as_str()).or_default() += 1;
    }
    assert!((400..600).contains(&reasons.values().sum::<usize>()), "{reasons:?}");
    // All but unknown_schema (Avro only), spoke_not_allowed (canonical touchpoints only) and condition_error.
    assert_eq!(reasons.len(), 9, "{reasons:?}");
    for spoke in SPOKES {
        let part = events.iter().filter(|event| event.spoke == spoke).count();
        assert!(part > 4_000, "{spoke}: {part}");
    }
    let end = i64::from(options.start.0 + 90) * DAY;
    assert!(events.iter().all(|event| event.occurred_at < end));
    assert!(events.iter().any(|event| event.occurred_at > end - DAY));
    assert!(events.is_sorted_by_key(|event| event.timestamp_ms));
}

#[test]
fn ids_are_unique_within_a_spoke_and_copies_are_exact() {
    let options =
        CompanyOptions { duplicates_per_million: 200_000, invalid_per_million: 0, ..CompanyOptions::default() };
    let mut seen = HashSet::new();
    let mut payloads = HashSet::new();
    for event in Company::new(options) {
        let payload: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
        let id = ["id", "event_id", "scan"].iter().find_map(|name| payload.get(name)).unwrap();
        let new = seen.insert((event.spoke, id.to_string()));
        assert_eq!(payloads.insert((event.spoke, event.payload)), new);
        assert_eq!(new, !event.duplicate);
    }
}

#[test]
fn shuffling_changes_the_order_and_nothing_else() {
    let ordered = Company::new(CompanyOptions::default());
    let shuffled = Company::new(CompanyOptions { shuffled: true, ..CompanyOptions::default() });
    let (ordered, mut shuffled): (Vec<_>, Vec<_>) = (ordered.collect(), shuffled.collect());
    assert_ne!(ordered, shuffled);
    let order = |event: &SourceEvent| (event.timestamp_ms, event.spoke, event.payload.clone(), event.valid);
    shuffled.sort_by_key(order);
    let mut ordered = ordered;
    ordered.sort_by_key(order);
    assert!(ordered == shuffled);
}

#[test]
fn journeys_under_way_are_all_that_is_remembered() {
    let mut stream =
        Stream::new(CompanyOptions { touchpoints: 1_000_000, customers: 100_000, ..CompanyOptions::default() });
    let mut most = 0;
    while stream.next().is_some() {
        most = most.max(stream.waiting.len());
    }
    // Half of a month of waiting steps, with subscriptions that run for months.
    assert!(most < 200_000, "{most}");
}

#[test]
fn benchmark_payloads_have_the_mean_size_that_they_promise() {
    let events = BenchEvents::new(BenchOptions { events: 100_000, ..BenchOptions::default() });
    let mut bytes = 0;
    let mut late = 0;
    for event in events {
        let payload: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
        assert!(payload["identifiers"]["customer_id"][0].is_string());
        bytes += event.payload.len();
        late += usize::from(event.occurred_at < event.timestamp_ms);
    }
    assert!((bytes as i64 - 28_100_000).abs() < 1_000, "{bytes}");
    assert!((4_700..5_300).contains(&late), "{late}");
}

#[test]
fn whoever_is_anonymous_at_first_becomes_known_after_many_visits() {
    let options = BenchOptions { events: 20_000, customers: 1_000, anonymous_percent: 30, ..BenchOptions::default() };
    let names = |payload: &[u8]| -> (bool, bool) {
        let event: serde_json::Value = serde_json::from_slice(payload).unwrap();
        (event["identifiers"]["cookie"].is_array(), event["identifiers"]["customer_id"].is_array())
    };
    let mut visits: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut known: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for event in BenchEvents::new(options.clone()) {
        match names(&event.payload) {
            (true, false) => {
                assert!(!known.contains_key(&event.key), "a cookie alone, of somebody who is known");
                *visits.entry(event.key).or_default() += 1;
            }
            (true, true) => {
                let visits = visits.remove(&event.key).unwrap();
                assert!(known.insert(event.key, visits).is_none(), "known for the first time, twice");
            }
            (false, true) => {}
            (false, false) => panic!("nobody's"),
        }
    }
    assert_eq!((known.len(), visits.len()), (300, 0));
    assert!(known.values().all(|visits| *visits == 24), "{known:?}");
    // The same events, to compare with.
    let recognised = BenchOptions { recognised: true, ..options.clone() };
    for (event, other) in BenchEvents::new(options).zip(BenchEvents::new(recognised)) {
        assert_eq!((&event.key, event.occurred_at), (&other.key, other.occurred_at));
        assert_eq!(names(&other.payload), (false, true));
    }
}
