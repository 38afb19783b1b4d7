//! How customers bought, as it is counted for the models of buying: names of elements of the family [`super::family::PURCHASES`].
//!
//! A month's elements are *changes*: of a customer whose purchases changed in the month, −1 where they were counted and +1 where
//! they are. How all of them stand at a month's end is the sum over this month and all before. So nothing has to be said of those
//! who are silent, though their silence grows.
//!
//! When somebody bought first is known by the day, when last in weeks from there, and amounts in the buckets of
//! [`super::log_bucket`], with their exact sums, so that the number of elements has a limit that does not depend on the number of customers.

use super::{
    contribution::{Accumulator, log_bucket},
    time::Day,
};

const DAYS_PER_WEEK: u32 = 7;

/// Where customers are counted together. Purchases of one day are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PurchaseElement {
    /// By when they bought; `n` is their number.
    History {
        /// Days of purchase after the first.
        repeats: u32,
        /// The day of the first.
        first: Day,
        /// In which week after it the last was: the days up to the seventh are the first. 0 for one-time buyers.
        weeks: u32,
    },
    /// By what they bought again for; `n` is their number, `sum` what all of them spent, in minor units.
    Spending {
        /// Days of purchase after the first that have an amount.
        repeats: u32,
        /// The bucket of a customer's total.
        bucket: i16,
    },
}

impl PurchaseElement {
    /// Where a customer is counted with so many days of purchase after the first.
    pub fn of_history(repeats: u32, first: Day, last: Day) -> PurchaseElement {
        let days = u32::try_from(last.0.saturating_sub(first.0)).unwrap_or_default();
        PurchaseElement::History { repeats, first, weeks: days.div_ceil(DAYS_PER_WEEK) }
    }

    /// Where customers are counted who spent so much on repeat purchases, and what each adds there.
    pub fn of_spending(repeats: u32, total: i64) -> (PurchaseElement, Accumulator) {
        let add = Accumulator { n: 1, sum: total, ..Accumulator::default() };
        (PurchaseElement::Spending { repeats, bucket: log_bucket(total) }, add)
    }

    /// Appends its name.
    pub fn push_name(self, name: &mut String) {
        use std::fmt::Write;
        match self {
            PurchaseElement::History { repeats, first, weeks } => write!(name, "d,{repeats},{},{weeks}", first.0),
            PurchaseElement::Spending { repeats, bucket } => write!(name, "s,{repeats},{bucket}"),
        }
        .expect("a string takes every character");
    }

    /// From its name.
    pub fn parse(name: &str) -> Option<PurchaseElement> {
        let mut parts = name.split(',');
        let letter = parts.next()?;
        let repeats = parts.next()?.parse().ok()?;
        let element = match letter {
            "d" => {
                let (first, weeks) = (Day(parts.next()?.parse().ok()?), parts.next()?.parse().ok()?);
                PurchaseElement::History { repeats, first, weeks }
            }
            "s" => PurchaseElement::Spending { repeats, bucket: parts.next()?.parse().ok()? },
            _ => return None,
        };
        parts.next().is_none().then_some(element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_found_by_its_name() {
        let (spending, add) = PurchaseElement::of_spending(2, -12_345);
        assert_eq!((add.n, add.sum), (1, -12_345));
        for element in [spending, PurchaseElement::History { repeats: 3, first: Day(-1), weeks: 290 }] {
            let mut name = String::new();
            element.push_name(&mut name);
            assert_eq!(PurchaseElement::parse(&name), Some(element), "{name}");
            assert_eq!(PurchaseElement::parse(&format!("{name},1")), None);
        }
    }

    #[test]
    fn weeks_are_counted_from_the_first_day() {
        let weeks = |days: i32| match PurchaseElement::of_history(1, Day(100), Day(100 + days)) {
            PurchaseElement::History { weeks, .. } => weeks,
            PurchaseElement::Spending { .. } => panic!("a history"),
        };
        assert_eq!([0, 1, 7, 8, 14, 15].map(weeks), [0, 1, 1, 2, 2, 3]);
    }
}
