//! Commits in; records in order, end offsets and consumer offsets out. Appenders and readers share it over threads.
//!
//! Locks are taken in this order: `cleaning`, `syncing`, `writer`, `index`. Only `syncing` is held over a sync of the last segment, no lock
//! over a read of records, and `index` never over IO.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    ops::ControlFlow,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use super::{
    block,
    commit::Commit,
    error::{CommitLogError, Result, damaged, out_of_range},
    files::{Files, Held},
    frame::Kind,
    handles::Handles,
    index::{BlockEntry, Index, Partition},
    record::{Record, TopicPartition},
    recover::{self, Recovery},
    segment::Segment,
    topic::{Policy, Topic},
    writer::Writer,
};

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment that has so many bytes is closed. Small ones are cleaned sooner, large ones need fewer files.
    pub segment_bytes: u64,
    /// Files of closed segments that are open at a time; each takes a descriptor of the process.
    pub open_files_max: usize,
    /// So many adjacent closed segments that fit one together are merged by [`CommitLog::clean`]: at least two. More at a time
    /// copy less; what stays apart takes a file each.
    pub merge_min: usize,
    /// Keys that compaction remembers at a time, about 100 bytes each; a partition with more records is read several times.
    pub compaction_keys_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, open_files_max: 256, merge_min: 4, compaction_keys_max: 1 << 20 }
    }
}

/// Positions in a segment are 32 bits; the last frame may pass the limit by its own size.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Blocks that one read looks at: what it holds in memory besides one block.
const READ_BLOCKS_MAX: usize = 1024;

/// What an append did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The commit's sequence number: it is durable when [`CommitLog::durable`] has reached it.
    pub sequence: u64,
    /// The offset of the first record of each partition, in the order in which the log holds them.
    pub bases: Vec<(TopicPartition, u64)>,
}

/// A durable log of commits in one directory. Dropping it syncs nothing.
pub struct CommitLog {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) handles: Arc<Handles>,
    pub(crate) options: Options,
    recovery: Recovery,
    /// Held over syncs, rolls and new names for what is rewritten.
    pub(crate) syncing: Mutex<()>,
    /// One at a time; up to which offset each compacted partition was read.
    pub(crate) cleaning: Mutex<HashMap<TopicPartition, u64>>,
    writer: Mutex<Writer>,
    /// Told after every append.
    appended: Condvar,
    index: RwLock<Index>,
    _lock: Box<dyn Held>,
}

impl CommitLog {
    /// Opens the log in a directory, or begins one where there is none. Everything that is there is durable then.
    ///
    /// # Errors
    /// [`CommitLogError::Locked`], [`CommitLogError::Format`] and [`CommitLogError::Damaged`] stay until somebody acts; others may pass.
    pub fn open(files: Arc<dyn Files>, options: Options) -> Result<Self> {
        let lock = recover::lock(files.as_ref())?;
        let handles = Arc::new(Handles::new(Arc::clone(&files), options.open_files_max));
        let (index, writer, recovery) = recover::recover(&handles)?;
        let segment_bytes = options.segment_bytes.min(SEGMENT_BYTES_MAX);
        Ok(Self {
            files,
            handles,
            options: Options { segment_bytes, ..options },
            recovery,
            syncing: Mutex::new(()),
            cleaning: Mutex::new(HashMap::new()),
            writer: Mutex::new(writer),
            appended: Condvar::new(),
            index: RwLock::new(index),
            _lock: lock,
        })
    }

    /// What opening it found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Creates a topic, or changes the policy of the one that is there; returns its id. Synced when it returns.
    ///
    /// # Errors
    /// [`CommitLogError::Topic`] if it has another number of partitions; otherwise as [`CommitLog::append`] and
    /// [`CommitLog::sync`].
    pub fn create_topic(&self, name: &str, partitions: u32, policy: Policy) -> Result<u32> {
        let topic = Topic { name: name.to_owned(), partitions, policy };
        let mut writer = self.writer_with_room()?;
        if let Some(id) = self.index().topic_id(name) {
            let found = self.index().topics[id as usize].clone();
            if found.partitions != partitions {
                return Err(CommitLogError::Topic { name: topic.name, found: found.partitions, wanted: partitions });
            }
            if found.policy == policy {
                return Ok(id);
            }
        }
        writer.append(Kind::Topic, |frame| topic.put(frame))?;
        let id = self.index_mut().put_topic(topic);
        drop(writer);
        self.sync()?;
        Ok(id)
    }

