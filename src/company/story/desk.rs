//! Cases in, in order of time; how long each waits for its first answer out: a desk that falls behind when more ask than it
//! can answer.

use super::super::{
    journey::{DAY, HOUR, MINUTE},
    random::Random,
};
use super::days::{LENGTH, size_per_mille};

/// Cases per 100,000 touchpoints that the desk is staffed for: about 1,100 come on a calm day (measured).
const CASES_PER_100_000: u64 = 1_350;
/// What it can do more than that, in percent.
const SPARE_PERCENT: i64 = 18;
/// Overtime: in so many days it works off a backlog on top of a day's work.
const OVERTIME_DAYS: i64 = 12;
/// Waiting grows by a seventh of the backlog: the desk answers the urgent first and shortly.
const WAIT_OF_BACKLOG: i64 = 7;
/// The mean wait never grows beyond this: then people give up or someone helps out.
const EXTRA_WAIT_MAX: i64 = 10 * HOUR;

/// The support desk.
#[derive(Debug)]
pub(super) struct Desk {
    /// Touchpoints of the story's first day: on an average day there are three tenths more.
    touchpoints_per_day: u64,
    /// Work that waits, in milliseconds of a normal day's work.
    backlog_ms: i64,
    seen_at: i64,
}

impl Desk {
    /// A desk for a company of so many touchpoints.
    pub(super) fn new(touchpoints: u64, start_ms: i64) -> Desk {
        Desk { touchpoints_per_day: touchpoints * 10 / 13 / LENGTH as u64, backlog_ms: 0, seen_at: start_ms }
    }

    /// One more case; how long it waits for an agent.
    pub(super) fn take(&mut self, at: i64, day: i32, random: &mut Random) -> i64 {
        let elapsed = (at - self.seen_at).max(0);
        self.seen_at = self.seen_at.max(at);
        let overtime = i128::from(self.backlog_ms) * i128::from(elapsed) / i128::from(OVERTIME_DAYS * DAY);
        self.backlog_ms -= elapsed + elapsed * SPARE_PERCENT / 100 + overtime as i64;
        // A smaller company has the same desk by the day, however few the cases: at least one in four days.
        let per_1_000_days = self.touchpoints_per_day * size_per_mille(day) * CASES_PER_100_000 / 100_000;
        let work = DAY * 1_000 / per_1_000_days.max(250) as i64;
        self.backlog_ms = self.backlog_ms.max(0) + work;
        // Three at a time are no backlog.
        let behind = (self.backlog_ms - 3 * work).max(0);
        let mean = (behind / WAIT_OF_BACKLOG).min(EXTRA_WAIT_MAX);
        // The fourth power of an even share has the mean 1/5, and a long tail.
        let share = random.below(100) as i64;
        let calm = match random.below(1_000) {
            0..600 => random.between(10 * MINUTE, HOUR),
            600..930 => random.between(HOUR, 4 * HOUR),
            930..990 => random.between(4 * HOUR, 12 * HOUR),
            _ => random.between(DAY, 2 * DAY),
        };
        calm + mean * 5 * share.pow(4) / 100_000_000
    }
}
