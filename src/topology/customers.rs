//! The customers stage on the engine: batches of touchpoints in; public records, outcomes and contributions out.

mod rebuild;

use std::{collections::BTreeMap, sync::Arc};

use prometheus::IntCounter;

use super::{
    TopicMap, TopologyOptions,
    ingest::{metrics_partition, quality},
    messages::{self, Batch, Header},
    store_view::StoreView,
    watermarks::{Sources, Watermark, Watermarks},
};
use crate::{
    customers::{self, Customers, Incoming},
    engine::{
        generation::Generation,
        log::{LogError, Output, Placement, Record, TopicPartition},
        stage::{Migrated, Outputs, Stage, StageError},
        store::Store,
        topics::TopicIndex,
    },
    feeds::{self, CE_ID, Encoder, FeedRecord, PersonTouchpoint},
    model::{
        Accumulator, Calendar, CellKey, Contribution, Day, EventTime, InsightRecord, KeyValue, Outcome, PersonId,
        StoreError, Touchpoint, keys,
    },
    telemetry::{Event, Telemetry},
};

/// Timers that one commit fires at most: bounds the transaction when a day closes for everybody at once.
const TIMERS_PER_COMMIT: usize = 20_000;

/// The store keys of what the stage was told: its own, next to those of `customers`.
const AS_OF_KEY: &[u8] = b"\x01as-of";
const WATERMARK_PREFIX: &[u8] = b"\x01watermark";

pub(super) fn maker(
    options: &TopologyOptions,
    map: TopicMap,
) -> Arc<dyn Fn(TopicPartition) -> Box<dyn Stage> + Send + Sync> {
    let (options, sources) = (options.clone(), Arc::new(options.sources()));
    Arc::new(move |input| Box::new(CustomersStage::new(&options, sources.clone(), map, input)))
}

/// A transaction holds at most about so many bytes of touchpoints that wait for their fold.
const WAITING_BYTES_MAX: usize = 5 << 20;

struct CustomersStage {
    input: TopicPartition,
    customers: Customers,
    /// Entries of the batches of this transaction. They are folded together, once before the commit: a late touchpoint
    /// refolds what is after it, and many late ones of one person then share that work.
    waiting: Vec<u8>,
    publisher: Publisher,
    calendar: Calendar,
    /// `None` until it was read from the store.
    times: Option<Times>,
    /// Whom it waits for before a window is final.
    sources: Arc<Sources>,
    /// Whether a rebuild waits for other partitions.
    rebuilding: rebuild::Rebuilding,
    /// What every metrics partition was told last: days of as-of and watermark, and whether the latter is known.
    told: Option<((Option<Day>, Option<Day>), bool)>,
}

/// What the stage was told of time.
#[derive(Debug, Default)]
struct Times {
    as_of: Option<EventTime>,
    watermarks: Watermarks,
}

/// Turns effects into public records and batches.
struct Publisher {
    map: TopicMap,
    touchpoints_feed: bool,
    customers: Encoder<feeds::Customers>,
    touchpoints: Encoder<feeds::Touchpoints>,
    customers_partitions: i32,
    metrics_partitions: i32,
    batches: Vec<Batch>,
    record: Vec<u8>,
    arrived: Day,
    /// What contributions are computed by; known once the stage starts.
    generation: Option<Generation>,
    timestamp_ms: i64,
    sequence: u64,
    outcomes: BTreeMap<(String, Day, Outcome), i64>,
    telemetry: Telemetry,
    counters: BTreeMap<(String, Outcome), IntCounter>,
    /// What is to be counted once the running transaction is committed.
    uncounted: Vec<(IntCounter, Outcome, u64)>,
}

/// The publisher with somewhere to send to, for the time of one call.
struct Sending<'a, 'o> {
    publisher: &'a mut Publisher,
    outputs: &'a mut (dyn Outputs + 'o),
    failure: Option<LogError>,
}

