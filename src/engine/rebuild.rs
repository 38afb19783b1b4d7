//! What all stores say of their generation in, one target for all of them out: who decides about a rebuild.
//!
//! ```text
//!  restored tasks report ──▶ all of them at hand: decided once ──▶ each migrates, if it has to ──▶ all done
//! ```
//!
//! Nothing is touched before every task was restored by this one process: only whoever sees all can tell whether a rebuild
//! was begun, and by which definition. From then on tasks may come and go, by crashes too: the target is in their stores.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    generation::{Generation, Stored},
    log::TopicPartition,
    stage::{StageError, Topology},
};

/// A rebuild of a hub, shared by the workers of one process.
#[derive(Debug)]
pub struct Rebuild {
    definition: [u8; 16],
    tasks: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    owned: BTreeSet<TopicPartition>,
    reports: BTreeMap<TopicPartition, Option<Stored>>,
    target: Option<Generation>,
    done: BTreeSet<TopicPartition>,
    was_needed: bool,
    entries: u64,
}

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuildProgress {
    /// Tasks that keep state, in the whole hub.
    pub tasks: usize,
    /// How many of them this process owns.
    pub owned: usize,
    /// How many of those are of the wanted generation, and serve it.
    pub done: usize,
    /// Whether all were seen, so that work could begin.
    pub decided: bool,
    /// Whether any of them had something to do.
    pub was_needed: bool,
    /// Stored entries that were worked on, by this process.
    pub entries: u64,
}

impl RebuildProgress {
    /// Whether nothing is left to do.
    pub fn is_complete(&self) -> bool {
        self.decided && self.done == self.tasks
    }
}

impl Rebuild {
    /// A rebuild to the definition of a topology.
    pub fn new(topology: &Topology) -> Rebuild {
        let stateful = topology.stages.iter().filter(|stage| stage.changelog.is_some());
        let partitions = stateful.flat_map(|stage| &stage.inputs).map(|input| topology.topics.get(*input).partitions);
        let tasks = partitions.map(|count| usize::try_from(count).unwrap_or(0)).sum();
        Rebuild { definition: topology.definition, tasks, inner: Mutex::default() }
    }

