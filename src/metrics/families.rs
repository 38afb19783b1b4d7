//! Elements of families in, analyses out: the cells that an analysis looks at as a whole, and when it is published.
//!
//! ```text
//! a metric start⁴ dimension family 0x00 element  →  version accumulator           an element, never zero
//! f metric start⁴ dimension family               →  version due status revision content   what was published of the family
//! ```
//!
//! ```text
//!            an element changes, the window settles            published
//! (as it is) ──────────────────────────────────────▶ due ─────────────────▶ (as it is)
//! ```
//! What reads other families too is due when they are ([`together`]).
//!
//! An analysis costs more than a value, so it is not published in the commit that changes it, but as soon as a commit brings
//! no contributions, and after [`COMMITS_MAX`] of them at the latest. That it is due is stored: what waits is not forgotten. No
//! commit is held up by a large family: its elements are taken into a table by several of them, in the order of their keys. What
//! comes meanwhile goes into the table where its key has been passed, and is met later where it has not.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::Arc,
};

mod changes;
mod loading;
mod promises;
mod publishing;
mod table;
mod together;

use super::{
    cells::{StoreKey, day_bytes, day_of_bytes},
    published::Published,
    stage::{Effects, MetricsError},
};
use crate::{
    analyses::{contacts::Credited, priorities::Stated},
    model::{
        Accumulator, Capacities, CellKey, Day, DepartmentElement, Dimension, KeyValue, Status, Window, WindowKind,
        family,
    },
};
use changes::Changes;
use loading::{Loading, take};
use table::{Step, Table};

pub use changes::{Compared, DAYS as COMPARED_DAYS};
pub use table::{Analysed, Prioritised};

/// First byte of the keys of elements.
pub(super) const ELEMENT: u8 = b'a';
/// First byte of the keys of what was published.
const PUBLISHED: u8 = b'f';

/// Version of the stored form of elements. Golden file: `tests/fixtures/metrics_store_v1.txt`.
const VERSION: u8 = 1;

/// What comes before the family's name in its key, without the first byte: metric, start, dimension.
pub(super) const HEAD: usize = 6;

/// A family waits for so many commits with contributions at most.
const COMMITS_MAX: u32 = 32;
/// What is published in one commit that does nothing else, in the time that a comparison of two sums takes (about 0.3 ms).
pub(super) const STEPS_PER_COMMIT: usize = 24;
/// What of tables is read from the store in such a commit: about 6 ms.
pub(super) const WORK_PER_COMMIT: usize = 25_000;
/// Tables kept in memory between publications.
const TABLES_MAX: usize = 64;

/// The key of a family without its first byte, and the element of it that a cell is.
pub(super) fn split<'v>(cell: &CellKey<'v>) -> Result<(StoreKey, &'v str), MetricsError> {
    let (name, element) = family::parse_cell_value(cell.value).ok_or(MetricsError::NoElement)?;
    let mut key = StoreKey::new();
    key.push(cell.metric);
    key.extend_from_slice(&day_bytes(cell.window.start));
    key.push(cell.dimension as u8);
    key.extend_from_slice(name.as_bytes());
    Ok((key, element))
}

fn published_key(family: &[u8]) -> StoreKey {
    prefixed(PUBLISHED, family)
}

fn prefixed(first: u8, family: &[u8]) -> StoreKey {
    let mut key = StoreKey::new();
    key.push(first);
    key.extend_from_slice(family);
    key
}

pub(super) fn element_key(family: &[u8], element: &str) -> StoreKey {
    let mut key = prefixed(ELEMENT, family);
    key.push(0);
    key.extend_from_slice(element.as_bytes());
    key
}

/// What a family's key says.
struct Name<'k> {
    window: Window,
    /// The window is over for the family from this day on.
    settles: Day,
    dimension: Dimension,
    /// The parts of its name.
    parts: Vec<&'k str>,
}

/// On which day the window of a family begins.
fn day_of_family(family: &[u8]) -> Result<Day, MetricsError> {
    let bytes = family.get(1..5).and_then(|bytes| bytes.try_into().ok());
    bytes.map(day_of_bytes).ok_or(MetricsError::Corrupted { what: "a family's key" })
}

