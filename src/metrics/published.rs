//! What was published of an analysis: whether it is due again, its status and its revision, as they are stored.

use super::MetricsError;
use crate::model::Status;

/// Version of the stored form. Golden file: `tests/fixtures/metrics_store_v1.txt`.
const VERSION: u8 = 2;
/// The form before: it ends with the revision.
const WITHOUT_CONTENT: u8 = 1;

/// In place of a status: nothing is published.
const NO_STATUS: u8 = u8::MAX;

/// What was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) due: bool,
    /// `None`: nothing is.
    pub(super) status: Option<Status>,
    pub(super) revision: u64,
    /// Stands for what it said. `None`: that was not looked at.
    pub(super) content: Option<u64>,
}

impl Published {
    pub(super) fn decode(bytes: &[u8]) -> Result<Published, MetricsError> {
        let corrupted = || MetricsError::Corrupted { what: "what was published of an analysis" };
        let &[version @ (VERSION | WITHOUT_CONTENT), due, status, ref rest @ ..] = bytes else {
            return Err(corrupted());
        };
        let (revision, content) = match version {
            VERSION => postcard::from_bytes(rest),
            _ => postcard::from_bytes(rest).map(|revision| (revision, None)),
        }
        .map_err(|_| corrupted())?;
        Ok(Published {
            due: due != 0,
            status: match status {
                NO_STATUS => None,
                status => Some(*Status::ALL.get(usize::from(status)).ok_or_else(corrupted)?),
            },
            revision,
            content,
        })
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let start = vec![VERSION, u8::from(self.due), self.status.map_or(NO_STATUS, |status| status as u8)];
        postcard::to_extend(&(self.revision, self.content), start).expect("a vector takes every byte")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_is_read_as_written_and_so_is_the_one_before() {
        for content in [None, Some(0), Some(u64::MAX)] {
            for (due, status, revision) in [(true, None, 0), (false, Some(Status::Final), 300)] {
                let published = Published { due, status, revision, content };
                assert_eq!(Published::decode(&published.encode()).expect("it was written"), published);
            }
        }
        let before = Published::decode(&[1, 1, Status::Final as u8, 5]).expect("the form before");
        assert_eq!(before, Published { due: true, status: Some(Status::Final), revision: 5, content: None });
        for damaged in [&[][..], &[3, 1, 0, 5], &[2, 1, 0, 5], &[1, 1, 99, 5]] {
            assert!(Published::decode(damaged).is_err(), "{damaged:?}");
        }
    }
}
