//! READ FIRST: every stage, topic, key and store of the hub on one page.
//!
//! ```text
//!  spoke topics ──▶ ingest ──touchpoints, 64 KiB batches──▶ customers ──contributions──▶ metrics ──▶ insight.metrics
//!  insight.commands ─▶ │ │                                  ▲ │ │ │ ▲                       ▲  ├─────▶ insight.catalogue
//!                      │ │                        fragments └─┘ │ │ │ assignments           │  └─────▶ insight.spokes
//!                      │ │     ┌───────────pairs of identifiers─┘ │ │                       │
//!                      │ └─────┴──orders──────────────▶ links ──────┘                       │
//!                      │                                  └─▶ insight.identities, insight.identity-journal
//!                      ├─▶ insight.rejected                       └─▶ insight.customers, insight.touchpoints, insight.alerts
//!                      └────────────────────outcomes, reports of arrivals───────────────────┘
//! ```
//!
//! | stage | reads | keyed by | keeps | writes |
//! | --- | --- | --- | --- | --- |
//! | `ingest` | spoke topics, `insight.commands` | – | nothing | customers repartition, metrics repartition (data quality, arrivals), links repartition (orders), `insight.rejected` |
//! | `customers` | customers repartition | home and person | touchpoints of homes, copies of those that belong to a person, heads, snapshots, timers | customers repartition (fragments), links repartition (pairs, the time of the newest touchpoint), metrics repartition, `insight.customers`, `insight.touchpoints`, `insight.alerts` |
//! | `links` | links repartition, one partition | – | the graph of identifiers, decisions, erasures | customers repartition (assignments, erasures), `insight.identities`, `insight.identity-journal` |
//! | `metrics` | metrics repartition | cell family, spoke | cells, levels, families of analyses, settling, accounts of spokes | `insight.metrics`, `insight.journeys`, `insight.attribution`, `insight.drivers`, `insight.priorities`, `insight.changes`, `insight.catalogue`, `insight.spokes` |
//!
//! A touchpoint goes to its *home*, the task of its strongest identifier, which keeps it, and reports pairs of identifiers
//! that it had not seen together before. `links` says whose a home is; the home sends its *fragment* there, and each later
//! touchpoint. For known customers home and person are one, and nothing of that happens.
//!
//! Internal topics are `<application>-<stage>-repartition` and `<application>-<stage>-changelog`; their records are in
//! [`messages`]. The instant as of which the hub speaks, and the watermark of each source, travel on them: a sender
//! tells every partition when the day changes, a receiver keeps the largest (as of) or the one per sender (watermark). A
//! source partition that has been quiet for long says that it is idle, and is left out until it speaks again.
//!
//! `insight-hub rebuild --from-sources` runs the stage `reread` in the place of `ingest` ([`rereading`]): the same records
//! through the mappings of now, to customers and to nobody else.
//!
//! A rebuild (`engine::rebuild`) is told on them as well: contributions name the generation that they belong to, so that
//! no cell holds two; each customers partition says when it has refolded everything, and only then are cells published.

mod commands;
mod customers;
mod heard;
mod ingest;
mod links;
pub mod messages;
mod metrics;
mod observer;
mod pace;
pub mod readings;
mod reread;
mod sequence;
mod store_view;
mod tally;
mod watermarks;

pub use observer::{Deed, PlannedFault, TelemetryObserver};

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    engine::{
        stage::{StageSpec, Topology},
        topics::{Cleanup, ErasedWithin, Ownership, TopicIndex, TopicSpec, Topics},
    },
    feeds::{self, Feed, FeedFormat, Names},
    ingest::LiveSpokes,
    metrics::catalogue,
    model::{Calendar, PersonKey},
    telemetry::Telemetry,
};

use readings::{Rereading, Wanted};
use watermarks::Sources;

