//! Which partition is read next. Each has a queue of its own: what is suspended waits where it was fetched, no partition
//! keeps another from being fetched, and a worker that is far behind reads its sources side by side.
//!
//! A source that runs ahead of the others makes all their touchpoints late, and a late touchpoint costs a refold. So of
//! those with a backlog the one whose last record is the oldest has its turn, as Kafka Streams picks among the partitions
//! of a task. What comes from the hub's own topics goes first, so that what was begun ends soon; then sources without a
//! backlog, so that a department that loads its history holds up nobody who is up to date.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    Message,
    consumer::{BaseConsumer, base_consumer::PartitionQueue},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
};

use super::clients::Context;
use crate::engine::log::{Headers, LogError, Record, TopicPartition};

/// A source's turn: so many records, whatever the times of the others.
const TURN: usize = 64;
/// A source with more records than this to come has a backlog.
const BACKLOG_RECORDS: i64 = 2_000;
/// How long the others wait for the source whose turn it is, when its next records are on their way.
const COURTESY: Duration = Duration::from_millis(10);
/// Errors taken by one poll.
const FAILURES_MAX: usize = 100;

/// Rings when a queue that was empty is not empty any more.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_one();
    }

    /// Waits until it rings or rang since it was waited for last.
    fn wait(&self, at_most: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) =
            self.heard.wait_timeout_while(rung, at_most, |rung| !*rung).unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }
}

/// One partition that the worker was assigned.
struct Lane {
    queue: PartitionQueue<Context>,
    is_source: bool,
    /// Whether the client is where it was sent to.
    is_open: bool,
    /// Whether the worker takes nothing of it for now.
    is_suspended: bool,
    /// The offset after the last record that was delivered.
    position: i64,
    /// The time of the last record that was delivered.
    at_ms: i64,
    /// Whether nothing was at hand when it was looked at last.
    is_dry: bool,
}

impl Lane {
    fn is_read(&self) -> bool {
        self.is_open && !self.is_suspended
    }
}

/// Headers are looked up only by who reads them: the client parses them anew for each message.
struct KafkaHeaders<'a>(&'a BorrowedMessage<'a>);

impl Headers for KafkaHeaders<'_> {
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for header in self.0.headers().iter().flat_map(|headers| headers.iter()) {
            each(header.key, header.value);
        }
    }
}

/// What a record is handed to.
type Each<'a> = dyn FnMut(&Record<'_>) -> Result<ControlFlow<()>, LogError> + 'a;

/// How many records of a source are about to come after a position, if that is known.
type ToCome<'a> = dyn Fn(TopicPartition, i64) -> Option<i64> + 'a;

/// What one poll gave.
pub(super) struct Delivery {
    limit: usize,
    /// Records that were handed over.
    pub(super) taken: usize,
    /// What the client reported instead of a record.
    pub(super) failures: Vec<KafkaError>,
    /// How the one who takes them ended it.
    pub(super) outcome: Result<ControlFlow<()>, LogError>,
}

impl Delivery {
    fn new(limit: usize) -> Delivery {
        Delivery { limit, taken: 0, failures: Vec::new(), outcome: Ok(ControlFlow::Continue(())) }
    }

    fn is_over(&self) -> bool {
        self.taken >= self.limit
            || self.failures.len() >= FAILURES_MAX
            || !matches!(self.outcome, Ok(ControlFlow::Continue(())))
    }

    /// Hands over what is at hand in a lane: at least [`TURN`] records, and on while they are not newer than `until_ms`.
    fn take_turn(&mut self, key: TopicPartition, lane: &mut Lane, until_ms: i64, wait: Duration, each: &mut Each<'_>) {
        let Lane { queue, position, at_ms, is_dry, .. } = lane;
        let (mut wait, mut turn) = (wait, 0);
        while !self.is_over() && (turn < TURN || *at_ms <= until_ms) {
            let message = match queue.poll(std::mem::take(&mut wait)) {
                None => {
                    *is_dry = true;
                    return;
                }
                Some(Err(error)) => {
                    self.failures.push(error);
                    continue;
                }
                Some(Ok(message)) => message,
            };
            let timestamp_ms = message.timestamp().to_millis().unwrap_or(-1);
            (*position, *at_ms) = (message.offset() + 1, timestamp_ms);
            self.taken += 1;
            turn += 1;
            self.outcome = each(&Record {
                from: key,
                offset: message.offset(),
                timestamp_ms,
                key: message.key(),
                value: message.payload(),
                headers: &KafkaHeaders(&message),
            });
        }
    }
}

