//! A person's timeline: the home's own touchpoints and copies from other homes, one version of each (spoke, id) counted.
//!
//! ```text
//!   versions before ─┐
//!                    ├─ settle ─▶ Edit ─ apply ─▶ head, contributions, public touchpoints, entries of the store
//!   versions after ──┘
//! ```
//! Of several versions the one with the smallest content hash is counted; the others lie beside it, marked, since a
//! fragment that leaves may uncover them. Readings (see `readings`) are compared by homes alone: once one is over, what
//! older ones had is gone from every home, and so from every person. Only where it is kept, because retention removed its
//! records, may a person count a version of an older reading that another home of theirs has, by its hash.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::{
    contributions::Signed,
    fold::step,
    positions::{self, IndexEntry, Moment, Place},
    readings::unmark,
    refold::{self, Change, Own, SNAPSHOT_TOUCHPOINTS},
    stage::{Customers, Effects, person},
    store_keys::{self, PERSON_PREFIX, Ties, decode_hash, with_rest},
};
use crate::model::{KeyValue, Outcome, PersonId, StoreError, Touchpoint};

/// A touchpoint as it comes or is sent, with what tells its versions apart.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    /// [`Touchpoint::content_hash`] of the touchpoint as it came, before any identifier was erased from it.
    pub content_hash: u128,
    /// Its internal form.
    pub encoded: std::borrow::Cow<'a, [u8]>,
}

/// One version of a (spoke, id) in a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub position: Vec<u8>,
    pub content_hash: u128,
    /// Tells what an erasure left of a touchpoint from what it was.
    pub edition: u8,
}

/// The versions of one (spoke, id) in one timeline, before a change and after it.
#[derive(Debug, Default)]
pub(super) struct Versions<'a> {
    pub before: SmallVec<[Version; 2]>,
    pub after: SmallVec<[Version; 2]>,
    /// What `after` has and `before` has not.
    pub new: Option<(&'a Touchpoint<'a>, &'a [u8])>,
}

/// What a change does to a timeline and to its entries.
#[derive(Debug, Default)]
pub(super) struct Edit<'a> {
    pub change: Change<'a>,
    /// Whether whoever asks for it publishes the touchpoints.
    pub quiet: bool,
    /// The internal forms of the additions, in their order.
    encoded: Vec<&'a [u8]>,
    /// Entries to delete.
    deletions: Vec<Vec<u8>>,
    /// Entries to write that are not counted.
    writes: Vec<(Vec<u8>, &'a [u8])>,
    /// Which positions become uncounted (`true`), and which no longer are.
    marks: Vec<(Vec<u8>, bool)>,
}

fn counted(versions: &[Version]) -> Option<&Version> {
    versions.iter().min_by_key(|version| version.content_hash)
}

impl<'a> Edit<'a> {
    /// A new touchpoint of which there is no other version.
    pub fn add(&mut self, position: Vec<u8>, touchpoint: &'a Touchpoint<'a>, encoded: &'a [u8]) {
        self.change.additions.push((position, touchpoint));
        self.encoded.push(encoded);
    }

    /// A touchpoint that is counted and goes.
    pub fn remove(&mut self, position: Vec<u8>) {
        self.deletions.push(position.clone());
        self.change.removals.push(position);
    }

    /// Finds out which version is counted now.
    pub fn settle(&mut self, versions: Versions<'a>) {
        let Versions { before, after, new } = versions;
        let (was, is) = (counted(&before).cloned(), counted(&after).cloned());
        for version in &before {
            let (was_counted, is_counted) = (was.as_ref() == Some(version), is.as_ref() == Some(version));
            let position = || version.position.clone();
            if !after.contains(version) {
                if was_counted {
                    self.remove(position());
                } else {
                    self.deletions.push(position());
                    self.marks.push((position(), false));
                }
            } else if was_counted && !is_counted {
                self.change.removals.push(position());
                self.marks.push((position(), true));
            } else if !was_counted && is_counted {
                self.change.returns.push(position());
                self.marks.push((position(), false));
            }
        }
        if let Some((touchpoint, encoded)) = new
            && let Some(version) = after.iter().find(|version| !before.contains(version))
        {
            if is.as_ref() == Some(version) {
                self.add(version.position.clone(), touchpoint, encoded);
            } else {
                self.writes.push((version.position.clone(), encoded));
                self.marks.push((version.position.clone(), true));
            }
        }
    }

