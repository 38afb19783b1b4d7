//! Names of closed segments in; their files, of which only so many are open at a time, out.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::files::{File, Files};

/// The open files of closed segments. One that was not asked for the longest is closed for another; whoever reads it at that
/// moment keeps it until then, so that there may be as many more as there are readers.
pub(crate) struct Handles {
    pub(crate) files: Arc<dyn Files>,
    open_max: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    files: HashMap<Ticket, Handle>,
    /// Counts what was asked for.
    clock: u64,
    ticket_next: u64,
}

struct Handle {
    file: Arc<dyn File>,
    used: u64,
}

/// Tells segments of one name apart: the one that was replaced and the one that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

impl Handles {
    pub(crate) fn new(files: Arc<dyn Files>, open_max: usize) -> Self {
        Self { files, open_max: open_max.max(1), open: Mutex::default() }
    }

    pub(crate) fn ticket(&self) -> Ticket {
        let mut open = self.lock();
        open.ticket_next += 1;
        Ticket(open.ticket_next)
    }

    /// The file if it is open.
    pub(crate) fn get(&self, ticket: Ticket) -> Option<Arc<dyn File>> {
        let mut open = self.lock();
        open.clock += 1;
        let used = open.clock;
        let handle = open.files.get_mut(&ticket)?;
        handle.used = used;
        Some(Arc::clone(&handle.file))
    }

    /// Keeps a file that was opened.
    pub(crate) fn put(&self, ticket: Ticket, file: Arc<dyn File>) {
        let mut open = self.lock();
        open.clock += 1;
        let used = open.clock;
        open.files.insert(ticket, Handle { file, used });
        while open.files.len() > self.open_max {
            // Opening a file takes longer than looking through a few hundred.
            let oldest = open.files.iter().min_by_key(|(_, handle)| handle.used).map(|(ticket, _)| *ticket);
            let Some(oldest) = oldest else { break };
            open.files.remove(&oldest);
        }
    }

    pub(crate) fn forget(&self, ticket: Ticket) {
        self.lock().files.remove(&ticket);
    }

    /// Opens a file by its name, whatever is open.
    pub(crate) fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.files.open(name)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
