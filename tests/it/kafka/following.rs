//! Several topics that are followed through one client: when they are read to their ends, and how much is left afterwards.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use insight_hub::engine::log::{
    LogError,
    kafka::{Follower, KafkaOptions},
    outside::{Follow, Followed},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
};

use crate::harness::{
    kafka::Broker,
    unique,
    writer::{Message, Writer, create_topics},
};

const WITHIN: Duration = Duration::from_secs(60);

fn options(bootstrap: &str) -> KafkaOptions {
    let connection = vec![("bootstrap.servers".to_owned(), bootstrap.to_owned())];
    KafkaOptions {
        consumer: connection.clone(),
        producer: connection.clone(),
        admin: connection,
        instance_id: "test".to_owned(),
        static_membership: false,
        session_timeout: Duration::from_secs(10),
        transaction_timeout: Duration::from_secs(10),
        compression: "none".to_owned(),
    }
}

fn open(bootstrap: &str, topics: &[&str], from: &[BTreeMap<i32, i64>]) -> Result<Follower, LogError> {
    let followed: Vec<Followed> = topics
        .iter()
        .enumerate()
        .map(|(number, topic)| Followed {
            topic: (*topic).to_owned(),
            from: from.get(number).cloned().unwrap_or_default(),
        })
        .collect();
    Follower::open(&options(bootstrap), "test", &followed, WITHIN)
}

fn messages(count: usize) -> Vec<Message> {
    (0..count).map(|number| Message::new(number.to_string(), [b'x'; 200])).collect()
}

#[test]
fn topics_are_read_when_each_partition_of_each_is_and_what_comes_later_is_counted() {
    let bootstrap = Broker::shared().bootstrap();
    let (few, many) = (unique("few"), unique("many"));
    create_topics(&bootstrap, &[(&few, 1), (&many, 1)], &[]);
    let writer = Writer::new(&bootstrap);
    writer.write(&few, &messages(1));
    writer.write(&many, &messages(30_000));
    // Ends with what nobody is handed: the marker of a transaction that was given up, and what it wrote.
    let transactional = Writer::transactional(&bootstrap, &unique("transaction"), Duration::from_secs(30));
    transactional.begin();
    transactional.write(&many, &messages(3));
    transactional.abort();
    let before = Instant::now();
    let mut follower = open(&bootstrap, &[&few, &many], &[]).expect("both are there");
    let (mut of_few, mut of_many, began) = (0, 0, Instant::now());
    while follower.whole_until().is_none() {
        assert!(began.elapsed() < WITHIN, "{of_few} and {of_many} were read, and it does not say that this is all");
        if let Some((number, record)) = follower.next(Duration::from_millis(100)).unwrap() {
            assert_eq!(record.offset, [of_few, of_many][number]);
            let count = if number == 0 { &mut of_few } else { &mut of_many };
            *count += 1;
            if of_few <= 20 && of_many % 500 == 0 {
                // The short one comes to its end again and again.
                writer.write(&few, &messages(1));
            }
        }
        follower.remaining().unwrap();
    }
    assert!(of_many == 30_000 && of_few >= 1, "{of_few} and {of_many} were read when it said that this was all");
    assert!(follower.whole_until().is_some_and(|until| until >= before));

    // What is there now, and what comes.
    let becomes = |follower: &mut Follower, expected: u64, reads: bool| {
        let began = Instant::now();
        loop {
            while reads && follower.next(Duration::from_millis(10)).unwrap().is_some() {}
            let remaining = follower.remaining().unwrap();
            if remaining == Some(expected) {
                return;
            }
            assert!(began.elapsed() < WITHIN, "{remaining:?} are left, not {expected}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    becomes(&mut follower, 0, true);
    writer.write(&few, &messages(10));
    writer.write(&many, &messages(7));
    becomes(&mut follower, 17, false);
    becomes(&mut follower, 0, true);
    let (first, began) = (follower.whole_until(), Instant::now());
    while follower.whole_until() == first {
        assert!(began.elapsed() < WITHIN, "it stays as old as it was");
        assert!(follower.next(Duration::from_millis(100)).unwrap().is_none());
        follower.remaining().unwrap();
    }

    // On from where it was, with nothing left.
    let ends = [BTreeMap::from([(0, i64::MAX)]), BTreeMap::new()];
    assert!(matches!(open(&bootstrap, &[&few, &many], &ends), Err(LogError::OutOfRange(_))), "beyond the end");
    let ends = [BTreeMap::new(), BTreeMap::from([(0, 30_000)])];
    let mut follower = open(&bootstrap, &[&few, &many], &ends).unwrap();
    becomes(&mut follower, 0, true);
    assert!(!follower.misses_some() && follower.whole_until().is_some());
}

#[test]
fn a_topic_that_was_made_anew_and_one_with_more_partitions_are_noticed() {
    let bootstrap = Broker::shared().bootstrap();
    let (grown, renewed) = (unique("grown"), unique("renewed"));
    create_topics(&bootstrap, &[(&grown, 1), (&renewed, 2)], &[]);
    let writer = Writer::new(&bootstrap);
    writer.write(&grown, &messages(3));
    writer.write(&renewed, &messages(30));
    let mut grows = open(&bootstrap, &[&grown], &[]).expect("it is there");
    let mut renews = open(&bootstrap, &[&renewed], &[]).expect("it is there");
    let identity = renews.identities()[0].clone();
    assert!(!identity.is_empty(), "this broker has ids");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &bootstrap).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = AdminOptions::new().operation_timeout(Some(WITHIN)).request_timeout(Some(WITHIN));
    runtime.block_on(admin.create_partitions(&[NewPartitions::new(&grown, 2)], &asked)).unwrap();
    runtime.block_on(admin.delete_topics(&[&renewed], &asked)).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    create_topics(&bootstrap, &[(&renewed, 2)], &[]);
    writer.write(&renewed, &messages(300));
    let ended = |follower: &mut Follower| {
        let began = Instant::now();
        loop {
            let step = follower.next(Duration::from_millis(100)).map(drop);
            match step.and_then(|()| follower.remaining().map(drop)) {
                Ok(()) => assert!(began.elapsed() < WITHIN + WITHIN, "nothing is noticed"),
                Err(error) => return error,
            }
        }
    };
    assert!(matches!(ended(&mut grows), LogError::Rewind(_)));
    let mut again = open(&bootstrap, &[&grown], &[BTreeMap::from([(0, 3)])]).unwrap();
    // The one before knows of one partition.
    Writer::new(&bootstrap).write(&grown, &[Message::new("new", "x").to(1)]);
    let found = (0..100).find_map(|_| again.next(Duration::from_millis(100)).unwrap());
    assert!(found.is_some_and(|(_, record)| (record.partition, record.offset) == (1, 0)));
    let ended = ended(&mut renews);
    assert!(matches!(ended, LogError::OutOfRange(_) | LogError::Stop(_)), "{ended}");
    assert_ne!(open(&bootstrap, &[&renewed], &[]).unwrap().identities()[0], identity);
}
