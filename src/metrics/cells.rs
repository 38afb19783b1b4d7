//! Accumulators in, bytes out: a cell, its key and its stored form.
//!
//! ```text
//! c metric currency³ dimension value 0x00 window-kind start⁴  →  version status revision accumulator   a cell
//!                                    1: as it was last published; 2: during a rebuild, not published as it is;
//!                                    3: held back, nothing is published: its window has not begun
//! d metric currency³ dimension 0x00 window-kind start⁴        →  the same and how many values they are: the sum of a group's
//!                                    cells that are too many to be published each (see `ranking`)
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

use smallvec::SmallVec;

use super::{catalogue, ranking::Side, stage::MetricsError};
use crate::model::{Accumulator, CellKey, Currency, Day, Dimension, Status, Window, WindowKind};

/// A key of the store. Most fit without allocating.
pub(super) type StoreKey = SmallVec<[u8; 48]>;

/// First bytes of the store's keys.
pub(super) const CELL: u8 = b'c';
pub(super) const OTHERS: u8 = b'd';
pub(super) const PROVISIONAL_BY_DAY: u8 = b'e';
pub(super) const HELD_BACK_BY_START: u8 = b'b';
pub(super) const LEVEL_FAMILY: u8 = b'l';

/// Version of the stored form of a cell. Golden file: `tests/fixtures/metrics_store_v1.txt`.
const CELL_VERSION: u8 = 1;
/// Version of the stored form of a cell that a rebuild has not published yet.
const WITHHELD_VERSION: u8 = 2;
/// Version of the stored form of a cell whose window has not begun.
const HELD_BACK_VERSION: u8 = 3;
/// Version of the stored form of the sum of a group's other cells.
const OTHERS_VERSION: u8 = 4;
/// In place of a status: nothing is published under the cell's key.
const NO_STATUS: u8 = u8::MAX;
/// In place of a status: it is published as a part of its group's others.
const AMONG_OTHERS: u8 = u8::MAX - 1;
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
pub(super) fn is_of_week(cell: &[u8]) -> bool {
    cell.len() >= KEY_TAIL && cell[cell.len() - KEY_TAIL + 1] == WindowKind::Week as u8
}

/// What competes with a cell for being published under a key of its own: the values of one dimension, for one metric, currency and
/// window. `None`: it is the company's, which is alone.
pub(super) type Group = [u8; 10];

/// The group of a cell.
pub(super) fn group_of(key: &[u8]) -> Option<Group> {
    let (head, tail) = (key.get(1..KEY_HEAD)?, key.get(key.len() - KEY_TAIL + 1..)?);
    let mut group = Group::default();
    group[..5].copy_from_slice(head);
    group[5..].copy_from_slice(tail);
    (head[4] != Dimension::Company as u8).then_some(group)
}

/// The dimension's value in the key of a cell.
pub(super) fn value_of(key: &[u8]) -> &[u8] {
    &key[KEY_HEAD..key.len() - KEY_TAIL]
}

/// The key of the cell of a value in a group.
pub(super) fn cell_of(group: &Group, value: &[u8]) -> StoreKey {
    key_in_group(CELL, group, value)
}

/// The key of the sum of a group's other cells.
pub(super) fn others_of(group: &Group) -> StoreKey {
    key_in_group(OTHERS, group, &[])
}

fn key_in_group(prefix: u8, group: &Group, value: &[u8]) -> StoreKey {
    let mut key = StoreKey::new();
    key.push(prefix);
    key.extend_from_slice(&group[..5]);
    key.extend_from_slice(value);
    key.push(0);
    key.extend_from_slice(&group[5..]);
    key
}

