//! Messages to a person: how one more of them changes the pressure of the 30 days that it counts in.

use serde::{Deserialize, Serialize};

use super::{
    facts::Facts,
    head::{CONTACT_DAYS, Head, PRESSING_MAX},
};
use crate::model::{Day, Kind};

/// Messages to the person on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contacts {
    /// The day.
    pub day: Day,
    /// How many.
    pub n: u32,
}

/// Messages with one dimension value on one day: the value by its hash, see [`super::place::DimensionValue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OfValue {
    hash: u64,
    day: Day,
    n: u32,
}

/// Of each dimension value but the company, which days' messages may still count: ascending by hash and day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressing(#[serde(with = "packed")] Vec<OfValue>);

/// A hash once, how many days, and of each the day with how many: a value comes on several days.
mod packed {
    use serde::{Deserializer, Serializer, de::Error};

    use super::OfValue;
    use crate::{customers::fold::place::Blob, model::Day};

    pub fn serialize<S: Serializer>(values: &[OfValue], serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(values.len() * 12);
        for days in values.chunk_by(|one, next| one.hash == next.hash) {
            bytes.extend_from_slice(&days[0].hash.to_le_bytes());
            bytes = postcard::to_io(&(days.len() as u64), bytes).expect("a vector takes every byte");
            for sent in days {
                bytes = postcard::to_io(&(sent.day, sent.n), bytes).expect("a vector takes every byte");
            }
        }
        serializer.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OfValue>, D::Error> {
        let mut bytes = deserializer.deserialize_bytes(Blob)?;
        let mut values = Vec::with_capacity(bytes.len() / 12);
        while let Some((hash, rest)) = bytes.split_first_chunk() {
            let hash = u64::from_le_bytes(*hash);
            let (days, mut rest) = postcard::take_from_bytes::<u64>(rest).map_err(D::Error::custom)?;
            for _ in 0..days {
                let ((day, n), left) = postcard::take_from_bytes::<(Day, u32)>(rest).map_err(D::Error::custom)?;
                values.push(OfValue { hash, day, n });
                rest = left;
            }
            bytes = rest;
        }
        if !bytes.is_empty() {
            return Err(D::Error::custom("a dimension value takes eight bytes"));
        }
        Ok(values)
    }
}

impl Pressing {
    /// Where the days of a value are.
    fn days(&self, hash: u64) -> std::ops::Range<usize> {
        let from = self.0.partition_point(|sent| sent.hash < hash);
        let days = self.0[from..].iter().take_while(|sent| sent.hash == hash).count();
        from..from + days
    }

    /// One more with this value on the day, the newest. Says what that changes; nothing if there is no room for it.
    fn add(&mut self, hash: u64, day: Day, cap: i64) -> Option<Pressure> {
        let days = self.days(hash);
        let oldest = day.plus(-CONTACT_DAYS);
        let counting = self.0[days.clone()].iter().filter(|sent| sent.day > oldest);
        let pressure = Pressure::of(counting.map(|sent| (sent.day, sent.n)), day, cap);
        let is_full = self.0.len() >= PRESSING_MAX;
        match self.0[days.clone()].last_mut() {
            Some(newest) if newest.day == day => newest.n += 1,
            _ if is_full => return None,
            _ => self.0.insert(days.end, OfValue { hash, day, n: 1 }),
        }
        Some(pressure)
    }
}

/// What one message more changes from its day on, for [`CONTACT_DAYS`] days, besides that it is one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// From this day on it is the only one that counts; absent if another counts as long.
    pub alone_from: Option<Day>,
    /// From the first day until before the second it is the one above the cap.
    pub above: Option<(Day, Day)>,
}

impl Pressure {
    /// `before`: days, ascending, with how many messages of each still count on `day`.
    fn of(before: impl Iterator<Item = (Day, u32)> + Clone, day: Day, cap: i64) -> Pressure {
        let mut counting: i64 = before.clone().map(|(_, n)| i64::from(n)).sum();
        let (mut from, end) = (day, day.plus(CONTACT_DAYS));
        let mut pressure = Pressure { alone_from: None, above: None };
        let over = before.map(|(sent, n)| (sent.plus(CONTACT_DAYS), i64::from(n)));
        for (until, n) in over.chain([(end, 0)]) {
            if from < until && counting == cap {
                pressure.above = Some((from, until));
            }
            if from < until && counting == 0 {
                pressure.alone_from = Some(from);
            }
            (counting, from) = (counting - n, until);
        }
        pressure
    }
}

