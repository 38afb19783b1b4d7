//! What was applied to the view in; the same for whoever watches a feed out. Who does not keep up is told so, and holds nothing up.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::broadcast;

use crate::feeds::Feed;

/// Records of a feed that a watcher may be behind. They are shared by all who watch it.
const BEHIND_MAX: usize = 1_024;

/// A record that was applied.
#[derive(Clone, Debug, PartialEq)]
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
pub(super) struct Desk(Vec<(Feed, broadcast::Sender<Arc<News>>)>);

impl Default for Desk {
    fn default() -> Desk {
        Desk(Feed::ALL.into_iter().map(|feed| (feed, broadcast::channel(BEHIND_MAX).0)).collect())
    }
}

impl Desk {
    fn of(&self, feed: Feed) -> &broadcast::Sender<Arc<News>> {
        let found = self.0.iter().find(|(known, _)| *known == feed);
        &found.expect("every feed has a sender").1
    }

    pub(super) fn watch(&self, feed: Feed) -> Watch {
        Watch(self.of(feed).subscribe())
    }

    pub(super) fn tell(&self, feed: Feed, news: News) {
        // An error says that nobody watches.
        let _ = self.of(feed).send(Arc::new(news));
    }
}
