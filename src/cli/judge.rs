//! A source record and its spoke's mapping in; what it becomes, as text and JSON, out.

use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::{
    ingest::{self, Mapped, NotYet, Rejection, Skip, SourceRecord, Spoke},
    model::{PersonKey, Reason, Touchpoint},
    wire::schemas::SchemaRef,
};

/// What stands where personal data is not to be seen.
const MASK: &str = "***";
/// A longer label is no word but what somebody wrote.
const LABEL_CHARACTERS_SHOWN: usize = 64;
/// Of how many digits a telephone number is (ITU-T E.164 allows 15).
const TELEPHONE_DIGITS: RangeInclusive<usize> = 7..=15;

/// Whether an id, or a name of something, looks like somebody's address or telephone number. It stands there by mistake of a mapping,
/// and one that is being tried may well make it.
fn is_address(text: &str) -> bool {
    let is_telephone = || {
        let digits = text.chars().filter(char::is_ascii_digit).count();
        text.starts_with(['+', '0', '('])
            && TELEPHONE_DIGITS.contains(&digits)
            && text.chars().all(|it| it.is_ascii_digit() || " +()-/.".contains(it))
    };
    text.contains('@') || is_telephone()
}

fn is_free_text(label: &str) -> bool {
    ingest::may_name_somebody(label) || label.chars().count() > LABEL_CHARACTERS_SHOWN
}

/// Headers that were read.
pub(super) struct ReadHeaders<'a>(pub(super) &'a [(String, Vec<u8>)]);

impl ingest::Headers for ReadHeaders<'_> {
    fn header(&self, name: &str, take: &mut dyn FnMut(&[u8])) {
        if let Some((_, value)) = self.0.iter().rfind(|(header, _)| header == name) {
            take(value);
        }
    }
}

/// One thing that a source record becomes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// A touchpoint.
    Accepted(Accepted),
    /// The mapping takes nothing from it.
    Skipped(Skip),
    /// It cannot be taken.
    Rejected(Rejection),
}

/// A touchpoint, owned.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Accepted {
    /// Unique within its spoke.
    pub id: String,
    /// Those that it has, in the order of the schema.
    pub fields: Vec<(&'static str, Value)>,
    encoded: Vec<u8>,
}

impl Accepted {
    fn of(touchpoint: &Touchpoint<'_>) -> Accepted {
        let mut encoded = Vec::with_capacity(256);
        touchpoint.encode_into(&mut encoded);
        Accepted { id: touchpoint.id.to_owned(), fields: ingest::fields(touchpoint), encoded }
    }

    /// Of everything that it says, as the hub with this key of person ids keeps it: two with one id and different hashes are
    /// a conflict.
    pub(super) fn content_hash(&self, key: Option<&PersonKey>) -> u128 {
        match (key, Touchpoint::decode(&self.encoded)) {
            (Some(key), Ok(touchpoint)) if touchpoint.referrer.is_some() => {
                let mut kept = Vec::with_capacity(self.encoded.len() + 32);
                touchpoint.encode_kept_into(key, &mut kept);
                Touchpoint::content_hash(&kept)
            }
            _ => Touchpoint::content_hash(&self.encoded),
        }
    }

    /// A field, if it has it.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// A field that is text.
    pub(super) fn text(&self, field: &str) -> &str {
        self.field(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Hides who it is: the values of identifiers, the referrer's, those of properties, and where another text looks like
    /// that of a person.
    pub(super) fn mask(&mut self) {
        if is_address(&self.id) {
            MASK.clone_into(&mut self.id);
        }
        for (name, value) in &mut self.fields {
            match (*name, value) {
                ("identifiers", Value::Object(identifiers)) => {
                    for value in identifiers.values_mut().filter_map(Value::as_array_mut).flatten() {
                        *value = MASK.into();
                    }
                }
                ("referrer", Value::Object(referrer)) => drop(referrer.insert("value".to_owned(), MASK.into())),
                ("properties", Value::Object(properties)) => {
                    properties.values_mut().for_each(|value| *value = MASK.into());
                }
                ("label", Value::String(label)) if is_free_text(label) => MASK.clone_into(label),
                // Not times, which are numbers with dashes in them.
                ("occurred_at" | "promised_at", _) => {}
                (_, Value::String(text)) if is_address(text) => MASK.clone_into(text),
                _ => {}
            }
        }
    }
}

impl Outcome {
    /// Hides who it is about.
    pub(super) fn mask(&mut self) {
        if let Outcome::Accepted(accepted) = self {
            accepted.mask();
        }
    }

    /// `accepted`, `skipped` or `rejected`.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Outcome::Accepted(_) => "accepted",
            Outcome::Skipped(_) => "skipped",
            Outcome::Rejected(_) => "rejected",
        }
    }

