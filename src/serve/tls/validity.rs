//! A certificate (X.509, RFC 5280, section 4.1) in DER in; from when until when it is good out. Signatures and names are for whoever
//! connects to look at; this is for an operator who forgets it.

/// Tags of DER.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when until when a certificate is good, in seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub begins_s: i64,
    /// The last one.
    pub ends_s: i64,
}

impl Validity {
    /// Of a certificate; `None`: it is none.
    pub(super) fn of(der: &[u8]) -> Option<Validity> {
        let (certificate, _) = item(der, SEQUENCE)?;
        let (mut rest, _) = item(certificate, SEQUENCE)?;
        if rest.first() == Some(&VERSION) {
            rest = item(rest, VERSION)?.1;
        }
        // The serial number, what it is signed with, and by whom.
        for _ in 0..3 {
            rest = item(rest, *rest.first()?)?.1;
        }
        let (period, _) = item(rest, SEQUENCE)?;
        let (begins_s, rest) = time(period)?;
        let (ends_s, _) = time(rest)?;
        Some(Validity { begins_s, ends_s })
    }

    /// Whether it is good at a time, in milliseconds since 1970; else what is wrong.
    pub fn at(self, now_ms: i64) -> Result<(), &'static str> {
        match now_ms.div_euclid(1_000) {
            now_s if now_s < self.begins_s => Err("is not good yet"),
            now_s if now_s > self.ends_s => Err("has expired"),
            _ => Ok(()),
        }
    }
}

/// The content of the item that bytes begin with, which has this tag, and what is behind it.
fn item(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first().filter(|_| found == tag)?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` in seconds, and what is behind it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let tag = *bytes.first()?;
    let (text, rest) = item(bytes, tag)?;
    let text =
        std::str::from_utf8(text).ok()?.strip_suffix('Z').filter(|text| text.bytes().all(|it| it.is_ascii_digit()))?;
    let number = |at: usize| text.get(at..at + 2)?.parse::<i16>().ok();
    let (year, from) = match (tag, text.len()) {
        // Of the years 1950 to 2049.
        (UTC_TIME, 12) => (number(0)? + if number(0)? < 50 { 2000 } else { 1900 }, 2),
        (GENERALIZED_TIME, 14) => (number(0)? * 100 + number(2)?, 4),
        _ => return None,
    };
    let part = |index: usize| number(from + 2 * index).and_then(|part| i8::try_from(part).ok());
    let at = jiff::civil::DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
    Some((jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?.as_second(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let head = match length {
            0..=0x7f => vec![tag, length as u8],
            0x80..=0xff => vec![tag, 0x81, length as u8],
            _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        };
        [&head, content].concat()
    }

    fn certificate(has_version: bool, begins: &[u8], ends: &[u8]) -> Vec<u8> {
        let mut signed = if has_version { tagged(VERSION, &tagged(2, &[2])) } else { Vec::new() };
        signed.extend(tagged(2, &[7; 20]));
        signed.extend(tagged(SEQUENCE, &[6, 1, 42]));
        signed.extend(tagged(SEQUENCE, &[1; 200]));
        signed.extend(tagged(SEQUENCE, &[begins, ends].concat()));
        signed.extend([5, 0]);
        tagged(SEQUENCE, &tagged(SEQUENCE, &signed))
    }

    #[test]
    fn the_period_of_a_certificate_is_found() {
        let utc = |text: &str| tagged(UTC_TIME, text.as_bytes());
        let general = |text: &str| tagged(GENERALIZED_TIME, text.as_bytes());
        let of = |begins: &[u8], ends: &[u8]| Validity::of(&certificate(true, begins, ends));
        // 2026-01-31T09:00:00Z and 2050-01-01T00:00:00Z.
        let found = of(&utc("260131090000Z"), &general("20500101000000Z")).expect("a certificate");
        assert_eq!(found, Validity { begins_s: 1_769_850_000, ends_s: 2_524_608_000 });
        assert_eq!(Validity::of(&certificate(false, &utc("260131090000Z"), &general("20500101000000Z"))), Some(found));
        assert_eq!(of(&utc("991231235959Z"), &utc("491231235959Z")).map(|it| it.begins_s), Some(946_684_799));
        for wrong in ["26013109000Z", "260131090000", "261331090000Z", "26013109000xZ", ""] {
            assert_eq!(of(&utc(wrong), &utc("491231235959Z")), None, "{wrong}");
        }
        let whole = certificate(true, &utc("260131090000Z"), &utc("491231235959Z"));
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None, "{length} bytes of it");
        }
        assert_eq!(found.at(1_769_850_000_000), Ok(()));
        assert_eq!(found.at(1_769_849_999_999), Err("is not good yet"));
        assert_eq!((found.at(2_524_608_000_999), found.at(2_524_608_001_000)), (Ok(()), Err("has expired")));
    }
}
