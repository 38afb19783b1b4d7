//! One promise after the other, each with the smallest log that shows it.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use insight_hub::engine::log::commit_log::{
    Commit, CommitLog, CommitLogError, NewRecord, Options, Policy, TopicPartition,
    files::{
        Files,
        simulated::{Fault, SimulatedFiles, Unsynced},
    },
};

use super::model::{ModelRecord, read_all};

pub const P0: TopicPartition = TopicPartition { topic: 0, partition: 0 };
const P1: TopicPartition = TopicPartition { topic: 0, partition: 1 };

pub fn open(files: &SimulatedFiles, segment_bytes: u64) -> Result<CommitLog, CommitLogError> {
    let files: Arc<dyn Files> = Arc::new(files.clone());
    CommitLog::open(
        files,
        Options { segment_bytes, compaction_keys_max: 3, merge_min: usize::MAX, ..Options::default() },
    )
}

pub fn log_with(files: &SimulatedFiles, policy: Policy) -> CommitLog {
    let log = open(files, 1 << 20).expect("a log");
    assert_eq!(log.create_topic("topic", 2, policy).expect("a topic"), 0);
    log
}

pub fn record<'a>(key: &'a str, value: Option<&'a str>, timestamp_ms: i64) -> NewRecord<'a> {
    NewRecord { timestamp_ms, key: Some(key.as_bytes()), value: value.map(str::as_bytes), headers: &[] }
}

/// Appends one commit of `key=value` records (`key-` is a tombstone) to P0.
pub fn put(log: &CommitLog, records: &[&str], timestamp_ms: i64) -> Result<(), CommitLogError> {
    let mut commit = Commit::new();
    for text in records {
        match text.split_once('=') {
            Some((key, value)) => commit.record(P0, &record(key, Some(value), timestamp_ms)),
            None => commit.record(P0, &record(text.trim_end_matches('-'), None, timestamp_ms)),
        }
    }
    log.append(&commit).map(|_| ())
}

/// Commit `number` of an appender: the number in a partition that keeps all and under one of its keys in one that is compacted.
pub fn numbered(kept: TopicPartition, compacted: TopicPartition, number: u64) -> Commit {
    let mut commit = Commit::new();
    let (text, key) = (number.to_string(), format!("{}-{}", kept.partition, number % 37));
    commit.record(kept, &record("k", Some(&text), number as i64));
    commit.record(compacted, &record(&key, Some(&text), number as i64));
    commit.offset(kept, number + 1);
    commit
}

fn shown(records: &[ModelRecord]) -> Vec<String> {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let show = |record: &ModelRecord| {
        let key = text(&record.key).unwrap_or_default();
        match text(&record.value) {
            Some(value) => format!("{} {key}={value}", record.offset),
            None => format!("{} {key}-", record.offset),
        }
    };
    records.iter().map(show).collect()
}

pub fn all(log: &CommitLog) -> Vec<String> {
    shown(&read_all(log, P0, log.beginning(P0).expect("a beginning"), 1 << 20))
}

pub fn nothing(_: u32, _: u32) -> Option<u64> {
    None
}

fn segments(files: &SimulatedFiles) -> Vec<String> {
    let mut names = files.list().expect("names");
    names.retain(|name| name.ends_with(".log"));
    names
}

#[test]
fn commit_of_format_version_1_reads_the_same_for_ever() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    let before = files.content("00000000000000000001.log").expect("the segment").len();
    let mut commit = Commit::new();
    let headers = [("h", Some(&b"x"[..])), ("n", None)];
    commit.record(P0, &NewRecord { timestamp_ms: 1000, key: Some(b"key"), value: Some(b"value"), headers: &headers });
    commit.record(P0, &record("gone", None, 2000));
    commit.record(P1, &record("k", Some("v"), -1));
    commit.offset(P1, 7);
    log.append(&commit).expect("an append");
    let bytes = files.content("00000000000000000001.log").expect("the segment").split_off(before);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("../../fixtures/commit_log_commit_v1.hex").replace(char::is_whitespace, ""));
    assert_eq!(files.content("FORMAT").expect("the format"), b"insight-hub log, format version 1\n");
}