/// Everything that the topology is made from.
#[derive(Clone)]
pub struct TopologyOptions {
    /// Names the group, the internal topics and transactional ids.
    pub application_id: String,
    /// The departments. Their mappings may be replaced later; which there are, and their topics, stays.
    pub spokes: Arc<LiveSpokes>,
    /// How many partitions each spoke's topic has; a topic that is not named has one. No window is final before each of
    /// them was heard of.
    pub spoke_partitions: BTreeMap<String, i32>,
    /// Makes person ids.
    pub person_key: PersonKey,
    /// The days of the configured time zone.
    pub calendar: Calendar,
    /// Partitions of the customers stage.
    pub customers_partitions: i32,
    /// Partitions of the metrics stage.
    pub metrics_partitions: i32,
    /// Partitions of each public feed.
    pub feed_partitions: i32,
    /// What public topics' names start with.
    pub feed_prefix: String,
    /// How public values are written.
    pub feed_format: FeedFormat,
    /// Whether `insight.touchpoints` is published.
    pub touchpoints_feed: bool,
    /// How the feeds write identifiers.
    pub names: Names,
    /// How long dead letters are kept, in milliseconds.
    pub rejected_retention_ms: i64,
    /// Within how long no byte is left of what was erased.
    pub erased_within: ErasedWithin,
    /// How far behind the newest touchpoint of its partition a touchpoint may come before its window is final, in
    /// milliseconds.
    pub allowed_disorder_ms: i64,
    /// The customers stage.
    pub customers: crate::customers::Options,
    /// What links people.
    pub links: crate::links::Rules,
    /// The metrics stage.
    pub metrics: crate::metrics::Options,
    /// Where operational events go.
    pub telemetry: Telemetry,
}

impl TopologyOptions {
    fn partitions_of(&self, topic: &str) -> i32 {
        self.spoke_partitions.get(topic).copied().unwrap_or(1)
    }

    fn sources(&self) -> Sources {
        Sources::new(self.spokes.now().iter().map(|spoke| (spoke.topic(), self.partitions_of(spoke.topic()))))
    }
}

/// The name of the topic of operators' commands, after the prefix of public topics.
pub const COMMANDS_SUFFIX: &str = "commands";

/// Where each topic is in the topology's list.
#[derive(Clone, Copy, Debug)]
pub struct TopicMap {
    /// ingest → customers.
    pub customers_repartition: TopicIndex,
    /// ingest and customers → links.
    pub links_repartition: TopicIndex,
    /// ingest and customers → metrics.
    pub metrics_repartition: TopicIndex,
    /// `insight.customers`.
    pub customers_feed: TopicIndex,
    /// `insight.touchpoints`.
    pub touchpoints_feed: TopicIndex,
    /// `insight.identities`.
    pub identities_feed: TopicIndex,
    /// `insight.identity-journal`.
    pub journal_feed: TopicIndex,
    /// `insight.alerts`.
    pub alerts_feed: TopicIndex,
    /// `insight.metrics`.
    pub metrics_feed: TopicIndex,
    /// `insight.journeys`.
    pub journeys_feed: TopicIndex,
    /// `insight.attribution`.
    pub attribution_feed: TopicIndex,
    /// `insight.drivers`.
    pub drivers_feed: TopicIndex,
    /// `insight.changes`.
    pub changes_feed: TopicIndex,
    /// `insight.priorities`.
    pub priorities_feed: TopicIndex,
    /// `insight.scorecards`.
    pub scorecards_feed: TopicIndex,
    /// `insight.balance`.
    pub balance_feed: TopicIndex,
    /// `insight.catalogue`.
    pub catalogue_feed: TopicIndex,
    /// `insight.spokes`.
    pub spokes_feed: TopicIndex,
    /// `insight.rejected`.
    pub rejected_feed: TopicIndex,
    /// `insight.audit`: written by the API, read by nobody here.
    pub audit_feed: TopicIndex,
    /// `insight.commands`: operators' decisions and erasures. Read, not written.
    pub commands: TopicIndex,
}

/// The topic of the customers' state.
pub fn customers_changelog(application_id: &str) -> String {
    internal_topic(application_id, "customers", "changelog")
}

/// The topic of the state of links.
pub fn links_changelog(application_id: &str) -> String {
    internal_topic(application_id, "links", "changelog")
}

fn internal_topic(application_id: &str, stage: &str, what: &str) -> String {
    format!("{application_id}-{stage}-{what}")
}

