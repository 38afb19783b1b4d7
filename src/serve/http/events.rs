//! A feed in; each of its records as it comes, as server-sent events, out; resumed where a client was, however long ago.
//!
//! ```text
//!  last-event-id ──▶ the log itself, up to where the view is ──┐
//!                    the view's news from there on ────────────┴──▶ what the client has not had ──▶ client
//! ```
//!
//! The id of an event says where to go on in each partition, so it is good on every instance and after every restart; and up to when
//! its client has everything, so that nobody goes on who could miss a deletion: a compacted feed keeps them for a time, and says
//! nothing afterwards of what is gone. Nobody's slowness is anybody else's: what a client does not take in time ends its stream, and it
//! comes back with its last id.

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
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use utoipa::{IntoParams, ToSchema};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Shared,
    asking::{By, Named, Parameters},
    problem::{Kind, Problem, ProblemBody},
};
use crate::{
    engine::log::{
        LogError,
        outside::{Follow, Followed},
    },
    feeds::{AuditEntry, Cleanup, Feed},
    model::EventTime,
    serve::{
        access::{Caller, Place, Role},
        view::{News, View, Watch},
    },
    telemetry::Event,
};

/// Events that wait for one client.
const WAITING_MAX: usize = 16;
/// And KiB of them, unless one has more: a thousand clients that take nothing hold a quarter of a gigabyte.
const WAITING_KIB_MAX: u32 = 256;
/// How long a client may take none.
const SLOW_AFTER: Duration = Duration::from_secs(30);
/// How often something is sent, so that who is gone is noticed; and the token looked at again.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How long reading up waits for a record before it looks whether there is one to come.
const READ_WAIT: Duration = Duration::from_millis(200);
/// What is read at a time, before the client takes it: events, bytes of them, and how long that may take.
const READ_EVENTS: usize = 256;
const READ_BYTES: usize = 1 << 20;
const READ_WITHIN: Duration = Duration::from_secs(1);
/// How long a client may take for that.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// How exact an id is about the time.
const MINUTE_MS: i64 = 60_000;
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

/// What an event says.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is written by hand, piece by piece")]
pub(super) struct FeedEvent {
    /// Where to go on behind it, as `last-event-id`. An event that has this alone says that nothing has come since.
    id: String,
    /// Always `record`.
    #[schema(pattern = "^record$")]
    event: String,
    /// In JSON: the record's `key`, its `timestamp`, null if it has none, and its `value`, null where the key is gone.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// Whether records of a feed are about persons.
pub(super) fn is_personal(feed: Feed) -> bool {
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
/// `last-event-id`, the stream goes on behind it. Where nothing comes, an event without data has a new id every 15 seconds. A stream
/// ends after an hour at most, when its client does not keep up, and when its token ends. Compacted feeds keep deletions for a day, or for
/// a quarter of topics.erased_within_seconds where that is less: a stream of one does not go on from an id that is older than nine tenths
/// of it, since of what was deleted meanwhile nothing might be said. Begin anew then, and forget what you have. Feeds about persons need
/// read:customers, the others read:metrics.
#[utoipa::path(
    get, path = "/api/v1/feeds/{feed}/events", operation_id = "watch_feed", tag = "feeds",
    params(
        ("feed" = String, Path, description = "A feed's word: metrics, customers, alerts, …"),
        How,
        ("last-event-id" = Option<String>, Header, description = "The id of the last event that was had"),
    ),
    responses(
        (status = 200, description = "Events `record`", content_type = "text/event-stream", body = FeedEvent),
        (status = 404, description = "There is no such feed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "The feed is another one now, or has no longer what came next, or may no longer have deletions that did: forget what you have and begin anew, with `from` and without `last-event-id`", body = ProblemBody, content_type = "application/problem+json"),
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
    let busy = |what| Problem::new(Kind::Busy, what).after(Duration::from_secs(5));
    let of_caller = api.streams_of.take(&caller.id).ok_or_else(|| busy("this token has too many streams open"))?;
    let place = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| busy("too many streams are open"))?;
    let asked = headers.get("last-event-id").filter(|id| !id.is_empty()).map(|id| Point::parse(id.as_bytes()));
    let asked = asked.map(|id| {
        id.ok_or_else(|| Problem::new(Kind::InvalidCursor, "`last-event-id` is the id of no event of this API"))
    });
    let asked = asked.transpose()?;
    if is_personal(feed) {
        let name = feed.description().suffix;
        api.enter(&caller, |entry| AuditEntry { operation: "watch_feed", feed: Some(name), ..entry }).await?;
    }
    // How far it is is asked first: whoever has what is here has everything up to then.
    let asked_here = api.ask(move |view| Ok((view.origin(feed)?, view.whole_until_ms(), view.watch_from_here(feed)?)));
    let (origin, whole_until_ms, (here, news)) = asked_here.await?;
    let (origin, whole_until) = (xxh3_64(origin.as_bytes()), whole_until_ms.map(|at| at.div_euclid(MINUTE_MS)));
    if asked.as_ref().is_some_and(|asked| asked.origin != origin) {
        return Err(gone());
    }
    let is_resumed = asked.is_some();
    let had = match (asked, how.from) {
        (Some(asked), _) => asked,
        // What was deleted before now is deleted in what is read.
        (None, Begin::Beginning) => Point { origin, whole_until, at: Positions::new() },
        (None, Begin::Now) => Point { origin, whole_until, at: here.clone() },
    };
    let is_behind = here.iter().any(|(partition, next)| had.at.get(partition).is_none_or(|from| from < next));
    if is_resumed && feed.description().cleanup == Cleanup::Compact {
        let could_miss = match had.whole_until {
            Some(minutes) => api.view.could_miss_a_deletion(minutes * MINUTE_MS, (api.now_ms)()),
            // The id is of a version that did not say. Where nothing has come since, nothing is missed.
            None => is_behind,
        };
        if could_miss {
            return Err(gone());
        }
    }
    let reading = match is_behind {
        true => Some(ReadingUp::open(&api, &caller, feed, had.at.clone(), here, is_resumed).await?),
        false => None,
    };
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let room = Arc::new(Semaphore::new(WAITING_KIB_MAX as usize));
    let stream = Sending { api, headers, sender, room, had, _places: (place, of_caller) };
    tokio::spawn(stream.run(reading, news));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(Events(receiver))).into_response())
}

