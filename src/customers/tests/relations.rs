//! Stories of the relation to a customer: who stays, who speaks for the company, what it costs to win one and what they are worth.

use expect_test::expect;

use super::world::check_customers;

#[test]
fn who_comes_back_is_retained_in_the_window_that_follows_and_a_late_touchpoint_moves_it() {
    let company = ["retention day:2026-03-0"];
    let month = ["retention month"];
    let story = ["web page_viewed at 09:00", "web page_viewed at 1d09:00", "web page_viewed at 3d09:00"];
    check_customers(
        &story,
        &company,
        expect![[r#"
        retention day:2026-03-03 company: n 1, a 1
        retention day:2026-03-03 phase=before: n 1, a 1
        retention day:2026-03-03 spoke=web: n 1, a 1
        retention day:2026-03-04 company: n 1
        retention day:2026-03-04 phase=before: n 1
        retention day:2026-03-04 spoke=web: n 1
        retention day:2026-03-06 company: n 1
        retention day:2026-03-06 phase=before: n 1
        retention day:2026-03-06 spoke=web: n 1"#]],
    );
    check_customers(
        &story,
        &month,
        expect![[r#"
        retention month:2026-04 company: n 1
        retention month:2026-04 phase=before: n 1
        retention month:2026-04 spoke=web: n 1"#]],
    );
    let late = [&story[..], &["marketing message_sent at 2d08:00", "web page_viewed at 2d09:00"]].concat();
    check_customers(
        &late,
        &company,
        expect![[r#"
        retention day:2026-03-03 company: n 1, a 1
        retention day:2026-03-03 phase=before: n 1, a 1
        retention day:2026-03-03 spoke=web: n 1, a 1
        retention day:2026-03-04 company: n 1, a 1
        retention day:2026-03-04 phase=before: n 1, a 1
        retention day:2026-03-04 spoke=web: n 1, a 1
        retention day:2026-03-05 company: n 1, a 1
        retention day:2026-03-05 phase=before: n 1, a 1
        retention day:2026-03-05 spoke=web: n 1, a 1
        retention day:2026-03-06 company: n 1
        retention day:2026-03-06 phase=before: n 1
        retention day:2026-03-06 spoke=web: n 1"#]],
    );
    check_customers(
        &["web page_viewed at 09:00", "web page_viewed at 30d09:00"],
        &month,
        expect![[r#"
        retention month:2026-04 company: n 1, a 1
        retention month:2026-04 phase=before: n 1, a 1
        retention month:2026-04 spoke=web: n 1, a 1
        retention month:2026-05 company: n 1
        retention month:2026-05 phase=before: n 1
        retention month:2026-05 spoke=web: n 1"#]],
    );
}

#[test]
fn an_advocate_is_an_active_person_who_refers_reviews_or_recommends() {
    let show = ["advocacy day:2026-03-02", "advocacy week"];
    // An answer that came in by a call is not the customer's doing: it counts once the customer is active.
    let call = "support survey_answered nps 9 agent at 09:00";
    check_customers(&[call], &show, expect![[r#""#]]);
    check_customers(
        &[call, "web page_viewed at 10:00"],
        &show,
        expect![[r#"
        advocacy day:2026-03-02 company: n 1, a 1
        advocacy day:2026-03-02 phase=before: n 1, a 1
        advocacy day:2026-03-02 spoke=web: n 1
        advocacy week:2026-W10 company: n 1, a 1
        advocacy week:2026-W10 phase=before: n 1, a 1
        advocacy week:2026-W10 spoke=web: n 1"#]],
    );
    let others = [
        "web review_posted review 3 by email:a@x.org at 09:00",
        "web review_posted review 4 by email:b@x.org at 09:00",
        "web referral_made by email:c@x.org at 09:00",
        "web survey_answered csat 5 by email:d@x.org at 09:00",
        "web referral_made by email:c@x.org at 1d09:00",
    ];
    check_customers(&others, &["advocacy week:2026-W10 company"], expect!["advocacy week:2026-W10 company: n 4, a 2"]);
}

#[test]
fn what_marketing_and_sales_spend_is_divided_by_those_who_are_new() {
    let show = ["acquisition_cost month:2026-03 company"];
    let story = [
        "marketing ad_shown cost 120EUR at 09:00",
        "sales quote_sent cost 80USD at 10:00",
        "support case_replied cost 999EUR at 10:30",
        "sales order_placed O1 at 11:00",
        "marketing ad_shown cost 30EUR by email:b@x.org at 12:00",
    ];
    check_customers(&story, &show, expect!["acquisition_cost month:2026-03 company: n 1, 80 USD, 150 EUR"]);
    let cancelled = [&story[..], &["sales order_cancelled O1 at 1d11:00"]].concat();
    check_customers(&cancelled, &show, expect!["acquisition_cost month:2026-03 company: n 0, 80 USD, 150 EUR"]);
}

#[test]
fn a_customers_value_is_what_they_pay_less_what_they_get_back() {
    let show = ["customer_value month:2026-03 company"];
    let story = [
        "sales order_placed O1 for 1000EUR at 09:00",
        "sales order_placed O2 for 500EUR at 10:00",
        "sales subscription_renewed C1 for 70USD at 11:00",
        "operations refund_issued O1 for -300EUR at 2d09:00",
        "operations refund_issued O1 for 100EUR at 3d09:00",
        "operations order_returned O1 for 1000EUR at 3d10:00",
    ];
    check_customers(&story, &show, expect!["customer_value month:2026-03 company: n 1, 70 USD, 1100 EUR"]);
    let cancelled = [&story[..], &["sales order_cancelled O2 at 1d11:00"]].concat();
    check_customers(&cancelled, &show, expect!["customer_value month:2026-03 company: n 1, 70 USD, 600 EUR"]);
}

#[test]
fn a_subscription_runs_from_its_start_and_is_lost_in_windows_that_it_saw_begin() {
    let show = ["churn"];
    let shown = |arrivals: &[&str], expected| {
        // As churn counts who is active too, what the system tells is told here.
        let told: Vec<String> = arrivals.iter().map(|line| line.replacen(" at ", " system at ", 1)).collect();
        check_customers(&told.iter().map(String::as_str).collect::<Vec<_>>(), &show, expected);
    };
    shown(
        &["sales subscription_started C1 at 09:00", "sales subscription_renewed C1 at 30d09:00"],
        expect![[r#"
        churn day:2026-03-02 company: n 1
        churn day:2026-03-02 phase=before: n 1
        churn day:2026-03-02 spoke=sales: n 1"#]],
    );
    let cancelled = [
        "sales subscription_started C1 at 09:00",
        "web subscription_cancelled C1 at 8d09:00",
        "web subscription_cancelled C1 at 9d09:00",
        // A contract that nobody started does not run.
        "web subscription_cancelled C2 at 9d09:00",
    ];
    shown(
        &cancelled,
        expect![[r#"
        churn day:2026-03-02 company: n 1
        churn day:2026-03-02 phase=before: n 1
        churn day:2026-03-02 spoke=sales: n 1
        churn day:2026-03-10 company: n -1, a 1
        churn day:2026-03-10 phase=before: n -1, a 1
        churn day:2026-03-10 spoke=sales: n -1, a 1
        churn week:2026-W11 company: n 0, a 1
        churn week:2026-W11 phase=before: n 0, a 1
        churn week:2026-W11 spoke=sales: n 0, a 1"#]],
    );
    shown(&["sales subscription_started C1 at 09:00", "sales subscription_cancelled C1 at 10:00"], expect![[r#""#]]);
}

#[test]
fn a_contract_that_was_cancelled_is_bought_and_runs_again_once_it_is_started_again() {
    let started = "sales subscription_started C1 for 900EUR system at 09:00";
    let over = "web subscription_cancelled C1 system at 8d09:00";
    let again = "sales subscription_started C1 for 800EUR system at 9d09:00";
    let once_more = "sales subscription_started C1 for 700EUR system at 10d09:00";
    let ended = "web subscription_cancelled C1 system at 22d09:00";
    let show = [
        "churn day:2026-03-02 company",
        "churn day:2026-03-1",
        "churn day:2026-03-2",
        "churn week",
        "orders month:2026-03 company",
        "revenue month:2026-03 company",
        "repurchase_30 month:2026-03 company",
    ];
    let shown = || {
        expect![[r#"
        churn day:2026-03-02 company: n 1
        churn day:2026-03-10 company: n -1, a 1
        churn day:2026-03-10 phase=before: n -1, a 1
        churn day:2026-03-10 spoke=sales: n -1, a 1
        churn day:2026-03-11 company: n 1
        churn day:2026-03-11 phase=after: n 1
        churn day:2026-03-11 spoke=sales: n 1
        churn day:2026-03-24 company: n -1, a 1
        churn day:2026-03-24 phase=after: n -1, a 1
        churn day:2026-03-24 spoke=sales: n -1, a 1
        churn week:2026-W11 company: n 0, a 1
        churn week:2026-W11 phase=before: n 0, a 1
        churn week:2026-W11 spoke=sales: n 0, a 1
        churn week:2026-W13 company: n 0, a 1
        churn week:2026-W13 phase=after: n 0, a 1
        churn week:2026-W13 spoke=sales: n 0, a 1
        orders month:2026-03 company: n 2
        repurchase_30 month:2026-03 company: n 1, a 1
        revenue month:2026-03 company EUR: n 2, sum 1700"#]]
    };
    check_customers(&[started, over, again, once_more, ended], &show, shown());
    check_customers(&[ended, once_more, again, over, started], &show, shown());
    check_customers(&[started, once_more, ended, again, over], &show, shown());
    // Without the cancellation between, nothing was started again.
    check_customers(
        &[started, again, once_more],
        &show[4..],
        expect![[r#"
        orders month:2026-03 company: n 1
        repurchase_30 month:2026-03 company: n 1
        revenue month:2026-03 company EUR: n 1, sum 900"#]],
    );
}

#[test]
fn who_is_active_and_does_not_come_back_counts_as_lost_where_nothing_runs() {
    let story = ["web page_viewed at 09:00", "web page_viewed at 1d09:00"];
    check_customers(
        &story,
        &["churn day:2026-03-03 company", "churn day:2026-03-04 company"],
        expect![[r#"
        churn day:2026-03-03 company: n 0, b 1, sum 1
        churn day:2026-03-04 company: n 0, b 1"#]],
    );
}

#[test]
fn each_message_presses_for_thirty_days_and_the_ninth_is_above_the_cap() {
    let show = ["contact_pressure"];
    let message = "marketing message_sent at 09:00";
    check_customers(
        &[message],
        &show,
        expect![[r#"
            contact_pressure day:2026-03-02 company: n 1, sum 1
            contact_pressure day:2026-03-02 phase=before: n 1, sum 1
            contact_pressure day:2026-03-02 spoke=marketing: n 1, sum 1
            contact_pressure day:2026-04-01 company: n -1, sum -1
            contact_pressure day:2026-04-01 phase=before: n -1, sum -1
            contact_pressure day:2026-04-01 spoke=marketing: n -1, sum -1"#]],
    );
    let nine: Vec<&str> = [message].repeat(8).into_iter().chain(["support message_sent at 2d09:00"]).collect();
    check_customers(
        &nine,
        &show,
        expect![[r#"
            contact_pressure day:2026-03-02 company: n 1, sum 8
            contact_pressure day:2026-03-02 phase=before: n 1, sum 8
            contact_pressure day:2026-03-02 spoke=marketing: n 1, sum 8
            contact_pressure day:2026-03-04 company: n 0, a 1, sum 1
            contact_pressure day:2026-03-04 phase=before: n 0, a 1, sum 1
            contact_pressure day:2026-03-04 spoke=support: n 1, sum 1
            contact_pressure day:2026-04-01 company: n 0, a -1, sum -8
            contact_pressure day:2026-04-01 phase=before: n 0, a -1, sum -8
            contact_pressure day:2026-04-01 spoke=marketing: n -1, sum -8
            contact_pressure day:2026-04-03 company: n -1, sum -1
            contact_pressure day:2026-04-03 phase=before: n -1, sum -1
            contact_pressure day:2026-04-03 spoke=support: n -1, sum -1"#]],
    );
    // The day of each message is forgotten when it no longer counts: another after it is the first again.
    check_customers(
        &[message, "marketing message_sent at 30d09:00"],
        &["contact_pressure day:2026-04-01 company"],
        expect![[r#""#]],
    );
}

#[test]
fn messages_press_by_what_they_have_in_common() {
    let mail =
        |campaign: &str, day: u32| format!("marketing message_sent channel email campaign {campaign} at {day}d09:00");
    let mut story: Vec<String> = (0..8).map(|day| mail("spring", day)).collect();
    story.extend([mail("summer", 8), "support message_sent channel messaging at 9d09:00".to_owned()]);
    let story: Vec<&str> = story.iter().map(String::as_str).collect();
    // The ninth mail is above the cap of all mails and the first of its campaign; the short message is the first of its channel.
    check_customers(
        &story,
        &["contact_pressure day:2026-03-02 ", "contact_pressure day:2026-03-10 ", "contact_pressure day:2026-03-11 "],
        expect![[r#"
            contact_pressure day:2026-03-02 campaign=spring: n 1, sum 1
            contact_pressure day:2026-03-02 channel=email: n 1, sum 1
            contact_pressure day:2026-03-02 company: n 1, sum 1
            contact_pressure day:2026-03-02 phase=before: n 1, sum 1
            contact_pressure day:2026-03-02 spoke=marketing: n 1, sum 1
            contact_pressure day:2026-03-10 campaign=summer: n 1, sum 1
            contact_pressure day:2026-03-10 channel=email: n 0, a 1, sum 1
            contact_pressure day:2026-03-10 company: n 0, a 1, sum 1
            contact_pressure day:2026-03-10 phase=before: n 0, a 1, sum 1
            contact_pressure day:2026-03-10 spoke=marketing: n 0, a 1, sum 1
            contact_pressure day:2026-03-11 company: n 0, sum 1
            contact_pressure day:2026-03-11 phase=before: n 0, sum 1
            contact_pressure day:2026-03-11 spoke=support: n 1, sum 1"#]],
    );
}
