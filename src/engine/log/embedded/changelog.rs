//! A changelog partition in; its records up to what was its end when it was opened out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::shared::{SharedLog, stop};
use crate::engine::log::{
    ChangelogReader, LogError, Restored,
    commit_log::{Batch, TopicPartition},
};

/// Records between two looks at the clock.
const LOOK_EVERY: u32 = 256;

pub(super) struct EmbeddedChangelog {
    shared: Arc<SharedLog>,
    partition: TopicPartition,
    position: u64,
    end: u64,
    batch: Batch,
}

impl EmbeddedChangelog {
    pub(super) fn new(
        shared: &Arc<SharedLog>,
        partition: TopicPartition,
        from: Option<i64>,
    ) -> Result<EmbeddedChangelog, LogError> {
        let end = shared.log.end(partition).map_err(stop)?;
        let position = from.map_or(0, i64::unsigned_abs);
        if position > end {
            return Err(LogError::OutOfRange(format!(
                "the store is at offset {position} of its changelog, which ends at {end}: the log was replaced by another one"
            )));
        }
        Ok(EmbeddedChangelog { shared: Arc::clone(shared), partition, position, end, batch: Batch::default() })
    }
}

impl ChangelogReader for EmbeddedChangelog {
    fn read(
        &mut self,
        budget: Duration,
        each: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), LogError>,
    ) -> Result<Restored, LogError> {
        let deadline = Instant::now() + budget;
        let mut until_look = LOOK_EVERY;
        while self.position < self.end {
            let Some(record) = self.batch.next() else {
                self.position = self.position.max(self.batch.next_offset());
                if Instant::now() >= deadline {
                    break;
                }
                if !self.shared.log.next_batch(self.partition, self.position, &mut self.batch).map_err(stop)? {
                    // What lies between was given up by compaction.
                    self.position = self.end;
                }
                continue;
            };
            self.position = record.offset + 1;
            each(record.key.unwrap_or_default(), record.value)?;
            until_look -= 1;
            if until_look == 0 {
                until_look = LOOK_EVERY;
                if Instant::now() >= deadline {
                    break;
                }
            }
        }
        let position = self.position.cast_signed();
        Ok(match self.end.saturating_sub(self.position) {
            0 => Restored::Complete { position },
            remaining => Restored::More { remaining, position },
        })
    }
}
