//! Avro single-object encoding: a serde value and its schema in, `C3 01`, the schema's fingerprint and the datum out.
//!
//! Source: Apache Avro 1.12 specification, "Single-object encoding" and "Parsing Canonical Form for Schemas".

use serde::{Deserialize, Serialize};
use serde_avro_fast::{Schema, de::DeserializerState, ser::SerializerConfig};

/// The two bytes that every single-object message starts with.
pub const MARKER: [u8; 2] = [0xC3, 0x01];

/// The byte that every message in the wire format of schema registries starts with; the schema's id follows, big endian.
pub const REGISTRY: u8 = 0;

/// A schema that cannot be used: the text is not Avro.
#[derive(Debug, thiserror::Error)]
#[error("the Avro schema cannot be used: {0}; correct the schema's text")]
pub struct SchemaError(String);

/// A value that its schema does not describe, or bytes that are not a value of the schema.
#[derive(Debug, thiserror::Error)]
#[error("value and Avro schema {schema} do not fit: {cause}")]
pub struct CodecError {
    schema: String,
    cause: String,
}

/// One schema, ready to encode and decode single-object messages.
#[derive(Debug)]
pub struct SingleObject {
    schema: Schema,
    name: String,
}

impl SingleObject {
    /// The codec of a schema's JSON text. The schema must have a name (record, enum or fixed).
    pub fn parse(text: &str) -> Result<SingleObject, SchemaError> {
        let schema: Schema =
            text.parse().map_err(|error: serde_avro_fast::schema::SchemaError| SchemaError(error.to_string()))?;
        let outline: Outline = serde_json::from_str(text).map_err(|error| SchemaError(error.to_string()))?;
        let name = match outline.namespace {
            Some(namespace) if !outline.name.contains('.') => format!("{namespace}.{}", outline.name),
            _ => outline.name,
        };
        Ok(SingleObject { schema, name })
    }

    /// The schema's full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// CRC-64-AVRO of the schema's parsing canonical form; messages carry it in little endian.
    pub fn fingerprint(&self) -> u64 {
        u64::from_le_bytes(*self.schema.rabin_fingerprint())
    }

    /// Appends a value as a single-object message. After an error `bytes` ends in a part of the message.
    pub fn encode<T: Serialize + ?Sized>(&self, value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        // The configuration's buffers serve fields that come in another order than the schema's; ours come in order, so
        // that a fresh one allocates nothing.
        let mut configuration = SerializerConfig::new(&self.schema);
        serde_avro_fast::to_single_object(value, bytes, &mut configuration)
            .map(|_| ())
            .map_err(|error| self.error(&error))
    }

    /// Appends a value in the wire format of schema registries, under the id that the schema has there. After an error
    /// `bytes` ends in a part of the message.
    pub fn encode_as<T: Serialize + ?Sized>(&self, id: u32, value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
        bytes.push(REGISTRY);
        bytes.extend_from_slice(&id.to_be_bytes());
        let mut configuration = SerializerConfig::new(&self.schema);
        serde_avro_fast::to_datum(value, bytes, &mut configuration).map(|_| ()).map_err(|error| self.error(&error))
    }

    /// The value of a message in that format which was written with exactly this schema, whatever its id.
    pub fn decode_any_id<'a, T: Deserialize<'a>>(&self, bytes: &'a [u8]) -> Result<T, CodecError> {
        match bytes.split_at_checked(5) {
            Some(([REGISTRY, ..], datum)) => self.datum(datum),
            _ => Err(self.error(&"no schema id stands before the value")),
        }
    }

    /// The value of a single-object message of exactly this schema, borrowing its text.
    pub fn decode<'a, T: Deserialize<'a>>(&self, bytes: &'a [u8]) -> Result<T, CodecError> {
        let datum = bytes.strip_prefix(&MARKER).and_then(|rest| rest.strip_prefix(self.schema.rabin_fingerprint()));
        self.datum(datum.ok_or_else(|| self.error(&"it was written with another schema"))?)
    }

    /// A value that is all of the bytes: what was written with a longer schema is no value of this one.
    fn datum<'a, T: Deserialize<'a>>(&self, datum: &'a [u8]) -> Result<T, CodecError> {
        let mut state = DeserializerState::from_slice(datum, &self.schema);
        let value = T::deserialize(state.deserializer()).map_err(|error| self.error(&error))?;
        match std::io::Read::read(&mut state.into_reader(), &mut [0]) {
            Ok(0) => Ok(value),
            _ => Err(self.error(&"bytes are left after the value")),
        }
    }

    fn error(&self, cause: &dyn std::fmt::Display) -> CodecError {
        CodecError { schema: self.name.clone(), cause: cause.to_string() }
    }
}

/// What of a schema's JSON names it.
#[derive(Deserialize)]
struct Outline {
    name: String,
    namespace: Option<String>,
}

/// A second opinion for tests: the Avro project's own implementation, which encodes none of our messages.
#[cfg(test)]
pub(crate) mod reference {
    use apache_avro::{
        Schema,
        schema_compatibility::{Compatibility, SchemaCompatibility},
        types::Value,
    };

