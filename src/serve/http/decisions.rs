//! What a person decides in; a command on `insight.commands` out, made by the same code as at the command line. Each is noted on
//! `insight.audit` before it is handed over.

use axum::{
    extract::{FromRequest as _, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Api, Shared,
    asking::{By, Named},
    body::Document,
    problem::{Kind, Problem, ProblemBody},
    reply,
    shapes::DecidedText,
};
use crate::{
    feeds::{AuditEntry, Feed},
    model::{AlertState, CommandRecord, EventTime, Name, Order, OrderError, PersonId},
    serve::{
        access::{Caller, Role},
        audit::given,
        view::{beginning_with, feed},
    },
};

/// Who is one person.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "decision", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Decision {
    /// These identifiers are one person, over shared identifiers and limits.
    Link {
        /// Two or more, each TYPE:VALUE, or TYPE#DIGITS with its keyed hash.
        #[schema(value_type = Vec<DecidedText>, min_items = 2)]
        identifiers: Vec<String>,
        /// How the command is called, for an undo. One that was used has no effect: sent again, it counts once.
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
    },
    /// Every two of these identifiers are never one person, by any path.
    NeverLink {
        /// Two or more, each TYPE:VALUE, or TYPE#DIGITS with its keyed hash.
        #[schema(value_type = Vec<DecidedText>, min_items = 2)]
        identifiers: Vec<String>,
        /// As of link.
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
    },
    /// None of some identifiers is one person with any of others.
    Split {
        /// One side, each as of link.
        #[schema(value_type = Vec<DecidedText>, min_items = 1)]
        identifiers: Vec<String>,
        /// The other side, each as of link.
        #[schema(value_type = Vec<DecidedText>, min_items = 1)]
        from: Vec<String>,
        /// As of link.
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
    },
    /// An earlier command is taken back.
    Undo {
        /// Its id.
        #[schema(min_length = 1, max_length = 128)]
        command: String,
        /// As of link; an undo can be undone.
        #[schema(min_length = 1, max_length = 128)]
        id: Option<String>,
    },
}

/// Who has seen it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledgement {
    /// A name, as everybody will read who subscribes to the feed; at most 64 characters on one line.
    #[serde(default)]
    #[schema(max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    by: String,
}

/// What was handed over.
#[derive(Serialize, ToSchema)]
pub(super) struct Ordered {
    /// The command's id: with it a decision can be undone.
    command: String,
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Problem {
        Problem::new(Kind::InvalidBody, error.to_string())
    }
}

/// The document of a request of somebody who may send one.
pub(super) async fn document<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    Document::from_request(request, &()).await.map(|Document(document)| document)
}

impl Api {
    /// Notes what somebody does, and hands it over as a command, durably. `about`: how many identifiers or things it names.
    pub(super) async fn order(
        &self,
        (caller, action, operation): (&Caller, &'static str, &'static str),
        person: Option<&str>,
        about: usize,
        (id, order): (Option<&str>, Order),
    ) -> Result<(String, EventTime), Problem> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|_| Problem::new(Kind::Internal, "the system has no random numbers"))?;
        let command = CommandRecord::of(id, order, u64::from_be_bytes(random))?;
        if self.writing.spokes().is_none() {
            return Err(Problem::starting());
        }
        let (person, records) = (person.and_then(PersonId::parse), about as u64);
        let noted = Some(id.map_or_else(|| command.id.clone(), given));
        self.enter(caller, |entry| AuditEntry { action, operation, person, command: noted, records, ..entry }).await?;
        let now_ms = (self.now_ms)();
        self.writing.order(&command, now_ms).await.map_err(Problem::of_unwritten)?;
        Ok((command.id, EventTime(now_ms)))
    }

    fn names(&self, identifiers: &[String]) -> Result<Vec<Name>, OrderError> {
        let name = |identifier: &String| Name::of_decision(identifier, &self.rules, &self.person_key);
        identifiers.iter().map(name).collect()
    }

    /// Hands over that something was seen.
    async fn acknowledge(&self, caller: &Caller, operation: &'static str, order: Order) -> Result<Response, Problem> {
        let (command, _) = self.order((caller, "decide", operation), None, 1, (None, order)).await?;
        Ok(accepted(&Ordered { command }))
    }
}

pub(super) fn accepted(document: &impl Serialize) -> Response {
    (StatusCode::ACCEPTED, reply::one(document)).into_response()
}

