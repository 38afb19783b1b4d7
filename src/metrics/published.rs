//! What was published of an analysis: whether it is due again, its status and its revision, as they are stored.

use super::MetricsError;
use crate::model::Status;

/// Version of the stored form. Golden file: `tests/fixtures/metrics_store_v1.txt`.
const VERSION: u8 = 1;

/// In place of a status: nothing is published.
const NO_STATUS: u8 = u8::MAX;

/// What was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) due: bool,
    /// `None`: nothing is.
    pub(super) status: Option<Status>,
    pub(super) revision: u64,
}

impl Published {
    pub(super) fn decode(bytes: &[u8]) -> Result<Published, MetricsError> {
        let corrupted = || MetricsError::Corrupted { what: "what was published of an analysis" };
        let &[VERSION, due, status, ref revision @ ..] = bytes else { return Err(corrupted()) };
        Ok(Published {
            due: due != 0,
            status: match status {
                NO_STATUS => None,
                status => Some(*Status::ALL.get(usize::from(status)).ok_or_else(corrupted)?),
            },
            revision: postcard::from_bytes(revision).map_err(|_| corrupted())?,
        })
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let start = vec![VERSION, u8::from(self.due), self.status.map_or(NO_STATUS, |status| status as u8)];
        postcard::to_extend(&self.revision, start).expect("a vector takes every byte")
    }
}
