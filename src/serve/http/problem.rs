//! What went wrong in; an answer that a program can tell by its `type` and a person can read out (RFC 9457).

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::ingestion::ItemResult;
use crate::serve::{view::ViewError, writing::Unwritten};

/// What every `type` begins with. A program tells problems by it, so one that is there keeps its meaning.
const TYPE: &str = "urn:insight-hub:problem:";

/// When to come again while something is to be stored or begun.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A parameter is unknown, missing or wrong.
    InvalidParameter,
    /// A cursor is none that was given for this question.
    InvalidCursor,
    /// No credential, or none of ours.
    Unauthenticated,
    /// What comes after the last event that somebody had is not there any more.
    ResumeGone,
    /// The credential does not have the role.
    Forbidden,
    /// There is nothing of that name.
    NotFound,
    /// The resource does not take this method.
    MethodNotAllowed,
    /// A metric's windows do not add up to a longer one.
    NotAdditive,
    /// The body has another content type or encoding than the operation takes.
    UnsupportedMediaType,
    /// The body is not what its headers, or the description, say.
    InvalidBody,
    /// More than is taken at a time.
    TooLarge,
    /// A department's events cannot come over HTTP.
    NotOverHttp,
    /// None of the items can be taken.
    NothingAccepted,
    /// Too many requests of this caller.
    TooManyRequests,
    /// Too much waits to be stored.
    Full,
    /// It is not known whether it is stored.
    Unwritten,
    /// The hub has not begun yet.
    Starting,
    /// Something does not work here.
    Internal,
    /// Too many requests of all callers.
    Busy,
    /// An access to personal data cannot be noted, so it is not given.
    Unnoted,
    /// The view is not filled yet.
    ViewFilling,
    /// The answer took too long.
    Timeout,
}

impl Kind {
    /// Status, the word in `type`, and the title.
    pub(super) fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Kind::InvalidParameter => (StatusCode::BAD_REQUEST, "invalid-parameter", "A parameter is wrong"),
            Kind::InvalidCursor => (StatusCode::BAD_REQUEST, "invalid-cursor", "The cursor is of another question"),
            Kind::ResumeGone => (StatusCode::GONE, "resume-gone", "The stream cannot go on from there"),
            Kind::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "A token is needed"),
            Kind::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The token does not have the role"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing of that name"),
            Kind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Not with this method"),
            Kind::NotAdditive => {
                (StatusCode::UNPROCESSABLE_ENTITY, "not-additive", "Windows of this metric do not add up")
            }
            Kind::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Not with this content type or encoding")
            }
            Kind::InvalidBody => (StatusCode::BAD_REQUEST, "invalid-body", "The body is wrong"),
            Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too much at a time"),
            Kind::NotOverHttp => {
                (StatusCode::UNPROCESSABLE_ENTITY, "not-over-http", "This department's events cannot come over HTTP")
            }
            Kind::NothingAccepted => {
                (StatusCode::UNPROCESSABLE_ENTITY, "nothing-accepted", "None of the items can be taken")
            }
            Kind::Full => (StatusCode::TOO_MANY_REQUESTS, "full", "Too much waits to be stored"),
            Kind::Unwritten => (StatusCode::SERVICE_UNAVAILABLE, "unwritten", "It could not be stored"),
            Kind::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting", "The hub is starting"),
            Kind::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests"),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something does not work here"),
            Kind::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too much to do"),
            Kind::Unnoted => (StatusCode::SERVICE_UNAVAILABLE, "unnoted", "The access cannot be noted"),
            Kind::ViewFilling => (StatusCode::SERVICE_UNAVAILABLE, "view-filling", "The feeds are being read"),
            Kind::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout", "The answer took too long"),
        }
    }
}

/// An answer that says what went wrong.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    retry_after: Option<Duration>,
    items: Vec<ItemResult>,
}

/// What is sent of it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// What it is, for programs: `urn:insight-hub:problem:` and a word that keeps its meaning.
    r#type: String,
    /// What it is, for people.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What happened here, and what to do.
    detail: String,
    /// What is wrong with each item that was sent, of `nothing-accepted`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<ItemResult>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem { kind, detail: detail.into(), retry_after: None, items: Vec::new() }
    }

    /// With how long to wait before the request is sent again.
    pub(super) fn after(self, wait: Duration) -> Problem {
        Problem { retry_after: Some(wait), ..self }
    }

    /// The hub has not begun yet.
    pub(super) fn starting() -> Problem {
        Problem::new(Kind::Starting, "the hub is starting").after(COME_AGAIN)
    }

    /// It took longer than a request may. `is_sent`: what came with it may be stored yet.
    pub(super) fn timeout(is_sent: bool) -> Problem {
        let detail = if is_sent {
            "it took too long, and whether it is stored is not known: send the same again"
        } else {
            "ask for less at a time"
        };
        Problem::new(Kind::Timeout, detail).after(COME_AGAIN)
    }

    /// What is sent cannot be stored now, or nobody knows whether it is.
    pub(super) fn of_unwritten(unwritten: Unwritten) -> Problem {
        let (kind, detail) = match unwritten {
            Unwritten::Full => (Kind::Full, "too much waits to be stored"),
            Unwritten::Failed => {
                (Kind::Unwritten, "whether it is stored is not known: send the same again; the log of the hub says why")
            }
        };
        Problem::new(kind, detail).after(COME_AGAIN)
    }

    /// With what is wrong with each item.
    pub(super) fn with_items(self, items: Vec<ItemResult>) -> Problem {
        Problem { items, ..self }
    }

    /// Nothing has this name. `what`: what there is none of; never what was asked for, which may be personal.
    pub(super) fn not_found(what: &str) -> Problem {
        Problem::new(Kind::NotFound, format!("there is no such {what}, or none any more"))
    }

    /// The same for people.
    pub(super) fn in_words(self) -> super::inside::Refused {
        let (status, _, title) = self.kind.row();
        super::inside::Refused { status, title: title.to_owned(), detail: self.detail }
    }

    /// A parameter is wrong.
    pub(super) fn parameter(detail: impl Into<String>) -> Problem {
        Problem::new(Kind::InvalidParameter, detail)
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Problem {
        if let ViewError::Away = error {
            return Problem::new(Kind::ViewFilling, error.to_string()).after(Duration::from_secs(2));
        }
        tracing::error!("the view cannot be read: {error}");
        Problem::new(Kind::Internal, "the view cannot be read; the log of the hub says why")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, word, title) = self.kind.row();
        let body = ProblemBody {
            r#type: format!("{TYPE}{word}"),
            title,
            status: status.as_u16(),
            detail: self.detail,
            items: self.items,
        };
        let body = serde_json::to_vec(&body).expect("texts and a number can be written");
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.kind == Kind::Unauthenticated {
            headers.insert(HeaderName::from_static("www-authenticate"), HeaderValue::from_static("Bearer"));
        }
        response
    }
}
