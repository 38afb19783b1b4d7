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

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use harness::{
    kafka::{Broker, Options, free_port},
    writer::{Message, Writer, create_topics},
};
use insight_hub::company::{BenchEvents, BenchOptions, FirstLinks, SourceEvent};
use measure::{
    PARTITIONS, SOURCE, argument, explain, figures, header, is_said, largest, now_ms, restore, row, usage,
    wait_until_done,
};

/// Writes the next `count` events, the partitions in turn; `at`: when each happens to be written, if not at its own time.
fn fill(writer: &Writer, events: &mut impl Iterator<Item = SourceEvent>, count: u64, at: Option<i64>) {
    let mut chunk = Vec::new();
    for (index, event) in events.take(usize::try_from(count).unwrap()).enumerate() {
        let at = at.unwrap_or(event.timestamp_ms);
        chunk.push(Message::new(&event.key, &event.payload).at(at).to(index as i32 % PARTITIONS));
        if chunk.len() == 50_000 {
            writer.write(SOURCE, &chunk);
            chunk.clear();
        }
    }
    writer.write(SOURCE, &chunk);
}

/// Writes at a rate for some seconds; milliseconds below which 50 %, 99 % and all of the commits were that published the
/// effect of these events on `insight.metrics`, each measured from the oldest event that it covers.
fn latency(port: u16, writer: &Writer, events: &mut impl Iterator<Item = SourceEvent>, rate: u64) -> [f64; 3] {
    const SECONDS: u64 = 20;
    const SLICES: u64 = 50;
    let buckets = |figures: &BTreeMap<String, f64>| -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = figures
            .iter()
            .filter(|(name, _)| name.starts_with("insight_hub_end_to_end_seconds_bucket"))
            .map(|(name, count)| {
                let limit = name.split("le=\"").nth(1).unwrap().split('"').next().unwrap();
                (limit.parse().unwrap_or(f64::INFINITY), *count)
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    };
    let before = buckets(&figures(port).unwrap());
    let began = Instant::now();
    for slice in 0..SECONDS * SLICES {
        std::thread::sleep(
            (Duration::from_millis(1_000 / SLICES) * u32::try_from(slice).unwrap()).saturating_sub(began.elapsed()),
        );
        fill(writer, events, rate / SLICES, Some(now_ms()));
    }
    std::thread::sleep(Duration::from_secs(3));
    let after = buckets(&figures(port).unwrap());
    let counts: Vec<(f64, f64)> =
        after.iter().zip(&before).map(|(after, before)| (after.0, after.1 - before.1)).collect();
    let all = counts.last().unwrap().1;
    [0.5, 0.99, 1.0].map(|share| counts.iter().find(|(_, count)| *count >= share * all).unwrap().0 * 1_000.0)
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("skeleton") {
        return skeleton::main();
    }
    let events = argument("--events", 1_000_000);
    let customers = u32::try_from(argument("--customers", 100_000)).unwrap();
    let broker = Broker::start_with(Options { heap_mb: 1024, ..Options::default() });
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
    fill(&writer, &mut source, events, None);
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
    if rate > 0 {
        let [half, most, all] = latency(port, &writer, &mut source, rate);
        println!(
            "from event to insight.metrics at {rate} events/s: p50 ≤ {half:.0} ms, p99 ≤ {most:.0} ms, all ≤ {all:.0} ms"
        );
    }
    let rate = argument("--first-links", 0);
    if rate > 0 {
        let mut source = FirstLinks::new(25 * rate);
        fill(&writer, &mut source, 25 * rate * u64::from(FirstLinks::BEFORE), Some(now_ms()));
        std::thread::sleep(Duration::from_secs(10));
        let [half, most, all] = latency(port, &writer, &mut source, rate);
        println!(
            "from the event that links a cookie to its customer, with {} touchpoints moved, to insight.metrics, at {rate} links/s: \
             p50 ≤ {half:.0} ms, p99 ≤ {most:.0} ms, all ≤ {all:.0} ms",
            FirstLinks::BEFORE
        );
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
