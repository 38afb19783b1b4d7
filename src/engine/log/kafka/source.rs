//! The reading half: one consumer of the application's group. Rebalances are noted while polling and answered by the
//! worker, so that it commits before it gives partitions up.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
};

use super::{
    PATIENCE,
    changelog::KafkaChangelog,
    clients::{Context, KafkaOptions, PartitionFigures, Rebalanced},
    sink::Group,
};
use crate::engine::{
    log::{ChangelogReader, Headers, LogError, Membership, Record, Source, TopicPartition},
    stage::Topology,
    topics::Topics,
};

/// One try of a request.
const TRY: Duration = Duration::from_secs(5);

/// The reading half of a worker's log on Kafka.
pub struct KafkaSource {
    consumer: BaseConsumer<Context>,
    context: Context,
    topics: Arc<Topics>,
    group: Group,
    changelog_config: ClientConfig,
    committed_reader: Arc<BaseConsumer>,
    uncommitted_reader: BaseConsumer,
    /// Where each assigned partition was told to begin; gone once it was resumed.
    fresh: BTreeMap<TopicPartition, Option<i64>>,
    owned: BTreeSet<TopicPartition>,
    positions: BTreeMap<TopicPartition, i64>,
    events: VecDeque<Membership>,
}

impl Drop for KafkaSource {
    /// Closing the consumer waits until every rebalance is answered, those that the worker did not come to included.
    fn drop(&mut self) {
        self.context.closing.store(true, std::sync::atomic::Ordering::Relaxed);
        while let Some(event) = self.membership() {
            let answered = match &event {
                Membership::Assigned(list) => self.consumer.incremental_assign(&self.list(list)),
                Membership::Revoked(list) | Membership::Lost(list) => {
                    self.consumer.incremental_unassign(&self.list(list))
                }
            };
            if let Err(error) = answered {
                tracing::debug!(target: "kafka", "giving partitions up while leaving: {error}");
            }
        }
    }
}

/// Looked up only by who reads them: the client parses them anew for each message.
struct KafkaHeaders<'a>(&'a BorrowedMessage<'a>);

impl Headers for KafkaHeaders<'_> {
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for header in self.0.headers().iter().flat_map(|headers| headers.iter()) {
            each(header.key, header.value);
        }
    }
}

impl KafkaSource {
    pub(super) fn connect(
        options: &KafkaOptions,
        topology: &Topology,
        worker: usize,
        group: Group,
    ) -> Result<KafkaSource, LogError> {
        let refused = |error: KafkaError| LogError::Stop(format!("the Kafka client refuses its settings: {error}"));
        let context = Context::default();
        let consumer: BaseConsumer<Context> =
            options.consumer(&topology.application_id, worker).create_with_context(context.clone()).map_err(refused)?;
        let names: Vec<&str> = topology
            .stages
            .iter()
            .flat_map(|stage| &stage.inputs)
            .map(|topic| &*topology.topics.get(*topic).name)
            .collect();
        consumer.subscribe(&names).map_err(refused)?;
        Ok(KafkaSource {
            consumer,
            context,
            topics: topology.topics.clone(),
            group,
            changelog_config: options.changelog_reader(&topology.application_id),
            committed_reader: Arc::new(options.offsets_reader(true).create().map_err(refused)?),
            uncommitted_reader: options.offsets_reader(false).create().map_err(refused)?,
            fresh: BTreeMap::new(),
            owned: BTreeSet::new(),
            positions: BTreeMap::new(),
            events: VecDeque::new(),
        })
    }

    pub(super) fn partition_figures(&self) -> BTreeMap<(Arc<str>, i32), PartitionFigures> {
        self.context.figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn list(&self, partitions: &[TopicPartition]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for key in partitions {
            list.add_partition(&self.topics.get(key.topic).name, key.partition);
        }
        list
    }

    fn known(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        let elements = list.elements();
        let known = elements.iter().filter_map(|element| {
            let topic = self.topics.find(element.topic())?;
            Some(TopicPartition { topic, partition: element.partition() })
        });
        known.collect()
    }

    fn note_rebalances(&mut self) {
        let noted: Vec<Rebalanced> =
            self.context.rebalanced.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..).collect();
        for event in noted {
            let event = match &event {
                Rebalanced::Assigned(list) => Membership::Assigned(self.known(list)),
                Rebalanced::Revoked(list) => Membership::Revoked(self.known(list)),
                Rebalanced::Lost(list) => Membership::Lost(self.known(list)),
            };
            self.events.push_back(event);
        }
    }

