//! From when latency is measured: what travels between stages has the timestamp of the source record that it follows from.

use std::collections::BTreeMap;

use insight_hub::{
    engine::{
        generation::Generation,
        log::{LogError, Output, Placement, Record, TopicPartition},
        stage::{Outputs, Stage},
        store::{MemoryDisk, Store},
        topics::{Ownership, Topics},
    },
    topology,
};

use crate::identity::{id, options, touch};

/// A record on its way: where to, when it was made, and what it says.
type Sent = (TopicPartition, i64, Option<Vec<u8>>);

/// What one round of transactions sends between stages; feeds are left out.
struct Round<'a> {
    topics: &'a Topics,
    now_ms: i64,
    sent: Vec<Sent>,
}

impl Outputs for Round<'_> {
    fn send(&mut self, output: &Output<'_>) -> Result<(), LogError> {
        if self.topics.get(output.topic).ownership == Ownership::Repartition {
            let Placement::At(partition) = output.placement else { panic!("stages choose the partition") };
            let to = TopicPartition { topic: output.topic, partition };
            // What has no time is made now, as on every log.
            self.sent.push((to, output.timestamp_ms.unwrap_or(self.now_ms), output.value.map(<[u8]>::to_vec)));
        }
        Ok(())
    }
}

/// Every round each stage takes, in one transaction, what the round before has sent; and every round another cookie becomes
/// known. So at every moment homes, persons and links tell each other something, new and newer things in one transaction.
#[test]
fn what_is_old_in_a_transaction_does_not_make_old_what_it_sends_for_newer_records() {
    const ROUND_MS: i64 = 100;
    const ROUNDS: i64 = 60;
    /// Rounds from an event to the metrics that it changes, if it is a first link, and one for the header that follows.
    const HOPS_MAX: i64 = 7;
    let start_ms = 1_772_409_600_000;
    let (topology, _) = topology::topology(&options("measured"));
    let source = topology.topics.find("shop.events").unwrap();
    let mut tasks: BTreeMap<TopicPartition, (Box<dyn Stage>, Store, &str)> = BTreeMap::new();
    for stage in topology.stages.iter() {
        for &topic in &stage.inputs {
            for partition in 0..topology.topics.get(topic).partitions {
                let input = TopicPartition { topic, partition };
                let (mut made, mut store) = ((stage.make)(input), Store::new(Box::new(MemoryDisk::scratch())));
                let generation = Generation { definition: topology.definition, epoch: 0 };
                made.starts(generation, false, &mut store).unwrap();
                tasks.insert(input, (made, store, stage.name));
            }
        }
    }
    let mut offsets: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let mut oldest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut waiting: Vec<Sent> = Vec::new();
    for round in 0..ROUNDS {
        let now_ms = start_ms + round * ROUND_MS;
        let cookie = |number: i64| id(&format!("cookie:{number}"));
        let number = usize::try_from(round).unwrap() * 2;
        let mut events = vec![touch("shop", number, round, "page_viewed", &[cookie(round)])];
        if round >= 10 {
            let both = [id(&format!("customer_id:{round}")), cookie(round - 10)];
            events.push(touch("shop", number + 1, round, "page_viewed", &both));
        }
        let source = TopicPartition { topic: source, partition: 0 };
        waiting.extend(events.into_iter().map(|event| (source, now_ms, Some(event.payload))));
        let mut sending = Round { topics: &topology.topics, now_ms, sent: Vec::new() };
        for (&input, (stage, store, name)) in &mut tasks {
            let mut took = false;
            for (_, timestamp_ms, value) in waiting.iter().filter(|(to, ..)| *to == input) {
                let offset = offsets.entry(input).or_default();
                let record = Record {
                    from: input,
                    offset: *offset,
                    timestamp_ms: *timestamp_ms,
                    key: None,
                    value: value.as_deref(),
                    headers: &(),
                };
                stage.process(&record, store, &mut sending).unwrap();
                *offset += 1;
                took = true;
                let age = (now_ms - timestamp_ms) / ROUND_MS;
                let known = oldest.entry(name).or_default();
                *known = age.max(*known);
            }
            if took {
                stage.prepare_commit(store, &mut sending).unwrap();
                store.commit();
                stage.post_commit();
            }
        }
        waiting = sending.sent;
    }
    // Something went all the way: ingest, home, links, home, person, metrics.
    assert!(oldest["metrics"] >= 5, "{oldest:?}");
    assert!(
        oldest.values().all(|age| *age <= HOPS_MAX),
        "a record says that it follows from one long before: {oldest:?}"
    );
}
