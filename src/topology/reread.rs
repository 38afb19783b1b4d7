//! The stage that reads departments' topics again: source records in; batches of touchpoints of a new reading out.
//!
//! It maps as ingest does and tells nobody but customers: what arrived was counted when it arrived, and a dead letter was
//! written if it could not be taken. How far it is goes to one customers partition with every commit, so that it goes on
//! there; that it is at the end goes to all of them, after its last touchpoint.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    TopicMap, TopologyOptions,
    ingest::{HeaderView, origin},
    messages::{Batch, Header},
    readings::{Far, Reading, Rereading, Says, VERSION_OF_A_READING},
    watermarks::source_number,
};
use crate::{
    engine::{
        log::{LogError, Output, Placement, Record, TopicPartition},
        reread::Span,
        stage::{Outputs, Stage, StageError},
        store::Store,
        topics::Topics,
    },
    ingest::{Mapped, SourceRecord, SpokeSet},
    model::{Day, EventTime, Outcome, PersonKey, Reason},
};

pub(super) fn maker(
    options: &TopologyOptions,
    map: TopicMap,
    topics: &Topics,
    rereading: &Arc<Rereading>,
) -> Arc<dyn Fn(TopicPartition) -> Box<dyn Stage> + Send + Sync> {
    let (options, rereading) = (options.clone(), rereading.clone());
    let names: BTreeMap<_, Arc<str>> = topics.iter().map(|(index, spec)| (index, spec.name.clone())).collect();
    let spokes = options.spokes.now();
    let partitions =
        usize::try_from(options.customers_partitions).expect("a topic has a positive number of partitions");
    Arc::new(move |input| {
        let topic = names[&input.topic].clone();
        Box::new(RereadStage {
            input,
            spoke: spokes.of_topic(&topic).map(|spoke| spoke.name().to_owned()).unwrap_or_default(),
            topic,
            map,
            spokes: spokes.clone(),
            person_key: options.person_key.clone(),
            rereading: rereading.clone(),
            span: Span { wanted: 0, from: 0, to: 0 },
            missing: 0,
            next: 0,
            has_ended: false,
            as_of: None,
            batches: std::iter::repeat_with(Batch::default).take(partitions).collect(),
            record: Vec::new(),
            outcomes: BTreeMap::new(),
            rejections: BTreeMap::new(),
        })
    })
}

/// One source partition that is read again.
struct RereadStage {
    input: TopicPartition,
    spoke: String,
    topic: Arc<str>,
    map: TopicMap,
    /// The mapping of now: nobody replaces it while this runs.
    spokes: Arc<SpokeSet>,
    person_key: PersonKey,
    rereading: Arc<Rereading>,
    span: Span,
    /// Offsets at its beginning that were removed before they were read again.
    missing: i64,
    /// The offset after the last record taken.
    next: i64,
    /// Whether the end is reached and is to be told with the next commit.
    has_ended: bool,
    /// The newest touchpoint of this partition.
    as_of: Option<EventTime>,
    batches: Vec<Batch>,
    record: Vec<u8>,
    /// Of the running transaction.
    outcomes: BTreeMap<Outcome, u64>,
    rejections: BTreeMap<Reason, u64>,
}

/// What goes with a batch.
#[derive(Clone, Copy)]
enum Word {
    Touchpoints,
    Progress,
    Ended,
}

impl RereadStage {
    fn reading(&self) -> Result<Reading<'_>, StageError> {
        let undecided = || StageError::Stop(format!("{} is read again before it is decided how", self.topic));
        self.rereading.reading(&self.spoke).ok_or_else(undecided)
    }

    fn send(&mut self, partition: usize, word: Word, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        // It says nothing of a watermark: ingest goes on where this ends.
        let header = Header { as_of: self.as_of, ..Header::timeless(Day(0), None) };
        let mut batch = std::mem::take(&mut self.batches[partition]);
        let mut record = std::mem::take(&mut self.record);
        batch.take_with(VERSION_OF_A_READING, &header, &self.says(word)?, &mut record);
        let sent = self.output(partition, &record, outputs);
        (self.batches[partition], self.record) = (batch, record);
        Ok(sent?)
    }

    fn says(&self, word: Word) -> Result<Says<'_>, StageError> {
        let (reading, partition) = (self.reading()?, self.input.partition);
        let far = Far { next: self.next, missing: self.missing };
        Ok(match word {
            Word::Touchpoints => Says::Touchpoints { reading },
            Word::Progress => Says::Progress { reading, partition, far },
            Word::Ended => {
                let (partitions, keeps) = self.rereading.ended(&self.spoke, far.missing);
                Says::Ended { reading, partition, partitions, missing: far.missing, keeps }
            }
        })
    }

    fn output(&self, partition: usize, record: &[u8], outputs: &mut dyn Outputs) -> Result<(), LogError> {
        outputs.send(&Output {
            topic: self.map.customers_repartition,
            placement: Placement::At(i32::try_from(partition).expect("it counts partitions of a topic")),
            key: &[],
            value: Some(record),
            headers: &[],
            timestamp_ms: None,
        })
    }
}

