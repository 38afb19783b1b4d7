//! The view in; the newest values of the company's metrics, for whoever scrapes, out.
//!
//! Of each metric and kind of window two: the *newest* window, which may still be filled, and the newest one that is *settled*
//! (final, or revised since). Of metrics in money those in one currency. So there are never more than metrics × 3 × 2 of them,
//! however many customers, currencies and years there are. Dimensions are not here: ask the API.
//!
//! A settled window is remembered, so that a look reads only what came after it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::view::{Index, Kept, View, ViewError};
use crate::{
    model::Day,
    telemetry::{CompanyValue, Telemetry},
};

/// Values that were looked up no longer ago than this are shown again: scrapes come every few seconds, from several sides.
const KEPT_FOR: Duration = Duration::from_secs(5);
const WINDOWS: [&str; 3] = ["day", "week", "month"];
/// Records that are read at a time.
const PAGE: usize = 500;
/// The normal quantile of a 95 % interval.
const Z_95: f64 = 1.959_963_984_540_054;

/// A metric that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub metric: &'static str,
    /// The unit of its values.
    pub unit: &'static str,
    /// Whether it is in money.
    pub is_money: bool,
}

/// The newest values of the company.
pub struct Board {
    view: Arc<View>,
    metrics: Vec<Shown>,
    currency: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    looked: Option<Instant>,
    /// (metric, window) → the first day of its settled window.
    settled: BTreeMap<(&'static str, &'static str), String>,
}

impl Board {
    /// Of these metrics, with money in `currency` (ISO 4217).
    pub fn new(view: Arc<View>, metrics: Vec<Shown>, currency: String) -> Board {
        Board { view, metrics, currency, state: Mutex::default() }
    }

    /// Has the figures show what is in the view now; a view that is not filled shows nothing.
    pub(super) fn show(&self, telemetry: &Telemetry) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.is_some_and(|looked| looked.elapsed() < KEPT_FOR) {
            return;
        }
        state.looked = Some(Instant::now());
        match self.values(&mut state.settled) {
            Ok(values) => telemetry.company_values(&values),
            // It says so itself, in `insight_hub_view_stalled`; what was shown stays.
            Err(error) => tracing::debug!("the company's values cannot be read: {error}"),
        }
    }

    /// As if the values had been looked up long ago.
    #[cfg(test)]
    pub(super) fn forget_when_it_looked(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).looked = None;
    }

    fn values(
        &self,
        settled: &mut BTreeMap<(&'static str, &'static str), String>,
    ) -> Result<Vec<CompanyValue<'_>>, ViewError> {
        let mut values = Vec::new();
        if !self.view.progress().is_complete() {
            return Ok(values);
        }
        for shown in &self.metrics {
            for window in WINDOWS {
                let from = settled.remove(&(shown.metric, window));
                let mut found = self.newest(shown, window, from.as_deref())?;
                if from.is_some() && found.settled.is_none() {
                    // It is settled no more, or gone: an older one may be the newest now.
                    found = self.newest(shown, window, None)?;
                }
                if let Some(record) = &found.settled {
                    settled.insert((shown.metric, window), start_of(record).to_owned());
                }
                let which = [("newest", found.newest), ("settled", found.settled)];
                values.extend(
                    which.into_iter().filter_map(|(which, record)| {
                        record.and_then(|record| self.value(shown, window, which, &record))
                    }),
                );
            }
        }
        Ok(values)
    }

    /// The newest windows of a metric, of those that begin on a day or later.
    fn newest(&self, shown: &Shown, window: &str, from: Option<&str>) -> Result<Found, ViewError> {
        let parts = [shown.metric, window, "company", "", self.currency_of(shown)];
        let span = Index::Series.by(&parts);
        let mut next = from.map(|from| Index::Series.by(&[&parts[..], &[from]].concat()).start);
        let mut found = Found::default();
        loop {
            let page = self.view.list(&span, next.as_deref(), PAGE, &|_| true)?;
            for Kept { value, .. } in page.records {
                if value.get("status").and_then(Value::as_str) != Some("provisional") {
                    found.settled = Some(value.clone());
                }
                found.newest = Some(value);
            }
            next = page.next;
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    fn currency_of(&self, shown: &Shown) -> &str {
        if shown.is_money { &self.currency } else { "" }
    }

    /// A record of the feed as figures; `None`: nothing that a hub wrote.
    fn value(
        &self,
        shown: &Shown,
        window: &'static str,
        which: &'static str,
        record: &Value,
    ) -> Option<CompanyValue<'_>> {
        let number = |field: &str| record.get(field).and_then(Value::as_f64);
        let value = number("value");
        let around = |(value, error): (f64, f64)| (value - Z_95 * error, value + Z_95 * error);
        Some(CompanyValue {
            metric: shown.metric,
            unit: shown.unit,
            window,
            which,
            currency: if shown.is_money { &self.currency } else { "" },
            value,
            observations: number("n")?,
            interval: (number("interval_low").zip(number("interval_high")))
                .or_else(|| value.zip(number("standard_error")).map(around)),
            window_start_seconds: f64::from(first_day(start_of(record))?.0) * 86_400.0,
        })
    }
}

#[derive(Default)]
struct Found {
    newest: Option<Value>,
    settled: Option<Value>,
}

/// The day of a date of ISO 8601.
fn first_day(date: &str) -> Option<Day> {
    let mut parts = date.splitn(3, '-').map(str::parse::<u32>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let is_day = (1..=9_999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    is_day.then(|| Day::from_civil(year.cast_signed(), month, day))
}

fn start_of(record: &Value) -> &str {
    record.pointer("/window/start").and_then(Value::as_str).unwrap_or_default()
}
