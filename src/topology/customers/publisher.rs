//! Turns effects of the customers stage into public records and batches.

use std::collections::BTreeMap;

use prometheus::IntCounter;

use super::super::{
    TopicMap, TopologyOptions,
    ingest::metrics_partition,
    messages::{
        Batch, Header,
        moves::{MoveBatch, ToLinks, VERSION_MOVES, VERSION_TO_LINKS, pieces},
        told::{self, Told},
    },
    sequence::Sequence,
};
use crate::{
    customers::{self, Item, SeenPair, WithdrawnPair},
    engine::{
        generation::Generation,
        log::{LogError, Output, Placement},
        stage::{Outputs, StageError},
        topics::TopicIndex,
    },
    feeds::{self, CE_ID, Encoder, FeedRecord, PersonTouchpoint},
    model::{
        Accumulator, Alert, AlertCause, AlertKey, CellKey, Contribution, Day, EventTime, Identifier, InsightRecord,
        Outcome, PersonId, Touchpoint, keys,
    },
    telemetry::Telemetry,
};

/// Turns effects into public records and batches.
pub(super) struct Publisher {
    pub(super) map: TopicMap,
    pub(super) touchpoints_feed: bool,
    pub(super) customers: Encoder<feeds::Customers>,
    pub(super) touchpoints: Encoder<feeds::Touchpoints>,
    pub(super) alerts: Encoder<feeds::Alerts>,
    pub(super) customers_partitions: i32,
    pub(super) metrics_partitions: i32,
    pub(super) batches: Vec<Batch>,
    /// For each partition of customers: what homes and persons tell each other.
    pub(super) moves: Vec<MoveBatch>,
    pub(super) to_links: MoveBatch,
    /// The newest accepted touchpoint that is known of: travels with moves, and to links.
    pub(super) as_of: Option<EventTime>,
    pub(super) record: Vec<u8>,
    pub(super) arrived: Day,
    /// What contributions are computed by; known once the stage starts.
    pub(super) generation: Option<Generation>,
    /// Of the oldest record in this transaction: what contributions are measured from.
    pub(super) timestamp_ms: i64,
    /// Of the oldest record that what is told to homes, persons and links now follows from; 0 if there is none.
    pub(super) follows_ms: i64,
    pub(super) sequence: Sequence,
    pub(super) outcomes: BTreeMap<(String, Day, Outcome), i64>,
    /// Whether what is folded has been counted before.
    pub(super) is_counted: bool,
    /// Touchpoints that an erasure took, or identifiers of them, by spoke.
    pub(super) erased: BTreeMap<String, u64>,
    /// Alerts that opened, and that are over, by cause.
    pub(super) alerted: BTreeMap<AlertCause, (u64, u64)>,
    /// Touchpoints that were moved, and forwarded.
    pub(super) sent: (u64, u64),
    pub(super) telemetry: Telemetry,
    pub(super) counters: BTreeMap<(String, Outcome), IntCounter>,
    /// What is to be counted once the running transaction is committed.
    pub(super) uncounted: Vec<(IntCounter, Outcome, u64)>,
}

/// The publisher with somewhere to send to, for the time of one call.
pub(super) struct Sending<'a, 'o> {
    pub(super) publisher: &'a mut Publisher,
    pub(super) outputs: &'a mut (dyn Outputs + 'o),
    pub(super) failure: Option<LogError>,
}

