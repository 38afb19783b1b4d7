//! Credits: the published fixture, the oracle's chains solved again for each removal, and the corners of chains.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::Value;

use super::{close, integer, list, number, oracle, whole::WholeTable};
use crate::{
    analyses::{
        attribution::{Attribution, Chain, MARKOV_STEPS_MAX, attribute, attribute_any},
        journeys::Place,
    },
    model::{Accumulator, PathOutcome},
};

fn table(paths: &[(&[&str], PathOutcome, i64)]) -> WholeTable {
    let mut table = WholeTable::default();
    for &(path, end, n) in paths {
        table.add(path, end, &Accumulator::count(n), 1);
    }
    table
}

fn check_sums(attribution: &Attribution<'_>) {
    let credits = attribution.shown.iter().map(|it| it.credits).chain([attribution.other.credits]);
    let mut sums = [0.0; 5];
    for it in credits {
        for (sum, credit) in sums.iter_mut().zip([it.markov, it.first, it.last, it.linear, it.position]) {
            assert!(credit >= 0.0 && credit.is_finite());
            *sum += credit;
        }
    }
    let credited = attribution.credited as f64;
    assert!(sums.iter().all(|sum| (sum - credited).abs() <= 1e-9 * credited), "{sums:?} for {credited}");
}

#[test]
fn the_published_fixture() {
    let paths: [(&[&str], PathOutcome, i64); 4] = [
        (&["G"], PathOutcome::Converted, 2),
        (&["M"], PathOutcome::Converted, 1),
        (&["G", "M"], PathOutcome::Converted, 1),
        (&["G"], PathOutcome::Lost, 1),
    ];
    let table = table(&paths);
    assert_eq!(attribute(&table, 10), None, "four conversions are too few to be published");
    let attribution = attribute_any(&table, 10).expect("consistent counts");
    close(attribution.conversion_chance, 0.8, 1e-15);
    let steps: Vec<_> = attribution.shown.iter().map(|it| (it.step, it.conversions)).collect();
    assert_eq!(steps, [("G", 3), ("M", 2)]);
    for (credit, (effect, markov)) in attribution.shown.iter().zip([(0.75, 2.4), (0.5, 1.6)]) {
        close(credit.removal_effect.expect("a step of the chain"), effect, 1e-15);
        close(credit.credits.markov, markov, 1e-15);
    }
    check_sums(&attribution);
}

#[test]
fn credits_are_those_of_chains_that_are_solved_again_for_each_removal() {
    for case in list(&oracle("attribution")) {
        let mut table = WholeTable::default();
        for path in list(&case["paths"]) {
            let steps: Vec<&str> = list(&path[0]).iter().filter_map(Value::as_str).collect();
            let end = if path[1] == true { PathOutcome::Converted } else { PathOutcome::Lost };
            table.add(&steps, end, &Accumulator::count(integer(&path[2])), 1);
        }
        let attribution = attribute_any(&table, 1_000).expect("consistent counts");
        close(attribution.conversion_chance, number(&case["chance"]), 1e-12);
        assert_eq!(attribution.credited, integer(&case["credited"]));
        // In a chain that is counted from whole journeys the chance is their share.
        close(attribution.conversion_chance, attribution.conversions as f64 / table.ended().n() as f64, 1e-12);
        assert_eq!(attribution.shown.len(), case["steps"].as_object().expect("steps").len());
        for it in &attribution.shown {
            let expected = &case["steps"][it.step];
            close(it.removal_effect.expect("a step of the chain"), number(&expected["effect"]), 1e-11);
            let credits = [
                ("markov", it.credits.markov),
                ("first", it.credits.first),
                ("last", it.credits.last),
                ("linear", it.credits.linear),
                ("position", it.credits.position),
            ];
            for (rule, credit) in credits {
                close(credit, number(&expected[rule]), 1e-10);
            }
        }
        check_sums(&attribution);
        let few = attribute_any(&table, 2).expect("consistent counts");
        assert_eq!((&few.shown[..], few.other.kinds), (&attribution.shown[..2], attribution.shown.len() - 2));
        check_sums(&few);
        check_sums(&attribute_any(&table, 0).expect("consistent counts"));
    }
}

