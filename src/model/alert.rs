//! An alert: what an organisation should look at, opened once by its cause and closed when the cause is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Currency, Day, Dimension, EventTime, Identifier, PersonId, PersonKey, Touchpoint, Window,
    identifier::{first_half, hexadecimal},
    kind::vocabulary,
};

/// Characters of the name of whoever acknowledges an alert.
pub const ACKNOWLEDGED_BY_CHARACTERS_MAX: usize = 64;

vocabulary! {
    /// Why an alert is open. README, "Alerts", says of each when it opens, when it closes and whose it is.
    AlertCause {
        PromiseOverdue => "promise_overdue",
        CaseUnanswered => "case_unanswered",
        FollowUpMissing => "follow_up_missing",
        ContactCapExceeded => "contact_cap_exceeded",
        CustomerLapsed => "customer_lapsed",
        MetricUnusual => "metric_unusual",
    }
}

vocabulary! {
    /// Where an alert is in its life.
    ///
    /// ```text
    ///  open ──an operator has seen it──▶ acknowledged
    ///   └────────cause is over───▶ closed ◀────┘
    /// ```
    AlertState {
        Open => "open",
        Acknowledged => "acknowledged",
        Closed => "closed",
    }
}

/// The id of an alert: a keyed hash of its cause, so that it says nothing of a customer and is the same whenever the same
/// cause is found again. Shown as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertId(pub [u8; 16]);

/// Which touchpoint gave cause for an alert, whoever it belongs to now or later: XXH3-64 over (the type of its strongest
/// identifier, 0x00, its value, 0x00, the spoke, 0x00, the event's id), the smallest byte first.
///
/// A home has one touchpoint of each (spoke, id), and a touchpoint keeps its home when persons are linked, split or erased: so
/// what follows from the mark does too. Of a promise the mark is what was promised: whoever tells it once more gives no other cause. Of
/// several cases that one touchpoint opens, each but the first has its name in its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertMark([u8; 8]);

impl AlertMark {
    /// That of a touchpoint.
    pub fn of(touchpoint: &Touchpoint<'_>) -> AlertMark {
        AlertMark::new(touchpoint.home(), touchpoint.spoke, touchpoint.id)
    }

    /// That of a further case that a touchpoint opens besides the first: XXH3-64 over what that of the touchpoint is over, 0x00, and the
    /// case's identifier.
    pub fn of_further(touchpoint: &Touchpoint<'_>, case: &str) -> AlertMark {
        let mut hasher = AlertMark::hasher(touchpoint.home(), touchpoint.spoke, touchpoint.id);
        hasher.update(&[0]);
        hasher.update(case.as_bytes());
        AlertMark(hasher.digest().to_le_bytes())
    }

    /// That of a promise: XXH3-64 over ("promise", 0x00, the order's identifier, 0x00, the moment for which delivery is promised, in
    /// milliseconds as 8 bytes, the smallest first).
    pub fn of_promise(order: &str, promised_at: EventTime) -> AlertMark {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        hasher.update(b"promise\0");
        hasher.update(order.as_bytes());
        hasher.update(&[0]);
        hasher.update(&promised_at.0.to_le_bytes());
        AlertMark(hasher.digest().to_le_bytes())
    }

    fn new(home: Identifier<'_>, spoke: &str, id: &str) -> AlertMark {
        AlertMark(AlertMark::hasher(home, spoke, id).digest().to_le_bytes())
    }

    fn hasher(home: Identifier<'_>, spoke: &str, id: &str) -> xxhash_rust::xxh3::Xxh3Default {
        let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
        for part in [home.kind.as_str(), home.value, spoke] {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
        hasher.update(id.as_bytes());
        hasher
    }
}

/// What an alert lies under on its feed: its id and, of one about a person, `|` and the person's public id.
///
/// While touchpoints move from one person to another, the tasks of both write to the feed, and neither knows when the other
/// does: under keys of their own, neither takes away what the other has just said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertKey {
    /// The alert's id.
    pub id: AlertId,
    /// Whom it is about, if it is about a person.
    pub person: Option<PersonId>,
}

