//! Kept touchpoints in, everything that is derived from them out: what a change of definition asks for.
//!
//! ```text
//! begin_refold  →  (refold  →  before_commit  →  committed | rolled_back)*
//! ```
//! Old heads and snapshots are replaced, never decoded: they may be of a format that this version cannot read.

use std::ops::ControlFlow;

use super::{
    contributions::Signed,
    fold::{Head, step},
    person::each_counted,
    positions::{IndexEntry, Moment, Place},
    readings,
    refold::{SNAPSHOT_TOUCHPOINTS, is_kept},
    stage::{AsOf, Customers, Person},
    store_keys::{self, Envelope, PERSON_PREFIX},
};
use crate::model::{Day, KeyValue, PersonId, StoreError, Touchpoint};

/// So many positions are given ranks in one commit, of a person who has more.
const RANKED_AT_ONCE: usize = if cfg!(test) { 3 } else { 5_000 };

/// What a call of [`Customers::refold`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// With whom to go on; `None`: everybody was refolded.
    pub next: Option<PersonId>,
    /// How many touchpoints were folded.
    pub touchpoints: u64,
}

impl Customers {
    /// Forgets what is cached. `day` is that of `as_of` by the new calendar, which may be before the old one's.
    pub fn begin_refold(&mut self, day: Option<Day>) {
        self.people.clear();
        self.dirty.clear();
        self.contributions.clear();
        self.as_of = Some(AsOf { day, is_stored: false, timers_fired: false });
    }

    /// Folds whole timelines from `from` on (`None`: the first), until about `touchpoints_max` were folded. What follows
    /// from them goes out with [`Customers::before_commit`]. Contributions are those of the whole timeline: what earlier
    /// folds contributed is not taken back.
    pub fn refold<S: KeyValue + ?Sized>(
        &mut self,
        from: Option<PersonId>,
        touchpoints_max: u64,
        store: &mut S,
    ) -> Result<Part, StoreError> {
        let first_key = from.map_or_else(|| vec![b't'], |person| store_keys::of_person(b't', person));
        let mut next = person_from(&first_key, store)?;
        if from.is_none() {
            self.recount(b"h", next, store)?;
        }
        let mut touchpoints = 0;
        while let Some(person) = next
            && touchpoints < touchpoints_max
            && !self.is_full()
        {
            if !rank(person, store)? {
                return Ok(Part { next, touchpoints });
            }
            touchpoints += self.refold_person(person, store)?;
            next = person_from(&store_keys::after_person(b't', person), store)?;
            self.recount(&store_keys::after_person(b'h', person), next, store)?;
        }
        Ok(Part { next, touchpoints })
    }

    /// What the feed knows of alerts about those who have no touchpoint counts as it did: of somebody whose history has left, and who is
    /// told of when the last of it has. Of all from `from` on and before the next who has touchpoints.
    fn recount<S: KeyValue + ?Sized>(
        &mut self,
        from: &[u8],
        next: Option<PersonId>,
        store: &S,
    ) -> Result<(), StoreError> {
        let end = next.map_or_else(|| vec![b'h' + 1], store_keys::head);
        store.scan(from, &end, &mut |_, value| {
            let alerts = Envelope::decode(value).ok().and_then(|(envelope, _)| envelope.alerts);
            for alert in alerts.iter().flat_map(|alerts| &alerts.published) {
                alert.count(1, &mut self.contributions);
            }
            ControlFlow::Continue(())
        })
    }

    fn refold_person<S: KeyValue + ?Sized>(&mut self, id: PersonId, store: &mut S) -> Result<u64, StoreError> {
        // What cannot be read is published again, and its timer is found stale when it fires.
        let stored = store.get(&store_keys::head(id))?;
        let mut envelope = stored.and_then(|bytes| Some(Envelope::decode(&bytes).ok()?.0)).unwrap_or_default();
        // Those of an earlier fold are not taken back.
        envelope.closed = None;
        if let Some(cursor) = envelope.ties.as_mut().and_then(|ties| ties.moving.as_mut()) {
            unrank_cursor(cursor);
        }
        // What the feed knows of alerts, it still knows: they count as they did.
        let alerts = envelope.alerts.iter().flat_map(|alerts| &alerts.published);
        for alert in alerts {
            alert.count(1, &mut self.contributions);
            if alert.person.is_none() {
                // The entry of before keys had a person.
                store.delete_local(&store_keys::alerts_of(alert.id));
            }
        }
        let mut head = Head::default();
        let mut snapshots: Vec<(u64, Vec<u8>, Vec<u8>)> = Vec::new();
        let mut result = Ok(());
        each_counted(id, envelope.ties.as_deref(), store, &mut |position, value| {
            let touchpoint = match Touchpoint::decode(value) {
                Ok(touchpoint) => touchpoint,
                Err(error) => {
                    result = Err(store_keys::damaged("touchpoint", error));
                    return ControlFlow::Break(());
                }
            };
            let mut contribute = Signed { contributions: &mut self.contributions, sign: 1 };
            step(&mut head, &touchpoint, &self.options.fold, &mut contribute);
            if head.touchpoints.is_multiple_of(SNAPSHOT_TOUCHPOINTS) {
                let newest = head.touchpoints / SNAPSHOT_TOUCHPOINTS;
                let key = store_keys::with_rest(b's', id, position);
                snapshots.push((newest, key, store_keys::encode_snapshot(&head)));
                snapshots.retain(|(number, ..)| is_kept(*number, newest));
            }
            ControlFlow::Continue(())
        })?;
        result?;
        self.replace_snapshots(id, snapshots, store)?;

        if let Some(day) = envelope.timer.take() {
            store.delete_local(&store_keys::timer(day, id));
        }
        let touchpoints = head.touchpoints;
        self.people.insert(id, Person { head, envelope, dirty: true, ..Person::default() });
        self.dirty.push(id);
        Ok(touchpoints)
    }

