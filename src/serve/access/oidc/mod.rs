//! A signed token (JWT, RFC 7519) of the company's own login in; who it says asks, what they may here and until when out.
//!
//! ```text
//!  token → short enough? → three parts of base64url → header: one algorithm of those configured, nothing that leads elsewhere
//!        → key of the issuer (`source`: file or address; `keys`) → signature → claims: iss, aud, exp, nbf, iat, sub → groups → roles
//! ```
//!
//! Signatures are checked by the library that TLS has. What must be in a token is checked here, by the hub's own clock, and stricter than
//! libraries for such tokens do it: they take a name that is there twice. Nothing of a token is in an error or in the log. `strict`: JSON without a name twice.

mod keys;
mod source;
mod strict;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use self::{
    keys::{KID_BYTES_MAX, Thumb},
    source::Source,
};
use super::{Caller, Role};

pub use source::KeysAt;

/// The longest token that is looked at: some hundred groups.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// The longest name of somebody (OpenID Connect Core, section 2).
const SUBJECT_BYTES_MAX: usize = 255;
/// What a header must not have: keys and addresses of keys that come with a token are its maker's, the rest changes what is signed.
const REFUSED: [&str; 9] = ["crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "cty"];
/// Seconds that a double has exactly, and beyond any calendar.
const SECONDS_MAX: f64 = 9e12;

/// How a token may be signed (RFC 7518, section 3.1; RFC 8037, section 3.1): with a key pair. A secret that both sides have is for
/// nobody, and `none` is nothing: neither can be said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// RSA as of PKCS #1 1.5, with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSA as of PSS, with SHA-256.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
    /// The curve P-256, with SHA-256.
    Es256,
    /// The curve P-384, with SHA-384.
    Es384,
    /// The curve Ed25519.
    EdDsa,
}

impl Signing {
    /// The algorithms, by their words.
    const ALL: [(&'static str, Signing); 9] = [
        ("RS256", Signing::Rs256),
        ("RS384", Signing::Rs384),
        ("RS512", Signing::Rs512),
        ("PS256", Signing::Ps256),
        ("PS384", Signing::Ps384),
        ("PS512", Signing::Ps512),
        ("ES256", Signing::Es256),
        ("ES384", Signing::Es384),
        ("EdDSA", Signing::EdDsa),
    ];

    /// The algorithm of a word; `None`: there is none.
    pub fn parse(word: &str) -> Option<Signing> {
        Signing::ALL.into_iter().find(|(own, _)| *own == word).map(|(_, signing)| signing)
    }

    /// Every word.
    pub fn words() -> String {
        Signing::ALL.map(|(word, _)| word).join(", ")
    }
}

/// Whose tokens are taken, and what they allow.
#[derive(Clone)]
pub struct OidcOptions {
    /// What `iss` is.
    pub issuer: String,
    /// What `aud` is, or has.
    pub audience: String,
    /// Where the issuer's keys are.
    pub keys: KeysAt,
    /// How a token may be signed.
    pub signings: Vec<Signing>,
    /// What `typ` is, without `application/`; `None`: nothing, `JWT` or `at+jwt`.
    pub typ: Option<String>,
    /// Where the groups are: a claim's name, or a JSON pointer if it begins with `/`.
    pub roles_claim: String,
    /// What each group may.
    pub roles: BTreeMap<String, BTreeSet<Role>>,
    /// How far the issuer's clock may be from this one.
    pub leeway: Duration,
    /// Whether a token without `nbf` is refused.
    pub needs_nbf: bool,
    /// How old keys of an address may be before they are asked for again.
    pub refresh: Duration,
}

impl OidcOptions {
    /// What each group may, of `GROUP=ROLE` pairs separated by commas. The error says what is wrong.
    pub fn parse_roles(pairs: &str) -> Result<BTreeMap<String, BTreeSet<Role>>, String> {
        let mut roles: BTreeMap<String, BTreeSet<Role>> = BTreeMap::new();
        for pair in pairs.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (group, role) = pair.rsplit_once('=').ok_or_else(|| format!("{pair:?} is not GROUP=ROLE"))?;
            let (group, role) = (group.trim(), role.trim());
            if group.is_empty() {
                return Err(format!("{pair:?} names no group"));
            }
            let role = Role::parse(role).ok_or_else(|| format!("there is no role {role:?}"))?;
            roles.entry(group.to_owned()).or_default().insert(role);
        }
        if roles.is_empty() { Err("no group may do anything".to_owned()) } else { Ok(roles) }
    }

