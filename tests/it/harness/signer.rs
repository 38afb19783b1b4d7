//! A key pair in; signed tokens (JWT) of it out, put together by hand: also such as no library would make.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PSS_SHA256,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

enum Pair {
    Rsa(Box<KeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// Somebody with a key pair.
pub struct Signer {
    pub kid: String,
    pair: Pair,
}

/// Bytes as a part of a token.
pub fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What two parts are with a signature made with a secret.
pub fn with_secret(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", part(signature))
}

/// What is signed.
pub fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", part(header.to_string()), part(claims.to_string()))
}

impl Signer {
    pub fn rsa(kid: &str) -> Signer {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        Signer { kid: kid.to_owned(), pair: Pair::Rsa(Box::new(pair)) }
    }

    pub fn ec(kid: &str) -> Signer {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Signer { kid: kid.to_owned(), pair: Pair::Ec(pair) }
    }

    pub fn ed(kid: &str) -> Signer {
        Signer { kid: kid.to_owned(), pair: Pair::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    /// Its algorithm, as a header calls it.
    pub fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// The bytes of its public key: of RSA in DER, else the point.
    pub fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// Its public key, as a JWKS has it.
    pub fn jwk(&self) -> Value {
        let public = self.public();
        let mut jwk = match &self.pair {
            // A sequence of two numbers (RFC 8017, A.1.1): the modulus with its 256 bytes behind a zero, and 65,537.
            Pair::Rsa(_) => json!({ "kty": "RSA", "n": part(&public[9..265]), "e": part([1, 0, 1]) }),
            Pair::Ec(_) => json!({ "kty": "EC", "crv": "P-256", "x": part(&public[1..33]), "y": part(&public[33..]) }),
            Pair::Ed(_) => json!({ "kty": "OKP", "crv": "Ed25519", "x": part(public) }),
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg());
        jwk["use"] = json!("sig");
        jwk
    }

    /// A signature by an algorithm of its key: its own, or of RSA `RS384` and `PS256` too.
    pub fn signature(&self, message: &str, alg: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                match alg {
                    "RS384" => pair.sign(&RSA_PKCS1_SHA384, &random, message.as_bytes(), &mut signature),
                    "PS256" => pair.sign(&RSA_PSS_SHA256, &random, message.as_bytes(), &mut signature),
                    _ => pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature),
                }
                .unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        }
    }

    /// The header of its tokens.
    pub fn header(&self) -> Value {
        json!({ "alg": self.alg(), "kid": self.kid, "typ": "JWT" })
    }

    /// A token with this header, and what it claims.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.sign(&message(header, claims), header["alg"].as_str().unwrap_or_default())
    }

    /// Parts that are put together already, signed.
    pub fn sign(&self, message: &str, alg: &str) -> String {
        format!("{message}.{}", part(self.signature(message, alg)))
    }

    /// A token of its own.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&self.header(), claims)
    }
}