/// Remembers a message and says what it changes for each of its place's values. The hub's last closed day is at least the day
/// before this one, so older days never count again.
pub(super) fn observe_contact(head: &mut Head, facts: &mut Facts<'_, '_>, cap: i64) {
    let day = facts.place.day;
    let oldest = day.plus(-CONTACT_DAYS);
    if head.contacts.first().is_some_and(|first| first.day < oldest) {
        head.contacts.retain(|contacts| contacts.day >= oldest);
        head.pressing.0.retain(|sent| sent.day >= oldest);
    }
    if facts.touchpoint.kind != Kind::MessageSent {
        return;
    }
    let counting = head.contacts.iter().filter(|contacts| contacts.day > oldest);
    // The company comes first.
    facts.message.push(Some(Pressure::of(counting.map(|contacts| (contacts.day, contacts.n)), day, cap)));
    let values = facts.place.values[1..].iter();
    facts.message.extend(values.map(|value| head.pressing.add(value.hash, day, cap)));
    facts.capped |= facts.message.iter().any(Option::is_none);
    match head.contacts.last_mut() {
        Some(newest) if newest.day == day => newest.n += 1,
        _ => head.contacts.push(Contacts { day, n: 1 }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn beyond_what_is_remembered_a_value_presses_no_more_and_what_is_known_goes_on() {
        let mut pressing = Pressing::default();
        let all = u64::try_from(PRESSING_MAX).expect("few");
        assert!((0..all).all(|value| pressing.add(value, Day(9), 8).is_some()));
        assert_eq!(pressing.add(all, Day(9), 8), None);
        assert!(pressing.add(0, Day(9), 8).is_some_and(|it| it.alone_from.is_none()));
        assert_eq!(pressing.0.len(), PRESSING_MAX);
    }

    proptest! {
        #[test]
        fn what_messages_change_adds_up_to_what_counts_each_day(
            mut sent in prop::collection::vec(0_i32..70, 0..30), cap in 0_i64..6,
        ) {
            sent.sort_unstable();
            let mut profile = [[0_i64; 3]; 110];
            for (index, &day) in sent.iter().enumerate() {
                let before = sent[..index].iter().filter(|&&other| other > day - CONTACT_DAYS).map(|&other| (Day(other), 1));
                let pressure = Pressure::of(before, Day(day), cap);
                let end = day + CONTACT_DAYS;
                let mut add = |which: usize, from: i32, until: i32| {
                    (from..until).for_each(|day| profile[day as usize][which] += 1);
                };
                add(0, day, end);
                if let Some(from) = pressure.alone_from { add(1, from.0, end); }
                if let Some((from, until)) = pressure.above { add(2, from.0, until.0); }
            }
            for day in 0..100 {
                let count = sent.iter().filter(|&&other| other <= day && day - CONTACT_DAYS < other).count() as i64;
                let expected = [count, i64::from(count > 0), i64::from(count > cap)];
                prop_assert_eq!(profile[day as usize], expected, "on day {}", day);
            }
        }

        #[test]
        fn values_press_each_for_itself(
            mut sent in prop::collection::vec((0_i32..70, prop::sample::subsequence(vec![1_u64, 2, 3, u64::MAX], 1..4)), 0..30),
            cap in 0_i64..6,
        ) {
            sent.sort_unstable();
            let mut pressing = Pressing::default();
            for (index, (day, values)) in sent.iter().enumerate() {
                pressing.0.retain(|sent| sent.day >= Day(day - CONTACT_DAYS));
                for &value in values {
                    let with_it = sent[..index].iter().filter(|(other, values)| *other > day - CONTACT_DAYS && values.contains(&value));
                    let before = with_it.map(|&(other, _)| (Day(other), 1));
                    prop_assert_eq!(pressing.add(value, Day(*day), cap), Some(Pressure::of(before, Day(*day), cap)));
                }
                let bytes = postcard::to_allocvec(&pressing).expect("a vector takes every byte");
                prop_assert_eq!(&postcard::from_bytes::<Pressing>(&bytes).expect("just written"), &pressing);
            }
        }
    }
}
