//! Persons: touchpoints in, insight records and signed contributions to metrics out. Pure: no clock, no IO.
//!
//! In reading order:
//! - [`fold`]: one touchpoint into one person's bounded state (the head), and what it contributes to metrics.
//! - [`record`]: a head and the last closed day → the insight record, and the next day on which it changes.
//! - [`closes`]: the same two → what the person contributes because days have passed.
//! - [`rhythm`]: a head → how often a customer buys, and when they have lapsed against that.
//! - [`alerts`]: a head and the last closed day → what is open of a person, and what the feed is told of it.
//! - [`contributions`]: what a commit contributes, combined by cell.
//! - [`store_keys`]: the entries of the store; [`positions`]: where a touchpoint lies among a person's.
//! - `refold`: a touchpoint out of order → the difference between two folds.
//! - [`person`]: the versions in a timeline, its copies from other homes, and what a change of them does.
//! - [`home`]: where a touchpoint is kept, whoever it belongs to: pairs, versions.
//! - [`moves`]: a home's touchpoints go from one person to another, in parts; who is told of as they are, and who waits.
//! - `erasure`: what was erased goes from a home; `erased`: what it remembers of that.
//! - [`readings`]: a department's topic that is read again → what its mapping makes of it now takes the place of what it made.
//! - [`timeline()`]: everything that counts for one person, for whoever asks.
//! - `rebuild`: a change of definition → every timeline folded anew.
//! - [`stage`]: batches of touchpoints, closed days, commits.
//!
//! Invariants: a head is a function of the person's set of touchpoints alone; a record of head and closed day; the sum
//! of all contributions ever drained of the sets of all persons. Nothing depends on arrival, batches or commits.

pub mod alerts;
pub mod closes;
pub mod contributions;
mod erased;
mod erasure;
pub mod fold;
pub mod home;
pub mod moves;
pub mod person;
pub mod positions;
pub mod readings;
mod rebuild;
pub mod record;
mod refold;
pub mod rhythm;
pub mod stage;
pub mod store_keys;
mod timeline;

#[cfg(test)]
mod tests;

pub use contributions::Contributions;
pub use fold::{FoldOptions, Head, JourneyOptions};
pub use home::{Pair, SeenPair};
pub use moves::Assignment;
pub use person::Item;
pub use readings::WithdrawnPair;
pub use stage::{Customers, Effects, Incoming, Options};
pub use timeline::{TIMELINE_ENTRIES, timeline};
