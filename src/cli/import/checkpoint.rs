//! How far an import is, in; a file of the data directory out, which a later start goes on from.
//!
//! A checkpoint never says more than what the log has: it is written after a flush. What was sent after the last one is
//! sent again, and counts once because of its id.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{rejects::RejectsMark, report::Tally};
use crate::cli::{
    exit::{Exit, Failure},
    private,
};

/// The version of the format. Another one is not read.
const VERSION: u32 = 1;

/// What makes two imports the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    /// Of the file.
    pub fingerprint: String,
    /// The department.
    pub spoke: String,
    /// The hub.
    pub application_id: String,
    /// The log and the topic.
    pub target: String,
    /// How the rows were read: places between them depend on it.
    pub format: String,
}

impl Identity {
    /// A name for it: 128 bits in hexadecimal digits.
    fn name(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [&self.fingerprint, &self.spoke, &self.application_id, &self.target, &self.format] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

/// How far an import is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    version: u32,
    /// Which import it is.
    pub import: Identity,
    /// The file's name when it was begun, for people who look in here.
    pub file: String,
    /// Bytes of the unpacked file that were read.
    pub position: u64,
    /// Line breaks in them.
    pub line: u64,
    /// What came of them.
    pub tally: Tally,
    /// Of them, rows that their topic did not take.
    #[serde(default)]
    pub unfit: u64,
    /// How far the file of bad rows goes with it.
    pub rejects: Option<RejectsMark>,
    /// Whether that was all.
    pub done: bool,
}

/// Only as much as every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Checkpoint {
    /// The beginning of an import.
    pub(super) fn new(import: Identity, file: String) -> Checkpoint {
        Checkpoint {
            version: VERSION,
            import,
            file,
            position: 0,
            line: 0,
            tally: Tally::default(),
            unfit: 0,
            rejects: None,
            done: false,
        }
    }
}

/// Where one import's checkpoint lies. While it is held, no other process imports the same.
pub(super) struct CheckpointFile {
    path: PathBuf,
    lock: PathBuf,
    _locked: File,
}

impl CheckpointFile {
    /// The file of an import, in the folder `imports` of the data directory.
    pub(super) fn hold(data_directory: &Path, import: &Identity) -> Result<CheckpointFile, Failure> {
        let directory = data_directory.join("imports");
        let failed = |error: io::Error| unusable(&directory, &error);
        private::directory(&directory).map_err(failed)?;
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let path = directory.join(format!("{}.json", import.name()));
        let lock = path.with_extension("lock");
        let locked = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock)
            .map_err(|error| unusable(&lock, &error))?;
        match locked.try_lock() {
            Ok(()) => Ok(CheckpointFile { path, lock, _locked: locked }),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Exit::Usage,
                "another process is importing this file into this spoke",
                "wait for it, or stop it (SIGTERM) and start this one again: it goes on there",
            )),
            Err(TryLockError::Error(error)) => Err(unusable(&lock, &error)),
        }
    }

    /// What an earlier import of the same left; `None` if there was none.
    pub(super) fn read(&self) -> Result<Option<Checkpoint>, Failure> {
        let unreadable = |problem: String| {
            Failure::new(
                Exit::Usage,
                format!("the checkpoint {} cannot be used: {problem}", self.path.display()),
                "add --again to begin from the start: what the hub has already counts once",
            )
        };
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let Versioned { version } = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        if version != VERSION {
            return Err(unreadable(format!("its version is {version}, and this program knows {VERSION}")));
        }
        serde_json::from_slice(&text).map(Some).map_err(|error| unreadable(error.to_string()))
    }

    /// Replaces it as a whole: whoever reads it finds this one or the one before.
    pub(super) fn write(&self, checkpoint: &Checkpoint) -> Result<(), Failure> {
        let content = serde_json::to_vec(checkpoint).map_err(io::Error::from);
        let written = content.and_then(|content| private::replace(&self.path, &content));
        written.map_err(|error| unusable(&self.path, &error))
    }
}

impl Drop for CheckpointFile {
    fn drop(&mut self) {
        // Nothing but tidiness: a lock that stays is taken by the next process.
        let _ = std::fs::remove_file(&self.lock);
    }
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Exit::Failure,
        format!("{} cannot be written: {error}", path.display()),
        "make it writable for this user with room on the disk, or set hub.data_directory, then run the same command again",
    )
}
