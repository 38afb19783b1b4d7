//! One feed's records to bytes: a record of the model in, the message's value and headers out.

use std::{marker::PhantomData, sync::OnceLock};

use bytes::Bytes;
use serde::Serialize;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::{
    names::Names,
    notation::{Binary, Notation, Text},
    table::Feed,
};
use crate::{
    model::hexadecimal,
    wire::{json_text, single_object::SingleObject},
};

/// The header with the event's id: CloudEvents Kafka protocol binding 1.0.2, binary content mode.
pub const CE_ID: &str = "ce_id";
/// The header with the event's subject: the message's key.
pub const CE_SUBJECT: &str = "ce_subject";

/// How values on the feeds are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FeedFormat {
    /// One JSON object.
    #[default]
    Json,
    /// Avro single-object encoding with the feed's schema.
    AvroSingleObject,
    /// Avro in the wire format of schema registries: a zero, the id of the feed's schema, the value.
    AvroRegistry(SchemaIds),
}

/// The ids that the registry gave to the schemas of the feeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SchemaIds([u32; Feed::ALL.len()]);

impl SchemaIds {
    /// Keeps the id of a feed's schema.
    pub fn set(&mut self, feed: Feed, id: u32) {
        if let Some(index) = Feed::ALL.iter().position(|known| *known == feed) {
            self.0[index] = id;
        }
    }

    fn of(&self, feed: Feed) -> u32 {
        Feed::ALL.iter().position(|known| *known == feed).map_or(0, |index| self.0[index])
    }
}

impl FeedFormat {
    /// Every format that needs no registry.
    pub const ALL: [FeedFormat; 2] = [FeedFormat::Json, FeedFormat::AvroSingleObject];

    /// The word in the configuration: `json`, `avro` or `avro-registry`.
    pub const fn as_str(self) -> &'static str {
        match self {
            FeedFormat::Json => "json",
            FeedFormat::AvroSingleObject => "avro",
            FeedFormat::AvroRegistry(_) => "avro-registry",
        }
    }

    /// The format of a word in the configuration.
    pub fn parse(word: &str) -> Option<FeedFormat> {
        FeedFormat::ALL.into_iter().find(|format| format.as_str() == word)
    }

    /// The media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            FeedFormat::Json => "application/json",
            FeedFormat::AvroSingleObject | FeedFormat::AvroRegistry(_) => "avro/binary",
        }
    }
}

/// A feed whose values the hub encodes: which record of the model it publishes, in which public shape.
pub trait FeedRecord {
    /// The feed.
    const FEED: Feed;
    /// What the model calls the record.
    type Record<'a>;
    /// What the public reads, borrowed from the record.
    type Shape<'a, N: Notation>: Serialize;
    /// The public shape of a record, with its identifiers written in a way.
    fn shape<'a, N: Notation>(record: &'a Self::Record<'a>, names: &Names) -> Self::Shape<'a, N>;
}

/// The codec of a feed's schema. Parsed once: whoever takes a partition over makes encoders of a dozen feeds before it goes on.
fn codec(feed: Feed) -> &'static SingleObject {
    static CODECS: [OnceLock<SingleObject>; Feed::ALL.len()] = [const { OnceLock::new() }; Feed::ALL.len()];
    CODECS[feed as usize].get_or_init(|| {
        SingleObject::parse(feed.description().schema)
            .expect("the feeds' schemas are compiled in, and a test parses every one")
    })
}

/// Encodes the values of one feed, with one buffer for all of them.
#[derive(Debug)]
pub struct Encoder<F> {
    format: FeedFormat,
    names: Names,
    schema: &'static SingleObject,
    headers: Vec<(&'static str, Bytes)>,
    buffer: Vec<u8>,
    feed: PhantomData<F>,
}

impl<F: FeedRecord> Encoder<F> {
    /// An encoder in a format. `source` becomes the CloudEvents attribute of that name: the hub's id, a URI reference,
    /// the same in every instance of one hub.
    pub fn new(format: FeedFormat, source: &str) -> Encoder<F> {
        let description = F::FEED.description();
        let schema = codec(F::FEED);
        let schema_name = format!("{}#{:016x}", schema.name(), schema.fingerprint());
        let headers = vec![
            ("content-type", Bytes::from_static(format.content_type().as_bytes())),
            ("schema", Bytes::from(schema_name)),
            ("ce_specversion", Bytes::from_static(b"1.0")),
            ("ce_type", Bytes::from_static(description.event_type.as_bytes())),
            ("ce_source", Bytes::copy_from_slice(source.as_bytes())),
        ];
        Encoder { format, names: Names::Clear, schema, headers, buffer: Vec::with_capacity(2_048), feed: PhantomData }
    }

    /// The same encoder, which writes identifiers in another way.
    pub fn naming(self, names: Names) -> Encoder<F> {
        Encoder { names, ..self }
    }

    /// The value of a record. The bytes are good until the next call.
    pub fn encode<'a>(&mut self, record: &'a F::Record<'a>) -> &[u8] {
        self.buffer.clear();
        match self.format {
            FeedFormat::Json => json_text::write(&F::shape::<Text>(record, &self.names), &mut self.buffer)
                .expect("the shapes have only what the writer knows: property tests over all shapes"),
            FeedFormat::AvroSingleObject => self
                .schema
                .encode(&F::shape::<Binary>(record, &self.names), &mut self.buffer)
                .expect("every shape fits its schema whatever its values: property tests over all shapes"),
            FeedFormat::AvroRegistry(ids) => self
                .schema
                .encode_as(ids.of(F::FEED), &F::shape::<Binary>(record, &self.names), &mut self.buffer)
                .expect("every shape fits its schema whatever its values: property tests over all shapes"),
        }
        &self.buffer
    }

    /// The value that was encoded last.
    pub fn encoded(&self) -> &[u8] {
        &self.buffer
    }

    /// The headers that every record of the feed has, tombstones included: content type, schema (full name, `#`,
    /// CRC-64-AVRO in hexadecimal) and the CloudEvents attributes `specversion`, `type` and `source`. What differs by
    /// record are [`CE_ID`] with [`event_id`] and [`CE_SUBJECT`] with the key.
    pub fn feed_headers(&self) -> &[(&'static str, Bytes)] {
        &self.headers
    }
}

/// The CloudEvents id of a record, 32 hexadecimal digits: XXH3-128 of the value (nothing for a tombstone), seeded with the
/// XXH3-64 of the key, itself seeded with a sequence number, one more for a tombstone.
///
/// Consumers may treat two events with one id as one, for ever. So content alone is not enough: a value that changes and
/// changes back would be taken for a redelivery of its first publication, and the reader would keep the value between.
/// `sequence` tells publications of one key apart: a number that the task never uses twice for a key in different
/// commits, such as the input offset that the commit reaches. A commit that is repeated after a failure reaches the same
/// offset with the same values, so that its ids are the same again.
pub fn event_id(key: &[u8], sequence: u64, value: Option<&[u8]>) -> [u8; 32] {
    let seed = xxh3_64_with_seed(key, sequence << 1 | u64::from(value.is_none()));
    hexadecimal(&xxh3_128_with_seed(value.unwrap_or_default(), seed).to_be_bytes())
}
