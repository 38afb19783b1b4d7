//! Purchases in, and out the chance that a customer is still one, and how often they will buy: BG/NBD.
//!
//! *Formula.* While alive, a customer buys at random (Poisson) with a rate of their own (gamma, shape r, scale α); after each repeat purchase
//! they leave with a chance of their own (beta, a and b). With x repeat purchases, the last at tₓ,
//! T after the first:
//!
//! `L = B(a, b+x)/B(a, b) · Γ(r+x)·α^r / (Γ(r)·(α+T)^(r+x)) + [x > 0] · B(a+1, b+x−1)/B(a, b) · Γ(r+x)·α^r / (Γ(r)·(α+tₓ)^(r+x))`
//!
//! `P(alive) = 1 / (1 + [x > 0] · a/(b+x−1) · ((α+T)/(α+tₓ))^(r+x))`; the expected purchases to come are equation 10 of the
//! first paper, divided by the same sum.
//!
//! *Source.* P. S. Fader, B. G. S. Hardie, K. L. Lee, "'Counting your customers' the easy way: an alternative to the Pareto/NBD model",
//! Marketing Science 24, 2005; the same, "Computing P(alive) using the BG/NBD model", 2008.
//!
//! *Assumptions.* Purchases at random, without seasons, contracts or a rhythm of their own; rates and chances to leave that do not
//! depend on each other; nobody comes back.
//!
//! *Smallest n.* [`OBSERVATIONS_MIN`] customers who bought again; the intervals of the
//! parameters say whether they were enough.
//!
//! *What not to conclude.* That a customer has left. P(alive) is the share of those with the same
//! history who would still buy, if the model holds; for one-time buyers it is 1 whatever they do ([`Alive::one_time_buyer`]).

use super::{
    Convergence, Minimum, Parameter, merged,
    minimum::{digamma_rise, ln_gamma_rise},
    parameters,
};
use crate::analyses::statistics::OBSERVATIONS_MIN;

const DAYS_PER_WEEK: f64 = 7.0;

/// What is known of a customer's purchases. Several on one day are one purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct History {
    /// Purchases after the first.
    pub repeats: u32,
    /// From the first to the last, in days; 0 for one-time buyers. Who counts in weeks gives sevens of days.
    pub last_days: u32,
    /// From the first until now, in days.
    pub age_days: u32,
}

impl History {
    fn last_weeks(self) -> f64 {
        f64::from(self.last_days) / DAYS_PER_WEEK
    }

    fn age_weeks(self) -> f64 {
        f64::from(self.age_days) / DAYS_PER_WEEK
    }
}

/// The model with its parameters, time in weeks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PurchaseModel {
    /// Shape of the rates of purchase.
    pub r: f64,
    /// Their scale, in weeks.
    pub alpha_weeks: f64,
    /// The chance to leave: first parameter.
    pub a: f64,
    /// Its second.
    pub b: f64,
}

/// The chance that a customer is still one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alive {
    /// 0..1.
    pub probability: f64,
    /// It is 1 because the model cannot say anything else of somebody who has bought once.
    pub one_time_buyer: bool,
}

impl PurchaseModel {
    /// The chance that a customer with this history is still one.
    pub fn alive(&self, history: History) -> Alive {
        self.alive_after_weeks(history.repeats, history.last_weeks(), history.age_weeks())
    }

    /// The same in weeks, with parts of them.
    pub fn alive_after_weeks(&self, repeats: u32, last_weeks: f64, age_weeks: f64) -> Alive {
        let odds = self.odds_of_having_left(repeats, last_weeks, age_weeks);
        Alive { probability: 1.0 / (1.0 + odds), one_time_buyer: repeats == 0 }
    }

    fn odds_of_having_left(&self, repeats: u32, last_weeks: f64, age_weeks: f64) -> f64 {
        if repeats == 0 {
            return 0.0;
        }
        let x = f64::from(repeats);
        let silence = libm::log((self.alpha_weeks + age_weeks) / (self.alpha_weeks + last_weeks));
        self.a / (self.b + x - 1.0) * libm::exp((self.r + x) * silence)
    }

