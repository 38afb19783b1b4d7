//! A log that goes on in; a directory that opens as that log was at one moment out.
//!
//! The directory says that it is no log, segments arrive, everything is synced, and only then does it say that it is one.
//! Closed segments never change: where the file system can, they get a second name and take no room.

use std::sync::Arc;

use super::{
    error::{CommitLogError, Result, refused},
    files::Files,
    log::{CommitLog, lock},
    recover,
    segment::{Segment, marker_name},
    view::View,
};

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupSummary {
    /// The sequence number of the last commit in it; all before are in it too.
    pub sequence: u64,
    /// Its segments.
    pub segments: u64,
    /// Those that share their bytes with the log.
    pub segments_linked: u64,
    /// Bytes of all segments together.
    pub bytes: u64,
    /// Bytes that were copied.
    pub bytes_copied: u64,
}

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

impl CommitLog {
    /// Syncs the log, and makes a copy of everything up to its newest commit: topics, records and consumer offsets. `into` must
    /// be an empty directory; it opens as that log once this returned, and as none before. Appenders, readers and the cleaner
    /// go on meanwhile; syncs and rolls wait while files are linked. After an error, remove the directory and begin again.
    ///
    /// # Errors
    /// [`CommitLogError::NotEmpty`]; [`CommitLogError::Locked`]; [`CommitLogError::Full`] and [`CommitLogError::Refused`]: the log is as it
    /// was; [`CommitLogError::Broken`] as [`CommitLog::sync`].
    pub fn backup(&self, into: &dyn Files) -> Result<BackupSummary> {
        let names = into.list().map_err(|reason| refused("read", &into.name(), reason))?;
        if !names.is_empty() {
            return Err(CommitLogError::NotEmpty { directory: into.name() });
        }
        let _lock = recover::lock(into)?;
        let sync_names = || into.sync_directory().map_err(|reason| refused("sync", &into.name(), reason));
        recover::write_unfinished_backup(into)?;
        let mut summary = BackupSummary::default();
        let mut not_linked = Vec::new();
        let view = {
            // Nothing takes the name of a closed segment meanwhile, and all that the view has is durable.
            let _one_at_a_time = lock(&self.syncing);
            let view = {
                let writer = self.writer();
                View::of(&writer, &self.index())
            };
            self.sync_tail()?;
            for segment in &view.closed {
                // One that was just removed has no name to link; what is not linked for another reason is copied as well.
                match self.files.link(&segment.name, into) {
                    Ok(()) => {
                        summary.segments_linked += 1;
                        summary.bytes += segment.closed_length()?;
                    }
                    Err(_) => not_linked.push(Arc::clone(segment)),
                }
            }
            view
        };
        for segment in not_linked {
            summary.bytes_copied += copy(&segment, segment.closed_length()?, into)?;
        }
        summary.bytes_copied += copy(&view.tail, view.tail_bytes, into)?;
        for first in &view.removed {
            let name = marker_name(*first);
            into.create(&name).map_err(|reason| refused("write", &name, reason))?;
        }
        sync_names()?;
        recover::write_format(into)?;
        summary.bytes += summary.bytes_copied;
        summary.segments = view.closed.len() as u64 + 1;
        summary.sequence = view.sequence;
        Ok(summary)
    }
}

/// Copies the first `length` bytes of a segment, and syncs them; returns how many there are.
fn copy(segment: &Segment, length: u64, into: &dyn Files) -> Result<u64> {
    let error = |reason| refused("back up", &segment.name, reason);
    let from = segment.file().map_err(error)?;
    let to = into.create(&segment.name).map_err(error)?;
    let mut bytes = vec![0; COPY_BYTES.min(length as usize)];
    let mut copied = 0;
    while copied < length {
        bytes.truncate((length - copied) as usize);
        from.read_at(&mut bytes, copied).map_err(error)?;
        to.write_at(&bytes, copied).map_err(error)?;
        copied += bytes.len() as u64;
    }
    to.sync().map_err(error)?;
    Ok(length)
}
