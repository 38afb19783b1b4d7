//! Subjects as stories: what priorities are found from.

use expect_test::expect;

use super::world::check_customers;

/// A customer of March (which begins on day -1) with two subjects.
const MARCH: [&str; 4] = [
    "sales order_placed O1 for 500EUR at 0d09:00",
    "support case_opened T1 subject delivery at 1d09:00",
    "support case_replied T1 subject delivery at 1d10:00",
    "support survey_answered csat 2 subject delivery at 2d09:00",
];

#[test]
fn a_month_counts_once_it_is_known_what_followed() {
    // In April nothing is known yet.
    check_customers(&[&MARCH[..], &["closed 40d"]].concat(), &["priorities"], expect![[""]]);
    let nothing = |arrivals: &[&str]| {
        check_customers(
            &[&MARCH[..], arrivals].concat(),
            &["priorities month:2026-03"],
            expect![[r#"
            priorities month:2026-03 persons g : n 1, b 1, sum 500
            priorities month:2026-03 persons g support case_opened delivery: n 1, b 1, sum 500
            priorities month:2026-03 persons g support case_replied delivery: n 1, b 1, sum 500
            priorities month:2026-03 persons g support survey_answered delivery: n 1, b 1, sum 500
            priorities month:2026-03 persons s : n 1, sum 2000
            priorities month:2026-03 persons s support case_opened delivery: n 1, sum 2000
            priorities month:2026-03 persons s support case_replied delivery: n 1, sum 2000
            priorities month:2026-03 persons s support survey_answered delivery: n 1, sum 2000"#]],
        );
    };
    let bought = |arrivals: &[&str]| {
        check_customers(
            &[&MARCH[..], arrivals].concat(),
            &["priorities month:2026-03"],
            expect![[r#"
            priorities month:2026-03 persons g : n 1, a 1, b 1, sum 500
            priorities month:2026-03 persons g support case_opened delivery: n 1, a 1, b 1, sum 500
            priorities month:2026-03 persons g support case_replied delivery: n 1, a 1, b 1, sum 500
            priorities month:2026-03 persons g support survey_answered delivery: n 1, a 1, b 1, sum 500
            priorities month:2026-03 persons s : n 1, sum 2000
            priorities month:2026-03 persons s support case_opened delivery: n 1, sum 2000
            priorities month:2026-03 persons s support case_replied delivery: n 1, sum 2000
            priorities month:2026-03 persons s support survey_answered delivery: n 1, sum 2000"#]],
        );
    };
    // It is when April is over.
    nothing(&["closed 59d"]);
    // Nothing in April, something in May.
    nothing(&["web page_viewed at 65d09:00"]);
    // Bought again in April, which is over at its last close, or with the first touchpoint of May. Cancelled in April: not bought.
    let again = "sales order_placed O2 for 700EUR at 35d09:00";
    bought(&[again, "closed 59d"]);
    bought(&[again, "web page_viewed at 65d09:00"]);
    nothing(&[again, "sales order_cancelled O2 at 36d09:00", "closed 59d"]);
}

#[test]
fn a_years_revenue_is_that_of_twelve_months() {
    check_customers(
        &[
            "sales order_placed O1 for 500EUR at 0d09:00",
            "sales order_placed O2 for 70EUR at 300d09:00",
            "sales order_placed O3 for 9EUR at 370d09:00",
            "closed 500d",
        ],
        &["priorities month:2026-03", "priorities month:2026-12", "priorities month:2027-03"],
        expect![[r#"
            priorities month:2026-03 persons g : n 1, b 1, sum 500
            priorities month:2026-12 persons g : n 1, b 1, sum 570
            priorities month:2027-03 persons g : n 1, b 1, sum 79"#]],
    );
}
