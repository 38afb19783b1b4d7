//! Accounts of departments: reports and outcomes in, publications out; exact under every order of commits and failures.

use std::collections::BTreeMap;

use bytes::Bytes;
use expect_test::expect_file;
use proptest::prelude::*;

use super::values::outcomes;
use crate::{
    metrics::{
        MetricsError, Spokes,
        spokes::{KINDS_MAX, SCHEMAS_MAX},
    },
    model::{Arrivals, EventTime, KeyValue, Outcome, Reason, SpokeAccount},
};

type Store = BTreeMap<Vec<u8>, Bytes>;

fn report(records: u64, arrived: i64) -> Arrivals<'static> {
    Arrivals {
        spoke: "sales",
        topic: "sales.events",
        records,
        arrived: Some((EventTime(arrived - 5), EventTime(arrived))),
        ..Arrivals::default()
    }
}

/// A task with its store and what it published.
#[derive(Default)]
struct Task {
    store: Store,
    committed: Store,
    spokes: Spokes,
    published: Vec<SpokeAccount>,
}

impl Task {
    fn take(&mut self, report: &Arrivals<'_>) {
        self.spokes.arrivals(report, &self.store).expect("a plain map");
    }

    fn find(&mut self, spoke: &str, outcome: Outcome, count: i64) {
        self.spokes.outcomes(spoke, &outcomes(outcome, count), &self.store).expect("a plain map");
    }

    /// Whether another commit is asked for.
    fn commit(&mut self) -> bool {
        let published = &mut self.published;
        let more = self.spokes.publish(&mut self.store, &mut |account| published.push(account.clone()));
        self.committed = self.store.clone();
        more.expect("a plain map")
    }

    fn fail(&mut self) {
        let published = self.published.len();
        self.commit_without_effect();
        self.published.truncate(published);
        self.spokes.rolled_back();
    }

    fn commit_without_effect(&mut self) {
        let kept = self.committed.clone();
        self.commit();
        (self.store, self.committed) = (kept.clone(), kept);
    }

    fn restart(&mut self) {
        self.spokes = Spokes::default();
    }

    fn records(&mut self) -> Vec<(String, bool)> {
        let known = self.spokes.newest(&self.store).expect("no damage");
        known.into_iter().map(|(spoke, newest)| (spoke.to_owned(), newest.is_some())).collect()
    }

    fn revisions(&self) -> Vec<(u64, u64)> {
        self.published.iter().map(|account| (account.revision, account.records)).collect()
    }
}

#[test]
fn the_first_news_after_a_silence_is_published_at_once_and_the_last_at_the_end() {
    let mut task = Task::default();
    assert!(!task.commit(), "nothing to say");
    task.take(&report(2, 1_000));
    assert!(!task.commit());
    task.take(&report(1, 1_100));
    assert!(task.commit(), "the last publication was just now: it waits");
    assert!(!task.commit(), "nothing came with this one: it is published");
    assert_eq!(task.revisions(), [(1, 2), (2, 3)]);
    for round in 0..25 {
        task.take(&report(1, 2_000 + round));
        task.commit();
    }
    task.commit();
    let records: Vec<u64> = task.published.iter().map(|account| account.records).collect();
    assert_eq!(records, [2, 3, 13, 23, 28], "with each tenth commit, and when it ends");
    assert!(!task.commit());
    assert_eq!(task.published.len(), 5);
}

#[test]
fn what_was_not_published_before_a_restart_is_published_after_it() {
    let mut task = Task::default();
    task.take(&report(2, 1_000));
    task.commit();
    task.take(&report(1, 1_100));
    assert!(task.commit());
    task.restart();
    assert_eq!(task.spokes.newest(&task.store).expect("a plain map"), [("sales", Some(EventTime(1_100)))]);
    assert!(!task.commit());
    assert_eq!(task.revisions(), [(1, 2), (2, 3)]);
}

