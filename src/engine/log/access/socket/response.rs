//! What was answered in; the payload of a frame out, and back.

use std::ops::{ControlFlow, Range};

use super::wire::{Body, Reader, body_bytes, put_body, put_policy, put_string, put_u32, put_u64};
use crate::engine::log::access::{AccessError, Appended, BackupSummary, Header, Record, Status, TopicInfo};

/// Longest text of an error that is sent.
const REASON_BYTES_MAX: usize = 4096;

pub(super) fn put_topics(into: &mut Vec<u8>, topics: &[TopicInfo]) {
    put_u32(into, topics.len() as u32);
    for topic in topics {
        put_string(into, topic.name.as_bytes());
        put_u32(into, topic.partitions);
        put_policy(into, topic.policy);
    }
}

pub(super) fn topics(mut reader: Reader<'_>) -> Option<Vec<TopicInfo>> {
    let mut topics = Vec::new();
    for _ in 0..reader.u32()? {
        let name = reader.text()?.to_owned();
        topics.push(TopicInfo { name, partitions: reader.u32()?, policy: reader.policy()? });
    }
    reader.end()?;
    Some(topics)
}

fn span(reader: &mut Reader<'_>) -> Option<Range<u64>> {
    let span = reader.u64()?..reader.u64()?;
    (span.start <= span.end).then_some(span)
}

fn put_span(into: &mut Vec<u8>, span: &Range<u64>) {
    put_u64(into, span.start);
    put_u64(into, span.end);
}

pub(super) fn put_spans(into: &mut Vec<u8>, spans: &[Range<u64>]) {
    put_u32(into, spans.len() as u32);
    for found in spans {
        put_span(into, found);
    }
}

pub(super) fn spans(mut reader: Reader<'_>) -> Option<Vec<Range<u64>>> {
    let mut spans = Vec::new();
    for _ in 0..reader.u32()? {
        spans.push(span(&mut reader)?);
    }
    reader.end()?;
    Some(spans)
}

/// Records that are being put into an answer.
pub(super) struct Reading {
    /// Where the answer says how far it goes and how many it has.
    start: usize,
    count: u32,
}

/// Bytes of a record besides what [`body_bytes`] counts.
const OFFSET_BYTES: usize = 8;

impl Reading {
    pub(super) fn begin(into: &mut Vec<u8>) -> Self {
        let start = into.len();
        put_u64(into, 0);
        put_u32(into, 0);
        Self { start, count: 0 }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes that the answer has with one more record.
    pub(super) fn bytes_with(&self, into: &[u8], record: &Record<'_>) -> usize {
        into.len() - self.start + OFFSET_BYTES + body_bytes(body(record), record.headers)
    }

    pub(super) fn put(&mut self, into: &mut Vec<u8>, record: &Record<'_>) {
        put_u64(into, record.offset);
        put_body(into, body(record), record.headers);
        self.count += 1;
    }

    pub(super) fn end(self, into: &mut [u8], next: u64) {
        into[self.start..self.start + 8].copy_from_slice(&next.to_le_bytes());
        into[self.start + 8..self.start + 12].copy_from_slice(&self.count.to_le_bytes());
    }
}

fn body<'a>(record: &Record<'a>) -> Body<'a> {
    Body { timestamp_ms: record.timestamp_ms, key: record.key, value: record.value }
}

/// Hands over the records of an answer until `each` breaks; the offset to go on from. `None` if it does not read as records:
/// those before the first bad one were handed over.
pub(super) fn read<'a>(mut reader: Reader<'a>, mut each: impl FnMut(&Record<'_>) -> ControlFlow<()>) -> Option<u64> {
    let (next, count) = (reader.u64()?, reader.u32()?);
    let mut headers: Vec<Header<'a>> = Vec::new();
    for _ in 0..count {
        headers.clear();
        let offset = reader.u64()?;
        let Body { timestamp_ms, key, value } = reader.body(&mut |header| headers.push(header))?;
        if each(&Record { offset, timestamp_ms, key, value, headers: &headers }).is_break() {
            return offset.checked_add(1);
        }
    }
    reader.end()?;
    Some(next)
}

