//! The customers stage: batches of touchpoints and closed days in; timelines, heads, records and contributions out.
//!
//! Between two commits: [`Customers::advance`], [`Customers::touchpoints`] and [`Customers::fire_timers`] in any order,
//! then [`Customers::before_commit`]; then [`Customers::committed`], or [`Customers::rolled_back`] with the store back
//! where it was.

// tidy: hash order unseen because people are looked up by id, and those of a commit are sorted

use std::{
    collections::{HashMap, hash_map},
    ops::ControlFlow,
};

use ahash::RandomState;

use super::{
    contributions::{Contributions, Signed},
    fold::{FoldOptions, Head, step},
    record::{self, AtClose, NOTHING_CLOSED},
    refold::{self, Change, SNAPSHOT_TOUCHPOINTS},
    store_keys::{self, Envelope, IndexEntry},
};
use crate::model::{
    Accumulator, CellKey, Day, EventTime, InsightRecord, KeyValue, Outcome, PersonId, StoreError, Touchpoint,
};

/// What the stage is configured with.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the fold's meaning depends on.
    pub fold: FoldOptions,
    /// How many decoded heads are kept between commits.
    pub heads_max: usize,
    /// From how many distinct cells on the stage asks for a commit.
    pub cells_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { fold: FoldOptions::default(), heads_max: 10_000, cells_max: 100_000 }
    }
}

/// One touchpoint of one person, as it comes: it is decoded when its person's turn comes.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Whose.
    pub person: PersonId,
    /// Its internal form.
    pub encoded: &'a [u8],
}

/// The same, decoded.
struct Arrived<'a> {
    encoded: &'a [u8],
    touchpoint: Touchpoint<'a>,
}

impl<'a> Arrived<'a> {
    fn decode(encoded: &'a [u8]) -> Result<Arrived<'a>, StoreError> {
        let touchpoint = Touchpoint::decode(encoded).map_err(unreadable)?;
        Ok(Arrived { encoded, touchpoint })
    }

    fn position(&self) -> (EventTime, &'a str, &'a str) {
        (self.touchpoint.occurred_at, self.touchpoint.id, self.touchpoint.spoke)
    }
}

fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError(format!("an arriving touchpoint cannot be read ({error}): instances of different versions are running"))
}

