//! The configuration in; the place where the hub's topics are out: brokers, or a log in the data directory.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{exit::Failure, hub, topics};
use crate::{
    engine::{
        log::{
            embedded::{EmbeddedOptions, SharedLog},
            kafka::KafkaOptions,
        },
        stage::Topology,
        topics::Ownership,
    },
    settings::{self, Settings},
    telemetry::Event,
    topology::{self, TopologyOptions},
};

/// Where the hub's topics are.
pub(super) enum Place {
    /// On brokers.
    Kafka(Box<KafkaOptions>),
    /// In a log of this process's own.
    Embedded(Arc<SharedLog>),
}

impl Place {
    /// The place that the configuration names. The embedded log is opened, and nobody else's until this is dropped.
    pub(super) fn of(settings: &Settings) -> Result<Place, Failure> {
        if is_embedded(settings) {
            let shared = SharedLog::open(&log_directory(settings), embedded_options(settings));
            return Ok(Place::Embedded(shared.map_err(|error| hub::log_failure(&error))?));
        }
        let kafka = hub::kafka_options(settings, hub::instance_id(settings)?)?;
        Ok(Place::Kafka(Box::new(kafka)))
    }

    /// Before a hub runs: creates what is missing of its topics, and refuses what does not fit. Returns the topology that
    /// knows how many partitions departments' topics have.
    pub(super) fn prepare(&self, settings: &Settings, mut options: TopologyOptions) -> Result<Topology, Failure> {
        let shared = match self {
            Place::Kafka(kafka) => return topics::prepare(settings, kafka, options),
            Place::Embedded(shared) => shared,
        };
        let (topology, _) = topology::topology(&options);
        let spokes = topology.topics.iter().filter(|(_, topic)| topic.ownership == Ownership::Spoke);
        options.spoke_partitions = spokes
            .map(|(_, topic)| {
                let partitions = shared.partitions(&topic.name);
                (topic.name.to_string(), partitions.unwrap_or(settings.embedded.spoke_partitions.into()))
            })
            .collect();
        let (topology, _) = topology::topology(&options);
        for index in shared.prepare(&topology.topics).map_err(|error| hub::log_failure(&error))? {
            let topic = topology.topics.get(index);
            options.telemetry.emit(Event::TopicCreated { topic: &topic.name, partitions: topic.partitions });
        }
        Ok(topology)
    }
}

/// Whether the hub keeps its own log.
pub(super) fn is_embedded(settings: &Settings) -> bool {
    settings.kafka.brokers.is_none()
}

/// Where the embedded log lies.
pub(super) fn log_directory(settings: &Settings) -> PathBuf {
    settings.hub.data_directory.join("log")
}

/// How the embedded log is kept.
pub(super) fn embedded_options(settings: &Settings) -> EmbeddedOptions {
    use crate::engine::log::embedded::Fsync;
    let embedded = &settings.embedded;
    let kept_hours = u64::from(embedded.spoke_retention_hours);
    EmbeddedOptions {
        fsync: match embedded.fsync {
            settings::Fsync::Commit => Fsync::Commit,
            settings::Fsync::Interval => Fsync::Interval(Duration::from_millis(embedded.fsync_interval_ms.into())),
            settings::Fsync::Never => Fsync::Never,
        },
        segment_bytes: embedded.segment_bytes,
        reserved_bytes: embedded.reserved_bytes,
        spoke_retention: (kept_hours > 0).then(|| Duration::from_secs(kept_hours * 3_600)),
    }
}