    /// The home's own version leaves with all others of its home, or comes back. `copies`: the other versions.
    fn settle_own(&mut self, own: &Version, copies: &[Version], comes: bool) {
        let is_counted = copies.iter().all(|copy| own.content_hash < copy.content_hash);
        if !is_counted {
            // Neither counted before nor after, whatever the others of its home do.
            self.change.hidden.push(own.position.clone());
            self.marks.push((own.position.clone(), comes));
        } else if let Some(copy) = counted(copies) {
            let list = if comes { &mut self.change.removals } else { &mut self.change.returns };
            list.push(copy.position.clone());
            self.marks.push((copy.position.clone(), comes));
        }
    }
}

/// The copies of a (spoke, id) in a person's timeline.
pub(super) fn copies_of<S: KeyValue + ?Sized>(
    person: PersonId,
    id_and_spoke: &[u8],
    store: &S,
) -> Result<SmallVec<[Version; 2]>, StoreError> {
    let mut from = with_rest(b'j', person, id_and_spoke);
    from.push(0);
    let mut to = from.clone();
    *to.last_mut().expect("it was just pushed") = 1;
    let mut copies = SmallVec::new();
    scan_entries(&from, &to, store, &mut |key, entry| {
        let place = Place::of_index(&key[PERSON_PREFIX..])?;
        copies.push(Version {
            position: entry.position(place.id_and_spoke, place.home),
            content_hash: entry.content_hash,
            edition: 0,
        });
        Some(())
    })?;
    Ok(copies)
}