impl std::fmt::Display for AlertKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.person {
            Some(person) => write!(formatter, "{}|{person}", self.id),
            None => self.id.fmt(formatter),
        }
    }
}

impl AlertId {
    /// The id of a person's alert: the first 128 bits of keyed BLAKE3 over ("alert", 0x00, the cause's word, 0x00, the mark of the
    /// touchpoint, or of the promise, that gave cause for it, 8 bytes). Who the person is, is not in it: a link, a split or an erasure elsewhere leaves
    /// the cause what it is.
    pub fn of_person(key: &PersonKey, cause: AlertCause, mark: AlertMark) -> AlertId {
        let mut hasher = blake3::Hasher::new_keyed(&key.0);
        hasher.update(b"alert\0");
        hasher.update(cause.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(&mark.0);
        AlertId(first_half(&hasher).0)
    }

    /// The id of a metric's alert, which says nothing of a person: the first 128 bits of BLAKE3 over ("alert", 0x00, the cause's
    /// word, 0x00, the metric's id, 0x00, the currency or nothing, 0x00, the dimension, 0x00, its value, 0x00, the day on which
    /// it opens as 4 bytes, the greatest first).
    pub fn of_metric(series: &AlertSeries<'_>, since: Day) -> AlertId {
        let mut hasher = blake3::Hasher::new();
        let currency = series.currency.as_ref().map_or("", Currency::as_str);
        let dimension = series.dimension.as_str();
        for part in ["alert", AlertCause::MetricUnusual.as_str(), series.metric, currency, dimension, series.value] {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
        hasher.update(&since.0.to_be_bytes());
        AlertId(first_half(&hasher).0)
    }

    /// The id of something to fix (a subject at a touchpoint), which is acknowledged as alerts are: the first 128 bits of BLAKE3
    /// over ("priority", 0x00, the spoke, 0x00, the kind, 0x00, the subject, 0x00).
    pub fn of_priority(spoke: &str, kind: &str, subject: &str) -> AlertId {
        let mut hasher = blake3::Hasher::new();
        for part in ["priority", spoke, kind, subject] {
            hasher.update(part.as_bytes());
            hasher.update(&[0]);
        }
        AlertId(first_half(&hasher).0)
    }

    /// As it is shown.
    pub fn hexadecimal(self) -> [u8; 32] {
        hexadecimal(&self.0)
    }

    /// From 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<AlertId> {
        PersonId::parse(text).map(|PersonId(bytes)| AlertId(bytes))
    }
}

impl std::fmt::Display for AlertId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        PersonId(self.0).fmt(formatter)
    }
}

/// That somebody has seen an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Its place among operators' commands: the first of each alert counts.
    pub number: u64,
    /// When the command was given.
    pub at: EventTime,
    /// Who they say they are; empty if they do not.
    pub by: String,
}

/// What an alert about a metric is about: its values in one window after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertSeries<'a> {
    /// The metric's id.
    pub metric: &'a str,
    /// The currency of money metrics.
    pub currency: Option<Currency>,
    /// The dimension.
    pub dimension: Dimension,
    /// Its value; empty for the company.
    pub value: &'a str,
}

/// One alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert<'a> {
    /// Its id.
    pub id: AlertId,
    /// Why it is open.
    pub cause: AlertCause,
    /// Where it is in its life. A closed one has no more than id, cause, owner, person or series, and the day on which it opened.
    pub state: AlertState,
    /// The department that it belongs to.
    pub owner: &'a str,
    /// Whom it is about, if it is about a person.
    pub person: Option<PersonId>,
    /// The metric that it is about, with the newest window outside its usual range; if it is closed, without.
    pub series: Option<(AlertSeries<'a>, Option<Window>)>,
    /// The order or case that it is about.
    pub thing: Option<Identifier<'a>>,
    /// The day at whose close it opens.
    pub since: Day,
    /// The moment that it is about: promised, opened, answered.
    pub happened_at: Option<EventTime>,
    /// Of a metric: by which test its window is outside its usual range.
    pub test: Option<&'static str>,
    /// The numbers behind it, by name.
    pub figures: BTreeMap<&'static str, f64>,
    /// Who has seen it.
    pub acknowledged: Option<Acknowledgement>,
    /// Counts its publications since it opened, from 1.
    pub revision: u32,
}

