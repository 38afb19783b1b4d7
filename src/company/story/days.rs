//! A day of the story in, its conditions out: which occasions there are and how many.

use std::ops::RangeInclusive;

use super::super::{hours_of_people, journey::DAY};

/// How many days the story takes.
pub(super) const LENGTH: i32 = 270;
/// When each chapter's conditions hold: first and last day. The late deliveries go on until the fix.
pub(super) const QUIET: (i32, i32) = (0, 55);
pub(super) const WORKING: (i32, i32) = (56, 83);
pub(super) const LATE: (i32, i32) = (98, 195);
pub(super) const ANNOYING: (i32, i32) = (161, 188);
pub(super) const FIXED: (i32, i32) = (196, LENGTH - 1);

/// What a journey begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    Newsletter,
    Visit,
    Newcomer,
    Browse,
    Purchase,
    Question,
    Subscription,
    Mention,
    Survey,
    LaunchMail,
    LaunchAd,
    PressingMail,
    PressingAd,
}

/// Each occasion with its weight on a calm day and the mean number of touchpoints that it brings, in tenths, with what
/// follows from it (measured).
const OCCASIONS: [(Occasion, u64, u64); 13] = [
    (Occasion::Newsletter, 220, 20),
    (Occasion::Visit, 170, 32),
    (Occasion::Newcomer, 85, 95),
    (Occasion::Browse, 80, 25),
    (Occasion::Purchase, 180, 70),
    (Occasion::Question, 36, 48),
    (Occasion::Subscription, 8, 50),
    (Occasion::Mention, 40, 10),
    (Occasion::Survey, 110, 10),
    (Occasion::LaunchMail, 0, 33),
    (Occasion::LaunchAd, 0, 72),
    (Occasion::PressingMail, 0, 38),
    (Occasion::PressingAd, 0, 21),
];
/// Added while the working campaign runs, and while the annoying one does.
const LAUNCH: [(Occasion, u64); 2] = [(Occasion::LaunchMail, 110), (Occasion::LaunchAd, 180)];
const PRESSING: [(Occasion, u64); 2] = [(Occasion::PressingMail, 480), (Occasion::PressingAd, 200)];

/// Whether a day lies in a chapter.
pub(super) fn within(day: i32, (first, last): (i32, i32)) -> bool {
    RangeInclusive::new(first, last).contains(&day)
}

/// The weights of a day's occasions, in the order of [`occasion`].
pub(super) fn weights(day: i32) -> [u64; OCCASIONS.len()] {
    let mut weights = OCCASIONS.map(|(_, weight, _)| weight);
    let mut add = |extra: &[(Occasion, u64)]| {
        for (occasion, weight) in extra {
            for (place, (known, ..)) in OCCASIONS.iter().enumerate() {
                if known == occasion {
                    weights[place] += weight;
                }
            }
        }
    };
    if within(day, WORKING) {
        add(&LAUNCH);
    }
    if within(day, ANNOYING) {
        add(&PRESSING);
    }
    weights
}

/// The occasion at a place of [`weights`].
pub(super) fn occasion(place: usize) -> Occasion {
    OCCASIONS[place].0
}

/// How much of the company there is on a day, in thousandths of the first: it grows by six tenths.
pub(super) fn size_per_mille(day: i32) -> u64 {
    1_000 + 600 * day.clamp(0, LENGTH) as u64 / LENGTH as u64
}

/// How touchpoints are spread over the days.
#[derive(Debug)]
pub(super) struct Pace {
    start_ms: i64,
    /// The weight of all days up to and with each.
    sums: Vec<u64>,
}

impl Pace {
    /// Of a story that begins at that moment. Campaigns come on top of what happens anyway, so a day with more occasions
    /// gets more touchpoints.
    pub(super) fn new(start_ms: i64) -> Pace {
        let volume = |weights: [u64; OCCASIONS.len()]| -> u64 {
            weights.iter().zip(OCCASIONS).map(|(weight, (_, _, tenths))| weight * tenths).sum()
        };
        let calm = volume(weights(QUIET.0));
        let mut sum = 0;
        let sums = (0..LENGTH).map(|day| {
            // 1970-01-01 was a Thursday. People rest at weekends.
            let weekday = (start_ms.div_euclid(DAY) + i64::from(day) + 3).rem_euclid(7);
            let of_week = [100, 104, 104, 102, 102, 94, 94][weekday as usize];
            sum += size_per_mille(day) * of_week * volume(weights(day)) * 10 / calm;
            sum
        });
        Pace { start_ms, sums: sums.collect() }
    }

    /// What share of all falls on the last day, in millionths.
    pub(super) fn last_day_millionths(&self) -> u64 {
        let last = self.sums[self.sums.len() - 1] - self.sums[self.sums.len() - 2];
        last * 1_000_000 / self.sums[self.sums.len() - 1]
    }

    /// When `done` of `whole` have happened: before the end of the last day.
    pub(super) fn moment(&self, done: u64, whole: u64) -> i64 {
        let total = self.sums.last().copied().unwrap_or(1);
        let at = (u128::from(total) * u128::from(done.min(whole)) / u128::from(whole.max(1))) as u64;
        let day = self.sums.partition_point(|sum| *sum <= at).min(self.sums.len() - 1);
        let before = if day == 0 { 0 } else { self.sums[day - 1] };
        let weight = u128::from((self.sums[day] - before).max(1));
        // The last minute is left for the end of the story.
        let within = (u128::from(at - before) * (DAY - 60_000) as u128 / weight).min((DAY - 60_000) as u128);
        self.start_ms + hours_of_people(day as i64 * DAY + within as i64)
    }
}
