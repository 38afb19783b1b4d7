//! The bytes of a file in; its rows out, each as the payload of one event, or with what is wrong with it.
//!
//! A row of CSV becomes a JSON object of column → text, without empty cells; a line of NDJSON is an event as it is, and so is an
//! element of one list of JSON. A row that is damaged costs itself and no other: a quote that is not closed ends with its line,
//! but in a list, where nothing says where the element should have ended.

use std::{
    io,
    sync::{Arc, atomic::AtomicU64},
};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde::de::IgnoredAny;

use super::{
    documents::{Scan, is_between},
    source::Source,
    window::{EXCERPT_BYTES, Window},
};
use crate::cli::exit::{Exit, Failure};

/// What the rows of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowFormat {
    /// A header, then a row for each event.
    Csv {
        /// What stands between two cells.
        delimiter: u8,
    },
    /// A line of JSON for each event, or one list of them.
    Ndjson,
    /// One list of JSON, or documents one after the other, however they are laid out.
    Json,
}

/// How much of a file is looked at to see whether its lines are documents or the lines of one.
const BEGINNING_BYTES: usize = 64 << 10;

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// The line that it begins in, from 1.
    pub line: u64,
    /// What stands there, without its line break; only the beginning of what is too long.
    pub text: &'a [u8],
    /// What becomes of it.
    pub content: Content<'a>,
}

/// What becomes of a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// An event.
    Payload(&'a [u8]),
    /// It cannot be read. Its text is sent as it is, for the hub to reject and publish, unless it is too long.
    Bad(Defect),
}

/// What is wrong with a row itself, before any mapping looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    /// It has another number of cells than the header.
    FieldCount {
        /// Cells of the row.
        found: usize,
        /// Columns of the header.
        expected: usize,
    },
    /// It has bytes that are no UTF-8.
    NotUtf8,
    /// A quote is opened in its line and closed nowhere, or somewhere in the middle of another cell.
    UnclosedQuote,
    /// It is longer than what the hub takes.
    TooLarge {
        /// Bytes that the hub takes.
        limit: usize,
    },
    /// It is not, but as JSON, with the names of its columns, it is.
    TooLargeAsJson {
        /// Bytes that the hub takes.
        limit: usize,
    },
}

impl Defect {
    /// The reason, in the words of `insight.rejected` where it has one.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Defect::FieldCount { .. } => "wrong_field_count",
            Defect::NotUtf8 => "not_utf8",
            Defect::UnclosedQuote => "unclosed_quote",
            Defect::TooLarge { .. } | Defect::TooLargeAsJson { .. } => "too_large",
        }
    }

    /// A sentence that says what is wrong and what to do.
    pub(super) fn message(self) -> String {
        match self {
            Defect::FieldCount { found, expected } => format!(
                "The row has {found} cells and the header {expected}; put a cell that has a delimiter or a quote in it in quotes."
            ),
            Defect::NotUtf8 => "The row is not UTF-8; write the file in that encoding.".into(),
            Defect::UnclosedQuote => {
                "A quote is opened in this line and not closed where its cell ends; close it, or double the quotes within a cell."
                    .into()
            }
            Defect::TooLarge { limit } => format!(
                "The row is longer than {limit} bytes, or a quote in its line is never closed; it was not sent. Close the \
                 quote, send less, or raise spokes.message_bytes_max."
            ),
            Defect::TooLargeAsJson { limit } => format!(
                "With the names of its columns, as JSON, the row is longer than {limit} bytes; it was not sent. Leave out \
                 columns, or raise spokes.message_bytes_max."
            ),
        }
    }

    /// Whether the text is sent nevertheless.
    pub(super) fn is_sent(self) -> bool {
        !matches!(self, Defect::TooLarge { .. } | Defect::TooLargeAsJson { .. })
    }
}

/// The rows of a file, in order.
pub(super) struct Rows {
    window: Window,
    limit: usize,
    csv: Option<Csv>,
    /// Whether rows are documents of JSON, and no lines.
    has_documents: bool,
    /// Whether they are in a list whose end has not come. Who goes on at the very end of a file has met that before.
    is_in_list: bool,
    is_at_its_start: bool,
    /// The beginning of a line that is too long.
    excerpt: Vec<u8>,
}

/// What CSV needs besides.
struct Csv {
    parser: Reader,
    delimiter: u8,
    /// `"column":` for each.
    keys: Vec<Vec<u8>>,
    cells: Vec<u8>,
    ends: Vec<usize>,
    payload: Vec<u8>,
}

/// One row of CSV within the window.
struct Record {
    /// Bytes with its line break.
    used: usize,
    /// Bytes without it.
    length: usize,
    cells: usize,
    verdict: Verdict,
}

