//! The reading half: one consumer of the application's group. Rebalances are noted while polling and answered by the
//! worker, so that it commits before it gives partitions up.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::{ControlFlow, Range},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    PATIENCE,
    changelog::KafkaChangelog,
    clients::{Context, KafkaOptions, PartitionFigures, Rebalanced},
    lanes::Lanes,
    sink::Group,
    watermarks::watermarks,
};
use crate::engine::{
    log::{ChangelogReader, Ends, LogError, Membership, Record, Source, TopicPartition},
    stage::Topology,
    topics::{Ownership, TopicIndex, Topics},
};

/// One try of a request.
const TRY: Duration = Duration::from_secs(5);
/// How long a client that gave up is listened to before it is closed, and how long it must have been silent; its last word
/// comes within milliseconds.
const LAST_WORDS: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(200);
/// Errors and events taken by one poll.
const EVENTS_MAX: usize = 100;
/// How often a static member takes its place back within [`FENCED_WINDOW`]. A join whose answer a dying broker lost costs
/// one or two; two processes under one name take the place from each other until one of them must give up.
const FENCED_MAX: usize = 4;
/// The next heartbeat tells who was fenced: two processes under one name use this up in half of it.
const FENCED_WINDOW: Duration = Duration::from_secs(60);
/// A broker that starts may not know a topic yet. One that it does not know for so long does not exist.
const MISSING_MAX: Duration = Duration::from_secs(30);

/// The reading half of a worker's log on Kafka.
pub struct KafkaSource {
    config: ClientConfig,
    consumer: Arc<BaseConsumer<Context>>,
    context: Context,
    topics: Arc<Topics>,
    /// The topics of the subscription.
    inputs: Vec<TopicIndex>,
    /// The cluster's own id, once it has told.
    cluster: Option<String>,
    group: Group,
    changelog_config: ClientConfig,
    committed_reader: Arc<BaseConsumer>,
    uncommitted_reader: BaseConsumer,
    /// Where each assigned partition was told to begin; gone once it was resumed.
    fresh: BTreeMap<TopicPartition, Option<i64>>,
    /// What it owns, and what is read next.
    lanes: Lanes,
    /// Partitions that are not read because the client did not yet go where it was told to.
    unsought: BTreeMap<TopicPartition, Unsought>,
    /// Since when a partition is read where its records have been deleted, though the group is past them.
    behind_since: Option<Instant>,
    events: VecDeque<Membership>,
    /// When this member was told of late that another has its place.
    fenced: VecDeque<Instant>,
    /// What the worker is to give up next was a former consumer's: nobody waits for the answer.
    disowned: bool,
    /// Since when a topic has been missing, and when it was looked for last.
    missing: Option<(Instant, Instant)>,
}

/// Where a partition is to go on.
#[derive(Clone, Copy)]
struct Unsought {
    offset: Option<i64>,
    since: Instant,
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.leave();
        // The queues first: a client that is closed while one is held waits for it for ever.
        self.lanes.clear();
    }
}

/// A new member of the group.
fn join(
    config: &ClientConfig,
    context: &Context,
    topics: &Topics,
    inputs: &[TopicIndex],
) -> Result<Arc<BaseConsumer<Context>>, LogError> {
    let refused = |error: KafkaError| LogError::Stop(format!("the Kafka client refuses its settings: {error}"));
    let consumer: BaseConsumer<Context> = config.create_with_context(context.clone()).map_err(refused)?;
    let names: Vec<&str> = inputs.iter().map(|topic| &*topics.get(*topic).name).collect();
    consumer.subscribe(&names).map_err(refused)?;
    Ok(Arc::new(consumer))
}

