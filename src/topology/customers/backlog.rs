//! Whether the hub takes in history, as a customers partition knows it: alerts are held back meanwhile.
//!
//! It does as long as one source partition says so, or has not spoken yet, or the partition's own input has not been read to
//! its end. What links are about to say of a person in those last moments is not waited for.

use std::{collections::BTreeMap, sync::Arc};

use super::{StoreView, stop};
use crate::{
    engine::{stage::StageError, store::Store},
    model::KeyValue as _,
    topology::{messages::backlog::Intake, watermarks::Sources},
};

/// Whether a source takes in history (one byte); its number follows.
const PREFIX: &[u8] = b"\x01backlog";
const AFTER: &[u8] = b"\x01backloh";

/// What is known of sources, and of the own input.
#[derive(Debug)]
pub(super) struct Backlog {
    sources: Arc<Sources>,
    /// Whether those that have spoken take in history; `None` until it was read from the store.
    heard: Option<BTreeMap<u32, bool>>,
    /// Whether more of the own input is to come.
    is_behind: bool,
}

impl Backlog {
    pub(super) fn new(sources: Arc<Sources>) -> Backlog {
        Backlog { sources, heard: None, is_behind: true }
    }

    /// What was heard in a transaction that was rolled back does not hold.
    pub(super) fn rolled_back(&mut self) {
        self.heard = None;
        self.is_behind = true;
    }

    /// Takes what the engine says of the own input.
    pub(super) fn stands(&mut self, is_behind: bool) {
        self.is_behind = is_behind;
    }

    fn load(&mut self, store: &mut Store) -> Result<&mut BTreeMap<u32, bool>, StageError> {
        if self.heard.is_none() {
            let mut heard = BTreeMap::new();
            let mut failure = Ok(());
            StoreView(store)
                .scan(PREFIX, AFTER, &mut |key, value| {
                    match (key[PREFIX.len()..].try_into().map(u32::from_be_bytes), value) {
                        (Ok(source), [takes_history]) => drop(heard.insert(source, *takes_history != 0)),
                        _ => failure = Err(StageError::Stop("what a source said cannot be read".into())),
                    }
                    std::ops::ControlFlow::Continue(())
                })
                .map_err(stop)?;
            failure?;
            self.heard = Some(heard);
        }
        Ok(self.heard.as_mut().expect("it was just read"))
    }

    /// Takes what a source says.
    pub(super) fn hear(&mut self, source: u32, intake: Intake, store: &mut Store) -> Result<(), StageError> {
        let heard = self.load(store)?;
        let known = heard.get(&source).copied();
        let takes_history = match intake {
            Intake::News => false,
            Intake::History => true,
            Intake::Nothing => known.unwrap_or(false),
        };
        if known != Some(takes_history) {
            heard.insert(source, takes_history);
            store.put(&[PREFIX, &source.to_be_bytes()].concat(), &[u8::from(takes_history)]);
        }
        Ok(())
    }

    /// Whether nothing is known to be on its way.
    pub(super) fn is_over(&mut self, store: &mut Store) -> Result<bool, StageError> {
        let sources = self.sources.clone();
        let heard = self.load(store)?;
        Ok(sources.expected().all(|source| heard.get(&source) == Some(&false)) && !self.is_behind)
    }
}
