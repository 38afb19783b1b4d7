//! Which dimension values a person was already counted for in the current windows: once per person, window and value.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::place::Place;
use crate::model::Day;

/// Bits of a mask: was a touchpoint seen in the current day, week, month?
pub const REACHED: u8 = 0b000_111;
/// Bits of a mask: and one that the customer initiated?
pub const ACTIVE: u8 = 0b111_000;

/// One dimension value, by its 64-bit hash: two values of one person in one month would have to collide to be taken for
/// each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeenValue {
    hash: u64,
    mask: u8,
}

/// Nine plain bytes a value, all in one piece: shorter than a variable-length integer for a hash, and fast.
mod packed {
    use serde::{Deserializer, Serializer, de::Error};

    use super::SeenValue;
    use crate::customers::fold::place::Blob;

    const LENGTH: usize = 9;

    pub fn serialize<S: Serializer>(values: &[SeenValue], serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(values.len() * LENGTH);
        for value in values {
            bytes.extend_from_slice(&value.hash.to_le_bytes());
            bytes.push(value.mask);
        }
        serializer.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SeenValue>, D::Error> {
        let bytes = deserializer.deserialize_bytes(Blob)?;
        if bytes.len() % LENGTH != 0 {
            return Err(D::Error::custom("values seen are nine bytes each"));
        }
        let (values, _) = bytes.as_chunks::<LENGTH>();
        Ok(values
            .iter()
            .map(|&[a, b, c, d, e, f, g, h, mask]| SeenValue {
                hash: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
                mask,
            })
            .collect())
    }
}

/// The values seen in the newest day, week and month of a person. A timeline is folded in order, so no older window can
/// be met again.
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
        use crate::model::{Window, WindowKind};
        if !self.values.is_empty() && self.starts[0] == day {
            let window = |index: usize| Window { kind: WindowKind::ALL[index], start: self.starts[index] };
            return [window(0), window(1), window(2)];
        }
        super::place::windows_of(day)
    }

    /// Marks a place as seen. Returns for each of its values the bits that were not set before.
    pub fn mark(&mut self, place: &Place<'_>, active: bool) -> SmallVec<[u8; 10]> {
        let starts = place.windows.map(|window| window.start);
        if starts != self.starts {
            let mut kept = 0;
            for (index, (now, before)) in starts.iter().zip(&self.starts).enumerate() {
                if now == before {
                    kept |= 0b001_001 << index;
                }
            }
            self.starts = starts;
            if kept == 0 {
                self.values.clear();
            } else {
                self.values.retain_mut(|value| {
                    value.mask &= kept;
                    value.mask != 0
                });
            }
        }
        let bits = if active { REACHED | ACTIVE } else { REACHED };
        place
            .values
            .iter()
            .map(|value| match self.values.binary_search_by_key(&value.hash, |seen| seen.hash) {
                Ok(index) => {
                    let new = bits & !self.values[index].mask;
                    self.values[index].mask |= bits;
                    new
                }
                Err(index) => {
                    self.values.insert(index, SeenValue { hash: value.hash, mask: bits });
                    bits
                }
            })
            .collect()
    }
}
