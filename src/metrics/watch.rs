//! Weeks of metrics in, alerts about those outside their usual range out.
//!
//! ```text
//! u metric currency³ dimension value  →  version examined-week alert?    a series: the weeks of metric × currency × dimension value
//! j alert¹⁶                           →  its series                      of each week of the run that is open
//! k alert¹⁶                           →  acknowledgement                  also of a priority
//! ```
//! Looked at is the newest week that was over for the metric (nothing on time counts in it any more) when the newest touchpoint's
//! day, less the grace, began: a function of cells and that day. It is compared with the usual ones
//! among the weeks before as [`crate::analyses::range`] says; an alert is about the run of weeks outside their range that ends
//! with it. When the week after is over the alert is updated, or closed.
//!
//! The alert's id follows from the first week of the run. Each later week of it would have had an id of its own, had the run begun
//! there, and with fewer late touchpoints it did: whoever has seen one of those has seen this one, and one of those that the
//! feed knows goes on in it, and is not closed. No id can stay the same whatever comes late: that of a run from which a week in the middle
//! is taken would have to be that of what is left before the gap, which ended, and of what is left after it, which did not.
//!
//! ```text
//!            a week is over, a cell of one that is over changes, somebody has seen its alert
//! (as it is) ──────────────────────────────────────────────────────────────────────────────▶ due ──examined──▶ (as it is)
//! ```
//! Nothing is examined while the hub takes in history, days wait to be closed, or a rebuild withholds what it finds. That a
//! series is due is stored: its examined week is none.

// tidy: hash order unseen because nothing walks over an IndexSet

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::ControlFlow,
};

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use super::{
    catalogue::{self, Definition, index},
    cells::{self, StoreKey},
    levels::Budget,
    stage::{Effects, MetricsError, Options},
    values::Figures,
};
use crate::{
    analyses::{
        range::{TEST, Usual, WINDOWS},
        statistics::{OBSERVATIONS_MIN, Z_95},
    },
    model::{
        Accumulator, Acknowledgement, Alert, AlertCause, AlertId, AlertSeries, AlertState, Day, DepartmentNews,
        Dimension, KeyValue, Uncertainty, Window, WindowKind,
    },
};

const SERIES: u8 = b'u';
const INDEX: u8 = b'j';
const ACKNOWLEDGED: u8 = b'k';

/// Version of the stored form of a series, and of what an alert means: what another one wrote is examined anew.
const VERSION: u8 = 3;
/// The same before alerts named their test.
const VERSION_WITHOUT_TEST: u8 = 2;
/// The same before alerts had weeks.
const VERSION_WITHOUT_WEEKS: u8 = 1;

/// Series that are known to be stored.
const KNOWN_MAX: usize = 65_536;
/// Series that are remembered to be due.
const DUE_MAX: usize = if cfg!(test) { 3 } else { 65_536 };
/// What examining a series costs of a commit's steps (a year of weeks is looked up), and how many can be passed over for one.
const STEPS_PER_SERIES: usize = 60;
const PASSED_PER_STEP: usize = 16;
const SCAN_ENTRIES_MAX: usize = 256;

const DAYS: i32 = 7;
/// So many weeks are looked back to.
const WEEKS_BACK: i32 = 52;

/// Metrics that count or add up whatever is there: each week from the first on is a number, and so is one without any.
const COUNTS: &[u8] =
    &[index::NEW_CUSTOMERS, index::REVENUE, index::ORDERS, index::REACH, index::OVERDUE, index::UNANSWERED];

/// Dimensions whose values come and go, or of which there is no end.
const NOT_WATCHED: &[Dimension] = &[Dimension::Campaign, Dimension::Account];

fn is_watched(definition: &Definition, dimension: Dimension) -> bool {
    definition.index != index::DATA_QUALITY && !definition.currencies_within && !NOT_WATCHED.contains(&dimension)
}

/// What is open of a series, as the feed knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    id: AlertId,
    owner: Box<str>,
    since: Day,
    /// XXH3-64 of everything else that was said of it.
    content: u64,
    revision: u32,
    /// The length of its run.
    weeks: u8,
}

impl Open {
    /// The ids of its weeks: its own, and those that it would have, had its run begun later.
    fn ids(&self, series: &AlertSeries<'_>) -> BTreeSet<AlertId> {
        ids(series, self.since, self.weeks).collect()
    }

    /// Whether one that would have begun on the day is the end of this one.
    fn goes_back_to(&self, since: Day) -> bool {
        let days = since.0 - self.since.0;
        (0..i32::from(self.weeks) * DAYS).contains(&days) && days % DAYS == 0
    }
}

