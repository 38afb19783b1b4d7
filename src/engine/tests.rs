//! The engine under simulation: two toy stages whose output must be exact whatever fails.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    log::{
        Output, Placement, Record, TopicPartition,
        sim::{FaultKind, Simulation, SimulationOptions, SourceRecord},
    },
    stage::{Outputs, Stage, StageError, StageSpec, Topology},
    store::Store,
    topics::{Cleanup, Ownership, TopicIndex, TopicSpec, Topics},
    worker::WorkerOptions,
};

/// Sends each source record to the partition of its key. Some it can take only when they are offered for the third time.
struct Split {
    to: TopicIndex,
    offered: BTreeMap<i64, u32>,
}

impl Stage for Split {
    fn process(&mut self, record: &Record<'_>, _: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let key = record.key.expect("the test writes keys");
        let offered = self.offered.entry(record.offset).or_default();
        *offered += 1;
        if record.offset % 29 == 5 && *offered < 3 {
            return Err(StageError::NotYet("in a test".into()));
        }
        let placement = Placement::At(i32::from(key[0] % 3));
        if record.offset % 7 == 3 {
            // It says nothing: no stage is handed it, and it is passed like any other.
            let (value, headers, timestamp_ms) = (None, &[][..], None);
            outputs.send(&Output { topic: self.to, placement, key: &[], value, headers, timestamp_ms })?;
        }
        Ok(outputs.send(&Output {
            topic: self.to,
            placement,
            key,
            value: record.value,
            headers: &[],
            timestamp_ms: Some(record.timestamp_ms),
        })?)
    }

    fn prepare_commit(&mut self, _: &mut Store, _: &mut dyn Outputs) -> Result<bool, StageError> {
        Ok(false)
    }
}

/// Sums the values of each key; publishes the sum, and every addition once.
struct Sum {
    sums: TopicIndex,
    additions: TopicIndex,
    dirty: std::collections::BTreeSet<Vec<u8>>,
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}

impl Stage for Sum {
    fn process(&mut self, record: &Record<'_>, store: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let (key, value) = (record.key.expect("a key"), record.value.expect("a value"));
        let before = store.get(key).expect("memory does not fail").map_or(0, |value| number(&value));
        store.put(key, &(before + number(value)).to_be_bytes());
        store.put_local(&[b"local:", key].concat(), &(before + number(value)).to_be_bytes());
        self.dirty.insert(key.to_vec());
        Ok(outputs.send(&Output {
            topic: self.additions,
            placement: Placement::ByKey,
            key,
            value: Some(value),
            headers: &[],
            timestamp_ms: None,
        })?)
    }

