//! Committed records of the feeds in; a local copy of what they hold, which answers questions, out.
//!
//! ```text
//!  feeds ──follow──▶ apply ──▶ table in memory ──flush (seconds, or bytes)──▶ disk: contents and positions, one batch
//!                      │               └──────────── get, list ◀──────────────┘
//!                      └──▶ news: whoever watches a feed
//! ```
//!
//! - [`View`]: the copy. `follow`: the thread that keeps it; `documents`: what of a record is kept; `keys`: under which keys, and
//!   by which indexes it is found; `news`: what was applied, for whoever watches; `progress`: how far it is; `retention`:
//!   what is too old or too much; `shelf`: the table and its folder.
//!
//! It subscribes as any reader does, so any department can have the same. The feeds are the truth: the copy may be removed at
//! any time, and is read again from their beginning. It does so by itself when it has not followed the feeds for as long as they
//! keep deletions (whether it was off, or could not reach them), when a topic was made anew, and when a later version keeps
//! other things. What cannot be written takes nothing more until it can.
//!
//! Bounded: in memory by the cache and by what waits for the next flush; on disk by the compacted feeds themselves, and by the
//! newest [`KEPT_MAX`] records of each of the others, and one confirmation of each erasure beside them; none of them older than its
//! topic keeps it.
//!
//! Nothing is written but the copy, and nobody but `follow` writes it.

mod documents;
mod follow;
mod keys;
mod news;
mod progress;
mod retention;
mod shelf;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

use self::shelf::Shelf;
use crate::{
    engine::{
        log::outside::CommittedRecord,
        store::{DiskError, Identity, Store, StoreError, StoreFolder},
    },
    feeds::{Cleanup, Feed, ReadError, Reader},
    wire::Schemas,
};

pub use follow::{Following, Subscribe};
pub use keys::{Index, Place, beginning_with, feed};
#[cfg(test)]
pub(in crate::serve) use news::Desk as NewsDesk;
pub use news::{News, Watch};
pub use progress::Progress;

/// The version of what is kept and how. Another one is read again from the feeds.
const FORMAT: &str = "view 6";
/// Records that are kept of a feed that is not compacted: the newest ones.
pub const KEPT_MAX: u64 = 10_000;
/// Bytes that may wait in memory for a flush.
const UNFLUSHED_BYTES: usize = 16 << 20;
/// How long they may.
const FLUSH_AFTER: Duration = Duration::from_secs(10);
/// Records that one question may look at before it has to be asked again from there.
const SCANNED_MAX: usize = 20_000;
/// And bytes of them: what a page has in memory, and how long it reads.
const SCANNED_BYTES_MAX: usize = 8 << 20;
/// Records that are in memory at a time where only the last one of a list is wanted.
const LAST_OF: usize = 64;
/// How far the age of the view on disk may be behind the true one, in milliseconds.
const FOLLOWED_EVERY_MS: i64 = 60_000;
/// It has never followed anything.
const NEVER: i64 = i64::MIN;
const TOO_OLD: &str =
    "the view has not followed the feeds for nearly as long as they keep deletions and is read again from them";

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
    /// It could not be written and waits until it can be opened again.
    #[error("the view could not be written; it is opened again as soon as it can be")]
    Away,
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
    shelf: Shelf,
    options: ViewOptions,
    readers: BTreeMap<u8, Reader>,
    progress: Progress,
    news: news::Desk,
    /// Up to when it has everything of the feeds, by the clock.
    followed_ms: AtomicI64,
    followed_on_disk_ms: AtomicI64,
}

impl View {
    /// Opens the copy in a folder, or makes it; one that is of no use any more is begun anew. `now_ms`: the time.
    ///
    /// # Errors
    /// [`ViewError`] if the folder cannot be used.
    pub fn open(path: &Path, options: ViewOptions, now_ms: i64) -> Result<View, ViewError> {
        let mut placement = [0; 16];
        placement[..FORMAT.len()].copy_from_slice(FORMAT.as_bytes());
        let identity = Identity { placement, changelog: options.source.clone() };
        let shelf = match Shelf::open(path, options.cache_bytes, identity.clone()) {
            Err(ViewError::Disk(DiskError::Rebuild { reason, .. })) => {
                tracing::warn!(%reason, "the view is of no use any more and is read again from the feeds");
                StoreFolder::erase(path)?;
                Shelf::open(path, options.cache_bytes, identity)?
            }
            opened => opened?,
        };
        let view = View {
            shelf,
            options,
            readers: Feed::ALL
                .into_iter()
                .filter(|feed| feed.description().encoded)
                .map(|feed| (keys::number(feed), Reader::new(feed)))
                .collect(),
            progress: Progress::default(),
            news: news::Desk::default(),
            followed_ms: AtomicI64::new(NEVER),
            followed_on_disk_ms: AtomicI64::new(NEVER),
        };
        view.recall()?;
        if view.is_too_old(now_ms) {
            tracing::warn!("{TOO_OLD}");
            view.wipe()?;
        }
        Ok(view)
    }

