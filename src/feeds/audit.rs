//! `insight.audit`: who saw which personal data, out.

use serde::Serialize;

use super::{
    encoder::FeedRecord,
    names::Names,
    notation::{Instant, Notation, Text},
    table::Feed,
};
use crate::model::{EventTime, PersonId};

/// The feed `insight.audit`. Key: [`AuditEntry::key`].
#[derive(Debug)]
pub enum Audit {}

/// Somebody saw personal data, or looked for some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who: the id of a token.
    pub actor: String,
    /// When, by the clock of the hub that showed it: each of its entries has a time of its own.
    pub at: EventTime,
    /// What was done: `read`, `decide` or `erase`.
    pub action: &'static str,
    /// How: the operation of the API.
    pub operation: &'static str,
    /// The feed that is watched, without its prefix; `None` of everything but `watch_feed`.
    pub feed: Option<&'static str>,
    /// Whose data, if it is one person's.
    pub person: Option<PersonId>,
    /// Which command was handed over: its id, or what stands for one that somebody gave; `None` of what is none.
    pub command: Option<String>,
    /// How many records were shown; 0: there was nothing. Of a decision or an erasure how many identifiers or things it names.
    pub records: u64,
}

impl AuditEntry {
    /// `actor|time`, the time in UTC with milliseconds.
    pub fn key(&self) -> String {
        let time = serde_json::to_value(Instant::<Text>::new(self.at)).expect("a time is a string");
        format!("{}|{}", self.actor, time.as_str().unwrap_or_default())
    }
}

impl FeedRecord for Audit {
    const FEED: Feed = Feed::Audit;
    type Record<'a> = AuditEntry;
    type Shape<'a, N: Notation> = AuditShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a AuditEntry, _: &Names) -> AuditShape<'a, N> {
        AuditShape {
            actor: &record.actor,
            at: Instant::new(record.at),
            action: record.action,
            operation: record.operation,
            feed: record.feed,
            person: record.person.map(|person| person.to_string()),
            command: record.command.as_deref(),
            records: i64::try_from(record.records).unwrap_or(i64::MAX),
        }
    }
}

/// The public shape of an entry; its fields are documented in `schemas/audit.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct AuditShape<'a, N> {
    actor: &'a str,
    at: Instant<N>,
    action: &'static str,
    operation: &'static str,
    feed: Option<&'static str>,
    person: Option<String>,
    command: Option<&'a str>,
    records: i64,
}
