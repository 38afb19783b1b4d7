//! `insight-hub tap SPOKE`: shows what comes into a department's topic, and what its mapping makes of it.
//!
//! It reads beside the hub and changes nothing: no group, no commits, nothing written. Who an event is about is hidden unless
//! it is asked for.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};

use super::{
    exit::{Exit, Failure},
    hub,
    judge::{Outcome, Patience, ReadHeaders, judge},
    output::{Format, Listing, escaped, hexadecimal, shortened},
    place,
};
use crate::{
    engine::log::outside::{CommittedRecord, FeedRead, Next, Span},
    feeds::{self, OriginReader},
    ingest::{SourceRecord, Spoke, SpokeSet},
    model::EventTime,
    settings::Settings,
};

/// Flags of `tap`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TapArguments {
    /// Whose events: a spoke of spokes.directory
    #[arg(value_name = "SPOKE")]
    pub spoke: String,
    /// Start with the oldest event that is kept; without it, with what comes next
    #[arg(long)]
    pub from_beginning: bool,
    /// Stop at what was the end when the command started; without it, go on until interrupted
    #[arg(long)]
    pub until_end: bool,
    /// Stop after so many events
    #[arg(long, value_name = "NUMBER")]
    pub max: Option<u64>,
    /// Show who an event is about, and the event as it came, its key and headers too, with the personal data in it
    #[arg(long)]
    pub unmasked: bool,
    /// How events are shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// The spoke of a name.
pub(super) fn spoke_of<'a>(settings: &Settings, spokes: &'a SpokeSet, name: &str) -> Result<&'a Spoke, Failure> {
    spokes.iter().find(|spoke| spoke.name() == name).ok_or_else(|| {
        let names: Vec<&str> = spokes.iter().map(Spoke::name).collect();
        Failure::new(
            Exit::Usage,
            format!("there is no spoke {name:?} in {}", settings.spokes.directory.display()),
            format!("name one of those there: {}", names.join(", ")),
        )
    })
}

/// What a record of a spoke's topic becomes, as the hub takes it: a replay as the record that it was.
pub(super) fn outcomes(spoke: &Spoke, record: &CommittedRecord, patience: &mut Patience) -> Vec<Outcome> {
    let mut reader = OriginReader::new(spoke.topic());
    record.headers.iter().for_each(|(name, value)| reader.take(name, Some(value)));
    let (partition, offset, timestamp_ms) = match reader.origin() {
        Some(origin) => (origin.partition, origin.offset, origin.timestamp_ms),
        None => (record.partition, record.offset, record.timestamp_ms),
    };
    let source = SourceRecord {
        topic: spoke.topic(),
        partition,
        offset,
        timestamp_ms,
        key: (!record.key.is_empty()).then_some(&*record.key),
        payload: record.value.as_deref(),
        headers: &ReadHeaders(&record.headers),
    };
    judge(spoke, &source, patience)
}

pub(super) fn execute(settings: &Settings, arguments: &TapArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let spokes = hub::spokes(settings)?;
    let spoke = spoke_of(settings, &spokes, &arguments.spoke)?;
    let span = Span { from_beginning: arguments.from_beginning, until_end: arguments.until_end };
    let mut log = place::feed(settings, spoke.topic(), span)?;
    tap(spoke, &mut *log, arguments, output)
}

fn tap(spoke: &Spoke, log: &mut dyn FeedRead, arguments: &TapArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let header = ["position", "came", "becomes", "id or field", "what", "who"];
    let mut listing = Listing::new(arguments.output, "records", &header, output);
    let read = read(spoke, log, arguments, &mut listing);
    // The document is closed, whatever came.
    let ended = listing.end(&[]).and_then(|output| output.flush());
    read.and(ended.map_err(Failure::from))
}

fn read(
    spoke: &Spoke,
    log: &mut dyn FeedRead,
    arguments: &TapArguments,
    listing: &mut Listing<'_>,
) -> Result<(), Failure> {
    let mut left = arguments.max.unwrap_or(u64::MAX);
    let mut patience = Patience::default();
    while left > 0 {
        match log.next(place::IDLE_AFTER).map_err(|error| hub::log_failure(&error))? {
            Next::Record(record) => {
                left -= 1;
                let mut becomes = outcomes(spoke, &record, &mut patience);
                if !arguments.unmasked {
                    becomes.iter_mut().for_each(Outcome::mask);
                }
                let rows = || {
                    let mut rows: Vec<Vec<String>> = becomes.iter().map(|outcome| row(&record, outcome)).collect();
                    if arguments.unmasked {
                        rows.extend(came(&record));
                    }
                    rows
                };
                listing.push_rows(rows, || as_json(spoke, &record, &becomes, arguments.unmasked))?;
            }
            Next::Idle => listing.pause()?,
            Next::End => return Ok(()),
        }
    }
    Ok(())
}

