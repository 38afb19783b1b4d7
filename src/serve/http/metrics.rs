//! `insight.catalogue` and `insight.metrics` in; what each metric means, its values window by window, and several windows as one out.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    asking::{Asked, By, Named, Paging, Parameters, day},
    problem::{Kind, Problem, ProblemBody},
    reply::{self, Listing},
    shapes::{MetricDefinition, MetricValue},
};
use crate::{
    feeds::Feed,
    serve::{
        access::Role,
        view::{Index, Kept, Place, View, feed},
    },
};

/// Windows that are rolled up: ten years of days, and more.
const WINDOWS_MAX: usize = 4_000;

/// How windows of a metric become a longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Roll {
    /// Numerators and denominators add up, and the value is their quotient in the metric's unit.
    Quotient,
    /// Numerators add up.
    Sum,
    /// Not at all: why.
    Not(&'static str),
}

const LEVEL: Roll = Roll::Not("it is a level at a day's close: ask for the window that you want");
/// It has a value for each currency in which money moved: none, where none moved.
const COST: Roll = Roll::Not(
    "windows in which nothing was spent are not published, whoever became a customer in them: ask for the window that you want",
);
const PERSONS: Roll =
    Roll::Not("persons who are in several windows would count in each: ask for the window that you want");

/// Of each metric; one that is not here is not rolled up.
const ROLLS: &[(&str, Roll)] = &[
    ("nps", Roll::Quotient),
    ("csat", Roll::Quotient),
    ("ces", Roll::Quotient),
    ("sentiment", Roll::Quotient),
    ("expectation_gap", Roll::Quotient),
    ("promise_gap", Roll::Quotient),
    ("on_time", Roll::Quotient),
    ("overdue", LEVEL),
    ("first_response_time", Roll::Quotient),
    ("unanswered", LEVEL),
    ("resolution_time", Roll::Quotient),
    ("full_resolution_time", Roll::Quotient),
    ("first_contact_resolution", Roll::Quotient),
    ("follow_up_time", Roll::Quotient),
    ("contact_rate", PERSONS),
    ("new_customers", Roll::Sum),
    ("acquisition_cost", COST),
    ("conversion", PERSONS),
    ("repurchase_30", Roll::Quotient),
    ("repurchase_60", Roll::Quotient),
    ("repurchase_90", Roll::Quotient),
    ("retention", PERSONS),
    ("churn", PERSONS),
    ("referral", Roll::Quotient),
    ("advocacy", PERSONS),
    ("word_of_mouth", Roll::Quotient),
    ("revenue", Roll::Sum),
    ("orders", Roll::Sum),
    ("average_order_value", Roll::Quotient),
    ("return_rate", Roll::Quotient),
    ("margin", Roll::Sum),
    ("customer_value", PERSONS),
    ("contact_pressure", LEVEL),
    ("content_credibility", PERSONS),
    ("reach", PERSONS),
    ("data_quality", Roll::Quotient),
];

/// The metrics whose roll-up is decided, by id.
pub fn rolled_metrics() -> impl Iterator<Item = &'static str> {
    ROLLS.iter().map(|(metric, _)| *metric)
}

/// No filter.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Everything {}

/// Which values of a metric.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Series {
    /// How long a window is.
    #[param(inline)]
    window: WindowLength,
    /// What the values are about; the company without it.
    dimension: Option<String>,
    /// Which one of the dimension; each of them without it.
    dimension_value: Option<String>,
    /// ISO 4217, of metrics in money; each of them without it.
    currency: Option<String>,
    /// Windows that begin on this day or later.
    #[param(format = Date)]
    from: Option<String>,
    /// Windows that begin before this day.
    #[param(format = Date)]
    to: Option<String>,
}

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum WindowLength {
    /// A day.
    Day,
    /// An ISO week.
    Week,
    /// A month.
    Month,
}

impl WindowLength {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            WindowLength::Day => "day",
            WindowLength::Week => "week",
            WindowLength::Month => "month",
        }
    }
}

/// Several windows as one.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct RollUp {
    /// The metric.
    metric: String,
    /// The unit of the value.
    unit: String,
    /// What it is about.
    dimension: String,
    /// Which one of it.
    dimension_value: String,
    /// ISO 4217, of metrics in money.
    currency: Option<String>,
    /// The first day of the first window.
    #[schema(format = Date)]
    start: Option<String>,
    /// The first day after the last window.
    #[schema(format = Date)]
    end: Option<String>,
    /// Windows with a value.
    windows: usize,
    /// Observations of all of them.
    n: i64,
    /// The sum of the numerators.
    numerator: i64,
    /// The sum of the denominators; 1 of sums.
    denominator: i64,
    /// The value, in unit; null where there is nothing to divide by.
    value: Option<f64>,
    /// `provisional` if any window is, else `revised` if any is, else `final`.
    status: String,
    /// The sum of the windows' revisions: another number is another state.
    revision: i64,
}

