//! A spoke file → a compiled mapping: every path a slot of one trie, every word of ours checked.

use jiff::tz::TimeZone;

use super::{
    condition::Condition,
    decode::Envelope,
    keys::unknown_word,
    local::{self, LocalForm, OfDay},
    made::{Keeper, Made},
    rules::{
        EachRule, IdRule, IdentifiersRule, Mapping, MoneyRule, NumberRule, Outside, Place, PropertiesRule,
        ReferrerRule, ScoreRule, Suffix, TextRule, TimeForm, TimeRule, UnmappedKind, WordRule, ZoneRule,
    },
    spoke_file::{Each, Format, From, MappingFile, Money, Source, SpokeError, SpokeFile, Time, TimeFormat, Written},
    validate::{PROPERTIES_MAX, PROPERTY_CHARACTERS_MAX, TEXT_CHARACTERS_MAX, text, within},
    words::Words,
};
use crate::{
    model::{Channel, Currency, IdentifierRules, IdentifierType, Initiator, Kind, Reason, ScoreScale, Visibility},
    wire::{Scalar, ShapeBuilder, Slot, projection::TimeUse},
};

impl Mapping {
    /// Checks every word and path of a file and compiles them.
    pub(super) fn compile(file: &SpokeFile, identifiers: &IdentifierRules) -> Result<Mapping, SpokeError> {
        let compiler = Compiler { condition: file.condition.as_deref(), ..Compiler::new(file) };
        match &file.format {
            Format::Json(mapping) | Format::Avro(mapping) => compiler.mapping(mapping, identifiers),
            Format::TouchpointJson | Format::TouchpointAvro => compiler.canonical(),
        }
    }
}

struct Compiler<'f> {
    spoke: &'f str,
    is_avro: bool,
    has_envelope: bool,
    builder: ShapeBuilder,
    times: Vec<(Slot, TimeUse)>,
    outside: Vec<(Slot, Outside)>,
    condition: Option<&'f str>,
}

