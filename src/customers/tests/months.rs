//! Months as stories: what drivers are found from.

use expect_test::expect;

use super::world::check_customers;

/// csat 0, contacts 6, bought_again 7, revenue 8, margin 9: the sums over single measures.
const SHOWN: [&str; 5] = [
    "months month:2026-03 persons 0,0,p",
    "months month:2026-03 persons 6,6,p",
    "months month:2026-03 persons 7,7,p",
    "months month:2026-03 persons 8,8,p",
    "months month:2026-03 persons 0,8,p",
];

#[test]
fn a_month_counts_at_its_last_close_and_with_the_first_touchpoint_after_it() {
    let march = [
        "sales order_placed O1 for 500EUR at 0d09:00",
        "support survey_answered csat 4 at 1d09:00",
        "support survey_answered csat 3 at 2d09:00",
        "marketing message_sent at 3d09:00",
        "sales order_placed O2 for 700EUR at 4d09:00",
        "sales order_placed O3 for 900USD at 5d09:00",
    ];
    let is_over = |arrivals: &[&str]| {
        check_customers(
            arrivals,
            &SHOWN,
            expect![[r#"
        months month:2026-03 persons 0,0,p: n 1, a 3500, b 3500
        months month:2026-03 persons 0,8,p: n 1, a 3500, b 1200
        months month:2026-03 persons 6,6,p: n 1, a 1, b 1
        months month:2026-03 persons 7,7,p: n 1, a 1, b 1
        months month:2026-03 persons 8,8,p: n 1, a 1200, b 1200"#]],
        );
    };
    check_customers(
        &[&march[..], &["closed 28d"]].concat(),
        &["months"],
        expect![[r#"
            months month:2026-03 EUR d,2,20514,1: n 1
            months month:2026-03 EUR s,1,279: n 1, sum 700"#]],
    );
    is_over(&[&march[..], &["closed 29d"]].concat());
    // 2026-04-05: the month is over by a touchpoint, and nothing is counted twice.
    is_over(&[&march[..], &["closed 29d", "web page_viewed at 34d09:00"]].concat());
    is_over(&[&march[..], &["web page_viewed at 34d09:00"]].concat());
}

#[test]
fn a_late_touchpoint_changes_a_month_that_was_over() {
    check_customers(
        &["sales order_placed O1 for 500EUR at 0d09:00", "closed 40d", "support survey_answered csat 5 at 1d09:00"],
        &SHOWN,
        expect![[r#"
            months month:2026-03 persons 0,0,p: n 1, a 5000, b 5000
            months month:2026-03 persons 0,8,p: n 1, a 5000, b 500
            months month:2026-03 persons 6,6,p: n 1
            months month:2026-03 persons 7,7,p: n 1
            months month:2026-03 persons 8,8,p: n 1, a 500, b 500"#]],
    );
}

#[test]
fn a_cancelled_purchase_bought_nothing_again_and_paid_nothing() {
    check_customers(
        &[
            "sales order_placed O1 for 500EUR at 0d09:00",
            "sales order_placed O2 for 700EUR at 4d09:00",
            "sales order_cancelled O1 at 5d09:00",
            "closed 40d",
        ],
        &SHOWN,
        expect![[r#"
            months month:2026-03 persons 6,6,p: n 1
            months month:2026-03 persons 7,7,p: n 1
            months month:2026-03 persons 8,8,p: n 1, a 700, b 700"#]],
    );
}

#[test]
fn amounts_beyond_all_measure_end_at_the_ends_of_the_integers() {
    check_customers(
        &[
            "sales order_placed O1 for -9223372036854775807EUR at 0d09:00",
            "sales refund_issued O1 for 9223372036854775807EUR at 1d09:00",
            "closed 40d",
        ],
        &["months month:2026-03 persons 8,8,p", "months month:2026-03 persons 9,9,p"],
        expect![[r#"
            months month:2026-03 persons 8,8,p: n 1, a -9223372036854775807, b -9223372036854775807
            months month:2026-03 persons 9,9,p: n 1, a -9223372036854775808, b -9223372036854775808"#]],
    );
}

#[test]
fn a_touchpoint_counts_at_its_kind_of_contact_with_what_is_known_of_it_whenever_it_comes() {
    let arrivals = [
        "support survey_answered csat 4 at 1d09:00",
        "support survey_answered nps 9 at 2d09:00",
        "support survey_answered csat 2 at 0d09:00",
        "sales order_placed O1 for 500EUR at 35d09:00",
    ];
    check_customers(
        &arrivals,
        &["balance"],
        expect![[r#"
        balance month:2026-03 contacts support:survey_answered: s: n 2, sum 6
        balance month:2026-03 contacts support:survey_answered: t: n 3
        balance month:2026-04 contacts sales:order_placed: t: n 1"#]],
    );
}

#[test]
fn what_a_cancellation_takes_back_of_refunds_counts_where_it_was_paid_back() {
    // Margin, by itself.
    let shown = ["months month:2026-03 persons 9,9,p", "months month:2026-04 persons 9,9,p"];
    let placed = "sales order_placed O1 for 500EUR at 0d09:00";
    let other = "sales order_placed O2 for 70EUR at 0d10:00";
    let refund = "operations refund_issued O1 for 300EUR at 1d09:00";
    let foreign = "operations refund_issued O1 for 9USD at 1d10:00";
    let cancelled = "sales order_cancelled O1 at 40d09:00";
    let again = "operations refund_issued O1 for 500EUR at 41d09:00";
    check_customers(
        &[placed, other, refund, foreign, cancelled, again, "closed 70d"],
        &shown,
        expect![[r#"
        months month:2026-03 persons 9,9,p: n 1, a 70, b 70
        months month:2026-04 persons 9,9,p: n 1"#]],
    );
    check_customers(
        &[again, refund, cancelled, other, placed, foreign, "closed 70d"],
        &shown,
        expect![[r#"
        months month:2026-03 persons 9,9,p: n 1, a 70, b 70
        months month:2026-04 persons 9,9,p: n 1"#]],
    );
}
