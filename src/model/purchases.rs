//! How customers bought, as it is counted for the models of buying: names of elements of the family [`super::family::PURCHASES`].
//!
//! A month's elements are *changes*: of a customer whose purchases changed in the month, −1 where they were counted and +1 where
//! they are. How all of them stand at a month's end is the sum over this month and all before. So nothing has to be said of those
//! who are silent, though their silence grows.
//!
//! Time is counted in calendar weeks (Monday to Sunday) and amounts in the buckets of [`super::log_bucket`], with their exact
//! sums, so that the number of elements has a limit that does not depend on the number of customers.

use super::{
    contribution::{Accumulator, log_bucket},
    time::{Day, Window, WindowKind},
};

/// The number of a day's calendar week: one more for each week.
pub fn week_number(day: Day) -> i32 {
    Window::of(WindowKind::Week, day).start.0.div_euclid(7)
}

/// The Thursday of a calendar week, by its number.
pub fn middle_of_week(week: i32) -> Day {
    Day(week * 7 + 7)
}

/// Where customers are counted together. Purchases of one day are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PurchaseElement {
    /// By when they bought; `n` is their number.
    History {
        /// Days of purchase after the first.
        repeats: u32,
        /// The week of the first, by [`week_number`].
        first_week: i32,
        /// The week of the last.
        last_week: i32,
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
    /// Where customers are counted who spent so much on repeat purchases, and what each adds there.
    pub fn of_spending(repeats: u32, total: i64) -> (PurchaseElement, Accumulator) {
        let add = Accumulator { n: 1, sum: total, ..Accumulator::default() };
        (PurchaseElement::Spending { repeats, bucket: log_bucket(total) }, add)
    }

    /// Appends its name.
    pub fn push_name(self, name: &mut String) {
        use std::fmt::Write;
        match self {
            PurchaseElement::History { repeats, first_week, last_week } => {
                write!(name, "h,{repeats},{first_week},{last_week}")
            }
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
            "h" => {
                let (first_week, last_week) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
                PurchaseElement::History { repeats, first_week, last_week }
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
        for element in [spending, PurchaseElement::History { repeats: 3, first_week: -1, last_week: 2_900 }] {
            let mut name = String::new();
            element.push_name(&mut name);
            assert_eq!(PurchaseElement::parse(&name), Some(element), "{name}");
            assert_eq!(PurchaseElement::parse(&format!("{name},1")), None);
        }
    }

    #[test]
    fn a_week_begins_on_monday() {
        let week = |day| week_number(Day::from_civil(2026, 1, day));
        assert_eq!(week(5), week(11));
        assert_eq!((week(4) + 1, week(12) - 1), (week(5), week(5)));
        assert_eq!(week_number(Day::from_civil(1969, 12, 28)) + 1, week_number(Day::from_civil(1970, 1, 1)));
    }
}