impl Sending<'_, '_> {
    fn finish(self) -> Result<(), StageError> {
        match self.failure {
            Some(error) => Err(error.into()),
            None => Ok(()),
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
            publisher.sequence,
        );
        self.note(sent);
    }

    fn record(&mut self, person: PersonId, record: &InsightRecord) {
        let publisher = &mut *self.publisher;
        publisher.customers.encode(record);
        let sent = send_feed(
            self.outputs,
            publisher.map.customers_feed,
            &publisher.customers,
            &person.hexadecimal(),
            publisher.sequence,
        );
        self.note(sent);
    }

    fn outcome(&mut self, spoke: &str, outcome: Outcome) {
        let publisher = &mut *self.publisher;
        *publisher.outcomes.entry((spoke.to_owned(), publisher.arrived, outcome)).or_default() += 1;
    }

    fn contribution(&mut self, cell: CellKey<'_>, add: &Accumulator) {
        let partition = metrics_partition(&cell, self.publisher.metrics_partitions);
        let index = usize::try_from(partition).expect("a partition is not negative");
        let batch = &mut self.publisher.batches[index];
        batch.push_contribution(&Contribution { cell, add: add.clone() });
        if batch.is_full() {
            let header = Header::timeless(self.publisher.arrived, self.publisher.generation);
            let sent = self.publisher.send_batch(index, &header, self.outputs);
            self.note(sent);
        }
    }
}

/// Sends what an encoder holds.
pub(super) fn send_feed<F: FeedRecord>(
    outputs: &mut dyn Outputs,
    topic: TopicIndex,
    encoder: &Encoder<F>,
    key: &[u8],
    sequence: u64,
) -> Result<(), LogError> {
    let id = feeds::event_id(key, sequence, Some(encoder.encoded()));
    let statics = encoder.feed_headers();
    let mut headers: smallvec::SmallVec<[(&str, &[u8]); 8]> = smallvec::SmallVec::new();
    headers.extend(statics.iter().map(|(name, value)| (*name, value.as_ref())));
    headers.push((CE_ID, &id));
    outputs.send(&Output {
        topic,
        placement: Placement::ByKey,
        key,
        value: Some(encoder.encoded()),
        headers: &headers,
        timestamp_ms: None,
    })
}

impl Publisher {
    fn send_batch(&mut self, index: usize, header: &Header, outputs: &mut dyn Outputs) -> Result<(), LogError> {
        self.batches[index].take(header, &mut self.record);
        outputs.send(&Output {
            topic: self.map.metrics_repartition,
            placement: Placement::At(i32::try_from(index).expect("it counts partitions of a topic")),
            key: &[],
            value: Some(&self.record),
            headers: &[],
            // The time of the source records, so that latency is measured from end to end.
            timestamp_ms: (self.timestamp_ms > 0).then_some(self.timestamp_ms),
        })
    }
}

fn stop(error: StoreError) -> StageError {
    StageError::Stop(error.to_string())
}

impl CustomersStage {
    fn new(options: &TopologyOptions, sources: Arc<Sources>, map: TopicMap, input: TopicPartition) -> CustomersStage {
        let partitions =
            usize::try_from(options.metrics_partitions).expect("a topic has a positive number of partitions");
        CustomersStage {
            input,
            customers: Customers::new(options.customers.clone()),
            waiting: Vec::new(),
            publisher: Publisher {
                map,
                touchpoints_feed: options.touchpoints_feed,
                customers: Encoder::new(options.feed_format, &options.application_id),
                touchpoints: Encoder::new(options.feed_format, &options.application_id),
                customers_partitions: options.customers_partitions,
                metrics_partitions: options.metrics_partitions,
                batches: std::iter::repeat_with(Batch::default).take(partitions).collect(),
                record: Vec::new(),
                arrived: Day(0),
                generation: None,
                timestamp_ms: 0,
                sequence: 0,
                outcomes: BTreeMap::new(),
                telemetry: options.telemetry.clone(),
                counters: BTreeMap::new(),
                uncounted: Vec::new(),
            },
            calendar: options.calendar.clone(),
            times: None,
            sources,
            rebuilding: rebuild::Rebuilding::default(),
            told: None,
        }
    }

