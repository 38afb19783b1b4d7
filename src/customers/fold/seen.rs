//! Which dimension values a person was already counted for in the current windows: once per person, window and value; and
//! for which they were active in the windows before.

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
    pub fn mark(&mut self, place: &Place<'_>, active: bool, advocates: bool) -> SmallVec<[u16; 10]> {
        self.turn_to(place.windows);
        let mut bits = REACHED;
        for (bit, is_so) in [(ACTIVE, active), (ADVOCATE, advocates)] {
            bits |= if is_so { bit } else { 0 };
        }
        let mark = |value: &mut u16| {
            let before = *value;
            *value |= bits;
            let new = *value & !before;
            (new & (REACHED | ACTIVE)) | ((new & ACTIVE) << 3 & before) | (advocates_in(*value) & !advocates_in(before))
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
        let mut seen = Seen::default();
        let company = KeptDimensions::default();
        let mark = |&(day, active, advocates): &(Day, bool, bool)| seen.mark(&company.on(day), active, advocates)[0];
        touchpoints.iter().map(mark).collect()
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
}
