//! The headers of a record that was handed back to its topic in; where and when it came first out.
//!
//! A dead letter that is replayed goes to the end of its department's topic as a new record. Two headers keep what it was:
//! its first position, so that an id made from the position stays the same and it counts once however often it is replayed,
//! and its first timestamp, so that "too far in the future" is judged as it was. The new record's own timestamp is the
//! time of the replay, since retention goes by it. Kafka Connect and Kafka Streams have no word for this.

use std::fmt::Write;

use crate::model::keys;

/// The header with the first position of a replayed record: the dead letter's key, `topic|partition|offset`.
pub const REPLAY_OF: &str = "insight-hub-replay-of";
/// The header with its first timestamp: milliseconds since 1970-01-01T00:00:00Z, in decimal text.
pub const REPLAY_TIMESTAMP: &str = "insight-hub-replay-timestamp";

/// `topic|partition|offset`: the key on `insight.rejected`.
pub fn position(topic: &str, partition: i32, offset: i64) -> String {
    let mut key = String::with_capacity(topic.len() + 32);
    keys::push_escaped(&mut key, topic);
    write!(key, "|{partition}|{offset}").expect("a string takes every character");
    key
}

/// Where and when a source record came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The source partition.
    pub partition: i32,
    /// The source offset.
    pub offset: i64,
    /// The record's timestamp: milliseconds since 1970-01-01T00:00:00Z; negative if it had none.
    pub timestamp_ms: i64,
}

impl Origin {
    /// The headers of a replay of a record of `topic`.
    pub fn headers(&self, topic: &str) -> [(&'static str, String); 2] {
        [(REPLAY_OF, position(topic, self.partition, self.offset)), (REPLAY_TIMESTAMP, self.timestamp_ms.to_string())]
    }

    /// Whether a header is one of a replay's.
    pub fn is_header(name: &str) -> bool {
        name == REPLAY_OF || name == REPLAY_TIMESTAMP
    }
}

/// Finds out whether a record is a replay. The last header of a name holds, as everywhere.
#[derive(Clone, Debug)]
pub struct OriginReader<'a> {
    topic: &'a str,
    position: Option<(i32, i64)>,
    timestamp_ms: Option<i64>,
}

impl<'a> OriginReader<'a> {
    /// For a record that was read from `topic`.
    pub fn new(topic: &'a str) -> OriginReader<'a> {
        OriginReader { topic, position: None, timestamp_ms: None }
    }

    /// Takes the next header.
    pub fn take(&mut self, name: &str, value: Option<&[u8]>) {
        let text = || value.and_then(|value| std::str::from_utf8(value).ok());
        if name == REPLAY_OF {
            self.position = text().and_then(|text| self.own_position(text));
        } else if name == REPLAY_TIMESTAMP {
            self.timestamp_ms = text().and_then(|text| text.parse().ok());
        }
    }

    /// Where and when it came first; `None`: it is no replay, or of another topic's record, whose positions are not ours.
    pub fn origin(&self) -> Option<Origin> {
        let (partition, offset) = self.position?;
        Some(Origin { partition, offset, timestamp_ms: self.timestamp_ms? })
    }

    fn own_position(&self, text: &str) -> Option<(i32, i64)> {
        let mut parts = text.rsplitn(3, '|');
        let offset: i64 = parts.next()?.parse().ok()?;
        let partition: i32 = parts.next()?.parse().ok()?;
        let is_own = partition >= 0 && offset >= 0 && text == position(self.topic, partition, offset);
        is_own.then_some((partition, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(topic: &str, headers: &[(&str, &[u8])]) -> Option<Origin> {
        let mut reader = OriginReader::new(topic);
        headers.iter().for_each(|(name, value)| reader.take(name, Some(value)));
        reader.origin()
    }

    #[test]
    fn what_is_written_is_read() {
        let origin = Origin { partition: 3, offset: 42, timestamp_ms: -1 };
        for topic in ["sales.orders", "odd|to%pic"] {
            let headers = origin.headers(topic);
            let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            assert_eq!(read(topic, &headers), Some(origin));
            assert!(headers.iter().all(|(name, _)| Origin::is_header(name)));
            assert_eq!(read("another", &headers), None);
        }
    }

    #[test]
    fn what_is_no_position_of_the_topic_is_no_replay() {
        let at: &[u8] = b"1769850000000";
        for of in
            ["t|0|", "t|0|-1", "t|-1|0", "t|0", "0|0", "t|00|1", "t|0|99999999999999999999", "u|0|1", "", "t|0|1 "]
        {
            assert_eq!(read("t", &[(REPLAY_OF, of.as_bytes()), (REPLAY_TIMESTAMP, at)]), None, "{of}");
        }
        assert_eq!(read("t", &[(REPLAY_OF, b"\xff"), (REPLAY_TIMESTAMP, at)]), None);
        assert_eq!(read("t", &[(REPLAY_OF, b"t|0|1")]), None, "without its time it cannot be judged as it was");
        assert_eq!(read("t", &[(REPLAY_TIMESTAMP, at)]), None);
        let twice: [(&str, &[u8]); 3] = [(REPLAY_OF, b"t|0|1"), (REPLAY_TIMESTAMP, at), (REPLAY_OF, b"t|0|2")];
        assert_eq!(read("t", &twice).map(|origin| origin.offset), Some(2));
    }
}
