//! The scorecards of two departments by hand.

use super::{close, whole::WholeTable};
use crate::{
    analyses::{
        contacts::{Contacts, Credited},
        scorecards::scorecard,
    },
    model::{Accumulator, ContactElement, PathOutcome, contact_touchpoint},
};

#[test]
fn a_department_is_the_sum_of_its_kinds_of_contact() {
    let mut contacts = Contacts::default();
    let mut touchpoints = |name: &str, n: i64, cost: i64| {
        for _ in 0..n {
            contacts.add(name, ContactElement::Touchpoints, &contact_touchpoint(cost, 1));
        }
    };
    touchpoints("support:case_opened:phone", 10, 30);
    touchpoints("support:case_replied:phone", 5, 20);
    touchpoints("sales:visit_made:", 20, 80);
    let promise = |on_time: i64| Accumulator { a: on_time, ..Accumulator::count(1) };
    for on_time in [1, 1, 0] {
        contacts.add("support:case_replied:phone", ContactElement::Promises, &promise(on_time));
    }
    contacts.add("support:case_opened:phone", ContactElement::Scores, &Accumulator::observe(2));
    let mut journeys = WholeTable::default();
    let converted = Accumulator::observe_distribution(1_000);
    journeys.add(&["sales:visit_made:", "support:case_opened:phone"], PathOutcome::Converted, &converted, 40);
    journeys.add(&["sales:visit_made:"], PathOutcome::Lost, &Accumulator::count(1), 10);
    let found = scorecard(&contacts, &Credited::of([&*journeys]), "support").expect("a scorecard");
    assert_eq!((found.touchpoints, found.cases, found.promises, found.kept), (15, 10, 3, 2));
    assert_eq!((found.scores.n, found.scores.sum, found.score), (1, 2, None));
    // Either step leads to every purchase: half of 40 each. Of costs of 300 + 100 + 1600, a fifth.
    close(found.credit, 20.0, 1e-12);
    close(found.contribution.expect("credits"), 0.5, 1e-12);
    close(found.cost, 0.2, 1e-12);
    close(found.net.expect("credits"), 0.3, 1e-12);
    let without = scorecard(&contacts, &Credited::default(), "support").expect("a scorecard");
    assert_eq!((without.contribution, without.net), (None, None));
    assert_eq!(scorecard(&contacts, &Credited::default(), "marketing"), None);
}
