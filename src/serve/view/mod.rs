//! Committed records of the feeds in; a local copy of what they hold, which answers questions, out.
//!
//! ```text
//!  feeds ──follow──▶ apply ──▶ table in memory ──flush (seconds, or bytes)──▶ disk: contents and positions, one batch
//!                      │               └──────────── get, list ◀──────────────┘
//!                      └──▶ news: whoever watches a feed
//! ```
//!
//! - [`View`]: the copy. `follow`: the thread that keeps it; `documents`: what of a record is kept; `keys`: under which keys, and
//!   by which indexes it is found; `news`: what was applied, for whoever watches; `progress`: how far it is.
//!
//! It subscribes as any reader does, so any department can have the same. The feeds are the truth: the copy may be removed at
//! any time, and is read again from their beginning. It does so by itself when it was away for longer than the feeds keep
//! deletions, when a topic was made anew, and when a later version keeps other things.
//!
//! Bounded: in memory by the cache and by what waits for the next flush; on disk by the compacted feeds themselves, and by the
//! newest [`KEPT_MAX`] records of each of the others, none of them older than its topic keeps it.
//!
//! Nothing is written but the copy, and nobody but `follow` writes it.

mod documents;
mod follow;
mod keys;
mod news;
mod progress;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    path::Path,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    engine::{
        log::outside::CommittedRecord,
        store::{DiskError, FjallDisk, Identity, Store, StoreError, StoreFolder},
    },
    feeds::{Cleanup, Feed, Reader},
};

pub use follow::{Following, Subscribe};
pub use keys::{Index, Place, feed};
pub use news::{News, Watch};
pub use progress::Progress;

/// The version of what is kept and how. Another one is read again from the feeds.
const FORMAT: &str = "view 1";
/// The tree in the folder.
const TREE: &str = "view";
/// Records that are kept of a feed that is not compacted: the newest ones.
pub const KEPT_MAX: u64 = 10_000;
/// Bytes that may wait in memory for a flush.
const UNFLUSHED_BYTES: usize = 16 << 20;
/// How long they may.
const FLUSH_AFTER: Duration = Duration::from_secs(10);
/// Records that one question may look at before it has to be asked again from there.
const SCANNED_MAX: usize = 20_000;

/// How a copy is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewOptions {
    /// Bytes of the cache of what lies on disk.
    pub cache_bytes: u64,
    /// What tells its feeds from others: cluster, prefix. Another source is read from its beginning.
    pub source: String,
    /// How long the feeds keep deletions, in milliseconds: a copy that was away for longer could miss one.
    pub deletions_kept_ms: i64,
    /// How long records of feeds that are not compacted are kept, in milliseconds.
    pub retention_ms: i64,
}

/// The copy cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Of its folder or its tree.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Of its table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A record of the copy.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its key on the feed; `None` of feeds that are not compacted.
    pub key: Option<String>,
    /// The record's timestamp in milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Its document.
    pub value: Value,
}

/// Some records of a list, and where it goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The records.
    pub records: Vec<Kept>,
    /// The place of the first one that was not looked at; `None`: there is none.
    pub next: Option<Vec<u8>>,
}

/// A local copy of the feeds.
pub struct View {
    store: RwLock<Store>,
    folder: StoreFolder,
    options: ViewOptions,
    readers: BTreeMap<u8, Reader>,
    progress: Progress,
    news: news::Desk,
}

impl View {
    /// Opens the copy in a folder, or makes it; one that is of no use any more is begun anew. `now_ms`: the time.
    ///
    /// # Errors
    /// [`ViewError`] if the folder cannot be used.
    pub fn open(path: &Path, options: ViewOptions, now_ms: i64) -> Result<View, ViewError> {
        let opened = View::open_once(path, &options);
        let view = match opened {
            Err(ViewError::Disk(DiskError::Rebuild { reason, .. })) => {
                tracing::warn!(%reason, "the view is of no use any more and is read again from the feeds");
                StoreFolder::erase(path)?;
                View::open_once(path, &options)?
            }
            opened => opened?,
        };
        let is_too_old = |written_ms: i64| now_ms - written_ms > options.deletions_kept_ms / 10 * 9;
        if view.number(keys::WRITTEN_AT)?.is_some_and(is_too_old) {
            tracing::warn!("the view was away for longer than the feeds keep deletions and is read again from them");
            view.wipe()?;
        }
        view.progress.note_complete(view.number(keys::COMPLETE)?.is_some());
        Ok(view)
    }