impl<'f> Compiler<'f> {
    fn new(file: &'f SpokeFile) -> Compiler<'f> {
        Compiler {
            spoke: &file.spoke,
            is_avro: matches!(file.format, Format::Avro(_)),
            has_envelope: file.is_cloudevents,
            builder: ShapeBuilder::default(),
            times: Vec::new(),
            outside: Vec::new(),
            condition: None,
        }
    }

    /// The attributes of CloudEvents that the mapping names, and where their data is.
    fn envelope(&mut self) -> Result<Option<Envelope>, SpokeError> {
        if !self.has_envelope {
            return Ok(None);
        }
        let (version, data) = (self.slot("envelope", "specversion")?, self.builder.container("data"));
        let data = data.map_err(|problem| self.error("envelope", problem.to_string()))?;
        let data_base64 = self.slot("envelope", "data_base64")?;
        let is_attribute = |slot: Slot| slot != data && slot != data_base64;
        let attributes = self.builder.top_level().filter(|(_, slot)| is_attribute(*slot)).map(|(name, slot)| {
            // The one attribute that the bindings have under a name of their own (CloudEvents 1.0, Kafka binding).
            let header = if name == "datacontenttype" { "content-type".into() } else { format!("ce_{name}") };
            (slot, header.into_boxed_str())
        });
        Ok(Some(Envelope { version, data, data_base64, attributes: attributes.collect() }))
    }

    fn error(&self, key: &str, problem: impl Into<String>) -> SpokeError {
        SpokeError { spoke: self.spoke.to_owned(), line: None, key: key.to_owned(), problem: problem.into() }
    }

    fn mapping(mut self, file: &MappingFile, rules: &IdentifierRules) -> Result<Mapping, SpokeError> {
        let each = self.each(file)?;
        let has_elements = each.is_some();
        let id = match file.id.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["content"] => IdRule::Content,
            ["position"] => IdRule::Position,
            _ => IdRule::Slot(self.place("id", &file.id)?),
        };
        let kind = self.word("kind", &file.kind, &words(Kind::ALL, Kind::as_str), Kind::parse)?;
        let occurred_at = self.time("occurred_at", &file.occurred_at, OfDay::First)?;
        let types = words(&rules.kinds(), IdentifierType::as_str);
        let identifier_type = |compiler: &Self, key: &str, word: &str| {
            rules.kind(word).ok_or_else(|| compiler.error(key, unknown_word(word, &types)))
        };
        let mut identifiers = Vec::new();
        for (kind, paths) in &file.identifiers {
            let key = format!("identifiers.{kind}");
            let kind = identifier_type(&self, &key, kind)?;
            for path in paths {
                let slot = match Outside::parse(path) {
                    Some(_) => self.slot(&key, path)?,
                    None => self.builder.list(path).map_err(|problem| self.error(&key, problem.to_string()))?,
                };
                identifiers.push((kind, slot));
            }
        }
        // Strongest first, as they are in a touchpoint.
        identifiers.sort_by_key(|(kind, _)| *kind);
        if identifiers.is_empty() {
            return Err(self.error("identifiers", "there is none; say where the customer's number or e-mail is"));
        }
        if file.properties.len() > PROPERTIES_MAX {
            return Err(self.error("properties", "there are more than 32; keep those that somebody looks at"));
        }
        let mut properties = Vec::new();
        for (name, source) in &file.properties {
            let key = format!("properties.{name}");
            if name.is_empty() || name.len() > PROPERTY_CHARACTERS_MAX || name.chars().any(char::is_control) {
                return Err(self.error(&key, "a name has 1 to 128 characters and no control characters"));
            }
            let rule = self.text(&key, source, PROPERTY_CHARACTERS_MAX)?;
            properties.push((name.clone().into_boxed_str(), rule));
        }
        properties.sort_by(|a, b| a.0.cmp(&b.0));

        let source = |field: &str| file.fields.iter().find(|(name, _)| *name == field).map(|(_, source)| source);
        let referrer = match &file.referrer {
            None => None,
            Some((kind, paths)) => Some(ReferrerRule {
                container: None,
                kind: WordRule::Constant(identifier_type(&self, "referrer.type", kind)?),
                value: self.place("referrer.value", paths)?,
            }),
        };
        let score = match &file.score {
            None => None,
            Some(score) => Some(ScoreRule {
                container: None,
                scale: self.word(
                    "score.scale",
                    &score.scale,
                    &words(ScoreScale::ALL, ScoreScale::as_str),
                    ScoreScale::parse,
                )?,
                value: self.place("score.value", &score.value)?,
                own_range: score.range,
                decimal: score.decimal,
                item: match &score.item {
                    None => None,
                    Some(item) => Some(self.text("score.item", item, TEXT_CHARACTERS_MAX)?),
                },
            }),
        };
        let promised_at = match &file.promised_at {
            None => None,
            Some(time) => Some(self.time("promised_at", time, OfDay::Last)?),
        };
        Ok(Mapping {
            each,
            id,
            kind,
            unmapped_kind: match file.reject_unmapped_kinds {
                true => UnmappedKind::Reject,
                false => UnmappedKind::Other,
            },
            occurred_at,
            spoke: None,
            identifiers: IdentifiersRule::Slots(identifiers),
            label: self.optional_text("label", source("label"))?,
            channel: self.optional_word(
                "channel",
                source("channel"),
                &words(Channel::ALL, Channel::as_str),
                Channel::parse,
            )?,
            subject: self.optional_text("subject", source("subject"))?,
            product: self.optional_text("product", source("product"))?,
            region: self.optional_text("region", source("region"))?,
            segment: self.optional_text("segment", source("segment"))?,
            campaign: self.optional_text("campaign", source("campaign"))?,
            content: self.optional_text("content", source("content"))?,
            account: self.optional_text("account", source("account"))?,
            amount: self.money("amount", file.amount.as_ref())?,
            cost: self.money("cost", file.cost.as_ref())?,
            score,
            promised_at,
            initiator: self.optional_word(
                "initiator",
                source("initiator"),
                &words(Initiator::ALL, Initiator::as_str),
                Initiator::parse,
            )?,
            visibility: self.optional_word(
                "visibility",
                source("visibility"),
                &words(Visibility::ALL, Visibility::as_str),
                Visibility::parse,
            )?,
            sentiment: self.number("sentiment", source("sentiment"), SENTIMENT)?,
            referrer,
            effort: self.number("effort", source("effort"), EFFORT)?,
            properties: PropertiesRule::Named(properties),
            condition: self.condition(has_elements)?,
            envelope: self.envelope()?,
            times: self.times,
            outside: self.outside,
            shape: self.builder.build(),
        })
    }

