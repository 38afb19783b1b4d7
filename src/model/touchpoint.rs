//! The canonical touchpoint: what every spoke's events become.

use serde::{Deserialize, Serialize};

use super::{
    identifier::{Identifier, IdentifierType, PersonId, PersonKey},
    kind::{Channel, Initiator, Kind, Visibility, vocabulary},
    time::EventTime,
};

/// An ISO 4217 code: three upper-case letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Currency(pub [u8; 3]);

impl Currency {
    /// The currency of a three-letter code in upper case; `None` if it is not one by its form.
    pub fn parse(code: &str) -> Option<Currency> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Currency(bytes))
    }

    /// A number of its own, from 0 to 17,575: three digits to the base of 26.
    pub fn number(self) -> i16 {
        self.0.iter().fold(0, |number, letter| number * 26 + i16::from(letter.saturating_sub(b'A').min(25)))
    }

    /// The currency of a [`Currency::number`].
    pub fn of_number(number: i16) -> Option<Currency> {
        let digit = |number: i16| b'A' + (number % 26) as u8;
        (0..26 * 26 * 26).contains(&number).then(|| Currency([digit(number / 676), digit(number / 26), digit(number)]))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

/// An exact amount of money in minor units (cents for EUR).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units; negative for money that goes back.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

vocabulary! {
    /// The scale of an answer.
    ScoreScale {
        Nps => "nps",
        Csat => "csat",
        Ces => "ces",
        Expectation => "expectation",
        Perception => "perception",
        Review => "review",
    }
}

impl ScoreScale {
    /// The smallest and the largest answer.
    pub const fn range(self) -> (i64, i64) {
        match self {
            ScoreScale::Nps => (0, 10),
            ScoreScale::Csat | ScoreScale::Review => (1, 5),
            ScoreScale::Ces | ScoreScale::Expectation | ScoreScale::Perception => (1, 7),
        }
    }
}

/// An answer on a scale, within its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score<'a> {
    /// Which scale.
    pub scale: ScoreScale,
    /// The answer.
    pub value: u8,
    /// What was asked about, for expectation and perception.
    #[serde(borrow)]
    pub item: Option<&'a str>,
}

/// One contact of one customer with one department: valid by construction (see `ingest::validate`), borrowed from the
/// bytes it was read from. The order of fields is the internal format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touchpoint<'a> {
    /// When it happened.
    pub occurred_at: EventTime,
    /// Unique within its spoke, 1–128 characters, no control characters.
    pub id: &'a str,
    /// The department, from configuration.
    pub spoke: &'a str,
    /// What happened.
    pub kind: Kind,
    /// The department's own word for it.
    #[serde(borrow)]
    pub label: Option<&'a str>,
    /// Ascending (strongest first), without repeats, at least one.
    #[serde(borrow)]
    pub identifiers: Vec<Identifier<'a>>,
    /// The method of contact.
    pub channel: Option<Channel>,
    /// What it was about.
    #[serde(borrow)]
    pub subject: Option<&'a str>,
    /// The product concerned.
    #[serde(borrow)]
    pub product: Option<&'a str>,
    /// The customer's region.
    #[serde(borrow)]
    pub region: Option<&'a str>,
    /// The customer's segment.
    #[serde(borrow)]
    pub segment: Option<&'a str>,
    /// The campaign that it belongs to.
    #[serde(borrow)]
    pub campaign: Option<&'a str>,
    /// The content shown or consumed.
    #[serde(borrow)]
    pub content: Option<&'a str>,
    /// A company that several customers belong to: groups, never identifies.
    #[serde(borrow)]
    pub account: Option<&'a str>,
    /// Money that the customer pays or gets back.
    pub amount: Option<Money>,
    /// What this touchpoint cost the organisation.
    pub cost: Option<Money>,
    /// An answer.
    #[serde(borrow)]
    pub score: Option<Score<'a>>,
    /// What was promised.
    pub promised_at: Option<EventTime>,
    /// Whose doing.
    pub initiator: Initiator,
    /// Whether the customer could see it.
    pub visibility: Visibility,
    /// How the customer felt: −100…100.
    pub sentiment: Option<i8>,
    /// Who referred this customer: as the department names them, or, once it is kept, by [`PersonKey::person`] of that as
    /// hexadecimal digits ([`Touchpoint::encode_kept_into`]).
    #[serde(borrow)]
    pub referrer: Option<Identifier<'a>>,
    /// The department's own estimate or limit.
    pub effort: Option<i32>,
    /// Kept on the timeline, never a dimension: ascending by key, at most 32.
    #[serde(borrow)]
    pub properties: Vec<(&'a str, &'a str)>,
}

