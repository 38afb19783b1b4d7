//! What the metrics stage publishes: values with everything that a reader needs to roll them up and to doubt them.

use std::collections::BTreeMap;

use super::{contribution::Dimension, kind::vocabulary, time::Window, touchpoint::Currency};

vocabulary! {
    /// Whether a window can still change.
    Status {
        Provisional => "provisional",
        Final => "final",
        Revised => "revised",
    }
}

/// How sure one may be of an estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Uncertainty {
    /// The standard error of the value, in its unit.
    StandardError(f64),
    /// A 95 % interval.
    Interval(f64, f64),
}

/// Percentiles of a distribution, in the metric's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Nine of ten are at most this.
    pub p90: f64,
    /// Ninety-nine of a hundred are at most this.
    pub p99: f64,
}

/// One value of `insight.metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricValue<'a> {
    /// The metric's id.
    pub metric: &'a str,
    /// The unit of `value`.
    pub unit: &'a str,
    /// The window.
    pub window: Window,
    /// The dimension.
    pub dimension: Dimension,
    /// Its value; empty for the company, and for several values together a word that says so.
    pub dimension_value: &'a str,
    /// How many values of the dimension these are together, which are not published each; `None`: it is one.
    pub other_values: Option<u64>,
    /// The currency of money metrics.
    pub currency: Option<Currency>,
    /// Observations behind the value.
    pub n: i64,
    /// Exact numerator, to roll up.
    pub numerator: i64,
    /// Exact denominator, to roll up.
    pub denominator: i64,
    /// The value; absent where the denominator is 0.
    pub value: Option<f64>,
    /// Uncertainty, where the value is an estimate.
    pub uncertainty: Option<Uncertainty>,
    /// Percentiles, where the metric keeps its distribution.
    pub percentiles: Option<Percentiles>,
    /// Further figures that the definition names.
    pub details: BTreeMap<&'static str, f64>,
    /// Counts the publications of this key, from 1.
    pub revision: u64,
    /// Whether it can still change.
    pub status: Status,
    /// The version of the metric's definition.
    pub definition_version: u32,
}

/// One definition of `insight.catalogue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEntry<'a> {
    /// The metric's id.
    pub metric: &'a str,
    /// A short name for people.
    pub title: &'a str,
    /// The unit of the value.
    pub unit: &'a str,
    /// How it is computed.
    pub formula: &'a str,
    /// What is counted and what is not.
    pub inclusion: &'a str,
    /// The moment that puts an observation into a window.
    pub counted_at: &'a str,
    /// Where the definition comes from.
    pub source: &'a str,
    /// Which dimensions it is published for.
    pub dimensions: Vec<&'a str>,
    /// Increases when the meaning changes.
    pub version: u32,
}
