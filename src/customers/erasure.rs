//! An erasure at the home of a touchpoint: what was erased goes, from the touchpoints that are kept and from what their
//! pairs said; what is later stays and is reported again.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{
    erased,
    home::{Arrived, Pair, SeenPair, pair_hash, pair_key, pairs_of, version_key, versions_of},
    person::{Edit, Version, Versions, copies_of, forget_hash, hash_of, index, keep_hash},
    positions::Place,
    readings::unmark,
    refold::Own,
    stage::{Customers, Effects, person},
    store_keys::{self, PERSON_PREFIX, ReportedPair, with_rest},
    timeline::timeline_with,
};
use crate::model::{EventTime, Identifier, IdentifierType, KeyValue, PersonId, StoreError, Touchpoint};

/// So many pairs are reported in one message: with the longest identifiers half a mebibyte.
const PAIRS_AT_ONCE: usize = 1_000;

/// One (spoke, id) of the home: what is kept of it, before.
struct Kept {
    id_and_spoke: Vec<u8>,
    /// The home's version first, then those beside it: content hashes and internal forms.
    versions: Vec<(u128, Vec<u8>)>,
    /// Where the home's version is.
    position: Vec<u8>,
    /// Which reading has met it last.
    reading: u32,
}

/// What pairs say that have to do with the erasure: by hash, both identifiers and when they were last seen together.
type Said = BTreeMap<u128, ((IdentifierType, String), (IdentifierType, String), EventTime)>;

impl Customers {
    /// Identifiers were erased up to an instant each. `home` is told because it is one of them, or because it reported one.
    pub fn erased<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        what: &[(PersonId, EventTime)],
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        self.make_dirty(home, store)?;
        let old_public = self.public_id(home, store)?;
        let ties = person(&mut self.people, home, store)?.ties_mut();
        let new = erased::learn(home, ties, what, store)?;
        if new.is_empty() {
            return Ok(());
        }
        let to = ties.person;

        let kept = self.kept(home, store)?;
        self.report_again(home, &kept, &new, store, effects)?;

