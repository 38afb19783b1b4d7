//! A log that is open somewhere in; its feeds, and a way to departments' topics, out: what Kafka's clients are elsewhere.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::engine::log::{
    LogError,
    access::{AccessError, Durability, Header, LogAccess, NewRecord, Record},
    commit_log::Policy,
    embedded::murmur2,
    outside::{CommittedRecord, FeedRead, Follow, Followed, Next, RecordRead, Span, SpokeAppend, SpokeRecord},
};

/// Bytes asked for at a time.
const READ_BYTES: usize = 256 << 10;
/// What is handed over in one append: large enough to cost little, small against what readers hold.
const APPEND_BYTES: usize = 1 << 20;
const APPEND_RECORDS: usize = 2_000;

fn stop(error: AccessError) -> LogError {
    LogError::Stop(error.to_string())
}

/// Reads all partitions of one topic.
pub struct AccessFeed {
    access: Arc<dyn LogAccess>,
    topic: String,
    /// Where to go on in each partition, and where to stop.
    positions: Vec<(u64, Option<u64>)>,
    /// Whose turn it is.
    turn: usize,
    fetched: VecDeque<CommittedRecord>,
}

impl AccessFeed {
    /// Finds the topic and its ends.
    ///
    /// # Errors
    /// [`LogError::Stop`] if there is no such topic.
    pub fn open(access: Arc<dyn LogAccess>, topic: &str, span: Span) -> Result<AccessFeed, LogError> {
        let spans = access.spans(topic).map_err(stop)?;
        let position = |found: std::ops::Range<u64>| {
            let from = if span.from_beginning { found.start } else { found.end };
            (from, span.until_end.then_some(found.end))
        };
        let positions = spans.into_iter().map(position).collect();
        Ok(AccessFeed { access, topic: topic.to_owned(), positions, turn: 0, fetched: VecDeque::new() })
    }

    /// Goes on where a reader was.
    fn resume(access: Arc<dyn LogAccess>, followed: &Followed) -> Result<AccessFeed, LogError> {
        let mut feed = AccessFeed::open(access, &followed.topic, Span { from_beginning: true, until_end: false })?;
        let ends = feed.access.spans(&followed.topic).map_err(stop)?;
        for ((number, (position, _)), span) in (0..).zip(&mut feed.positions).zip(ends) {
            let Some(from) = followed.from.get(&number).and_then(|from| u64::try_from(*from).ok()) else { continue };
            if from > span.end {
                return Err(LogError::OutOfRange(format!(
                    "partition {number} of {} ends at {}, before offset {from}",
                    followed.topic, span.end
                )));
            }
            *position = from.max(span.start);
        }
        Ok(feed)
    }

    /// Records between what was fetched and the ends.
    fn remaining(&self) -> Result<u64, LogError> {
        let ends = self.access.spans(&self.topic).map_err(stop)?;
        let behind = ends.iter().zip(&self.positions).map(|(span, (position, _))| span.end.saturating_sub(*position));
        Ok(behind.sum::<u64>() + self.fetched.len() as u64)
    }

    /// Whether everything before these offsets was handed over, by partition.
    fn has_handed_over(&self, ends: &[u64]) -> bool {
        (0..).zip(ends.iter().zip(&self.positions)).all(|(number, (end, (position, _)))| {
            // What was fetched and waits is of one partition, in order.
            let waiting = self.fetched.front().filter(|record| record.partition == number);
            waiting.map_or(*position, |record| record.offset.unsigned_abs()) >= *end
        })
    }

