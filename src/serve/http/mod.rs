//! The view in; HTTP API v1 over it out. What is written goes to departments' topics and to operators' commands, as if a client of
//! the log had written it.
//!
//! ```text
//!  request → guard: place free? who? how often? filled? in time? → resource → view
//!                                                                       └→ reply (JSON, CSV), etag, headers ← problem
//! ```
//!
//! One file per resource: `metrics`, `analyses`, `customers`, `alerts`, `dead_letters`, `spokes`; `events` for each feed as it
//! comes; `ingestion` (touchpoints of a department, which `batch` finds in a body), `decisions` and
//! `erasures` for what becomes a command, `access_requests` for everything of one person. Who sees personal data is noted first. What they share: `asking` (parts of a request), `paging` (cursors), `reply` and `csv` (answers), `problem` (errors), `shapes` (what the feeds' records look like), `seen` (who saw what does not link), `description` (OpenAPI, which is
//! generated from the resources themselves, so that what is served is described). `inside`: the same for the pages of the dashboard.

mod access_requests;
mod alerts;
mod analyses;
mod asking;
mod batch;
mod body;
pub(crate) mod csv;
mod customers;
mod dead_letters;
mod decisions;
mod description;
mod erasures;
mod events;
mod ingestion;
pub(super) mod inside;
mod metrics;
mod paging;
mod problem;
mod reply;
mod seen;
mod shapes;
mod spokes;

use std::{
    ops::Range,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use self::{
    asking::Asked,
    csv::Column,
    problem::{Kind, Problem},
};
use super::{
    access::{Access, Caller, Places, Rate, Refusal, oidc::Issuer},
    audit::AuditDesk,
    tls::Tls,
    view::{Subscribe, View},
    writing::WritingDesk,
};
use crate::{
    feeds::{AuditEntry, Feed, Names},
    model::{Calendar, Currency, EventTime, IdentifierRules, PersonId, PersonKey},
    telemetry::{Event, Telemetry},
};

pub use access_requests::{GatherPerson, Ungathered};
pub use ingestion::IngestLimits;
pub use metrics::rolled_metrics;

/// How long a request may wait for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(2);
/// When to ask a view again that is not filled.
const FILLED_AFTER: Duration = Duration::from_secs(2);
/// Streams that are being read up to where the view is: each has a reader of its own meanwhile.
const READING_UP_MAX: usize = 32;
/// How many of them one caller may have.
const READING_UP_OF_CALLER_MAX: usize = 4;
/// Readers that read at a time: the rest of the threads that wait for the view is for requests. One that waits for its client
/// does not read.
const READERS_MAX: usize = 4;
/// KiB of answers that clients have not taken yet, all together.
const ANSWERS_KIB_MAX: usize = 256 << 10;
/// Documents that are being sent at a time, each of a mebibyte at most; and those of one caller.
const DOCUMENTS_MAX: usize = 128;
const DOCUMENTS_OF_CALLER_MAX: usize = 8;
/// Bodies of items that one caller sends at a time.
const SENDERS_OF_CALLER_MAX: usize = 64;
/// Paths that everybody may read: they describe, and hold no data.
const PUBLIC: [&str; 2] = ["/api/v1", "/api/v1/openapi.json"];

/// What proxies add to what they pass on.
const FORWARDED: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];
/// Where personal data may be: nothing of it is kept by whoever asked.
const PERSONAL: [&str; 7] = ["customers", "identity", "alerts", "dead-letters", "feeds", "erasures", "access-requests"];

