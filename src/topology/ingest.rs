//! The ingest stage on the engine: source records in; batches of touchpoints, outcomes, reports and dead letters out.

use std::{collections::BTreeMap, sync::Arc};

use prometheus::{IntCounter, IntGauge};

use super::{
    TopicMap, TopologyOptions,
    commands::CommandsStage,
    messages::{
        self, Batch, Header,
        backlog::{self, Intake},
    },
    pace::Pace,
    tally::Tally,
    watermarks::source_number,
};
use crate::{
    engine::{
        log::{Headers, Output, Placement, Record, TopicPartition},
        stage::{Outputs, Stage, StageError},
        store::Store,
        topics::Topics,
    },
    feeds::{DeadLetter, Enclosed, LETTERS_OF_A_RECORD_MAX, Origin, OriginReader},
    ingest::{LiveSpokes, Mapped, Rejection, SourceRecord, SpokeSet},
    metrics::{catalogue, values::outcomes},
    model::{
        Calendar, CellKey, Contribution, Day, Dimension, EventTime, Outcome, PersonKey, Reason, Window, WindowKind,
    },
    telemetry::{Event, Telemetry},
};

pub(super) fn maker(
    options: &TopologyOptions,
    map: TopicMap,
    topics: &Topics,
) -> Arc<dyn Fn(TopicPartition) -> Box<dyn Stage> + Send + Sync> {
    let options = options.clone();
    let names: BTreeMap<_, Arc<str>> = topics.iter().map(|(index, spec)| (index, spec.name.clone())).collect();
    Arc::new(move |input| {
        let topic = names[&input.topic].clone();
        if input.topic == map.commands {
            return Box::new(CommandsStage::new(&options, map, topic));
        }
        Box::new(IngestStage::new(&options, map, input, topic))
    })
}

/// One source partition. It keeps nothing: what it knows of time it tells again after a restart.
struct IngestStage {
    input: TopicPartition,
    topic: Arc<str>,
    map: TopicMap,
    live: Arc<LiveSpokes>,
    /// Those of the running transaction; `None` between two.
    spokes: Option<Arc<SpokeSet>>,
    person_key: PersonKey,
    calendar: Calendar,
    allowed_disorder_ms: i64,
    metrics_partitions: i32,
    batches: Vec<Batch>,
    record: Vec<u8>,
    /// The newest touchpoint accepted from this partition.
    as_of: Option<EventTime>,
    /// Whether what comes of it will ever have happened later before it came than now.
    pace: Pace,
    /// Of which day every receiver was told last.
    told: Option<Day>,
    /// Whether the partition has been quiet for long.
    idle: bool,
    /// Whether every receiver is to be told with the next commit, whatever the day.
    tell: bool,
    /// Whether more of the partition is there than was read, as far as is known.
    is_behind: Option<bool>,
    /// What every receiver was told last of what it takes in.
    told_intake: Option<Intake>,
    /// Whether the last record held a touchpoint: what is skipped or rejected says nothing of event time.
    took_touchpoint: bool,
    arrived: Day,
    /// Outcomes of the running transaction, by arrival day.
    outcomes: BTreeMap<(Day, Outcome), i64>,
    spoke_name: String,
    telemetry: Telemetry,
    counters: BTreeMap<Outcome, IntCounter>,
    records: IntCounter,
    /// How many partitions of the department hold alerts back, and whether this one counts.
    holding: (IntGauge, bool),
    /// What the running transaction has to tell once it is committed: outcomes, records, unmapped kinds …
    uncounted: Vec<(Outcome, u64)>,
    tally: Tally,
    /// … and rejections: reason, field, partition, offset.
    untold: Vec<(Reason, String, i32, i64)>,
}

/// What happened more days before it came is history, as long as nothing newer has come from its partition, and its partition does
/// not keep pace.
const HISTORY_DAYS: i32 = 1;

/// A record's headers as ingest sees them.
pub(super) struct HeaderView<'a>(pub(super) &'a dyn Headers);

