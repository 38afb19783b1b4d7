//! Numbers as departments write them → exact integers: money in minor units, counts and answers, instants.

use std::borrow::Cow;

use crate::{
    ingest::spoke_file::TimeFormat,
    model::{Currency, Day, EventTime},
    wire::Scalar,
};

/// How many digits a currency has after its decimal point. Of what is none, and was taken by an earlier version, two.
pub fn currency_exponent(currency: Currency) -> u32 {
    currency.decimals().unwrap_or(2)
}

/// A number times 10^`exponent`, if that is a whole number within ±2^53. JSON numbers and text alike. `None` for what is
/// no number, has more digits than fit, or is too large.
pub(super) fn scaled(scalar: &Scalar<'_>, exponent: u32) -> Option<i64> {
    /// Up to here floating point holds every integer, so that a decimal of a JSON number comes out exactly.
    const LARGEST: i64 = 1 << 53;
    let scaled = match scalar {
        Scalar::Int(value) => value.checked_mul(10_i64.checked_pow(exponent)?)?,
        Scalar::Float(value) => {
            // Decimals of up to 15 digits are read to the nearest double (of more they come as digits); its product with a power of ten is then
            // within 2^-51 of the whole number that was meant, and anything further away was meant otherwise.
            let scaled = value * 10_f64.powi(exponent as i32);
            let whole = scaled.round();
            if !(whole.abs() <= LARGEST as f64 && (scaled - whole).abs() <= scaled.abs() * 4.5e-16) {
                return None;
            }
            whole as i64
        }
        Scalar::Text(text) => scaled_text(text.trim(), exponent)?,
        Scalar::Digits(number) => scaled_text(&spelled_out(number)?, exponent)?,
        _ => return None,
    };
    (scaled.unsigned_abs() <= LARGEST.unsigned_abs()).then_some(scaled)
}

/// `-12.34` and the like, exactly. Digits beyond the exponent must be zeros.
fn scaled_text(text: &str, exponent: u32) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let mut value = 0_i64;
    let mut digits_seen = 0;
    let mut decimals = None;
    for &byte in digits {
        match byte {
            b'0'..=b'9' => {
                digits_seen += 1;
                if let Some(decimals) = &mut decimals {
                    if *decimals == exponent {
                        if byte != b'0' {
                            return None;
                        }
                        continue;
                    }
                    *decimals += 1;
                }
                value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
            }
            b'.' if decimals.is_none() => decimals = Some(0),
            _ => return None,
        }
    }
    if digits_seen == 0 {
        return None;
    }
    let missing = exponent - decimals.unwrap_or(0);
    let value = value.checked_mul(10_i64.checked_pow(missing)?)?;
    Some(if negative { -value } else { value })
}

/// A number of JSON without its exponent: `1.769850000250123E12`, as Java writes it, is `1769850000250.123`. `None` if the
/// exponent is beyond those of doubles.
fn spelled_out(number: &str) -> Option<Cow<'_, str>> {
    const EXPONENT_MAX: usize = 308;
    let Some((written, exponent)) = number.split_once(['e', 'E']) else {
        return Some(Cow::Borrowed(number));
    };
    let exponent: isize = exponent.parse().ok()?;
    if exponent.unsigned_abs() > EXPONENT_MAX {
        return None;
    }
    let (sign, written) = written.strip_prefix('-').map_or(("", written), |written| ("-", written));
    let (whole, decimals) = written.split_once('.').unwrap_or((written, ""));
    let digits = format!("{whole}{decimals}");
    Some(Cow::Owned(match whole.len().checked_add_signed(exponent) {
        Some(point) if point >= digits.len() => format!("{sign}{digits}{:0<1$}", "", point - digits.len()),
        Some(point) => format!("{sign}{}.{}", digits.get(..point)?, digits.get(point..)?),
        None => format!("{sign}0.{:0<1$}{digits}", "", exponent.unsigned_abs() - whole.len()),
    }))
}

/// A number as a department writes it in text, `1.234,50` say, as `1234.50`. `decimal`: what stands before the decimals, `,` or
/// `.`. Thousands may be told apart by the other of the two, by a space or by an apostrophe, all by the same and all of them.
/// What is no text stays as it is; what is not written like this becomes nothing that is a number.
pub(super) fn respelled<'c>(scalar: &'c Scalar<'_>, decimal: Option<char>) -> Cow<'c, Scalar<'c>> {
    let (Scalar::Text(text), Some(decimal)) = (scalar, decimal) else {
        return Cow::Borrowed(scalar);
    };
    Cow::Owned(plain_decimal(text.trim(), decimal).map_or(Scalar::Composite, |plain| Scalar::Text(plain.into())))
}

