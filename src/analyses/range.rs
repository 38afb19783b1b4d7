//! A window's value and those of the windows before it in; whether it lies outside its usual range out.
//!
//! *Formula.* With mean m and standard deviation s (divisor k − 1) of the k values before, the usual range is m ± h, and h the
//! greater of `t·s·√(1 + 1/k)`, the 99.9 % prediction interval for one more observation by Student's t with k − 1 degrees of
//! freedom, and `z·e`, where e is the value's own standard error: what few observations scatter by is not unusual.
//!
//! *Assumptions.* Windows scatter independently around one mean, about normally. A trend or a season widens the range, so that
//! less is found. Whoever leaves unusual values out of those before keeps a lasting problem in sight, and narrows the range.
//!
//! *Smallest n.* [`WINDOWS_MIN`] of the [`WINDOWS`] windows before. Values that never differed and have no standard error have no
//! range.
//!
//! *What not to conclude.* One series in a thousand is outside by chance in each window, and many are looked at. Nor does it
//! say why.
//!
//! *Source.* Prediction interval of one future observation: G. J. Hahn, W. Q. Meeker, "Statistical Intervals", Wiley, 1991, 4.7.

use super::statistics::{Z_99_9, student_9995};

/// So many windows before one say what is usual.
pub const WINDOWS: usize = 12;

/// Of which so many have to have a value.
pub const WINDOWS_MIN: usize = 8;

/// The test, for whoever reads what it found.
pub const TEST: &str = "outside the 99.9 % prediction interval of the usual weeks before it (Student's t), and more than 3.29 standard errors of its own from their mean";

/// What is usual for a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usual {
    /// The mean of the windows before.
    pub mean: f64,
    /// The lower end of the range.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How many windows say so.
    pub windows: usize,
}

impl Usual {
    /// What the values before say of one with that standard error. `None`: nothing.
    pub fn of(before: &[f64], standard_error: Option<f64>) -> Option<Usual> {
        if before.len() < WINDOWS_MIN {
            return None;
        }
        let k = before.len() as f64;
        let mean = before.iter().sum::<f64>() / k;
        let squares: f64 = before.iter().map(|value| (value - mean) * (value - mean)).sum();
        let scatter = student_9995(k - 1.0) * (squares / (k - 1.0)).sqrt() * (1.0 + 1.0 / k).sqrt();
        let half = scatter.max(Z_99_9 * standard_error.unwrap_or(0.0));
        (half > 0.0 && half.is_finite()).then_some(Usual {
            mean,
            low: mean - half,
            high: mean + half,
            windows: before.len(),
        })
    }

    /// Whether a value is in it.
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}
