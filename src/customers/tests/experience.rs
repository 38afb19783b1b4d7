//! Stories of what was expected, of resolutions that held, of follow-ups, buyers, margins and visits.

use expect_test::expect;

use super::world::{World, check_customers, touchpoint};
use crate::model::Outcome;

#[test]
fn an_expectation_and_the_next_perception_of_the_same_item_are_a_pair_in_either_order() {
    check_customers(
        &[
            "web survey_answered expectation 6 of speed at 09:00",
            "web survey_answered expectation 5 of price at 09:10",
            "web survey_answered expectation 7 of speed at 09:20",
            "web survey_answered perception 4 of speed at 1d09:00",
            "web survey_answered perception 3 of speed at 2d09:00",
            "web survey_answered expectation 2 of speed at 3d09:00",
            "web survey_answered perception 2 at 3d10:00",
            "web survey_answered expectation 2 at 3d11:00",
        ],
        &["expectation_gap day", "expectation_gap week:2026-W10 item"],
        expect![[r#"
            expectation_gap day:2026-03-03 company: n 1, a 1, sum -3
            expectation_gap day:2026-03-03 item=speed: n 1, a 1, sum -3
            expectation_gap day:2026-03-03 phase=before: n 1, a 1, sum -3
            expectation_gap day:2026-03-03 spoke=web: n 1, a 1, sum -3
            expectation_gap day:2026-03-05 company: n 2, sum 1
            expectation_gap day:2026-03-05 item=speed: n 1, sum 1
            expectation_gap day:2026-03-05 phase=before: n 2, sum 1
            expectation_gap day:2026-03-05 spoke=web: n 2, sum 1
            expectation_gap week:2026-W10 item=speed: n 2, a 1, sum -2"#]],
    );
}

#[test]
fn an_expectation_that_comes_late_pairs_with_the_perception_after_it() {
    check_customers(
        &[
            "web survey_answered perception 4 of speed at 3d09:00",
            "web survey_answered expectation 7 of speed at 5d09:00",
            "web survey_answered expectation 2 of speed at 1d09:00",
        ],
        &["expectation_gap month:2026-03 company", "expectation_gap day:2026-03-05 company"],
        expect![[r#"
            expectation_gap day:2026-03-05 company: n 1, sum 2
            expectation_gap month:2026-03 company: n 1, sum 2"#]],
    );
}

#[test]
fn a_further_resolution_takes_the_one_before_back_where_it_was_counted() {
    check_customers(
        &[
            "support case_opened T1 at 09:00",
            "support case_resolved T1 channel phone at 10:00",
            "support case_reopened T1 at 1d09:00",
            "support case_resolved T1 channel chat at 1d10:00",
            "support case_resolved T2 at 2d10:00",
        ],
        &["full_resolution_time week", "full_resolution_time day", "resolution_time week:2026-W10 company"],
        expect![[r#"
            full_resolution_time day:2026-03-03 channel=chat: n 1, sum 90000000
            full_resolution_time day:2026-03-03 company: n 1, sum 90000000
            full_resolution_time day:2026-03-03 phase=before: n 1, sum 90000000
            full_resolution_time day:2026-03-03 spoke=support: n 1, sum 90000000
            full_resolution_time week:2026-W10 channel=chat: n 1, sum 90000000
            full_resolution_time week:2026-W10 company: n 1, sum 90000000
            full_resolution_time week:2026-W10 phase=before: n 1, sum 90000000
            full_resolution_time week:2026-W10 spoke=support: n 1, sum 90000000
            resolution_time week:2026-W10 company: n 1, sum 3600000"#]],
    );
}

const RESOLVED: [&str; 2] =
    ["support case_opened T1 subject delivery at 09:00", "support case_resolved T1 channel phone at 10:00"];

/// Whether the resolution of [`RESOLVED`] holds after one more touchpoint.
fn check_first_contact(then: &str, expected: expect_test::Expect) {
    check_customers(
        &[RESOLVED[0], RESOLVED[1], then],
        &["first_contact_resolution day:2026-03-02 channel", "first_contact_resolution month:2026-03 company"],
        expected,
    );
}

#[test]
fn a_resolution_holds_unless_the_customer_comes_again_on_the_case_or_its_subject_within_seven_days() {
    let holds = || {
        expect![[r#"
            first_contact_resolution day:2026-03-02 channel=phone: n 1, a 1
            first_contact_resolution month:2026-03 company: n 1, a 1"#]]
    };
    let does_not = || {
        expect![[r#"
            first_contact_resolution day:2026-03-02 channel=phone: n 1
            first_contact_resolution month:2026-03 company: n 1"#]]
    };
    check_first_contact("support case_reopened T1 at 7d10:00", does_not());
    check_first_contact("support case_reopened T1 at 7d10:01", holds());
    check_first_contact("support case_replied T1 agent at 1d10:00", holds());
    check_first_contact("support case_replied T1 customer at 1d10:00", does_not());
    check_first_contact("web complaint_made subject delivery at 1d10:00", does_not());
    check_first_contact("web complaint_made subject invoice at 1d10:00", holds());
    check_first_contact("web complaint_made at 1d10:00", holds());
    check_first_contact("web survey_answered T1 subject delivery csat 5 at 1d10:00", holds());
    check_first_contact("web complaint_made subject delivery by customer_id:bob at 1d10:00", holds());
    // Before the resolution it is no further contact.
    check_first_contact("web complaint_made subject delivery at 09:30", holds());
}

#[test]
fn one_contact_shows_of_every_case_on_its_subject_that_it_was_not_resolved_and_only_once() {
    check_customers(
        &[
            "support case_opened T1 subject delivery at 09:00",
            "support case_opened T2 at 09:00",
            "support case_opened T3 subject login at 09:00",
            "support case_resolved T1 at 10:00",
            "support case_resolved T2 subject delivery at 1d10:00",
            "support case_resolved T3 subject delivery at 2d10:00",
            "support case_reopened T2 subject delivery at 3d10:00",
            "support case_reopened T2 subject delivery at 4d10:00",
            "support case_resolved T2 at 5d10:00",
            "support case_reopened T2 at 6d10:00",
        ],
        &["first_contact_resolution day"],
        expect![[r#"
            first_contact_resolution day:2026-03-02 company: n 1
            first_contact_resolution day:2026-03-02 phase=before: n 1
            first_contact_resolution day:2026-03-02 spoke=support: n 1
            first_contact_resolution day:2026-03-03 company: n 1
            first_contact_resolution day:2026-03-03 phase=before: n 1
            first_contact_resolution day:2026-03-03 spoke=support: n 1
            first_contact_resolution day:2026-03-03 subject=delivery: n 1
            first_contact_resolution day:2026-03-04 company: n 1
            first_contact_resolution day:2026-03-04 phase=before: n 1
            first_contact_resolution day:2026-03-04 spoke=support: n 1
            first_contact_resolution day:2026-03-04 subject=delivery: n 1"#]],
    );
}

#[test]
fn a_follow_up_by_any_spoke_closes_what_the_first_detractor_or_complaint_opened() {
    check_customers(
        &[
            "support follow_up_made at 08:00",
            "marketing survey_answered nps 6 at 09:00",
            "support complaint_made at 1d09:00",
            "marketing survey_answered nps 7 at 1d10:00",
            "support follow_up_made bot at 1d11:00",
            "support follow_up_made internal at 1d12:00",
            "sales follow_up_made at 2d09:00",
            "sales follow_up_made at 2d10:00",
            "support complaint_made at 3d09:00",
            "support follow_up_made at 5d09:01",
        ],
        &["follow_up_time day", "follow_up_time month:2026-03 company"],
        expect![[r#"
            follow_up_time day:2026-03-04 company: n 1, a 1, sum 172800000
            follow_up_time day:2026-03-04 phase=before: n 1, a 1, sum 172800000
            follow_up_time day:2026-03-04 spoke=sales: n 1, a 1, sum 172800000
            follow_up_time day:2026-03-07 company: n 1, sum 172860000
            follow_up_time day:2026-03-07 phase=before: n 1, sum 172860000
            follow_up_time day:2026-03-07 spoke=support: n 1, sum 172860000
            follow_up_time month:2026-03 company: n 2, a 1, sum 345660000"#]],
    );
}

#[test]
fn who_buys_again_counts_where_the_first_purchase_was_within_each_number_of_days() {
    let shown = ["repurchase_30 day", "repurchase_60 day", "repurchase_90 day"];
    check_customers(
        &[
            "sales order_placed O1 at 10:00",
            "sales order_placed O2 at 30d10:01",
            "sales subscription_started C1 at 31d10:00",
        ],
        &shown.map(|metric| format!("{metric}:2026-03-02 company")).each_ref().map(String::as_str),
        expect![[r#"
            repurchase_30 day:2026-03-02 company: n 1
            repurchase_60 day:2026-03-02 company: n 1, a 1
            repurchase_90 day:2026-03-02 company: n 1, a 1"#]],
    );
}

#[test]
fn a_cancellation_moves_the_first_purchase_or_the_second() {
    let orders = [
        "sales order_placed O1 region north at 10:00",
        "sales order_placed O2 region south at 20d10:00",
        "sales order_placed region west at 55d10:00",
        "sales subscription_started C1 at 100d10:00",
    ];
    let shown = ["repurchase_30 day", "repurchase_60 day", "repurchase_90 day"];
    let shown: Vec<String> = shown
        .iter()
        .flat_map(|metric| ["region", "company"].map(|dimension| format!("{metric}:2026-03-02 {dimension}")))
        .chain(["repurchase_30 day:2026-03-22 region", "repurchase_60 day:2026-03-22 region"].map(str::to_owned))
        .chain(["repurchase_60 day:2026-04-26 region".to_owned()])
        .collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    let with = |cancelled: &[&'static str]| [&orders[..], cancelled].concat();
    check_customers(
        &with(&[]),
        &shown,
        expect![[r#"
            repurchase_30 day:2026-03-02 company: n 1, a 1
            repurchase_30 day:2026-03-02 region=north: n 1, a 1
            repurchase_60 day:2026-03-02 company: n 1, a 1
            repurchase_60 day:2026-03-02 region=north: n 1, a 1
            repurchase_90 day:2026-03-02 company: n 1, a 1
            repurchase_90 day:2026-03-02 region=north: n 1, a 1"#]],
    );
    check_customers(
        &with(&["sales order_cancelled O2 at 101d10:00"]),
        &shown,
        expect![[r#"
            repurchase_30 day:2026-03-02 company: n 1
            repurchase_30 day:2026-03-02 region=north: n 1
            repurchase_60 day:2026-03-02 company: n 1, a 1
            repurchase_60 day:2026-03-02 region=north: n 1, a 1
            repurchase_90 day:2026-03-02 company: n 1, a 1
            repurchase_90 day:2026-03-02 region=north: n 1, a 1"#]],
    );
    check_customers(
        &with(&["sales order_cancelled O1 at 101d10:00"]),
        &shown,
        expect![[r#"
            repurchase_30 day:2026-03-22 region=south: n 1
            repurchase_60 day:2026-03-22 region=south: n 1, a 1"#]],
    );
    // What is left are two that cannot be cancelled.
    check_customers(
        &with(&["sales order_cancelled O1 at 101d10:00", "sales order_cancelled O2 at 102d10:00"]),
        &shown,
        expect!["repurchase_60 day:2026-04-26 region=west: n 1, a 1"],
    );
}

#[test]
fn new_customers_were_referred_or_had_heard_also_if_another_purchase_becomes_the_first() {
    let shown = ["referral day", "word_of_mouth day"];
    let story = [
        "sales order_placed O1 region north at 10:00",
        "web page_viewed channel community at 1d10:00",
        "sales order_placed O2 region south at 2d10:00",
        "sales order_placed O3 region west referrer bob at 3d10:00",
    ];
    let shown =
        shown.map(|metric| ["02 region", "04 region", "05 region"].map(|day| format!("{metric}:2026-03-{day}")));
    let shown: Vec<&str> = shown.iter().flatten().map(String::as_str).collect();
    check_customers(
        &story,
        &shown,
        expect![[r#"
            referral day:2026-03-02 region=north: n 1
            word_of_mouth day:2026-03-02 region=north: n 1"#]],
    );
    check_customers(
        &[&story[..], &["sales order_cancelled O1 at 4d10:00"]].concat(),
        &shown,
        expect![[r#"
            referral day:2026-03-04 region=south: n 1
            word_of_mouth day:2026-03-04 region=south: n 1, a 1"#]],
    );
    check_customers(
        &[&story[..], &["sales order_cancelled O1 at 4d10:00", "sales order_cancelled O2 at 4d11:00"]].concat(),
        &shown,
        expect![[r#"
            referral day:2026-03-05 region=west: n 1, a 1
            word_of_mouth day:2026-03-05 region=west: n 1, a 1"#]],
    );
}

#[test]
fn the_channel_of_the_purchase_itself_is_no_word_of_mouth_before_it() {
    check_customers(
        &["sales order_placed channel social at 10:00", "web review_posted at 11:00"],
        &["word_of_mouth day:2026-03-02 company"],
        expect!["word_of_mouth day:2026-03-02 company: n 1"],
    );
}

#[test]
fn a_margin_is_revenue_less_refunds_and_costs_per_currency() {
    check_customers(
        &[
            "marketing ad_shown cost 40EUR at 09:00",
            "sales order_placed O1 for 1000EUR at 10:00",
            "sales order_placed O2 for 700EUR cost 5EUR at 11:00",
            "sales order_cancelled O2 at 12:00",
            "operations refund_issued O1 for -300EUR at 13:00",
            "operations refund_issued O1 for 50EUR cost 20USD at 14:00",
            "sales subscription_renewed C1 for 90USD at 15:00",
        ],
        &["margin day:2026-03-02 company", "margin day:2026-03-02 spoke", "margin month:2026-03 company"],
        expect![[r#"
            margin day:2026-03-02 company EUR: n 5, sum 605
            margin day:2026-03-02 company USD: n 2, sum 70
            margin day:2026-03-02 spoke=marketing EUR: n 1, sum -40
            margin day:2026-03-02 spoke=operations EUR: n 2, sum -350
            margin day:2026-03-02 spoke=operations USD: n 1, sum -20
            margin day:2026-03-02 spoke=sales EUR: n 2, sum 995
            margin day:2026-03-02 spoke=sales USD: n 1, sum 90
            margin month:2026-03 company EUR: n 5, sum 605
            margin month:2026-03 company USD: n 2, sum 70"#]],
    );
}

#[test]
fn what_is_paid_back_of_a_cancelled_order_counts_nowhere_whatever_came_first() {
    let placed = "sales order_placed O1 for 5000EUR at 09:00";
    let other = "sales order_placed O2 for 70EUR at 09:30";
    let part = "operations refund_issued O1 for 1000EUR at 7d09:00";
    let cancelled = "sales order_cancelled O1 cost 3EUR at 8d09:00";
    let rest = "operations refund_issued O1 for -4000EUR at 9d09:00";
    // Of what has no order, and of another one, it counts.
    let others = ["operations refund_issued O2 for 20EUR at 9d10:00", "operations refund_issued for 5EUR at 9d11:00"];
    let told = [placed, other, part, cancelled, rest, others[0], others[1]];
    let mut backwards = told;
    backwards.reverse();
    for arrivals in [told, backwards, [cancelled, rest, others[1], part, other, others[0], placed]] {
        check_customers(
            &arrivals,
            &[
                "margin week:2026-W10 company",
                "margin week:2026-W11 company",
                "margin day:2026-03-09",
                "margin month:2026-03 company",
                "customer_value month:2026-03 company",
            ],
            expect![[r#"
                customer_value month:2026-03 company: n 1, 45 EUR
                margin month:2026-03 company EUR: n 4, sum 42
                margin week:2026-W10 company EUR: n 1, sum 70
                margin week:2026-W11 company EUR: n 3, sum -28"#]],
        );
    }
    // Before it is cancelled, what was paid back counts where it was.
    check_customers(
        &[placed, other, part],
        &["margin week:2026-W11", "margin month:2026-03 company", "customer_value month:2026-03 company"],
        expect![[r#"
            customer_value month:2026-03 company: n 1, 4070 EUR
            margin month:2026-03 company EUR: n 3, sum 4070
            margin week:2026-W11 company EUR: n 1, sum -1000
            margin week:2026-W11 phase=during EUR: n 1, sum -1000
            margin week:2026-W11 spoke=operations EUR: n 1, sum -1000"#]],
    );
}

#[test]
fn of_a_cancelled_order_the_refunds_that_are_remembered_are_taken_back() {
    let mut world = World::new(10);
    world.batch(&[&touchpoint("sales order_placed O1 for 5000EUR at 09:00", 0)]);
    for number in 1..=18 {
        world
            .batch(&[&touchpoint(&format!("operations refund_issued O1 for {number}EUR at 1d09:{number:02}"), number)]);
    }
    world.batch(&[&touchpoint("sales order_cancelled O1 at 2d09:00", 19)]);
    world.commit();
    let shown: Vec<String> =
        world.lines().into_iter().filter(|line| line.starts_with("margin month:2026-03 company")).collect();
    expect!["margin month:2026-03 company EUR: n 2, sum -35"].assert_eq(&shown.join("\n"));
}

#[test]
fn a_visit_converts_in_the_windows_whose_length_it_keeps() {
    check_customers(
        &["web page_viewed region north at 09:00", "sales order_placed O1 region south at 1d09:01"],
        &["conversion"],
        expect![[r#"
            conversion day:2026-03-02 company: n 1
            conversion day:2026-03-02 phase=before: n 1
            conversion day:2026-03-02 region=north: n 1
            conversion day:2026-03-02 spoke=web: n 1
            conversion month:2026-03 company: n 1, a 1
            conversion month:2026-03 phase=before: n 1, a 1
            conversion month:2026-03 region=north: n 1, a 1
            conversion month:2026-03 spoke=web: n 1, a 1
            conversion week:2026-W10 company: n 1, a 1
            conversion week:2026-W10 phase=before: n 1, a 1
            conversion week:2026-W10 region=north: n 1, a 1
            conversion week:2026-W10 spoke=web: n 1, a 1"#]],
    );
}

#[test]
fn of_a_persons_visits_the_first_of_each_window_counts() {
    check_customers(
        &[
            "sales order_placed at 09:00",
            "web page_viewed at 10:00",
            "sales order_placed at 6d09:00",
            "web page_viewed at 7d10:00",
        ],
        &[
            "conversion day:2026-03-02 company",
            "conversion day:2026-03-09 company",
            "conversion week:2026-W10 company",
            "conversion week:2026-W11 company",
            "conversion month:2026-03 company",
        ],
        expect![[r#"
            conversion day:2026-03-02 company: n 1, a 1
            conversion day:2026-03-09 company: n 1
            conversion month:2026-03 company: n 1, a 1
            conversion week:2026-W10 company: n 1, a 1
            conversion week:2026-W11 company: n 1"#]],
    );
}

#[test]
fn a_cancelled_purchase_was_no_goal_and_nobody_entered_after_it() {
    let story = [
        "web page_viewed at 09:00",
        "sales order_placed O1 at 09:30",
        "web page_viewed at 7d09:00",
        "sales order_placed O2 at 14d08:00",
        "web page_viewed at 8d09:00",
    ];
    let company = |lines: &[&str], expected| {
        let days = (2..=31).map(|day| format!("conversion day:2026-03-{day:02} company"));
        let weeks = (10..=14).map(|week| format!("conversion week:2026-W{week} company"));
        let shown: Vec<String> = days.chain(weeks).chain(["conversion month:2026-03 company".to_owned()]).collect();
        check_customers(lines, &shown.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    };
    company(
        &story,
        expect![[r#"
            conversion day:2026-03-02 company: n 1, a 1
            conversion day:2026-03-09 company: n 1
            conversion month:2026-03 company: n 1, a 1
            conversion week:2026-W10 company: n 1, a 1
            conversion week:2026-W11 company: n 1, a 1"#]],
    );
    company(
        &[&story[..], &["sales order_cancelled O1 at 15d09:00"]].concat(),
        expect![[r#"
            conversion day:2026-03-02 company: n 1
            conversion day:2026-03-17 company: n 1
            conversion month:2026-03 company: n 1, a 1
            conversion week:2026-W10 company: n 1
            conversion week:2026-W12 company: n 1"#]],
    );
    company(
        &[&story[..], &["sales order_cancelled O2 at 15d09:00"]].concat(),
        expect![[r#"
            conversion day:2026-03-02 company: n 1, a 1
            conversion day:2026-03-09 company: n 1
            conversion month:2026-03 company: n 1, a 1
            conversion week:2026-W10 company: n 1, a 1
            conversion week:2026-W11 company: n 1"#]],
    );
}

#[test]
fn a_cancellation_after_ninety_days_leaves_the_visit_as_it_was() {
    for (cancelled, converted) in
        [("sales order_cancelled O1 at 90d10:00", false), ("sales order_cancelled O1 at 90d10:01", true)]
    {
        let mut world = World::new(10);
        for (number, line) in
            ["sales order_placed O1 at 10:00", "web page_viewed at 1d10:00", cancelled].iter().enumerate()
        {
            world.batch(&[&touchpoint(line, number)]);
        }
        world.commit();
        let cell = &world.told.cells["conversion day:2026-03-02 company"];
        assert_eq!((cell.n, cell.a), (1, i64::from(converted)), "{cancelled}");
        assert!(!world.told.cells.contains_key("orders day:2026-03-02 company"), "it is no order either way");
    }
}

#[test]
fn a_head_forgets_the_oldest_visit_and_the_oldest_answer_that_waits_and_says_so() {
    let capped = ("web".to_owned(), Outcome::Capped);
    let mut world = World::new(10);
    let visits = (0..64).flat_map(|number| {
        let (day, hour) = (number / 12, number % 12 * 2);
        [
            format!("web page_viewed at {day}d{hour:02}:00"),
            format!("sales order_placed O{number} at {day}d{hour:02}:30"),
        ]
    });
    let lines: Vec<String> = visits.collect();
    let tell = |world: &mut World, lines: &[String], from: usize| {
        for (number, line) in lines.iter().enumerate() {
            world.batch(&[&touchpoint(line, from + number)]);
        }
        world.commit();
    };
    tell(&mut world, &lines, 0);
    assert!(!world.told.outcomes.contains(&capped), "64 are remembered");
    // Each day has one entry that counts, and it reached its purchase.
    let day = |world: &World, day: &str| world.told.cells[&format!("conversion day:{day} company")].clone();
    assert_eq!((day(&world, "2026-03-02").n, day(&world, "2026-03-02").a), (1, 1));
    tell(&mut world, &["web page_viewed at 6d00:00".to_owned()], 200);
    assert!(world.told.outcomes.contains(&capped));
    let cancelled =
        ["support order_cancelled O0 at 6d01:00", "support order_cancelled O12 at 6d02:00"].map(str::to_owned);
    tell(&mut world, &cancelled, 201);
    assert_eq!(day(&world, "2026-03-02").a, 1, "the first one is not known any more");
    assert_eq!(day(&world, "2026-03-03").a, 1, "the next purchase is as near");

    let mut world = World::new(10);
    let answers = |count: usize| {
        (0..count)
            .map(|item| format!("web survey_answered expectation 5 of item{item} at 00:{item:02}"))
            .collect::<Vec<_>>()
    };
    tell(&mut world, &answers(32), 0);
    assert!(!world.told.outcomes.contains(&capped));
    tell(&mut world, &answers(33)[32..], 32);
    assert!(world.told.outcomes.contains(&capped));
    let late = ["item1", "item0"].map(|item| format!("web survey_answered perception 4 of {item} at 1d00:00"));
    tell(&mut world, &late, 40);
    assert_eq!(world.told.cells["expectation_gap day:2026-03-03 company"].n, 1);
    assert!(!world.told.cells.contains_key("expectation_gap day:2026-03-03 item=item0"));
}
