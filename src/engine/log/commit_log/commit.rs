//! Records and consumer offsets in; what one append writes out. Also how the payload of such a frame is read.

use std::collections::{BTreeMap, HashMap};

use super::{
    block::{self, BLOCK_HEADER_BYTES, BlockHeader},
    codec::Reader,
    record::{self, NewRecord, TopicPartition},
};

/// A block that holds so many bytes of records is full: what a reader unpacks to find one record, and keeps in memory.
const BLOCK_BYTES: usize = 256 << 10;
/// Buffers that are kept for the next commit, and how large at most.
const SPARE_MAX: usize = 128;
const SPARE_BYTES_MAX: usize = 2 * BLOCK_BYTES;

/// What is appended together: all of it or nothing. Filled and packed outside of the log's locks; can be appended again after
/// an error.
#[derive(Debug, Default)]
pub struct Commit {
    pub(crate) blocks: Vec<Pending>,
    /// The block that takes the next record of a partition.
    open: HashMap<TopicPartition, usize, ahash::RandomState>,
    pub(crate) offsets: BTreeMap<TopicPartition, u64>,
    spare: Vec<Vec<u8>>,
}

/// Records for one partition; they get their offsets when they are appended.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) partition: TopicPartition,
    pub(crate) count: u32,
    newest_ms: i64,
    /// Bytes of the records before they were packed.
    raw: u32,
    /// The records, packed or not.
    bytes: Vec<u8>,
}

impl Commit {
    /// An empty commit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record to the end of a partition.
    pub fn record(&mut self, partition: TopicPartition, record: &NewRecord<'_>) {
        let blocks = &mut self.blocks;
        let spare = &mut self.spare;
        let index = *self.open.entry(partition).or_insert_with(|| {
            let bytes = spare.pop().unwrap_or_default();
            blocks.push(Pending { partition, count: 0, newest_ms: i64::MIN, raw: 0, bytes });
            blocks.len() - 1
        });
        let block = &mut self.blocks[index];
        record::put(&mut block.bytes, block.count, record);
        block.count += 1;
        block.newest_ms = block.newest_ms.max(record.timestamp_ms);
        if block.bytes.len() >= BLOCK_BYTES {
            self.open.remove(&partition);
            self.pack(index);
        }
    }

    /// Sets the offset of the next record that the consumer of a partition wants.
    pub fn offset(&mut self, partition: TopicPartition, next: u64) {
        self.offsets.insert(partition, next);
    }

    /// Packs what is not yet packed. To be called before it is appended: an append packs nothing, because others wait for it.
    pub fn pack_all(&mut self) {
        let open: Vec<usize> = self.open.drain().map(|(_, index)| index).collect();
        for index in open {
            self.pack(index);
        }
    }

    /// How many of its records are for a partition.
    pub fn count(&self, partition: TopicPartition) -> u64 {
        let blocks = self.blocks.iter().filter(|block| block.partition == partition);
        blocks.map(|block| u64::from(block.count)).sum()
    }

    /// Bytes that it takes in the log, without the frame's header; of what is not yet packed, more than that.
    pub fn bytes(&self) -> usize {
        let blocks = self.blocks.iter().map(|block| BLOCK_HEADER_BYTES + block.bytes.len());
        8 + blocks.sum::<usize>() + self.offsets.len() * 16
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.offsets.is_empty()
    }

    /// Empties it for the next one.
    pub fn clear(&mut self) {
        for block in std::mem::take(&mut self.blocks) {
            self.keep(block.bytes);
        }
        self.open.clear();
        self.offsets.clear();
    }

    fn pack(&mut self, index: usize) {
        let mut packed = self.spare.pop().unwrap_or_default();
        let block = &mut self.blocks[index];
        // A frame has at most 256 MiB.
        block.raw = block.bytes.len() as u32;
        if block::pack(&block.bytes, &mut packed) {
            std::mem::swap(&mut block.bytes, &mut packed);
        }
        self.keep(packed);
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Appends the payload to a frame, each block at the offset that `bases` has for it.
    pub(crate) fn put(&self, frame: &mut Vec<u8>, bases: &[u64]) {
        frame.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        for (block, base) in self.blocks.iter().zip(bases) {
            let start = frame.len();
            frame.resize(start + BLOCK_HEADER_BYTES, 0);
            frame.extend_from_slice(&block.bytes);
            let length = block.bytes.len() as u32;
            let header = BlockHeader {
                partition: block.partition,
                base: *base,
                last_delta: block.count - 1,
                count: block.count,
                newest_ms: block.newest_ms,
                length,
                raw: block.raw.max(length),
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