/// What the stage tells the rest of the hub.
pub trait Effects {
    /// A touchpoint entered the person's timeline, or took the place of another version of the same (spoke, id).
    fn touchpoint(&mut self, person: PersonId, touchpoint: &Touchpoint<'_>);
    /// A person's record changed.
    fn record(&mut self, person: PersonId, record: &InsightRecord);
    /// What became of a touchpoint of a spoke: duplicate, conflicting or capped.
    fn outcome(&mut self, spoke: &str, outcome: Outcome);
    /// What this commit adds to a cell; in the order of [`CellKey`].
    fn contribution(&mut self, cell: CellKey<'_>, add: &Accumulator);
}

#[derive(Debug)]
pub(super) struct Person {
    pub(super) head: Head,
    pub(super) envelope: Envelope,
    /// Changed, or to be looked at, since the last commit.
    pub(super) dirty: bool,
    /// Used since the last eviction.
    pub(super) recent: bool,
}

/// The stage's state of one partition: a cache of the store, and what the running commit will hold.
#[derive(Debug)]
pub struct Customers {
    pub(super) options: Options,
    /// Absent until it was read from the store.
    pub(super) as_of: Option<AsOf>,
    pub(super) people: HashMap<PersonId, Person, RandomState>,
    pub(super) dirty: Vec<PersonId>,
    pub(super) contributions: Contributions,
    /// Person, time and index in the batch: kept for its memory.
    order: Vec<(PersonId, EventTime, u32)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct AsOf {
    pub(super) day: Option<Day>,
    pub(super) is_stored: bool,
    /// Whether no timer up to the last closed day is left.
    pub(super) timers_fired: bool,
}

impl AsOf {
    fn closed_day(self) -> Day {
        self.day.map_or(NOTHING_CLOSED, Day::previous)
    }
}

impl Customers {
    /// An empty cache.
    pub fn new(options: Options) -> Customers {
        Customers {
            as_of: None,
            people: HashMap::with_hasher(RandomState::with_seeds(5, 6, 7, 8)),
            dirty: Vec::new(),
            contributions: Contributions::new(options.cells_max),
            order: Vec::new(),
            options,
        }
    }

    /// Whether the engine should commit now, so that memory stays bounded.
    pub fn is_full(&self) -> bool {
        self.contributions.is_full() || self.dirty.len() >= self.options.heads_max
    }

    /// Takes a batch into the timelines of its people, in whatever order it comes.
    pub fn touchpoints<S: KeyValue + ?Sized>(
        &mut self,
        batch: &[Incoming<'_>],
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        // What nearly always decides lies next to the index: the batch itself is too large for the processor's cache.
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        for (index, incoming) in (0..).zip(batch) {
            order.push((incoming.person, Touchpoint::occurred_at_of(incoming.encoded).map_err(unreadable)?, index));
        }
        order.sort_unstable();
        let mut arrived = Vec::new();
        for of_person in order.chunk_by(|a, b| a.0 == b.0) {
            for &(_, _, index) in of_person {
                arrived.push(Arrived::decode(batch[index as usize].encoded)?);
            }
            // By time they are sorted already.
            arrived.sort_by(|a, b| a.position().cmp(&b.position()));
            self.touchpoints_of_person(of_person[0].0, &arrived, store, effects)?;
            arrived.clear();
        }
        self.order = order;
        Ok(())
    }

    /// `batch` ascends by position.
    fn touchpoints_of_person<S: KeyValue + ?Sized>(
        &mut self,
        person_id: PersonId,
        batch: &[Arrived<'_>],
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let mut accepted: smallvec::SmallVec<[usize; 16]> = smallvec::SmallVec::new();
        let mut removals: Vec<Vec<u8>> = Vec::new();
        for (index, incoming) in batch.iter().enumerate() {
            let touchpoint = &incoming.touchpoint;
            let content_hash = Touchpoint::content_hash(incoming.encoded);
            let index_key = store_keys::index(person_id, touchpoint.id, touchpoint.spoke);
            if let Some(known) = store.get(&index_key)? {
                let known = IndexEntry::decode(&known)?;
                if known.content_hash == content_hash {
                    effects.outcome(touchpoint.spoke, Outcome::Duplicate);
                    continue;
                }
                effects.outcome(touchpoint.spoke, Outcome::Conflicting);
                if known.content_hash < content_hash {
                    continue;
                }
                let is_same = |&other: &usize| {
                    let other = &batch[other].touchpoint;
                    (other.id, other.spoke) == (touchpoint.id, touchpoint.spoke)
                };
                match accepted.iter().position(is_same) {
                    Some(index) => {
                        accepted.remove(index);
                    }
                    None => {
                        let mut position = Vec::with_capacity(64);
                        store_keys::push_position(&mut position, known.occurred_at, touchpoint.id, touchpoint.spoke);
                        removals.push(position);
                    }
                }
            }
            let entry = IndexEntry { occurred_at: touchpoint.occurred_at, content_hash };
            store.put_local(&index_key, &entry.encode());
            accepted.push(index);
        }
        let Some(&first) = accepted.first() else {
            return Ok(());
        };
        removals.sort_unstable();

        let person = person(&mut self.people, person_id, store)?;
        if !person.dirty {
            person.dirty = true;
            self.dirty.push(person_id);
        }
        if removals.is_empty() && person.head.is_before(&batch[first].touchpoint) {
            for &index in &accepted {
                let incoming = &batch[index];
                let mut contribute = Signed { contributions: &mut self.contributions, sign: 1 };
                let stepped = step(&mut person.head, &incoming.touchpoint, &self.options.fold, &mut contribute);
                if stepped.capped {
                    effects.outcome(incoming.touchpoint.spoke, Outcome::Capped);
                }
                let key = store_keys::touchpoint(person_id, &incoming.touchpoint);
                if person.head.touchpoints.is_multiple_of(SNAPSHOT_TOUCHPOINTS) {
                    let mut snapshot = key.clone();
                    snapshot[0] = b's';
                    store.put(&snapshot, &store_keys::encode_snapshot(&person.head));
                    refold::thin_snapshots(person_id, person.head.touchpoints / SNAPSHOT_TOUCHPOINTS, store)?;
                }
                store.put(&key, incoming.encoded);
                effects.touchpoint(person_id, &incoming.touchpoint);
            }
            return Ok(());
        }

        let additions: Vec<(Vec<u8>, &Touchpoint<'_>)> = accepted
            .iter()
            .map(|&index| {
                let touchpoint = &batch[index].touchpoint;
                let key = store_keys::touchpoint(person_id, touchpoint);
                (key[store_keys::PERSON_PREFIX..].to_vec(), touchpoint)
            })
            .collect();
        let change = Change { person: person_id, additions: &additions, removals: &removals };
        let touchpoints = person.head.touchpoints;
        let refolded = refold::refold(&change, touchpoints, store, &self.options.fold, &mut self.contributions)?;
        person.head = refolded.head;
        let with_prefix = |first: u8, position: &[u8]| [&store_keys::of_person(first, person_id), position].concat();
        // A replaced version may have had the same position: delete before writing.
        for position in &removals {
            store.delete(&with_prefix(b't', position));
        }
        for key in &refolded.stale_snapshots {
            store.delete(key);
        }
        for (&index, (position, touchpoint)) in accepted.iter().zip(&additions) {
            store.put(&with_prefix(b't', position), batch[index].encoded);
            effects.touchpoint(person_id, touchpoint);
        }
        for (position, snapshot) in refolded.snapshots {
            store.put(&with_prefix(b's', &position), &snapshot);
        }
        for spoke in refolded.capped {
            effects.outcome(&spoke, Outcome::Capped);
        }
        Ok(())
    }

    /// The day of the hub's `as_of` is now `day`, so the day before is closed. Never goes back.
    pub fn advance<S: KeyValue + ?Sized>(&mut self, day: Day, store: &S) -> Result<(), StoreError> {
        let as_of = self.as_of(store)?;
        if as_of.day.is_none_or(|known| known < day) {
            *as_of = AsOf { day: Some(day), is_stored: false, timers_fired: false };
        }
        Ok(())
    }

    /// Looks at up to `max` people whose records may have changed with the days that are closed now. Returns whether
    /// there are more: they may follow in the same commit or in a later one.
    pub fn fire_timers<S: KeyValue + ?Sized>(&mut self, store: &mut S, max: usize) -> Result<bool, StoreError> {
        let as_of = *self.as_of(store)?;
        if as_of.timers_fired || as_of.day.is_none() {
            return Ok(false);
        }
        let (from, to) = store_keys::timers_until(as_of.closed_day());
        let mut due = Vec::new();
        let mut more = false;
        store.scan(&from, &to, &mut |key, _| {
            if due.len() == max {
                more = true;
                return ControlFlow::Break(());
            }
            due.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        for key in due {
            let (day, person_id) =
                store_keys::parse_timer(&key).ok_or_else(|| store_keys::damaged("timer", "21 bytes expected"))?;
            store.delete_local(&key);
            let person = person(&mut self.people, person_id, store)?;
            // Another timer may have taken this one's place without being able to delete it.
            if person.envelope.timer == Some(day) && !person.dirty {
                person.dirty = true;
                self.dirty.push(person_id);
            }
        }
        if !more {
            self.as_of(store)?.timers_fired = true;
        }
        Ok(more)
    }

    /// Writes what changed since the last commit, publishes each changed record once, and hands out the contributions.
    pub fn before_commit<S: KeyValue + ?Sized>(
        &mut self,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let as_of = self.as_of(store)?;
        if let Some(day) = as_of.day
            && !as_of.is_stored
        {
            store.put(store_keys::AS_OF, &store_keys::encode_as_of(day));
            as_of.is_stored = true;
        }
        let closed_day = as_of.closed_day();
        self.dirty.sort_unstable();
        let mut encoded = Vec::new();
        let mut value = Vec::new();
        for &person_id in &self.dirty {
            let Some(person) = self.people.get_mut(&person_id) else {
                continue;
            };
            encoded.clear();
            person.head.encode_into(&mut encoded);
            let published = what_is_published(&encoded, AtClose::of(&person.head, closed_day));
            if published != person.envelope.published {
                effects.record(person_id, &record::render(person_id, &person.head, closed_day));
                person.envelope.published = published;
            }
            let timer = record::next_change(&person.head, closed_day);
            if timer != person.envelope.timer {
                if let Some(replaced) = person.envelope.timer {
                    store.delete_local(&store_keys::timer(replaced, person_id));
                }
                if let Some(day) = timer {
                    store.put_local(&store_keys::timer(day, person_id), &[]);
                }
                person.envelope.timer = timer;
            }
            value.clear();
            person.envelope.encode_into(&mut value);
            value.extend_from_slice(&encoded);
            store.put(&store_keys::head(person_id), &value);
        }
        self.contributions.drain_sorted(|cell, add| effects.contribution(cell, add));
        Ok(())
    }

    /// The commit succeeded: what is cached is what is stored.
    pub fn committed(&mut self) {
        for person_id in self.dirty.drain(..) {
            if let Some(person) = self.people.get_mut(&person_id) {
                person.dirty = false;
            }
        }
        if self.people.len() > self.options.heads_max {
            // Second chance: first those that were not used since the last eviction, then whoever is left too many.
            self.people.retain(|_, person| std::mem::take(&mut person.recent));
            let mut too_many = self.people.len().saturating_sub(self.options.heads_max);
            self.people.retain(|_, _| {
                let is_kept = too_many == 0;
                too_many = too_many.saturating_sub(1);
                is_kept
            });
        }
    }

    /// The commit failed and the store is back where it was after the last one: forgets what was not committed.
    pub fn rolled_back(&mut self) {
        for person_id in self.dirty.drain(..) {
            self.people.remove(&person_id);
        }
        self.contributions.clear();
        self.as_of = None;
    }

    fn as_of<S: KeyValue + ?Sized>(&mut self, store: &S) -> Result<&mut AsOf, StoreError> {
        let as_of = match self.as_of {
            Some(as_of) => as_of,
            None => AsOf { day: store_keys::read_as_of(store)?, is_stored: true, timers_fired: false },
        };
        Ok(self.as_of.insert(as_of))
    }
}

/// A person, from the cache or the store, or new.
fn person<'a, S: KeyValue + ?Sized>(
    people: &'a mut HashMap<PersonId, Person, RandomState>,
    person_id: PersonId,
    store: &S,
) -> Result<&'a mut Person, StoreError> {
    match people.entry(person_id) {
        hash_map::Entry::Occupied(entry) => {
            let person = entry.into_mut();
            person.recent = true;
            Ok(person)
        }
        hash_map::Entry::Vacant(entry) => {
            let mut person =
                Person { head: Head::default(), envelope: Envelope::default(), dirty: false, recent: true };
            if let Some(bytes) = store.get(&store_keys::head(person_id))? {
                let (envelope, encoded) = Envelope::decode(&bytes)?;
                person.head = Head::decode(encoded).map_err(|error| store_keys::damaged("head", error))?;
                person.envelope = envelope;
            }
            Ok(entry.insert(person))
        }
    }
}

/// The record is a function of the head and of its figures at the close, so their hash tells whether it changed.
fn what_is_published(encoded_head: &[u8], at_close: AtClose) -> u64 {
    let seed = (at_close.contacts_30_days as u64) << 32 ^ at_close.overdue_promises as u64;
    xxhash_rust::xxh3::xxh3_64_with_seed(encoded_head, seed).max(1)
}
