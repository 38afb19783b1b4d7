//! What became of each row in; counts, lines and examples out, in the same few kilobytes whatever the file.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::output::{Format, write_json, write_table};

/// Line numbers that are kept of each kind of rejection.
const LINES_MAX: usize = 5;
/// Messages that are kept, of all kinds together …
const EXAMPLES_MAX: usize = 20;
/// … and of one kind, so that a common mistake does not hide a rare one.
const EXAMPLES_OF_KIND_MAX: usize = 3;
/// Kinds of rejection that are told apart: far more than a mapping has fields to blame.
const KINDS_MAX: usize = 1_000;

/// What came of the rows so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tally {
    /// Rows: lines or rows of CSV that are not blank.
    pub rows: u64,
    /// Touchpoints that the hub takes; how many of them it had already is for the hub to say.
    pub accepted: u64,
    /// What the mapping leaves out.
    pub skipped: u64,
    /// What the hub rejects.
    pub rejected: u64,
    /// Those of them that were not even sent, because no message holds them.
    pub not_sent: u64,
    /// Rejections by reason and field, in the order in which they were first seen.
    pub rejections: Vec<Rejections>,
    /// What some of them said.
    pub examples: Vec<Example>,
}

/// Rejections of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rejections {
    /// The reason.
    pub reason: String,
    /// The field to blame; empty if it is the row as a whole.
    pub field: String,
    /// How many there were.
    pub count: u64,
    /// The lines of the first of them.
    pub lines: Vec<u64>,
}

/// One rejection in full. No value of the row is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Example {
    /// Its line.
    pub line: u64,
    /// The reason.
    pub reason: String,
    /// The field to blame.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Tally {
    /// Counts a rejection.
    pub(super) fn reject(&mut self, line: u64, reason: &str, field: &str, message: &str) {
        self.rejected += 1;
        let of_kind = |kind: &Rejections| kind.reason == reason && kind.field == field;
        match self.rejections.iter().position(of_kind) {
            Some(index) => {
                let kind = &mut self.rejections[index];
                kind.count += 1;
                if kind.lines.len() < LINES_MAX {
                    kind.lines.push(line);
                }
            }
            None if self.rejections.len() < KINDS_MAX => self.rejections.push(Rejections {
                reason: reason.to_owned(),
                field: field.to_owned(),
                count: 1,
                lines: vec![line],
            }),
            None => {}
        }
        if self.examples.len() == EXAMPLES_MAX {
            return;
        }
        let mut of_kind = self.examples.iter().filter(|example| example.reason == reason && example.field == field);
        let is_new = of_kind.clone().all(|example| example.message != message);
        if is_new && of_kind.nth(EXAMPLES_OF_KIND_MAX - 1).is_none() {
            self.examples.push(Example {
                line,
                reason: reason.to_owned(),
                field: field.to_owned(),
                message: message.to_owned(),
            });
        }
    }
}

/// What is told at the end.
pub(super) struct Report<'a> {
    /// The file.
    pub file: &'a str,
    /// The department.
    pub spoke: &'a str,
    /// Its topic.
    pub topic: &'a str,
    /// What came of it, with what an interrupted import had done before.
    pub tally: &'a Tally,
    /// Whether it is complete.
    pub done: bool,
    /// Whether it was so before, and nothing was done now.
    pub done_before: bool,
    /// The line after which this one went on.
    pub resumed_after_line: Option<u64>,
}

impl Report<'_> {
    /// Shows it.
    pub(super) fn write(&self, format: Format, output: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json | Format::Jsonl => write_json(output, &self.json())?,
            Format::Table => self.tables(output)?,
        }
        output.flush()
    }

    fn json(&self) -> Value {
        let tally = self.tally;
        json!({
            "file": self.file,
            "spoke": self.spoke,
            "topic": self.topic,
            "done": self.done,
            "done_before": self.done_before,
            "resumed_after_line": self.resumed_after_line,
            "rows": tally.rows,
            "accepted": tally.accepted,
            "skipped": tally.skipped,
            "rejected": tally.rejected,
            "not_sent": tally.not_sent,
            "rejections": tally.rejections,
            "examples": tally.examples,
        })
    }

    fn tables(&self, output: &mut dyn Write) -> io::Result<()> {
        let Report { file, spoke, topic, tally, .. } = self;
        if self.done_before {
            writeln!(
                output,
                "{file} was imported already as {spoke}, and nothing was done now. What came of it then:\n"
            )?;
        }
        let counts = [tally.rows, tally.accepted, tally.skipped, tally.rejected, tally.not_sent].map(|n| n.to_string());
        let mut row = vec![(*spoke).to_owned(), (*topic).to_owned()];
        row.extend(counts);
        write_table(output, &["spoke", "topic", "rows", "accepted", "skipped", "rejected", "not sent"], &[row])?;
        if !tally.rejections.is_empty() {
            let rows: Vec<Vec<String>> = tally
                .rejections
                .iter()
                .map(|kind| {
                    let mut lines = kind.lines.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
                    if kind.count > kind.lines.len() as u64 {
                        lines.push_str(", …");
                    }
                    vec![kind.reason.clone(), kind.field.clone(), kind.count.to_string(), lines]
                })
                .collect();
            writeln!(output)?;
            write_table(output, &["rejected because", "field", "count", "lines"], &rows)?;
            let rows: Vec<Vec<String>> = tally
                .examples
                .iter()
                .map(|example| vec![example.line.to_string(), example.field.clone(), example.message.clone()])
                .collect();
            writeln!(output)?;
            write_table(output, &["line", "field", "for example"], &rows)?;
        }
        if self.done_before {
            writeln!(output, "\nTo send it again, for example after a change of the mapping, add --again.")?;
        } else if self.done && tally.rejected > 0 {
            writeln!(
                output,
                "\nWhat was rejected is also on the feed of rejected records. Correct the rows, or the mapping, and import \
                 again (with --again, if the file is the same): what the hub has already counts once."
            )?;
        }
        Ok(())
    }
}
