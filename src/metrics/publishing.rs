//! A cell in, the values of its keys or their tombstones out.

use super::{
    catalogue::{self, Definition, index},
    cells::{Cell, OTHERS, currencies_of, held_back_key, parse_cell_key, provisional_key},
    ranking::Side,
    stage::{Effects, MetricsError},
    values::outcome_count,
};
use crate::model::{
    Accumulator, CellKey, Currency, Day, DepartmentNews, Dimension, KeyValue, MetricValue, Outcome, Status, WindowKind,
    keys,
};

/// Where time stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publishing {
    /// Windows that start after this day have not begun.
    pub(super) as_of: Option<Day>,
    /// Windows that settle on this day or before can no longer be provisional.
    pub(super) settled: Option<Day>,
}

/// What a commit changes in the sum of a group's others.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) sum: Accumulator,
    pub(super) late: bool,
}

impl Rest {
    pub(super) fn add(&mut self, change: &Accumulator, late: bool) {
        self.sum.add(change, 1);
        self.late |= late;
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.sum.is_zero()
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

/// Stores a cell for a rebuild to publish.
pub(super) fn withhold(key: &[u8], cell: &mut Cell, store: &mut dyn KeyValue) {
    if !cell.is_nothing() {
        cell.withheld = true;
        store.put(key, &cell.withheld());
    } else if std::mem::take(&mut cell.withheld) {
        store.delete(key);
    }
}

impl Publishing {
    /// Whether something of a cell is to be seen: under its key, or in the sum of its group's others.
    pub(super) fn shows(self, key: &[u8], cell: &Cell) -> Result<bool, MetricsError> {
        if cell.accumulator.is_zero() {
            return Ok(false);
        }
        let parsed = parse_cell_key(key)?;
        Ok(!self.is_ahead(defined(&parsed)?, &parsed))
    }

    fn is_ahead(self, definition: &Definition, cell: &CellKey<'_>) -> bool {
        definition.ahead && self.as_of.is_none_or(|day| day < cell.window.start)
    }

    /// Publishes a cell if it differs from what was published, and stores it; `late`: it was changed after its window had been
    /// settled. Returns what that changes in the sum of its group's others.
    pub(super) fn publish(
        self,
        key: &[u8],
        cell: &mut Cell,
        late: bool,
        scratch: &mut Vec<u8>,
        store: &mut dyn KeyValue,
        effects: &mut dyn Effects,
    ) -> Result<Option<Accumulator>, MetricsError> {
        let parsed = parse_cell_key(key)?;
        let definition = defined(&parsed)?;
        let settles_on = definition.settles_on(parsed.window);
        let is_shown = self.shows(key, cell)? && (cell.side == Side::Shown || key[0] == OTHERS);
        let was_among_others = std::mem::replace(&mut cell.among_others, false);
        // What the sum has of it until now.
        let before = match was_among_others && !cell.withheld {
            true => store.get(key)?.map(|stored| Cell::decode(parsed.metric, &stored)).transpose()?,
            false => None,
        };
        let mut rest = before.map(|before| {
            let mut taken = Accumulator::default();
            taken.add(&before.accumulator, -1);
            taken
        });
        if !is_shown && let Some(status) = cell.status.take() {
            // In another time zone the newest touchpoint may lie before a day that it lay on: then it was published.
            if status == Status::Provisional {
                store.delete_local(&provisional_key(settles_on, key));
            }
            tombstones(definition, key, &parsed, (&std::mem::take(&mut cell.currencies), &[]), effects);
            if cell.accumulator.is_zero() {
                store.delete(key);
            }
        } else if !is_shown && cell.accumulator.is_zero() && (was_among_others || cell.withheld) {
            store.delete(key);
        }
        if cell.accumulator.is_zero() {
            if std::mem::take(&mut cell.held_back) {
                store.delete_local(&held_back_key(parsed.window.start, key));
            }
            (cell.revision, cell.withheld) = (0, false);
            return Ok(rest);
        }
        if self.is_ahead(definition, &parsed) {
            (cell.revision, cell.withheld, cell.held_back) = (0, true, true);
            store.put(key, &cell.held_back());
            store.put_local(&held_back_key(parsed.window.start, key), &[]);
            return Ok(rest);
        }
        let was_withheld = std::mem::take(&mut cell.withheld);
        if std::mem::take(&mut cell.held_back) {
            store.delete_local(&held_back_key(parsed.window.start, key));
        }
        let is_of_spoke = parsed.dimension == Dimension::Spoke && key[0] != OTHERS;
        // Whether or not it has a key of its own.
        if definition.index == index::DATA_QUALITY && is_of_spoke && parsed.window.kind == WindowKind::Month {
            let counts = Outcome::ALL.iter().map(|&outcome| (outcome, outcome_count(&cell.accumulator, outcome)));
            let arrived = counts.filter(|(_, count)| *count != 0).collect();
            effects.tell(DepartmentNews::Arrived(parsed.value.into(), parsed.window.start, arrived));
        }
        if !is_shown {
            (cell.revision, cell.among_others) = (0, true);
            store.put(key, &cell.among_others());
            rest.get_or_insert_default().add(&cell.accumulator, 1);
            return Ok(rest);
        }

        scratch.clear();
        postcard::to_io(&cell.accumulator, &mut *scratch).expect("a vector takes every byte");
        let summed = (key[0] == OTHERS).then_some(cell.summed as u64);
        if let Some(summed) = &summed {
            postcard::to_io(summed, &mut *scratch).expect("a vector takes every byte");
        }
        let hash = xxhash_rust::xxh3::xxh3_64(scratch);
        let changed = cell.status.is_none() || was_withheld || hash != cell.published;
        let is_settled = self.settled.is_some_and(|settled| settles_on <= settled);
        let status = next_status(cell.status, changed, late, is_settled);
        if !changed && cell.status == Some(status) {
            return Ok(rest);
        }
        cell.revision += 1;
        cell.published = hash;
        store.put(key, &cell.as_published(key, status, scratch));
        match (cell.status.replace(status), status) {
            (Some(Status::Provisional), Status::Provisional) => {}
            (_, Status::Provisional) => store.put_local(&provisional_key(settles_on, key), &[]),
            (Some(Status::Provisional), _) => store.delete_local(&provisional_key(settles_on, key)),
            _ => {}
        }

        if definition.currencies_within {
            let now = currencies_of(&cell.accumulator);
            tombstones(definition, key, &parsed, (&cell.currencies, &now), effects);
            cell.currencies = now;
        }
        for (currency, figures) in definition.published(parsed.currency, &cell.accumulator) {
            let value = MetricValue {
                metric: definition.id,
                unit: definition.unit,
                window: parsed.window,
                dimension: parsed.dimension,
                dimension_value: if summed.is_some() { OTHER } else { parsed.value },
                other_values: summed,
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
            effects.value(&public_key(definition, key, &parsed, currency), &value);
        }
        Ok(rest)
    }
}

/// What the sum of a group's others is called where a dimension's value has its place.
const OTHER: &str = "other";

fn defined(cell: &CellKey<'_>) -> Result<&'static Definition, MetricsError> {
    catalogue::definition(cell.metric).ok_or(MetricsError::UnknownMetric(cell.metric))
}

fn public_key(definition: &Definition, key: &[u8], cell: &CellKey<'_>, currency: Option<Currency>) -> String {
    match key[0] {
        OTHERS => keys::metric_of_others(definition.id, cell.window, currency, cell.dimension),
        _ => keys::metric(definition.id, cell.window, currency, cell.dimension, cell.value),
    }
}

/// Tombstones of currencies that are no longer there, or of all there is.
fn tombstones(
    definition: &Definition,
    key: &[u8],
    cell: &CellKey<'_>,
    (before, now): (&[Currency], &[Currency]),
    effects: &mut dyn Effects,
) {
    if definition.currencies_within {
        for currency in before.iter().filter(|currency| !now.contains(currency)) {
            effects.tombstone(&public_key(definition, key, cell, Some(*currency)));
        }
    } else {
        effects.tombstone(&public_key(definition, key, cell, cell.currency));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