#[test]
fn second_opener_is_refused_until_the_first_is_gone() {
    let files = SimulatedFiles::new(1);
    let first = open(&files, 1000).expect("a log");
    let error = open(&files, 1000).err().expect("a refusal");
    assert!(matches!(error, CommitLogError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("open elsewhere"), "{error}");
    drop(first);
    open(&files, 1000).expect("the lock is free");
}

#[test]
fn another_format_is_refused() {
    for (text, part) in [("insight-hub log, format version 2\n", "version 2"), ("something", "not that of a log")] {
        let files = SimulatedFiles::new(1);
        files.create("FORMAT").and_then(|file| file.write_at(text.as_bytes(), 0)).expect("a file");
        let error = open(&files, 1000).err().expect("a refusal").to_string();
        assert!(error.contains(part), "{error}");
    }
    let files = SimulatedFiles::new(1);
    drop(open(&files, 1000).expect("a log"));
    files.remove("FORMAT").expect("removed");
    assert!(matches!(open(&files, 1000), Err(CommitLogError::Format { .. })));
}

#[test]
fn topics_keep_id_and_partitions_and_may_change_policy() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    assert!(matches!(
        log.create_topic("topic", 3, Policy::Keep),
        Err(CommitLogError::Topic { found: 2, wanted: 3, .. })
    ));
    assert_eq!(log.create_topic("other", 1, Policy::Keep).expect("a topic"), 1);
    assert_eq!(log.create_topic("topic", 2, Policy::Processed).expect("a topic"), 0);
    drop(log);
    files.restart(Unsynced::Lost);
    let topics = open(&files, 1000).expect("a log").topics();
    let found: Vec<_> = topics.iter().map(|topic| (topic.name.as_str(), topic.partitions, topic.policy)).collect();
    assert_eq!(found, [("topic", 2, Policy::Processed), ("other", 1, Policy::Keep)]);
}

#[test]
fn unknown_partition_and_offset_beyond_the_end_are_errors() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    let mut commit = Commit::new();
    commit.record(TopicPartition { topic: 0, partition: 2 }, &NewRecord::default());
    let before = log.newest();
    assert!(matches!(log.append(&commit), Err(CommitLogError::Unknown(_))));
    assert_eq!(log.newest(), before);
    let read = log.read(P0, 1, 1, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(read, Err(CommitLogError::OutOfRange { offset: 1, end: 0, .. })));
}

#[test]
fn reader_stops_where_it_breaks_and_goes_on_from_there() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    put(&log, &["a=1", "b=2", "c=3"], 0).expect("an append");
    let mut seen = Vec::new();
    let next = log.read(P0, 1, 1 << 20, &mut |record| {
        seen.push(record.offset);
        ControlFlow::Break(())
    });
    assert_eq!((next.expect("a read"), seen), (2, vec![1]));
    assert_eq!(shown(&read_all(&log, P0, 2, 1)), ["2 c=3"]);
}

#[test]
fn full_disk_is_said_and_nothing_is_lost_and_it_goes_on_when_there_is_room() {
    let files = SimulatedFiles::new(3);
    let log = open(&files, 300).expect("a log");
    log.create_topic("topic", 2, Policy::Processed).expect("a topic");
    let mut acknowledged = Vec::new();
    for round in 0..20 {
        files.set_capacity(Some(files.bytes() + 10 + round * 23));
        let error = loop {
            let text = format!("k=value {}", acknowledged.len());
            match put(&log, &[&text], 0) {
                Ok(()) => acknowledged.push(format!("{} {text}", acknowledged.len())),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, CommitLogError::Full { .. }), "{error}");
        assert!(error.to_string().contains("free disk space"), "{error}");
        log.sync().expect("what is there can be synced");
        assert_eq!(all(&log), acknowledged);
        if round % 5 == 4 {
            files.set_capacity(None);
        }
    }
    drop(log);
    files.restart(Unsynced::Lost);
    let log = open(&files, 300).expect("a log");
    assert_eq!(all(&log), acknowledged);
    // A full disk can be cleaned: that is how it gets room again.
    files.set_capacity(Some(files.bytes()));
    let cleaned = log.clean(0, &|_, _| Some(1000)).expect("cleaned");
    assert!(cleaned.segments_removed > 0 && cleaned.bytes_freed > 0, "{cleaned:?}");
    put(&log, &["k=after"], 0).expect("there is room again");
}

