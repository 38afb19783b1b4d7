//! The entries of the customers store: bytes ⇄ keys and values. All of it is stored format, version 1.
//!
//! | first byte | rest of the key | value | in the changelog |
//! | --- | --- | --- | --- |
//! | `h` | person (16) | envelope: version, timer day, hash of what was published, head | yes |
//! | `t` | person (16), position | touchpoint, internal form | yes |
//! | `s` | person (16), position | snapshot: number in the timeline (8), head after that position | yes |
//! | `m` | `as_of` | day of `as_of` (4) | yes |
//! | `i` | person (16), id, 0x00, spoke | time (8), content hash (16) | derived from `t` |
//! | `w` | day (4), person (16) | nothing | derived from `h` |
//!
//! A *position* is time (8), id, 0x00, spoke: ids and spokes have no control characters, so the order of bytes is the
//! order of the timeline. Numbers are big-endian, signed ones with the sign flipped.

use super::fold::Head;
use crate::model::{Day, EventTime, KeyValue, PersonId, StoreError, Touchpoint};

/// Where the day of `as_of` is kept.
pub const AS_OF: &[u8] = b"mas_of";

/// The length of a key before its position.
pub const PERSON_PREFIX: usize = 17;

/// The format that [`Envelope::encode_into`] writes.
pub const ENVELOPE_VERSION: u8 = 1;

const NO_TIMER: i32 = i32::MAX;

fn flip_time(time: i64) -> [u8; 8] {
    (time ^ i64::MIN).to_be_bytes()
}

fn flip_day(day: Day) -> [u8; 4] {
    (day.0 ^ i32::MIN).to_be_bytes()
}

fn unflip_day(bytes: [u8; 4]) -> Day {
    Day(i32::from_be_bytes(bytes) ^ i32::MIN)
}

/// Why a stored entry cannot be read.
pub fn damaged(what: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError(format!("a stored {what} cannot be read ({why}); restore the store from its changelog"))
}

/// Appends the position of a touchpoint.
pub fn push_position(key: &mut Vec<u8>, occurred_at: EventTime, id: &str, spoke: &str) {
    key.extend_from_slice(&flip_time(occurred_at.0));
    key.extend_from_slice(id.as_bytes());
    key.push(0);
    key.extend_from_slice(spoke.as_bytes());
}

/// `first`, then the person.
pub fn of_person(first: u8, person: PersonId) -> Vec<u8> {
    let mut key = Vec::with_capacity(80);
    key.push(first);
    key.extend_from_slice(&person.0);
    key
}

/// The first key after every key that starts with a person's prefix.
pub fn after_person(first: u8, person: PersonId) -> Vec<u8> {
    let mut key = of_person(first, person);
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            break;
        }
    }
    key
}

/// Key of a head.
pub fn head(person: PersonId) -> Vec<u8> {
    of_person(b'h', person)
}

/// Key of a touchpoint.
pub fn touchpoint(person: PersonId, touchpoint: &Touchpoint<'_>) -> Vec<u8> {
    let mut key = of_person(b't', person);
    push_position(&mut key, touchpoint.occurred_at, touchpoint.id, touchpoint.spoke);
    key
}

/// Key of the index entry of a (spoke, id).
pub fn index(person: PersonId, id: &str, spoke: &str) -> Vec<u8> {
    let mut key = of_person(b'i', person);
    key.extend_from_slice(id.as_bytes());
    key.push(0);
    key.extend_from_slice(spoke.as_bytes());
    key
}

/// Key of a timer.
pub fn timer(day: Day, person: PersonId) -> Vec<u8> {
    let mut key = Vec::with_capacity(21);
    key.push(b'w');
    key.extend_from_slice(&flip_day(day));
    key.extend_from_slice(&person.0);
    key
}

/// The keys of all timers up to and including a day: `from <= key < to`.
pub fn timers_until(day: Day) -> ([u8; 1], [u8; 5]) {
    let [a, b, c, d] = flip_day(day.plus(1));
    ([b'w'], [b'w', a, b, c, d])
}

/// Day and person of a timer's key.
pub fn parse_timer(key: &[u8]) -> Option<(Day, PersonId)> {
    let (day, person) = key.strip_prefix(b"w")?.split_first_chunk::<4>()?;
    Some((unflip_day(*day), PersonId(person.try_into().ok()?)))
}

/// Value of an index entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// When the touchpoint happened: with its id and spoke, its position.
    pub occurred_at: EventTime,
    /// [`Touchpoint::content_hash`].
    pub content_hash: u128,
}

