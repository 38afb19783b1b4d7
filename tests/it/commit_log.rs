//! The embedded commit log through its public interface: what it promises, on a machine that breaks at every point.

mod basics;
mod batches;
mod cleaning;
mod faults;
mod model;
mod story;
mod threads;