    /// The mapping of the canonical touchpoint: every field where its name says. Slots are made in the order of the schema,
    /// in which they are found fastest.
    fn canonical(mut self) -> Result<Mapping, SpokeError> {
        fn word<T>(slot: Slot) -> WordRule<T> {
            WordRule::Slot { place: Place::one(slot), map: Words::default(), default: None }
        }
        fn text(slot: Slot) -> TextRule {
            TextRule::Slot { place: Place::one(slot), map: Words::default(), default: None }
        }
        let spoke = self.spoke.to_owned();
        let wrong = |error: crate::wire::PathError| SpokeError {
            spoke: spoke.clone(),
            line: None,
            key: String::new(),
            problem: error.to_string(),
        };
        let mut leaf = |path: &str| self.builder.leaf(path).map_err(wrong);
        let id = leaf("id")?;
        let spoke_slot = leaf("spoke")?;
        let kind = leaf("kind")?;
        let label = leaf("label")?;
        let occurred_at = leaf("occurred_at")?;
        let identifiers = self.builder.entries("identifiers").map_err(wrong)?;
        let mut leaf = |path: &str| self.builder.leaf(path).map_err(wrong);
        let channel = leaf("channel")?;
        let [subject, product, region, segment, campaign, content, account] =
            ["subject", "product", "region", "segment", "campaign", "content", "account"].map(&mut leaf);
        let amount = (leaf("amount.minor")?, leaf("amount.currency")?);
        let cost = (leaf("cost.minor")?, leaf("cost.currency")?);
        let score = (leaf("score.scale")?, leaf("score.value")?, leaf("score.item")?);
        let [promised_at, initiator, visibility, sentiment] =
            ["promised_at", "initiator", "visibility", "sentiment"].map(&mut leaf);
        let referrer = (leaf("referrer.type")?, leaf("referrer.value")?);
        let effort = leaf("effort")?;
        let properties = self.builder.entries("properties").map_err(wrong)?;
        let mut container = |path: &str| self.builder.container(path).map(Some).map_err(wrong);
        Ok(Mapping {
            each: None,
            id: IdRule::Slot(Place::one(id)),
            kind: word(kind),
            unmapped_kind: UnmappedKind::Reject,
            occurred_at: TimeRule {
                place: Place::one(occurred_at),
                form: TimeForm::Instant(TimeFormat::Canonical),
                of_day: OfDay::First,
            },
            spoke: Some(spoke_slot),
            identifiers: IdentifiersRule::Entries(identifiers),
            label: Some(text(label)),
            channel: Some(word(channel)),
            subject: Some(text(subject?)),
            product: Some(text(product?)),
            region: Some(text(region?)),
            segment: Some(text(segment?)),
            campaign: Some(text(campaign?)),
            content: Some(text(content?)),
            account: Some(text(account?)),
            amount: Some(MoneyRule {
                container: container("amount")?,
                value: Place::one(amount.0),
                major: false,
                decimal: None,
                currency: word(amount.1),
            }),
            cost: Some(MoneyRule {
                container: container("cost")?,
                value: Place::one(cost.0),
                major: false,
                decimal: None,
                currency: word(cost.1),
            }),
            score: Some(ScoreRule {
                container: container("score")?,
                scale: word(score.0),
                value: Place::one(score.1),
                own_range: None,
                decimal: None,
                item: Some(text(score.2)),
            }),
            promised_at: Some(TimeRule {
                place: Place::one(promised_at?),
                form: TimeForm::Instant(TimeFormat::Canonical),
                of_day: OfDay::Last,
            }),
            initiator: Some(word(initiator?)),
            visibility: Some(word(visibility?)),
            sentiment: Some(NumberRule::Slot(Place::one(sentiment?), None)),
            referrer: Some(ReferrerRule {
                container: container("referrer")?,
                kind: word(referrer.0),
                value: Place::one(referrer.1),
            }),
            effort: Some(NumberRule::Slot(Place::one(effort), None)),
            properties: PropertiesRule::Entries(properties),
            condition: self.condition(false)?,
            envelope: self.envelope()?,
            times: self.times,
            outside: self.outside,
            shape: self.builder.build(),
        })
    }