impl IndexEntry {
    /// The stored form.
    pub fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&flip_time(self.occurred_at.0));
        bytes[8..].copy_from_slice(&self.content_hash.to_be_bytes());
        bytes
    }

    /// From the stored form.
    pub fn decode(bytes: &[u8]) -> Result<IndexEntry, StoreError> {
        let wrong = || damaged("index entry", "24 bytes expected");
        let (time, hash) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
        Ok(IndexEntry {
            occurred_at: EventTime(i64::from_be_bytes(*time) ^ i64::MIN),
            content_hash: u128::from_be_bytes(hash.try_into().map_err(|_| wrong())?),
        })
    }
}

/// What is stored of a person besides the timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The day on which the record changes by itself.
    pub timer: Option<Day>,
    /// Tells whether the published record is still right: XXH3-64 of the encoded head, seeded with its figures at the
    /// close. 0 if nothing was published.
    pub published: u64,
}

const ENVELOPE_LENGTH: usize = 13;

impl Envelope {
    /// Appends the stored form; the head follows.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.push(ENVELOPE_VERSION);
        bytes.extend_from_slice(&self.timer.map_or(NO_TIMER, |day| day.0).to_be_bytes());
        bytes.extend_from_slice(&self.published.to_be_bytes());
    }

    /// From the stored form, with the encoded head that follows.
    pub fn decode(bytes: &[u8]) -> Result<(Envelope, &[u8]), StoreError> {
        let wrong = || damaged("head", "its envelope is damaged or of another version");
        let (prefix, head) = bytes.split_first_chunk::<ENVELOPE_LENGTH>().ok_or_else(wrong)?;
        let [version, d0, d1, d2, d3, published @ ..] = *prefix;
        if version != ENVELOPE_VERSION {
            return Err(wrong());
        }
        let day = i32::from_be_bytes([d0, d1, d2, d3]);
        let envelope =
            Envelope { timer: (day != NO_TIMER).then_some(Day(day)), published: u64::from_be_bytes(published) };
        Ok((envelope, head))
    }
}

/// The day of `as_of` in the store.
pub fn read_as_of<S: KeyValue + ?Sized>(store: &S) -> Result<Option<Day>, StoreError> {
    let Some(bytes) = store.get(AS_OF)? else {
        return Ok(None);
    };
    let bytes: [u8; 4] = (*bytes).try_into().map_err(|_| damaged("as_of", "4 bytes expected"))?;
    Ok(Some(unflip_day(bytes)))
}

/// The stored form of the day of `as_of`.
pub fn encode_as_of(day: Day) -> [u8; 4] {
    flip_day(day)
}

/// Value of a snapshot.
pub fn encode_snapshot(head: &Head) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1_024);
    bytes.extend_from_slice(&head.touchpoints.to_be_bytes());
    head.encode_into(&mut bytes);
    bytes
}

/// The number in the timeline of a snapshot, and the encoded head.
pub fn decode_snapshot(bytes: &[u8]) -> Result<(u64, &[u8]), StoreError> {
    let (ordinal, head) = bytes.split_first_chunk::<8>().ok_or_else(|| damaged("snapshot", "8 bytes expected"))?;
    Ok((u64::from_be_bytes(*ordinal), head))
}

/// Keeps the derived entries right while a changelog record is replayed: index entries follow touchpoints, timers follow
/// heads. `value` is absent for a deletion.
pub fn restored<S: KeyValue + ?Sized>(key: &[u8], value: Option<&[u8]>, store: &mut S) -> Result<(), StoreError> {
    let wrong = || damaged("key", "too short");
    match (key.first(), value) {
        (Some(b't'), value) => {
            let (person, position) = key[1..].split_first_chunk::<16>().ok_or_else(wrong)?;
            let (time, id_and_spoke) = position.split_first_chunk::<8>().ok_or_else(wrong)?;
            let mut index = of_person(b'i', PersonId(*person));
            index.extend_from_slice(id_and_spoke);
            match value {
                Some(value) => {
                    let entry = IndexEntry {
                        occurred_at: EventTime(i64::from_be_bytes(*time) ^ i64::MIN),
                        content_hash: Touchpoint::content_hash(value),
                    };
                    store.put_local(&index, &entry.encode());
                }
                // A variant that was replaced leaves its old position; the entry may name the new one already.
                None => {
                    if store.get(&index)?.is_some_and(|entry| entry.starts_with(time)) {
                        store.delete_local(&index);
                    }
                }
            }
        }
        (Some(b'h'), Some(value)) => {
            let person = PersonId(key[1..].try_into().map_err(|_| wrong())?);
            // One of another version has no timer until a rebuild has replaced it.
            if let Ok((Envelope { timer: Some(day), .. }, _)) = Envelope::decode(value) {
                // An older timer of the person may remain; it is found stale when it fires.
                store.put_local(&timer(day, person), &[]);
            }
        }
        _ => {}
    }
    Ok(())
}
