//! The body of a request in; the items in it out, as parts of it, without reading what they say.

use std::{io::Read as _, ops::Range};

use flate2::read::MultiGzDecoder;

/// How items follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Elements of one JSON array.
    Array,
    /// A line each; blank lines are none.
    Lines,
}

/// Why there are no items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    /// It does not unpack.
    #[error("the body is not gzip, or is cut off; pack it again, or leave `content-encoding` out")]
    NotGzip,
    /// There is no room for it now.
    #[error("too much waits to be stored")]
    NoRoom,
    /// It is too much.
    #[error("unpacked, the body has more than {0} bytes; send fewer items at a time")]
    TooLong(usize),
    /// It is too many.
    #[error("there are more than {0} items; send fewer at a time")]
    TooMany(usize),
    /// There is no array.
    #[error("the body is no JSON array; send [ITEM, ITEM, …], or one item a line as application/x-ndjson")]
    NoArray,
    /// It does not end as it should.
    #[error("the array does not end, or something comes behind its end, at byte {0}; send one whole array")]
    Unended(usize),
    /// There is nothing.
    #[error("there are no items in it")]
    Nothing,
}

/// What is unpacked at a time.
const INFLATED_AT_A_TIME: usize = 64 << 10;

/// Unpacks a body; it never takes more than `bytes_max`. `grow`: whether there is room for so many bytes more, of which it is asked
/// before they are kept.
pub(super) fn inflate(body: &[u8], bytes_max: usize, grow: &mut dyn FnMut(usize) -> bool) -> Result<Vec<u8>, Unread> {
    let (mut unpacked, mut piece) = (Vec::new(), vec![0; INFLATED_AT_A_TIME]);
    let mut decoder = MultiGzDecoder::new(body);
    loop {
        let count = decoder.read(&mut piece).map_err(|_| Unread::NotGzip)?;
        if count == 0 {
            return Ok(unpacked);
        }
        if unpacked.len() + count > bytes_max {
            return Err(Unread::TooLong(bytes_max));
        }
        if !grow(count) {
            return Err(Unread::NoRoom);
        }
        unpacked.extend_from_slice(&piece[..count]);
    }
}

