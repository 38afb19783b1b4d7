//! One captured payload → the parts of one touchpoint, each taken or the whole rejected with the field that is to blame.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use smallvec::SmallVec;

use super::{
    Rejection, SourceRecord, local,
    mapping::{EFFORT, SENTIMENT},
    number,
    rules::{
        IdRule, IdentifiersRule, Mapping, MoneyRule, NumberRule, Place, PropertiesRule, ReferrerRule, ScoreRule,
        TextRule, TimeForm, TimeRule, UnmappedKind, WordRule, ZoneRule,
    },
    validate::{
        self, IDENTIFIERS_MAX, MINOR_UNITS_MAX, PROPERTIES_MAX, PROPERTY_CHARACTERS_MAX, Refused, TEXT_CHARACTERS_MAX,
        refused,
    },
};
use crate::{
    model::{
        Channel, Currency, EventTime, Identifier, IdentifierType, Initiator, Kind, Money, Reason, Score, ScoreScale,
        Touchpoint, Visibility,
    },
    wire::{Capture, Scalar, Slot},
};

type Text<'c> = Cow<'c, str>;

/// Everything of a touchpoint, in text that is borrowed from the payload or was made for it.
pub(super) struct Draft<'c> {
    id: Text<'c>,
    spoke: &'c str,
    kind: Kind,
    label: Option<Text<'c>>,
    occurred_at: EventTime,
    identifiers: SmallVec<[(IdentifierType, Text<'c>); 4]>,
    channel: Option<Channel>,
    subject: Option<Text<'c>>,
    product: Option<Text<'c>>,
    region: Option<Text<'c>>,
    segment: Option<Text<'c>>,
    campaign: Option<Text<'c>>,
    content: Option<Text<'c>>,
    account: Option<Text<'c>>,
    amount: Option<Money>,
    cost: Option<Money>,
    score: Option<(ScoreScale, u8, Option<Text<'c>>)>,
    promised_at: Option<EventTime>,
    initiator: Initiator,
    visibility: Visibility,
    sentiment: Option<i8>,
    referrer: Option<(IdentifierType, Text<'c>)>,
    effort: Option<i32>,
    properties: SmallVec<[(Text<'c>, Text<'c>); 2]>,
}

impl<'c> Draft<'c> {
    /// Takes the parts that a mapping names.
    pub(super) fn take(
        mapping: &'c Mapping,
        spoke: &'c str,
        capture: &'c Capture<'_>,
        record: &SourceRecord<'_>,
        too_far_in_future_ms: i64,
    ) -> Result<Draft<'c>, Rejection> {
        let taker = Taker { mapping, capture };
        if let Some(slot) = mapping.spoke {
            taker.own_spoke(slot, spoke)?;
        }
        let id = match &mapping.id {
            IdRule::Slot(place) => {
                let slot = place.slot(capture);
                taker.at(slot, "id", validate::id(capture.scalar(slot)))?
            }
            // The hash is of everything else, so it comes last.
            IdRule::Content => Cow::Borrowed(""),
            IdRule::Position => Cow::Owned(format!("{}-{}-{}", record.topic, record.partition, record.offset)),
        };
        let (kind, own_word) = taker.kind()?;
        let occurred_at = match taker.time("occurred_at", &mapping.occurred_at)? {
            Some(at) => at,
            None => {
                let slot = mapping.occurred_at.place.slot(capture);
                let message = "there is no time; send when it happened";
                return taker.at(slot, "occurred_at", refused(Reason::MissingField, message));
            }
        };
        // A record without a timestamp (before 1970, as brokers say it) gives nothing to judge by.
        if record.timestamp_ms >= 0 && occurred_at.0 > record.timestamp_ms.saturating_add(too_far_in_future_ms) {
            let message = "the time is too far after the record's own timestamp; check the sender's clock and the unit";
            let slot = mapping.occurred_at.place.slot(capture);
            return taker.at(slot, "occurred_at", refused(Reason::TooFarInFuture, message));
        }
        let text = |field: &'static str, rule: &'c Option<TextRule>| match rule {
            Some(rule) => taker.text(field, rule, TEXT_CHARACTERS_MAX),
            None => Ok(None),
        };
        let label = match text("label", &mapping.label)? {
            Some(label) => Some(label),
            None => own_word,
        };
        Ok(Draft {
            id,
            spoke,
            kind,
            label,
            occurred_at,
            identifiers: taker.identifiers()?,
            channel: match &mapping.channel {
                // The method of contact is open: departments invent new ones, and all of them are contacts.
                Some(rule) => taker.word("channel", rule, Channel::parse)?.map(|word| word.unwrap_or(Channel::Other)),
                None => None,
            },
            subject: text("subject", &mapping.subject)?,
            product: text("product", &mapping.product)?,
            region: text("region", &mapping.region)?,
            segment: text("segment", &mapping.segment)?,
            campaign: text("campaign", &mapping.campaign)?,
            content: text("content", &mapping.content)?,
            account: text("account", &mapping.account)?,
            amount: taker.money("amount", mapping.amount.as_ref())?,
            cost: taker.money("cost", mapping.cost.as_ref())?,
            score: taker.score(mapping.score.as_ref())?,
            promised_at: match &mapping.promised_at {
                Some(rule) => taker.time("promised_at", rule)?,
                None => None,
            },
            initiator: taker
                .known_word(
                    "initiator",
                    mapping.initiator.as_ref(),
                    Initiator::parse,
                    "customer, agent, bot or system",
                )?
                .unwrap_or(kind.default_initiator()),
            visibility: taker
                .known_word("visibility", mapping.visibility.as_ref(), Visibility::parse, "public or internal")?
                .unwrap_or(Visibility::Public),
            sentiment: taker
                .number("sentiment", mapping.sentiment.as_ref(), SENTIMENT, Reason::ScoreOutOfRange)?
                .and_then(|value| i8::try_from(value).ok()),
            referrer: taker.referrer(mapping.referrer.as_ref())?,
            effort: taker
                .number("effort", mapping.effort.as_ref(), EFFORT, Reason::WrongType)?
                .and_then(|value| i32::try_from(value).ok()),
            properties: taker.properties()?,
        })
    }

    /// Its id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What happened.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Gives it another id.
    pub(super) fn set_id(&mut self, id: String) {
        self.id = Cow::Owned(id);
    }

    /// The touchpoint, borrowed.
    pub(super) fn touchpoint(&self) -> Touchpoint<'_> {
        Touchpoint {
            occurred_at: self.occurred_at,
            id: &self.id,
            spoke: self.spoke,
            kind: self.kind,
            label: self.label.as_deref(),
            identifiers: self.identifiers.iter().map(|(kind, value)| Identifier { kind: *kind, value }).collect(),
            channel: self.channel,
            subject: self.subject.as_deref(),
            product: self.product.as_deref(),
            region: self.region.as_deref(),
            segment: self.segment.as_deref(),
            campaign: self.campaign.as_deref(),
            content: self.content.as_deref(),
            account: self.account.as_deref(),
            amount: self.amount,
            cost: self.cost,
            score: self.score.as_ref().map(|(scale, value, item)| Score {
                scale: *scale,
                value: *value,
                item: item.as_deref(),
            }),
            promised_at: self.promised_at,
            initiator: self.initiator,
            visibility: self.visibility,
            sentiment: self.sentiment,
            referrer: self.referrer.as_ref().map(|(kind, value)| Identifier { kind: *kind, value }),
            effort: self.effort,
            properties: self.properties.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect(),
        }
    }
}

/// Takes one part after the other.
struct Taker<'c, 'a> {
    mapping: &'c Mapping,
    capture: &'c Capture<'a>,
}

impl<'c, 'a> Taker<'c, 'a> {
    fn scalar(&self, slot: Slot) -> &'c Scalar<'a> {
        self.capture.scalar(slot)
    }

    /// Names the field of the payload to blame, and ours in the sentence.
    #[inline]
    fn at<T>(&self, slot: Slot, field: &str, result: Result<T, Refused>) -> Result<T, Rejection> {
        match result {
            Ok(part) => Ok(part),
            Err(refused) => Err(self.rejection(slot, field, refused)),
        }
    }

    #[cold]
    fn rejection(&self, slot: Slot, field: &str, refused: Refused) -> Rejection {
        Rejection {
            reason: refused.reason,
            field: self.mapping.shape.path(slot).to_owned(),
            message: format!("{field}: {}.", refused.message),
            touchpoint: 0,
        }
    }

    fn own_spoke(&self, slot: Slot, spoke: &str) -> Result<(), Rejection> {
        match self.at(slot, "spoke", validate::text(self.scalar(slot), TEXT_CHARACTERS_MAX))? {
            Some(named) if named != spoke => {
                let message = "the payload names another spoke than the one that owns this topic; leave the field out";
                self.at(slot, "spoke", refused(Reason::SpokeNotAllowed, message))
            }
            _ => Ok(()),
        }
    }

    /// The kind, and the department's own word if it becomes the label.
    fn kind(&self) -> Result<(Kind, Option<Text<'c>>), Rejection> {
        let (slot, map, default) = match &self.mapping.kind {
            WordRule::Constant(kind) => return Ok((*kind, None)),
            WordRule::Slot { place, map, default } => (place.slot(self.capture), map, default),
        };
        let word = match self.at(slot, "kind", validate::text(self.scalar(slot), TEXT_CHARACTERS_MAX))? {
            Some(word) => word,
            None => {
                let message = "there is no kind; send what happened";
                let missing = || self.at(slot, "kind", refused(Reason::MissingField, message));
                return default.map_or_else(missing, |kind| Ok((kind, None)));
            }
        };
        match (translated(&word, map, Kind::parse), self.mapping.unmapped_kind) {
            (Some(Kind::Other), UnmappedKind::Other) => Ok((Kind::Other, Some(word))),
            (Some(kind), _) => Ok((kind, None)),
            (None, UnmappedKind::Other) => Ok((Kind::Other, Some(word))),
            (None, UnmappedKind::Reject) => {
                let message =
                    "the kind is not known; use a word of the vocabulary (or \"other\" with a label), or map it";
                self.at(slot, "kind", refused(Reason::UnknownKind, message))
            }
        }
    }

    fn time(&self, field: &str, rule: &TimeRule) -> Result<Option<EventTime>, Rejection> {
        let slot = rule.place.slot(self.capture);
        let scalar = self.scalar(slot);
        if scalar.is_absent() {
            return Ok(None);
        }
        let at = match &rule.form {
            TimeForm::Instant(format) => number::instant(scalar, *format),
            TimeForm::Local(form, ZoneRule::Fixed(zone)) => form.instant(scalar, zone),
            TimeForm::Local(form, ZoneRule::Place(place, default)) => {
                let zone = self.zone(field, place, default.as_ref())?;
                form.instant(scalar, &zone)
            }
        };
        match at {
            Some(at) => Ok(Some(at)),
            None => {
                let message = "it is no time between the years 1900 and 2200 in the form that the spoke is configured for \
                     (RFC 3339 text such as 2026-01-31T09:00:00Z, a number since 1970, or a local time); send it in that form";
                self.at(slot, field, refused(Reason::BadTimestamp, message))
            }
        }
    }

    /// The time zone that the payload names, or the one that holds where it names none.
    fn zone(&self, field: &str, place: &Place, default: Option<&TimeZone>) -> Result<TimeZone, Rejection> {
        let slot = place.slot(self.capture);
        let found = match (self.at(slot, field, validate::text(self.scalar(slot), TEXT_CHARACTERS_MAX))?, default) {
            (Some(name), _) => local::zone(&name),
            (None, default) => default.cloned(),
        };
        let message = "the time zone is missing or not in the IANA database; send a name such as Europe/Amsterdam";
        self.at(slot, field, found.map_or_else(|| refused(Reason::BadTimestamp, message), Ok))
    }

    fn text(&self, field: &str, rule: &'c TextRule, characters_max: usize) -> Result<Option<Text<'c>>, Rejection> {
        match rule {
            TextRule::Constant(text) => Ok(Some(Cow::Borrowed(text))),
            TextRule::Slot { place, map, default } => {
                let slot = place.slot(self.capture);
                let text = self.at(slot, field, validate::text(self.scalar(slot), characters_max))?;
                let Some(text) = text else {
                    return Ok(default.as_deref().map(Cow::Borrowed));
                };
                Ok(Some(match map.binary_search_by(|(word, _)| word.as_ref().cmp(&text)) {
                    Ok(index) => Cow::Borrowed(map[index].1.as_ref()),
                    Err(_) => text,
                }))
            }
        }
    }

    /// The word if there is one: `None` inside if it is not known.
    fn word<T: Copy>(
        &self,
        field: &str,
        rule: &WordRule<T>,
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<Option<T>>, Rejection> {
        match rule {
            WordRule::Constant(word) => Ok(Some(Some(*word))),
            WordRule::Slot { place, map, default } => {
                let slot = place.slot(self.capture);
                let word = self.at(slot, field, validate::text(self.scalar(slot), TEXT_CHARACTERS_MAX))?;
                Ok(match word {
                    Some(word) => Some(translated(&word, map, parse)),
                    None => default.map(Some),
                })
            }
        }
    }

    /// A word that must be known if there is one.
    fn known_word<T: Copy>(
        &self,
        field: &str,
        rule: Option<&WordRule<T>>,
        parse: fn(&str) -> Option<T>,
        known: &str,
    ) -> Result<Option<T>, Rejection> {
        let Some(rule) = rule else {
            return Ok(None);
        };
        match (self.word(field, rule, parse)?, rule) {
            (Some(None), WordRule::Slot { place, .. }) => self.at(
                place.slot(self.capture),
                field,
                refused(Reason::WrongType, format!("the word is not known; use {known}, or map it")),
            ),
            (word, _) => Ok(word.flatten()),
        }
    }

    fn number(
        &self,
        field: &str,
        rule: Option<&NumberRule>,
        range: (i64, i64),
        outside: Reason,
    ) -> Result<Option<i64>, Rejection> {
        match rule {
            None => Ok(None),
            Some(NumberRule::Constant(number)) => Ok(Some(*number)),
            Some(NumberRule::Slot(place, default)) => {
                let slot = place.slot(self.capture);
                let number = self.at(slot, field, validate::within(self.scalar(slot), range, outside))?;
                Ok(number.or(*default))
            }
        }
    }

    /// Whether a part's main value is absent; if it is absent from an object that is there for it, that is an error.
    fn is_absent(&self, field: &str, container: Option<Slot>, value: Slot) -> Result<bool, Rejection> {
        if !self.scalar(value).is_absent() {
            return Ok(false);
        }
        match container {
            Some(container) if !self.scalar(container).is_absent() => {
                let message = "it is missing; send it, or leave out the object that it belongs to";
                self.at(value, field, refused(Reason::MissingField, message))
            }
            _ => Ok(true),
        }
    }

    /// A word that must be there and known.
    fn needed_word<T: Copy>(
        &self,
        field: &str,
        rule: &WordRule<T>,
        parse: fn(&str) -> Option<T>,
        known: &str,
    ) -> Result<T, Rejection> {
        match (self.known_word(field, Some(rule), parse, known)?, rule) {
            (Some(word), _) => Ok(word),
            (None, WordRule::Constant(word)) => Ok(*word),
            (None, WordRule::Slot { place, .. }) => {
                let message = format!("it is missing; send {known}");
                self.at(place.slot(self.capture), field, refused(Reason::MissingField, message))
            }
        }
    }

    fn money(&self, field: &str, rule: Option<&MoneyRule>) -> Result<Option<Money>, Rejection> {
        let Some(rule) = rule else {
            return Ok(None);
        };
        let slot = rule.value.slot(self.capture);
        if self.is_absent(field, rule.container, slot)? {
            return Ok(None);
        }
        let known = "a code of ISO 4217 in capitals, such as EUR";
        let currency = self.needed_word(field, &rule.currency, Currency::parse, known)?;
        let exponent = if rule.major { number::currency_exponent(currency) } else { 0 };
        match number::scaled(self.scalar(slot), exponent) {
            Some(minor) if minor.unsigned_abs() <= MINOR_UNITS_MAX.unsigned_abs() => {
                Ok(Some(Money { minor, currency }))
            }
            _ => {
                let message = format!(
                    "it is no amount of at most 10^15 minor units with at most {exponent} decimals (nothing is rounded); send a \
                     plain decimal number"
                );
                self.at(slot, field, refused(Reason::WrongType, message))
            }
        }
    }

    fn score(&self, rule: Option<&'c ScoreRule>) -> Result<Option<(ScoreScale, u8, Option<Text<'c>>)>, Rejection> {
        let Some(rule) = rule else {
            return Ok(None);
        };
        let slot = rule.value.slot(self.capture);
        if self.is_absent("score.value", rule.container, slot)? {
            return Ok(None);
        }
        let known = "nps, csat, ces, expectation, perception or review";
        let scale = self.needed_word("score.scale", &rule.scale, ScoreScale::parse, known)?;
        let answer = match rule.own_range {
            None => validate::within(self.scalar(slot), scale.range(), Reason::ScoreOutOfRange),
            Some(own) => validate::rescaled(self.scalar(slot), own, scale.range()),
        };
        let item = match &rule.item {
            Some(item) => self.text("score.item", item, TEXT_CHARACTERS_MAX)?,
            None => None,
        };
        let answer = self.at(slot, "score.value", answer)?;
        Ok(answer.and_then(|answer| Some((scale, u8::try_from(answer).ok()?, item))))
    }

    fn referrer(&self, rule: Option<&ReferrerRule>) -> Result<Option<(IdentifierType, Text<'c>)>, Rejection> {
        let Some(rule) = rule else {
            return Ok(None);
        };
        let slot = rule.value.slot(self.capture);
        if self.is_absent("referrer.value", rule.container, slot)? {
            return Ok(None);
        }
        let kind = self.needed_word("referrer.type", &rule.kind, IdentifierType::parse, IDENTIFIER_TYPES)?;
        let value = validate::identifier(kind, self.scalar(slot));
        Ok(self.at(slot, "referrer.value", value)?.map(|value| (kind, value)))
    }

    fn identifiers(&self) -> Result<SmallVec<[(IdentifierType, Text<'c>); 4]>, Rejection> {
        let mut identifiers = SmallVec::new();
        let first_slot = match &self.mapping.identifiers {
            IdentifiersRule::Slots(rules) => {
                for &(kind, slot) in rules {
                    let scalar = self.scalar(slot);
                    // A list is read as null, with an entry for each element.
                    if *scalar == Scalar::Null {
                        for entry in self.capture.entries(slot) {
                            let value = validate::identifier(kind, &entry.value);
                            if let Some(value) = self.at(slot, kind.as_str(), value)? {
                                identifiers.push((kind, value));
                            }
                        }
                        continue;
                    }
                    let value = validate::identifier(kind, scalar);
                    if let Some(value) = self.at(slot, kind.as_str(), value)? {
                        identifiers.push((kind, value));
                    }
                }
                rules[0].1
            }
            IdentifiersRule::Entries(slot) => {
                for entry in self.capture.entries(*slot) {
                    let value = match IdentifierType::parse(&entry.key) {
                        Some(kind) => validate::identifier(kind, &entry.value).map(|value| (kind, value)),
                        None => refused(
                            Reason::WrongType,
                            format!("a type of identifier is not known; use {IDENTIFIER_TYPES}"),
                        ),
                    };
                    if let (kind, Some(value)) = self.at(*slot, "identifiers", value)? {
                        identifiers.push((kind, value));
                    }
                }
                *slot
            }
        };
        identifiers.sort_unstable();
        identifiers.dedup();
        if identifiers.is_empty() {
            let message = "no identifier is usable; send a customer number, an e-mail address or another name of the \
                 customer, or of an order, case or contract";
            return self.at(first_slot, "identifiers", refused(Reason::NoUsableIdentifier, message));
        }
        if identifiers.len() > IDENTIFIERS_MAX {
            let message = "there are more than 32 identifiers; send those of one customer";
            return self.at(first_slot, "identifiers", refused(Reason::TooLarge, message));
        }
        Ok(identifiers)
    }

    fn properties(&self) -> Result<SmallVec<[(Text<'c>, Text<'c>); 2]>, Rejection> {
        let mut properties: SmallVec<[(Text<'c>, Text<'c>); 2]> = SmallVec::new();
        match &self.mapping.properties {
            PropertiesRule::Named(rules) => {
                for (name, rule) in rules {
                    if let Some(value) = self.text("properties", rule, PROPERTY_CHARACTERS_MAX)? {
                        properties.push((Cow::Borrowed(name), value));
                    }
                }
            }
            PropertiesRule::Entries(slot) => {
                let slot = *slot;
                for entry in self.capture.entries(slot) {
                    let name = &entry.key;
                    let value = validate::text(&entry.value, PROPERTY_CHARACTERS_MAX);
                    let Some(value) = self.at(slot, "properties", value)? else {
                        continue;
                    };
                    if name.is_empty() || name.chars().any(char::is_control) {
                        let message = "a property's name is empty or has control characters; give it a plain name";
                        return self.at(slot, "properties", refused(Reason::WrongType, message));
                    }
                    if name.len() > PROPERTY_CHARACTERS_MAX || properties.len() == PROPERTIES_MAX {
                        let message = "there are more than 32 properties, or one with a name of more than 128 bytes; send \
                             those that somebody looks at";
                        return self.at(slot, "properties", refused(Reason::TooLarge, message));
                    }
                    properties.push((Cow::Borrowed(name.as_ref()), value));
                }
                properties.sort_unstable();
                if properties.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                    let message = "a property has more than one value; send one";
                    return self.at(slot, "properties", refused(Reason::WrongType, message));
                }
            }
        }
        Ok(properties)
    }
}

const IDENTIFIER_TYPES: &str = "customer_id, email, phone, loyalty, device, cookie, anonymous, order, case or contract";

/// The department's word in our vocabulary: by the map, or as it is.
pub(super) fn translated<T: Copy>(word: &str, map: &[(Box<str>, T)], parse: fn(&str) -> Option<T>) -> Option<T> {
    match map.binary_search_by(|(known, _)| known.as_ref().cmp(word)) {
        Ok(index) => Some(map[index].1),
        Err(_) => parse(word),
    }
}
