//! Several clients, a stop and a lost connection in; what each of them sees out.

use std::{
    collections::HashMap,
    io::{Read, Write},
    ops::ControlFlow,
    os::unix::net::UnixListener,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use insight_hub::engine::log::{
    access::{
        AccessError, Durability, LogAccess, NewRecord,
        socket::{FRAME_BYTES_MAX, Remote},
    },
    commit_log::{self, Commit, Policy, TopicPartition},
};
use tempfile::TempDir;

use super::hub::{Hub, LONG, becomes, keys, put, text};

#[test]
fn two_append_while_a_third_follows() {
    const BATCHES: usize = 300;
    const PARTITIONS: u32 = 3;
    let hub = Hub::new();
    hub.remote().create_topic("sales.orders", PARTITIONS, Policy::Keep).expect("a topic");
    thread::scope(|scope| {
        for name in ["left", "right"] {
            let remote = hub.remote();
            scope.spawn(move || {
                for number in 0..BATCHES {
                    let batch = [format!("{name} {number} a"), format!("{name} {number} b")];
                    put(&remote, "sales.orders", &[&batch[0], &batch[1]]).expect("an append");
                }
            });
        }
        let remote = hub.remote();
        let mut next = [0; PARTITIONS as usize];
        let mut found: HashMap<String, usize> = HashMap::new();
        let mut newest = 0;
        while found.len() < 4 * BATCHES {
            let seen = newest;
            for (next, partition) in next.iter_mut().zip(0..) {
                let (keys, after) = keys(&remote, "sales.orders", partition, *next);
                assert_eq!(after - *next, keys.len() as u64);
                // All of a commit, or nothing of it.
                for pair in keys.chunks(2) {
                    assert_eq!(pair[0].replace(" a", " b"), pair[1]);
                }
                for key in keys {
                    *found.entry(key).or_default() += 1;
                }
                *next = after;
            }
            if found.len() < 4 * BATCHES {
                newest = remote.wait_beyond(seen, LONG).expect("news");
                assert!(newest > seen, "somebody is still appending");
            }
        }
        assert!(found.values().all(|count| *count == 1));
    });
}

#[test]
fn a_stop_tells_those_who_wait_and_ends_those_who_do_nothing() {
    let mut hub = Hub::new();
    let (waiting, idle) = (hub.remote(), hub.remote());
    let newest = waiting.status().expect("a status").newest;
    thread::scope(|scope| {
        let waits: Vec<_> = [waiting, hub.remote()]
            .into_iter()
            .map(|remote| scope.spawn(move || remote.wait_beyond(newest, LONG)))
            .collect();
        thread::sleep(Duration::from_millis(100));
        let began = Instant::now();
        hub.stop();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        for wait in waits {
            let error = wait.join().expect("no panic").expect_err("the hub stopped");
            assert!(matches!(error, AccessError::Gone { .. }), "{error}");
        }
    });
    for _ in 0..2 {
        let error = idle.topics().expect_err("the hub stopped");
        assert!(error.to_string().contains("see whether it runs, connect again and repeat"), "{error}");
    }
    let error = put(&idle, "sales.orders", &["a"]).expect_err("it cannot have happened");
    assert!(matches!(error, AccessError::Gone { .. }), "{error}");
}

#[test]
fn a_stop_waits_for_the_answer_to_what_is_under_way() {
    let mut hub = Hub::new();
    let remote = hub.remote();
    remote.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
    let desk = std::sync::Arc::clone(&hub.desk);
    desk.gate.set_closed(true);
    thread::scope(|scope| {
        let append = scope.spawn(|| put(&remote, "sales.orders", &["a"]));
        assert!(becomes(|| desk.gate.waiting.load(Ordering::SeqCst) == 1));
        let stop = scope.spawn(|| hub.stop());
        thread::sleep(Duration::from_millis(100));
        assert!(!stop.is_finished());
        desk.gate.set_closed(false);
        append.join().expect("no panic").expect("it was answered");
        stop.join().expect("no panic");
    });
}

#[test]
fn reader_may_append_what_it_reads_by_the_same_connection() {
    let hub = Hub::new();
    let remote = hub.remote();
    for topic in ["sales.orders", "sales.copies"] {
        remote.create_topic(topic, 1, Policy::Keep).expect("a topic");
    }
    put(&remote, "sales.orders", &["a", "b"]).expect("an append");
    let copied = remote.read("sales.orders", 0, 0, 1 << 20, &mut |record| {
        let copy = NewRecord { key: record.key, ..NewRecord::default() };
        remote.append("sales.copies", &[copy], Durability::AsConfigured).expect("an append");
        ControlFlow::Continue(())
    });
    assert_eq!(copied, Ok(2));
    assert_eq!(keys(&remote, "sales.copies", 0, 0), (vec!["a".to_owned(), "b".to_owned()], 2));
}

#[test]
fn blocks_larger_than_an_answer_are_read_in_pieces() {
    let hub = Hub::new();
    let remote = hub.remote();
    remote.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
    let values: Vec<Vec<u8>> = (0..50_u8).map(|number| vec![number; 100_000 + usize::from(number)]).collect();
    let records: Vec<_> = values.iter().map(|value| NewRecord { value: Some(value), ..NewRecord::default() }).collect();
    remote.append("sales.orders", &records, Durability::AsConfigured).expect("an append");
    // An answer takes up to twice what it should have; the default is half a mebibyte.
    for (bytes_max, calls_expected) in [(1, 50), (250_000, 13), (usize::MAX, 5)] {
        let (mut next, mut calls) = (0, 0);
        while next < 50 {
            let after = remote.read("sales.orders", 0, next, bytes_max, &mut |record| {
                assert_eq!((record.offset, record.value), (next, Some(&values[next as usize][..])));
                next += 1;
                ControlFlow::Continue(())
            });
            assert_eq!(after, Ok(next));
            calls += 1;
        }
        assert_eq!(calls, calls_expected, "about {bytes_max} bytes at a time");
    }
}

#[test]
fn record_larger_than_a_frame_is_named_and_passed_by() {
    let hub = Hub::new();
    let topic = hub.log.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
    let huge = vec![7; FRAME_BYTES_MAX];
    let mut commit = Commit::new();
    for value in [&b"a"[..], &huge, b"c"] {
        let record = commit_log::NewRecord { value: Some(value), ..commit_log::NewRecord::default() };
        commit.record(TopicPartition { topic, partition: 0 }, &record);
    }
    hub.log.append(&commit).expect("an append");
    let remote = hub.remote();
    let read = |from| remote.read("sales.orders", 0, from, usize::MAX, &mut |_| ControlFlow::Continue(()));
    assert_eq!(read(0), Ok(1));
    let error = read(1).expect_err("it does not fit");
    assert!(error.to_string().contains("the record at offset 1 has about 167"), "{error}");
    assert!(error.to_string().contains("read on from offset 2"), "{error}");
    assert_eq!(read(2), Ok(3));
    let record = NewRecord { value: Some(&huge), ..NewRecord::default() };
    let error = remote.append("sales.orders", &[record], Durability::Synced).expect_err("too large");
    assert!(matches!(error, AccessError::TooLarge { .. }), "{error}");
    assert_eq!(remote.spans("sales.orders"), Ok(vec![0..3]));
}

/// A hub that greets, takes `bytes` of a request, and is gone.
fn lost_after(bytes: usize, append: &[NewRecord<'_>]) -> AccessError {
    let directory = TempDir::new().expect("a directory");
    let listener = UnixListener::bind(directory.path().join("socket")).expect("a socket");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a client");
            stream.read_exact(&mut [0; 8]).expect("a preface");
            stream.write_all(b"\xf1HUB\x01\0\0\0").expect("a preface");
            stream.read_exact(&mut vec![0; bytes]).expect("a part of a request");
        });
        let remote = Remote::connect(directory.path()).expect("no error").expect("a hub");
        let error = remote.append("sales.orders", append, Durability::Synced).expect_err("it is gone");
        assert!(matches!(remote.topics(), Err(AccessError::Gone { .. })), "it stays gone");
        error
    })
}

