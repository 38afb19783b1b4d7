//! Tokens that are signed here in; whether they are taken, with keys that are replaced under way, out.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::json;

use super::*;
use crate::{
    serve::access::{Access, Refusal},
    wire::fetch::Trust,
};

const NOW_S: i64 = 1_769_850_000;
const NOW_MS: i64 = NOW_S * 1_000;

/// A key pair with a name.
struct Pair {
    kid: &'static str,
    keys: Keys,
}

enum Keys {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Pair {
    fn ed(kid: &'static str) -> Pair {
        Pair { kid, keys: Keys::Ed(Ed25519KeyPair::generate().expect("a key")) }
    }

    fn ec(kid: &'static str) -> Pair {
        Pair { kid, keys: Keys::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")) }
    }

    fn public(&self) -> Value {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.keys {
            Keys::Ed(pair) => {
                json!({"kid": self.kid, "kty": "OKP", "crv": "Ed25519", "x": part(pair.public_key().as_ref())})
            }
            Keys::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kid": self.kid, "kty": "EC", "crv": "P-256", "x": part(x), "y": part(y)})
            }
        }
    }

    fn sign(&self, claims: &Value) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let word = if matches!(self.keys, Keys::Ed(_)) { "EdDSA" } else { "ES256" };
        let header = json!({"alg": word, "kid": self.kid}).to_string();
        let message = format!("{}.{}", part(header.as_bytes()), part(claims.to_string().as_bytes()));
        let signature = match &self.keys {
            Keys::Ed(pair) => part(pair.sign(message.as_bytes()).as_ref()),
            Keys::Ec(pair) => part(pair.sign(&SystemRandom::new(), message.as_bytes()).expect("signed").as_ref()),
        };
        format!("{message}.{signature}")
    }
}

fn document(pairs: &[&Pair]) -> String {
    json!({ "keys": pairs.iter().map(|pair| pair.public()).collect::<Vec<Value>>() }).to_string()
}

fn claims() -> Value {
    json!({
        "iss": "https://login.example", "aud": "insight-hub", "sub": "ann@example.org", "groups": ["analysts"],
        "exp": NOW_S + 600, "nbf": NOW_S - 10, "iat": NOW_S - 10,
    })
}

fn options(keys: KeysAt) -> OidcOptions {
    OidcOptions {
        issuer: "https://login.example".to_owned(),
        audience: "insight-hub".to_owned(),
        keys,
        signings: OidcOptions::parse_signings("EdDSA, ES256").expect("known"),
        typ: None,
        roles_claim: "groups".to_owned(),
        roles: OidcOptions::parse_roles("analysts=read:metrics,care=read:customers, care=review").expect("roles"),
        leeway: Duration::from_secs(30),
        needs_nbf: true,
        refresh: Duration::from_secs(900),
    }
}

/// An issuer with keys in a file, and their place.
fn issuer(pairs: &[&Pair], change: impl FnOnce(&mut OidcOptions)) -> (Issuer, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("jwks.json");
    std::fs::write(&path, document(pairs)).expect("written");
    let mut options = options(KeysAt::File(path));
    change(&mut options);
    (Issuer::open(options).expect("usable"), directory)
}

fn with(change: &[(&str, Value)]) -> Value {
    let mut claims = claims();
    for (name, value) in change {
        claims[*name] = value.clone();
    }
    claims
}

#[test]
fn a_token_is_taken_for_who_where_and_when_it_is_and_says_what_its_groups_may() {
    let (ed, ec) = (Pair::ed("ed"), Pair::ec("ec"));
    let (issuer, _directory) = issuer(&[&ed, &ec], |_| {});
    let verify = |claims: &Value| issuer.verify(&ed.sign(claims), NOW_MS);
    let signed = verify(&claims()).expect("taken");
    assert_eq!(signed.ends_ms, NOW_MS + 600_000);
    assert_eq!(signed.caller.roles, BTreeSet::from([Role::ReadMetrics]));
    assert!(signed.caller.id.starts_with("oidc-") && signed.caller.id.len() == 37, "{}", signed.caller.id);
    let same = issuer.verify(&ec.sign(&claims()), NOW_MS).expect("taken");
    assert_eq!((same.caller, same.ends_ms), (signed.caller, signed.ends_ms), "whichever key signed it");
    let care = verify(&with(&[("groups", json!("care other"))])).expect("taken");
    assert_eq!(care.caller.roles, BTreeSet::from([Role::ReadCustomers, Role::Review]), "words in a text");
    for groups in [json!([]), json!(["others", 7]), json!({"analysts": true}), Value::Null, json!("ANALYSTS")] {
        assert!(verify(&with(&[("groups", groups.clone())])).expect("taken").caller.roles.is_empty(), "{groups}");
    }
    for right in [
        ("aud", json!(["other", "insight-hub"])),
        ("exp", json!(NOW_S - 29)),
        ("exp", json!(NOW_S as f64 + 0.5)),
        ("nbf", json!(NOW_S + 30)),
        ("nbf", json!(0)),
        ("iat", Value::from(NOW_S + 30)),
    ] {
        assert!(verify(&with(std::slice::from_ref(&right))).is_ok(), "{right:?}");
    }
    for wrong in [
        ("iss", json!("https://login.example/")),
        ("iss", json!(["https://login.example"])),
        ("aud", json!("insight-hub2")),
        ("aud", json!(["insight-hub", 7])),
        ("aud", json!({"insight-hub": true})),
        ("exp", json!(NOW_S - 30)),
        ("exp", json!("9999999999")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("exp", Value::Null),
        ("nbf", json!(NOW_S + 31)),
        ("nbf", json!("0")),
        ("nbf", Value::Null),
        ("iat", json!(NOW_S + 31)),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!("s".repeat(SUBJECT_BYTES_MAX + 1))),
    ] {
        assert_eq!(verify(&with(std::slice::from_ref(&wrong))), Err(Untaken::Invalid), "{wrong:?}");
    }
    for needed in ["iss", "aud", "exp", "nbf", "sub"] {
        let mut without = claims();
        without.as_object_mut().expect("an object").remove(needed);
        assert_eq!(verify(&without), Err(Untaken::Invalid), "without {needed}");
    }
}

