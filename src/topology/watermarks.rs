//! What each source says of its time in, what nothing much older is expected than out. Decides only `status`.
//!
//! ```text
//!            says a watermark          falls idle
//! (unknown) ─────────────────▶ active ───────────▶ idle
//!                                ⟲ a later day  ◀──── speaks again, perhaps of an earlier day
//! ```

use std::collections::BTreeMap;

use crate::model::{Calendar, EventTime};

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
#[derive(Clone, Debug, Default)]
pub(super) struct Watermarks(BTreeMap<u32, Watermark>);

impl Watermarks {
    /// Takes what was stored of a source.
    pub(super) fn put(&mut self, source: u32, watermark: Watermark) {
        self.0.insert(source, watermark);
    }

    /// Takes what a source says (`None`: it is idle). Returns what is now to be stored, if it tells of another day or of
    /// falling asleep or waking up.
    pub(super) fn hear(&mut self, source: u32, says: Option<EventTime>, calendar: &Calendar) -> Option<Watermark> {
        let known = self.0.get(&source).copied();
        let changed = match (known, says) {
            (Some(Watermark { idle: true, .. }), None) => return None,
            (known, None) => Watermark { at: known.and_then(|known| known.at), idle: true },
            (Some(Watermark { at: Some(at), idle: false }), Some(says)) if calendar.day(says) <= calendar.day(at) => {
                return None;
            }
            (_, Some(says)) => Watermark { at: Some(says), idle: false },
        };
        self.0.insert(source, changed);
        Some(changed)
    }

    /// The lowest of those that are not idle. When all are, the highest: nobody is left to wait for.
    pub(super) fn lowest(&self) -> Option<EventTime> {
        let of = |idle: bool| self.0.values().filter(move |it| it.idle == idle).filter_map(|it| it.at);
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
        let mut watermarks = Watermarks::default();
        assert_eq!(watermarks.lowest(), None);
        for (source, says, lowest) in [
            (1, at(10), at(10)),
            (2, at(3), at(3)),
            (1, at(20), at(3)),
            (2, None, at(20)),
            (2, None, at(20)),
            (3, None, at(20)), // it never had a touchpoint
            (2, at(5), at(5)),
            (2, None, at(20)),
            (1, None, at(20)), // all are idle: as far as anybody came
            (2, at(6), at(6)),
        ] {
            watermarks.hear(source, says, &calendar);
            assert_eq!(watermarks.lowest(), lowest, "{source} says {says:?}");
        }
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
