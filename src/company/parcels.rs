//! A touchpoint of operations in, the scan of its warehouse out: JSON with local times and their time zone
//! (`deploy/spokes/operations.toml`).

use super::{
    orders::decimal,
    shape::{Writer, push_padded},
};
use crate::model::{Channel, Day, EventTime, IdentifierType, Kind, Touchpoint};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// What a scanner calls what happened.
fn scan(kind: Kind) -> &'static str {
    match kind {
        Kind::DeliveryPromised => "announced",
        Kind::OrderShipped => "left",
        Kind::OrderDelivered => "handed over",
        Kind::OrderReturned => "came back",
        Kind::RefundIssued => "paid back",
        Kind::ServiceInterrupted => "down",
        Kind::ServiceRestored => "up again",
        Kind::ChangeEnacted => "changed over",
        other => other.as_str(),
    }
}

/// The last Sunday of a month of 31 days, 01:00 UTC: when the clocks of Amsterdam change (Directive 2000/84/EC).
const fn change(year: i32, month: u32) -> i64 {
    let last = Day::from_civil(year, month, 31).0;
    // 1970-01-04 was a Sunday.
    (last - (last - 3).rem_euclid(7)) as i64 * DAY + HOUR
}

/// The warehouse's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Amsterdam,
    /// Has no summer time.
    Tokyo,
    /// For what the clock of Amsterdam says twice in autumn: the earlier would be meant.
    Utc,
}

impl Clock {
    fn of(region: Option<&str>, times: &[EventTime]) -> Clock {
        if region == Some("overseas") {
            return Clock::Tokyo;
        }
        let is_second = |at: &EventTime| {
            let (year, ..) = Day(at.0.div_euclid(DAY) as i32).civil();
            (0..HOUR).contains(&(at.0 - change(year, 10)))
        };
        if times.iter().any(is_second) { Clock::Utc } else { Clock::Amsterdam }
    }

    fn name(self) -> &'static str {
        match self {
            Clock::Amsterdam => "Europe/Amsterdam",
            Clock::Tokyo => "Asia/Tokyo",
            Clock::Utc => "UTC",
        }
    }

    /// What it says at an instant, as if it were one in UTC.
    fn reads(self, at: EventTime) -> EventTime {
        let (year, ..) = Day(at.0.div_euclid(DAY) as i32).civil();
        let ahead = match self {
            Clock::Amsterdam if (change(year, 3)..change(year, 10)).contains(&at.0) => 2 * HOUR,
            Clock::Amsterdam => HOUR,
            Clock::Tokyo => 9 * HOUR,
            Clock::Utc => 0,
        };
        EventTime(at.0 + ahead)
    }
}

/// Appends `2026-01-31 09:00:00.000`.
fn local_time(json: &mut Writer<'_>, name: &str, at: EventTime) {
    let (year, month, of_month) = Day(at.0.div_euclid(DAY) as i32).civil();
    let rest = at.0.rem_euclid(DAY) as u64;
    json.value(name, |out| {
        out.push(b'"');
        push_padded(out, year.unsigned_abs().into(), 4);
        for (before, number, width) in [
            (b'-', month.into(), 2),
            (b'-', of_month.into(), 2),
            (b' ', rest / 3_600_000, 2),
            (b':', rest / 60_000 % 60, 2),
            (b':', rest / 1_000 % 60, 2),
            (b'.', rest % 1_000, 3),
        ] {
            out.push(before);
            push_padded(out, number, width);
        }
        out.push(b'"');
    });
}

/// Appends a scan.
pub(super) fn json(touchpoint: &Touchpoint<'_>, out: &mut Vec<u8>) {
    let times: Vec<EventTime> = std::iter::once(touchpoint.occurred_at).chain(touchpoint.promised_at).collect();
    let clock = Clock::of(touchpoint.region, &times);
    let mut json = Writer::new(out);
    json.open(None);
    json.text("scan", touchpoint.id);
    json.text("what", scan(touchpoint.kind));
    json.text("tz", clock.name());
    local_time(&mut json, "at", clock.reads(touchpoint.occurred_at));
    if let Some(promised_at) = touchpoint.promised_at {
        local_time(&mut json, "due", clock.reads(promised_at));
    }
    json.open(Some("customer"));
    json.optional("number", touchpoint.identifier(IdentifierType::CustomerId));
    json.optional("cookie", touchpoint.identifier(IdentifierType::Cookie));
    json.optional("company", touchpoint.account);
    json.close();
    json.optional("order", touchpoint.identifier(IdentifierType::Order));
    json.optional("contract", touchpoint.identifier(IdentifierType::Contract));
    json.optional("change", touchpoint.identifier(IdentifierType::Case));
    json.optional(
        "by",
        touchpoint.channel.map(|channel| match channel {
            Channel::Post => "mail",
            Channel::Partner => "carrier",
            other => other.as_str(),
        }),
    );
    json.optional("site", touchpoint.region);
    json.optional("article", touchpoint.product);
    for (name, money) in [("refund", touchpoint.amount), ("freight", touchpoint.cost)] {
        if let Some(money) = money {
            json.open(Some(name));
            json.text("value", decimal(money.minor, &mut [0; 24]));
            json.text("currency", money.currency.as_str());
            json.close();
        }
    }
    for (name, value) in &touchpoint.properties {
        json.text(name, value);
    }
    json.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_amsterdam_is_that_of_the_database() {
        let zone = jiff::tz::TimeZone::get("Europe/Amsterdam").expect("a time zone");
        let mut unsaid = 0;
        for hour in 0..10 * 366 * 24 {
            let at = EventTime(1_735_689_600_000 + hour * HOUR + 1_234_567);
            let instant = jiff::Timestamp::from_millisecond(at.0).expect("a time of these years");
            match Clock::of(Some("north"), &[at]) {
                Clock::Utc => unsaid += 1,
                clock => {
                    let local = zone.to_datetime(instant);
                    let read = jiff::tz::TimeZone::UTC.to_timestamp(local).expect("a time of these years");
                    assert_eq!(clock.reads(at).0, read.as_millisecond(), "{at}");
                    // And back again, as the hub reads it.
                    let back = zone.to_ambiguous_timestamp(local).compatible().expect("a time of these years");
                    assert_eq!(back.as_millisecond(), at.0, "{at}");
                }
            }
        }
        assert_eq!(unsaid, 10, "an hour a year");
    }
}
