//! The links stage on the engine: pairs of identifiers and operators' commands in; assignments, erasures, identities and their
//! journal out.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    TopicMap, TopologyOptions,
    customers::{partition_of, send_feed, send_tombstone},
    messages::{
        Header,
        moves::{self, MoveBatch, Name, Order, ToLinks, VERSION_MOVES, VERSION_TO_LINKS},
    },
    store_view::StoreView,
};
use crate::{
    customers::Assignment,
    engine::{
        log::{LogError, Output, Placement, Record, TopicPartition},
        stage::{Outputs, Stage, StageError},
        store::Store,
    },
    feeds::{self, Encoder, Identity},
    links::{self, Assigned, Command, Counted, Links, Target},
    model::{Day, EventTime, IdentityState, JournalEntry, PersonId, StoreError},
    telemetry::{Event, Telemetry},
};

/// The newest accepted touchpoint that the stage was told of.
const AS_OF_KEY: &[u8] = b"\x01as-of";

/// From so many identifiers on that are to be published the stage asks for a commit …
const UNPUBLISHED_MAX: usize = 5_000;

/// … or from so many bytes of pairs on: each may have a person resolved anew, and a transaction must end before its timeout.
const TAKEN_BYTES_MAX: usize = 512 << 10;

pub(super) fn maker(
    options: &TopologyOptions,
    map: TopicMap,
) -> Arc<dyn Fn(TopicPartition) -> Box<dyn Stage> + Send + Sync> {
    let options = options.clone();
    Arc::new(move |_| {
        let partitions =
            usize::try_from(options.customers_partitions).expect("a topic has a positive number of partitions");
        Box::new(LinksStage {
            links: Links::new(options.links.clone(), options.person_key.clone()),
            as_of: None,
            taken_bytes: 0,
            publisher: Publisher {
                map,
                customers_partitions: options.customers_partitions,
                moves: std::iter::repeat_with(MoveBatch::default).take(partitions).collect(),
                identities: Encoder::new(options.feed_format, &options.application_id).naming(options.names.clone()),
                journal: Encoder::new(options.feed_format, &options.application_id).naming(options.names.clone()),
                header: Header::timeless(Day(0), None),
                follows_ms: 0,
                sequence: 0,
                lines: 0,
                record: Vec::new(),
                counted: Vec::new(),
            },
            telemetry: options.telemetry.clone(),
        })
    })
}

struct LinksStage {
    links: Links,
    /// `None` until it was read from the store.
    as_of: Option<Option<EventTime>>,
    /// Bytes of pairs taken in this transaction.
    taken_bytes: usize,
    publisher: Publisher,
    telemetry: Telemetry,
}

/// Turns effects into public records and moves.
struct Publisher {
    map: TopicMap,
    customers_partitions: i32,
    moves: Vec<MoveBatch>,
    identities: Encoder<feeds::Identities>,
    journal: Encoder<feeds::IdentityJournal>,
    header: Header,
    /// The timestamp of the record that is being taken.
    follows_ms: i64,
    /// The offset of the last record, and the lines of the journal that it caused: together they tell its entries apart.
    sequence: u64,
    lines: u64,
    record: Vec<u8>,
    /// What is to be counted once the running transaction is committed.
    counted: Vec<Counted>,
}

impl Publisher {
    fn send_moves(&mut self, partition: usize, outputs: &mut dyn Outputs) -> Result<(), LogError> {
        let timestamp_ms = self.moves[partition].take(VERSION_MOVES, &self.header, &mut self.record);
        outputs.send(&Output {
            topic: self.map.customers_repartition,
            placement: Placement::At(i32::try_from(partition).expect("it counts partitions of a topic")),
            key: &[],
            value: Some(&self.record),
            headers: &[],
            timestamp_ms,
        })
    }
}

struct Sending<'a, 'o> {
    publisher: &'a mut Publisher,
    outputs: &'a mut (dyn Outputs + 'o),
    failure: Option<LogError>,
}

