//! Runs stages over a log, exactly once. It knows no customers: records and stores are bytes to it.

pub mod generation;
pub mod log;
pub mod observer;
pub mod rebuild;
pub mod reread;
pub mod stage;
pub mod store;
pub mod task;
pub mod topics;
pub mod verify;
pub mod worker;

#[cfg(test)]
mod tests;
