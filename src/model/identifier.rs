//! Who (or whose thing) a touchpoint names, and the keyed hash that stands for a person outside the hub.

use serde::{Deserialize, Serialize};

pub use super::identifier_type::IdentifierType;
use super::time::EventTime;

/// A typed, normalised value. Ordered by (strength of type, value): the smallest is the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier<'a> {
    /// What kind of name it is.
    pub kind: IdentifierType,
    /// The normalised value, never empty, never a blocked value.
    pub value: &'a str,
}

/// The 256-bit key of the keyed hash behind person ids. It comes from a file and never changes later: another key names
/// every person anew.
#[derive(Clone)]
pub struct PersonKey(pub [u8; 32]);

impl std::fmt::Debug for PersonKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PersonKey(…)")
    }
}

impl PersonKey {
    /// The id of the person whose strongest identifier is `identifier`: the first 128 bits of keyed BLAKE3 over
    /// (type, 0x00, value).
    pub fn person(&self, identifier: Identifier<'_>) -> PersonId {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(identifier.kind.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(identifier.value.as_bytes());
        first_half(&hasher)
    }

    /// The public id of the person who goes on under a strongest identifier that was erased up to `erased_at`: nobody can
    /// follow them back to the erased one. `internal` is [`PersonKey::person`] of that identifier, which is also the
    /// public id of a person never erased. The first 128 bits of keyed BLAKE3 over ("reborn", 0x00, `internal`,
    /// `erased_at` as 8 bytes, the greatest first): no type of identifier has that word.
    pub fn reborn(&self, internal: PersonId, erased_at: EventTime) -> PersonId {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"reborn\0");
        hasher.update(&internal.0);
        hasher.update(&erased_at.0.to_be_bytes());
        first_half(&hasher)
    }
}

pub(super) fn first_half(hasher: &blake3::Hasher) -> PersonId {
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    PersonId(id)
}

/// Bytes as lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0_u8; 32];
    for (byte, place) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        place[0] = DIGITS[usize::from(byte >> 4)];
        place[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// A person's public id: a keyed hash of their strongest identifier, so that it says nothing about them. Shown as 32
/// lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PersonId(pub [u8; 16]);

impl PersonId {
    /// As it is shown: 32 lower-case hexadecimal digits.
    pub fn hexadecimal(self) -> [u8; 32] {
        hexadecimal(&self.0)
    }

    /// From 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<PersonId> {
        let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.as_chunks::<2>().0) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
        }
        Some(PersonId(id))
    }

    /// A uniformly distributed number, for placing the person on a partition.
    pub fn placement(self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(first)
    }
}

impl std::fmt::Display for PersonId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(std::str::from_utf8(&self.hexadecimal()).expect("hexadecimal digits are ASCII"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_who_reuses_an_erased_identifier_has_an_id_of_each_erasure() {
        let key = PersonKey([7; 32]);
        let ann = key.person(Identifier { kind: IdentifierType::Email, value: "ann@x.org" });
        let reborn = key.reborn(ann, EventTime(1_000));
        // Both as the reference implementation has them: they are published, so they never change.
        assert_eq!(ann.to_string(), "3ca44b08c3a446119164e6c889a6c1de");
        assert_eq!(reborn.to_string(), "88462050fabd4414f78649c270e81585");
        assert_ne!(reborn, key.reborn(ann, EventTime(1_001)), "a later erasure names another person");
        assert_ne!(reborn, PersonKey([8; 32]).reborn(ann, EventTime(1_000)), "so does another key");
    }
}
