//! `insight-hub export FEED`: a feed as it is now, the latest value of every key, as NDJSON or CSV.
//!
//! A feed is read twice: once to learn which record of each key is the newest, once to write those, so that what is kept in
//! memory is a hash and an offset per key (about 50 bytes), and no value.

use std::{
    collections::HashMap,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    exit::{Exit, Failure},
    hub, place, private, schemas, tail,
};
use crate::{
    engine::log::outside::{CommittedRecord, FeedRead},
    feeds::{Feed, Reader},
    serve::http::csv,
    settings::Settings,
};

/// Flags of `export`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ExportArguments {
    /// customers, touchpoints, metrics, catalogue, spokes or rejected; or the topic's whole name
    #[arg(value_name = "FEED")]
    pub feed: String,
    /// Where to; it must not exist. Without it, standard output
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// How it is written; without it, by the file's extension, else JSON lines
    #[arg(short = 'o', long = "output", visible_alias = "format", value_enum)]
    pub format: Option<ExportFormat>,
}

/// How a feed is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object per line: `key` and `value`.
    #[value(name = "jsonl", alias = "ndjson")]
    Ndjson,
    /// One JSON document with all of them in it.
    Json,
    /// A header and a row per key; what is nested gets a column each, lists and maps are JSON.
    Csv,
}

pub(super) fn execute(settings: &Settings, arguments: &ExportArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let topic = tail::topic_of(settings, &arguments.feed)?;
    let feed = topic.strip_prefix(&settings.topics.prefix).and_then(Feed::parse).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("there is no feed {:?}", arguments.feed), "name one that `tail --help` lists")
    })?;
    let format = arguments.format.unwrap_or_else(|| by_extension(arguments.to.as_deref()));
    let reader = schemas::reader(settings, feed)?;
    let mut open = || place::feed(settings, &topic, place::WHOLE);
    let Some(path) = &arguments.to else {
        export((feed, &reader), format, &mut open, output)?;
        return Ok(output.flush()?);
    };
    let failed = |error| private::not_written(path, &error);
    // Nobody's file is written over.
    let mut file = BufWriter::new(private::new_file(path).map_err(failed)?);
    let rows = export((feed, &reader), format, &mut open, &mut file)?;
    file.flush().map_err(failed)?;
    writeln!(output, "{rows} rows of {topic} in {}", path.display())?;
    Ok(output.flush()?)
}

fn by_extension(path: Option<&Path>) -> ExportFormat {
    match path.and_then(Path::extension).and_then(|extension| extension.to_str()) {
        Some("csv") => ExportFormat::Csv,
        Some("json") => ExportFormat::Json,
        _ => ExportFormat::Ndjson,
    }
}

type Open<'a> = dyn FnMut() -> Result<Box<dyn FeedRead>, Failure> + 'a;

/// Writes the newest value of each key; returns how many there were.
fn export(
    (feed, reader): (Feed, &Reader),
    format: ExportFormat,
    open: &mut Open<'_>,
    output: &mut dyn Write,
) -> Result<u64, Failure> {
    let mut newest: HashMap<u128, (i32, i64)> = HashMap::new();
    let place = |record: &CommittedRecord| (record.partition, record.offset);
    place::read_whole(&mut *open()?, &mut |record| {
        if record.value.is_some() {
            newest.insert(xxh3_128(&record.key), place(&record));
        } else {
            newest.remove(&xxh3_128(&record.key));
        }
        Ok(())
    })?;
    let mut rows = Rows::new((feed, reader), format, output)?;
    // A record that was the newest may be superseded and gone by now: the newer one is written instead, with what the feed
    // holds when it is read again.
    while !newest.is_empty() {
        let mut later: HashMap<u128, (i32, i64)> = HashMap::new();
        place::read_whole(&mut *open()?, &mut |record| {
            let hash = xxh3_128(&record.key);
            match newest.get(&hash) {
                Some(known) if *known == place(&record) => {
                    newest.remove(&hash);
                    rows.write(&record)?;
                }
                // What lies before it was superseded long ago, a deletion too.
                Some(known) if known.1 < record.offset && record.value.is_some() => {
                    later.insert(hash, place(&record));
                }
                Some(known) if known.1 < record.offset => {
                    newest.remove(&hash);
                    later.remove(&hash);
                }
                _ => {}
            }
            Ok(())
        })?;
        newest.retain(|hash, place| later.get(hash).map(|newer| *place = *newer).is_some());
    }
    rows.end()
}

/// Writes rows.
struct Rows<'a> {
    format: ExportFormat,
    reader: Option<&'a Reader>,
    /// Of CSV: pointers into the value.
    columns: Vec<String>,
    output: &'a mut dyn Write,
    written: u64,
}

