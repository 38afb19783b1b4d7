//! `insight.rejected` in; what could not be taken in, and why, out. What the department sent is shown to whoever may see personal data,
//! and that is noted; to others it is masked.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    asking::{Asked, By, Named, Paging, day},
    csv::Column,
    problem::{Problem, ProblemBody},
    reply::{self, Listing},
};
use crate::{
    feeds::Feed,
    serve::{
        access::Role,
        view::{Index, feed},
    },
};

const ROLES: [Role; 2] = [Role::ReadCustomers, Role::Operate];

/// Which dead letters.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The department.
    spoke: Option<String>,
    /// Why, as a word: missing_field, bad_timestamp, …
    reason: Option<String>,
    /// Rejected on this day or later, UTC.
    #[param(format = Date)]
    from: Option<String>,
    /// Rejected before this day, UTC.
    #[param(format = Date)]
    to: Option<String>,
}

/// A source record that could not be taken in.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// topic|partition|offset of the source record.
    position: String,
    /// The source topic.
    topic: String,
    /// The source partition.
    partition: i32,
    /// The source offset.
    offset: i64,
    /// The source record's own timestamp.
    #[schema(format = DateTime)]
    timestamp: Option<String>,
    /// Which touchpoint of the record, from 0.
    touchpoint: Option<i64>,
    /// The department.
    spoke: Option<String>,
    /// Why, as a word of a closed set.
    reason: Option<String>,
    /// The field concerned; empty if it is the whole record.
    field: Option<String>,
    /// What happened and what to do.
    message: Option<String>,
    /// When the hub said so.
    #[schema(format = DateTime)]
    rejected_at: Option<String>,
    /// The record's key as text, or in base64 behind `base64:`; null without the role read:customers.
    key: Option<String>,
    /// The first 64 KiB of the record as text, or in base64 behind `base64:`; null without the role read:customers.
    value: Option<String>,
    /// Bytes of the value of the whole record, also where the dead letter itself holds its beginning alone.
    value_bytes: i64,
}

const FIELDS: [&str; 14] = [
    "position",
    "topic",
    "partition",
    "offset",
    "timestamp",
    "touchpoint",
    "spoke",
    "reason",
    "field",
    "message",
    "rejected_at",
    "key",
    "value",
    "value_bytes",
];

/// Without anything of what the department sent.
fn mask(letter: &mut Value) {
    for field in ["key", "value"] {
        letter[field] = Value::Null;
    }
}

/// What could not be taken in, the newest first, at most the newest 10,000.
#[utoipa::path(
    get, path = "/api/v1/dead-letters", operation_id = "list_dead_letters", tag = "dead letters", params(Which, Paging),
    responses((status = 200, description = "Dead letters; masked without the role read:customers", body = Listing<DeadLetter>)),
    security(("token" = ["read:customers"]), ("token" = ["operate"])),
)]
pub(super) async fn list(State(api): State<Shared>, By(caller): By, asked: Asked<Which>) -> Result<Response, Problem> {
    caller.must_have(&ROLES)?;
    let Which { spoke, reason, from, to } = asked.filter.clone();
    let (from, to) = (day("from", from.as_deref())?, day("to", to.as_deref())?);
    let takes = move |letter: &Value| {
        let is = |field: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| letter.get(field).and_then(Value::as_str) == Some(wanted))
        };
        // RFC 3339 in UTC, which begins with the day.
        let at = letter.get("rejected_at").and_then(Value::as_str).unwrap_or_default();
        is("spoke", &spoke)
            && is("reason", &reason)
            && from.as_deref().is_none_or(|from| at >= from)
            && to.as_deref().is_none_or(|to| at < to)
    };
    let (mut items, next) = api.page(&asked, feed(Feed::Rejected), takes).await?;
    if caller.has(&[Role::ReadCustomers]) {
        api.note(&caller, "list_dead_letters", None, items.len()).await?;
    } else {
        items.iter_mut().for_each(mask);
    }
    let columns = FIELDS.map(|name| Column { name: name.to_owned(), path: vec![name.to_owned()] });
    Ok(reply::page(&asked, &columns, items, next))
}

/// One dead letter.
#[utoipa::path(
    get, path = "/api/v1/dead-letters/{position}", operation_id = "get_dead_letter", tag = "dead letters",
    params(("position" = String, Path, description = "topic|partition|offset of the source record")),
    responses(
        (status = 200, description = "It; masked without the role read:customers", body = DeadLetter),
        (status = 404, description = "There is none, or not any more", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["read:customers"]), ("token" = ["operate"])),
)]
pub(super) async fn get(
    State(api): State<Shared>,
    By(caller): By,
    Named(position): Named,
) -> Result<Response, Problem> {
    caller.must_have(&ROLES)?;
    let found = api
        .ask(move |view| {
            let page = view.list(&Index::Letters.by(&[&position]), None, 1, &|_| true)?;
            Ok(page.records.into_iter().next().map(|kept| kept.value))
        })
        .await?;
    if caller.has(&[Role::ReadCustomers]) {
        api.note(&caller, "get_dead_letter", None, found.iter().len()).await?;
        return found.map(|letter| reply::one(&letter)).ok_or_else(|| Problem::not_found("dead letter"));
    }
    let masked = found.map(|mut letter| {
        mask(&mut letter);
        reply::one(&letter)
    });
    masked.ok_or_else(|| Problem::not_found("dead letter"))
}
