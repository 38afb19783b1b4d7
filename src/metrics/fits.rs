//! Changes of how customers bought in; and out, as of each month's end, the parameters of the models of buying.
//!
//! ```text
//! a metric start⁴ dimension family 0x00 element  →  version accumulator    what changed in a month, never zero
//! p start⁴                                       →  version due status revision
//!
//!      the month closes, it or one before it changes, it settles          fitted
//! (as it is) ─────────────────────────────────────────────────▶ due ─────────────────▶ (as it is)
//! ```
//! How customers bought by the end of a month is the sum over its changes and those of all months before. So a late purchase
//! changes every later month; of these the newest [`MONTHS_MAX`] have parameters, and all of them are fitted again: what is
//! published is a function of what happened. They are fitted in one walk through the changes, oldest month first, of which
//! each commit takes a few steps. A walk is not stored: after a restart it begins anew. It begins when a commit brings no
//! contributions, and after [`BUSY_COMMITS_MAX`] that do.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
};

use super::{
    cells::{StoreKey, day_bytes, day_of_bytes},
    families::{self, Analysed, ELEMENT},
    published::Published,
    publishing::next_status,
    stage::{Effects, MetricsError},
};
use crate::{
    analyses::buying::month::{BuyingCounts, BuyingFitting},
    model::{
        Accumulator, AnalysisPlace, CellKey, Currency, Day, Dimension, KeyValue, PurchaseElement, Status, Window,
        WindowKind, family,
    },
};

/// First byte of the keys of months.
const MONTH: u8 = b'p';
/// The newest closed months that have parameters.
const MONTHS_MAX: usize = 12;
/// What is due waits for so many commits with contributions at most.
const BUSY_COMMITS_MAX: u32 = 512;
/// So many terms of a likelihood are evaluated where one change is looked at.
const TERMS_PER_STEP: usize = 40;

/// The name of both models together in keys.
const MODEL: &str = "buying";

/// Where time stands in a commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    /// The last closed day.
    pub closed: Option<Day>,
    /// Windows that end on this day or before are settled.
    pub settled: Option<Day>,
    /// Nothing is published yet.
    pub withhold: bool,
    /// The commit brings contributions.
    pub busy: bool,
    /// Changes that the commit looks at, at most; of likelihoods it evaluates forty times as many terms.
    pub steps: usize,
}

fn save(published: Published, month: Day, store: &mut dyn KeyValue) {
    store.put(&month_key(month), &published.encode());
}

fn month_key(month: Day) -> StoreKey {
    let mut key = StoreKey::new();
    key.push(MONTH);
    key.extend_from_slice(&day_bytes(month));
    key
}

/// Before every change of a month.
fn changes_of(month: Day) -> StoreKey {
    let mut key = StoreKey::new();
    key.extend_from_slice(&[ELEMENT, family::PURCHASES]);
    key.extend_from_slice(&day_bytes(month));
    key
}

fn month_of(start: Day) -> Window {
    Window::of(WindowKind::Month, start)
}

fn corrupted() -> MetricsError {
    MetricsError::Corrupted { what: "a change of how customers bought" }
}

/// What the key of a change says.
fn parse(key: &[u8]) -> Option<(Currency, PurchaseElement)> {
    let name = std::str::from_utf8(key.get(1 + families::HEAD..)?).ok()?;
    let (currency, element) = name.split_once('\0')?;
    Some((Currency::parse(currency)?, PurchaseElement::parse(element)?))
}

/// A way through all changes up to the newest month that is due.
#[derive(Debug)]
struct Walk {
    /// Changes before this key are counted.
    cursor: StoreKey,
    counts: BuyingCounts,
    currency: Option<Currency>,
    /// Months to be fitted, ascending.
    months: VecDeque<Day>,
    fitting: Option<Fitting>,
}

#[derive(Debug)]
struct Fitting {
    month: Day,
    fitting: BuyingFitting,
    /// It, or a month before it, changed since it began.
    stale: bool,
}

