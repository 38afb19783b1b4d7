//! What a home is told of erasures in; which names are erased, and until when, out.
//!
//! A home learns each identifier that was erased of those that it reported with its own: a shop's tablet, or a marketplace's
//! number, in the end those of thousands. The envelope is written with each commit that touches the home, so it has a few
//! of them, the home's own always; the rest have keys of their own. Where the envelope is not full there is no rest.

use std::ops::ControlFlow;

use super::store_keys::{self, Ties, with_rest};
use crate::model::{EventTime, KeyValue, PersonId, StoreError};

/// Names in the envelope. Most homes have none; one that is erased itself needs no other of before.
pub(super) const INLINE_MAX: usize = 2;

/// What begins the keys of the rest.
const FIRST: u8 = b'e';

fn key(home: PersonId, name: PersonId) -> Vec<u8> {
    with_rest(FIRST, home, &name.0)
}

/// Until when a name was erased, as far as its home was told.
fn until<S: KeyValue + ?Sized>(
    home: PersonId,
    ties: &Ties,
    name: PersonId,
    store: &S,
) -> Result<Option<EventTime>, StoreError> {
    let known = ties.erased_at(name);
    if known.is_some() || ties.erased.len() < INLINE_MAX || name == home {
        return Ok(known);
    }
    store.get(&key(home, name))?.map(|bytes| store_keys::decode_time(&bytes)).transpose()
}

/// Those of some names that were erased, ascending, each once.
pub(super) fn among<S: KeyValue + ?Sized>(
    home: PersonId,
    ties: &Ties,
    mut names: Vec<PersonId>,
    store: &S,
) -> Result<Vec<(PersonId, EventTime)>, StoreError> {
    names.sort_unstable();
    names.dedup();
    let mut erased = Vec::new();
    for name in names {
        erased.extend(until(home, ties, name, store)?.map(|at| (name, at)));
    }
    Ok(erased)
}

/// Takes what a home was told. Returns what of it is news, ascending, each name once.
pub(super) fn learn<S: KeyValue + ?Sized>(
    home: PersonId,
    ties: &mut Ties,
    what: &[(PersonId, EventTime)],
    store: &mut S,
) -> Result<Vec<(PersonId, EventTime)>, StoreError> {
    let mut told: Vec<(PersonId, EventTime)> = what.to_vec();
    told.sort_unstable_by_key(|(name, at)| (*name, std::cmp::Reverse(*at)));
    told.dedup_by_key(|(name, _)| *name);
    let own = told.iter().filter(|(name, _)| *name == home).map(|(_, at)| *at).max().max(ties.erased_at(home));
    // Of what happened up to the home's own erasure nothing is left, whatever it names.
    let says_more = |name: PersonId, at: EventTime| name == home || own.is_none_or(|own| own < at);
    let mut new = Vec::new();
    for (name, at) in told {
        if says_more(name, at) && until(home, ties, name, store)?.is_none_or(|known| known < at) {
            new.push((name, at));
        }
    }
    if new.is_empty() {
        return Ok(new);
    }
    for &(name, at) in &new {
        let had_rest = ties.erased.len() >= INLINE_MAX;
        match ties.erased.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = at,
            None if had_rest && name != home => store.put(&key(home, name), &store_keys::encode_time(at)),
            None => ties.erased.push((name, at)),
        }
    }
    let is_reborn = new.iter().any(|(name, _)| *name == home);
    let had_rest = ties.erased.len() >= INLINE_MAX;
    ties.erased.retain(|(name, at)| says_more(*name, *at));
    if is_reborn && had_rest {
        for (name, at) in rest(home, usize::MAX, store)? {
            if !says_more(name, at) {
                store.delete(&key(home, name));
            }
        }
    }
    if had_rest && ties.erased.len() < INLINE_MAX {
        for (name, at) in rest(home, INLINE_MAX - ties.erased.len(), store)? {
            store.delete(&key(home, name));
            ties.erased.push((name, at));
        }
    }
    ties.erased.sort_unstable();
    spill(home, ties, store);
    Ok(new)
}

/// Gives what the envelope should not hold a key of its own: hubs of before kept all of it there.
pub(super) fn spill<S: KeyValue + ?Sized>(home: PersonId, ties: &mut Ties, store: &mut S) {
    while ties.erased.len() > INLINE_MAX {
        let Some(index) = ties.erased.iter().rposition(|(name, _)| *name != home) else { return };
        let (name, at) = ties.erased.remove(index);
        store.put(&key(home, name), &store_keys::encode_time(at));
    }
}