enum Verdict {
    Sound,
    UnclosedQuote,
    TooLarge,
}

impl Rows {
    /// Reads the header, where there is one, and goes to a place between two rows. `limit`: bytes that the hub takes.
    pub(super) fn open(
        source: &Source,
        format: RowFormat,
        limit: usize,
        (position, line): (u64, u64),
        read: &Arc<AtomicU64>,
    ) -> Result<Rows, Failure> {
        let failed = |error: io::Error| source.failed(0, &error);
        let mut window = Window::new(source.reader(0, read).map_err(failed)?, 0, 0);
        window.fill(3).map_err(failed)?;
        if window.bytes().starts_with(b"\xFF\xFE") || window.bytes().starts_with(b"\xFE\xFF") {
            return Err(unusable(source, "it is UTF-16", "save it as UTF-8"));
        }
        if window.bytes().starts_with(b"\xEF\xBB\xBF") {
            window.take(3);
        }
        let mut rows = Rows {
            window,
            limit,
            csv: None,
            has_documents: false,
            is_in_list: false,
            is_at_its_start: false,
            excerpt: Vec::new(),
        };
        if !matches!(format, RowFormat::Csv { .. }) {
            rows.begin_documents(format == RowFormat::Json).map_err(failed)?;
        }
        if let RowFormat::Csv { delimiter } = format {
            rows.read_header(source, delimiter)?;
        }
        if position > 0 {
            let failed = |error: io::Error| source.failed(line, &error);
            rows.window = Window::new(source.reader(position, read).map_err(failed)?, position, line);
            rows.is_at_its_start = true;
            if let Some(csv) = &mut rows.csv {
                csv.parser.reset();
            }
        }
        Ok(rows)
    }

