//! The metrics stage on the engine: contributions and reports of arrivals in; published values, the catalogue and the
//! departments' accounts out.

mod sending;

use std::{collections::BTreeSet, sync::Arc};

use prometheus::Histogram;

use self::sending::{Analyses, Sending};
use super::{
    TopicMap, TopologyOptions,
    customers::send_feed,
    heard::Heard,
    messages::{
        self,
        told::{self, Told},
    },
    sequence::Sequence,
    store_view::StoreView,
};
use crate::{
    engine::{
        generation::{self, Generation},
        log::{Record, TopicPartition},
        stage::{Migrated, Outputs, Stage, StageError},
        store::Store,
    },
    feeds::{self, CatalogueRecord, Encoder},
    metrics::{Metrics, MetricsError, Spokes, catalogue},
    model::{AlertCause, Contribution, EventTime, WindowKind},
    telemetry::{Event, Telemetry, cpu},
};

/// Which catalogue was published last, in the store of the first partition.
const CATALOGUE_KEY: &[u8] = b"\x01catalogue";

pub(super) fn maker(
    options: &TopologyOptions,
    map: TopicMap,
) -> Arc<dyn Fn(TopicPartition) -> Box<dyn Stage> + Send + Sync> {
    let options = options.clone();
    Arc::new(move |input| {
        Box::new(MetricsStage {
            input,
            map,
            generation: None,
            metrics: Metrics::new(options.metrics.clone()),
            heard: Heard::default(),
            sources: options.metrics.sources,
            alerts: Encoder::new(options.feed_format, &options.application_id),
            alerted: (0, 0),
            values: Encoder::new(options.feed_format, &options.application_id),
            analyses: Analyses::new(options.feed_format, &options.application_id, options.metrics.currency),
            definitions: Encoder::new(options.feed_format, &options.application_id),
            spokes: Spokes::default(),
            accounts: Encoder::new(options.feed_format, &options.application_id),
            parts: Parts::new(&options.telemetry),
            telemetry: options.telemetry.clone(),
            untold: Vec::new(),
            shown: BTreeSet::new(),
            sequence: Sequence::default(),
            taken_bytes: 0,
        })
    })
}

/// How long a part of publishing held the stage, and how much it worked meanwhile.
struct Part {
    held: Histogram,
    worked: Histogram,
}

impl Part {
    fn new(telemetry: &Telemetry, name: &'static str) -> Part {
        Part { held: telemetry.publish_seconds(name), worked: telemetry.publish_cpu_seconds(name) }
    }

    fn measure<T>(&self, work: impl FnOnce() -> T) -> T {
        let (_held, before) = (self.held.start_timer(), cpu::of_this_thread());
        let done = work();
        self.worked.observe(cpu::of_this_thread().saturating_sub(before).as_secs_f64());
        done
    }
}

/// The parts of publishing.
struct Parts {
    values: Part,
    parameters: Part,
    analyses: Part,
    all: Part,
}

impl Parts {
    fn new(telemetry: &Telemetry) -> Parts {
        let part = |name| Part::new(telemetry, name);
        Parts { values: part("values"), parameters: part("parameters"), analyses: part("analyses"), all: part("all") }
    }
}

struct MetricsStage {
    input: TopicPartition,
    map: TopicMap,
    /// What cells are computed by; known once the stage starts.
    generation: Option<Generation>,
    metrics: Metrics,
    /// Which partitions of customers take in history, and how many there are.
    heard: Heard,
    sources: u32,
    alerts: Encoder<feeds::Alerts>,
    /// Alerts of the running transaction that opened, and that are over.
    alerted: (u64, u64),
    values: Encoder<feeds::Metrics>,
    analyses: Analyses,
    definitions: Encoder<feeds::Definitions>,
    spokes: Spokes,
    accounts: Encoder<feeds::Spokes>,
    telemetry: Telemetry,
    parts: Parts,
    /// Accounts of the running transaction: department and timestamp of its newest record.
    untold: Vec<(String, Option<EventTime>)>,
    /// Departments whose freshness is shown from here.
    shown: BTreeSet<String>,
    sequence: Sequence,
    /// Bytes of contributions taken in this transaction.
    taken_bytes: usize,
}

/// A transaction takes about so many bytes of contributions: every cell that they touch is written and published.
const CONTRIBUTIONS_BYTES_MAX: usize = 512 << 10;

/// A transaction changes about so many cells (and those of one more batch): publishing them takes a few hundredths of a second, in
/// which the stage takes nothing else.
const CELLS_CHANGED_MAX: usize = 1_000;

