//! A file or an address in; the issuer's keys as they are now out.
//!
//! A file is looked at each time, and read when it was replaced. An address is asked when its keys are old, beside whoever is waiting
//! for an answer; and when a token names a key that is not known, or nobody has asked for so long that a key may have been withdrawn:
//! whoever sent that one waits for the answer, [`WAITS`] at most. However many such tokens come, one asks at a time, and again
//! [`AGAIN_AFTER`] the last answer at the earliest, or as often as keys are asked for anyway; in between, what is not known is not known. Keys that were had hold until others are
//! there: an issuer that does not answer locks nobody out.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::OwnedMutexGuard, task::JoinHandle, time::timeout};

use super::{Signing, keys::Keys};
use crate::wire::fetch::{Document, Trust};

/// The largest document of keys: certificates are in some.
const DOCUMENT_BYTES_MAX: u64 = 256 << 10;
/// How long after an answer an address is asked again at the earliest.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// The same when it did not answer.
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long somebody waits for an answer at most: it comes for those after them.
const WAITS: Duration = Duration::from_secs(3);
/// Keys that are older than so many times what they are asked for again after are not used before it was asked.
const OLD_FOR_LONG: u32 = 2;

/// Where keys are.
#[derive(Clone)]
pub enum KeysAt {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Url(Document),
}

impl KeysAt {
    /// At an address, which the settings have checked. The error says which file cannot be used.
    pub fn url(url: &str, trust: &Trust, timeout: Duration) -> Result<KeysAt, String> {
        Document::at(url, trust, timeout, DOCUMENT_BYTES_MAX).map(KeysAt::Url)
    }

    /// How many are there now. The error says why there are none, and what to do about it.
    pub fn look(&self) -> Result<usize, String> {
        let keys = match self {
            KeysAt::File(path) => read(path).map(|(_, keys)| keys),
            KeysAt::Url(document) => fetched(document.text()),
        };
        keys.and_then(some).map(|keys| keys.len())
    }
}

/// What tells one content of a file from another.
type Stamp = (u64, u64, u64, i64, i64);

#[derive(Default)]
struct Held {
    keys: Arc<Keys>,
    /// Of the file that they are of.
    stamp: Option<Stamp>,
    /// When they came from the address.
    had: Option<Instant>,
    /// When it was asked last, or its answer came.
    asked: Option<Instant>,
    /// Whether it, or the file, was of no use the last time.
    failed: bool,
}

/// The keys, and where they come from. Clones share them.
#[derive(Clone)]
pub(super) struct Source(Arc<Shared>);

