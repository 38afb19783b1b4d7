//! Whether the hub takes in history, as a customers partition knows it from the source partitions. What links are about to say
//! of a person in its last moments is not waited for.

use std::sync::Arc;

use crate::{
    engine::{stage::StageError, store::Store},
    topology::{heard::Heard, messages::backlog::Intake, watermarks::Sources},
};

/// What is known of sources, and of the own input.
#[derive(Debug)]
pub(super) struct Backlog {
    sources: Arc<Sources>,
    heard: Heard,
}

impl Backlog {
    pub(super) fn new(sources: Arc<Sources>) -> Backlog {
        Backlog { sources, heard: Heard::default() }
    }

    /// What was heard in a transaction that was rolled back does not hold.
    pub(super) fn rolled_back(&mut self) {
        self.heard = Heard::default();
    }

    /// Takes what the engine says of the own input.
    pub(super) fn stands(&mut self, is_behind: bool) {
        self.heard.stands(is_behind);
    }

    /// Takes what a source says.
    pub(super) fn hear(&mut self, source: u32, intake: Intake, store: &mut Store) -> Result<(), StageError> {
        let takes_history = match intake {
            Intake::News => false,
            Intake::History => true,
            Intake::Nothing => self.heard.of(source, store)?.unwrap_or(false),
        };
        self.heard.hear(source, takes_history, store)
    }

    /// Whether nothing is known to be on its way.
    pub(super) fn is_over(&mut self, store: &mut Store) -> Result<bool, StageError> {
        self.heard.is_over(self.sources.expected(), store)
    }
}
