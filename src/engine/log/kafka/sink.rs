//! The writing half: one transactional producer.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ThreadedProducer},
};

use super::{
    PATIENCE,
    clients::{Context, KafkaOptions},
    flush,
    watermarks::watermarks,
};
use crate::engine::{
    log::{LogError, Output, Placement, Sink, TopicPartition},
    stage::Topology,
    topics::Topics,
};

/// One try of a request within a commit.
const TRY: Duration = Duration::from_secs(5);

/// The group metadata of the newest poll: what fences a worker that lost its partitions.
pub(super) type Group = Arc<Mutex<Option<ConsumerGroupMetadata>>>;

/// The writing half of a worker's log on Kafka.
pub struct KafkaSink {
    producer: Option<ThreadedProducer<Context>>,
    context: Context,
    config: rdkafka::ClientConfig,
    offsets: BaseConsumer,
    topics: Arc<Topics>,
    group: Group,
    transaction_timeout: Duration,
    in_transaction: bool,
    /// Transactions given up since the last commit.
    failures: u32,
    bytes: usize,
    /// By topic: whether this transaction has a record for it.
    written: Vec<bool>,
    /// By topic: the headers that its last record had but for the last one, ready to be copied. Making them anew costs more
    /// than the rest of sending a record.
    headers: Vec<Option<HeaderTemplate>>,
}

/// Headers that record after record of a topic begins with.
struct HeaderTemplate {
    headers: Vec<(String, Vec<u8>)>,
    made: OwnedHeaders,
}

impl HeaderTemplate {
    fn new(headers: &[(&str, &[u8])]) -> HeaderTemplate {
        let mut made = OwnedHeaders::new_with_capacity(headers.len() + 1);
        for (key, value) in headers {
            made = made.insert(Header { key, value: Some(*value) });
        }
        let headers = headers.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
        HeaderTemplate { headers, made }
    }

    fn is_of(&self, headers: &[(&str, &[u8])]) -> bool {
        self.headers.len() == headers.len()
            && self.headers.iter().zip(headers).all(|((key, value), other)| key == other.0 && value == other.1)
    }
}

impl KafkaSink {
    pub(super) fn connect(options: &KafkaOptions, topology: &Topology, worker: usize) -> Result<KafkaSink, LogError> {
        let offsets = options
            .offsets_reader(false)
            .create()
            .map_err(|error| LogError::Stop(format!("the Kafka client refuses its settings: {error}")))?;
        let mut sink = KafkaSink {
            producer: None,
            context: Context::default(),
            config: options.producer(&topology.application_id, worker),
            offsets,
            topics: topology.topics.clone(),
            group: Group::default(),
            transaction_timeout: options.transaction_timeout,
            in_transaction: false,
            failures: 0,
            bytes: 0,
            written: topology.topics.iter().map(|_| false).collect(),
            headers: topology.topics.iter().map(|_| None).collect(),
        };
        sink.rebuild()?;
        Ok(sink)
    }

    pub(super) fn group(&self) -> Group {
        self.group.clone()
    }

    fn producer(&self) -> Result<&ThreadedProducer<Context>, LogError> {
        self.producer.as_ref().ok_or_else(|| LogError::Rebuild("there is no producer".into()))
    }

    fn check(&self) -> Result<(), LogError> {
        match self.context.fatal.get() {
            Some(reason) => Err(LogError::Stop(reason)),
            None => Ok(()),
        }
    }

