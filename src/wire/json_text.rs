//! Serde values to compact JSON text, byte for byte as `serde_json` writes it, at less cost (`benches/feeds.rs`).
//!
//! Public records are mostly field names and short words. `serde_json` looks at every byte of both for characters to
//! escape; here field names, which are identifiers of Rust, are copied, and words are looked at eight bytes at a time.
//! What does need escaping, and every number, is left to `serde_json`.

use serde::{
    Serialize,
    ser::{Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, Serializer},
};
use serde_json::Error;

/// Appends a value as JSON. Structs, maps with string keys, sequences, options, words and numbers are known; what no
/// public record has (bytes, tuples, enums with content) is an error, after which `bytes` ends in a part of the value.
pub fn write<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> Result<(), Error> {
    value.serialize(Writer(bytes))
}

struct Writer<'a>(&'a mut Vec<u8>);

/// An object or array that is open: writes commas between its members and the closing bracket.
struct Open<'a> {
    bytes: &'a mut Vec<u8>,
    first: bool,
    close: u8,
}

fn unsupported<T>(what: &str) -> Result<T, Error> {
    Err(Error::custom(format_args!("{what} have no place in a public record")))
}

/// Whether a text can stand between quotation marks as it is.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH_BITS: u64 = ONES * 128;
    // The sign bit of a byte that is smaller than a limit (S. Anderson, "Bit Twiddling Hacks": determine if a word has a
    // byte less than n); a borrow may mark more bytes, but only when one is marked rightly.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let special = |word: [u8; 8]| {
        let word = u64::from_le_bytes(word);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        (below(word, 0x20) | below(quote, 1) | below(backslash, 1)) & HIGH_BITS
    };
    let (words, _) = text.as_chunks::<8>();
    // The rest is seen in the text's last eight bytes, some of them for the second time: cheaper than to copy it to a
    // word of its own, which the processor could not read before the copy is written.
    match text.last_chunk::<8>() {
        Some(&last) => words.iter().fold(special(last), |found, &word| found | special(word)) == 0,
        None => text.iter().all(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\'),
    }
}

macro_rules! numbers {
    ($($method:ident: $type:ty),+) => {
        $(fn $method(self, number: $type) -> Result<(), Error> {
            serde_json::to_writer(self.0, &number)
        })+
    };
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Open<'a>;
    type SerializeMap = Open<'a>;
    type SerializeStruct = Open<'a>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeStructVariant = Impossible<(), Error>;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32, serialize_f64: f64,
        serialize_bool: bool, serialize_char: char
    );

    #[inline]
    fn serialize_str(self, text: &str) -> Result<(), Error> {
        if !is_plain(text.as_bytes()) {
            return serde_json::to_writer(self.0, text);
        }
        self.0.reserve(text.len() + 2);
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Error> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Open<'a>, Error> {
        Ok(Open::new(self.0, b'[', b']'))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'a>, Error> {
        Ok(Open::new(self.0, b'{', b'}'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Open<'a>, Error> {
        Ok(Open::new(self.0, b'{', b'}'))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        unsupported("bytes")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        unsupported("unit structs")
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        unsupported("enums with content")
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        unsupported("tuples")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
        unsupported("tuples")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        unsupported("enums with content")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        unsupported("enums with content")
    }
}

impl<'a> Open<'a> {
    #[inline]
    fn new(bytes: &'a mut Vec<u8>, open: u8, close: u8) -> Open<'a> {
        bytes.push(open);
        Open { bytes, first: true, close }
    }

    #[inline]
    fn comma(&mut self) {
        if self.first {
            self.first = false;
        } else {
            self.bytes.push(b',');
        }
    }

    #[inline]
    fn close(self) -> Result<(), Error> {
        self.bytes.push(self.close);
        Ok(())
    }
}

impl SerializeSeq for Open<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.comma();
        value.serialize(Writer(self.bytes))
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeMap for Open<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.comma();
        let start = self.bytes.len();
        key.serialize(Writer(self.bytes))?;
        if self.bytes.get(start) != Some(&b'"') {
            return unsupported("map keys that are no strings");
        }
        self.bytes.push(b':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Writer(self.bytes))
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeStruct for Open<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        debug_assert!(is_plain(name.as_bytes()), "field names need no escaping");
        self.bytes.reserve(name.len() + 4);
        self.comma();
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
        value.serialize(Writer(self.bytes))
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Serialize)]
    struct Record {
        words: Vec<String>,
        numbers: BTreeMap<String, i64>,
        reals: Vec<f64>,
        nothing: Option<u8>,
        something: Option<BTreeMap<String, Option<u64>>>,
    }

    proptest! {
        #[test]
        fn text_is_byte_for_byte_that_of_serde_json(
            words in prop::collection::vec(prop_oneof![".*", "[\u{0}-\u{7f}]{0,20}", "[a-z \"\\\\\n]{0,20}"], 0..5),
            numbers: BTreeMap<String, i64>,
            reals: Vec<f64>,
            something: Option<BTreeMap<String, Option<u64>>>,
        ) {
            let record = Record { words, numbers, reals, nothing: None, something };
            let mut bytes = b"before ".to_vec();
            write(&record, &mut bytes).expect("a record");
            prop_assert_eq!(&bytes[7..], serde_json::to_vec(&record).expect("a record"));
        }
    }

    #[test]
    fn every_byte_is_seen_at_every_place_of_a_word() {
        for byte in 0..=127_u8 {
            for place in 0..20 {
                let mut text = [b'a'; 20];
                text[place] = byte;
                let expected = byte >= 0x20 && byte != b'"' && byte != b'\\';
                assert_eq!(is_plain(&text), expected, "byte {byte:#x} at {place}");
                assert_eq!(is_plain(&text[..=place]), expected, "byte {byte:#x} last of {}", place + 1);
            }
        }
    }

    #[test]
    fn what_public_records_do_not_have_is_an_error() {
        let mut bytes = Vec::new();
        assert!(write(&(1, 2), &mut bytes).is_err());
        assert!(write(&BTreeMap::from([(1, 2)]), &mut bytes).is_err());
        assert!(write(&Ok::<u8, u8>(1), &mut bytes).is_err());
    }
}
