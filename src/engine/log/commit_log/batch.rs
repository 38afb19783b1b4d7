//! A partition and an offset in; the records from there, one verified block at a time in a buffer that is used again, out.

use super::{
    block::{BLOCK_HEADER_BYTES, BlockHeader},
    codec::Reader,
    error::{Result, damaged, out_of_range},
    log::{CommitLog, known, read_block, verified},
    record::{self, Record, TopicPartition},
};

/// The records of one partition in one commit, read and verified, to be taken one by one whenever their reader likes.
///
/// ```
/// # use std::sync::Arc;
/// # use insight_hub::engine::log::commit_log::{Batch, Commit, CommitLog, NewRecord, Options, Policy, TopicPartition, files::simulated::SimulatedFiles};
/// # let log = CommitLog::open(Arc::new(SimulatedFiles::new(1)), Options::default())?;
/// # let topic = log.create_topic("touchpoints", 1, Policy::Keep)?;
/// # let partition = TopicPartition { topic, partition: 0 };
/// # let mut commit = Commit::new();
/// # commit.record(partition, &NewRecord { value: Some(b"bought"), ..NewRecord::default() });
/// # log.append(&commit)?;
/// let (mut batch, mut seen) = (Batch::new(), 0);
/// while log.next_batch(partition, batch.next_offset(), &mut batch)? {
///     while let Some(record) = batch.next() {
///         assert_eq!(record.value, Some(&b"bought"[..]));
///         seen += 1;
///     }
/// }
/// assert_eq!((seen, batch.next_offset()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Batch {
    /// The block as it is stored, and its records if they had to be unpacked. Both grow to the largest that they held and
    /// stay so.
    bytes: Vec<u8>,
    unpacked: Vec<u8>,
    header: Option<BlockHeader>,
    /// Where in the records the next one begins.
    position: usize,
    /// Records from there on.
    remaining: u32,
    next_offset: u64,
}

impl Batch {
    /// An empty one, whose reader begins at offset 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one, whose reader begins at `offset`.
    pub fn starting_at(offset: u64) -> Self {
        Self { next_offset: offset, ..Self::default() }
    }

    /// The next record; `None` if there is none left in this batch. Borrows the batch: what is to stay must be copied.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend what it holds")]
    pub fn next(&mut self) -> Option<Record<'_>> {
        let header = self.header.filter(|_| self.remaining > 0)?;
        // Not a method: the record borrows these buffers while the other fields move on.
        let records = records(&header, &self.bytes, &self.unpacked);
        let rest = records.get(self.position..).unwrap_or_default();
        let mut reader = Reader::new(rest);
        let Some(record) = record::take(&mut reader, header.base) else {
            // The offset to go on from stays where it is: whoever asks for the next batch there is told of the damage.
            self.remaining = 0;
            return None;
        };
        self.position += rest.len() - reader.remaining();
        self.remaining -= 1;
        // What compaction removed behind the last record is behind the reader too.
        self.next_offset = if self.remaining == 0 { header.last() + 1 } else { record.offset + 1 };
        Some(record)
    }

    /// The timestamp of the record that [`Batch::next`] returns next, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn peek_timestamp_ms(&self) -> Option<i64> {
        self.peek().map(|(_, timestamp_ms)| timestamp_ms)
    }

    /// The offset of the record that [`Batch::next`] returns next.
    pub fn peek_offset(&self) -> Option<u64> {
        self.peek().map(|(offset, _)| offset)
    }

    /// The newest timestamp that the commit had in this partition, in milliseconds since 1970-01-01T00:00:00Z; compaction may
    /// have removed its record. `None` before the first batch.
    pub fn newest_ms(&self) -> Option<i64> {
        self.header.map(|header| header.newest_ms)
    }

    /// The offset to go on from: beyond the last record that was taken and beyond what was removed there.
    pub fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// How many records are left in it.
    pub fn len(&self) -> usize {
        self.remaining as usize
    }

    /// Whether no record is left in it.
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    fn peek(&self) -> Option<(u64, i64)> {
        let header = self.header.as_ref().filter(|_| self.remaining > 0)?;
        record::peek(&mut Reader::new(records(header, &self.bytes, &self.unpacked).get(self.position..)?), header.base)
    }

    /// Gives up what is left, and begins at `offset`.
    fn restart(&mut self, offset: u64) {
        self.remaining = 0;
        self.next_offset = offset;
    }

    /// Takes in the block that was read, from the first record at or after `from` on; `None` if it does not read as records.
    fn enter(&mut self, header: BlockHeader, from: u64) -> Option<()> {
        let records = records(&header, &self.bytes, &self.unpacked);
        let mut reader = Reader::new(records);
        let mut remaining = header.count;
        while remaining > 0 && record::peek(&mut reader.clone(), header.base)?.0 < from {
            record::take(&mut reader, header.base)?;
            remaining -= 1;
        }
        self.position = records.len() - reader.remaining();
        self.header = Some(header);
        self.remaining = remaining;
        if remaining == 0 {
            self.next_offset = from.max(header.last() + 1);
        }
        Some(())
    }
}

