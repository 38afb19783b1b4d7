//! The seeded scheduler: feeds sources, steps instances, lands markers, and injects faults, one choice at a time.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    cluster::{Cluster, CommittedRecord},
    instance::{CommitFault, Killed, SharedCluster, SimLog},
};
use crate::engine::{
    log::TopicPartition,
    observer::{KillPoint, Observation, Observer},
    rebuild::Rebuild,
    stage::{StageError, Topology},
    store::{Disk, DiskError, Identity, MemoryDisk, Platter},
    topics::{Ownership, TopicIndex},
    worker::{Disks, Worker, WorkerOptions},
};

/// A record for a spoke's topic.
#[derive(Clone, Debug)]
pub struct SourceRecord {
    /// Where it goes.
    pub to: TopicPartition,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Vec<u8>,
    /// Its timestamp in milliseconds.
    pub timestamp_ms: i64,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// An instance ends without a word; its disk stays.
    Crash,
    /// An instance ends inside a commit, a restore or a revocation.
    CrashAtKillPoint,
    /// An instance ends and its disk is lost.
    DiskLost,
    /// An instance is away for longer than the session timeout, and comes back.
    Zombie,
    /// A commit is refused.
    CommitRefused,
    /// A commit's answer is lost.
    CommitUnknown,
    /// Partitions change hands for no reason.
    Rebalance,
    /// An instance ends as it should.
    GracefulStop,
    /// A changelog is compacted.
    Compaction,
    /// The coordinator aborts a transaction that is still in use.
    TransactionTimeout,
}

/// How often each fault took effect.
pub type FaultCounts = BTreeMap<FaultKind, u64>;

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub struct SimulationOptions {
    /// Decides everything.
    pub seed: u64,
    /// Instances alive at the same time, at most.
    pub instances_max: usize,
    /// Faults to inject before the run is let come to rest.
    pub faults: u32,
    /// Limits of each worker.
    pub worker: WorkerOptions,
}

#[derive(Default)]
struct Shared {
    armed: Cell<Option<KillPoint>>,
    restored: Cell<u64>,
    commits: Cell<u64>,
    aborts: Cell<u64>,
}

struct SimObserver(Rc<Shared>);

impl Observer for SimObserver {
    fn observe(&self, observation: Observation<'_>) {
        let add = |cell: &Cell<u64>, more| cell.set(cell.get() + more);
        match observation {
            Observation::Restoring { records, .. } => add(&self.0.restored, records),
            Observation::CommitEnds { .. } => add(&self.0.commits, 1),
            Observation::Aborted { .. } | Observation::Dropped { .. } | Observation::Rebuilt { .. } => {
                add(&self.0.aborts, 1);
            }
            _ => {}
        }
    }

    fn kill_point(&self, point: KillPoint) {
        if self.0.armed.get() == Some(point) {
            self.0.armed.set(None);
            resume_unwind(Box::new(Killed));
        }
    }
}

struct HostDisks {
    host: usize,
    platters: Rc<RefCell<BTreeMap<(usize, String), Platter>>>,
}

impl Disks for HostDisks {
    fn open(&mut self, task: &str, identity: Identity) -> Result<Box<dyn Disk>, DiskError> {
        let mut platters = self.platters.borrow_mut();
        let platter = platters.entry((self.host, task.to_owned())).or_default();
        Ok(Box::new(MemoryDisk::open(platter, task, identity)?))
    }
}

struct Instance {
    host: usize,
    name: String,
    worker: Worker<SimLog>,
    shared: Rc<Shared>,
    away: bool,
}

/// One run: a cluster, its instances, its faults.
pub struct Simulation {
    options: SimulationOptions,
    topology: Topology,
    /// What instances work for, if not for the hub.
    rebuild: Option<Arc<Rebuild>>,
    cluster: SharedCluster,
    platters: Rc<RefCell<BTreeMap<(usize, String), Platter>>>,
    random: StdRng,
    instances: Vec<Instance>,
    sources: VecDeque<SourceRecord>,
    hosts_used: usize,
    started: u64,
    now: Duration,
    faults_left: u32,
    faults: FaultCounts,
    restored: u64,
    commits: u64,
}

