//! Names and bytes in, what a bad machine makes of them out: writes and syncs that fail, a full disk, a power cut.
//!
//! Every file and the directory exist twice: as a running process sees them (the cache) and as they lie on the disk. A sync
//! carries what is dirty over. A failed one marks it clean without carrying all of it, as Linux does: no later sync repairs it.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{File, Files, Held};

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The n-th write fails and writes nothing.
    WriteError,
    /// The n-th write fails after a first part.
    WriteShort,
    /// The n-th write fails and leaves holes in what it wrote.
    WriteTorn,
    /// The n-th write fails although everything was written.
    WriteComplete,
    /// The n-th write and the nine after it find the disk full after a first part.
    WriteFull,
    /// The n-th sync (of a file or of the directory) fails.
    SyncError,
    /// The n-th creation, renaming or removal of a file fails and does nothing.
    NameError,
    /// Power goes off at the n-th changing operation of any kind; it and all later ones fail.
    PowerCut,
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// Nothing.
    Lost,
    /// Any part of it, down to single bytes, in any order.
    Torn,
    /// All of it.
    Kept,
}

/// A directory in memory. Clones are the same directory.
#[derive(Clone)]
pub struct SimulatedFiles {
    machine: Arc<Mutex<Machine>>,
}

#[derive(Clone)]
struct Machine {
    random: u64,
    inodes: HashMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    names_on_disk: BTreeMap<String, u64>,
    names_dirty: Vec<NameChange>,
    inode_next: u64,
    locked: bool,
    fault: Option<(Fault, u64)>,
    full_writes: u32,
    truncates_fail: bool,
    powered: bool,
    capacity_bytes: Option<u64>,
    writes: u64,
    syncs: u64,
    names_changes: u64,
    changes: u64,
}

#[derive(Clone, Default)]
struct Inode {
    cache: Vec<u8>,
    disk: Vec<u8>,
    dirty: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone)]
enum NameChange {
    Link(String, u64),
    Unlink(String),
    Rename { from: String, to: String, inode: u64 },
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { position, bytes } => {
                let end = position + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*position..end].copy_from_slice(bytes);
            }
            Self::Truncate(length) => content.resize(*length, 0),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

