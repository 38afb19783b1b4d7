//! A time and what was processed in; segments without the records that nobody needs out.
//!
//! Only closed segments are touched. One of which nothing is needed is removed; one of which less than half is needed, or which
//! holds what its age should have taken long ago, is rewritten beside the original, synced, and takes its name. Small ones that lie one after the other are rewritten into one
//! file, which takes the name of the first:
//!
//! ```text
//! A B C ── A.cleaned is written, synced and renamed ──> A' B C ── markers for B and C ──> A' ── the next snapshot ──> A'
//!                                                                                        B.removed C.removed
//! ```
//! From the rename on, the footer of A' says that it reaches over B and C: opening the log removes them. Each step is durable
//! before the next. Appenders and readers go on meanwhile. A record that nobody needs can be read until then.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, PoisonError},
};

use super::{
    compact::{Compaction, Dead},
    error::{Result, refused},
    frame::HEADER_BYTES,
    index::BlockEntry,
    log::{CommitLog, lock},
    record::TopicPartition,
    recover::CLEANED,
    rewrite::{Verdict, copy_live},
    segment::{self, Segment},
    topic::Policy,
};

/// What cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Segments that were removed because nothing of them is needed.
    pub segments_removed: u64,
    /// Segments that were rewritten by themselves.
    pub segments_rewritten: u64,
    /// Segments that were merged with others.
    pub segments_merged: u64,
    /// Segments that they became.
    pub segments_merged_into: u64,
    /// Bytes that this freed.
    pub bytes_freed: u64,
}

/// What goes by its age is not rewritten for more often than this, ms.
pub const OVERDUE_MIN_MS: i64 = 3_600_000;

/// Whether everything of this age is gone from every file.
fn is_overdue(newest_ms: i64, retention_ms: i64, now_ms: i64) -> bool {
    let kept_ms = retention_ms.saturating_add(OVERDUE_MIN_MS.max(retention_ms / 2));
    newest_ms < now_ms.saturating_sub(kept_ms)
}

impl CommitLog {
    /// [`CommitLog::clean`], so that no file holds anything that may be given up: the last segment is closed first, every
    /// compacted partition is read, and a segment is rewritten for a single record. As costly as reading and writing all of
    /// it; for what must not be there any more, as after an erasure.
    ///
    /// # Errors
    /// As [`CommitLog::roll`] and [`CommitLog::clean`].
    pub fn clean_thoroughly(&self, now_ms: i64, processed: &dyn Fn(u32, u32) -> Option<u64>) -> Result<Cleaned> {
        self.roll()?;
        self.clean_with(now_ms, processed, true)
    }

    /// Gives up what the topics' policies allow at `now_ms`, where it is worth the rewriting. What goes by its age does not wait for
    /// that for long: of a [`Policy::Delete`] topic no file holds a record once it is older than `retention_ms` by half of that
    /// again, or by [`OVERDUE_MIN_MS`] if that is more. `processed` tells, for topic id and partition, the offset below
    /// which records are not needed. Of a [`Policy::Processed`] topic `None` says that all are; of a [`Policy::Delete`] topic that
    /// nobody has to read them before they go. Takes long; one runs at a time.
    ///
    /// # Errors
    /// [`super::CommitLogError::Full`] and [`super::CommitLogError::Refused`]: segments cleaned by then stay so, the others are as they were.
    /// [`super::CommitLogError::Damaged`]: a segment does not read as what was written. [`super::CommitLogError::Broken`].
    pub fn clean(&self, now_ms: i64, processed: &dyn Fn(u32, u32) -> Option<u64>) -> Result<Cleaned> {
        if self.tail_is_overdue(now_ms, processed) {
            self.roll()?;
        }
        self.clean_with(now_ms, processed, false)
    }

    /// Whether the last segment, which is never rewritten, holds what has to be gone.
    fn tail_is_overdue(&self, now_ms: i64, processed: &dyn Fn(u32, u32) -> Option<u64>) -> bool {
        let tail = self.writer().tail.segment.first;
        let overdue: Vec<(TopicPartition, u64)> = {
            let index = self.index();
            let partitions = index.partitions().filter_map(|(partition, found)| {
                let Policy::Delete { retention_ms } = index.topics.get(partition.topic as usize)?.policy else {
                    return None;
                };
                let open = found.blocks.partition_point(|block| block.segment < tail);
                let is_overdue = |block: &&BlockEntry| is_overdue(block.newest_ms, retention_ms, now_ms);
                found.blocks[open..].iter().find(is_overdue).map(|block| (partition, block.last))
            });
            partitions.collect()
        };
        // Asked when the index is not locked: the answer may come from the log itself.
        let is_read = |(partition, last): &(TopicPartition, u64)| {
            processed(partition.topic, partition.partition).is_none_or(|needed_from| *last < needed_from)
        };
        overdue.iter().any(is_read)
    }

