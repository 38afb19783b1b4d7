//! The oracle's own likelihoods against published figures, and that its judgement finds what is wrong.

use serde_json::json;

use super::value::{bg_nbd, comparable, gamma_gamma, of_history};

#[test]
fn likelihoods_of_known_points() {
    // By another program, from the same formulas.
    let at = [0.243, 4.414, 0.793, 2.426];
    for (history, expected) in
        [((0, 0.0, 39.0), BG_NBD[0]), ((2, 30.0, 39.0), BG_NBD[1]), ((23, 39.0, 39.0), BG_NBD[2])]
    {
        let found = bg_nbd(&at, history);
        assert!((found - expected).abs() < 1e-9, "{history:?}: {found}");
    }
    let found = gamma_gamma(&[6.25, 3.74, 1544.0], (3, 12_345));
    assert!((found - GAMMA_GAMMA).abs() < 1e-9, "{found}");
}

const BG_NBD: [f64; 3] = [-0.5554981608414633, -9.456131791245884, -41.23279596831972];
const GAMMA_GAMMA: f64 = -9.00134700054241;

#[test]
fn parameters_that_could_be_likelier_are_a_difference() {
    let histories: Vec<(usize, i32, i32)> = (0..60).map(|at| (at % 3, (at % 3 * 5) as i32, 210)).collect();
    let wanted = json!({
        "metric": "buying",
        "parameters": {"purchases": {"n": 60, "convergence": null}, "spend": {"n": 0, "convergence": "too_few"}},
        "histories": histories,
        "spending": [],
    });
    let set = |values: [f64; 4]| {
        let likelihood: f64 = histories.iter().map(|history| of_history(&values, *history)).sum();
        let parameters: Vec<_> = values.iter().map(|value| json!({"value": value})).collect();
        let purchases =
            json!({"n": 60, "convergence": "converged", "parameters": parameters, "log_likelihood": likelihood});
        let spend = json!({"n": 0, "convergence": "too_few"});
        json!({"metric": "buying", "parameters": {"purchases": purchases, "spend": spend}})
    };
    let judged = |actual: serde_json::Value| {
        let of = |value| [("key".to_owned(), value)].into();
        let (expected, actual) = comparable(&of(wanted.clone()), &of(actual));
        (expected["key"]["parameters"]["purchases"].clone(), actual["key"]["parameters"]["purchases"].clone())
    };
    let (expected, actual) = judged(set([0.2, 4.0, 0.8, 2.4]));
    assert_ne!(expected["judged"], actual["judged"], "{actual}");
    let mut wrong = set([0.2, 4.0, 0.8, 2.4]);
    wrong["parameters"]["purchases"]["log_likelihood"] = json!(-1.0);
    let (_, actual) = judged(wrong);
    assert!(actual["judged"].as_str().unwrap().starts_with("a likelihood of -1"), "{actual}");
}
