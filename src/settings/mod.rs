//! Defaults, one TOML file, the environment and flags in; one valid [`Settings`] out, or an error that names the key.
//!
//! Later sources win: defaults ← file ← `INSIGHT_HUB__SECTION__KEY` ← flags. There is no `${VAR}` interpolation: it leaks
//! and injects. Secrets are never values here but files (`*_file`), read by whoever needs them, when they need them.
//! `deploy/insight-hub.toml` shows every key; a test keeps it complete.

mod analyses;
mod choice;
mod client;
mod error;
mod identity;
mod journeys;
mod layers;
mod oidc;
mod registry;
mod secret;
mod serve;
#[cfg(test)]
mod tests;
mod url;
mod valid;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::Currency;

pub use analyses::Analyses;
pub use choice::{Compression, FeedFormat, Fsync, LogFormat, PublishedIdentifiers, SaslMechanism, SecurityProtocol};
pub use client::ClientRole;
pub use error::SettingsError;
pub use identity::Identity;
pub use journeys::Journeys;
pub use oidc::Oidc;
pub use secret::Secret;
pub use serve::Serve;

/// Everything that can be configured. `Settings::load` returns only valid ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The instance and its place.
    pub hub: Hub,
    /// The cluster and the clients.
    pub kafka: Kafka,
    /// The log of a hub without Kafka.
    pub embedded: Embedded,
    /// Feeds and internal topics.
    pub topics: Topics,
    /// Transactions.
    pub commit: Commit,
    /// Bounds of memory, per process.
    pub memory: Memory,
    /// Event time.
    pub time: Time,
    /// What metrics mean here.
    pub metrics: Metrics,
    /// What journeys lead to.
    pub journeys: Journeys,
    /// What the organisation can afford.
    pub analyses: Analyses,
    /// Who is one person.
    pub identity: Identity,
    /// Operators' endpoints.
    pub http: Http,
    /// The API.
    pub serve: Serve,
    /// Tokens of the company's own login.
    pub oidc: Oidc,
    /// Log lines.
    pub log: Log,
    /// Departments' sources.
    pub spokes: Spokes,
    /// Avro schemas of producers.
    pub schemas: Schemas,
    /// The schema registry.
    pub registry: Registry,
}

/// `[hub]`: the instance and its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hub {
    /// Names the consumer group, internal topics and transactional ids. All instances share it; it never changes.
    pub application_id: String,
    /// Where stores lie. One directory per instance; losing it costs a full restore and no data.
    pub data_directory: PathBuf,
    /// Worker threads; 0: one per core ([`Hub::worker_threads`]).
    pub workers: usize,
    /// IANA time zone of calendar days, for example `Europe/Berlin`. A change needs a rebuild.
    pub time_zone: String,
    /// File with the 256-bit key of person ids, as 64 hexadecimal digits. It never changes later.
    pub person_key_file: Option<PathBuf>,
    /// Name of this instance for static membership: a restart within the session timeout moves no task.
    pub instance_id: Option<String>,
    /// How long a stop may drain and commit before the process ends anyway, in seconds.
    pub stop_deadline_seconds: u32,
}

/// `[kafka]`: the cluster and the clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// `host:port` pairs separated by commas. Without it the hub keeps its own log (`[embedded]`).
    pub brokers: Option<String>,
    /// How connections are protected.
    pub security_protocol: SecurityProtocol,
    /// How to log in; needed with the `sasl_…` protocols.
    pub sasl_mechanism: Option<SaslMechanism>,
    /// The name to log in with.
    pub username: Option<String>,
    /// File with the password to log in with.
    pub password_file: Option<PathBuf>,
    /// PEM file with the authorities that sign the brokers' certificates; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate (mutual TLS).
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the client's private key (mutual TLS).
    pub key_file: Option<PathBuf>,
    /// Replicas of the topics that the hub creates; 0: the broker's default.
    pub replication_factor: i16,
    /// `min.insync.replicas` of the topics that the hub creates; 0: the broker's default.
    pub min_insync_replicas: i16,
    /// A worker without a heartbeat for so many milliseconds loses its tasks.
    pub session_timeout_ms: u32,
    /// A transaction open for so many milliseconds is aborted by the broker; until then it hides later records.
    pub transaction_timeout_ms: u32,
    /// A record that is not delivered within so many milliseconds fails its transaction.
    pub message_timeout_ms: u32,
    /// Properties handed to the Kafka client as they are, from an allow-list.
    pub client: BTreeMap<String, String>,
}

/// `[embedded]`: the log of a hub without Kafka, in `hub.data_directory`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Embedded {
    /// When commits are made to survive a power cut. A process that dies loses none, whatever this says.
    pub fsync: Fsync,
    /// Milliseconds between syncs: what a power cut may take, with `fsync = "interval"`.
    pub fsync_interval_ms: u32,
    /// Partitions of a department's topic that the hub creates.
    pub spoke_partitions: u16,
    /// How long departments' records are kept, in hours; 0: for ever.
    pub spoke_retention_hours: u32,
    /// Bytes of a file of the log.
    pub segment_bytes: u64,
    /// While the disk has less room than this many bytes, nothing is taken in.
    pub reserved_bytes: u64,
}

