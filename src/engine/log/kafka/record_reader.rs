//! Positions of a topic in; the records there out, as a subscriber would be given them.

use std::time::{Duration, Instant};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    clients::{Context, KafkaOptions},
    feed_reader::committed,
    watermarks::watermarks,
};
use crate::engine::log::{
    LogError,
    outside::{CommittedRecord, RecordRead},
};

/// How long the brokers may take to hand a record over.
const WITHIN: Duration = Duration::from_secs(30);

/// Reads single records.
pub struct RecordReader {
    consumer: BaseConsumer<Context>,
    context: Context,
}

impl RecordReader {
    /// Asks nothing of the brokers yet.
    pub fn connect(options: &KafkaOptions, application_id: &str) -> Result<RecordReader, LogError> {
        let context = Context::default();
        let consumer = options.feed_reader(application_id).create_with_context(context.clone());
        let refused = |error: KafkaError| LogError::Stop(format!("the Kafka client refuses its settings: {error}"));
        Ok(RecordReader { consumer: consumer.map_err(refused)?, context })
    }

    fn read(&self, topic: &str, partition: i32, offset: i64) -> Result<Option<CommittedRecord>, KafkaError> {
        // A topic that was made anew may end before.
        let (low, stable) = watermarks(&self.consumer, topic, partition, WITHIN)?;
        if !(low..stable).contains(&offset) {
            return Ok(None);
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        self.consumer.assign(&list)?;
        let deadline = Instant::now() + WITHIN;
        while self.context.end().is_none() {
            match self.consumer.poll(deadline.saturating_duration_since(Instant::now())) {
                Some(Ok(message)) => {
                    // Compaction, or retention in this moment, may have taken it.
                    let found = committed(&message);
                    return Ok((found.offset == offset).then_some(found));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) => {
                    let is_refused = matches!(
                        error.rdkafka_error_code(),
                        Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed)
                    );
                    if is_refused || Instant::now() >= deadline {
                        return Err(error);
                    }
                }
                None if Instant::now() >= deadline => {
                    return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
                }
                None => {}
            }
        }
        Ok(None)
    }
}

impl RecordRead for RecordReader {
    fn record(&mut self, topic: &str, partition: i32, offset: i64) -> Result<Option<CommittedRecord>, LogError> {
        let found = self.read(topic, partition, offset);
        if let Some(reason) = self.context.end() {
            return Err(LogError::Stop(reason));
        }
        match found {
            Err(error) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownPartition) => Ok(None),
                _ => Err(LogError::Stop(format!(
                    "{topic} cannot be read at offset {offset} of partition {partition}: {error}"
                ))),
            },
            Ok(found) => Ok(found),
        }
    }
}
