//! What a store asks of the place where its flushed entries lie, whose entries they are, and what can go wrong there.

use std::fmt;
use std::ops::ControlFlow;

use bytes::Bytes;

/// What a scan hands key and value to; it breaks when it has seen enough.
pub type Visit<'visit> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'visit;

/// Where a task's flushed state lies. One per task; read from many threads, where its owner allows that.
pub trait Disk: Send + Sync {
    /// The value of `key`, or `None` where there is none.
    ///
    /// # Errors
    /// [`DiskError::Stop`] or [`DiskError::Rebuild`] if the disk cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DiskError>;

    /// Hands over the entries from `from` (inclusive) to `to` (exclusive) in ascending key order until `each` breaks.
    ///
    /// # Errors
    /// [`DiskError::Stop`] or [`DiskError::Rebuild`] if the disk cannot be read; entries may have been handed over by then.
    fn scan(&self, from: &[u8], to: &[u8], each: &mut Visit<'_>) -> Result<(), DiskError>;

    /// Applies one atomic, durable batch: the entries (`None` deletes) in strictly ascending key order, together with the
    /// position in the changelog that the disk reflects from now on: the offset of the first record that it does *not*
    /// reflect. When this returns, the batch has been synced.
    ///
    /// # Errors
    /// [`DiskError::Stop`]: the batch is on the disk whole or not at all, nobody knows which; later batches are refused,
    /// reads still answer, and opening the disk again tells which.
    fn apply(
        &mut self,
        entries: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>,
        position: u64,
    ) -> Result<(), DiskError>;

    /// The offset of the first changelog record that the disk does not reflect; `None` for an empty disk.
    fn position(&self) -> Option<u64>;

    /// Drops every entry and the position; the disk is as if new.
    ///
    /// # Errors
    /// [`DiskError::Stop`] if it cannot be written; the disk is then empty or unchanged, and refuses further batches.
    fn wipe(&mut self) -> Result<(), DiskError>;

    /// Bytes taken on the disk, as far as the disk knows: tables that were replaced but not yet removed are not counted.
    fn bytes(&self) -> u64;
}

/// Whose state lies on a disk. Stored with the first batch and compared whenever the disk is opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Hash of what decides which entries lie here: partitions, the key of person ids. (By which definition they were
    /// computed is an entry of its own, so that a rebuild finds them.)
    pub placement: [u8; 16],
    /// The changelog whose offsets the position counts: cluster, topic and partition. (Not the topic's id, which the client
    /// library does not tell: a topic that was deleted and made again under its name passes for the old one, unless it is
    /// shorter than the position.)
    pub changelog: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "placement ")?;
        for byte in self.placement {
            write!(formatter, "{byte:02x}")?;
        }
        write!(formatter, " of changelog {:?}", self.changelog)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identity({self})")
    }
}

/// What a disk says when it cannot do what was asked, named by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The state cannot be used as it lies there, but the changelog still holds it: wipe the disk and restore, or ask the
    /// operator where the definition changed.
    #[error("the stored state of {task} cannot be used: {reason}")]
    Rebuild {
        /// The task whose state it is.
        task: String,
        /// What is wrong with it.
        reason: RebuildReason,
    },
    /// The machine refuses. Nothing that the program does can help: say so and stop.
    #[error("cannot {action} the stored state of {task}: {reason}{}", advice(reason))]
    Stop {
        /// What was being done, as a verb: `read`, `write`, `open`, `wipe`.
        action: &'static str,
        /// The task whose state it is, or the folder when it concerns all.
        task: String,
        /// What the machine said.
        reason: std::io::Error,
    },
}

/// Why stored state has to be computed or copied anew.
#[derive(Debug, thiserror::Error)]
pub enum RebuildReason {
    /// Another placement or another changelog wrote it.
    #[error("it is {stored}, but {wanted} is running")]
    Foreign {
        /// Who wrote the state.
        stored: Identity,
        /// Who opened it.
        wanted: Identity,
    },
    /// A version of the format that this program cannot read.
    #[error("its format is version {stored}, this program reads version {known}; a newer program may have written it")]
    Format {
        /// The version byte found.
        stored: u8,
        /// The version byte understood.
        known: u8,
    },
    /// It does not read as what was written.
    #[error("it is damaged ({0}); wiping it restores it from the changelog")]
    Damaged(String),
}