    /// The fingerprint of the reference's canonical form, corrected: the reference leaves a primitive with a logical type
    /// as `{"type":"long"}`, where the specification ([PRIMITIVES]) and its Java implementation write `"long"`.
    pub fn fingerprint(schema: &str) -> u64 {
        let schema = Schema::parse_str(schema).expect("a schema of this crate is valid");
        let mut canonical = schema.canonical_form();
        for primitive in ["int", "long"] {
            canonical = canonical.replace(&format!("{{\"type\":\"{primitive}\"}}"), &format!("\"{primitive}\""));
        }
        // The loop of the specification, "Schema Fingerprints", bit by bit instead of by table.
        const EMPTY: u64 = 0xC15D_213A_A4D7_A795;
        canonical.bytes().fold(EMPTY, |fingerprint, byte| {
            let shifted = (0..8).fold((fingerprint ^ u64::from(byte)) & 0xFF, |bits, _| {
                (bits >> 1) ^ (if bits & 1 == 1 { EMPTY } else { 0 })
            });
            (fingerprint >> 8) ^ shifted
        })
    }

    /// Whether readers with either schema can read every message written with the other.
    pub fn fully_compatible(one: &str, other: &str) -> Result<(), String> {
        let one = Schema::parse_str(one).map_err(|error| error.to_string())?;
        let other = Schema::parse_str(other).map_err(|error| error.to_string())?;
        match SchemaCompatibility::mutual_read(&one, &other) {
            Ok(Compatibility::Full) => Ok(()),
            Ok(Compatibility::Partial) => Err("only some messages can be read".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A message of one schema, resolved to another as the specification says and written with that.
    pub fn resolved(from: &str, to: &str, message: &[u8]) -> Vec<u8> {
        let (header, to) =
            (super::SingleObject::parse(to).expect("a schema"), Schema::parse_str(to).expect("a schema"));
        let from = Schema::parse_str(from).expect("a schema");
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&from).reader_schema(&to).build();
        let datum: Value = reader.and_then(|reader| reader.read_value(&mut &message[10..])).expect("they go together");
        let mut bytes = [&super::MARKER[..], &header.fingerprint().to_le_bytes()].concat();
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&to).build();
        bytes.extend(writer.and_then(|writer| writer.write_value_to_vec(datum)).expect("a value of its schema"));
        bytes
    }

    /// A message as the reference reads it, written again by the reference: equal to the message but for the
    /// order of map entries, which the reference shuffles; or one of the two implementations does not speak Avro.
    pub fn rewritten(schema: &str, message: &[u8]) -> Vec<u8> {
        let schema = Schema::parse_str(schema).expect("a schema of this crate is valid");
        let mut rest = &message[10..];
        let datum: Value = apache_avro::reader::datum::GenericDatumReader::builder(&schema)
            .build()
            .expect("a parsed schema can be read with")
            .read_value(&mut rest)
            .expect("the message is a value of the schema");
        assert!(rest.is_empty(), "the message goes on after its value");
        let mut bytes = message[..10].to_vec();
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build();
        let writer = writer.expect("a parsed schema can be written with");
        bytes.extend(writer.write_value_to_vec(datum).expect("a value that was read can be written"));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: &str = r#"{"type":"record","namespace":"test","name":"Point","fields":[
        {"name":"x","type":"long","doc":"east"},{"name":"word","type":["null","string"],"default":null}]}"#;

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Point<'a> {
        x: i64,
        word: Option<&'a str>,
    }

    #[test]
    fn a_value_comes_back_and_the_bytes_are_those_of_the_specification() {
        let codec = SingleObject::parse(POINT).expect("valid");
        assert_eq!(codec.name(), "test.Point");
        assert_eq!(codec.fingerprint(), reference::fingerprint(POINT));
        let mut bytes = Vec::new();
        let point = Point { x: -2, word: Some("é") };
        codec.encode(&point, &mut bytes).expect("fits");
        assert_eq!(bytes[..2], MARKER);
        assert_eq!(bytes[2..10], codec.fingerprint().to_le_bytes());
        assert_eq!(bytes[10..], [0x03, 0x02, 0x04, 0xC3, 0xA9]);
        assert_eq!(codec.decode::<Point<'_>>(&bytes).expect("decodes"), point);
        assert_eq!(reference::rewritten(POINT, &bytes), bytes);
    }

    #[test]
    fn other_bytes_and_other_values_are_errors_and_no_panics() {
        let codec = SingleObject::parse(POINT).expect("valid");
        let mut bytes = Vec::new();
        assert!(codec.encode(&"no record", &mut bytes).is_err());
        bytes.clear();
        codec.encode(&Point { x: 1, word: None }, &mut bytes).expect("fits");
        for end in 0..bytes.len() {
            assert!(codec.decode::<Point<'_>>(&bytes[..end]).is_err());
        }
        bytes[3] ^= 1;
        assert!(codec.decode::<Point<'_>>(&bytes).is_err());
        assert!(SingleObject::parse("{").is_err());
        assert!(SingleObject::parse("\"long\"").is_err());
    }
}
