//! Whether history is taken in, as one partition of a stage knows it: alerts are held back meanwhile.
//!
//! It is as long as one of those before says so, or has not spoken yet, or the partition's own input has not been read to its
//! end.

use std::collections::BTreeMap;

use super::store_view::StoreView;
use crate::{
    engine::{stage::StageError, store::Store},
    model::KeyValue as _,
};

/// Whether one of those before takes in history (one byte); its number follows.
const PREFIX: &[u8] = b"\x01backlog";
const AFTER: &[u8] = b"\x01backloh";

/// What was said, and what is known of the own input.
#[derive(Debug)]
pub(super) struct Heard {
    /// Whether those that have spoken take in history; `None` until it was read from the store.
    said: Option<BTreeMap<u32, bool>>,
    /// Whether more of the own input is to come.
    is_behind: bool,
}

impl Default for Heard {
    /// Nothing is known.
    fn default() -> Heard {
        Heard { said: None, is_behind: true }
    }
}

impl Heard {
    /// Takes what the engine says of the own input.
    pub(super) fn stands(&mut self, is_behind: bool) {
        self.is_behind = is_behind;
    }

    fn said(&mut self, store: &mut Store) -> Result<&mut BTreeMap<u32, bool>, StageError> {
        if self.said.is_none() {
            let mut said = BTreeMap::new();
            let mut failure = Ok(());
            StoreView(store)
                .scan(PREFIX, AFTER, &mut |key, value| {
                    match (key[PREFIX.len()..].try_into().map(u32::from_be_bytes), value) {
                        (Ok(number), [takes_history]) => drop(said.insert(number, *takes_history != 0)),
                        _ => failure = Err(StageError::Stop("what a source said cannot be read".into())),
                    }
                    std::ops::ControlFlow::Continue(())
                })
                .map_err(|error| StageError::Stop(error.to_string()))?;
            failure?;
            self.said = Some(said);
        }
        Ok(self.said.as_mut().expect("it was just read"))
    }

    /// What one of those before said last, if it has spoken.
    pub(super) fn of(&mut self, number: u32, store: &mut Store) -> Result<Option<bool>, StageError> {
        Ok(self.said(store)?.get(&number).copied())
    }

    /// Takes whether one of those before takes in history.
    pub(super) fn hear(&mut self, number: u32, takes_history: bool, store: &mut Store) -> Result<(), StageError> {
        if self.said(store)?.insert(number, takes_history) != Some(takes_history) {
            store.put(&[PREFIX, &number.to_be_bytes()].concat(), &[u8::from(takes_history)]);
        }
        Ok(())
    }

    /// Whether nothing is known to be on its way from those that are expected to speak.
    pub(super) fn is_over(
        &mut self,
        mut expected: impl Iterator<Item = u32>,
        store: &mut Store,
    ) -> Result<bool, StageError> {
        let said = self.said(store)?;
        Ok(expected.all(|number| said.get(&number) == Some(&false)) && !self.is_behind)
    }
}
