//! One JSON member in, one field of a touchpoint or a rejection reason out; and the closed vocabularies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Identifier types, strongest first; `tax_number` where a hub has such a type of its own.
pub const IDENTIFIER_TYPES: [&str; 11] = [
    "customer_id",
    "email",
    "phone",
    "loyalty",
    "tax_number",
    "device",
    "cookie",
    "anonymous",
    "order",
    "case",
    "contract",
];

pub const KINDS: [&str; 40] = [
    "message_sent",
    "message_opened",
    "message_clicked",
    "ad_shown",
    "ad_clicked",
    "page_viewed",
    "content_consumed",
    "event_attended",
    "social_mentioned",
    "review_posted",
    "referral_made",
    "consent_changed",
    "lead_created",
    "meeting_held",
    "quote_sent",
    "cart_abandoned",
    "order_placed",
    "order_cancelled",
    "payment_received",
    "subscription_started",
    "subscription_renewed",
    "subscription_cancelled",
    "case_opened",
    "case_replied",
    "case_resolved",
    "case_reopened",
    "complaint_made",
    "follow_up_made",
    "delivery_promised",
    "order_shipped",
    "order_delivered",
    "order_returned",
    "refund_issued",
    "invoice_issued",
    "service_interrupted",
    "service_restored",
    "survey_answered",
    "visit_made",
    "change_enacted",
    "other",
];

const CHANNELS: [&str; 12] =
    ["web", "app", "email", "phone", "chat", "store", "social", "community", "post", "partner", "field", "other"];

const BLOCKED: [&str; 14] = [
    "null",
    "none",
    "nan",
    "undefined",
    "anonymous",
    "guest",
    "unknown",
    "true",
    "false",
    "id",
    "email",
    "[object object]",
    "-1",
    "",
];

pub fn vocabulary_or_other(kind: &str, word: &str) -> (String, Option<String>) {
    match kind {
        "other" => ("other".into(), Some(word.to_owned())),
        known if KINDS.contains(&known) => (known.to_owned(), None),
        _ => ("other".into(), Some(word.to_owned())),
    }
}

/// Trimmed text; absent, null and empty are none.
pub fn text(value: &Value) -> Result<Option<String>, &'static str> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return Err("wrong_type"),
    };
    Ok((!text.is_empty()).then_some(text))
}

pub fn required(value: &Value) -> Result<String, &'static str> {
    let text = text(value)?.ok_or("missing_field")?;
    if text.chars().count() > 128 { Err("too_large") } else { Ok(text) }
}

pub fn dimension(value: &Value) -> Result<Option<String>, &'static str> {
    let Some(text) = text(value)? else { return Ok(None) };
    if text.chars().count() > 256 {
        return Err("too_large");
    }
    Ok(Some(text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()))
}

pub fn integer(value: &Value) -> Result<Option<i64>, &'static str> {
    match text(value)? {
        None => Ok(None),
        Some(digits) => digits.parse().map(Some).map_err(|_| "wrong_type"),
    }
}

pub fn sentiment(value: &Value) -> Result<Option<i64>, &'static str> {
    match integer(value)? {
        Some(felt) if !(-100..=100).contains(&felt) => Err("score_out_of_range"),
        felt => Ok(felt),
    }
}

pub fn currency_code(value: &Value) -> Result<String, &'static str> {
    let code = text(value)?.ok_or("missing_field")?;
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) { Ok(code) } else { Err("wrong_type") }
}

pub fn money(minor: &Value, currency: &Value) -> Result<Option<(i64, String)>, &'static str> {
    let Some(minor) = integer(minor)? else { return Ok(None) };
    if minor.abs() > 1_000_000_000_000_000 {
        return Err("wrong_type");
    }
    Ok(Some((minor, currency_code(currency)?)))
}

/// Hundredths of a decimal number's text; the departments of the tests use currencies with two digits only.
pub fn minor_units(value: &Value) -> Result<i64, &'static str> {
    let digits = text(value)?.ok_or("wrong_type")?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    if fraction.len() > 2 {
        return Err("wrong_type");
    }
    format!("{whole}{fraction:0<2}").parse().map_err(|_| "wrong_type")
}