pub(super) fn put_newest(into: &mut Vec<u8>, newest: u64) {
    put_u64(into, newest);
}

pub(super) fn newest(mut reader: Reader<'_>) -> Option<u64> {
    let newest = reader.u64()?;
    reader.end()?;
    Some(newest)
}

pub(super) fn put_appended(into: &mut Vec<u8>, appended: &Appended) {
    put_u64(into, appended.sequence);
    put_u32(into, appended.offsets.len() as u32);
    for (partition, offsets) in &appended.offsets {
        put_u32(into, *partition);
        put_span(into, offsets);
    }
}

pub(super) fn appended(mut reader: Reader<'_>) -> Option<Appended> {
    let sequence = reader.u64()?;
    let mut offsets = Vec::new();
    for _ in 0..reader.u32()? {
        offsets.push((reader.u32()?, span(&mut reader)?));
    }
    reader.end()?;
    Some(Appended { sequence, offsets })
}

pub(super) fn nothing(reader: Reader<'_>) -> Option<()> {
    reader.end()
}

pub(super) fn put_backup(into: &mut Vec<u8>, summary: BackupSummary) {
    put_u64(into, summary.bytes);
    put_u64(into, summary.files);
}

pub(super) fn backup(mut reader: Reader<'_>) -> Option<BackupSummary> {
    let summary = BackupSummary { bytes: reader.u64()?, files: reader.u64()? };
    reader.end()?;
    Some(summary)
}

pub(super) fn put_status(into: &mut Vec<u8>, status: &Status) {
    for number in [status.bytes, status.newest, status.durable] {
        put_u64(into, number);
    }
    into.push(u8::from(status.is_paused));
    put_string(into, status.version.as_bytes());
}

pub(super) fn status(mut reader: Reader<'_>) -> Option<Status> {
    let (bytes, newest, durable) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let is_paused = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let version = reader.text()?.to_owned();
    reader.end()?;
    Some(Status { bytes, newest, durable, is_paused, version })
}

/// Code, two numbers, a text: so that a program that does not know a code can still show the text.
pub(super) fn put_error(into: &mut Vec<u8>, error: &AccessError) {
    let (code, numbers, reason) = match error {
        AccessError::Retry { reason } => (1, [0, 0], reason.as_str()),
        AccessError::Denied { reason } => (2, [0, 0], reason.as_str()),
        AccessError::Mistaken { reason } => (3, [0, 0], reason.as_str()),
        AccessError::Beyond { partition, offset, end } => (4, [*offset, *end], partition.as_str()),
        AccessError::TooLarge { bytes, limit } => (5, [*bytes, *limit], ""),
        AccessError::Unsupported { reason } => (6, [0, 0], reason.as_str()),
        AccessError::Stop { reason } => (7, [0, 0], reason.as_str()),
        AccessError::Gone { reason } => (8, [0, 0], reason.as_str()),
        AccessError::Unsure { reason } => (9, [0, 0], reason.as_str()),
    };
    into.push(code);
    for number in numbers {
        put_u64(into, number);
    }
    let mut length = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(length) {
        length -= 1;
    }
    put_string(into, &reason.as_bytes()[..length]);
}

