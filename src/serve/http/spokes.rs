//! `insight.spokes` in; what arrived from each department, what became of it and how fresh it is, out.

use axum::{extract::State, response::Response};

use super::{
    Shared,
    asking::{Asked, By, Named, Paging},
    metrics::Everything,
    problem::{Problem, ProblemBody},
    reply::{self, Listing},
    shapes::Spoke,
};
use crate::{
    feeds::Feed,
    serve::{
        access::Role,
        view::{Place, feed},
    },
};

/// Who may see how departments do.
const ROLES: [Role; 2] = [Role::ReadMetrics, Role::Operate];

/// The departments: what arrived, what was rejected and why, how fresh it is.
#[utoipa::path(
    get, path = "/api/v1/spokes", operation_id = "list_spokes", tag = "spokes", params(Paging),
    responses((status = 200, description = "Accounts, by name", body = Listing<Spoke>)),
    security(("token" = ["read:metrics"]), ("token" = ["operate"])),
)]
pub(super) async fn list(
    State(api): State<Shared>,
    By(caller): By,
    asked: Asked<Everything>,
) -> Result<Response, Problem> {
    caller.must_have(&ROLES)?;
    api.list(asked, Feed::Spokes, feed(Feed::Spokes), |_| true).await
}

/// One department.
#[utoipa::path(
    get, path = "/api/v1/spokes/{spoke}", operation_id = "get_spoke", tag = "spokes",
    params(("spoke" = String, Path, description = "The department")),
    responses(
        (status = 200, description = "Its account", body = Spoke),
        (status = 404, description = "Nothing has arrived from such a department", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["read:metrics"]), ("token" = ["operate"])),
)]
pub(super) async fn get(State(api): State<Shared>, By(caller): By, Named(spoke): Named) -> Result<Response, Problem> {
    caller.must_have(&ROLES)?;
    api.ask(move |view| {
        let found = view.get(&Place::of(Feed::Spokes, &spoke))?;
        found.map(|kept| reply::one(&kept.value)).ok_or_else(|| Problem::not_found("department"))
    })
    .await
}
