//! What the pages of the dashboard ask in; the API's own answers out: the same resources with the same roles, notes on
//! `insight.audit` and problems, without a connection between. So no page shows what the API would not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};
use tower::ServiceExt as _;

use super::{
    Shared, events, outcome,
    problem::{Kind, Problem},
};
use crate::{
    feeds::{AuditEntry, Feed, Names},
    model::{Currency, IdentifierRules},
    serve::{
        access::{Access, Caller, Place, Role, TokenError},
        view::View,
    },
    telemetry::{Event, Telemetry},
};

/// No answer that a page is made of is longer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Lists are read to their end, but not for ever.
const PAGES_MAX: usize = 20;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Refused {
    pub(in crate::serve) status: StatusCode,
    pub(in crate::serve) title: String,
    pub(in crate::serve) detail: String,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        problem.in_words()
    }
}

/// The API, for whoever is inside.
#[derive(Clone)]
pub(in crate::serve) struct Inside {
    api: Shared,
    resources: Router,
}

impl Inside {
    pub(super) fn new(api: Shared, resources: Router<Shared>) -> Inside {
        Inside { resources: resources.with_state(Arc::clone(&api)), api }
    }

    /// Whether connections are TLS.
    pub(in crate::serve) fn over_tls(&self) -> bool {
        self.api.over_tls
    }

    /// Sees to it that who sends these headers can be told, where somebody else must be asked first.
    pub(in crate::serve) async fn prepare(&self, headers: &HeaderMap) {
        self.api.prepare(headers).await;
    }

    /// Who sends these headers, by a token or, where that is enough, from this machine.
    pub(in crate::serve) fn caller_of(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        Ok(self.api.caller_of(headers)?)
    }

    /// What knows tokens and sessions.
    pub(in crate::serve) fn access(&self) -> &Access {
        &self.api.access
    }

    /// A failure of the file of tokens.
    pub(in crate::serve) fn failed(error: &TokenError) -> Refused {
        tracing::error!("{error}");
        Problem::new(Kind::Internal, "tokens cannot be checked; the log of the hub says why").into()
    }

