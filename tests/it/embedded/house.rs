//! A hub in this process on an embedded log: departments' events in, feeds out.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use insight_hub::{
    company::SourceEvent,
    engine::{
        log::{
            Log, Source as _,
            commit_log::{Commit, NewRecord, TopicPartition},
            embedded::{EmbeddedLog, EmbeddedOptions, SharedLog},
        },
        stage::Topology,
        store::{Disk, DiskError, FjallDisk, Identity, StoreFolder},
        worker::{Disks, Worker, WorkerOptions},
    },
    topology::{self, TopicMap, TopologyOptions},
};

use crate::{
    oracle::Feeds,
    world::{SPOKE_PARTITIONS, latest},
};

/// The directory of a hub, opened.
pub struct House {
    pub log: Arc<SharedLog>,
    pub topology: Topology,
    map: TopicMap,
    stores: StoreFolder,
}

struct Folder(StoreFolder);

impl Disks for Folder {
    fn open(&mut self, task: &str, identity: Identity) -> Result<Box<dyn Disk>, DiskError> {
        Ok(Box::new(FjallDisk::open(&self.0, task, identity)?))
    }
}

pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as i64
}

impl House {
    pub fn open(directory: &Path, options: &TopologyOptions, embedded: EmbeddedOptions) -> Self {
        let log = SharedLog::open(&directory.join("log"), embedded).unwrap();
        let (topology, map) = topology::topology(options);
        log.prepare(&topology.topics).unwrap();
        let stores = StoreFolder::open(&directory.join("stores"), 8 << 20).unwrap();
        Self { log, topology, map, stores }
    }

    fn place(&self, name: &str, partition: i32) -> TopicPartition {
        let topics = self.log.log().topics();
        let topic = topics.iter().position(|topic| topic.name == name).unwrap();
        TopicPartition { topic: topic as u32, partition: partition as u32 }
    }

    /// Appends events to their departments' topics.
    pub fn write(&self, events: &[SourceEvent]) {
        for (number, chunk) in events.chunks(500).enumerate() {
            let mut commit = Commit::new();
            for (index, event) in chunk.iter().enumerate() {
                let place =
                    self.place(&format!("{}.events", event.spoke), ((number + index) as i32) % SPOKE_PARTITIONS);
                commit.record(
                    place,
                    &NewRecord {
                        timestamp_ms: event.timestamp_ms,
                        key: Some(&event.key),
                        value: Some(&event.payload),
                        headers: &[],
                    },
                );
            }
            self.log.log().append(&commit).unwrap();
        }
    }

    /// Appends operators' commands: id, record, time.
    pub fn order(&self, commands: &[(String, Vec<u8>, i64)]) {
        let place = self.place(&self.topology.topics.get(self.map.commands).name, 0);
        let mut commit = Commit::new();
        for (id, value, timestamp_ms) in commands {
            let (key, value) = (Some(id.as_bytes()), Some(value.as_slice()));
            commit.record(place, &NewRecord { timestamp_ms: *timestamp_ms, key, value, headers: &[] });
        }
        self.log.log().append(&commit).unwrap();
    }

    /// Runs workers until everything that was written has been taken in and published.
    pub fn run(&self, workers: usize, options: WorkerOptions) {
        self.run_within(Duration::from_secs(300), workers, options);
    }

    /// The same, for as long as it may take.
    pub fn run_within(&self, patience: Duration, workers: usize, options: WorkerOptions) {
        let quiet: Vec<AtomicBool> = (0..workers).map(|_| AtomicBool::new(false)).collect();
        let deadline = Instant::now() + patience;
        thread::scope(|scope| {
            for worker in 0..workers {
                let quiet = &quiet;
                scope.spawn(move || {
                    let log = EmbeddedLog::new(&self.log, &self.topology, worker, workers, now_ms, Box::new(|| true))
                        .unwrap();
                    let disks = Box::new(Folder(self.stores.clone()));
                    let mut running = Worker::new(log, self.topology.clone(), options, disks, Box::new(()));
                    let began = Instant::now();
                    let mut idle_since: Option<(Instant, u64)> = None;
                    while !quiet.iter().all(|quiet| quiet.load(Ordering::SeqCst)) {
                        assert!(Instant::now() < deadline, "the hub does not come to rest");
                        let progress = running.step(began.elapsed(), Duration::from_millis(5)).unwrap();
                        let newest = self.log.log().newest();
                        let inputs: Vec<_> = running.tasks().iter().map(|task| (task.input, task.touched)).collect();
                        let is_idle = !inputs.is_empty()
                            && progress.records == 0
                            && !progress.committed
                            && inputs.iter().all(|(input, touched)| {
                                !touched && running.log_mut().halves().0.lag(*input) == Some(0)
                            });
                        // At rest when nothing was appended by anybody for several commit intervals.
                        idle_since = match idle_since {
                            Some((since, at)) if is_idle && at == newest => Some((since, at)),
                            _ if is_idle => Some((Instant::now(), newest)),
                            _ => None,
                        };
                        let rests = idle_since.is_some_and(|(since, _)| since.elapsed() > 5 * options.commit_interval);
                        quiet[worker].store(rests, Ordering::SeqCst);
                    }
                    assert!(running.close().unwrap(), "the last commit happens");
                });
            }
        });
    }

    /// Every record of a topic, partition by partition.
    pub fn read(&self, name: &str) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut records = Vec::new();
        self.each(name, |key, value| records.push((key.to_vec(), value.map(<[u8]>::to_vec))));
        records
    }

    /// The newest value of each key of a topic.
    pub fn latest(&self, name: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut newest = BTreeMap::new();
        self.each(name, |key, value| {
            match value {
                Some(value) => newest.insert(key.to_vec(), value.to_vec()),
                None => newest.remove(key),
            };
        });
        newest
    }

    fn each(&self, name: &str, mut see: impl FnMut(&[u8], Option<&[u8]>)) {
        let log = self.log.log();
        for partition in 0..self.log.partitions(name).unwrap() {
            let place = self.place(name, partition);
            let mut next = 0;
            while next < log.end(place).unwrap() {
                next = log
                    .read(place, next, 1 << 20, &mut |record| {
                        see(record.key.unwrap(), record.value);
                        ControlFlow::Continue(())
                    })
                    .unwrap();
            }
        }
    }

    /// The feeds as a subscriber sees them.
    pub fn feeds(&self) -> Feeds {
        let feed = |topic| latest(self.read(&self.topology.topics.get(topic).name));
        Feeds {
            customers: feed(self.map.customers_feed),
            touchpoints: feed(self.map.touchpoints_feed),
            identities: feed(self.map.identities_feed),
            alerts: feed(self.map.alerts_feed),
            metrics: feed(self.map.metrics_feed),
            journeys: feed(self.map.journeys_feed),
            attribution: feed(self.map.attribution_feed),
            drivers: feed(self.map.drivers_feed),
            priorities: feed(self.map.priorities_feed),
            changes: feed(self.map.changes_feed),
            balance: feed(self.map.balance_feed),
            parameters: crate::oracle::parameters(feed(self.map.catalogue_feed)),
            scorecards: feed(self.map.scorecards_feed),
        }
    }
}
