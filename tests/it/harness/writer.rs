//! Creates topics and fills them quickly: an idempotent producer, or a transactional one.

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::sync::Mutex;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);

/// One record to write.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: Option<i64>,
    /// `None`: by the key's murmur2 hash, as Java clients do.
    pub partition: Option<i32>,
}

impl Message {
    pub fn new(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Self { key: Some(key.as_ref().to_vec()), value: Some(value.as_ref().to_vec()), ..Self::default() }
    }

    pub fn tombstone(key: impl AsRef<[u8]>) -> Self {
        Self { key: Some(key.as_ref().to_vec()), ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn at(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    pub fn to(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }
}

/// Creates topics (name, partitions) with the given topic settings and waits until each has leaders.
#[track_caller]
pub fn create_topics(bootstrap: &str, topics: &[(&str, i32)], settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("an admin client can be made");
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|(name, partitions)| {
            settings.iter().fold(NewTopic::new(name, *partitions, TopicReplication::Fixed(1)), |topic, (key, value)| {
                topic.set(key, value)
            })
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(WITHIN)).request_timeout(Some(WITHIN));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let results = runtime.block_on(admin.create_topics(&new, &options)).expect("topics can be created");
    for result in results {
        result.unwrap_or_else(|(topic, error)| panic!("{topic} was not created: {error}"));
    }
    for (name, _) in topics {
        super::reader::partitions(bootstrap, name);
    }
}

/// Sets the largest record that a topic takes.
#[track_caller]
pub fn set_message_bytes_max(bootstrap: &str, topic: &str, bytes: usize) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("an admin client can be made");
    let bytes = bytes.to_string();
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", &bytes);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let results =
        runtime.block_on(admin.alter_configs([&change], &AdminOptions::new())).expect("settings can be changed");
    results.into_iter().for_each(|result| drop(result.expect("the topic is there")));
}

/// Remembers the first record that the broker refused.
#[derive(Default)]
struct Deliveries {
    refused: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, _)) = result else { return };
        // What an abort throws away was meant to be thrown away.
        let purged = [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight];
        if !error.rdkafka_error_code().is_some_and(|code| purged.contains(&code)) {
            self.refused.lock().expect("nobody panics with it").get_or_insert(error.clone());
        }
    }
}

/// A producer for tests. Polls on a thread of its own, so that an abort cannot wait for reports that nobody fetches.
pub struct Writer(ThreadedProducer<Deliveries>);

impl Writer {
    /// Idempotent, `acks=all`.
    pub fn new(bootstrap: &str) -> Self {
        Self(Self::config(bootstrap).create_with_context(Deliveries::default()).expect("a producer can be made"))
    }

    /// The same without compression.
    pub fn uncompressed(bootstrap: &str) -> Self {
        let mut config = Self::config(bootstrap);
        config.set("compression.type", "none");
        Self(config.create_with_context(Deliveries::default()).expect("a producer can be made"))
    }

    /// Transactional: use it with [`Self::begin`], and [`Self::commit`] or [`Self::abort`].
    #[track_caller]
    pub fn transactional(bootstrap: &str, id: &str, timeout: Duration) -> Self {
        let producer: ThreadedProducer<Deliveries> = Self::config(bootstrap)
            .set("transactional.id", id)
            .set("transaction.timeout.ms", timeout.as_millis().to_string())
            .set("message.timeout.ms", timeout.as_millis().to_string())
            .create_with_context(Deliveries::default())
            .expect("a producer can be made");
        producer.init_transactions(WITHIN).expect("transactions can be initialised");
        Self(producer)
    }

    fn config(bootstrap: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            // More than any topic takes that does not say so.
            .set("message.max.bytes", "33554432")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "200000")
            .set("log_level", "2");
        config
    }

    /// Writes all and waits until the broker has them.
    #[track_caller]
    pub fn write<'a>(&self, topic: &str, messages: impl IntoIterator<Item = &'a Message>) {
        self.post(topic, messages);
        self.0.flush(WITHIN).expect("the broker takes the records in time");
        let refused = self.0.context().refused.lock().expect("nobody panics with it").take();
        assert!(refused.is_none(), "{topic}: the broker refused a record: {refused:?}");
    }

    /// Hands all over without waiting for the broker: the Rust client waits for at least a tenth of a second. What the
    /// broker refuses is told by the next [`Self::write`].
    #[track_caller]
    pub fn post<'a>(&self, topic: &str, messages: impl IntoIterator<Item = &'a Message>) {
        for message in messages {
            self.send(topic, message);
        }
    }

    #[track_caller]
    fn send(&self, topic: &str, message: &Message) {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        record.key = message.key.as_deref();
        record.payload = message.value.as_deref();
        record.timestamp = message.timestamp_ms;
        record.partition = message.partition;
        if !message.headers.is_empty() {
            record.headers =
                Some(message.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                }));
        }
        loop {
            match self.0.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => panic!("{topic}: a record cannot be sent: {error}"),
            }
        }
    }

    #[track_caller]
    pub fn begin(&self) {
        self.0.begin_transaction().expect("a transaction can begin");
    }

    #[track_caller]
    pub fn commit(&self) {
        self.0.commit_transaction(WITHIN).expect("the transaction commits");
    }

    #[track_caller]
    pub fn abort(&self) {
        self.0.abort_transaction(WITHIN).expect("the transaction aborts");
    }
}
