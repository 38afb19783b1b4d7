//! A department's items in; records on its topic out, which its mapping reads as any other, and what becomes of each item.
//!
//! The mapping is tried first, by the same code that the hub maps with: what it would reject as a whole is told to the sender and
//! goes no further. Nothing is acknowledged before it lasts. Sent again, it counts once: a touchpoint is told by its department
//! and id.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{
    Api, Shared, TURN_WITHIN,
    asking::{By, Named},
    batch::{self, Shape, Unread},
    body::{collected_within, discard, length},
    problem::{Kind, Problem, ProblemBody},
    reply, turn,
};
use crate::{
    ingest::{Mapped, NoHeaders, Rejection, SourceRecord, Spoke},
    model::PersonId,
    serve::{
        access::Role,
        room::Room,
        writing::{Batch, Unwritten},
    },
    telemetry::Event,
};

/// What is told of one item: a list of a thousand elements may be wrong a thousand times.
const PROBLEMS_MAX: usize = 8;

/// So many times what a body may have is read of one that is too long, and kept of it nothing: many clients look at no answer before they
/// have sent all, and take a connection that is closed for a failure of the network.
const DISCARDED_BODIES_MAX: usize = 8;

/// What one request may bring.
#[derive(Clone, Copy, Debug)]
pub struct IngestLimits {
    /// Bytes of a body, unpacked too.
    pub body_bytes_max: usize,
    /// Items of it.
    pub items_max: usize,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// It is stored, durably, and will be read as any other record of the department.
    Accepted,
    /// It is not stored: nothing of it could be taken.
    Refused,
}

/// One item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct ItemResult {
    /// Its place among the items that were sent, from 0.
    index: usize,
    /// What became of it.
    status: Status,
    /// How many touchpoints it is; 0 of an accepted item: the mapping leaves it out.
    touchpoints: usize,
    /// What cannot be taken, at most 8. Of an accepted item that is a part of it, which is on insight.rejected as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ItemProblem>,
}

/// Why something cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct ItemProblem {
    /// Which touchpoint of the item, from 0.
    touchpoint: usize,
    /// The reason, one of a closed set: missing_field, bad_timestamp, …
    reason: &'static str,
    /// The field to blame, as a path into the item; empty: the item as a whole.
    field: String,
    /// What is wrong and what to do.
    message: String,
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
pub(super) struct Receipt {
    /// Items that are stored.
    accepted: usize,
    /// Items that are not.
    refused: usize,
    /// Each item, in the order in which they were sent.
    items: Vec<ItemResult>,
}

impl From<Rejection> for ItemProblem {
    fn from(rejection: Rejection) -> ItemProblem {
        let Rejection { reason, field, message, touchpoint } = rejection;
        ItemProblem { touchpoint, reason: reason.as_str(), field, message }
    }
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    shape: Shape,
    is_packed: bool,
}

impl Form {
    /// As the headers say, which must say it.
    fn of(headers: &HeaderMap) -> Result<Form, Problem> {
        let unsupported = |detail: &str| Problem::new(Kind::UnsupportedMediaType, detail);
        let one = |name| {
            let mut values = headers.get_all(name).iter();
            let first = values.next().map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase());
            if values.next().is_some() { Some("?".to_owned()) } else { first }
        };
        let kind = one(header::CONTENT_TYPE).unwrap_or_default();
        let (kind, parameter) = match kind.split_once(';') {
            Some((kind, parameter)) => (kind.trim(), Some(parameter.trim())),
            None => (kind.as_str(), None),
        };
        let is_utf8 = parameter.is_none_or(|it| matches!(it, "charset=utf-8" | "charset=\"utf-8\""));
        let shape = match kind {
            "application/json" if is_utf8 => Shape::Array,
            "application/x-ndjson" if is_utf8 => Shape::Lines,
            _ => {
                return Err(unsupported(
                    "send `content-type: application/json` with one array, or application/x-ndjson with one item a line",
                ));
            }
        };
        let is_packed = match one(header::CONTENT_ENCODING).as_deref() {
            None | Some("identity") => false,
            Some("gzip") => true,
            Some(_) => return Err(unsupported("a body may be packed with `content-encoding: gzip`, once")),
        };
        Ok(Form { shape, is_packed })
    }
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Problem {
        let kind = match unread {
            Unread::TooLong(_) | Unread::TooMany(_) => Kind::TooLarge,
            Unread::NoRoom => return Problem::of_unwritten(Unwritten::Full),
            Unread::NotGzip | Unread::NoArray | Unread::Unended(_) | Unread::Nothing => Kind::InvalidBody,
        };
        Problem::new(kind, unread.to_string())
    }
}

