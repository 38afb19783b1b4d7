//! A home moves from one person to another: what it tells them, and what they know of moves that are under way.
//!
//! ```text
//!   Assign ─▶ Drop from the person before ─▶ Put in chunks (More) ─▶ Settled
//! ```
//! Each Put, and each Drop, says whether more of a move follows. What a home told a person last says that more follows exactly
//! as long as its move there is under way: what is under way has a More of its own among the home's input, and whatever overtakes
//! it (an assignment to another, an erasure, a reading) either goes on with it or tells the person that nothing follows. One
//! home tells one person in order, so that nobody waits for ever. Where an assignment moves several homes of a person, links
//! tells the person how many, and each of them, once for each assignment, that it has come or gone (Settled), at the latest when the next
//! assignment takes it elsewhere. Persons count, so that it does not matter who is heard first (`Unsettled`).

use std::{borrow::Cow, ops::ControlFlow};

use serde::{Deserialize, Serialize};

use super::{
    person::{Item, hash_of},
    positions::Place,
    readings,
    stage::{Customers, Effects, person},
    store_keys::{self, PERSON_PREFIX, with_rest},
};
use crate::model::{KeyValue, PersonId, StoreError};

/// Touchpoints that one chunk of a move holds at most …
const CHUNK_TOUCHPOINTS: usize = if cfg!(test) { 4 } else { 256 };
/// … and bytes, about: a batch of the repartition topic.
const CHUNK_BYTES: usize = 48 << 10;

/// Whose a home's touchpoints are from now on, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// To whom they belong.
    pub person: PersonId,
    /// Larger than that of every assignment before.
    pub version: u64,
    /// Whom they leave, if that one expects to hear when they have, since others of theirs move too.
    pub from: Option<PersonId>,
    /// Whether the person expects to hear when they have come, since others come or go too.
    pub expects: bool,
}

/// Moves that are under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// Homes of which the person was told that more follows; ascends.
    pub homes: Vec<PersonId>,
    /// Versions of assignments that concern several homes of the person, and how many of those have still to say that they have
    /// come or gone: less than none as long as they were heard of before they were expected. Ascends; of none nothing is kept.
    pub expected: Vec<(u64, i64)>,
    /// Whether touchpoints have left for another person since alerts were told last.
    pub parted: bool,
    /// Of the home: versions of which its person expects to hear that it has come.
    pub owed: Vec<u64>,
}

impl Unsettled {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Unsettled::default()
    }

    /// Whether all that is known to come to the person, and to go, has.
    pub fn is_whole(&self) -> bool {
        self.homes.is_empty() && self.expected.is_empty()
    }

    /// So many more homes are expected to come or go with an assignment.
    pub fn expect(&mut self, version: u64, homes: i64) {
        match self.expected.binary_search_by_key(&version, |(version, _)| *version) {
            Ok(place) if self.expected[place].1 + homes == 0 => drop(self.expected.remove(place)),
            Ok(place) => self.expected[place].1 += homes,
            Err(place) => self.expected.insert(place, (version, homes)),
        }
    }
}