    fn open_once(path: &Path, options: &ViewOptions) -> Result<View, ViewError> {
        let folder = StoreFolder::open(path, options.cache_bytes)?;
        let mut placement = [0; 16];
        placement[..FORMAT.len()].copy_from_slice(FORMAT.as_bytes());
        let disk = FjallDisk::open(&folder, TREE, Identity { placement, changelog: options.source.clone() })?;
        Ok(View {
            store: RwLock::new(Store::new(Box::new(disk))),
            folder,
            options: options.clone(),
            readers: Feed::ALL
                .into_iter()
                .filter(|feed| feed.description().encoded)
                .map(|feed| (keys::number(feed), Reader::new(feed)))
                .collect(),
            progress: Progress::default(),
            news: news::Desk::default(),
        })
    }

    /// How far it is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// What is applied to a feed from now on.
    pub fn watch(&self, feed: Feed) -> Watch {
        // Nothing is applied between the positions and the watch.
        let _applied = self.read();
        self.news.watch(feed)
    }

    /// Where to go on reading a feed, by partition, and what is applied to it from there on.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be read.
    pub fn watch_from_here(&self, feed: Feed) -> Result<(BTreeMap<i32, i64>, Watch), ViewError> {
        let store = self.read();
        Ok((positions(&store, feed)?, self.news.watch(feed)))
    }

    /// Where to go on reading a feed, by partition.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be read.
    pub fn positions(&self, feed: Feed) -> Result<BTreeMap<i32, i64>, ViewError> {
        positions(&self.read(), feed)
    }

    /// The record at a place.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be read.
    pub fn get(&self, place: &Place) -> Result<Option<Kept>, ViewError> {
        resolve(&self.read(), &place.0)
    }