impl<'a> Alert<'a> {
    /// The last word about an alert: which it was, and no more, since what it was about may be erased by now.
    pub fn closed(id: AlertId, cause: AlertCause, owner: &'a str, since: Day) -> Alert<'a> {
        Alert {
            id,
            cause,
            state: AlertState::Closed,
            owner,
            person: None,
            series: None,
            thing: None,
            since,
            happened_at: None,
            test: None,
            figures: BTreeMap::new(),
            acknowledged: None,
            revision: 0,
        }
    }

    /// What it lies under on the feed.
    pub fn key(&self) -> AlertKey {
        AlertKey { id: self.id, person: self.person }
    }

    /// XXH3-64 of everything that is said of an open alert and is not in its key, but for its revision.
    pub fn content(&self) -> u64 {
        let figures: Vec<(&str, u64)> = self.figures.iter().map(|(name, figure)| (*name, figure.to_bits())).collect();
        let thing = self.thing.map(|thing| (thing.kind, thing.value));
        let window = self.series.and_then(|(_, window)| window).map(|window| window.start);
        let said = (self.owner, thing, (self.since, self.happened_at), window, figures, &self.acknowledged);
        let mut said = postcard::to_stdvec(&said).expect("a vector takes every byte");
        said.extend_from_slice(self.test.unwrap_or_default().as_bytes());
        xxhash_rust::xxh3::xxh3_64(&said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_everything_that_makes_a_cause_and_are_the_same_for_ever() {
        let key = PersonKey([7; 32]);
        let touchpoint = |value, spoke, id| {
            AlertMark::new(Identifier { kind: crate::model::IdentifierType::CustomerId, value }, spoke, id)
        };
        let id = |cause, mark| AlertId::of_person(&key, cause, mark);
        let ann = touchpoint("ann", "support", "e1");
        let first = id(AlertCause::CaseUnanswered, ann);
        // Acknowledgements are kept under it.
        assert_eq!(first.to_string(), "65df4419366cbd341d070859dacae57f");
        let others = [
            id(AlertCause::FollowUpMissing, ann),
            id(AlertCause::CaseUnanswered, touchpoint("bob", "support", "e1")),
            id(AlertCause::CaseUnanswered, touchpoint("ann", "sales", "e1")),
            id(AlertCause::CaseUnanswered, touchpoint("ann", "support", "e2")),
            AlertId::of_person(&PersonKey([8; 32]), AlertCause::CaseUnanswered, ann),
        ];
        assert!(others.iter().all(|other| *other != first));
        let promise = |order, at| id(AlertCause::PromiseOverdue, AlertMark::of_promise(order, EventTime(at)));
        assert_eq!(promise("O1", 5), promise("O1", 5));
        assert!(promise("O1", 5) != promise("O1", 6) && promise("O1", 5) != promise("O2", 5));
        assert_eq!(AlertId::parse(&first.to_string()), Some(first));
        let key = |person| AlertKey { id: first, person }.to_string();
        assert_eq!(key(None), first.to_string());
        assert_eq!(key(Some(PersonId([1; 16]))), format!("{first}|{}", "01".repeat(16)));
    }

    #[test]
    fn ids_of_series_depend_on_everything_that_makes_one_and_are_the_same_for_ever() {
        let series = AlertSeries { metric: "revenue", currency: None, dimension: Dimension::Region, value: "north" };
        let first = AlertId::of_metric(&series, Day(20_514));
        assert_eq!(first.to_string(), "c454d91cf5b19fb654fe0f76f6706274");
        for (other, since) in [
            (AlertSeries { metric: "orders", ..series }, 20_514),
            (AlertSeries { currency: Some(Currency(*b"EUR")), ..series }, 20_514),
            (AlertSeries { dimension: Dimension::Segment, ..series }, 20_514),
            (AlertSeries { value: "south", ..series }, 20_514),
            (series, 20_521),
        ] {
            assert_ne!(AlertId::of_metric(&other, Day(since)), first);
        }
    }
}