/// What the API may do, and how much.
#[derive(Clone)]
pub struct ApiOptions {
    /// The file with the hashes of tokens.
    pub tokens_file: PathBuf,
    /// Whether nobody but this machine can reach the address, and needs no credential there.
    pub inside: bool,
    /// Whose signed tokens are taken; `None`: nobody's.
    pub issuer: Option<Arc<Issuer>>,
    /// What makes connections TLS; `None`: nothing does.
    pub tls: Option<Tls>,
    /// Requests a second of each caller.
    pub requests_per_second: u32,
    /// Requests that are answered at a time.
    pub concurrent_requests: usize,
    /// Streams of events of each caller at a time.
    pub streams_per_caller: usize,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// How identifiers are compared.
    pub rules: IdentifierRules,
    /// How the feeds write identifiers.
    pub names: Names,
    /// The key of person ids.
    pub person_key: PersonKey,
    /// The currency of amounts in analyses, whose records say none: `metrics.currency`.
    pub currency: Currency,
    /// In which an instant's day is found.
    pub calendar: Calendar,
    /// Where it is noted who sees personal data.
    pub audit: AuditDesk,
    /// Where records are handed over.
    pub writing: WritingDesk,
    /// What one request may bring.
    pub ingestion: IngestLimits,
    /// How long after an erasure no byte of it is left, in milliseconds.
    pub erased_within_ms: i64,
    /// Where it is counted what came of requests.
    pub telemetry: Telemetry,
    /// Where everything of one person is gathered.
    pub gather: Arc<dyn GatherPerson>,
    /// The feeds, for streams that are resumed.
    pub feeds: Arc<dyn Subscribe>,
    /// The clock, in milliseconds since 1970.
    pub now_ms: fn() -> i64,
}

/// What every request needs.
struct Api {
    view: Arc<View>,
    access: Access,
    /// Whether connections are TLS.
    over_tls: bool,
    rate: Rate,
    refused: Rate,
    strangers: Rate,
    turns: Semaphore,
    /// Turns of departments that send, for whoever has sent all of it: they hold nobody up who reads.
    turns_of_senders: Semaphore,
    senders_of: Places,
    /// Documents that are being sent, all together and of each caller.
    documents: Semaphore,
    documents_of: Places,
    request_timeout: Duration,
    rules: IdentifierRules,
    names: Names,
    person_key: PersonKey,
    currency: Currency,
    calendar: Arc<Calendar>,
    audit: AuditDesk,
    writing: WritingDesk,
    ingestion: IngestLimits,
    erased_within_ms: i64,
    requests: access_requests::Requests,
    telemetry: Telemetry,
    feeds: Arc<dyn Subscribe>,
    streams: Arc<Semaphore>,
    streams_of: Places,
    reading_up: Arc<Semaphore>,
    reading_up_of: Places,
    readers: Semaphore,
    answers: Arc<Semaphore>,
    now_ms: fn() -> i64,
    description: description::Description,
}

type Shared = Arc<Api>;

/// The routes of the API over a view, and the same for whoever is inside. `streams_max`: streams of events at a time.
pub(super) fn routes(view: Arc<View>, options: ApiOptions, streams_max: usize) -> (Router, inside::Inside) {
    let (router, description) = description::router(&options.rules);
    let mut access = Access::new(options.tokens_file, options.inside, options.now_ms);
    if let Some(issuer) = options.issuer {
        access = access.with(issuer);
    }
    let api = Arc::new(Api {
        view,
        access,
        over_tls: options.tls.is_some(),
        rate: Rate::new(options.requests_per_second),
        // Attempts with credentials that are none, all together.
        refused: Rate::new(options.requests_per_second),
        // Whoever shows none, all together: for what everybody may read, and for what they are refused.
        strangers: Rate::new(options.requests_per_second),
        turns: Semaphore::new(options.concurrent_requests.max(1)),
        turns_of_senders: Semaphore::new(options.concurrent_requests.max(1)),
        senders_of: Places::new(SENDERS_OF_CALLER_MAX),
        documents: Semaphore::new(DOCUMENTS_MAX),
        documents_of: Places::new(DOCUMENTS_OF_CALLER_MAX),
        request_timeout: options.request_timeout,
        rules: options.rules,
        names: options.names,
        person_key: options.person_key,
        currency: options.currency,
        calendar: Arc::new(options.calendar),
        audit: options.audit,
        writing: options.writing,
        ingestion: options.ingestion,
        erased_within_ms: options.erased_within_ms,
        requests: access_requests::Requests::new(options.gather),
        telemetry: options.telemetry,
        feeds: options.feeds,
        streams: Arc::new(Semaphore::new(streams_max)),
        streams_of: Places::new(options.streams_per_caller),
        reading_up: Arc::new(Semaphore::new(READING_UP_MAX)),
        reading_up_of: Places::new(READING_UP_OF_CALLER_MAX),
        readers: Semaphore::new(READERS_MAX),
        answers: Arc::new(Semaphore::new(ANSWERS_KIB_MAX)),
        now_ms: options.now_ms,
        description: description::Description::of(&description),
    });
    let router = router.fallback(async || Problem::not_found("resource"));
    let inside = inside::Inside::new(Arc::clone(&api), router.clone());
    let routes = router
        .method_not_allowed_fallback(async || {
            Problem::new(Kind::MethodNotAllowed, "the description says which methods a resource takes")
        })
        .layer(from_fn_with_state(Arc::clone(&api), guard))
        .with_state(api);
    (routes, inside)
}

