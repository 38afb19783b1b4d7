//! The table of feeds in, a document of the topics out: AsyncAPI 3.0, for people who subscribe and for tools that make clients.
//!
//! Values are described as they are written: in JSON by a JSON Schema that is derived from the feed's Avro schema, in Avro by
//! that schema itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    encoder::FeedFormat,
    rejected::HEADER_PREFIX,
    table::{Cleanup, Description, Feed},
};

const VERSION: &str = "3.0.0";
const KAFKA_BINDING: &str = "0.5.0";
const AVRO: &str = "application/vnd.apache.avro+json;version=1.9.0";
const JSON_SCHEMA: &str = "application/schema+json;version=draft-07";
/// The canonical event, which a department may send without a mapping.
const TOUCHPOINT: &str = include_str!("../../schemas/touchpoint.avsc");

/// The document. `prefix` is what the names of topics begin with, `format` how values are written.
pub fn document(prefix: &str, format: FeedFormat) -> Value {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for feed in Feed::ALL {
        let row = feed.description();
        channels.insert(row.suffix.into(), channel(row, &format!("{prefix}{}", row.suffix)));
        operations.insert(
            format!("publish-{}", row.suffix),
            json!({"action": "send", "channel": {"$ref": format!("#/channels/{}", row.suffix)}, "summary": row.purpose}),
        );
        messages.insert(row.suffix.into(), message(row, format));
    }
    channels.insert(
        "touchpoints-of-a-department".into(),
        json!({
            "title": "A department's topic",
            "description": "Its name and whose it is are in the department's spoke file; so is the mapping, unless it is written in this, \
                            the canonical form.",
            "address": null,
            "messages": {"touchpoint": {"$ref": "#/components/messages/touchpoint"}},
        }),
    );
    operations.insert(
        "take-touchpoints".into(),
        json!({
            "action": "receive",
            "channel": {"$ref": "#/channels/touchpoints-of-a-department"},
            "summary": "Touchpoints of the department's customers, in any order; sent twice they count once.",
        }),
    );
    messages.insert(
        "touchpoint".into(),
        json!({
            "title": "A touchpoint in the canonical form",
            "contentType": "avro/binary",
            "payload": {"schemaFormat": AVRO, "schema": parsed(TOUCHPOINT)},
        }),
    );
    json!({
        "asyncapi": VERSION,
        "info": {
            "title": "insight-hub",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The hub's shared feed: read committed records only, and of a compacted topic keep the latest value of each key; a \
                            record without a value says that the key is gone.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": format.content_type(),
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    })
}

fn channel(row: &Description, address: &str) -> Value {
    json!({
        "title": row.topic,
        "description": row.purpose,
        "address": address,
        "messages": {row.suffix: {"$ref": format!("#/components/messages/{}", row.suffix)}},
        "bindings": {"kafka": {
            "topic": address,
            "topicConfiguration": {"cleanup.policy": [row.cleanup.as_str()]},
            "bindingVersion": KAFKA_BINDING,
        }},
    })
}

fn message(row: &Description, format: FeedFormat) -> Value {
    let schema = parsed(row.schema);
    let tombstone = match row.cleanup {
        Cleanup::Compact => " A record without a value says that nothing is left under its key.",
        Cleanup::Delete => "",
    };
    let key = json!({"type": "string", "description": format!("{}, separators inside of a part escaped.", row.key)});
    let mut message = json!({
        "name": row.event_type,
        "title": row.topic,
        "summary": format!("{}{tombstone}", row.purpose),
        "bindings": {"kafka": {"key": key, "bindingVersion": KAFKA_BINDING}},
    });
    if !row.encoded {
        message["description"] = schema["doc"].clone();
        message["contentType"] = json!("application/octet-stream");
        message["headers"] = letter_headers(&schema);
        return message;
    }
    message["contentType"] = json!(format.content_type());
    message["headers"] = headers(row, format);
    message["payload"] = match format {
        FeedFormat::Json => json!({"schemaFormat": JSON_SCHEMA, "schema": json_schema(&schema)}),
        FeedFormat::AvroSingleObject | FeedFormat::AvroRegistry(_) => json!({"schemaFormat": AVRO, "schema": schema}),
    };
    message
}

/// The headers of each record of a feed.
fn headers(row: &Description, format: FeedFormat) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "properties": {
            "content-type": {"type": "string", "const": format.content_type()},
            "schema": text("The Avro schema's full name, #, and its CRC-64-AVRO fingerprint in hexadecimal."),
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_type": {"type": "string", "const": row.event_type},
            "ce_source": text("The hub's id, a URI reference."),
            "ce_id": text("32 hexadecimal digits, another one for each publication."),
            "ce_subject": text("The record's key."),
        },
    })
}

