//! Topics and positions in; what is committed on them from there on, for ever, out: several topics through one consumer.
//!
//! Each partition has a queue of its own. That a partition is read to its end is said in its queue, behind the records: said in
//! the queue of all, it would name the partition's number and not its topic.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, base_consumer::PartitionQueue},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    admin::Admin,
    clients::{Context, KafkaOptions},
    feed_reader::committed,
    rights::{Described, describe},
    watermarks::look_anew,
};
use crate::engine::log::{
    LogError,
    outside::{CommittedRecord, Follow, Followed},
};

/// How long the ends may take once it follows; they are asked for again.
const ENDS_WITHIN: Duration = Duration::from_secs(3);
/// How often they are asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether a topic was made anew, or has more partitions.
const DESCRIBE_EVERY: Duration = Duration::from_secs(30);
/// A partition that was read to an end and gave nothing for so long has nothing up to where it ended by then. What is left there
/// are places of records that were compacted away, of which no reader hears.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// Records of one partition before it is another one's turn.
const TURN_RECORDS: usize = 500;

/// Follows several topics, committed records only, without joining a group.
pub struct Follower {
    context: Context,
    topics: Vec<String>,
    identities: Vec<String>,
    partitions: Vec<Partition>,
    /// Of which topic and partition each is.
    numbers: BTreeMap<(usize, i32), usize>,
    /// Whose turn it is, and how much of it was used.
    turn: (usize, usize),
    bell: Arc<Bell>,
    /// When the ends were asked for last, and whether there was an answer.
    looked: (Instant, bool),
    described: Instant,
    /// When the ends were asked for that are to be reached now.
    marked_at: Instant,
    whole_until: Option<Instant>,
    misses_some: bool,
    // Behind the queues, which are parts of it.
    consumer: Arc<BaseConsumer<Context>>,
}

/// A partition, and how far it is read. Offsets are those of the last stable record, as for each reader of committed records.
struct Partition {
    topic: usize,
    number: i32,
    queue: PartitionQueue<Context>,
    /// Behind the last record that was handed over; at first where reading begins.
    read: i64,
    /// Up to where nothing is to come. Markers of transactions and what was compacted away are never handed over.
    covered: i64,
    /// Its end, as it was said last.
    end: i64,
    /// The end that is to be reached now.
    marked: i64,
    /// Whether the queue was empty since the mark was set: what comes later came later.
    is_drained: bool,
    /// Whether the last that it said was that there is no more.
    has_ended: bool,
}

impl Partition {
    fn at(&self) -> i64 {
        self.read.max(self.covered)
    }

    fn note_end(&mut self) {
        if self.is_drained {
            self.covered = self.covered.max(self.marked);
        }
        self.has_ended = true;
    }
}