impl KafkaSource {
    /// Closing a consumer waits until every rebalance is answered, those that the worker did not come to included.
    fn leave(&mut self) {
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
        // A client that gave up is not polled while it closes (it refuses to be closed by the binding), and would wait for ever
        // for an answer to what it still has to tell: what it was assigned last, or that it lost what it owned.
        let (deadline, mut silence) = (Instant::now() + LAST_WORDS, Duration::ZERO);
        while self.gave_up() && silence < SILENCE && Instant::now() < deadline {
            const WAIT: Duration = Duration::from_millis(20);
            let owns = self.consumer.assignment().is_ok_and(|list| list.count() > 0);
            silence = if self.consumer.poll(WAIT).is_some() || owns { Duration::ZERO } else { silence + WAIT };
        }
        if self.gave_up()
            && let Err(error) = self.consumer.unassign()
        {
            tracing::debug!(target: "kafka", "giving everything up while leaving: {error}");
        }
    }

    pub(super) fn connect(
        options: &KafkaOptions,
        topology: &Topology,
        worker: usize,
        group: Group,
    ) -> Result<KafkaSource, LogError> {
        let refused = |error: KafkaError| LogError::Stop(format!("the Kafka client refuses its settings: {error}"));
        let context = Context::default();
        let config = options.consumer(&topology.application_id, worker);
        let inputs: Vec<TopicIndex> = topology.stages.iter().flat_map(|stage| stage.inputs.iter().copied()).collect();
        Ok(KafkaSource {
            consumer: join(&config, &context, &topology.topics, &inputs)?,
            config,
            context,
            topics: topology.topics.clone(),
            inputs,
            cluster: None,
            group,
            changelog_config: options.changelog_reader(&topology.application_id),
            committed_reader: Arc::new(options.offsets_reader(true).create().map_err(refused)?),
            uncommitted_reader: options.offsets_reader(false).create().map_err(refused)?,
            fresh: BTreeMap::new(),
            lanes: Lanes::default(),
            unsought: BTreeMap::new(),
            behind_since: None,
            events: VecDeque::new(),
            fenced: VecDeque::new(),
            disowned: false,
            missing: None,
        })
    }

    fn figures(&self, partition: TopicPartition) -> Option<PartitionFigures> {
        self.context.figures_of(&self.topics.get(partition.topic).name, partition.partition)
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
            self.context.rebalanced.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for event in noted {
            let event = match &event {
                Rebalanced::Assigned(list) => Membership::Assigned(self.known(list)),
                Rebalanced::Revoked(list) => Membership::Revoked(self.known(list)),
                Rebalanced::Lost(list) => Membership::Lost(self.known(list)),
            };
            self.events.push_back(event);
        }
    }

    /// Where a partition begins and ends: a commit may cover one that nobody has read before its first record, and retention
    /// may have moved its beginning away from 0.
    fn watermarks(&self, key: TopicPartition, patience: Duration) -> Result<Range<i64>, LogError> {
        let topic = &self.topics.get(key.topic).name;
        match watermarks(&self.uncommitted_reader, topic, key.partition, patience) {
            Ok((beginning, end)) => Ok(beginning..end),
            Err(error) => Err(LogError::Stop(format!("the ends of {topic} cannot be asked for: {error}"))),
        }
    }

    /// The broker gave this static member's place to another: to itself, when the answer to a join was lost with a
    /// dying broker and the join repeated; or to a second process under the same name. A new consumer takes it back, but
    /// not for ever.
    fn rejoin(&mut self) -> Result<(), LogError> {
        let now = Instant::now();
        self.fenced.retain(|at| now.duration_since(*at) < FENCED_WINDOW);
        self.fenced.push_back(now);
        let name = self.config.get("group.instance.id").unwrap_or_default();
        if self.fenced.len() > FENCED_MAX {
            return Err(LogError::Stop(format!(
                "another process runs under the same hub.instance_id and takes the place of {name:?} in the group again and \
                 again; give each instance its own"
            )));
        }
        tracing::warn!(target: "kafka", member = name, times = self.fenced.len(), "fenced in the group: joining anew");
        // What it owned is lost; what it had begun to commit under the old membership must not be committed under the new.
        self.leave();
        let owned = self.lanes.clear();
        let context = Context { rebalanced: Arc::default(), closing: Arc::default(), ..self.context.clone() };
        self.consumer = join(&self.config, &context, &self.topics, &self.inputs)?;
        self.context = context;
        self.group.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.fresh.clear();
        self.unsought.clear();
        self.events.clear();
        if !owned.is_empty() {
            self.disowned = true;
            self.events.push_back(Membership::Lost(owned));
        }
        Ok(())
    }

