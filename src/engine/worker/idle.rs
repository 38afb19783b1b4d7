//! Which source partitions are idle: the worker's clock and the log's end in, a word to their stages out.
//!
//! The core knows no clock, so a quiet department would hold back the watermark of all for ever. What is decided here
//! decides nothing but the `status` of values.

use std::time::Duration;

use super::Worker;
use crate::engine::{
    log::{Log, Source},
    task::{Quiet, TaskState},
    topics::Ownership,
};

impl<L: Log> Worker<L> {
    /// Tells the stages of source partitions that were read to their end and had no record for long.
    pub(super) fn note_idle(&mut self, now: Duration) {
        let source = self.log.halves().0;
        let topics = &self.topology.topics;
        let running = self.tasks.iter_mut().filter(|task| task.state() == TaskState::Running);
        for task in running.filter(|task| topics.get(task.input.topic).ownership == Ownership::Spoke) {
            if task.waiting.is_some() {
                task.quiet = Quiet::No; // there is a record, it only cannot be taken yet
                continue;
            }
            match task.quiet {
                Quiet::No => task.quiet = Quiet::Since(now),
                // What was fetched and not delivered for so long is not there.
                Quiet::Since(since)
                    if now.saturating_sub(since) >= self.options.idle_after && source.is_at_end(task.input) =>
                {
                    task.quiet = Quiet::Idle;
                    task.more |= task.stage.fell_idle();
                }
                Quiet::Since(_) | Quiet::Idle => {}
            }
        }
    }
}
