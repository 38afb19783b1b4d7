//! Inputs that are read a second time: from where, up to where, and a word to the stage when it is over.

use super::Worker;
use crate::engine::{
    log::{Log, Source},
    reread::{Reread, Span},
    stage::StageError,
    task::TaskState,
};

impl<L: Log> Worker<L> {
    /// Starts the second readings of which it is known by now from where, and ends those that are where the hub goes on.
    pub(super) fn reread_some(&mut self) -> Result<(), StageError> {
        for index in 0..self.tasks.len() {
            let task = &self.tasks[index];
            let Some(rereads) = &self.topology.stages[task.stage_index].rereads else {
                continue;
            };
            match task.state() {
                TaskState::Migrating => {
                    if let Some(wanted) = rereads.from(task.input) {
                        self.start_rereading(index, wanted)?;
                    }
                }
                TaskState::Running | TaskState::Suspended => self.end_rereading(index)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn start_rereading(&mut self, index: usize, wanted: i64) -> Result<(), StageError> {
        let task = &mut self.tasks[index];
        // As it was committed when the task was assigned: nobody moves it as long as the hub does not run.
        let to = task.committed.unwrap_or(0);
        let retained = self.log.halves().0.retained(task.input)?;
        if to > retained.end {
            return Err(StageError::Stop(format!(
                "partition {} of {} ends at offset {}, and the hub has read it up to {to}: it was made anew, or restored from a \
                 backup that is older than the hub's state",
                task.input.partition,
                self.topology.topics.get(task.input.topic).name,
                retained.end
            )));
        }
        let span = Span { wanted: wanted.min(to), from: wanted.max(retained.start).min(to), to };
        task.reread = Some(Reread { to, told: false });
        (task.next, task.committed) = (Some(span.from), Some(span.from));
        task.stage.rereads(span);
        self.start_running(index)
    }

    fn end_rereading(&mut self, index: usize) -> Result<(), StageError> {
        let source = self.log.halves().0;
        let task = &mut self.tasks[index];
        let Some(reread) = &mut task.reread else {
            return Ok(());
        };
        if task.next < Some(reread.to) {
            return Ok(());
        }
        if !reread.told {
            reread.told = true;
            task.stage.reread_ended();
            task.more = true;
        }
        // What comes after is not looked at; a resumption of all sources may have opened it again.
        Ok(source.pause(&[task.input], true)?)
    }
}
