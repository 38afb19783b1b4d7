//! The least and the greatest of some numbers in; where each is in a picture, and which ones to name at an axis, out.

/// Steps of axes of durations, in seconds: those that clocks and calendars have.
const CLOCK_STEPS: [f64; 18] = [
    1.0,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    600.0,
    1_800.0,
    3_600.0,
    7_200.0,
    14_400.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    432_000.0,
    864_000.0,
    1_728_000.0,
];
/// About as many are named.
const TICKS: f64 = 4.0;

/// Numbers to places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// From `low` at `from` to `high` at `to`; where they are the same, both in the middle.
    pub(super) fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Scale {
        Scale { low, high, from, to }
    }

    /// Where a number is; what lies outside is at the edge.
    pub(super) fn place(&self, number: f64) -> f64 {
        let span = self.high - self.low;
        let part = if span > 0.0 && span.is_finite() { ((number - self.low) / span).clamp(0.0, 1.0) } else { 0.5 };
        self.from + part * (self.to - self.from)
    }
}

/// An axis over all these numbers: its ends, and what is named between. `with_zero`: zero is on it in any case.
pub(super) fn axis(numbers: impl Iterator<Item = f64>, unit: &str, with_zero: bool) -> ((f64, f64), Vec<f64>) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for number in numbers.filter(|number| number.is_finite()) {
        (low, high) = (low.min(number), high.max(number));
    }
    if low > high {
        return ((0.0, 1.0), vec![0.0, 1.0]);
    }
    // Zero is the measure of most things: left out only where it would hide how they differ.
    if with_zero || low > 0.0 && low < high / 2.0 {
        (low, high) = (low.min(0.0), high.max(0.0));
    }
    let span = (high - low).max(high.abs() * 1e-3).max(1e-9);
    let step = step(span / TICKS, unit);
    let (first, last) = ((low / step).floor(), ((high / step).ceil()).max((low / step).floor() + 1.0));
    // As many as there are, and no endless number where floats have no room between two.
    let ticks = (last - first).min(12.0) as i32;
    let named = (0..=ticks).map(|tick| (first + f64::from(tick)) * step).collect();
    ((first * step, (first + f64::from(ticks)) * step), named)
}

/// A step that people count in, no smaller than about what is asked for.
fn step(about: f64, unit: &str) -> f64 {
    if unit == "seconds"
        && let Some(step) = CLOCK_STEPS.into_iter().find(|step| *step >= about)
    {
        return step;
    }
    let power = 10_f64.powf(about.log10().floor());
    let first = about / power;
    power * [1.0, 2.0, 5.0].into_iter().find(|step| *step >= first - 1e-9).unwrap_or(10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[f64], unit: &str, ticks: &[f64]) {
        let ((low, high), named) = axis(numbers.iter().copied(), unit, false);
        assert!(named.len() == ticks.len() && named.iter().zip(ticks).all(|(a, b)| (a - b).abs() < 1e-9), "{named:?}");
        assert!((low - ticks[0]).abs() < 1e-9 && (high - ticks[ticks.len() - 1]).abs() < 1e-9);
    }

    #[test]
    fn an_axis_has_round_numbers_around_all_that_is_shown() {
        check(&[0.0, 100.0], "percent", &[0.0, 50.0, 100.0]);
        check(&[81.0, 93.0], "percent", &[80.0, 85.0, 90.0, 95.0]);
        check(&[10.0, 93.0], "percent", &[0.0, 50.0, 100.0]);
        check(&[-0.3, 0.45], "", &[-0.4, -0.2, 0.0, 0.2, 0.4, 0.6]);
        check(&[3_000.0, 12_000.0], "seconds", &[0.0, 3_600.0, 7_200.0, 10_800.0, 14_400.0]);
        check(&[], "percent", &[0.0, 1.0]);
        check(&[f64::NAN], "percent", &[0.0, 1.0]);
    }

    #[test]
    fn an_axis_of_one_number_and_of_huge_ones_is_finite() {
        for numbers in [[5.0, 5.0], [0.0, 0.0], [-7.0, -7.0], [1e300, 1e300], [1e-300, 1e-300], [-1e18, 1e18]] {
            let ((low, high), named) = axis(numbers.into_iter(), "points", false);
            assert!(low < high && (2..=13).contains(&named.len()), "{numbers:?}: {low} {high} {named:?}");
            assert!(numbers.iter().all(|number| *number >= low), "{numbers:?}");
        }
    }

    #[test]
    fn a_scale_goes_from_end_to_end_and_no_further() {
        let scale = Scale::new((0.0, 10.0), (100.0, 0.0));
        let places = [-5.0, 0.0, 5.0, 10.0, 99.0].map(|number| scale.place(number));
        assert!(places.iter().zip([100.0, 100.0, 50.0, 0.0, 0.0]).all(|(place, right)| (place - right).abs() < 1e-9));
        assert!((Scale::new((1.0, 1.0), (0.0, 10.0)).place(7.0) - 5.0).abs() < 1e-9);
    }
}
