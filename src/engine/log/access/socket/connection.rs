//! One client's requests in; their answers out. The requests are judged here, their frames in `frame`.

use std::{
    io::Read,
    ops::ControlFlow,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    budget::Budget,
    frame::{self, FRAME_BYTES_MAX, FrameError, NO_VERSION, PREFACE_BYTES, Timed, VERSION},
    request::{ANSWER, ERROR, Request, Unreadable},
    response::{self, Reading},
    server::Limits,
    wire::Records,
};
use crate::engine::log::access::{AccessError, Durability, LogAccess, Result};

/// What all connections have in common.
pub(super) struct Shared {
    pub(super) access: Arc<dyn LogAccess>,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) is_stopping: AtomicBool,
}

/// Requests up to here are free of the budget, and buffers of this size are kept between requests.
pub(super) const SMALL_BYTES: usize = 64 << 10;

/// What an append takes in memory at most, in times of its frame: the frame, its headers (8 bytes there, 40 as a pair of
/// slices), the commit and the log's own frame.
pub(super) const APPEND_TIMES: usize = 8;

/// How long a stop may stay unseen by a client that waits.
const WAIT_SLICE: Duration = Duration::from_millis(200);

impl Shared {
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }
}

/// Says why one is not served, instead of a preface.
pub(super) fn refuse(stream: &UnixStream, error: &AccessError, whole: Duration) -> std::result::Result<(), FrameError> {
    let mut bytes = Vec::new();
    put_error_frame(&mut bytes, error);
    bytes.splice(..0, frame::preface(NO_VERSION, 0));
    frame::send(stream, &bytes, whole)
}

fn put_error_frame(into: &mut Vec<u8>, error: &AccessError) {
    frame::begin(into, ERROR);
    response::put_error(into, error);
    // Texts of errors are cut to a small part of what a frame takes.
    let _ = frame::seal(into);
}

/// Answers a client until it goes, is late, sends what is no frame, or the server stops.
///
/// # Errors
/// How it ended, if not by a stop.
pub(super) fn serve(stream: &UnixStream, shared: &Shared) -> std::result::Result<(), FrameError> {
    let limits = &shared.limits;
    let mut received = [0; PREFACE_BYTES];
    Timed::new(stream, Some(limits.frame_wait), limits.frame_wait).read_exact(&mut received)?;
    match frame::take_preface(received) {
        Some((oldest, newest)) if (oldest..=newest).contains(&VERSION) => {
            frame::send(stream, &frame::preface(VERSION, 0), limits.frame_wait)?;
        }
        Some((oldest, newest)) => {
            let reason = format!(
                "the hub speaks version {VERSION} of the log's protocol, not {oldest} to {newest}; use a program of its release"
            );
            return refuse(stream, &AccessError::Unsupported { reason }, limits.frame_wait);
        }
        None => {
            let reason =
                "this is the log of an insight-hub, and that was not its protocol; begin with its preface".to_owned();
            return refuse(stream, &AccessError::Mistaken { reason }, limits.frame_wait);
        }
    }
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    while !shared.is_stopping() {
        let goes_on = next(stream, shared, &mut request, &mut answer)?;
        frame::send(stream, &answer, limits.frame_wait)?;
        if !goes_on {
            break;
        }
        // What a large request or record needed is not held while the client thinks.
        for (buffer, kept) in [(&mut request, SMALL_BYTES), (&mut answer, limits.answer_bytes_max.saturating_mul(4))] {
            if buffer.capacity() > kept {
                *buffer = Vec::new();
            }
        }
    }
    Ok(())
}

