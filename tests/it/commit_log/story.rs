//! A seed in; the operations of a script out, and what becomes of them on one machine.

use std::{cell::Cell, sync::Arc};

use insight_hub::engine::log::commit_log::{
    Cleaned, CommitLog, CommitLogError, Options, TopicPartition,
    files::{
        Files,
        simulated::{SimulatedFiles, Unsynced},
    },
};

use super::model::{Model, ModelCommit, ModelRecord, TOPICS, partitions};

/// splitmix64; its own, so that no change to the log's simulation changes the scripts.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

pub enum Operation {
    Append(ModelCommit),
    Sync,
    Roll,
    Clean,
    Reopen,
    Read,
}

/// A script of `length` operations; the time of operation n is 10 n ms.
pub fn script(seed: u64, length: usize) -> Vec<Operation> {
    let mut random = Random(seed);
    let all: Vec<TopicPartition> = partitions().collect();
    (0..length)
        .map(|step| match random.below(100) {
            0..68 => Operation::Append(commit(&mut random, step as i64 * 10, &all)),
            68..82 => Operation::Sync,
            82..86 => Operation::Roll,
            86..92 => Operation::Clean,
            92..96 => Operation::Reopen,
            _ => Operation::Read,
        })
        .collect()
}

pub fn commit(random: &mut Random, now_ms: i64, all: &[TopicPartition]) -> ModelCommit {
    let mut commit = ModelCommit::default();
    for _ in 0..=random.below(6) {
        // Mostly what is given up again, or no segment would ever be cleaned.
        let range = if random.below(40) == 0 { 0..3 } else { 3..all.len() };
        let partition = all[range.start + random.below(range.len() as u64) as usize];
        let headers = if random.below(4) == 0 {
            vec![("trace".to_owned(), Some(vec![7; 3])), ("none".to_owned(), None)]
        } else {
            vec![]
        };
        let record = ModelRecord {
            offset: 0,
            timestamp_ms: now_ms - random.below(30) as i64,
            key: (random.below(12) != 0).then(|| vec![b'k', random.below(9) as u8]),
            value: (random.below(5) != 0).then(|| vec![random.next() as u8; random.below(60) as usize]),
            headers,
        };
        commit.records.push((partition, record));
    }
    for _ in 0..random.below(3) {
        commit.offsets.push((all[random.below(all.len() as u64) as usize], random.below(1000)));
    }
    commit
}

/// A log on a machine, and what it must hold.
pub struct Story {
    pub files: SimulatedFiles,
    pub model: Model,
    pub log: Option<CommitLog>,
    pub options: Options,
    /// What a power cut leaves of what was not synced.
    pub unsynced: Unsynced,
    pub context: String,
    /// What cleaning did so far.
    pub cleaned: Cleaned,
    /// How often it could have been compared.
    checks: Cell<u64>,
}

/// What there is before an operation of a script, while the log is closed.
pub struct Checkpoint {
    /// Which operation comes next.
    pub step: usize,
    pub files: SimulatedFiles,
    pub model: Model,
    pub cleaned: Cleaned,
}

impl Story {
    pub fn new(seed: u64, unsynced: Unsynced, context: String) -> Self {
        let options = Options { segment_bytes: 1500, compaction_keys_max: 5, merge_min: 2, ..Options::default() };
        Self {
            files: SimulatedFiles::new(seed),
            model: Model::default(),
            log: None,
            options,
            unsynced,
            context,
            cleaned: Cleaned::default(),
            checks: Cell::new(0),
        }
    }

    /// Opens the log, again and again if a planned fault comes in between, and compares.
    pub fn open(&mut self) {
        self.log = None;
        for attempt in 0.. {
            assert!(attempt < 15, "{}: does not open", self.context);
            if !self.files.is_powered() {
                self.files.restart(self.unsynced);
            }
            let files: Arc<dyn Files> = Arc::new(self.files.clone());
            let log = match CommitLog::open(files, self.options) {
                Ok(log) => log,
                Err(error @ (CommitLogError::Full { .. } | CommitLogError::Refused { .. })) => {
                    assert!(!self.files.is_fault_to_come(), "{}: {error} without a fault", self.context);
                    continue;
                }
                Err(error) => panic!("{}: {error}", self.context),
            };
            let mut created = TOPICS.iter().zip(0..).map(|((name, partitions, policy), id)| {
                let found = log.create_topic(name, *partitions, *policy)?;
                assert_eq!(found, id, "{}", self.context);
                Ok(())
            });
            if let Err(error) = created.try_for_each(|outcome: Result<(), CommitLogError>| outcome) {
                assert!(!self.files.is_fault_to_come(), "{}: {error} without a fault", self.context);
                continue;
            }
            drop(created);
            // Topics that were made just now are not in the model's sequence: a log that has them held no commits.
            self.model.reopened(&log, &self.context);
            self.check(&log);
            self.log = Some(log);
            return;
        }
    }

