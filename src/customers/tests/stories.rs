//! Each sentence of the fold's meaning as a story.

use expect_test::expect;

use super::world::{World, check_customers, time, touchpoint};
use crate::model::Outcome;

#[test]
fn a_late_purchase_moves_new_customers_to_its_own_week() {
    check_customers(
        &["sales order_placed O2 for 500EUR at 8d10:00", "sales order_placed O1 for 300EUR at 1d10:00"],
        &["new_customers week", "orders week", "record.orders", "record.frequency"],
        expect![[r#"
            new_customers week:2026-W10 company: n 1
            new_customers week:2026-W10 phase=before: n 1
            new_customers week:2026-W10 spoke=sales: n 1
            orders week:2026-W10 company: n 1
            orders week:2026-W10 phase=before: n 1
            orders week:2026-W10 spoke=sales: n 1
            orders week:2026-W11 company: n 1
            orders week:2026-W11 phase=during: n 1
            orders week:2026-W11 spoke=sales: n 1
            record.orders: 2
            record.frequency: 1"#]],
    );
}

#[test]
fn a_cancellation_retracts_in_the_orders_own_week_and_the_next_purchase_is_the_first() {
    check_customers(
        &[
            "sales order_placed O1 for 300EUR region north at 1d10:00",
            "sales order_placed O2 for 500EUR region south at 8d10:00",
            "support order_cancelled O1 at 15d10:00",
        ],
        &[
            "new_customers week",
            "orders week",
            "revenue week",
            "average_order_value month:2026-03 company",
            "record.orders",
        ],
        expect![[r#"
            average_order_value month:2026-03 company EUR: n 1, sum 500
            new_customers week:2026-W11 company: n 1
            new_customers week:2026-W11 phase=during: n 1
            new_customers week:2026-W11 region=south: n 1
            new_customers week:2026-W11 spoke=sales: n 1
            orders week:2026-W11 company: n 1
            orders week:2026-W11 phase=during: n 1
            orders week:2026-W11 region=south: n 1
            orders week:2026-W11 spoke=sales: n 1
            revenue week:2026-W11 company EUR: n 1, sum 500
            revenue week:2026-W11 phase=during EUR: n 1, sum 500
            revenue week:2026-W11 region=south EUR: n 1, sum 500
            revenue week:2026-W11 spoke=sales EUR: n 1, sum 500
            record.orders: 1"#]],
    );
}

#[test]
fn a_cancelled_order_never_becomes_live_again_and_nobody_is_new_without_a_purchase() {
    check_customers(
        &[
            "sales order_placed O1 for 300EUR at 1d10:00",
            "sales order_cancelled O1 at 2d10:00",
            "sales order_placed O1 for 300EUR at 3d10:00",
        ],
        &["new_customers", "orders", "revenue", "record.orders", "record.phase", "record.revenue"],
        expect![[r#"
            record.phase: Before
            record.orders: 0
            record.revenue: {}"#]],
    );
}

#[test]
fn a_purchase_without_a_name_cannot_be_cancelled_and_any_nameless_delivery_delivers_it() {
    check_customers(
        &[
            "sales order_placed for 300EUR at 10:00",
            "sales order_cancelled at 11:00",
            "web page_viewed at 12:00",
            "operations order_delivered at 13:00",
            "web page_viewed at 14:00",
        ],
        &["orders day:2026-03-02 company", "reach day:2026-03-02 phase", "record.phase"],
        expect![[r#"
            orders day:2026-03-02 company: n 1
            reach day:2026-03-02 phase=after: n 1
            reach day:2026-03-02 phase=before: n 1
            reach day:2026-03-02 phase=during: n 1
            record.phase: After"#]],
    );
}

#[test]
fn a_subscription_counts_once_as_delivered_and_its_renewals_are_revenue_only() {
    check_customers(
        &[
            "sales subscription_started C1 for 900EUR at 10:00",
            "sales subscription_started C1 for 900EUR at 11:00",
            "sales subscription_renewed C1 for 800EUR at 1d10:00",
            "sales subscription_cancelled C1 at 1d11:00",
        ],
        &[
            "orders week:2026-W10 company",
            "revenue week:2026-W10 company",
            "average_order_value week:2026-W10 company",
            "record.phase",
            "record.orders",
        ],
        expect![[r#"
            average_order_value week:2026-W10 company EUR: n 1, sum 900
            orders week:2026-W10 company: n 1
            revenue week:2026-W10 company EUR: n 2, sum 1700
            record.phase: After
            record.orders: 1"#]],
    );
}

#[test]
fn a_replaced_promise_moves_its_level_to_the_new_day() {
    check_customers(
        &[
            "sales order_placed O1 promised 2d12:00 at 10:00",
            "operations order_shipped O1 promised 5d12:00 at 1d10:00",
            "closed 6d",
        ],
        &["overdue", "record.open_promises", "record.overdue_promises"],
        expect![[r#"
            overdue day:2026-03-07 company: n 1
            overdue day:2026-03-07 phase=during: n 1
            overdue day:2026-03-07 spoke=operations: n 1
            record.open_promises: 1
            record.overdue_promises: 1"#]],
    );
}

#[test]
fn a_promise_is_overdue_from_its_day_until_the_delivery() {
    check_customers(
        &["sales order_placed O1 promised 2d12:00 at 10:00", "operations order_delivered O1 at 4d12:00"],
        &[
            "overdue day:2026-03-04",
            "overdue day:2026-03-06",
            "promise_gap day:2026-03-06 company",
            "on_time day:2026-03-06 company",
        ],
        expect![[r#"
            on_time day:2026-03-06 company: n 1
            overdue day:2026-03-04 company: n 1
            overdue day:2026-03-04 phase=before: n 1
            overdue day:2026-03-04 spoke=sales: n 1
            overdue day:2026-03-06 company: n -1
            overdue day:2026-03-06 phase=before: n -1
            overdue day:2026-03-06 spoke=sales: n -1
            promise_gap day:2026-03-06 company: n 1, a 1, sum 172800000"#]],
    );
}

#[test]
fn the_cancellation_of_an_order_whose_placing_is_not_known_ends_its_promise_and_a_placing_after_it_begins_anew() {
    let promised = "operations delivery_promised O1 promised 1d12:00 at 09:00";
    let cancelled = "sales order_cancelled O1 at 3d09:00";
    let shipped = "operations order_shipped O1 promised 5d12:00 at 4d09:00";
    let show =
        ["overdue day:2026-03-0", "record.open_promises", "record.overdue_promises", "record.orders", "on_time month"];
    let over = || {
        expect![[r#"
        overdue day:2026-03-03 company: n 1
        overdue day:2026-03-03 phase=before: n 1
        overdue day:2026-03-03 spoke=operations: n 1
        overdue day:2026-03-05 company: n -1
        overdue day:2026-03-05 phase=before: n -1
        overdue day:2026-03-05 spoke=operations: n -1
        record.orders: 0
        record.open_promises: 0
        record.overdue_promises: 0"#]]
    };
    for arrivals in [[promised, cancelled, shipped], [shipped, cancelled, promised], [cancelled, promised, shipped]] {
        check_customers(&[&arrivals[..], &["closed 8d"]].concat(), &show, over());
    }
    // What was placed is promised with it and after it, also for the same moment once more; what was promised before is off.
    let placed = "sales order_placed O1 promised 1d12:00 at 6d09:00";
    let again = || {
        expect![[r#"
        overdue day:2026-03-03 company: n 1
        overdue day:2026-03-03 phase=before: n 1
        overdue day:2026-03-03 spoke=operations: n 1
        overdue day:2026-03-05 company: n -1
        overdue day:2026-03-05 phase=before: n -1
        overdue day:2026-03-05 spoke=operations: n -1
        overdue day:2026-03-08 company: n 1
        overdue day:2026-03-08 phase=before: n 1
        overdue day:2026-03-08 spoke=sales: n 1
        record.orders: 1
        record.open_promises: 1
        record.overdue_promises: 1"#]]
    };
    check_customers(&[promised, cancelled, shipped, placed, "closed 8d"], &show, again());
    check_customers(&[placed, cancelled, shipped, promised, "closed 8d"], &show, again());
    // A delivery keeps no promise that is off.
    let delivered = "operations order_delivered O1 at 6d09:00";
    check_customers(&[promised, cancelled, shipped, delivered, "closed 8d"], &show, over());
}

#[test]
fn what_is_paid_back_of_an_order_that_was_cancelled_counts_from_its_placing_on_if_that_comes_later() {
    let refunds = [
        "operations refund_issued O1 for 1EUR at 09:00",
        "operations refund_issued O1 for 20EUR at 2d09:00",
        "operations refund_issued O1 for 300EUR at 4d09:00",
    ];
    let cancelled = "sales order_cancelled O1 at 1d09:00";
    let placed = "sales order_placed O1 for 5000EUR at 3d09:00";
    let show = ["margin month:2026-03 company", "customer_value month:2026-03 company"];
    let told = [refunds[0], cancelled, refunds[1], placed, refunds[2]];
    let mut backwards = told;
    backwards.reverse();
    for arrivals in [told, backwards] {
        check_customers(
            &arrivals,
            &show,
            expect![[r#"
            customer_value month:2026-03 company: n 1, 4700 EUR
            margin month:2026-03 company EUR: n 2, sum 4700"#]],
        );
    }
    check_customers(&told[..3], &show, expect!["customer_value month:2026-03 company: n 1"]);
    check_customers(
        &[&told[..], &["sales order_cancelled O1 at 5d09:00"]].concat(),
        &show,
        expect!["customer_value month:2026-03 company: n 1"],
    );
}

#[test]
fn a_promise_kept_by_its_day_or_cancelled_before_was_never_overdue() {
    check_customers(
        &[
            "sales order_placed O1 promised 2d12:00 at 10:00",
            "operations order_delivered O1 at 2d11:00",
            "operations order_delivered O1 at 2d12:00",
            "sales order_placed O2 promised 3d12:00 at 10:00",
            "sales order_cancelled O2 at 1d12:00",
            "sales delivery_promised promised 3d12:00 at 10:00",
        ],
        &[
            "overdue",
            "on_time month:2026-03 company",
            "return_rate month:2026-03 company",
            "record.open_promises",
            "record.deliveries",
        ],
        expect![[r#"
            on_time month:2026-03 company: n 1, a 1
            return_rate month:2026-03 company: n 1
            record.deliveries_on_time: 1
            record.deliveries_late: 0
            record.open_promises: 0"#]],
    );
}

#[test]
fn a_return_counts_once_where_it_happens_also_of_an_unknown_order() {
    check_customers(
        &[
            "operations order_returned O9 at 10:00",
            "operations order_returned O9 at 11:00",
            "operations order_returned at 12:00",
        ],
        &["return_rate week:2026-W10 company"],
        expect!["return_rate week:2026-W10 company: n 0, a 2"],
    );
}

#[test]
fn only_an_agents_public_reply_is_the_first() {
    check_customers(
        &[
            "support case_opened T1 at 09:00",
            "support case_replied T1 bot at 09:01",
            "support case_replied T1 internal at 09:05",
            "support case_replied T1 at 09:20",
            "support case_replied T1 at 09:50",
            "support case_replied T2 at 09:55",
        ],
        &["first_response_time day:2026-03-02 company", "unanswered", "record.open_cases"],
        expect![[r#"
            first_response_time day:2026-03-02 company: n 1, sum 1200000
            record.open_cases: 1"#]],
    );
}

#[test]
fn a_case_is_unanswered_from_the_day_of_its_target_until_a_reply_or_resolution() {
    check_customers(
        &[
            "support case_opened T1 at 09:00",
            "support case_resolved T1 at 3d09:00",
            "support case_replied T1 at 4d09:00",
        ],
        &["unanswered", "first_response_time month:2026-03 company", "resolution_time month:2026-03 company"],
        expect![[r#"
            first_response_time month:2026-03 company: n 1, sum 345600000
            resolution_time month:2026-03 company: n 1, sum 259200000
            unanswered day:2026-03-03 company: n 1
            unanswered day:2026-03-03 phase=before: n 1
            unanswered day:2026-03-03 spoke=support: n 1
            unanswered day:2026-03-05 company: n -1
            unanswered day:2026-03-05 phase=before: n -1
            unanswered day:2026-03-05 spoke=support: n -1"#]],
    );
}

#[test]
fn a_reopened_case_is_open_again_and_its_second_resolution_is_not_timed() {
    check_customers(
        &[
            "support case_opened T1 at 09:00",
            "support case_resolved T1 at 10:00",
            "support case_reopened T1 at 11:00",
            "support case_resolved T1 at 12:00",
            "support case_reopened T1 at 13:00",
            "support case_opened T1 at 14:00",
        ],
        &["resolution_time day:2026-03-02 company", "record.open_cases", "contact_rate day:2026-03-02 company"],
        expect![[r#"
            contact_rate day:2026-03-02 company: n 1, a 1
            resolution_time day:2026-03-02 company: n 1, sum 3600000
            record.open_cases: 1"#]],
    );
}

#[test]
fn a_person_is_reached_once_per_window_and_value() {
    check_customers(
        &[
            "web page_viewed region north at 09:00",
            "web page_viewed region north at 10:00",
            "web page_viewed region south at 2d09:00",
            "web ad_shown region south by customer_id:bob at 2d10:00",
        ],
        &[
            "reach week:2026-W10",
            "contact_rate week:2026-W10",
            "reach day:2026-03-02 company",
            "reach day:2026-03-04 company",
        ],
        expect![[r#"
            contact_rate week:2026-W10 company: n 1
            contact_rate week:2026-W10 phase=before: n 1
            contact_rate week:2026-W10 region=north: n 1
            contact_rate week:2026-W10 region=south: n 1
            contact_rate week:2026-W10 spoke=web: n 1
            reach day:2026-03-02 company: n 1
            reach day:2026-03-04 company: n 2
            reach week:2026-W10 company: n 2
            reach week:2026-W10 phase=before: n 2
            reach week:2026-W10 region=north: n 1
            reach week:2026-W10 region=south: n 2
            reach week:2026-W10 spoke=web: n 2"#]],
    );
}

#[test]
fn answers_and_sentiment_count_with_their_shares() {
    check_customers(
        &[
            "support survey_answered nps 9 at 09:00",
            "support survey_answered nps 6 at 10:00",
            "support survey_answered nps 8 at 11:00",
            "support survey_answered csat 4 at 12:00",
            "support survey_answered ces 5 at 13:00",
            "support survey_answered sentiment -21 at 14:00",
            "support survey_answered sentiment -20 at 15:00",
        ],
        &[
            "nps month:2026-03 company",
            "csat month:2026-03 company",
            "ces month:2026-03 company",
            "sentiment month:2026-03 company",
        ],
        expect![[r#"
            ces month:2026-03 company: n 1, a 1, sum 5
            csat month:2026-03 company: n 1, a 1, sum 4
            nps month:2026-03 company: n 3, a 1, b 1
            sentiment month:2026-03 company: n 2, a 1, sum -41"#]],
    );
}

#[test]
fn messages_count_for_thirty_closed_days() {
    let message = "marketing message_sent at 09:00";
    check_customers(&[message], &["record.contacts"], expect!["record.contacts_30_days: 0"]);
    check_customers(&[message, "closed 0d"], &["record.contacts"], expect!["record.contacts_30_days: 1"]);
    check_customers(&[message, "closed 29d"], &["record.contacts"], expect!["record.contacts_30_days: 1"]);
    check_customers(&[message, "closed 30d"], &["record.contacts"], expect!["record.contacts_30_days: 0"]);
}

#[test]
fn a_journey_collapses_repeats_and_starts_anew_after_a_purchase() {
    check_customers(
        &[
            "web page_viewed channel web at 09:00",
            "sales order_placed O1 at 10:00",
            "web page_viewed channel web at 11:00",
            "web page_viewed channel web at 12:00",
            "web page_viewed channel app at 13:00",
        ],
        &["record.journey", "record.kind", "record.channel"],
        expect![[
            r#"record.journey: [JourneyStep { spoke: "web", kind: PageViewed, channel: Some(Web) }, JourneyStep { spoke: "web", kind: PageViewed, channel: Some(App) }]"#
        ]],
    );
}

#[test]
fn the_whole_record() {
    check_customers(
        &[
            "support case_opened T1 by email:ann@x.org channel phone segment gold region north sentiment -40 at 09:00",
            "support case_replied T1 by email:ann@x.org at 09:20",
            "sales order_placed O1 by email:ann@x.org for 1999EUR promised 3d12:00 at 1d09:00",
            "support survey_answered by email:ann@x.org nps 9 at 2d09:00",
        ],
        &["record."],
        expect![[r#"
            record.person: "3ca44b08c3a446119164e6c889a6c1de"
            record.identifiers: {"case": ["T1"], "email": ["ann@x.org"], "order": ["O1"]}
            record.first_seen: EventTime(1772442000000)
            record.last_seen: EventTime(1772614800000)
            record.touchpoints: 4
            record.touchpoints_by_spoke: {"sales": 1, "support": 3}
            record.touchpoints_by_kind: {"case_opened": 1, "case_replied": 1, "order_placed": 1, "survey_answered": 1}
            record.touchpoints_by_channel: {"phone": 1}
            record.phase: During
            record.orders: 1
            record.frequency: 0
            record.revenue: {"EUR": 1999}
            record.monetary_value: {"EUR": 1999.0}
            record.buying: Some(BuyingSummary { first_on: Day(20515), last_on: Day(20515), days: 1, repeat_paid_days: 0, repeat_paid: 0 })
            record.rhythm: None
            record.open_cases: 1
            record.scores: {"nps": ScoreSummary { n: 1, last: 9, mean: 9.0 }}
            record.sentiment: Some(ScoreSummary { n: 1, last: -40, mean: -40.0 })
            record.first_response_time: DurationSummary { n: 1, mean_seconds: Some(1200.0) }
            record.resolution_time: DurationSummary { n: 0, mean_seconds: None }
            record.deliveries_on_time: 0
            record.deliveries_late: 0
            record.open_promises: 1
            record.overdue_promises: 0
            record.contacts_30_days: 0
            record.journey: [JourneyStep { spoke: "support", kind: SurveyAnswered, channel: None }]
            record.segment: Some("gold")
            record.region: Some("north")
            record.account: None"#]],
    );
}

#[test]
fn copies_are_duplicates_and_of_two_versions_the_smaller_hash_survives_in_either_order() {
    let versions = ["sales order_placed O1 #1 for 100EUR at 09:00", "sales order_placed O1 #1 for 200EUR at 1d09:00"]
        .map(|line| touchpoint(line, 0));
    let mut told = Vec::new();
    for order in [[0, 1], [1, 0]] {
        let mut world = World::new(10);
        for index in [order[0], order[0], order[1]] {
            world.batch(&[&versions[index]]);
        }
        world.commit();
        let spoke = "sales".to_owned();
        assert_eq!(world.told.outcomes, [(spoke.clone(), Outcome::Duplicate), (spoke, Outcome::Conflicting)]);
        assert_eq!(world.told.touchpoints.len(), 1);
        world.told.outcomes.clear();
        // Links hears when a pair was seen first.
        world.told.messages.clear();
        told.push((world.told, world.store));
    }
    assert_eq!(told[0], told[1]);
}

#[test]
fn what_happened_on_a_day_that_its_source_had_passed_is_late_once_and_copies_of_it_are_not() {
    let mut world = World::new(10);
    let first = touchpoint("sales order_placed O1 at 3d10:00", 1);
    world.batch(&[&first]);
    let late = |world: &World| world.told.outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Late).count();
    assert_eq!(late(&world), 0, "nothing was said of its source yet");
    world.after = Some(time("5d08:00"));
    let before = touchpoint("sales order_placed O2 at 4d23:59", 2);
    let same_day = touchpoint("sales order_placed O3 at 5d00:00", 3);
    world.batch(&[&before, &same_day]);
    assert_eq!(late(&world), 1);
    let mut other = before.clone();
    other.subject = Some("another");
    world.batch(&[&before, &other]);
    world.commit();
    assert_eq!(late(&world), 1, "a copy says nothing new, nor does what another version says");
    let known: Vec<Outcome> = world.told.outcomes.iter().map(|(_, outcome)| *outcome).collect();
    assert_eq!(known, [Outcome::Late, Outcome::Duplicate, Outcome::Conflicting]);

    // Two versions that come together are late together.
    let (one, mut two) =
        (touchpoint("sales order_placed O4 at 1d10:00", 4), touchpoint("sales order_placed O4 at 1d10:00", 4));
    two.subject = Some("another");
    world.batch(&[&one, &two]);
    assert_eq!(late(&world), 2);
}

#[test]
fn a_head_forgets_the_oldest_order_and_says_so() {
    let mut world = World::new(10);
    let lines: Vec<String> = (0..257)
        .map(|index| format!("sales order_placed O{index} at {}d{:02}:00", index / 24, index % 24))
        .chain(["sales order_cancelled O0 at 20d10:00".to_owned(), "sales order_cancelled O256 at 20d11:00".to_owned()])
        .collect();
    let touchpoints: Vec<_> = lines.iter().enumerate().map(|(number, line)| touchpoint(line, number)).collect();
    world.batch(&touchpoints.iter().collect::<Vec<_>>());
    world.commit();
    let record = world.told.records.values().next().expect("one person");
    assert_eq!(record.orders, 256, "the first is unknown and stays, the last is cancelled");
    assert!(world.told.outcomes.contains(&("sales".to_owned(), Outcome::Capped)));
    assert_eq!(world.told.cells["new_customers day:2026-03-02 company"].n, 1);
}
