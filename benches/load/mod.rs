//! A hub that departments send to in; how it does for them while many read, watch, dawdle and flood out.
//!
//! [`wire`]: HTTP as a program speaks it. [`readers`]: who asks and how long each answer takes. [`watchers`]: who watches a feed,
//! by the thousand. [`hostile`]: who takes nothing, asks too often and sends too much.
//!
//! Everything is on one machine: clients take CPU that the hub would have. So they stand aside (nice 19), and what is compared is the
//! same hub, at the same rate of events, first with nobody, then with everybody who asks at a rate, then with nobody again; last with
//! readers who ask as fast as they are answered.

pub mod hostile;
pub mod readers;
pub mod watchers;
pub mod wire;

use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt as _,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use insight_hub::company::{BenchEvents, BenchOptions};
use tokio::runtime::Runtime;

use self::{
    hostile::{cut_off, flood, oversized},
    readers::{Questions, read},
    watchers::Watchers,
    wire::Client,
};
use crate::{
    harness::{kafka::free_port, process::Hub},
    measure::{self, SOURCE, argument, buckets, figures, sum, wait_until_done},
    token,
};

/// Streams, readers and the hub's own files.
const FILES: u64 = 8_192;
const BEGUN_WITHIN: Duration = Duration::from_secs(60);
/// In one request.
const BATCH: usize = 100;

/// Begins this program anew with room for as many connections, unless it has it: the hub inherits that.
pub fn with_files() {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft = soft.split_whitespace().next().unwrap().parse::<u64>().unwrap_or(u64::MAX);
    if soft < FILES && std::env::var_os("INSIGHT_HUB_BENCH_FILES").is_none() {
        let error = Command::new("sh")
            .args(["-c", &format!("ulimit -n {FILES}; exec \"$0\" \"$@\"")])
            .args(std::env::args_os())
            .env("INSIGHT_HUB_BENCH_FILES", "raised")
            .exec();
        panic!("sh cannot be run: {error}");
    }
    assert!(soft >= FILES, "{soft} open files are allowed; {FILES} are needed: raise the hard limit (ulimit -Hn)");
}

/// Resident memory now, and the most so far, in MiB.
pub fn memory(pid: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mib = |name: &str| {
        let kib = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        kib.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
    };
    (mib("VmRSS:"), mib("VmHWM:"))
}

/// How long it took from records to the commits that published their effect, of those between two looks.
#[derive(Clone, Copy)]
struct Pipeline {
    mean_ms: f64,
    half_ms: f64,
    most_ms: f64,
    commits: f64,
}

impl Pipeline {
    const HISTOGRAM: &'static str = "insight_hub_end_to_end_seconds";

