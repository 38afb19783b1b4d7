//! Accumulators in, published figures out: pure functions, one per shape of metric.
//!
//! Every division into a float happens here, once, when a value is published. Accumulators are sums of signed integers, so
//! in the middle of retractions they can be inconsistent for a moment (more promoters than answers, a negative count): then
//! a figure that makes no sense is absent, never infinite and never not-a-number.

use std::collections::BTreeMap;

use crate::{
    analyses::statistics::{difference_of_shares, mean_standard_error, percentile, wilson_interval},
    model::{Accumulator, Outcome, Percentiles, Uncertainty},
};

const MILLISECONDS_PER_DAY: f64 = 86_400_000.0;
const MILLISECONDS_PER_SECOND: f64 = 1_000.0;

/// What a cell says, in the metric's unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Observations behind the value.
    pub n: i64,
    /// Exact numerator, to roll up.
    pub numerator: i64,
    /// Exact denominator, to roll up.
    pub denominator: i64,
    /// The value; absent where the denominator is not positive.
    pub value: Option<f64>,
    /// How sure one may be of it, where it is an estimate and the counts allow one.
    pub uncertainty: Option<Uncertainty>,
    /// Percentiles, where the metric keeps its distribution.
    pub percentiles: Option<Percentiles>,
    /// Further figures that the definition names.
    pub details: BTreeMap<&'static str, f64>,
}

/// Net promoter score in points: `100·(a−b)/n`, with `a` promoters and `b` detractors.
pub fn nps(cell: &Accumulator) -> Figures {
    let numerator = cell.a.wrapping_sub(cell.b);
    Figures {
        n: cell.n,
        numerator,
        denominator: cell.n,
        value: quotient(numerator, cell.n).map(|share| 100.0 * share),
        uncertainty: nps_standard_error(cell.a, cell.b, cell.n).map(Uncertainty::StandardError),
        details: shares(&[("promoters_share", cell.a), ("detractors_share", cell.b)], cell.n),
        ..Figures::default()
    }
}

/// Satisfaction in percent: `100·a/n`, with `a` satisfied answers; the mean answer as a detail.
pub fn csat(cell: &Accumulator) -> Figures {
    Figures { details: shares(&[("mean", cell.sum)], cell.n), ..percent(cell) }
}

/// A mean of points, `sum/n`, with the share of easy answers `a/n`.
pub fn ces(cell: &Accumulator) -> Figures {
    Figures { details: shares(&[("share_easy", cell.a)], cell.n), ..mean(cell, 1.0) }
}

/// A mean of points, `sum/n`, with the share of negative ones `a/n`.
pub fn sentiment(cell: &Accumulator) -> Figures {
    Figures { details: shares(&[("share_negative", cell.a)], cell.n), ..mean(cell, 1.0) }
}

/// A mean of signed milliseconds in days, with the share of late ones `a/n` and percentiles.
pub fn promise_gap(cell: &Accumulator) -> Figures {
    Figures {
        percentiles: percentiles(cell, MILLISECONDS_PER_DAY),
        details: shares(&[("share_late", cell.a)], cell.n),
        ..mean(cell, MILLISECONDS_PER_DAY)
    }
}

/// A mean of milliseconds in seconds, with percentiles.
pub fn duration(cell: &Accumulator) -> Figures {
    Figures { percentiles: percentiles(cell, MILLISECONDS_PER_SECOND), ..mean(cell, MILLISECONDS_PER_SECOND) }
}

/// A mean of the difference of two answers in points, `sum/n`, with the share of negative ones `a/n`.
pub fn expectation_gap(cell: &Accumulator) -> Figures {
    Figures { details: shares(&[("share_below", cell.a)], cell.n), ..mean(cell, 1.0) }
}

/// A mean of milliseconds in seconds, with the share within two days `a/n` and percentiles.
pub fn follow_up_time(cell: &Accumulator) -> Figures {
    Figures { details: shares(&[("share_within_48_hours", cell.a)], cell.n), ..duration(cell) }
}

