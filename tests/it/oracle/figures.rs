//! What was counted in, the figures of a published value out: every formula from its definition, over the list of values.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value, json};

use super::{cells::Cell, intervals};

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// What is counted under a key.
pub enum Count<'a> {
    Cell(Cow<'a, Cell>),
    Level(i64),
    /// How many each person got.
    Messages(Vec<i64>),
}

impl Count<'_> {
    pub fn figures(&self, metric: &str, contact_cap: i64) -> Figures {
        match self {
            Count::Cell(cell) => figures(metric, cell),
            Count::Level(level) => {
                let unit = if metric == "overdue" { "orders" } else { "cases" };
                Figures::new(unit, *level, *level, 1, Some(*level as f64))
            }
            Count::Messages(counts) => {
                let (n, sum) = (counts.len() as i64, counts.iter().sum::<i64>());
                let above = counts.iter().filter(|count| **count > contact_cap).count();
                let figures = Figures::new("messages", n, sum, n, Some(sum as f64 / n as f64));
                figures.detail("share_above_cap", above as f64 / n as f64)
            }
        }
    }

    /// Observations.
    pub fn n(&self, metric: &str) -> i64 {
        match self {
            Count::Cell(cell) if is_per_customer(metric) => cell.n,
            _ => self.figures(metric, 0).n,
        }
    }
}

/// Whose amounts are divided by customers, who have no currency.
pub fn is_per_customer(metric: &str) -> bool {
    matches!(metric, "acquisition_cost" | "customer_value")
}

