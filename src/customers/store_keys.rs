//! The entries of the customers store: bytes ⇄ keys and values. All of it is stored format, version 1.
//!
//! A home and the person of the same identifier have one name, 16 bytes, and one place: the home's own touchpoints are the
//! timeline of the person, unless they belong to another. Copies from other homes lie among them, marked with their home.
//!
//! | first byte | rest of the key | value | in the changelog |
//! | --- | --- | --- | --- |
//! | `h` | name | envelope: version, timer day, hash of what was published, ties (version 2; in version 7 with what closes contributed and alerts, in version 8 with what is on its way besides), head | yes |
//! | `t` | name, position | touchpoint, internal form; of a home's own, after the first reading, its number (4, little-endian), 0xff | yes |
//! | `s` | name, position | snapshot: number in the timeline (8), head after that position | yes |
//! | `x` | name, id, 0x00, spoke and, of a copy, 0x00, home | content hash as it came (16), where identifiers were erased since | yes |
//! | `o` | name, position | nothing: another version of the same (spoke, id) is counted, not this one | yes |
//! | `v` | home, id, 0x00, spoke, 0x00, content hash (16) | touchpoint: a version that an erasure may bring back | yes |
//! | `q` | home, hash of a pair (16) | nothing, or what only versions that are gone said: see [`ReportedPair`] | yes |
//! | `z` | home, hash of a pair (16) | names of both (32), time (8): a version that gave way to one of a newer reading said it | yes |
//! | `e` | home, name of an identifier (16) | time (8) until which it was erased, where the envelope has no room for it: see `erased` | yes |
//! | `m` | `as_of` | day of `as_of` (4) | yes |
//! | `i` | home, id, 0x00, spoke | see [`super::positions`] | derived from `t` |
//! | `j` | person, id, 0x00, spoke, 0x00, home | the same, of a copy | derived from `t` |
//! | `g` | person, home, id, 0x00, spoke | the same | derived from `t` |
//! | `w` | day (4), person | nothing | derived from `h` |
//! | `a` | id of an open alert (16), person (16) | nothing | derived from `h` |
//! | `y` | person | nothing: their alerts are held back | derived from `h` |
//! | `k` | id of an alert (16), open or not | who has seen it | yes |
//!
//! Positions, and the index entries that name them, are those of [`super::positions`]. Numbers are big-endian, signed ones with the
//! sign flipped.

use serde::{Deserialize, Serialize};

use super::{
    alerts::{Kept, KeptOfHeads5},
    closes::{Closed, ClosedOfHeads3, ClosedOfHeads6, ClosedOfHeads8},
    fold::Head,
    moves::Unsettled,
    positions::{IndexEntry, Moment, Place, push_home, push_id},
    readings,
};
use crate::model::{AlertId, Day, EventTime, Identifier, KeyValue, PersonId, StoreError, Touchpoint};

/// Where the day of `as_of` is kept.
pub const AS_OF: &[u8] = b"mas_of";

/// The length of a key before its position.
pub const PERSON_PREFIX: usize = 17;

/// The format that [`Envelope::encode_into`] writes.
pub const ENVELOPE_VERSION: u8 = 1;
/// The same with ties before the head.
const ENVELOPE_VERSION_WITH_TIES: u8 = 2;
/// The same with ties, what closes contributed and alerts before the head, each there or not.
const ENVELOPE_VERSION_WITH_ALL: u8 = 9;
/// The same, and what is on its way, from and to whomever: only as long as something is.
const ENVELOPE_VERSION_UNSETTLED: u8 = 10;
/// These two as they were with heads of versions 7 and 8.
const ENVELOPE_VERSION_OF_HEADS_8: u8 = 7;
const ENVELOPE_VERSION_UNSETTLED_OF_HEADS_8: u8 = 8;
/// The same as it was with heads of version 6.
const ENVELOPE_VERSION_OF_HEADS_6: u8 = 5;
/// The same as it was with heads of versions 4 and 5.
const ENVELOPE_VERSION_OF_HEADS_5: u8 = 4;
/// The same as it was before heads of version 4.
const ENVELOPE_VERSION_OF_HEADS_3: u8 = 3;

const NO_TIMER: i32 = i32::MAX;

pub(super) fn flip_time(time: i64) -> [u8; 8] {
    (time ^ i64::MIN).to_be_bytes()
}

pub(super) fn unflip_time(bytes: [u8; 8]) -> EventTime {
    EventTime(i64::from_be_bytes(bytes) ^ i64::MIN)
}

/// The stored form of a time by itself.
pub fn encode_time(time: EventTime) -> [u8; 8] {
    flip_time(time.0)
}