    /// The bytes and the line breaks before the next row: where to go on.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.window.position, self.window.line)
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Row<'_>>> {
        match self.csv {
            Some(_) => self.next_of_csv(),
            None if self.has_documents => self.next_document(),
            None => self.next_line(),
        }
    }

    fn read_header(&mut self, source: &Source, delimiter: u8) -> Result<(), Failure> {
        let mut csv = Csv {
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            delimiter,
            keys: Vec::new(),
            cells: vec![0; 4 << 10],
            ends: vec![0; 64],
            payload: Vec::new(),
        };
        let record = csv.record(&mut self.window, self.limit).map_err(|error| source.failed(0, &error))?;
        let Some(record) = record else {
            return Err(unusable(source, "it is empty: a CSV file begins with the names of its columns", "add them"));
        };
        match record.verdict {
            Verdict::Sound => {}
            Verdict::UnclosedQuote => {
                return Err(unusable(source, "a quote in its header is not closed", "close it"));
            }
            Verdict::TooLarge => {
                let problem = format!("its header is longer than {} bytes, or a quote in it is not closed", self.limit);
                return Err(unusable(source, &problem, "see whether it is CSV with a header"));
            }
        }
        let text = &self.window.bytes()[..record.length];
        if text.starts_with(b"{") {
            return Err(unusable(source, "its header begins as JSON does", "add --format ndjson"));
        }
        if std::str::from_utf8(text).is_err() {
            return Err(unusable(source, "its header is not UTF-8", "write the file in that encoding"));
        }
        let mut names: Vec<String> = Vec::new();
        for index in 0..record.cells {
            let name = String::from_utf8_lossy(csv.cell(index)).trim().to_owned();
            let number = index + 1;
            if name.is_empty() {
                return Err(unusable(source, &format!("column {number} has no name"), "name every column"));
            }
            if let Some(other) = names.iter().position(|other| *other == name) {
                let problem = format!("columns {} and {number} have the same name, {name:?}", other + 1);
                return Err(unusable(source, &problem, "give each column its own name"));
            }
            names.push(name);
        }
        if let [name] = names.as_slice() {
            let other = [';', '\t', '|', ','].into_iter().find(|other| name.contains(*other));
            let next = match other {
                Some(other) => format!("add --delimiter {:?}", other.to_string()),
                None => "name what stands between two columns with --delimiter".to_owned(),
            };
            return Err(unusable(source, "it has one column only, and no event has place in one", &next));
        }
        csv.keys = names
            .iter()
            .map(|name| {
                let mut key = Vec::new();
                write_text(&mut key, name);
                key.push(b':');
                key
            })
            .collect();
        self.window.take(record.used);
        self.csv = Some(csv);
        Ok(())
    }

    fn next_of_csv(&mut self) -> io::Result<Option<Row<'_>>> {
        let Rows { window, limit, csv: Some(csv), excerpt, .. } = self else { return Ok(None) };
        let Some(record) = csv.record(window, *limit)? else { return Ok(None) };
        let line = window.line + 1;
        let index = window.index();
        let (length, content) = match record.verdict {
            Verdict::TooLarge => {
                csv.parser.reset();
                window.take_line(excerpt)?;
                let content = Content::Bad(Defect::TooLarge { limit: *limit });
                return Ok(Some(Row { line, text: without_return(excerpt), content }));
            }
            Verdict::UnclosedQuote => {
                // What follows are rows of their own again.
                csv.parser.reset();
                let text = &window.bytes()[..record.length];
                let end = text.iter().position(|&byte| byte == b'\n');
                let length = without_return(&text[..end.unwrap_or(text.len())]).len();
                window.take(end.map_or(record.used, |end| end + 1));
                (length, Content::Bad(Defect::UnclosedQuote))
            }
            Verdict::Sound => {
                let content = if record.cells != csv.keys.len() {
                    Content::Bad(Defect::FieldCount { found: record.cells, expected: csv.keys.len() })
                } else if std::str::from_utf8(&window.bytes()[..record.length]).is_err() {
                    Content::Bad(Defect::NotUtf8)
                } else {
                    csv.write_payload();
                    // Names and quotes may make it longer than the row.
                    match csv.payload.len() > *limit {
                        true => Content::Bad(Defect::TooLargeAsJson { limit: *limit }),
                        false => Content::Payload(&csv.payload),
                    }
                };
                window.take(record.used);
                (record.length, content)
            }
        };
        Ok(Some(Row { line, text: window.taken(index, length), content }))
    }

    /// Sees whether rows are documents, and goes into the list that they are in, if it is one.
    fn begin_documents(&mut self, is_json: bool) -> io::Result<()> {
        self.window.fill(BEGINNING_BYTES)?;
        let bytes = self.window.bytes();
        let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = &bytes[blank..];
        // Lists on lines of their own are records that no mapping takes.
        let is_line = |line: &[u8]| {
            line.len() < rest.trim_ascii_end().len() && serde_json::from_slice::<IgnoredAny>(line).is_ok()
        };
        let is_list =
            rest.starts_with(b"[") && (is_json || !rest.split(|&byte| byte == b'\n').next().is_some_and(is_line));
        self.has_documents = is_json || is_list;
        self.is_in_list = is_list;
        if is_list {
            self.window.take(blank + 1);
        }
        Ok(())
    }

    fn next_document(&mut self) -> io::Result<Option<Row<'_>>> {
        loop {
            let between = self.window.bytes().iter().take_while(|byte| is_between(**byte)).count();
            self.is_in_list &= !self.window.bytes()[..between].contains(&b']');
            self.is_at_its_start &= between == 0;
            self.window.take(between);
            if !self.window.bytes().is_empty() {
                break;
            }
            if !self.window.more()? {
                return match self.is_in_list && !self.is_at_its_start {
                    true => {
                        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the list has no end; is the file whole?"))
                    }
                    false => Ok(None),
                };
            }
        }
        self.is_at_its_start = false;
        let line = self.window.line + 1;
        let (mut scan, mut searched) = (Scan::default(), 0);
        loop {
            let end = scan.end(&self.window.bytes()[searched..]).map(|end| searched + end);
            let length = end.unwrap_or(self.window.bytes().len());
            if length > self.limit {
                self.excerpt.clear();
                self.excerpt.extend_from_slice(&self.window.bytes()[..length.min(EXCERPT_BYTES)]);
                self.window.take(length);
                let mut is_over = end.is_some();
                while !is_over && self.window.more()? {
                    let end = scan.end(self.window.bytes());
                    is_over = end.is_some();
                    self.window.take(end.unwrap_or(self.window.bytes().len()));
                }
                self.is_in_list &= is_over;
                let content = Content::Bad(Defect::TooLarge { limit: self.limit });
                return Ok(Some(Row { line, text: &self.excerpt, content }));
            }
            if end.is_none() && self.window.more()? {
                searched = length;
                continue;
            }
            // One without an end may have that of the list in it, and is rejected.
            self.is_in_list &= end.is_some();
            let index = self.window.index();
            self.window.take(length);
            let text = self.window.taken(index, length);
            return Ok(Some(Row { line, text, content: Content::Payload(text) }));
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Row<'_>>> {
        let mut searched = 0;
        loop {
            let found = self.window.bytes()[searched..].iter().position(|&byte| byte == b'\n');
            let end = found.map_or(self.window.bytes().len(), |found| searched + found);
            if end > self.limit && without_return(&self.window.bytes()[..end]).len() > self.limit {
                let line = self.window.line + 1;
                self.window.take_line(&mut self.excerpt)?;
                let content = Content::Bad(Defect::TooLarge { limit: self.limit });
                return Ok(Some(Row { line, text: without_return(&self.excerpt), content }));
            }
            if found.is_none() && self.window.more()? {
                searched = end;
                continue;
            }
            let text = without_return(&self.window.bytes()[..end]);
            let (length, blank) = (text.len(), text.iter().all(u8::is_ascii_whitespace));
            let (line, index) = (self.window.line + 1, self.window.index());
            self.window.take(end + usize::from(found.is_some()));
            if !blank {
                let text = self.window.taken(index, length);
                return Ok(Some(Row { line, text, content: Content::Payload(text) }));
            }
            if found.is_none() {
                return Ok(None);
            }
            searched = 0;
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let csv = self
            .csv
            .as_ref()
            .map_or(0, |csv| csv.cells.capacity() + csv.ends.capacity() * size_of::<usize>() + csv.payload.capacity());
        self.window.capacity() + csv + self.excerpt.capacity()
    }
}

