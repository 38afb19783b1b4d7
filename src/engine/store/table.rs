//! The store of a task: two layers in memory above a disk, written in steps that a commit can take back, read as one.

use std::collections::BTreeMap;
use std::collections::btree_map::{Entry, Range};
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use smallvec::SmallVec;

use super::disk::{Disk, DiskError};

/// Most keys are 17 to 48 bytes and lie in the nodes of the map themselves: comparing them follows no pointer.
type Key = SmallVec<[u8; 48]>;

/// Bytes that the shortest key of an entry may have. The key of a single zero belongs to the disk.
pub const KEY_BYTES_MIN: usize = 1;

/// Bytes that the longest key of an entry may have. The disk's limit is 65,535; no key of ours comes near this one.
pub const KEY_BYTES_MAX: usize = 4_096;

/// Bytes that an entry takes in a layer besides key and value: the key's and the value's place in a node that is about two
/// thirds full, and the allocator's rounding. Compared with the memory that is really taken by `benches/store.rs`.
const ENTRY_OVERHEAD_BYTES: usize = 150;

/// Why a store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk below says stop or rebuild.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A mistake of the engine: the flush would have made entries durable that no commit covers. Nothing was written.
    #[error("a flush was asked for while {0} entries are staged; commit or roll back first")]
    FlushWhileStaged(usize),
    /// A mistake of the engine: the position would have gone backwards. Nothing was written.
    #[error("a flush to position {asked} was asked for, but the disk already reflects position {reflected}")]
    FlushBackwards {
        /// The position asked for.
        asked: u64,
        /// The position of the disk.
        reflected: u64,
    },
    /// A changelog record whose key no store of this program wrote.
    #[error("a changelog record has a key of {0} bytes; keys have {KEY_BYTES_MIN} to {KEY_BYTES_MAX}")]
    ForeignKey(usize),
}

/// An entry of a layer in memory.
struct Change {
    /// `None` hides what the layers below hold.
    value: Option<Bytes>,
    /// Derived from other entries: not written to the changelog. Without meaning once it is committed.
    local: bool,
}

/// The state of one task: entries of bytes, ordered by key.
///
/// Values are copied on the way in, so that a small value never keeps a large buffer in memory.
pub struct Store {
    /// What no commit covers yet.
    staged: BTreeMap<Key, Change>,
    staged_bytes: usize,
    /// Committed, not yet on the disk. The same type, so that a commit can hand the whole layer down.
    unflushed: BTreeMap<Key, Change>,
    unflushed_bytes: usize,
    disk: Box<dyn Disk>,
}

impl Store {
    /// A store above `disk`. To be complete it has to be given every changelog record from [`Store::position`] on.
    pub fn new(disk: Box<dyn Disk>) -> Self {
        Self { staged: BTreeMap::new(), staged_bytes: 0, unflushed: BTreeMap::new(), unflushed_bytes: 0, disk }
    }