/// Up to `max` names of those that the envelope has not.
fn rest<S: KeyValue + ?Sized>(home: PersonId, max: usize, store: &S) -> Result<Vec<(PersonId, EventTime)>, StoreError> {
    let mut found = Vec::new();
    let mut result = Ok(());
    let (from, to) = (store_keys::of_person(FIRST, home), store_keys::after_person(FIRST, home));
    store.scan(&from, &to, &mut |key, value| {
        let name = key.last_chunk::<16>().copied().map(PersonId);
        match (name, store_keys::decode_time(value)) {
            (Some(name), Ok(at)) => found.push((name, at)),
            (None, _) => result = Err(store_keys::damaged("erasure", "its key is too short")),
            (_, Err(error)) => result = Err(error),
        }
        if result.is_ok() && found.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result.map(|()| found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    type Store = BTreeMap<Vec<u8>, Bytes>;

    fn name(number: u32) -> PersonId {
        let mut name = [0; 16];
        name[..4].copy_from_slice(&number.to_be_bytes());
        PersonId(name)
    }

    fn bytes_of(ties: &Ties) -> usize {
        postcard::to_allocvec(ties).expect("it has a form").len()
    }

    #[test]
    fn what_a_home_knows_of_thousands_of_erasures_is_not_written_with_each_commit() {
        let (mut ties, mut store) = (Ties::default(), Store::new());
        let home = name(7);
        for number in 100..5_100 {
            let news = learn(home, &mut ties, &[(name(number), EventTime(i64::from(number)))], &mut store);
            assert_eq!(news.expect("a map").len(), 1);
            assert!(bytes_of(&ties) < 64, "{number}: {}", bytes_of(&ties));
        }
        let known = |ties: &Ties, store: &Store, number| until(home, ties, name(number), store).expect("a map");
        assert_eq!(known(&ties, &store, 4_711), Some(EventTime(4_711)));
        assert_eq!(known(&ties, &store, 9_999), None);
        // It is erased itself: nothing of before says more.
        let news = learn(home, &mut ties, &[(home, EventTime(5_000))], &mut store).expect("a map");
        assert_eq!(news, [(home, EventTime(5_000))]);
        assert_eq!(ties.erased.len() + store.len(), 1 + 99);
        assert_eq!(known(&ties, &store, 5_001), Some(EventTime(5_001)));
        assert!(learn(home, &mut ties, &[(name(3), EventTime(4_000))], &mut store).expect("a map").is_empty());
        learn(home, &mut ties, &[(home, EventTime(6_000))], &mut store).expect("a map");
        assert_eq!((ties.erased, store.len()), (vec![(home, EventTime(6_000))], 0));
    }

    #[test]
    fn what_a_hub_of_before_kept_in_the_envelope_gets_keys_of_its_own() {
        let home = name(7);
        let erased: Vec<_> = (0..1_000).map(|number| (name(number), EventTime(9))).collect();
        let (mut ties, mut store) = (Ties { erased, ..Ties::default() }, Store::new());
        let own = ties.erased_at(home);
        spill(home, &mut ties, &mut store);
        assert_eq!((ties.erased.len(), ties.erased_at(home), store.len()), (INLINE_MAX, own, 1_000 - INLINE_MAX));
        for number in [0, 1, 7, 8, 999] {
            let known = until(home, &ties, name(number), &store).expect("a map");
            assert_eq!(known, Some(EventTime(9)), "{number}");
        }
        let found = among(home, &ties, vec![name(999), name(3), name(2_000), name(3)], &store).expect("a map");
        assert_eq!(found, [(name(3), EventTime(9)), (name(999), EventTime(9))]);
    }

    proptest! {
        /// As if all were kept in one map.
        #[test]
        fn names_are_erased_until_the_latest_that_was_told(told in prop::collection::vec((0_u32..6, 0_i64..20), 0..60)) {
            let (mut ties, mut store, home) = (Ties::default(), Store::new(), name(2));
            let mut all: BTreeMap<PersonId, EventTime> = BTreeMap::new();
            for told in told.chunks(3) {
                let told: Vec<_> = told.iter().map(|(number, at)| (name(*number), EventTime(*at))).collect();
                learn(home, &mut ties, &told, &mut store).expect("a map");
                for (name, at) in told {
                    let known = all.entry(name).or_insert(at);
                    *known = at.max(*known);
                }
                prop_assert!(ties.erased.len() <= INLINE_MAX && ties.erased.is_sorted());
                prop_assert!(ties.erased.len() == INLINE_MAX || store.is_empty());
                let own = all.get(&home).copied();
                for number in 0..6 {
                    let name = name(number);
                    let expected = all.get(&name).copied().filter(|at| name == home || own.is_none_or(|own| own < *at));
                    prop_assert_eq!(until(home, &ties, name, &store).expect("a map"), expected);
                }
            }
        }
    }
}
