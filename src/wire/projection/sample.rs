//! JSON that stands for an Avro record in a sample → whether a schema describes it, and the first place where it does not.
//!
//! JSON as a person writes it: a union is what stands in it, a decimal a number or its digits as text, a time a number or
//! RFC 3339, bytes a text.

use apache_avro::{Schema, schema::RecordSchema};
use serde_json::{Map, Value};

use super::types::Names;
use crate::wire::schemas::WriterSchema;

/// Where a sample is not what its schema describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The path of the place.
    pub path: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// Compares a sample with a schema. Its recursion is bounded by the schema's depth.
pub fn misfit(schema: &WriterSchema, sample: &Value) -> Option<Misfit> {
    let names = Names::of(&schema.parsed);
    look(&names, &schema.parsed, sample, String::new()).err()
}

fn look<'s>(names: &Names<'s>, schema: &'s Schema, value: &Value, path: String) -> Result<(), Misfit> {
    let branches = names.branches(schema);
    // Of a union, the branch that comes nearest says what is wrong: the one of the value's own form.
    let mut candidates = branches.iter().filter(|branch| has_form(branch, value));
    let Some(first) = candidates.next() else {
        let expected: Vec<&str> = branches.iter().map(|branch| form(branch)).collect();
        let problem = format!("the schema has {} here; write that", expected.join(" or "));
        return Err(Misfit { path, problem });
    };
    let found = inside(names, first, value, &path);
    match found {
        Err(_) if candidates.any(|branch| inside(names, branch, value, &path).is_ok()) => Ok(()),
        found => found,
    }
}

fn inside<'s>(names: &Names<'s>, schema: &'s Schema, value: &Value, path: &str) -> Result<(), Misfit> {
    let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (schema, value) {
        (Schema::Record(record), Value::Object(members)) => fields(names, record, members, &at),
        (Schema::Map(map), Value::Object(members)) => {
            members.iter().try_for_each(|(key, value)| look(names, &map.types, value, at(key)))
        }
        (Schema::Array(array), Value::Array(items)) => {
            let mut numbered = items.iter().enumerate();
            numbered.try_for_each(|(index, item)| look(names, &array.items, item, format!("{path}[{index}]")))
        }
        (Schema::Enum(symbols), Value::String(symbol)) if !symbols.symbols.contains(symbol) => {
            let known = symbols.symbols.join(", ");
            Err(Misfit { path: path.to_owned(), problem: format!("the schema has no such symbol; use one of {known}") })
        }
        _ => Ok(()),
    }
}

fn fields<'s>(
    names: &Names<'s>,
    record: &'s RecordSchema,
    members: &Map<String, Value>,
    at: &dyn Fn(&str) -> String,
) -> Result<(), Misfit> {
    if let Some(key) = members.keys().find(|key| record.fields.iter().all(|field| field.name != **key)) {
        let problem = "the schema has no such field; correct its name, or remove it".to_owned();
        return Err(Misfit { path: at(key), problem });
    }
    record.fields.iter().try_for_each(|field| match members.get(&field.name) {
        Some(value) => look(names, &field.schema, value, at(&field.name)),
        None if field.default.is_some() => Ok(()),
        None => {
            let problem = "it is missing, and the schema has no default for it; write it".to_owned();
            Err(Misfit { path: at(&field.name), problem })
        }
    })
}

/// Whether a value may be of a type by its form alone.
fn has_form(schema: &Schema, value: &Value) -> bool {
    let is_decimal = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    match schema {
        Schema::Null => value.is_null(),
        Schema::Boolean => value.is_boolean(),
        Schema::Int => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Schema::Long => value.is_i64(),
        Schema::Float | Schema::Double => value.is_number(),
        Schema::Array(_) => value.is_array(),
        Schema::Map(_) | Schema::Record(_) => value.is_object(),
        Schema::Decimal(_) | Schema::BigDecimal => value.is_number() || value.as_str().is_some_and(is_decimal),
        Schema::Date
        | Schema::TimeMillis
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => value.is_i64() || value.is_string(),
        _ => value.is_string(),
    }
}

/// What a type is called.
fn form(schema: &Schema) -> &'static str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean => "true or false",
        Schema::Int => "a whole number of 32 bits",
        Schema::Long => "a whole number",
        Schema::Float | Schema::Double => "a number",
        Schema::Array(_) => "a list",
        Schema::Map(_) | Schema::Record(_) => "an object",
        Schema::Decimal(_) | Schema::BigDecimal => "a decimal",
        Schema::Enum(_) => "a symbol as text",
        Schema::Date
        | Schema::TimeMillis
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => "a time, as a number or text",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sample_is_held_to_its_schema() {
        let schema = WriterSchema::parse(
            "order.avsc",
            r#"{"type":"record","name":"Order","fields":[
                {"name":"id","type":"string"},{"name":"n","type":["null","int"],"default":null},
                {"name":"state","type":{"type":"enum","name":"State","symbols":["PLACED","PAID"]}},
                {"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
                {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
                {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
                    {"name":"sku","type":["string","long"]}]}},"default":[]},
                {"name":"more","type":{"type":"map","values":["null","Line"]},"default":{}}]}"#,
        )
        .expect("a safe schema");
        let right = json!({"id": "1", "state": "PAID", "total": "12.30", "at": 1, "lines": [{"sku": "a"}, {"sku": 5}],
            "more": {"x": null, "y": {"sku": "b"}}});
        assert_eq!(misfit(&schema, &right), None);
        let changed = |pointer: &str, value: Value| {
            let mut sample = right.clone();
            *sample.pointer_mut(pointer).expect("a place of this test") = value;
            misfit(&schema, &sample).map(|misfit| format!("{}: {}", misfit.path, misfit.problem)).unwrap_or_default()
        };
        for (pointer, value, expected) in [
            ("/id", json!(7), "id: the schema has text here"),
            ("/state", json!("paid"), "state: the schema has no such symbol; use one of PLACED, PAID"),
            ("/total", json!("12,30"), "total: the schema has a decimal here"),
            ("/at", json!(true), "at: the schema has a time"),
            ("/lines/1", json!({"sku": null}), "lines[1].sku: the schema has text or a whole number here"),
            ("/lines/0", json!({"skuu": "a"}), "lines[0].skuu: the schema has no such field"),
            ("/more/y", json!({}), "more.y.sku: it is missing"),
            ("/more/x", json!("b"), "more.x: the schema has null or an object here"),
            ("", json!([]), ": the schema has an object here"),
            ("", json!({"id": "1", "n": 3_000_000_000_u32}), "n: the schema has null or a whole number of 32 bits"),
            ("", json!({"id": "1"}), "state: it is missing"),
        ] {
            let found = changed(pointer, value);
            assert!(found.starts_with(expected), "{pointer}: {found}");
        }
        assert_eq!(changed("/at", json!("2026-01-31T09:00:00Z")), "");
        assert_eq!(changed("/total", json!(12.3)), "");
    }
}