/// The ids of alerts about the weeks of a run: what a run that begins with each of them has.
fn ids(series: &AlertSeries<'_>, since: Day, weeks: u8) -> impl Iterator<Item = AlertId> {
    (0..i32::from(weeks)).map(move |week| AlertId::of_metric(series, since.plus(DAYS * week)))
}

/// The same as it was before alerts had weeks.
#[derive(Deserialize)]
struct OpenWithoutWeeks {
    id: AlertId,
    owner: Box<str>,
    since: Day,
    content: u64,
    revision: u32,
}

/// What is kept of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Series {
    /// The start of the week that was examined last; `None`: it is due.
    examined: Option<Day>,
    open: Option<Open>,
}

impl Series {
    fn read(key: &[u8], store: &dyn KeyValue) -> Result<Option<Series>, MetricsError> {
        store.get(key)?.map(|bytes| Series::decode(&bytes)).transpose()
    }

    fn decode(bytes: &[u8]) -> Result<Series, MetricsError> {
        match bytes {
            [VERSION, rest @ ..] => {
                postcard::from_bytes(rest).map_err(|_| MetricsError::Corrupted { what: "a watched series" })
            }
            [VERSION_WITHOUT_TEST, rest @ ..] => {
                let series: Series =
                    postcard::from_bytes(rest).map_err(|_| MetricsError::Corrupted { what: "a watched series" })?;
                Ok(Series { examined: None, ..series })
            }
            [VERSION_WITHOUT_WEEKS, rest @ ..] => {
                let (_, open): (Option<Day>, Option<OpenWithoutWeeks>) =
                    postcard::from_bytes(rest).map_err(|_| MetricsError::Corrupted { what: "a watched series" })?;
                let open = open.map(|it| {
                    let OpenWithoutWeeks { id, owner, since, content, revision } = it;
                    Open { id, owner, since, content, revision, weeks: 1 }
                });
                Ok(Series { examined: None, open })
            }
            // What another version means by an alert is not known here.
            [_, ..] => Ok(Series::default()),
            [] => Err(MetricsError::Corrupted { what: "a watched series" }),
        }
    }

    fn save(&self, key: &[u8], store: &mut dyn KeyValue) {
        store.put(key, &postcard::to_extend(self, vec![VERSION]).expect("a vector takes every byte"));
    }
}

fn key_of(first: u8, id: AlertId) -> StoreKey {
    let mut key = StoreKey::new();
    key.push(first);
    key.extend_from_slice(&id.0);
    key
}

/// The newest week that is over for a metric when a day begins.
fn newest(definition: &Definition, day: Day) -> Window {
    let week = Window::of(WindowKind::Week, day);
    let waits = definition.settles_on(week).0 - week.start.0;
    Window::of(WindowKind::Week, day.plus(-waits))
}

/// A week outside its usual range.
struct Unusual {
    figures: Figures,
    value: f64,
    usual: Usual,
}

/// The weeks of a series, by their start.
struct Weeks {
    definition: &'static Definition,
    figures: BTreeMap<Day, Figures>,
}