/// A proportion in percent, `100·a/n`, with its Wilson interval.
pub fn percent(cell: &Accumulator) -> Figures {
    Figures {
        n: cell.n,
        numerator: cell.a,
        denominator: cell.n,
        value: quotient(cell.a, cell.n).map(|share| 100.0 * share),
        uncertainty: wilson_interval(cell.a, cell.n)
            .map(|(low, high)| Uncertainty::Interval(100.0 * low, 100.0 * high)),
        ..Figures::default()
    }
}

/// A plain count, or a level: `n`.
pub fn count(cell: &Accumulator) -> Figures {
    Figures { n: cell.n, numerator: cell.n, denominator: 1, value: Some(cell.n as f64), ..Figures::default() }
}

/// A total, `sum`, of `n` amounts.
pub fn total(cell: &Accumulator) -> Figures {
    Figures { n: cell.n, numerator: cell.sum, denominator: 1, value: Some(cell.sum as f64), ..Figures::default() }
}

/// A mean of amounts in minor units, `sum/n`.
pub fn mean_amount(cell: &Accumulator) -> Figures {
    mean(cell, 1.0)
}

/// An amount of one currency in minor units for each of `n` persons, `sum/n`: not a mean of observed amounts, so that there
/// is no error to state.
pub fn amount_each(cell: &Accumulator) -> Figures {
    Figures {
        n: cell.n,
        numerator: cell.sum,
        denominator: cell.n,
        value: quotient(cell.sum, cell.n),
        ..Figures::default()
    }
}

/// Messages to each of the `n` persons who got any, `sum/n`, with the share of those above the cap `a/n`.
pub fn contact_pressure(cell: &Accumulator) -> Figures {
    Figures { details: shares(&[("share_above_cap", cell.a)], cell.n), ..amount_each(cell) }
}

/// The lost share in percent with its Wilson interval: of `n` subscriptions the `a` cancelled, or without any of `b` persons
/// those who are not among the `sum` still active.
pub fn churn(cell: &Accumulator) -> Figures {
    let (lost, of) = if cell.n > 0 { (cell.a, cell.n) } else { (cell.b.wrapping_sub(cell.sum), cell.b) };
    let details = [
        ("subscriptions_running", cell.n),
        ("subscriptions_cancelled", cell.a),
        ("persons_active_before", cell.b),
        ("persons_still_active", cell.sum),
    ];
    Figures {
        details: details.into_iter().map(|(name, count)| (name, count as f64)).collect(),
        ..percent(&Accumulator { a: lost, ..Accumulator::count(of) })
    }
}

/// The difference of two shares in percentage points, `100·(a/n − sum/b)`, with its Newcombe interval.
pub fn content_credibility(cell: &Accumulator) -> Figures {
    let difference = difference_of_shares((cell.a, cell.n), (cell.sum, cell.b)).map(|it| it.scaled(100.0));
    let mut details = shares(&[("share", cell.a)], cell.n);
    details.extend(shares(&[("share_of_others", cell.sum)], cell.b));
    details.extend([("others", cell.b as f64), ("others_who_went_on", cell.sum as f64)]);
    Figures {
        n: cell.n,
        numerator: cell.a,
        denominator: cell.n,
        value: difference.map(|difference| difference.value),
        uncertainty: difference.map(|difference| Uncertainty::Interval(difference.low, difference.high)),
        details,
        ..Figures::default()
    }
}

/// A quotient of two counts of different things, `a/n`: no interval, since it can exceed one.
pub fn rate(cell: &Accumulator) -> Figures {
    Figures { n: cell.n, numerator: cell.a, denominator: cell.n, value: quotient(cell.a, cell.n), ..Figures::default() }
}

