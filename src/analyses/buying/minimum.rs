//! A function with its slope in, and out where it is least: one evaluation at a time, so that a stage can do other things between.
//!
//! Quasi-Newton steps (Broyden, Fletcher, Goldfarb, Shanno; J. Nocedal, S. J. Wright, "Numerical optimization", algorithm 6.1),
//! halved until the function falls enough (Armijo); where what it should fall by is less than its rounding, until the slope is less
//! (after W. W. Hager, H. Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line search", SIAM Journal on
//! Optimization 16, 2005). When the slope is gone, the curvature is measured by differences of slopes; its
//! inverse is what the intervals come from.

use super::{super::statistics::Z_95, Convergence};

/// A slope below this, of a mean log-likelihood by log-parameters, moves no digit that anybody reads.
const SLOPE_MAX: f64 = 1e-9;
/// Where rounding stops the descent earlier, a slope below this is still good for six digits.
const SLOPE_ENOUGH: f64 = 1e-6;
/// Parameters beyond e^±14 are not found by data: the likelihood rises for ever in their direction. Nor are those whose interval
/// is wider than that: at such a bottom the curvature is what rounding made of nothing.
const LOGARITHM_MAX: f64 = 14.0;
const EVALUATIONS_MAX: u32 = 400;
const STEP_MAX: f64 = 2.0;
/// Of a sum of many terms so small a part is rounding.
const ROUNDING: f64 = 1e-14;
const DIFFERENCE: f64 = 1e-4;

/// A descent under way.
#[derive(Clone, Debug)]
pub(super) struct Minimum<const D: usize> {
    /// Where it is.
    pub at: [f64; D],
    /// Of so many customers the function is the mean.
    n: f64,
    /// The function there.
    pub value: f64,
    slope: [f64; D],
    inverse: [[f64; D]; D],
    direction: [f64; D],
    length: f64,
    evaluations: u32,
    /// Slopes at a little more and a little less of each parameter, once it is at the bottom.
    around: Vec<[f64; D]>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Descending,
    Measuring,
    Done(Convergence),
}

impl<const D: usize> Minimum<D> {
    /// A descent from a place, of a function that is the mean over `n` customers.
    pub fn from(at: [f64; D], n: f64) -> Minimum<D> {
        Minimum {
            at,
            n,
            value: f64::INFINITY,
            slope: [0.0; D],
            inverse: identity(),
            direction: [0.0; D],
            length: 0.0,
            evaluations: 0,
            around: Vec::new(),
            state: State::Starting,
        }
    }

    /// How it ended, if it has.
    pub fn convergence(&self) -> Option<Convergence> {
        match self.state {
            State::Done(convergence) => Some(convergence),
            State::Starting | State::Descending | State::Measuring => None,
        }
    }

    /// How many evaluations it took so far.
    pub fn evaluations(&self) -> u32 {
        self.evaluations
    }

    /// The inverse of the curvature at the bottom, unless the function is flat there in some direction.
    fn inverse_curvature(&self) -> Option<[[f64; D]; D]> {
        if self.around.len() < 2 * D {
            return None;
        }
        let difference = |row: usize, column: usize| {
            (self.around[2 * row][column] - self.around[2 * row + 1][column]) / (2.0 * DIFFERENCE)
        };
        let mut curvature = [[0.0; D]; D];
        for (row, elements) in curvature.iter_mut().enumerate() {
            for (column, element) in elements.iter_mut().enumerate() {
                *element = (difference(row, column) + difference(column, row)) / 2.0;
            }
        }
        invert_positive(&curvature)
    }

    /// The standard error of each coordinate: from the inverse of the curvature of the sum over all customers.
    pub fn standard_errors(&self) -> Option<[f64; D]> {
        let inverse = self.inverse_curvature()?;
        Some(std::array::from_fn(|i| (inverse[i][i] / self.n).sqrt()))
    }

    /// Evaluates the function once, which gives its value and its slope.
    pub fn advance(&mut self, function: impl Fn(&[f64; D]) -> (f64, [f64; D])) {
        if let Some(at) = self.next() {
            let (value, slope) = function(&at);
            self.take(value, slope);
        }
    }

    /// Where the function is to be evaluated next; `None` once the descent has ended. The same until the answer was taken.
    pub fn next(&self) -> Option<[f64; D]> {
        match self.state {
            State::Starting => Some(self.at),
            State::Descending => Some(std::array::from_fn(|i| self.at[i] + self.direction[i] * self.length)),
            State::Measuring => {
                let mut at = self.at;
                at[self.around.len() / 2] += if self.around.len().is_multiple_of(2) { DIFFERENCE } else { -DIFFERENCE };
                Some(at)
            }
            State::Done(_) => None,
        }
    }

