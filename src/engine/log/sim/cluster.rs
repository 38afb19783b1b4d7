//! The simulated cluster: partitions, transactions whose markers land one by one, a consumer group.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crate::engine::{
    log::{LogError, Membership, TopicPartition},
    topics::{TopicIndex, Topics},
};

/// A record as it lies in a partition.
#[derive(Clone, Debug)]
pub struct CommittedRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Arc<[u8]>>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Arc<[u8]>>,
    /// Its headers.
    pub headers: Vec<(Arc<str>, Vec<u8>)>,
    /// Its timestamp in milliseconds.
    pub timestamp_ms: i64,
}

#[derive(Clone)]
pub(super) struct Entry {
    transaction: Option<u64>,
    /// `None`: a marker, or compacted away.
    record: Option<CommittedRecord>,
}

#[derive(Default)]
struct Partition {
    entries: Vec<Entry>,
    /// Below this, retention has removed everything.
    begin: i64,
    /// First offset of each transaction whose marker has not landed here.
    open: BTreeMap<u64, i64>,
    aborted: BTreeSet<u64>,
}

impl Partition {
    fn high_watermark(&self) -> i64 {
        self.entries.len() as i64
    }

    fn last_stable_offset(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.high_watermark())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TransactionState {
    Open,
    /// The coordinator has decided; markers land one by one.
    Ending {
        commit: bool,
    },
}

struct Transaction {
    producer: String,
    state: TransactionState,
    partitions: BTreeSet<TopicPartition>,
    /// Offsets that take effect when the marker on the offsets topic lands.
    offsets: Option<Vec<(TopicPartition, i64)>>,
}

struct Member {
    owned: BTreeSet<TopicPartition>,
    events: VecDeque<Membership>,
}

/// The cluster. Everything in it survives every instance.
pub struct Cluster {
    topics: Arc<Topics>,
    partitions: BTreeMap<TopicPartition, Partition>,
    committed: BTreeMap<TopicPartition, i64>,
    transactions: BTreeMap<u64, Transaction>,
    next_transaction: u64,
    /// Current epoch of each transactional id: an older one is fenced.
    epochs: BTreeMap<String, u64>,
    members: BTreeMap<u64, Member>,
    next_member: u64,
    /// Where each input partition is to go when its owner has given it up.
    target: BTreeMap<TopicPartition, u64>,
    inputs: Vec<TopicPartition>,
    rotation: usize,
}

impl Cluster {
    /// An empty cluster with every partition of the topics; the group reads `inputs`.
    pub fn new(topics: Arc<Topics>, inputs: &[TopicIndex]) -> Cluster {
        let mut partitions = BTreeMap::new();
        for (topic, spec) in topics.iter() {
            for partition in 0..spec.partitions {
                partitions.insert(TopicPartition { topic, partition }, Partition::default());
            }
        }
        let inputs = partitions.keys().copied().filter(|key| inputs.contains(&key.topic)).collect();
        Cluster {
            topics,
            partitions,
            committed: BTreeMap::new(),
            transactions: BTreeMap::new(),
            next_transaction: 1,
            epochs: BTreeMap::new(),
            members: BTreeMap::new(),
            next_member: 1,
            target: BTreeMap::new(),
            inputs,
            rotation: 0,
        }
    }

    /// The group reads other topics from now on. Nobody may be in it.
    pub fn subscribe(&mut self, inputs: &[TopicIndex]) {
        assert!(self.members.is_empty(), "a group that changes its topics is empty");
        self.inputs = self.partitions.keys().copied().filter(|key| inputs.contains(&key.topic)).collect();
        self.target.clear();
    }

    /// How many partitions a topic has.
    pub fn partition_count(&self, topic: TopicIndex) -> i32 {
        self.topics.get(topic).partitions
    }

    /// Appends a record outside any transaction: what departments do.
    pub fn append(&mut self, to: TopicPartition, record: CommittedRecord) {
        self.append_entry(to, None, record);
    }

    fn append_entry(&mut self, to: TopicPartition, transaction: Option<u64>, mut record: CommittedRecord) {
        let partition = self.partitions.get_mut(&to).expect("outputs go to topics of the topology");
        record.offset = partition.high_watermark();
        record.partition = to.partition;
        if let Some(transaction) = transaction {
            partition.open.entry(transaction).or_insert(record.offset);
            self.transactions.get_mut(&transaction).expect("an open transaction").partitions.insert(to);
        }
        partition.entries.push(Entry { transaction, record: Some(record) });
    }

