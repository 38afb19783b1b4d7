//! Verified frames in; where every block lies, where every partition ends and what its consumer committed out. No IO.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use super::{
    block::{BLOCK_HEADER_BYTES, BlockHeader},
    codec::Reader,
    commit,
    frame::HEADER_BYTES,
    record::TopicPartition,
    segment::Segment,
    topic::Topic,
};

/// Where a block lies and what a reader or the cleaner must know of it without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub(crate) base: u64,
    pub(crate) last: u64,
    pub(crate) newest_ms: i64,
    /// First sequence number of its segment.
    pub(crate) segment: u64,
    /// Where its header begins in the segment's file.
    pub(crate) position: u32,
    /// Bytes of header and records.
    pub(crate) length: u32,
    /// Records that are left in it.
    pub(crate) count: u32,
}

impl BlockEntry {
    pub(crate) fn new(header: &BlockHeader, segment: u64, position: u64) -> Self {
        Self {
            base: header.base,
            last: header.last(),
            newest_ms: header.newest_ms,
            segment,
            // A segment ends with the first frame that passes 1 GiB at most, and a frame has at most 256 MiB.
            position: position as u32,
            length: header.length + BLOCK_HEADER_BYTES as u32,
            count: header.count,
        }
    }
}

/// One partition: its blocks in order of offsets, which is the order of segments and positions too.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub(crate) blocks: Vec<BlockEntry>,
    /// The offset that the next record gets.
    pub(crate) end: u64,
}

impl Partition {
    /// The first offset that may be there.
    pub(crate) fn beginning(&self) -> u64 {
        self.blocks.first().map_or(self.end, |block| block.base)
    }

    fn range(&self, segments: &RangeInclusive<u64>) -> Range<usize> {
        let start = self.blocks.partition_point(|block| block.segment < *segments.start());
        start..start + self.blocks[start..].partition_point(|block| block.segment <= *segments.end())
    }
}

/// Everything that is known without reading records.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) topics: Vec<Topic>,
    ids: HashMap<String, u32>,
    partitions: Vec<Vec<Partition>>,
    pub(crate) offsets: BTreeMap<TopicPartition, u64>,
    /// By first sequence number; the last one is appended to.
    pub(crate) segments: BTreeMap<u64, Arc<Segment>>,
    /// The segments that the snapshot of the last one names: each is there or has a marker that says that it was removed.
    pub(crate) listed: BTreeSet<u64>,
}

impl Index {
    pub(crate) fn partition(&self, partition: TopicPartition) -> Option<&Partition> {
        self.partitions.get(partition.topic as usize)?.get(partition.partition as usize)
    }

    fn partition_mut(&mut self, partition: TopicPartition) -> Option<&mut Partition> {
        self.partitions.get_mut(partition.topic as usize)?.get_mut(partition.partition as usize)
    }

    pub(crate) fn topic_id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = (TopicPartition, &Partition)> {
        self.partitions.iter().zip(0..).flat_map(|(partitions, topic)| {
            partitions.iter().zip(0..).map(move |(found, partition)| (TopicPartition { topic, partition }, found))
        })
    }

    /// The blocks of one segment, partition by partition.
    pub(crate) fn blocks_of(&self, segment: u64) -> Vec<(TopicPartition, BlockEntry)> {
        let blocks = self.partitions().flat_map(|(partition, found)| {
            found.blocks[found.range(&(segment..=segment))].iter().map(move |block| (partition, *block))
        });
        blocks.collect()
    }

    /// Adds a topic, or changes the one of that name; returns its id.
    pub(crate) fn put_topic(&mut self, topic: Topic) -> u32 {
        if let Some(&id) = self.ids.get(&topic.name) {
            self.topics[id as usize] = topic;
            return id;
        }
        let id = self.topics.len() as u32;
        self.ids.insert(topic.name.clone(), id);
        self.partitions.push((0..topic.partitions).map(|_| Partition::default()).collect());
        self.topics.push(topic);
        id
    }

    /// Adds the blocks of a closed segment, oldest segment first, below the ends that are known from the last segment's
    /// snapshot; `None` if they do not fit there.
    pub(crate) fn put_closed(&mut self, blocks: &[(TopicPartition, BlockEntry)]) -> Option<()> {
        for (partition, block) in blocks {
            let partition = self.partition_mut(*partition)?;
            let begins_after = partition.blocks.last().map_or(0, |before| before.last + 1);
            if block.base < begins_after || block.last < block.base || block.last >= partition.end {
                return None;
            }
            partition.blocks.push(*block);
        }
        Some(())
    }