fn time(timestamp_ms: i64) -> Option<String> {
    let at = EventTime(timestamp_ms);
    (timestamp_ms >= 0 && at.is_supported()).then(|| at.to_string())
}

fn row(record: &CommittedRecord, outcome: &Outcome) -> Vec<String> {
    let mut cells = vec![
        format!("{}:{}", record.partition, record.offset),
        time(record.timestamp_ms).unwrap_or_default(),
        outcome.word().to_owned(),
    ];
    cells.extend(match outcome {
        Outcome::Accepted(accepted) => {
            let identifiers = accepted.field("identifiers").and_then(Value::as_object);
            let who = identifiers.into_iter().flatten().flat_map(|(kind, values)| {
                let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
                values.map(move |value| format!("{kind}:{value}"))
            });
            let what = format!("{} at {}", accepted.text("kind"), accepted.text("occurred_at"));
            [accepted.id.clone(), what, who.collect::<Vec<_>>().join(" ")]
        }
        Outcome::Skipped(skip) => [String::new(), skip.in_words().to_owned(), String::new()],
        Outcome::Rejected(rejection) => {
            [rejection.field.clone(), format!("{}: {}", rejection.reason, rejection.message), String::new()]
        }
    });
    // What is wrong is said in full: there is no other place to read it.
    let in_full = matches!(outcome, Outcome::Rejected(_));
    cells.iter().map(|cell| if in_full { escaped(cell) } else { shortened(cell) }).collect()
}

/// Rows with the event as it came: its value, its key and its headers, as far as there are any.
fn came(record: &CommittedRecord) -> Vec<Vec<String>> {
    let row = |what: String, bytes: &[u8]| {
        let text = std::str::from_utf8(bytes);
        let text = text.map_or_else(|_| hexadecimal(bytes), |text| escaped(&text.replace('\n', " ")));
        vec![String::new(), what, String::new(), String::new(), text, String::new()]
    };
    let value = record.value.as_deref().map(|value| row("as it came".to_owned(), value));
    let key = Some(&record.key).filter(|key| !key.is_empty()).map(|key| row("its key".to_owned(), key));
    let headers = record.headers.iter().map(|(name, value)| row(shortened(&format!("header {name}")), value));
    value.into_iter().chain(key).chain(headers).collect()
}