/// From the stored form.
pub fn decode_time(bytes: &[u8]) -> Result<EventTime, StoreError> {
    bytes.try_into().map(unflip_time).map_err(|_| damaged("time", "8 bytes expected"))
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

/// `first`, then the person.
pub fn of_person(first: u8, person: PersonId) -> Vec<u8> {
    let mut key = Vec::with_capacity(80);
    key.push(first);
    key.extend_from_slice(&person.0);
    key
}

/// The first key after every key that starts with a person's prefix.
pub fn after_person(first: u8, person: PersonId) -> Vec<u8> {
    after(&of_person(first, person))
}

/// The first key after every key that starts with a prefix.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if last < u8::MAX {
            key.push(last + 1);
            break;
        }
    }
    key
}

/// `first`, then the person and whatever follows.
pub fn with_rest(first: u8, person: PersonId, rest: &[u8]) -> Vec<u8> {
    let mut key = of_person(first, person);
    key.extend_from_slice(rest);
    key
}

/// Key of a head.
pub fn head(person: PersonId) -> Vec<u8> {
    of_person(b'h', person)
}

/// Key of a touchpoint.
pub fn touchpoint(person: PersonId, touchpoint: &Touchpoint<'_>) -> Vec<u8> {
    let mut key = of_person(b't', person);
    Moment::of(touchpoint).push(&mut key);
    push_id(&mut key, touchpoint.id, touchpoint.spoke);
    key
}

/// Key of the index entry of a (spoke, id).
pub fn index(person: PersonId, id: &str, spoke: &str) -> Vec<u8> {
    let mut key = of_person(b'i', person);
    push_id(&mut key, id, spoke);
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

/// The prefix of the keys that say whose an open alert is.
pub fn alerts_of(id: AlertId) -> Vec<u8> {
    of_person(b'a', PersonId(id.0))
}

/// Key that says that an open alert is a person's.
pub fn alert(id: AlertId, person: PersonId) -> Vec<u8> {
    with_rest(b'a', PersonId(id.0), &person.0)
}

/// Key that says who has seen an alert.
pub fn acknowledgement(id: AlertId) -> Vec<u8> {
    of_person(b'k', PersonId(id.0))
}

/// Key that says that a person's alerts are held back.
pub fn held(person: PersonId) -> Vec<u8> {
    of_person(b'y', person)
}

/// The keys of everybody whose alerts are held back: `from <= key < to`.
pub fn all_held() -> ([u8; 1], [u8; 1]) {
    ([b'y'], [b'y' + 1])
}

/// Value of a pair that was reported: nothing as long as a kept touchpoint has it. Once the last version of a touchpoint
/// that had it gave way to another, what is needed to report it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedPair<'a> {
    /// The stronger.
    #[serde(borrow)]
    pub a: Identifier<'a>,
    /// The weaker.
    #[serde(borrow)]
    pub b: Identifier<'a>,
    /// When they were last seen together by a version that is gone, by department and the reading of its topic; ascends.
    #[serde(borrow)]
    pub said: Vec<(&'a str, u32, EventTime)>,
}

impl<'a> ReportedPair<'a> {
    /// When they were last seen together by a version that is gone.
    pub fn at(&self) -> EventTime {
        self.said.iter().map(|&(_, _, at)| at).max().unwrap_or(EventTime(i64::MIN))
    }

    /// A version of a department's touchpoint, of a reading, said it and is gone.
    pub fn note(&mut self, spoke: &'a str, reading: u32, at: EventTime) {
        match self.said.binary_search_by(|&(other, number, _)| (other, number).cmp(&(spoke, reading))) {
            Ok(known) => self.said[known].2 = self.said[known].2.max(at),
            Err(place) => self.said.insert(place, (spoke, reading, at)),
        }
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a vector takes every byte")
    }

    /// From the stored form; `None` if kept touchpoints say it.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<ReportedPair<'a>>, StoreError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        postcard::from_bytes(bytes).map(Some).map_err(|error| damaged("pair of identifiers", error))
    }
}

/// What ties an identifier to others. Without any: a known customer, home and person in one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ties {
    /// To whom the home's touchpoints belong; `None`: to the person of the same name.
    pub person: Option<PersonId>,
    /// The version of that assignment.
    pub version: u64,
    /// While a move is running, the position up to which it came; empty at its start.
    pub moving: Option<Vec<u8>>,
    /// A few identifiers that were erased, by name, and until when: see `erased`. Hubs of before kept all of them here.
    pub erased: Vec<(PersonId, EventTime)>,
    /// Copies of other homes' touchpoints in the timeline.
    pub copies: u64,
    /// Touchpoints in the timeline that are not counted, since another version of the same (spoke, id) is.
    pub hidden: u64,
}