    /// Takes the function's value and its slope where [`Minimum::next`] asked for it.
    pub fn take(&mut self, value: f64, slope: [f64; D]) {
        self.evaluations += u32::from(!matches!(self.state, State::Done(_)));
        match self.state {
            State::Starting => {
                (self.value, self.slope) = (value, slope);
                self.state = State::Descending;
                self.turn();
            }
            State::Descending => self.descend(value, slope),
            State::Measuring => {
                self.around.push(slope);
                if self.around.len() == 2 * D {
                    let is_known = |errors: [f64; D]| errors.iter().all(|error| Z_95 * error <= LOGARITHM_MAX);
                    let is_found = self.standard_errors().is_some_and(is_known);
                    self.state = State::Done(if is_found { Convergence::Converged } else { Convergence::Undetermined });
                }
            }
            State::Done(_) => {}
        }
    }

    fn descend(&mut self, value: f64, slope: [f64; D]) {
        let step = self.direction.map(|component| component * self.length);
        let at: [f64; D] = std::array::from_fn(|i| self.at[i] + step[i]);
        let expected = dot(&self.slope, &step);
        // So near the bottom the function says nothing any more, and the slope alone whether the step leads there.
        let is_rounding = expected.abs() <= ROUNDING * self.value.abs();
        let falls = match is_rounding {
            true => steepest(&slope) < steepest(&self.slope),
            false => value <= self.value + 1e-4 * expected,
        };
        if !(value.is_finite() && falls) {
            self.length /= 2.0;
            if is_rounding || self.length < 1e-12 || self.evaluations >= EVALUATIONS_MAX {
                self.rest_where_it_is();
            }
            return;
        }
        let change: [f64; D] = std::array::from_fn(|i| slope[i] - self.slope[i]);
        self.learn(&step, &change);
        (self.at, self.value, self.slope) = (at, value, slope);
        self.turn();
    }

    /// The next direction, or the end.
    fn turn(&mut self) {
        if !self.value.is_finite() {
            self.state = State::Done(Convergence::Unfinished);
        } else if steepest(&self.slope) <= SLOPE_MAX {
            self.state = State::Measuring;
        } else if self.at.iter().any(|it| it.abs() > LOGARITHM_MAX) {
            self.state = State::Done(Convergence::Undetermined);
        } else if self.evaluations >= EVALUATIONS_MAX {
            self.rest_where_it_is();
        } else {
            let mut direction = times(&self.inverse, &self.slope).map(|it| -it);
            if dot(&direction, &self.slope) >= 0.0 {
                self.inverse = identity();
                direction = self.slope.map(|it| -it);
            }
            let longest = direction.iter().fold(0.0, |longest: f64, it| longest.max(it.abs()));
            self.direction = direction;
            self.length = (STEP_MAX / longest).min(1.0);
        }
    }

    fn rest_where_it_is(&mut self) {
        let is_enough = steepest(&self.slope) <= SLOPE_ENOUGH;
        self.state = if is_enough { State::Measuring } else { State::Done(Convergence::Unfinished) };
    }

    /// What a step and the change of the slope along it say about the curvature.
    fn learn(&mut self, step: &[f64; D], change: &[f64; D]) {
        let along = dot(step, change);
        if along <= 1e-14 * dot(change, change).sqrt() * dot(step, step).sqrt() {
            return;
        }
        if self.inverse == identity() {
            let scale = along / dot(change, change);
            self.inverse = self.inverse.map(|row| row.map(|element| element * scale));
        }
        let moved = times(&self.inverse, change);
        let factor = (1.0 + dot(change, &moved) / along) / along;
        for (i, row) in self.inverse.iter_mut().enumerate() {
            for (j, element) in row.iter_mut().enumerate() {
                *element += factor * step[i] * step[j] - (moved[i] * step[j] + step[i] * moved[j]) / along;
            }
        }
    }
}

fn steepest<const D: usize>(slope: &[f64; D]) -> f64 {
    slope.iter().fold(0.0, |steepest: f64, it| steepest.max(it.abs()))
}

fn identity<const D: usize>() -> [[f64; D]; D] {
    std::array::from_fn(|i| std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 }))
}

