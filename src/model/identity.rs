//! What is published of identities: who an identifier names, and how that came about.

use super::{
    EventTime, IdentifierType,
    identifier::{Identifier, PersonId},
};

/// Why a pair does not link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It belongs to a component with more identifiers than a person can have.
    Oversize,
    /// A decision says that the two are never one.
    Never,
    /// The person would have more identifiers of this type than its limit.
    Limit(IdentifierType),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Oversize => formatter.write_str("oversize"),
            Refusal::Never => formatter.write_str("never_link"),
            Refusal::Limit(kind) => write!(formatter, "limit_{kind}"),
        }
    }
}

/// What an operator decided of two identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// They are one person.
    Link,
    /// They are never one person, by any path.
    Never,
}

/// An identifier with its keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyedIdentifier<'a> {
    /// Its keyed hash.
    pub id: PersonId,
    /// In clear. Of one that only a decision names the value is empty: nobody has seen it.
    pub identifier: Identifier<'a>,
}

/// What the feed of identities says of an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityState<'a> {
    /// It names a person, whose public id is the key.
    Person {
        /// Its identifiers, strongest first, itself included, up to a limit.
        identifiers: Vec<KeyedIdentifier<'a>>,
        /// How many there are.
        identifiers_total: u64,
        /// What was refused to one of them, up to a limit.
        conflicts: Vec<Conflict<'a>>,
        /// How many there are. Exact up to the limit; beyond, a pair with both ends in the person may count twice.
        conflicts_total: u64,
        /// Whether the identifier links nobody.
        shared: bool,
        /// The limits that the person is close to, by type.
        close: Vec<CloseLimit>,
    },
    /// It belongs to the person of a stronger one.
    Redirect {
        /// The identifier itself.
        identifier: KeyedIdentifier<'a>,
        /// Public id of the person.
        person: PersonId,
        /// The person's strongest identifier.
        strongest: KeyedIdentifier<'a>,
    },
    /// Nothing is known under this key any more.
    Gone,
}

/// A limit that a person is close to, at or beyond: an operator's link goes over limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CloseLimit {
    /// The type of identifiers.
    pub kind: IdentifierType,
    /// How many the person has.
    pub count: u32,
    /// The most that evidence brings together.
    pub limit: u32,
}

/// A pair that does not link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict<'a> {
    /// The stronger end.
    pub stronger: KeyedIdentifier<'a>,
    /// The weaker end.
    pub weaker: KeyedIdentifier<'a>,
    /// Why.
    pub rule: Refusal,
    /// Whether it is an operator's link decision that was refused, and not evidence.
    pub decided: bool,
}

/// An identifier in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its keyed hash.
    pub id: PersonId,
    /// In clear; absent if it is being erased. Of one that only a decision names the value is empty: nobody has seen it.
    pub identifier: Option<Identifier<'a>>,
}

/// What made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Pairs that a home reported.
    Report {
        /// The home's identifier.
        home: PersonId,
    },
    /// A command of an operator.
    Command {
        /// Its number in the command log.
        number: u64,
    },
}

/// The touchpoint that brought a pair: of those that name both, the one that came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brought<'a> {
    /// Its department.
    pub spoke: &'a str,
    /// Unique within its department.
    pub id: &'a str,
    /// When it happened.
    pub occurred_at: EventTime,
}

/// One line of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalEntry<'a> {
    /// What made the change.
    pub cause: Cause,
    /// The change.
    pub change: JournalChange<'a>,
    /// Of a new pair that links or is refused: what brought it, where a touchpoint did just now.
    pub brought: Option<Brought<'a>>,
}

/// What changed. Of two ends the stronger comes first, where both are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalChange<'a> {
    /// An erasure was made: up to this time.
    Erased {
        /// The keyed hash of the identifier.
        identifier: PersonId,
        /// Up to when.
        at: EventTime,
    },
    /// What operators decided of a pair is now this; `None`: nothing any more.
    Decided {
        /// One end.
        one: Named<'a>,
        /// The other.
        other: Named<'a>,
        /// What stands.
        decision: Option<Decision>,
    },
    /// A pair links no more.
    Unlinked {
        /// One end.
        one: Named<'a>,
        /// The other.
        other: Named<'a>,
    },
    /// A refusal is over.
    Lifted {
        /// One end.
        one: Named<'a>,
        /// The other.
        other: Named<'a>,
        /// Its rule.
        rule: Refusal,
        /// Whether a link decision had been refused, and not evidence.
        decided: bool,
    },
    /// A pair links.
    Linked {
        /// One end.
        one: Named<'a>,
        /// The other.
        other: Named<'a>,
    },
    /// A pair does not link: a conflict.
    Refused {
        /// One end.
        one: Named<'a>,
        /// The other.
        other: Named<'a>,
        /// Why.
        rule: Refusal,
        /// Whether a link decision was refused, and not evidence.
        decided: bool,
    },
    /// An identifier has another person.
    Redirected {
        /// Which.
        identifier: Named<'a>,
        /// Public id of the person before.
        from: PersonId,
        /// Public id of the person now.
        to: PersonId,
    },
}