    /// Fetches from the next partition that has something; false if none has.
    fn fetch(&mut self) -> Result<bool, LogError> {
        let ends = self.access.spans(&self.topic).map_err(stop)?;
        for _ in 0..self.positions.len() {
            let partition = self.turn;
            self.turn = (self.turn + 1) % self.positions.len();
            let (position, stop_at) = self.positions[partition];
            let end = ends.get(partition).map_or(0, |span| span.end);
            let end = stop_at.map_or(end, |stop_at| stop_at.min(end));
            if position >= end {
                continue;
            }
            let number = i32::try_from(partition).unwrap_or(i32::MAX);
            let fetched = &mut self.fetched;
            let mut each = |record: &Record<'_>| {
                if record.offset >= end {
                    return ControlFlow::Break(());
                }
                fetched.push_back(committed(number, record));
                ControlFlow::Continue(())
            };
            // A partition that fits into a topic has fewer than 2^32.
            let next =
                self.access.read(&self.topic, partition as u32, position, READ_BYTES, &mut each).map_err(stop)?;
            self.positions[partition].0 = next;
            if !self.fetched.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_at_end(&self) -> bool {
        self.positions.iter().all(|(position, stop_at)| stop_at.is_some_and(|stop_at| *position >= stop_at))
    }
}

impl FeedRead for AccessFeed {
    fn next(&mut self, wait: Duration) -> Result<Next, LogError> {
        if let Some(record) = self.fetched.pop_front() {
            return Ok(Next::Record(record));
        }
        let deadline = Instant::now() + wait;
        loop {
            if self.is_at_end() {
                return Ok(Next::End);
            }
            // Asked for before the ends are, so that nothing comes in between unseen.
            let newest = self.access.wait_beyond(u64::MAX, Duration::ZERO).map_err(stop)?;
            if self.fetch()? {
                return Ok(self.fetched.pop_front().map_or(Next::Idle, Next::Record));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(if self.is_at_end() { Next::End } else { Next::Idle });
            }
            // Whatever was appended ends the wait; it need not be for this topic.
            self.access.wait_beyond(newest, left).map_err(stop)?;
        }
    }
}

/// A copy of a record.
fn committed(partition: i32, record: &Record<'_>) -> CommittedRecord {
    let header =
        |(name, value): &(&str, Option<&[u8]>)| ((*name).to_owned(), value.map(<[u8]>::to_vec).unwrap_or_default());
    CommittedRecord {
        partition,
        offset: record.offset.cast_signed(),
        timestamp_ms: record.timestamp_ms,
        key: record.key.unwrap_or_default().to_vec(),
        value: record.value.map(<[u8]>::to_vec),
        headers: record.headers.iter().map(header).collect(),
    }
}

/// Reads single records.
pub struct AccessRecords(pub Arc<dyn LogAccess>);

impl RecordRead for AccessRecords {
    fn record(&mut self, topic: &str, partition: i32, offset: i64) -> Result<Option<CommittedRecord>, LogError> {
        let (Ok(number), Ok(from)) = (u32::try_from(partition), u64::try_from(offset)) else { return Ok(None) };
        let spans = match self.0.spans(topic) {
            Ok(spans) => spans,
            Err(AccessError::Mistaken { .. }) => return Ok(None),
            Err(error) => return Err(stop(error)),
        };
        if spans.get(number as usize).is_none_or(|span| !span.contains(&from)) {
            return Ok(None);
        }
        let mut found = None;
        let mut each = |record: &Record<'_>| {
            found = (record.offset == from).then(|| committed(partition, record));
            ControlFlow::Break(())
        };
        self.0.read(topic, number, from, READ_BYTES, &mut each).map_err(stop)?;
        Ok(found)
    }
}

/// Follows several topics.
pub struct AccessFollow {
    access: Arc<dyn LogAccess>,
    feeds: Vec<AccessFeed>,
    identities: Vec<String>,
    /// Whose turn it is.
    turn: usize,
    /// By topic and partition: the ends that are to be reached now, and when they were so.
    marks: Vec<Vec<u64>>,
    marked_at: Instant,
    whole_until: Option<Instant>,
    misses_some: bool,
}

impl AccessFollow {
    /// Finds the topics and goes on where their reader was. `log_id`: what tells the log from others.
    ///
    /// # Errors
    /// [`LogError::Stop`] if there is no such topic; [`LogError::OutOfRange`] if a position lies beyond an end.
    pub fn open(access: Arc<dyn LogAccess>, log_id: &str, followed: &[Followed]) -> Result<AccessFollow, LogError> {
        let marked_at = Instant::now();
        let feeds = followed.iter().map(|followed| AccessFeed::resume(Arc::clone(&access), followed));
        let feeds: Vec<AccessFeed> = feeds.collect::<Result<_, _>>()?;
        let mut misses_some = false;
        let mut marks = Vec::new();
        for (followed, feed) in followed.iter().zip(&feeds) {
            let spans = access.spans(&followed.topic).map_err(stop)?;
            for ((number, span), (position, _)) in (0..).zip(&spans).zip(&feed.positions) {
                let from = followed.from.get(&number).and_then(|from| u64::try_from(*from).ok());
                misses_some |= from.is_some_and(|from| from < span.start.min(*position));
            }
            marks.push(spans.iter().map(|span| span.end).collect());
        }
        // No topic of a log is ever removed or made anew in it.
        let identities = followed.iter().map(|followed| format!("{log_id}/{}", followed.topic)).collect();
        let whole_until = None;
        Ok(AccessFollow { access, feeds, identities, turn: 0, marks, marked_at, whole_until, misses_some })
    }

