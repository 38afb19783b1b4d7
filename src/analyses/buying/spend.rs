//! Amounts of repeat purchases in, and out what a customer's purchases are worth on average: Gamma–Gamma.
//!
//! *Formula.* A customer's amounts scatter around a mean of their own (gamma, shape p), and the means differ between customers (gamma,
//! shape q, scale ν). For x repeat purchases with the mean m:
//!
//! `L = Γ(px+q) / (Γ(px)·Γ(q)) · ν^q · m^(px−1) · x^(px) / (ν + mx)^(px+q)`, and `E(mean | x, m) = p·(ν + mx) / (px + q − 1)`:
//! between the customer's own mean and everybody's, `pν/(q−1)`, the nearer to their own the more they have bought.
//!
//! *Source.* P. S. Fader, B. G. S. Hardie, "The Gamma-Gamma model of monetary value", 2013, after P. S. Fader, B. G. S. Hardie, K. L.
//! Lee, "RFM and CLV: using iso-value curves for customer base analysis", Journal of Marketing Research 42, 2005.
//!
//! *Assumptions.* Amounts above zero, of one currency, and unrelated to how often somebody buys: [`SpendFit::frequency_correlation`] shows
//! whether they are.
//!
//! *Smallest n.* [`OBSERVATIONS_MIN`] customers who bought again.
//!
//! *What not to conclude.* Anything about a one-time
//! buyer ([`Spend::one_time_buyer`]); that the amount times expected purchases is income to count on: margins, returns and interest are not
//! in it.

use super::{
    Convergence, Minimum, Parameter, merged,
    minimum::{digamma, digamma_rise, ln_gamma_rise},
    parameters,
};
use crate::analyses::statistics::OBSERVATIONS_MIN;

/// The amounts of a customer's repeat purchases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spending {
    /// Purchases after the first.
    pub repeats: u32,
    /// What they came to, in minor units.
    pub total: i64,
}

/// The model with its parameters, money in minor units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpendModel {
    /// How little a customer's amounts scatter.
    pub p: f64,
    /// How little the customers' means differ.
    pub q: f64,
    /// Their scale, in minor units.
    pub nu: f64,
}

/// What a customer's purchases are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spend {
    /// The expected mean amount, in minor units.
    pub amount: f64,
    /// It is everybody's mean, because nothing is known of somebody who has bought once.
    pub one_time_buyer: bool,
}

impl SpendModel {
    /// What is expected of a customer. `None` where the model has no finite mean.
    pub fn expected(&self, spending: Spending) -> Option<Spend> {
        let total = if spending.repeats == 0 { 0.0 } else { spending.total as f64 };
        let divisor = self.p * f64::from(spending.repeats) + self.q - 1.0;
        (divisor > 0.0)
            .then(|| Spend { amount: self.p * (self.nu + total) / divisor, one_time_buyer: spending.repeats == 0 })
    }
}

/// What a fit found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpendFit {
    /// p, q, ν (minor units).
    pub parameters: [Parameter; 3],
    /// Whether they are the most likely ones.
    pub convergence: Convergence,
    /// Customers who bought again.
    pub n: i64,
    /// Customers who bought again for nothing, or for less: the model does not know them.
    pub left_out: i64,
    /// Pearson's correlation of the number of repeat purchases with their mean amount: the model supposes none.
    pub frequency_correlation: Option<f64>,
    /// The logarithm of the likelihood of all, amounts in minor units.
    pub log_likelihood: f64,
    /// How often the likelihood was evaluated.
    pub evaluations: u32,
}

impl SpendFit {
    /// The model with these parameters.
    pub fn model(&self) -> SpendModel {
        let [p, q, nu] = self.parameters.map(|it| it.value);
        SpendModel { p, q, nu }
    }
}

/// A fit under way.
#[derive(Clone, Debug)]
pub struct SpendFitting {
    counts: Counts,
    minimum: Minimum<3>,
    n: i64,
    left_out: i64,
    frequency_correlation: Option<f64>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    n: f64,
    /// The mean amount of all repeat purchases: amounts are divided by it, so that the fit takes the same way in every currency.
    scale: f64,
    /// Number of repeats, customers, and the sum of the logarithms of their mean amounts.
    repeats: Vec<(f64, f64, f64)>,
    /// Index into those, total, customers.
    rows: Vec<(u32, f64, f64)>,
}