    fn times(&mut self, store: &mut Store) -> Result<&mut Times, StageError> {
        if self.times.is_none() {
            let view = StoreView(store);
            let mut times = Times { as_of: None, watermarks: Watermarks::new(self.sources.clone()) };
            if let Some(stored) = view.get(AS_OF_KEY).map_err(stop)? {
                times.as_of = Some(EventTime(i64::from_be_bytes(eight(&stored)?)));
            }
            let mut failure = None;
            view.scan(WATERMARK_PREFIX, b"\x01watermarl", &mut |key, value| {
                let source = key[WATERMARK_PREFIX.len()..].try_into().map(u32::from_be_bytes);
                match (source, Watermark::decode(value)) {
                    (Ok(source), Some(watermark)) => times.watermarks.put(source, watermark),
                    _ => failure = Some(StageError::Stop("a stored watermark cannot be read".into())),
                }
                std::ops::ControlFlow::Continue(())
            })
            .map_err(stop)?;
            if let Some(failure) = failure {
                return Err(failure);
            }
            self.times = Some(times);
        }
        Ok(self.times.as_mut().expect("it was just read"))
    }

    fn fold_waiting(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let mut entries = self.waiting.as_slice();
        let mut batch = Vec::new();
        while let Some((person, encoded)) = messages::next_touchpoint(&mut entries)? {
            batch.push(Incoming { person, encoded });
        }
        let mut sending = Sending { publisher: &mut self.publisher, outputs, failure: None };
        self.customers.touchpoints(&batch, &mut StoreView(store), &mut sending).map_err(stop)?;
        sending.finish()?;
        self.waiting.clear();
        Ok(())
    }

    /// Takes what a batch says of time; writes it down when the day changes.
    fn take_times(&mut self, header: &Header, store: &mut Store) -> Result<(), StageError> {
        let calendar = self.calendar.clone();
        let times = self.times(store)?;
        if let Some(as_of) = header.as_of
            && times.as_of.is_none_or(|known| as_of > known)
        {
            let day_changes = times.as_of.map(|known| calendar.day(known)) != Some(calendar.day(as_of));
            times.as_of = Some(as_of);
            // To the millisecond: in another time zone, a rebuild's, it may lie on another day.
            store.put(AS_OF_KEY, &as_of.0.to_be_bytes());
            if day_changes {
                self.customers.advance(calendar.day(as_of), &StoreView(store)).map_err(stop)?;
            }
        }
        let times = self.times(store)?;
        if header.source != u32::MAX
            && !header.refolded
            && let Some(changed) = times.watermarks.hear(header.source, header.watermark, &calendar)
        {
            store.put(&[WATERMARK_PREFIX, &header.source.to_be_bytes()].concat(), &changed.encode());
        }
        Ok(())
    }
}

fn eight(bytes: &[u8]) -> Result<[u8; 8], StageError> {
    bytes.try_into().map_err(|_| StageError::Stop("a stored time cannot be read".into()))
}

impl Stage for CustomersStage {
    fn process(&mut self, record: &Record<'_>, store: &mut Store, _: &mut dyn Outputs) -> Result<(), StageError> {
        let (header, entries) = messages::open(record.value.unwrap_or_default())?;
        self.take_times(&header, store)?;
        self.rebuilding.hear(&header, self.publisher.generation, self.publisher.customers_partitions, store)?;
        if !entries.is_empty() {
            self.publisher.arrived = header.arrived;
        }
        self.publisher.timestamp_ms = match self.publisher.timestamp_ms {
            0 => record.timestamp_ms,
            known => known.min(record.timestamp_ms),
        };
        self.publisher.sequence = u64::try_from(record.offset).unwrap_or_default();
        self.waiting.extend_from_slice(entries);
        Ok(())
    }

