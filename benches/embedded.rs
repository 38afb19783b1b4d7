//! The whole hub without Kafka: a million touchpoints and more in a log of its own; CPU, memory, rate, stalls, disk and the
//! time to the first result after a kill out.
//!
//! `cargo bench --profile release --bench embedded -- [--events N] [--customers N] [--workers N] [--anonymous PERCENT [--recognised]] [--restart]
//! [--set section.key=value]…`

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, ends when its setting is not as expected, and shares code with another"
)]

#[path = "../tests/it/harness/mod.rs"]
mod harness;
mod measure;

use std::{
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use harness::kafka::free_port;
use insight_hub::{
    company::{BenchEvents, BenchOptions, SourceEvent},
    engine::log::{
        commit_log::{Commit, CommitLog, NewRecord, Options, Policy, TopicPartition, files::real::RealFiles},
        embedded::{EmbeddedOptions, SharedLog},
    },
};
use measure::{
    PARTITIONS, SOURCE, argument, explain, figures, header, is_said, largest, restore, row, usage, wait_until_done,
};

fn fill(directory: &Path, events: impl Iterator<Item = SourceEvent>) {
    let shared = SharedLog::open(directory, EmbeddedOptions::default()).unwrap();
    let log = shared.log();
    let topic = log.create_topic(SOURCE, PARTITIONS as u32, Policy::Keep).unwrap();
    let mut commit = Commit::new();
    for (index, event) in events.enumerate() {
        let partition = TopicPartition { topic, partition: index as u32 % PARTITIONS as u32 };
        commit.record(
            partition,
            &NewRecord {
                timestamp_ms: event.timestamp_ms,
                key: Some(&event.key),
                value: Some(&event.payload),
                headers: &[],
            },
        );
        if index % 2_000 == 1_999 {
            commit.pack_all();
            log.append(&commit).unwrap();
            commit.clear();
        }
    }
    log.append(&commit).unwrap();
    log.sync().unwrap();
}

fn bytes_below(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Bytes of the newest value of every key of compacted topics, and of all records of the others: what a perfect log
/// would hold.
fn needed_bytes(directory: &Path) -> u64 {
    let log = CommitLog::open(Arc::new(RealFiles::new(directory).unwrap()), Options::default()).unwrap();
    let mut needed = 0;
    for (topic, found) in (0..).zip(log.topics()) {
        for partition in 0..found.partitions {
            let partition = TopicPartition { topic, partition };
            let from = match found.policy {
                Policy::Processed => log.committed(partition).unwrap_or(0),
                Policy::Keep | Policy::Delete { .. } | Policy::Compact { .. } => 0,
            };
            let mut latest = std::collections::HashMap::new();
            let mut next = from;
            while next < log.end(partition).unwrap() {
                next = log
                    .read(partition, next, 1 << 20, &mut |record| {
                        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                        if matches!(found.policy, Policy::Compact { .. }) {
                            let hash = xxhash_rust::xxh3::xxh3_128(record.key.unwrap_or_default());
                            latest.insert(hash, bytes as u64);
                        } else {
                            needed += bytes as u64;
                        }
                        ControlFlow::Continue(())
                    })
                    .unwrap();
            }
            needed += latest.values().sum::<u64>();
        }
    }
    needed
}

fn main() {
    let events = argument("--events", 1_000_000);
    let customers = u32::try_from(argument("--customers", 100_000)).unwrap();
    let port = free_port();
    let command = measure::command(port, "");
    let log = command.directory().join("data/log");
    let filling = Instant::now();
    let anonymous_percent = u32::try_from(argument("--anonymous", 0)).unwrap();
    let recognised = is_said("--recognised");
    let options = BenchOptions { customers, events, anonymous_percent, recognised, ..BenchOptions::default() };
    fill(&log, BenchEvents::new(options));
    eprintln!("{events} events of {customers} customers written in {:.1} s", filling.elapsed().as_secs_f64());

    let mut hub = command.spawn();
    let began = Instant::now();
    let (took, figures_then) = wait_until_done(&mut hub, port, events as f64, began);
    let (cpu, peak) = usage(hub.process.pid());
    header();
    row("hub, embedded log", events, took.as_secs_f64(), cpu, peak);
    explain(&figures_then);
    for (what, figure) in [
        ("work of a transaction and its commit", "insight_hub_commit_seconds"),
        ("append of a commit, its waits included", "insight_hub_log_append_seconds"),
        ("sync", "insight_hub_log_sync_seconds"),
    ] {
        println!("the longest {what}: ≤ {:.0} ms", largest(&figures_then, figure) * 1_000.0);
    }
    if is_said("--restart") {
        hub.process.kill();
        let (seconds, records, rate) = restore(&mut hub, port);
        println!("after a kill: ready in {seconds:.1} s, {records:.0} records restored, {rate:.0} records/s");
    }
    let figures = figures(port).unwrap();
    println!("log {:.0} MB by its own figure", figures["insight_hub_log_bytes"] / 1e6);
    let status = hub.process.terminate(Duration::from_secs(60));
    assert!(status.success(), "{}", hub.process.story());
    let stores = bytes_below(&hub.directory().join("data/stores"));
    let (taken, needed) = (bytes_below(&log) + stores, needed_bytes(&log));
    println!(
        "disk {:.0} MB (stores {:.0}), latest values and retained records {:.0} MB: {:.2} times",
        taken as f64 / 1e6,
        stores as f64 / 1e6,
        needed as f64 / 1e6,
        taken as f64 / needed as f64
    );
}
