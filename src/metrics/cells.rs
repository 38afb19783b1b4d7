//! Accumulators in, publications out: a cell, its key, its stored form and the bounded cache of cells.
//!
//! ```text
//! c metric currency³ dimension value 0x00 window-kind start⁴  →  version status revision accumulator   a cell
//!                                    1: as it was last published; 2: during a rebuild, not published as it is;
//!                                    3: held back, nothing is published: its window has not begun
//! e day⁴ (key of the cell)                                    →  (empty)                               local: provisional cells by the day
//!                                                                                                       on which they settle
//! b start⁴ (key of the cell)                                  →  (empty)                               local: cells held back by start
//! ```
//!
//! A cell with the money of every currency is published under one key for each of them; their revisions are the cell's. So
//! the form of a rebuild also keeps, after the accumulator, under which currencies it is published.
//!
//! Days are big-endian with the sign flipped, so that keys sort by time. But for what is held back or withheld, what is
//! stored for a cell is what was last published for it, hence the stored form needs no copy or hash of the published value.

// tidy: hash order unseen because an IndexMap keeps the order of insertion

use indexmap::IndexMap;
use smallvec::SmallVec;

use super::{
    catalogue,
    stage::{Effects, MetricsError},
};
use crate::model::{
    Accumulator, CellKey, Currency, Day, Dimension, KeyValue, MetricValue, Status, Window, WindowKind, keys,
};

/// A key of the store. Most fit without allocating.
pub(super) type StoreKey = SmallVec<[u8; 48]>;

/// First bytes of the store's keys.
pub(super) const CELL: u8 = b'c';
pub(super) const PROVISIONAL_BY_DAY: u8 = b'e';
pub(super) const HELD_BACK_BY_START: u8 = b'b';
pub(super) const LEVEL_FAMILY: u8 = b'l';

/// Version of the stored form of a cell. Golden file: `tests/fixtures/metrics_store_v1.txt`.
const CELL_VERSION: u8 = 1;
/// Version of the stored form of a cell that a rebuild has not published yet.
const WITHHELD_VERSION: u8 = 2;
/// Version of the stored form of a cell whose window has not begun.
const HELD_BACK_VERSION: u8 = 3;
/// In place of a status: nothing is published under the cell's key.
const NO_STATUS: u8 = u8::MAX;
/// Prefix, metric, currency, dimension: what comes before the value.
const KEY_HEAD: usize = 6;
/// 0x00, window kind, start: what comes after it.
const KEY_TAIL: usize = 6;

/// A day so that bytes sort as days do.
pub(super) fn day_bytes(day: Day) -> [u8; 4] {
    (day.0 as u32 ^ 0x8000_0000).to_be_bytes()
}

/// The day of [`day_bytes`].
pub(super) fn day_of_bytes(bytes: [u8; 4]) -> Day {
    Day((u32::from_be_bytes(bytes) ^ 0x8000_0000) as i32)
}

/// The key of a family of cells: every window of metric × currency × dimension value.
pub(super) fn family_key(cell: &CellKey<'_>) -> StoreKey {
    let mut key = StoreKey::new();
    push_head(&mut key, LEVEL_FAMILY, cell);
    key
}

/// The key of a cell.
pub(super) fn cell_key(cell: &CellKey<'_>) -> StoreKey {
    let mut key = StoreKey::new();
    push_head(&mut key, CELL, cell);
    push_window(&mut key, cell.window);
    key
}

/// The key of the cell of a family in a window.
pub(super) fn cell_key_in_family(family: &[u8], window: Window) -> StoreKey {
    let mut key = StoreKey::from_slice(family);
    key[0] = CELL;
    push_window(&mut key, window);
    key
}

fn push_head(key: &mut StoreKey, prefix: u8, cell: &CellKey<'_>) {
    let [first, second, third] = cell.currency.map_or([0; 3], |currency| currency.0);
    key.extend_from_slice(&[prefix, cell.metric, first, second, third, cell.dimension as u8]);
    key.extend_from_slice(cell.value.as_bytes());
}