fn gone() -> Problem {
    Problem::new(
        Kind::ResumeGone,
        "the feed was made anew, or has no longer what came next, or may no longer have deletions that did; forget what you have and \
         begin anew, with `from` and without `last-event-id`",
    )
}

/// Where a stream is: the id of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Point {
    /// A hash of what tells the feed from others that had or will have its name.
    origin: u64,
    /// Up to when everything was had, in minutes since 1970; `None`: the id is of a version that did not say.
    whole_until: Option<i64>,
    /// Where to go on in each partition.
    at: Positions,
}

impl Point {
    fn id(&self) -> String {
        let parts: Vec<String> = self.at.iter().map(|(partition, next)| format!("{partition}:{next}")).collect();
        let whole_until = self.whole_until.map_or_else(String::new, |minutes| format!(".{minutes}"));
        format!("{:016x}{whole_until}@{}", self.origin, parts.join(","))
    }

    /// Everything was had up to a time.
    fn note_whole(&mut self, until_ms: Option<i64>) {
        self.whole_until = self.whole_until.max(until_ms.map(|at| at.div_euclid(MINUTE_MS)));
    }

    /// The same back; `None`: it is none.
    fn parse(id: &[u8]) -> Option<Point> {
        let id = std::str::from_utf8(id).ok().filter(|id| id.len() <= ID_BYTES_MAX)?;
        let (head, parts) = id.split_once('@')?;
        let (origin, whole_until) = head.split_once('.').map_or((head, None), |(origin, at)| (origin, Some(at)));
        let is_minutes = |text: &&str| (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let whole_until = match whole_until {
            Some(text) => Some(Some(text).filter(is_minutes)?.parse().ok()?),
            None => None,
        };
        let is_hash = origin.len() == 16 && origin.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let origin = u64::from_str_radix(origin, 16).ok().filter(|_| is_hash)?;
        let mut at = Positions::new();
        for part in parts.split(',').filter(|part| !part.is_empty()) {
            let (partition, next) = part.split_once(':')?;
            let (partition, next) = (partition.parse().ok()?, next.parse().ok()?);
            let is_new = at.insert(partition, next).is_none();
            if !is_new || partition < 0 || next < 0 {
                return None;
            }
        }
        Some(Point { origin, whole_until, at })
    }
}

/// Reads the log from where a client was to where the view was when it began to watch: a little, when the client has taken what
/// was read before. Between that, no thread waits for the client.
struct ReadingUp {
    log: Box<dyn Follow>,
    feed: Feed,
    at: Positions,
    to: Positions,
    _places: (OwnedSemaphorePermit, Place),
}

impl ReadingUp {
    /// `is_resumed`: the client has had something, and is to miss nothing after it.
    async fn open(
        api: &Shared,
        caller: &Caller,
        feed: Feed,
        from: Positions,
        to: Positions,
        is_resumed: bool,
    ) -> Result<ReadingUp, Problem> {
        let busy = |what| Problem::new(Kind::Busy, what).after(Duration::from_secs(2));
        let of_caller = api.reading_up_of.take(&caller.id);
        let of_caller = of_caller.ok_or_else(|| busy("this token has too many streams that are reading up"))?;
        let place = Arc::clone(&api.reading_up).try_acquire_owned().map_err(|_| busy("others are reading up"))?;
        // A client of another hub may be further in a partition than this one's view.
        let clamped = from.iter().filter_map(|(partition, next)| Some((*partition, *next.min(to.get(partition)?))));
        let followed = Followed { topic: api.feeds.topic(feed), from: clamped.collect() };
        let feeds = Arc::clone(&api.feeds);
        let log = in_turn(api, move || feeds.follow(&[followed])).await?;
        let log = log.map_err(|error| match error {
            LogError::OutOfRange(_) => gone(),
            error => {
                tracing::warn!("a stream of {} cannot be resumed: {error}", feed.topic());
                busy("the feed cannot be read now")
            }
        })?;
        // What was compacted away is said again by what came later; what is too old is said by nothing.
        if is_resumed && log.misses_some() && feed.description().cleanup == Cleanup::Delete {
            return Err(gone());
        }
        Ok(ReadingUp { log, feed, at: from, to, _places: (place, of_caller) })
    }

