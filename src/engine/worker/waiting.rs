//! Records that cannot be taken yet: their partition waits, the others go on, and they are offered again.
//!
//! Nothing of such a record is in the transaction, so what was taken before it commits as ever.

use std::time::Duration;

use super::Worker;
use crate::engine::{
    log::{Log, Source},
    stage::StageError,
    task::{Task, TaskState, Waiting},
};

/// A record is offered again after so long at first …
const FIRST: Duration = Duration::from_millis(10);
/// … and so long at last, doubling: each offer is fetched again.
const LAST: Duration = Duration::from_secs(1);

impl Task {
    /// Whether what comes of its input is passed over for now.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some_and(|waiting| waiting.until.is_some())
    }

    /// Its next record is to be offered again.
    pub(super) fn wait(&mut self, now: Duration, timestamp_ms: i64) {
        let tries = self.waiting.map_or(0, |waiting| waiting.tries).saturating_add(1);
        let after = FIRST.saturating_mul(1 << tries.min(16).saturating_sub(1)).min(LAST);
        self.waiting = Some(Waiting { tries, until: Some(now + after), timestamp_ms });
    }
}

impl<L: Log> Worker<L> {
    /// Nothing more is fetched of inputs that wait.
    pub(super) fn pause_waiting(&mut self) -> Result<(), StageError> {
        let waiting: Vec<_> = self.tasks.iter().filter(|task| task.is_waiting()).map(|task| task.input).collect();
        match waiting.is_empty() {
            true => Ok(()),
            false => Ok(self.log.halves().0.pause(&waiting, true)?),
        }
    }

    /// Goes back to the records that were waited for long enough.
    pub(super) fn offer_again(&mut self, now: Duration) -> Result<(), StageError> {
        let source = self.log.halves().0;
        for task in self.tasks.iter_mut().filter(|task| task.state() == TaskState::Running) {
            if let Some(waiting) = &mut task.waiting
                && waiting.until.is_some_and(|until| until <= now)
            {
                waiting.until = None;
                source.start(task.input, task.next)?;
            }
        }
        Ok(())
    }
}
