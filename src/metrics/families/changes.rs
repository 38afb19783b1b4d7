//! Enacted changes in, the metrics that are compared before and after them out.
//!
//! ```text
//! a 198 day⁴ dimension value 0x00 spoke       →  how often the spoke said so, and what it took: on every partition
//! f 198 day⁴ dimension value spoke metric     →  what was published of one comparison: where the metric's cells are
//! ```
//! What something was done about is what the touchpoint names: the company, and its channel, segment, region, product, subject,
//! campaign and account. Compared are the [`DAYS`] days before the day of the change with as many after it; the day itself
//! belongs to neither. Left out are metrics whose observations take days to be made (whether a first-time buyer buys again within 30): before
//! the change they would lie half behind it, and after it they would count as failed until their days are over.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{ELEMENT, decode_element, element_key};
use crate::{
    analyses::change::{Change, Shape, compare},
    metrics::{
        MetricsError,
        catalogue::{self, Definition, index},
        cells::{self, StoreKey, day_bytes, day_of_bytes},
    },
    model::{Accumulator, CellKey, Day, Dimension, KeyValue, Window, WindowKind, family},
};

/// So many days are compared on each side.
pub const DAYS: i32 = 28;

/// A day in milliseconds, and a second.
const DAY_MS: f64 = 86_400_000.0;
const SECOND_MS: f64 = 1_000.0;

/// What is compared: metrics of observations with an interval, each of one moment. A contact within seven days of a resolution is looked
/// for, but whether there is one was decided by the resolution.
const COMPARED: &[(u8, Shape)] = &[
    (index::NPS, Shape::NetPromoter),
    (index::CSAT, Shape::Share),
    (index::CES, Shape::Mean { unit: 1.0 }),
    (index::SENTIMENT, Shape::Mean { unit: 1.0 }),
    (index::PROMISE_GAP, Shape::Mean { unit: DAY_MS }),
    (index::ON_TIME, Shape::Share),
    (index::FIRST_RESPONSE_TIME, Shape::Mean { unit: SECOND_MS }),
    (index::RESOLUTION_TIME, Shape::Mean { unit: SECOND_MS }),
    (index::RETURN_RATE, Shape::Share),
    (index::FULL_RESOLUTION_TIME, Shape::Mean { unit: SECOND_MS }),
    (index::FIRST_CONTACT_RESOLUTION, Shape::Share),
    (index::FOLLOW_UP_TIME, Shape::Mean { unit: SECOND_MS }),
    (index::EXPECTATION_GAP, Shape::Mean { unit: 1.0 }),
    (index::REFERRAL, Shape::Share),
    (index::WORD_OF_MOUTH, Shape::Share),
];

/// A metric before and after a change.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// The metric.
    pub metric: &'static Definition,
    /// What the change took: the sum of what the touchpoints say that tell of it, `None` where none says it.
    pub effort: Option<i64>,
    /// How it moved; `None`: too few observations, or the change is gone.
    pub change: Option<Change>,
}

/// The metric of a comparison's name.
fn compared(id: &str) -> Option<(&'static Definition, Shape)> {
    COMPARED.iter().find_map(|&(metric, shape)| {
        catalogue::definition(metric).filter(|definition| definition.id == id).map(|definition| (definition, shape))
    })
}

/// From this day on a comparison does not change on time.
pub(super) fn settles(day: Day, parts: &[&str]) -> Option<Day> {
    let (metric, _) = compared(parts.get(2)?)?;
    Some(metric.settles_on(Window::of(WindowKind::Day, day.plus(DAYS))))
}

/// The key of a comparison without its first byte.
fn comparison(day: Day, dimension: Dimension, value: &str, spoke: &str, metric: &str) -> StoreKey {
    let mut key = StoreKey::new();
    key.push(family::CHANGES);
    key.extend_from_slice(&day_bytes(day));
    key.push(dimension as u8);
    key.extend_from_slice(family::element(&[value, spoke, metric]).as_bytes());
    key
}

/// By value of a dimension: day and spoke of each change.
type Known = BTreeMap<Dimension, BTreeMap<Box<str>, Vec<(Day, Box<str>)>>>;

/// The changes that were told, as a partition knows them: a cache of the store.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// `None` until it was read.
    known: Option<Known>,
}

impl Changes {
    fn known(&mut self, store: &dyn KeyValue) -> Result<&mut Known, MetricsError> {
        match &mut self.known {
            Some(known) => Ok(known),
            empty => {
                let mut known = Known::new();
                let mut result = Ok(());
                store.scan(&[ELEMENT, family::CHANGES], &[ELEMENT, family::CHANGES + 1], &mut |key, _| match parse(
                    &key[2..],
                ) {
                    Some((day, dimension, value, spoke)) => {
                        let changes = known.entry(dimension).or_default().entry(value.into()).or_default();
                        changes.push((day, spoke.into()));
                        ControlFlow::Continue(())
                    }
                    None => {
                        result = Err(MetricsError::Corrupted { what: "a change" });
                        ControlFlow::Break(())
                    }
                })?;
                result?;
                Ok(empty.insert(known))
            }
        }
    }

