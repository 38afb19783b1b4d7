//! A segment's file in; its frames in order, verified, or where they stop being good, out.

use std::{fmt, io, sync::Arc};

use super::{
    error::{CommitLogError, Result, refused},
    files::{File, Files},
    frame::{HEADER_BYTES, Header, Kind, MAGIC},
};

/// One file of the log. Readers keep it through the `Arc` while it is replaced or removed.
pub(crate) struct Segment {
    /// The sequence number of its first frame, which is its name.
    pub(crate) first: u64,
    pub(crate) name: String,
    pub(crate) file: Arc<dyn File>,
}

impl fmt::Debug for Segment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

const SUFFIX: &str = ".log";

/// The file name of the segment that begins with a sequence number.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// What ends the name of the empty file that says that a segment was removed on purpose.
const REMOVED: &str = ".removed";

/// The name of the marker for a segment that was removed. The segment's own name would do, but for readers that still have it
/// open; and a frame that says so would need room when the disk is full.
pub(crate) fn marker_name(first: u64) -> String {
    format!("{}{REMOVED}", file_name(first))
}

/// The sequence number in the name of a marker.
pub(crate) fn marked(name: &str) -> Option<u64> {
    first_of(name.strip_suffix(REMOVED)?)
}

/// The sequence number in a file name; `None` if it is not the name of a segment.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

impl Segment {
    pub(crate) fn open(files: &dyn Files, first: u64) -> Result<Self> {
        let name = file_name(first);
        let file = files.open(&name).map_err(|reason| refused("open", &name, reason))?;
        Ok(Self { first, name, file })
    }

    pub(crate) fn refused(&self, action: &'static str, reason: io::Error) -> CommitLogError {
        refused(action, &self.name, reason)
    }

    pub(crate) fn length(&self) -> Result<u64> {
        self.file.length().map_err(|reason| self.refused("read", reason))
    }

    pub(crate) fn read(&self, position: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_at(&mut bytes, position).map_err(|reason| self.refused("read", reason))?;
        Ok(bytes)
    }

    /// The payload of the footer, if a good one ends the file.
    pub(crate) fn footer(&self) -> Result<Option<Vec<u8>>> {
        let length = self.length()?;
        let smallest = (HEADER_BYTES + 8) as u64;
        if length < smallest {
            return Ok(None);
        }
        let mut pointer = [0; 8];
        self.file.read_at(&mut pointer, length - 8).map_err(|reason| self.refused("read", reason))?;
        let position = u64::from_le_bytes(pointer);
        if position > length - smallest {
            return Ok(None);
        }
        let mut frame = self.read(position, (length - position) as usize)?;
        let payload = frame.split_off(HEADER_BYTES);
        let good = Header::parse(&frame).is_some_and(|header| header.kind == Kind::Footer && header.holds(&payload));
        Ok(good.then_some(payload))
    }
}

/// What comes next in a segment.
pub(crate) enum Next<'a> {
    /// A good frame.
    Frame {
        /// Where it begins.
        position: u64,
        header: Header,
        payload: &'a [u8],
    },
    /// The file ends here, after a good frame or at its beginning.
    End,
    /// What follows is no good frame; its header may be one.
    Bad(Option<Header>),
}

/// Bytes read ahead: large enough that scanning is bound by the disk, small against a worker's memory.
const WINDOW_BYTES: usize = 1 << 18;

/// Reads frames one after the other.
pub(crate) struct Frames<'a> {
    segment: &'a Segment,
    length: u64,
    /// Where the next frame begins.
    pub(crate) position: u64,
    window: Vec<u8>,
    window_position: u64,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(segment: &'a Segment) -> Result<Self> {
        let length = segment.length()?;
        Ok(Self { segment, length, position: 0, window: Vec::new(), window_position: 0 })
    }

    pub(crate) fn next(&mut self) -> Result<Next<'_>> {
        let rest = self.length - self.position;
        if rest == 0 {
            return Ok(Next::End);
        }
        if rest < HEADER_BYTES as u64 {
            return Ok(Next::Bad(None));
        }
        let start = self.load(HEADER_BYTES)?;
        let Some(header) = Header::parse(&self.window[start..]) else { return Ok(Next::Bad(None)) };
        if rest < header.frame_bytes() {
            return Ok(Next::Bad(Some(header)));
        }
        let start = self.load(HEADER_BYTES + header.length)? + HEADER_BYTES;
        let payload = &self.window[start..start + header.length];
        if !header.holds(payload) {
            return Ok(Next::Bad(Some(header)));
        }
        let position = self.position;
        self.position += header.frame_bytes();
        Ok(Next::Frame { position, header, payload })
    }

    /// Makes `length` bytes from the position available; returns where they begin in the window.
    fn load(&mut self, length: usize) -> Result<usize> {
        let start = self.position.wrapping_sub(self.window_position) as usize;
        if self.position >= self.window_position && start + length <= self.window.len() {
            return Ok(start);
        }
        let ahead = ((self.length - self.position) as usize).min(length.max(WINDOW_BYTES));
        self.window.resize(ahead, 0);
        self.window_position = self.position;
        let read = self.segment.file.read_at(&mut self.window, self.position);
        read.map_err(|reason| self.segment.refused("read", reason))?;
        Ok(0)
    }
}

/// Good frames behind a bad one: what a torn tail takes with it, or the proof that it is not one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) frames: u64,
    /// The newest sequence number that one of them knows to have been synced.
    pub(crate) durable: u64,
}

/// Looks for good frames in `bytes`, whose sequence numbers begin at `sequence`.
pub(crate) fn frames_behind(bytes: &[u8], sequence: u64) -> Behind {
    let mut behind = Behind::default();
    let mut position = 0;
    while position + HEADER_BYTES <= bytes.len() {
        if bytes[position..].starts_with(&MAGIC)
            && let Some(header) = Header::parse(&bytes[position..])
            && header.sequence >= sequence
            && let Some(payload) = bytes.get(position + HEADER_BYTES..position + HEADER_BYTES + header.length)
            && header.holds(payload)
        {
            behind.frames += 1;
            behind.durable = behind.durable.max(header.durable);
            position += HEADER_BYTES + header.length;
        } else {
            position += 1;
        }
    }
    behind
}
