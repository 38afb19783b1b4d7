//! The feeds against SQL: a company's year into a hub, its timeline and its feeds into files, what DuckDB finds wrong out.
//!
//! `tests/duckdb/check.py` computes every metric, journey, credit, driver, priority, change, kind of contact, scorecard and set of
//! parameters anew from the timeline, and what is said of each customer and open alert: in SQL, and in NumPy and SciPy what SQL has
//! no functions for.
//! That the timeline itself is right, is what the oracle of these tests says of the source events. `tests/run` installs what
//! the script stands on.

mod desk;

use std::{
    collections::HashSet,
    fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use insight_hub::{
    company::{CompanyOptions, SourceEvent},
    engine::{log::embedded::EmbeddedOptions, worker::WorkerOptions},
    ingest::{LiveSpokes, segments::Segments},
    metrics::catalogue,
    model::Calendar,
};
use serde_json::{Value, json};

use crate::{
    embedded::House,
    oracle::{self, Source},
    world::{
        CANCELLED, PERSON_KEY, PLACED, SPOKE_PARTITIONS, events_with_changes, latest, order_state, spokes_and,
        topology_options,
    },
};

/// The packages that the script stands on; `None` where `tests/run` could not install them, and has said and counted so.
fn packages() -> Option<PathBuf> {
    let set = std::env::var_os("INSIGHT_HUB_TEST_DUCKDB");
    if set.as_ref().is_some_and(|set| set == "none") {
        return None;
    }
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-cache/duckdb");
    let packages = set.map_or_else(usual, PathBuf::from);
    assert!(
        packages.join("duckdb").exists(),
        "DuckDB is not in {}: run `tests/run` once, which installs it (or set INSIGHT_HUB_TEST_DUCKDB)",
        packages.display()
    );
    Some(packages)
}

/// Nobody has so many orders or cases that a person's oldest are forgotten.
fn company(customers: u32, touchpoints: u64, days: u32) -> CompanyOptions {
    CompanyOptions {
        seed: 11,
        customers,
        touchpoints,
        days,
        zipf_exponent_hundredths: 30,
        late_per_million: 50_000,
        shuffled: true,
        ..CompanyOptions::default()
    }
}

fn replaced(payload: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut rest = payload;
    let mut found = Vec::new();
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        found.extend_from_slice(&rest[..at]);
        found.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    found.extend_from_slice(rest);
    found
}

/// The events of a company with changes, where whoever cancels an order has placed a corrected one with it: so the one that is
/// cancelled was the first, and another one stands.
fn events_with_corrections(options: CompanyOptions) -> Vec<SourceEvent> {
    let events = events_with_changes(options);
    let state = |event: &SourceEvent| order_state(event).filter(|_| !event.duplicate);
    let cancelled: HashSet<&[u8]> =
        events.iter().filter(|event| state(event) == Some(CANCELLED)).map(|event| &*event.key).collect();
    let mut told = Vec::new();
    let mut corrected = 0;
    for event in &events {
        told.push(event.clone());
        if state(event) == Some(PLACED) && cancelled.contains(&*event.key) {
            let mut key = event.key.clone();
            key[0] = b'Q';
            let mut payload = replaced(&event.payload, &event.key, &key);
            assert_eq!(payload[11], b's');
            payload[11] = b't';
            told.push(SourceEvent { key, payload, ..event.clone() });
            corrected += 1;
        }
    }
    assert!(corrected > 0, "nobody corrected an order");
    told
}

fn write_lines(path: &Path, lines: impl Iterator<Item = Value>) {
    let mut file = BufWriter::new(fs::File::create(path).unwrap());
    for line in lines {
        serde_json::to_writer(&mut file, &line).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.flush().unwrap();
}

/// Messages in 30 days that some persons of the company get more of.
const CONTACT_CAP: i64 = 3;

/// The feeds that the script computes anew.
const FEEDS: [&str; 11] = [
    "metrics",
    "journeys",
    "attribution",
    "drivers",
    "priorities",
    "changes",
    "balance",
    "scorecards",
    "customers",
    "alerts",
    "catalogue",
];

/// How a hub is configured.
#[derive(Clone, Copy)]
struct Meaning {
    zone: &'static str,
    /// `None`: the default, which no dimension of the company reaches.
    dimension_values_max: Option<usize>,
    /// Whether customers are in the segments of `tests/duckdb/rules.txt`, which the script knows in SQL.
    rules: bool,
}

const PLAIN: Meaning = Meaning { zone: "UTC", dimension_values_max: None, rules: false };

/// Days of 23 and 25 hours, and days that begin before those of UTC; more values of dimensions than are published (but as many
/// departments: what arrived from each is not ranked by the script); segments by rule.
const SPECIAL: Meaning = Meaning { zone: "Europe/Berlin", dimension_values_max: Some(5), rules: true };

/// Runs the company through a hub and writes what the script reads.
fn publish(events: &[SourceEvent], Meaning { zone, dimension_values_max, rules }: Meaning, folder: &Path) {
    let begun = Instant::now();
    let mut options = topology_options("duckdb", 4);
    options.spokes = Arc::new(LiveSpokes::new(spokes_and([desk::spoke()])));
    options.spoke_partitions.insert(format!("{}.events", desk::NAME), SPOKE_PARTITIONS);
    options.calendar = Calendar::of_zone(zone).unwrap();
    options.metrics.calendar = options.calendar.clone();
    options.customers.fold.calendar = options.calendar.clone();
    options.customers.fold.contact_cap = CONTACT_CAP;
    if let Some(values_max) = dimension_values_max {
        options.metrics.dimension_values_max = values_max;
    }
    if rules {
        let rules = Segments::parse(include_str!("../duckdb/rules.txt")).unwrap().unwrap();
        options.customers.fold.segments = Some(Arc::new(rules));
    }
    let house = House::open(&folder.join("hub"), &options, EmbeddedOptions::default());
    house.write(events);
    // Of many events, not every state on the way has to be published.
    let commit_interval = Duration::from_millis(if events.len() < 5_000 { 100 } else { 1_000 });
    let worker = WorkerOptions { commit_interval, ..WorkerOptions::default() };
    house.run_within(Duration::from_secs(6 * 3_600), 2, worker);
    eprintln!("{} events in the hub: {:.1?}", events.len(), begun.elapsed());

    let begun = Instant::now();
    let sources = events.iter().map(|event| Source {
        spoke: event.spoke,
        payload: &event.payload,
        timestamp_ms: event.timestamp_ms,
    });
    let meaning = oracle::Options {
        person_key: PERSON_KEY,
        time_zone: zone.to_owned(),
        contact_cap: CONTACT_CAP,
        ..oracle::Options::default()
    };
    let timeline = oracle::Feeds { touchpoints: oracle::touchpoints(sources, &meaning), ..oracle::Feeds::default() };
    let read = oracle::Feeds { touchpoints: latest(house.read("insight.touchpoints")), ..oracle::Feeds::default() };
    crate::world::assert_truth(&timeline, &read, "the timeline");
    eprintln!("{} touchpoints are the oracle's: {:.1?}", read.touchpoints.len(), begun.elapsed());
    write_lines(&folder.join("touchpoints.jsonl"), read.touchpoints.into_values());
    for feed in FEEDS {
        let mut file = BufWriter::new(fs::File::create(folder.join(format!("{feed}.jsonl"))).unwrap());
        for (key, value) in house.latest(&format!("insight.{feed}")) {
            let key = Value::from(String::from_utf8(key).unwrap());
            writeln!(file, "{{\"key\":{key},\"value\":{}}}", String::from_utf8(value).unwrap()).unwrap();
        }
        file.flush().unwrap();
    }
    let arrivals = events.iter().map(|event| {
        let rejected = event.rejection.is_some();
        json!({"spoke": event.spoke, "at_ms": event.timestamp_ms, "rejected": rejected, "copy": event.duplicate})
    });
    write_lines(&folder.join("arrivals.jsonl"), arrivals);
    let definitions = json!({
        "time_zone": zone,
        "on_time_tolerance_ms": meaning.on_time_tolerance_ms,
        "unanswered_target_ms": meaning.unanswered_target_ms,
        "acquisition_spokes": meaning.acquisition_spokes,
        "contact_cap": meaning.contact_cap,
        "dimension_values_max": options.metrics.dimension_values_max,
        "has_rules": rules,
        "metrics": catalogue::entries().map(|entry| entry.metric).collect::<Vec<_>>(),
    });
    fs::write(folder.join("definitions.json"), definitions.to_string()).unwrap();
}

/// What the script says, and whether it is content.
fn check(packages: &Path, folder: &Path, arguments: &[&str]) -> (bool, String) {
    let begun = Instant::now();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/duckdb/check.py");
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).arg("-B").arg(script).args(arguments).arg(folder);
    let output = python.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    eprintln!("{said}checked: {:.1?}", begun.elapsed());
    (output.status.success(), said)
}

fn check_days(customers: u32, touchpoints: u64, days: u32, meaning: Meaning) {
    let Some(packages) = packages() else { return };
    let folder = tempfile::tempdir().unwrap();
    let events = desk::with_desk(events_with_corrections(company(customers, touchpoints, days)));
    publish(&events, meaning, folder.path());
    let (content, said) = check(&packages, folder.path(), &["--prove"]);
    assert!(content, "{said}");
}

#[test]
fn four_months_of_a_zone_with_summer_time_and_segments_by_rule_are_what_sql_computes_from_their_touchpoints() {
    check_days(1_000, 20_000, 130, SPECIAL);
}

#[test]
#[ignore = "minutes: the full suite runs it"]
fn a_year_of_twenty_thousand_customers_is_what_sql_computes_from_its_touchpoints() {
    check_days(20_000, 400_000, 365, PLAIN);
}

#[test]
#[ignore = "minutes: the full suite runs it"]
fn a_year_of_twenty_thousand_customers_in_segments_by_rule_is_what_sql_computes_from_its_touchpoints() {
    check_days(20_000, 400_000, 365, SPECIAL);
}

#[test]
fn what_is_wrong_missing_or_too_much_is_reported_by_its_key() {
    let Some(packages) = packages() else { return };
    let folder = tempfile::tempdir().unwrap();
    publish(&events_with_corrections(company(40, 600, 70)), PLAIN, folder.path());
    let (content, said) = check(&packages, folder.path(), &[]);
    assert!(content, "{said}");

    let path = folder.path().join("metrics.jsonl");
    let right = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = right.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("{\"key\":\"reach|month:")).unwrap();
    let line: Value = serde_json::from_str(lines[at]).unwrap();
    let key = line["key"].as_str().unwrap();
    // One value is wrong, another one away, and one is there that nobody counted.
    let gone = lines.iter().rposition(|line| line.starts_with("{\"key\":\"orders|month:")).unwrap();
    let gone_key = serde_json::from_str::<Value>(lines[gone]).unwrap()["key"].as_str().unwrap().to_owned();
    let mut wrong = line.clone();
    wrong["value"]["n"] = json!(line["value"]["n"].as_i64().unwrap() + 1);
    let mut other = line.clone();
    other["key"] = json!("reach|month:1999-12|");
    let kept =
        lines.iter().enumerate().filter(|(place, _)| ![at, gone].contains(place)).map(|(_, line)| (*line).to_owned());
    let changed: Vec<String> = kept.chain([wrong.to_string(), other.to_string()]).collect();
    fs::write(&path, changed.join("\n")).unwrap();
    let (content, said) = check(&packages, folder.path(), &[]);
    for (key, field) in [(key, "n"), (&gone_key, "missing"), ("reach|month:1999-12|", "superfluous")] {
        assert!(!content && said.contains(&format!("metrics {key} {field}")), "{key} {field}: {said}");
    }
    assert!(said.contains("\n3 differences"), "{said}");
}
