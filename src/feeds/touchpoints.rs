//! `insight.touchpoints`: a person and one of their touchpoints in, its public shape out.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    encoder::FeedRecord,
    names::{Names, Shown},
    notation::{Instant, Notation},
    table::Feed,
};
use crate::model::{Identifier, Money, PersonId, Score, Touchpoint};

/// The feed `insight.touchpoints`. Key: [`crate::model::keys::touchpoint`].
#[derive(Debug)]
pub enum Touchpoints {}

/// A touchpoint on its person's timeline.
#[derive(Clone, Copy, Debug)]
pub struct PersonTouchpoint<'a> {
    /// Whose timeline.
    pub person: PersonId,
    /// The touchpoint.
    pub touchpoint: &'a Touchpoint<'a>,
}

impl FeedRecord for Touchpoints {
    const FEED: Feed = Feed::Touchpoints;
    type Record<'a> = PersonTouchpoint<'a>;
    type Shape<'a, N: Notation> = TouchpointShape<'a, N>;

    fn shape<'a, N: Notation>(record: &'a PersonTouchpoint<'a>, names: &Names) -> TouchpointShape<'a, N> {
        let touchpoint = record.touchpoint;
        TouchpointShape {
            person: Person(record.person),
            spoke: touchpoint.spoke,
            id: touchpoint.id,
            kind: touchpoint.kind.as_str(),
            label: touchpoint.label,
            occurred_at: Instant::new(touchpoint.occurred_at),
            identifiers: Identifiers(&touchpoint.identifiers, names.clone()),
            channel: touchpoint.channel.map(|channel| channel.as_str()),
            subject: touchpoint.subject,
            product: touchpoint.product,
            region: touchpoint.region,
            segment: touchpoint.segment,
            campaign: touchpoint.campaign,
            content: touchpoint.content,
            account: touchpoint.account,
            amount: touchpoint.amount.as_ref().map(Amount::of),
            cost: touchpoint.cost.as_ref().map(Amount::of),
            score: touchpoint.score.as_ref().map(Answer::of),
            promised_at: touchpoint.promised_at.map(Instant::new),
            initiator: touchpoint.initiator.as_str(),
            visibility: touchpoint.visibility.as_str(),
            sentiment: touchpoint.sentiment.map(i32::from),
            referrer: touchpoint
                .referrer
                .map(|referrer| Referrer { kind: referrer.kind.as_str(), value: names.show_kept(referrer) }),
            effort: touchpoint.effort,
            properties: Properties(&touchpoint.properties),
        }
    }
}

/// The public shape of a touchpoint; its fields are documented in `schemas/touchpoints.avsc`.
#[derive(Serialize)]
#[serde(bound(serialize = "N: Notation"))]
pub struct TouchpointShape<'a, N> {
    person: Person,
    spoke: &'a str,
    id: &'a str,
    kind: &'static str,
    label: Option<&'a str>,
    occurred_at: Instant<N>,
    identifiers: Identifiers<'a>,
    channel: Option<&'static str>,
    subject: Option<&'a str>,
    product: Option<&'a str>,
    region: Option<&'a str>,
    segment: Option<&'a str>,
    campaign: Option<&'a str>,
    content: Option<&'a str>,
    account: Option<&'a str>,
    amount: Option<Amount<'a>>,
    cost: Option<Amount<'a>>,
    score: Option<Answer<'a>>,
    promised_at: Option<Instant<N>>,
    initiator: &'static str,
    visibility: &'static str,
    sentiment: Option<i32>,
    referrer: Option<Referrer<'a>>,
    effort: Option<i32>,
    properties: Properties<'a>,
}

struct Person(PersonId);

impl Serialize for Person {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.0.hexadecimal()).expect("hexadecimal digits are ASCII"))
    }
}

/// Identifiers, ascending, as a map from type to values.
struct Identifiers<'a>(&'a [Identifier<'a>], Names);

impl<'a> Identifiers<'a> {
    fn by_type(&self) -> impl Iterator<Item = &'a [Identifier<'a>]> + use<'a> {
        self.0.chunk_by(|one, next| one.kind == next.kind)
    }
}

impl Serialize for Identifiers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Avro writes the number of entries first.
        let mut map = serializer.serialize_map(Some(self.by_type().count()))?;
        for identifiers in self.by_type() {
            map.serialize_entry(identifiers[0].kind.as_str(), &Values(identifiers, &self.1))?;
        }
        map.end()
    }
}

struct Values<'a>(&'a [Identifier<'a>], &'a Names);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|identifier| self.1.show(*identifier)))
    }
}

#[derive(Serialize)]
#[serde(rename = "Money")]
struct Amount<'a> {
    minor: i64,
    currency: &'a str,
}

impl<'a> Amount<'a> {
    fn of(money: &'a Money) -> Amount<'a> {
        Amount { minor: money.minor, currency: money.currency.as_str() }
    }
}

#[derive(Serialize)]
#[serde(rename = "Score")]
struct Answer<'a> {
    scale: &'static str,
    value: i32,
    item: Option<&'a str>,
}

impl<'a> Answer<'a> {
    fn of(score: &Score<'a>) -> Answer<'a> {
        Answer { scale: score.scale.as_str(), value: i32::from(score.value), item: score.item }
    }
}

#[derive(Serialize)]
#[serde(rename = "Identifier")]
struct Referrer<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: Shown<'a>,
}

struct Properties<'a>(&'a [(&'a str, &'a str)]);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
