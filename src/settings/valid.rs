//! What must hold within a setting and between settings, checked once, before anything starts.

use crate::model::{Calendar, IdentifierType};

use super::{Hub, Settings, SettingsError};

/// Kafka's own bound for a topic's name.
const TOPIC_NAME_MAX: usize = 249;
/// What the hub appends to an application id or a prefix to name a topic or a transactional id.
const SUFFIX_MAX: usize = 64;
/// Every partition of a stage is a task with its table, store and changelog: more than this is a typing error.
const PARTITIONS_MAX: u16 = 1_024;
/// The largest source record that fits a transaction must be far from filling it.
const TRANSACTION_RECORDS_MIN: u64 = 4;

/// Everything that must happen within it takes some time itself.
const ERASED_WITHIN_SECONDS_MIN: u32 = 8;

/// Smaller files of the embedded log are all overhead; larger ones are cleaned too seldom.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;

/// A broken rule: the key to change, and why.
pub(super) type Broken = (&'static str, String);

impl Settings {
    /// Checks every rule; `Settings::load` has done so. The error names the key to change and says why.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        self.hub.validate()?;
        self.validate_kafka()?;
        self.validate_login()?;
        self.validate_embedded()?;
        self.validate_registry()?;
        self.validate_topics()?;
        self.validate_identity()?;
        self.validate_journeys()?;
        self.validate_limits()?;
        self.serve.validate()?;
        rule(!self.http.company_values || self.serve.listen.is_some(), "http.company_values", || {
            "needs serve.listen: the values are read from the copy of the feeds that the API has".into()
        })?;
        self.oidc.validate()?;
        self.log.options().check().map_err(|error| ("log.level", error.to_string()))
    }

    fn validate_kafka(&self) -> Result<(), Broken> {
        let kafka = &self.kafka;
        if let Some(brokers) = &kafka.brokers {
            let is_address = |broker: &str| {
                let port = broker.trim().rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
                matches!(port, Some((host, Ok(1..))) if !host.is_empty())
            };
            let wrong = brokers.split(',').find(|broker| !is_address(broker));
            rule(wrong.is_none(), "kafka.brokers", || {
                let wrong = wrong.unwrap_or_default();
                format!("{wrong:?} is not host:port; separate several with commas")
            })?;
        }
        rule(kafka.replication_factor >= 0, "kafka.replication_factor", || {
            "must be 0 (the broker's default) or more".into()
        })?;
        rule(kafka.min_insync_replicas >= 0, "kafka.min_insync_replicas", || {
            "must be 0 (the broker's default) or more".into()
        })?;
        rule(
            kafka.replication_factor == 0 || kafka.min_insync_replicas <= kafka.replication_factor,
            "kafka.min_insync_replicas",
            || {
                format!(
                    "{} replicas in sync can never be had with kafka.replication_factor = {}",
                    kafka.min_insync_replicas, kafka.replication_factor
                )
            },
        )?;
        rule((1_000..=1_800_000).contains(&kafka.session_timeout_ms), "kafka.session_timeout_ms", || {
            "must be between 1000 and 1800000 (brokers allow 6000 and more unless told otherwise)".into()
        })?;
        rule((1_000..=900_000).contains(&kafka.transaction_timeout_ms), "kafka.transaction_timeout_ms", || {
            "must be between 1000 and 900000 (the broker's transaction.max.timeout.ms)".into()
        })?;
        rule(
            kafka.message_timeout_ms >= 100 && kafka.message_timeout_ms <= kafka.transaction_timeout_ms,
            "kafka.message_timeout_ms",
            || {
                format!(
                    "must be between 100 and kafka.transaction_timeout_ms = {}: a record must fail before its \
                     transaction does",
                    kafka.transaction_timeout_ms
                )
            },
        )
    }

    fn validate_login(&self) -> Result<(), Broken> {
        let kafka = &self.kafka;
        let protocol = kafka.security_protocol;
        for (key, is_set) in [
            ("kafka.sasl_mechanism", kafka.sasl_mechanism.is_some()),
            ("kafka.username", kafka.username.is_some()),
            ("kafka.password_file", kafka.password_file.is_some()),
        ] {
            rule(is_set == protocol.logs_in(), key, || {
                let (need, other) = if is_set {
                    ("has no effect", "use sasl_ssl or sasl_plaintext, or remove it")
                } else {
                    ("is needed", "set it")
                };
                format!("{need} with kafka.security_protocol = \"{}\"; {other}", protocol.as_str())
            })?;
        }
        for (key, is_set) in [
            ("kafka.ca_file", kafka.ca_file.is_some()),
            ("kafka.certificate_file", kafka.certificate_file.is_some()),
            ("kafka.key_file", kafka.key_file.is_some()),
        ] {
            rule(!is_set || protocol.encrypts(), key, || {
                let protocol = protocol.as_str();
                format!(
                    "has no effect with kafka.security_protocol = \"{protocol}\"; use ssl or sasl_ssl, or remove it"
                )
            })?;
        }
        rule(kafka.certificate_file.is_some() == kafka.key_file.is_some(), "kafka.key_file", || {
            "a certificate and its key are set together (kafka.certificate_file, kafka.key_file)".into()
        })
    }

    fn validate_identity(&self) -> Result<(), Broken> {
        let identity = &self.identity;
        let rules = identity.rules()?;
        let persons = |kind: &&str| rules.kind(kind).is_some_and(|kind| !kind.is_thing());
        let wrong = identity.unique().find(|kind| !persons(kind));
        rule(wrong.is_none(), "identity.unique", || {
            let of_people = rules.kinds().into_iter().filter(|kind| !kind.is_thing());
            let of_people: Vec<&str> = of_people.map(IdentifierType::as_str).collect();
            format!("{:?} is no type of a person's identifiers: {}", wrong.unwrap_or_default(), of_people.join(", "))
        })?;
        rule((1..=1_000).contains(&identity.shared_above), "identity.shared_above", || {
            "must be between 1 and 1000".into()
        })?;
        rule((2..=100_000).contains(&identity.component_max), "identity.component_max", || {
            "must be between 2 and 100000".into()
        })?;
        Ok(())
    }

    fn validate_journeys(&self) -> Result<(), Broken> {
        rule(self.metrics.currency().is_some(), "metrics.currency", || {
            format!("{:?} is no code of ISO 4217: write three upper-case letters, as in EUR", self.metrics.currency)
        })?;
        rule((1..=100_000).contains(&self.metrics.dimension_values_max), "metrics.dimension_values_max", || {
            "must be between 1 and 100000".into()
        })?;
        let journeys = &self.journeys;
        journeys.goals().map_err(|error| ("journeys.goals", error.to_string()))?;
        self.analyses.capacities().map_err(|error| ("analyses.capacity", error.to_string()))?;
        rule((1..=730).contains(&journeys.expire_after_days), "journeys.expire_after_days", || {
            "must be between 1 and 730".into()
        })?;
        self.analyses.efforts().map_err(|error| ("analyses.efforts", error))?;
        self.analyses.limits().map_err(|error| ("analyses.limits", error))?;
        let owner = self.analyses.alerts_owner.trim();
        rule(
            !owner.is_empty() && owner.chars().count() <= 64 && !owner.contains(char::is_control),
            "analyses.alerts_owner",
            || "names whoever looks after alerts about the company's metrics, in 1 to 64 characters".into(),
        )?;
        rule((1..=32).contains(&journeys.steps_max), "journeys.steps_max", || "must be between 1 and 32".into())
    }

    fn validate_embedded(&self) -> Result<(), Broken> {
        let embedded = &self.embedded;
        rule((1..=60_000).contains(&embedded.fsync_interval_ms), "embedded.fsync_interval_ms", || {
            "must be between 1 and 60000".into()
        })?;
        rule((1..=PARTITIONS_MAX).contains(&embedded.spoke_partitions), "embedded.spoke_partitions", || {
            format!("must be between 1 and {PARTITIONS_MAX}")
        })?;
        rule(SEGMENT_BYTES.contains(&embedded.segment_bytes), "embedded.segment_bytes", || {
            format!("must be between {} and {}", SEGMENT_BYTES.start(), SEGMENT_BYTES.end())
        })
    }

    fn validate_topics(&self) -> Result<(), Broken> {
        let topics = &self.topics;
        topic_part("topics.prefix", &topics.prefix)?;
        for (key, partitions) in [
            ("topics.customers_partitions", topics.customers_partitions),
            ("topics.metrics_partitions", topics.metrics_partitions),
            ("topics.feed_partitions", topics.feed_partitions),
        ] {
            rule((1..=PARTITIONS_MAX).contains(&partitions), key, || {
                format!("must be between 1 and {PARTITIONS_MAX}")
            })?;
        }
        rule(topics.erased_within_seconds >= ERASED_WITHIN_SECONDS_MIN, "topics.erased_within_seconds", || {
            format!("must be at least {ERASED_WITHIN_SECONDS_MIN}")
        })?;
        rule(topics.rejected_retention_ms() <= topics.erased_within_ms() / 2, "topics.rejected_retention_hours", || {
            format!(
                "must be at most {}, half of topics.erased_within_seconds: dead letters hold records in full, and what is \
                 erased must be gone from them too; 0 is as long as that allows",
                topics.erased_within_seconds / 7_200
            )
        })
    }

    fn validate_limits(&self) -> Result<(), Broken> {
        let transaction_timeout_ms = self.kafka.transaction_timeout_ms;
        rule(
            self.commit.interval_ms >= 1 && self.commit.interval_ms <= transaction_timeout_ms / 2,
            "commit.interval_ms",
            || {
                format!(
                    "must be between 1 and {}, half of kafka.transaction_timeout_ms: a commit needs time of its own",
                    transaction_timeout_ms / 2
                )
            },
        )?;
        rule(self.spokes.message_bytes_max >= 1_024, "spokes.message_bytes_max", || "must be at least 1024".into())?;
        let smallest = TRANSACTION_RECORDS_MIN * u64::from(self.spokes.message_bytes_max);
        rule(self.commit.transaction_bytes_max >= smallest, "commit.transaction_bytes_max", || {
            format!("must be at least {smallest}, {TRANSACTION_RECORDS_MIN} times spokes.message_bytes_max")
        })?;
        let memory = self.memory();
        rule(
            memory.unflushed_bytes >= 1 << 20 && memory.unflushed_bytes <= memory.table_bytes / 2,
            "memory.unflushed_bytes",
            || {
                format!(
                    "must be between {} and {}, half of memory.table_bytes: only flushed entries can be evicted",
                    1 << 20,
                    memory.table_bytes / 2
                )
            },
        )?;
        rule(memory.disk_cache_bytes >= 1 << 20, "memory.disk_cache_bytes", || {
            format!("must be at least {}", 1 << 20)
        })?;
        rule(self.time.idle_partition_seconds >= 1, "time.idle_partition_seconds", || "must be at least 1".into())
    }

    /// The calendar of the configured time zone.
    pub fn calendar(&self) -> Result<Calendar, SettingsError> {
        self.hub.calendar().map_err(|(key, message)| SettingsError::Invalid {
            key: key.to_owned(),
            origin: None,
            message,
        })
    }
}

