//! A feed in; each of its records as it comes, as server-sent events, out; resumed where a client was, however long ago.
//!
//! ```text
//!  last-event-id ──▶ the log itself, up to where the view is ──┐
//!                    the view's news from there on ────────────┴──▶ what the client has not had ──▶ client
//! ```
//!
//! The id of an event says where to go on in each partition, so it is good on every instance and after every restart. Nobody's
//! slowness is anybody else's: what a client does not take in time ends its stream, and it comes back with its last id.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures_core::Stream;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, Shared,
    asking::{By, Named, Parameters},
    problem::{Kind, Problem, ProblemBody},
};
use crate::{
    engine::log::{LogError, outside::Followed},
    feeds::Feed,
    model::EventTime,
    serve::{
        access::Role,
        view::{News, Watch},
    },
    telemetry::Event,
};

/// Events that wait for one client.
const WAITING_MAX: usize = 64;
/// How long a client may take none.
const SLOW_AFTER: Duration = Duration::from_secs(30);
/// How often something is sent, so that who is gone is noticed; and the token looked at again.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How long reading up waits for a record before it looks whether there is one to come.
const READ_WAIT: Duration = Duration::from_millis(200);
/// The longest id.
const ID_BYTES_MAX: usize = 8 << 10;

/// Positions by partition: the next offset of each.
type Positions = BTreeMap<i32, i64>;

/// Where a stream begins without `last-event-id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Begin {
    /// With what comes next.
    #[default]
    Now,
    /// With the oldest record that the feed still has.
    Beginning,
}

/// How a feed is watched.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct How {
    /// Where it begins, unless `last-event-id` says so.
    #[serde(default)]
    #[param(inline, required = false)]
    from: Begin,
}

/// Whether records of a feed are about persons.
fn is_personal(feed: Feed) -> bool {
    match feed {
        Feed::Customers
        | Feed::Touchpoints
        | Feed::Identities
        | Feed::IdentityJournal
        | Feed::Alerts
        | Feed::Rejected
        | Feed::Audit => true,
        Feed::Metrics
        | Feed::Journeys
        | Feed::Attribution
        | Feed::Drivers
        | Feed::Priorities
        | Feed::Changes
        | Feed::Balance
        | Feed::Scorecards
        | Feed::Catalogue
        | Feed::Spokes => false,
    }
}

/// A feed's records as they come.
///
/// Each event has the record's key, timestamp and value, null where the key is gone, and an id to resume with: sent back as
/// `last-event-id`, the stream goes on behind it. A stream ends after an hour at most, when its client does not keep up, and when
/// its token ends. Feeds about persons need read:customers, the others read:metrics.
#[utoipa::path(
    get, path = "/api/v1/feeds/{feed}/events", operation_id = "watch_feed", tag = "feeds",
    params(
        ("feed" = String, Path, description = "A feed's word: metrics, customers, alerts, …"),
        How,
        ("last-event-id" = Option<String>, Header, description = "The id of the last event that was had"),
    ),
    responses(
        (status = 200, description = "Events `record`", content_type = "text/event-stream", body = String),
        (status = 404, description = "There is no such feed", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["read:metrics"]), ("token" = ["read:customers"])),
)]
pub(super) async fn watch(
    State(api): State<Shared>,
    By(caller): By,
    Named(feed): Named,
    Parameters(how): Parameters<How>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::ReadMetrics, Role::ReadCustomers])?;
    let feed = Feed::parse(&feed).ok_or_else(|| Problem::not_found("feed"))?;
    caller.must_have(&[if is_personal(feed) { Role::ReadCustomers } else { Role::ReadMetrics }])?;
    let busy = || Problem::new(Kind::Busy, "too many streams are open").after(Duration::from_secs(5));
    let place = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| busy())?;
    let asked = headers.get("last-event-id").map(|id| positions(id.as_bytes()));
    let asked = asked.map(|id| {
        id.ok_or_else(|| Problem::new(Kind::InvalidCursor, "`last-event-id` is the id of no event of this API"))
    });
    let asked = asked.transpose()?;
    if is_personal(feed) {
        api.note(&caller, "watch_feed", None, 0).await?;
    }
    let (here, news) = api.ask(move |view| Ok(view.watch_from_here(feed)?)).await?;
    let from = match (asked, how.from) {
        (Some(asked), _) => asked,
        (None, Begin::Beginning) => Positions::new(),
        (None, Begin::Now) => here.clone(),
    };
    let is_behind = here.iter().any(|(partition, next)| from.get(partition).is_none_or(|from| from < next));
    let reading = match is_behind {
        true => Some(read_up(Arc::clone(&api), feed, from.clone(), here)?),
        false => None,
    };
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let stream = Sending { api, headers, sender, had: from, _place: place };
    tokio::spawn(stream.run(reading, news));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(Events(receiver))).into_response())
}

/// The id of an event: where to go on in each partition.
fn id(positions: &Positions) -> String {
    let parts: Vec<String> = positions.iter().map(|(partition, next)| format!("{partition}:{next}")).collect();
    parts.join(",")
}

