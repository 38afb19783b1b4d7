//! Priorities against SciPy and statsmodels over the persons themselves, and the rules of the ranking.

use proptest::prelude::*;
use serde_json::Value;

use super::{close, integer, list, number, oracle};
use crate::analyses::{
    priorities::{
        Candidate, EffortSource, Ground, Group, Judged, Priority, PriorityTable, Stated, Subject, prioritise,
    },
    statistics::{Difference, Sums},
};

fn add(group: &mut Group, outcome: Option<i64>, score: Option<i64>, revenue: i64) {
    group.persons += 1;
    group.revenue += revenue;
    if let Some(outcome) = outcome {
        group.outcome_known += 1;
        group.outcome_yes += outcome;
    }
    if let Some(score) = score {
        let Sums { n, sum, squares } = group.scores;
        group.scores = Sums { n: n + 1, sum: sum + score, squares: squares + i128::from(score * score) };
    }
}

fn candidate(subject: &str, touched: Group) -> Candidate<'_> {
    Candidate {
        subject: Subject { spoke: "support", kind: "case_opened", subject },
        touched,
        effort: None,
        limit: None,
    }
}

#[track_caller]
fn check(found: Option<Difference>, expected: &Value, scale: f64) {
    let Some(found) = found else {
        assert!(expected.is_null());
        return;
    };
    for (found, expected) in [found.value, found.low, found.high].into_iter().zip(list(expected)) {
        close(found, scale * number(expected), 1e-9);
    }
}

#[test]
fn drops_are_those_of_statsmodels_and_scipy() {
    let case = oracle("priorities");
    let persons = list(&case["persons"]);
    let subjects = case["subjects"].as_object().expect("subjects");
    let group = |holds: &dyn Fn(&Value) -> bool| {
        let mut group = Group::default();
        for person in persons.iter().filter(|person| holds(person)) {
            add(&mut group, person[1].as_i64(), person[2].as_i64(), integer(&person[3]));
        }
        group
    };
    let touched = |subject: &str| group(&|person| list(&person[0]).iter().any(|it| it == subject));
    let candidates = subjects.keys().map(|subject| candidate(subject, touched(subject)));
    let found = prioritise(candidates, group(&|_| true), 4, 10);
    let fares_worse = subjects.iter().filter(|(_, it)| {
        let drop = if it["outcome"].is_null() { &it["score"] } else { &it["outcome"] };
        drop.get(0).is_some_and(|drop| number(drop) > 0.0)
    });
    assert_eq!(found.shown.len(), fares_worse.count());
    assert_eq!(found.shown[0].subject.subject, "delivery", "made to be the worst");
    for priority in &found.shown {
        let expected = &subjects[priority.subject.subject];
        assert_eq!(priority.reach, integer(&expected["persons"]));
        assert_eq!(priority.value_at_risk, integer(&expected["revenue"]));
        check(priority.outcome_drop, &expected["outcome"], 1.0);
        check(priority.score_drop, &expected["score"], 1.0);
        let (ground, drop, range) = if expected["outcome"].is_null() {
            (Ground::Score, &expected["score"], 4.0)
        } else {
            (Ground::Outcome, &expected["outcome"], 1.0)
        };
        assert_eq!(priority.ground, ground);
        check(Some(priority.score), drop, number(&expected["revenue"]) / range);
    }
}

fn group(persons: i64, yes: i64, revenue: i64) -> Group {
    Group { persons, outcome_yes: yes, outcome_known: persons, revenue, ..Group::default() }
}

fn names<'a>(shown: &[Priority<'a>]) -> Vec<&'a str> {
    shown.iter().map(|it| it.subject.subject).collect()
}

#[test]
fn efforts_and_limits_change_the_rank_and_equals_go_by_name() {
    let everyone = group(1_000, 600, 10_000_000);
    let same = group(100, 30, 1_000_000);
    let candidates = [
        candidate("b", same),
        candidate("a", same),
        Candidate { effort: Some(2), ..candidate("twice the effort", same) },
        Candidate { limit: Some(20), ..candidate("a fifth can be handled", same) },
        candidate("no worse", group(100, 60, 1_000_000)),
        candidate("too few", group(29, 0, 1_000_000)),
        candidate("everybody", everyone),
        candidate("poor", group(100, 30, -5)),
    ];
    let found = prioritise(candidates, everyone, 4, 10);
    assert_eq!(names(&found.shown), ["a", "b", "twice the effort", "a fifth can be handled"]);
    // 570 of 900 less 30 of 100, of a million in minor units.
    close(found.shown[0].score.value, 1_000_000.0 * (570.0 / 900.0 - 0.3), 1e-9);
    close(found.shown[2].worth, found.shown[0].worth / 2.0, 1e-12);
    close(found.shown[3].worth, found.shown[0].worth / 5.0, 1e-12);
    assert_eq!(found.other, Judged { judged: 6, kinds: 0, no_worse: 2, too_few: 2 });
    let fewer = prioritise(candidates, everyone, 4, 1);
    assert_eq!((names(&fewer.shown), fewer.other.kinds), (vec!["a"], 3));
    // More persons than there are: not judged, as long as a retraction is on its way.
    assert_eq!(prioritise([candidate("a", group(2_000, 30, 5))], everyone, 4, 1).other.too_few, 1);
}

