//! What went wrong in; which reaction it demands out.

use crate::engine::log::commit_log::CommitLogError;

/// Shorthand.
pub type Result<T> = std::result::Result<T, AccessError>;

/// What is said when it cannot be done, named by what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Nothing of it happened: ask again later.
    #[error("{reason}; nothing of it happened, try again later")]
    Retry {
        /// What is in the way.
        reason: String,
    },
    /// It is not for you: ask something else.
    #[error("{reason}")]
    Denied {
        /// What is not allowed, and what is.
        reason: String,
    },
    /// The caller is mistaken: ask for what is there.
    #[error("{reason}")]
    Mistaken {
        /// What is wrong with the request, and what would be right.
        reason: String,
    },
    /// An offset beyond the end of a partition: begin again, what was read before is not the beginning of what is there.
    #[error(
        "offset {offset} of {partition} is beyond its end {end}; the log was replaced or lost what was not durable: read it from \
         its beginning"
    )]
    Beyond {
        /// Which partition.
        partition: String,
        /// What was asked for.
        offset: u64,
        /// The end.
        end: u64,
    },
    /// It is more than is taken at a time; nothing of it happened: divide it.
    #[error("{bytes} bytes are more than the {limit} bytes that are taken at a time; divide them")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// What is taken.
        limit: u64,
    },
    /// This hub cannot do it.
    #[error("{reason}")]
    Unsupported {
        /// What it cannot do, and which one can.
        reason: String,
    },
    /// Somebody has to look after the log first.
    #[error("{reason}; tell the operator of the hub")]
    Stop {
        /// What happened.
        reason: String,
    },
    /// The connection is lost. What was asked for is harmless to ask for again, or did not happen: connect again.
    #[error("the connection to the hub is lost ({reason}); see whether it runs, connect again and repeat")]
    Gone {
        /// How.
        reason: String,
    },
    /// The append may or may not have happened: connect again and repeat it.
    #[error(
        "the append may or may not have happened ({reason}); connect again and repeat it: that is safe for the hub, which counts a \
         touchpoint once, by its spoke and id"
    )]
    Unsure {
        /// Why nobody knows.
        reason: String,
    },
}

impl From<CommitLogError> for AccessError {
    /// Where nothing was appended.
    fn from(error: CommitLogError) -> Self {
        match error {
            CommitLogError::Full { file, reason } => Self::Retry { reason: format!("no room for {file} ({reason})") },
            CommitLogError::Refused { action, file, reason } => {
                Self::Retry { reason: format!("cannot {action} {file} ({reason})") }
            }
            CommitLogError::Broken { .. }
            | CommitLogError::Damaged { .. }
            | CommitLogError::Locked { .. }
            | CommitLogError::Format { .. } => Self::Stop { reason: error.to_string() },
            CommitLogError::Unknown(_) | CommitLogError::Topic { .. } | CommitLogError::NotEmpty { .. } => {
                Self::Mistaken { reason: error.to_string() }
            }
            CommitLogError::TooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            CommitLogError::OutOfRange { partition, offset, end } => Self::Beyond { partition, offset, end },
        }
    }
}

/// The error of an append, or of what makes it durable.
pub(super) fn of_append(error: CommitLogError) -> AccessError {
    match error {
        CommitLogError::Broken { .. } => AccessError::Unsure { reason: error.to_string() },
        CommitLogError::Full { .. }
        | CommitLogError::Refused { .. }
        | CommitLogError::Damaged { .. }
        | CommitLogError::Locked { .. }
        | CommitLogError::Format { .. }
        | CommitLogError::Unknown(_)
        | CommitLogError::Topic { .. }
        | CommitLogError::NotEmpty { .. }
        | CommitLogError::TooLarge { .. }
        | CommitLogError::OutOfRange { .. } => error.into(),
    }
}