impl Sending<'_, '_> {
    pub(super) fn finish(self) -> Result<(), StageError> {
        match self.failure {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Adds a move for the task of a home or person.
    fn tell(&mut self, name: PersonId, add: impl FnOnce(&mut MoveBatch)) {
        let partition = partition_of(name, self.publisher.customers_partitions);
        let moves = &mut self.publisher.moves[partition];
        moves.follows_from(self.publisher.follows_ms);
        add(moves);
        if moves.is_full() {
            let sent = self.publisher.send_moves(partition, self.outputs);
            self.note(sent);
        }
    }

    /// Adds what links is told.
    fn tell_links(&mut self, told: &ToLinks<'_>) {
        let batch = &mut self.publisher.to_links;
        batch.follows_from(self.publisher.follows_ms);
        batch.to_links(told);
        if batch.is_full() {
            let sent = self.publisher.send_to_links(self.outputs);
            self.note(sent);
        }
    }

    fn note(&mut self, outcome: Result<(), LogError>) {
        if let Err(error) = outcome {
            self.failure.get_or_insert(error);
        }
    }
}

impl customers::Effects for Sending<'_, '_> {
    fn touchpoint(&mut self, person: PersonId, touchpoint: &Touchpoint<'_>) {
        if !self.publisher.touchpoints_feed {
            return;
        }
        let key = keys::touchpoint(person, touchpoint.spoke, touchpoint.id);
        let publisher = &mut *self.publisher;
        let shape = PersonTouchpoint { person, touchpoint };
        publisher.touchpoints.encode(&shape);
        let sent = send_feed(
            self.outputs,
            publisher.map.touchpoints_feed,
            &publisher.touchpoints,
            key.as_bytes(),
            publisher.sequence.take(),
        );
        self.note(sent);
    }

    fn touchpoint_gone(&mut self, person: PersonId, spoke: &str, id: &str) {
        if !self.publisher.touchpoints_feed {
            return;
        }
        let key = keys::touchpoint(person, spoke, id);
        let gone = send_tombstone::<feeds::Touchpoints>(
            self.outputs,
            self.publisher.map.touchpoints_feed,
            &self.publisher.touchpoints,
            key.as_bytes(),
            self.publisher.sequence.take(),
        );
        self.note(gone);
    }

    fn record_gone(&mut self, person: PersonId) {
        let gone = send_tombstone::<feeds::Customers>(
            self.outputs,
            self.publisher.map.customers_feed,
            &self.publisher.customers,
            &person.hexadecimal(),
            self.publisher.sequence.take(),
        );
        self.note(gone);
    }

    fn alert(&mut self, alert: &Alert<'_>) {
        let publisher = &mut *self.publisher;
        publisher.alerts.encode(alert);
        let (topic, key) = (publisher.map.alerts_feed, alert.key().to_string());
        let sent = send_feed(self.outputs, topic, &publisher.alerts, key.as_bytes(), publisher.sequence.take());
        if alert.revision == 1 {
            publisher.alerted.entry(alert.cause).or_default().0 += 1;
        }
        self.note(sent);
    }

    fn alert_gone(&mut self, key: &AlertKey, cause: AlertCause) {
        let publisher = &mut *self.publisher;
        publisher.alerted.entry(cause).or_default().1 += 1;
        let (topic, key) = (publisher.map.alerts_feed, key.to_string());
        let gone = send_tombstone(self.outputs, topic, &publisher.alerts, key.as_bytes(), publisher.sequence.take());
        self.note(gone);
    }

    fn erased(&mut self, spoke: &str) {
        if self.publisher.is_counted {
            return;
        }
        *self.publisher.erased.entry(spoke.to_owned()).or_default() += 1;
    }

    fn pairs(&mut self, home: Identifier<'_>, pairs: &[SeenPair<'_>]) {
        let bytes = |(one, other, _, by): &SeenPair<'_>| {
            one.value.len() + other.value.len() + by.map_or(0, |(spoke, id)| spoke.len() + id.len()) + PAIR_BYTES
        };
        for (pairs, _) in pieces(pairs, bytes) {
            self.tell_links(&ToLinks::Seen { home, pairs: pairs.to_vec() });
        }
    }

    fn withdraw(&mut self, home: PersonId, pairs: &[WithdrawnPair]) {
        for (pairs, _) in pieces(pairs, |_| size_of::<WithdrawnPair>()) {
            self.tell_links(&ToLinks::Withdraw { home, pairs: pairs.to_vec() });
        }
    }

