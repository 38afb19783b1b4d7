//! A worker in; its gauges out: lag, tables, stores, watermarks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{housekeeping::Processed, hub, run::HubInput};
use crate::{
    engine::{
        log::{Ends, Log, Source as _, TopicPartition},
        stage::Topology,
        topics::Ownership,
        worker::Worker,
    },
    telemetry::{TaskName, TaskTimes, Telemetry},
};

/// What is told about once a second.
pub(super) struct Figures<'a> {
    telemetry: &'a Telemetry,
    topology: Topology,
    processed: &'a Processed,
    told: Instant,
    known: BTreeSet<TopicPartition>,
}

impl<'a> Figures<'a> {
    pub(super) fn new(input: &HubInput<'a>, topology: Topology, processed: &'a Processed) -> Figures<'a> {
        Figures { telemetry: input.telemetry, topology, processed, told: Instant::now(), known: BTreeSet::new() }
    }

    /// Tells them, if a second has passed since they were told.
    pub(super) fn tell<L: Log>(&mut self, worker: &mut Worker<L>) {
        if self.told.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.told = Instant::now();
        let now_ms = hub::now_ms();
        let name = |input: TopicPartition| &self.topology.topics.get(input.topic).name;
        let partitions: BTreeMap<TopicPartition, Ends> = worker.log_mut().halves().0.ends().into_iter().collect();
        for gone in self.known.iter().filter(|known| !partitions.contains_key(known)) {
            self.telemetry.forget_partition(name(*gone), gone.partition);
        }
        self.known = partitions.keys().copied().collect();
        for (input, ends) in partitions {
            let shown = self.telemetry.partition(name(input), input.partition);
            let lag = worker.log_mut().halves().0.lag(input);
            let task = worker.tasks().iter().find(|task| task.input == input);
            // Not started yet: everything after the last commit is still to be read.
            let committed = || task.and_then(|task| task.committed).unwrap_or(0);
            let lag = lag.unwrap_or_else(|| (ends.last_stable_offset - committed()).max(0));
            // A record that waits was delivered, and is still to be taken.
            let waiting = task.and_then(|task| task.waiting);
            let lag = lag + i64::from(waiting.is_some());
            shown.lag_records.set(lag);
            shown.unstable_records.set((ends.high_watermark - ends.last_stable_offset).max(0));
            // How far behind the wall clock the newest record is that was taken, while there are more.
            let newest = waiting.map(|waiting| waiting.timestamp_ms).or(task.and_then(|task| task.newest_ms));
            let behind = newest.map_or(0, |newest| now_ms.saturating_sub(newest).max(0));
            shown.lag_seconds.set(if lag == 0 { 0.0 } else { behind as f64 / 1_000.0 });
        }
        for task in worker.tasks() {
            let task_name =
                TaskName { stage: task.stage_name, topic: name(task.input), partition: task.input.partition };
            let shown = self.telemetry.task(task_name);
            if self.topology.topics.get(task.input.topic).ownership == Ownership::Repartition
                && let Some(committed) = task.committed
            {
                self.processed.note(task.input, committed);
            }
            let bytes = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            shown.table_bytes.set(bytes(task.store.staged_bytes() + task.stage.cache_bytes()));
            shown.unflushed_bytes.set(bytes(task.store.unflushed_bytes()));
            shown.store_bytes.set(i64::try_from(task.store.disk_bytes()).unwrap_or(i64::MAX));
            let seconds = |milliseconds: i64| milliseconds as f64 / 1_000.0;
            let times = TaskTimes {
                as_of_seconds: task.stage.as_of_ms().map(seconds),
                watermark_delay_seconds: task.stage.watermark_ms().map(|at| seconds(now_ms.saturating_sub(at).max(0))),
            };
            self.telemetry.task_times(task_name, times);
        }
    }
}
