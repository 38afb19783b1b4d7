//! What each source says of its time in, what nothing much older is expected than out. Decides only `status`.
//!
//! ```text
//!            says a watermark          falls idle
//! (unknown) ─────────────────▶ active ───────────▶ idle
//!                                ⟲ a later day  ◀──── speaks again, perhaps of an earlier day
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::{Calendar, EventTime};

/// Bits of a source's number that say which partition it is; the others say which topic.
const PARTITION_BITS: u32 = 12;

/// The source partitions of a topology, by the numbers that their watermarks travel under.
///
/// A number is made of the topic's name, not of its place in a list: a spoke that comes or goes leaves the others as they are.
/// Two topics share their numbers once in a million pairs, and partitions past 4,096 share those of the first: such a pair
/// counts as one source, which can only change when a window is called final.
#[derive(Debug, Default)]
pub(super) struct Sources {
    topics: BTreeSet<u32>,
    /// Those that are known from the start; partitions may be added while the hub runs.
    expected: BTreeSet<u32>,
}

impl Sources {
    /// The sources of topics with so many partitions.
    pub(super) fn new<'a>(topics: impl Iterator<Item = (&'a str, i32)>) -> Sources {
        let mut sources = Sources::default();
        for (topic, partitions) in topics {
            sources.topics.insert(source_number(topic, 0) >> PARTITION_BITS);
            sources.expected.extend((0..partitions).map(|partition| source_number(topic, partition)));
        }
        sources
    }

    /// Those that are known from the start.
    pub(super) fn expected(&self) -> impl Iterator<Item = u32> {
        self.expected.iter().copied()
    }

    fn has(&self, source: u32) -> bool {
        self.topics.contains(&(source >> PARTITION_BITS))
    }
}

/// The number that a partition's watermark travels under.
pub(super) fn source_number(topic: &str, partition: i32) -> u32 {
    let mut head = [0; 4];
    head.copy_from_slice(&blake3::hash(topic.as_bytes()).as_bytes()[..4]);
    let partition = partition.unsigned_abs() & ((1 << PARTITION_BITS) - 1);
    // Never `u32::MAX`, which stands for no source.
    (u32::from_be_bytes(head) << PARTITION_BITS | partition).min(u32::MAX - 1)
}

/// What is known of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watermark {
    /// The last that it said; `None` if it fell idle before its first touchpoint.
    at: Option<EventTime>,
    idle: bool,
}

impl Watermark {
    /// The stored form: whether it is idle, then its time if it has one.
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.idle)];
        bytes.extend(self.at.iter().flat_map(|at| at.0.to_be_bytes()));
        bytes
    }

    /// From the stored form.
    pub(super) fn decode(bytes: &[u8]) -> Option<Watermark> {
        let (&idle, rest) = bytes.split_first().filter(|(idle, _)| **idle <= 1)?;
        let at = match rest {
            [] => None,
            rest => Some(EventTime(i64::from_be_bytes(rest.try_into().ok()?))),
        };
        Some(Watermark { at, idle: idle == 1 })
    }
}

/// The sources that were heard of.
#[derive(Debug, Default)]
pub(super) struct Watermarks {
    sources: Arc<Sources>,
    heard: BTreeMap<u32, Watermark>,
}

impl Watermarks {
    /// Nobody was heard of yet.
    pub(super) fn new(sources: Arc<Sources>) -> Watermarks {
        Watermarks { sources, heard: BTreeMap::new() }
    }

    /// Takes what was stored of a source.
    pub(super) fn put(&mut self, source: u32, watermark: Watermark) {
        self.heard.insert(source, watermark);
    }

    /// Takes what a source says (`None`: it is idle). Returns what is now to be stored, if it tells of another day or of
    /// falling asleep or waking up.
    pub(super) fn hear(&mut self, source: u32, says: Option<EventTime>, calendar: &Calendar) -> Option<Watermark> {
        let known = self.heard.get(&source).copied();
        let changed = match (known, says) {
            (Some(Watermark { idle: true, .. }), None) => return None,
            (known, None) => Watermark { at: known.and_then(|known| known.at), idle: true },
            (Some(Watermark { at: Some(at), idle: false }), Some(says)) if calendar.day(says) <= calendar.day(at) => {
                return None;
            }
            (_, Some(says)) => Watermark { at: Some(says), idle: false },
        };
        self.heard.insert(source, changed);
        Some(changed)
    }