    /// The algorithms of words separated by commas. The error says what is wrong.
    pub fn parse_signings(words: &str) -> Result<Vec<Signing>, String> {
        let words: Vec<&str> = words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Err(format!("names no algorithm; name one or several of {}", Signing::words()));
        }
        let parse = |word: &&str| {
            Signing::parse(word).ok_or_else(|| {
                format!(
                    "{word:?} is no algorithm with a key pair that is known; name one or several of {}",
                    Signing::words()
                )
            })
        };
        words.iter().map(parse).collect()
    }
}

/// Who a token says asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) caller: Caller,
    /// When it ends, in milliseconds since 1970, without leeway.
    pub(super) ends_ms: i64,
    /// What signed it.
    by: SignedBy,
}

/// The key that signed a token, as the token says and as it was found: what is shown once is not kept, and yet must not outlive it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SignedBy {
    kid: Option<String>,
    signing: Signing,
    key: Thumb,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untaken {
    /// It is none, or not for here and now.
    Invalid,
    /// There are no keys to check it with yet.
    NoKeys,
}

/// The issuer of tokens that are taken.
pub struct Issuer {
    options: OidcOptions,
    source: Source,
}

/// The parts of a token, of which nothing but the form was looked at.
struct Parts<'t> {
    kid: Option<String>,
    signing: Signing,
    /// What is signed.
    message: &'t str,
    claims: Map<String, Value>,
    signature: Vec<u8>,
}

impl Issuer {
    /// Reads the issuer's keys. Where an address does not answer now it is asked again later.
    ///
    /// # Errors
    /// What is wrong with a file of keys.
    pub fn open(options: OidcOptions) -> Result<Issuer, String> {
        let source = Source::open(options.keys.clone(), options.refresh)?;
        Ok(Issuer { options, source })
    }

    /// Sees to it that the key of a token is there, if the issuer has it: waits for the issuer's answer, if it may be asked now.
    pub(super) async fn prepare(&self, token: &str) {
        if let Some(Parts { kid, signing, .. }) = self.parts(token) {
            self.source.prepare(kid.as_deref(), signing).await;
        }
    }

    /// Who a token says asks.
    pub(super) fn verify(&self, token: &str, now_ms: i64) -> Result<Signed, Untaken> {
        let parts = self.parts(token).ok_or(Untaken::Invalid)?;
        let keys = self.source.keys();
        if keys.len() == 0 {
            return Err(Untaken::NoKeys);
        }
        let Parts { kid, signing, message, claims, signature } = parts;
        let key = keys.verify(kid.as_deref(), signing, message.as_bytes(), &signature).ok_or(Untaken::Invalid)?;
        let (caller, ends_ms) = self.claimed(claims, now_ms).ok_or(Untaken::Invalid)?;
        Ok(Signed { caller, ends_ms, by: SignedBy { kid, signing, key } })
    }

    /// Sees to it that it is known whether the key of a token that was taken still holds: as if the token came again.
    pub(super) async fn prepare_again(&self, signed: &Signed) {
        self.source.prepare(signed.by.kid.as_deref(), signed.by.signing).await;
    }

    /// Whether a token that was taken still stands for somebody: until it ends, without leeway, and as long as the issuer has the key
    /// that signed it.
    pub(super) fn still_takes(&self, signed: &Signed, now_ms: i64) -> bool {
        let SignedBy { kid, signing, key } = &signed.by;
        now_ms < signed.ends_ms && self.source.keys().has(kid.as_deref(), *signing, key)
    }

