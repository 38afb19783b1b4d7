//! Purchases and amounts: published histories, and fits against those of the Python package `lifetimes`.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::Value;

use super::{close, integer, list, number, oracle};
use crate::{
    analyses::buying::{
        Convergence, Parameter,
        month::BuyingCounts,
        purchases::{History, PurchaseFitting, PurchaseModel},
        spend::{SpendFitting, SpendModel, Spending},
    },
    model::{Accumulator, Day, PurchaseElement},
};

/// Of the paper, fitted to CDNOW's customers.
const CDNOW: PurchaseModel = PurchaseModel { r: 0.243, alpha_weeks: 4.414, a: 0.793, b: 2.426 };

struct Customer {
    history: History,
    spending: Spending,
}

fn customers(case: &Value) -> Vec<Customer> {
    let customer = |row: &Value| {
        let whole = |at: usize| integer(&row[at]) as u32;
        Customer {
            history: History { repeats: whole(0), last_days: whole(1), age_days: whole(2) },
            spending: Spending { repeats: whole(0), total: integer(&row[3]) },
        }
    };
    list(&case["customers"]).iter().map(customer).collect()
}

fn check_parameter(found: Parameter, expected: f64) {
    close(found.value / expected, 1.0, 1e-4);
    let (low, high) = found.interval.expect("an interval");
    assert!(low < expected && expected < high);
}

#[test]
fn published_histories() {
    for (repeats, last, age, expected) in
        [(2, 30.43, 38.86, 0.726_579), (1, 1.71, 38.86, 0.212_101), (23, 39.0, 39.0, 0.968_555)]
    {
        let found = CDNOW.alive_after_weeks(repeats, last, age);
        assert!((found.probability - expected).abs() < 5e-7, "{}", found.probability);
        assert!(!found.one_time_buyer);
    }
    let once = CDNOW.alive(History { repeats: 0, last_days: 0, age_days: 10_000 });
    assert!(once.one_time_buyer && (once.probability - 1.0).abs() < 1e-15, "whatever the silence, and it says so");
    // Bought daily for years, then silent for years: gone, and no overflow on the way.
    let gone = History { repeats: 3_000, last_days: 3_000, age_days: 9_000 };
    assert!(CDNOW.alive(gone).probability < 1e-300 && CDNOW.expected_purchases(gone, 365) < 1e-300);
}

#[test]
fn purchases_are_fitted_as_lifetimes_does() {
    let case = oracle("buying");
    let customers = customers(&case);
    let fit = PurchaseFitting::new(customers.iter().map(|it| (it.history, 1))).expect("customers").finish();
    assert_eq!((fit.convergence, fit.n), (Convergence::Converged, 400));
    for (found, name) in fit.parameters.into_iter().zip(["r", "alpha", "a", "b"]) {
        check_parameter(found, number(&case["purchases"][name]));
        // The package takes its curvature by differences, too.
        let error = found.standard_error.expect("an error");
        close(error / number(&case["errors"][name]), 1.0, 0.01);
    }
    let model = fit.model();
    for (at, customer) in customers.iter().step_by(16).enumerate() {
        close(model.alive(customer.history).probability, number(&case["alive"][at]), 1e-4);
        close(model.expected_purchases(customer.history, 7 * 26), number(&case["expected"][at]), 1e-4);
    }
    println!("{fit:?}");
}

#[test]
fn amounts_are_fitted_as_lifetimes_does() {
    let case = oracle("buying");
    let customers = customers(&case);
    let fit = SpendFitting::new(customers.iter().map(|it| (it.spending, 1))).expect("customers").finish();
    assert_eq!((fit.convergence, fit.left_out), (Convergence::Converged, 0));
    // It was given major units.
    for (found, (name, unit)) in fit.parameters.into_iter().zip([("p", 1.0), ("q", 1.0), ("v", 100.0)]) {
        check_parameter(found, unit * number(&case["spend"][name]));
    }
    for (at, customer) in customers.iter().step_by(16).enumerate() {
        let found = fit.model().expected(customer.spending).expect("a finite mean");
        close(found.amount / (100.0 * number(&case["amounts"][at])), 1.0, 1e-4);
        assert_eq!(found.one_time_buyer, customer.history.repeats == 0);
    }
    assert_eq!(SpendModel { p: 1.0, q: 0.9, nu: 5.0 }.expected(Spending { repeats: 0, total: 0 }), None);
    println!("{fit:?}");
}