impl Csv {
    /// Finds the next row in the window and leaves it there. Blank lines are no rows.
    fn record(&mut self, window: &mut Window, limit: usize) -> io::Result<Option<Record>> {
        loop {
            let blank = window.bytes().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            window.take(blank);
            if !window.bytes().is_empty() {
                break;
            }
            if !window.more()? {
                return Ok(None);
            }
        }
        let (mut used, mut written, mut cells) = (0, 0, 0);
        let mut at_end = false;
        loop {
            // Without any input it is told that the file ends.
            let input = &window.bytes()[used..];
            let (result, read, wrote, ended) =
                self.parser.read_record(input, &mut self.cells[written..], &mut self.ends[cells..]);
            used += read;
            written += wrote;
            cells += ended;
            match result {
                ReadRecordResult::InputEmpty if used > limit + 2 => {
                    return Ok(Some(Record { used, length: used, cells, verdict: Verdict::TooLarge }));
                }
                ReadRecordResult::InputEmpty => at_end |= !window.more()?,
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record => break,
            }
        }
        let text = &window.bytes()[..used];
        let length = if at_end { text.len() } else { text.len().saturating_sub(1) };
        let verdict = if length > limit {
            Verdict::TooLarge
        } else if (at_end || text[..length].contains(&b'\n')) && !has_sound_quotes(&text[..length], self.delimiter) {
            // Within one line csv-core reads what people write by hand; over several, a stray quote eats rows.
            Verdict::UnclosedQuote
        } else {
            Verdict::Sound
        };
        Ok(Some(Record { used, length, cells, verdict }))
    }

    fn cell(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.cells[start..self.ends[index]]
    }

    /// The row at hand, which is UTF-8 and has as many cells as there are columns, as JSON.
    fn write_payload(&mut self) {
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        payload.push(b'{');
        for (index, key) in self.keys.iter().enumerate() {
            // Quotes and delimiters are ASCII: a cell of a row of UTF-8 is UTF-8.
            let Ok(text) = std::str::from_utf8(self.cell(index)) else { continue };
            if text.trim().is_empty() {
                continue;
            }
            if payload.len() > 1 {
                payload.push(b',');
            }
            payload.extend_from_slice(key);
            write_text(&mut payload, text);
        }
        payload.push(b'}');
        self.payload = payload;
    }
}

/// Whether every quote in a row opens a cell, closes one or is doubled within one, and none is left open (RFC 4180).
fn has_sound_quotes(text: &[u8], delimiter: u8) -> bool {
    let mut bytes = text.iter().copied().peekable();
    loop {
        // At the beginning of a cell.
        if bytes.next_if_eq(&b'"').is_some() {
            loop {
                match bytes.next() {
                    Some(b'"') if bytes.next_if_eq(&b'"').is_some() => {}
                    Some(b'"') => break,
                    Some(_) => {}
                    None => return false,
                }
            }
        } else {
            while let Some(byte) = bytes.next_if(|&byte| byte != delimiter) {
                if byte == b'"' {
                    return false;
                }
            }
        }
        match bytes.next() {
            None => return true,
            Some(byte) if byte == delimiter => {}
            Some(_) => return false,
        }
    }
}

fn without_return(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// A text as JSON.
fn write_text(into: &mut Vec<u8>, text: &str) {
    // Nothing but the writer can fail, and a vector does not.
    let _ = serde_json::to_writer(into, text);
}

fn unusable(source: &Source, problem: &str, next: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{}: {problem}", source.name()), next)
}
