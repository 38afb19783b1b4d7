//! News of the view in; a word that something of what a page shows has changed out, as server-sent events, once a second at most. What
//! has changed is not said: the page is asked for again, with whatever its reader may see.

use std::{
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
    Asker, Desk, LIVE_MAX, failed,
    forms::Asked,
    visitor::{Visitor, Who},
};
use crate::{
    feeds::Feed,
    serve::{
        access::Place,
        http::inside::{Inside, Refused},
    },
};

/// Pages are made anew no more often.
const EVERY: Duration = Duration::from_secs(1);
/// How often the session is looked at again; and how long a word may take.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How often something is sent, so that who is gone is noticed; and it is looked whether the copy of the feeds still follows them.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const CHANGED: Bytes = Bytes::from_static(b"event: changed\ndata: 1\n\n");
/// Feeds of one page.
const FEEDS_MAX: usize = 8;

/// `/live?feeds=metrics,changes`; with `key`, only records whose key begins so.
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
    for feed in &feeds {
        if let Err(refused) = asker.desk.note_watch(&asker.who.caller, *feed).await {
            return failed(&asker.desk, Some(&asker.who), &refused);
        }
    }
    let (changed, news) = mpsc::channel(1);
    for &feed in &feeds {
        tokio::spawn(hear(Arc::clone(&asker.desk), feed, asked.get("key").to_owned(), changed.clone()));
    }
    let (sender, receiver) = mpsc::channel(4);
    let whom = (asker.who.visitor().clone(), feeds);
    tokio::spawn(tell(asker.desk, whom, news, sender, place));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(Words(receiver))).into_response()
}

fn refuse(asker: &Asker, status: StatusCode, title: &str) -> Response {
    let refused = Refused { status, title: title.to_owned(), detail: "the page is as it was".to_owned() };
    failed(&asker.desk, Some(&asker.who), &refused)
}

/// Hears one feed until nobody listens.
async fn hear(desk: Desk, feed: Feed, key: String, changed: mpsc::Sender<()>) {
    loop {
        let mut watch = desk.view().watch(feed);
        loop {
            let news = tokio::select! {
                () = changed.closed() => return,
                news = watch.next() => news,
            };
            match news {
                Some(news) if !news.key.starts_with(&key) => continue,
                // One word is waiting already: it says the same.
                Some(_) => drop(changed.try_send(())),
                // Too much came at once.
                None => break,
            }
        }
        let _ = changed.try_send(());
        sleep(EVERY).await;
    }
}

/// Tells a page, until it is gone or may no longer hear.
async fn tell(
    desk: Desk,
    (visitor, feeds): (Visitor, Vec<Feed>),
    mut news: mpsc::Receiver<()>,
    sender: mpsc::Sender<Bytes>,
    _place: (OwnedSemaphorePermit, Place),
) {
    let end = Instant::now() + LIVE_MAX;
    // Something at once, so that a browser knows that it listens.
    let mut word = Bytes::from_static(b"retry: 3000\n: here\n\n");
    let mut looked = Instant::now();
    let mut status = desk.view().progress().status();
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
