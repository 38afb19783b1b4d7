//! The subjects that came up with a person in a month, and whether the person bought in the month after.
//!
//! ```text
//! month M ──a touchpoint of M+1──▶ waits ──M+1 is over──▶ followed: bought in M+1, or not
//!         ──a later touchpoint, or the close of M+1──▶ followed: bought nothing in M+1
//! ```
//! Whoever is asked to buy again is asked after the experience, not before it: so the outcome is that of the next month. What is
//! cancelled later is taken back of it (`past`).

use serde::{Deserialize, Serialize};

use super::{
    head::{Head, Sum},
    month::Month,
    past::{self, months_before},
    place::{DimensionValue, Emit},
};
use crate::model::{Accumulator, Day, Dimension, GroupElement, Touchpoint, Window, WindowKind, family};

/// The first subjects of a month that are remembered of a person.
pub const SUBJECTS_MAX: usize = 32;
const _: () = assert!(SUBJECTS_MAX <= u8::MAX as usize, "places are stored as a byte");

/// The months whose revenue is the last year's.
pub(super) const MONTHS: usize = 12;

/// What touchpoints say that a subject takes, by its place among those of the month: nothing of subjects of which none says it.
pub type Efforts = Vec<(u8, Sum)>;

/// A month of a person, as what to fix first is found from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Its first day.
    pub start: Day,
    /// Where which subjects came up, in order of mention: parts of a family's element.
    pub subjects: Vec<Box<str>>,
    /// What its touchpoints say that they take.
    pub efforts: Efforts,
    /// The mean satisfaction, in thousandths.
    pub csat: Option<i64>,
    /// What the person paid in the year up to the month's end, in minor units.
    pub revenue: i64,
    /// Whether the person was a customer at its end.
    pub is_customer: bool,
}

/// A month with what followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// The month.
    pub touched: Touched,
    /// Whether the person bought in the month after.
    pub bought: bool,
}

/// The same as it was with heads of versions 3 to 8, field by field: nothing was known of efforts.
pub type FollowedOfHeads8 = ((Day, Vec<Box<str>>, Option<i64>, i64, bool), bool);

/// Revenue by month, oldest first: those before the current one that lie within a year of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Year(Vec<(Day, i64)>);

impl Year {
    fn end(&mut self, month: Day, revenue: i64, next: Day) {
        if revenue != 0 {
            self.0.push((month, revenue));
        }
        // Of the next month and the eleven before it.
        let first = months_before(next, MONTHS - 1);
        self.0.retain(|(month, _)| *month >= first);
    }

    /// Takes back what was paid in a month before the one that begins on the day `next`, if it lies within a year of that.
    pub(super) fn take_back(&mut self, month: Day, minor: i64, next: Day) {
        if month >= next || month < months_before(next, MONTHS - 1) {
            return;
        }
        let at = self.0.partition_point(|(known, _)| *known < month);
        match self.0.get_mut(at).filter(|(known, _)| *known == month) {
            Some((_, revenue)) => *revenue = revenue.saturating_sub(minor),
            None => self.0.insert(at, (month, 0_i64.saturating_sub(minor))),
        }
        self.0.retain(|(_, revenue)| *revenue != 0);
    }

    fn sum(&self) -> i64 {
        self.0.iter().fold(0, |sum, (_, revenue)| sum.saturating_add(*revenue))
    }
}

fn after(month: Day) -> Window {
    Window::of(WindowKind::Month, Window::of(WindowKind::Month, month).end())
}

impl Touched {
    /// A month with what was paid in the year up to its end, of somebody who has bought since a day.
    pub(super) fn of(month: &Month, paid: i64, since: Option<Day>) -> Touched {
        Touched {
            start: month.start(),
            subjects: month.subjects.clone(),
            efforts: month.efforts.clone(),
            csat: month.csat(),
            revenue: paid,
            is_customer: month.is_of_customer(since),
        }
    }
}

/// What the person of a head paid in the year up to the end of its month.
fn paid(head: &Head) -> i64 {
    head.year.sum().saturating_add(head.month.revenue())
}

