//! A file of sample records and a spoke in; what each record becomes, field by field, or why it is rejected, out.

use std::{io::Write, path::Path};

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{
    cli::{
        exit::{Exit, Failure},
        judge::{Outcome, judge, judge_json},
        output::{Format, write_json},
    },
    ingest::{NoHeaders, SourceRecord, Spoke},
};

/// The largest file of samples: they are looked at one by one, by a person.
const SAMPLE_BYTES_MAX: u64 = 64 << 20;

/// What became of all records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    records: u64,
    touchpoints: u64,
    skipped: u64,
    rejected: u64,
}

/// Shows what the records of a file become. It is a failure if any is rejected.
pub(super) fn show(
    file: &Path,
    spoke: &Spoke,
    now_ms: i64,
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::new(
            Exit::Usage,
            format!("the samples in {} cannot be read: {error}", file.display()),
            "name a file that has one record on each line",
        )
    };
    if std::fs::metadata(file).map_err(unreadable)?.len() > SAMPLE_BYTES_MAX {
        return Err(Failure::new(
            Exit::Usage,
            format!("{} is larger than 64 MiB", file.display()),
            "cut some records out of it; `insight-hub import` reports on whole files",
        ));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let mut tally = Tally::default();
    // What an Avro spoke's records would be as JSON is easier to have at hand than their bytes.
    let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    for (line, payload) in records(&bytes, spoke.is_avro() && !is_json) {
        let record = SourceRecord {
            topic: spoke.topic(),
            partition: 0,
            offset: i64::try_from(tally.records).unwrap_or(i64::MAX),
            timestamp_ms: now_ms,
            key: None,
            payload: Some(payload),
            headers: &NoHeaders,
        };
        tally.records += 1;
        let outcomes = if is_json { judge_json(spoke, &record) } else { judge(spoke, &record) };
        for outcome in outcomes {
            match &outcome {
                Outcome::Accepted(_) => tally.touchpoints += 1,
                Outcome::Skipped(_) => tally.skipped += 1,
                Outcome::Rejected(_) => tally.rejected += 1,
            }
            match format {
                Format::Json => {
                    let mut shown = outcome.as_json();
                    shown["line"] = line.into();
                    write_json(output, &shown)?;
                }
                Format::Table => write_text(output, line, &outcome)?,
            }
        }
    }
    let Tally { records, touchpoints, skipped, rejected } = tally;
    if records == 0 {
        return Err(Failure::new(
            Exit::Usage,
            format!("{} has no record", file.display()),
            "put one record on each line",
        ));
    }
    if format == Format::Table {
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

/// (line, payload) of each record: the lines that are not blank, or all of a file that is one document, or one Avro message.
fn records(bytes: &[u8], is_avro: bool) -> Vec<(usize, &[u8])> {
    if is_avro || serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        return if bytes.is_empty() { Vec::new() } else { vec![(1, bytes)] };
    }
    let lines = bytes.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    (1..).zip(lines).filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace)).collect()
}

fn write_text(output: &mut dyn Write, line: usize, outcome: &Outcome) -> std::io::Result<()> {
    match outcome {
        Outcome::Accepted(accepted) => {
            writeln!(output, "line {line}: a touchpoint")?;
            for (name, value) in &accepted.fields {
                write_field(output, name, value)?;
            }
        }
        Outcome::Skipped(skip) => writeln!(output, "line {line}: {}", skip.in_words())?,
        Outcome::Rejected(rejection) => {
            writeln!(output, "line {line}: rejected, {}", rejection.reason)?;
            if !rejection.field.is_empty() {
                writeln!(output, "  field         {}", rejection.field)?;
            }
            writeln!(output, "  {}", rejection.message)?;
        }
    }
    writeln!(output)
}

/// One line a value; what is inside of an object under its dotted name.
fn write_field(output: &mut dyn Write, name: &str, value: &Value) -> std::io::Result<()> {
    match value {
        Value::Object(inner) => {
            inner.iter().try_for_each(|(key, value)| write_field(output, &format!("{name}.{key}"), value))
        }
        Value::Array(values) => values.iter().try_for_each(|value| write_field(output, name, value)),
        Value::String(text) => writeln!(output, "  {name:<24} {text}"),
        other => writeln!(output, "  {name:<24} {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_lines_or_one_document() {
        let split = |text: &'static str| records(text.as_bytes(), false).len();
        assert_eq!(split("{\"a\":1}\n\n{\"a\":2}\r\n"), 2);
        assert_eq!(split("{\n \"a\": 1\n}\n"), 1);
        assert_eq!(split("no json\n"), 1);
        assert_eq!(split(" \n"), 0);
        assert_eq!(records(b"\xC3\x01\n\n", true).len(), 1);
    }
}