    /// The last that a source said, to the day; `None` if it said nothing yet.
    pub(super) fn of(&self, source: u32) -> Option<EventTime> {
        self.heard.get(&source)?.at
    }

    /// Whether every source that is known from the start was heard of.
    pub(super) fn is_complete(&self) -> bool {
        self.sources.expected.iter().all(|source| self.heard.contains_key(source))
    }

    /// The lowest of those that are not idle. When all are, the highest: nobody is left to wait for. Nothing as long as one
    /// was never heard of: it may be about to speak of the past. What a topic said that is no longer read does not count.
    pub(super) fn lowest(&self) -> Option<EventTime> {
        if !self.is_complete() {
            return None;
        }
        let present = || self.heard.iter().filter(|(source, _)| self.sources.has(**source));
        let of = |idle: bool| present().filter(move |(_, it)| it.idle == idle).filter_map(|(_, it)| it.at);
        of(false).min().or_else(|| of(true).max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn at(day: i64) -> Option<EventTime> {
        Some(EventTime(day * DAY_MS))
    }

    #[test]
    fn an_idle_source_is_left_out_until_it_speaks_again() {
        let calendar = Calendar::utc();
        let sources = Sources::new([("a", 1), ("b", 2)].into_iter());
        let number = |source| match source {
            1 => source_number("a", 0),
            source => source_number("b", source - 2),
        };
        let mut watermarks = Watermarks::new(Arc::new(sources));
        assert_eq!(watermarks.lowest(), None);
        for (source, says, lowest) in [
            (1, at(10), None),
            (2, at(3), None), // the third may be about to speak of an earlier day
            (3, None, at(3)), // it never had a touchpoint
            (1, at(20), at(3)),
            (2, None, at(20)),
            (2, None, at(20)),
            (2, at(5), at(5)),
            (2, None, at(20)),
            (1, None, at(20)), // all are idle: as far as anybody came
            (2, at(6), at(6)),
        ] {
            watermarks.hear(number(source), says, &calendar);
            assert_eq!(watermarks.lowest(), lowest, "{source} says {says:?}");
        }
    }

    #[test]
    fn a_topic_that_is_no_longer_read_is_not_waited_for_and_a_new_partition_counts() {
        let calendar = Calendar::utc();
        let mut watermarks = Watermarks::new(Arc::new(Sources::new([("kept", 1)].into_iter())));
        watermarks.hear(source_number("gone", 0), at(2), &calendar);
        watermarks.hear(source_number("kept", 0), at(9), &calendar);
        assert_eq!(watermarks.lowest(), at(9));
        watermarks.hear(source_number("kept", 1), at(4), &calendar);
        assert_eq!(watermarks.lowest(), at(4), "it was added while the hub runs");
    }

    #[test]
    fn numbers_of_sources_are_the_same_for_ever() {
        // Watermarks are stored under them.
        let numbers = [("marketing.events", 0), ("marketing.events", 7), ("sales.events", 0), ("sales.events", 4_096)];
        let numbers = numbers.map(|(topic, partition)| source_number(topic, partition));
        assert_eq!(numbers, [933_019_648, 933_019_655, 567_808_000, 567_808_000]);
    }

    #[test]
    fn only_another_day_or_another_state_is_news() {
        let calendar = Calendar::utc();
        let mut watermarks = Watermarks::default();
        let mut hear = |says| watermarks.hear(1, says, &calendar).is_some();
        assert!(hear(at(1)));
        assert!(!hear(Some(EventTime(DAY_MS + 5))));
        assert!(!hear(at(0)));
        assert!(hear(at(2)));
        assert!(hear(None));
        assert!(!hear(None));
        assert!(hear(at(1)), "it wakes up, wherever it is");
    }

    #[test]
    fn the_stored_form_reads_the_same_for_ever() {
        let table = [
            (Watermark { at: Some(EventTime(258)), idle: false }, vec![0, 0, 0, 0, 0, 0, 0, 1, 2]),
            (Watermark { at: Some(EventTime(258)), idle: true }, vec![1, 0, 0, 0, 0, 0, 0, 1, 2]),
            (Watermark { at: None, idle: true }, vec![1]),
        ];
        for (watermark, bytes) in table {
            assert_eq!(watermark.encode(), bytes);
            assert_eq!(Watermark::decode(&bytes), Some(watermark));
        }
        for damaged in [&[][..], &[2], &[0, 1], &[0; 10]] {
            assert_eq!(Watermark::decode(damaged), None, "{damaged:?}");
        }
    }
}
