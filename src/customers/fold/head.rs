//! The head: all that the fold remembers of a person. Bounded, whatever the length of the timeline, but for the dimension
//! values seen in the current month and those active in the one before, ten bytes each, and for those of the messages of the
//! newest 30 days: nine each, and four for each day.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    attention::Attention,
    buying::Buying,
    contacts::{Contacts, Pressing},
    content::Readers,
    journeys::{Journeys, KeptJourney},
    month::Month,
    past::Past,
    place::{KeptDimensions, KeptPlace},
    seen::Seen,
    subjects::Year,
};
use crate::model::{
    AlertMark, Channel, Currency, Day, EventTime, IdentifierType, Kind, Money, Phase, ScoreScale, Touchpoint,
};

/// The newest orders (and, apart from them, contracts) that a head remembers, by first mention.
pub const ORDERS_MAX: usize = 256;
/// The first refunds of an order that a head remembers: so many are taken back when it is cancelled.
pub const REFUNDS_MAX: usize = 16;
/// The newest cases that a head remembers, by opening.
pub const CASES_MAX: usize = 128;
/// The first values of each identifier type that a head remembers.
pub const IDENTIFIERS_PER_TYPE_MAX: usize = 64;
/// The first scales and items that a head remembers answers of.
pub const SCORES_MAX: usize = 64;
/// The newest steps of a journey that a head remembers.
pub const JOURNEY_STEPS_MAX: usize = 32;
/// The newest items that a head remembers an answer of that waits for its counterpart.
pub const EXPECTATIONS_MAX: usize = 32;
/// The newest visits that a head remembers.
pub const VISITS_MAX: usize = 64;
/// Days over which messages to a person are counted.
pub const CONTACT_DAYS: i32 = 30;

/// The most values and days that a head counts messages of besides the company.
pub const PRESSING_MAX: usize = 4_096;
/// The most bytes that a head keeps of dimension values of which it is not known yet whether the person goes on, besides the
/// company. Visitors write some of them, and a head is one record.
pub const READERS_BYTES_MAX: usize = 64 << 10;

/// The format that [`Head::encode_into`] writes; changing what a head holds or means needs another.
pub const HEAD_VERSION: u8 = 11;

/// A sum of observations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// How many.
    pub n: i64,
    /// Their sum, in the unit of its field.
    pub sum: i64,
}

impl Sum {
    /// Adds one observation.
    pub fn add(&mut self, value: i64) {
        self.n += 1;
        self.sum = self.sum.wrapping_add(value);
    }
}

/// Observations in minor units, by currency: no entry without observations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneySums(pub Vec<(Currency, Sum)>);

impl MoneySums {
    /// Adds an amount.
    pub fn add(&mut self, amount: Money) {
        match self.0.binary_search_by_key(&amount.currency, |&(currency, _)| currency) {
            Ok(index) => self.0[index].1.add(amount.minor),
            Err(index) => self.0.insert(index, (amount.currency, Sum { n: 1, sum: amount.minor })),
        }
    }

    /// Takes an amount back that was added before.
    pub fn remove(&mut self, amount: Money) {
        if let Ok(index) = self.0.binary_search_by_key(&amount.currency, |&(currency, _)| currency) {
            let (_, sum) = &mut self.0[index];
            sum.n -= 1;
            sum.sum = sum.sum.wrapping_sub(amount.minor);
            if sum.n == 0 {
                self.0.remove(index);
            }
        }
    }
}

/// The moment of a purchase, kept so that it can be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placing {
    /// Its number in the timeline, from 1.
    pub ordinal: u64,
    /// When it was placed.
    pub at: EventTime,
    /// Its day.
    pub day: Day,
    /// Its dimension values.
    pub dimensions: KeptDimensions,
    /// Its amount.
    pub amount: Option<Money>,
    /// The journey that it ended: to the first purchase or to a further one.
    pub journeys: Vec<KeptJourney>,
}

/// Where an order stands as a purchase.
///
/// ```text
/// Unplaced ──order_placed──▶ Live ──order_cancelled──▶ Cancelled
///    │                        ▲
///    └──order_cancelled──▶ Withdrawn, until order_placed
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purchase {
    /// Named by another touchpoint, not placed so far.
    Unplaced,
    /// Placed and not cancelled.
    Live(Placing),
    /// Cancelled: never live again.
    Cancelled,
    /// Cancelled, and its placing is not known: nobody waits for it unless it is placed after that.
    Withdrawn,
}

impl Purchase {
    /// Whether nothing is promised or paid back of it as it stands.
    pub(super) fn is_off(&self) -> bool {
        matches!(self, Purchase::Cancelled | Purchase::Withdrawn)
    }
}

/// What was paid back for an order, kept so that its cancellation can take it back as it takes back the placing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Where it was counted.
    pub place: KeptPlace,
    /// What the company paid: negative.
    pub amount: Money,
}

