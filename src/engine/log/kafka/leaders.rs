//! Topics in; the brokers that lead them, by the addresses that they advertise, and whether each answers there, out.

use std::{sync::Arc, time::Duration};

use rdkafka::consumer::Consumer as _;

use super::{admin::Admin, watermarks::watermarks};

/// A broker that leads a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its number.
    pub broker: i32,
    /// Where it says that it is: host and port.
    pub address: String,
    topic: Arc<str>,
    partition: i32,
}

impl Admin {
    /// Who leads these topics, one for each partition that has a leader. None if the cluster does not answer in time.
    pub fn leaders(&self, names: &[Arc<str>], within: Duration) -> Vec<Leader> {
        let Ok(metadata) = self.metadata().fetch_metadata(None, within) else { return Vec::new() };
        let mut leaders = Vec::new();
        for topic in metadata.topics() {
            let Some(name) = names.iter().find(|name| &***name == topic.name()) else { continue };
            for partition in topic.partitions() {
                let broker = metadata.brokers().iter().find(|broker| broker.id() == partition.leader());
                leaders.extend(broker.map(|broker| Leader {
                    broker: broker.id(),
                    address: format!("{}:{}", broker.host(), broker.port()),
                    topic: Arc::clone(name),
                    partition: partition.id(),
                }));
            }
        }
        leaders
    }

    /// Whether a leader answers, by a question that only it can answer: where its partition ends.
    pub fn reaches(&self, leader: &Leader, within: Duration) -> Result<(), String> {
        // A client that has just heard of a broker connects while it is asked, and may say that it has not yet.
        let found = watermarks(self.metadata(), &leader.topic, leader.partition, within);
        found.map(drop).map_err(|error| error.to_string())
    }
}
