//! A metric before and after something was done about it in, and out whether it moved.
//!
//! *Formula.* The difference is *after − before*, in the metric's unit, with its 95 % interval: for shares Newcombe's
//! ([`difference_of_shares`]), for means Welch's ([`difference_of_means`]), for the net promoter score Welch's of answers that
//! count as 100, 0 and −100. What is looked for in the days after
//! an observation (another purchase within 30) is not compared: those before would reach over the change, and those after count as failed
//! until their days are over. Plain counts and sums have no interval here:
//! how much they vary from week to week is not known from a single one.
//!
//! *Smallest n.* [`OBSERVATIONS_MIN`] observations on each side.
//!
//! *Source.* The two intervals: R. G. Newcombe 1998 and B. L. Welch 1947, see [`super::statistics`]. Comparing before with after, without a
//! group that nothing was done for, is the weakest of designs: D. T. Campbell, J. C. Stanley, "Experimental and quasi-experimental designs
//! for research", 1963.
//!
//! *Assumptions.* Observations are independent of each other, and those before and after are of the same kind of people; a person who
//! answered both times makes the interval a little wide.
//!
//! *What not to conclude.* That the change did it. Seasons, other changes and a
//! return to the usual after an unusually bad week (which is when changes are made) look the same. An interval that holds zero
//! does not say that nothing has changed, only that these observations cannot tell.

use super::statistics::{Difference, OBSERVATIONS_MIN, Sums, difference_of_means, difference_of_shares};
use crate::model::Accumulator;

/// What a metric's cell means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// `a` of `n`, in percent.
    Share,
    /// The mean of observations, each `sum` in so many parts of the metric's unit (86,400,000 ms of a day).
    Mean {
        /// What the sum is divided by.
        unit: f64,
    },
    /// `a` promoters and `b` detractors of `n`, in points.
    NetPromoter,
}

/// Which way a metric went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Up: the interval is above zero.
    Up,
    /// Down: the interval is below zero.
    Down,
    /// The interval holds zero.
    Unclear,
}

impl Movement {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Movement::Up => "up",
            Movement::Down => "down",
            Movement::Unclear => "unclear",
        }
    }
}

/// A metric before and after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Observations before.
    pub n_before: i64,
    /// Observations after.
    pub n_after: i64,
    /// The value before.
    pub before: f64,
    /// The value after.
    pub after: f64,
    /// After less before, with its interval.
    pub difference: Difference,
    /// Which way it went.
    pub movement: Movement,
}

/// Compares two cells of one metric. `None` where one of them has too few observations, or contradicts itself.
pub fn compare(before: &Accumulator, after: &Accumulator, shape: Shape) -> Option<Change> {
    if before.n.min(after.n) < OBSERVATIONS_MIN {
        return None;
    }
    let (value, difference): (&dyn Fn(&Accumulator) -> f64, _) = match shape {
        Shape::Share => (
            &|cell| 100.0 * cell.a as f64 / cell.n as f64,
            difference_of_shares((after.a, after.n), (before.a, before.n))?.scaled(100.0),
        ),
        Shape::Mean { unit } => (
            &move |cell| cell.sum as f64 / cell.n as f64 / unit,
            difference_of_means(Sums::of(after), Sums::of(before))?.scaled(1.0 / unit),
        ),
        Shape::NetPromoter => (
            &|cell| 100.0 * cell.a.wrapping_sub(cell.b) as f64 / cell.n as f64,
            difference_of_means(answers(after)?, answers(before)?)?.scaled(100.0),
        ),
    };
    let movement = match difference {
        Difference { low, .. } if low > 0.0 => Movement::Up,
        Difference { high, .. } if high < 0.0 => Movement::Down,
        _ => Movement::Unclear,
    };
    let (before_value, after_value) = (value(before), value(after));
    Some(Change {
        n_before: before.n,
        n_after: after.n,
        before: before_value,
        after: after_value,
        difference,
        movement,
    })
}

/// Promoters as 1, detractors as −1, the others as 0.
fn answers(cell: &Accumulator) -> Option<Sums> {
    let extremes = cell.a.checked_add(cell.b)?;
    (cell.a >= 0 && cell.b >= 0 && extremes <= cell.n).then(|| Sums {
        n: cell.n,
        sum: cell.a - cell.b,
        squares: i128::from(extremes),
    })
}