    /// Repeats a call of the transaction protocol while it may be repeated.
    fn persist(&self, what: &str, unknown: bool, call: impl Fn() -> Result<(), KafkaError>) -> Result<(), LogError> {
        let deadline = Instant::now() + self.transaction_timeout.max(TRY);
        loop {
            self.check()?;
            let error = match call() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let text = format!("{what}: {error}");
            if let Some(topic) = self.context.too_long_for.get() {
                // The same record would come again.
                return Err(LogError::Stop(format!(
                    "topic {topic} refuses a record as too long; raise its max.message.bytes, see `insight-hub topics verify`"
                )));
            }
            match &error {
                // To repeat the work would not mend it.
                KafkaError::Transaction(it) if it.code() == RDKafkaErrorCode::TopicAuthorizationFailed => {
                    let topics = self.not_writable();
                    return Err(LogError::Stop(format!(
                        "topic {topics} may not be written ({text}); grant Write and Describe on it"
                    )));
                }
                KafkaError::Transaction(it) if is_forbidden(it.code()) => {
                    return Err(LogError::Stop(format!(
                        "{text}; grant WRITE on the hub's topics, READ on its group and its input, WRITE on its \
                         transactional ids"
                    )));
                }
                KafkaError::Transaction(it) if it.is_fatal() => return Err(LogError::Rebuild(text)),
                KafkaError::Transaction(it) if it.txn_requires_abort() => return Err(LogError::Rewind(text)),
                KafkaError::Transaction(it) if it.is_retriable() && Instant::now() < deadline => {}
                KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) if Instant::now() < deadline => {}
                // Nobody knows what became of it.
                _ if unknown => return Err(LogError::Rebuild(text)),
                _ => return Err(LogError::Rewind(text)),
            }
            // Some refusals come at once.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The topics of this transaction that a broker may have refused: those that this user does not even see any more, or all of
    /// them if it sees each.
    fn not_writable(&self) -> String {
        let written = self.topics.iter().zip(&self.written).filter(|(_, written)| **written);
        let names: Vec<&str> = written.map(|((_, topic), _)| &*topic.name).collect();
        let seen = self.offsets.fetch_metadata(None, TRY).ok();
        let is_seen =
            |name: &str| seen.as_ref().is_none_or(|seen| seen.topics().iter().any(|topic| topic.name() == name));
        let unseen: Vec<&str> = names.iter().copied().filter(|name| !is_seen(name)).collect();
        if unseen.is_empty() { names.join(" or ") } else { unseen.join(", ") }
    }

    /// Waits a little when one transaction after the other fails: work that is repeated as fast as it fails would fill the
    /// log and the processors.
    fn back_off(&mut self) {
        if self.failures > 0 {
            std::thread::sleep(Duration::from_millis(10 << self.failures.min(6)));
        }
        self.failures += 1;
    }
}

fn is_forbidden(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, GroupAuthorizationFailed, TopicAuthorizationFailed,
        TransactionalIdAuthorizationFailed,
    };
    matches!(
        code,
        ClusterAuthorizationFailed
            | GroupAuthorizationFailed
            | TopicAuthorizationFailed
            | TransactionalIdAuthorizationFailed
    )
}

impl Sink for KafkaSink {
    fn begin(&mut self) -> Result<(), LogError> {
        self.context.undelivered.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        self.bytes = 0;
        self.written.fill(false);
        let outcome = self.producer()?.begin_transaction();
        outcome.map_err(|error| LogError::Rebuild(format!("a transaction cannot begin: {error}")))?;
        self.in_transaction = true;
        Ok(())
    }