/// Reads the next request and puts its answer together; whether another one may follow.
fn next(
    stream: &UnixStream,
    shared: &Shared,
    request: &mut Vec<u8>,
    answer: &mut Vec<u8>,
) -> std::result::Result<bool, FrameError> {
    let limits = &shared.limits;
    let mut timed = Timed::new(stream, Some(limits.idle), limits.frame_wait);
    let length = match frame::read_length(&mut timed, limits.request_bytes_max) {
        Err(FrameError::Length(bytes)) if bytes > 0 => {
            put_error_frame(answer, &AccessError::TooLarge { bytes, limit: limits.request_bytes_max as u64 });
            return Ok(false);
        }
        length => length?,
    };
    let mut share = None;
    if length > SMALL_BYTES {
        share = shared.budget.take(length * APPEND_TIMES, limits.frame_wait / 2);
        if share.is_none() {
            let reason = "the hub has as many large requests as it takes at a time".to_owned();
            put_error_frame(answer, &AccessError::Retry { reason });
            return Ok(false);
        }
    }
    frame::read_body(&mut timed, length, request)?;
    // A frame has a kind at least.
    let (kind, payload) = request.split_first().map_or((0, &request[..]), |(kind, payload)| (*kind, payload));
    let (outcome, goes_on) = match Request::take(kind, payload) {
        Ok(request) => {
            frame::begin(answer, request.kind() | ANSWER);
            (put_answer(&request, shared, answer), true)
        }
        Err(Unreadable::Kind(kind)) => {
            let reason = format!("the hub knows no request of kind {kind}; use a program of its release");
            (Err(AccessError::Unsupported { reason }), true)
        }
        Err(Unreadable::Payload(kind)) => {
            let reason = format!("a request of kind {kind} does not read as one; see the table of the protocol");
            (Err(AccessError::Mistaken { reason }), false)
        }
    };
    drop(share);
    let outcome = outcome.and_then(|()| {
        frame::seal(answer).map_err(|bytes| AccessError::Stop {
            reason: format!("an answer of {bytes} bytes is more than the socket takes; ask with the hub stopped"),
        })
    });
    if let Err(error) = outcome {
        put_error_frame(answer, &error);
    }
    Ok(goes_on)
}

fn put_answer(request: &Request<'_>, shared: &Shared, into: &mut Vec<u8>) -> Result<()> {
    let access = &*shared.access;
    match *request {
        Request::Topics => response::put_topics(into, &access.topics()?),
        Request::Spans { topic } => response::put_spans(into, &access.spans(topic)?),
        Request::Read { topic, partition, from, bytes_max } => {
            let bytes_max = shared.limits.answer_bytes_max.min(bytes_max as usize);
            put_records(access, into, topic, partition, from, bytes_max)?;
        }
        Request::Wait { sequence, wait_ms } => response::put_newest(into, wait(shared, sequence, wait_ms)?),
        Request::Append { topic, durability, records } => {
            response::put_appended(into, &append(access, topic, durability, &records)?);
        }
        Request::Create { name, partitions, policy } => access.create_topic(name, partitions, policy)?,
        Request::Sync => access.sync()?,
        Request::Backup { directory } => {
            if !directory.is_absolute() {
                let reason =
                    "the directory of a backup must be given from the root on: the hub runs elsewhere".to_owned();
                return Err(AccessError::Mistaken { reason });
            }
            response::put_backup(into, access.backup(directory)?);
        }
        Request::Status => response::put_status(into, &access.status()?),
    }
    Ok(())
}

fn append(
    access: &dyn LogAccess,
    topic: &str,
    durability: Durability,
    records: &Records<'_>,
) -> Result<crate::engine::log::access::Appended> {
    let headers = records.headers();
    access.append(topic, &records.records(&headers), durability)
}

/// Puts as many records as fit into the answer, at least one if there is one.
fn put_records(
    access: &dyn LogAccess,
    into: &mut Vec<u8>,
    topic: &str,
    partition: u32,
    from: u64,
    bytes_max: usize,
) -> Result<()> {
    let mut reading = Reading::begin(into);
    let mut left_out = None;
    let next = access.read(topic, partition, from, bytes_max, &mut |record| {
        let bytes = reading.bytes_with(into, record);
        // The log hands over whole blocks. One that goes a little beyond is taken whole; one that is much larger than an answer
        // is read again for the next one, which begins in the middle.
        if bytes >= FRAME_BYTES_MAX || (bytes > bytes_max.saturating_mul(2) && reading.count() > 0) {
            left_out = Some((record.offset, bytes));
            return ControlFlow::Break(());
        }
        reading.put(into, record);
        ControlFlow::Continue(())
    })?;
    let next = match left_out {
        Some((offset, bytes)) if reading.count() == 0 => {
            let reason = format!(
                "the record at offset {offset} has about {bytes} bytes, more than the socket takes; read on from offset {}, or with \
                 the hub stopped",
                offset + 1
            );
            return Err(AccessError::Mistaken { reason });
        }
        Some((offset, _)) => offset,
        None => next,
    };
    reading.end(into, next);
    Ok(())
}

/// Waits, in slices: the log does not know of a stop, and a client that left would be noticed only at the end.
fn wait(shared: &Shared, sequence: u64, wait_ms: u32) -> Result<u64> {
    let asked = Duration::from_millis(wait_ms.into()).min(shared.limits.wait_max);
    let deadline = Instant::now() + asked;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let newest = shared.access.wait_beyond(sequence, left.min(WAIT_SLICE))?;
        if newest > sequence || left.is_zero() {
            return Ok(newest);
        }
        if shared.is_stopping() {
            return Err(AccessError::Gone { reason: "the hub stops".to_owned() });
        }
    }
}
