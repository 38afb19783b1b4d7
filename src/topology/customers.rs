//! The customers stage on the engine: batches of touchpoints in; public records, outcomes and contributions out.

mod backlog;
mod publisher;
mod readings;
mod rebuild;

use std::sync::Arc;

use super::{
    TopicMap, TopologyOptions,
    ingest::{metrics_partition, quality},
    messages::{
        self, Header, backlog as of_sources,
        moves::{self, Move, VERSION_MOVES},
        told::Told,
    },
    readings::{Rereading, open},
    store_view::StoreView,
    watermarks::{Sources, Watermark, Watermarks},
};
use crate::{
    customers::{self, Customers, Incoming},
    engine::{
        generation::Generation,
        log::{Record, TopicPartition},
        stage::{Migrated, Outputs, Stage, StageError},
        store::Store,
    },
    model::{Calendar, Day, EventTime, KeyValue, Outcome, StoreError},
    telemetry::Event,
};

use publisher::{Publisher, Sending};
pub(super) use publisher::{partition_of, send_feed, send_tombstone};

/// Timers that one commit fires at most: bounds the transaction when a day closes for everybody at once.
const TIMERS_PER_COMMIT: usize = 20_000;

/// The store keys of what the stage was told: its own, next to those of `customers`.
const AS_OF_KEY: &[u8] = b"\x01as-of";
const WATERMARK_PREFIX: &[u8] = b"\x01watermark";

pub(super) fn maker(
    options: &TopologyOptions,
    map: TopicMap,
    rereading: Option<Arc<Rereading>>,
) -> Arc<dyn Fn(TopicPartition) -> Box<dyn Stage> + Send + Sync> {
    let (options, sources) = (options.clone(), Arc::new(options.sources()));
    Arc::new(move |input| {
        let mut stage = CustomersStage::new(&options, sources.clone(), map, input);
        stage.readings = readings::Readings::new(&options.spokes, rereading.clone());
        Box::new(stage)
    })
}

/// A transaction holds at most about so many bytes of touchpoints that wait for their fold.
const WAITING_BYTES_MAX: usize = 5 << 20;

/// … and so many of moves, which are folded as they come.
const MOVES_BYTES_MAX: usize = 2 << 20;

struct CustomersStage {
    input: TopicPartition,
    customers: Customers,
    /// Entries of the batches of this transaction. They are folded together, once before the commit: a late touchpoint
    /// refolds what is after it, and many late ones of one person then share that work.
    waiting: Vec<u8>,
    /// What the watermark of their source was as they came: up to which byte of them, and that.
    waiting_after: Vec<(usize, Option<EventTime>)>,
    /// Timestamp of the oldest of those batches; 0 if there is none.
    waiting_ms: i64,
    /// Bytes of moves taken in this transaction.
    moves_bytes: usize,
    publisher: Publisher,
    calendar: Calendar,
    /// `None` until it was read from the store.
    times: Option<Times>,
    /// Whom it waits for before a window is final.
    sources: Arc<Sources>,
    /// Whether the hub takes in history.
    backlog: backlog::Backlog,
    /// Whether a rebuild waits for other partitions.
    rebuilding: rebuild::Rebuilding,
    /// What is known of departments whose topics were read again.
    readings: readings::Readings,
    /// What every metrics partition was told last: days of as-of and watermark, and whether the latter is known.
    told: Option<((Option<Day>, Option<Day>), bool)>,
    /// The newest touchpoint that links was told of since this task was opened.
    told_links: Option<EventTime>,
    /// Whether every metrics partition was told that nothing of a backlog is left.
    told_live: Option<bool>,
}

/// What the stage was told of time.
#[derive(Debug, Default)]
struct Times {
    as_of: Option<EventTime>,
    watermarks: Watermarks,
}

fn stop(error: StoreError) -> StageError {
    StageError::Stop(error.to_string())
}

impl CustomersStage {
    fn new(options: &TopologyOptions, sources: Arc<Sources>, map: TopicMap, input: TopicPartition) -> CustomersStage {
        CustomersStage {
            input,
            customers: Customers::new(options.customers.clone()),
            waiting: Vec::new(),
            waiting_after: Vec::new(),
            waiting_ms: 0,
            moves_bytes: 0,
            publisher: Publisher::new(options, map),
            calendar: options.calendar.clone(),
            times: None,
            backlog: backlog::Backlog::new(sources.clone()),
            sources,
            rebuilding: rebuild::Rebuilding::default(),
            readings: readings::Readings::default(),
            told: None,
            told_links: None,
            told_live: None,
        }
    }

