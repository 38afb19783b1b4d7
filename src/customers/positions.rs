//! Where a touchpoint lies in a timeline, as bytes: stored format.
//!
//! A *position* is time (8), rank of the kind (1), id, 0x00, spoke and, of a copy, 0x00, home. Ids and spokes have no control
//! characters, and a rank is one: the order of bytes is the order of the timeline, and a position of before there were ranks (versions
//! of heads before 10) is told from others. A rebuild gives those a rank.
//!
//! An index entry, found by id and spoke, is time (8), rank (1), content hash (16) and, after the first reading, its number (4).

use super::store_keys::{damaged, flip_time, unflip_time};
use crate::model::{EventTime, PersonId, StoreError, Touchpoint};

/// The greatest byte that is taken for a rank: ids begin with greater ones.
const RANK_MAX: u8 = 0x1f;

/// The instant of a touchpoint, and which of that instant it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// When it happened.
    pub time: EventTime,
    /// [`crate::model::Kind::rank`]; 0: of before there were ranks.
    rank: u8,
}

impl Moment {
    /// That of a touchpoint.
    pub fn of(touchpoint: &Touchpoint<'_>) -> Moment {
        Moment { time: touchpoint.occurred_at, rank: touchpoint.kind.rank() }
    }

    /// Whether it is of before there were ranks.
    pub fn is_unranked(self) -> bool {
        self.rank == 0
    }

    /// Appends the stored form.
    pub fn push(self, bytes: &mut impl Extend<u8>) {
        bytes.extend(flip_time(self.time.0));
        if self.rank > 0 {
            bytes.extend([self.rank]);
        }
    }

    /// The position of a touchpoint of this moment.
    pub fn position(self, id_and_spoke: &[u8], home: Option<PersonId>) -> Vec<u8> {
        let mut position = Vec::with_capacity(id_and_spoke.len() + 26);
        self.push(&mut position);
        position.extend_from_slice(id_and_spoke);
        if let Some(home) = home {
            push_home(&mut position, home);
        }
        position
    }

    /// What a position begins with, and what follows: its key in the index.
    pub fn split(position: &[u8]) -> Option<(Moment, &[u8])> {
        let (time, rest) = position.split_first_chunk::<8>()?;
        let time = unflip_time(*time);
        Some(match rest.split_first() {
            Some((&rank @ 1..=RANK_MAX, rest)) => (Moment { time, rank }, rest),
            _ => (Moment { time, rank: 0 }, rest),
        })
    }
}

/// Appends a (spoke, id) as index keys have it.
pub fn push_id(key: &mut Vec<u8>, id: &str, spoke: &str) {
    key.extend_from_slice(id.as_bytes());
    key.push(0);
    key.extend_from_slice(spoke.as_bytes());
}

/// Appends what marks a copy of another home's touchpoint.
pub fn push_home(key: &mut Vec<u8>, home: PersonId) {
    key.push(0);
    key.extend_from_slice(&home.0);
}

/// What a position, or the key of an index after its person, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'k> {
    /// id, 0x00, spoke.
    pub id_and_spoke: &'k [u8],
    /// Whose touchpoint it is a copy of; `None`: the home's own.
    pub home: Option<PersonId>,
}

impl<'k> Place<'k> {
    /// Of a position: its time is left out.
    pub fn of_position(position: &'k [u8]) -> Option<Place<'k>> {
        Place::of_index(Moment::split(position)?.1)
    }

    /// Of an index key after its person.
    pub fn of_index(rest: &'k [u8]) -> Option<Place<'k>> {
        let zero = |bytes: &[u8]| bytes.iter().position(|&byte| byte == 0);
        let spoke_at = zero(rest)? + 1;
        match zero(&rest[spoke_at..]) {
            None => Some(Place { id_and_spoke: rest, home: None }),
            Some(length) => {
                let (id_and_spoke, home) = rest.split_at(spoke_at + length);
                Some(Place { id_and_spoke, home: Some(PersonId(home[1..].try_into().ok()?)) })
            }
        }
    }
}

/// Value of an index entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// With the id and spoke of the touchpoint, its position.
    pub at: Moment,
    /// [`Touchpoint::content_hash`].
    pub content_hash: u128,
    /// Which reading of its department's topic has met it last; of a copy its home alone knows.
    pub reading: u32,
}

impl IndexEntry {
    /// The stored form.
    pub fn encode(self) -> impl std::ops::Deref<Target = [u8]> {
        let mut bytes: smallvec::SmallVec<[u8; 29]> = smallvec::SmallVec::new();
        self.at.push(&mut bytes);
        bytes.extend_from_slice(&self.content_hash.to_be_bytes());
        if self.reading > 0 {
            bytes.extend_from_slice(&self.reading.to_be_bytes());
        }
        bytes
    }

    /// From the stored form.
    pub fn decode(bytes: &[u8]) -> Result<IndexEntry, StoreError> {
        let wrong = || damaged("index entry", "24, 25, 28 or 29 bytes expected");
        let has_rank = !bytes.len().is_multiple_of(4);
        let (at, rest) = bytes.split_at_checked(if has_rank { 9 } else { 8 }).ok_or_else(wrong)?;
        let (hash, reading) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        Ok(IndexEntry {
            at: match at.split_first_chunk::<8>().ok_or_else(wrong)? {
                (time, []) => Moment { time: unflip_time(*time), rank: 0 },
                (time, &[rank @ 1..=RANK_MAX]) => Moment { time: unflip_time(*time), rank },
                _ => return Err(wrong()),
            },
            content_hash: u128::from_be_bytes(*hash),
            reading: match reading {
                [] => 0,
                reading => u32::from_be_bytes(reading.try_into().map_err(|_| wrong())?),
            },
        })
    }

    /// The position of the touchpoint that it names.
    pub fn position(self, id_and_spoke: &[u8], home: Option<PersonId>) -> Vec<u8> {
        self.at.position(id_and_spoke, home)
    }
}