/// The description, as a hub serves it that has no types of its own.
pub fn openapi() -> Value {
    let (_, description) = description::router(&IdentifierRules::default());
    serde_json::to_value(description).expect("a description can be written")
}

/// How many records of the feeds the answer may not know yet.
const BEHIND: HeaderName = HeaderName::from_static("insight-behind");

/// Everything that is the same for each request.
async fn guard(State(api): State<Shared>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let path = request.uri().path();
    let is_of_api = path.starts_with("/api/v1/");
    let is_personal = PERSONAL.iter().any(|of| path.strip_prefix("/api/v1/").is_some_and(|it| it.starts_with(of)));
    let behind = api.view.progress().behind();
    let mut response = match api.admit(request).await {
        Ok((request, _turn)) => {
            let mut response = match timeout(api.request_timeout, next.run(request)).await {
                Ok(response) => response,
                Err(_) => Problem::timeout(method == Method::POST).into_response(),
            };
            if is_of_api {
                // Before it was made or since: whoever asks for what has just come can tell whether it may be on its way. Also 0, since
                // whoever keeps an answer keeps what is not said anew.
                let behind = behind.max(api.view.progress().behind());
                response.headers_mut().insert(BEHIND, HeaderValue::from(behind));
            }
            let response = reply::unless_known(&method, &headers, response).await;
            // In its turn, so that few answers wait for room.
            api.held(response).await.unwrap_or_else(IntoResponse::into_response)
        }
        Err(problem) => problem.into_response(),
    };
    if is_personal {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    reply::secure(&mut response);
    let (outcome, elapsed) = (outcome(response.status()), begun.elapsed());
    api.telemetry.emit(Event::ApiAnswered { outcome, elapsed });
    response
}

/// The credentials of a request.
fn authorization(headers: &HeaderMap) -> Vec<&[u8]> {
    headers.get_all(header::AUTHORIZATION).iter().map(|value| value.as_bytes()).collect()
}

/// Whether a browser asks for a page that is not of this hub: for a picture, a frame or a script of it. A link that somebody follows
/// is asked for by them.
fn is_of_another_page(headers: &HeaderMap) -> bool {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match (value("sec-fetch-site"), value("origin"), value("host")) {
        (Some("same-origin" | "none"), ..) => false,
        (Some(_), ..) => value("sec-fetch-mode") != Some("navigate") || value("sec-fetch-dest") != Some("document"),
        (None, Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, of)| of != host),
        (None, Some(_), None) => true,
        (None, None, _) => false,
    }
}

/// What came of a request, in a word.
fn outcome(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "refused",
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "limited",
        status if status.is_client_error() => "wrong",
        status if status.is_server_error() => "failed",
        _ => "answered",
    }
}

/// Waits for a turn; others wait while it is held.
async fn turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    match timeout(TURN_WITHIN, turns.acquire()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Problem::new(Kind::Busy, "others are being answered").after(TURN_WITHIN)),
    }
}