    /// How many purchases are expected of a customer with this history in the days to come.
    pub fn expected_purchases(&self, history: History, horizon_days: u32) -> f64 {
        let horizon = f64::from(horizon_days) / DAYS_PER_WEEK;
        self.expected_purchases_in_weeks(history.repeats, history.last_weeks(), history.age_weeks(), horizon)
    }

    /// The same in weeks, with parts of them.
    pub fn expected_purchases_in_weeks(
        &self,
        repeats: u32,
        last_weeks: f64,
        age_weeks: f64,
        horizon_weeks: f64,
    ) -> f64 {
        // The formula has a gap at a = 1, and for one-time buyers at a + b = 1, where it is the limit: the middle of both sides.
        const GAP: f64 = 1e-4;
        let x = f64::from(repeats);
        let z = horizon_weeks / (self.alpha_weeks + age_weeks + horizon_weeks);
        let around = |a: f64, b: f64| {
            // With L. Euler's transformation of the hypergeometric function: what would be a product of something huge and
            // something tiny is neither.
            let c = a + b + x - 1.0;
            let series = hypergeometric(a + b - 1.0 - self.r, a - 1.0, c, z);
            c / (a - 1.0) * (1.0 - libm::exp((a - 1.0) * libm::log1p(-z)) * series)
        };
        let with_a = |a: f64| {
            if (a + self.b + x - 1.0).abs() < GAP {
                (around(a, self.b + 2.0 * GAP) + around(a, self.b - 2.0 * GAP)) / 2.0
            } else {
                around(a, self.b)
            }
        };
        let purchases = if (self.a - 1.0).abs() < GAP {
            (with_a(self.a + 2.0 * GAP) + with_a(self.a - 2.0 * GAP)) / 2.0
        } else {
            with_a(self.a)
        };
        purchases / (1.0 + self.odds_of_having_left(repeats, last_weeks, age_weeks))
    }
}

/// Gauss's hypergeometric function ₂F₁ as its series, for 0 ≤ z < 1.
fn hypergeometric(a: f64, b: f64, c: f64, z: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for step in 0..100_000 {
        let n = f64::from(step);
        term *= (a + n) * (b + n) / ((c + n) * (n + 1.0)) * z;
        sum += term;
        if term.abs() <= 1e-16 * sum.abs() {
            break;
        }
    }
    sum
}

/// What a fit found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PurchaseFit {
    /// r, α (weeks), a, b.
    pub parameters: [Parameter; 4],
    /// Whether they are the most likely ones.
    pub convergence: Convergence,
    /// Customers.
    pub n: i64,
    /// Those of them who bought again.
    pub repeat_buyers: i64,
    /// The logarithm of the likelihood of all.
    pub log_likelihood: f64,
    /// How often the likelihood was evaluated.
    pub evaluations: u32,
}

impl PurchaseFit {
    /// The model with these parameters.
    pub fn model(&self) -> PurchaseModel {
        let [r, alpha_weeks, a, b] = self.parameters.map(|it| it.value);
        PurchaseModel { r, alpha_weeks, a, b }
    }
}

/// A fit under way.
#[derive(Clone, Debug)]
pub struct PurchaseFitting {
    counts: Counts,
    minimum: Minimum<4>,
    evaluation: Option<Evaluation>,
    n: i64,
    repeat_buyers: i64,
}

/// An evaluation of the likelihood under way: the terms before `row` are in its sums.
#[derive(Clone, Debug)]
struct Evaluation {
    /// r, b.
    parameters: [f64; 2],
    /// The logarithm of one and the weeks in units of α, and the weeks' part of them and α, by index.
    lasts: Vec<(f64, f64)>,
    ages: Vec<(f64, f64)>,
    /// By index of repeats: how much likelier than staying it is to have left, before any silence.
    left: Vec<f64>,
    row: usize,
    sum: f64,
    slope: [f64; 4],
}

