//! Persons: touchpoints in, insight records and signed contributions to metrics out. Pure: no clock, no IO.
//!
//! In reading order:
//! - [`fold`]: one touchpoint into one person's bounded state (the head), and what it contributes to metrics.
//! - [`record`]: a head and the last closed day → the insight record, and the next day on which it changes.
//! - [`contributions`]: what a commit contributes, combined by cell.
//! - [`store_keys`]: the entries of the store.
//! - `refold`: a touchpoint out of order → the difference between two folds.
//! - `rebuild`: a change of definition → every timeline folded anew.
//! - [`stage`]: batches of touchpoints, closed days, commits.
//!
//! Invariants: a head is a function of the person's set of touchpoints alone; a record of head and closed day; the sum
//! of all contributions ever drained of the sets of all persons. Nothing depends on arrival, batches or commits.

pub mod contributions;
pub mod fold;
mod rebuild;
pub mod record;
mod refold;
pub mod stage;
pub mod store_keys;

#[cfg(test)]
mod tests;

pub use contributions::Contributions;
pub use fold::{FoldOptions, Head};
pub use stage::{Customers, Effects, Incoming, Options};
