//! A [`Node`] over what was captured of one payload → a value, or the place that is to blame and why.

use std::{borrow::Cow, cmp::Ordering};

use jiff::Timestamp;

use super::{Calculation, Comparison, Conversion, Node, Search, TEXT_BYTES_MAX, Undecided, Value};
use crate::wire::{Capture, Scalar, Slot};

/// A value, and the place that it comes from if it is one.
pub(super) struct Outcome<'a> {
    pub value: Value<'a>,
    slot: Option<Slot>,
}

impl<'a> Outcome<'a> {
    pub(super) fn undecided(&self, problem: &'static str) -> Undecided {
        Undecided { slot: self.slot, problem }
    }

    fn truth(&self) -> Result<bool, Undecided> {
        match self.value {
            Value::Bool(truth) => Ok(truth),
            _ => Err(self.undecided("it is not true or false; compare it with something")),
        }
    }

    fn text(&self) -> Result<&str, Undecided> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.undecided("it is no text; make it one with string(), or send text")),
        }
    }

    fn into_text(self) -> Result<Cow<'a, str>, Undecided> {
        match self.value {
            Value::Text(text) => Ok(text),
            _ => self.text().map(|text| Cow::Owned(text.to_owned())),
        }
    }
}

impl Value<'_> {
    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Int(value) => Value::Int(value),
            Value::UInt(value) => Value::UInt(value),
            Value::Double(value) => Value::Double(value),
            Value::Text(value) => Value::Text(Cow::Owned(value.into_owned())),
            Value::Time(value) => Value::Time(value),
            Value::Composite => Value::Composite,
        }
    }
}

const TOO_LONG: &str =
    "the text is longer than 16384 bytes, more than a condition looks at; send less, or look elsewhere";
const NO_NUMBER: &str = "it is no number; make it one with int() or double(), or send a number";
const OUT_OF_RANGE: &str = "the calculation leaves the range of its numbers; send a smaller number";

/// Evaluates an expression. Its recursion is bounded by the expression's depth.
pub(super) fn evaluate<'c>(node: &'c Node, capture: &'c Capture<'_>) -> Result<Outcome<'c>, Undecided> {
    let outcome = |value| Ok(Outcome { value, slot: None });
    let truth = |truth| Ok(Outcome { value: Value::Bool(truth), slot: None });
    match node {
        Node::Constant(value) => outcome(borrowed(value)),
        Node::Slot(slot) => read(*slot, capture),
        Node::Has(slot) => truth(is_there(*slot, capture)),
        Node::Not(operand) => truth(!evaluate(operand, capture)?.truth()?),
        Node::Negate(operand) => {
            let operand = evaluate(operand, capture)?;
            let negative = match operand.value {
                Value::Int(value) => value.checked_neg().map(Value::Int),
                Value::Double(value) => Some(Value::Double(-value)),
                // Either too large for a negative whole number, or its smallest.
                Value::UInt(value) => i64::try_from(-i128::from(value)).ok().map(Value::Int),
                _ => return Err(operand.undecided(NO_NUMBER)),
            };
            let value = negative.ok_or_else(|| operand.undecided(OUT_OF_RANGE))?;
            Ok(Outcome { value, slot: operand.slot })
        }
        Node::And(sides) => truth(junction(sides, capture, false)?),
        Node::Or(sides) => truth(junction(sides, capture, true)?),
        Node::Choose(parts) => {
            let [condition, yes, no] = &**parts;
            match evaluate(condition, capture)?.truth()? {
                true => evaluate(yes, capture),
                false => evaluate(no, capture),
            }
        }
        Node::Compare(comparison, sides) => {
            let [left, right] = &**sides;
            truth(compare(*comparison, &evaluate(left, capture)?, &evaluate(right, capture)?)?)
        }
        Node::In(needle, elements) => {
            let needle = evaluate(needle, capture)?;
            let mut undecided = None;
            for element in elements {
                match evaluate(element, capture).and_then(|element| compare(Comparison::Equal, &needle, &element)) {
                    Ok(true) => return truth(true),
                    Ok(false) => {}
                    Err(error) => undecided = undecided.or(Some(error)),
                }
            }
            undecided.map_or_else(|| truth(false), Err)
        }
        Node::Calculate(calculation, sides) => {
            let [left, right] = &**sides;
            calculate(*calculation, evaluate(left, capture)?, &evaluate(right, capture)?)
        }
        Node::Search(search, sides) => {
            let [text, part] = &**sides;
            let (text, part) = (evaluate(text, capture)?, evaluate(part, capture)?);
            let (text, part) = (text.text()?, part.text()?);
            truth(match search {
                Search::Contains => text.contains(part),
                Search::StartsWith => text.starts_with(part),
                Search::EndsWith => text.ends_with(part),
            })
        }
        Node::Matches(text, pattern) => truth(pattern.is_match(evaluate(text, capture)?.text()?)),
        Node::Convert(conversion, operand) => convert(*conversion, evaluate(operand, capture)?),
    }
}