    fn put(&mut self, person: PersonId, home: PersonId, items: &[Item<'_>], moved: bool, more: bool) {
        let sent = if moved { &mut self.publisher.sent.0 } else { &mut self.publisher.sent.1 };
        *sent += items.len() as u64;
        // Whoever gets a piece knows by `more` that the rest of the home's is on its way.
        for (piece, is_last) in pieces(items, |item| item.encoded.len() + ITEM_BYTES) {
            self.tell(person, |moves| moves.put(person, home, piece, more || !is_last));
        }
    }

    fn drop_fragment(&mut self, person: PersonId, home: PersonId, more: bool) {
        self.tell(person, |moves| moves.drop_fragment(person, home, more));
    }

    fn settled(&mut self, person: PersonId, home: PersonId, version: u64) {
        self.tell(person, |moves| moves.settled(person, home, version));
    }

    fn more(&mut self, home: PersonId) {
        self.tell(home, |moves| moves.more(home));
    }

    fn record(&mut self, person: PersonId, record: &InsightRecord) {
        let publisher = &mut *self.publisher;
        publisher.customers.encode(record);
        let sent = send_feed(
            self.outputs,
            publisher.map.customers_feed,
            &publisher.customers,
            &person.hexadecimal(),
            publisher.sequence.take(),
        );
        self.note(sent);
    }

    fn outcome(&mut self, spoke: &str, outcome: Outcome) {
        let publisher = &mut *self.publisher;
        if publisher.is_counted {
            return;
        }
        *publisher.outcomes.entry((spoke.to_owned(), publisher.arrived, outcome)).or_default() += 1;
    }

    fn contribution(&mut self, cell: CellKey<'_>, add: &Accumulator) {
        let partition = metrics_partition(&cell, self.publisher.metrics_partitions);
        let index = usize::try_from(partition).expect("a partition is not negative");
        let to = if cell.is_for_all() { 0..self.publisher.batches.len() } else { index..index + 1 };
        for index in to {
            let batch = &mut self.publisher.batches[index];
            batch.push_contribution(&Contribution { cell, add: add.clone() });
            if batch.is_full() {
                let header = Header::timeless(self.publisher.arrived, self.publisher.generation);
                let sent = self.publisher.send_batch(index, &header, self.outputs);
                self.note(sent);
            }
        }
    }
}

/// What a pair takes besides its values, and a touchpoint besides its internal form, at most.
const PAIR_BYTES: usize = 24;
const ITEM_BYTES: usize = 20;

/// Sends what an encoder holds.
pub fn send_feed<F: FeedRecord>(
    outputs: &mut dyn Outputs,
    topic: TopicIndex,
    encoder: &Encoder<F>,
    key: &[u8],
    sequence: u64,
) -> Result<(), LogError> {
    send_value(outputs, topic, encoder, key, sequence, Some(encoder.encoded()))
}

/// Which partition of customers a home or person lives on.
pub fn partition_of(name: PersonId, partitions: i32) -> usize {
    usize::try_from(name.placement() % u64::from(partitions.unsigned_abs())).expect("less than a number of partitions")
}

/// Says that nothing is left under a key.
pub fn send_tombstone<F: FeedRecord>(
    outputs: &mut dyn Outputs,
    topic: TopicIndex,
    encoder: &Encoder<F>,
    key: &[u8],
    sequence: u64,
) -> Result<(), LogError> {
    send_value(outputs, topic, encoder, key, sequence, None)
}

fn send_value<F: FeedRecord>(
    outputs: &mut dyn Outputs,
    topic: TopicIndex,
    encoder: &Encoder<F>,
    key: &[u8],
    sequence: u64,
    value: Option<&[u8]>,
) -> Result<(), LogError> {
    let id = feeds::event_id(key, sequence, value);
    let statics = encoder.feed_headers();
    let mut headers: smallvec::SmallVec<[(&str, &[u8]); 8]> = smallvec::SmallVec::new();
    headers.extend(statics.iter().map(|(name, value)| (*name, value.as_ref())));
    headers.push((CE_ID, &id));
    outputs.send(&Output { topic, placement: Placement::ByKey, key, value, headers: &headers, timestamp_ms: None })
}

impl Publisher {
    pub(super) fn new(options: &TopologyOptions, map: TopicMap) -> Publisher {
        fn batches<T: Default>(partitions: i32) -> Vec<T> {
            let partitions = usize::try_from(partitions).expect("a topic has a positive number of partitions");
            std::iter::repeat_with(T::default).take(partitions).collect()
        }
        Publisher {
            map,
            touchpoints_feed: options.touchpoints_feed,
            customers: Encoder::new(options.feed_format, &options.application_id).naming(options.names.clone()),
            touchpoints: Encoder::new(options.feed_format, &options.application_id).naming(options.names.clone()),
            alerts: Encoder::new(options.feed_format, &options.application_id).naming(options.names.clone()),
            customers_partitions: options.customers_partitions,
            metrics_partitions: options.metrics_partitions,
            batches: batches(options.metrics_partitions),
            moves: batches(options.customers_partitions),
            to_links: MoveBatch::default(),
            as_of: None,
            record: Vec::new(),
            arrived: Day(0),
            generation: None,
            timestamp_ms: 0,
            follows_ms: 0,
            sequence: Sequence::default(),
            outcomes: BTreeMap::new(),
            is_counted: false,
            erased: BTreeMap::new(),
            alerted: BTreeMap::new(),
            sent: (0, 0),
            telemetry: options.telemetry.clone(),
            counters: BTreeMap::new(),
            uncounted: Vec::new(),
        }
    }

