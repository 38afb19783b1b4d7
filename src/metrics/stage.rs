//! Contributions, the as-of day and watermarks in; published values and tombstones out, once per commit.
//!
//! ```text
//! (contribution | advance | watermark)*  →  publish  →  committed ⟲
//!                                                    →  rolled_back: everything is read from the store again
//! ```

// tidy: hash order unseen because an IndexMap keeps the order of insertion

use std::{ops::ControlFlow, sync::Arc};

use indexmap::IndexMap;

use super::{
    cache::Cells,
    catalogue::{self, MetricKind},
    cells::{self, StoreKey},
    departments,
    families::{Analysed, Families, STEPS_PER_COMMIT, WORK_PER_COMMIT, Work},
    fits::{Fits, Time},
    levels::{self, Budget, Family, Level},
    publishing::Publishing,
    queue::Queue,
    ranking::Ranking,
    rebuild::Rebuild,
    settling::Settling,
    watch::Watch,
};
use crate::analyses::priorities::Stated;
use crate::model::{
    Accumulator, Acknowledgement, Alert, AlertId, AnalysisPlace, Calendar, Capacities, CellKey, Currency, Day,
    DepartmentNews, EventTime, KeyValue, MetricValue, Status, StoreError, WindowKind, family,
};

/// How many entries one look into the store collects: bounds memory, not results.
const SCAN_ENTRIES_MAX: usize = 256;

/// How many level families may be looked at, with nothing to do for them, in the time of one step.
const FAMILIES_PER_STEP: usize = 8;

/// What the stage is configured with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The days of the configured time zone.
    pub calendar: Calendar,
    /// Partitions of the stage before: no window settles until each has sent a watermark or was said to be idle.
    pub sources: u32,
    /// How long after its end a window stays provisional, in milliseconds of event time.
    pub grace_ms: i64,
    /// Cells kept in memory between commits; about 250 bytes each, more with a distribution.
    pub cells_cached_max: usize,
    /// How many values of a dimension are published each under its own key, for one metric, currency and window; at least one.
    pub dimension_values_max: usize,
    /// How many touchpoints of each kind the organisation can afford in a month.
    pub capacities: Arc<Capacities>,
    /// The currency of costs that are compared.
    pub currency: Currency,
    /// What a commit does at most beyond publishing what contributions changed: cells visited when days close, windows
    /// settle or late changes move levels. Bounds the transaction.
    pub background_steps_max: usize,
    /// What the organisation states about subjects that want fixing.
    pub stated: Arc<Stated>,
    /// Whose alerts about metrics are that no single department has.
    pub alerts_owner: Arc<str>,
}

impl Options {
    /// The defaults: a day of grace, 65,536 cells, 1,000 values of a dimension, 1,000 steps.
    pub fn new(calendar: Calendar, sources: u32) -> Options {
        Options {
            calendar,
            sources,
            grace_ms: 86_400_000,
            cells_cached_max: 65_536,
            dimension_values_max: 1_000,
            background_steps_max: 1_000,
            stated: Arc::default(),
            capacities: Arc::default(),
            currency: Currency(*b"EUR"),
            alerts_owner: "company".into(),
        }
    }

    /// The grace in whole days, upwards.
    pub(super) fn grace_days(&self) -> i32 {
        const DAY_MS: i64 = 86_400_000;
        i32::try_from((self.grace_ms.max(0) + DAY_MS - 1) / DAY_MS).unwrap_or(i32::MAX / 2)
    }
}

/// Why the stage cannot go on. The reaction to each is to stop and tell the operator.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Bytes that this program did not write, or a later version of it did.
    #[error(
        "the metrics store holds {what} that this version cannot read; run the version that wrote it, or `insight-hub rebuild`"
    )]
    Corrupted {
        /// What could not be read.
        what: &'static str,
    },
    /// A contribution from a program with another catalogue.
    #[error(
        "a contribution names metric {0}, which is not in the catalogue: instances of different versions are running"
    )]
    UnknownMetric(u8),
    /// A contribution to a family that names nothing in it.
    #[error("a contribution to a family names no element of it: instances of different versions are running")]
    NoElement,
    /// A change of a level that names no day.
    #[error("a change of the level metric {0} names a week or a month: a level changes on days")]
    LevelWithoutDay(&'static str),
}

