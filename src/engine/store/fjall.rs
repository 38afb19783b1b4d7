//! The disk of the product: one folder per process, one LSM tree per task in it.
//!
//! A flush is a large sorted batch, so it is *ingested*: written straight into a new table, past journal and memtable. By the
//! source of fjall 3.1.13 and lsm-tree 3.1.10 (`tree/ingest.rs`, `table/writer/mod.rs`, `version/persist.rs`) an ingestion
//! syncs the new tables and their folder, then writes and syncs a new version file that lists them, then renames the
//! pointer to it and syncs again. A crash before the rename leaves tables that no version names, which are removed at the
//! next start; after it, the whole batch counts. The header with the position is one more entry of the batch, so both
//! agree at every moment.
//!
//! Two ways of fjall are not used here, on purpose. `Keyspace::clear` goes through the journal, and its replay at the next
//! start would also clear what was ingested later; a wipe therefore deletes the tree and makes another. And nothing is
//! ever inserted singly, so the journal stays empty and never has to be synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::fjall::compaction::Leveled;
use ::fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, PartitioningPolicy,
};
use ::fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode};
use bytes::Bytes;

use super::disk::{Disk, DiskError, Identity, RebuildReason, Visit, decode_header, encode_header};

/// The key of the header. The smallest key that a tree takes, so that it is the first of every batch; [`super::Store`] keeps
/// the keys of entries longer than it.
const HEADER_KEY: &[u8] = &[0];

/// A key that no store writes: see [`StoreFolder::rewrite`].
const NOBODYS_KEY: &[u8] = &[0, 0];
const REWRITES: usize = 2;

// The figures below were chosen by runs of `benches/store.rs` with 2 to 5 million entries of 40 + 250 bytes, flushes of 32 MiB
// and a cache of 32 MiB, on a machine that was busy with other work: differences below about 15 % are noise. They are stored
// with a tree when it is made; changing them changes new trees only.

/// Bytes per data block. With 8 KiB writing cost slightly more and lookups the same.
const BLOCK_BYTES: u32 = 4 * 1_024;

/// Bits per key of the filters: by theory an absent key reads a block in 1 of 120 tables.
const FILTER_BITS_PER_KEY: f32 = 10.0;

/// Tables that may lie over each other before they are merged, and with the next figure the size of the first level: what a
/// merge rewrites. In one run each, five million entries cost 5.6 µs of CPU with 4 and 4.2 µs with 8; two million did not
/// show it (2.6 and 3.9 µs). More tables make lookups of absent keys and scans dearer.
const OVERLAPPING_TABLES_MAX: u8 = 8;

/// Bytes per table, of which the first level holds [`OVERLAPPING_TABLES_MAX`]. With 32 MiB five million entries cost 5.7 µs of CPU
/// instead of 4.2: they move through more levels.
const TABLE_BYTES: u64 = 64 << 20;

