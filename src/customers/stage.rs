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
use smallvec::SmallVec;

use super::{
    alerts::{self, When},
    closes::Closed,
    contributions::Contributions,
    fold::{FoldOptions, Head},
    home::SeenPair,
    person::Item,
    readings::{Readings, WithdrawnPair},
    record::{self, AtClose, NOTHING_CLOSED},
    store_keys::{self, Envelope, Ties},
};
use crate::model::{
    Accumulator, Alert, AlertCause, AlertKey, CellKey, Day, EventTime, Identifier, IdentifierType, InsightRecord,
    KeyValue, Outcome, PersonId, PersonKey, StoreError, Touchpoint,
};

/// What the stage is configured with.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the fold's meaning depends on.
    pub fold: FoldOptions,
    /// Names homes and people.
    pub person_key: PersonKey,
    /// The types of which one person has one value at most: each value of theirs is evidence with every other identifier.
    pub unique: Vec<IdentifierType>,
    /// How many decoded heads are kept between commits.
    pub heads_max: usize,
    /// From how many distinct cells on the stage asks for a commit.
    pub cells_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            fold: FoldOptions::default(),
            person_key: PersonKey([0; 32]),
            unique: vec![IdentifierType::CustomerId],
            heads_max: 10_000,
            cells_max: 100_000,
        }
    }
}

/// One touchpoint of one person, as it comes: it is decoded when its person's turn comes.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Whose.
    pub person: PersonId,
    /// Its internal form.
    pub encoded: &'a [u8],
    /// What the watermark of its source was as it came, to the day: whatever happened on an earlier day is late.
    pub after: Option<EventTime>,
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError(format!("an unsettled touchpoint cannot be read ({error}): instances of different versions are running"))
}

