//! The scorecards of two departments by hand.

use std::collections::BTreeMap;

use super::{close, whole::WholeTable};
use crate::{
    analyses::{
        contacts::{Contacts, Credited},
        drivers::PairSums,
        priorities::{Group, PriorityTable, Stated, Subject},
        scorecards::{Department, MonthOf, PRIORITIES, Promises, Scorecard, scorecard},
        statistics::Sums,
    },
    model::{Accumulator, AlertCause, ContactElement, Measure, Outcome, PathOutcome, contact_touchpoint},
};

/// What a month is read from.
#[derive(Default)]
struct Known {
    contacts: Contacts,
    credited: Credited,
    department: Department,
    priorities: PriorityTable,
    stated: Stated,
    promises: Promises,
    metric_alerts: i64,
    arrived: BTreeMap<Outcome, i64>,
}

impl Known {
    fn card(&self, spoke: &str) -> Option<Scorecard<'_>> {
        let Known { contacts, credited, department, priorities, stated, promises, metric_alerts, arrived } = self;
        let (promises, metric_alerts, arrived) = (*promises, *metric_alerts, arrived.clone());
        let of = MonthOf { contacts, credited, department, priorities, stated, promises, metric_alerts, arrived };
        scorecard(of, spoke)
    }

    fn touchpoints(&mut self, name: &str, n: i64, cost: i64) {
        for _ in 0..n {
            self.contacts.add(name, ContactElement::Touchpoints, &contact_touchpoint(cost, 1, false));
        }
    }
}

fn with_a_touchpoint() -> Known {
    let mut known = Known::default();
    known.touchpoints("support:case_replied:phone", 1, 0);
    known
}

#[test]
fn a_department_is_the_sum_of_its_kinds_of_contact() {
    let mut known = Known::default();
    known.touchpoints("support:case_opened:phone", 10, 30);
    known.touchpoints("support:case_replied:phone", 5, 20);
    known.touchpoints("sales:visit_made:", 20, 80);
    let promise = |on_time: i64| Accumulator { a: on_time, ..Accumulator::count(1) };
    for on_time in [1, 1, 0] {
        known.contacts.add("support:case_replied:phone", ContactElement::Promises, &promise(on_time));
    }
    known.contacts.add("support:case_opened:phone", ContactElement::Scores, &Accumulator::observe(2));
    let without = known.card("support").expect("a scorecard");
    assert_eq!((without.contribution, without.net), (None, None));
    assert_eq!(known.card("marketing"), None);
    let mut journeys = WholeTable::default();
    let converted = Accumulator::observe_distribution(1_000);
    journeys.add(&["sales:visit_made:", "support:case_opened:phone"], PathOutcome::Converted, &converted, 40);
    journeys.add(&["sales:visit_made:"], PathOutcome::Lost, &Accumulator::count(1), 10);
    known.credited = Credited::of([&*journeys]);
    let found = known.card("support").expect("a scorecard");
    assert_eq!((found.touchpoints, found.cases, found.promises, found.kept), (15, 10, 3, 2));
    assert_eq!((found.scores.n, found.scores.sum, found.score), (1, 2, None));
    // Either step leads to every purchase: half of 40 each. Of costs of 300 + 100 + 1600, a fifth.
    close(found.credit, 20.0, 1e-12);
    close(found.contribution.expect("credits"), 0.5, 1e-12);
    close(found.cost, 0.2, 1e-12);
    close(found.net.expect("credits"), 0.3, 1e-12);
}

#[test]
fn its_failures_are_compared_once_there_are_thirty_persons_on_either_side() {
    let mut known = with_a_touchpoint();
    let add = |known: &mut Known, failed: bool, cases: i64, score: Option<i64>| {
        let side = known.department.side(failed);
        side.cases = side.cases.and(Sums::of(&Accumulator::observe(cases)));
        let scores = score.map_or(Sums::default(), |score| Sums::of(&Accumulator::observe(score)));
        side.scores = side.scores.and(scores);
    };
    // Whom it failed opened 0, 1 or 2 cases elsewhere, the others 0 or 1; half of the first said something.
    for person in 0..30 {
        add(&mut known, true, person % 3, (person % 2 == 0).then_some(2_000));
    }
    for person in 0..29 {
        add(&mut known, false, person % 2, Some(4_000 + person));
    }
    let found = known.card("support").expect("a scorecard").cases_elsewhere;
    assert_eq!((found.failed.n, found.others.n, found.difference), (30, 29, None));
    add(&mut known, false, 1, Some(4_000));
    let card = known.card("support").expect("a scorecard");
    let found = card.cases_elsewhere.difference.expect("thirty on either side");
    close(found.value, 1.0 - 0.5, 1e-12);
    // Welch by hand: variances 20/29 and 7.5/29, each over 30; 48.1 degrees of freedom, t = 2.0105.
    let error = ((20.0 / 29.0 + 7.5 / 29.0) / 30.0_f64).sqrt();
    close((found.high - found.value) / error, 2.0105, 1e-3);
    close(found.high - found.value, found.value - found.low, 1e-12);
    assert_eq!((card.scores_elsewhere.failed.n, card.scores_elsewhere.difference), (15, None));
}

