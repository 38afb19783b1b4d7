//! The customers stage while a department's topic is read again: notes of a reading in; touchpoints that it has not met out.
//!
//! What comes is folded like anything else, only that nothing of it is counted as having arrived. When every source
//! partition has said that it is at its end, the timelines are swept, a bounded part with each commit.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use super::{CustomersStage, Sending, StoreView, stop};
use crate::{
    customers::Customers,
    engine::{
        log::{LogError, Output, Placement},
        stage::{Outputs, StageError},
        store::Store,
    },
    ingest::LiveSpokes,
    model::{Day, KeyValue as _, StoreError},
    topology::{
        messages::{Batch, Header},
        readings::{self, Known, Phase, Rereading, Says, VERSION_OF_A_READING},
    },
};

/// What is kept of the newest reading of a department, whose name follows.
const READING_PREFIX: &[u8] = b"\x01reading";
/// How often this partition has asked itself how far it is.
const ATTEMPT_KEY: &[u8] = b"\x01rereading-attempt";
/// Touchpoints that one transaction sweeps, about; one person is never split.
const TOUCHPOINTS_PER_COMMIT: u64 = 5_000;

/// Whether the partition knows that nothing of former attempts is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Attempt {
    /// It is to be asked with the next commit.
    #[default]
    ToAsk,
    /// Asked with this number.
    Asked(u64),
    /// The question came back.
    Answered,
}

/// What the stage knows of readings: a cache of the store's entries, and its part in a second reading.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// The departments of the configuration.
    spokes: Vec<Arc<str>>,
    /// What this process reads again, if it does.
    rereading: Option<Arc<Rereading>>,
    /// `None` until it was read from the store.
    known: Option<BTreeMap<String, Known>>,
    /// Whether `known` was changed by the running transaction, or nobody was told yet.
    is_news: bool,
    attempt: Attempt,
    /// Whether the hub runs, and not a rebuild.
    runs: bool,
    /// Whether what waits to be folded was read again.
    pub(super) waiting_was_reread: bool,
}

impl Readings {
    pub(super) fn new(spokes: &LiveSpokes, rereading: Option<Arc<Rereading>>) -> Readings {
        let spokes = spokes.now().iter().map(|spoke| Arc::from(spoke.name())).collect();
        Readings { spokes, rereading, ..Readings::default() }
    }

    /// Forgets what is not committed.
    pub(super) fn rolled_back(&mut self) {
        self.known = None;
        self.attempt = Attempt::default();
        self.waiting_was_reread = false;
    }

    pub(super) fn load(&mut self, customers: &mut Customers, store: &mut Store) -> Result<(), StageError> {
        if self.known.is_some() {
            return Ok(());
        }
        let mut known = BTreeMap::new();
        let mut failure = None;
        let after = [&READING_PREFIX[..READING_PREFIX.len() - 1], b"h"].concat();
        let view = StoreView(store);
        view.scan(READING_PREFIX, &after, &mut |key, value| {
            match (std::str::from_utf8(&key[READING_PREFIX.len()..]), Known::decode(value)) {
                (Ok(spoke), Some(reading)) => drop(known.insert(spoke.to_owned(), reading)),
                _ => failure = Some(StoreError("what is kept of a reading cannot be read".into())),
            }
            ControlFlow::Continue(())
        })
        .map_err(stop)?;
        if let Some(failure) = failure {
            return Err(stop(failure));
        }
        customers.readings.clear();
        known.iter().for_each(|(spoke, known): (&String, &Known)| customers.readings.set(spoke, known.number));
        self.known = Some(known);
        self.is_news = true;
        Ok(())
    }

    fn put(&mut self, spoke: &str, known: Known, store: &mut Store) {
        store.put(&[READING_PREFIX, spoke.as_bytes()].concat(), &known.encode());
        self.known.get_or_insert_default().insert(spoke.to_owned(), known);
        self.is_news = true;
    }

    /// Whether this partition has nothing left to do.
    pub(super) fn is_over(&self, partition: i32) -> bool {
        self.rereading.as_ref().is_none_or(|rereading| rereading.is_over(partition))
    }
}

impl CustomersStage {
    /// Refuses to run a hub while a second reading is not complete.
    pub(super) fn starts_readings(&mut self, rebuilding: bool, store: &mut Store) -> Result<(), StageError> {
        self.readings.load(&mut self.customers, store)?;
        self.readings.runs = !rebuilding;
        // A department that is gone has nobody who could read it again; what it has stays as it is.
        let is_there = |spoke: &str| self.readings.spokes.iter().any(|known| **known == *spoke);
        let is_over = |(spoke, known): (&String, &Known)| known.is_over() || !is_there(spoke);
        match rebuilding || self.readings.known.iter().flatten().all(is_over) {
            true => Ok(()),
            false => Err(readings::unfinished()),
        }
    }