impl SpendFitting {
    /// From how many customers have spent what; one-time buyers do not matter. `None` with fewer than [`OBSERVATIONS_MIN`] who
    /// bought again, and while counts are negative.
    pub fn new(customers: impl IntoIterator<Item = (Spending, i64)>) -> Option<SpendFitting> {
        let mut customers = merged(customers.into_iter().filter(|(spending, _)| spending.repeats > 0))?;
        let buyers: i64 = customers.iter().map(|(_, n)| n).sum();
        customers.retain(|(spending, _)| spending.total > 0);
        let n: i64 = customers.iter().map(|(_, n)| n).sum();
        if n < OBSERVATIONS_MIN {
            return None;
        }
        let (mut total, mut purchases) = (0.0, 0.0);
        for &(spending, n) in &customers {
            total += n as f64 * spending.total as f64;
            purchases += n as f64 * f64::from(spending.repeats);
        }
        let mut counts = Counts { n: n as f64, scale: total / purchases, ..Counts::default() };
        for &(spending, n) in &customers {
            let (x, total, n) = (f64::from(spending.repeats), spending.total as f64 / counts.scale, n as f64);
            // Ascending by the number of repeats.
            if counts.repeats.last().is_none_or(|(last, ..)| *last < x) {
                counts.repeats.push((x, 0.0, 0.0));
            }
            let at = counts.repeats.len() - 1;
            counts.repeats[at].1 += n;
            counts.repeats[at].2 += n * libm::log(total / x);
            counts.rows.push((at as u32, total, n));
        }
        // Amounts of one customer, and means of all, that scatter by about a half.
        let start = [2.0, 4.0, 1.5];
        let frequency_correlation = counts.frequency_correlation();
        Some(SpendFitting {
            counts,
            minimum: Minimum::from(start.map(libm::log), n as f64),
            n,
            left_out: buyers - n,
            frequency_correlation,
        })
    }

    /// How many terms an evaluation of the likelihood has.
    pub fn rows(&self) -> usize {
        self.counts.rows.len()
    }

    /// Evaluates the likelihood so often at most. The fit, once it has ended.
    pub fn advance(&mut self, evaluations: u32) -> Option<SpendFit> {
        for _ in 0..evaluations {
            if self.minimum.convergence().is_some() {
                break;
            }
            let counts = &self.counts;
            self.minimum.advance(|at| counts.loss(at));
        }
        Some(SpendFit {
            convergence: self.minimum.convergence()?,
            parameters: parameters(&self.minimum, [1.0, 1.0, self.counts.scale]),
            n: self.n,
            left_out: self.left_out,
            frequency_correlation: self.frequency_correlation,
            log_likelihood: -(self.minimum.value + libm::log(self.counts.scale)) * self.counts.n,
            evaluations: self.minimum.evaluations(),
        })
    }

    /// The fit, at once.
    pub fn finish(mut self) -> SpendFit {
        loop {
            if let Some(fit) = self.advance(u32::MAX) {
                return fit;
            }
        }
    }
}

impl Counts {
    fn frequency_correlation(&self) -> Option<f64> {
        let values = || self.rows.iter().map(|&(at, total, n)| (self.repeats[at as usize].0, total, n));
        let mean =
            |of: &dyn Fn(f64, f64) -> f64| values().map(|(x, total, n)| n * of(x, total / x)).sum::<f64>() / self.n;
        let (mean_x, mean_m) = (mean(&|x, _| x), mean(&|_, m| m));
        let together = mean(&|x, m| (x - mean_x) * (m - mean_m));
        let spread = mean(&|x, _| (x - mean_x) * (x - mean_x)) * mean(&|_, m| (m - mean_m) * (m - mean_m));
        (spread > 0.0).then(|| (together / spread.sqrt()).clamp(-1.0, 1.0))
    }

    /// The mean log-likelihood of a customer, negated, and its slope by the logarithms of the parameters.
    ///
    /// In differences that stay small where q and ν do not, since nothing tells customers' means apart: `q·ln ν` and
    /// `(px+q)·ln(ν + mx)` by themselves would be millions then, and what is left of them rounding.
    fn loss(&self, at: &[f64; 3]) -> (f64, [f64; 3]) {
        let [p, q, nu] = at.map(libm::exp);
        let (mut sum, mut slope) = (0.0, [0.0; 3]);
        for &(x, n, logarithms) in &self.repeats {
            let (px, log_x) = (p * x, libm::log(x));
            sum += n * (ln_gamma_rise(q, px) - libm::lgamma(px) + px * (log_x - at[2])) + (px - 1.0) * logarithms;
            slope[0] += px * (n * (digamma(px + q) - digamma(px) + log_x - at[2]) + logarithms);
            slope[1] += n * q * digamma_rise(q, px);
        }
        for &(repeats, total, n) in &self.rows {
            let px = p * self.repeats[repeats as usize].0;
            let logarithm = libm::log1p(total / nu);
            sum -= n * (px + q) * logarithm;
            slope[0] -= n * px * logarithm;
            slope[1] -= n * q * logarithm;
            slope[2] += n * (q * total - px * nu) / (nu + total);
        }
        (-sum / self.n, slope.map(|it| -it / self.n))
    }
}
