//! Mappings that are replaced while records come, in simulation: each record is mapped by one version, in order.

use std::{collections::BTreeMap, sync::Arc};

use insight_hub::{
    engine::{
        log::{
            LogError, Output, Record, TopicPartition,
            sim::{Simulation, SimulationOptions, SourceRecord},
        },
        stage::{Outputs, Stage},
        store::{MemoryDisk, Store},
        topics::TopicIndex,
    },
    ingest::{self, LiveSpokes, Spoke, SpokeFile, SpokeSet},
    topology,
    wire::Schemas,
};

use crate::{
    simulation::{read, seeds, small_worker},
    world::{SPOKE_PARTITIONS, topology_options},
};

const RECORDS: i32 = 600;

fn spokes(region: &str) -> SpokeSet {
    let text = format!(
        "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"json\"\nid = \"n\"\nkind = {{ constant = \"visit_made\" }}\n\
         occurred_at = {{ path = \"at\", format = \"epoch_ms\" }}\nidentifiers = {{ customer_id = \"who\" }}\n\
         region = {{ constant = \"{region}\" }}\n"
    );
    let file = SpokeFile::parse("shop", &text).unwrap();
    SpokeSet::new([Spoke::compile(&file, ingest::Options::default(), &Arc::new(Schemas::default())).unwrap()]).unwrap()
}

#[test]
fn every_record_is_mapped_by_one_version_and_none_by_an_older_one_than_the_record_before_it() {
    let (mut before, mut after) = (0, 0);
    for seed in 0..seeds(6, 60) {
        let mut options = topology_options("reload", 3);
        options.spokes = Arc::new(LiveSpokes::new(spokes("before")));
        options.spoke_partitions = BTreeMap::from([("shop.events".to_owned(), SPOKE_PARTITIONS)]);
        let (topology, map) = topology::topology(&options);
        let topic = topology.topics.iter().find(|(_, topic)| &*topic.name == "shop.events").unwrap().0;
        let record = |n: i32| SourceRecord {
            to: TopicPartition { topic, partition: n % SPOKE_PARTITIONS },
            key: None,
            value: format!(r#"{{"n":{n},"at":{},"who":"C{}"}}"#, 1_770_000_000_000 + i64::from(n), n % 17).into_bytes(),
            timestamp_ms: 1_770_000_000_000 + i64::from(n),
        };
        let worker = small_worker();
        let simulation_options = SimulationOptions { seed, instances_max: 3, faults: 25, worker };
        let mut simulation = Simulation::new(simulation_options, topology, (0..RECORDS).map(record).collect());
        let mut choices = 0;
        let replaced_at = 40 + 20 * (seed % 5);
        simulation
            .run(&mut |_| {
                choices += 1;
                if choices == replaced_at {
                    options.spokes.replace(spokes("after"));
                }
            })
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let feeds = read(&simulation.cluster().borrow(), &map);
        let mapped = |touchpoint: &serde_json::Value| {
            let n: i32 = touchpoint["id"].as_str().unwrap().parse().unwrap();
            (n, touchpoint["region"].as_str().unwrap().to_owned())
        };
        let regions: BTreeMap<i32, String> = feeds.touchpoints.values().map(mapped).collect();
        assert_eq!((regions.len(), feeds.touchpoints.len()), (RECORDS as usize, RECORDS as usize), "seed {seed}");
        for partition in 0..SPOKE_PARTITIONS {
            let in_order: Vec<&str> = regions
                .iter()
                .filter(|(n, _)| *n % SPOKE_PARTITIONS == partition)
                .map(|(_, region)| &**region)
                .collect();
            let first_after = in_order.iter().position(|region| *region == "after").unwrap_or(in_order.len());
            assert!(in_order[first_after..].iter().all(|region| *region == "after"), "seed {seed}: {in_order:?}");
            before += first_after;
            after += in_order.len() - first_after;
        }
    }
    assert!(before > 100 && after > 100, "{before} before and {after} after: the change comes in the middle");
}

/// Counts what a stage sends to one topic.
struct Sent(TopicIndex, usize);

impl Outputs for Sent {
    fn send(&mut self, output: &Output<'_>) -> Result<(), LogError> {
        self.1 += usize::from(output.topic == self.0);
        Ok(())
    }
}

#[test]
fn a_transaction_goes_on_with_the_mappings_that_it_began_with() {
    let rejecting = || {
        let text =
            "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"touchpoint-json\"\ncondition = \"missing > 1\"\n";
        let file = SpokeFile::parse("shop", text).unwrap();
        let schemas = Arc::new(Schemas::default());
        SpokeSet::new([Spoke::compile(&file, ingest::Options::default(), &schemas).unwrap()]).unwrap()
    };
    let mut options = topology_options("reload", 3);
    options.spokes = Arc::new(LiveSpokes::new(spokes("before")));
    let (topology, map) = topology::topology(&options);
    let topic = topology.topics.iter().find(|(_, topic)| &*topic.name == "shop.events").unwrap().0;
    let from = TopicPartition { topic, partition: 0 };
    let mut stage = (topology.stages[0].make)(from);
    let (mut store, mut sent) = (Store::new(Box::new(MemoryDisk::scratch())), Sent(map.rejected_feed, 0));
    let record = Record {
        from,
        offset: 0,
        timestamp_ms: 1_770_000_000_000,
        key: None,
        value: Some(br#"{"n":1,"at":1770000000000,"who":"C1"}"#),
        headers: &(),
    };
    let mut letters = |stage: &mut Box<dyn Stage>| {
        stage.process(&record, &mut store, &mut sent).unwrap();
        std::mem::take(&mut sent.1)
    };
    assert_eq!(letters(&mut stage), 0);
    options.spokes.replace(rejecting());
    assert_eq!(letters(&mut stage), 0, "the transaction has begun");
    stage.post_commit();
    assert_eq!(letters(&mut stage), 1, "the next one has the new mappings");
    options.spokes.replace(spokes("after"));
    assert_eq!(letters(&mut stage), 1);
    stage.rolled_back();
    assert_eq!(letters(&mut stage), 0, "what was rolled back is read again, by the new ones");
}
