//! The commit: what the stages hold back, the changed entries and the offsets, in one transaction or not at all.

use std::{collections::BTreeMap, time::Duration};

use super::{Counted, Worker};
use crate::engine::{
    log::{Log, Output, Placement, Sink, TopicPartition},
    observer::{KillPoint, Observation},
    stage::{Outputs, StageError},
    task::{Task, TaskState},
};

impl<L: Log> Worker<L> {
    pub(super) fn commit_is_due(&self, now: Duration) -> bool {
        let Some(began) = self.transaction else {
            return self.tasks.iter().any(|task| task.more && task.state() == TaskState::Running);
        };
        let staged: usize = self.tasks.iter().map(|task| task.store.staged_bytes()).sum();
        let (interval, age) = (self.options.commit_interval, now.saturating_sub(began));
        let is_old = if self.behind {
            age >= interval.max(self.options.catch_up_interval)
        } else {
            // From the beginning of one commit to that of the next: what came while the last was under way has waited
            // already. Of what comes after a silence a little more is waited for.
            age >= interval || age >= interval / 4 && now.saturating_sub(self.last_commit) >= interval
        };
        self.wants_commit || is_old || self.staged_bytes + staged >= self.options.transaction_bytes_max
    }

    /// Ends the open transaction: what the stages hold back, the changed entries, the offsets, all or nothing.
    pub(super) fn commit(&mut self) -> Result<(), StageError> {
        let involved = |task: &Task| {
            task.touched || (task.more && matches!(task.state(), TaskState::Running | TaskState::Suspended))
        };
        let flushes = self.tasks_to_flush();
        if !self.tasks.iter().any(involved) && flushes.is_empty() && self.transaction.is_none() {
            return Ok(());
        }
        self.observer.observe(Observation::CommitBegins);
        let (_, sink) = self.log.halves();
        if self.transaction.is_none() {
            sink.begin()?;
            self.transaction = Some(Duration::ZERO);
        }
        let mut offsets = Vec::new();
        let mut more = Vec::new();
        for task in &mut self.tasks {
            let flushed = flushes.contains(&task.input);
            if !involved(task) && !flushed {
                continue;
            }
            let mut outputs = Counted { sink: &mut *sink, bytes: &mut self.staged_bytes, observer: &*self.observer };
            // A task that migrates holds nothing back.
            let wants_more =
                task.state() != TaskState::Migrating && task.stage.prepare_commit(&mut task.store, &mut outputs)?;
            if let Some(unwritten) = task.unwritten {
                unwritten.write(&mut task.store);
            }
            if let Some(changelog) = task.changelog {
                for (key, value) in task.store.staged_changelog() {
                    outputs.send(&Output {
                        topic: changelog.topic,
                        placement: Placement::At(changelog.partition),
                        key,
                        value: value.map(AsRef::as_ref),
                        headers: &[],
                        timestamp_ms: None,
                    })?;
                }
            }
            more.push((task.input, wants_more));
            // Offsets of every task that was written for, moved or not: that is what fences a worker that lost them.
            offsets.push((task.input, task.group_offset()));
        }
        let measure: Vec<_> =
            self.tasks.iter().filter(|task| flushes.contains(&task.input)).filter_map(|task| task.changelog).collect();
        self.observer.kill_point(KillPoint::BeforeCommit);
        let ends = sink.send_offsets(&offsets, &measure)?;
        self.observer.kill_point(KillPoint::AfterOffsets);
        self.observer.kill_point(KillPoint::DuringCommit);
        sink.commit()?;
        self.observer.kill_point(KillPoint::AfterCommit);
        self.transaction = None;
        self.wants_commit = false;
        self.flush_asked = false;
        let bytes = std::mem::take(&mut self.staged_bytes);
        let ends: BTreeMap<_, _> = measure.into_iter().zip(ends).collect();
        for (input, wants_more) in more {
            let Some(task) = self.tasks.iter_mut().find(|task| task.input == input) else {
                continue;
            };
            task.store.commit();
            task.stage.post_commit();
            task.committed = task.next;
            task.touched = false;
            task.more = wants_more;
            task.unwritten = None;
            if let Some(oldest) = task.oldest_ms.take() {
                self.observer.observe(Observation::Committed { task, oldest_ms: oldest });
            }
            if flushes.contains(&input)
                && let Some(end) = task.changelog.and_then(|changelog| ends.get(&changelog))
            {
                self.observer.kill_point(KillPoint::BeforeFlush);
                let entries = task.store.unflushed_entries();
                task.store
                    .flush(u64::try_from(*end).expect("an end offset is not negative"))
                    .map_err(|error| StageError::Stop(error.to_string()))?;
                self.observer.observe(Observation::Flushed { task, entries });
                self.observer.kill_point(KillPoint::AfterFlush);
            }
        }
        self.observer.observe(Observation::CommitEnds { bytes });
        Ok(())
    }

    /// Tasks whose committed state is to go to disk with the next commit: the largest first, until the rest fits.
    pub(super) fn tasks_to_flush(&self) -> Vec<TopicPartition> {
        let mut sizes: Vec<_> = self
            .tasks
            .iter()
            .filter(|task| task.changelog.is_some() && task.state() != TaskState::Restoring)
            .map(|task| (task.store.unflushed_bytes() + task.store.staged_bytes(), task.input))
            .filter(|&(bytes, _)| bytes > 0 || self.flush_asked)
            .collect();
        if self.flush_asked {
            return sizes.into_iter().map(|(_, input)| input).collect();
        }
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let mut total: usize = sizes.iter().map(|(bytes, _)| bytes).sum();
        let mut chosen = Vec::new();
        for (bytes, input) in sizes {
            // One a commit is enough as long as that brings the rest below the limit: pauses stay short.
            if total <= self.options.unflushed_bytes_max {
                break;
            }
            total -= bytes;
            chosen.push(input);
        }
        chosen
    }
}
