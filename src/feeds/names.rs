//! How the feeds write identifiers: in clear, or as keyed hashes that tell customers apart and say nothing of them.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::model::{Identifier, KeyedIdentifier, PersonId, PersonKey, hexadecimal};

/// How the feeds write identifiers.
#[derive(Clone, Debug, Default)]
pub enum Names {
    /// As they are compared.
    #[default]
    Clear,
    /// As 32 hexadecimal digits: [`PersonKey::person`] of the identifier, which is also its key in `insight.identities`
    /// unless it was erased once. Whoever has the key can compute it; nobody can turn it back.
    Hashed(Arc<PersonKey>),
}

impl Names {
    /// The value of an identifier as it is published.
    pub fn show<'a>(&self, identifier: Identifier<'a>) -> Shown<'a> {
        match self {
            Names::Clear => Shown::Clear(identifier.value),
            Names::Hashed(key) => Shown::Hashed(hexadecimal(&key.person(identifier).0)),
        }
    }

    /// The same of one whose keyed hash is known, and perhaps nothing else.
    pub fn show_known<'a>(&self, known: KeyedIdentifier<'a>) -> Shown<'a> {
        match self {
            Names::Clear => Shown::Clear(known.identifier.value),
            Names::Hashed(_) => Shown::Hashed(hexadecimal(&known.id.0)),
        }
    }

    /// The same of one that is kept by its keyed hash ([`crate::model::Touchpoint::encode_kept_into`]); by an earlier version
    /// in clear.
    pub fn show_kept<'a>(&self, identifier: Identifier<'a>) -> Shown<'a> {
        match PersonId::parse(identifier.value) {
            Some(_) => Shown::Clear(identifier.value),
            None => self.show(identifier),
        }
    }
}

/// The published value of an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// In clear.
    Clear(&'a str),
    /// The digits of its keyed hash.
    Hashed([u8; 32]),
}

impl Shown<'_> {
    /// As text.
    pub fn as_str(&self) -> &str {
        match self {
            Shown::Clear(value) => value,
            Shown::Hashed(digits) => std::str::from_utf8(digits).expect("hexadecimal digits are ASCII"),
        }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
