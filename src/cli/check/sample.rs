//! A file of sample records and a spoke in; what each record becomes, field by field, or why it is rejected, out.

use std::{
    io::{Read as _, Write},
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    cli::{
        exit::{Exit, Failure},
        import::glance::{Limits, glance},
        judge::{Outcome, Patience, judge, judge_json},
        output::{Format, Steps},
    },
    ingest::{Finds, SourceRecord, Spoke},
};

/// The largest file of samples: they are looked at one by one, by a person.
const SAMPLE_BYTES_MAX: usize = 64 << 20;

/// What became of all records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    records: u64,
    touchpoints: u64,
    skipped: u64,
    rejected: u64,
}

/// What each sample has besides its payload.
pub(super) struct Beside<'a> {
    pub timestamp_ms: i64,
    pub key: Option<&'a str>,
    pub headers: &'a Vec<(String, String)>,
}

/// `NAME=VALUE`, for the command line.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE, as in --header ce_type=order.placed".to_owned()),
    }
}

/// Shows what the records of a file become. It is a failure if any is rejected.
pub(super) fn show(
    file: &Path,
    spoke: &Spoke,
    beside: &Beside<'_>,
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let too_large = || {
        Failure::new(
            Exit::Usage,
            format!("{} is larger than 64 MiB", file.display()),
            "cut some records out of it; `insight-hub import` reports on whole files",
        )
    };
    // What an Avro spoke's records would be as JSON is easier to have at hand than their bytes.
    let is_message = spoke.is_avro() && !begins_like_json(file)?;
    let samples = match is_message {
        true => Some((1, message(file)?)).into_iter().filter(|(_, message)| !message.is_empty()).collect(),
        false => {
            let found = glance(file, None, Limits { records: usize::MAX, bytes: SAMPLE_BYTES_MAX })?;
            if found.is_cut {
                return Err(too_large());
            }
            found.records
        }
    };
    if samples.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            format!("{} has no record", file.display()),
            "put records there: JSON one after the other or as a list, or CSV in a file that is called .csv",
        ));
    }
    let (mut tally, mut finds, mut patience) = (Tally::default(), Finds::default(), Patience::default());
    let mut steps = Steps::new(format, "records", output);
    for (line, payload) in &samples {
        let record = SourceRecord {
            topic: spoke.topic(),
            partition: 0,
            offset: i64::try_from(tally.records).unwrap_or(i64::MAX),
            timestamp_ms: beside.timestamp_ms,
            key: beside.key.map(str::as_bytes),
            payload: Some(payload.as_slice()).filter(|payload| !payload.is_empty()),
            headers: beside.headers,
        };
        tally.records += 1;
        let outcomes = match record.payload.filter(|_| !is_message).and_then(|sample| spoke.misfit(sample)) {
            Some(misfit) => vec![Outcome::Rejected(misfit)],
            None if is_message => judge(spoke, &record, &mut patience),
            None => judge_json(spoke, &record),
        };
        spoke.look(&record, !is_message, &mut finds);
        for outcome in outcomes {
            match &outcome {
                Outcome::Accepted(_) => tally.touchpoints += 1,
                Outcome::Skipped(_) => tally.skipped += 1,
                Outcome::Rejected(_) => tally.rejected += 1,
            }
            let mut shown = outcome.as_json();
            shown["line"] = (*line).into();
            steps.push(&as_text(*line, &outcome), &shown)?;
        }
    }
    let Tally { records, touchpoints, skipped, rejected } = tally;
    let not_found = spoke.not_found(&finds);
    if format == Format::Jsonl && !not_found.is_empty() {
        steps.push("", &json!({"not_found": not_found}))?;
    }
    steps.end(&[
        ("count", records.into()),
        ("touchpoints", touchpoints.into()),
        ("skipped", skipped.into()),
        ("rejected", rejected.into()),
        ("not_found", not_found.clone().into()),
    ])?;
    if format == Format::Table {
        if !not_found.is_empty() {
            let paths = not_found.join(", ");
            writeln!(output, "in none of the records, so look whether they are written right: {paths}")?;
        }
        writeln!(output, "{records} records: {touchpoints} touchpoints, {skipped} skipped, {rejected} rejected")?;
    }
    output.flush()?;
    if rejected == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failure,
        format!("{rejected} of {records} samples are rejected, at least in part"),
        "correct the mapping or the records; each reason is shown above",
    ))
}

/// Whether a file begins as an object or a list of JSON does. No framing of Avro does.
fn begins_like_json(file: &Path) -> Result<bool, Failure> {
    let mut beginning = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(4_096).read_to_end(&mut beginning));
    read.map_err(|error| unreadable(file, &error))?;
    Ok(beginning.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| matches!(byte, b'{' | b'[')))
}

/// All of a file: one Avro message.
fn message(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} cannot be read: {error}", file.display()),
        "name a file with one message and nothing else, or with records as JSON",
    )
}

/// A sentence, and a line for each field.
fn as_text(line: usize, outcome: &Outcome) -> String {
    let mut text = String::new();
    match outcome {
        Outcome::Accepted(accepted) => {
            text.push_str(&format!("line {line}: a touchpoint\n"));
            for (name, value) in &accepted.fields {
                push_field(&mut text, name, value);
            }
        }
        Outcome::Skipped(skip) => text.push_str(&format!("line {line}: {}\n", skip.in_words())),
        Outcome::Rejected(rejection) => {
            text.push_str(&format!("line {line}: rejected, {}\n", rejection.reason));
            if !rejection.field.is_empty() {
                text.push_str(&format!("  field         {}\n", rejection.field));
            }
            text.push_str(&format!("  {}\n", rejection.message));
        }
    }
    text
}

/// One line a value; what is inside of an object under its dotted name.
fn push_field(text: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(inner) => {
            inner.iter().for_each(|(key, value)| push_field(text, &format!("{name}.{key}"), value));
        }
        Value::Array(values) => values.iter().for_each(|value| push_field(text, name, value)),
        Value::String(value) => text.push_str(&format!("  {name:<24} {value}\n")),
        other => text.push_str(&format!("  {name:<24} {other}\n")),
    }
}
