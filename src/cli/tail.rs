//! `insight-hub tail FEED`: shows a public feed as it is committed.

use std::{io::Write, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use super::{
    exit::{Exit, Failure},
    hub,
    output::{Format, Listing, escaped},
    place, schemas,
};
use crate::{
    engine::log::{
        LogError,
        outside::{CommittedRecord, Next, Span},
    },
    feeds::{Feed, Reader},
    settings::Settings,
};

/// Silence after which what has come is shown.
const IDLE_AFTER: Duration = Duration::from_millis(200);

/// Flags of `tail`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TailArguments {
    /// customers, touchpoints, metrics, catalogue, spokes or rejected; or the topic's whole name
    #[arg(value_name = "FEED")]
    pub feed: String,
    /// Start with the oldest record that is kept; without it, with what comes next
    #[arg(long)]
    pub from_beginning: bool,
    /// Stop at what was the end when the command started; without it, go on until interrupted
    #[arg(long)]
    pub until_end: bool,
    /// How records are shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedQuery {
    /// The feed's topic.
    pub topic: String,
    /// From the oldest record, not from the next one.
    pub from_beginning: bool,
    /// Only to what was the last stable offset at the start.
    pub until_end: bool,
}

/// One committed record of a feed.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedRecord {
    /// The partition that it is in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp, milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: i64,
    /// Its key, as text.
    pub key: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its value.
    pub value: FeedValue,
}

/// The value of a feed's record.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedValue {
    /// The key is gone.
    Tombstone,
    /// A document, decoded from JSON or Avro.
    Document(Value),
    /// Bytes as a department sent them (rejected records).
    Bytes(Vec<u8>),
}

pub(super) fn execute(settings: &Settings, arguments: &TailArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let query = FeedQuery {
        topic: topic_of(settings, &arguments.feed)?,
        from_beginning: arguments.from_beginning,
        until_end: arguments.until_end,
    };
    let feed = query.topic.strip_prefix(&settings.topics.prefix).unwrap_or_default();
    let mut printer = Printer::new(arguments.output, feed, output);
    let read = read_feed(settings, &query, &mut |record| match record {
        Some(record) => printer.show(&record),
        None => printer.pause(),
    });
    // The document is closed, whatever came.
    let ended = printer.end();
    read.and(ended)
}

/// The topic of a feed that was named by its word or by its whole name.
pub(super) fn topic_of(settings: &Settings, feed: &str) -> Result<String, Failure> {
    let prefix = &settings.topics.prefix;
    let word = feed.strip_prefix(prefix.as_str()).unwrap_or(feed);
    let feeds = Feed::ALL.map(|feed| feed.description().suffix);
    if !feeds.contains(&word) {
        return Err(Failure::new(
            Exit::Usage,
            format!("there is no feed {feed:?}"),
            format!("name one of {}", feeds.join(", ")),
        ));
    }
    if word == "touchpoints" && !settings.topics.touchpoints_feed {
        return Err(Failure::new(
            Exit::Usage,
            format!("the feed {prefix}touchpoints is switched off"),
            "set topics.touchpoints_feed = true and rebuild",
        ));
    }
    Ok(format!("{prefix}{word}"))
}

/// Reads committed records and hands each to `each`, and `None` whenever no more are at hand; ends when `each` fails,
/// at the end if the query says so, or with the process.
fn read_feed(
    settings: &Settings,
    query: &FeedQuery,
    each: &mut dyn FnMut(Option<FeedRecord>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: LogError| hub::log_failure(&error);
    let span = Span { from_beginning: query.from_beginning, until_end: query.until_end };
    let mut log = place::feed(settings, &query.topic, span)?;
    let feed = query.topic.strip_prefix(&settings.topics.prefix).and_then(Feed::parse);
    // Dead letters are a department's own bytes: shown as they are.
    let encoded = feed.filter(|feed| feed.description().encoded);
    let reader = encoded.map(|feed| schemas::reader(settings, feed)).transpose()?;
    loop {
        match log.next(IDLE_AFTER).map_err(failed)? {
            Next::Record(record) => each(Some(public(record, reader.as_ref())?))?,
            Next::Idle => each(None)?,
            Next::End => return Ok(()),
        }
    }
}

/// A record as it came, decoded.
fn public(record: CommittedRecord, reader: Option<&Reader>) -> Result<FeedRecord, Failure> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let value = match (record.value, reader) {
        (None, _) => FeedValue::Tombstone,
        (Some(bytes), None) => FeedValue::Bytes(bytes),
        (Some(bytes), Some(reader)) => {
            FeedValue::Document(reader.read_with(&bytes, &record.headers).map_err(|error| {
                let Failure { exit, happened, next } = hub::foreign_value(error);
                let happened = format!("partition {}, offset {}: {happened}", record.partition, record.offset);
                Failure { exit, happened, next }
            })?)
        }
    };
    Ok(FeedRecord {
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: text(&record.key),
        headers: record.headers.into_iter().map(|(name, value)| (name, text(&value))).collect(),
        value,
    })
}

