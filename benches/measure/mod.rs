//! A running hub in; its CPU, memory, rate and restores out, as the benchmarks print them.
//!
//! [`latency`]: how long it takes until an event's effect is published.

pub mod latency;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::harness::process::{Hub, HubCommand};

/// The department whose touchpoints are taken in.
pub const SOURCE: &str = "operations.events";
/// Partitions of its topic.
pub const PARTITIONS: i32 = 4;

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
pub fn figures(port: u16) -> Option<BTreeMap<String, f64>> {
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

pub fn sum(figures: &BTreeMap<String, f64>, name: &str) -> f64 {
    figures.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
}

pub fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name).and_then(|_| arguments.next()?.parse().ok()).unwrap_or(default)
}

/// Whether a flag is given.
pub fn is_said(flag: &str) -> bool {
    std::env::args().any(|argument| argument == flag)
}

pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// From the start of a process to its readiness: seconds, records restored, and the rate of the restore alone.
pub fn restore(hub: &mut Hub, port: u16) -> (f64, f64, f64) {
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
pub fn wait_until_done(hub: &mut Hub, port: u16, events: f64, began: Instant) -> (Duration, BTreeMap<String, f64>) {
    let mut last = (Instant::now(), 0.0);
    let source = format!("insight_hub_records_in_total{{topic=\"{SOURCE}\"}}");
    loop {
        std::thread::sleep(Duration::from_millis(250));
        assert!(hub.process.is_running(), "the hub has ended\n{}", hub.process.story());
        assert!(began.elapsed() < Duration::from_secs(3_000), "the hub does not come to rest");
        let Some(figures) = figures(port) else { continue };
        // A fit under way writes nothing for a while, but commits.
        let out = sum(&figures, "insight_hub_records_out_total") + sum(&figures, "insight_hub_commits_total");
        if out > last.1 {
            last = (Instant::now(), out);
        }
        if figures.get(&source).copied().unwrap_or(0.0) >= events && last.0.elapsed() > Duration::from_secs(2) {
            return (last.0 - began, figures);
        }
    }
}

/// The hub under measurement, with the department's mapping and what `--set` says; `more`: further sections of its
/// configuration.
pub fn command(port: u16, more: &str) -> HubCommand {
    let workers = argument("--workers", 2);
    let configuration = format!(
        "[hub]\nworkers = {workers}\nperson_key_file = \"person.key\"\ndata_directory = \"data\"\n{more}\
         [topics]\ncustomers_partitions = 4\nmetrics_partitions = 4\nfeed_partitions = 4\n\
         [http]\nlisten = \"127.0.0.1:{port}\"\n[spokes]\ndirectory = \"spokes\"\n"
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
    command
}

/// The head of the table.
pub fn header() {
    println!("| what | events | wall s | events/s | CPU s | µs CPU/event | peak MiB |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
}

/// A row of it.
pub fn row(what: &str, events: u64, wall: f64, cpu: f64, peak: f64) {
    println!(
        "| {what} | {events} | {wall:.1} | {:.0} | {cpu:.1} | {:.2} | {peak:.0} |",
        events as f64 / wall,
        cpu * 1e6 / events as f64
    );
}

/// Figures that explain a row.
pub fn explain(figures: &BTreeMap<String, f64>) {
    for (name, value) in figures.iter().filter(|(name, _)| {
        name.starts_with("insight_hub_records_out_total")
            || name.starts_with("insight_hub_commit") && !name.contains("bucket")
            || name.starts_with("insight_hub_log_") && !name.contains("bucket")
            || name.starts_with("insight_hub_links_total")
            || name.starts_with("insight_hub_homes_moved")
            || name.starts_with("insight_hub_touchpoints_sent")
            || name.starts_with("insight_hub_transaction_") && !name.contains("bucket")
    }) {
        println!("    {name} {value}");
    }
    let homes = sum(figures, "insight_hub_homes_moved_total");
    if homes > 0.0 {
        let moved: f64 = figures
            .iter()
            .filter(|(name, _)| name.starts_with("insight_hub_touchpoints_sent_total") && name.contains("moved"))
            .map(|(_, count)| count)
            .sum();
        println!("    {homes} homes moved, {:.1} touchpoints each", moved / homes);
    }
}

/// The bounds of a histogram with how many observations lie below each, ascending.
pub fn buckets(figures: &BTreeMap<String, f64>, histogram: &str) -> Vec<(f64, f64)> {
    let prefix = format!("{histogram}_bucket");
    let mut buckets: Vec<(f64, f64)> = figures
        .iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .map(|(name, count)| {
            let limit = name.split("le=\"").nth(1).unwrap().split('"').next().unwrap();
            (limit.parse().unwrap_or(f64::INFINITY), *count)
        })
        .collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets
}

/// The smallest bound of a histogram below which all observations lie, in seconds.
pub fn largest(figures: &BTreeMap<String, f64>, histogram: &str) -> f64 {
    within(figures, histogram, 1.0)
}

/// The smallest bound of a histogram below which a share of the observations lies, in seconds.
pub fn within(figures: &BTreeMap<String, f64>, histogram: &str, share: f64) -> f64 {
    let buckets = buckets(figures, histogram);
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    buckets.iter().find(|(_, count)| *count >= share * all).map_or(0.0, |(limit, _)| *limit)
}
