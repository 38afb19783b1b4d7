//! Money by its currency and answers on a department's own scale, from a record to a touchpoint or a rejection.

use expect_test::expect;

use super::{mapped::MINIMAL, *};

fn event(more: &str) -> String {
    format!("{{\"n\":1,\"what\":\"survey_answered\",\"at\":1769850000250,\"who\":\"C1\",{more}}}")
}

#[test]
fn decimals_are_minor_units_of_their_currency_and_never_rounded() {
    let toml = format!("{MINIMAL}amount = {{ value = \"total\", unit = \"major\", currency = \"cur\" }}");
    let spoke = spoke(&toml).expect("a spoke of this test");
    for (total, currency, expected) in [
        ("12.34", "EUR", Some(1_234)),
        ("1234", "JPY", Some(1_234)),
        ("1.234", "KWD", Some(1_234)),
        ("0.1", "EUR", Some(10)),
        ("-0.29", "EUR", Some(-29)),
        ("8.20", "JPY", None),
        ("12.345", "EUR", None),
        ("1.2345", "KWD", None),
        ("9999999999999.99", "EUR", Some(999_999_999_999_999)),
        ("90000000000000000", "EUR", None),
        ("1234567890123.45000000000000", "EUR", Some(123_456_789_012_345)),
        ("1234567890123.45000000000001", "EUR", None),
        ("0.1000000000000000055511151231257827", "EUR", None),
    ] {
        for written in [total.to_owned(), format!("\"{total}\"")] {
            let payload = event(&format!("\"total\":{written},\"cur\":\"{currency}\""));
            let mut found = None;
            spoke
                .map(&record(Some(payload.as_bytes())), &mut |outcome| {
                    if let Mapped::Touchpoint(touchpoint) = outcome {
                        found = touchpoint.amount.map(|amount| amount.minor);
                    }
                })
                .expect("its schema is at hand");
            assert_eq!(found, expected, "{written} {currency}");
        }
    }
}

