//! The hub without Kafka: its log lies in a directory, and the feeds in it hold what the oracle says.

mod accounting;
mod alerts;
mod bombs;
mod commands;
mod deciding;
mod erasure;
mod faults;
mod house;
mod identity;
mod ingesting;
mod letters;
mod privacy;
mod process;
mod registry;
mod reload;
mod rereading;
mod serving;
mod truth;

pub use house::House;