        let is_reborn = new.iter().any(|(name, _)| *name == home);
        if is_reborn {
            let head = person(&mut self.people, home, store)?;
            if std::mem::take(&mut head.envelope.published) != 0 {
                effects.record_gone(old_public);
            }
            self.withdraw_alerts(home, store, effects)?;
            self.each_touchpoint(home, store, &mut |touchpoint| {
                effects.touchpoint_gone(old_public, touchpoint.spoke, touchpoint.id);
            })?;
        }
        // What it was told before, it stripped before, and what came since when it came.
        let changed = self.strip(home, &kept, (&new, is_reborn), store, effects)?;
        if is_reborn {
            let public = self.public_id(home, store)?;
            self.each_touchpoint(home, store, &mut |touchpoint| effects.touchpoint(public, touchpoint))?;
        }
        if let Some(to) = to
            && changed
        {
            effects.drop_fragment(to, home, true);
            self.begin_move(home, true, store, effects)?;
        }
        Ok(())
    }

    fn each_touchpoint<S: KeyValue + ?Sized>(
        &mut self,
        id: PersonId,
        store: &S,
        each: &mut dyn FnMut(&Touchpoint<'_>),
    ) -> Result<(), StoreError> {
        let ties = person(&mut self.people, id, store)?.ties().cloned();
        timeline_with(id, ties.as_ref(), store, each)
    }

    /// Everything that the home keeps.
    fn kept<S: KeyValue + ?Sized>(&self, home: PersonId, store: &S) -> Result<Vec<Kept>, StoreError> {
        let mut kept = Vec::new();
        let mut result = Ok(());
        store.scan(&store_keys::of_person(b't', home), &store_keys::after_person(b't', home), &mut |key, value| {
            let position = &key[PERSON_PREFIX..];
            match Place::of_position(position) {
                Some(Place { id_and_spoke, home: None }) => {
                    let (encoded, reading) = unmark(value);
                    kept.push(Kept {
                        id_and_spoke: id_and_spoke.to_vec(),
                        versions: vec![(0, encoded.to_vec())],
                        position: position.to_vec(),
                        reading,
                    });
                }
                Some(_) => {}
                None => result = Err(store_keys::damaged("position", "too short")),
            }
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result?;
        for kept in &mut kept {
            let place = Place { id_and_spoke: &kept.id_and_spoke, home: None };
            kept.versions[0].0 = hash_of(home, place, &kept.versions[0].1, store)?;
            kept.versions.extend(versions_of(home, &kept.id_and_spoke, store)?);
        }
        Ok(kept)
    }

    /// Forgets each pair that was last seen before one of its identifiers was erased, and reports the others again.
    fn report_again<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        kept: &[Kept],
        new: &[(PersonId, EventTime)],
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let key = &self.options.person_key;
        let until = |name: PersonId| new.iter().find(|(other, _)| *other == name).map(|&(_, at)| at);
        let concerns = |(a, b, _): &Pair<'_>| {
            until(home).is_some() || until(key.person(*a)).is_some() || until(key.person(*b)).is_some()
        };
        let mut said = Said::new();
        let mut note = |pair: Pair<'_>| {
            if concerns(&pair) {
                let (a, b, at) = pair;
                let owned = |identifier: Identifier<'_>| (identifier.kind, identifier.value.to_owned());
                let last = said.entry(pair_hash(a, b)).or_insert_with(|| (owned(a), owned(b), at));
                last.2 = last.2.max(at);
            }
        };
        for (_, encoded) in kept.iter().flat_map(|kept| &kept.versions) {
            let touchpoint = Touchpoint::decode(encoded).map_err(|error| store_keys::damaged("touchpoint", error))?;
            pairs_of(&touchpoint, &self.options.unique, &mut note);
        }
        let mut result = Ok(());
        store.scan(&store_keys::of_person(b'q', home), &store_keys::after_person(b'q', home), &mut |_, value| {
            match ReportedPair::decode(value) {
                Ok(Some(pair)) => note((pair.a, pair.b, pair.at())),
                Ok(None) => {}
                Err(error) => result = Err(error),
            }
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result?;

        let mut again: Vec<SeenPair<'_>> = Vec::new();
        let mut home_identifier = None;
        for (hash, (a, b, at)) in &said {
            let (a, b) = (Identifier { kind: a.0, value: &a.1 }, Identifier { kind: b.0, value: &b.1 });
            let names = [home, key.person(a), key.person(b)];
            if names.into_iter().filter_map(until).any(|until| *at <= until) {
                store.delete(&pair_key(home, *hash));
            } else {
                again.push((a, b, *at, None));
            }
            home_identifier = [a, b]
                .into_iter()
                .zip(&names[1..])
                .find(|(_, name)| **name == home)
                .map(|(it, _)| it)
                .or(home_identifier);
        }
        if !again.is_empty() {
            let stored = kept.first().map(|kept| Touchpoint::decode(&kept.versions[0].1)).transpose();
            let stored = stored.map_err(|error| store_keys::damaged("touchpoint", error))?;
            let identifier = home_identifier.or(stored.as_ref().map(Touchpoint::home));
            let identifier = identifier.ok_or_else(|| store_keys::damaged("home", "nothing says its identifier"))?;
            again.chunks(PAIRS_AT_ONCE).for_each(|pairs| effects.pairs(identifier, pairs));
        }
        person(&mut self.people, home, store)?.reported.clear();
        Ok(())
    }

    /// Strips what the home keeps. Whether anything changed that its person sees. `quiet`: the caller publishes what is left.
    fn strip<S: KeyValue + ?Sized>(
        &mut self,
        home: PersonId,
        kept: &[Kept],
        (new, quiet): (&[(PersonId, EventTime)], bool),
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<bool, StoreError> {
        let mut changed: Vec<(&Kept, Option<Arrived<'_>>)> = Vec::new();
        for kept in kept {
            let mut left: Vec<Arrived<'_>> = Vec::new();
            let mut is_changed = false;
            for (number, (hash, encoded)) in kept.versions.iter().enumerate() {
                let mut version = Arrived::decode(encoded)?;
                version.item.content_hash = *hash;
                let stripped = version.stripped(home, new, &self.options.person_key);
                if stripped != Some(false) {
                    is_changed = true;
                    effects.erased(version.touchpoint.spoke);
                    if number > 0 {
                        store.delete(&version_key(home, &kept.id_and_spoke, *hash));
                    }
                }
                if stripped.is_some() {
                    left.push(version);
                }
            }
            if !is_changed {
                continue;
            }
            left.sort_by_key(|version| version.item.content_hash);
            let mut left = left.into_iter();
            let mut winner = left.next();
            winner.iter_mut().for_each(|winner| winner.mark(kept.reading));
            for version in left {
                let key = version_key(home, &kept.id_and_spoke, version.item.content_hash);
                store.put(&key, &version.item.encoded);
            }
            if let Some(winner) = &winner {
                let key = version_key(home, &kept.id_and_spoke, winner.item.content_hash);
                if store.get(&key)?.is_some() {
                    store.delete(&key);
                }
            }
            changed.push((kept, winner));
        }
        // As additions have to be.
        let position = |kept: &Kept, winner: &Option<Arrived<'_>>| {
            winner.as_ref().map(|winner| winner.entry().position(&kept.id_and_spoke, None))
        };
        changed.sort_by_cached_key(|(kept, winner)| position(kept, winner));

        let own = self.own_counts(home, store)?;
        let has_copies = person(&mut self.people, home, store)?.ties().is_some_and(|ties| ties.copies > 0);
        let mut edit = Edit::default();
        edit.quiet = quiet;
        edit.change.own = if own { Own::Stay } else { Own::Elsewhere };
        for (kept, winner) in &changed {
            let place = Place { id_and_spoke: &kept.id_and_spoke, home: None };
            let after = position(kept, winner);
            match winner {
                Some(winner) => {
                    index(home, place, Some(winner.entry()), store);
                    keep_hash(home, place, &winner.item, store)?;
                }
                None => {
                    index(home, place, None, store);
                    forget_hash(home, place, store)?;
                }
            }
            if own {
                let copies = if has_copies { copies_of(home, &kept.id_and_spoke, store)? } else { Default::default() };
                let mut versions = Versions { before: copies.clone(), after: copies, new: None };
                versions.before.push(Version {
                    position: kept.position.clone(),
                    content_hash: kept.versions[0].0,
                    edition: 0,
                });
                if let (Some(winner), Some(position)) = (winner, after) {
                    let content_hash = winner.item.content_hash;
                    versions.after.push(Version { position, content_hash, edition: 1 });
                    versions.new = Some((&winner.touchpoint, winner.stored()));
                }
                edit.settle(versions);
            } else {
                store.delete(&with_rest(b't', home, &kept.position));
                if let (Some(winner), Some(position)) = (winner, after) {
                    store.put(&with_rest(b't', home, &position), winner.stored());
                }
            }
        }
        let is_changed = !changed.is_empty();
        if own && is_changed {
            self.apply(home, edit, store, effects)?;
        }
        Ok(is_changed)
    }
}
