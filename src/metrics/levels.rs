//! Changes by day in, levels at day closes out: metrics such as orders overdue.
//!
//! `level(D) = Σ changes on days ≤ D`. The level at each closed day is the day's cell (absent where it is zero), so the cells
//! are the history and a family keeps only what is not in them. Where a metric asks for the level at which a window opens,
//! the cells of the windows that begin on the day after hold it instead, beside what contributions add to them.
//!
//! ```text
//! l metric currency³ dimension value  →  version closed level behind[] ahead[]
//!
//!        days whose cells hold their level │ days to come
//!  ────────────────────────────────────────┼──────────────────────▶
//!          ▲ behind: late changes, on      │   ▲ ahead: changes on
//!          closed days, not yet in cells   closed   later days
//! ```
//!
//! Closing a day costs O(1) per family whose level is not zero; a late change costs the cells whose level it changes, and
//! can stop anywhere and go on in a later commit. A family at level zero with nothing behind or ahead is not stored at all,
//! and it need not hear of closing days: a missing cell is a level of zero.

use serde::{Deserialize, Serialize};

use super::{
    cache::Cells,
    catalogue::{self, MetricKind},
    cells::cell_key_in_family,
    stage::MetricsError,
};
use crate::model::{Accumulator, Day, KeyValue, Window, WindowKind};

/// Version of the stored form of a family that only counts. Golden file: `tests/fixtures/metrics_store_v1.txt`.
const COUNTS_VERSION: u8 = 1;
/// Version of the stored form of every other.
const FAMILY_VERSION: u8 = 2;

/// A level, or by how much it changes: what its cells show as `n`, `a` and `sum`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Level {
    pub(super) n: i64,
    pub(super) a: i64,
    pub(super) sum: i64,
}

impl Level {
    const ZERO: Level = Level { n: 0, a: 0, sum: 0 };

    fn plus(self, by: Level) -> Level {
        Level { n: self.n.wrapping_add(by.n), a: self.a.wrapping_add(by.a), sum: self.sum.wrapping_add(by.sum) }
    }

    /// The part of a cell that the level decides, of a metric that shows it as a window opens only `n`.
    fn of(cell: &Accumulator, opens: bool) -> Level {
        Level { n: cell.n, a: if opens { 0 } else { cell.a }, sum: if opens { 0 } else { cell.sum } }
    }

    fn put(self, cell: &mut Accumulator, opens: bool) {
        cell.n = self.n;
        if !opens {
            (cell.a, cell.sum) = (self.a, self.sum);
        }
    }
}

/// Takes a change of a level metric apart: what changes the level, and what is left to add to the cell itself.
pub(super) fn take_apart(add: &Accumulator, opens: bool) -> (Level, Accumulator) {
    let level = Level::of(add, opens);
    let mut rest = add.clone();
    Level::ZERO.put(&mut rest, opens);
    (level, rest)
}

/// What one commit may still do beyond publishing what contributions changed: cells visited and families examined.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) steps: usize,
}

impl Budget {
    pub(super) fn is_spent(&self) -> bool {
        self.steps == 0
    }

    pub(super) fn spend(&mut self, steps: usize) {
        self.steps = self.steps.saturating_sub(steps);
    }
}

/// The state of a level family that its cells do not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Family {
    /// The last day whose cell holds its level; `None` before the first day of the hub has closed.
    closed: Option<i32>,
    /// The level at the close of `closed`, with all that is behind.
    level: Level,
    /// Changes on days up to `closed` that are not in the cells yet: ascending, no zeros.
    behind: Vec<(i32, Level)>,
    /// Changes on days after `closed`: ascending, no zeros.
    ahead: Vec<(i32, Level)>,
}

/// The stored form of a family that only counts: closed day, level, behind, ahead.
type Counts = (Option<i32>, i64, Vec<(i32, i64)>, Vec<(i32, i64)>);