#[test]
fn damage_in_a_closed_segment_names_file_and_position() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    put(&log, &["a=1", "b=2"], 0).expect("an append");
    // The last byte of the value of `b`; four bytes of consumer offsets follow.
    let block = files.content("00000000000000000001.log").expect("a segment").len() - 5;
    log.roll().expect("rolled");
    put(&log, &["c=3"], 0).expect("an append");
    drop(log);
    files.damage("00000000000000000001.log", block).expect("damage");
    // The footer is good, so opening does not look; reading does.
    let log = open(&files, 1000).expect("a log");
    let error = log.read(P0, 0, 1000, &mut |_| ControlFlow::Continue(())).expect_err("damage");
    let CommitLogError::Damaged { file, position, .. } = &error else { panic!("{error}") };
    assert_eq!(file, "00000000000000000001.log");
    assert!(*position < block as u64 && block as u64 - position < 100, "{position} is not near {block}");
    assert_eq!(shown(&read_all(&log, P0, 2, 1000)), ["2 c=3"]);
    drop(log);
    // With the footer bad too, opening has to look.
    let end = files.content("00000000000000000001.log").expect("a segment").len() - 20;
    files.damage("00000000000000000001.log", end).expect("damage");
    let error = open(&files, 1000).err().expect("damage");
    assert!(matches!(error, CommitLogError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("00000000000000000001.log is damaged at byte"), "{error}");
}

#[test]
fn bad_footer_is_read_around_and_written_again() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    put(&log, &["a=1", "b=2"], 0).expect("an append");
    log.roll().expect("rolled");
    put(&log, &["c=3"], 0).expect("an append");
    drop(log);
    let name = "00000000000000000001.log";
    let good = files.content(name).expect("a segment");
    for position in 1..40 {
        files.damage(name, good.len() - position).expect("damage");
        let log = open(&files, 1000).expect("a log");
        assert_eq!(log.recovery().footers_bad, [name]);
        assert_eq!(all(&log), ["0 a=1", "1 b=2", "2 c=3"]);
        drop(log);
        assert!(open(&files, 1000).expect("a log").recovery().footers_bad.is_empty());
    }
}

#[test]
fn damage_in_the_last_segment_is_told_from_a_torn_tail() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    let name = "00000000000000000001.log";
    put(&log, &["a=1"], 0).expect("an append");
    let first = files.content(name).expect("a segment").len();
    log.sync().expect("synced");
    put(&log, &["b=2"], 0).expect("an append");
    let second = files.content(name).expect("a segment").len();
    put(&log, &["c=3"], 0).expect("an append");
    drop(log);
    // `c` knows that `a` was synced, and not that `b` was.
    files.damage(name, second - 1).expect("damage");
    files.damage(name, first - 1).expect("damage");
    let error = open(&files, 1000).err().expect("damage");
    assert!(error.to_string().contains("had been synced"), "{error}");
    files.damage(name, first - 1).expect("repaired");
    let log = open(&files, 1000).expect("a log");
    assert_eq!(all(&log), ["0 a=1"]);
    assert_eq!(log.recovery().frames_dropped, 1);
    assert!(log.recovery().bytes_dropped > 100);
}

#[test]
fn missing_segment_is_noticed() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    put(&log, &["a=1"], 0).expect("an append");
    log.roll().expect("rolled");
    drop(log);
    files.remove("00000000000000000001.log").expect("removed behind its back");
    let error = open(&files, 1000).err().expect("damage");
    assert!(error.to_string().contains("00000000000000000001.log") && error.to_string().contains("missing"), "{error}");
}

