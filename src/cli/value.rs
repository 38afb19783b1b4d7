//! What the models of buying say of a customer in; the same as a document and as rows of a table, for people, out.

use serde_json::{Value, json};

use super::{exit::Failure, place};
use crate::{
    feeds::{BuyingParameters, Expected, Feed, PARAMETERS},
    ingest::currency_exponent,
    model::Currency,
    settings::Settings,
};

/// The newest parameters on the feed.
pub(super) fn newest(settings: &Settings) -> Result<Option<BuyingParameters>, Failure> {
    let mut months = std::collections::BTreeMap::new();
    place::read_feed(settings, Feed::Catalogue, &mut |key, value| {
        if key.starts_with(PARAMETERS) {
            match value.as_ref().and_then(BuyingParameters::of) {
                Some(parameters) => drop(months.insert(key.to_owned(), parameters)),
                None => drop(months.remove(key)),
            }
        }
    })?;
    Ok(months.into_values().next_back())
}

/// The same as a document.
pub(super) fn document(said: &Expected) -> Value {
    json!({
        "as_of": said.as_of.to_string(),
        "parameters": said.parameters,
        "parameters_status": said.parameters_status,
        "parameters_revision": said.parameters_revision,
        "horizon_days": said.horizon_days,
        "p_alive": said.p_alive,
        "expected_purchases": said.expected_purchases,
        "expected_amount": said.expected_amount,
        "expected_value": said.expected_value(),
        "currency": said.currency,
        "one_time_buyer": said.one_time_buyer,
        "caveat": said.caveat(),
    })
}

/// An amount in minor units, in major ones with the digits of its currency (ISO 4217; two where it is none of it), and the sign
/// where it is a difference.
pub(super) fn money(minor: f64, currency: &str, is_difference: bool) -> String {
    let exponent = Currency::parse(currency).map_or(2, currency_exponent);
    let (major, digits) = (minor / 10_f64.powi(exponent as i32), exponent as usize);
    match is_difference {
        true => format!("{major:+.digits$} {currency}"),
        false => format!("{major:.digits$} {currency}"),
    }
}

/// The same as rows of a table.
pub(super) fn rows(said: &Expected) -> Vec<Vec<String>> {
    let money = |minor: Option<f64>| match minor {
        Some(minor) => money(minor, &said.currency, false),
        None => "not known: the parameters of amounts are not determined".to_owned(),
    };
    let horizon = said.horizon_days;
    let mut rows = vec![
        vec!["still a customer".to_owned(), format!("{:.1} %", 100.0 * said.p_alive)],
        vec![format!("days with a purchase in {horizon} days"), format!("{:.2}", said.expected_purchases)],
        vec!["amount of each".to_owned(), money(said.expected_amount)],
        vec![format!("value in {horizon} days"), money(said.expected_value())],
    ];
    rows.extend(said.caveat().map(|caveat| vec!["but".to_owned(), caveat.to_owned()]));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Day;

    #[test]
    fn what_is_expected_is_shown_with_what_is_not_known() {
        let mut said = Expected {
            as_of: Day::from_civil(2026, 2, 5),
            parameters: "2026-01".to_owned(),
            parameters_status: "final".to_owned(),
            parameters_revision: 3,
            horizon_days: 90,
            p_alive: 0.5,
            expected_purchases: 1.5,
            expected_amount: Some(2_000.0),
            currency: "EUR".to_owned(),
            one_time_buyer: false,
        };
        let shown = |said: &Expected| rows(said).concat().join("|");
        assert_eq!(
            shown(&said),
            "still a customer|50.0 %|days with a purchase in 90 days|1.50|amount of each|20.00 EUR|value in 90 days|30.00 EUR"
        );
        assert_eq!(document(&said)["expected_value"], 3_000.0);
        said.one_time_buyer = true;
        said.expected_amount = None;
        assert!(shown(&said).contains("not determined|but|of a one-time buyer"), "{}", shown(&said));
        assert!(document(&said)["caveat"].as_str().is_some_and(|it| it.contains("one-time buyer")));
    }
}