fn plain_decimal(text: &str, decimal: char) -> Option<String> {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (sign, number) = match text.strip_prefix(['-', '+']) {
        Some(number) => (&text[..1], number),
        None => ("", text),
    };
    let (whole, decimals) = match number.split_once(decimal) {
        Some((whole, decimals)) => (whole, Some(decimals).filter(|decimals| is_digits(decimals))?),
        None => (number, ""),
    };
    let mut plain = String::with_capacity(text.len());
    plain.push_str(sign);
    match whole.chars().find(|character| !character.is_ascii_digit()) {
        None if is_digits(whole) => plain.push_str(whole),
        None => return None,
        Some(separator) => {
            // A space, one that does not break a line, a narrow one; an apostrophe, typewritten and printed.
            let known = ['.', ',', ' ', '\u{a0}', '\u{202f}', '\'', '\u{2019}'];
            if separator == decimal || !known.contains(&separator) {
                return None;
            }
            for (index, group) in whole.split(separator).enumerate() {
                let is_group = is_digits(group) && if index == 0 { group.len() <= 3 } else { group.len() == 3 };
                plain.push_str(Some(group).filter(|_| is_group)?);
            }
        }
    }
    if !decimals.is_empty() {
        plain.push('.');
        plain.push_str(decimals);
    }
    Some(plain)
}

/// A whole number, also as text or as `9.0`.
pub(super) fn whole(scalar: &Scalar<'_>) -> Option<i64> {
    match scalar {
        Scalar::Int(value) => Some(*value),
        other => scaled(other, 0),
    }
}

/// A number with at most three decimals on the scale `own`, brought to the scale `ours` along a straight line: the ends
/// become the ends, and what lies between two answers becomes the nearer one, half of the way the larger one. `own` may go
/// down. `None` for what is no such number or beyond the ends.
pub(super) fn rescaled(scalar: &Scalar<'_>, own: (i64, i64), ours: (i64, i64)) -> Option<i64> {
    let value = i128::from(scaled(scalar, 3)?);
    let (first, last) = (i128::from(own.0) * 1_000, i128::from(own.1) * 1_000);
    if value < first.min(last) || value > first.max(last) || first == last {
        return None;
    }
    let (lowest, highest) = (i128::from(ours.0), i128::from(ours.1));
    // Rounded half up: the floor of the quotient and a half.
    let (way, length) = ((value - first).abs() * (highest - lowest), (last - first).abs());
    i64::try_from(lowest + (2 * way + length).div_euclid(2 * length)).ok()
}

/// Whether it is a number at all, also as text.
pub(super) fn is_number(scalar: &Scalar<'_>) -> bool {
    match scalar {
        Scalar::Int(_) | Scalar::Large(_) | Scalar::Float(_) | Scalar::Digits(_) => true,
        Scalar::Text(text) => text.trim().parse::<f64>().is_ok_and(f64::is_finite),
        _ => false,
    }
}

/// The instant that a scalar names, to the millisecond (what is finer is cut off); `None` if it names none or one outside
/// of the years that the hub keeps.
pub(super) fn instant(scalar: &Scalar<'_>, format: TimeFormat) -> Option<EventTime> {
    let milliseconds = match (format, scalar) {
        (TimeFormat::Rfc3339 | TimeFormat::Canonical, Scalar::Text(text)) => rfc3339(text.trim().as_bytes())?,
        (TimeFormat::Rfc3339, _) => return None,
        (TimeFormat::EpochSeconds, _) => epoch(scalar, 3)?,
        (TimeFormat::EpochMilliseconds | TimeFormat::Canonical | TimeFormat::Logical, _) => epoch(scalar, 0)?,
        (TimeFormat::EpochMicroseconds, Scalar::Int(value)) => value.div_euclid(1_000),
        (TimeFormat::EpochMicroseconds, Scalar::Text(text)) => text.trim().parse::<i64>().ok()?.div_euclid(1_000),
        // In thousandths of a microsecond no double is exact: it is a whole number.
        (TimeFormat::EpochMicroseconds, Scalar::Float(value)) if value.fract() != 0.0 => return None,
        (TimeFormat::EpochMicroseconds, Scalar::Float(_) | Scalar::Digits(_)) => whole(scalar)?.div_euclid(1_000),
        (TimeFormat::EpochMicroseconds, _) => return None,
    };
    Some(EventTime(milliseconds)).filter(|at| at.is_supported())
}

