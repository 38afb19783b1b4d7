//! The records of the repartition topics: batches, so that one record carries many touchpoints or contributions.
//!
//! ```text
//! record   = form(1) · header · entry*
//! header   = postcard(Header), in the form with arrivals followed by postcard(Arrivals), in that of a reading by what
//!            [`super::readings`] says
//! entry to customers = person(16) · length(u32 LE) · touchpoint (its internal form)
//! entry to metrics   = postcard(Contribution)
//! ```

pub mod backlog;
pub mod moves;
pub mod told;

use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        generation::Generation,
        log::{LogError, Output, Placement},
        stage::{Outputs, StageError},
        topics::TopicIndex,
    },
    model::{Arrivals, Contribution, Day, EventTime, PersonId},
};

/// The first byte of a batch.
pub const VERSION: u8 = 2;
/// The first byte of a batch to metrics that says what arrived from a department, before its entries. Golden file:
/// `tests/fixtures/arrivals_v3.hex`.
pub const VERSION_WITH_ARRIVALS: u8 = 3;

/// A batch is sent when it is this large.
pub const BATCH_BYTES: usize = 64 << 10;
/// Or when so many contributions are in it. Who takes it changes at most so many cells before it can commit.
pub const CONTRIBUTIONS_MAX: usize = 500;

/// What travels with every batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The newest accepted touchpoint that the sender knows of.
    pub as_of: Option<EventTime>,
    /// Whose watermark `watermark` is.
    pub source: u32,
    /// Nothing much older than this is expected from that source; `None` while it is idle.
    pub watermark: Option<EventTime>,
    /// The day, in the hub's time zone, on which the newest source record in the batch arrived.
    pub arrived: Day,
    /// By which generation the contributions in it were computed; `None`: none that depends on one is in it.
    pub generation: Option<Generation>,
    /// Whether `source` has computed anew, for that generation, all that it keeps: this batch and those before have it.
    pub refolded: bool,
}

impl Header {
    /// The header of a batch that says nothing of time.
    pub fn timeless(arrived: Day, generation: Option<Generation>) -> Header {
        Header { as_of: None, source: u32::MAX, watermark: None, arrived, generation, refolded: false }
    }
}

/// Sends one record to every partition of an internal topic.
pub(super) fn send_to_all(
    outputs: &mut dyn Outputs,
    topic: TopicIndex,
    partitions: i32,
    record: &[u8],
) -> Result<(), LogError> {
    for partition in 0..partitions {
        outputs.send(&Output {
            topic,
            placement: Placement::At(partition),
            key: &[],
            value: Some(record),
            headers: &[],
            timestamp_ms: None,
        })?;
    }
    Ok(())
}

/// Bytes that no version of this program wrote.
#[derive(Debug, thiserror::Error)]
#[error(
    "a repartition record cannot be read ({0}): instances of different versions are running, or others write to internal topics"
)]
pub struct Unreadable(pub &'static str);

impl From<Unreadable> for StageError {
    fn from(error: Unreadable) -> StageError {
        StageError::Stop(error.to_string())
    }
}

/// A batch that is being filled for one partition.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<u8>,
    contributions: usize,
    /// Timestamp of the oldest source record in it, in milliseconds.
    pub oldest_ms: Option<i64>,
}

impl Batch {
    /// Whether it should go out.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_BYTES || self.contributions >= CONTRIBUTIONS_MAX
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes the timestamp of a source record.
    pub fn note_timestamp(&mut self, timestamp_ms: i64) {
        if timestamp_ms > 0 {
            self.oldest_ms = Some(self.oldest_ms.map_or(timestamp_ms, |oldest| oldest.min(timestamp_ms)));
        }
    }

