//! Persons' measures in (as sums), and out which experience goes together with which outcome: correlations and relative weights.
//!
//! *Formula.* [`Moments`] holds one month: for each pair of measures, integer sums over the persons who have both. From it:
//!
//! - **Correlation**: Pearson's `r = (n·Σxy − Σx·Σy) / sqrt((n·Σx² − (Σx)²)·(n·Σy² − (Σy)²))` over the persons with both, its
//!   95 % interval by Fisher's transformation, `tanh(atanh r ± z/√(n−3))`.
//! - **Relative weights** (Johnson's) of drivers that go together themselves: with the drivers'
//!   correlations `R = V·D·Vᵀ`, the orthogonal variables closest to them have `Λ = V·√D·Vᵀ`; `β = Λ⁻¹·r`, and driver j's weight is
//!   `Σₖ Λ(j,k)²·β(k)²`. The weights are not negative and sum to R², the explained part of the outcome's variance.
//!
//! *Pairs that lack somebody*: not everybody has every measure, and each correlation uses whom it can. Such correlations need
//! not be those of any one group of people: then the matrix of drivers *and* outcome has an eigenvalue below zero, and R² could
//! exceed one. Eigenvalues below [`EIGENVALUE_MIN`] are raised to it and the matrix is scaled back to a diagonal of ones
//! (Rousseeuw and Molenberghs); [`RelativeWeights::repaired_from`] says so. The drivers of an outcome are those with a published
//! correlation to it; as long as two of them lack one with each other, the one that lacks most is left out (then the one with
//! fewer persons), and named.
//!
//! *Source.* R. A. Fisher, "On the probable error of a coefficient of correlation deduced from a small sample", Metron 1, 1921. J. W.
//! Johnson, "A heuristic method for estimating the relative weight of predictor variables in multiple regression", Multivariate
//! Behavioral Research 35, 2000. P. J. Rousseeuw, G. Molenberghs, "Transformation of non positive semidefinite correlation
//! matrices", Communications in Statistics 22, 1993.
//!
//! *Smallest n.* [`OBSERVATIONS_MIN`] persons of a pair. Pairs with fewer are left out, and so are measures that are constant among a pair's persons.
//!
//! *Assumptions.* Straight lines, persons independent of each other, and that who has no measure is like those who have: people who answer
//! surveys are not. Fisher's interval supposes both measures to be about normal; amounts are skewed and outcomes are yes or no, so
//! that it is a guide rather than a guarantee. Relative weights have no interval in closed form; none is published.
//!
//! *What not to conclude.* That changing a driver changes the outcome. Good customers get fast answers, too. A correlation is
//! called a correlation, and a weight is a share of what goes together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::statistics::{OBSERVATIONS_MIN, Z_95, scaled_product_sum};
use crate::model::Measure;

/// Eigenvalues below this are raised to it: a correlation matrix that was counted from the same persons stays far above, unless
/// one driver says the same as others together.
pub const EIGENVALUE_MIN: f64 = 1e-6;

/// Sums over the persons who have two measures, the first not after the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairSums {
    /// How many persons have both.
    pub n: i64,
    /// Σx of the first.
    pub first: i128,
    /// Σy of the second.
    pub second: i128,
    /// Σx².
    pub first_squares: i128,
    /// Σy².
    pub second_squares: i128,
    /// Σxy.
    pub products: i128,
}

impl PairSums {
    /// The correlation of the two. `None` below [`OBSERVATIONS_MIN`] persons with both, where one of them is constant, and
    /// while the sums contradict each other.
    pub fn correlation(&self) -> Option<Correlation> {
        let pair = self;
        if pair.n < OBSERVATIONS_MIN {
            return None;
        }
        let spread1 = scaled_product_sum(pair.n, pair.first_squares, pair.first, pair.first);
        let spread2 = scaled_product_sum(pair.n, pair.second_squares, pair.second, pair.second);
        if spread1 <= 0.0 || spread2 <= 0.0 {
            return None;
        }
        let r = scaled_product_sum(pair.n, pair.products, pair.first, pair.second) / (spread1.sqrt() * spread2.sqrt());
        // Beyond rounding, nothing that was counted is more than one.
        if r.abs() > 1.0 + 1e-9 {
            return None;
        }
        let r = r.clamp(-1.0, 1.0);
        let half = Z_95 / ((pair.n - 3) as f64).sqrt();
        // At the very ends the transformation is infinite, and the interval has no width.
        let end = |shift: f64| if r.abs() < 1.0 { libm::tanh(libm::atanh(r) + shift) } else { r };
        Some(Correlation { n: pair.n, r, low: end(-half), high: end(half) })
    }

