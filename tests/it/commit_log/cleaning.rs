//! Power goes off at every point of one cleaning; what is left must open, and be what it was or what it was to become.

use std::sync::Arc;

use insight_hub::engine::log::commit_log::{
    CommitLog, CommitLogError, Options, Policy,
    files::{
        Files,
        simulated::{Fault, SimulatedFiles, Unsynced},
    },
};

use super::{
    basics::{P0, all, nothing, put},
    batches::read_batches,
    model::{fold, partitions, read_all},
    story::{Operation, Random, Story, commit},
};

/// Many small segments, of which `merge_min` are merged.
fn open(files: &SimulatedFiles, merge_min: usize) -> Result<CommitLog, CommitLogError> {
    let files: Arc<dyn Files> = Arc::new(files.clone());
    CommitLog::open(files, Options { segment_bytes: 1 << 20, merge_min, compaction_keys_max: 3, ..Options::default() })
}

fn segments(files: &SimulatedFiles) -> Vec<String> {
    let mut names = files.list().expect("names");
    names.retain(|name| name.ends_with(".log"));
    names
}

/// Prepares a log, lets the fault happen at every operation of `clean`, cuts the power afterwards, and hands what opens then to
/// `check`, twice.
fn check_cuts(
    fault: Fault,
    policy: Policy,
    merge_min: usize,
    commits: &[&[&str]],
    clean: &dyn Fn(&CommitLog) -> Result<(), CommitLogError>,
    check: &dyn Fn(Vec<String>),
) {
    for seed in 0..50 {
        for cut in 1.. {
            let context = format!("{fault:?} {cut}, seed {seed}");
            let files = SimulatedFiles::new(seed * 1000 + cut);
            let log = open(&files, merge_min).expect("a log");
            log.create_topic("topic", 2, policy).expect("a topic");
            for commit in commits {
                put(&log, commit, 0).expect("an append");
                log.roll().expect("rolled");
            }
            let end = log.end(P0).expect("known");
            files.plan(fault, cut);
            let outcome = clean(&log);
            let came = !files.is_fault_to_come();
            assert_eq!(outcome.is_err(), came, "{context}: {outcome:?}");
            if came && fault != Fault::PowerCut {
                check(all(&log));
                // A roll makes a snapshot that does not name what was left over, and cleaning again finishes it.
                let rolls = seed % 2 == 0 && put(&log, &["z=1"], 0).and_then(|()| log.roll()).is_ok();
                if rolls && seed % 4 == 0 {
                    clean(&log).unwrap_or_else(|error| panic!("{context}: {error}"));
                    let bytes =
                        segments(&files).into_iter().map(|name| files.content(&name).expect("bytes").len() as u64);
                    assert_eq!(log.bytes().expect("known"), bytes.sum::<u64>(), "{context}: something is left over");
                }
            }
            drop(log);
            if came && fault != Fault::PowerCut && seed % 3 == 0 {
                // Nothing is lost so far, not even what was not synced. Now the power goes off while the log is opened.
                files.plan(Fault::PowerCut, 1 + seed / 3);
                let _ = open(&files, merge_min);
                files.restart(Unsynced::Torn);
            } else if seed % 3 != 0 || fault == Fault::PowerCut || !came {
                files.restart(if seed % 3 == 1 { Unsynced::Lost } else { Unsynced::Torn });
            }
            for attempt in 0..2 {
                let log = open(&files, merge_min).unwrap_or_else(|error| panic!("{context}, {attempt}: {error}"));
                assert!(log.end(P0).expect("known") >= end, "{context}");
                let mut found = all(&log);
                found.retain(|record| !record.ends_with("z=1"));
                check(found);
                drop(log);
                files.restart(Unsynced::Torn);
            }
            if !came {
                break;
            }
        }
    }
}

#[test]
fn power_cut_while_segments_are_removed() {
    check_cuts(
        Fault::PowerCut,
        Policy::Processed,
        usize::MAX,
        &[&["a=1"], &["b=2"], &["c=3"], &["d=4"]],
        &|log| log.clean(0, &|_, _| Some(3)).map(|_| ()),
        &|found| assert_eq!(found.last().map(String::as_str), Some("3 d=4")),
    );
}

#[test]
fn power_cut_while_everything_is_rewritten() {
    let before = ["0 a=1", "1 b=1", "2 c=1", "3 d=1", "4 a=2", "5 b=2", "6 d-"];
    check_cuts(
        Fault::PowerCut,
        Policy::Compact { delete_retention_ms: i64::MAX },
        usize::MAX,
        &[&["a=1", "b=1", "c=1", "d=1"], &["a=2", "b=2"], &["d-"]],
        &|log| log.clean_thoroughly(0, &nothing).map(|_| ()),
        &|found| {
            assert!(found.iter().all(|record| before.contains(&record.as_str())), "{found:?}");
            for kept in ["2 c=1", "4 a=2", "5 b=2", "6 d-"] {
                assert!(found.iter().any(|record| record == kept), "{kept} of {found:?}");
            }
        },
    );
}