    /// At most `limit` records of a list that `accept` takes, from `from` on; by an index in its order.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be read.
    pub fn list(
        &self,
        span: &Range<Vec<u8>>,
        from: Option<&[u8]>,
        limit: usize,
        accept: &dyn Fn(&Value) -> bool,
    ) -> Result<Page, ViewError> {
        let store = self.read();
        let begin = from.filter(|from| span.contains(&from.to_vec())).unwrap_or(&span.start);
        let (mut page, mut scanned, mut failed) = (Page::default(), 0, None);
        store.scan(begin, &span.end, |key, value| {
            if page.records.len() == limit || scanned == SCANNED_MAX {
                page.next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            scanned += 1;
            let found = match keys::is_record(key) {
                true => Ok(kept(key, value)),
                false => resolve(&store, value),
            };
            match found {
                Ok(Some(kept)) if accept(&kept.value) => page.records.push(kept),
                Ok(_) => {}
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        failed.map_or(Ok(page), Err)
    }

    /// What a record of a feed tells; `None`: nothing that a hub wrote.
    pub fn news_of(&self, feed: Feed, record: &CommittedRecord) -> Option<News> {
        let value = documents::of(feed, record, self.readers.get(&keys::number(feed))).ok()?;
        Some(news_of(record, value))
    }

    /// Leaves nothing in any file that is no longer in the copy.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be written; it may be called again.
    pub fn clean_thoroughly(&self, now_ms: i64) -> Result<(), ViewError> {
        self.flush(now_ms)?;
        Ok(self.folder.clean_thoroughly()?)
    }

    /// Takes records over, in their order, as one step: who reads sees all of them or none.
    fn apply(&self, records: Vec<(Feed, CommittedRecord)>, now_ms: i64) -> Result<(), ViewError> {
        let mut store = self.write();
        let mut told = Vec::with_capacity(records.len());
        for (feed, record) in records {
            match self.stage(&mut store, feed, &record) {
                Ok(news) => told.extend(news.map(|news| (feed, news))),
                Err(error) => {
                    store.rollback();
                    return Err(error);
                }
            }
        }
        if let Err(error) = self.forget_old(&mut store, now_ms) {
            store.rollback();
            return Err(error);
        }
        store.commit();
        // Under the lock, so that positions and news agree.
        told.into_iter().for_each(|(feed, news)| self.news.tell(feed, news));
        Ok(())
    }

    /// One record; what it tells.
    fn stage(&self, store: &mut Store, feed: Feed, record: &CommittedRecord) -> Result<Option<News>, ViewError> {
        store.put(&keys::position(feed, record.partition), &(record.offset + 1).to_be_bytes());
        let value = match documents::of(feed, record, self.readers.get(&keys::number(feed))) {
            Ok(value) => value,
            Err(error) => {
                // Somebody else writes to the feed. What the key held stays.
                tracing::warn!(feed = feed.topic(), partition = record.partition, offset = record.offset, "{error}");
                return Ok(None);
            }
        };
        let key = match feed.description().cleanup {
            Cleanup::Compact => {
                let Some(key) = keys::of_feed_key(feed, &record.key) else { return Ok(None) };
                key
            }
            Cleanup::Delete if value.is_none() => return Ok(None),
            Cleanup::Delete => next_arrival(store, feed)?,
        };
        remove(store, feed, &key)?;
        if let Some(value) = &value {
            for index in keys::indexes(feed, &key, value) {
                store.put(&index, &key);
            }
            store.put(&key, &documents::pack(record.timestamp_ms, value));
        }
        Ok(Some(news_of(record, value)))
    }

    /// Takes out what is too old or too much of the feeds that are not compacted.
    fn forget_old(&self, store: &mut Store, now_ms: i64) -> Result<(), ViewError> {
        for feed in Feed::ALL.into_iter().filter(|feed| feed.description().cleanup == Cleanup::Delete) {
            let (first, next) = arrivals(store, feed)?;
            let mut oldest = first;
            while oldest < next {
                let key = keys::arrival(feed, oldest);
                let is_old = |kept: &Kept| kept.timestamp_ms < now_ms - self.options.retention_ms;
                if next - oldest <= KEPT_MAX && !resolve(store, &key)?.as_ref().is_none_or(is_old) {
                    break;
                }
                remove(store, feed, &key)?;
                oldest += 1;
            }
            if oldest != first {
                store.put(&keys::arrivals(feed), &[oldest.to_be_bytes(), next.to_be_bytes()].concat());
            }
        }
        Ok(())
    }

    /// Whether it is time to write to the disk.
    fn is_due(&self, flushed: Instant) -> bool {
        let store = self.read();
        store.unflushed_bytes() >= UNFLUSHED_BYTES || store.unflushed_entries() > 0 && flushed.elapsed() >= FLUSH_AFTER
    }

    /// Writes contents and positions to the disk, in one batch that lasts.
    fn flush(&self, now_ms: i64) -> Result<(), ViewError> {
        let mut store = self.write();
        store.put(keys::WRITTEN_AT, &now_ms.to_be_bytes());
        if self.progress.is_complete() {
            store.put(keys::COMPLETE, &1_i64.to_be_bytes());
        }
        store.commit();
        let batch = store.position().unwrap_or_default() + 1;
        Ok(store.flush(batch)?)
    }

    /// Begins anew.
    fn wipe(&self) -> Result<(), ViewError> {
        self.write().wipe()?;
        self.progress.note_complete(false);
        Ok(())
    }

    fn number(&self, key: &[u8]) -> Result<Option<i64>, ViewError> {
        let value = self.read().get(key)?;
        Ok(value.and_then(|value| value.as_ref().try_into().ok()).map(i64::from_be_bytes))
    }

    fn read(&self) -> RwLockReadGuard<'_, Store> {
        // Whoever panicked while writing had not committed, and `follow` ended with it.
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Store> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn news_of(record: &CommittedRecord, value: Option<Value>) -> News {
    News {
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: String::from_utf8_lossy(&record.key).into_owned(),
        value,
    }
}

/// The record that a key of a record names.
fn resolve(store: &Store, key: &[u8]) -> Result<Option<Kept>, ViewError> {
    Ok(store.get(key)?.and_then(|value| kept(key, &value)))
}

fn kept(key: &[u8], value: &[u8]) -> Option<Kept> {
    documents::unpack(value).map(|kept| Kept { key: keys::feed_key(key), ..kept })
}

fn positions(store: &Store, feed: Feed) -> Result<BTreeMap<i32, i64>, ViewError> {
    let mut found = BTreeMap::new();
    store.scan_prefix(&keys::positions(feed), |key, value| {
        found.extend(keys::partition(key).zip(value.try_into().ok().map(i64::from_be_bytes)));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Removes a record and what it is found by. An entry that another record has taken over stays.
fn remove(store: &mut Store, feed: Feed, key: &[u8]) -> Result<(), ViewError> {
    let Some(kept) = resolve(store, key)? else { return Ok(()) };
    for index in keys::indexes(feed, key, &kept.value) {
        if store.get(&index)?.as_deref() == Some(key) {
            store.delete(&index);
        }
    }
    store.delete(key);
    Ok(())
}

/// The numbers of the first record that is kept and of the next one.
fn arrivals(store: &Store, feed: Feed) -> Result<(u64, u64), ViewError> {
    let value = store.get(&keys::arrivals(feed))?;
    let number = |range: Range<usize>| {
        let bytes = value.as_deref().and_then(|value| value.get(range));
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
    };
    Ok((number(0..8), number(8..16)))
}

/// The key of a feed's next record, by which the newest come first.
fn next_arrival(store: &mut Store, feed: Feed) -> Result<Vec<u8>, ViewError> {
    let (first, next) = arrivals(store, feed)?;
    store.put(&keys::arrivals(feed), &[first.to_be_bytes(), (next + 1).to_be_bytes()].concat());
    Ok(keys::arrival(feed, next))
}
