//! A time and what was processed in; segments without the records that nobody needs out.
//!
//! Only closed segments are touched, and only those of which less than half is needed: one is rewritten beside the original,
//! synced, and takes its name; one of which nothing is needed is removed. Appenders and readers go on meanwhile. A record
//! that nobody needs can be read until then.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
};

use super::{
    block::{self, BLOCK_HEADER_BYTES, BlockHeader},
    commit,
    commit_log::CommitLog,
    compact::{Compaction, Dead, Share},
    error::{Result, damaged, refused},
    files::File,
    frame::{self, Header, Kind},
    index::{self, BlockEntry},
    record::TopicPartition,
    recover::CLEANED,
    segment::{self, Frames, Next, Segment},
    topic::Policy,
};

/// What cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Segments that were removed.
    pub segments_removed: u64,
    /// Segments that were rewritten.
    pub segments_rewritten: u64,
    /// Bytes that this freed.
    pub bytes_freed: u64,
}

/// What is needed of a closed segment.
struct Verdict {
    segment: Arc<Segment>,
    /// Blocks of which nothing is needed.
    dead: HashSet<(TopicPartition, u64)>,
    blocks_bytes: u64,
    live: Share,
}

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

impl CommitLog {
    /// Gives up what the topics' policies allow at `now_ms`. `processed` tells, for topic id and partition, the offset below
    /// which records of a [`Policy::Processed`] topic are not needed; `None`: all are. Takes long; one runs at a time.
    ///
    /// # Errors
    /// [`super::CommitLogError::Full`] and [`super::CommitLogError::Refused`]: segments cleaned by then stay so, the others are as they were.
    /// [`super::CommitLogError::Damaged`]: a segment does not read as what was written. [`super::CommitLogError::Broken`].
    pub fn clean(&self, now_ms: i64, processed: &dyn Fn(u32, u32) -> Option<u64>) -> Result<Cleaned> {
        let mut cleaning = self.cleaning.lock().unwrap_or_else(PoisonError::into_inner);
        self.writer().check()?;
        self.remove_markers()?;
        let (mut verdicts, mut compaction) = self.survey(now_ms, processed, &cleaning);
        // What was processed may be known from consumer offsets that a power cut would take back, but not the removal.
        self.sync()?;
        compaction.run(self, now_ms)?;
        let mut cleaned = Cleaned::default();
        let mut removed = Vec::new();
        for (first, verdict) in &mut verdicts {
            let dead = compaction.dead_in(*first);
            verdict.live.records = verdict.live.records.saturating_sub(dead.records);
            verdict.live.bytes = verdict.live.bytes.saturating_sub(dead.bytes);
            if verdict.live.records == 0 {
                removed.push(*first);
                cleaned.bytes_freed += verdict.segment.length()?;
            }
        }
        // First what makes room, then what takes some for a while.
        self.remove_segments(&removed)?;
        cleaned.segments_removed = removed.len() as u64;
        for (_, verdict) in &verdicts {
            if verdict.live.records > 0 && verdict.live.bytes < verdict.blocks_bytes / 2 {
                cleaned.bytes_freed += self.rewrite(verdict, &compaction.dead)?;
                cleaned.segments_rewritten += 1;
            }
        }
        // A name that a power cut takes back costs room, not truth: what comes back is superseded or marked. But a tombstone must
        // not go, the next time, before what it deletes is gone for good.
        if cleaned != Cleaned::default() {
            self.sync_names()?;
        }
        cleaning.extend(compaction.reached);
        Ok(cleaned)
    }

    /// Judges every block of the closed segments, except for those of compacted topics, which have to be read.
    fn survey(
        &self,
        now_ms: i64,
        processed: &dyn Fn(u32, u32) -> Option<u64>,
        reached: &HashMap<TopicPartition, u64>,
    ) -> (Vec<(u64, Verdict)>, Compaction) {
        // Asked before the index is locked: the answer may come from the log itself.
        let partitions: Vec<TopicPartition> = self.index().partitions().map(|(partition, _)| partition).collect();
        let needed_from: HashMap<TopicPartition, u64> = partitions
            .iter()
            .filter_map(|partition| Some((*partition, processed(partition.topic, partition.partition)?)))
            .collect();
        // The writer's last segment, not the index's: while a new one is begun, they differ.
        let tail = self.writer().tail.segment.first;
        let index = self.index();
        let mut verdicts = HashMap::new();
        for (first, segment) in index.segments.range(..tail) {
            let segment = Arc::clone(segment);
            verdicts.insert(*first, Verdict { segment, dead: HashSet::new(), blocks_bytes: 0, live: Share::default() });
        }
        let mut compaction = Compaction::new(self.options.compaction_keys_max);
        for (partition, found) in index.partitions() {
            let Some(topic) = index.topics.get(partition.topic as usize) else { continue };
            let needed_from = needed_from.get(&partition).copied().unwrap_or(0);
            let closed = found.blocks.partition_point(|block| block.segment < tail);
            for block in &found.blocks[..closed] {
                let is_dead = match topic.policy {
                    Policy::Keep | Policy::Compact { .. } => false,
                    Policy::Delete { retention_ms } => block.newest_ms < now_ms.saturating_sub(retention_ms),
                    Policy::Processed => block.last < needed_from,
                };
                let Some(verdict) = verdicts.get_mut(&block.segment) else { continue };
                verdict.blocks_bytes += u64::from(block.length);
                if is_dead {
                    verdict.dead.insert((partition, block.base));
                } else {
                    verdict.live.records += u64::from(block.count);
                    verdict.live.bytes += u64::from(block.length);
                }
            }
            if let Policy::Compact { delete_retention_ms } = topic.policy {
                let blocks = found.blocks[..closed]
                    .iter()
                    .filter_map(|block| Some((Arc::clone(&verdicts.get(&block.segment)?.segment), *block)));
                let reached = reached.get(&partition).copied().unwrap_or(0);
                compaction.add(partition, delete_retention_ms, blocks.collect(), reached);
            }
        }
        let mut verdicts: Vec<_> = verdicts.into_iter().collect();
        verdicts.sort_by_key(|(first, _)| *first);
        (verdicts, compaction)
    }