    /// Looks for a topic that the broker said it does not know, once a second.
    fn look_for_missing(&mut self) -> Result<(), LogError> {
        let Some((since, looked)) = self.missing.filter(|(_, looked)| looked.elapsed() > Duration::from_secs(1)) else {
            return Ok(());
        };
        let mut waiting_since = since;
        let mut absent = None;
        for topic in &self.inputs {
            let name = &self.topics.get(*topic).name;
            match self.uncommitted_reader.fetch_metadata(Some(name), Duration::from_secs(1)) {
                Ok(found) if found.topics().iter().any(|it| it.error().is_none() && !it.partitions().is_empty()) => {}
                Ok(_) => absent = Some(name.clone()),
                // Nobody answers: that says nothing about topics.
                Err(_) => {
                    waiting_since = since + looked.elapsed();
                    absent = Some(name.clone());
                    break;
                }
            }
        }
        let Some(name) = absent else {
            self.missing = None;
            tracing::info!(target: "kafka", "every topic is there again");
            return Ok(());
        };
        if waiting_since.elapsed() > MISSING_MAX {
            return Err(LogError::Stop(format!("the topic {name} does not exist; run `insight-hub topics apply`")));
        }
        self.missing = Some((waiting_since, Instant::now()));
        Ok(())
    }