/// The folder with the state of all tasks of this process. Clones share it; it closes when the last one is dropped.
#[derive(Clone)]
pub struct StoreFolder {
    database: Database,
    path: Arc<PathBuf>,
    open: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl StoreFolder {
    /// Opens the folder, or makes it. `cache_bytes` bounds the blocks, filters and indexes kept in memory for all tasks
    /// together.
    ///
    /// # Errors
    /// [`DiskError::Stop`] if it cannot be read or written or another process holds it; [`DiskError::Rebuild`] if it is
    /// damaged: [`StoreFolder::erase`] it then, and all tasks restore from their changelogs.
    pub fn open(path: &Path, cache_bytes: u64) -> Result<Self, DiskError> {
        let label = path.display().to_string();
        finish_interrupted_creation(path).map_err(|reason| DiskError::Stop {
            action: "open",
            task: label.clone(),
            reason,
        })?;
        let database = Database::builder(path)
            // One: merging must not take the cores from the stages.
            .worker_threads(1)
            .cache_size(cache_bytes)
            // The journal stays empty, see above.
            .manual_journal_persist(true)
            .open()
            .map_err(|error| disk_error("open", &label, error))?;
        Ok(Self { database, path: Arc::new(path.to_owned()), open: Arc::default() })
    }

    /// Removes a folder that no process has open, with the state of all tasks in it.
    ///
    /// # Errors
    /// [`DiskError::Stop`] if it cannot be removed.
    pub fn erase(path: &Path) -> Result<(), DiskError> {
        match std::fs::remove_dir_all(path) {
            Err(reason) if reason.kind() != io::ErrorKind::NotFound => {
                Err(DiskError::Stop { action: "wipe", task: path.display().to_string(), reason })
            }
            _ => Ok(()),
        }
    }

    /// Names of the tasks whose state lies here.
    pub fn tasks(&self) -> Vec<String> {
        let mut tasks: Vec<String> = self.database.list_keyspace_names().iter().map(ToString::to_string).collect();
        tasks.sort_unstable();
        tasks
    }

    /// Removes the state of a task that is not open, whoever wrote it.
    ///
    /// # Errors
    /// [`DiskError::Stop`] if the folder cannot be written.
    pub fn remove(&self, task: &str) -> Result<(), DiskError> {
        if !self.database.keyspace_exists(task) {
            return Ok(());
        }
        self.keyspace(task)
            .and_then(|keyspace| self.database.delete_keyspace(keyspace))
            .map_err(|error| disk_error("wipe", task, error))
    }

    /// Leaves nothing in any file that was deleted or replaced and flushed: the state of each task is rewritten, and that of
    /// tasks that are not open here, which nobody brings up to date, removed.
    ///
    /// # Errors
    /// As [`StoreFolder::remove`].
    pub fn clean_thoroughly(&self) -> Result<(), DiskError> {
        for task in self.tasks() {
            let is_open = {
                // Nobody opens it meanwhile.
                let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                let is_open = open.contains_key(&task);
                if !is_open {
                    self.remove(&task)?;
                }
                is_open
            };
            if is_open {
                self.rewrite(&task)?;
            }
        }
        Ok(())
    }

    /// Rewrites the state of a task without what was deleted or replaced, so that no file has it any more. Takes as long as
    /// reading and writing all of it; the task goes on meanwhile. What its store holds in memory and has not flushed is not
    /// known here.
    ///
    /// # Errors
    /// As [`StoreFolder::remove`].
    pub fn rewrite(&self, task: &str) -> Result<(), DiskError> {
        if !self.database.keyspace_exists(task) {
            return Ok(());
        }
        let rewrite = || {
            let tree = self.keyspace(task)?;
            for round in 0..REWRITES {
                if round > 0 {
                    // A version of the tree is forgotten, and its tables with it, when two later ones are there.
                    let mut ingestion = tree.start_ingestion()?;
                    ingestion.write_tombstone(NOBODYS_KEY)?;
                    ingestion.finish()?;
                }
                tree.major_compact()?;
            }
            Ok(())
        };
        rewrite().map_err(|error| disk_error("rewrite", task, error))
    }

    fn keyspace(&self, task: &str) -> ::fjall::Result<Keyspace> {
        self.database.keyspace(task, tree_options)
    }
}

/// How the tree of a task is laid out.
fn tree_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        // Young tables are rewritten soon: compressing them would be done again.
        .data_block_compression_policy(CompressionPolicy::new([
            CompressionType::None,
            CompressionType::None,
            CompressionType::Lz4,
        ]))
        .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(
            FILTER_BITS_PER_KEY,
        ))))
        // A filter in one piece answers an absent key in half the time. An index in pieces takes only those pieces into the
        // cache that are used: whole ones, at an estimated 1.5 % of the data, would push each other out once the data is large.
        .filter_block_partitioning_policy(PartitioningPolicy::all(false))
        .index_block_partitioning_policy(PartitioningPolicy::all(true))
        .compaction_strategy(Arc::new(
            Leveled::default().with_l0_threshold(OVERLAPPING_TABLES_MAX).with_table_target_size(TABLE_BYTES),
        ))
}

