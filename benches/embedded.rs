//! The whole hub without Kafka: a million touchpoints and more in a log of its own; CPU, memory, rate, stalls, disk, cells, the
//! sizes of feeds, how long publishing held its stage and the time to the first result after a kill out.
//!
//! `cargo bench --profile release --bench embedded -- [--events N] [--customers N] [--days N] [--even] [--workers N]
//! [--anonymous PERCENT [--recognised]] [--first-links RATE] [--restart] [--against PROGRAM] [--set section.key=value]…`. `--even`: customers differ
//! less in how often something happens to them (Zipf's exponent is 0.5), so that nearly all of them appear. `--against`: the same
//! events go into another build of the hub first, such as one with the first metrics alone, and the CPU of both is compared.

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
    collections::BTreeMap,
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use harness::kafka::free_port;
use insight_hub::{
    company::{BenchEvents, BenchOptions, SourceEvent},
    engine::log::{
        access::{self, Durability, LogAccess, socket::Remote},
        commit_log::{Commit, CommitLog, NewRecord, Options, Policy, TopicPartition, files::real::RealFiles},
        embedded::{EmbeddedOptions, SharedLog},
    },
};
use measure::{
    PARTITIONS, SOURCE, argument, buckets, explain, figures, header, is_said, largest, latency, restore, row, usage,
    wait_until_done, within,
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

/// Writes events through the hub's socket, the partitions in turn, as if they had happened at a time.
fn append(hub: &Remote, events: &[SourceEvent], at: i64) {
    for chunk in events.chunks(1_000) {
        let records: Vec<access::NewRecord<'_>> = chunk
            .iter()
            .enumerate()
            .map(|(index, event)| access::NewRecord {
                partition: Some(index as u32 % PARTITIONS as u32),
                timestamp_ms: at,
                key: Some(&event.key),
                value: Some(&event.payload),
                headers: &[],
            })
            .collect();
        hub.append(SOURCE, &records, Durability::AsConfigured).unwrap();
    }
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

/// What a topic would hold in a perfect log: the newest value of every key if it is compacted, otherwise all records.
struct Needed {
    topic: String,
    policy: Policy,
    /// Keys with a value, or records.
    records: u64,
    bytes: u64,
    /// Records by the first byte of their keys.
    by_first_byte: [u64; 256],
}

fn needed(directory: &Path) -> Vec<Needed> {
    let log = CommitLog::open(Arc::new(RealFiles::new(directory).unwrap()), Options::default()).unwrap();
    let mut all = Vec::new();
    for (topic, found) in (0..).zip(log.topics()) {
        let mut sum = Needed { topic: found.name, policy: found.policy, records: 0, bytes: 0, by_first_byte: [0; 256] };
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
                        let key = record.key.unwrap_or_default();
                        let bytes = (key.len() + record.value.map_or(0, <[u8]>::len)) as u64;
                        if !matches!(found.policy, Policy::Compact { .. }) {
                            sum.records += 1;
                            sum.bytes += bytes;
                        } else if record.value.is_some() {
                            latest.insert(xxhash_rust::xxh3::xxh3_128(key), (bytes, key.first().copied()));
                        } else {
                            latest.remove(&xxhash_rust::xxh3::xxh3_128(key));
                        }
                        ControlFlow::Continue(())
                    })
                    .unwrap();
            }
            sum.records += latest.len() as u64;
            sum.bytes += latest.values().map(|(bytes, _)| bytes).sum::<u64>();
            for (_, first) in latest.values() {
                sum.by_first_byte[usize::from(first.unwrap_or_default())] += 1;
            }
        }
        all.push(sum);
    }
    all
}

/// Cells and what they are made of, and the feeds, by their newest values.
fn print_sizes(all: &[Needed]) {
    for kept in all.iter().filter(|it| it.topic.ends_with("-metrics-changelog")) {
        let [cells, elements, families] = [b'c', b'a', b'f'].map(|first| kept.by_first_byte[usize::from(first)]);
        println!(
            "{cells} cells, {elements} elements of {families} families; the metrics keep {} entries, {:.1} MB",
            kept.records,
            kept.bytes as f64 / 1e6
        );
    }
    println!("| feed | keys | MB | bytes each |");
    println!("| --- | ---: | ---: | ---: |");
    let is_feed = |it: &&Needed| it.topic.starts_with("insight.") && matches!(it.policy, Policy::Compact { .. });
    for feed in all.iter().filter(is_feed).filter(|feed| feed.records > 0) {
        let each = feed.bytes as f64 / feed.records as f64;
        println!("| {} | {} | {:.1} | {each:.0} |", feed.topic, feed.records, feed.bytes as f64 / 1e6);
    }
}

