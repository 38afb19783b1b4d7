//! What is done about once in a while for all workers together, beside them: no worker waits for it.

use std::{
    collections::{BTreeMap, BTreeSet},
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
use crate::{
    engine::{
        log::{
            LogError, TopicPartition,
            access::socket::{Limits, Server},
            embedded::Keeper,
            kafka::{Admin, KafkaOptions, Rolls, Undeleted},
        },
        topics::{TopicIndex, Topics},
    },
    telemetry::{Event, Telemetry},
};

/// How often repartition records are deleted, at least.
const EVERY: Duration = Duration::from_secs(30);

/// How soon what has never been tried is: a right that is missing is told soon after the start.
const FIRST_EVERY: Duration = Duration::from_secs(2);

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
                scope.spawn(move || {
                    shared.processed.delete_until_stopped(admin, &shared.topology.topics, input.telemetry, stop);
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
    fn delete_until_stopped(&self, admin: &Admin, topics: &Topics, telemetry: &Telemetry, stop: &StopToken) {
        let mut deletions = Deletions::default();
        let every = EVERY.min(forgetting::look_every(topics.erased_within) * 2);
        let mut wait = FIRST_EVERY.min(every);
        while !stop.wait(wait) {
            let below = deletions.due(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone());
            if below.is_empty() {
                continue;
            }
            match admin.delete_records(topics, &below) {
                Ok(refused) => deletions.answered(below, refused, |topic| &*topics.get(topic).name, telemetry),
                Err(error) => tracing::warn!("{error}"),
            }
            wait = every;
        }
    }
}

/// What was deleted, and what is refused.
#[derive(Debug, Default)]
struct Deletions {
    to: BTreeMap<TopicPartition, i64>,
    /// Why, as it was told.
    refused: BTreeMap<TopicIndex, String>,
}

impl Deletions {
    /// What is processed and not deleted yet.
    fn due(&self, processed: BTreeMap<TopicPartition, i64>) -> Vec<(TopicPartition, i64)> {
        processed.into_iter().filter(|(input, next)| self.to.get(input).is_none_or(|to| next > to)).collect()
    }

    /// The brokers answered. What they refuse is asked again; of each topic it is told when that begins, changes and is over.
    fn answered<'a>(
        &mut self,
        below: Vec<(TopicPartition, i64)>,
        refused: Vec<Undeleted>,
        name: impl Fn(TopicIndex) -> &'a str,
        telemetry: &Telemetry,
    ) {
        let asked: BTreeSet<TopicIndex> = below.iter().map(|(of, _)| of.topic).collect();
        self.to.extend(below.into_iter().filter(|(of, _)| refused.iter().all(|it| it.of != *of)));
        let mut now: BTreeMap<TopicIndex, String> = BTreeMap::new();
        for Undeleted { of, why } in refused {
            now.entry(of.topic).or_insert(why);
        }
        for topic in asked {
            match (self.refused.get(&topic), now.remove(&topic)) {
                (before, Some(why)) if before != Some(&why) => {
                    telemetry.emit(Event::ProcessedKept { topic: name(topic), message: &why });
                    self.refused.insert(topic, why);
                }
                (Some(_), None) => {
                    telemetry.emit(Event::ProcessedDeleted { topic: name(topic) });
                    self.refused.remove(&topic);
                }
                (_, _) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_asked_again_and_told_once_while_others_go_on() {
        let partition = |topic: u16, partition: i32| TopicPartition { topic: TopicIndex(topic), partition };
        let all = BTreeMap::from([(partition(0, 0), 7), (partition(0, 1), 8), (partition(1, 0), 9)]);
        let refused = |why: &str| Undeleted { of: partition(0, 1), why: why.to_owned() };
        let mut deletions = Deletions::default();
        let answered = |deletions: &mut Deletions, refused: Vec<Undeleted>| {
            let below = deletions.due(all.clone());
            deletions.answered(below, refused, |_| "topic", &Telemetry::new());
        };
        answered(&mut deletions, vec![refused("no right")]);
        assert_eq!(deletions.due(all.clone()), [(partition(0, 1), 8)]);
        assert_eq!(deletions.refused, BTreeMap::from([(TopicIndex(0), "no right".to_owned())]));
        answered(&mut deletions, vec![refused("no leader")]);
        assert_eq!(deletions.refused[&TopicIndex(0)], "no leader");
        answered(&mut deletions, Vec::new());
        assert_eq!((deletions.due(all.clone()), deletions.refused.len()), (Vec::new(), 0));
    }
}
