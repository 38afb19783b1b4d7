//! The log on Kafka: one consumer and one transactional producer per worker thread (exactly-once semantics v2).

mod admin;
mod changelog;
mod clients;
mod feed_reader;
mod flush;
mod follower;
mod lanes;
mod leaders;
mod news;
mod record_reader;
mod rights;
mod rolls;
mod sink;
mod source;
mod spoke_writer;
mod wanted;
mod watermarks;

use std::time::Duration;

pub use admin::{Admin, Difference, TopicPlan, Undeleted};
pub use clients::{FatalError, KafkaOptions};
pub use feed_reader::FeedReader;
pub use follower::Follower;
pub use leaders::Leader;
pub use record_reader::RecordReader;
pub use rights::{Right, Rights};
pub use rolls::Rolls;
pub use sink::KafkaSink;
pub use source::KafkaSource;
pub use spoke_writer::SpokeWriter;

use super::{Log, LogError};
use crate::engine::stage::Topology;

/// The log of one worker on Kafka.
pub struct KafkaLog {
    source: KafkaSource,
    sink: KafkaSink,
}

impl KafkaLog {
    /// Connects one worker: its producer takes its name (and settles what an earlier process of that name left open), its
    /// consumer joins the group. `worker` counts the threads of this instance from 0.
    pub fn connect(options: &KafkaOptions, topology: &Topology, worker: usize) -> Result<KafkaLog, LogError> {
        let sink = KafkaSink::connect(options, topology, worker)?;
        let source = KafkaSource::connect(options, topology, worker, sink.group())?;
        Ok(KafkaLog { source, sink })
    }
}

impl Log for KafkaLog {
    type Source = KafkaSource;
    type Sink = KafkaSink;

    fn halves(&mut self) -> (&mut KafkaSource, &mut KafkaSink) {
        (&mut self.source, &mut self.sink)
    }
}

/// How long a request to the cluster is tried before the worker gives up and says so.
const PATIENCE: Duration = Duration::from_secs(60);
