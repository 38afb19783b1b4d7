//! CDNOW's customers, on which models of buying are published: the hub fits what the Python package `lifetimes` fits.
//!
//! The customers are the package's, which `tests/run` fetches; what it fits to them (`tests/analyses/oracle.py`) is in
//! `tests/fixtures/analyses.json`.

use std::path::{Path, PathBuf};

use insight_hub::{
    analyses::buying::{
        Convergence,
        month::BuyingCounts,
        purchases::{History, PurchaseFitting},
        spend::{SpendFitting, Spending},
    },
    model::{Accumulator, Day, PurchaseElement},
};
use serde_json::Value;

/// Where the customers are; `None` where `tests/run` could not fetch them, and has said and counted so.
fn folder() -> Option<PathBuf> {
    let set = std::env::var_os("INSIGHT_HUB_TEST_CDNOW");
    if set.as_ref().is_some_and(|set| set == "none") {
        return None;
    }
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-cache/cdnow");
    let folder = set.map_or_else(usual, PathBuf::from);
    assert!(
        folder.join("cdnow_customers_summary.csv").exists(),
        "CDNOW's customers are not in {}: run `tests/run` once, which fetches them (or set INSIGHT_HUB_TEST_CDNOW)",
        folder.display()
    );
    Some(folder)
}

/// The numbers of each customer's line, without the customer's own.
fn customers(folder: &Path, file: &str) -> Vec<Vec<f64>> {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let numbers = |line: &str| line.split(',').skip(1).map(|number| number.trim().parse().unwrap()).collect();
    let customers: Vec<Vec<f64>> = text.lines().skip(1).filter(|line| !line.trim().is_empty()).map(numbers).collect();
    assert_eq!(customers.len(), 2_357, "{file}");
    customers
}

fn what_the_package_fits() -> Value {
    let all: Value = serde_json::from_str(include_str!("../fixtures/analyses.json")).unwrap();
    all["cdnow"].clone()
}

#[track_caller]
fn within(found: f64, expected: &Value, part: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((found / expected - 1.0).abs() <= part, "{found} is not {expected}");
}

#[test]
fn cdnows_customers_buy_as_the_package_says() {
    let Some(folder) = folder() else { return };
    let expected = what_the_package_fits();
    // Weeks with two digits, of which each was a number of days.
    let days = |weeks: f64| (7.0 * weeks).round() as u32;
    let histories: Vec<History> = customers(&folder, "cdnow_customers_summary.csv")
        .iter()
        .map(|it| History { repeats: it[0] as u32, last_days: days(it[1]), age_days: days(it[2]) })
        .collect();
    let fit = PurchaseFitting::new(histories.iter().map(|history| (*history, 1))).unwrap().finish();
    println!("{fit:?}");
    assert_eq!((fit.convergence, fit.n), (Convergence::Converged, 2_357));
    for (found, name) in fit.parameters.iter().zip(["r", "alpha", "a", "b"]) {
        within(found.value, &expected["purchases"][name], 0.01);
    }
    let alive: Vec<f64> = expected["alive"].as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect();
    let model = fit.model();
    assert_eq!(alive.len(), histories.len().div_ceil(5));
    for (history, expected) in histories.iter().step_by(5).zip(alive) {
        let found = model.alive(*history);
        assert!((found.probability - expected).abs() <= 1e-3, "{history:?}: {found:?}, not {expected}");
    }
}

#[test]
fn cdnows_customers_spend_as_the_package_says() {
    let Some(folder) = folder() else { return };
    let expected = what_the_package_fits();
    let spendings = customers(&folder, "cdnow_customers_summary_with_transactions.csv")
        .into_iter()
        .map(|it| Spending { repeats: it[0] as u32, total: (100.0 * it[0] * it[3]).round() as i64 });
    let fit = SpendFitting::new(spendings.map(|spending| (spending, 1))).unwrap().finish();
    println!("{fit:?}");
    assert_eq!((fit.convergence, fit.n + fit.left_out), (Convergence::Converged, 946));
    for (found, (name, unit)) in fit.parameters.iter().zip([("p", 1.0), ("q", 1.0), ("v", 100.0)]) {
        within(found.value / unit, &expected["spend"][name], 0.01);
    }
}

/// As the hub counts them: by the day of the first purchase, in weeks to the last, by buckets of what they spent.
#[test]
fn cdnows_customers_counted_in_weeks_buy_and_spend_as_the_package_says() {
    let Some(folder) = folder() else { return };
    let expected = what_the_package_fits();
    // The calibration period ends on 30 September 1997.
    let end = Day(10_134);
    let mut counts = BuyingCounts::default();
    for it in customers(&folder, "cdnow_customers_summary.csv") {
        let days = |weeks: f64| (7.0 * weeks).round() as i32;
        let first = end.plus(-days(it[2]));
        let element = PurchaseElement::of_history(it[0] as u32, first, first.plus(days(it[1])));
        counts.add(element, &Accumulator::count(1));
    }
    for it in customers(&folder, "cdnow_customers_summary_with_transactions.csv").iter().filter(|it| it[0] > 0.0) {
        let (element, add) = PurchaseElement::of_spending(it[0] as u32, (100.0 * it[0] * it[3]).round() as i64);
        counts.add(element, &add);
    }
    let mut fitting = counts.fitting(end);
    let found = fitting.advance(&mut usize::MAX.clone()).expect("all of it at once");
    let (purchases, spend) = (found.purchases.fit.as_ref().unwrap(), found.spend.fit.as_ref().unwrap());
    println!("{purchases:?}");
    assert_eq!((purchases.convergence, spend.convergence), (Convergence::Converged, Convergence::Converged));
    for (found, name) in purchases.parameters.iter().zip(["r", "alpha", "a", "b"]) {
        println!("{name}: {}", found.value / expected["purchases"][name].as_f64().unwrap() - 1.0);
        within(found.value, &expected["purchases"][name], 0.01);
    }
    let alive: Vec<f64> = expected["alive"].as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect();
    let model = purchases.model();
    let furthest = customers(&folder, "cdnow_customers_summary.csv")
        .iter()
        .step_by(5)
        .zip(alive)
        .map(|(it, expected)| (model.alive_after_weeks(it[0] as u32, it[1], it[2]).probability - expected).abs())
        .fold(0.0, f64::max);
    println!("P(alive) within {furthest}");
    assert!(furthest <= 1e-3, "P(alive) differs by {furthest}");
    for (found, (name, unit)) in spend.parameters.iter().zip([("p", 1.0), ("q", 1.0), ("v", 100.0)]) {
        within(found.value / unit, &expected["spend"][name], 0.01);
    }
}
