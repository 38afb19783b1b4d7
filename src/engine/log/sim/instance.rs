//! One instance's view of the simulated cluster: the log that a worker runs on.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::{ControlFlow, Range},
    panic::resume_unwind,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::cluster::{Cluster, CommittedRecord};
use crate::engine::log::{
    ChangelogReader, Log, LogError, Membership, Output, Placement, Record, Restored, Sink, Source, TopicPartition,
};

/// What a broker takes unless it was told to take more: Kafka's `message.max.bytes`, less what goes around a record.
const RECORD_BYTES_MAX: usize = 1_048_576;

/// The cluster, shared by the instances of one simulation.
pub type SharedCluster = Rc<RefCell<Cluster>>;

/// What the next commit of an instance is to run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommitFault {
    /// The offsets are refused: nothing happens.
    Refused,
    /// The answer is lost after the transaction was committed.
    UnknownCommitted,
    /// The request is lost: nothing happened, and nobody knows.
    UnknownNotCommitted,
    /// The instance is killed while its request is on its way, and the request arrives.
    KilledCommitted,
    /// The instance is killed while its request is on its way, and the request is lost.
    KilledNotCommitted,
}

/// What `resume_unwind` carries when an instance is killed inside a call.
pub(super) struct Killed;

/// The log of one instance.
pub struct SimLog {
    source: SimSource,
    sink: SimSink,
}

/// Its reading half.
pub struct SimSource {
    cluster: SharedCluster,
    member: Rc<RefCell<u64>>,
    random: StdRng,
    positions: BTreeMap<TopicPartition, i64>,
    paused: BTreeSet<TopicPartition>,
    owned: BTreeSet<TopicPartition>,
    events: VecDeque<Membership>,
    lost: bool,
}

/// Its writing half.
pub struct SimSink {
    cluster: SharedCluster,
    member: Rc<RefCell<u64>>,
    random: StdRng,
    name: String,
    epoch: u64,
    transaction: Option<u64>,
    queue: Vec<(TopicPartition, CommittedRecord)>,
    pub(super) fault: Option<CommitFault>,
    now_ms: i64,
}

impl SimLog {
    /// An instance joins. `name` is its transactional id; the old producer of that name is fenced.
    pub fn join(cluster: &SharedCluster, name: &str, seed: u64) -> SimLog {
        let epoch = cluster.borrow_mut().init_transactions(name);
        let member = Rc::new(RefCell::new(cluster.borrow_mut().join()));
        SimLog {
            source: SimSource {
                cluster: cluster.clone(),
                member: member.clone(),
                random: StdRng::seed_from_u64(seed),
                positions: BTreeMap::new(),
                paused: BTreeSet::new(),
                owned: BTreeSet::new(),
                events: VecDeque::new(),
                lost: false,
            },
            sink: SimSink {
                cluster: cluster.clone(),
                member,
                random: StdRng::seed_from_u64(seed ^ 0x5151),
                name: name.to_owned(),
                epoch,
                transaction: None,
                queue: Vec::new(),
                fault: None,
                now_ms: 0,
            },
        }
    }

    /// Its member id in the group.
    pub fn member(&self) -> u64 {
        *self.source.member.borrow()
    }

    pub(super) fn arm(&mut self, fault: CommitFault) {
        self.sink.fault = Some(fault);
    }
}

impl Log for SimLog {
    type Source = SimSource;
    type Sink = SimSink;

    fn halves(&mut self) -> (&mut SimSource, &mut SimSink) {
        (&mut self.source, &mut self.sink)
    }
}

