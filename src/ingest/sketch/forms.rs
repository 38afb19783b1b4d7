//! A value → what it looks like: an address, a number of a telephone, a time, money, a code.

use std::cmp::Ordering;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::survey::{Place, scalar, text};
use crate::{
    ingest::{
        local::{self, LocalForm, OfDay},
        number,
        spoke_file::TimeFormat,
    },
    model::EventTime,
    wire::Scalar,
};

/// A form that fewer of the values have is not theirs.
const FITTING_PERCENT: usize = 80;
/// 2000-01-01 and 2100-01-01 in seconds: a plain number beyond is no time.
const EPOCH_SECONDS: std::ops::Range<i64> = 946_684_800..4_102_444_800;
/// Currencies that are known for certain: three capitals alone may be anything.
const CURRENCIES: [&str; 40] = [
    "AED", "ARS", "AUD", "BGN", "BRL", "CAD", "CHF", "CLP", "CNY", "COP", "CZK", "DKK", "EGP", "EUR", "GBP", "HKD",
    "HUF", "IDR", "ILS", "INR", "ISK", "JPY", "KES", "KRW", "KWD", "MXN", "MYR", "NGN", "NOK", "NZD", "PLN", "RON",
    "SAR", "SEK", "SGD", "THB", "TRY", "UAH", "USD", "ZAR",
];
/// How local times are written, the likely ones first.
const PATTERNS: [&str; 22] = [
    "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y, %H:%M",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M %p",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y%m%d%H%M%S",
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
];

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeForm {
    /// An instant, as one of the formats.
    Instant(TimeFormat),
    /// `2026-01-31T09:00` without an offset.
    Local,
    /// By a pattern.
    Pattern(&'static str),
}

impl TimeForm {
    /// The word of a mapping.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            TimeForm::Instant(TimeFormat::Rfc3339 | TimeFormat::Canonical | TimeFormat::Logical) => "rfc3339",
            TimeForm::Instant(TimeFormat::EpochSeconds) => "epoch_s",
            TimeForm::Instant(TimeFormat::EpochMilliseconds) => "epoch_ms",
            TimeForm::Instant(TimeFormat::EpochMicroseconds) => "epoch_us",
            TimeForm::Local => "local",
            TimeForm::Pattern(pattern) => pattern,
        }
    }

    /// Whether it needs a time zone.
    pub(super) fn is_local(self) -> bool {
        match self {
            TimeForm::Instant(_) => false,
            TimeForm::Local => true,
            TimeForm::Pattern(pattern) => !pattern.contains("%z"),
        }
    }

    /// Whether it says the day only.
    pub(super) fn is_day(self) -> bool {
        matches!(self, TimeForm::Pattern(pattern) if !pattern.contains("%H") && !pattern.contains("%I"))
    }

    /// The pattern that has day and month the other way round.
    fn turned(self) -> Option<TimeForm> {
        let TimeForm::Pattern(pattern) = self else { return None };
        let turned = pattern.strip_prefix("%d/%m")?;
        PATTERNS.into_iter().find(|other| other.strip_prefix("%m/%d") == Some(turned)).map(TimeForm::Pattern)
    }
}

/// The form that most values of a place have, and whether they are as well with day and month the other way round.
pub(super) fn time_form(place: &Place<'_>) -> Option<(TimeForm, bool)> {
    let instants =
        [TimeFormat::Rfc3339, TimeFormat::EpochSeconds, TimeFormat::EpochMilliseconds, TimeFormat::EpochMicroseconds];
    let mut forms: Vec<TimeForm> = instants.map(TimeForm::Instant).to_vec();
    forms.push(TimeForm::Local);
    forms.extend(PATTERNS.map(TimeForm::Pattern));
    let mut best: Option<(usize, TimeForm)> = None;
    for form in forms {
        let fitting = fitting_percent(place, form);
        if fitting >= FITTING_PERCENT && best.is_none_or(|(most, _)| fitting > most) {
            best = Some((fitting, form));
        }
    }
    let (fitting, form) = best?;
    let is_either = form.turned().is_some_and(|turned| fitting_percent(place, turned) == fitting);
    Some((form, is_either))
}