fn as_json(spoke: &Spoke, record: &CommittedRecord, becomes: &[Outcome], unmasked: bool) -> Value {
    let mut line = json!({
        "position": feeds::position(spoke.topic(), record.partition, record.offset),
        "timestamp": time(record.timestamp_ms),
        "bytes": record.value.as_ref().map(Vec::len),
        "becomes": becomes.iter().map(Outcome::as_json).collect::<Vec<_>>(),
    });
    if unmasked {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| hexadecimal(bytes));
        for (name, bytes) in [("key", Some(&*record.key)), ("value", record.value.as_deref())] {
            match bytes.map(text) {
                Some(Ok(text)) => line[format!("{name}_text")] = text.into(),
                Some(Err(digits)) => line[format!("{name}_hex")] = digits.into(),
                None => line[name] = Value::Null,
            }
        }
        let header = |(name, bytes): &(String, Vec<u8>)| match text(bytes) {
            Ok(text) => json!({"name": name, "value_text": text}),
            Err(digits) => json!({"name": name, "value_hex": digits}),
        };
        line["headers"] = record.headers.iter().map(header).collect::<Vec<_>>().into();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Arc, time::Duration};

    use super::*;
    use crate::{
        engine::log::LogError,
        feeds::Origin,
        ingest::{self, SpokeFile},
        wire::Schemas,
    };

    struct Fixed(VecDeque<Next>);

    impl FeedRead for Fixed {
        fn next(&mut self, _: Duration) -> Result<Next, LogError> {
            Ok(self.0.pop_front().unwrap_or(Next::End))
        }
    }

    fn shop() -> Spoke {
        let file = "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"json\"\nid = \"position\"\n\
             occurred_at = { path = \"at\", format = \"rfc3339\" }\nkind = { constant = \"visit_made\" }\n\
             condition = \"!has(payload.test)\"\nidentifiers = { email = \"mail\" }\nproperties = { note = \"note\" }\n";
        let file = SpokeFile::parse("shop", file).expect("a mapping");
        Spoke::compile(&file, ingest::Options::default(), &Arc::new(Schemas::default())).expect("a mapping")
    }

    fn event(offset: i64, value: &str) -> CommittedRecord {
        CommittedRecord {
            partition: 0,
            offset,
            timestamp_ms: 1_769_850_000_000,
            key: b"ann@example.org".to_vec(),
            value: Some(value.as_bytes().to_vec()),
            headers: vec![("ce_subject".to_owned(), b"bob@example.org".to_vec()), ("raw".to_owned(), vec![0xFF])],
        }
    }

    fn tapped(arguments: &[&str]) -> String {
        let good = r#"{"at":"2026-01-31T08:00:00Z","mail":"ann@example.org","note":"is ann@example.org"}"#;
        let records = [event(1, good), event(2, "{\"at\":\"\u{1b}[2J\"}"), event(3, "{\"test\":true}")];
        let [good, bad, test] = records.map(Next::Record);
        let log = [good, Next::Idle, bad, test];
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            tap: TapArguments,
        }
        let line = ["tap", "shop"].iter().chain(arguments);
        let Line { tap: arguments } = clap::Parser::try_parse_from(line).expect("right flags");
        let mut output = Vec::new();
        tap(&shop(), &mut Fixed(VecDeque::from(log)), &arguments, &mut output).expect("it reads");
        String::from_utf8(output).expect("text")
    }

    #[test]
    fn events_are_shown_with_what_they_become_and_nobody_is_named() {
        for format in ["table", "json", "jsonl"] {
            let text = tapped(&["-o", format]);
            assert!(text.contains("shop.events-0-1") && text.contains("visit_made") && text.contains("***"), "{text}");
            assert!(text.contains("undecodable") && !text.contains("ann@") && !text.contains('\u{1b}'), "{text}");
            assert!(!text.contains("bob@") && !text.contains("ce_subject"), "{text}");
            assert!(text.contains("skipped by the condition") || text.contains("\"by\":\"condition\""), "{text}");
        }
        let lines: Vec<Value> =
            tapped(&["-o", "jsonl"]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["position"], "shop.events|0|1");
        assert_eq!(lines[0]["becomes"][0]["touchpoint"]["properties"]["note"], "***");
        assert_eq!(lines[1]["becomes"][0]["outcome"], "rejected");
        assert!(lines[0].get("value_text").is_none() && lines[0].get("key_text").is_none());
    }

    #[test]
    fn who_asks_sees_everything() {
        let text = tapped(&["--unmasked"]);
        assert!(
            text.contains("email:ann@example.org") && text.contains("\"note\"") && !text.contains('\u{1b}'),
            "{text}"
        );
        for shown in ["its key", "header ce_subject", "bob@example.org", "ff"] {
            assert!(text.contains(shown), "{shown} in {text}");
        }
        let lines = tapped(&["--unmasked", "-o", "jsonl"]);
        let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
        assert_eq!(first["headers"][0], json!({"name": "ce_subject", "value_text": "bob@example.org"}));
        assert_eq!(first["headers"][1], json!({"name": "raw", "value_hex": "ff"}));
        let text = tapped(&["--unmasked", "-o", "json"]);
        assert!(text.contains("\"key_text\":\"ann@example.org\"") && text.contains("value_text"), "{text}");
    }

    #[test]
    fn it_stops_after_so_many() {
        assert_eq!(tapped(&["-o", "jsonl", "--max", "1"]).lines().count(), 1);
        assert_eq!(tapped(&["-o", "jsonl", "--max", "0"]).lines().count(), 0);
        let document: Value = serde_json::from_str(&tapped(&["-o", "json", "--max", "1"])).expect("one document");
        assert_eq!(document["records"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_replay_is_judged_as_the_record_that_it_was() {
        let mut record = event(7, r#"{"at":"2026-02-20T08:00:00Z","mail":"ann@example.org"}"#);
        let id = |record: &CommittedRecord| match &outcomes(&shop(), record, &mut Patience::default())[..] {
            [Outcome::Accepted(accepted)] => accepted.id.clone(),
            [Outcome::Rejected(rejection)] => rejection.reason.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(id(&record), "too_far_in_future");
        let origin = Origin { partition: 0, offset: 3, timestamp_ms: 1_771_600_000_000 };
        record.headers =
            origin.headers("shop.events").map(|(name, value)| (name.to_owned(), value.into_bytes())).into();
        assert_eq!(id(&record), "shop.events-0-3");
    }
}
