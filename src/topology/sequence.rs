//! Offsets of the records that a stage takes in, the numbers that tell its events apart out.
//!
//! What follows from a record has the record's offset. A commit may also publish what follows from no record of its own: what was
//! left to do by a commit before, one before a crash too. It has a number of its own, above every offset, which lies in the store once
//! something was published with it. So no two commits publish under one number, whatever crashes between them.

use crate::engine::{stage::StageError, store::Store};

/// The last number of its own that something was published with.
const KEY: &[u8] = b"\x01sequence";
/// Numbers of its own have it, offsets have not, and those of a rebuild are greater.
const OWN: u64 = 1 << 62;

/// The number that what is published next gets.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    number: u64,
    /// Whether the number is that of something that the running transaction took in, or was given.
    is_given: bool,
    /// Whether it was asked for since the last commit.
    is_used: bool,
}

impl Sequence {
    /// What is published from now on follows from the record at an offset.
    pub(super) fn follows(&mut self, offset: i64) {
        self.is(u64::try_from(offset).unwrap_or_default());
    }

    /// What is published from now on has a number that nothing else has.
    pub(super) fn is(&mut self, number: u64) {
        (self.number, self.is_given) = (number, true);
    }

    /// The same, if it is greater than that of now.
    pub(super) fn at_least(&mut self, number: u64) {
        self.number = self.number.max(number);
    }

    /// Before the first publication of a commit: one that took nothing in has a number of its own.
    pub(super) fn begin(&mut self, store: &Store) -> Result<(), StageError> {
        if !self.is_given {
            let unreadable = |_| StageError::Stop("the number of the last event cannot be read from the store".into());
            let stored = store.get(KEY).map_err(|error| StageError::Stop(error.to_string()))?;
            let last = stored.map(|bytes| bytes.as_ref().try_into().map_err(unreadable)).transpose()?;
            self.number = last.map_or(OWN, |last| u64::from_be_bytes(last) + 1);
        }
        Ok(())
    }

    /// The number.
    pub(super) fn take(&mut self) -> u64 {
        self.is_used = true;
        self.number
    }

    /// After the last publication of a commit.
    pub(super) fn end(&mut self, store: &mut Store) {
        if !self.is_given && self.is_used {
            store.put(KEY, &self.number.to_be_bytes());
        }
        (self.is_given, self.is_used) = (false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::store::MemoryDisk;

    /// A commit in which something is published, after so many records; what it is published under.
    fn commit(sequence: &mut Sequence, store: &mut Store, offset: Option<i64>) -> u64 {
        offset.into_iter().for_each(|offset| sequence.follows(offset));
        sequence.begin(store).expect("readable");
        let number = sequence.take();
        sequence.end(store);
        store.commit();
        number
    }

    #[test]
    fn no_number_is_used_twice_whatever_was_taken_in_and_whatever_crashed() {
        let mut store = Store::new(Box::new(MemoryDisk::scratch()));
        let mut numbers = Vec::new();
        // An alert opens in a commit without input, a contribution closes it, and is taken back in a third that is killed before it
        // gets to the alert: the one after it has no input again.
        for offset in [None, Some(7), Some(8), None, None] {
            numbers.push(commit(&mut Sequence::default(), &mut store, offset));
        }
        assert_eq!(numbers[1..3], [7, 8]);
        let mut sequence = Sequence::default();
        for offset in [None, Some(9), None] {
            numbers.push(commit(&mut sequence, &mut store, offset));
        }
        let mut distinct = numbers.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), numbers.len(), "{numbers:?}");
    }

    #[test]
    fn a_commit_that_publishes_nothing_writes_nothing_and_one_that_is_rolled_back_uses_no_number() {
        let mut store = Store::new(Box::new(MemoryDisk::scratch()));
        let mut sequence = Sequence::default();
        sequence.begin(&store).expect("readable");
        sequence.end(&mut store);
        assert!(store.get(KEY).expect("readable").is_none());
        sequence.begin(&store).expect("readable");
        let number = sequence.take();
        sequence.end(&mut store);
        store.rollback();
        assert_eq!(commit(&mut Sequence::default(), &mut store, None), number);
        assert_ne!(commit(&mut Sequence::default(), &mut store, None), number);
    }

    #[test]
    fn what_is_given_a_number_keeps_it_until_the_commit() {
        let mut store = Store::new(Box::new(MemoryDisk::scratch()));
        let mut sequence = Sequence::default();
        sequence.is(u64::MAX - 3);
        sequence.at_least(12);
        assert_eq!(commit(&mut sequence, &mut store, None), u64::MAX - 3);
        assert_eq!(commit(&mut sequence, &mut store, None), OWN);
        sequence.follows(5);
        sequence.at_least(12);
        assert_eq!(commit(&mut sequence, &mut store, None), 12);
    }
}