#[test]
fn processed_segments_go_and_offsets_and_topics_stay() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Processed);
    let mut commit = Commit::new();
    commit.record(P0, &record("a", Some("1"), 0));
    commit.offset(P1, 42);
    log.append(&commit).expect("an append");
    log.roll().expect("rolled");
    put(&log, &["b=2"], 0).expect("an append");
    log.roll().expect("rolled");
    assert_eq!(log.clean(0, &nothing).expect("cleaned").segments_removed, 0);
    let cleaned = log.clean(0, &|_, _| Some(1)).expect("cleaned");
    assert_eq!((cleaned.segments_removed, cleaned.segments_rewritten), (1, 0));
    assert_eq!((all(&log), log.beginning(P0).expect("known")), (vec!["1 b=2".to_owned()], 1));
    log.clean(0, &|_, _| Some(2)).expect("cleaned");
    for _ in 0..3 {
        assert_eq!((log.beginning(P0).expect("known"), log.end(P0).expect("known")), (2, 2));
    }
    drop(log);
    files.restart(Unsynced::Lost);
    let log = open(&files, 1000).expect("a log");
    assert_eq!((log.end(P0).expect("known"), log.committed(P1), segments(&files).len()), (2, Some(42), 1));
    put(&log, &["c=3"], 0).expect("an append");
    log.roll().expect("rolled");
    log.clean(0, &nothing).expect("cleaned");
    let markers = files.list().expect("names").into_iter().filter(|name| name.ends_with(".removed")).count();
    assert_eq!((all(&log), markers), (vec!["2 c=3".to_owned()], 0));
}

#[test]
fn old_records_of_a_topic_with_retention_go() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Delete { retention_ms: 100 });
    put(&log, &["a=1"], 1000).expect("an append");
    log.roll().expect("rolled");
    put(&log, &["b=2"], 1050).expect("an append");
    log.roll().expect("rolled");
    log.clean(1100, &nothing).expect("cleaned");
    assert_eq!(all(&log), ["0 a=1", "1 b=2"]);
    log.clean(1101, &nothing).expect("cleaned");
    assert_eq!(all(&log), ["1 b=2"]);
}

#[test]
fn what_is_past_its_retention_by_half_of_it_is_in_no_file_whatever_lies_beside_it() {
    let hour = 3_600_000;
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Delete { retention_ms: 4 * hour });
    let kept = log.create_topic("kept", 1, Policy::Keep).expect("a topic");
    let kept = TopicPartition { topic: kept, partition: 0 };
    let letter = |text: &str, at: i64| put(&log, &[&format!("{text}=dead-letter-{text}")], at).expect("an append");
    letter("a", 0);
    letter("b", 3 * hour);
    // Far more than the letters: it is not worth rewriting for them.
    for number in 0..50 {
        let mut commit = Commit::new();
        commit.record(kept, &record("much", Some(&format!("{number:0100}")), 0));
        log.append(&commit).expect("an append");
    }
    let holds = |text: &str| {
        let text = format!("dead-letter-{text}");
        let logs = files.list().expect("names").into_iter().filter(|name| name.ends_with(".log"));
        logs.map(|name| files.content(&name).expect("bytes"))
            .any(|bytes| bytes.windows(text.len()).any(|at| at == text.as_bytes()))
    };
    // Also what lies in the last segment, which is not closed for long.
    let rewritten = |now: i64, processed: &dyn Fn(u32, u32) -> Option<u64>| {
        log.clean(now, processed).expect("cleaned").segments_rewritten
    };
    assert_eq!((rewritten(5 * hour, &nothing), holds("a")), (0, true), "past its retention, and not worth it");
    assert_eq!((rewritten(6 * hour, &nothing), holds("a")), (0, true));
    assert_eq!((rewritten(6 * hour + 1, &|_, _| Some(0)), holds("a")), (0, true), "somebody has to read it");
    assert_eq!((rewritten(6 * hour + 1, &nothing), holds("a"), holds("b")), (1, false, true));
    assert_eq!((rewritten(8 * hour, &nothing), holds("b")), (0, true));
    assert_eq!((rewritten(9 * hour + 1, &nothing), holds("b")), (1, false));
    assert_eq!(rewritten(90 * hour, &nothing), 0, "nothing is left to do");
    drop(log);
    assert_eq!(read_all(&open(&files, 1 << 20).expect("a log"), kept, 0, 1 << 20).len(), 50);
}

