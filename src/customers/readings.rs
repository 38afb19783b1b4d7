//! Which reading of a department's topic a touchpoint came from: a later reading's wins, and takes the place of what the
//! earlier ones had and it has not.
//!
//! A *reading* of a department's topic is all that one mapping has made of it. The first has number 0; each time that the
//! topic is read again from its beginning, the number is one more. What comes from the topic afterwards is of that reading
//! too. So a stored touchpoint of an older reading was not met by the newest: the mapping of now makes nothing of its
//! record, or the record is gone.

use std::{
    collections::{BTreeMap, btree_map},
    ops::ControlFlow,
};

use super::{
    home::{Arrived, Pair, pair_hash, pair_key, pairs_of, version_key, versions_of},
    person::{Edit, Version, Versions, copies_of, forget_hash, hash_of, index},
    positions::{IndexEntry, Place},
    refold::Own,
    stage::{Customers, Effects, person},
    store_keys::{self, PERSON_PREFIX, ReportedPair, with_rest},
};
use crate::model::{EventTime, KeyValue, PersonId, StoreError, Touchpoint};

/// A pair of identifiers, the stronger first, both by name, that a home has reported, and when what is left there last saw
/// it; `None`: nothing is left.
pub type WithdrawnPair = (PersonId, PersonId, Option<EventTime>);

/// Pairs that something said that is gone, by hash: both names, and when it said so last.
type Suspects = BTreeMap<u128, (PersonId, PersonId, EventTime)>;

/// How many pairs one message takes back.
const WITHDRAWN_AT_ONCE: usize = 500;

/// The last byte of a stored touchpoint that says its reading, after the number (4 bytes). The internal form of a touchpoint
/// ends with a text or with the length of an empty one, and neither can end with this byte.
const MARK: u8 = 0xff;
const TRAILER: usize = 5;

/// The newest reading of each department that was ever read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings(BTreeMap<String, u32>);

impl Readings {
    /// The number of a department's newest reading.
    pub fn of(&self, spoke: &str) -> u32 {
        // Nearly always nobody was: nothing is looked for.
        if self.0.is_empty() { 0 } else { self.0.get(spoke).copied().unwrap_or(0) }
    }

    /// From here on touchpoints of a department are of this reading.
    pub fn set(&mut self, spoke: &str, reading: u32) {
        self.0.insert(spoke.to_owned(), reading);
    }

    /// As if nobody had ever been read again.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Writes a touchpoint with its reading, as it is to be stored. Those of the first are stored as ever, without.
pub(super) fn mark(encoded: &[u8], reading: u32, stored: &mut Vec<u8>) {
    stored.clear();
    stored.extend_from_slice(encoded);
    if reading > 0 {
        stored.extend_from_slice(&reading.to_le_bytes());
        stored.push(MARK);
    }
}

/// A stored touchpoint without its reading, and that.
pub fn unmark(stored: &[u8]) -> (&[u8], u32) {
    match stored.split_last_chunk::<TRAILER>() {
        Some((encoded, [a, b, c, d, MARK])) => (encoded, u32::from_le_bytes([*a, *b, *c, *d])),
        _ => (stored, 0),
    }
}

/// What a part of a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// With whom to go on; `None`: everybody was looked at.
    pub next: Option<PersonId>,
    /// Touchpoints of older readings that were met.
    pub older: u64,
}

impl Customers {
    /// The newest reading has met a touchpoint as an older one had it. What else older ones had of it goes.
    pub(super) fn met_again<S: KeyValue + ?Sized>(
        &self,
        home: PersonId,
        known: IndexEntry,
        arrived: &Arrived<'_>,
        store: &mut S,
    ) -> Result<(), StoreError> {
        let id_and_spoke = arrived.id_and_spoke();
        let key = with_rest(b't', home, &known.position(&id_and_spoke, None));
        let stored = store.get(&key)?.ok_or_else(|| store_keys::damaged("timeline", "a touchpoint is missing"))?;
        let mut marked = Vec::with_capacity(stored.len() + TRAILER);
        mark(unmark(&stored).0, arrived.reading, &mut marked);
        store.put(&key, &marked);
        let entry = IndexEntry { reading: arrived.reading, ..known };
        store.put_local(&with_rest(b'i', home, &id_and_spoke), &entry.encode());
        self.give_way(home, None, arrived, store)
    }

