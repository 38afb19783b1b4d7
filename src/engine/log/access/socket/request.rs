//! What is asked for in; kind and payload of a frame out, and back.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use super::wire::{self, Reader, Records, put_policy, put_string, put_u32, put_u64};
use crate::engine::log::{
    access::{Durability, NewRecord},
    commit_log::Policy,
};

/// The kinds of requests; an answer has the kind of its request and [`ANSWER`].
pub(super) mod kind {
    pub(in super::super) const TOPICS: u8 = 1;
    pub(in super::super) const SPANS: u8 = 2;
    pub(in super::super) const READ: u8 = 3;
    pub(in super::super) const WAIT: u8 = 4;
    pub(in super::super) const APPEND: u8 = 5;
    pub(in super::super) const CREATE: u8 = 6;
    pub(in super::super) const SYNC: u8 = 7;
    pub(in super::super) const BACKUP: u8 = 8;
    pub(in super::super) const STATUS: u8 = 9;
}

/// Added to the kind of a request that was answered.
pub(super) const ANSWER: u8 = 0x80;

/// The kind of an answer that says why there is none. The same in every version.
pub(super) const ERROR: u8 = 0xff;

/// A request, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    Topics,
    Spans { topic: &'a str },
    Read { topic: &'a str, partition: u32, from: u64, bytes_max: u32 },
    Wait { sequence: u64, wait_ms: u32 },
    Append { topic: &'a str, durability: Durability, records: Records<'a> },
    Create { name: &'a str, partitions: u32, policy: Policy },
    Sync,
    Backup { directory: &'a Path },
    Status,
}

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// There is no such kind in this version.
    Kind(u8),
    /// The payload does not belong to its kind.
    Payload(u8),
}

impl<'a> Request<'a> {
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Topics => kind::TOPICS,
            Self::Spans { .. } => kind::SPANS,
            Self::Read { .. } => kind::READ,
            Self::Wait { .. } => kind::WAIT,
            Self::Append { .. } => kind::APPEND,
            Self::Create { .. } => kind::CREATE,
            Self::Sync => kind::SYNC,
            Self::Backup { .. } => kind::BACKUP,
            Self::Status => kind::STATUS,
        }
    }

    pub(super) fn take(kind: u8, payload: &'a [u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader::new(payload);
        let request = match kind {
            kind::TOPICS => Some(Self::Topics),
            kind::SPANS => reader.text().map(|topic| Self::Spans { topic }),
            kind::READ => read(&mut reader),
            kind::WAIT => wait(&mut reader),
            kind::APPEND => append(&mut reader),
            kind::CREATE => create(&mut reader),
            kind::SYNC => Some(Self::Sync),
            kind::BACKUP => reader.string().map(|path| Self::Backup { directory: Path::new(OsStr::from_bytes(path)) }),
            kind::STATUS => Some(Self::Status),
            unknown => return Err(Unreadable::Kind(unknown)),
        };
        let whole = request.filter(|_| reader.end().is_some());
        whole.ok_or(Unreadable::Payload(kind))
    }
}

fn read<'a>(reader: &mut Reader<'a>) -> Option<Request<'a>> {
    let (topic, partition) = (reader.text()?, reader.u32()?);
    Some(Request::Read { topic, partition, from: reader.u64()?, bytes_max: reader.u32()? })
}

fn wait<'a>(reader: &mut Reader<'a>) -> Option<Request<'a>> {
    Some(Request::Wait { sequence: reader.u64()?, wait_ms: reader.u32()? })
}

fn append<'a>(reader: &mut Reader<'a>) -> Option<Request<'a>> {
    let topic = reader.text()?;
    let durability = match reader.u8()? {
        0 => Durability::AsConfigured,
        1 => Durability::Synced,
        _ => return None,
    };
    Some(Request::Append { topic, durability, records: Records::take(reader)? })
}

fn create<'a>(reader: &mut Reader<'a>) -> Option<Request<'a>> {
    Some(Request::Create { name: reader.text()?, partitions: reader.u32()?, policy: reader.policy()? })
}

// What the client puts into a payload. (Kinds that are not here have none.)

pub(super) fn put_topic(into: &mut Vec<u8>, topic: &str) {
    put_string(into, topic.as_bytes());
}

pub(super) fn put_read(into: &mut Vec<u8>, topic: &str, partition: u32, from: u64, bytes_max: u32) {
    put_topic(into, topic);
    put_u32(into, partition);
    put_u64(into, from);
    put_u32(into, bytes_max);
}

pub(super) fn put_wait(into: &mut Vec<u8>, sequence: u64, wait_ms: u32) {
    put_u64(into, sequence);
    put_u32(into, wait_ms);
}