/// The hub's topology, and where its topics are in it.
pub fn topology(options: &TopologyOptions) -> (Topology, TopicMap) {
    let application = &options.application_id;
    let mut topics = Topics::new(options.erased_within);
    let mut sources: Vec<TopicIndex> = options
        .spokes
        .now()
        .iter()
        .map(|spoke| {
            options.telemetry.name_spoke(spoke.topic(), spoke.name());
            topics.add(TopicSpec {
                name: Arc::from(spoke.topic()),
                ownership: Ownership::Spoke,
                partitions: options.partitions_of(spoke.topic()),
                cleanup: Cleanup::Delete { retention_ms: None },
            })
        })
        .collect();
    let mut internal = |stage: &str, what: &str, ownership, partitions| {
        let cleanup = match ownership {
            Ownership::Changelog => Cleanup::Compact,
            _ => Cleanup::Delete { retention_ms: None },
        };
        let name = Arc::from(internal_topic(application, stage, what));
        topics.add(TopicSpec { name, ownership, partitions, cleanup })
    };
    let customers_repartition =
        internal("customers", "repartition", Ownership::Repartition, options.customers_partitions);
    let customers_changelog = internal("customers", "changelog", Ownership::Changelog, options.customers_partitions);
    let links_repartition = internal("links", "repartition", Ownership::Repartition, 1);
    let links_changelog = internal("links", "changelog", Ownership::Changelog, 1);
    let metrics_repartition = internal("metrics", "repartition", Ownership::Repartition, options.metrics_partitions);
    let metrics_changelog = internal("metrics", "changelog", Ownership::Changelog, options.metrics_partitions);
    let mut feed = |feed: Feed| {
        let description = feed.description();
        let cleanup = match description.cleanup {
            feeds::Cleanup::Compact => Cleanup::Compact,
            feeds::Cleanup::Delete => Cleanup::Delete { retention_ms: Some(options.rejected_retention_ms) },
        };
        topics.add(TopicSpec {
            name: Arc::from(format!("{}{}", options.feed_prefix, description.suffix)),
            ownership: Ownership::Feed,
            partitions: options.feed_partitions,
            cleanup,
        })
    };
    let map = TopicMap {
        customers_repartition,
        links_repartition,
        metrics_repartition,
        customers_feed: feed(Feed::Customers),
        touchpoints_feed: feed(Feed::Touchpoints),
        identities_feed: feed(Feed::Identities),
        journal_feed: feed(Feed::IdentityJournal),
        alerts_feed: feed(Feed::Alerts),
        metrics_feed: feed(Feed::Metrics),
        journeys_feed: feed(Feed::Journeys),
        attribution_feed: feed(Feed::Attribution),
        drivers_feed: feed(Feed::Drivers),
        changes_feed: feed(Feed::Changes),
        priorities_feed: feed(Feed::Priorities),
        balance_feed: feed(Feed::Balance),
        scorecards_feed: feed(Feed::Scorecards),
        catalogue_feed: feed(Feed::Catalogue),
        spokes_feed: feed(Feed::Spokes),
        rejected_feed: feed(Feed::Rejected),
        audit_feed: feed(Feed::Audit),
        commands: topics.add(TopicSpec {
            name: Arc::from(format!("{}{COMMANDS_SUFFIX}", options.feed_prefix)),
            ownership: Ownership::Feed,
            // Their order is what they mean.
            partitions: 1,
            cleanup: Cleanup::Delete { retention_ms: Some(options.rejected_retention_ms) },
        }),
    };
    sources.push(map.commands);
    let stages = vec![
        StageSpec {
            name: "ingest",
            inputs: sources,
            changelog: None,
            rereads: None,
            make: ingest::maker(options, map, &topics),
        },
        StageSpec {
            name: "customers",
            inputs: vec![customers_repartition],
            changelog: Some(customers_changelog),
            rereads: None,
            make: customers::maker(options, map, None),
        },
        StageSpec {
            name: "links",
            inputs: vec![links_repartition],
            changelog: Some(links_changelog),
            rereads: None,
            make: links::maker(options, map),
        },
        StageSpec {
            name: "metrics",
            inputs: vec![metrics_repartition],
            changelog: Some(metrics_changelog),
            rereads: None,
            make: metrics::maker(options, map),
        },
    ];
    let topology = Topology {
        application_id: Arc::from(application.as_str()),
        topics: Arc::new(topics),
        stages: Arc::new(stages),
        placement: placement(options),
        definition: definition(options),
    };
    (topology, map)
}

/// A department's topic that is to be read again.
#[derive(Clone, Debug)]
pub struct Again {
    /// The department.
    pub spoke: String,
    /// Whether its topic is compacted: then nobody knows what else was once in it.
    pub is_compacted: bool,
}

