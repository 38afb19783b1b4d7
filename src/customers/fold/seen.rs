//! Which dimension values a person was already counted for in the current windows: once per person, window and value; and
//! for which they were active in the windows before; and whether they consumed content in the month.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::place::Place;
use crate::model::{Day, Window, WindowKind};

/// Bits of a mask: was a touchpoint seen in the current day, week, month?
pub const REACHED: u16 = 0b111;
/// Bits of a mask: and one that the customer initiated?
pub const ACTIVE: u16 = 0b111 << 3;
/// Bits of a mask: was there one in the day, week, month before? Of what [`Seen::mark`] returns: is the person active in
/// the current one for the first time, after they were in the one before?
pub const RETAINED: u16 = 0b111 << 6;
/// Bits of a mask: did the person speak for the company? Of what [`Seen::mark`] returns: is it the first time that they
/// both did so and were active?
pub const ADVOCATE: u16 = 0b111 << 9;
/// A bit of a mask: was content consumed in the current month?
pub const CONSUMED: u16 = 1 << 12;
/// A bit of a mask: is the person counted in it as active without content? Of what [`Seen::mark`] returns: from here on, and
/// beside [`CONSUMED`]: until here.
pub const OTHER: u16 = 1 << 13;
/// A bit of a mask: and did they go on?
pub const WENT_ON: u16 = 1 << 14;

/// What a touchpoint does in its windows, besides being there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Does {
    /// Whether the customer initiated it.
    pub is_active: bool,
    /// Whether the person speaks for the company.
    pub advocates: bool,
    /// Whether the person consumes content.
    pub consumes: bool,
}

/// The bit of [`ACTIVE`] for the month.
const ACTIVE_IN_MONTH: u16 = 0b100 << 3;

/// One dimension value, by its 64-bit hash: two values of one person in one month would have to collide to be taken for
/// each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeenValue {
    hash: u64,
    mask: u16,
}

/// Ten plain bytes a value, all in one piece: shorter than a variable-length integer for a hash, and fast.
mod packed {
    use serde::{Deserializer, Serializer, de::Error};

    use super::SeenValue;
    use crate::customers::fold::place::Blob;

    const LENGTH: usize = 10;

    pub fn serialize<S: Serializer>(values: &[SeenValue], serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(values.len() * LENGTH);
        for value in values {
            bytes.extend_from_slice(&value.hash.to_le_bytes());
            bytes.extend_from_slice(&value.mask.to_le_bytes());
        }
        serializer.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SeenValue>, D::Error> {
        let bytes = deserializer.deserialize_bytes(Blob)?;
        if bytes.len() % LENGTH != 0 {
            return Err(D::Error::custom("values seen are ten bytes each"));
        }
        let (values, _) = bytes.as_chunks::<LENGTH>();
        Ok(values
            .iter()
            .map(|&[a, b, c, d, e, f, g, h, low, high]| SeenValue {
                hash: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                mask: u16::from_le_bytes([low, high]),
            })
            .collect())
    }
}

/// The values seen in the newest day, week and month of a person, and those of the windows just before in which they were
/// active. A timeline is folded in order, so no older window can be met again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    starts: [Day; 3],
    /// Ascending by hash, no empty masks.
    #[serde(with = "packed")]
    values: Vec<SeenValue>,
}

impl Seen {
    /// The windows of a day if it is the current one, else computed.
    pub fn windows(&self, day: Day) -> [crate::model::Window; 3] {
        if !self.values.is_empty() && self.starts[0] == day {
            let window = |index: usize| Window { kind: WindowKind::ALL[index], start: self.starts[index] };
            return [window(0), window(1), window(2)];
        }
        super::place::windows_of(day)
    }

    /// Marks a place as seen. Returns for each of its values the bits that were not set before; see the bits.
    pub fn mark(&mut self, place: &Place<'_>, does: Does) -> SmallVec<[u16; 10]> {
        self.turn_to(place.windows);
        let mut bits = REACHED;
        for (bit, is_so) in [(ACTIVE, does.is_active), (ADVOCATE, does.advocates), (CONSUMED, does.consumes)] {
            bits |= if is_so { bit } else { 0 };
        }
        let mark = |value: &mut u16| {
            let before = *value;
            *value |= bits;
            let mut taken_back = 0;
            if does.consumes {
                taken_back = before & (OTHER | WENT_ON);
                *value &= !taken_back;
            } else if *value & !before & ACTIVE_IN_MONTH != 0 && before & CONSUMED == 0 {
                *value |= OTHER;
            }
            let new = *value & !before;
            (new & (REACHED | ACTIVE | CONSUMED | OTHER))
                | ((new & ACTIVE) << 3 & before)
                | (advocates_in(*value) & !advocates_in(before))
                | taken_back
        };
        place
            .values
            .iter()
            .map(|value| match self.values.binary_search_by_key(&value.hash, |seen| seen.hash) {
                Ok(index) => mark(&mut self.values[index].mask),
                Err(index) => {
                    self.values.insert(index, SeenValue { hash: value.hash, mask: 0 });
                    mark(&mut self.values[index].mask)
                }
            })
            .collect()
    }

    /// Whoever is active in the month without content went on.
    pub fn went_on(&mut self, hash: u64) {
        self.change(hash, |mask| mask | WENT_ON);
    }

    /// Nobody is counted as active in the month without content: there is no room to follow them.
    pub fn is_not_followed(&mut self, hash: u64) {
        self.change(hash, |mask| mask & !OTHER);
    }

    fn change(&mut self, hash: u64, change: impl FnOnce(u16) -> u16) {
        if let Ok(index) = self.values.binary_search_by_key(&hash, |seen| seen.hash) {
            self.values[index].mask = change(self.values[index].mask);
        }
    }