    /// Reads also what other versions of the hub write, by their schemas.
    #[must_use]
    pub fn reading(mut self, schemas: &Arc<Schemas>) -> View {
        let encoded = Feed::ALL.into_iter().filter(|feed| feed.description().encoded);
        let reader = |feed| (keys::number(feed), Reader::with_schemas(feed, Arc::clone(schemas)));
        self.readers = encoded.map(reader).collect();
        self
    }

    /// A schema by which one of these records is written, and which may be here later: nothing of them should be applied before.
    fn lacking(&self, records: &[(Feed, CommittedRecord)]) -> Option<ReadError> {
        let read = |(feed, record): &(Feed, CommittedRecord)| {
            let reader = self.readers.get(&keys::number(*feed))?;
            reader.find_schema(record.value.as_deref()?, &record.headers).err()
        };
        records.iter().filter_map(read).find(|error| matches!(error, ReadError::OtherVersion { may_come: true, .. }))
    }

    /// How far it is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Up to when it has everything that was committed to the feeds, by the clock, in milliseconds since 1970; `None`: it has never
    /// followed them.
    pub fn whole_until_ms(&self) -> Option<i64> {
        Some(self.followed_ms.load(Ordering::Acquire)).filter(|at| *at != NEVER)
    }

    /// A number that is another one whenever something of a feed was applied: what was read before is as it was while it stays.
    pub fn revision(&self, feed: Feed) -> u64 {
        self.news.revision(feed)
    }

    /// What is applied to a feed from now on.
    pub fn watch(&self, feed: Feed) -> Watch {
        // Nothing is applied between the positions and the watch.
        let _applied = self.shelf.read();
        self.news.watch(feed)
    }

    /// Where to go on reading a feed, by partition, and what is applied to it from there on.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be read.
    pub fn watch_from_here(&self, feed: Feed) -> Result<(BTreeMap<i32, i64>, Watch), ViewError> {
        let store = self.shelf.read()?;
        Ok((positions(&store, feed)?, self.news.watch(feed)))
    }

    /// Where to go on reading a feed, by partition.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be read.
    pub fn positions(&self, feed: Feed) -> Result<BTreeMap<i32, i64>, ViewError> {
        let store = self.shelf.read()?;
        positions(&store, feed)
    }

    /// What tells the topic that a feed was read from, from others of its name; empty where nobody knows.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be read.
    pub fn origin(&self, feed: Feed) -> Result<String, ViewError> {
        let found = self.shelf.read()?.get(&keys::origin(feed))?;
        Ok(found.map(|found| String::from_utf8_lossy(&found).into_owned()).unwrap_or_default())
    }

    /// The record at a place.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be read.
    pub fn get(&self, place: &Place) -> Result<Option<Kept>, ViewError> {
        let store = self.shelf.read()?;
        resolve(&store, &place.0)
    }

