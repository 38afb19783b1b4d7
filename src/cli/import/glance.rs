//! A file of samples in; its records out, each as it would come on a topic, as many as there is room for.
//!
//! CSV as `import` reads it; JSON on lines, as one document, one after the other or as one list, packed with gzip or not. What
//! cannot be read is handed out as it stands, for the mapping to reject.

use std::{
    io::{self, Read as _},
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use serde::de::IgnoredAny;

use super::{
    rows::{Content, RowFormat, Rows},
    source::Source,
};
use crate::cli::exit::Failure;

/// Bytes of the longest row of CSV.
const ROW_BYTES_MAX: usize = 1 << 20;

/// How much of a file is looked at.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Limits {
    /// Records.
    pub records: usize,
    /// Bytes, unpacked.
    pub bytes: usize,
}

/// The first records of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Glance {
    /// Each with the line that it begins in, from 1.
    pub records: Vec<(usize, Vec<u8>)>,
    /// Whether the file has more.
    pub is_cut: bool,
    /// What the file is: for people.
    pub form: &'static str,
}

/// Reads the first records of a file. `delimiter`: it is CSV, whatever its name says.
pub(in crate::cli) fn glance(path: &Path, delimiter: Option<u8>, limits: Limits) -> Result<Glance, Failure> {
    let source = Source::glance(path)?;
    let read = Arc::new(AtomicU64::new(0));
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let by_name = match name.rsplit_once('.') {
        Some((_, "csv")) => Some(None),
        Some((_, "tsv")) => Some(Some(b'\t')),
        _ => None,
    };
    if by_name.is_none() && delimiter.is_none() {
        let mut bytes = Vec::new();
        let mut reader =
            source.reader(0, &read).map_err(|error| source.failed(0, &error))?.take(limits.bytes as u64 + 1);
        reader.read_to_end(&mut bytes).map_err(|error| source.failed(0, &error))?;
        let is_cut = bytes.len() > limits.bytes;
        bytes.truncate(limits.bytes);
        return Ok(documents(&bytes, is_cut, limits.records));
    }
    let delimiter = match delimiter.or(by_name.flatten()) {
        Some(delimiter) => delimiter,
        None => likely_delimiter(&source, &read).map_err(|error| source.failed(0, &error))?,
    };
    let mut rows = Rows::open(&source, RowFormat::Csv { delimiter }, ROW_BYTES_MAX, (0, 0), &read)?;
    let form = match delimiter {
        b',' => "CSV",
        b'\t' => "CSV with tabs between cells",
        b';' => "CSV with ; between cells: import needs --delimiter ';'",
        _ => "CSV: import needs the same --delimiter",
    };
    let mut found = Glance { form, ..Glance::default() };
    loop {
        let (position, line) = rows.place();
        found.is_cut = found.records.len() >= limits.records || position >= limits.bytes as u64;
        let Some(row) = rows.next().map_err(|error| source.failed(line, &error))?.filter(|_| !found.is_cut) else {
            return Ok(found);
        };
        let payload = match row.content {
            Content::Payload(payload) => payload,
            Content::Bad(_) => row.text,
        };
        found.records.push((usize::try_from(row.line).unwrap_or(usize::MAX), payload.to_owned()));
    }
}

/// What stands most often in the header.
fn likely_delimiter(source: &Source, read: &Arc<AtomicU64>) -> io::Result<u8> {
    let mut bytes = Vec::new();
    source.reader(0, read)?.take(64 << 10).read_to_end(&mut bytes)?;
    let header = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| header.iter().filter(|&&byte| byte == delimiter).count();
    // The first of equals.
    let most = [b',', b';', b'\t', b'|'].into_iter().rev().max_by_key(|&delimiter| count(delimiter));
    Ok(most.unwrap_or(b','))
}