impl Api {
    /// Lets a request in, with who asks; while it holds its turn, others wait for theirs. It takes its turn when all of it is there:
    /// whoever sends slowly holds up nobody.
    async fn admit(&self, request: Request) -> Result<(Request, Option<SemaphorePermit<'_>>), Problem> {
        if PUBLIC.contains(&request.uri().path()) {
            self.take_public(request.headers())?;
            // It is there already, and whoever asks for data does not wait for it.
            return Ok((request, None));
        }
        self.prepare(request.headers()).await;
        let caller = match self.check(request.headers())? {
            // Where this machine may ask, so may whoever points it here: what other pages ask takes nothing of what anybody may.
            Err(Refusal::Missing) if !self.access.is_open() => {
                self.take_stranger("missing")?;
                return Err(self.refusal(Refusal::Missing));
            }
            checked => checked.map_err(|refusal| self.refusal(refusal))?,
        };
        self.take(&caller)?;
        let is_post = request.method() == Method::POST;
        let is_sent = is_post && request.uri().path().starts_with("/api/v1/spokes/");
        // What departments send does not wait for what others read.
        if !is_sent && !self.view.progress().is_complete() {
            let behind = self.view.progress().behind();
            return Err(
                Problem::new(Kind::ViewFilling, format!("{behind} records are still to be read")).after(FILLED_AFTER)
            );
        }
        let mut request = if is_post && !is_sent { self.gathered(request, &caller).await? } else { request };
        request.extensions_mut().insert(caller);
        // A body of items is read as there is room for it, and takes its turn then.
        let turn = if is_sent { None } else { Some(turn(&self.turns).await?) };
        Ok((request, turn))
    }

    /// The answer with its share of the room for answers that clients have not taken yet.
    async fn held(&self, response: Response) -> Result<Response, Problem> {
        let held = timeout(TURN_WITHIN, reply::held(response, Arc::clone(&self.answers))).await;
        held.map_err(|_| Problem::new(Kind::Busy, "too much of earlier answers was not taken yet").after(TURN_WITHIN))
    }

    /// The request with all of its document.
    async fn gathered(&self, request: Request, caller: &Caller) -> Result<Request, Problem> {
        let busy = || Problem::new(Kind::Busy, "too many documents are being sent").after(TURN_WITHIN);
        let _of_caller = self.documents_of.take(&caller.id).ok_or_else(busy)?;
        let _place = self.documents.try_acquire().map_err(|_| busy())?;
        let (parts, body) = request.into_parts();
        body::length(&parts.headers, body::DOCUMENT_BYTES_MAX)?;
        let body = timeout(self.request_timeout, body::collected(body, body::DOCUMENT_BYTES_MAX)).await;
        let body =
            body.map_err(|_| Problem::new(Kind::Timeout, "the body does not come to its end").after(TURN_WITHIN))??;
        Ok(Request::from_parts(parts, Body::from(body)))
    }

    /// Sees to it that who sends these headers can be told, where somebody else must be asked first.
    async fn prepare(&self, headers: &HeaderMap) {
        self.access.prepare(&authorization(headers)).await;
    }

    /// Takes one request of a caller.
    fn take(&self, caller: &Caller) -> Result<(), Problem> {
        let taken = self.rate.take(&caller.id, Instant::now());
        taken.map_err(|wait| Problem::new(Kind::TooManyRequests, "this token asks too often").after(wait))
    }

    /// Takes one request of those who show no credential that holds. `what`: those of one sort are no less for those of another.
    fn take_stranger(&self, what: &'static str) -> Result<(), Problem> {
        let taken = self.strangers.take(what, Instant::now());
        taken.map_err(|wait| Problem::new(Kind::TooManyRequests, "too many ask without a token").after(wait))
    }

    /// Takes one request for what everybody may read, also with a credential that is none: of the caller's own, if there is one.
    fn take_public(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match self.check(headers) {
            Ok(Ok(caller)) => self.take(&caller),
            Ok(Err(_)) | Err(_) => self.take_stranger("public"),
        }
    }

    /// Who sends these headers.
    fn caller_of(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        self.check(headers)?.map_err(|refusal| self.refusal(refusal))
    }

