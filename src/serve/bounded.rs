//! A listener in; connections out that are few, short-lived and small, so that no client can hold the hub's memory.
//!
//! A connection may live for a while and send so much before it is answered: this bounds headers, bodies and slow senders alike.
//! Who keeps a connection alive connects anew then. Who has got no answer within half a minute of connecting, or of beginning to
//! ask for the next one (or within what an answer may take, if that is more), has not asked for one; who takes nothing of an
//! answer for a minute, or asks for no other, is gone. Who takes an answer drop by drop holds its memory as well: for what waits
//! to be taken half a minute is given, which each [`TAKEN_PER_SECOND_MIN`] bytes that are taken make a second longer, up to half
//! a minute again.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};

use super::tls::{Tls, Wire};

/// Within how long somebody must have got something who has begun to ask, in general.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// How long nothing may be taken after an answer, in general. Streams of events are sent something more often.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(60);

/// Bytes that a client takes in a second at least, in the mean, while there are some: less than any line has.
const TAKEN_PER_SECOND_MIN: u64 = 4 << 10;

/// How many connections, and how much of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections at a time; more wait in the system's queue.
    pub(super) connections_max: usize,
    /// How long a connection may live.
    pub(super) lifetime_max: Duration,
    /// Within how long something must be answered to who has connected, or begins to ask again.
    pub(super) answered_within: Duration,
    /// How long it may take nothing after an answer.
    pub(super) idle_max: Duration,
    /// How long something may wait to be taken, beside the time that its bytes are given.
    pub(super) taken_within: Duration,
    /// What a connection may send between two answers.
    pub(super) request_bytes_max: usize,
}

/// A listener whose connections are bounded.
pub(super) struct Bounded {
    listener: TcpListener,
    bounds: Bounds,
    tls: Option<Tls>,
    places: Arc<Semaphore>,
}

