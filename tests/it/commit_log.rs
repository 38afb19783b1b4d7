//! The embedded commit log through its public interface: what it promises, on a machine that breaks at every point.

mod backup;
mod basics;
mod batches;
mod cleaning;
mod faults;
mod handles;
mod kill;
mod model;
mod story;
mod threads;
mod verify;
