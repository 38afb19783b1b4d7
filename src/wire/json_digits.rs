//! A JSON document that is valid and has a number with more digits than a float holds → its values, that number as it was
//! written.
//!
//! `serde_json` makes a float of such a number, and an id of 24 digits or an exact amount is lost. Its own remedy makes
//! every number of every document a text. Few documents have such a number: those are seen by a glance at one byte of
//! sixteen, and only they are read here.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor, value::BorrowedStrDeserializer},
    forward_to_deserialize_any,
};

/// Digits of a decimal that a float holds (IEEE 754: every decimal of so many comes back from the nearest double).
const FLOAT_DIGITS: usize = 15;

/// Half of the shortest run that is too long.
const HALF_RUN: usize = FLOAT_DIGITS.div_ceil(2);

/// Whether a document may have a number with more digits than a float holds. A text that looks like one may be taken for
/// it, and one is never missed.
#[inline]
pub(super) fn may_have_long_numbers(text: &str) -> bool {
    let bytes = text.as_bytes();
    // A run of more than fifteen has one of every sixteen places in it.
    let mut place = FLOAT_DIGITS;
    while let Some(byte) = bytes.get(place) {
        // One that has this place in it has one of the places eight away, too.
        let is_near = |at: usize| bytes.get(at).is_some_and(|byte| is_of_run(*byte));
        if is_of_run(*byte) && (is_near(place - HALF_RUN) || is_near(place + HALF_RUN)) {
            match run_around(bytes, place) {
                (_, true) => return true,
                (end, false) => place = end,
            }
        }
        place += FLOAT_DIGITS + 1;
    }
    false
}

#[inline]
fn is_of_run(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

/// Where the digits around a place end, and whether they are many and stand where a number stands.
fn run_around(bytes: &[u8], place: usize) -> (usize, bool) {
    // The place before this one is in no run, so that not much is gone back over.
    let start = place - bytes[..place].iter().rev().take_while(|byte| is_of_run(**byte)).count();
    let end = place + bytes[place..].iter().take_while(|byte| is_of_run(**byte)).count();
    let before = bytes[..start].strip_suffix(b"-").unwrap_or(&bytes[..start]).last();
    let is_number = before.is_none_or(|byte| matches!(byte, b':' | b',' | b'[' | b' ' | b'\t' | b'\n' | b'\r'));
    (end, is_number && end - start > FLOAT_DIGITS)
}

/// Reads a document. It must be valid JSON: what is not is not noticed, or an error that says no place.
#[derive(Debug)]
pub(super) struct Document<'de> {
    /// What was not read yet.
    rest: &'de str,
}

/// What is not the JSON that the document was said to be.
#[derive(Debug)]
pub(super) struct NotJson(String);

impl fmt::Display for NotJson {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for NotJson {}

impl serde::de::Error for NotJson {
    fn custom<T: fmt::Display>(message: T) -> NotJson {
        NotJson(message.to_string())
    }
}

impl<'de> Document<'de> {
    pub(super) fn new(text: &'de str) -> Document<'de> {
        Document { rest: text }
    }

    fn next(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.rest.bytes().next()
    }

    /// Goes past so many bytes, and returns them.
    fn take(&mut self, bytes: usize) -> Result<&'de str, NotJson> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or_else(|| NotJson::custom("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A text with its quotes.
    fn quoted(&mut self) -> Result<&'de str, NotJson> {
        let mut is_escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        self.take(end.ok_or_else(|| NotJson::custom("a text does not end"))? + 2)
    }

    /// A number, a truth or null.
    fn word(&mut self) -> Result<&'de str, NotJson> {
        let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
        self.take(self.rest.bytes().take_while(|byte| is_of_word(*byte)).count())
    }

    fn text<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, NotJson> {
        let quoted = self.quoted()?;
        match quoted.contains('\\') {
            false => visitor.visit_borrowed_str(&quoted[1..quoted.len() - 1]),
            true => visitor.visit_string(serde_json::from_str(quoted).map_err(NotJson::custom)?),
        }
    }