/// A topology that reads departments' topics again, with the mappings of now, up to where the hub has read them; and how far
/// it is. `prepared`: the hub's topology, which knows how many partitions topics have. `forgets`: whether touchpoints whose
/// records may only be gone go as well.
pub fn rereading(
    options: &TopologyOptions,
    prepared: &Topology,
    again: &[Again],
    forgets: bool,
) -> (Topology, Arc<Rereading>) {
    let mut options = options.clone();
    let spokes = prepared.topics.iter().filter(|(_, topic)| topic.ownership == Ownership::Spoke);
    options.spoke_partitions = spokes.map(|(_, topic)| (topic.name.to_string(), topic.partitions)).collect();
    let (mut topology, map) = topology(&options);
    let mut wanted = BTreeMap::new();
    for spoke in options.spokes.now().iter() {
        let again = again.iter().find(|again| again.spoke == spoke.name());
        if let (Some(again), Some(topic)) = (again, topology.topics.find(spoke.topic())) {
            let partitions = topology.topics.get(topic).partitions;
            let (mapping, is_compacted) = (spoke.fingerprint(), again.is_compacted);
            wanted.insert(spoke.name().to_owned(), Wanted { topic, partitions, mapping, is_compacted });
        }
    }
    let inputs = wanted.values().map(|wanted| wanted.topic).collect();
    let spokes = options.spokes.now();
    let names = spokes.iter().map(|spoke| spoke.name().to_owned());
    let others = names.filter(|name| !wanted.contains_key(name)).collect();
    let rereading = Arc::new(Rereading::new(wanted, others, options.customers_partitions, forgets));
    let mut stages = topology.stages.to_vec();
    stages[0] = StageSpec {
        name: "reread",
        inputs,
        changelog: None,
        rereads: Some(rereading.clone()),
        make: reread::maker(&options, map, &topology.topics, &rereading),
    };
    stages[1].make = customers::maker(&options, map, Some(rereading.clone()));
    topology.stages = Arc::new(stages);
    (topology, rereading)
}

/// Hash of what decides where stored state lies. A change is not for a rebuild: nobody would find what is there.
fn placement(options: &TopologyOptions) -> [u8; 16] {
    let mut hash = blake3::Hasher::new_derive_key("insight-hub placement 2");
    hash.update(&options.customers_partitions.to_le_bytes());
    hash.update(&options.metrics_partitions.to_le_bytes());
    // What the graph of identifiers holds follows from its rules.
    hash.update(&options.links.fingerprint().to_le_bytes());
    // Another key names every person anew. What is stored of it is a hash of a hash.
    hash.update(blake3::keyed_hash(&options.person_key.0, b"placement").as_bytes());
    // What is published under either would stay beside the other. The word is left out where it was before there was one.
    if matches!(options.names, Names::Hashed(_)) {
        hash.update(b"hashed");
    }
    first_half(&hash)
}

/// Hash of everything that stored heads and cells are computed by: formats, definitions, time zone. A change is what
/// `insight-hub rebuild` is for.
fn definition(options: &TopologyOptions) -> [u8; 16] {
    let mut hash = blake3::Hasher::new_derive_key("insight-hub definition 1");
    hash.update(&[crate::customers::fold::head::HEAD_VERSION, crate::customers::store_keys::ENVELOPE_VERSION]);
    hash.update(&catalogue::fingerprint().to_le_bytes());
    hash.update(&options.calendar.fingerprint().to_le_bytes());
    hash.update(&options.customers.fold.on_time_tolerance_ms.to_le_bytes());
    hash.update(&options.customers.fold.unanswered_target_ms.to_le_bytes());
    for spoke in &options.customers.fold.acquisition_spokes {
        hash.update(&(spoke.len() as u64).to_le_bytes());
        hash.update(spoke.as_bytes());
    }
    hash.update(&options.customers.fold.currency.0);
    let journeys = &options.customers.fold.journeys;
    hash.update(&journeys.expire_after_ms.to_le_bytes());
    hash.update(&[journeys.steps_max]);
    for goal in journeys.goals.iter() {
        // Debug names are stable enough: a change of one asks for a rebuild that was not needed.
        hash.update(format!("{goal:?};").as_bytes());
    }
    for (contact, capacity) in options.metrics.capacities.iter() {
        hash.update(format!("{contact}={capacity};").as_bytes());
    }
    hash.update(&options.customers.fold.contact_cap.to_le_bytes());
    hash.update(format!("values {};", options.metrics.dimension_values_max).as_bytes());
    if let Some(segments) = &options.customers.fold.segments {
        hash.update(format!("segments {:?};", segments.source()).as_bytes());
    }
    for (what, numbers) in [("effort", &options.metrics.stated.efforts), ("limit", &options.metrics.stated.limits)] {
        for stated in numbers {
            hash.update(format!("{what} {stated:?};").as_bytes());
        }
    }
    hash.update(&[crate::customers::alerts::ALERTS_VERSION, crate::model::family::ELEMENTS_VERSION]);
    first_half(&hash)
}

fn first_half(hash: &blake3::Hasher) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    half
}
