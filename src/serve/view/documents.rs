//! A record of a feed in; the document that the view keeps of it out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::Kept;
use crate::{
    engine::log::outside::CommittedRecord,
    feeds::{Feed, HEADER_PREFIX, ReadError, Reader, position},
    model::EventTime,
};

/// Bytes of a rejected record that are kept; the whole of it is on the feed, or, of one that is too long for that, in its topic.
const LETTER_BYTES_MAX: usize = 64 << 10;

/// The document of a record, by its feed's reader; `None`: its key is gone, or it is none that a hub wrote.
pub(super) fn of(feed: Feed, record: &CommittedRecord, reader: Option<&Reader>) -> Result<Option<Value>, ReadError> {
    match (reader, &record.value) {
        (Some(reader), Some(value)) => reader.read_with(value, &record.headers).map(Some),
        (None, _) if feed == Feed::Rejected => Ok(letter(record)),
        _ => Ok(None),
    }
}

/// A timestamp and a document as they are stored.
pub(super) fn pack(timestamp_ms: i64, value: &Value) -> Vec<u8> {
    let mut bytes = timestamp_ms.to_be_bytes().to_vec();
    serde_json::to_writer(&mut bytes, value).expect("a document was JSON, and memory takes it");
    bytes
}

/// The same back.
pub(super) fn unpack(bytes: &[u8]) -> Option<Kept> {
    let (timestamp, document) = bytes.split_first_chunk::<8>()?;
    Some(Kept {
        key: None,
        timestamp_ms: i64::from_be_bytes(*timestamp),
        value: serde_json::from_slice(document).ok()?,
    })
}

/// A dead letter: what the hub says of it, and the department's own record.
fn letter(record: &CommittedRecord) -> Option<Value> {
    // Ours come last. Those before may have the same names: the dead letter of another program, sent on.
    let first = record.headers.iter().rposition(|(name, _)| name.strip_prefix(HEADER_PREFIX) == Some("topic"))?;
    let header = |field: &str| {
        let found = record.headers[first..].iter().find(|(name, _)| name.strip_prefix(HEADER_PREFIX) == Some(field));
        found.map(|(_, value)| value.as_slice())
    };
    let text = |field: &str| header(field).and_then(|value| std::str::from_utf8(value).ok());
    let number = |field: &str| text(field).and_then(|text| text.parse::<i64>().ok());
    let topic = text("topic")?;
    let (partition, offset) = (i32::try_from(number("partition")?).ok()?, number("offset")?);
    let value = record.value.as_deref();
    // Where the letter itself has its beginning alone.
    let whole = number("whole_bytes");
    Some(json!({
        "position": position(topic, partition, offset),
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": number("timestamp").and_then(time),
        "touchpoint": number("touchpoint"),
        "spoke": text("spoke"),
        "reason": text("reason"),
        "field": text("field"),
        "message": text("message"),
        "rejected_at": time(record.timestamp_ms),
        "key": header("key").map(bytes),
        "value": value.map(bytes),
        "value_bytes": whole.unwrap_or(value.map_or(0, |value| value.len() as i64)),
    }))
}

/// Bytes as text, or with a word in front in base64; the first ones of many.
fn bytes(bytes: &[u8]) -> String {
    let kept = &bytes[..bytes.len().min(LETTER_BYTES_MAX)];
    match std::str::from_utf8(kept) {
        Ok(text) => text.to_owned(),
        // Cut within a character.
        Err(error) if error.error_len().is_none() && kept.len() < bytes.len() => {
            String::from_utf8_lossy(&kept[..error.valid_up_to()]).into_owned()
        }
        Err(_) => format!("base64:{}", STANDARD.encode(kept)),
    }
}

/// RFC 3339, if there is a time.
fn time(timestamp_ms: i64) -> Option<String> {
    (timestamp_ms >= 0 && EventTime(timestamp_ms).is_supported()).then(|| EventTime(timestamp_ms).to_string())
}
