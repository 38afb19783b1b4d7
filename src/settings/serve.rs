//! `[serve]`: the API over the feeds, and who may use it how much.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::Hub;

/// `[serve]`: the API over the feeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Serve {
    /// Address and port of the API; without it there is none, and no view is kept.
    pub listen: Option<SocketAddr>,
    /// File with the hashes of tokens; without it `tokens.json` in the data directory. Instances that share tokens share it.
    pub tokens_file: Option<PathBuf>,
    /// PEM file with the server's certificate and what signs it; with it connections are TLS, and nothing else.
    pub certificate_file: Option<PathBuf>,
    /// PEM file with its private key.
    pub key_file: Option<PathBuf>,
    /// Bytes that the view on disk may use for its cache.
    pub cache_bytes: u64,
    /// Requests a second that each token may make, and all without one together; twice as many at once.
    pub requests_per_second: u32,
    /// Requests that are answered at a time.
    pub concurrent_requests: u32,
    /// Streams of events that each token may have open at a time, and all without one together.
    pub streams_per_token: u32,
    /// How long an answer may take, in milliseconds.
    pub request_timeout_ms: u32,
    /// Bytes of a body that a department sends, unpacked too.
    pub ingest_body_bytes_max: u32,
    /// Items of such a body.
    pub ingest_items_max: u32,
    /// Bytes of such bodies that may be under way at a time.
    pub ingest_waiting_bytes: u32,
}

impl Default for Serve {
    fn default() -> Self {
        Serve {
            listen: None,
            tokens_file: None,
            certificate_file: None,
            key_file: None,
            cache_bytes: 16 << 20,
            requests_per_second: 50,
            concurrent_requests: 32,
            streams_per_token: 100,
            request_timeout_ms: 10_000,
            ingest_body_bytes_max: 8 << 20,
            ingest_items_max: 10_000,
            ingest_waiting_bytes: 64 << 20,
        }
    }
}

impl Serve {
    /// The file with the hashes of tokens.
    pub fn tokens_file(&self, hub: &Hub) -> PathBuf {
        self.tokens_file.clone().unwrap_or_else(|| hub.data_directory.join("tokens.json"))
    }

    /// Checks what must hold; the error names the key.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.certificate_file.is_some() != self.key_file.is_some() {
            return Err(("serve.key_file", "goes with serve.certificate_file; set both, or none".into()));
        }
        let numbers = [
            ("serve.requests_per_second", self.requests_per_second, 1..=100_000),
            ("serve.concurrent_requests", self.concurrent_requests, 1..=1_000),
            ("serve.streams_per_token", self.streams_per_token, 1..=1_000),
            ("serve.request_timeout_ms", self.request_timeout_ms, 100..=60_000),
            ("serve.ingest_body_bytes_max", self.ingest_body_bytes_max, 1_024..=256 << 20),
            ("serve.ingest_items_max", self.ingest_items_max, 1..=1_000_000),
            // A body that finds no room even when nothing waits would never be taken: as it comes, and unpacked.
            ("serve.ingest_waiting_bytes", self.ingest_waiting_bytes, 2 * self.ingest_body_bytes_max..=1 << 30),
        ];
        match numbers.into_iter().find(|(_, number, allowed)| !allowed.contains(number)) {
            Some((key, _, allowed)) => Err((key, format!("must be between {} and {}", allowed.start(), allowed.end()))),
            None => Ok(()),
        }
    }
}