    /// Tells metrics whether nothing of a backlog is left here.
    fn tell_live(&mut self, is_live: bool, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let told = Told::Live(self.input.partition.unsigned_abs(), is_live);
        self.publisher.tell_metrics(&told, outputs)?;
        self.told_live = Some(is_live);
        Ok(())
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
        // What was heard in a transaction that was rolled back does not hold.
        self.readings.load(&mut self.customers, store)?;
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.publisher.as_of = self.times(store)?.as_of;
        let mut batch = Vec::new();
        let mut begins = 0;
        for &(ends, after) in &self.waiting_after {
            let mut entries = &self.waiting[begins..ends];
            while let Some((person, encoded)) = messages::next_touchpoint(&mut entries)? {
                batch.push(Incoming { person, encoded, after });
            }
            begins = ends;
        }
        self.publisher.is_counted = self.readings.waiting_was_reread;
        self.publisher.follows_ms = std::mem::take(&mut self.waiting_ms);
        let mut sending = Sending { publisher: &mut self.publisher, outputs, failure: None };
        self.customers.touchpoints(&batch, &mut StoreView(store), &mut sending).map_err(stop)?;
        sending.finish()?;
        self.publisher.is_counted = false;
        self.publisher.follows_ms = 0;
        self.waiting.clear();
        self.waiting_after.clear();
        Ok(())
    }

