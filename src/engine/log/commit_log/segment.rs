//! A segment's file in; its frames in order, verified, or where they stop being good, out.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use super::{
    error::{CommitLogError, Result, damaged, refused},
    files::File,
    frame::{HEADER_BYTES, Header, Kind, MAGIC},
    handles::{Handles, Ticket},
};

/// One file of the log. Readers keep it through the `Arc` while it is replaced or removed.
pub(crate) struct Segment {
    /// The sequence number of its first frame, which is its name.
    pub(crate) first: u64,
    pub(crate) name: String,
    handles: Arc<Handles>,
    ticket: Ticket,
    /// The file, if it stays open as long as this is there: that of the last segment, and one whose name is or will soon be
    /// another's.
    held: OnceLock<Arc<dyn File>>,
    /// The length of one that is closed, once somebody asked.
    length: OnceLock<u64>,
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

impl Drop for Segment {
    fn drop(&mut self) {
        self.handles.forget(self.ticket);
    }
}

impl Segment {
    /// One whose file stays open.
    pub(crate) fn held(handles: &Arc<Handles>, first: u64, file: Arc<dyn File>) -> Self {
        let segment = Self::closed(handles, first);
        let _ = segment.held.set(file);
        segment
    }

    /// One whose file is opened when it is needed.
    pub(crate) fn closed(handles: &Arc<Handles>, first: u64) -> Self {
        Self {
            first,
            name: file_name(first),
            handles: Arc::clone(handles),
            ticket: handles.ticket(),
            held: OnceLock::new(),
            length: OnceLock::new(),
        }
    }

    /// The file.
    pub(crate) fn file(&self) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.held.get() {
            return Ok(Arc::clone(file));
        }
        if let Some(file) = self.handles.get(self.ticket) {
            return Ok(file);
        }
        let opened = self.handles.open(&self.name);
        // The name may have become another's just before: then the file is held, since before that.
        if let Some(file) = self.held.get() {
            return Ok(Arc::clone(file));
        }
        let file = opened?;
        self.handles.put(self.ticket, Arc::clone(&file));
        Ok(file)
    }

    /// Keeps the file open for whoever still reads it; called before its name goes.
    pub(crate) fn hold(&self) -> Result<()> {
        let file = self.file().map_err(|reason| self.refused("open", reason))?;
        let _ = self.held.set(file);
        self.handles.forget(self.ticket);
        Ok(())
    }

    /// The same file, which need not stay open from now on.
    pub(crate) fn close(&self) -> Self {
        let closed = Self::closed(&self.handles, self.first);
        if let Some(file) = self.held.get() {
            self.handles.put(closed.ticket, Arc::clone(file));
        }
        closed
    }

    pub(crate) fn handles(&self) -> &Handles {
        &self.handles
    }

    /// The name is another file's now, which is the one to read.
    pub(crate) fn reopen(&self) {
        self.handles.forget(self.ticket);
    }

    /// Fills `bytes` from `position`.
    pub(crate) fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()> {
        match self.held.get() {
            Some(file) => file.read_at(bytes, position),
            None => self.file()?.read_at(bytes, position),
        }
    }

    pub(crate) fn refused(&self, action: &'static str, reason: io::Error) -> CommitLogError {
        refused(action, &self.name, reason)
    }

    /// Bytes in the file.
    pub(crate) fn length(&self) -> Result<u64> {
        self.file().and_then(|file| file.length()).map_err(|reason| self.refused("read", reason))
    }

    /// Bytes in the file of a closed segment, which is looked at only once.
    pub(crate) fn closed_length(&self) -> Result<u64> {
        if let Some(length) = self.length.get() {
            return Ok(*length);
        }
        let length = self.length()?;
        Ok(*self.length.get_or_init(|| length))
    }

    pub(crate) fn read(&self, position: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, position).map_err(|reason| self.refused("read", reason))?;
        Ok(bytes)
    }

    /// Header and payload of the footer, if a good one ends the file.
    pub(crate) fn footer(&self) -> Result<Option<(Header, Vec<u8>)>> {
        let length = self.length()?;
        let smallest = (HEADER_BYTES + 8) as u64;
        if length < smallest {
            return Ok(None);
        }
        let mut pointer = [0; 8];
        self.read_at(&mut pointer, length - 8).map_err(|reason| self.refused("read", reason))?;
        let position = u64::from_le_bytes(pointer);
        if position > length - smallest {
            return Ok(None);
        }
        let mut frame = self.read(position, (length - position) as usize)?;
        let payload = frame.split_off(HEADER_BYTES);
        let header = Header::parse(&frame).filter(|header| header.kind == Kind::Footer && header.holds(&payload));
        Ok(header.map(|header| (header, payload)))
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
    file: Arc<dyn File>,
    length: u64,
    /// Where the next frame begins.
    pub(crate) position: u64,
    window: Vec<u8>,
    window_position: u64,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(segment: &'a Segment) -> Result<Self> {
        let file = segment.file().map_err(|reason| segment.refused("open", reason))?;
        let length = file.length().map_err(|reason| segment.refused("read", reason))?;
        Ok(Self::of(segment, file, length))
    }

    /// Those in the first `length` bytes.
    pub(crate) fn up_to(segment: &'a Segment, length: u64) -> Result<Self> {
        let file = segment.file().map_err(|reason| segment.refused("open", reason))?;
        Ok(Self::of(segment, file, length))
    }

    fn of(segment: &'a Segment, file: Arc<dyn File>, length: u64) -> Self {
        Self { segment, file, length, position: 0, window: Vec::new(), window_position: 0 }
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
        let read = self.file.read_at(&mut self.window, self.position);
        read.map_err(|reason| match reason.kind() {
            io::ErrorKind::UnexpectedEof => damaged(&self.segment.name, self.position, "it ends before a frame"),
            _ => self.segment.refused("read", reason),
        })?;
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
