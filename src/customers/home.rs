//! The home of an identifier: keeps the touchpoints whose strongest identifier it is, whoever they belong to now.
//!
//! ```text
//!   touchpoint ─▶ strip what was erased ─▶ report new pairs ─▶ dedupe ─┬─▶ timeline of the person of the same name
//!                                                                      └─▶ Put to the person that they belong to
//!   Assign ─▶ Drop from the person before ─▶ Put in chunks (More) ─▶ Settled
//! ```
//! Of several versions of one (spoke, id) the one with the smallest content hash is the home's; a later one with a larger
//! hash is kept beside it, since an erasure may take the first and leave the second. What their pairs of identifiers said
//! remains, also once the versions are gone. One of a newer reading takes the place of all that older ones had (`readings`).

use std::{borrow::Cow, ops::ControlFlow};

use smallvec::SmallVec;

use super::{
    erased,
    person::{Edit, Item, Version, Versions, copies_of, keep_hash},
    positions::{self, IndexEntry, Moment, Place},
    readings,
    stage::{Customers, Effects, Incoming, person, unreadable},
    store_keys::{self, PERSON_PREFIX, ReportedPair, with_rest},
};
use crate::model::{
    EventTime, Identifier, IdentifierType, KeyValue, Outcome, PersonId, PersonKey, StoreError, Touchpoint,
};

/// A pair of identifiers, the stronger first, and when they were seen together; both the same: it was seen.
pub type Pair<'a> = (Identifier<'a>, Identifier<'a>, EventTime);

/// A pair that a home reports, with the department and the id of the touchpoint that brought it; `None`: what is left after an
/// erasure is reported again.
pub type SeenPair<'a> = (Identifier<'a>, Identifier<'a>, EventTime, Option<(&'a str, &'a str)>);

/// A touchpoint that arrived, decoded.
pub(super) struct Arrived<'a> {
    pub item: Item<'a>,
    pub touchpoint: Touchpoint<'a>,
    /// Which reading of its department's topic has met it last.
    pub reading: u32,
    /// Its internal form with the reading; empty in the first.
    marked: Vec<u8>,
    /// Whether it happened on a day that the watermark of its source had passed as it came.
    is_late: bool,
}