#[test]
fn amounts_that_tell_nobody_apart_are_fitted_as_well_as_those_of_one_mean() {
    for seed in 0..12_u64 {
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut exponential = || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            -libm::log(((dice >> 11) as f64 + 0.5) / (1_u64 << 53) as f64)
        };
        let customers: Vec<Spending> = (0..10_000)
            .map(|customer| {
                let repeats = customer % 3 + 1;
                Spending { repeats, total: (0..repeats).map(|_| exponential() * 5_000.0).sum::<f64>() as i64 + 1 }
            })
            .collect();
        let fit = SpendFitting::new(customers.iter().map(|it| (*it, 1))).expect("customers").finish();
        // What the likelihood comes to as q and ν grow: all have the same mean p·θ, θ = ν/q. With the shape p, the likeliest θ is known.
        let of_one_mean = |p: f64| {
            let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
                customers.iter().map(|it| of(f64::from(it.repeats), it.total as f64)).sum()
            };
            let theta = sum(&|_, total| total) / sum(&|x, _| p * x);
            sum(&|x, total| {
                (p * x - 1.0) * libm::log(total / x) + p * x * libm::log(x / theta)
                    - total / theta
                    - libm::lgamma(p * x)
            })
        };
        let (mut low, mut high) = (0.5, 2.0);
        for _ in 0..60 {
            let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
            if of_one_mean(a) < of_one_mean(b) { low = a } else { high = b }
        }
        let missing = of_one_mean(low) - fit.log_likelihood;
        assert!(missing < 1e-3, "{seed}: by {missing} less likely: {fit:?}");
        // Whether there is something else in them, or nothing at all.
        let is_told = fit.parameters[1].value < 1e5;
        assert!(is_told || fit.convergence == Convergence::Undetermined, "{seed}: {fit:?}");
    }
}

#[test]
fn expected_purchases_have_no_gap_and_grow_with_the_horizon() {
    let history = History { repeats: 3, last_days: 100, age_days: 150 };
    let once = History { repeats: 0, last_days: 0, age_days: 150 };
    let expected = |a: f64, history| PurchaseModel { a, b: 0.5, ..CDNOW }.expected_purchases(history, 180);
    for (at, history) in [(1.0, history), (1.0, once), (0.5, once)] {
        let (left, middle, right) = (expected(at - 0.01, history), expected(at, history), expected(at + 0.01, history));
        assert!(left > middle && middle > right, "{left} {middle} {right}");
        close(middle, (left + right) / 2.0, 1e-4);
    }
    let mut before = 0.0;
    for days in [1, 10, 100, 1_000, 10_000] {
        let purchases = CDNOW.expected_purchases(history, days);
        assert!(purchases > before);
        before = purchases;
    }
}