/// Cells that one transaction of a rebuild empties.
const CLEARED_PER_COMMIT: usize = 10_000;

fn stop(error: MetricsError) -> StageError {
    StageError::Stop(error.to_string())
}

impl MetricsStage {
    /// Only a rebuild leaves contributions of a generation that had its turn; otherwise two definitions are at work.
    fn expect_foreign(&mut self, foreign: Generation, view: &StoreView<'_>) -> Result<(), StageError> {
        let is_past = self.generation.is_some_and(|mine| foreign.epoch < mine.epoch);
        if is_past && self.metrics.is_rebuilding(view).map_err(stop)? {
            return Ok(());
        }
        Err(StageError::Generation(
            "contributions come from instances with another definition: start all with one configuration".into(),
        ))
    }

    /// Outcomes are counted by the day; the windows that hold the day repeat them.
    fn count_outcomes(&mut self, contribution: &Contribution<'_>, view: &StoreView<'_>) -> Result<(), StageError> {
        let cell = &contribution.cell;
        if cell.metric == catalogue::index::DATA_QUALITY && cell.window.kind == WindowKind::Day {
            self.spokes.outcomes(cell.value, &contribution.add, view).map_err(stop)?;
        }
        Ok(())
    }

    /// Whether an account waits for the next commit.
    fn publish_accounts(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError> {
        let (topic, accounts, untold) = (self.map.spokes_feed, &mut self.accounts, &mut self.untold);
        let mut sent = Ok(());
        let waits = self.spokes.publish(&mut StoreView(store), &mut |account| {
            if sent.is_ok() {
                accounts.encode(account);
                // An account counts its own publications.
                sent = send_feed(outputs, topic, accounts, account.spoke.as_bytes(), account.revision);
            }
            untold.push((account.spoke.clone(), account.last_arrived_at));
        });
        sent?;
        waits.map_err(stop)
    }

    fn show_freshness(&mut self, spoke: String, newest: Option<EventTime>) {
        if let Some(newest) = newest {
            self.telemetry.spoke_newest_record(&spoke, newest.0 as f64 / 1_000.0);
            self.shown.insert(spoke);
        }
    }

    fn publish_catalogue(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let fingerprint = catalogue::fingerprint().to_be_bytes();
        let published = store.get(CATALOGUE_KEY).map_err(|error| StageError::Stop(error.to_string()))?;
        if published.as_deref() == Some(&fingerprint[..]) {
            return Ok(());
        }
        for entry in catalogue::entries() {
            let key = entry.metric.as_bytes();
            let version = u64::from(entry.version);
            self.definitions.encode(&CatalogueRecord::Metric(entry));
            send_feed(outputs, self.map.catalogue_feed, &self.definitions, key, version)?;
        }
        store.put(CATALOGUE_KEY, &fingerprint);
        Ok(())
    }
}

impl Drop for MetricsStage {
    /// Another instance may go on with its departments: what this one showed of them would grow old.
    fn drop(&mut self) {
        self.shown.iter().for_each(|spoke| self.telemetry.forget_spoke(spoke));
    }
}

impl Stage for MetricsStage {
    fn process(&mut self, record: &Record<'_>, store: &mut Store, _: &mut dyn Outputs) -> Result<(), StageError> {
        match told::open(record.value.unwrap_or_default())? {
            Some(Told::Live(source, is_live)) => return self.heard.hear(source, !is_live, store),
            Some(Told::Acknowledged(alert, seen)) => {
                return self.metrics.acknowledge(alert, &seen, &mut StoreView(store)).map_err(stop);
            }
            Some(Told::Department(news)) => {
                return self.metrics.department(&news, &mut StoreView(store)).map_err(stop);
            }
            None => {}
        }
        let (header, arrivals, mut entries) = messages::open_with_arrivals(record.value.unwrap_or_default())?;
        self.sequence.follows(record.offset);
        self.taken_bytes += entries.len();
        let mut view = StoreView(store);
        if let Some(arrivals) = arrivals {
            self.spokes.arrivals(&arrivals, &view).map_err(stop)?;
        }
        let foreign = header.generation.filter(|generation| Some(*generation) != self.generation);
        // Contributions before the watermark that travels with them: what comes with it is not late.
        while let Some(contribution) = messages::next_contribution(&mut entries)? {
            if let Some(foreign) = foreign
                && contribution.cell.metric != catalogue::index::DATA_QUALITY
            {
                self.expect_foreign(foreign, &view)?;
                continue; // they come again from the refold
            }
            self.count_outcomes(&contribution, &view)?;
            self.metrics.contribution(contribution.cell, &contribution.add, &mut view).map_err(stop)?;
        }
        if let Some(as_of) = header.as_of {
            self.metrics.advance(as_of, &view).map_err(stop)?;
        }
        // Of a refold: its watermark may not be known yet.
        if header.source != u32::MAX && !(header.refolded && header.watermark.is_none()) {
            self.metrics.watermark(header.source, header.watermark, &view).map_err(stop)?;
        }
        if header.refolded
            && let Some(foreign) = foreign
        {
            self.expect_foreign(foreign, &view)?;
        } else if header.refolded {
            self.metrics.refolded(header.source, &mut view).map_err(stop)?;
        }
        Ok(())
    }