impl<'a> Arrived<'a> {
    pub(super) fn decode(encoded: &'a [u8]) -> Result<Arrived<'a>, StoreError> {
        let touchpoint = Touchpoint::decode(encoded).map_err(unreadable)?;
        let item = Item { content_hash: Touchpoint::content_hash(encoded), encoded: Cow::Borrowed(encoded) };
        Ok(Arrived { item, touchpoint, reading: 0, marked: Vec::new(), is_late: false })
    }

    pub(super) fn entry(&self) -> IndexEntry {
        IndexEntry { at: Moment::of(&self.touchpoint), content_hash: self.item.content_hash, reading: self.reading }
    }

    /// Says of which reading it is, once it is stripped.
    pub(super) fn mark(&mut self, reading: u32) {
        self.reading = reading;
        self.marked.clear();
        if reading > 0 {
            readings::mark(&self.item.encoded, reading, &mut self.marked);
        }
    }

    /// As its home keeps it.
    pub(super) fn stored(&self) -> &[u8] {
        if self.marked.is_empty() { &self.item.encoded } else { &self.marked }
    }

    pub(super) fn id_and_spoke(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(48);
        positions::push_id(&mut key, self.touchpoint.id, self.touchpoint.spoke);
        key
    }

    /// Without the identifiers that were erased since it happened; `None` if its home was. Whether it changed. `erased` ascends
    /// and has each name once.
    pub(super) fn stripped(
        &mut self,
        home: PersonId,
        erased: &[(PersonId, EventTime)],
        key: &PersonKey,
    ) -> Option<bool> {
        let at = self.touchpoint.occurred_at;
        let is_erased = |name: PersonId| {
            let found = erased.binary_search_by_key(&name, |(other, _)| *other);
            found.is_ok_and(|index| erased[index].1 >= at)
        };
        if is_erased(home) {
            return None;
        }
        let before = self.touchpoint.identifiers.len();
        self.touchpoint.identifiers.retain(|&identifier| !is_erased(key.person(identifier)));
        if self.touchpoint.identifiers.len() == before {
            return Some(false);
        }
        if self.touchpoint.referrer_id(key).is_some_and(is_erased) {
            self.touchpoint.referrer = None;
        }
        let mut encoded = Vec::with_capacity(self.item.encoded.len());
        self.touchpoint.encode_into(&mut encoded);
        self.item.encoded = Cow::Owned(encoded);
        Some(true)
    }
}

/// Calls `each` with every pair that a touchpoint is evidence of: its home with each identifier, itself included, and each
/// value of a unique type with every other identifier.
pub fn pairs_of<'a>(touchpoint: &Touchpoint<'a>, unique: &[IdentifierType], each: &mut impl FnMut(Pair<'a>)) {
    let identifiers = &touchpoint.identifiers;
    let (home, at) = (touchpoint.home(), touchpoint.occurred_at);
    for &identifier in identifiers {
        each((home, identifier, at));
    }
    for &value in &identifiers[1..] {
        if unique.contains(&value.kind) {
            for &other in &identifiers[1..] {
                if other != value {
                    each((value.min(other), value.max(other), at));
                }
            }
        }
    }
}

/// What a pair is known by at its home.
pub(super) fn pair_hash(a: Identifier<'_>, b: Identifier<'_>) -> u128 {
    let mut text: SmallVec<[u8; 128]> = SmallVec::new();
    for part in [a, b] {
        match part.kind.place() {
            Some(place) => text.push(place),
            None => {
                text.push(u8::MAX);
                text.extend_from_slice(part.kind.as_str().as_bytes());
                text.push(0);
            }
        }
        text.extend_from_slice(part.value.as_bytes());
        text.push(0);
    }
    xxhash_rust::xxh3::xxh3_128(&text)
}

pub(super) fn pair_key(home: PersonId, hash: u128) -> Vec<u8> {
    with_rest(b'q', home, &hash.to_be_bytes())
}

/// What the home keeps of a batch, and what became of its earlier version.
struct Accepted {
    index: usize,
    replaced: Option<Version>,
}

impl Customers {
    /// Takes a batch into the homes of its touchpoints, in whatever order it comes.
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
        for of_home in order.chunk_by(|a, b| a.0 == b.0) {
            for &(_, _, index) in of_home {
                let incoming = &batch[index as usize];
                let mut next = Arrived::decode(incoming.encoded)?;
                next.is_late = incoming.after.is_some_and(|after| self.is_late(next.touchpoint.occurred_at, after));
                arrived.push(next);
            }
            // By time they are sorted already.
            arrived.sort_by(|a, b| a.touchpoint.timeline_key().cmp(&b.touchpoint.timeline_key()));
            self.arrive(of_home[0].0, &mut arrived, store, effects)?;
            arrived.clear();
        }
        self.order = order;
        Ok(())
    }

    /// Whether something happened on an earlier day than that of the watermark after which it came.
    fn is_late(&self, occurred_at: EventTime, after: EventTime) -> bool {
        let calendar = &self.options.fold.calendar;
        occurred_at < after && calendar.day(occurred_at) < calendar.day(after)
    }