/// Where the items are in a body: at least one. Each may be anything; whoever maps it says what is wrong with it.
pub(super) fn items(shape: Shape, body: &[u8], items_max: usize) -> Result<Vec<Range<usize>>, Unread> {
    let items = match shape {
        Shape::Array => elements(body, items_max)?,
        Shape::Lines => lines(body, items_max)?,
    };
    if items.is_empty() { Err(Unread::Nothing) } else { Ok(items) }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A range without the white space around it.
fn trimmed(body: &[u8], range: Range<usize>) -> Range<usize> {
    let part = &body[range.clone()];
    let Some(first) = part.iter().position(|byte| !is_space(*byte)) else { return range.start..range.start };
    let last = part.iter().rposition(|byte| !is_space(*byte)).unwrap_or(first);
    range.start + first..range.start + last + 1
}

fn lines(body: &[u8], items_max: usize) -> Result<Vec<Range<usize>>, Unread> {
    let (mut items, mut start) = (Vec::new(), 0);
    for line in body.split(|byte| *byte == b'\n') {
        let range = trimmed(body, start..start + line.len());
        start += line.len() + 1;
        if range.is_empty() {
            continue;
        }
        if items.len() == items_max {
            return Err(Unread::TooMany(items_max));
        }
        items.push(range);
    }
    Ok(items)
}

/// Elements end at commas that are in no string and in no other element, whatever else is wrong with them.
fn elements(body: &[u8], items_max: usize) -> Result<Vec<Range<usize>>, Unread> {
    let begin = body.iter().position(|byte| !is_space(*byte)).filter(|at| body[*at] == b'[').ok_or(Unread::NoArray)?;
    let (mut items, mut start, mut depth) = (Vec::new(), begin + 1, 0_usize);
    let (mut in_text, mut is_escaped) = (false, false);
    let mut end = None;
    for (at, byte) in body.iter().enumerate().skip(begin + 1) {
        if in_text {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        let is_last = *byte == b']' && depth == 0;
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth > 0 => depth -= 1,
            b',' if depth == 0 => {}
            _ if is_last => {}
            _ => continue,
        }
        if depth == 0 && (*byte == b',' || is_last) {
            let range = trimmed(body, start..at);
            // An empty array has no element; anything else between commas is one, if only to be told that it is none.
            if !(is_last && items.is_empty() && range.is_empty()) {
                if items.len() == items_max {
                    return Err(Unread::TooMany(items_max));
                }
                items.push(range);
            }
            start = at + 1;
        }
        if is_last {
            end = Some(at);
            break;
        }
    }
    let end = end.ok_or(Unread::Unended(body.len()))?;
    match body[end + 1..].iter().position(|byte| !is_space(*byte)) {
        Some(behind) => Err(Unread::Unended(end + 1 + behind)),
        None => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn texts(shape: Shape, body: &str) -> Result<Vec<&str>, Unread> {
        items(shape, body.as_bytes(), 100).map(|items| items.into_iter().map(|range| &body[range]).collect())
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    #[test]
    fn items_are_found_whatever_is_in_them() {
        let array = |body| texts(Shape::Array, body);
        assert_eq!(
            array(" [ {\"a\": [1, 2]} , \"x,]\\\",[\" ,3\n] "),
            Ok(vec!["{\"a\": [1, 2]}", "\"x,]\\\",[\"", "3"])
        );
        assert_eq!(array("[[],[[]],{}]"), Ok(vec!["[]", "[[]]", "{}"]));
        assert_eq!(array("[1,]"), Ok(vec!["1", ""]), "the mapping says what is wrong with nothing");
        assert_eq!(array("[,1]"), Ok(vec!["", "1"]));
        assert_eq!(array("[nonsense}]"), Ok(vec!["nonsense}"]));
        assert_eq!(array("[\"\\\\\",1]"), Ok(vec!["\"\\\\\"", "1"]));
        for none in ["", "  ", "{}", "1", "\"[1]\"", "\u{feff}[1]"] {
            assert_eq!(array(none), Err(Unread::NoArray), "{none:?}");
        }
        for unended in ["[", "[1", "[1,", "[{]", "[\"]", "[\"\\\"]", "[1]]", "[1] x", "[1][2]"] {
            assert!(matches!(array(unended), Err(Unread::Unended(_))), "{unended:?}");
        }
        assert_eq!(array("[ ]"), Err(Unread::Nothing));
        let lines = |body| texts(Shape::Lines, body);
        assert_eq!(lines("{\"a\":1}\r\n\n  \n {\"b\":2}"), Ok(vec!["{\"a\":1}", "{\"b\":2}"]));
        assert_eq!(lines("\n \r\n"), Err(Unread::Nothing));
    }

    #[test]
    fn too_many_are_refused_before_they_are_kept() {
        let body = format!("[{}1]", "1,".repeat(1_000_000));
        assert_eq!(items(Shape::Array, body.as_bytes(), 10), Err(Unread::TooMany(10)));
        assert_eq!(items(Shape::Lines, "1\n".repeat(11).as_bytes(), 10), Err(Unread::TooMany(10)));
        assert_eq!(items(Shape::Lines, "1\n".repeat(10).as_bytes(), 10).map(|items| items.len()), Ok(10));
    }

    #[test]
    fn a_bomb_is_unpacked_no_further_than_it_may() {
        let bomb = packed(&vec![b' '; 64 << 20]);
        assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
        assert_eq!(inflate(&bomb, 1 << 20, &mut |_| true), Err(Unread::TooLong(1 << 20)));
        // A file may have several members (RFC 1952, 2.2), and so may a bomb.
        let many: Vec<u8> = packed(&[b'x'; 1_000]).repeat(100);
        assert_eq!(inflate(&many, 50_000, &mut |_| true), Err(Unread::TooLong(50_000)));
        assert_eq!(inflate(&many, 100_000, &mut |_| true).map(|bytes| bytes.len()), Ok(100_000));
        let whole = packed(b"[1]");
        assert_eq!(inflate(&whole, 3, &mut |_| true), Ok(b"[1]".to_vec()));
        assert_eq!(inflate(&whole, 2, &mut |_| true), Err(Unread::TooLong(2)));
        for wrong in [&whole[..whole.len() - 1], &b"[1]"[..], &b""[..], &packed(&whole)[1..]] {
            assert_eq!(inflate(wrong, 1_000, &mut |_| true), Err(Unread::NotGzip));
        }
        // Room is asked for before it is taken.
        let (bytes, mut room) = (packed(&vec![b'x'; 1 << 20]), 300_000_usize);
        let grow = &mut |count: usize| room.checked_sub(count).inspect(|left| room = *left).is_some();
        assert_eq!(inflate(&bytes, 1 << 20, grow), Err(Unread::NoRoom));
        assert!(room < INFLATED_AT_A_TIME, "{room}");
        let mut damaged = whole.clone();
        damaged[12] ^= 0x40;
        assert_eq!(inflate(&damaged, 1_000, &mut |_| true), Err(Unread::NotGzip));
    }

    proptest! {
        #[test]
        fn an_array_is_taken_apart_as_a_parser_would(values in prop::collection::vec(json(), 1..20), spaced in any::<bool>()) {
            let array = serde_json::Value::Array(values.clone());
            let body = if spaced { serde_json::to_string_pretty(&array) } else { serde_json::to_string(&array) };
            let body = body.expect("it can be written");
            let found: Vec<serde_json::Value> = texts(Shape::Array, &body)
                .expect("an array")
                .into_iter()
                .map(|item| serde_json::from_str(item).expect("an element"))
                .collect();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn nothing_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for shape in [Shape::Array, Shape::Lines] {
                if let Ok(items) = items(shape, &body, 50) {
                    prop_assert!(items.iter().all(|range| range.end <= body.len() && range.start <= range.end));
                }
            }
            let _ = inflate(&body, 100, &mut |_| true);
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i64>().prop_map(serde_json::Value::from),
            "[\\[\\],{}\"\\\\ a-zé\n]{0,12}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[a-z\"\\]]{0,4}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