    /// The value of `key` as of the last change, staged ones included.
    ///
    /// # Errors
    /// As [`Disk::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if let Some(staged) = self.staged.get(key) {
            return Ok(staged.value.clone());
        }
        if let Some(committed) = self.unflushed.get(key) {
            return Ok(committed.value.clone());
        }
        Ok(self.disk.get(key)?)
    }

    /// Stages a value; it goes to the changelog with the commit.
    ///
    /// # Panics
    /// If the key has fewer than [`KEY_BYTES_MIN`] or more than [`KEY_BYTES_MAX`] bytes: keys are ours, never input.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.stage(key, Some(Bytes::copy_from_slice(value)), false);
    }

    /// Stages a removal; it goes to the changelog with the commit.
    ///
    /// # Panics
    /// As [`Store::put`].
    pub fn delete(&mut self, key: &[u8]) {
        self.stage(key, None, false);
    }

    /// Stages an entry that is derived from others (an index): committed and flushed with the rest, but not written to the
    /// changelog. Whoever restores derives it again from the records and restores it by [`Store::restore`].
    ///
    /// # Panics
    /// As [`Store::put`].
    pub fn put_local(&mut self, key: &[u8], value: &[u8]) {
        self.stage(key, Some(Bytes::copy_from_slice(value)), true);
    }

    /// Stages the removal of a derived entry, see [`Store::put_local`].
    ///
    /// # Panics
    /// As [`Store::put`].
    pub fn delete_local(&mut self, key: &[u8]) {
        self.stage(key, None, true);
    }

    fn stage(&mut self, key: &[u8], value: Option<Bytes>, local: bool) {
        assert!(
            (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()),
            "a key of {} bytes; keys have {KEY_BYTES_MIN} to {KEY_BYTES_MAX}",
            key.len()
        );
        assert!(key != [0], "the key of a disk's own header");
        self.staged_bytes += entry_bytes(key, value.as_ref());
        match self.staged.entry(Key::from_slice(key)) {
            Entry::Vacant(vacant) => {
                vacant.insert(Change { value, local });
            }
            Entry::Occupied(mut occupied) => {
                let staged = occupied.get_mut();
                self.staged_bytes -= entry_bytes(key, staged.value.as_ref());
                // Once a change of this key is due to the changelog it stays due, whatever follows.
                *staged = Change { value, local: local && staged.local };
            }
        }
    }

    /// Hands over the entries from `from` (inclusive) to `to` (exclusive) in ascending key order, staged ones included, until
    /// `each` breaks.
    ///
    /// # Errors
    /// As [`Disk::scan`].
    pub fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let bounds = (Bound::Included(from), Bound::Excluded(to));
        let mut memory = Memory {
            staged: self.staged.range::<[u8], _>(bounds).peekable(),
            unflushed: self.unflushed.range::<[u8], _>(bounds).peekable(),
        };
        let mut flow = ControlFlow::Continue(());
        self.disk.scan(from, to, &mut |key, value| {
            let mut hidden = false;
            while let Some(memory_key) = memory.next_key()
                && memory_key <= key
            {
                hidden = memory_key == key;
                if let Some((memory_key, Some(memory_value))) = memory.next() {
                    flow = each(memory_key, memory_value);
                    if flow.is_break() {
                        return flow;
                    }
                }
            }
            if !hidden {
                flow = each(key, value);
            }
            flow
        })?;
        while flow.is_continue()
            && let Some((key, value)) = memory.next()
        {
            if let Some(value) = value {
                flow = each(key, value);
            }
        }
        Ok(())
    }

    /// [`Store::scan`] over the keys that begin with `prefix`.
    ///
    /// # Errors
    /// As [`Disk::scan`].
    pub fn scan_prefix(
        &self,
        prefix: &[u8],
        each: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(prefix, &after_prefix(prefix), each)
    }

    /// What a commit must append to the changelog, in ascending key order; `None` is a removal (a tombstone record).
    pub fn staged_changelog(&self) -> impl Iterator<Item = (&[u8], Option<&Bytes>)> {
        self.staged
            .iter()
            .filter(|(_, staged)| !staged.local)
            .map(|(key, staged)| (key.as_slice(), staged.value.as_ref()))
    }

    /// Entries staged.
    pub fn staged_entries(&self) -> usize {
        self.staged.len()
    }

    /// Bytes of memory that the staged entries take, about.
    pub fn staged_bytes(&self) -> usize {
        self.staged_bytes
    }

    /// Entries committed and not yet on the disk.
    pub fn unflushed_entries(&self) -> usize {
        self.unflushed.len()
    }

    /// The committed entries that are not yet on the disk, in ascending key order; `None` is a removal. For whoever writes them
    /// to the same disk by another handle, so that reading goes on meanwhile; see [`Store::note_flushed`].
    pub fn unflushed(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.unflushed.iter().map(|(key, change)| (key.as_slice(), change.value.as_deref()))
    }

    /// Everything that [`Store::unflushed`] handed over is on the disk, durably, and nothing was committed since.
    pub fn note_flushed(&mut self) {
        self.unflushed.clear();
        self.unflushed_bytes = 0;
    }

    /// Bytes of memory that the committed entries take that are not yet on the disk, about.
    pub fn unflushed_bytes(&self) -> usize {
        self.unflushed_bytes
    }

    /// Bytes taken on the disk, about.
    pub fn disk_bytes(&self) -> u64 {
        self.disk.bytes()
    }

    /// The transaction with the staged changelog was committed: the staged entries become durable with the next flush.
    pub fn commit(&mut self) {
        let bytes = std::mem::take(&mut self.staged_bytes);
        if self.unflushed.is_empty() {
            std::mem::swap(&mut self.staged, &mut self.unflushed);
            self.unflushed_bytes = bytes;
            return;
        }
        for (key, staged) in std::mem::take(&mut self.staged) {
            self.keep(key, staged);
        }
    }

    /// The transaction was aborted: every entry is again what it was at the last commit.
    pub fn rollback(&mut self) {
        self.staged.clear();
        self.staged_bytes = 0;
    }

    /// Takes over a record replayed from the changelog, or an entry derived from it. It counts as committed.
    ///
    /// # Errors
    /// [`StoreError::ForeignKey`] if no store wrote such a key; nothing changes.
    pub fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        // A single zero is the disk's own header.
        if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) || key == [0] {
            return Err(StoreError::ForeignKey(key.len()));
        }
        self.keep(Key::from_slice(key), Change { value: value.map(Bytes::copy_from_slice), local: false });
        Ok(())
    }

    fn keep(&mut self, key: Key, change: Change) {
        let key_bytes = key.len();
        self.unflushed_bytes += entry_bytes(&key, change.value.as_ref());
        if let Some(replaced) = self.unflushed.insert(key, change) {
            self.unflushed_bytes -= ENTRY_OVERHEAD_BYTES + key_bytes + replaced.value.map_or(0, |value| value.len());
        }
    }

    /// Brings the disk up to date in one atomic, durable batch: every committed entry, and `position`, the offset of the first
    /// changelog record that these entries do not reflect. Blocks for as long as the disk takes.
    ///
    /// Large flushes are cheap, small ones are not: each becomes a table that lookups pass through and merges rewrite.
    ///
    /// # Errors
    /// [`StoreError::FlushWhileStaged`] between a change and its commit, [`StoreError::FlushBackwards`] for a position below
    /// the disk's; otherwise as [`Disk::apply`]. The entries stay in memory whatever the error.
    pub fn flush(&mut self, position: u64) -> Result<(), StoreError> {
        if !self.staged.is_empty() {
            return Err(StoreError::FlushWhileStaged(self.staged.len()));
        }
        match self.disk.position() {
            Some(reflected) if position < reflected => {
                return Err(StoreError::FlushBackwards { asked: position, reflected });
            }
            Some(reflected) if position == reflected && self.unflushed.is_empty() => return Ok(()),
            _ => {}
        }
        let mut entries = self.unflushed.iter().map(|(key, change)| (key.as_slice(), change.value.as_deref()));
        self.disk.apply(&mut entries, position)?;
        self.note_flushed();
        Ok(())
    }

    /// The offset of the first changelog record that the disk does not reflect: where a restore begins. `None`: the disk is
    /// empty, a restore begins at the beginning.
    pub fn position(&self) -> Option<u64> {
        self.disk.position()
    }

    /// Drops everything: staged, unflushed and on the disk.
    ///
    /// # Errors
    /// As [`Disk::wipe`]; the layers in memory are empty even so.
    pub fn wipe(&mut self) -> Result<(), StoreError> {
        self.rollback();
        self.unflushed.clear();
        self.unflushed_bytes = 0;
        Ok(self.disk.wipe()?)
    }
}

