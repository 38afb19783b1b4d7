//! Whether there is more to read than is at hand: the log's lag in, a word to each stage out.
//!
//! ```text
//!  (unknown) ──▶ behind ──everything was taken──▶ caught up ──lag above the limit──▶ behind
//! ```
//! A task is behind until it has once taken everything that its input had; then it has caught up, and a record that has just
//! come does not change that. What stages make of it decides nothing of what they keep, only when they tell others.

use super::Worker;
use crate::engine::{
    log::{Log, Source},
    task::TaskState,
    topics::Ownership,
};

impl<L: Log> Worker<L> {
    /// Whether every task runs, and has taken and committed all that its input has; of one that is read a second time, all
    /// that is to be read again.
    pub fn has_read_everything(&mut self) -> bool {
        let source = self.log.halves().0;
        self.transaction.is_none()
            && self.tasks.iter().all(|task| {
                let has_read = match task.reread {
                    Some(reread) => reread.told && task.next >= Some(reread.to),
                    None => source.lag(task.input) == Some(0) && task.waiting.is_none(),
                };
                has_read && task.state() == TaskState::Running && !task.touched && !task.more
            })
    }

    /// Tells each stage whose input has caught up, or has fallen behind again.
    pub(super) fn note_backlog(&mut self) {
        let source = self.log.halves().0;
        for task in self.tasks.iter_mut().filter(|task| task.state() == TaskState::Running) {
            let limit = match self.topology.topics.get(task.input.topic).ownership {
                Ownership::Spoke => self.options.catch_up_lag_records,
                _ => self.options.suspend_lag_records,
            };
            let Some(lag) = source.lag(task.input) else { continue };
            let is_behind = match lag {
                0 if source.is_at_end(task.input) && task.waiting.is_none() => false,
                lag if lag > limit => true,
                _ => task.is_behind.unwrap_or(true),
            };
            if task.is_behind != Some(is_behind) {
                task.is_behind = Some(is_behind);
                task.more |= task.stage.stands(is_behind);
            }
        }
    }
}
