//! A worker: one thread's tasks over one log. It turns membership into tasks, records into effects, effects into commits.

mod backlog;
mod commit;
mod idle;
mod migrate;
mod reread;
mod waiting;

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use super::{
    log::{Log, LogError, Membership, Output, Record, Restored, Sink, Source, TopicPartition},
    observer::{KillPoint, Observation, Observer},
    rebuild::Rebuild,
    stage::{Outputs, StageError, Topology},
    store::{Disk, DiskError, Identity, RebuildReason, Store},
    task::{Quiet, Task, TaskState},
    topics::Ownership,
};
use crate::telemetry::Rebalance;

/// Limits of a worker.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// A commit begins so long after the one before it, and when a transaction is this old.
    pub commit_interval: Duration,
    /// … or this old while the worker is behind: larger transactions repeat less, and nobody waits for the newest record.
    pub catch_up_interval: Duration,
    /// It is behind when so many records of the spokes are not yet read.
    pub catch_up_lag_records: i64,
    /// … or when so many bytes were staged in it.
    pub transaction_bytes_max: usize,
    /// Committed state above this is written to the stores on disk, largest task first.
    pub unflushed_bytes_max: usize,
    /// Records taken by one poll.
    pub poll_records_max: usize,
    /// How long one step may restore.
    pub restore_budget: Duration,
    /// Ingest is suspended while the tasks after it lag by more repartition records than this, and goes on below half of it.
    pub suspend_lag_records: i64,
    /// A source partition that was read to its end and had no record for so long is idle.
    pub idle_after: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        WorkerOptions {
            commit_interval: Duration::from_millis(100),
            catch_up_interval: Duration::from_millis(500),
            catch_up_lag_records: 20_000,
            transaction_bytes_max: 32 << 20,
            unflushed_bytes_max: 64 << 20,
            poll_records_max: 500,
            restore_budget: Duration::from_millis(50),
            suspend_lag_records: 400,
            idle_after: Duration::from_secs(60),
        }
    }
}

/// Opens the place where a task's flushed state lies.
pub trait Disks {
    /// The disk of a task.
    fn open(&mut self, task: &str, identity: Identity) -> Result<Box<dyn Disk>, DiskError>;
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records taken.
    pub records: usize,
    /// Whether a transaction was committed.
    pub committed: bool,
}

/// One thread's tasks over one log.
pub struct Worker<L: Log> {
    log: L,
    topology: Topology,
    options: WorkerOptions,
    disks: Box<dyn Disks>,
    observer: Box<dyn Observer>,
    tasks: Vec<Task>,
    /// When the open transaction began.
    transaction: Option<Duration>,
    /// When the last commit began.
    last_commit: Duration,
    staged_bytes: usize,
    wants_commit: bool,
    flush_asked: bool,
    behind: bool,
    /// Whether tasks of spokes were suspended when that was told last.
    suspended: bool,
    /// The rebuild that it works for; `None`: it runs the hub.
    rebuild: Option<Arc<Rebuild>>,
}

/// Counts what goes out on its way to the sink.
struct Counted<'a, S> {
    sink: &'a mut S,
    bytes: &'a mut usize,
    observer: &'a dyn Observer,
}

impl<S: Sink> Outputs for Counted<'_, S> {
    fn send(&mut self, output: &Output<'_>) -> Result<(), LogError> {
        *self.bytes += output.key.len() + output.value.map_or(0, <[u8]>::len);
        self.observer.record_out(output.topic);
        self.sink.send(output)
    }
}

impl<L: Log> Worker<L> {
    /// A worker that owns nothing yet.
    pub fn new(
        log: L,
        topology: Topology,
        options: WorkerOptions,
        disks: Box<dyn Disks>,
        observer: Box<dyn Observer>,
    ) -> Worker<L> {
        Worker {
            log,
            topology,
            options,
            disks,
            observer,
            tasks: Vec::new(),
            transaction: None,
            last_commit: Duration::ZERO,
            staged_bytes: 0,
            wants_commit: false,
            flush_asked: false,
            behind: false,
            suspended: false,
            rebuild: None,
        }
    }

