//! The months of a person that are over, as far as something that is cancelled can still change what they told.
//!
//! ```text
//! month ──turn──▶ waits: what followed is not known ──turn──▶ told ──nothing reaches it any more──▶ forgotten
//! ```
//! A cancellation takes a purchase back where it was counted, and what was paid back for it: a month that told of it is told once
//! less as it was, and once more as it is without it. A month counts what is cancelled up to the end of the twelfth month after it,
//! and stays as that left it: so a head holds twelve of them at most, and only those which something that can be cancelled reaches.

use serde::{Deserialize, Serialize};

use super::{
    FoldOptions,
    facts::Facts,
    head::{Head, Purchase},
    month::{Month, PersonMonth},
    place::Emit,
    subjects::{self, Followed, Touched},
};
use crate::model::{Day, Money, Window, WindowKind};

/// For so many months after it a month counts what is cancelled.
pub const MONTHS: usize = 12;

/// Texts of those months, in bytes: visitors write some of them, and a head is one record. Beyond it the oldest is forgotten, and stays as
/// it was told.
const TEXT_BYTES_MAX: usize = 128 << 10;

/// A month that is over, and of which it waits or can change what it told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    month: Month,
    /// The person's segment at its end.
    segment: Option<Box<str>>,
    /// What the person paid in the year up to its end, in minor units.
    paid: i64,
}

impl Past {
    pub(super) fn start(&self) -> Day {
        self.month.start()
    }

    /// As the subjects have it, of somebody who has bought since a day.
    pub(super) fn touched(&self, since: Option<Day>) -> Touched {
        Touched::of(&self.month, self.paid, since)
    }
}

/// Months that had told of what a touchpoint cancels, each as it was and as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corrected {
    months: Vec<[PersonMonth; 2]>,
    followed: Vec<[Followed; 2]>,
}

impl Corrected {
    /// Contributes what has become of them instead of what they were.
    pub(super) fn contribute<E: Emit>(&self, emit: &mut E) {
        for [was, is] in &self.months {
            was.contribute(-1, emit);
            is.contribute(1, emit);
        }
        for [was, is] in &self.followed {
            was.contribute(-1, emit);
            is.contribute(1, emit);
        }
    }
}

/// The first day of the month so many months before that of a day.
pub(super) fn months_before(day: Day, months: usize) -> Day {
    let window = Window::of(WindowKind::Month, day);
    (0..months).fold(window, |window, _| window.before()).start
}

/// The month before that of the head, if it waits for what followed.
pub(super) fn waiting(head: &Head) -> Option<&Past> {
    let before = months_before(head.month.start(), 1);
    head.past.last().filter(|past| past.start() == before)
}

/// The earliest day on which something is counted that can be cancelled.
fn reach(head: &Head) -> Option<Day> {
    let days = head.orders.iter().flat_map(|order| {
        let placed = match &order.purchase {
            Purchase::Live(placing) => Some(placing.day),
            Purchase::Unplaced | Purchase::Cancelled | Purchase::Withdrawn => None,
        };
        placed.into_iter().chain(order.refunds.iter().map(|refund| refund.place.day))
    });
    days.min()
}

/// Lays the month of a head aside for one that begins on the day `next`, once it was told. `paid`: in the year up to its end. Returns
/// whether there were too many texts, so that one was forgotten that something can still change.
pub(super) fn lay_aside(head: &mut Head, paid: i64, next: Day) -> bool {
    let mut month = std::mem::replace(&mut head.month, Month::new(next));
    let (oldest, before) = (months_before(next, MONTHS), months_before(next, 1));
    let reach = reach(head);
    // Whether the person bought after a month is told of it too: it is reached from the next one.
    head.past.retain(|past| {
        past.start() >= oldest
            && reach.is_some_and(|day| day < Window::of(WindowKind::Month, past.start()).after().end())
    });
    let is_reached = reach.is_some() && month.start() >= oldest;
    if is_reached || month.start() == before {
        let segment = head.segment.clone().filter(|_| is_reached);
        if !is_reached {
            // It waits, and never tells again of what is told by now.
            month.forget_told();
        }
        head.past.push(Past { month, segment, paid });
    }
    let texts = |past: &Past| past.month.subjects.iter().map(|subject| subject.len()).sum::<usize>();
    let mut bytes: usize = head.past.iter().map(texts).sum();
    let mut kept_from = 0;
    while bytes > TEXT_BYTES_MAX && kept_from + 1 < head.past.len() {
        bytes -= texts(&head.past[kept_from]);
        kept_from += 1;
    }
    head.past.drain(..kept_from);
    kept_from > 0
}

/// Takes out of the months that are over what a touchpoint cancels, once how the person bought is known without it.
pub(super) fn correct(head: &mut Head, facts: &mut Facts<'_, '_>, options: &FoldOptions) {
    // Nearly always it is of this month, and nothing of an earlier one: who is a customer since this month was none before.
    let first = head.month.start();
    let is_of_before = |day: Day| day < first;
    let reaches = facts.cancelled().any(|placing| is_of_before(placing.day))
        || facts.things().flat_map(|thing| &thing.refunds_revoked).any(|refund| is_of_before(refund.place.day));
    if !reaches {
        return;
    }
    let since = head.buying.since();
    let was_since = facts.bought.as_ref().map_or(since, |change| change.was.as_ref().map(|history| history.first));
    let was = told(head, was_since);
    let minor = |amount: Option<Money>| {
        amount.filter(|amount| amount.currency == options.currency).map_or(0, |amount| amount.minor)
    };
    for placing in facts.cancelled() {
        let (placed, minor) = (Window::of(WindowKind::Month, placing.day).start, minor(placing.amount));
        for past in &mut head.past {
            if past.start() == placed {
                past.month.take_back(minor);
            }
            if (months_before(past.start(), subjects::MONTHS - 1)..=past.start()).contains(&placed) {
                past.paid = past.paid.saturating_sub(minor);
            }
        }
        head.year.take_back(placed, minor, head.month.start());
    }
    for refund in facts.things().flat_map(|thing| &thing.refunds_revoked) {
        let start = Window::of(WindowKind::Month, refund.place.day).start;
        if let Some(past) = head.past.iter_mut().find(|past| past.start() == start) {
            past.month.take_refund_back(minor(Some(refund.amount)));
        }
    }
    let is = told(head, since);
    let corrected = Corrected { months: changed(was.0, is.0), followed: changed(was.1, is.1) };
    facts.corrected = (corrected != Corrected::default()).then(|| Box::new(corrected));
}

/// What the months that are over tell, of somebody who has bought since a day.
fn told(head: &Head, since: Option<Day>) -> (Vec<PersonMonth>, Vec<Followed>) {
    let month = |past: &Past| PersonMonth::of(&past.month, past.segment.clone(), &head.spokes, since);
    let mut followed = Vec::new();
    let next = head.past.iter().skip(1).map(Some).chain([None]);
    for (past, next) in head.past.iter().zip(next) {
        let after = Window::of(WindowKind::Month, past.start()).end();
        if after < head.month.start() {
            let bought = next.is_some_and(|next| next.start() == after && next.month.bought());
            followed.push(Followed { touched: past.touched(since), bought });
        }
    }
    (head.past.iter().map(month).collect(), followed)
}

fn changed<T: PartialEq>(was: Vec<T>, is: Vec<T>) -> Vec<[T; 2]> {
    was.into_iter().zip(is).filter(|(was, is)| was != is).map(|(was, is)| [was, is]).collect()
}