    /// The transaction was rolled back.
    pub(super) fn clear(&mut self) {
        self.batches.iter_mut().for_each(Batch::clear);
        self.moves.iter_mut().for_each(MoveBatch::clear);
        self.to_links.clear();
        self.outcomes.clear();
        self.is_counted = false;
        self.erased.clear();
        self.alerted.clear();
        self.sent = (0, 0);
        self.uncounted.clear();
        self.sequence = Sequence::default();
        (self.timestamp_ms, self.follows_ms) = (0, 0);
    }

    fn moves_header(&self) -> Header {
        Header { as_of: self.as_of, ..Header::timeless(self.arrived, None) }
    }

    pub(super) fn send_moves(&mut self, partition: usize, outputs: &mut dyn Outputs) -> Result<(), LogError> {
        let header = self.moves_header();
        let oldest_ms = self.moves[partition].take(VERSION_MOVES, &header, &mut self.record);
        let partition = i32::try_from(partition).expect("it counts partitions of a topic");
        self.send_internal(self.map.customers_repartition, partition, oldest_ms, outputs)
    }

    pub(super) fn send_to_links(&mut self, outputs: &mut dyn Outputs) -> Result<(), LogError> {
        let header = self.moves_header();
        let oldest_ms = self.to_links.take(VERSION_TO_LINKS, &header, &mut self.record);
        self.send_internal(self.map.links_repartition, 0, oldest_ms, outputs)
    }

    /// `timestamp_ms`: the time of the source records, so that latency is measured from end to end.
    fn send_internal(
        &self,
        topic: TopicIndex,
        partition: i32,
        timestamp_ms: Option<i64>,
        outputs: &mut dyn Outputs,
    ) -> Result<(), LogError> {
        outputs.send(&Output {
            topic,
            placement: Placement::At(partition),
            key: &[],
            value: Some(&self.record),
            headers: &[],
            timestamp_ms,
        })
    }

    /// Everything that homes, persons and links are still to be told; links also of the time alone.
    pub(super) fn send_all_moves(&mut self, tell_links: bool, outputs: &mut dyn Outputs) -> Result<(), LogError> {
        for partition in 0..self.moves.len() {
            if !self.moves[partition].is_empty() {
                self.send_moves(partition, outputs)?;
            }
        }
        if self.to_links.is_empty() && !tell_links { Ok(()) } else { self.send_to_links(outputs) }
    }

    pub(super) fn send_batch(
        &mut self,
        index: usize,
        header: &Header,
        outputs: &mut dyn Outputs,
    ) -> Result<(), LogError> {
        self.batches[index].take(header, &mut self.record);
        let partition = i32::try_from(index).expect("it counts partitions of a topic");
        let oldest_ms = (self.timestamp_ms > 0).then_some(self.timestamp_ms);
        self.send_internal(self.map.metrics_repartition, partition, oldest_ms, outputs)
    }

    /// A word to every partition of metrics.
    pub(super) fn tell_metrics(&mut self, told: &Told, outputs: &mut dyn Outputs) -> Result<(), LogError> {
        told::encode(told, &mut self.record);
        let oldest_ms = (self.timestamp_ms > 0).then_some(self.timestamp_ms);
        (0..self.metrics_partitions)
            .try_for_each(|partition| self.send_internal(self.map.metrics_repartition, partition, oldest_ms, outputs))
    }
}
