//! A source record and its spoke's mapping in; what it becomes, as text and JSON, out.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    ingest::{self, Mapped, NotYet, Rejection, Skip, SourceRecord, Spoke},
    model::{PersonKey, Reason, Touchpoint},
};

/// What stands where personal data is not to be seen.
const MASK: &str = "***";

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

    /// Hides who it is: the values of identifiers, the referrer's, those of properties.
    fn mask(&mut self) {
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

/// Maps one record as the hub does. A schema that it needs is waited for; what does not come is told as unknown, though a
/// hub would wait on.
pub(super) fn judge(spoke: &Spoke, record: &SourceRecord<'_>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    while let Err(NotYet(named)) = spoke.map(record, &mut |mapped| outcomes.push(mapped.into())) {
        if let Err(problem) = spoke.wait_for(named, SCHEMA_WITHIN) {
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