    pub fn run(&mut self, script: &[Operation]) {
        self.open();
        for (step, operation) in script.iter().enumerate() {
            self.step(operation, step);
        }
    }

    /// Runs a script in which nothing goes wrong; returns what there was at its beginning and before each time that the log
    /// was opened again. A story can be told from any of them on: nothing but the files matters then.
    pub fn run_with_checkpoints(&mut self, script: &[Operation]) -> Vec<Checkpoint> {
        let mut checkpoints = vec![self.checkpoint(0)];
        self.open();
        for (step, operation) in script.iter().enumerate() {
            if matches!(operation, Operation::Reopen) {
                self.log = None;
                checkpoints.push(self.checkpoint(step));
                self.open();
            } else {
                self.step(operation, step);
            }
        }
        checkpoints
    }

    /// Tells the rest of a script from a checkpoint on.
    pub fn run_from(&mut self, checkpoint: &Checkpoint, script: &[Operation]) {
        self.model = checkpoint.model.clone();
        self.cleaned = checkpoint.cleaned;
        self.open();
        for (step, operation) in script.iter().enumerate().skip(checkpoint.step) {
            if step > checkpoint.step || !matches!(operation, Operation::Reopen) {
                self.step(operation, step);
            }
        }
    }

    fn checkpoint(&self, step: usize) -> Checkpoint {
        Checkpoint { step, files: self.files.fork(), model: self.model.clone(), cleaned: self.cleaned }
    }

    fn step(&mut self, operation: &Operation, step: usize) {
        let now_ms = step as i64 * 10;
        let Some(log) = &self.log else { return };
        let outcome = match operation {
            Operation::Append(commit) => {
                let outcome = log.append(&commit.to_commit());
                match &outcome {
                    Ok(appended) => {
                        for (partition, base) in &appended.bases {
                            assert_eq!(self.model.end(*partition), *base, "{}", self.context);
                        }
                        self.model.append(commit.clone(), appended.sequence);
                    }
                    Err(CommitLogError::Broken { .. }) => self.model.maybe = Some(commit.clone()),
                    Err(CommitLogError::Full { .. } | CommitLogError::Refused { .. }) => {}
                    Err(error) => panic!("{}: {error}", self.context),
                }
                outcome.map(|_| ())
            }
            Operation::Sync => log.sync().map(|durable| {
                assert_eq!(durable, log.newest(), "{}", self.context);
                self.model.durable = durable;
            }),
            Operation::Roll => log.roll(),
            Operation::Clean => {
                self.model.cleaned_ms = now_ms;
                for partition in partitions().filter(|partition| partition.topic == 2) {
                    self.model.processed.insert(partition, self.model.end(partition) * 2 / 3);
                }
                let processed = &self.model.processed;
                let told = |topic, partition| processed.get(&TopicPartition { topic, partition }).copied();
                log.clean(now_ms, &told).map(|cleaned| {
                    self.cleaned.segments_removed += cleaned.segments_removed;
                    self.cleaned.segments_rewritten += cleaned.segments_rewritten;
                    self.cleaned.segments_merged += cleaned.segments_merged;
                    self.cleaned.segments_merged_into += cleaned.segments_merged_into;
                })
            }
            Operation::Reopen => {
                self.open();
                Ok(())
            }
            Operation::Read => {
                self.check(log);
                Ok(())
            }
        };
        match outcome {
            Ok(()) => {}
            Err(CommitLogError::Broken { .. }) => self.open(),
            Err(_) if !self.files.is_powered() => self.open(),
            Err(CommitLogError::Refused { .. } | CommitLogError::Full { .. }) => {
                assert!(!self.files.is_fault_to_come(), "{}: an error without a fault", self.context);
            }
            Err(error) => panic!("{}: {error}", self.context),
        }
    }

    /// Compares, once something went wrong: until then every run of a script is the same, and the one without a fault compares
    /// at its end. What is missing stays so: after the first times, which see what the fault did, it is looked for less often.
    fn check(&self, log: &CommitLog) {
        const FIRST: u64 = 20;
        const THEN_EVERY: u64 = 8;
        if !self.files.is_fault_to_come() {
            let times = self.checks.get();
            self.checks.set(times + 1);
            if times < FIRST || times.is_multiple_of(THEN_EVERY) {
                self.model.check(log, &self.context);
            }
        }
    }

    /// Opens it again as it is, then once more after a power cut.
    pub fn end(&mut self) {
        self.open();
        self.log = None;
        self.files.restart(self.unsynced);
        self.open();
        if let Some(log) = &self.log {
            self.model.check(log, &self.context);
        }
    }
}
