//! What was applied to the view in; the same for whoever watches a feed out. Who does not keep up is told so, and holds nothing up.

use std::sync::{
    Arc, OnceLock, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use serde_json::Value;
use tokio::sync::broadcast;

use crate::feeds::Feed;

/// Records of a feed that a watcher may be behind. They are shared by all who watch it.
const BEHIND_MAX: usize = 1_024;

/// A record that was applied.
#[derive(Debug)]
pub struct News {
    /// The partition of the feed that it is from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: String,
    /// Its document; `None`: the key is gone.
    pub value: Option<Value>,
    /// Whoever has everything that was told up to this has everything that was committed to the feed by then, by the clock, in
    /// milliseconds since 1970; `None`: that is not known.
    pub whole_until_ms: Option<i64>,
    /// What is written of it, once for all who watch.
    pub text: OnceLock<String>,
}

/// Hears what is applied to one feed.
pub struct Watch(broadcast::Receiver<Arc<News>>);

impl Watch {
    /// The next record; `None` if this watcher did not keep up, or the view is closed.
    pub async fn next(&mut self) -> Option<Arc<News>> {
        self.0.recv().await.ok()
    }
}

/// Where watchers are told.
pub(in crate::serve) struct Desk {
    senders: RwLock<Senders>,
    /// How often something of each feed was applied.
    told: Vec<(Feed, AtomicU64)>,
}

type Senders = Vec<(Feed, broadcast::Sender<Arc<News>>)>;

impl Default for Desk {
    fn default() -> Desk {
        let told = Feed::ALL.into_iter().map(|feed| (feed, AtomicU64::default())).collect();
        Desk { senders: RwLock::new(senders()), told }
    }
}

fn senders() -> Senders {
    Feed::ALL.into_iter().map(|feed| (feed, broadcast::channel(BEHIND_MAX).0)).collect()
}

impl Desk {
    pub(in crate::serve) fn watch(&self, feed: Feed) -> Watch {
        let senders = self.senders.read().unwrap_or_else(PoisonError::into_inner);
        let (_, sender) = senders.iter().find(|(known, _)| *known == feed).expect("every feed has a sender");
        Watch(sender.subscribe())
    }

    /// A number that is another one after something of a feed was applied.
    pub(super) fn revision(&self, feed: Feed) -> u64 {
        let told = self.told.iter().find(|(known, _)| *known == feed);
        told.map_or(0, |(_, told)| told.load(Ordering::Acquire))
    }

    pub(super) fn tell(&self, feed: Feed, news: News) {
        self.count(feed);
        let senders = self.senders.read().unwrap_or_else(PoisonError::into_inner);
        let (_, sender) = senders.iter().find(|(known, _)| *known == feed).expect("every feed has a sender");
        // An error says that nobody watches.
        let _ = sender.send(Arc::new(news));
    }

    /// Of a key of which nothing else is told, for tests of who watches.
    #[cfg(test)]
    pub(in crate::serve) fn tell_of(&self, feed: Feed, key: &str) {
        let (key, text) = (key.to_owned(), OnceLock::new());
        let news = News { partition: 0, offset: 0, timestamp_ms: 0, key, value: None, whole_until_ms: None, text };
        self.tell(feed, news);
    }

    /// Ends everybody's watch: what comes next is no continuation.
    pub(super) fn close(&self) {
        *self.senders.write().unwrap_or_else(PoisonError::into_inner) = senders();
        Feed::ALL.into_iter().for_each(|feed| self.count(feed));
    }

    fn count(&self, feed: Feed) {
        for (_, told) in self.told.iter().filter(|(known, _)| *known == feed) {
            told.fetch_add(1, Ordering::AcqRel);
        }
    }
}
