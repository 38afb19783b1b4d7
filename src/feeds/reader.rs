//! A feed's bytes, in either format, as the JSON that the feed shows people: for `tail`, the view and tests.
//!
//! While a hub is upgraded instances of two versions write to a feed, and afterwards it holds what the older one wrote. JSON is read
//! whatever wrote it. Avro is read by the schema that it was written with; a field that this version has and that one had not is what
//! this version's schema says of it, and a field that only that version has is shown as it is, as in JSON.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;

use super::{
    notation::{Date, Instant, Text},
    table::Feed,
};
use crate::{
    model::{Day, EventTime},
    wire::{
        Schemas,
        registry::Found,
        schemas::{SchemaRef, WriterSchema},
        single_object::{CodecError, MARKER, REGISTRY, SingleObject},
    },
};

/// The header that names the schema of a value, whatever its format ([`Encoder::feed_headers`](super::Encoder::feed_headers)).
const SCHEMA: &str = "schema";
/// How long a registry may take to answer. Commands wait; the view asks again.
const ANSWER_WITHIN: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(5) };

/// An instant in a value that was read: text in JSON; Avro counts milliseconds.
pub fn instant(value: &Value) -> Option<EventTime> {
    match value {
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(|at| EventTime(at.as_millisecond())),
        other => other.as_i64().map(EventTime),
    }
}

/// A value that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Bytes with the mark of Avro that are no value of the schema that they name.
    #[error("the value on {topic} is no Avro of the schema that it names: {cause}")]
    Avro {
        /// The topic.
        topic: &'static str,
        /// What the decoder says.
        cause: CodecError,
    },
    /// Another version of the hub wrote it, or somebody else, with a schema that is not at hand.
    #[error(
        "the value on {topic} was written with the schema of another version, the one with the {named}, which {problem}"
    )]
    OtherVersion {
        /// The topic.
        topic: &'static str,
        /// The schema that it names.
        named: SchemaRef,
        /// Why it is not at hand.
        problem: String,
        /// Whether it may be had later: its registry does not answer now.
        may_come: bool,
    },
    /// Bytes that are no JSON.
    #[error("the value on {topic} is neither JSON nor Avro: {cause}")]
    Json {
        /// The topic.
        topic: &'static str,
        /// What the parser says.
        cause: serde_json::Error,
    },
}

impl ReadError {
    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            ReadError::OtherVersion { may_come: true, .. } => "see to the schema registry, then try again",
            ReadError::OtherVersion { .. } => {
                "put the schema of the version that wrote it (its schemas/*.avsc) into schemas.directory, set registry.url if \
                 the feed has ids of a registry, or read it with the program that wrote it"
            }
            ReadError::Avro { .. } | ReadError::Json { .. } => "see who else writes to this topic; only the hub should",
        }
    }
}

/// A schema that values are written with.
#[derive(Debug)]
struct Written {
    codec: SingleObject,
    schema: Value,
}

impl Written {
    fn parse(text: &str) -> Result<Written, String> {
        Ok(Written {
            codec: SingleObject::parse(text).map_err(|error| error.to_string())?,
            schema: serde_json::from_str(text).map_err(|error| error.to_string())?,
        })
    }
}

/// Reads the values of one feed.
#[derive(Debug)]
pub struct Reader {
    feed: Feed,
    own: Written,
    /// Where the schemas of other versions are.
    schemas: Arc<Schemas>,
    /// Those that were needed. A feed has a few.
    others: Mutex<HashMap<(SchemaRef, Option<u64>), Option<Arc<Written>>>>,
}

/// Schemas of other versions that are kept ready. Whoever may write to a feed can name as many as they like.
const OTHERS_MAX: usize = 64;

impl Reader {
    /// A reader of what this version writes.
    pub fn new(feed: Feed) -> Reader {
        Reader::with_schemas(feed, Arc::default())
    }

    /// A reader that finds the schemas of other versions by their fingerprints in a folder, and by their ids in a registry too.
    pub fn with_schemas(feed: Feed, schemas: Arc<Schemas>) -> Reader {
        let own = Written::parse(feed.description().schema);
        let own = own.expect("the feeds' schemas are compiled in, and a test parses every one");
        Reader { feed, own, schemas, others: Mutex::default() }
    }

    /// The value as JSON. Dead letters, which are the department's own bytes, become JSON if they are JSON, and else
    /// their text with what is no UTF-8 replaced.
    pub fn read(&self, value: &[u8]) -> Result<Value, ReadError> {
        self.read_with(value, &[])
    }