impl Stage for RereadStage {
    fn process(&mut self, record: &Record<'_>, _: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let (spokes, topic) = (self.spokes.clone(), self.topic.clone());
        let Some(spoke) = spokes.of_topic(&topic) else {
            return Err(StageError::Stop(format!("no spoke reads topic {topic}")));
        };
        let origin = origin(&topic, record);
        let source = SourceRecord {
            topic: &topic,
            partition: origin.partition,
            offset: origin.offset,
            timestamp_ms: origin.timestamp_ms,
            key: record.key,
            payload: record.value,
            headers: &HeaderView(record.headers),
        };
        let mut failure = Ok(());
        let mapped = spoke.map(&source, &mut |mapped| {
            if failure.is_err() {
                return;
            }
            let outcome = match mapped {
                Mapped::Touchpoint(touchpoint) => {
                    let person = self.person_key.person(touchpoint.home());
                    let partition = usize::try_from(person.placement() % self.batches.len() as u64)
                        .expect("less than a number of partitions");
                    self.as_of = self.as_of.max(Some(touchpoint.occurred_at));
                    self.batches[partition]
                        .push_touchpoint(person, |bytes| touchpoint.encode_kept_into(&self.person_key, bytes));
                    if self.batches[partition].is_full() {
                        failure = self.send(partition, Word::Touchpoints, outputs);
                    }
                    Outcome::Accepted
                }
                Mapped::Skipped(_) => Outcome::Skipped,
                Mapped::Rejected(rejection) => {
                    *self.rejections.entry(rejection.reason).or_default() += 1;
                    Outcome::Rejected
                }
            };
            *self.outcomes.entry(outcome).or_default() += 1;
        });
        if let Err(not_yet) = mapped {
            return Err(StageError::NotYet(not_yet.to_string()));
        }
        self.next = record.offset + 1;
        failure
    }

    fn prepare_commit(&mut self, _: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError> {
        if self.span.to == 0 && !self.has_ended {
            return Ok(false); // nothing was begun
        }
        for partition in 0..self.batches.len() {
            if !self.batches[partition].is_empty() {
                self.send(partition, Word::Touchpoints, outputs)?;
            }
        }
        if self.has_ended {
            for receiver in 0..self.batches.len() {
                self.send(receiver, Word::Ended, outputs)?;
            }
        } else {
            let number = usize::try_from(source_number(&self.topic, self.input.partition)).expect("four bytes are few");
            self.send(number % self.batches.len(), Word::Progress, outputs)?;
        }
        Ok(false)
    }

    fn rereads(&mut self, span: Span) {
        self.span = span;
        self.next = span.from;
        let known = self.rereading.far(self.input).unwrap_or_default();
        self.missing = known.missing + (span.from - span.wanted).max(0);
        self.rereading.spans(self.input, span.from, span.to);
    }

    fn reread_ended(&mut self) {
        self.has_ended = true;
        self.next = self.span.to;
    }

    fn post_commit(&mut self) {
        let (outcomes, rejections) = (std::mem::take(&mut self.outcomes), std::mem::take(&mut self.rejections));
        self.rereading.read(self.input, self.next, &self.spoke, &outcomes, &rejections);
        self.span.from = self.next;
        self.has_ended = false;
    }

    fn rolled_back(&mut self) {
        self.batches.iter_mut().for_each(Batch::clear);
        self.outcomes.clear();
        self.rejections.clear();
        self.next = self.span.from;
        self.has_ended = false;
    }
}