impl Hub {
    fn validate(&self) -> Result<(), Broken> {
        rule(!self.application_id.is_empty(), "hub.application_id", || "must not be empty".into())?;
        topic_part("hub.application_id", &self.application_id)?;
        if let Some(instance) = &self.instance_id {
            rule(!instance.is_empty(), "hub.instance_id", || "must not be empty".into())?;
            topic_part("hub.instance_id", instance)?;
        }
        rule(self.workers <= 256, "hub.workers", || "must be between 0 (one per core) and 256".into())?;
        rule(self.stop_deadline_seconds >= 1, "hub.stop_deadline_seconds", || "must be at least 1".into())?;
        rule(!self.data_directory.as_os_str().is_empty(), "hub.data_directory", || "must not be empty".into())?;
        self.calendar().map(drop)
    }

    fn calendar(&self) -> Result<Calendar, Broken> {
        Calendar::of_zone(&self.time_zone).map_err(|error| ("hub.time_zone", error.to_string()))
    }
}

pub(super) fn rule(holds: bool, key: &'static str, why: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err((key, why())) }
}

/// Part of a topic's name: what Kafka allows there.
fn topic_part(key: &'static str, text: &str) -> Result<(), Broken> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    rule(text.bytes().all(allowed), key, || {
        format!("{text:?} may hold only letters, digits, '.', '_' and '-': topics are named after it")
    })?;
    rule(text.len() <= TOPIC_NAME_MAX - SUFFIX_MAX, key, || {
        format!("is longer than {} characters", TOPIC_NAME_MAX - SUFFIX_MAX)
    })
}
