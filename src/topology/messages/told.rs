//! What metrics is told besides contributions: whether alerts are to be told, which of them somebody has seen, and by other partitions of
//! it what they know of departments.
//!
//! ```text
//! record = 10 · postcard(Told)
//! ```
//! Golden file: `tests/fixtures/told_v10.hex`.

use serde::{Deserialize, Serialize};

use super::Unreadable;
use crate::model::{Acknowledgement, AlertId, DepartmentNews};

/// The first byte of such a record.
pub const VERSION_TOLD: u8 = 10;

/// A word to partitions of metrics, to every one where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// A partition of customers, by number, has nothing of a backlog left, or has one (again). Every contribution of what it
    /// took in before is before it.
    Live(u32, bool),
    /// An alert was seen.
    Acknowledged(AlertId, Acknowledgement),
    /// For the partition of analyses alone.
    Department(DepartmentNews),
}

/// Writes the record.
pub fn encode(told: &Told, record: &mut Vec<u8>) {
    record.clear();
    record.push(VERSION_TOLD);
    postcard::to_io(told, record).expect("a vector takes every byte");
}

/// What a record says, if it is one.
pub fn open(record: &[u8]) -> Result<Option<Told>, Unreadable> {
    match record.split_first() {
        Some((&VERSION_TOLD, rest)) => postcard::from_bytes(rest).map(Some).map_err(|_| Unreadable("told")),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Day, EventTime, Outcome};

    #[test]
    fn it_travels_in_the_form_of_the_golden_file_and_is_read_as_written() {
        let seen = Acknowledgement { number: 300, at: EventTime(1_769_850_000_000), by: "mo".into() };
        let mut digits = String::new();
        let opened = DepartmentNews::Alert(AlertId([7; 16]), Some(("support".into(), Day(20_514))));
        let arrived = [(Outcome::Accepted, 300), (Outcome::Late, 2)].into();
        for told in [
            Told::Live(3, true),
            Told::Live(300, false),
            Told::Acknowledged(AlertId([6; 16]), seen),
            Told::Department(opened),
            Told::Department(DepartmentNews::Alert(AlertId([7; 16]), None)),
            Told::Department(DepartmentNews::Arrived("support".into(), Day(20_514), arrived)),
        ] {
            let mut record = Vec::new();
            encode(&told, &mut record);
            assert_eq!(open(&record).expect("readable"), Some(told));
            assert!(open(&record[..record.len() - 1]).is_err());
            digits += &(record.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
        }
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/told_v10.hex");
        expect_test::expect_file![golden].assert_eq(&digits);
        assert_eq!(open(&[9, 1]).expect("another form"), None);
    }
}
