//! `insight.identities` and `insight.identity-journal`: who an identifier names, and how that came about.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    names::{Names, Shown},
    notation::{Instant, Notation},
    table::Feed,
};
use crate::model::{
    Cause, CloseLimit, Conflict, Decision, IdentityState, JournalChange, JournalEntry, KeyedIdentifier, Named, PersonId,
};

/// The feed `insight.identities`. Key: the public id of an identifier.
#[derive(Debug)]
pub enum Identities {}

/// An identifier and whom it names.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The public id of the identifier.
    pub key: PersonId,
    /// A person or a redirect. What is gone is a tombstone, and has no value.
    pub state: &'a IdentityState<'a>,
}

impl FeedRecord for Identities {
    const FEED: Feed = Feed::Identities;
    type Record<'a> = Identity<'a>;
    type Shape<'a, N: Notation> = IdentityShape<'a>;

    fn shape<'a, N: Notation>(record: &'a Identity<'a>, names: &Names) -> IdentityShape<'a> {
        let nobody = IdentifierShape { kind: "", value: Shown::Clear("") };
        let of = |known: &KeyedIdentifier<'a>| IdentifierShape::of(known, names);
        let mut shape = IdentityShape {
            identifier: nobody,
            person: record.key.to_string(),
            strongest: nobody,
            identifiers: Vec::new(),
            identifiers_total: 0,
            conflicts: Vec::new(),
            conflicts_total: 0,
            shared: false,
            close_to_limits: Vec::new(),
        };
        match record.state {
            IdentityState::Person { identifiers, identifiers_total, conflicts, conflicts_total, shared, close } => {
                shape.identifier = identifiers.first().map_or(nobody, of);
                shape.strongest = shape.identifier;
                shape.identifiers = identifiers.iter().map(of).collect();
                shape.identifiers_total = long(*identifiers_total);
                shape.conflicts = conflicts.iter().map(|conflict| ConflictShape::of(conflict, names)).collect();
                shape.conflicts_total = long(*conflicts_total);
                shape.shared = *shared;
                shape.close_to_limits = close.iter().map(CloseLimitShape::of).collect();
            }
            IdentityState::Redirect { identifier, person, strongest } => {
                shape.identifier = of(identifier);
                shape.person = person.to_string();
                shape.strongest = of(strongest);
            }
            IdentityState::Gone => {}
        }
        shape
    }
}

fn long(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The public shape of an identity; its fields are documented in `schemas/identities.avsc`.
#[derive(Serialize)]
pub struct IdentityShape<'a> {
    identifier: IdentifierShape<'a>,
    person: String,
    strongest: IdentifierShape<'a>,
    identifiers: Vec<IdentifierShape<'a>>,
    identifiers_total: i64,
    conflicts: Vec<ConflictShape<'a>>,
    conflicts_total: i64,
    shared: bool,
    close_to_limits: Vec<CloseLimitShape>,
}

#[derive(Serialize)]
#[serde(rename = "CloseLimit")]
struct CloseLimitShape {
    #[serde(rename = "type")]
    kind: &'static str,
    count: i64,
    limit: i64,
}

impl CloseLimitShape {
    fn of(close: &CloseLimit) -> CloseLimitShape {
        CloseLimitShape { kind: close.kind.as_str(), count: close.count.into(), limit: close.limit.into() }
    }
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename = "Identifier")]
struct IdentifierShape<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: Shown<'a>,
}

impl<'a> IdentifierShape<'a> {
    fn of(known: &KeyedIdentifier<'a>, names: &Names) -> IdentifierShape<'a> {
        IdentifierShape { kind: known.identifier.kind.as_str(), value: names.show_known(*known) }
    }
}

#[derive(Serialize)]
#[serde(rename = "Conflict")]
struct ConflictShape<'a> {
    stronger: IdentifierShape<'a>,
    weaker: IdentifierShape<'a>,
    rule: String,
    decided: bool,
}