    /// A change was told, or taken back: the comparisons that this concerns. What is known is read again.
    pub(super) fn told(&mut self, cell: &CellKey<'_>, value: &str, spoke: &str) -> Vec<StoreKey> {
        self.known = None;
        COMPARED
            .iter()
            .filter_map(|(metric, _)| catalogue::definition(*metric))
            .filter(|definition| definition.dimensions.contains(&cell.dimension))
            .map(|definition| comparison(cell.window.start, cell.dimension, value, spoke, definition.id))
            .collect()
    }

    /// A cell of a metric changes: calls `each` with the comparisons that look at it.
    pub(super) fn touched(
        &mut self,
        cell: &CellKey<'_>,
        store: &dyn KeyValue,
        each: &mut dyn FnMut(StoreKey),
    ) -> Result<(), MetricsError> {
        if cell.window.kind != WindowKind::Day {
            return Ok(());
        }
        let known = self.known(store)?;
        if known.is_empty() || !COMPARED.iter().any(|(metric, _)| *metric == cell.metric) {
            return Ok(());
        }
        let Some(changes) = known.get(&cell.dimension).and_then(|values| values.get(cell.value)) else {
            return Ok(());
        };
        let definition = catalogue::definition(cell.metric).ok_or(MetricsError::UnknownMetric(cell.metric))?;
        let is_near = |day: Day| (-DAYS..=DAYS).contains(&(cell.window.start.0 - day.0));
        for (day, spoke) in changes.iter().filter(|(day, _)| is_near(*day)) {
            each(comparison(*day, cell.dimension, cell.value, spoke, definition.id));
        }
        Ok(())
    }

    /// The comparison of a name.
    pub(super) fn compare(
        day: Day,
        dimension: Dimension,
        parts: &[&str],
        store: &dyn KeyValue,
    ) -> Result<Compared, MetricsError> {
        let corrupted = || MetricsError::Corrupted { what: "a comparison's key" };
        let &[value, spoke, id] = parts else { return Err(corrupted()) };
        let (metric, shape) = compared(id).ok_or_else(corrupted)?;
        let mut told = StoreKey::new();
        told.push(family::CHANGES);
        told.extend_from_slice(&day_bytes(day));
        told.push(dimension as u8);
        told.extend_from_slice(value.as_bytes());
        let Some(told) = store.get(&element_key(&told, spoke))? else {
            return Ok(Compared { metric, effort: None, change: None });
        };
        let told = decode_element(&told)?;
        let effort = (told.a > 0).then_some(told.sum);
        let sum = |days: std::ops::Range<i32>| -> Result<Accumulator, MetricsError> {
            let mut sum = Accumulator::default();
            for shift in days {
                let window = Window::of(WindowKind::Day, day.plus(shift));
                let cell = CellKey { metric: metric.index, currency: None, dimension, value, window };
                if let Some(bytes) = store.get(&cells::cell_key(&cell))? {
                    sum.add(&cells::accumulator(metric.index, &bytes)?, 1);
                }
            }
            Ok(sum)
        };
        let (before, after) = (sum(-DAYS..0)?, sum(1..DAYS + 1)?);
        Ok(Compared { metric, effort, change: compare(&before, &after, shape) })
    }
}

/// What the key of a change says, without the first two bytes.
fn parse(key: &[u8]) -> Option<(Day, Dimension, &str, &str)> {
    let (head, rest) = key.split_first_chunk::<5>()?;
    let &[a, b, c, d, dimension] = head;
    let (value, spoke) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
    Some((day_of_bytes([a, b, c, d]), *Dimension::ALL.get(usize::from(dimension))?, value, spoke))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalogue::MetricKind;

    #[test]
    fn what_is_compared_are_observations_whose_days_do_not_reach_over_the_change() {
        for (metric, shape) in COMPARED {
            let metric = catalogue::definition(*metric).expect("a metric of the catalogue");
            assert!(metric.kind == MetricKind::Flow && !metric.ahead && !metric.per_currency, "{}", metric.id);
            // Nothing of an observation comes later, when it is not known before.
            assert!(metric.settles_after_days == 0 || metric.index == index::FIRST_CONTACT_RESOLUTION, "{}", metric.id);
            let cell =
                Accumulator { n: 40, a: 10, b: 6, sum: 80_000, squares: 1_000_000_000, ..Accumulator::default() };
            let found = compare(&cell, &cell, *shape).expect("enough of both");
            let published = (metric.figures)(&cell).value.expect("a value");
            assert!((found.before - published).abs() < 1e-12, "{}: {} and {published}", metric.id, found.before);
        }
    }
}
