//! The closed set of operational events, and the one place that says what each counts and logs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{debug, error, info, trace, warn};

use super::{Health, TaskName, TaskState, figures::Figures};

/// How the assignment changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebalance {
    /// Partitions came.
    Assigned,
    /// Partitions go, after a last commit.
    Revoked,
    /// Partitions are already gone: what was not committed is dropped.
    Lost,
}

impl Rebalance {
    /// The word, as in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rebalance::Assigned => "assigned",
            Rebalance::Revoked => "revoked",
            Rebalance::Lost => "lost",
        }
    }
}

/// Why a transaction did not commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// The broker or the client asked for an abort.
    Required,
    /// It is not known whether it committed, or the producer cannot go on: it is replaced and the committed offsets decide.
    Ambiguous,
    /// The partitions went away before the commit.
    AssignmentLost,
}

impl AbortReason {
    /// The word, as in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            AbortReason::Required => "required",
            AbortReason::Ambiguous => "ambiguous",
            AbortReason::AssignmentLost => "assignment_lost",
        }
    }
}

/// What came of reading the configuration again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// Mappings or schemas were replaced.
    Applied,
    /// It is as before.
    Unchanged,
    /// It is valid, and something in it can only be changed by a restart: nothing was applied.
    NeedsRestart,
    /// It is wrong: nothing was applied.
    Invalid,
}

impl ReloadOutcome {
    /// The word, as in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReloadOutcome::Applied => "applied",
            ReloadOutcome::Unchanged => "unchanged",
            ReloadOutcome::NeedsRestart => "needs_restart",
            ReloadOutcome::Invalid => "invalid",
        }
    }
}