    /// Adds other sums of the same two, `times` times.
    pub fn add(&mut self, other: &PairSums, times: i64) {
        let by = i128::from(times);
        self.n = self.n.wrapping_add(other.n.wrapping_mul(times));
        for (sum, other) in [
            (&mut self.first, other.first),
            (&mut self.second, other.second),
            (&mut self.first_squares, other.first_squares),
            (&mut self.second_squares, other.second_squares),
            (&mut self.products, other.products),
        ] {
            *sum = sum.wrapping_add(other.wrapping_mul(by));
        }
    }
}

/// Sums over the persons of a place by pair of measures, by their numbers among [`Measure::ALL`]; none of them zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(BTreeMap<(u8, u8), PairSums>);

impl Pairs {
    /// Adds sums over persons with two measures.
    pub fn add(&mut self, pair: (u8, u8), sums: &PairSums) {
        let sum = self.0.entry(pair).or_default();
        sum.add(sums, 1);
        if *sum == PairSums::default() {
            self.0.remove(&pair);
        }
    }

    /// What is known to go together with buying again, in the order of [`Measure::DRIVERS`].
    pub fn with_buying_again(&self) -> Vec<(Measure, Correlation)> {
        let of = |measure: &Measure| {
            let pair = self.0.get(&(*measure as u8, Measure::BoughtAgain as u8))?;
            Some((*measure, pair.correlation()?))
        };
        Measure::DRIVERS.iter().filter_map(of).collect()
    }
}

/// A month's persons as sums. An element of an abelian group: what was added can be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    measures: usize,
    /// For i ≤ j, row by row.
    pairs: Vec<PairSums>,
}

impl Moments {
    /// Nobody yet, of whom so many measures can be known.
    pub fn new(measures: usize) -> Moments {
        Moments { measures, pairs: vec![PairSums::default(); measures * (measures + 1) / 2] }
    }

    /// How many measures it has.
    pub fn measures(&self) -> usize {
        self.measures
    }

    /// Whether nobody is left in it.
    pub fn is_zero(&self) -> bool {
        self.pairs.iter().all(|pair| *pair == PairSums::default())
    }

    /// Adds (`1`) or takes back (`-1`) a person by its measures, in their order, each in its own fixed unit (points, milliseconds,
    /// minor units, 0 or 1). A measure beyond those it was made for is not counted.
    pub fn add(&mut self, person: &[Option<i64>], times: i64) {
        let value = |measure: usize| person.get(measure).copied().flatten().map(i128::from);
        let mut at = 0;
        for i in 0..self.measures {
            for j in i..self.measures {
                if let (Some(x), Some(y)) = (value(i), value(j)) {
                    let one = PairSums {
                        n: 1,
                        first: x,
                        second: y,
                        first_squares: x * x,
                        second_squares: y * y,
                        products: x * y,
                    };
                    self.pairs[at].add(&one, times);
                }
                at += 1;
            }
        }
    }

    /// Adds sums over persons who have measures `i` and `j`, the first not after the second; not all of them need be there.
    /// Measures beyond those it was made for are not counted.
    pub fn add_pair(&mut self, i: usize, j: usize, sums: &PairSums) {
        let at = i * self.measures - i * (i + 1) / 2 + j;
        if i <= j
            && j < self.measures
            && let Some(pair) = self.pairs.get_mut(at)
        {
            pair.add(sums, 1);
        }
    }

    /// Adds `times` times other persons, of whom the same measures are known.
    pub fn merge(&mut self, other: &Moments, times: i64) {
        debug_assert_eq!(self.measures, other.measures);
        for (pair, other) in self.pairs.iter_mut().zip(&other.pairs) {
            pair.add(other, times);
        }
    }

