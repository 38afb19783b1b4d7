//! Writes records to departments' topics as a department would: an idempotent producer, no transaction.

use std::time::Duration;

use rdkafka::{
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ThreadedProducer},
};

use super::{
    PATIENCE,
    clients::{Context, KafkaOptions},
};
use crate::engine::log::{
    LogError,
    outside::{SpokeAppend, SpokeRecord},
};

/// A producer for made-up departments.
pub struct SpokeWriter {
    producer: ThreadedProducer<Context>,
    context: Context,
}

impl SpokeWriter {
    /// Connects.
    pub fn connect(options: &KafkaOptions, application_id: &str) -> Result<SpokeWriter, LogError> {
        let context = Context::default();
        let producer =
            ThreadedProducer::from_config_and_context(&options.spoke_writer(application_id), context.clone())
                .map_err(|error| LogError::Stop(format!("the Kafka client refuses its settings: {error}")))?;
        Ok(SpokeWriter { producer, context })
    }

    fn check(&self) -> Result<(), LogError> {
        if let Some(reason) = self.context.fatal.get() {
            return Err(LogError::Stop(reason));
        }
        let undelivered = self.context.undelivered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*undelivered {
            Some(error) => Err(LogError::Stop(format!("the brokers did not take a record: {error}"))),
            None => Ok(()),
        }
    }
}

impl SpokeAppend for SpokeWriter {
    /// Waits while the producer's queue is full.
    fn send_record(&mut self, record: &SpokeRecord<'_>) -> Result<(), LogError> {
        let SpokeRecord { topic, key, payload, timestamp_ms, headers } = *record;
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).timestamp(timestamp_ms);
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        if let Some(key) = key {
            record = record.key(key);
        }
        if !headers.is_empty() {
            let owned = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |owned, (name, value)| {
                owned.insert(Header { key: name, value: Some(*value) })
            });
            record = record.headers(owned);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    self.check()?;
                    record = unsent;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err((error, _)) => return Err(LogError::Stop(format!("{topic} cannot be written: {error}"))),
            }
        }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let flushed = self.producer.flush(PATIENCE);
        self.check()?;
        flushed.map_err(|error| LogError::Stop(format!("the brokers did not take everything in time: {error}")))
    }
}
