//! The Avro schemas of the feeds in; the same shapes as OpenAPI describes JSON out. A feed is described once, in `schemas/`.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Components, ObjectBuilder, RefOr, Schema, Type, schema::Object},
};

use crate::{
    feeds::Feed,
    model::{HASH_MARK, IdentifierRules, IdentifierType},
};

/// A type for each feed whose records are shown, so that operations name what they answer.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident of $feed:ident),* $(,)?) => { $(
        $(#[$doc])*
        pub(super) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                shape(Feed::$feed)
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )* };
}

shapes! {
    /// A metric's value.
    MetricValue of Metrics,
    /// A metric's definition.
    MetricDefinition of Catalogue,
    /// Journeys towards a goal.
    Journeys of Journeys,
    /// What steps are credited with.
    Attribution of Attribution,
    /// What goes together with an outcome.
    Drivers of Drivers,
    /// What to fix first.
    Priorities of Priorities,
    /// Whether a change moved a metric.
    Change of Changes,
    /// Kinds of contact.
    Balance of Balance,
    /// A department's month.
    Scorecard of Scorecards,
    /// A department's account.
    Spoke of Spokes,
    /// A customer's record.
    Customer of Customers,
    /// One contact.
    Touchpoint of Touchpoints,
    /// Whom an identifier names.
    Identity of Identities,
    /// How that came about.
    IdentityChange of IdentityJournal,
    /// What somebody should look at.
    Alert of Alerts,
}

/// An identifier as a body names it.
pub(super) enum IdentifierText {}

impl PartialSchema for IdentifierText {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some("TYPE:VALUE"));
        RefOr::T(Schema::Object(text.pattern(Some(identifier_pattern(&IdentifierRules::default()))).build()))
    }
}

impl ToSchema for IdentifierText {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("IdentifierText")
    }
}

/// An identifier as a decision names it: also by its keyed hash.
pub(super) enum DecidedText {}

impl PartialSchema for DecidedText {
    fn schema() -> RefOr<Schema> {
        let said = "TYPE:VALUE; or TYPE#DIGITS, with the 32 hexadecimal digits of its keyed hash";
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some(said));
        RefOr::T(Schema::Object(text.pattern(Some(decided_pattern(&IdentifierRules::default()))).build()))
    }
}

impl ToSchema for DecidedText {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("DecidedText")
    }
}

/// A customer as a body names them: by an identifier or by the id of the feeds.
pub(super) enum CustomerText {}

impl PartialSchema for CustomerText {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some("TYPE:VALUE, or a person's id"));
        RefOr::T(Schema::Object(text.pattern(Some(customer_pattern(&IdentifierRules::default()))).build()))
    }
}

impl ToSchema for CustomerText {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("CustomerText")
    }
}

/// What a text looks like that names a customer.
pub(super) fn customer_pattern(rules: &IdentifierRules) -> String {
    format!("^([0-9a-fA-F]{{32}}|({}):.+)$", types(rules))
}

fn identifier_pattern(rules: &IdentifierRules) -> String {
    format!("^({}):.+$", types(rules))
}

fn decided_pattern(rules: &IdentifierRules) -> String {
    format!("^({})(:.+|{HASH_MARK}[0-9a-fA-F]{{32}})$", types(rules))
}