/// The records of a block, packed or not.
fn records<'a>(header: &BlockHeader, stored: &'a [u8], unpacked: &'a [u8]) -> &'a [u8] {
    if header.raw > header.length { unpacked } else { stored.get(BLOCK_HEADER_BYTES..).unwrap_or_default() }
}

impl CommitLog {
    /// Fills `batch` with the next records of a partition at or after `from`: those of one commit. False if there are none;
    /// `batch` is empty then. Either way [`Batch::next_offset`] tells where to go on. What `batch` held before is gone, also
    /// after an error. Allocates nothing once the batch has room for the largest commit.
    ///
    /// # Errors
    /// [`super::CommitLogError::Unknown`]; [`super::CommitLogError::OutOfRange`] if `from` is beyond the end;
    /// [`super::CommitLogError::Damaged`] if the block does not verify; [`super::CommitLogError::Refused`].
    pub fn next_batch(&self, partition: TopicPartition, from: u64, batch: &mut Batch) -> Result<bool> {
        let mut from = from;
        loop {
            batch.restart(from);
            let found = {
                let index = self.index();
                let found = known(&index, partition)?;
                if from > found.end {
                    return Err(out_of_range(partition, from, found.end));
                }
                let start = found.blocks.partition_point(|block| block.last < from);
                match found.blocks.get(start) {
                    None => {
                        batch.next_offset = found.end;
                        return Ok(false);
                    }
                    Some(entry) => index.segments.get(&entry.segment).map(|segment| (segment.clone(), *entry)),
                }
            };
            // Blocks and segments change together.
            let Some((segment, entry)) = found else { return Ok(false) };
            batch.bytes.resize(entry.length as usize, 0);
            read_block(&segment, &entry, &mut batch.bytes)?;
            let (header, _) = verified(&segment, &entry, partition, &batch.bytes, &mut batch.unpacked)?;
            batch.enter(header, from).ok_or_else(|| {
                damaged(&segment.name, u64::from(entry.position), "the records of a block do not read as records")
            })?;
            if !batch.is_empty() {
                return Ok(true);
            }
            // All that the block still has lies before `from`.
            from = batch.next_offset;
        }
    }

    /// The offset that the next record of each partition gets, in the order of `partitions` and all at one moment: of every
    /// commit they count everything or nothing. `ends` is emptied before.
    ///
    /// # Errors
    /// [`super::CommitLogError::Unknown`].
    pub fn ends(&self, partitions: &[TopicPartition], ends: &mut Vec<u64>) -> Result<()> {
        ends.clear();
        let index = self.index();
        for partition in partitions {
            ends.push(known(&index, *partition)?.end);
        }
        Ok(())
    }
}