#[test]
fn corners_of_chains() {
    let step = Place::Step;
    // 0 converts; 1 is never reached; 2 and 3 lead to each other for ever; 4 leads to NULL only; 5 leads to itself and converts.
    let mut chain = Chain::new(6);
    for (from, to, n) in [
        (Place::Start, step(0), 4),
        (Place::Start, step(2), 1),
        (Place::Start, step(4), 1),
        (Place::Start, step(5), 4),
        (step(0), Place::Goal, 2),
        (step(0), step(2), 1),
        (step(0), step(4), 1),
        (step(1), Place::Goal, 9),
        (step(2), step(3), 5),
        (step(3), step(2), 5),
        (step(4), Place::Lost, 2),
        (step(5), step(5), 1_000),
        (step(5), Place::Goal, 1),
    ] {
        chain.add(from, to, n);
    }
    let found = chain.removal_effects();
    close(found.conversion_chance, 0.6, 1e-15);
    for (effect, expected) in found.effects.iter().zip([1.0 / 3.0, 0.0, 0.0, 0.0, 0.0, 2.0 / 3.0]) {
        close(*effect, expected, 1e-15);
    }
    assert_eq!(Chain::new(2).removal_effects().effects, [0.0, 0.0]);
    assert!(attribute_any(&WholeTable::default(), 5).is_some_and(|it| it.shown.is_empty() && it.credited == 0));

    // No conversions at all; and conversions without a step, which are nobody's.
    let nothing = table(&[(&["a", "b"], PathOutcome::Lost, 50)]);
    let nothing = attribute_any(&nothing, 5).expect("consistent counts");
    assert!(nothing.shown.iter().all(|it| it.credits == Default::default()));
    let direct = table(&[
        (&[], PathOutcome::Converted, 5),
        (&["a"], PathOutcome::Converted, 40),
        (&["a"], PathOutcome::Lost, 5),
    ]);
    let direct = attribute(&direct, 5).expect("forty conversions");
    assert_eq!((direct.conversions, direct.credited, direct.shown[0].credits.markov), (45, 40, 40.0));
    check_sums(&direct);
    // What was taken back before it was added.
    assert_eq!(
        attribute_any(&table(&[(&["a"], PathOutcome::Converted, 40), (&["b"], PathOutcome::Converted, -1)]), 5),
        None
    );
}

#[test]
fn a_step_that_is_almost_never_left_loses_no_digits() {
    // From a and b it goes on once in 10¹² times, so that a solution by differences from one would keep three digits.
    let mut chain = Chain::new(2);
    let (a, b) = (Place::Step(0), Place::Step(1));
    for (from, to, n) in [
        (Place::Start, a, 1),
        (a, b, 1_000_000_000_000),
        (b, a, 1_000_000_000_000),
        (a, Place::Goal, 1),
        (b, Place::Lost, 3),
    ] {
        chain.add(from, to, n);
    }
    // From a: g/(g + (1 − g)·l) with g and l the chances of leaving by each.
    let (goal, lost) = (1.0 / (1e12 + 1.0), 3.0 / (1e12 + 3.0));
    let expected = goal / (goal + lost - goal * lost);
    close(chain.removal_effects().conversion_chance, expected, 1e-14);
}

proptest! {
    #[test]
    fn credits_sum_to_conversions_in_any_order(
        journeys in prop::collection::vec(
            (prop::collection::vec(0_usize..8, 0..7), any::<bool>(), 1_i64..1_000_000), 1..60,
        ),
    ) {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let add = |table: &mut WholeTable, (path, converted, n): &(Vec<usize>, bool, i64)| {
            let path: Vec<&str> = path.iter().map(|step| names[*step]).collect();
            table.add(&path, if *converted { PathOutcome::Converted } else { PathOutcome::Lost }, &Accumulator::count(*n), 1);
        };
        let (mut forwards, mut backwards) = (WholeTable::default(), WholeTable::default());
        for journey in &journeys { add(&mut forwards, journey); }
        for journey in journeys.iter().rev() { add(&mut backwards, journey); }
        let attribution = attribute_any(&forwards, 3).expect("consistent counts");
        check_sums(&attribution);
        prop_assert_eq!(Some(attribution), attribute_any(&backwards, 3));
    }
}

#[test]
fn more_steps_than_the_chain_takes_are_one_step_of_it() {
    let names: Vec<String> = (0..MARKOV_STEPS_MAX + 50).map(|step| format!("s{step:04}")).collect();
    let mut table = WholeTable::default();
    for (at, name) in names.iter().enumerate() {
        let next = names[(at * 7 + 3) % names.len()].as_str();
        let n = 1 + at as i64;
        table.add(&[name, next], PathOutcome::Converted, &Accumulator::count(n), 1);
        table.add(
            &[next, name, names[(at * 31) % names.len()].as_str()],
            PathOutcome::Lost,
            &Accumulator::count(2 * n),
            1,
        );
    }
    let begin = Instant::now();
    let attribution = attribute(&table, 10).expect("conversions");
    println!("{MARKOV_STEPS_MAX} steps solved in {:?}", begin.elapsed());
    check_sums(&attribution);
    assert_eq!(attribution.other.kinds, names.len() - 10);
    let all = attribute(&table, 1_000).expect("conversions");
    assert_eq!(all.shown.iter().filter(|it| it.removal_effect.is_none()).count(), 51);
    assert_eq!(all.other.kinds, 0);
    assert!(all.other.credits.markov > 0.0, "the chain's one step for many has its credit");
}
