//! The path of a file in; its bytes, unpacked, from any place of it, and what tells it from every other file out.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;

use crate::cli::exit::{Exit, Failure};

/// How gzip begins.
const GZIP: [u8; 2] = [0x1F, 0x8B];

/// A file to import.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    /// Its size as it lies there.
    pub bytes: u64,
    gzip: bool,
    /// What tells it from every other file, in hexadecimal digits.
    pub fingerprint: String,
}

impl Source {
    /// Reads a file once, to know it again.
    pub(super) fn open(path: &Path) -> Result<Source, Failure> {
        let unreadable = |error: io::Error| {
            Failure::new(
                Exit::Usage,
                format!("{} cannot be read: {error}", path.display()),
                "name a file that this user may read",
            )
        };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} is no file: an import must be able to go on in the middle", path.display()),
                "write the rows to a file first, then import that",
            ));
        }
        let (gzip, fingerprint) = fingerprint(path).map_err(unreadable)?;
        Ok(Source { path: path.to_owned(), bytes: metadata.len(), gzip, fingerprint })
    }

    /// Looks at its first bytes only: for who does not need to know it again.
    pub(super) fn glance(path: &Path) -> Result<Source, Failure> {
        let unreadable = |error: io::Error| {
            Failure::new(
                Exit::Usage,
                format!("{} cannot be read: {error}", path.display()),
                "name a file that this user may read",
            )
        };
        let mut first = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        file.take(2).read_to_end(&mut first).map_err(unreadable)?;
        Ok(Source { path: path.to_owned(), bytes, gzip: first == GZIP, fingerprint: String::new() })
    }

    /// Its name, for people.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes from a position on, unpacked. `read` counts how far the file itself was read.
    pub(super) fn reader(&self, position: u64, read: &Arc<AtomicU64>) -> io::Result<Box<dyn Read>> {
        let mut file = File::open(&self.path)?;
        if !self.gzip {
            file.seek(SeekFrom::Start(position))?;
            read.store(position, Ordering::Relaxed);
            return Ok(Box::new(Counted { file, read: Arc::clone(read) }));
        }
        read.store(0, Ordering::Relaxed);
        let counted = BufReader::with_capacity(64 << 10, Counted { file, read: Arc::clone(read) });
        let mut unpacked = MultiGzDecoder::new(counted);
        // There is no way into the middle but through what is before it.
        io::copy(&mut (&mut unpacked).take(position), &mut io::sink())?;
        Ok(Box::new(unpacked))
    }

    /// Whether it still is the file that was opened.
    pub(super) fn is_unchanged(&self) -> bool {
        fingerprint(&self.path).is_ok_and(|(_, now)| now == self.fingerprint)
    }

    /// An error of reading, with the line after which it came.
    pub(super) fn failed(&self, line: u64, error: &io::Error) -> Failure {
        let next = if self.gzip {
            "see whether `gzip -t` takes it, and get the file again where it does not; what was read before is sent and counts"
        } else {
            "see to the disk or the network that the file lies on, then run the same command again: it goes on where it was"
        };
        Failure::new(Exit::Failure, format!("{}, after line {line}: it cannot be read: {error}", self.name()), next)
    }
}

/// Whether it is gzip, whatever its name says, and the hash of its content.
fn fingerprint(path: &Path) -> io::Result<(bool, String)> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut part = vec![0; 1 << 20];
    let (mut gzip, mut is_first) = (false, true);
    loop {
        let read = match file.read(&mut part) {
            Ok(0) => return Ok((gzip, hasher.finalize().to_hex().to_string())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let bytes = part.get(..read).unwrap_or_default();
        if std::mem::take(&mut is_first) {
            gzip = bytes.starts_with(&GZIP);
        }
        hasher.update(bytes);
    }
}

/// Counts what is read.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
