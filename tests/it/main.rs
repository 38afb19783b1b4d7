//! The integration tests: one binary, so that everything is linked once and one broker serves many tests.
//!
//! `harness` is what the tests stand on: a real broker, the hub as a process, an independent reader and a writer.
//! Tests that need no broker (`tidy`) run without one; those that do say what to run when it is missing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test says what it expects by panicking, and shows what its processes said"
)]

mod harness;
mod smoke;
mod tidy;