fn dot<const D: usize>(a: &[f64; D], b: &[f64; D]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn times<const D: usize>(matrix: &[[f64; D]; D], vector: &[f64; D]) -> [f64; D] {
    std::array::from_fn(|row| dot(&matrix[row], vector))
}

/// The inverse of a matrix whose pivots are all clearly positive (A.-L. Cholesky's condition); `None` for another.
fn invert_positive<const D: usize>(matrix: &[[f64; D]; D]) -> Option<[[f64; D]; D]> {
    let mut left = *matrix;
    let mut inverse = identity::<D>();
    for k in 0..D {
        let pivot = left[k][k];
        // Relative to what it was before elimination: less than this is rounding.
        if !(pivot > 1e-9 * matrix[k][k] && matrix[k][k] > 0.0) {
            return None;
        }
        let (row, inverse_row) = (left[k].map(|it| it / pivot), inverse[k].map(|it| it / pivot));
        (left[k], inverse[k]) = (row, inverse_row);
        for other in (0..D).filter(|other| *other != k) {
            let factor = left[other][k];
            for column in 0..D {
                left[other][column] -= factor * row[column];
                inverse[other][column] -= factor * inverse_row[column];
            }
        }
    }
    Some(inverse)
}

/// From here on the series below have fifteen digits.
const SERIES_FROM: f64 = 12.0;

/// The derivative of the logarithm of the gamma function, for x > 0 (Abramowitz and Stegun 6.3.5, 6.3.18).
pub(super) fn digamma(x: f64) -> f64 {
    let (mut x, mut below) = (x, 0.0);
    while x < SERIES_FROM {
        below += 1.0 / x;
        x += 1.0;
    }
    libm::log(x) - digamma_below_log(x) - below
}

/// `ψ(x + rise) − ψ(x)`, for x > 0 and a rise ≥ 0: to as many digits where x is large, and both are nearly the same.
pub(super) fn digamma_rise(x: f64, rise: f64) -> f64 {
    match x < SERIES_FROM {
        true => digamma(x + rise) - digamma(x),
        false => libm::log1p(rise / x) + digamma_below_log(x) - digamma_below_log(x + rise),
    }
}

/// `ln Γ(x + rise) − ln Γ(x)`, for x > 0 and a rise ≥ 0: to as many digits where x is large (Abramowitz and Stegun 6.1.41).
pub(super) fn ln_gamma_rise(x: f64, rise: f64) -> f64 {
    if x < SERIES_FROM {
        return libm::lgamma(x + rise) - libm::lgamma(x);
    }
    let series = |x: f64| {
        let s = 1.0 / (x * x);
        (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1_260.0 - s * (1.0 / 1_680.0 - s / 1_188.0)))) / x
    };
    (x + rise - 0.5) * libm::log1p(rise / x) + rise * (libm::log(x) - 1.0) + series(x + rise) - series(x)
}