    /// `batch` ascends by position.
    fn arrive<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        batch: &mut Vec<Arrived<'_>>,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let options = &self.options;
        let keeper = person(&mut self.people, home, store)?;
        if let Some(ties) = keeper.envelope.ties.as_deref_mut()
            && !ties.erased.is_empty()
        {
            if ties.erased.len() > erased::INLINE_MAX && !std::mem::replace(&mut keeper.dirty, true) {
                // What goes into keys of its own comes back here where those are rolled back.
                self.dirty.push(home);
            }
            erased::spill(home, ties, store);
            let mut names = vec![home];
            for arrived in batch.iter() {
                names.extend(arrived.touchpoint.identifiers.iter().map(|it| options.person_key.person(*it)));
                names.extend(arrived.touchpoint.referrer_id(&options.person_key));
            }
            let erased = erased::among(home, ties, names, store)?;
            batch.retain_mut(|arrived| {
                let stripped = arrived.stripped(home, &erased, &options.person_key);
                if stripped != Some(false) {
                    effects.erased(arrived.touchpoint.spoke);
                }
                stripped.is_some()
            });
        }
        if batch.is_empty() {
            return Ok(());
        }
        for arrived in batch.iter_mut() {
            arrived.mark(self.readings.of(arrived.touchpoint.spoke));
        }
        let mut new: SmallVec<[SeenPair<'_>; 8]> = SmallVec::new();
        let mut result = Ok(());
        for arrived in batch.iter() {
            pairs_of(&arrived.touchpoint, &options.unique, &mut |pair: Pair<'_>| {
                let hash = pair_hash(pair.0, pair.1);
                if keeper.reported.contains(&hash) {
                    return;
                }
                let key = pair_key(home, hash);
                match store.get(&key) {
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        store.put(&key, &[]);
                        let (a, b, at) = pair;
                        new.push((a, b, at, Some((arrived.touchpoint.spoke, arrived.touchpoint.id))));
                    }
                    Err(error) => result = Err(error),
                }
                keeper.note_reported(hash);
            });
        }
        result?;
        if !new.is_empty() {
            effects.pairs(batch[0].touchpoint.home(), &new);
        }
        let ties = keeper.ties().cloned();
        let accepted = self.dedupe(home, batch, store, effects)?;
        if accepted.is_empty() {
            return Ok(());
        }
        match ties {
            Some(ties) if ties.person.is_some() => self.keep_for_another(home, batch, &accepted, &ties, store, effects),
            ties => {
                let has_copies = ties.is_some_and(|ties| ties.copies > 0);
                let mut edit = Edit::default();
                for Accepted { index, replaced } in &accepted {
                    let arrived = &batch[*index];
                    let id_and_spoke = arrived.id_and_spoke();
                    let position = arrived.entry().position(&id_and_spoke, None);
                    if !has_copies {
                        if let Some(replaced) = replaced {
                            edit.remove(replaced.position.clone());
                        }
                        edit.add(position, &arrived.touchpoint, arrived.stored());
                        continue;
                    }
                    let copies = copies_of(home, &id_and_spoke, store)?;
                    let (mut before, mut after) = (copies.clone(), copies);
                    before.extend(replaced.clone());
                    after.push(Version { position, content_hash: arrived.item.content_hash, edition: 0 });
                    let new = Some((&arrived.touchpoint, arrived.stored()));
                    edit.settle(Versions { before, after, new });
                }
                self.apply(home, edit, store, effects)
            }
        }
    }

    /// Finds out which of a batch become the home's, and keeps what the others said. Writes index entries, not touchpoints.
    fn dedupe<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        batch: &[Arrived<'_>],
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<SmallVec<[Accepted; 16]>, StoreError> {
        let mut accepted: SmallVec<[Accepted; 16]> = SmallVec::new();
        for (number, arrived) in batch.iter().enumerate() {
            let touchpoint = &arrived.touchpoint;
            let index_key = store_keys::index(home, touchpoint.id, touchpoint.spoke);
            let mut replaced = None;
            let known = store.get(&index_key)?;
            if arrived.is_late && known.is_none() {
                effects.outcome(touchpoint.spoke, Outcome::Late);
            }
            if let Some(known) = known {
                let known = IndexEntry::decode(&known)?;
                let id_and_spoke = &index_key[PERSON_PREFIX..];
                let is_newer = known.reading < arrived.reading;
                if is_newer && known.content_hash == arrived.item.content_hash {
                    self.met_again(home, known, arrived, store)?;
                    effects.outcome(touchpoint.spoke, Outcome::Duplicate);
                    continue;
                }
                if known.content_hash == arrived.item.content_hash
                    || !is_newer && store.get(&version_key(home, id_and_spoke, arrived.item.content_hash))?.is_some()
                {
                    effects.outcome(touchpoint.spoke, Outcome::Duplicate);
                    continue;
                }
                effects.outcome(touchpoint.spoke, Outcome::Conflicting);
                if !is_newer && known.content_hash < arrived.item.content_hash {
                    self.keep_version(home, known, arrived, store)?;
                    continue;
                }
                let is_same = |other: &Accepted| {
                    let other = &batch[other.index].touchpoint;
                    (other.id, other.spoke) == (touchpoint.id, touchpoint.spoke)
                };
                match accepted.iter().position(is_same) {
                    Some(earlier) => {
                        let earlier = accepted.remove(earlier);
                        self.keep_version(home, arrived.entry(), &batch[earlier.index], store)?;
                        replaced = earlier.replaced;
                    }
                    None => {
                        let position = known.position(id_and_spoke, None);
                        let stored = store.get(&with_rest(b't', home, &position))?;
                        let stored =
                            stored.ok_or_else(|| store_keys::damaged("timeline", "a touchpoint is missing"))?;
                        let mut earlier = Arrived::decode(readings::unmark(&stored).0)?;
                        earlier.item.content_hash = known.content_hash;
                        if is_newer {
                            self.give_way(home, Some(&earlier.touchpoint), arrived, store)?;
                        } else {
                            self.keep_version(home, arrived.entry(), &earlier, store)?;
                        }
                        replaced = Some(Version { position, content_hash: known.content_hash, edition: 0 });
                    }
                }
            }
            store.put_local(&index_key, &arrived.entry().encode());
            if replaced.is_some() || matches!(arrived.item.encoded, Cow::Owned(_)) {
                let place = Place { id_and_spoke: &index_key[PERSON_PREFIX..], home: None };
                keep_hash(home, place, &arrived.item, store)?;
            }
            accepted.push(Accepted { index: number, replaced });
        }
        Ok(accepted)
    }

    /// A version that is not the home's: kept, unless one with a smaller hash is at least as late. Then only what its pairs
    /// say is kept. `winner` is the home's.
    fn keep_version<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        winner: IndexEntry,
        version: &Arrived<'_>,
        store: &mut S,
    ) -> Result<(), StoreError> {
        let id_and_spoke = version.id_and_spoke();
        let mut others = versions_of(home, &id_and_spoke, store)?;
        let (hash, at) = (version.item.content_hash, version.touchpoint.occurred_at);
        let gives_way = |hash: u128, at: EventTime, to_hash: u128, to_at: EventTime| to_hash < hash && to_at >= at;
        let mut dropped = Vec::new();
        let mut is_kept = !gives_way(hash, at, winner.content_hash, winner.at.time);
        for (other_hash, encoded) in &others {
            let other_at = Touchpoint::occurred_at_of(encoded).map_err(unreadable)?;
            is_kept &= !gives_way(hash, at, *other_hash, other_at);
        }
        if is_kept {
            others.push((hash, version.item.encoded.to_vec()));
            store.put(&version_key(home, &id_and_spoke, hash), &version.item.encoded);
        } else {
            dropped.push(version.item.encoded.to_vec());
        }
        // The home's own version may be new, and so may this one.
        for (other_hash, encoded) in &others {
            let other_at = Touchpoint::occurred_at_of(encoded).map_err(unreadable)?;
            let yields = gives_way(*other_hash, other_at, winner.content_hash, winner.at.time)
                || is_kept && gives_way(*other_hash, other_at, hash, at);
            if yields {
                store.delete(&version_key(home, &id_and_spoke, *other_hash));
                dropped.push(encoded.clone());
            }
        }
        for encoded in dropped {
            self.keep_pairs(home, &Touchpoint::decode(&encoded).map_err(unreadable)?, winner.reading, store)?;
        }
        Ok(())
    }

    /// What the pairs of a version said that is not kept.
    fn keep_pairs<S: KeyValue + ?Sized>(
        &self,
        home: PersonId,
        touchpoint: &Touchpoint<'_>,
        reading: u32,
        store: &mut S,
    ) -> Result<(), StoreError> {
        let mut result = Ok(());
        pairs_of(touchpoint, &self.options.unique, &mut |(a, b, at)| {
            let key = pair_key(home, pair_hash(a, b));
            let kept = store.get(&key).and_then(|kept| match kept {
                // Erased since: it says nothing any more.
                None => Ok(None),
                Some(kept) => {
                    let known = ReportedPair::decode(&kept)?;
                    let mut pair = known.unwrap_or(ReportedPair { a, b, said: Vec::new() });
                    pair.note(touchpoint.spoke, reading, at);
                    Ok(Some(pair.encode()))
                }
            });
            match kept {
                Ok(Some(pair)) => store.put(&key, &pair),
                Ok(None) => {}
                Err(error) => result = Err(error),
            }
        });
        result
    }

    /// Keeps touchpoints that belong to another person, and sends them there.
    fn keep_for_another<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        batch: &[Arrived<'_>],
        accepted: &[Accepted],
        ties: &store_keys::Ties,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let mut sent: Vec<Item<'_>> = Vec::new();
        for Accepted { index, replaced } in accepted {
            let arrived = &batch[*index];
            let position = arrived.entry().position(&arrived.id_and_spoke(), None);
            if let Some(replaced) = replaced {
                store.delete(&with_rest(b't', home, &replaced.position));
            }
            store.put(&with_rest(b't', home, &position), arrived.stored());
            // What lies beyond the cursor of a running move comes with it.
            if ties.moving.as_ref().is_none_or(|cursor| position <= *cursor) {
                sent.push(arrived.item.clone());
            }
        }
        if let Some(to) = ties.person
            && !sent.is_empty()
        {
            // While a move is under way, the last chunk is still to come.
            effects.put(to, home, &sent, false, ties.moving.is_some());
        }
        Ok(())
    }

    /// Marks a home's entry to be written with the next commit.
    pub(super) fn make_dirty<S: KeyValue + ?Sized>(&mut self, id: PersonId, store: &S) -> Result<(), StoreError> {
        let person = person(&mut self.people, id, store)?;
        if !person.dirty {
            person.dirty = true;
            self.dirty.push(id);
        }
        Ok(())
    }
}

pub(super) fn version_key(home: PersonId, id_and_spoke: &[u8], content_hash: u128) -> Vec<u8> {
    let mut key = with_rest(b'v', home, id_and_spoke);
    key.push(0);
    key.extend_from_slice(&content_hash.to_be_bytes());
    key
}

/// The versions of a (spoke, id) that are kept beside the home's: content hashes and internal forms.
pub(super) fn versions_of<S: KeyValue + ?Sized>(
    home: PersonId,
    id_and_spoke: &[u8],
    store: &S,
) -> Result<Vec<(u128, Vec<u8>)>, StoreError> {
    let mut prefix = with_rest(b'v', home, id_and_spoke);
    prefix.push(0);
    let mut versions = Vec::new();
    let mut result = Ok(());
    store.scan(&prefix, &store_keys::after(&prefix), &mut |key, value| {
        match store_keys::decode_hash(&key[prefix.len()..]) {
            Ok(hash) => versions.push((hash, value.to_vec())),
            Err(error) => result = Err(error),
        }
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result.map(|()| versions)
}
