//! Subjects as stories: what priorities are found from.

use expect_test::expect;

use super::world::check_customers;
use crate::customers::fold::subjects::SUBJECTS_MAX;

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

/// Cases of March and April, some of which say what their subject takes.
const EFFORTS: [&str; 8] = [
    "support case_opened T1 subject delivery effort 3 at 1d09:00",
    "support case_opened T2 subject delivery effort 2 at 1d10:00",
    "support case_opened T3 subject delivery at 2d09:00",
    "support case_opened T4 subject invoice effort -4 at 2d10:00",
    "support case_replied T4 subject invoice at 2d11:00",
    "support case_opened T5 effort 90 at 2d12:00",
    "sales case_opened T6 subject delivery effort 0 at 2d13:00",
    "support case_opened T7 subject delivery effort 50 at 35d09:00",
];

#[test]
fn what_touchpoints_say_that_a_subject_takes_is_added_up_for_their_month() {
    let march = |arrivals: &[&str]| {
        check_customers(
            arrivals,
            &["priorities month:2026-03 persons e"],
            expect![[r#"
                priorities month:2026-03 persons e sales case_opened delivery: n 1
                priorities month:2026-03 persons e support case_opened delivery: n 2, sum 5
                priorities month:2026-03 persons e support case_opened invoice: n 1, sum -4"#]],
        );
    };
    march(&[&EFFORTS[..], &["closed 59d"]].concat());
    // In April it is what April says, and whoever says it for March too late moves March.
    march(&[&EFFORTS[1..], &["closed 90d"], &EFFORTS[..1]].concat());
    let april = "priorities month:2026-04 persons e";
    // What comes for March once April is over takes back what was found of April, and finds it again.
    for arrivals in [[&EFFORTS[..], &["closed 90d"]].concat(), [&EFFORTS[1..], &["closed 90d"], &EFFORTS[..1]].concat()]
    {
        check_customers(
            &arrivals,
            &[april],
            expect!["priorities month:2026-04 persons e support case_opened delivery: n 1, sum 50"],
        );
    }
    // Nothing is said where nothing is.
    check_customers(&[&MARCH[..], &["closed 59d"]].concat(), &["priorities month:2026-03 persons e"], expect![[""]]);
}

#[test]
fn efforts_of_the_first_subjects_of_a_month_count() {
    let mut lines: Vec<String> = (0..SUBJECTS_MAX + 1)
        .map(|number| format!("support case_opened subject s{number:02} effort 1 at 1d09:{number:02}"))
        .collect();
    // One that is remembered counts with every touchpoint, one that came too late with none.
    lines.push("support case_opened subject s00 effort 6 at 2d09:00".to_owned());
    lines.push("support case_opened subject s31 effort 9 at 2d10:00".to_owned());
    lines.push("support case_opened subject s32 effort 7 at 2d11:00".to_owned());
    lines.push("closed 59d".to_owned());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let of = |subject: &str| format!("priorities month:2026-03 persons e support case_opened {subject}");
    check_customers(
        &lines,
        &[&of("s00"), &of("s01"), &of("s3")],
        expect![[r#"
            priorities month:2026-03 persons e support case_opened s00: n 2, sum 7
            priorities month:2026-03 persons e support case_opened s01: n 1, sum 1
            priorities month:2026-03 persons e support case_opened s30: n 1, sum 1
            priorities month:2026-03 persons e support case_opened s31: n 2, sum 10"#]],
    );
}

#[test]
fn a_change_is_told_with_what_it_took() {
    check_customers(
        &[
            "operations change_enacted C1 region south effort 3 at 1d09:00",
            "operations change_enacted C2 region south effort 4 at 1d10:00",
            "operations change_enacted C3 region south at 1d11:00",
            "operations change_enacted C4 region south effort 50 at 2d09:00",
            "support change_enacted C5 region south at 1d12:00",
            "support case_opened T1 region south effort 9 at 1d13:00",
        ],
        &["changes day:2026-03-03 south"],
        expect![[r#"
            changes day:2026-03-03 south operations: n 3, a 2, sum 7
            changes day:2026-03-03 south support: n 1"#]],
    );
}