/// What can happen. `message` is the text of a library's error, never content of a record.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields say what they are; units are in their names")]
pub enum Event<'a> {
    /// The hub runs and tries to join its group.
    HubStarted { application_id: &'a str, workers: usize, generation: &'a str },
    /// The mappings in force were read, or found unchanged; `hash` is the same wherever files and schemas are.
    MappingsLoaded { hash: u64, at_ms: i64 },
    /// The configuration was read again. Names of what changed or would have to, and what is wrong with it.
    Reloaded { outcome: ReloadOutcome, changed: &'a str, needs_restart: &'a str, problem: &'a str },
    /// A signal or a failure began the drain.
    HubStopping { reason: &'a str },
    /// All workers are gone.
    HubStopped { committed: bool },
    /// A worker ended on an error that only the operator can solve.
    WorkerFailed { worker: usize, message: &'a str },
    /// A topic was created with its configuration.
    TopicCreated { topic: &'a str, partitions: i32 },
    /// The settings of these topics may not be looked at: whether they are as the hub needs them is not known.
    SettingsUnseen { topics: &'a str },
    /// What was processed of an internal topic is not deleted. Told once, until the reason is another one.
    ProcessedKept { topic: &'a str, message: &'a str },
    /// It is deleted again.
    ProcessedDeleted { topic: &'a str },
    /// The assignment of a worker changed by so many partitions.
    Rebalanced { worker: usize, change: Rebalance, partitions: usize },
    /// A task went to another state.
    TaskChanged { task: TaskName<'a>, state: TaskState },
    /// A task starts to read its changelog from the store's offset.
    RestoreStarted { task: TaskName<'a>, from_offset: i64, remaining_records: u64 },
    /// Progress since the last event of this task.
    RestoreProgressed { task: TaskName<'a>, restored_records: u64, remaining_records: u64, elapsed: Duration },
    /// The task's state is whole again. Totals of the restore; the counter has them from `RestoreProgressed`.
    RestoreFinished { task: TaskName<'a>, restored_records: u64, elapsed: Duration },
    /// The changelog no longer has the store's offset: the task restores from the beginning.
    RestoreFromBeginning { task: TaskName<'a>, wanted_offset: i64, first_offset: i64 },
    /// A transaction committed.
    Committed { worker: usize, records: u64, bytes: u64, elapsed: Duration },
    /// A transaction did not commit; the work is done again. `in_a_row`: how many for this reason since this
    /// worker's last commit, this one included.
    TransactionAborted { worker: usize, reason: AbortReason, in_a_row: u64, message: &'a str },
    /// A table's changes went to its store, with the changelog offset that it now reflects.
    Flushed { task: TaskName<'a>, entries: u64, bytes: u64, elapsed: Duration },
    /// Source topics are paused (or resumed) because internal topics lag by so many records.
    SpokesPaused { worker: usize, paused: bool, lag_records: u64 },
    /// A source record, or one touchpoint in it, was rejected. `field` is a path of the mapping, not a value.
    TouchpointRejected { spoke: &'a str, reason: &'static str, field: &'a str, partition: i32, offset: i64 },
    /// A department's own kind has no mapping.
    KindsUnmapped { spoke: &'a str, count: u64 },
    /// A bound on what is remembered was hit.
    Capped { cap: &'static str },
    /// Pairs of identifiers link that did not, or no longer do; homes learned that they belong to another person.
    LinksChanged { linked: u64, unlinked: u64, homes_moved: u64 },
    /// Pairs were refused by a rule: conflicts.
    LinksRefused { rule: &'a str, count: u64 },
    /// So many identifiers, things not counted, are one person since a change.
    PersonGrew { identifiers: u64 },
    /// Touchpoints went from their home to the person that they belong to: because the person changed, or as they came.
    TouchpointsSent { moved: u64, forwarded: u64 },
    /// Alerts of a cause opened, and are over: its cause ended, or the person is gone.
    AlertsChanged { cause: &'static str, opened: u64, closed: u64 },
    /// The API answered a request: what came of it, and how long the answer took.
    ApiAnswered { outcome: &'static str, elapsed: Duration },
    /// The API ended a stream whose client took nothing for long.
    ApiCutOff,
    /// Somebody showed a token to the dashboard.
    LoggedIn { accepted: bool },
    /// Items of a department came over the API: how many are stored, and how many its mapping refused.
    ApiItems { spoke: &'a str, accepted: u64, refused: u64 },
    /// What came over the API and waited was stored: how long that took.
    ApiStored { elapsed: Duration },
    /// How far the view of the API is, and whether it does not go on.
    ViewLooked { behind_records: u64, is_stalled: bool },
    /// The API's connections have a certificate that ends then, in seconds since 1970.
    CertificateTaken { ends_s: i64 },
    /// An erasure took touchpoints or identifiers of them, or kept some that came late from being taken.
    TouchpointsErased { spoke: &'a str, count: u64 },
    /// Files of this instance may still hold something that was erased, or none does any more.
    ErasuresPending { pending: bool },
    /// By when they have to be rewritten for the oldest erasure that no rewriting has reached yet, in milliseconds since 1970;
    /// 0: there is none.
    ErasuresDue { by_ms: i64 },
    /// Stores, and the embedded log, were rewritten without what was deleted.
    ErasuresCleaned { elapsed: Duration },
    /// The schema registry answered a request for a schema: `fetched`, `unknown` or `unusable` (with why).
    SchemaAnswered { id: u32, outcome: &'static str, message: &'a str },
    /// The schema registry cannot be used: what needs it waits. `tries`: how many in a row failed.
    RegistryUnavailable { tries: u32, message: &'a str },
    /// It can be used again.
    RegistryAvailable,
    /// The embedded log takes nothing because the disk has less room than it keeps free, or it does again.
    LogPaused { paused: bool, available_bytes: u64, needed_bytes: u64 },
    /// The embedded log was synced.
    LogSynced { elapsed: Duration },
    /// The longest append of a worker to the embedded log since this was told last, with the sync that belongs to it.
    LogAppended { longest: Duration },
    /// The embedded log gave up what nobody needs.
    LogCleaned { segments_removed: u64, segments_rewritten: u64, bytes_freed: u64, elapsed: Duration },
    /// The embedded log takes so much of the disk.
    LogMeasured { bytes: u64 },
}

/// What an event counts, and what it says about health.
pub(super) fn count(figures: &Figures, health: &Health, event: &Event<'_>) {
    match *event {
        Event::HubStopping { .. } => health.stopping(),
        Event::MappingsLoaded { hash, at_ms } => {
            figures.mappings_hash.set(i64::try_from(hash).unwrap_or_default());
            figures.mappings_loaded.set(at_ms / 1_000);
        }
        Event::Reloaded { outcome, .. } => figures.reloads.with_label_values(&[outcome.as_str()]).inc(),
        Event::Rebalanced { change, .. } => {
            figures.rebalances.with_label_values(&[change.as_str()]).inc();
            if change == Rebalance::Assigned {
                health.joined();
            }
        }
        Event::TaskChanged { task, state } => {
            health.task_state(task, state);
            for shown in TaskState::SHOWN {
                let tasks = figures.tasks.with_label_values(&[task.stage, shown.as_str()]);
                tasks.set(health.count(task.stage, shown));
            }
            if state == TaskState::Closed {
                figures.forget_task(task);
            }
        }
        Event::RestoreStarted { task, remaining_records, .. } => {
            restore(figures, health, task, 0, remaining_records, 0.0);
        }
        Event::RestoreProgressed { task, restored_records, remaining_records, elapsed } => {
            // A record count stays far below 2^53, where f64 is exact.
            let rate = restored_records as f64 / elapsed.as_secs_f64().max(0.001);
            restore(figures, health, task, restored_records, remaining_records, rate);
        }
        Event::RestoreFinished { task, .. } => restore(figures, health, task, 0, 0, 0.0),
        Event::Committed { records, bytes, elapsed, .. } => {
            figures.commits.inc();
            figures.commit_seconds.observe(elapsed.as_secs_f64());
            figures.transaction_records.observe(records as f64);
            figures.transaction_bytes.observe(bytes as f64);
        }
        Event::TransactionAborted { reason, .. } => {
            figures.transactions_aborted.with_label_values(&[reason.as_str()]).inc();
        }
        Event::Flushed { task, elapsed, .. } => {
            figures.flushes.with_label_values(&[task.stage]).inc();
            figures.flush_seconds.observe(elapsed.as_secs_f64());
        }
        Event::SpokesPaused { worker, paused, .. } => {
            let gauge = figures.spokes_paused.with_label_values(&[worker.to_string().as_str()]);
            gauge.set(i64::from(paused));
        }
        Event::TouchpointRejected { spoke, reason, .. } => {
            figures.rejections.with_label_values(&[spoke, reason]).inc();
        }
        Event::KindsUnmapped { spoke, count } => figures.unmapped_kinds.with_label_values(&[spoke]).inc_by(count),
        Event::Capped { cap } => figures.capped.with_label_values(&[cap]).inc(),
        Event::LinksChanged { linked, unlinked, homes_moved } => {
            figures.links.with_label_values(&["linked"]).inc_by(linked);
            figures.links.with_label_values(&["unlinked"]).inc_by(unlinked);
            figures.homes_moved.inc_by(homes_moved);
        }
        Event::LinksRefused { rule, count } => figures.links_refused.with_label_values(&[rule]).inc_by(count),
        Event::PersonGrew { identifiers } => {
            let identifiers = i64::try_from(identifiers).unwrap_or(i64::MAX);
            figures.person_identifiers_max.set(figures.person_identifiers_max.get().max(identifiers));
        }
        Event::TouchpointsSent { moved, forwarded } => {
            figures.touchpoints_sent.with_label_values(&["moved"]).inc_by(moved);
            figures.touchpoints_sent.with_label_values(&["forwarded"]).inc_by(forwarded);
        }
        Event::AlertsChanged { cause, opened, closed } => {
            figures.alerts.with_label_values(&[cause, "opened"]).inc_by(opened);
            figures.alerts.with_label_values(&[cause, "closed"]).inc_by(closed);
        }
        Event::ApiAnswered { outcome, elapsed } => {
            figures.api_requests.with_label_values(&[outcome]).inc();
            figures.api_seconds.observe(elapsed.as_secs_f64());
        }
        Event::ApiCutOff => figures.api_requests.with_label_values(&["cut_off"]).inc(),
        Event::LoggedIn { accepted } => {
            figures.logins.with_label_values(&[if accepted { "accepted" } else { "refused" }]).inc();
        }
        Event::ApiItems { spoke, accepted, refused } => {
            figures.api_items.with_label_values(&[spoke, "accepted"]).inc_by(accepted);
            figures.api_items.with_label_values(&[spoke, "refused"]).inc_by(refused);
        }
        Event::ApiStored { elapsed } => figures.api_stored_seconds.observe(elapsed.as_secs_f64()),
        Event::ViewLooked { behind_records, is_stalled } => {
            figures.view_behind_records.set(i64::try_from(behind_records).unwrap_or(i64::MAX));
            figures.view_stalled.set(i64::from(is_stalled));
        }
        Event::CertificateTaken { ends_s } => figures.certificate_ends.set(ends_s),
        Event::TouchpointsErased { spoke, count } => {
            figures.touchpoints_erased.with_label_values(&[spoke]).inc_by(count);
        }
        Event::ErasuresPending { pending } => figures.erasures_pending.set(i64::from(pending)),
        Event::ErasuresDue { by_ms } => figures.erasures_due.set(by_ms / 1_000),
        Event::SchemaAnswered { outcome, .. } => {
            figures.registry_requests.with_label_values(&[outcome]).inc();
            figures.registry_available.set(1);
        }
        Event::RegistryUnavailable { .. } => {
            figures.registry_requests.with_label_values(&["unavailable"]).inc();
            figures.registry_available.set(0);
        }
        Event::RegistryAvailable => figures.registry_available.set(1),
        Event::LogPaused { paused, .. } => figures.log_paused.set(i64::from(paused)),
        Event::LogSynced { elapsed } => figures.log_sync_seconds.observe(elapsed.as_secs_f64()),
        Event::LogAppended { longest } => figures.log_append_seconds.observe(longest.as_secs_f64()),
        Event::LogCleaned { bytes_freed, .. } => figures.log_bytes_freed.inc_by(bytes_freed),
        Event::LogMeasured { bytes } => figures.log_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX)),
        Event::HubStarted { .. }
        | Event::HubStopped { .. }
        | Event::WorkerFailed { .. }
        | Event::TopicCreated { .. }
        | Event::SettingsUnseen { .. }
        | Event::ProcessedKept { .. }
        | Event::ProcessedDeleted { .. }
        | Event::ErasuresCleaned { .. }
        | Event::RestoreFromBeginning { .. } => {}
    }
}

fn restore(
    figures: &Figures,
    health: &Health,
    task: TaskName<'_>,
    restored: u64,
    remaining: u64,
    records_per_second: f64,
) {
    let partition = task.partition.to_string();
    let labels = [task.stage, task.topic, partition.as_str()];
    figures.restore_records.with_label_values(&labels).inc_by(restored);
    let gauge = figures.restore_remaining_records.with_label_values(&labels);
    gauge.set(i64::try_from(remaining).unwrap_or(i64::MAX));
    figures.restore_rate.with_label_values(&labels).set(records_per_second);
    health.restore_remaining(task, remaining);
}

/// The log line of an event. Info: what an operator wants to have seen. Warn: solved by itself, worth a look. Error:
/// somebody must act. Debug and trace: what comes often.
pub(super) fn log(event: &Event<'_>) {
    match *event {
        Event::HubStarted { application_id, workers, generation } => {
            info!(application_id, workers, generation, "hub started")
        }
        Event::MappingsLoaded { hash, .. } => debug!(hash, "mappings in force"),
        Event::Reloaded { outcome: ReloadOutcome::Applied, changed, .. } => info!(changed, "configuration applied"),
        Event::Reloaded { outcome: ReloadOutcome::Unchanged, .. } => info!("configuration read again: nothing changed"),
        Event::Reloaded { outcome: ReloadOutcome::NeedsRestart, needs_restart, .. } => {
            warn!(needs_restart, "configuration not applied, nothing of it: a restart is needed")
        }
        Event::Reloaded { outcome: ReloadOutcome::Invalid, problem, .. } => {
            error!(problem, "configuration not applied, nothing of it: it is wrong")
        }
        Event::HubStopping { reason } => info!(reason, "hub stopping: draining and committing"),
        Event::HubStopped { committed: true } => info!("hub stopped; everything taken in is committed"),
        Event::HubStopped { committed: false } => {
            warn!("hub stopped before its last commit; the uncommitted input will be read again");
        }
        Event::WorkerFailed { worker, message } => error!(worker, message, "worker stopped"),
        Event::TopicCreated { topic, partitions } => info!(topic, partitions, "topic created"),
        Event::SettingsUnseen { topics } => warn!(
            topics,
            "this user may not look at the settings of topics, so whether they are as the hub needs them is not known: grant \
             DescribeConfigs on them"
        ),
        Event::ProcessedKept { topic, message } => {
            error!(topic, message, "records that were processed are not deleted: the topic grows until they are")
        }
        Event::ProcessedDeleted { topic } => info!(topic, "records that were processed are deleted again"),
        Event::Rebalanced { worker, change, partitions } => {
            info!(worker, change = change.as_str(), partitions, "assignment changed")
        }
        Event::TaskChanged { task: TaskName { stage, topic, partition }, state } => {
            debug!(stage, topic, partition, state = state.as_str(), "task changed its state")
        }
        Event::RestoreStarted { task: TaskName { stage, topic, partition }, from_offset, remaining_records } => {
            info!(stage, topic, partition, from_offset, remaining_records, "restore started")
        }
        Event::RestoreProgressed {
            task: TaskName { stage, topic, partition },
            restored_records,
            remaining_records,
            ..
        } => {
            debug!(stage, topic, partition, restored_records, remaining_records, "restore progressed")
        }
        Event::RestoreFinished { task: TaskName { stage, topic, partition }, restored_records, elapsed } => {
            let elapsed_seconds = elapsed.as_secs_f64();
            info!(stage, topic, partition, restored_records, elapsed_seconds, "restore finished");
        }
        Event::RestoreFromBeginning { task: TaskName { stage, topic, partition }, wanted_offset, first_offset } => {
            warn!(
                stage,
                topic,
                partition,
                wanted_offset,
                first_offset,
                "the changelog no longer has the store's offset: restoring from the beginning"
            )
        }
        Event::Committed { worker, records, bytes, .. } => trace!(worker, records, bytes, "committed"),
        // A broker that recovers may refuse one after the other for a minute: the 1st, 2nd, 4th, 8th … of them are told.
        Event::TransactionAborted { worker, reason, in_a_row, message } => {
            let reason = reason.as_str();
            if in_a_row.is_power_of_two() {
                warn!(worker, reason, in_a_row, message, "transaction not committed; its work is done again")
            } else {
                debug!(worker, reason, in_a_row, message, "transaction not committed; its work is done again")
            }
        }
        Event::Flushed { task: TaskName { stage, topic, partition }, entries, bytes, .. } => {
            debug!(stage, topic, partition, entries, bytes, "table flushed")
        }
        Event::SpokesPaused { worker, paused: true, lag_records } => {
            info!(worker, lag_records, "source topics paused: internal topics lag")
        }
        Event::SpokesPaused { worker, lag_records, .. } => info!(worker, lag_records, "source topics resumed"),
        Event::TouchpointRejected { spoke, reason, field, partition, offset } => {
            debug!(spoke, reason, field, partition, offset, "touchpoint rejected")
        }
        Event::KindsUnmapped { spoke, count } => debug!(spoke, count, "kinds without a mapping"),
        Event::Capped { cap } => debug!(cap, "bound on what is remembered was hit"),
        Event::LinksChanged { linked, unlinked, homes_moved } => {
            trace!(linked, unlinked, homes_moved, "identities changed")
        }
        Event::LinksRefused { rule, count } => debug!(rule, count, "links refused"),
        Event::PersonGrew { identifiers } => trace!(identifiers, "person grew"),
        Event::TouchpointsSent { moved, forwarded } => trace!(moved, forwarded, "touchpoints sent to their person"),
        Event::AlertsChanged { cause, opened, closed } => debug!(cause, opened, closed, "alerts changed"),
        Event::ApiAnswered { outcome, elapsed } => {
            trace!(outcome, elapsed_seconds = elapsed.as_secs_f64(), "API answered")
        }
        Event::ApiCutOff => debug!("a stream of the API was cut off: its client took nothing"),
        Event::LoggedIn { accepted: true } => debug!("somebody logged in"),
        Event::LoggedIn { .. } => info!("a login was refused: the token is none, has ended or was revoked"),
        Event::ApiItems { spoke, accepted, refused } => trace!(spoke, accepted, refused, "items came over the API"),
        Event::ApiStored { elapsed } => {
            trace!(elapsed_seconds = elapsed.as_secs_f64(), "what came over the API was stored")
        }
        Event::CertificateTaken { ends_s } => debug!(ends_s, "the certificate of the API"),
        Event::ViewLooked { behind_records, is_stalled } => trace!(behind_records, is_stalled, "the view was asked"),
        Event::TouchpointsErased { spoke, count } => debug!(spoke, count, "touchpoints erased"),
        Event::ErasuresPending { pending: true } => {
            info!("something was erased: files of this instance are rewritten until no byte of it can be left")
        }
        Event::ErasuresPending { .. } => info!("no byte of what was erased is left in the files of this instance"),
        Event::ErasuresDue { by_ms } => debug!(by_ms, "files have to be rewritten for an erasure"),
        Event::ErasuresCleaned { elapsed } => {
            info!(elapsed_seconds = elapsed.as_secs_f64(), "files were rewritten without what was erased")
        }
        Event::SchemaAnswered { id, outcome: "fetched", .. } => info!(id, "schema fetched from the registry"),
        Event::SchemaAnswered { id, outcome, message } => {
            warn!(id, outcome, message, "a schema cannot be used: records that were written with it are rejected")
        }
        // The 1st, 2nd, 4th, 8th … of them are told.
        Event::RegistryUnavailable { tries, message } if tries.is_power_of_two() => warn!(
            tries,
            message,
            "the schema registry cannot be used: records that need it wait, nothing is lost, and they go on by themselves"
        ),
        Event::RegistryUnavailable { tries, message } => debug!(tries, message, "the schema registry cannot be used"),
        Event::RegistryAvailable => info!("the schema registry can be used again"),
        Event::LogPaused { paused: true, available_bytes, needed_bytes } => error!(
            available_bytes,
            needed_bytes,
            "the disk is full: nothing is taken in and nothing is lost; free space, it goes on by itself then"
        ),
        Event::LogPaused { available_bytes, .. } => info!(available_bytes, "the disk has room again: going on"),
        Event::LogSynced { elapsed } => trace!(elapsed_seconds = elapsed.as_secs_f64(), "log synced"),
        Event::LogAppended { longest } => trace!(longest_seconds = longest.as_secs_f64(), "log appended"),
        Event::LogCleaned { segments_removed, segments_rewritten, bytes_freed, elapsed } => {
            let elapsed_seconds = elapsed.as_secs_f64();
            debug!(segments_removed, segments_rewritten, bytes_freed, elapsed_seconds, "log cleaned");
        }
        Event::LogMeasured { bytes } => trace!(bytes, "log measured"),
    }
}