struct Shared {
    at: KeysAt,
    refresh: Duration,
    held: Mutex<Held>,
    /// Whoever asks holds it.
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl Source {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// What is wrong with a file; an address may answer later.
    pub(super) fn open(at: KeysAt, refresh: Duration) -> Result<Source, String> {
        let asking = Arc::default();
        let source = Source(Arc::new(Shared { at, refresh, held: Mutex::default(), asking }));
        match &source.0.at {
            KeysAt::File(path) => {
                let found = read(path).and_then(|(stamp, keys)| Ok((stamp, some(keys)?)));
                let (stamp, keys) = found.map_err(|problem| format!("{}: {problem}", path.display()))?;
                *source.held() = Held { keys: Arc::new(keys), stamp: Some(stamp), ..Held::default() };
            }
            KeysAt::Url(document) => {
                source.take(document.text());
            }
        }
        Ok(source)
    }

    /// As they are now.
    pub(super) fn keys(&self) -> Arc<Keys> {
        if let KeysAt::File(path) = &self.0.at {
            self.look_at(path);
        }
        Arc::clone(&self.held().keys)
    }

    /// Asks the address, if its keys are old or this one is not among them, and it may be asked now.
    pub(super) async fn prepare(&self, kid: Option<&str>, signing: Signing) {
        let KeysAt::Url(document) = &self.0.at else { return };
        let (is_known, is_old, is_old_for_long) = {
            let (held, now) = (self.held(), Instant::now());
            let is_older = |times| held.is_old(self.0.refresh.saturating_mul(times), now);
            (held.keys.knows(kid, signing), is_older(1), is_older(OLD_FOR_LONG) && !held.failed)
        };
        if !is_known || is_old_for_long {
            let lock = Arc::clone(&self.0.asking).lock_owned();
            let Ok(one) = timeout(WAITS, lock).await else { return };
            let is_wanted = |held: &Held, now| !held.keys.knows(kid, signing) || held.is_old(self.0.refresh, now);
            if let Some(answer) = self.ask(one, document, is_wanted) {
                // Whoever waits no longer leaves it to those after them.
                let _ = timeout(WAITS, answer).await;
            }
        } else if is_old && let Ok(one) = Arc::clone(&self.0.asking).try_lock_owned() {
            drop(self.ask(one, document, |held, now| held.is_old(self.0.refresh, now)));
        }
    }

    /// Begins to ask the address, if that is still wanted and it may be asked now; `one` is held until it has answered.
    fn ask(
        &self,
        one: OwnedMutexGuard<()>,
        document: &Document,
        is_wanted: impl Fn(&Held, Instant) -> bool,
    ) -> Option<JoinHandle<()>> {
        {
            let (mut held, now) = (self.held(), Instant::now());
            if !is_wanted(&held, now) || !held.may_ask(self.0.refresh, now) {
                return None;
            }
            held.asked = Some(now);
        }
        let (source, document) = (self.clone(), document.clone());
        Some(tokio::spawn(async move {
            let text = tokio::task::spawn_blocking(move || document.text()).await;
            source.take(text.unwrap_or_else(|_| Err("it was not asked".to_owned())));
            drop(one);
        }))
    }

    /// Takes over what the address answered.
    fn take(&self, text: Result<String, String>) {
        let keys = fetched(text);
        let mut held = self.held();
        // From its answer on, not from the question: one that never answers is left alone meanwhile.
        held.asked = Some(Instant::now());
        match keys {
            Ok(keys) => {
                if keys.len() == 0 && (held.keys.len() > 0 || held.had.is_none()) {
                    tracing::warn!("oidc.jwks_url has no key any more: nobody is let in by a signed token");
                } else if held.failed || held.had.is_none() {
                    tracing::info!(keys = keys.len(), "the keys of oidc.jwks_url are there");
                }
                held.keys = Arc::new(keys);
                held.had = Some(Instant::now());
                held.failed = false;
            }
            Err(problem) => {
                if !held.failed {
                    let hold = match held.keys.len() {
                        0 => "nobody is let in by a signed token meanwhile".to_owned(),
                        keys => format!("the {keys} keys that were had hold"),
                    };
                    tracing::warn!("oidc.jwks_url is of no use now: {problem}; {hold}");
                }
                held.failed = true;
            }
        }
    }

    fn look_at(&self, path: &Path) {
        let stamp = std::fs::metadata(path).ok().map(|found| stamp(&found));
        let mut held = self.held();
        if held.stamp == stamp && stamp.is_some() {
            return;
        }
        match read(path) {
            Ok((stamp, keys)) => {
                match keys.len() {
                    0 => tracing::warn!("oidc.jwks_file has no key any more: nobody is let in by a signed token"),
                    keys => tracing::info!(keys, "the keys of oidc.jwks_file are read"),
                }
                *held = Held { keys: Arc::new(keys), stamp: Some(stamp), ..Held::default() };
            }
            Err(problem) => {
                if !held.failed {
                    tracing::warn!("oidc.jwks_file is of no use now: {problem}; the keys that were had hold");
                }
                held.failed = true;
                held.stamp = stamp;
            }
        }
    }

    /// As if so much time had passed since the address was asked.
    #[cfg(test)]
    pub(super) fn age(&self, by: Duration) {
        let mut held = self.held();
        held.had = held.had.and_then(|had| had.checked_sub(by));
        held.asked = held.asked.and_then(|asked| asked.checked_sub(by));
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn is_old(&self, refresh: Duration, now: Instant) -> bool {
        self.had.is_none_or(|had| now.saturating_duration_since(had) >= refresh)
    }

    fn may_ask(&self, refresh: Duration, now: Instant) -> bool {
        let after = if self.failed { AGAIN_AFTER_FAILURE } else { AGAIN_AFTER.min(refresh) };
        self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= after)
    }
}

fn stamp(found: &std::fs::Metadata) -> Stamp {
    (found.dev(), found.ino(), found.len(), found.mtime(), found.mtime_nsec())
}

/// The keys that an address answered.
fn fetched(text: Result<String, String>) -> Result<Keys, String> {
    text.and_then(|text| Keys::parse(&text).map_err(str::to_owned))
}

/// Where there are none yet, that is a mistake; later, they have been withdrawn.
fn some(keys: Keys) -> Result<Keys, String> {
    match keys.len() {
        0 => Err("it has no public key that signatures can be checked with".to_owned()),
        _ => Ok(keys),
    }
}

fn read(path: &Path) -> Result<(Stamp, Keys), String> {
    let found = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if found.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("it is larger than {DOCUMENT_BYTES_MAX} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok((stamp(&found), Keys::parse(&text)?))
}
