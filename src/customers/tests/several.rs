//! Touchpoints about several orders, cases or contracts, as stories: what happens to each, and what counts once.

use expect_test::{Expect, expect};

use super::{
    alerts::told,
    world::{MONDAY, World, touchpoint},
};
use crate::model::Outcome;

fn world_of(lines: &[String]) -> World {
    let mut world = World::new(10);
    for (number, line) in lines.iter().enumerate() {
        world.batch(&[&touchpoint(line, number)]);
    }
    world.advance(MONDAY.plus(20));
    world.commit();
    world
}

fn shown(world: &World, show: &[&str]) -> Vec<String> {
    let lines = world.lines().into_iter();
    lines.filter(|line| show.iter().any(|prefix| line.starts_with(prefix))).collect()
}

/// What lines like `KIND *` mean is the same where one touchpoint is about all of `things`, and where each is told of by itself, whatever
/// comes first; and it is not what it would be if the first or the last one alone were meant.
#[track_caller]
fn check_each(before: &[&str], things: &[&str], lines: &[&str], show: &[&str]) {
    let all_of = |of: &[&[&str]]| -> Vec<String> {
        let of_line = |line: &&str| of.iter().map(|things| line.replace('*', &things.join(" "))).collect::<Vec<_>>();
        before.iter().map(|line| (*line).to_owned()).chain(lines.iter().flat_map(of_line)).collect()
    };
    let at_once = all_of(&[things]);
    let world = world_of(&at_once);
    assert!(world.told.outcomes.iter().all(|(_, outcome)| *outcome != Outcome::Capped));
    let told = shown(&world, show);
    let each: Vec<&[&str]> = things.chunks(1).collect();
    assert_eq!(told, shown(&world_of(&all_of(&each)), show), "each by itself");
    let reversed: Vec<String> = at_once.iter().rev().cloned().collect();
    assert_eq!(told, shown(&world_of_numbered(&reversed), show), "the last one first");
    for alone in [&things[..1], &things[things.len() - 1..]] {
        assert_ne!(told, shown(&world_of(&all_of(&[alone])), show), "{alone:?} alone");
    }
}

/// Of lines told from the last to the first, with the ids that they have in order.
fn world_of_numbered(reversed: &[String]) -> World {
    let mut world = World::new(10);
    for (number, line) in reversed.iter().enumerate() {
        world.batch(&[&touchpoint(line, reversed.len() - 1 - number)]);
    }
    world.advance(MONDAY.plus(20));
    world.commit();
    world
}

const PLACED: [&str; 3] = [
    "sales order_placed O1 for 300EUR region north promised 3d12:00 at 09:00",
    "web order_placed O2 for 500EUR region south promised 2d12:00 at 1d09:00",
    "sales order_placed O3 for 700EUR region west promised 9d12:00 at 2d09:00",
];

#[test]
fn one_parcel_delivers_all_of_its_orders() {
    check_each(
        &PLACED,
        &["O1", "O2"],
        &["operations order_delivered * at 3d09:00"],
        &[
            "on_time",
            "promise_gap",
            "overdue",
            "return_rate",
            "record.open_promises",
            "record.deliveries",
            "record.phase",
        ],
    );
}

#[test]
fn what_is_promised_or_comes_back_of_several_does_so_of_each() {
    check_each(
        &PLACED,
        &["O1", "O2", "O3"],
        &[
            "operations order_shipped * promised 5d12:00 at 3d09:00",
            "operations order_delivered * at 6d09:00",
            "operations order_returned * at 8d09:00",
        ],
        &["on_time", "promise_gap", "overdue", "return_rate", "record.open_promises", "record.deliveries"],
    );
}

const BOUGHT: [&str; 12] = [
    "new_customers",
    "orders",
    "revenue",
    "average_order_value",
    "margin",
    "repurchase",
    "referral",
    "overdue",
    "record.orders",
    "record.revenue",
    "record.phase",
    "record.buying",
];

#[test]
fn one_cancellation_takes_back_all_of_its_orders_with_what_was_paid_back_for_them() {
    let before = [&PLACED[..], &["operations refund_issued O2 for 50EUR at 4d09:00"]].concat();
    for things in [["O1", "O2"], ["O1", "O3"], ["O2", "O3"]] {
        check_each(&before, &things, &["support order_cancelled * at 5d09:00"], &BOUGHT);
    }
    check_each(&before, &["O1", "O2", "O3"], &["support order_cancelled * at 5d09:00"], &BOUGHT);
}

#[test]
fn one_answer_to_several_cases_answers_each_of_them() {
    check_each(
        &[
            "support case_opened T1 region north at 09:00",
            "web case_opened T2 region south at 1d09:00",
            "support case_opened T3 at 1d10:00",
        ],
        &["T1", "T2"],
        &[
            "support case_replied * agent at 3d09:00",
            "support case_resolved * at 4d09:00",
            "web case_reopened * customer at 5d09:00",
            "support case_resolved * at 6d09:00",
        ],
        &[
            "unanswered",
            "first_response_time",
            "resolution_time",
            "full_resolution_time",
            "first_contact_resolution",
            "record.open_cases",
            "record.first_response",
            "record.resolution",
        ],
    );
}