impl crate::ingest::Headers for HeaderView<'_> {
    fn header(&self, name: &str, take: &mut dyn FnMut(&[u8])) {
        // Of several with one name the last holds, and the engine lends a value only within a call.
        let mut last: Option<Vec<u8>> = None;
        self.0.each(&mut |found, value| {
            if found == name {
                last = value.map(<[u8]>::to_vec);
            }
        });
        if let Some(value) = last {
            take(&value);
        }
    }
}

impl IngestStage {
    fn new(options: &TopologyOptions, map: TopicMap, input: TopicPartition, topic: Arc<str>) -> IngestStage {
        let spoke_name = options.spokes.now().of_topic(&topic).map(|spoke| spoke.name().to_owned()).unwrap_or_default();
        let partitions =
            usize::try_from(options.customers_partitions).expect("a topic has a positive number of partitions");
        IngestStage {
            input,
            topic,
            map,
            live: options.spokes.clone(),
            spokes: None,
            person_key: options.person_key.clone(),
            calendar: options.calendar.clone(),
            allowed_disorder_ms: options.allowed_disorder_ms,
            metrics_partitions: options.metrics_partitions,
            batches: std::iter::repeat_with(Batch::default).take(partitions).collect(),
            record: Vec::new(),
            as_of: None,
            pace: Pace::default(),
            told: None,
            idle: false,
            tell: false,
            is_behind: None,
            told_intake: None,
            took_touchpoint: false,
            arrived: Day(0),
            outcomes: BTreeMap::new(),
            counters: Outcome::ALL
                .iter()
                .map(|outcome| (*outcome, options.telemetry.outcomes(&spoke_name, outcome.as_str())))
                .collect(),
            records: options.telemetry.spoke_records(&spoke_name),
            holding: (options.telemetry.alerts_held_partitions(&spoke_name), false),
            spoke_name,
            telemetry: options.telemetry.clone(),
            uncounted: Vec::new(),
            tally: Tally::default(),
            untold: Vec::new(),
        }
    }

    fn header(&self) -> Header {
        Header {
            as_of: self.as_of,
            source: source_number(&self.topic, self.input.partition),
            watermark: self.as_of.map(|at| EventTime(at.0 - self.allowed_disorder_ms)).filter(|_| !self.idle),
            arrived: self.arrived,
            generation: None,
            refolded: false,
        }
    }

    /// Whether what it tells may be over by the time it has caught up: there is more to read, or what comes happened days
    /// before it came, comes still, and will be nearer.
    fn intake(&self) -> Option<Intake> {
        let is_old = |at: EventTime| self.calendar.day(at).plus(HISTORY_DAYS) < self.arrived;
        Some(match (self.is_behind?, self.as_of) {
            (true, _) => Intake::History,
            (false, _) if self.idle => Intake::News,
            (false, Some(at)) if is_old(at) && !self.pace.keeps() => Intake::History,
            (false, Some(_)) => Intake::News,
            (false, None) => Intake::Nothing,
        })
    }

    /// Says so where it changed.
    fn tell_intake(&mut self, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let intake = self.intake();
        let Some(intake) = intake.filter(|_| intake != self.told_intake) else {
            return Ok(());
        };
        self.told_intake = Some(intake);
        backlog::encode(&self.header(), intake, &mut self.record);
        let partitions = i32::try_from(self.batches.len()).expect("it counts partitions of a topic");
        Ok(messages::send_to_all(outputs, self.map.customers_repartition, partitions, &self.record)?)
    }

    fn show_holding(&mut self, holds: bool) {
        let (gauge, shown) = &mut self.holding;
        gauge.add(i64::from(holds) - i64::from(std::mem::replace(shown, holds)));
    }

    fn send_batch(&mut self, partition: usize, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let header = self.header();
        let timestamp_ms = self.batches[partition].oldest_ms;
        self.batches[partition].take(&header, &mut self.record);
        Ok(outputs.send(&Output {
            topic: self.map.customers_repartition,
            placement: Placement::At(i32::try_from(partition).expect("it counts partitions of a topic")),
            key: &[],
            value: Some(&self.record),
            headers: &[],
            timestamp_ms,
        })?)
    }

