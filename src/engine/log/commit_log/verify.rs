//! A log that goes on in; the first thing that is wrong with its files, or how much was looked at, out.

use std::{collections::HashMap, sync::Arc};

use super::{
    block::{self, BLOCK_HEADER_BYTES, BlockHeader},
    codec::Reader,
    commit,
    error::{Result, damaged},
    frame::{HEADER_BYTES, Header, Kind},
    index::{BlockEntry, Index, take_footer},
    log::CommitLog,
    record::TopicPartition,
    segment::{Frames, Next, Segment},
    topic::Topic,
    view::View,
};

/// What was read, all of it good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Segments.
    pub segments: u64,
    /// Frames in them.
    pub frames: u64,
    /// Records in those.
    pub records: u64,
    /// Bytes of all that.
    pub bytes: u64,
}

/// Bytes read between two reports.
const PROGRESS_BYTES: u64 = 1 << 20;

type Blocks = Vec<(TopicPartition, BlockEntry)>;

/// One run over the files.
struct Verification<'a> {
    verified: Verified,
    /// The first offset that the next block of each partition may have.
    next_offsets: HashMap<TopicPartition, u64>,
    progress: &'a mut dyn FnMut(u64, u64),
    reported: u64,
    total: u64,
    /// Where a block is unpacked.
    room: Vec<u8>,
}

/// A segment that is read, and where in it.
struct At<'a> {
    segment: &'a Segment,
    blocks: Blocks,
    sequence: u64,
}

impl CommitLog {
    /// Reads everything that the log holds now, and compares checksums, order, footers and the index in memory with it. Tells
    /// `progress` how many bytes of how many it has read. Appenders, readers and the cleaner go on meanwhile.
    ///
    /// # Errors
    /// [`super::CommitLogError::Damaged`] for the first thing that is wrong; [`super::CommitLogError::Refused`].
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified> {
        let (view, tail_blocks) = {
            let writer = self.writer();
            let index = self.index();
            (View::of(&writer, &index), index.blocks_of(writer.tail.segment.first))
        };
        let mut total = view.tail_bytes;
        for segment in &view.closed {
            total += segment.length()?;
        }
        let mut run = Verification {
            verified: Verified::default(),
            next_offsets: HashMap::new(),
            progress,
            reported: 0,
            total,
            room: Vec::new(),
        };
        for (position, segment) in view.closed.iter().enumerate() {
            let next = view.closed.get(position + 1).unwrap_or(&view.tail).first;
            let expected = {
                let index = self.index();
                // One that was replaced meanwhile is compared with its footer alone.
                let is_there = index.segments.get(&segment.first).is_some_and(|found| Arc::ptr_eq(found, segment));
                is_there.then(|| index.blocks_of(segment.first))
            };
            run.closed(segment, next, expected.as_ref())?;
        }
        let mut frames = Frames::up_to(&view.tail, view.tail_bytes)?;
        let (at, _) = run.segment(&view.tail, &mut frames)?;
        if at.sequence != view.sequence {
            return Err(damaged(&view.tail.name, frames.position, "it ends before what was appended to it"));
        }
        at.is_as(&tail_blocks, frames.position, "its blocks are others than the index has")?;
        run.report(true);
        Ok(run.verified)
    }
}

