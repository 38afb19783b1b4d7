//! A process that is killed at any moment, again and again, in; what its log still holds on a real disk, out.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write, stdout},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use insight_hub::engine::log::commit_log::{Commit, CommitLog, Options, Policy, TopicPartition};

use super::{
    basics::record,
    model::{fold, read_all},
    story::Random,
    threads::Directory,
};

const DIRECTORY: &str = "INSIGHT_HUB_TEST_KILLED_LOG";
const KEPT: u32 = 3;
const KEYS: u64 = 50;
const COMPACTED: TopicPartition = TopicPartition { topic: 1, partition: 0 };
const PROCESSED: TopicPartition = TopicPartition { topic: 2, partition: 0 };

fn kept(partition: u32) -> TopicPartition {
    TopicPartition { topic: 0, partition }
}

fn open(directory: &Directory) -> CommitLog {
    let options = Options { segment_bytes: 300_000, merge_min: 3, open_files_max: 8, ..Options::default() };
    let log = CommitLog::open(directory.files(), options).expect("a log");
    for (name, partitions, policy) in [
        ("kept", KEPT, Policy::Keep),
        ("compacted", 1, Policy::Compact { delete_retention_ms: 0 }),
        ("processed", 1, Policy::Processed),
    ] {
        log.create_topic(name, partitions, policy).expect("a topic");
    }
    log
}

/// Commit `number`: one record everywhere, the number its value, and the next number as consumer offset.
fn commit(into: &mut Commit, number: u64) {
    into.clear();
    let (text, key) = (number.to_string(), (number % KEYS).to_string());
    let record = record(&key, Some(&text), number as i64);
    for partition in (0..KEPT).map(kept).chain([COMPACTED, PROCESSED]) {
        into.record(partition, &record);
    }
    into.offset(PROCESSED, number + 1);
}

/// What the child says: how far it came, and what it did on the way.
fn say(what: &str, number: u64) {
    // Not through the macros: the test harness would keep that.
    writeln!(stdout(), "\n{what} {number}").expect("the parent listens");
}

/// Two append, one syncs and rolls, one cleans.
#[test]
#[ignore = "the process that the test below kills"]
fn child_appends_until_it_is_killed() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    // Never dropped: the parent removes it.
    let directory = std::mem::ManuallyDrop::new(Directory(path.into()));
    let log = open(&directory);
    say("opened", 1);
    let next = Mutex::new(log.end(kept(0)).expect("an end"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut pending = Commit::new();
                while !stop.load(Ordering::Relaxed) {
                    let mut next = next.lock().expect("nobody panics");
                    commit(&mut pending, *next);
                    log.append(&pending).expect("an append");
                    *next += 1;
                    say("appended", *next);
                    if next.is_multiple_of(4) {
                        // Without a pause the cleaner would never see a small segment.
                        drop(next);
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
        scope.spawn(|| {
            for round in 0_u64.. {
                std::thread::sleep(Duration::from_millis(1));
                log.sync().expect("a sync");
                if round.is_multiple_of(3) {
                    log.roll().expect("rolled");
                }
            }
        });
        loop {
            let committed = |_, _| log.committed(PROCESSED).map(|next| next.saturating_sub(100));
            let cleaned = log.clean(i64::MAX, &committed).expect("cleaned");
            if cleaned.segments_merged > 0 {
                say("merged", cleaned.segments_merged);
            }
        }
    });
}

/// Runs the child, and kills it some time after it opened the log, or while it does. Returns what it said.
fn run_and_kill(directory: &Directory, random: &mut Random) -> BTreeMap<String, u64> {
    let name = format!("{}::child_appends_until_it_is_killed", module_path!().split_once("::").expect("a path").1);
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([&name, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, &directory.0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let (opened, is_open) = mpsc::channel();
    let listener = std::thread::spawn(move || {
        let mut said = BTreeMap::new();
        for line in output.lines() {
            let line = line.expect("a line");
            let Some((what, number)) = line.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            if what == "opened" {
                let _ = opened.send(());
            }
            let entry = said.entry(what.to_owned()).or_insert(0);
            *entry = if what == "appended" { number } else { *entry + number };
        }
        said
    });
    if random.below(4) > 0 {
        is_open.recv_timeout(Duration::from_secs(60)).expect("it opens the log");
        std::thread::sleep(Duration::from_micros(random.below(200_000)));
    } else {
        std::thread::sleep(Duration::from_micros(random.below(15_000)));
    }
    assert_eq!(child.try_wait().expect("a child"), None, "it ended by itself");
    child.kill().expect("killed");
    child.wait().expect("gone");
    listener.join().expect("what it said")
}

#[test]
fn process_that_is_killed_loses_nothing_that_it_appended() {
    let rounds = if std::env::var_os("INSIGHT_HUB_TEST_FULL").is_some() { 100 } else { 20 };
    let directory = Directory::new("killed");
    let mut random = Random(u64::from(std::process::id()));
    let (mut acknowledged, mut merged) = (0, 0);
    for round in 0..rounds {
        let said = run_and_kill(&directory, &mut random);
        let appended = said.get("appended").copied().unwrap_or(acknowledged);
        assert!(appended >= acknowledged);
        acknowledged = appended;
        merged += said.get("merged").copied().unwrap_or(0);
        let log = open(&directory);
        let end = log.end(kept(0)).expect("an end");
        assert!(end >= acknowledged, "round {round}: {acknowledged} were acknowledged, {end} are there");
        check(&log, end);
        // What the child did not get to say counts from now on.
        acknowledged = end;
    }
    assert!(acknowledged > 1000 && merged > 10, "{acknowledged} commits, {merged} segments merged");
}

/// The log holds the first `end` commits, each of them whole.
fn check(log: &CommitLog, end: u64) {
    let number = |value: &Option<Vec<u8>>| -> u64 {
        String::from_utf8_lossy(value.as_deref().expect("a value")).parse().expect("a number")
    };
    for partition in (0..KEPT).map(kept) {
        assert_eq!(log.end(partition).expect("an end"), end, "{partition}");
        let found = read_all(log, partition, 0, 1 << 20);
        assert_eq!(found.len() as u64, end, "{partition}");
        for (record, wanted) in found.iter().zip(0..) {
            assert_eq!((record.offset, number(&record.value)), (wanted, wanted), "{partition}");
        }
    }
    assert_eq!(log.committed(PROCESSED).unwrap_or(0), end);
    for partition in [COMPACTED, PROCESSED] {
        assert_eq!(log.end(partition).expect("an end"), end, "{partition}");
        let found = read_all(log, partition, 0, 1 << 20);
        assert!(found.iter().all(|record| number(&record.value) == record.offset), "{partition}");
        assert!(found.is_sorted_by(|left, right| left.offset < right.offset), "{partition}");
        if partition == PROCESSED {
            let needed = found.iter().filter(|record| record.offset + 100 >= end).count() as u64;
            assert_eq!(needed, end.min(100));
        } else {
            let latest = fold(found.iter());
            assert_eq!(latest.len() as u64, end.min(KEYS));
            for (key, value) in &latest {
                let key: u64 = String::from_utf8_lossy(key).parse().expect("a number");
                let newest = (end.saturating_sub(KEYS)..end).find(|number| number % KEYS == key).expect("a key");
                assert_eq!(number(&Some(value.clone())), newest);
            }
        }
    }
    log.verify(&mut |_, _| {}).expect("nothing is wrong");
}
