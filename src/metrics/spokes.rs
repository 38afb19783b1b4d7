//! Ingest's reports and outcomes in; one account of each department out: what arrived, was rejected, how fresh.
//!
//! ```text
//! s spoke                        →  version totals       all that arrived
//! s spoke 0x00 topic partition⁴  →  version partition    how far one partition of its topic was read
//! ```
//!
//! Counts are exact: they move in the transaction that has what they count. An account is about arrivals, so it is outside
//! the promise, nothing is ever taken back from it, and a rebuild leaves it as it is.
//!
//! ```text
//!              a commit with news,                a commit without news,
//! (published) ─── soon after ───▶ (pending) ─── or one with news for the last ───▶ (published)
//!      ⟲ a commit with news, long after          of many times in a row
//! ```

use std::{collections::BTreeMap, ops::ControlFlow};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{stage::MetricsError, values::outcome_count};
use crate::model::{
    Accumulator, Arrivals, EventTime, KeyValue, Outcome, Reason, SpokeAccount, SpokePartition, SpokeSchema,
};

/// Version of the stored forms. Golden file: `tests/fixtures/spokes_store_v1.txt`.
const VERSION: u8 = 1;
const PREFIX: u8 = b's';

/// Kinds of one department that are counted by name. A department with more has none, but a mistake in its mapping.
pub const KINDS_MAX: usize = 64;
/// Schemas of one department that are counted by name: those that were used last.
pub const SCHEMAS_MAX: usize = 32;
/// While there is news in every commit, an account is published with each of so many: about once a second.
const COMMITS_BETWEEN_PUBLICATIONS: u32 = 10;

/// The sums of one department.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Totals {
    records: u64,
    outcomes: BTreeMap<Outcome, i64>,
    rejections: BTreeMap<Reason, u64>,
    unmapped_kinds: BTreeMap<String, u64>,
    unmapped_kinds_unnamed: u64,
    schemas: BTreeMap<String, (u64, Option<EventTime>)>,
    schemas_unnamed: u64,
    arrived: Option<(EventTime, EventTime)>,
    newest_occurred_at: Option<EventTime>,
    revision: u64,
    /// Whether something is in it that was not published.
    pending: bool,
}

/// How far one partition was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Partition {
    next_offset: i64,
    records: u64,
    last_arrived_at: Option<EventTime>,
    newest_occurred_at: Option<EventTime>,
}

#[derive(Debug, Default)]
struct Spoke {
    totals: Totals,
    partitions: BTreeMap<(String, i32), Partition>,
    /// What the running transaction changed.
    news: bool,
    changed: Vec<(String, i32)>,
    /// Commits of this task since the account was published; many, if nobody knows.
    commits_since: u32,
}

/// The accounts of the departments that are placed on one task.
#[derive(Debug, Default)]
pub struct Spokes {
    /// `None` until they are read from the store.
    spokes: Option<BTreeMap<String, Spoke>>,
}