    /// Every committed record of a topic, by partition and offset: what a `read_committed` reader sees now.
    pub fn read_committed(&self, topic: TopicIndex) -> Vec<CommittedRecord> {
        let mut records = Vec::new();
        for (key, partition) in self.partitions.iter().filter(|(key, _)| key.topic == topic) {
            let mut position = 0;
            while let Some(record) = self.next_visible(*key, &mut position) {
                records.push(record);
            }
            debug_assert!(position <= partition.high_watermark());
        }
        records
    }

    /// The next committed record from `position` on, which moves past it.
    pub(super) fn next_visible(&self, key: TopicPartition, position: &mut i64) -> Option<CommittedRecord> {
        let partition = self.partitions.get(&key)?;
        let stable = partition.last_stable_offset();
        while *position < stable {
            let entry = &partition.entries[usize::try_from(*position).ok()?];
            *position += 1;
            let aborted = entry.transaction.is_some_and(|transaction| partition.aborted.contains(&transaction));
            if let (false, Some(record)) = (aborted, &entry.record) {
                return Some(record.clone());
            }
        }
        None
    }

    /// The end of a partition, open transactions included.
    pub fn high_watermark(&self, key: TopicPartition) -> i64 {
        self.partitions[&key].high_watermark()
    }

    pub(super) fn last_stable_offset(&self, key: TopicPartition) -> i64 {
        self.partitions[&key].last_stable_offset()
    }

    /// The first offset that a partition still has.
    pub fn beginning(&self, key: TopicPartition) -> i64 {
        self.partitions[&key].begin
    }

    /// Removes what is below an offset, as retention does.
    pub fn remove_below(&mut self, key: TopicPartition, offset: i64) {
        let partition = self.partitions.get_mut(&key).expect("a partition of the topology");
        partition.begin = offset.clamp(partition.begin, partition.last_stable_offset());
        for entry in &mut partition.entries[..usize::try_from(partition.begin).expect("an offset is not negative")] {
            entry.record = None;
        }
    }

    /// Removes values that a later committed value of the same key has replaced, as compaction does.
    pub fn compact(&mut self, topic: TopicIndex) {
        for (_, partition) in self.partitions.iter_mut().filter(|(key, _)| key.topic == topic) {
            let stable = partition.last_stable_offset();
            let mut newest: BTreeMap<Arc<[u8]>, i64> = BTreeMap::new();
            let visible = |partition: &Partition, entry: &Entry| {
                !entry.transaction.is_some_and(|transaction| partition.aborted.contains(&transaction))
            };
            for offset in 0..stable {
                let entry = &partition.entries[offset as usize];
                if let (true, Some(record)) = (visible(partition, entry), &entry.record)
                    && let Some(key) = &record.key
                {
                    newest.insert(key.clone(), offset);
                }
            }
            for offset in 0..stable {
                let entry = &mut partition.entries[offset as usize];
                if let Some(record) = &entry.record
                    && record.key.as_ref().and_then(|key| newest.get(key)) != Some(&offset)
                {
                    entry.record = None;
                }
            }
        }
    }

    // --- transactions

    /// A producer starts: settles what its predecessor of the same name left and fences it.
    pub(super) fn init_transactions(&mut self, producer: &str) -> u64 {
        self.settle(producer);
        let epoch = self.epochs.entry(producer.to_owned()).or_insert(0);
        *epoch += 1;
        *epoch
    }

    /// Aborts what a producer left open and lands every marker of its transactions.
    fn settle(&mut self, producer: &str) {
        let left: Vec<u64> =
            self.transactions.iter().filter(|(_, it)| it.producer == producer).map(|(id, _)| *id).collect();
        for id in left {
            if self.transactions[&id].state == TransactionState::Open {
                self.end(id, false);
            }
            while self.land_marker(id) {}
        }
    }

    fn check_epoch(&self, producer: &str, epoch: u64) -> Result<(), LogError> {
        if self.epochs.get(producer) == Some(&epoch) {
            Ok(())
        } else {
            Err(LogError::Rebuild("a newer producer of the same name exists".into()))
        }
    }