#[test]
fn what_is_felt_there_is_correlated_with_buying_again_in_the_order_of_drivers() {
    let mut known = with_a_touchpoint();
    let bought = Measure::BoughtAgain as u8;
    for person in 0..30_i32 {
        let y = i128::from(person % 2);
        let mut add = |measure: Measure, x: i128| {
            let one =
                PairSums { n: 1, first: x, second: y, first_squares: x * x, second_squares: y * y, products: x * y };
            known.department.add_pair((measure as u8, bought), &one);
        };
        add(Measure::Sentiment, -y);
        add(Measure::Csat, if person < 28 { y } else { 1 - y });
        if person > 0 {
            add(Measure::Nps, y);
        }
    }
    let found = known.card("support").expect("a scorecard").drivers;
    let names: Vec<_> = found.iter().map(|(measure, it)| (*measure, it.n)).collect();
    assert_eq!(names, [(Measure::Csat, 30), (Measure::Sentiment, 30)]);
    // Of thirty pairs of 0 and 1, half each, two disagree: 1 − 2·2/30.
    close(found[0].1.r, 1.0 - 4.0 / 30.0, 1e-12);
    close(found[1].1.r, -1.0, 1e-12);
}

#[test]
fn it_has_the_first_priorities_that_it_owns_with_their_rank_among_all() {
    let mut known = with_a_touchpoint();
    let group = |yes: i64, known: i64| Group {
        persons: known,
        outcome_yes: yes,
        outcome_known: known,
        revenue: 100 * known,
        ..Group::default()
    };
    known.priorities.add_everyone(group(500, 1_000));
    // The worse, the further in front; every other one is somebody else's.
    let names: Vec<String> = (0..14).map(|number| format!("s{number:02}")).collect();
    for (number, subject) in (0..).zip(&names) {
        let spoke = if number % 2 == 0 { "sales" } else { "support" };
        known.priorities.add(Subject { spoke, kind: "case_opened", subject }, group(number, 40));
    }
    let found = known.card("support").expect("a scorecard");
    let shown: Vec<_> = found.priorities.iter().map(|(rank, it)| (*rank, it.subject.subject)).collect();
    assert_eq!(shown, [(2, "s01"), (4, "s03"), (6, "s05"), (8, "s07"), (10, "s09")]);
    assert_eq!((shown.len(), found.other_priorities), (PRIORITIES, 2));
}

#[test]
fn open_alerts_alone_make_a_card_and_those_that_were_taken_back_none() {
    let mut known = Known::default();
    known.department.add_alerts(AlertCause::CaseUnanswered, 2);
    known.department.add_alerts(AlertCause::PromiseOverdue, 1);
    let found = known.card("support").expect("a scorecard");
    assert_eq!(found.alerts, [(AlertCause::PromiseOverdue, 1), (AlertCause::CaseUnanswered, 2)]);
    assert_eq!(found, Scorecard { alerts: found.alerts.clone(), ..Scorecard::default() });
    known.department.add_alerts(AlertCause::CaseUnanswered, -2);
    known.department.add_alerts(AlertCause::PromiseOverdue, -2);
    assert_eq!(known.card("support"), None);
    known.department.add_alerts(AlertCause::PromiseOverdue, 1);
    assert!(known.department.is_zero());
}

#[test]
fn promises_and_arrivals_make_no_card_and_are_on_the_one_that_there_is() {
    let (promises, arrived) = (Promises { open: 3, overdue: 2 }, BTreeMap::from([(Outcome::Late, 4)]));
    let mut known = Known { promises, arrived: arrived.clone(), ..Known::default() };
    assert_eq!(known.card("support"), None);
    known.metric_alerts = 2;
    let alone = known.card("support").expect("an alert");
    assert_eq!((alone.open_promises, &alone.arrived), (promises, &arrived));
    assert_eq!(alone.alerts, [(AlertCause::MetricUnusual, 2)]);
    known.department.add_alerts(AlertCause::PromiseOverdue, 1);
    known.touchpoints("support:case_replied:phone", 1, 0);
    let found = known.card("support").expect("a scorecard");
    assert_eq!((found.touchpoints, found.promises, found.open_promises, found.arrived), (1, 0, promises, arrived));
    assert_eq!(found.alerts, [(AlertCause::PromiseOverdue, 1), (AlertCause::MetricUnusual, 2)]);
}
