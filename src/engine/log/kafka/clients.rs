//! Client settings, and what the client library reports on the side: fatal errors, figures per partition.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext, Message, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryResult, ProducerContext},
    types::RDKafkaRespErr,
};

use super::news::News;

/// The largest record that the hub can write, and that the topics which it creates take: far above what any has. A larger one
/// stops the hub with an error that says what to raise.
pub(super) const MESSAGE_BYTES_MAX: usize = 15 << 20;

/// How to reach Kafka, and as whom.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Connection, login and tuning of consumers, as client properties.
    pub consumer: Vec<(String, String)>,
    /// The same for producers.
    pub producer: Vec<(String, String)>,
    /// The same for questions about topics.
    pub admin: Vec<(String, String)>,
    /// Names this instance in transactional ids: two instances of one application must differ.
    pub instance_id: String,
    /// Whether the instance keeps its place in the group over a restart (`group.instance.id`).
    pub static_membership: bool,
    /// A worker that is not heard of for so long loses its partitions.
    pub session_timeout: Duration,
    /// A transaction that is open for so long is aborted by the coordinator.
    pub transaction_timeout: Duration,
    /// Compression of what is written: `none`, `lz4`, `zstd`, `gzip`, `snappy`.
    pub compression: String,
}

/// Sets what the operator has not set.
fn tune(config: &mut ClientConfig, settings: &[(&str, &str)]) {
    for (name, value) in settings {
        if config.get(name).is_none() {
            config.set(*name, *value);
        }
    }
}

fn message_bytes_max(config: &ClientConfig) -> Option<usize> {
    config.get("message.max.bytes")?.parse().ok()
}