/// What the stage tells the rest of the hub. People in it are named as the public knows them, unless it says otherwise.
pub trait Effects {
    /// A touchpoint entered the person's timeline, or took the place of another version of the same (spoke, id).
    fn touchpoint(&mut self, person: PersonId, touchpoint: &Touchpoint<'_>);
    /// A touchpoint left the person's timeline.
    fn touchpoint_gone(&mut self, person: PersonId, spoke: &str, id: &str);
    /// A person's record changed.
    fn record(&mut self, person: PersonId, record: &InsightRecord);
    /// Nothing is left of a person.
    fn record_gone(&mut self, person: PersonId);
    /// An alert opened, changed, was acknowledged or closes.
    fn alert(&mut self, alert: &Alert<'_>);
    /// Nothing is left of an alert: it was closed just before, or the person is gone.
    fn alert_gone(&mut self, key: &AlertKey, cause: AlertCause);
    /// An erasure took a touchpoint, or identifiers of it, or kept one that came late from being taken.
    fn erased(&mut self, spoke: &str);
    /// Pairs of identifiers that this home had not reported, or has to report again; not none.
    fn pairs(&mut self, home: Identifier<'_>, pairs: &[SeenPair<'_>]);
    /// What is left of pairs that a home, by name, has reported.
    fn withdraw(&mut self, home: PersonId, pairs: &[WithdrawnPair]);
    /// Touchpoints of a home for a person; both by name, not by public id. `moved`: because the person is another now, not
    /// because they just came. `more`: others of the home follow, until then the person's timeline is not whole.
    fn put(&mut self, person: PersonId, home: PersonId, items: &[Item<'_>], moved: bool, more: bool);
    /// Everything of a home leaves a person; both by name. `more`: what is left of it follows.
    fn drop_fragment(&mut self, person: PersonId, home: PersonId, more: bool);
    /// A home has come to a person whom it was assigned to, or gone from one, wholly: whoever expects it hears so. All by name.
    fn settled(&mut self, person: PersonId, home: PersonId, version: u64);
    /// A home, by name, has more to move.
    fn more(&mut self, home: PersonId);
    /// What became of a touchpoint of a spoke: duplicate, conflicting or capped.
    fn outcome(&mut self, spoke: &str, outcome: Outcome);
    /// What this commit adds to a cell; in the order of [`CellKey`].
    fn contribution(&mut self, cell: CellKey<'_>, add: &Accumulator);
}

#[derive(Debug, Default)]
pub(super) struct Person {
    pub(super) head: Head,
    pub(super) envelope: Envelope,
    /// Changed, or to be looked at, since the last commit.
    pub(super) dirty: bool,
    /// Touchpoints have left for another person since the last commit.
    pub(super) parted: bool,
    /// Used since the last eviction.
    pub(super) recent: bool,
    /// Hashes of pairs that are known to be reported: nearly every touchpoint brings the pairs of the one before.
    pub(super) reported: SmallVec<[u128; REPORTED_PAIRS]>,
}

/// Pairs that are remembered of each cached home.
const REPORTED_PAIRS: usize = 8;

impl Person {
    pub(super) fn ties(&self) -> Option<&Ties> {
        self.envelope.ties.as_deref()
    }

    pub(super) fn ties_mut(&mut self) -> &mut Ties {
        self.envelope.ties.get_or_insert_default()
    }

    pub(super) fn note_reported(&mut self, pair: u128) {
        if self.reported.len() == REPORTED_PAIRS {
            self.reported.remove(0);
        }
        self.reported.push(pair);
    }
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
    /// Of which reading what comes from each department is.
    pub readings: Readings,
    /// Whether alerts are told, not held back.
    pub(super) alerts_are_live: bool,
    /// Home, time and index in the batch: kept for its memory.
    pub(super) order: Vec<(PersonId, EventTime, u32)>,
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
            readings: Readings::default(),
            alerts_are_live: true,
            order: Vec::new(),
            options,
        }
    }

    /// Whether the engine should commit now, so that memory stays bounded.
    pub fn is_full(&self) -> bool {
        self.contributions.is_full() || self.dirty.len() >= self.options.heads_max
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
            person.envelope.ties.take_if(|ties| ties.is_empty());
            let erased_at = person.ties().and_then(|ties| ties.erased_at(person_id));
            let public = erased_at.map_or(person_id, |at| self.options.person_key.reborn(person_id, at));
            encoded.clear();
            let mut published = 0;
            if person.head.touchpoints > 0 {
                person.head.encode_into(&mut encoded);
                published = what_is_published(&encoded, AtClose::of(&person.head, closed_day));
            }
            if published != person.envelope.published {
                match published {
                    0 => effects.record_gone(public),
                    _ => effects.record(public, &record::render(public, &person.head, closed_day)),
                }
                person.envelope.published = published;
            }
            let fold = &self.options.fold;
            let closed = Closed::of(&person.head, closed_day, fold);
            if closed != person.envelope.closed {
                for (closed, sign) in [(&person.envelope.closed, -1), (&closed, 1)] {
                    closed.iter().for_each(|closed| closed.contribute(sign, &mut self.contributions));
                }
                person.envelope.closed = closed;
            }
            let mut unsettled = person.envelope.unsettled.take().unwrap_or_default();
            unsettled.parted |= std::mem::take(&mut person.parted);
            let when = When {
                closed_day,
                is_live: self.alerts_are_live,
                is_whole: unsettled.is_whole(),
                has_parted: unsettled.parted,
            };
            let of = (&person.head, &mut person.envelope.alerts);
            let to = (&mut *store, &mut self.contributions);
            let is_told = alerts::publish((person_id, public), of, when, &self.options, to, effects)?;
            unsettled.parted &= !is_told;
            person.envelope.unsettled = (!unsettled.is_empty()).then_some(unsettled);
            let changes = [
                record::next_change(&person.head, closed_day),
                Closed::next_change(&person.head, closed_day, fold),
                alerts::next_opening(&person.head, closed_day),
            ];
            let timer = changes.into_iter().flatten().min();
            if timer != person.envelope.timer {
                if let Some(replaced) = person.envelope.timer {
                    store.delete_local(&store_keys::timer(replaced, person_id));
                }
                if let Some(day) = timer {
                    store.put_local(&store_keys::timer(day, person_id), &[]);
                }
                person.envelope.timer = timer;
            }
            if encoded.is_empty() && person.envelope.is_nothing() {
                store.delete(&store_keys::head(person_id));
                continue;
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
        // What was reported in it was not.
        self.people.values_mut().for_each(|person| person.reported.clear());
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
pub(super) fn person<'a, S: KeyValue + ?Sized>(
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
            let mut person = Person { recent: true, ..Person::default() };
            if let Some(bytes) = store.get(&store_keys::head(person_id))? {
                let (envelope, encoded) = Envelope::decode(&bytes)?;
                if !encoded.is_empty() {
                    person.head = Head::decode(encoded).map_err(|error| store_keys::damaged("head", error))?;
                }
                person.envelope = envelope;
            }
            Ok(entry.insert(person))
        }
    }
}

/// The record is a function of the head and of its figures at the close, so their hash tells whether it changed.
fn what_is_published(encoded_head: &[u8], at_close: AtClose) -> u64 {
    let AtClose { contacts_30_days, overdue_promises, lapsed } = at_close;
    let seed = u64::from(lapsed) << 63 ^ (contacts_30_days as u64) << 32 ^ overdue_promises as u64;
    xxhash_rust::xxh3::xxh3_64_with_seed(encoded_head, seed).max(1)
}
