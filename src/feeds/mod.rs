//! Public records: values of the model in, the bytes, keys and headers of the feeds out. Pure; nothing is copied.
//!
//! - [`Feed`]: the table of every feed: topic, key, clean-up, schema, purpose.
//! - [`Encoder`]: one feed's records as JSON or Avro (single-object, or with a registry's ids), with their headers.
//! - [`Names`]: whether identifiers are written in clear or as keyed hashes.
//! - [`DeadLetter`]: what `insight.rejected` says about a source record that could not be taken.
//! - [`asyncapi_document`]: all of them as AsyncAPI describes topics.
//! - [`Expected`]: what the models of buying say of a customer, by a record and the newest [`BuyingParameters`].
//! - [`Sightings`]: what touchpoints say of pairs that do not link: how often, by whom, first and last.
//! - [`Reader`]: a feed's bytes, in either format, as JSON for people.
//!
//! The public shapes are types of their own, next to the model's: the model may change, a feed may only evolve (its
//! `schemas/*.avsc` stays fully compatible, checked in a test).

mod alerts;
mod asyncapi;
mod attribution;
mod audit;
mod balance;
mod catalogue;
mod changes;
mod customers;
mod drivers;
mod encoder;
mod expected;
mod identities;
mod journeys;
mod metrics;
mod names;
mod notation;
mod priorities;
mod reader;
mod rejected;
mod replay;
mod scorecards;
mod spokes;
mod table;
mod together;
mod touchpoints;

#[cfg(test)]
mod tests;

pub use alerts::{AlertShape, Alerts};
pub use asyncapi::document as asyncapi_document;
pub use attribution::{Attribution, AttributionRecord, AttributionShape};
pub use audit::{Audit, AuditEntry, AuditShape};
pub use balance::{Balance, BalanceRecord, BalanceShape};
pub use catalogue::{CatalogueRecord, CatalogueShape, Definitions, ONE_TIME_BUYER, ParametersRecord};
pub use changes::{ChangeRecord, ChangeShape, Changes, change_key};
pub use customers::{CustomerShape, Customers};
pub use drivers::{Drivers, DriversRecord, DriversShape};
pub use encoder::{CE_ID, CE_SUBJECT, Encoder, FeedFormat, FeedRecord, SchemaIds, event_id};
pub use expected::{BuyingParameters, Expected, PARAMETERS, day_of};
pub use identities::{Identities, Identity, IdentityJournal, IdentityShape, JournalShape};
pub use journeys::{Journeys, JourneysRecord, JourneysShape};
pub use metrics::{MetricShape, Metrics};
pub use names::{Names, Shown};
pub use notation::{Binary, Notation, Text};
pub use priorities::{Priorities, PrioritiesRecord, PrioritiesShape};
pub use reader::{ReadError, Reader, instant};
pub use rejected::{CUT_BYTES, DeadLetter, Enclosed, HEADER_PREFIX, LETTER_BYTES_MAX, LETTERS_OF_A_RECORD_MAX};
pub use replay::{Origin, OriginReader, REPLAY_OF, REPLAY_TIMESTAMP, position};
pub use scorecards::{ScorecardRecord, ScorecardShape, Scorecards};
pub use spokes::{SpokeShape, Spokes};
pub use table::{Cleanup, Description, Feed, TOPIC_PREFIX};
pub use together::{Moment, Sighting, Sightings, Together};
pub use touchpoints::{PersonTouchpoint, TouchpointShape, Touchpoints};
