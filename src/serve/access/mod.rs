//! A request's credential in; who asks and what they may out.
//!
//! - [`Role`]: what somebody may do. [`Caller`]: who asks. [`Access`]: which of both a request is.
//! - `tokens`: bearer tokens, kept as hashes in a file. [`oidc`]: signed tokens of the company's own login. `sessions`: what stands for a token in a browser. `rate`: how much each may ask.
//!   `places`: how much each may keep open.
//!
//! Without any token the API is for this machine only, and shows no personal data: [`Access::check`]. Where tokens were made once,
//! or signed ones are taken, it is never that again.

pub mod oidc;
mod places;
mod rate;
mod sessions;
mod tokens;

use std::{
    collections::BTreeSet,
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use serde::{Deserialize, Serialize};

use self::{
    oidc::{Issuer, Untaken},
    sessions::Holder,
};

pub use places::{Place, Places};
pub use rate::Rate;
pub use sessions::{LIFETIME as SESSION_LIFETIME, secret};
pub use tokens::{NewToken, TOKEN_PREFIX, Token, TokenError, TokenFile, Tokens};

/// What somebody may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Role {
    /// Read what is about the company and not about persons.
    ReadMetrics,
    /// Read personal data.
    ReadCustomers,
    /// Decide who is one person.
    Review,
    /// Erase persons, and read everything that is kept of one.
    Erase,
    /// Send touchpoints of one department.
    Ingest(String),
    /// See how the hub does.
    Operate,
}

impl Role {
    /// The roles that are not a department's.
    pub const PLAIN: [Role; 5] = [Role::ReadMetrics, Role::ReadCustomers, Role::Review, Role::Erase, Role::Operate];

    /// The role of a word; `None`: there is none.
    pub fn parse(word: &str) -> Option<Role> {
        if let Some(spoke) = word.strip_prefix("ingest:") {
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            return (!spoke.is_empty() && spoke.len() <= 64 && spoke.chars().all(is_name))
                .then(|| Role::Ingest(spoke.to_owned()));
        }
        Role::PLAIN.into_iter().find(|role| role.to_string() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Role::ReadMetrics => "read:metrics",
            Role::ReadCustomers => "read:customers",
            Role::Review => "review",
            Role::Erase => "erase",
            Role::Ingest(spoke) => return write!(formatter, "ingest:{spoke}"),
            Role::Operate => "operate",
        })
    }
}

impl From<Role> for String {
    fn from(role: Role) -> String {
        role.to_string()
    }
}

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(word: String) -> Result<Role, String> {
        Role::parse(&word).ok_or_else(|| format!("there is no role {word:?}"))
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The id of the token, or of whom a signed one is of; `anonymous` without one.
    pub id: String,
    /// What they may do.
    pub roles: BTreeSet<Role>,
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no credential, and one is needed.
    Missing,
    /// There is one, and it is none of ours, or not any more.
    Invalid,
    /// There is one that nobody can check yet.
    Unready,
}

/// Says who asks.
pub struct Access {
    tokens: Tokens,
    /// Whether this machine may ask without a credential: never again once a token was seen, also if the file goes.
    is_open: AtomicBool,
    sessions: sessions::Sessions,
    issuer: Option<Arc<Issuer>>,
    now_ms: fn() -> i64,
}

impl Access {
    /// By the tokens of a file. `inside`: whether nobody but this machine can ask. `now_ms`: the clock, in milliseconds since 1970.
    pub fn new(tokens_file: PathBuf, inside: bool, now_ms: fn() -> i64) -> Access {
        Access {
            tokens: Tokens::new(tokens_file),
            is_open: AtomicBool::new(inside),
            sessions: sessions::Sessions::default(),
            issuer: None,
            now_ms,
        }
    }

    /// By signed tokens of an issuer too: then nobody is let in without a credential.
    pub fn with(mut self, issuer: Arc<Issuer>) -> Access {
        self.is_open = AtomicBool::new(false);
        self.issuer = Some(issuer);
        self
    }

