//! Payloads in; frames at the end of the last segment out. Knows what may be appended after a failure, and what may not.
//!
//! ```text
//! Working ── a write fails, the file is cut back ──> Working
//!    │
//!    └────── the cut fails, or a sync fails ───────> Broken (until the log is opened again)
//! ```

use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    error::{CommitLogError, Result, refused},
    files::File,
    frame::{self, Kind},
    handles::Handles,
    index::{self, Index},
    segment::{Segment, file_name},
};

/// The end of the log.
pub(crate) struct Writer {
    handles: Arc<Handles>,
    pub(crate) tail: Tail,
    /// The sequence number of the last frame.
    pub(crate) sequence: u64,
    /// The last sequence number that was synced.
    pub(crate) durable: u64,
    broken: Option<String>,
    frame: Vec<u8>,
}

/// The last segment.
pub(crate) struct Tail {
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn File>,
    /// Where its snapshot ends.
    pub(crate) start: u64,
    /// Where the next frame goes.
    pub(crate) position: u64,
    /// Whether its footer was written: it takes nothing more, the next segment was not begun yet.
    pub(crate) is_closed: bool,
}

impl Writer {
    pub(crate) fn new(handles: Arc<Handles>, tail: Tail, sequence: u64) -> Self {
        Self { handles, tail, sequence, durable: sequence, broken: None, frame: Vec::new() }
    }

    /// Refuses while the log is broken.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.broken {
            None => Ok(()),
            Some(reason) => {
                Err(CommitLogError::Broken { directory: self.handles.files.name(), reason: reason.clone() })
            }
        }
    }

    /// From now on the log refuses to take more.
    pub(crate) fn break_log(&mut self, reason: String) -> CommitLogError {
        let reason = self.broken.get_or_insert(reason).clone();
        CommitLogError::Broken { directory: self.handles.files.name(), reason }
    }

    /// Whether the last segment is full.
    pub(crate) fn wants_roll(&self, segment_bytes: u64) -> bool {
        self.tail.is_closed || self.tail.position - self.tail.start >= segment_bytes
    }

    /// Appends a frame whose payload `fill` writes; returns where it begins.
    pub(crate) fn append(&mut self, kind: Kind, fill: impl FnOnce(&mut Vec<u8>)) -> Result<u64> {
        self.check()?;
        frame::begin(&mut self.frame);
        fill(&mut self.frame);
        let payload = self.frame.len() - frame::HEADER_BYTES;
        if payload > frame::PAYLOAD_BYTES_MAX {
            return Err(CommitLogError::TooLarge { bytes: payload as u64, limit: frame::PAYLOAD_BYTES_MAX as u64 });
        }
        frame::seal(&mut self.frame, kind, self.sequence + 1, self.durable);
        let position = self.tail.position;
        if let Err(reason) = self.tail.file.write_at(&self.frame, position) {
            return Err(self.cut_back(reason));
        }
        self.tail.position += self.frame.len() as u64;
        self.sequence += 1;
        Ok(position)
    }

    /// The payload of the frame that was appended last.
    pub(crate) fn payload(&self) -> &[u8] {
        self.frame.get(frame::HEADER_BYTES..).unwrap_or_default()
    }

    /// Takes back what a failed write may have left: a frame after it would be behind a bad one, and lost at the next open.
    fn cut_back(&mut self, reason: io::Error) -> CommitLogError {
        let segment = Arc::clone(&self.tail.segment);
        match self.tail.file.truncate(self.tail.position) {
            Ok(()) => segment.refused("append to", reason),
            Err(again) => self.break_log(format!(
                "a write to {} failed ({reason}) and what it left could not be cut off ({again})",
                segment.name
            )),
        }
    }

    /// Closes the last segment with a footer, syncs it, and begins the next one. After an error other than
    /// [`CommitLogError::Broken`] it can be called again and goes on where it stopped.
    pub(crate) fn roll(&mut self, index: &RwLock<Index>) -> Result<()> {
        if !self.tail.is_closed {
            let blocks = index.read().unwrap_or_else(PoisonError::into_inner).blocks_of(self.tail.segment.first);
            let position = self.tail.position;
            self.append(Kind::Footer, |frame| index::put_footer(&blocks, position, frame))?;
            self.tail.is_closed = true;
        }
        if self.durable < self.sequence {
            if let Err(reason) = self.tail.file.sync() {
                let name = &self.tail.segment.name;
                return Err(self.break_log(format!("a sync of {name} failed ({reason})")));
            }
            self.durable = self.sequence;
        }
        let mut snapshot = Vec::new();
        let listed = {
            let index = index.read().unwrap_or_else(PoisonError::into_inner);
            index.put_snapshot(&mut snapshot);
            index.segments.keys().copied().collect()
        };
        let tail = start_segment(&self.handles, &snapshot, self.sequence + 1)?;
        // The segment is there; whether it survives a power cut is what the directory's sync decides.
        if let Err(reason) = self.handles.files.sync_directory() {
            return Err(self.break_log(format!("a sync of the directory failed ({reason})")));
        }
        self.sequence += 1;
        self.durable = self.sequence;
        let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
        index.listed = listed;
        let closed = self.tail.segment.close();
        index.segments.insert(closed.first, Arc::new(closed));
        index.segments.insert(tail.segment.first, Arc::clone(&tail.segment));
        self.tail = tail;
        Ok(())
    }
}

/// Writes a new segment that begins with a snapshot. It gets its name only when it is whole and synced, so that
/// a last segment without a good snapshot is damage and nothing else. The caller syncs the directory.
pub(crate) fn start_segment(handles: &Arc<Handles>, snapshot: &[u8], sequence: u64) -> Result<Tail> {
    let files = handles.files.as_ref();
    let mut bytes = Vec::new();
    frame::begin(&mut bytes);
    bytes.extend_from_slice(snapshot);
    frame::seal(&mut bytes, Kind::Snapshot, sequence, sequence - 1);
    let name = file_name(sequence);
    let temporary = format!("{name}{UNFINISHED}");
    let error = |reason| refused("begin", &name, reason);
    let file = files.create(&temporary).map_err(error)?;
    let written = file.write_at(&bytes, 0).and_then(|()| file.sync()).and_then(|()| files.rename(&temporary, &name));
    if let Err(reason) = written {
        // It takes room that others need; if it stays, the next attempt empties it.
        let _ = files.remove(&temporary);
        return Err(error(reason));
    }
    let start = bytes.len() as u64;
    let segment = Arc::new(Segment::held(handles, sequence, Arc::clone(&file)));
    Ok(Tail { segment, file, start, position: start, is_closed: false })
}

/// What ends the name of a file that is not part of the log yet.
pub(crate) const UNFINISHED: &str = ".new";