    fn clean_with(
        &self,
        now_ms: i64,
        processed: &dyn Fn(u32, u32) -> Option<u64>,
        thoroughly: bool,
    ) -> Result<Cleaned> {
        let mut cleaning = self.cleaning.lock().unwrap_or_else(PoisonError::into_inner);
        self.writer().check()?;
        self.settle()?;
        let (mut verdicts, mut compaction) = self.survey(now_ms, processed, (&cleaning, thoroughly));
        // What was processed may be known from consumer offsets that a power cut would take back, but not the removal.
        self.sync()?;
        compaction.run(self, now_ms)?;
        let mut cleaned = Cleaned::default();
        let mut removed = Vec::new();
        for verdict in &mut verdicts {
            let first = verdict.segment.first;
            let dead = compaction.dead_in(first);
            verdict.live.records = verdict.live.records.saturating_sub(dead.records);
            verdict.live.bytes = verdict.live.bytes.saturating_sub(dead.bytes);
            verdict.is_whole = verdict.dead.is_empty() && dead.records == 0;
            if verdict.live.records == 0 {
                removed.push(first);
                cleaned.bytes_freed += verdict.segment.closed_length()?;
            }
        }
        // First what makes room, then what takes some for a while.
        self.remove_segments(&removed)?;
        cleaned.segments_removed = removed.len() as u64;
        verdicts.retain(|verdict| verdict.live.records > 0);
        let must_go = |verdict: &Verdict| thoroughly || verdict.is_overdue;
        for run in runs(&self.sizes(&verdicts)?, self.options.merge_min, self.options.segment_bytes) {
            let run = &verdicts[run];
            match run {
                [one] if one.is_whole || !must_go(one) && one.live.bytes >= one.blocks_bytes / 2 => continue,
                [_] => cleaned.segments_rewritten += 1,
                _ => {
                    cleaned.segments_merged += run.len() as u64;
                    cleaned.segments_merged_into += 1;
                }
            }
            cleaned.bytes_freed += self.rewrite(run, &compaction.dead)?;
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
        (reached, thoroughly): (&HashMap<TopicPartition, u64>, bool),
    ) -> (Vec<Verdict>, Compaction) {
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
            verdicts.insert(*first, Verdict::new(segment));
        }
        let mut compaction = Compaction::new(self.options.compaction_keys_max);
        for (partition, found) in index.partitions() {
            let Some(topic) = index.topics.get(partition.topic as usize) else { continue };
            let needed_from = needed_from.get(&partition).copied();
            let closed = found.blocks.partition_point(|block| block.segment < tail);
            for block in &found.blocks[..closed] {
                let is_dead = match topic.policy {
                    Policy::Keep | Policy::Compact { .. } => false,
                    // What somebody has still to read stays, however old it is.
                    Policy::Delete { retention_ms } => {
                        block.newest_ms < now_ms.saturating_sub(retention_ms)
                            && needed_from.is_none_or(|needed_from| block.last < needed_from)
                    }
                    Policy::Processed => needed_from.is_some_and(|needed_from| block.last < needed_from),
                };
                let Some(verdict) = verdicts.get_mut(&block.segment) else { continue };
                verdict.blocks_bytes += u64::from(block.length);
                if is_dead {
                    verdict.dead.insert((partition, block.base));
                    verdict.is_overdue |= match topic.policy {
                        Policy::Delete { retention_ms } => is_overdue(block.newest_ms, retention_ms, now_ms),
                        Policy::Keep | Policy::Compact { .. } | Policy::Processed => false,
                    };
                } else {
                    verdict.live.records += u64::from(block.count);
                    verdict.live.bytes += u64::from(block.length);
                    verdict.live_blocks += 1;
                }
            }
            if let Policy::Compact { delete_retention_ms } = topic.policy {
                let blocks = found.blocks[..closed]
                    .iter()
                    .filter_map(|block| Some((Arc::clone(&verdicts.get(&block.segment)?.segment), *block)));
                let reached = reached.get(&partition).copied().unwrap_or(0);
                compaction.add(partition, delete_retention_ms, blocks.collect(), (reached, thoroughly));
            }
        }
        let mut verdicts: Vec<_> = verdicts.into_values().collect();
        verdicts.sort_by_key(|verdict| verdict.segment.first);
        (verdicts, compaction)
    }

    /// About how many bytes each segment will have when it is rewritten; rather more.
    fn sizes(&self, verdicts: &[Verdict]) -> Result<Vec<u64>> {
        let frame_bytes = (HEADER_BYTES + 8) as u64;
        let size = |verdict: &Verdict| {
            Ok(verdict.segment.closed_length()?.min(verdict.live.bytes + verdict.live_blocks * frame_bytes))
        };
        verdicts.iter().map(size).collect()
    }

