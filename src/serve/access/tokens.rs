//! Bearer tokens: 256 random bits for whoever asks with them, their SHA-256 in a file for whoever checks.
//!
//! The hash needs no salt and no slow function: nobody guesses 256 bits. A token is found by its id, which is no secret, and its
//! hash compared in constant time. The file is replaced as a whole and looked at for each request, so that what is revoked ends
//! with the next one. A token that was revoked stays in the file without its hash: who it was in `insight.audit` stays known.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Role;

/// What every token begins with, so that scanners for leaked secrets know one.
pub const TOKEN_PREFIX: &str = "ihub_";
/// Bytes of an id.
const ID_BYTES: usize = 8;
/// Bytes of a secret.
const SECRET_BYTES: usize = 32;
/// How long the first token may take from the file beside it to its own.
const FIRST_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The file of tokens cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The system's reason.
    #[error("the file of tokens, {path}, cannot be used: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was not written by this program, or by a later one.
    #[error("the file of tokens, {path}, is none that this version knows: {source}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The system has no random numbers.
    #[error("no token can be made: {0}")]
    Random(getrandom::Error),
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its id: part of the token, and what the audit calls whoever uses it.
    pub id: String,
    /// What it is for, as its maker said.
    pub name: String,
    /// What it allows.
    pub roles: BTreeSet<Role>,
    /// When it was made, in milliseconds since 1970-01-01T00:00:00Z.
    pub created_ms: i64,
    /// When it ends; `None`: when it is revoked.
    pub expires_ms: Option<i64>,
    /// SHA-256 of its secret, in hexadecimal digits; empty once it is revoked.
    pub hash: String,
}

impl Token {
    /// Whether it is good for nothing any more, whatever the time.
    pub fn is_revoked(&self) -> bool {
        self.hash.is_empty()
    }
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// What the file keeps.
    pub token: Token,
    /// The token itself, which nobody can find again.
    pub secret: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    tokens: Vec<Token>,
}

/// The file, for whoever makes and revokes tokens.
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// In this place, whether it is there or not.
    pub fn new(path: PathBuf) -> TokenFile {
        TokenFile { path }
    }

    /// The file beside it, which is there since the first token was made.
    pub fn lock_path(&self) -> PathBuf {
        self.path.with_extension("lock")
    }

    /// Whether tokens were made here once, whatever became of them.
    pub fn were_made(&self) -> bool {
        self.lock_path().exists()
    }

    /// The tokens as a hub finds them at its start, and whether some were made here once. Whoever makes the first one has made the file
    /// beside it before the token is there: that is waited for, for [`FIRST_WITHIN`].
    ///
    /// # Errors
    /// [`TokenError`] if it cannot be read.
    pub fn found(&self) -> Result<(Vec<Token>, bool), TokenError> {
        self.found_within(FIRST_WITHIN)
    }

    pub(super) fn found_within(&self, within: Duration) -> Result<(Vec<Token>, bool), TokenError> {
        let begun = Instant::now();
        loop {
            // In this order: a token that is made in between is one.
            let were_made = self.were_made();
            let tokens = self.list()?;
            if !were_made || !tokens.is_empty() || begun.elapsed() >= within {
                return Ok((tokens, were_made));
            }
            std::thread::sleep(LOOK_AGAIN_AFTER);
        }
    }

    /// Every token, in the order in which they were made.
    ///
    /// # Errors
    /// [`TokenError`] if it cannot be read.
    pub fn list(&self) -> Result<Vec<Token>, TokenError> {
        Ok(read(&self.path)?.tokens)
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`TokenError`] if it cannot be written.
    pub fn create(
        &self,
        name: &str,
        roles: &BTreeSet<Role>,
        expires_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<NewToken, TokenError> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut secret)).map_err(TokenError::Random)?;
        let token = Token {
            id: hexadecimal(&id),
            name: name.to_owned(),
            roles: roles.clone(),
            created_ms: now_ms,
            expires_ms,
            hash: hexadecimal(&Sha256::digest(secret)),
        };
        self.change(|tokens| tokens.push(token.clone()))?;
        let secret = format!("{TOKEN_PREFIX}{}_{}", token.id, URL_SAFE_NO_PAD.encode(secret));
        Ok(NewToken { token, secret })
    }

    /// Ends a token. Whether there was one to end.
    ///
    /// # Errors
    /// [`TokenError`] if it cannot be written.
    pub fn revoke(&self, id: &str) -> Result<bool, TokenError> {
        self.change(|tokens| {
            let found = tokens.iter_mut().find(|token| token.id == id && !token.is_revoked());
            found.map(|token| token.hash.clear()).is_some()
        })
    }

    /// Changes the file as a whole, one at a time: whoever reads it finds what was there before or what is there after.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Token>) -> T) -> Result<T, TokenError> {
        let failed = |source| TokenError::File { path: self.path.clone(), source };
        let create = |path: &Path| OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        let lock = create(&self.lock_path()).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut content = read(&self.path)?;
        let changed = change(&mut content.tokens);
        let text = serde_json::to_vec_pretty(&content).expect("texts and numbers can be written");
        let aside = self.path.with_extension("new");
        let write = || {
            let mut file = create(&aside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&aside, &self.path)?;
            self.path.parent().filter(|it| !it.as_os_str().is_empty()).map_or(Ok(()), |it| File::open(it)?.sync_all())
        };
        write().map_err(failed)?;
        Ok(changed)
    }
}

fn read(path: &Path) -> Result<Content, TokenError> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|source| TokenError::Content { path: path.into(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Content::default()),
        Err(source) => Err(TokenError::File { path: path.into(), source }),
    }
}

/// What tells one content of the file from another: it is never changed in place.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The tokens as they are now.
pub struct Tokens {
    path: PathBuf,
    known: Mutex<Option<(Stamp, Arc<Vec<Token>>)>>,
}

impl Tokens {
    /// Of a file, whether it is there or not.
    pub fn new(path: PathBuf) -> Tokens {
        Tokens { path, known: Mutex::new(None) }
    }

    /// As they are in the file now.
    ///
    /// # Errors
    /// [`TokenError`] if it cannot be read.
    pub fn now(&self) -> Result<Arc<Vec<Token>>, TokenError> {
        let stamp = match std::fs::metadata(&self.path) {
            Ok(found) => Some((found.dev(), found.ino(), found.mtime(), found.mtime_nsec())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(TokenError::File { path: self.path.clone(), source }),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known_stamp, tokens)) = &*known
            && *known_stamp == stamp
        {
            return Ok(Arc::clone(tokens));
        }
        // What is written between the look at it and this is found by the next look.
        let tokens = Arc::new(read(&self.path)?.tokens);
        *known = Some((stamp, Arc::clone(&tokens)));
        Ok(tokens)
    }
}

/// The token whose secret this is.
pub(super) fn find<'a>(tokens: &'a [Token], credential: &str, now_ms: i64) -> Option<&'a Token> {
    let (id, secret) = credential.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    let secret = URL_SAFE_NO_PAD.decode(secret).ok().filter(|secret| secret.len() == SECRET_BYTES)?;
    let hash = hexadecimal(&Sha256::digest(&secret));
    let token = tokens.iter().find(|token| token.id == id)?;
    let is_it = bool::from(hash.as_bytes().ct_eq(token.hash.as_bytes()));
    (is_it && token.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)).then_some(token)
}

/// The token of an id, if it is good for anything now.
pub(super) fn alive<'a>(tokens: &'a [Token], id: &str, now_ms: i64) -> Option<&'a Token> {
    let token = tokens.iter().find(|token| token.id == id && !token.is_revoked())?;
    token.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms).then_some(token)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