pub(super) fn error(mut reader: Reader<'_>) -> Option<AccessError> {
    let (code, first, second) = (reader.u8()?, reader.u64()?, reader.u64()?);
    let reason = reader.text()?.to_owned();
    reader.end()?;
    Some(match code {
        1 => AccessError::Retry { reason },
        2 => AccessError::Denied { reason },
        3 => AccessError::Mistaken { reason },
        4 => AccessError::Beyond { partition: reason, offset: first, end: second },
        5 => AccessError::TooLarge { bytes: first, limit: second },
        6 => AccessError::Unsupported { reason },
        7 => AccessError::Stop { reason },
        8 => AccessError::Gone { reason },
        9 => AccessError::Unsure { reason },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::log::commit_log::Policy;

    fn payload(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut into = Vec::new();
        put(&mut into);
        into
    }

    fn check<T: PartialEq + std::fmt::Debug>(
        value: T,
        put: impl FnOnce(&mut Vec<u8>, &T),
        take: impl Fn(Reader<'_>) -> Option<T>,
    ) {
        let bytes = payload(|into| put(into, &value));
        assert_eq!(take(Reader::new(&bytes)), Some(value));
        for length in 0..bytes.len() {
            assert_eq!(take(Reader::new(&bytes[..length])), None, "{length} bytes");
        }
        assert_eq!(take(Reader::new(&[&bytes[..], &[0]].concat())), None);
    }

    #[test]
    fn answers_come_back_and_cut_or_longer_ones_do_not() {
        let policies = [
            Policy::Keep,
            Policy::Delete { retention_ms: 1 },
            Policy::Compact { delete_retention_ms: i64::MAX },
            Policy::Processed,
        ];
        let named = policies.map(|policy| TopicInfo { name: "ä".to_owned(), partitions: 3, policy });
        check(named.to_vec(), |into, value| put_topics(into, value), topics);
        check(vec![0..0, 3..u64::MAX], |into, value| put_spans(into, value), spans);
        check(7, |into, value| put_newest(into, *value), newest);
        check(Appended { sequence: 1, offsets: vec![(0, 2..5), (7, 1..2)] }, put_appended, appended);
        check(BackupSummary { bytes: 1, files: 2 }, |into, value| put_backup(into, *value), backup);
        let is_paused = true;
        check(Status { bytes: 1, newest: 2, durable: 3, is_paused, version: "4".to_owned() }, put_status, status);
    }

    #[test]
    fn errors_demand_the_same_reaction_on_the_other_side() {
        let reason = "why".to_owned();
        let errors = [
            AccessError::Retry { reason: reason.clone() },
            AccessError::Denied { reason: reason.clone() },
            AccessError::Mistaken { reason: reason.clone() },
            AccessError::Beyond { partition: reason.clone(), offset: 1, end: 2 },
            AccessError::TooLarge { bytes: 3, limit: 4 },
            AccessError::Unsupported { reason: reason.clone() },
            AccessError::Stop { reason: reason.clone() },
            AccessError::Gone { reason: reason.clone() },
            AccessError::Unsure { reason },
        ];
        for value in errors {
            check(value, put_error, error);
        }
        let long = AccessError::Stop { reason: "é".repeat(1 << 20) };
        assert!(payload(|into| put_error(into, &long)).len() < 5000);
    }

    #[test]
    fn records_come_back_until_somebody_has_enough() {
        let headers = [("a", Some(&b"1"[..])), ("b", None)];
        let records = [
            Record { offset: 5, timestamp_ms: -1, key: Some(b"k"), value: Some(b"v"), headers: &headers },
            Record { offset: 9, timestamp_ms: 1, key: None, value: None, headers: &[] },
        ];
        let bytes = payload(|into| {
            let mut reading = Reading::begin(into);
            for record in &records {
                let promised = reading.bytes_with(into, record);
                reading.put(into, record);
                assert_eq!(into.len(), promised, "what a record takes is known before");
            }
            reading.end(into, 12);
        });
        let mut found = 0;
        let next = read(Reader::new(&bytes), |record| {
            assert_eq!(*record, records[found]);
            found += 1;
            ControlFlow::Continue(())
        });
        assert_eq!((next, found), (Some(12), 2));
        assert_eq!(read(Reader::new(&bytes), |_| ControlFlow::Break(())), Some(6));
        for length in 0..bytes.len() {
            assert_eq!(read(Reader::new(&bytes[..length]), |_| ControlFlow::Continue(())), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let reader = Reader::new(&bytes);
            let _ = (topics(reader), spans(reader), newest(reader), appended(reader), nothing(reader));
            let _ = (backup(reader), status(reader), error(reader));
            let _ = read(reader, |_| ControlFlow::Continue(()));
        }

        /// Small numbers are where counts and lengths are believed.
        #[test]
        fn small_random_numbers_are_an_answer_or_an_error(bytes in prop::collection::vec(0..4_u8, 0..300)) {
            let reader = Reader::new(&bytes);
            let _ = (topics(reader), spans(reader), appended(reader), status(reader), error(reader));
            let _ = read(reader, |_| ControlFlow::Continue(()));
        }
    }
}