impl SimulatedFiles {
    /// An empty directory on a machine that works, whose later misfortunes follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let machine = Machine {
            random: seed,
            inodes: HashMap::new(),
            names: BTreeMap::new(),
            names_on_disk: BTreeMap::new(),
            names_dirty: Vec::new(),
            inode_next: 0,
            locked: false,
            fault: None,
            full_writes: 0,
            truncates_fail: false,
            powered: true,
            capacity_bytes: None,
            writes: 0,
            syncs: 0,
            names_changes: 0,
            changes: 0,
        };
        Self { machine: Arc::new(Mutex::new(machine)) }
    }

    /// Plans a fault at the `number`-th operation of its kind from now on, from 1.
    pub fn plan(&self, fault: Fault, number: u64) {
        let mut machine = self.machine();
        (machine.writes, machine.syncs, machine.names_changes, machine.changes) = (0, 0, 0, 0);
        machine.fault = Some((fault, number));
    }

    /// Whether a planned fault is still to come.
    pub fn is_fault_to_come(&self) -> bool {
        self.machine().fault.is_some()
    }

    /// Lets the next truncation fail, or not.
    pub fn fail_truncate(&self, fail: bool) {
        self.machine().truncates_fail = fail;
    }

    /// Limits the bytes of all files together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine().capacity_bytes = bytes;
    }

    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.machine().bytes()
    }

    /// Whether the power is on.
    pub fn is_powered(&self) -> bool {
        self.machine().powered
    }

    /// Cuts the power, and starts the machine again with what the disk holds. Every handle and lock from before is dead.
    pub fn restart(&self, unsynced: Unsynced) {
        let mut machine = self.machine();
        machine.cut(unsynced);
        machine.fault = None;
        machine.full_writes = 0;
        machine.powered = true;
        machine.locked = false;
    }

    /// How many operations there were since [`SimulatedFiles::plan`] of the kind that a fault counts.
    pub fn count(&self, fault: Fault) -> u64 {
        let machine = self.machine();
        match fault {
            Fault::SyncError => machine.syncs,
            Fault::NameError => machine.names_changes,
            Fault::PowerCut => machine.changes,
            Fault::WriteError | Fault::WriteShort | Fault::WriteTorn | Fault::WriteComplete | Fault::WriteFull => {
                machine.writes
            }
        }
    }

    /// Lets the misfortunes from now on follow from another seed.
    pub fn reseed(&self, seed: u64) {
        self.machine().random = seed;
    }

    /// Another machine whose disk and memory hold the same. Handles and locks stay with this one.
    pub fn fork(&self) -> Self {
        let machine = Machine { locked: false, ..self.machine().clone() };
        Self { machine: Arc::new(Mutex::new(machine)) }
    }

    /// Changes one byte of a file, behind everybody's back.
    ///
    /// # Errors
    /// If there is no such file or byte.
    pub fn damage(&self, name: &str, position: usize) -> io::Result<()> {
        let mut machine = self.machine();
        let inode = machine.inode_of(name)?;
        let inode = machine.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        *inode.cache.get_mut(position).ok_or(io::ErrorKind::UnexpectedEof)? ^= 0x10;
        inode.disk = inode.cache.clone();
        Ok(())
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// If there is no such file.
    pub fn content(&self, name: &str) -> io::Result<Vec<u8>> {
        let machine = self.machine();
        let inode = machine.inode_of(name)?;
        machine.inodes.get(&inode).map(|inode| inode.cache.clone()).ok_or(io::ErrorKind::NotFound.into())
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

fn failed() -> io::Error {
    io::Error::other("the disk failed")
}

impl Machine {
    /// splitmix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.random() % (limit.max(1) as u64)) as usize
    }

    fn bytes(&self) -> u64 {
        self.names.values().filter_map(|inode| self.inodes.get(inode)).map(|inode| inode.cache.len() as u64).sum()
    }

    fn inode_of(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or(io::ErrorKind::NotFound.into())
    }

    /// Counts a changing operation. An error: the power is off, or goes off now (what the operation did is up to the caller).
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        if self.fault == Some((Fault::PowerCut, self.changes)) {
            self.powered = false;
            self.fault = None;
        }
        if self.powered { Ok(()) } else { Err(power_is_off()) }
    }

    /// Counts an operation on names.
    fn change_names(&mut self) -> io::Result<()> {
        self.change()?;
        self.names_changes += 1;
        if self.fault == Some((Fault::NameError, self.names_changes)) {
            self.fault = None;
            return Err(failed());
        }
        Ok(())
    }

    fn name_change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.names_dirty.push(change);
    }

    fn write(&mut self, inode: u64, bytes: &[u8], position: u64) -> io::Result<()> {
        let was_on = self.powered;
        let mut outcome = self.change();
        let mut written = bytes.len();
        let mut holes = false;
        if outcome.is_err() {
            if !was_on {
                return outcome;
            }
            written = self.below(bytes.len() + 1);
        }
        self.writes += 1;
        if let Some((fault, number)) = self.fault
            && self.writes == number
            && !matches!(fault, Fault::SyncError | Fault::NameError | Fault::PowerCut)
        {
            self.fault = None;
            outcome = Err(failed());
            match fault {
                Fault::WriteError => written = 0,
                Fault::WriteShort => written = self.below(bytes.len()),
                Fault::WriteTorn => holes = true,
                Fault::WriteFull => self.full_writes = 10,
                Fault::WriteComplete | Fault::SyncError | Fault::NameError | Fault::PowerCut => {}
            }
        }
        if self.full_writes > 0 {
            self.full_writes -= 1;
            written = self.below(written.max(1));
            outcome = Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(capacity) = self.capacity_bytes {
            let length = self.inodes.get(&inode).map_or(0, |inode| inode.cache.len() as u64);
            let growth = (position + written as u64).saturating_sub(length);
            let room = capacity.saturating_sub(self.bytes());
            if growth > room {
                written = written.saturating_sub((growth - room) as usize);
                outcome = Err(io::ErrorKind::StorageFull.into());
            }
        }
        let position = position as usize;
        let mut parts = [0..written, written..written];
        if holes {
            let from = self.below(written);
            let to = from + self.below(written - from);
            parts = [0..from, to..written];
        }
        let inode = self.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let change = Change::Write { position: position + part.start, bytes: bytes[part].to_vec() };
            change.apply(&mut inode.cache);
            inode.dirty.push(change);
        }
        outcome
    }

    fn is_failing_sync(&mut self) -> bool {
        self.syncs += 1;
        let fails = self.fault == Some((Fault::SyncError, self.syncs));
        if fails {
            self.fault = None;
        }
        fails
    }

    fn sync(&mut self, inode: u64) -> io::Result<()> {
        self.change()?;
        let unsynced = if self.is_failing_sync() { Unsynced::Torn } else { Unsynced::Kept };
        self.flush(inode, unsynced);
        if unsynced == Unsynced::Torn { Err(failed()) } else { Ok(()) }
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.change()?;
        if self.is_failing_sync() {
            // Names are journalled: what did not arrive is still to be written, other than the pages of a file.
            self.flush_names(Unsynced::Torn);
            return Err(failed());
        }
        self.flush_names(Unsynced::Kept);
        self.names_dirty.clear();
        Ok(())
    }

    /// Carries what is dirty in a file to the disk, as far as `unsynced` says; afterwards it counts as clean.
    fn flush(&mut self, number: u64, unsynced: Unsynced) {
        let Some(mut inode) = self.inodes.remove(&number) else { return };
        for mut change in std::mem::take(&mut inode.dirty) {
            match unsynced {
                Unsynced::Lost => continue,
                Unsynced::Kept => {}
                Unsynced::Torn => match self.below(3) {
                    0 => continue,
                    1 => {
                        if let Change::Write { bytes, .. } = &mut change {
                            let kept = self.below(bytes.len() + 1);
                            bytes.truncate(kept);
                        }
                    }
                    _ => {}
                },
            }
            change.apply(&mut inode.disk);
        }
        self.inodes.insert(number, inode);
    }

    fn flush_names(&mut self, unsynced: Unsynced) {
        for index in 0..self.names_dirty.len() {
            let kept = match unsynced {
                Unsynced::Lost => false,
                Unsynced::Kept => true,
                Unsynced::Torn => self.below(2) == 0,
            };
            if kept {
                self.names_dirty[index].apply(&mut self.names_on_disk);
            }
        }
    }

    fn cut(&mut self, unsynced: Unsynced) {
        let mut numbers: Vec<u64> = self.inodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.flush(number, unsynced);
        }
        self.flush_names(unsynced);
        self.names_dirty.clear();
        self.names = self.names_on_disk.clone();
        // New numbers: the handles of the time before must not reach the files of the time after.
        let mut inodes = HashMap::new();
        let mut renumbered = HashMap::new();
        for number in self.names.values_mut() {
            let new = *renumbered.entry(*number).or_insert_with(|| {
                self.inode_next += 1;
                self.inode_next
            });
            if let Some(inode) = self.inodes.get(number) {
                let disk = inode.disk.clone();
                inodes.insert(new, Inode { cache: disk.clone(), disk, dirty: Vec::new() });
            }
            *number = new;
        }
        self.inodes = inodes;
        self.names_on_disk = self.names.clone();
    }
}