    /// Takes what a record says of a reading; folds what waits, if what comes is of another. Returns whether the entries of
    /// the record count.
    pub(super) fn hear_reading(
        &mut self,
        says: Option<Says<'_>>,
        offset: i64,
        store: &mut Store,
        outputs: &mut dyn Outputs,
    ) -> Result<bool, StageError> {
        let Some(says) = says else {
            self.expect_reread(false, store, outputs)?;
            return Ok(true);
        };
        self.readings.load(&mut self.customers, store)?;
        if let Says::Asks { attempt } = says
            && self.readings.attempt == Attempt::Asked(attempt)
        {
            self.readings.attempt = Attempt::Answered;
            self.readings.is_news = true;
        }
        let Some(reading) = says.reading() else {
            return Ok(true);
        };
        self.expect_reread(true, store, outputs)?;
        let known = self.readings.known.iter().flatten().find(|(spoke, _)| *spoke == reading.spoke);
        let mut known = known.map(|(_, known)| known.clone()).unwrap_or_default();
        if reading.number < known.number {
            return Ok(false);
        }
        let mut changes = false;
        if reading.number > known.number {
            if self.readings.runs {
                return Err(readings::unfinished());
            }
            self.fold_waiting(store, outputs)?;
            known = Known::begun(reading);
            self.customers.readings.set(reading.spoke, reading.number);
            changes = true;
        }
        changes |= known.hear(says, u64::try_from(offset).unwrap_or_default());
        if changes {
            self.readings.put(reading.spoke, known, store);
        }
        Ok(true)
    }

    /// What waits is folded apart from what was read again: the one counts as arrived, the other has.
    fn expect_reread(&mut self, reread: bool, store: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        if self.readings.waiting_was_reread != reread {
            self.fold_waiting(store, outputs)?;
            self.readings.waiting_was_reread = reread;
        }
        Ok(())
    }

    /// Before a commit: asks how far this partition is, goes on with sweeps. Returns whether there is more to do.
    pub(super) fn go_on_with_readings(
        &mut self,
        store: &mut Store,
        outputs: &mut dyn Outputs,
    ) -> Result<bool, StageError> {
        self.readings.load(&mut self.customers, store)?;
        if self.readings.rereading.is_some() && self.readings.attempt == Attempt::ToAsk {
            self.ask(store, outputs)?;
        }
        let sweeping = self.readings.known.iter().flatten().find_map(|(spoke, known)| match &known.phase {
            Phase::Sweeping { next, sequence, outcome } => Some((spoke.clone(), known, *next, *sequence, *outcome)),
            _ => None,
        });
        let Some((spoke, known, next, sequence, mut outcome)) = sweeping else {
            return Ok(false);
        };
        let mut known = Known { phase: Phase::default(), ..known.clone() };
        self.publisher.as_of = self.times(store)?.as_of;
        // What a sweep says are other events than those of the record before it.
        self.publisher.sequence.at_least(sequence);
        let mut sending = Sending { publisher: &mut self.publisher, outputs, failure: None };
        let swept = self
            .customers
            .sweep(&spoke, outcome.keeps, next, TOUCHPOINTS_PER_COMMIT, &mut StoreView(store), &mut sending)
            .map_err(stop)?;
        sending.finish()?;
        outcome.older += swept.older;
        known.phase = match swept.next {
            Some(next) => Phase::Sweeping { next: Some(next), sequence, outcome },
            None => Phase::Over(outcome),
        };
        self.readings.put(&spoke, known, store);
        // Another department may be to be swept too.
        Ok(true)
    }

    fn ask(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let unreadable = |_| StageError::Stop("how often a partition has asked cannot be read from its store".into());
        let stored = store.get(ATTEMPT_KEY).map_err(|error| StageError::Stop(error.to_string()))?;
        let stored = stored.map(|bytes| bytes.as_ref().try_into().map_err(unreadable)).transpose()?;
        let attempt = stored.map_or(0, u64::from_be_bytes) + 1;
        store.put(ATTEMPT_KEY, &attempt.to_be_bytes());
        let publisher = &mut self.publisher;
        let header = Header::timeless(Day(0), None);
        Batch::default().take_with(VERSION_OF_A_READING, &header, &Says::Asks { attempt }, &mut publisher.record);
        let sent: Result<(), LogError> = outputs.send(&Output {
            topic: publisher.map.customers_repartition,
            placement: Placement::At(self.input.partition),
            key: &[],
            value: Some(&publisher.record),
            headers: &[],
            timestamp_ms: None,
        });
        self.readings.attempt = Attempt::Asked(attempt);
        Ok(sent?)
    }

    /// After a commit: tells the others in this process.
    pub(super) fn tell_readings(&mut self) {
        if let (Some(rereading), Some(known)) = (&self.readings.rereading, &self.readings.known)
            && std::mem::take(&mut self.readings.is_news)
        {
            rereading.tell(self.input.partition, known);
            if self.readings.attempt == Attempt::Answered {
                rereading.answered(self.input.partition);
            }
        }
    }
}
