//! Operators' commands in; orders to links, and what was seen of alerts to customers, out. A built-in spoke: one partition,
//! read in order.

use super::{
    TopicMap, TopologyOptions,
    messages::{
        self, Header,
        moves::{MoveBatch, Order, ToLinks, VERSION_MOVES, VERSION_TO_LINKS},
        told::{self, Told},
    },
};
use crate::{
    engine::{
        log::{Output, Placement, Record},
        stage::{Outputs, Stage, StageError},
        store::Store,
    },
    feeds::{DeadLetter, Enclosed},
    links::Rules,
    model::{self, Acknowledgement, CommandRecord, Day, EventTime, Reason},
    telemetry::{Event, Telemetry},
};

/// What commands are called among spokes.
const SPOKE: &str = "commands";

pub(super) struct CommandsStage {
    map: TopicMap,
    topic: std::sync::Arc<str>,
    batch: MoveBatch,
    /// What every partition of customers is told.
    to_all: MoveBatch,
    customers_partitions: i32,
    /// What every partition of metrics is told.
    seen: Vec<Told>,
    metrics_partitions: i32,
    links: Rules,
    record: Vec<u8>,
    telemetry: Telemetry,
    /// Of the running transaction: field and offset of what is no command.
    rejected: Vec<(&'static str, i64)>,
}

impl CommandsStage {
    pub(super) fn new(options: &TopologyOptions, map: TopicMap, topic: std::sync::Arc<str>) -> CommandsStage {
        CommandsStage {
            map,
            topic,
            batch: MoveBatch::default(),
            to_all: MoveBatch::default(),
            customers_partitions: options.customers_partitions,
            seen: Vec::new(),
            metrics_partitions: options.metrics_partitions,
            links: options.links.clone(),
            record: Vec::new(),
            telemetry: options.telemetry.clone(),
            rejected: Vec::new(),
        }
    }

    fn send(&mut self, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        self.batch.take(VERSION_TO_LINKS, &Header::timeless(Day(0), None), &mut self.record);
        Ok(outputs.send(&Output {
            topic: self.map.links_repartition,
            placement: Placement::At(0),
            key: &[],
            value: Some(&self.record),
            headers: &[],
            timestamp_ms: None,
        })?)
    }

    /// An alert's id does not say on which partition its person or metric is.
    fn send_to_all(&mut self, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        self.to_all.take(VERSION_MOVES, &Header::timeless(Day(0), None), &mut self.record);
        let topic = self.map.customers_repartition;
        messages::send_to_all(outputs, topic, self.customers_partitions, &self.record)?;
        for seen in self.seen.drain(..) {
            told::encode(&seen, &mut self.record);
            messages::send_to_all(outputs, self.map.metrics_repartition, self.metrics_partitions, &self.record)?;
        }
        Ok(())
    }

    /// A command about identifiers that this hub has.
    fn parse(&self, value: &[u8]) -> Result<CommandRecord, (&'static str, String)> {
        let command = CommandRecord::parse(value)?;
        if command.order.kinds().any(|kind| !self.links.has(kind)) {
            return Err(("identifier", "it names a type of identifiers that is not in identity.types".to_owned()));
        }
        Ok(command)
    }

    fn take(&mut self, command: &CommandRecord, number: u64, at: EventTime) {
        let named = |pairs: &[(model::Name, model::Name)]| {
            pairs.iter().map(|(a, b)| ((a.kind, a.id), (b.kind, b.id))).collect()
        };
        let order = match &command.order {
            model::Order::Link { pairs } => Order::Link(named(pairs)),
            model::Order::NeverLink { pairs } => Order::NeverLink(named(pairs)),
            model::Order::Undo { undo } => Order::Undo(undo),
            model::Order::Erase { identifier } => Order::Erase(identifier.id),
            model::Order::Acknowledge { alert, by } => {
                let acknowledgement = Acknowledgement { number, at, by: by.clone() };
                self.to_all.acknowledged(alert.0, &acknowledgement);
                self.seen.push(Told::Acknowledged(alert.0, acknowledgement));
                return;
            }
        };
        self.batch.to_links(&ToLinks::Command { number, id: &command.id, order, at });
    }
}

impl Stage for CommandsStage {
    fn process(&mut self, record: &Record<'_>, _: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        match self.parse(record.value.unwrap_or_default()) {
            Ok(command) => {
                self.take(&command, record.offset.unsigned_abs(), EventTime(record.timestamp_ms));
                if self.batch.is_full() {
                    self.send(outputs)?;
                }
                if self.to_all.is_full() {
                    self.send_to_all(outputs)?;
                }
                Ok(())
            }
            Err((field, message)) => {
                self.rejected.push((field, record.offset));
                let letter = DeadLetter {
                    topic: &self.topic,
                    partition: record.from.partition,
                    offset: record.offset,
                    timestamp_ms: record.timestamp_ms,
                    touchpoint: 0,
                    spoke: SPOKE,
                    reason: Reason::WrongType,
                    field,
                    message: &message,
                    source_key: record.key,
                };
                let (partition, offset) = (record.from.partition, record.offset);
                let enclosed = Enclosed { partition, offset, value: record.value, headers: Vec::new() };
                let (value, headers) = letter.enclose(enclosed);
                let headers: Vec<(&str, &[u8])> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                Ok(outputs.send(&Output {
                    topic: self.map.rejected_feed,
                    placement: Placement::ByKey,
                    key: letter.key().as_bytes(),
                    value,
                    headers: &headers,
                    timestamp_ms: None,
                })?)
            }
        }
    }

    fn prepare_commit(&mut self, _: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError> {
        if !self.batch.is_empty() {
            self.send(outputs)?;
        }
        if !self.to_all.is_empty() {
            self.send_to_all(outputs)?;
        }
        Ok(false)
    }

    fn post_commit(&mut self) {
        for (field, offset) in self.rejected.drain(..) {
            let reason = Reason::WrongType.as_str();
            self.telemetry.emit(Event::TouchpointRejected { spoke: SPOKE, reason, field, partition: 0, offset });
        }
    }

    fn rolled_back(&mut self) {
        self.batch.clear();
        self.to_all.clear();
        self.seen.clear();
        self.rejected.clear();
    }
}