    /// Makes these windows the current ones. What was the current one is kept as the one before if it was just before.
    fn turn_to(&mut self, windows: [Window; 3]) {
        let starts = windows.map(|window| window.start);
        if starts == self.starts {
            return;
        }
        let (mut kept, mut carried) = (0, 0);
        for (index, (now, &before)) in windows.iter().zip(&self.starts).enumerate() {
            if now.start == before {
                kept |= (REACHED | ACTIVE | RETAINED | ADVOCATE) & (0b001_001_001_001 << index);
                if now.kind == WindowKind::Month {
                    kept |= CONSUMED | OTHER | WENT_ON;
                }
            } else if (Window { kind: now.kind, start: before }).after() == *now {
                carried |= ACTIVE & (0b001_000 << index);
            }
        }
        self.starts = starts;
        if kept | carried == 0 {
            self.values.clear();
            return;
        }
        self.values.retain_mut(|value| {
            value.mask = (value.mask & kept) | (value.mask & carried) << 3;
            value.mask != 0
        });
    }
}

/// In which windows a value has both: [`ADVOCATE`] bits.
fn advocates_in(mask: u16) -> u16 {
    (mask & ACTIVE) << 6 & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customers::fold::place::KeptDimensions;

    /// What is new for the company at each of these (day, active, advocates).
    fn marks(touchpoints: &[(Day, bool, bool)]) -> Vec<u16> {
        let does =
            |&(day, is_active, advocates): &(Day, bool, bool)| (day, Does { is_active, advocates, consumes: false });
        marks_of(&touchpoints.iter().map(does).collect::<Vec<_>>()).into_iter().map(|bits| bits & !OTHER).collect()
    }

    /// The same of all that they do, with those that are one of the others.
    fn marks_of(touchpoints: &[(Day, Does)]) -> Vec<u16> {
        let mut seen = Seen::default();
        let company = KeptDimensions::default();
        touchpoints.iter().map(|&(day, does)| seen.mark(&company.on(day), does)[0]).collect()
    }

    #[test]
    fn only_the_window_just_before_is_remembered() {
        let (friday, saturday) = (Day::from_civil(2026, 1, 30), Day::from_civil(2026, 1, 31));
        let found = marks(&[
            (friday, true, false),
            (saturday, true, false),
            // Nothing on the day before, the week is the same, the month the next one.
            (saturday.plus(1), false, false),
            (saturday.plus(1), true, false),
            (saturday.plus(60), true, false),
        ]);
        let (day, week, month) = (1, 2, 4);
        assert_eq!(found[0], REACHED | ACTIVE);
        assert_eq!(found[1], day | day << 3 | day << 6);
        assert_eq!(found[2], day | month);
        assert_eq!(found[3], (day | month) << 3 | (day | month) << 6, "the week was counted on Friday");
        assert_eq!(found[4], REACHED | ACTIVE, "1 April: March was left out; week {week}");
    }

    #[test]
    fn an_advocate_is_counted_once_both_are_true_whichever_comes_first() {
        let monday = Day::from_civil(2026, 3, 2);
        let found = marks(&[(monday, false, true), (monday, true, false), (monday, true, true)]);
        assert_eq!(found, [REACHED, ACTIVE | ADVOCATE, 0]);
        let found = marks(&[(monday, true, false), (monday.plus(1), false, true), (monday.plus(1), true, false)]);
        assert_eq!(found[1], 1 | 0b110 << 9, "on Tuesday not active so far");
        assert_eq!(found[2], 1 << 3 | 1 << 6 | 1 << 9);
    }

    #[test]
    fn whoever_is_active_is_one_of_the_others_until_content_is_consumed_in_the_month() {
        let monday = Day::from_civil(2026, 3, 30);
        let (is_active, consumes) =
            (Does { is_active: true, ..Does::default() }, Does { consumes: true, ..Does::default() });
        let all = CONSUMED | OTHER | WENT_ON;
        let found = marks_of(&[
            (monday, is_active),
            (monday, consumes),
            (monday, consumes),
            (monday.plus(1), is_active),
            // April, in the same week; the content of the tool's own sending comes first.
            (monday.plus(2), consumes),
            (monday.plus(2), is_active),
            (monday.plus(3), Does { consumes: true, ..is_active }),
            // May; the thirty days of one are the other's too.
            (monday.plus(40), is_active),
            (monday.plus(41), is_active),
            (monday.plus(41), Does { consumes: true, ..is_active }),
        ]);
        let found: Vec<u16> = found.into_iter().map(|bits| bits & all).collect();
        assert_eq!(found, [OTHER, CONSUMED | OTHER, 0, 0, CONSUMED, 0, 0, OTHER, 0, CONSUMED | OTHER]);
    }

    #[test]
    fn of_whom_it_is_known_that_they_went_on_or_are_not_followed_is_said_when_content_is_consumed() {
        let monday = Day::from_civil(2026, 3, 30);
        let company = KeptDimensions::default();
        let consumes = Does { consumes: true, ..Does::default() };
        let known_in = |later: i32| {
            let mut seen = Seen::default();
            let place = company.on(monday);
            seen.mark(&place, Does { is_active: true, ..Does::default() });
            seen.went_on(place.values[0].hash);
            seen.mark(&company.on(monday.plus(later)), consumes)[0] & (CONSUMED | OTHER | WENT_ON)
        };
        assert_eq!([0, 1, 2].map(known_in), [CONSUMED | OTHER | WENT_ON, CONSUMED | OTHER | WENT_ON, CONSUMED]);
        let mut seen = Seen::default();
        let place = company.on(monday);
        seen.mark(&place, Does { is_active: true, ..Does::default() });
        seen.is_not_followed(place.values[0].hash);
        assert_eq!(seen.mark(&place, consumes)[0], CONSUMED);
    }
}