/// A column of a table: its title and the field of the document, or after `#` the header, that it shows.
type Column = (&'static str, &'static str);

/// What a person wants to see of a feed first; JSON shows everything.
fn columns(feed: &str) -> &'static [Column] {
    match feed {
        "customers" => &[
            ("phase", "/phase"),
            ("orders", "/orders"),
            ("last seen", "/last_seen"),
            ("open cases", "/open_cases"),
            ("open promises", "/open_promises"),
            ("segment", "/segment"),
        ],
        "touchpoints" => {
            &[("occurred at", "/occurred_at"), ("spoke", "/spoke"), ("kind", "/kind"), ("channel", "/channel")]
        }
        "metrics" => &[
            ("metric", "/metric"),
            ("window", "/window/start"),
            ("dimension", "/dimension"),
            ("of", "/dimension_value"),
            ("value", "/value"),
            ("unit", "/unit"),
            ("currency", "/currency"),
            ("n", "/n"),
            ("status", "/status"),
        ],
        "spokes" => &[
            ("records", "/records"),
            ("accepted", "/outcomes/accepted"),
            ("rejected", "/outcomes/rejected"),
            ("last arrived", "/last_arrived_at"),
            ("newest", "/newest_occurred_at"),
            ("unmapped kinds", "/unmapped_kinds"),
        ],
        // Sentences, which lose their sense when they are cut; the rest is in JSON.
        "catalogue" => &[("title", "/title"), ("unit", "/unit"), ("formula", "/formula"), ("inclusion", "/inclusion")],
        // `#`: a header.
        "rejected" => &[
            ("reason", "#__streams.errors.reason"),
            ("field", "#__streams.errors.field"),
            ("message", "#__streams.errors.message"),
            ("value", ""),
        ],
        _ => &[("value", "")],
    }
}

/// Writes records as they come: JSON at once, tables in blocks.
struct Printer<'a> {
    columns: &'static [Column],
    /// Whether cells are shown in full.
    in_full: bool,
    listing: Listing<'a>,
}

