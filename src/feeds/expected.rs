//! A customer's record and the newest parameters of the models of buying, as the feeds have them, in; what they say of the customer out.
//!
//! The parameters are those of all customers at a month's end; how this one bought is from the record, to the day. So what is said
//! here is newer than the last fit, and no record has to be written anew for it. The models, what they assume and what is not to be
//! concluded: [`purchases`](crate::analyses::buying::purchases), [`spend`](crate::analyses::buying::spend).

use serde_json::Value;

use super::ONE_TIME_BUYER;
use crate::{
    analyses::buying::{
        purchases::{History, PurchaseModel},
        spend::{SpendModel, Spending},
    },
    model::{Calendar, Day, EventTime},
};

/// Sets of parameters on `insight.catalogue` have keys that begin with it; the newest month's is the last one.
pub const PARAMETERS: &str = "parameters|";

/// The parameters of a month in which how often customers buy could be fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct BuyingParameters {
    /// The month, `2026-01`.
    month: String,
    status: String,
    revision: i64,
    currency: String,
    purchases: PurchaseModel,
    /// `None` where amounts could not be fitted.
    spend: Option<SpendModel>,
}

/// What customers who bought like this one would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Up to when it is known what the customer did.
    pub as_of: Day,
    /// The month whose parameters say so, `2026-01`.
    pub parameters: String,
    /// Whether these may still change: provisional, final or revised.
    pub parameters_status: String,
    /// How often these were published.
    pub parameters_revision: i64,
    /// Over so many days something is expected.
    pub horizon_days: u32,
    /// The chance that they would still buy, 0 to 1; 1 of a one-time buyer, whatever they do.
    pub p_alive: f64,
    /// Days with a purchase within the horizon.
    pub expected_purchases: f64,
    /// What is paid on each, in minor units; `None`: the parameters of amounts are not determined.
    pub expected_amount: Option<f64>,
    /// ISO 4217.
    pub currency: String,
    /// Whether they bought on one day only, of which the models know nothing.
    pub one_time_buyer: bool,
}

impl Expected {
    /// What is paid within the horizon, in minor units.
    pub fn expected_value(&self) -> Option<f64> {
        self.expected_amount.map(|amount| amount * self.expected_purchases)
    }

    /// What has to be shown with it, if something has.
    pub fn caveat(&self) -> Option<&'static str> {
        self.one_time_buyer.then_some(ONE_TIME_BUYER)
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The fitted values of a model, by name; `None` unless the likelihood determines them.
fn fitted<'v>(set: &'v Value, model: &str) -> Option<impl Fn(&str) -> Option<f64> + use<'v>> {
    let fit = set.get(model).filter(|fit| text(fit, "convergence") == "converged")?;
    let parameters = fit.get("parameters")?.as_array()?;
    Some(move |name: &str| parameters.iter().find(|it| text(it, "name") == name)?.get("value")?.as_f64())
}

impl BuyingParameters {
    /// Those of a record of `insight.catalogue`; `None`: it has none that can be used.
    pub fn of(record: &Value) -> Option<BuyingParameters> {
        let set = record.get("parameters")?;
        let value = fitted(set, "purchases")?;
        let purchases = PurchaseModel { r: value("r")?, alpha_weeks: value("alpha")?, a: value("a")?, b: value("b")? };
        let spend = fitted(set, "spend")
            .and_then(|value| Some(SpendModel { p: value("p")?, q: value("q")?, nu: value("nu")? }));
        Some(BuyingParameters {
            month: text(set.get("window")?, "start").get(..7)?.to_owned(),
            status: text(record, "status").to_owned(),
            revision: record.get("revision").and_then(Value::as_i64).unwrap_or_default(),
            currency: text(set, "currency").to_owned(),
            purchases,
            spend,
        })
    }

    /// What they say of a customer; `None` of somebody who has bought nothing. `as_of`: the day of the newest touchpoint of the
    /// whole hub.
    pub fn said_of(&self, record: &Value, as_of: Day, horizon_days: u32) -> Option<Expected> {
        let buying = record.get("buying").filter(|buying| buying.is_object())?;
        let number = |field: &str| buying.get(field).and_then(Value::as_i64);
        let (first, last) = (day(text(buying, "first_on"))?, day(text(buying, "last_on"))?);
        let days = |from: Day, to: Day| u32::try_from(i64::from(to.0) - i64::from(from.0)).unwrap_or(0);
        let history = History {
            repeats: u32::try_from(number("days")? - 1).ok()?,
            last_days: days(first, last),
            age_days: days(first, as_of.max(last)),
        };
        let alive = self.purchases.alive(history);
        let expected = self.purchases.expected_purchases(history, horizon_days);
        let spending =
            Spending { repeats: u32::try_from(number("repeat_paid_days")?).ok()?, total: number("repeat_paid")? };
        // Who spent nothing on repeat purchases is nobody whom the model of amounts knows.
        let known = spending.repeats == 0 || spending.total > 0;
        let amount = self.spend.filter(|_| known).and_then(|spend| spend.expected(spending)).map(|it| it.amount);
        Some(Expected {
            as_of: as_of.max(last),
            parameters: self.month.clone(),
            parameters_status: self.status.clone(),
            parameters_revision: self.revision,
            horizon_days,
            p_alive: alive.probability,
            expected_purchases: expected,
            expected_amount: amount,
            currency: self.currency.clone(),
            one_time_buyer: alive.one_time_buyer,
        })
    }
}

