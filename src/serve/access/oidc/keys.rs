//! A JWKS (RFC 7517) in; the public keys in it that signatures may be checked with out.
//!
//! What is no such key is left out, as the RFC says: secrets (nobody can forge a signature with what is published), keys for encryption,
//! kinds and curves that no algorithm here uses, RSA of fewer than 2,048 bits.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Signing, strict};

/// No issuer publishes more.
const KEYS_MAX: usize = 64;
/// Bits of an RSA modulus; a larger one takes long, and the library knows none.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// The longest name of a key.
pub(super) const KID_BYTES_MAX: usize = 256;

/// What tells a public key from every other: a hash of it, whatever it is called.
pub(super) type Thumb = [u8; 32];

/// A public key.
struct Key {
    kid: Option<String>,
    /// How it is used, if it says so.
    signing: Option<Signing>,
    public: Public,
    thumb: Thumb,
}

/// What a key is.
enum Public {
    /// Of RSA: modulus and exponent.
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// A point of the curve P-256, not compressed.
    P256(Vec<u8>),
    /// The same of P-384.
    P384(Vec<u8>),
    /// The same of Ed25519.
    Ed25519(Vec<u8>),
}

impl Public {
    fn thumb(&self) -> Thumb {
        let (kind, parts): (&str, [&[u8]; 2]) = match self {
            Public::Rsa(key) => ("rsa", [&key.n, &key.e]),
            Public::P256(point) => ("p256", [point, &[]]),
            Public::P384(point) => ("p384", [point, &[]]),
            Public::Ed25519(point) => ("ed25519", [point, &[]]),
        };
        // The length of a part says where it ends.
        let hash = parts.into_iter().fold(Sha256::new_with_prefix(kind), |hash, part| {
            hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
        });
        hash.finalize().into()
    }

    /// Whether it goes with an algorithm.
    fn fits(&self, signing: Signing) -> bool {
        match self {
            Public::Rsa(_) => !matches!(signing, Signing::Es256 | Signing::Es384 | Signing::EdDsa),
            Public::P256(_) => signing == Signing::Es256,
            Public::P384(_) => signing == Signing::Es384,
            Public::Ed25519(_) => signing == Signing::EdDsa,
        }
    }

    /// Whether its owner has signed this by this algorithm.
    fn has_signed(&self, signing: Signing, message: &[u8], signature: &[u8]) -> bool {
        let rsa = match signing {
            Signing::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Signing::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Signing::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Signing::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Signing::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Signing::Ps512 => &RSA_PSS_2048_8192_SHA512,
            Signing::Es256 | Signing::Es384 | Signing::EdDsa => {
                let (algorithm, point): (&'static dyn VerificationAlgorithm, _) = match self {
                    Public::P256(point) => (&ECDSA_P256_SHA256_FIXED, point),
                    Public::P384(point) => (&ECDSA_P384_SHA384_FIXED, point),
                    Public::Ed25519(point) => (&ED25519, point),
                    Public::Rsa(_) => return false,
                };
                return self.fits(signing)
                    && UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok();
            }
        };
        match self {
            Public::Rsa(key) => key.verify(rsa, message, signature).is_ok(),
            Public::P256(_) | Public::P384(_) | Public::Ed25519(_) => false,
        }
    }
}

/// The keys of an issuer.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// The keys of a document that signatures can be checked with: none, where an issuer has withdrawn all of them. The error says
    /// what is wrong with it, without quoting it.
    pub(super) fn parse(text: &str) -> Result<Keys, &'static str> {
        let document = strict::object(text.as_bytes()).ok_or("it is no JSON object, or has a name twice")?;
        let listed = document.get("keys").and_then(Value::as_array).ok_or("it has no list `keys`")?;
        if listed.len() > KEYS_MAX {
            return Err("it has more than 64 keys");
        }
        Ok(Keys(listed.iter().filter_map(|key| key.as_object().and_then(key_of)).collect()))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those that a token may be signed with: of its name, if it has one; without a name, if there is but one.
    fn candidates<'k>(&'k self, kid: Option<&'k str>, signing: Signing) -> impl Iterator<Item = &'k Key> {
        let fits = move |key: &&Key| {
            key.public.fits(signing)
                && key.signing.is_none_or(|own| own == signing)
                && (kid.is_none() || key.kid.as_deref() == kid)
        };
        let count = self.0.iter().filter(fits).count();
        self.0.iter().filter(fits).filter(move |_| kid.is_some() || count == 1)
    }

    /// Whether there is a key that a token may be signed with.
    pub(super) fn knows(&self, kid: Option<&str>, signing: Signing) -> bool {
        self.candidates(kid, signing).next().is_some()
    }

    /// The one of them that has signed this, if one has.
    pub(super) fn verify(
        &self,
        kid: Option<&str>,
        signing: Signing,
        message: &[u8],
        signature: &[u8],
    ) -> Option<Thumb> {
        let signer = self.candidates(kid, signing).find(|key| key.public.has_signed(signing, message, signature));
        signer.map(|key| key.thumb)
    }

    /// Whether what a key has signed would be taken now.
    pub(super) fn has(&self, kid: Option<&str>, signing: Signing, thumb: &Thumb) -> bool {
        self.candidates(kid, signing).any(|key| key.thumb == *thumb)
    }
}

