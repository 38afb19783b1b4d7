//! A schema with the schemas that it refers to → one text.
//!
//! A registry keeps a schema apart from the schemas that it refers to by their names. Avro wants a name to be defined
//! where it is used first: there its definition is put.

use std::collections::BTreeMap;

use serde_json::Value;

/// The text of a schema with the definitions of what it refers to, each where it is used first. `referred`: the texts of
/// the schemas that it refers to, each whole in itself. The error says what is wrong.
pub fn inline(schema: &str, referred: &[String]) -> Result<String, String> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).or_else(|_| bare_name(text));
    let mut definitions = BTreeMap::new();
    for text in referred {
        define(parse(text)?, &mut definitions);
    }
    let mut schema = parse(schema)?;
    let mut inliner = Inliner { definitions };
    inliner.visit(&mut schema, "");
    Ok(schema.to_string())
}

/// Registries keep the schema `string` as `"string"`, some as `string`.
fn bare_name(text: &str) -> Result<Value, String> {
    match text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.')) {
        true => Ok(Value::from(text)),
        false => Err("it is not JSON".into()),
    }
}

/// Takes every definition out of a schema, those inside of others too, and leaves names in their places. Two schemas that
/// refer to a third each have its definition: the first holds.
fn define(schema: Value, definitions: &mut BTreeMap<String, Value>) {
    match schema {
        Value::Array(schemas) => schemas.into_iter().for_each(|schema| define(schema, definitions)),
        mut schema => take_out(&mut schema, "", definitions),
    }
}

fn take_out(schema: &mut Value, namespace: &str, definitions: &mut BTreeMap<String, Value>) {
    if let Value::Array(branches) = schema {
        return branches.iter_mut().for_each(|branch| take_out(branch, namespace, definitions));
    }
    let name = full_name(schema, namespace);
    let inner = name.as_deref().and_then(split).map_or(namespace, |(namespace, _)| namespace).to_owned();
    let Some(object) = schema.as_object_mut() else { return };
    for key in ["type", "items", "values"] {
        if let Some(place) = object.get_mut(key) {
            take_out(place, &inner, definitions);
        }
    }
    for field in object.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(place) = field.get_mut("type") {
            take_out(place, &inner, definitions);
        }
    }
    if let Some(name) = name {
        // Where it is put, another namespace may be around it.
        object.insert("namespace".into(), inner.into());
        let definition = std::mem::replace(schema, Value::from(name.as_str()));
        definitions.entry(name).or_insert(definition);
    }
}

fn split(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').or(Some(("", name)))
}

/// The full name of a named type, given the namespace around it.
fn full_name(schema: &Value, around: &str) -> Option<String> {
    let name = schema.get("name")?.as_str()?;
    let namespace = schema.get("namespace").and_then(Value::as_str).unwrap_or(around);
    Some(qualified(name, namespace))
}

fn qualified(name: &str, namespace: &str) -> String {
    match name.contains('.') || namespace.is_empty() {
        true => name.trim_start_matches('.').to_owned(),
        false => format!("{namespace}.{name}"),
    }
}

struct Inliner {
    /// Those that were not used yet.
    definitions: BTreeMap<String, Value>,
}

impl Inliner {
    /// Looks at a place where a schema stands. The parser bounds how deep it is nested.
    fn visit(&mut self, schema: &mut Value, namespace: &str) {
        match schema {
            Value::String(name) => {
                if let Some(mut definition) = self.definitions.remove(&qualified(name, namespace)) {
                    self.visit(&mut definition, namespace);
                    *schema = definition;
                }
            }
            Value::Array(branches) => branches.iter_mut().for_each(|branch| self.visit(branch, namespace)),
            Value::Object(_) => {
                let name = full_name(schema, namespace);
                let inner = name.as_deref().and_then(split).map_or(namespace, |(namespace, _)| namespace).to_owned();
                if let Some(name) = &name {
                    self.definitions.remove(name); // its own definition is the one that holds
                }
                let Some(object) = schema.as_object_mut() else { return };
                for key in ["type", "items", "values"] {
                    if let Some(place) = object.get_mut(key) {
                        self.visit(place, &inner);
                    }
                }
                for field in object.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Some(place) = field.get_mut("type") {
                        self.visit(place, &inner);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::schemas::WriterSchema;

    #[test]
    fn what_a_schema_refers_to_is_put_where_it_is_used_first() {
        let money = r#"{"type":"record","name":"Money","namespace":"common","fields":[
            {"name":"currency","type":"Code"},{"name":"minor","type":"long"}]}"#;
        let code = r#"{"type":"enum","name":"Code","namespace":"common","symbols":["EUR","USD"]}"#;
        let order = r#"{"type":"record","name":"Order","namespace":"sales","fields":[
            {"name":"total","type":"common.Money"},{"name":"discount","type":["null","common.Money"]},
            {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
                {"name":"price","type":"common.Money"}]}}}]}"#;
        let money = inline(money, &[code.to_owned()]).expect("JSON");
        let text = inline(order, &[money]).expect("JSON");
        WriterSchema::parse("order.avsc", &text).expect("one schema that is whole");
        assert_eq!(text.matches("\"symbols\"").count(), 1);
        assert!(WriterSchema::parse("order.avsc", order).is_err());
    }

    #[test]
    fn what_two_schemas_refer_to_is_defined_once_and_what_is_inside_of_one_is_known_to_all() {
        let code = r#"{"type":"enum","name":"Code","namespace":"c","symbols":["A","B"]}"#.to_owned();
        let using = |name: &str| {
            let text = format!(
                r#"{{"type":"record","name":"{name}","namespace":"c","fields":[{{"name":"x","type":"Code"}},
                {{"name":"y","type":{{"type":"fixed","name":"In{name}","size":2}}}}]}}"#
            );
            inline(&text, std::slice::from_ref(&code)).expect("JSON")
        };
        let order = r#"{"type":"record","name":"Order","namespace":"s","fields":[{"name":"early","type":"c.InLine"},
            {"name":"money","type":"c.Money"},{"name":"line","type":"c.Line"},{"name":"code","type":"c.Code"}]}"#;
        let text = inline(order, &[using("Money"), using("Line")]).expect("JSON");
        WriterSchema::parse("order.avsc", &text).expect("one schema that is whole");
        assert_eq!(text.matches("\"symbols\"").count(), 1, "{text}");
    }

    #[test]
    fn a_type_without_a_namespace_does_not_get_the_one_around_it() {
        let text = inline(
            r#"{"type":"record","name":"Order","namespace":"sales","fields":[{"name":"a","type":"Plain"},{"name":"b","type":"sales.Other"}]}"#,
            &[
                r#"{"type":"fixed","name":"Plain","size":2}"#.into(),
                r#"{"type":"fixed","name":"sales.Other","size":3}"#.into(),
            ],
        );
        // `Plain` inside of `sales` is `sales.Plain`, which nobody has defined.
        assert!(text.expect("JSON").contains(r#""type":"Plain""#));
        assert_eq!(inline("string", &[]).as_deref(), Ok("\"string\""));
        assert!(inline("{", &[]).is_err());
    }
}
