//! How customers bought in (as counts), and out whether they are still customers, how often they will buy and for how much.
//!
//! - [`purchases`]: BG/NBD, from how many repeat purchases, when the last one was and for how long one has been a customer.
//! - [`spend`]: Gamma–Gamma, from the amounts of repeat purchases.
//! - [`month`]: both of all customers, as of a month's end.
//!
//! Both are fitted by maximum likelihood in the logarithms of their parameters, from counts, in the order of their keys: the
//! same counts give the same parameters to the last digit. A fit goes on by single evaluations (`advance`), so that a stage that
//! fits a million customers at a month's close never stands still.
//!
//! *The one-time buyer*: who has bought once has no repeat purchase to learn from. BG/NBD lets people leave after a repeat purchase only,
//! so it holds each of them to be alive with certainty, for ever; Gamma–Gamma knows nothing about their amounts, and gives
//! everybody's mean. Both are properties of the models, not of the customers: what is said of them carries a mark
//! ([`purchases::Alive::one_time_buyer`], [`spend::Spend::one_time_buyer`]) that has to be shown with it.

mod minimum;

pub mod purchases;

pub mod spend;

pub mod month;

use minimum::Minimum;

use super::statistics::Z_95;

/// How a fit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convergence {
    /// At the greatest likelihood, which falls in every direction.
    Converged,
    /// The likelihood has no greatest point, or is flat around it (a 95 % interval is wider than e^±14): these customers do not
    /// determine the parameters. They are where the fit stopped, and no intervals are given.
    Undetermined,
    /// The likelihood could not be followed to its greatest point.
    Unfinished,
}

impl Convergence {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Convergence::Converged => "converged",
            Convergence::Undetermined => "undetermined",
            Convergence::Unfinished => "unfinished",
        }
    }
}

/// A fitted parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// Its most likely value.
    pub value: f64,
    /// Its standard error (inverse of the observed information, carried over from the logarithm).
    pub standard_error: Option<f64>,
    /// Its 95 % interval, which is symmetric in the logarithm.
    pub interval: Option<(f64, f64)>,
}

/// The parameters at the end of a descent over a mean log-likelihood; those in `units` times their scale.
fn parameters<const D: usize>(minimum: &Minimum<D>, units: [f64; D]) -> [Parameter; D] {
    let is_found = minimum.convergence() == Some(Convergence::Converged);
    let errors = minimum.standard_errors().filter(|_| is_found);
    std::array::from_fn(|i| {
        let at = |shift: f64| units[i] * libm::exp(minimum.at[i] + shift);
        let error = errors.map(|errors| errors[i]);
        Parameter {
            value: at(0.0),
            standard_error: error.map(|error| at(0.0) * error),
            interval: error.map(|error| (at(-Z_95 * error), at(Z_95 * error))),
        }
    })
}

/// Counts by key, ascending, without zeros. `None` while one of them is negative.
fn merged<K: Ord>(counts: impl IntoIterator<Item = (K, i64)>) -> Option<Vec<(K, i64)>> {
    let mut counts: Vec<(K, i64)> = counts.into_iter().collect();
    counts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    counts.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 = earlier.1.wrapping_add(later.1);
        }
        same
    });
    counts.retain(|(_, n)| *n != 0);
    counts.iter().all(|(_, n)| *n > 0).then_some(counts)
}
