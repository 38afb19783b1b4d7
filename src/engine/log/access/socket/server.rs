//! A data directory and access to its log in; a socket in the directory, and a thread for each client, out.
//!
//! ```text
//! started ── stop, or drop ──> stopping: no new client, waiting ones are told, requests in progress are answered
//!                                 │  a second later, clients that do not read their answer are cut off
//!                                 └──> stopped: the socket is removed, all threads are joined
//! ```

use std::{
    fs, io,
    net::Shutdown,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    address::{self, SOCKET},
    budget::Budget,
    connection::{self, Shared},
    frame::FRAME_BYTES_MAX,
};
use crate::engine::log::access::{AccessError, LogAccess};

/// What clients may take of the hub. Together they hold at most about `connections_max` × 4 × `answer_bytes_max`, a record
/// each, and `large_bytes_max`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Clients at once. Each has a thread.
    pub connections_max: usize,
    /// Bytes of one request, 16 MiB at most.
    pub request_bytes_max: usize,
    /// Bytes of records in one answer, about: up to twice as many if the log's block ends there, or one larger record. Larger
    /// answers save turns, and whole blocks save reading them again; each client holds one.
    pub answer_bytes_max: usize,
    /// Bytes of memory for all requests of more than 64 KiB together, eight times the request for each: further ones wait.
    pub large_bytes_max: usize,
    /// A connection on which nothing is asked for so long is closed.
    pub idle: Duration,
    /// From the first to the last byte of a request, and of an answer.
    pub frame_wait: Duration,
    /// Longest wait in one request; longer ones are asked again. A client that leaves while it waits holds its place as long.
    pub wait_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 32,
            request_bytes_max: FRAME_BYTES_MAX,
            answer_bytes_max: 512 << 10,
            large_bytes_max: connection::APPEND_TIMES * FRAME_BYTES_MAX,
            idle: Duration::from_secs(300),
            frame_wait: Duration::from_secs(10),
            wait_max: Duration::from_secs(10),
        }
    }
}

/// A pause when the machine accepts nothing more, for want of descriptors: the next attempt would be refused at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long clients have to read their last answer.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// How often a stop looks whether all have ended.
const STOP_LOOK: Duration = Duration::from_millis(2);

/// Serves a log to other processes until it is stopped or dropped.
pub struct Server {
    shared: Arc<Shared>,
    connections: Arc<Connections>,
    /// The listener as a stream, which can be shut down: that wakes the thread that accepts.
    waker: UnixStream,
    directory: PathBuf,
    /// Of the socket's file: another server may have replaced it.
    inode: (u64, u64),
    accepting: Option<JoinHandle<()>>,
}

/// The clients that are served, and those that have just left.
type Connections = Mutex<Vec<Connection>>;

struct Connection {
    stream: UnixStream,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves the log on the socket in `directory`. The caller holds the lock of the log there, so a socket that is there is one
    /// of a hub that was killed, and is replaced.
    ///
    /// Only the user who runs the hub, and root, can connect: nobody else may write to the socket's file. (The kernel also
    /// tells who is on the other side, but the standard library does not yet: `UnixStream::peer_cred` is unstable.)
    ///
    /// # Errors
    /// What the machine says; [`io::ErrorKind::AlreadyExists`] if something else of that name is there;
    /// [`io::ErrorKind::InvalidInput`] if the path is too long for a socket.
    pub fn start(directory: &Path, access: Arc<dyn LogAccess>, limits: Limits) -> io::Result<Self> {
        let limits = Limits { request_bytes_max: limits.request_bytes_max.min(FRAME_BYTES_MAX), ..limits };
        let (listener, inode) = bind(directory).map_err(|reason| {
            let text = format!("cannot serve the log in {} to other commands: {reason}", directory.display());
            io::Error::new(reason.kind(), text)
        })?;
        let waker = UnixStream::from(OwnedFd::from(listener.try_clone()?));
        let budget = Budget::new(limits.large_bytes_max);
        let shared = Arc::new(Shared { access, limits, budget, is_stopping: AtomicBool::new(false) });
        let connections = Arc::new(Connections::default());
        let accepting = {
            let (shared, connections) = (Arc::clone(&shared), Arc::clone(&connections));
            thread::Builder::new()
                .name("log-socket".to_owned())
                .spawn(move || accept(&listener, &shared, &connections))?
        };
        let directory = directory.to_owned();
        Ok(Self { shared, connections, waker, directory, inode, accepting: Some(accepting) })
    }