#[test]
fn what_is_configured_is_what_is_looked_at() {
    let ed = Pair::ed("ed");
    let (pinned, _directory) = issuer(&[&ed], |options| options.signings = vec![Signing::Es256]);
    assert_eq!(pinned.verify(&ed.sign(&claims()), NOW_MS), Err(Untaken::Invalid), "another algorithm is pinned");
    let (typed, _directory) = issuer(&[&ed], |options| options.typ = Some("at+jwt".to_owned()));
    assert_eq!(typed.verify(&ed.sign(&claims()), NOW_MS), Err(Untaken::Invalid), "it does not say what it is");
    let (without, _directory) = issuer(&[&ed], |options| {
        options.needs_nbf = false;
        options.roles_claim = "/realm_access/roles".to_owned();
    });
    let mut sent = with(&[("realm_access", json!({"roles": ["analysts"]}))]);
    sent.as_object_mut().expect("an object").remove("nbf");
    let signed = without.verify(&ed.sign(&sent), NOW_MS).expect("taken");
    assert_eq!(signed.caller.roles, BTreeSet::from([Role::ReadMetrics]));
    sent["nbf"] = json!(NOW_S + 60);
    assert_eq!(without.verify(&ed.sign(&sent), NOW_MS), Err(Untaken::Invalid), "one that is there counts");

    assert!(OidcOptions::parse_signings("RS256,HS256").expect_err("no key pair").contains("\"HS256\""));
    assert!(OidcOptions::parse_signings("none").is_err() && OidcOptions::parse_signings(" , ").is_err());
    let roles = OidcOptions::parse_roles("a=b=read:metrics").expect("the last sign divides");
    assert!(roles.contains_key("a=b"));
    for wrong in ["", "a", "=read:metrics", "a=admin", "a=read:metrics,b"] {
        assert!(OidcOptions::parse_roles(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_file_of_keys_is_read_anew_and_one_that_is_of_no_use_changes_nothing() {
    let (old, new) = (Pair::ed("old"), Pair::ed("new"));
    let (issuer, directory) = issuer(&[&old], |_| {});
    let path = directory.path().join("jwks.json");
    let replace = |text: &str| {
        let aside = directory.path().join("aside");
        std::fs::write(&aside, text).expect("written");
        std::fs::rename(aside, &path).expect("replaced");
    };
    let takes = |pair: &Pair| issuer.verify(&pair.sign(&claims()), NOW_MS).is_ok();
    assert!(takes(&old) && !takes(&new));
    replace(&document(&[&old, &new]));
    assert!(takes(&old) && takes(&new));
    for useless in ["", "{}", "{\"keys\": {}}"] {
        replace(useless);
        assert!(takes(&old) && takes(&new), "{useless}");
    }
    std::fs::remove_file(&path).expect("it was there");
    assert!(takes(&new));
    replace(&document(&[&new]));
    assert!(!takes(&old) && takes(&new), "a key that is withdrawn is none");
    replace("{\"keys\": []}");
    assert!(!takes(&old) && !takes(&new), "nor are all of them");
    replace(&document(&[&new]));
    assert!(takes(&new));
    std::fs::write(&path, "{\"keys\": []}").expect("written");
    let refused = Issuer::open(options(KeysAt::File(path.clone()))).err().expect("at the start it is a mistake");
    assert!(refused.contains("no public key"), "{refused}");
    std::fs::write(&path, "{}").expect("written");
    let refused = Issuer::open(options(KeysAt::File(path))).err().expect("at the start it is a mistake");
    assert!(refused.contains("no list `keys`"), "{refused}");
}

/// An address that gives what it is told to, nothing while it is told nothing, and how often it was asked.
fn address() -> (String, mpsc::Sender<Option<String>>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/keys", listener.local_addr().expect("it is bound"));
    let (tell, told) = mpsc::channel::<Option<String>>();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            count.fetch_add(1, Ordering::AcqRel);
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request);
            let Ok(answer) = told.recv() else { return };
            let (head, body) = match answer {
                Some(body) => ("200 OK", body),
                None => ("503 Service Unavailable", String::new()),
            };
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    (url, tell, asked)
}

#[test]
fn an_address_is_asked_for_a_key_that_is_not_known_and_not_for_each_token() {
    let (old, new) = (Pair::ed("old"), Pair::ed("new"));
    let (url, tell, asked) = address();
    let keys = || KeysAt::url(&url, &Trust::default(), Duration::from_secs(10)).expect("an address");
    let count = || asked.load(Ordering::Acquire);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");

    // It does not answer at the start: nobody is let in, and it is asked again, not at once.
    tell.send(None).expect("it is told");
    let issuer = Issuer::open(options(keys())).expect("it may answer later");
    let token = old.sign(&claims());
    assert_eq!((issuer.verify(&token, NOW_MS), count()), (Err(Untaken::NoKeys), 1));
    runtime.block_on(issuer.prepare(&token));
    assert_eq!(count(), 1, "it was asked a moment ago");
    let age = |by: Duration| issuer.source.age(by);
    age(Duration::from_secs(6));
    tell.send(Some(document(&[&old]))).expect("it is told");
    runtime.block_on(issuer.prepare(&token));
    assert!(issuer.verify(&token, NOW_MS).is_ok() && count() == 2);

    // The issuer has a new key. Tokens with keys that nobody has do not make the hub ask more often.
    let rotated = new.sign(&claims());
    runtime.block_on(issuer.prepare(&rotated));
    assert_eq!((issuer.verify(&rotated, NOW_MS), count()), (Err(Untaken::Invalid), 2), "too early");
    age(Duration::from_secs(31));
    tell.send(Some(document(&[&old, &new]))).expect("it is told");
    runtime.block_on(issuer.prepare(&rotated));
    assert!(issuer.verify(&rotated, NOW_MS).is_ok() && issuer.verify(&token, NOW_MS).is_ok());
    for kid in ["x", "y", "z"] {
        runtime.block_on(issuer.prepare(&Pair::ed(kid).sign(&claims())));
    }
    assert_eq!(count(), 3);

    // It is in trouble: the keys that were had hold.
    age(Duration::from_secs(31));
    tell.send(Some("<html>".to_owned())).expect("it is told");
    runtime.block_on(issuer.prepare(&Pair::ed("x").sign(&claims())));
    assert_eq!(count(), 4);
    assert!(issuer.verify(&rotated, NOW_MS).is_ok() && issuer.verify(&token, NOW_MS).is_ok());

    // Old keys are asked for beside an answer, and one that was withdrawn is none then.
    age(Duration::from_secs(901));
    tell.send(Some(document(&[&new]))).expect("it is told");
    runtime.block_on(async {
        issuer.prepare(&token).await;
        let began = std::time::Instant::now();
        while issuer.verify(&token, NOW_MS).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(20), "the old key stays");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(issuer.verify(&rotated, NOW_MS).is_ok() && count() == 5);
}

#[test]
fn an_address_that_never_answers_is_asked_once_and_holds_nobody_for_long() {
    let (url, tell, asked) = address();
    let keys = KeysAt::url(&url, &Trust::default(), Duration::from_secs(60)).expect("an address");
    tell.send(None).expect("it is told");
    let issuer = Arc::new(Issuer::open(options(keys)).expect("it may answer later"));
    issuer.source.age(Duration::from_secs(6));
    let token = Pair::ed("old").sign(&claims());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let prepare = |_| {
            let (issuer, token) = (Arc::clone(&issuer), token.clone());
            tokio::spawn(async move { issuer.prepare(&token).await })
        };
        let waiting: Vec<_> = (0..50).map(prepare).collect();
        for one in waiting {
            // Not one after the other, a minute each.
            let went_on = tokio::time::timeout(Duration::from_secs(30), one).await;
            went_on.expect("nobody waits for it so long").expect("it does not panic");
        }
    });
    assert_eq!(asked.load(Ordering::Acquire), 2, "at the start, and for all of them");
    runtime.shutdown_background();
}

#[test]
fn a_session_of_a_signed_token_ends_with_it() {
    use std::sync::atomic::AtomicI64;
    static CLOCK_MS: AtomicI64 = AtomicI64::new(NOW_MS);
    let ed = Pair::ed("ed");
    let (issuer, directory) = issuer(&[&ed], |_| {});
    let access = Access::new(directory.path().join("tokens.json"), true, || CLOCK_MS.load(Ordering::Acquire));
    let access = access.with(Arc::new(issuer));
    assert_eq!(access.check(&[], Some("localhost")).expect("readable"), Err(Refusal::Missing), "it is open to nobody");
    let token = ed.sign(&claims());
    let header = format!("Bearer {token}");
    let caller = access.check(&[header.as_bytes()], None).expect("readable").expect("taken");
    let session = access.log_in(&format!(" {token}\n")).expect("readable").expect("a session");
    assert_eq!(access.of_session(&session, true).expect("readable"), Some(caller));
    assert_eq!(access.log_in(&format!("{token}x")).expect("readable"), Err(Refusal::Invalid));
    // Leeway is for clocks that differ, and no longer session.
    CLOCK_MS.store(NOW_MS + 600_000, Ordering::Release);
    assert_eq!(access.of_session(&session, true).expect("readable"), None);
    CLOCK_MS.store(NOW_MS, Ordering::Release);
    assert_eq!(access.of_session(&session, true).expect("readable"), None, "and it stays ended");
}

#[test]
fn a_session_of_a_signed_token_ends_when_its_key_is_withdrawn() {
    let (old, new, twin) = (Pair::ed("old"), Pair::ec("new"), Pair::ed("old"));
    let (issuer, directory) = issuer(&[&old, &new], |_| {});
    let tokens = directory.path().join("tokens.json");
    let access = Access::new(tokens.clone(), true, || NOW_MS).with(Arc::new(issuer));
    let put = |pairs: &[&Pair]| {
        let aside = directory.path().join("aside");
        std::fs::write(&aside, document(pairs)).expect("written");
        std::fs::rename(aside, directory.path().join("jwks.json")).expect("replaced");
    };
    let log_in = |pair: &Pair| access.log_in(&pair.sign(&claims())).expect("readable").expect("a session");
    let lasts = |session: &str| access.of_session(session, true).expect("readable").is_some();
    let (of_old, of_new) = (log_in(&old), log_in(&new));
    assert!(lasts(&of_old) && lasts(&of_new));
    put(&[&new]);
    assert!(!lasts(&of_old) && lasts(&of_new));
    put(&[&old, &new]);
    assert!(!lasts(&of_old), "it stays ended");
    // Another key by the same name has signed nothing of what the first one did.
    let of_old = log_in(&old);
    put(&[&twin, &new]);
    assert!(!lasts(&of_old) && lasts(&log_in(&twin)) && lasts(&of_new));
    // Nor does one stand for anybody under another name: its tokens name the first.
    let renamed = document(&[&new]).replace("\"new\"", "\"renamed\"");
    std::fs::write(directory.path().join("jwks.json"), renamed).expect("written");
    assert!(!lasts(&of_new));
    // The login is taken from the configuration, which needs a start: nothing is left of a session then.
    put(&[&old]);
    let of_old = log_in(&old);
    let without = Access::new(tokens, true, || NOW_MS);
    assert_eq!(without.of_session(&of_old, true).expect("readable"), None);
}

#[test]
fn whoever_has_a_session_makes_old_keys_of_an_address_be_asked_for() {
    let (old, new) = (Pair::ed("old"), Pair::ed("new"));
    let (url, tell, asked) = address();
    let keys = KeysAt::url(&url, &Trust::default(), Duration::from_secs(10)).expect("an address");
    tell.send(Some(document(&[&old, &new]))).expect("it is told");
    let issuer = Arc::new(Issuer::open(options(keys)).expect("it answers"));
    let directory = tempfile::tempdir().expect("a directory");
    let access = Access::new(directory.path().join("tokens.json"), true, || NOW_MS).with(Arc::clone(&issuer));
    let log_in = |pair: &Pair| access.log_in(&pair.sign(&claims())).expect("readable").expect("a session");
    let (of_old, of_new) = (log_in(&old), log_in(&new));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(access.prepare_session(&of_old));
    assert_eq!(asked.load(Ordering::Acquire), 1, "they are not old");
    // Nobody sends a token meanwhile: the browser alone asks. Keys that may be withdrawn are not used before the issuer was asked.
    issuer.source.age(Duration::from_secs(1_801));
    tell.send(Some(document(&[&new]))).expect("it is told");
    runtime.block_on(access.prepare_session(&of_old));
    assert_eq!(asked.load(Ordering::Acquire), 2);
    let lasts = |session: &str| access.of_session(session, true).expect("readable").is_some();
    assert!(!lasts(&of_old) && lasts(&of_new));
}
