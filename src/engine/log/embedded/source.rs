//! The reading half: this worker's share of all partitions, read from the log that the other workers write to as well.

use std::{
    collections::VecDeque,
    ops::{ControlFlow, Range},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    changelog::EmbeddedChangelog,
    shared::{Places, SharedLog, stop},
};
use crate::engine::{
    log::{
        ChangelogReader, Ends, Headers, LogError, Membership, Record, Source, TopicPartition,
        commit_log::{self, Batch},
    },
    stage::Topology,
    topics::{Ownership, Topics},
};

/// A source's turn: so many records, whatever the times of the others.
const TURN: usize = 64;
/// A source with more records than this to come has a backlog.
const BACKLOG_RECORDS: u64 = 2_000;

/// One partition of this worker.
struct Lane {
    key: TopicPartition,
    place: commit_log::TopicPartition,
    is_source: bool,
    /// Whether the worker has said where to begin.
    is_started: bool,
    /// Whether the worker takes nothing of it for now.
    is_suspended: bool,
    /// The offset after the last record that was handed over.
    position: u64,
    /// The end of the partition when it was looked at last.
    end: u64,
    batch: Batch,
}

impl Lane {
    fn to_come(&self) -> u64 {
        self.end.saturating_sub(self.position)
    }

    fn is_at_hand(&self) -> bool {
        self.is_started && !self.is_suspended && self.to_come() > 0
    }

    /// Fetches if nothing that was fetched is left; whether there is a record.
    fn fetch(&mut self, shared: &SharedLog) -> Result<bool, LogError> {
        if !self.batch.is_empty() {
            return Ok(true);
        }
        if self.position < self.end
            && shared.log.next_batch(self.place, self.position, &mut self.batch).map_err(stop)?
        {
            return Ok(true);
        }
        // What is left of it was given up.
        self.position = self.position.max(self.end);
        Ok(false)
    }
}

/// The reading half of one worker's log.
pub struct EmbeddedSource {
    shared: Arc<SharedLog>,
    topics: Arc<Topics>,
    places: Places,
    /// The hub's own topics, last stage first, then departments'.
    lanes: Vec<Lane>,
    lane_places: Vec<commit_log::TopicPartition>,
    ends: Vec<u64>,
    events: VecDeque<Membership>,
}

/// A record's headers as they lie in its block.
struct StoredHeaders<'a, 'b>(&'a commit_log::Record<'b>);

impl Headers for StoredHeaders<'_, '_> {
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in self.0.headers() {
            each(name, value);
        }
    }
}

/// What a record is handed to.
type Each<'a> = dyn FnMut(&Record<'_>) -> Result<ControlFlow<()>, LogError> + 'a;

impl EmbeddedSource {
    pub(super) fn new(
        shared: &Arc<SharedLog>,
        topology: &Topology,
        worker: usize,
        workers: usize,
    ) -> Result<EmbeddedSource, LogError> {
        let places = Places::new(shared, &topology.topics)?;
        let mut lanes = Vec::new();
        for stage in topology.stages.iter().rev() {
            // Every worker has its share of each stage, also where topics have one partition.
            let partitions = stage.inputs.iter().flat_map(|&topic| {
                (0..topology.topics.get(topic).partitions).map(move |partition| TopicPartition { topic, partition })
            });
            for key in partitions.skip(worker).step_by(workers.max(1)) {
                lanes.push(Lane {
                    key,
                    place: places.of(key),
                    is_source: topology.topics.get(key.topic).ownership == Ownership::Spoke,
                    is_started: false,
                    is_suspended: false,
                    position: 0,
                    end: 0,
                    batch: Batch::default(),
                });
            }
        }
        let assigned: Vec<TopicPartition> = lanes.iter().map(|lane| lane.key).collect();
        Ok(EmbeddedSource {
            shared: Arc::clone(shared),
            topics: Arc::clone(&topology.topics),
            places,
            lane_places: lanes.iter().map(|lane| lane.place).collect(),
            lanes,
            ends: Vec::new(),
            events: VecDeque::from([Membership::Assigned(assigned)]),
        })
    }