    /// Everything of it.
    pub(super) fn as_json(&self) -> Value {
        match self {
            Outcome::Accepted(accepted) => {
                let fields: Map<String, Value> =
                    accepted.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
                json!({"outcome": self.word(), "touchpoint": fields})
            }
            Outcome::Skipped(skip) => json!({"outcome": self.word(), "by": skip.as_str()}),
            Outcome::Rejected(rejection) => json!({
                "outcome": self.word(),
                "reason": rejection.reason.as_str(),
                "field": rejection.field,
                "message": rejection.message,
                "touchpoint": rejection.touchpoint,
            }),
        }
    }
}

impl From<Mapped<'_>> for Outcome {
    fn from(mapped: Mapped<'_>) -> Outcome {
        match mapped {
            Mapped::Touchpoint(touchpoint) => Outcome::Accepted(Accepted::of(&touchpoint)),
            Mapped::Skipped(skip) => Outcome::Skipped(skip),
            Mapped::Rejected(rejection) => Outcome::Rejected(rejection),
        }
    }
}

/// How long a schema may take to come.
const SCHEMA_WITHIN: Duration = Duration::from_secs(3);
/// So many schemas one after the other did not come: the registry is away, and none is waited for …
const AWAY_AFTER: usize = 3;
/// … for so long, or until one comes.
const AWAY_FOR: Duration = Duration::from_secs(30);

/// Which schemas a command has waited for in vain: of a million records, each would be waited for again.
#[derive(Debug, Default)]
pub(super) struct Patience {
    in_vain: BTreeSet<SchemaRef>,
    /// Waits in vain since a schema came …
    in_a_row: usize,
    /// … and when the last of them ended.
    since: Option<Instant>,
}

impl Patience {
    fn for_schema(&self, named: SchemaRef, now: Instant) -> Duration {
        let is_recent = self.since.is_some_and(|since| now.saturating_duration_since(since) < AWAY_FOR);
        let is_away = self.in_a_row >= AWAY_AFTER && is_recent;
        if is_away || self.in_vain.contains(&named) { Duration::ZERO } else { SCHEMA_WITHIN }
    }

    /// `waited`: so long, at most.
    fn note(&mut self, named: SchemaRef, waited: Duration, came: bool, now: Instant) {
        if came {
            self.in_vain.remove(&named);
            self.in_a_row = 0;
        } else if !waited.is_zero() {
            self.in_vain.insert(named);
            (self.in_a_row, self.since) = (self.in_a_row + 1, Some(now));
        }
    }
}

/// Maps one record as the hub does. A schema that it needs is waited for; what does not come is told as unknown, though a
/// hub would wait on.
pub(super) fn judge(spoke: &Spoke, record: &SourceRecord<'_>, patience: &mut Patience) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    while let Err(NotYet(named)) = spoke.map(record, &mut |mapped| outcomes.push(mapped.into())) {
        let within = patience.for_schema(named, Instant::now());
        let waited = spoke.wait_for(named, within);
        patience.note(named, within, waited.is_ok(), Instant::now());
        if let Err(problem) = waited {
            outcomes.push(Outcome::Rejected(Rejection {
                reason: Reason::UnknownSchema,
                field: String::new(),
                message: format!("The schema with the {named} cannot be fetched now: {problem}."),
                touchpoint: 0,
            }));
            break;
        }
    }
    outcomes
}

