//! What the links stage tells the rest of the hub.

use super::rules::Refusal;
use crate::model::{EventTime, PersonId};

pub use crate::model::{
    Brought, Cause, CloseLimit, Conflict, IdentityState, JournalChange, JournalEntry, KeyedIdentifier, Named,
};

/// The most identifiers that a published person lists.
pub const IDENTIFIERS_LISTED_MAX: usize = 256;

/// The most conflicts that a published person lists.
pub const CONFLICTS_LISTED_MAX: usize = 50;

/// Receives what follows from pairs and commands. All of a call come in an order that depends on nothing but the graph.
pub trait Effects {
    /// The home of an identifier learns whose it is. Versions of one home grow. Whom it leaves and to whom it comes expect to hear of
    /// it if they were told of the version before.
    fn assign(&mut self, home: PersonId, assigned: Assigned);
    /// So many homes, more than one, come to a person or leave them, by name, with a version.
    fn expect(&mut self, person: PersonId, version: u64, homes: u32);
    /// A home learns what is erased, and up to when.
    fn erased(&mut self, home: PersonId, erased: &[(PersonId, EventTime)]);
    /// The feed of identities: `key` is the public id of an identifier. From [`Links::publish`](super::Links::publish) only.
    fn identity(&mut self, key: PersonId, state: &IdentityState<'_>);
    /// The journal of links, refusals, decisions, redirects and erasures.
    fn journal(&mut self, entry: &JournalEntry<'_>);
    /// For telemetry.
    fn counted(&mut self, event: Counted);
}

/// Whose a home is from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Whom it leaves.
    pub from: PersonId,
    /// Whether that one expects it to.
    pub from_expects: bool,
    /// To whom it comes.
    pub person: PersonId,
    /// Whether that one expects it.
    pub expects: bool,
    /// The version.
    pub version: u64,
}

/// What telemetry counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// A pair links.
    Linked,
    /// A pair links no more.
    Unlinked,
    /// A pair was refused.
    Refused(Refusal),
    /// A command was to take back one that nobody gave, or an erasure.
    TookNothingBack,
    /// A command had the id of an earlier one: it does nothing.
    IdUsedBefore,
    /// A refusal is over.
    Lifted(Refusal),
    /// A home was told another person: its touchpoints move.
    Moved,
    /// So many identifiers, things not counted, are one person since this change.
    PersonOf(u64),
}
