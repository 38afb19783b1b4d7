//! Payloads that were made to hurt, each between two good neighbours: it is rejected for the right reason, they come through,
//! and the process stays small.

mod avro;
mod json;

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use insight_hub::{
    engine::log::access::{Durability, NewRecord},
    wire::{SchemaFolder, schemas::TOUCHPOINT_SCHEMA},
};

use super::process::{Running, feed, records};
use crate::harness::sweeper::Scratch;

const WITHIN: Duration = Duration::from_secs(300);
/// Peak resident memory of the whole process, in KiB.
const MEMORY_KIB_MAX: u64 = 256 * 1024;
/// 2026-03-20T00:00:00Z: when every record was written.
const NOW_MS: i64 = 1_773_964_800_000;

/// One payload, and what must become of it.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub spoke: &'static str,
    pub payload: Vec<u8>,
    pub reason: &'static str,
    /// The field to blame; empty if it is the payload as a whole.
    pub field: &'static str,
}

/// A department whose events are mapped.
const WEB: &str = r#"
spoke = "web"
topic = "web.events"
format = "json"
id = "id"
each = { path = "hits", key = ".n" }
occurred_at = { path = ".at", format = "epoch_s" }
kind = { path = ".what", map = { look = "page_viewed" }, unmapped = "reject" }
label = "note"
amount = { value = ".paid", unit = "major", currency = { constant = "EUR" } }
identifiers = { customer_id = "who.number", cookie = "who.cookies" }
"#;

fn canonical(spoke: &str, format: &str) -> String {
    format!("spoke = \"{spoke}\"\ntopic = \"{spoke}.events\"\nformat = \"{format}\"\n")
}

/// A good record of a department, and the id of its touchpoint.
fn good(spoke: &str, number: usize) -> (Vec<u8>, String) {
    let id = format!("good-{number}");
    match spoke {
        "web" => (json::hits(&format!("\"id\":\"{id}\","), r#"{"n":1,"at":1773000000,"what":"look"}"#), id + "#1"),
        "till" => (json::event(&[("id", &format!("\"{id}\""))]), id),
        _ => (avro::single(&[("id", &avro::string(&id))]), id),
    }
}

#[test]
fn each_bomb_is_rejected_for_its_reason_between_neighbours_that_come_through() {
    let mut cases = json::cases();
    cases.extend(avro::cases());
    let named: BTreeMap<&str, usize> = cases.iter().map(|case| case.name.as_str()).zip(0..).collect();
    assert_eq!(named.len(), cases.len(), "every case has a name of its own");
    let cut = cases.iter().filter(|case| case.name.contains("cut after")).count();
    assert!(cases.len() - cut >= 100 && cut >= 100, "{} cases, {cut} of them cut off", cases.len());

    let home = Scratch::new("bombs");
    let spokes = home.path().join("spokes");
    let schemas = home.path().join("schemas");
    for (folder, file, text) in [
        (&spokes, "web.toml", WEB),
        (&spokes, "till.toml", &canonical("till", "touchpoint-json")),
        (&spokes, "shop.toml", &canonical("shop", "touchpoint-avro")),
        (&schemas, "7.avsc", TOUCHPOINT_SCHEMA),
        (&schemas, "8.avsc", avro::WIDE_SCHEMA),
    ] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(file), text).unwrap();
    }
    let settings =
        [format!("spokes.directory={}", spokes.display()), format!("schemas.directory={}", schemas.display())];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut running = Running::start("bombs", Some(&home.path().join("data")), &settings);
    let access = running.connect();
    let mut positions: BTreeMap<String, &Case> = BTreeMap::new();
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    let mut next: BTreeMap<&str, i64> = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let topic = format!("{}.events", case.spoke);
        let offset = next.entry(case.spoke).or_default();
        let (neighbour, id) = good(case.spoke, number);
        positions.insert(format!("{topic}|0|{}", *offset), case);
        for payload in [&case.payload, &neighbour] {
            let record =
                NewRecord { partition: Some(0), timestamp_ms: NOW_MS, value: Some(payload), ..NewRecord::default() };
            access.append(&topic, &[record], Durability::AsConfigured).unwrap();
            *offset += 1;
        }
        *expected.entry(id).or_default() += 1;
    }
    let deadline = Instant::now() + WITHIN;
    let taken = || running.taken() as usize;
    while taken() < 2 * cases.len() {
        assert!(Instant::now() < deadline, "{} of {} are taken", taken(), 2 * cases.len());
        thread::sleep(Duration::from_millis(200));
    }

    let mut wrong = Vec::new();
    for record in records(&access, "insight.rejected").unwrap() {
        let header = |name: &str| {
            let found = record.headers.iter().find(|(header, _)| header == &format!("__streams.errors.{name}"));
            String::from_utf8(found.unwrap().1.clone()).unwrap()
        };
        let position = String::from_utf8(record.key.clone()).unwrap();
        match positions.remove(&position) {
            Some(case) => {
                let (reason, field) = (header("reason"), header("field"));
                if (reason.as_str(), field.as_str()) != (case.reason, case.field) {
                    wrong.push(format!("{}: {reason} [{field}], not {} [{}]", case.name, case.reason, case.field));
                }
                // What is too long for a letter has its beginning there, and of the rest the length and the hash.
                let hash = record.headers.iter().find(|(name, _)| name == "__streams.errors.whole_hash");
                let is_it = match (&record.value, hash) {
                    (Some(value), Some(_)) => {
                        case.payload.len() > 900_000
                            && !value.is_empty()
                            && case.payload.starts_with(value)
                            && header("whole_bytes") == case.payload.len().to_string()
                            && header("whole_hash") == blake3::hash(&case.payload).to_hex().to_string()
                    }
                    (value, _) => value.as_ref() == Some(&case.payload),
                };
                if !is_it {
                    wrong.push(format!("{}: its dead letter is not what was sent", case.name));
                }
                assert!(header("message").len() < 400, "{}: a message that repeats the payload", case.name);
            }
            None => wrong.push(format!("{position}: a good record was rejected: {}", header("message"))),
        }
    }
    wrong.extend(positions.values().map(|case| format!("{}: not rejected, not {}", case.name, case.reason)));
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    loop {
        let touchpoints = feed(&access, "insight.touchpoints").unwrap();
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for value in touchpoints.values() {
            *found.entry(value["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        if found == expected {
            break;
        }
        assert!(Instant::now() < deadline, "{} of {} neighbours came through", found.len(), expected.len());
        thread::sleep(Duration::from_millis(200));
    }
    let bytes: usize = cases.iter().map(|case| case.payload.len()).sum();
    let peak = running.hub.process.peak_memory_kib().expect("it is running");
    println!("{} bombs of {bytes} bytes; peak memory {} MiB", cases.len(), peak / 1024);
    assert!(peak < MEMORY_KIB_MAX, "peak memory {peak} KiB");
    assert_eq!(running.hub.process.terminate(Duration::from_secs(20)).code(), Some(0));
}

#[test]
fn schemas_that_were_made_to_hurt_are_refused_before_a_message_names_them() {
    for (name, schema, problem) in avro::schemas() {
        let refused = SchemaFolder::from_files([("9.avsc", &schema)]).expect_err(name).to_string();
        assert!(refused.contains(problem), "{name}: {refused}");
        assert!(refused.len() < 600, "{name}: a message that repeats the schema");
    }
}