fn inputs(topology: &Topology) -> Vec<TopicIndex> {
    topology.stages.iter().flat_map(|stage| stage.inputs.iter().copied()).collect()
}

impl Simulation {
    /// A run that has not begun. `sources` are appended in the order given.
    pub fn new(options: SimulationOptions, topology: Topology, sources: Vec<SourceRecord>) -> Simulation {
        let cluster = Rc::new(RefCell::new(Cluster::new(topology.topics.clone(), &inputs(&topology))));
        Simulation {
            options,
            topology,
            rebuild: None,
            cluster,
            platters: Rc::default(),
            random: StdRng::seed_from_u64(options.seed),
            instances: Vec::new(),
            sources: sources.into(),
            hosts_used: 0,
            started: 0,
            now: Duration::ZERO,
            faults_left: options.faults,
            faults: FaultCounts::new(),
            restored: 0,
            commits: 0,
        }
    }

    /// Departments have more to say: appended in the order given during the next run.
    pub fn append(&mut self, sources: Vec<SourceRecord>) {
        self.sources.extend(sources);
    }

    /// What departments have to say is in their topics before anybody reads on.
    pub fn produce_all(&mut self) {
        self.produce(usize::MAX);
    }

    fn produce(&mut self, count: usize) {
        for record in self.sources.drain(..count.min(self.sources.len())) {
            self.cluster.borrow_mut().append(
                record.to,
                CommittedRecord {
                    partition: record.to.partition,
                    offset: 0,
                    key: record.key.map(Arc::from),
                    value: Some(Arc::from(record.value)),
                    headers: Vec::new(),
                    timestamp_ms: record.timestamp_ms,
                },
            );
        }
    }

    /// Every instance ends without a word. Those that start from now on have another configuration, on the same topics
    /// and disks, and work for a rebuild if one is given.
    pub fn relaunch(&mut self, topology: Topology, rebuild: Option<Arc<Rebuild>>) {
        while !self.instances.is_empty() {
            self.remove(0);
        }
        self.cluster.borrow_mut().subscribe(&inputs(&topology));
        (self.topology, self.rebuild) = (topology, rebuild);
    }

    /// So many more faults are to come.
    pub fn add_faults(&mut self, faults: u32) {
        self.faults_left += faults;
    }

    /// Runs for a number of choices.
    pub fn run_for(&mut self, choices: u64) -> Result<(), StageError> {
        for _ in 0..choices {
            self.now += Duration::from_millis(self.random.random_range(0..40));
            self.choose()?;
        }
        Ok(())
    }

    /// The cluster, to read the feeds from.
    pub fn cluster(&self) -> &SharedCluster {
        &self.cluster
    }

    /// How often each fault took effect.
    pub fn faults(&self) -> &FaultCounts {
        &self.faults
    }

    /// How many instances were started over the run's life.
    pub fn instances_started(&self) -> u64 {
        self.started
    }

    /// Changelog records put back, over all instances.
    pub fn restored_records(&self) -> u64 {
        self.restored
    }

    /// Transactions committed, over all instances.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Runs until every record is taken in, every fault was injected and nothing moves any more. `between` is called
    /// after every choice, for checks *during* the run. An error is one that an operator would have seen.
    pub fn run(&mut self, between: &mut dyn FnMut(&Cluster)) -> Result<(), StageError> {
        let mut quiet = 0;
        for _round in 0..2_000_000_u64 {
            self.now += Duration::from_millis(self.random.random_range(0..40));
            let moved = self.choose()?;
            between(&self.cluster.borrow());
            quiet = if moved { 0 } else { quiet + 1 };
            if quiet > 60 * self.instances.len().max(1) && self.is_at_rest() {
                return Ok(());
            }
        }
        Err(StageError::Stop("the simulation does not come to rest".into()))
    }

