//! Flags in; which dead letters are meant out.

use clap::Args;

use super::letter::Letter;
use crate::{cli::hub, model::Reason};

/// Which dead letters; without any of these, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct FilterArguments {
    /// Of this department; may be given several times
    #[arg(long, value_name = "SPOKE")]
    pub spoke: Vec<String>,
    /// For this reason, such as bad_timestamp; may be given several times
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Vec<Reason>,
    /// Rejected at that time or later: 2026-01-31T09:00:00Z, 2026-01-31 (UTC), or so long ago: 90m, 12h, 7d
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub since: Option<i64>,
    /// Rejected before that time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub until: Option<i64>,
}

impl FilterArguments {
    pub(super) fn takes(&self, letter: &Letter) -> bool {
        let at = letter.rejected_at.0;
        (self.spoke.is_empty() || self.spoke.contains(&letter.spoke))
            && (self.reason.is_empty() || self.reason.iter().any(|reason| reason.as_str() == letter.reason))
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
    }
}

fn reason(text: &str) -> Result<Reason, String> {
    Reason::parse(text).ok_or_else(|| {
        let words: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        format!("must be one of {}", words.join(", "))
    })
}

fn instant(text: &str) -> Result<i64, String> {
    instant_at(text, hub::now_ms())
}

/// Milliseconds since 1970 of a time, a day or a time ago.
fn instant_at(text: &str, now_ms: i64) -> Result<i64, String> {
    let wrong = || "must be 2026-01-31T09:00:00Z, 2026-01-31, or a number with m, h or d for so long ago".to_owned();
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at.as_millisecond());
    }
    if let Ok(midnight) = format!("{text}T00:00:00Z").parse::<jiff::Timestamp>() {
        return Ok(midnight.as_millisecond());
    }
    let unit_ms = match text.chars().last() {
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        _ => return Err(wrong()),
    };
    let count: i64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let ago = count.checked_mul(unit_ms).filter(|ago| *ago >= 0).ok_or_else(wrong)?;
    now_ms.checked_sub(ago).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_instant_a_day_or_so_long_ago() {
        let now = 1_769_850_000_000;
        assert_eq!(instant_at("2026-01-31T09:00:00Z", 0), Ok(now));
        assert_eq!(instant_at("2026-01-31T10:00:00+01:00", 0), Ok(now));
        assert_eq!(instant_at("2026-01-31", 0), Ok(now - 9 * 3_600_000));
        assert_eq!(instant_at("90m", now), Ok(now - 5_400_000));
        assert_eq!(instant_at("7d", now), Ok(now - 7 * 86_400_000));
        for wrong in ["", "m", "yesterday", "3w", "-3d", "99999999999999999d", "2026-02-30", "3é"] {
            assert!(instant_at(wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reason_is_of_the_closed_set() {
        assert_eq!(reason("bad_timestamp"), Ok(Reason::BadTimestamp));
        assert!(reason("late").is_err_and(|error| error.contains("undecodable")));
    }
}