impl<'a> Touchpoint<'a> {
    /// The strongest identifier: the touchpoint's home.
    pub fn home(&self) -> Identifier<'a> {
        self.identifiers[0]
    }

    /// Its place in a timeline: the order of touchpoints is that of these.
    pub fn timeline_key(&self) -> (EventTime, u8, &'a str, &'a str) {
        (self.occurred_at, self.kind.rank(), self.id, self.spoke)
    }

    /// The first identifier of a type, if any.
    pub fn identifier(&self, kind: IdentifierType) -> Option<&'a str> {
        self.identifiers.iter().find(|identifier| identifier.kind == kind).map(|identifier| identifier.value)
    }

    /// The identifiers of a type, ascending.
    pub fn all(&self, kind: IdentifierType) -> impl Iterator<Item = &'a str> {
        self.identifiers.iter().filter(move |identifier| identifier.kind == kind).map(|identifier| identifier.value)
    }

    /// The internal form, after [`Touchpoint::decode`]'s: postcard.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        postcard::to_io(self, bytes).expect("a vector takes every byte");
    }

    /// The internal form of what is kept: whoever referred the customer is another person, whose erasure does not reach this
    /// touchpoint. So they are kept by their id, which leads to them on `insight.identities` for as long as they are there.
    pub fn encode_kept_into(&self, key: &PersonKey, bytes: &mut Vec<u8>) {
        let Some(referrer) = self.referrer else { return self.encode_into(bytes) };
        let id = key.person(referrer).hexadecimal();
        let value = std::str::from_utf8(&id).expect("hexadecimal digits are ASCII");
        let mut kept: Touchpoint<'_> = self.clone();
        kept.referrer = Some(Identifier { kind: referrer.kind, value });
        kept.encode_into(bytes);
    }

    /// The id of whoever referred the customer, of a touchpoint that is kept; by an earlier version in clear.
    pub fn referrer_id(&self, key: &PersonKey) -> Option<PersonId> {
        self.referrer.map(|referrer| PersonId::parse(referrer.value).unwrap_or_else(|| key.person(referrer)))
    }

    /// From the internal form, borrowing its text.
    pub fn decode(bytes: &'a [u8]) -> Result<Touchpoint<'a>, postcard::Error> {
        postcard::from_bytes(bytes)
    }

    /// When an encoded touchpoint happened, without decoding the rest.
    pub fn occurred_at_of(encoded: &[u8]) -> Result<EventTime, postcard::Error> {
        postcard::take_from_bytes(encoded).map(|(occurred_at, _)| occurred_at)
    }

    /// What tells two versions of the same (spoke, id) apart: the smaller wins. XXH3-128 of the internal form.
    pub fn content_hash(encoded: &[u8]) -> u128 {
        xxhash_rust::xxh3::xxh3_128(encoded)
    }
}

vocabulary! {
    /// Why a source record, or one touchpoint in it, was rejected: a closed set.
    Reason {
        Undecodable => "undecodable",
        UnknownSchema => "unknown_schema",
        MissingField => "missing_field",
        WrongType => "wrong_type",
        NoUsableIdentifier => "no_usable_identifier",
        UnknownKind => "unknown_kind",
        BadTimestamp => "bad_timestamp",
        TooFarInFuture => "too_far_in_future",
        ScoreOutOfRange => "score_out_of_range",
        TooLarge => "too_large",
        SpokeNotAllowed => "spoke_not_allowed",
        ConditionError => "condition_error",
    }
}

vocabulary! {
    /// What became of what a source record holds. Each arrival is accepted, skipped or rejected; the others say more of some that
    /// were accepted: a copy of what was there, another content under an id that was there, late (it happened on a day that the
    /// watermark of its source partition had passed as it came), or at the end of what is remembered of a person.
    Outcome {
        Accepted => "accepted",
        Skipped => "skipped",
        Duplicate => "duplicate",
        Conflicting => "conflicting",
        Rejected => "rejected",
        Late => "late",
        Capped => "capped",
    }
}