/// The headers of a dead letter: every field of its description but the value.
fn letter_headers(schema: &Value) -> Value {
    let fields = schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let described = fields.iter().filter(|field| field["name"] != "value").map(|field| {
        let name = format!("{HEADER_PREFIX}{}", field["name"].as_str().unwrap_or_default());
        (name, json!({"type": "string", "description": field["doc"]}))
    });
    json!({"type": "object", "properties": described.collect::<Map<_, _>>()})
}

fn parsed(schema: &str) -> Value {
    serde_json::from_str(schema).expect("the schemas are compiled in, and a test parses every one")
}

/// What a value is in JSON that has an Avro schema: the same names; instants and days as text.
pub(super) fn json_schema(avro: &Value) -> Value {
    shape(avro, &mut BTreeMap::new())
}

/// `named`: the records that were met, which later ones name.
fn shape(avro: &Value, named: &mut BTreeMap<String, Value>) -> Value {
    match avro {
        Value::String(name) => simple(name).unwrap_or_else(|| named.get(name).cloned().unwrap_or_else(|| json!({}))),
        Value::Array(choices) => union(choices, named),
        Value::Object(schema) => match (schema.get("logicalType").and_then(Value::as_str), schema["type"].as_str()) {
            (Some("date"), _) => json!({"type": "string", "format": "date"}),
            (Some("timestamp-millis"), _) => json!({"type": "string", "format": "date-time"}),
            (_, Some("array")) => json!({"type": "array", "items": shape(&schema["items"], named)}),
            (_, Some("map")) => json!({"type": "object", "additionalProperties": shape(&schema["values"], named)}),
            (_, Some("record")) => record(schema, named),
            _ => shape(&schema["type"], named),
        },
        _ => json!({}),
    }
}

fn simple(name: &str) -> Option<Value> {
    Some(match name {
        "null" => json!({"type": "null"}),
        "boolean" => json!({"type": "boolean"}),
        "int" | "long" => json!({"type": "integer"}),
        "float" | "double" => json!({"type": "number"}),
        "string" => json!({"type": "string"}),
        _ => return None,
    })
}

/// One of several, of which one is nearly always null.
fn union(choices: &[Value], named: &mut BTreeMap<String, Value>) -> Value {
    let mut shapes: Vec<Value> = choices.iter().map(|choice| shape(choice, named)).collect();
    if let [null, other] = &mut shapes[..]
        && *null == json!({"type": "null"})
        && let Some(Value::String(kind)) = other.get("type").cloned()
    {
        other["type"] = json!([kind, "null"]);
        return other.take();
    }
    json!({"anyOf": shapes})
}

