//! What a commit contributes, combined by cell: the traffic to metrics grows with distinct cells, not with events.

// tidy: hash order unseen because cells are sorted before they are handed out

use std::collections::hash_map;

use ahash::RandomState;
use hashbrown::HashTable;

use super::fold::{DimensionValue, Emit, Place};
use crate::model::{Accumulator, CellKey, Currency, Day, Dimension, Window, WindowKind};

/// A cell in 12 bytes: metric, currency, kind of window and start packed so that their order is kept, and the index of the
/// dimension value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PackedCell {
    packed: u64,
    value: u32,
}

/// Days are packed with this offset, so that those before 1970 sort first: 30 bits.
const DAY_OFFSET: i64 = 1 << 29;

fn pack(metric: u8, currency: Option<Currency>, window: Window) -> u64 {
    let currency = currency.map_or(0, |Currency([a, b, c])| u64::from(u32::from_be_bytes([0, a, b, c])));
    let start = (i64::from(window.start.0) + DAY_OFFSET) as u64 & ((1 << 30) - 1);
    u64::from(metric) << 56 | currency << 32 | (window.kind as u64) << 30 | start
}

fn unpack(packed: u64) -> (u8, Option<Currency>, Window) {
    let [metric, a, b, c, ..] = packed.to_be_bytes();
    let start = (packed & ((1 << 30) - 1)) as i64 - DAY_OFFSET;
    let kind = WindowKind::ALL[usize::min((packed >> 30 & 3) as usize, 2)];
    let start = Day(i32::try_from(start).expect("30 bits less an offset fit in 32"));
    let currency = ([a, b, c] != [0; 3]).then_some(Currency([a, b, c]));
    (metric, currency, Window { kind, start })
}

impl PackedCell {
    /// The same cell in each window of its day.
    fn windows(self) -> [PackedCell; 3] {
        let (metric, currency, window) = unpack(self.packed);
        WindowKind::ALL.map(|kind| PackedCell {
            packed: pack(metric, currency, Window::of(kind, window.start)),
            value: self.value,
        })
    }
}

#[derive(Debug)]
struct InternedValue {
    hash: u64,
    dimension: Dimension,
    value: Box<str>,
}

type Map<V> = hash_map::HashMap<PackedCell, V, RandomState>;

/// The combiner of one commit. Addition commutes, and cells are drained in the order of their keys: nothing of the order
/// in which contributions came remains.
#[derive(Debug)]
pub struct Contributions {
    cells_max: usize,
    values: Vec<InternedValue>,
    interned: HashTable<u32>,
    /// Contributions that are only a count, most of all: four times smaller than an accumulator.
    counts: Map<i64>,
    cells: Map<Accumulator>,
    /// Contributions to a day and, with it, to its week and month: spread when drained, so that adding touches a third
    /// of the cells.
    spread_counts: Map<i64>,
    spread_cells: Map<Accumulator>,
}

impl Contributions {
    /// A combiner that says it is full from `cells_max` distinct cells on.
    pub fn new(cells_max: usize) -> Contributions {
        // The seeds only place entries; fixed ones make runs comparable.
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        Contributions {
            cells_max,
            values: Vec::new(),
            interned: HashTable::new(),
            counts: Map::with_hasher(hasher.clone()),
            cells: Map::with_hasher(hasher.clone()),
            spread_counts: Map::with_hasher(hasher.clone()),
            spread_cells: Map::with_hasher(hasher),
        }
    }

    /// Whether it is time to commit. It still takes what is added: what one batch contributes is never split.
    pub fn is_full(&self) -> bool {
        let spread = self.spread_counts.len() + self.spread_cells.len();
        self.counts.len() + self.cells.len() + 3 * spread >= self.cells_max
    }

    /// Whether nothing was added since the last drain.
    pub fn is_empty(&self) -> bool {
        let spread_is_empty = self.spread_counts.is_empty() && self.spread_cells.is_empty();
        spread_is_empty && self.counts.is_empty() && self.cells.is_empty()
    }

    /// Adds `times` × `add` to a cell.
    pub fn add(
        &mut self,
        metric: u8,
        currency: Option<Currency>,
        window: Window,
        value: &DimensionValue<'_>,
        add: &Accumulator,
        times: i64,
    ) {
        let key = PackedCell { packed: pack(metric, currency, window), value: self.intern(value) };
        self.cells.entry(key).or_default().add(add, times);
    }

    /// Adds `n` observations and nothing else to a cell without a currency.
    pub fn count(&mut self, metric: u8, window: Window, value: &DimensionValue<'_>, n: i64) {
        let key = PackedCell { packed: pack(metric, None, window), value: self.intern(value) };
        *self.counts.entry(key).or_default() += n;
    }

    /// Forgets everything that was added.
    pub fn clear(&mut self) {
        self.values.clear();
        self.interned.clear();
        self.counts.clear();
        self.cells.clear();
        self.spread_counts.clear();
        self.spread_cells.clear();
    }