#[test]
fn what_somebody_has_still_to_read_outlives_its_retention() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Delete { retention_ms: 100 });
    for text in ["a=1", "b=2", "c=3"] {
        put(&log, &[text], 0).expect("an append");
        log.roll().expect("rolled");
    }
    // All are old; the reader has come to the second, in the end to the last.
    for (read, left) in [(0, vec!["0 a=1", "1 b=2", "2 c=3"]), (1, vec!["1 b=2", "2 c=3"]), (3, vec![])] {
        log.clean(1_000_000, &|_, _| Some(read)).expect("cleaned");
        assert_eq!(all(&log), left, "read up to {read}");
    }
}

#[test]
fn compaction_keeps_the_latest_of_each_key_and_tombstones_for_a_while() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Compact { delete_retention_ms: 100 });
    put(&log, &["a=1", "b=1", "c=1", "d=1", "e=1"], 0).expect("an append");
    log.roll().expect("rolled");
    put(&log, &["a=2", "b-", "d=2", "e=2"], 10).expect("an append");
    log.roll().expect("rolled");
    // Five keys, three remembered at a time. The tombstone is young.
    let cleaned = log.clean(50, &nothing).expect("cleaned");
    assert_eq!((cleaned.segments_removed, cleaned.segments_rewritten), (0, 1));
    assert_eq!(all(&log), ["2 c=1", "5 a=2", "6 b-", "7 d=2", "8 e=2"]);
    // Old, and nothing is left of its key: it goes when its segment goes.
    put(&log, &["a=3", "d=3", "e=3"], 20).expect("an append");
    log.roll().expect("rolled");
    let cleaned = log.clean(1000, &nothing).expect("cleaned");
    assert_eq!((cleaned.segments_removed, cleaned.segments_rewritten), (1, 0));
    assert_eq!(all(&log), ["2 c=1", "9 a=3", "10 d=3", "11 e=3"]);
    drop(log);
    files.restart(Unsynced::Lost);
    assert_eq!(all(&open(&files, 1000).expect("a log")), ["2 c=1", "9 a=3", "10 d=3", "11 e=3"]);
}

#[test]
fn tombstone_stays_as_long_as_what_it_deletes() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Compact { delete_retention_ms: 0 });
    // The first segment is needed by more than half and stays as it is, the dead `x` with it.
    put(&log, &["x=1", "a=1", "b=1", "c=1"], 0).expect("an append");
    log.roll().expect("rolled");
    put(&log, &["x-", "d=1", "e=1"], 0).expect("an append");
    log.roll().expect("rolled");
    put(&log, &["d=2", "e=2"], 0).expect("an append");
    log.roll().expect("rolled");
    log.clean(1000, &nothing).expect("cleaned");
    assert_eq!(all(&log), ["0 x=1", "1 a=1", "2 b=1", "3 c=1", "4 x-", "7 d=2", "8 e=2"]);
    // Only when the first segment is rewritten does `x` go, and its tombstone the time after.
    put(&log, &["a=2", "b=2", "c=2", "d=3"], 0).expect("an append");
    log.roll().expect("rolled");
    log.clean(1000, &nothing).expect("cleaned");
    assert_eq!(all(&log), ["4 x-", "7 d=2", "8 e=2", "9 a=2", "10 b=2", "11 c=2", "12 d=3"]);
    put(&log, &["d=4", "e=4", "a=4"], 0).expect("an append");
    log.roll().expect("rolled");
    log.clean(1000, &nothing).expect("cleaned");
    assert_eq!(all(&log), ["9 a=2", "10 b=2", "11 c=2", "12 d=3", "13 d=4", "14 e=4", "15 a=4"]);
}