    /// Appends a commit, without syncing it. An empty one is appended too.
    ///
    /// # Errors
    /// [`CommitLogError::Full`] and [`CommitLogError::Refused`]: it did not happen and can be tried again. [`CommitLogError::Broken`]: whether
    /// it happened is known when the log was opened again. [`CommitLogError::Unknown`] and [`CommitLogError::TooLarge`]: not this one.
    pub fn append(&self, commit: &Commit) -> Result<Appended> {
        let mut writer = self.writer_with_room()?;
        // The base of every block, and the first of every partition.
        let mut block_bases = Vec::new();
        let mut bases: Vec<(TopicPartition, u64)> = Vec::new();
        {
            // Nobody else moves an end while the writer is held.
            let index = self.index();
            let mut ends: HashMap<TopicPartition, u64, ahash::RandomState> = HashMap::default();
            for (partition, count) in commit.blocks() {
                let end = match ends.entry(partition) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => {
                        let end = known(&index, partition)?.end;
                        bases.push((partition, end));
                        unknown.insert(end)
                    }
                };
                block_bases.push(*end);
                *end += u64::from(count);
            }
            for partition in commit.offsets.keys() {
                known(&index, *partition)?;
            }
        }
        let position = writer.append(Kind::Commit, |frame| commit.put(frame, &block_bases))?;
        let segment = writer.tail.segment.first;
        let put = self.index_mut().put_commit(writer.payload(), segment, position);
        if put.is_none() {
            return Err(writer.break_log("a commit did not follow from the index".to_owned()));
        }
        self.appended.notify_all();
        Ok(Appended { sequence: writer.sequence, bases })
    }

    /// Makes everything that was appended before this call durable; returns the newest sequence number that is.
    ///
    /// # Errors
    /// [`CommitLogError::Broken`]: what was appended since the last sync may be lost.
    pub fn sync(&self) -> Result<u64> {
        let _one_at_a_time = lock(&self.syncing);
        self.sync_tail()
    }

    /// The newest sequence number that is durable.
    pub fn durable(&self) -> u64 {
        self.writer().durable
    }

    /// The newest sequence number that was appended.
    pub fn newest(&self) -> u64 {
        self.writer().sequence
    }

    /// Waits until something was appended after `sequence`, at most for `wait`; returns [`CommitLog::newest`].
    pub fn wait_beyond(&self, sequence: u64, wait: Duration) -> u64 {
        let nothing_new = |writer: &mut Writer| writer.sequence <= sequence;
        let waited = self.appended.wait_timeout_while(self.writer(), wait, nothing_new);
        waited.unwrap_or_else(PoisonError::into_inner).0.sequence
    }

    /// Closes the last segment and begins the next one, whatever its size, unless nothing was appended to it.
    ///
    /// # Errors
    /// As [`CommitLog::append`] and [`CommitLog::sync`].
    pub fn roll(&self) -> Result<()> {
        self.roll_at(1)
    }

    /// Hands over records from the first one at or after `from` until about `bytes_max` bytes were handed over (at least one
    /// block), the end is reached or `each` breaks. Returns the offset to go on from: beyond the last record handed over,
    /// and beyond what was removed there.
    ///
    /// # Errors
    /// [`CommitLogError::OutOfRange`] if `from` is beyond the end; [`CommitLogError::Damaged`] if a block does not verify: records
    /// before it may have been handed over.
    pub fn read(
        &self,
        partition: TopicPartition,
        from: u64,
        bytes_max: usize,
        each: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<u64> {
        let (blocks, end) = self.blocks_from(partition, from, bytes_max)?;
        let (mut bytes, mut room) = (Vec::new(), Vec::new());
        let mut next = from;
        for (segment, entry) in &blocks {
            bytes.resize(entry.length as usize, 0);
            read_block(segment, entry, &mut bytes)?;
            let (header, records) = verified(segment, entry, partition, &bytes, &mut room)?;
            let mut stopped = None;
            let hand_over = |record: &Record<'_>, _: &[u8]| {
                if record.offset >= from && each(record).is_break() {
                    stopped = Some(record.offset + 1);
                }
                stopped.is_none()
            };
            block::each_record(&header, records, hand_over).ok_or_else(|| {
                damaged(&segment.name, u64::from(entry.position), "the records of a block do not read as records")
            })?;
            if let Some(stopped) = stopped {
                return Ok(stopped);
            }
            next = next.max(entry.last + 1);
        }
        Ok(if blocks.is_empty() { end } else { next })
    }

    /// The first offset that may still be there; the end if nothing is.
    ///
    /// # Errors
    /// [`CommitLogError::Unknown`].
    pub fn beginning(&self, partition: TopicPartition) -> Result<u64> {
        known(&self.index(), partition).map(Partition::beginning)
    }

    /// The offset that the next record gets.
    ///
    /// # Errors
    /// [`CommitLogError::Unknown`].
    pub fn end(&self, partition: TopicPartition) -> Result<u64> {
        known(&self.index(), partition).map(|found| found.end)
    }

    /// The offset that the consumer of a partition committed; `None` if it never did.
    pub fn committed(&self, partition: TopicPartition) -> Option<u64> {
        self.index().offsets.get(&partition).copied()
    }

    /// The topics; a topic's id is its place here.
    pub fn topics(&self) -> Vec<Topic> {
        self.index().topics.clone()
    }

    /// Bytes of all segments.
    ///
    /// # Errors
    /// [`CommitLogError::Refused`].
    pub fn bytes(&self) -> Result<u64> {
        let mut segments: Vec<Arc<Segment>> = self.index().segments.values().cloned().collect();
        let last = segments.pop().map_or(Ok(0), |last| last.length())?;
        segments.iter().try_fold(last, |sum, segment| Ok(sum + segment.closed_length()?))
    }

    fn blocks_from(
        &self,
        partition: TopicPartition,
        from: u64,
        bytes_max: usize,
    ) -> Result<(Vec<(Arc<Segment>, BlockEntry)>, u64)> {
        let index = self.index();
        let found = known(&index, partition)?;
        if from > found.end {
            return Err(out_of_range(partition, from, found.end));
        }
        let start = found.blocks.partition_point(|block| block.last < from);
        let mut blocks = Vec::new();
        let mut bytes = 0;
        for entry in found.blocks[start..].iter().take(READ_BLOCKS_MAX) {
            let Some(segment) = index.segments.get(&entry.segment) else { continue };
            blocks.push((Arc::clone(segment), *entry));
            bytes += entry.length as usize;
            if bytes >= bytes_max {
                break;
            }
        }
        Ok((blocks, found.end))
    }

    /// Syncs the last segment without keeping appenders from it. The caller holds `syncing`: two syncs of one file at a time
    /// would share one error, and the other would believe that it succeeded.
    pub(crate) fn sync_tail(&self) -> Result<u64> {
        let (file, sequence) = {
            let writer = self.writer();
            writer.check()?;
            if writer.durable == writer.sequence {
                return Ok(writer.durable);
            }
            (Arc::clone(&writer.tail.file), writer.sequence)
        };
        let outcome = file.sync();
        let mut writer = self.writer();
        if let Err(reason) = outcome {
            let name = &writer.tail.segment.name;
            let reason = format!("a sync of {name} failed ({reason})");
            return Err(writer.break_log(reason));
        }
        writer.check()?;
        writer.durable = sequence;
        Ok(sequence)
    }

    /// The writer, with a last segment that is not full.
    fn writer_with_room(&self) -> Result<MutexGuard<'_, Writer>> {
        loop {
            let writer = self.writer();
            writer.check()?;
            if !writer.wants_roll(self.options.segment_bytes) {
                return Ok(writer);
            }
            drop(writer);
            self.roll_at(self.options.segment_bytes)?;
        }
    }

    fn roll_at(&self, segment_bytes: u64) -> Result<()> {
        let _one_at_a_time = lock(&self.syncing);
        if !self.writer().wants_roll(segment_bytes) {
            return Ok(());
        }
        // The long part of the sync happens while others append; what is left under the writer's lock is short.
        self.sync_tail()?;
        let mut writer = self.writer();
        writer.check()?;
        writer.roll(&self.index)
    }

    /// A thread that panicked while it appended may have left the writer and the index apart.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            let mut writer = poisoned.into_inner();
            writer.break_log("a thread panicked while it appended".to_owned());
            writer
        })
    }

    /// What a panic could leave half-changed here, the poisoned writer reports.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guards nothing but the order of things: poison does not matter.
