//! One person behind many identifiers, on the whole hub in simulation: whatever the order, the faults, the operators'
//! decisions and their erasures, as if everything had been known from the start.
//!
//! - [`clerk`]: what departments and operators say, as records for the hub and as the oracle's input.
//! - [`story`]: a named story, step by step.
//! - [`disasters`]: the well-known ones.
//! - [`known`]: anonymous to known.
//! - [`febrl`]: data whose truth is known.
//! - [`large`]: what one home tells at once.
//! - [`long`]: long histories that move.
//! - [`own`]: a type of identifiers that only this hub has.
//! - [`worlds`]: random people, decisions, erasures, and what comes after them.
//! - [`schedules`]: such worlds under seeded faults, at rest and in races.

mod clerk;
mod disasters;
mod febrl;
mod known;
mod large;
mod long;
mod own;
mod schedules;
mod story;
mod worlds;

pub use clerk::{Clerk, Ordered, Said};

use std::{collections::BTreeMap, sync::Arc};

use insight_hub::{
    company::SourceEvent,
    engine::{
        log::{
            TopicPartition,
            sim::{Simulation, SimulationOptions, SourceRecord},
        },
        topics::{TopicIndex, Topics},
        worker::WorkerOptions,
    },
    ingest::{self, LiveSpokes, Spoke, SpokeFile, SpokeSet},
    model::{Identifier, IdentifierRules, IdentifierType, Name, PersonKey},
    topology::{self, TopicMap, TopologyOptions},
    wire::Schemas,
};
use serde_json::{Value, json};

use crate::{
    oracle::{Feeds, IDENTIFIER_TYPES},
    simulation::{read, small_worker},
    world::{PERSON_KEY, SPOKE_PARTITIONS, topology_options},
};

/// 2026-03-02T00:00:00Z.
pub const START_MS: i64 = 1_772_409_600_000;
pub const HOUR_MS: i64 = 3_600_000;
/// Two departments, which both number their events 1, 2, 3.
pub const DEPARTMENTS: [&str; 2] = ["warehouse", "shop"];

/// So few that small worlds exceed it.
pub const CONTACT_CAP: i64 = 1;

/// Rank of the type and value.
pub type Id = (usize, String);

/// The departments write touchpoints as they are; the hub has `tax_number` as a type of its own.
pub fn options(name: &str) -> TopologyOptions {
    partitioned(name, 3, 2, SPOKE_PARTITIONS)
}

/// The same with so many partitions of customers, of metrics and of each department's topic.
fn partitioned(name: &str, customers: i32, metrics: i32, spoke: i32) -> TopologyOptions {
    let own = IdentifierType::own("tax_number").unwrap();
    let spokes = DEPARTMENTS.map(|department| {
        let file = format!("spoke = \"{department}\"\ntopic = \"{department}.events\"\nformat = \"touchpoint-json\"\n");
        let file = SpokeFile::parse(department, &file).unwrap();
        let identifiers = IdentifierRules::default().with_own_types(vec![own]).unwrap();
        let options = ingest::Options { identifiers, ..ingest::Options::default() };
        Spoke::compile(&file, options, &Arc::new(Schemas::default())).unwrap()
    });
    let mut options = topology_options(name, customers);
    options.links = options.links.with_own_types(&[own]).with_limit(own, Some(2));
    options.customers.fold.contact_cap = CONTACT_CAP;
    TopologyOptions {
        spokes: Arc::new(LiveSpokes::new(SpokeSet::new(spokes).unwrap())),
        spoke_partitions: DEPARTMENTS.iter().map(|name| (format!("{name}.events"), spoke)).collect(),
        metrics_partitions: metrics,
        ..options
    }
}

/// `email:ann@x.org`.
pub fn id(text: &str) -> Id {
    let (kind, value) = text.split_once(':').unwrap();
    (IDENTIFIER_TYPES.iter().position(|name| *name == kind).unwrap(), value.to_owned())
}

/// The same as a text.
pub fn shown((rank, value): &Id) -> String {
    format!("{}:{value}", IDENTIFIER_TYPES[*rank])
}

/// An identifier as commands name it.
pub fn name((rank, value): &Id) -> Name {
    let kind = IdentifierType::parse(IDENTIFIER_TYPES[*rank]).unwrap();
    Name { kind, id: PersonKey(PERSON_KEY).person(Identifier { kind, value }) }
}