/// Wakes who waits for any queue.
#[derive(Default)]
struct Bell {
    has_rung: Mutex<bool>,
    rings: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.has_rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rings.notify_one();
    }

    fn silence(&self) {
        *self.has_rung.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    fn wait(&self, wait: Duration) {
        let has_rung = self.has_rung.lock().unwrap_or_else(PoisonError::into_inner);
        // Poisoned or too late: whoever waits looks.
        let _ = self.rings.wait_timeout_while(has_rung, wait, |has_rung| !*has_rung);
    }
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
            options.follower(application_id).create_with_context(context.clone()).map_err(refused)?;
        let consumer = Arc::new(consumer);
        let topics: Vec<String> = followed.iter().map(|followed| followed.topic.clone()).collect();
        let mut places = Vec::new();
        for ((topic, name), count) in topics.iter().enumerate().zip(counts) {
            let Some(count) = count else { return Err(LogError::Stop(format!("the topic {name} does not exist"))) };
            places.extend((0..count).map(|number| (topic, number)));
        }
        // Before the ends: of a topic that is made anew in between, this is the old one.
        let described = describe_topics(&consumer, &topics);
        let opened_at = Instant::now();
        let deadline = opened_at + patience;
        let begins = asked(&consumer, &topics, &places, Offset::Beginning, deadline)?;
        let ends = asked(&consumer, &topics, &places, Offset::End, deadline)?;
        let (mut partitions, mut list, bell) = (Vec::new(), TopicPartitionList::new(), Arc::new(Bell::default()));
        let mut misses_some = false;
        for (&(topic, number), (begin, end)) in places.iter().zip(begins.into_iter().zip(ends)) {
            let name = &topics[topic];
            let from = followed[topic].from.get(&number).copied();
            misses_some |= from.is_some_and(|from| from < begin);
            let start = from.unwrap_or(begin).max(begin);
            if start > end {
                return Err(LogError::OutOfRange(format!(
                    "partition {number} of {name} ends at {end}, before offset {start}"
                )));
            }
            list.add_partition_offset(name, number, Offset::Offset(start)).map_err(refused)?;
            // Before the partitions are assigned: it then stays a queue of its own.
            let queue = consumer.split_partition_queue(name, number);
            let mut queue =
                queue.ok_or_else(|| LogError::Stop(format!("partition {number} of {name} has no queue")))?;
            let rung = Arc::clone(&bell);
            queue.set_nonempty_callback(move || rung.ring());
            let (covered, marked, is_drained, has_ended) = (start, end, true, false);
            partitions.push(Partition {
                topic,
                number,
                queue,
                read: start,
                covered,
                end,
                marked,
                is_drained,
                has_ended,
            });
        }
        consumer.assign(&list).map_err(refused)?;
        Ok(Follower {
            context,
            identities: described.iter().map(|described| described.id.clone()).collect(),
            topics,
            numbers: places.into_iter().zip(0..).collect(),
            partitions,
            turn: (0, 0),
            bell,
            looked: (opened_at, true),
            described: opened_at,
            marked_at: opened_at,
            whole_until: None,
            misses_some,
            consumer,
        })
    }

    /// What is at hand, from the partition whose turn it is on.
    fn at_hand(&mut self) -> Result<Option<(usize, CommittedRecord)>, LogError> {
        let mut empty = 0;
        while empty < self.partitions.len() {
            let (turn, used) = self.turn;
            if used == TURN_RECORDS {
                self.turn = ((turn + 1) % self.partitions.len(), 0);
                continue;
            }
            let partition = &mut self.partitions[turn];
            let record = match partition.queue.poll(Duration::ZERO) {
                Some(Ok(message)) => committed(&message),
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    partition.note_end();
                    continue;
                }
                Some(Err(error)) => {
                    refuse(&error)?;
                    continue;
                }
                None => {
                    partition.is_drained = true;
                    self.turn = ((turn + 1) % self.partitions.len(), 0);
                    empty += 1;
                    continue;
                }
            };
            self.turn.1 += 1;
            let topic = partition.topic;
            if record.offset < partition.read {
                // The client begins anew where its position is none any more.
                return Err(made_anew(&self.topics[topic]));
            }
            partition.read = record.offset + 1;
            partition.has_ended = false;
            return Ok(Some((topic, record)));
        }
        Ok(None)
    }

    /// Asks for the ends.
    fn look(&mut self) -> Result<(), LogError> {
        let asked_at = Instant::now();
        let places: Vec<(usize, i32)> = self.partitions.iter().map(|it| (it.topic, it.number)).collect();
        let ends = match ends(&self.consumer, &self.topics, &places, Offset::End, ENDS_WITHIN) {
            Ok(ends) => ends,
            Err(error) => {
                tracing::debug!(target: "kafka", "the ends of the feeds cannot be asked for: {error}");
                look_anew(&self.consumer, None);
                self.looked = (Instant::now(), false);
                return Ok(());
            }
        };
        let positions = self.consumer.position();
        for element in positions.iter().flat_map(TopicPartitionList::elements) {
            let topic = self.topics.iter().position(|topic| topic == element.topic());
            let number = topic.and_then(|topic| self.numbers.get(&(topic, element.partition())));
            if let (Some(number), Offset::Offset(at)) = (number, element.offset()) {
                let partition = &mut self.partitions[*number];
                partition.covered = partition.covered.max(at);
            }
        }
        for (partition, end) in self.partitions.iter_mut().zip(ends) {
            if end < partition.read {
                return Err(made_anew(&self.topics[partition.topic]));
            }
            partition.end = end;
        }
        self.looked = (Instant::now(), true);
        self.note_reached();
        if self.whole_until == Some(self.marked_at) {
            self.marked_at = asked_at;
            for partition in &mut self.partitions {
                partition.marked = partition.end;
                partition.is_drained = false;
            }
        }
        Ok(())
    }

    /// Notes whether the ends are reached that were to be.
    fn note_reached(&mut self) {
        let is_silent = self.marked_at.elapsed() >= SILENT_AFTER;
        for partition in &mut self.partitions {
            if is_silent && partition.has_ended && partition.is_drained {
                partition.covered = partition.covered.max(partition.marked);
            }
        }
        if self.partitions.iter().all(|partition| partition.at() >= partition.marked) {
            self.whole_until = Some(self.marked_at);
        }
    }

    /// Whether the topics are the same, with the same partitions, as far as the brokers say.
    fn check_topics(&mut self) -> Result<(), LogError> {
        self.described = Instant::now();
        let found = describe_topics(&self.consumer, &self.topics);
        for ((topic, found), known) in self.topics.iter().enumerate().zip(found).zip(&mut self.identities) {
            if !known.is_empty() && !found.id.is_empty() && *known != found.id {
                return Err(made_anew(&self.topics[topic.0]));
            }
            if known.is_empty() {
                *known = found.id;
            }
            let number = self.partitions.iter().filter(|partition| partition.topic == topic.0).count();
            if found.partitions > number {
                return Err(LogError::Rewind(format!("{} has {} partitions now", topic.1, found.partitions)));
            }
        }
        Ok(())
    }
}

