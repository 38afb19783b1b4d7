//! Reads a changelog partition to its end, as the order of KAFKA-10167 demands: wait until no transaction that was open
//! when the end was taken is open any more, and only then believe the end of the partition.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::watermarks::watermarks;
use crate::engine::log::{ChangelogReader, LogError, Restored};

pub(super) struct KafkaChangelog {
    consumer: BaseConsumer,
    stable: Arc<BaseConsumer>,
    topic: String,
    partition: i32,
    position: i64,
    /// The end as it was, open transactions included.
    end: i64,
    /// Whether the last stable offset has reached it.
    settled: bool,
}

impl KafkaChangelog {
    pub(super) fn open(
        config: &ClientConfig,
        stable: Arc<BaseConsumer>,
        topic: &str,
        partition: i32,
        position: i64,
        end: i64,
    ) -> Result<Box<dyn ChangelogReader>, LogError> {
        let refused = |error: KafkaError| LogError::Stop(format!("the changelog {topic} cannot be read: {error}"));
        let consumer: BaseConsumer = config.create().map_err(refused)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(position)).map_err(refused)?;
        consumer.assign(&list).map_err(refused)?;
        Ok(Box::new(KafkaChangelog {
            consumer,
            stable,
            topic: topic.to_owned(),
            partition,
            position,
            end,
            settled: position == end,
        }))
    }
}

impl ChangelogReader for KafkaChangelog {
    fn read(
        &mut self,
        budget: Duration,
        each: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), LogError>,
    ) -> Result<Restored, LogError> {
        if self.settled && self.position >= self.end {
            return Ok(Restored::Complete { position: self.position });
        }
        let deadline = Instant::now() + budget;
        let mut at_end = false;
        while Instant::now() < deadline {
            match self.consumer.poll(Duration::from_millis(5)) {
                None => {}
                Some(Ok(message)) => {
                    at_end = false;
                    self.position = message.offset() + 1;
                    each(message.key().unwrap_or_default(), message.payload())?;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    at_end = true;
                    if self.settled {
                        break;
                    }
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                        return Err(LogError::OutOfRange(format!(
                            "offset {} of the changelog {} is gone: {error}",
                            self.position, self.topic
                        )));
                    }
                    Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                        return Err(LogError::Stop(format!("the changelog {} may not be read: {error}", self.topic)));
                    }
                    // The worker's own consumer has the same trouble, and tells of it once.
                    _ => tracing::debug!(target: "kafka", "restoring: {error}"),
                },
            }
        }
        if self.settled && at_end {
            // Control records take offsets at the end that no reader is given.
            return Ok(Restored::Complete { position: self.position.max(self.end) });
        }
        if !self.settled
            && let Ok((_, stable)) = watermarks(&self.stable, &self.topic, self.partition, Duration::ZERO)
        {
            self.settled = stable >= self.end;
            if self.settled && at_end && self.position < self.end {
                // The end-of-partition that was seen may have been that of the old stable offset: read on.
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(&self.topic, self.partition, Offset::Offset(self.position))
                    .and_then(|()| self.consumer.assign(&list))
                    .map_err(|error| LogError::Stop(format!("the changelog {} cannot be read: {error}", self.topic)))?;
            }
        }
        let remaining = u64::try_from(self.end - self.position).unwrap_or(0);
        Ok(Restored::More { remaining, position: self.position })
    }
}