/// The events in a hub of their own, up to where it comes to rest; its CPU seconds.
fn against(program: &str, options: &BenchOptions) -> f64 {
    let port = free_port();
    let command = measure::command(port, "").program(std::fs::canonicalize(program).unwrap());
    fill(&command.directory().join("data/log"), BenchEvents::new(options.clone()));
    let mut hub = command.spawn();
    let (took, _) = wait_until_done(&mut hub, port, options.events as f64, Instant::now());
    let (cpu, peak) = usage(hub.process.pid());
    row(program, options.events, took.as_secs_f64(), cpu, peak);
    assert!(hub.process.terminate(Duration::from_secs(60)).success(), "{}", hub.process.story());
    cpu
}

fn main() {
    let events = argument("--events", 1_000_000);
    let customers = u32::try_from(argument("--customers", 100_000)).unwrap();
    let options = BenchOptions {
        customers,
        events,
        days: u32::try_from(argument("--days", 30)).unwrap(),
        exponent_hundredths: if is_said("--even") { 50 } else { 100 },
        anonymous_percent: u32::try_from(argument("--anonymous", 0)).unwrap(),
        recognised: is_said("--recognised"),
        ..BenchOptions::default()
    };
    header();
    let before = text("--against").map(|program| against(&program, &options));
    let port = free_port();
    let command = measure::command(port, "");
    let log = command.directory().join("data/log");
    let filling = Instant::now();
    fill(&log, BenchEvents::new(options));
    eprintln!("{events} events of {customers} customers written in {:.1} s", filling.elapsed().as_secs_f64());

    let mut hub = command.spawn();
    let began = Instant::now();
    let (took, figures_then) = wait_until_done(&mut hub, port, events as f64, began);
    let (cpu, peak) = usage(hub.process.pid());
    row("hub, embedded log", events, took.as_secs_f64(), cpu, peak);
    if let Some(before) = before {
        println!("CPU per event, this hub / the other: {:.2}", cpu / before);
    }
    explain(&figures_then);
    for (what, figure) in [
        ("work of a transaction and its commit", "insight_hub_commit_seconds"),
        ("append of a commit, its waits included", "insight_hub_log_append_seconds"),
        ("sync", "insight_hub_log_sync_seconds"),
    ] {
        println!("the longest {what}: ≤ {:.0} ms", largest(&figures_then, figure) * 1_000.0);
    }
    print_holds(&figures_then);
    let links = argument("--first-links", 0);
    if links > 0 {
        let remote = Remote::connect(&hub.directory().join("data")).unwrap().unwrap();
        latency::first_links(port, links, &mut |events, at| append(&remote, events, at));
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
    let all = needed(&log);
    print_sizes(&all);
    let (taken, needed) = (bytes_below(&log) + stores, all.iter().map(|it| it.bytes).sum::<u64>());
    println!(
        "disk {:.0} MB (stores {:.0}), latest values and retained records {:.0} MB: {:.2} times",
        taken as f64 / 1e6,
        stores as f64 / 1e6,
        needed as f64 / 1e6,
        taken as f64 / needed as f64
    );
}

/// The text that follows a name.
fn text(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name).and_then(|_| arguments.next())
}

/// A histogram as text: how many observations each bound has more than the one before.
fn counts(figures: &BTreeMap<String, f64>, histogram: &str) -> String {
    let mut before = 0.0;
    let mut parts = Vec::new();
    for (limit, count) in buckets(figures, histogram) {
        if count > before {
            parts.push(format!("≤ {} ms: {}", limit * 1_000.0, count - before));
        }
        before = count;
    }
    parts.join(", ")
}

/// How long each part of publishing held the metrics stage, and how much it worked: the histograms.
fn print_holds(figures: &BTreeMap<String, f64>) {
    for part in ["values", "parameters", "analyses", "all"] {
        let of_part: BTreeMap<String, f64> = figures
            .iter()
            .filter(|(name, _)| name.contains(&format!("part=\"{part}\"")))
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        for (what, histogram) in
            [("held the stage", "insight_hub_publish_seconds"), ("CPU time", "insight_hub_publish_cpu_seconds")]
        {
            let [most, all] = [0.99, 1.0].map(|share| within(&of_part, histogram, share) * 1_000.0);
            println!("publishing, {what} ({part}): p99 ≤ {most:.0} ms, longest ≤ {all:.0} ms");
            println!("    {}", counts(&of_part, histogram));
        }
    }
}
