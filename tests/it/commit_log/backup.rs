//! A log that is used in; what its backups open as, and what half a backup does not open as, out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use insight_hub::engine::log::commit_log::{
    BackupSummary, CommitLog, CommitLogError, Options, Policy, TopicPartition,
    files::{
        Files,
        real::RealFiles,
        simulated::{Fault, SimulatedFiles, Unsynced},
    },
};

use super::{
    basics::{P0, all, log_with, nothing, numbered, open, put},
    model::read_all,
    story::{Story, script},
    threads::Directory,
};

fn simulated(files: &SimulatedFiles, options: Options) -> Result<CommitLog, CommitLogError> {
    CommitLog::open(Arc::new(files.clone()), options)
}

#[test]
fn backup_of_any_story_opens_as_the_prefix_that_it_was() {
    for seed in 1..=12 {
        let mut story = Story::new(seed, Unsynced::Kept, format!("seed {seed}"));
        // Markers and unfinished cleaning too.
        story.files.plan([Fault::NameError, Fault::WriteTorn, Fault::SyncError][seed as usize % 3], seed * 7);
        story.run(&script(seed, 150));
        let log = story.log.as_ref().expect("a log");
        let (into, then) = (SimulatedFiles::new(seed), story.model.clone());
        let summary = log.backup(&into).expect("a backup");
        assert_eq!((summary.sequence, log.durable()), (log.newest(), log.newest()));
        put_more(log, 30);
        into.restart(Unsynced::Lost);
        let copy = simulated(&into, story.options).expect("the backup opens");
        assert_eq!(copy.newest(), summary.sequence);
        assert_eq!(copy.topics(), log.topics());
        let bytes = copy.bytes().expect("bytes");
        assert_eq!((bytes, bytes, 0), (summary.bytes, summary.bytes_copied, summary.segments_linked));
        then.check(&copy, &story.context);
        copy.verify(&mut |_, _| {}).expect("a good copy");
        // It is a log like any other.
        put_more(&copy, 30);
        copy.clean(10_000, &nothing).expect("cleaned");
        drop(copy);
        let copy = simulated(&into, story.options).expect("it opens again");
        assert!(copy.recovery().footers_bad.is_empty());
    }
}

fn put_more(log: &CommitLog, commits: u64) {
    for number in 0..commits {
        put(log, &[&format!("k={number}")], number as i64).expect("an append");
        if number % 7 == 0 {
            log.roll().expect("rolled");
        }
    }
}

#[test]
fn backup_refuses_a_directory_that_is_not_empty() {
    let log = log_with(&SimulatedFiles::new(1), Policy::Keep);
    let into = SimulatedFiles::new(1);
    into.create("anything").expect("a file");
    let error = log.backup(&into).expect_err("a refusal");
    assert!(matches!(error, CommitLogError::NotEmpty { .. }), "{error}");
    assert_eq!(into.list().expect("names"), ["anything"]);
    let into = SimulatedFiles::new(1);
    log.backup(&into).expect("a backup");
    assert!(matches!(log.backup(&into), Err(CommitLogError::NotEmpty { .. })));
}

/// Every operation in the new directory fails once, in every way: what is there afterwards opens as the whole, or says that it is
/// no log.
#[test]
fn half_a_backup_does_not_open() {
    let log = log_with(&SimulatedFiles::new(1), Policy::Keep);
    put_more(&log, 25);
    let wanted = all(&log);
    for fault in [Fault::PowerCut, Fault::SyncError, Fault::NameError, Fault::WriteTorn, Fault::WriteFull] {
        for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
            for number in 1.. {
                let context = format!("{fault:?} {number}, {unsynced:?}");
                let into = SimulatedFiles::new(number);
                into.plan(fault, number);
                let outcome = log.backup(&into);
                let came = !into.is_fault_to_come();
                assert_eq!(outcome.is_err(), came, "{context}: {outcome:?}");
                into.restart(unsynced);
                let is_touched = into.list().expect("names").iter().any(|name| name == "FORMAT");
                match open(&into, 1 << 20) {
                    // The last sync may fail although everything arrived.
                    Ok(copy) if is_touched => {
                        assert!(!came || fault != Fault::NameError, "{context}");
                        assert_eq!(all(&copy), wanted, "{context}");
                    }
                    // A directory in which nothing was begun is an empty log.
                    Ok(copy) => assert!(came && copy.topics().is_empty(), "{context}"),
                    Err(error @ CommitLogError::Format { .. }) => {
                        assert!(came && error.to_string().contains("backup that did not finish"), "{context}: {error}");
                    }
                    Err(error) => panic!("{context}: {error}"),
                }
                if !came {
                    break;
                }
            }
        }
    }
    assert_eq!(all(&log), wanted, "the log itself goes on");
    put(&log, &["more=1"], 0).expect("an append");
}

