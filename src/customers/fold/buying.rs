//! On which days somebody bought and for how much: the purchases that are not cancelled, as the models of buying know them.
//!
//! Purchases of one day are one. A day on which something can still be cancelled is kept by itself; all others are counted
//! together, but for the first. What changes with a touchpoint is told to the windows of its day, and never again: how long
//! somebody has been silent follows from the last purchase.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    FoldOptions,
    facts::Facts,
    head::Placing,
    place::{DimensionValue, Emit},
};
use crate::model::{
    Accumulator, Currency, Day, Dimension, IdentifierType, Kind, Money, PurchaseElement, Window, WindowKind, family,
};

/// A day of purchases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BoughtOn {
    day: Day,
    /// Purchases that can be cancelled, and those that cannot.
    open: u32,
    fixed: u32,
    /// Of both, those with an amount in the currency of analyses, and its sum in minor units.
    paid: u32,
    minor: i64,
}

/// Days on which nothing can be cancelled any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Settled {
    first: BoughtOn,
    last: Day,
    /// Days after the first.
    days: u32,
    /// Of those, days with an amount, and the sum of all amounts.
    paid_days: u32,
    minor: i64,
}

/// The days on which somebody bought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buying {
    settled: Option<Settled>,
    /// The newest day, and those on which something can be cancelled, ascending: no more than the orders that a head remembers,
    /// and one.
    days: VecDeque<BoughtOn>,
}

/// How somebody bought so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuyingHistory {
    /// The first day.
    pub first: Day,
    /// The last day.
    pub last: Day,
    /// How many days.
    pub days: u32,
    /// Of the days after the first, those with an amount in the currency of analyses.
    pub repeat_paid_days: u32,
    /// The sum of their amounts, in minor units.
    pub repeat_paid: i64,
}

/// What a touchpoint changes of how somebody bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuyingChange {
    /// The currency of the amounts.
    pub currency: Currency,
    /// Before it.
    pub was: Option<BuyingHistory>,
    /// After it.
    pub is: Option<BuyingHistory>,
}

impl Settled {
    fn take(&mut self, mut bought: BoughtOn) {
        self.last = self.last.max(bought.day);
        if bought.day < self.first.day {
            std::mem::swap(&mut self.first, &mut bought);
        }
        self.days += 1;
        self.paid_days += u32::from(bought.paid > 0);
        self.minor = self.minor.wrapping_add(bought.minor);
    }
}

impl Buying {
    /// How somebody bought so far; `None` who did not.
    pub fn history(&self) -> Option<BuyingHistory> {
        let settled = self.settled.as_ref();
        let earliest = settled.map(|settled| &settled.first).into_iter().chain(self.days.front());
        let first = earliest.min_by_key(|bought| bought.day)?;
        let last = settled.map(|settled| settled.last).into_iter().chain(self.days.back().map(|bought| bought.day));
        let all = || settled.map(|settled| &settled.first).into_iter().chain(&self.days);
        let repeats = || all().filter(|bought| bought.day != first.day);
        let (paid_days, minor) = settled.map_or((0, 0), |settled| (settled.paid_days, settled.minor));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Some(BuyingHistory {
            first: first.day,
            last: last.max()?,
            days: count(all().count()) + settled.map_or(0, |settled| settled.days),
            repeat_paid_days: paid_days + count(repeats().filter(|bought| bought.paid > 0).count()),
            repeat_paid: repeats().fold(minor, |sum, bought| sum.wrapping_add(bought.minor)),
        })
    }

    /// Since when somebody is a customer; `None` who is none.
    pub(super) fn since(&self) -> Option<Day> {
        let settled = self.settled.as_ref().map(|settled| settled.first.day);
        settled.into_iter().chain(self.days.front().map(|bought| bought.day)).min()
    }

    fn bought(&mut self, day: Day, minor: Option<i64>, can_be_cancelled: bool) {
        if self.days.back().is_none_or(|newest| newest.day != day) {
            self.days.push_back(BoughtOn { day, open: 0, fixed: 0, paid: 0, minor: 0 });
            if let Some(before) = self.days.len().checked_sub(2) {
                self.settle(before);
            }
        }
        if let Some(newest) = self.days.back_mut() {
            *if can_be_cancelled { &mut newest.open } else { &mut newest.fixed } += 1;
            newest.paid += u32::from(minor.is_some());
            newest.minor = newest.minor.wrapping_add(minor.unwrap_or_default());
        }
    }

    fn at(&self, day: Day) -> Option<usize> {
        self.days.binary_search_by_key(&day, |bought| bought.day).ok()
    }

    fn cancelled(&mut self, day: Day, minor: Option<i64>) {
        let Some(index) = self.at(day) else { return };
        let bought = &mut self.days[index];
        bought.open = bought.open.saturating_sub(1);
        bought.paid = bought.paid.saturating_sub(u32::from(minor.is_some()));
        bought.minor = bought.minor.wrapping_sub(minor.unwrap_or_default());
        if bought.open + bought.fixed == 0 {
            self.days.remove(index);
        } else {
            self.settle(index);
        }
    }

    /// A purchase can no longer be cancelled, because the head forgets its order.
    pub(super) fn fix(&mut self, day: Day) {
        let Some(index) = self.at(day) else { return };
        let bought = &mut self.days[index];
        bought.open = bought.open.saturating_sub(1);
        bought.fixed += 1;
        self.settle(index);
    }