    pub(super) fn begin(&mut self, producer: &str, epoch: u64) -> Result<u64, LogError> {
        self.check_epoch(producer, epoch)?;
        // The coordinator refuses a new transaction until the markers of the last have landed.
        self.settle(producer);
        let id = self.next_transaction;
        self.next_transaction += 1;
        self.transactions.insert(
            id,
            Transaction {
                producer: producer.to_owned(),
                state: TransactionState::Open,
                partitions: BTreeSet::new(),
                offsets: None,
            },
        );
        Ok(id)
    }

    pub(super) fn deliver(
        &mut self,
        producer: &str,
        epoch: u64,
        transaction: u64,
        records: impl Iterator<Item = (TopicPartition, CommittedRecord)>,
    ) -> Result<(), LogError> {
        self.check_epoch(producer, epoch)?;
        if self.transactions.get(&transaction).is_none_or(|it| it.state != TransactionState::Open) {
            return Err(LogError::Rewind("the transaction timed out".into()));
        }
        for (to, record) in records {
            self.append_entry(to, Some(transaction), record);
        }
        Ok(())
    }

    pub(super) fn send_offsets(
        &mut self,
        producer: &str,
        epoch: u64,
        transaction: u64,
        member: u64,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<(), LogError> {
        self.check_epoch(producer, epoch)?;
        let owned = self.members.get(&member).map(|member| &member.owned);
        if !owned.is_some_and(|owned| offsets.iter().all(|(partition, _)| owned.contains(partition))) {
            return Err(LogError::Rewind("the group has moved on: illegal generation".into()));
        }
        let transaction = self
            .transactions
            .get_mut(&transaction)
            .filter(|it| it.state == TransactionState::Open)
            .ok_or_else(|| LogError::Rewind("the transaction timed out".into()))?;
        transaction.offsets = Some(offsets.to_vec());
        Ok(())
    }

    pub(super) fn end_transaction(
        &mut self,
        producer: &str,
        epoch: u64,
        transaction: u64,
        commit: bool,
    ) -> Result<(), LogError> {
        self.check_epoch(producer, epoch)?;
        if self.transactions.get(&transaction).is_none_or(|it| it.state != TransactionState::Open) {
            return Err(LogError::Rewind("the transaction timed out".into()));
        }
        self.end(transaction, commit);
        Ok(())
    }

    fn end(&mut self, transaction: u64, commit: bool) {
        self.transactions.get_mut(&transaction).expect("checked by the caller").state =
            TransactionState::Ending { commit };
        self.forget_if_complete(transaction);
    }

    /// The transaction coordinator gives up on a producer that is not heard of: aborts, and fences it.
    pub fn time_out_transactions_of(&mut self, producer: &str) -> bool {
        let open = self.transactions.values().any(|it| it.producer == producer && it.state == TransactionState::Open);
        if open {
            self.init_transactions(producer);
        }
        open
    }

    /// Producers that have a transaction open.
    pub fn producers_with_open_transactions(&self) -> Vec<String> {
        let open = self.transactions.values().filter(|it| it.state == TransactionState::Open);
        open.map(|it| it.producer.clone()).collect()
    }

    /// Transactions that have markers to land, with how many.
    pub fn markers_to_land(&self) -> Vec<u64> {
        let ending = self.transactions.iter().filter(|(_, it)| it.state != TransactionState::Open);
        ending.map(|(id, _)| *id).collect()
    }

    /// Lands one marker, of the partition that `pick` chooses among those left (0 is the offsets topic if it is left).
    pub fn land_some_marker(&mut self, transaction: u64, pick: usize) {
        let Some(it) = self.transactions.get_mut(&transaction) else {
            return;
        };
        let TransactionState::Ending { commit } = it.state else {
            return;
        };
        let count = it.partitions.len() + usize::from(it.offsets.is_some());
        if count > 0 {
            let mut pick = pick % count;
            if it.offsets.is_some() {
                if pick == 0 {
                    let offsets = it.offsets.take().expect("looked at above");
                    if commit {
                        self.committed.extend(offsets);
                    }
                    self.forget_if_complete(transaction);
                    return;
                }
                pick -= 1;
            }
            let key = *it.partitions.iter().nth(pick).expect("fewer than the count");
            it.partitions.remove(&key);
            let partition = self.partitions.get_mut(&key).expect("it was written to");
            partition.open.remove(&transaction);
            if !commit {
                partition.aborted.insert(transaction);
            }
            partition.entries.push(Entry { transaction: None, record: None });
        }
        self.forget_if_complete(transaction);
    }

    fn land_marker(&mut self, transaction: u64) -> bool {
        self.land_some_marker(transaction, 0);
        self.transactions.contains_key(&transaction)
    }

    fn forget_if_complete(&mut self, transaction: u64) {
        if self
            .transactions
            .get(&transaction)
            .is_some_and(|it| it.state != TransactionState::Open && it.partitions.is_empty() && it.offsets.is_none())
        {
            self.transactions.remove(&transaction);
        }
    }

    /// Committed offsets, stable ones only: a pending transaction that covers a partition is settled first, as the time
    /// that a real broker lets pass would.
    pub(super) fn stable_offsets(&mut self, partitions: &[TopicPartition]) -> Vec<Option<i64>> {
        let pending: Vec<u64> = self
            .transactions
            .iter()
            .filter(|(_, it)| {
                it.offsets.as_ref().is_some_and(|offsets| offsets.iter().any(|(key, _)| partitions.contains(key)))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in pending {
            if self.transactions[&id].state == TransactionState::Open {
                let producer = self.transactions[&id].producer.clone();
                self.time_out_transactions_of(&producer);
            } else {
                // Only the marker on the offsets topic: those on the data partitions may still be on their way.
                self.land_some_marker(id, 0);
            }
        }
        partitions.iter().map(|key| self.committed.get(key).copied()).collect()
    }

    /// The committed offset of a partition.
    pub fn committed_offset(&self, key: TopicPartition) -> Option<i64> {
        self.committed.get(&key).copied()
    }

    // --- the group

    pub(super) fn join(&mut self) -> u64 {
        let id = self.next_member;
        self.next_member += 1;
        self.members.insert(id, Member { owned: BTreeSet::new(), events: VecDeque::new() });
        self.rebalance();
        id
    }

    /// A member is gone (crashed, or not heard of for the session timeout): its partitions go to others.
    pub(super) fn expire(&mut self, member: u64) {
        self.members.remove(&member);
        self.rebalance();
    }

    pub(super) fn is_member(&self, member: u64) -> bool {
        self.members.contains_key(&member)
    }

    pub(super) fn next_event(&mut self, member: u64) -> Option<Membership> {
        self.members.get_mut(&member)?.events.pop_front()
    }

    pub(super) fn release(&mut self, member: u64, partitions: &[TopicPartition]) {
        if let Some(member) = self.members.get_mut(&member) {
            for partition in partitions {
                member.owned.remove(partition);
            }
        }
        self.hand_out();
    }

    /// Changes who is to own what; owners give up first (cooperative).
    pub fn rebalance(&mut self) {
        self.rotation += 1;
        let ids: Vec<u64> = self.members.keys().copied().collect();
        self.target.clear();
        if ids.is_empty() {
            return;
        }
        for (index, input) in self.inputs.iter().enumerate() {
            self.target.insert(*input, ids[(index + self.rotation) % ids.len()]);
        }
        for (id, member) in &mut self.members {
            let revoked: Vec<_> = member
                .owned
                .iter()
                .copied()
                .filter(|input| self.target.get(input) != Some(id))
                .filter(|input| {
                    !member
                        .events
                        .iter()
                        .any(|event| matches!(event, Membership::Revoked(list) if list.contains(input)))
                })
                .collect();
            if !revoked.is_empty() {
                member.events.push_back(Membership::Revoked(revoked));
            }
        }
        self.hand_out();
    }

    fn hand_out(&mut self) {
        let owned: BTreeSet<_> = self.members.values().flat_map(|member| member.owned.iter().copied()).collect();
        for (id, member) in &mut self.members {
            let free: Vec<_> = self
                .target
                .iter()
                .filter(|(input, target)| *target == id && !owned.contains(input))
                .map(|(input, _)| *input)
                .collect();
            if !free.is_empty() {
                member.owned.extend(free.iter().copied());
                member.events.push_back(Membership::Assigned(free));
            }
        }
    }
}
