//! Documents in; an answer as it was asked for out: JSON or a table, with where it goes on, and 304 where nothing has changed.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody as _, to_bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, IntoResponseParts, Response},
};
use futures_core::Stream;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    asking::{Asked, Format},
    csv::{self, Column},
    paging,
    problem::{Kind, Problem},
};

/// No answer is longer than so many bytes: a page of the longest records, and more.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Answers are sent in pieces of so many bytes; one that is no longer holds next to nothing.
const PIECE_BYTES: usize = 64 << 10;
/// No answer needs more of the room of all, in KiB: it would never get it.
const SHARE_KIB_MAX: u32 = 64 << 10;

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct Listing<T> {
    /// The records. There may be fewer than `limit`, or none, and still a next page.
    items: Vec<T>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

/// One document.
pub(super) fn one(document: &impl Serialize) -> Response {
    let body = serde_json::to_vec(document).expect("documents can be written");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A page of documents; `next`: the place of the next one.
pub(super) fn page<T>(asked: &Asked<T>, columns: &[Column], items: Vec<Value>, next: Option<Vec<u8>>) -> Response {
    let next = next.map(|place| paging::cursor(&asked.question, &place));
    let link = next.as_ref().map(|cursor| format!("<{}cursor={cursor}>; rel=\"next\"", asked.reference));
    let mut response = match asked.format {
        Format::Json => one(&Listing { items, next }),
        Format::Csv => {
            let headers = [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"insight.csv\""),
            ];
            (headers, csv::table(columns, &items)).into_response()
        }
    };
    // A query is ASCII: the request had it.
    if let Some(Ok(link)) = link.map(|link| HeaderValue::from_str(&link)) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// A document that is the same for as long as the hub runs.
pub(super) struct Lasting {
    body: Bytes,
    tag: HeaderValue,
}

impl Lasting {
    pub(super) fn new(text: String) -> Lasting {
        let body = Bytes::from(text);
        Lasting { tag: tag(&body), body }
    }

    /// It, with its tag, which is not made again.
    pub(super) fn answer(&self, headers: impl IntoResponseParts) -> Response {
        (headers, [(header::ETAG, self.tag.clone())], self.body.clone()).into_response()
    }
}

/// The same answer with its `etag`; without a body, 304, if the request has it already (RFC 9110, section 13).
pub(super) async fn unless_known(method: &Method, request: &HeaderMap, response: Response) -> Response {
    let is_stream = response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == "text/event-stream");
    // Of HEAD the answer is that of GET; its body is left out when it is sent.
    let is_read = method == Method::GET || method == Method::HEAD;
    if !is_read || response.status() != StatusCode::OK || is_stream {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        return Problem::new(Kind::Internal, "the answer is too long; ask for less of it").into_response();
    };
    let tag = parts.headers.entry(header::ETAG).or_insert_with(|| tag(&body)).clone();
    let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    });
    if is_known {
        parts.status = StatusCode::NOT_MODIFIED;
        for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_DISPOSITION] {
            parts.headers.remove(name);
        }
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}

/// The tag of an answer.
fn tag(body: &[u8]) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{:032x}\"", xxh3_128(body))).expect("digits between quotation marks")
}

/// The same answer, which has a share of `room`, in KiB, for as long as it has not been taken.
pub(super) async fn held(response: Response, room: Arc<Semaphore>) -> Response {
    let Some(bytes) = response.body().size_hint().exact().filter(|bytes| *bytes > PIECE_BYTES as u64) else {
        return response;
    };
    let share = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).min(SHARE_KIB_MAX);
    // Never closed; and without a share the answer is as it was.
    let Ok(share) = room.acquire_many_owned(share).await else { return response };
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        return Problem::new(Kind::Internal, "the answer is too long; ask for less of it").into_response();
    };
    parts.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(bytes));
    Response::from_parts(parts, Body::from_stream(Held { body, _share: share }))
}

/// An answer, piece by piece: one after the other is taken.
struct Held {
    body: Bytes,
    _share: OwnedSemaphorePermit,
}

impl Stream for Held {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.body.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.body.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.body.split_to(piece))))
    }
}

/// What every answer says to browsers and what is between.
pub(super) fn secure(response: &mut Response) {
    let rules = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        // Kept by whoever asked, and asked for again each time: that is what the tag is for.
        ("cache-control", "private, no-cache"),
        ("vary", "authorization, accept"),
    ];
    let headers = response.headers_mut();
    for (name, value) in rules {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tag_of_what_lasts_is_made_once() {
        let lasting = Lasting { tag: HeaderValue::from_static("\"made-before\""), ..Lasting::new("text".to_owned()) };
        let asked = |known: &'static str| {
            let request = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(known))]);
            let response = lasting.answer([(header::CONTENT_TYPE, "text/plain")]);
            async move { unless_known(&Method::GET, &request, response).await }
        };
        let (first, again) = (asked("\"x\"").await, asked("\"made-before\"").await);
        assert_eq!((first.status(), &first.headers()[header::ETAG]), (StatusCode::OK, &lasting.tag));
        assert_eq!((again.status(), &again.headers()[header::ETAG]), (StatusCode::NOT_MODIFIED, &lasting.tag));
        assert_eq!(Lasting::new("text".to_owned()).tag, tag(b"text"), "as every answer's");
    }
}
