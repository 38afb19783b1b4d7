//! What one source partition brought in the running transaction, counted on its way to the account of its department.

use std::collections::BTreeMap;

use crate::{
    engine::log::Record,
    ingest::Notes,
    metrics::spokes::{KINDS_MAX, SCHEMAS_MAX},
    model::{Arrivals, EventTime, Reason},
    wire::schemas::SchemaRef,
};

/// Characters of a kind's word that is published.
const WORD_CHARACTERS_MAX: usize = 64;
/// Digits in it: more of them are a number of something, and it may be somebody's.
const WORD_DIGITS_MAX: usize = 4;

/// The counts of one transaction.
#[derive(Debug, Default)]
pub(super) struct Tally {
    records: u64,
    next_offset: i64,
    arrived: Option<(EventTime, EventTime)>,
    /// Of the record that is being mapped.
    arrives: Option<EventTime>,
    unmapped_kinds: BTreeMap<String, u64>,
    unmapped_kinds_unnamed: u64,
    schemas: Vec<(SchemaRef, u64, Option<EventTime>)>,
    schemas_unnamed: u64,
}

impl Tally {
    /// A record is about to be taken.
    pub(super) fn arrives(&mut self, record: &Record<'_>) {
        // As brokers say that a record has none.
        self.arrives = (record.timestamp_ms >= 0).then_some(EventTime(record.timestamp_ms));
    }

    /// It was taken, whatever became of it.
    pub(super) fn taken(&mut self, record: &Record<'_>) {
        self.records += 1;
        self.next_offset = record.offset + 1;
        if let Some(at) = self.arrives {
            let (oldest, newest) = self.arrived.unwrap_or((at, at));
            self.arrived = Some((oldest.min(at), newest.max(at)));
        }
    }

    /// Records taken.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Touchpoints with a kind that has no mapping.
    pub(super) fn unmapped_kinds(&self) -> u64 {
        self.unmapped_kinds.values().sum::<u64>() + self.unmapped_kinds_unnamed
    }

    /// The report of the transaction. `rejections`: the reason of each.
    pub(super) fn report<'a>(
        &'a self,
        spoke: &'a str,
        (topic, partition): (&'a str, i32),
        newest_occurred_at: Option<EventTime>,
        rejections: impl Iterator<Item = Reason>,
    ) -> Arrivals<'a> {
        let mut by_reason: BTreeMap<Reason, u64> = BTreeMap::new();
        for reason in rejections {
            *by_reason.entry(reason).or_default() += 1;
        }
        Arrivals {
            spoke,
            topic,
            partition,
            next_offset: self.next_offset,
            records: self.records,
            arrived: self.arrived,
            newest_occurred_at,
            rejections: by_reason.into_iter().collect(),
            unmapped_kinds: self.unmapped_kinds.iter().map(|(word, &count)| (word.as_str(), count)).collect(),
            unmapped_kinds_unnamed: self.unmapped_kinds_unnamed,
            schemas: self.schemas.iter().map(|(schema, records, at)| (schema.short(), *records, *at)).collect(),
            schemas_unnamed: self.schemas_unnamed,
        }
    }
}

impl Notes for Tally {
    fn schema(&mut self, schema: SchemaRef) {
        let has_room = self.schemas.len() < SCHEMAS_MAX;
        match self.schemas.iter_mut().find(|(known, ..)| *known == schema) {
            Some((_, records, newest)) => {
                *records += 1;
                *newest = (*newest).max(self.arrives);
            }
            None if has_room => self.schemas.push((schema, 1, self.arrives)),
            None => self.schemas_unnamed += 1,
        }
    }

    fn unmapped_kind(&mut self, word: &str) {
        if let Some(count) = self.unmapped_kinds.get_mut(word) {
            *count += 1;
        } else if self.unmapped_kinds.len() < KINDS_MAX && is_a_word(word) {
            self.unmapped_kinds.insert(word.to_owned(), 1);
        } else {
            self.unmapped_kinds_unnamed += 1;
        }
    }
}

/// Whether it can be a word of a department's vocabulary. What a department puts there by mistake is its customers' business:
/// an address, a name, a sentence. So words with a space are not published: names have one.
fn is_a_word(word: &str) -> bool {
    word.chars().count() <= WORD_CHARACTERS_MAX
        && word.chars().filter(|c| c.is_numeric()).count() <= WORD_DIGITS_MAX
        && word.chars().any(char::is_alphabetic)
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_published() {
        for word in ["ticket.opened", "EmailOpened", "v2:order-placed", "Bestellung_geändert", "sla_24h", "ß"] {
            assert!(is_a_word(word), "{word}");
        }
        let long = "x".repeat(65);
        for other in [
            "ann@example.org",
            "+31 20 123 4567",
            "4711",
            "order 4711222",
            "3f2a1c77-9d0e",
            "",
            ". . .",
            "a\u{202e}b",
            "a\0b",
            "a\nb",
            "it's",
            "Ann Example",
            "https://x",
            long.as_str(),
        ] {
            assert!(!is_a_word(other), "{other:?}");
        }
    }

    #[test]
    fn what_has_no_name_is_counted_and_nothing_grows_without_bound() {
        let mut tally = Tally::default();
        for number in 0..200_u32 {
            let letters: String = format!("{number:03}").chars().map(|digit| char::from(digit as u8 + 49)).collect();
            tally.unmapped_kind(&letters);
            tally.schema(SchemaRef::Id(number));
        }
        tally.unmapped_kind("ann@example.org");
        tally.unmapped_kind("aaa");
        tally.schema(SchemaRef::Id(3));
        assert_eq!(tally.unmapped_kinds(), 202);
        let reasons = [Reason::WrongType, Reason::Undecodable, Reason::WrongType];
        let report = tally.report("sales", ("sales.events", 0), None, reasons.into_iter());
        assert_eq!(report.rejections, [(Reason::Undecodable, 1), (Reason::WrongType, 2)]);
        assert_eq!((report.unmapped_kinds.len(), report.unmapped_kinds_unnamed), (64, 137));
        assert_eq!(report.unmapped_kinds[0], ("aaa", 2));
        assert_eq!((report.schemas.len(), report.schemas_unnamed), (32, 168));
        assert_eq!(report.schemas[3], ("id:3".to_owned(), 2, None));
    }
}