    /// The sums of two measures, the first being `i`.
    pub fn pair(&self, i: usize, j: usize) -> PairSums {
        let (low, high) = (i.min(j), i.max(j));
        let at = low * self.measures - low * (low + 1) / 2 + high;
        let pair = self.pairs.get(at).filter(|_| high < self.measures).copied().unwrap_or_default();
        if i <= j {
            return pair;
        }
        PairSums {
            first: pair.second,
            second: pair.first,
            first_squares: pair.second_squares,
            second_squares: pair.first_squares,
            ..pair
        }
    }

    /// The correlation of two measures. `None` below [`OBSERVATIONS_MIN`] persons with both, where one of them is constant, and
    /// while the sums contradict each other.
    pub fn correlation(&self, i: usize, j: usize) -> Option<Correlation> {
        self.pair(i, j).correlation()
    }

    /// The relative weights of the drivers of an outcome. `None` where no driver has a correlation with it.
    pub fn relative_weights(&self, drivers: &[usize], outcome: usize) -> Option<RelativeWeights> {
        let mut kept: Vec<(usize, i64, f64)> = drivers
            .iter()
            .filter(|driver| **driver != outcome)
            .filter_map(|&driver| self.correlation(driver, outcome).map(|it| (driver, it.n, it.r)))
            .collect();
        kept.sort_unstable_by_key(|(driver, ..)| *driver);
        kept.dedup_by_key(|(driver, ..)| *driver);
        loop {
            let lacking = |driver: usize| {
                kept.iter().filter(|(other, ..)| *other != driver && self.correlation(driver, *other).is_none()).count()
            };
            let worst = kept.iter().map(|&(driver, n, _)| (lacking(driver), -n, driver)).max()?;
            if worst.0 == 0 {
                break;
            }
            kept.retain(|(driver, ..)| *driver != worst.2);
        }
        let mut left_out: Vec<usize> = drivers.to_vec();
        left_out.retain(|driver| *driver != outcome && !kept.iter().any(|(kept, ..)| kept == driver));
        left_out.sort_unstable();
        left_out.dedup();

        // The outcome comes last.
        let p = kept.len();
        let mut matrix = Symmetric::identity(p + 1);
        let mut n_min = i64::MAX;
        for (row, &(driver, n, r)) in kept.iter().enumerate() {
            n_min = n_min.min(n);
            matrix.set(row, p, r);
            for (column, &(other, ..)) in kept.iter().enumerate().skip(row + 1) {
                let correlation = self.correlation(driver, other)?;
                n_min = n_min.min(correlation.n);
                matrix.set(row, column, correlation.r);
            }
        }
        let repaired_from = matrix.repair();
        let (weights, r_squared) = johnson(&matrix, p);
        let weights = kept.iter().zip(weights).map(|(&(driver, ..), weight)| (driver, weight)).collect();
        Some(RelativeWeights { n_min, weights, r_squared, left_out, repaired_from })
    }
}

/// How far two measures go together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correlation {
    /// Persons with both.
    pub n: i64,
    /// Pearson's coefficient, −1..1.
    pub r: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The parts of an outcome's variance that go together with each driver.
#[derive(Clone, Debug, PartialEq)]
pub struct RelativeWeights {
    /// Persons behind the correlation that stands on fewest.
    pub n_min: i64,
    /// By driver, ascending: its part of the outcome's variance, 0..1.
    pub weights: Vec<(usize, f64)>,
    /// What they sum to: the explained part, 0..1.
    pub r_squared: f64,
    /// Drivers that could not be taken in.
    pub left_out: Vec<usize>,
    /// The smallest eigenvalue, where it was too small and the correlations were adjusted.
    pub repaired_from: Option<f64>,
}

