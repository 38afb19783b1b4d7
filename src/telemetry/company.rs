//! The newest values of the company's metrics in; the gauges that show them, and none of what is gone, out.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus::GaugeVec;

/// A value of the company for one window. Labels are bounded: metrics are those of the catalogue, and there is one currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompanyValue<'a> {
    /// The metric's id.
    pub metric: &'a str,
    /// The unit of the value and of its interval.
    pub unit: &'a str,
    /// `day`, `week` or `month`.
    pub window: &'a str,
    /// `newest` (it may still be filled) or `settled`.
    pub which: &'a str,
    /// ISO 4217, or empty of what is not in money.
    pub currency: &'a str,
    /// The value; `None` where there is nothing to divide by.
    pub value: Option<f64>,
    /// How many observations it is made of.
    pub observations: f64,
    /// Its 95 % interval, where it is an estimate.
    pub interval: Option<(f64, f64)>,
    /// When the window began: the midnight of UTC of its first day, seconds since 1970-01-01T00:00:00Z.
    pub window_start_seconds: f64,
}

type Labels = Vec<String>;

/// The gauges, and which of them show something.
pub(super) struct CompanyFigures {
    pub values: GaugeVec,
    pub observations: GaugeVec,
    pub intervals: GaugeVec,
    pub window_starts: GaugeVec,
    pub shown: Mutex<BTreeSet<Labels>>,
}

impl CompanyFigures {
    /// Shows these, and no others any more. Whoever renders meanwhile sees a value as it was or as it is.
    pub fn show(&self, values: &[CompanyValue<'_>]) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *shown);
        for value in values {
            let labels = [value.metric, value.unit, value.window, value.which, value.currency];
            gone.remove(labels.map(str::to_owned).as_slice());
            self.observations.with_label_values(&labels).set(value.observations);
            self.window_starts.with_label_values(&labels).set(value.window_start_seconds);
            match value.value {
                Some(number) => self.values.with_label_values(&labels).set(number),
                None => drop(self.values.remove_label_values(&labels)),
            }
            for (bound, end) in [("low", value.interval.map(|it| it.0)), ("high", value.interval.map(|it| it.1))] {
                let labels = [&labels[..], &[bound]].concat();
                match end {
                    Some(end) => self.intervals.with_label_values(&labels).set(end),
                    None => drop(self.intervals.remove_label_values(&labels)),
                }
            }
            shown.insert(labels.map(str::to_owned).to_vec());
        }
        for labels in &gone {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            for gauges in [&self.values, &self.observations, &self.window_starts] {
                // Some of them showed nothing of it.
                let _ = gauges.remove_label_values(&labels);
            }
            for bound in ["low", "high"] {
                let _ = self.intervals.remove_label_values(&[&labels[..], &[bound]].concat());
            }
        }
    }
}
