//! A touchpoint → its fields by their canonical names, as values of JSON: what `check` shows and what tests of a mapping
//! compare.

use serde_json::{Map, Value, json};

use crate::model::{Identifier, Money, Touchpoint};

/// Every field that a touchpoint has, in the order of its schema, in the form of the canonical JSON.
pub fn fields(touchpoint: &Touchpoint<'_>) -> Vec<(&'static str, Value)> {
    let text = |value: Option<&str>| value.map(Value::from);
    let money = |money: Money| json!({"minor": money.minor, "currency": money.currency.as_str()});
    let mut identifiers = Map::new();
    for Identifier { kind, value } in &touchpoint.identifiers {
        let values = identifiers.entry(kind.as_str()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(Value::from(*value));
        }
    }
    let properties: Map<String, Value> =
        touchpoint.properties.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
    let score = touchpoint.score.map(|score| {
        let mut shown = json!({"scale": score.scale.as_str(), "value": score.value});
        if let Some(item) = score.item {
            shown["item"] = Value::from(item);
        }
        shown
    });
    let all = [
        ("id", text(Some(touchpoint.id))),
        ("spoke", text(Some(touchpoint.spoke))),
        ("kind", text(Some(touchpoint.kind.as_str()))),
        ("label", text(touchpoint.label)),
        ("occurred_at", Some(Value::from(touchpoint.occurred_at.to_string()))),
        ("identifiers", Some(Value::Object(identifiers))),
        ("channel", text(touchpoint.channel.map(|channel| channel.as_str()))),
        ("subject", text(touchpoint.subject)),
        ("product", text(touchpoint.product)),
        ("region", text(touchpoint.region)),
        ("segment", text(touchpoint.segment)),
        ("campaign", text(touchpoint.campaign)),
        ("content", text(touchpoint.content)),
        ("account", text(touchpoint.account)),
        ("amount", touchpoint.amount.map(money)),
        ("cost", touchpoint.cost.map(money)),
        ("score", score),
        ("promised_at", touchpoint.promised_at.map(|at| Value::from(at.to_string()))),
        ("initiator", text(Some(touchpoint.initiator.as_str()))),
        ("visibility", text(Some(touchpoint.visibility.as_str()))),
        ("sentiment", touchpoint.sentiment.map(Value::from)),
        ("referrer", touchpoint.referrer.map(|named| json!({"type": named.kind.as_str(), "value": named.value}))),
        ("effort", touchpoint.effort.map(Value::from)),
        ("properties", Some(Value::Object(properties)).filter(|_| !touchpoint.properties.is_empty())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