    fn between(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> Pipeline {
        // Of all feeds together: how many of their commits lie below each bound.
        let counts = |figures: &BTreeMap<String, f64>| {
            let mut counts: Vec<(f64, f64)> = Vec::new();
            for (bound, count) in buckets(figures, Pipeline::HISTOGRAM) {
                match counts.last_mut().filter(|(last, _)| last.total_cmp(&bound).is_eq()) {
                    Some((_, sum)) => *sum += count,
                    None => counts.push((bound, count)),
                }
            }
            counts
        };
        let (before_counts, after_counts) = (counts(before), counts(after));
        let below: Vec<(f64, f64)> =
            after_counts.iter().zip(&before_counts).map(|(after, before)| (after.0, after.1 - before.1)).collect();
        let all = below.last().unwrap().1;
        // Within a bucket as if evenly spread, so that a share of it moves the figure by a share.
        let at = |share: f64| {
            let wanted = share * all;
            let (mut floor, mut passed) = (0.0, 0.0);
            for (bound, count) in &below {
                if *count >= wanted {
                    let width = if bound.is_finite() { bound - floor } else { 0.0 };
                    return (floor + width * (wanted - passed) / (count - passed).max(1.0)) * 1_000.0;
                }
                (floor, passed) = (*bound, *count);
            }
            floor * 1_000.0
        };
        let total =
            |figures: &BTreeMap<String, f64>, what: &str| sum(figures, &format!("{}_{what}", Pipeline::HISTOGRAM));
        let (seconds, commits) =
            (total(after, "sum") - total(before, "sum"), total(after, "count") - total(before, "count"));
        Pipeline { mean_ms: seconds * 1_000.0 / commits.max(1.0), half_ms: at(0.5), most_ms: at(0.99), commits }
    }

    fn print(self, what: &str) {
        let Pipeline { mean_ms, half_ms, most_ms, commits } = self;
        println!("| {what} | {mean_ms:.1} | {half_ms:.1} | {most_ms:.1} | {commits:.0} |");
    }
}

/// The calling thread stands aside for all others: clients are elsewhere, but for a benchmark.
pub fn stand_aside() {
    rustix::process::setpriority_process(None, 19).unwrap();
}

/// Sends items at a rate until it is told to stop; how long an answer took, in milliseconds, and how many items were sent.
fn ingest(
    client: &mut Client,
    spoke: &str,
    items: &mut dyn Iterator<Item = Vec<u8>>,
    rate: u64,
    stop: &AtomicBool,
) -> (Vec<f64>, u64) {
    let (began, mut sent, mut waits) = (Instant::now(), 0, Vec::new());
    let path = format!("/api/v1/spokes/{spoke}/touchpoints");
    while !stop.load(Ordering::Relaxed) {
        let body: Vec<Vec<u8>> = items.take(BATCH).collect();
        assert_eq!(body.len(), BATCH, "there are enough events");
        let due = Duration::from_secs_f64(sent as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let asked = Instant::now();
        loop {
            match client.send("POST", &path, "application/x-ndjson", &body.join(&b"\n"[..])) {
                202 => break,
                429 | 503 => std::thread::sleep(Duration::from_millis(20)),
                status => panic!("{status}: {}", client.answer()),
            }
        }
        waits.push(asked.elapsed().as_secs_f64() * 1_000.0);
        sent += BATCH as u64;
    }
    (waits, sent)
}

/// The value below which a share lies; of sorted values.
pub fn share(sorted: &[f64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

/// Tells somebody to stop when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is measured, and on what.
pub struct Load {
    hub: Hub,
    figures_port: u16,
    api: u16,
    spoke: &'static str,
    sender: Client,
    rate: u64,
    seconds: Duration,
}

impl Load {
    /// Events at the rate for as long as something else is done; what the pipeline did meanwhile.
    fn during<T>(
        &mut self,
        items: &mut (dyn Iterator<Item = Vec<u8>> + Send),
        work: impl FnOnce() -> T,
    ) -> (Pipeline, Vec<f64>, T) {
        let stop = AtomicBool::new(false);
        let (spoke, rate) = (self.spoke, self.rate);
        let Load { sender, figures_port, .. } = self;
        let (mut waits, result, before, after) = std::thread::scope(|scope| {
            let sending = scope.spawn(|| ingest(sender, spoke, items, rate, &stop));
            // Also if what is done meanwhile fails.
            let _end = Ends(&stop);
            // What was before has been published.
            std::thread::sleep(Duration::from_secs(2));
            let before = figures(*figures_port).unwrap();
            let result = work();
            let after = figures(*figures_port).unwrap();
            stop.store(true, Ordering::Relaxed);
            (sending.join().unwrap().0, result, before, after)
        });
        waits.sort_by(f64::total_cmp);
        (Pipeline::between(&before, &after), waits, result)
    }
}

/// The whole of it; prints as it goes.
pub fn run() {
    with_files();
    let spoke = SOURCE.split('.').next().unwrap();
    let (filled, rate) = (argument("--events", 100_000), argument("--rate", 2_000));
    let seconds = Duration::from_secs(argument("--seconds", 30));
    let (readers, watchers) = (argument("--readers", 4) as usize, argument("--subscribers", 1_000) as usize);
    let reads_per_second = argument("--reads", 100);
    let enough = filled + rate * (seconds.as_secs() + 30) * 5;
    let options = BenchOptions { customers: 20_000, events: enough, ..BenchOptions::default() };
    let mut items = BenchEvents::new(options).map(|event| event.payload);

    let (figures_port, api) = (free_port(), free_port());
    let listen = format!("serve.listen=127.0.0.1:{api}");
    let command = measure::command(figures_port, "");
    let hub = command
        .args(["--set", &listen, "--set", "serve.requests_per_second=2000", "--set", "serve.streams_per_token=1000"])
        .spawn();
    let waiting = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", api)).is_err() || figures(figures_port).is_none() {
        assert!(waiting.elapsed() < BEGUN_WITHIN, "the hub does not begin\n{}", hub.process.story());
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = hub.process.pid();
    let mut sender = Client::connect(api, &token(&hub, &[&format!("ingest:{spoke}")]));
    let path = format!("/api/v1/spokes/{spoke}/touchpoints");
    while !matches!(sender.send("POST", &path, "application/x-ndjson", b"{}"), 202 | 422) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let began = Instant::now();
    for _ in 0..filled.div_ceil(500) {
        let body: Vec<Vec<u8>> = items.by_ref().take(500).collect();
        while sender.send("POST", &path, "application/x-ndjson", &body.join(&b"\n"[..])) != 202 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let mut load = Load { hub, figures_port, api, spoke, sender, rate, seconds };
    wait_until_done(&mut load.hub, figures_port, filled as f64, began);
    let reads = token(&load.hub, &["read:metrics", "read:customers", "operate"]);
    load.until_current(&reads);
    println!(
        "{filled} events taken in, and the copy of the feeds is current, after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let (filled_mib, _) = memory(pid);
    println!("memory of the hub then: {filled_mib:.0} MiB\n");

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .on_thread_start(stand_aside)
        .enable_all()
        .build()
        .unwrap();
    let questions = Questions::of(api, &reads, readers);
    let (quiet, _, ()) = load.during(&mut items, || std::thread::sleep(seconds));
    let (loaded, waits) = load.with_everybody(&mut items, &runtime, &questions, (reads_per_second, watchers));
    // Connections that are gone are noticed.
    load.until_current(&reads);
    let (again, _, ()) = load.during(&mut items, || std::thread::sleep(seconds));
    println!("\nreads as fast as they are answered, while events come:");
    let (busy, _, ()) = load.during(&mut items, || read(&questions, None, seconds));
    println!("\nfrom a record to the commit that published its effect, at {rate} events a second over HTTP:\n");
    println!("| with | mean ms | p50 ms | p99 ms | commits |\n| --- | ---: | ---: | ---: | ---: |");
    quiet.print("nobody");
    loaded.print("everybody");
    again.print("nobody again");
    busy.print("readers as fast as they can");
    let without = |of: fn(&Pipeline) -> f64| (of(&quiet) + of(&again)) / 2.0;
    println!(
        "\nwith everybody against without: p99 × {:.2} (the mark is 1.2), mean × {:.2}; a batch of {BATCH} was acknowledged within {:.1} ms (half), {:.1} ms \
         (99 %) with everybody",
        loaded.most_ms / without(|it| it.most_ms),
        loaded.mean_ms / without(|it| it.mean_ms),
        share(&waits, 0.5),
        share(&waits, 0.99),
    );

    flood(&load, &reads);
    oversized(&load, spoke);
    cut_off(&load, &reads);
    let (now, most) = memory(pid);
    println!("memory of the hub at the end: {now:.0} MiB, at most {most:.0} MiB");
    let status = load.hub.process.terminate(Duration::from_secs(60));
    assert!(status.success(), "{}", load.hub.process.story());
}

impl Load {
    /// Waits until the copy of the feeds has everything.
    fn until_current(&self, reads: &str) {
        let began = Instant::now();
        let mut client = Client::connect(self.api, reads);
        loop {
            if client.get("/api/v1/metrics/orders") == 200 && wire::is_current(self.figures_port) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(600), "the copy of the feeds is not current");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Readers and watchers, while events come.
    fn with_everybody(
        &mut self,
        items: &mut (dyn Iterator<Item = Vec<u8>> + Send),
        runtime: &Runtime,
        questions: &Questions,
        (reads_per_second, watchers): (u64, usize),
    ) -> (Pipeline, Vec<f64>) {
        let (pid, api, seconds) = (self.hub.process.pid(), self.api, self.seconds);
        let (before, _) = memory(pid);
        let began = Instant::now();
        let watching = Watchers::open(runtime, api, &token(&self.hub, &["read:metrics"]), watchers);
        let (after, _) = memory(pid);
        println!(
            "{watchers} streams of events opened in {:.1} s; memory {before:.0} → {after:.0} MiB: {:.0} KiB each",
            began.elapsed().as_secs_f64(),
            (after - before) * 1024.0 / watchers as f64
        );
        let (pipeline, waits, ()) = self.during(items, || read(questions, Some(reads_per_second), seconds));
        let (with_events, _) = memory(pid);
        watching.close(runtime);
        println!("memory with {} readers and {watchers} streams: {with_events:.0} MiB", questions.connections);
        (pipeline, waits)
    }
}