    /// Writes segments without what is dead into one file, and puts it in their place. Returns the bytes that this freed.
    fn rewrite(&self, run: &[Verdict], dead: &Dead) -> Result<u64> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(0) };
        let (first, last) = (&first.segment, &last.segment);
        let mut freed = 0;
        for verdict in run {
            freed += verdict.segment.closed_length()?;
        }
        let temporary = format!("{}{CLEANED}", first.name);
        let error = |reason| refused("rewrite", &first.name, reason);
        let file = self.files.create(&temporary).map_err(error)?;
        let copied = copy_live(run, dead, Arc::clone(&file)).and_then(|copy| {
            file.sync().map_err(error)?;
            Ok(copy)
        });
        // A roll meanwhile would be the first to name what the new file reaches over no more, before that file is sure to stay.
        let one_at_a_time = lock(&self.syncing);
        let copied = copied.and_then(|copy| {
            // Their names are another's from here on, and readers may still have them. After an error nobody knows whose the
            // names are: they stay open then.
            run.iter().try_for_each(|verdict| verdict.segment.hold())?;
            self.files.rename(&temporary, &first.name).map_err(error)?;
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
        let segment = Arc::new(Segment::closed(&self.handles, first.first));
        {
            let mut index = self.index_mut();
            index.replace(first.first..=last.first, &blocks);
            for verdict in run {
                index.segments.remove(&verdict.segment.first);
            }
            index.segments.insert(first.first, segment);
        }
        if run.len() > 1 {
            self.sync_names()?;
            drop(one_at_a_time);
            let superseded: Vec<u64> = run[1..].iter().map(|verdict| verdict.segment.first).collect();
            self.remove_segments(&superseded)?;
        }
        Ok(freed.saturating_sub(length))
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
            let segment = self.index().segments.get(first).cloned();
            if let Some(segment) = segment {
                segment.hold()?;
            }
            self.index_mut().remove(*first);
        }
        for first in firsts {
            let name = segment::file_name(*first);
            self.files.remove(&name).map_err(|reason| refused("remove", &name, reason))?;
        }
        Ok(())
    }

    /// Finishes removals that failed before, and removes the markers that nobody asks for any more.
    fn settle(&self) -> Result<()> {
        let names = self.files.list().map_err(|reason| refused("read", &self.files.name(), reason))?;
        let tail = self.writer().tail.segment.first;
        let mut left: Vec<u64> = names.iter().filter_map(|name| segment::first_of(name)).collect();
        {
            let index = self.index();
            left.retain(|first| *first < tail && !index.segments.contains_key(first));
        }
        self.remove_segments(&left)?;
        let mut markers: Vec<u64> = names.iter().filter_map(|name| segment::marked(name)).collect();
        {
            let index = self.index();
            markers.retain(|first| !index.listed.contains(first));
        }
        for first in markers {
            let name = segment::marker_name(first);
            self.files.remove(&name).map_err(|reason| refused("remove", &name, reason))?;
        }
        Ok(())
    }

    fn sync_names(&self) -> Result<()> {
        self.files
            .sync_directory()
            .map_err(|reason| self.writer().break_log(format!("a sync of the directory failed ({reason})")))
    }
}

/// Which segments become one: each run of at least `merge_min` whose sizes together fit `segment_bytes`, and of which none is
/// larger than the others together: what is merged grows to twice its size at least, so that no record is copied more often
/// than its segment doubles. Between the runs, each segment is a run of its own.
fn runs(sizes: &[u64], merge_min: usize, segment_bytes: u64) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    while start < sizes.len() {
        let (mut sum, mut largest, mut end) = (0, 0, start + 1);
        for (position, &size) in sizes.iter().enumerate().skip(start) {
            sum += size;
            largest = size.max(largest);
            if sum > segment_bytes {
                break;
            }
            if position + 1 - start >= merge_min.max(2) && largest <= sum - largest {
                end = position + 1;
            }
        }
        runs.push(start..end);
        start = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_small_segments_are_found() {
        let check = |sizes: &[u64], wanted: &[(usize, usize)]| {
            let found = runs(sizes, 3, 10);
            assert_eq!(found.iter().map(Range::len).sum::<usize>(), sizes.len());
            let merged = found.iter().filter(|run| run.len() > 1).map(|run| (run.start, run.end));
            assert_eq!(merged.collect::<Vec<_>>(), wanted, "{sizes:?}");
        };
        check(&[], &[]);
        check(&[1, 1], &[]);
        check(&[1, 1, 1], &[(0, 3)]);
        check(&[3, 1, 1], &[]);
        check(&[3, 1, 1, 1], &[(0, 4)]);
        check(&[9, 1, 1, 1, 8, 2, 2, 2, 2, 2, 2], &[(1, 4), (5, 10)]);
        check(&[4, 4, 4, 4, 20, 0, 0, 0], &[(5, 8)]);
        check(&[1; 25], &[(0, 10), (10, 20), (20, 25)]);
    }

    #[test]
    fn a_record_is_copied_about_as_often_as_its_segment_doubles() {
        let (mut sizes, mut copied, mut written) = (Vec::new(), 0, 0);
        for _ in 0..4096 {
            sizes.push(1);
            written += 1;
            for run in runs(&sizes.clone(), 4, 1024).into_iter().rev().filter(|run| run.len() > 1) {
                let sum: u64 = sizes[run.clone()].iter().sum();
                copied += sum;
                sizes.splice(run, [sum]);
            }
            assert!(sizes.len() < 40, "{sizes:?}");
        }
        assert!(copied <= written * 10, "{copied} bytes were copied to merge {written}");
    }
}