    /// Whether nothing is left to do: that nothing moved for a while may be chance, or a pause.
    pub fn is_at_rest(&mut self) -> bool {
        let cluster = self.cluster.borrow();
        // What a dead instance left open hides what comes after it, and so does a marker that is on its way.
        if !self.sources.is_empty()
            || self.faults_left > 0
            || !cluster.producers_with_open_transactions().is_empty()
            || !cluster.markers_to_land().is_empty()
        {
            return false;
        }
        let partitions = inputs(&self.topology).into_iter().map(|input| cluster.partition_count(input));
        let tasks: i32 = partitions.sum();
        let owned: usize = self.instances.iter().map(|instance| instance.worker.tasks().len()).sum();
        usize::try_from(tasks) == Ok(owned)
            && self.instances.iter_mut().all(|it| !it.away && it.worker.has_read_everything())
    }

    /// One choice; whether anything moved.
    fn choose(&mut self) -> Result<bool, StageError> {
        if self.instances.iter().all(|instance| instance.away) {
            self.start_instance();
            return Ok(true);
        }
        let pick = self.random.random_range(0..100);
        match pick {
            0..20 if !self.sources.is_empty() => {
                let count = self.random.random_range(1..=40);
                self.produce(count);
                Ok(true)
            }
            20..40 => {
                let ending = self.cluster.borrow().markers_to_land();
                if ending.is_empty() {
                    return Ok(false);
                }
                let transaction = ending[self.random.random_range(0..ending.len())];
                let marker = self.random.random_range(0..64);
                self.cluster.borrow_mut().land_some_marker(transaction, marker);
                Ok(true)
            }
            40..44 if self.faults_left > 0 => self.inject(),
            44..46 => Ok(self.time_out_the_dead()),
            46..48 if self.instances.len() < self.options.instances_max => {
                self.start_instance();
                Ok(true)
            }
            48..50 => Ok(self.bring_back()),
            _ => self.step_one(),
        }
    }

    fn start_instance(&mut self) {
        // A host comes back with its disk more often than a new one appears.
        let free: Vec<usize> =
            (0..self.hosts_used).filter(|host| self.instances.iter().all(|instance| instance.host != *host)).collect();
        let host = if free.is_empty() || self.random.random_ratio(1, 4) {
            self.hosts_used += 1;
            self.hosts_used - 1
        } else {
            free[self.random.random_range(0..free.len())]
        };
        let name = format!("{}-{host}", self.topology.application_id);
        let log = SimLog::join(&self.cluster, &name, self.random.random());
        let shared = Rc::new(Shared::default());
        let disks = HostDisks { host, platters: self.platters.clone() };
        let observer = SimObserver(shared.clone());
        let mut worker =
            Worker::new(log, self.topology.clone(), self.options.worker, Box::new(disks), Box::new(observer));
        if let Some(rebuild) = &self.rebuild {
            worker = worker.rebuilding(rebuild.clone());
        }
        self.instances.push(Instance { host, name, worker, shared, away: false });
        self.started += 1;
    }

    fn step_one(&mut self) -> Result<bool, StageError> {
        let present: Vec<usize> = (0..self.instances.len()).filter(|index| !self.instances[*index].away).collect();
        let index = present[self.random.random_range(0..present.len())];
        let now = self.now;
        let instance = &mut self.instances[index];
        let outcome = catch_unwind(AssertUnwindSafe(|| instance.worker.step(now, Duration::ZERO)));
        match outcome {
            Ok(progress) => {
                let progress = progress?;
                Ok(progress.records > 0 || progress.committed || self.unsettled(index))
            }
            Err(payload) if payload.is::<Killed>() => {
                *self.faults.entry(FaultKind::CrashAtKillPoint).or_default() += 1;
                self.remove(index);
                Ok(true)
            }
            Err(payload) => resume_unwind(payload),
        }
    }

