//! What the integration tests stand on. Nothing here shares code with the product.
//!
//! - [`kafka`]: a real broker from Maven artifacts: started, stopped, killed and restarted on the same data.
//! - [`process`]: a child process with captured output: signals, waiting with a deadline, and the hub itself.
//! - [`reader`]: an independent `read_committed` reader of whole topics.
//! - [`writer`]: creates topics and fills them quickly.
//! - [`registry`]: a real schema registry, started, stopped and started again on the same data.
//! - [`remains`]: what is left of some bytes in files, however they are packed; [`ann`]: whose bytes.
//! - [`signer`]: tokens of a company's login, right and wrong; [`certificates`]: certificates, and a server that shows one.
//! - [`sweeper`]: ends and removes what a test run leaves, also when the run itself is killed.

#![allow(dead_code, reason = "a helper is written for the tests to come as well")]

pub mod ann;
pub mod certificates;
pub mod http;
pub mod kafka;
pub mod process;
pub mod reader;
pub mod registry;
pub mod remains;
pub mod signer;
pub mod sweeper;
pub mod writer;

use std::sync::atomic::{AtomicU64, Ordering};

/// A name that no other test of this run (or of one next to it) uses: for topics, groups, transactional ids.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The last `lines_max` lines of a file, for failure messages. A missing file reads as empty.
pub fn tail(path: &std::path::Path, lines_max: usize) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}