impl Customers {
    /// The home's touchpoints belong to a person from now on.
    pub fn assign<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        assignment: Assignment,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let Assignment { person: to, version, from, expects } = assignment;
        self.make_dirty(home, store)?;
        let ties = person(&mut self.people, home, store)?.ties_mut();
        if version > ties.version {
            ties.version = version;
            let (before, after) = (ties.person, (to != home).then_some(to));
            if before != after {
                return self.move_on(home, (before, after), assignment, store, effects);
            }
        }
        // It is there, or on its way.
        if let Some(from) = from {
            effects.settled(from, home, version);
        }
        if expects {
            self.owe(home, to, version, store, effects)?;
        }
        Ok(())
    }

    /// The home leaves one person for another.
    fn move_on<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        (before, after): (Option<PersonId>, Option<PersonId>),
        Assignment { person: to, version, from, expects }: Assignment,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        // The last word to whom it leaves follows.
        let more = from == Some(before.unwrap_or(home));
        match before {
            Some(before) => {
                effects.drop_fragment(before, home, more);
                self.settle(home, before, store, effects)?;
            }
            None => {
                self.move_own(home, false, store, effects)?;
                self.note_more(home, home, more, store)?;
            }
        }
        if let Some(from) = from {
            effects.settled(from, home, version);
        }
        let person = person(&mut self.people, home, store)?;
        let ties = person.ties_mut();
        ties.person = after;
        ties.moving = None;
        match after {
            Some(_) => {
                if expects {
                    person.envelope.unsettled.get_or_insert_default().owed.push(version);
                }
                self.begin_move(home, false, store, effects)
            }
            None => {
                self.move_own(home, true, store, effects)?;
                if expects {
                    effects.settled(to, home, version);
                }
                Ok(())
            }
        }
    }

    /// The person expects to hear that the home has come: now, if it is not on its way.
    fn owe<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        to: PersonId,
        version: u64,
        store: &S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let person = person(&mut self.people, home, store)?;
        let is_moving = person.ties().is_some_and(|ties| ties.moving.is_some() && ties.person == Some(to));
        match is_moving {
            true => person.envelope.unsettled.get_or_insert_default().owed.push(version),
            false => effects.settled(to, home, version),
        }
        Ok(())
    }

    /// Whoever expects to hear that the home has come hears it, or that it comes no more.
    fn settle<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        to: PersonId,
        store: &S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        if let Some(unsettled) = &mut person(&mut self.people, home, store)?.envelope.unsettled {
            for version in std::mem::take(&mut unsettled.owed) {
                effects.settled(to, home, version);
            }
        }
        Ok(())
    }

    /// `announced`: the person was told that something follows, and so has to hear also that nothing is left.
    pub(super) fn begin_move<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        announced: bool,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        person(&mut self.people, home, store)?.ties_mut().moving = Some(Vec::new());
        self.send_chunk(home, announced, store, effects)
    }

    /// The next chunk of a move that is running; nothing if none is.
    pub fn go_on_moving<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        self.send_chunk(home, false, store, effects)
    }

    fn send_chunk<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        announced: bool,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        self.make_dirty(home, store)?;
        let ties = person(&mut self.people, home, store)?.ties_mut();
        let (Some(cursor), Some(to)) = (ties.moving.clone(), ties.person) else {
            return Ok(());
        };
        let announced = announced || !cursor.is_empty();
        let mut from = with_rest(b't', home, &cursor);
        if !cursor.is_empty() {
            from.push(0);
        }
        let mut chunk: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let (mut bytes, mut more) = (0, false);
        let mut result = Ok(());
        store.scan(&from, &store_keys::after_person(b't', home), &mut |key, value| {
            let position = &key[PERSON_PREFIX..];
            let Some(place) = Place::of_position(position) else {
                result = Err(store_keys::damaged("position", "too short"));
                return ControlFlow::Break(());
            };
            if place.home.is_some() {
                return ControlFlow::Continue(());
            }
            if chunk.len() == CHUNK_TOUCHPOINTS || bytes >= CHUNK_BYTES {
                more = true;
                return ControlFlow::Break(());
            }
            bytes += value.len() + 20;
            chunk.push((position.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })?;
        result?;
        let mut items = Vec::with_capacity(chunk.len());
        for (position, encoded) in &chunk {
            let place = Place::of_position(position).expect("it was looked at above");
            let content_hash = hash_of(home, place, encoded, store)?;
            items.push(Item { content_hash, encoded: Cow::Borrowed(readings::unmark(encoded).0) });
        }
        let person = person(&mut self.people, home, store)?;
        let owes = person.envelope.unsettled.as_ref().is_some_and(|unsettled| !unsettled.owed.is_empty());
        if announced || !items.is_empty() {
            effects.put(to, home, &items, true, more || owes);
        }
        let ties = person.ties_mut();
        ties.moving = None;
        if more {
            ties.moving = chunk.pop().map(|(position, _)| position);
            effects.more(home);
            return Ok(());
        }
        self.settle(home, to, store, effects)
    }

    /// A home says whether more of it follows: until nothing does, the person's timeline is not whole, and what is told once is
    /// not told.
    pub(super) fn note_more<S: KeyValue + ?Sized>(
        &mut self,
        id: PersonId,
        home: PersonId,
        more: bool,
        store: &S,
    ) -> Result<(), StoreError> {
        let unsettled = &mut person(&mut self.people, id, store)?.envelope.unsettled;
        let known = unsettled.as_ref().map_or(Err(0), |unsettled| unsettled.homes.binary_search(&home));
        match (known, more) {
            (Err(place), true) => unsettled.get_or_insert_default().homes.insert(place, home),
            (Ok(place), false) => drop(unsettled.get_or_insert_default().homes.remove(place)),
            _ => return Ok(()),
        }
        self.make_dirty(id, store)
    }

    /// So many homes come to a person or leave them with an assignment, and each will say when it has: until all have, the person is
    /// neither who they were nor who they will be. Some may have said so before.
    pub fn expect<S: KeyValue + ?Sized>(
        &mut self,
        id: PersonId,
        version: u64,
        homes: u32,
        store: &S,
    ) -> Result<(), StoreError> {
        let unsettled = &mut person(&mut self.people, id, store)?.envelope.unsettled;
        unsettled.get_or_insert_default().expect(version, i64::from(homes));
        self.make_dirty(id, store)
    }

    /// A home has come to a person, or gone from them.
    pub fn settled<S: KeyValue + ?Sized>(
        &mut self,
        id: PersonId,
        home: PersonId,
        version: u64,
        store: &S,
    ) -> Result<(), StoreError> {
        self.note_more(id, home, false, store)?;
        let unsettled = &mut person(&mut self.people, id, store)?.envelope.unsettled;
        unsettled.get_or_insert_default().expect(version, -1);
        self.make_dirty(id, store)
    }
}
