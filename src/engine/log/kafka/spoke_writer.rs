//! Writes records to departments' topics as a department would: an idempotent producer, no transaction.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext, Statistics,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};

use super::{
    PATIENCE,
    clients::{Context, KafkaOptions},
};
use crate::engine::log::{
    LogError,
    outside::{SpokeAppend, SpokeRecord, Unfit},
};

/// What the library tells, as to every client, and which records did not fit.
#[derive(Clone, Default)]
struct SpokeContext {
    context: Context,
    unfit: Arc<Mutex<Vec<Unfit>>>,
}

impl SpokeContext {
    fn note(&self, number: usize, error: &KafkaError) {
        let mut unfit = self.unfit.lock().unwrap_or_else(PoisonError::into_inner);
        unfit.push(Unfit { number, why: error.to_string() });
    }
}

impl ClientContext for SpokeContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.context.stats(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for SpokeContext {
    /// The record's number since the last flush.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(_) => {}
            // One that is larger than a batch is sent by itself, so it takes no other with it.
            Err((error, _)) if is_unfit(error) => self.note(number, error),
            Err(_) => self.context.delivery(result, ()),
        }
    }
}

fn is_unfit(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

/// A producer for made-up departments.
pub struct SpokeWriter {
    producer: ThreadedProducer<SpokeContext>,
    context: SpokeContext,
    /// Records since the last flush.
    handed_over: usize,
}

impl SpokeWriter {
    /// Connects.
    pub fn connect(options: &KafkaOptions, application_id: &str) -> Result<SpokeWriter, LogError> {
        let context = SpokeContext::default();
        let producer =
            ThreadedProducer::from_config_and_context(&options.spoke_writer(application_id), context.clone())
                .map_err(|error| LogError::Stop(format!("the Kafka client refuses its settings: {error}")))?;
        Ok(SpokeWriter { producer, context, handed_over: 0 })
    }

    fn check(&self) -> Result<(), LogError> {
        let context = &self.context.context;
        if let Some(reason) = context.fatal.get() {
            return Err(LogError::Stop(reason));
        }
        let undelivered = context.undelivered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
        let number = self.handed_over;
        self.handed_over += 1;
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(topic, number).timestamp(timestamp_ms);
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
                Err((error, _)) if is_unfit(&error) => {
                    self.context.note(number, &error);
                    return Ok(());
                }
                Err((error, _)) => return Err(LogError::Stop(format!("{topic} cannot be written: {error}"))),
            }
        }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        match self.flush_fitting()?.first() {
            Some(unfit) => Err(LogError::Stop(format!("the brokers did not take a record: {}", unfit.why))),
            None => Ok(()),
        }
    }

    fn flush_fitting(&mut self) -> Result<Vec<Unfit>, LogError> {
        let flushed = self.producer.flush(PATIENCE);
        self.check()?;
        flushed.map_err(|error| LogError::Stop(format!("the brokers did not take everything in time: {error}")))?;
        self.handed_over = 0;
        let mut unfit = mem::take(&mut *self.context.unfit.lock().unwrap_or_else(PoisonError::into_inner));
        unfit.sort_by_key(|unfit| unfit.number);
        Ok(unfit)
    }
}
