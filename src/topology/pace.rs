//! When records of a source partition came and how far their event time is in, whether the partition keeps pace out.
//!
//! ```text
//!            an hour of arrivals, in which it got no more than an hour ahead
//! (catches up) ──────────────────────────────────────────────────────────────▶ keeps pace
//!        ▲                 more than an hour ahead of arrivals                    │
//!        └────────────────────────────────────────────────────────────────────────┘
//! ```
//! A department that always tells of what happened two days ago takes in a day of events each day: it will never be nearer, so
//! nothing is to be waited for. One that loads history takes in weeks within minutes. Judged by the records' own
//! timestamps, so that a log which is read late says the same.

use crate::model::EventTime;

/// So long must records have come, and so far may event time get ahead of them meanwhile. A load of history that is hardly
/// twice as fast as time itself is taken for a department that is late.
pub(super) const PACE_MS: i64 = 3_600_000;

/// How event time advances with the time at which records come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// When the first record came that is looked back to, and how far event time was.
    since: Option<(i64, EventTime)>,
    keeps: bool,
}

impl Pace {
    /// A record came; `newest`: how far event time is with it.
    pub(super) fn take(&mut self, arrived_ms: i64, newest: EventTime) {
        let Some((since_ms, before)) = self.since else {
            self.since = Some((arrived_ms, newest));
            return;
        };
        let passed_ms = arrived_ms.saturating_sub(since_ms);
        let ahead_ms = newest.0.saturating_sub(before.0).saturating_sub(passed_ms.max(0));
        if ahead_ms > PACE_MS || passed_ms >= PACE_MS {
            *self = Pace { since: Some((arrived_ms, newest)), keeps: ahead_ms <= PACE_MS };
        }
    }

    /// Whether it is known not to catch up.
    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;
    const DAY_MS: i64 = 1_440 * MINUTE_MS;

    /// Minutes from the first arrival on which it kept pace, of records that come each minute; `happened`: what came in a minute.
    fn kept(minutes: i64, happened: impl Fn(i64) -> i64) -> Vec<i64> {
        let mut pace = Pace::default();
        let mut newest = i64::MIN;
        let mut kept = Vec::new();
        for minute in 0..minutes {
            newest = newest.max(happened(minute));
            pace.take(100 * DAY_MS + minute * MINUTE_MS, EventTime(newest));
            kept.extend(pace.keeps().then_some(minute));
        }
        kept
    }

    #[test]
    fn who_is_always_two_days_late_keeps_pace_after_an_hour() {
        let kept = kept(3 * 1_440, |minute| 98 * DAY_MS + minute * MINUTE_MS);
        assert_eq!(kept, (60..3 * 1_440).collect::<Vec<_>>());
    }

    #[test]
    fn who_tells_of_a_day_at_once_catches_up_for_an_hour() {
        // Each midnight all of the day before yesterday.
        let kept = kept(2 * 1_440, |minute| (98 + minute / 1_440) * DAY_MS);
        let expected: Vec<i64> = (60..1_440).chain(1_500..2_880).collect();
        assert_eq!(kept, expected);
    }

    #[test]
    fn who_loads_a_year_in_a_day_catches_up_until_it_is_there() {
        assert!(kept(1_440, |minute| minute * 365 * MINUTE_MS).is_empty());
        // Within one moment, as within one request.
        let mut pace = Pace::default();
        (0..10_000).for_each(|hour| pace.take(DAY_MS, EventTime(hour * 60 * MINUTE_MS)));
        assert!(!pace.keeps());
    }

    #[test]
    fn clocks_that_go_back_decide_nothing() {
        let mut pace = Pace::default();
        pace.take(100 * DAY_MS, EventTime(0));
        pace.take(0, EventTime(PACE_MS));
        assert!(!pace.keeps());
    }
}
