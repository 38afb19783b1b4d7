//! Bytes of a socket in; prefaces and frames, in time and not too large, out, and back.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// Largest frame: kind and payload. What a side may have to hold of the other one's words.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// Bytes of a preface, of either side.
pub(super) const PREFACE_BYTES: usize = 8;

/// The only version there is. Prefaces and errors are the same in every version.
pub(super) const VERSION: u16 = 1;

/// In the hub's preface: it does not serve, and an error follows.
pub(super) const NO_VERSION: u16 = 0;

const MAGIC: [u8; 4] = *b"\xf1HUB";

/// A preface with two numbers: the client's oldest and newest version, or the hub's choice and 0.
pub(super) fn preface(first: u16, second: u16) -> [u8; PREFACE_BYTES] {
    let mut preface = [0; PREFACE_BYTES];
    preface[..4].copy_from_slice(&MAGIC);
    preface[4..6].copy_from_slice(&first.to_le_bytes());
    preface[6..].copy_from_slice(&second.to_le_bytes());
    preface
}

/// The numbers of a preface; `None` if it is none.
pub(super) fn take_preface(preface: [u8; PREFACE_BYTES]) -> Option<(u16, u16)> {
    let [magic @ .., first_low, first_high, second_low, second_high] = preface;
    (magic == MAGIC)
        .then_some((u16::from_le_bytes([first_low, first_high]), u16::from_le_bytes([second_low, second_high])))
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The other side closed before one began.
    #[error("the other side closed it")]
    Closed,
    /// Nothing came in time, or not all of it.
    #[error("the other side was silent for too long")]
    Late,
    /// The other side closed in the middle of one.
    #[error("the other side closed it in the middle of a frame")]
    Cut,
    /// It says that it is larger than it may be, or nothing.
    #[error("a frame of {0} bytes is none")]
    Length(u64),
    /// The machine said so.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Late,
            io::ErrorKind::UnexpectedEof => Self::Cut,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// A stream from which one frame is read: it may take long to begin, and then must come in time as a whole, so that who sends
/// a byte now and then holds nothing for long.
pub(super) struct Timed<'a> {
    stream: &'a UnixStream,
    /// For the first byte; `None`: for ever.
    begin: Option<Duration>,
    /// For all that follow.
    whole: Duration,
    deadline: Option<Instant>,
}

impl<'a> Timed<'a> {
    pub(super) fn new(stream: &'a UnixStream, begin: Option<Duration>, whole: Duration) -> Self {
        Self { stream, begin, whole, deadline: None }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(match self.deadline {
            None => self.begin,
            Some(deadline) => Some(left(deadline)?),
        })?;
        let count = self.stream.read(into)?;
        if self.deadline.is_none() {
            self.deadline = Some(Instant::now() + self.whole);
        }
        Ok(count)
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    // No time at all would mean for ever.
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Sends bytes, all of them in time.
pub(super) fn send(mut stream: &UnixStream, mut bytes: &[u8], whole: Duration) -> Result<(), FrameError> {
    let deadline = Instant::now() + whole;
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(FrameError::Closed),
            Ok(count) => bytes = &bytes[count..],
            Err(reason) if reason.kind() == io::ErrorKind::Interrupted => {}
            Err(reason) => return Err(reason.into()),
        }
    }
    Ok(())
}

/// Reads the length of the next frame, which is at most `limit`.
pub(super) fn read_length(from: &mut impl Read, limit: usize) -> Result<usize, FrameError> {
    let mut head = [0; 4];
    let count = loop {
        match from.read(&mut head) {
            Ok(0) => return Err(FrameError::Closed),
            Ok(count) => break count,
            Err(reason) if reason.kind() == io::ErrorKind::Interrupted => {}
            Err(reason) => return Err(reason.into()),
        }
    };
    from.read_exact(&mut head[count..])?;
    let length = u32::from_le_bytes(head);
    if length == 0 || length as usize > limit { Err(FrameError::Length(length.into())) } else { Ok(length as usize) }
}

