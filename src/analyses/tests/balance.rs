//! The balance of four kinds of contact by hand, and what holds of any.

use proptest::prelude::*;

use super::close;
use crate::analyses::{
    balance::{Advice, Contact, ContactKey, CostBasis, balance},
    statistics::{Sums, difference_of_means},
};

fn contact(kind: &str, credit: f64, cost: i64) -> Contact<'_> {
    Contact {
        key: ContactKey { spoke: "s", kind, channel: "c" },
        touchpoints: 100,
        scores: Sums::default(),
        sentiment: Sums::default(),
        credit,
        cost,
        costs_left_out: 0,
        effort: 0,
        capacity: None,
        pairs: None,
    }
}

/// So many scores of each of two numbers.
fn scores(each: i64, one: i64, other: i64) -> Sums {
    Sums { n: 2 * each, sum: each * (one + other), squares: i128::from(each * (one * one + other * other)) }
}

#[test]
fn what_to_invest_in_and_where_to_save() {
    let contacts = [
        // Brings half of all for a tenth, and customers are not content.
        Contact { scores: scores(50, 1, 3), ..contact("demo", 50.0, 1_000) },
        // Brings more than it takes, and nothing is wrong with it.
        Contact { scores: scores(50, 3, 5), ..contact("web", 30.0, 2_000) },
        // Takes more than it brings, and pleases.
        Contact { scores: scores(50, 4, 5), ..contact("call", 15.0, 3_000) },
        // Takes more than it brings, and nobody likes it.
        Contact { scores: scores(50, 1, 2), ..contact("campaign", 5.0, 4_000) },
        // Too few have said anything.
        Contact { scores: scores(10, 1, 2), ..contact("letter", 0.0, 0) },
    ];
    let found = balance(&contacts, 10).expect("a balance");
    assert_eq!(found.cost_basis, CostBasis::Cost);
    let rows: Vec<_> = found.ranking.shown.iter().map(|it| (it.rank, it.key.kind, it.advice)).collect();
    let expected = [
        (1, "demo", Advice::Invest),
        (2, "web", Advice::Keep),
        (3, "letter", Advice::Keep),
        (4, "call", Advice::Keep),
        (5, "campaign", Advice::Save),
    ];
    assert_eq!(rows, expected);
    for (position, net) in found.ranking.shown.iter().zip([0.4, 0.1, 0.0, -0.15, -0.35]) {
        close(position.net, net, 1e-12);
    }
    // The demo's scores against those of all others.
    let others = Sums { n: 320, sum: 50 * (8 + 9 + 3) + 30, squares: 50 * (34 + 41 + 5) + 50 };
    assert_eq!(found.ranking.shown[0].score, difference_of_means(scores(50, 1, 3), others));
    assert_eq!(found.ranking.shown[2].score, None);
    // One from each end; the middle is summed.
    let few = balance(&contacts, 2).expect("a balance").ranking;
    assert_eq!(few.shown.iter().map(|it| it.rank).collect::<Vec<_>>(), [1, 5]);
    assert_eq!((few.other.kinds, few.other.touchpoints), (3, 300));
    close(few.other.contribution, 0.45, 1e-12);
    close(few.other.cost, 0.5, 1e-12);
}

#[test]
fn what_is_paid_for_in_another_currency_is_not_called_cheap() {
    let unhappy = scores(50, 1, 3);
    let contacts = |costs_left_out| {
        let ad = Contact { scores: unhappy, costs_left_out, ..contact("ad", 50.0, 0) };
        [ad, Contact { scores: scores(50, 4, 5), ..contact("web", 50.0, 2_000) }]
    };
    for (costs_left_out, advice) in [(0, Advice::Invest), (3, Advice::Keep)] {
        let found = balance(&contacts(costs_left_out), 10).expect("a balance");
        let first = &found.ranking.shown[0];
        assert_eq!((first.key.kind, first.advice, first.contact.costs_left_out), ("ad", advice, costs_left_out));
    }
}

#[test]
fn a_full_capacity_asks_for_investment_and_costs_have_a_stand_in() {
    let full = Contact { capacity: Some(110), ..contact("demo", 9.0, 0) };
    let found = balance(&[full, contact("web", 1.0, 0)], 5).expect("a balance");
    assert_eq!(found.cost_basis, CostBasis::Touchpoints);
    assert_eq!(found.ranking.shown[0].advice, Advice::Invest);
    close(found.ranking.shown[0].capacity_use.expect("a capacity"), 100.0 / 110.0, 1e-12);
    let effort = Contact { effort: 3, ..contact("web", 1.0, 0) };
    assert_eq!(balance(&[full, effort], 5).map(|it| it.cost_basis), Some(CostBasis::Effort));
    assert_eq!(balance(&[], 5), None);
    assert_eq!(balance(&[contact("web", 0.0, 5)], 5), None, "nothing is credited");
    assert_eq!(balance(&[contact("web", 1.0, -5)], 5), None);
}

proptest! {
    #[test]
    fn a_balance_sums_to_zero_in_any_order(
        rows in prop::collection::btree_map("[a-z]{1,3}", (0.0_f64..1e6, 0_i64..1_000_000), 1..20), limit in 0_usize..25,
    ) {
        let mut contacts: Vec<Contact<'_>> = rows.iter().map(|(kind, (credit, cost))| contact(kind, *credit, *cost)).collect();
        let found = balance(&contacts, limit);
        contacts.reverse();
        prop_assert_eq!(&found, &balance(&contacts, limit));
        if let Some(found) = found {
            let shown = || found.ranking.shown.iter();
            let other = found.ranking.other;
            let contribution = shown().map(|it| it.contribution).sum::<f64>() + other.contribution;
            let cost = shown().map(|it| it.cost).sum::<f64>() + other.cost;
            prop_assert!((contribution - 1.0).abs() < 1e-9 && (cost - 1.0).abs() < 1e-9);
            prop_assert_eq!(shown().count() + other.kinds, contacts.len());
            prop_assert!(shown().is_sorted_by(|a, b| a.net >= b.net && a.rank < b.rank));
        }
    }
}
