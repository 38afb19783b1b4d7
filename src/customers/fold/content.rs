//! Whether content is credible: who consumed it in a window and went on within 30 days, and who was active without it; of the
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
//! A person is one of these for each window and value. [`Seen`](super::seen::Seen) knows where a touchpoint is the first; what
//! follows it is the same for all that it is the first in, so that a head keeps it once.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::{
    facts::Facts,
    head::{Head, READERS_MAX, TEXTS_BYTES_MAX},
    place::{Blob, DimensionValue, Place, windows_of},
    seen::{CONSUMED, OTHER},
};
use crate::model::{Day, Dimension, EventTime, Kind, Phase, Window};

/// How long after the touchpoint that counts a person may go on, in milliseconds: 30 days.
const GOES_ON_WITHIN_MS: i64 = 30 * 86_400_000;

/// What a touchpoint changes of who is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Whether the person is counted from it on, where it is the first: by what `seen` says of it.
    pub begins: bool,
    /// What it changes of those who were counted before.
    pub changed: Vec<Changed>,
}

/// A change of what is counted where an earlier touchpoint was the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The day of that touchpoint.
    day: Day,
    /// Consumers of whom it is known now that they went on.
    pub consumers_who_went_on: i64,
    /// Persons who were active and did not consume.
    pub others: i64,
    /// Those of them who went on.
    pub others_who_went_on: i64,
    /// In which windows, of which dimension, for which value: in postcard.
    values: Vec<u8>,
}

impl Changed {
    /// Calls for each value and window.
    pub fn each(&self, mut each: impl FnMut(&DimensionValue<'_>, Window)) {
        let windows = windows_of(self.day);
        let mut rest = &*self.values;
        while let Ok(((counted, dimension, value), left)) = postcard::take_from_bytes::<(u8, Dimension, &str)>(rest) {
            let value = DimensionValue::new(dimension, value);
            for (index, &window) in windows.iter().enumerate() {
                if counted >> index & 1 == 1 {
                    each(&value, window);
                }
            }
            rest = left;
        }
    }
}

/// A touchpoint from which on the person is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reader {
    /// When it happened,
    since: EventTime,
    /// and on which day.
    day: Day,
    /// The phase that it left the person in.
    phase: Phase,
    /// Whether the person consumed content with it.
    consumed: bool,
    /// Whether the person went on.
    went_on: bool,
    /// For how many values it was the first.
    values: u8,
}

impl Reader {
    fn expects(&self, at: EventTime) -> bool {
        at.0 <= self.since.0.saturating_add(GOES_ON_WITHIN_MS)
    }

    /// In which of these windows, none of which is earlier than its own, it lies: bit 0 is the day, 1 the week, 2 the month.
    fn lies_in(&self, windows: &[Window; 3]) -> u8 {
        (0..3).filter(|&index| windows[index].start <= self.day).map(|index| 1 << index).sum()
    }

    /// Whether something that is not earlier can change what is counted: who went on, or, while its windows last, who consumed
    /// content after all.
    fn can_change(&self, at: EventTime, windows: &[Window; 3]) -> bool {
        (!self.went_on && self.expects(at)) || (!self.consumed && self.lies_in(windows) != 0)
    }

    fn goes_on(&self, bought: bool, phase: Phase) -> bool {
        !self.went_on && (bought || phase > self.phase)
    }
}

/// A value that a touchpoint was the first for: where its text is, and in which windows, as [`Reader::lies_in`] has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    text: u32,
    windows: u8,
}

/// Values of dimensions, each once: in postcard, one after the other, known by where they begin. Touchpoints of one person share most
/// of theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Texts(Vec<u8>);

impl Serialize for Texts {
    // As one piece: a sequence would be written byte by byte.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Texts, D::Error> {
        Ok(Texts(deserializer.deserialize_bytes(Blob)?.to_vec()))
    }
}

impl Texts {
    fn next(&self) -> u32 {
        u32::try_from(self.0.len()).expect("a head is far smaller than four gigabytes")
    }