#[test]
fn a_thorough_cleaning_leaves_no_byte_of_what_may_go() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Compact { delete_retention_ms: 100 });
    let is_anywhere = |text: &str| {
        let names = files.list().expect("names");
        let contents: Vec<Vec<u8>> = names.iter().filter_map(|name| files.content(name).ok()).collect();
        contents.iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    // One of many, in a segment that nobody would rewrite for it, and one in the segment that is written to.
    let many: Vec<String> = (0..50).map(|number| format!("key-{number}=kept")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.push("ann=secret-1");
    put(&log, &many, 0).expect("an append");
    log.roll().expect("rolled");
    log.clean(0, &nothing).expect("cleaned");
    put(&log, &["ann=secret-2"], 0).expect("an append");
    put(&log, &["ann-"], 0).expect("an append");
    log.clean(0, &nothing).expect("cleaned");
    assert!(is_anywhere("secret-1") && is_anywhere("secret-2"), "not worth it");
    let cleaned = log.clean_thoroughly(50, &nothing).expect("cleaned");
    assert_eq!(cleaned.segments_rewritten, 2);
    assert!(!is_anywhere("secret-1") && !is_anywhere("secret-2"));
    assert!(is_anywhere("ann"), "the tombstone is young");
    log.clean_thoroughly(101, &nothing).expect("cleaned");
    assert!(!is_anywhere("ann"));
    assert_eq!(all(&log).len(), 50);
    // What is whole stays as it is.
    assert_eq!(log.clean_thoroughly(102, &nothing).expect("cleaned").segments_rewritten, 0);
    drop(log);
    files.restart(Unsynced::Lost);
    assert_eq!(all(&open(&files, 1000).expect("a log")).len(), 50);
}

#[test]
fn segment_that_is_replaced_or_removed_stays_readable_to_who_reads_it() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Processed);
    put(&log, &["a=1"], 0).expect("an append");
    put(&log, &["b=2"], 0).expect("an append");
    log.roll().expect("rolled");
    let mut seen = Vec::new();
    log.read(P0, 0, 1 << 20, &mut |record| {
        if seen.is_empty() {
            assert_eq!(log.clean(0, &|_, _| Some(2)).expect("cleaned").segments_removed, 1);
        }
        seen.push(record.offset);
        ControlFlow::Continue(())
    })
    .expect("a read");
    assert_eq!(seen, [0, 1]);
    assert_eq!(log.beginning(P0).expect("known"), 2);
}

#[test]
fn sync_that_failed_is_not_repeated_as_if_it_had_worked() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    put(&log, &["a=1"], 0).expect("an append");
    let durable = log.sync().expect("synced");
    put(&log, &["b=2"], 0).expect("an append");
    files.plan(Fault::SyncError, 1);
    for _ in 0..2 {
        let error = log.sync().expect_err("the disk failed");
        assert!(matches!(error, CommitLogError::Broken { .. }), "{error}");
        assert!(error.to_string().contains("must be opened again"), "{error}");
        assert!(matches!(put(&log, &["c=3"], 0), Err(CommitLogError::Broken { .. })));
        assert_eq!(log.durable(), durable);
    }
    assert_eq!(all(&log), ["0 a=1", "1 b=2"], "reading goes on");
    drop(log);
    // What opening it again shows is durable, whatever the failed sync left.
    let before = all(&open(&files, 1000).expect("a log"));
    files.restart(Unsynced::Lost);
    assert_eq!(all(&open(&files, 1000).expect("a log")), before);
}

#[test]
fn who_waits_is_woken_by_an_append() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    let newest = log.newest();
    assert_eq!(log.wait_beyond(newest, Duration::from_millis(1)), newest);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| log.wait_beyond(newest, Duration::from_secs(60)));
        put(&log, &["a=1"], 0).expect("an append");
        assert_eq!(waiting.join().expect("a thread"), newest + 1);
    });
}