/// What the mapping makes of an item.
struct Tried {
    /// Where its first touchpoint is kept.
    home: Option<PersonId>,
    result: ItemResult,
}

/// Tries the mapping as the hub will use it.
fn tried(api: &Api, spoke: &Spoke, item: &[u8], index: usize, now_ms: i64) -> Tried {
    let record = SourceRecord {
        topic: spoke.topic(),
        partition: 0,
        offset: 0,
        timestamp_ms: now_ms,
        key: None,
        payload: Some(item),
        headers: &NoHeaders,
    };
    let (mut home, mut touchpoints, mut left_out) = (None, 0, false);
    let mut problems: Vec<ItemProblem> = Vec::new();
    let mapped = spoke.map(&record, &mut |mapped| match mapped {
        Mapped::Touchpoint(touchpoint) => {
            touchpoints += 1;
            home.get_or_insert_with(|| api.person_key.person(touchpoint.home()));
        }
        Mapped::Skipped(_) => left_out = true,
        Mapped::Rejected(rejection) if problems.len() < PROBLEMS_MAX => problems.push(rejection.into()),
        Mapped::Rejected(_) => {}
    });
    // What waits for a schema is the hub's to wait with.
    let is_stored = touchpoints > 0 || left_out || mapped.is_err();
    let status = if is_stored { Status::Accepted } else { Status::Refused };
    Tried { home, result: ItemResult { index, status, touchpoints, problems } }
}

/// Items as records, and what became of each.
fn records(
    api: &Api,
    spoke: &Spoke,
    form: Form,
    body: Vec<u8>,
    room: &mut Room,
    now_ms: i64,
) -> Result<(Batch, Vec<ItemResult>), Problem> {
    let body = match form.is_packed {
        true => batch::inflate(&body, api.ingestion.body_bytes_max, &mut |bytes| room.grow(bytes))?,
        false => body,
    };
    // What was packed is gone.
    room.shrink_to(body.len());
    let found = batch::items(form.shape, &body, api.ingestion.items_max)?;
    let (mut results, mut kept) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
    // A mapping that reads keys would read one that nobody sent.
    let has_keys = !spoke.reads_keys();
    for (index, range) in found.into_iter().enumerate() {
        let Tried { home, result } = tried(api, spoke, &body[range.clone()], index, now_ms);
        if result.status == Status::Accepted {
            let key = home.filter(|_| has_keys).map(|home| home.hexadecimal().to_vec());
            kept.push((key, range));
        }
        results.push(result);
    }
    Ok((Batch { topic: spoke.topic().to_owned(), timestamp_ms: now_ms, bytes: body, records: kept }, results))
}

/// How a body may be packed.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "it describes a header, which is read by hand")]
enum Coding {
    Identity,
    Gzip,
}

/// Why a department's events cannot come this way; nothing if they can.
fn refused_as_a_whole(spoke: &Spoke) -> Result<(), Problem> {
    let refused = |detail: &str| Err(Problem::new(Kind::NotOverHttp, detail));
    if spoke.is_avro() {
        return refused("this department's events are Avro, which has no items to send here; write them to its topic");
    }
    if spoke.has_ids_of_positions() {
        return refused(
            "this department's events have no ids, so that what is sent again would count again; its mapping can take ids from a \
             field, or say id = \"content\"",
        );
    }
    Ok(())
}

/// Reads what comes of a body that is not taken, for half of the time of a request at most: who sends slowly is told as well why.
async fn discarded(api: &Api, request: Request, bytes_max: usize) {
    _ = timeout(api.request_timeout / 2, discard(request.into_body(), bytes_max)).await;
}