#[test]
fn power_cut_while_segments_are_rewritten() {
    let before = ["0 x=1", "1 a=1", "2 b=1", "3 y=1", "4 a=2", "5 b=2", "6 x-"];
    check_cuts(
        Fault::PowerCut,
        Policy::Compact { delete_retention_ms: 0 },
        usize::MAX,
        &[&["x=1", "a=1", "b=1", "y=1"], &["a=2", "b=2", "x-"]],
        &|log| log.clean(1000, &nothing).map(|_| ()),
        &|found| assert!(found == before || found == before[3..], "{found:?}"),
    );
}

#[test]
fn any_fault_while_segments_are_merged_leaves_every_record_once() {
    for fault in [Fault::PowerCut, Fault::NameError, Fault::SyncError, Fault::WriteTorn, Fault::WriteFull] {
        check_cuts(
            fault,
            Policy::Keep,
            2,
            &[&["a=1"], &["b=2", "c=3"], &["d=4"], &["e=5"]],
            &|log| log.clean(0, &nothing).map(|_| ()),
            &|found| assert_eq!(found, ["0 a=1", "1 b=2", "2 c=3", "3 d=4", "4 e=5"], "{fault:?}"),
        );
    }
}

#[test]
fn any_fault_while_segments_are_removed_and_merged_leaves_what_is_needed() {
    for fault in [Fault::PowerCut, Fault::NameError, Fault::SyncError] {
        check_cuts(
            fault,
            Policy::Compact { delete_retention_ms: i64::MAX },
            2,
            &[&["a=1", "b=1"], &["x=1"], &["a=2", "b-"], &["x=2", "c=1"], &["c=2"]],
            &|log| log.clean(0, &nothing).map(|_| ()),
            &|found| {
                let needed = ["3 a=2", "4 b-", "5 x=2", "7 c=2"];
                let known = ["0 a=1", "1 b=1", "2 x=1", "3 a=2", "4 b-", "5 x=2", "6 c=1", "7 c=2"];
                assert!(needed.iter().all(|record| found.iter().any(|other| other == record)), "{fault:?}: {found:?}");
                let mut places = found.iter().map(|record| known.iter().position(|other| other == record));
                assert!(places.all(|place| place.is_some()) && found.is_sorted(), "{fault:?}: {found:?}");
            },
        );
    }
}

#[test]
fn many_small_segments_become_few_and_read_the_same() {
    for seed in 1..=4 {
        let mut random = Random(seed);
        let mut story = Story::new(seed, Unsynced::Lost, format!("seed {seed}"));
        story.options = Options { merge_min: 2 + seed as usize, segment_bytes: 20_000, ..story.options };
        let places: Vec<_> = partitions().collect();
        let mut script = Vec::new();
        for step in 0..200 {
            script.push(Operation::Append(commit(&mut random, step * 20, &places)));
            script.push(Operation::Roll);
            if step % 40 == 39 {
                script.push(Operation::Clean);
                script.push(Operation::Reopen);
            }
        }
        story.files.plan(Fault::NameError, 1);
        story.run(&script);
        let context = &story.context;
        assert!(story.cleaned.segments_merged >= 100 && story.cleaned.segments_merged_into >= 4, "{:?}", story.cleaned);
        let log = story.log.as_ref().expect("a log");
        let before: Vec<_> = partitions().map(|partition| read_all(log, partition, 0, 300)).collect();
        // Nothing that any policy gives up is new: it only merges.
        while log.clean(story.model.cleaned_ms, &nothing).expect("cleaned").segments_merged > 0 {}
        story.model.check(log, context);
        for (partition, before) in partitions().zip(&before) {
            let after = read_batches(log, partition, 0, 3);
            assert_eq!(fold(after.iter()), fold(before.iter()), "{context}: {partition}");
            if partition.topic != 1 {
                assert_eq!(&after, before, "{context}: {partition}");
            }
        }
        let left = segments(&story.files).len();
        assert!(left < 20, "{context}: {left} segments are left");
        story.end();
    }
}

#[test]
fn merged_segment_does_not_hide_one_that_is_missing() {
    let files = SimulatedFiles::new(1);
    let log = open(&files, 2).expect("a log");
    log.create_topic("topic", 2, Policy::Keep).expect("a topic");
    for record in ["a=1", "b=2"] {
        put(&log, &[record], 0).expect("an append");
        log.roll().expect("rolled");
    }
    let merged = segments(&files);
    let cleaned = log.clean(0, &nothing).expect("cleaned");
    assert_eq!((cleaned.segments_merged, cleaned.segments_merged_into), (2, 1));
    put(&log, &["c=3"], 0).expect("an append");
    log.roll().expect("rolled");
    let after = segments(&files);
    assert_eq!(after.len(), 3);
    drop(log);
    // The one behind the merged ones is not among them; nor are the markers of those a reason to do without the first.
    for name in [&after[1], &merged[0]] {
        let files = files.fork();
        files.remove(name).expect("removed behind its back");
        let error = open(&files, 2).err().expect("damage").to_string();
        assert!(error.contains(name) && error.contains("missing"), "{error}");
    }
    assert_eq!(all(&open(&files, 2).expect("a log")), ["0 a=1", "1 b=2", "2 c=3"]);
}