    /// The same of a record whose headers say which schema its value was written with: no registry is asked about this version's.
    pub fn read_with(&self, value: &[u8], headers: &[(String, Vec<u8>)]) -> Result<Value, ReadError> {
        let topic = self.feed.topic();
        if !self.feed.description().encoded {
            return Ok(serde_json::from_slice(value)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(value).into_owned())));
        }
        let other = self.other(value, headers)?;
        let written = other.as_deref().unwrap_or(&self.own);
        let decoded = match value.first() {
            Some(&REGISTRY) => written.codec.decode_any_id::<Value>(value),
            _ if value.starts_with(&MARKER) => written.codec.decode::<Value>(value),
            _ => return serde_json::from_slice(value).map_err(|cause| ReadError::Json { topic, cause }),
        };
        let mut value = decoded.map_err(|cause| ReadError::Avro { topic, cause })?;
        let types = types_of(&written.schema);
        write_times(&written.schema, &types, &mut value);
        if other.is_some() {
            let types = types_of(&self.own.schema);
            complete(&self.own.schema, &types, &mut value);
        }
        Ok(value)
    }

    /// Whether the schema of a value is at hand.
    pub fn find_schema(&self, value: &[u8], headers: &[(String, Vec<u8>)]) -> Result<(), ReadError> {
        self.other(value, headers).map(|_| ())
    }

    /// The schema of a value, if it is not this version's.
    fn other(&self, value: &[u8], headers: &[(String, Vec<u8>)]) -> Result<Option<Arc<Written>>, ReadError> {
        let own = self.own.codec.fingerprint();
        let by_header = fingerprint_of(headers);
        let (named, fingerprint) = match value {
            [REGISTRY, a, b, c, d, ..] => (SchemaRef::Id(u32::from_be_bytes([*a, *b, *c, *d])), by_header),
            [0xC3, 0x01, rest @ ..] => match rest.first_chunk::<8>() {
                Some(&bytes) => (SchemaRef::Fingerprint(bytes), Some(u64::from_le_bytes(bytes))),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        if fingerprint == Some(own) {
            return Ok(None);
        }
        // Without a header and a registry nothing says that it is another's.
        if fingerprint.is_none() && self.schemas.registry.is_none() {
            return Ok(None);
        }
        if let Some(known) = self.others.lock().unwrap_or_else(PoisonError::into_inner).get(&(named, fingerprint)) {
            return Ok(known.clone());
        }
        let writer = self.writer(named, fingerprint)?;
        let other = match u64::from_le_bytes(writer.fingerprint()) == own {
            true => None,
            false => Some(Arc::new(
                Written::parse(&writer.text())
                    .map_err(|problem| self.other_version(named, format!("cannot be read by: {problem}"), false))?,
            )),
        };
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if others.len() < OTHERS_MAX {
            others.insert((named, fingerprint), other.clone());
        }
        Ok(other)
    }

    /// Finds a schema: in the folder, where each has a fingerprint, or in the registry.
    fn writer(&self, named: SchemaRef, fingerprint: Option<u64>) -> Result<Arc<WriterSchema>, ReadError> {
        let folder = &self.schemas.folder;
        if let Some(at_hand) = fingerprint.and_then(|it| folder.with_fingerprint(it.to_le_bytes())) {
            return Ok(Arc::clone(at_hand));
        }
        let found = match (self.schemas.find(named), named, &self.schemas.registry) {
            (Found::Waiting, SchemaRef::Id(id), Some(registry)) => registry
                .wait(id, ANSWER_WITHIN)
                .map_err(|problem| self.other_version(named, format!("the registry does not tell: {problem}"), true))?,
            (found, ..) => found,
        };
        match found {
            // A registry that was set up anew gives the ids anew.
            Found::Schema(writer) if fingerprint.is_some_and(|it| it.to_le_bytes() != writer.fingerprint()) => {
                Err(self.other_version(named, "is another one where it was looked for".into(), false))
            }
            Found::Schema(writer) => Ok(writer),
            Found::Unusable(problem) => Err(self.other_version(named, format!("is not read: {problem}"), false)),
            Found::Waiting => Err(self.other_version(named, "the registry does not tell".into(), true)),
            Found::Unknown(_) => Err(self.other_version(named, "is not at hand".into(), false)),
        }
    }

    fn other_version(&self, named: SchemaRef, problem: String, may_come: bool) -> ReadError {
        ReadError::OtherVersion { topic: self.feed.topic(), named, problem, may_come }
    }
}

/// The fingerprint in the header of a record that names its schema: `name#` and 16 hexadecimal digits.
fn fingerprint_of(headers: &[(String, Vec<u8>)]) -> Option<u64> {
    let (_, named) = headers.iter().rfind(|(name, _)| name == SCHEMA)?;
    let (_, digits) = std::str::from_utf8(named).ok()?.rsplit_once('#')?;
    u64::from_str_radix(digits, 16).ok()
}

fn types_of(schema: &Value) -> HashMap<&str, &Value> {
    let mut types = HashMap::new();
    collect_types(schema, &mut types);
    types
}

/// Fills in the fields that the writer's schema did not have.
fn complete(schema: &Value, types: &HashMap<&str, &Value>, value: &mut Value) {
    match schema {
        Value::String(name) => {
            if let Some(named) = types.get(name.as_str()) {
                complete(named, types, value);
            }
        }
        Value::Array(branches) if !value.is_null() => {
            if let Some(branch) = branches.iter().find(|branch| branch.as_str() != Some("null")) {
                complete(branch, types, value);
            }
        }
        Value::Object(_) => match (text(schema, "type"), value) {
            (Some("record"), Value::Object(fields)) => {
                for field in schema.get("fields").and_then(Value::as_array).into_iter().flatten() {
                    let (Some(name), Some(inner)) = (text(field, "name"), field.get("type")) else { continue };
                    let value = fields.entry(name).or_insert_with(|| {
                        let mut default = field.get("default").cloned().unwrap_or_default();
                        write_times(inner, types, &mut default);
                        default
                    });
                    complete(inner, types, value);
                }
            }
            (Some("array"), Value::Array(values)) => {
                if let Some(items) = schema.get("items") {
                    values.iter_mut().for_each(|value| complete(items, types, value));
                }
            }
            (Some("map"), Value::Object(values)) => {
                if let Some(inner) = schema.get("values") {
                    values.values_mut().for_each(|value| complete(inner, types, value));
                }
            }
            _ => {}
        },
        _ => {}
    }
}

/// Named types by name: a schema defines each once and refers to it afterwards.
fn collect_types<'a>(schema: &'a Value, types: &mut HashMap<&'a str, &'a Value>) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| collect_types(branch, types)),
        Value::Object(object) => {
            if let (Some("record"), Some(name)) = (text(schema, "type"), text(schema, "name")) {
                types.insert(name, schema);
            }
            object.values().for_each(|inner| collect_types(inner, types));
        }
        _ => {}
    }
}