impl Weeks {
    /// A week and those that are looked back to from it.
    fn read(
        series: &[u8],
        definition: &'static Definition,
        last: Window,
        store: &dyn KeyValue,
    ) -> Result<Weeks, MetricsError> {
        let first = Window { start: last.start.plus(-DAYS * WEEKS_BACK), ..last };
        let mut after = cells::cell_key_in_family(series, last);
        after.push(0);
        let mut figures = BTreeMap::new();
        let mut failure = Ok(());
        store.scan(&cells::cell_key_in_family(series, first), &after, &mut |key, value| {
            let read = cells::parse_cell_key(key)
                .and_then(|cell| Ok((cell.window.start, cells::accumulator(cell.metric, value)?)));
            match read {
                Ok((start, sum)) => drop(figures.insert(start, (definition.figures)(&sum))),
                Err(error) => failure = Err(error),
            }
            if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        failure?;
        Ok(Weeks { definition, figures })
    }

    /// Whether a series has weeks after one.
    fn are_to_come(series: &[u8], last: Window, store: &dyn KeyValue) -> Result<bool, MetricsError> {
        let [first, after] = [1, WEEKS_BACK].map(|weeks| Window { start: last.start.plus(DAYS * weeks), ..last });
        let (first, after) = (cells::cell_key_in_family(series, first), cells::cell_key_in_family(series, after));
        let mut is_any = false;
        store.scan(&first, &after, &mut |_, _| {
            is_any = true;
            ControlFlow::Break(())
        })?;
        Ok(is_any)
    }

    /// The last week, if it is outside its range, and the first of the run of such weeks that ends with it. What is usual is
    /// said by weeks that were themselves usual: a problem that lasts does not become usual by lasting, until so many
    /// weeks as are looked back to are full of it.
    fn run(&self, last: Day) -> Option<(Unusual, Day)> {
        let mut usual: VecDeque<f64> = VecDeque::with_capacity(WINDOWS);
        let mut run: Option<(Unusual, Day)> = None;
        for back in (0..=WEEKS_BACK).rev() {
            let start = last.plus(-DAYS * back);
            let unusual = self.judge(start, &mut usual);
            run = unusual.map(|unusual| (unusual, run.take().map_or(start, |(_, first)| first)));
        }
        run
    }

    /// A week, if it is outside the range that the usual ones before it make; otherwise it is one of them.
    fn judge(&self, start: Day, usual: &mut VecDeque<f64>) -> Option<Unusual> {
        let counts = COUNTS.contains(&self.definition.index);
        let figures = match self.figures.get(&start) {
            Some(figures) => figures.clone(),
            // Before the first week there was no series.
            None if counts && self.figures.first_key_value().is_some_and(|(first, _)| *first < start) => {
                (self.definition.figures)(&Accumulator::default())
            }
            None => return None,
        };
        let value = figures.value?;
        let is_enough = counts || figures.n >= OBSERVATIONS_MIN;
        if is_enough {
            let standard_error = match figures.uncertainty {
                Some(Uncertainty::StandardError(error)) => Some(error),
                Some(Uncertainty::Interval(low, high)) => Some((high - low) / (2.0 * Z_95)),
                // That of events that happen one by one.
                None if counts && self.definition.index != index::REVENUE => {
                    Some((usual.iter().sum::<f64>() / usual.len() as f64).sqrt()).filter(|error| error.is_finite())
                }
                None => None,
            };
            let found = Usual::of(usual.make_contiguous(), standard_error).filter(|range| !range.holds(value));
            if let Some(usual) = found {
                return Some(Unusual { figures, value, usual });
            }
        }
        if is_enough {
            if usual.len() == WINDOWS {
                usual.pop_front();
            }
            usual.push_back(value);
        }
        None
    }
}

/// What is watched: a cache of the store.
#[derive(Debug)]
pub(super) struct Watch {
    known: IndexSet<StoreKey, ahash::RandomState>,
    due: BTreeSet<StoreKey>,
    /// Of those, the ones of which the store does not say it yet.
    newly_due: BTreeSet<StoreKey>,
    /// The day for which every series was examined last.
    looked: Option<Day>,
    /// The day for which they are being examined, and the first key not looked at yet.
    looking: Option<(Day, Vec<u8>)>,
    is_live: bool,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch {
            known: IndexSet::with_hasher(ahash::RandomState::with_seeds(3, 4, 5, 6)),
            due: BTreeSet::new(),
            newly_due: BTreeSet::new(),
            looked: None,
            looking: None,
            is_live: true,
        }
    }
}

impl Watch {
    /// Whether series are examined, or it waits for the hub to have taken in history. At first they are.
    pub(super) fn tell_alerts(&mut self, is_live: bool) {
        self.is_live = is_live;
    }

    /// A cell was published, or its tombstone.
    fn cell_changed(&mut self, key: &[u8], day: Option<Day>, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        let cell = cells::parse_cell_key(key)?;
        let definition = catalogue::definition(cell.metric).ok_or(MetricsError::UnknownMetric(cell.metric))?;
        if cell.window.kind != WindowKind::Week || !is_watched(definition, cell.dimension) {
            return Ok(());
        }
        let mut series = cells::family_key(&cell);
        series[0] = SERIES;
        if !self.known.contains(&series) {
            if Series::read(&series, store)?.is_none() {
                Series::default().save(&series, store);
            }
            if self.known.len() >= KNOWN_MAX {
                self.known.clear();
            }
            self.known.insert(series.clone());
        }
        if day.is_some_and(|day| cell.window.start <= newest(definition, day).start) {
            self.note_due(series);
        }
        Ok(())
    }

    fn note_due(&mut self, series: StoreKey) {
        if self.due.insert(series.clone()) {
            self.newly_due.insert(series);
        }
    }