    /// What older readings had of a (spoke, id) gives way to what the newest has: the home's version and those beside it. What
    /// their pairs said may have to be taken back, once it is known what else says it.
    pub(super) fn give_way<S: KeyValue + ?Sized>(
        &self,
        home: PersonId,
        earlier: Option<&Touchpoint<'_>>,
        arrived: &Arrived<'_>,
        store: &mut S,
    ) -> Result<(), StoreError> {
        let id_and_spoke = arrived.id_and_spoke();
        let versions = versions_of(home, &id_and_spoke, store)?;
        let mut suspects = Suspects::new();
        earlier.iter().for_each(|earlier| self.suspect(earlier, &mut suspects));
        for (hash, encoded) in &versions {
            self.suspect(&decode(encoded)?, &mut suspects);
            store.delete(&version_key(home, &id_and_spoke, *hash));
        }
        pairs_of(&arrived.touchpoint, &self.options.unique, &mut |(a, b, at)| {
            let hash = pair_hash(a, b);
            if suspects.get(&hash).is_some_and(|&(_, _, said)| said <= at) {
                suspects.remove(&hash);
            }
        });
        for (hash, (a, b, mut at)) in suspects {
            let key = with_rest(b'z', home, &hash.to_be_bytes());
            if let Some(known) = store.get(&key)? {
                at = at.max(decode_suspect(&known)?.2);
            }
            store.put(&key, &[&a.0[..], &b.0, &at.0.to_be_bytes()].concat());
        }
        Ok(())
    }

    fn suspect(&self, touchpoint: &Touchpoint<'_>, suspects: &mut Suspects) {
        pairs_of(touchpoint, &self.options.unique, &mut |pair| self.suspect_pair(pair, suspects));
    }

    fn suspect_pair(&self, (a, b, at): Pair<'_>, suspects: &mut Suspects) {
        match suspects.entry(pair_hash(a, b)) {
            btree_map::Entry::Occupied(mut known) => known.get_mut().2 = known.get().2.max(at),
            btree_map::Entry::Vacant(entry) => {
                let key = &self.options.person_key;
                entry.insert((key.person(a), key.person(b), at));
            }
        }
    }

    /// Looks at about `touchpoints_max` touchpoints, from `from` on (`None`: the first home), and removes those of `spoke`
    /// that its newest reading did not meet; with `keeps`, only counts them. A home is never split. Pairs of identifiers that
    /// nothing says any more are taken back.
    pub fn sweep<S: KeyValue + ?Sized>(
        &mut self,
        spoke: &str,
        keeps: bool,
        from: Option<PersonId>,
        touchpoints_max: u64,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<Swept, StoreError> {
        let newest = self.readings.of(spoke);
        let mut swept = Swept::default();
        let mut looked_at = 0;
        // Homes and the positions of what is older there; each is touched when all of them are known.
        let mut homes: Vec<(PersonId, Vec<Vec<u8>>)> = Vec::new();
        let mut of_name: Option<PersonId> = None;
        let first_key = from.map_or_else(|| vec![b't'], |home| store_keys::of_person(b't', home));
        let mut result = Ok(());
        store.scan(&first_key, &[b't' + 1], &mut |key, value| {
            let name = key[1..].first_chunk::<16>();
            let place = key.get(PERSON_PREFIX..).and_then(Place::of_position);
            let (Some(&name), Some(place)) = (name, place) else {
                result = Err(store_keys::damaged("touchpoint", "its key is too short"));
                return ControlFlow::Break(());
            };
            let name = PersonId(name);
            if of_name.replace(name) != Some(name) && looked_at >= touchpoints_max {
                swept.next = Some(name);
                return ControlFlow::Break(());
            }
            looked_at += 1;
            if place.home.is_some() {
                return ControlFlow::Continue(());
            }
            if homes.last().is_none_or(|(home, _)| *home != name) {
                homes.push((name, Vec::new()));
            }
            let of_spoke = place.id_and_spoke.rsplit(|&byte| byte == 0).next() == Some(spoke.as_bytes());
            if of_spoke && unmark(value).1 < newest {
                swept.older += 1;
                homes.last_mut().expect("it was just pushed").1.push(key[PERSON_PREFIX..].to_vec());
            }
            ControlFlow::Continue(())
        })?;
        result?;
        for (home, mut older) in homes {
            if keeps {
                older.clear();
            }
            self.sweep_home(home, &older, (!keeps).then_some((spoke, newest)), store, effects)?;
        }
        Ok(swept)
    }

    /// `gone`: of which department what older readings than the number said of pairs no longer counts.
    fn sweep_home<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        older: &[Vec<u8>],
        gone: Option<(&str, u32)>,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let mut suspects = Suspects::new();
        for (key, value) in entries(b'z', home, store)? {
            suspects.insert(pair_of_key(&key)?, decode_suspect(&value)?);
            store.delete(&key);
        }
        for position in older {
            let Some(Place { id_and_spoke, .. }) = Place::of_position(position) else {
                continue;
            };
            if let Some(stored) = store.get(&with_rest(b't', home, position))? {
                self.suspect(&decode(&stored)?, &mut suspects);
            }
            for (hash, encoded) in versions_of(home, id_and_spoke, store)? {
                self.suspect(&decode(&encoded)?, &mut suspects);
                store.delete(&version_key(home, id_and_spoke, hash));
            }
        }
        if !older.is_empty() {
            self.take_out(home, older, store, effects)?;
        }
        let mut said: BTreeMap<u128, EventTime> = BTreeMap::new();
        let mut say = |hash: u128, at: EventTime| {
            let last = said.entry(hash).or_insert(at);
            *last = at.max(*last);
        };
        for (key, value) in entries(b'q', home, store)? {
            let Some(mut pair) = ReportedPair::decode(&value)? else {
                continue;
            };
            let (count, at) = (pair.said.len(), pair.at());
            pair.said
                .retain(|(spoke, reading, _)| gone.is_none_or(|(gone, newest)| *spoke != gone || *reading >= newest));
            if pair.said.len() < count {
                self.suspect_pair((pair.a, pair.b, at), &mut suspects);
                store.put(&key, &if pair.said.is_empty() { Vec::new() } else { pair.encode() });
            }
            if !pair.said.is_empty() {
                say(pair_of_key(&key)?, pair.at());
            }
        }
        if suspects.is_empty() {
            return Ok(());
        }
        for (key, value) in entries(b't', home, store)?.into_iter().chain(entries(b'v', home, store)?) {
            let is_own =
                key[0] == b'v' || Place::of_position(&key[PERSON_PREFIX..]).is_some_and(|it| it.home.is_none());
            if is_own {
                pairs_of(&decode(&value)?, &self.options.unique, &mut |(a, b, at)| say(pair_hash(a, b), at));
            }
        }
        let mut withdrawn: Vec<WithdrawnPair> = Vec::new();
        for (hash, (a, b, at)) in suspects {
            let key = pair_key(home, hash);
            if store.get(&key)?.is_none() {
                continue; // an erasure took it
            }
            match said.get(&hash) {
                Some(last) if *last >= at => {}
                last => {
                    if last.is_none() {
                        store.delete(&key);
                    }
                    withdrawn.push((a, b, last.copied()));
                }
            }
        }
        person(&mut self.people, home, store)?.reported.clear();
        for some in withdrawn.chunks(WITHDRAWN_AT_ONCE) {
            effects.withdraw(home, some);
        }
        Ok(())
    }