/// The documents of a text, one after the other, or the elements of one list.
fn documents(bytes: &[u8], is_cut: bool, records_max: usize) -> Glance {
    let mut at = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let mut found = Glance { is_cut, form: "JSON, one record after the other", ..Glance::default() };
    let (mut line, mut counted) = (1, at);
    let blank = |at: usize| bytes[at..].iter().position(|byte| !byte.is_ascii_whitespace()).map(|next| at + next);
    let mut is_list = false;
    if let Some(first) = blank(at)
        && bytes[first] == b'['
        // Lists on lines of their own are records that no mapping takes.
        && !bytes[first..].split(|&byte| byte == b'\n').next().is_some_and(|line| {
            line.len() < bytes[first..].trim_ascii_end().len() && serde_json::from_slice::<IgnoredAny>(line).is_ok()
        })
    {
        (is_list, at) = (true, first + 1);
        found.form = "one list of JSON";
    }
    while let Some(start) = blank(at) {
        if is_list && matches!(bytes[start], b']' | b',') {
            at = start + 1;
            if bytes[start] == b']' {
                break;
            }
            continue;
        }
        if found.records.len() >= records_max {
            found.is_cut = true;
            break;
        }
        line += bytes[counted..start].iter().filter(|&&byte| byte == b'\n').count();
        counted = start;
        let mut stream = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<IgnoredAny>();
        let length = match stream.next() {
            Some(Ok(_)) => stream.byte_offset(),
            // The end of the file lies further on.
            Some(Err(error)) if error.is_eof() && is_cut => break,
            Some(Err(_)) if is_list => bytes.len() - start,
            _ => bytes[start..].iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len() - start),
        };
        at = start + length;
        found.records.push((line, bytes[start..at].trim_ascii_end().to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { records: 3, bytes: 100 };

    fn seen(name: &str, content: &[u8], delimiter: Option<u8>) -> String {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("a writable directory");
        match glance(&path, delimiter, LIMITS) {
            Err(failure) => failure.happened,
            Ok(Glance { records, is_cut, .. }) => {
                let mut shown: Vec<String> = records
                    .iter()
                    .map(|(line, payload)| format!("{line} {}", String::from_utf8_lossy(payload)))
                    .collect();
                if is_cut {
                    shown.push("…".into());
                }
                shown.join("\n")
            }
        }
    }

    #[test]
    fn records_of_every_form() {
        for (name, content, expected) in [
            ("a.ndjson", "{\"a\":1}\r\n\n{\"a\":2}\n", "1 {\"a\":1}\n3 {\"a\":2}"),
            ("a.json", "\u{feff}{\n \"a\": 1\n}\n", "1 {\n \"a\": 1\n}"),
            ("a.json", "{\n\"a\":1}\n{\n\"a\":2}", "1 {\n\"a\":1}\n3 {\n\"a\":2}"),
            ("a.json", " [ {\"a\":1},\n{\"a\":2} ]\n", "1 {\"a\":1}\n2 {\"a\":2}"),
            ("a.json", "[{\"a\":1},{\"a\":", "1 {\"a\":1}\n1 {\"a\":"),
            ("a.json", "[1]\n[2]\n", "1 [1]\n2 [2]"),
            ("a.json", "[]", ""),
            ("a.txt", "no json\n{\"a\":1}\n", "1 no json\n2 {\"a\":1}"),
            ("a.ndjson", "{\"a\":1}\n{\"a\":\n{\"a\":3}\n", "1 {\"a\":1}\n2 {\"a\":\n3 {\"a\":3}"),
            ("a.ndjson", "{}\n{}\n{}\n{}\n", "1 {}\n2 {}\n3 {}\n…"),
            ("a.csv", "id;name\n1;x\n2;y\n", "2 {\"id\":\"1\",\"name\":\"x\"}\n3 {\"id\":\"2\",\"name\":\"y\"}"),
            ("A.TSV", "id\tname\n1\tx\n2\n", "2 {\"id\":\"1\",\"name\":\"x\"}\n3 2"),
            ("a.ndjson", " \n", ""),
        ] {
            assert_eq!(seen(name, content.as_bytes(), None), expected, "{content:?}");
        }
        assert_eq!(seen("export", b"id|n\n1|x\n", Some(b'|')), "2 {\"id\":\"1\",\"n\":\"x\"}");
    }

    #[test]
    fn a_large_file_is_not_read_whole() {
        let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(50));
        assert_eq!(seen("a.ndjson", line.repeat(1_000).as_bytes(), None).lines().count(), 2);
        let list = format!("[{}]", line.trim_end().to_owned() + "," + &line);
        assert!(seen("a.json", list.as_bytes(), None).ends_with('…'));
        let rows = format!("id,name\n{}", "1,x\n".repeat(1_000));
        assert_eq!(seen("a.csv", rows.as_bytes(), None).lines().count(), 4);
        let absent = glance(Path::new("/absent/a.csv"), None, LIMITS).expect_err("no such file");
        assert!(absent.happened.contains("/absent/a.csv cannot be read"), "{absent}");
    }
}
