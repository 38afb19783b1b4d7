//! The disk of the simulation: entries in memory that outlive the store that wrote them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::disk::{Disk, DiskError, Identity, Visit, decode_header, encode_header};

/// What survives a crash: keep a clone, drop the [`MemoryDisk`], open it again.
#[derive(Clone, Default)]
pub struct Platter(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    entries: BTreeMap<Vec<u8>, Bytes>,
    header: Option<Vec<u8>>,
    bytes: u64,
    full: bool,
}

impl Platter {
    /// Makes every following batch fail as a full disk does, or no longer.
    pub fn set_full(&self, full: bool) {
        self.written().full = full;
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().expect("nothing panics while the lock is held: only map operations run under it")
    }
}

/// A [`Disk`] on a [`Platter`].
pub struct MemoryDisk {
    platter: Platter,
    task: String,
    identity: Identity,
    position: Option<u64>,
}

impl MemoryDisk {
    /// A disk of its own for a task that keeps nothing.
    pub fn scratch() -> Self {
        let identity = Identity { placement: [0; 16], changelog: String::new() };
        Self { platter: Platter::default(), task: "scratch".into(), identity, position: None }
    }

    /// Opens what lies on the platter for `task`.
    ///
    /// # Errors
    /// [`DiskError::Rebuild`] if another definition or changelog wrote it.
    pub fn open(platter: &Platter, task: &str, identity: Identity) -> Result<Self, DiskError> {
        let header = platter.written().header.clone();
        let position = header.map(|header| decode_header(task, &header, &identity)).transpose()?;
        Ok(Self { platter: platter.clone(), task: task.to_owned(), identity, position })
    }
}

impl Disk for MemoryDisk {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, DiskError> {
        Ok(self.platter.written().entries.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], each: &mut Visit<'_>) -> Result<(), DiskError> {
        if from >= to {
            return Ok(());
        }
        for (key, value) in
            self.platter.written().entries.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)))
        {
            if each(key, value).is_break() {
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
        let mut written = self.platter.written();
        if written.full {
            return Err(DiskError::Stop {
                action: "write",
                task: self.task.clone(),
                reason: std::io::ErrorKind::StorageFull.into(),
            });
        }
        for (key, value) in entries {
            let replaced = match value {
                Some(value) => {
                    written.bytes += (key.len() + value.len()) as u64;
                    written.entries.insert(key.to_vec(), Bytes::copy_from_slice(value))
                }
                None => written.entries.remove(key),
            };
            if let Some(replaced) = replaced {
                written.bytes -= (key.len() + replaced.len()) as u64;
            }
        }
        written.header = Some(encode_header(&self.identity, position));
        self.position = Some(position);
        Ok(())
    }

    fn position(&self) -> Option<u64> {
        self.position
    }

    fn wipe(&mut self) -> Result<(), DiskError> {
        let full = self.platter.written().full;
        *self.platter.written() = Written { full, ..Written::default() };
        self.position = None;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.platter.written().bytes
    }
}