fn borrowed<'c>(value: &'c Value<'static>) -> Value<'c> {
    match value {
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        other => other.clone(),
    }
}

/// Whether a place holds something. Where a list of identifiers is taken, it was captured as null with its elements.
fn is_there(slot: Slot, capture: &Capture<'_>) -> bool {
    match capture.scalar(slot) {
        Scalar::Missing => false,
        Scalar::Null => capture.entries(slot).next().is_some(),
        _ => true,
    }
}

fn read<'c>(slot: Slot, capture: &'c Capture<'_>) -> Result<Outcome<'c>, Undecided> {
    let error = |problem| Err(Undecided { slot: Some(slot), problem });
    let value = match capture.scalar(slot) {
        Scalar::Missing => {
            return error("there is nothing here; ask has() before, as in has(a.b) && a.b > 1, or send it");
        }
        Scalar::Null if is_there(slot, capture) => Value::Composite,
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(*value),
        Scalar::Int(value) => Value::Int(*value),
        Scalar::Large(value) => Value::UInt(*value),
        Scalar::Float(value) => Value::Double(*value),
        // As CEL has no longer numbers.
        Scalar::Digits(number) => Value::Double(number.parse().unwrap_or(f64::NAN)),
        Scalar::Text(text) if text.len() > TEXT_BYTES_MAX => return error(TOO_LONG),
        Scalar::Text(text) => Value::Text(Cow::Borrowed(text)),
        Scalar::Composite => Value::Composite,
    };
    Ok(Outcome { value, slot: Some(slot) })
}

/// `&&` and `||`: one side that decides is enough, whatever is wrong with the other.
fn junction(sides: &[Node; 2], capture: &Capture<'_>, decides: bool) -> Result<bool, Undecided> {
    let [left, right] = sides;
    let left = evaluate(left, capture).and_then(|left| left.truth());
    if left == Ok(decides) {
        return Ok(decides);
    }
    match evaluate(right, capture).and_then(|right| right.truth()) {
        Ok(truth) if truth == decides => Ok(decides),
        Ok(_) => left,
        Err(error) => Err(left.err().unwrap_or(error)),
    }
}

fn compare(comparison: Comparison, left: &Outcome<'_>, right: &Outcome<'_>) -> Result<bool, Undecided> {
    for side in [left, right] {
        if let Value::Composite = side.value {
            return Err(side.undecided("it is a list or an object, and a condition sees single values; name one in it"));
        }
    }
    let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    let order = match (&left.value, &right.value) {
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Time(left), Value::Time(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) if is_equality => Some(left.cmp(right)),
        (Value::Null, Value::Null) if is_equality => Some(Ordering::Equal),
        (one, another) if is_number(one) && is_number(another) => order_of_numbers(one, another),
        // Of different types: not equal, and there is no larger one.
        _ if is_equality => None,
        (Value::Text(_) | Value::Time(_) | Value::Int(_) | Value::UInt(_) | Value::Double(_), _) => {
            let side = if right.slot.is_some() { right } else { left };
            return Err(side.undecided("it is of another type than what it is compared with; send the same type"));
        }
        _ => return Err(left.undecided("it is no number, text or time, and nothing is larger or smaller than it")),
    };
    Ok(match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

fn is_number(value: &Value<'_>) -> bool {
    matches!(value, Value::Int(_) | Value::UInt(_) | Value::Double(_))
}

/// By their mathematical values; `None` if one is no number at all (NaN).
fn order_of_numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        (Some(left), None) => order_with_decimal(left, decimal(right)),
        (None, Some(right)) => order_with_decimal(right, decimal(left)).map(Ordering::reverse),
        (None, None) => decimal(left).partial_cmp(&decimal(right)),
    }
}

fn order_with_decimal(whole: i128, decimal: f64) -> Option<Ordering> {
    if decimal.is_nan() {
        return None;
    }
    // Exact: what lies beyond is clipped, and every whole number of ours is far within.
    #[expect(clippy::cast_possible_truncation, reason = "clipped at the ends, and the fraction is looked at below")]
    let below = decimal.floor() as i128;
    Some(whole.cmp(&below).then(if decimal > decimal.floor() { Ordering::Less } else { Ordering::Equal }))
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::UInt(value) => Some(i128::from(*value)),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "what calculates with decimals is as exact as decimals are")]
fn decimal(value: &Value<'_>) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::UInt(value) => *value as f64,
        Value::Double(value) => *value,
        _ => f64::NAN,
    }
}

/// A whole number as small as it fits.
fn of_whole(value: i128) -> Option<Value<'static>> {
    i64::try_from(value).map(Value::Int).or_else(|_| u64::try_from(value).map(Value::UInt)).ok()
}