impl Ties {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Ties::default()
    }

    /// Until when an identifier was erased: the home's own for sure, others where they stand here.
    pub fn erased_at(&self, name: PersonId) -> Option<EventTime> {
        self.erased.binary_search_by_key(&name, |(erased, _)| *erased).ok().map(|index| self.erased[index].1)
    }
}

/// What is stored of a person besides the timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The day on which the record changes by itself.
    pub timer: Option<Day>,
    /// Tells whether the published record is still right: XXH3-64 of the encoded head, seeded with its figures at the
    /// close. 0 if nothing is published.
    pub published: u64,
    /// What ties it to other identifiers.
    pub ties: Option<Box<Ties>>,
    /// What the close of days has contributed.
    pub closed: Option<Box<Closed>>,
    /// What the feed knows of the person's alerts.
    pub alerts: Option<Box<Kept>>,
    /// What is on its way, from and to whomever.
    pub unsettled: Option<Box<Unsettled>>,
}

const ENVELOPE_LENGTH: usize = 13;

impl Envelope {
    /// Whether nothing of it need be kept where there is no head.
    pub fn is_nothing(&self) -> bool {
        self.ties.is_none() && self.alerts.is_none() && self.unsettled.is_none()
    }

    /// Appends the stored form; the head follows.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.push(match (&self.ties, &self.closed, &self.alerts, &self.unsettled) {
            (None, None, None, None) => ENVELOPE_VERSION,
            (Some(_), None, None, None) => ENVELOPE_VERSION_WITH_TIES,
            (.., None) => ENVELOPE_VERSION_WITH_ALL,
            (.., Some(_)) => ENVELOPE_VERSION_UNSETTLED,
        });
        bytes.extend_from_slice(&self.timer.map_or(NO_TIMER, |day| day.0).to_be_bytes());
        bytes.extend_from_slice(&self.published.to_be_bytes());
        let written = match (&self.ties, &self.closed, &self.alerts, &self.unsettled) {
            (None, None, None, None) => return,
            (Some(ties), None, None, None) => postcard::to_io(ties, bytes),
            (ties, closed, alerts, None) => postcard::to_io(&(ties, closed, alerts), bytes),
            (ties, closed, alerts, Some(unsettled)) => postcard::to_io(&(ties, closed, alerts, unsettled), bytes),
        };
        written.expect("a vector takes every byte");
    }

    /// From the stored form, with the encoded head that follows: nothing where no touchpoint is counted.
    pub fn decode(bytes: &[u8]) -> Result<(Envelope, &[u8]), StoreError> {
        let wrong = || damaged("head", "its envelope is damaged or of another version");
        let (prefix, mut head) = bytes.split_first_chunk::<ENVELOPE_LENGTH>().ok_or_else(wrong)?;
        let [version, d0, d1, d2, d3, published @ ..] = *prefix;
        let (mut ties, mut closed, mut alerts, mut unsettled) = (None, None, None, None);
        if version == ENVELOPE_VERSION_UNSETTLED {
            let some: Box<Unsettled>;
            ((ties, closed, alerts, some), head) = postcard::take_from_bytes(head).map_err(|_| wrong())?;
            unsettled = Some(some);
        } else if version == ENVELOPE_VERSION_WITH_ALL {
            ((ties, closed, alerts), head) = postcard::take_from_bytes(head).map_err(|_| wrong())?;
        } else if version == ENVELOPE_VERSION_OF_HEADS_8 {
            // Only a rebuild reads these, and forgets what days had contributed; what else there is, is kept nowhere else.
            let _contributed: Option<ClosedOfHeads8>;
            ((ties, _contributed, alerts), head) = postcard::take_from_bytes(head).map_err(|_| wrong())?;
        } else if version == ENVELOPE_VERSION_UNSETTLED_OF_HEADS_8 {
            let (_contributed, some): (Option<ClosedOfHeads8>, Box<Unsettled>);
            ((ties, _contributed, alerts, some), head) = postcard::take_from_bytes(head).map_err(|_| wrong())?;
            unsettled = Some(some);
        } else if version == ENVELOPE_VERSION_OF_HEADS_6 {
            let _contributed: Option<ClosedOfHeads6>;
            ((ties, _contributed, alerts), head) = postcard::take_from_bytes(head).map_err(|_| wrong())?;
        } else if version == ENVELOPE_VERSION_OF_HEADS_5 {
            let (_contributed, known): (Option<ClosedOfHeads6>, Option<KeptOfHeads5>);
            ((ties, _contributed, known), head) = postcard::take_from_bytes(head).map_err(|_| wrong())?;
            alerts = known.map(|known| Box::new(known.into()));
        } else if version == ENVELOPE_VERSION_OF_HEADS_3 {
            let (_contributed, known): (Option<ClosedOfHeads3>, Option<KeptOfHeads5>);
            ((ties, _contributed, known), head) = postcard::take_from_bytes(head).map_err(|_| wrong())?;
            alerts = known.map(|known| Box::new(known.into()));
        } else if version == ENVELOPE_VERSION_WITH_TIES {
            (ties, head) = postcard::take_from_bytes(head)
                .map(|(ties, rest)| (Some(Box::new(ties)), rest))
                .map_err(|_| wrong())?;
        } else if version != ENVELOPE_VERSION {
            return Err(wrong());
        }
        let day = i32::from_be_bytes([d0, d1, d2, d3]);
        let timer = (day != NO_TIMER).then_some(Day(day));
        let published = u64::from_be_bytes(published);
        Ok((Envelope { timer, published, ties, closed, alerts, unsettled }, head))
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
    let name_and_rest = || key[1..].split_first_chunk::<16>().ok_or_else(wrong);
    match (key.first(), value) {
        (Some(b't'), value) => {
            let (name, position) = name_and_rest()?;
            let (at, rest) = Moment::split(position).ok_or_else(wrong)?;
            let place = Place::of_index(rest).ok_or_else(wrong)?;
            let entry = match value {
                Some(value) => {
                    let (encoded, reading) = readings::unmark(value);
                    let as_it_came = store.get(&with_rest(b'x', PersonId(*name), rest))?;
                    Some(IndexEntry {
                        at,
                        content_hash: match as_it_came {
                            Some(hash) => decode_hash(&hash)?,
                            None => Touchpoint::content_hash(encoded),
                        },
                        reading,
                    })
                }
                None => None,
            };
            restore_index(PersonId(*name), place, at, entry, store)?;
        }
        (Some(b'x'), value) => {
            let (name, rest) = name_and_rest()?;
            let place = Place::of_index(rest).ok_or_else(wrong)?;
            let (by_id, _) = index_keys(PersonId(*name), place);
            // Without an entry the touchpoint is still to come, or gone.
            if let Some(entry) = store.get(&by_id)? {
                let entry = IndexEntry::decode(&entry)?;
                let position = entry.position(place.id_and_spoke, place.home);
                let content_hash = match (value, store.get(&with_rest(b't', PersonId(*name), &position))?) {
                    (Some(hash), _) => decode_hash(hash)?,
                    (None, Some(touchpoint)) => Touchpoint::content_hash(readings::unmark(&touchpoint).0),
                    (None, None) => return Ok(()),
                };
                let entry = IndexEntry { content_hash, ..entry };
                restore_index(PersonId(*name), place, entry.at, Some(entry), store)?;
            }
        }
        (Some(b'h'), Some(value)) => {
            let person = PersonId(key[1..].try_into().map_err(|_| wrong())?);
            // One of another version has no timer until a rebuild has replaced it.
            if let Ok((envelope, _)) = Envelope::decode(value) {
                // Older entries of the person may remain; they are found stale when they are looked at.
                if let Some(day) = envelope.timer {
                    store.put_local(&timer(day, person), &[]);
                }
                if let Some(alerts) = envelope.alerts {
                    if alerts.held {
                        store.put_local(&held(person), &[]);
                    }
                    for published in &alerts.published {
                        store.put_local(&alert(published.id, person), &[]);
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The index keys of a touchpoint: by (spoke, id) and, of a copy, by home.
pub fn index_keys(name: PersonId, place: Place<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
    let Some(home) = place.home else {
        return (with_rest(b'i', name, place.id_and_spoke), None);
    };
    let mut by_id = with_rest(b'j', name, place.id_and_spoke);
    push_home(&mut by_id, home);
    let mut by_home = of_person(b'g', name);
    by_home.extend_from_slice(&home.0);
    by_home.extend_from_slice(place.id_and_spoke);
    (by_id, Some(by_home))
}

fn restore_index<S: KeyValue + ?Sized>(
    name: PersonId,
    place: Place<'_>,
    at: Moment,
    entry: Option<IndexEntry>,
    store: &mut S,
) -> Result<(), StoreError> {
    let (by_id, by_home) = index_keys(name, place);
    match entry {
        Some(entry) => {
            for key in [Some(by_id), by_home].into_iter().flatten() {
                store.put_local(&key, &entry.encode());
            }
        }
        // A version that was replaced leaves its old position; the entry may name the new one already.
        None => {
            if let Some(entry) = store.get(&by_id)?
                && IndexEntry::decode(&entry)?.at == at
            {
                for key in [Some(by_id), by_home].into_iter().flatten() {
                    store.delete_local(&key);
                }
            }
        }
    }
    Ok(())
}

/// A stored content hash.
pub fn decode_hash(bytes: &[u8]) -> Result<u128, StoreError> {
    bytes.try_into().map(u128::from_be_bytes).map_err(|_| damaged("content hash", "16 bytes expected"))
}
