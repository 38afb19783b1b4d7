//! `insight.alerts` in; what somebody should look at out. Most alerts name a person: those are for whoever may see personal data, and
//! that is noted. Those about a metric are for whoever may read metrics.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::{
    Shared,
    asking::{Asked, By, Paging},
    paging,
    problem::Problem,
    reply::{self, Listing},
    shapes::Alert,
};
use crate::{
    feeds::Feed,
    serve::{access::Role, view::Index},
};

/// Whether it names a person.
fn is_personal(alert: &Value) -> bool {
    alert.get("person").and_then(Value::as_str) != Some("")
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
}

/// What is open, the oldest first.
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
    let Which { state, owner, cause, person } = asked.filter.clone();
    // Whoever may not see persons finds the others without looking at theirs.
    // A cursor is a place in the list, with the names of those it goes by: none of a list that has persons is for them.
    let span = match (&person, &cause) {
        _ if !sees_persons => Index::AlertsOfPerson.by(&[""]),
        (Some(person), _) => Index::AlertsOfPerson.by(&[person]),
        (None, Some(cause)) => Index::AlertsOfCause.by(&[cause]),
        (None, None) => Index::Alerts.by(&[]),
    };
    if asked.place.as_ref().is_some_and(|place| !span.contains(place)) {
        // Somebody else's, who sees other alerts.
        return Err(paging::wrong_cursor());
    }
    let about = person.clone();
    let takes = move |alert: &Value| {
        let is = |field: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| alert.get(field).and_then(Value::as_str) == Some(wanted))
        };
        let filters = [("state", &state), ("owner", &owner), ("cause", &cause), ("person", &person)];
        (sees_persons || !is_personal(alert)) && filters.into_iter().all(|(field, wanted)| is(field, wanted))
    };
    let (items, next) = api.page(&asked, span, takes).await?;
    if sees_persons {
        api.note(&caller, "list_alerts", about.as_deref(), items.iter().filter(|alert| is_personal(alert)).count())
            .await?;
    }
    Ok(reply::page(&asked, &super::columns(Feed::Alerts), items, next))
}
