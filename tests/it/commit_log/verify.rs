//! A log, one byte or the end of a file changed behind its back, in; what verifying it says out.

use std::{ops::ControlFlow, sync::Arc};

use insight_hub::engine::log::commit_log::{
    CommitLog, CommitLogError, Options, Policy, Verified,
    files::{
        Files,
        simulated::{SimulatedFiles, Unsynced},
    },
};

use super::{
    basics::{P0, log_with, nothing, put},
    model::partitions,
    story::{Story, script},
};

fn verify(log: &CommitLog) -> Result<Verified, CommitLogError> {
    let mut reports = Vec::new();
    let verified = log.verify(&mut |done, total| reports.push((done, total)))?;
    assert!(reports.is_sorted() && reports.iter().all(|(done, total)| done <= total));
    assert_eq!(reports.last(), Some(&(verified.bytes, verified.bytes)), "all is reported in the end");
    Ok(verified)
}

#[test]
fn whatever_happened_to_a_log_it_verifies() {
    for seed in 1..=8 {
        let mut story = Story::new(seed, Unsynced::Torn, format!("seed {seed}"));
        story.run(&script(seed, 200));
        let log = story.log.as_ref().expect("a log");
        let verified = verify(log).expect("nothing is wrong");
        let mut records = 0;
        for partition in partitions() {
            records += super::model::read_all(log, partition, 0, 1 << 20).len() as u64;
        }
        let names = story.files.list().expect("names");
        let segments = names.iter().filter(|name| name.ends_with(".log")).count() as u64;
        assert_eq!((verified.records, verified.segments), (records, segments));
        assert_eq!(verified.bytes, log.bytes().expect("bytes"));
        assert!(verified.frames > verified.segments);
    }
}

fn reopened(files: &SimulatedFiles, merge_min: usize) -> CommitLog {
    CommitLog::open(Arc::new(files.clone()), Options { merge_min, ..Options::default() }).expect("a log")
}

/// A log of three closed segments, the first of which was merged, and a last one; and their names.
fn log(files: &SimulatedFiles) -> (CommitLog, Vec<String>) {
    let fill = |log: &CommitLog| {
        for round in 0..2 {
            put(log, &["a=1", "b=2"], round).expect("an append");
            put(log, &["c=3"], round).expect("an append");
            log.roll().expect("rolled");
        }
    };
    let log = log_with(files, Policy::Keep);
    fill(&log);
    drop(log);
    let log = reopened(files, 2);
    assert_eq!(log.clean(0, &nothing).expect("cleaned").segments_merged, 2);
    fill(&log);
    put(&log, &["d=4"], 9).expect("an append");
    let mut names = files.list().expect("names");
    names.retain(|name| name.ends_with(".log"));
    assert_eq!(names.len(), 4);
    (log, names)
}

#[test]
fn every_changed_byte_is_found_in_the_file_where_it_is() {
    let files = SimulatedFiles::new(1);
    let (log, names) = log(&files);
    let verified = verify(&log).expect("nothing is wrong");
    assert_eq!((verified.segments, verified.records), (4, 13));
    for name in &names {
        // Snapshot, commits and footer, header and payload: the files are small enough for every byte.
        for position in 0..files.content(name).expect("bytes").len() {
            files.damage(name, position).expect("damage");
            let error = verify(&log).expect_err("damage");
            let CommitLogError::Damaged { file, position: at, .. } = &error else { panic!("{position}: {error}") };
            assert_eq!(file, name);
            assert!(*at <= position as u64, "byte {position} is found at {at}");
            files.damage(name, position).expect("repaired");
        }
    }
    verify(&log).expect("nothing is wrong again");
}

#[test]
fn every_missing_end_is_found() {
    let files = SimulatedFiles::new(1);
    let (log, names) = log(&files);
    for name in &names {
        let whole = files.content(name).expect("bytes");
        let file = files.open(name).expect("a file");
        for length in (0..whole.len()).rev() {
            file.truncate(length as u64).expect("cut");
            let error = verify(&log).expect_err("damage");
            assert!(matches!(&error, CommitLogError::Damaged { file, .. } if file == name), "{length}: {error}");
        }
        file.write_at(&whole, 0).expect("repaired");
        verify(&log).expect("nothing is wrong again");
    }
}

#[test]
fn segment_in_the_place_of_another_is_found() {
    let files = SimulatedFiles::new(1);
    let (log, names) = log(&files);
    let other = files.content(&names[2]).expect("bytes");
    let file = files.open(&names[1]).expect("a file");
    file.truncate(0).and_then(|()| file.write_at(&other, 0)).expect("written");
    let error = verify(&log).expect_err("damage").to_string();
    assert!(error.contains(&names[1]) && error.contains("not in its place"), "{error}");
    // A reader would notice too, but only when it reads there.
    assert!(log.read(P0, 6, 1, &mut |_| ControlFlow::Continue(())).is_err());
}

#[test]
fn verifying_goes_on_while_the_log_does() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Processed);
    for round in 0..20 {
        put(&log, &["a=1"], round).expect("an append");
        log.roll().expect("rolled");
    }
    put(&log, &["a=1"], 20).expect("an append");
    let mut calls = 0;
    let report = &mut |_: u64, _: u64| {
        calls += 1;
    };
    std::thread::scope(|scope| {
        let cleaner = scope.spawn(|| {
            for number in 0..200 {
                put(&log, &["b=1"], 0).expect("an append");
                if number % 3 == 0 {
                    log.roll().expect("rolled");
                }
                log.clean(0, &|_, _| Some(number / 2)).expect("cleaned");
            }
        });
        while !cleaner.is_finished() {
            log.verify(report).expect("nothing is wrong");
        }
    });
    assert!(calls > 0);
}
