//! Commits, some of them cleaned, in; what a reader gets of them block by block out.

use insight_hub::engine::log::commit_log::{
    Batch, Commit, CommitLog, CommitLogError, Options, Policy, TopicPartition,
    files::simulated::{SimulatedFiles, Unsynced},
};

use super::{
    basics::{P0, log_with, nothing, open, put, record},
    model::{ModelRecord, partitions, read_all},
    story::{Story, script},
};

const P1: TopicPartition = TopicPartition { topic: 0, partition: 1 };

/// Reads a partition batch by batch, and stops reading a batch and asks again after every `stride` records.
pub fn read_batches(log: &CommitLog, partition: TopicPartition, from: u64, stride: usize) -> Vec<ModelRecord> {
    let mut found = Vec::new();
    let mut batch = Batch::starting_at(from);
    while log.next_batch(partition, batch.next_offset(), &mut batch).expect("a batch") {
        assert!(!batch.is_empty());
        for _ in 0..stride {
            let peeked = (batch.peek_offset(), batch.peek_timestamp_ms(), batch.len());
            let newest_ms = batch.newest_ms().expect("a block");
            let Some(record) = batch.next() else { break };
            assert_eq!((Some(record.offset), Some(record.timestamp_ms)), (peeked.0, peeked.1));
            assert!(record.timestamp_ms <= newest_ms);
            found.push(ModelRecord {
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record.headers().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
            });
            let offset = record.offset;
            assert_eq!(batch.len(), peeked.2 - 1);
            assert!(batch.next_offset() > offset);
        }
    }
    assert!(batch.is_empty() && batch.next().is_none() && batch.peek_offset().is_none());
    assert_eq!(batch.next_offset(), log.end(partition).expect("an end"));
    found
}

#[test]
fn batches_hand_over_what_read_does_whereever_they_begin_and_stop() {
    for seed in 1..=5 {
        let mut story = Story::new(seed, Unsynced::Kept, format!("seed {seed}"));
        story.run(&script(seed, 300));
        let log = story.log.as_ref().expect("a log");
        for partition in partitions() {
            let end = log.end(partition).expect("an end");
            for from in [0, end / 3, end / 2, end.saturating_sub(1), end] {
                let wanted = read_all(log, partition, from, 1 << 20);
                for stride in [1, 2, usize::MAX] {
                    assert_eq!(read_batches(log, partition, from, stride), wanted, "{partition} from {from}");
                }
            }
        }
    }
}

#[test]
fn batch_goes_on_behind_the_holes_that_compaction_left() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Compact { delete_retention_ms: 0 });
    put(&log, &["a=1", "b=1", "c=1", "d=1", "e=1"], 0).expect("an append");
    log.roll().expect("rolled");
    put(&log, &["a=2", "b=2", "d=2", "e=2"], 10).expect("an append");
    log.roll().expect("rolled");
    assert_eq!(log.clean(50, &nothing).expect("cleaned").segments_rewritten, 1);
    let mut batch = Batch::new();
    assert!(log.next_batch(P0, 0, &mut batch).expect("a batch"));
    assert_eq!((batch.next_offset(), batch.len(), batch.newest_ms()), (0, 1, Some(0)));
    assert_eq!(batch.next().map(|record| record.offset), Some(2));
    assert_eq!((batch.next_offset(), batch.is_empty()), (5, true));
    // Only `c` is left of the first block, and it lies before.
    assert!(log.next_batch(P0, 3, &mut batch).expect("a batch"));
    assert_eq!((batch.peek_offset(), batch.peek_timestamp_ms()), (Some(5), Some(10)));
    // What is held stays readable after it went, and reading goes on at the end.
    put(&log, &["a=3", "b=3", "c=3", "d=3", "e=3"], 20).expect("an append");
    log.roll().expect("rolled");
    assert_eq!(log.clean(50, &nothing).expect("cleaned").segments_removed, 2);
    assert_eq!(batch.next().map(|record| record.offset), Some(5));
    assert!(log.next_batch(P0, batch.next_offset(), &mut batch).expect("a batch"));
    assert_eq!(batch.next().map(|record| record.offset), Some(9));
}

#[test]
fn batch_is_empty_at_the_end_and_says_what_is_wrong() {
    let files = SimulatedFiles::new(1);
    let log = log_with(&files, Policy::Keep);
    let mut batch = Batch::new();
    assert!(!log.next_batch(P0, 0, &mut batch).expect("no batch"));
    assert_eq!((batch.next_offset(), batch.newest_ms()), (0, None));
    put(&log, &["a=1"], 0).expect("an append");
    assert!(log.next_batch(P0, 0, &mut batch).expect("a batch"));
    let beyond = log.next_batch(P0, 2, &mut batch);
    assert!(matches!(beyond, Err(CommitLogError::OutOfRange { offset: 2, end: 1, .. })));
    assert!(batch.is_empty() && batch.next().is_none());
    let unknown = log.next_batch(TopicPartition { topic: 9, partition: 0 }, 0, &mut batch);
    assert!(matches!(unknown, Err(CommitLogError::Unknown(_))));
    let length = files.content("00000000000000000001.log").expect("a segment").len();
    files.damage("00000000000000000001.log", length - 5).expect("damage");
    assert!(matches!(log.next_batch(P0, 0, &mut batch), Err(CommitLogError::Damaged { .. })));
    assert!(batch.is_empty() && batch.next().is_none());
}

#[test]
fn ends_and_counts_are_told() {
    let files = SimulatedFiles::new(1);
    let log = open(&files, Options::default().segment_bytes).expect("a log");
    log.create_topic("topic", 2, Policy::Keep).expect("a topic");
    let mut commit = Commit::new();
    for _ in 0..3 {
        commit.record(P1, &record("a", None, 0));
    }
    commit.record(P0, &record("a", None, 0));
    assert_eq!((commit.count(P0), commit.count(P1)), (1, 3));
    assert_eq!(commit.count(TopicPartition { topic: 1, partition: 0 }), 0);
    log.append(&commit).expect("an append");
    commit.clear();
    assert_eq!(commit.count(P1), 0);
    let mut ends = vec![9];
    log.ends(&[P1, P0, P1], &mut ends).expect("ends");
    assert_eq!(ends, [3, 1, 3]);
    assert!(matches!(
        log.ends(&[TopicPartition { topic: 0, partition: 2 }], &mut ends),
        Err(CommitLogError::Unknown(_))
    ));
}