    /// What begins there, and how long it is.
    fn at(&self, begins: u32) -> Option<(Dimension, &str, usize)> {
        let bytes = self.0.get(begins as usize..)?;
        let ((dimension, value), rest) = postcard::take_from_bytes(bytes).ok()?;
        Some((dimension, value, bytes.len() - rest.len()))
    }

    /// Where each value of a place begins, if it is there.
    fn find(&self, place: &Place<'_>) -> SmallVec<[Option<u32>; 10]> {
        let mut found = SmallVec::from_elem(None, place.values.len());
        let mut begins = 0;
        while let Some((dimension, value, length)) = self.at(begins) {
            let is_it = |it: &DimensionValue<'_>| it.dimension == dimension && it.value == value;
            if let Some(index) = place.values.iter().position(is_it) {
                found[index] = Some(begins);
            }
            begins += u32::try_from(length).expect("a part of what is far smaller");
        }
        found
    }

    fn push(&mut self, value: &DimensionValue<'_>) -> u32 {
        let begins = self.next();
        postcard::to_io(&(value.dimension, value.value), &mut self.0).expect("a vector takes every byte");
        begins
    }

    /// Keeps what is counted, and nothing else.
    fn keep(&mut self, counted: &mut [Counted]) {
        let mut kept: Vec<(u32, u32)> = counted.iter().map(|counted| (counted.text, 0)).collect();
        kept.sort_unstable();
        kept.dedup();
        let mut texts = Texts(Vec::with_capacity(self.0.len()));
        for (before, after) in &mut kept {
            *after = texts.next();
            if let Some((_, _, length)) = self.at(*before) {
                texts.0.extend_from_slice(&self.0[*before as usize..][..length]);
            }
        }
        for counted in counted {
            if let Ok(index) = kept.binary_search_by_key(&counted.text, |&(before, _)| before) {
                counted.text = kept[index].1;
            }
        }
        *self = texts;
    }
}

/// From which touchpoints on a person is counted. A head keeps those of the current week and month, and earlier ones whose 30
/// days are not over: [`READERS_MAX`] at most, of [`TEXTS_BYTES_MAX`] of values, and whoever has so many is not counted from further
/// ones on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readers {
    /// Oldest first.
    readers: Vec<Reader>,
    /// What each is counted for, one after the other.
    counted: Vec<Counted>,
    texts: Texts,
}

impl Readers {
    fn are_full(&self) -> bool {
        self.readers.len() >= READERS_MAX || self.texts.0.len() >= TEXTS_BYTES_MAX
    }

    /// Forgets what nothing can change any more, if the oldest is of that kind.
    fn forget(&mut self, at: EventTime, windows: &[Window; 3]) {
        if self.readers.first().is_some_and(|oldest| !oldest.can_change(at, windows)) {
            self.forget_all(at, windows);
        }
    }

    fn forget_all(&mut self, at: EventTime, windows: &[Window; 3]) {
        let (mut read, mut kept) = (0, 0);
        self.readers.retain(|reader| {
            let end = (read + usize::from(reader.values)).min(self.counted.len());
            let can_change = reader.can_change(at, windows);
            if can_change {
                self.counted.copy_within(read..end, kept);
                kept += end - read;
            }
            read = end;
            can_change
        });
        self.counted.truncate(kept);
        self.texts.keep(&mut self.counted);
    }

    /// Calls for each with what it is counted for.
    fn each(&mut self, mut each: impl FnMut(&mut Reader, &mut [Counted], &Texts)) {
        let mut rest = &mut *self.counted;
        for reader in &mut self.readers {
            let length = usize::from(reader.values).min(rest.len());
            let (counted, left) = rest.split_at_mut(length);
            each(reader, counted, &self.texts);
            rest = left;
        }
    }