/// `ln x − ψ(x)`, from [`SERIES_FROM`] on.
fn digamma_below_log(x: f64) -> f64 {
    let s = 1.0 / (x * x);
    let series = s
        * (1.0 / 12.0
            - s * (1.0 / 120.0 - s * (1.0 / 252.0 - s * (1.0 / 240.0 - s * (1.0 / 132.0 - s * (691.0 / 32_760.0))))));
    0.5 / x + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_bent_valley() {
        // H. H. Rosenbrock's, and a bowl beside it.
        let function = |x: &[f64; 3]| {
            let (a, b, c) = (1.0 - x[0], x[1] - x[0] * x[0], x[2] + 3.0);
            (a * a + 100.0 * b * b + c * c, [-2.0 * a - 400.0 * x[0] * b, 200.0 * b, 2.0 * c])
        };
        let mut minimum = Minimum::from([-1.2, 1.0, 0.0], 1.0);
        while minimum.convergence().is_none() {
            minimum.advance(function);
        }
        assert_eq!(minimum.convergence(), Some(Convergence::Converged));
        for (found, expected) in minimum.at.iter().zip([1.0, 1.0, -3.0]) {
            assert!((found - expected).abs() < 1e-8, "{:?}", minimum.at);
        }
        // The curvature there is [[802, −400, 0], [−400, 200, 0], [0, 0, 2]].
        let inverse = minimum.inverse_curvature().expect("a curved bottom");
        for (found, expected) in inverse.iter().flatten().zip([0.5, 1.0, 0.0, 1.0, 2.005, 0.0, 0.0, 0.0, 0.5]) {
            assert!((found - expected).abs() < 1e-4, "{inverse:?}");
        }
    }

    #[test]
    fn a_slope_that_never_ends_and_a_flat_bottom_are_not_determined() {
        let mut minimum = Minimum::from([0.0, 0.0], 1.0);
        while minimum.convergence().is_none() {
            minimum.advance(|x| (libm::exp(-x[0] / 4.0) + x[1] * x[1], [-libm::exp(-x[0] / 4.0) / 4.0, 2.0 * x[1]]));
        }
        assert_eq!(minimum.convergence(), Some(Convergence::Undetermined));
        let mut minimum = Minimum::from([1.0, 1.0], 1.0);
        while minimum.convergence().is_none() {
            let sum = |x: &[f64; 2]| x[0] + x[1];
            minimum.advance(|x| (sum(x) * sum(x), [2.0 * sum(x), 2.0 * sum(x)]));
        }
        assert_eq!(minimum.convergence(), Some(Convergence::Undetermined));
        let mut minimum = Minimum::from([1.0], 1.0);
        minimum.advance(|_| (f64::NAN, [f64::NAN]));
        assert_eq!(minimum.convergence(), Some(Convergence::Unfinished));
    }

    #[test]
    fn a_bottom_that_is_hardly_curved_takes_many_customers() {
        for (n, expected) in [(9e2, Convergence::Undetermined), (1e6, Convergence::Converged)] {
            let mut minimum = Minimum::from([0.0, 0.0], n);
            while minimum.convergence().is_none() {
                minimum.advance(|x| (x[0] * x[0] + 1e-5 * x[1] * x[1], [2.0 * x[0], 2e-5 * x[1]]));
            }
            // The second has the inverse curvature 5·10⁴: standard errors of 7.5 and 0.2.
            assert_eq!(minimum.convergence(), Some(expected), "{n} customers");
        }
    }

    #[test]
    fn rounding_ends_a_descent_at_the_bottom_and_does_not_keep_it_there() {
        // A valley a thousand times as long as it is wide, on a height that takes the last six digits of what it falls by.
        for seed in 0..50_u64 {
            let mut minimum = Minimum::from([2.0, -1.0, 0.5, 3.0], 1e6);
            while minimum.convergence().is_none() {
                minimum.advance(|x| {
                    let (wide, long) = (x[0] + x[1] - x[2], x[1] + x[3]);
                    let value = 1_000.0 + wide * wide + 1e-3 * long * long + 0.1 * (x[1] * x[1] + x[2] * x[2]);
                    // What the order of summation leaves of the last digit.
                    let noise = (value.to_bits().wrapping_mul(seed * 2 + 1) >> 40) % 5;
                    let slope =
                        [2.0 * wide, 2.0 * wide + 2e-3 * long + 0.2 * x[1], -2.0 * wide + 0.2 * x[2], 2e-3 * long];
                    (value + noise as f64 * 1e-13, slope)
                });
            }
            assert_eq!(minimum.convergence(), Some(Convergence::Converged), "{seed}: {minimum:?}");
            assert!(minimum.evaluations() < 150, "{seed}: {} evaluations", minimum.evaluations());
            assert!(minimum.at.iter().all(|it| it.abs() < 1e-2), "{seed}: {:?}", minimum.at);
        }
    }

    #[test]
    fn digamma_of_known_points() {
        // ψ(1) = −γ, ψ(1/2) = −γ − 2·ln 2, ψ(100) from SciPy.
        for (x, expected) in
            [(1.0, -0.577_215_664_901_532_9), (0.5, -1.963_510_026_021_423_5), (100.0, 4.600_161_852_738_087)]
        {
            assert!((digamma(x) - expected).abs() < 1e-14, "{x}: {}", digamma(x));
        }
    }

    #[test]
    fn differences_of_gammas_keep_their_digits_where_both_are_large() {
        // From mpmath, with 60 digits.
        for (x, rise, gamma, digamma) in [
            (0.3, 2.5, -0.579_095_202_830_328_7, 4.343_071_211_049_55),
            (12.0, 0.56, 1.381_301_069_596_605_3, 0.047_518_647_757_465),
            (40.0, 7.0, 26.320_814_774_972_85, 0.163_144_207_049_728_76),
            (1e4, 0.56, 5.157_778_288_331_308, 5.600_123_199_507_046e-5),
            (1_052_440.95, 3.36, 46.591_856_168_436_51, 3.192_574_588_402_88e-6),
            (1e6, 1e6, 14_201_804.572_510_533, 0.693_147_430_560_007_8),
        ] {
            for (found, expected) in [(ln_gamma_rise(x, rise), gamma), (digamma_rise(x, rise), digamma)] {
                assert!((found / expected - 1.0).abs() < 2e-14, "{x} and {rise} more: {found}, not {expected}");
            }
        }
    }
}
