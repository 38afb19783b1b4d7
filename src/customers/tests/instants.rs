//! What happens at one instant: departments often say no more than the day, and their ids say nothing about what came first.

use expect_test::expect;

use super::world::check_customers;

#[test]
fn an_answer_of_the_same_instant_answers_the_case() {
    check_customers(
        &[
            "support case_resolved T1 #a at 09:00",
            "support case_replied T1 #b at 09:00",
            "support case_opened T1 #c at 09:00",
            "support case_reopened T1 #d at 09:00",
        ],
        &["unanswered", "first_response_time day:2026-03-02 company", "resolution_time day:2026-03-02 company"],
        expect![[r#"
            first_response_time day:2026-03-02 company: n 1
            resolution_time day:2026-03-02 company: n 1"#]],
    );
}

#[test]
fn an_order_that_is_cancelled_at_the_instant_of_its_placing_was_never_bought() {
    check_customers(
        &["sales order_cancelled O1 #a at 09:00", "sales order_placed O1 for 1000EUR #b at 09:00"],
        &["orders", "revenue", "new_customers", "record.purchases"],
        expect![[r#""#]],
    );
}

#[test]
fn a_subscription_that_is_cancelled_at_the_instant_of_its_start_runs_no_more() {
    check_customers(
        &["sales subscription_cancelled K1 #a at 09:00", "sales subscription_started K1 for 1000EUR #b at 09:00"],
        &["churn day:2026-03-02 company", "churn day:2026-03-03 company"],
        expect!["churn day:2026-03-03 company: n 0, b 1"],
    );
}

#[test]
fn what_leads_to_a_purchase_of_the_same_instant_comes_before_it_and_what_is_thought_of_it_after() {
    check_customers(
        &[
            "sales survey_answered #a nps 9 at 09:00",
            "sales order_placed O1 for 1000EUR #b at 09:00",
            "marketing ad_clicked #c at 09:00",
        ],
        &["nps day:2026-03-02 phase", "reach day:2026-03-02 phase", "record.phase"],
        expect![[r#"
            nps day:2026-03-02 phase=during: n 1, a 1
            reach day:2026-03-02 phase=before: n 1
            reach day:2026-03-02 phase=during: n 1
            record.phase: During"#]],
    );
}
