//! Events of tasks in; "may traffic and trust come here?" out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A worker that shows no pulse for so long is stuck: longer than every bounded call to the broker with its retries.
const PULSE_MAX: Duration = Duration::from_secs(120);

/// The state of a task as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskState {
    /// Assigned, its store not yet opened.
    Created,
    /// Reading the changelog into its store.
    Restoring,
    /// Computing what it keeps anew, under a rebuild.
    Migrating,
    /// Processing.
    Running,
    /// Assigned, not processing.
    Suspended,
    /// Given back or failed: no longer counted.
    Closed,
}

impl TaskState {
    /// Every state that is shown.
    pub const SHOWN: [TaskState; 5] =
        [TaskState::Created, TaskState::Restoring, TaskState::Migrating, TaskState::Running, TaskState::Suspended];

    /// The word of a state, as in labels and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            TaskState::Created => "created",
            TaskState::Restoring => "restoring",
            TaskState::Migrating => "migrating",
            TaskState::Running => "running",
            TaskState::Suspended => "suspended",
            TaskState::Closed => "closed",
        }
    }
}

/// Which task. The stage and the partition alone would not tell: a stage may read several topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskName<'a> {
    /// The stage's stable name.
    pub stage: &'a str,
    /// The topic that it reads.
    pub topic: &'a str,
    /// The partition of that topic.
    pub partition: i32,
}

/// One task that is not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskHealth {
    /// The stage's stable name.
    pub stage: String,
    /// The topic that it reads.
    pub topic: String,
    /// The partition of that topic.
    pub partition: i32,
    /// Where in its life it is.
    pub state: TaskState,
    /// Changelog offsets still to be read; 0 unless restoring.
    pub restore_remaining_records: u64,
}

/// The answer to "is it ready, and why not?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// Whether the hub is part of its group, not stopping, and all its tasks run.
    pub ready: bool,
    /// Why it is not ready: `joining`, `restoring`, `stopping`; or `ready`.
    pub status: &'static str,
    /// All tasks of this instance, by stage, topic and partition.
    pub tasks: Vec<TaskHealth>,
}

/// The shared state of health. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    joined: AtomicBool,
    stopping: AtomicBool,
    tasks: Mutex<BTreeMap<(String, String, i32), (TaskState, u64)>>,
    pulses: Mutex<Vec<Arc<PulseState>>>,
}

fn key(task: TaskName<'_>) -> (String, String, i32) {
    (task.stage.to_owned(), task.topic.to_owned(), task.partition)
}

struct PulseState {
    origin: Instant,
    last_ms: AtomicU64,
    ended: AtomicBool,
}

/// A worker's sign of life. Dropping it ends the watch: a worker that left in order is not stuck.
pub struct Pulse(Arc<PulseState>);

impl Pulse {
    /// Says "alive". A store to memory: cheap enough for every turn of a worker's loop.
    pub fn beat(&self) {
        let elapsed_ms = u64::try_from(self.0.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.store(elapsed_ms, Ordering::Relaxed);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

impl Health {
    /// A pulse that liveness watches from now on: without a beat for two minutes the hub is not alive.
    pub fn pulse(&self) -> Pulse {
        let state =
            Arc::new(PulseState { origin: Instant::now(), last_ms: AtomicU64::new(0), ended: AtomicBool::new(false) });
        let mut pulses = self.inner.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|pulse| !pulse.ended.load(Ordering::Relaxed));
        pulses.push(Arc::clone(&state));
        Pulse(state)
    }

    /// Whether every watched worker has shown a pulse of late. A hub that restores or waits for the broker is alive:
    /// to restart it would not help.
    pub fn live(&self) -> bool {
        self.live_within(PULSE_MAX)
    }

    fn live_within(&self, longest: Duration) -> bool {
        let pulses = self.inner.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.iter().all(|pulse| {
            let last = Duration::from_millis(pulse.last_ms.load(Ordering::Relaxed));
            pulse.ended.load(Ordering::Relaxed) || pulse.origin.elapsed().saturating_sub(last) <= longest
        })
    }

    /// The first assignment has come, be it empty: an instance without tasks stands by and is ready.
    pub fn joined(&self) {
        self.inner.joined.store(true, Ordering::Relaxed);
    }

    /// The hub drains and will leave.
    pub fn stopping(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
    }

    /// Notes a task's state; a closed task is forgotten.
    pub fn task_state(&self, task: TaskName<'_>, state: TaskState) {
        let mut tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(task);
        if state == TaskState::Closed {
            tasks.remove(&key);
        } else {
            let remaining = match tasks.get(&key) {
                Some(&(_, remaining)) if state == TaskState::Restoring => remaining,
                _ => 0,
            };
            tasks.insert(key, (state, remaining));
        }
    }

    /// Notes how many changelog offsets a task has still to read.
    pub fn restore_remaining(&self, task: TaskName<'_>, records: u64) {
        let mut tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, remaining)) = tasks.get_mut(&key(task)) {
            *remaining = records;
        }
    }