impl Followed {
    /// Contributes it `times`: to everyone's group, and to that of each subject; efforts to their subjects alone.
    pub fn contribute<E: Emit>(&self, times: i64, emit: &mut E) {
        let window = Window::of(WindowKind::Month, self.touched.start);
        let known = i64::from(self.touched.is_customer);
        let group = Accumulator {
            n: 1,
            a: known * i64::from(self.bought),
            b: known,
            sum: self.touched.revenue,
            ..Accumulator::default()
        };
        let scores = self.touched.csat.map(Accumulator::observe);
        let elements = [(GroupElement::Persons, Some(group)), (GroupElement::Scores, scores)];
        let subjects = || std::iter::once("").chain(self.touched.subjects.iter().map(|subject| &**subject));
        let mut contribute = |element: GroupElement, subject: &str, add: &Accumulator| {
            let value = family::cell_value(&[family::PERSONS], &[element.as_str(), subject]);
            let place = DimensionValue::new(Dimension::Company, &value);
            emit.cell(family::PRIORITIES, None, window, &place, add, times);
        };
        for (element, add) in elements {
            let Some(add) = add else { continue };
            for subject in subjects() {
                contribute(element, subject, &add);
            }
        }
        for &(at, Sum { n, sum }) in &self.touched.efforts {
            if let Some(subject) = self.touched.subjects.get(usize::from(at)) {
                contribute(GroupElement::Efforts, subject, &Accumulator { sum, ..Accumulator::count(n) });
            }
        }
    }
}

/// What is known once the month of a head ends for a touchpoint of the month `next`, which takes its place; and whether something was
/// forgotten for want of room.
pub(super) fn turn(head: &mut Head, next: Day) -> (Vec<Followed>, bool) {
    let mut followed = Vec::new();
    let (since, bought) = (head.buying.since(), head.month.bought());
    followed.extend(past::waiting(head).map(|past| Followed { touched: past.touched(since), bought }));
    let (month, paid) = (head.month.start(), paid(head));
    if after(month).start != next {
        followed.push(Followed { touched: Touched::of(&head.month, paid, since), bought: false });
    }
    head.year.end(month, head.month.revenue(), next);
    let is_capped = past::lay_aside(head, paid, next);
    (followed, is_capped)
}

/// What is known of a head at the close of a day without a further touchpoint.
pub fn over(head: &Head, closed_day: Day) -> Vec<Followed> {
    let mut followed = Vec::new();
    if head.touchpoints == 0 {
        return followed;
    }
    let (since, bought) = (head.buying.since(), head.month.bought());
    if closed_day >= super::month::last_day(head) {
        followed.extend(past::waiting(head).map(|past| Followed { touched: past.touched(since), bought }));
    }
    if closed_day >= last_day(head) {
        followed.push(Followed { touched: Touched::of(&head.month, paid(head), since), bought: false });
    }
    followed
}

/// The day at whose close the month after that of a head is over.
pub fn last_day(head: &Head) -> Day {
    after(head.month.start()).end().previous()
}

/// Takes a touchpoint into the month: where its subject came up, as parts of an element, and what it says that this takes.
pub(super) fn note(month: &mut Month, touchpoint: &Touchpoint<'_>) {
    let Month { subjects, efforts, .. } = month;
    // A further touchpoint of one that is remembered counts, however many there are.
    let Some(subject) = touchpoint.subject.filter(|_| subjects.len() < SUBJECTS_MAX || touchpoint.effort.is_some())
    else {
        return;
    };
    let parts = [touchpoint.spoke, touchpoint.kind.as_str(), subject];
    let known = subjects.iter().position(|known| known.split(family::PART_SEPARATOR).eq(parts));
    let at = known.unwrap_or(subjects.len());
    if at == SUBJECTS_MAX {
        return;
    }
    if known.is_none() {
        subjects.push(family::element(&parts).into_boxed_str());
    }
    let Some(effort) = touchpoint.effort else { return };
    let at = at as u8;
    let of = efforts.iter().position(|(known, _)| *known == at).unwrap_or_else(|| {
        efforts.push((at, Sum::default()));
        efforts.len() - 1
    });
    efforts[of].1.add(i64::from(effort));
}