fn record(schema: &Map<String, Value>, named: &mut BTreeMap<String, Value>) -> Value {
    let fields = schema.get("fields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        let name = field["name"].as_str().unwrap_or_default();
        let mut property = shape(&field["type"], named);
        property["description"] = field["doc"].clone();
        properties.insert(name.to_owned(), property);
        required.push(json!(name));
    }
    let object =
        json!({"type": "object", "description": schema.get("doc"), "properties": properties, "required": required});
    if let Some(name) = schema.get("name").and_then(Value::as_str) {
        named.insert(name.to_owned(), object.clone());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feeds::SchemaIds;

    /// What of a value is not as a schema says, by path: of the words that are used here.
    fn wrong(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
        if let Some(choices) = schema["anyOf"].as_array() {
            let fits = |choice: &&Value| {
                let mut problems = Vec::new();
                wrong(choice, value, path, &mut problems);
                problems.is_empty()
            };
            if choices.iter().filter(fits).count() != 1 {
                found.push(format!("{path}: not one of its shapes"));
            }
            return;
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.as_str().into_iter().collect(),
        };
        let is = |kind: &&str| match *kind {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{path}: {other} is no type that is used"),
        };
        if !kinds.iter().any(is) {
            found.push(format!("{path}: {value} is no {kinds:?}"));
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.is_object() && value.get(name).is_none() {
                found.push(format!("{path}: {name} is missing"));
            }
        }
        for (name, part) in value.as_object().into_iter().flatten() {
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(of), _) | (None, Some(of)) => wrong(of, part, &format!("{path}.{name}"), found),
                (None, None) => found.push(format!("{path}: {name} is not described")),
            }
        }
        for (index, part) in value.as_array().into_iter().flatten().enumerate() {
            wrong(&schema["items"], part, &format!("{path}[{index}]"), found);
        }
        if let (Some(text), Some(format)) = (value.as_str(), schema["format"].as_str()) {
            let length = if format == "date" { 10 } else { 24 };
            if text.len() != length {
                found.push(format!("{path}: {text} is no {format}"));
            }
        }
    }

    #[test]
    fn the_published_json_is_as_the_document_describes_it() {
        let document = document("insight.", FeedFormat::Json);
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/feeds");
        for feed in Feed::ALL.into_iter().filter(|feed| feed.description().encoded) {
            let suffix = feed.description().suffix;
            let schema = &document["components"]["messages"][suffix]["payload"]["schema"];
            let text = std::fs::read_to_string(root.join(format!("{suffix}.json"))).expect("a golden file");
            let mut count = 0;
            for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
                let value = value.expect("JSON");
                let mut found = Vec::new();
                wrong(schema, &value, suffix, &mut found);
                assert!(found.is_empty(), "{found:#?}");
                count += 1;
                // And the check can fail: each field of the record missing, or of another type.
                for name in value.as_object().expect("a record").keys() {
                    let mut broken = value.clone();
                    broken[name] = json!([[["neither"]]]);
                    wrong(schema, &broken, suffix, &mut found);
                    assert!(!found.is_empty(), "{suffix}.{name}");
                    found.clear();
                    let mut broken = value.clone();
                    broken.as_object_mut().expect("a record").remove(name);
                    wrong(schema, &broken, suffix, &mut found);
                    assert_eq!(found, [format!("{suffix}: {name} is missing")]);
                    found.clear();
                }
            }
            assert!(count > 0, "{suffix}");
        }
    }

    #[test]
    fn topics_have_the_prefix_and_values_the_format_that_are_configured() {
        for format in [FeedFormat::AvroSingleObject, FeedFormat::AvroRegistry(SchemaIds::default())] {
            let document = document("eu.", format);
            assert_eq!(document["channels"]["metrics"]["address"], "eu.metrics");
            let message = &document["components"]["messages"]["metrics"];
            assert_eq!(
                (&message["contentType"], &message["payload"]["schemaFormat"]),
                (&json!("avro/binary"), &json!(AVRO))
            );
            assert_eq!(message["payload"]["schema"]["name"], "Metric");
        }
    }

    #[test]
    fn the_document_is_the_one_in_the_repository() {
        let text = serde_json::to_string_pretty(&document("insight.", FeedFormat::Json)).expect("JSON") + "\n";
        expect_test::expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/asyncapi.json")].assert_eq(&text);
    }
}