impl Follow for Follower {
    fn next(&mut self, wait: Duration) -> Result<Option<(usize, CommittedRecord)>, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(reason) = self.context.end() {
                return Err(LogError::Stop(reason));
            }
            // Before looking, so that nothing comes in between unheard.
            self.bell.silence();
            if let Some(found) = self.at_hand()? {
                return Ok(Some(found));
            }
            // What is about no partition, and the client's own business.
            while let Some(news) = self.consumer.poll(Duration::ZERO) {
                if let Err(error) = news {
                    refuse(&error)?;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.bell.wait(left);
        }
    }

    fn remaining(&mut self) -> Result<Option<u64>, LogError> {
        if self.looked.0.elapsed() >= LOOK_EVERY {
            self.look()?;
        } else {
            self.note_reached();
        }
        if self.described.elapsed() >= DESCRIBE_EVERY {
            self.check_topics()?;
        }
        let behind = |partition: &Partition| u64::try_from(partition.end - partition.at()).unwrap_or_default();
        Ok(self.looked.1.then(|| self.partitions.iter().map(behind).sum()))
    }

    fn whole_until(&self) -> Option<Instant> {
        self.whole_until
    }

    fn identities(&self) -> &[String] {
        &self.identities
    }

    fn misses_some(&self) -> bool {
        self.misses_some
    }
}

fn made_anew(topic: &str) -> LogError {
    LogError::OutOfRange(format!("the topic {topic} was made anew"))
}

/// What ends following; the client mends everything else by itself.
fn refuse(error: &KafkaError) -> Result<(), LogError> {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic,
        ) => Err(LogError::Stop(format!("the feeds cannot be followed: {error}"))),
        _ => {
            tracing::warn!(target: "kafka", "following the feeds: {error}");
            Ok(())
        }
    }
}

/// What the brokers say of topics, in their order; nothing, where they do not.
fn describe_topics(consumer: &BaseConsumer<Context>, topics: &[String]) -> Vec<Described> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    describe(consumer.client().native_ptr(), &names).unwrap_or_else(|why| {
        tracing::debug!(target: "kafka", "the feeds are not described: {why}");
        topics.iter().map(|_| Described::default()).collect()
    })
}

/// The first offsets of partitions, or the last stable ones; asked for until they are known.
fn asked(
    consumer: &BaseConsumer<Context>,
    topics: &[String],
    places: &[(usize, i32)],
    which: Offset,
    deadline: Instant,
) -> Result<Vec<i64>, LogError> {
    loop {
        match ends(consumer, topics, places, which, ENDS_WITHIN) {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() >= deadline => {
                return Err(LogError::Stop(format!("the ends of the feeds cannot be asked for: {error}")));
            }
            Err(_) => {
                look_anew(consumer, None);
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

/// The same, once: one question to each broker, not one for each partition. (In this question the beginning and the end stand for
/// points in time.)
fn ends(
    consumer: &BaseConsumer<Context>,
    topics: &[String],
    places: &[(usize, i32)],
    which: Offset,
    within: Duration,
) -> Result<Vec<i64>, KafkaError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, number) in places {
        list.add_partition_offset(&topics[*topic], *number, which)?;
    }
    let found = consumer.offsets_for_times(list, within)?;
    let offset = |(topic, number): &(usize, i32)| {
        let element = found.find_partition(&topics[*topic], *number);
        let element = element.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition))?;
        element.error()?;
        match element.offset() {
            Offset::Offset(offset) => Ok(offset),
            _ => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition)),
        }
    };
    places.iter().map(offset).collect()
}