fn fitting_percent(place: &Place<'_>, form: TimeForm) -> usize {
    let local = match form {
        TimeForm::Instant(format) => return place.percent(|value| is_instant(value, format)),
        TimeForm::Local => LocalForm::Iso,
        TimeForm::Pattern(pattern) => match LocalForm::of_pattern(pattern) {
            Ok(local) => local,
            Err(_) => return 0,
        },
    };
    // Of what does not begin with a time, not every value is tried.
    let is = |value: &Value| {
        local.instant(&scalar(value), &TimeZone::UTC, OfDay::First).is_some_and(|at| is_of_these_times(at.0))
    };
    if place.values.iter().take(20).any(|(_, value)| is(value)) { place.percent(is) } else { 0 }
}

fn is_of_these_times(milliseconds: i64) -> bool {
    EPOCH_SECONDS.contains(&milliseconds.div_euclid(1_000))
}

fn is_instant(value: &Value, format: TimeFormat) -> bool {
    // A small number is a time of 1970 in every unit.
    number::instant(&scalar(value), format).is_some_and(|EventTime(at)| {
        let is_text = matches!(value, Value::String(text) if text.contains('-'));
        is_of_these_times(at) && (is_text == (format == TimeFormat::Rfc3339))
    })
}

/// The name of a time zone such as `Europe/Amsterdam`.
pub(super) fn is_zone(value: &Value) -> bool {
    value.as_str().is_some_and(|name| (name.contains('/') || name == "UTC") && local::zone(name.trim()).is_some())
}

/// An address with one `@` and a dot after it.
pub(super) fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, domain)| {
        let is_sound = |part: &str| !part.is_empty() && !part.contains(|c: char| c == '@' || c.is_whitespace());
        is_sound(name) && is_sound(domain) && domain.trim_matches('.').contains('.')
    })
}

/// Seven to fifteen digits, with what people write between them.
pub(super) fn is_phone(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_written = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'(' | b')' | b'/' | b'.' | b'+'));
    (7..=15).contains(&digits) && is_written && text.starts_with(['+', '0', '('])
}

/// A currency that is known.
pub(super) fn is_currency(text: &str) -> bool {
    CURRENCIES.contains(&text)
}

/// Whether a key, or a word that shall be written down, may be somebody's: an address, a number, a random name.
pub(super) fn is_personal(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    text.contains('@') || digits >= 5 || digits > 0 && digits * 2 > text.len()
}

/// Whether a value is a decimal number, as JSON or as text with a point; and whether it has decimals.
pub(super) fn decimal(value: &Value) -> Option<bool> {
    let has_point = match value {
        Value::Number(number) => !number.is_i64(),
        Value::String(text) => text.contains('.'),
        _ => return None,
    };
    let exponent = 4;
    number::scaled(&scalar(value), exponent).map(|_| has_point)
}

/// What stands before the decimals of texts that no plain reader takes, `,` or `.`: the one with which most of them, and no fewer than
/// with the other, are numbers. Whether the other would do as well: `1,234` is more than a thousand, or hardly more than one.
pub(super) fn decimal_sign<'v>(values: impl Iterator<Item = &'v Value> + Clone) -> Option<(char, bool)> {
    let plain = values.clone().filter(|value| decimal(value).is_some()).count();
    let fitting = |sign: char| values.clone().filter(|value| is_spelled(value, sign)).count();
    let (comma, point) = (fitting(','), fitting('.'));
    if plain >= comma.max(point) {
        return None;
    }
    match comma.cmp(&point) {
        Ordering::Greater => Some((',', false)),
        Ordering::Less => Some(('.', false)),
        // Money has hardly ever three decimals: groups of three are thousands.
        Ordering::Equal => Some(('.', values.clone().any(is_grouped))),
    }
}

/// Whether a value is a number, in text with this before its decimals.
pub(super) fn is_spelled(value: &Value, sign: char) -> bool {
    let scalar = scalar(value);
    decimal(value).is_some() && !value.is_string()
        || number::scaled(&number::respelled(&scalar, Some(sign)), 4).is_some()
}

