//! What departments and operators say, as records for the hub and as the oracle's input.

use std::collections::{BTreeMap, BTreeSet};

use insight_hub::{
    company::SourceEvent,
    model::{AlertId, AlertName, CommandRecord, Order},
};
use serde_json::Value;

use super::{CONTACT_CAP, Id, name};
use crate::{
    oracle::{self, Expected, Options, Persons},
    world::{PERSON_KEY, truth_under},
};

/// What an operator orders, identifiers in clear.
#[derive(Clone, Debug)]
pub enum Ordered {
    Link(Vec<(Id, Id)>),
    Never(Vec<(Id, Id)>),
    Undo(String),
    Erase(Id),
    /// An alert by its id, by whom.
    Acknowledge(String, &'static str),
}

impl Ordered {
    /// As the hub reads it.
    pub fn record(&self, id: &str) -> CommandRecord {
        let named = |pairs: &[(Id, Id)]| pairs.iter().map(|(one, other)| (name(one), name(other))).collect();
        let order = match self {
            Ordered::Link(pairs) => Order::Link { pairs: named(pairs) },
            Ordered::Never(pairs) => Order::NeverLink { pairs: named(pairs) },
            Ordered::Undo(undo) => Order::Undo { undo: undo.clone() },
            Ordered::Erase(identifier) => Order::Erase { identifier: name(identifier) },
            Ordered::Acknowledge(alert, by) => {
                Order::Acknowledge { alert: AlertName(AlertId::parse(alert).unwrap()), by: (*by).to_owned() }
            }
        };
        CommandRecord { id: id.to_owned(), order }
    }
}

/// One thing that is said.
#[derive(Clone, Debug)]
pub enum Said {
    Event(SourceEvent),
    Command { id: String, order: Ordered, at_ms: i64 },
}

fn source(event: &SourceEvent) -> oracle::Source<'_> {
    oracle::Source { spoke: event.spoke, payload: &event.payload, timestamp_ms: event.timestamp_ms }
}

/// Keeps all that was said, and knows what follows from it.
#[derive(Clone, Default)]
pub struct Clerk {
    pub events: Vec<SourceEvent>,
    pub orders: oracle::Orders,
    pub acknowledged: BTreeMap<String, (String, i64)>,
    /// What is meant besides.
    pub meaning: Options,
}

impl Clerk {
    /// Hears what is said while the hub is at rest: an erasure takes the person as the hub then knows it.
    pub fn hear(&mut self, said: &[Said]) {
        for said in said {
            match said {
                Said::Event(event) => self.events.push(event.clone()),
                Said::Command { order: Ordered::Acknowledge(alert, by), at_ms, .. } => {
                    self.acknowledged.entry(alert.clone()).or_insert(((*by).to_owned(), *at_ms));
                }
                Said::Command { id, order, at_ms } => {
                    // The first with an id counts.
                    if self.orders.iter().any(|(known, _)| known == id) {
                        continue;
                    }
                    let order = match order {
                        Ordered::Erase(named) => oracle::erasure(self.sources(), &self.options(), named, *at_ms),
                        Ordered::Link(pairs) => oracle::Order::Link(pairs.clone()),
                        Ordered::Never(pairs) => oracle::Order::Never(pairs.clone()),
                        Ordered::Undo(earlier) => oracle::Order::Undo(earlier.clone()),
                        Ordered::Acknowledge(..) => unreachable!("it was heard above"),
                    };
                    self.orders.push((id.clone(), order));
                }
            }
        }
    }

    /// Hears what is said whenever it is: whom an erasure took, and up to when, is what the journal says of it. Everything
    /// else still has to follow.
    pub fn hear_of_races(said: &[Said], journal: &[Value]) -> Clerk {
        let mut clerk = Clerk::default();
        let mut names: BTreeMap<String, Id> = BTreeMap::new();
        for said in said {
            match said {
                Said::Event(event) => {
                    let touch = oracle::read(&source(event), &Options::default());
                    let identifiers = touch.map(|touch| touch.identifiers).unwrap_or_default();
                    names.extend(identifiers.into_iter().map(|id| (name(&id).id.to_string(), id)));
                }
                Said::Command { order: Ordered::Erase(id), .. } => {
                    drop(names.insert(name(id).id.to_string(), id.clone()))
                }
                Said::Command { .. } => {}
            }
        }
        // A command's number is its place in the log.
        let mut number = 0;
        for said in said {
            let Said::Command { id, order: Ordered::Erase(_), .. } = said else {
                number += u64::from(matches!(said, Said::Command { .. }));
                clerk.hear(std::slice::from_ref(said));
                continue;
            };
            let lines: Vec<&Value> =
                journal.iter().filter(|line| line["change"] == "erased" && line["command"] == number).collect();
            number += 1;
            let members: BTreeSet<Id> =
                lines.iter().map(|line| names[line["one"]["id"].as_str().unwrap()].clone()).collect();
            let at = |line: &&Value| {
                line["erased_until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
            };
            if let Some(at) = lines.iter().map(at).min() {
                clerk.orders.push((id.clone(), oracle::Order::Erase { members, at }));
            }
        }
        clerk
    }

    pub fn options(&self) -> Options {
        Options {
            orders: self.orders.clone(),
            acknowledged: self.acknowledged.clone(),
            contact_cap: CONTACT_CAP,
            ..self.meaning.clone()
        }
    }

    fn sources(&self) -> impl Iterator<Item = oracle::Source<'_>> {
        self.events.iter().map(source)
    }

    /// What the feeds must hold.
    pub fn truth(&self) -> Expected {
        truth_under(&self.events, self.options())
    }

    /// Who is one person.
    pub fn persons(&self) -> Persons {
        oracle::persons(self.sources(), &Options { person_key: PERSON_KEY, ..self.options() })
    }

    /// The same if one command had not been given.
    pub fn persons_without(&self, number: usize) -> Persons {
        let mut orders = self.orders.clone();
        orders.remove(number);
        oracle::persons(self.sources(), &Options { orders, person_key: PERSON_KEY, ..Options::default() })
    }

    /// The strongest identifiers of what is left of touchpoints.
    pub fn homes(&self) -> BTreeSet<Id> {
        oracle::homes(self.sources(), &Options { person_key: PERSON_KEY, ..self.options() })
    }

    /// Up to when identifiers are erased.
    pub fn erased(&self) -> BTreeMap<Id, i64> {
        oracle::erased(&Options { person_key: PERSON_KEY, ..self.options() })
    }

    /// The last erasure: whom it took, and up to when.
    pub fn last_erasure(&self) -> Option<(&BTreeSet<Id>, i64)> {
        self.orders.iter().rev().find_map(|(_, order)| match order {
            oracle::Order::Erase { members, at } => Some((members, *at)),
            _ => None,
        })
    }
}