pub fn score(
    scale: &Value,
    answer: &Value,
    item: &Value,
) -> Result<Option<(String, i64, Option<String>)>, &'static str> {
    let Some(scale) = text(scale)? else { return Ok(None) };
    let Some(answer) = integer(answer)? else {
        return Ok(None);
    };
    let scale = match scale.as_str() {
        "satisfaction" => "csat",
        "effort" => "ces",
        own => own,
    };
    let range = match scale {
        "nps" => 0..=10,
        "csat" | "review" => 1..=5,
        "ces" | "expectation" | "perception" => 1..=7,
        _ => return Err("wrong_type"),
    };
    if !range.contains(&answer) {
        return Err("score_out_of_range");
    }
    Ok(Some((scale.to_owned(), answer, dimension(item)?)))
}

pub fn channel(value: &Value, words: &[(&str, &str)]) -> Result<Option<String>, &'static str> {
    let Some(word) = text(value)? else { return Ok(None) };
    let word = words.iter().find(|(own, _)| *own == word).map_or(word.as_str(), |(_, ours)| ours);
    Ok(Some(if CHANNELS.contains(&word) { word.to_owned() } else { "other".to_owned() }))
}

pub fn identifiers<'a>(
    named: impl IntoIterator<Item = (&'a str, &'a Value)>,
) -> Result<BTreeSet<(usize, String)>, &'static str> {
    let mut found = BTreeSet::new();
    for (kind, values) in named {
        let rank = IDENTIFIER_TYPES.iter().position(|name| *name == kind).ok_or("wrong_type")?;
        let values = match values {
            Value::Array(values) => values.iter().collect(),
            one => vec![one],
        };
        for value in values {
            let Some(mut value) = text(value)? else { continue };
            if kind == "email" {
                value = value.to_lowercase();
            }
            let blocked = BLOCKED.contains(&value.to_lowercase().as_str())
                || value.chars().all(|character| character == '0' || character == '-')
                || kind == "email" && !value.contains('@');
            if !blocked {
                found.insert((rank, value));
            }
        }
    }
    Ok(found)
}

pub fn properties<'a>(
    named: impl IntoIterator<Item = (&'a str, &'a Value)>,
) -> Result<BTreeMap<String, String>, &'static str> {
    let mut kept = BTreeMap::new();
    for (name, value) in named {
        if let Some(value) = text(value)? {
            if value.chars().count() > 128 {
                return Err("too_large");
            }
            kept.insert(name.to_owned(), value);
        }
    }
    if kept.len() > 32 { Err("too_large") } else { Ok(kept) }
}

pub fn supported(milliseconds: i64) -> Result<i64, &'static str> {
    // The years 1900 to 2199.
    if (-2_208_988_800_000..7_258_118_400_000).contains(&milliseconds) {
        Ok(milliseconds)
    } else {
        Err("bad_timestamp")
    }
}

pub fn epoch_seconds(value: &Value) -> Result<i64, &'static str> {
    let seconds = text(value)?.ok_or("missing_field")?;
    let (whole, fraction) = seconds.split_once('.').unwrap_or((&seconds, ""));
    let milliseconds = format!("{whole}{:0<3.3}", fraction);
    supported(milliseconds.parse().map_err(|_| "bad_timestamp")?)
}

pub fn required_time(value: &Value) -> Result<i64, &'static str> {
    optional_time(value)?.ok_or("missing_field")
}

/// RFC 3339 or epoch milliseconds.
pub fn optional_time(value: &Value) -> Result<Option<i64>, &'static str> {
    let Some(written) = text(value)? else { return Ok(None) };
    let milliseconds = match written.parse::<i64>() {
        Ok(milliseconds) => milliseconds,
        Err(_) => {
            let time: jiff::Timestamp = written.parse().map_err(|_| "bad_timestamp")?;
            time.as_nanosecond().div_euclid(1_000_000) as i64
        }
    };
    supported(milliseconds).map(Some)
}
