//! What the engine observes, as operational events and figures.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::{Histogram, IntCounter};

use crate::{
    engine::{
        log::TopicPartition,
        observer::{KillPoint, Observation, Observer},
        stage::Topology,
        task::{Task, TaskState},
        topics::{Ownership, TopicIndex, Topics},
    },
    telemetry::{self, AbortReason, Event, TaskName, Telemetry},
};

/// What happens at the n-th passing of a named place: how fault tests hit a hub where it hurts.
#[derive(Clone, Debug)]
pub struct PlannedFault {
    /// One of [`KillPoint::as_str`].
    pub point: String,
    /// At which passing, from 1.
    pub passing: u64,
    /// What happens.
    pub deed: Deed,
}

/// What a planned fault does.
#[derive(Clone, Debug)]
pub enum Deed {
    /// The process ends so long afterwards: while the call that comes next is under way.
    Crash(Duration),
    /// The worker writes this file and waits until somebody removes it: time to do something to the broker.
    Hold(PathBuf),
}

impl PlannedFault {
    /// From `POINT:N`, `POINT:N:MICROSECONDS` or `POINT:N:hold=FILE`.
    pub fn parse(text: &str) -> Option<PlannedFault> {
        let mut parts = text.splitn(3, ':');
        let point = parts.next()?.to_owned();
        let passing = parts.next()?.parse().ok()?;
        let deed = match parts.next() {
            None => Deed::Crash(Duration::ZERO),
            Some(deed) => match deed.strip_prefix("hold=") {
                Some(file) => Deed::Hold(file.into()),
                None => Deed::Crash(Duration::from_micros(deed.parse().ok()?)),
            },
        };
        Some(PlannedFault { point, passing, deed })
    }

    fn happen(&self) {
        match &self.deed {
            // Without a word, as a `kill -9` would end it.
            Deed::Crash(after) if after.is_zero() => std::process::abort(),
            Deed::Crash(after) => {
                let after = *after;
                // The worker goes on: that is where the death is to find it.
                std::thread::spawn(move || {
                    std::thread::sleep(after);
                    std::process::abort();
                });
            }
            Deed::Hold(file) => {
                if std::fs::write(file, self.point.as_bytes()).is_ok() {
                    while file.exists() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        }
    }
}

/// Turns one worker's observations into telemetry.
pub struct TelemetryObserver {
    telemetry: Telemetry,
    topics: Arc<Topics>,
    worker: usize,
    /// By topic: records in, records out.
    counters: Vec<(IntCounter, IntCounter)>,
    end_to_end: Histogram,
    commit_began: Cell<Option<Instant>>,
    records: Cell<u64>,
    /// Transactions that did not commit since the last that did: required, assignment lost, ambiguous.
    aborted_in_a_row: Cell<[u64; 3]>,
    /// When the restore of a task began, and when it was told of last.
    restores: RefCell<BTreeMap<TopicPartition, (Instant, Instant)>>,
    fault: Option<(PlannedFault, Cell<u64>)>,
    /// The clock of the shell: milliseconds since 1970-01-01T00:00:00Z.
    now_ms: fn() -> i64,
}

impl TelemetryObserver {
    /// An observer of one worker. `now_ms` is the wall clock, which only the shell may read.
    pub fn new(
        telemetry: &Telemetry,
        topology: &Topology,
        worker: usize,
        fault: Option<PlannedFault>,
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
            topics: topology.topics.clone(),
            worker,
            counters,
            end_to_end: telemetry.end_to_end_seconds(feed.as_deref().unwrap_or("metrics")),
            commit_began: Cell::new(None),
            records: Cell::new(0),
            aborted_in_a_row: Cell::default(),
            restores: RefCell::default(),
            fault: fault.map(|fault| (fault, Cell::new(0))),
            now_ms,
        }
    }

    fn name<'a>(&'a self, task: &Task) -> TaskName<'a> {
        let topic = &self.topics.get(task.input.topic).name;
        TaskName { stage: task.stage_name, topic, partition: task.input.partition }
    }

    fn restoring(&self, task: &Task, remaining: u64, records: u64) {
        if task.changelog.is_none() {
            return; // it keeps nothing: a line for each partition of each spoke would say nothing
        }
        let mut restores = self.restores.borrow_mut();
        let (_, since) = restores.entry(task.input).or_insert_with(|| {
            self.telemetry.emit(Event::RestoreStarted {
                task: self.name(task),
                from_offset: task.store.position().and_then(|at| i64::try_from(at).ok()).unwrap_or(0),
                remaining_records: remaining,
            });
            (Instant::now(), Instant::now())
        });
        self.telemetry.emit(Event::RestoreProgressed {
            task: self.name(task),
            restored_records: records,
            remaining_records: remaining,
            elapsed: since.elapsed(),
        });
        *since = Instant::now();
    }

    fn aborted(&self, reason: AbortReason, message: &str) {
        let mut counts = self.aborted_in_a_row.get();
        let of_reason = match reason {
            AbortReason::Required => &mut counts[0],
            AbortReason::AssignmentLost => &mut counts[1],
            AbortReason::Ambiguous => &mut counts[2],
        };
        *of_reason += 1;
        let in_a_row = *of_reason;
        self.aborted_in_a_row.set(counts);
        self.telemetry.emit(Event::TransactionAborted { worker: self.worker, reason, in_a_row, message });
    }

    fn task_changed(&self, task: &Task, state: TaskState) {
        if state == TaskState::Running
            && let Some((began, _)) = self.restores.borrow_mut().remove(&task.input)
        {
            self.telemetry.emit(Event::RestoreFinished {
                task: self.name(task),
                restored_records: task.restored_records(),
                elapsed: began.elapsed(),
            });
        }
        if state == TaskState::Closed {
            self.restores.borrow_mut().remove(&task.input); // the next life of it is told of anew
        }
        let state = match state {
            TaskState::Created => telemetry::TaskState::Created,
            TaskState::Restoring => telemetry::TaskState::Restoring,
            TaskState::Migrating => telemetry::TaskState::Migrating,
            TaskState::Running => telemetry::TaskState::Running,
            TaskState::Suspended => telemetry::TaskState::Suspended,
            TaskState::Closed => telemetry::TaskState::Closed,
        };
        self.telemetry.emit(Event::TaskChanged { task: self.name(task), state });
    }
}

