//! Behaviour by example: what is published, in order.

use expect_test::{Expect, expect, expect_file};

use super::Harness;
use crate::{
    metrics::Options,
    model::{Calendar, KeyValue},
};

/// Tells a story and compares everything that was published, in order.
fn check_metrics(story: &[&str], published: Expect) {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 2));
    for line in story {
        harness.tell(line);
    }
    harness.tell("commit");
    published.assert_eq(&harness.feed.lines);
}

#[test]
fn an_answer_is_published_for_its_day_week_and_month() {
    check_metrics(
        &["nps 2026-01-31 n=1 a=1", "nps 2026-01-31 region=a|b n=1 b=1"],
        expect![[r#"
            nps|day:2026-01-31| 100.0000 points n=1 1/1 ±0.0000 detractors_share=0.0000 promoters_share=1.0000 r1 provisional
            nps|week:2026-W05| 100.0000 points n=1 1/1 ±0.0000 detractors_share=0.0000 promoters_share=1.0000 r1 provisional
            nps|month:2026-01| 100.0000 points n=1 1/1 ±0.0000 detractors_share=0.0000 promoters_share=1.0000 r1 provisional
            nps|day:2026-01-31|region=a%7Cb -100.0000 points n=1 -1/1 ±0.0000 detractors_share=1.0000 promoters_share=0.0000 r1 provisional
            nps|week:2026-W05|region=a%7Cb -100.0000 points n=1 -1/1 ±0.0000 detractors_share=1.0000 promoters_share=0.0000 r1 provisional
            nps|month:2026-01|region=a%7Cb -100.0000 points n=1 -1/1 ±0.0000 detractors_share=1.0000 promoters_share=0.0000 r1 provisional
        "#]],
    );
}

#[test]
fn contributions_of_one_commit_are_one_publication_and_none_if_they_cancel_out() {
    check_metrics(
        &[
            "ces 2026-01-31 observe=6 a=1",
            "ces 2026-01-31 observe=2",
            "commit",
            "ces 2026-01-31 observe=7 a=1",
            "ces 2026-01-31 observe=7 a=1 back",
            "commit",
        ],
        expect![[r#"
            ces|day:2026-01-31| 4.0000 points n=2 8/2 ±2.0000 share_easy=0.5000 r1 provisional
            ces|week:2026-W05| 4.0000 points n=2 8/2 ±2.0000 share_easy=0.5000 r1 provisional
            ces|month:2026-01| 4.0000 points n=2 8/2 ±2.0000 share_easy=0.5000 r1 provisional
        "#]],
    );
}

#[test]
fn a_cell_that_becomes_all_zero_is_a_tombstone_and_starts_anew() {
    check_metrics(
        &[
            "orders 2026-01-31 n=1",
            "commit",
            "orders 2026-01-31 n=1 back",
            "commit",
            "orders 2026-01-31 n=1 back",
            "orders 2026-01-31 n=1",
            "commit",
            "orders 2026-01-31 n=2",
        ],
        expect![[r#"
            orders|day:2026-01-31| 1.0000 orders n=1 1/1 r1 provisional
            orders|week:2026-W05| 1.0000 orders n=1 1/1 r1 provisional
            orders|month:2026-01| 1.0000 orders n=1 1/1 r1 provisional
            orders|day:2026-01-31| gone
            orders|week:2026-W05| gone
            orders|month:2026-01| gone
            orders|day:2026-01-31| 2.0000 orders n=2 2/1 r1 provisional
            orders|week:2026-W05| 2.0000 orders n=2 2/1 r1 provisional
            orders|month:2026-01| 2.0000 orders n=2 2/1 r1 provisional
        "#]],
    );
}

#[test]
fn money_is_per_currency_and_distributions_have_percentiles() {
    check_metrics(
        &[
            "revenue 2026-01-31 currency=EUR observe=1999",
            "revenue 2026-01-31 currency=EUR observe=1",
            "revenue 2026-01-31 currency=USD region=north observe=500",
            "first_response_time 2026-01-31 distribution=60000",
            "first_response_time 2026-01-31 distribution=120000",
            "data_quality 2026-01-31 spoke=sales accepted=3 rejected=1",
        ],
        expect![[r#"
            revenue|day:2026-01-31|currency=EUR 2000.0000 minor_units n=2 2000/1 r1 provisional
            revenue|week:2026-W05|currency=EUR 2000.0000 minor_units n=2 2000/1 r1 provisional
            revenue|month:2026-01|currency=EUR 2000.0000 minor_units n=2 2000/1 r1 provisional
            revenue|day:2026-01-31|currency=USD&region=north 500.0000 minor_units n=1 500/1 r1 provisional
            revenue|week:2026-W05|currency=USD&region=north 500.0000 minor_units n=1 500/1 r1 provisional
            revenue|month:2026-01|currency=USD&region=north 500.0000 minor_units n=1 500/1 r1 provisional
            first_response_time|day:2026-01-31| 90.0000 seconds n=2 180000/2 ±30.0000 p50=60.1595 p90=120.3195 p99=120.3195 r1 provisional
            first_response_time|week:2026-W05| 90.0000 seconds n=2 180000/2 ±30.0000 p50=60.1595 p90=120.3195 p99=120.3195 r1 provisional
            first_response_time|month:2026-01| 90.0000 seconds n=2 180000/2 ±30.0000 p50=60.1595 p90=120.3195 p99=120.3195 r1 provisional
            data_quality|day:2026-01-31|spoke=sales 0.7500 share n=4 3/4 accepted=3.0000 capped=0.0000 conflicting=0.0000 duplicate=0.0000 late=0.0000 rejected=1.0000 skipped=0.0000 r1 provisional
            data_quality|week:2026-W05|spoke=sales 0.7500 share n=4 3/4 accepted=3.0000 capped=0.0000 conflicting=0.0000 duplicate=0.0000 late=0.0000 rejected=1.0000 skipped=0.0000 r1 provisional
            data_quality|month:2026-01|spoke=sales 0.7500 share n=4 3/4 accepted=3.0000 capped=0.0000 conflicting=0.0000 duplicate=0.0000 late=0.0000 rejected=1.0000 skipped=0.0000 r1 provisional
        "#]],
    );
}

#[test]
fn a_window_is_provisional_until_the_watermark_passed_its_end_and_grace() {
    check_metrics(
        &[
            // Saturday 31 January: the week ends a day later than the month.
            "orders 2026-01-31 n=1",
            "watermark 0 2026-02-10",
            "watermark 1 2026-02-01",
            "commit",
            "watermark 1 2026-02-02",
            "commit",
            "orders 2026-01-31 n=1",
            "commit",
            "watermark 1 idle",
            "commit",
            "orders 2026-01-31 n=1",
            "orders 2026-02-09 n=1",
        ],
        expect![[r#"
            orders|day:2026-01-31| 1.0000 orders n=1 1/1 r1 provisional
            orders|week:2026-W05| 1.0000 orders n=1 1/1 r1 provisional
            orders|month:2026-01| 1.0000 orders n=1 1/1 r1 provisional
            orders|day:2026-01-31| 1.0000 orders n=1 1/1 r2 final
            orders|month:2026-01| 1.0000 orders n=1 1/1 r2 final
            orders|day:2026-01-31| 2.0000 orders n=2 2/1 r3 revised
            orders|week:2026-W05| 2.0000 orders n=2 2/1 r2 provisional
            orders|month:2026-01| 2.0000 orders n=2 2/1 r3 revised
            orders|week:2026-W05| 2.0000 orders n=2 2/1 r3 final
            orders|day:2026-01-31| 3.0000 orders n=3 3/1 r4 revised
            orders|week:2026-W05| 3.0000 orders n=3 3/1 r4 revised
            orders|month:2026-01| 3.0000 orders n=3 3/1 r4 revised
            orders|day:2026-02-09| 1.0000 orders n=1 1/1 r1 provisional
            orders|week:2026-W07| 1.0000 orders n=1 1/1 r1 provisional
            orders|month:2026-02| 1.0000 orders n=1 1/1 r1 provisional
        "#]],
    );
}

#[test]
fn what_waits_for_something_later_is_final_when_that_is_over() {
    check_metrics(
        &[
            "first_contact_resolution 2026-01-31 n=1 a=1",
            "conversion 2026-01-31 n=1",
            "watermark 0 2026-02-02",
            "watermark 1 idle",
            "commit",
            // The days of both windows are over, and nothing is late yet.
            "first_contact_resolution 2026-01-31 n=0 a=-1",
            "conversion 2026-01-31 n=0 a=1",
            "commit",
            "watermark 0 2026-02-08",
            "commit",
            "restart",
            "watermark 0 2026-02-09",
            "commit",
            "conversion 2026-01-31 n=1 back",
            "watermark 0 2026-03-04",
            "commit",
            "first_contact_resolution 2026-01-31 n=1",
        ],
        expect![[r#"
            first_contact_resolution|day:2026-01-31| 100.0000 percent n=1 1/1 [20.6549 100.0000] r1 provisional
            first_contact_resolution|week:2026-W05| 100.0000 percent n=1 1/1 [20.6549 100.0000] r1 provisional
            first_contact_resolution|month:2026-01| 100.0000 percent n=1 1/1 [20.6549 100.0000] r1 provisional
            conversion|day:2026-01-31| 0.0000 percent n=1 0/1 [0.0000 79.3451] r1 provisional
            conversion|week:2026-W05| 0.0000 percent n=1 0/1 [0.0000 79.3451] r1 provisional
            conversion|month:2026-01| 0.0000 percent n=1 0/1 [0.0000 79.3451] r1 provisional
            first_contact_resolution|day:2026-01-31| 0.0000 percent n=1 0/1 [0.0000 79.3451] r2 provisional
            first_contact_resolution|week:2026-W05| 0.0000 percent n=1 0/1 [0.0000 79.3451] r2 provisional
            first_contact_resolution|month:2026-01| 0.0000 percent n=1 0/1 [0.0000 79.3451] r2 provisional
            conversion|day:2026-01-31| 100.0000 percent n=1 1/1 [20.6549 100.0000] r2 provisional
            conversion|week:2026-W05| 100.0000 percent n=1 1/1 [20.6549 100.0000] r2 provisional
            conversion|month:2026-01| 100.0000 percent n=1 1/1 [20.6549 100.0000] r2 provisional
            conversion|day:2026-01-31| 100.0000 percent n=1 1/1 [20.6549 100.0000] r3 final
            first_contact_resolution|day:2026-01-31| 0.0000 percent n=1 0/1 [0.0000 79.3451] r3 final
            first_contact_resolution|month:2026-01| 0.0000 percent n=1 0/1 [0.0000 79.3451] r3 final
            conversion|day:2026-01-31| - percent n=0 1/0 r4 revised
            conversion|week:2026-W05| - percent n=0 1/0 r3 final
            conversion|month:2026-01| - percent n=0 1/0 r3 provisional
            first_contact_resolution|week:2026-W05| 0.0000 percent n=1 0/1 [0.0000 79.3451] r3 final
            first_contact_resolution|day:2026-01-31| 0.0000 percent n=2 0/2 [0.0000 65.7620] r4 revised
            first_contact_resolution|week:2026-W05| 0.0000 percent n=2 0/2 [0.0000 65.7620] r4 revised
            first_contact_resolution|month:2026-01| 0.0000 percent n=2 0/2 [0.0000 65.7620] r4 revised
        "#]],
    );
}

#[test]
fn a_level_is_published_for_closed_days_and_the_last_closed_day_of_weeks_and_months() {
    check_metrics(
        &[
            "overdue 2026-01-30 n=2",
            "overdue 2026-02-01 n=-1",
            "overdue 2026-02-04 n=-1",
            "commit",
            "as-of 2026-01-30",
            "commit",
            "as-of 2026-01-31",
            "commit",
            "as-of 2026-02-03",
            "commit",
            "as-of 2026-02-10",
        ],
        expect![[r#"
            overdue|day:2026-01-30| 2.0000 orders n=2 2/1 r1 provisional
            overdue|week:2026-W05| 2.0000 orders n=2 2/1 r1 provisional
            overdue|month:2026-01| 2.0000 orders n=2 2/1 r1 provisional
            overdue|day:2026-01-31| 2.0000 orders n=2 2/1 r1 provisional
            overdue|day:2026-02-01| 1.0000 orders n=1 1/1 r1 provisional
            overdue|week:2026-W05| 1.0000 orders n=1 1/1 r2 provisional
            overdue|day:2026-02-02| 1.0000 orders n=1 1/1 r1 provisional
            overdue|week:2026-W06| 1.0000 orders n=1 1/1 r1 provisional
            overdue|month:2026-02| 1.0000 orders n=1 1/1 r1 provisional
            overdue|day:2026-02-03| 1.0000 orders n=1 1/1 r1 provisional
            overdue|week:2026-W06| gone
            overdue|month:2026-02| gone
        "#]],
    );
}

#[test]
fn a_late_change_of_a_level_publishes_only_what_it_moves() {
    check_metrics(
        &[
            "unanswered 2026-01-26 n=1",
            "as-of 2026-01-31",
            "commit",
            "unanswered 2026-01-28 n=-1",
            "commit",
            "unanswered 2026-01-26 n=-1",
            "unanswered 2026-01-28 n=1",
        ],
        expect![[r#"
            unanswered|day:2026-01-26| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|day:2026-01-27| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|day:2026-01-28| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|day:2026-01-29| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|day:2026-01-30| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|week:2026-W05| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|month:2026-01| 1.0000 cases n=1 1/1 r1 provisional
            unanswered|day:2026-01-28| gone
            unanswered|day:2026-01-29| gone
            unanswered|day:2026-01-30| gone
            unanswered|week:2026-W05| gone
            unanswered|month:2026-01| gone
            unanswered|day:2026-01-26| gone
            unanswered|day:2026-01-27| gone
        "#]],
    );
}

#[test]
fn money_of_every_currency_shares_a_cell_and_a_currency_that_is_gone_is_a_tombstone() {
    check_metrics(
        &[
            // Nobody is active: no quotient. Active without money: nothing to say in any currency.
            "customer_value 2026-01-31 money=1000EUR money=-50USD",
            "customer_value 2026-02-03 n=3",
            "commit",
            "customer_value 2026-01-31 n=4 money=-1000EUR",
            "commit",
            "restart",
            "customer_value 2026-01-31 money=-50USD back",
            "commit",
            "customer_value 2026-01-31 n=4 back",
            "customer_value 2026-01-31 money=-1000EUR back",
            "customer_value 2026-01-31 money=1000EUR back",
        ],
        expect![[r#"
            customer_value|day:2026-01-31|currency=USD - minor_units n=0 -50/0 r1 provisional
            customer_value|day:2026-01-31|currency=EUR - minor_units n=0 1000/0 r1 provisional
            customer_value|week:2026-W05|currency=USD - minor_units n=0 -50/0 r1 provisional
            customer_value|week:2026-W05|currency=EUR - minor_units n=0 1000/0 r1 provisional
            customer_value|month:2026-01|currency=USD - minor_units n=0 -50/0 r1 provisional
            customer_value|month:2026-01|currency=EUR - minor_units n=0 1000/0 r1 provisional
            customer_value|day:2026-01-31|currency=USD -12.5000 minor_units n=4 -50/4 r2 provisional
            customer_value|day:2026-01-31|currency=EUR 0.0000 minor_units n=4 0/4 r2 provisional
            customer_value|week:2026-W05|currency=USD -12.5000 minor_units n=4 -50/4 r2 provisional
            customer_value|week:2026-W05|currency=EUR 0.0000 minor_units n=4 0/4 r2 provisional
            customer_value|month:2026-01|currency=USD -12.5000 minor_units n=4 -50/4 r2 provisional
            customer_value|month:2026-01|currency=EUR 0.0000 minor_units n=4 0/4 r2 provisional
            customer_value|day:2026-01-31|currency=USD gone
            customer_value|day:2026-01-31|currency=EUR 0.0000 minor_units n=4 0/4 r3 provisional
            customer_value|week:2026-W05|currency=USD gone
            customer_value|week:2026-W05|currency=EUR 0.0000 minor_units n=4 0/4 r3 provisional
            customer_value|month:2026-01|currency=USD gone
            customer_value|month:2026-01|currency=EUR 0.0000 minor_units n=4 0/4 r3 provisional
            customer_value|day:2026-01-31|currency=EUR gone
            customer_value|week:2026-W05|currency=EUR gone
            customer_value|month:2026-01|currency=EUR gone
        "#]],
    );
}

#[test]
fn a_window_shows_the_level_at_which_it_opens_beside_what_was_counted_in_it() {
    check_metrics(
        &[
            "churn 2026-01-30 n=2",
            "churn 2026-01-31 sum=1",
            "churn 2026-01-31 b=4",
            "commit",
            "as-of 2026-01-31",
            "commit",
            "churn 2026-02-02 a=1",
            "churn 2026-02-02 n=-1",
            "commit",
            "as-of 2026-02-03",
            "commit",
            "restart",
            // It began earlier than was known.
            "churn 2026-01-29 n=1",
            "churn 2026-01-30 n=-1",
        ],
        expect![[r#"
            churn|day:2026-01-31| 0.0000 percent n=2 0/2 [0.0000 65.7620] persons_active_before=4.0000 persons_still_active=1.0000 subscriptions_cancelled=0.0000 subscriptions_running=2.0000 r1 provisional
            churn|month:2026-01| 75.0000 percent n=4 3/4 [30.0642 95.4413] persons_active_before=4.0000 persons_still_active=1.0000 subscriptions_cancelled=0.0000 subscriptions_running=0.0000 r1 provisional
            churn|week:2026-W05| 75.0000 percent n=4 3/4 [30.0642 95.4413] persons_active_before=4.0000 persons_still_active=1.0000 subscriptions_cancelled=0.0000 subscriptions_running=0.0000 r1 provisional
            churn|day:2026-02-01| 0.0000 percent n=2 0/2 [0.0000 65.7620] persons_active_before=0.0000 persons_still_active=0.0000 subscriptions_cancelled=0.0000 subscriptions_running=2.0000 r1 provisional
            churn|month:2026-02| 50.0000 percent n=2 1/2 [9.4531 90.5469] persons_active_before=0.0000 persons_still_active=0.0000 subscriptions_cancelled=1.0000 subscriptions_running=2.0000 r1 provisional
            churn|day:2026-02-02| 50.0000 percent n=2 1/2 [9.4531 90.5469] persons_active_before=0.0000 persons_still_active=0.0000 subscriptions_cancelled=1.0000 subscriptions_running=2.0000 r1 provisional
            churn|week:2026-W06| 50.0000 percent n=2 1/2 [9.4531 90.5469] persons_active_before=0.0000 persons_still_active=0.0000 subscriptions_cancelled=1.0000 subscriptions_running=2.0000 r1 provisional
            churn|day:2026-02-03| 0.0000 percent n=1 0/1 [0.0000 79.3451] persons_active_before=0.0000 persons_still_active=0.0000 subscriptions_cancelled=0.0000 subscriptions_running=1.0000 r1 provisional
            churn|day:2026-01-30| 0.0000 percent n=1 0/1 [0.0000 79.3451] persons_active_before=0.0000 persons_still_active=0.0000 subscriptions_cancelled=0.0000 subscriptions_running=1.0000 r1 provisional
        "#]],
    );
}

#[test]
fn a_level_can_have_a_sum_and_a_part() {
    let mut harness = Harness::new(Options::new(Calendar::utc(), 2));
    for line in [
        "contact_pressure 2026-01-30 n=2 sum=9 a=1",
        "contact_pressure 2026-02-01 sum=-8 a=-1",
        "as-of 2026-02-01",
        "commit",
        "restart",
        "as-of 2026-02-02",
        "commit",
        "contact_pressure 2026-01-30 n=-2 sum=-2",
        "commit",
    ] {
        harness.tell(line);
    }
    expect![[r#"
        contact_pressure|day:2026-01-30| 4.5000 messages n=2 9/2 share_above_cap=0.5000 r1 provisional
        contact_pressure|day:2026-01-31| 4.5000 messages n=2 9/2 share_above_cap=0.5000 r1 provisional
        contact_pressure|week:2026-W05| 4.5000 messages n=2 9/2 share_above_cap=0.5000 r1 provisional
        contact_pressure|month:2026-01| 4.5000 messages n=2 9/2 share_above_cap=0.5000 r1 provisional
        contact_pressure|day:2026-02-01| 0.5000 messages n=2 1/2 share_above_cap=0.0000 r1 provisional
        contact_pressure|week:2026-W05| 0.5000 messages n=2 1/2 share_above_cap=0.0000 r2 provisional
        contact_pressure|month:2026-02| 0.5000 messages n=2 1/2 share_above_cap=0.0000 r1 provisional
        contact_pressure|day:2026-01-30| - messages n=0 7/0 r2 provisional
        contact_pressure|day:2026-01-31| - messages n=0 7/0 r2 provisional
        contact_pressure|month:2026-01| - messages n=0 7/0 r2 provisional
        contact_pressure|day:2026-02-01| - messages n=0 -1/0 r2 provisional
        contact_pressure|week:2026-W05| - messages n=0 -1/0 r3 provisional
        contact_pressure|month:2026-02| - messages n=0 -1/0 r2 provisional
    "#]]
    .assert_eq(&harness.feed.lines);
    assert!(harness.store.map.keys().any(|key| key[0] == b'l'), "nobody is left but the level is not zero");
}

#[test]
fn what_is_counted_ahead_is_published_when_its_window_begins_also_after_a_restart() {
    check_metrics(
        &[
            "retention 2026-01-31 n=3",
            "commit",
            "as-of 2026-01-30",
            "commit",
            "retention 2026-01-31 n=1",
            // Nobody is left of it: nothing was ever published.
            "retention 2026-02-10 n=1",
            "commit",
            "retention 2026-02-10 n=1 back",
            "retention 2026-02-20 n=5",
            "commit",
            "restart",
            "as-of 2026-01-31",
            "roll-back",
            "as-of 2026-02-15",
            "commit",
            "retention 2026-02-20 n=2 a=1",
            "commit",
            "as-of 2026-02-20",
        ],
        expect![[r#"
            retention|month:2026-01| 0.0000 percent n=3 0/3 [0.0000 56.1497] r1 provisional
            retention|week:2026-W05| 0.0000 percent n=3 0/3 [0.0000 56.1497] r1 provisional
            retention|week:2026-W05| 0.0000 percent n=4 0/4 [0.0000 48.9891] r2 provisional
            retention|month:2026-01| 0.0000 percent n=4 0/4 [0.0000 48.9891] r2 provisional
            retention|day:2026-01-31| 0.0000 percent n=4 0/4 [0.0000 48.9891] r1 provisional
            retention|month:2026-02| 0.0000 percent n=5 0/5 [0.0000 43.4482] r1 provisional
            retention|month:2026-02| 14.2857 percent n=7 1/7 [2.5680 51.3128] r2 provisional
            retention|week:2026-W08| 14.2857 percent n=7 1/7 [2.5680 51.3128] r1 provisional
            retention|day:2026-02-20| 14.2857 percent n=7 1/7 [2.5680 51.3128] r1 provisional
        "#]],
    );
}

#[test]
fn what_a_failed_commit_published_is_published_again() {
    check_metrics(
        &[
            "orders 2026-01-31 n=1",
            "commit",
            "orders 2026-01-31 n=5",
            "roll-back",
            "orders 2026-01-31 n=5",
            "commit",
            "restart",
            "orders 2026-01-31 n=1",
        ],
        expect![[r#"
            orders|day:2026-01-31| 1.0000 orders n=1 1/1 r1 provisional
            orders|week:2026-W05| 1.0000 orders n=1 1/1 r1 provisional
            orders|month:2026-01| 1.0000 orders n=1 1/1 r1 provisional
            orders|day:2026-01-31| 6.0000 orders n=6 6/1 r2 provisional
            orders|week:2026-W05| 6.0000 orders n=6 6/1 r2 provisional
            orders|month:2026-01| 6.0000 orders n=6 6/1 r2 provisional
            orders|day:2026-01-31| 7.0000 orders n=7 7/1 r3 provisional
            orders|week:2026-W05| 7.0000 orders n=7 7/1 r3 provisional
            orders|month:2026-01| 7.0000 orders n=7 7/1 r3 provisional
        "#]],
    );
}

#[test]
fn work_beyond_a_commits_limit_goes_on_in_the_next_also_after_a_restart() {
    let options = Options { background_steps_max: 20, ..Options::new(Calendar::utc(), 2) };
    let mut harness = Harness::new(options);
    for line in ["overdue 2024-01-01 n=1", "as-of 2026-01-01", "commit-once"] {
        harness.tell(line);
    }
    let mut commits = 1;
    loop {
        let before = harness.feed.publications;
        let left = harness.commit();
        assert!(harness.feed.publications - before <= 20 + 3, "a day more than the limit at most");
        if !left {
            break;
        }
        commits += 1;
        if commits % 7 == 0 {
            harness.restart(commits);
        }
    }
    assert!(commits > 30, "{commits}");
    assert_eq!(harness.feed.latest.len(), 731 + 105 + 24);
    // A late change that moves every one of them goes the same way.
    harness.tell("overdue 2024-01-01 n=4");
    harness.tell("commit-once");
    assert!(harness.metrics.has_background_work());
    harness.restart(5);
    harness.commit_all();
    assert!(harness.feed.latest.values().all(|line| line.starts_with("5.0000 orders")));
}

#[test]
fn the_stored_form_does_not_change_unnoticed() {
    let mut harness = Harness::new(Options { dimension_values_max: 1, ..Options::new(Calendar::utc(), 2) });
    for line in [
        "nps 2026-01-31 region=north n=3 a=2 b=1",
        "nps 2026-01-31 region=south n=2 a=1",
        "revenue 2026-01-31 currency=EUR observe=-1999",
        "promise_gap 2026-01-31 spoke=operations a=1 distribution=-86400000",
        "promise_gap 2026-01-31 spoke=operations distribution=3600000",
        "overdue 2026-01-31 n=2",
        "as-of 2026-02-02",
        "watermark 0 2026-02-02",
        "watermark 1 idle",
        "commit",
        "overdue 2026-03-01 n=-1",
        "commit",
        "journeys 2026-01-31 repurchase gold converted sales:visit_made:store 2",
        "commit",
        "journeys 2026-02-01 repurchase gold lost  1",
        "commit-once",
    ] {
        harness.tell(line);
    }
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let lines: String =
        (harness.store.map.iter()).map(|(key, value)| format!("{} {}\n", hex(key), hex(value))).collect();
    expect_file!["../../../tests/fixtures/metrics_store_v1.txt"].assert_eq(&lines);
}

#[test]
fn a_store_of_version_1_is_read() {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len() / 2)
            .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).expect("hexadecimal"))
            .collect()
    };
    let mut harness = Harness::new(Options { dimension_values_max: 1, ..Options::new(Calendar::utc(), 2) });
    for line in include_str!("../../../tests/fixtures/metrics_store_v1.txt").lines() {
        let (key, value) = line.split_once(' ').expect("key and value");
        harness.store.put(&bytes(key), &bytes(value));
    }
    for line in ["nps 2026-01-31 region=north n=1 a=1", "nps 2026-01-31 region=east n=1", "overdue 2026-01-31 n=1"] {
        harness.tell(line);
    }
    harness.publish();
    expect![[r#"
        nps|day:2026-01-31|region=north 50.0000 points n=4 2/4 ±43.3013 detractors_share=0.2500 promoters_share=0.7500 r2 revised
        nps|week:2026-W05|region=north 50.0000 points n=4 2/4 ±43.3013 detractors_share=0.2500 promoters_share=0.7500 r2 provisional
        nps|month:2026-01|region=north 50.0000 points n=4 2/4 ±43.3013 detractors_share=0.2500 promoters_share=0.7500 r2 revised
        overdue|day:2026-01-31| 3.0000 orders n=3 3/1 r2 revised
        overdue|month:2026-01| 3.0000 orders n=3 3/1 r2 revised
        overdue|day:2026-02-01| 3.0000 orders n=3 3/1 r2 provisional
        overdue|week:2026-W05| 3.0000 orders n=3 3/1 r2 provisional
        overdue|month:2026-02| 3.0000 orders n=3 3/1 r2 provisional
        nps|day:2026-01-31|others=region 33.3333 points n=3 1/3 ±27.2166 detractors_share=0.0000 promoters_share=0.3333 of 2 values r2 revised
        nps|week:2026-W05|others=region 33.3333 points n=3 1/3 ±27.2166 detractors_share=0.0000 promoters_share=0.3333 of 2 values r2 provisional
        nps|month:2026-01|others=region 33.3333 points n=3 1/3 ±27.2166 detractors_share=0.0000 promoters_share=0.3333 of 2 values r2 revised
    "#]].assert_eq(&harness.feed.lines);
}

#[test]
fn a_day_that_closes_looks_at_so_many_quiet_families_in_a_commit() {
    const FAMILIES: usize = 4_000;
    let mut options = Options::new(Calendar::utc(), 1);
    options.background_steps_max = 40;
    let mut harness = Harness::new(options);
    harness.tell("as-of 2026-01-10");
    for family in 0..FAMILIES {
        harness.tell(&format!("overdue 2026-02-20 region=r{family} n=1"));
    }
    harness.commit_all();
    harness.tell("as-of 2026-01-11");
    let mut commits = 1;
    while harness.commit() {
        commits += 1;
    }
    // Eight of them are a step.
    assert!((FAMILIES / 8 / 40..=2 * FAMILIES / 8 / 40).contains(&commits), "{commits} commits");
}