impl<'a> Rows<'a> {
    fn new(
        (feed, reader): (Feed, &'a Reader),
        format: ExportFormat,
        output: &'a mut dyn Write,
    ) -> Result<Rows<'a>, Failure> {
        let description = feed.description();
        let columns = match format {
            ExportFormat::Ndjson | ExportFormat::Json => Vec::new(),
            ExportFormat::Csv if description.encoded => columns(description.schema),
            ExportFormat::Csv => vec![String::new()],
        };
        if format == ExportFormat::Csv {
            let names = columns.iter().map(|pointer| match pointer.strip_prefix('/') {
                Some(name) => name.replace('/', "."),
                None => "value".to_owned(),
            });
            write_row(output, std::iter::once("key".to_owned()).chain(names))?;
        }
        if format == ExportFormat::Json {
            write!(output, "{{\"rows\":[")?;
        }
        let reader = description.encoded.then_some(reader);
        Ok(Rows { format, reader, columns, output, written: 0 })
    }

    fn write(&mut self, record: &CommittedRecord) -> Result<(), Failure> {
        let bytes = record.value.as_deref().unwrap_or_default();
        let value = match &self.reader {
            // A dead letter is what a department sent: its text, whatever it was.
            None => Value::String(String::from_utf8_lossy(bytes).into_owned()),
            Some(reader) => reader.read_with(bytes, &record.headers).map_err(hub::foreign_value)?,
        };
        let key = String::from_utf8_lossy(&record.key).into_owned();
        self.written += 1;
        match self.format {
            ExportFormat::Ndjson | ExportFormat::Json => {
                let mut row = json!({"key": key, "value": value});
                if self.reader.is_none() {
                    let headers: serde_json::Map<String, Value> = record
                        .headers
                        .iter()
                        .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned().into()))
                        .collect();
                    row["headers"] = headers.into();
                }
                match (self.format, self.written) {
                    (ExportFormat::Json, 1) => write!(self.output, "\n{row}")?,
                    (ExportFormat::Json, _) => write!(self.output, ",\n{row}")?,
                    _ => writeln!(self.output, "{row}")?,
                }
            }
            ExportFormat::Csv => {
                let cell = |pointer: &String| match value.pointer(pointer) {
                    None | Some(Value::Null) => String::new(),
                    Some(number @ (Value::Bool(_) | Value::Number(_))) => number.to_string(),
                    Some(Value::String(text)) => csv::harmless(text),
                    Some(nested @ (Value::Array(_) | Value::Object(_))) => csv::harmless(&nested.to_string()),
                };
                write_row(self.output, std::iter::once(csv::harmless(&key)).chain(self.columns.iter().map(cell)))?;
            }
        }
        Ok(())
    }

    /// There are no more; returns how many there were.
    fn end(self) -> Result<u64, Failure> {
        if self.format == ExportFormat::Json {
            writeln!(self.output, "\n]}}")?;
        }
        Ok(self.written)
    }
}

fn write_row(output: &mut dyn Write, cells: impl Iterator<Item = String>) -> std::io::Result<()> {
    let mut line = String::new();
    csv::row(cells, &mut line);
    output.write_all(line.as_bytes())
}

/// The columns of a feed: every field of its schema that is no record, as a pointer.
fn columns(schema: &str) -> Vec<String> {
    let schema: Value =
        serde_json::from_str(schema).expect("the feeds' schemas are compiled in, and a test parses every one");
    let mut named = HashMap::new();
    let mut found = Vec::new();
    collect(&schema, "", &mut named, &mut found);
    found
}