/// The same for a record of an Avro spoke that is given as the JSON that it would be.
pub(super) fn judge_json(spoke: &Spoke, record: &SourceRecord<'_>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    spoke.map_json(record, &mut |mapped| outcomes.push(mapped.into()));
    outcomes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        ingest::{NoHeaders, Options, SpokeFile},
        wire::{
            SchemaFolder, Schemas,
            registry::{Fetch, Registry, client::RegistryError},
        },
    };

    struct Away;

    impl Fetch for Away {
        fn schema(&mut self, _: u32) -> Result<String, RegistryError> {
            Err(RegistryError::Unavailable("no connection".into()))
        }
    }

    #[test]
    fn ids_and_words_that_look_like_somebody_are_hidden_and_others_are_not() {
        for hidden in ["ann@example.org", "+49 170 123-45-67", "0170/1234567", "(030) 1234567"] {
            assert!(is_address(hidden) && is_free_text(hidden), "{hidden}");
        }
        for shown in
            ["4711", "O-12345678", "20260131", "shop.events-0-1", "0", "00:17:00", "gift card", "2026-01-31T08:00:00"]
        {
            assert!(!is_address(shown), "{shown}");
        }
        let accepted = |id: &str, label: &str| {
            let mut outcome = Outcome::Accepted(Accepted {
                id: id.to_owned(),
                fields: vec![("id", id.into()), ("label", label.into()), ("product", "0170 1234567".into())],
                encoded: Vec::new(),
            });
            outcome.mask();
            outcome.as_json()["touchpoint"].clone()
        };
        let wrote = "Please call me back, I am at home from six on and would like my money, Ann";
        assert_eq!(accepted("ann@example.org", wrote), json!({"id": "***", "label": "***", "product": "***"}));
        assert_eq!(accepted("O-1", "refund")["label"], "refund");
        assert_eq!(accepted("O-1", "card 4711 0815")["label"], "***");
    }

    #[test]
    fn a_schema_that_did_not_come_is_not_waited_for_again() {
        let registry = Registry::start(Away, Duration::from_secs(60), Arc::new(|_| {})).expect("a thread");
        let schemas = Schemas { folder: SchemaFolder::default(), registry: Some(registry) };
        let file = "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"avro\"\nid = \"id\"\n\
                    occurred_at = { path = \"at\", format = \"epoch_ms\" }\nkind = { constant = \"visit_made\" }\n\
                    identifiers = { email = \"mail\" }\n";
        let file = SpokeFile::parse("shop", file).expect("a mapping");
        let spoke = Spoke::compile(&file, Options::default(), &Arc::new(schemas)).expect("a mapping");
        let mut patience = Patience::default();
        let began = Instant::now();
        for _ in 0..5 {
            let record = SourceRecord {
                topic: "shop.events",
                partition: 0,
                offset: 0,
                timestamp_ms: 0,
                key: None,
                payload: Some(&[0, 0, 0, 0, 7, 2]),
                headers: &NoHeaders,
            };
            match &judge(&spoke, &record, &mut patience)[..] {
                [Outcome::Rejected(rejection)] => assert_eq!(rejection.reason, Reason::UnknownSchema),
                other => panic!("{other:?}"),
            }
        }
        assert!(began.elapsed() < 2 * SCHEMA_WITHIN, "each was waited for: {:?}", began.elapsed());
    }

    #[test]
    fn of_a_registry_that_is_away_no_schema_is_waited_for_until_one_comes_or_a_while_has_passed() {
        let (id, now) = (SchemaRef::Id, Instant::now());
        let mut patience = Patience::default();
        for number in 0..3 {
            assert_eq!(patience.for_schema(id(number), now), SCHEMA_WITHIN, "{number}");
            patience.note(id(number), SCHEMA_WITHIN, false, now);
            // Asked for again, it is not waited for, and says no more of the registry.
            assert_eq!(patience.for_schema(id(number), now), Duration::ZERO, "{number}");
            (0..5).for_each(|_| patience.note(id(number), Duration::ZERO, false, now));
        }
        assert_eq!(patience.for_schema(id(3), now), Duration::ZERO);
        let later = now + AWAY_FOR;
        assert_eq!(patience.for_schema(id(3), later), SCHEMA_WITHIN, "it may be back");
        assert_eq!(patience.for_schema(id(1), later), Duration::ZERO, "that one has had its time");
        patience.note(id(3), SCHEMA_WITHIN, false, later);
        assert_eq!(patience.for_schema(id(4), later), Duration::ZERO, "it is not");
        let back = later + AWAY_FOR;
        patience.note(id(4), SCHEMA_WITHIN, true, back);
        assert_eq!(patience.for_schema(id(5), back), SCHEMA_WITHIN);
        patience.note(id(1), Duration::ZERO, true, back);
        assert_eq!(patience.for_schema(id(1), back), SCHEMA_WITHIN);
    }
}