    /// The log, for its owner.
    pub fn log_mut(&mut self) -> &mut L {
        &mut self.log
    }

    /// The tasks that it owns.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// One round: membership, restores, records for at most `wait`, a commit if it is due. `now` is any clock that only
    /// moves forward. An error is one that the operator must see; everything else was reacted to.
    pub fn step(&mut self, now: Duration, wait: Duration) -> Result<Progress, StageError> {
        match self.try_step(now, wait) {
            Ok(progress) => Ok(progress),
            Err(StageError::Log(error)) => self.react(error).map(|()| Progress::default()),
            Err(error) => Err(error),
        }
    }

    /// Commits what is open and writes every store to disk. Whether it did: not where a commit failed, which was reacted to,
    /// nor while a store is being restored.
    pub fn flush(&mut self) -> Result<bool, StageError> {
        if self.tasks.iter().any(|task| task.state() == TaskState::Restoring) {
            return Ok(false);
        }
        self.flush_asked = true;
        match self.commit() {
            Ok(()) => Ok(true),
            Err(StageError::Log(error)) => self.react(error).map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// Commits what is open, writes every store to disk and gives every partition up. Returns whether the last commit
    /// happened; where it did not, or nobody knows, the input is read again by whoever comes next.
    pub fn close(&mut self) -> Result<bool, StageError> {
        self.flush_asked = true;
        let committed = match self.commit() {
            Ok(()) => true,
            Err(StageError::Log(error @ (LogError::Rewind(_) | LogError::Rebuild(_)))) => {
                match &error {
                    LogError::Rewind(reason) => self.observer.observe(Observation::Aborted { reason }),
                    error => self.observer.observe(Observation::Rebuilt { reason: &error.to_string() }),
                }
                self.log.halves().1.abort().ok(); // what stays open holds others up until it times out
                false
            }
            Err(error) => return Err(error),
        };
        let owned: Vec<_> = self.tasks.iter().map(|task| task.input).collect();
        self.close_tasks(&owned);
        Ok(self.log.halves().0.release(&owned).map(|()| committed)?)
    }

    fn try_step(&mut self, now: Duration, wait: Duration) -> Result<Progress, StageError> {
        while let Some(change) = self.log.halves().0.membership() {
            self.change_membership(change)?;
        }
        let restoring = self.restore_some()? | self.migrate_some(now)?;
        self.reread_some()?;
        self.suspend_or_resume()?;
        self.offer_again(now)?;
        self.note_idle(now);
        self.note_backlog();
        let wait = if restoring { Duration::ZERO } else { wait };
        let mut progress = Progress { records: self.poll(now, wait)?, committed: false };
        if self.commit_is_due(now) {
            self.last_commit = now;
            self.commit()?;
            progress.committed = true;
        }
        Ok(progress)
    }

    // --- records

    fn poll(&mut self, now: Duration, wait: Duration) -> Result<usize, StageError> {
        let (source, sink) = self.log.halves();
        let (tasks, transaction, staged_bytes) = (&mut self.tasks, &mut self.transaction, &mut self.staged_bytes);
        let (observer, wants_commit) = (&*self.observer, &mut self.wants_commit);
        let topics = &self.topology.topics;
        let bytes_max = self.options.transaction_bytes_max;
        let mut last = 0;
        let mut failure = None;
        let taken = source.poll(wait, self.options.poll_records_max, &mut |record: &Record<'_>| {
            if tasks.get(last).is_none_or(|task| task.input != record.from) {
                match tasks.iter().position(|task| task.input == record.from) {
                    Some(found) => last = found,
                    None => return Ok(ControlFlow::Continue(())), // given up between fetch and delivery: its new owner reads it
                }
            }
            let task = &mut tasks[last];
            if task.state() != TaskState::Running
                || task.is_waiting()
                || task.next.is_some_and(|next| record.offset < next)
            {
                return Ok(ControlFlow::Continue(())); // paused or rewound between fetch and delivery: it will be read again
            }
            if let Some(reread) = task.reread
                && record.offset >= reread.to
            {
                task.next = Some(reread.to);
                return Ok(ControlFlow::Continue(())); // not of the second reading: whoever runs the hub goes on there
            }
            if transaction.is_none() {
                sink.begin()?;
                *transaction = Some(now);
            }
            let was_touched = std::mem::replace(&mut task.touched, true);
            let mut outputs = Counted { sink: &mut *sink, bytes: staged_bytes, observer };
            // Nobody of ours writes such a record to a topic between stages but to have its last segment closed.
            let says_nothing =
                record.value.is_none() && topics.get(record.from.topic).ownership == Ownership::Repartition;
            let outcome = if says_nothing { Ok(()) } else { task.stage.process(record, &mut task.store, &mut outputs) };
            if let Err(error) = outcome {
                return Err(match error {
                    StageError::NotYet(_) => {
                        task.touched = was_touched;
                        task.wait(now, record.timestamp_ms);
                        // Nothing more is delivered of it: what is passed over would look as if it had been read.
                        return Ok(ControlFlow::Break(()));
                    }
                    StageError::Log(error) => error,
                    error => {
                        let text = error.to_string();
                        failure = Some(error);
                        LogError::Stop(text)
                    }
                });
            }
            task.next = Some(record.offset + 1);
            task.waiting = None;
            if task.stage.took_something() {
                task.quiet = Quiet::No;
            }
            if record.timestamp_ms > 0 {
                task.oldest_ms =
                    Some(task.oldest_ms.map_or(record.timestamp_ms, |oldest| oldest.min(record.timestamp_ms)));
            }
            task.newest_ms = task.newest_ms.max(Some(record.timestamp_ms));
            observer.record_in(record.from, record.timestamp_ms);
            *wants_commit |= task.stage.wants_commit() || *staged_bytes >= bytes_max;
            // A transaction must not grow past what its timeout allows, however much is at hand.
            Ok(if *wants_commit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        let taken = match failure {
            Some(error) => return Err(error),
            None => taken?,
        };
        self.pause_waiting()?;
        Ok(taken)
    }

    fn suspend_or_resume(&mut self) -> Result<(), StageError> {
        let topology = &self.topology;
        let source = self.log.halves().0;
        let is_spoke = |task: &Task| topology.topics.get(task.input.topic).ownership == Ownership::Spoke;
        let (mut lag, mut spokes_lag) = (0, 0);
        for task in &self.tasks {
            *(if is_spoke(task) { &mut spokes_lag } else { &mut lag }) += source.lag(task.input).unwrap_or(0);
        }
        self.behind = spokes_lag > self.options.catch_up_lag_records;
        // Suspended tasks may be gone since, or restored.
        let suspended = self.tasks.iter().any(|task| task.state() == TaskState::Suspended);
        if std::mem::replace(&mut self.suspended, suspended) != suspended {
            self.observer.observe(Observation::SpokesSuspended { suspended, lag: lag.unsigned_abs() });
        }
        let (from, to) = if lag > self.options.suspend_lag_records {
            (TaskState::Running, TaskState::Suspended)
        } else if lag <= self.options.suspend_lag_records / 2 {
            (TaskState::Suspended, TaskState::Running)
        } else {
            return Ok(());
        };
        let mut changed = Vec::new();
        for task in self.tasks.iter_mut().filter(|task| is_spoke(task) && task.state() == from) {
            changed.push((task.input, task.next));
            task.become_state(to);
            self.observer.observe(Observation::TaskState { task, state: to });
        }
        if changed.is_empty() {
            return Ok(());
        }
        let partitions: Vec<_> = changed.iter().map(|&(input, _)| input).collect();
        Ok(source.pause(&partitions, to == TaskState::Suspended)?)
    }

    // --- membership and restore

    fn change_membership(&mut self, change: Membership) -> Result<(), StageError> {
        let (kind, partitions) = match &change {
            Membership::Assigned(list) => (Rebalance::Assigned, list.len()),
            Membership::Revoked(list) => (Rebalance::Revoked, list.len()),
            Membership::Lost(list) => (Rebalance::Lost, list.len()),
        };
        if let Membership::Assigned(list) = &change {
            // Told afterwards: until its tasks are there, a hub that just joined would look as if it had nothing to restore.
            self.open_tasks(list, true)?;
        }
        self.observer.observe(Observation::Membership { change: kind, partitions });
        match change {
            Membership::Assigned(_) => Ok(()),
            Membership::Revoked(partitions) => {
                self.flush_asked = true;
                let committed = self.commit();
                self.observer.kill_point(KillPoint::MidRevoke);
                match committed {
                    Err(StageError::Log(error)) => self.react(error)?,
                    other => other?,
                }
                self.close_tasks(&partitions);
                Ok(self.log.halves().0.release(&partitions)?)
            }
            Membership::Lost(partitions) => {
                // Closed first: what is another's is neither sought nor read again by the reaction.
                self.close_tasks(&partitions);
                if self.transaction.is_some() {
                    self.abort(Observation::Dropped { reason: "partitions were lost to another worker" })?;
                }
                Ok(self.log.halves().0.release(&partitions)?)
            }
        }
    }

    /// Makes tasks of partitions and begins to restore them. Offsets first, changelog second (KAFKA-10167).
    fn open_tasks(&mut self, partitions: &[TopicPartition], newly_assigned: bool) -> Result<(), StageError> {
        let source = self.log.halves().0;
        let committed = if newly_assigned { source.accept(partitions)? } else { source.committed(partitions)? };
        for (&input, committed) in partitions.iter().zip(committed) {
            let stage_index = self
                .topology
                .stage_of(input.topic)
                .ok_or_else(|| StageError::Stop(format!("no stage reads {:?}", input.topic)))?;
            let spec = &self.topology.stages[stage_index];
            let changelog = spec.changelog.map(|topic| TopicPartition { topic, partition: input.partition });
            let store = match changelog {
                Some(changelog) => {
                    let name = format!("{}-{}", spec.name, input.partition);
                    let identity = Identity {
                        placement: self.topology.placement,
                        changelog: self.log.halves().0.identity(changelog)?,
                    };
                    Store::new(self.disks.open(&name, identity).map_err(stop_for_disk)?)
                }
                None => Store::new(Box::new(super::store::MemoryDisk::scratch())),
            };
            let stage = (spec.make)(input);
            let mut task = Task::new(input, stage_index, spec.name, changelog, store, stage, committed);
            self.observer.observe(Observation::TaskState { task: &task, state: TaskState::Created });
            match changelog {
                Some(changelog) => self.begin_restore(&mut task, changelog)?,
                None => task.become_state(TaskState::Restoring),
            }
            self.observer.observe(Observation::TaskState { task: &task, state: TaskState::Restoring });
            if let (Some(rebuild), Some(_)) = (&self.rebuild, changelog) {
                rebuild.own(input);
            }
            self.tasks.push(task);
        }
        self.tasks.sort_by_key(|task| (task.stage_index, task.input));
        Ok(())
    }

    fn begin_restore(&mut self, task: &mut Task, changelog: TopicPartition) -> Result<(), StageError> {
        let source = self.log.halves().0;
        let from = task.store.position().map(|position| i64::try_from(position).unwrap_or(i64::MAX));
        let reader = match source.changelog(changelog, from) {
            Err(LogError::OutOfRange(reason)) => {
                // The tail that the store lacks is gone: going on would leave a hole.
                self.observer.observe(Observation::StoreDiscarded { task, reason: &reason });
                task.store.wipe().map_err(|error| StageError::Stop(error.to_string()))?;
                source.changelog(changelog, None)?
            }
            other => other?,
        };
        task.begin_restore(reader);
        Ok(())
    }

    /// Restores for about the budget; whether any task is still restoring.
    fn restore_some(&mut self) -> Result<bool, StageError> {
        let mut restoring = self.tasks.iter().filter(|task| task.state() == TaskState::Restoring).count();
        for index in 0..self.tasks.len() {
            if self.tasks[index].state() != TaskState::Restoring {
                continue;
            }
            let outcome = self.tasks[index].restore_some(self.options.restore_budget);
            let (progress, records) = match outcome {
                Err(StageError::Log(LogError::OutOfRange(reason))) => {
                    let task = &mut self.tasks[index];
                    self.observer.observe(Observation::StoreDiscarded { task, reason: &reason });
                    task.store.wipe().map_err(|error| StageError::Stop(error.to_string()))?;
                    let changelog = task.changelog.expect("only a task with a changelog restores");
                    let reader = self.log.halves().0.changelog(changelog, None)?;
                    self.tasks[index].begin_restore(reader);
                    continue;
                }
                other => other?,
            };
            let task = &mut self.tasks[index];
            let (remaining, position) = match progress {
                Restored::More { remaining, position } => (remaining, position),
                Restored::Complete { position } => (0, position),
            };
            self.observer.observe(Observation::Restoring { task, remaining, records });
            if records > 0 {
                self.observer.kill_point(KillPoint::MidRestore);
            }
            if self.tasks[index].store.unflushed_bytes() > self.options.unflushed_bytes_max / 2 {
                // What was read so far is committed data below a known offset: it may go to disk.
                self.tasks[index]
                    .store
                    .flush(u64::try_from(position).expect("an offset is not negative"))
                    .map_err(|error| StageError::Stop(error.to_string()))?;
            }
            if matches!(progress, Restored::Complete { .. }) {
                restoring -= 1;
                self.finish_restore(index)?;
            }
        }
        Ok(restoring > 0)
    }

    fn close_tasks(&mut self, partitions: &[TopicPartition]) {
        let (observer, rebuild) = (&self.observer, self.rebuild.as_deref());
        self.tasks.retain_mut(|task| {
            let gone = partitions.contains(&task.input);
            if gone {
                if let Some(rebuild) = rebuild {
                    rebuild.lose(task.input);
                }
                task.become_state(TaskState::Closed);
                observer.observe(Observation::TaskState { task, state: TaskState::Closed });
            }
            !gone
        });
    }

    // --- reactions

    fn react(&mut self, error: LogError) -> Result<(), StageError> {
        match error {
            LogError::Rewind(reason) => self.abort(Observation::Aborted { reason: &reason }),
            LogError::Rebuild(reason) => self.rebuild(&reason),
            LogError::OutOfRange(reason) | LogError::Stop(reason) => Err(StageError::Stop(reason)),
        }
    }

    fn abort(&mut self, why: Observation<'_>) -> Result<(), StageError> {
        self.observer.observe(why);
        match self.log.halves().1.abort() {
            Ok(()) => self.rewind(),
            Err(error @ LogError::Stop(_)) => Err(error.into()),
            Err(error) => self.rebuild(&error.to_string()),
        }
    }

    /// Back to the last commit: entries, caches and read positions.
    fn rewind(&mut self) -> Result<(), StageError> {
        self.transaction = None;
        self.staged_bytes = 0;
        self.wants_commit = false;
        let mut back = Vec::new();
        for task in &mut self.tasks {
            if task.touched || task.more {
                task.roll_back();
                if task.state() == TaskState::Running || task.state() == TaskState::Suspended {
                    back.push((task.input, task.committed, task.state() == TaskState::Suspended));
                }
            }
        }
        let source = self.log.halves().0;
        for (input, committed, suspended) in back {
            source.start(input, committed)?;
            if suspended {
                source.pause(&[input], true)?;
            }
        }
        Ok(())
    }

    /// Nobody knows whether the last commit happened: discard everything in memory and read it back.
    fn rebuild(&mut self, reason: &str) -> Result<(), StageError> {
        self.observer.observe(Observation::Rebuilt { reason });
        self.transaction = None;
        self.staged_bytes = 0;
        self.wants_commit = false;
        let owned: Vec<_> = self.tasks.iter().map(|task| task.input).collect();
        self.close_tasks(&owned);
        self.log.halves().1.rebuild()?;
        let source = self.log.halves().0;
        source.pause(&owned, true)?;
        self.open_tasks(&owned, false)
    }
}

fn stop_for_disk(error: DiskError) -> StageError {
    match &error {
        DiskError::Rebuild { reason: RebuildReason::Foreign { .. }, .. } => StageError::Placement(format!(
            "{error} (a placement is made of partitions, the person key and [identity]: types, unique, limits); if that is right, \
             remove the data directory: state is restored from the changelog"
        )),
        _ => StageError::Stop(error.to_string()),
    }
}