fn push_window(key: &mut StoreKey, window: Window) {
    let [first, second, third, fourth] = day_bytes(window.start);
    key.extend_from_slice(&[0, window.kind as u8, first, second, third, fourth]);
}

/// Whether the key of a cell is of a week.
fn is_of_week(cell: &[u8]) -> bool {
    cell.len() >= KEY_TAIL && cell[cell.len() - KEY_TAIL + 1] == WindowKind::Week as u8
}

/// The cell of a key of the store.
pub(super) fn parse_cell_key(key: &[u8]) -> Result<CellKey<'_>, MetricsError> {
    let corrupted = || MetricsError::Corrupted { what: "a cell's key" };
    if key.len() < KEY_HEAD + KEY_TAIL || key[0] != CELL {
        return Err(corrupted());
    }
    let (head, rest) = key.split_at(KEY_HEAD);
    let (value, tail) = rest.split_at(rest.len() - KEY_TAIL);
    let kind = *WindowKind::ALL.get(usize::from(tail[1])).ok_or_else(corrupted)?;
    let currency = [head[2], head[3], head[4]];
    Ok(CellKey {
        metric: head[1],
        currency: (currency != [0; 3]).then_some(Currency(currency)),
        dimension: *Dimension::ALL.get(usize::from(head[5])).ok_or_else(corrupted)?,
        value: std::str::from_utf8(value).map_err(|_| corrupted())?,
        window: Window { kind, start: day_of_bytes([tail[2], tail[3], tail[4], tail[5]]) },
    })
}

/// The key under which a provisional cell waits for the day on which it settles.
pub(super) fn provisional_key(settles_on: Day, cell: &[u8]) -> StoreKey {
    index_key(PROVISIONAL_BY_DAY, settles_on, cell)
}

/// The key under which a cell waits for its window's start.
pub(super) fn held_back_key(start: Day, cell: &[u8]) -> StoreKey {
    index_key(HELD_BACK_BY_START, start, cell)
}

fn index_key(prefix: u8, day: Day, cell: &[u8]) -> StoreKey {
    let mut key = StoreKey::new();
    key.push(prefix);
    key.extend_from_slice(&day_bytes(day));
    key.extend_from_slice(cell);
    key
}

/// The cell of a [`provisional_key`] or a [`held_back_key`].
pub(super) fn cell_of_index_key(key: &[u8]) -> &[u8] {
    key.get(5..).unwrap_or_default()
}

/// One cell in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// What it holds.
    pub(super) accumulator: Accumulator,
    /// How often its key was published since it last was a tombstone.
    revision: u64,
    /// As what it was last published; `None` if nothing is published under its key.
    status: Option<Status>,
    /// XXH3-64 of the accumulator as last published.
    published: u64,
    /// Under which currencies it is published, if it holds the money of all.
    currencies: Vec<Currency>,
    /// Whether it waits for [`Cells::publish`].
    dirty: bool,
    /// Whether it was changed after its window had been settled.
    late: bool,
    /// Whether it is stored in the form of a rebuild, or as held back: what it holds was never published.
    withheld: bool,
    /// Whether it is stored as held back: nothing is published under its key.
    held_back: bool,
    /// When it was last used, in commits.
    used: u32,
}

impl Cell {
    fn decode(metric: u8, bytes: &[u8]) -> Result<Cell, MetricsError> {
        let corrupted = || MetricsError::Corrupted { what: "a cell" };
        let (withheld, status, rest) = match *bytes {
            [CELL_VERSION, status, ref rest @ ..] => (false, Some(status), rest),
            [WITHHELD_VERSION | HELD_BACK_VERSION, status, ref rest @ ..] => {
                (true, (status != NO_STATUS).then_some(status), rest)
            }
            _ => return Err(corrupted()),
        };
        let status = status.map(|status| Status::ALL.get(usize::from(status)).copied().ok_or_else(corrupted));
        let (revision, rest) = postcard::take_from_bytes(rest).map_err(|_| corrupted())?;
        let (accumulator, after) = postcard::take_from_bytes::<Accumulator>(rest).map_err(|_| corrupted())?;
        let within = catalogue::definition(metric).is_some_and(|definition| definition.currencies_within);
        let currencies = match after {
            [] if within && !withheld => currencies_of(&accumulator),
            [] => Vec::new(),
            list => postcard::from_bytes(list).map_err(|_| corrupted())?,
        };
        Ok(Cell {
            accumulator,
            revision,
            currencies,
            status: status.transpose()?,
            published: xxhash_rust::xxh3::xxh3_64(rest),
            withheld,
            held_back: bytes[0] == HELD_BACK_VERSION,
            ..Cell::default()
        })
    }