    /// A day on which nothing can be cancelled goes to the others, unless it is the newest: it may go on.
    fn settle(&mut self, index: usize) {
        if index + 1 == self.days.len() || self.days[index].open > 0 {
            return;
        }
        let Some(bought) = self.days.remove(index) else { return };
        match &mut self.settled {
            Some(settled) => settled.take(bought),
            none => {
                let last = bought.day;
                *none = Some(Settled { first: bought, last, days: 0, paid_days: 0, minor: 0 });
            }
        }
    }
}

/// Takes a touchpoint, once it is known what it bought or cancelled.
pub(super) fn observe(buying: &mut Buying, facts: &mut Facts<'_, '_>, options: &FoldOptions) {
    if !facts.purchase && facts.cancelled().next().is_none() {
        return;
    }
    let minor =
        |amount: Option<Money>| amount.filter(|amount| amount.currency == options.currency).map(|amount| amount.minor);
    let was = buying.history();
    if facts.purchase {
        let touchpoint = facts.touchpoint;
        let is_named = touchpoint.identifier(IdentifierType::Order).is_some();
        let can_be_cancelled = touchpoint.kind == Kind::OrderPlaced && is_named;
        buying.bought(facts.place.day, minor(touchpoint.amount), can_be_cancelled);
    }
    for Placing { day, amount, .. } in facts.cancelled() {
        buying.cancelled(*day, minor(*amount));
    }
    let is = buying.history();
    facts.bought = (was != is).then(|| Box::new(BuyingChange { currency: options.currency, was, is }));
}

/// Where somebody with a history is counted: by time, and by what was spent.
fn elements(history: &BuyingHistory) -> [Option<(PurchaseElement, Accumulator)>; 2] {
    let when = PurchaseElement::of_history(history.days - 1, history.first, history.last);
    let spent = (history.repeat_paid_days > 0)
        .then(|| PurchaseElement::of_spending(history.repeat_paid_days, history.repeat_paid));
    [Some((when, Accumulator::count(1))), spent]
}

/// Contributes a change of a day to the company's month.
pub(super) fn contribute<E: Emit>(change: &BuyingChange, day: Day, emit: &mut E) {
    let month = Window::of(WindowKind::Month, day);
    let mut name = family::cell_value(&[change.currency.as_str()], &[]);
    let head = name.len();
    let (was, is) = (change.was.as_ref().map(elements), change.is.as_ref().map(elements));
    for (was, is) in was.unwrap_or_default().into_iter().zip(is.unwrap_or_default()).filter(|(was, is)| was != is) {
        for (side, times) in [(was, -1), (is, 1)] {
            if let Some((element, add)) = side {
                name.truncate(head);
                element.push_name(&mut name);
                let place = DimensionValue::new(Dimension::Company, &name);
                emit.cell(family::PURCHASES, None, month, &place, &add, times);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Day, amount, whether it can be cancelled.
    type Bought = (i32, Option<i64>, bool);

    fn expected(all: &[Bought]) -> Option<BuyingHistory> {
        let mut days: Vec<i32> = all.iter().map(|it| it.0).collect();
        days.sort_unstable();
        days.dedup();
        let first = *days.first()?;
        let paid: Vec<(i32, i64)> =
            all.iter().filter(|it| it.0 != first).filter_map(|&(day, minor, _)| Some((day, minor?))).collect();
        let mut paid_days: Vec<i32> = paid.iter().map(|it| it.0).collect();
        paid_days.sort_unstable();
        paid_days.dedup();
        Some(BuyingHistory {
            first: Day(first),
            last: Day(*days.last()?),
            days: days.len() as u32,
            repeat_paid_days: paid_days.len() as u32,
            repeat_paid: paid.iter().map(|it| it.1).sum(),
        })
    }

    proptest! {
        #[test]
        fn days_and_amounts_are_those_of_the_purchases_that_are_left(
            steps in prop::collection::vec((0..3_i32, prop::option::of(-5..9_i64), any::<bool>(), 0..6_u8, any::<prop::sample::Index>()), 1..60),
        ) {
            let (mut buying, mut all, mut day) = (Buying::default(), Vec::<Bought>::new(), 0);
            for (later, minor, can_be_cancelled, what, which) in steps {
                day += later;
                let open: Vec<usize> = all.iter().enumerate().filter(|(_, it)| it.2).map(|(at, _)| at).collect();
                match (what, open.is_empty()) {
                    (0, false) => {
                        let (day, minor, _) = all.remove(open[which.index(open.len())]);
                        buying.cancelled(Day(day), minor);
                    }
                    (1, false) => {
                        let forgotten = &mut all[open[which.index(open.len())]];
                        forgotten.2 = false;
                        buying.fix(Day(forgotten.0));
                    }
                    _ => {
                        all.push((day, minor, can_be_cancelled));
                        buying.bought(Day(day), minor, can_be_cancelled);
                    }
                }
                prop_assert_eq!(buying.history(), expected(&all));
                let open: std::collections::BTreeSet<i32> = all.iter().filter(|it| it.2).map(|it| it.0).collect();
                prop_assert!(buying.days.len() <= open.len() + 1, "what cannot change is counted together");
            }
        }
    }
}