#[test]
fn one_cancellation_of_several_contracts_ends_each_of_them() {
    check_each(
        &["sales subscription_started C1 region north at 09:00", "web subscription_started C2 region south at 1d09:00"],
        &["C1", "C2"],
        &["support subscription_cancelled * at 9d09:00"],
        &["churn day:2026-03-02", "churn day:2026-03-03", "churn day:2026-03-11", "churn month", "churn week"],
    );
}

#[track_caller]
fn check(lines: &[&str], show: &[&str], expected: Expect) {
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    expected.assert_eq(&shown(&world_of(&lines), show).join("\n"));
}

#[test]
fn what_is_placed_at_once_is_one_purchase_of_the_first_and_promised_and_delivered_each() {
    let placed = "sales order_placed O1 O2 for 300EUR promised 2d12:00 at 09:00";
    let show = [
        "orders day:2026-03-02 company",
        "revenue day:2026-03-02 company",
        "reach day:2026-03-02 company",
        "overdue day:2026-03-04 company",
        "record.orders",
        "record.open_promises",
        "record.phase",
    ];
    check(
        &[placed, "operations order_delivered O2 at 1d09:00"],
        &show,
        expect![[r#"
            orders day:2026-03-02 company: n 1
            overdue day:2026-03-04 company: n 1
            reach day:2026-03-02 company: n 1
            revenue day:2026-03-02 company EUR: n 1, sum 300
            record.phase: During
            record.orders: 1
            record.open_promises: 1"#]],
    );
    // The second is off, and nothing was paid for it by itself.
    check(
        &[placed, "support order_cancelled O2 at 1d09:00"],
        &show,
        expect![[r#"
            orders day:2026-03-02 company: n 1
            overdue day:2026-03-04 company: n 1
            reach day:2026-03-02 company: n 1
            revenue day:2026-03-02 company EUR: n 1, sum 300
            record.phase: During
            record.orders: 1
            record.open_promises: 1"#]],
    );
    check(
        &[placed, "support order_cancelled O1 O2 at 1d09:00"],
        &show,
        expect![[r#"
            reach day:2026-03-02 company: n 1
            record.phase: Before
            record.orders: 0
            record.open_promises: 0"#]],
    );
}

#[test]
fn what_is_paid_back_for_several_is_paid_back_once() {
    check(
        &[PLACED[0], PLACED[1], "operations refund_issued O1 O2 for 80EUR at 3d09:00"],
        &["margin month:2026-03 company"],
        expect!["margin month:2026-03 company EUR: n 3, sum 720"],
    );
}

#[test]
fn contracts_that_start_at_once_are_one_purchase_and_run_each() {
    let show = ["orders month:2026-03 company", "revenue month:2026-03 company", "churn day:2026-03-02 company"];
    let began = "sales subscription_started C1 C2 for 900EUR at 09:00";
    // Told once more, nothing starts.
    let again = "sales subscription_started C1 C2 for 900EUR at 1d09:00";
    for told in [&[began][..], &[began, again]] {
        check(
            told,
            &show,
            expect![[r#"
                churn day:2026-03-02 company: n 2
                orders month:2026-03 company: n 1
                revenue month:2026-03 company EUR: n 1, sum 900"#]],
        );
    }
    // One of them runs: the other one was bought.
    check(
        &["sales subscription_started C1 for 100EUR at 09:00", again],
        &["orders month:2026-03 company", "revenue month:2026-03 company", "churn day:2026-03-03 company"],
        expect![[r#"
            churn day:2026-03-03 company: n 1, b 1, sum 1
            orders month:2026-03 company: n 2
            revenue month:2026-03 company EUR: n 2, sum 1000"#]],
    );
}

#[test]
fn each_of_several_has_an_alert_of_its_own_and_one_touchpoint_closes_all() {
    let lines = told(
        &mut World::new(10),
        &[
            "sales order_placed O1 O2 promised 1d12:00 at 09:00",
            "support case_opened T1 T2 T3 at 09:00",
            "closed 2d",
            "shown",
            "support case_replied T1 T3 agent at 3d08:00",
            "operations order_delivered O1 O2 at 3d09:00",
            "shown",
            "support case_resolved T2 at 3d10:00",
            "shown",
        ],
    );
    expect![[r#"
        case_unanswered case:T1 of support since 1d open, target_hours 24
        case_unanswered case:T2 of support since 1d open, target_hours 24
        case_unanswered case:T3 of support since 1d open, target_hours 24
        promise_overdue order:O1 of sales since 1d open
        promise_overdue order:O2 of sales since 1d open
        --
        case_unanswered case:T2 of support since 1d open, target_hours 24
        --
        nothing"#]]
    .assert_eq(&lines.join("\n--\n"));
}