impl<'a> Printer<'a> {
    fn new(format: Format, feed: &str, output: &'a mut dyn Write) -> Printer<'a> {
        let columns = columns(feed);
        let header: Vec<&str> = std::iter::once("key").chain(columns.iter().map(|(title, _)| *title)).collect();
        Printer { columns, in_full: feed == "catalogue", listing: Listing::new(format, "records", &header, output) }
    }

    fn show(&mut self, record: &FeedRecord) -> Result<(), Failure> {
        let cell = |pointer: &str| match &record.value {
            FeedValue::Tombstone => "gone".to_owned(),
            FeedValue::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            FeedValue::Document(document) => match document.pointer(pointer) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            },
        };
        let header = |name: &str| {
            let found = record.headers.iter().rev().find(|(header, _)| header == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let columns = self.columns;
        let cells = || -> Vec<String> {
            let cells = columns.iter().map(|(_, place)| match place.strip_prefix('#') {
                Some(name) => header(name),
                None => cell(place),
            });
            std::iter::once(record.key.clone()).chain(cells).collect()
        };
        match self.in_full {
            true => {
                let whole = || cells().iter().map(|cell| escaped(cell)).collect();
                Ok(self.listing.push_rows(|| vec![whole()], || as_json(record))?)
            }
            false => Ok(self.listing.push(cells, || as_json(record))?),
        }
    }

    /// Nothing more at hand: show what has come.
    fn pause(&mut self) -> Result<(), Failure> {
        Ok(self.listing.pause()?)
    }

    /// Nothing more comes.
    fn end(self) -> Result<(), Failure> {
        Ok(self.listing.end(&[])?.flush()?)
    }
}

fn as_json(record: &FeedRecord) -> Value {
    let headers: serde_json::Map<String, Value> =
        record.headers.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    let mut line = json!({
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": record.key,
        "headers": headers,
    });
    let (field, value) = match &record.value {
        FeedValue::Tombstone => ("value", Value::Null),
        FeedValue::Document(document) => ("value", document.clone()),
        FeedValue::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => ("value_text", Value::String(text.to_owned())),
            Err(_) => {
                let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                ("value_hex", Value::String(digits.concat()))
            }
        },
    };
    line[field] = value;
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn record(value: FeedValue) -> FeedRecord {
        FeedRecord {
            partition: 3,
            offset: 41,
            timestamp_ms: 1_769_850_000_000,
            key: "nps|day:2026-01-31|company|".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            value,
        }
    }

    fn shown(format: Format, feed: &str, values: Vec<FeedValue>) -> String {
        let mut output = Vec::new();
        let mut printer = Printer::new(format, feed, &mut output);
        for value in values {
            printer.show(&record(value)).expect("memory");
        }
        printer.end().expect("memory");
        String::from_utf8(output).expect("text")
    }

    #[test]
    fn a_feed_is_named_by_its_word_or_its_topic() {
        let settings = Settings::default();
        assert_eq!(topic_of(&settings, "metrics").as_deref(), Ok("insight.metrics"));
        assert_eq!(topic_of(&settings, "insight.metrics").as_deref(), Ok("insight.metrics"));
        let failure = topic_of(&settings, "sales.orders").expect_err("no feed");
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn json_lines_hold_the_whole_record() {
        let text = shown(
            Format::Jsonl,
            "metrics",
            vec![
                FeedValue::Document(json!({"n": 3})),
                FeedValue::Tombstone,
                FeedValue::Bytes(b"not json".to_vec()),
                FeedValue::Bytes(vec![0xff, 0x00]),
            ],
        );
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0]["value"]["n"], 3);
        assert_eq!(lines[0]["offset"], 41);
        assert_eq!(lines[0]["headers"]["content-type"], "application/json");
        assert!(lines[1]["value"].is_null());
        assert_eq!(lines[2]["value_text"], "not json");
        assert_eq!(lines[3]["value_hex"], "ff00");
        let document = shown(Format::Json, "metrics", vec![FeedValue::Tombstone, FeedValue::Tombstone]);
        let document: Value = serde_json::from_str(&document).expect("one document");
        assert_eq!(document["records"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn every_feed_is_known_by_its_word_and_by_its_topic() {
        let settings = Settings::default();
        for feed in Feed::ALL {
            for name in [feed.topic(), feed.description().suffix] {
                assert_eq!(topic_of(&settings, name).expect("a feed"), feed.topic());
            }
        }
        let refused = topic_of(&settings, "insight.nothing").expect_err("no feed");
        assert!(refused.next.contains("catalogue, spokes"), "{}", refused.next);
    }

    #[test]
    fn a_table_shows_what_matters_of_a_feed_and_no_control_characters() {
        let value =
            json!({"metric": "nps", "window": {"start": "2026-01-31"}, "value": 50.0, "n": 4, "currency": null});
        let text = shown(Format::Table, "metrics", vec![FeedValue::Document(value), FeedValue::Tombstone]);
        assert!(text.contains("2026-01-31") && text.contains("50.0") && text.contains("gone"), "{text}");
        let inclusion = "every answer on the scale, of every customer who was asked in the window, once";
        let definition = json!({"title": "Net Promoter Score", "formula": "a\u{1b}b", "inclusion": inclusion});
        let text = shown(Format::Table, "catalogue", vec![FeedValue::Document(definition)]);
        assert!(text.contains(inclusion) && text.contains("Net Promoter Score") && !text.contains('\u{1b}'), "{text}");
        let text = shown(Format::Table, "rejected", vec![FeedValue::Bytes(b"\x1b[2Jboo".to_vec())]);
        assert!(!text.contains('\u{1b}') && text.contains("boo"), "{text}");
    }

    #[test]
    fn a_closed_pipe_ends_without_a_failure() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut closed = Closed;
        let mut printer = Printer::new(Format::Json, "metrics", &mut closed);
        let end = printer.show(&record(FeedValue::Tombstone)).expect_err("nobody reads");
        assert_eq!(end.exit, Exit::Ok);
    }
}
