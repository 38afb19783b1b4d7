//! What went wrong in; which reaction it demands out.

use std::io;

use super::record::TopicPartition;

/// Shorthand.
pub type Result<T> = std::result::Result<T, CommitLogError>;

/// What the log says when it cannot do what was asked, named by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CommitLogError {
    /// There is no room. Nothing of what was asked happened, nothing else was lost: wait and ask again.
    #[error("no room for {file} ({reason}); free disk space, it goes on by itself then, nothing is lost")]
    Full {
        /// What was to be written.
        file: String,
        /// What the machine said.
        reason: io::Error,
    },
    /// The machine refused once. Nothing of what was asked happened: ask again, and stop if it goes on like that.
    #[error("cannot {action} {file}: {reason}; nothing of it happened, it can be tried again")]
    Refused {
        /// What was being done, as a verb.
        action: &'static str,
        /// To what.
        file: String,
        /// What the machine said.
        reason: io::Error,
    },
    /// What was appended since the last successful sync may be lost, and more cannot be appended. Drop the log and open it
    /// again: that tells what is there.
    #[error("the log {directory} must be opened again before it takes more: {reason}")]
    Broken {
        /// Which log.
        directory: String,
        /// What happened to it.
        reason: String,
    },
    /// A file does not read as what was written. Nothing was changed.
    #[error(
        "{file} is damaged at byte {position}: {reason}; restore the directory from a backup, the log does not go on without \
         what was there"
    )]
    Damaged {
        /// Which file.
        file: String,
        /// Where in it.
        position: u64,
        /// What is wrong.
        reason: String,
    },
    /// Another process, or another part of this one, has the log open.
    #[error("the log {directory} is open elsewhere; stop what uses it or choose another directory")]
    Locked {
        /// Which log.
        directory: String,
    },
    /// The directory holds something else, or a version of the format that this program cannot read.
    #[error("{directory} cannot be opened as a log: {reason}")]
    Format {
        /// Which directory.
        directory: String,
        /// What is wrong.
        reason: String,
    },
    /// A backup goes into an empty directory: the caller is mistaken.
    #[error("{directory} is not empty; a backup needs an empty directory")]
    NotEmpty {
        /// Which directory.
        directory: String,
    },
    /// No such topic or partition: the caller is mistaken.
    #[error("the log has no {0}; create the topic first")]
    Unknown(String),
    /// The topic is there with other properties: the caller is mistaken.
    #[error("topic {name} has {found} partitions, not {wanted}; partitions cannot be changed, choose another name")]
    Topic {
        /// Which topic.
        name: String,
        /// Partitions that it has.
        found: u32,
        /// Partitions asked for.
        wanted: u32,
    },
    /// A commit that is larger than the log takes.
    #[error("a commit of {bytes} bytes is larger than the {limit} bytes that fit; commit more often")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// What fits.
        limit: u64,
    },
    /// An offset beyond the end of a partition.
    #[error("offset {offset} of {partition} is beyond its end {end}; the log was replaced or lost its unsynced tail")]
    OutOfRange {
        /// Which partition.
        partition: String,
        /// What was asked for.
        offset: u64,
        /// The end.
        end: u64,
    },
}

/// An error of the machine while something was added: [`CommitLogError::Full`] or [`CommitLogError::Refused`].
pub(crate) fn refused(action: &'static str, file: &str, reason: io::Error) -> CommitLogError {
    match reason.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            CommitLogError::Full { file: file.to_owned(), reason }
        }
        _ => CommitLogError::Refused { action, file: file.to_owned(), reason },
    }
}

pub(crate) fn out_of_range(partition: TopicPartition, offset: u64, end: u64) -> CommitLogError {
    CommitLogError::OutOfRange { partition: partition.to_string(), offset, end }
}

pub(crate) fn damaged(file: &str, position: u64, reason: impl Into<String>) -> CommitLogError {
    CommitLogError::Damaged { file: file.to_owned(), position, reason: reason.into() }
}