/// The same of what can be asked after at a path, of what a header may hold.
pub(super) fn accepted_at(path: &str, document: &impl Serialize) -> Response {
    let mut response = accepted(document);
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
}

/// Decides who is one person.
///
/// 202 says that the decision lasts; the hub takes it at once. It is on insight.audit first.
#[utoipa::path(
    post, path = "/api/v1/identity/decisions", operation_id = "decide_identity", tag = "customers",
    request_body = Decision,
    responses(
        (status = 202, description = "It was handed over", body = Ordered),
        (status = 400, description = "The body is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "More than may come at a time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["review"])),
)]
pub(super) async fn decide(State(api): State<Shared>, By(caller): By, request: Request) -> Result<Response, Problem> {
    caller.must_have(&[Role::Review])?;
    let (id, about, order) = match document(request).await? {
        Decision::Link { identifiers, id } => (id, identifiers.len(), Order::link(api.names(&identifiers)?)?),
        Decision::NeverLink { identifiers, id } => {
            (id, identifiers.len(), Order::never_link(api.names(&identifiers)?)?)
        }
        Decision::Split { identifiers, from, id } => {
            let order = Order::split(api.names(&identifiers)?, api.names(&from)?)?;
            (id, identifiers.len() + from.len(), order)
        }
        Decision::Undo { command, id } => (id, 0, Order::Undo { undo: command }),
    };
    let (command, _) = api.order((&caller, "decide", "decide_identity"), None, about, (id.as_deref(), order)).await?;
    Ok(accepted(&Ordered { command }))
}

/// Says that an alert was seen.
///
/// It stays until its cause is over.
#[utoipa::path(
    post, path = "/api/v1/alerts/{alert}/acknowledgement", operation_id = "acknowledge_alert", tag = "alerts",
    params(("alert" = String, Path, description = "Its id, 32 hexadecimal digits")),
    request_body = Acknowledgement,
    responses(
        (status = 202, description = "It was handed over", body = Ordered),
        (status = 400, description = "The id or the body is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such alert is open", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "More than may come at a time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["review"])),
)]
pub(super) async fn acknowledge_alert(
    State(api): State<Shared>,
    By(caller): By,
    Named(alert): Named,
    request: Request,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::Review])?;
    let Acknowledgement { by } = document(request).await?;
    let order = Order::acknowledge(&alert, &by)?;
    api.ask(move |view| {
        // While touchpoints move from one person to another, it may be open with both.
        let of_id = beginning_with(Feed::Alerts, &alert.to_ascii_lowercase());
        let found = view.list(&of_id, None, 1, &|alert| alert["state"] != AlertState::Closed.as_str())?;
        if !found.records.is_empty() { Ok(()) } else { Err(Problem::not_found("open alert")) }
    })
    .await?;
    api.acknowledge(&caller, "acknowledge_alert", order).await
}

/// Says that somebody has taken a priority on.
///
/// Every month that has it says so, before and after.
#[utoipa::path(
    post, path = "/api/v1/priorities/{priority}/acknowledgement", operation_id = "acknowledge_priority", tag = "analyses",
    params(("priority" = String, Path, description = "Its id, 32 hexadecimal digits")),
    request_body = Acknowledgement,
    responses(
        (status = 202, description = "It was handed over", body = Ordered),
        (status = 400, description = "The id or the body is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No month has such a priority", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "More than may come at a time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["review"])),
)]
pub(super) async fn acknowledge_priority(
    State(api): State<Shared>,
    By(caller): By,
    Named(priority): Named,
    request: Request,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::Review])?;
    let Acknowledgement { by } = document(request).await?;
    let order = Order::acknowledge(&priority, &by)?;
    api.ask(move |view| {
        let id = priority.to_ascii_lowercase();
        let has_it = |month: &Value| {
            let mut priorities = month["priorities"].as_array().into_iter().flatten();
            priorities.any(|it| it["id"] == id.as_str())
        };
        // Of the few months that are published.
        let (span, mut from) = (feed(Feed::Priorities), None::<Vec<u8>>);
        loop {
            let page = view.list(&span, from.as_deref(), 1, &has_it)?;
            match (page.records.is_empty(), page.next) {
                (false, _) => return Ok(()),
                (true, Some(next)) => from = Some(next),
                (true, None) => return Err(Problem::not_found("priority")),
            }
        }
    })
    .await?;
    api.acknowledge(&caller, "acknowledge_priority", order).await
}