impl<'a> ConflictShape<'a> {
    fn of(conflict: &Conflict<'a>, names: &Names) -> ConflictShape<'a> {
        ConflictShape {
            stronger: IdentifierShape::of(&conflict.stronger, names),
            weaker: IdentifierShape::of(&conflict.weaker, names),
            rule: conflict.rule.to_string(),
            decided: conflict.decided,
        }
    }
}

/// The feed `insight.identity-journal`. Key: the keyed hash of an identifier.
#[derive(Debug)]
pub enum IdentityJournal {}

impl FeedRecord for IdentityJournal {
    const FEED: Feed = Feed::IdentityJournal;
    type Record<'a> = JournalEntry<'a>;
    type Shape<'a, N: Notation> = JournalShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a JournalEntry<'a>, names: &Names) -> JournalShape<'a, N> {
        let mut shape = JournalShape {
            change: "",
            one: NamedShape { id: String::new(), kind: None, value: None },
            other: None,
            rule: None,
            decision: None,
            decided: false,
            from: None,
            to: None,
            erased_until: None,
            home: None,
            command: None,
            spoke: record.brought.map(|it| it.spoke),
            touchpoint: record.brought.map(|it| it.id),
            occurred_at: record.brought.map(|it| Instant::new(it.occurred_at)),
        };
        match record.cause {
            Cause::Report { home } => shape.home = Some(home.to_string()),
            Cause::Command { number } => shape.command = Some(long(number)),
        }
        let (change, one, other) = match record.change {
            JournalChange::Erased { identifier, at } => {
                shape.erased_until = Some(Instant::new(at));
                ("erased", Named { id: identifier, identifier: None }, None)
            }
            JournalChange::Decided { one, other, decision } => {
                shape.decision = Some(match decision {
                    Some(Decision::Link) => "link",
                    Some(Decision::Never) => "never_link",
                    None => "none",
                });
                ("decided", one, Some(other))
            }
            JournalChange::Unlinked { one, other } => ("unlinked", one, Some(other)),
            JournalChange::Linked { one, other } => ("linked", one, Some(other)),
            JournalChange::Lifted { one, other, rule, decided } => {
                (shape.rule, shape.decided) = (Some(rule.to_string()), decided);
                ("lifted", one, Some(other))
            }
            JournalChange::Refused { one, other, rule, decided } => {
                (shape.rule, shape.decided) = (Some(rule.to_string()), decided);
                ("refused", one, Some(other))
            }
            JournalChange::Redirected { identifier, from, to } => {
                (shape.from, shape.to) = (Some(from.to_string()), Some(to.to_string()));
                ("redirected", identifier, None)
            }
        };
        shape.change = change;
        shape.one = NamedShape::of(one, names);
        shape.other = other.map(|other| NamedShape::of(other, names));
        shape
    }
}

impl IdentityJournal {
    /// The key of an entry.
    pub fn key(entry: &JournalEntry<'_>) -> PersonId {
        match entry.change {
            JournalChange::Erased { identifier, .. } => identifier,
            JournalChange::Redirected { identifier, .. } => identifier.id,
            JournalChange::Decided { one, .. }
            | JournalChange::Unlinked { one, .. }
            | JournalChange::Linked { one, .. }
            | JournalChange::Lifted { one, .. }
            | JournalChange::Refused { one, .. } => one.id,
        }
    }
}

/// The public shape of an entry; its fields are documented in `schemas/identity-journal.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct JournalShape<'a, N> {
    change: &'static str,
    one: NamedShape<'a>,
    other: Option<NamedShape<'a>>,
    rule: Option<String>,
    decision: Option<&'static str>,
    decided: bool,
    from: Option<String>,
    to: Option<String>,
    erased_until: Option<Instant<N>>,
    home: Option<String>,
    command: Option<i64>,
    spoke: Option<&'a str>,
    touchpoint: Option<&'a str>,
    occurred_at: Option<Instant<N>>,
}

#[derive(Serialize)]
#[serde(rename = "Named")]
struct NamedShape<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    value: Option<Shown<'a>>,
}

impl<'a> NamedShape<'a> {
    fn of(named: Named<'a>, names: &Names) -> NamedShape<'a> {
        NamedShape {
            id: named.id.to_string(),
            kind: named.identifier.map(|identifier| identifier.kind.as_str()),
            value: named.identifier.map(|identifier| names.show_known(KeyedIdentifier { id: named.id, identifier })),
        }
    }
}
