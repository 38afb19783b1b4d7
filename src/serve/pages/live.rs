//! News of the view in; a word that something of what a page shows has changed out, as server-sent events, once a second at most. What
//! has changed is not said: the page is asked for again, with whatever its reader may see.
//!
//! ```text
//!  page: what is seen of its feeds is noted ── read ── shown ──▶ /live: watched ── is it still what was seen? ──▶ told at once, or later
//! ```
//! So nothing falls between making a page and listening for it, or between two connections of a page that goes on listening.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_core::Stream;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{sleep, timeout},
};

use super::{
    Asker, Desk, LIVE_MAX, Office, failed,
    forms::Asked,
    visitor::{Visitor, Who},
};
use crate::{
    feeds::Feed,
    serve::{
        access::Place,
        http::inside::{Inside, Refused},
        view::{View, Watch},
    },
};

/// Pages are made anew no more often.
const EVERY: Duration = Duration::from_secs(1);
/// How often the session is looked at again; and how long a word may take.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How often something is sent, so that who is gone is noticed; and it is looked whether the copy of the feeds still follows them.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const CHANGED: Bytes = Bytes::from_static(b"event: changed\ndata: 1\n\n");
/// The first word, with how soon to come again.
const HERE: Bytes = Bytes::from_static(b"retry: 3000\n: here\n\n");
const HERE_AND_CHANGED: Bytes = Bytes::from_static(b"retry: 3000\nevent: changed\ndata: 1\n\n");
/// Feeds of one page.
const FEEDS_MAX: usize = 8;

/// What tells this process from others, of which each counts changes from nothing.
pub(super) fn number_of_process() -> u64 {
    // Seeded by the system for every process: random enough to tell two apart.
    RandomState::new().build_hasher().finish()
}

/// How the copy of the feeds was before something was read from it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    process: u64,
    status: &'static str,
    revisions: Vec<(Feed, u64)>,
}

impl Seen {
    /// As it is now.
    pub(super) fn now(desk: &Office) -> Seen {
        Seen::of(desk.view(), desk.process)
    }

    fn of(view: &View, process: u64) -> Seen {
        let revisions = Feed::ALL.into_iter().map(|feed| (feed, view.revision(feed))).collect();
        Seen { process, status: view.progress().status(), revisions }
    }

    /// A word that is another one when something of these feeds has changed since, when the copy of them follows otherwise, and in
    /// another process.
    pub(super) fn word(&self, feeds: &[Feed]) -> String {
        // Each of them only grows, and so does their sum.
        let changes: u64 = self.revisions.iter().filter(|(of, _)| feeds.contains(of)).map(|(_, count)| count).sum();
        format!("{:016x}-{}-{changes}", self.process, self.status)
    }
}

/// `/live?feeds=metrics,changes`; with `key`, only records whose key begins so. `seen`: of these feeds, when the page was made; where it
/// is another word by now, or none, the page is told at once. Whose records have changed until then nobody knows any more: for a page
/// of one key, that may be once too often.
pub(super) async fn changes(asker: Asker, asked: Asked) -> Response {
    let feeds: Option<Vec<Feed>> = asked.get("feeds").split(',').map(Feed::parse).collect();
    let Some(feeds) = feeds.filter(|feeds| feeds.len() <= FEEDS_MAX) else {
        return refuse(&asker, StatusCode::NOT_FOUND, "There is nothing of that name");
    };
    // A page may show less than it could: of what its reader may not see, it hears nothing.
    let feeds: Vec<Feed> = feeds.into_iter().filter(|feed| Inside::may_hear(&asker.who.caller, *feed)).collect();
    if feeds.is_empty() {
        return refuse(&asker, StatusCode::FORBIDDEN, "The token does not have the role");
    }
    let Some(place) = asker.desk.stream(&asker.who.caller) else {
        return refuse(&asker, StatusCode::SERVICE_UNAVAILABLE, "Too many pages are open");
    };
    // Before it is looked what has changed, and before anything is waited for: of what comes meanwhile nothing is lost.
    let watches: Vec<(Feed, Watch)> = feeds.iter().map(|feed| (*feed, asker.desk.view().watch(*feed))).collect();
    let seen = Seen::now(&asker.desk);
    let has_changed = asked.get("seen") != seen.word(&feeds);
    for feed in &feeds {
        if let Err(refused) = asker.desk.note_watch(&asker.who.caller, *feed).await {
            return failed(&asker.desk, Some(&asker.who), &refused);
        }
    }
    let (changed, news) = mpsc::channel(1);
    for (feed, watch) in watches {
        let desk = Arc::clone(&asker.desk);
        tokio::spawn(hear(watch, move || desk.view().watch(feed), asked.get("key").to_owned(), changed.clone()));
    }
    let (sender, receiver) = mpsc::channel(4);
    let whom = (asker.who.visitor().clone(), feeds);
    tokio::spawn(tell(asker.desk, whom, (has_changed, seen.status), (news, sender), place));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(Words(receiver))).into_response()
}

fn refuse(asker: &Asker, status: StatusCode, title: &str) -> Response {
    let refused = Refused { status, title: title.to_owned(), detail: "the page is as it was".to_owned() };
    failed(&asker.desk, Some(&asker.who), &refused)
}