    fn unsettled(&self, index: usize) -> bool {
        use crate::engine::task::TaskState;
        let tasks = self.instances[index].worker.tasks();
        tasks.iter().any(|task| task.touched || task.more || task.state() != TaskState::Running)
    }

    /// Drops an instance without letting it say anything.
    fn remove(&mut self, index: usize) -> Instance {
        let mut instance = self.instances.swap_remove(index);
        let member = instance.worker.log_mut().member();
        self.cluster.borrow_mut().expire(member);
        self.restored += instance.shared.restored.get();
        self.commits += instance.shared.commits.get();
        instance
    }

    fn time_out_the_dead(&mut self) -> bool {
        let open = self.cluster.borrow().producers_with_open_transactions();
        let dead =
            open.into_iter().find(|name| self.instances.iter().all(|instance| instance.name != *name || instance.away));
        dead.is_some_and(|name| self.cluster.borrow_mut().time_out_transactions_of(&name))
    }

    fn bring_back(&mut self) -> bool {
        match self.instances.iter_mut().find(|instance| instance.away) {
            Some(instance) => {
                instance.away = false;
                true
            }
            None => false,
        }
    }

    fn inject(&mut self) -> Result<bool, StageError> {
        self.faults_left -= 1;
        let present: Vec<usize> = (0..self.instances.len()).filter(|index| !self.instances[*index].away).collect();
        let index = present[self.random.random_range(0..present.len())];
        let kind = match self.random.random_range(0..20) {
            0..3 => {
                self.remove(index);
                FaultKind::Crash
            }
            3..8 => {
                // It counts when it fires.
                let point = KillPoint::ALL[self.random.random_range(0..KillPoint::ALL.len())];
                if point == KillPoint::DuringCommit {
                    // Whether the request arrives is chance.
                    let arrives = self.random.random();
                    let fault = if arrives { CommitFault::KilledCommitted } else { CommitFault::KilledNotCommitted };
                    self.instances[index].worker.log_mut().arm(fault);
                } else {
                    self.instances[index].shared.armed.set(Some(point));
                }
                return Ok(true);
            }
            8..9 => {
                let host = self.remove(index).host;
                self.platters.borrow_mut().retain(|(owner, _), _| *owner != host);
                FaultKind::DiskLost
            }
            9..11 => {
                let instance = &mut self.instances[index];
                instance.away = true;
                let member = instance.worker.log_mut().member();
                self.cluster.borrow_mut().expire(member);
                FaultKind::Zombie
            }
            11..13 => {
                self.instances[index].worker.log_mut().arm(CommitFault::Refused);
                FaultKind::CommitRefused
            }
            13..16 => {
                let fault =
                    if self.random.random() { CommitFault::UnknownCommitted } else { CommitFault::UnknownNotCommitted };
                self.instances[index].worker.log_mut().arm(fault);
                FaultKind::CommitUnknown
            }
            16..17 => {
                self.cluster.borrow_mut().rebalance();
                FaultKind::Rebalance
            }
            17..18 => {
                let instance = &mut self.instances[index];
                let outcome = catch_unwind(AssertUnwindSafe(|| instance.worker.close()));
                match outcome {
                    Ok(closed) => drop(closed?),
                    Err(payload) if payload.is::<Killed>() => {}
                    Err(payload) => resume_unwind(payload),
                }
                self.remove(index);
                FaultKind::GracefulStop
            }
            18..19 => {
                let changelogs: Vec<_> = self
                    .topology
                    .topics
                    .iter()
                    .filter(|(_, spec)| spec.ownership == Ownership::Changelog)
                    .map(|(topic, _)| topic)
                    .collect();
                for topic in changelogs {
                    self.cluster.borrow_mut().compact(topic);
                }
                FaultKind::Compaction
            }
            _ => {
                let name = self.instances[index].name.clone();
                if !self.cluster.borrow_mut().time_out_transactions_of(&name) {
                    return Ok(false);
                }
                FaultKind::TransactionTimeout
            }
        };
        *self.faults.entry(kind).or_default() += 1;
        Ok(true)
    }
}
