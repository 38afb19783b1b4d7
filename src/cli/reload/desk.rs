//! Commands beside a hub ask it to read its configuration again, in its data directory; its answer comes back to them.
//!
//! ```text
//! data directory/reload/
//!   hub            locked by the hub while it runs: who can lock it knows that none does
//!   request-ID     a command asks; the hub removes it and begins
//!   answer-ID      what came of it; the command reads and removes it
//! ```
//!
//! Files and not a signal, because a process id means nothing in another container, and a wrong one would be ended by it;
//! and not the hub's socket, which a hub on Kafka does not have. Only the hub's user and root reach the directory.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{cli::private, telemetry::ReloadOutcome};

const DIRECTORY: &str = "reload";
const LOCK: &str = "hub";
const REQUEST: &str = "request-";
const ANSWER: &str = "answer-";
/// How long a lock may be held by a command that only asks whether a hub runs.
const LOCK_WITHIN: Duration = Duration::from_secs(1);
/// How often is looked for an answer.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What came of reading the configuration again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// As the telemetry counts it.
    pub outcome: ReloadOutcome,
    /// What is in force now and was not before, by name.
    pub changed: Vec<String>,
    /// What differs and can only be changed by a restart, by name.
    pub needs_restart: Vec<String>,
    /// What is wrong with the configuration; empty unless something is.
    pub problem: String,
}

/// The directory, kept by the hub that runs.
pub(super) struct Desk {
    directory: PathBuf,
    /// Locked until it is dropped.
    _lock: File,
}

impl Desk {
    /// Opens it for the hub of this process. What an earlier hub left there is removed.
    ///
    /// # Errors
    /// What the machine says; [`io::ErrorKind::WouldBlock`] if another hub has it.
    pub(super) fn open(data_directory: &Path) -> io::Result<Desk> {
        let directory = data_directory.join(DIRECTORY);
        private::directory(&directory)?;
        let lock = File::options().create(true).truncate(false).write(true).open(directory.join(LOCK))?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_WITHIN => std::thread::sleep(LOOK_EVERY),
                Err(error) => return Err(error.into()),
            }
        }
        let desk = Desk { directory, _lock: lock };
        for stale in [REQUEST, ANSWER] {
            desk.take(stale);
        }
        Ok(desk)
    }

    /// The ids of those who ask, each once.
    pub(super) fn requests(&self) -> Vec<String> {
        self.take(REQUEST)
    }

    /// Answers those who asked.
    ///
    /// # Errors
    /// What the machine says; some may have their answer.
    pub(super) fn answer(&self, ids: &[String], answer: &Answer) -> io::Result<()> {
        let content = serde_json::to_vec(answer)?;
        ids.iter().try_for_each(|id| private::replace(&self.directory.join(format!("{ANSWER}{id}")), &content))
    }

    fn take(&self, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let named = entries.filter_map(|entry| {
            let id = entry.file_name().to_str()?.strip_prefix(prefix)?.to_owned();
            fs::remove_file(entry.path()).ok().map(|()| id)
        });
        named.collect()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// No hub runs with this data directory.
    NoHub,
    /// One runs and did not answer in time; it may yet do what it was asked to.
    Late,
    /// The directory is not ours.
    Unreachable(io::Error),
}

/// Asks the hub that runs with a data directory, and waits for its answer. `id`: of no other request.
pub(super) fn ask(data_directory: &Path, id: &str, within: Duration) -> Result<Answer, Unanswered> {
    let directory = data_directory.join(DIRECTORY);
    let lock = match File::open(directory.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unanswered::NoHub),
        opened => opened.map_err(Unanswered::Unreachable)?,
    };
    let is_alone = || match lock.try_lock_shared() {
        Ok(()) => lock.unlock().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    };
    let (request, answer) = (directory.join(format!("{REQUEST}{id}")), directory.join(format!("{ANSWER}{id}")));
    let began = Instant::now();
    if is_alone().map_err(Unanswered::Unreachable)? {
        return Err(Unanswered::NoHub);
    }
    private::new_file(&request).map_err(Unanswered::Unreachable)?;
    loop {
        if let Ok(content) = fs::read(&answer) {
            let _ = fs::remove_file(&answer);
            return serde_json::from_slice(&content).map_err(|error| Unanswered::Unreachable(error.into()));
        }
        let unanswered = match began.elapsed() > within {
            true => Some(Unanswered::Late),
            false if is_alone().map_err(Unanswered::Unreachable)? => Some(Unanswered::NoHub),
            false => None,
        };
        if let Some(unanswered) = unanswered {
            let _ = fs::remove_file(&request);
            return Err(unanswered);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(30);

    fn answer() -> Answer {
        Answer {
            outcome: ReloadOutcome::NeedsRestart,
            changed: Vec::new(),
            needs_restart: vec!["topics.prefix".to_owned()],
            problem: String::new(),
        }
    }

    #[test]
    fn who_asks_gets_an_answer_and_leaves_nothing() {
        let home = tempfile::tempdir().expect("a directory");
        let desk = Desk::open(home.path()).expect("a desk");
        let directory = home.path().to_owned();
        let asking: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|id| {
                let directory = directory.clone();
                std::thread::spawn(move || ask(&directory, id, WITHIN).expect("an answer"))
            })
            .collect();
        let began = Instant::now();
        let mut answered = 0;
        while answered < 2 && began.elapsed() < WITHIN {
            let ids = desk.requests();
            desk.answer(&ids, &answer()).expect("a place for the answer");
            answered += ids.len();
        }
        for thread in asking {
            assert_eq!(thread.join().expect("no panic"), answer());
        }
        let left = fs::read_dir(home.path().join(DIRECTORY)).expect("a directory").flatten();
        assert_eq!(left.map(|entry| entry.file_name()).collect::<Vec<_>>(), [LOCK]);
    }

    #[test]
    fn without_a_hub_or_an_answer_that_is_said() {
        let home = tempfile::tempdir().expect("a directory");
        let asked = |within| ask(home.path(), "a", within);
        assert!(matches!(asked(WITHIN), Err(Unanswered::NoHub)), "no hub was ever here");
        let desk = Desk::open(home.path()).expect("a desk");
        assert!(Desk::open(home.path()).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        assert!(matches!(asked(Duration::ZERO), Err(Unanswered::Late)));
        assert_eq!(desk.requests(), [""; 0], "who gave up asks for nothing");
        drop(desk);
        assert!(matches!(asked(WITHIN), Err(Unanswered::NoHub)), "the hub is gone");
        // What a killed hub left is not for the next one.
        fs::write(home.path().join("reload/request-old"), "").expect("a file");
        assert_eq!(Desk::open(home.path()).expect("a desk").requests(), [""; 0]);
    }
}