/// `[topics]`: feeds and internal topics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// Prefix of the public feeds' topics.
    pub prefix: String,
    /// Partitions of the customers stage. Cannot change without a migration.
    pub customers_partitions: u16,
    /// Partitions of the metrics stage. Cannot change without a migration.
    pub metrics_partitions: u16,
    /// Partitions of each public feed that the hub creates.
    pub feed_partitions: u16,
    /// Whether `insight.touchpoints`, the unified timeline, is published.
    pub touchpoints_feed: bool,
    /// How values of feeds are encoded.
    pub feed_format: FeedFormat,
    /// How the hub compresses what it writes.
    pub compression: Compression,
    /// How long `insight.rejected` keeps what was rejected, and the journal and commands with it, in hours; 0: for as long as
    /// `erased_within_seconds` allows.
    pub rejected_retention_hours: u32,
    /// Within how many seconds after an erasure no byte of what was erased is left in any topic or file of the hub.
    pub erased_within_seconds: u32,
}

/// `[commit]`: transactions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Commit {
    /// Milliseconds between commits.
    pub interval_ms: u32,
    /// Bytes of outputs at which a transaction commits early.
    pub transaction_bytes_max: u64,
}

/// `[memory]`: bounds of memory, per process, shared by its tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Bytes of all in-memory tables; 0: as [`Settings::memory`] has it.
    pub table_bytes: u64,
    /// Bytes of them that may wait to be flushed to the stores; what a crash restores from the changelog. 0: half of them.
    pub unflushed_bytes: u64,
    /// Bytes that the stores on disk may use for their cache; 0: as [`Settings::memory`] has it.
    pub disk_cache_bytes: u64,
}

/// `[time]`: event time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Time {
    /// How far a spoke's records may be out of order before its watermark passes them, in seconds.
    pub allowed_disorder_seconds: u32,
    /// How long after its end a window stays provisional, in seconds of event time.
    pub grace_seconds: u32,
    /// A touchpoint later than its record's timestamp by more seconds is rejected.
    pub too_far_in_future_seconds: u32,
    /// A source partition without records for so many seconds no longer holds the watermark back.
    pub idle_partition_seconds: u32,
}

/// `[metrics]`: what metrics mean here. A change needs a rebuild.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// A delivery so many seconds after its promise is still on time.
    pub on_time_tolerance_seconds: u32,
    /// A case without a reply for so many seconds is unanswered.
    pub unanswered_target_seconds: u32,
    /// The spokes whose costs are those of winning customers, separated by commas.
    pub acquisition_spokes: String,
    /// More messages to one person in 30 days are too many.
    pub contact_cap: u32,
    /// How many values of a dimension have a key of their own on `insight.metrics`, for each metric, currency and window: those with
    /// the most observations. The others are published together.
    pub dimension_values_max: u32,
    /// The currency, by ISO 4217, of the amounts that are compared between customers.
    pub currency: String,
    /// The organisation's own segments, `name: condition`, one a line; the first that holds counts.
    pub segments: String,
}

impl Metrics {
    /// The spokes of `acquisition_spokes`, by name.
    pub fn acquisition_spokes(&self) -> impl Iterator<Item = &str> {
        self.acquisition_spokes.split(',').map(str::trim).filter(|spoke| !spoke.is_empty())
    }

    /// The currency; `None` if it is no code of ISO 4217.
    pub fn currency(&self) -> Option<Currency> {
        Currency::known(&self.currency)
    }
}

/// `[http]`: operators' endpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port of `/metrics` and `/health/…`.
    pub listen: SocketAddr,
    /// Whether `/metrics` has the newest values of the company's metrics too.
    pub company_values: bool,
}

/// `[log]`: log lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// A level, or directives such as `info,insight_hub::engine=debug`.
    pub level: String,
}

/// `[spokes]`: departments' sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spokes {
    /// Folder with one `.toml` mapping per spoke.
    pub directory: PathBuf,
    /// Bytes above which a source record is rejected unread.
    pub message_bytes_max: u32,
}

/// `[schemas]`: Avro schemas of producers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schemas {
    /// Folder with writer schemas, one `.avsc` each.
    pub directory: Option<PathBuf>,
}

/// `[registry]`: the schema registry that producers' Avro schemas are in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// Its address, `https://…` or `http://…`. Without it, only schemas of the folder are known.
    pub url: Option<String>,
    /// The name to log in with.
    pub username: Option<String>,
    /// File with the password to log in with, read at each request.
    pub password_file: Option<PathBuf>,
    /// PEM file with the authorities that sign its certificate; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate (mutual TLS).
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the client's private key (mutual TLS).
    pub key_file: Option<PathBuf>,
    /// How long one request may take, in milliseconds.
    pub timeout_ms: u32,
    /// After so many seconds an id that it did not know is asked for again.
    pub unknown_seconds: u32,
}

