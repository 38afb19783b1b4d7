//! What the harness read and what a program printed: the same or not, however either writes dates and numbers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// One record as a subscriber is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub topic: String,
    pub key: String,
    /// `None` is a tombstone.
    pub value: Option<Value>,
}

impl Told {
    /// The line that a program prints.
    pub fn parse(line: &str) -> Told {
        let line: Map<String, Value> =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the line {line:?}"));
        let text = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{name} of {line:?}")).to_owned();
        let value = Some(line["value"].clone()).filter(|value| !value.is_null());
        Told { topic: text("topic"), key: text("key"), value }
    }

    /// As a line.
    pub fn line(&self) -> Value {
        json!({"topic": self.topic, "key": self.key, "value": self.value})
    }
}

/// How the records of each key differ, in their order: that of different keys is nobody's promise.
pub fn differences(expected: &[Told], read: &[Told]) -> Vec<String> {
    let (expected, read) = (by_key(expected), by_key(read));
    let mut differences = Vec::new();
    for (key, values) in &expected {
        let there = read.get(key).map_or(&[][..], Vec::as_slice);
        if values.len() != there.len() {
            differences.push(format!("{key:?}: {} records instead of {}", there.len(), values.len()));
        } else if let Some((value, there)) = values.iter().zip(there).find(|(value, there)| !are_same(value, there)) {
            differences.push(format!("{key:?}: {there} instead of {value}"));
        }
    }
    differences
        .extend(read.keys().filter(|key| !expected.contains_key(*key)).map(|key| format!("{key:?} is not there")));
    differences
}

type Key<'a> = (&'a str, &'a str);

fn by_key(told: &[Told]) -> BTreeMap<Key<'_>, Vec<Value>> {
    let mut values: BTreeMap<Key<'_>, Vec<Value>> = BTreeMap::new();
    for told in told {
        let value = told.value.clone().unwrap_or_default();
        values.entry((&told.topic, &told.key)).or_default().push(in_numbers("", value));
    }
    values
}

/// Days and instants as the numbers that they are in Avro: a program may show either.
fn in_numbers(name: &str, value: Value) -> Value {
    match (name, value) {
        ("start" | "end" | "first_on" | "last_on" | "lapses_on", Value::String(day)) => {
            let day: jiff::civil::Date = day.parse().unwrap_or_else(|error| panic!("{name} {day}: {error}"));
            let days = jiff::civil::date(1970, 1, 1).until(day).unwrap().get_days();
            Value::from(days)
        }
        ("first_seen" | "last_seen", Value::String(instant)) => {
            let instant: jiff::Timestamp = instant.parse().unwrap_or_else(|error| panic!("{name} {instant}: {error}"));
            Value::from(instant.as_millisecond())
        }
        (_, Value::Object(fields)) => {
            fields.into_iter().map(|(name, value)| (name.clone(), in_numbers(&name, value))).collect()
        }
        (_, Value::Array(items)) => items.into_iter().map(|item| in_numbers(name, item)).collect(),
        (_, value) => value,
    }
}

fn are_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => one == other,
            _ => are_near(one, other),
        },
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| are_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| are_same(one, other)))
        }
        _ => one == other,
    }
}

/// Equal as doubles, but for the last digits, in which readers of decimal digits may differ.
pub fn are_near(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() <= 1e-12 * one.abs().max(other.abs()),
        _ => one == other,
    }
}