impl Files for SimulatedFiles {
    fn lock(&self, _name: &str) -> io::Result<Box<dyn Held>> {
        let mut machine = self.machine();
        if machine.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        machine.locked = true;
        Ok(Box::new(SimulatedLock { files: self.clone() }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut machine = self.machine();
        machine.change_names()?;
        machine.inode_next += 1;
        let inode = machine.inode_next;
        machine.inodes.insert(inode, Inode::default());
        machine.name_change(NameChange::Link(name.to_owned(), inode));
        Ok(Arc::new(SimulatedFile { files: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let inode = self.machine().inode_of(name)?;
        Ok(Arc::new(SimulatedFile { files: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut machine = self.machine();
        machine.change_names()?;
        let inode = machine.inode_of(from)?;
        machine.name_change(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut machine = self.machine();
        machine.change_names()?;
        machine.inode_of(name)?;
        machine.name_change(NameChange::Unlink(name.to_owned()));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.machine().names.keys().cloned().collect())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.machine().sync_names()
    }

    fn name(&self) -> String {
        "simulated".to_owned()
    }
}

struct SimulatedLock {
    files: SimulatedFiles,
}

impl Held for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.files.machine().locked = false;
    }
}

struct SimulatedFile {
    files: SimulatedFiles,
    inode: u64,
}

impl File for SimulatedFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.files.machine().write(self.inode, bytes, position)
    }

    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()> {
        let machine = self.files.machine();
        let inode = machine.inodes.get(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        let position = position as usize;
        let found = inode.cache.get(position..position + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let machine = self.files.machine();
        Ok(machine.inodes.get(&self.inode).ok_or(io::ErrorKind::NotFound)?.cache.len() as u64)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut machine = self.files.machine();
        machine.change()?;
        if machine.truncates_fail {
            machine.truncates_fail = false;
            return Err(failed());
        }
        let change = Change::Truncate(length as usize);
        let inode = machine.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
        change.apply(&mut inode.cache);
        inode.dirty.push(change);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.files.machine().sync(self.inode)
    }
}