/// Sends touchpoints of a department, in its own shape.
///
/// 202 says that what is `accepted` is stored durably. A batch that is sent again, whole or in part, counts once: a touchpoint is
/// told by its department and id. So after a lost answer, 429 or 503 send the same again.
#[utoipa::path(
    post, path = "/api/v1/spokes/{spoke}/touchpoints", operation_id = "send_touchpoints", tag = "spokes",
    params(
        ("spoke" = String, Path, description = "The department"),
        ("content-encoding" = inline(Option<Coding>), Header, description = "gzip, of a packed body"),
    ),
    request_body(
        content((Vec<Object> = "application/json"), (String = "application/x-ndjson")),
        description = "Items as the department's mapping reads them: an array, or one a line. What a mapping takes from a record's \
            key or headers is not there.",
    ),
    responses(
        (status = 202, description = "What became of each item; at least one is stored", body = Receipt),
        (status = 400, description = "The body is not what its headers say", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such department", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "More than may come at a time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another content type or encoding", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Nothing of it can be taken; `items` says why", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests, or too much waits to be stored; send the same again after `retry-after`", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["ingest:{spoke}"])),
)]
pub(super) async fn send(
    State(api): State<Shared>,
    By(caller): By,
    Named(spoke): Named,
    request: Request,
) -> Result<Response, Problem> {
    if !caller.has(&[Role::Ingest(spoke.clone())]) {
        return Err(Problem::new(Kind::Forbidden, "this needs the role ingest: of this very department"));
    }
    let live = api.writing.spokes().ok_or_else(Problem::starting)?;
    let form = Form::of(request.headers())?;
    let most = api.ingestion.body_bytes_max;
    let busy = || Problem::new(Kind::Busy, "this token is sending too much at a time").after(TURN_WITHIN);
    let _sender = api.senders_of.take(&caller.id).ok_or_else(busy)?;
    // Room for what is announced; for what is not, and what comes of it unpacked, as it comes.
    let announced = match length(request.headers(), most) {
        Ok(announced) => announced.unwrap_or_default(),
        Err(problem) => {
            // Who waits to be told to send has nothing to take back.
            if !request.headers().contains_key(header::EXPECT) {
                discarded(&api, request, most.saturating_mul(DISCARDED_BODIES_MAX)).await;
            }
            return Err(problem);
        }
    };
    let mut room = match api.writing.room(&caller.id, announced) {
        Ok(room) => room,
        Err(unwritten) => {
            discarded(&api, request, most).await;
            return Err(Problem::of_unwritten(unwritten));
        }
    };
    let (mut came, full) = (0, || Problem::of_unwritten(Unwritten::Full));
    let mut grow = |bytes: usize| {
        came += bytes;
        let more = usize::saturating_sub(came, room.bytes());
        if room.grow(more) { Ok(()) } else { Err(full()) }
    };
    let body = collected_within(request.into_body(), most, &mut grow).await?;
    // A turn is taken when all of it is there: whoever sends slowly holds up nobody.
    let _turn = turn(&api.turns_of_senders).await?;

    let (mapping, now_ms) = (Arc::clone(&api), (api.now_ms)());
    // The room goes along: what is read here takes it also when nobody waits for the answer any more.
    let prepared = tokio::task::spawn_blocking(move || {
        let spokes = live.now();
        let spoke = spokes.of_name(&spoke).ok_or_else(|| Problem::not_found("department"))?;
        refused_as_a_whole(spoke)?;
        let made = records(&mapping, spoke, form, body, &mut room, now_ms)?;
        Ok((spoke.name().to_owned(), made, room))
    });
    let failed = |_| Err(Problem::new(Kind::Internal, "the log of the hub says what happened"));
    let (spoke, (batch, items), room) = prepared.await.unwrap_or_else(failed)?;
    let accepted = batch.records.len();
    let receipt = Receipt { accepted, refused: items.len() - accepted, items };
    if accepted > 0 {
        api.writing.write(batch, room).await.map_err(Problem::of_unwritten)?;
    }
    let (accepted, refused) = (receipt.accepted as u64, receipt.refused as u64);
    api.telemetry.emit(Event::ApiItems { spoke: &spoke, accepted, refused });
    if receipt.accepted == 0 {
        let detail = "none of the items can be taken: `items` says which field of each, and what to do";
        return Err(Problem::new(Kind::NothingAccepted, detail).with_items(receipt.items));
    }
    Ok((StatusCode::ACCEPTED, reply::one(&receipt)).into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn form(headers: &[(&str, &str)]) -> Option<Form> {
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(header) {
            map.append(name, value);
        }
        Form::of(&map).ok()
    }

    #[test]
    fn a_body_is_what_its_headers_say_and_nothing_is_guessed() {
        let of = |shape, is_packed| Some(Form { shape, is_packed });
        assert_eq!(form(&[("content-type", "application/json")]), of(Shape::Array, false));
        assert_eq!(form(&[("content-type", "Application/JSON; charset=UTF-8")]), of(Shape::Array, false));
        assert_eq!(form(&[("content-type", "application/x-ndjson")]), of(Shape::Lines, false));
        let json = ("content-type", "application/json");
        assert_eq!(form(&[json, ("content-encoding", "gzip")]), of(Shape::Array, true));
        assert_eq!(form(&[json, ("content-encoding", "identity")]), of(Shape::Array, false));
        for wrong in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/jsonl")],
            &[("content-type", "application/json; charset=latin1")],
            &[("content-type", "application/json, application/x-ndjson")],
            &[json, json],
            &[json, ("content-encoding", "br")],
            &[json, ("content-encoding", "gzip, gzip")],
            &[json, ("content-encoding", "gzip"), ("content-encoding", "gzip")],
            &[json, ("content-encoding", "")],
        ] {
            assert_eq!(form(wrong), None, "{wrong:?}");
        }
    }
}
