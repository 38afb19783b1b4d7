//! A record of `insight.rejected` in; the dead letter with the department's own record in it out.

use serde_json::{Value, json};

use crate::{
    cli::{exit::Failure, hub},
    engine::log::outside::{CommittedRecord, RecordRead},
    feeds::{self, HEADER_PREFIX, Origin},
    ingest::{Headers, SourceRecord},
    model::EventTime,
};

/// Where the whole of a record lies of which a letter has the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Whole {
    /// Bytes of its value.
    pub bytes: u64,
    /// BLAKE3 of its value in hexadecimal; empty if it has none.
    pub hash: String,
    /// The partition of the source topic.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Letter {
    /// The source topic.
    pub topic: String,
    /// Where and when the source record came first.
    pub origin: Origin,
    /// Which touchpoint of the source record, from 0.
    pub touchpoint: usize,
    /// The department.
    pub spoke: String,
    /// Why, as a word of the closed set.
    pub reason: String,
    /// The field concerned.
    pub field: String,
    /// What to do.
    pub message: String,
    /// When the hub wrote it.
    pub rejected_at: EventTime,
    /// The source record's key.
    pub key: Option<Vec<u8>>,
    /// The source record's value.
    pub value: Option<Vec<u8>>,
    /// The source record's own headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Of a record that is too long for a letter, and cut, where it is whole.
    pub whole: Option<Whole>,
}

impl Letter {
    /// `None`: it is none that a hub wrote.
    pub(in crate::cli) fn read(record: CommittedRecord) -> Option<Letter> {
        let CommittedRecord { timestamp_ms, value, mut headers, .. } = record;
        // Ours come last. Those before may have the same names: the dead letter of another program, sent on.
        let first = format!("{HEADER_PREFIX}topic");
        let ours = headers.split_off(headers.iter().rposition(|(name, _)| *name == first)?);
        let bytes = |field: &str| {
            let found = ours.iter().find(|(name, _)| name.strip_prefix(HEADER_PREFIX) == Some(field));
            found.map(|(_, value)| value.clone())
        };
        let text = |field: &str| bytes(field).and_then(|value| String::from_utf8(value).ok());
        // A hub of an earlier version kept no timestamp: when it was rejected is the nearest that is known.
        let kept = text("timestamp").and_then(|text| text.parse().ok());
        let whole = text("whole_bytes").and_then(|bytes| {
            Some(Whole {
                bytes: bytes.parse().ok()?,
                hash: text("whole_hash")?,
                partition: text("whole_partition")?.parse().ok()?,
                offset: text("whole_offset")?.parse().ok()?,
            })
        });
        Some(Letter {
            topic: text("topic")?,
            origin: Origin {
                partition: text("partition")?.parse().ok()?,
                offset: text("offset")?.parse().ok()?,
                timestamp_ms: kept.unwrap_or(timestamp_ms),
            },
            touchpoint: text("touchpoint")?.parse().ok()?,
            spoke: text("spoke")?,
            reason: text("reason")?,
            field: text("field")?,
            message: text("message")?,
            rejected_at: EventTime(timestamp_ms),
            key: bytes("key"),
            value,
            headers,
            whole,
        })
    }

    /// Whether it has the beginning of its record alone.
    pub(in crate::cli) fn is_cut(&self) -> bool {
        self.whole.is_some()
    }

    /// Makes a letter whole of which the record was cut, from the record in its topic. Says whether it is whole now: the
    /// record may be gone, or another be in its place in a topic that was made anew.
    pub(in crate::cli) fn make_whole(&mut self, records: &mut dyn RecordRead) -> Result<bool, Failure> {
        let Some(Whole { hash, partition, offset, .. }) = &self.whole else { return Ok(true) };
        let found = records.record(&self.topic, *partition, *offset);
        let Some(record) = found.map_err(|error| hub::log_failure(&error))? else { return Ok(false) };
        let found = record.value.as_deref().map(|value| blake3::hash(value).to_hex().to_string());
        if found.unwrap_or_default() != *hash {
            return Ok(false);
        }
        self.key = self.key.is_some().then_some(record.key);
        (self.value, self.headers, self.whole) = (record.value, record.headers, None);
        Ok(true)
    }

