//! The whole hub on a real broker: a million touchpoints and more in; CPU, memory, rate and latency out, next to a
//! skeleton that moves the same records and does nothing else.
//!
//! `cargo bench --profile release --bench hub -- [--events N] [--customers N] [--workers N] [--anonymous PERCENT [--recognised]] [--latency RATE]
//! [--first-links RATE] [--restore]
//! [--set section.key=value]…`. The broker is started from the
//! artifacts that `tests/run kafka` fetches, on the same cores. CPU is user + system of the hub's (or the skeleton's)
//! process; the broker's is not in it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints, and ends when its setting is not as expected"
)]

#[path = "../tests/it/harness/mod.rs"]
mod harness;
mod measure;
mod skeleton;

use std::time::Instant;

use harness::{
    kafka::{Broker, Options, free_port},
    writer::{Message, Writer, create_topics},
};
use insight_hub::company::{BenchEvents, BenchOptions, SourceEvent};
use measure::{
    PARTITIONS, SOURCE, argument, explain, header, is_said, largest, latency, restore, row, usage, wait_until_done,
};

/// Writes the next `count` events, the partitions in turn, each at its own time.
fn fill(writer: &Writer, events: &mut impl Iterator<Item = SourceEvent>, count: u64) {
    let mut chunk = Vec::new();
    for (index, event) in events.take(usize::try_from(count).unwrap()).enumerate() {
        let message = Message::new(&event.key, &event.payload).at(event.timestamp_ms);
        chunk.push(message.to(index as i32 % PARTITIONS));
        if chunk.len() == 50_000 {
            writer.write(SOURCE, &chunk);
            chunk.clear();
        }
    }
    writer.write(SOURCE, &chunk);
}

/// Writes events as if they had happened at a time, the partitions in turn. Does not wait for the broker: whoever writes at a
/// rate would be late.
fn post(writer: &Writer, events: &[SourceEvent], at: i64) {
    let message = |(index, event): (usize, &SourceEvent)| {
        Message::new(&event.key, &event.payload).at(at).to(index as i32 % PARTITIONS)
    };
    let messages: Vec<Message> = events.iter().enumerate().map(message).collect();
    writer.post(SOURCE, &messages);
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("skeleton") {
        return skeleton::main();
    }
    let events = argument("--events", 1_000_000);
    let customers = u32::try_from(argument("--customers", 100_000)).unwrap();
    let broker = Broker::start_with(Options { heap_mb: 1024, busy: true, ..Options::default() });
    // The events' timestamps are those of their company, which is older than any retention.
    create_topics(&broker.bootstrap(), &[(SOURCE, PARTITIONS)], &[("retention.ms", "-1")]);
    let filling = Instant::now();
    let rate = argument("--latency", 0);
    let mut source = BenchEvents::new(BenchOptions {
        customers,
        events: events + 25 * rate,
        anonymous_percent: u32::try_from(argument("--anonymous", 0)).unwrap(),
        recognised: is_said("--recognised"),
        ..BenchOptions::default()
    });
    let writer = Writer::new(&broker.bootstrap());
    fill(&writer, &mut source, events);
    eprintln!("{events} events of {customers} customers written in {:.1} s", filling.elapsed().as_secs_f64());

    let port = free_port();
    let brokers = format!("[kafka]\nbrokers = \"{}\"\n", broker.bootstrap());
    let mut hub = measure::command(port, &brokers).spawn();
    let began = Instant::now();
    let (took, figures) = wait_until_done(&mut hub, port, events as f64, began);
    let (cpu, peak) = usage(hub.process.pid());
    header();
    row("hub", events, took.as_secs_f64(), cpu, peak);
    explain(&figures);
    println!("the longest commit: ≤ {:.0} ms", largest(&figures, "insight_hub_commit_seconds") * 1_000.0);
    let mut write = |events: &[SourceEvent], at| post(&writer, events, at);
    if rate > 0 {
        latency::latency("from event", port, &mut source, rate, &mut write);
    }
    let rate = argument("--first-links", 0);
    if rate > 0 {
        latency::first_links(port, rate, &mut write);
    }
    if is_said("--restore") {
        hub.process.kill();
        let (seconds, records, rate) = restore(&mut hub, port);
        println!("after a kill: ready in {seconds:.1} s, {records:.0} records restored, {rate:.0} records/s");
        hub.process.kill();
        std::fs::remove_dir_all(hub.directory().join("data/stores")).unwrap();
        let (seconds, records, rate) = restore(&mut hub, port);
        println!(
            "after the loss of the disk: ready in {seconds:.1} s, {records:.0} records restored, {rate:.0} records/s"
        );
    }
    drop(hub);
    let (wall, skeleton_cpu, skeleton_peak) = skeleton::run(&broker.bootstrap(), events);
    row("skeleton", events, wall, skeleton_cpu, skeleton_peak);
    println!("\nevents per CPU-second, hub / skeleton: {:.2}", skeleton_cpu / cpu);
}