/// The accepted share of arrivals, with the count of each outcome as a detail. The buckets are outcomes, see [`outcomes`].
pub fn data_quality(cell: &Accumulator) -> Figures {
    let of = |outcome| outcome_count(cell, outcome);
    let accepted = of(Outcome::Accepted);
    let arrivals = accepted.wrapping_add(of(Outcome::Rejected)).wrapping_add(of(Outcome::Skipped));
    Figures {
        n: cell.n,
        numerator: accepted,
        denominator: arrivals,
        value: quotient(accepted, arrivals),
        details: Outcome::ALL.iter().map(|&outcome| (outcome.as_str(), of(outcome) as f64)).collect(),
        ..Figures::default()
    }
}

/// How many outcomes of one kind a cell of `data_quality` holds, or is given.
pub fn outcome_count(cell: &Accumulator, outcome: Outcome) -> i64 {
    let position = cell.buckets.binary_search_by_key(&(outcome as i16), |&(bucket, _)| bucket);
    position.map_or(0, |index| cell.buckets[index].1)
}

/// What `times` outcomes of one kind add to a cell of `data_quality`.
pub fn outcomes(outcome: Outcome, times: i64) -> Accumulator {
    Accumulator {
        n: times,
        buckets: if times == 0 { Vec::new() } else { vec![(outcome as i16, times)] },
        ..Accumulator::default()
    }
}

/// The standard error of a net promoter score in points: `100·sqrt((p+d−(p−d)²)/n)`, the standard deviation of an answer
/// scored +1, 0 or −1. `None` where the counts contradict each other.
pub fn nps_standard_error(promoters: i64, detractors: i64, n: i64) -> Option<f64> {
    if n <= 0 || promoters < 0 || detractors < 0 || promoters.checked_add(detractors)? > n {
        return None;
    }
    let (p, d) = (promoters as f64 / n as f64, detractors as f64 / n as f64);
    Some(100.0 * ((p + d - (p - d) * (p - d)).max(0.0) / n as f64).sqrt())
}

fn percentiles(cell: &Accumulator, unit: f64) -> Option<Percentiles> {
    let at = |percent| percentile(&cell.buckets, cell.n, percent).map(|value| value / unit);
    Some(Percentiles { p50: at(50)?, p90: at(90)?, p99: at(99)? })
}

fn mean(cell: &Accumulator, unit: f64) -> Figures {
    Figures {
        n: cell.n,
        numerator: cell.sum,
        denominator: cell.n,
        value: quotient(cell.sum, cell.n).map(|mean| mean / unit),
        uncertainty: mean_standard_error(cell.n, cell.sum, cell.squares)
            .map(|error| Uncertainty::StandardError(error / unit)),
        ..Figures::default()
    }
}

