//! One story after the other in; the same answers from a log in this process and through its socket out.

use std::{
    fmt::Debug,
    ops::ControlFlow,
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use insight_hub::engine::log::{
    access::{AccessError, Durability, LogAccess, NewRecord, Result},
    commit_log::{Policy, files::simulated::Fault},
};

use super::hub::{Hub, put, text};

/// Tells a story to a log in this process, and the same to another one through its socket. Both must answer the same, which is
/// returned.
fn told<T: Debug + PartialEq>(story: impl Fn(&Hub, &dyn LogAccess) -> T) -> T {
    let (here, there) = (Hub::new(), Hub::new());
    let answers = story(&here, &*here.opened);
    assert_eq!(story(&there, &there.remote()), answers, "through the socket, and in this process");
    answers
}

/// The reaction that an error demands, and what it says.
fn said<T: Debug>(outcome: Result<T>) -> String {
    let error = outcome.expect_err("an error");
    let reaction = match &error {
        AccessError::Retry { .. } => "retry",
        AccessError::Denied { .. } => "denied",
        AccessError::Mistaken { .. } => "mistaken",
        AccessError::Beyond { .. } => "beyond",
        AccessError::TooLarge { .. } => "too large",
        AccessError::Unsupported { .. } => "unsupported",
        AccessError::Stop { .. } => "stop",
        AccessError::Gone { .. } => "gone",
        AccessError::Unsure { .. } => "unsure",
    };
    format!("{reaction}: {error}")
}

#[track_caller]
fn check(said: &[String], expected: &[&str]) {
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{said:?} does not contain {expected:?}");
    }
}

#[test]
fn topics_are_created_and_listed_and_stay_as_they_are() {
    let topics = told(|_, access| {
        access.create_topic("sales.orders", 3, Policy::Keep)?;
        access.create_topic("support.cases", 1, Policy::Delete { retention_ms: 86_400_000 })?;
        access.create_topic("sales.orders", 3, Policy::Processed)?;
        access.topics()
    });
    let topics: Vec<_> = topics.expect("topics").into_iter().map(|it| (it.name, it.partitions, it.policy)).collect();
    let expected = [
        ("insight.metrics", 1, Policy::Compact { delete_retention_ms: 1 }),
        ("sales.orders", 3, Policy::Keep),
        ("support.cases", 1, Policy::Delete { retention_ms: 86_400_000 }),
    ];
    assert_eq!(topics, expected.map(|(name, partitions, policy)| (name.to_owned(), partitions, policy)));
}

#[test]
fn topics_that_cannot_be_are_refused_with_a_reason() {
    let answers = told(|_, access| {
        access.create_topic("sales.orders", 3, Policy::Keep).expect("a topic");
        let mut answers = vec![
            said(access.create_topic("sales.orders", 4, Policy::Keep)),
            said(access.create_topic("insight.metrics", 1, Policy::Keep)),
            said(access.create_topic("hub-links-changelog", 1, Policy::Keep)),
            said(access.create_topic("sales.orders\n", 1, Policy::Keep)),
            said(access.create_topic("sales.none", 0, Policy::Keep)),
            said(access.create_topic("sales.many", u32::MAX, Policy::Keep)),
            said(access.create_topic("sales.ago", 1, Policy::Delete { retention_ms: -1 })),
        ];
        for number in 0..3 {
            access.create_topic(&format!("sales.{number}"), 1, Policy::Keep).expect("a topic");
        }
        answers.push(said(access.create_topic("sales.3", 1, Policy::Keep)));
        access.create_topic("sales.2", 1, Policy::Processed).expect("one that is there");
        answers
    });
    let expected = [
        "mistaken: topic sales.orders has 3 partitions, not 4",
        "denied: topic insight.metrics is written by the hub alone; append to the topic of a department",
        "denied: topic hub-links-changelog is written by the hub alone",
        "mistaken: sales.orders\\n is no name for a topic; take 1 to 249 of",
        "mistaken: a topic cannot have 0 partitions; take 1 to 256",
        "mistaken: a topic cannot have 4294967295 partitions",
        "mistaken: a retention cannot be -1 ms",
        "mistaken: the log has 5 topics, which is the most",
    ];
    check(&answers, &expected);
}