/// The metrics and what they mean.
///
/// In the order of their ids.
#[utoipa::path(
    get, path = "/api/v1/metrics", operation_id = "list_metrics", tag = "metrics", params(Paging),
    responses((status = 200, description = "Definitions", body = Listing<MetricDefinition>)),
    security(("token" = ["read:metrics"])),
)]
pub(super) async fn list(
    State(api): State<Shared>,
    By(caller): By,
    asked: Asked<Everything>,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::ReadMetrics])?;
    let is_metric = |value: &Value| value.get("parameters").is_none_or(Value::is_null);
    api.list(asked, Feed::Catalogue, feed(Feed::Catalogue), is_metric).await
}

/// What a metric means.
#[utoipa::path(
    get, path = "/api/v1/metrics/{metric}", operation_id = "get_metric", tag = "metrics",
    params(("metric" = String, Path, description = "The metric's id")),
    responses(
        (status = 200, description = "Its definition", body = MetricDefinition),
        (status = 404, description = "There is no such metric", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["read:metrics"])),
)]
pub(super) async fn get(State(api): State<Shared>, By(caller): By, Named(metric): Named) -> Result<Response, Problem> {
    caller.must_have(&[Role::ReadMetrics])?;
    api.ask(move |view| definition(view, &metric).map(|kept| reply::one(&kept.value))).await
}

/// A metric's values, window by window.
///
/// In the order of dimension value, currency and window. Each has its status and revision; which windows are still open is said
/// by `status`.
#[utoipa::path(
    get, path = "/api/v1/metrics/{metric}/series", operation_id = "get_metric_series", tag = "metrics",
    params(("metric" = String, Path, description = "The metric's id"), Series, Paging),
    responses(
        (status = 200, description = "Values", body = Listing<MetricValue>),
        (status = 404, description = "There is no such metric", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["read:metrics"])),
)]
pub(super) async fn series(
    State(api): State<Shared>,
    By(caller): By,
    Named(metric): Named,
    asked: Asked<Series>,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::ReadMetrics])?;
    let wanted = Wanted::of(&metric, &asked.filter)?;
    api.ask(move |view| definition(view, &metric)).await?;
    let span = wanted.span();
    api.list(asked, Feed::Metrics, span, move |value| wanted.takes(value)).await
}

/// Windows of a metric as one.
///
/// From numerators, denominators and n: exact where these add up; where they do not, the answer is the problem `not-additive`,
/// which says why.
#[utoipa::path(
    get, path = "/api/v1/metrics/{metric}/roll-up", operation_id = "roll_up_metric", tag = "metrics",
    params(("metric" = String, Path, description = "The metric's id"), Series),
    responses(
        (status = 200, description = "One value of all windows", body = RollUp),
        (status = 404, description = "There is no such metric", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The windows do not add up", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["read:metrics"])),
)]
pub(super) async fn roll_up(
    State(api): State<Shared>,
    By(caller): By,
    Named(metric): Named,
    Parameters(filter): Parameters<Series>,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::ReadMetrics])?;
    let wanted = Wanted::of(&metric, &filter)?;
    api.ask(move |view| {
        definition(view, &metric)?;
        let roll = ROLLS.iter().find(|(known, _)| *known == metric);
        let roll = roll.map_or(Roll::Not("this version does not know how"), |(_, roll)| *roll);
        if let Roll::Not(why) = roll {
            return Err(Problem::new(Kind::NotAdditive, why));
        }
        let page = view.list(&wanted.span(), None, WINDOWS_MAX, &|value| wanted.takes(value))?;
        if page.next.is_some() {
            return Err(Problem::parameter(format!("more than {WINDOWS_MAX} windows: name `from` and `to`")));
        }
        let values: Vec<Value> = page.records.into_iter().map(|kept| kept.value).collect();
        rolled(roll, &metric, &values).map(|rolled| reply::one(&rolled))
    })
    .await
}

fn definition(view: &View, metric: &str) -> Result<Kept, Problem> {
    let found = view.get(&Place::of(Feed::Catalogue, metric))?;
    found
        .filter(|kept| kept.value.get("parameters").is_none_or(Value::is_null))
        .ok_or_else(|| Problem::not_found("metric"))
}

/// Values that are asked for.
struct Wanted {
    parts: Vec<String>,
    currency: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

impl Wanted {
    fn of(metric: &str, filter: &Series) -> Result<Wanted, Problem> {
        let (from, to) = (day("from", filter.from.as_deref())?, day("to", filter.to.as_deref())?);
        let dimension = filter.dimension.clone().unwrap_or_else(|| "company".to_owned());
        let mut parts = vec![metric.to_owned(), filter.window.as_str().to_owned(), dimension];
        // The company has one value, which is empty.
        let value = filter.dimension_value.clone().or((parts[2] == "company").then(String::new));
        if let Some(value) = value {
            parts.push(value);
            parts.extend(filter.currency.clone());
        }
        Ok(Wanted { parts, currency: filter.currency.clone(), from, to })
    }

    fn span(&self) -> std::ops::Range<Vec<u8>> {
        let parts: Vec<&str> = self.parts.iter().map(String::as_str).collect();
        Index::Series.by(&parts)
    }

