//! Operational events in; log lines, Prometheus figures and the state of health out. Imports nothing of the house.
//!
//! Reading order: [`event`] (the closed set of what can happen), [`figures`] (every figure, once), `company` (those that show what the
//! hub found out), [`cpu`], [`health`], [`log`].
//! Rare things are [`Telemetry::emit`]ted. What happens for every record is counted through a handle that was resolved
//! once: no label is looked up on the hot path.
//!
//! Deliberately absent: personal data. No event carries an identifier, a key or a value of a touchpoint.

mod company;
pub mod cpu;
mod event;
mod figures;
mod health;
mod log;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{Encoder, Histogram, IntCounter, IntGauge, TextEncoder};

pub use company::CompanyValue;
pub use event::{AbortReason, Event, Rebalance, ReloadOutcome};
use figures::Figures;
pub use figures::{PartitionFigures, TaskFigures, TaskTimes};
pub use health::{Health, HealthReport, Pulse, TaskHealth, TaskName, TaskState};
pub use log::{LogError, LogFormat, LogOptions, start as start_log};

/// The one way out for operational news. Cheap to clone: every worker holds one.
#[derive(Clone)]
pub struct Telemetry {
    figures: Arc<Figures>,
    health: Health,
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry::new()
    }
}

impl Telemetry {
    /// A telemetry with its own registry, all figures at zero. `insight_hub_process_start_time_seconds` is now.
    pub fn new() -> Telemetry {
        Telemetry { figures: Arc::new(Figures::new()), health: Health::default() }
    }

    /// The state of health, which `serve` shows. `emit` keeps it.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Turns an event into its log line and its figures, and keeps the state of health.
    pub fn emit(&self, event: Event<'_>) {
        event::count(&self.figures, &self.health, &event);
        event::log(&event);
    }

    /// Every figure in the text format of Prometheus.
    pub fn render(&self) -> String {
        let mut bytes = Vec::with_capacity(16 * 1024);
        TextEncoder::new()
            .encode(&self.figures.registry.gather(), &mut bytes)
            .expect("writing to memory cannot fail, and every figure has a name");
        String::from_utf8(bytes).expect("the text format is made of strings")
    }

    /// The names of all figures that this version promises, histograms without their suffixes.
    pub fn figure_names(&self) -> &[&'static str] {
        &self.figures.names
    }

    /// Records taken from a topic, in committed and uncommitted transactions alike.
    pub fn records_in(&self, topic: &str) -> IntCounter {
        self.figures.records_in.with_label_values(&[topic])
    }

    /// Records written to a topic.
    pub fn records_out(&self, topic: &str) -> IntCounter {
        self.figures.records_out.with_label_values(&[topic])
    }

    /// Seconds from a source record's timestamp to the commit that published its effect on `feed`.
    pub fn end_to_end_seconds(&self, feed: &str) -> Histogram {
        self.figures.end_to_end.with_label_values(&[feed])
    }

    /// Seconds for which a part of a publication (a closed vocabulary) held the metrics stage.
    pub fn publish_seconds(&self, part: &'static str) -> Histogram {
        self.figures.publish_seconds.with_label_values(&[part])
    }

    /// Seconds of CPU that such a part took of the metrics stage's thread.
    pub fn publish_cpu_seconds(&self, part: &'static str) -> Histogram {
        self.figures.publish_cpu_seconds.with_label_values(&[part])
    }

    /// What became of records: one counter per spoke and outcome (a closed vocabulary).
    pub fn outcomes(&self, spoke: &str, outcome: &'static str) -> IntCounter {
        self.figures.outcomes.with_label_values(&[spoke, outcome])
    }

    /// Rejections by spoke and reason (a closed vocabulary). [`Event::TouchpointRejected`] counts here too: use one.
    pub fn rejections(&self, spoke: &str, reason: &'static str) -> IntCounter {
        self.figures.rejections.with_label_values(&[spoke, reason])
    }

    /// Touchpoints whose department's own kind has no mapping.
    pub fn unmapped_kinds(&self, spoke: &str) -> IntCounter {
        self.figures.unmapped_kinds.with_label_values(&[spoke])
    }

    /// How often a bound on what is remembered was hit, by the name of the bound.
    pub fn capped(&self, cap: &'static str) -> IntCounter {
        self.figures.capped.with_label_values(&[cap])
    }

    /// Records taken from a department's topic, in committed transactions.
    pub fn spoke_records(&self, spoke: &str) -> IntCounter {
        self.figures.spoke_records.with_label_values(&[spoke])
    }

    /// Partitions of a department for which alerts of the whole hub are held back. Each of them adds itself, and takes itself away.
    pub fn alerts_held_partitions(&self, spoke: &str) -> IntGauge {
        self.figures.alerts_held_partitions.with_label_values(&[spoke])
    }

    /// Shows the timestamp of the newest record of a department: seconds since 1970-01-01T00:00:00Z. One from the future is
    /// shown as now: otherwise a single wrong clock would hide for years that the department is silent.
    pub fn spoke_newest_record(&self, spoke: &str, seconds: f64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.figures.spoke_newest_record_seconds.with_label_values(&[spoke]).set(seconds.min(now));
    }

    /// Removes what [`Telemetry::spoke_newest_record`] shows of a department: another instance keeps its account now.
    pub fn forget_spoke(&self, spoke: &str) {
        self.figures.forget_spoke(spoke);
    }

    /// From how many touchpoints an erasure has taken something, of all departments together.
    pub fn touchpoints_erased(&self) -> u64 {
        self.figures.touchpoints_erased_in_all()
    }

    /// Says whose topic it is: from then on its lag carries the name.
    pub fn name_spoke(&self, topic: &str, spoke: &str) {
        self.figures.name_spoke(topic, spoke);
    }

    /// The gauges of one partition of an input topic. Forget them when the partition is revoked.
    pub fn partition(&self, topic: &str, partition: i32) -> PartitionFigures {
        self.figures.partition(topic, partition)
    }

    /// Removes the gauges of a partition that this instance no longer reads, so that no stale lag stays visible.
    pub fn forget_partition(&self, topic: &str, partition: i32) {
        self.figures.forget_partition(topic, partition);
    }

    /// Shows the newest values of the company's metrics, these and no others.
    pub fn company_values(&self, values: &[CompanyValue<'_>]) {
        self.figures.company.show(values);
    }

    /// The gauges of one task. Its [`TaskState::Closed`] event removes them.
    pub fn task(&self, task: TaskName<'_>) -> TaskFigures {
        self.figures.task(task)
    }

    /// Shows what a task knows of event time, and takes away what it does not know.
    pub fn task_times(&self, task: TaskName<'_>, times: TaskTimes) {
        self.figures.task_times(task, times);
    }
}

#[cfg(test)]
mod tests;
