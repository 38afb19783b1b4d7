//! Changes by day in, levels at day closes out: metrics such as orders overdue.
//!
//! `level(D) = Σ changes on days ≤ D`. The level at each closed day is the day's cell (absent where it is zero), so the cells
//! are the history and a family keeps only what is not in them:
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
    cells::{Cells, cell_key_in_family},
    stage::MetricsError,
};
use crate::model::{Accumulator, Day, KeyValue, Window, WindowKind};

/// Version of the stored form. Golden file: `tests/fixtures/metrics_store_v1.txt`.
const FAMILY_VERSION: u8 = 1;

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
    level: i64,
    /// Changes on days up to `closed` that are not in the cells yet: ascending, no zeros.
    behind: Vec<(i32, i64)>,
    /// Changes on days after `closed`: ascending, no zeros.
    ahead: Vec<(i32, i64)>,
}

impl Family {
    /// A family without history; days up to `closed` are at level zero.
    pub(super) fn new(closed: Option<Day>) -> Family {
        Family { closed: closed.map(|day| day.0), ..Family::default() }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Family, MetricsError> {
        let corrupted = MetricsError::Corrupted { what: "a level family" };
        match bytes {
            [FAMILY_VERSION, rest @ ..] => postcard::from_bytes(rest).map_err(|_| corrupted),
            _ => Err(corrupted),
        }
    }

    /// Stores what is left of it, or deletes it.
    pub(super) fn save(&self, key: &[u8], store: &mut dyn KeyValue) {
        if self.level == 0 && self.behind.is_empty() && self.ahead.is_empty() {
            store.delete(key);
        } else {
            let bytes = postcard::to_extend(self, vec![FAMILY_VERSION]).expect("a vector takes every byte");
            store.put(key, &bytes);
        }
    }

    /// Adds a change on a day.
    pub(super) fn change(&mut self, day: Day, by: i64) {
        if self.closed.is_some_and(|closed| day.0 <= closed) {
            self.level = self.level.wrapping_add(by);
            add_sorted(&mut self.behind, day.0, by);
        } else {
            add_sorted(&mut self.ahead, day.0, by);
        }
    }

    /// Whether there is nothing to do for it when `target` is the last closed day.
    pub(super) fn is_up_to(&self, target: Day) -> bool {
        let quiet = self.level == 0 && self.ahead.first().is_none_or(|&(day, _)| day > target.0);
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
        let mut writer = Writer { family: key, budget, cells, store };
        // In this order: what is behind ends at `closed`, so `closed` must not move before that is in the cells.
        Ok(self.catch_up(settled, &mut writer)? && self.close_days(target, &mut writer)?)
    }

    /// Puts what is behind into the cells: to each closed day the sum of the changes up to it.
    fn catch_up(&mut self, settled: Option<Day>, writer: &mut Writer<'_>) -> Result<bool, MetricsError> {
        let Some(closed) = self.closed else {
            return Ok(true);
        };
        let (mut next, mut by, mut done) = (0, 0_i64, true);
        let mut day = self.behind.first().map_or(closed, |&(day, _)| day);
        while day <= closed {
            if let Some(&(at, change)) = self.behind.get(next)
                && at == day
            {
                by = by.wrapping_add(change);
                next += 1;
            }
            if by == 0 {
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
                let window = Window::of(kind, Day(day));
                if kind == WindowKind::Day || day == closed || window.end().0 == day + 1 {
                    let late = settled.is_some_and(|settled| window.end() <= settled);
                    let level = writer.cell(window, late)?;
                    level.n = level.n.wrapping_add(by);
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
                Some(closed) if self.level != 0 => closed + 1,
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
                self.level = self.level.wrapping_add(self.ahead[next].1);
                next += 1;
            }
            self.closed = Some(tomorrow);
            if self.level != 0 {
                let window = Window::of(WindowKind::Day, Day(tomorrow));
                writer.cell(window, false)?.n = self.level;
            }
            for kind in [WindowKind::Week, WindowKind::Month] {
                let window = Window::of(kind, Day(tomorrow));
                if last || self.level == 0 || window.end().0 == tomorrow + 1 {
                    writer.cell(window, false)?.n = self.level;
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
    budget: &'a mut Budget,
    cells: &'a mut Cells,
    store: &'a dyn KeyValue,
}

impl Writer<'_> {
    fn cell(&mut self, window: Window, late: bool) -> Result<&mut Accumulator, MetricsError> {
        self.budget.spend(1);
        let key = cell_key_in_family(self.family, window);
        self.cells.change(key, late, self.store)
    }
}

fn add_sorted(changes: &mut Vec<(i32, i64)>, day: i32, by: i64) {
    match changes.binary_search_by_key(&day, |&(day, _)| day) {
        Ok(index) => {
            changes[index].1 = changes[index].1.wrapping_add(by);
            if changes[index].1 == 0 {
                changes.remove(index);
            }
        }
        Err(index) if by != 0 => changes.insert(index, (day, by)),
        Err(_) => {}
    }
}
