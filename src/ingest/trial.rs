//! The tests inside of a spoke file: a sample record in, the touchpoint that it must become, or the reason why it is not
//! taken, out. `insight-hub check` runs them.
//!
//! ```toml
//! [[tests]]
//! sample = '''{"id":"s-1","type":"ticket.opened","time":"2026-01-31T09:00:00Z","data":{"requester":{"number":"C1"}}}'''
//! expect = { id = "s-1", kind = "case_opened", identifiers = { customer_id = "C1" } }
//!
//! [[tests]]
//! sample = '{}'
//! expect_rejected = "missing_field"
//! ```

use serde_json::{Map, Value};

use super::{
    Mapped, Skip, SourceRecord, Spoke,
    fields::fields,
    keys::{suggestion, unknown_word},
    spoke_file::field_names,
};
use crate::model::Reason;

/// The most tests of one spoke file.
pub(super) const TRIALS_MAX: usize = 1_000;

/// One test of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The record's payload.
    pub sample: String,
    /// The record's key.
    pub key: Option<String>,
    /// The record's headers.
    pub headers: Vec<(String, String)>,
    /// What must become of it.
    pub expect: Expectation,
}

/// What must become of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// As many touchpoints, each with at least these fields.
    Touchpoints(Vec<Map<String, Value>>),
    /// A rejection for this reason.
    Rejected(Reason),
    /// The mapping leaves it out, all of it.
    Skipped,
}

/// A test that found something else than it expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialFailure {
    /// Which test of the file, from 1.
    pub test: usize,
    /// The field, dotted; empty for the record as a whole.
    pub field: String,
    /// What must be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl std::fmt::Display for TrialFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TrialFailure { test, field, expected, found } = self;
        let at = if field.is_empty() { String::new() } else { format!("{field}: ") };
        write!(formatter, "test {test}: {at}expected {expected}, found {found}")
    }
}

/// Reads one `[[tests]]` table. The error is the key and what is wrong with it.
pub(super) fn parse(table: &toml::Table) -> Result<Trial, (String, String)> {
    const KEYS: [&str; 6] = ["sample", "key", "headers", "expect", "expect_rejected", "expect_skipped"];
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err((key.clone(), format!("there is no such key{}", suggestion(key, &KEYS))));
    }
    let wrong = |key: &str, problem: &str| Err((key.to_owned(), problem.to_owned()));
    let Some(toml::Value::String(sample)) = table.get("sample") else {
        return wrong("sample", "it is missing; add sample = '''…''' with one record");
    };
    let key = match table.get("key") {
        None => None,
        Some(toml::Value::String(key)) => Some(key.clone()),
        Some(_) => return wrong("key", "write text in quotes, as in key = \"…\""),
    };
    let mut headers = Vec::new();
    match table.get("headers") {
        None => {}
        Some(toml::Value::Table(table)) if table.values().all(toml::Value::is_str) => {
            headers.extend(
                table.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())),
            );
        }
        Some(_) => return wrong("headers", "write a table of texts, as in headers = { ce_type = \"…\" }"),
    }
    let expect = match (table.get("expect"), table.get("expect_rejected"), table.get("expect_skipped")) {
        (Some(expect), None, None) => {
            let tables = match expect {
                toml::Value::Array(tables) => tables.as_slice(),
                one => std::slice::from_ref(one),
            };
            let touchpoints: Result<Vec<_>, _> = tables.iter().map(touchpoint).collect();
            Expectation::Touchpoints(touchpoints?)
        }
        (None, Some(toml::Value::String(reason)), None) => match Reason::parse(reason) {
            Some(reason) => Expectation::Rejected(reason),
            None => {
                let known: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
                return Err(("expect_rejected".into(), unknown_word(reason, &known)));
            }
        },
        (None, None, Some(toml::Value::Boolean(true))) => Expectation::Skipped,
        _ => {
            return wrong("", "give one of expect = { … }, expect_rejected = \"reason\" and expect_skipped = true");
        }
    };
    Ok(Trial { sample: sample.clone(), key, headers, expect })
}

/// The fields that a touchpoint must have.
fn touchpoint(expected: &toml::Value) -> Result<Map<String, Value>, (String, String)> {
    let toml::Value::Table(table) = expected else {
        return Err(("expect".into(), "write a table of fields, as in expect = { kind = \"order_placed\" }".into()));
    };
    let names = field_names();
    if let Some(name) = table.keys().find(|name| !names.contains(&name.as_str())) {
        return Err((format!("expect.{name}"), format!("a touchpoint has no such field{}", suggestion(name, &names))));
    }
    Ok(table.iter().map(|(name, value)| (name.clone(), json(value))).collect())
}

fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(is) => Value::from(*is),
        // As TOML writes it, which is RFC 3339.
        toml::Value::Datetime(at) => Value::from(at.to_string()),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(name, value)| (name.clone(), json(value))).collect())
        }
    }
}

/// Runs tests on the mapping that they belong to. A test's record has no timestamp, so that no time is too far in the future.
pub fn run(spoke: &Spoke, trials: &[Trial]) -> Vec<TrialFailure> {
    let mut failures = Vec::new();
    for (index, trial) in trials.iter().enumerate() {
        let record = SourceRecord {
            topic: spoke.topic(),
            partition: 0,
            offset: 0,
            timestamp_ms: -1,
            key: trial.key.as_deref().map(str::as_bytes),
            payload: Some(trial.sample.trim().as_bytes()),
            headers: &trial.headers,
        };
        let mut outcomes = Vec::new();
        spoke.map_json(&record, &mut |outcome| outcomes.push(Found::of(&outcome)));
        compare(&trial.expect, &outcomes, &mut |field, expected, found| {
            failures.push(TrialFailure { test: index + 1, field, expected, found });
        });
    }
    failures
}

/// An outcome, kept.
enum Found {
    Touchpoint(Map<String, Value>),
    Skipped(Skip),
    Rejected(Reason, String),
}

impl Found {
    fn of(outcome: &Mapped<'_>) -> Found {
        match outcome {
            Mapped::Touchpoint(touchpoint) => Found::Touchpoint(
                fields(touchpoint).into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ),
            Mapped::Skipped(skip) => Found::Skipped(*skip),
            Mapped::Rejected(rejection) => {
                let at = if rejection.field.is_empty() { String::new() } else { format!(" [{}]", rejection.field) };
                Found::Rejected(rejection.reason, format!("{}{at} {}", rejection.reason, rejection.message))
            }
        }
    }

    fn shown(&self) -> String {
        match self {
            Found::Touchpoint(fields) => {
                format!("a touchpoint of kind {}", fields.get("kind").and_then(Value::as_str).unwrap_or_default())
            }
            Found::Skipped(skip) => skip.in_words().into(),
            Found::Rejected(_, text) => text.clone(),
        }
    }
}

fn compare(expect: &Expectation, found: &[Found], differs: &mut dyn FnMut(String, String, String)) {
    let all = || found.iter().map(Found::shown).collect::<Vec<_>>().join("; ");
    match expect {
        Expectation::Rejected(reason) => {
            if !found.iter().any(|found| matches!(found, Found::Rejected(found, _) if found == reason)) {
                differs(String::new(), reason.to_string(), all());
            }
        }
        Expectation::Skipped => {
            if !found.iter().all(|found| matches!(found, Found::Skipped(_))) {
                differs(String::new(), "skipped".into(), all());
            }
        }
        Expectation::Touchpoints(expected) => {
            if let Some(other) = found.iter().find(|found| matches!(found, Found::Rejected(..))) {
                return differs(String::new(), "touchpoints only".into(), other.shown());
            }
            // An element that the condition leaves out is no touchpoint.
            let found: Vec<&Found> = found.iter().filter(|found| matches!(found, Found::Touchpoint(_))).collect();
            if expected.len() != found.len() {
                let count = format!("{} touchpoints", expected.len());
                return differs(String::new(), count, format!("{}: {}", found.len(), all()));
            }
            for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
                let Found::Touchpoint(found) = found else { continue };
                let at = if index == 0 { String::new() } else { format!("touchpoint {}: ", index + 1) };
                for (name, expected) in expected {
                    compare_value(&format!("{at}{name}"), expected, found.get(name), differs);
                }
            }
        }
    }
}

fn compare_value(at: &str, expected: &Value, found: Option<&Value>, differs: &mut dyn FnMut(String, String, String)) {
    match (expected, found) {
        (Value::Object(expected), Some(Value::Object(found))) => {
            for (name, expected) in expected {
                compare_value(&format!("{at}.{name}"), expected, found.get(name), differs);
            }
        }
        // One value may stand for a list of one.
        (expected, Some(Value::Array(found))) if !expected.is_array() && found.len() == 1 => {
            compare_value(at, expected, found.first(), differs);
        }
        (expected, Some(found)) if expected == found || same_instant(expected, found) => {}
        (expected, found) => {
            differs(at.to_owned(), expected.to_string(), found.map_or_else(|| "nothing".to_owned(), Value::to_string))
        }
    }
}

/// Two ways to write one time are equal.
fn same_instant(expected: &Value, found: &Value) -> bool {
    let instant = |value: &Value| value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    matches!((instant(expected), instant(found)), (Some(expected), Some(found)) if expected == found)
}