    /// Takes touchpoints out of a home, and so out of the timeline that they are counted in.
    fn take_out<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        positions: &[Vec<u8>],
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let own = self.own_counts(home, store)?;
        let ties = person(&mut self.people, home, store)?.ties();
        let (has_copies, to) = (ties.is_some_and(|ties| ties.copies > 0), ties.and_then(|ties| ties.person));
        let mut edit = Edit::default();
        edit.change.own = if own { Own::Stay } else { Own::Elsewhere };
        for position in positions {
            let key = with_rest(b't', home, position);
            let (Some(place), Some(stored)) = (Place::of_position(position), store.get(&key)?) else {
                continue;
            };
            let content_hash = hash_of(home, place, &stored, store)?;
            index(home, place, None, store);
            forget_hash(home, place, store)?;
            if own {
                let after = if has_copies { copies_of(home, place.id_and_spoke, store)? } else { Default::default() };
                let mut before = after.clone();
                before.push(Version { position: position.clone(), content_hash, edition: 0 });
                edit.settle(Versions { before, after, new: None });
            } else {
                store.delete(&key);
            }
        }
        if own {
            self.apply(home, edit, store, effects)?;
        }
        if let Some(to) = to {
            effects.drop_fragment(to, home, true);
            self.begin_move(home, true, store, effects)?;
        }
        Ok(())
    }
}

/// The entries of a name.
fn entries<S: KeyValue + ?Sized>(first: u8, name: PersonId, store: &S) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
    let mut found = Vec::new();
    store.scan(&store_keys::of_person(first, name), &store_keys::after_person(first, name), &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn decode(stored: &[u8]) -> Result<Touchpoint<'_>, StoreError> {
    Touchpoint::decode(unmark(stored).0).map_err(|error| store_keys::damaged("touchpoint", error))
}

/// The hash of the pair that an entry is about.
fn pair_of_key(key: &[u8]) -> Result<u128, StoreError> {
    store_keys::decode_hash(key.get(PERSON_PREFIX..).unwrap_or_default())
}

fn decode_suspect(value: &[u8]) -> Result<(PersonId, PersonId, EventTime), StoreError> {
    let parts = || {
        let (a, rest) = value.split_first_chunk::<16>()?;
        let (b, at) = rest.split_first_chunk::<16>()?;
        Some((PersonId(*a), PersonId(*b), EventTime(i64::from_be_bytes(at.try_into().ok()?))))
    };
    parts().ok_or_else(|| store_keys::damaged("pair that gave way", "40 bytes expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_told_from_every_touchpoint_that_has_none() {
        let mut stored = Vec::new();
        for (encoded, reading) in [(&b"abc"[..], 0), (b"abc", 1), (b"", 7), (b"x\0", u32::MAX), (b"\xe2\x82\xac", 0)] {
            mark(encoded, reading, &mut stored);
            assert_eq!(unmark(&stored), (encoded, reading));
            assert_eq!(reading == 0, stored == encoded, "what was never read again is stored as ever");
        }
        mark(b"a", 258, &mut stored);
        assert_eq!(stored, [b'a', 2, 1, 0, 0, 0xff], "the stored form reads the same for ever");
    }
}