/// A level that began: what is needed to end it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// The day from which it counts.
    pub start: Day,
    /// The dimension values that it counts for.
    pub dimensions: KeptDimensions,
}

/// A promise that is neither kept nor withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// What was promised.
    pub promised_at: EventTime,
    /// What tells it from others.
    pub mark: AlertMark,
    /// Overdue from its start, unless kept by the close of that day.
    pub overdue: Level,
}

/// An order thing: whatever was said of one `order` identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The value of the identifier.
    pub id: Box<str>,
    /// As a purchase.
    pub purchase: Purchase,
    /// Whether it was delivered.
    pub delivered: bool,
    /// Whether it was returned.
    pub returned: bool,
    /// Its open promise.
    pub promise: Option<Promise>,
    /// What was paid back for it so far and counts.
    pub refunds: Vec<Refund>,
}

/// A contract that a subscription was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// The value of the identifier.
    pub id: Box<str>,
    /// The level of running subscriptions that it counts in, until it is cancelled.
    pub running: Option<Level>,
}

/// A case that was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The value of the identifier.
    pub id: Box<str>,
    /// When it was first opened.
    pub opened_at: EventTime,
    /// The touchpoint that opened it.
    pub mark: AlertMark,
    /// The level of unanswered cases that it counts in, until it is answered or resolved.
    pub unanswered: Option<Level>,
    /// Whether an agent replied in public.
    pub replied: bool,
    /// What its opening was about, until it is resolved.
    pub subject: Option<Box<str>>,
    /// The newest resolution.
    pub resolution: Option<Resolution>,
    /// Its first resolution, while a further contact would show that it was none.
    pub watch: Option<Watch>,
    /// Whether it is open now.
    pub open: bool,
}

/// A resolution of a case, kept so that a further one can take it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// From the opening, in milliseconds.
    pub took_ms: i64,
    /// Where it was counted.
    pub place: KeptPlace,
}

/// The first resolution of a case, as long as a further contact of the customer counts against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The last moment at which one does.
    pub until: EventTime,
    /// What the case was about.
    pub subject: Option<Box<str>>,
    /// Where the resolution was counted.
    pub place: KeptPlace,
}

/// An answer that waits for its counterpart about the same item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The item.
    pub item: Option<Box<str>>,
    /// Whether it is a perception; else an expectation.
    pub is_perception: bool,
    /// The answer.
    pub value: u8,
}

/// From entering (the first touchpoint, or the first after a purchase) to the purchase that it led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// When it began.
    pub entered_at: EventTime,
    /// Where it is counted.
    pub entry: KeptPlace,
    /// What it led to: absent only of the newest.
    pub purchase: Option<Reached>,
}

/// The purchase at the end of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Its number in the timeline.
    pub ordinal: u64,
    /// When it was made.
    pub at: EventTime,
    /// Whether it has a name by which it can be cancelled.
    pub can_be_cancelled: bool,
}

/// An early purchase that can no longer be cancelled: if every earlier one is, the customer is new there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its number in the timeline.
    pub ordinal: u64,
    /// When it was made.
    pub at: EventTime,
    /// Its day.
    pub day: Day,
    /// Its dimension values.
    pub dimensions: KeptDimensions,
    /// The journey that it ended: to the first purchase or to a further one.
    pub journeys: Vec<KeptJourney>,
}

/// Answers on one scale (and item), or sentiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// The scale.
    pub scale: ScoreScale,
    /// The item.
    pub item: Option<Box<str>>,
    /// Number and sum.
    pub sum: Sum,
    /// The newest.
    pub last: i64,
}

/// One step of the journey; the spoke by its index in [`Head::spokes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The department.
    pub spoke: u32,
    /// What happened.
    pub kind: Kind,
    /// By which method of contact.
    pub channel: Option<Channel>,
}

