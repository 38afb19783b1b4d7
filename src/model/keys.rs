//! Canonical string keys of the public feeds: parts joined by `|`, separators in parts escaped.

use super::{
    analysis::AnalysisPlace, contribution::Dimension, identifier::PersonId, time::Window, touchpoint::Currency,
};

/// Appends `part`, with `%`, `|`, `=`, `&` and control characters as `%XX` of their UTF-8 bytes.
pub fn push_escaped(key: &mut String, part: &str) {
    if part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b' ')) {
        // Nearly every part.
        key.push_str(part);
        return;
    }
    for character in part.chars() {
        if matches!(character, '%' | '|' | '=' | '&') || character.is_control() {
            let mut buffer = [0; 4];
            for byte in character.encode_utf8(&mut buffer).bytes() {
                key.push('%');
                for digit in [byte >> 4, byte & 15] {
                    key.push(char::from_digit(u32::from(digit), 16).expect("a nibble is a digit").to_ascii_uppercase());
                }
            }
        } else {
            key.push(character);
        }
    }
}

/// `person|spoke|id`: the key on `insight.touchpoints`.
pub fn touchpoint(person: PersonId, spoke: &str, id: &str) -> String {
    let mut key = String::with_capacity(34 + spoke.len() + id.len());
    key.push_str(std::str::from_utf8(&person.hexadecimal()).expect("hexadecimal digits are ASCII"));
    key.push('|');
    push_escaped(&mut key, spoke);
    key.push('|');
    push_escaped(&mut key, id);
    key
}

/// `metric|window|dimensions`: the key on `insight.metrics`. Dimensions are `name=value` joined by `&`, empty for the
/// company: `revenue|day:2026-01-31|currency=EUR&region=north`.
pub fn metric(metric: &str, window: Window, currency: Option<Currency>, dimension: Dimension, value: &str) -> String {
    use std::fmt::Write;
    let mut key = String::with_capacity(metric.len() + value.len() + 40);
    key.push_str(metric);
    write!(key, "|{window}|").expect("a string takes every character");
    if let Some(currency) = currency {
        key.push_str("currency=");
        key.push_str(currency.as_str());
    }
    if dimension != Dimension::Company {
        if currency.is_some() {
            key.push('&');
        }
        key.push_str(dimension.as_str());
        key.push('=');
        push_escaped(&mut key, value);
    }
    key
}

/// The key on `insight.metrics` of the values of a dimension that have none of their own:
/// `revenue|day:2026-01-31|currency=EUR&others=product`. No dimension is called `others`.
pub fn metric_of_others(metric: &str, window: Window, currency: Option<Currency>, dimension: Dimension) -> String {
    let mut key = self::metric(metric, window, currency, Dimension::Company, "");
    if currency.is_some() {
        key.push('&');
    }
    key.push_str("others=");
    key.push_str(dimension.as_str());
    key
}

/// `analysis|window|parts`: the key on a feed of analyses. Parts are `name=value` joined by `&`, the first names the subject
/// by `word`:
/// `journeys|month:2026-01|goal=repurchase&segment=gold`.
pub fn analysis(analysis: &str, word: &str, place: &AnalysisPlace<'_>) -> String {
    use std::fmt::Write;
    let mut key = String::with_capacity(64);
    write!(key, "{analysis}|{}|{word}=", place.window).expect("a string takes every character");
    push_escaped(&mut key, place.subject);
    if place.dimension != Dimension::Company {
        key.push('&');
        key.push_str(place.dimension.as_str());
        key.push('=');
        push_escaped(&mut key, place.dimension_value);
    }
    key
}

/// `analysis|window|`: the key of an analysis that is one record for a window of the company: `balance|month:2026-01|`.
pub fn analysis_of_company(analysis: &str, window: Window) -> String {
    format!("{analysis}|{window}|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Day, WindowKind};

    #[test]
    fn separators_in_values_are_escaped() {
        let window = Window::of(WindowKind::Day, Day::from_civil(2026, 1, 31));
        assert_eq!(
            metric("revenue", window, Currency::parse("EUR"), Dimension::Region, "a|b=c&d%é\n"),
            "revenue|day:2026-01-31|currency=EUR&region=a%7Cb%3Dc%26d%25é%0A"
        );
        assert_eq!(metric("nps", window, None, Dimension::Company, ""), "nps|day:2026-01-31|");
        assert_eq!(touchpoint(PersonId([0xab; 16]), "sales", "o|1"), format!("{}|sales|o%7C1", "ab".repeat(16)));
    }
}
