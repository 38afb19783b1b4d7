//! Messages to a person: how one more of them changes the pressure of the 30 days that it counts in.

use super::{
    facts::Facts,
    head::{CONTACT_DAYS, Head},
};
use crate::model::{Day, Kind};

/// Messages of one spoke to the person on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Contacts {
    /// The day.
    pub day: Day,
    /// The spoke's index in [`Head::spokes`].
    pub spoke: u32,
    /// How many.
    pub n: u32,
}

/// What one message more changes from its day on, for [`CONTACT_DAYS`] days, besides that it is one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// From this day on it is the only one that counts; absent if another counts as long.
    pub alone_from: Option<Day>,
    /// From the first day until before the second it is the one above the cap.
    pub above: Option<(Day, Day)>,
}

/// A message to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Among the messages of the whole company.
    pub company: Pressure,
    /// Among those of its spoke.
    pub spoke: Pressure,
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

/// Remembers a message and says what it changes. The hub's last closed day is at least the day before this one, so older
/// days never count again.
pub(super) fn observe_contact(head: &mut Head, facts: &mut Facts<'_, '_>, spoke: u32, cap: i64) {
    let day = facts.place.day;
    let oldest = day.plus(-CONTACT_DAYS);
    if head.contacts.first().is_some_and(|first| first.day < oldest) {
        head.contacts.retain(|contacts| contacts.day >= oldest);
    }
    if facts.touchpoint.kind != Kind::MessageSent {
        return;
    }
    let counting = head.contacts.iter().filter(|contacts| contacts.day > oldest);
    let of_spoke = counting.clone().filter(|contacts| contacts.spoke == spoke);
    let count = |contacts: &Contacts| (contacts.day, contacts.n);
    facts.message = Some(Message {
        company: Pressure::of(counting.map(count), day, cap),
        spoke: Pressure::of(of_spoke.map(count), day, cap),
    });
    let today = head.contacts.iter().rposition(|contacts| contacts.day != day).map_or(0, |last| last + 1);
    match head.contacts[today..].iter_mut().find(|contacts| contacts.spoke == spoke) {
        Some(contacts) => contacts.n += 1,
        None => head.contacts.push(Contacts { day, spoke, n: 1 }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
    }
}
