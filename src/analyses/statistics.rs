//! Counts and sums in, intervals and percentiles out: what several analyses and metrics stand on.
//!
//! Sums are of signed integers, so in the middle of retractions they can contradict each other for a moment (a negative count,
//! more successes than trials): then a figure is absent, never infinite and never not-a-number.

use crate::model::{Accumulator, log_bucket_middle};

/// The 97.5th percentile of the standard normal distribution: two-sided 95 % intervals.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// The 99.95th percentile of the standard normal distribution: two-sided 99.9 % intervals.
pub const Z_99_9: f64 = 3.290_526_731_491_925_5;

/// The fewest observations on each side of a comparison, or behind a correlation, that are published. Below about thirty, the
/// intervals' approximations (normal, Student's t on skewed amounts) do not hold what they promise, and a single person's
/// answer can be guessed from a mean that comes and goes with it.
pub const OBSERVATIONS_MIN: i64 = 30;

/// A difference with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The first less the second.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Difference {
    /// The second less the first.
    pub fn reversed(self) -> Difference {
        Difference { value: -self.value, low: -self.high, high: -self.low }
    }

    /// In another unit.
    pub fn scaled(self, by: f64) -> Difference {
        let (one, other) = (by * self.low, by * self.high);
        Difference { value: by * self.value, low: one.min(other), high: one.max(other) }
    }
}

/// The 95 % interval of a proportion `a/n` within 0..1 (E. B. Wilson, "Probable inference, the law of succession, and
/// statistical inference", JASA 22, 1927). `None` unless 0 ≤ a ≤ n and n > 0. The bounds are exactly 0 and 1 where nothing
/// and everything was counted: there the formula would leave a rounding error.
pub fn wilson_interval(a: i64, n: i64) -> Option<(f64, f64)> {
    if n <= 0 || a < 0 || a > n {
        return None;
    }
    let (size, share) = (n as f64, a as f64 / n as f64);
    let z_squared = Z_95 * Z_95;
    let scale = 1.0 + z_squared / size;
    let centre = (share + z_squared / (2.0 * size)) / scale;
    let half = Z_95 / scale * (share * (1.0 - share) / size + z_squared / (4.0 * size * size)).sqrt();
    let low = if a == 0 { 0.0 } else { (centre - half).clamp(0.0, 1.0) };
    let high = if a == n { 1.0 } else { (centre + half).clamp(0.0, 1.0) };
    Some((low, high))
}

/// The difference of two independent proportions `a/n`, the first less the second, with its 95 % interval: each side's Wilson
/// interval squared and added (R. G. Newcombe, "Interval estimation for the difference between independent proportions",
/// Statistics in Medicine 17, 1998, method 10). It keeps its promise with small counts and never leaves −1..1, where the
/// textbook's normal interval does both wrong. `None` unless both are proportions of something.
pub fn difference_of_shares(first: (i64, i64), second: (i64, i64)) -> Option<Difference> {
    let ((a1, n1), (a2, n2)) = (first, second);
    let ((low1, high1), (low2, high2)) = (wilson_interval(a1, n1)?, wilson_interval(a2, n2)?);
    let (share1, share2) = (a1 as f64 / n1 as f64, a2 as f64 / n2 as f64);
    let value = share1 - share2;
    Some(Difference {
        value,
        low: (value - libm::hypot(share1 - low1, high2 - share2)).max(-1.0),
        high: (value + libm::hypot(high1 - share1, share2 - low2)).min(1.0),
    })
}

/// Numbers as their sums: what a mean and its spread are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many.
    pub n: i64,
    /// Their sum.
    pub sum: i64,
    /// The sum of their squares.
    pub squares: i128,
}

impl Sums {
    /// Those of a cell.
    pub fn of(cell: &Accumulator) -> Sums {
        Sums { n: cell.n, sum: cell.sum, squares: cell.squares }
    }

    /// Both together.
    pub fn and(self, part: Sums) -> Sums {
        Sums {
            n: self.n.wrapping_add(part.n),
            sum: self.sum.wrapping_add(part.sum),
            squares: self.squares.wrapping_add(part.squares),
        }
    }

    /// What is left without a part of them.
    pub fn without(self, part: Sums) -> Sums {
        Sums {
            n: self.n.wrapping_sub(part.n),
            sum: self.sum.wrapping_sub(part.sum),
            squares: self.squares.wrapping_sub(part.squares),
        }
    }

    /// Their mean.
    pub fn mean(self) -> Option<f64> {
        (self.n > 0).then(|| self.sum as f64 / self.n as f64)
    }
}

/// The standard error of a mean: `sqrt(max(0, (squares − sum²/n)/(n−1))/n)`, for n ≥ 2. The difference is taken in
/// integers, `(n·squares − sum²)/(n·(n−1))`, since two close floats would lose it.
pub fn mean_standard_error(n: i64, sum: i64, squares: i128) -> Option<f64> {
    if n < 2 {
        return None;
    }
    let spread = scaled_product_sum(n, squares, i128::from(sum), i128::from(sum));
    let size = n as f64;
    Some((spread.max(0.0) / size / (size - 1.0) / size).sqrt())
}

