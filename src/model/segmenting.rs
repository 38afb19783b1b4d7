//! Segments by rule: what is known of a customer when a touchpoint comes, and who says which segment that is.

use std::borrow::Cow;

use super::{Channel, Currency, Kind, ScoreScale, Touchpoint};

/// A part of what was known of a customer just before a touchpoint: of the insight record as it was then, with the days closed that
/// were over. Names of persons are no part of it: a segment is no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordPlace {
    /// Touchpoints: all, …
    Touchpoints,
    /// … of a department, …
    OfSpoke(Box<str>),
    /// … of a kind, …
    OfKind(Kind),
    /// … and of a method of contact.
    OfChannel(Channel),
    /// When the first happened, …
    FirstSeen,
    /// … and full days since.
    DaysKnown,
    /// When the newest happened, …
    LastSeen,
    /// … and full days since.
    DaysSilent,
    /// Where in the relationship.
    Phase,
    /// Purchases that are not cancelled.
    Orders,
    /// Those after the first.
    Frequency,
    /// Their amounts and renewals, in minor units of a currency; `None`: of the configured one.
    Revenue(Option<Currency>),
    /// The mean amount of a purchase, likewise.
    MonetaryValue(Option<Currency>),
    /// How they bought.
    Buying(BuyingPart),
    /// How often they buy.
    Rhythm(RhythmPart),
    /// Cases opened and not resolved.
    OpenCases,
    /// Answers on a scale, about an item if one is named.
    Score(ScoreScale, Option<Box<str>>, AnswersPart),
    /// How the customer felt.
    Sentiment(AnswersPart),
    /// From opening a case to the first public reply by an agent.
    FirstResponse(DurationPart),
    /// From opening a case to its first resolution.
    Resolution(DurationPart),
    /// Deliveries with a promise that was kept.
    DeliveriesOnTime,
    /// Deliveries with a promise that was not.
    DeliveriesLate,
    /// Promises that are neither kept nor withdrawn.
    OpenPromises,
    /// Of those, due by the close of the day before.
    OverduePromises,
    /// Messages received in the 30 days up to the close of the day before.
    Contacts30Days,
    /// Steps of the journey since the last purchase.
    JourneySteps,
    /// The newest of those.
    LastStep(StepPart),
    /// The segment, by rule or as a department said.
    Segment,
    /// The newest region named.
    Region,
    /// The newest account named.
    Account,
}

/// A part of how a customer bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuyingPart {
    /// The day of the first purchase.
    FirstOn,
    /// The day of the last.
    LastOn,
    /// On how many days something was bought.
    Days,
    /// Days from the last of them to the touchpoint's.
    DaysSince,
    /// Of the days after the first, those with an amount in the configured currency.
    RepeatPaidDays,
    /// The sum of their amounts, in minor units.
    RepeatPaid,
}

/// A part of how often a customer buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RhythmPart {
    /// How many days of purchase it is known from.
    Days,
    /// Their mean distance in days.
    MeanGapDays,
    /// More days than these without a purchase are a lapse.
    LimitDays,
    /// The day at whose close they lapse.
    LapsesOn,
    /// Whether that was closed by the day before.
    Lapsed,
}

/// A part of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswersPart {
    /// How many.
    N,
    /// The newest.
    Last,
    /// Their mean.
    Mean,
}

/// A part of times that something took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationPart {
    /// How many.
    N,
    /// Their mean in seconds.
    MeanSeconds,
}

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepPart {
    /// The department.
    Spoke,
    /// What happened.
    Kind,
    /// By which method of contact.
    Channel,
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Known<'a> {
    /// Nothing is known.
    Nothing,
    /// Whether something is so.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another one.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
}

/// What was known of a customer just before a touchpoint: nothing of the touchpoint itself, so that a segment is never made by
/// what is measured in it.
pub trait Record {
    /// What stands at a place.
    fn known(&self, place: &RecordPlace) -> Known<'_>;
}

/// Rules that put customers into segments. A pure function of touchpoint and what was known.
pub trait Segmenting: std::fmt::Debug + Send + Sync {
    /// The segment of the first rule that holds; `None`: none does, and the touchpoint's own counts.
    fn segment(&self, touchpoint: &Touchpoint<'_>, record: &dyn Record) -> Option<&str>;

    /// The rules as they were written: other rules mean another segment.
    fn source(&self) -> &str;
}
