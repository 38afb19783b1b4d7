//! What the engine observes, as operational events and figures.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::{Duration, Instant},
};

use prometheus::{Histogram, IntCounter};

use crate::{
    engine::{
        log::TopicPartition,
        observer::{KillPoint, Observation, Observer},
        stage::Topology,
        task::{Task, TaskState},
        topics::{Ownership, TopicIndex},
    },
    telemetry::{self, AbortReason, Event, Telemetry},
};

/// Ends the process at the n-th passing of a named place: how fault tests crash a hub where it hurts.
#[derive(Clone, Debug)]
pub struct PlannedCrash {
    /// `before-commit`, `after-commit`, `before-flush`, `after-flush`, `mid-restore` or `mid-revoke`.
    pub point: String,
    /// At which passing, from 1.
    pub passing: u64,
}

impl PlannedCrash {
    /// From `POINT:N`.
    pub fn parse(text: &str) -> Option<PlannedCrash> {
        let (point, passing) = text.split_once(':')?;
        Some(PlannedCrash { point: point.to_owned(), passing: passing.parse().ok()? })
    }
}

fn name(point: KillPoint) -> &'static str {
    match point {
        KillPoint::BeforeCommit => "before-commit",
        KillPoint::AfterCommit => "after-commit",
        KillPoint::BeforeFlush => "before-flush",
        KillPoint::AfterFlush => "after-flush",
        KillPoint::MidRestore => "mid-restore",
        KillPoint::MidRevoke => "mid-revoke",
    }
}

/// Turns one worker's observations into telemetry.
pub struct TelemetryObserver {
    telemetry: Telemetry,
    worker: usize,
    /// By topic: records in, records out.
    counters: Vec<(IntCounter, IntCounter)>,
    end_to_end: Histogram,
    commit_began: Cell<Option<Instant>>,
    records: Cell<u64>,
    restores: RefCell<BTreeMap<TopicPartition, (Instant, u64)>>,
    crash: Option<(PlannedCrash, Cell<u64>)>,
    /// The clock of the shell: milliseconds since 1970-01-01T00:00:00Z.
    now_ms: fn() -> i64,
}

impl TelemetryObserver {
    /// An observer of one worker. `now_ms` is the wall clock, which only the shell may read.
    pub fn new(
        telemetry: &Telemetry,
        topology: &Topology,
        worker: usize,
        crash: Option<PlannedCrash>,
        now_ms: fn() -> i64,
    ) -> TelemetryObserver {
        let counters = topology
            .topics
            .iter()
            .map(|(_, topic)| (telemetry.records_in(&topic.name), telemetry.records_out(&topic.name)))
            .collect();
        let metrics = topology.topics.iter().filter(|(_, topic)| topic.ownership == Ownership::Feed);
        let feed = metrics.map(|(_, topic)| topic.name.clone()).find(|name| name.ends_with("metrics"));
        TelemetryObserver {
            telemetry: telemetry.clone(),
            worker,
            counters,
            end_to_end: telemetry.end_to_end_seconds(feed.as_deref().unwrap_or("metrics")),
            commit_began: Cell::new(None),
            records: Cell::new(0),
            restores: RefCell::default(),
            crash: crash.map(|crash| (crash, Cell::new(0))),
            now_ms,
        }
    }

    fn restoring(&self, task: &Task, remaining: u64, records: u64) {
        let mut restores = self.restores.borrow_mut();
        let (since, _) = restores.entry(task.input).or_insert_with(|| {
            self.telemetry.emit(Event::RestoreStarted {
                stage: task.stage_name,
                partition: task.input.partition,
                from_offset: task.store.position().and_then(|at| i64::try_from(at).ok()).unwrap_or(0),
                remaining_records: remaining,
            });
            (Instant::now(), 0)
        });
        self.telemetry.emit(Event::RestoreProgressed {
            stage: task.stage_name,
            partition: task.input.partition,
            restored_records: records,
            remaining_records: remaining,
            elapsed: since.elapsed(),
        });
        *since = Instant::now();
    }

    fn task_changed(&self, task: &Task, state: TaskState) {
        let (stage, partition) = (task.stage_name, task.input.partition);
        if state == TaskState::Running
            && let Some((since, _)) = self.restores.borrow_mut().remove(&task.input)
        {
            self.telemetry.emit(Event::RestoreFinished {
                stage,
                partition,
                restored_records: task.restored_records(),
                elapsed: since.elapsed(),
            });
        }
        let state = match state {
            TaskState::Created => telemetry::TaskState::Created,
            TaskState::Restoring => telemetry::TaskState::Restoring,
            TaskState::Migrating => telemetry::TaskState::Migrating,
            TaskState::Running => telemetry::TaskState::Running,
            TaskState::Suspended => telemetry::TaskState::Suspended,
            TaskState::Closed => telemetry::TaskState::Closed,
        };
        self.telemetry.emit(Event::TaskChanged { stage, partition, state });
    }
}

impl Observer for TelemetryObserver {
    fn observe(&self, observation: Observation<'_>) {
        match observation {
            Observation::TaskState { task, state } => self.task_changed(task, state),
            Observation::Restoring { task, remaining, records } => self.restoring(task, remaining, records),
            Observation::StoreDiscarded { task, .. } => self.telemetry.emit(Event::RestoreFromBeginning {
                stage: task.stage_name,
                partition: task.input.partition,
                wanted_offset: task.store.position().and_then(|at| i64::try_from(at).ok()).unwrap_or(0),
                first_offset: 0,
            }),
            Observation::CommitBegins => self.commit_began.set(Some(Instant::now())),
            Observation::Committed { task, oldest_ms } => {
                if task.stage_name == "metrics" {
                    let milliseconds = ((self.now_ms)() - oldest_ms).max(0);
                    self.end_to_end.observe(milliseconds as f64 / 1_000.0);
                }
            }
            Observation::Flushed { task, entries } => self.telemetry.emit(Event::Flushed {
                stage: task.stage_name,
                partition: task.input.partition,
                entries: entries as u64,
                bytes: task.store.disk_bytes(),
                elapsed: self.commit_began.get().map_or(Duration::ZERO, |began| began.elapsed()),
            }),
            Observation::CommitEnds { bytes } => self.telemetry.emit(Event::Committed {
                worker: self.worker,
                records: self.records.take(),
                bytes: bytes as u64,
                elapsed: self.commit_began.take().map_or(Duration::ZERO, |began| began.elapsed()),
            }),
            Observation::Aborted { reason } => self.telemetry.emit(Event::TransactionAborted {
                worker: self.worker,
                reason: AbortReason::Required,
                message: reason,
            }),
            Observation::Rebuilt { reason } => self.telemetry.emit(Event::TransactionAborted {
                worker: self.worker,
                reason: AbortReason::Ambiguous,
                message: reason,
            }),
            Observation::Membership { change, partitions } => {
                self.telemetry.emit(Event::Rebalanced { worker: self.worker, change, partitions });
            }
        }
    }

    fn record_in(&self, from: TopicPartition, _timestamp_ms: i64) {
        self.counters[usize::from(from.topic.0)].0.inc();
        self.records.set(self.records.get() + 1);
    }

    fn record_out(&self, to: TopicIndex) {
        self.counters[usize::from(to.0)].1.inc();
    }

    fn kill_point(&self, point: KillPoint) {
        if let Some((crash, passed)) = &self.crash
            && crash.point == name(point)
        {
            passed.set(passed.get() + 1);
            if passed.get() == crash.passing {
                std::process::abort();
            }
        }
    }
}