    fn slot(&mut self, key: &str, path: &str) -> Result<Slot, SpokeError> {
        let wrong = |problem: crate::wire::PathError| SpokeError {
            spoke: self.spoke.to_owned(),
            line: None,
            key: key.to_owned(),
            problem: problem.to_string(),
        };
        let Some(outside) = Outside::parse(path) else {
            return self.builder.leaf(path).map_err(wrong);
        };
        let slot = self.builder.outside(path).map_err(wrong)?;
        if self.outside.iter().all(|(known, _)| *known != slot) {
            self.outside.push((slot, outside));
        }
        Ok(slot)
    }

    /// After everything else, so that its places come last and a path into what is taken as a whole is found.
    fn condition(&mut self, has_elements: bool) -> Result<Option<Condition>, SpokeError> {
        let Some(source) = self.condition else {
            return Ok(None);
        };
        let mut place = |path: &str| self.slot("condition", path).map_err(|error| error.problem);
        let compiled = Condition::compile(source, has_elements, &mut place);
        compiled.map(Some).map_err(|problem| self.error("condition", problem))
    }

    fn place(&mut self, key: &str, paths: &[String]) -> Result<Place, SpokeError> {
        let mut slots = Vec::new();
        for path in paths {
            slots.push(self.slot(key, path)?);
        }
        match slots.split_first() {
            Some((&first, others)) => Ok(Place { first, others: others.into() }),
            None => Err(self.error(key, "it is missing; say where it is")),
        }
    }