/// A touchpoint of a department, so many hours after the beginning.
pub fn touch(department: &'static str, number: usize, hour: i64, kind: &str, identifiers: &[Id]) -> SourceEvent {
    let mut map: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (rank, value) in identifiers {
        map.entry(IDENTIFIER_TYPES[*rank]).or_default().push(value);
    }
    let at = START_MS + hour * HOUR_MS;
    let mut payload = json!({ "id": number.to_string(), "kind": kind, "occurred_at": at, "identifiers": map });
    if kind == "order_placed" {
        payload["amount"] = json!({ "minor": 1_000 + number as i64, "currency": "EUR" });
    }
    canonical(department, number, at, &payload)
}

/// What a department tells at once, as a canonical touchpoint.
pub fn canonical(department: &'static str, number: usize, at: i64, payload: &Value) -> SourceEvent {
    SourceEvent {
        spoke: department,
        key: number.to_string().into_bytes(),
        payload: payload.to_string().into_bytes(),
        occurred_at: at,
        timestamp_ms: at,
        valid: true,
        rejection: None,
        duplicate: false,
    }
}

/// A hub in simulation that is told one thing after the other.
pub struct Hub {
    pub simulation: Simulation,
    pub map: TopicMap,
    topics: Arc<Topics>,
    said: usize,
}

impl Hub {
    pub fn new(seed: u64, instances_max: usize) -> Hub {
        Hub::with_worker(seed, instances_max, small_worker())
    }

    pub fn with_worker(seed: u64, instances_max: usize, worker: WorkerOptions) -> Hub {
        Hub::of(&options("identity"), seed, instances_max, worker)
    }

    /// The same, with as many partitions as the seed says.
    pub fn of_seed(seed: u64, instances_max: usize) -> Hub {
        let [customers, metrics, spoke] = [(5, 1), (3, 5), (4, 15)].map(|(most, of)| 1 + (seed / of % most) as i32);
        Hub::of(&partitioned("identity", customers, metrics, spoke), seed, instances_max, small_worker())
    }

    /// A hub of other departments.
    pub fn of(options: &TopologyOptions, seed: u64, instances_max: usize, worker: WorkerOptions) -> Hub {
        let (topology, map) = topology::topology(options);
        let options = SimulationOptions { seed, instances_max, faults: 0, worker };
        let topics = topology.topics.clone();
        Hub { simulation: Simulation::new(options, topology, Vec::new()), map, topics, said: 0 }
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> TopicIndex {
        self.topics.find(name).unwrap()
    }

    /// What is said from now on, in this order.
    pub fn tell(&mut self, said: &[Said]) {
        let record = |(index, said): (usize, &Said)| match said {
            Said::Event(event) => {
                let topic = self.topic(&format!("{}.events", event.spoke));
                let partition = i32::try_from(index).unwrap() % self.topics.get(topic).partitions;
                SourceRecord {
                    to: TopicPartition { topic, partition },
                    key: Some(event.key.clone()),
                    value: event.payload.clone(),
                    timestamp_ms: event.timestamp_ms,
                }
            }
            Said::Command { id, order, at_ms } => SourceRecord {
                to: TopicPartition { topic: self.map.commands, partition: 0 },
                key: Some(id.clone().into_bytes()),
                value: order.record(id).encode(),
                timestamp_ms: *at_ms,
            },
        };
        let records = (self.said..).zip(said).map(record).collect();
        self.said += said.len();
        self.simulation.append(records);
    }

    /// Until nothing moves any more.
    #[track_caller]
    pub fn rest(&mut self, what: &str) -> Feeds {
        self.simulation.run(&mut |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
        read(&self.simulation.cluster().borrow(), &self.map)
    }

    /// Why records were rejected: reason and field of each dead letter.
    pub fn letters(&self) -> Vec<(String, String)> {
        let cluster = self.simulation.cluster().borrow();
        let letters = cluster.read_committed(self.map.rejected_feed);
        let said = |headers: &[(Arc<str>, Vec<u8>)], field: &str| {
            let name = format!("__streams.errors.{field}");
            let found = headers.iter().find(|(header, _)| **header == *name);
            String::from_utf8(found.expect("a dead letter says why").1.clone()).unwrap()
        };
        letters.iter().map(|letter| (said(&letter.headers, "reason"), said(&letter.headers, "field"))).collect()
    }

    /// Every line of the journal.
    pub fn journal(&self) -> Vec<Value> {
        let cluster = self.simulation.cluster().borrow();
        let lines = cluster.read_committed(self.map.journal_feed);
        lines.into_iter().map(|line| serde_json::from_slice(&line.value.unwrap()).unwrap()).collect()
    }
}
