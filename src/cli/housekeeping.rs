//! What is done about once in a while for all workers together, beside them: no worker waits for it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::stop::StopToken;
use crate::engine::{
    log::{TopicPartition, kafka::Admin},
    topics::Topics,
};

/// How often repartition records are deleted.
const EVERY: Duration = Duration::from_secs(30);

/// How far each repartition partition is processed.
#[derive(Debug, Default)]
pub(super) struct Processed(Mutex<BTreeMap<TopicPartition, i64>>);

impl Processed {
    /// A commit has passed every record of `input` below `next`.
    pub(super) fn note(&self, input: TopicPartition, next: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(input, next);
    }

    /// Deletes what is nobody's any more, until a stop is requested.
    pub(super) fn delete_until_stopped(&self, admin: &Admin, topics: &Topics, stop: &StopToken) {
        let mut deleted_to = BTreeMap::new();
        while !stop.wait(EVERY) {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let below: Vec<(TopicPartition, i64)> =
                known.into_iter().filter(|(input, next)| deleted_to.get(input).is_none_or(|to| next > to)).collect();
            if below.is_empty() {
                continue;
            }
            match admin.delete_records(topics, &below) {
                Ok(()) => deleted_to.extend(below),
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }
}
