//! The log as a simulation: a cluster in memory, instances that run the real worker on it, and a seeded scheduler that
//! crashes, fences, delays and reorders. One thread, no clock: a seed replays a run exactly.

mod cluster;
mod instance;
mod scheduler;

pub use cluster::{Cluster, CommittedRecord};
pub use instance::{SharedCluster, SimLog};
pub use scheduler::{FaultCounts, FaultKind, Simulation, SimulationOptions, SourceRecord};
