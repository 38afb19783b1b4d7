//! Every Prometheus figure, defined once: name with unit, help text, labels with bounded values.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, core::Collector,
};

use super::{TaskName, company::CompanyFigures};

/// Bounds in seconds for end-to-end latency: dense around the 600 ms that the hub promises at half of its top rate.
const LATENCY_SECONDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0,
    60.0, 300.0, 1800.0,
];
/// Bounds in seconds for one commit or flush.
const WORK_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bounds in seconds for one part of a publication: dense around the 50 ms that it may hold its stage.
const PUBLISH_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bounds in records for one transaction.
const RECORDS: &[f64] = &[1.0, 10.0, 100.0, 1e3, 3e3, 1e4, 3e4, 1e5, 1e6];
/// Bounds in bytes for one transaction.
const BYTES: &[f64] = &[1e3, 1e4, 1e5, 1e6, 4e6, 1.6e7, 6.4e7, 2.56e8];

/// All figures and the registry that they are registered in.
pub(super) struct Figures {
    pub registry: Registry,
    pub names: Vec<&'static str>,
    pub records_in: IntCounterVec,
    pub records_out: IntCounterVec,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    unstable_records: IntGaugeVec,
    pub end_to_end: HistogramVec,
    pub outcomes: IntCounterVec,
    pub rejections: IntCounterVec,
    pub unmapped_kinds: IntCounterVec,
    pub spoke_records: IntCounterVec,
    pub alerts_held_partitions: IntGaugeVec,
    pub spoke_newest_record_seconds: GaugeVec,
    /// Topic → the department that it belongs to.
    spokes: RwLock<BTreeMap<String, String>>,
    pub capped: IntCounterVec,
    pub links: IntCounterVec,
    pub links_refused: IntCounterVec,
    pub homes_moved: IntCounter,
    pub person_identifiers_max: IntGauge,
    pub touchpoints_sent: IntCounterVec,
    pub alerts: IntCounterVec,
    pub api_requests: IntCounterVec,
    pub api_seconds: Histogram,
    pub logins: IntCounterVec,
    pub api_items: IntCounterVec,
    pub api_stored_seconds: Histogram,
    pub view_behind_records: IntGauge,
    pub view_stalled: IntGauge,
    pub company: CompanyFigures,
    pub certificate_ends: IntGauge,
    pub touchpoints_erased: IntCounterVec,
    pub erasures_pending: IntGauge,
    pub erasures_due: IntGauge,
    pub reloads: IntCounterVec,
    pub mappings_loaded: IntGauge,
    pub mappings_hash: IntGauge,
    pub commits: IntCounter,
    pub commit_seconds: Histogram,
    pub publish_seconds: HistogramVec,
    pub publish_cpu_seconds: HistogramVec,
    pub transactions_aborted: IntCounterVec,
    pub transaction_records: Histogram,
    pub transaction_bytes: Histogram,
    pub restore_remaining_records: IntGaugeVec,
    pub restore_records: IntCounterVec,
    pub restore_rate: GaugeVec,
    table_bytes: IntGaugeVec,
    unflushed_bytes: IntGaugeVec,
    store_bytes: IntGaugeVec,
    pub flushes: IntCounterVec,
    pub flush_seconds: Histogram,
    pub tasks: IntGaugeVec,
    watermark_delay_seconds: GaugeVec,
    as_of_seconds: GaugeVec,
    pub rebalances: IntCounterVec,
    pub spokes_paused: IntGaugeVec,
    pub registry_requests: IntCounterVec,
    pub registry_available: IntGauge,
    pub log_paused: IntGauge,
    pub log_sync_seconds: Histogram,
    pub log_append_seconds: Histogram,
    pub log_bytes_freed: IntCounter,
    pub log_bytes: IntGauge,
}

/// The gauges of one partition of an input topic.
#[derive(Clone)]
pub struct PartitionFigures {
    /// Records between what is committed and the last stable offset.
    pub lag_records: IntGauge,
    /// Seconds since the timestamp of the oldest record that is not yet committed; 0 when caught up.
    pub lag_seconds: Gauge,
    /// High watermark less last stable offset: what stays above zero is a hanging transaction.
    pub unstable_records: IntGauge,
}

/// The gauges of one task.
#[derive(Clone)]
pub struct TaskFigures {
    /// Bytes of the in-memory table.
    pub table_bytes: IntGauge,
    /// Bytes of it that are committed but not yet in the store.
    pub unflushed_bytes: IntGauge,
    /// Bytes of the store on disk.
    pub store_bytes: IntGauge,
}