impl Observer for TelemetryObserver {
    fn observe(&self, observation: Observation<'_>) {
        match observation {
            Observation::TaskState { task, state } => self.task_changed(task, state),
            Observation::Restoring { task, remaining, records } => self.restoring(task, remaining, records),
            Observation::StoreDiscarded { task, .. } => self.telemetry.emit(Event::RestoreFromBeginning {
                task: self.name(task),
                wanted_offset: task.store.position().and_then(|at| i64::try_from(at).ok()).unwrap_or(0),
                first_offset: 0,
            }),
            Observation::CommitBegins => self.commit_began.set(Some(Instant::now())),
            Observation::Committed { task, oldest_ms } => {
                if task.stage_name == "metrics" {
                    let milliseconds = (self.now_ms)().saturating_sub(oldest_ms).max(0);
                    self.end_to_end.observe(milliseconds as f64 / 1_000.0);
                }
            }
            Observation::Flushed { task, entries } => self.telemetry.emit(Event::Flushed {
                task: self.name(task),
                entries: entries as u64,
                bytes: task.store.disk_bytes(),
                elapsed: self.commit_began.get().map_or(Duration::ZERO, |began| began.elapsed()),
            }),
            Observation::CommitEnds { bytes } => {
                self.aborted_in_a_row.take();
                self.telemetry.emit(Event::Committed {
                    worker: self.worker,
                    records: self.records.take(),
                    bytes: bytes as u64,
                    elapsed: self.commit_began.take().map_or(Duration::ZERO, |began| began.elapsed()),
                });
            }
            Observation::Aborted { reason } => self.aborted(AbortReason::Required, reason),
            Observation::Dropped { reason } => self.aborted(AbortReason::AssignmentLost, reason),
            Observation::Rebuilt { reason } => self.aborted(AbortReason::Ambiguous, reason),
            Observation::SpokesSuspended { suspended, lag } => {
                self.telemetry.emit(Event::SpokesPaused { worker: self.worker, paused: suspended, lag_records: lag })
            }
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
        if let Some((fault, passed)) = &self.fault
            && fault.point == point.as_str()
        {
            passed.set(passed.get() + 1);
            if passed.get() == fault.passing {
                fault.happen();
            }
        }
    }
}