    /// The next events, and itself unless that was all.
    async fn read(self, api: &Shared) -> Result<(Option<ReadingUp>, Vec<News>), ()> {
        let view = Arc::clone(&api.view);
        match in_turn(api, move || self.read_some(&view)).await {
            Ok(Ok(read)) => Ok(read),
            // The stream ends: its client would miss something without knowing.
            Ok(Err(error)) => {
                tracing::warn!("a stream cannot be resumed: {error}");
                Err(())
            }
            Err(_) => Err(()),
        }
    }

    fn read_some(mut self, view: &View) -> Result<(Option<ReadingUp>, Vec<News>), LogError> {
        let (mut news, mut bytes, begun) = (Vec::new(), 0, Instant::now());
        while self.to.iter().any(|(partition, to)| self.at.get(partition).is_none_or(|at| at < to)) {
            if news.len() == READ_EVENTS || bytes >= READ_BYTES || begun.elapsed() >= READ_WITHIN {
                return Ok((Some(self), news));
            }
            match self.log.next(READ_WAIT)? {
                Some((_, record)) => {
                    self.at.insert(record.partition, record.offset + 1);
                    if self.to.get(&record.partition).is_some_and(|to| record.offset < *to) {
                        bytes += record.value.as_ref().map_or(0, Vec::len);
                        news.extend(view.news_of(self.feed, &record));
                    }
                }
                None => {
                    self.log.remaining()?;
                    if self.log.whole_until().is_some() {
                        // What is missing was compacted away.
                        return Ok((None, news));
                    }
                }
            }
        }
        Ok((None, news))
    }
}

/// Does what may wait for the log, when it is its turn.
async fn in_turn<T: Send + 'static>(api: &Shared, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let failed = || Problem::new(Kind::Internal, "the log of the hub says what happened");
    let _turn = api.readers.acquire().await.map_err(|_| failed())?;
    tokio::task::spawn_blocking(work).await.map_err(|_| failed())
}

/// A stream that is being sent.
struct Sending {
    api: Shared,
    /// Of the request: its credential.
    headers: HeaderMap,
    sender: mpsc::Sender<Waiting>,
    /// KiB that may wait besides.
    room: Arc<Semaphore>,
    /// What the client has had.
    had: Point,
    _places: (OwnedSemaphorePermit, Place),
}

impl Sending {
    async fn run(mut self, mut reading: Option<ReadingUp>, mut news: Watch) {
        while let Some(some) = reading.take() {
            let Ok((rest, events)) = some.read(&self.api).await else { return };
            let sent = timeout(TAKEN_WITHIN, self.send_all(&events)).await;
            if sent.is_err() {
                self.api.telemetry.emit(Event::ApiCutOff);
            }
            if !matches!(sent, Ok(true)) || !self.is_still_allowed().await {
                return;
            }
            reading = rest;
        }
        let mut checked = Instant::now();
        loop {
            if checked.elapsed() >= ALIVE_EVERY {
                checked = Instant::now();
                if !self.is_still_allowed().await {
                    return;
                }
            }
            // What was committed by then was told before: if nothing is left to be heard after this, all of that was had.
            let whole_until_ms = self.api.view.whole_until_ms();
            let next = tokio::select! {
                next = timeout(ALIVE_EVERY, news.next()) => next,
                // The client is gone, and so is its place.
                () = self.sender.closed() => return,
            };
            let sent = match next {
                Ok(Some(record)) => self.send_record(&record).await,
                // It did not keep up, or the view is closed or begun anew: it comes back with its last id.
                Ok(None) => false,
                Err(_) => {
                    self.had.note_whole(whole_until_ms);
                    self.send(format!("id: {}\n\n", self.had.id()).into()).await
                }
            };
            if !sent {
                return;
            }
        }
    }