impl Verification<'_> {
    /// Reads a closed segment, which lies before the one that begins with the number `next`.
    fn closed(&mut self, segment: &Segment, next: u64, expected: Option<&Blocks>) -> Result<()> {
        let mut frames = Frames::new(segment)?;
        let (at, footer) = self.segment(segment, &mut frames)?;
        let error = |reason| damaged(&segment.name, frames.position, reason);
        let footer = footer.ok_or_else(|| error("it ends without its footer"))?;
        if at.sequence >= next {
            return Err(error("it reaches over the segment behind it"));
        }
        at.is_as(&footer, frames.position, "its blocks are others than its footer has")?;
        expected
            .map_or(Ok(()), |expected| at.is_as(expected, frames.position, "its blocks are others than the index has"))
    }

    /// Reads all frames of a segment; returns what they have and what the footer says, if that is the last of them.
    fn segment<'a>(&mut self, segment: &'a Segment, frames: &mut Frames<'_>) -> Result<(At<'a>, Option<Blocks>)> {
        let mut at = At { segment, blocks: Vec::new(), sequence: 0 };
        let mut footer = None;
        loop {
            let (position, header, payload) = match frames.next()? {
                Next::Frame { position, header, payload } => (position, header, payload),
                Next::End => break,
                Next::Bad(_) => {
                    return Err(damaged(&segment.name, frames.position, "a frame's checksum does not match its bytes"));
                }
            };
            let error = |reason| damaged(&segment.name, position, reason);
            let is_first = position == 0;
            let follows = if is_first { header.sequence == segment.first } else { header.sequence > at.sequence };
            if !follows || footer.is_some() || is_first != (header.kind == Kind::Snapshot) {
                return Err(error("a frame is not in its place"));
            }
            at.sequence = header.sequence;
            match header.kind {
                Kind::Snapshot => {
                    Index::from_snapshot(payload).ok_or_else(|| error("a snapshot does not read as one"))?;
                }
                Kind::Topic => {
                    Topic::take(&mut Reader::new(payload)).ok_or_else(|| error("a topic does not read as one"))?;
                }
                Kind::Commit => self.commit(&mut at, position, payload)?,
                Kind::Footer => footer = Some(read_footer(&header, payload, segment, position)?),
            }
            self.verified.frames += 1;
            self.verified.bytes += header.frame_bytes();
            self.report(false);
        }
        self.verified.segments += 1;
        // The last segment's blocks come in order of positions, the index has them partition by partition.
        at.blocks.sort_by_key(|(partition, block)| (*partition, block.base));
        Ok((at, footer))
    }

    fn commit(&mut self, at: &mut At<'_>, position: u64, payload: &[u8]) -> Result<()> {
        let mut outcome = Ok(());
        let block = |header: BlockHeader, offset: usize, _: &[u8]| {
            let position = position + (HEADER_BYTES + offset) as u64;
            let end = offset + BLOCK_HEADER_BYTES + header.length as usize;
            let bytes = payload.get(offset..end).unwrap_or_default();
            if outcome.is_ok() {
                outcome = self.block(&header, bytes).map_err(|reason| damaged(&at.segment.name, position, reason));
            }
            at.blocks.push((header.partition, BlockEntry::new(&header, at.segment.first, position)));
        };
        let read = commit::read_payload(payload, block, |_, _| {});
        read.ok_or_else(|| damaged(&at.segment.name, position, "a commit does not read as one"))?;
        outcome
    }

    fn block(&mut self, header: &BlockHeader, bytes: &[u8]) -> std::result::Result<(), &'static str> {
        let (_, stored) = block::verify(bytes)?;
        let records = block::unpack(header, stored, &mut self.room).ok_or("the records of a block do not unpack")?;
        let next = self.next_offsets.entry(header.partition).or_default();
        if header.base < *next {
            return Err("a block lies before the one in front of it");
        }
        *next = header.last() + 1;
        let mut at_least = header.base;
        let read = block::each_record(header, records, |record, _| {
            let is_good =
                (at_least..=header.last()).contains(&record.offset) && record.timestamp_ms <= header.newest_ms;
            at_least = record.offset + 1;
            is_good
        });
        if read != Some(true) {
            return Err("the records of a block do not read as records in order");
        }
        self.verified.records += u64::from(header.count);
        Ok(())
    }

    fn report(&mut self, always: bool) {
        let done = self.verified.bytes;
        if always || done - self.reported >= PROGRESS_BYTES {
            self.reported = done;
            (self.progress)(done, self.total);
        }
    }
}

impl At<'_> {
    fn is_as(&self, expected: &Blocks, position: u64, otherwise: &str) -> Result<()> {
        if self.blocks == *expected { Ok(()) } else { Err(damaged(&self.segment.name, position, otherwise)) }
    }
}

fn read_footer(header: &Header, payload: &[u8], segment: &Segment, position: u64) -> Result<Blocks> {
    // The end of the file is how a footer is found.
    let points_here = payload.last_chunk() == Some(&position.to_le_bytes());
    let blocks = take_footer(payload, segment.first).filter(|_| points_here && header.kind == Kind::Footer);
    blocks.ok_or_else(|| damaged(&segment.name, position, "a footer does not read as one"))
}