    /// Waits for a turn; others wait while it is held.
    pub(in crate::serve) async fn turn(&self) -> Result<SemaphorePermit<'_>, Refused> {
        Ok(super::turn(&self.api.turns).await?)
    }

    /// An answer with its share of the room for what clients have not taken yet: the same room as for the API's.
    pub(in crate::serve) async fn held(&self, response: Response) -> Result<Response, Refused> {
        Ok(self.api.held(response).await?)
    }

    /// Takes one request of a caller: the same measure as for the API.
    pub(in crate::serve) fn take(&self, caller: &Caller) -> Result<(), Refused> {
        Ok(self.api.take(caller)?)
    }

    /// Takes one attempt to log in that came to nothing.
    pub(in crate::serve) fn take_refused(&self) -> Result<(), Refused> {
        let taken = self.api.refused.take("refused", Instant::now());
        taken.map_err(|_| Problem::new(Kind::TooManyRequests, "too many tokens that are none").into())
    }

    /// A place for a stream of events of somebody; `None`: there are too many, or too many of theirs.
    pub(in crate::serve) fn stream(&self, caller: &Caller) -> Option<(OwnedSemaphorePermit, Place)> {
        let of_caller = self.api.streams_of.take(&caller.id)?;
        Some((Arc::clone(&self.api.streams).try_acquire_owned().ok()?, of_caller))
    }

    /// Notes that somebody hears of changes in a feed, if its records are about persons.
    pub(in crate::serve) async fn note_watch(&self, caller: &Caller, feed: Feed) -> Result<(), Refused> {
        if events::is_personal(feed) {
            let name = feed.description().suffix;
            let entered =
                self.api.enter(caller, |entry| AuditEntry { operation: "watch_feed", feed: Some(name), ..entry });
            entered.await?;
        }
        Ok(())
    }

    /// Whether somebody may hear of changes in a feed: the same as who may watch it over the API, and who looks after the hub.
    pub(in crate::serve) fn may_hear(caller: &Caller, feed: Feed) -> bool {
        match feed {
            _ if events::is_personal(feed) => caller.has(&[Role::ReadCustomers]),
            Feed::Spokes => caller.has(&[Role::ReadMetrics, Role::Operate]),
            _ => caller.has(&[Role::ReadMetrics]),
        }
    }

    pub(in crate::serve) fn view(&self) -> &View {
        &self.api.view
    }

    pub(in crate::serve) fn telemetry(&self) -> &Telemetry {
        &self.api.telemetry
    }

    pub(in crate::serve) fn rules(&self) -> &IdentifierRules {
        &self.api.rules
    }

    /// The currency of amounts in analyses.
    pub(in crate::serve) fn currency(&self) -> Currency {
        self.api.currency
    }

    /// Whether the feeds have identifiers as they are compared: what a page shows can then be sent back as an identifier.
    pub(in crate::serve) fn shows_identifiers(&self) -> bool {
        matches!(self.api.names, Names::Clear)
    }

    /// The time, in milliseconds since 1970.
    pub(in crate::serve) fn now_ms(&self) -> i64 {
        (self.api.now_ms)()
    }

    /// How long an answer may take.
    pub(in crate::serve) fn within(&self) -> Duration {
        self.api.request_timeout
    }

    /// Counts an answer, as the API's are.
    pub(in crate::serve) fn note(&self, status: StatusCode, elapsed: Duration) {
        self.api.telemetry.emit(Event::ApiAnswered { outcome: outcome(status), elapsed });
    }

    /// The API's answer to somebody.
    pub(in crate::serve) async fn ask(&self, caller: &Caller, path: &str) -> Response {
        self.answer(caller, Request::get(path).body(Body::empty()).ok()).await
    }

    async fn answer(&self, caller: &Caller, request: Option<Request<Body>>) -> Response {
        let Some(mut request) = request else {
            return Problem::parameter("a parameter is too long").into_response();
        };
        request.extensions_mut().insert(caller.clone());
        match self.resources.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// The document at a path.
    pub(in crate::serve) async fn get(&self, caller: &Caller, path: &str) -> Result<Value, Refused> {
        document(self.ask(caller, path).await).await
    }

    /// What comes of a document that somebody sends to a path.
    pub(in crate::serve) async fn send(&self, caller: &Caller, path: &str, sent: &Value) -> Result<Value, Refused> {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        document(self.answer(caller, request.body(Body::from(sent.to_string())).ok()).await).await
    }

    /// A list from its beginning to its end; one of more than some tens of thousands is not read, since a part of it would be
    /// taken for all.
    pub(in crate::serve) async fn all(&self, caller: &Caller, path: &str) -> Result<Vec<Value>, Refused> {
        let (mut items, mut next) = (Vec::new(), None::<String>);
        let join = if path.contains('?') { '&' } else { '?' };
        for _ in 0..PAGES_MAX {
            let cursor = next.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let mut page = self.get(caller, &format!("{path}{join}limit=1000{cursor}")).await?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            next = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if next.is_none() {
                return Ok(items);
            }
        }
        let detail = format!("there are more than {} of them: ask the API, or for less", items.len());
        Err(Refused { status: StatusCode::UNPROCESSABLE_ENTITY, title: "Too many to be shown".to_owned(), detail })
    }
}

/// The document of an answer.
async fn document(response: Response) -> Result<Value, Refused> {
    let status = response.status();
    let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
    let document: Option<Value> = body.ok().and_then(|body| serde_json::from_slice(&body).ok());
    let Some(document) = document else {
        return Err(Problem::new(Kind::Internal, "the answer is too long").into());
    };
    if status.is_success() {
        return Ok(document);
    }
    let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    Err(Refused { status, title: text("title"), detail: text("detail") })
}
