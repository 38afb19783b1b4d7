//! Numbers, byte strings and records in; bytes of a payload out, and back. Numbers are little-endian, lengths 32 bits.
//!
//! Every `take` is total: whatever the bytes are, it gives a value or nothing, and allocates no more than a few times of what
//! is there.

use crate::engine::log::{
    access::{Header, NewRecord},
    commit_log::Policy,
};

/// A length that says that there is no string, and a partition that is the log's choice.
const NONE: u32 = u32::MAX;

/// Reads from the front of a payload; `None` where it is too short or malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// `None` if something is left that nobody asked for.
    pub(super) fn end(self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    /// What is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    fn array<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (taken, rest) = self.rest.split_first_chunk::<LENGTH>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A string, or that there is none.
    pub(super) fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        let length = self.u32()?;
        if length == NONE {
            return Some(None);
        }
        let (taken, rest) = self.rest.split_at_checked(length as usize)?;
        self.rest = rest;
        Some(Some(taken))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        self.optional()?
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }

    pub(super) fn partition(&mut self) -> Option<Option<u32>> {
        let partition = self.u32()?;
        Some((partition != NONE).then_some(partition))
    }

    pub(super) fn policy(&mut self) -> Option<Policy> {
        match (self.u8()?, self.i64()?) {
            (0, 0) => Some(Policy::Keep),
            (1, retention_ms) => Some(Policy::Delete { retention_ms }),
            (2, delete_retention_ms) => Some(Policy::Compact { delete_retention_ms }),
            (3, 0) => Some(Policy::Processed),
            _ => None,
        }
    }

    /// What all records have; headers are handed over one by one.
    pub(super) fn body(&mut self, header: &mut impl FnMut(Header<'a>)) -> Option<Body<'a>> {
        let (timestamp_ms, key, value) = (self.i64()?, self.optional()?, self.optional()?);
        for _ in 0..self.u32()? {
            header((self.text()?, self.optional()?));
        }
        Some(Body { timestamp_ms, key, value })
    }
}

/// What all records have, without headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'a> {
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
}

pub(super) fn put_u32(into: &mut Vec<u8>, value: u32) {
    into.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u64(into: &mut Vec<u8>, value: u64) {
    into.extend_from_slice(&value.to_le_bytes());
}

/// Callers have made sure that it fits into a frame, or find the frame too large afterwards.
pub(super) fn put_string(into: &mut Vec<u8>, value: &[u8]) {
    put_u32(into, value.len() as u32);
    into.extend_from_slice(value);
}

fn put_optional(into: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => put_string(into, value),
        None => put_u32(into, NONE),
    }
}

pub(super) fn put_policy(into: &mut Vec<u8>, policy: Policy) {
    let (tag, parameter) = match policy {
        Policy::Keep => (0, 0),
        Policy::Delete { retention_ms } => (1, retention_ms),
        Policy::Compact { delete_retention_ms } => (2, delete_retention_ms),
        Policy::Processed => (3, 0),
    };
    into.push(tag);
    into.extend_from_slice(&parameter.to_le_bytes());
}

pub(super) fn put_body(into: &mut Vec<u8>, body: Body<'_>, headers: &[Header<'_>]) {
    into.extend_from_slice(&body.timestamp_ms.to_le_bytes());
    put_optional(into, body.key);
    put_optional(into, body.value);
    put_u32(into, headers.len() as u32);
    for (name, value) in headers {
        put_string(into, name.as_bytes());
        put_optional(into, *value);
    }
}

/// Bytes that [`put_body`] takes.
pub(super) fn body_bytes(body: Body<'_>, headers: &[Header<'_>]) -> usize {
    let length = |value: Option<&[u8]>| value.map_or(0, <[u8]>::len);
    let headers: usize = headers.iter().map(|(name, value)| 8 + name.len() + length(*value)).sum();
    20 + length(body.key) + length(body.value) + headers
}

/// Records to append, as they came: checked, not yet taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    count: u32,
    headers: usize,
}

impl<'a> Records<'a> {
    /// All that is left must be records.
    pub(super) fn take(reader: &mut Reader<'a>) -> Option<Self> {
        let count = reader.u32()?;
        let bytes = reader.rest();
        let mut headers = 0;
        for _ in 0..count {
            reader.partition()?;
            reader.body(&mut |_| headers += 1)?;
        }
        Some(Self { bytes, count, headers })
    }

    /// The headers of all records, one after the other: where [`Records::records`] borrows them.
    pub(super) fn headers(&self) -> Vec<Header<'a>> {
        let mut headers = Vec::with_capacity(self.headers);
        let mut reader = Reader::new(self.bytes);
        for _ in 0..self.count {
            let _ = reader.partition();
            let _ = reader.body(&mut |header| headers.push(header));
        }
        headers
    }

    pub(super) fn records(&self, headers: &'a [Header<'a>]) -> Vec<NewRecord<'a>> {
        let mut records = Vec::with_capacity(self.count as usize);
        let mut reader = Reader::new(self.bytes);
        let mut rest = headers;
        for _ in 0..self.count {
            let mut count = 0;
            // They were read once: nothing is missing.
            let Some(partition) = reader.partition() else { break };
            let Some(Body { timestamp_ms, key, value }) = reader.body(&mut |_| count += 1) else { break };
            let Some((headers, others)) = rest.split_at_checked(count) else { break };
            rest = others;
            records.push(NewRecord { partition, timestamp_ms, key, value, headers });
        }
        records
    }

    #[cfg(test)]
    pub(super) fn put(&self, into: &mut Vec<u8>) {
        put_u32(into, self.count);
        into.extend_from_slice(self.bytes);
    }
}

pub(super) fn put_records(into: &mut Vec<u8>, records: &[NewRecord<'_>]) {
    put_u32(into, records.len() as u32);
    for record in records {
        // No topic has so many partitions: the last number stays a mistake, and does not become the log's choice.
        put_u32(into, record.partition.map_or(NONE, |partition| partition.min(NONE - 1)));
        put_body(
            into,
            Body { timestamp_ms: record.timestamp_ms, key: record.key, value: record.value },
            record.headers,
        );
    }
}
