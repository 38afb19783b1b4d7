//! The whole hub on a real broker: a million touchpoints and more in; CPU, memory, rate and latency out, next to a
//! skeleton that moves the same records and does nothing else.
//!
//! `cargo bench --profile release --bench hub -- [--events N] [--customers N] [--workers N] [--latency RATE] [--restore]
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
mod skeleton;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use harness::{
    kafka::{Broker, Options, free_port},
    process::Hub,
    writer::{Message, Writer, create_topics},
};
use insight_hub::company::{BenchEvents, BenchOptions, SourceEvent};

const SOURCE: &str = "operations.events";
const PARTITIONS: i32 = 4;

/// A process's CPU seconds (user + system) and its largest resident memory in MiB, from /proc.
pub fn usage(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    // Fields 14 and 15 of proc(5), in ticks of 1/100 s.
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    (ticks / 100.0, peak.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0)
}

/// The hub's figures: name with labels → value.
fn figures(port: u16) -> Option<BTreeMap<String, f64>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let lines = text.lines().filter(|line| line.starts_with("insight_hub_"));
    Some(
        lines
            .filter_map(|line| {
                line.rsplit_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            })
            .collect(),
    )
}

fn sum(figures: &BTreeMap<String, f64>, name: &str) -> f64 {
    figures.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
}

fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name).and_then(|_| arguments.next()?.parse().ok()).unwrap_or(default)
}

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

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
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

/// From the start of a process to its readiness: seconds, records restored, and the rate of the restore alone.
fn restore(hub: &mut Hub, port: u16) -> (f64, f64, f64) {
    hub.restart();
    let began = Instant::now();
    let (mut first, mut last) = (None, (Duration::ZERO, 0.0));
    loop {
        std::thread::sleep(Duration::from_millis(20));
        assert!(began.elapsed() < Duration::from_secs(600), "the hub is not ready");
        let Some(figures) = figures(port) else { continue };
        let records = sum(&figures, "insight_hub_restore_records_total");
        if records > last.1 {
            first.get_or_insert((began.elapsed(), records));
            last = (began.elapsed(), records);
        }
        let running = figures
            .iter()
            .any(|(name, tasks)| name.starts_with("insight_hub_tasks") && name.contains("running") && *tasks > 0.0);
        let restoring = figures
            .iter()
            .any(|(name, tasks)| name.starts_with("insight_hub_tasks") && !name.contains("running") && *tasks > 0.0);
        if running && !restoring {
            break;
        }
    }
    let rate = first.map_or(0.0, |(at, records)| (last.1 - records) / (last.0 - at).as_secs_f64().max(0.001));
    (began.elapsed().as_secs_f64(), last.1, rate)
}

/// Waits until the source has been read and nothing has been written for two seconds. Returns the time of the last move.
fn wait_until_done(hub: &mut Hub, port: u16, events: f64, began: Instant) -> (Duration, BTreeMap<String, f64>) {
    let mut last = (Instant::now(), 0.0);
    let source = format!("insight_hub_records_in_total{{topic=\"{SOURCE}\"}}");
    loop {
        std::thread::sleep(Duration::from_millis(250));
        assert!(hub.process.is_running(), "the hub has ended\n{}", hub.process.story());
        assert!(began.elapsed() < Duration::from_secs(3_000), "the hub does not come to rest");
        let Some(figures) = figures(port) else { continue };
        let out = sum(&figures, "insight_hub_records_out_total");
        if out > last.1 {
            last = (Instant::now(), out);
        }
        if figures.get(&source).copied().unwrap_or(0.0) >= events && last.0.elapsed() > Duration::from_secs(2) {
            return (last.0 - began, figures);
        }
    }
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("skeleton") {
        return skeleton::main();
    }
    let events = argument("--events", 1_000_000);
    let customers = u32::try_from(argument("--customers", 100_000)).unwrap();
    let workers = argument("--workers", 2);
    let broker = Broker::start_with(Options { heap_mb: 1024, ..Options::default() });
    // The events' timestamps are those of their company, which is older than any retention.
    create_topics(&broker.bootstrap(), &[(SOURCE, PARTITIONS)], &[("retention.ms", "-1")]);
    let filling = Instant::now();
    let rate = argument("--latency", 0);
    let mut source =
        BenchEvents::new(BenchOptions { customers, events: events + 25 * rate, ..BenchOptions::default() });
    let writer = Writer::new(&broker.bootstrap());
    fill(&writer, &mut source, events, None);
    eprintln!("{events} events of {customers} customers written in {:.1} s", filling.elapsed().as_secs_f64());

    let port = free_port();
    let configuration = format!(
        "[hub]\nworkers = {workers}\nperson_key_file = \"person.key\"\ndata_directory = \"data\"\n\
         [kafka]\nbrokers = \"{}\"\n[topics]\ncustomers_partitions = 4\nmetrics_partitions = 4\nfeed_partitions = 4\n\
         [http]\nlisten = \"127.0.0.1:{port}\"\n[spokes]\ndirectory = \"spokes\"\n",
        broker.bootstrap()
    );
    let mut command = Hub::command("bench")
        .file("hub.toml", &configuration)
        .file("person.key", &"07".repeat(32))
        .file(
            "spokes/operations.toml",
            "spoke = \"operations\"\ntopic = \"operations.events\"\nformat = \"touchpoint-json\"\n",
        )
        .args(["--config", "hub.toml", "run"]);
    // Whatever is to be compared: `--set commit.interval_ms=200`.
    let arguments: Vec<String> = std::env::args().collect();
    for pair in arguments.windows(2).filter(|pair| pair[0] == "--set") {
        command = command.args(["--set", &pair[1]]);
    }
    let mut hub = command.spawn();
    let began = Instant::now();
    let (took, figures) = wait_until_done(&mut hub, port, events as f64, began);
    let (cpu, peak) = usage(hub.process.pid());
    println!("| what | events | wall s | events/s | CPU s | µs CPU/event | peak MiB |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let row = |what: &str, wall: f64, cpu: f64, peak: f64| {
        println!(
            "| {what} | {events} | {wall:.1} | {:.0} | {cpu:.1} | {:.2} | {peak:.0} |",
            events as f64 / wall,
            cpu * 1e6 / events as f64
        );
    };
    row("hub", took.as_secs_f64(), cpu, peak);
    for (name, value) in figures.iter().filter(|(name, _)| {
        name.starts_with("insight_hub_records_out_total")
            || name.starts_with("insight_hub_commit") && !name.contains("bucket")
            || name.starts_with("insight_hub_transaction_") && !name.contains("bucket")
    }) {
        println!("    {name} {value}");
    }
    if rate > 0 {
        let [half, most, all] = latency(port, &writer, &mut source, rate);
        println!(
            "from event to insight.metrics at {rate} events/s: p50 ≤ {half:.0} ms, p99 ≤ {most:.0} ms, all ≤ {all:.0} ms"
        );
    }
    if std::env::args().any(|argument| argument == "--restore") {
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
    row("skeleton", wall, skeleton_cpu, skeleton_peak);
    println!("\nevents per CPU-second, hub / skeleton: {:.2}", skeleton_cpu / cpu);
}
