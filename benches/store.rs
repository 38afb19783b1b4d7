//! What the state store costs: CPU of putting, committing, flushing and merging, of lookups and scans, and memory.
//!
//! `cargo bench --profile release --bench store -- [entries] [flush MiB] [cache MiB]`, by default 1,000,000, 32 and 32.
//! Keys have 40 bytes and begin uniformly, as hashes do, so that every flush lies over all before; values have 250 bytes.
//! CPU is user + system of the whole process, the merging thread included.

#![allow(clippy::print_stdout, reason = "a benchmark shows its table on standard output and fails loudly")]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use comfy_table::Table;
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use insight_hub::engine::store::{FjallDisk, Identity, Store, StoreFolder};

/// The allocator of the product.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const KEY_BYTES: usize = 40;
const VALUE_BYTES: usize = 250;
const COMMIT_ENTRIES: u64 = 20_000;
const LOOKUPS: u64 = 200_000;
const SCANS: u64 = 20_000;

/// A step of the measurement: what it was, how often, and what it took.
struct Measured {
    what: String,
    times: u64,
    wall: Duration,
    cpu: Duration,
}

/// How much is measured.
#[derive(Clone, Copy)]
struct Sizes {
    entries: u64,
    flush_bytes: u64,
    cache_bytes: u64,
}

/// Runs `work` and measures it.
fn measure<T>(rows: &mut Vec<Measured>, what: impl Into<String>, times: u64, work: impl FnOnce() -> T) -> T {
    let (started, cpu) = (Instant::now(), process_cpu());
    let result = work();
    rows.push(Measured { what: what.into(), times, wall: started.elapsed(), cpu: process_cpu() - cpu });
    result
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut argument = |default: u64| {
        arguments.next().map_or(default, |argument| argument.parse().expect("arguments are whole numbers"))
    };
    let (entries, flush_mib, cache_mib) = (argument(1_000_000), argument(32), argument(32));
    let sizes = Sizes { entries, flush_bytes: flush_mib << 20, cache_bytes: cache_mib << 20 };
    let directory = tempfile::tempdir().expect("a temporary folder");

    let mut rows = Vec::new();
    let rss_at_start = memory_bytes("VmRSS:");
    write_and_read(&mut rows, directory.path(), sizes);
    let (rss, peak) = (memory_bytes("VmRSS:"), memory_bytes("VmHWM:"));
    batches_for_comparison(&mut rows, directory.path(), sizes);

    let mut table = Table::new();
    table.set_header(["", "times", "wall s", "CPU s", "wall µs each", "CPU µs each"]);
    for row in rows {
        table.add_row([
            row.what,
            row.times.to_string(),
            format!("{:.2}", row.wall.as_secs_f64()),
            format!("{:.2}", row.cpu.as_secs_f64()),
            format!("{:.2}", row.wall.as_secs_f64() * 1e6 / row.times as f64),
            format!("{:.2}", row.cpu.as_secs_f64() * 1e6 / row.times as f64),
        ]);
    }
    println!(
        "{entries} entries of {KEY_BYTES} + {VALUE_BYTES} bytes, flushes of {flush_mib} MiB, cache of {cache_mib} MiB"
    );
    println!("{table}");
    println!(
        "RSS: {} MiB at the start, {} MiB after reading, {} MiB at its peak",
        rss_at_start >> 20,
        rss >> 20,
        peak >> 20
    );
}