#[test]
fn everything_in_a_report_is_added_up() {
    let mut task = Task::default();
    for (partition, next_offset, arrived, occurred) in [(0, 10, 5_000, 4_000), (1, 4, 3_000, 6_000), (0, 12, 4_000, 1)]
    {
        task.take(&Arrivals {
            partition,
            next_offset,
            newest_occurred_at: Some(EventTime(occurred)),
            rejections: vec![(Reason::WrongType, 1), (Reason::TooLarge, 2)],
            unmapped_kinds: vec![("lost", 3)],
            unmapped_kinds_unnamed: 1,
            schemas: vec![("id:17".to_owned(), 2, Some(EventTime(arrived)))],
            schemas_unnamed: 1,
            ..report(4, arrived)
        });
    }
    task.find("sales", Outcome::Accepted, 9);
    task.find("sales", Outcome::Rejected, 3);
    task.find("sales", Outcome::Accepted, 1);
    task.find("support", Outcome::Duplicate, 2);
    task.commit();
    let [sales, support] = &task.published[..] else { panic!("two accounts: {:?}", task.published) };
    assert_eq!((sales.records, sales.unmapped_kinds_unnamed, sales.schemas_unnamed), (12, 3, 3));
    assert_eq!(sales.outcomes, BTreeMap::from([(Outcome::Accepted, 10), (Outcome::Rejected, 3)]));
    assert_eq!(sales.rejections, BTreeMap::from([(Reason::WrongType, 3), (Reason::TooLarge, 6)]));
    assert_eq!(sales.unmapped_kinds, BTreeMap::from([("lost".to_owned(), 9)]));
    assert_eq!((sales.schemas[0].records, sales.schemas[0].last_arrived_at), (6, Some(EventTime(5_000))));
    assert_eq!((sales.first_arrived_at, sales.last_arrived_at), (Some(EventTime(2_995)), Some(EventTime(5_000))));
    assert_eq!(sales.newest_occurred_at, Some(EventTime(6_000)));
    let partitions: Vec<_> =
        sales.partitions.iter().map(|it| (it.partition, it.next_offset, it.records, it.last_arrived_at)).collect();
    assert_eq!(partitions, [(0, 12, 8, Some(EventTime(5_000))), (1, 4, 4, Some(EventTime(3_000)))]);
    assert_eq!((support.records, &support.outcomes), (0, &BTreeMap::from([(Outcome::Duplicate, 2)])));
}

#[test]
fn words_and_schemas_are_bounded_and_their_sums_are_not() {
    let mut task = Task::default();
    for number in 0..200_u64 {
        let word = format!("kind {number}");
        task.take(&Arrivals {
            unmapped_kinds: vec![(&word, 2)],
            schemas: vec![(format!("id:{number}"), 3, Some(EventTime(number as i64)))],
            ..report(3, 1_000)
        });
    }
    task.commit();
    let account = &task.published[0];
    assert_eq!((account.unmapped_kinds.len(), account.schemas.len()), (KINDS_MAX, SCHEMAS_MAX));
    assert_eq!(account.unmapped_kinds.values().sum::<u64>() + account.unmapped_kinds_unnamed, 400);
    assert_eq!(account.schemas.iter().map(|it| it.records).sum::<u64>() + account.schemas_unnamed, 600);
    assert!(account.schemas.iter().all(|it| it.last_arrived_at >= Some(EventTime(168))), "those used last are kept");
}

fn golden() -> Task {
    let mut task = Task::default();
    task.take(&Arrivals {
        partition: 3,
        next_offset: 1_250,
        newest_occurred_at: Some(EventTime(1_769_849_999_000)),
        rejections: vec![(Reason::UnknownSchema, 1), (Reason::BadTimestamp, 2)],
        unmapped_kinds: vec![("order.archived", 2)],
        unmapped_kinds_unnamed: 1,
        schemas: vec![("id:17".to_owned(), 6, Some(EventTime(1_769_850_000_123)))],
        schemas_unnamed: 1,
        ..report(7, 1_769_850_000_123)
    });
    task.find("sales", Outcome::Accepted, 4);
    task.commit();
    task
}

#[test]
fn the_stored_form_of_an_account_does_not_change_unnoticed() {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let task = golden();
    let lines: String = task.store.iter().map(|(key, value)| format!("{} {}\n", hex(key), hex(value))).collect();
    expect_file!["../../../tests/fixtures/spokes_store_v1.txt"].assert_eq(&lines);
}

