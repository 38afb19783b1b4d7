//! What the log asks of a directory, in names and bytes; what the machine said comes back. Nothing else touches a disk.

pub mod real;
pub mod simulated;

use std::{io, path::Path, sync::Arc};

/// A directory of files. Names are plain: no folders below it.
pub trait Files: Send + Sync {
    /// Takes the exclusive lock named `name`, held until what is returned is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody else holds it.
    fn lock(&self, name: &str) -> io::Result<Box<dyn Held>>;

    /// Creates an empty file; one of that name is emptied. It may be gone after a power cut until the directory was synced.
    ///
    /// # Errors
    /// What the machine says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name; one that had it is replaced and stays readable through the handles that are open.
    ///
    /// # Errors
    /// What the machine says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; it stays readable through the handles that are open.
    ///
    /// # Errors
    /// What the machine says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, in any order.
    ///
    /// # Errors
    /// What the machine says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes created, renamed and removed names survive a power cut.
    ///
    /// # Errors
    /// What the machine says; which names survive is then unknown.
    fn sync_directory(&self) -> io::Result<()>;

    /// Gives a file a second name, the same one in another directory, which must not have it; it survives a power cut when that
    /// directory was synced. Whoever may not do that copies instead.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where files cannot have two names; otherwise what the machine says.
    fn link(&self, _name: &str, _into: &dyn Files) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The folder of the file system that the directory is, if it is one.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// How the directory is called in error messages.
    fn name(&self) -> String;
}

/// A lock that is held until this is dropped.
pub trait Held: Send + Sync {}

/// An open file.
pub trait File: Send + Sync {
    /// Writes all of `bytes` at `position`. (The log tells the end itself: after a short write it is not where the file's is.)
    ///
    /// # Errors
    /// What the machine says; any part of `bytes` may have been written.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;

    /// Fills `bytes` from `position`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// What the machine says.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file off at `length`.
    ///
    /// # Errors
    /// What the machine says.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Makes everything written survive a power cut.
    ///
    /// # Errors
    /// What the machine says. What was written since the last sync may be lost even if a later sync succeeds: kernels mark
    /// pages clean that they failed to write.
    fn sync(&self) -> io::Result<()>;
}