#[test]
fn an_amount_in_what_is_no_currency_is_rejected() {
    let toml = format!("{MINIMAL}amount = {{ value = \"total\", unit = \"major\", currency = \"cur\" }}");
    for word in ["EUX", "ABC", "XXX", "eur"] {
        check(
            &toml,
            &event(&format!("\"total\":5,\"cur\":\"{word}\"")),
            expect![[r#"
                wrong_type [cur] amount: the word is not known; use a code of ISO 4217 in capitals, such as EUR, or map it.
            "#]],
        );
    }
    check(
        &toml.replace("\"cur\"", "{ constant = \"EUX\" }"),
        "",
        expect![[
            r#"spoke web, line 9: amount.currency.constant: "EUX" is not known; did you mean "EUR"?; use one of EUR, USD, any other code of ISO 4217 in capitals"#
        ]],
    );
}

#[test]
fn an_empty_text_is_absent_whatever_is_wanted() {
    let toml = format!(
        "{MINIMAL}amount = {{ value = \"total\", unit = \"major\", currency = {{ constant = \"EUR\" }} }}\n\
         score = {{ scale = {{ constant = \"csat\" }}, value = \"stars\" }}\nsentiment = \"mood\"\neffort = \"effort\"\n\
         promised_at = {{ path = \"by\", format = \"rfc3339\" }}"
    );
    for empty in ["", " ", "\\t"] {
        let fields = ["total", "stars", "mood", "effort", "by"].map(|field| format!("\"{field}\":\"{empty}\""));
        check(
            &toml,
            &event(&fields.join(",")),
            expect![[r#"
                web 1 survey_answered at 2026-01-31T09:00:00.250Z by customer_id:C1, initiator customer
            "#]],
        );
    }
    let without_time = event("\"total\":1").replace("1769850000250", "\"\"");
    check(
        &toml,
        &without_time,
        expect![[r#"
        missing_field [at] occurred_at: there is no time; send when it happened.
    "#]],
    );
}

#[test]
fn amounts_and_answers_may_have_decimal_commas() {
    let toml = format!(
        "{MINIMAL}amount = {{ value = \"total\", unit = \"major\", decimal = \",\", currency = {{ constant = \"EUR\" }} }}\n\
         score = {{ scale = {{ constant = \"csat\" }}, value = \"stars\", range = [0, 10], decimal = \",\" }}"
    );
    check(
        &toml,
        &event("\"total\":\"1.234,50\",\"stars\":\"7,5\""),
        expect![[r#"
        web 1 survey_answered at 2026-01-31T09:00:00.250Z by customer_id:C1, amount 123450 EUR, score csat 4 -, initiator customer
    "#]],
    );
    check(
        &toml,
        &event("\"total\":\"12.50\""),
        expect![[r#"
        wrong_type [total] amount: it is no amount of at most 10^15 minor units with at most 2 decimals (nothing is rounded); send a number such as 1234,50 or 1.234,50, as the spoke is configured for.
    "#]],
    );
    check(
        &toml,
        &event("\"stars\":\"7.5\""),
        expect![[r#"
        wrong_type [stars] score.value: it is not a number; send a number.
    "#]],
    );
    check(
        &toml.replacen("\",\"", "\";\"", 1),
        "",
        expect![[
            r#"spoke web, line 9: amount.decimal: write what stands before the decimals: decimal = "," for 1.234,50 or decimal = "." for 1,234.50"#
        ]],
    );
}

#[test]
fn ids_and_identifiers_that_are_long_numbers_keep_every_digit() {
    let long =
        r#"{"n":123456789012345678901234,"what":"survey_answered","at":1769850000250,"who":98765432109876543210987}"#;
    check(
        MINIMAL,
        long,
        expect![[r#"
        web 123456789012345678901234 survey_answered at 2026-01-31T09:00:00.250Z by customer_id:98765432109876543210987, initiator customer
    "#]],
    );
    check(
        MINIMAL,
        &long.replace("\"n\":1", "\"n\":1."),
        expect![[r#"
        wrong_type [n] id: the id is a fraction; send it as text or as a whole number.
    "#]],
    );
    let times = MINIMAL.replace("epoch_ms", "epoch_s");
    check(
        &times,
        &long.replace("1769850000250", "1769850000.250999999999"),
        expect![[r#"
        web 123456789012345678901234 survey_answered at 2026-01-31T09:00:00.250Z by customer_id:98765432109876543210987, initiator customer
    "#]],
    );
}

#[test]
fn answers_on_another_scale_are_brought_to_ours() {
    let toml = format!(
        "{MINIMAL}score = {{ scale = {{ path = \"q\", default = \"csat\" }}, value = \"stars\", range = [0, 100] }}"
    );
    check(
        &toml,
        &event("\"stars\":75"),
        expect![[r#"
        web 1 survey_answered at 2026-01-31T09:00:00.250Z by customer_id:C1, score csat 4 -, initiator customer
    "#]],
    );
    check(
        &toml,
        &event("\"stars\":\"75.5\",\"q\":\"nps\""),
        expect![[r#"
        web 1 survey_answered at 2026-01-31T09:00:00.250Z by customer_id:C1, score nps 8 -, initiator customer
    "#]],
    );
    check(
        &toml,
        &event("\"stars\":101"),
        expect![[r#"
        score_out_of_range [stars] score.value: it is not a number from 0 to 100 with at most 3 decimals; send one in this range.
    "#]],
    );
    check(
        &toml,
        &event("\"stars\":\"many\""),
        expect![[r#"
        wrong_type [stars] score.value: it is not a number; send a number.
    "#]],
    );
    check(
        &toml.replace("[0, 100]", "[5, 5]"),
        "",
        expect![
            "spoke web, line 9: score.range: write the answers that are worst and best, two whole numbers up to a million, as in range = [0, 100]"
        ],
    );
    check(
        &toml.replace("[0, 100]", "\"0-100\""),
        "",
        expect![
            "spoke web, line 9: score.range: write the answers that are worst and best, two whole numbers up to a million, as in range = [0, 100]"
        ],
    );
}