    /// A purchase, or a phase: whoever was counted in an earlier one goes on.
    fn go_on(&mut self, at: EventTime, bought: bool, phase: Phase, changed: &mut Vec<Changed>) {
        if !self.readers.iter().any(|reader| reader.goes_on(bought, phase)) {
            return;
        }
        self.each(|reader, counted, texts| {
            if reader.goes_on(bought, phase) && reader.expects(at) {
                reader.went_on = true;
                changed.push(Changed {
                    day: reader.day,
                    consumers_who_went_on: i64::from(reader.consumed),
                    others: 0,
                    others_who_went_on: i64::from(!reader.consumed),
                    values: said(counted.iter().map(|counted| (counted.windows, counted.text)), texts),
                });
            }
        });
    }

    /// Where content is consumed for the first time the person is none of the others any more.
    fn take_back(&mut self, facts: &Facts<'_, '_>, changed: &mut Vec<Changed>) {
        let found = self.texts.find(facts.place);
        let consumed: SmallVec<[(u32, u8); 10]> = found
            .iter()
            .zip(&facts.first_seen)
            .filter_map(|(&text, &first)| Some((text?, windows_in(first, CONSUMED))))
            .collect();
        self.each(|reader, counted, texts| {
            let same = reader.lies_in(&facts.place.windows);
            if reader.consumed || same == 0 {
                return;
            }
            let mut taken: SmallVec<[(u8, u32); 10]> = SmallVec::new();
            for counted in counted {
                let windows =
                    consumed.iter().find(|(text, _)| *text == counted.text).map_or(0, |&(_, windows)| windows);
                let windows = windows & same & counted.windows;
                if windows != 0 {
                    counted.windows &= !windows;
                    taken.push((windows, counted.text));
                }
            }
            if !taken.is_empty() {
                changed.push(Changed {
                    day: reader.day,
                    consumers_who_went_on: 0,
                    others: -1,
                    others_who_went_on: -i64::from(reader.went_on),
                    values: said(taken.into_iter(), texts),
                });
            }
        });
    }

    /// The person is counted from this touchpoint on where these bits say that it is the first.
    fn begin(&mut self, facts: &Facts<'_, '_>, bits: u32, phase: Phase) {
        let found = self.texts.find(facts.place);
        let mut values = 0;
        for ((value, &first), text) in facts.place.values.iter().zip(&facts.first_seen).zip(found) {
            let windows = windows_in(first, bits);
            if windows != 0 {
                let text = text.unwrap_or_else(|| self.texts.push(value));
                self.counted.push(Counted { text, windows });
                values += 1;
            }
        }
        let (since, consumed) = (facts.touchpoint.occurred_at, bits == CONSUMED);
        self.readers.push(Reader { since, day: facts.place.day, phase, consumed, went_on: false, values });
    }
}

/// The windows of a group of bits of `seen`.
fn windows_in(first: u32, bits: u32) -> u8 {
    ((first & bits) >> bits.trailing_zeros()) as u8
}

/// Values as a change says them: in which windows, and where the text is.
fn said(values: impl Iterator<Item = (u8, u32)>, texts: &Texts) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    for (windows, text) in values.filter(|&(windows, _)| windows != 0) {
        if let Some((dimension, value, _)) = texts.at(text) {
            postcard::to_io(&(windows, dimension, value), &mut bytes).expect("a vector takes every byte");
        }
    }
    bytes
}

/// After everything else of the touchpoint was observed: purchases and phase are those that it leaves.
pub(super) fn observe_content(head: &mut Head, facts: &mut Facts<'_, '_>) {
    let (at, windows, phase) = (facts.touchpoint.occurred_at, &facts.place.windows, head.phase());
    let readers = &mut head.readers;
    readers.forget(at, windows);
    let mut changed = Vec::new();
    readers.go_on(at, facts.purchase, phase, &mut changed);
    let bits = if facts.touchpoint.kind == Kind::ContentConsumed { CONSUMED } else { OTHER };
    if facts.first_seen.iter().any(|first| first & bits != 0) {
        if bits == CONSUMED {
            readers.take_back(facts, &mut changed);
        }
        if readers.are_full() {
            readers.forget_all(at, windows);
        }
        facts.content.begins = !readers.are_full();
        if facts.content.begins {
            readers.begin(facts, bits, phase);
        }
        facts.capped |= !facts.content.begins;
    }
    facts.content.changed = changed;
}
