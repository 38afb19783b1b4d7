//! Departments that send over HTTP to a hub without Kafka, in batches, each durable before it is acknowledged: the rate, how long an
//! answer takes, and the CPU of the hub out. With `--load`, at a rate, while others read, watch, dawdle and flood: see [`load`].
//!
//! `cargo bench --profile release --bench http -- [--events N] [--customers N] [--batch N] [--connections N] [--workers N] [--packed]`
//! `… --load [--events N] [--rate N] [--seconds N] [--readers N] [--reads N] [--subscribers N] [--workers N] [--set section.key=value]…`

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
#[path = "load/mod.rs"]
mod load;
mod measure;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use harness::{kafka::free_port, process::Hub};
use insight_hub::company::{BenchEvents, BenchOptions};
use measure::{SOURCE, argument, figures, header, is_said, row, usage, wait_until_done, within};

const TOKEN_WITHIN: Duration = Duration::from_secs(60);

/// A connection that is kept.
struct Client {
    stream: TcpStream,
    port: u16,
    head: String,
    read: Vec<u8>,
}

impl Client {
    fn connect(port: u16, spoke: &str, token: &str, is_packed: bool) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let coding = if is_packed { "content-encoding: gzip\r\n" } else { "" };
        let head = format!(
            "POST /api/v1/spokes/{spoke}/touchpoints HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/x-ndjson\r\n{coding}content-length: "
        );
        Client { stream, port, head, read: Vec::new() }
    }

    /// Sends a body; the status of its answer, once that is whole.
    fn post(&mut self, body: &[u8]) -> u16 {
        self.stream.write_all(format!("{}{}\r\n\r\n", self.head, body.len()).as_bytes()).unwrap();
        self.stream.write_all(body).unwrap();
        self.read.clear();
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.read[..end]).unwrap().to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
                if self.read.len() >= end + 4 + length.trim().parse::<usize>().unwrap() {
                    return head.split(' ').nth(1).unwrap().parse().unwrap();
                }
            }
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the hub closed the connection");
            self.read.extend_from_slice(&buffer[..count]);
        }
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A token with some roles.
fn token(hub: &Hub, roles: &[&str]) -> String {
    let data = hub.directory().join("data").display().to_string();
    let command = Hub::command("token").args(["--data-directory", &data, "token", "create", "bench", "-o", "json"]);
    let command = command.args(roles.iter().flat_map(|role| ["--role", role]));
    let (status, made, errors) = command.run(TOKEN_WITHIN);
    assert!(status.success(), "{errors}");
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

fn main() {
    if is_said("--load") {
        return load::run();
    }
    let events = argument("--events", 500_000);
    let batch = argument("--batch", 500) as usize;
    let connections = argument("--connections", 4);
    let is_packed = is_said("--packed");
    let options = BenchOptions {
        customers: u32::try_from(argument("--customers", 50_000)).unwrap(),
        events,
        ..BenchOptions::default()
    };
    let spoke = SOURCE.split('.').next().unwrap();
    let making = Instant::now();
    let all: Vec<Vec<u8>> = BenchEvents::new(options).map(|event| event.payload).collect();
    let bodies: Vec<Vec<u8>> = all
        .chunks(batch)
        .map(|items| items.join(&b"\n"[..]))
        .map(|body| if is_packed { packed(&body) } else { body })
        .collect();
    drop(all);
    eprintln!("{events} items in {} bodies made in {:.1} s", bodies.len(), making.elapsed().as_secs_f64());

    let (port, api) = (free_port(), free_port());
    let command = measure::command(port, "");
    let mut hub = command
        .args(["--set", &format!("serve.listen=127.0.0.1:{api}"), "--set", "serve.requests_per_second=100000"])
        .spawn();
    let waiting = Instant::now();
    while TcpStream::connect(("127.0.0.1", api)).is_err() || figures(port).is_none() {
        assert!(waiting.elapsed() < TOKEN_WITHIN, "the hub does not begin\n{}", hub.process.story());
        std::thread::sleep(Duration::from_millis(20));
    }
    let token = token(&hub, &[&format!("ingest:{spoke}")]);
    // Until it takes anything.
    while !matches!(Client::connect(api, spoke, &token, false).post(b"{}"), 202 | 422) {
        std::thread::sleep(Duration::from_millis(50));
    }

    let (next, waits, again) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut client = Client::connect(api, spoke, &token, is_packed);
                let mut own = Vec::new();
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let asked = Instant::now();
                    loop {
                        match client.post(body) {
                            202 => break,
                            429 | 503 => {
                                again.fetch_add(1, Ordering::Relaxed);
                                std::thread::sleep(Duration::from_millis(50));
                            }
                            status => panic!("{status}: {}", String::from_utf8_lossy(&client.read)),
                        }
                    }
                    own.push(asked.elapsed());
                }
                waits.lock().unwrap().append(&mut own);
            });
        }
    });
    let acknowledged = began.elapsed().as_secs_f64();
    let mut waits = waits.into_inner().unwrap();
    waits.sort_unstable();
    let share = |percent: usize| waits[(waits.len() * percent / 100).min(waits.len() - 1)].as_secs_f64() * 1_000.0;
    println!(
        "{events} items acknowledged in {acknowledged:.1} s: {:.0}/s in bodies of {batch} over {connections} connections{}; an answer \
         takes {:.1} ms (half), {:.1} ms (99 %), {:.1} ms (the longest); {} were told to come again",
        events as f64 / acknowledged,
        if is_packed { ", packed" } else { "" },
        share(50),
        share(99),
        share(100),
        again.into_inner()
    );
    let (took, then) = wait_until_done(&mut hub, port, events as f64, began);
    let (cpu, peak) = usage(hub.process.pid());
    println!("storing together: half within {:.0} ms", within(&then, "insight_hub_api_stored_seconds", 0.5) * 1_000.0);
    header();
    row("hub, over HTTP, all taken in", events, took.as_secs_f64(), cpu, peak);
    let status = hub.process.terminate(Duration::from_secs(60));
    assert!(status.success(), "{}", hub.process.story());
}