/// The months of a task.
#[derive(Debug, Default)]
pub(super) struct Fits {
    /// As stored; `None` until it was read.
    months: Option<BTreeMap<Day, Published>>,
    /// The oldest month that the running transaction changed.
    changed: Option<Day>,
    /// The first month that was open, and what was settled, when it was last looked which months there are.
    looked: Option<(Day, Option<Day>)>,
    walk: Option<Walk>,
    /// Commits with contributions for which something due has waited.
    waited: u32,
}

impl Fits {
    /// Adds to an element.
    pub(super) fn contribution(
        &mut self,
        cell: &CellKey<'_>,
        add: &Accumulator,
        store: &mut dyn KeyValue,
    ) -> Result<(), MetricsError> {
        let (family, name) = families::split(cell)?;
        let key = families::element_key(&family, name);
        let element = PurchaseElement::parse(name).ok_or(MetricsError::NoElement)?;
        families::add_to_element(&key, add, store)?;
        let month = cell.window.start;
        self.changed = Some(self.changed.map_or(month, |before| before.min(month)));
        if let Some(walk) = self.walk.as_mut().filter(|walk| key < walk.cursor) {
            walk.counts.add(element, add);
            if let Some(fitting) = &mut walk.fitting {
                fitting.stale |= month <= fitting.month;
            }
        }
        Ok(())
    }