/// Every partition that the worker was assigned.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<TopicPartition, Lane>,
    bell: Arc<Bell>,
    /// Which had the last turn of those that are read as they come.
    last: Option<TopicPartition>,
}

impl Lanes {
    /// Gives a partition that was just assigned, and is paused, a queue of its own.
    pub(super) fn add(
        &mut self,
        consumer: &Arc<BaseConsumer<Context>>,
        key: TopicPartition,
        topic: &str,
        is_source: bool,
    ) -> Result<(), LogError> {
        let mut queue = consumer
            .split_partition_queue(topic, key.partition)
            .ok_or_else(|| LogError::Stop(format!("partition {} of {topic} has no queue", key.partition)))?;
        let bell = self.bell.clone();
        queue.set_nonempty_callback(move || bell.ring());
        let lane =
            Lane { queue, is_source, is_open: false, is_suspended: false, position: 0, at_ms: i64::MIN, is_dry: false };
        self.lanes.insert(key, lane);
        Ok(())
    }

    pub(super) fn remove(&mut self, key: TopicPartition) {
        self.lanes.remove(&key);
    }

    pub(super) fn has(&self, key: TopicPartition) -> bool {
        self.lanes.contains_key(&key)
    }

    /// Those that are read, each with the offset after the last record that was delivered.
    pub(super) fn positions(&self) -> Vec<(TopicPartition, i64)> {
        self.lanes.iter().filter(|(_, lane)| lane.is_open).map(|(key, lane)| (*key, lane.position)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Gives up everything. Returns what there was.
    pub(super) fn clear(&mut self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.lanes).into_keys().collect()
    }

    /// From here on it is read at an offset, once it is open.
    pub(super) fn start(&mut self, key: TopicPartition, offset: i64) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            (lane.position, lane.is_suspended, lane.is_open, lane.is_dry) = (offset, false, false, false);
            // Of what time the record there is, nobody knows: it is looked at first.
            lane.at_ms = i64::MIN;
        }
    }

    /// The client is where it was sent to.
    pub(super) fn open(&mut self, key: TopicPartition) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.is_open = true;
        }
    }

    pub(super) fn suspend(&mut self, key: TopicPartition, suspended: bool) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            // What comes while nobody looks is not known.
            (lane.is_suspended, lane.is_dry) = (suspended, false);
        }
    }

    /// The offset after the last record that was delivered, and whether nothing was at hand after it.
    pub(super) fn position(&self, key: TopicPartition) -> Option<(i64, bool)> {
        self.lanes.get(&key).map(|lane| (lane.position, lane.is_dry))
    }

    /// Hands over what is at hand, at most `limit` records, waiting up to `wait` for the first.
    pub(super) fn deliver(
        &mut self,
        wait: Duration,
        limit: usize,
        to_come: &ToCome<'_>,
        each: &mut Each<'_>,
    ) -> Delivery {
        let mut delivery = Delivery::new(limit);
        self.deliver_some(wait, to_come, &mut delivery, each);
        if delivery.taken == 0 && !delivery.is_over() && delivery.failures.is_empty() && !wait.is_zero() {
            self.bell.wait(wait);
            self.deliver_some(Duration::ZERO, to_come, &mut delivery, each);
        }
        delivery
    }

    fn deliver_some(&mut self, wait: Duration, to_come: &ToCome<'_>, delivery: &mut Delivery, each: &mut Each<'_>) {
        let mut backlogged = Vec::new();
        let (mut inner, mut current) = (Vec::new(), Vec::new());
        for (key, lane) in self.lanes.iter_mut().filter(|(_, lane)| lane.is_read()) {
            lane.is_dry = false;
            if !lane.is_source {
                inner.push(*key);
            } else if to_come(*key, lane.position).is_none_or(|records| records > BACKLOG_RECORDS) {
                backlogged.push(*key);
            } else {
                current.push(*key);
            }
        }
        for mut those in [inner, current] {
            // Each in its turn, beginning after the last.
            let first = those.partition_point(|key| Some(*key) <= self.last);
            let count = those.len();
            those.rotate_left(if first == count { 0 } else { first });
            while !those.is_empty() && !delivery.is_over() {
                those.retain(|key| {
                    let lane = self.lanes.get_mut(key).expect("it was just found");
                    if !delivery.is_over() {
                        delivery.take_turn(*key, lane, i64::MIN, Duration::ZERO, each);
                        self.last = Some(*key);
                    }
                    !lane.is_dry
                });
            }
        }
        let mut courtesy = wait.min(COURTESY);
        while !delivery.is_over() {
            // Whose turn it is, and up to when.
            let mut times = backlogged.iter().map(|key| (self.lanes[key].at_ms, *key)).collect::<Vec<_>>();
            times.sort_unstable();
            let Some((_, key)) = times.first().copied() else { break };
            let until_ms = times.get(1).map_or(i64::MAX, |(at_ms, _)| *at_ms);
            let lane = self.lanes.get_mut(&key).expect("it was just found");
            delivery.take_turn(key, lane, until_ms, Duration::ZERO, each);
            if lane.is_dry && !courtesy.is_zero() && !delivery.is_over() {
                lane.is_dry = false;
                delivery.take_turn(key, lane, until_ms, std::mem::take(&mut courtesy), each);
            }
            if lane.is_dry {
                backlogged.retain(|other| *other != key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rdkafka::{
        ClientConfig, Offset, TopicPartitionList,
        consumer::Consumer,
        mocking::MockCluster,
        producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
    };

    use super::*;
    use crate::engine::topics::TopicIndex;

    const EACH: i64 = 300;
    const PARTITIONS: i32 = 3;

    /// The library's own cluster in memory, with `EACH` records in each partition of topic 0, `step_ms` apart from
    /// `begin_ms` on, and the lanes of a consumer that was assigned them.
    struct Fixture {
        lanes: Lanes,
        /// Time and offset of each record that was delivered, in order.
        delivered: Vec<(TopicPartition, i64, i64)>,
        _consumer: Arc<BaseConsumer<Context>>,
        _cluster: MockCluster<'static, DefaultProducerContext>,
    }

    fn key(partition: i32) -> TopicPartition {
        TopicPartition { topic: TopicIndex(0), partition }
    }

    impl Fixture {
        fn new(begin_and_step_ms: [(i64, i64); 3], is_source: [bool; 3]) -> Fixture {
            let cluster = MockCluster::new(1).unwrap();
            cluster.create_topic("t", PARTITIONS, 1).unwrap();
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "lanes");
            let producer: BaseProducer = config.create().unwrap();
            for (partition, (begin_ms, step_ms)) in (0..).zip(begin_and_step_ms) {
                for number in 0..EACH {
                    let record = BaseRecord::<[u8], [u8]>::to("t").partition(partition).payload(b"x");
                    producer.send(record.timestamp(begin_ms + number * step_ms)).map_err(|(error, _)| error).unwrap();
                }
            }
            producer.flush(Duration::from_secs(30)).unwrap();
            let consumer: BaseConsumer<Context> = config.create_with_context(Context::default()).unwrap();
            let consumer = Arc::new(consumer);
            let mut list = TopicPartitionList::new();
            for partition in 0..PARTITIONS {
                list.add_partition_offset("t", partition, Offset::Beginning).unwrap();
            }
            consumer.assign(&list).unwrap();
            consumer.pause(&list).unwrap();
            let mut lanes = Lanes::default();
            for (partition, is_source) in (0..).zip(is_source) {
                lanes.add(&consumer, key(partition), "t", is_source).unwrap();
                lanes.start(key(partition), 0);
            }
            consumer.resume(&list).unwrap();
            for partition in 0..PARTITIONS {
                lanes.open(key(partition));
            }
            Fixture { lanes, delivered: Vec::new(), _consumer: consumer, _cluster: cluster }
        }

        /// Polls until `enough` says so.
        fn deliver(
            &mut self,
            limit: usize,
            to_come: &ToCome<'_>,
            enough: impl Fn(&[(TopicPartition, i64, i64)]) -> bool,
        ) {
            for _ in 0..6_000 {
                if enough(&self.delivered) {
                    return;
                }
                let delivered = &mut self.delivered;
                let delivery = self.lanes.deliver(Duration::from_millis(10), limit, to_come, &mut |record| {
                    delivered.push((record.from, record.timestamp_ms, record.offset));
                    Ok(ControlFlow::Continue(()))
                });
                assert!(delivery.failures.is_empty(), "{:?}", delivery.failures);
            }
            panic!("what was waited for does not come; delivered: {}", self.delivered.len());
        }
    }

    fn count(delivered: &[(TopicPartition, i64, i64)], partition: i32) -> i64 {
        delivered.iter().filter(|(from, _, _)| *from == key(partition)).map(|_| 1).sum()
    }

    fn all(delivered: &[(TopicPartition, i64, i64)]) -> bool {
        delivered.len() as i64 == EACH * i64::from(PARTITIONS)
    }

    fn assert_each_once(delivered: &[(TopicPartition, i64, i64)]) {
        let mut next: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        for (from, _, offset) in delivered {
            let next = next.entry(*from).or_default();
            assert_eq!(offset, next, "of {from:?}");
            *next += 1;
        }
    }

    #[test]
    fn sources_with_a_backlog_are_read_side_by_side() {
        // The second is dense where the first is thin; the third begins when they are half through.
        let mut fixture = Fixture::new([(0, 10), (0, 40), (3_000, 10)], [true; 3]);
        let backlog = |_, _| Some(i64::MAX);
        // Until all were fetched, nobody knows whose turn it is.
        let begun = |delivered: &[(TopicPartition, i64, i64)]| (0..PARTITIONS).all(|it| count(delivered, it) > 0);
        fixture.deliver(1, &backlog, begun);
        let begun = fixture.delivered.len();
        fixture.deliver(50, &backlog, all);
        assert_each_once(&fixture.delivered);
        let mut last: BTreeMap<TopicPartition, (i64, i64)> = BTreeMap::new();
        for (index, (from, at_ms, _)) in fixture.delivered.iter().enumerate() {
            let number = last.get(from).map_or(0, |(_, number)| *number) + 1;
            last.insert(*from, (*at_ms, number));
            for (other, (other_ms, number)) in &last {
                // A turn may run ahead by as many records as it has, of 40 ms at most.
                let allowed = 40 * TURN as i64;
                assert!(
                    index < begun || *number == EACH || at_ms - other_ms <= allowed,
                    "record {index}: {from:?} is at {at_ms}, {other:?} at {other_ms}"
                );
            }
        }
    }

    #[test]
    fn who_has_no_backlog_is_not_held_up_by_who_has() {
        let mut fixture = Fixture::new([(0, 1), (0, 1), (1_000_000, 1)], [true; 3]);
        let to_come = |key: TopicPartition, _| Some(if key.partition == 2 { BACKLOG_RECORDS } else { i64::MAX });
        fixture.deliver(64, &to_come, |delivered| count(delivered, 2) == EACH);
        assert!(!all(&fixture.delivered), "by time it would have been the last");
        fixture.deliver(64, &to_come, all);
        assert_each_once(&fixture.delivered);
    }

    #[test]
    fn the_hubs_own_topics_go_before_sources() {
        let mut fixture = Fixture::new([(0, 1), (1_000_000, 1), (0, 1)], [true, false, true]);
        let backlog = |_, _| Some(i64::MAX);
        let begun = |delivered: &[(TopicPartition, i64, i64)]| count(delivered, 1) > 0;
        fixture.deliver(1, &backlog, begun);
        let before = fixture.delivered.len();
        fixture.deliver(500, &backlog, |delivered| count(delivered, 1) == EACH);
        let rest = &fixture.delivered[before..];
        let first_source = rest.iter().position(|(from, _, _)| from.partition != 1).unwrap_or(rest.len());
        assert_eq!(
            first_source as i64,
            EACH - count(&fixture.delivered[..before], 1),
            "all that was at hand came first"
        );
    }

    #[test]
    fn what_is_suspended_waits_and_nothing_of_it_is_lost() {
        let mut fixture = Fixture::new([(0, 1), (0, 1), (0, 1)], [true; 3]);
        let to_come = |_, _| Some(i64::MAX);
        fixture.deliver(16, &to_come, |delivered| count(delivered, 0) > 0);
        fixture.lanes.suspend(key(0), true);
        let before = count(&fixture.delivered, 0);
        fixture.deliver(16, &to_come, |delivered| count(delivered, 1) == EACH && count(delivered, 2) == EACH);
        assert_eq!(count(&fixture.delivered, 0), before);
        assert_eq!(fixture.lanes.position(key(0)), Some((before, false)));
        fixture.lanes.suspend(key(0), false);
        fixture.deliver(16, &to_come, all);
        assert_each_once(&fixture.delivered);
    }
}