    /// Adds `times` × `add` to a day, its week and its month.
    pub fn add_to_windows(
        &mut self,
        metric: u8,
        currency: Option<Currency>,
        day: Day,
        value: &DimensionValue<'_>,
        add: &Accumulator,
        times: i64,
    ) {
        let key =
            PackedCell { packed: pack(metric, currency, Window::of(WindowKind::Day, day)), value: self.intern(value) };
        self.spread_cells.entry(key).or_default().add(add, times);
    }

    /// Adds `n` observations and nothing else to a day, its week and its month, without a currency.
    pub fn count_in_windows(&mut self, metric: u8, day: Day, value: &DimensionValue<'_>, n: i64) {
        let key =
            PackedCell { packed: pack(metric, None, Window::of(WindowKind::Day, day)), value: self.intern(value) };
        *self.spread_counts.entry(key).or_default() += n;
    }

    fn spread(&mut self) {
        for (key, n) in self.spread_counts.drain().filter(|&(_, n)| n != 0) {
            for key in key.windows() {
                *self.counts.entry(key).or_default() += n;
            }
        }
        for (key, add) in self.spread_cells.drain().filter(|(_, add)| !add.is_zero()) {
            for key in key.windows() {
                self.cells.entry(key).or_default().add(&add, 1);
            }
        }
    }

    /// Hands out every cell that is not zero in the order of [`CellKey`], and forgets everything.
    pub fn drain_sorted(&mut self, mut each: impl FnMut(CellKey<'_>, &Accumulator)) {
        self.spread();
        for (key, n) in self.counts.drain() {
            if n != 0 {
                let cell = self.cells.entry(key).or_default();
                cell.n = cell.n.wrapping_add(n);
            }
        }
        let mut by_text: Vec<u32> = (0..).take(self.values.len()).collect();
        by_text.sort_unstable_by(|&a, &b| {
            let [a, b] = [a, b].map(|index| &self.values[index as usize]);
            (a.dimension, &a.value).cmp(&(b.dimension, &b.value))
        });
        let mut ranks = vec![0_u32; self.values.len()];
        for (rank, &index) in (0..).zip(&by_text) {
            ranks[index as usize] = rank;
        }
        let mut sorted: Vec<(u32, u32, u32, Accumulator)> = self
            .cells
            .drain()
            .filter(|(_, accumulator)| !accumulator.is_zero())
            .map(|(key, accumulator)| {
                let metric_and_currency = (key.packed >> 32) as u32;
                (metric_and_currency, ranks[key.value as usize], key.packed as u32, accumulator)
            })
            .collect();
        sorted.sort_unstable_by_key(|&(metric_and_currency, rank, window, _)| (metric_and_currency, rank, window));
        for (metric_and_currency, rank, window, accumulator) in &sorted {
            let (metric, currency, window) = unpack(u64::from(*metric_and_currency) << 32 | u64::from(*window));
            let value = &self.values[by_text[*rank as usize] as usize];
            let cell = CellKey { metric, currency, dimension: value.dimension, value: &value.value, window };
            each(cell, accumulator);
        }
        self.clear();
    }

    fn intern(&mut self, value: &DimensionValue<'_>) -> u32 {
        if let Some(index) = value.interned.get() {
            return index;
        }
        let values = &mut self.values;
        let found = self.interned.find(value.hash, |&index| {
            let known = &values[index as usize];
            known.hash == value.hash && known.dimension == value.dimension && *known.value == *value.value
        });
        let index = match found {
            Some(&index) => index,
            None => {
                let index = u32::try_from(values.len()).expect("a commit is full long before 2³² values");
                values.push(InternedValue { hash: value.hash, dimension: value.dimension, value: value.value.into() });
                self.interned.insert_unique(value.hash, index, |&index| values[index as usize].hash);
                index
            }
        };
        value.interned.set(Some(index));
        index
    }
}

/// Contributes a step of the fold (`1`), or takes it back (`-1`).
#[derive(Debug)]
pub struct Signed<'a> {
    /// Where to.
    pub contributions: &'a mut Contributions,
    /// `1` or `-1`.
    pub sign: i64,
}

impl Emit for Signed<'_> {
    fn cell(
        &mut self,
        metric: u8,
        currency: Option<Currency>,
        window: Window,
        value: &DimensionValue<'_>,
        add: &Accumulator,
        times: i64,
    ) {
        self.contributions.add(metric, currency, window, value, add, times * self.sign);
    }

    fn count(&mut self, metric: u8, window: Window, value: &DimensionValue<'_>, n: i64) {
        self.contributions.count(metric, window, value, n * self.sign);
    }

    fn everywhere(&mut self, metric: u8, currency: Option<Currency>, place: &Place<'_>, add: &Accumulator, times: i64) {
        for value in &place.values {
            self.contributions.add_to_windows(metric, currency, place.day, value, add, times * self.sign);
        }
    }

    fn count_everywhere(&mut self, metric: u8, place: &Place<'_>, n: i64) {
        for value in &place.values {
            self.contributions.count_in_windows(metric, place.day, value, n * self.sign);
        }
    }
}
