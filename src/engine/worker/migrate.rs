//! From restored to running: whether a task's state may be gone on with, and the work that makes it so under a rebuild.

use std::{sync::Arc, time::Duration};

use super::{Counted, Worker};
use crate::engine::{
    generation::{Generation, Stored, other_placement, to_run},
    log::{Log, Sink, Source},
    observer::Observation,
    rebuild::{Rebuild, needs_work},
    stage::StageError,
    task::TaskState,
};

impl<L: Log> Worker<L> {
    /// Makes it a worker of a rebuild: what another definition has computed is computed anew instead of refused.
    pub fn rebuilding(mut self, rebuild: Arc<Rebuild>) -> Worker<L> {
        self.rebuild = Some(rebuild);
        self
    }

    pub(super) fn finish_restore(&mut self, index: usize) -> Result<(), StageError> {
        let task = &mut self.tasks[index];
        if self.topology.stages[task.stage_index].rereads.is_some() {
            task.become_state(TaskState::Migrating);
            self.observer.observe(Observation::TaskState { task, state: TaskState::Migrating });
            return Ok(());
        }
        if task.changelog.is_none() {
            return self.start_running(index);
        }
        let stored = Stored::read(&task.store)?;
        if stored.is_some_and(|stored| stored.placement != self.topology.placement) {
            return Err(other_placement(task.stage_name));
        }
        if self.rebuild.is_some() {
            task.become_state(TaskState::Migrating);
            self.observer.observe(Observation::TaskState { task, state: TaskState::Migrating });
            return Ok(());
        }
        let generation = to_run(task.stage_name, stored.as_ref(), self.topology.definition)?;
        self.start_generation(index, stored, generation)
    }

    fn start_generation(
        &mut self,
        index: usize,
        stored: Option<Stored>,
        generation: Generation,
    ) -> Result<(), StageError> {
        let task = &mut self.tasks[index];
        if stored.is_none() {
            task.unwritten = Some(Stored { placement: self.topology.placement, generation, target: None });
        }
        task.stage.starts(generation, self.rebuild.is_some(), &mut task.store)?;
        self.start_running(index)
    }

    pub(super) fn start_running(&mut self, index: usize) -> Result<(), StageError> {
        let task = &mut self.tasks[index];
        task.become_state(TaskState::Running);
        task.more = true; // work that the stage had begun, such as timers, goes on without waiting for a record
        self.observer.observe(Observation::TaskState { task, state: TaskState::Running });
        let (input, next) = (task.input, task.next);
        Ok(self.log.halves().0.start(input, next)?)
    }

    /// Goes on with the rebuild: one part of one task's work, to be committed before the next. Whether there was any.
    pub(super) fn migrate_some(&mut self, now: Duration) -> Result<bool, StageError> {
        let Some(rebuild) = self.rebuild.clone() else {
            return Ok(false);
        };
        let rereads = self.topology.stages.iter().any(|stage| stage.rereads.is_some());
        let mut worked = false;
        for index in 0..self.tasks.len() {
            let task = &mut self.tasks[index];
            if task.changelog.is_none() {
                continue;
            }
            if task.state() == TaskState::Running {
                // After a second reading nobody says that it is over: what others have sent is to be taken.
                let has_read = !rereads || self.log.halves().0.lag(task.input).is_none_or(|lag| lag <= 0);
                rebuild.serves(task.input, task.stage.is_rebuilt(), has_read && !task.touched && !task.more);
                continue;
            }
            if task.state() != TaskState::Migrating {
                continue;
            }
            let stored = Stored::read(&task.store)?;
            let Some(target) = rebuild.report(task.input, stored)? else {
                continue;
            };
            if !needs_work(stored.as_ref(), target) {
                self.start_generation(index, stored, target)?;
                worked = true;
            } else if !worked {
                self.migrate_part(index, stored, target, now, &rebuild)?;
                worked = true;
            }
        }
        Ok(worked)
    }

    fn migrate_part(
        &mut self,
        index: usize,
        stored: Option<Stored>,
        target: Generation,
        now: Duration,
        rebuild: &Rebuild,
    ) -> Result<(), StageError> {
        let sink = self.log.halves().1;
        if self.transaction.is_none() {
            sink.begin()?;
            self.transaction = Some(now);
        }
        let task = &mut self.tasks[index];
        task.touched = true;
        let placement = self.topology.placement;
        let first = stored.is_none_or(|stored| stored.target != Some(target));
        if first {
            let generation = stored.map_or(Generation { epoch: 0, ..target }, |stored| stored.generation);
            Stored { placement, generation, target: Some(target) }.write(&mut task.store);
        }
        let mut outputs = Counted { sink, bytes: &mut self.staged_bytes, observer: &*self.observer };
        let migrated = task.stage.migrate(target, first, &mut task.store, &mut outputs)?;
        if !migrated.more {
            Stored { placement, generation: target, target: None }.write(&mut task.store);
        }
        rebuild.worked(migrated.entries);
        self.wants_commit = true;
        Ok(())
    }
}
