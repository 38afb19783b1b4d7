//! The writing half: a transaction is gathered in memory and appended in one piece.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use super::{
    Fsync, Patience,
    shared::{Places, SharedLog, stop},
};
use crate::engine::{
    log::{
        LogError, Output, Sink, TopicPartition,
        commit_log::{Commit, CommitLogError, NewRecord},
    },
    stage::Topology,
};

/// How often it is looked whether there is room again.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a machine may refuse an append before the operator is told.
const REFUSALS_MAX: u32 = 20;

/// The writing half of one worker's log.
pub struct EmbeddedSink {
    shared: Arc<SharedLog>,
    places: Places,
    now_ms: fn() -> i64,
    patience: Patience,
    commit: Commit,
    /// The time of the transaction's beginning: that of records that have none.
    began_ms: i64,
    /// Whether a store is about to be written up to an offset of this transaction.
    precedes_flush: bool,
}

impl EmbeddedSink {
    pub(super) fn new(
        shared: &Arc<SharedLog>,
        topology: &Topology,
        now_ms: fn() -> i64,
        patience: Patience,
    ) -> Result<EmbeddedSink, LogError> {
        Ok(EmbeddedSink {
            places: Places::new(shared, &topology.topics)?,
            shared: Arc::clone(shared),
            now_ms,
            patience,
            commit: Commit::new(),
            began_ms: 0,
            precedes_flush: false,
        })
    }

    fn forget(&mut self) {
        self.commit.clear();
        self.precedes_flush = false;
    }

    /// Waits while the disk is full.
    fn wait_for_room(&self) -> Result<(), LogError> {
        while !self.shared.has_room() {
            if !(self.patience)() {
                return Err(LogError::Rewind("the disk is full, and the hub is to stop".into()));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn append(&self) -> Result<(), LogError> {
        let mut refusals = 0;
        loop {
            self.wait_for_room()?;
            match self.shared.log.append(&self.commit) {
                Ok(_) => return Ok(()),
                // The keeper says when there is some again.
                Err(CommitLogError::Full { .. }) => self.shared.note_room(false),
                Err(CommitLogError::Refused { .. }) if refusals < REFUSALS_MAX => {
                    refusals += 1;
                    thread::sleep(LOOK_EVERY);
                }
                Err(error) => return Err(stop(error)),
            }
        }
    }
}

impl Sink for EmbeddedSink {
    fn begin(&mut self) -> Result<(), LogError> {
        self.forget();
        self.began_ms = (self.now_ms)();
        Ok(())
    }

    fn send(&mut self, output: &Output<'_>) -> Result<(), LogError> {
        let headers: SmallVec<[(&str, Option<&[u8]>); 12]> =
            output.headers.iter().map(|(name, value)| (*name, Some(*value))).collect();
        let partition = self.places.placed(output.topic, output.placement, output.key);
        self.commit.record(
            partition,
            &NewRecord {
                timestamp_ms: output.timestamp_ms.unwrap_or(self.began_ms),
                key: Some(output.key),
                value: output.value,
                headers: &headers,
            },
        );
        Ok(())
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        measure: &[TopicPartition],
    ) -> Result<Vec<i64>, LogError> {
        for (input, next) in offsets {
            self.commit.offset(self.places.of(*input), next.unsigned_abs());
        }
        self.precedes_flush = !measure.is_empty();
        let end = |changelog: &TopicPartition| {
            let partition = self.places.of(*changelog);
            // Nobody else writes to it.
            let end = self.shared.log.end(partition).map_err(stop)? + self.commit.count(partition);
            Ok(end.cast_signed())
        };
        measure.iter().map(end).collect()
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.commit.pack_all();
        self.wait_for_room()?;
        let began = Instant::now();
        self.append()?;
        // A store must not know what a power cut takes back.
        if self.precedes_flush || self.shared.options.fsync == Fsync::Commit {
            self.shared.log.sync().map_err(stop)?;
        }
        self.shared.note_append(began.elapsed());
        self.forget();
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.forget();
        Ok(())
    }

    fn rebuild(&mut self) -> Result<(), LogError> {
        self.forget();
        Ok(())
    }

    fn bytes_in_transaction(&self) -> usize {
        self.commit.bytes()
    }
}