    /// Takes touchpoints, and what the watermark of their source was before.
    fn wait(&mut self, entries: &[u8], after: Option<EventTime>) {
        if entries.is_empty() {
            return;
        }
        self.waiting.extend_from_slice(entries);
        match self.waiting_after.last_mut() {
            Some((ends, same)) if *same == after => *ends = self.waiting.len(),
            _ => self.waiting_after.push((self.waiting.len(), after)),
        }
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

fn take_move(
    customers: &mut Customers,
    next: &Move<'_>,
    store: &mut StoreView<'_>,
    effects: &mut Sending<'_, '_>,
) -> Result<(), StoreError> {
    match next {
        Move::Put { person, home, items, more } => customers.put(*person, *home, items, *more, store, effects),
        Move::Drop { person, home, more } => customers.drop_fragment(*person, *home, *more, store, effects),
        Move::Assign { home, assignment } => customers.assign(*home, *assignment, store, effects),
        Move::Expect { person, version, homes } => customers.expect(*person, *version, *homes, store),
        Move::Settled { person, home, version } => customers.settled(*person, *home, *version, store),
        Move::More { home } => customers.go_on_moving(*home, store, effects),
        Move::Erased { home, what } => customers.erased(*home, what, store, effects),
        Move::Acknowledged { alert, acknowledgement } => customers.acknowledge(*alert, acknowledgement, store),
    }
}

/// The older of two timestamps, of which 0 is none.
fn older(known_ms: i64, timestamp_ms: i64) -> i64 {
    if known_ms == 0 { timestamp_ms } else { known_ms.min(timestamp_ms) }
}

fn eight(bytes: &[u8]) -> Result<[u8; 8], StageError> {
    bytes.try_into().map_err(|_| StageError::Stop("a stored time cannot be read".into()))
}

impl Stage for CustomersStage {
    fn process(&mut self, record: &Record<'_>, store: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let value = record.value.unwrap_or_default();
        if let Some((header, intake)) = of_sources::open(value)? {
            self.take_times(&header, store)?;
            return self.backlog.hear(header.source, intake, store);
        }
        let are_moves = moves::is_moves(value);
        let (header, says, mut entries) = if are_moves {
            let (header, moves) = moves::open(VERSION_MOVES, value)?;
            (header, None, moves)
        } else {
            open(value)?
        };
        if !self.hear_reading(says, record.offset, store, outputs)? {
            return Ok(());
        }
        let after = self.times(store)?.watermarks.of(header.source);
        self.take_times(&header, store)?;
        self.rebuilding.hear(&header, self.publisher.generation, self.publisher.customers_partitions, store)?;
        if !entries.is_empty() && says.is_none() {
            self.publisher.arrived = header.arrived;
        }
        self.publisher.timestamp_ms = older(self.publisher.timestamp_ms, record.timestamp_ms);
        self.publisher.sequence.follows(record.offset);
        if !are_moves {
            self.wait(entries, after);
            self.waiting_ms = older(self.waiting_ms, record.timestamp_ms);
            return Ok(());
        }
        self.moves_bytes += entries.len();
        // Touchpoints that came before are still waiting. They come from ingest, moves from customers and links, and only what
        // one sender sends has an order: whatever follows from moves first, the waiting ones are folded once a commit.
        self.readings.load(&mut self.customers, store)?;
        self.publisher.as_of = self.times(store)?.as_of;
        self.publisher.follows_ms = record.timestamp_ms;
        let mut sending = Sending { publisher: &mut self.publisher, outputs, failure: None };
        while let Some(next) = moves::next_move(&mut entries)? {
            take_move(&mut self.customers, &next, &mut StoreView(store), &mut sending).map_err(stop)?;
        }
        sending.finish()?;
        self.publisher.follows_ms = 0;
        Ok(())
    }

    fn prepare_commit(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError> {
        self.times(store)?;
        self.rebuilding.load(store)?;
        // Before what it holds back for.
        if !self.backlog.is_over(store)? && self.told_live == Some(true) {
            self.tell_live(false, outputs)?;
        }
        self.publisher.sequence.begin(store)?;
        self.fold_waiting(store, outputs)?;
        let more = self.go_on_with_readings(store, outputs)?;
        let more = more | self.customers.fire_timers(&mut StoreView(store), TIMERS_PER_COMMIT).map_err(stop)?;
        // What a rebuild, or a second reading, finds before it is complete is held back as well.
        let is_whole = self.rebuilding.is_over() && self.readings.is_over(self.input.partition);
        let is_live = self.backlog.is_over(store)? && is_whole;
        self.customers.tell_alerts(is_live);
        let more = more | self.customers.release_alerts(&mut StoreView(store), TIMERS_PER_COMMIT).map_err(stop)?;
        let mut sending = Sending { publisher: &mut self.publisher, outputs: &mut *outputs, failure: None };
        self.customers.before_commit(&mut StoreView(store), &mut sending).map_err(stop)?;
        sending.finish()?;
        let as_of = self.times(store)?.as_of;
        let publisher = &mut self.publisher;
        publisher.as_of = as_of;
        // An erasure takes all that was there: links has to know of the newest touchpoint, also of one without new pairs.
        publisher.send_all_moves(as_of > self.told_links, outputs)?;
        self.told_links = as_of;
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
        publisher.sequence.end(store);
        // What is left to do by itself belongs to the backlog.
        let is_live = is_live && (!more || self.told_live == Some(true));
        if self.told_live != Some(is_live) {
            self.tell_live(is_live, outputs)?;
        }
        Ok(more)
    }

    fn starts(&mut self, generation: Generation, rebuilding: bool, store: &mut Store) -> Result<(), StageError> {
        self.publisher.generation = Some(generation);
        self.starts_readings(rebuilding, store)?;
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
        self.rebuilding.is_over() && self.readings.is_over(self.input.partition)
    }

    fn post_commit(&mut self) {
        self.moves_bytes = 0;
        for (counter, outcome, count) in self.publisher.uncounted.drain(..) {
            counter.inc_by(count);
            if outcome == Outcome::Capped {
                self.publisher.telemetry.emit(Event::Capped { cap: "person" });
            }
        }
        for (cause, (opened, closed)) in std::mem::take(&mut self.publisher.alerted) {
            self.publisher.telemetry.emit(Event::AlertsChanged { cause: cause.as_str(), opened, closed });
        }
        let (moved, forwarded) = std::mem::take(&mut self.publisher.sent);
        if moved + forwarded > 0 {
            self.publisher.telemetry.emit(Event::TouchpointsSent { moved, forwarded });
        }
        for (spoke, count) in std::mem::take(&mut self.publisher.erased) {
            self.publisher.telemetry.emit(Event::TouchpointsErased { spoke: &spoke, count });
        }
        self.customers.committed();
        self.tell_readings();
    }

    fn rolled_back(&mut self) {
        self.customers.rolled_back();
        self.waiting.clear();
        self.waiting_after.clear();
        (self.waiting_ms, self.moves_bytes) = (0, 0);
        self.publisher.clear();
        self.times = None;
        self.backlog.rolled_back();
        self.rebuilding = rebuild::Rebuilding::default();
        self.readings.rolled_back();
        self.told = None;
        self.told_links = None;
        self.told_live = None;
    }

    fn restored(&mut self, key: &[u8], value: Option<&[u8]>, store: &mut Store) -> Result<(), StageError> {
        if key.first() == Some(&1) || key.first() == Some(&0) {
            return Ok(()); // the stage's and the engine's own entries: nothing is derived from them
        }
        customers::store_keys::restored(key, value, &mut StoreView(store)).map_err(stop)
    }

    fn stands(&mut self, is_behind: bool) -> bool {
        self.backlog.stands(is_behind);
        !is_behind
    }

    fn as_of_ms(&self) -> Option<i64> {
        self.times.as_ref()?.as_of.map(|at| at.0)
    }

    fn watermark_ms(&self) -> Option<i64> {
        self.times.as_ref()?.watermarks.lowest().map(|at| at.0)
    }

    fn wants_commit(&self) -> bool {
        self.waiting.len() >= WAITING_BYTES_MAX || self.moves_bytes >= MOVES_BYTES_MAX || self.customers.is_full()
    }
}
