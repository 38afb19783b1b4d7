//! Telemetry in; operators' endpoints out: `/metrics`, `/health/live`, `/health/ready`.
//!
//! The server has a thread and a runtime of its own, so that a busy hub still answers. It reads shared state and never
//! asks a worker. Deliberately absent: any endpoint that changes something, and any personal data.

mod bounded;
mod operators;
#[cfg(test)]
mod tests;

use std::{future::IntoFuture as _, io, net::SocketAddr, thread::JoinHandle, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, time::timeout};

use crate::telemetry::Telemetry;

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

/// A running server of the operators' endpoints. Dropping it without [`Server::stop`] stops it too, without waiting.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens on `address` (port 0: any free one) and answers from now on. When this returns, connections are taken.
    pub fn start(address: SocketAddr, telemetry: Telemetry) -> Result<Server, ServeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let refused = |source| ServeError::Listen { address, source };
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("http".into()).spawn(move || {
            runtime.block_on(serve(listener, telemetry, stopped));
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

async fn serve(listener: TcpListener, telemetry: Telemetry, stopped: oneshot::Receiver<()>) {
    // One sender wakes two waiters: the server that drains, and the limit on how long it may.
    let (draining, drain) = oneshot::channel::<()>();
    let answer = axum::serve(bounded::Bounded::new(listener), operators::routes(telemetry))
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