/// Hears one feed until nobody listens. `anew`: watches it from now on.
async fn hear(mut watch: Watch, anew: impl Fn() -> Watch, key: String, changed: mpsc::Sender<()>) {
    loop {
        let news = tokio::select! {
            () = changed.closed() => return,
            news = watch.next() => news,
        };
        match news {
            Some(news) if !news.key.starts_with(&key) => continue,
            Some(_) => {}
            // Too much came at once. It is watched again before that is told: what comes while the page is asked for is heard.
            None => watch = anew(),
        }
        // Where one word is waiting already, it says the same.
        let _ = changed.try_send(());
    }
}

/// Tells a page, until it is gone or may no longer hear. `has_changed`: since it was made; `status`: of the copy, when that was looked for.
async fn tell(
    desk: Desk,
    (visitor, feeds): (Visitor, Vec<Feed>),
    (has_changed, mut status): (bool, &'static str),
    (mut news, sender): (mpsc::Receiver<()>, mpsc::Sender<Bytes>),
    _place: (OwnedSemaphorePermit, Place),
) {
    let end = Instant::now() + LIVE_MAX;
    // Something at once, so that a browser knows that it listens.
    let mut word = if has_changed { HERE_AND_CHANGED } else { HERE };
    let mut looked = Instant::now();
    while Instant::now() < end {
        if !matches!(timeout(ALIVE_EVERY, sender.send(word)).await, Ok(Ok(()))) {
            return;
        }
        word = match timeout(LOOK_EVERY, news.recv()).await {
            Ok(None) => return,
            Ok(Some(())) => CHANGED,
            Err(_) => {
                let before = std::mem::replace(&mut status, desk.view().progress().status());
                // A page says how old it is.
                if status != before || status == "stalled" { CHANGED } else { Bytes::from_static(b": here\n\n") }
            }
        };
        if looked.elapsed() >= ALIVE_EVERY {
            looked = Instant::now();
            let may_hear = |who: &Who| feeds.iter().all(|feed| Inside::may_hear(&who.caller, *feed));
            visitor.prepare(&desk).await;
            if !visitor.who(&desk).is_ok_and(|who| may_hear(&who)) {
                return;
            }
        }
        sleep(EVERY).await;
    }
}

/// What is sent, as it comes.
struct Words(mpsc::Receiver<Bytes>);

impl Stream for Words {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|word| word.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::serve::view::NewsDesk;

    fn seen(process: u64, status: &'static str, revisions: &[(Feed, u64)]) -> Seen {
        Seen { process, status, revisions: revisions.to_vec() }
    }

    #[test]
    fn what_was_seen_is_another_word_when_something_that_is_shown_has_changed() {
        let feeds = [Feed::Metrics, Feed::Changes];
        let first = seen(7, "current", &[(Feed::Metrics, 4), (Feed::Changes, 2), (Feed::Alerts, 9)]).word(&feeds);
        let same = seen(7, "current", &[(Feed::Metrics, 4), (Feed::Changes, 2), (Feed::Alerts, 10)]).word(&feeds);
        assert_eq!(same, first, "of what the page does not show");
        for (what, other) in [
            ("a change", seen(7, "current", &[(Feed::Metrics, 4), (Feed::Changes, 3), (Feed::Alerts, 9)])),
            ("how old it is", seen(7, "stalled", &[(Feed::Metrics, 4), (Feed::Changes, 2), (Feed::Alerts, 9)])),
            ("another process", seen(8, "current", &[(Feed::Metrics, 4), (Feed::Changes, 2), (Feed::Alerts, 9)])),
        ] {
            assert_ne!(other.word(&feeds), first, "{what}");
        }
        assert_ne!(number_of_process(), number_of_process());
    }

    #[tokio::test]
    async fn whoever_missed_something_watches_again_before_it_is_told() {
        let news = Arc::new(NewsDesk::default());
        let (changed, mut told) = mpsc::channel(1);
        let anew = {
            let (news, changed) = (Arc::clone(&news), changed.clone());
            let watched = Arc::new(AtomicUsize::new(0));
            move || {
                assert_eq!(changed.capacity(), 1, "nobody has been told");
                assert_eq!(watched.fetch_add(1, Ordering::Relaxed), 0, "once");
                news.watch(Feed::Customers)
            }
        };
        let watch = news.watch(Feed::Customers);
        for _ in 0..5_000 {
            news.tell_of(Feed::Customers, "somebody else");
        }
        let hearing = tokio::spawn(hear(watch, anew, "ann".to_owned(), changed));
        let within = Duration::from_secs(20);
        assert_eq!(timeout(within, told.recv()).await, Ok(Some(())), "what was missed may have been hers");
        // What comes from then on is heard, of her and of nobody else.
        news.tell_of(Feed::Customers, "somebody else");
        news.tell_of(Feed::Touchpoints, "ann");
        tokio::task::yield_now().await;
        assert!(told.try_recv().is_err());
        news.tell_of(Feed::Customers, "ann");
        assert_eq!(timeout(within, told.recv()).await, Ok(Some(())));
        drop(told);
        assert!(timeout(within, hearing).await.is_ok_and(|ended| ended.is_ok()), "nobody listens");
    }
}
