//! The types of identifiers: those that every hub knows, and those that a hub has of its own.

use std::{cmp::Ordering, sync::OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The most types of its own that a hub has.
pub const OWN_TYPES_MAX: usize = 8;

/// Characters of the name of such a type.
const NAME_CHARACTERS_MAX: usize = 32;

/// The type of an identifier, strongest first: the order decides a touchpoint's home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
#[allow(missing_docs, reason = "each variant is its word")]
pub enum IdentifierType {
    CustomerId,
    Email,
    Phone,
    Loyalty,
    /// Of a person too; `identity.types` of the settings names it.
    Own(OwnType),
    Device,
    Cookie,
    Anonymous,
    Order,
    Case,
    Contract,
}

impl IdentifierType {
    /// Those that every hub knows, strongest first. The place of each is its stored form.
    pub const BUILT_IN: [IdentifierType; 10] = [
        IdentifierType::CustomerId,
        IdentifierType::Email,
        IdentifierType::Phone,
        IdentifierType::Loyalty,
        IdentifierType::Device,
        IdentifierType::Cookie,
        IdentifierType::Anonymous,
        IdentifierType::Order,
        IdentifierType::Case,
        IdentifierType::Contract,
    ];

    /// How many of these are stronger than every type of a hub's own.
    pub const STRONGER_THAN_OWN: u8 = 4;

    /// The place among [`IdentifierType::BUILT_IN`]; `None` of a hub's own type.
    #[inline]
    pub const fn place(self) -> Option<u8> {
        Some(match self {
            IdentifierType::CustomerId => 0,
            IdentifierType::Email => 1,
            IdentifierType::Phone => 2,
            IdentifierType::Loyalty => 3,
            IdentifierType::Device => 4,
            IdentifierType::Cookie => 5,
            IdentifierType::Anonymous => 6,
            IdentifierType::Order => 7,
            IdentifierType::Case => 8,
            IdentifierType::Contract => 9,
            IdentifierType::Own(_) => return None,
        })
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            IdentifierType::CustomerId => "customer_id",
            IdentifierType::Email => "email",
            IdentifierType::Phone => "phone",
            IdentifierType::Loyalty => "loyalty",
            IdentifierType::Own(own) => own.name(),
            IdentifierType::Device => "device",
            IdentifierType::Cookie => "cookie",
            IdentifierType::Anonymous => "anonymous",
            IdentifierType::Order => "order",
            IdentifierType::Case => "case",
            IdentifierType::Contract => "contract",
        }
    }

    fn built_in(word: &str) -> Option<IdentifierType> {
        IdentifierType::BUILT_IN.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The type of a word in what a hub wrote: one that every hub knows, or that some hub of this process has. What a
    /// department or an operator says is asked of [`IdentifierRules::kind`](super::IdentifierRules::kind).
    pub fn parse(word: &str) -> Option<IdentifierType> {
        IdentifierType::built_in(word).or_else(|| OwnType::known(word).map(IdentifierType::Own))
    }

    /// A hub's own type.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn own(name: &str) -> Result<IdentifierType, String> {
        OwnType::of(name).map(IdentifierType::Own)
    }

    /// Whether it names a thing that belongs to one person (an order, a case, a contract) and not the person.
    pub const fn is_thing(self) -> bool {
        matches!(self, IdentifierType::Order | IdentifierType::Case | IdentifierType::Contract)
    }
}

impl std::fmt::Display for IdentifierType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The name of a type of a hub's own, in one byte. Names are compared, never the bytes: those are of this process alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnType(u8);

/// What begins other keyed hashes: a person's id begins with the name of a type.
const SALTS: [&str; 3] = ["reborn", "alert", "command"];

/// Names never go again, so that a byte means one name. Hubs with other types may share a process: of tests, say.
static NAMES: [OnceLock<&'static str>; 64] = [const { OnceLock::new() }; 64];

impl OwnType {
    fn of(name: &str) -> Result<OwnType, String> {
        let is_within = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
            || name.len() > NAME_CHARACTERS_MAX
            || !name.bytes().all(is_within)
        {
            return Err(format!(
                "a type has up to {NAME_CHARACTERS_MAX} small letters, digits and underscores, a letter first"
            ));
        }
        if IdentifierType::built_in(name).is_some() {
            return Err("every hub knows this type; only others are named here".to_owned());
        }
        if SALTS.contains(&name) {
            return Err("this word is taken; choose another".to_owned());
        }
        let slot = (0..).zip(&NAMES).find(|(_, kept)| *kept.get_or_init(|| Box::leak(name.into())) == name);
        slot.map(|(slot, _)| OwnType(slot)).ok_or_else(|| format!("a process knows at most {} such types", NAMES.len()))
    }

    fn known(name: &str) -> Option<OwnType> {
        let mut kept = (0..).zip(NAMES.iter().map_while(OnceLock::get));
        kept.find(|(_, kept)| **kept == name).map(|(slot, _)| OwnType(slot))
    }

    fn name(self) -> &'static str {
        NAMES[usize::from(self.0)].get().expect("a byte is given out with its name")
    }
}