fn calculate<'c>(calculation: Calculation, left: Outcome<'c>, right: &Outcome<'c>) -> Result<Outcome<'c>, Undecided> {
    let slot = left.slot.or(right.slot);
    if let (Calculation::Add, Value::Text(first), Value::Text(second)) = (calculation, &left.value, &right.value) {
        if first.len() + second.len() > TEXT_BYTES_MAX {
            return Err(Undecided { slot, problem: TOO_LONG });
        }
        return Ok(Outcome { value: Value::Text(Cow::Owned(format!("{first}{second}"))), slot });
    }
    let is_text = |side: &Outcome<'_>| matches!(side.value, Value::Text(_));
    for side in [&left, right] {
        let to_text = calculation == Calculation::Add && (is_text(&left) || is_text(right));
        if to_text && !is_text(side) {
            return Err(side.undecided("text is added to text only; make text of it with string()"));
        }
        if !to_text && !is_number(&side.value) {
            return Err(side.undecided(NO_NUMBER));
        }
    }
    let value = match (whole(&left.value), whole(&right.value)) {
        (Some(first), Some(second)) => {
            if second == 0 && matches!(calculation, Calculation::Divide | Calculation::Remainder) {
                return Err(right.undecided("it is zero, and nothing can be divided by it; ask for that before"));
            }
            let whole = match calculation {
                Calculation::Add => first.checked_add(second),
                Calculation::Subtract => first.checked_sub(second),
                Calculation::Multiply => first.checked_mul(second),
                Calculation::Divide => first.checked_div(second),
                Calculation::Remainder => first.checked_rem(second),
            };
            whole.and_then(of_whole)
        }
        _ => {
            let (first, second) = (decimal(&left.value), decimal(&right.value));
            match calculation {
                Calculation::Add => Some(Value::Double(first + second)),
                Calculation::Subtract => Some(Value::Double(first - second)),
                Calculation::Multiply => Some(Value::Double(first * second)),
                Calculation::Divide => Some(Value::Double(first / second)),
                Calculation::Remainder => {
                    return Err(Undecided { slot, problem: "% takes whole numbers; make them whole with int()" });
                }
            }
        }
    };
    Ok(Outcome { value: value.ok_or(Undecided { slot, problem: OUT_OF_RANGE })?, slot })
}

fn convert(conversion: Conversion, operand: Outcome<'_>) -> Result<Outcome<'_>, Undecided> {
    let slot = operand.slot;
    let error = |problem| Err(Undecided { slot, problem });
    let value = match conversion {
        Conversion::Size => {
            if let Value::Composite = operand.value {
                return error("it is a list or an object, and a condition sees single values: no sizes of lists");
            }
            Value::Int(i64::try_from(operand.text()?.chars().count()).unwrap_or(i64::MAX))
        }
        Conversion::Int => {
            let whole = match &operand.value {
                Value::Int(_) | Value::UInt(_) => Some(operand.value),
                // Towards zero, as CEL says; a decimal beyond 2^63 is no whole number that somebody meant.
                Value::Double(value) if value.abs() < 9.2e18 => {
                    #[expect(clippy::cast_possible_truncation, reason = "within the range, and the fraction is to go")]
                    let whole = value.trunc() as i64;
                    Some(Value::Int(whole))
                }
                Value::Text(text) => text.trim().parse::<i128>().ok().and_then(of_whole),
                _ => None,
            };
            match whole {
                Some(whole) => whole,
                None => return error("it is no whole number; send digits only"),
            }
        }
        Conversion::Double => match &operand.value {
            Value::Text(text) => match text.trim().parse::<f64>() {
                Ok(value) if value.is_finite() => Value::Double(value),
                _ => return error("it is no number; send one with a point, such as 12.50"),
            },
            value if is_number(value) => Value::Double(decimal(value)),
            _ => return error(NO_NUMBER),
        },
        Conversion::Text => match operand.value {
            Value::Text(text) => Value::Text(text),
            Value::Bool(value) => Value::Text(if value { "true" } else { "false" }.into()),
            Value::Int(value) => Value::Text(value.to_string().into()),
            Value::UInt(value) => Value::Text(value.to_string().into()),
            Value::Double(value) => Value::Text(value.to_string().into()),
            Value::Null | Value::Time(_) | Value::Composite => {
                return error("it is no text, number, true or false, and string() makes no text of it");
            }
        },
        Conversion::Timestamp => {
            let at = match &operand.value {
                Value::Time(at) => Some(*at),
                Value::Text(text) => text.parse::<Timestamp>().ok(),
                // Seconds since 1970, as CEL says.
                Value::Int(seconds) => Timestamp::from_second(*seconds).ok(),
                _ => None,
            };
            match at {
                Some(at) => Value::Time(at),
                None => return error("it is no time; send one such as 2026-01-31T09:00:00Z, or seconds since 1970"),
            }
        }
        Conversion::LowerAscii => Value::Text(operand.into_text()?.to_ascii_lowercase().into()),
        Conversion::UpperAscii => Value::Text(operand.into_text()?.to_ascii_uppercase().into()),
        Conversion::Trim => match operand.into_text()? {
            Cow::Borrowed(text) => Value::Text(Cow::Borrowed(text.trim())),
            Cow::Owned(text) => Value::Text(Cow::Owned(text.trim().to_owned())),
        },
    };
    Ok(Outcome { value, slot })
}
