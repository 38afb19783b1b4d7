//! `insight.rejected`: why a source record could not be taken in, its key and headers out.
//!
//! A dead letter is the source record itself: the same value, byte for byte, and the same headers, in front of ours. So
//! it can be read with the department's own tools and sent again after a repair. It carries none of a feed's headers
//! (content type, CloudEvents): the source's own stay true. Ours follow KIP-1034 where it has a word.

use super::replay;
use crate::model::Reason;

/// What the name of every header that the hub adds starts with.
pub const HEADER_PREFIX: &str = "__streams.errors.";

/// Dead letters of one record: each holds all of it, so more of them would say little and take much. What is rejected
/// beyond is counted and told to the operator, and replayed with the others.
pub const LETTERS_OF_A_RECORD_MAX: usize = 8;

/// What the hub says about a rejected source record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// The source topic.
    pub topic: &'a str,
    /// The source partition.
    pub partition: i32,
    /// The source offset.
    pub offset: i64,
    /// The source record's timestamp: milliseconds since 1970-01-01T00:00:00Z; negative if it had none.
    pub timestamp_ms: i64,
    /// Which touchpoint of the source record, counted from 0.
    pub touchpoint: u32,
    /// The department.
    pub spoke: &'a str,
    /// Why.
    pub reason: Reason,
    /// The field concerned; empty if it is the whole record.
    pub field: &'a str,
    /// A sentence that says what happened and what to do.
    pub message: &'a str,
    /// The source record's key.
    pub source_key: Option<&'a [u8]>,
}

impl DeadLetter<'_> {
    /// The key on the feed: the source position, `topic|partition|offset`.
    pub fn key(&self) -> String {
        replay::position(self.topic, self.partition, self.offset)
    }

    /// The headers to add after the source record's own, in the order of `schemas/rejected.avsc`: numbers in decimal
    /// text, the source's key as it was.
    pub fn headers(&self, mut each: impl FnMut(&'static str, &[u8])) {
        each("__streams.errors.topic", self.topic.as_bytes());
        each("__streams.errors.partition", self.partition.to_string().as_bytes());
        each("__streams.errors.offset", self.offset.to_string().as_bytes());
        each("__streams.errors.timestamp", self.timestamp_ms.to_string().as_bytes());
        each("__streams.errors.touchpoint", self.touchpoint.to_string().as_bytes());
        each("__streams.errors.spoke", self.spoke.as_bytes());
        each("__streams.errors.reason", self.reason.as_str().as_bytes());
        each("__streams.errors.field", self.field.as_bytes());
        each("__streams.errors.message", self.message.as_bytes());
        if let Some(key) = self.source_key {
            each("__streams.errors.key", key);
        }
    }
}