/// Scans index entries; `each` answers `None` if a key is no index key.
pub(super) fn scan_entries<S: KeyValue + ?Sized>(
    from: &[u8],
    to: &[u8],
    store: &S,
    each: &mut dyn FnMut(&[u8], IndexEntry) -> Option<()>,
) -> Result<(), StoreError> {
    let mut result = Ok(());
    store.scan(from, to, &mut |key, value| {
        result = IndexEntry::decode(value).and_then(|entry| {
            each(key, entry).ok_or_else(|| store_keys::damaged("index entry", "its key is too short"))
        });
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result
}

/// The home's own version of a (spoke, id).
pub(super) fn own_version<S: KeyValue + ?Sized>(
    home: PersonId,
    id_and_spoke: &[u8],
    store: &S,
) -> Result<Option<Version>, StoreError> {
    let Some(entry) = store.get(&with_rest(b'i', home, id_and_spoke))? else {
        return Ok(None);
    };
    let entry = IndexEntry::decode(&entry)?;
    Ok(Some(Version { position: entry.position(id_and_spoke, None), content_hash: entry.content_hash, edition: 0 }))
}

/// Writes, or deletes, what a version of a touchpoint is found by.
pub(super) fn index<S: KeyValue + ?Sized>(name: PersonId, place: Place<'_>, entry: Option<IndexEntry>, store: &mut S) {
    let (by_id, by_home) = store_keys::index_keys(name, place);
    for key in [Some(by_id), by_home].into_iter().flatten() {
        match entry {
            Some(entry) => store.put_local(&key, &entry.encode()),
            None => store.delete_local(&key),
        }
    }
}

impl Customers {
    /// Folds an edit and writes its entries. Lists need not be in order; the ties are those before the edit.
    pub(super) fn apply<S: KeyValue + ?Sized>(
        &mut self,
        id: PersonId,
        mut edit: Edit<'_>,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let public = self.public_id(id, store)?;
        let person = person(&mut self.people, id, store)?;
        if !person.dirty {
            person.dirty = true;
            self.dirty.push(id);
        }
        let change = &mut edit.change;
        let append = change.removals.is_empty()
            && change.returns.is_empty()
            && matches!(change.own, Own::Stay | Own::Elsewhere)
            && change.additions.first().is_some_and(|(_, touchpoint)| person.head.is_before(touchpoint));
        if append {
            for ((position, touchpoint), encoded) in change.additions.iter().zip(&edit.encoded) {
                let mut contribute = Signed { contributions: &mut self.contributions, sign: 1 };
                let stepped = step(&mut person.head, touchpoint, &self.options.fold, &mut contribute);
                if stepped.capped {
                    effects.outcome(touchpoint.spoke, Outcome::Capped);
                }
                if person.head.touchpoints.is_multiple_of(SNAPSHOT_TOUCHPOINTS) {
                    store.put(&with_rest(b's', id, position), &store_keys::encode_snapshot(&person.head));
                    refold::thin_snapshots(id, person.head.touchpoints / SNAPSHOT_TOUCHPOINTS, store)?;
                }
                store.put(&with_rest(b't', id, position), encoded);
                if !edit.quiet {
                    effects.touchpoint(public, touchpoint);
                }
            }
        } else if !change.is_empty() {
            let uncounted = person.envelope.ties.as_ref().is_some_and(|ties| ties.hidden > 0);
            if uncounted {
                add_hidden(id, change, store)?;
            }
            for list in [&mut change.removals, &mut change.returns, &mut change.hidden] {
                list.sort_unstable();
                list.dedup();
            }
            let (mut gone, mut came) = (Vec::new(), Vec::new());
            let any_goes = !change.removals.is_empty() || change.own == Own::Leave;
            let mut moved = |touchpoint: &Touchpoint<'_>, is_in: bool| {
                if edit.quiet {
                    return;
                }
                if is_in {
                    effects.touchpoint(public, touchpoint);
                }
                if any_goes {
                    let list = if is_in { &mut came } else { &mut gone };
                    list.push((touchpoint.id.to_owned(), touchpoint.spoke.to_owned()));
                }
            };
            let count = person.head.touchpoints;
            let with = (&self.options.fold, &mut self.contributions);
            let refolded = refold::refold(id, change, count, store, with, &mut moved)?;
            person.head = refolded.head;
            for key in &refolded.stale_snapshots {
                store.delete(key);
            }
            for (position, snapshot) in refolded.snapshots {
                store.put(&with_rest(b's', id, &position), &snapshot);
            }
            for spoke in refolded.capped {
                effects.outcome(&spoke, Outcome::Capped);
            }
            if !edit.quiet {
                publish_changed(public, &edit.change.additions, (gone, came), effects);
            }
        }
        self.write(id, &edit, append, store)
    }

    fn write<S: KeyValue + ?Sized>(
        &mut self,
        id: PersonId,
        edit: &Edit<'_>,
        appended: bool,
        store: &mut S,
    ) -> Result<(), StoreError> {
        // A replaced version may have had the same position: delete before writing.
        for position in &edit.deletions {
            store.delete(&with_rest(b't', id, position));
        }
        if !appended {
            for ((position, _), encoded) in edit.change.additions.iter().zip(&edit.encoded) {
                store.put(&with_rest(b't', id, position), encoded);
            }
        }
        for (position, encoded) in &edit.writes {
            store.put(&with_rest(b't', id, position), encoded);
        }
        if edit.marks.is_empty() {
            return Ok(());
        }
        let mut hidden = 0_i64;
        for (position, mark) in &edit.marks {
            let key = with_rest(b'o', id, position);
            let marked = store.get(&key)?.is_some();
            match (marked, mark) {
                (false, true) => {
                    store.put(&key, &[]);
                    hidden += 1;
                }
                (true, false) => {
                    store.delete(&key);
                    hidden -= 1;
                }
                _ => {}
            }
        }
        let ties = person(&mut self.people, id, store)?.ties_mut();
        ties.hidden = ties.hidden.saturating_add_signed(hidden);
        Ok(())
    }

    /// Copies of another home's touchpoints for a person; they take the place of earlier ones of the same home. `more`: others
    /// of them follow.
    pub fn put<S: KeyValue + ?Sized>(
        &mut self,
        id: PersonId,
        home: PersonId,
        items: &[Item<'_>],
        more: bool,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        self.note_more(id, home, more, store)?;
        let mut touchpoints = Vec::with_capacity(items.len());
        for item in items {
            touchpoints.push(Touchpoint::decode(&item.encoded).map_err(super::stage::unreadable)?);
        }
        let mut edit = Edit::default();
        let own = self.own_counts(id, store)?;
        edit.change.own = if own { Own::Stay } else { Own::Elsewhere };
        // A person who has none yet is not searched for each of those that come: no two of them are of one event, since a home
        // has one version of it.
        let has_copies = person(&mut self.people, id, store)?.ties().is_some_and(|ties| ties.copies > 0);
        let mut copies = 0;
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|&index| touchpoints[index].timeline_key());
        let mut id_and_spoke = Vec::new();
        for number in order {
            let (item, touchpoint) = (&items[number], &touchpoints[number]);
            id_and_spoke.clear();
            positions::push_id(&mut id_and_spoke, touchpoint.id, touchpoint.spoke);
            let entry = IndexEntry { at: Moment::of(touchpoint), content_hash: item.content_hash, reading: 0 };
            let version = Version {
                position: entry.position(&id_and_spoke, Some(home)),
                content_hash: item.content_hash,
                edition: 0,
            };
            let mut before = if has_copies { copies_of(id, &id_and_spoke, store)? } else { SmallVec::new() };
            if own && let Some(own) = own_version(id, &id_and_spoke, store)? {
                before.push(own);
            }
            let of_home =
                |version: &Version| Place::of_position(&version.position).is_some_and(|place| place.home == Some(home));
            let mut after = before.clone();
            after.retain(|version| !of_home(version));
            let replaced = before.len() != after.len();
            if replaced && before.contains(&version) {
                continue; // told twice
            }
            copies += u64::from(!replaced);
            after.push(version);
            edit.settle(Versions { before, after, new: Some((touchpoint, &item.encoded)) });
            let place = Place { id_and_spoke: &id_and_spoke, home: Some(home) };
            index(id, place, Some(entry), store);
            keep_hash(id, place, item, store)?;
        }
        self.apply(id, edit, store, effects)?;
        if copies > 0 {
            person(&mut self.people, id, store)?.ties_mut().copies += copies;
        }
        Ok(())
    }

    /// A home's copies leave a person. `more`: what is left of them follows.
    pub fn drop_fragment<S: KeyValue + ?Sized>(
        &mut self,
        id: PersonId,
        home: PersonId,
        more: bool,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        self.note_more(id, home, more, store)?;
        let mut entries: Vec<(Vec<u8>, IndexEntry)> = Vec::new();
        let from = with_rest(b'g', id, &home.0);
        scan_entries(&from, &store_keys::after(&from), store, &mut |key, entry| {
            entries.push((key.get(PERSON_PREFIX + 16..)?.to_vec(), entry));
            Some(())
        })?;
        if entries.is_empty() {
            return Ok(());
        }
        let own = self.own_counts(id, store)?;
        let mut edit = Edit::default();
        edit.change.own = if own { Own::Stay } else { Own::Elsewhere };
        for (id_and_spoke, entry) in &entries {
            let gone = entry.position(id_and_spoke, Some(home));
            let mut before = copies_of(id, id_and_spoke, store)?;
            if own && let Some(own) = own_version(id, id_and_spoke, store)? {
                before.push(own);
            }
            let mut after = before.clone();
            after.retain(|version| version.position != gone);
            edit.settle(Versions { before, after, new: None });
            let place = Place { id_and_spoke, home: Some(home) };
            index(id, place, None, store);
            forget_hash(id, place, store)?;
        }
        self.apply(id, edit, store, effects)?;
        let person = person(&mut self.people, id, store)?;
        person.parted = true;
        let ties = person.ties_mut();
        ties.copies = ties.copies.saturating_sub(entries.len() as u64);
        Ok(())
    }

    /// The home's own touchpoints leave the person of its name, or come back.
    pub(super) fn move_own<S: KeyValue + ?Sized>(
        &mut self,
        id: PersonId,
        comes: bool,
        store: &mut S,
        effects: &mut impl Effects,
    ) -> Result<(), StoreError> {
        let mut edit = Edit::default();
        edit.change.own = if comes { Own::Come } else { Own::Leave };
        if person(&mut self.people, id, store)?.ties().is_some_and(|ties| ties.copies > 0) {
            let mut ids: Vec<Vec<u8>> = Vec::new();
            let (from, to) = (store_keys::of_person(b'j', id), store_keys::after_person(b'j', id));
            scan_entries(&from, &to, store, &mut |key, _| {
                let id_and_spoke = Place::of_index(&key[PERSON_PREFIX..])?.id_and_spoke;
                if ids.last().is_none_or(|last| last != id_and_spoke) {
                    ids.push(id_and_spoke.to_vec());
                }
                Some(())
            })?;
            for id_and_spoke in ids {
                if let Some(own) = own_version(id, &id_and_spoke, store)? {
                    edit.settle_own(&own, &copies_of(id, &id_and_spoke, store)?, comes);
                }
            }
        }
        self.apply(id, edit, store, effects)?;
        person(&mut self.people, id, store)?.parted |= !comes;
        Ok(())
    }

    /// Whether the home's own touchpoints belong to the person of its name.
    pub(super) fn own_counts<S: KeyValue + ?Sized>(&mut self, id: PersonId, store: &S) -> Result<bool, StoreError> {
        Ok(person(&mut self.people, id, store)?.ties().is_none_or(|ties| ties.person.is_none()))
    }

    /// The id that the person is published under.
    pub(super) fn public_id<S: KeyValue + ?Sized>(&mut self, id: PersonId, store: &S) -> Result<PersonId, StoreError> {
        let erased_at = person(&mut self.people, id, store)?.ties().and_then(|ties: &Ties| ties.erased_at(id));
        Ok(erased_at.map_or(id, |at| self.options.person_key.reborn(id, at)))
    }
}

/// Scans the touchpoints of a timeline that are counted: position and internal form.
pub(super) fn each_counted<S: KeyValue + ?Sized>(
    id: PersonId,
    ties: Option<&Ties>,
    store: &S,
    each: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut all = Change::default();
    if let Some(ties) = ties {
        all.own = if ties.person.is_some() { Own::Elsewhere } else { Own::Stay };
        if ties.hidden > 0 {
            add_hidden(id, &mut all, store)?;
        }
    }
    let mut result = Ok(());
    store.scan(&store_keys::of_person(b't', id), &store_keys::after_person(b't', id), &mut |key, value| {
        let position = &key[PERSON_PREFIX..];
        match all.counts(position) {
            Ok((true, _)) => each(position, value),
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                result = Err(error);
                ControlFlow::Break(())
            }
        }
    })?;
    result
}