    fn parts<'t>(&self, token: &'t str) -> Option<Parts<'t>> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (message, signature) = token.rsplit_once('.').filter(|(_, signature)| !signature.is_empty())?;
        let (header, claims) = message.split_once('.').filter(|(_, claims)| !claims.contains('.'))?;
        let object = |part: &str| strict::object(&URL_SAFE_NO_PAD.decode(part).ok()?);
        let header = object(header)?;
        let signing = Signing::parse(header.get("alg")?.as_str()?)?;
        let is_pinned = self.options.signings.contains(&signing);
        if !is_pinned || REFUSED.iter().any(|name| header.contains_key(*name)) || !self.has_right_typ(&header) {
            return None;
        }
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().filter(|kid| kid.len() <= KID_BYTES_MAX)?.to_owned()),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Parts { kid, signing, message, claims: object(claims)?, signature })
    }

    fn has_right_typ(&self, header: &Map<String, Value>) -> bool {
        let typ = match header.get("typ") {
            None => return self.options.typ.is_none(),
            Some(Value::String(typ)) => typ.to_ascii_lowercase(),
            Some(_) => return false,
        };
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        match &self.options.typ {
            Some(right) => right.eq_ignore_ascii_case(typ),
            None => matches!(typ, "jwt" | "at+jwt"),
        }
    }

    /// Who is claimed to ask, and until when, if it is for here and now.
    fn claimed(&self, claims: Map<String, Value>, now_ms: i64) -> Option<(Caller, i64)> {
        let options = &self.options;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let leeway_ms = i64::try_from(options.leeway.as_millis()).ok()?;
        if text("iss")? != options.issuer || !is_for(claims.get("aud")?, &options.audience) {
            return None;
        }
        let ends_ms = instant_ms(claims.get("exp")?, f64::floor)?;
        let has_begun = |name: &str, is_needed: bool| match claims.get(name) {
            None => !is_needed,
            Some(at) => instant_ms(at, f64::ceil).is_some_and(|at_ms| at_ms <= now_ms + leeway_ms),
        };
        if now_ms >= ends_ms + leeway_ms || !has_begun("nbf", options.needs_nbf) || !has_begun("iat", false) {
            return None;
        }
        let subject = text("sub").filter(|sub| (1..=SUBJECT_BYTES_MAX).contains(&sub.len()))?;
        let id = actor(&options.issuer, subject);
        let claims = Value::Object(claims);
        let groups = match options.roles_claim.starts_with('/') {
            true => claims.pointer(&options.roles_claim),
            false => claims.get(&options.roles_claim),
        };
        let roles = words(groups).into_iter().filter_map(|group| options.roles.get(group)).flatten().cloned().collect();
        Some((Caller { id, roles }, ends_ms))
    }
}

/// What the audit calls somebody: a hash, because a subject may be an address of e-mail. Whoever knows the subject finds it:
/// `printf '%s\n%s' ISSUER SUBJECT | sha256sum`.
fn actor(issuer: &str, subject: &str) -> String {
    let hash = Sha256::digest(format!("{issuer}\n{subject}"));
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("oidc-{digits}")
}

/// Whether a token is for this audience.
fn is_for(audience: &Value, own: &str) -> bool {
    match audience {
        Value::String(one) => one == own,
        Value::Array(several) => several.iter().all(Value::is_string) && several.iter().any(|one| one == own),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// A `NumericDate` in milliseconds; a part of a second goes to the safe side.
fn instant_ms(value: &Value, whole: fn(f64) -> f64) -> Option<i64> {
    let seconds = value.as_f64().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds))?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and far from the bounds")]
    Some(whole(seconds) as i64 * 1_000)
}

/// The words of a list, or of a text with spaces between them.
fn words(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