fn collect(schema: &Value, at: &str, named: &mut HashMap<String, Value>, found: &mut Vec<String>) {
    match schema {
        Value::Array(branches) => {
            let branch = branches.iter().find(|branch| branch.as_str() != Some("null"));
            branch.into_iter().for_each(|branch| collect(branch, at, named, found));
        }
        Value::String(name) => match named.get(name).cloned() {
            Some(schema) => collect(&schema, at, named, found),
            None => found.push(at.to_owned()),
        },
        Value::Object(object) if object.get("type").and_then(Value::as_str) == Some("record") => {
            if let Some(name) = object.get("name").and_then(Value::as_str) {
                named.insert(name.to_owned(), schema.clone());
            }
            for field in object.get("fields").and_then(Value::as_array).into_iter().flatten() {
                if let (Some(name), Some(schema)) = (field.get("name").and_then(Value::as_str), field.get("type")) {
                    collect(schema, &format!("{at}/{name}"), named, found);
                }
            }
        }
        _ => found.push(at.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Duration};

    use super::*;
    use crate::engine::log::{LogError, outside::Next};

    struct Fixed(VecDeque<CommittedRecord>);

    impl FeedRead for Fixed {
        fn next(&mut self, _: Duration) -> Result<Next, LogError> {
            Ok(self.0.pop_front().map_or(Next::End, Next::Record))
        }
    }

    fn record(offset: i64, key: &str, value: Option<&str>) -> CommittedRecord {
        let value = value.map(|value| value.as_bytes().to_vec());
        CommittedRecord { partition: 0, offset, timestamp_ms: 0, key: key.into(), value, headers: Vec::new() }
    }

    fn exported(format: ExportFormat, readings: Vec<Vec<CommittedRecord>>) -> String {
        let mut readings = VecDeque::from(readings);
        let mut output = Vec::new();
        let mut open = || {
            let records = readings.pop_front().expect("it is not read more often than that");
            Ok(Box::new(Fixed(records.into())) as Box<dyn FeedRead>)
        };
        export((Feed::Metrics, &Reader::new(Feed::Metrics)), format, &mut open, &mut output).expect("an export");
        String::from_utf8(output).expect("text")
    }

    #[test]
    fn the_latest_value_of_each_key_is_written_once() {
        let records = vec![
            record(0, "a", Some("{\"n\":1}")),
            record(1, "b", Some("{\"n\":2}")),
            record(2, "a", Some("{\"n\":3}")),
            record(3, "b", None),
        ];
        let text = exported(ExportFormat::Ndjson, vec![records.clone(), records]);
        assert_eq!(text, "{\"key\":\"a\",\"value\":{\"n\":3}}\n");
    }

    #[test]
    fn a_document_holds_all_rows() {
        for count in 0..3 {
            let records: Vec<_> = (0..count).map(|n| record(n, &format!("k{n}"), Some("{\"n\":1}"))).collect();
            let text = exported(ExportFormat::Json, vec![records.clone(), records]);
            let document: Value = serde_json::from_str(&text).expect("one document");
            assert_eq!(document["rows"].as_array().map(Vec::len), Some(count as usize), "{text}");
        }
    }

    #[test]
    fn a_key_that_was_gone_and_came_back_is_there() {
        let records = vec![record(0, "a", Some("{\"n\":1}")), record(1, "a", None), record(2, "a", Some("{\"n\":2}"))];
        let text = exported(ExportFormat::Ndjson, vec![records.clone(), records]);
        assert_eq!(text, "{\"key\":\"a\",\"value\":{\"n\":2}}\n");
    }

    #[test]
    fn a_value_that_is_superseded_between_the_readings_is_not_lost() {
        let first = vec![record(0, "a", Some("{\"n\":1}")), record(1, "b", Some("{\"n\":2}"))];
        let second = vec![record(1, "b", Some("{\"n\":2}")), record(2, "a", Some("{\"n\":3}"))];
        let text = exported(ExportFormat::Ndjson, vec![first, second.clone(), second]);
        assert_eq!(text, "{\"key\":\"b\",\"value\":{\"n\":2}}\n{\"key\":\"a\",\"value\":{\"n\":3}}\n");
    }

    #[test]
    fn csv_has_a_column_for_each_field_of_the_schema() {
        let value = "{\"metric\":\"nps\",\"value\":-3.5,\"window\":{\"start\":\"2026-01-01\"},\"dimension_value\":\"=1+1, \\\"x\\\"\"}";
        let records = vec![record(0, "k", Some(value))];
        let text = exported(ExportFormat::Csv, vec![records.clone(), records]);
        let mut lines = text.split("\r\n");
        let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
        assert!(header.contains(&"window.start") && header.contains(&"value") && header[0] == "key", "{header:?}");
        let row = lines.next().expect("a row");
        assert!(row.contains("\"'=1+1, \"\"x\"\"\"") && row.contains("-3.5") && row.contains("2026-01-01"), "{row}");
    }

    #[test]
    fn no_text_is_a_formula_whatever_a_spreadsheet_takes_for_the_end_of_a_cell() {
        for formula in ["a;=1+1", " =1+1", "＝1", "a\t+1", "a|@SUM(A1)"] {
            let value = json!({"dimension_value": formula}).to_string();
            let records = vec![record(0, formula, Some(&value))];
            let text = exported(ExportFormat::Csv, vec![records.clone(), records]);
            let row = text.split_once("\r\n").expect("a header").1;
            for cell in row.split([',', ';', '\t', '|']) {
                let cell = cell.trim_start_matches([' ', '"']);
                assert!(!cell.starts_with(['=', '+', '@', '＝']), "{formula:?} becomes {row:?}");
            }
        }
    }
}