    fn takes(&self, value: &Value) -> bool {
        let start = value.pointer("/window/start").and_then(Value::as_str).unwrap_or_default();
        let currency = value.get("currency").and_then(Value::as_str);
        self.currency.as_deref().is_none_or(|wanted| currency == Some(wanted))
            && self.from.as_deref().is_none_or(|from| start >= from)
            && self.to.as_deref().is_none_or(|to| start < to)
    }
}

/// Values of one dimension value and one currency as one.
fn rolled(roll: Roll, metric: &str, values: &[Value]) -> Result<RollUp, Problem> {
    let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let number = |value: &Value, field: &str| value.get(field).and_then(Value::as_i64).unwrap_or_default();
    let Some(first) = values.first() else { return Err(Problem::not_found("window of the metric")) };
    for field in ["/dimension_value", "/currency"] {
        if values.iter().any(|value| text(value, field) != text(first, field)) {
            return Err(Problem::parameter(format!("these are values of several: name `{}`", &field[1..])));
        }
    }
    let mut all = RollUp {
        metric: metric.to_owned(),
        unit: text(first, "/unit").unwrap_or_default(),
        dimension: text(first, "/dimension").unwrap_or_default(),
        dimension_value: text(first, "/dimension_value").unwrap_or_default(),
        currency: text(first, "/currency"),
        start: values.iter().filter_map(|value| text(value, "/window/start")).min(),
        end: values.iter().filter_map(|value| text(value, "/window/end")).max(),
        windows: values.len(),
        status: "final".to_owned(),
        ..RollUp::default()
    };
    // A value is its quotient in the metric's unit: how many units that is, each window with a value says.
    let mut units = None;
    for value in values {
        let (numerator, denominator) = (number(value, "numerator"), number(value, "denominator"));
        all.n = all.n.saturating_add(number(value, "n"));
        all.numerator = all.numerator.saturating_add(numerator);
        all.denominator = all.denominator.saturating_add(denominator);
        all.revision = all.revision.saturating_add(number(value, "revision"));
        let shown = value.get("value").and_then(Value::as_f64);
        if let Some(shown) = shown.filter(|_| numerator != 0 && units.is_none()) {
            units = Some(shown * denominator as f64 / numerator as f64);
        }
        match text(value, "/status").as_deref() {
            Some("provisional") => all.status = "provisional".to_owned(),
            Some("revised") if all.status == "final" => all.status = "revised".to_owned(),
            _ => {}
        }
    }
    all.value = match roll {
        Roll::Sum => {
            all.denominator = 1;
            Some(all.numerator as f64)
        }
        _ if all.denominator <= 0 => None,
        // Where each numerator is 0, so is the value, in whatever unit.
        _ => Some(units.unwrap_or(1.0) * all.numerator as f64 / all.denominator as f64),
    };
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(day: u32, numerator: i64, denominator: i64, value: Option<f64>, status: &str) -> Value {
        json!({"metric": "m", "unit": "percent", "window": {"kind": "day", "start": format!("2026-01-{day:02}"),
            "end": format!("2026-01-{:02}", day + 1)}, "dimension": "company", "dimension_value": "", "currency": null,
            "n": denominator, "numerator": numerator, "denominator": denominator, "value": value, "revision": 2, "status": status})
    }

    #[test]
    fn a_share_of_days_is_the_share_of_all_that_they_counted() {
        let days = [
            value(1, 1, 2, Some(50.0), "final"),
            value(2, 0, 0, None, "revised"),
            value(3, 9, 10, Some(90.0), "final"),
        ];
        let all = rolled(Roll::Quotient, "m", &days).expect("one value");
        assert_eq!((all.n, all.numerator, all.denominator, all.windows, all.revision), (12, 10, 12, 3, 6));
        assert!((all.value.expect("a value") - 100.0 * 10.0 / 12.0).abs() < 1e-9);
        assert_eq!((all.start.as_deref(), all.end.as_deref()), (Some("2026-01-01"), Some("2026-01-04")));
        assert_eq!(all.status, "revised");
        let nothing = rolled(Roll::Quotient, "m", &[value(1, 0, 0, None, "provisional")]).expect("one value");
        assert_eq!((nothing.value, nothing.status.as_str()), (None, "provisional"));
    }

    #[test]
    fn a_total_of_days_is_their_sum() {
        let days = [value(1, 5, 1, Some(5.0), "final"), value(2, 7, 1, Some(7.0), "final")];
        let all = rolled(Roll::Sum, "m", &days).expect("one value");
        assert_eq!((all.numerator, all.denominator, all.value), (12, 1, Some(12.0)));
    }

    #[test]
    fn values_of_different_things_are_not_added() {
        let (one, mut other) = (value(1, 5, 1, Some(5.0), "final"), value(1, 7, 1, Some(7.0), "final"));
        other["currency"] = json!("USD");
        assert!(rolled(Roll::Sum, "m", &[one.clone(), other]).is_err());
        assert!(rolled(Roll::Sum, "m", &[]).is_err());
        assert!(rolled(Roll::Sum, "m", &[one]).is_ok());
    }
}
