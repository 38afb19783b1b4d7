//! Records and consumer offsets in; what one append writes out. Also how the payload of such a frame is read.

use std::collections::{BTreeMap, HashMap};

use super::{
    block::{BLOCK_HEADER_BYTES, BlockHeader},
    codec::Reader,
    record::{self, NewRecord, TopicPartition},
};

/// What is appended together: all of it or nothing. Filled outside of the log's locks; can be appended again after an error.
#[derive(Debug, Default)]
pub struct Commit {
    pub(crate) blocks: Vec<Pending>,
    by_partition: HashMap<TopicPartition, usize>,
    pub(crate) offsets: BTreeMap<TopicPartition, u64>,
}

/// The records for one partition; they get their offsets when they are appended.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) partition: TopicPartition,
    pub(crate) count: u32,
    newest_ms: i64,
    /// Room for the header, then the records.
    bytes: Vec<u8>,
}

impl Commit {
    /// An empty commit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record to the end of a partition.
    pub fn record(&mut self, partition: TopicPartition, record: &NewRecord<'_>) {
        let index = *self.by_partition.entry(partition).or_insert_with(|| {
            let bytes = vec![0; BLOCK_HEADER_BYTES];
            self.blocks.push(Pending { partition, count: 0, newest_ms: i64::MIN, bytes });
            self.blocks.len() - 1
        });
        let block = &mut self.blocks[index];
        record::put(&mut block.bytes, block.count, record);
        block.count += 1;
        block.newest_ms = block.newest_ms.max(record.timestamp_ms);
    }

    /// Sets the offset of the next record that the consumer of a partition wants.
    pub fn offset(&mut self, partition: TopicPartition, next: u64) {
        self.offsets.insert(partition, next);
    }

    /// Records that it has for a partition.
    pub fn count(&self, partition: TopicPartition) -> u64 {
        let block = self.by_partition.get(&partition).and_then(|index| self.blocks.get(*index));
        block.map_or(0, |block| u64::from(block.count))
    }

    /// Bytes that it takes in the log, without the frame's header.
    pub fn bytes(&self) -> usize {
        8 + self.blocks.iter().map(|block| block.bytes.len()).sum::<usize>() + self.offsets.len() * 16
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.offsets.is_empty()
    }

    /// Empties it for the next one.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.by_partition.clear();
        self.offsets.clear();
    }

    /// Appends the payload to a frame, each block at the offset that `end` tells.
    pub(crate) fn put(&self, frame: &mut Vec<u8>, mut end: impl FnMut(TopicPartition) -> u64) {
        frame.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        for block in &self.blocks {
            let start = frame.len();
            frame.extend_from_slice(&block.bytes);
            let header = BlockHeader {
                partition: block.partition,
                base: end(block.partition),
                last_delta: block.count - 1,
                count: block.count,
                newest_ms: block.newest_ms,
                length: (block.bytes.len() - BLOCK_HEADER_BYTES) as u32,
            };
            header.seal(&mut frame[start..]);
        }
        put_offsets(frame, &self.offsets);
    }
}

pub(crate) fn put_offsets(into: &mut Vec<u8>, offsets: &BTreeMap<TopicPartition, u64>) {
    into.extend_from_slice(&(offsets.len() as u32).to_le_bytes());
    for (partition, next) in offsets {
        into.extend_from_slice(&partition.bytes());
        into.extend_from_slice(&next.to_le_bytes());
    }
}

pub(crate) fn take_offsets(reader: &mut Reader<'_>, mut each: impl FnMut(TopicPartition, u64)) -> Option<()> {
    for _ in 0..reader.u32()? {
        let partition = TopicPartition::take(reader)?;
        each(partition, reader.u64()?);
    }
    Some(())
}

/// Hands over each block with its position in the payload and its records, then each consumer offset; `None` if this is no
/// payload of a commit.
pub(crate) fn read_payload<'a>(
    payload: &'a [u8],
    mut block: impl FnMut(BlockHeader, usize, &'a [u8]),
    offset: impl FnMut(TopicPartition, u64),
) -> Option<()> {
    let mut reader = Reader::new(payload);
    for _ in 0..reader.u32()? {
        let position = payload.len() - reader.remaining();
        let (header, records) = BlockHeader::take(&mut reader)?;
        block(header, position, records);
    }
    take_offsets(&mut reader, offset)?;
    reader.is_empty().then_some(())
}