/// What a task knows of event time. What it does not know, or keep at all, is not shown: 0 would look like a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TaskTimes {
    /// The task's `as_of`, seconds since 1970-01-01T00:00:00Z.
    pub as_of_seconds: Option<f64>,
    /// Seconds from the task's watermark to the clock.
    pub watermark_delay_seconds: Option<f64>,
}

/// Registers figures and notes their names.
struct Maker {
    registry: Registry,
    names: Vec<&'static str>,
}

/// Why making a figure cannot fail: names and labels are literals of this file.
const LITERAL: &str = "names, labels and bounds are literals of this file, each used once; the tests make them all";

impl Maker {
    fn register<C: Collector + Clone + 'static>(&mut self, name: &'static str, figure: C) -> C {
        self.registry.register(Box::new(figure.clone())).expect(LITERAL);
        self.names.push(name);
        figure
    }

    fn counters(&mut self, name: &'static str, help: &str, labels: &[&str]) -> IntCounterVec {
        let figure = IntCounterVec::new(Opts::new(name, help), labels).expect(LITERAL);
        self.register(name, figure)
    }

    fn counter(&mut self, name: &'static str, help: &str) -> IntCounter {
        let figure = IntCounter::new(name, help).expect(LITERAL);
        self.register(name, figure)
    }

    fn whole_gauges(&mut self, name: &'static str, help: &str, labels: &[&str]) -> IntGaugeVec {
        let figure = IntGaugeVec::new(Opts::new(name, help), labels).expect(LITERAL);
        self.register(name, figure)
    }

    fn whole_gauge(&mut self, name: &'static str, help: &str) -> IntGauge {
        let figure = IntGauge::new(name, help).expect(LITERAL);
        self.register(name, figure)
    }

    fn gauges(&mut self, name: &'static str, help: &str, labels: &[&str]) -> GaugeVec {
        let figure = GaugeVec::new(Opts::new(name, help), labels).expect(LITERAL);
        self.register(name, figure)
    }

    fn histograms(&mut self, name: &'static str, help: &str, labels: &[&str], bounds: &[f64]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        let figure = HistogramVec::new(options, labels).expect(LITERAL);
        self.register(name, figure)
    }

    fn histogram(&mut self, name: &'static str, help: &str, bounds: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        let figure = Histogram::with_opts(options).expect(LITERAL);
        self.register(name, figure)
    }
}