    /// At most `limit` records of a list that `accept` takes, from `from` on; by an index in its order. Where much was looked at
    /// there may be fewer of them, and still a next place.
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
        let store = self.shelf.read()?;
        let begin = from.filter(|from| span.contains(&from.to_vec())).unwrap_or(&span.start);
        let (mut page, mut scanned, mut bytes, mut failed) = (Page::default(), 0, 0, None);
        store.scan(begin, &span.end, |key, value| {
            if page.records.len() == limit || scanned == SCANNED_MAX || bytes >= SCANNED_BYTES_MAX {
                page.next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            scanned += 1;
            let found = match keys::is_record(key) {
                true => Ok(Some((value.len(), kept(key, value)))),
                false => store.get(value).map(|found| found.map(|found| (found.len(), kept(value, &found)))),
            };
            match found {
                Ok(found) => {
                    let (size, found) = found.unwrap_or_default();
                    bytes += size;
                    page.records.extend(found.filter(|kept| accept(&kept.value)));
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(page), |error| Err(error.into()))
    }

    /// The last record of a list that `accept` takes. All of the list is looked at, a part at a time: for short ones.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be read.
    pub fn last(&self, span: &Range<Vec<u8>>, accept: &dyn Fn(&Value) -> bool) -> Result<Option<Kept>, ViewError> {
        let (mut last, mut from) = (None, None);
        loop {
            let mut page = self.list(span, from.as_deref(), LAST_OF, accept)?;
            last = page.records.pop().or(last);
            from = page.next;
            if from.is_none() {
                return Ok(last);
            }
        }
    }

    /// What a record of a feed tells; `None`: nothing that a hub wrote.
    pub fn news_of(&self, feed: Feed, record: &CommittedRecord) -> Option<News> {
        let value = documents::of(feed, record, self.readers.get(&keys::number(feed))).ok()?;
        Some(news_of(record, value, None))
    }

    /// Whether who has everything of the feeds up to a time, and nothing since, could miss a deletion that they no longer keep.
    pub fn could_miss_a_deletion(&self, whole_until_ms: i64, now_ms: i64) -> bool {
        now_ms.saturating_sub(whole_until_ms) > self.options.deletions_kept_ms / 10 * 9
    }

    /// Leaves nothing in any file that is no longer in the copy, or too old to be there.
    ///
    /// # Errors
    /// [`ViewError`] if it cannot be written; it may be called again.
    pub fn clean_thoroughly(&self, now_ms: i64) -> Result<(), ViewError> {
        // It is looked for that now and then only.
        self.forget_old(now_ms)?;
        self.flush()?;
        self.shelf.clean_thoroughly()
    }

    /// It is about to be followed from its positions. `origins`: as of [`Follow::identities`](crate::engine::log::outside::Follow);
    /// whether they are what it was read from. `now_ms`: the time when the feeds were opened.
    fn begin(&self, origins: &[String], now_ms: i64) -> Result<bool, ViewError> {
        for (feed, origin) in Feed::ALL.into_iter().zip(origins) {
            let known = self.origin(feed)?;
            if !known.is_empty() && !origin.is_empty() && known != *origin {
                return Ok(false);
            }
        }
        let note = |store: &mut Store| {
            for (feed, origin) in Feed::ALL.into_iter().zip(origins).filter(|(_, origin)| !origin.is_empty()) {
                store.put(&keys::origin(feed), origin.as_bytes());
            }
            Ok(())
        };
        self.shelf.change(note, drop)?;
        if self.followed_ms.load(Ordering::Acquire) == NEVER {
            // From the beginning: what was deleted before now is deleted there.
            self.followed_ms.store(now_ms, Ordering::Release);
        }
        Ok(true)
    }

    /// It has everything that was committed by a time.
    fn note_whole(&self, until_ms: i64) {
        self.followed_ms.fetch_max(until_ms, Ordering::AcqRel);
        self.progress.note_complete(true);
    }

    /// Whether it has not followed the feeds for so long that it could miss a deletion.
    fn is_too_old(&self, now_ms: i64) -> bool {
        let followed_ms = self.followed_ms.load(Ordering::Acquire);
        followed_ms != NEVER && self.could_miss_a_deletion(followed_ms, now_ms)
    }

    /// Takes records over, in their order, as one step: who reads sees all of them or none.
    fn apply(&self, records: Vec<(Feed, CommittedRecord)>, now_ms: i64) -> Result<(), ViewError> {
        let change = |store: &mut Store| {
            let mut told = Vec::with_capacity(records.len());
            for (feed, record) in records {
                let news = self.stage(store, feed, &record)?;
                told.extend(news.map(|news| (feed, news)));
            }
            self.take_out_old(store, now_ms)?;
            Ok(told)
        };
        // Under the lock, so that positions and news agree.
        self.shelf.change(change, |told| told.into_iter().for_each(|(feed, news)| self.news.tell(feed, news)))
    }

    /// One record; what it tells.
    fn stage(&self, store: &mut Store, feed: Feed, record: &CommittedRecord) -> Result<Option<News>, ViewError> {
        store.put(&keys::position(feed, record.partition), &(record.offset + 1).to_be_bytes());
        let value = match documents::of(feed, record, self.readers.get(&keys::number(feed))) {
            Ok(value) => value,
            Err(error) => {
                // Somebody else writes to the feed, or another version whose schema is nowhere. What the key held stays.
                tracing::warn!(
                    feed = feed.topic(),
                    partition = record.partition,
                    offset = record.offset,
                    "{error}; {}; then stop the hub and remove the view's folder: until it is read anew it shows what was there before",
                    error.advice()
                );
                return Ok(None);
            }
        };
        let key = match feed.description().cleanup {
            Cleanup::Compact => {
                let Some(key) = keys::of_feed_key(feed, &record.key) else { return Ok(None) };
                key
            }
            Cleanup::Delete if value.is_none() => return Ok(None),
            Cleanup::Delete => retention::next_arrival(store, feed)?,
        };
        remove(store, feed, &key)?;
        if let Some(value) = &value {
            for index in keys::indexes(feed, &key, value) {
                store.put(&index, &key);
            }
            let packed = documents::pack(record.timestamp_ms, value);
            store.put(&key, &packed);
            if feed.description().cleanup == Cleanup::Delete {
                store.put(&keys::age(feed, record.timestamp_ms, &key), &[]);
            }
            retention::confirm(store, feed, (record.timestamp_ms, value), &packed)?;
        }
        // It is noted by who applies, between what is applied: what was committed by then was told before this.
        Ok(Some(news_of(record, value, self.whole_until_ms())))
    }

    /// Takes out what is too old of the feeds that are not compacted, also where nothing comes on them.
    fn forget_old(&self, now_ms: i64) -> Result<(), ViewError> {
        loop {
            let mut is_all = true;
            let change = |store: &mut Store| self.take_out_old(store, now_ms);
            self.shelf.change(change, |all| is_all = all)?;
            if is_all {
                return Ok(());
            }
        }
    }

    /// Takes out what is too old or too much of the feeds that are not compacted, in one step at most so many of each for their
    /// age; whether that was all.
    fn take_out_old(&self, store: &mut Store, now_ms: i64) -> Result<bool, ViewError> {
        let mut is_all = true;
        for feed in Feed::ALL.into_iter().filter(|feed| feed.description().cleanup == Cleanup::Delete) {
            is_all &= retention::forget_older(store, feed, now_ms.saturating_sub(self.options.retention_ms))?;
            retention::forget_more(store, feed)?;
        }
        Ok(is_all)
    }

    /// Whether it is time to write to the disk. `flushed`: when that was done last.
    fn is_due(&self, flushed: Instant) -> Result<bool, ViewError> {
        let store = self.shelf.read()?;
        let waits = store.unflushed_entries() > 0;
        let followed_ms = self.followed_ms.load(Ordering::Acquire);
        let is_older_there =
            followed_ms.saturating_sub(self.followed_on_disk_ms.load(Ordering::Acquire)) >= FOLLOWED_EVERY_MS;
        Ok(store.unflushed_bytes() >= UNFLUSHED_BYTES
            || (waits || followed_ms != NEVER && is_older_there) && flushed.elapsed() >= FLUSH_AFTER)
    }

    /// Writes contents and positions to the disk, in one batch that lasts. Who reads is not held up.
    fn flush(&self) -> Result<(), ViewError> {
        // As of the last batch that was applied, or before it.
        let followed_ms = self.followed_ms.load(Ordering::Acquire);
        let mut last = Vec::new();
        if followed_ms != NEVER {
            last.push((keys::FOLLOWED_AT, followed_ms.to_be_bytes()));
        }
        if self.progress.is_complete() {
            last.push((keys::COMPLETE, 1_i64.to_be_bytes()));
        }
        let written = self.shelf.flush(&last);
        self.progress.note_written(written.is_ok());
        written?;
        self.followed_on_disk_ms.store(followed_ms, Ordering::Release);
        Ok(())
    }

    /// Opens it again after it could not be read or written: as it was flushed last. It is tried whether it can be written now.
    fn reopen(&self) -> Result<(), ViewError> {
        let opened = self.shelf.reopen().and_then(|()| self.recall()).and_then(|()| self.flush());
        self.progress.note_written(opened.is_ok());
        opened
    }

    /// Begins anew. Who watches a feed is told, and comes back.
    fn wipe(&self) -> Result<(), ViewError> {
        self.progress.note_complete(false);
        self.shelf.wipe()?;
        self.news.close();
        self.recall()
    }

    /// What it knows of itself is what the table has of it.
    fn recall(&self) -> Result<(), ViewError> {
        let followed_ms = self.number(keys::FOLLOWED_AT)?.unwrap_or(NEVER);
        self.followed_ms.store(followed_ms, Ordering::Release);
        self.followed_on_disk_ms.store(followed_ms, Ordering::Release);
        self.progress.note_complete(self.number(keys::COMPLETE)?.is_some());
        Ok(())
    }

    fn number(&self, key: &[u8]) -> Result<Option<i64>, ViewError> {
        let value = self.shelf.read()?.get(key)?;
        Ok(value.and_then(|value| value.as_ref().try_into().ok()).map(i64::from_be_bytes))
    }
}

fn news_of(record: &CommittedRecord, value: Option<Value>, whole_until_ms: Option<i64>) -> News {
    News {
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: String::from_utf8_lossy(&record.key).into_owned(),
        value,
        whole_until_ms,
        text: OnceLock::new(),
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

/// Removes a record and what it is found by; whether there was one. An entry that another record has taken over stays.
fn remove(store: &mut Store, feed: Feed, key: &[u8]) -> Result<bool, ViewError> {
    let Some(kept) = resolve(store, key)? else { return Ok(false) };
    for index in keys::indexes(feed, key, &kept.value) {
        if store.get(&index)?.as_deref() == Some(key) {
            store.delete(&index);
        }
    }
    if feed.description().cleanup == Cleanup::Delete {
        store.delete(&keys::age(feed, kept.timestamp_ms, key));
    }
    store.delete(key);
    Ok(true)
}
