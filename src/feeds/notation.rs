//! What JSON and Avro write differently: instants and days. And numbers that are none.

use std::{collections::BTreeMap, marker::PhantomData};

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::model::{Day, EventTime};

const MILLISECONDS_PER_DAY: i64 = 86_400_000;
/// The days that ISO 8601 can write with four digits of year. Everything the hub keeps lies far within.
const FIRST_DAY: Day = Day::from_civil(0, 1, 1);
const LAST_DAY: Day = Day::from_civil(9999, 12, 31);

/// How a format writes time.
pub trait Notation: 'static {
    /// Writes an instant.
    fn instant<S: Serializer>(at: EventTime, serializer: S) -> Result<S::Ok, S::Error>;
    /// Writes a calendar day.
    fn day<S: Serializer>(day: Day, serializer: S) -> Result<S::Ok, S::Error>;
}

/// For JSON: RFC 3339 in UTC with milliseconds, and ISO 8601 days.
#[derive(Debug)]
pub enum Text {}

/// For Avro: milliseconds and days since 1970-01-01, the logical types `timestamp-millis` and `date`.
#[derive(Debug)]
pub enum Binary {}

impl Notation for Text {
    fn instant<S: Serializer>(at: EventTime, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let day = at.0.div_euclid(MILLISECONDS_PER_DAY);
        let rest = at.0.rem_euclid(MILLISECONDS_PER_DAY) as u32;
        write_day(Day(day as i32), &mut text);
        digits(rest / 3_600_000, &mut text[11..13]);
        digits(rest / 60_000 % 60, &mut text[14..16]);
        digits(rest / 1_000 % 60, &mut text[17..19]);
        digits(rest % 1_000, &mut text[20..23]);
        serializer.serialize_str(std::str::from_utf8(&text).expect("digits and punctuation are ASCII"))
    }

    fn day<S: Serializer>(day: Day, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = *b"0000-00-00";
        write_day(day, &mut text);
        serializer.serialize_str(std::str::from_utf8(&text).expect("digits and punctuation are ASCII"))
    }
}

impl Notation for Binary {
    fn instant<S: Serializer>(at: EventTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.0)
    }

    fn day<S: Serializer>(day: Day, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(day.0)
    }
}

/// `day` lies within four digits of year: the constructors below see to it.
fn write_day(day: Day, text: &mut [u8]) {
    let (year, month, of_month) = day.civil();
    digits(year.unsigned_abs(), &mut text[0..4]);
    digits(month, &mut text[5..7]);
    digits(of_month, &mut text[8..10]);
}

/// Writes the last decimal digits of a number, as many as there is room for.
fn digits(mut number: u32, text: &mut [u8]) {
    for place in text.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// An instant in the notation `N`, limited to what both notations can write.
pub(super) struct Instant<N>(EventTime, PhantomData<N>);

impl<N> Instant<N> {
    pub(super) fn new(at: EventTime) -> Self {
        let earliest = FIRST_DAY.0 as i64 * MILLISECONDS_PER_DAY;
        let latest = LAST_DAY.0 as i64 * MILLISECONDS_PER_DAY + MILLISECONDS_PER_DAY - 1;
        Instant(EventTime(at.0.clamp(earliest, latest)), PhantomData)
    }
}

impl<N: Notation> Serialize for Instant<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        N::instant(self.0, serializer)
    }
}

/// A calendar day in the notation `N`, limited to what both notations can write.
pub(super) struct Date<N>(Day, PhantomData<N>);

impl<N> Date<N> {
    pub(super) fn new(day: Day) -> Self {
        Date(Day(day.0.clamp(FIRST_DAY.0, LAST_DAY.0)), PhantomData)
    }
}

impl<N: Notation> Serialize for Date<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        N::day(self.0, serializer)
    }
}

/// A number that JSON can write, or nothing: JSON knows neither NaN nor infinity, so neither format gets them.
pub(super) fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

/// A map of numbers without those that JSON cannot write.
pub(super) struct FiniteMap<'a, K>(pub(super) &'a BTreeMap<K, f64>);

impl<K: AsRef<str>> Serialize for FiniteMap<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Avro writes the number of entries first.
        let count = self.0.values().filter(|number| number.is_finite()).count();
        let mut map = serializer.serialize_map(Some(count))?;
        for (name, number) in self.0 {
            if number.is_finite() {
                map.serialize_entry(name.as_ref(), number)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(value: impl Serialize) -> String {
        serde_json::to_string(&value).expect("strings and numbers are JSON")
    }

    proptest! {
        #[test]
        fn text_is_that_of_the_model(at in EventTime::MIN.0..EventTime::MAX.0) {
            let day = Day((at / MILLISECONDS_PER_DAY) as i32);
            prop_assert_eq!(json(Instant::<Text>::new(EventTime(at))), format!("\"{}\"", EventTime(at)));
            prop_assert_eq!(json(Date::<Text>::new(day)), format!("\"{day}\""));
        }
    }

    #[test]
    fn times_beyond_the_calendar_stop_at_its_ends_in_both_notations() {
        assert_eq!(json(Instant::<Text>::new(EventTime(i64::MIN))), "\"0000-01-01T00:00:00.000Z\"");
        assert_eq!(json(Instant::<Text>::new(EventTime(i64::MAX))), "\"9999-12-31T23:59:59.999Z\"");
        assert_eq!(json(Instant::<Binary>::new(EventTime(i64::MIN))), "-62167219200000");
        assert_eq!(json(Instant::<Binary>::new(EventTime(i64::MAX))), "253402300799999");
        assert_eq!(json(Date::<Text>::new(Day(i32::MIN))), "\"0000-01-01\"");
        assert_eq!(json(Date::<Text>::new(Day(i32::MAX))), "\"9999-12-31\"");
        assert_eq!(json(Date::<Binary>::new(Day(i32::MAX))), "2932896");
    }
}