impl Bounded {
    /// `tls`: what makes connections TLS; without it they are plain.
    pub(super) fn new(listener: TcpListener, bounds: Bounds, tls: Option<Tls>) -> Bounded {
        Bounded { listener, bounds, tls, places: Arc::new(Semaphore::new(bounds.connections_max)) }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let stream = match &self.tls {
            None => Wire::Plain(stream),
            Some(tls) => tls.wrap(stream),
        };
        let connection = Connection {
            stream,
            end: Box::pin(sleep_until(Instant::now() + self.bounds.answered_within.min(self.bounds.lifetime_max))),
            asks: true,
            end_of_life: Instant::now() + self.bounds.lifetime_max,
            due: None,
            bytes_left: self.bounds.request_bytes_max,
            bounds: self.bounds,
            _place: place,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with an end and a bound on what it may send.
pub(super) struct Connection {
    stream: Wire,
    end: Pin<Box<Sleep>>,
    /// Something came since the last answer.
    asks: bool,
    /// When it ends at the latest, or when what was asked before that is answered.
    end_of_life: Instant,
    /// By when more must be taken of what waits, if something does.
    due: Option<Instant>,
    bytes_left: usize,
    bounds: Bounds,
    _place: OwnedSemaphorePermit,
}

/// By when more must be taken of what waits, after so many bytes were offered and `taken` of them taken; `None` taken: the client
/// takes nothing now. `None`: nothing waits. What is taken gives time, and no more than at first: not even all that the system's
/// own memory takes at once.
fn due(due: Option<Instant>, offered: usize, taken: Option<usize>, now: Instant, within: Duration) -> Option<Instant> {
    if taken.is_some_and(|taken| taken >= offered) {
        return None;
    }
    let given_ms = taken.unwrap_or_default() as u64 * 1_000 / TAKEN_PER_SECOND_MIN;
    let latest = now + within;
    Some(due.map_or(latest, |due| latest.min(due + Duration::from_millis(given_ms))))
}

impl Connection {
    /// It took something of what was offered, or nothing: it may live on for a while.
    fn note_taken(&mut self, offered: usize, written: &Poll<io::Result<usize>>, context: &mut Context<'_>) {
        let taken = match written {
            Poll::Ready(Ok(taken)) => Some(*taken),
            Poll::Ready(Err(_)) => return,
            Poll::Pending => None,
        };
        if taken.is_some_and(|taken| taken > 0) {
            self.bytes_left = self.bounds.request_bytes_max;
            self.asks = false;
        }
        let now = Instant::now();
        let was_due = self.due;
        self.due = due(self.due, offered, taken, now, self.bounds.taken_within);
        let end = self.end_of_life.min(now + self.bounds.idle_max);
        let end = self.due.map_or(end, |due| end.min(due));
        // Who takes nothing gets no more time by that; and the clock is not set with each piece.
        let is_new = self.due.is_some() && was_due.is_none();
        let is_later = taken.is_some_and(|taken| taken > 0)
            && end.saturating_duration_since(self.end.deadline())
                > Duration::from_secs(1).min(self.bounds.taken_within / 8);
        if is_new && end < self.end.deadline() || is_later {
            self.end.as_mut().reset(end);
            // Whoever waits is woken by it.
            let _ = self.end.as_mut().poll(context);
        }
    }

    fn check_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_end(context)?;
        let before = buffer.filled().len();
        let answer = Pin::new(&mut self.stream).poll_read(context, buffer);
        let taken = buffer.filled().len() - before;
        match self.bytes_left.checked_sub(taken) {
            Some(left) => self.bytes_left = left,
            None => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
        if taken > 0 && !self.asks {
            // Who asks before the end is answered: also where the end of the connection's life is near, and nothing after it.
            self.asks = true;
            let now = Instant::now();
            let end = now + self.bounds.answered_within;
            if now < self.end_of_life && end > self.end.deadline() && self.due.is_none() {
                self.end.as_mut().reset(end);
                let _ = self.end.as_mut().poll(context);
            }
        }
        answer
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_end(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_taken(bytes.len(), &written, context);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_end(context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note_taken(slices.iter().map(|slice| slice.len()).sum(), &written, context);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::IntoFuture as _,
        io::{Read as _, Write as _},
    };

    use axum::{Router, routing::get};

    use super::*;

    const TAKEN_WITHIN: Duration = Duration::from_secs(30);

    #[test]
    fn a_client_that_takes_a_drop_now_and_then_is_cut_off_and_one_that_takes_all_is_not() {
        const ANSWER_BYTES: usize = 64 << 20;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let bounds = Bounds {
            connections_max: 8,
            lifetime_max: Duration::from_secs(600),
            taken_within: Duration::from_secs(1),
            request_bytes_max: 1 << 20,
            answered_within: ANSWERED_WITHIN,
            idle_max: IDLE_MAX,
        };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free loopback port");
        let address = listener.local_addr().expect("it is bound");
        let routes = Router::new().route("/", get(|| async { vec![b'x'; ANSWER_BYTES] }));
        runtime.spawn(axum::serve(Bounded::new(listener, bounds, None), routes).into_future());
        // Reads so much at a time, with a pause after each; how much came before the end.
        let read = |at_a_time: usize, pause: Duration| {
            let mut stream = std::net::TcpStream::connect(address).expect("it listens");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a positive time");
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it is taken");
            let (mut all, mut piece, began) = (0, vec![0; at_a_time], std::time::Instant::now());
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                all += count;
                assert!(began.elapsed() < Duration::from_secs(60), "{all} bytes came, and it is not cut off");
                std::thread::sleep(pause);
            }
            all
        };
        assert!(read(1 << 20, Duration::ZERO) > ANSWER_BYTES, "all of it");
        // Always something waits, and always something is taken.
        let slow = std::thread::scope(|scope| scope.spawn(|| read(256 << 10, Duration::from_millis(10))).join());
        assert!(slow.expect("it ends") > ANSWER_BYTES, "25 MB/s is no drop");
        // What the system holds for it comes first, and is no more than a part.
        let mut stream = std::net::TcpStream::connect(address).expect("it listens");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is taken");
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(6) {
            let mut drop = [0; 1];
            if !matches!(stream.read(&mut drop), Ok(1)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut rest = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a positive time");
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() < ANSWER_BYTES / 2, "{} bytes were still there for it", rest.len());
    }

    #[test]
    fn who_asks_again_before_the_end_is_answered_after_it() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let second = Duration::from_secs(1);
        let bounds = Bounds {
            connections_max: 8,
            lifetime_max: Duration::from_secs(600),
            answered_within: ANSWERED_WITHIN,
            idle_max: 3 * second,
            taken_within: TAKEN_WITHIN,
            request_bytes_max: 1 << 20,
        };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free loopback port");
        let address = listener.local_addr().expect("it is bound");
        let slow = get(move || async move {
            tokio::time::sleep(3 * second).await;
            "late"
        });
        let routes = Router::new().route("/", get(|| async { "soon" })).route("/slow", slow);
        runtime.spawn(axum::serve(Bounded::new(listener, bounds, None), routes).into_future());
        let asks_twice = || {
            let mut stream = std::net::TcpStream::connect(address).expect("it listens");
            stream.set_read_timeout(Some(20 * second)).expect("a positive time");
            let mut all = String::new();
            for (path, end) in [("/", "soon"), ("/slow", "late")] {
                let asked = stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
                let mut piece = [0; 1_024];
                while asked.is_ok() && !all.ends_with(end) {
                    match stream.read(&mut piece) {
                        Ok(count @ 1..) => all.push_str(&String::from_utf8_lossy(&piece[..count])),
                        _ => return false,
                    }
                }
                std::thread::sleep(second);
            }
            all.ends_with("late")
        };
        // A busy machine may have slept over the end.
        assert!((0..5).any(|_| asks_twice()), "it was cut off while it was being answered");
    }

    #[test]
    fn who_never_ceases_to_ask_connects_anew() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let second = Duration::from_secs(1);
        let bounds = Bounds {
            connections_max: 8,
            lifetime_max: 2 * second,
            answered_within: second,
            idle_max: IDLE_MAX,
            taken_within: TAKEN_WITHIN,
            request_bytes_max: 1 << 20,
        };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free loopback port");
        let mut stream = std::net::TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        stream.set_read_timeout(Some(20 * second)).expect("a positive time");
        let routes = Router::new().route("/", get(|| async { "soon" }));
        runtime.spawn(axum::serve(Bounded::new(listener, bounds, None), routes).into_future());
        let (began, mut piece) = (Instant::now(), [0; 1_024]);
        while stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").is_ok()
            && matches!(stream.read(&mut piece), Ok(1..))
        {
            assert!(began.elapsed() < 30 * second, "it lives for ever");
            std::thread::sleep(second / 20);
        }
    }

    #[test]
    fn who_takes_an_answer_drop_by_drop_is_not_given_more_time_by_each_drop() {
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        // All that the system takes for it, and a drop each second.
        let mut until = due(None, 64 << 20, Some(1 << 20), begun, TAKEN_WITHIN);
        until = due(until, 64 << 20, Some(4 << 20), begun, TAKEN_WITHIN);
        for drop in 1..=120 {
            until = due(until, 60 << 20, Some(1), begun + second * drop, TAKEN_WITHIN);
            until = due(until, 60 << 20, None, begun + second * drop, TAKEN_WITHIN);
        }
        assert_eq!(until, Some(begun + TAKEN_WITHIN), "120 bytes in two minutes");
    }

    #[test]
    fn who_takes_it_at_a_slow_lines_rate_gets_all_of_it() {
        let begun = Instant::now();
        let mut until = None;
        for second in 0..3_000 {
            let now = begun + Duration::from_secs(second);
            assert!(until.is_none_or(|until| until > now), "cut off after {second} s");
            until = due(until, 64 << 20, Some(TAKEN_PER_SECOND_MIN as usize), now, TAKEN_WITHIN);
        }
        assert_eq!(due(until, 10, Some(10), begun, TAKEN_WITHIN), None, "and what is taken whole waits no more");
    }
}