    /// What is at hand, from the topic whose turn it is on.
    fn at_hand(&mut self) -> Result<Option<(usize, CommittedRecord)>, LogError> {
        for _ in 0..self.feeds.len() {
            let feed = &mut self.feeds[self.turn];
            if feed.fetched.is_empty() {
                feed.fetch()?;
            }
            if let Some(record) = feed.fetched.pop_front() {
                return Ok(Some((self.turn, record)));
            }
            self.turn = (self.turn + 1) % self.feeds.len();
        }
        Ok(None)
    }
}

impl Follow for AccessFollow {
    fn next(&mut self, wait: Duration) -> Result<Option<(usize, CommittedRecord)>, LogError> {
        let deadline = Instant::now() + wait;
        loop {
            // Asked for before the ends are, so that nothing comes in between unseen.
            let newest = self.access.wait_beyond(u64::MAX, Duration::ZERO).map_err(stop)?;
            if let Some(found) = self.at_hand()? {
                return Ok(Some(found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.access.wait_beyond(newest, left).map_err(stop)?;
        }
    }

    fn remaining(&mut self) -> Result<Option<u64>, LogError> {
        let is_reached = |(feed, marks): (&AccessFeed, &Vec<u64>)| feed.has_handed_over(marks);
        if self.feeds.iter().zip(&self.marks).all(is_reached) {
            self.whole_until = Some(self.marked_at);
            self.marked_at = Instant::now();
            let ends = self.feeds.iter().map(|feed| feed.access.spans(&feed.topic).map_err(stop));
            let ends = ends.map(|spans| spans.map(|spans| spans.iter().map(|span| span.end).collect()));
            self.marks = ends.collect::<Result<_, _>>()?;
        }
        self.feeds.iter().map(AccessFeed::remaining).sum::<Result<u64, LogError>>().map(Some)
    }

    fn whole_until(&self) -> Option<Instant> {
        self.whole_until
    }

    fn identities(&self) -> &[String] {
        &self.identities
    }

    fn misses_some(&self) -> bool {
        self.misses_some
    }
}

/// Records of a topic that wait for others.
struct Waiting {
    records: Vec<Kept>,
    bytes: usize,
    /// Partitions of the topic.
    partitions: u32,
}

struct Kept {
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    timestamp_ms: i64,
    headers: Vec<(String, Vec<u8>)>,
}

impl Kept {
    fn headers(&self) -> Vec<Header<'_>> {
        self.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice()))).collect()
    }
}

/// Writes records to departments' topics.
pub struct AccessSpokes {
    access: Arc<dyn LogAccess>,
    /// Partitions of a topic that is made, and what is given up of it.
    partitions: u32,
    policy: Policy,
    /// Whether a record with a key goes to the partition that Kafka's clients would choose for it.
    by_key: bool,
    /// By topic.
    waiting: BTreeMap<String, Waiting>,
}

impl AccessSpokes {
    /// A way to the topics of a log. Those that are missing are made with so many partitions.
    pub fn new(access: Arc<dyn LogAccess>, partitions: u32, policy: Policy) -> AccessSpokes {
        AccessSpokes { access, partitions, policy, by_key: false, waiting: BTreeMap::new() }
    }

    /// Records of one key stay in order: they go to the partition that Kafka's clients would choose for it. Without this, those
    /// of one append go to one partition, so that they stay together on disk.
    #[must_use]
    pub fn by_key(self) -> AccessSpokes {
        AccessSpokes { by_key: true, ..self }
    }

    fn append(&mut self, topic: &str) -> Result<(), LogError> {
        let Some(waiting) = self.waiting.get_mut(topic).filter(|waiting| !waiting.records.is_empty()) else {
            return Ok(());
        };
        let headers: Vec<Vec<Header<'_>>> = waiting.records.iter().map(Kept::headers).collect();
        let (by_key, partitions) = (self.by_key, waiting.partitions);
        let records: Vec<NewRecord<'_>> = waiting
            .records
            .iter()
            .zip(&headers)
            .map(|(kept, headers)| NewRecord {
                partition: kept.key.as_deref().filter(|_| by_key).map(|key| murmur2::partition_of(key, partitions)),
                timestamp_ms: kept.timestamp_ms,
                key: kept.key.as_deref(),
                value: kept.payload.as_deref(),
                headers,
            })
            .collect();
        self.access.append(topic, &records, Durability::AsConfigured).map_err(stop)?;
        waiting.records.clear();
        waiting.bytes = 0;
        Ok(())
    }
}