/// Customers by what their likelihood depends on: logarithms are taken once for each number of repeats, each age and each time of
/// the last purchase, instead of for each customer.
#[derive(Clone, Debug, Default)]
struct Counts {
    n: f64,
    /// Number of repeats, customers.
    repeats: Vec<(f64, f64)>,
    lasts: Vec<f64>,
    ages: Vec<f64>,
    /// Indexes into those, and customers.
    rows: Vec<(u32, u32, u32, f64)>,
}

impl PurchaseFitting {
    /// From how many customers have which history. `None` with fewer than [`OBSERVATIONS_MIN`] who bought again, and where
    /// counts contradict each other: negative ones, or a last purchase after today.
    pub fn new(customers: impl IntoIterator<Item = (History, i64)>) -> Option<PurchaseFitting> {
        let known = |history: History| History {
            last_days: if history.repeats == 0 { 0 } else { history.last_days },
            ..history
        };
        let customers = merged(customers.into_iter().map(|(history, n)| (known(history), n)))?;
        let n: i64 = customers.iter().map(|(_, n)| n).sum();
        let repeat_buyers = customers.iter().filter(|(history, _)| history.repeats > 0).map(|(_, n)| n).sum();
        if repeat_buyers < OBSERVATIONS_MIN || customers.iter().any(|(history, _)| history.last_days > history.age_days)
        {
            return None;
        }
        let distinct = |of: &dyn Fn(&History) -> u32| {
            let greatest = customers.iter().map(|(history, _)| of(history)).max().unwrap_or_default();
            let mut occurs = vec![false; greatest as usize + 1];
            customers.iter().for_each(|(history, _)| occurs[of(history) as usize] = true);
            (0..=greatest).filter(|value| occurs[*value as usize]).collect::<Vec<u32>>()
        };
        let repeats = distinct(&|history| history.repeats);
        let lasts = distinct(&|history| history.last_days);
        let ages = distinct(&|history| history.age_days);
        let places = |all: &[u32]| {
            let mut places = vec![0_u32; all.last().map_or(0, |greatest| *greatest as usize + 1)];
            all.iter().zip(0..).for_each(|(value, place)| places[*value as usize] = place);
            places
        };
        let (of_repeats, of_lasts, of_ages) = (places(&repeats), places(&lasts), places(&ages));
        let at = |places: &[u32], value: u32| places[value as usize];
        let weeks = |days: &[u32]| days.iter().map(|days| f64::from(*days) / DAYS_PER_WEEK).collect();
        let mut counts = Counts {
            n: n as f64,
            repeats: repeats.iter().map(|repeats| (f64::from(*repeats), 0.0)).collect(),
            lasts: weeks(&lasts),
            ages: weeks(&ages),
            rows: Vec::with_capacity(customers.len()),
        };
        let (mut purchases, mut exposure) = (0.0, 0.0);
        for &(history, n) in &customers {
            let n = n as f64;
            let row = at(&of_repeats, history.repeats);
            counts.repeats[row as usize].1 += n;
            counts.rows.push((row, at(&of_lasts, history.last_days), at(&of_ages, history.age_days), n));
            purchases += n * f64::from(history.repeats);
            exposure += n * history.age_weeks();
        }
        // As if all bought at the same rate, and every other purchase were the last.
        let start = [1.0, (exposure / purchases).max(1e-3), 1.0, 1.0];
        let minimum = Minimum::from(start.map(libm::log), n as f64);
        Some(PurchaseFitting { counts, minimum, evaluation: None, n, repeat_buyers })
    }

