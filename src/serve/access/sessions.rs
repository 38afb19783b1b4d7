//! A token that was shown once in; a session that stands for it out: 256 random bits for a browser's cookie, of which only the hash is
//! kept, in memory.
//!
//! A session may do what its token may, and ends with it; one of a signed token when that one does, or when its issuer has the key that
//! signed it no longer. It also ends when nobody used it for [`IDLE_MAX`], when it is as old as [`LIFETIME`], when its owner says so,
//! and when the hub ends. There are at most [`SESSIONS_MAX`], of one token [`OF_TOKEN_MAX`]:
//! the one that was used longest ago gives way.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::oidc::Signed;

/// Nobody used it for so long: somebody else may sit there now.
pub const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// The longest working day.
pub const LIFETIME: Duration = Duration::from_secs(12 * 3_600);
/// Sessions at a time.
const SESSIONS_MAX: usize = 2_000;
/// Of one token: it cannot push out those of others.
const OF_TOKEN_MAX: usize = 50;
/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

type Hash = [u8; 32];

/// What a session stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The token of this id.
    Token(String),
    /// Whoever showed a signed token, until it ends.
    Signed(Signed),
}

impl Holder {
    fn id(&self) -> &str {
        match self {
            Holder::Token(id) => id,
            Holder::Signed(signed) => &signed.caller.id,
        }
    }
}

#[derive(Clone, Debug)]
struct Session {
    holder: Holder,
    begun: Instant,
    used: Instant,
}

/// The sessions of browsers.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<BTreeMap<Hash, Session>>);

impl Sessions {
    /// Begins one, and returns its secret.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn begin(&self, holder: Holder, now: Instant) -> Result<String, getrandom::Error> {
        let secret = secret()?;
        let mut held = self.held();
        held.retain(|_, session| is_alive(session, now));
        while held.values().filter(|session| session.holder.id() == holder.id()).count() >= OF_TOKEN_MAX {
            remove_oldest(&mut held, |session| session.holder.id() == holder.id());
        }
        while held.len() >= SESSIONS_MAX {
            remove_oldest(&mut held, |_| true);
        }
        held.insert(hash(&secret), Session { holder, begun: now, used: now });
        Ok(secret)
    }

    /// What a session stands for. `is_used`: whether somebody uses it, rather than a page by itself.
    pub(super) fn holder(&self, secret: &str, is_used: bool, now: Instant) -> Option<Holder> {
        let hash = hash(secret);
        let mut held = self.held();
        let session = held.get_mut(&hash)?;
        if !is_alive(session, now) {
            held.remove(&hash);
            return None;
        }
        if is_used {
            session.used = now;
        }
        Some(session.holder.clone())
    }

    /// Ends one.
    pub(super) fn end(&self, secret: &str) {
        self.held().remove(&hash(secret));
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Hash, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 random bits as text.
///
/// # Errors
/// If the system has no random numbers.
pub fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Found by its hash, so that how long a look takes says nothing of the secret.
fn hash(secret: &str) -> Hash {
    Sha256::digest(secret).into()
}

fn is_alive(session: &Session, now: Instant) -> bool {
    now.saturating_duration_since(session.begun) < LIFETIME && now.saturating_duration_since(session.used) < IDLE_MAX
}

fn remove_oldest(held: &mut BTreeMap<Hash, Session>, among: impl Fn(&Session) -> bool) {
    let oldest = held.iter().filter(|(_, session)| among(session)).min_by_key(|(_, session)| session.used);
    if let Some(hash) = oldest.map(|(hash, _)| *hash) {
        held.remove(&hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(sessions: &Sessions, token: &str, now: Instant) -> String {
        sessions.begin(Holder::Token(token.to_owned()), now).expect("random numbers")
    }

    fn token(sessions: &Sessions, secret: &str, is_used: bool, now: Instant) -> Option<String> {
        sessions.holder(secret, is_used, now).map(|holder| holder.id().to_owned())
    }

    #[test]
    fn a_session_lasts_while_it_is_used_and_no_longer_than_a_day_of_work() {
        let (sessions, begun) = (Sessions::default(), Instant::now());
        let secret = begin(&sessions, "one", begun);
        assert_eq!(secret.len(), 43);
        let mut now = begun;
        while now + IDLE_MAX / 2 < begun + LIFETIME {
            now += IDLE_MAX / 2;
            assert_eq!(token(&sessions, &secret, true, now).as_deref(), Some("one"));
        }
        assert_eq!(token(&sessions, &secret, true, begun + LIFETIME), None, "it is as old as it may be");
        assert_eq!(token(&sessions, &secret, true, now), None, "and stays ended");
    }

    #[test]
    fn what_a_page_asks_by_itself_is_no_use_of_a_session() {
        let (sessions, begun) = (Sessions::default(), Instant::now());
        let secret = begin(&sessions, "one", begun);
        assert!(token(&sessions, &secret, false, begun + IDLE_MAX - Duration::from_secs(1)).is_some());
        assert_eq!(token(&sessions, &secret, false, begun + IDLE_MAX), None);
    }

    #[test]
    fn a_session_ends_and_is_found_by_nothing_but_its_secret() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let secret = begin(&sessions, "one", now);
        let other = begin(&sessions, "two", now);
        assert_ne!(secret, other);
        for wrong in ["", "one", &secret[1..], &format!("{secret}="), &secret.to_ascii_uppercase()] {
            assert_eq!(token(&sessions, wrong, true, now), None, "{wrong}");
        }
        sessions.end(&secret);
        assert_eq!(token(&sessions, &secret, true, now), None);
        assert_eq!(token(&sessions, &other, true, now).as_deref(), Some("two"));
    }

    #[test]
    fn sessions_are_bounded_and_one_token_pushes_out_its_own() {
        let (sessions, begun) = (Sessions::default(), Instant::now());
        let other = begin(&sessions, "other", begun);
        let at = |number: usize| begun + Duration::from_millis(number as u64);
        let secrets: Vec<String> = (0..OF_TOKEN_MAX + 2).map(|number| begin(&sessions, "one", at(number))).collect();
        let alive = secrets.iter().filter(|secret| token(&sessions, secret, true, begun).is_some()).count();
        assert_eq!(alive, OF_TOKEN_MAX);
        assert!(
            token(&sessions, &secrets[0], true, begun).is_none() && token(&sessions, &other, true, begun).is_some()
        );
        for number in 0..SESSIONS_MAX {
            begin(&sessions, &format!("token {number}"), at(1_000 + number));
        }
        assert_eq!(sessions.held().len(), SESSIONS_MAX);
    }
}