    fn each(&mut self, file: &MappingFile) -> Result<Option<EachRule>, SpokeError> {
        let Some(Each { path: list, key, is_optional, is_table }) = &file.each else {
            return Ok(None);
        };
        let at = if *is_table { "each.path" } else { "each" };
        let slot = self.builder.each(list).map_err(|problem| self.error(at, problem.to_string()))?;
        let of_element = file.id.iter().filter(|path| path.starts_with('.')).count();
        let suffix = match (file.id.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), key) {
            (["content"], None) => None,
            (_, None) if of_element == file.id.len() => None,
            (["content"], Some(_)) => {
                return Err(self.error("each.key", "the id is a hash of the element's fields already; remove it"));
            }
            (_, Some(_)) if of_element > 0 => {
                return Err(self.error("each.key", "the id is the element's own already; remove it"));
            }
            _ if of_element > 0 => {
                return Err(self.error("id", "some of its paths are of the element and some of the record; choose"));
            }
            (_, Some(paths)) if paths.iter().all(|path| path.starts_with('.')) => {
                Some(Suffix::Place(self.place("each.key", paths)?))
            }
            (_, Some(_)) => {
                return Err(self.error("each.key", "it must be a place in the element, such as \".number\""));
            }
            (_, None) => Some(Suffix::Number),
        };
        let path = format!("{}[]", list.strip_prefix("$.").unwrap_or(list));
        Ok(Some(EachRule { list: slot, path, is_optional: *is_optional, suffix }))
    }

    fn time(&mut self, key: &str, time: &Time, of_day: OfDay) -> Result<TimeRule, SpokeError> {
        let place = self.place(&format!("{key}.path"), &time.paths)?;
        let (pattern, zone) = match &time.written {
            Written::Instant(TimeFormat::Logical) => {
                if !self.is_avro {
                    let problem = "only an Avro schema says what its numbers mean; use a format such as \"rfc3339\"";
                    return Err(self.error(&format!("{key}.format"), problem));
                }
                self.times.extend(place.slots().map(|slot| (slot, TimeUse::Instant)));
                return Ok(TimeRule { place, form: TimeForm::Instant(TimeFormat::Canonical), of_day });
            }
            Written::Instant(format) => return Ok(TimeRule { place, form: TimeForm::Instant(*format), of_day }),
            Written::Local(pattern, zone) => (pattern, zone),
        };
        let form = match pattern {
            None => {
                let wanted = if of_day == OfDay::Last { TimeUse::LocalDue } else { TimeUse::Local };
                // A place has one reading: it is when it happened, if it is that too.
                let is_new = |slot: &Slot| self.is_avro && self.times.iter().all(|(known, _)| known != slot);
                let slots: Vec<Slot> = place.slots().filter(is_new).collect();
                self.times.extend(slots.into_iter().map(|slot| (slot, wanted)));
                LocalForm::Iso
            }
            Some(pattern) => {
                LocalForm::of_pattern(pattern).map_err(|problem| self.error(&format!("{key}.format"), problem))?
            }
        };
        let key = format!("{key}.zone");
        let known = |compiler: &Self, key: &str, name: &str| {
            let problem = "is no time zone of the IANA database; use a name such as \"Europe/Amsterdam\"";
            local::zone(name).ok_or_else(|| compiler.error(key, format!("{name:?} {problem}")))
        };
        let zone = match (zone, form.has_offset()) {
            (None, true) => ZoneRule::Fixed(TimeZone::UTC),
            (Some(_), true) => return Err(self.error(&key, "the pattern has the offset or the zone; remove it")),
            (None, false) => {
                return Err(self.error(&key, "it is missing; add zone = \"Europe/Amsterdam\", or { path = \"…\" }"));
            }
            (Some(Source { from: From::Constant(name), .. }), false) => ZoneRule::Fixed(known(self, &key, name)?),
            (Some(Source { from: From::Paths(paths), default, .. }), false) => {
                let default = match default {
                    None => None,
                    Some(name) => Some(known(self, &format!("{key}.default"), name)?),
                };
                ZoneRule::Place(self.place(&key, paths)?, default)
            }
        };
        Ok(TimeRule { place, form: TimeForm::Local(form, zone), of_day })
    }

    fn word<T: Copy>(
        &mut self,
        key: &str,
        source: &Source,
        known: &[&str],
        parse: fn(&str) -> Option<T>,
    ) -> Result<WordRule<T>, SpokeError> {
        match &source.from {
            From::Constant(word) => match parse(word) {
                Some(word) => Ok(WordRule::Constant(word)),
                None => Err(self.error(&format!("{key}.constant"), unknown_word(word, known))),
            },
            From::Paths(paths) => {
                let place = self.place(key, paths)?;
                let default = match &source.default {
                    None => None,
                    Some(word) => match parse(word) {
                        None => return Err(self.error(&format!("{key}.default"), unknown_word(word, known))),
                        word => word,
                    },
                };
                let mut map = Vec::new();
                for (word, ours) in &source.map {
                    let ours = parse(ours)
                        .ok_or_else(|| self.error(&format!("{key}.map.{word}"), unknown_word(ours, known)))?;
                    map.push((word.clone().into_boxed_str(), ours));
                }
                Ok(WordRule::Slot { place, map: map.into_iter().collect(), default })
            }
        }
    }

    fn optional_word<T: Copy>(
        &mut self,
        key: &str,
        source: Option<&Source>,
        known: &[&str],
        parse: fn(&str) -> Option<T>,
    ) -> Result<Option<WordRule<T>>, SpokeError> {
        source.map(|source| self.word(key, source, known, parse)).transpose()
    }

    fn text(&mut self, key: &str, source: &Source, characters_max: usize) -> Result<TextRule, SpokeError> {
        let checked = |compiler: &Self, key: String, value: &str| -> Result<Box<str>, SpokeError> {
            match text(&Scalar::Text(value.into()), characters_max, &Keeper::new(&Made::default())) {
                Ok(Some(text)) => Ok(text.into()),
                Ok(None) => Err(compiler.error(&key, "it is blank; fill it in or remove it")),
                Err(refused) => Err(compiler.error(&key, refused.message)),
            }
        };
        match &source.from {
            From::Constant(value) => Ok(TextRule::Constant(checked(self, format!("{key}.constant"), value)?)),
            From::Paths(paths) => {
                let place = self.place(key, paths)?;
                let default = match &source.default {
                    None => None,
                    Some(value) => Some(checked(self, format!("{key}.default"), value)?),
                };
                let mut map = Vec::new();
                for (word, ours) in &source.map {
                    let ours = checked(self, format!("{key}.map.{word}"), ours)?;
                    map.push((word.clone().into_boxed_str(), ours));
                }
                Ok(TextRule::Slot { place, map: map.into_iter().collect(), default })
            }
        }
    }

    fn optional_text(&mut self, key: &str, source: Option<&Source>) -> Result<Option<TextRule>, SpokeError> {
        source.map(|source| self.text(key, source, TEXT_CHARACTERS_MAX)).transpose()
    }

    fn number(
        &mut self,
        key: &str,
        source: Option<&Source>,
        range: (i64, i64),
    ) -> Result<Option<NumberRule>, SpokeError> {
        let Some(source) = source else {
            return Ok(None);
        };
        if !source.map.is_empty() {
            return Err(self.error(&format!("{key}.map"), "numbers are not translated; remove it"));
        }
        let checked = |compiler: &Self, key: String, number: &str| {
            within(&Scalar::Text(number.into()), range, Reason::WrongType)
                .map_err(|refused| compiler.error(&key, refused.message))
        };
        match &source.from {
            From::Paths(paths) => {
                let default = match &source.default {
                    None => None,
                    Some(number) => checked(self, format!("{key}.default"), number)?,
                };
                Ok(Some(NumberRule::Slot(self.place(key, paths)?, default)))
            }
            From::Constant(number) => Ok(checked(self, format!("{key}.constant"), number)?.map(NumberRule::Constant)),
        }
    }

    fn money(&mut self, key: &str, money: Option<&Money>) -> Result<Option<MoneyRule>, SpokeError> {
        let Some(money) = money else {
            return Ok(None);
        };
        let known = ["EUR", "USD", "any other code of ISO 4217 in capitals"];
        Ok(Some(MoneyRule {
            container: None,
            value: self.place(&format!("{key}.value"), &money.paths)?,
            major: money.major,
            decimal: money.decimal,
            currency: self.word(&format!("{key}.currency"), &money.currency, &known, Currency::known)?,
        }))
    }
}

/// What a sentiment may be.
pub(super) const SENTIMENT: (i64, i64) = (-100, 100);
/// What an effort may be.
pub(super) const EFFORT: (i64, i64) = (i32::MIN as i64, i32::MAX as i64);

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|&variant| word(variant)).collect()
}
