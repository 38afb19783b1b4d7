//! A mapping and the sample → a test for the mapping's own file, in which nothing of the sample is but words that the file has
//! anyway.

use serde_json::{Map, Value, json};

use super::{
    forms::TimeForm,
    part::{MadeUp, Use, key, quoted},
    survey::text,
};
use crate::{
    ingest::{Mapped, NoHeaders, SourceRecord, Spoke, fields, spoke_file::TimeFormat},
    model::EventTime,
};

/// 2026-01-31T09:00:00Z: when everything happens that never did.
const AT_MS: i64 = 1_769_850_000_000;
const DAY_MS: i64 = 86_400_000;

/// The list that is read element by element, and which element of it stands for all.
pub(super) struct Element<'v> {
    /// The keys that lead to the list.
    pub keys: Vec<String>,
    /// The element.
    pub value: &'v Value,
}

/// A record of the same shape as one of the sample, with other values.
pub(super) fn made_up(record: &Value, element: Option<&Element<'_>>, uses: &[Use]) -> Value {
    let mut made = json!({});
    let mut made_element = json!({});
    for of in uses {
        let (from, into) = match (of.of_element, element) {
            (true, Some(element)) => (element.value, &mut made_element),
            (true, None) => continue,
            (false, _) => (record, &mut made),
        };
        let found = of.keys.iter().try_fold(from, |value, key| value.get(key));
        let value = match found {
            None | Some(Value::Null | Value::Object(_)) => continue,
            Some(Value::Array(items)) => match items.iter().find(|item| text(item).is_some()) {
                Some(item) => json!([replaced(item, &of.made_up)]),
                None => continue,
            },
            Some(value) => replaced(value, &of.made_up),
        };
        put(into, &of.keys, value);
    }
    if let Some(element) = element {
        put(&mut made, &element.keys, json!([made_element]));
    }
    made
}

fn put(object: &mut Value, keys: &[String], value: Value) {
    let mut at = object;
    for key in keys {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[key.as_str()];
    }
    *at = value;
}

/// Another value of the same type.
fn replaced(value: &Value, made_up: &MadeUp) -> Value {
    let is_text = value.is_string();
    let number = |number: i64| if is_text { Value::from(number.to_string()) } else { Value::from(number) };
    match made_up {
        MadeUp::Same => value.clone(),
        MadeUp::Email => "nobody@example.com".into(),
        MadeUp::Phone if is_text => "+4930123456".into(),
        MadeUp::Phone | MadeUp::Form => formed(value),
        MadeUp::Number(of_all) => number(*of_all),
        MadeUp::Words(words) => (*words).into(),
        MadeUp::Time(form, days) => time(*form, AT_MS + days * DAY_MS, &number),
    }
}

fn time(form: TimeForm, at_ms: i64, number: &dyn Fn(i64) -> Value) -> Value {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default().to_zoned_datetime(jiff::tz::TimeZone::UTC);
    let written = |pattern: &str| jiff::fmt::strtime::format(pattern, &at).unwrap_or_default().into();
    match form {
        TimeForm::Instant(TimeFormat::Rfc3339 | TimeFormat::Canonical | TimeFormat::Logical) => {
            EventTime(at_ms).to_string().into()
        }
        TimeForm::Instant(TimeFormat::EpochSeconds) => number(at_ms / 1_000),
        TimeForm::Instant(TimeFormat::EpochMilliseconds) => number(at_ms),
        TimeForm::Instant(TimeFormat::EpochMicroseconds) => number(at_ms * 1_000),
        TimeForm::Local => written("%Y-%m-%dT%H:%M:%S"),
        TimeForm::Pattern(pattern) => written(pattern),
    }
}

/// Each letter another letter, each digit another digit.
fn formed(value: &Value) -> Value {
    let mut next = 0_u32;
    let mut digit = || {
        next = next % 9 + 1;
        char::from_digit(next, 10).unwrap_or('1')
    };
    match value {
        Value::String(text) => text
            .trim()
            .chars()
            .map(|character| match character {
                character if character.is_ascii_digit() => digit(),
                character if character.is_uppercase() => 'X',
                character if character.is_alphanumeric() => 'x',
                character if character.is_ascii_punctuation() => character,
                _ => ' ',
            })
            .collect::<String>()
            .into(),
        Value::Number(number) => {
            let digits = number.to_string().bytes().filter(u8::is_ascii_digit).count().min(15);
            let digits: String = (0..digits).map(|_| digit()).collect();
            digits.parse::<i64>().unwrap_or(1).into()
        }
        other => other.clone(),
    }
}

/// The test: the record, and all that the mapping makes of it. `None` if it does not take it.
pub(super) fn test(spoke: &Spoke, record: &Value, is_content_id: bool) -> Option<String> {
    let payload = record.to_string();
    let source = SourceRecord {
        topic: spoke.topic(),
        partition: 0,
        offset: 0,
        timestamp_ms: -1,
        key: None,
        payload: Some(payload.as_bytes()),
        headers: &NoHeaders,
    };
    let mut expected = Vec::new();
    let mut is_taken = true;
    spoke.map_json(&source, &mut |mapped| match mapped {
        Mapped::Touchpoint(touchpoint) => {
            let fields = fields(&touchpoint).into_iter().filter(|(name, _)| {
                // A hash of all fields changes with each of them.
                *name != "spoke" && !(is_content_id && *name == "id")
            });
            expected.push(inline(&fields.map(|(name, value)| (name.to_owned(), value)).collect()));
        }
        Mapped::Skipped(_) | Mapped::Rejected(_) => is_taken = false,
    });
    let [expected] = expected.as_slice() else { return None };
    is_taken.then(|| format!("[[tests]]\nsample = {}\nexpect = {expected}\n", literal(&payload)))
}

/// A text as it is, if TOML has a way to write it so.
fn literal(text: &str) -> String {
    let is_plain =
        !text.contains("''") && !text.starts_with('\'') && !text.ends_with('\'') && !text.chars().any(char::is_control);
    if is_plain { format!("'''{text}'''") } else { quoted(text) }
}

fn inline(fields: &Map<String, Value>) -> String {
    let entries: Vec<String> =
        fields.iter().map(|(name, value)| format!("{} = {}", key(name), of_value(value))).collect();
    format!("{{ {} }}", entries.join(", "))
}

fn of_value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Object(fields) => inline(fields),
        Value::Array(items) => match items.as_slice() {
            [one] => of_value(one),
            items => format!("[{}]", items.iter().map(of_value).collect::<Vec<_>>().join(", ")),
        },
        other => other.to_string(),
    }
}
