//! A compiled mapping: which slot, or constant, makes which field of a touchpoint.

use jiff::tz::TimeZone;

use super::{
    condition::Condition,
    decode::Envelope,
    local::{LocalForm, OfDay},
    spoke_file::TimeFormat,
    validate::is_nothing,
    words::Words,
};
use crate::{
    model::{Channel, Currency, IdentifierType, Initiator, Kind, ScoreScale, Visibility},
    wire::{Capture, Shape, Slot, projection::TimeUse},
};

/// Which slot makes which field of a touchpoint.
#[derive(Debug)]
pub(super) struct Mapping {
    pub shape: Shape,
    /// The slots of times of which an Avro schema says what they are.
    pub times: Vec<(Slot, TimeUse)>,
    /// The envelope around the payload.
    pub envelope: Option<Envelope>,
    /// What the mapping takes from outside of the payload.
    pub outside: Vec<(Slot, Outside)>,
    pub condition: Option<Condition>,
    pub each: Option<EachRule>,
    pub id: IdRule,
    pub kind: WordRule<Kind>,
    pub unmapped_kind: UnmappedKind,
    pub occurred_at: TimeRule,
    /// A canonical payload may name its spoke; another one than configured is rejected.
    pub spoke: Option<Slot>,
    pub identifiers: IdentifiersRule,
    pub label: Option<TextRule>,
    pub channel: Option<WordRule<Channel>>,
    pub subject: Option<TextRule>,
    pub product: Option<TextRule>,
    pub region: Option<TextRule>,
    pub segment: Option<TextRule>,
    pub campaign: Option<TextRule>,
    pub content: Option<TextRule>,
    pub account: Option<TextRule>,
    pub amount: Option<MoneyRule>,
    pub cost: Option<MoneyRule>,
    pub score: Option<ScoreRule>,
    pub promised_at: Option<TimeRule>,
    pub initiator: Option<WordRule<Initiator>>,
    pub visibility: Option<WordRule<Visibility>>,
    pub sentiment: Option<NumberRule>,
    pub referrer: Option<ReferrerRule>,
    pub effort: Option<NumberRule>,
    pub properties: PropertiesRule,
}

/// What a record has besides its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// Its key.
    Key,
    /// The last header with this name.
    Header(Box<str>),
}

impl Outside {
    /// `@key` or `@header:NAME`.
    pub(super) fn parse(path: &str) -> Option<Outside> {
        match path.strip_prefix("@header:") {
            Some(name) if !name.is_empty() => Some(Outside::Header(name.into())),
            _ => (path == "@key").then_some(Outside::Key),
        }
    }
}

/// Places of the payload, of which the first that holds something counts.
#[derive(Debug)]
pub(super) struct Place {
    pub first: Slot,
    pub others: Box<[Slot]>,
}

impl Place {
    pub(super) fn one(slot: Slot) -> Place {
        Place { first: slot, others: Box::default() }
    }

    /// All of them.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }

    /// The first place that holds something; the first of all if none does.
    #[inline(always)]
    pub(super) fn slot(&self, capture: &Capture<'_>) -> Slot {
        if self.others.is_empty() { self.first } else { self.first_that_holds(capture) }
    }

    #[inline(never)]
    fn first_that_holds(&self, capture: &Capture<'_>) -> Slot {
        self.slots().find(|&slot| !is_nothing(capture.scalar(slot))).unwrap_or(self.first)
    }

    /// Whether nothing stands in the only place that there is: what may be left out mostly is, and is seen at one look.
    #[inline(always)]
    pub(super) fn is_left_out(&self, capture: &Capture<'_>) -> bool {
        self.others.is_empty() && capture.scalar(self.first).is_absent()
    }
}

/// Each element of a list is a touchpoint.
#[derive(Debug)]
pub(super) struct EachRule {
    /// Where the list is.
    pub list: Slot,
    /// What a place in the element is called in messages: the list with `[]`.
    pub path: String,
    /// Whether a record may be without the list.
    pub is_optional: bool,
    /// What is added to the record's id to make the element's; `None`: the element has an id of its own.
    pub suffix: Option<Suffix>,
}

/// What tells an element from the others of its record.
#[derive(Debug)]
pub(super) enum Suffix {
    /// Its number in the list, from 1.
    Number,
    /// A place in it.
    Place(Place),
}

#[derive(Debug)]
pub(super) enum IdRule {
    Slot(Place),
    /// A hash of the mapped fields.
    Content,
    /// Topic, partition and offset.
    Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnmappedKind {
    Other,
    Reject,
}

/// A word of one of our vocabularies.
#[derive(Debug)]
pub(super) enum WordRule<T> {
    Constant(T),
    /// A word of ours that the department's do not translate is its own translation.
    Slot {
        place: Place,
        map: Words<T>,
        default: Option<T>,
    },
}

#[derive(Debug)]
pub(super) enum TextRule {
    Constant(Box<str>),
    /// Words that are not translated stay as they are.
    Slot {
        place: Place,
        map: Words<Box<str>>,
        default: Option<Box<str>>,
    },
}

#[derive(Debug)]
pub(super) struct TimeRule {
    pub place: Place,
    pub form: TimeForm,
    /// What a day without a time of day means.
    pub of_day: OfDay,
}

#[derive(Debug)]
pub(super) enum TimeForm {
    Instant(TimeFormat),
    Local(LocalForm, ZoneRule),
}

/// The time zone of local times.
#[derive(Debug)]
pub(super) enum ZoneRule {
    Fixed(TimeZone),
    /// Its name is in the payload.
    Place(Place, Option<TimeZone>),
}

#[derive(Debug)]
pub(super) enum NumberRule {
    Constant(i64),
    Slot(Place, Option<i64>),
}

#[derive(Debug)]
pub(super) enum IdentifiersRule {
    /// Each place holds a value or a list of values.
    Slots(Vec<(IdentifierType, Slot)>),
    /// An object of type → value or values.
    Entries(Slot),
}

#[derive(Debug)]
pub(super) enum PropertiesRule {
    Named(Vec<(Box<str>, TextRule)>),
    /// An object of name → value.
    Entries(Slot),
}

#[derive(Debug)]
pub(super) struct MoneyRule {
    /// If there is an object here, it must have the number.
    pub container: Option<Slot>,
    pub value: Place,
    pub major: bool,
    /// How one in text is written, if not plainly.
    pub decimal: Option<char>,
    pub currency: WordRule<Currency>,
}

#[derive(Debug)]
pub(super) struct ScoreRule {
    /// If there is an object here, it must have the answer.
    pub container: Option<Slot>,
    pub scale: WordRule<ScoreScale>,
    pub value: Place,
    /// The ends of the department's own scale, if it has one.
    pub own_range: Option<(i64, i64)>,
    /// How one in text is written, if not plainly.
    pub decimal: Option<char>,
    pub item: Option<TextRule>,
}

#[derive(Debug)]
pub(super) struct ReferrerRule {
    pub container: Option<Slot>,
    pub kind: WordRule<IdentifierType>,
    pub value: Place,
}
