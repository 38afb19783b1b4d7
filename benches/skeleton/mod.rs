//! The skeleton: the hub's clients, topics, record counts and sizes, and no logic. What moving the bytes costs alone.
//!
//! Frozen: the counts and sizes are those that the hub had per source event when this was written (a million events of
//! 281 bytes, 100,000 customers, Zipf exponent 1, JSON feeds); raise them only together with what they stand for.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};

use crate::{PARTITIONS, SOURCE, harness::writer::create_topics, usage};

/// Topic, records per source event (in thousandths), bytes of a value, of a key, whether with a feed's headers.
const OUTPUTS: [(&str, u64, usize, usize, bool); 6] = [
    ("skeleton-touchpoints", 1_000, 581, 55, true),
    ("skeleton-customers-changelog", 1_000, 150, 47, false),
    ("skeleton-customers", 280, 954, 32, true),
    ("skeleton-heads-changelog", 280, 250, 17, false),
    ("skeleton-metrics", 50, 414, 40, true),
    ("skeleton-metrics-changelog", 50, 23, 17, false),
];
/// Source events per 64 KiB batch on the repartition topic.
const PER_BATCH: u64 = 375;
const REPARTITION: &str = "skeleton-repartition";
const WORKERS: usize = 2;

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    partition: i32,
    key: &[u8],
    value: &[u8],
    headers: bool,
) {
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).key(key).payload(value).partition(partition);
    if headers {
        let mut list = OwnedHeaders::new_with_capacity(6);
        for (key, value) in [
            ("content-type", "application/json"),
            ("schema", "org.insight_hub.feeds.Touchpoint#0123456789abcdef"),
            ("ce_specversion", "1.0"),
            ("ce_type", "org.insight-hub.touchpoints.v1"),
            ("ce_source", "insight-hub"),
            ("ce_id", "0123456789abcdef0123456789abcdef"),
        ] {
            list = list.insert(Header { key, value: Some(value) });
        }
        record = record.headers(list);
    }
    let mut record = Some(record);
    while let Err((_, back)) = producer.send(record.take().unwrap()) {
        record = Some(back);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn work(bootstrap: &str, worker: usize, events: u64, done: &std::sync::atomic::AtomicU64) {
    use std::sync::atomic::Ordering;
    let consumer: BaseConsumer = client(bootstrap)
        .set("group.id", "skeleton")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "50")
        .set("queued.min.messages", "20000")
        .create()
        .unwrap();
    let producer: ThreadedProducer<DefaultProducerContext> = client(bootstrap)
        .set("transactional.id", format!("skeleton-{worker}"))
        .set("linger.ms", "50")
        .set("batch.size", "262144")
        .set("compression.type", "lz4")
        .set("delivery.report.only.error", "true")
        .set("queue.buffering.max.messages", "400000")
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    // Its share by hand: who owns what is not part of the question.
    let mut share = TopicPartitionList::new();
    for partition in (0..PARTITIONS).filter(|partition| *partition as usize % WORKERS == worker) {
        for topic in [SOURCE, REPARTITION] {
            share.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&share).unwrap();
    let filler: Vec<u8> = (0..70_000_u32)
        .map(|index| b"{\"a\":1,bcdefghijklm}"[(index.wrapping_mul(2_654_435_761) >> 28) as usize])
        .collect();
    let (mut pending, mut counter, mut began, mut open) = (0_u64, 0_u64, Instant::now(), false);
    // The offset to go on at, by topic and partition.
    let mut next: BTreeMap<(bool, i32), i64> = BTreeMap::new();
    while done.load(Ordering::Relaxed) < events {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(10)) {
            if !open {
                producer.begin_transaction().unwrap();
                (open, began) = (true, Instant::now());
            }
            let is_source = message.topic() == SOURCE;
            next.insert((is_source, message.partition()), message.offset() + 1);
            if is_source {
                std::hint::black_box(message.payload());
                pending += 1;
                if pending == PER_BATCH {
                    pending = 0;
                    send(&producer, REPARTITION, (counter % 4) as i32, b"", &filler[..65_536], false);
                    counter += 1;
                }
            } else {
                for event in 0..PER_BATCH {
                    counter = counter.wrapping_add(0x9e37_79b9);
                    for (topic, share, value, key, headers) in OUTPUTS {
                        // So many of a thousand events write to this topic.
                        if (counter.wrapping_mul(event + 1) >> 7) % 1_000 < share {
                            let from = (counter % 997) as usize;
                            send(
                                &producer,
                                topic,
                                (counter >> 9) as i32 & 3,
                                &filler[from..from + key],
                                &filler[from..from + value],
                                headers,
                            );
                        }
                    }
                }
                done.fetch_add(PER_BATCH, Ordering::Relaxed);
            }
        }
        // As often as the hub while it is behind.
        if open && began.elapsed() > Duration::from_millis(500) {
            let group = consumer.group_metadata().unwrap();
            let mut offsets = TopicPartitionList::new();
            for (&(is_source, partition), &offset) in &next {
                let topic = if is_source { SOURCE } else { REPARTITION };
                offsets.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
            }
            producer
                .send_offsets_to_transaction(&offsets, &group, Duration::from_secs(30))
                .and_then(|()| producer.commit_transaction(Duration::from_secs(30)))
                .unwrap();
            next.clear();
            open = false;
        }
    }
    if open {
        // The broker may refuse to end a transaction that nothing was sent in: the process ends anyway.
        let _ = producer.abort_transaction(Duration::from_secs(30));
    }
}

/// The skeleton's process: `skeleton BOOTSTRAP EVENTS`. Prints its wall time when it is done and waits to be measured.
pub fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (bootstrap, events) = (arguments[2].clone(), arguments[3].parse::<u64>().unwrap());
    let done = std::sync::atomic::AtomicU64::new(0);
    let began = Instant::now();
    // The last, incomplete batch of each worker stays out.
    let enough = events - 2 * PER_BATCH * 4;
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (bootstrap, done) = (&bootstrap, &done);
            scope.spawn(move || work(bootstrap, worker, enough, done));
        }
    });
    println!("{}", began.elapsed().as_secs_f64());
    std::thread::sleep(Duration::from_secs(600));
}

/// Runs it as a process of its own; wall seconds, CPU seconds, peak MiB.
pub fn run(bootstrap: &str, events: u64) -> (f64, f64, f64) {
    let mut topics: Vec<(&str, i32)> = OUTPUTS.iter().map(|output| (output.0, 4)).collect();
    topics.push((REPARTITION, 4));
    create_topics(bootstrap, &topics, &[("retention.ms", "-1")]);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["skeleton", bootstrap, &events.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let (cpu, peak) = usage(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    (line.trim().parse().unwrap(), cpu, peak)
}