    fn reject(
        &mut self,
        rejection: &Rejection,
        record: &Record<'_>,
        origin: Origin,
        is_published: bool,
        outputs: &mut dyn Outputs,
    ) -> Result<(), StageError> {
        self.untold.push((rejection.reason, rejection.field.clone(), record.from.partition, record.offset));
        if !is_published {
            return Ok(());
        }
        let letter = DeadLetter {
            topic: &self.topic,
            partition: origin.partition,
            offset: origin.offset,
            timestamp_ms: origin.timestamp_ms,
            touchpoint: u32::try_from(rejection.touchpoint).unwrap_or(u32::MAX),
            spoke: &self.spoke_name,
            reason: rejection.reason,
            field: &rejection.field,
            message: &rejection.message,
            source_key: record.key,
        };
        let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
        record.headers.each(&mut |name, value| headers.push((name.to_owned(), value.unwrap_or_default().to_vec())));
        let (partition, offset) = (record.from.partition, record.offset);
        let (value, headers) = letter.enclose(Enclosed { partition, offset, value: record.value, headers });
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

impl Drop for IngestStage {
    /// Another instance may go on with its partition.
    fn drop(&mut self) {
        self.show_holding(false);
    }
}

impl Stage for IngestStage {
    fn process(&mut self, record: &Record<'_>, _: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let spokes = self.spokes.get_or_insert_with(|| self.live.now()).clone();
        let Some(spoke) = spokes.of_topic(&self.topic) else {
            return Err(StageError::Stop(format!("no spoke reads topic {}", self.topic)));
        };
        self.arrived = self.calendar.day(EventTime(record.timestamp_ms));
        self.took_touchpoint = false;
        let topic = self.topic.clone();
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
        let mut letters = 0;
        let mut tally = std::mem::take(&mut self.tally);
        tally.arrives(record);
        let mapped = spoke.map_noting(&source, &mut tally, &mut |mapped| {
            if failure.is_err() {
                return;
            }
            let outcome = match mapped {
                Mapped::Touchpoint(touchpoint) => {
                    let person = self.person_key.person(touchpoint.home());
                    let partition = usize::try_from(person.placement() % self.batches.len() as u64)
                        .expect("less than a number of partitions");
                    let batch = &mut self.batches[partition];
                    batch.push_touchpoint(person, |bytes| touchpoint.encode_kept_into(&self.person_key, bytes));
                    batch.note_timestamp(record.timestamp_ms);
                    self.as_of = self.as_of.max(Some(touchpoint.occurred_at));
                    self.took_touchpoint = true;
                    if std::mem::take(&mut self.idle) {
                        // Those who count on its silence hear of its first touchpoint at once.
                        self.told = None;
                    }
                    self.pace.take(record.timestamp_ms, self.as_of.unwrap_or(touchpoint.occurred_at));
                    if batch.is_full() {
                        failure = self.send_batch(partition, outputs);
                    }
                    Outcome::Accepted
                }
                Mapped::Skipped(_) => Outcome::Skipped,
                Mapped::Rejected(rejection) => {
                    letters += 1;
                    failure = self.reject(&rejection, record, origin, letters <= LETTERS_OF_A_RECORD_MAX, outputs);
                    Outcome::Rejected
                }
            };
            *self.outcomes.entry((self.arrived, outcome)).or_default() += 1;
        });
        if mapped.is_ok() {
            tally.taken(record);
        }
        self.tally = tally;
        if let Err(not_yet) = mapped {
            if self.tally.records() == 0 {
                // No transaction holds this mapping: what is reloaded while the record waits may be what it waits for.
                self.spokes = None;
            }
            return Err(StageError::NotYet(not_yet.to_string()));
        }
        failure
    }

    fn prepare_commit(&mut self, _: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError> {
        let day = self.as_of.map(|at| self.calendar.day(at));
        let tell = day > self.told || std::mem::take(&mut self.tell);
        for partition in 0..self.batches.len() {
            if tell || !self.batches[partition].is_empty() {
                self.send_batch(partition, outputs)?;
            }
        }
        self.told = self.told.max(day);
        self.tell_intake(outputs)?;
        let outcomes = std::mem::take(&mut self.outcomes);
        let mut batch = Batch::default();
        for ((day, outcome), count) in &outcomes {
            self.uncounted.push((*outcome, count.unsigned_abs()));
            for contribution in quality(&self.spoke_name, *day, *outcome, *count) {
                batch.push_contribution(&contribution);
            }
        }
        if self.tally.records() > 0 {
            let quality_cell = quality(&self.spoke_name, Day(0), Outcome::Accepted, 1);
            // Data quality is one family per spoke: all its windows are on one partition, and the spoke's account too.
            let partition = metrics_partition(&quality_cell[0].cell, self.metrics_partitions);
            let header = Header::timeless(self.arrived, None);
            let place = (&*self.topic, self.input.partition);
            let reasons = self.untold.iter().map(|(reason, ..)| *reason);
            let arrivals = self.tally.report(&self.spoke_name, place, self.as_of, reasons);
            batch.take_with_arrivals(&header, &arrivals, &mut self.record);
            outputs.send(&Output {
                topic: self.map.metrics_repartition,
                placement: Placement::At(partition),
                key: &[],
                value: Some(&self.record),
                headers: &[],
                timestamp_ms: None,
            })?;
        }
        Ok(false)
    }

    fn post_commit(&mut self) {
        self.spokes = None;
        self.show_holding(self.told_intake == Some(Intake::History));
        for (outcome, count) in self.uncounted.drain(..) {
            self.counters[&outcome].inc_by(count);
        }
        let tally = std::mem::take(&mut self.tally);
        self.records.inc_by(tally.records());
        let count = tally.unmapped_kinds();
        if count > 0 {
            self.telemetry.emit(Event::KindsUnmapped { spoke: &self.spoke_name, count });
        }
        for (reason, field, partition, offset) in self.untold.drain(..) {
            let (spoke, reason) = (self.spoke_name.as_str(), reason.as_str());
            self.telemetry.emit(Event::TouchpointRejected { spoke, reason, field: &field, partition, offset });
        }
    }

    fn rolled_back(&mut self) {
        self.spokes = None;
        self.uncounted.clear();
        self.tally = Tally::default();
        self.untold.clear();
        self.batches.iter_mut().for_each(Batch::clear);
        self.outcomes.clear();
        // Whether the receivers were told is not known any more; telling them twice does no harm.
        self.told = None;
        self.idle = false;
        self.tell = false;
        self.is_behind = None;
        self.told_intake = None;
    }

    fn took_something(&self) -> bool {
        self.took_touchpoint
    }

    fn stands(&mut self, is_behind: bool) -> bool {
        self.is_behind = Some(is_behind);
        self.told_intake != self.intake()
    }

    fn fell_idle(&mut self) -> bool {
        self.idle = true;
        self.tell = true;
        true
    }
}

/// Where and when a record came first: a replay of a dead letter is judged, and named, as the record that it was.
pub(super) fn origin(topic: &str, record: &Record<'_>) -> Origin {
    let mut reader = OriginReader::new(topic);
    record.headers.each(&mut |name, value| reader.take(name, value));
    let Record { from, offset, timestamp_ms, .. } = *record;
    reader.origin().unwrap_or(Origin { partition: from.partition, offset, timestamp_ms })
}

/// The partition of the metrics stage that a cell's family lives on.
pub(super) fn metrics_partition(cell: &CellKey<'_>, partitions: i32) -> i32 {
    i32::try_from(cell.placement() % u64::from(partitions.unsigned_abs())).expect("less than a number of partitions")
}

/// What an outcome adds to data quality.
pub(super) fn quality(spoke: &str, arrived: Day, outcome: Outcome, count: i64) -> [Contribution<'_>; 3] {
    WindowKind::ALL.map(|kind| Contribution {
        cell: CellKey {
            metric: catalogue::index::DATA_QUALITY,
            currency: None,
            dimension: Dimension::Spoke,
            value: spoke,
            window: Window::of(kind, arrived),
        },
        add: outcomes(outcome, count),
    })
}