/// Keeps the hash that a touchpoint came with, if identifiers were erased from it since.
pub(super) fn keep_hash<S: KeyValue + ?Sized>(
    name: PersonId,
    place: Place<'_>,
    item: &Item<'_>,
    store: &mut S,
) -> Result<(), StoreError> {
    if item.content_hash == Touchpoint::content_hash(&item.encoded) {
        return forget_hash(name, place, store);
    }
    store.put(&hash_key(name, place), &item.content_hash.to_be_bytes());
    Ok(())
}

/// A touchpoint is gone, or whole: nothing is to be kept besides it.
pub(super) fn forget_hash<S: KeyValue + ?Sized>(
    name: PersonId,
    place: Place<'_>,
    store: &mut S,
) -> Result<(), StoreError> {
    let key = hash_key(name, place);
    if store.get(&key)?.is_some() {
        store.delete(&key);
    }
    Ok(())
}

/// The hash that a stored touchpoint, with its reading or without, came with.
pub(super) fn hash_of<S: KeyValue + ?Sized>(
    name: PersonId,
    place: Place<'_>,
    encoded: &[u8],
    store: &S,
) -> Result<u128, StoreError> {
    match store.get(&hash_key(name, place))? {
        Some(hash) => decode_hash(&hash),
        None => Ok(Touchpoint::content_hash(unmark(encoded).0)),
    }
}