/// Several values as one, by currency.
pub fn together(values: &[(u32, BTreeMap<u32, Count<'_>>)]) -> BTreeMap<u32, Count<'static>> {
    let mut sums: BTreeMap<u32, Count<'static>> = BTreeMap::new();
    for (currency, count) in values.iter().flat_map(|(_, amounts)| amounts) {
        match (sums.get_mut(currency), count) {
            (None, Count::Cell(cell)) => {
                sums.insert(*currency, Count::Cell(Cow::Owned((**cell).clone())));
            }
            (None, Count::Level(level)) => drop(sums.insert(*currency, Count::Level(*level))),
            (None, Count::Messages(counts)) => drop(sums.insert(*currency, Count::Messages(counts.clone()))),
            (Some(Count::Cell(sum)), Count::Cell(cell)) => {
                let sum = sum.to_mut();
                sum.n += cell.n;
                sum.a += cell.a;
                sum.b += cell.b;
                sum.values.extend_from_slice(&cell.values);
            }
            (Some(Count::Level(sum)), Count::Level(level)) => *sum += level,
            (Some(Count::Messages(sum)), Count::Messages(counts)) => sum.extend_from_slice(counts),
            _ => unreachable!("a metric is counted in one way"),
        }
    }
    sums
}

pub struct Figures {
    pub unit: &'static str,
    pub n: i64,
    pub numerator: i64,
    pub denominator: i64,
    pub value: Option<f64>,
    pub standard_error: Option<f64>,
    pub interval: Option<(f64, f64)>,
    pub percentiles: Option<[f64; 3]>,
    pub details: Map<String, Value>,
}

impl Figures {
    pub fn new(unit: &'static str, n: i64, numerator: i64, denominator: i64, value: Option<f64>) -> Figures {
        Figures {
            unit,
            n,
            numerator,
            denominator,
            value,
            standard_error: None,
            interval: None,
            percentiles: None,
            details: Map::new(),
        }
    }

    fn detail(mut self, name: &str, value: f64) -> Figures {
        self.details.insert(name.to_owned(), json!(value));
        self
    }

    fn error(mut self, values: &[i64], unit: f64) -> Figures {
        self.standard_error = standard_error(values).map(|error| error / unit);
        self
    }

    fn spread(mut self, values: &[i64], unit: f64) -> Figures {
        self.percentiles = Some([50, 90, 99].map(|percent| percentile(values, percent) / unit));
        self
    }

    fn wilson(mut self, successes: i64) -> Figures {
        self.interval = intervals::wilson(successes, self.n).map(|(low, high)| (100.0 * low, 100.0 * high));
        self
    }
}

fn figures(metric: &str, cell: &Cell) -> Figures {
    let Cell { n, a, b, values } = cell;
    let (n, a, b) = (*n, *a, *b);
    let count = n as f64;
    let sum = values.iter().map(|value| i128::from(*value)).sum::<i128>() as i64;
    let mean = sum as f64 / count;
    let share = a as f64 / count;
    let percent = (n > 0).then(|| 100.0 * a as f64 / count);
    match metric {
        "nps" => {
            let (promoters, detractors) = (share, b as f64 / count);
            let variance = promoters + detractors - (promoters - detractors).powi(2);
            let mut figures = Figures::new("points", n, a - b, n, Some(100.0 * (a - b) as f64 / count));
            figures.standard_error = Some(100.0 * (variance / count).max(0.0).sqrt());
            figures.detail("promoters_share", promoters).detail("detractors_share", detractors)
        }
        "csat" => Figures::new("percent", n, a, n, percent).wilson(a).detail("mean", mean),
        "ces" => Figures::new("points", n, sum, n, Some(mean)).error(values, 1.0).detail("share_easy", share),
        "sentiment" => Figures::new("points", n, sum, n, Some(mean)).error(values, 1.0).detail("share_negative", share),
        "promise_gap" => {
            let day = MILLISECONDS_PER_DAY as f64;
            let figures = Figures::new("days", n, sum, n, Some(mean / day)).detail("share_late", share);
            figures.error(values, day).spread(values, day)
        }
        "expectation_gap" => {
            Figures::new("points", n, sum, n, Some(mean)).error(values, 1.0).detail("share_below", share)
        }
        "follow_up_time" => {
            let figures = Figures::new("seconds", n, sum, n, Some(mean / 1_000.0));
            figures.error(values, 1_000.0).spread(values, 1_000.0).detail("share_within_48_hours", share)
        }
        "first_response_time" | "resolution_time" | "full_resolution_time" => {
            Figures::new("seconds", n, sum, n, Some(mean / 1_000.0)).error(values, 1_000.0).spread(values, 1_000.0)
        }
        "on_time"
        | "return_rate"
        | "retention"
        | "advocacy"
        | "first_contact_resolution"
        | "repurchase_30"
        | "repurchase_60"
        | "repurchase_90"
        | "referral"
        | "word_of_mouth"
        | "conversion" => Figures::new("percent", n, a, n, percent).wilson(a),
        "churn" => {
            // The cell holds persons as retention does, and subscriptions beside them.
            let running: i64 = values.iter().sum();
            let (lost, of) = if running > 0 { (a, running) } else { (n - b, n) };
            let share = (of > 0).then(|| 100.0 * lost as f64 / of as f64);
            let figures = Figures::new("percent", of, lost, of, share).wilson(lost);
            let figures =
                figures.detail("subscriptions_running", running as f64).detail("subscriptions_cancelled", a as f64);
            figures.detail("persons_active_before", count).detail("persons_still_active", b as f64)
        }
        "content_credibility" => {
            let (others, others_on) = (b, values.len() as i64);
            let mut figures = Figures::new("percentage_points", n, a, n, None);
            if n > 0 {
                figures = figures.detail("share", share);
            }
            if others > 0 {
                figures = figures.detail("share_of_others", others_on as f64 / others as f64);
            }
            if n > 0 && others > 0 {
                figures.value = Some(100.0 * (share - others_on as f64 / others as f64));
                let difference = intervals::difference_of_shares((a, n), (others_on, others));
                figures.interval = difference.map(|[_, low, high]| (100.0 * low, 100.0 * high));
            }
            figures.detail("others", others as f64).detail("others_who_went_on", others_on as f64)
        }
        "contact_rate" => Figures::new("cases_per_customer", n, a, n, (n > 0).then_some(share)),
        "revenue" | "margin" => Figures::new("minor_units", n, sum, 1, Some(sum as f64)),
        "average_order_value" => Figures::new("minor_units", n, sum, n, Some(mean)).error(values, 1.0),
        "orders" => Figures::new("orders", n, n, 1, Some(count)),
        _ => Figures::new("customers", n, n, 1, Some(count)),
    }
}

/// Of the mean: exact integers up to one division.
fn standard_error(values: &[i64]) -> Option<f64> {
    let n = values.len() as i128;
    let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
    let squares: i128 = values.iter().map(|value| i128::from(*value).pow(2)).sum();
    (n >= 2).then(|| ((n * squares - sum * sum) as f64 / (n * n * (n - 1)) as f64).sqrt())
}

/// Nearest rank, as the middle of the value's bucket.
pub fn percentile(values: &[i64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    bucket_middle(sorted[(percent * sorted.len()).div_ceil(100) - 1])
}

/// The middle of the integers that share a value's sign and seven leading binary digits.
pub fn bucket_middle(value: i64) -> f64 {
    let magnitude = value.unsigned_abs();
    let mut width = 1_u64;
    while magnitude / width >= 128 {
        width *= 2;
    }
    let lowest = magnitude / width * width;
    let middle = lowest as f64 + (width - 1) as f64 / 2.0;
    if value < 0 { -middle } else { middle }
}
