//! A log on a machine that a test controls in; a hub that serves it out.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use insight_hub::engine::log::{
    access::{
        AccessError, BackupSummary, Durability, LogAccess, NewRecord,
        opened::{self, Opened},
        socket::{Limits, Remote, Server},
    },
    commit_log::{CommitLog, CommitLogError, Options, Policy, files::simulated::SimulatedFiles},
};
use tempfile::TempDir;

/// Longer than anything takes: a test that waits so long has failed.
pub const LONG: Duration = Duration::from_secs(60);

/// The owner of the log, as a test wants it.
#[derive(Default)]
pub struct Desk {
    /// Whether the policy is to sync each commit.
    pub syncs_each: AtomicBool,
    /// Makes room when asked, so often.
    pub rooms: AtomicUsize,
    pub files: Mutex<Option<SimulatedFiles>>,
    /// Whether it makes backups.
    pub backs_up: AtomicBool,
    /// While it is closed, no append ends.
    pub gate: Gate,
}

/// Something that is closed for a while.
#[derive(Default)]
pub struct Gate {
    is_closed: Mutex<bool>,
    changed: Condvar,
    pub waiting: AtomicUsize,
}

impl Gate {
    pub fn set_closed(&self, is_closed: bool) {
        *self.is_closed.lock().unwrap() = is_closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let is_closed = self.is_closed.lock().unwrap();
        drop(self.changed.wait_while(is_closed, |is_closed| *is_closed).unwrap());
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl opened::Owner for Desk {
    fn is_departments(&self, topic: &str) -> bool {
        topic.starts_with("sales.") || topic.starts_with("support.")
    }

    fn after_append(&self, log: &CommitLog, _sequence: u64) -> Result<(), CommitLogError> {
        self.gate.pass();
        if self.syncs_each.load(Ordering::SeqCst) {
            log.sync()?;
        }
        Ok(())
    }

    fn wait_for_room(&self) -> bool {
        let left = self.rooms.load(Ordering::SeqCst);
        if left == 1 {
            self.files.lock().unwrap().as_ref().expect("the machine").set_capacity(None);
        }
        self.rooms.store(left.saturating_sub(1), Ordering::SeqCst);
        left > 0
    }

    fn is_paused(&self) -> bool {
        self.rooms.load(Ordering::SeqCst) > 0
    }

    fn backup(&self, log: &CommitLog, directory: &Path) -> insight_hub::engine::log::access::Result<BackupSummary> {
        if !self.backs_up.load(Ordering::SeqCst) {
            return Err(AccessError::Unsupported { reason: "no backups here".to_owned() });
        }
        if !directory.is_absolute() {
            return Err(AccessError::Mistaken { reason: "not from the root on".to_owned() });
        }
        Ok(BackupSummary { bytes: log.newest(), files: 1 })
    }
}

/// A hub: its log, its owner, and its socket.
pub struct Hub {
    pub files: SimulatedFiles,
    pub log: Arc<CommitLog>,
    pub desk: Arc<Desk>,
    pub opened: Arc<Opened>,
    pub directory: TempDir,
    pub server: Option<Server>,
}

impl Hub {
    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Self {
        let files = SimulatedFiles::new(1);
        let log = Arc::new(CommitLog::open(Arc::new(files.clone()), Options::default()).expect("a log"));
        log.create_topic("insight.metrics", 1, Policy::Compact { delete_retention_ms: 1 }).expect("a feed");
        let desk = Arc::new(Desk { files: Mutex::new(Some(files.clone())), ..Desk::default() });
        let limits_opened = opened::Limits { topics_max: 5, ..opened::Limits::default() };
        let opened =
            Arc::new(Opened::new(Arc::clone(&log), Arc::clone(&desk) as Arc<dyn opened::Owner>, limits_opened));
        let directory = TempDir::new().expect("a directory");
        let access: Arc<dyn LogAccess> = Arc::clone(&opened) as _;
        let server = Server::start(directory.path(), access, limits).expect("a server");
        Self { files, log, desk, opened, directory, server: Some(server) }
    }

    pub fn remote(&self) -> Remote {
        Remote::connect(self.directory.path()).expect("no error").expect("a hub")
    }

    pub fn stop(&mut self) {
        self.server.take().expect("a server").stop();
    }
}

/// Limits that let a test see their end.
pub fn short() -> Limits {
    let short = Duration::from_millis(500);
    Limits { frame_wait: short, ..Limits::default() }
}

/// Whether it becomes so in time.
pub fn becomes(is_so: impl Fn() -> bool) -> bool {
    (0..5000).any(|_| {
        std::thread::sleep(Duration::from_millis(2));
        is_so()
    })
}

pub fn text(key: &str) -> NewRecord<'_> {
    NewRecord { key: Some(key.as_bytes()), ..NewRecord::default() }
}

pub fn put(access: &dyn LogAccess, topic: &str, keys: &[&str]) -> Result<(), AccessError> {
    let records: Vec<NewRecord<'_>> = keys.iter().map(|key| text(key)).collect();
    access.append(topic, &records, Durability::AsConfigured).map(|_| ())
}

/// The keys of a partition from an offset on, and its end.
pub fn keys(access: &dyn LogAccess, topic: &str, partition: u32, from: u64) -> (Vec<String>, u64) {
    let (mut keys, mut next) = (Vec::new(), from);
    loop {
        let after = access.read(topic, partition, next, 1 << 20, &mut |record| {
            keys.push(String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned());
            ControlFlow::Continue(())
        });
        let after = after.expect("a read");
        if after == next {
            return (keys, next);
        }
        next = after;
    }
}
