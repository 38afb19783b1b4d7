//! Avro messages ⇄ captured scalars and records: framings, decoding by the writer's schema, encoding.
//!
//! Decoding does the steps of a projection, which picks fields by name, so that a producer may add, remove and reorder them. Encoding
//! takes apache-avro's direct serde writer.

use std::sync::LazyLock;

use apache_avro::{Schema, writer::datum::GenericDatumWriter};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    capture::Capture,
    projection::Projection,
    schemas::{SchemaRef, TOUCHPOINT_SCHEMA, fingerprint},
    shape::Shape,
    single_object::{MARKER, REGISTRY},
};
use crate::model::{IdentifierType, Touchpoint};

/// What apache-avro may allocate for one value. It decodes no foreign data here; the limit holds for whatever else does.
const AVRO_ALLOCATION_BYTES_MAX: usize = 16 << 20;

/// Why an Avro message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AvroError {
    /// Neither of the two framings.
    #[error("the message has no Avro framing (0xC3 0x01 with a fingerprint, or 0x00 with a schema id)")]
    NoFraming,
    /// The bytes do not follow the schema that the message names.
    #[error("the message does not follow the schema that it names")]
    Malformed,
    /// Bytes are left after the value.
    #[error("bytes are left after the value, so it was written with another schema than the one it names")]
    Trailing,
}

/// The schema that a message names, and the bytes of its value.
pub fn unframe(bytes: &[u8]) -> Result<(SchemaRef, &[u8]), AvroError> {
    if let Some(rest) = bytes.strip_prefix(&MARKER) {
        let (&fingerprint, datum) = rest.split_first_chunk::<8>().ok_or(AvroError::NoFraming)?;
        return Ok((SchemaRef::Fingerprint(fingerprint), datum));
    }
    if let Some(rest) = bytes.strip_prefix(&[REGISTRY]) {
        let (&id, datum) = rest.split_first_chunk::<4>().ok_or(AvroError::NoFraming)?;
        return Ok((SchemaRef::Id(u32::from_be_bytes(id)), datum));
    }
    Err(AvroError::NoFraming)
}

/// Picks the shape's scalars out of one value, written with the schema that the projection lays the shape over. The capture
/// must have been begun. Defaults are borrowed from the projection.
pub fn capture_at<'a>(
    shape: &Shape,
    datum: &'a [u8],
    projection: &'a Projection,
    capture: &mut Capture<'a>,
) -> Result<(), AvroError> {
    projection.capture(shape, datum, capture)
}

/// Writes values of one schema in single-object encoding. The header is computed once.
pub struct SingleObjectEncoder<'s> {
    header: [u8; 10],
    writer: GenericDatumWriter<'s>,
}

/// A schema or a value that cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[error("Avro encoding: {0}")]
pub struct EncodeError(Box<apache_avro::Error>);

impl<'s> SingleObjectEncoder<'s> {
    /// An encoder for a schema, with the fingerprint that messages carry ([`super::schemas::fingerprint`]).
    pub fn new(schema: &'s Schema, fingerprint: [u8; 8]) -> Result<SingleObjectEncoder<'s>, EncodeError> {
        limit_allocations();
        let mut header = [0; 10];
        header[..2].copy_from_slice(&MARKER);
        header[2..].copy_from_slice(&fingerprint);
        let writer = GenericDatumWriter::builder(schema)
            .human_readable(false)
            .build()
            .map_err(|error| EncodeError(Box::new(error)))?;
        Ok(SingleObjectEncoder { header, writer })
    }

    /// Appends one value; a struct's fields must have the names of the schema. After an error nothing is appended.
    pub fn encode<T: Serialize>(&self, value: &T, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = bytes.len();
        bytes.extend_from_slice(&self.header);
        self.writer.write_ser(bytes, value).map(|_| ()).map_err(|error| {
            bytes.truncate(start);
            EncodeError(Box::new(error))
        })
    }
}

/// The canonical touchpoint's schema, parsed.
pub fn touchpoint_schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        Schema::parse_str(TOUCHPOINT_SCHEMA).expect("the built-in schema is checked by the tests of wire::schemas")
    });
    &SCHEMA
}