    fn prepare_commit(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError> {
        self.times(store)?;
        self.rebuilding.load(store)?;
        self.fold_waiting(store, outputs)?;
        let more = self.customers.fire_timers(&mut StoreView(store), TIMERS_PER_COMMIT).map_err(stop)?;
        let mut sending = Sending { publisher: &mut self.publisher, outputs: &mut *outputs, failure: None };
        self.customers.before_commit(&mut StoreView(store), &mut sending).map_err(stop)?;
        sending.finish()?;
        let publisher = &mut self.publisher;
        for ((spoke, day, outcome), count) in std::mem::take(&mut publisher.outcomes) {
            let counter = publisher
                .counters
                .entry((spoke.clone(), outcome))
                .or_insert_with(|| publisher.telemetry.outcomes(&spoke, outcome.as_str()));
            publisher.uncounted.push((counter.clone(), outcome, count.unsigned_abs()));
            for contribution in quality(&spoke, day, outcome, count) {
                let index = usize::try_from(metrics_partition(&contribution.cell, publisher.metrics_partitions))
                    .expect("a partition is not negative");
                publisher.batches[index].push_contribution(&contribution);
            }
        }
        let times = self.times.as_ref().expect("it was read above");
        let header = Header {
            as_of: times.as_of,
            // Who has no watermark is idle; who does not know it yet says nothing of it.
            source: if times.watermarks.is_complete() { self.input.partition.unsigned_abs() } else { u32::MAX },
            watermark: times.watermarks.lowest(),
            arrived: publisher.arrived,
            generation: publisher.generation,
            refolded: false,
        };
        let days = (header.as_of.map(|at| self.calendar.day(at)), header.watermark.map(|at| self.calendar.day(at)));
        let told = (days, times.watermarks.is_complete());
        let tell = self.told != Some(told);
        for index in 0..publisher.batches.len() {
            if tell || !publisher.batches[index].is_empty() {
                publisher.send_batch(index, &header, outputs)?;
            }
        }
        self.told = Some(told);
        publisher.timestamp_ms = 0;
        Ok(more)
    }

    fn starts(&mut self, generation: Generation, _: bool, store: &mut Store) -> Result<(), StageError> {
        self.publisher.generation = Some(generation);
        self.rebuilding.load(store)
    }

    fn migrate(
        &mut self,
        target: Generation,
        first: bool,
        store: &mut Store,
        outputs: &mut dyn Outputs,
    ) -> Result<Migrated, StageError> {
        self.refold_some(target, first, store, outputs)
    }

    fn is_rebuilt(&self) -> bool {
        self.rebuilding.is_over()
    }

    fn post_commit(&mut self) {
        for (counter, outcome, count) in self.publisher.uncounted.drain(..) {
            counter.inc_by(count);
            if outcome == Outcome::Capped {
                self.publisher.telemetry.emit(Event::Capped { cap: "person" });
            }
        }
        self.customers.committed();
    }

    fn rolled_back(&mut self) {
        self.customers.rolled_back();
        self.waiting.clear();
        self.publisher.batches.iter_mut().for_each(Batch::clear);
        self.publisher.outcomes.clear();
        self.publisher.uncounted.clear();
        self.publisher.timestamp_ms = 0;
        self.times = None;
        self.rebuilding = rebuild::Rebuilding::default();
        self.told = None;
    }

    fn restored(&mut self, key: &[u8], value: Option<&[u8]>, store: &mut Store) -> Result<(), StageError> {
        if key.first() == Some(&1) || key.first() == Some(&0) {
            return Ok(()); // the stage's and the engine's own entries: nothing is derived from them
        }
        customers::store_keys::restored(key, value, &mut StoreView(store)).map_err(stop)
    }

    fn as_of_ms(&self) -> Option<i64> {
        self.times.as_ref()?.as_of.map(|at| at.0)
    }

    fn watermark_ms(&self) -> Option<i64> {
        self.times.as_ref()?.watermarks.lowest().map(|at| at.0)
    }

    fn wants_commit(&self) -> bool {
        self.waiting.len() >= WAITING_BYTES_MAX || self.customers.is_full()
    }
}