    /// The same, or why it is nobody.
    fn check(&self, headers: &HeaderMap) -> Result<Result<Caller, Refusal>, Problem> {
        // Whatever somebody passed on was asked elsewhere, and what another page asks by itself nobody here did.
        let is_passed_on = FORWARDED.iter().any(|name| headers.contains_key(*name));
        let is_of_here = !is_passed_on && !is_of_another_page(headers);
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|_| is_of_here);
        self.access.check(&authorization(headers), host).map_err(|error| {
            tracing::error!("{error}");
            Problem::new(Kind::Internal, "tokens cannot be checked; the log of the hub says why")
        })
    }

    /// What whoever is refused is told.
    fn refusal(&self, refusal: Refusal) -> Problem {
        match refusal {
            Refusal::Missing => Problem::new(
                Kind::Unauthenticated,
                "send `authorization: Bearer TOKEN`; whoever runs the hub makes one with `insight-hub token create`",
            ),
            Refusal::Unready => Problem::new(
                Kind::Starting,
                "tokens cannot be checked yet: the keys of their issuer are not there; the log of the hub says why",
            )
            .after(FILLED_AFTER),
            Refusal::Invalid => match self.refused.take("refused", Instant::now()) {
                Ok(()) => Problem::new(Kind::Unauthenticated, "the token is none, has ended or was revoked"),
                Err(wait) => Problem::new(Kind::TooManyRequests, "too many tokens that are none").after(wait),
            },
        }
    }

    /// Asks the view, which may have to read the disk.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let view = Arc::clone(&self.view);
        let answered = tokio::task::spawn_blocking(move || question(&view)).await;
        answered.unwrap_or_else(|_| Err(Problem::new(Kind::Internal, "the log of the hub says what happened")))
    }

    /// A page of a list of a feed's records.
    async fn list<T>(
        &self,
        asked: Asked<T>,
        feed: Feed,
        span: Range<Vec<u8>>,
        takes: impl Fn(&Value) -> bool + Send + 'static,
    ) -> Result<Response, Problem> {
        let (items, next) = self.page(&asked, span, takes).await?;
        Ok(reply::page(&asked, &columns(feed), items, next))
    }

    /// The documents of a page, and the place of the next one.
    async fn page<T>(
        &self,
        asked: &Asked<T>,
        span: Range<Vec<u8>>,
        takes: impl Fn(&Value) -> bool + Send + 'static,
    ) -> Result<(Vec<Value>, Option<Vec<u8>>), Problem> {
        let (place, limit) = (asked.place.clone(), asked.limit);
        if place.as_ref().is_some_and(|place| !span.contains(place)) {
            // Of another list of the same question: who is asked about has become another person, with other records.
            return Err(paging::wrong_cursor());
        }
        self.ask(move |view| {
            let page = view.list(&span, place.as_deref(), limit, &takes)?;
            Ok((page.records.into_iter().map(|kept| kept.value).collect(), page.next))
        })
        .await
    }

    /// Notes that somebody is about to see personal data: of one person, or of several.
    async fn note(
        &self,
        caller: &Caller,
        operation: &'static str,
        person: Option<&str>,
        records: usize,
    ) -> Result<(), Problem> {
        let person = person.and_then(PersonId::parse);
        self.enter(caller, |entry| AuditEntry { operation, person, records: records as u64, ..entry }).await
    }

    /// Notes an entry that is this caller's, now.
    async fn enter(&self, caller: &Caller, what: impl FnOnce(AuditEntry) -> AuditEntry) -> Result<(), Problem> {
        let entry = what(AuditEntry {
            actor: caller.id.clone(),
            at: EventTime((self.now_ms)()),
            action: "read",
            operation: "",
            feed: None,
            person: None,
            command: None,
            records: 0,
        });
        let noted = self.audit.note(entry).await;
        noted.map_err(|_| {
            let wait = Duration::from_secs(1);
            Problem::new(Kind::Unnoted, "insight.audit cannot be written; the log of the hub says why").after(wait)
        })
    }
}

/// The columns of a feed's table.
fn columns(feed: Feed) -> Vec<Column> {
    let schema = serde_json::from_str(feed.description().schema);
    csv::columns(&schema.expect("the feeds' schemas are compiled in, and a test parses every one"))
}

/// The description for programs.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "get_description", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)),
    security(()),
)]
async fn openapi_json(State(api): State<Shared>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    api.description.json.answer(headers)
}

/// The description for people.
#[utoipa::path(
    get, path = "/api/v1", operation_id = "read_description", tag = "about",
    responses((status = 200, description = "A page", content_type = "text/html", body = String)),
    security(()),
)]
async fn page(State(api): State<Shared>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, api.description.policy.clone()),
    ];
    api.description.page.answer(headers)
}
