//! Whether the hub takes in history, as a metrics partition knows it: alerts are held back meanwhile.
//!
//! It does as long as one partition of customers says so, or has not spoken yet, or the partition's own input has not been read
//! to its end.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::StoreView;
use crate::{engine::store::Store, metrics::MetricsError, model::KeyValue as _};

/// Whether a partition of customers is through with its backlog (one byte); its number follows.
const PREFIX: &[u8] = b"\x01live";
const AFTER: &[u8] = b"\x01livf";

/// What is known of partitions of customers, and of the own input.
#[derive(Debug)]
pub(super) struct Liveness {
    sources: u32,
    /// `None` until it was read from the store.
    heard: Option<BTreeMap<u32, bool>>,
    is_behind: bool,
}

impl Liveness {
    pub(super) fn new(sources: u32) -> Liveness {
        Liveness { sources, heard: None, is_behind: true }
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

    fn load(&mut self, store: &mut Store) -> Result<&mut BTreeMap<u32, bool>, MetricsError> {
        if self.heard.is_none() {
            let mut heard = BTreeMap::new();
            let mut is_whole = true;
            StoreView(store).scan(PREFIX, AFTER, &mut |key, value| {
                match (key[PREFIX.len()..].try_into().map(u32::from_be_bytes), value) {
                    (Ok(source), [is_live]) => drop(heard.insert(source, *is_live != 0)),
                    _ => is_whole = false,
                }
                ControlFlow::Continue(())
            })?;
            if !is_whole {
                return Err(MetricsError::Corrupted { what: "what a partition of customers said" });
            }
            self.heard = Some(heard);
        }
        Ok(self.heard.as_mut().expect("it was just read"))
    }

    /// Takes what a partition of customers says.
    pub(super) fn hear(&mut self, source: u32, is_live: bool, store: &mut Store) -> Result<(), MetricsError> {
        if self.load(store)?.insert(source, is_live) != Some(is_live) {
            store.put(&[PREFIX, &source.to_be_bytes()].concat(), &[u8::from(is_live)]);
        }
        Ok(())
    }

    /// Whether nothing is known to be on its way.
    pub(super) fn is_live(&mut self, store: &mut Store) -> Result<bool, MetricsError> {
        let sources = self.sources;
        let heard = self.load(store)?;
        Ok((0..sources).all(|source| heard.get(&source) == Some(&true)) && !self.is_behind)
    }
}
