//! A head → how often a customer buys, and when they have lapsed against that: for the record and for alerts alike.

use super::fold::Head;
use crate::model::{AlertMark, Day};

/// Purchases and renewals of one day count once. From three days on there is a rhythm: two distances have a spread.
const RHYTHM_GAPS_MIN: i64 = 2;
/// Nobody has lapsed before, however often they bought: two weeks of holiday are no lapse.
const LAPSE_DAYS_MIN: i64 = 14;

/// How a customer buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// Distances between days of purchase.
    pub gaps: i64,
    /// The days from the first to the last of them.
    pub span_days: i64,
    /// The last.
    pub last: Day,
    /// More days than these without a purchase are a lapse.
    pub limit_days: i64,
    /// Of the last purchase, by the department's index in the head.
    pub(super) spoke: u32,
    /// Which touchpoint the last purchase is.
    pub(super) mark: AlertMark,
}

/// The rhythm of the remembered purchases and renewals. The limit is the mean distance and twice its standard deviation (of a sample),
/// upwards to whole days, and at least two weeks: in integers, the smallest t with g·t − S ≥ 2·√((g·Q − S²)·g/(g−1)) for g
/// distances with sum S and sum of squares Q. A rule of thumb: distances are not normal, and of few of them nobody knows the
/// spread; it says who to look at, not who has left.
pub fn rhythm(head: &Head) -> Option<Rhythm> {
    let (mut g, mut sum, mut squares) = (0_i64, 0_i64, 0_i128);
    let mut before: Option<Day> = None;
    for day in head.attention.bought.iter().map(|bought| bought.day) {
        if let Some(before) = before.filter(|before| *before != day) {
            let gap = i64::from(day.0) - i64::from(before.0);
            (g, sum, squares) = (g + 1, sum + gap, squares + i128::from(gap) * i128::from(gap));
        }
        before = Some(day);
    }
    if g < RHYTHM_GAPS_MIN {
        return None;
    }
    let spread = 4 * i128::from(g) * (i128::from(g) * squares - i128::from(sum) * i128::from(sum));
    let excess = root_up(div_up(spread, i128::from(g - 1)));
    let limit = i64::try_from(div_up(i128::from(sum) + excess, i128::from(g))).unwrap_or(i64::MAX);
    let newest = head.attention.bought.back()?;
    Some(Rhythm {
        gaps: g,
        span_days: sum,
        last: newest.day,
        limit_days: limit.max(LAPSE_DAYS_MIN),
        spoke: newest.spoke,
        mark: newest.mark,
    })
}

impl Rhythm {
    /// The mean distance between days of purchase.
    pub fn mean_gap_days(&self) -> f64 {
        self.span_days as f64 / self.gaps as f64
    }

    /// The day at whose close they have lapsed, if nothing is bought until then.
    pub fn lapse(&self) -> Day {
        let days = i32::try_from(self.limit_days.saturating_add(1)).unwrap_or(i32::MAX);
        Day(self.last.0.saturating_add(days))
    }
}

/// ⌈a/b⌉ of a ≥ 0, b > 0.
fn div_up(a: i128, b: i128) -> i128 {
    (a + b - 1) / b
}

/// The smallest number whose square is at least `square`.
fn root_up(square: i128) -> i128 {
    let root = square.isqrt();
    if root * root < square { root + 1 } else { root }
}