    fn replace_snapshots<S: KeyValue + ?Sized>(
        &self,
        id: PersonId,
        snapshots: Vec<(u64, Vec<u8>, Vec<u8>)>,
        store: &mut S,
    ) -> Result<(), StoreError> {
        let mut stale = Vec::new();
        store.scan(&store_keys::of_person(b's', id), &store_keys::after_person(b's', id), &mut |key, _| {
            if snapshots.iter().all(|(_, kept, _)| kept != key) {
                stale.push(key.to_vec());
            }
            ControlFlow::Continue(())
        })?;
        for key in stale {
            store.delete(&key);
        }
        for (_, key, snapshot) in snapshots {
            store.put(&key, &snapshot);
        }
        Ok(())
    }
}

/// A move that was on its way goes on from the beginning of the instant that it had come to: what comes twice is one.
fn unrank_cursor(cursor: &mut Vec<u8>) {
    if let Some((at, rest)) = Moment::split(cursor)
        && at.is_unranked()
    {
        cursor.truncate(cursor.len() - rest.len());
    }
}

/// Positions of before there were ranks get one: of a home's own touchpoints and of copies, of those that count and of those that do
/// not. False if there may be more, after a commit.
fn rank<S: KeyValue + ?Sized>(name: PersonId, store: &mut S) -> Result<bool, StoreError> {
    let mut unranked: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    store.scan(&store_keys::of_person(b't', name), &store_keys::after_person(b't', name), &mut |key, value| {
        if Moment::split(&key[PERSON_PREFIX..]).is_some_and(|(at, _)| at.is_unranked()) {
            unranked.push((key.to_vec(), value.to_vec()));
        }
        if unranked.len() < RANKED_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for (key, value) in &unranked {
        give_rank(name, key, value, store)?;
    }
    Ok(unranked.len() < RANKED_AT_ONCE)
}

fn give_rank<S: KeyValue + ?Sized>(name: PersonId, key: &[u8], value: &[u8], store: &mut S) -> Result<(), StoreError> {
    let touchpoint =
        Touchpoint::decode(readings::unmark(value).0).map_err(|error| store_keys::damaged("touchpoint", error))?;
    let at = Moment::of(&touchpoint);
    let position = &key[PERSON_PREFIX..];
    let place = Place::of_position(position).ok_or_else(|| store_keys::damaged("position", "too short"))?;
    let ranked = at.position(place.id_and_spoke, place.home);
    let (by_id, by_home) = store_keys::index_keys(name, place);
    if let Some(entry) = store.get(&by_id)? {
        let entry = IndexEntry { at, ..IndexEntry::decode(&entry)? };
        for key in [Some(by_id), by_home].into_iter().flatten() {
            store.put_local(&key, &entry.encode());
        }
    }
    store.put(&store_keys::with_rest(b't', name, &ranked), value);
    store.delete(key);
    let hidden = store_keys::with_rest(b'o', name, position);
    if store.get(&hidden)?.is_some() {
        store.put(&store_keys::with_rest(b'o', name, &ranked), &[]);
        store.delete(&hidden);
    }
    Ok(())
}

/// The first person with a touchpoint at `key` or after it.
fn person_from<S: KeyValue + ?Sized>(key: &[u8], store: &S) -> Result<Option<PersonId>, StoreError> {
    let mut found = None;
    store.scan(key, &[b't' + 1], &mut |key, _| {
        found = Some(key[1..].first_chunk::<16>().copied());
        ControlFlow::Break(())
    })?;
    match found {
        None => Ok(None),
        Some(Some(person)) => Ok(Some(PersonId(person))),
        Some(None) => Err(store_keys::damaged("touchpoint", "its key is too short")),
    }
}