fn parse(family: &[u8]) -> Result<Name<'_>, MetricsError> {
    let corrupted = || MetricsError::Corrupted { what: "a family's key" };
    let (head, name) = family.split_first_chunk::<HEAD>().ok_or_else(corrupted)?;
    let &[metric, a, b, c, d, dimension] = head;
    if !table::is_known(metric) {
        return Err(corrupted());
    }
    let kind = if is_comparison(family) { WindowKind::Day } else { WindowKind::Month };
    let window = Window { kind, start: day_of_bytes([a, b, c, d]) };
    let parts: Vec<&str> = std::str::from_utf8(name).map_err(|_| corrupted())?.split(family::PART_SEPARATOR).collect();
    let settles = match kind {
        WindowKind::Day => changes::settles(window.start, &parts).ok_or_else(corrupted)?,
        _ => table::settles_with(metric, window),
    };
    Ok(Name { window, settles, dimension: *Dimension::ALL.get(usize::from(dimension)).ok_or_else(corrupted)?, parts })
}

/// Whether a family is a metric before and after a change: it has no elements of its own.
fn is_comparison(family: &[u8]) -> bool {
    family.first() == Some(&family::CHANGES)
}

fn read_published(family: &[u8], store: &dyn KeyValue) -> Result<Published, MetricsError> {
    store.get(&published_key(family))?.map_or(Ok(Published::default()), |bytes| Published::decode(&bytes))
}

fn save_published(published: Published, family: &[u8], store: &mut dyn KeyValue) {
    if !published.due && published.status.is_none() {
        store.delete(&published_key(family));
    } else {
        store.put(&published_key(family), &published.encode());
    }
}

pub(super) fn decode_element(bytes: &[u8]) -> Result<Accumulator, MetricsError> {
    let corrupted = || MetricsError::Corrupted { what: "an element of a family" };
    match bytes {
        [VERSION, rest @ ..] => postcard::from_bytes(rest).map_err(|_| corrupted()),
        _ => Err(corrupted()),
    }
}

fn read_element(key: &[u8], store: &dyn KeyValue) -> Result<Accumulator, MetricsError> {
    store.get(key)?.map_or_else(|| Ok(Accumulator::default()), |bytes| decode_element(&bytes))
}

/// Adds to an element in the store. Returns what it was before, and is now.
pub(super) fn add_to_element(
    key: &[u8],
    add: &Accumulator,
    store: &mut dyn KeyValue,
) -> Result<(Accumulator, Accumulator), MetricsError> {
    let before = read_element(key, store)?;
    let mut sum = before.clone();
    sum.add(add, 1);
    if sum.is_zero() {
        store.delete(key);
    } else {
        store.put(key, &postcard::to_extend(&sum, vec![VERSION]).expect("a vector takes every byte"));
    }
    Ok((before, sum))
}

/// What a commit does at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Of tables that it reads from the store, up to [`WORK_PER_COMMIT`].
    pub(super) elements: usize,
    /// Of what it publishes, up to [`STEPS_PER_COMMIT`]; one family at least.
    pub(super) steps: usize,
}

/// The families of a task: a cache of the store, and which of them are due.
#[derive(Debug, Default)]
pub(super) struct Families {
    /// Tables of families, as they are in the store with what the running transaction added.
    tables: BTreeMap<StoreKey, Table>,
    /// The next one of them.
    loading: Option<Loading>,
    /// What is still to be published of what was due when this turn began.
    turn: BTreeSet<StoreKey>,
    /// Tables that the next publication reads: they are kept until then.
    needed: Vec<StoreKey>,
    /// What was done about something.
    changes: Changes,
    /// `None` until it was read from the store.
    due: Option<BTreeSet<StoreKey>>,
    /// Of those, the ones of which the store does not say it yet.
    newly_due: BTreeSet<StoreKey>,
    /// From which month on the promises of which department have changed, since what that makes due was last noted.
    promised: BTreeMap<StoreKey, Day>,
    /// Commits with contributions since the last publication.
    commits: u32,
    /// Whether the running transaction brought contributions.
    busy: bool,
    /// What is credited in a month: what it is computed from has not changed since.
    credited: BTreeMap<Day, Arc<Credited>>,
    /// Up to which day windows were settled when it was last looked which families that ends.
    settled: Option<Day>,
}

impl Families {
    /// Notes that the running transaction brings contributions, of whatever kind.
    pub(super) fn is_busy(&mut self) {
        self.busy = true;
    }

    /// Whether it does.
    pub(super) fn was_busy(&self) -> bool {
        self.busy
    }