/// Where time stands in a commit, as the first part of publishing found it.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    closed: Option<Day>,
    settled: Option<Day>,
    withhold: bool,
    /// Whether closing days, settling windows or late changes of levels wait for the next commit.
    pub left: bool,
    room: Room,
}

/// What the first part of publishing leaves to the others, so that a commit which publishes many cells does not compute much besides:
/// that follows in the next ones.
#[derive(Clone, Copy, Debug)]
struct Room {
    quarters: usize,
}

impl Room {
    /// After so many changed cells, of as many as a commit may publish. A quarter always, or there would be no end of it.
    fn after(cells: usize, most: usize) -> Room {
        let left = most.saturating_sub(cells);
        Room { quarters: (4 * left).checked_div(most).unwrap_or_default().max(1) }
    }

    /// Its share of something.
    fn of(self, most: usize) -> usize {
        (most * self.quarters / 4).max(1)
    }
}

/// Where publications go.
pub trait Effects {
    /// The value of a key of `insight.metrics`, replacing the one before.
    fn value(&mut self, key: &str, value: &MetricValue<'_>);
    /// Nothing is left under a key.
    fn tombstone(&mut self, key: &str);
    /// What an analysis says at a place, with its revision and status; `None`: nothing is left there.
    fn analysis(&mut self, place: &AnalysisPlace<'_>, analysed: Analysed<'_>, published: Option<(u64, Status)>);
    /// What stands for all that an analysis says but its revision and status: the same for the same. `None` where it is not looked at,
    /// because what makes such an analysis due changes what it says.
    fn content(&mut self, place: &AnalysisPlace<'_>, analysed: Analysed<'_>) -> Option<u64>;
    /// An alert about a metric, replacing what was said of it before.
    fn alert(&mut self, alert: &Alert<'_>);
    /// Nothing is left to say of an alert.
    fn alert_gone(&mut self, id: AlertId);
    /// Something for the partition that has the analyses: [`Metrics::department`].
    fn tell(&mut self, news: DepartmentNews);
}

/// The metrics of one task: the cells of the families that are placed there.
#[derive(Debug)]
pub struct Metrics {
    pub(super) options: Options,
    pub(super) cells: Cells,
    pub(super) analysed: Families,
    pub(super) fits: Fits,
    watch: Watch,
    /// Level families that contributions changed since the last commit, in the order in which they came.
    families: IndexMap<StoreKey, Family, ahash::RandomState>,
    /// `None` until it is read from the store.
    settling: Option<Settling>,
    sweep: Sweep,
    /// Whether provisional cells may be left in settled windows.
    pub(super) settles: bool,
    /// Whether cells may be held back though their windows have begun.
    pub(super) begins: bool,
    /// Provisional cells by the day on which they settle.
    provisional: Queue,
    /// Cells held back, by the day on which their windows begin.
    held_back: Queue,
    /// `None` until it is read from the store.
    pub(super) rebuild: Option<Option<Rebuild>>,
    background_left: bool,
}

/// The walk over all level families that closes days for them.
///
/// ```text
/// idle ──day closes, or work was left──▶ running from the start ──end of families──▶ idle
///                                          ⟲ day closes: once more from the start
/// ```
#[derive(Debug, PartialEq, Eq)]
enum Sweep {
    Idle,
    Running {
        /// The first key not looked at yet.
        from: Vec<u8>,
        /// Whether a family that was already passed has something to do.
        again: bool,
    },
}

impl Sweep {
    fn start() -> Sweep {
        Sweep::Running { from: vec![cells::LEVEL_FAMILY], again: false }
    }

    fn request(&mut self) {
        match self {
            Sweep::Idle => *self = Sweep::start(),
            Sweep::Running { again, .. } => *again = true,
        }
    }
}

impl Metrics {
    /// A stage over a store that is restored; it reads the store when it is first used.
    pub fn new(options: Options) -> Metrics {
        Metrics {
            cells: Cells::new(options.cells_cached_max, options.dimension_values_max),
            analysed: Families::default(),
            fits: Fits::default(),
            watch: Watch::default(),
            options,
            families: IndexMap::with_hasher(ahash::RandomState::with_seeds(5, 6, 7, 8)),
            settling: None,
            // What an earlier instance left to do is found by looking once.
            sweep: Sweep::start(),
            settles: true,
            begins: true,
            provisional: Queue::new(cells::PROVISIONAL_BY_DAY),
            held_back: Queue::new(cells::HELD_BACK_BY_START),
            rebuild: None,
            background_left: true,
        }
    }

    fn settling(&mut self, store: &dyn KeyValue) -> Result<&mut Settling, MetricsError> {
        match &mut self.settling {
            Some(settling) => Ok(settling),
            empty => Ok(empty.insert(Settling::load(store)?)),
        }
    }

    /// Adds to a cell.
    pub fn contribution(
        &mut self,
        cell: CellKey<'_>,
        add: &Accumulator,
        store: &mut dyn KeyValue,
    ) -> Result<(), MetricsError> {
        self.analysed.is_busy();
        if cell.metric == family::PURCHASES {
            return self.fits.contribution(&cell, add, store);
        }
        if cell.is_of_family() {
            return self.analysed.contribution(&cell, add, store);
        }
        let definition = catalogue::definition(cell.metric).ok_or(MetricsError::UnknownMetric(cell.metric))?;
        let settling = self.settling(store)?;
        let (closed, settled) = (settling.closed(), settling.settled());
        let rest;
        let mut add = add;
        if definition.kind != MetricKind::Flow {
            let (change, left) = levels::take_apart(add, definition.kind == MetricKind::Opening);
            if change != Level::default() {
                if cell.window.kind != WindowKind::Day {
                    return Err(MetricsError::LevelWithoutDay(definition.id));
                }
                self.family(cells::family_key(&cell), closed, store)?.change(cell.window.start, change);
            }
            if left.is_zero() {
                return Ok(());
            }
            rest = left;
            add = &rest;
        }
        let late =
            settled.is_some_and(|settled| cell.window.start < settled && definition.settles_on(cell.window) <= settled);
        self.analysed.cell_changes(&cell, store)?;
        self.cells.change(cells::cell_key(&cell), late, store)?.add(add, 1);
        Ok(())
    }

    fn family(
        &mut self,
        key: StoreKey,
        closed: Option<Day>,
        store: &dyn KeyValue,
    ) -> Result<&mut Family, MetricsError> {
        let position = match self.families.get_index_of(&key) {
            Some(position) => position,
            None => {
                let family = match store.get(&key)? {
                    Some(bytes) => Family::decode(&bytes)?,
                    None => Family::new(closed),
                };
                self.families.insert_full(key, family).0
            }
        };
        Ok(&mut self.families[position])
    }

    /// Takes when the newest touchpoint of the whole hub happened: the days before its day are closed. Moves only forward.
    pub fn advance(&mut self, as_of: EventTime, store: &dyn KeyValue) -> Result<(), MetricsError> {
        let day = self.options.calendar.day(as_of);
        if self.settling(store)?.advance(day) {
            self.sweep.request();
            self.begins = true;
        }
        Ok(())
    }

    /// Takes the watermark of a source (a partition of the stage before), `None` while it is idle. The lowest decides which
    /// windows are settled (those of metrics that wait for something later than others), once all [`Options::sources`] were heard of.
    pub fn watermark(
        &mut self,
        source: u32,
        watermark: Option<EventTime>,
        store: &dyn KeyValue,
    ) -> Result<(), MetricsError> {
        // `watermark − grace` on or after the first instant of the day after a window: the window's end plus grace is passed.
        let day = watermark.map(|at| self.options.calendar.day(EventTime(at.0.saturating_sub(self.options.grace_ms))));
        let expected = self.options.sources;
        if self.settling(store)?.watermark(source, day, expected) {
            self.settles = true;
        }
        Ok(())
    }

    /// The last call before each commit: publishes every cell that changed, once. What closing days, settling windows and
    /// late changes of levels ask for goes on up to [`Options::background_steps_max`]; returns whether some of it is left
    /// for the next commit, which should then come without waiting for input.
    pub fn publish(&mut self, store: &mut dyn KeyValue, effects: &mut dyn Effects) -> Result<bool, MetricsError> {
        let turn = self.publish_values(store, effects)?;
        let parameters_left = self.publish_parameters(turn, store, effects)?;
        let analyses_left = self.publish_analyses(turn, store, effects)?;
        Ok(turn.left || parameters_left || analyses_left)
    }

    /// The first part of [`Metrics::publish`], for who looks at the clock between them: the cells.
    pub fn publish_values(
        &mut self,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<Turn, MetricsError> {
        let settling = self.settling(store)?;
        settling.save(store);
        let (as_of, closed, settled) = (settling.as_of_day(), settling.closed(), settling.settled());
        let steps = self.options.background_steps_max;
        // Less where contributions have changed much, so that a commit does not publish more than it can in a moment; a quarter
        // always. Without a step there would be no end of it.
        let given = steps.saturating_sub(self.cells.waiting()).max(steps / 4).max(1);
        let mut budget = Budget { steps: given };
        for (key, mut family) in std::mem::take(&mut self.families) {
            let done = match closed {
                Some(target) => family.work(&key, target, settled, &mut budget, &mut self.cells, store)?,
                None => true,
            };
            if !done {
                self.sweep.request();
            }
            family.save(&key, store);
        }
        if let Some(target) = closed {
            self.close_days(target, settled, &mut budget, store)?;
        } else {
            // Nothing has closed: the first `advance` asks again.
            self.sweep = Sweep::Idle;
        }
        let rebuilt_left = self.publish_rebuilt(self.sweep == Sweep::Idle, &mut budget, store)?;
        let withhold = self.is_withheld(store)?;
        let publishes_rebuilt = !withhold && self.is_rebuilding(store)?;
        match as_of {
            // What waits for its publication begins with it.
            _ if withhold || publishes_rebuilt => {}
            Some(as_of) => self.begin(as_of, &mut budget, store)?,
            None => self.begins = false,
        }
        match settled {
            // What waits for its publication is settled by it.
            _ if withhold || publishes_rebuilt => {}
            Some(settled) => self.settle(settled, &mut budget, store)?,
            None => self.settles = false,
        }
        let spent = given.saturating_sub(budget.steps);
        let room = Room::after(self.cells.waiting() + spent, steps);
        let weeks = if withhold {
            self.cells.withhold(store)?;
            Vec::new()
        } else {
            let rebuilt = match &self.rebuild {
                Some(Some(Rebuild::Publishing { from })) => Some(from.as_slice()),
                _ => None,
            };
            self.cells.publish(Publishing { as_of, settled }, rebuilt, store, effects)?
        };
        let looks_later = withhold || self.sweep != Sweep::Idle;
        let watch = (as_of, looks_later);
        let watch_left = self.watch.publish(&weeks, watch, &self.options, &mut budget, store, effects)?;
        let waits = (self.settles || self.begins) && !withhold;
        let left = self.sweep != Sweep::Idle || rebuilt_left || waits || watch_left;
        self.background_left = left;
        Ok(Turn { closed, settled, withhold, left, room })
    }

    /// The second part: the parameters of the models of buying. Returns whether some are left for the next commit.
    pub fn publish_parameters(
        &mut self,
        Turn { closed, settled, withhold, room, .. }: Turn,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<bool, MetricsError> {
        let busy = self.analysed.was_busy();
        let steps = room.of(self.options.background_steps_max);
        let left = self.fits.publish(Time { closed, settled, withhold, busy, steps }, store, effects)?;
        self.background_left |= left;
        Ok(left)
    }

    /// The third part: the analyses. Returns whether some are left for the next commit.
    pub fn publish_analyses(
        &mut self,
        Turn { settled, withhold, room, .. }: Turn,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<bool, MetricsError> {
        let stated = (&*self.options.capacities, &*self.options.stated);
        let most = Work { elements: room.of(WORK_PER_COMMIT), steps: room.of(STEPS_PER_COMMIT) };
        let left = self.analysed.publish((settled, withhold), most, stated, store, effects)?;
        self.background_left |= left;
        Ok(left)
    }

    /// Goes on with the sweep over level families.
    fn close_days(
        &mut self,
        target: Day,
        settled: Option<Day>,
        budget: &mut Budget,
        store: &mut dyn KeyValue,
    ) -> Result<(), MetricsError> {
        let mut passed = 0_usize;
        while let Sweep::Running { from, again } = &mut self.sweep {
            if budget.is_spent() {
                return Ok(());
            }
            let mut found = Vec::new();
            let limit = SCAN_ENTRIES_MAX.min(budget.steps.saturating_mul(FAMILIES_PER_STEP));
            store.scan(from, &[cells::LEVEL_FAMILY + 1], &mut |key, value| {
                found.push((key.to_vec(), Family::decode(value)));
                if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            let at_end = found.len() < limit;
            for (key, family) in found {
                if budget.is_spent() {
                    *from = key;
                    return Ok(());
                }
                let mut family = family?;
                if family.is_up_to(target) {
                    passed += 1;
                    budget.spend(usize::from(passed.is_multiple_of(FAMILIES_PER_STEP)));
                } else {
                    let done = family.work(&key, target, settled, budget, &mut self.cells, store)?;
                    family.save(&key, store);
                    if !done {
                        *from = key;
                        return Ok(());
                    }
                }
                *from = key;
                // The smallest key after this one.
                from.push(0);
            }
            if at_end {
                self.sweep = if *again { Sweep::start() } else { Sweep::Idle };
            }
        }
        Ok(())
    }

    /// Marks cells that are held back and whose windows have begun, so that they are published.
    fn begin(&mut self, as_of: Day, budget: &mut Budget, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        if !self.begins || budget.is_spent() {
            return Ok(());
        }
        let found = self.held_back.next(as_of, budget.steps, store)?;
        self.begins = found.len() == budget.steps;
        budget.spend(found.len());
        for key in found {
            self.cells.change(key, false, store)?;
        }
        Ok(())
    }

    /// Marks provisional cells of settled windows, so that they are published as final.
    fn settle(&mut self, settled: Day, budget: &mut Budget, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        if !self.settles || budget.is_spent() {
            return Ok(());
        }
        let found = self.provisional.next(settled, budget.steps, store)?;
        self.settles = found.len() == budget.steps;
        budget.spend(found.len());
        for key in found {
            self.cells.change(key, false, store)?;
        }
        Ok(())
    }

    /// How many cells changed since the last commit: what the next one publishes at least.
    pub fn cells_changed(&self) -> usize {
        self.cells.waiting()
    }

    /// Whether closing days, settling windows or late changes of levels are waiting for the next commit.
    pub fn has_background_work(&self) -> bool {
        self.background_left
    }

    /// Whether alerts are told from now on as they are, or held back because the hub takes in history. At first they are told.
    pub fn tell_alerts(&mut self, is_live: bool) {
        self.watch.tell_alerts(is_live);
    }

    /// An operator has seen an alert, of whichever metric, or a priority: it counts whenever that is there, now or later.
    pub fn acknowledge(
        &mut self,
        id: AlertId,
        acknowledgement: &Acknowledgement,
        store: &mut dyn KeyValue,
    ) -> Result<(), MetricsError> {
        if self.watch.acknowledge(id, acknowledgement, store)? {
            // It may be a priority, of any month.
            self.analysed.priority_seen(store)?;
        }
        Ok(())
    }

    /// Takes what a partition tells of a department's month.
    pub fn department(&mut self, news: &DepartmentNews, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        for (month, spoke) in departments::take(news, store)? {
            self.analysed.department_changes(month, &spoke, store)?;
        }
        Ok(())
    }

    /// Windows that settle on this day or before are settled; `None` while nothing is known of it.
    pub fn settled_day(&self) -> Option<Day> {
        self.settling.as_ref().and_then(Settling::settled)
    }

    /// What was published and stored is committed.
    pub fn committed(&mut self) {
        self.cells.committed();
        self.analysed.committed();
    }

    /// The commit failed and the store is as it was before: forgets everything that is not in it.
    pub fn rolled_back(&mut self) {
        *self = Metrics::new(self.options.clone());
    }

    /// An entry of the changelog (`None`: deleted) was restored into the store: keeps the local indexes of provisional cells
    /// and of those held back.
    pub fn restored(key: &[u8], value: Option<&[u8]>, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        match key.first() {
            Some(&cells::CELL) => Ranking::restored(key, value, store)?,
            Some(&cells::OTHERS) => {}
            _ => return Ok(()),
        }
        let cell = cells::parse_cell_key(key)?;
        let definition = catalogue::definition(cell.metric).ok_or(MetricsError::UnknownMetric(cell.metric))?;
        if definition.ahead {
            let index_key = cells::held_back_key(cell.window.start, key);
            match value.is_some_and(cells::is_held_back) {
                true => store.put_local(&index_key, &[]),
                false => store.delete_local(&index_key),
            }
        }
        let index_key = cells::provisional_key(definition.settles_on(cell.window), key);
        match value.map(cells::stored_is_provisional) {
            Some(Some(true)) => store.put_local(&index_key, &[]),
            Some(Some(false)) | None => store.delete_local(&index_key),
            Some(None) => return Err(MetricsError::Corrupted { what: "a cell" }),
        }
        Ok(())
    }
}
