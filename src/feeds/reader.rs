//! A feed's bytes, in either format, as the JSON that the feed shows people: for `tail` and for tests.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use super::{
    notation::{Date, Instant, Text},
    table::Feed,
};
use crate::{
    model::{Day, EventTime},
    wire::single_object::{CodecError, MARKER, REGISTRY, SingleObject},
};

/// A value that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Bytes with the mark of Avro that are no value of the feed's schema.
    #[error("the value on {topic} is no Avro of this version's schema: {cause}; read it with a newer program")]
    Avro {
        /// The topic.
        topic: &'static str,
        /// What the decoder says.
        cause: CodecError,
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

/// Reads the values of one feed.
#[derive(Debug)]
pub struct Reader {
    feed: Feed,
    codec: SingleObject,
    schema: Value,
}

impl Reader {
    /// A reader of a feed's values.
    pub fn new(feed: Feed) -> Reader {
        let text = feed.description().schema;
        Reader {
            feed,
            codec: SingleObject::parse(text).expect("the feeds' schemas are compiled in, and a test parses every one"),
            schema: serde_json::from_str(text).expect("a schema that parses as Avro is JSON"),
        }
    }

    /// The value as JSON. Dead letters, which are the department's own bytes, become JSON if they are JSON, and else
    /// their text with what is no UTF-8 replaced.
    pub fn read(&self, value: &[u8]) -> Result<Value, ReadError> {
        let topic = self.feed.topic();
        if !self.feed.description().encoded {
            return Ok(serde_json::from_slice(value)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(value).into_owned())));
        }
        let decoded = match value.first() {
            Some(&REGISTRY) => self.codec.decode_any_id::<Value>(value),
            _ if value.starts_with(&MARKER) => self.codec.decode::<Value>(value),
            _ => return serde_json::from_slice(value).map_err(|cause| ReadError::Json { topic, cause }),
        };
        let mut value = decoded.map_err(|cause| ReadError::Avro { topic, cause })?;
        let mut types = HashMap::new();
        collect_types(&self.schema, &mut types);
        write_times(&self.schema, &types, &mut value);
        Ok(value)
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
