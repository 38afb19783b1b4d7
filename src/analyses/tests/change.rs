//! Before and after, against SciPy and statsmodels over the answers themselves.

use serde_json::Value;

use super::{close, integer, list, number, oracle};
use crate::{
    analyses::change::{Change, Movement, Shape, compare},
    model::Accumulator,
};

#[track_caller]
fn check(found: Option<Change>, expected: &Value) {
    let found = found.expect("enough observations");
    let difference = found.difference;
    for (found, expected) in [difference.value, difference.low, difference.high].into_iter().zip(list(expected)) {
        close(found, number(expected), 1e-9);
    }
    close(found.after - found.before, difference.value, 1e-9);
}

fn sum(values: &Value, of: impl Fn(i64) -> Accumulator) -> Accumulator {
    let mut sum = Accumulator::default();
    for value in list(values) {
        sum.add(&of(integer(value)), 1);
    }
    sum
}

#[test]
fn changes_are_those_of_scipy_and_statsmodels() {
    let case = oracle("changes");
    let both = |values: &Value, of: &dyn Fn(i64) -> Accumulator| [sum(&values[0], of), sum(&values[1], of)];

    let [before, after] = both(&case["answers"], &|answer| Accumulator {
        a: i64::from(answer >= 9),
        b: i64::from(answer <= 6),
        ..Accumulator::observe(answer)
    });
    check(compare(&before, &after, Shape::NetPromoter), &case["nps"]);

    let [before, after] = both(&case["milliseconds"], &Accumulator::observe);
    check(compare(&before, &after, Shape::Mean { unit: 86_400_000.0 }), &case["days"]);

    let late = |at: usize| Accumulator {
        n: integer(&case["late"][at][1]),
        a: integer(&case["late"][at][0]),
        ..Accumulator::default()
    };
    check(compare(&late(0), &late(1), Shape::Share), &case["share"]);
}

#[test]
fn a_movement_is_named_where_the_interval_leaves_zero_out() {
    let late = |n, a| Accumulator { n, a, ..Accumulator::default() };
    let movement = |before, after| compare(&before, &after, Shape::Share).map(|change| change.movement);
    assert_eq!(movement(late(100, 40), late(100, 10)), Some(Movement::Down));
    assert_eq!(movement(late(100, 10), late(100, 40)), Some(Movement::Up));
    assert_eq!(movement(late(100, 10), late(100, 12)), Some(Movement::Unclear));
    assert_eq!(movement(late(29, 10), late(100, 12)), None);
    assert_eq!(movement(late(100, 10), late(100, 120)), None);
    let answers = Accumulator { n: 40, a: 30, b: 20, ..Accumulator::default() };
    assert_eq!(compare(&answers, &answers, Shape::NetPromoter), None);
}