#[test]
fn connection_lost_in_an_append_says_whether_it_may_have_happened() {
    let error = lost_after(30, &[text("a")]);
    assert!(matches!(error, AccessError::Unsure { .. }), "{error}");
    assert!(error.to_string().contains("connect again and repeat it: that is safe for the hub"), "{error}");
    // More than a socket holds: the request was not sent as a whole.
    let large = vec![7; 8 << 20];
    let error = lost_after(30, &[NewRecord { value: Some(&large), ..NewRecord::default() }]);
    assert!(matches!(error, AccessError::Gone { .. }), "{error}");
}

#[test]
fn hub_that_does_not_answer_is_given_up() {
    let directory = TempDir::new().expect("a directory");
    let _listener = UnixListener::bind(directory.path().join("socket")).expect("a socket");
    let Err(error) = Remote::connect_within(directory.path(), Duration::from_millis(50)) else { panic!("a hub") };
    assert!(matches!(error, AccessError::Gone { .. }), "{error}");
}

#[test]
fn threads_that_share_a_connection_take_turns() {
    let hub = Hub::new();
    let remote = hub.remote();
    remote.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    put(&remote, "sales.orders", &["a"]).expect("an append");
                    assert!(!keys(&remote, "sales.orders", 0, 0).0.is_empty());
                }
            });
        }
    });
    assert_eq!(remote.spans("sales.orders"), Ok(vec![0..200]));
}