fn shares(parts: &[(&'static str, i64)], n: i64) -> BTreeMap<&'static str, f64> {
    parts.iter().filter_map(|&(name, part)| Some((name, quotient(part, n)?))).collect()
}

fn quotient(numerator: i64, denominator: i64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "at the ends the formulas give the very number")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{actual} is not {expected}");
    }

    fn error_of(figures: &Figures) -> f64 {
        match figures.uncertainty {
            Some(Uncertainty::StandardError(error)) => error,
            other => panic!("expected a standard error, found {other:?}"),
        }
    }

    #[test]
    fn nps_of_ten_answers() {
        // 5 promoters, 2 detractors of 10: 30 points; variance 0.7 − 0.09 = 0.61; error 100·sqrt(0.061).
        let cell = Accumulator { n: 10, a: 5, b: 2, ..Accumulator::default() };
        let figures = nps(&cell);
        assert_eq!((figures.n, figures.numerator, figures.denominator), (10, 3, 10));
        close(figures.value.expect("ten answers"), 30.0);
        close(error_of(&figures), 24.698_178_070_456_937);
        assert_eq!(figures.details, BTreeMap::from([("promoters_share", 0.5), ("detractors_share", 0.2)]));
        // All promoters: no spread at all.
        assert_eq!(error_of(&nps(&Accumulator { n: 3, a: 3, ..Accumulator::default() })), 0.0);
    }

    #[test]
    fn wilson_of_eight_in_ten_and_at_the_ends() {
        // Known values of the 95 % Wilson interval (R: prop.test(8, 10, correct = FALSE)).
        let (low, high) = wilson_interval(8, 10).expect("eight of ten");
        close(low, 0.490_162_471_536_641_8);
        close(high, 0.943_317_848_545_624_8);
        assert_eq!(wilson_interval(0, 10).expect("none of ten").0, 0.0);
        assert_eq!(wilson_interval(10, 10).expect("ten of ten").1, 1.0);
        assert!(wilson_interval(0, 10).expect("none of ten").1 < 0.3);
        assert_eq!(wilson_interval(11, 10), None);
        assert_eq!(wilson_interval(-1, 10), None);
        assert_eq!(wilson_interval(0, 0), None);
    }

    #[test]
    fn churn_is_of_subscriptions_and_without_them_of_persons() {
        let cell = Accumulator { n: 20, a: 3, b: 10, sum: 4, ..Accumulator::default() };
        let figures = churn(&cell);
        assert_eq!((figures.n, figures.numerator, figures.denominator, figures.value), (20, 3, 20, Some(15.0)));
        assert_eq!((figures.details["persons_active_before"], figures.details["persons_still_active"]), (10.0, 4.0));
        let without = churn(&Accumulator { n: 0, a: 0, ..cell });
        assert_eq!((without.n, without.numerator, without.denominator, without.value), (10, 6, 10, Some(60.0)));
        assert_eq!(churn(&Accumulator::default()).value, None);
    }

    #[test]
    fn credibility_is_a_difference_that_needs_both_sides() {
        let cell = Accumulator { n: 70, a: 56, b: 80, sum: 48, ..Accumulator::default() };
        let figures = content_credibility(&cell);
        close(figures.value.expect("both sides"), 20.0);
        close(figures.details["share_of_others"], 0.6);
        assert!(matches!(figures.uncertainty, Some(Uncertainty::Interval(low, _)) if (low - 5.24).abs() < 0.005));
        let alone = content_credibility(&Accumulator { b: 0, sum: 0, ..cell });
        assert_eq!((alone.value, alone.uncertainty, alone.n), (None, None, 70));
    }

    #[test]
    fn mean_of_three_efforts() {
        // 2, 4, 6: mean 4, variance 4, error sqrt(4/3).
        let mut cell = Accumulator::default();
        for value in [2, 4, 6] {
            cell.add(&Accumulator { a: i64::from(value >= 5), ..Accumulator::observe(value) }, 1);
        }
        let figures = ces(&cell);
        close(figures.value.expect("three answers"), 4.0);
        close(error_of(&figures), 1.154_700_538_379_251_5);
        close(figures.details["share_easy"], 1.0 / 3.0);
        assert_eq!(ces(&Accumulator::observe(3)).uncertainty, None);
    }

    #[test]
    fn promise_gap_in_days_with_percentiles() {
        let day = 86_400_000;
        let mut cell = Accumulator::default();
        for gap in [-day, 0, day, 2 * day] {
            cell.add(&Accumulator { a: i64::from(gap > 0), ..Accumulator::observe_distribution(gap) }, 1);
        }
        let figures = promise_gap(&cell);
        close(figures.value.expect("four deliveries"), 0.5);
        close(error_of(&figures), 0.645_497_224_367_902_8);
        close(figures.details["share_late"], 0.5);
        let percentiles = figures.percentiles.expect("four deliveries");
        assert_eq!(percentiles.p50, 0.0);
        assert!((percentiles.p90 - 2.0).abs() < 0.02 && (percentiles.p99 - 2.0).abs() < 0.02);
    }

    #[test]
    fn counts_totals_rates_and_qualities() {
        assert_eq!(count(&Accumulator::count(7)).value, Some(7.0));
        let mut revenue = Accumulator::observe(1_999);
        revenue.add(&Accumulator::observe(1), 1);
        assert_eq!((total(&revenue).n, total(&revenue).numerator, total(&revenue).value), (2, 2_000, Some(2_000.0)));
        assert_eq!(mean_amount(&revenue).value, Some(1_000.0));
        // A return that came before any delivery: published without a value.
        let returned = Accumulator { a: 1, ..Accumulator::default() };
        assert_eq!((percent(&returned).value, percent(&returned).uncertainty), (None, None));
        assert_eq!(rate(&Accumulator { n: 4, a: 6, ..Accumulator::default() }).value, Some(1.5));
        let mut quality = outcomes(Outcome::Accepted, 6);
        quality.add(&outcomes(Outcome::Rejected, 2), 1);
        quality.add(&outcomes(Outcome::Duplicate, 1), 1);
        let figures = data_quality(&quality);
        assert_eq!((figures.n, figures.numerator, figures.denominator, figures.value), (9, 6, 8, Some(0.75)));
        assert_eq!((figures.details["duplicate"], figures.details["late"]), (1.0, 0.0));
    }

    #[test]
    fn satisfaction_is_a_proportion_with_its_mean() {
        let mut cell = Accumulator::default();
        for value in [5, 4, 1, 2] {
            cell.add(&Accumulator { a: i64::from(value >= 4), ..Accumulator::observe(value) }, 1);
        }
        let figures = csat(&cell);
        assert_eq!((figures.value, figures.details["mean"]), (Some(50.0), 3.0));
        let Some(Uncertainty::Interval(low, high)) = figures.uncertainty else {
            panic!("a proportion has an interval")
        };
        close((low + high) / 2.0, 50.0);
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_one_percent_of_the_exact_nearest_rank(
            mut values in prop::collection::vec(prop_oneof![-5_000_i64..5_000, -10_000_000_000_i64..10_000_000_000], 1..200),
            percent in 1_u8..=99,
        ) {
            let mut cell = Accumulator::default();
            for &value in &values { cell.add(&Accumulator::observe_distribution(value), 1); }
            values.sort_unstable();
            let rank = (values.len() * usize::from(percent)).div_ceil(100);
            let exact = values[rank - 1] as f64;
            let published = percentile(&cell.buckets, cell.n, percent).expect("consistent counts");
            prop_assert!((published - exact).abs() <= exact.abs() / 100.0, "{} for {}", published, exact);
        }

        #[test]
        fn a_wilson_interval_lies_within_bounds_and_holds_the_share(n in 1_i64..1_000_000_000, part in 0.0..=1.0_f64) {
            let a = ((n as f64 * part) as i64).min(n);
            let (low, high) = wilson_interval(a, n).expect("a share");
            let share = a as f64 / n as f64;
            prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
            prop_assert!(low <= share + 1e-12 && share <= high + 1e-12);
        }

        #[test]
        fn no_figure_is_ever_infinite_or_not_a_number(
            n in prop_oneof![-3_i64..5, any::<i64>()], a in prop_oneof![-3_i64..5, any::<i64>()],
            b in prop_oneof![-3_i64..5, any::<i64>()], sum in any::<i64>(), squares in any::<i128>(),
            buckets in prop::collection::btree_map(-4_000_i16..4_000, any::<i64>(), 0..6),
        ) {
            let cell = Accumulator { n, a, b, sum, squares, buckets: buckets.into_iter().collect() };
            for definition in crate::metrics::catalogue::CATALOGUE {
                let figures = (definition.figures)(&cell);
                let mut all: Vec<f64> = figures.value.into_iter().chain(figures.details.into_values()).collect();
                match figures.uncertainty {
                    Some(Uncertainty::StandardError(error)) => all.push(error),
                    Some(Uncertainty::Interval(low, high)) => all.extend([low, high]),
                    None => {}
                }
                all.extend(figures.percentiles.into_iter().flat_map(|p| [p.p50, p.p90, p.p99]));
                prop_assert!(all.iter().all(|figure| figure.is_finite()), "{}: {:?}", definition.id, all);
            }
        }
    }
}