fn is_grouped(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains(','))
}

/// A whole number, as JSON or as text.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match scalar(value) {
        Scalar::Bool(_) => None,
        scalar => number::whole(&scalar),
    }
}

/// Whether a text reads like something that somebody wrote: several words.
pub(super) fn is_prose(value: &Value) -> bool {
    text(value).is_some_and(|text| text.len() > 60 || text.split_whitespace().count() > 4)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ingest::sketch::survey::Survey;

    fn form(values: &[Value]) -> Option<(&'static str, bool)> {
        let records: Vec<Value> = values.iter().map(|value| json!({"t": value})).collect();
        let survey = Survey::of(records.iter(), false);
        let (form, is_either) = time_form(survey.places.first()?)?;
        Some((form.as_str(), is_either))
    }

    #[test]
    fn times_are_known_by_their_form() {
        for (value, expected) in [
            (json!("2026-01-31T09:00:00Z"), Some(("rfc3339", false))),
            (json!("2026-01-31 09:00:00+01:00"), Some(("rfc3339", false))),
            (json!(1_760_000_000), Some(("epoch_s", false))),
            (json!("1760000000"), Some(("epoch_s", false))),
            (json!(1_760_000_000.5), Some(("epoch_s", false))),
            (json!(1_760_000_000_000_i64), Some(("epoch_ms", false))),
            (json!(1_760_000_000_000_000_i64), Some(("epoch_us", false))),
            (json!("2026-01-31T09:00"), Some(("local", false))),
            (json!("2026-01-31 09:00:00.250"), Some(("local", false))),
            (json!("31.01.2026 09:00"), Some(("%d.%m.%Y %H:%M", false))),
            (json!("31/01/2026 09:00"), Some(("%d/%m/%Y %H:%M", false))),
            (json!("01/31/2026 09:00"), Some(("%m/%d/%Y %H:%M", false))),
            (json!("01/02/2026 09:00"), Some(("%d/%m/%Y %H:%M", true))),
            (json!("01/31/2026 02:00 PM"), Some(("%m/%d/%Y %I:%M %p", false))),
            (json!("2026-01-31"), Some(("%Y-%m-%d", false))),
            (json!("20260131090000"), Some(("%Y%m%d%H%M%S", false))),
            (json!("Sat, 31 Jan 2026 09:00:00 +0100"), Some(("%a, %d %b %Y %H:%M:%S %z", false))),
            (json!("2026-01-31T09:00:00+0100"), Some(("%Y-%m-%dT%H:%M:%S%z", false))),
            (json!(4_711), None),
            (json!("yesterday"), None),
            (json!(true), None),
        ] {
            assert_eq!(form(std::slice::from_ref(&value)), expected, "{value}");
        }
        let mixed = [json!("2026-01-31"), json!("x"), json!("y")];
        assert_eq!(form(&mixed), None);
        assert_eq!(form(&[json!("01/02/2026"), json!("13/02/2026")]), Some(("%d/%m/%Y", false)));
    }

    #[test]
    fn addresses_numbers_and_what_is_personal() {
        for yes in ["ann@example.org", "a.b+c@d.e.f"] {
            assert!(is_email(yes), "{yes}");
        }
        for no in ["@example.org", "ann@", "ann@localhost", "a b@c.d", "@handle", "a@b@c.d"] {
            assert!(!is_email(no), "{no}");
        }
        assert!(is_phone("+49 30 1234567") && is_phone("(030) 123-4567"));
        assert!(!is_phone("4711") && !is_phone("C0000001") && !is_phone("1234567"));
        assert!(is_personal("ann@x") && is_personal("0049301234567") && is_personal("a1b2c3d4e5") && is_personal("12"));
        assert!(!is_personal("order_placed") && !is_personal("level-2"));
        assert_eq!(
            (decimal(&json!("12.50")), decimal(&json!(7)), decimal(&json!("12,50"))),
            (Some(true), Some(false), None)
        );
    }
}
