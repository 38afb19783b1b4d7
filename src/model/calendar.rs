//! Instants to calendar days in one configured time zone, fast enough for every event.

use jiff::{Timestamp, tz::TimeZone};

use super::time::{Day, EventTime};

const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// The days of one IANA time zone: its offset changes as a sorted table, so that the day of an instant costs a binary
/// search and no calendar arithmetic.
#[derive(Clone, Debug)]
pub struct Calendar {
    name: String,
    /// (first instant in ms, offset from UTC in ms), ascending; the first entry covers everything before.
    offsets: Vec<(i64, i64)>,
}

/// When to change from one offset to the next, so that days never go back: where clocks are turned back across midnight,
/// the repeated part of the evening belongs to the later day. The fold of a timeline relies on it.
fn without_going_back(at: i64, before: i64, after: i64) -> i64 {
    let last_day = (at - 1 + before).div_euclid(MILLISECONDS_PER_DAY);
    let next_day = (at + after).div_euclid(MILLISECONDS_PER_DAY);
    if next_day < last_day { last_day * MILLISECONDS_PER_DAY - after } else { at }
}

/// A time zone that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("time zone {name:?} is not in the IANA database; use a name such as \"UTC\" or \"Europe/Berlin\"")]
pub struct CalendarError {
    name: String,
}

impl Calendar {
    /// The calendar of UTC.
    pub fn utc() -> Calendar {
        Calendar { name: "UTC".into(), offsets: vec![(i64::MIN, 0)] }
    }

    /// The calendar of an IANA zone name, from the database that is compiled in or the system's.
    pub fn of_zone(name: &str) -> Result<Calendar, CalendarError> {
        let zone = TimeZone::get(name).map_err(|_| CalendarError { name: name.to_owned() })?;
        let first =
            Timestamp::from_millisecond(EventTime::MIN.0).map_err(|_| CalendarError { name: name.to_owned() })?;
        let mut offsets = vec![(i64::MIN, i64::from(zone.to_offset(first).seconds()) * 1_000)];
        for change in zone.following(first) {
            let at = change.timestamp().as_millisecond();
            if at >= EventTime::MAX.0 {
                break;
            }
            let offset = i64::from(change.offset().seconds()) * 1_000;
            offsets.push((without_going_back(at, offsets[offsets.len() - 1].1, offset), offset));
        }
        Ok(Calendar { name: name.to_owned(), offsets })
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The day that an instant lies in.
    pub fn day(&self, at: EventTime) -> Day {
        let offset = if self.offsets.len() == 1 {
            self.offsets[0].1
        } else {
            let next = self.offsets.partition_point(|&(from, _)| from <= at.0);
            self.offsets[next.saturating_sub(1)].1
        };
        let day = at.0.saturating_add(offset).div_euclid(MILLISECONDS_PER_DAY);
        Day(i32::try_from(day).unwrap_or(if day < 0 { i32::MIN / 2 } else { i32::MAX / 2 }))
    }

    /// What of the time-zone database the results depend on, for the generation: every offset change.
    pub fn fingerprint(&self) -> u64 {
        let mut bytes = Vec::with_capacity(self.offsets.len() * 16);
        for (from, offset) in &self.offsets {
            bytes.extend_from_slice(&from.to_le_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        xxhash_rust::xxh3::xxh3_64(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_change_at_local_midnight_also_across_summer_time() {
        let berlin = Calendar::of_zone("Europe/Berlin").expect("a zone of the database");
        let noon = |year, month, day| i64::from(Day::from_civil(year, month, day).0) * MILLISECONDS_PER_DAY;
        // Winter: UTC+1, local midnight is 23:00Z; summer: UTC+2, 22:00Z.
        let winter = noon(2026, 1, 15);
        assert_eq!(berlin.day(EventTime(winter - 3_600_000)), Day::from_civil(2026, 1, 15));
        assert_eq!(berlin.day(EventTime(winter - 3_600_001)), Day::from_civil(2026, 1, 14));
        let summer = noon(2026, 7, 15);
        assert_eq!(berlin.day(EventTime(summer - 7_200_000)), Day::from_civil(2026, 7, 15));
        assert_eq!(berlin.day(EventTime(summer - 7_200_001)), Day::from_civil(2026, 7, 14));
        assert!(Calendar::of_zone("Europe/Atlantis").is_err());
    }

    #[test]
    fn days_never_go_back_where_clocks_are_turned_back_across_midnight() {
        // In 2020 Havana turned its clocks from 01:00 to 00:00; Asunción in 2020 from 00:00 to 23:00 the day before.
        for zone in ["America/Havana", "America/Asuncion", "America/Sao_Paulo", "Asia/Beirut"] {
            let calendar = Calendar::of_zone(zone).expect("a zone of the database");
            let mut last = calendar.day(EventTime(0));
            for quarter in 0..60 * 366 * 96_i64 {
                let day = calendar.day(EventTime(quarter * 900_000));
                assert!(day >= last, "{zone} at {quarter}");
                last = day;
            }
        }
    }
}
