//! A head and the last closed day → what the person contributes because days have passed, and the next day that changes it.
//!
//! A journey expires although nothing happens. What a close contributes is kept with the head, so that it can be taken back
//! when a touchpoint comes after all, early or late: it is a function of the timeline and the last closed day, as everything is.

use serde::{Deserialize, Serialize};

use super::{
    contributions::{Contributions, Signed},
    fold::{
        FoldOptions, Head,
        journeys::{self, Ended},
    },
};
use crate::model::Day;

/// What the close of a day has contributed for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Journeys that have expired since the newest touchpoint.
    pub journeys: Vec<Ended>,
}

impl Closed {
    /// What a head contributes at the close of a day; `None`: nothing.
    pub fn of(head: &Head, closed_day: Day, options: &FoldOptions) -> Option<Box<Closed>> {
        let journeys = journeys::expired(head, closed_day, &options.calendar, &options.journeys);
        (!journeys.is_empty()).then(|| Box::new(Closed { journeys }))
    }

    /// The first day after `closed_day` whose close contributes something else, if nothing else happens.
    pub fn next_change(head: &Head, closed_day: Day, options: &FoldOptions) -> Option<Day> {
        journeys::expiry(head, &options.calendar, &options.journeys).filter(|&day| day > closed_day)
    }

    /// Contributes it (`1`), or takes it back (`-1`).
    pub(super) fn contribute(&self, sign: i64, contributions: &mut Contributions) {
        let mut emit = Signed { contributions, sign };
        for ended in &self.journeys {
            journeys::contribute(ended, 1, &mut emit);
        }
    }
}