    /// Whether this machine may ask without a credential, as far as was seen with the last request.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Whether signed tokens of an issuer are taken.
    pub fn takes_signed(&self) -> bool {
        self.issuer.is_some()
    }

    /// Sees to it that a signed token can be checked, if these are the headers of one: its key may have to be asked for.
    pub async fn prepare(&self, authorization: &[&[u8]]) {
        if let [value] = authorization
            && let Some(credential) = bearer(value)
        {
            self.prepare_for(credential).await;
        }
    }

    /// The same of what was sent as a token.
    pub async fn prepare_for(&self, credential: &str) {
        if let Some(issuer) = self.issuer_of(credential) {
            issuer.prepare(credential).await;
        }
    }

    /// The same of whoever has a session: the key of the token that it stands for may have been withdrawn.
    pub async fn prepare_session(&self, secret: &str) {
        if let Some(Holder::Signed(signed)) = self.sessions.holder(secret, false, Instant::now())
            && let Some(issuer) = &self.issuer
        {
            issuer.prepare_again(&signed).await;
        }
    }

    /// Who may have signed it.
    fn issuer_of(&self, credential: &str) -> Option<&Issuer> {
        self.issuer.as_deref().filter(|_| !credential.starts_with(TOKEN_PREFIX))
    }

    /// Who sends these headers. `authorization`: the values of that header; `host`: the value of that one.
    ///
    /// Without a credential, and only as long as no token was ever made, that is anybody on this machine, with
    /// [`Role::ReadMetrics`] alone. The API then listens on this machine only; a page that makes its name point here still says its
    /// own name in `host`, and is refused.
    ///
    /// # Errors
    /// Why it is nobody; [`TokenError`] if the file cannot be read.
    pub fn check(&self, authorization: &[&[u8]], host: Option<&str>) -> Result<Result<Caller, Refusal>, TokenError> {
        let tokens = self.tokens.now()?;
        if !tokens.is_empty() {
            self.is_open.store(false, Ordering::Relaxed);
        }
        let is_open = self.is_open.load(Ordering::Relaxed);
        let value = match authorization {
            [] if !is_open || !host.is_some_and(is_this_machine) => return Ok(Err(Refusal::Missing)),
            [] => {
                let roles = BTreeSet::from([Role::ReadMetrics]);
                return Ok(Ok(Caller { id: "anonymous".to_owned(), roles }));
            }
            [value] => value,
            _ => return Ok(Err(Refusal::Invalid)),
        };
        let Some(credential) = bearer(value) else { return Ok(Err(Refusal::Invalid)) };
        if let Some(issuer) = self.issuer_of(credential) {
            let signed = issuer.verify(credential, (self.now_ms)());
            return Ok(signed.map(|signed| signed.caller).map_err(Refusal::from));
        }
        let token = tokens::find(&tokens, credential, (self.now_ms)());
        Ok(token.map(caller).ok_or(Refusal::Invalid))
    }

