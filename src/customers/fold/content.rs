//! Whether content is credible: who consumed it in a month and went on within 30 days, and who was active without it; of the
//! company, and of each dimension value by itself.
//!
//! ```text
//!              consumes                             a later purchase or phase, within 30 days
//! (none) ─────────────────────────▶ consumer ──────────────────────────▶ consumer who went on
//!    │ is active                        ▲ consumes: counted anew from there
//!    └───────▶ other ───────────────────┤
//!                └──▶ other who went on ┘
//! ```
//!
//! A person is one of these for each month and value. [`Seen`](super::seen::Seen) knows what they are in the current month, and
//! where a touchpoint is the first. Here are those of any month who may still go on: whoever did, or whose 30 days are over, needs
//! nothing more than that.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{
    facts::Facts,
    head::{Head, READERS_BYTES_MAX},
    place::{DimensionValue, KeptDimensions},
    seen::{CONSUMED, OTHER, WENT_ON},
};
use crate::model::{Day, Dimension, EventTime, Kind, Phase, WindowKind};

/// How long after the touchpoint that counts a person may go on, in milliseconds: 30 days.
const GOES_ON_WITHIN_MS: i64 = 30 * 86_400_000;
/// The most bytes that a reader takes besides its values.
const READER_BYTES: usize = 24;
/// The most that the dimension and the length of a value take besides its text.
const VALUE_BYTES: usize = 4;

/// What a touchpoint changes of who is counted, besides what `seen` says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// A bit for each value of the place for which the person is not counted from it on: there is no room to follow them.
    not_followed: u16,
    /// Who went on with it.
    pub went_on: Vec<WentOn>,
}

impl Content {
    /// Whether the person is followed for this value of the place.
    pub fn is_followed(&self, at: usize) -> bool {
        self.not_followed >> at & 1 == 0
    }
}

/// The person went on for these values of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WentOn {
    /// The first day of the month.
    pub month: Day,
    /// Whether the person consumed content in it.
    pub consumed: bool,
    /// The values.
    pub values: KeptDimensions,
}

/// A touchpoint from which on the person is counted for some values, and did not go on so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reader {
    /// When it happened.
    since: EventTime,
    /// The first day of its month.
    month: Day,
    /// The phase that it left the person in.
    phase: Phase,
    /// Whether the person consumed content with it.
    consumed: bool,
    /// The values that it was the first for.
    values: KeptDimensions,
}

impl Reader {
    fn expects(&self, at: EventTime) -> bool {
        at.0 <= self.since.0.saturating_add(GOES_ON_WITHIN_MS)
    }
}

/// Those who may still go on: oldest first, and never one in an earlier phase than the person is in, since it went on.
/// [`READERS_BYTES_MAX`] at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readers(Vec<Reader>);

impl Readers {
    fn forget_what_is_over(&mut self, at: EventTime) {
        let over = self.0.partition_point(|reader| !reader.expects(at));
        self.0.drain(..over);
    }

    /// Where content is consumed for the first time in a month the person is none of the others any more.
    fn take_back(&mut self, month: Day, taken: &[&DimensionValue<'_>]) {
        let is_taken = |value: &DimensionValue<'_>| {
            taken.iter().any(|taken| (taken.dimension, taken.value) == (value.dimension, value.value))
        };
        for reader in self.0.iter_mut().rev().take_while(|reader| reader.month == month) {
            if !reader.consumed && reader.values.values().any(|value| is_taken(&value)) {
                reader.values = KeptDimensions::of_values(reader.values.values().filter(|value| !is_taken(value)));
            }
        }
        self.0.retain(|reader| reader.values.bytes() > 0);
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|reader| READER_BYTES + reader.values.bytes()).sum()
    }
}

/// After everything else of the touchpoint was observed: purchases and phase are those that it leaves. `met_in`: the phase in
/// which it met the person.
pub(super) fn observe_content(head: &mut Head, facts: &mut Facts<'_, '_>, met_in: Phase) {
    let (at, phase) = (facts.touchpoint.occurred_at, head.phase());
    let month = facts.place.windows[WindowKind::Month as usize].start;
    let consumed = facts.touchpoint.kind == Kind::ContentConsumed;
    let readers = &mut head.readers;
    readers.forget_what_is_over(at);
    let seen_first = || facts.place.values.iter().zip(&facts.first_seen).enumerate();
    if consumed {
        let is_taken = |first: u16| first & (OTHER | WENT_ON) == OTHER;
        let taken: SmallVec<[_; 10]> =
            seen_first().filter(|(_, (_, first))| is_taken(**first)).map(|(_, (value, _))| value).collect();
        if !taken.is_empty() {
            readers.take_back(month, &taken);
        }
    }
    // Otherwise there is nobody who goes on: not one was left in an earlier phase.
    if facts.purchase || phase > met_in {
        for reader in readers.0.extract_if(.., |reader| facts.purchase || phase > reader.phase) {
            if !reader.consumed && reader.month == month {
                reader.values.values().for_each(|value| head.seen.went_on(value.hash));
            }
            let Reader { month, consumed, values, .. } = reader;
            facts.content.went_on.push(WentOn { month, consumed, values });
        }
    }
    let bit = if consumed { CONSUMED } else { OTHER };
    if facts.first_seen.iter().all(|first| first & bit == 0) {
        return;
    }
    let mut room = READERS_BYTES_MAX.saturating_sub(readers.bytes() + READER_BYTES);
    let mut followed: SmallVec<[&DimensionValue<'_>; 10]> = SmallVec::new();
    let mut not_followed = 0;
    for (index, (value, _)) in seen_first().filter(|(_, (_, first))| **first & bit != 0) {
        let bytes = VALUE_BYTES + value.value.len();
        if value.dimension == Dimension::Company || bytes <= room {
            room = room.saturating_sub(bytes);
            followed.push(value);
        } else {
            not_followed |= 1 << index;
            if !consumed {
                head.seen.is_not_followed(value.hash);
            }
        }
    }
    if !followed.is_empty() {
        let values = KeptDimensions::of_values(followed);
        readers.0.push(Reader { since: at, month, phase, consumed, values });
    }
    facts.content.not_followed = not_followed;
    facts.capped |= not_followed != 0;
}