    /// Goes on by so many terms of likelihoods (one of each history), and takes from `terms` what it used. The fit, once it has
    /// ended: the same whatever it was divided into.
    pub fn advance(&mut self, terms: &mut usize) -> Option<PurchaseFit> {
        while let Some(at) = self.minimum.next() {
            let evaluation = self.evaluation.get_or_insert_with(|| self.counts.begin(&at));
            let rows = self.counts.rows.len().min(evaluation.row.saturating_add(*terms));
            *terms -= rows - evaluation.row;
            self.counts.go_on(evaluation, rows);
            if rows < self.counts.rows.len() {
                return None;
            }
            let (value, slope) = self.counts.loss(evaluation);
            self.minimum.take(value, slope);
            self.evaluation = None;
        }
        Some(PurchaseFit {
            convergence: self.minimum.convergence()?,
            parameters: parameters(&self.minimum, [1.0; 4]),
            n: self.n,
            repeat_buyers: self.repeat_buyers,
            log_likelihood: -self.minimum.value * self.counts.n,
            evaluations: self.minimum.evaluations(),
        })
    }

    /// The fit, at once.
    pub fn finish(mut self) -> PurchaseFit {
        loop {
            if let Some(fit) = self.advance(&mut usize::MAX.clone()) {
                return fit;
            }
        }
    }
}

impl Counts {
    /// What depends on the number of repeats only, and what every term needs.
    ///
    /// In differences that stay small where parameters do not, since customers differ little: `r·ln α` and `(r+x)·ln(α+T)` by
    /// themselves would be millions then, and what is left of them rounding.
    fn begin(&self, at: &[f64; 4]) -> Evaluation {
        let [r, alpha, a, b] = at.map(libm::exp);
        let (mut sum, mut slope) = (0.0, [0.0; 4]);
        let of_weeks = |weeks: &f64| (libm::log1p(weeks / alpha), weeks / (alpha + weeks));
        let mut left = Vec::with_capacity(self.repeats.len());
        for &(x, n) in &self.repeats {
            sum += n * (ln_gamma_rise(r, x) - x * at[1] + ln_gamma_rise(b, x) - ln_gamma_rise(a + b, x));
            let all = digamma_rise(a + b, x);
            slope[0] += n * r * digamma_rise(r, x);
            slope[1] -= n * x;
            slope[2] -= n * a * all;
            slope[3] += n * b * (digamma_rise(b, x) - all);
            left.push(if x > 0.0 { at[2] - libm::log(b + x - 1.0) } else { f64::NEG_INFINITY });
        }
        Evaluation {
            parameters: [r, b],
            lasts: self.lasts.iter().map(of_weeks).collect(),
            ages: self.ages.iter().map(of_weeks).collect(),
            left,
            row: 0,
            sum,
            slope,
        }
    }

    /// The terms up to a row.
    fn go_on(&self, evaluation: &mut Evaluation, until: usize) {
        let Evaluation { parameters: [r, b], lasts, ages, left: odds, row, sum, slope } = evaluation;
        let (r, b) = (*r, *b);
        for &(repeats, last, age, n) in &self.rows[*row..until] {
            let x = self.repeats[repeats as usize].0;
            let ((log_last, of_last), (log_age, of_age)) = (lasts[last as usize], ages[age as usize]);
            let log_odds = odds[repeats as usize] + (r + x) * (log_age - log_last);
            // The logarithm of one and the odds, which may be beyond what a float holds.
            let either = log_odds.max(0.0) + libm::log1p(libm::exp(-log_odds.abs()));
            *sum += n * (either - (r + x) * log_age);
            // The parts of the likelihood: alive, and left.
            let alive = 1.0 / (1.0 + libm::exp(log_odds));
            let left = 1.0 - alive;
            slope[0] -= n * r * (alive * log_age + left * log_last);
            slope[1] += n * (r + x) * (alive * of_age + left * of_last);
            if x > 0.0 {
                slope[2] += n * left;
                slope[3] -= n * b * left / (b + x - 1.0);
            }
        }
        *row = until;
    }

    /// The mean log-likelihood of a customer, negated, and its slope by the logarithms of the parameters.
    fn loss(&self, evaluation: &Evaluation) -> (f64, [f64; 4]) {
        (-evaluation.sum / self.n, evaluation.slope.map(|it| -it / self.n))
    }
}