    /// Whether there is nothing in it and nothing published under its key.
    fn is_nothing(&self) -> bool {
        self.accumulator.is_zero() && self.status.is_none()
    }

    /// The stored form of what is not published, of a rebuild or held back.
    fn encode_unpublished(&self, version: u8) -> Vec<u8> {
        let mut bytes = vec![version, self.status.map_or(NO_STATUS, |status| status as u8)];
        postcard::to_io(&self.revision, &mut bytes).expect("a vector takes every byte");
        postcard::to_io(&self.accumulator, &mut bytes).expect("a vector takes every byte");
        if !self.currencies.is_empty() {
            postcard::to_io(&self.currencies, &mut bytes).expect("a vector takes every byte");
        }
        bytes
    }
}

fn currencies_of(accumulator: &Accumulator) -> Vec<Currency> {
    accumulator.sums_of_money().map(|(currency, _)| currency).collect()
}

/// Whether a stored cell was provisional; `None` if the bytes are no cell of a known version.
pub(super) fn stored_is_provisional(value: &[u8]) -> Option<bool> {
    match value {
        &[CELL_VERSION | WITHHELD_VERSION | HELD_BACK_VERSION, status, ..] => Some(status == Status::Provisional as u8),
        _ => None,
    }
}

/// Whether a stored cell waits for a rebuild to publish it.
pub(super) fn is_withheld(value: &[u8]) -> bool {
    value.first() == Some(&WITHHELD_VERSION)
}

/// Whether a stored cell waits for its window to begin.
pub(super) fn is_held_back(value: &[u8]) -> bool {
    value.first() == Some(&HELD_BACK_VERSION)
}

/// A stored cell as a rebuild begins with it: empty, unless it `keeps` what it holds, and to be published anew. `None`:
/// nothing is left of it.
pub(super) fn withheld(metric: u8, value: &[u8], keeps: bool) -> Result<Option<Vec<u8>>, MetricsError> {
    let mut cell = Cell::decode(metric, value)?;
    if !keeps {
        cell.accumulator = Accumulator::default();
    }
    Ok((!cell.is_nothing()).then(|| cell.encode_unpublished(WITHHELD_VERSION)))
}

/// The cells in use: a bounded cache over the store, and which of them changed since the last commit.
#[derive(Debug)]
pub(super) struct Cells {
    cached: IndexMap<StoreKey, Cell, ahash::RandomState>,
    /// Positions in `cached`, in the order in which they became dirty.
    dirty: Vec<usize>,
    cached_max: usize,
    /// Counts commits; wraps, which at worst evicts a cell early.
    commit: u32,
    /// The commit of the last sweep.
    swept: u32,
    scratch: Vec<u8>,
}

impl Cells {
    pub(super) fn new(cached_max: usize) -> Cells {
        Cells {
            // Any fixed seeds do: no result depends on them.
            cached: IndexMap::with_hasher(ahash::RandomState::with_seeds(1, 2, 3, 4)),
            dirty: Vec::new(),
            cached_max,
            commit: 0,
            swept: 0,
            scratch: Vec::new(),
        }
    }

    /// Where a cell is cached, after reading it from the store if need be.
    fn position(&mut self, key: StoreKey, store: &dyn KeyValue) -> Result<usize, MetricsError> {
        if let Some(position) = self.cached.get_index_of(key.as_slice()) {
            return Ok(position);
        }
        let cell = match store.get(&key)? {
            Some(bytes) => Cell::decode(key[1], &bytes)?,
            None => Cell::default(),
        };
        Ok(self.cached.insert_full(key, cell).0)
    }

