//! Topics and positions in; what is committed on them from there on, for ever, out: several topics through one consumer.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    admin::Admin,
    clients::{Context, KafkaOptions},
    feed_reader::{committed, watermarks},
};
use crate::engine::log::{
    LogError,
    outside::{CommittedRecord, Follow, Followed},
};

/// Follows several topics, committed records only, without joining a group.
pub struct Follower {
    consumer: BaseConsumer<Context>,
    context: Context,
    topics: Vec<String>,
    /// By topic and partition: where reading is, and what was the last stable offset when it was opened.
    places: BTreeMap<(usize, i32), (i64, i64)>,
    /// By number of a partition: of how many topics it was not yet said that it was read to its end. The client says the number
    /// and not the topic, so that one which reaches its end twice before another does so once counts for that.
    unfinished: BTreeMap<i32, usize>,
}

impl Follower {
    /// Finds the topics and goes on where their reader was. `patience`: how long the cluster may take to answer.
    ///
    /// # Errors
    /// [`LogError::Stop`] if there is no such topic or nobody answers; [`LogError::OutOfRange`] if a position lies beyond an end.
    pub fn open(
        options: &KafkaOptions,
        application_id: &str,
        followed: &[Followed],
        patience: Duration,
    ) -> Result<Follower, LogError> {
        let refused = |error: KafkaError| LogError::Stop(format!("the feeds cannot be followed: {error}"));
        let names: Vec<Arc<str>> = followed.iter().map(|followed| Arc::from(followed.topic.as_str())).collect();
        let counts = Admin::connect(options, 0, 0)?.partitions(&names, patience)?;
        let context = Context::default();
        let consumer: BaseConsumer<Context> =
            options.feed_reader(application_id).create_with_context(context.clone()).map_err(refused)?;
        let mut list = TopicPartitionList::new();
        let mut places = BTreeMap::new();
        let mut unfinished: BTreeMap<i32, usize> = BTreeMap::new();
        for ((number, Followed { topic, from }), count) in followed.iter().enumerate().zip(counts) {
            let Some(count) = count else {
                return Err(LogError::Stop(format!("the topic {topic} does not exist")));
            };
            for partition in 0..count {
                let (low, stable) = watermarks(&consumer, topic, partition, Instant::now() + patience)?;
                let start = from.get(&partition).copied().unwrap_or(low).max(low);
                if start > stable {
                    return Err(LogError::OutOfRange(format!(
                        "partition {partition} of {topic} ends at {stable}, before offset {start}"
                    )));
                }
                list.add_partition_offset(topic, partition, Offset::Offset(start)).map_err(refused)?;
                places.insert((number, partition), (start, stable));
                *unfinished.entry(partition).or_default() += 1;
            }
        }
        consumer.assign(&list).map_err(refused)?;
        let topics = followed.iter().map(|followed| followed.topic.clone()).collect();
        Ok(Follower { consumer, context, topics, places, unfinished })
    }
}

impl Follow for Follower {
    fn next(&mut self, wait: Duration) -> Result<Option<(usize, CommittedRecord)>, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(reason) = self.context.fatal.get() {
                return Err(LogError::Stop(reason));
            }
            let message = match self.consumer.poll(deadline.saturating_duration_since(Instant::now())) {
                None => return Ok(None),
                Some(Ok(message)) => message,
                // What a read_committed reader calls the end is the last stable offset: control records before it, which nobody
                // is given, are behind us too.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(topics) = self.unfinished.get_mut(&partition) {
                        *topics = topics.saturating_sub(1);
                    }
                    continue;
                }
                Some(Err(error)) => {
                    match error.rdkafka_error_code() {
                        Some(
                            RDKafkaErrorCode::TopicAuthorizationFailed
                            | RDKafkaErrorCode::UnknownTopicOrPartition
                            | RDKafkaErrorCode::UnknownTopic,
                        ) => return Err(LogError::Stop(format!("the feeds cannot be followed: {error}"))),
                        _ => tracing::warn!(target: "kafka", "following the feeds: {error}"),
                    }
                    continue;
                }
            };
            let Some(number) = self.topics.iter().position(|topic| topic == message.topic()) else { continue };
            if let Some((next, _)) = self.places.get_mut(&(number, message.partition())) {
                *next = message.offset() + 1;
            }
            return Ok(Some((number, committed(&message))));
        }
    }

    /// What was there when it was opened and is not read yet; what came later is not asked for.
    fn remaining(&mut self) -> Result<Option<u64>, LogError> {
        if self.unfinished.values().all(|topics| *topics == 0) {
            return Ok(Some(0));
        }
        let behind = self.places.values().map(|(next, stable)| u64::try_from(stable - next).unwrap_or_default());
        Ok(Some(behind.sum()))
    }
}