    /// Where a partition begins that nobody has read yet: a commit may cover it before its first record, and retention
    /// may have moved its beginning away from 0.
    fn beginning(&self, key: TopicPartition, deadline: Instant) -> Result<i64, LogError> {
        let topic = &self.topics.get(key.topic).name;
        loop {
            match self.uncommitted_reader.fetch_watermarks(topic, key.partition, TRY) {
                Ok((beginning, _)) => return Ok(beginning),
                Err(error) if Instant::now() >= deadline => {
                    return Err(LogError::Stop(format!("the beginning of {topic} cannot be found: {error}")));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn read_error(&self, error: &KafkaError) -> Result<(), LogError> {
        if let Some(reason) = self.context.fatal.get() {
            return Err(LogError::Stop(reason));
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Err(LogError::Stop(format!(
                    "the committed offset of a source partition is no longer in its topic ({error}): retention has removed \
                 records that were not read. Going on would lose them: decide, and reset the offset of group {:?} by hand",
                    self.changelog_config.get("group.id").unwrap_or_default()
                )))
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(LogError::Stop(format!("a topic may not be read: {error}; grant READ and DESCRIBE on it")))
            }
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                Err(LogError::Stop(format!("the group may not be joined: {error}; grant READ on it")))
            }
            Some(RDKafkaErrorCode::FencedInstanceId) => Err(LogError::Stop(
                "another process runs under the same hub.instance_id; give each instance its own".into(),
            )),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                Err(LogError::Stop(format!("a topic does not exist: {error}; run `insight-hub topics apply`")))
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                Err(LogError::Stop(format!("the Kafka client gave up: {error}")))
            }
            // Connections come back by themselves.
            _ => {
                tracing::warn!(target: "kafka", "reading: {error}");
                Ok(())
            }
        }
    }
}

impl Source for KafkaSource {
    fn poll(
        &mut self,
        wait: Duration,
        limit: usize,
        each: &mut dyn FnMut(&Record<'_>) -> Result<ControlFlow<()>, LogError>,
    ) -> Result<usize, LogError> {
        let mut taken = 0;
        // The partition of the last record and the offset after it, noted when another partition's turn comes.
        let mut last: Option<(String, TopicPartition, i64)> = None;
        let mut outcome = Ok(());
        while taken < limit {
            let message = match self.consumer.poll(if taken == 0 { wait } else { Duration::ZERO }) {
                None => break,
                Some(Err(error)) => {
                    outcome = self.read_error(&error);
                    break;
                }
                Some(Ok(message)) => message,
            };
            let topic = message.topic();
            let from = match &mut last {
                Some((name, key, next)) if name == topic && key.partition == message.partition() => {
                    *next = message.offset() + 1;
                    *key
                }
                _ => {
                    let Some(index) = self.topics.find(topic) else { continue };
                    let key = TopicPartition { topic: index, partition: message.partition() };
                    if let Some((_, key, next)) = last.replace((topic.to_owned(), key, message.offset() + 1)) {
                        self.positions.insert(key, next);
                    }
                    key
                }
            };
            taken += 1;
            let flow = each(&Record {
                from,
                offset: message.offset(),
                timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
                key: message.key(),
                value: message.payload(),
                headers: &KafkaHeaders(&message),
            });
            match flow {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if let Some((_, key, next)) = last {
            self.positions.insert(key, next);
        }
        // Fresh after each poll: it carries the generation that the offsets are committed under.
        *self.group.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = self.consumer.group_metadata();
        self.note_rebalances();
        outcome?;
        match self.context.fatal.get() {
            Some(reason) => Err(LogError::Stop(reason)),
            None => Ok(taken),
        }
    }

    fn membership(&mut self) -> Option<Membership> {
        self.note_rebalances();
        self.events.pop_front()
    }

    fn accept(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, LogError> {
        let committed = self.committed(partitions)?;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (key, offset) in partitions.iter().zip(&committed) {
            let offset = offset.map_or(Offset::Beginning, Offset::Offset);
            list.add_partition_offset(&self.topics.get(key.topic).name, key.partition, offset)
                .map_err(|error| LogError::Stop(format!("an assignment cannot be taken: {error}")))?;
        }
        self.consumer
            .incremental_assign(&list)
            .and_then(|()| self.consumer.pause(&self.list(partitions)))
            .map_err(|error| LogError::Stop(format!("an assignment cannot be taken: {error}")))?;
        for (key, offset) in partitions.iter().zip(&committed) {
            self.fresh.insert(*key, *offset);
            self.owned.insert(*key);
        }
        Ok(committed)
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Read-committed clients are given stable offsets only: a pending transaction is waited for.
            let answer = self.consumer.committed_offsets(self.list(partitions), TRY);
            let failure = match &answer {
                Err(error) => Some(error.clone()),
                Ok(list) => list.elements().iter().find_map(|element| element.error().err()),
            };
            match (answer, failure) {
                (Ok(list), None) => {
                    let found = |key: &TopicPartition| {
                        let topic = &self.topics.get(key.topic).name;
                        match list.find_partition(topic, key.partition).map(|element| element.offset()) {
                            Some(Offset::Offset(offset)) => Some(offset),
                            _ => None,
                        }
                    };
                    let mut offsets: Vec<Option<i64>> = partitions.iter().map(found).collect();
                    for (key, offset) in partitions.iter().zip(&mut offsets).filter(|(_, offset)| offset.is_none()) {
                        *offset = Some(self.beginning(*key, deadline)?);
                    }
                    return Ok(offsets);
                }
                (_, Some(error)) if Instant::now() >= deadline => {
                    return Err(LogError::Stop(format!("the committed offsets cannot be read: {error}")));
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn start(&mut self, partition: TopicPartition, offset: Option<i64>) -> Result<(), LogError> {
        let topic = self.topics.get(partition.topic).name.clone();
        if self.fresh.remove(&partition) != Some(offset) {
            let target = offset.map_or(Offset::Beginning, Offset::Offset);
            let deadline = Instant::now() + PATIENCE;
            // Paused first: nothing of the old position may be delivered any more.
            self.pause(&[partition], true)?;
            while let Err(error) = self.consumer.seek(&topic, partition.partition, target, TRY) {
                if Instant::now() >= deadline {
                    return Err(LogError::Stop(format!("{topic} cannot be read from {target:?}: {error}")));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.positions.insert(partition, offset.unwrap_or(0));
        self.pause(&[partition], false)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        for key in partitions {
            self.fresh.remove(key);
            self.owned.remove(key);
            self.positions.remove(key);
        }
        if let Err(error) = self.consumer.incremental_unassign(&self.list(partitions)) {
            tracing::warn!(target: "kafka", "giving partitions up: {error}");
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<(), LogError> {
        let list = self.list(partitions);
        let outcome = if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        outcome.map_err(|error| LogError::Stop(format!("a partition cannot be paused or resumed: {error}")))
    }

    fn lag(&self, partition: TopicPartition) -> Option<i64> {
        let figures = self.context.figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (self.topics.get(partition.topic).name.clone(), partition.partition);
        let end = figures.get(&key)?.last_stable_offset;
        Some((end - self.positions.get(&partition)?).max(0))
    }

    fn is_at_end(&self, partition: TopicPartition) -> bool {
        let figures = self.context.figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (self.topics.get(partition.topic).name.clone(), partition.partition);
        figures.get(&key).is_some_and(|figures| figures.at_end)
    }

    fn changelog(
        &mut self,
        partition: TopicPartition,
        from: Option<i64>,
    ) -> Result<Box<dyn ChangelogReader>, LogError> {
        let topic = self.topics.get(partition.topic).name.clone();
        let deadline = Instant::now() + PATIENCE;
        let (begin, end) = loop {
            match self.uncommitted_reader.fetch_watermarks(&topic, partition.partition, TRY) {
                Ok(watermarks) => break watermarks,
                Err(error) if Instant::now() >= deadline => {
                    return Err(LogError::Stop(format!("the changelog {topic} cannot be read: {error}")));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        };
        let position = from.unwrap_or(begin);
        if position < begin || position > end {
            return Err(LogError::OutOfRange(format!(
                "the store of {topic}/{} is at offset {position}, the changelog holds {begin} to {end}",
                partition.partition
            )));
        }
        KafkaChangelog::open(
            &self.changelog_config,
            self.committed_reader.clone(),
            &topic,
            partition.partition,
            position,
            end,
        )
    }
}