impl Figures {
    pub(super) fn new() -> Figures {
        let mut make = Maker { registry: Registry::new(), names: Vec::new() };
        // Topics, partitions and departments are configuration: the labels are bounded by it. Internal topics have no spoke.
        let by_partition = &["topic", "partition", "spoke"];
        let by_task = &["stage", "topic", "partition"];
        let started = make.gauges(
            "insight_hub_process_start_time_seconds",
            "When this process started, seconds since 1970-01-01T00:00:00Z.",
            &[],
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        started.with_label_values::<&str>(&[]).set(now.as_secs_f64());
        make.whole_gauges("insight_hub_build_info", "Always 1; the labels say which build runs.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        Figures {
            records_in: make.counters("insight_hub_records_in_total", "Records taken from a topic.", &["topic"]),
            records_out: make.counters("insight_hub_records_out_total", "Records written to a topic.", &["topic"]),
            lag_records: make.whole_gauges(
                "insight_hub_lag_records",
                "Records between the committed offset and the last stable offset.",
                by_partition,
            ),
            lag_seconds: make.gauges(
                "insight_hub_lag_seconds",
                "Age of the oldest record that is not yet committed; 0 when caught up.",
                by_partition,
            ),
            unstable_records: make.whole_gauges(
                "insight_hub_unstable_records",
                "High watermark less last stable offset; what stays above zero is a hanging transaction.",
                by_partition,
            ),
            end_to_end: make.histograms(
                "insight_hub_end_to_end_seconds",
                "From a source record's timestamp to the commit that published its effect on the feed.",
                &["feed"],
                LATENCY_SECONDS,
            ),
            outcomes: make.counters(
                "insight_hub_outcomes_total",
                "What became of source records and touchpoints.",
                &["spoke", "outcome"],
            ),
            rejections: make.counters(
                "insight_hub_rejections_total",
                "Rejected source records and touchpoints.",
                &["spoke", "reason"],
            ),
            unmapped_kinds: make.counters(
                "insight_hub_unmapped_kinds_total",
                "Touchpoints whose department's own kind has no mapping: taken as `other`, or rejected.",
                &["spoke"],
            ),
            spoke_records: make.counters(
                "insight_hub_spoke_records_total",
                "Records taken from a department's topic, in committed transactions.",
                &["spoke"],
            ),
            alerts_held_partitions: make.whole_gauges(
                "insight_hub_alerts_held_partitions",
                "Source partitions of a department for which alerts are held back: not read to their end, or of days ago and catching up.",
                &["spoke"],
            ),
            spoke_newest_record_seconds: make.gauges(
                "insight_hub_spoke_newest_record_seconds",
                "Timestamp of a department's newest record, seconds since 1970-01-01T00:00:00Z; one from the future is when it came.",
                &["spoke"],
            ),
            spokes: RwLock::default(),
            capped: make.counters(
                "insight_hub_capped_total",
                "Times that a bound on what is remembered of one customer was hit.",
                &["cap"],
            ),
            links: make.counters(
                "insight_hub_links_total",
                "Pairs of identifiers that link since a change (linked), or no longer do (unlinked).",
                &["change"],
            ),
            links_refused: make.counters(
                "insight_hub_links_refused_total",
                "Pairs of identifiers that were refused, by rule: conflicts on insight.identities. Commands that do nothing \
                 too: undo_of_nothing, id_used_before.",
                &["rule"],
            ),
            homes_moved: make.counter(
                "insight_hub_homes_moved_total",
                "Identifiers whose touchpoints were told to belong to another person.",
            ),
            person_identifiers_max: make.whole_gauge(
                "insight_hub_person_identifiers_max",
                "Identifiers, things not counted, of the largest person that was made since this process started: it does not \
                 fall when that person is split or erased.",
            ),
            touchpoints_sent: make.counters(
                "insight_hub_touchpoints_sent_total",
                "Touchpoints that went from their home to another person: moved by a link or split, or forwarded as they came.",
                &["why"],
            ),
            alerts: make.counters(
                "insight_hub_alerts_total",
                "Alerts on insight.alerts that opened, and that are over, by cause: the difference is what is open.",
                &["cause", "change"],
            ),
            api_requests: make.counters(
                "insight_hub_api_requests_total",
                "Requests to the API by what came of them: answered, refused (who asks may not), limited (too often, too many, not filled yet), wrong, failed; and streams cut_off because nobody took what they had.",
                &["outcome"],
            ),
            api_seconds: make.histogram(
                "insight_hub_api_seconds",
                "From a request to the API to its answer, of a stream to its beginning.",
                WORK_SECONDS,
            ),
            logins: make.counters(
                "insight_hub_logins_total",
                "Logins to the dashboard: accepted, and refused because the token is none, has ended or was revoked.",
                &["outcome"],
            ),
            api_items: make.counters(
                "insight_hub_api_items_total",
                "Items that departments sent over the API, by what came of them: accepted (stored durably) or refused by the mapping, which the sender was told.",
                &["spoke", "outcome"],
            ),
            api_stored_seconds: make.histogram(
                "insight_hub_api_stored_seconds",
                "How long it took to store what came over the API and waited: a sync of the disk, or a round to the brokers, for all of it together.",
                WORK_SECONDS,
            ),
            view_behind_records: make.whole_gauge(
                "insight_hub_view_behind_records",
                "Records of the feeds that the view of the API has not taken over, as of its last look; 0 without an API.",
            ),
            certificate_ends: make.whole_gauge(
                "insight_hub_api_certificate_expiry_timestamp_seconds",
                "When the certificate of the API expires, seconds since 1970-01-01T00:00:00Z; 0 without one.",
            ),
            view_stalled: make.whole_gauge(
                "insight_hub_view_stalled",
                "1 while the view of the API has not heard of its feeds for half a minute, or cannot be written: what the API shows is old.",
            ),
            company: CompanyFigures {
                values: make.gauges(
                    "insight_hub_company_value",
                    "A metric of the company, in its unit, for its newest window and for the newest that is settled; with http.company_values alone.",
                    &["metric", "unit", "window", "which", "currency"],
                ),
                observations: make.gauges(
                    "insight_hub_company_observations",
                    "How many observations that value is made of.",
                    &["metric", "unit", "window", "which", "currency"],
                ),
                intervals: make.gauges(
                    "insight_hub_company_interval",
                    "The ends (low, high) of the 95 % interval of that value, where it is an estimate.",
                    &["metric", "unit", "window", "which", "currency", "bound"],
                ),
                window_starts: make.gauges(
                    "insight_hub_company_window_start_timestamp_seconds",
                    "The first day of that window: its midnight of UTC, seconds since 1970-01-01T00:00:00Z.",
                    &["metric", "unit", "window", "which", "currency"],
                ),
                shown: Mutex::default(),
            },
            touchpoints_erased: make.counters(
                "insight_hub_touchpoints_erased_total",
                "Touchpoints that an erasure took, or took identifiers of, late ones included.",
                &["spoke"],
            ),
            erasures_pending: make.whole_gauge(
                "insight_hub_erasures_pending",
                "1 while files of this instance may hold something that was erased: topics.erased_within_seconds bounds it.",
            ),
            erasures_due: make.whole_gauge(
                "insight_hub_erasures_due_timestamp_seconds",
                "By when this instance should have rewritten its files for its oldest erasure that is not in it yet, seconds since 1970-01-01T00:00:00Z; 0: none. Half of topics.erased_within_seconds is left then.",
            ),
            reloads: make.counters(
                "insight_hub_reloads_total",
                "Times that the configuration was read again, by what came of it.",
                &["outcome"],
            ),
            mappings_loaded: make.whole_gauge(
                "insight_hub_mappings_loaded_timestamp_seconds",
                "When the mappings in force were last found to be those on disk, seconds since 1970-01-01T00:00:00Z.",
            ),
            mappings_hash: make.whole_gauge(
                "insight_hub_mappings_hash",
                "A hash of the mappings and schemas in force: instances that differ in it map differently.",
            ),
            commits: make.counter("insight_hub_commits_total", "Committed transactions."),
            commit_seconds: make.histogram(
                "insight_hub_commit_seconds",
                "From flushing the producer to the broker's confirmation of a commit.",
                WORK_SECONDS,
            ),
            publish_seconds: make.histograms(
                "insight_hub_publish_seconds",
                "How long a part of a publication (values, parameters, analyses, or all together) held the metrics stage within a commit.",
                &["part"],
                PUBLISH_SECONDS,
            ),
            publish_cpu_seconds: make.histograms(
                "insight_hub_publish_cpu_seconds",
                "CPU time that a part of a publication took of its thread: where it held the stage longer, the machine was busy with something else.",
                &["part"],
                PUBLISH_SECONDS,
            ),
            transactions_aborted: make.counters(
                "insight_hub_transactions_aborted_total",
                "Transactions that did not commit, or of which it is not known.",
                &["reason"],
            ),
            transaction_records: make.histogram(
                "insight_hub_transaction_records",
                "Records written by one committed transaction.",
                RECORDS,
            ),
            transaction_bytes: make.histogram(
                "insight_hub_transaction_bytes",
                "Bytes of keys and values written by one committed transaction.",
                BYTES,
            ),
            restore_remaining_records: make.whole_gauges(
                "insight_hub_restore_remaining_records",
                "Changelog offsets still to be read until the task can run.",
                by_task,
            ),
            restore_records: make.counters(
                "insight_hub_restore_records_total",
                "Changelog records restored since the process started.",
                by_task,
            ),
            restore_rate: make.gauges(
                "insight_hub_restore_records_per_second",
                "Rate of the restore in progress; 0 when none is.",
                by_task,
            ),
            table_bytes: make.whole_gauges("insight_hub_table_bytes", "Bytes of the in-memory table.", by_task),
            unflushed_bytes: make.whole_gauges(
                "insight_hub_unflushed_bytes",
                "Bytes that are committed to the changelog and not yet in the store.",
                by_task,
            ),
            store_bytes: make.whole_gauges("insight_hub_store_bytes", "Bytes of the store on disk.", by_task),
            flushes: make.counters("insight_hub_flushes_total", "Flushes of tables to stores.", &["stage"]),
            flush_seconds: make.histogram(
                "insight_hub_flush_seconds",
                "Duration of one flush of a table to its store.",
                WORK_SECONDS,
            ),
            tasks: make.whole_gauges(
                "insight_hub_tasks",
                "Tasks of this instance by stage and state.",
                &["stage", "state"],
            ),
            watermark_delay_seconds: make.gauges(
                "insight_hub_watermark_delay_seconds",
                "From the task's watermark to the clock.",
                by_task,
            ),
            as_of_seconds: make.gauges(
                "insight_hub_as_of_seconds",
                "Largest accepted occurred_at that the task knows of, seconds since 1970-01-01T00:00:00Z.",
                by_task,
            ),
            rebalances: make.counters("insight_hub_rebalances_total", "Changes of the assignment.", &["kind"]),
            spokes_paused: make.whole_gauges(
                "insight_hub_spokes_paused",
                "1 while a worker takes no source records because internal topics lag.",
                &["worker"],
            ),
            registry_requests: make.counters(
                "insight_hub_registry_requests_total",
                "Requests to the schema registry by outcome: fetched, unknown, unusable, unavailable.",
                &["outcome"],
            ),
            registry_available: make.whole_gauge(
                "insight_hub_registry_available",
                "0 while the schema registry cannot be used and records wait for it; 1 otherwise, also without one.",
            ),
            log_paused: make.whole_gauge(
                "insight_hub_log_paused",
                "1 while the embedded log takes nothing because the disk is full.",
            ),
            log_sync_seconds: make.histogram(
                "insight_hub_log_sync_seconds",
                "Duration of one sync of the embedded log.",
                WORK_SECONDS,
            ),
            log_append_seconds: make.histogram(
                "insight_hub_log_append_seconds",
                "The longest append of a worker to the embedded log in each tenth of a second: what a commit waits for.",
                WORK_SECONDS,
            ),
            log_bytes_freed: make.counter(
                "insight_hub_log_freed_bytes_total",
                "Bytes that the embedded log gave up by retention and compaction.",
            ),
            log_bytes: make.whole_gauge("insight_hub_log_bytes", "Bytes of the embedded log on disk."),
            registry: make.registry,
            names: make.names,
        }
    }

    pub(super) fn name_spoke(&self, topic: &str, spoke: &str) {
        let mut spokes = self.spokes.write().unwrap_or_else(PoisonError::into_inner);
        spokes.insert(topic.to_owned(), spoke.to_owned());
    }

    pub(super) fn touchpoints_erased_in_all(&self) -> u64 {
        let families = prometheus::core::Collector::collect(&self.touchpoints_erased);
        let samples = families.iter().flat_map(|family| family.get_metric());
        // A count of touchpoints is a whole number, far below where a float skips one.
        samples.map(|sample| sample.get_counter().get_value() as u64).sum()
    }

    fn spoke_of(&self, topic: &str) -> String {
        let spokes = self.spokes.read().unwrap_or_else(PoisonError::into_inner);
        spokes.get(topic).cloned().unwrap_or_default()
    }

    pub(super) fn forget_spoke(&self, spoke: &str) {
        // Removing what is not there is an error that nobody needs to hear of.
        let _ = self.spoke_newest_record_seconds.remove_label_values(&[spoke]);
    }

    pub(super) fn partition(&self, topic: &str, partition: i32) -> PartitionFigures {
        let (partition, spoke) = (partition.to_string(), self.spoke_of(topic));
        let labels = [topic, partition.as_str(), spoke.as_str()];
        PartitionFigures {
            lag_records: self.lag_records.with_label_values(&labels),
            lag_seconds: self.lag_seconds.with_label_values(&labels),
            unstable_records: self.unstable_records.with_label_values(&labels),
        }
    }

    pub(super) fn forget_partition(&self, topic: &str, partition: i32) {
        let (partition, spoke) = (partition.to_string(), self.spoke_of(topic));
        let labels = [topic, partition.as_str(), spoke.as_str()];
        // Removing what is not there is an error that nobody needs to hear of.
        let _ = self.lag_records.remove_label_values(&labels);
        let _ = self.lag_seconds.remove_label_values(&labels);
        let _ = self.unstable_records.remove_label_values(&labels);
    }

    pub(super) fn task(&self, task: TaskName<'_>) -> TaskFigures {
        let partition = task.partition.to_string();
        let labels = [task.stage, task.topic, partition.as_str()];
        TaskFigures {
            table_bytes: self.table_bytes.with_label_values(&labels),
            unflushed_bytes: self.unflushed_bytes.with_label_values(&labels),
            store_bytes: self.store_bytes.with_label_values(&labels),
        }
    }

    pub(super) fn task_times(&self, task: TaskName<'_>, times: TaskTimes) {
        let partition = task.partition.to_string();
        let labels = [task.stage, task.topic, partition.as_str()];
        for (gauges, seconds) in
            [(&self.as_of_seconds, times.as_of_seconds), (&self.watermark_delay_seconds, times.watermark_delay_seconds)]
        {
            match seconds {
                Some(seconds) => gauges.with_label_values(&labels).set(seconds),
                None => drop(gauges.remove_label_values(&labels)),
            }
        }
    }

    pub(super) fn forget_task(&self, task: TaskName<'_>) {
        let partition = task.partition.to_string();
        let labels = [task.stage, task.topic, partition.as_str()];
        // Counters stay: taking one away would look like a restart. Gauges of a task that lives elsewhere would lie.
        for gauges in [&self.table_bytes, &self.unflushed_bytes, &self.store_bytes, &self.restore_remaining_records] {
            let _ = gauges.remove_label_values(&labels);
        }
        for gauges in [&self.watermark_delay_seconds, &self.as_of_seconds, &self.restore_rate] {
            let _ = gauges.remove_label_values(&labels);
        }
    }
}