    fn prepare_commit(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError> {
        for key in std::mem::take(&mut self.dirty) {
            let sum = store.get(&key).expect("memory does not fail").expect("it was written");
            let local = store.get(&[b"local:", &key[..]].concat()).expect("memory does not fail");
            assert_eq!(local.as_ref(), Some(&sum), "a derived entry differs from what it is derived from");
            outputs.send(&Output {
                topic: self.sums,
                placement: Placement::ByKey,
                key: &key,
                value: Some(&sum),
                headers: &[],
                timestamp_ms: None,
            })?;
        }
        Ok(false)
    }

    fn rolled_back(&mut self) {
        self.dirty.clear();
    }

    fn restored(&mut self, key: &[u8], value: Option<&[u8]>, store: &mut Store) -> Result<(), StageError> {
        if key.len() == 2 {
            store.put_local(&[b"local:", key].concat(), value.expect("nothing is deleted"));
        }
        Ok(())
    }
}

fn topology() -> (Topology, TopicIndex, TopicIndex, TopicIndex) {
    let mut topics = Topics::default();
    let mut add = |name: &str, ownership, partitions| {
        let cleanup = Cleanup::Compact;
        topics.add(TopicSpec { name: Arc::from(name), ownership, partitions, cleanup })
    };
    let source = add("source", Ownership::Spoke, 2);
    let repartition = add("repartition", Ownership::Repartition, 3);
    let changelog = add("changelog", Ownership::Changelog, 3);
    let sums = add("sums", Ownership::Feed, 2);
    let additions = add("additions", Ownership::Feed, 2);
    let stages = vec![
        StageSpec {
            name: "split",
            inputs: vec![source],
            changelog: None,
            rereads: None,
            make: Arc::new(move |_| Box::new(Split { to: repartition, offered: BTreeMap::new() })),
        },
        StageSpec {
            name: "sum",
            inputs: vec![repartition],
            changelog: Some(changelog),
            rereads: None,
            make: Arc::new(move |_| Box::new(Sum { sums, additions, dirty: Default::default() })),
        },
    ];
    let topology = Topology {
        application_id: Arc::from("toy"),
        topics: Arc::new(topics),
        stages: Arc::new(stages),
        placement: [7; 16],
        definition: [7; 16],
    };
    (topology, source, sums, additions)
}

fn run(seed: u64, faults: u32) -> (BTreeMap<FaultKind, u64>, u64) {
    run_until(seed, faults, |simulation| {
        simulation.run(&mut |_| {}).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    })
}

fn run_until(seed: u64, faults: u32, rest: impl FnOnce(&mut Simulation)) -> (BTreeMap<FaultKind, u64>, u64) {
    let (topology, source, sums, additions) = topology();
    let mut expected = BTreeMap::new();
    let mut sources = Vec::new();
    for index in 0..300_u64 {
        let key = vec![(index.wrapping_mul(seed | 1) % 17) as u8, 0];
        *expected.entry(key.clone()).or_insert(0_u64) += index;
        let to = TopicPartition { topic: source, partition: (index % 2) as i32 };
        sources.push(SourceRecord {
            to,
            key: Some(key),
            value: index.to_be_bytes().to_vec(),
            timestamp_ms: index as i64,
        });
    }
    let worker = WorkerOptions {
        commit_interval: Duration::from_millis(60),
        unflushed_bytes_max: 1_500,
        poll_records_max: 40,
        ..WorkerOptions::default()
    };
    let options = SimulationOptions { seed, instances_max: 3, faults, worker };
    let mut simulation = Simulation::new(options, topology, sources);
    rest(&mut simulation);
    let cluster = simulation.cluster().borrow();
    let mut published = BTreeMap::new();
    for record in cluster.read_committed(sums) {
        published.insert(record.key.expect("a key").to_vec(), number(&record.value.expect("a value")));
    }
    assert_eq!(published, expected, "seed {seed}: sums");
    let mut added: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for record in cluster.read_committed(additions) {
        *added.entry(record.key.expect("a key").to_vec()).or_default() += number(&record.value.expect("a value"));
    }
    assert_eq!(added, expected, "seed {seed}: additions");
    (simulation.faults().clone(), simulation.instances_started())
}

#[test]
fn sums_are_exact_whatever_fails() {
    let mut faults = BTreeMap::new();
    for seed in 0..400 {
        let (fired, _) = run(seed, 25);
        for (kind, count) in fired {
            *faults.entry(kind).or_insert(0) += count;
        }
    }
    println!("faults that took effect: {faults:?}");
    assert_eq!(faults.len(), 10, "every kind of fault took effect at least once: {faults:?}");
}

#[test]
fn a_run_without_faults_comes_to_rest() {
    run(1, 0);
}

/// That nothing moves for a while may be a pause: what was committed is seen only when its markers have landed.
#[test]
fn as_soon_as_a_run_is_at_rest_everything_was_taken_in() {
    let mut in_flight = 0;
    for seed in 0..100 {
        run_until(seed, 10, |simulation| {
            simulation.produce_all();
            while !simulation.is_at_rest() {
                simulation.run_for(1).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                in_flight += usize::from(!simulation.cluster().borrow().markers_to_land().is_empty());
            }
        });
    }
    assert!(in_flight > 1_000, "{in_flight} choices with markers on their way");
}
