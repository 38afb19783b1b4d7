//! Names and bytes in, system calls out: the directory on a real disk.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{File, Files, Held};

/// A directory of the file system.
#[derive(Debug)]
pub struct RealFiles {
    directory: PathBuf,
}

impl RealFiles {
    /// The directory at `path`, made where there is none, and lasting: its parent is synced too.
    ///
    /// # Errors
    /// What the machine says.
    pub fn new(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            // The directory that was made is an entry of its parent.
            if let Some(parent) = path.canonicalize()?.parent() {
                fs::File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self { directory: path.to_owned() })
    }
}

/// The log holds personal data: nobody else reads it.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

impl Files for RealFiles {
    fn lock(&self, name: &str) -> io::Result<Box<dyn Held>> {
        let file = options().create(true).truncate(false).open(self.directory.join(name))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(reason)) => Err(reason),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = options().create(true).truncate(true).open(self.directory.join(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = options().open(self.directory.join(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.directory.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn sync_directory(&self) -> io::Result<()> {
        fs::File::open(&self.directory)?.sync_all()
    }

    fn link(&self, name: &str, into: &dyn Files) -> io::Result<()> {
        let folder = into.folder().ok_or(io::ErrorKind::Unsupported)?;
        fs::hard_link(self.directory.join(name), folder.join(name))
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.directory)
    }

    fn name(&self) -> String {
        self.directory.display().to_string()
    }
}

/// The operating system gives the lock back when the file is closed, also after a kill.
struct RealLock {
    _file: fs::File,
}

impl Held for RealLock {}

struct RealFile {
    file: fs::File,
}

impl File for RealFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, position)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        // The length is written too: it is needed to read what was appended.
        self.file.sync_data()
    }
}