fn epoch(scalar: &Scalar<'_>, exponent: u32) -> Option<i64> {
    let unit = 10_i64.pow(exponent);
    match scalar {
        Scalar::Int(value) => value.checked_mul(unit),
        Scalar::Float(value) => {
            // A double holds milliseconds of these years to about a thousandth: what is that near is that millisecond.
            let milliseconds = (value * unit as f64 + 1.0 / 256.0).floor();
            (milliseconds.abs() < 1e14).then_some(milliseconds as i64)
        }
        Scalar::Text(text) => epoch_text(text.trim(), exponent),
        Scalar::Digits(number) => epoch_text(&spelled_out(number)?, exponent),
        _ => None,
    }
}

/// A time in a text has no exponent, as an amount has none: a spreadsheet that writes one has lost digits.
fn epoch_text(text: &str, exponent: u32) -> Option<i64> {
    // Cut off what is finer than a millisecond; negative times are so old that nobody writes them with fractions.
    let end = text.find('.').map_or(text.len(), |dot| text.len().min(dot + 1 + exponent as usize));
    let (kept, finer) = (text.get(..end)?, text.get(end..)?);
    if finer.bytes().all(|byte| byte.is_ascii_digit()) { scaled_text(kept, exponent) } else { None }
}

/// `2026-01-31T09:00:00[.250]Z` or with an offset such as `+01:00`; a space or lower-case letters are fine as well
/// (RFC 3339, 5.6).
fn rfc3339(text: &[u8]) -> Option<i64> {
    let digits = |range: std::ops::Range<usize>| -> Option<u32> {
        text.get(range)?
            .iter()
            .try_fold(0, |value, &byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
    };
    let is = |index: usize, allowed: &[u8]| text.get(index).is_some_and(|byte| allowed.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    // 60 is a leap second: it is counted as the first of the next minute, as POSIX time does.
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let date = Day::from_civil(i32::try_from(year).ok()?, month, day);
    if day > 28 && date.civil() != (i32::try_from(year).ok()?, month, day) {
        return None;
    }
    let mut end = 19;
    let mut milliseconds = 0;
    if is(end, b".,") {
        end += 1;
        let start = end;
        while text.get(end).is_some_and(u8::is_ascii_digit) {
            if end - start < 3 {
                milliseconds = milliseconds * 10 + i64::from(text[end] - b'0');
            }
            end += 1;
        }
        if end == start {
            return None;
        }
        milliseconds *= [100, 10, 1][(end - start).min(3) - 1];
    }
    let offset_minutes = if is(end, b"Zz") {
        end += 1;
        0
    } else {
        let sign = match text.get(end)? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, minutes) = (digits(end + 1..end + 3)?, digits(end + 4..end + 6)?);
        if !is(end + 3, b":") || hours > 23 || minutes > 59 {
            return None;
        }
        end += 6;
        sign * i64::from(hours * 60 + minutes)
    };
    if end != text.len() {
        return None;
    }
    let minutes = i64::from(hour * 60 + minute) - offset_minutes;
    Some(i64::from(date.0) * 86_400_000 + minutes * 60_000 + i64::from(second) * 1_000 + milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Scalar<'_> {
        Scalar::Text(Cow::Borrowed(text))
    }

    fn json(number: &str) -> Scalar<'static> {
        match serde_json::from_str::<serde_json::Number>(number).expect("a number of this test") {
            number if number.is_i64() => Scalar::Int(number.as_i64().expect("just asked")),
            number => Scalar::Float(number.as_f64().expect("every JSON number is a double")),
        }
    }

    #[test]
    fn decimals_become_minor_units_exactly_or_not_at_all() {
        for (number, exponent, expected) in [
            ("12.34", 2, Some(1_234)),
            ("-0.07", 2, Some(-7)),
            ("1.10", 2, Some(110)),
            ("12.345", 2, None),
            ("12.345", 3, Some(12_345)),
            ("7", 2, Some(700)),
            ("7.5", 0, None),
            ("9007199254740993", 0, None),
            ("10000000000000.01", 2, Some(1_000_000_000_000_001)),
        ] {
            assert_eq!(scaled(&json(number), exponent), expected, "JSON {number}");
            assert_eq!(scaled(&text(number), exponent), expected, "text {number}");
        }
        for no_number in ["", "-", ".", "1e3", "1.2.3", "12,50", "NaN", "99999999999999999999"] {
            assert_eq!(scaled(&text(no_number), 2), None, "{no_number}");
        }
        assert_eq!(scaled(&json("1e300"), 2), None);
    }

    #[test]
    fn decimals_are_read_as_departments_write_them() {
        let read = |written: &str, decimal| scaled(&respelled(&text(written), Some(decimal)), 2);
        for (written, decimal, expected) in [
            ("12,50", ',', Some(1_250)),
            (" -1.234,50 ", ',', Some(-123_450)),
            ("1.234.567,5", ',', Some(123_456_750)),
            ("1 234,50", ',', Some(123_450)),
            ("1\u{202f}234\u{202f}567", ',', Some(123_456_700)),
            ("1'234.50", '.', Some(123_450)),
            ("1,234.50", '.', Some(123_450)),
            ("1234,5", ',', Some(123_450)),
            ("1.234", ',', Some(123_400)),
            ("+0,07", ',', Some(7)),
            ("12.50", ',', None),
            ("12,50", '.', None),
            ("1.23,50", ',', None),
            ("1234.567,50", ',', None),
            ("1.234 567,50", ',', None),
            ("1..234,50", ',', None),
            (".234,50", ',', None),
            ("12,5.0", ',', None),
            ("12,", ',', None),
            (",50", ',', None),
            ("12,5,0", ',', None),
            ("12,345", ',', None),
            ("--1", ',', None),
            ("1e3", ',', None),
            ("1_000", ',', None),
            ("", ',', None),
        ] {
            assert_eq!(read(written, decimal), expected, "{written:?} with {decimal:?}");
        }
        // What is a number in JSON is one, whatever its texts look like.
        assert_eq!(scaled(&respelled(&json("12.5"), Some(',')), 2), Some(1_250));
        assert_eq!(scaled(&respelled(&text("12.5"), None), 2), Some(1_250));
    }

    #[test]
    fn answers_are_brought_to_our_scale_along_a_straight_line() {
        let csat = |value: &str, own| rescaled(&text(value), own, (1, 5));
        for (value, own, expected) in [
            ("0", (0, 100), Some(1)),
            ("100", (0, 100), Some(5)),
            ("50", (0, 100), Some(3)),
            // Half of the way from 1 to 2 is 12.5.
            ("12.4", (0, 100), Some(1)),
            ("12.5", (0, 100), Some(2)),
            ("87.499", (0, 100), Some(4)),
            ("1", (1, 10), Some(1)),
            ("10", (1, 10), Some(5)),
            ("5", (1, 10), Some(3)),
            // School marks: 1 is best.
            ("1", (6, 1), Some(5)),
            ("6", (6, 1), Some(1)),
            ("-3", (-3, 3), Some(1)),
            ("101", (0, 100), None),
            ("-0.001", (0, 100), None),
            ("7", (6, 1), None),
            ("12.3456", (0, 100), None),
            ("good", (0, 100), None),
        ] {
            assert_eq!(csat(value, own), expected, "{value} of {own:?}");
        }
        assert_eq!(rescaled(&json("12.5"), (0, 100), (0, 10)), Some(1));
        assert_eq!(rescaled(&Scalar::Int(95), (0, 100), (0, 10)), Some(10));
    }

    proptest! {
        #[test]
        fn every_amount_survives_being_written_in_major_units(minor in -1_000_000_000_000_000_i64..=1_000_000_000_000_000, exponent in 0_u32..=4) {
            let unit = 10_i64.pow(exponent);
            let sign = if minor < 0 { "-" } else { "" };
            let (whole, rest) = (minor.abs() / unit, minor.abs() % unit);
            let written = match exponent {
                0 => format!("{sign}{whole}"),
                digits => format!("{sign}{whole}.{rest:0digits$}", digits = digits as usize),
            };
            prop_assert_eq!(scaled(&json(&written), exponent), Some(minor));
            prop_assert_eq!(scaled(&text(&written), exponent), Some(minor));
        }

        #[test]
        fn times_are_read_as_jiff_reads_them(milliseconds in EventTime::MIN.0..EventTime::MAX.0, offset in -720_i64..=720) {
            let written = EventTime(milliseconds).to_string();
            prop_assert_eq!(instant(&text(&written), TimeFormat::Rfc3339), Some(EventTime(milliseconds)));
            let sign = if offset < 0 { '-' } else { '+' };
            let shifted = format!("{}{sign}{:02}:{:02}", &written[..23], offset.abs() / 60, offset.abs() % 60);
            let expected: jiff::Timestamp = shifted.parse().expect("an RFC 3339 time");
            let expected = Some(EventTime(expected.as_millisecond())).filter(|at| at.is_supported());
            prop_assert_eq!(instant(&text(&shifted), TimeFormat::Rfc3339), expected);
        }
    }

    #[test]
    fn times_come_in_many_forms() {
        let at = |scalar, format| instant(&scalar, format).map(|at| at.to_string());
        let nine = Some("2026-01-31T09:00:00.250Z".to_owned());
        assert_eq!(at(text("2026-01-31T09:00:00.2509Z"), TimeFormat::Rfc3339), nine);
        assert_eq!(at(text(" 2026-01-31 10:00:00.25+01:00"), TimeFormat::Canonical), nine);
        assert_eq!(at(Scalar::Int(1_769_850_000_250), TimeFormat::Canonical), nine);
        assert_eq!(at(Scalar::Int(1_769_850_000_250_999), TimeFormat::EpochMicroseconds), nine);
        assert_eq!(at(Scalar::Float(1_769_850_000.25), TimeFormat::EpochSeconds), nine);
        assert_eq!(at(text("1769850000.2509"), TimeFormat::EpochSeconds), nine);
        assert_eq!(at(text("1769850000250"), TimeFormat::EpochMilliseconds), nine);
        for no_time in [
            "yesterday",
            "2026-01-31",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T09:00:00",
            "2026-01-31T09:00:00+1:00",
            "1800-01-01T00:00:00Z",
            "2026-01-31T09:00:00.Z",
            "2026-01-31T09:00:00Zx",
            "2026-01-31T09:00:00é",
        ] {
            assert_eq!(at(text(no_time), TimeFormat::Rfc3339), None, "{no_time}");
        }
        assert_eq!(at(Scalar::Int(i64::MAX), TimeFormat::EpochSeconds), None);
        assert_eq!(at(Scalar::Float(f64::MAX), TimeFormat::EpochSeconds), None);
        assert_eq!(at(text("17.x"), TimeFormat::EpochSeconds), None);
    }

    #[test]
    fn a_time_with_an_exponent_is_the_number_that_it_says_or_none() {
        let at = |scalar, format| instant(&scalar, format).map(|at| at.to_string());
        let nine = Some("2026-01-31T09:00:00.250Z".to_owned());
        let digits = Scalar::Digits;
        for format in [TimeFormat::EpochMilliseconds, TimeFormat::Canonical] {
            for number in ["1.769850000250123E12", "1769850000250.123", "17698500002501230e-4", "1.769850000250123e+12"]
            {
                assert_eq!(at(digits(number), format), nine, "{number}");
            }
            for beyond in ["1.769850000250123E13", "1.769850000250123E400", "1.769850000250123E99999999999999999999"] {
                assert_eq!(at(digits(beyond), format), None, "{beyond}");
            }
        }
        assert_eq!(at(text("1769850000250.9"), TimeFormat::EpochMilliseconds), nine);
        for no_time in
            ["1.76985E+12", "1769850000250.x", "1.769.850.000.250", "1769850000250.25e0", "1769850000250.-5", "1,7"]
        {
            assert_eq!(at(text(no_time), TimeFormat::EpochMilliseconds), None, "{no_time}");
        }
        assert_eq!(at(digits("1.769850000250123E9"), TimeFormat::EpochSeconds), nine);
        for no_time in ["1.76985E+9", "1769850000.25.0", "1769850000.2509e1"] {
            assert_eq!(at(text(no_time), TimeFormat::EpochSeconds), None, "{no_time}");
        }
        assert_eq!(at(digits("1.769850000250123E15"), TimeFormat::EpochMicroseconds), nine);
        assert_eq!(at(json("1.76985000025E15"), TimeFormat::EpochMicroseconds), nine);
        assert_eq!(at(digits("1.7698500002501234E15"), TimeFormat::EpochMicroseconds), None);
        assert_eq!(at(text("1.76985E15"), TimeFormat::EpochMicroseconds), None);
    }

    #[test]
    fn an_exponent_is_spelled_out() {
        for (number, expected) in [
            ("12.5", Some("12.5")),
            ("1.25e1", Some("12.5")),
            ("-1.25E+4", Some("-12500")),
            ("1.25e2", Some("125")),
            ("-125e-2", Some("-1.25")),
            ("125e-3", Some(".125")),
            ("125e-5", Some("0.00125")),
            ("1e309", None),
        ] {
            assert_eq!(spelled_out(number).as_deref(), expected, "{number}");
        }
        // As a shorter number with an exponent, which is a double by now, does.
        assert_eq!(scaled(&Scalar::Digits("1.234567890123456E13"), 2), Some(1_234_567_890_123_456));
        assert_eq!(scaled(&Scalar::Digits("1.2345678901234561E13"), 2), None);
    }
}