/// `n·Σxy − Σx·Σy`, which is n² times a covariance: in integers as long as they hold it, since two close floats would lose it.
pub(super) fn scaled_product_sum(n: i64, products: i128, first: i128, second: i128) -> f64 {
    let exact = || products.checked_mul(i128::from(n))?.checked_sub(first.checked_mul(second)?);
    exact().map_or_else(|| products as f64 * n as f64 - first as f64 * second as f64, |exact| exact as f64)
}

/// The difference of two independent means, the first less the second, with its 95 % interval (B. L. Welch, "The generalization
/// of 'Student's' problem when several different population variances are involved", Biometrika 34, 1947; degrees of freedom
/// after F. E. Satterthwaite, 1946): the two sides may spread differently. `None` below two numbers on a side, and where
/// neither side spreads at all, so that the data say nothing about how sure one may be.
pub fn difference_of_means(first: Sums, second: Sums) -> Option<Difference> {
    let value = first.mean()? - second.mean()?;
    let error1 = mean_standard_error(first.n, first.sum, first.squares)?;
    let error2 = mean_standard_error(second.n, second.sum, second.squares)?;
    let (variance1, variance2) = (error1 * error1, error2 * error2);
    let both = variance1 + variance2;
    if both <= 0.0 {
        return None;
    }
    let (part1, part2) = (variance1 / both, variance2 / both);
    let freedom = 1.0 / (part1 * part1 / (first.n - 1) as f64 + part2 * part2 / (second.n - 1) as f64);
    let half = student_975(freedom) * both.sqrt();
    let difference = Difference { value, low: value - half, high: value + half };
    (difference.low.is_finite() && difference.high.is_finite()).then_some(difference)
}

/// The 97.5th percentile of Student's t distribution with `freedom` ≥ 1 degrees of freedom. From two hundred on, the expansion
/// around the normal distribution (M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions", 26.7.5; off by less than
/// 1e-10 there); below, the point where both tails together, `I(f/(f+t²); f/2, 1/2)` with the regularised incomplete beta
/// function (26.7.1), hold 0.05, found by halving.
pub fn student_975(freedom: f64) -> f64 {
    if freedom >= 200.0 {
        let z = Z_95;
        let s = z * z;
        let terms = [
            z * (s + 1.0) / 4.0,
            z * ((5.0 * s + 16.0) * s + 3.0) / 96.0,
            z * (((3.0 * s + 19.0) * s + 17.0) * s - 15.0) / 384.0,
            z * ((((79.0 * s + 776.0) * s + 1_482.0) * s - 1_920.0) * s - 945.0) / 92_160.0,
        ];
        return z + terms.iter().rev().fold(0.0, |sum, term| (sum + term) / freedom);
    }
    // With one degree of freedom it is 12.7, and it falls from there to the normal distribution's.
    halved(freedom, 0.05, (Z_95, 13.0))
}

/// The 99.95th percentile of Student's t distribution with `freedom` ≥ 1 degrees of freedom, found as [`student_975`] is.
pub fn student_9995(freedom: f64) -> f64 {
    // With one degree of freedom it is 636.6.
    halved(freedom, 0.001, (Z_99_9, 637.0))
}

/// Where both tails of Student's t distribution together hold `both`, between two bounds.
fn halved(freedom: f64, both: f64, (mut low, mut high): (f64, f64)) -> f64 {
    let tails = |t: f64| incomplete_beta(freedom / 2.0, 0.5, freedom / (freedom + t * t));
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if tails(middle) > both { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The regularised incomplete beta function `I(x; a, b)`: the continued fraction (Abramowitz and Stegun 26.5.8), evaluated by
/// the modified Lentz method (W. H. Press et al., "Numerical Recipes", 6.4) on the side where it converges fast.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front =
        libm::exp(libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x));
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(a, b, x) / a
    } else {
        1.0 - front * beta_fraction(b, a, 1.0 - x) / b
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..10_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// The percentile by nearest rank: the middle of the first bucket whose cumulative count reaches `ceil(percent·n/100)`.
/// Integers throughout, so that a rank is never off by one through a rounded product. `None` where the counts contradict
/// each other.
pub fn percentile(buckets: &[(i16, i64)], n: i64, percent: u8) -> Option<f64> {
    let rank = (i128::from(n) * i128::from(percent) + 99) / 100;
    let mut cumulative = 0_i128;
    let mut found = None;
    for &(bucket, count) in buckets {
        if count < 0 {
            return None;
        }
        cumulative += i128::from(count);
        if found.is_none() && cumulative >= rank {
            found = Some(log_bucket_middle(bucket));
        }
    }
    (n > 0 && cumulative == i128::from(n)).then_some(found).flatten()
}
