//! Time in; a log that is synced, cleaned and stopped before the disk is full out. It works beside the workers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Fsync,
    shared::{SharedLog, stop},
};
use crate::{
    engine::log::{
        LogError,
        commit_log::{CommitLogError, Policy, TopicPartition},
    },
    telemetry::{Event, Telemetry},
};

/// How often it looks for room on the disk, and at most how often it syncs.
const TICK: Duration = Duration::from_millis(100);
/// After a write for which there was no room, whatever the disk says.
const HOLD_OFF: Duration = Duration::from_secs(1);
/// While there is no room, it is said so often.
const REMIND: Duration = Duration::from_secs(60);
/// How often it looks whether cleaning is worth it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The log is cleaned after so long at the latest: retention is a matter of time.
const CLEAN_EVERY: Duration = Duration::from_secs(600);
/// … and when it has grown by so many segments and by half since the last time.
const CLEAN_AFTER_SEGMENTS: u64 = 4;

/// Since when there is no room, and when that was said last.
struct Paused {
    since: Instant,
    told: Instant,
}

/// Keeps the log of a directory. Its two loops run on threads of their own until `stopped`, which is given how long to
/// wait, says so.
pub struct Keeper {
    shared: Arc<SharedLog>,
    telemetry: Telemetry,
    now_ms: fn() -> i64,
}

impl Keeper {
    /// A keeper of a log.
    pub fn new(shared: &Arc<SharedLog>, telemetry: &Telemetry, now_ms: fn() -> i64) -> Keeper {
        Keeper { shared: Arc::clone(shared), telemetry: telemetry.clone(), now_ms }
    }

    /// Syncs, and watches the room on the disk.
    ///
    /// # Errors
    /// [`LogError::Stop`] after a sync that failed: what was committed since the last one may be lost, and the log must be
    /// opened again.
    pub fn sync_until(&self, stopped: &dyn Fn(Duration) -> bool) -> Result<(), LogError> {
        let tick = match self.shared.options.fsync {
            Fsync::Interval(interval) => interval.min(TICK),
            Fsync::Commit | Fsync::Never => TICK,
        };
        let mut synced_at = Instant::now();
        let mut paused: Option<Paused> = None;
        while !stopped(tick) {
            if let Fsync::Interval(interval) = self.shared.options.fsync
                && synced_at.elapsed() >= interval
            {
                synced_at = Instant::now();
                self.sync()?;
            }
            if let Some(longest) = self.shared.take_longest_append() {
                self.telemetry.emit(Event::LogAppended { longest });
            }
            self.watch_room(&mut paused);
        }
        Ok(())
    }

    fn watch_room(&self, paused: &mut Option<Paused>) {
        let available_bytes = self.shared.available_bytes();
        let is_enough = available_bytes >= self.shared.options.reserved_bytes;
        let now = Instant::now();
        match paused {
            // A writer that met a full disk has said so.
            None if is_enough && self.shared.has_room() => {}
            None => {
                self.shared.note_room(false);
                *paused = Some(Paused { since: now, told: now });
                self.tell_room(false, available_bytes);
            }
            Some(since) if is_enough && since.since.elapsed() >= HOLD_OFF => {
                self.shared.note_room(true);
                *paused = None;
                self.tell_room(true, available_bytes);
            }
            Some(since) if since.told.elapsed() >= REMIND => {
                since.told = now;
                self.tell_room(false, available_bytes);
            }
            Some(_) => {}
        }
    }

    fn tell_room(&self, has_room: bool, available_bytes: u64) {
        let needed_bytes = self.shared.options.reserved_bytes;
        self.telemetry.emit(Event::LogPaused { paused: !has_room, available_bytes, needed_bytes });
    }

    /// Makes everything that was committed survive a power cut.
    ///
    /// # Errors
    /// As [`Keeper::sync_until`].
    pub fn sync(&self) -> Result<(), LogError> {
        let began = Instant::now();
        self.shared.log.sync().map_err(stop)?;
        self.telemetry.emit(Event::LogSynced { elapsed: began.elapsed() });
        Ok(())
    }

    /// Gives up what retention, compaction and progress allow.
    ///
    /// # Errors
    /// [`LogError::Stop`] if the log is damaged or must be opened again. A disk that is full is none: it is tried again.
    pub fn clean_until(&self, stopped: &dyn Fn(Duration) -> bool) -> Result<(), LogError> {
        let mut cleaned_at = Instant::now();
        let mut bytes_after = self.bytes();
        self.telemetry.emit(Event::LogMeasured { bytes: bytes_after });
        while !stopped(LOOK_EVERY) {
            let bytes = self.bytes();
            self.telemetry.emit(Event::LogMeasured { bytes });
            let grown = bytes.saturating_sub(bytes_after);
            let is_worth_it =
                grown >= CLEAN_AFTER_SEGMENTS * self.shared.options.segment_bytes && grown >= bytes_after / 2;
            if !is_worth_it && self.shared.has_room() && cleaned_at.elapsed() < CLEAN_EVERY {
                continue;
            }
            self.clean()?;
            (cleaned_at, bytes_after) = (Instant::now(), self.bytes());
            self.telemetry.emit(Event::LogMeasured { bytes: bytes_after });
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.shared.log.bytes().unwrap_or_default()
    }

    /// Leaves nothing in any file that retention, compaction or progress allow to be given up, at the cost of reading and
    /// writing all of it. Whether it did: not on a disk that is full.
    ///
    /// # Errors
    /// As [`Keeper::clean_until`].
    pub fn clean_thoroughly(&self) -> Result<bool, LogError> {
        self.clean_with(true)
    }

    fn clean(&self) -> Result<(), LogError> {
        self.clean_with(false).map(drop)
    }

    fn clean_with(&self, thoroughly: bool) -> Result<bool, LogError> {
        let began = Instant::now();
        let topics = self.shared.log.topics();
        let processed = |topic: u32, partition: u32| {
            let found = topics.get(topic as usize)?;
            let committed = self.shared.log.committed(TopicPartition { topic, partition });
            match found.policy {
                Policy::Processed => committed,
                // What the hub has not read yet must not go, whatever the retention says.
                Policy::Delete { .. } if self.shared.is_read(&found.name) => Some(committed.unwrap_or(0)),
                Policy::Keep | Policy::Delete { .. } | Policy::Compact { .. } => None,
            }
        };
        let (log, now_ms) = (&self.shared.log, (self.now_ms)());
        let cleaned = if thoroughly { log.clean_thoroughly(now_ms, &processed) } else { log.clean(now_ms, &processed) };
        match cleaned {
            Ok(cleaned) => self.telemetry.emit(Event::LogCleaned {
                segments_removed: cleaned.segments_removed,
                segments_rewritten: cleaned.segments_rewritten,
                bytes_freed: cleaned.bytes_freed,
                elapsed: began.elapsed(),
            }),
            Err(CommitLogError::Full { .. } | CommitLogError::Refused { .. }) => return Ok(false),
            Err(error) => return Err(stop(error)),
        }
        Ok(true)
    }
}