/// Replaces the numbers of logical types by the text that JSON has for them.
fn write_times(schema: &Value, types: &HashMap<&str, &Value>, value: &mut Value) {
    match schema {
        Value::String(name) => {
            if let Some(named) = types.get(name.as_str()) {
                write_times(named, types, value);
            }
        }
        // The feeds' unions are all "null or something".
        Value::Array(branches) if !value.is_null() => {
            if let Some(branch) = branches.iter().find(|branch| branch.as_str() != Some("null")) {
                write_times(branch, types, value);
            }
        }
        Value::Object(object) => match (text(schema, "logicalType"), text(schema, "type")) {
            (Some("timestamp-millis"), _) => {
                *value = json(&Instant::<Text>::new(EventTime(value.as_i64().unwrap_or_default())));
            }
            (Some("date"), _) => {
                let day = value.as_i64().and_then(|day| i32::try_from(day).ok());
                *value = json(&Date::<Text>::new(Day(day.unwrap_or_default())));
            }
            (_, Some("record")) => {
                for field in object.get("fields").and_then(Value::as_array).into_iter().flatten() {
                    let inner = text(field, "name").and_then(|name| value.get_mut(name));
                    if let (Some(inner), Some(schema)) = (inner, field.get("type")) {
                        write_times(schema, types, inner);
                    }
                }
            }
            (_, Some("array")) => {
                if let (Some(items), Some(values)) = (object.get("items"), value.as_array_mut()) {
                    values.iter_mut().for_each(|value| write_times(items, types, value));
                }
            }
            (_, Some("map")) => {
                if let (Some(inner), Some(values)) = (object.get("values"), value.as_object_mut()) {
                    values.values_mut().for_each(|value| write_times(inner, types, value));
                }
            }
            _ => {}
        },
        _ => {}
    }
}

fn text<'a>(schema: &'a Value, member: &str) -> Option<&'a str> {
    schema.get(member).and_then(Value::as_str)
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("a time is a string")
}