/// All that the fold remembers of a person: a function of the timeline. The order of fields is the stored format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many touchpoints were folded.
    pub touchpoints: u64,
    /// When the first happened.
    pub first_seen: EventTime,
    /// The position of the newest: time,
    pub last_seen: EventTime,
    /// rank of its kind,
    pub(super) newest_rank: u8,
    /// id,
    pub(super) newest_id: String,
    /// and spoke.
    pub(super) newest_spoke: String,
    /// Touchpoints by spoke, in order of mention.
    pub spokes: Vec<(Box<str>, u64)>,
    /// Touchpoints by kind, in order of mention.
    pub kinds: Vec<(Kind, u64)>,
    /// Touchpoints by channel, in order of mention.
    pub channels: Vec<(Channel, u64)>,
    /// Identifiers in order of mention.
    pub identifiers: Vec<(IdentifierType, Box<str>)>,
    /// The newest value named; under rules of the organisation's own, what they say of the newest touchpoint, and where they say
    /// nothing the newest value named.
    pub segment: Option<Box<str>>,
    /// Under such rules, the newest value named.
    pub(super) named_segment: Option<Box<str>>,
    /// The newest value named.
    pub region: Option<Box<str>>,
    /// The newest value named.
    pub account: Option<Box<str>>,
    /// Dimension values seen in the current windows.
    pub(super) seen: Seen,
    /// Purchases that are not cancelled.
    pub purchases: i64,
    /// Of those, orders that are remembered and not delivered.
    pub(super) undelivered: u32,
    /// Of those, orders without an identifier.
    pub(super) undelivered_without_id: u32,
    /// The number in the timeline of the earliest purchase that is not cancelled.
    pub(super) first_purchase: Option<u64>,
    /// The two earliest purchases that cannot be cancelled, in order.
    pub(super) anchors: Vec<Anchor>,
    /// Purchases that are not cancelled, and renewals, in minor units.
    pub revenue: MoneySums,
    /// Purchases that are not cancelled, in minor units.
    pub purchase_amounts: MoneySums,
    /// Order things, by first mention.
    pub orders: VecDeque<Order>,
    /// Contracts that a subscription was started with, by first mention.
    pub(super) contracts: VecDeque<Contract>,
    /// Cases, by opening.
    pub cases: VecDeque<Case>,
    /// From opening to the first public reply by an agent, in milliseconds.
    pub first_response_ms: Sum,
    /// From opening to the first resolution, in milliseconds.
    pub resolution_ms: Sum,
    /// Deliveries with a promise that was kept.
    pub deliveries_on_time: i64,
    /// Deliveries with a promise that was not.
    pub deliveries_late: i64,
    /// Answers by scale and item, in order of mention.
    pub scores: Vec<Answers>,
    /// Sentiment: number and sum, newest.
    pub sentiment: Option<(Sum, i64)>,
    /// Messages sent to the person by day, ascending, over the days that a record can still count.
    pub contacts: Vec<Contacts>,
    /// The same by dimension value.
    pub(super) pressing: Pressing,
    /// Steps since the last purchase, oldest first.
    pub journey: VecDeque<Step>,
    /// The month of the newest touchpoint.
    pub(super) month: Month,
    /// Months before it, ascending: the one of which it is not known yet what followed, and those which something that can be cancelled
    /// reaches.
    pub(super) past: Vec<Past>,
    /// Revenue by month, of the year up to it.
    pub(super) year: Year,
    /// Journeys towards each goal that go on.
    pub(super) journeys: Journeys,
    /// Answers about items that wait for their counterpart, oldest first.
    pub(super) expectations: VecDeque<Waiting>,
    /// The first detractor's answer or complaint since the last follow-up.
    pub(super) unfollowed_since: Option<EventTime>,
    /// Up to when any case's resolution is watched.
    pub(super) watched_until: EventTime,
    /// The number in the timeline of the first touchpoint that names who referred the customer.
    pub(super) referred_since: Option<u64>,
    /// And of the first by word of mouth.
    pub(super) heard_since: Option<u64>,
    /// Visits that something later can still change, oldest first.
    pub(super) visits: VecDeque<Visit>,
    /// On which day the visit before those began.
    pub(super) visit_before: Option<Day>,
    /// What alerts look at besides.
    pub attention: Attention,
    /// On which days the person bought.
    pub buying: Buying,
    /// For which values the person is counted as a consumer of content, or as active without it, and did not go on so far.
    pub(super) readers: Readers,
}

/// A stored head that is not one.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// Written by another version of the fold.
    #[error("the stored head has version {0}, this program reads version {HEAD_VERSION}; run `insight-hub rebuild`")]
    Version(u8),
    /// Damaged.
    #[error("the stored head is damaged: {0}")]
    Damaged(#[from] postcard::Error),
}

impl Head {
    /// Whether a touchpoint comes after everything folded so far.
    pub fn is_before(&self, touchpoint: &Touchpoint<'_>) -> bool {
        self.touchpoints == 0
            || (self.last_seen, self.newest_rank, self.newest_id.as_str(), self.newest_spoke.as_str())
                < touchpoint.timeline_key()
    }

    /// Where in the relationship the person is after everything folded so far.
    pub fn phase(&self) -> Phase {
        if self.purchases == 0 {
            Phase::Before
        } else if self.undelivered + self.undelivered_without_id > 0 {
            Phase::During
        } else {
            Phase::After
        }
    }

    /// Appends the stored form: the version, then postcard.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.push(HEAD_VERSION);
        postcard::to_io(self, bytes).expect("a vector takes every byte");
    }

    /// From the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Head, HeadError> {
        match bytes.split_first() {
            Some((&HEAD_VERSION, rest)) => Ok(postcard::from_bytes(rest)?),
            Some((&version, _)) => Err(HeadError::Version(version)),
            None => Err(HeadError::Damaged(postcard::Error::DeserializeUnexpectedEnd)),
        }
    }
}