/// What the operator can do about an error of the machine, as the end of a sentence.
fn advice(reason: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match reason.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free disk space and start again, nothing is lost",
        ErrorKind::FileTooLarge => "; raise the limit of the file size (ulimit -f) and start again, nothing is lost",
        ErrorKind::PermissionDenied => "; give this user the right to read and write the data folder and start again",
        ErrorKind::ReadOnlyFilesystem => "; mount the data folder writable and start again",
        ErrorKind::WouldBlock => "; another process holds the data folder, stop it or choose another folder",
        _ => "",
    }
}

/// The first byte of a header. Readers of another version refuse the state.
const FORMAT_VERSION: u8 = 1;

/// Bytes of a header before the name of the changelog: version, placement, position.
const HEADER_FIXED_BYTES: usize = 1 + 16 + 8;

/// What lies next to the entries: version byte, placement (16 bytes), position (8 bytes, big-endian), changelog (the rest).
pub(super) fn encode_header(identity: &Identity, position: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_FIXED_BYTES + identity.changelog.len());
    header.push(FORMAT_VERSION);
    header.extend_from_slice(&identity.placement);
    header.extend_from_slice(&position.to_be_bytes());
    header.extend_from_slice(identity.changelog.as_bytes());
    header
}

/// The position in a header that `wanted` wrote.
pub(super) fn decode_header(task: &str, header: &[u8], wanted: &Identity) -> Result<u64, DiskError> {
    let rebuild = |reason| DiskError::Rebuild { task: task.to_owned(), reason };
    match header.first() {
        Some(&FORMAT_VERSION) => {}
        Some(&stored) => {
            return Err(rebuild(RebuildReason::Format { stored, known: FORMAT_VERSION }));
        }
        None => return Err(rebuild(RebuildReason::Damaged("its header is empty".to_owned()))),
    }
    let parts = header.get(1..).and_then(|rest| {
        let (placement, rest) = rest.split_first_chunk::<16>()?;
        let (position, changelog) = rest.split_first_chunk::<8>()?;
        Some((*placement, u64::from_be_bytes(*position), std::str::from_utf8(changelog).ok()?))
    });
    let Some((placement, position, changelog)) = parts else {
        return Err(rebuild(RebuildReason::Damaged("its header is cut short or not text".to_owned())));
    };
    let stored = Identity { placement, changelog: changelog.to_owned() };
    if &stored != wanted {
        return Err(rebuild(RebuildReason::Foreign { stored, wanted: wanted.clone() }));
    }
    Ok(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(placement: u8, changelog: &str) -> Identity {
        Identity { placement: [placement; 16], changelog: changelog.to_owned() }
    }

    #[test]
    fn header_of_version_1_reads_the_same_for_ever() {
        let header = encode_header(&identity(7, "abc-0"), 0x0102);
        assert_eq!(header, [&[1][..], &[7; 16], &[0, 0, 0, 0, 0, 0, 1, 2], b"abc-0"].concat());
        assert_eq!(decode_header("homes-0", &header, &identity(7, "abc-0")).expect("its own header"), 0x0102);
    }

    #[test]
    fn foreign_state_is_refused_with_both_sides() {
        let header = encode_header(&identity(0xab, "old-0"), 5);
        let message =
            decode_header("homes-0", &header, &identity(0xcd, "new-0")).expect_err("another identity").to_string();
        for part in ["homes-0", "abababab", "cdcdcdcd", "old-0", "new-0"] {
            assert!(message.contains(part), "{message} lacks {part}");
        }
    }

    #[test]
    fn damaged_headers_are_errors() {
        let wanted = identity(7, "abc-0");
        let header = encode_header(&wanted, 9);
        for length in 0..header.len() {
            assert!(decode_header("homes-0", &header[..length], &wanted).is_err(), "{length} bytes");
        }
        let mut newer = header.clone();
        newer[0] = 2;
        assert!(
            decode_header("homes-0", &newer, &wanted).expect_err("a newer version").to_string().contains("version 2")
        );
        let mut not_text = header;
        not_text.push(0xff);
        assert!(decode_header("homes-0", &not_text, &wanted).is_err());
    }
}
