//! Closed segments that lie one after the other and what is dead in them in; one file without it out.

use std::{collections::HashSet, sync::Arc};

use super::{
    block::{self, BLOCK_HEADER_BYTES, BlockHeader},
    commit,
    compact::{Dead, Share},
    error::{Result, damaged, refused},
    files::File,
    frame::{self, Header, Kind},
    index::{self, BlockEntry},
    record::TopicPartition,
    segment::{Frames, Next, Segment},
};

/// What is needed of a closed segment.
pub(crate) struct Verdict {
    pub(crate) segment: Arc<Segment>,
    /// Blocks of which nothing is needed.
    pub(crate) dead: HashSet<(TopicPartition, u64)>,
    pub(crate) blocks_bytes: u64,
    pub(crate) live: Share,
    /// Blocks of which something may be needed.
    pub(crate) live_blocks: u64,
    /// Everything of it is needed.
    pub(crate) is_whole: bool,
    /// Something of it should have gone long ago.
    pub(crate) is_overdue: bool,
}

impl Verdict {
    /// Nothing was judged yet.
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        Self {
            segment,
            dead: HashSet::new(),
            blocks_bytes: 0,
            live: Share::default(),
            live_blocks: 0,
            is_whole: false,
            is_overdue: false,
        }
    }
}

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Copies what is needed of segments into `file`; returns the blocks that are left and the bytes written. The file begins with
/// the snapshot of the first and ends with the footer of the last: frames keep their sequence numbers, so that the footer
/// tells how far the file reaches.
pub(crate) fn copy_live(
    run: &[Verdict],
    dead: &Dead,
    file: Arc<dyn File>,
) -> Result<(Vec<(TopicPartition, BlockEntry)>, u64)> {
    let Some(first) = run.first().map(|verdict| &verdict.segment) else { return Ok((Vec::new(), 0)) };
    let mut copy = Rewriting { name: &first.name, file, written: 0, gathered: Vec::new() };
    let mut blocks = Vec::new();
    let mut bytes = Vec::new();
    let mut footer = None;
    for verdict in run {
        let old = &verdict.segment;
        let mut frames = Frames::new(old)?;
        footer = loop {
            let (header, payload, at) = match frames.next()? {
                Next::Frame { position, header, payload } => (header, payload, position),
                Next::End | Next::Bad(_) => {
                    return Err(damaged(&old.name, frames.position, "it does not end with its footer"));
                }
            };
            frame::begin(&mut bytes);
            match header.kind {
                // What the later ones say, the last segment says too.
                Kind::Snapshot if old.first != first.first => continue,
                Kind::Snapshot | Kind::Topic => bytes.extend_from_slice(payload),
                Kind::Commit => {
                    let position = copy.position();
                    let before = blocks.len();
                    put_live(payload, verdict, dead, &mut bytes, |header, offset| {
                        let entry = BlockEntry::new(&header, first.first, position + offset as u64);
                        blocks.push((header.partition, entry));
                    })
                    .ok_or_else(|| damaged(&old.name, at, "a commit does not read as one"))?;
                    if blocks.len() == before {
                        continue;
                    }
                }
                Kind::Footer => break Some(header),
            }
            copy.put(&mut bytes, &header)?;
        };
    }
    blocks.sort_by_key(|(partition, block)| (*partition, block.base));
    if let Some(header) = footer {
        frame::begin(&mut bytes);
        index::put_footer(&blocks, copy.position(), &mut bytes);
        copy.put(&mut bytes, &header)?;
    }
    copy.flush()?;
    Ok((blocks, copy.written))
}

/// Writes the blocks of a commit that are needed, without consumer offsets: the snapshot of the next segment has them.
fn put_live(
    payload: &[u8],
    verdict: &Verdict,
    dead: &Dead,
    into: &mut Vec<u8>,
    mut each: impl FnMut(BlockHeader, usize),
) -> Option<()> {
    let (mut room, mut packed) = (Vec::new(), Vec::new());
    let mut count = 0_u32;
    let mut is_good = true;
    let count_at = into.len();
    into.extend_from_slice(&count.to_le_bytes());
    let block = |mut header: BlockHeader, _: usize, records: &[u8]| {
        if verdict.dead.contains(&(header.partition, header.base)) {
            return;
        }
        let start = into.len();
        into.resize(start + BLOCK_HEADER_BYTES, 0);
        let mut left = 0;
        let copied = block::unpack(&header, records, &mut room).and_then(|records| {
            block::each_record(&header, records, |record, bytes| {
                if !dead.contains(header.partition, record.offset) {
                    into.extend_from_slice(bytes);
                    left += 1;
                }
                true
            })
        });
        is_good &= copied.is_some();
        if left == 0 {
            into.truncate(start);
            return;
        }
        header.count = left;
        header.raw = (into.len() - start - BLOCK_HEADER_BYTES) as u32;
        if let Some(packed) = block::pack(&into[start + BLOCK_HEADER_BYTES..], &mut packed) {
            into.truncate(start + BLOCK_HEADER_BYTES);
            into.extend_from_slice(packed);
        }
        header.length = (into.len() - start - BLOCK_HEADER_BYTES) as u32;
        header.seal(&mut into[start..]);
        each(header, start);
        count += 1;
    };
    commit::read_payload(payload, block, |_, _| {})?;
    into.extend_from_slice(&0_u32.to_le_bytes());
    into[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
    is_good.then_some(())
}

/// A file that is written from its beginning in large pieces.
struct Rewriting<'a> {
    name: &'a str,
    file: Arc<dyn File>,
    written: u64,
    gathered: Vec<u8>,
}

impl Rewriting<'_> {
    /// Where the next frame begins.
    fn position(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    /// Adds a frame with the numbers of its original.
    fn put(&mut self, bytes: &mut [u8], header: &Header) -> Result<()> {
        frame::seal(bytes, header.kind, header.sequence, header.durable);
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.file.write_at(&self.gathered, self.written);
        written.map_err(|reason| refused("rewrite", self.name, reason))?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }
}