    /// Adds to an element.
    pub(super) fn contribution(
        &mut self,
        cell: &CellKey<'_>,
        add: &Accumulator,
        store: &mut dyn KeyValue,
    ) -> Result<(), MetricsError> {
        let (family, element) = split(cell)?;
        let key = element_key(&family, element);
        let (before, after) = add_to_element(&key, add, store)?;
        let step = Step { before: &before, add, after: &after };
        if let Some(table) = self.tables.get_mut(&family) {
            take(table, &family, element, step, None, store)?;
        } else if let Some(loading) = self.loading.as_mut().filter(|it| it.family == family && key < it.cursor) {
            take(&mut loading.table, &family, element, step, Some(&loading.cursor), store)?;
        }
        let is_of_purchases = together::is_of_purchases(&family);
        if is_of_purchases {
            self.credited.remove(&cell.window.start);
        }
        if cell.metric == family::SCORECARDS && DepartmentElement::parse(element) == Some(DepartmentElement::Promises) {
            promises::changed(&mut self.promised, &family, cell.window.start);
        }
        if cell.metric == family::CHANGES {
            let (value, _) = family::parse_cell_value(cell.value).ok_or(MetricsError::NoElement)?;
            for comparison in self.changes.told(cell, value, element) {
                self.note_due(comparison, store)?;
            }
            return Ok(());
        }
        let is_balance = cell.metric == family::BALANCE;
        if is_of_purchases || is_balance {
            self.note_due(together::balance(&family), store)?;
        }
        if let Some(spoke) = together::spoke_of(element).filter(|_| is_balance) {
            // Also if nothing of it is left.
            self.note_due(together::scorecard(&family, spoke), store)?;
        }
        self.note_due(family, store)
    }

    /// A cell of a metric changes.
    pub(super) fn cell_changes(&mut self, cell: &CellKey<'_>, store: &dyn KeyValue) -> Result<(), MetricsError> {
        let mut touched = Vec::new();
        self.changes.touched(cell, store, &mut |comparison| touched.push(comparison))?;
        touched.into_iter().try_for_each(|comparison| self.note_due(comparison, store))
    }

    /// Something else is known of a department's month: its scorecard is due.
    pub(super) fn department_changes(
        &mut self,
        month: Day,
        spoke: &str,
        store: &dyn KeyValue,
    ) -> Result<(), MetricsError> {
        self.busy = true;
        self.note_due(together::scorecard_of(month, spoke), store)
    }

    /// Notes that a family is due, if it is not yet, and the scorecards that are read from it: those that are known, since a contact's
    /// first element makes its department's card due by itself. Where it is due, they are as well: [`Families::was_published`].
    fn note_due(&mut self, family: StoreKey, store: &dyn KeyValue) -> Result<(), MetricsError> {
        if !self.due(store)?.contains(&family) {
            if matches!(family.first(), Some(&(family::BALANCE | family::PRIORITIES))) {
                for card in together::cards(&family, store)? {
                    self.note_due(card, store)?;
                }
            }
            self.newly_due.insert(family.clone());
            self.due(store)?.insert(family);
        }
        Ok(())
    }

    /// The families that are due.
    fn due(&mut self, store: &dyn KeyValue) -> Result<&mut BTreeSet<StoreKey>, MetricsError> {
        match &mut self.due {
            Some(due) => Ok(due),
            empty => {
                let mut found = BTreeSet::new();
                each_published(store, &mut |family, published| {
                    if published.due {
                        found.insert(StoreKey::from_slice(family));
                    }
                })?;
                Ok(empty.insert(found))
            }
        }
    }

    /// Everything is due: a rebuild has emptied the families, or its definition reads them in another way.
    pub(super) fn all_due(&mut self, store: &mut dyn KeyValue) -> Result<(), MetricsError> {
        let mut all = Vec::new();
        each_published(store, &mut |family, published| all.push((StoreKey::from_slice(family), published)))?;
        for (family, published) in all {
            save_published(Published { due: true, ..published }, &family, store);
            self.due(store)?.insert(family);
        }
        Ok(())
    }

    /// Somebody has seen something: every month in which it may be a priority is due. Those of which it says nothing new are not
    /// published.
    pub(super) fn priority_seen(&mut self, store: &dyn KeyValue) -> Result<(), MetricsError> {
        let mut months = Vec::new();
        each_published(store, &mut |family, _| {
            if family.first() == Some(&family::PRIORITIES) {
                months.push(StoreKey::from_slice(family));
            }
        })?;
        months.into_iter().try_for_each(|month| self.note_due(month, store))
    }