/// Reads kind and payload into a buffer, which grows as they come: a length that is only claimed costs nothing.
pub(super) fn read_body(from: &mut impl Read, length: usize, into: &mut Vec<u8>) -> Result<(), FrameError> {
    into.clear();
    from.take(length as u64).read_to_end(into)?;
    if into.len() < length { Err(FrameError::Cut) } else { Ok(()) }
}

/// Empties `frame` and begins one of a kind in it; the payload follows.
pub(super) fn begin(frame: &mut Vec<u8>, kind: u8) {
    frame.clear();
    frame.extend_from_slice(&[0; 4]);
    frame.push(kind);
}

/// Writes the length of a frame that [`begin`] began.
///
/// # Errors
/// Its length if it is too large to be sent.
pub(super) fn seal(frame: &mut [u8]) -> Result<(), usize> {
    let length = frame.len() - 4;
    if length > FRAME_BYTES_MAX {
        return Err(length);
    }
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    fn read(mut bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
        let mut body = Vec::new();
        let length = read_length(&mut bytes, 1000)?;
        read_body(&mut bytes, length, &mut body).map(|()| body)
    }

    #[test]
    fn frames_come_back_and_cut_ones_do_not() {
        let mut frame = Vec::new();
        begin(&mut frame, 7);
        frame.extend_from_slice(b"payload");
        seal(&mut frame).expect("small enough");
        assert_eq!(frame, b"\x08\0\0\0\x07payload");
        assert_eq!(read(&frame).expect("a frame"), b"\x07payload");
        assert!(matches!(read(&[]), Err(FrameError::Closed)));
        for length in 1..frame.len() {
            assert!(matches!(read(&frame[..length]), Err(FrameError::Cut)), "{length} bytes");
        }
        for claimed in [0, 1001, u32::MAX] {
            assert!(matches!(read(&claimed.to_le_bytes()), Err(FrameError::Length(_))));
        }
        assert_eq!(seal(&mut vec![0; FRAME_BYTES_MAX + 5]), Err(FRAME_BYTES_MAX + 1));
    }

    #[test]
    fn frame_that_only_claims_to_be_large_costs_nothing() {
        let mut body = Vec::new();
        assert!(matches!(read_body(&mut &[1_u8; 10][..], FRAME_BYTES_MAX, &mut body), Err(FrameError::Cut)));
        assert!(body.capacity() < 1000, "{}", body.capacity());
    }

    #[test]
    fn who_sends_a_byte_now_and_then_is_late() {
        let (here, there) = UnixStream::pair().expect("a pair");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Until nobody reads.
                while (&there).write_all(&[1]).is_ok() {
                    std::thread::sleep(SHORT / 4);
                }
            });
            let mut timed = Timed::new(&here, Some(LONG), SHORT);
            let length = read_length(&mut timed, usize::MAX);
            let late = length.and_then(|_| read_body(&mut timed, 1000, &mut Vec::new()));
            assert!(matches!(late, Err(FrameError::Late)), "{late:?}");
            here.shutdown(std::net::Shutdown::Both).expect("a shutdown");
        });
    }

    #[test]
    fn who_does_not_read_is_late() {
        let (here, _there) = UnixStream::pair().expect("a pair");
        assert!(matches!(send(&here, &vec![0; 8 << 20], SHORT), Err(FrameError::Late)));
        let mut timed = Timed::new(&here, Some(SHORT), LONG);
        assert!(matches!(read_length(&mut timed, 1000), Err(FrameError::Late)));
    }

    #[test]
    fn prefaces_come_back() {
        assert_eq!(preface(1, 0x0203), *b"\xf1HUB\x01\0\x03\x02");
        assert_eq!(take_preface(preface(1, 2)), Some((1, 2)));
        assert_eq!(take_preface(*b"GET / HT"), None);
    }

    proptest! {
        #[test]
        fn random_bytes_are_a_frame_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..50), length in 0..40_u32) {
            let _ = read(&bytes);
            let with_length = [&length.to_le_bytes(), &bytes[..]].concat();
            let is_whole = length > 0 && bytes.len() >= length as usize;
            prop_assert_eq!(read(&with_length).is_ok(), is_whole);
        }
    }
}
