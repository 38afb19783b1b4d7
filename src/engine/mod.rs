//! Runs stages over a log, exactly once. It knows no customers.

pub mod store;
