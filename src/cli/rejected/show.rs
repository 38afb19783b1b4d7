//! The position of a source record in; why it was rejected, and the record as it came, out.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::{
    letter::{Letter, Whole, time},
    read_letters,
};
use crate::{
    cli::{
        exit::{Exit, Failure},
        output::{Format, escaped, hexadecimal, write_json, write_table},
    },
    engine::log::outside::FeedRead,
    feeds,
};

/// Letters about one record that are shown: one for each touchpoint in it, and again for each failed replay.
const LETTERS_MAX: usize = 100;

/// The key on the feed of a position as people write it.
pub(super) fn key(position: &str) -> Result<String, Failure> {
    let parsed = (|| {
        let mut parts = position.rsplitn(3, ['|', ':']);
        let offset: i64 = parts.next()?.parse().ok()?;
        let partition: i32 = parts.next()?.parse().ok()?;
        let topic = parts.next().filter(|topic| !topic.is_empty())?;
        Some(feeds::position(topic, partition, offset))
    })();
    parsed.ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("{position:?} is no position of a record"),
            "name topic, partition and offset as `insight-hub rejected list` does, for example sales.events:0:42",
        )
    })
}

pub(super) fn show(log: &mut dyn FeedRead, key: &str, format: Format, output: &mut dyn Write) -> Result<(), Failure> {
    let mut found: Vec<Letter> = Vec::new();
    read_letters(log, &mut |mut letter| {
        if letter.position() != key {
            return Ok(());
        }
        // The record is the same in each of them, and is kept once.
        if let Some(last) = found.last_mut() {
            letter.value = last.value.take();
            letter.headers = std::mem::take(&mut last.headers);
        }
        if found.len() == LETTERS_MAX {
            found.remove(0);
        }
        found.push(letter);
        Ok(())
    })?;
    let Some(newest) = found.last() else {
        return Err(Failure::new(
            Exit::Failure,
            format!("there is no dead letter of {key}"),
            "see `insight-hub rejected list`; what is older than topics.rejected_retention_hours is gone",
        ));
    };
    match format {
        Format::Json | Format::Jsonl => {
            let letters: Vec<Value> = found.iter().map(Letter::as_json).collect();
            write_json(output, &json!({"position": key, "letters": letters, "record": record(newest)}))?;
        }
        Format::Table => {
            let rows: Vec<Vec<String>> = found
                .iter()
                .map(|letter| {
                    let texts = [&letter.spoke, &letter.reason, &letter.field, &letter.message];
                    let mut row = vec![letter.rejected_at.to_string(), letter.touchpoint.to_string()];
                    row.extend(texts.map(|text| escaped(text)));
                    row
                })
                .collect();
            writeln!(output, "dead letter {key}\n")?;
            let header = ["rejected at", "touchpoint", "spoke", "reason", "field", "message"];
            write_table(output, &header, &rows)?;
            writeln!(output, "\nthe record as it came")?;
            let mut rows = Vec::new();
            rows.extend(time(newest.origin.timestamp_ms).map(|at| vec!["timestamp".to_owned(), at]));
            rows.extend(newest.key.as_deref().map(|key| vec!["key".to_owned(), shown(key)]));
            let header = |(name, value): &(String, Vec<u8>)| vec![format!("header {}", escaped(name)), shown(value)];
            rows.extend(newest.headers.iter().map(header));
            write_table(output, &["", ""], &rows)?;
            match newest.value.as_deref() {
                None => writeln!(output, "no value: a tombstone")?,
                Some(value) => {
                    let what = if std::str::from_utf8(value).is_ok() { "text" } else { "in hexadecimal" };
                    writeln!(output, "value, {} bytes, {what}:\n{}", value.len(), shown(value))?;
                }
            }
            if let Some(Whole { bytes, hash, partition, offset }) = &newest.whole {
                writeln!(
                    output,
                    "\nthe record is too long for a dead letter: this is its beginning. The whole value has {bytes} bytes, BLAKE3 \
                     {hash}, and lies in {} at offset {offset} of partition {partition} while that topic keeps it",
                    escaped(&newest.topic)
                )?;
            }
        }
    }
    Ok(output.flush()?)
}

/// Text as it is, but for what a terminal must not get; bytes that are none in hexadecimal.
fn shown(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| hexadecimal(bytes), escaped)
}

/// The source record, nothing lost: what is no text is in hexadecimal.
fn record(letter: &Letter) -> Value {
    let mut members = Map::new();
    members.insert("timestamp".to_owned(), time(letter.origin.timestamp_ms).into());
    let put = |members: &mut Map<String, Value>, name: &str, bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => members.insert(format!("{name}_text"), text.into()),
        Err(_) => members.insert(format!("{name}_hex"), hexadecimal(bytes).into()),
    };
    if let Some(key) = &letter.key {
        put(&mut members, "key", key);
    }
    let headers = letter.headers.iter().map(|(name, value)| {
        let mut header = Map::from_iter([("name".to_owned(), Value::from(name.as_str()))]);
        put(&mut header, "value", value);
        Value::Object(header)
    });
    members.insert("headers".to_owned(), headers.collect());
    match &letter.value {
        Some(value) => drop(put(&mut members, "value", value)),
        None => drop(members.insert("value".to_owned(), Value::Null)),
    }
    Value::Object(members)
}