    /// The next family to be published: of those that are due, the first that has not been in this turn. A turn has what was due
    /// when it began, so that what is due again and again keeps nobody waiting.
    fn next(&mut self, store: &dyn KeyValue) -> Result<Option<StoreKey>, MetricsError> {
        if self.turn.is_empty() {
            self.turn = self.due(store)?.clone();
        }
        while let Some(family) = self.turn.first().cloned() {
            if self.due(store)?.contains(&family) {
                return Ok(Some(family));
            }
            self.turn.pop_first();
        }
        // What has become due since the turn began.
        self.turn = self.due(store)?.clone();
        Ok(self.turn.first().cloned())
    }

    /// A family was published in this turn.
    fn was_published(&mut self, family: StoreKey, store: &dyn KeyValue) -> Result<(), MetricsError> {
        self.turn.remove(&family);
        let due = self.due(store)?;
        // What comes to them does not make a scorecard due that is read from them: it is there already.
        let goes_on = family.first() == Some(&family::SCORECARDS)
            && [together::balance(&family), together::priorities(&family)].iter().any(|key| due.contains(key));
        if goes_on {
            self.newly_due.insert(family);
        } else {
            due.remove(&family);
            self.newly_due.remove(&family);
        }
        Ok(())
    }

    /// The last call before each commit. Returns whether something waits that needs no further input.
    pub(super) fn publish(
        &mut self,
        (settled, withhold): (Option<Day>, bool),
        Work { elements: mut work, mut steps }: Work,
        stated: (&Capacities, &Stated),
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<bool, MetricsError> {
        self.settle(settled, store)?;
        for card in promises::due(std::mem::take(&mut self.promised), store)? {
            self.note_due(card, store)?;
        }
        let mut published: Vec<StoreKey> = Vec::new();
        let waits = self.busy && self.commits < COMMITS_MAX;
        if !withhold && !waits {
            while self.load_needed(&mut work, store)?
                && let Some(family) = self.next(store)?
            {
                let costs = self.needed.iter().filter_map(|key| self.tables.get(key)).map(Table::steps).sum::<usize>();
                if costs > steps && !published.is_empty() {
                    break;
                }
                steps = steps.saturating_sub(costs.max(1));
                self.publish_family(&family, settled, stated, store, effects)?;
                self.was_published(family.clone(), store)?;
                published.push(family);
                if steps == 0 {
                    break;
                }
            }
        }
        for family in std::mem::take(&mut self.newly_due) {
            let known = read_published(&family, store)?;
            save_published(Published { due: true, ..known }, &family, store);
        }
        self.commits = if published.is_empty() && self.busy { self.commits.saturating_add(1) } else { 0 };
        self.busy = false;
        Ok(!withhold && !self.due(store)?.is_empty())
    }

    /// What is provisional in windows that are settled now is due.
    fn settle(&mut self, settled: Option<Day>, store: &dyn KeyValue) -> Result<(), MetricsError> {
        if settled == self.settled {
            return Ok(());
        }
        self.settled = settled;
        let mut over = Vec::new();
        each_published(store, &mut |family, published| {
            let ends = parse(family).map(|name| name.settles);
            let is_over = ends.is_ok_and(|end| settled.is_some_and(|settled| end <= settled));
            if published.status == Some(Status::Provisional) && is_over && !published.due {
                over.push(StoreKey::from_slice(family));
            }
        })?;
        over.into_iter().try_for_each(|family| self.note_due(family, store))
    }

    /// The commit succeeded: the tables of the oldest windows go, if there are too many.
    pub(super) fn committed(&mut self) {
        while self.tables.len() > TABLES_MAX
            && let Some(oldest) = self.tables.keys().find(|key| !self.needed.contains(key)).cloned()
        {
            self.tables.remove(&oldest);
        }
        while self.credited.len() > TABLES_MAX {
            self.credited.pop_first();
        }
    }
}

fn each_published(store: &dyn KeyValue, each: &mut dyn FnMut(&[u8], Published)) -> Result<(), MetricsError> {
    let mut result = Ok(());
    store.scan(&[PUBLISHED], &[PUBLISHED + 1], &mut |key, value| {
        match Published::decode(value) {
            Ok(published) => each(&key[1..], published),
            Err(error) => {
                result = Err(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    result
}