    /// Forgets a segment and its blocks.
    pub(crate) fn remove(&mut self, segment: u64) {
        self.replace(segment..=segment, &[]);
        self.segments.remove(&segment);
    }

    /// Replaces what the index says of segments from one to another.
    pub(crate) fn replace(&mut self, segments: RangeInclusive<u64>, blocks: &[(TopicPartition, BlockEntry)]) {
        let mut by_partition: HashMap<TopicPartition, Vec<BlockEntry>> = HashMap::new();
        for (partition, block) in blocks {
            by_partition.entry(*partition).or_default().push(*block);
        }
        for (partitions, topic) in self.partitions.iter_mut().zip(0..) {
            for (found, partition) in partitions.iter_mut().zip(0..) {
                let range = found.range(&segments);
                let new = by_partition.remove(&TopicPartition { topic, partition }).unwrap_or_default();
                found.blocks.splice(range, new);
            }
        }
    }

    /// Takes in a commit that lies at `position` of a segment; `None` if it does not follow from what is known.
    pub(crate) fn put_commit(&mut self, payload: &[u8], segment: u64, position: u64) -> Option<()> {
        let mut follows = true;
        let mut offsets = Vec::new();
        let block = |header: BlockHeader, at: usize, _: &[u8]| {
            let Some(partition) = self.partition_mut(header.partition) else {
                follows = false;
                return;
            };
            follows &= partition.end == header.base;
            partition.end = header.last() + 1;
            partition.blocks.push(BlockEntry::new(&header, segment, position + (HEADER_BYTES + at) as u64));
        };
        commit::read_payload(payload, block, |partition, next| offsets.push((partition, next)))?;
        self.offsets.extend(offsets);
        follows.then_some(())
    }

    /// The payload of a snapshot: topics, the end of every partition, consumer offsets, the segments before it.
    pub(crate) fn put_snapshot(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&(self.topics.len() as u32).to_le_bytes());
        for topic in &self.topics {
            topic.put(into);
        }
        for (_, partition) in self.partitions() {
            into.extend_from_slice(&partition.end.to_le_bytes());
        }
        commit::put_offsets(into, &self.offsets);
        into.extend_from_slice(&(self.segments.len() as u32).to_le_bytes());
        for first in self.segments.keys() {
            into.extend_from_slice(&first.to_le_bytes());
        }
    }

    /// The state that a snapshot describes, without blocks.
    pub(crate) fn from_snapshot(payload: &[u8]) -> Option<Self> {
        let mut index = Self::default();
        let mut reader = Reader::new(payload);
        for _ in 0..reader.u32()? {
            let topic = Topic::take(&mut reader)?;
            // A name twice would shift every id behind it.
            if index.ids.contains_key(&topic.name) {
                return None;
            }
            index.put_topic(topic);
        }
        for partition in index.partitions.iter_mut().flatten() {
            partition.end = reader.u64()?;
        }
        let mut offsets = BTreeMap::new();
        commit::take_offsets(&mut reader, |partition, next| {
            offsets.insert(partition, next);
        })?;
        index.offsets = offsets;
        for _ in 0..reader.u32()? {
            index.listed.insert(reader.u64()?);
        }
        reader.is_empty().then_some(index)
    }
}

/// The payload of a footer: the blocks of the segment, and where the footer itself begins.
pub(crate) fn put_footer(blocks: &[(TopicPartition, BlockEntry)], position: u64, into: &mut Vec<u8>) {
    into.extend_from_slice(&(blocks.len() as u32).to_le_bytes());
    for (partition, block) in blocks {
        into.extend_from_slice(&partition.bytes());
        into.extend_from_slice(&block.base.to_le_bytes());
        into.extend_from_slice(&block.last.to_le_bytes());
        into.extend_from_slice(&block.newest_ms.to_le_bytes());
        into.extend_from_slice(&block.position.to_le_bytes());
        into.extend_from_slice(&block.length.to_le_bytes());
        into.extend_from_slice(&block.count.to_le_bytes());
    }
    into.extend_from_slice(&position.to_le_bytes());
}

pub(crate) fn take_footer(payload: &[u8], segment: u64) -> Option<Vec<(TopicPartition, BlockEntry)>> {
    let mut reader = Reader::new(payload);
    let mut blocks = Vec::new();
    for _ in 0..reader.u32()? {
        let partition = TopicPartition::take(&mut reader)?;
        let block = BlockEntry {
            base: reader.u64()?,
            last: reader.u64()?,
            newest_ms: reader.i64()?,
            segment,
            position: reader.u32()?,
            length: reader.u32()?,
            count: reader.u32()?,
        };
        blocks.push((partition, block));
    }
    reader.u64()?;
    reader.is_empty().then_some(blocks)
}