/// Of ISO 8601.
fn day(text: &str) -> Option<Day> {
    let date: jiff::civil::Date = text.parse().ok()?;
    let part = |part: i8| u32::try_from(part).ok();
    Some(Day::from_civil(i32::from(date.year()), part(date.month())?, part(date.day())?))
}

/// The day of an instant of the feeds.
pub fn day_of(instant: &str, calendar: &Calendar) -> Option<Day> {
    let at: jiff::Timestamp = instant.parse().ok()?;
    Some(calendar.day(EventTime(at.as_millisecond())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(spend: &str) -> Value {
        let fit = |convergence: &str, parameters: &[(&str, f64)]| {
            let parameters: Vec<Value> =
                parameters.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            json!({"convergence": convergence, "parameters": parameters})
        };
        json!({
            "metric": "buying",
            "status": "final",
            "revision": 3,
            "parameters": {
                "window": {"kind": "month", "start": "2026-01-01", "end": "2026-02-01"},
                "currency": "EUR",
                "purchases": fit("converged", &[("r", 0.243), ("alpha", 4.414), ("a", 0.793), ("b", 2.426)]),
                "spend": fit(spend, &[("p", 6.25), ("q", 3.74), ("nu", 1544.0)]),
            }
        })
    }

    fn customer(last: &str, days: i64, paid: (i64, i64)) -> Value {
        let (repeat_paid_days, repeat_paid) = paid;
        json!({"buying": {
            "first_on": "2025-05-01", "last_on": last, "days": days,
            "repeat_paid_days": repeat_paid_days, "repeat_paid": repeat_paid,
        }})
    }

    #[test]
    fn what_is_said_of_customers() {
        let parameters = BuyingParameters::of(&set("converged")).expect("a set");
        // 30 weeks from the first to the last, and 40 to now.
        let as_of = Day::from_civil(2026, 2, 5);
        let said = parameters.said_of(&customer("2025-11-27", 3, (2, 7_000)), as_of, 90).expect("a buyer");
        let history = History { repeats: 2, last_days: 210, age_days: 280 };
        assert!(said.p_alive.total_cmp(&parameters.purchases.alive(history).probability).is_eq(), "{said:?}");
        let expected = parameters.purchases.expected_purchases(history, 90);
        assert_eq!((said.expected_purchases, said.as_of), (expected, as_of));
        let by = (said.parameters.as_str(), said.parameters_status.as_str(), said.parameters_revision);
        assert_eq!((by, said.currency.as_str(), said.horizon_days), (("2026-01", "final", 3), "EUR", 90));
        // p·(ν + total)/(p·x + q − 1)
        let amount = 6.25 * (1544.0 + 7_000.0) / (12.5 + 3.74 - 1.0);
        assert!((said.expected_value().expect("a value") / (amount * expected) - 1.0).abs() < 1e-12);
        assert_eq!((said.one_time_buyer, said.caveat()), (false, None));

        let once = parameters.said_of(&customer("2025-05-01", 1, (0, 0)), as_of, 90).expect("a buyer");
        assert_eq!((once.p_alive, once.one_time_buyer), (1.0, true));
        assert!(once.caveat().is_some_and(|caveat| caveat.contains("one-time buyer")));
        // Bought again for nothing.
        let free = parameters.said_of(&customer("2025-11-27", 3, (2, 0)), as_of, 90).expect("a buyer");
        assert_eq!((free.expected_amount, free.expected_value()), (None, None));
        assert_eq!(parameters.said_of(&json!({"buying": null}), as_of, 90), None);
    }

    #[test]
    fn parameters_that_are_not_determined_are_not_used() {
        let parameters = BuyingParameters::of(&set("undetermined")).expect("a set");
        assert_eq!((parameters.spend, parameters.month.as_str()), (None, "2026-01"));
        let said = parameters.said_of(&customer("2025-11-27", 3, (2, 7_000)), Day::from_civil(2026, 2, 5), 90);
        assert_eq!(said.expect("a buyer").expected_value(), None);
        let mut unfinished = set("converged");
        unfinished["parameters"]["purchases"]["convergence"] = json!("too_few");
        assert_eq!(BuyingParameters::of(&unfinished), None);
    }

    #[test]
    fn a_day_is_that_of_the_calendar() {
        let zone = Calendar::of_zone("Europe/Berlin").expect("a zone");
        assert_eq!(day_of("2026-01-31T23:30:00.000Z", &zone), Some(Day::from_civil(2026, 2, 1)));
        assert_eq!(day("2026-02-01"), Some(Day::from_civil(2026, 2, 1)));
        assert_eq!((day("2026-02"), day_of("", &zone)), (None, None));
    }
}