    /// Goes past a value, however deep it is.
    fn skip(&mut self) -> Result<(), NotJson> {
        let mut depth = 0_usize;
        loop {
            match self.next() {
                Some(b'"') => drop(self.quoted()?),
                Some(b'{' | b'[') => {
                    self.take(1)?;
                    depth += 1;
                    continue;
                }
                Some(b'}' | b']') => {
                    self.take(1)?;
                    depth = depth.saturating_sub(1);
                }
                Some(b',' | b':') => {
                    self.take(1)?;
                    continue;
                }
                Some(_) if !self.word()?.is_empty() => {}
                _ => return Err(NotJson::custom("there is no value")),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Goes past a comma or the bracket that closes: whether there is another.
    fn has_more(&mut self, close: u8) -> Result<bool, NotJson> {
        let next = self.next();
        if next == Some(b',') || next == Some(close) {
            self.take(1)?;
        }
        Ok(next != Some(close) && (next != Some(b',') || self.next() != Some(close)))
    }
}

impl<'de> Deserializer<'de> for &mut Document<'de> {
    type Error = NotJson;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotJson> {
        match self.next() {
            Some(b'"') => self.text(visitor),
            Some(open @ (b'{' | b'[')) => {
                self.take(1)?;
                let mut members =
                    Members { document: self, close: if open == b'{' { b'}' } else { b']' }, is_begun: false };
                match open {
                    b'{' => visitor.visit_map(&mut members),
                    _ => visitor.visit_seq(&mut members),
                }
            }
            _ => match self.word()? {
                "null" => visitor.visit_unit(),
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                number => {
                    if let Ok(number) = number.parse() {
                        return visitor.visit_i64(number);
                    }
                    if let Ok(number) = number.parse() {
                        return visitor.visit_u64(number);
                    }
                    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
                    match mantissa.bytes().filter(u8::is_ascii_digit).count() > FLOAT_DIGITS {
                        // How a number is told from a text: nothing else comes like this.
                        true => visitor.visit_newtype_struct(BorrowedStrDeserializer::new(number)),
                        false => visitor.visit_f64(serde_json::from_str(number).map_err(NotJson::custom)?),
                    }
                }
            },
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NotJson> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}

/// The members of an object or a list that was opened.
struct Members<'d, 'de> {
    document: &'d mut Document<'de>,
    close: u8,
    is_begun: bool,
}

impl<'de> Members<'_, 'de> {
    fn has_another(&mut self) -> Result<bool, NotJson> {
        if std::mem::replace(&mut self.is_begun, true) || self.document.next() == Some(self.close) {
            return self.document.has_more(self.close);
        }
        Ok(true)
    }
}

impl<'de> MapAccess<'de> for &mut Members<'_, 'de> {
    type Error = NotJson;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, NotJson> {
        match self.has_another()? {
            true => seed.deserialize(&mut *self.document).map(Some),
            false => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NotJson> {
        if self.document.next() == Some(b':') {
            self.document.take(1)?;
        }
        seed.deserialize(&mut *self.document)
    }
}

impl<'de> SeqAccess<'de> for &mut Members<'_, 'de> {
    type Error = NotJson;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, NotJson> {
        match self.has_another()? {
            true => seed.deserialize(&mut *self.document).map(Some),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize as _;
    use serde_json::{Value, json};

    use super::*;

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-999_999_i32..999_999).prop_map(|number| json!(f64::from(number) / 100.0)),
            ".{0,12}|[\\\\\"\n{}\\[\\],:]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}|[\\\\\"]{0,3}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn without_long_numbers_it_reads_what_serde_json_reads(document in documents(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
            let text = text.expect("JSON");
            let mut read = Document::new(&text);
            prop_assert_eq!(Value::deserialize(&mut read).expect("it is JSON"), document);
            prop_assert_eq!(read.rest, "");
            let mut skipped = Document::new(&text);
            skipped.skip().expect("it is JSON");
            prop_assert_eq!(skipped.rest, "");
        }

        #[test]
        fn what_is_no_json_neither_panics_nor_goes_on_for_ever(text in ".{0,40}|[{}\\[\\],:\"\\\\ 0-9.eE-]{0,40}") {
            // It may be read or not.
            drop(Value::deserialize(&mut Document::new(&text)));
            drop(Document::new(&text).skip());
        }

        #[test]
        fn no_long_number_is_missed(before in "[ :,\\[]?.{0,40}", digits in "-?[0-9]{16,40}|[0-9]{1,20}[.][0-9]{15,20}", after in ".{0,40}") {
            let text = format!("{{\"{}\":{digits},\"x\":\"{}\"}}", before.replace(['"', '\\'], ""), after.replace(['"', '\\'], ""));
            prop_assert!(may_have_long_numbers(&text), "{}", text);
        }
    }

    #[test]
    fn a_text_of_many_digits_is_gone_over_once() {
        let text = format!("\"{}\"", "1".repeat(1 << 24));
        let begin = std::time::Instant::now();
        assert!(!may_have_long_numbers(&text));
        assert!(begin.elapsed().as_secs() < 5);
    }

    #[test]
    fn usual_documents_are_not_looked_at_twice() {
        for text in [
            "",
            "1",
            "123456789012345",
            r#"{"card":"4111111111111111","at":"2026-01-31T09:00:00.000000000Z","ts":1760000000000,"v":1.25}"#,
            r#"{"ip":"127.0.0.1.127.0.0.1.1","id":"12345678901234567890"}"#,
        ] {
            assert!(!may_have_long_numbers(text), "{text}");
        }
        for text in ["1234567890123456", "-1234567890123456", "{\"a\":0.1234567890123456}", "[1,1234567890.1234567]"] {
            assert!(may_have_long_numbers(text), "{text}");
        }
    }
}
