//! Requests of others than the engine in; what this log allows them out.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{Fsync, SharedLog, shared::IDENTITY_TOPIC};
use crate::engine::log::{
    access::{
        self, AccessError, BackupSummary,
        opened::{Limits, Opened, Owner},
    },
    commit_log::{CommitLog, CommitLogError, files::real::RealFiles},
};

/// How long somebody who appends waits for room on the disk before being told to come again.
const ROOM_WAIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl SharedLog {
    /// The log, for those who are not the engine.
    pub fn access(self: &Arc<Self>) -> Opened {
        Opened::new(Arc::clone(self.log()), Arc::clone(self) as Arc<dyn Owner>, Limits::default())
    }

    /// Whether the hub reads a topic that others write to.
    pub(super) fn is_read(&self, topic: &str) -> bool {
        self.is_departments(topic) && !self.options.unread.iter().any(|unread| unread == topic)
    }
}

impl Owner for SharedLog {
    fn is_departments(&self, topic: &str) -> bool {
        let is_reserved = || self.options.reserved_names.iter().any(|reserved| topic.starts_with(reserved));
        topic != IDENTITY_TOPIC && (self.options.inputs.iter().any(|input| input == topic) || !is_reserved())
    }

    fn after_append(&self, log: &CommitLog, _sequence: u64) -> Result<(), CommitLogError> {
        if self.options.fsync == Fsync::Commit {
            log.sync()?;
        }
        Ok(())
    }

    fn wait_for_room(&self) -> bool {
        self.note_room(false);
        let deadline = Instant::now() + ROOM_WAIT;
        while !self.has_room() && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY);
            // Where no hub runs, nobody else looks.
            if self.available_bytes() >= self.options.reserved_bytes {
                self.note_room(true);
            }
        }
        self.has_room()
    }

    fn is_paused(&self) -> bool {
        !self.has_room() || self.available_bytes() < self.options.reserved_bytes
    }

    fn backup(&self, log: &CommitLog, directory: &Path) -> access::Result<BackupSummary> {
        let files = RealFiles::new(directory).map_err(|error| AccessError::Mistaken {
            reason: format!("{} cannot take a backup: {error}", directory.display()),
        })?;
        let made = log.backup(&files)?;
        Ok(BackupSummary { bytes: made.bytes, files: made.segments })
    }
}