impl Source for SimSource {
    fn poll(
        &mut self,
        _wait: Duration,
        limit: usize,
        each: &mut dyn FnMut(&Record<'_>) -> Result<ControlFlow<()>, LogError>,
    ) -> Result<usize, LogError> {
        let member = *self.member.borrow();
        if !self.cluster.borrow().is_member(member) {
            // Expired while it was away: everything is lost. It joins anew when the worker has answered.
            if !self.lost {
                self.lost = true;
                self.events.push_back(Membership::Lost(self.owned.iter().copied().collect()));
            }
            return Ok(0);
        }
        let mut taken = 0;
        let mut readable: Vec<_> = self.positions.keys().filter(|key| !self.paused.contains(key)).copied().collect();
        while taken < limit && !readable.is_empty() {
            let index = self.random.random_range(0..readable.len());
            let key = readable[index];
            let run = self.random.random_range(1..=limit.min(8));
            for _ in 0..run {
                let mut position = self.positions[&key];
                let record = self.cluster.borrow().next_visible(key, &mut position);
                self.positions.insert(key, position);
                let Some(record) = record else {
                    readable.swap_remove(index);
                    break;
                };
                taken += 1;
                let flow = each(&Record {
                    from: key,
                    offset: record.offset,
                    timestamp_ms: record.timestamp_ms,
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    headers: &record.headers,
                })?;
                if flow.is_break() {
                    return Ok(taken);
                }
                if taken >= limit {
                    break;
                }
            }
        }
        Ok(taken)
    }

    fn membership(&mut self) -> Option<Membership> {
        let own = self.events.pop_front();
        own.or_else(|| self.cluster.borrow_mut().next_event(*self.member.borrow()))
    }

    fn accept(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, LogError> {
        self.owned.extend(partitions);
        self.committed(partitions)
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, LogError> {
        Ok(self.cluster.borrow_mut().stable_offsets(partitions))
    }

    fn retained(&mut self, partition: TopicPartition) -> Result<Range<i64>, LogError> {
        let cluster = self.cluster.borrow();
        Ok(cluster.beginning(partition)..cluster.high_watermark(partition))
    }

    fn start(&mut self, partition: TopicPartition, offset: Option<i64>) -> Result<(), LogError> {
        self.positions.insert(partition, offset.unwrap_or(0));
        self.paused.remove(&partition);
        Ok(())
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        for partition in partitions {
            self.positions.remove(partition);
            self.paused.remove(partition);
            self.owned.remove(partition);
        }
        if std::mem::take(&mut self.lost) {
            *self.member.borrow_mut() = self.cluster.borrow_mut().join();
        } else {
            self.cluster.borrow_mut().release(*self.member.borrow(), partitions);
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<(), LogError> {
        for partition in partitions {
            if paused {
                self.paused.insert(*partition);
            } else {
                self.paused.remove(partition);
            }
        }
        Ok(())
    }

    fn lag(&self, partition: TopicPartition) -> Option<i64> {
        let position = self.positions.get(&partition)?;
        Some(self.cluster.borrow().last_stable_offset(partition) - position)
    }

    fn is_at_end(&self, partition: TopicPartition) -> bool {
        self.lag(partition) == Some(0)
    }

    fn identity(&mut self, changelog: TopicPartition) -> Result<String, LogError> {
        Ok(format!("simulation/{}/{}", changelog.topic.0, changelog.partition))
    }

    fn changelog(
        &mut self,
        partition: TopicPartition,
        from: Option<i64>,
    ) -> Result<Box<dyn ChangelogReader>, LogError> {
        let end = self.cluster.borrow().high_watermark(partition);
        let position = from.unwrap_or(0);
        if position > end {
            return Err(LogError::OutOfRange(format!("the store is at {position}, the changelog ends at {end}")));
        }
        Ok(Box::new(SimChangelog { cluster: self.cluster.clone(), partition, position, end }))
    }
}

struct SimChangelog {
    cluster: SharedCluster,
    partition: TopicPartition,
    position: i64,
    end: i64,
}

impl ChangelogReader for SimChangelog {
    fn read(
        &mut self,
        _budget: Duration,
        each: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), LogError>,
    ) -> Result<Restored, LogError> {
        for _ in 0..64 {
            let before = self.position;
            let record = self.cluster.borrow().next_visible(self.partition, &mut self.position);
            match record {
                // What was committed after the end was taken is nobody's but a successor's.
                Some(record) if record.offset >= self.end => {
                    self.position = before.max(self.end);
                    return Ok(Restored::Complete { position: self.position });
                }
                Some(record) => each(record.key.as_deref().unwrap_or_default(), record.value.as_deref())?,
                None if self.cluster.borrow().last_stable_offset(self.partition) >= self.end => {
                    return Ok(Restored::Complete { position: self.position.max(self.end) });
                }
                None => break,
            }
        }
        let remaining = u64::try_from(self.end - self.position).unwrap_or(0);
        Ok(Restored::More { remaining, position: self.position })
    }
}

impl SimSink {
    fn deliver(&mut self, share: usize) -> Result<(), LogError> {
        let Some(transaction) = self.transaction else {
            return Ok(());
        };
        let count = self.queue.len() * share / 100;
        let records = self.queue.drain(..count);
        self.cluster.borrow_mut().deliver(&self.name, self.epoch, transaction, records)
    }
}

impl Sink for SimSink {
    fn begin(&mut self) -> Result<(), LogError> {
        self.queue.clear();
        self.transaction = Some(self.cluster.borrow_mut().begin(&self.name, self.epoch)?);
        Ok(())
    }

    fn send(&mut self, output: &Output<'_>) -> Result<(), LogError> {
        let bytes = output.key.len() + output.value.map_or(0, <[u8]>::len);
        if bytes > RECORD_BYTES_MAX {
            let topic = output.topic.0;
            return Err(LogError::Stop(format!("a record of {bytes} bytes for topic {topic}: a broker refuses it")));
        }
        let partition = match output.placement {
            Placement::At(partition) => partition,
            Placement::ByKey => {
                let count = self.cluster.borrow().partition_count(output.topic);
                let hash = xxhash_rust::xxh3::xxh3_64(output.key);
                i32::try_from(hash % u64::from(count.unsigned_abs())).expect("less than the count")
            }
        };
        self.now_ms += 1;
        let record = CommittedRecord {
            partition,
            offset: 0,
            key: Some(Arc::from(output.key)),
            value: output.value.map(Arc::from),
            headers: output.headers.iter().map(|(name, value)| (Arc::from(*name), value.to_vec())).collect(),
            timestamp_ms: output.timestamp_ms.unwrap_or(self.now_ms),
        };
        self.queue.push((TopicPartition { topic: output.topic, partition }, record));
        if self.random.random_ratio(1, 16) {
            let share = self.random.random_range(0..=100);
            self.deliver(share)?;
        }
        Ok(())
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, i64)],
        measure: &[TopicPartition],
    ) -> Result<Vec<i64>, LogError> {
        let transaction = self.transaction.ok_or_else(|| LogError::Stop("offsets without a transaction".into()))?;
        let mut ends = Vec::new();
        if !measure.is_empty() {
            self.deliver(100)?;
            ends = measure.iter().map(|key| self.cluster.borrow().high_watermark(*key)).collect();
        }
        if self.fault == Some(CommitFault::Refused) {
            self.fault = None;
            return Err(LogError::Rewind("a commit failed by design of the simulation".into()));
        }
        let member = *self.member.borrow();
        self.cluster.borrow_mut().send_offsets(&self.name, self.epoch, transaction, member, offsets)?;
        Ok(ends)
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let transaction = self.transaction.ok_or_else(|| LogError::Stop("commit without begin".into()))?;
        self.deliver(100)?;
        let fault = self.fault.take();
        if !matches!(fault, Some(CommitFault::UnknownNotCommitted | CommitFault::KilledNotCommitted)) {
            self.cluster.borrow_mut().end_transaction(&self.name, self.epoch, transaction, true)?;
        }
        match fault {
            Some(CommitFault::UnknownCommitted | CommitFault::UnknownNotCommitted) => {
                return Err(LogError::Rebuild("the commit's answer was lost".into()));
            }
            Some(CommitFault::KilledCommitted | CommitFault::KilledNotCommitted) => resume_unwind(Box::new(Killed)),
            Some(CommitFault::Refused) | None => {}
        }
        self.transaction = None;
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.queue.clear();
        match self.transaction.take() {
            None => Ok(()),
            Some(transaction) => {
                let outcome = self.cluster.borrow_mut().end_transaction(&self.name, self.epoch, transaction, false);
                match outcome {
                    Err(LogError::Rewind(_)) => Ok(()), // it was aborted already
                    other => other,
                }
            }
        }
    }

    fn rebuild(&mut self) -> Result<(), LogError> {
        self.queue.clear();
        self.transaction = None;
        self.epoch = self.cluster.borrow_mut().init_transactions(&self.name);
        Ok(())
    }

    fn bytes_in_transaction(&self) -> usize {
        self.queue.iter().map(|(_, record)| record.value.as_ref().map_or(0, |value| value.len())).sum()
    }
}