/// The cell of a key of the store.
pub(super) fn parse_cell_key(key: &[u8]) -> Result<CellKey<'_>, MetricsError> {
    let corrupted = || MetricsError::Corrupted { what: "a cell's key" };
    if key.len() < KEY_HEAD + KEY_TAIL || !matches!(key[0], CELL | OTHERS) {
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

/// The key of a cell in an index by days.
pub(super) fn index_key(prefix: u8, day: Day, cell: &[u8]) -> StoreKey {
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
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// What it holds.
    pub(super) accumulator: Accumulator,
    /// How often its key was published since it last was a tombstone.
    pub(super) revision: u64,
    /// As what it was last published; `None` if nothing is published under its key.
    pub(super) status: Option<Status>,
    /// XXH3-64 of what it holds as last published.
    pub(super) published: u64,
    /// Under which currencies it is published, if it holds the money of all.
    pub(super) currencies: Vec<Currency>,
    /// Whether it waits for [`super::cache::Cells::publish`].
    pub(super) dirty: bool,
    /// Whether it was changed after its window had been settled.
    pub(super) late: bool,
    /// Whether it is stored in the form of a rebuild, or as held back: what it holds was never published.
    pub(super) withheld: bool,
    /// Whether it is stored as held back: nothing is published under its key.
    pub(super) held_back: bool,
    /// Whether it is stored as one of its group's others; what it holds is in their sum, unless it is withheld.
    pub(super) among_others: bool,
    /// On which side it is to be.
    pub(super) side: Side,
    /// Of a sum: of how many cells.
    pub(super) summed: usize,
    /// When it was last used, in commits.
    pub(super) used: u32,
}

impl Default for Cell {
    fn default() -> Cell {
        Cell {
            accumulator: Accumulator::default(),
            revision: 0,
            status: None,
            published: 0,
            currencies: Vec::new(),
            dirty: false,
            late: false,
            withheld: false,
            held_back: false,
            among_others: false,
            side: Side::Shown,
            summed: 0,
            used: 0,
        }
    }
}

impl Cell {
    pub(super) fn decode(metric: u8, bytes: &[u8]) -> Result<Cell, MetricsError> {
        let corrupted = || MetricsError::Corrupted { what: "a cell" };
        let (withheld, status, rest) = match *bytes {
            [CELL_VERSION | OTHERS_VERSION, status, ref rest @ ..] => (false, status, rest),
            [WITHHELD_VERSION | HELD_BACK_VERSION, status, ref rest @ ..] => (true, status, rest),
            _ => return Err(corrupted()),
        };
        let among_others = status == AMONG_OTHERS;
        let is_nowhere = among_others || (withheld && status == NO_STATUS);
        let status = (!is_nowhere).then(|| Status::ALL.get(usize::from(status)).copied().ok_or_else(corrupted));
        let (revision, rest) = postcard::take_from_bytes(rest).map_err(|_| corrupted())?;
        let (accumulator, after) = postcard::take_from_bytes::<Accumulator>(rest).map_err(|_| corrupted())?;
        let within = catalogue::definition(metric).is_some_and(|definition| definition.currencies_within);
        let mut summed = 0_u64;
        let currencies = match after {
            [] if within && !withheld && !among_others => currencies_of(&accumulator),
            [] => Vec::new(),
            count if bytes[0] == OTHERS_VERSION => {
                summed = postcard::from_bytes(count).map_err(|_| corrupted())?;
                if within { currencies_of(&accumulator) } else { Vec::new() }
            }
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
            among_others,
            side: if among_others { Side::Others } else { Side::Shown },
            summed: usize::try_from(summed).map_err(|_| corrupted())?,
            ..Cell::default()
        })
    }

    /// On which side of its group it is stored.
    pub(super) fn side(&self) -> Side {
        if self.among_others { Side::Others } else { Side::Shown }
    }

    /// Whether it is one of the values of its group, as it is stored.
    pub(super) fn is_counted(&self) -> bool {
        self.status.is_some() || self.among_others
    }

    /// Whether there is nothing in it and nothing published under its key.
    pub(super) fn is_nothing(&self) -> bool {
        self.accumulator.is_zero() && !self.is_counted()
    }

    /// It is looked at in a commit; returns whether it was changed after its window had been settled.
    pub(super) fn took_turn(&mut self, commit: u32) -> bool {
        self.dirty = false;
        self.used = commit;
        std::mem::take(&mut self.late)
    }

    /// The stored form of what waits for a rebuild to publish it.
    pub(super) fn withheld(&self) -> Vec<u8> {
        self.encode_unpublished(WITHHELD_VERSION)
    }

    /// The stored form of what is held back.
    pub(super) fn held_back(&self) -> Vec<u8> {
        self.encode_unpublished(HELD_BACK_VERSION)
    }

    /// The stored form of one of a group's others.
    pub(super) fn among_others(&self) -> Vec<u8> {
        self.encode_unpublished(CELL_VERSION)
    }

    /// The stored form of what was published, of which the bytes of the accumulator (and of the number of cells in a sum) are given.
    pub(super) fn as_published(&self, key: &[u8], status: Status, held: &[u8]) -> Vec<u8> {
        let mut stored = Vec::with_capacity(12 + held.len());
        let version = if key[0] == OTHERS { OTHERS_VERSION } else { CELL_VERSION };
        stored.extend_from_slice(&[version, status as u8]);
        postcard::to_io(&self.revision, &mut stored).expect("a vector takes every byte");
        stored.extend_from_slice(held);
        stored
    }

    /// The stored form of what is not published under its key: of a rebuild, held back, or one of others.
    fn encode_unpublished(&self, version: u8) -> Vec<u8> {
        let nowhere = if self.among_others { AMONG_OTHERS } else { NO_STATUS };
        let mut bytes = vec![version, self.status.map_or(nowhere, |status| status as u8)];
        postcard::to_io(&self.revision, &mut bytes).expect("a vector takes every byte");
        postcard::to_io(&self.accumulator, &mut bytes).expect("a vector takes every byte");
        if !self.currencies.is_empty() {
            postcard::to_io(&self.currencies, &mut bytes).expect("a vector takes every byte");
        }
        bytes
    }
}

pub(super) fn currencies_of(accumulator: &Accumulator) -> Vec<Currency> {
    accumulator.sums_of_money().map(|(currency, _)| currency).collect()
}

/// Whether a stored cell was provisional; `None` if the bytes are no cell of a known version.
pub(super) fn stored_is_provisional(value: &[u8]) -> Option<bool> {
    match value {
        &[CELL_VERSION | WITHHELD_VERSION | HELD_BACK_VERSION | OTHERS_VERSION, status, ..] => {
            Some(status == Status::Provisional as u8)
        }
        _ => None,
    }
}

/// Whether a stored cell is one of the values of its group: published, or among the others.
pub(super) fn is_counted(value: &[u8]) -> bool {
    matches!(value, &[version, status, ..] if version != HELD_BACK_VERSION && status != NO_STATUS)
}

/// Whether a stored cell has no key of its own.
#[cfg(test)]
pub(super) fn is_among_others(value: &[u8]) -> bool {
    value.get(1) == Some(&AMONG_OTHERS)
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
    Ok((!cell.is_nothing()).then(|| cell.withheld()))
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
    if cell.held_back || cell.among_others {
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
}