    /// Stops: clients that wait are told, requests in progress are answered. Returns when all threads have ended, which
    /// takes as long as the longest request: at most about a second, but for backups and the owner's waits for room.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        let _ = self.waker.shutdown(Shutdown::Both);
        let is_ours = |found: fs::Metadata| (found.dev(), found.ino()) == self.inode;
        let socket = self.directory.join(SOCKET);
        if fs::symlink_metadata(&socket).is_ok_and(is_ours) {
            // Linux wakes who accepts on a listener that is shut down, and refuses this one; elsewhere, this one wakes it.
            let _ = address::find(&self.directory, SOCKET).and_then(|address| UnixStream::connect(&address.path));
            let _ = fs::remove_file(&socket);
        }
        let _ = accepting.join();
        let connections = std::mem::take(&mut *lock(&self.connections));
        for connection in &connections {
            // The next request is not read, but the last answer can be.
            let _ = connection.stream.shutdown(Shutdown::Read);
        }
        let grace = Instant::now() + STOP_GRACE;
        while Instant::now() < grace && connections.iter().any(|connection| !connection.thread.is_finished()) {
            thread::sleep(STOP_LOOK);
        }
        for connection in connections {
            let _ = connection.stream.shutdown(Shutdown::Both);
            let _ = connection.thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A list that a panic cannot leave half-changed.
fn lock(connections: &Connections) -> MutexGuard<'_, Vec<Connection>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the socket is until only its owner can connect. The names are short: they are part of its address.
const UNFINISHED: &str = "socket.new";

/// A socket that nobody else could connect to at any time. `bind` makes its file as the process's umask says, which belongs to
/// all threads, so it is bound in a directory that only the owner may enter, and gets its name afterwards.
fn bind(directory: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let socket = directory.join(SOCKET);
    if fs::symlink_metadata(&socket).is_ok_and(|found| !found.file_type().is_socket()) {
        let text = format!("{} is there and is no socket; move it away, the hub needs the name", socket.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let unfinished = directory.join(UNFINISHED);
    // A hub that was killed here left it.
    remove_unfinished(&unfinished);
    fs::DirBuilder::new().mode(0o700).create(&unfinished)?;
    let bound = bind_in(&unfinished, &socket);
    remove_unfinished(&unfinished);
    bound
}

fn bind_in(unfinished: &Path, socket: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let path = unfinished.join(SOCKET);
    let listener = UnixListener::bind(&address::find(unfinished, SOCKET)?.path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let metadata = fs::symlink_metadata(&path)?;
    fs::rename(&path, socket)?;
    Ok((listener, (metadata.dev(), metadata.ino())))
}

fn remove_unfinished(unfinished: &Path) {
    // If it cannot be removed, it cannot be made either, and that is said.
    let _ = fs::remove_file(unfinished.join(SOCKET));
    let _ = fs::remove_dir(unfinished);
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>, connections: &Connections) {
    loop {
        let accepted = listener.accept();
        if shared.is_stopping() {
            return;
        }
        match accepted {
            Ok((stream, _)) => admit(stream, shared, connections),
            Err(reason) if reason.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => thread::sleep(ACCEPT_PAUSE),
        }
    }
}

fn admit(stream: UnixStream, shared: &Arc<Shared>, connections: &Connections) {
    let mut connections = lock(connections);
    for ended in connections.extract_if(.., |connection| connection.thread.is_finished()) {
        let _ = ended.thread.join();
    }
    let most = shared.limits.connections_max;
    if connections.len() >= most {
        let reason = format!("the hub has {most} connections to its log, which is the most; end another command first");
        return turn_away(&stream, reason);
    }
    match spawn(&stream, shared) {
        Ok(thread) => connections.push(Connection { stream, thread }),
        Err(reason) => {
            turn_away(&stream, format!("the hub's machine gives no thread for another connection ({reason})"))
        }
    }
}

fn spawn(stream: &UnixStream, shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let client = Client(stream.try_clone()?);
    let shared = Arc::clone(shared);
    thread::Builder::new().name("log-client".to_owned()).spawn(move || {
        // How a client left is its own matter.
        let _ = connection::serve(&client.0, &shared);
    })
}

/// Also when its thread panics, the client learns that nobody answers: the server keeps the stream until the next one comes.
struct Client(UnixStream);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn turn_away(stream: &UnixStream, reason: String) {
    // A few bytes always fit into a new connection; who accepts does not wait for it in any case.
    if stream.set_nonblocking(true).is_ok() {
        let _ = connection::refuse(stream, &AccessError::Retry { reason }, ACCEPT_PAUSE);
    }
}
