//! The feeds of analyses in; what each found, window by window, out.

use axum::{extract::State, response::Response};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::{
    Shared,
    asking::{Asked, By, Paging, day},
    metrics::WindowLength,
    problem::Problem,
    reply::Listing,
    shapes::{Attribution, Balance, Change, Drivers, Journeys, Priorities, Scorecard},
};
use crate::{
    feeds::Feed,
    serve::{access::Role, view::feed},
};

/// Which findings.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Findings {
    /// How long a window is.
    #[param(inline)]
    window: Option<WindowLength>,
    /// Windows that begin on this day or later.
    #[param(format = Date)]
    from: Option<String>,
    /// Windows that begin before this day.
    #[param(format = Date)]
    to: Option<String>,
}

impl Findings {
    /// Whether a finding is asked for.
    fn takes(&self) -> Result<impl Fn(&Value) -> bool + Send + use<>, Problem> {
        let (from, to) = (day("from", self.from.as_deref())?, day("to", self.to.as_deref())?);
        let kind = self.window.map(WindowLength::as_str);
        Ok(move |value: &Value| {
            let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let start = text("/window/start");
            kind.is_none_or(|kind| text("/window/kind") == kind)
                && from.as_deref().is_none_or(|from| start >= from)
                && to.as_deref().is_none_or(|to| start < to)
        })
    }
}

/// A list for each analysis.
macro_rules! analyses {
    ($($(#[$doc:meta])* $name:ident, $path:literal, $id:literal: $feed:ident of $shape:ident;)*) => { $(
        $(#[$doc])*
        #[utoipa::path(
            get, path = $path, operation_id = $id, tag = "analyses", params(Findings, Paging),
            responses((status = 200, description = "Findings, by window", body = Listing<$shape>)),
            security(("token" = ["read:metrics"])),
        )]
        pub(super) async fn $name(
            State(api): State<Shared>,
            By(caller): By,
            asked: Asked<Findings>,
        ) -> Result<Response, Problem> {
            caller.must_have(&[Role::ReadMetrics])?;
            let takes = asked.filter.takes()?;
            api.list(asked, Feed::$feed, feed(Feed::$feed), takes).await
        }
    )* };
}

analyses! {
    /// Journeys towards each goal: what followed what, most travelled paths, where they end, steps that go with the goal.
    journeys, "/api/v1/journeys", "list_journeys": Journeys of Journeys;
    /// What each step of the journeys to a goal is credited with.
    attribution, "/api/v1/attribution", "list_attribution": Attribution of Attribution;
    /// Which experiences go together with business outcomes.
    drivers, "/api/v1/drivers", "list_drivers": Drivers of Drivers;
    /// What to fix first.
    priorities, "/api/v1/priorities", "list_priorities": Priorities of Priorities;
    /// Whether what was done about something moved a metric.
    changes, "/api/v1/changes", "list_changes": Changes of Change;
    /// What kinds of contact bring and take.
    balance, "/api/v1/balance", "list_balance": Balance of Balance;
    /// A department's month.
    scorecards, "/api/v1/scorecards", "list_scorecards": Scorecards of Scorecard;
}
