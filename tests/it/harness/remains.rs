//! Bytes in; the files that still have them out, wherever they lie and however they are packed. None of the hub's code: what
//! hides a byte from the hub must not hide it from this.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Every file below a folder. One that goes meanwhile is gone.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&path)),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
    found
}

/// Whether bytes hold others.
pub fn has(bytes: &[u8], sought: &[u8]) -> bool {
    let Some((&first, rest)) = sought.split_first() else { return true };
    let mut from = 0;
    while let Some(found) = bytes[from..].iter().position(|&byte| byte == first) {
        from += found + 1;
        if bytes[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

/// Where each of some texts is found: its place, and the text.
#[derive(Debug, Default)]
pub struct Found(BTreeMap<String, Vec<String>>);

impl Found {
    /// Notes which of the texts some bytes hold.
    pub fn look(&mut self, place: &str, bytes: &[u8], sought: &[&str]) {
        for text in sought.iter().filter(|text| has(bytes, text.as_bytes())) {
            let texts = self.0.entry(place.to_owned()).or_default();
            if !texts.iter().any(|known| known == text) {
                texts.push((*text).to_owned());
            }
        }
    }

    /// With what was found another time.
    pub fn add(&mut self, other: Found) {
        for (place, texts) in other.0 {
            let known = self.0.entry(place).or_default();
            known.extend(texts);
            known.sort();
            known.dedup();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a text is in a place whose name has a part.
    pub fn has(&self, place: &str, text: &str) -> bool {
        self.0.iter().any(|(known, texts)| known.contains(place) && texts.iter().any(|known| known == text))
    }
}

/// What the data directory of a hub still has of some texts. `is_excepted`: topics of an embedded log that are not searched.
pub fn in_data_directory(data: &Path, sought: &[&str], is_excepted: &dyn Fn(&str) -> bool) -> Found {
    let mut found = Found::default();
    for path in files(data) {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let place = path.strip_prefix(data).unwrap().display().to_string();
        if place.starts_with("log/") && place.ends_with(".log") {
            segment(&place, &bytes, sought, is_excepted, &mut found);
            continue;
        }
        found.look(&place, &bytes, sought);
        for block in lsm_blocks(&bytes) {
            found.look(&place, &block, sought);
        }
    }
    found
}

/// The blocks of a table of the stores that are packed, unpacked. A header: magic, kind, checksum (16), bytes as they lie there
/// (4), bytes unpacked (4), checksum (4).
fn lsm_blocks(bytes: &[u8]) -> Vec<Vec<u8>> {
    const HEADER_BYTES: usize = 33;
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let headers = (0..bytes.len().saturating_sub(HEADER_BYTES)).filter(|&at| bytes[at..].starts_with(b"LSM\x03"));
    headers
        .filter_map(|at| {
            let (length, unpacked) = (number(at + 21), number(at + 25));
            let packed = bytes.get(at + HEADER_BYTES..at + HEADER_BYTES + length)?;
            if unpacked == length || unpacked > 1 << 28 {
                return None;
            }
            lz4_flex::block::decompress(packed, unpacked).ok()
        })
        .collect()
}

/// Reads from the front of a slice.
struct Front<'a>(&'a [u8]);

impl<'a> Front<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn number(&mut self, length: usize) -> u64 {
        self.take(length).iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    fn varint(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.number(1);
            number |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }

    /// A topic's name; partitions, and what is given up, are passed over.
    fn topic(&mut self) -> String {
        let length = usize::try_from(self.varint()).unwrap();
        let name = String::from_utf8(self.take(length).to_vec()).unwrap();
        self.take(4 + 1 + 8);
        name
    }
}

/// One file of an embedded log, as `src/engine/log/commit_log/{frame,block}.rs` draw it.
fn segment(place: &str, bytes: &[u8], sought: &[&str], is_excepted: &dyn Fn(&str) -> bool, found: &mut Found) {
    const MAGIC: &[u8] = b"\xf1LOG";
    let mut topics: Vec<String> = Vec::new();
    let mut rest = Front(bytes);
    // The end of the file that is written to may be half a frame.
    while rest.0.starts_with(MAGIC) && rest.0.len() >= 36 {
        let kind = rest.0[4];
        let length = u32::from_le_bytes(rest.0[8..12].try_into().unwrap()) as usize;
        if rest.0.len() < 36 + length {
            break;
        }
        rest.take(36);
        let payload = rest.take(length);
        let mut front = Front(payload);
        if kind == 2 {
            for _ in 0..front.number(4) {
                let topic = topics.get(front.number(4) as usize).cloned().unwrap_or_default();
                front.take(28);
                let (length, raw) = (front.number(4) as usize, front.number(4) as usize);
                front.take(8);
                let stored = front.take(length);
                if is_excepted(&topic) {
                    continue;
                }
                let unpacked =
                    if raw > length { lz4_flex::block::decompress(stored, raw).unwrap() } else { stored.to_vec() };
                found.look(&format!("{place}: {topic}"), &unpacked, sought);
            }
            continue;
        }
        found.look(place, payload, sought);
        match kind {
            1 => topics = (0..front.number(4)).map(|_| front.topic()).collect(),
            3 => {
                let topic = front.topic();
                if !topics.contains(&topic) {
                    topics.push(topic);
                }
            }
            _ => {}
        }
    }
    assert!(
        rest.0.len() < 1 << 20 && !topics.is_empty(),
        "{place} does not read as a log from {} bytes on",
        rest.0.len()
    );
}

#[test]
fn what_is_there_is_found() {
    assert!(has(b"abcabd", b"abd") && has(b"x", b"") && has(b"aab", b"ab"));
    assert!(!has(b"abcab", b"abd") && !has(b"", b"a"));
}