    /// Begins a session for whoever shows a token; its secret, or why there is none.
    ///
    /// # Errors
    /// [`TokenError`] if the file cannot be read, or there are no random numbers.
    pub fn log_in(&self, token: &str) -> Result<Result<String, Refusal>, TokenError> {
        let (token, now_ms) = (token.trim(), (self.now_ms)());
        let holder = match self.issuer_of(token) {
            Some(issuer) => issuer.verify(token, now_ms).map(Holder::Signed).map_err(Refusal::from),
            None => tokens::find(&self.tokens.now()?, token, now_ms)
                .map(|token| Holder::Token(token.id.clone()))
                .ok_or(Refusal::Invalid),
        };
        match holder {
            Ok(holder) => self.sessions.begin(holder, Instant::now()).map(Ok).map_err(TokenError::Random),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Who has a session: what its token may do now. `is_used`: whether somebody uses it, rather than a page by itself.
    ///
    /// # Errors
    /// [`TokenError`] if the file cannot be read.
    pub fn of_session(&self, secret: &str, is_used: bool) -> Result<Option<Caller>, TokenError> {
        let Some(holder) = self.sessions.holder(secret, is_used, Instant::now()) else { return Ok(None) };
        let now_ms = (self.now_ms)();
        let caller = match holder {
            Holder::Token(id) => tokens::alive(&self.tokens.now()?, &id, now_ms).map(caller),
            Holder::Signed(signed) => {
                let is_taken = self.issuer.as_deref().is_some_and(|issuer| issuer.still_takes(&signed, now_ms));
                is_taken.then_some(signed.caller)
            }
        };
        if caller.is_none() {
            self.sessions.end(secret);
        }
        Ok(caller)
    }

    /// Ends a session.
    pub fn log_out(&self, secret: &str) {
        self.sessions.end(secret);
    }
}

impl From<Untaken> for Refusal {
    fn from(untaken: Untaken) -> Refusal {
        match untaken {
            Untaken::Invalid => Refusal::Invalid,
            Untaken::NoKeys => Refusal::Unready,
        }
    }
}

fn caller(token: &Token) -> Caller {
    Caller { id: token.id.clone(), roles: token.roles.clone() }
}

/// The credential of `Bearer CREDENTIAL` (RFC 6750, section 2.1).
fn bearer(value: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(value).ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !credential.contains(' ')).then_some(credential)
}

/// Whether a host is a name of this machine that nobody else can take.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_what_its_word_says() {
        for role in Role::PLAIN.into_iter().chain([Role::Ingest("sales-eu".to_owned())]) {
            assert_eq!(Role::parse(&role.to_string()), Some(role));
        }
        for wrong in ["", "read", "READ:METRICS", "ingest:", "ingest:a b", "ingest:a\n", "read:metrics "] {
            assert_eq!(Role::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn without_tokens_this_machine_may_read_metrics_and_nobody_else_anything() {
        let directory = tempfile::tempdir().expect("a directory");
        let access = Access::new(directory.path().join("tokens.json"), true, || 0);
        for host in ["localhost", "127.0.0.1:9700", "[::1]:9700", "[::1]"] {
            let caller = access.check(&[], Some(host)).expect("readable").expect("this machine");
            assert_eq!(caller.roles, BTreeSet::from([Role::ReadMetrics]));
        }
        for host in [None, Some("evil.example"), Some("evil.example:9700"), Some("localhost.evil.example"), Some("")] {
            assert_eq!(access.check(&[], host).expect("readable"), Err(Refusal::Missing), "{host:?}");
        }
        assert_eq!(access.check(&[b"Bearer x"], Some("localhost")).expect("readable"), Err(Refusal::Invalid));
    }

    #[test]
    fn a_token_is_taken_as_it_was_given_and_in_no_other_way() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = TokenFile::new(directory.path().join("tokens.json"));
        let roles = BTreeSet::from([Role::ReadCustomers]);
        let made = file.create("analyst", &roles, Some(1_000), 0).expect("written");
        let other = file.create("other", &roles, None, 0).expect("written");
        let path = directory.path().join("tokens.json");
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(!text.contains(&made.secret[TOKEN_PREFIX.len() + 17..]), "the file has no secret");
        let access = Access::new(path.clone(), true, || 999);
        let check = |value: &str| access.check(&[value.as_bytes()], Some("localhost")).expect("readable");
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let caller = check(&format!("{scheme} {}", made.secret)).expect("its roles");
            assert_eq!((caller.id, caller.roles), (made.token.id.clone(), roles.clone()));
        }
        let secret = &made.secret;
        let (begin, end) = secret.split_at(secret.len() - 43);
        let swapped = format!("{begin}{}", &other.secret[other.secret.len() - 43..]);
        let upper = secret.to_ascii_uppercase();
        let shorter = &secret[..secret.len() - 1];
        let wrong = [
            String::new(),
            "Bearer".into(),
            "Bearer ".into(),
            format!("Bearer  {secret}"),
            format!("Bearer {secret} "),
            format!("Basic {secret}"),
            secret.clone(),
            format!("Bearer {shorter}"),
            format!("Bearer {secret}A"),
            format!("Bearer {secret}="),
            format!("Bearer {upper}"),
            format!("Bearer {swapped}"),
            format!("Bearer {end}"),
            format!("Bearer {begin}"),
            format!("Bearer {}", made.token.id),
            format!("Bearer {}", made.token.hash),
        ];
        for value in wrong {
            assert_eq!(check(&value), Err(Refusal::Invalid), "{value:?}");
        }
        let both = [format!("Bearer {secret}"), format!("Bearer {secret}")];
        let both: Vec<&[u8]> = both.iter().map(String::as_bytes).collect();
        assert_eq!(access.check(&both, None).expect("readable"), Err(Refusal::Invalid), "two credentials");
        assert_eq!(access.check(&[], Some("localhost")).expect("readable"), Err(Refusal::Missing));
        let late = Access::new(path, true, || 1_000);
        let value = format!("Bearer {secret}");
        assert_eq!(late.check(&[value.as_bytes()], None).expect("readable"), Err(Refusal::Invalid), "it expired");
    }