/// Lets the other threads end, also when this one panics.
struct Finish<'a>(&'a AtomicU64, &'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
        self.1.store(true, Ordering::Relaxed);
    }
}

#[test]
fn backups_while_two_append_and_one_cleans_are_prefixes() {
    const COMMITS: u64 = 6000;
    let directory = Directory::new("backup-source");
    let options = Options { segment_bytes: 8000, merge_min: 3, ..Options::default() };
    let log = CommitLog::open(directory.files(), options).expect("a log");
    let keep = log.create_topic("keep", 2, Policy::Keep).expect("a topic");
    let compact = log.create_topic("compact", 1, Policy::Compact { delete_retention_ms: 0 }).expect("a topic");
    let compacted = TopicPartition { topic: compact, partition: 0 };
    let (done, backups) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut linked = 0;
    std::thread::scope(|scope| {
        let finish = Finish(&backups, &done);
        let appenders: Vec<_> = (0..2_u32)
            .map(|partition| {
                let (log, backups) = (&log, &backups);
                scope.spawn(move || {
                    let kept = TopicPartition { topic: keep, partition };
                    for number in 0..COMMITS {
                        log.append(&numbered(kept, compacted, number)).expect("an append");
                        if number % 20 == 0 {
                            log.roll().expect("rolled");
                        }
                        // Slow enough that backups see many states.
                        while backups.load(Ordering::Relaxed) < number / 600 {
                            std::thread::sleep(std::time::Duration::from_millis(1));
                        }
                    }
                })
            })
            .collect();
        let cleaner = scope.spawn(|| {
            let mut merged = 0;
            while !done.load(Ordering::Relaxed) {
                merged += log.clean(i64::MAX, &nothing).expect("cleaned").segments_merged;
            }
            merged
        });
        while appenders.iter().any(|appender| !appender.is_finished()) {
            let number = backups.load(Ordering::Relaxed);
            let copy = Directory::new(&format!("backup-copy-{number}"));
            // Every third one as if it lay on another file system.
            let summary = if number % 3 == 2 {
                let into = SimulatedFiles::new(number);
                let summary = log.backup(&into).expect("a backup");
                check_prefix(&simulated(&into, options).expect("the backup opens"), &summary, keep, compacted);
                summary
            } else {
                let into = RealFiles::new(&copy.0).expect("a directory");
                let summary = log.backup(&into).expect("a backup");
                check_prefix(
                    &CommitLog::open(Arc::new(into), options).expect("the backup opens"),
                    &summary,
                    keep,
                    compacted,
                );
                summary
            };
            linked += summary.segments_linked;
            backups.fetch_add(1, Ordering::Relaxed);
        }
        for appender in appenders {
            appender.join().expect("an appender");
        }
        drop(finish);
        assert!(cleaner.join().expect("the cleaner") > 10);
    });
    assert!(linked > 10);
    log.verify(&mut |_, _| {}).expect("the log shares its segments and is as it was");
}

/// The backup is what the log was after one commit: all partitions, values and consumer offsets belong together.
fn check_prefix(copy: &CommitLog, summary: &BackupSummary, keep: u32, compacted: TopicPartition) {
    assert_eq!(copy.newest(), summary.sequence);
    assert_eq!(copy.bytes().expect("bytes"), summary.bytes);
    copy.verify(&mut |_, _| {}).expect("a good copy");
    let mut total = 0;
    let mut latest = std::collections::BTreeMap::new();
    for partition in 0..2 {
        let kept = TopicPartition { topic: keep, partition };
        let end = copy.end(kept).expect("an end");
        total += end;
        assert_eq!(copy.committed(kept).unwrap_or(0), end);
        let found = read_all(copy, kept, 0, 1 << 20);
        assert_eq!(found.len() as u64, end);
        for (number, record) in found.iter().enumerate() {
            assert_eq!(record.value, Some(number.to_string().into_bytes()));
            latest.insert(format!("{partition}-{}", number % 37).into_bytes(), number.to_string().into_bytes());
        }
    }
    // Nothing that a later commit superseded is missing from the earlier ones.
    assert_eq!(copy.end(compacted).expect("an end"), total);
    assert_eq!(super::model::fold(read_all(copy, compacted, 0, 1 << 20).iter()), latest);
    // It takes more, and shares nothing that it changes.
    let before = copy.end(P0).expect("an end");
    put(copy, &["after=1"], 0).expect("an append");
    copy.roll().expect("rolled");
    copy.clean(i64::MAX, &nothing).expect("cleaned");
    assert_eq!(copy.end(P0).expect("an end"), before + 1);
}