#[test]
fn too_few_and_contradicting_customers_are_not_fitted() {
    let bought = |repeats, last_days, age_days| History { repeats, last_days, age_days };
    let once = (bought(0, 0, 100), 1_000);
    assert!(PurchaseFitting::new([once, (bought(1, 50, 100), 29)]).is_none());
    assert!(PurchaseFitting::new([once, (bought(1, 50, 100), 40), (bought(2, 60, 100), -1)]).is_none());
    assert!(PurchaseFitting::new([once, (bought(1, 101, 100), 40)]).is_none());
    assert!(SpendFitting::new([(Spending { repeats: 1, total: 0 }, 40)]).is_none());
    assert!(SpendFitting::new([(Spending { repeats: 0, total: 0 }, 4_000)]).is_none());
    // Everybody the same: nothing says how far they differ, and the fit says so.
    let fit = PurchaseFitting::new([(bought(5, 80, 100), 500)]).expect("customers").finish();
    assert_ne!(fit.convergence, Convergence::Converged);
    assert!(fit.parameters.iter().all(|it| it.value.is_finite()));
    let fit = SpendFitting::new([(Spending { repeats: 2, total: 50 }, 500)]).expect("customers").finish();
    assert_ne!(fit.convergence, Convergence::Converged);
    assert_eq!(fit.frequency_correlation, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn neither_order_nor_detours_nor_pauses_show(seed in any::<u64>()) {
        let case = oracle("buying");
        let mut counts: Vec<(History, i64)> = customers(&case).iter().map(|it| (it.history, 1)).collect();
        let expected = PurchaseFitting::new(counts.clone()).expect("customers").finish();
        let detour = History { repeats: 4, last_days: seed as u32 % 100, age_days: 100 };
        counts.extend([(detour, 5), (detour, -5)]);
        counts.sort_by_cached_key(|it| xxhash_rust::xxh3::xxh3_64_with_seed(format!("{it:?}").as_bytes(), seed));
        let mut fitting = PurchaseFitting::new(counts).expect("customers");
        let mut pauses = 0;
        let fit = loop {
            if let Some(fit) = fitting.advance(&mut (1 + seed as usize % 97)) { break fit; }
            pauses += 1;
        };
        prop_assert_eq!(fit, expected);
        prop_assert!(pauses > 3);
    }

    #[test]
    fn the_slope_is_that_of_the_likelihood(a in 0.1_f64..5.0, b in 0.1_f64..5.0, r in 0.1_f64..5.0) {
        // At the fit, no step in any direction is likelier.
        let case = oracle("buying");
        let customers = customers(&case);
        let fit = PurchaseFitting::new(customers.iter().map(|it| (it.history, 1))).expect("customers").finish();
        let best: f64 = customers.iter().map(|it| likelihood(&fit.model(), it.history)).sum();
        close(best, fit.log_likelihood, 1e-10);
        let other = PurchaseModel { r, alpha_weeks: fit.model().alpha_weeks, a, b };
        prop_assert!(customers.iter().map(|it| likelihood(&other, it.history)).sum::<f64>() < best);
    }
}

/// The logarithm of a customer's likelihood, written down as the paper has it.
fn likelihood(model: &PurchaseModel, history: History) -> f64 {
    let gamma = libm::lgamma;
    let beta = |a: f64, b: f64| gamma(a) + gamma(b) - gamma(a + b);
    let PurchaseModel { r, alpha_weeks: alpha, a, b } = *model;
    let (x, last, age) =
        (f64::from(history.repeats), f64::from(history.last_days) / 7.0, f64::from(history.age_days) / 7.0);
    let rate = gamma(r + x) - gamma(r) + r * alpha.ln();
    let alive = beta(a, b + x) - beta(a, b) - (r + x) * (alpha + age).ln();
    let left =
        if x > 0.0 { (beta(a + 1.0, b + x - 1.0) - beta(a, b) - (r + x) * (alpha + last).ln()).exp() } else { 0.0 };
    rate + (alive.exp() + left).ln()
}

/// Prints what a month's close costs, in one go and by step; a machine's patience is asserted nowhere.
#[test]
fn the_cost_of_a_million_customers() {
    let mut counts = Vec::new();
    for age in 1..=104_u32 {
        for repeats in 0..30_u32 {
            for last in (0..=age).step_by(2).filter(|last| (repeats == 0) == (*last == 0)) {
                let n = 1 + 40 * i64::from((30 - repeats) * (30 - repeats)) / i64::from(8 * (1 + repeats)).pow(2);
                counts.push((History { repeats, last_days: 7 * last, age_days: 7 * age }, n));
            }
        }
    }
    let customers: i64 = counts.iter().map(|(_, n)| n).sum();
    let distinct = counts.len();
    let begin = Instant::now();
    let mut fitting = PurchaseFitting::new(counts).expect("customers");
    println!("{distinct} histories are made ready in {:?}", begin.elapsed());
    let (begin, mut longest) = (Instant::now(), std::time::Duration::ZERO);
    let fit = loop {
        let begin = Instant::now();
        let fit = fitting.advance(&mut 100_000);
        longest = longest.max(begin.elapsed());
        if let Some(fit) = fit {
            break fit;
        }
    };
    println!(
        "{customers} customers, {distinct} histories: {:?} in {} evaluations, the longest {longest:?}, {:?}",
        begin.elapsed(),
        fit.evaluations,
        fit.convergence
    );
}

#[test]
fn too_many_histories_are_taken_by_the_week_of_the_first_purchase() {
    let monday = Day::from_civil(2026, 1, 5);
    let mut counts = BuyingCounts::default();
    let mut bought = |repeats, first: i32, after: i32, n| {
        let element = PurchaseElement::of_history(repeats, monday.plus(first), monday.plus(first + after));
        counts.add(element, &Accumulator { n, ..Accumulator::default() });
    };
    for first in 0..14 {
        bought(0, first, 0, 10);
        bought(2, first, 20, 1);
    }
    // Of whom nothing is left.
    bought(5, 3, 9, 1);
    bought(5, 3, 9, -1);
    // The last is after the middle of the week by which the first is taken.
    bought(1, 13, 3, 1);
    let close = monday.plus(16);
    let at = |exact_max| {
        let histories = counts.histories_at(close, exact_max);
        (histories.len(), histories.iter().map(|(_, n)| n).sum::<i64>(), histories)
    };
    let (different, customers, exact) = at(29);
    assert_eq!((different, customers), (29, 155));
    let history = |repeats, last_days, age_days| History { repeats, last_days, age_days };
    assert!(exact.contains(&(history(2, 16, 16), 1)), "nobody is younger than their purchases");
    assert!(exact.contains(&(history(0, 0, 16), 10)) && exact.contains(&(history(1, 3, 3), 1)), "{exact:?}");
    let (_, customers, by_week) = at(28);
    assert_eq!(customers, 155);
    let of_weeks = [(history(0, 0, 6), 70), (history(0, 0, 13), 70), (history(1, 4, 6), 1), (history(2, 18, 18), 14)];
    assert_eq!(by_week, of_weeks);
}
