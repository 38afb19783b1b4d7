//! Records and consumer offsets in; what one append writes out. Also how the payload of such a frame is read.

use std::collections::{BTreeMap, HashMap};

use super::{
    block::{self, BLOCK_HEADER_BYTES, BlockHeader},
    codec::Reader,
    record::{self, NewRecord, TopicPartition},
};

/// A block that holds so many bytes of records is full: what a reader unpacks to find one record, and keeps in memory.
const BLOCK_BYTES: usize = 256 << 10;
/// What a commit keeps for the next one: of buffers that grew beyond this for a large record or commit, nothing.
const ROOM_BYTES_MAX: usize = 64 << 20;
/// For how many partitions it keeps a buffer.
const ROOM_PARTITIONS_MAX: usize = 64;

/// What is appended together: all of it or nothing. Filled and packed outside of the log's locks; can be appended again after
/// an error.
#[derive(Debug, Default)]
pub struct Commit {
    /// Packed, in the order in which they were filled.
    sealed: Vec<Sealed>,
    /// The records of the sealed blocks, one after the other.
    packed: Vec<u8>,
    /// The block of each partition that takes its next record; without any, it is room for the next one.
    open: Vec<Open>,
    places: HashMap<TopicPartition, usize, ahash::RandomState>,
    pub(crate) offsets: BTreeMap<TopicPartition, u64>,
    /// Where a block is packed before its length is known.
    scratch: Vec<u8>,
}

/// A block of which nothing but its offset is open.
#[derive(Debug)]
struct Sealed {
    partition: TopicPartition,
    count: u32,
    newest_ms: i64,
    /// Bytes of its records before they were packed, and after.
    raw: u32,
    length: u32,
}

#[derive(Debug)]
struct Open {
    partition: TopicPartition,
    count: u32,
    newest_ms: i64,
    records: Vec<u8>,
}

impl Commit {
    /// An empty commit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record to the end of a partition.
    pub fn record(&mut self, partition: TopicPartition, record: &NewRecord<'_>) {
        let open = &mut self.open;
        let place = *self.places.entry(partition).or_insert_with(|| {
            open.push(Open { partition, count: 0, newest_ms: i64::MIN, records: Vec::new() });
            open.len() - 1
        });
        let block = &mut open[place];
        record::put(&mut block.records, block.count, record);
        block.count += 1;
        block.newest_ms = block.newest_ms.max(record.timestamp_ms);
        if block.records.len() >= BLOCK_BYTES {
            self.seal(place);
        }
    }

    /// Sets the offset of the next record that the consumer of a partition wants.
    pub fn offset(&mut self, partition: TopicPartition, next: u64) {
        self.offsets.insert(partition, next);
    }

    /// Packs what is not yet packed. To be called before it is appended: an append packs nothing, because others wait for it.
    pub fn pack_all(&mut self) {
        for place in 0..self.open.len() {
            self.seal(place);
        }
    }

    /// How many of its records are for a partition.
    pub fn count(&self, partition: TopicPartition) -> u64 {
        self.blocks().filter(|block| block.0 == partition).map(|block| u64::from(block.1)).sum()
    }

    /// Bytes that it takes in the log, without the frame's header; of what is not yet packed, more than that.
    pub fn bytes(&self) -> usize {
        let open: usize = self.open.iter().map(|block| block.records.len()).sum();
        8 + self.blocks().count() * BLOCK_HEADER_BYTES + self.packed.len() + open + self.offsets.len() * 16
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.blocks().next().is_none() && self.offsets.is_empty()
    }

    /// Empties it for the next one, which finds the memory of this one.
    pub fn clear(&mut self) {
        self.sealed.clear();
        self.packed.clear();
        self.offsets.clear();
        for block in &mut self.open {
            block.empty();
        }
        let kept = self.open.iter().map(|block| block.records.capacity()).sum::<usize>() + self.packed.capacity();
        if kept + self.scratch.capacity() > ROOM_BYTES_MAX || self.open.len() > ROOM_PARTITIONS_MAX {
            *self = Self::default();
        }
    }

    /// Partition and number of records of each block, in the order in which they are appended: what a partition got first
    /// comes first.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (TopicPartition, u32)> {
        let sealed = self.sealed.iter().map(|block| (block.partition, block.count));
        sealed.chain(self.open_blocks().map(|block| (block.partition, block.count)))
    }

    fn open_blocks(&self) -> impl Iterator<Item = &Open> {
        self.open.iter().filter(|block| block.count > 0)
    }

    fn seal(&mut self, place: usize) {
        let block = &mut self.open[place];
        if block.count == 0 {
            return;
        }
        let packed = block::pack(&block.records, &mut self.scratch).unwrap_or(&block.records);
        self.packed.extend_from_slice(packed);
        self.sealed.push(Sealed {
            partition: block.partition,
            count: block.count,
            newest_ms: block.newest_ms,
            // A frame has at most 256 MiB.
            raw: block.records.len() as u32,
            length: packed.len() as u32,
        });
        block.empty();
    }

    /// Appends the payload to a frame, each block at the offset that `bases` has for it.
    pub(crate) fn put(&self, frame: &mut Vec<u8>, bases: &[u64]) {
        frame.extend_from_slice(&(bases.len() as u32).to_le_bytes());
        let mut packed = self.packed.as_slice();
        let sealed = self.sealed.iter().map(|block| {
            let (records, rest) = packed.split_at(block.length as usize);
            packed = rest;
            (block.partition, block.count, block.newest_ms, block.raw, records)
        });
        let open = self.open_blocks().map(|block| {
            (block.partition, block.count, block.newest_ms, block.records.len() as u32, block.records.as_slice())
        });
        for ((partition, count, newest_ms, raw, records), base) in sealed.chain(open).zip(bases) {
            let start = frame.len();
            frame.resize(start + BLOCK_HEADER_BYTES, 0);
            frame.extend_from_slice(records);
            let length = records.len() as u32;
            let header = BlockHeader { partition, base: *base, last_delta: count - 1, count, newest_ms, length, raw };
            header.seal(&mut frame[start..]);
        }
        put_offsets(frame, &self.offsets);
    }
}

impl Open {
    fn empty(&mut self) {
        self.count = 0;
        self.newest_ms = i64::MIN;
        self.records.clear();
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
