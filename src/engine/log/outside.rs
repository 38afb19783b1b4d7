//! What others than the engine do with a log: departments write to their topics, subscribers read feeds.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::LogError;

/// A committed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedRecord {
    /// The partition that it is in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A record.
    Record(CommittedRecord),
    /// None is at hand; there may be one later.
    Idle,
    /// Everything was read that was committed when the reader was opened, if it was opened to stop there.
    End,
}

/// Where a reader starts and stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// At the oldest record that is kept; otherwise with the next one.
    pub from_beginning: bool,
    /// At what is the last stable offset of each partition when the reader is opened; otherwise never.
    pub until_end: bool,
}

/// Reads all partitions of one topic. Records of a partition come in order; partitions may be interleaved.
pub trait FeedRead {
    /// The next record, waiting up to `wait` for it.
    ///
    /// # Errors
    /// [`LogError::Stop`], with what to do.
    fn next(&mut self, wait: Duration) -> Result<Next, LogError>;
}

/// A topic that is followed, and how far it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Which topic.
    pub topic: String,
    /// The offset to go on from, by partition; a partition that is not named is read from its beginning.
    pub from: BTreeMap<i32, i64>,
}

/// Reads all partitions of several topics, each from where its reader was, and on for ever. Records of a partition come in order.
pub trait Follow: Send {
    /// The next record and the number of its topic in the order asked for, waiting up to `wait` for it; `None`: none is at hand.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] if a position lies beyond its partition's end: the topic was made anew. [`LogError::Rewind`] if it
    /// has more partitions now: follow it again from where you are. [`LogError::Stop`] otherwise, with what to do.
    fn next(&mut self, wait: Duration) -> Result<Option<(usize, CommittedRecord)>, LogError>;

    /// Records, or a few more, that are committed by now and not handed over yet; `None` if nobody says at present.
    ///
    /// # Errors
    /// As [`Follow::next`].
    fn remaining(&mut self) -> Result<Option<u64>, LogError>;

    /// Up to when it is whole, as of [`Follow::remaining`] last: everything was handed over that was committed by then, in each
    /// partition of each topic. `None`: not even what was there when it was opened.
    fn whole_until(&self) -> Option<Instant>;

    /// What tells each topic, in the order asked for, from others that had or will have its name; empty where nobody knows.
    fn identities(&self) -> &[String];

    /// Whether records at or after a position that was asked for were gone when it was opened.
    fn misses_some(&self) -> bool;
}

/// A record for a department's topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpokeRecord<'a> {
    /// Which topic.
    pub topic: &'a str,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None`: it has none, as a replay of a record without one.
    pub payload: Option<&'a [u8]>,
    /// Its timestamp in milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Its headers, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// A record that its topic does not take, however often it is sent: it is larger than the topic allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The how manieth it was of those handed over since the last flush, from 0.
    pub number: usize,
    /// In the log's words.
    pub why: String,
}

/// Writes records to departments' topics as a department would.
pub trait SpokeAppend {
    /// Hands one record over; it may wait in memory for others. Which partition it goes to is the log's to choose, by the
    /// key where there is one.
    ///
    /// # Errors
    /// [`LogError::Stop`]: what was handed over since the last flush may be stored or not; it may be handed over again.
    fn send_record(&mut self, record: &SpokeRecord<'_>) -> Result<(), LogError>;

    /// Hands a record without headers over.
    ///
    /// # Errors
    /// As [`SpokeAppend::send_record`].
    fn send(&mut self, topic: &str, key: Option<&[u8]>, payload: &[u8], timestamp_ms: i64) -> Result<(), LogError> {
        self.send_record(&SpokeRecord { topic, key, payload: Some(payload), timestamp_ms, headers: &[] })
    }

    /// Waits until everything that was handed over is stored.
    ///
    /// # Errors
    /// As [`SpokeAppend::send_record`].
    fn flush(&mut self) -> Result<(), LogError>;

    /// The same; records that do not fit their topics are no error, all others are stored then. Returns those that do not.
    ///
    /// # Errors
    /// As [`SpokeAppend::send_record`].
    fn flush_fitting(&mut self) -> Result<Vec<Unfit>, LogError> {
        self.flush().map(|()| Vec::new())
    }
}

/// Reads single records of departments' topics.
pub trait RecordRead {
    /// The committed record at a position; `None`: it is not there, or not any more.
    ///
    /// # Errors
    /// [`LogError::Stop`], with what to do.
    fn record(&mut self, topic: &str, partition: i32, offset: i64) -> Result<Option<CommittedRecord>, LogError>;
}
