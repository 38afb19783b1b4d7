//! A listener in; connections out that are few, short-lived and small, so that no client can hold the hub's memory.
//!
//! A connection may live for a while and send so much before it is answered: this bounds headers, bodies and slow senders alike.
//! Who keeps a connection alive connects anew then. Who has got no answer within half a minute of connecting has not asked for one; who takes nothing
//! of an answer for a minute, or asks for no other, is gone.

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
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};

/// Within how long a connection must have got something.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take nothing after that. Streams of events are sent something more often.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// How many connections, and how much of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections at a time; more wait in the system's queue.
    pub(super) connections_max: usize,
    /// How long a connection may live.
    pub(super) lifetime_max: Duration,
    /// What a connection may send between two answers.
    pub(super) request_bytes_max: usize,
}

/// A listener whose connections are bounded.
pub(super) struct Bounded {
    listener: TcpListener,
    bounds: Bounds,
    places: Arc<Semaphore>,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener, bounds: Bounds) -> Bounded {
        Bounded { listener, bounds, places: Arc::new(Semaphore::new(bounds.connections_max)) }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            end: Box::pin(sleep_until(Instant::now() + ANSWERED_WITHIN.min(self.bounds.lifetime_max))),
            end_of_life: Instant::now() + self.bounds.lifetime_max,
            bytes_left: self.bounds.request_bytes_max,
            request_bytes_max: self.bounds.request_bytes_max,
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
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    /// Its end at the latest.
    end_of_life: Instant,
    bytes_left: usize,
    request_bytes_max: usize,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// It took something: it may live on for a while.
    fn note_taken(&mut self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(bytes)) if *bytes > 0) {
            self.bytes_left = self.request_bytes_max;
            let end = self.end_of_life.min(Instant::now() + IDLE_MAX);
            // Not with each piece.
            if end.saturating_duration_since(self.end.deadline()) > Duration::from_secs(1) {
                self.end.as_mut().reset(end);
            }
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
        answer
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_end(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_taken(&written);
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
        self.note_taken(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