/// Says in the texts that name identifiers which types this hub has.
pub(super) fn with_types_of(rules: &IdentifierRules, components: &mut Components) {
    let patterns: [(Cow<'static, str>, fn(&IdentifierRules) -> String); 3] = [
        (IdentifierText::name(), identifier_pattern),
        (DecidedText::name(), decided_pattern),
        (CustomerText::name(), customer_pattern),
    ];
    for (name, pattern) in patterns {
        if let Some(RefOr::T(Schema::Object(text))) = components.schemas.get_mut(&*name) {
            text.pattern = Some(pattern(rules));
        }
    }
}

fn types(rules: &IdentifierRules) -> String {
    let types: Vec<&str> = rules.kinds().into_iter().map(IdentifierType::as_str).collect();
    types.join("|")
}

fn shape(feed: Feed) -> RefOr<Schema> {
    let schema: Value = serde_json::from_str(feed.description().schema)
        .expect("the feeds' schemas are compiled in, and a test parses them");
    let described = described(&schema, &mut BTreeMap::new());
    // An object without properties would be a lie that nobody notices: a test compares the properties.
    serde_json::from_value(described).map(RefOr::T).unwrap_or_else(|_| RefOr::T(Schema::Object(Object::new())))
}

/// A type of Avro as JSON Schema describes how it is shown. `named`: the records that were met.
fn described(schema: &Value, named: &mut BTreeMap<String, Value>) -> Value {
    match schema {
        Value::String(name) => match name.as_str() {
            "string" => json!({"type": "string"}),
            "boolean" => json!({"type": "boolean"}),
            "int" => json!({"type": "integer", "format": "int32"}),
            "long" => json!({"type": "integer", "format": "int64"}),
            "float" | "double" => json!({"type": "number", "format": "double"}),
            name => named.get(name).cloned().unwrap_or_else(|| json!({})),
        },
        // The feeds' unions are all "null or something".
        Value::Array(branches) => {
            let other = branches.iter().find(|branch| branch.as_str() != Some("null"));
            let described = other.map(|other| described(other, named)).unwrap_or_else(|| json!({}));
            match described.get("type").and_then(Value::as_str) {
                Some(simple) if simple != "object" && simple != "array" => {
                    let mut nullable = described.clone();
                    nullable["type"] = json!([simple, "null"]);
                    nullable
                }
                _ => json!({"oneOf": [{"type": "null"}, described]}),
            }
        }
        Value::Object(object) => match (text(object, "logicalType"), text(object, "type")) {
            (Some("date"), _) => json!({"type": "string", "format": "date"}),
            (Some("timestamp-millis"), _) => json!({"type": "string", "format": "date-time"}),
            (_, Some("record")) => record(object, named),
            (_, Some("array")) => {
                json!({"type": "array", "items": object.get("items").map(|it| described(it, named))})
            }
            (_, Some("map")) => {
                json!({"type": "object", "additionalProperties": object.get("values").map(|it| described(it, named))})
            }
            (_, Some(name)) => described(&Value::String(name.to_owned()), named),
            _ => object.get("type").map(|inner| described(inner, named)).unwrap_or_else(|| json!({})),
        },
        _ => json!({}),
    }
}

fn record(record: &Map<String, Value>, named: &mut BTreeMap<String, Value>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in record.get("fields").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
        let mut property = field.get("type").map(|it| described(it, named)).unwrap_or_else(|| json!({}));
        if let Some(doc) = field.get("doc") {
            property["description"] = doc.clone();
        }
        properties.insert(name.to_owned(), property);
        required.push(json!(name));
    }
    let described = json!({
        "type": "object",
        "description": record.get("doc").cloned().unwrap_or_default(),
        "properties": properties,
        "required": required,
    });
    if let Some(name) = text(record, "name") {
        named.insert(name.to_owned(), described.clone());
    }
    described
}

fn text<'a>(object: &'a Map<String, Value>, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_every_feed_is_described() {
        for feed in Feed::ALL.into_iter().filter(|feed| feed.description().encoded) {
            let schema: Value = serde_json::from_str(feed.description().schema).expect("JSON");
            let shape = serde_json::to_value(shape(feed)).expect("it can be written");
            let fields = schema["fields"].as_array().expect("a record");
            for field in fields {
                let property = &shape["properties"][field["name"].as_str().expect("a name")];
                assert!(property.is_object(), "{}: {}: {shape}", feed.topic(), field["name"]);
                assert!(!property["description"].as_str().unwrap_or_default().is_empty() || field.get("doc").is_none());
                let says = ["type", "oneOf"].iter().any(|word| !property[*word].is_null());
                assert!(says, "{}: {} has no type: {property}", feed.topic(), field["name"]);
            }
            assert_eq!(shape["required"].as_array().map(Vec::len), Some(fields.len()), "{}", feed.topic());
        }
    }
}