impl Family {
    /// A family without history; days up to `closed` are at level zero.
    pub(super) fn new(closed: Option<Day>) -> Family {
        Family { closed: closed.map(|day| day.0), ..Family::default() }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Family, MetricsError> {
        let family = match bytes {
            [COUNTS_VERSION, rest @ ..] => postcard::from_bytes(rest).map(Family::of_counts),
            [FAMILY_VERSION, rest @ ..] => postcard::from_bytes(rest),
            _ => Err(postcard::Error::DeserializeBadEncoding),
        };
        family.map_err(|_| MetricsError::Corrupted { what: "a level family" })
    }

    fn of_counts((closed, level, behind, ahead): Counts) -> Family {
        let count = |n| Level { n, ..Level::ZERO };
        let counts = |changes: Vec<(i32, i64)>| changes.into_iter().map(|(day, n)| (day, count(n))).collect();
        Family { closed, level: count(level), behind: counts(behind), ahead: counts(ahead) }
    }

    /// If it only counts.
    fn as_counts(&self) -> Option<Counts> {
        let count = |level: Level| (level.a == 0 && level.sum == 0).then_some(level.n);
        let counts = |changes: &[(i32, Level)]| -> Option<Vec<(i32, i64)>> {
            changes.iter().map(|&(day, change)| Some((day, count(change)?))).collect()
        };
        Some((self.closed, count(self.level)?, counts(&self.behind)?, counts(&self.ahead)?))
    }

    /// Stores what is left of it, or deletes it.
    pub(super) fn save(&self, key: &[u8], store: &mut dyn KeyValue) {
        if self.level == Level::ZERO && self.behind.is_empty() && self.ahead.is_empty() {
            store.delete(key);
            return;
        }
        let bytes = match self.as_counts() {
            Some(counts) => postcard::to_extend(&counts, vec![COUNTS_VERSION]),
            None => postcard::to_extend(self, vec![FAMILY_VERSION]),
        };
        store.put(key, &bytes.expect("a vector takes every byte"));
    }

    /// Adds a change on a day.
    pub(super) fn change(&mut self, day: Day, by: Level) {
        if self.closed.is_some_and(|closed| day.0 <= closed) {
            self.level = self.level.plus(by);
            add_sorted(&mut self.behind, day.0, by);
        } else {
            add_sorted(&mut self.ahead, day.0, by);
        }
    }

    /// Whether there is nothing to do for it when `target` is the last closed day.
    pub(super) fn is_up_to(&self, target: Day) -> bool {
        let quiet = self.level == Level::ZERO && self.ahead.first().is_none_or(|&(day, _)| day > target.0);
        self.behind.is_empty() && (quiet || self.closed.is_some_and(|closed| closed >= target.0))
    }

    /// Brings the cells up to the close of `target`, as far as the budget goes. `settled`: windows that end on this day or
    /// before are no longer provisional, so that a late change revises them. Returns whether everything is done.
    pub(super) fn work(
        &mut self,
        key: &[u8],
        target: Day,
        settled: Option<Day>,
        budget: &mut Budget,
        cells: &mut Cells,
        store: &dyn KeyValue,
    ) -> Result<bool, MetricsError> {
        let opens = key.get(1).and_then(|metric| catalogue::definition(*metric)).map(|definition| definition.kind)
            == Some(MetricKind::Opening);
        let mut writer = Writer { family: key, opens, budget, cells, store };
        // In this order: what is behind ends at `closed`, so `closed` must not move before that is in the cells.
        Ok(self.catch_up(settled, &mut writer)? && self.close_days(target, &mut writer)?)
    }

    /// Puts what is behind into the cells: to each closed day the sum of the changes up to it.
    fn catch_up(&mut self, settled: Option<Day>, writer: &mut Writer<'_>) -> Result<bool, MetricsError> {
        let Some(closed) = self.closed else {
            return Ok(true);
        };
        let (mut next, mut by, mut done) = (0, Level::ZERO, true);
        let mut day = self.behind.first().map_or(closed, |&(day, _)| day);
        while day <= closed {
            if let Some(&(at, change)) = self.behind.get(next)
                && at == day
            {
                by = by.plus(change);
                next += 1;
            }
            if by == Level::ZERO {
                // Up to the next change nothing differs.
                let Some(&(at, _)) = self.behind.get(next) else { break };
                day = at;
                continue;
            }
            if writer.budget.is_spent() {
                done = false;
                break;
            }
            for kind in WindowKind::ALL {
                let window = writer.window(kind, day);
                if writer.closes(window, day) || (!writer.opens && day == closed) {
                    let late = settled.is_some_and(|settled| window.end() <= settled);
                    let opens = writer.opens;
                    let cell = writer.cell(window, late)?;
                    Level::of(cell, opens).plus(by).put(cell, opens);
                }
            }
            day += 1;
        }
        self.behind.drain(..next);
        if !done {
            add_sorted(&mut self.behind, day, by);
        }
        Ok(done)
    }

    /// Closes days up to `target`: each gets its level, and each week and month that of its last closed day.
    fn close_days(&mut self, target: Day, writer: &mut Writer<'_>) -> Result<bool, MetricsError> {
        let mut next = 0;
        while self.closed.is_none_or(|closed| closed < target.0) {
            let first_change = self.ahead.get(next).map(|&(day, _)| day);
            let tomorrow = match self.closed {
                Some(closed) if self.level != Level::ZERO => closed + 1,
                // At level zero nothing is published until the next change.
                _ => match first_change {
                    Some(day) if day <= target.0 => day,
                    _ => {
                        self.closed = Some(target.0);
                        break;
                    }
                },
            };
            if writer.budget.is_spent() {
                break;
            }
            // A day costs at most three cells. Where the work stops, week and month must show the last closed day, since
            // catching up adds to what they show.
            let last = tomorrow == target.0 || writer.budget.steps <= 3;
            if first_change == Some(tomorrow) {
                self.level = self.level.plus(self.ahead[next].1);
                next += 1;
            }
            self.closed = Some(tomorrow);
            let is_zero = self.level == Level::ZERO;
            for kind in WindowKind::ALL {
                let window = writer.window(kind, tomorrow);
                let shows = match kind {
                    // Nothing was shown for this day, or before this window, that would have to go.
                    WindowKind::Day => !is_zero,
                    _ if writer.opens => !is_zero && writer.closes(window, tomorrow),
                    _ => last || is_zero || writer.closes(window, tomorrow),
                };
                if shows {
                    let opens = writer.opens;
                    self.level.put(writer.cell(window, false)?, opens);
                }
            }
            if last {
                break;
            }
        }
        self.ahead.drain(..next);
        Ok(self.closed.is_some_and(|closed| closed >= target.0))
    }
}

/// Where levels go: the cells of one family.
struct Writer<'a> {
    family: &'a [u8],
    /// Whether windows show the level at which they open.
    opens: bool,
    budget: &'a mut Budget,
    cells: &'a mut Cells,
    store: &'a dyn KeyValue,
}

impl Writer<'_> {
    /// The window of a kind that may show the level at the close of a day.
    fn window(&self, kind: WindowKind, day: i32) -> Window {
        Window::of(kind, Day(day + i32::from(self.opens)))
    }

    /// Whether that level stays what the window shows: it ends with the day, or opens with it.
    fn closes(&self, window: Window, day: i32) -> bool {
        day + 1 == if self.opens { window.start.0 } else { window.end().0 }
    }

    fn cell(&mut self, window: Window, late: bool) -> Result<&mut Accumulator, MetricsError> {
        self.budget.spend(1);
        let key = cell_key_in_family(self.family, window);
        self.cells.change(key, late, self.store)
    }
}

fn add_sorted(changes: &mut Vec<(i32, Level)>, day: i32, by: Level) {
    match changes.binary_search_by_key(&day, |&(day, _)| day) {
        Ok(index) => {
            changes[index].1 = changes[index].1.plus(by);
            if changes[index].1 == Level::ZERO {
                changes.remove(index);
            }
        }
        Err(index) if by != Level::ZERO => changes.insert(index, (day, by)),
        Err(_) => {}
    }
}
