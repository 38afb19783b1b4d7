//! The closed blocks of compacted partitions in; which of their records have a later value of their key out.
//!
//! A partition is read once for every `keys_max` records in it; each reading remembers the keys of one share of the hashes.
//! What is dead takes one bit per offset that still has a block.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use xxhash_rust::xxh3::xxh3_128;

use super::{
    block,
    error::{Result, damaged},
    index::BlockEntry,
    log::{CommitLog, read_block, verified},
    record::TopicPartition,
    segment::Segment,
};

/// Records that nobody needs, by partition and offset.
#[derive(Default)]
pub(crate) struct Dead {
    partitions: HashMap<TopicPartition, Bits>,
}

impl Dead {
    pub(crate) fn contains(&self, partition: TopicPartition, offset: u64) -> bool {
        self.partitions.get(&partition).is_some_and(|bits| bits.contains(offset))
    }
}

/// A set of offsets in blocks that ascend.
struct Bits {
    /// Base offset of each block, and the bit of that offset.
    starts: Vec<(u64, u64)>,
    words: Vec<u64>,
}

impl Bits {
    fn new(blocks: &[(Arc<Segment>, BlockEntry)]) -> Self {
        let mut bit = 0;
        let mut starts = Vec::with_capacity(blocks.len());
        for (_, block) in blocks {
            starts.push((block.base, bit));
            bit += block.last - block.base + 1;
        }
        Self { starts, words: vec![0; bit.div_ceil(64) as usize] }
    }

    fn bit(&self, offset: u64) -> Option<u64> {
        let after = self.starts.partition_point(|(base, _)| *base <= offset);
        let (base, bit) = self.starts.get(after.checked_sub(1)?)?;
        Some(bit + (offset - base))
    }

    fn insert(&mut self, offset: u64) {
        if let Some(bit) = self.bit(offset)
            && let Some(word) = self.words.get_mut((bit / 64) as usize)
        {
            *word |= 1 << (bit % 64);
        }
    }

    fn contains(&self, offset: u64) -> bool {
        let word = self.bit(offset).and_then(|bit| Some(self.words.get((bit / 64) as usize)? >> (bit % 64)));
        word.is_some_and(|word| word & 1 == 1)
    }
}

/// Some records of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub(crate) records: u64,
    /// A block's header counts with its records in proportion.
    pub(crate) bytes: u64,
}

/// What is known of a key.
struct Newest {
    offset: u64,
    bytes: u32,
    segment: u64,
    /// No other record of this key is left in the closed segments.
    is_alone: bool,
    is_old_tombstone: bool,
}

struct Work {
    partition: TopicPartition,
    delete_retention_ms: i64,
    blocks: Vec<(Arc<Segment>, BlockEntry)>,
}

/// One run over all compacted partitions.
pub(crate) struct Compaction {
    keys_max: usize,
    work: Vec<Work>,
    /// What it found.
    pub(crate) dead: Dead,
    dead_in: HashMap<u64, Share>,
    /// Up to which offset it read each partition.
    pub(crate) reached: HashMap<TopicPartition, u64>,
}

/// A partition is read when at least one in so many of its records is new since the last time: the work per record written
/// stays bounded however often the caller cleans. Tombstones wait with it.
const NEW_RECORDS_SHARE: u64 = 4;

impl Compaction {
    pub(crate) fn new(keys_max: usize) -> Self {
        Self {
            keys_max: keys_max.max(1),
            work: Vec::new(),
            dead: Dead::default(),
            dead_in: HashMap::new(),
            reached: HashMap::new(),
        }
    }

    /// Takes on a partition with its closed blocks, which was read up to `reached` before, if that is worth it, or has to
    /// be done.
    pub(crate) fn add(
        &mut self,
        partition: TopicPartition,
        delete_retention_ms: i64,
        blocks: Vec<(Arc<Segment>, BlockEntry)>,
        (reached, always): (u64, bool),
    ) {
        let (mut records, mut new_records, mut end) = (0, 0, reached);
        for (_, block) in &blocks {
            records += u64::from(block.count);
            new_records += if block.base >= reached { u64::from(block.count) } else { 0 };
            end = end.max(block.last + 1);
        }
        if !always && (new_records == 0 || new_records * NEW_RECORDS_SHARE < records) || records == 0 {
            return;
        }
        self.reached.insert(partition, end);
        self.work.push(Work { partition, delete_retention_ms, blocks });
    }

    /// What is dead in a segment.
    pub(crate) fn dead_in(&self, segment: u64) -> Share {
        self.dead_in.get(&segment).copied().unwrap_or_default()
    }

    /// Reads all blocks, without any lock of the log.
    pub(crate) fn run(&mut self, log: &CommitLog, now_ms: i64) -> Result<()> {
        for work in std::mem::take(&mut self.work) {
            log.writer().check()?;
            let records: usize = work.blocks.iter().map(|(_, block)| block.count as usize).sum();
            let shares = records.div_ceil(self.keys_max).max(1) as u128;
            let mut bits = Bits::new(&work.blocks);
            for share in 0..shares {
                self.read_share(&work, share, shares, now_ms, &mut bits)?;
            }
            self.dead.partitions.insert(work.partition, bits);
        }
        Ok(())
    }

    fn read_share(&mut self, work: &Work, share: u128, shares: u128, now_ms: i64, bits: &mut Bits) -> Result<()> {
        let mut keys: HashMap<u128, Newest> = HashMap::new();
        let tombstones_before_ms = now_ms.saturating_sub(work.delete_retention_ms);
        let (mut bytes, mut room) = (Vec::new(), Vec::new());
        let mut die = |record: &Newest| {
            bits.insert(record.offset);
            let share = self.dead_in.entry(record.segment).or_default();
            share.records += 1;
            share.bytes += u64::from(record.bytes);
        };
        for (segment, entry) in &work.blocks {
            bytes.resize(entry.length as usize, 0);
            read_block(segment, entry, &mut bytes)?;
            let (header, records) = verified(segment, entry, work.partition, &bytes, &mut room)?;
            let read = block::each_record(&header, records, |record, _| {
                let Some(key) = record.key else { return true };
                let hash = xxh3_128(key);
                if hash % shares != share {
                    return true;
                }
                let newest = Newest {
                    offset: record.offset,
                    bytes: entry.length / entry.count,
                    segment: entry.segment,
                    is_alone: true,
                    is_old_tombstone: record.value.is_none() && record.timestamp_ms < tombstones_before_ms,
                };
                match keys.entry(hash) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(newest);
                    }
                    Entry::Occupied(mut occupied) => {
                        let older = occupied.insert(Newest { is_alone: false, ..newest });
                        die(&older);
                    }
                }
                true
            });
            read.ok_or_else(|| {
                damaged(&segment.name, u64::from(entry.position), "the records of a block do not read as records")
            })?;
        }
        // A tombstone that went before what it deletes would let it rise again.
        keys.values().filter(|newest| newest.is_alone && newest.is_old_tombstone).for_each(die);
        Ok(())
    }
}
