//! Records in; the bytes of a block out, and back.
//!
//! A record is: flags (1 key, 2 value, 4 headers), offset delta, timestamp (zigzag), then what the flags say: key, value, and
//! headers as a count and pairs of name and value (length + 1; 0 is none).

use std::fmt;

use super::codec::{Reader, put_string, put_varint, put_zigzag};

const HAS_KEY: u8 = 1;
const HAS_VALUE: u8 = 2;
const HAS_HEADERS: u8 = 4;

/// A partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's id, which [`super::CommitLog::create_topic`] returns.
    pub topic: u32,
    /// Which partition, from 0.
    pub partition: u32,
}

impl TopicPartition {
    /// Topic, then partition, as every payload has them.
    pub(crate) fn bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.topic.to_le_bytes());
        bytes[4..].copy_from_slice(&self.partition.to_le_bytes());
        bytes
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { topic: reader.u32()?, partition: reader.u32()? })
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "partition {} of topic {}", self.partition, self.topic)
    }
}

/// A record to append.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// A record as it was read, borrowed from the bytes of its block.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// At which offset of its partition.
    pub offset: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    headers: Reader<'a>,
    headers_count: u64,
}

impl<'a> Record<'a> {
    /// Its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let mut reader = self.headers;
        (0..self.headers_count).map_while(move |_| header(&mut reader))
    }
}

fn header<'a>(reader: &mut Reader<'a>) -> Option<(&'a str, Option<&'a [u8]>)> {
    let name = reader.text()?;
    let value = match reader.varint()? {
        0 => None,
        length => Some(reader.bytes(usize::try_from(length - 1).ok()?)?),
    };
    Some((name, value))
}

/// Appends a record to the bytes of a block.
pub(crate) fn put(into: &mut Vec<u8>, delta: u32, record: &NewRecord<'_>) {
    let mut flags = 0;
    for (flag, is_set) in [
        (HAS_KEY, record.key.is_some()),
        (HAS_VALUE, record.value.is_some()),
        (HAS_HEADERS, !record.headers.is_empty()),
    ] {
        flags |= if is_set { flag } else { 0 };
    }
    into.push(flags);
    put_varint(into, u64::from(delta));
    put_zigzag(into, record.timestamp_ms);
    for part in [record.key, record.value].into_iter().flatten() {
        put_string(into, part);
    }
    if !record.headers.is_empty() {
        put_varint(into, record.headers.len() as u64);
        for (name, value) in record.headers {
            put_string(into, name.as_bytes());
            put_varint(into, value.map_or(0, |value| value.len() as u64 + 1));
            into.extend_from_slice(value.unwrap_or_default());
        }
    }
}

/// Offset and timestamp of the next record, without reading the rest of it.
pub(crate) fn peek(reader: &mut Reader<'_>, base: u64) -> Option<(u64, i64)> {
    reader.u8()?;
    Some((base.checked_add(reader.varint()?)?, reader.zigzag()?))
}

/// Takes the next record off the bytes of a block whose first offset is `base`.
pub(crate) fn take<'a>(reader: &mut Reader<'a>, base: u64) -> Option<Record<'a>> {
    let flags = reader.u8()?;
    let offset = base.checked_add(reader.varint()?)?;
    let timestamp_ms = reader.zigzag()?;
    let key = if flags & HAS_KEY == 0 { None } else { Some(reader.string()?) };
    let value = if flags & HAS_VALUE == 0 { None } else { Some(reader.string()?) };
    let headers_count = if flags & HAS_HEADERS == 0 { 0 } else { reader.varint()? };
    let headers = *reader;
    for _ in 0..headers_count {
        header(reader)?;
    }
    Some(Record { offset, timestamp_ms, key, value, headers, headers_count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_cut_ones_do_not() {
        let headers = [("a", Some(&b"1"[..])), ("none", None), ("empty", Some(&b""[..]))];
        let records = [
            NewRecord { timestamp_ms: -5, key: Some(b"k"), value: Some(b"v"), headers: &headers },
            NewRecord { timestamp_ms: 1 << 41, key: Some(b""), value: None, headers: &[] },
            NewRecord::default(),
        ];
        for record in records {
            let mut bytes = Vec::new();
            put(&mut bytes, 300, &record);
            let found = take(&mut Reader::new(&bytes), 1000).expect("a whole record");
            assert_eq!((found.offset, found.timestamp_ms), (1300, record.timestamp_ms));
            assert_eq!((found.key, found.value), (record.key, record.value));
            assert_eq!(found.headers().collect::<Vec<_>>(), record.headers);
            for length in 0..bytes.len() {
                assert!(take(&mut Reader::new(&bytes[..length]), 0).is_none(), "{length} bytes");
            }
        }
    }
}
