//! Departments' promises as changes by month in; out how many are open at the end of a month, and which later scorecards a change
//! of an earlier month makes due.
//!
//! What is open at a month's end has been made up to then and has not ended: the changes of all months up to it. No sum is kept from month
//! to month, since a late event would change all that follow.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{ELEMENT, HEAD, PUBLISHED, day_of_family, element_key, prefixed, read_element};
use crate::{
    analyses::scorecards::Promises,
    metrics::{
        MetricsError,
        cells::{StoreKey, day_bytes},
    },
    model::{Day, DepartmentElement, KeyValue, family},
};

/// Notes that the promises of a department have changed in a month.
pub(super) fn changed(promised: &mut BTreeMap<StoreKey, Day>, family: &[u8], month: Day) {
    let first = promised.entry(StoreKey::from_slice(&family[HEAD - 1..])).or_insert(month);
    *first = (*first).min(month);
}

/// Everything of scorecards under a first byte, from the day after one on.
fn scorecards_after(first: u8, day: Day) -> (StoreKey, StoreKey) {
    let from = |day: Day| {
        let mut key = prefixed(first, &[family::SCORECARDS]);
        key.extend_from_slice(&day_bytes(day));
        key
    };
    (from(day.plus(1)), prefixed(first, &[family::SCORECARDS + 1]))
}

/// The scorecards of later months than those in which promises have changed; the month itself is due with its element.
pub(super) fn due(promised: BTreeMap<StoreKey, Day>, store: &dyn KeyValue) -> Result<Vec<StoreKey>, MetricsError> {
    let Some(earliest) = promised.values().min() else { return Ok(Vec::new()) };
    let (mut cards, mut failure) = (Vec::new(), Ok(()));
    let (from, to) = scorecards_after(PUBLISHED, *earliest);
    store.scan(&from, &to, &mut |key, _| {
        let card = &key[1..];
        match day_of_family(card) {
            Ok(month) if promised.get(&card[HEAD - 1..]).is_some_and(|first| *first < month) => {
                cards.push(StoreKey::from_slice(card));
            }
            Ok(_) => {}
            Err(error) => failure = Err(error),
        }
        if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    failure?;
    Ok(cards)
}

/// The promises of a scorecard's department that are open at the end of its month.
pub(super) fn up_to(card: &[u8], month: Day, store: &dyn KeyValue) -> Result<Promises, MetricsError> {
    let mut name = String::new();
    DepartmentElement::Promises.push_name(&mut name);
    let mut found = Promises::default();
    let (mut from, _) = scorecards_after(ELEMENT, Day(i32::MIN));
    let (to, _) = scorecards_after(ELEMENT, month);
    // From month to month: in between is what else is known of them.
    while let Some(start) = first_month(&from, &to, store)? {
        let mut of_month = StoreKey::from_slice(card);
        of_month[1..5].copy_from_slice(&day_bytes(start));
        found.add(&read_element(&element_key(&of_month, &name), store)?);
        (from, _) = scorecards_after(ELEMENT, start);
    }
    Ok(found)
}

/// The month of the first element between two keys.
fn first_month(from: &[u8], to: &[u8], store: &dyn KeyValue) -> Result<Option<Day>, MetricsError> {
    let mut found = None;
    store.scan(from, to, &mut |key, _| {
        found = Some(day_of_family(&key[1..]));
        ControlFlow::Break(())
    })?;
    found.transpose()
}