#[test]
fn a_stored_account_of_version_1_is_read_and_a_damaged_one_is_refused() {
    let bytes = |hex: &str| -> Vec<u8> {
        let digits: Vec<u8> =
            hex.chars().map(|digit| u8::try_from(digit.to_digit(16).expect("hexadecimal")).expect("a digit")).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    };
    let mut task = Task::default();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/spokes_store_v1.txt");
    for line in std::fs::read_to_string(path).expect("the fixture is part of the repository").lines() {
        let (key, value) = line.split_once(' ').expect("key and value");
        task.store.put(&bytes(key), &bytes(value));
    }
    task.find("sales", Outcome::Duplicate, 1);
    task.commit();
    let mut expected = golden().published.remove(0);
    expected.revision = 2;
    expected.outcomes.insert(Outcome::Duplicate, 1);
    assert_eq!(task.published, [expected]);
    let keys: Vec<Vec<u8>> = task.store.keys().cloned().collect();
    for key in keys {
        let mut store = task.store.clone();
        store.put(&key, &[9, 1, 2]);
        let read = Spokes::default().newest(&store).map(|newest| newest.len());
        assert!(matches!(read, Err(MetricsError::Corrupted { .. })), "{read:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Take { spoke: usize, partition: i32, records: u64 },
    Find { spoke: usize, count: i64 },
    Commit,
    Fail,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..3, 0..3, 1_u64..9).prop_map(|(spoke, partition, records)| Step::Take { spoke, partition, records }),
        2 => (0_usize..3, 1_i64..9).prop_map(|(spoke, count)| Step::Find { spoke, count }),
        4 => Just(Step::Commit),
        1 => Just(Step::Fail),
        1 => Just(Step::Restart),
    ]
}

/// Whoever is restored while a successor commits and the changelog is compacted: what replaced the sums comes after its end.
#[test]
fn sums_that_are_missing_beside_their_partitions_are_no_damage() {
    let mut task = Task::default();
    task.take(&report(3, 10));
    task.commit();
    let sums = task.store.keys().find(|key| !key.contains(&0)).expect("the sums").clone();
    task.store.remove(&sums);
    task.restart();
    assert_eq!(task.records(), [("sales".to_owned(), false)]);
    // Anything else that is not as it was written still is.
    let partition = task.store.keys().next().expect("a partition").clone();
    task.store.insert(partition, Bytes::from_static(b"?"));
    task.restart();
    assert!(task.spokes.newest(&task.store).is_err());
}

proptest! {
    #[test]
    fn counts_are_those_of_what_was_committed_whatever_failed(steps in prop::collection::vec(step(), 0..60)) {
        const SPOKES: [&str; 3] = ["a", "b", "c"];
        let mut task = Task::default();
        // By spoke: records and duplicates; those of the open transaction apart.
        let (mut counted, mut open) = ([(0, 0); 3], [(0, 0); 3]);
        for step in steps {
            match step {
                Step::Take { spoke, partition, records } => {
                    open[spoke].0 += records;
                    task.take(&Arrivals { spoke: SPOKES[spoke], partition, ..report(records, 1_000) });
                }
                Step::Find { spoke, count } => {
                    open[spoke].1 += count;
                    task.find(SPOKES[spoke], Outcome::Duplicate, count);
                }
                Step::Commit => {
                    task.commit();
                    for (counted, open) in counted.iter_mut().zip(std::mem::take(&mut open)) {
                        *counted = (counted.0 + open.0, counted.1 + open.1);
                    }
                }
                Step::Fail | Step::Restart => {
                    open = [(0, 0); 3];
                    task.fail();
                    if matches!(step, Step::Restart) {
                        task.restart();
                    }
                }
            }
        }
        task.fail();
        // Whoever asks for another commit gets it: the end is published whatever came before.
        let mut commits = 0;
        while task.commit() {
            commits += 1;
            prop_assert!(commits < 3);
        }
        for (spoke, counted) in SPOKES.into_iter().zip(counted) {
            let published: Vec<&SpokeAccount> = task.published.iter().filter(|account| account.spoke == spoke).collect();
            let revisions: Vec<u64> = published.iter().map(|account| account.revision).collect();
            prop_assert_eq!(&revisions, &(1..=revisions.len() as u64).collect::<Vec<_>>());
            let last = published.last().map_or((0, 0), |account| {
                let by_partition: u64 = account.partitions.iter().map(|it| it.records).sum();
                assert_eq!(by_partition, account.records);
                (account.records, account.outcomes.get(&Outcome::Duplicate).copied().unwrap_or_default())
            });
            prop_assert_eq!(last, counted);
        }
    }
}
