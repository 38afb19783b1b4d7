//! A family's elements in the store in, its table out: a large one by several commits, and changed while it is on its way.

use std::ops::ControlFlow;

use super::{
    Families, decode_element, element_key, parse, read_element,
    table::{self, Step, Table},
    together,
};
use crate::{
    metrics::{MetricsError, cells::StoreKey},
    model::{Accumulator, KeyValue, family},
};

/// How many elements one look into the store collects.
const SCAN_ENTRIES_MAX: usize = 256;

/// A family's table on its way: it holds the elements before the cursor.
#[derive(Debug)]
pub(super) struct Loading {
    pub(super) family: StoreKey,
    pub(super) cursor: StoreKey,
    pub(super) table: Table,
}

/// Takes a change of an element into the table of its family; into one on its way, if it is `before` the cursor.
pub(super) fn take(
    table: &mut Table,
    family: &[u8],
    element: &str,
    step: Step<'_>,
    before: Option<&StoreKey>,
    store: &dyn KeyValue,
) -> Result<(), MetricsError> {
    if let Some(path) = table.change(element, step)? {
        let lost = element_key(family, &table::lost(path));
        // What lies before the table is met later.
        let is_met = before.is_none_or(|cursor| lost < *cursor);
        table.note_lost(path, if is_met { read_element(&lost, store)?.n } else { 0 });
    }
    Ok(())
}

impl Families {
    /// Goes on with the tables that the first family that is due is computed from. Whether they are all there.
    pub(super) fn load_needed(&mut self, work: &mut usize, store: &dyn KeyValue) -> Result<bool, MetricsError> {
        if let Some(family) = self.loading.as_ref().map(|loading| loading.family.clone())
            && !self.load(&family, work, store)?
        {
            return Ok(false);
        }
        self.needed.clear();
        let Some(family) = self.next(store)? else { return Ok(true) };
        match family.first() {
            Some(&family::CHANGES) => {}
            Some(&(family::BALANCE | family::SCORECARDS)) => {
                self.needed.push(together::balance(&family));
                if family.first() == Some(&family::SCORECARDS) {
                    self.needed.push(together::priorities(&family));
                }
                if !self.credited.contains_key(&parse(&family)?.window.start) {
                    self.needed.extend(together::purchases(&family));
                }
            }
            _ => self.needed.push(family),
        }
        for key in self.needed.clone() {
            if !self.load(&key, work, store)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes on with the table of a family. Whether it is there; takes from `work` what it used.
    fn load(&mut self, family: &StoreKey, work: &mut usize, store: &dyn KeyValue) -> Result<bool, MetricsError> {
        match self.tables.get(family) {
            Some(table) if !table.is_lacking() => return Ok(true),
            Some(_) => _ = self.tables.remove(family),
            None => {}
        }
        let (prefix, end) = elements(family);
        let begun = self.loading.take_if(|loading| loading.family == *family);
        let mut loading = begun.unwrap_or_else(|| Loading {
            family: family.clone(),
            cursor: prefix.clone(),
            table: Table::of(family),
        });
        while *work > 0 {
            let mut found: Vec<(StoreKey, Vec<u8>)> = Vec::new();
            store.scan(&loading.cursor, &end, &mut |key, value| {
                found.push((StoreKey::from_slice(key), value.to_vec()));
                if found.len() < SCAN_ENTRIES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            let is_end = found.len() < SCAN_ENTRIES_MAX;
            for (key, value) in found {
                let element = std::str::from_utf8(&key[prefix.len()..])
                    .map_err(|_| MetricsError::Corrupted { what: "an element's key" })?;
                let (nothing, sum) = (Accumulator::default(), decode_element(&value)?);
                let step = Step { before: &nothing, add: &sum, after: &sum };
                loading.cursor.clone_from(&key);
                // The smallest key after this one.
                loading.cursor.push(0);
                *work = work.saturating_sub(table::work(element));
                take(&mut loading.table, family, element, step, Some(&loading.cursor), store)?;
            }
            if is_end {
                self.tables.insert(family.clone(), loading.table);
                return Ok(true);
            }
        }
        self.loading = Some(loading);
        Ok(false)
    }

    pub(super) fn table(&mut self, family: &StoreKey, store: &dyn KeyValue) -> Result<&Table, MetricsError> {
        self.load(family, &mut usize::MAX.clone(), store)?;
        Ok(&self.tables[family])
    }
}

/// Between which keys the elements of a family are.
pub(super) fn elements(family: &[u8]) -> (StoreKey, StoreKey) {
    let prefix = element_key(family, "");
    let mut end = prefix.clone();
    *end.last_mut().expect("a prefix is not empty") = 1;
    (prefix, end)
}

/// The table of a small family, at once.
pub(super) fn read_table(family: &[u8], store: &dyn KeyValue) -> Result<Table, MetricsError> {
    let mut table = Table::of(family);
    let (prefix, end) = elements(family);
    let mut result = Ok(());
    store.scan(&prefix, &end, &mut |key, value| {
        result = std::str::from_utf8(&key[prefix.len()..])
            .map_err(|_| MetricsError::Corrupted { what: "an element's key" })
            .and_then(|element| {
                let (nothing, sum) = (Accumulator::default(), decode_element(value)?);
                table.change(element, Step { before: &nothing, add: &sum, after: &sum }).map(|_| ())
            });
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result?;
    Ok(table)
}
