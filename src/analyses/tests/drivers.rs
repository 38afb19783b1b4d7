//! Correlations and relative weights against SciPy and NumPy, which computed them from the persons.

use proptest::prelude::*;
use serde_json::Value;

use super::{close, integer, list, number, oracle};
use crate::analyses::drivers::Moments;

fn persons(value: &Value) -> Vec<Vec<Option<i64>>> {
    list(value).iter().map(|person| list(person).iter().map(Value::as_i64).collect()).collect()
}

fn moments(persons: &[Vec<Option<i64>>]) -> Moments {
    let mut moments = Moments::new(persons[0].len());
    for person in persons {
        moments.add(person, 1);
    }
    moments
}

#[test]
fn correlations_are_those_of_scipy() {
    let case = oracle("drivers");
    let moments = moments(&persons(&case["persons"]));
    for pair in list(&case["pairs"]) {
        let (i, j) = (integer(&pair["i"]) as usize, integer(&pair["j"]) as usize);
        let found = moments.correlation(i, j).expect("enough persons");
        assert_eq!(found.n, integer(&pair["n"]));
        for (found, name) in [(found.r, "r"), (found.low, "low"), (found.high, "high")] {
            close(found, number(&pair[name]), 1e-12);
        }
        assert_eq!(moments.correlation(j, i), Some(found));
    }
    assert_eq!(moments.correlation(3, 5), None, "a constant measure");
    assert_eq!(moments.correlation(4, 5), None, "twenty persons");
    assert_eq!(moments.correlation(9, 5), None, "a measure that does not exist");
}

#[test]
fn weights_are_those_of_numpy_and_sum_to_the_explained_part() {
    let case = oracle("drivers");
    let moments = moments(&persons(&case["persons"]));
    let found = moments.relative_weights(&[0, 1, 2, 3, 4], 5).expect("drivers");
    assert_eq!((&found.left_out[..], found.repaired_from), (&[3, 4][..], None));
    let n_min = list(&case["pairs"]).iter().map(|pair| integer(&pair["n"])).min();
    assert_eq!(Some(found.n_min), n_min);
    for ((driver, weight), (at, expected)) in found.weights.iter().zip(list(&case["weights"]).iter().enumerate()) {
        assert_eq!(*driver, at);
        close(*weight, number(expected), 1e-11);
    }
    close(found.r_squared, number(&case["r_squared"]), 1e-11);
    // The order in which drivers are named does not matter; the outcome is no driver of itself.
    assert_eq!(moments.relative_weights(&[5, 4, 2, 3, 1, 0, 0], 5), Some(found));
    assert_eq!(moments.relative_weights(&[3, 4], 5), None);
    // One driver alone: its squared correlation.
    let alone = moments.relative_weights(&[0], 5).expect("a driver");
    close(alone.r_squared, moments.correlation(0, 5).expect("persons").r.powi(2), 1e-12);
}

#[test]
fn correlations_that_contradict_each_other_are_repaired_and_it_is_said() {
    let case = oracle("repaired");
    let found = moments(&persons(&case["persons"])).relative_weights(&[0, 1], 2).expect("drivers");
    close(found.repaired_from.expect("contradicting correlations"), number(&case["smallest"]), 1e-11);
    // Near the floor, the inverse takes a thousandth of the digits.
    for ((_, weight), expected) in found.weights.iter().zip(list(&case["weights"])) {
        close(*weight, number(expected), 1e-7);
    }
    assert!(found.r_squared <= 1.0 + 1e-9);
}

#[test]
fn drivers_that_nobody_has_together_are_not_weighed_together() {
    // 0 and 1 were asked of different people, 2 of all: 0 has more persons and stays.
    let persons: Vec<Vec<Option<i64>>> = (0..100_i64)
        .map(|at| {
            let odd = at % 7 - at % 3;
            vec![(at < 60).then_some(at % 10), (at >= 60).then_some(at % 10), Some(odd), Some(at % 10 + odd + at % 2)]
        })
        .collect();
    let found = moments(&persons).relative_weights(&[0, 1, 2], 3).expect("drivers");
    assert_eq!(found.left_out, [1]);
    assert_eq!(found.weights.iter().map(|(driver, _)| *driver).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn two_drivers_that_say_the_same_share_its_weight() {
    let persons: Vec<Vec<Option<i64>>> =
        (0..50_i64).map(|at| vec![Some(at % 10), Some(3 * (at % 10) + 1), Some(at % 10 + at % 7)]).collect();
    let moments = moments(&persons);
    let found = moments.relative_weights(&[0, 1], 2).expect("drivers");
    assert!(found.repaired_from.is_some_and(|smallest| smallest.abs() < 1e-12));
    close(found.weights[0].1, found.weights[1].1, 1e-9);
    close(found.r_squared, moments.correlation(0, 2).expect("persons").r.powi(2), 1e-5);
}

#[test]
fn sums_beyond_what_integers_hold_are_no_figure_that_makes_no_sense() {
    let mut moments = Moments::new(2);
    for at in 0..40 {
        moments.add(&[Some(i64::MAX - at), Some(i64::MIN + at)], 1);
    }
    assert!(moments.correlation(0, 1).is_none_or(|it| (-1.0..=1.0).contains(&it.r)));
    moments.add(&[Some(5), Some(3)], -39);
    assert_eq!(moments.correlation(0, 1), None);
}

proptest! {
    #[test]
    fn persons_come_and_go_in_any_order(
        persons in prop::collection::vec(prop::collection::vec(prop::option::of(-1_000_000_000_000_i64..1_000_000_000_000), 4), 1..80),
        others in prop::collection::vec(prop::collection::vec(prop::option::of(any::<i64>()), 4), 0..10),
    ) {
        let expected = moments(&persons);
        let mut backwards = Moments::new(4);
        for other in &others { backwards.add(other, 1); }
        for person in persons.iter().rev() { backwards.add(person, 1); }
        for other in &others { backwards.add(other, -1); }
        prop_assert_eq!(&backwards, &expected);
        let mut merged = Moments::new(4);
        let (one, two) = persons.split_at(persons.len() / 2);
        for part in [one, two].into_iter().filter(|part| !part.is_empty()) { merged.merge(&moments(part), 1); }
        prop_assert_eq!(&merged, &expected);
        merged.merge(&expected, -1);
        prop_assert!(merged.is_zero());
        for outcome in 0..4 {
            if let Some(found) = expected.relative_weights(&[0, 1, 2, 3], outcome) {
                let sum: f64 = found.weights.iter().map(|(_, weight)| weight).sum();
                prop_assert!((sum - found.r_squared).abs() < 1e-12 && found.r_squared <= 1.0 + 1e-6);
                prop_assert!(found.weights.iter().all(|(_, weight)| *weight >= 0.0));
            }
        }
    }
}