    /// The cell of a key, to be changed: it is looked at by the next [`Cells::publish`]. `late`: its window was settled.
    pub(super) fn change(
        &mut self,
        key: StoreKey,
        late: bool,
        store: &dyn KeyValue,
    ) -> Result<&mut Accumulator, MetricsError> {
        let position = self.position(key, store)?;
        let cell = &mut self.cached[position];
        cell.late |= late;
        if !cell.dirty {
            cell.dirty = true;
            self.dirty.push(position);
        }
        Ok(&mut cell.accumulator)
    }

    /// Publishes what differs from what was published, and stores it. `as_of`: windows that start after this day have not
    /// begun. `settled`: windows that settle on this day or before can no longer be provisional. `withhold`: only stores
    /// it, for a rebuild to publish. Returns the keys of the cells of weeks that were looked at.
    pub(super) fn publish(
        &mut self,
        (as_of, settled): (Option<Day>, Option<Day>),
        withhold: bool,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<Vec<StoreKey>, MetricsError> {
        let mut weeks = Vec::new();
        self.commit = self.commit.wrapping_add(1);
        for position in std::mem::take(&mut self.dirty) {
            let (key, cell) = self
                .cached
                .get_index_mut(position)
                .expect("positions of dirty cells hold until the sweep, which finds none dirty");
            cell.dirty = false;
            cell.used = self.commit;
            let late = std::mem::take(&mut cell.late);
            if withhold {
                withhold_cell(key, cell, store);
                continue;
            }
            if is_of_week(key) {
                weeks.push(key.clone());
            }
            publish_cell(key, cell, late, (as_of, settled), &mut self.scratch, store, effects)?;
        }
        Ok(weeks)
    }

    /// After a commit: drops what has not been used since the last sweep, and everything if that is not enough, so that a
    /// sweep is paid for by as many uses.
    pub(super) fn committed(&mut self) {
        if self.cached.len() <= self.cached_max {
            return;
        }
        let swept = self.swept;
        self.cached.retain(|_, cell| cell.used.wrapping_sub(swept) as i32 > 0);
        if self.cached.len() > self.cached_max / 2 {
            self.cached.clear();
        }
        self.swept = self.commit;
    }
}

/// ```text
///            change               settled               change
/// (none) ──────────▶ provisional ─────────▶ final ────────────────▶ revised ⟲ change
///    ▲ │ └────────────────────────────────────▲      late change        ▲
///    │ │             change within the commit that settles the window   │
///    │ └────────────────────────────────────────────────────────────────┘
///    └── all zero: tombstone, from any status
/// ```
pub(super) fn next_status(published: Option<Status>, changed: bool, late: bool, settled: bool) -> Status {
    match published {
        _ if !settled => Status::Provisional,
        Some(Status::Final | Status::Revised) if changed => Status::Revised,
        Some(status @ (Status::Final | Status::Revised)) => status,
        Some(Status::Provisional) | None if late && changed => Status::Revised,
        Some(Status::Provisional) | None => Status::Final,
    }
}

fn withhold_cell(key: &[u8], cell: &mut Cell, store: &mut dyn KeyValue) {
    if !cell.is_nothing() {
        cell.withheld = true;
        store.put(key, &cell.encode_unpublished(WITHHELD_VERSION));
    } else if std::mem::take(&mut cell.withheld) {
        store.delete(key);
    }
}

fn publish_cell(
    key: &[u8],
    cell: &mut Cell,
    late: bool,
    (as_of, settled): (Option<Day>, Option<Day>),
    scratch: &mut Vec<u8>,
    store: &mut dyn KeyValue,
    effects: &mut dyn Effects,
) -> Result<(), MetricsError> {
    let parsed = parse_cell_key(key)?;
    let definition = catalogue::definition(parsed.metric).ok_or(MetricsError::UnknownMetric(parsed.metric))?;
    let public_key = |currency| keys::metric(definition.id, parsed.window, currency, parsed.dimension, parsed.value);
    // A currency that is no longer there, or all there is.
    let tombstones =
        |before: &[Currency], now: &[Currency], effects: &mut dyn Effects| match definition.currencies_within {
            true => before
                .iter()
                .filter(|currency| !now.contains(currency))
                .for_each(|currency| effects.tombstone(&public_key(Some(*currency)))),
            false => effects.tombstone(&public_key(parsed.currency)),
        };
    let settles_on = definition.settles_on(parsed.window);
    if definition.ahead && as_of.is_none_or(|day| day < parsed.window.start) && !cell.accumulator.is_zero() {
        // In another time zone the newest touchpoint may lie before a day that it lay on: then it was published.
        if let Some(status) = cell.status.take() {
            if status == Status::Provisional {
                store.delete_local(&provisional_key(settles_on, key));
            }
            tombstones(&std::mem::take(&mut cell.currencies), &[], effects);
        }
        (cell.revision, cell.withheld, cell.held_back) = (0, true, true);
        store.put(key, &cell.encode_unpublished(HELD_BACK_VERSION));
        store.put_local(&held_back_key(parsed.window.start, key), &[]);
        return Ok(());
    }
    let was_withheld = std::mem::take(&mut cell.withheld);
    if std::mem::take(&mut cell.held_back) {
        store.delete_local(&held_back_key(parsed.window.start, key));
    }
    if cell.accumulator.is_zero() {
        if let Some(status) = cell.status.take() {
            store.delete(key);
            if status == Status::Provisional {
                store.delete_local(&provisional_key(settles_on, key));
            }
            tombstones(&std::mem::take(&mut cell.currencies), &[], effects);
        } else if was_withheld {
            store.delete(key);
        }
        cell.revision = 0;
        return Ok(());
    }

    scratch.clear();
    postcard::to_io(&cell.accumulator, &mut *scratch).expect("a vector takes every byte");
    let hash = xxhash_rust::xxh3::xxh3_64(scratch);
    let changed = cell.status.is_none() || was_withheld || hash != cell.published;
    let status = next_status(cell.status, changed, late, settled.is_some_and(|settled| settles_on <= settled));
    if !changed && cell.status == Some(status) {
        return Ok(());
    }
    cell.revision += 1;
    cell.published = hash;

    let mut stored = Vec::with_capacity(12 + scratch.len());
    stored.extend_from_slice(&[CELL_VERSION, status as u8]);
    postcard::to_io(&cell.revision, &mut stored).expect("a vector takes every byte");
    stored.extend_from_slice(scratch);
    store.put(key, &stored);
    match (cell.status.replace(status), status) {
        (Some(Status::Provisional), Status::Provisional) => {}
        (_, Status::Provisional) => store.put_local(&provisional_key(settles_on, key), &[]),
        (Some(Status::Provisional), _) => store.delete_local(&provisional_key(settles_on, key)),
        _ => {}
    }

    if definition.currencies_within {
        let now = currencies_of(&cell.accumulator);
        tombstones(&cell.currencies, &now, effects);
        cell.currencies = now;
    }
    for (currency, figures) in definition.published(parsed.currency, &cell.accumulator) {
        let value = MetricValue {
            metric: definition.id,
            unit: definition.unit,
            window: parsed.window,
            dimension: parsed.dimension,
            dimension_value: parsed.value,
            currency,
            n: figures.n,
            numerator: figures.numerator,
            denominator: figures.denominator,
            value: figures.value,
            uncertainty: figures.uncertainty,
            percentiles: figures.percentiles,
            details: figures.details,
            revision: cell.revision,
            status,
            definition_version: definition.version,
        };
        effects.value(&public_key(currency), &value);
    }
    Ok(())
}

/// What a stored cell holds.
pub(super) fn accumulator(metric: u8, value: &[u8]) -> Result<Accumulator, MetricsError> {
    Ok(Cell::decode(metric, value)?.accumulator)
}

/// Under how many keys a stored cell is published, as far as it tells.
#[cfg(test)]
pub(super) fn keys_published(key: &[u8], value: &[u8]) -> usize {
    let cell = Cell::decode(key[1], value).expect("a cell");
    let within = catalogue::definition(key[1]).expect("a metric").currencies_within;
    if cell.held_back {
        0
    } else if within {
        cell.currencies.len()
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cells_key_says_which_cell_it_is(
            metric in 0..catalogue::CATALOGUE.len() as u8, money in any::<bool>(), dimension in 0..Dimension::ALL.len(), value in ".{0,70}",
            day in -100_000_i32..100_000, kind in 0..3_usize,
        ) {
            let cell = CellKey {
                metric,
                currency: money.then_some(Currency(*b"EUR")),
                dimension: Dimension::ALL[dimension],
                value: &value,
                window: Window::of(WindowKind::ALL[kind], Day(day)),
            };
            let key = cell_key(&cell);
            prop_assert_eq!(parse_cell_key(&key).expect("a key just made"), cell);
            prop_assert_eq!(cell_key_in_family(&family_key(&cell), cell.window), key.clone());
            let waiting = provisional_key(Day(day), &key);
            prop_assert_eq!(cell_of_index_key(&waiting), key.as_slice());
        }

        #[test]
        fn random_bytes_are_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Cell::decode(catalogue::index::REVENUE, &bytes);
            let _ = Cell::decode(catalogue::index::CUSTOMER_VALUE, &bytes);
            let _ = parse_cell_key(&bytes);
            let _ = stored_is_provisional(&bytes);
        }

        #[test]
        fn days_sort_as_bytes(a in any::<i32>(), b in any::<i32>()) {
            prop_assert_eq!(a.cmp(&b), day_bytes(Day(a)).cmp(&day_bytes(Day(b))));
            prop_assert_eq!(day_of_bytes(day_bytes(Day(a))), Day(a));
        }
    }

