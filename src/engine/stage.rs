//! What a stage is to the engine: it takes a record and a store, and says what is to be written. It never does IO.

use std::sync::Arc;

use super::{
    generation::Generation,
    log::{LogError, Output, Record},
    reread::{Rereads, Span},
    store::Store,
    topics::{TopicIndex, Topics},
};

/// Where a stage's outputs go: into the current transaction.
pub trait Outputs {
    /// Writes a record in the current transaction.
    fn send(&mut self, output: &Output<'_>) -> Result<(), LogError>;
}

/// The stage could not go on.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The log refused an output.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What the record needs is not here yet. Nothing was done with it, and it is to be offered again.
    #[error("{0}")]
    NotYet(String),
    /// What is stored was computed by another definition: rebuild it.
    #[error("{0}")]
    Generation(String),
    /// What is stored lies where this configuration would not look for it: go back to the one that it was stored by.
    #[error("{0}")]
    Placement(String),
    /// The store or the input is unusable: tell the operator and stop.
    #[error("{0}")]
    Stop(String),
}

/// One part of a migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Whether there is more to do.
    pub more: bool,
    /// Entries worked on in this part.
    pub entries: u64,
}

/// One stage's work on one partition. What it keeps lies in its store; anything else it holds is a cache of it.
pub trait Stage: Send {
    /// Takes one record.
    fn process(&mut self, record: &Record<'_>, store: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError>;

    /// Called once before each commit: writes what it holds back. Returns whether it wants another commit soon because
    /// there is more to do than fits into one.
    fn prepare_commit(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError>;

    /// It takes records from now on; what is stored is of this generation. `rebuilding`: a rebuild runs it, not the hub.
    fn starts(&mut self, _generation: Generation, _rebuilding: bool, _store: &mut Store) -> Result<(), StageError> {
        Ok(())
    }

    /// Computes a bounded part of what it keeps anew, for a generation; called until there is no more, and each part is
    /// committed. `first`: nothing was done for that generation yet, whatever was done for others. How far it is lies in
    /// the store. Until the last part is committed it takes no records, and [`Stage::prepare_commit`] is not called.
    fn migrate(
        &mut self,
        _target: Generation,
        _first: bool,
        _store: &mut Store,
        _outputs: &mut dyn Outputs,
    ) -> Result<Migrated, StageError> {
        Ok(Migrated::default())
    }

    /// Whether what it publishes is of its generation; what it has to do to get there goes on while it takes records.
    fn is_rebuilt(&self) -> bool {
        true
    }

    /// Its input is read a second time ([`super::reread`]): so much of it, in order.
    fn rereads(&mut self, _span: Span) {}

    /// The second reading has reached its end. What the stage has to say about it goes with the next commit; after a
    /// rollback it is told again.
    fn reread_ended(&mut self) {}

    /// The transaction was committed.
    fn post_commit(&mut self) {}

    /// The transaction was rolled back, the store too: forget what was derived from it.
    fn rolled_back(&mut self) {}

    /// A changelog record was put back into the store: write again what is derived from it.
    fn restored(&mut self, _key: &[u8], _value: Option<&[u8]>, _store: &mut Store) -> Result<(), StageError> {
        Ok(())
    }

    /// Whether the record that it took last was a sign of life of its input: one of those that it waits for, not one that it
    /// passes over.
    fn took_something(&self) -> bool {
        true
    }

    /// Its input was read to its end and has been quiet for long. Returns whether the stage has something to say about it,
    /// with the next commit. The next sign of life ends it; after a rollback it is said again.
    fn fell_idle(&mut self) -> bool {
        false
    }

    /// Its input has been read to its end (`false`), or there is more of it than is at hand. Until it is told, nobody knows. Returns
    /// whether the stage has something to say about it, with the next commit; after a rollback it is told again.
    fn stands(&mut self, _is_behind: bool) -> bool {
        false
    }

    /// Bytes held outside the store.
    fn cache_bytes(&self) -> usize {
        0
    }

    /// The instant as of which it speaks, in milliseconds since 1970-01-01T00:00:00Z, if it knows one.
    fn as_of_ms(&self) -> Option<i64> {
        None
    }

    /// The watermark of its sources, in milliseconds since 1970-01-01T00:00:00Z, if it knows one.
    fn watermark_ms(&self) -> Option<i64> {
        None
    }

    /// Whether the cache is so full that the transaction should end early.
    fn wants_commit(&self) -> bool {
        false
    }
}

/// A stage of the topology.
#[derive(Clone)]
pub struct StageSpec {
    /// Its stable name: task identity and directories come from it.
    pub name: &'static str,
    /// The topics that it reads: the spokes for ingest, one repartition topic for the others.
    pub inputs: Vec<TopicIndex>,
    /// The topic of its changelog, if it keeps anything.
    pub changelog: Option<TopicIndex>,
    /// Who says from where its inputs are read again, up to what was committed; `None`: they are read on. Such a stage keeps
    /// nothing.
    pub rereads: Option<Arc<dyn Rereads>>,
    /// Makes its work on one partition of an input.
    pub make: Arc<dyn Fn(super::log::TopicPartition) -> Box<dyn Stage> + Send + Sync>,
}

/// Everything that the engine runs.
#[derive(Clone)]
pub struct Topology {
    /// Names the consumer group, the transactional ids and the internal topics.
    pub application_id: Arc<str>,
    /// Every topic.
    pub topics: Arc<Topics>,
    /// The stages, in the order data flows.
    pub stages: Arc<Vec<StageSpec>>,
    /// Hash of what decides in which partition state lies. Nothing can change it.
    pub placement: [u8; 16],
    /// Hash of the definitions that stored state is computed by. A rebuild changes it.
    pub definition: [u8; 16],
}

impl Topology {
    /// The same without the stages that keep nothing: what a rebuild runs.
    pub fn stateful(&self) -> Topology {
        let stages = self.stages.iter().filter(|stage| stage.changelog.is_some()).cloned().collect();
        Topology { stages: Arc::new(stages), ..self.clone() }
    }

    /// The stage that reads a topic.
    pub fn stage_of(&self, topic: TopicIndex) -> Option<usize> {
        self.stages.iter().position(|stage| stage.inputs.contains(&topic))
    }
}
