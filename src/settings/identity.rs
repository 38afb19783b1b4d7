//! `[identity]` as it is written → the types of identifiers, how they are compared, and what links people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PublishedIdentifiers;
use crate::model::{IdentifierRules, IdentifierType, OWN_TYPES_MAX};

/// `[identity]`: who is one person. Stored state depends on it: it never changes later, but for how identifiers are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Types of a person's identifiers besides those that every hub knows, separated by commas: `NAME`, or `NAME=MAX` with the
    /// most that evidence brings together in one person (5; 0: any number). They are weaker than loyalty and stronger than device.
    pub types: String,
    /// Types of which one person has one value at most, separated by commas; what was seen with two of them belongs to neither.
    pub unique: String,
    /// An identifier that was seen with more stronger ones than this is shared: it links nobody.
    pub shared_above: u32,
    /// Evidence never connects more identifiers than this, things (orders, cases, contracts) not counted.
    pub component_max: u32,
    /// The most e-mail addresses that evidence brings together in one person; 0: any number. The same of the others.
    pub email_max: u32,
    /// Phone numbers.
    pub phone_max: u32,
    /// Loyalty cards.
    pub loyalty_max: u32,
    /// Devices.
    pub device_max: u32,
    /// Cookies.
    pub cookie_max: u32,
    /// Anonymous ids.
    pub anonymous_max: u32,
    /// The region of phone numbers without a country's code, as in ISO 3166: `DE`. Without it they stay as they are written.
    /// A spoke file may have its own. A change of this and the next two needs `insight-hub rebuild --from-sources`.
    pub phone_region: Option<String>,
    /// Whether e-mail addresses are compared without the tag after a `+`.
    pub ignore_email_tags: bool,
    /// More values that identify nobody, separated by commas: `VALUE`, or `TYPE:VALUE`.
    pub blocked: String,
    /// How the feeds write identifiers. It never changes later.
    pub publish: PublishedIdentifiers,
}

impl Default for Identity {
    fn default() -> Self {
        Identity {
            types: String::new(),
            unique: "customer_id".into(),
            shared_above: 4,
            component_max: 1_000,
            email_max: 5,
            phone_max: 5,
            loyalty_max: 5,
            device_max: 5,
            cookie_max: 100,
            anonymous_max: 100,
            phone_region: None,
            ignore_email_tags: false,
            blocked: String::new(),
            publish: PublishedIdentifiers::Clear,
        }
    }
}

impl Identity {
    /// The unique types, by name.
    pub fn unique(&self) -> impl Iterator<Item = &str> {
        self.unique.split(',').map(str::trim).filter(|kind| !kind.is_empty())
    }

    /// How identifiers are compared; an error names the key.
    pub fn rules(&self) -> Result<IdentifierRules, (&'static str, String)> {
        let own = self.own_types().map_err(|problem| ("identity.types", problem))?.into_keys().collect();
        let rules = IdentifierRules::default().with_plus_tags_dropped(self.ignore_email_tags);
        let mut rules = rules.with_own_types(own).map_err(|problem| ("identity.types", problem))?;
        if let Some(region) = &self.phone_region {
            rules = rules.with_phone_region(region).map_err(|problem| ("identity.phone_region", problem))?;
        }
        rules.with_blocked(&self.blocked).map_err(|problem| ("identity.blocked", problem))
    }

    /// The hub's own types, each with its limit.
    pub fn own_types(&self) -> Result<BTreeMap<IdentifierType, u32>, String> {
        let mut types = BTreeMap::new();
        for entry in self.types.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, limit) = match entry.split_once('=') {
                Some((name, limit)) => (name.trim(), limit.trim().parse().ok()),
                None => (entry, Some(5)),
            };
            let limit = limit.ok_or_else(|| format!("{entry:?} does not end with a whole number"))?;
            let kind = IdentifierType::own(name).map_err(|problem| format!("{name:?}: {problem}"))?;
            if types.insert(kind, limit).is_some() {
                return Err(format!("{name:?} is there twice"));
            }
            if types.len() > OWN_TYPES_MAX {
                return Err(format!("there are more than {OWN_TYPES_MAX}"));
            }
        }
        Ok(types)
    }

    /// The limits of the types that every hub knows.
    pub fn limits(&self) -> [(&'static str, u32); 6] {
        [
            ("email", self.email_max),
            ("phone", self.phone_max),
            ("loyalty", self.loyalty_max),
            ("device", self.device_max),
            ("cookie", self.cookie_max),
            ("anonymous", self.anonymous_max),
        ]
    }
}