#[test]
fn where_no_effort_is_configured_the_mean_of_what_touchpoints_say_decides() {
    let key = |subject: &str| ("support".to_owned(), "case_opened".to_owned(), subject.to_owned());
    let mut table = PriorityTable::default();
    table.add_everyone(group(1_000, 600, 10_000_000));
    // Touchpoints that say an effort, and their sum.
    let subjects =
        [("configured", 9, 90), ("nobody says", 0, 0), ("half up", 2, 5), ("below half", 5, 12), ("nothing", 3, -7)];
    for (subject, efforts, effort) in subjects {
        let subject = Subject { spoke: "support", kind: "case_opened", subject };
        table.add(subject, group(100, 30, 1_000_000));
        table.add(subject, Group { efforts, effort, ..Group::default() });
    }
    let stated = Stated { efforts: [(key("configured"), 4)].into(), ..Stated::default() };
    let shown = |table: &PriorityTable| -> Vec<(String, i64, EffortSource)> {
        let found = table.prioritise(&stated, 4, 10).shown;
        for priority in &found {
            close(priority.worth, priority.score.value / priority.effort as f64, 1e-12);
        }
        found.iter().map(|it| (it.subject.subject.to_owned(), it.effort, it.effort_source)).collect()
    };
    let of = |subject: &str, effort, source| (subject.to_owned(), effort, source);
    let (first, last) = (of("below half", 2, EffortSource::Touchpoints), of("configured", 4, EffortSource::Configured));
    let (nobody, nothing) = (of("nobody says", 1, EffortSource::Assumed), of("nothing", 1, EffortSource::Touchpoints));
    let half_up = of("half up", 3, EffortSource::Touchpoints);
    assert_eq!(shown(&table), [nobody.clone(), nothing.clone(), first.clone(), half_up, last.clone()]);
    // What is taken back is forgotten: nobody says any more what it takes.
    let half_up = Subject { spoke: "support", kind: "case_opened", subject: "half up" };
    table.add(half_up, Group { efforts: -2, effort: -5, ..Group::default() });
    assert_eq!(shown(&table), [of("half up", 1, EffortSource::Assumed), nobody, nothing, first, last]);
}

#[test]
fn a_score_decides_where_the_outcome_tells_nobody_apart() {
    // So many persons, of whom half bought again, all with the same paid; some of the scores by a tenth of a point off.
    let rated = |persons: i64, yes: i64, score: i64| {
        let mut group = Group::default();
        for number in 0..persons {
            add(&mut group, Some(i64::from(number < yes)), Some(score + number % 2), 100);
        }
        group
    };
    let ground = |touched: Group, others: Group| {
        let everyone = touched.and(others);
        let found = prioritise([candidate("a", touched)], everyone, 40, 1);
        found.shown.first().map(|priority| (priority.ground, priority.score.value > 0.0))
    };
    let (low, high) = (15, 45);
    assert_eq!(ground(rated(40, 20, low), rated(40, 20, high)), Some((Ground::Score, true)), "the outcome is flat");
    assert_eq!(
        ground(rated(40, 22, low), rated(40, 20, high)),
        Some((Ground::Score, true)),
        "a little better, or chance"
    );
    assert_eq!(ground(rated(40, 0, low), rated(40, 40, high)), Some((Ground::Outcome, true)), "the outcome is sure");
    assert_eq!(ground(rated(40, 18, high), rated(40, 20, high)), Some((Ground::Outcome, true)), "neither is");
    assert_eq!(ground(rated(40, 20, high), rated(40, 20, low)), None, "more content");
}

proptest! {
    #[test]
    fn no_count_gives_a_figure_that_makes_no_sense(
        counts in prop::collection::vec(prop_oneof![-5_i64..500, any::<i64>()], 18), range in -1_i64..10,
    ) {
        let group = |at: usize| Group {
            persons: counts[at], outcome_yes: counts[at + 1], outcome_known: counts[at + 2],
            scores: Sums { n: counts[at + 3], sum: counts[at + 4], squares: i128::from(counts[at + 5]) },
            revenue: counts[at + 6], efforts: counts[at + 7], effort: counts[at + 8],
        };
        for priority in prioritise([candidate("a", group(0))], group(9), range, 1).shown {
            let Difference { value, low, high } = priority.score;
            prop_assert!(low <= value && value <= high && low.is_finite() && high.is_finite() && priority.worth > 0.0);
        }
    }
}
