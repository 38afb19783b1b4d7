//! What the analyses say, against other ways to compute it: naive recounts here, `tests/analyses/oracle.py` for the formulas.

mod attribution;
mod balance;
mod buying;
mod change;
mod drivers;
mod journeys;
mod priorities;
mod range;
mod scorecards;
mod statistics;
pub mod whole;

use serde_json::Value;

/// A part of what the oracle computed.
fn oracle(part: &str) -> Value {
    let all: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/analyses.json")).expect("the oracle wrote JSON");
    all[part].clone()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn integer(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no integer"))
}

#[track_caller]
fn close(actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance * expected.abs().max(1.0), "{actual} is not {expected}");
}
