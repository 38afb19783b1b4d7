//! Counts of a cell family in, findings out: journeys, attribution, drivers, buying, priorities, balance, changes, usual ranges.
//!
//! Pure functions. What is counted is integers, and everything that is counted can be taken back; a float appears in a finding
//! and nowhere before. Findings are in a fixed order, equals by their key. Logarithms and the like come from `libm`, which
//! computes the same everywhere, so that two machines publish the same digits.
//!
//! A finding that too few observations carry is absent: see [`statistics::OBSERVATIONS_MIN`]. None of them says what would
//! happen if something were changed: they compare what was seen, and each module's documentation says what that leaves open.

// Apart, because the formatter would sort them: what the others stand on comes first.
pub mod statistics;

pub mod ranking;

mod leaders;

pub mod journeys;

pub mod attribution;

pub mod drivers;

pub mod buying;

pub mod priorities;

pub mod change;

pub mod range;

pub mod balance;

pub mod contacts;

pub mod scorecards;

#[cfg(test)]
pub(crate) mod tests;