impl std::fmt::Debug for OwnType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Ord for OwnType {
    fn cmp(&self, other: &OwnType) -> Ordering {
        if self.0 == other.0 { Ordering::Equal } else { self.name().cmp(other.name()) }
    }
}

impl PartialOrd for OwnType {
    fn partial_cmp(&self, other: &OwnType) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for OwnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for OwnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OwnType, D::Error> {
        struct Name;

        impl de::Visitor<'_> for Name {
            type Value = OwnType;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("the name of a type of identifiers")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<OwnType, E> {
                OwnType::of(name).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Name)
    }
}

/// The stored form: variants in the order in which they came to be, and of a hub's own type its name.
#[derive(Serialize, Deserialize)]
enum Stored {
    CustomerId,
    Email,
    Phone,
    Loyalty,
    Device,
    Cookie,
    Anonymous,
    Order,
    Case,
    Contract,
    Own(OwnType),
}

impl From<Stored> for IdentifierType {
    #[inline]
    fn from(stored: Stored) -> IdentifierType {
        match stored {
            Stored::CustomerId => IdentifierType::CustomerId,
            Stored::Email => IdentifierType::Email,
            Stored::Phone => IdentifierType::Phone,
            Stored::Loyalty => IdentifierType::Loyalty,
            Stored::Device => IdentifierType::Device,
            Stored::Cookie => IdentifierType::Cookie,
            Stored::Anonymous => IdentifierType::Anonymous,
            Stored::Order => IdentifierType::Order,
            Stored::Case => IdentifierType::Case,
            Stored::Contract => IdentifierType::Contract,
            Stored::Own(own) => IdentifierType::Own(own),
        }
    }
}

impl From<IdentifierType> for Stored {
    #[inline]
    fn from(kind: IdentifierType) -> Stored {
        match kind {
            IdentifierType::CustomerId => Stored::CustomerId,
            IdentifierType::Email => Stored::Email,
            IdentifierType::Phone => Stored::Phone,
            IdentifierType::Loyalty => Stored::Loyalty,
            IdentifierType::Own(own) => Stored::Own(own),
            IdentifierType::Device => Stored::Device,
            IdentifierType::Cookie => Stored::Cookie,
            IdentifierType::Anonymous => Stored::Anonymous,
            IdentifierType::Order => Stored::Order,
            IdentifierType::Case => Stored::Case,
            IdentifierType::Contract => Stored::Contract,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_a_hubs_own_are_ordered_by_name_whichever_was_met_first() {
        let [visa, badge] = ["visa_number", "badge"].map(|name| IdentifierType::own(name).expect("a name"));
        assert!(badge < visa);
        let mut all = [&IdentifierType::BUILT_IN[..], &[visa, badge]].concat();
        all.sort();
        let words: Vec<&str> = all.iter().map(|kind| kind.as_str()).collect();
        let before =
            ["customer_id", "email", "phone", "loyalty", "badge", "visa_number", "device", "cookie", "anonymous"];
        assert_eq!(words, [&before[..], &["order", "case", "contract"]].concat());
    }

    #[test]
    fn the_stored_form_is_the_place_or_a_name() {
        for (place, kind) in (0..).zip(IdentifierType::BUILT_IN) {
            assert_eq!(postcard::to_allocvec(&kind).expect("it fits"), [place]);
            assert_eq!(kind.place(), Some(place));
            assert_eq!(IdentifierType::parse(kind.as_str()), Some(kind));
        }
        let own = IdentifierType::own("tax_number").expect("a name");
        let bytes = postcard::to_allocvec(&own).expect("it fits");
        assert_eq!(bytes, b"\x0a\x0atax_number");
        assert_eq!(postcard::from_bytes::<IdentifierType>(&bytes), Ok(own));
        assert_eq!(
            postcard::from_bytes::<IdentifierType>(b"\x0a\x0anever_said"),
            IdentifierType::own("never_said").map_err(|_| postcard::Error::SerdeDeCustom)
        );
        for damaged in [&b"\x0a\x03Tax"[..], b"\x0a\x05email", b"\x0b"] {
            assert!(postcard::from_bytes::<IdentifierType>(damaged).is_err());
        }
    }

    #[test]
    fn what_is_no_name_of_a_type_is_refused() {
        for name in [
            "",
            "Tax",
            "tax number",
            "7_up",
            "_tax",
            "tax:number",
            "tax#",
            "steuernümmer",
            &"t".repeat(33),
            "reborn",
            "alert",
        ] {
            assert!(IdentifierType::own(name).is_err(), "{name:?}");
        }
        for kind in IdentifierType::BUILT_IN {
            assert!(IdentifierType::own(kind.as_str()).is_err(), "{kind}");
        }
        assert!(IdentifierType::own(&"t".repeat(32)).is_ok());
        assert_eq!(IdentifierType::parse("nobody_named_this"), None, "to ask makes none");
        assert_eq!(IdentifierType::parse("nobody_named_this"), None);
    }
}