/// Appends a touchpoint in the canonical schema, single-object encoding. An empty spoke is left out.
pub fn encode_touchpoint(touchpoint: &Touchpoint<'_>, bytes: &mut Vec<u8>) {
    static ENCODER: LazyLock<SingleObjectEncoder<'static>> = LazyLock::new(|| {
        let fingerprint = fingerprint(TOUCHPOINT_SCHEMA);
        SingleObjectEncoder::new(
            touchpoint_schema(),
            fingerprint.expect("the built-in schema is checked by the tests of wire::schemas"),
        )
        .expect("the built-in schema is checked by the tests of wire::schemas")
    });
    ENCODER
        .encode(&CanonicalTouchpoint::from(touchpoint), bytes)
        .expect("every touchpoint fits the built-in schema, which the tests of this file compare with the type");
}

/// apache-avro allocates what a length in the data says, up to a limit that can be set once in a process.
fn limit_allocations() {
    apache_avro::util::max_allocation_bytes(AVRO_ALLOCATION_BYTES_MAX);
}

/// A touchpoint with the names and types of the canonical schema.
#[derive(Serialize)]
struct CanonicalTouchpoint<'a> {
    id: &'a str,
    spoke: Option<&'a str>,
    kind: &'a str,
    label: Option<&'a str>,
    occurred_at: i64,
    identifiers: Identifiers<'a>,
    channel: Option<&'a str>,
    subject: Option<&'a str>,
    product: Option<&'a str>,
    region: Option<&'a str>,
    segment: Option<&'a str>,
    campaign: Option<&'a str>,
    content: Option<&'a str>,
    account: Option<&'a str>,
    amount: Option<Money<'a>>,
    cost: Option<Money<'a>>,
    score: Option<Score<'a>>,
    promised_at: Option<i64>,
    initiator: Option<&'a str>,
    visibility: Option<&'a str>,
    sentiment: Option<i32>,
    referrer: Option<Referrer<'a>>,
    effort: Option<i32>,
    properties: Properties<'a>,
}

#[derive(Serialize)]
struct Money<'a> {
    minor: i64,
    currency: &'a str,
}

#[derive(Serialize)]
struct Score<'a> {
    scale: &'a str,
    value: i32,
    item: Option<&'a str>,
}

#[derive(Serialize)]
struct Referrer<'a> {
    r#type: &'a str,
    value: &'a str,
}

struct Identifiers<'a>(&'a Touchpoint<'a>);

impl Serialize for Identifiers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let types = self.0.identifiers.chunk_by(|a, b| a.kind == b.kind);
        let mut map = serializer.serialize_map(Some(types.clone().count()))?;
        for identifiers in types {
            let kind: IdentifierType = identifiers[0].kind;
            map.serialize_entry(kind.as_str(), &Values(identifiers))?;
        }
        map.end()
    }
}

struct Values<'a>(&'a [crate::model::Identifier<'a>]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|identifier| identifier.value))
    }
}

struct Properties<'a>(&'a [(&'a str, &'a str)]);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl<'a> From<&'a Touchpoint<'a>> for CanonicalTouchpoint<'a> {
    fn from(touchpoint: &'a Touchpoint<'a>) -> CanonicalTouchpoint<'a> {
        let money = |money: &'a Option<crate::model::Money>| {
            money.as_ref().map(|money| Money { minor: money.minor, currency: money.currency.as_str() })
        };
        CanonicalTouchpoint {
            id: touchpoint.id,
            spoke: Some(touchpoint.spoke).filter(|spoke| !spoke.is_empty()),
            kind: touchpoint.kind.as_str(),
            label: touchpoint.label,
            occurred_at: touchpoint.occurred_at.0,
            identifiers: Identifiers(touchpoint),
            channel: touchpoint.channel.map(|channel| channel.as_str()),
            subject: touchpoint.subject,
            product: touchpoint.product,
            region: touchpoint.region,
            segment: touchpoint.segment,
            campaign: touchpoint.campaign,
            content: touchpoint.content,
            account: touchpoint.account,
            amount: money(&touchpoint.amount),
            cost: money(&touchpoint.cost),
            score: touchpoint.score.map(|score| Score {
                scale: score.scale.as_str(),
                value: i32::from(score.value),
                item: score.item,
            }),
            promised_at: touchpoint.promised_at.map(|at| at.0),
            initiator: Some(touchpoint.initiator.as_str()),
            visibility: Some(touchpoint.visibility.as_str()),
            sentiment: touchpoint.sentiment.map(i32::from),
            referrer: touchpoint
                .referrer
                .map(|referrer| Referrer { r#type: referrer.kind.as_str(), value: referrer.value }),
            effort: touchpoint.effort,
            properties: Properties(&touchpoint.properties),
        }
    }
}