    #[test]
    fn a_token_that_was_revoked_is_refused_from_then_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = TokenFile::new(directory.path().join("tokens.json"));
        let made = file.create("analyst", &BTreeSet::from([Role::ReadMetrics]), None, 0).expect("written");
        let access = Access::new(directory.path().join("tokens.json"), true, || 0);
        let value = format!("Bearer {}", made.secret);
        let check = || access.check(&[value.as_bytes()], None).expect("readable");
        assert!(check().is_ok());
        assert!(file.revoke(&made.token.id).expect("written"));
        assert_eq!(check(), Err(Refusal::Invalid));
        assert!(!file.revoke(&made.token.id).expect("written"), "once");
        // Tokens were made once: it does not become open to this machine again.
        assert_eq!(access.check(&[], Some("localhost")).expect("readable"), Err(Refusal::Missing));
    }

    #[test]
    fn a_hub_that_starts_beside_the_first_token_finds_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = TokenFile::new(directory.path().join("tokens.json"));
        assert_eq!(file.found().expect("readable"), (Vec::new(), false));
        // Whoever makes it has come so far.
        std::fs::write(file.lock_path(), "").expect("written");
        let making = {
            let file = file.clone();
            std::thread::spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(100));
                file.create("first", &BTreeSet::from([Role::Operate]), None, 0).expect("written").token
            })
        };
        // As long as it takes: on a busy machine the other thread has its turn late.
        let found = file.found_within(std::time::Duration::from_secs(60)).expect("readable");
        assert_eq!(found, (vec![making.join().expect("it does not panic")], true));
        std::fs::remove_file(directory.path().join("tokens.json")).expect("removed");
        assert_eq!(file.found().expect("readable"), (Vec::new(), true), "gone is gone");
    }

    #[test]
    fn a_session_may_do_what_its_token_may_and_ends_with_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tokens.json");
        let file = TokenFile::new(path.clone());
        let roles = BTreeSet::from([Role::ReadCustomers, Role::Operate]);
        let made = file.create("analyst", &roles, None, 0).expect("written");
        let access = Access::new(path, true, || 999);
        assert_eq!(access.log_in("").expect("readable"), Err(Refusal::Invalid));
        assert_eq!(access.log_in(&made.token.id).expect("readable"), Err(Refusal::Invalid));
        let session = access.log_in(&format!(" {} ", made.secret)).expect("readable").expect("a session");
        assert!(!session.contains(&made.secret) && session != made.secret);
        let caller = access.of_session(&session, true).expect("readable").expect("its token's roles");
        assert_eq!((caller.id, caller.roles), (made.token.id.clone(), roles));
        assert_eq!(access.of_session(&made.secret, true).expect("readable"), None, "a token is no session");
        let other = access.log_in(&made.secret).expect("readable").expect("another one");
        access.log_out(&other);
        assert_eq!(access.of_session(&other, true).expect("readable"), None);
        assert!(file.revoke(&made.token.id).expect("written"));
        assert_eq!(access.of_session(&session, true).expect("readable"), None);
        assert_eq!(access.log_in(&made.secret).expect("readable"), Err(Refusal::Invalid));
    }
}