    /// Writes a segment without what is dead, and puts it in the place of the original. Returns the bytes that this freed.
    fn rewrite(&self, verdict: &Verdict, dead: &Dead) -> Result<u64> {
        let old = &verdict.segment;
        let temporary = format!("{}{CLEANED}", old.name);
        let error = |reason| refused("rewrite", &old.name, reason);
        let file = self.files.create(&temporary).map_err(error)?;
        let copied = copy_live(verdict, dead, Arc::clone(&file)).and_then(|copy| {
            file.sync().map_err(error)?;
            self.files.rename(&temporary, &old.name).map_err(error)?;
            Ok(copy)
        });
        let (blocks, length) = match copied {
            Ok(copy) => copy,
            Err(error) => {
                // It takes room; if it stays, opening the log removes it.
                let _ = self.files.remove(&temporary);
                return Err(error);
            }
        };
        let freed = old.length()?.saturating_sub(length);
        let segment = Arc::new(Segment { first: old.first, name: old.name.clone(), file });
        {
            let mut index = self.index_mut();
            index.replace(old.first, &blocks);
            index.segments.insert(old.first, segment);
        }
        Ok(freed)
    }

    /// Removes segments of which nothing is needed. Each leaves a marker, so that a file that is missing for another reason is
    /// noticed, until a snapshot is durable that does not name it.
    fn remove_segments(&self, firsts: &[u64]) -> Result<()> {
        if firsts.is_empty() {
            return Ok(());
        }
        for first in firsts {
            let name = segment::marker_name(*first);
            self.files.create(&name).map_err(|reason| refused("write", &name, reason))?;
        }
        self.sync_names()?;
        for first in firsts {
            self.index_mut().remove(*first);
        }
        for first in firsts {
            let name = segment::file_name(*first);
            self.files.remove(&name).map_err(|reason| refused("remove", &name, reason))?;
        }
        Ok(())
    }

    /// Removes the markers that nobody asks for any more.
    fn remove_markers(&self) -> Result<()> {
        let names = self.files.list().map_err(|reason| refused("read", &self.files.name(), reason))?;
        for marker in &names {
            let Some(first) = segment::marked(marker) else { continue };
            let is_asked_for = self.index().listed.contains(&first);
            if !is_asked_for {
                // The segment is still there if removing it failed.
                let name = segment::file_name(first);
                for name in names.iter().filter(|found| **found == name).chain([marker]) {
                    self.files.remove(name).map_err(|reason| refused("remove", name, reason))?;
                }
            }
        }
        Ok(())
    }

    fn sync_names(&self) -> Result<()> {
        self.files
            .sync_directory()
            .map_err(|reason| self.writer().break_log(format!("a sync of the directory failed ({reason})")))
    }
}

/// Copies what is needed of a segment into `file`; returns the blocks that are left and the bytes written.
fn copy_live(verdict: &Verdict, dead: &Dead, file: Arc<dyn File>) -> Result<(Vec<(TopicPartition, BlockEntry)>, u64)> {
    let old = &verdict.segment;
    let mut copy = Rewriting { name: &old.name, file, written: 0, gathered: Vec::new() };
    let mut blocks = Vec::new();
    let mut frames = Frames::new(old)?;
    let mut bytes = Vec::new();
    loop {
        let (header, payload, at) = match frames.next()? {
            Next::Frame { position, header, payload } => (header, payload, position),
            Next::End | Next::Bad(_) => {
                return Err(damaged(&old.name, frames.position, "it does not end with its footer"));
            }
        };
        frame::begin(&mut bytes);
        match header.kind {
            Kind::Snapshot | Kind::Topic => bytes.extend_from_slice(payload),
            Kind::Commit => {
                let position = copy.position();
                let first = blocks.len();
                put_live(payload, verdict, dead, &mut bytes, |header, offset| {
                    blocks.push((header.partition, BlockEntry::new(&header, old.first, position + offset as u64)));
                })
                .ok_or_else(|| damaged(&old.name, at, "a commit does not read as one"))?;
                if blocks.len() == first {
                    continue;
                }
            }
            Kind::Footer => {
                blocks.sort_by_key(|(partition, block)| (*partition, block.base));
                index::put_footer(&blocks, copy.position(), &mut bytes);
                copy.put(&mut bytes, &header)?;
                copy.flush()?;
                return Ok((blocks, copy.written));
            }
        }
        copy.put(&mut bytes, &header)?;
    }
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
        let unpacked = block::unpack(&header, records, &mut room);
        let copied = unpacked.and_then(|records| {
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
        if block::pack(&into[start + BLOCK_HEADER_BYTES..], &mut packed) {
            into.truncate(start + BLOCK_HEADER_BYTES);
            into.extend_from_slice(&packed);
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