pub(super) fn put_append(into: &mut Vec<u8>, topic: &str, durability: Durability, records: &[NewRecord<'_>]) {
    put_topic(into, topic);
    into.push(durability_tag(durability));
    wire::put_records(into, records);
}

fn durability_tag(durability: Durability) -> u8 {
    match durability {
        Durability::AsConfigured => 0,
        Durability::Synced => 1,
    }
}

pub(super) fn put_create(into: &mut Vec<u8>, name: &str, partitions: u32, policy: Policy) {
    put_topic(into, name);
    put_u32(into, partitions);
    put_policy(into, policy);
}

pub(super) fn put_backup(into: &mut Vec<u8>, directory: &Path) {
    put_string(into, directory.as_os_str().as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The payload of a request that was taken.
    fn put(request: &Request<'_>) -> Vec<u8> {
        let mut into = Vec::new();
        match *request {
            Request::Topics | Request::Sync | Request::Status => {}
            Request::Spans { topic } => put_topic(&mut into, topic),
            Request::Read { topic, partition, from, bytes_max } => {
                put_read(&mut into, topic, partition, from, bytes_max);
            }
            Request::Wait { sequence, wait_ms } => put_wait(&mut into, sequence, wait_ms),
            Request::Append { topic, durability, records } => {
                put_topic(&mut into, topic);
                into.push(durability_tag(durability));
                records.put(&mut into);
            }
            Request::Create { name, partitions, policy } => put_create(&mut into, name, partitions, policy),
            Request::Backup { directory } => put_backup(&mut into, directory),
        }
        into
    }

    /// Payloads of each kind, to be cut and changed.
    fn examples() -> Vec<(u8, Vec<u8>)> {
        let headers = [("trace", Some(&b"1"[..])), ("none", None)];
        let records = [
            NewRecord { partition: Some(3), timestamp_ms: -1, key: Some(b"k"), value: None, headers: &headers },
            NewRecord { partition: None, timestamp_ms: i64::MAX, key: None, value: Some(b""), headers: &[] },
        ];
        let mut append = Vec::new();
        put_append(&mut append, "sales.orders", Durability::Synced, &records);
        let requests = [
            Request::Topics,
            Request::Spans { topic: "a" },
            Request::Read { topic: "b", partition: 1, from: 2, bytes_max: 3 },
            Request::Wait { sequence: 4, wait_ms: 5 },
            Request::Create { name: "c", partitions: 6, policy: Policy::Delete { retention_ms: 7 } },
            Request::Sync,
            Request::Backup { directory: Path::new("/backup") },
            Request::Status,
        ];
        let mut examples: Vec<_> = requests.iter().map(|request| (request.kind(), put(request))).collect();
        examples.push((kind::APPEND, append));
        examples
    }

    #[test]
    fn requests_come_back_and_cut_or_longer_ones_do_not() {
        for (kind, payload) in examples() {
            let request = Request::take(kind, &payload).expect("a request");
            assert_eq!((request.kind(), put(&request)), (kind, payload.clone()));
            for length in 0..payload.len() {
                assert_eq!(Request::take(kind, &payload[..length]), Err(Unreadable::Payload(kind)), "{length} bytes");
            }
            let longer = [&payload[..], &[0]].concat();
            assert_eq!(Request::take(kind, &longer), Err(Unreadable::Payload(kind)));
        }
    }

    #[test]
    fn records_to_append_are_as_they_were_given() {
        let headers = [("a", None), ("b", Some(&b"2"[..]))];
        let records = [
            NewRecord { partition: Some(u32::MAX - 1), headers: &headers, ..NewRecord::default() },
            NewRecord { partition: None, timestamp_ms: 5, key: Some(b""), value: Some(b"v"), headers: &[] },
            NewRecord { headers: &headers[1..], ..NewRecord::default() },
        ];
        let mut payload = Vec::new();
        put_append(&mut payload, "t", Durability::AsConfigured, &records);
        let Ok(Request::Append { records: taken, .. }) = Request::take(kind::APPEND, &payload) else {
            panic!("no append")
        };
        let headers = taken.headers();
        assert_eq!(taken.records(&headers), records);
    }

    proptest! {
        #[test]
        fn random_bytes_are_a_request_or_an_error(kind: u8, payload in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(request) = Request::take(kind, &payload) {
                prop_assert_eq!(put(&request), payload);
            }
        }

        #[test]
        fn changed_requests_are_a_request_or_an_error(
            which in 0..9_usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let (kind, mut payload) = examples().swap_remove(which);
            for (at, byte) in changes {
                if !payload.is_empty() {
                    let at = at.index(payload.len());
                    payload[at] = byte;
                }
            }
            if let Ok(request) = Request::take(kind, &payload) {
                prop_assert_eq!(put(&request), payload.clone());
                if let Request::Append { records, .. } = request {
                    let headers = records.headers();
                    let mut again = Vec::new();
                    wire::put_records(&mut again, &records.records(&headers));
                    prop_assert!(payload.ends_with(&again));
                }
            }
        }
    }
}
