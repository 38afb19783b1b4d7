//! `insight.rejected`: why a source record could not be taken in, its key and headers out.
//!
//! A dead letter is the source record itself: the same value, byte for byte, and the same headers, in front of ours. So
//! it can be read with the department's own tools and sent again after a repair. It carries none of a feed's headers
//! (content type, CloudEvents): the source's own stay true. Ours follow KIP-1034 where it has a word.
//!
//! A record that would make a letter too long for a topic is cut: its beginning, how long it is, its hash, and where the
//! whole of it lies.

use super::replay::{self, Origin};
use crate::model::Reason;

/// Bytes of a dead letter, key, value and headers together. With what a log adds it fits a topic of the broker's defaults
/// (`max.message.bytes` of 1,048,588), also where what is compressed becomes longer: a letter that the broker refuses would be
/// written again for ever.
pub const LETTER_BYTES_MAX: usize = 1_000_000;

/// Of a record that is cut, bytes that stay of its value, of its key, of its headers, and of those that say what was replayed.
pub const CUT_BYTES: usize = 64 << 10;
const _: () = assert!(4 * CUT_BYTES < LETTER_BYTES_MAX / 2, "what is cut fits, with what the hub says of it");
/// What a log adds to a header, at most.
const HEADER_BYTES: usize = 12;

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

/// A source record as it lies in its topic, but for its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enclosed<'a> {
    /// The partition that it lies in: of a replay not that where it came first.
    pub partition: i32,
    /// The offset that it lies at.
    pub offset: i64,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its own headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Value and headers of a dead letter.
pub type Contents<'a> = (Option<&'a [u8]>, Vec<(String, Vec<u8>)>);

impl DeadLetter<'_> {
    /// The letter about a record: the whole of it, if that is not too long.
    pub fn enclose<'a>(&self, record: Enclosed<'a>) -> Contents<'a> {
        let Enclosed { partition, offset, value, mut headers } = record;
        let own = headers.len();
        self.headers(|name, value| headers.push((name.to_owned(), value.to_vec())));
        let value_bytes = value.map_or(0, <[u8]>::len);
        let bytes = headers.iter().map(taken_by).sum::<usize>();
        if self.key().len() + value_bytes + bytes <= LETTER_BYTES_MAX {
            return (value, headers);
        }
        let mut ours = headers.split_off(own);
        let (mut room, mut room_of_origin) = (CUT_BYTES, CUT_BYTES);
        headers.retain(|header| {
            // They say that it is a replay, and of what.
            let room = if Origin::is_header(&header.0) { &mut room_of_origin } else { &mut room };
            let left = room.checked_sub(taken_by(header));
            *room = left.unwrap_or(*room);
            left.is_some()
        });
        for (_, value) in &mut ours {
            value.truncate(CUT_BYTES);
        }
        headers.extend(ours);
        let hash = value.map(|value| blake3::hash(value).to_hex().to_string());
        let whole = [
            ("whole_bytes", value_bytes.to_string()),
            ("whole_hash", hash.unwrap_or_default()),
            ("whole_partition", partition.to_string()),
            ("whole_offset", offset.to_string()),
        ];
        headers.extend(whole.map(|(field, text)| (format!("{HEADER_PREFIX}{field}"), text.into_bytes())));
        (value.map(beginning), headers)
    }

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

/// What a header takes of a letter: logs add the lengths of its name and value, and brokers take a bound without compression.
fn taken_by((name, value): &(String, Vec<u8>)) -> usize {
    name.len() + value.len() + HEADER_BYTES
}

/// The first bytes of a value, of text whole characters.
fn beginning(value: &[u8]) -> &[u8] {
    let kept = &value[..value.len().min(CUT_BYTES)];
    match std::str::from_utf8(kept) {
        Err(error) if error.error_len().is_none() && kept.len() < value.len() => &kept[..error.valid_up_to()],
        _ => kept,
    }
}