    /// Whether the hub is ready, why not, and the state of each task.
    pub fn report(&self) -> HealthReport {
        let tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let all_run = tasks.values().all(|&(state, _)| state == TaskState::Running);
        let status = if self.inner.stopping.load(Ordering::Relaxed) {
            "stopping"
        } else if !self.inner.joined.load(Ordering::Relaxed) {
            "joining"
        } else if !all_run {
            "restoring"
        } else {
            "ready"
        };
        HealthReport {
            ready: status == "ready",
            status,
            tasks: tasks
                .iter()
                .map(|((stage, topic, partition), &(state, remaining))| TaskHealth {
                    stage: stage.clone(),
                    topic: topic.clone(),
                    partition: *partition,
                    state,
                    restore_remaining_records: remaining,
                })
                .collect(),
        }
    }

    /// How many tasks of a stage are in a state.
    pub(super) fn count(&self, stage: &str, state: TaskState) -> i64 {
        let tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let matching = tasks.iter().filter(|((of, _, _), value)| of == stage && value.0 == state).count();
        i64::try_from(matching).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskName<'_> = TaskName { stage: "customers", topic: "customers-repartition", partition: 3 };

    #[test]
    fn a_hub_is_ready_only_when_it_joined_and_every_task_runs() {
        let health = Health::default();
        assert_eq!(health.report().status, "joining");
        health.joined();
        assert!(health.report().ready, "an instance without tasks stands by");
        health.task_state(TASK, TaskState::Created);
        health.task_state(TASK, TaskState::Restoring);
        health.restore_remaining(TASK, 1_200);
        let report = health.report();
        assert!(!report.ready);
        assert_eq!(report.tasks[0].restore_remaining_records, 1_200);
        health.task_state(TASK, TaskState::Running);
        let report = health.report();
        assert!(report.ready);
        assert_eq!(report.tasks[0].restore_remaining_records, 0);
        health.task_state(TASK, TaskState::Closed);
        assert!(health.report().tasks.is_empty());
        health.stopping();
        assert_eq!(health.report().status, "stopping");
    }

    #[test]
    fn tasks_of_one_stage_on_the_same_partition_of_two_topics_are_two_tasks() {
        let health = Health::default();
        health.joined();
        let [orders, cases] =
            ["sales.events", "support.events"].map(|topic| TaskName { topic, stage: "ingest", ..TASK });
        health.task_state(orders, TaskState::Running);
        health.task_state(cases, TaskState::Restoring);
        assert!(!health.report().ready, "one of them still restores");
        assert_eq!(health.count("ingest", TaskState::Running), 1);
        health.task_state(cases, TaskState::Closed);
        assert_eq!(health.report().tasks.len(), 1, "the other is still there");
    }

    #[test]
    fn a_worker_without_a_pulse_is_not_alive_until_it_beats_or_leaves() {
        let health = Health::default();
        assert!(health.live());
        let pulse = health.pulse();
        std::thread::sleep(Duration::from_millis(400));
        assert!(!health.live_within(Duration::from_millis(300)));
        assert!(health.live());
        pulse.beat();
        assert!(health.live_within(Duration::from_millis(300)));
        std::thread::sleep(Duration::from_millis(2));
        drop(pulse);
        assert!(health.live_within(Duration::ZERO));
    }
}
