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

mod access;
mod accounts;
mod alerts;
mod balance;
mod browser;
mod buying;
mod clients;
mod commit_log;
mod company;
mod described;
mod duckdb;
mod embedded;
mod experience;
mod guide;
mod harness;
mod identity;
mod idle;
mod kafka;
mod late;
mod measured;
mod oracle;
mod rebuild;
mod reload;
mod rereading;
mod retraction;
mod simulation;
mod smoke;
mod tidy;
mod world;

/// The product's allocator: the oracle builds and drops many small values.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
