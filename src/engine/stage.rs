//! What a stage is to the engine: it takes a record and a store, and says what is to be written. It never does IO.

use std::sync::Arc;

use super::{
    log::{LogError, Output, Record},
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
    /// What is stored was computed by another definition: rebuild it.
    #[error("{0}")]
    Generation(String),
    /// The store or the input is unusable: tell the operator and stop.
    #[error("{0}")]
    Stop(String),
}

/// One stage's work on one partition. What it keeps lies in its store; anything else it holds is a cache of it.
pub trait Stage: Send {
    /// Takes one record.
    fn process(&mut self, record: &Record<'_>, store: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError>;

    /// Called once before each commit: writes what it holds back. Returns whether it wants another commit soon because
    /// there is more to do than fits into one.
    fn prepare_commit(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError>;

    /// The transaction was committed.
    fn post_commit(&mut self) {}

    /// The transaction was rolled back, the store too: forget what was derived from it.
    fn rolled_back(&mut self) {}

    /// A changelog record was put back into the store: write again what is derived from it.
    fn restored(&mut self, _key: &[u8], _value: Option<&[u8]>, _store: &mut Store) -> Result<(), StageError> {
        Ok(())
    }

    /// Its input was read to its end and has been quiet for long. Returns whether the stage has something to say about it,
    /// with the next commit. The next record ends it; after a rollback it is said again.
    fn fell_idle(&mut self) -> bool {
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
    /// Hash of the definitions that stored state was computed by.
    pub generation: [u8; 16],
}

impl Topology {
    /// The stage that reads a topic.
    pub fn stage_of(&self, topic: TopicIndex) -> Option<usize> {
        self.stages.iter().position(|stage| stage.inputs.contains(&topic))
    }
}
