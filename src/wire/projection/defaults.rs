//! Defaults of a reader's schema: JSON, read as its type says, into what stands in a slot.

use apache_avro::{Schema, schema::UuidSchema};
use serde_json::Value;

use super::{Filler, Scalar, TimeUse, time, types::time_of};
use crate::wire::shape::Node;

/// What a slot holds by default; `None`: nothing, as if it were missing.
pub(super) fn filler(
    node: &Node,
    branches: &[&Schema],
    default: &Value,
    wanted: Option<TimeUse>,
) -> Result<Option<Filler>, &'static str> {
    Ok(match default {
        // A list of which each element is read is there, and null.
        Value::Null if node.element.is_some() => Some(Filler::Scalar(Scalar::Null)),
        Value::Null => None,
        Value::Array(items) if node.list => {
            let items = items.iter().map(|item| Ok((String::new(), scalar(&inner(branches), item, None)?)));
            Some(Filler::Entries(items.collect::<Result<_, &'static str>>()?))
        }
        Value::Object(entries) if node.entries => {
            let entries = entries.iter().map(|(key, value)| Ok((key.clone(), scalar(&inner(branches), value, None)?)));
            Some(Filler::Entries(entries.collect::<Result<_, &'static str>>()?))
        }
        Value::Array(_) | Value::Object(_) => Some(Filler::Scalar(Scalar::Composite)),
        value => Some(Filler::Scalar(scalar(branches, value, wanted)?)),
    })
}

/// The items of lists and the values of maps.
fn inner<'s>(branches: &[&'s Schema]) -> Vec<&'s Schema> {
    let inner = branches.iter().filter_map(|schema| match schema {
        Schema::Array(array) => Some(&*array.items),
        Schema::Map(map) => Some(&*map.types),
        _ => None,
    });
    inner.collect()
}

fn scalar(branches: &[&Schema], value: &Value, wanted: Option<TimeUse>) -> Result<Scalar<'static>, &'static str> {
    Ok(match value {
        Value::Null => Scalar::Null,
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(count) => match (wanted, branches.iter().find_map(|schema| time_of(schema, wanted?))) {
                (Some(wanted), Some(Some(unit))) => time(count, wanted, unit),
                _ => Scalar::Int(count),
            },
            None => Scalar::Float(number.as_f64().unwrap_or(f64::INFINITY)),
        },
        Value::String(text) => match branches.first() {
            Some(Schema::Decimal(decimal)) => Scalar::Text(decimal_text(text, decimal.scale)?.into()),
            Some(Schema::Bytes | Schema::Fixed(_) | Schema::BigDecimal | Schema::Uuid(UuidSchema::Fixed(_))) => {
                Scalar::Composite
            }
            _ => Scalar::Text(text.clone().into()),
        },
        Value::Array(_) | Value::Object(_) => Scalar::Composite,
    })
}

/// A default of a decimal: its bytes, each as a character, are a big-endian number in two's complement.
fn decimal_text(bytes: &str, scale: usize) -> Result<String, &'static str> {
    const UNREADABLE: &str = "the default of a decimal is no number of at most 16 bytes";
    if scale > 38 {
        return Err(UNREADABLE);
    }
    let bytes: Option<Vec<u8>> = bytes.chars().map(|byte| u8::try_from(u32::from(byte)).ok()).collect();
    let bytes = bytes.filter(|bytes| (1..=16).contains(&bytes.len())).ok_or(UNREADABLE)?;
    let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
    let unscaled = bytes.iter().fold(sign, |number: i128, byte| (number << 8) | i128::from(*byte));
    Ok(super::plan::decimal_text(unscaled, scale))
}

#[cfg(test)]
mod tests {
    use super::decimal_text;

    #[test]
    fn decimals_are_read_from_their_bytes() {
        assert_eq!(decimal_text("\u{04}\u{D2}", 2).as_deref(), Ok("12.34"));
        assert_eq!(decimal_text("\u{05}", 2).as_deref(), Ok("0.05"));
        assert_eq!(decimal_text("\u{FF}", 2).as_deref(), Ok("-0.01"));
        assert_eq!(decimal_text("\u{7B}", 0).as_deref(), Ok("123"));
        assert!(decimal_text("", 2).is_err());
        assert!(decimal_text("€", 2).is_err());
    }
}