impl Sending<'_, '_> {
    fn finish(self) -> Result<(), StageError> {
        self.failure.map_or(Ok(()), |error| Err(error.into()))
    }

    fn note(&mut self, outcome: Result<(), LogError>) {
        if let Err(error) = outcome {
            self.failure.get_or_insert(error);
        }
    }

    fn tell(&mut self, home: PersonId, add: impl FnOnce(&mut MoveBatch)) {
        let partition = partition_of(home, self.publisher.customers_partitions);
        let moves = &mut self.publisher.moves[partition];
        moves.follows_from(self.publisher.follows_ms);
        add(moves);
        if moves.is_full() {
            let sent = self.publisher.send_moves(partition, self.outputs);
            self.note(sent);
        }
    }
}

impl links::Effects for Sending<'_, '_> {
    fn assign(&mut self, home: PersonId, assigned: Assigned) {
        let Assigned { from, from_expects, person, expects, version } = assigned;
        let assignment = Assignment { person, version, from: from_expects.then_some(from), expects };
        self.tell(home, |moves| moves.assign(home, assignment));
    }

    fn expect(&mut self, person: PersonId, version: u64, homes: u32) {
        self.tell(person, |moves| moves.expect(person, version, homes));
    }

    fn erased(&mut self, home: PersonId, erased: &[(PersonId, EventTime)]) {
        for (erased, _) in moves::pieces(erased, |_| size_of::<(PersonId, EventTime)>()) {
            self.tell(home, |moves| moves.erased(home, erased));
        }
    }

    fn identity(&mut self, key: PersonId, state: &IdentityState<'_>) {
        let publisher = &mut *self.publisher;
        let (topic, name) = (publisher.map.identities_feed, key.hexadecimal());
        let sent = if *state == IdentityState::Gone {
            send_tombstone(self.outputs, topic, &publisher.identities, &name, publisher.sequence)
        } else {
            publisher.identities.encode(&Identity { key, state });
            send_feed(self.outputs, topic, &publisher.identities, &name, publisher.sequence)
        };
        self.note(sent);
    }

    fn journal(&mut self, entry: &JournalEntry<'_>) {
        let publisher = &mut *self.publisher;
        publisher.journal.encode(entry);
        publisher.lines += 1;
        let name = feeds::IdentityJournal::key(entry).hexadecimal();
        let sequence = publisher.sequence << 20 | publisher.lines & ((1 << 20) - 1);
        let sent = send_feed(self.outputs, publisher.map.journal_feed, &publisher.journal, &name, sequence);
        self.note(sent);
    }

    fn counted(&mut self, event: Counted) {
        self.publisher.counted.push(event);
    }
}

fn stop(error: StoreError) -> StageError {
    StageError::Stop(error.to_string())
}

impl LinksStage {
    fn take_as_of(&mut self, header: &Header, store: &mut Store) -> Result<Option<EventTime>, StageError> {
        let known = match self.as_of {
            Some(known) => known,
            None => {
                let stored = store.get(AS_OF_KEY).map_err(|error| StageError::Stop(error.to_string()))?;
                let stored = stored.map(|bytes| bytes.as_ref().try_into().map(i64::from_be_bytes)).transpose();
                stored.map_err(|_| StageError::Stop("a stored time cannot be read".into()))?.map(EventTime)
            }
        };
        let as_of = known.max(header.as_of);
        if let Some(at) = as_of
            && as_of != known
        {
            store.put(AS_OF_KEY, &at.0.to_be_bytes());
        }
        self.as_of = Some(as_of);
        Ok(as_of)
    }
}

