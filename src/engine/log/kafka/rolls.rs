//! Topics of ours in; their last segments closed, out, where nobody writes to them any more.
//!
//! A broker closes a segment when something is appended that is late enough for it ([`super::wanted`]), and neither compacts nor
//! removes one that is not closed: on a partition that fell silent, what was deleted would stay for ever. So a partition
//! that was silent for as long as a segment may be open is given one record, and again after as long, for as long as
//! it is silent: a deletion is cleaned twice, first the value and then its key.
//!
//! - On *compacted topics* the record is of a transaction that is given up: no reader of committed records is ever handed it.
//! - On *repartition topics* it is committed and has no value, which says nothing ([`crate::engine::worker`]): the
//!   committed offset passes it, and so the records before it are deleted with their segment.
//! - Others have a retention, by which the broker closes segments itself.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    producer::{BaseRecord, Producer, ThreadedProducer},
};

use super::{
    clients::{Context, KafkaOptions},
    watermarks::watermarks,
};
use crate::engine::{
    log::{LogError, TopicPartition},
    stage::Topology,
    topics::{Cleanup, Ownership, TopicSpec, Topics},
};

const TRY: Duration = Duration::from_secs(10);
/// The key of the record. No feed has a key like that.
const KEY: &[u8] = b"insight-hub";

/// What is known of a partition.
struct Silence {
    end: i64,
    since: Instant,
}

/// Closes the last segments of silent partitions.
pub struct Rolls {
    topics: Arc<Topics>,
    reader: BaseConsumer,
    producer: ClientConfig,
    lag: Duration,
    known: BTreeMap<TopicPartition, Silence>,
}

fn failed(what: &str, error: &KafkaError) -> LogError {
    LogError::Rewind(format!("{what}: {error}"))
}

/// Whether only we can have its last segment closed.
fn needs_us(topic: &TopicSpec) -> bool {
    match topic.ownership {
        Ownership::Spoke => false,
        Ownership::Repartition | Ownership::Changelog => true,
        Ownership::Feed => topic.cleanup == Cleanup::Compact,
    }
}

impl Rolls {
    /// For the topics of a topology. Nothing is asked yet.
    ///
    /// # Errors
    /// [`LogError::Stop`] if the client refuses its settings.
    pub fn new(options: &KafkaOptions, topology: &Topology) -> Result<Rolls, LogError> {
        let mut producer = options.producer(&topology.application_id, 0);
        let name = format!("{}-{}-rolls", topology.application_id, options.instance_id);
        producer.set("client.id", &name).set("transactional.id", &name);
        let reader = options.changelog_reader(&topology.application_id).create();
        let lag_ms = topology.topics.erased_within.lag_ms().unsigned_abs();
        Ok(Rolls {
            topics: topology.topics.clone(),
            reader: reader
                .map_err(|error| LogError::Stop(format!("the Kafka client refuses its settings: {error}")))?,
            producer,
            lag: Duration::from_millis(lag_ms),
            known: BTreeMap::new(),
        })
    }

    /// The offset that the group has committed on the one partition of a topic; `None`: none yet.
    ///
    /// # Errors
    /// [`LogError::Rewind`] if the brokers do not answer now.
    pub fn committed(&self, topic: &str) -> Result<Option<i64>, LogError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, 0);
        let found = self.reader.committed_offsets(list, TRY);
        let found = found.map_err(|error| failed("the group's offsets cannot be read", &error))?;
        Ok(found.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }

    /// Looks at every partition once, and closes the segments of those that were silent for too long. `now_ms`: the wall
    /// clock. Returns how many they were.
    ///
    /// # Errors
    /// [`LogError::Rewind`] if the brokers do not answer, or refuse it, now.
    pub fn look(&mut self, now: Instant, now_ms: i64) -> Result<usize, LogError> {
        let mut silent = Vec::new();
        for (index, topic) in self.topics.iter().filter(|(_, topic)| needs_us(topic)) {
            for partition in 0..topic.partitions {
                let (_, end) = watermarks(&self.reader, &topic.name, partition, TRY)
                    .map_err(|error| failed(&format!("the end of {} cannot be read", topic.name), &error))?;
                let key = TopicPartition { topic: index, partition };
                if end == 0 {
                    continue; // nothing was ever in it
                }
                match self.known.get(&key) {
                    Some(known) if known.end == end => {
                        if now.saturating_duration_since(known.since) >= self.lag {
                            silent.push(key);
                        }
                    }
                    Some(_) => drop(self.known.insert(key, Silence { end, since: now })),
                    // Whoever was here before may have been about to do it.
                    None if self.was_silent(&topic.name, partition, now_ms)? => silent.push(key),
                    None => drop(self.known.insert(key, Silence { end, since: now })),
                }
            }
        }
        self.close(&silent)?;
        for key in &silent {
            // What it is now is seen, and timed, the next time.
            self.known.insert(*key, Silence { end: 0, since: now });
        }
        Ok(silent.len())
    }

    /// Whether nothing of a partition is newer than a segment may be open.
    fn was_silent(&self, topic: &str, partition: i32, now_ms: i64) -> Result<bool, LogError> {
        let since_ms = now_ms.saturating_sub(i64::try_from(self.lag.as_millis()).unwrap_or(i64::MAX));
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(since_ms))
            .and_then(|()| self.reader.offsets_for_times(list, TRY))
            .map(|found| found.elements().first().is_some_and(|element| element.offset() == Offset::End))
            .map_err(|error| failed(&format!("the age of {topic} cannot be read"), &error))
    }

    fn close(&self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        if partitions.is_empty() {
            return Ok(());
        }
        let wrong = |error: KafkaError| failed("silent partitions cannot be written to", &error);
        let producer: ThreadedProducer<Context> =
            ThreadedProducer::from_config_and_context(&self.producer, Context::default()).map_err(wrong)?;
        producer.init_transactions(TRY).map_err(wrong)?;
        let of = |is_repartition: bool| {
            partitions
                .iter()
                .filter(move |key| (self.topics.get(key.topic).ownership == Ownership::Repartition) == is_repartition)
        };
        for is_repartition in [true, false] {
            if of(is_repartition).next().is_none() {
                continue;
            }
            producer.begin_transaction().map_err(wrong)?;
            for key in of(is_repartition) {
                let record: BaseRecord<'_, [u8], [u8]> =
                    BaseRecord::to(&self.topics.get(key.topic).name).partition(key.partition).key(KEY);
                producer.send(record).map_err(|(error, _)| wrong(error))?;
            }
            // What is not written yet when a transaction is given up never is.
            producer.flush(TRY).map_err(wrong)?;
            let ended = if is_repartition { producer.commit_transaction(TRY) } else { producer.abort_transaction(TRY) };
            ended.map_err(wrong)?;
        }
        Ok(())
    }
}