impl KafkaOptions {
    fn base(properties: &[(String, String)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in properties {
            config.set(name, value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    pub(super) fn consumer(&self, application_id: &str, worker: usize) -> ClientConfig {
        let mut config = KafkaOptions::base(&self.consumer);
        config
            .set("group.id", application_id)
            .set("client.id", format!("{application_id}-{}-{worker}", self.instance_id))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            // A committed offset that retention has removed is the operator's decision, never ours.
            .set("auto.offset.reset", "error")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", self.session_timeout.as_millis().to_string())
            .set("heartbeat.interval.ms", (self.session_timeout.as_millis() / 5).clamp(200, 3_000).to_string())
            .set("max.poll.interval.ms", "300000")
            .set("statistics.interval.ms", "1000");
        tune(
            &mut config,
            &[
                // The default stalls a partition for a second whenever its queue is full.
                ("fetch.queue.backoff.ms", "5"),
                ("fetch.wait.max.ms", "50"),
                ("queued.min.messages", "20000"),
                // For each partition, which has a queue of its own.
                ("queued.max.messages.kbytes", "512"),
                // Much more than a batch of any topic, and no limit for all partitions together: with less, the topics
                // between stages get all of an answer, and a worker reads its sources long after the others have read theirs.
                ("fetch.message.max.bytes", "1048576"),
            ],
        );
        if self.static_membership {
            config.set("group.instance.id", format!("{}-{worker}", self.instance_id));
        }
        config
    }

    /// For restores: no group is joined, offsets are given by hand.
    pub(super) fn changelog_reader(&self, application_id: &str) -> ClientConfig {
        let mut config = KafkaOptions::base(&self.consumer);
        config
            .set("group.id", application_id)
            .set("client.id", format!("{application_id}-{}-restore", self.instance_id))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.wait.max.ms", "20")
            .set("queued.min.messages", "100000")
            .set("queued.max.messages.kbytes", "16384");
        config
    }

    /// For questions about offsets, as seen with or without open transactions.
    pub(super) fn offsets_reader(&self, read_committed: bool) -> ClientConfig {
        let mut config = KafkaOptions::base(&self.admin);
        config.set("isolation.level", if read_committed { "read_committed" } else { "read_uncommitted" });
        config
    }

    pub(super) fn producer(&self, application_id: &str, worker: usize) -> ClientConfig {
        let mut config = KafkaOptions::base(&self.producer);
        let timeout = self.transaction_timeout.as_millis().to_string();
        config
            .set("client.id", format!("{application_id}-{}-{worker}", self.instance_id))
            .set("transactional.id", format!("{application_id}-{}-{worker}", self.instance_id))
            .set("transaction.timeout.ms", &timeout)
            .set("message.timeout.ms", &timeout)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", &self.compression)
            .set("partitioner", "murmur2_random")
            .set("delivery.report.only.error", "true");
        let largest = message_bytes_max(&config).unwrap_or(MESSAGE_BYTES_MAX);
        tune(
            &mut config,
            &[
                // A commit flushes whatever lingers, so waiting for fuller batches costs no latency.
                ("linger.ms", "50"),
                ("batch.size", "262144"),
                ("batch.num.messages", "20000"),
                ("queue.buffering.max.messages", "400000"),
                // What waits here is in memory three times over: the client sends while the worker goes on. The largest
                // record must find room.
                ("queue.buffering.max.kbytes", &(16_384_usize.max(largest / 1_024 + 1_024)).to_string()),
                ("message.max.bytes", &largest.to_string()),
            ],
        );
        config
    }

    /// For reading a public topic: no group is joined, offsets are given by hand.
    pub(super) fn feed_reader(&self, application_id: &str) -> ClientConfig {
        let mut config = KafkaOptions::base(&self.consumer);
        config
            .set("group.id", application_id)
            .set("client.id", format!("{application_id}-tail"))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            // What retention removes while it is read is gone for every reader: go on with what is kept.
            .set("auto.offset.reset", "earliest")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.max.messages.kbytes", "16384");
        config
    }

    /// For following public topics: with a queue for each partition, so that the bounds on what is fetched ahead are for each.
    pub(super) fn follower(&self, application_id: &str) -> ClientConfig {
        let mut config = self.feed_reader(application_id);
        config.set("queued.max.messages.kbytes", "256").set("max.partition.fetch.bytes", "262144");
        config
    }

    /// For writing as a department: exactly once per session, without a transaction.
    pub(super) fn spoke_writer(&self, application_id: &str) -> ClientConfig {
        let mut config = KafkaOptions::base(&self.producer);
        config
            .set("client.id", format!("{application_id}-generate"))
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "20")
            // A topic that does not take a batch takes none of its records: no topic takes less than this.
            .set("batch.size", "65536")
            .set("queue.buffering.max.messages", "100000")
            .set("message.timeout.ms", "60000")
            .set("compression.type", &self.compression)
            // As Java clients place keys.
            .set("partitioner", "murmur2_random")
            .set("delivery.report.only.error", "true");
        // How large a record may be is the topic's to say: the library's own bound is below what spokes.message_bytes_max takes.
        let largest = message_bytes_max(&config).unwrap_or(MESSAGE_BYTES_MAX);
        config.set("queue.buffering.max.kbytes", (65_536_usize.max(largest / 1_024 + 1_024)).to_string());
        tune(&mut config, &[("message.max.bytes", &largest.to_string())]);
        config
    }

    pub(super) fn admin(&self) -> ClientConfig {
        KafkaOptions::base(&self.admin)
    }
}

/// An error that retrying does not mend, such as a wrong password.
#[derive(Clone, Debug, Default)]
pub struct FatalError(Arc<Mutex<Option<String>>>);

impl FatalError {
    pub(super) fn set(&self, reason: String) {
        let mut slot = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.get_or_insert(reason);
    }

    /// What it was, if there was one.
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// It was none.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }
}

/// What is known of a partition without asking anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct PartitionFigures {
    /// The end of the partition, open transactions included.
    pub high_watermark: i64,
    /// The first offset that an open transaction holds back.
    pub last_stable_offset: i64,
    /// Whether everything stable was fetched, delivered or not. Control records take offsets that are never delivered, so
    /// the position does not tell.
    pub at_end: bool,
}

impl PartitionFigures {
    /// How many offsets come after a position, as far as is known.
    pub(super) fn to_come(self, position: i64) -> i64 {
        (self.last_stable_offset - position).max(0)
    }
}

/// The rebalance events that a worker has still to answer.
#[derive(Clone, Debug)]
pub(super) enum Rebalanced {
    Assigned(TopicPartitionList),
    Revoked(TopicPartitionList),
    Lost(TopicPartitionList),
}

/// What the library tells a client on the side.
#[derive(Clone, Default)]
pub(super) struct Context {
    pub(super) fatal: FatalError,
    /// The library asked for records that are gone. Whoever shares its partitions may have asked where others had read on.
    pub(super) out_of_range: FatalError,
    pub(super) figures: Arc<Mutex<BTreeMap<(Arc<str>, i32), PartitionFigures>>>,
    pub(super) rebalanced: Arc<Mutex<std::collections::VecDeque<Rebalanced>>>,
    pub(super) undelivered: Arc<Mutex<Option<String>>>,
    /// A topic that refused a record because it is too long for it.
    pub(super) too_long_for: FatalError,
    pub(super) news: News,
    /// Why a connection failed last.
    pub(super) failed_connection: Arc<Mutex<Option<String>>>,
    /// The consumer is being closed: nobody is left to answer a rebalance, and closing waits for the answer.
    pub(super) closing: Arc<AtomicBool>,
}

impl Context {
    /// What ends a client that shares its partitions with nobody.
    pub(super) fn end(&self) -> Option<String> {
        self.fatal.get().or_else(|| self.out_of_range.get())
    }

    /// Why a connection failed last, in the library's words: it guesses at a wrong protocol, for one.
    pub(super) fn failed_connection(&self) -> Option<String> {
        self.failed_connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What the library told last of a partition.
    pub(super) fn figures_of(&self, topic: &Arc<str>, partition: i32) -> Option<PartitionFigures> {
        let figures = self.figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        figures.get(&(topic.clone(), partition)).copied()
    }
}

/// What the library says of a topic that this user has no right to write to.
const REFUSED: &str = "Topic authorization failed";

/// The topic that a transaction may not write to, of a line of the library's log.
fn refused_topic(message: &str) -> Option<&str> {
    message.contains(REFUSED).then(|| message.split('"').nth(1)).flatten()
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "ADDPARTS"
            && let Some(topic) = refused_topic(message)
        {
            // Calls that meet it say that the producer is in a wrong state, and no call says the topic.
            self.fatal.set(format!("topic {topic} may not be written ({REFUSED}); grant Write and Describe on it"));
        }
        // A failed connection comes as an error too.
        let level = if facility == "FAIL" { RDKafkaLogLevel::Debug } else { level };
        self.news.say(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let mut brokers = statistics.brokers.values().filter(|broker| broker.nodeid >= 0).map(|broker| &*broker.state);
        let (mut up, mut down) = (false, false);
        brokers.by_ref().for_each(|state| {
            up |= matches!(state, "UP" | "UPDATE");
            down |= matches!(state, "DOWN" | "TRY_CONNECT" | "CONNECT");
        });
        if up && !down {
            self.news.back();
        }
        let mut figures = self.figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        figures.clear();
        for (topic, it) in statistics.topics {
            let topic: Arc<str> = Arc::from(topic);
            for (partition, it) in it.partitions {
                if partition >= 0 && it.desired {
                    let entry = PartitionFigures {
                        high_watermark: it.hi_offset,
                        last_stable_offset: it.ls_offset,
                        at_end: it.ls_offset >= 0 && it.next_offset >= it.ls_offset,
                    };
                    figures.insert((topic.clone(), partition), entry);
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::{
            AllBrokersDown, Authentication, AutoOffsetReset, BrokerTransportFailure, OperationTimedOut, Resolve, SSL,
            SaslAuthenticationFailed, UnsupportedSASLMechanism,
        };
        let code = error.rdkafka_error_code();
        if matches!(code, Some(BrokerTransportFailure | Resolve | SSL)) {
            let mut failed = self.failed_connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *failed = Some(reason.to_owned());
        }
        match code {
            // The library would try again for ever.
            Some(Authentication | SaslAuthenticationFailed | UnsupportedSASLMechanism) => self.fatal.set(format!(
                "Kafka refuses this client: {reason}; check kafka.username, the password file and kafka.sasl_mechanism"
            )),
            _ if reason.contains("certificate verify failed") => self.fatal.set(format!(
                "Kafka's certificate is not trusted: {reason}; set kafka.ca_file to the authority that signed it, \
                 and see that neither has expired"
            )),
            // The broker's alerts (RFC 8446, section 6.2) about what the client showed, or did not show.
            _ if reason.contains(" alert ") && (reason.contains("certificate") || reason.contains("unknown ca")) => {
                self.fatal.set(format!(
                    "Kafka does not accept this client's certificate: {reason}; set kafka.certificate_file and \
                     kafka.key_file to what an authority has signed that the brokers trust, and see that it has not expired"
                ));
            }
            // Without an offset to read from, the partition stands still for ever, and nobody would notice.
            Some(AutoOffsetReset) => self.out_of_range.set(format!(
                "a partition is no longer readable at the committed offset: {reason}. Retention has removed records that \
                 were not read; going on would lose them silently. Decide, and reset the group's offset by hand"
            )),
            Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve) => self.news.away(reason),
            code => {
                let kind = code.map_or_else(|| "unknown".to_owned(), |code| format!("{code:?}"));
                self.news.say(RDKafkaLogLevel::Warning, &kind, reason);
            }
        }
    }
}

impl ConsumerContext for Context {
    /// Only notes the event: the worker commits first, then answers with an (incremental) assignment.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        use rdkafka::consumer::Consumer;
        if self.closing.load(Ordering::Relaxed) {
            let answered = match error {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => consumer.incremental_assign(partitions),
                _ => consumer.incremental_unassign(partitions),
            };
            if let Err(error) = answered {
                tracing::debug!(target: "kafka", "giving partitions up while leaving: {error}");
            }
            return;
        }
        let event = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalanced::Assigned(partitions.clone()),
            _ if consumer.assignment_lost() => Rebalanced::Lost(partitions.clone()),
            _ => Rebalanced::Revoked(partitions.clone()),
        };
        self.rebalanced.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push_back(event);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                self.too_long_for.set(message.topic().to_owned());
            }
            let mut slot = self.undelivered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            slot.get_or_insert_with(|| error.to_string());
        }
    }
}
