//! What is done about once in a while for all workers together, beside them: no worker waits for it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread::{Scope, ScopedJoinHandle},
    time::Duration,
};

use super::{
    exit::{Exit, Failure},
    forgetting::{self, Forgetting},
    hub,
    place::Place,
    run::{HubInput, Shared},
    stop::StopToken,
};
use crate::engine::{
    log::{
        LogError, TopicPartition,
        access::socket::{Limits, Server},
        embedded::Keeper,
        kafka::{Admin, KafkaOptions, Rolls},
    },
    topics::Topics,
};

/// How often repartition records are deleted, at least.
const EVERY: Duration = Duration::from_secs(30);

/// What a place needs besides workers.
pub(super) enum Keeping {
    /// Records that were processed are deleted, and what was erased before goes from partitions that nobody writes to.
    Kafka {
        /// Who deletes.
        admin: Box<Admin>,
        /// As whom to look after the rest.
        options: Box<KafkaOptions>,
    },
    /// The log is synced and cleaned, and others reach it.
    Embedded {
        /// Who does so.
        keeper: Keeper,
        /// Where they do.
        server: Server,
    },
}

impl Keeping {
    pub(super) fn of(input: &HubInput<'_>, place: &Place) -> Result<Keeping, Failure> {
        Ok(match place {
            Place::Kafka(kafka) => {
                let admin = Admin::connect(kafka, 0, 0).map_err(|error| hub::log_failure(&error))?;
                Keeping::Kafka { admin: Box::new(admin), options: kafka.clone() }
            }
            Place::Embedded(shared) => {
                let keeper = Keeper::new(shared, input.telemetry, hub::now_ms);
                let data = &input.settings.hub.data_directory;
                let server = Server::start(data, Arc::new(shared.access()), Limits::default()).map_err(|error| {
                    Failure::new(
                        Exit::Failure,
                        format!("the socket in {} cannot be opened: {error}", data.display()),
                        "see to the data directory, or set another one with a shorter path in hub.data_directory",
                    )
                })?;
                Keeping::Embedded { keeper, server }
            }
        })
    }

    /// Starts what goes on until a stop is requested; what fails requests one.
    pub(super) fn start<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        input: &'env HubInput<'_>,
        shared: &'env Shared<'_>,
    ) -> Vec<ScopedJoinHandle<'scope, Result<(), Failure>>> {
        let stop = input.stop;
        // What it has open is asked for nothing before it begins.
        let forgetting = Forgetting::new(input, shared);
        let failed = |error: LogError| {
            stop.request("the log cannot be kept");
            hub::log_failure(&error)
        };
        match self {
            Keeping::Kafka { admin, options } => vec![
                scope.spawn(|| {
                    shared.processed.delete_until_stopped(admin, &shared.topology.topics, stop);
                    Ok(())
                }),
                scope.spawn(move || {
                    Rolls::new(options, shared.topology)
                        .map_err(failed)
                        .and_then(|rolls| forgetting::until_stopped(forgetting, rolls, stop))
                }),
            ],
            Keeping::Embedded { keeper, .. } => vec![
                scope.spawn(move || keeper.sync_until(&|wait| stop.wait(wait)).map_err(failed)),
                scope.spawn(move || keeper.clean_until(&|wait| stop.wait(wait)).map_err(failed)),
                scope.spawn(move || {
                    forgetting::beside_a_log(forgetting, keeper, stop)
                        .inspect_err(|_| stop.request("the log cannot be kept"))
                }),
            ],
        }
    }

    /// After the last commit.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Keeping::Kafka { .. } => Ok(()),
            Keeping::Embedded { keeper, server } => {
                server.stop();
                keeper.sync().map_err(|error| hub::log_failure(&error))
            }
        }
    }
}

/// How far each repartition partition is processed.
#[derive(Debug, Default)]
pub(super) struct Processed(Mutex<BTreeMap<TopicPartition, i64>>);

impl Processed {
    /// A commit has passed every record of `input` below `next`.
    pub(super) fn note(&self, input: TopicPartition, next: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(input, next);
    }

    /// Deletes what is nobody's any more, until a stop is requested.
    fn delete_until_stopped(&self, admin: &Admin, topics: &Topics, stop: &StopToken) {
        let mut deleted_to = BTreeMap::new();
        let every = EVERY.min(forgetting::look_every(topics.erased_within) * 2);
        while !stop.wait(every) {
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
