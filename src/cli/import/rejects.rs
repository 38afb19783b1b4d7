//! Bad rows in; a file of JSON lines out, which only this user may read: it holds what the rows hold.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::exit::{Exit, Failure};

/// Where rejects are written, and how far they go with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RejectsMark {
    /// The file, as an absolute path.
    pub file: PathBuf,
    /// Its length.
    pub bytes: u64,
}

/// The file of bad rows.
pub(super) struct Rejects {
    file: BufWriter<File>,
    mark: RejectsMark,
}

/// One bad row.
pub(super) struct Reject<'a> {
    /// Its line.
    pub line: u64,
    /// The reason.
    pub reason: &'a str,
    /// The field to blame.
    pub field: &'a str,
    /// What is wrong and what to do.
    pub message: &'a str,
    /// What stands there.
    pub text: &'a [u8],
    /// Whether that is the beginning only.
    pub truncated: bool,
}

impl Rejects {
    /// A new file, or the one of an interrupted import, from its checkpoint on.
    pub(super) fn open(path: &Path, input: &Path, earlier: Option<&RejectsMark>) -> Result<Rejects, Failure> {
        let shown = path.display();
        let failed = |error: io::Error| {
            Failure::new(
                Exit::Usage,
                format!("--rejects {shown} cannot be written: {error}"),
                "name a file in a folder that this user may write to",
            )
        };
        let same = |path: &Path| std::fs::canonicalize(path).ok();
        if same(path).is_some_and(|path| Some(path) == same(input)) {
            return Err(Failure::new(Exit::Usage, format!("--rejects {shown} is the file to import"), "name another"));
        }
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
        let mark = RejectsMark { file: std::fs::canonicalize(path).map_err(failed)?, bytes: 0 };
        let there = file.metadata().map_err(failed)?.len();
        let bytes = match earlier {
            // What was written after the checkpoint comes again.
            Some(earlier) if earlier.file == mark.file && earlier.bytes <= there => earlier.bytes,
            _ if there == 0 => 0,
            _ => {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("--rejects {shown} is there already, and holds something else"),
                    "remove it, or name another file",
                ));
            }
        };
        file.set_len(bytes).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Rejects { file: BufWriter::new(file), mark: RejectsMark { bytes, ..mark } })
    }

    /// Writes a row.
    pub(super) fn write(&mut self, reject: &Reject<'_>) -> Result<(), Failure> {
        let mut line = json!({
            "line": reject.line,
            "reason": reject.reason,
            "field": reject.field,
            "message": reject.message,
            "row": String::from_utf8_lossy(reject.text),
        });
        if reject.truncated {
            line["truncated"] = true.into();
        }
        let line = format!("{line}\n");
        self.file.write_all(line.as_bytes()).map_err(|error| self.failed(&error))?;
        self.mark.bytes += line.len() as u64;
        Ok(())
    }

    /// Writes out what waits, and says how far that is.
    pub(super) fn flush(&mut self) -> Result<RejectsMark, Failure> {
        self.file.flush().map_err(|error| self.failed(&error))?;
        Ok(self.mark.clone())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::new(
            Exit::Failure,
            format!("--rejects {} cannot be written: {error}", self.mark.file.display()),
            "make room, then run the same command again: it goes on where it was",
        )
    }
}