    fn months(&mut self, store: &dyn KeyValue) -> Result<&mut BTreeMap<Day, Published>, MetricsError> {
        match &mut self.months {
            Some(months) => Ok(months),
            empty => {
                let mut found = BTreeMap::new();
                let mut result = Ok(());
                store.scan(&[MONTH], &[MONTH + 1], &mut |key, value| {
                    let start = key[1..].try_into().map(day_of_bytes);
                    let start = start.map_err(|_| MetricsError::Corrupted { what: "a month's key" });
                    result = start.and_then(|start| {
                        found.insert(start, Published::decode(value)?);
                        Ok(())
                    });
                    if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                result?;
                Ok(empty.insert(found))
            }
        }
    }

    /// All months from one on are due.
    fn due_from(&mut self, from: Day, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        for (&month, published) in self.months(store)?.range_mut(from..).filter(|(_, published)| !published.due) {
            published.due = true;
            save(*published, month, store);
        }
        Ok(())
    }

    /// Everything is due: a rebuild empties the changes.
    pub(super) fn all_due(&mut self, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        self.due_from(Day(i32::MIN), store)
    }

    /// A part of each commit. Returns whether something waits that needs no further input.
    pub(super) fn publish(
        &mut self,
        time: Time,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<bool, MetricsError> {
        if let Some(changed) = self.changed.take() {
            self.due_from(changed, store)?;
            self.looked = None;
        }
        let Some(closed) = time.closed.filter(|_| !time.withhold) else {
            return Ok(false);
        };
        let now = (month_of(closed.plus(1)).start, time.settled);
        if self.looked != Some(now) {
            self.look(now, store, effects)?;
            self.looked = Some(now);
        }
        if self.walk.is_none() {
            let due: VecDeque<Day> =
                self.months(store)?.iter().filter(|(_, published)| published.due).map(|(month, _)| *month).collect();
            if due.is_empty() {
                return Ok(false);
            }
            if time.busy && self.waited < BUSY_COMMITS_MAX {
                self.waited += 1;
                return Ok(true);
            }
            self.waited = 0;
            self.walk = Some(Walk {
                cursor: changes_of(Day(i32::MIN)),
                counts: BuyingCounts::default(),
                currency: None,
                months: due,
                fitting: None,
            });
        }
        self.go_on(time, store, effects)?;
        Ok(self.walk.is_some() || self.months(store)?.values().any(|published| published.due))
    }

    /// Finds out which months have parameters: the newest that are closed, from the first with a purchase on.
    fn look(
        &mut self,
        (open, settled): (Day, Option<Day>),
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<(), MetricsError> {
        let mut first = None;
        store.scan(&[ELEMENT, family::PURCHASES], &[ELEMENT, family::PURCHASES + 1], &mut |key, _| {
            first = key.get(2..6).and_then(|start| start.try_into().ok()).map(day_of_bytes);
            ControlFlow::Break(())
        })?;
        let mut wanted = BTreeMap::new();
        let mut month = month_of(open).before();
        while wanted.len() < MONTHS_MAX && first.is_some_and(|first| first <= month.start) {
            wanted.insert(month.start, month);
            month = month.before();
        }
        let months = self.months(store)?;
        let gone: Vec<Day> = months.keys().copied().filter(|month| !wanted.contains_key(month)).collect();
        for month in gone {
            if months.remove(&month).is_some_and(|published| published.status.is_some()) {
                effects.analysis(&place(month), Analysed::Buying(None), None);
            }
            store.delete(&month_key(month));
        }
        for (start, month) in wanted {
            let known = months.entry(start).or_insert(Published::default());
            let is_new = known.status.is_none() && known.revision == 0;
            let settles = settled.is_some_and(|settled| month.end() <= settled);
            if !known.due && (is_new || (settles && known.status == Some(Status::Provisional))) {
                known.due = true;
                save(*known, start, store);
            }
        }
        Ok(())
    }

    /// Takes a few steps of the walk.
    fn go_on(
        &mut self,
        Time { settled, steps, .. }: Time,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<(), MetricsError> {
        let (mut terms, mut elements) = (steps.saturating_mul(TERMS_PER_STEP), steps);
        let Some(mut walk) = self.walk.take() else { return Ok(()) };
        loop {
            if let Some(Fitting { month, fitting, stale }) = &mut walk.fitting {
                let Some(found) = fitting.advance(&mut terms) else { break };
                if let Some(published) = self.months(store)?.get_mut(month) {
                    let before = *published;
                    published.due = *stale;
                    match walk.currency.filter(|_| found.customers != 0) {
                        Some(currency) => {
                            let is_settled = settled.is_some_and(|settled| month_of(*month).end() <= settled);
                            let status = next_status(before.status, true, false, is_settled);
                            *published = Published {
                                due: *stale,
                                status: Some(status),
                                revision: before.revision + 1,
                                content: None,
                            };
                            let analysed = Analysed::Buying(Some((currency, found)));
                            effects.analysis(&place(*month), analysed, Some((published.revision, status)));
                        }
                        None => {
                            if before.status.is_some() {
                                effects.analysis(&place(*month), Analysed::Buying(None), None);
                            }
                            // One more, so that it is not taken for one that was never looked at.
                            *published =
                                Published { due: *stale, status: None, revision: before.revision + 1, content: None };
                        }
                    }
                    save(*published, *month, store);
                }
                walk.fitting = None;
                if terms == 0 {
                    break;
                }
                continue;
            }
            let Some(&month) = walk.months.front() else { return Ok(()) };
            if elements == 0 {
                break;
            }
            let end = changes_of(month_of(month).end());
            elements -= walk.count(&end, elements, store)?;
            if walk.cursor == end {
                walk.months.pop_front();
                let fitting = walk.counts.fitting(month_of(month).end().previous());
                walk.fitting = Some(Fitting { month, fitting, stale: false });
            }
        }
        self.walk = Some(walk);
        Ok(())
    }
}

impl Walk {
    /// Counts up to `limit` changes before a key, and is there if there are no more. Returns how many.
    fn count(&mut self, end: &StoreKey, limit: usize, store: &dyn KeyValue) -> Result<usize, MetricsError> {
        let (mut counted, mut result) = (0, Ok(()));
        let from = self.cursor.clone();
        store.scan(&from, end, &mut |key, value| {
            let added = parse(key).ok_or_else(corrupted).and_then(|(currency, element)| {
                self.counts.add(element, &families::decode_element(value)?);
                self.currency = Some(currency);
                Ok(())
            });
            self.cursor = StoreKey::from_slice(key);
            self.cursor.push(0);
            counted += 1;
            match added {
                Ok(()) if counted < limit => ControlFlow::Continue(()),
                Ok(()) => ControlFlow::Break(()),
                Err(error) => {
                    result = Err(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        result?;
        if counted < limit {
            self.cursor = end.clone();
        }
        Ok(counted)
    }
}

fn place(month: Day) -> AnalysisPlace<'static> {
    AnalysisPlace { subject: MODEL, window: month_of(month), dimension: Dimension::Company, dimension_value: "" }
}