impl Default for Registry {
    fn default() -> Self {
        Registry {
            url: None,
            username: None,
            password_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            timeout_ms: 5_000,
            unknown_seconds: 60,
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Hub {
            application_id: "insight-hub".into(),
            data_directory: "insight-hub-data".into(),
            workers: 0,
            time_zone: "UTC".into(),
            person_key_file: None,
            instance_id: None,
            // Below the 30 seconds that Kubernetes and the 90 that systemd leave between SIGTERM and SIGKILL.
            stop_deadline_seconds: 25,
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Kafka {
            brokers: None,
            security_protocol: SecurityProtocol::Plaintext,
            sasl_mechanism: None,
            username: None,
            password_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            replication_factor: 0,
            min_insync_replicas: 0,
            session_timeout_ms: 45_000,
            // A stopped worker freezes the last stable offset of shared topics for so long.
            transaction_timeout_ms: 10_000,
            message_timeout_ms: 9_000,
            client: BTreeMap::new(),
        }
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Embedded {
            fsync: Fsync::Interval,
            fsync_interval_ms: 100,
            spoke_partitions: 4,
            spoke_retention_hours: 0,
            segment_bytes: 64 << 20,
            reserved_bytes: 256 << 20,
        }
    }
}

impl Default for Topics {
    fn default() -> Self {
        Topics {
            prefix: "insight.".into(),
            customers_partitions: 8,
            metrics_partitions: 4,
            feed_partitions: 8,
            touchpoints_feed: true,
            feed_format: FeedFormat::Json,
            // Cheaper than zstd where cores are few.
            compression: Compression::Lz4,
            rejected_retention_hours: 336,
            // A month is what the GDPR gives.
            erased_within_seconds: 30 * 86_400,
        }
    }
}

impl Default for Commit {
    fn default() -> Self {
        Commit { interval_ms: 100, transaction_bytes_max: 16 << 20 }
    }
}

impl Default for Time {
    fn default() -> Self {
        Time {
            allowed_disorder_seconds: 86_400,
            grace_seconds: 86_400,
            too_far_in_future_seconds: 86_400,
            idle_partition_seconds: 60,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            on_time_tolerance_seconds: 0,
            unanswered_target_seconds: 86_400,
            acquisition_spokes: "marketing, sales".into(),
            contact_cap: 8,
            dimension_values_max: 1_000,
            currency: "EUR".into(),
            segments: String::new(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Http { listen: SocketAddr::from(([127, 0, 0, 1], 9_600)), company_values: false }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { format: LogFormat::Text, level: "info".into() }
    }
}

impl Default for Spokes {
    fn default() -> Self {
        Spokes { directory: "spokes".into(), message_bytes_max: 1 << 20 }
    }
}

impl Settings {
    /// The keys that have another value in `other`, as `section.key`, in order. Not the values: they may say where secrets are.
    pub fn differences(&self, other: &Settings) -> Vec<String> {
        let tree = |settings: &Settings| serde_json::to_value(settings).unwrap_or_default();
        let (mine, others) = (tree(self), tree(other));
        let mut keys = Vec::new();
        for (section, values) in mine.as_object().into_iter().flatten() {
            for (key, value) in values.as_object().into_iter().flatten() {
                if others[section].get(key) != Some(value) {
                    keys.push(format!("{section}.{key}"));
                }
            }
        }
        keys.sort();
        keys
    }

    /// The bounds of memory that hold: what is not set depends on the log. The client of Kafka needs queues of its own
    /// (about 150 MiB); without it the stores have that room, and read and write less of what they hold.
    pub fn memory(&self) -> Memory {
        let (table, disk_cache) =
            if self.kafka.brokers.is_none() { (128 << 20, 64 << 20) } else { (32 << 20, 32 << 20) };
        let or = |set: u64, default: u64| if set == 0 { default } else { set };
        let table_bytes = or(self.memory.table_bytes, table);
        Memory {
            table_bytes,
            unflushed_bytes: or(self.memory.unflushed_bytes, table_bytes / 2),
            disk_cache_bytes: or(self.memory.disk_cache_bytes, disk_cache),
        }
    }
}

impl Topics {
    /// How long dead letters, the journal of identities and commands are kept, in milliseconds.
    pub fn rejected_retention_ms(&self) -> i64 {
        match i64::from(self.rejected_retention_hours) * 3_600_000 {
            0 => self.erased_within_ms() / 2,
            retention_ms => retention_ms,
        }
    }

    /// Within how long nothing is left of what was erased, in milliseconds.
    pub fn erased_within_ms(&self) -> i64 {
        i64::from(self.erased_within_seconds) * 1_000
    }
}

impl Hub {
    /// Worker threads to start: as configured, or one per core.
    pub fn worker_threads(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

impl Log {
    /// The options of the log.
    pub fn options(&self) -> crate::telemetry::LogOptions {
        crate::telemetry::LogOptions {
            format: match self.format {
                LogFormat::Text => crate::telemetry::LogFormat::Text,
                LogFormat::Json => crate::telemetry::LogFormat::Json,
            },
            level: self.level.clone(),
        }
    }
}