    /// `topic|partition|offset`.
    pub(in crate::cli) fn position(&self) -> String {
        feeds::position(&self.topic, self.origin.partition, self.origin.offset)
    }

    /// The source record as it came.
    pub(in crate::cli) fn source<'a>(&'a self, headers: &'a dyn Headers) -> SourceRecord<'a> {
        SourceRecord {
            topic: &self.topic,
            partition: self.origin.partition,
            offset: self.origin.offset,
            timestamp_ms: self.origin.timestamp_ms,
            key: self.key.as_deref(),
            payload: self.value.as_deref(),
            headers,
        }
    }

    /// What it says, without anything of the department's record.
    pub(in crate::cli) fn as_json(&self) -> Value {
        json!({
            "position": self.position(),
            "topic": self.topic,
            "partition": self.origin.partition,
            "offset": self.origin.offset,
            "timestamp": time(self.origin.timestamp_ms),
            "touchpoint": self.touchpoint,
            "spoke": self.spoke,
            "reason": self.reason,
            "field": self.field,
            "message": self.message,
            "rejected_at": self.rejected_at.to_string(),
            "cut": self.whole.as_ref().map(|whole| {
                json!({
                    "whole_bytes": whole.bytes,
                    "whole_hash": whole.hash,
                    "partition": whole.partition,
                    "offset": whole.offset,
                })
            }),
        })
    }
}

/// RFC 3339, if there is a time.
pub(super) fn time(timestamp_ms: i64) -> Option<String> {
    (timestamp_ms >= 0 && EventTime(timestamp_ms).is_supported()).then(|| EventTime(timestamp_ms).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{feeds::DeadLetter, model::Reason};

    fn written(own: &[(&str, &str)], key: Option<&[u8]>) -> CommittedRecord {
        let letter = DeadLetter {
            topic: "sales.events",
            partition: 3,
            offset: 42,
            timestamp_ms: 1_769_850_000_000,
            touchpoint: 2,
            spoke: "sales",
            reason: Reason::BadTimestamp,
            field: "at",
            message: "send a time",
            source_key: key,
        };
        let mut headers: Vec<(String, Vec<u8>)> =
            own.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        letter.headers(|name, value| headers.push((name.to_owned(), value.to_vec())));
        CommittedRecord {
            partition: 0,
            offset: 7,
            timestamp_ms: 1_769_850_001_000,
            key: letter.key().into_bytes(),
            value: Some(b"{}".to_vec()),
            headers,
        }
    }

    #[test]
    fn what_the_hub_writes_is_read_back_whole() {
        let own = [("trace", "1"), ("__streams.errors.topic", "another"), ("__streams.errors.key", "no")];
        let letter = Letter::read(written(&own, None)).expect("a dead letter");
        assert_eq!(letter.position(), "sales.events|3|42");
        assert_eq!(letter.origin.timestamp_ms, 1_769_850_000_000);
        assert_eq!((letter.touchpoint, letter.reason.as_str(), letter.field.as_str()), (2, "bad_timestamp", "at"));
        assert_eq!(letter.rejected_at, EventTime(1_769_850_001_000));
        assert_eq!((letter.key, letter.value), (None, Some(b"{}".to_vec())));
        assert_eq!(letter.headers.len(), 3, "the department's own stay");
        assert_eq!(Letter::read(written(&[], Some(b""))).expect("a dead letter").key, Some(Vec::new()));
    }

    #[test]
    fn a_letter_of_an_earlier_hub_has_the_time_of_its_rejection() {
        let mut record = written(&[], None);
        record.headers.retain(|(name, _)| name != "__streams.errors.timestamp");
        assert_eq!(Letter::read(record).expect("a dead letter").origin.timestamp_ms, 1_769_850_001_000);
    }

    #[test]
    fn what_no_hub_wrote_is_none() {
        let mut record = written(&[], None);
        record.headers.retain(|(name, _)| name != "__streams.errors.offset");
        assert_eq!(Letter::read(record), None);
        let mut record = written(&[], None);
        record.headers.clear();
        assert_eq!(Letter::read(record), None);
    }
}
