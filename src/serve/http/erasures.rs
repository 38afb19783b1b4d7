//! An identifier of somebody in; what an erasure would take, the command that erases them, and its confirmation out.

use std::collections::BTreeMap;

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    asking::{By, Named, Parameters},
    customers::find,
    decisions::{accepted_at, document},
    problem::{Problem, ProblemBody},
    reply,
    shapes::{IdentifierText, Identity},
};
use crate::{
    feeds::{self, Feed},
    model::{EventTime, Name, Order, PersonId},
    serve::{
        access::Role,
        view::{Index, Place, View},
    },
};

/// Touchpoints that are looked at in one step.
const STEP: usize = 1_000;

/// Who is to be erased.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToErase {
    /// TYPE:VALUE of any identifier of the person.
    #[schema(value_type = IdentifierText)]
    identifier: String,
    /// Show what would be erased, and erase nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What an erasure would take.
#[derive(Serialize, ToSchema)]
pub(super) struct WhatGoes {
    /// The person.
    person: String,
    /// Their record: identifiers.
    #[schema(value_type = Identity)]
    identity: Value,
    /// How many touchpoints of each department.
    touchpoints: BTreeMap<String, u64>,
    /// true: nothing was erased.
    dry_run: bool,
}

/// An erasure that was handed over.
#[derive(Serialize, ToSchema)]
pub(super) struct Erasing {
    /// The command's id.
    command: String,
    /// The identifier's keyed hash, under which the erasure is confirmed: /api/v1/erasures/{erasure}.
    erasure: String,
    /// When it was ordered: with it as `ordered_at`, the confirmation of an erasure before that is none of this.
    #[schema(format = DateTime)]
    ordered_at: String,
}

/// Which erasure of an identifier.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// When it was ordered, as the answer to the order has it: whoever came back under an identifier may be erased again. Without it, the
    /// newest.
    #[param(format = DateTime)]
    ordered_at: Option<String>,
}

/// An erasure that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct Erased {
    /// The identifier's keyed hash.
    erasure: String,
    /// When the hub made it.
    #[schema(format = DateTime)]
    erased_at: String,
    /// Up to when touchpoints were erased; what happens later is somebody new.
    #[schema(format = DateTime)]
    erased_until: String,
    /// The offset of the command on insight.commands.
    command: Option<i64>,
    /// When no byte of it is left in topics and files of the hub, at the latest, while hubs and brokers run.
    #[schema(format = DateTime)]
    bytes_gone_by: String,
}

fn what_goes(view: &View, person: &str) -> Result<Option<WhatGoes>, Problem> {
    let Some(identity) = view.get(&Place::of(Feed::Identities, person))? else { return Ok(None) };
    let mut touchpoints: BTreeMap<String, u64> = BTreeMap::new();
    let (span, mut from) = (Index::Timeline.by(&[person]), None::<Vec<u8>>);
    loop {
        let page = view.list(&span, from.as_deref(), STEP, &|_| true)?;
        for touchpoint in &page.records {
            let spoke = touchpoint.value["spoke"].as_str().unwrap_or_default();
            *touchpoints.entry(spoke.to_owned()).or_default() += 1;
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    Ok(Some(WhatGoes { person: person.to_owned(), identity: identity.value, touchpoints, dry_run: true }))
}

/// Erases a person, up to now; with `dry_run` it shows what would go.
///
/// There is no way back. 202 says that the order lasts; the hub takes it at once. The departments' own topics, and backups, are their
/// owners' to clean.
#[utoipa::path(
    post, path = "/api/v1/erasures", operation_id = "erase_person", tag = "erasure and access",
    request_body = ToErase,
    responses(
        (status = 200, description = "What would be erased, of a dry run", body = WhatGoes),
        (status = 202, description = "It was handed over", body = Erasing, headers(("location" = String, description = "Where it is confirmed"))),
        (status = 400, description = "The body is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Nobody is known by that, of a dry run", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "More than may come at a time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["erase"])),
)]
pub(super) async fn erase(State(api): State<Shared>, By(caller): By, request: Request) -> Result<Response, Problem> {
    caller.must_have(&[Role::Erase])?;
    let ToErase { identifier, dry_run } = document(request).await?;
    let name = Name::of(&identifier, &api.rules, &api.person_key)?;
    if dry_run {
        let count = |goes: &WhatGoes| 1 + usize::try_from(goes.touchpoints.values().sum::<u64>()).unwrap_or(usize::MAX);
        return Ok(reply::one(&api.noted(&caller, "erase_person", &identifier, what_goes, count).await?));
    }
    let sought = api.sought(&identifier)?;
    let person = api.ask(move |view| find(view, &sought)).await?;
    let order = Order::Erase { identifier: name };
    let (command, ordered_at) =
        api.order((&caller, "erase", "erase_person"), person.as_deref(), 1, (None, order)).await?;
    let (erasure, ordered_at) = (name.id.to_string(), ordered_at.to_string());
    let confirmed = format!("/api/v1/erasures/{erasure}?ordered_at={ordered_at}");
    Ok(accepted_at(&confirmed, &Erasing { command, erasure, ordered_at }))
}

/// Whether an erasure was made, and when no byte of it is left.
///
/// As long as the journal of identities keeps it.
#[utoipa::path(
    get, path = "/api/v1/erasures/{erasure}", operation_id = "get_erasure", tag = "erasure and access",
    params(("erasure" = String, Path, description = "The identifier's keyed hash, as the answer to the order has it"), Which),
    responses(
        (status = 200, description = "It was made", body = Erased),
        (status = 404, description = "It was not made yet, or not asked for", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["erase"])),
)]
pub(super) async fn get(
    State(api): State<Shared>,
    By(caller): By,
    Named(erasure): Named,
    Parameters(Which { ordered_at }): Parameters<Which>,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::Erase])?;
    let erasure = PersonId::parse(&erasure).map(|id| id.to_string()).ok_or_else(|| {
        Problem::parameter("an erasure is named by the 32 hexadecimal digits that the answer to its order has")
    })?;
    let ordered_at = match ordered_at.map(|at| at.parse::<jiff::Timestamp>()) {
        None => None,
        Some(Ok(at)) => Some(EventTime(at.as_millisecond())),
        Some(Err(_)) => {
            return Err(Problem::parameter(
                "ordered_at is a time as in 2026-01-31T09:00:00.000Z, as the answer has it",
            ));
        }
    };
    let gone_ms = api.erased_within_ms;
    api.ask(move |view| {
        let found = view.get(&Place::of_erasure(&erasure))?;
        // It erases all that happened until it was ordered: what erased less was another.
        let is_this = |erased_until: &Value| ordered_at.is_none_or(|at| feeds::instant(erased_until) >= Some(at));
        let found = found.filter(|kept| is_this(&kept.value["erased_until"]));
        let kept = found.ok_or_else(|| Problem::not_found("erasure that was made"))?;
        Ok(reply::one(&Erased {
            erased_at: EventTime(kept.timestamp_ms).to_string(),
            erased_until: feeds::instant(&kept.value["erased_until"]).map_or_else(String::new, |at| at.to_string()),
            command: kept.value["command"].as_i64(),
            bytes_gone_by: EventTime(kept.timestamp_ms.saturating_add(gone_ms)).to_string(),
            erasure,
        }))
    })
    .await
}