impl SpokeAppend for AccessSpokes {
    fn send_record(&mut self, record: &SpokeRecord<'_>) -> Result<(), LogError> {
        let SpokeRecord { topic, key, payload, timestamp_ms, headers } = *record;
        if !self.waiting.contains_key(topic) {
            let topics = self.access.topics().map_err(stop)?;
            let found = topics.iter().find(|found| found.name == topic).map(|found| found.partitions);
            let partitions = match found {
                Some(partitions) => partitions,
                None => {
                    self.access.create_topic(topic, self.partitions, self.policy).map_err(stop)?;
                    self.partitions
                }
            };
            self.waiting.insert(topic.to_owned(), Waiting { records: Vec::new(), bytes: 0, partitions });
        }
        let Some(waiting) = self.waiting.get_mut(topic) else { return Ok(()) };
        let key = key.map(<[u8]>::to_vec);
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        waiting.bytes += payload.map_or(0, <[u8]>::len)
            + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        waiting.records.push(Kept { key, payload: payload.map(<[u8]>::to_vec), timestamp_ms, headers });
        if waiting.bytes >= APPEND_BYTES || waiting.records.len() >= APPEND_RECORDS {
            self.append(topic)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let topics: Vec<String> = self.waiting.keys().cloned().collect();
        topics.iter().try_for_each(|topic| self.append(topic))?;
        self.access.sync().map_err(stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::log::embedded::{EmbeddedOptions, SharedLog};

    const TOPICS: [&str; 2] = ["a", "b"];

    fn shared(directory: &std::path::Path) -> Arc<SharedLog> {
        let options = EmbeddedOptions { reserved_bytes: 0, ..EmbeddedOptions::default() };
        SharedLog::open(directory, options).expect("a directory of its own")
    }

    fn append(shared: &Arc<SharedLog>, topic: &str, count: usize) {
        let mut spokes = AccessSpokes::new(Arc::new(shared.access()), 2, Policy::Keep);
        for number in 0..count {
            spokes.send(topic, Some(number.to_string().as_bytes()), b"x", 1).expect("it is taken");
        }
        spokes.flush().expect("it is taken");
    }

    fn follow(shared: &Arc<SharedLog>, from: &[BTreeMap<i32, i64>; 2]) -> Result<AccessFollow, LogError> {
        let followed: Vec<Followed> = TOPICS
            .iter()
            .zip(from)
            .map(|(topic, from)| Followed { topic: (*topic).to_owned(), from: from.clone() })
            .collect();
        AccessFollow::open(Arc::new(shared.access()), shared.id(), &followed)
    }

    #[test]
    fn it_is_whole_when_what_was_there_at_the_beginning_was_handed_over_and_as_of_then() {
        let directory = tempfile::tempdir().expect("a directory");
        let shared = shared(directory.path());
        append(&shared, "a", 30);
        append(&shared, "b", 50);
        let before = Instant::now();
        let mut log = follow(&shared, &Default::default()).expect("both are there");
        let mut read = 0;
        // More comes all the time: there is no moment at which nothing is left.
        while log.whole_until().is_none() {
            assert!(log.remaining().expect("it tells").expect("it tells") > 0);
            assert!(log.next(Duration::from_secs(5)).expect("it reads").is_some());
            read += 1;
            append(&shared, "b", 1);
            log.remaining().expect("it tells");
        }
        assert!((80..=80 + 50).contains(&read), "{read} of 80 were read");
        assert!(log.whole_until().is_some_and(|until| until >= before && until.elapsed() < before.elapsed()));
        let first = log.whole_until();
        while log.next(Duration::ZERO).expect("it reads").is_some() {}
        log.remaining().expect("it tells");
        assert_eq!(log.remaining().expect("it tells"), Some(0));
        assert!(log.whole_until() > first, "and it stays so");
        append(&shared, "a", 3);
        assert_eq!(log.remaining().expect("it tells"), Some(3), "what came later is counted");
    }

    #[test]
    fn another_log_is_not_taken_for_the_one_before() {
        let (one, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let identities = |directory: &std::path::Path| {
            let shared = shared(directory);
            TOPICS.iter().for_each(|topic| append(&shared, topic, 1));
            follow(&shared, &Default::default()).expect("both are there").identities().to_vec()
        };
        let first = identities(one.path());
        assert_eq!(first, identities(one.path()), "it is the same when it is opened again");
        let second = identities(other.path());
        assert!(first.iter().all(|identity| !second.contains(identity)), "{first:?} and {second:?}");
        // Made of a backup, it is another one from then on.
        for _ in 0..2 {
            let before = identities(one.path());
            SharedLog::begin_another(one.path()).expect("nobody has it open");
            let after = identities(one.path());
            assert!(before.iter().all(|identity| !after.contains(identity)), "{before:?} and {after:?}");
            assert_eq!(after, identities(one.path()), "it is the same when it is opened again");
        }
    }
}
