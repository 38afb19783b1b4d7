//! A data directory and questions in; the answers of the hub that runs there out.

use std::{
    io::{self, Read},
    ops::{ControlFlow, Range},
    os::{unix::ffi::OsStrExt, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    address::{self, SOCKET},
    frame::{self, FRAME_BYTES_MAX, FrameError, NO_VERSION, PREFACE_BYTES, Timed, VERSION},
    request::{self, ANSWER, ERROR, kind},
    response,
    wire::{Body, Reader, body_bytes},
};
use crate::engine::log::{
    access::{
        AccessError, Appended, BackupSummary, Durability, LogAccess, NewRecord, Record, Result, Status, TopicInfo,
    },
    commit_log::Policy,
};

/// How long a hub has to answer: it may sync, and wait for room. A hub that ended is noticed at once.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// Time for the bytes of a frame once they come, and for the last words of a hub that closes.
const FRAME_WAIT: Duration = Duration::from_secs(10);

/// Longest wait that is asked for at a time: not longer than a hub takes, so that the answer is never late.
const WAIT_ONCE: Duration = Duration::from_secs(10);

/// A connection to the log of a hub that runs in another process.
///
/// It answers one call at a time: threads that share it take turns, also behind one that waits for news. A thread that follows
/// connects for itself. Once it is [`AccessError::Gone`] it stays so: connect again.
pub struct Remote {
    directory: PathBuf,
    answer_wait: Duration,
    talk: Mutex<Talk>,
}

/// One exchange after the other.
struct Talk {
    /// `None` while an exchange is under way, and after one that failed: nobody knows then which answer would come next.
    stream: Option<UnixStream>,
    request: Vec<u8>,
    /// Lent to the call that reads it.
    answer: Vec<u8>,
}

/// An exchange that failed.
struct Failed {
    error: AccessError,
    /// Whether the hub may have done what was asked.
    is_open: bool,
}

/// Bytes that are put around strings in a request, at most, but for records.
const AROUND_BYTES: usize = 64;

/// Bytes of a new record before its body.
const PARTITION_BYTES: usize = 4;

impl Remote {
    /// Connects to the hub that runs in a data directory; `None` if none does.
    ///
    /// # Errors
    /// [`AccessError::Retry`] if it has too many connections; [`AccessError::Denied`] if it is another user's;
    /// [`AccessError::Unsupported`] if it speaks another version; [`AccessError::Gone`] if it does not answer.
    pub fn connect(directory: &Path) -> Result<Option<Self>> {
        Self::connect_within(directory, ANSWER_WAIT)
    }

    /// As [`Remote::connect`], with another time for each answer but that of a backup. The hub may wait ten seconds by itself.
    ///
    /// # Errors
    /// As [`Remote::connect`].
    pub fn connect_within(directory: &Path, answer_wait: Duration) -> Result<Option<Self>> {
        let connected = address::find(directory, SOCKET).and_then(|address| UnixStream::connect(&address.path));
        let stream = match connected {
            Ok(stream) => stream,
            Err(reason) => return nobody(directory, &reason).map(|()| None),
        };
        greet(&stream, answer_wait)?;
        let talk = Talk { stream: Some(stream), request: Vec::new(), answer: Vec::new() };
        Ok(Some(Self { directory: directory.to_owned(), answer_wait, talk: Mutex::new(talk) }))
    }

    /// One exchange: what `put` makes of a payload of about `bytes`, and what `take` makes of the answer.
    fn exchange<T>(
        &self,
        kind: u8,
        bytes: usize,
        put: impl FnOnce(&mut Vec<u8>),
        take: impl FnOnce(Reader<'_>) -> Option<T>,
    ) -> std::result::Result<T, Failed> {
        let begin = (kind != kind::BACKUP).then_some(self.answer_wait);
        let mut answer = self.talk().ask(kind, bytes, begin, put)?;
        // Without the lock: `take` may hand records to somebody who asks for something else.
        let taken = take(Reader::new(answer.get(1..).unwrap_or_default()));
        let mut talk = self.talk();
        match taken {
            Some(taken) => {
                if answer.capacity() > talk.answer.capacity() {
                    std::mem::swap(&mut talk.answer, &mut answer);
                }
                Ok(taken)
            }
            None => {
                talk.stream = None;
                Err(misunderstood())
            }
        }
    }

    /// An exchange that can be repeated without harm.
    fn harmless<T>(
        &self,
        kind: u8,
        bytes: usize,
        put: impl FnOnce(&mut Vec<u8>),
        take: impl FnOnce(Reader<'_>) -> Option<T>,
    ) -> Result<T> {
        self.exchange(kind, bytes, put, take).map_err(|failed| failed.error)
    }

    /// A panic within an exchange leaves no stream, and so nothing half-done.
    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data directory of the hub.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Talk {
    /// Sends a request and reads the frame of its answer, which begins with its kind.
    fn ask(
        &mut self,
        kind: u8,
        bytes: usize,
        begin: Option<Duration>,
        put: impl FnOnce(&mut Vec<u8>),
    ) -> std::result::Result<Vec<u8>, Failed> {
        // Before it is put together: lengths would not fit into their 32 bits.
        if bytes > FRAME_BYTES_MAX - AROUND_BYTES {
            let error = AccessError::TooLarge { bytes: bytes as u64, limit: (FRAME_BYTES_MAX - AROUND_BYTES) as u64 };
            return Err(Failed { error, is_open: false });
        }
        let stream = self.stream.take().ok_or_else(|| gone("it was lost before", false))?;
        frame::begin(&mut self.request, kind);
        put(&mut self.request);
        frame::seal(&mut self.request).map_err(|_| gone("a request was too large to be sent", false))?;
        if let Err(lost) = frame::send(&stream, &self.request, begin.unwrap_or(ANSWER_WAIT)) {
            // It did not get all of it, so nothing happened; it may have said why.
            let said = receive(&stream, Some(FRAME_WAIT), &mut self.answer).ok().and_then(|()| said(&self.answer));
            let error = said.unwrap_or(AccessError::Gone { reason: lost.to_string() });
            return Err(Failed { error, is_open: false });
        }
        if self.request.capacity() > FRAME_BYTES_MAX / 4 {
            self.request = Vec::new();
        }
        receive(&stream, begin, &mut self.answer).map_err(|lost| gone(&lost.to_string(), true))?;
        match self.answer.first() {
            Some(&found) if found == kind | ANSWER => {
                self.stream = Some(stream);
                Ok(std::mem::take(&mut self.answer))
            }
            Some(&ERROR) => {
                let error = said(&self.answer).ok_or_else(misunderstood)?;
                self.stream = Some(stream);
                Err(Failed { error, is_open: false })
            }
            _ => Err(misunderstood()),
        }
    }
}

fn receive(stream: &UnixStream, begin: Option<Duration>, into: &mut Vec<u8>) -> std::result::Result<(), FrameError> {
    let mut timed = Timed::new(stream, begin, FRAME_WAIT);
    let length = frame::read_length(&mut timed, FRAME_BYTES_MAX)?;
    frame::read_body(&mut timed, length, into)
}

/// The error that a frame holds, if it holds one.
fn said(answer: &[u8]) -> Option<AccessError> {
    let (&kind, payload) = answer.split_first()?;
    (kind == ERROR).then(|| response::error(Reader::new(payload)))?
}

fn gone(reason: &str, is_open: bool) -> Failed {
    Failed { error: AccessError::Gone { reason: reason.to_owned() }, is_open }
}

fn misunderstood() -> Failed {
    gone("the hub answered what this program does not understand; use a program of its release", true)
}

/// What it means that a connection was not made.
fn nobody(directory: &Path, reason: &io::Error) -> Result<()> {
    let of = format!("the log of the hub in {}", directory.display());
    match reason.kind() {
        // No socket, or one of a hub that was killed.
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(()),
        io::ErrorKind::PermissionDenied => {
            let reason = format!("{of} is another user's ({reason}); run this as the user who runs the hub");
            Err(AccessError::Denied { reason })
        }
        io::ErrorKind::InvalidInput => Err(AccessError::Mistaken { reason: reason.to_string() }),
        _ => Err(AccessError::Retry { reason: format!("cannot connect to {of} ({reason})") }),
    }
}

fn greet(stream: &UnixStream, wait: Duration) -> Result<()> {
    let lost = |reason: FrameError| AccessError::Gone { reason: reason.to_string() };
    // A hub that refuses has said so and may have closed already: what it said can be read.
    let sent = frame::send(stream, &frame::preface(VERSION, VERSION), wait);
    let mut received = [0; PREFACE_BYTES];
    let read = Timed::new(stream, Some(wait), FRAME_WAIT).read_exact(&mut received);
    read.map_err(|reason| lost(sent.err().unwrap_or_else(|| reason.into())))?;
    match frame::take_preface(received) {
        Some((VERSION, _)) => Ok(()),
        Some((NO_VERSION, _)) => {
            let mut answer = Vec::new();
            receive(stream, Some(FRAME_WAIT), &mut answer).map_err(lost)?;
            Err(said(&answer).unwrap_or_else(|| misunderstood().error))
        }
        Some(_) | None => Err(misunderstood().error),
    }
}

fn millis(wait: Duration) -> u32 {
    // Rounded up: rounded down, the last millisecond would be asked for without end.
    u32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

impl LogAccess for Remote {
    fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.harmless(kind::TOPICS, 0, |_| {}, response::topics)
    }

    fn spans(&self, topic: &str) -> Result<Vec<Range<u64>>> {
        self.harmless(kind::SPANS, topic.len(), |into| request::put_topic(into, topic), response::spans)
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        bytes_max: usize,
        each: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<u64> {
        let bytes_max = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        self.harmless(
            kind::READ,
            topic.len(),
            |into| request::put_read(into, topic, partition, from, bytes_max),
            |answer| response::read(answer, each),
        )
    }

    fn wait_beyond(&self, sequence: u64, wait: Duration) -> Result<u64> {
        let deadline = Instant::now().checked_add(wait);
        loop {
            let left = deadline.map_or(WAIT_ONCE, |deadline| deadline.saturating_duration_since(Instant::now()));
            let put = |into: &mut Vec<u8>| request::put_wait(into, sequence, millis(left.min(WAIT_ONCE)));
            let newest = self.harmless(kind::WAIT, 0, put, response::newest)?;
            if newest > sequence || left.is_zero() {
                return Ok(newest);
            }
        }
    }

    fn append(&self, topic: &str, records: &[NewRecord<'_>], durability: Durability) -> Result<Appended> {
        let bytes = records.iter().map(|record| {
            let body = Body { timestamp_ms: record.timestamp_ms, key: record.key, value: record.value };
            PARTITION_BYTES + body_bytes(body, record.headers)
        });
        let bytes = topic.len() + bytes.sum::<usize>();
        let put = |into: &mut Vec<u8>| request::put_append(into, topic, durability, records);
        self.exchange(kind::APPEND, bytes, put, response::appended).map_err(|Failed { error, is_open }| match error {
            AccessError::Gone { reason } if is_open => AccessError::Unsure { reason },
            other => other,
        })
    }

    fn create_topic(&self, name: &str, partitions: u32, policy: Policy) -> Result<()> {
        let put = |into: &mut Vec<u8>| request::put_create(into, name, partitions, policy);
        self.harmless(kind::CREATE, name.len(), put, response::nothing)
    }

    fn sync(&self) -> Result<()> {
        self.harmless(kind::SYNC, 0, |_| {}, response::nothing)
    }

    fn backup(&self, directory: &Path) -> Result<BackupSummary> {
        // The hub stands in another directory than who asks.
        let directory = std::path::absolute(directory).map_err(|reason| AccessError::Mistaken {
            reason: format!("{} is no directory for a backup ({reason})", directory.display()),
        })?;
        let bytes = directory.as_os_str().as_bytes().len();
        self.harmless(kind::BACKUP, bytes, |into| request::put_backup(into, &directory), response::backup)
    }

    fn status(&self) -> Result<Status> {
        self.harmless(kind::STATUS, 0, |_| {}, response::status)
    }
}