    fn send(&mut self, output: &Output<'_>) -> Result<(), LogError> {
        let topic = &self.topics.get(output.topic).name;
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).key(output.key);
        if let Some(value) = output.value {
            record = record.payload(value);
        }
        if let Placement::At(partition) = output.placement {
            record = record.partition(partition);
        }
        if let Some(at) = output.timestamp_ms {
            record = record.timestamp(at);
        }
        if let Some(((key, value), first)) = output.headers.split_last() {
            let template = &mut self.headers[usize::from(output.topic.0)];
            let template = match template {
                Some(template) if template.is_of(first) => template,
                other => other.insert(HeaderTemplate::new(first)),
            };
            record = record.headers(template.made.clone().insert(Header { key, value: Some(*value) }));
        }
        if let Some(written) = self.written.get_mut(usize::from(output.topic.0)) {
            *written = true;
        }
        self.bytes += output.key.len() + output.value.map_or(0, <[u8]>::len);
        let producer = self.producer()?;
        let mut full_since = None;
        let mut waiting = record;
        loop {
            match producer.send(waiting) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if full_since.get_or_insert_with(Instant::now).elapsed() < self.transaction_timeout =>
                {
                    // The same record again, when the queue has drained a little.
                    std::thread::sleep(Duration::from_millis(2));
                    waiting = back;
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    // To repeat the work would not make it smaller.
                    return Err(LogError::Stop(format!(
                        "a record for {topic} is larger than message.max.bytes; raise it for the client and the topic"
                    )));
                }
                Err((KafkaError::MessageProduction(code), _)) if is_forbidden(code) => {
                    return Err(LogError::Stop(format!("topic {topic} may not be written: {code}; grant Write on it")));
                }
                Err((error, _)) => {
                    self.check()?;
                    return Err(LogError::Rewind(format!("a record cannot be written to {topic}: {error}")));
                }
            }
        }
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        measure: &[TopicPartition],
    ) -> Result<Vec<i64>, LogError> {
        let producer = self.producer()?;
        let mut ends = Vec::with_capacity(measure.len());
        if !measure.is_empty() {
            flush::flush(producer, TRY);
            self.persist("writing out a transaction", false, || producer.flush(TRY))?;
            for changelog in measure {
                let topic = &self.topics.get(changelog.topic).name;
                let (_, end) = watermarks(&self.offsets, topic, changelog.partition, TRY)
                    .map_err(|error| LogError::Rewind(format!("asking for the end of {topic}: {error}")))?;
                ends.push(end);
            }
        }
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (input, next) in offsets {
            let topic = &self.topics.get(input.topic).name;
            list.add_partition_offset(topic, input.partition, Offset::Offset(*next))
                .map_err(|error| LogError::Stop(format!("offset {next} of {topic}: {error}")))?;
        }
        let group = self.group.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let group = group.as_ref().ok_or_else(|| LogError::Rewind("the group's metadata is not known yet".into()))?;
        self.persist("sending offsets", false, || producer.send_offsets_to_transaction(&list, group, TRY))?;
        Ok(ends)
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let producer = self.producer()?;
        flush::flush(producer, TRY);
        self.persist("committing", true, || producer.commit_transaction(TRY))?;
        self.in_transaction = false;
        self.failures = 0;
        self.context.news.back();
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        if !std::mem::take(&mut self.in_transaction) {
            return Ok(());
        }
        let producer = self.producer()?;
        self.persist("aborting", true, || producer.abort_transaction(TRY))?;
        self.back_off();
        Ok(())
    }

    fn rebuild(&mut self) -> Result<(), LogError> {
        self.in_transaction = false;
        self.producer = None;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let producer: ThreadedProducer<Context> =
                ThreadedProducer::from_config_and_context(&self.config, self.context.clone())
                    .map_err(|error| LogError::Stop(format!("the Kafka client refuses its settings: {error}")))?;
            let outcome = producer.init_transactions(TRY);
            self.check()?;
            match outcome {
                Ok(()) => {
                    self.producer = Some(producer);
                    self.back_off();
                    return Ok(());
                }
                Err(KafkaError::Transaction(error)) if is_forbidden(error.code()) => {
                    return Err(LogError::Stop(format!(
                        "the transactional id {:?} may not be used: {error}; grant WRITE and DESCRIBE on it",
                        self.config.get("transactional.id").unwrap_or_default()
                    )));
                }
                Err(error) if Instant::now() >= deadline => {
                    return Err(LogError::Stop(format!(
                        "Kafka does not accept a producer: {error}; are the brokers up?"
                    )));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    fn bytes_in_transaction(&self) -> usize {
        self.bytes
    }
}
