//! Rows in; a table for people or JSON for programs out, on standard output.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde_json::Value;

/// Longest text in a table's cell, in characters.
const CELL_CHARACTERS: usize = 48;
/// Rows of a table that is written at once: so that columns line up without keeping a whole list in memory.
const TABLE_ROWS: usize = 50;

/// How a result is shown; every command that shows things has these three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// One JSON document with everything in it, complete when the command ends.
    Json,
    /// One JSON object per line, each as soon as it is known.
    Jsonl,
}

/// Writes a table: a header and rows of equal length. Nothing at all without rows.
pub(super) fn write_table(output: &mut dyn Write, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec()).add_rows(rows.to_vec());
    writeln!(output, "{}", table.trim_fmt())
}

/// Writes one JSON line.
pub(super) fn write_json(output: &mut dyn Write, value: &Value) -> io::Result<()> {
    writeln!(output, "{value}")
}

/// A text on one line that fits a cell. Control characters of foreign bytes must not reach a terminal.
pub(super) fn shortened(text: &str) -> String {
    let mut characters = text.chars().map(|character| if is_unsafe(character) { ' ' } else { character });
    let mut short: String = characters.by_ref().take(CELL_CHARACTERS).collect();
    if characters.next().is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// What would do something to a terminal, or turn the order of what is read.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text in full, on as many lines as it has, with what a terminal must not get as `\u{…}`.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => safe.push(character),
            character if is_unsafe(character) => safe.extend(character.escape_unicode()),
            character => safe.push(character),
        }
    }
    safe
}

/// Bytes in hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// A list as it comes: nothing of it stays in memory but what a block of a table needs.
pub(super) struct Listing<'a> {
    format: Format,
    /// What the list is called in a document.
    name: &'static str,
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    is_begun: bool,
    output: &'a mut dyn Write,
}

impl<'a> Listing<'a> {
    pub(super) fn new(
        format: Format,
        name: &'static str,
        header: &[&'static str],
        output: &'a mut dyn Write,
    ) -> Listing<'a> {
        Listing { format, name, header: header.to_vec(), rows: Vec::new(), is_begun: false, output }
    }

    /// The next thing of the list: the cells of its row, or the whole of it.
    pub(super) fn push(
        &mut self,
        cells: impl FnOnce() -> Vec<String>,
        value: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        self.push_rows(|| vec![cells().iter().map(|cell| shortened(cell)).collect()], value)
    }

    /// The next thing of the list: its rows, safe for a terminal as they are, or the whole of it.
    pub(super) fn push_rows(
        &mut self,
        rows: impl FnOnce() -> Vec<Vec<String>>,
        value: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        match self.format {
            Format::Table => {
                self.rows.extend(rows());
                if self.rows.len() >= TABLE_ROWS { self.pause() } else { Ok(()) }
            }
            Format::Jsonl => write_json(self.output, &value()),
            Format::Json => {
                let before = if std::mem::replace(&mut self.is_begun, true) { ",".to_owned() } else { self.opening() };
                writeln!(self.output, "{before}{}", value())
            }
        }
    }

    /// Nothing more at hand: shows what has come.
    pub(super) fn pause(&mut self) -> io::Result<()> {
        write_table(self.output, &self.header, &self.rows)?;
        self.rows.clear();
        self.output.flush()
    }

    /// The end of the list. `rest`: further members of the document. Gives the output back.
    pub(super) fn end(mut self, rest: &[(&str, Value)]) -> io::Result<&'a mut dyn Write> {
        self.pause()?;
        if self.format == Format::Json {
            let opening = if self.is_begun { String::new() } else { self.opening() };
            write!(self.output, "{opening}]")?;
            for (name, value) in rest {
                write!(self.output, ",\n{}:{value}", Value::from(*name))?;
            }
            writeln!(self.output, "}}")?;
        }
        Ok(self.output)
    }

    fn opening(&self) -> String {
        format!("{{{}:[\n", Value::from(self.name))
    }
}

/// One result: a sentence for people, an object for programs.
pub(super) fn write_one(format: Format, output: &mut dyn Write, words: &str, value: &Value) -> io::Result<()> {
    match format {
        Format::Table => writeln!(output, "{words}")?,
        Format::Json | Format::Jsonl => write_json(output, value)?,
    }
    output.flush()
}

/// Results that are found one after the other: a sentence each for people, as soon as it is known.
pub(super) struct Steps<'a> {
    format: Format,
    listing: Option<Listing<'a>>,
    output: Option<&'a mut dyn Write>,
}

impl<'a> Steps<'a> {
    /// `name`: what they are called in a document.
    pub(super) fn new(format: Format, name: &'static str, output: &'a mut dyn Write) -> Steps<'a> {
        match format {
            Format::Table => Steps { format, listing: None, output: Some(output) },
            Format::Json | Format::Jsonl => {
                Steps { format, listing: Some(Listing::new(format, name, &[], output)), output: None }
            }
        }
    }

    /// The next result.
    pub(super) fn push(&mut self, words: &str, value: &Value) -> io::Result<()> {
        if let Some(listing) = &mut self.listing {
            listing.push(Vec::new, || value.clone())?;
            return listing.pause();
        }
        match &mut self.output {
            Some(output) => write_one(self.format, *output, words, value),
            None => Ok(()),
        }
    }

    /// There are no more. `rest`: further members of the document.
    pub(super) fn end(self, rest: &[(&str, Value)]) -> io::Result<()> {
        match self.listing {
            Some(listing) => listing.end(rest)?.flush(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(format: Format, count: usize) -> String {
        let mut output = Vec::new();
        let mut listing = Listing::new(format, "letters", &["number"], &mut output);
        for number in 0..count {
            listing.push(|| vec![format!("n{number}")], || json!({"number": number})).expect("memory");
        }
        listing.end(&[("count", json!(count))]).expect("memory");
        String::from_utf8(output).expect("text")
    }

    #[test]
    fn a_list_is_one_document_or_lines_or_blocks_of_a_table() {
        for count in [0, 1, 2, 120] {
            let document: Value = serde_json::from_str(&listed(Format::Json, count)).expect("a document");
            assert_eq!(document["letters"].as_array().map(Vec::len), Some(count));
            assert_eq!(document["count"], count);
            assert_eq!(listed(Format::Jsonl, count).lines().count(), count);
            assert_eq!(
                listed(Format::Table, count).matches('n').count()
                    - listed(Format::Table, count).matches("number").count(),
                count
            );
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_comes_through() {
        assert_eq!(escaped("a\x1b[2J\n\u{202e}b"), "a\\u{1b}[2J\n\\u{202e}b");
        assert_eq!(shortened("a\x1b\n\u{202e}b"), "a   b");
        assert_eq!(hexadecimal(&[0, 255, 16]), "00ff10");
    }
}
