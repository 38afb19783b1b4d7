//! Local times as departments write them, with a time zone → instants.
//!
//! A local time that the change to summer time leaves out is later by as much as the clocks were put forward
//! (02:30 becomes 03:30); one that is there twice, because the clocks were put back, is the earlier of the two. So every
//! local time has one instant, whatever the order of events. A day without a time of day is its first moment where something
//! happened, and its last where something was promised for it.

use std::borrow::Cow;

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    fmt::strtime::{self, BrokenDownTime},
    tz::TimeZone,
};

use crate::{model::EventTime, wire::Scalar};

/// What a day means where a time is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfDay {
    /// Its first moment: something happened on it.
    First,
    /// Its last millisecond: something was promised for it, and is in time until it is over.
    Last,
}

/// Bytes of the longest local time, and of the longest name of a time zone.
const TEXT_BYTES_MAX: usize = 64;

/// How a local time is written.
#[derive(Debug)]
pub(super) enum LocalForm {
    /// `2026-01-31T09:00[:00[.250]]`, with a space or a `T`, and no offset.
    Iso,
    /// By a pattern of strftime. Whether the text says itself how far from UTC it is: by an offset or a time zone's name. Whether
    /// it says the day only.
    Pattern { pattern: Box<str>, has_offset: bool, is_day: bool },
}

impl LocalForm {
    /// Checks a pattern by writing and reading a time with it.
    pub(super) fn of_pattern(pattern: &str) -> Result<LocalForm, String> {
        let wrong = |error: jiff::Error| {
            format!("the pattern is not understood: {error}; see strftime, as in \"%d.%m.%Y %H:%M\"")
        };
        // Half past two in the afternoon, so that a pattern with twelve hours and without am or pm is found out.
        let sample = Timestamp::from_second(1_791_383_400).map_err(wrong)?.to_zoned_datetime(TimeZone::UTC);
        let written = strtime::format(pattern, &sample).map_err(wrong)?;
        let read = BrokenDownTime::parse(pattern, &written).map_err(wrong)?;
        match read.to_datetime() {
            Ok(at) if read.hour().is_some() && at.hour() != sample.hour() => {
                Err("the pattern has hours up to 12 and no morning or afternoon: add %p, or write %H".into())
            }
            Ok(at) if at.date() == sample.date() => {
                let has_offset = read.offset().is_some() || read.iana_time_zone().is_some();
                let is_day = read.hour().is_none() && at.time() == Time::midnight();
                Ok(LocalForm::Pattern { pattern: pattern.into(), has_offset, is_day })
            }
            _ => Err("the pattern does not say the day: it needs year, month and day, as in \"%d.%m.%Y %H:%M\"".into()),
        }
    }

    /// Whether the text says its offset or its time zone, so that it needs none besides.
    pub(super) fn has_offset(&self) -> bool {
        matches!(self, LocalForm::Pattern { has_offset: true, .. })
    }

    /// The instant of a text, to the millisecond; `None` if it is not of this form, or outside of the years that the hub
    /// keeps.
    pub(super) fn instant(&self, scalar: &Scalar<'_>, zone: &TimeZone, of_day: OfDay) -> Option<EventTime> {
        let text = match scalar {
            Scalar::Text(text) => Cow::Borrowed(text.trim()),
            // `20260131090000` may be a number.
            Scalar::Int(number) => Cow::Owned(number.to_string()),
            Scalar::Digits(number) => Cow::Borrowed(*number),
            _ => return None,
        };
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        // A day ends where the next one begins, whatever the clocks do in between.
        let next = |day: Date| Some(day.tomorrow().ok()?.to_datetime(Time::midnight()));
        let is_end;
        let at = match self {
            LocalForm::Iso => {
                // In a sample the day stands as it would in JSON.
                let day = text.strip_suffix("T24:00:00").unwrap_or(&text);
                let end = (of_day == OfDay::Last && day.len() == 10).then_some(day);
                is_end = end.is_some();
                let local = match end {
                    Some(day) => next(day.parse().ok()?)?,
                    None => iso(&text)?,
                };
                zone.to_ambiguous_timestamp(local).compatible().ok()?
            }
            LocalForm::Pattern { pattern, is_day, .. } => {
                let read = BrokenDownTime::parse(pattern.as_ref(), text.as_ref()).ok()?;
                let mut local = read.to_datetime().ok()?;
                is_end = *is_day && of_day == OfDay::Last;
                if is_end {
                    local = next(local.date())?;
                }
                match (read.offset(), read.iana_time_zone()) {
                    // Of a time that is there twice, the offset says which.
                    (Some(offset), _) => offset.to_timestamp(local).ok()?,
                    (None, Some(name)) => self::zone(name)?.to_ambiguous_timestamp(local).compatible().ok()?,
                    (None, None) => zone.to_ambiguous_timestamp(local).compatible().ok()?,
                }
            }
        };
        // Cut off what is finer than a millisecond, before 1970 too.
        let milliseconds = i64::try_from(at.as_nanosecond().div_euclid(1_000_000)).ok()?;
        Some(EventTime(milliseconds - i64::from(is_end))).filter(|at| at.is_supported())
    }
}