pub(crate) fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn known(index: &Index, partition: TopicPartition) -> Result<&Partition> {
    index.partition(partition).ok_or_else(|| CommitLogError::Unknown(partition.to_string()))
}

pub(crate) fn read_block(segment: &Segment, entry: &BlockEntry, bytes: &mut [u8]) -> Result<()> {
    let read = segment.read_at(bytes, u64::from(entry.position));
    read.map_err(|reason| match reason.kind() {
        io::ErrorKind::UnexpectedEof => damaged(&segment.name, u64::from(entry.position), "it ends before a block"),
        _ => segment.refused("read", reason),
    })
}

/// The records of the block that the index says is there; `room` holds them if they had to be unpacked.
pub(crate) fn verified<'a>(
    segment: &Segment,
    entry: &BlockEntry,
    partition: TopicPartition,
    bytes: &'a [u8],
    room: &'a mut Vec<u8>,
) -> Result<(block::BlockHeader, &'a [u8])> {
    let error = |reason: &str| damaged(&segment.name, u64::from(entry.position), reason);
    let (header, stored) = block::verify(bytes).map_err(error)?;
    if header.partition != partition || header.base != entry.base || header.count != entry.count {
        return Err(error("another block is there than the index says"));
    }
    let records = block::unpack(&header, stored, room).ok_or_else(|| error("the records of a block do not unpack"))?;
    Ok((header, records))
}