fn key_of(key: &Map<String, Value>) -> Option<Key> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let absent_or = |name: &str, is_right: &dyn Fn(&Value) -> bool| key.get(name).is_none_or(is_right);
    let is_for_signatures = absent_or("use", &|it| it == "sig")
        && absent_or("key_ops", &|it| it.as_array().is_some_and(|it| it.iter().any(|it| it == "verify")));
    if !is_for_signatures || key.contains_key("d") || key.contains_key("k") {
        return None;
    }
    let kid = match key.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str().filter(|kid| kid.len() <= KID_BYTES_MAX)?.to_owned()),
    };
    let decoded = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let point = |bytes: usize| {
        let (x, y) = (decoded("x")?, decoded("y")?);
        // 4: both parts are there (SEC 1, section 2.3.3).
        (x.len() == bytes && y.len() == bytes).then(|| [&[4], &x[..], &y].concat())
    };
    let public = match (text("kty")?, text("crv")) {
        ("RSA", None) => {
            let (n, e) = (decoded("n")?, decoded("e")?);
            let leading = n.first()?.leading_zeros() as usize;
            RSA_BITS.contains(&(n.len() * 8 - leading)).then_some(())?;
            Public::Rsa(RsaPublicKeyComponents { n, e })
        }
        ("EC", Some("P-256")) => Public::P256(point(32)?),
        ("EC", Some("P-384")) => Public::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Public::Ed25519(decoded("x").filter(|x| x.len() == 32)?),
        _ => return None,
    };
    let signing = match key.get("alg") {
        None => None,
        // One that is for something else is for nothing here.
        Some(word) => Some(Signing::parse(word.as_str()?).filter(|signing| public.fits(*signing))?),
    };
    let thumb = public.thumb();
    Some(Key { kid, signing, public, thumb })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(keys: &Value) -> Result<Keys, &'static str> {
        Keys::parse(&json!({ "keys": keys }).to_string())
    }

    fn digits(bytes: usize, first: u8) -> String {
        let mut all = vec![7; bytes];
        all[0] = first;
        URL_SAFE_NO_PAD.encode(all)
    }

    #[test]
    fn keys_that_can_check_a_signature_are_found_and_others_left_out() {
        let rsa = |more: Value| {
            let mut key = json!({"kty": "RSA", "kid": "r", "n": digits(256, 0x80), "e": "AQAB"});
            key.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            key
        };
        let good = [
            rsa(json!({})),
            rsa(json!({"use": "sig", "alg": "RS256", "key_ops": ["verify"], "x5t": "abc", "x5c": ["MII"]})),
            json!({"kty": "EC", "crv": "P-256", "x": digits(32, 1), "y": digits(32, 1)}),
            json!({"kty": "EC", "crv": "P-384", "x": digits(48, 1), "y": digits(48, 1), "alg": "ES384"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": digits(32, 1), "alg": "EdDSA"}),
        ];
        for key in &good {
            assert_eq!(of(&json!([key])).map(|keys| keys.len()), Ok(1), "{key}");
        }
        let bad = [
            json!({"kty": "oct", "k": "AAAA", "alg": "HS256"}),
            rsa(json!({"k": "AAAA"})),
            rsa(json!({"d": "AAAA"})),
            rsa(json!({"use": "enc"})),
            rsa(json!({"key_ops": ["encrypt"]})),
            rsa(json!({"alg": "HS256"})),
            rsa(json!({"alg": "ES256"})),
            rsa(json!({"alg": "RSA-OAEP"})),
            rsa(json!({"alg": 7})),
            rsa(json!({"kid": 7})),
            rsa(json!({"kid": "k".repeat(KID_BYTES_MAX + 1)})),
            rsa(json!({"n": digits(255, 0xff)})),
            rsa(json!({"n": digits(256, 0x7f)})),
            rsa(json!({"n": digits(1_025, 0x80)})),
            rsa(json!({"n": "not base64!"})),
            json!({"kty": "EC", "crv": "P-521", "x": digits(66, 1), "y": digits(66, 1)}),
            json!({"kty": "EC", "crv": "secp256k1", "x": digits(32, 1), "y": digits(32, 1)}),
            json!({"kty": "EC", "crv": "P-256", "x": digits(31, 1), "y": digits(32, 1)}),
            json!({"kty": "OKP", "crv": "X25519", "x": digits(32, 1)}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": digits(33, 1)}),
            json!({"kty": "RSA"}),
            json!({}),
            json!("RSA"),
        ];
        for key in &bad {
            assert_eq!(of(&json!([key])).map(|keys| keys.len()), Ok(0), "{key}");
            assert_eq!(of(&json!([key, good[0]])).map(|keys| keys.len()), Ok(1), "the others are still there: {key}");
        }
        for (text, _) in [("", 0), ("{}", 0), ("[]", 0), ("{\"keys\": {}}", 0), ("{\"keys\": [], \"keys\": []}", 0)] {
            assert!(Keys::parse(text).is_err(), "{text}");
        }
        assert!(of(&Value::from(vec![good[0].clone(); KEYS_MAX + 1])).is_err(), "too many");
    }

    #[test]
    fn a_key_is_found_by_its_name_and_without_a_name_only_if_there_is_no_other() {
        let rsa = |kid: &str| json!({"kty": "RSA", "kid": kid, "n": digits(256, 0x80), "e": "AQAB"});
        let ec = json!({"kty": "EC", "crv": "P-256", "kid": "c", "x": digits(32, 1), "y": digits(32, 1)});
        let keys = of(&json!([rsa("a"), rsa("b"), ec])).expect("keys");
        let signing = |word: &str| Signing::parse(word).expect("an algorithm");
        assert!(keys.knows(Some("a"), signing("RS256")) && keys.knows(Some("b"), signing("PS512")));
        for (kid, word) in
            [(Some("c"), "RS256"), (Some("a"), "ES256"), (Some("d"), "RS256"), (Some(""), "RS256"), (None, "RS256")]
        {
            assert!(!keys.knows(kid, signing(word)), "{kid:?} {word}");
        }
        assert!(keys.knows(None, signing("ES256")), "there is but one");
    }
}