/// The same back; `None`: it is none.
fn positions(id: &[u8]) -> Option<Positions> {
    let id = std::str::from_utf8(id).ok().filter(|id| id.len() <= ID_BYTES_MAX)?;
    let mut positions = Positions::new();
    for part in id.split(',').filter(|part| !part.is_empty()) {
        let (partition, next) = part.split_once(':')?;
        let (partition, next) = (partition.parse().ok()?, next.parse().ok()?);
        let is_new = positions.insert(partition, next).is_none();
        if !is_new || partition < 0 || next < 0 {
            return None;
        }
    }
    Some(positions)
}

/// Reads the log from where a client was to where the view was when it began to watch.
fn read_up(api: Shared, feed: Feed, from: Positions, to: Positions) -> Result<mpsc::Receiver<News>, Problem> {
    let busy = || Problem::new(Kind::Busy, "others are reading up").after(Duration::from_secs(2));
    let place = Arc::clone(&api.reading_up).try_acquire_owned().map_err(|_| busy())?;
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        if let Err(error) = read_up_into(&api, feed, from, &to, &sender) {
            // The stream goes on with what comes: its client would miss something without knowing.
            tracing::warn!("a stream of {} cannot be resumed: {error}", feed.topic());
            let _ = sender.blocking_send(broken());
        }
    });
    Ok(receiver)
}

/// What ends a stream instead of an event: no log has such an offset.
fn broken() -> News {
    News { partition: -1, offset: -1, timestamp_ms: 0, key: String::new(), value: None }
}

fn read_up_into(
    api: &Api,
    feed: Feed,
    from: Positions,
    to: &Positions,
    sender: &mpsc::Sender<News>,
) -> Result<(), LogError> {
    let mut at = from.clone();
    // A client of another hub may be further in a partition than this one's view.
    let from = from.into_iter().map(|(partition, next)| (partition, to.get(&partition).map_or(0, |to| next.min(*to))));
    let mut log = api.feeds.follow(&[Followed { topic: api.feeds.topic(feed), from: from.collect() }])?;
    while to.iter().any(|(partition, to)| at.get(partition).is_none_or(|at| at < to)) {
        match log.next(READ_WAIT)? {
            Some((_, record)) => {
                at.insert(record.partition, record.offset + 1);
                let is_before = to.get(&record.partition).is_some_and(|to| record.offset < *to);
                let news = if is_before { api.view.news_of(feed, &record) } else { None };
                if news.is_some_and(|news| sender.blocking_send(news).is_err()) {
                    // The client is gone.
                    return Ok(());
                }
            }
            // What is missing was compacted away.
            None if log.remaining()? == Some(0) => return Ok(()),
            None => {}
        }
        if sender.is_closed() {
            return Ok(());
        }
    }
    Ok(())
}

/// A stream that is being sent.
struct Sending {
    api: Shared,
    /// Of the request: its credential.
    headers: HeaderMap,
    sender: mpsc::Sender<Bytes>,
    /// What the client has had.
    had: Positions,
    _place: OwnedSemaphorePermit,
}

impl Sending {
    async fn run(mut self, mut reading: Option<mpsc::Receiver<News>>, mut news: Watch) {
        let mut checked = Instant::now();
        loop {
            if checked.elapsed() >= ALIVE_EVERY {
                checked = Instant::now();
                if !self.is_still_allowed() {
                    return;
                }
            }
            let next = async {
                match &mut reading {
                    Some(reading) => reading.recv().await.map(Arc::new),
                    None => news.next().await,
                }
            };
            let sent = match timeout(ALIVE_EVERY, next).await {
                Ok(Some(record)) if record.offset < 0 => false,
                Ok(Some(record)) => self.send_record(&record).await,
                // It has read up: on with what comes.
                Ok(None) if reading.take().is_some() => true,
                // It did not keep up, or the view is closed: it comes back with its last id.
                Ok(None) => false,
                Err(_) => self.send(Bytes::from_static(b":\n\n")).await,
            };
            if !sent {
                return;
            }
        }
    }

    fn is_still_allowed(&self) -> bool {
        self.api.caller_of(&self.headers).is_ok()
    }

    async fn send_record(&mut self, record: &News) -> bool {
        let had = self.had.entry(record.partition).or_insert(0);
        if record.offset < *had {
            return true;
        }
        *had = record.offset + 1;
        let at = EventTime(record.timestamp_ms);
        let timestamp = (record.timestamp_ms >= 0 && at.is_supported()).then(|| at.to_string());
        // JSON on one line: it has no line breaks of its own.
        let data = json!({"key": record.key, "timestamp": timestamp, "value": record.value});
        self.send(format!("id: {}\nevent: record\ndata: {data}\n\n", id(&self.had)).into()).await
    }

    /// Whether the client took it in time.
    async fn send(&self, bytes: Bytes) -> bool {
        match timeout(SLOW_AFTER, self.sender.send(bytes)).await {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                self.api.telemetry.emit(Event::ApiCutOff);
                false
            }
        }
    }
}

/// The bytes of a stream.
struct Events(mpsc::Receiver<Bytes>);

impl Stream for Events {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_where_to_go_on() {
        let at = Positions::from([(0, 41), (7, 0)]);
        assert_eq!(id(&at), "0:41,7:0");
        assert_eq!(positions(id(&at).as_bytes()), Some(at));
        assert_eq!(positions(b""), Some(Positions::new()));
        for wrong in ["x", "0", "0:", ":1", "0:1:2", "0:-1", "-1:0", "0:1,0:2", "0:99999999999999999999", "0:1;1:2"] {
            assert_eq!(positions(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(positions(&[0xff]), None);
    }
}
