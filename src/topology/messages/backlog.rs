//! What ingest says to customers of one source partition: whether it takes in history.
//!
//! ```text
//! record = 9 · postcard(Header) · postcard(Intake)
//! ```
//! `source` of the header says which. Everything that the partition said before is before it. Golden file:
//! `tests/fixtures/backlog_v9.hex`.

use serde::{Deserialize, Serialize};

use super::{Batch, Header, Unreadable};

/// The first byte of such a record.
pub const VERSION_BACKLOG: u8 = 9;

/// What a source partition takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intake {
    /// It has been read to its end, and what comes has just happened; or nothing has come for long.
    News,
    /// There is more to read, or what comes happened days before it came.
    History,
    /// It has been read to its end, and nothing has come since it was opened: it is as it was said to be before, or empty.
    Nothing,
}

/// Writes the record.
pub fn encode(header: &Header, intake: Intake, record: &mut Vec<u8>) {
    Batch::default().take_with(VERSION_BACKLOG, header, &intake, record);
}

/// What a record says, if it is one.
pub fn open(record: &[u8]) -> Result<Option<(Header, Intake)>, Unreadable> {
    match record.split_first() {
        Some((&VERSION_BACKLOG, rest)) => postcard::from_bytes(rest).map(Some).map_err(|_| Unreadable("backlog")),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Day, EventTime};

    #[test]
    fn it_travels_in_the_form_of_the_golden_file_and_is_read_as_written() {
        let header =
            Header { as_of: Some(EventTime(1_769_850_000_000)), source: 258, ..Header::timeless(Day(20_484), None) };
        let mut record = Vec::new();
        encode(&header, Intake::History, &mut record);
        let digits = record.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/backlog_v9.hex");
        expect_test::expect_file![golden].assert_eq(&digits);
        assert_eq!(open(&record).expect("readable"), Some((header, Intake::History)));
        assert!(open(&record[..record.len() - 1]).is_err());
        let mut batch = Vec::new();
        Batch::default().take(&header, &mut batch);
        assert_eq!(open(&batch).expect("another form"), None);
    }
}