/// What a record holds, owned.
type Seen = (u64, i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn seen(access: &dyn LogAccess, topic: &str, partition: u32, from: u64, most: usize) -> Result<(Vec<Seen>, u64)> {
    let mut all = Vec::new();
    let next = access.read(topic, partition, from, 1 << 20, &mut |record| {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = record.headers.iter().map(|(name, value)| ((*name).to_owned(), owned(*value))).collect();
        all.push((record.offset, record.timestamp_ms, owned(record.key), owned(record.value), headers));
        if all.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok((all, next))
}

#[test]
fn records_are_read_as_they_were_appended() {
    let (records, next) = told(|_, access| {
        access.create_topic("sales.orders", 2, Policy::Keep)?;
        let headers = [("trace", Some(&b"\0\xff"[..])), ("", None), ("trace", Some(b""))];
        let records = [
            NewRecord { partition: Some(1), timestamp_ms: -7, key: Some(b"k"), value: Some(b"v"), headers: &headers },
            NewRecord { partition: Some(0), ..text("other") },
            NewRecord { partition: Some(1), timestamp_ms: i64::MAX, key: None, value: None, headers: &[] },
            NewRecord {
                partition: Some(1),
                timestamp_ms: 0,
                key: Some(b""),
                value: Some(b""),
                headers: &headers[1..2],
            },
        ];
        let appended = access.append("sales.orders", &records, Durability::Synced)?;
        assert_eq!(appended.offsets, [(0, 0..1), (1, 0..3)]);
        seen(access, "sales.orders", 1, 0, usize::MAX)
    })
    .expect("records");
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    let headers =
        vec![("trace".to_owned(), Some(vec![0, 255])), (String::new(), None), ("trace".to_owned(), Some(vec![]))];
    let none = vec![(String::new(), None)];
    let expected: [Seen; 3] = [
        (0, -7, bytes("k"), bytes("v"), headers),
        (1, i64::MAX, None, None, vec![]),
        (2, 0, bytes(""), bytes(""), none),
    ];
    assert_eq!((records, next), (expected.to_vec(), 3));
}

#[test]
fn reader_stops_where_it_has_enough_and_goes_on_from_there() {
    let answers = told(|_, access| {
        access.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
        put(access, "sales.orders", &["a", "b", "c"]).expect("an append");
        put(access, "sales.orders", &["d"]).expect("an append");
        let offsets = |(records, next): (Vec<Seen>, u64)| (records.iter().map(|it| it.0).collect::<Vec<_>>(), next);
        let read = |from, most| offsets(seen(access, "sales.orders", 0, from, most).expect("a read"));
        vec![read(0, 2), read(2, 1), read(1, 9), read(4, 9)]
    });
    assert_eq!(answers, [(vec![0, 1], 2), (vec![2], 3), (vec![1, 2, 3], 4), (vec![], 4)]);
}

#[test]
fn reading_what_is_not_there_says_what_is() {
    let answers = told(|_, access| {
        access.create_topic("sales.orders", 2, Policy::Keep).expect("a topic");
        put(access, "sales.orders", &["a", "b"]).expect("an append");
        vec![
            said(seen(access, "sales.orders", 0, 3, 1)),
            said(seen(access, "sales.orders", 2, 0, 1)),
            said(seen(access, "sales.carts", 0, 0, 1)),
            said(access.spans("sales\u{1b}[2J")),
        ]
    });
    let expected = [
        "beyond: offset 3 of partition 0 of topic sales.orders is beyond its end 2",
        "mistaken: topic sales.orders has no partition 2; it has 2, counted from 0",
        "mistaken: the log has no topic sales.carts; create it first",
        "mistaken: the log has no topic sales\\u{1b}[2J;",
    ];
    check(&answers, &expected);
}

#[test]
fn batches_that_leave_the_choice_stay_whole_and_take_turns() {
    let (offsets, spans) = told(|_, access| {
        access.create_topic("sales.orders", 3, Policy::Keep).expect("a topic");
        access.create_topic("support.cases", 3, Policy::Keep).expect("a topic");
        let append = |topic: &str, records: &[NewRecord<'_>]| {
            access.append(topic, records, Durability::AsConfigured).expect("an append").offsets
        };
        let fixed = NewRecord { partition: Some(0), ..text("d") };
        let offsets = vec![
            append("sales.orders", &[text("a"), text("b")]),
            append("support.cases", &[text("a")]),
            append("sales.orders", &[text("c"), fixed]),
            append("sales.orders", &[fixed]),
            append("sales.orders", &[text("e")]),
            append("sales.orders", &[]),
            append("sales.orders", &[text("f")]),
        ];
        (offsets, access.spans("sales.orders").expect("spans"))
    });
    let expected = [
        vec![(0, 0..2)],
        vec![(0, 0..1)],
        vec![(0, 2..3), (1, 0..1)],
        vec![(0, 3..4)],
        vec![(2, 0..1)],
        vec![],
        vec![(0, 4..5)],
    ];
    assert_eq!(offsets, expected);
    assert_eq!(spans, [0..5, 0..1, 0..1]);
}

#[test]
fn appends_that_are_not_allowed_leave_nothing() {
    let (answers, before, after) = told(|hub, access| {
        access.create_topic("sales.orders", 2, Policy::Keep).expect("a topic");
        let before = hub.log.newest();
        let large = vec![7; 5 << 20];
        let large = NewRecord { value: Some(&large), ..NewRecord::default() };
        let one = |partition| NewRecord { partition: Some(partition), ..text("a") };
        let append = |topic, records: &[NewRecord<'_>]| said(access.append(topic, records, Durability::Synced));
        let answers = vec![
            append("insight.metrics", &[text("a")]),
            append("sales.carts", &[text("a")]),
            append("sales.orders", &[one(1), one(2)]),
            append("sales.orders", &[large, large]),
        ];
        (answers, before, hub.log.newest())
    });
    let expected = [
        "denied: topic insight.metrics is written by the hub alone",
        "mistaken: the log has no topic sales.carts",
        "mistaken: topic sales.orders has no partition 2",
        "too large: 10485792 bytes are more than the 8388608 bytes that are taken at a time; divide them",
    ];
    check(&answers, &expected);
    assert_eq!(before, after);
}

#[test]
fn partition_beyond_all_numbers_is_a_mistake_and_no_choice() {
    let hub = Hub::new();
    hub.opened.create_topic("sales.orders", 2, Policy::Keep).expect("a topic");
    let record = NewRecord { partition: Some(u32::MAX), ..text("a") };
    for access in [&*hub.opened as &dyn LogAccess, &hub.remote()] {
        let error = access.append("sales.orders", &[record], Durability::Synced).expect_err("a mistake");
        assert!(matches!(error, AccessError::Mistaken { .. }), "{error}");
    }
}

#[test]
fn an_append_is_durable_when_the_policy_or_the_caller_says_so() {
    let answers = told(|hub, access| {
        access.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
        let append = |durability| {
            let appended = access.append("sales.orders", &[text("a")], durability).expect("an append");
            let status = access.status().expect("a status");
            assert_eq!((status.newest, status.bytes), (appended.sequence, hub.log.bytes().expect("bytes")));
            (status.durable == status.newest, status.is_paused, status.version)
        };
        let mut answers = vec![append(Durability::AsConfigured), append(Durability::Synced)];
        hub.desk.syncs_each.store(true, Ordering::SeqCst);
        answers.push(append(Durability::AsConfigured));
        hub.desk.syncs_each.store(false, Ordering::SeqCst);
        answers.push(append(Durability::AsConfigured));
        access.sync().expect("a sync");
        assert_eq!(access.status().expect("a status").durable, hub.log.newest());
        answers
    });
    let expected = [false, true, true, false].map(|is_durable| (is_durable, false, "0.1.0".to_owned()));
    assert_eq!(answers, expected);
}

#[test]
fn an_append_waits_for_room_as_long_as_the_owner_does() {
    let answers = told(|hub, access| {
        access.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
        hub.files.set_capacity(Some(hub.files.bytes()));
        let given_up = said(put(access, "sales.orders", &["a"]));
        hub.desk.rooms.store(3, Ordering::SeqCst);
        let paused = access.status().expect("a status").is_paused;
        put(access, "sales.orders", &["b"]).expect("there is room at the third time");
        (given_up, paused, hub.desk.rooms.load(Ordering::SeqCst), access.spans("sales.orders").expect("spans"))
    });
    assert!(answers.0.starts_with("retry: no room for "), "{}", answers.0);
    assert!(answers.0.ends_with("nothing of it happened, try again later"), "{}", answers.0);
    assert_eq!((answers.1, answers.2, answers.3), (true, 0, vec![0..1]));
}

#[test]
fn a_log_that_broke_says_what_is_unsure_and_what_is_over() {
    let answers = told(|hub, access| {
        access.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
        hub.files.plan(Fault::SyncError, 1);
        vec![
            said(access.append("sales.orders", &[text("a")], Durability::Synced)),
            said(access.append("sales.orders", &[text("b")], Durability::AsConfigured)),
            said(access.sync()),
            said(access.create_topic("sales.carts", 1, Policy::Keep)),
            format!("{:?}", access.spans("sales.orders").expect("what is there can be read")),
        ]
    });
    let expected = [
        "unsure: the append may or may not have happened (the log",
        "repeat it: that is safe for the hub, which counts a touchpoint once, by its spoke and id",
        "must be opened again before it takes more",
        "stop: the log",
        "[0..1]",
    ];
    check(&answers, &expected);
}

#[test]
fn waiting_ends_with_news_or_in_time() {
    told(|_, access| {
        access.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
        let newest = access.status().expect("a status").newest;
        assert_eq!(access.wait_beyond(newest - 1, super::hub::LONG), Ok(newest), "there was news already");
        let began = Instant::now();
        let wait = Duration::from_millis(300);
        assert_eq!(access.wait_beyond(newest, wait), Ok(newest));
        assert!(began.elapsed() >= wait, "{:?}", began.elapsed());
        put(access, "sales.orders", &["a"]).expect("an append");
        access.wait_beyond(newest, Duration::MAX)
    })
    .expect("news");
}

#[test]
fn backups_are_the_owners() {
    let answers = told(|hub, access| {
        let none = said(access.backup(Path::new("/backup")));
        hub.desk.backs_up.store(true, Ordering::SeqCst);
        (none, access.backup(Path::new("/backup")).expect("a backup"))
    });
    assert_eq!(answers.0, "unsupported: no backups here");
    assert_eq!((answers.1.files, answers.1.bytes > 0), (1, true));
    let hub = Hub::new();
    hub.desk.backs_up.store(true, Ordering::SeqCst);
    hub.remote().backup(Path::new("here")).expect("a directory of who asks is given from the root on");
}