    fn lane(&self, key: TopicPartition) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.key == key)
    }

    fn lane_mut(&mut self, key: TopicPartition) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.key == key)
    }

    fn look(&mut self) -> Result<(), LogError> {
        self.shared.log.ends(&self.lane_places, &mut self.ends).map_err(stop)?;
        for (lane, end) in self.lanes.iter_mut().zip(&self.ends) {
            lane.end = *end;
        }
        Ok(())
    }

    /// Whose turn it is: the hub's own topics, so that what was begun ends soon; then sources without a backlog, so that a
    /// department that loads its history holds up nobody who is up to date; then the source whose next record is the
    /// oldest, since a source that runs ahead makes the touchpoints of all others late.
    fn next_lane(&mut self) -> Result<Option<usize>, LogError> {
        let mut oldest: Option<(i64, usize)> = None;
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if !lane.is_at_hand() || !lane.fetch(&self.shared)? {
                continue;
            }
            if !lane.is_source || lane.to_come() <= BACKLOG_RECORDS {
                return Ok(Some(index));
            }
            let at_ms = lane.batch.peek_timestamp_ms().unwrap_or(i64::MAX);
            if oldest.is_none_or(|(other, _)| at_ms < other) {
                oldest = Some((at_ms, index));
            }
        }
        Ok(oldest.map(|(_, index)| index))
    }

    fn deliver(&mut self, limit: usize, each: &mut Each<'_>) -> Result<usize, LogError> {
        let mut taken = 0;
        while taken < limit
            && let Some(index) = self.next_lane()?
        {
            let lane = &mut self.lanes[index];
            let turn = if lane.is_source { TURN } else { usize::MAX };
            let until = taken.saturating_add(turn).min(limit);
            while taken < until && lane.position < lane.end && lane.fetch(&self.shared)? {
                let Some(record) = lane.batch.next() else { break };
                lane.position = record.offset + 1;
                taken += 1;
                let flow = each(&Record {
                    from: lane.key,
                    offset: record.offset.cast_signed(),
                    timestamp_ms: record.timestamp_ms,
                    key: record.key,
                    value: record.value,
                    headers: &StoredHeaders(&record),
                })?;
                if flow.is_break() {
                    return Ok(taken);
                }
            }
        }
        Ok(taken)
    }
}

impl Source for EmbeddedSource {
    fn poll(
        &mut self,
        wait: Duration,
        limit: usize,
        each: &mut dyn FnMut(&Record<'_>) -> Result<ControlFlow<()>, LogError>,
    ) -> Result<usize, LogError> {
        let deadline = Instant::now() + wait;
        self.look()?;
        loop {
            let taken = self.deliver(limit, each)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if taken > 0 || left.is_zero() {
                return Ok(taken);
            }
            // Asked before the ends are: what comes in between ends the wait at once.
            let newest = self.shared.log.newest();
            self.look()?;
            if !self.lanes.iter().any(Lane::is_at_hand) {
                self.shared.log.wait_beyond(newest, left);
                self.look()?;
            }
        }
    }

    fn membership(&mut self) -> Option<Membership> {
        self.events.pop_front()
    }

    fn accept(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, LogError> {
        self.committed(partitions)
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, LogError> {
        let committed = |key: &TopicPartition| self.shared.log.committed(self.places.of(*key)).map(u64::cast_signed);
        Ok(partitions.iter().map(committed).collect())
    }

    fn retained(&mut self, partition: TopicPartition) -> Result<Range<i64>, LogError> {
        let (log, place) = (&self.shared.log, self.places.of(partition));
        let beginning = log.beginning(place).map_err(stop)?;
        Ok(beginning.cast_signed()..log.end(place).map_err(stop)?.cast_signed())
    }

    fn start(&mut self, partition: TopicPartition, offset: Option<i64>) -> Result<(), LogError> {
        let beginning = self.shared.log.beginning(self.places.of(partition)).map_err(stop)?;
        let name = &self.topics.get(partition.topic).name;
        let is_source = self.lane(partition).is_some_and(|lane| lane.is_source);
        if is_source && offset.map_or(0, i64::unsigned_abs) < beginning {
            return Err(LogError::Stop(format!(
                "{name} begins at offset {beginning} of partition {}, and the hub has not read what was before that: it was \
                 removed from outside; restore a backup",
                partition.partition
            )));
        }
        if let Some(lane) = self.lane_mut(partition) {
            lane.position = offset.map_or(0, i64::unsigned_abs);
            lane.batch = Batch::starting_at(lane.position);
            (lane.is_started, lane.is_suspended) = (true, false);
        }
        Ok(())
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        for lane in self.lanes.iter_mut().filter(|lane| partitions.contains(&lane.key)) {
            lane.is_started = false;
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition], paused: bool) -> Result<(), LogError> {
        for lane in self.lanes.iter_mut().filter(|lane| partitions.contains(&lane.key)) {
            lane.is_suspended = paused;
        }
        Ok(())
    }

    fn lag(&self, partition: TopicPartition) -> Option<i64> {
        let lane = self.lane(partition).filter(|lane| lane.is_started)?;
        Some(lane.to_come().cast_signed())
    }

    fn is_at_end(&self, partition: TopicPartition) -> bool {
        self.lane(partition).is_some_and(|lane| lane.is_started && lane.to_come() == 0)
    }

    fn ends(&self) -> Vec<(TopicPartition, Ends)> {
        let ends = |lane: &Lane| {
            let end = lane.end.cast_signed();
            (lane.key, Ends { high_watermark: end, last_stable_offset: end })
        };
        self.lanes.iter().map(ends).collect()
    }

    fn identity(&mut self, changelog: TopicPartition) -> Result<String, LogError> {
        Ok(self.shared.identity_of(&self.topics.get(changelog.topic).name, changelog.partition))
    }

    fn changelog(
        &mut self,
        partition: TopicPartition,
        from: Option<i64>,
    ) -> Result<Box<dyn ChangelogReader>, LogError> {
        Ok(Box::new(EmbeddedChangelog::new(&self.shared, self.places.of(partition), from)?))
    }
}