fn hash_key(name: PersonId, place: Place<'_>) -> Vec<u8> {
    let mut key = with_rest(b'x', name, place.id_and_spoke);
    if let Some(home) = place.home {
        positions::push_home(&mut key, home);
    }
    key
}

/// Adds what the store says is not counted and stays so.
fn add_hidden<S: KeyValue + ?Sized>(id: PersonId, change: &mut Change<'_>, store: &S) -> Result<(), StoreError> {
    let mut hidden = Vec::new();
    store.scan(&store_keys::of_person(b'o', id), &store_keys::after_person(b'o', id), &mut |key, _| {
        hidden.push(key[PERSON_PREFIX..].to_vec());
        ControlFlow::Continue(())
    })?;
    change.returns.sort_unstable();
    hidden.retain(|position| change.returns.binary_search(position).is_err());
    change.hidden.extend(hidden);
    Ok(())
}

/// Says which touchpoints are new and which are gone. One whose place another version took is not gone.
fn publish_changed(
    public: PersonId,
    additions: &[(Vec<u8>, &Touchpoint<'_>)],
    (gone, mut came): (Vec<(String, String)>, Vec<(String, String)>),
    effects: &mut impl Effects,
) {
    for (_, touchpoint) in additions {
        effects.touchpoint(public, touchpoint);
    }
    if gone.is_empty() {
        return;
    }
    came.extend(additions.iter().map(|(_, touchpoint)| (touchpoint.id.to_owned(), touchpoint.spoke.to_owned())));
    came.sort_unstable();
    for (id, spoke) in gone.iter().filter(|gone| came.binary_search(gone).is_err()) {
        effects.touchpoint_gone(public, spoke, id);
    }
}