/// Both layers in memory as one: ascending, staged before unflushed, removals included.
struct Memory<'store> {
    staged: Peekable<Range<'store, Key, Change>>,
    unflushed: Peekable<Range<'store, Key, Change>>,
}

impl<'store> Memory<'store> {
    fn next_key(&mut self) -> Option<&'store [u8]> {
        let staged = self.staged.peek().map(|(key, _)| key.as_slice());
        let unflushed = self.unflushed.peek().map(|(key, _)| key.as_slice());
        match (staged, unflushed) {
            (Some(staged), Some(unflushed)) => Some(staged.min(unflushed)),
            (one, other) => one.or(other),
        }
    }

    fn next(&mut self) -> Option<(&'store [u8], Option<&'store Bytes>)> {
        let next_key = self.next_key()?;
        let unflushed = self.unflushed.next_if(|(key, _)| key.as_slice() == next_key);
        let staged = self.staged.next_if(|(key, _)| key.as_slice() == next_key);
        staged.or(unflushed).map(|(key, change)| (key.as_slice(), change.value.as_ref()))
    }
}

/// Bytes of memory that an entry takes, about.
fn entry_bytes(key: &[u8], value: Option<&Bytes>) -> usize {
    ENTRY_OVERHEAD_BYTES + key.len() + value.map_or(0, Bytes::len)
}

/// The smallest key above all keys that begin with `prefix`.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut after = prefix.to_vec();
    while let Some(last) = after.pop() {
        if last < u8::MAX {
            after.push(last + 1);
            return after;
        }
    }
    // Empty or all ones: above every key that a store takes.
    vec![u8::MAX; KEY_BYTES_MAX + 1]
}

// A store goes to the thread of the worker that owns its task.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Store>();
};