    #[test]
    fn the_stored_form_of_a_withheld_cell_reads_the_same_for_ever() {
        let published = [1, Status::Final as u8, 5, 6, 2, 0, 0, 0, 0]; // revision 5, n 3, a 1
        let withheld_bytes =
            |bytes: &[u8], keeps| withheld(0, bytes, keeps).expect("a cell").map(|bytes| bytes.to_vec());
        let emptied = vec![2, Status::Final as u8, 5, 0, 0, 0, 0, 0, 0];
        assert_eq!(withheld_bytes(&published, false), Some(emptied.clone()));
        assert_eq!(withheld_bytes(&published, true), Some([&[2][..], &published[1..]].concat()));
        assert_eq!(withheld_bytes(&emptied, false), Some(emptied.clone()), "another rebuild begins");
        let new = [2, NO_STATUS, 0, 6, 2, 0, 0, 0, 0];
        assert_eq!(withheld_bytes(&new, false), None, "nobody has seen it");
        assert_eq!(stored_is_provisional(&new), Some(false));
        let cell = Cell::decode(0, &emptied).expect("a cell");
        assert_eq!((cell.status, cell.revision, cell.withheld), (Some(Status::Final), 5, true));
    }

    #[test]
    fn every_way_a_status_can_go() {
        use Status::{Final, Provisional, Revised};
        let table = [
            (None, true, false, false, Provisional),
            (None, true, false, true, Final),
            (None, true, true, true, Revised),
            (Some(Provisional), true, false, false, Provisional),
            (Some(Provisional), false, false, true, Final),
            (Some(Provisional), true, false, true, Final),
            (Some(Provisional), true, true, true, Revised),
            (Some(Provisional), false, true, true, Final),
            (Some(Final), false, false, true, Final),
            (Some(Final), true, true, true, Revised),
            (Some(Revised), false, false, true, Revised),
            (Some(Revised), true, true, true, Revised),
        ];
        for (published, changed, late, settled, expected) in table {
            assert_eq!(
                next_status(published, changed, late, settled),
                expected,
                "{published:?} changed {changed} late {late} settled {settled}"
            );
        }
    }
}
