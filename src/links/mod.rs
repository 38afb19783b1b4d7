//! Links: pairs of identifiers and operators' commands in; who is one person, and why, out. Pure: no clock, no IO.
//!
//! In reading order:
//! - [`rules`]: what the meaning depends on: unique types, limits, when an identifier is shared.
//! - [`decisions`]: the command log → the links and never-links that stand.
//! - `component`: the order of joining: decisions, then pairs, strongest first.
//! - [`resolve`]: the definition: all pairs and decisions → persons and conflicts.
//! - [`store_keys`]: the entries of the store.
//! - `classes`: what link decisions make of identifiers.
//! - `graph`, `explore`: what the store says around an identifier, before and after a change.
//! - `change`: a change → the part of the graph that it can touch, resolved anew; the argument why that is enough.
//! - `easy`: the pairs for which nothing has to be resolved.
//! - `traces`: which identifiers may have entries besides their nodes, so that a new one costs no look for them.
//! - `ledger`, `erase`: commands and erasures in the store.
//! - `withdraw`: evidence that a home takes back. The executable model of the protocol does not have it: only a second reading
//!   of a department's topic makes it.
//! - `publish`: the feed of identities.
//! - [`stage`]: pairs and commands, effects, commits.
//!
//! Invariants: after each call the store holds what `resolve` says of all evidence and decisions that are left, whatever the
//! order in which they came. An identifier is in clear in its own node alone; after its erasure nowhere. Nothing is kept in
//! memory but what the next commit publishes and what `traces` knows, which is read from the store again when it is lost.

pub mod rules;

pub mod decisions;

mod component;

pub mod resolve;

pub mod store_keys;

mod traces;

mod graph;

mod classes;

mod explore;

mod change;

mod easy;

mod ledger;

mod erase;

mod withdraw;

mod publish;

pub mod effects;

pub mod stage;

#[cfg(test)]
mod tests;

pub use decisions::Decision;
pub use effects::{
    Assigned, Brought, Cause, CloseLimit, Conflict, Counted, Effects, IdentityState, JournalChange, JournalEntry, Named,
};
pub use rules::{Refusal, Rules};
pub use stage::{Command, Links, ReportedPair, Target};
pub use withdraw::Withdrawn;

use crate::model::{EventTime, PersonId};

/// An entry of the store that says until when an identifier is erased, as the changelog has it; `None`: it says something
/// else.
pub fn erased_entry(key: &[u8], value: &[u8]) -> Option<(PersonId, EventTime)> {
    let [b'x', name @ ..] = key else { return None };
    Some((PersonId(name.try_into().ok()?), store_keys::decode_time(value).ok()?))
}

/// A pair as it is kept: the stronger first.
fn stronger_first<T: Ord>(one: T, other: T) -> (T, T) {
    if one <= other { (one, other) } else { (other, one) }
}