    fn prepare_commit(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError> {
        // Definitions change when the values do.
        if self.input.partition == 0 && !self.metrics.is_withheld(&StoreView(store)).map_err(stop)? {
            self.publish_catalogue(store, outputs)?;
        }
        let waits = self.publish_accounts(store, outputs)?;
        self.metrics.tell_alerts(self.heard.is_over(0..self.sources, store)?);
        self.sequence.begin(store)?;
        let mut sending = Sending {
            map: self.map,
            values: &mut self.values,
            analyses: &mut self.analyses,
            alerts: &mut self.alerts,
            alerted: &mut self.alerted,
            sequence: &mut self.sequence,
            outputs,
            failure: None,
        };
        let (metrics, parts, view) = (&mut self.metrics, &self.parts, &mut StoreView(store));
        let more = parts.all.measure(|| {
            let turn = parts.values.measure(|| metrics.publish_values(view, &mut sending))?;
            let parameters_left = parts.parameters.measure(|| metrics.publish_parameters(turn, view, &mut sending))?;
            let analyses_left = parts.analyses.measure(|| metrics.publish_analyses(turn, view, &mut sending))?;
            Ok(turn.left | parameters_left | analyses_left)
        });
        let more = more.map_err(stop)?;
        if let Some(error) = sending.failure {
            return Err(error.into());
        }
        self.sequence.end(store);
        Ok(more || waits)
    }

    fn starts(&mut self, generation: Generation, rebuilding: bool, store: &mut Store) -> Result<(), StageError> {
        self.generation = Some(generation);
        if self.metrics.is_rebuilding(&StoreView(store)).map_err(stop)? && !rebuilding {
            return Err(generation::unfinished());
        }
        let known = self.spokes.newest(&StoreView(store)).map_err(stop)?;
        let known: Vec<_> = known.into_iter().map(|(spoke, newest)| (spoke.to_owned(), newest)).collect();
        known.into_iter().for_each(|(spoke, newest)| self.show_freshness(spoke, newest));
        Ok(())
    }

    fn migrate(
        &mut self,
        target: Generation,
        first: bool,
        store: &mut Store,
        _: &mut dyn Outputs,
    ) -> Result<Migrated, StageError> {
        self.generation = Some(target);
        let (entries, more) = self.metrics.clear(first, CLEARED_PER_COMMIT, &mut StoreView(store)).map_err(stop)?;
        Ok(Migrated { more, entries: entries as u64 })
    }

    fn is_rebuilt(&self) -> bool {
        self.metrics.is_rebuilt()
    }

    fn post_commit(&mut self) {
        self.taken_bytes = 0;
        self.metrics.committed();
        if let (opened, closed) = std::mem::take(&mut self.alerted)
            && opened + closed > 0
        {
            let cause = AlertCause::MetricUnusual.as_str();
            self.telemetry.emit(Event::AlertsChanged { cause, opened, closed });
        }
        for (spoke, newest) in std::mem::take(&mut self.untold) {
            self.show_freshness(spoke, newest);
        }
    }

    fn stands(&mut self, is_behind: bool) -> bool {
        self.heard.stands(is_behind);
        !is_behind
    }

    fn wants_commit(&self) -> bool {
        self.taken_bytes >= CONTRIBUTIONS_BYTES_MAX || self.metrics.cells_changed() >= CELLS_CHANGED_MAX
    }

    fn rolled_back(&mut self) {
        self.taken_bytes = 0;
        self.metrics.rolled_back();
        self.sequence = Sequence::default();
        self.spokes.rolled_back();
        self.heard = Heard::default();
        self.alerted = (0, 0);
        self.untold.clear();
    }

    fn restored(&mut self, key: &[u8], value: Option<&[u8]>, store: &mut Store) -> Result<(), StageError> {
        if matches!(key.first(), Some(0 | 1)) {
            return Ok(()); // the stage's and the engine's own entries: nothing is derived from them
        }
        Metrics::restored(key, value, &mut StoreView(store)).map_err(stop)
    }
}
