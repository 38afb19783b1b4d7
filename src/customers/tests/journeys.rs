//! Journeys as stories: who gets where by which steps, and when they are given up.

use expect_test::expect;

use super::world::{World, check_customers, options, touchpoint};
use crate::{customers::Customers, model::Goal};

#[test]
fn a_purchase_ends_the_journey_that_led_to_it_and_the_next_leads_to_a_repurchase() {
    check_customers(
        &[
            "marketing message_clicked channel email at 0d09:00",
            "marketing page_viewed channel web at 0d09:05",
            "marketing page_viewed channel web at 0d09:10",
            "sales order_placed O1 for 500EUR channel web at 1d09:00",
            "operations order_delivered O1 at 3d09:00",
            "sales visit_made channel store at 9d09:00",
            "sales order_placed O2 for 700EUR channel store at 9d10:00",
        ],
        &["journeys"],
        expect![[r#"
            journeys month:2026-03 first_purchase converted marketing:message_clicked:email>marketing:page_viewed:web: n 1, sum 86400000
            journeys month:2026-03 repurchase converted operations:order_delivered:>sales:visit_made:store: n 1, sum 522000000"#]],
    );
}

#[test]
fn a_purchase_out_of_nowhere_has_no_steps() {
    check_customers(
        &["sales order_placed O1 for 500EUR channel web at 1d09:00"],
        &["journeys"],
        expect!["journeys month:2026-03 first_purchase converted : n 1"],
    );
}

#[test]
fn a_journey_expires_at_a_close_and_a_late_touchpoint_brings_it_back() {
    let expired = [
        "marketing ad_clicked channel web segment gold at 0d09:00",
        "marketing page_viewed channel web at 1d09:00",
        "closed 31d",
    ];
    check_customers(
        &expired,
        &["journeys"],
        expect![[r#"
            journeys month:2026-04 first_purchase gold lost marketing:ad_clicked:web>marketing:page_viewed:web: n 1
            journeys month:2026-04 first_purchase lost marketing:ad_clicked:web>marketing:page_viewed:web: n 1"#]],
    );
    check_customers(&[&expired[..], &["sales visit_made at 20d09:00"]].concat(), &["journeys"], expect![[""]]);
    // Not closed yet: nobody knows whether something comes.
    check_customers(&[&expired[..2], &["closed 30d"]].concat(), &["journeys"], expect![[""]]);
}

#[test]
fn what_comes_after_the_expiry_begins_another_journey() {
    check_customers(
        &[
            "marketing ad_clicked channel web at 0d09:00",
            "sales visit_made channel store at 40d09:00",
            "sales order_placed O1 for 500EUR at 40d10:00",
        ],
        &["journeys"],
        expect![[r#"
            journeys month:2026-04 first_purchase converted sales:visit_made:store: n 1, sum 3600000
            journeys month:2026-04 first_purchase lost marketing:ad_clicked:web: n 1"#]],
    );
}

#[test]
fn a_cancelled_purchase_turns_its_journey_into_a_lost_one_where_it_was_counted() {
    check_customers(
        &[
            "marketing ad_clicked channel web segment gold at 0d09:00",
            "sales order_placed O1 for 500EUR at 1d09:00",
            "support order_cancelled O1 at 33d09:00",
        ],
        &["journeys month:2026-03"],
        expect![[r#"
            journeys month:2026-03 first_purchase gold lost marketing:ad_clicked:web: n 1
            journeys month:2026-03 first_purchase lost marketing:ad_clicked:web: n 1"#]],
    );
}

#[test]
fn a_case_is_a_journey_to_its_resolution_and_an_internal_note_no_step() {
    check_customers(
        &[
            "support case_opened T1 channel phone at 0d09:00",
            "support case_replied T1 internal channel email at 0d09:30",
            "support case_replied T1 channel email at 0d10:00",
            "support case_resolved T1 channel email at 0d11:00",
            "support case_resolved T1 channel email at 0d12:00",
        ],
        &["journeys month:2026-03 resolution"],
        expect![
            "journeys month:2026-03 resolution converted support:case_opened:phone>support:case_replied:email: n 1, sum 7200000"
        ],
    );
}

#[test]
fn a_subscription_is_a_journey_to_each_renewal_and_lost_when_it_is_cancelled() {
    check_customers(
        &[
            "sales subscription_started S1 for 500EUR at 0d09:00",
            "sales subscription_renewed S1 for 500EUR at 29d09:00",
            "marketing message_sent channel email at 30d09:00",
            "sales subscription_cancelled S1 at 31d09:00",
        ],
        &["journeys month:2026-03 renewal", "journeys month:2026-04 renewal"],
        expect![[r#"
            journeys month:2026-03 renewal converted sales:subscription_started:: n 1, sum 2505600000
            journeys month:2026-04 renewal lost sales:subscription_renewed:>marketing:message_sent:email: n 1"#]],
    );
}

#[test]
fn only_the_newest_steps_of_a_long_journey_count() {
    let days: Vec<String> = (0..20)
        .map(|day| {
            let channel = if day % 2 == 0 { "web" } else { "app" };
            format!("marketing page_viewed channel {channel} at {day}d09:00")
        })
        .collect();
    let mut arrivals: Vec<&str> = days.iter().map(String::as_str).collect();
    arrivals.push("sales order_placed O1 at 20d09:00");
    check_customers(
        &arrivals,
        &["journeys month:2026-03 first_purchase"],
        expect![[r#"
            journeys month:2026-03 first_purchase converted marketing:page_viewed:web>marketing:page_viewed:app>marketing:page_viewed:web>marketing:page_viewed:app>marketing:page_viewed:web>marketing:page_viewed:app>marketing:page_viewed:web>marketing:page_viewed:app>marketing:page_viewed:web>marketing:page_viewed:app>marketing:page_viewed:web>marketing:page_viewed:app>marketing:page_viewed:web>marketing:page_viewed:app>marketing:page_viewed:web>marketing:page_viewed:app: n 1, sum 1728000000"#]],
    );
}

#[test]
fn whoever_is_left_without_a_purchase_is_on_the_way_to_the_first_one_and_no_purchase_reaches_both() {
    let placed = "sales order_placed O1 for 500EUR at 0d09:00";
    let paid = "sales payment_received O1 at 1d09:00";
    let cancelled = "sales order_cancelled O1 at 2d09:00";
    let again = "sales order_placed O2 for 700EUR at 3d09:00";
    let shown = || {
        expect![[r#"
        journeys month:2026-03 first_purchase converted sales:order_cancelled:: n 1, sum 86400000
        journeys month:2026-03 first_purchase lost : n 1"#]]
    };
    check_customers(&[placed, paid, cancelled, again], &["journeys"], shown());
    check_customers(&[again, cancelled, paid, placed], &["journeys"], shown());
    check_customers(&[placed, paid, again, cancelled], &["journeys"], shown());
    // Nobody expects a next purchase of who has none.
    check_customers(
        &[placed, paid, cancelled, "closed 60d"],
        &["journeys"],
        expect![[r#"
        journeys month:2026-03 first_purchase lost : n 1
        journeys month:2026-04 first_purchase lost sales:order_cancelled:: n 1
        journeys month:2026-04 referral lost sales:order_placed:>sales:payment_received:>sales:order_cancelled:: n 1"#]],
    );
    // With another one it goes on, and that one is the first.
    let other = "sales order_placed O3 for 700EUR at 0d10:00";
    check_customers(
        &[placed, other, paid, cancelled, again],
        &["journeys"],
        expect![[r#"
        journeys month:2026-03 first_purchase converted : n 1
        journeys month:2026-03 first_purchase lost : n 1
        journeys month:2026-03 repurchase converted sales:payment_received:>sales:order_cancelled:: n 1, sum 172800000"#]],
    );
}

#[test]
fn a_note_that_takes_the_last_purchase_away_or_brings_the_first_one_is_no_step_and_ends_what_is_pointless() {
    let paid = ["sales order_placed O1 for 500EUR at 0d09:00", "sales payment_received O1 at 1d09:00"];
    let again = "sales order_placed O2 for 700EUR at 3d09:00";
    check_customers(
        &[paid[0], paid[1], "sales order_cancelled O1 internal at 2d09:00", again],
        &["journeys"],
        expect![[r#"
            journeys month:2026-03 first_purchase converted : n 1
            journeys month:2026-03 first_purchase lost : n 1"#]],
    );
    // It had expired by then: it is lost, and stays so.
    let late = "sales order_cancelled O1 internal at 40d09:00";
    check_customers(
        &[paid[0], paid[1], "closed 35d", late],
        &["journeys"],
        expect![[r#"
        journeys month:2026-03 first_purchase lost : n 1
        journeys month:2026-04 referral lost sales:order_placed:>sales:payment_received:: n 1
        journeys month:2026-04 repurchase lost sales:payment_received:: n 1"#]],
    );
    check_customers(
        &[paid[0], paid[1], "closed 35d", late, "web page_viewed at 41d09:00"],
        &["journeys"],
        expect![[r#"
            journeys month:2026-03 first_purchase lost : n 1
            journeys month:2026-04 referral lost sales:order_placed:>sales:payment_received:: n 1
            journeys month:2026-04 repurchase lost sales:payment_received:: n 1"#]],
    );
    // Bought where nobody saw it: what comes then is the next purchase, and it is not the first as well.
    let noted = "sales order_placed O1 for 500EUR internal at 2d09:00";
    check_customers(
        &["web page_viewed at 1d09:00", noted, again],
        &["journeys"],
        expect!["journeys month:2026-03 repurchase converted : n 1"],
    );
}

#[test]
fn where_the_first_purchase_is_cancelled_the_next_that_stands_is_the_first_with_its_own_steps() {
    let seen = "marketing ad_clicked channel web at 0d08:00";
    let placed = "sales order_placed O1 for 500EUR at 0d09:00";
    let asked = "support case_replied channel chat at 0d10:00";
    let corrected = "sales order_placed O2 for 600EUR at 0d11:00";
    let off = "sales order_cancelled O1 at 0d12:00";
    let told = [seen, placed, asked, corrected];
    let before = || {
        expect![[r#"
            journeys month:2026-03 first_purchase converted marketing:ad_clicked:web: n 1, sum 3600000
            journeys month:2026-03 repurchase converted support:case_replied:chat: n 1, sum 3600000"#]]
    };
    check_customers(&told, &["journeys"], before());
    // One person, one purchase, one conversion: and no repurchase.
    let after = || {
        expect![[r#"
            journeys month:2026-03 first_purchase converted support:case_replied:chat: n 1, sum 3600000
            journeys month:2026-03 first_purchase lost marketing:ad_clicked:web: n 1"#]]
    };
    check_customers(&[&told[..], &[off]].concat(), &["journeys"], after());
    check_customers(&[off, corrected, asked, placed, seen], &["journeys"], after());
    // Another one was bought by then: it stays a further one, with what led from the one before it.
    let third = ["web page_viewed channel app at 0d11:10", "sales order_placed O3 for 100EUR at 0d11:30"];
    let three = || {
        expect![[r#"
            journeys month:2026-03 first_purchase converted support:case_replied:chat: n 1, sum 3600000
            journeys month:2026-03 first_purchase lost marketing:ad_clicked:web: n 1
            journeys month:2026-03 repurchase converted web:page_viewed:app: n 1, sum 1200000"#]]
    };
    check_customers(&[&told[..], &third, &[off]].concat(), &["journeys"], three());
    // So it does if the one in the middle is cancelled, until the first is as well.
    let middle = "sales order_cancelled O2 at 0d12:00";
    let all = [&told[..], &third, &[middle]].concat();
    check_customers(
        &all,
        &["journeys"],
        expect![[r#"
            journeys month:2026-03 first_purchase converted marketing:ad_clicked:web: n 1, sum 3600000
            journeys month:2026-03 repurchase converted web:page_viewed:app: n 1, sum 1200000
            journeys month:2026-03 repurchase lost support:case_replied:chat: n 1"#]],
    );
    check_customers(
        &[&all[..], &["sales order_cancelled O1 at 0d13:00"]].concat(),
        &["journeys"],
        expect![[r#"
            journeys month:2026-03 first_purchase converted web:page_viewed:app: n 1, sum 1200000
            journeys month:2026-03 first_purchase lost marketing:ad_clicked:web: n 1
            journeys month:2026-03 repurchase lost support:case_replied:chat: n 1"#]],
    );
    // What became the first and is cancelled then led to none: nobody has bought.
    check_customers(
        &[&told[..], &[off, "sales order_cancelled O2 at 0d13:00"]].concat(),
        &["journeys"],
        expect![[r#"
            journeys month:2026-03 first_purchase lost marketing:ad_clicked:web: n 1
            journeys month:2026-03 first_purchase lost support:case_replied:chat: n 1"#]],
    );
}

#[test]
fn a_purchase_that_cannot_be_cancelled_becomes_the_first_like_any_other() {
    let told = |next: &'static str| {
        [
            "sales order_placed O1 for 500EUR at 0d09:00",
            "support case_replied channel chat segment gold at 0d10:00",
            next,
            "sales order_cancelled O1 at 33d12:00",
        ]
    };
    for next in ["sales order_placed for 600EUR at 0d11:00", "sales subscription_started S1 for 600EUR at 0d11:00"] {
        check_customers(
            &told(next),
            &["journeys month:2026-03"],
            expect![[r#"
                journeys month:2026-03 first_purchase converted support:case_replied:chat: n 1, sum 3600000
                journeys month:2026-03 first_purchase gold converted support:case_replied:chat: n 1, sum 3600000
                journeys month:2026-03 first_purchase lost : n 1"#]],
        );
    }
}

#[test]
fn an_order_that_is_forgotten_keeps_what_led_to_it_as_long_as_it_can_become_the_first() {
    // The second order was named before the first, so it is forgotten for the last of many others, and the first one is not.
    let mut told: Vec<String> = [
        "operations order_shipped O2 at 0d07:00",
        "sales order_placed O1 for 500EUR at 0d09:00",
        "support case_replied channel chat at 0d10:00",
        "sales order_placed O2 for 600EUR at 0d11:00",
    ]
    .map(str::to_owned)
    .into();
    told.extend((0..255).map(|number| format!("operations order_shipped O{} at 1d09:00", 1_000 + number)));
    told.push("sales order_cancelled O1 at 2d09:00".to_owned());
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    check_customers(
        &told,
        &["journeys month:2026-03 first_purchase"],
        expect![[r#"
            journeys month:2026-03 first_purchase converted support:case_replied:chat: n 1, sum 3600000
            journeys month:2026-03 first_purchase lost operations:order_shipped:: n 1"#]],
    );
}

#[test]
fn of_two_kinds_of_purchase_one_alone_can_be_a_goal_and_the_first_is_counted_whichever_it_is() {
    let told = [
        "marketing ad_clicked channel web at 0d08:00",
        "sales order_placed O1 for 500EUR at 0d09:00",
        "support case_replied channel chat at 0d10:00",
        "sales order_placed O2 for 600EUR at 0d11:00",
        "sales page_viewed channel app at 0d12:00",
    ];
    let off = ["sales order_cancelled O1 at 0d13:00", "sales order_cancelled O2 at 0d14:00"];
    let shown = |goals: &str, cancelled: usize| {
        let mut world = World::new(10);
        let mut options = options(10);
        options.fold.journeys.goals = Goal::parse_list(goals).expect("goals").into();
        world.stage = Customers::new(options);
        for (number, line) in told.iter().chain(&off[..cancelled]).enumerate() {
            world.batch(&[&touchpoint(line, number)]);
        }
        world.commit();
        let lines: Vec<String> = world.lines().into_iter().filter(|line| line.starts_with("journeys")).collect();
        lines.join("\n")
    };
    let led = "journeys month:2026-03 first_purchase converted marketing:ad_clicked:web: n 1, sum 3600000";
    assert_eq!(shown("first_purchase", 0), led);
    let lost = "journeys month:2026-03 first_purchase lost marketing:ad_clicked:web: n 1";
    let next = "journeys month:2026-03 first_purchase converted support:case_replied:chat: n 1, sum 3600000";
    assert_eq!(shown("first_purchase", 1), format!("{next}\n{lost}"));
    let next_lost = "journeys month:2026-03 first_purchase lost support:case_replied:chat: n 1";
    assert_eq!(shown("first_purchase", 2), format!("{lost}\n{next_lost}"));

    let again = "journeys month:2026-03 repurchase converted support:case_replied:chat: n 1, sum 3600000";
    assert_eq!(shown("repurchase", 0), again);
    for cancelled in [1, 2] {
        assert_eq!(shown("repurchase", cancelled), "", "nobody bought twice");
    }
}
