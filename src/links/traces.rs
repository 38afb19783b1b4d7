//! Of which identifiers the store may have entries besides their nodes: a new identifier needs no look into the store for
//! what hardly any identifier has.
//!
//! Derived from the store at the first question, and told of every entry from then on. It may name an identifier whose entries
//! are gone, and never misses one that has any.

use std::{collections::BTreeSet, ops::ControlFlow};

use super::store_keys::damaged;
use crate::model::{KeyValue, PersonId, StoreError};

/// So many identifiers are remembered: of more, each may have entries.
const REMEMBERED_MAX: usize = 10_000;
/// So many entries are read for that.
const ENTRIES_MAX: usize = 100_000;

/// Which identifiers may have an entry of one kind, whose key goes on with the identifier.
#[derive(Debug)]
struct Trace {
    first: u8,
    /// Unknown until it is read from the store.
    known: Option<Known>,
}

#[derive(Debug)]
enum Known {
    Of(BTreeSet<PersonId>),
    TooMany,
}

impl Trace {
    fn of(first: u8) -> Trace {
        Trace { first, known: None }
    }

    fn may_have<S: KeyValue + ?Sized>(&mut self, id: PersonId, store: &S) -> Result<bool, StoreError> {
        let known = match &self.known {
            Some(known) => known,
            None => self.known.insert(read(self.first, store)?),
        };
        Ok(match known {
            Known::Of(ids) => ids.contains(&id),
            Known::TooMany => true,
        })
    }

    fn note(&mut self, id: PersonId) {
        if let Some(Known::Of(ids)) = &mut self.known {
            ids.insert(id);
            if ids.len() > REMEMBERED_MAX {
                self.known = Some(Known::TooMany);
            }
        }
    }
}

fn read<S: KeyValue + ?Sized>(first: u8, store: &S) -> Result<Known, StoreError> {
    let mut ids = BTreeSet::new();
    let mut entries = 0;
    let mut is_damaged = false;
    store.scan(&[first], &[first + 1], &mut |key, _| {
        entries += 1;
        match key[1..].first_chunk::<16>() {
            Some(id) => drop(ids.insert(PersonId(*id))),
            None => is_damaged = true,
        }
        let goes_on = !is_damaged && entries <= ENTRIES_MAX && ids.len() <= REMEMBERED_MAX;
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if is_damaged {
        return Err(damaged("key", "too short"));
    }
    Ok(if entries > ENTRIES_MAX || ids.len() > REMEMBERED_MAX { Known::TooMany } else { Known::Of(ids) })
}

/// What may be known of identifiers besides their nodes.
#[derive(Debug)]
pub(super) struct Traces {
    decided: Trace,
    erased: Trace,
    reporting: Trace,
}

impl Default for Traces {
    /// Nothing was read so far.
    fn default() -> Traces {
        Traces { decided: Trace::of(b'd'), erased: Trace::of(b'x'), reporting: Trace::of(b'h') }
    }
}

impl Traces {
    /// Whether there may be decisions about an identifier.
    pub fn may_be_decided<S: KeyValue + ?Sized>(&mut self, id: PersonId, store: &S) -> Result<bool, StoreError> {
        self.decided.may_have(id, store)
    }

    /// Whether a home may have reported what others are.
    pub fn may_report<S: KeyValue + ?Sized>(&mut self, home: PersonId, store: &S) -> Result<bool, StoreError> {
        self.reporting.may_have(home, store)
    }

    /// Whether an identifier may be erased up to some time.
    pub fn may_be_erased<S: KeyValue + ?Sized>(&mut self, id: PersonId, store: &S) -> Result<bool, StoreError> {
        self.erased.may_have(id, store)
    }

    /// There is a decision about an identifier.
    pub fn is_decided(&mut self, id: PersonId) {
        self.decided.note(id);
    }

    /// An identifier is erased up to some time.
    pub fn is_erased(&mut self, id: PersonId) {
        self.erased.note(id);
    }

    /// A home has reported what others are.
    pub fn reports(&mut self, home: PersonId) {
        self.reporting.note(home);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::links::store_keys;

    fn id(number: u32) -> PersonId {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        PersonId(id)
    }

    fn store(decided: u32) -> BTreeMap<Vec<u8>, bytes::Bytes> {
        let entry = |number| (store_keys::decision(id(number), id(0), 7), bytes::Bytes::new());
        (1..=decided).map(entry).collect()
    }

    fn is_decided(traces: &mut Traces, number: u32, store: &BTreeMap<Vec<u8>, bytes::Bytes>) -> bool {
        traces.may_be_decided(id(number), store).expect("a map never fails")
    }

    fn reports(traces: &mut Traces, number: u32, store: &BTreeMap<Vec<u8>, bytes::Bytes>) -> bool {
        traces.may_report(id(number), store).expect("a map never fails")
    }

    #[test]
    fn what_the_store_has_and_what_is_noted_since_is_found_and_nothing_else() {
        let (mut traces, store) = (Traces::default(), store(3));
        for (number, expected) in [(0, false), (1, true), (3, true), (4, false)] {
            assert_eq!(is_decided(&mut traces, number, &store), expected, "{number}");
            assert!(!reports(&mut traces, number, &store), "{number}");
        }
        traces.is_decided(id(4));
        traces.reports(id(5));
        traces.is_erased(id(5));
        for (number, expected) in [(4, false), (5, false)] {
            // Nothing was asked of erasures before: they are read from the store, which has none.
            assert_eq!(traces.may_be_erased(id(number), &store).expect("a map never fails"), expected);
        }
        traces.is_erased(id(6));
        assert!(traces.may_be_erased(id(6), &store).expect("a map never fails"));
        assert!(is_decided(&mut traces, 4, &store) && reports(&mut traces, 5, &store));
        assert!(!reports(&mut traces, 4, &store) && !is_decided(&mut traces, 5, &store));
    }

    #[test]
    fn of_too_many_each_may_have_entries() {
        let max = REMEMBERED_MAX as u32;
        let (mut few, enough) = (Traces::default(), store(max));
        assert!(!is_decided(&mut few, max + 1, &enough));
        few.is_decided(id(max + 1));
        assert!(is_decided(&mut few, max + 2, &enough));
        assert!(is_decided(&mut Traces::default(), max + 2, &store(max + 1)));
    }

    #[test]
    fn a_damaged_key_is_an_error() {
        let store = BTreeMap::from([(vec![b'd', 1], bytes::Bytes::new())]);
        assert!(Traces::default().may_be_decided(id(1), &store).is_err());
    }
}
