//! Reads a topic as its subscribers do: committed records only, every partition, without joining a group.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
};

use super::{
    admin::Admin,
    clients::{Context, KafkaOptions},
    watermarks::watermarks,
};
use crate::engine::log::{
    LogError,
    outside::{CommittedRecord, FeedRead, Next, Span},
};

/// Reads all partitions of one topic. Records of a partition come in order; partitions are interleaved.
pub struct FeedReader {
    consumer: BaseConsumer<Context>,
    context: Context,
    topic: String,
    /// The last stable offset of each partition at the start.
    ends: Vec<i64>,
    /// Partitions that are not read to their end; `None`: there is no end.
    unfinished: Option<BTreeSet<i32>>,
}

impl FeedReader {
    /// Finds the topic and its ends. `patience`: how long the cluster may take to answer.
    pub fn open(
        options: &KafkaOptions,
        application_id: &str,
        topic: &str,
        span: Span,
        patience: Duration,
    ) -> Result<FeedReader, LogError> {
        let refused = |error: KafkaError| LogError::Stop(format!("{topic} cannot be read: {error}"));
        let counts = Admin::connect(options, 0, 0)?.partitions(&[Arc::from(topic)], patience)?;
        let Some(count) = counts.into_iter().next().flatten() else {
            return Err(LogError::Stop(format!("the topic {topic} does not exist")));
        };
        let context = Context::default();
        let consumer: BaseConsumer<Context> =
            options.feed_reader(application_id).create_with_context(context.clone()).map_err(refused)?;
        let mut ends = Vec::new();
        let mut list = TopicPartitionList::new();
        let mut unfinished = BTreeSet::new();
        for partition in 0..count {
            let (low, stable) = watermarks(&consumer, topic, partition, patience)
                .map_err(|error| LogError::Stop(format!("the ends of {topic} cannot be asked for: {error}")))?;
            let start = if span.from_beginning { low } else { stable };
            list.add_partition_offset(topic, partition, Offset::Offset(start)).map_err(refused)?;
            if start < stable {
                unfinished.insert(partition);
            }
            ends.push(stable);
        }
        consumer.assign(&list).map_err(refused)?;
        let unfinished = span.until_end.then_some(unfinished);
        Ok(FeedReader { consumer, context, topic: topic.to_owned(), ends, unfinished })
    }
}

impl FeedRead for FeedReader {
    fn next(&mut self, wait: Duration) -> Result<Next, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            if self.unfinished.as_ref().is_some_and(BTreeSet::is_empty) {
                return Ok(Next::End);
            }
            if let Some(reason) = self.context.end() {
                return Err(LogError::Stop(reason));
            }
            let message = match self.consumer.poll(deadline.saturating_duration_since(Instant::now())) {
                None => return Ok(Next::Idle),
                Some(Ok(message)) => message,
                // What a read_committed reader calls the end is the last stable offset, which never goes back: control
                // records before it, which nobody is given, are behind us too.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(unfinished) = &mut self.unfinished {
                        unfinished.remove(&partition);
                    }
                    continue;
                }
                Some(Err(error)) => {
                    match error.rdkafka_error_code() {
                        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                            return Err(LogError::Stop(format!("{} may not be read: {error}", self.topic)));
                        }
                        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                            return Err(LogError::Stop(format!("the topic {} was deleted: {error}", self.topic)));
                        }
                        _ => tracing::warn!(target: "kafka", "reading {}: {error}", self.topic),
                    }
                    continue;
                }
            };
            let (partition, offset) = (message.partition(), message.offset());
            if let Some(unfinished) = &mut self.unfinished {
                let end = usize::try_from(partition).ok().and_then(|index| self.ends.get(index)).copied();
                let is_before_the_end = end.is_some_and(|end| offset < end);
                if end.is_none_or(|end| offset + 1 >= end) {
                    unfinished.remove(&partition);
                }
                if !is_before_the_end {
                    continue;
                }
            }
            return Ok(Next::Record(committed(&message)));
        }
    }
}

/// A copy of a message.
pub(super) fn committed(message: &BorrowedMessage<'_>) -> CommittedRecord {
    let headers = message.headers().map(|headers| {
        let owned =
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec).unwrap_or_default()));
        owned.collect()
    });
    CommittedRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().unwrap_or_default().to_vec(),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}