/// Johnson's weights of the first `p` variables for the one after them, and R².
fn johnson(matrix: &Symmetric, p: usize) -> (Vec<f64>, f64) {
    let mut drivers = Symmetric::identity(p);
    for row in 0..p {
        for column in row + 1..p {
            drivers.set(row, column, matrix.at(row, column));
        }
    }
    let (values, vectors) = drivers.eigen();
    let root = |row: usize, column: usize, power: &dyn Fn(f64) -> f64| -> f64 {
        (0..p).map(|k| vectors[row * p + k] * power(values[k]) * vectors[column * p + k]).sum()
    };
    let beta: Vec<f64> =
        (0..p).map(|k| (0..p).map(|j| root(k, j, &|value| 1.0 / value.sqrt()) * matrix.at(j, p)).sum()).collect();
    let weight = |j: usize| -> f64 {
        (0..p).map(|k| root(j, k, &f64::sqrt)).zip(&beta).map(|(lambda, beta)| lambda * lambda * beta * beta).sum()
    };
    let weights: Vec<f64> = (0..p).map(weight).collect();
    let r_squared = weights.iter().sum();
    (weights, r_squared)
}

/// A symmetric matrix, all elements kept.
#[derive(Clone, Debug)]
struct Symmetric {
    size: usize,
    elements: Vec<f64>,
}

impl Symmetric {
    fn identity(size: usize) -> Symmetric {
        let mut elements = vec![0.0; size * size];
        for at in 0..size {
            elements[at * size + at] = 1.0;
        }
        Symmetric { size, elements }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.elements[row * self.size + column]
    }

    fn set(&mut self, row: usize, column: usize, value: f64) {
        self.elements[row * self.size + column] = value;
        self.elements[column * self.size + row] = value;
    }

    /// Raises eigenvalues below [`EIGENVALUE_MIN`] to it, and scales back to a diagonal of ones. Says from where.
    fn repair(&mut self) -> Option<f64> {
        let (values, vectors) = self.eigen();
        let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
        if smallest >= EIGENVALUE_MIN {
            return None;
        }
        let n = self.size;
        let raised = |row: usize, column: usize| -> f64 {
            (0..n).map(|k| vectors[row * n + k] * values[k].max(EIGENVALUE_MIN) * vectors[column * n + k]).sum()
        };
        let scale: Vec<f64> = (0..n).map(|at| 1.0 / raised(at, at).sqrt()).collect();
        for row in 0..n {
            for column in row + 1..n {
                self.set(row, column, raised(row, column) * scale[row] * scale[column]);
            }
        }
        Some(smallest)
    }

    /// Eigenvalues, and eigenvectors as columns: C. G. J. Jacobi's rotations, which are exact to the last digits for small
    /// matrices and always take the same way (G. H. Golub, C. F. Van Loan, "Matrix computations", 8.5).
    fn eigen(&self) -> (Vec<f64>, Vec<f64>) {
        const SWEEPS_MAX: usize = 64;
        let n = self.size;
        let mut a = self.elements.clone();
        let mut vectors = Symmetric::identity(n).elements;
        for _ in 0..SWEEPS_MAX {
            let beside: f64 =
                (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j] * a[i * n + j]).sum();
            // Of a matrix with ones on its diagonal: below what a double can tell from them.
            if beside <= 1e-34 {
                break;
            }
            for p in 0..n {
                for q in p + 1..n {
                    rotate(&mut a, &mut vectors, n, (p, q));
                }
            }
        }
        ((0..n).map(|at| a[at * n + at]).collect(), vectors)
    }
}

/// Makes the element (p, q) zero.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, (p, q): (usize, usize)) {
    let beside = a[p * n + q];
    if beside.abs() < f64::MIN_POSITIVE {
        return;
    }
    let tau = (a[q * n + q] - a[p * n + p]) / (2.0 * beside);
    let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
    let c = 1.0 / (1.0 + t * t).sqrt();
    let s = t * c;
    for k in 0..n {
        let (kp, kq) = (a[k * n + p], a[k * n + q]);
        a[k * n + p] = c * kp - s * kq;
        a[k * n + q] = s * kp + c * kq;
    }
    for k in 0..n {
        let (pk, qk) = (a[p * n + k], a[q * n + k]);
        a[p * n + k] = c * pk - s * qk;
        a[q * n + k] = s * pk + c * qk;
        let (kp, kq) = (vectors[k * n + p], vectors[k * n + q]);
        vectors[k * n + p] = c * kp - s * kq;
        vectors[k * n + q] = s * kp + c * kq;
    }
}