/// Removes what a crash in the middle of making the folder left. The version file is written last and holds a few bytes; until
/// then there is no state to lose, and fjall refuses to open what it finds.
fn finish_interrupted_creation(path: &Path) -> io::Result<()> {
    let version_file = path.join("version");
    match std::fs::metadata(&version_file) {
        Ok(version) if version.len() > 0 => return Ok(()),
        Ok(_) => std::fs::remove_file(&version_file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match std::fs::remove_file(path.join("0.jnl")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A [`Disk`] in a [`StoreFolder`].
pub struct FjallDisk {
    folder: StoreFolder,
    task: String,
    identity: Identity,
    /// `None` only after a wipe that removed the tree and could not make another.
    tree: Option<Keyspace>,
    position: Option<u64>,
    /// Set when a batch failed: what is on the disk is known only after opening it again, and a further batch could write
    /// over the version file that the pointer names.
    failed: bool,
}

impl FjallDisk {
    /// Opens the state of `task`, empty if there is none. Open it once at a time.
    ///
    /// # Errors
    /// [`DiskError::Rebuild`] if another definition or changelog wrote it or it is damaged, [`DiskError::Stop`] if it cannot
    /// be read.
    ///
    /// # Panics
    /// If `task` is empty or longer than 255 bytes.
    pub fn open(folder: &StoreFolder, task: &str, identity: Identity) -> Result<Self, DiskError> {
        let failed = |error| disk_error("open", task, error);
        let mut open = folder.open.lock().unwrap_or_else(PoisonError::into_inner);
        let tree = folder.keyspace(task).map_err(failed)?;
        let header = tree.get(HEADER_KEY).map_err(failed)?;
        let position = header.map(|header| decode_header(task, &header, &identity)).transpose()?;
        *open.entry(task.to_owned()).or_default() += 1;
        drop(open);
        Ok(Self { folder: folder.clone(), task: task.to_owned(), identity, tree: Some(tree), position, failed: false })
    }

    fn tree(&self, action: &'static str) -> Result<&Keyspace, DiskError> {
        self.tree.as_ref().ok_or_else(|| self.refused(action))
    }

    fn refused(&self, action: &'static str) -> DiskError {
        DiskError::Stop {
            action,
            task: self.task.clone(),
            reason: io::Error::other(format!(
                "an earlier write to {} failed; start again once its cause is gone",
                self.folder.path.display()
            )),
        }
    }

    fn ingest(&self, entries: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>, position: u64) -> ::fjall::Result<()> {
        // Costs nothing with an empty journal, and is the one way to learn that the merging thread died of an error: without
        // it, tables would pile up for ever.
        self.folder.database.persist(PersistMode::Buffer)?;
        let Some(tree) = &self.tree else {
            return Err(::fjall::Error::KeyspaceDeleted);
        };
        let mut ingestion = tree.start_ingestion()?;
        ingestion.write(HEADER_KEY, encode_header(&self.identity, position))?;
        for (key, value) in entries {
            match value {
                Some(value) => ingestion.write(key, value)?,
                None => ingestion.write_tombstone(key)?,
            }
        }
        ingestion.finish()
    }
}

impl Drop for FjallDisk {
    fn drop(&mut self) {
        let mut open = self.folder.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.task) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.task);
            }
        }
    }
}

impl Disk for FjallDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        let value = self.tree("read")?.get(key).map_err(|error| disk_error("read", &self.task, error))?;
        // A copy: what the tree hands out keeps its whole block in memory.
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, from: &[u8], to: &[u8], each: &mut Visit<'_>) -> Result<(), DiskError> {
        if from >= to {
            return Ok(());
        }
        for entry in self.tree("read")?.range(from..to) {
            let (key, value) = entry.into_inner().map_err(|error| disk_error("read", &self.task, error))?;
            if *key != *HEADER_KEY && each(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        entries: &mut dyn Iterator<Item = (&[u8], Option<&[u8]>)>,
        position: u64,
    ) -> Result<(), DiskError> {
        if self.failed {
            return Err(self.refused("write"));
        }
        self.ingest(entries, position).map_err(|error| {
            self.failed = true;
            disk_error("write", &self.task, error)
        })?;
        self.position = Some(position);
        Ok(())
    }

    fn position(&self) -> Option<u64> {
        self.position
    }

    fn wipe(&mut self) -> Result<(), DiskError> {
        if self.failed {
            return Err(self.refused("wipe"));
        }
        let Some(tree) = self.tree.take() else {
            return Err(self.refused("wipe"));
        };
        // Should anything below fail, the tree stays away and every call is refused.
        self.failed = true;
        let wipe = |error| disk_error("wipe", &self.task, error);
        self.folder.database.delete_keyspace(tree).map_err(wipe)?;
        self.tree = Some(self.folder.keyspace(&self.task).map_err(wipe)?);
        self.position = None;
        self.failed = false;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.tree.as_ref().map_or(0, Keyspace::disk_space)
    }
}

/// Sorts what fjall says by what to do about it.
fn disk_error(action: &'static str, task: &str, error: ::fjall::Error) -> DiskError {
    let stop = |reason| DiskError::Stop { action, task: task.to_owned(), reason };
    let damaged = |what: String| DiskError::Rebuild { task: task.to_owned(), reason: RebuildReason::Damaged(what) };
    match error {
        // A file that ends too early was cut, not refused.
        ::fjall::Error::Io(reason) | ::fjall::Error::Storage(LsmError::Io(reason))
            if reason.kind() == io::ErrorKind::UnexpectedEof =>
        {
            damaged(reason.to_string())
        }
        ::fjall::Error::Io(reason) | ::fjall::Error::Storage(LsmError::Io(reason)) => stop(reason),
        ::fjall::Error::Locked => stop(io::Error::new(io::ErrorKind::WouldBlock, "it is locked")),
        ::fjall::Error::Poisoned => stop(io::Error::other(
            "merging tables in the background failed; the cause is in the log, start again once it is gone",
        )),
        ::fjall::Error::KeyspaceDeleted => stop(io::Error::other("it was wiped while in use")),
        error => damaged(error.to_string()),
    }
}