impl Stage for LinksStage {
    fn process(&mut self, record: &Record<'_>, store: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let (header, mut entries) = moves::open(VERSION_TO_LINKS, record.value.unwrap_or_default())?;
        let as_of = self.take_as_of(&header, store)?;
        self.taken_bytes += entries.len();
        let publisher = &mut self.publisher;
        publisher.header = Header { as_of, ..Header::timeless(header.arrived, None) };
        publisher.follows_ms = record.timestamp_ms;
        (publisher.sequence, publisher.lines) = (u64::try_from(record.offset).unwrap_or_default(), 0);
        let mut view = StoreView(store);
        let mut sending = Sending { publisher, outputs, failure: None };
        while let Some(told) = moves::next_to_links(&mut entries)? {
            match told {
                ToLinks::Pairs { home, pairs } => {
                    let pairs: Vec<_> = pairs.into_iter().map(|(one, other, at)| (one, other, at, None)).collect();
                    self.links.pairs(home, &pairs, &mut view, &mut sending)
                }
                ToLinks::Seen { home, pairs } => self.links.pairs(home, &pairs, &mut view, &mut sending),
                ToLinks::Withdraw { home, pairs } => self.links.withdraw(home, &pairs, &mut view, &mut sending),
                ToLinks::Command { number, id, order, at } => {
                    let targets = |pairs: &[(Name, Name)]| -> Vec<(Target, Target)> {
                        let target = |(kind, id): Name| Target { kind, id };
                        pairs.iter().map(|(one, other)| (target(*one), target(*other))).collect()
                    };
                    let pairs = match &order {
                        Order::Link(pairs) | Order::NeverLink(pairs) => targets(pairs),
                        Order::Undo(_) | Order::Erase(_) => Vec::new(),
                    };
                    let command = match &order {
                        Order::Link(_) => Command::Link(&pairs),
                        Order::NeverLink(_) => Command::NeverLink(&pairs),
                        Order::Undo(id) => Command::Undo(id),
                        Order::Erase(identifier) => Command::Erase(*identifier),
                    };
                    // What was accepted before the erasure is erased, also where it happened later than the command was given.
                    let at = as_of.map_or(at, |as_of| as_of.max(at));
                    self.links.command(number, id, &command, at, &mut view, &mut sending)
                }
            }
            .map_err(stop)?;
        }
        sending.finish()?;
        self.publisher.follows_ms = 0;
        Ok(())
    }

    fn prepare_commit(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError> {
        let mut sending = Sending { publisher: &mut self.publisher, outputs: &mut *outputs, failure: None };
        self.links.publish(&mut StoreView(store), &mut sending).map_err(stop)?;
        sending.finish()?;
        for partition in 0..self.publisher.moves.len() {
            if !self.publisher.moves[partition].is_empty() {
                self.publisher.send_moves(partition, outputs)?;
            }
        }
        Ok(false)
    }

    fn post_commit(&mut self) {
        self.taken_bytes = 0;
        let (mut linked, mut unlinked, mut homes_moved) = (0, 0, 0);
        let mut refused: BTreeMap<String, u64> = BTreeMap::new();
        for event in self.publisher.counted.drain(..) {
            match event {
                Counted::Linked => linked += 1,
                Counted::Unlinked => unlinked += 1,
                Counted::Moved => homes_moved += 1,
                Counted::Refused(rule) => *refused.entry(rule.to_string()).or_default() += 1,
                Counted::TookNothingBack => *refused.entry("undo_of_nothing".to_owned()).or_default() += 1,
                Counted::IdUsedBefore => *refused.entry("id_used_before".to_owned()).or_default() += 1,
                Counted::Lifted(_) => {}
                Counted::PersonOf(identifiers) => self.telemetry.emit(Event::PersonGrew { identifiers }),
            }
        }
        if linked + unlinked + homes_moved > 0 {
            self.telemetry.emit(Event::LinksChanged { linked, unlinked, homes_moved });
        }
        for (rule, count) in refused {
            self.telemetry.emit(Event::LinksRefused { rule: &rule, count });
        }
    }

    fn rolled_back(&mut self) {
        self.taken_bytes = 0;
        self.links.rolled_back();
        self.as_of = None;
        self.publisher.moves.iter_mut().for_each(MoveBatch::clear);
        self.publisher.counted.clear();
    }

    fn wants_commit(&self) -> bool {
        self.links.unpublished() >= UNPUBLISHED_MAX || self.taken_bytes >= TAKEN_BYTES_MAX
    }
}
