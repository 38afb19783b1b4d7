//! A department's topic is read again: what is said of it on the customers repartition topic, and what each customers
//! partition keeps of it.
//!
//! ```text
//! record = 6 · postcard(Header) · postcard(Says) · entries, as in other batches
//! ```
//! What comes after a note of a reading is of that reading, also from ingest, which knows none: the order of a partition
//! tells. So nothing but what is read again carries a number.
//!
//! ```text
//!            a note of a newer reading          each source partition has ended
//!   (over) ───────────────────────────▶ (reading) ───────────────────▶ (sweeping) ──── looked at everybody ───▶ (over)
//!                                          ⟲ a note of a newer reading ⟲
//! ```

mod plan;

pub(super) use plan::Wanted;
pub use plan::{Reported, RereadProgress, Rereading};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::messages::{self, Header, Unreadable};
use crate::{engine::stage::StageError, model::PersonId};

/// The first byte of a record to customers that is about a reading. Golden file: `tests/fixtures/readings_v6.hex`.
pub const VERSION_OF_A_READING: u8 = 6;
/// Version of what a customers partition keeps of a reading.
const STORED_VERSION: u8 = 1;

/// A reading of a department's topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading<'a> {
    /// The department.
    pub spoke: &'a str,
    /// The first that is told of is 1.
    pub number: u32,
    /// Hash of the mapping that it is read with.
    pub mapping: u64,
}

/// What a record says of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says<'a> {
    /// A customers partition to itself: everything that was there when it began to ask is before this.
    Asks {
        /// How often it has asked, over all its lives.
        attempt: u64,
    },
    /// The entries are of this reading.
    Touchpoints {
        /// Which.
        #[serde(borrow)]
        reading: Reading<'a>,
    },
    /// How far a source partition was read again: what is below was sent.
    Progress {
        /// Which.
        #[serde(borrow)]
        reading: Reading<'a>,
        /// The source partition.
        partition: i32,
        /// How far.
        far: Far,
    },
    /// A source partition was read again to its end: all touchpoints of it are before this.
    Ended {
        /// Which.
        #[serde(borrow)]
        reading: Reading<'a>,
        /// The source partition.
        partition: i32,
        /// How many the topic has.
        partitions: i32,
        /// Offsets at its beginning that retention has removed.
        missing: i64,
        /// Whether touchpoints of older readings are to be kept, whatever is missing.
        keeps: bool,
    },
}

impl<'a> Says<'a> {
    /// Which reading it is about, if it is about one.
    pub fn reading(self) -> Option<Reading<'a>> {
        match self {
            Says::Asks { .. } => None,
            Says::Touchpoints { reading } | Says::Progress { reading, .. } | Says::Ended { reading, .. } => {
                Some(reading)
            }
        }
    }
}

/// How far a source partition was read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Far {
    /// The next offset.
    pub next: i64,
    /// Offsets at its beginning that retention has removed.
    pub missing: i64,
}

/// What a customers partition keeps of the newest reading of a department.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its number.
    pub number: u32,
    /// Hash of the mapping that it is read with.
    pub mapping: u64,
    /// How far it is.
    pub phase: Phase,
}

/// How far a reading is, for a customers partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Touchpoints of it come.
    Reading {
        /// How far source partitions have come, of those that tell this one.
        far: BTreeMap<i32, Far>,
        /// Those that have ended, and what was missing of them.
        ended: BTreeMap<i32, i64>,
        /// Whether touchpoints of older readings are kept.
        keeps: bool,
    },
    /// Touchpoints of older readings are looked for.
    Sweeping {
        /// With whom to go on; `None`: with the first.
        next: Option<PersonId>,
        /// The offset of the note that ended the reading: tells the events of a sweep from those before.
        sequence: u64,
        /// Outcome so far.
        outcome: Swept,
    },
    /// Nothing is left to do.
    Over(Swept),
}

/// What came of the touchpoints of older readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// How many there were in this partition.
    pub older: u64,
    /// Whether they were kept, not removed.
    pub keeps: bool,
    /// Offsets of the source partitions that retention has removed.
    pub missing: i64,
}

impl Default for Phase {
    fn default() -> Phase {
        Phase::Over(Swept::default())
    }
}

impl Known {
    /// A reading of which the first note has come.
    pub fn begun(reading: Reading<'_>) -> Known {
        let phase = Phase::Reading { far: BTreeMap::new(), ended: BTreeMap::new(), keeps: false };
        Known { number: reading.number, mapping: reading.mapping, phase }
    }

    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// Takes a note of this very reading. `sequence`: its offset. Returns whether anything changed.
    pub fn hear(&mut self, says: Says<'_>, sequence: u64) -> bool {
        let Phase::Reading { far, ended, keeps } = &mut self.phase else {
            return false; // repeated by an attempt that did not know
        };
        match says {
            Says::Progress { partition, far: so_far, .. } => {
                let known = far.entry(partition).or_default();
                let changes = so_far.next > known.next;
                if changes {
                    *known = so_far;
                }
                changes
            }
            Says::Ended { partition, partitions, missing, keeps: one_keeps, .. } => {
                // Who goes on after an end that it did not know of knows less of what was missing.
                let known = ended.entry(partition).or_default();
                *known = missing.max(*known);
                *keeps |= one_keeps;
                if ended.len() >= usize::try_from(partitions).unwrap_or(0) {
                    let missing = ended.values().sum();
                    let outcome = Swept { older: 0, keeps: *keeps, missing };
                    self.phase = Phase::Sweeping { next: None, sequence, outcome };
                }
                true
            }
            Says::Asks { .. } | Says::Touchpoints { .. } => false,
        }
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![STORED_VERSION]).expect("a vector takes every byte")
    }

    /// From the stored form.
    pub fn decode(bytes: &[u8]) -> Option<Known> {
        postcard::from_bytes(bytes.strip_prefix(&[STORED_VERSION])?).ok()
    }
}

/// Why a hub does not run.
pub fn unfinished() -> StageError {
    StageError::Generation(
        "a department's topic is being read again, and that is not complete: finish it with `insight-hub rebuild \
         --from-sources`"
            .into(),
    )
}

/// The header of a record to customers, what it says of a reading, and its entries still to be read.
pub fn open(record: &[u8]) -> Result<(Header, Option<Says<'_>>, &[u8]), Unreadable> {
    let Some((&VERSION_OF_A_READING, rest)) = record.split_first() else {
        return messages::open(record).map(|(header, entries)| (header, None, entries));
    };
    let (header, rest) = postcard::take_from_bytes(rest).map_err(|_| Unreadable("header"))?;
    let (says, entries) = postcard::take_from_bytes(rest).map_err(|_| Unreadable("reading"))?;
    Ok((header, Some(says), entries))
}

#[cfg(test)]
mod tests;
