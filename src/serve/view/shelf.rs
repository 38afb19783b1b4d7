//! A folder in; the table over it, which many read while one writes to the disk, out.
//!
//! ```text
//!   change ──hand──▶ table (locked for the change alone) ◀── read
//!   flush  ──hand──▶ entries ──▶ disk: one batch that lasts; meanwhile the table is read as ever
//! ```
//!
//! Whoever changes, writes, or opens the folder again has the *hand*, which no reader waits for. What could not be written is not
//! known until the folder is opened again: it takes no more until then, so that nothing gathers in memory.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::ViewError;
use crate::engine::store::{Disk, DiskError, FjallDisk, Identity, Store, StoreFolder};

/// The tree in the folder.
const TREE: &str = "view";

/// A folder with a table.
pub(super) struct Shelf {
    path: PathBuf,
    cache_bytes: u64,
    identity: Identity,
    /// `None`: it could not be opened again yet.
    table: RwLock<Option<Store>>,
    hand: Mutex<Option<Hand>>,
}

/// What writes to the disk.
pub(super) struct Hand {
    folder: StoreFolder,
    /// Another handle on the tree that the table reads.
    pub(super) disk: Box<dyn Disk>,
    /// A batch could not be written: the next one waits for the folder to be opened again.
    has_failed: bool,
}

/// The table, as it is while this is held.
pub(super) struct Reading<'shelf>(RwLockReadGuard<'shelf, Option<Store>>);

impl Deref for Reading<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.0.as_ref().expect("it was there when reading began, and stays until it ends")
    }
}

impl Shelf {
    /// Opens the table in a folder, or makes both.
    pub(super) fn open(path: &Path, cache_bytes: u64, identity: Identity) -> Result<Shelf, ViewError> {
        let (table, hand) = open(path, cache_bytes, &identity)?;
        Ok(Shelf {
            path: path.to_owned(),
            cache_bytes,
            identity,
            table: RwLock::new(Some(table)),
            hand: Mutex::new(Some(hand)),
        })
    }

    /// The table for reading.
    pub(super) fn read(&self) -> Result<Reading<'_>, ViewError> {
        // Whoever panicked while changing it had not committed; see `change`.
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if table.is_some() { Ok(Reading(table)) } else { Err(ViewError::Away) }
    }

    /// Changes it as one step, which readers see whole or not at all. `told`: what is done with the result before anybody reads
    /// the table again.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Store) -> Result<T, ViewError>,
        told: impl FnOnce(T),
    ) -> Result<(), ViewError> {
        let hand = self.hand();
        if hand.as_ref().is_none_or(|hand| hand.has_failed) {
            return Err(ViewError::Away);
        }
        let mut table = self.write();
        let table = table.as_mut().ok_or(ViewError::Away)?;
        // Of a change that panicked.
        table.rollback();
        match change(table) {
            Ok(changed) => {
                table.commit();
                told(changed);
                Ok(())
            }
            Err(error) => {
                table.rollback();
                Err(error)
            }
        }
    }

    /// Writes everything to the disk, with `last`, in one batch that lasts.
    pub(super) fn flush(&self, last: &[(&[u8], [u8; 8])]) -> Result<(), ViewError> {
        let mut hand = self.hand();
        let Some(hand) = hand.as_mut().filter(|hand| !hand.has_failed) else { return Err(ViewError::Away) };
        {
            let mut table = self.write();
            let table = table.as_mut().ok_or(ViewError::Away)?;
            table.rollback();
            last.iter().for_each(|(key, value)| table.put(key, value));
            table.commit();
        }
        let written = {
            let table = self.read()?;
            let batch = hand.disk.position().unwrap_or_default() + 1;
            hand.disk.apply(&mut table.unflushed(), batch)
        };
        if let Err(error) = written {
            hand.has_failed = true;
            return Err(error.into());
        }
        if let Some(table) = self.write().as_mut() {
            table.note_flushed();
        }
        Ok(())
    }

    /// Closes the folder and opens it: the table is what the last batch that lasts made it.
    pub(super) fn reopen(&self) -> Result<(), ViewError> {
        self.anew(|_| Ok(()))
    }

    /// Begins anew: nothing of it is left.
    pub(super) fn wipe(&self) -> Result<(), ViewError> {
        self.anew(StoreFolder::erase)
    }

    fn anew(&self, between: impl FnOnce(&Path) -> Result<(), DiskError>) -> Result<(), ViewError> {
        let mut hand = self.hand();
        let mut table = self.write();
        // Both: who has the folder open has it alone.
        *hand = None;
        *table = None;
        between(&self.path)?;
        let opened = match open(&self.path, self.cache_bytes, &self.identity) {
            Err(ViewError::Disk(DiskError::Rebuild { reason, .. })) => {
                tracing::warn!(%reason, "the view is damaged and is read again from the feeds");
                StoreFolder::erase(&self.path)?;
                open(&self.path, self.cache_bytes, &self.identity)
            }
            opened => opened,
        };
        let (opened, with) = opened?;
        *table = Some(opened);
        *hand = Some(with);
        Ok(())
    }

    /// Leaves nothing in any file that is not in the table as it was flushed last.
    pub(super) fn clean_thoroughly(&self) -> Result<(), ViewError> {
        // It takes as long as rewriting all; the table goes on meanwhile.
        let folder = self.hand().as_ref().map(|hand| hand.folder.clone()).ok_or(ViewError::Away)?;
        Ok(folder.clean_thoroughly()?)
    }

    pub(super) fn hand(&self) -> MutexGuard<'_, Option<Hand>> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Store>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path, cache_bytes: u64, identity: &Identity) -> Result<(Store, Hand), ViewError> {
    let folder = StoreFolder::open(path, cache_bytes)?;
    let handle = || FjallDisk::open(&folder, TREE, identity.clone());
    let (reader, disk) = (handle()?, Box::new(handle()?));
    Ok((Store::new(Box::new(reader)), Hand { folder, disk, has_failed: false }))
}
