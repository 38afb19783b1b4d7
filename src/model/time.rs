//! Event time: instants, calendar days and the windows that metrics are counted in.

use serde::{Deserialize, Serialize};

/// When something happened: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTime(pub i64);

impl EventTime {
    /// 1900-01-01T00:00:00Z: nothing earlier is a touchpoint.
    pub const MIN: EventTime = EventTime(-2_208_988_800_000);
    /// 2200-01-01T00:00:00Z: nothing later is a touchpoint. Sums of times stay far from overflow within these limits.
    pub const MAX: EventTime = EventTime(7_258_118_400_000);

    /// Whether the instant lies within the years that the hub keeps.
    pub const fn is_supported(self) -> bool {
        self.0 >= Self::MIN.0 && self.0 < Self::MAX.0
    }
}

impl std::fmt::Display for EventTime {
    /// RFC 3339 in UTC with milliseconds: `2026-01-31T09:00:00.000Z`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let day = self.0.div_euclid(86_400_000);
        let rest = self.0.rem_euclid(86_400_000);
        let day = Day(i32::try_from(day).map_err(|_| std::fmt::Error)?);
        let (hour, minute, second, millisecond) =
            (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60, rest % 1_000);
        write!(formatter, "{day}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

/// A calendar day in the configured time zone: days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day(pub i32);

impl Day {
    /// Year, month (1–12), day of month (1–31), proleptic Gregorian (H. Hinnant, "chrono-compatible low-level date
    /// algorithms").
    pub const fn civil(self) -> (i32, u32, u32) {
        let shifted = self.0 as i64 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year as i32, month as u32, day as u32)
    }

    /// The day of a proleptic Gregorian date. `month` 1–12, `day` 1–31.
    pub const fn from_civil(year: i32, month: u32, day: u32) -> Day {
        let year = year as i64 - if month <= 2 { 1 } else { 0 };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted_month = (month as i64 + 9) % 12;
        let day_of_year = (153 * shifted_month + 2) / 5 + day as i64 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Day((era * 146_097 + day_of_era - 719_468) as i32)
    }

    /// Days later (or, if negative, earlier).
    pub const fn plus(self, days: i32) -> Day {
        Day(self.0 + days)
    }

    /// The day before.
    pub const fn previous(self) -> Day {
        Day(self.0 - 1)
    }
}

impl std::fmt::Display for Day {
    /// ISO 8601: `2026-01-31`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = self.civil();
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WindowKind {
    /// One calendar day.
    Day,
    /// One ISO 8601 week, Monday to Sunday.
    Week,
    /// One calendar month.
    Month,
}

impl WindowKind {
    /// All kinds, shortest first.
    pub const ALL: [WindowKind; 3] = [WindowKind::Day, WindowKind::Week, WindowKind::Month];

    /// `day`, `week` or `month`.
    pub const fn as_str(self) -> &'static str {
        match self {
            WindowKind::Day => "day",
            WindowKind::Week => "week",
            WindowKind::Month => "month",
        }
    }
}

/// A day, ISO week or month in the configured time zone, named by its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Its length.
    pub kind: WindowKind,
    /// Its first day.
    pub start: Day,
}

impl Window {
    /// The window of a kind that a day lies in.
    pub const fn of(kind: WindowKind, day: Day) -> Window {
        let start = match kind {
            WindowKind::Day => day,
            // 1970-01-01 was a Thursday: three days after its Monday.
            WindowKind::Week => Day(day.0 - (day.0 + 3).rem_euclid(7)),
            WindowKind::Month => {
                let (year, month, _) = day.civil();
                Day::from_civil(year, month, 1)
            }
        };
        Window { kind, start }
    }

    /// The first day after the window.
    pub const fn end(self) -> Day {
        match self.kind {
            WindowKind::Day => Day(self.start.0 + 1),
            WindowKind::Week => Day(self.start.0 + 7),
            WindowKind::Month => {
                let (year, month, _) = self.start.civil();
                if month == 12 { Day::from_civil(year + 1, 1, 1) } else { Day::from_civil(year, month + 1, 1) }
            }
        }
    }

    /// The window of the same kind just after.
    pub const fn after(self) -> Window {
        Window { kind: self.kind, start: self.end() }
    }

    /// The window of the same kind just before.
    pub const fn before(self) -> Window {
        Window::of(self.kind, self.start.previous())
    }
}

impl std::fmt::Display for Window {
    /// `day:2026-01-31`, `week:2026-W05`, `month:2026-01`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, _) = self.start.civil();
        match self.kind {
            WindowKind::Day => write!(formatter, "day:{}", self.start),
            WindowKind::Week => {
                // An ISO week belongs to the year of its Thursday.
                let (year, _, _) = self.start.plus(3).civil();
                let first_monday = Window::of(WindowKind::Week, Day::from_civil(year, 1, 4)).start;
                write!(formatter, "week:{year:04}-W{:02}", (self.start.0 - first_monday.0) / 7 + 1)
            }
            WindowKind::Month => write!(formatter, "month:{year:04}-{month:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates_round_trip_and_weeks_start_on_monday() {
        for day in -200_000..200_000 {
            let (year, month, of_month) = Day(day).civil();
            assert_eq!(Day::from_civil(year, month, of_month), Day(day));
        }
        assert_eq!(Window::of(WindowKind::Week, Day::from_civil(2026, 1, 1)).to_string(), "week:2026-W01");
        assert_eq!(Window::of(WindowKind::Week, Day::from_civil(2027, 1, 3)).to_string(), "week:2026-W53");
        assert_eq!(Window::of(WindowKind::Month, Day::from_civil(2026, 12, 31)).end(), Day::from_civil(2027, 1, 1));
        assert_eq!(EventTime(1_767_225_600_123).to_string(), "2026-01-01T00:00:00.123Z");
    }
}
