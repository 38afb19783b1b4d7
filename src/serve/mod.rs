//! Telemetry and the feeds in; HTTP out: operators' endpoints (`/metrics`, `/health/live`, `/health/ready`), and the API.
//!
//! - [`access`]: who asks, and what they may. [`audit`]: who saw personal data.
//! - [`view`]: the local copy of the feeds that the API shows. [`http`]: the API. `pages`: the dashboard, which asks the API.
//! - [`writing`]: records for departments' topics and operators' commands; [`room`]: for how much of it there is room.
//! - `board`: the newest values of the company for whoever scrapes.
//! - [`tls`]: connections that nobody else reads.
//! - `operators`: the endpoints that need no login. `bounded`: connections that cannot hold the hub's memory.
//!
//! Each server has threads and a runtime of its own, so that a busy hub still answers. They read shared state and never
//! ask a worker. Deliberately absent: any way to change something but by appending to a topic that is the hub's input; and, from
//! the endpoints for operators, any personal data.

pub mod access;
pub mod audit;
mod board;
mod bounded;
pub mod http;
mod operators;
mod pages;
pub mod room;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod view;
pub mod writing;

use std::{future::IntoFuture as _, io, net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use axum::{
    http::{HeaderValue, header},
    middleware::map_response,
    response::Response,
};
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot, time::timeout};

pub use board::{Board, Shown};

use self::{
    bounded::{ANSWERED_WITHIN, Bounds, IDLE_MAX},
    http::ApiOptions,
    tls::Tls,
    view::{Progress, View},
};
use crate::telemetry::Telemetry;

/// How long an answer may wait to be taken, beside the time that its bytes are given.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// Scrapers and supervisors are few.
const OPERATORS: Bounds = Bounds {
    connections_max: 64,
    lifetime_max: Duration::from_secs(60),
    answered_within: ANSWERED_WITHIN,
    idle_max: IDLE_MAX,
    taken_within: TAKEN_WITHIN,
    request_bytes_max: 64 << 10,
};
/// Programs keep their connections, and ask much with each.
const API: Bounds = Bounds {
    connections_max: 1_200,
    lifetime_max: Duration::from_secs(3_600),
    answered_within: ANSWERED_WITHIN,
    idle_max: IDLE_MAX,
    taken_within: TAKEN_WITHIN,
    request_bytes_max: 4 << 20,
};
/// Streams of events at a time, of those connections: the rest is for requests.
const STREAMS_MAX: usize = 1_000;
/// Threads of the API that wait for connections, and for the view.
const API_THREADS: usize = 2;
const API_VIEW_THREADS: usize = 8;

/// How long a stop waits for answers under way.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// The endpoints cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// No thread or runtime could be made.
    #[error("cannot start the HTTP server: {0}")]
    Start(#[from] io::Error),
}

/// A running server. Dropping it without [`Server::stop`] stops it too, without waiting.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens on `address` (port 0: any free one) for operators, and answers from now on. When this returns, connections are
    /// taken. `view`: how far the view is, if one is kept; `board`: the values of it that are among the figures.
    ///
    /// # Errors
    /// [`ServeError`] if the address is taken, or there is no room for a thread.
    pub fn start(
        address: SocketAddr,
        telemetry: Telemetry,
        view: Option<Progress>,
        board: Option<Arc<Board>>,
    ) -> Result<Server, ServeError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Server::of((address, None), runtime, operators::routes(telemetry, view, board), OPERATORS, "http")
    }

    /// The same for the API and the dashboard.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn api(address: SocketAddr, view: Arc<View>, options: ApiOptions) -> Result<Server, ServeError> {
        let tls = options.tls.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(API_THREADS)
            .max_blocking_threads(API_VIEW_THREADS)
            .thread_name("api")
            .enable_all()
            .build()?;
        // Headers besides the longest body.
        let request_bytes_max = API.request_bytes_max.max(options.ingestion.body_bytes_max + (1 << 20));
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let connections_max = connections_within(open_files(&limits), API.connections_max);
        if connections_max < API.connections_max {
            tracing::warn!(
                "few files may be open (ulimit -n): the API takes {connections_max} connections at a time instead of {}",
                API.connections_max
            );
        }
        // An answer may take as long as it is said to, after a body that came in its own time.
        let answered_within = ANSWERED_WITHIN.max(options.request_timeout + ANSWERED_WITHIN / 2);
        let bounds = Bounds { connections_max, answered_within, request_bytes_max, ..API };
        let (api, inside) = http::routes(view, options, STREAMS_MAX * connections_max / API.connections_max);
        let mut routes = pages::beside(inside, api);
        if tls.is_some() {
            routes = routes.layer(map_response(strict_transport));
        }
        Server::of((address, tls), runtime, routes, bounds, "api")
    }

    fn of(
        (address, tls): (SocketAddr, Option<Tls>),
        runtime: tokio::runtime::Runtime,
        routes: axum::Router,
        bounds: Bounds,
        name: &str,
    ) -> Result<Server, ServeError> {
        let refused = |source| ServeError::Listen { address, source };
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            let listener = bounded::Bounded::new(listener, bounds, tls);
            runtime.block_on(serve(listener, routes, stopped));
            // What still reads the view for nobody is hardly waited for.
            runtime.shutdown_timeout(DRAIN_MAX);
        })?;
        Ok(Server { address, stop, thread })
    }

    /// The address that it listens on, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and waits, for a few seconds at most, until answers under way are given.
    pub fn stop(self) {
        drop(self.stop);
        // A panic of the server's thread has been reported by its hook; a stop goes on.
        let _ = self.thread.join();
    }
}

/// How many files a process may have open, as Linux says of it; `None`: as many as it likes, or nobody knows.
fn open_files(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many connections of those that are wanted leave the log and the stores half of the files: without one they would stop the hub.
fn connections_within(open_files: Option<usize>, wanted: usize) -> usize {
    open_files.map_or(wanted, |files| wanted.min(files / 2).max(1))
}

/// A browser that came over TLS once comes in no other way for a year (RFC 6797).
async fn strict_transport(mut response: Response) -> Response {
    let value = HeaderValue::from_static("max-age=31536000");
    response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
    response
}

async fn serve(listener: bounded::Bounded, routes: axum::Router, stopped: oneshot::Receiver<()>) {
    // One sender wakes two waiters: the server that drains, and the limit on how long it may.
    let (draining, drain) = oneshot::channel::<()>();
    let answer = axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            // An error means that the server's owner is gone: a stop as well.
            let _ = stopped.await;
            drop(draining);
        })
        .into_future();
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        _ = &mut answer => {}
        _ = drain => {
            let _ = timeout(DRAIN_MAX, answer).await;
        }
    }
}