/// A date and a time and nothing else: an offset that is not looked at would be a lie.
fn iso(text: &str) -> Option<DateTime> {
    let (date, time) = text.as_bytes().split_at_checked(10)?;
    let is_date = date[4] == b'-' && date[7] == b'-';
    let is_time = matches!(time.first(), Some(b'T' | b't' | b' '))
        && time.get(3) == Some(&b':')
        && time[1..].iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b','));
    if is_date && is_time { text.parse().ok() } else { None }
}

/// A time zone of the IANA database: the system's (Debian's package tzdata).
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    let is_name = (1..=TEXT_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+'));
    if is_name { TimeZone::get(name).ok().filter(|zone| !zone.is_unknown()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(form: &LocalForm, text: &str, zone_name: &str) -> String {
        at_day(form, text, zone_name, OfDay::First)
    }

    fn at_day(form: &LocalForm, text: &str, zone_name: &str, of_day: OfDay) -> String {
        let zone = zone(zone_name).expect("a time zone of this test");
        let scalar = Scalar::Text(Cow::Borrowed(text));
        form.instant(&scalar, &zone, of_day).map_or_else(|| "no time".to_owned(), |at| at.to_string())
    }

    #[test]
    fn what_is_promised_for_a_day_is_in_time_until_it_is_over() {
        let pattern = |pattern: &str| LocalForm::of_pattern(pattern).expect("a pattern of this test");
        let day = pattern("%d.%m.%Y");
        for (text, zone, first, last) in [
            ("31.01.2026", "Europe/Amsterdam", "2026-01-30T23:00:00.000Z", "2026-01-31T22:59:59.999Z"),
            // Days of 23 and of 25 hours.
            ("29.03.2026", "Europe/Amsterdam", "2026-03-28T23:00:00.000Z", "2026-03-29T21:59:59.999Z"),
            ("25.10.2026", "Europe/Amsterdam", "2026-10-24T22:00:00.000Z", "2026-10-25T22:59:59.999Z"),
            // Clocks go back at midnight, so that the last hour is there twice; and forward, so that the next day begins at one.
            ("28.10.2023", "Asia/Beirut", "2023-10-27T21:00:00.000Z", "2023-10-28T21:59:59.999Z"),
            ("30.03.2024", "Asia/Beirut", "2024-03-29T22:00:00.000Z", "2024-03-30T21:59:59.999Z"),
        ] {
            assert_eq!(at_day(&day, text, zone, OfDay::First), first, "{text}");
            assert_eq!(at_day(&day, text, zone, OfDay::Last), last, "{text}");
            let (year, month, date) = (&text[6..], &text[3..5], &text[..2]);
            let of_avro = format!("{year}-{month}-{date}T24:00:00");
            assert_eq!(at_day(&LocalForm::Iso, &of_avro, zone, OfDay::Last), last, "{of_avro}");
            assert_eq!(at_day(&LocalForm::Iso, &of_avro, zone, OfDay::First), "no time", "{of_avro}");
        }
        let last = |form: &LocalForm, text| at_day(form, text, "UTC", OfDay::Last);
        assert_eq!(last(&pattern("%Y-%m-%d %z"), "2026-01-31 +0100"), "2026-01-31T22:59:59.999Z");
        assert_eq!(last(&pattern("%Y-%m-%d %Q"), "2026-01-31 Europe/Amsterdam"), "2026-01-31T22:59:59.999Z");
        // What says a time of day means it, midnight too.
        assert_eq!(last(&pattern("%Y-%m-%d %H"), "2026-01-31 00"), "2026-01-31T00:00:00.000Z");
        assert_eq!(last(&LocalForm::Iso, "2026-01-31T00:00"), "2026-01-31T00:00:00.000Z");
        assert_eq!(last(&LocalForm::Iso, "2026-02-30T24:00:00"), "no time");
    }

    #[test]
    fn summer_time_begins_and_ends_as_documented() {
        let amsterdam = |text| at(&LocalForm::Iso, text, "Europe/Amsterdam");
        assert_eq!(amsterdam("2026-01-31T10:00:00.25"), "2026-01-31T09:00:00.250Z");
        assert_eq!(amsterdam(" 2026-07-31 11:00 "), "2026-07-31T09:00:00.000Z");
        // Clocks go from 02:00 to 03:00: half past two is half past three.
        assert_eq!(amsterdam("2026-03-29T01:59:59"), "2026-03-29T00:59:59.000Z");
        assert_eq!(amsterdam("2026-03-29T02:30:00"), "2026-03-29T01:30:00.000Z");
        assert_eq!(amsterdam("2026-03-29T03:30:00"), "2026-03-29T01:30:00.000Z");
        // Clocks go from 03:00 to 02:00: half past two is the first one, in summer time.
        assert_eq!(amsterdam("2026-10-25T01:59:59"), "2026-10-24T23:59:59.000Z");
        assert_eq!(amsterdam("2026-10-25T02:30:00"), "2026-10-25T00:30:00.000Z");
        assert_eq!(amsterdam("2026-10-25T03:00:00"), "2026-10-25T02:00:00.000Z");
        // Half an hour in Australia; a whole day that Samoa left out.
        assert_eq!(at(&LocalForm::Iso, "2026-10-04T02:10:00", "Australia/Lord_Howe"), "2026-10-03T15:40:00.000Z");
        assert_eq!(at(&LocalForm::Iso, "2011-12-30T12:00:00", "Pacific/Apia"), "2011-12-30T22:00:00.000Z");
    }

    #[test]
    fn what_is_no_local_time_is_none() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T09:00:00Z",
            "2026-01-31T09:00:00+01:00",
            "2026-01-31T09:00:00-01",
            "2026-01-31T09:00[Europe/Paris]",
            "2026-02-30T09:00:00",
            "2026-01-31T25:00:00",
            "1899-01-31T09:00:00",
            "2026-01-3é 09:00:00",
            "2026-01-31T09:00:00.0000000000000000000000000000000000000000000000000000000000",
        ] {
            assert_eq!(at(&LocalForm::Iso, text, "UTC"), "no time", "{text}");
        }
        assert_eq!(LocalForm::Iso.instant(&Scalar::Float(1.5), &TimeZone::UTC, OfDay::First), None);
        for name in ["", "Europe/Nowhere", "../../etc/passwd", "Europe/Am sterdam"] {
            assert!(zone(name).is_none(), "{name}");
        }
    }

    #[test]
    fn patterns_are_tried_before_they_are_used() {
        let pattern = |pattern: &str| LocalForm::of_pattern(pattern).expect("a pattern of this test");
        assert_eq!(at(&pattern("%d.%m.%Y %H:%M"), "31.01.2026 10:00", "Europe/Amsterdam"), "2026-01-31T09:00:00.000Z");
        assert_eq!(at(&pattern("%m/%d/%y %I:%M %p"), "01/31/26 02:00 PM", "UTC"), "2026-01-31T14:00:00.000Z");
        assert_eq!(at(&pattern("%Y-%m-%d"), "2026-07-31", "Europe/Amsterdam"), "2026-07-30T22:00:00.000Z");
        assert_eq!(at(&pattern("%Y-%m-%d"), "2026-07-31 10:00", "Europe/Amsterdam"), "no time");
        let digits = pattern("%Y%m%d%H%M%S");
        assert_eq!(
            digits.instant(&Scalar::Int(20_260_131_090_000), &TimeZone::UTC, OfDay::First),
            Some(EventTime(1_769_850_000_000))
        );
        let offset = pattern("%Y-%m-%d %H:%M:%S %z");
        assert!(offset.has_offset() && !digits.has_offset());
        assert_eq!(at(&offset, "2026-01-31 10:00:00 +0100", "UTC"), "2026-01-31T09:00:00.000Z");
        let named = pattern("%Y-%m-%d %H:%M %Q");
        assert!(named.has_offset());
        for (text, expected) in [
            ("2026-01-31 10:00 Europe/Amsterdam", "2026-01-31T09:00:00.000Z"),
            ("2026-07-31 10:00 Europe/Amsterdam", "2026-07-31T08:00:00.000Z"),
            ("2026-01-31 10:00 America/New_York", "2026-01-31T15:00:00.000Z"),
            ("2026-10-25 02:30 Europe/Amsterdam", "2026-10-25T00:30:00.000Z"),
            ("2026-01-31 10:00 UTC", "2026-01-31T10:00:00.000Z"),
            ("2026-01-31 10:00 +0530", "2026-01-31T04:30:00.000Z"),
            ("2026-01-31 10:00 Europe/Nowhere", "no time"),
            ("2026-01-31 10:00", "no time"),
        ] {
            assert_eq!(at(&named, text, "Asia/Tokyo"), expected, "{text}");
        }
        let both = pattern("%Y-%m-%d %H:%M %z %Q");
        assert_eq!(at(&both, "2026-10-25 02:30 +0100 Europe/Amsterdam", "UTC"), "2026-10-25T01:30:00.000Z");
        for (wrong, expected) in [
            ("%H:%M", "does not say the day"),
            ("%Y-%m-%d %!", "not understood"),
            ("%m %Y", "the day"),
            ("%Y-%m-%d %I:%M", "%p"),
        ] {
            let error = LocalForm::of_pattern(wrong).expect_err(wrong);
            assert!(error.contains(expected), "{wrong}: {error}");
        }
    }
}