fn corrupted() -> MetricsError {
    MetricsError::Corrupted { what: "an account of a spoke" }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("a vector takes every byte")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MetricsError> {
    match bytes {
        [VERSION, rest @ ..] => postcard::from_bytes(rest).map_err(|_| corrupted()),
        _ => Err(corrupted()),
    }
}

fn totals_key(spoke: &str) -> Vec<u8> {
    [&[PREFIX], spoke.as_bytes()].concat()
}

fn partition_key(spoke: &str, topic: &str, partition: i32) -> Vec<u8> {
    [&[PREFIX], spoke.as_bytes(), &[0], topic.as_bytes(), &partition.to_be_bytes()].concat()
}

impl Spokes {
    fn all(&mut self, store: &dyn KeyValue) -> Result<&mut BTreeMap<String, Spoke>, MetricsError> {
        match &mut self.spokes {
            Some(spokes) => Ok(spokes),
            empty => Ok(empty.insert(load(store)?)),
        }
    }

    fn spoke(&mut self, name: &str, store: &dyn KeyValue) -> Result<&mut Spoke, MetricsError> {
        let spokes = self.all(store)?;
        if !spokes.contains_key(name) {
            let spoke = Spoke { commits_since: COMMITS_BETWEEN_PUBLICATIONS, ..Spoke::default() };
            spokes.insert(name.to_owned(), spoke);
        }
        Ok(spokes.get_mut(name).expect("it was just put there"))
    }

    /// Adds a report of ingest.
    pub fn arrivals(&mut self, report: &Arrivals<'_>, store: &dyn KeyValue) -> Result<(), MetricsError> {
        let spoke = self.spoke(report.spoke, store)?;
        spoke.news = true;
        let place = (report.topic.to_owned(), report.partition);
        let partition = spoke.partitions.entry(place.clone()).or_default();
        // A source topic that was made anew begins again.
        partition.next_offset = report.next_offset;
        partition.records += report.records;
        partition.last_arrived_at = partition.last_arrived_at.max(report.arrived.map(|(_, newest)| newest));
        partition.newest_occurred_at = partition.newest_occurred_at.max(report.newest_occurred_at);
        spoke.changed.push(place);
        spoke.totals.add(report);
        Ok(())
    }

    /// Adds what a cell of `data_quality` is given: outcomes of ingest, and what the stage after it finds.
    pub fn outcomes(&mut self, name: &str, add: &Accumulator, store: &dyn KeyValue) -> Result<(), MetricsError> {
        let spoke = self.spoke(name, store)?;
        spoke.news = true;
        for &outcome in Outcome::ALL {
            let count = outcome_count(add, outcome);
            if count != 0 {
                *spoke.totals.outcomes.entry(outcome).or_default() += count;
            }
        }
        Ok(())
    }

    /// The last call before each commit: stores what changed and hands over the accounts that are to be published. Returns
    /// whether one waits for the next commit, which should then come without waiting for input.
    pub fn publish(
        &mut self,
        store: &mut dyn KeyValue,
        each: &mut dyn FnMut(&SpokeAccount),
    ) -> Result<bool, MetricsError> {
        let mut waits = false;
        for (name, spoke) in self.all(store)? {
            spoke.commits_since = spoke.commits_since.saturating_add(1);
            if !spoke.news && !spoke.totals.pending {
                continue;
            }
            spoke.totals.pending = spoke.news && spoke.commits_since < COMMITS_BETWEEN_PUBLICATIONS;
            if spoke.totals.pending {
                waits = true;
            } else {
                spoke.commits_since = 0;
                spoke.totals.revision += 1;
                each(&spoke.account(name));
            }
            spoke.news = false;
            store.put(&totals_key(name), &encode(&spoke.totals));
            spoke.changed.sort_unstable();
            spoke.changed.dedup();
            for (topic, partition) in spoke.changed.drain(..) {
                let key = partition_key(name, &topic, partition);
                store.put(&key, &encode(&spoke.partitions[&(topic, partition)]));
            }
        }
        Ok(waits)
    }

    /// The departments with the timestamp of the newest record of each, ascending by name.
    pub fn newest(&mut self, store: &dyn KeyValue) -> Result<Vec<(&str, Option<EventTime>)>, MetricsError> {
        let spokes = self.all(store)?;
        Ok(spokes.iter().map(|(name, spoke)| (name.as_str(), spoke.totals.arrived.map(|(_, newest)| newest))).collect())
    }

    /// The transaction was rolled back: forgets everything that is not in the store.
    pub fn rolled_back(&mut self) {
        self.spokes = None;
    }
}

fn load(store: &dyn KeyValue) -> Result<BTreeMap<String, Spoke>, MetricsError> {
    let mut spokes: BTreeMap<String, Spoke> = BTreeMap::new();
    let mut failure = None;
    store.scan(&[PREFIX], &[PREFIX + 1], &mut |key, value| match take(&mut spokes, &key[1..], value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failure.map_or(Ok(spokes), Err)
}

fn take(spokes: &mut BTreeMap<String, Spoke>, key: &[u8], value: &[u8]) -> Result<(), MetricsError> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| corrupted());
    match key.iter().position(|&byte| byte == 0) {
        None => {
            let spoke =
                Spoke { totals: decode(value)?, commits_since: COMMITS_BETWEEN_PUBLICATIONS, ..Spoke::default() };
            spokes.insert(text(key)?, spoke);
        }
        Some(end) => {
            let (topic, partition) = key[end + 1..].split_last_chunk::<4>().ok_or_else(corrupted)?;
            let place = (text(topic)?, i32::from_be_bytes(*partition));
            // Whoever is restored while a successor commits can miss the sums: what was there is compacted away, and what replaced
            // it comes after the end. Nothing that such a one does is committed.
            let fresh = || Spoke { commits_since: COMMITS_BETWEEN_PUBLICATIONS, ..Spoke::default() };
            spokes.entry(text(&key[..end])?).or_insert_with(fresh).partitions.insert(place, decode(value)?);
        }
    }
    Ok(())
}

impl Totals {
    fn add(&mut self, report: &Arrivals<'_>) {
        self.records += report.records;
        if let Some((oldest, newest)) = report.arrived {
            let (first, last) = self.arrived.unwrap_or((oldest, newest));
            self.arrived = Some((first.min(oldest), last.max(newest)));
        }
        self.newest_occurred_at = self.newest_occurred_at.max(report.newest_occurred_at);
        for &(reason, count) in &report.rejections {
            *self.rejections.entry(reason).or_default() += count;
        }
        self.unmapped_kinds_unnamed += report.unmapped_kinds_unnamed;
        for &(kind, count) in &report.unmapped_kinds {
            let has_room = self.unmapped_kinds.len() < KINDS_MAX;
            match self.unmapped_kinds.get_mut(kind) {
                Some(known) => *known += count,
                None if has_room => drop(self.unmapped_kinds.insert(kind.to_owned(), count)),
                None => self.unmapped_kinds_unnamed += count,
            }
        }
        self.schemas_unnamed += report.schemas_unnamed;
        for (schema, records, newest) in &report.schemas {
            let (known, last) = self.schemas.entry(schema.clone()).or_default();
            *known += records;
            *last = (*last).max(*newest);
        }
        while self.schemas.len() > SCHEMAS_MAX {
            let oldest = self.schemas.iter().min_by_key(|(_, (_, last))| *last).map(|(schema, _)| schema.clone());
            let dropped = oldest.and_then(|schema| self.schemas.remove(&schema));
            self.schemas_unnamed += dropped.map_or(0, |(records, _)| records);
        }
    }
}

impl Spoke {
    fn account(&self, name: &str) -> SpokeAccount {
        let totals = &self.totals;
        SpokeAccount {
            spoke: name.to_owned(),
            records: totals.records,
            outcomes: totals.outcomes.clone(),
            rejections: totals.rejections.clone(),
            unmapped_kinds: totals.unmapped_kinds.clone(),
            unmapped_kinds_unnamed: totals.unmapped_kinds_unnamed,
            schemas: totals
                .schemas
                .iter()
                .map(|(schema, &(records, last_arrived_at))| SpokeSchema {
                    schema: schema.clone(),
                    records,
                    last_arrived_at,
                })
                .collect(),
            schemas_unnamed: totals.schemas_unnamed,
            first_arrived_at: totals.arrived.map(|(first, _)| first),
            last_arrived_at: totals.arrived.map(|(_, last)| last),
            newest_occurred_at: totals.newest_occurred_at,
            partitions: self
                .partitions
                .iter()
                .map(|((topic, partition), it)| SpokePartition {
                    topic: topic.clone(),
                    partition: *partition,
                    next_offset: it.next_offset,
                    records: it.records,
                    last_arrived_at: it.last_arrived_at,
                    newest_occurred_at: it.newest_occurred_at,
                })
                .collect(),
            revision: totals.revision,
        }
    }
}