    /// Whether the client took all of it; it is gone, if it did not.
    async fn send_all(&mut self, events: &[News]) -> bool {
        if events.is_empty() {
            // Whether it is there is seen by that.
            return self.send(Bytes::from_static(b":\n\n")).await;
        }
        for event in events {
            if !self.send_record(event).await {
                return false;
            }
        }
        true
    }

    async fn is_still_allowed(&self) -> bool {
        self.api.prepare(&self.headers).await;
        self.api.caller_of(&self.headers).is_ok()
    }

    async fn send_record(&mut self, record: &News) -> bool {
        let had = self.had.at.entry(record.partition).or_insert(0);
        if record.offset < *had {
            return true;
        }
        *had = record.offset + 1;
        self.had.note_whole(record.whole_until_ms);
        let data = record.text.get_or_init(|| {
            let at = EventTime(record.timestamp_ms);
            let timestamp = (record.timestamp_ms >= 0 && at.is_supported()).then(|| at.to_string());
            // JSON on one line: it has no line breaks of its own.
            json!({"key": record.key, "timestamp": timestamp, "value": record.value}).to_string()
        });
        self.send(format!("id: {}\nevent: record\ndata: {data}\n\n", self.had.id()).into()).await
    }

    /// Whether the client took it in time.
    async fn send(&self, bytes: Bytes) -> bool {
        let waiting = async {
            let kib = u32::try_from(bytes.len() >> 10).unwrap_or(u32::MAX).saturating_add(1).min(WAITING_KIB_MAX);
            // Never closed.
            let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok();
            self.sender.send(Waiting { bytes, _room: room }).await.is_ok()
        };
        match timeout(SLOW_AFTER, waiting).await {
            Ok(sent) => sent,
            Err(_) => {
                self.api.telemetry.emit(Event::ApiCutOff);
                false
            }
        }
    }
}

/// What waits for the client, with its part of the room.
struct Waiting {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// The bytes of a stream.
struct Events(mpsc::Receiver<Waiting>);

impl Stream for Events {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|waiting| waiting.map(|Waiting { bytes, .. }| Ok(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_where_to_go_on_and_in_what() {
        let point = Point { origin: 0xab, whole_until: Some(29_000_000), at: Positions::from([(0, 41), (7, 0)]) };
        assert_eq!(point.id(), "00000000000000ab.29000000@0:41,7:0");
        assert_eq!(Point::parse(point.id().as_bytes()), Some(point.clone()));
        let former = Point { whole_until: None, ..point };
        assert_eq!(former.id(), "00000000000000ab@0:41,7:0");
        assert_eq!(Point::parse(former.id().as_bytes()), Some(former));
        let nowhere = Point { origin: u64::MAX, whole_until: Some(0), at: Positions::new() };
        assert_eq!(Point::parse(nowhere.id().as_bytes()), Some(nowhere));
        for wrong in ["x", "0", "0:", ":1", "0:1:2", "0:-1", "-1:0", "0:1,0:2", "0:99999999999999999999", "0:1;1:2"] {
            assert_eq!(Point::parse(format!("00000000000000ab@{wrong}").as_bytes()), None, "{wrong}");
        }
        for wrong in ["", "0:41", "ab@0:41", "+0000000000000ab@0:1", "00000000000000AB@0:1"] {
            assert_eq!(Point::parse(wrong.as_bytes()), None, "{wrong}");
        }
        for wrong in ["", "-1", "+1", "1.5", "12345678901", "x"] {
            assert_eq!(Point::parse(format!("00000000000000ab.{wrong}@0:1").as_bytes()), None, "{wrong}");
        }
        assert_eq!(Point::parse(&[0xff]), None);
    }

    #[test]
    fn an_id_never_goes_back_in_time() {
        let mut point = Point { origin: 1, whole_until: None, at: Positions::new() };
        for (until_ms, minutes) in
            [(None, None), (Some(119_999), Some(1)), (Some(60_000), Some(1)), (None, Some(1)), (Some(120_000), Some(2))]
        {
            point.note_whole(until_ms);
            assert_eq!(point.whole_until, minutes, "{until_ms:?}");
        }
    }
}
