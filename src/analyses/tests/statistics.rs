//! Intervals against SciPy and statsmodels, which computed them from raw samples.

use super::{close, integer, list, number, oracle};
use crate::analyses::statistics::{
    Difference, Sums, difference_of_means, difference_of_shares, student_975, student_9995, wilson_interval,
};

fn sums(value: &serde_json::Value) -> Sums {
    Sums { n: integer(&value[0]), sum: integer(&value[1]), squares: i128::from(integer(&value[2])) }
}

#[test]
fn differences_of_shares_are_those_of_statsmodels() {
    for case in list(&oracle("shares")) {
        let side = |name: &str| (integer(&case[name][0]), integer(&case[name][1]));
        let (first, second) = (side("first"), side("second"));
        let difference = difference_of_shares(first, second).expect("shares");
        close(difference.value, number(&case["value"]), 1e-12);
        close(difference.low, number(&case["low"]), 1e-9);
        close(difference.high, number(&case["high"]), 1e-9);
        let (low, high) = wilson_interval(first.0, first.1).expect("a share");
        close(low, number(&case["wilson"][0]), 1e-9);
        close(high, number(&case["wilson"][1]), 1e-9);
        assert_eq!(difference_of_shares(second, first), Some(difference.reversed()));
    }
    for (first, second) in [((-1, 3), (1, 3)), ((1, 3), (4, 3)), ((0, 0), (1, 3))] {
        assert_eq!(difference_of_shares(first, second), None);
    }
}

#[test]
fn published_examples_of_newcombe() {
    // Table II of the paper, method 10: contrasts (a) 56/70 − 48/80 and (h) 10/10 − 0/10.
    let rounded = |it: Difference| [it.low, it.high].map(|end| (end * 1e4).round() / 1e4);
    assert_eq!(difference_of_shares((56, 70), (48, 80)).map(rounded), Some([0.0524, 0.3339]));
    assert_eq!(difference_of_shares((10, 10), (0, 10)).map(rounded), Some([0.6075, 1.0]));
}

#[test]
fn differences_of_means_are_those_of_scipy() {
    for case in list(&oracle("means")) {
        let difference = difference_of_means(sums(&case["first"]), sums(&case["second"])).expect("means");
        close(difference.value, number(&case["value"]), 1e-12);
        close(difference.low, number(&case["low"]), 1e-9);
        close(difference.high, number(&case["high"]), 1e-9);
    }
    let same = Sums { n: 40, sum: 40, squares: 40 };
    assert_eq!(difference_of_means(same, same), None, "without any spread nothing says how sure one may be");
    assert_eq!(difference_of_means(Sums { n: 1, ..same }, same), None);
    // A side that contradicts itself for a moment.
    assert_eq!(difference_of_means(Sums { n: -4, ..same }, same), None);
}

#[test]
fn students_distribution_is_that_of_scipy() {
    for case in list(&oracle("students")) {
        close(student_975(number(&case[0])), number(&case[1]), 1e-10);
    }
}

#[test]
fn the_far_percentiles_of_student_are_those_of_printed_tables() {
    for (freedom, printed) in [(1.0, 636.619), (7.0, 5.408), (9.0, 4.781), (11.0, 4.437), (30.0, 3.646)] {
        close(student_9995(freedom), printed, 6e-4);
    }
}
