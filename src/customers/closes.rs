//! A head and the last closed day → what the person contributes because days have passed, and the next day that changes it.
//!
//! A journey expires, and a month is over, although nothing happens. What a close contributes is kept with the head, so that it
//! can be taken back when a touchpoint comes after all, early or late: it is a function of the timeline and the last closed
//! day, as everything is.

use serde::{Deserialize, Serialize};

use super::{
    contributions::{Contributions, Signed},
    fold::{
        FoldOptions, Head,
        departments::DepartmentMonth,
        journeys::{self, Ended},
        month::{self, PersonMonth},
        subjects::{self, Followed, FollowedOfHeads8},
    },
};
use crate::model::{Day, Measure};

/// What the close of a day has contributed for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Journeys that have expired since the newest touchpoint.
    pub journeys: Vec<Ended>,
    /// The month of the newest touchpoint, if it is over.
    pub month: Option<PersonMonth>,
    /// Months of which it is known what followed.
    pub followed: Vec<Followed>,
}

/// The same as it was with heads of versions 7 and 8.
pub type ClosedOfHeads8 = (Vec<Ended>, Option<PersonMonth>, Vec<FollowedOfHeads8>);

/// The same as it was with heads of versions 4 to 6, field by field: a month had its first day, values, segment and departments.
pub type ClosedOfHeads6 = (Vec<Ended>, Option<MonthOfHeads6>, Vec<FollowedOfHeads8>);
type MonthOfHeads6 = (Day, [Option<i64>; Measure::ALL.len()], Option<Box<str>>, Vec<DepartmentMonth>);

/// The same as it was with heads of version 3, field by field: a month had its first day, values and segment.
pub type ClosedOfHeads3 = (Vec<Ended>, Option<MonthOfHeads3>, Vec<FollowedOfHeads8>);
type MonthOfHeads3 = (Day, [Option<i64>; Measure::ALL.len()], Option<Box<str>>);

impl Closed {
    /// What a head contributes at the close of a day; `None`: nothing.
    pub fn of(head: &Head, closed_day: Day, options: &FoldOptions) -> Option<Box<Closed>> {
        let journeys = journeys::expired(head, closed_day, &options.calendar, &options.journeys);
        let month = month::over(head, closed_day);
        let followed = subjects::over(head, closed_day);
        let is_something = !journeys.is_empty() || month.is_some() || !followed.is_empty();
        is_something.then(|| Box::new(Closed { journeys, month, followed }))
    }

    /// The first day after `closed_day` whose close contributes something else, if nothing else happens.
    pub fn next_change(head: &Head, closed_day: Day, options: &FoldOptions) -> Option<Day> {
        let expiry = journeys::expiry(head, &options.calendar, &options.journeys);
        let months = [month::last_day, subjects::last_day].into_iter().filter(|_| head.touchpoints > 0);
        expiry.into_iter().chain(months.map(|last_day| last_day(head))).filter(|&day| day > closed_day).min()
    }

    /// Contributes it (`1`), or takes it back (`-1`).
    pub(super) fn contribute(&self, sign: i64, contributions: &mut Contributions) {
        let mut emit = Signed { contributions, sign };
        for ended in &self.journeys {
            journeys::contribute(ended, 1, &mut emit);
        }
        if let Some(month) = &self.month {
            month.contribute(1, &mut emit);
        }
        self.followed.iter().for_each(|followed| followed.contribute(1, &mut emit));
    }
}