    /// How far it is.
    pub fn progress(&self) -> RebuildProgress {
        let inner = self.inner();
        RebuildProgress {
            tasks: self.tasks,
            owned: inner.owned.len(),
            done: inner.done.len(),
            decided: inner.target.is_some(),
            was_needed: inner.was_needed,
            entries: inner.entries,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn own(&self, task: TopicPartition) {
        self.inner().owned.insert(task);
    }

    pub(super) fn lose(&self, task: TopicPartition) {
        let mut inner = self.inner();
        inner.owned.remove(&task);
        inner.reports.remove(&task);
        inner.done.remove(&task);
    }

    /// Takes what a restored task's store says; returns the target once it is decided.
    pub(super) fn report(
        &self,
        task: TopicPartition,
        stored: Option<Stored>,
    ) -> Result<Option<Generation>, StageError> {
        let mut inner = self.inner();
        if inner.target.is_none() {
            inner.reports.insert(task, stored);
            if inner.reports.len() == self.tasks {
                let target = decide(self.definition, inner.reports.values().flatten());
                inner.was_needed = inner.reports.values().any(|it| needs_work(it.as_ref(), target));
                inner.target = Some(target);
            }
        }
        let newer = |target: Generation| {
            stored.is_some_and(|it| it.target.map_or(0, |it| it.epoch).max(it.generation.epoch) > target.epoch)
        };
        match inner.target {
            Some(target) if newer(target) => Err(StageError::Stop(
                "another process has begun a newer rebuild; let only one run, and see to it with its configuration"
                    .into(),
            )),
            target => Ok(target),
        }
    }

    pub(super) fn worked(&self, entries: u64) {
        let mut inner = self.inner();
        inner.was_needed = true;
        inner.entries += entries;
    }

    /// A task takes records; what it publishes is of the wanted generation if it `is_rebuilt`, and committed if it
    /// `is_at_rest`.
    pub(super) fn serves(&self, task: TopicPartition, is_rebuilt: bool, is_at_rest: bool) {
        let mut inner = self.inner();
        inner.was_needed |= !is_rebuilt;
        if is_rebuilt && is_at_rest {
            inner.done.insert(task);
        } else {
            inner.done.remove(&task);
        }
    }
}

/// Whether a task has to migrate to reach a target; a new store of a hub that was never rebuilt has not.
pub(super) fn needs_work(stored: Option<&Stored>, target: Generation) -> bool {
    match stored {
        Some(stored) => !stored.is_of(target),
        None => target.epoch > 0,
    }
}

/// Goes on with the newest rebuild if it is one to the same definition, or begins the next.
fn decide<'a>(definition: [u8; 16], stored: impl Iterator<Item = &'a Stored>) -> Generation {
    let known: Vec<Generation> = stored.flat_map(|it| [Some(it.generation), it.target]).flatten().collect();
    let newest = known.iter().map(|it| it.epoch).max().unwrap_or(0);
    let all_same = known.iter().filter(|it| it.epoch == newest).all(|it| it.definition == definition);
    Generation { definition, epoch: if all_same { newest } else { newest + 1 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 16] = [0xa; 16];
    const B: [u8; 16] = [0xb; 16];

    fn at(definition: [u8; 16], epoch: u32) -> Generation {
        Generation { definition, epoch }
    }

    fn stored(generation: Generation, target: Option<Generation>) -> Option<Stored> {
        Some(Stored { placement: [0; 16], generation, target })
    }

    fn decided(wanted: [u8; 16], stored: &[Option<Stored>]) -> (Generation, bool) {
        let target = decide(wanted, stored.iter().flatten());
        (target, stored.iter().any(|it| needs_work(it.as_ref(), target)))
    }

    #[test]
    fn an_unfinished_rebuild_goes_on_and_another_definition_begins_the_next() {
        let (a0, b1) = (at(A, 0), at(B, 1));
        let table: [(&[Option<Stored>], [u8; 16], (Generation, bool)); 8] = [
            (&[None, None], A, (a0, false)),
            (&[stored(a0, None), None], A, (a0, false)),
            (&[stored(a0, None), None], B, (b1, true)),
            // Begun, interrupted: the same definition goes on …
            (&[stored(a0, Some(b1)), stored(a0, None)], B, (b1, true)),
            (&[stored(b1, None), stored(a0, None)], B, (b1, true)),
            // … and going back is a rebuild of its own: what was not touched yet is not what it was any more.
            (&[stored(b1, None), stored(a0, None)], A, (at(A, 2), true)),
            (&[stored(b1, None), stored(b1, None)], B, (b1, false)),
            // Two definitions on one new hub.
            (&[stored(a0, None), stored(at(B, 0), None)], A, (at(A, 1), true)),
        ];
        for (stored, wanted, expected) in table {
            assert_eq!(decided(wanted, stored), expected, "{stored:?}");
        }
    }

    #[test]
    fn nothing_is_decided_before_all_were_seen_at_once() {
        let rebuild = Rebuild { definition: B, tasks: 2, inner: Mutex::default() };
        let [one, two] =
            [0, 1].map(|partition| TopicPartition { topic: crate::engine::topics::TopicIndex(0), partition });
        let report = |task| rebuild.report(task, stored(at(A, 0), None)).expect("not newer");
        assert_eq!(report(one), None);
        rebuild.lose(one);
        assert_eq!(report(two), None);
        assert_eq!(report(one), Some(at(B, 1)));
        rebuild.lose(two);
        assert_eq!(report(two), Some(at(B, 1)), "it stays decided");
        rebuild.report(two, stored(at(A, 2), None)).expect_err("another has taken over");
    }
}
