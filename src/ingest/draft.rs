//! One captured payload → the parts of one touchpoint, each taken or the whole rejected with the field that is to blame.

use jiff::tz::TimeZone;

use super::{
    Options, Rejection, SourceRecord, local,
    made::Keeper,
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
    words::Words,
};
use crate::{
    model::{
        Channel, Currency, EventTime, Identifier, IdentifierRules, Initiator, Kind, Money, Reason, Score, ScoreScale,
        Touchpoint, Visibility,
    },
    wire::{Capture, Scalar, Slot},
};

/// Characters of an unknown kind's word that a message shows.
const KIND_CHARACTERS_SHOWN: usize = 64;
/// Digits of one that is shown: more of them are a number of something.
const KIND_DIGITS_SHOWN: usize = 4;

/// A rejection is large and rare: what is handed on is small.
type Part<T> = Result<T, Box<Rejection>>;

/// Takes the parts that a mapping names. With `id = "content"` the id is empty.
pub(super) fn take<'c>(
    mapping: &'c Mapping,
    spoke: &'c str,
    capture: &'c Capture<'_>,
    keeper: &Keeper<'c>,
    record: &SourceRecord<'_>,
    options: &'c Options,
) -> Part<Touchpoint<'c>> {
    let taker = Taker { mapping, capture, keeper, identifiers: &options.identifiers };
    if let Some(slot) = mapping.spoke {
        taker.own_spoke(slot, spoke)?;
    }
    let id = match &mapping.id {
        IdRule::Slot(place) => {
            let slot = place.slot(capture);
            taker.at(slot, "id", validate::id(capture.scalar(slot), keeper))?
        }
        // The hash is of everything else, so it comes last.
        IdRule::Content => "",
        IdRule::Position => keeper.keep(format!("{}-{}-{}", record.topic, record.partition, record.offset)),
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
    if record.timestamp_ms >= 0 && occurred_at.0 > record.timestamp_ms.saturating_add(options.too_far_in_future_ms) {
        let message = "the time is too far after the record's own timestamp; check the sender's clock and the unit";
        let slot = mapping.occurred_at.place.slot(capture);
        return taker.at(slot, "occurred_at", refused(Reason::TooFarInFuture, message));
    }
    Ok(Touchpoint {
        occurred_at,
        id,
        spoke,
        kind,
        label: taker.dimension("label", &mapping.label)?.or(own_word),
        identifiers: taker.identifiers()?,
        channel: match &mapping.channel {
            // The method of contact is open: departments invent new ones, and all of them are contacts.
            Some(rule) => taker.word("channel", rule, Channel::parse)?.map(|word| word.unwrap_or(Channel::Other)),
            None => None,
        },
        subject: taker.dimension("subject", &mapping.subject)?,
        product: taker.dimension("product", &mapping.product)?,
        region: taker.dimension("region", &mapping.region)?,
        segment: taker.dimension("segment", &mapping.segment)?,
        campaign: taker.dimension("campaign", &mapping.campaign)?,
        content: taker.dimension("content", &mapping.content)?,
        account: taker.dimension("account", &mapping.account)?,
        amount: taker.money("amount", mapping.amount.as_ref())?,
        cost: taker.money("cost", mapping.cost.as_ref())?,
        score: taker.score(mapping.score.as_ref())?,
        promised_at: match &mapping.promised_at {
            Some(rule) => taker.time("promised_at", rule)?,
            None => None,
        },
        initiator: taker
            .known_word("initiator", mapping.initiator.as_ref(), Initiator::parse, "customer, agent, bot or system")?
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

/// Takes one part after the other.
struct Taker<'c, 'a, 'k> {
    mapping: &'c Mapping,
    capture: &'c Capture<'a>,
    keeper: &'k Keeper<'c>,
    identifiers: &'c IdentifierRules,
}

impl<'c, 'a> Taker<'c, 'a, '_> {
    fn scalar(&self, slot: Slot) -> &'c Scalar<'a> {
        self.capture.scalar(slot)
    }

    /// Names the field of the payload to blame, and ours in the sentence.
    #[inline]
    fn at<T>(&self, slot: Slot, field: &str, result: Result<T, Box<Refused>>) -> Part<T> {
        match result {
            Ok(part) => Ok(part),
            Err(refused) => Err(self.rejection(slot, field, &refused)),
        }
    }

    #[cold]
    fn rejection(&self, slot: Slot, field: &str, refused: &Refused) -> Box<Rejection> {
        Box::new(Rejection {
            reason: refused.reason,
            field: self.mapping.shape.path(slot).to_owned(),
            message: format!("{field}: {}.", refused.message),
            touchpoint: 0,
        })
    }

    #[inline]
    fn dimension(&self, field: &'static str, rule: &'c Option<TextRule>) -> Part<Option<&'c str>> {
        match rule {
            Some(rule) => self.text(field, rule, TEXT_CHARACTERS_MAX),
            None => Ok(None),
        }
    }

    fn own_spoke(&self, slot: Slot, spoke: &str) -> Part<()> {
        match self.at(slot, "spoke", validate::text(self.scalar(slot), TEXT_CHARACTERS_MAX, self.keeper))? {
            Some(named) if named != spoke => {
                let message = "the payload names another spoke than the one that owns this topic; leave the field out";
                self.at(slot, "spoke", refused(Reason::SpokeNotAllowed, message))
            }
            _ => Ok(()),
        }
    }

    /// The kind, and the department's own word if it becomes the label.
    fn kind(&self) -> Part<(Kind, Option<&'c str>)> {
        let (slot, map, default) = match &self.mapping.kind {
            WordRule::Constant(kind) => return Ok((*kind, None)),
            WordRule::Slot { place, map, default } => (place.slot(self.capture), map, default),
        };
        let word = match self.at(slot, "kind", validate::text(self.scalar(slot), TEXT_CHARACTERS_MAX, self.keeper))? {
            Some(word) => word,
            None => {
                let message = "there is no kind; send what happened";
                let missing = || self.at(slot, "kind", refused(Reason::MissingField, message));
                return default.map_or_else(missing, |kind| Ok((kind, None)));
            }
        };
        match (translated(word, map, Kind::parse), self.mapping.unmapped_kind) {
            (Some(Kind::Other), UnmappedKind::Other) => Ok((Kind::Other, Some(word))),
            (Some(kind), _) => Ok((kind, None)),
            (None, UnmappedKind::Other) => Ok((Kind::Other, Some(word))),
            (None, UnmappedKind::Reject) => {
                let message = format!(
                    "{} is no kind that is known; use a word of the vocabulary (or \"other\" with a label), or map it",
                    shown_kind(word)
                );
                self.at(slot, "kind", refused(Reason::UnknownKind, message))
            }
        }
    }

    fn time(&self, field: &str, rule: &TimeRule) -> Part<Option<EventTime>> {
        let slot = rule.place.slot(self.capture);
        let scalar = self.scalar(slot);
        if validate::is_nothing(scalar) {
            return Ok(None);
        }
        let at = match &rule.form {
            TimeForm::Instant(format) => number::instant(scalar, *format),
            TimeForm::Local(form, ZoneRule::Fixed(zone)) => form.instant(scalar, zone, rule.of_day),
            TimeForm::Local(form, ZoneRule::Place(place, default)) => {
                let zone = self.zone(field, place, default.as_ref())?;
                form.instant(scalar, &zone, rule.of_day)
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
    fn zone(&self, field: &str, place: &Place, default: Option<&TimeZone>) -> Part<TimeZone> {
        let slot = place.slot(self.capture);
        let found =
            match (self.at(slot, field, validate::text(self.scalar(slot), TEXT_CHARACTERS_MAX, self.keeper))?, default)
            {
                (Some(name), _) => local::zone(name),
                (None, default) => default.cloned(),
            };
        let message = "the time zone is missing or not in the IANA database; send a name such as Europe/Amsterdam";
        self.at(slot, field, found.map_or_else(|| refused(Reason::BadTimestamp, message), Ok))
    }

    fn text(&self, field: &str, rule: &'c TextRule, characters_max: usize) -> Part<Option<&'c str>> {
        // Nearly every text comes from one place, is not translated and stays as it is; or there is none.
        if let TextRule::Slot { place, map, default } = rule
            && place.others.is_empty()
        {
            match self.scalar(place.first) {
                Scalar::Missing | Scalar::Null => return Ok(default.as_deref()),
                Scalar::Text(text) if map.is_empty() && validate::is_plain(text, characters_max) => {
                    return Ok(Some(text));
                }
                _ => {}
            }
        }
        self.any_text(field, rule, characters_max)
    }

    #[inline(never)]
    fn any_text(&self, field: &str, rule: &'c TextRule, characters_max: usize) -> Part<Option<&'c str>> {
        match rule {
            TextRule::Constant(text) => Ok(Some(text)),
            TextRule::Slot { place, map, default } => {
                let slot = place.slot(self.capture);
                let text = self.at(slot, field, validate::text(self.scalar(slot), characters_max, self.keeper))?;
                let Some(text) = text else {
                    return Ok(default.as_deref());
                };
                Ok(Some(map.get(text).map_or(text, |translation| translation)))
            }
        }
    }

    /// The word if there is one: `None` inside if it is not known.
    fn word<T: Copy>(
        &self,
        field: &str,
        rule: &WordRule<T>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Part<Option<Option<T>>> {
        match rule {
            WordRule::Constant(word) => Ok(Some(Some(*word))),
            WordRule::Slot { place, map, default } => {
                let slot = place.slot(self.capture);
                let word = self.at(slot, field, validate::text(self.scalar(slot), TEXT_CHARACTERS_MAX, self.keeper))?;
                Ok(match word {
                    Some(word) => Some(translated(word, map, parse)),
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
        parse: impl Fn(&str) -> Option<T>,
        known: &str,
    ) -> Part<Option<T>> {
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

    fn number(&self, field: &str, rule: Option<&NumberRule>, range: (i64, i64), outside: Reason) -> Part<Option<i64>> {
        match rule {
            None => Ok(None),
            Some(NumberRule::Constant(number)) => Ok(Some(*number)),
            Some(NumberRule::Slot(place, default)) if place.is_left_out(self.capture) => Ok(*default),
            Some(NumberRule::Slot(place, default)) => {
                let slot = place.slot(self.capture);
                let number = self.at(slot, field, validate::within(self.scalar(slot), range, outside))?;
                Ok(number.or(*default))
            }
        }
    }

    /// Whether neither a part's main value is there nor an object for it.
    #[inline]
    fn is_left_out(&self, container: Option<Slot>, value: &Place) -> bool {
        value.is_left_out(self.capture) && container.is_none_or(|container| self.scalar(container).is_absent())
    }

    /// Whether a part's main value is absent; if it is absent from an object that is there for it, that is an error.
    fn is_absent(&self, field: &str, container: Option<Slot>, value: Slot) -> Part<bool> {
        if !validate::is_nothing(self.scalar(value)) {
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
        parse: impl Fn(&str) -> Option<T>,
        known: &str,
    ) -> Part<T> {
        match (self.known_word(field, Some(rule), parse, known)?, rule) {
            (Some(word), _) => Ok(word),
            (None, WordRule::Constant(word)) => Ok(*word),
            (None, WordRule::Slot { place, .. }) => {
                let message = format!("it is missing; send {known}");
                self.at(place.slot(self.capture), field, refused(Reason::MissingField, message))
            }
        }
    }

    #[inline]
    fn money(&self, field: &str, rule: Option<&MoneyRule>) -> Part<Option<Money>> {
        match rule {
            Some(rule) if !self.is_left_out(rule.container, &rule.value) => self.money_of(field, rule),
            Some(_) | None => Ok(None),
        }
    }

    fn money_of(&self, field: &str, rule: &MoneyRule) -> Part<Option<Money>> {
        let slot = rule.value.slot(self.capture);
        if self.is_absent(field, rule.container, slot)? {
            return Ok(None);
        }
        let known = "a code of ISO 4217 in capitals, such as EUR";
        let currency = self.needed_word(field, &rule.currency, Currency::known, known)?;
        let exponent = if rule.major { number::currency_exponent(currency) } else { 0 };
        match number::scaled(&number::respelled(self.scalar(slot), rule.decimal), exponent) {
            Some(minor) if minor.unsigned_abs() <= MINOR_UNITS_MAX.unsigned_abs() => {
                Ok(Some(Money { minor, currency }))
            }
            _ => {
                let message = format!(
                    "it is no amount of at most 10^15 minor units with at most {exponent} decimals (nothing is rounded); send {}",
                    match rule.decimal {
                        None => "a plain decimal number, or say with `decimal` how yours are written",
                        Some(',') => "a number such as 1234,50 or 1.234,50, as the spoke is configured for",
                        Some(_) => "a number such as 1234.50 or 1,234.50, as the spoke is configured for",
                    }
                );
                self.at(slot, field, refused(Reason::WrongType, message))
            }
        }
    }

    #[inline]
    fn score(&self, rule: Option<&'c ScoreRule>) -> Part<Option<Score<'c>>> {
        match rule {
            Some(rule) if !self.is_left_out(rule.container, &rule.value) => self.score_of(rule),
            Some(_) | None => Ok(None),
        }
    }

    fn score_of(&self, rule: &'c ScoreRule) -> Part<Option<Score<'c>>> {
        let slot = rule.value.slot(self.capture);
        if self.is_absent("score.value", rule.container, slot)? {
            return Ok(None);
        }
        let known = "nps, csat, ces, expectation, perception or review";
        let scale = self.needed_word("score.scale", &rule.scale, ScoreScale::parse, known)?;
        let value = number::respelled(self.scalar(slot), rule.decimal);
        let answer = match rule.own_range {
            None => validate::within(&value, scale.range(), Reason::ScoreOutOfRange),
            Some(own) => validate::rescaled(&value, own, scale.range()),
        };
        let item = match &rule.item {
            Some(item) => self.text("score.item", item, TEXT_CHARACTERS_MAX)?,
            None => None,
        };
        let answer = self.at(slot, "score.value", answer)?;
        Ok(answer.and_then(|answer| Some(Score { scale, value: u8::try_from(answer).ok()?, item })))
    }

    #[inline]
    fn referrer(&self, rule: Option<&ReferrerRule>) -> Part<Option<Identifier<'c>>> {
        match rule {
            Some(rule) if !self.is_left_out(rule.container, &rule.value) => self.referrer_of(rule),
            Some(_) | None => Ok(None),
        }
    }

    fn referrer_of(&self, rule: &ReferrerRule) -> Part<Option<Identifier<'c>>> {
        let slot = rule.value.slot(self.capture);
        if self.is_absent("referrer.value", rule.container, slot)? {
            return Ok(None);
        }
        let kind = self.needed_word(
            "referrer.type",
            &rule.kind,
            |word| self.identifiers.kind(word),
            self.identifiers.listed(),
        )?;
        let value = validate::identifier(self.identifiers, kind, self.scalar(slot), self.keeper);
        Ok(self.at(slot, "referrer.value", value)?.map(|value| Identifier { kind, value }))
    }

    fn identifiers(&self) -> Part<Vec<Identifier<'c>>> {
        let mut identifiers = Vec::new();
        let first_slot = match &self.mapping.identifiers {
            IdentifiersRule::Slots(rules) => {
                identifiers.reserve_exact(rules.len());
                for &(kind, slot) in rules {
                    let scalar = self.scalar(slot);
                    // A list is read as null, with an entry for each element.
                    if *scalar == Scalar::Null {
                        for entry in self.capture.entries(slot) {
                            let value = validate::identifier(self.identifiers, kind, &entry.value, self.keeper);
                            if let Some(value) = self.at(slot, kind.as_str(), value)? {
                                identifiers.push(Identifier { kind, value });
                            }
                        }
                        continue;
                    }
                    let value = validate::identifier(self.identifiers, kind, scalar, self.keeper);
                    if let Some(value) = self.at(slot, kind.as_str(), value)? {
                        identifiers.push(Identifier { kind, value });
                    }
                }
                rules[0].1
            }
            IdentifiersRule::Entries(slot) => {
                for entry in self.capture.entries(*slot) {
                    let value = match self.identifiers.kind(&entry.key) {
                        Some(kind) => validate::identifier(self.identifiers, kind, &entry.value, self.keeper)
                            .map(|value| (kind, value)),
                        None => refused(
                            Reason::WrongType,
                            format!("a type of identifier is not known; use {}", self.identifiers.listed()),
                        ),
                    };
                    if let (kind, Some(value)) = self.at(*slot, "identifiers", value)? {
                        identifiers.push(Identifier { kind, value });
                    }
                }
                *slot
            }
        };
        // As they mostly are: mappings name them strongest first.
        if !identifiers.is_sorted_by(|one: &Identifier<'_>, next| one < next) {
            identifiers.sort_unstable();
            identifiers.dedup();
        }
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

    fn properties(&self) -> Part<Vec<(&'c str, &'c str)>> {
        let mut properties: Vec<(&'c str, &'c str)> = Vec::new();
        match &self.mapping.properties {
            PropertiesRule::Named(rules) => {
                for (name, rule) in rules {
                    if let Some(value) = self.text("properties", rule, PROPERTY_CHARACTERS_MAX)? {
                        if properties.is_empty() {
                            properties.reserve_exact(rules.len());
                        }
                        properties.push((name.as_ref(), value));
                    }
                }
            }
            PropertiesRule::Entries(slot) => {
                let slot = *slot;
                for entry in self.capture.entries(slot) {
                    let name = &entry.key;
                    let value = validate::text(&entry.value, PROPERTY_CHARACTERS_MAX, self.keeper);
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
                    properties.push((name.as_ref(), value));
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

/// A department's word for a kind, as a message shows it: cut, and nothing in it that does something to a terminal. What is
/// an address or a number of somebody stands there by mistake, and is not shown.
fn shown_kind(word: &str) -> String {
    if may_name_somebody(word) {
        return "what stands there".to_owned();
    }
    format!("{:?}", word.chars().take(KIND_CHARACTERS_SHOWN).collect::<String>())
}

/// Whether what should be a department's word looks like an address, or a number of somebody.
pub fn may_name_somebody(word: &str) -> bool {
    let digits = word.chars().filter(|character| character.is_numeric()).count();
    word.contains('@') || digits > KIND_DIGITS_SHOWN
}

/// The department's word in our vocabulary: by the map, or as it is.
#[inline]
pub(super) fn translated<T: Copy>(word: &str, map: &Words<T>, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
    map.get(word).copied().or_else(|| parse(word))
}