    /// Sends partitions where they are to go on. The client refuses while it is about to lose them, of which only the next
    /// poll tells: so nobody waits here, and what was refused is tried again with each poll.
    fn seek(&mut self) -> Result<(), LogError> {
        for (partition, Unsought { offset, since }) in self.unsought.clone() {
            let topic = self.topics.get(partition.topic).name.clone();
            let target = offset.map_or(Offset::Beginning, Offset::Offset);
            match self.consumer.seek(&topic, partition.partition, target, TRY) {
                Ok(()) => {
                    self.unsought.remove(&partition);
                    self.open(partition)?;
                }
                Err(error) if since.elapsed() > PATIENCE && !self.gave_up() => {
                    return Err(LogError::Stop(format!("{topic} cannot be read from {target:?}: {error}")));
                }
                // The rest would wait as long.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// The client is where it was sent to: it fetches, and what it fetched is read.
    fn open(&mut self, partition: TopicPartition) -> Result<(), LogError> {
        self.consumer
            .resume(&self.list(&[partition]))
            .map_err(|error| LogError::Stop(format!("a partition cannot be resumed: {error}")))?;
        self.lanes.open(partition);
        Ok(())
    }

    /// Whether the client will do nothing more, of which the next poll tells: until then every answer is as good.
    fn gave_up(&self) -> bool {
        self.consumer.client().fatal_error().is_some()
    }

    /// What to do about it.
    fn give_up(&mut self) -> Result<(), LogError> {
        match self.consumer.client().fatal_error() {
            Some((RDKafkaErrorCode::FencedInstanceId, _)) => self.rejoin(),
            Some((_, reason)) => Err(LogError::Stop(format!("the Kafka client gave up: {reason}"))),
            None => Ok(()),
        }
    }

    /// Records that the client asked for are gone. That ends the hub if they were not read: the group has not committed past
    /// them. A member that was away for longer than it may be asks for what others have read, and what was read is deleted,
    /// until it hears that its partitions are theirs; where it is itself, it is sent there again, since the client has given up.
    fn look_into(&mut self, reason: String) -> Result<(), LogError> {
        let positions = self.lanes.positions();
        let committed = self.committed(&positions.iter().map(|(key, _)| *key).collect::<Vec<_>>())?;
        let (now, mut is_behind) = (Instant::now(), false);
        for ((key, position), committed) in positions.iter().zip(committed) {
            let beginning = self.watermarks(*key, PATIENCE)?.start;
            if *position < beginning {
                let is_lost = committed.is_none_or(|committed| committed < beginning);
                let since = *self.behind_since.get_or_insert(now);
                if is_lost || since.elapsed() > PATIENCE {
                    return Err(LogError::Stop(reason));
                }
                is_behind = true;
            }
        }
        if is_behind {
            return Ok(()); // one of the next polls tells that it was lost
        }
        self.context.out_of_range.clear();
        self.behind_since = None;
        // It may have been about one that is not read yet: each of those is sent to its place before it is.
        self.fresh.clear();
        for (key, position) in positions {
            self.unsought.entry(key).or_insert(Unsought { offset: Some(position), since: now });
        }
        Ok(())
    }

    fn read_error(&mut self, error: &KafkaError) -> Result<(), LogError> {
        if let Some(reason) = self.context.fatal.get() {
            return Err(LogError::Stop(reason));
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.context.out_of_range.set(format!(
                    "the committed offset of a source partition is no longer in its topic ({error}): retention has removed \
                 records that were not read. Going on would lose them: decide, and reset the offset of group {:?} by hand",
                    self.changelog_config.get("group.id").unwrap_or_default()
                ));
                Ok(())
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Err(LogError::Stop(format!("a topic may not be read: {error}; grant READ and DESCRIBE on it")))
            }
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                Err(LogError::Stop(format!("the group may not be joined: {error}; grant READ on it")))
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                let now = Instant::now();
                self.missing.get_or_insert((now, now));
                Ok(())
            }
            // Connections and coordinators come back by themselves; the context has told of it.
            _ => Ok(()),
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
        let mut outcome = if self.unsought.is_empty() { Ok(()) } else { self.seek() };
        // Records have queues of their own. Here come rebalances and errors: what comes behind one, such as a lost
        // assignment, must not wait for another round each.
        let mut failures = Vec::new();
        for _ in 0..EVENTS_MAX {
            match self.consumer.poll(Duration::ZERO) {
                None => break,
                Some(Err(error)) => failures.push(error),
                Some(Ok(message)) => {
                    let (topic, partition) = (message.topic(), message.partition());
                    outcome = outcome.and(Err(LogError::Stop(format!("{topic}/{partition} has no queue"))));
                }
            }
        }
        let wait = if failures.is_empty() && outcome.is_ok() { wait } else { Duration::ZERO };
        let (context, topics) = (&self.context, &self.topics);
        let to_come = |key: TopicPartition, position: i64| {
            context.figures_of(&topics.get(key.topic).name, key.partition).map(|figures| figures.to_come(position))
        };
        let delivery = self.lanes.deliver(wait, limit, &to_come, each);
        let taken = delivery.taken;
        outcome = outcome.and(delivery.outcome.map(drop));
        failures.extend(delivery.failures);
        for error in failures {
            outcome = outcome.and_then(|()| self.read_error(&error));
        }
        if self.gave_up() {
            // The event of it may be far behind in the queue, and until then nothing would be committed.
            outcome = outcome.and_then(|()| self.give_up());
        }
        // Fresh after each poll: it carries the generation that the offsets are committed under. A member that owns nothing
        // has nothing to commit, and one that has not joined would not be fenced.
        let group = if self.lanes.is_empty() { None } else { self.consumer.group_metadata() };
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = group;
        self.note_rebalances();
        outcome?;
        self.look_for_missing()?;
        if let Some(reason) = self.context.out_of_range.get() {
            self.look_into(reason)?;
        }
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
        let taken = self.consumer.incremental_assign(&list).and_then(|()| self.consumer.pause(&self.list(partitions)));
        match taken {
            Err(error) if !self.gave_up() => {
                return Err(LogError::Stop(format!("an assignment cannot be taken: {error}")));
            }
            _ => {}
        }
        for (key, offset) in partitions.iter().zip(&committed) {
            let topic = self.topics.get(key.topic);
            self.fresh.insert(*key, *offset);
            self.lanes.add(&self.consumer, *key, &topic.name, topic.ownership == Ownership::Spoke)?;
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
                        *offset =
                            Some(self.watermarks(*key, deadline.saturating_duration_since(Instant::now()))?.start);
                    }
                    return Ok(offsets);
                }
                (_, Some(error)) if Instant::now() >= deadline => {
                    return Err(LogError::Stop(format!(
                        "the committed offsets cannot be read: {error}; the brokers are away, or a transaction on them does not end"
                    )));
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn retained(&mut self, partition: TopicPartition) -> Result<Range<i64>, LogError> {
        self.watermarks(partition, PATIENCE)
    }

    fn start(&mut self, partition: TopicPartition, offset: Option<i64>) -> Result<(), LogError> {
        if !self.lanes.has(partition) {
            return Ok(()); // lost with a former consumer: the worker is told next
        }
        self.lanes.start(partition, offset.unwrap_or(0));
        if self.fresh.remove(&partition) == Some(offset) {
            self.unsought.remove(&partition);
            return self.open(partition);
        }
        self.unsought.insert(partition, Unsought { offset, since: Instant::now() });
        self.seek()
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        for key in partitions {
            self.fresh.remove(key);
            self.lanes.remove(*key);
            self.unsought.remove(key);
        }
        if std::mem::take(&mut self.disowned) {
            return Ok(());
        }
        if let Err(error) = self.consumer.incremental_unassign(&self.list(partitions)) {
            tracing::warn!(target: "kafka", "giving partitions up: {error}");
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<(), LogError> {
        // What was fetched of them waits in their queues.
        for key in partitions {
            self.lanes.suspend(*key, paused);
        }
        Ok(())
    }

    fn lag(&self, partition: TopicPartition) -> Option<i64> {
        let figures = self.figures(partition)?;
        let (position, is_dry) = self.lanes.position(partition)?;
        if is_dry && figures.at_end {
            // What is left are markers of transactions and records of aborted ones: nobody will ever be given them.
            return Some(0);
        }
        Some(figures.to_come(position))
    }

    fn is_at_end(&self, partition: TopicPartition) -> bool {
        self.figures(partition).is_some_and(|figures| figures.at_end)
    }

    fn ends(&self) -> Vec<(TopicPartition, Ends)> {
        let figures = self.context.figures.lock().unwrap_or_else(PoisonError::into_inner);
        let known = figures.iter().filter_map(|((topic, partition), figures)| {
            let key = TopicPartition { topic: self.topics.find(topic)?, partition: *partition };
            let PartitionFigures { high_watermark, last_stable_offset, .. } = *figures;
            Some((key, Ends { high_watermark, last_stable_offset }))
        });
        known.collect()
    }

    fn identity(&mut self, changelog: TopicPartition) -> Result<String, LogError> {
        let deadline = Instant::now() + PATIENCE;
        while self.cluster.is_none() {
            self.cluster = self.consumer.client().fetch_cluster_id(TRY);
            if self.cluster.is_none() && Instant::now() >= deadline {
                return Err(LogError::Stop("the cluster does not tell its id; are the brokers up?".into()));
            }
        }
        let cluster = self.cluster.as_deref().unwrap_or_default();
        Ok(format!("{cluster}/{}/{}", self.topics.get(changelog.topic).name, changelog.partition))
    }

    fn changelog(
        &mut self,
        partition: TopicPartition,
        from: Option<i64>,
    ) -> Result<Box<dyn ChangelogReader>, LogError> {
        let topic = self.topics.get(partition.topic).name.clone();
        let Range { start, end } = self.watermarks(partition, PATIENCE)?;
        let position = from.unwrap_or(start);
        if position < start || position > end {
            return Err(LogError::OutOfRange(format!(
                "the store of {topic}/{} is at offset {position}, the changelog holds {start} to {end}",
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