    /// A rebuild computes the cells anew: up to so many series that were examined are due. Returns how many there were.
    pub(super) fn all_due(entries_max: usize, store: &mut dyn KeyValue) -> Result<usize, MetricsError> {
        let mut examined = Vec::new();
        let mut failure = Ok(());
        store.scan(&[SERIES], &[SERIES + 1], &mut |key, value| {
            match Series::decode(value) {
                Ok(series) if series.examined.is_some() => examined.push((StoreKey::from_slice(key), series)),
                Ok(_) => {}
                Err(error) => failure = Err(error),
            }
            if failure.is_ok() && examined.len() < entries_max {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        failure?;
        let count = examined.len();
        for (key, series) in examined {
            Series { examined: None, ..series }.save(&key, store);
        }
        Ok(count)
    }

    /// An operator has seen something: it counts whenever it is there, now or later. Returns whether it is no alert that is open.
    pub(super) fn acknowledge(
        &mut self,
        id: AlertId,
        acknowledgement: &Acknowledgement,
        store: &mut dyn KeyValue,
    ) -> Result<bool, MetricsError> {
        if self::acknowledgement(id, store)?.is_some_and(|known| known.number <= acknowledgement.number) {
            return Ok(false);
        }
        let bytes = postcard::to_stdvec(acknowledgement).expect("a vector takes every byte");
        store.put(&key_of(ACKNOWLEDGED, id), &bytes);
        match store.get(&key_of(INDEX, id))? {
            Some(series) => self.note_due(StoreKey::from_slice(&series)),
            None => return Ok(true),
        }
        Ok(false)
    }

    /// Part of each publication: `changed` are the keys of the weeks' cells in it. `as_of`: the day of the newest touchpoint. Where
    /// `waits`, nothing is examined yet. Returns whether something is left that needs no further input.
    pub(super) fn publish(
        &mut self,
        changed: &[StoreKey],
        (as_of, waits): (Option<Day>, bool),
        options: &Options,
        budget: &mut Budget,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<bool, MetricsError> {
        let day = as_of.map(|day| day.plus(-options.grace_days()));
        for key in changed {
            self.cell_changed(key, day, store)?;
        }
        let mut more = false;
        if let Some(day) = day.filter(|_| !waits && self.is_live) {
            while let Some(series) = self.due.first().cloned() {
                if budget.is_spent() {
                    break;
                }
                budget.spend(STEPS_PER_SERIES);
                self.examine(&series, day, options, store, effects)?;
                self.due.remove(&series);
                self.newly_due.remove(&series);
            }
            self.look(day, options, budget, store, effects)?;
            more = !self.due.is_empty() || self.looking.is_some();
        }
        for key in std::mem::take(&mut self.newly_due) {
            let series = Series::read(&key, store)?.unwrap_or_default();
            Series { examined: None, ..series }.save(&key, store);
        }
        if self.due.len() > DUE_MAX {
            // As while history is taken in. The store says which they are, to who looks at every series.
            self.due.clear();
            (self.looked, self.looking) = (None, None);
        }
        Ok(more)
    }

    /// Goes on with looking at every series, if a week is over for one of the metrics.
    fn look(
        &mut self,
        day: Day,
        options: &Options,
        budget: &mut Budget,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<(), MetricsError> {
        let is_over =
            |before: Day| before != day && catalogue::CATALOGUE.iter().any(|it| newest(it, before) != newest(it, day));
        loop {
            if self.looking.is_none() && self.looked.is_none_or(is_over) {
                self.looking = Some((day, vec![SERIES]));
            }
            let Some((of, from)) = &mut self.looking else { return Ok(()) };
            if budget.is_spent() {
                return Ok(());
            }
            let of = *of;
            let mut found = Vec::new();
            store.scan(from, &[SERIES + 1], &mut |key, value| {
                found.push((StoreKey::from_slice(key), Series::decode(value)));
                if found.len() < SCAN_ENTRIES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            let is_last = found.len() < SCAN_ENTRIES_MAX;
            for (number, (key, series)) in found.into_iter().enumerate() {
                // Asked before anything is spent: the smallest budget gets on by one.
                if budget.is_spent() {
                    self.looking = Some((of, key.to_vec()));
                    return Ok(());
                }
                budget.spend(usize::from(number % PASSED_PER_STEP == 0));
                let definition = definition_of(&key)?;
                if series?.examined != Some(newest(definition, day).start) {
                    budget.spend(STEPS_PER_SERIES);
                    self.examine(&key, day, options, store, effects)?;
                }
                // The smallest key after this one.
                self.looking = Some((of, [&key[..], &[0]].concat()));
            }
            if is_last {
                // A week may have ended since it began: what was looked at before that is looked at again.
                (self.looked, self.looking) = (Some(of), None);
            }
        }
    }

    fn examine(
        &mut self,
        key: &StoreKey,
        day: Day,
        options: &Options,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<(), MetricsError> {
        let definition = definition_of(key)?;
        let last = newest(definition, day);
        let weeks = Weeks::read(key, definition, last, store)?;
        let mut kept = Series::read(key, store)?.unwrap_or_default();
        let before = kept.open.take();
        // As the key of one of its cells, to read what it says.
        let cell = cells::cell_key_in_family(key, last);
        let cell = cells::parse_cell_key(&cell)?;
        let series = AlertSeries {
            metric: definition.id,
            currency: cell.currency,
            dimension: cell.dimension,
            value: cell.value,
        };
        if let Some((found, first)) = weeks.run(last.start) {
            let first = Window { start: first, ..last };
            let since = definition.settles_on(first).plus(options.grace_days()).previous();
            let id = AlertId::of_metric(&series, since);
            let owner = if series.dimension == Dimension::Spoke { series.value } else { &options.alerts_owner };
            let weeks = u8::try_from((last.start.0 - first.start.0) / DAYS + 1)
                .expect("a run is no longer than what is looked at");
            let mut acknowledged: Option<Acknowledgement> = None;
            for id in ids(&series, since, weeks) {
                let seen = acknowledgement(id, store)?;
                if seen
                    .as_ref()
                    .is_some_and(|seen| acknowledged.as_ref().is_none_or(|first| seen.number < first.number))
                {
                    acknowledged = seen;
                }
            }
            let usual = &found.usual;
            let mut alert = Alert {
                id,
                cause: AlertCause::MetricUnusual,
                state: if acknowledged.is_some() { AlertState::Acknowledged } else { AlertState::Open },
                owner,
                person: None,
                series: Some((series, Some(last))),
                thing: None,
                since,
                happened_at: None,
                test: Some(TEST),
                figures: BTreeMap::from([
                    ("value", found.value),
                    ("n", found.figures.n as f64),
                    ("usual_low", usual.low),
                    ("usual_high", usual.high),
                    ("mean", usual.mean),
                    ("windows", usual.windows as f64),
                ]),
                acknowledged,
                revision: 0,
            };
            let content = alert.content();
            let same = before.as_ref().filter(|before| before.id == id);
            alert.revision = same.map_or(0, |same| same.revision);
            if same.is_none_or(|same| same.content != content) {
                alert.revision = alert.revision.saturating_add(1);
                effects.alert(&alert);
            }
            // Also where nothing has changed: a rebuild asks.
            effects.tell(DepartmentNews::Alert(id, Some((owner.into(), since))));
            kept.open = Some(Open { id, owner: owner.into(), since, content, revision: alert.revision, weeks });
        }
        let ids = |open: Option<&Open>| open.map_or_else(BTreeSet::new, |open| open.ids(&series));
        let (known, found) = (ids(before.as_ref()), ids(kept.open.as_ref()));
        for id in found.difference(&known) {
            store.put(&key_of(INDEX, *id), key);
        }
        for id in known.difference(&found) {
            store.delete(&key_of(INDEX, *id));
        }
        if let Some(before) = before.filter(|before| kept.open.as_ref().is_none_or(|open| open.id != before.id)) {
            // Its cause is not over where it has only begun earlier.
            if kept.open.as_ref().is_none_or(|open| !open.goes_back_to(before.since)) {
                let last = Alert::closed(before.id, AlertCause::MetricUnusual, &before.owner, before.since);
                let revision = before.revision.saturating_add(1);
                effects.alert(&Alert { series: Some((series, None)), revision, ..last });
            }
            effects.alert_gone(before.id);
            effects.tell(DepartmentNews::Alert(before.id, None));
        }
        if weeks.figures.is_empty() && kept.open.is_none() && !Weeks::are_to_come(key, last, store)? {
            store.delete(key);
            self.known.swap_remove(key);
            return Ok(());
        }
        kept.examined = Some(last.start);
        kept.save(key, store);
        Ok(())
    }
}

/// The metric of a series' key.
fn definition_of(series: &[u8]) -> Result<&'static Definition, MetricsError> {
    let metric = series.get(1).copied().unwrap_or(u8::MAX);
    catalogue::definition(metric).ok_or(MetricsError::UnknownMetric(metric))
}

/// Who has seen something, by its id.
pub(super) fn acknowledgement(id: AlertId, store: &dyn KeyValue) -> Result<Option<Acknowledgement>, MetricsError> {
    let corrupted = |_| MetricsError::Corrupted { what: "an acknowledgement" };
    store.get(&key_of(ACKNOWLEDGED, id))?.map(|bytes| postcard::from_bytes(&bytes).map_err(corrupted)).transpose()
}