fn write_and_read(rows: &mut Vec<Measured>, directory: &Path, sizes: Sizes) {
    let Sizes { entries, flush_bytes, cache_bytes } = sizes;
    let path = directory.join("ingested");
    let identity = Identity { placement: [7; 16], changelog: "bench-0".to_owned() };
    let folder = StoreFolder::open(&path, cache_bytes).expect("the folder opens");
    let disk = FjallDisk::open(&folder, "homes-0", identity.clone()).expect("the disk opens");
    let mut store = Store::new(Box::new(disk));

    // Of this thread alone, so without the merging thread.
    let mut flushing = Measured { what: String::new(), times: entries, wall: Duration::ZERO, cpu: Duration::ZERO };
    let mut putting = Measured {
        what: "  of it put and commit".to_owned(),
        times: entries,
        wall: Duration::ZERO,
        cpu: Duration::ZERO,
    };
    let mut flushes = 0;
    let mut first_flush = None;
    let rss_before = memory_bytes("VmRSS:");
    measure(rows, "put, commit, flush and merge until idle", entries, || {
        let mut mark = (Instant::now(), thread_cpu());
        let mut lap = |of: &mut Measured| {
            let now = (Instant::now(), thread_cpu());
            of.wall += now.0 - mark.0;
            of.cpu += now.1 - mark.1;
            mark = now;
        };
        for number in 0..entries {
            store.put(&key(number), &value(number));
            let last = number == entries - 1;
            if number % COMMIT_ENTRIES == COMMIT_ENTRIES - 1 || last {
                store.commit();
                if store.unflushed_bytes() as u64 >= flush_bytes || last {
                    first_flush.get_or_insert_with(|| (store.unflushed_bytes(), memory_bytes("VmRSS:") - rss_before));
                    lap(&mut putting);
                    store.flush(number + 1).expect("the flush succeeds");
                    flushes += 1;
                    lap(&mut flushing);
                }
            }
        }
        wait_until_idle();
    });
    flushing.what = format!("  of it {flushes} flushes");
    rows.extend([putting, flushing]);
    let (counted, taken) = first_flush.expect("flushed at least once");
    println!(
        "a full table: {} MiB counted, {} MiB taken; {} MiB on disk",
        counted >> 20,
        taken >> 20,
        store.disk_bytes() >> 20
    );

    measure(rows, "make a key and a value, for comparison", entries, || {
        for number in 0..entries {
            black_box((key(number), value(number)));
        }
    });
    measure(rows, "get an absent key", LOOKUPS, || {
        for number in 0..LOOKUPS {
            assert!(store.get(&key(entries + number)).expect("readable").is_none());
        }
    });
    measure(rows, "get a present key", LOOKUPS, || {
        for number in 0..LOOKUPS {
            let number = mix(number) % entries;
            let found = store.get(&key(number)).expect("readable").expect("it was put");
            assert_eq!(found[..8], value(number)[..8]);
        }
    });
    measure(rows, "scan up to 10 entries", SCANS, || {
        for number in 0..SCANS {
            let mut seen = 0;
            store
                .scan(&key(number), &[0xff; KEY_BYTES], |key, _| {
                    black_box(key);
                    seen += 1;
                    if seen == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .expect("readable");
        }
    });
    drop((store, folder));
    measure(rows, "open again", 1, || {
        let folder = StoreFolder::open(&path, cache_bytes).expect("the folder opens");
        let disk = FjallDisk::open(&folder, "homes-0", identity).expect("the disk opens");
        assert_eq!(Store::new(Box::new(disk)).position(), Some(entries));
    });
}

/// The same entries through the write path that the store does not use: one atomic batch and one sync per flush.
fn batches_for_comparison(rows: &mut Vec<Measured>, directory: &Path, sizes: Sizes) {
    let Sizes { entries, flush_bytes, cache_bytes } = sizes;
    let database = Database::builder(directory.join("batched"))
        .worker_threads(1)
        .cache_size(cache_bytes)
        .open()
        .expect("the folder opens");
    let tree = database.keyspace("homes-0", KeyspaceCreateOptions::default).expect("the tree opens");
    measure(rows, "for comparison: fjall's defaults, batches and sync", entries, || {
        let batch_entries = flush_bytes / (KEY_BYTES + VALUE_BYTES + 150) as u64;
        let mut number = 0;
        while number < entries {
            let until = entries.min(number + batch_entries);
            let mut sorted: Vec<_> = (number..until).map(|number| (key(number), value(number))).collect();
            sorted.sort_unstable();
            let mut batch = database.batch();
            for (key, value) in &sorted {
                batch.insert(&tree, &key[..], &value[..]);
            }
            batch.commit().expect("the batch commits");
            database.persist(PersistMode::SyncAll).expect("the journal syncs");
            number = until;
        }
        wait_until_idle();
    });
}

/// Waits until the process has used almost no CPU for a while, so that merges are counted.
fn wait_until_idle() {
    loop {
        let cpu = process_cpu();
        std::thread::sleep(Duration::from_millis(150));
        if process_cpu() - cpu < Duration::from_millis(20) {
            return;
        }
    }
}

fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [1; KEY_BYTES];
    key[1..9].copy_from_slice(&mix(number).to_be_bytes());
    key[9..17].copy_from_slice(&mix(!number).to_be_bytes());
    key[32..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Half noise, half the kind of bytes that records share.
fn value(number: u64) -> [u8; VALUE_BYTES] {
    let mut value = [b'-'; VALUE_BYTES];
    for (index, chunk) in value[..VALUE_BYTES / 2].chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&mix(number ^ ((index as u64) << 40)).to_be_bytes());
    }
    value
}

/// User and system time of this process. The kernel counts in hundredths of a second.
fn process_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().expect("the name of the command is in parentheses");
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a count")).sum();
    Duration::from_millis(ticks * 10)
}

/// Time that the processor spent on this thread.
fn thread_cpu() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with scheduler statistics");
    Duration::from_nanos(
        statistics.split(' ').next().and_then(|field| field.parse().ok()).expect("nanoseconds come first"),
    )
}

/// A figure of `/proc/self/status`, in bytes.
fn memory_bytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(name)).expect("Linux reports it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a figure in kB") * 1_024
}
