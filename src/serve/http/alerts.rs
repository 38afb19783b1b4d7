//! `insight.alerts` in; what somebody should look at out. Most alerts name a person: those are for whoever may see personal data, and
//! that is noted. Those about a metric are for whoever may read metrics.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    asking::{Asked, By, Paging},
    problem::Problem,
    reply::{self, Listing},
    shapes::Alert,
};
use crate::{
    feeds::Feed,
    model::AlertCause,
    serve::{access::Role, view::Index},
};

/// Whether it names a person.
fn is_personal(alert: &Value) -> bool {
    alert.get("person").and_then(Value::as_str) != Some("")
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Order {
    /// The oldest first.
    #[default]
    Oldest,
    /// The newest first.
    Newest,
}

/// What alerts are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum About {
    /// A person.
    Person,
    /// A metric.
    Metric,
}

/// Which alerts.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// open or acknowledged.
    state: Option<String>,
    /// The department whose they are.
    owner: Option<String>,
    /// Why they are open.
    cause: Option<String>,
    /// The id of the person whom they are about.
    person: Option<String>,
    /// What they are about; without it, either.
    #[param(inline)]
    about: Option<About>,
    /// In which order. `newest` is of alerts about one person, or about metrics (`about=metric`, or cause `metric_unusual`).
    #[serde(default)]
    #[param(inline, required = false)]
    order: Order,
}

/// What is open, the oldest first unless the newest are asked for.
///
/// Without the role read:customers only what is about a metric.
#[utoipa::path(
    get, path = "/api/v1/alerts", operation_id = "list_alerts", tag = "alerts", params(Which, Paging),
    responses((status = 200, description = "Alerts", body = Listing<Alert>)),
    security(("token" = ["read:customers"]), ("token" = ["read:metrics"])),
)]
pub(super) async fn list(State(api): State<Shared>, By(caller): By, asked: Asked<Which>) -> Result<Response, Problem> {
    caller.must_have(&[Role::ReadCustomers, Role::ReadMetrics])?;
    let sees_persons = caller.has(&[Role::ReadCustomers]);
    let Which { state, owner, cause, person, about, order } = asked.filter.clone();
    // Whoever may not see persons finds the others without looking at theirs.
    // A cursor is a place in the list, with the names of those it goes by: none of a list that has persons is for them.
    let is_of_metrics =
        !sees_persons || about == Some(About::Metric) || cause.as_deref() == Some(AlertCause::MetricUnusual.as_str());
    let span = match (order, &person, &cause) {
        (Order::Oldest, ..) if !sees_persons || about == Some(About::Metric) => Index::AlertsOfPerson.by(&[""]),
        (Order::Oldest, Some(person), _) => Index::AlertsOfPerson.by(&[person]),
        (Order::Oldest, None, Some(cause)) => Index::AlertsOfCause.by(&[cause]),
        (Order::Oldest, None, None) if about == Some(About::Person) => Index::AlertsAboutPersons.by(&[]),
        (Order::Oldest, None, None) => Index::Alerts.by(&[]),
        (Order::Newest, ..) if is_of_metrics => Index::NewestAlertsOfPerson.by(&[""]),
        (Order::Newest, Some(person), _) => Index::NewestAlertsOfPerson.by(&[person]),
        (Order::Newest, None, _) => {
            return Err(Problem::parameter(
                "`order=newest` needs a `person`, `about=metric` or `cause=metric_unusual`",
            ));
        }
    };
    let noted = person.clone();
    let takes = move |alert: &Value| {
        let is = |field: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| alert.get(field).and_then(Value::as_str) == Some(wanted))
        };
        let filters = [("state", &state), ("owner", &owner), ("cause", &cause), ("person", &person)];
        let is_about = about.is_none_or(|about| is_personal(alert) == (about == About::Person));
        (sees_persons || !is_personal(alert))
            && is_about
            && filters.into_iter().all(|(field, wanted)| is(field, wanted))
    };
    let (items, next) = api.page(&asked, span, takes).await?;
    if sees_persons {
        api.note(&caller, "list_alerts", noted.as_deref(), items.iter().filter(|alert| is_personal(alert)).count())
            .await?;
    }
    Ok(reply::page(&asked, &super::columns(Feed::Alerts), items, next))
}