    /// Adds a touchpoint: `encode` appends its internal form.
    pub fn push_touchpoint(&mut self, person: PersonId, encode: impl FnOnce(&mut Vec<u8>)) {
        self.entries.extend_from_slice(&person.0);
        let length_at = self.entries.len();
        self.entries.extend_from_slice(&[0; 4]);
        encode(&mut self.entries);
        let length =
            u32::try_from(self.entries.len() - length_at - 4).expect("a touchpoint is bounded far below 4 GiB");
        self.entries[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Adds a contribution.
    pub fn push_contribution(&mut self, contribution: &Contribution<'_>) {
        postcard::to_io(contribution, &mut self.entries).expect("a vector takes every byte");
        self.contributions += 1;
    }

    /// Writes the record into `record` and empties the batch.
    pub fn take(&mut self, header: &Header, record: &mut Vec<u8>) {
        record.clear();
        record.push(VERSION);
        postcard::to_io(header, &mut *record).expect("a vector takes every byte");
        record.extend_from_slice(&self.entries);
        self.clear();
    }

    /// [`Batch::take`], with a report of arrivals before the entries.
    pub fn take_with_arrivals(&mut self, header: &Header, arrivals: &Arrivals<'_>, record: &mut Vec<u8>) {
        self.take_with(VERSION_WITH_ARRIVALS, header, arrivals, record);
    }

    /// [`Batch::take`] in another form: `word` goes before the entries.
    pub fn take_with(&mut self, version: u8, header: &Header, word: &impl Serialize, record: &mut Vec<u8>) {
        record.clear();
        record.push(version);
        postcard::to_io(header, &mut *record).expect("a vector takes every byte");
        postcard::to_io(word, &mut *record).expect("a vector takes every byte");
        record.extend_from_slice(&self.entries);
        self.clear();
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.contributions = 0;
        self.oldest_ms = None;
    }
}

/// The header of a record, and its entries still to be read.
pub fn open(record: &[u8]) -> Result<(Header, &[u8]), Unreadable> {
    match record.split_first() {
        Some((&VERSION, rest)) => postcard::take_from_bytes(rest).map_err(|_| Unreadable("header")),
        Some(_) => Err(Unreadable("version")),
        None => Err(Unreadable("empty")),
    }
}

/// The header of a record to metrics, what it says of arrivals, and its entries still to be read.
pub fn open_with_arrivals(record: &[u8]) -> Result<(Header, Option<Arrivals<'_>>, &[u8]), Unreadable> {
    let Some((&VERSION_WITH_ARRIVALS, rest)) = record.split_first() else {
        return open(record).map(|(header, entries)| (header, None, entries));
    };
    let (header, rest) = postcard::take_from_bytes(rest).map_err(|_| Unreadable("header"))?;
    let (arrivals, entries) = postcard::take_from_bytes(rest).map_err(|_| Unreadable("arrivals"))?;
    Ok((header, Some(arrivals), entries))
}

/// The next touchpoint of a batch, in its internal form.
pub fn next_touchpoint<'a>(entries: &mut &'a [u8]) -> Result<Option<(PersonId, &'a [u8])>, Unreadable> {
    if entries.is_empty() {
        return Ok(None);
    }
    let (person, rest) = entries.split_first_chunk::<16>().ok_or(Unreadable("person"))?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Unreadable("length"))?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Unreadable("length"))?;
    let (encoded, rest) = rest.split_at_checked(length).ok_or(Unreadable("touchpoint"))?;
    *entries = rest;
    Ok(Some((PersonId(*person), encoded)))
}

/// The next contribution of a batch.
pub fn next_contribution<'a>(entries: &mut &'a [u8]) -> Result<Option<Contribution<'a>>, Unreadable> {
    if entries.is_empty() {
        return Ok(None);
    }
    let (contribution, rest) = postcard::take_from_bytes(entries).map_err(|_| Unreadable("contribution"))?;
    *entries = rest;
    Ok(Some(contribution))
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::model::{Outcome, Reason};

    fn arrivals() -> Arrivals<'static> {
        Arrivals {
            spoke: "sales",
            topic: "sales.orders",
            partition: 3,
            next_offset: 1_250,
            records: 7,
            arrived: Some((EventTime(1_769_850_000_000), EventTime(1_769_850_000_123))),
            newest_occurred_at: Some(EventTime(1_769_849_999_000)),
            rejections: vec![(Reason::UnknownSchema, 1), (Reason::BadTimestamp, 2)],
            unmapped_kinds: vec![("order.archived", 2)],
            unmapped_kinds_unnamed: 1,
            schemas: vec![("id:17".to_owned(), 6, Some(EventTime(1_769_850_000_123)))],
            schemas_unnamed: 0,
        }
    }

    #[test]
    fn a_report_of_arrivals_travels_before_the_entries_in_the_form_of_the_golden_file() {
        let quality = super::super::ingest::quality("sales", Day(20_484), Outcome::Accepted, 4);
        let header = Header::timeless(Day(20_484), None);
        let (mut batch, mut record) = (Batch::default(), Vec::new());
        batch.push_contribution(&quality[0]);
        batch.take_with_arrivals(&header, &arrivals(), &mut record);
        let lines: String = record
            .chunks(40)
            .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n")
            .collect();
        expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/arrivals_v3.hex")].assert_eq(&lines);

        let (read, report, mut entries) = open_with_arrivals(&record).expect("the form that was written");
        assert_eq!((read, report), (header, Some(arrivals())));
        assert_eq!(next_contribution(&mut entries).expect("readable").as_ref(), Some(&quality[0]));
        assert!(entries.is_empty());
        assert!(open(&record).is_err(), "those who know no reports do not pass over them");
        for length in 0..record.len() - 1 {
            let cut = open_with_arrivals(&record[..length]);
            let contribution =
                cut.and_then(|(_, _, mut entries)| next_contribution(&mut entries).map(|it| it.is_some()));
            assert!(!matches!(contribution, Ok(true)), "{length} bytes are not the whole record");
        }
    }

    #[test]
    fn a_batch_without_a_report_is_read_as_before() {
        let quality = super::super::ingest::quality("sales", Day(1), Outcome::Rejected, 2);
        let (mut batch, mut record) = (Batch::default(), Vec::new());
        batch.push_contribution(&quality[0]);
        batch.take(&Header::timeless(Day(1), None), &mut record);
        let (_, report, mut entries) = open_with_arrivals(&record).expect("a batch");
        assert_eq!(report, None);
        assert!(next_contribution(&mut entries).expect("readable").is_some());
    }
}
