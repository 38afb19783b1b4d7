//! The hub on a real broker: whatever happens to it, the feeds hold what the oracle says.
//!
//! - [`house`]: one application on a broker, with topics, processes and data directories of its own.
//! - [`truth`]: one process, three processes, simulation: one truth.
//! - [`erasure`]: nothing is left of whoever was erased, in topics, on the broker's disk and on the hub's.
//! - [`following`]: several topics that are read to their ends, and on.
//! - [`faults`]: kills, frozen processes and broker restarts.
//! - [`hostile`]: rubbish in every topic.
//! - [`identity`]: operators' decisions and erasures, while processes are killed.
//! - [`letters`]: a replay of what was rejected.
//! - [`privacy`]: what feeds give away, and all of one person to whoever asks.
//! - [`rebuild`]: a change of definition, killed in the middle.
//! - [`reload`]: a mapping that is replaced while it runs.
//! - [`rereading`]: mappings that are changed, and departments' topics that are read again, killed in the middle.
//! - [`members`]: two processes under one name, and one that was taken for two.
//! - [`registry`]: a schema registry that is down, and schemas that do not fit.
//! - [`restore`]: how much is restored.
//! - [`secured`]: TLS, logins and rights.

mod erasure;
mod faults;
mod following;
mod hostile;
pub mod house;
mod identity;
mod letters;
mod members;
mod privacy;
mod rebuild;
mod registry;
mod reload;
mod rereading;
mod restore;
mod secured;
mod serving;
mod truth;
