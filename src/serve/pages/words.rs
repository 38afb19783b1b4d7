//! Values of the feeds in; words that people read out: numbers with their unit, days, kinds and steps, and addresses of pages.

use serde_json::Value;

use super::blocks::{Line, Piece, badge, soft};
use crate::{
    ingest::currency_exponent,
    model::{Currency, Day, EventTime},
};

/// How many standard errors reach to the ends of a 95 % interval of a mean.
const NORMAL_95: f64 = 1.959_964;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The text at a pointer; empty where there is none.
pub(super) fn text_of<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a pointer.
pub(super) fn number_of(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

/// The whole number at a pointer; 0 where there is none.
pub(super) fn count_of(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The list at a pointer; empty where there is none.
pub(super) fn list_of<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// An address of a page, with everything in its parameters escaped; empty ones are left out.
pub(super) fn href(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    for (at, (name, value)) in parameters.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
        address.push(if at == 0 { '?' } else { '&' });
        address.push_str(name);
        address.push('=');
        address.push_str(&percent(value));
    }
    address
}

/// Everything but letters, digits and `-._~` as `%` and its bytes (RFC 3986, section 2.3).
pub(super) fn percent(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// A whole number with its thousands apart.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        shown.push('−');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// How many there are, for [`count`].
pub(super) fn many(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number with so many digits after its point.
pub(super) fn decimal(number: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", number.abs());
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    let is_zero = text.chars().all(|character| matches!(character, '0' | '.'));
    let sign = if number < 0.0 && !is_zero { "−" } else { "" };
    match fraction {
        Some(fraction) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{whole}"),
    }
}

/// A number with as many digits as say something.
fn readable(number: f64) -> String {
    let digits = match number.abs() {
        size if size >= 100.0 => 0,
        size if size >= 1.0 => 1,
        _ => 2,
    };
    decimal(number, digits)
}

/// A time that something took.
pub(super) fn duration(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "−" } else { "" };
    let size = seconds.abs();
    let whole = |part: f64| part as u64;
    let shown = if size < 60.0 {
        format!("{} s", readable(size))
    } else if size < 3_600.0 {
        format!("{} min", decimal(size / 60.0, 0))
    } else if size < 172_800.0 {
        // Rounded first, so that no hour has 60 minutes.
        let minutes = whole((size / 60.0).round());
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    } else {
        format!("{} days", decimal(size / 86_400.0, 1))
    };
    format!("{sign}{shown}")
}

/// Money in minor units, with as many digits as its currency has (ISO 4217). Of no currency it is not known how many those are.
pub(super) fn money(minor: f64, currency: &str) -> String {
    let Some(exponent) = Currency::parse(currency).map(currency_exponent) else {
        return format!("{} minor units", decimal(minor, 0));
    };
    let major = minor / 10_f64.powi(exponent as i32);
    // Cents of thousands say nothing.
    let digits = if major.abs() >= 10_000.0 { 0 } else { exponent as usize };
    format!("{currency} {}", decimal(major, digits))
}

/// A value in a metric's unit.
pub(super) fn amount(value: f64, unit: &str, currency: &str) -> String {
    match unit {
        "percent" => format!("{} %", decimal(value, 1)),
        "percentage_points" => format!("{} percentage points", decimal(value, 1)),
        "share" => format!("{} %", decimal(100.0 * value, 1)),
        "points" => decimal(value, if value.abs() < 10.0 { 2 } else { 1 }),
        "seconds" => duration(value),
        "days" => format!("{} days", decimal(value, 1)),
        "minor_units" => money(value, currency),
        "customers" | "orders" | "cases" => decimal(value, 0),
        "messages" | "cases_per_customer" => decimal(value, 2),
        _ => readable(value),
    }
}

/// How much a value in a metric's unit is greater than another one.
pub(super) fn difference(value: f64, unit: &str, currency: &str) -> String {
    let sign = if value > 0.0 { "+" } else { "" };
    match unit {
        // A share is greater by points, and not by a part of itself.
        "percent" => format!("{sign}{} %-points", decimal(value, 1)),
        unit => format!("{sign}{}", amount(value, unit, currency)),
    }
}

/// The ends of a value's 95 % interval: those of the record, or those that its standard error makes.
pub(super) fn interval(record: &Value) -> Option<(f64, f64)> {
    let ends = number_of(record, "/interval_low").zip(number_of(record, "/interval_high"));
    ends.or_else(|| {
        let (value, error) = number_of(record, "/value").zip(number_of(record, "/standard_error"))?;
        Some((value - NORMAL_95 * error, value + NORMAL_95 * error))
    })
}

/// `95 % 40.1 to 45.2`.
pub(super) fn interval_words((low, high): (f64, f64), unit: &str, currency: &str) -> String {
    format!("95 % {} to {}", amount(low, unit, currency), amount(high, unit, currency))
}

/// Whether and how a value can still change, where it can or did.
pub(super) fn status_badge(status: &str) -> Option<Piece> {
    match status {
        "provisional" => Some(badge("doubt", "provisional")),
        "revised" => Some(badge("plain", "revised")),
        _ => None,
    }
}

/// The value of a metric's record, with its interval and status.
pub(super) fn figure(record: &Value) -> Line {
    let (unit, currency) = (text_of(record, "/unit"), text_of(record, "/currency"));
    let Some(value) = number_of(record, "/value") else { return vec![soft("no value")] };
    let mut line = vec![super::blocks::text(amount(value, unit, currency))];
    line.extend(
        status_badge(text_of(record, "/status")).into_iter().flat_map(|badge| [super::blocks::text(" "), badge]),
    );
    line
}

/// The day that ISO 8601 writes so; `None` of what is no day.
pub(super) fn parsed_day(iso: &str) -> Option<Day> {
    let mut parts = iso.get(..10)?.split('-');
    let (year, month, day) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then(|| Day::from_civil(year, month, day))
}

/// A day: `2026-01-31` as `31 Jan 2026`.
pub(super) fn day(iso: &str) -> String {
    let Some((year, month, day)) = parsed_day(iso).map(Day::civil) else { return iso.to_owned() };
    format!("{day} {} {year}", MONTHS[month as usize - 1])
}

/// A month: `2026-01-01` as `Jan 2026`.
pub(super) fn month(iso: &str) -> String {
    let shown = day(iso);
    shown.split_once(' ').map_or(shown.clone(), |(_, month)| month.to_owned())
}

/// A window's name: a day, a week by its Monday, a month.
pub(super) fn window(kind: &str, start: &str) -> String {
    match kind {
        "month" => month(start),
        "week" => format!("week of {}", day(start)),
        _ => day(start),
    }
}

/// The name of a record's window.
pub(super) fn window_of(record: &Value) -> String {
    window(text_of(record, "/window/kind"), text_of(record, "/window/start"))
}

/// A time: `2026-01-31T09:00:00Z` as `31 Jan 2026 09:00 UTC`.
pub(super) fn instant(iso: &str) -> String {
    match iso.get(11..16) {
        Some(time) => format!("{} {time} UTC", day(iso)),
        None => iso.to_owned(),
    }
}

/// A time by the clock, in milliseconds since 1970.
pub(super) fn moment(at_ms: i64) -> String {
    instant(&EventTime(at_ms).to_string())
}

/// A word of a vocabulary: `case_opened` as `case opened`.
pub(super) fn word(word: &str) -> String {
    word.replace('_', " ")
}

/// The same at the beginning of a sentence.
pub(super) fn title(text: &str) -> String {
    if matches!(text, "nps" | "csat" | "ces") {
        return text.to_ascii_uppercase();
    }
    let words = word(text);
    let mut characters = words.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

/// A step of a journey: `support:case_opened:email` as `case opened, support by email`.
pub(super) fn step(step: &str) -> String {
    let mut parts = step.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(spoke), Some(kind), Some(channel)) if !channel.is_empty() => {
            format!("{}, {spoke} by {}", word(kind), word(channel))
        }
        (Some(spoke), Some(kind), _) => format!("{}, {spoke}", word(kind)),
        _ => step.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_with_their_unit() {
        let shown = |value, unit| amount(value, unit, "EUR");
        assert_eq!(shown(93.46, "percent"), "93.5 %");
        assert_eq!(shown(0.934, "share"), "93.4 %");
        assert_eq!(shown(-12.25, "points"), "−12.2");
        assert_eq!(shown(-0.001, "points"), "0.00", "no sign before nothing");
        assert_eq!(shown(1_234_567.0, "orders"), "1,234,567");
        assert_eq!(shown(123_456.0, "minor_units"), "EUR 1,234.56");
        assert_eq!(shown(123_456_789.0, "minor_units"), "EUR 1,234,568");
        assert_eq!(amount(1_234.0, "minor_units", "JPY"), "JPY 1,234");
        assert_eq!(amount(1_234.0, "minor_units", "KWD"), "KWD 1.234");
        assert_eq!(amount(1_234.0, "minor_units", ""), "1,234 minor units");
        assert_eq!(difference(-1_234.0, "minor_units", "JPY"), "JPY −1,234");
        assert_eq!(shown(59.0, "seconds"), "59.0 s");
        assert_eq!(shown(7_199.0, "seconds"), "2 h 00 min");
        assert_eq!(shown(-86_400.0 * 3.0, "seconds"), "−3.0 days");
        assert_eq!(difference(19.46, "percent", ""), "+19.5 %-points");
        assert_eq!(difference(-3_600.0, "seconds", ""), "−1 h 00 min");
        assert_eq!(count(-1_000), "−1,000");
        assert_eq!(count(999), "999");
    }

    #[test]
    fn an_interval_is_that_of_the_feed_or_of_its_standard_error() {
        let shares = json!({"value": 50.0, "interval_low": 40.0, "interval_high": 60.0, "standard_error": 9.0});
        assert_eq!(interval(&shares), Some((40.0, 60.0)));
        let (low, high) = interval(&json!({"value": 10.0, "standard_error": 1.0})).expect("an interval");
        assert!((low - 8.04).abs() < 0.001 && (high - 11.96).abs() < 0.001);
        assert_eq!(interval(&json!({"value": 10.0, "standard_error": null})), None);
        assert_eq!(interval_words((40.0, 60.0), "percent", ""), "95 % 40.0 % to 60.0 %");
    }

    #[test]
    fn days_windows_and_words_are_those_of_people() {
        assert_eq!(window("month", "2026-01-01"), "Jan 2026");
        assert_eq!(window("week", "2026-01-05"), "week of 5 Jan 2026");
        assert_eq!(window("day", "2026-12-31"), "31 Dec 2026");
        assert_eq!(instant("2026-01-31T09:00:00Z"), "31 Jan 2026 09:00 UTC");
        for odd in ["", "x", "2026-13-01", "2026-00-01", "2026-1"] {
            assert_eq!(day(odd), odd);
        }
        assert_eq!(step("support:case_opened:email"), "case opened, support by email");
        assert_eq!(step("sales:order_placed:"), "order placed, sales");
        assert_eq!(step("(goal)"), "(goal)");
        assert_eq!((title("on_time"), title("nps")), ("On time".to_owned(), "NPS".to_owned()));
    }

    #[test]
    fn whatever_is_in_an_address_stays_in_its_parameter() {
        assert_eq!(
            href("/metrics", &[("metric", "a&b=c#\"<é"), ("none", "")]),
            "/metrics?metric=a%26b%3Dc%23%22%3C%C3%A9"
        );
        assert_eq!(href("/", &[]), "/");
    }
}
