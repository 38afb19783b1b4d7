//! insight-hub: departments' touchpoints in, one insight record per customer and company-wide CX metrics out.
//!
//! The rooms, in the order data flows:
//! - [`model`]: the nouns that stages exchange.
//! - [`wire`]: bytes to values and back: JSON, Avro, schemas and the registry that they are in.
//! - [`ingest`]: spokes: a department's event becomes touchpoints, or a rejection that says which field and why.
//! - [`customers`]: homes and persons: keep touchpoints, send them to whom they belong, fold a timeline into an insight record
//!   and contributions, and take them back.
//! - [`links`]: pairs of identifiers and operators' decisions: who is one person.
//! - [`analyses`]: counts of a cell family into findings: journeys, attribution and what else compares (pure).
//! - [`metrics`]: the catalogue; contributions into cells, cells into published values.
//! - [`feeds`]: the public records and their schemas.
//! - [`telemetry`]: the closed set of operational events; one place turns each into a log line and a Prometheus figure.
//! - [`engine`]: runs stages over a log, exactly once; knows no customers.
//! - [`topology`]: READ FIRST: every stage, topic, key and store on one page.
//! - [`company`]: the seeded company: events of four departments for demo, tests and benchmarks.
//! - [`settings`]: file, environment and flags become one valid configuration.
//! - [`serve`]: HTTP: metrics and health for operators; the API over a local view of the feeds; the dashboard for people.
//! - [`cli`]: one file per subcommand.
//! - [`hub`]: the door for programs that have a hub inside.

// Apart, because the formatter would sort them.
pub mod model;

pub mod wire;

pub mod ingest;

pub mod customers;

pub mod links;

pub mod analyses;

pub mod metrics;

pub mod feeds;

pub mod telemetry;

pub mod engine;

pub mod topology;

pub mod company;

pub mod settings;

pub mod serve;

pub mod cli;

pub mod hub;
