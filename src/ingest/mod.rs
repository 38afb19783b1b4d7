//! Spokes: a department's records → touchpoints, or rejections that say which field and why.
//!
//! - [`spoke_file`], `keys`: the text of a spoke file → its keys.
//! - [`trial`]: the tests inside of a spoke file; `lines`: where a mistake is; [`fields()`]: what a touchpoint has.
//! - `mapping`: a spoke file → `rules`, compiled over the slots of one trie of paths.
//! - `draft`: one captured payload → one touchpoint, part by part.
//! - `validate`, `number`, `local`: one scalar → one part, normalised and within its limits.
//!
//! Nothing here panics on a payload, looks at a clock, or repeats a payload's values in a message.

mod draft;
mod fields;
mod keys;
mod lines;
mod local;
mod mapping;
mod number;
mod rules;
pub mod spoke_file;
pub mod trial;
mod validate;

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use crate::{
    model::{Kind, Reason, Touchpoint},
    wire::{
        self, Capture, Fault, Scalar, SchemaFolder,
        avro::{AvroError, SchemaName},
    },
};
use draft::Draft;
pub use fields::fields;
use rules::{EachRule, IdRule, Mapping, Outside, Suffix, WordRule};
pub use spoke_file::{Format, SpokeError, SpokeFile};

/// One record of a spoke's topic.
#[derive(Clone, Copy)]
pub struct SourceRecord<'a> {
    /// Where it was read.
    pub topic: &'a str,
    /// Where it was read.
    pub partition: i32,
    /// Where it was read.
    pub offset: i64,
    /// The record's own timestamp, against which a time in the future is judged; negative if it has none.
    pub timestamp_ms: i64,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// What the department wrote.
    pub payload: Option<&'a [u8]>,
    /// The record's headers.
    pub headers: &'a dyn Headers,
}

/// The headers of a record, whatever client read it.
pub trait Headers {
    /// Hands over the value of the last header with a name, if there is one and it has one.
    fn header(&self, name: &str, take: &mut dyn FnMut(&[u8]));
}

/// No headers.
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn header(&self, _: &str, _: &mut dyn FnMut(&[u8])) {}
}

impl Headers for Vec<(String, String)> {
    fn header(&self, name: &str, take: &mut dyn FnMut(&[u8])) {
        if let Some((_, value)) = self.iter().rfind(|(known, _)| known == name) {
            take(value.as_bytes());
        }
    }
}

/// Hears what else is worth counting of a record.
pub trait Notes {
    /// The record names this schema, and it is known.
    fn schema(&mut self, schema: SchemaName);
    /// One touchpoint has a kind that has no mapping: the department's own word. It may be anything.
    fn unmapped_kind(&mut self, word: &str);
}

/// Hears nothing.
struct Unheard;

impl Notes for Unheard {
    fn schema(&mut self, _: SchemaName) {}

    fn unmapped_kind(&mut self, _: &str) {}
}

/// One outcome of a source record.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every outcome is the large one, and it is handed on by reference to the stack"
)]
pub enum Mapped<'a> {
    /// A valid touchpoint.
    Touchpoint(Touchpoint<'a>),
    /// Nothing is to be taken from it: the list that is read element by element has none.
    Skipped,
    /// It cannot be taken.
    Rejected(Rejection),
}

/// Why a record, or one touchpoint in it, was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason, of a closed set.
    pub reason: Reason,
    /// The field to blame, as a path into the payload; empty if it is the payload as a whole.
    pub field: String,
    /// A sentence that says what is wrong and what to do. Nothing of the payload is in it.
    pub message: String,
    /// Which touchpoint of the record, from 0.
    pub touchpoint: usize,
}

/// What holds for every spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How far after its record's timestamp a touchpoint may lie.
    pub too_far_in_future_ms: i64,
    /// The largest payload that is decoded.
    pub message_bytes_max: usize,
}

impl Default for Options {
    /// One day; 1 MiB.
    fn default() -> Options {
        Options { too_far_in_future_ms: 86_400_000, message_bytes_max: wire::MESSAGE_BYTES_MAX }
    }
}

/// A department, plugged in: its compiled mapping.
#[derive(Debug)]
pub struct Spoke {
    name: String,
    topic: String,
    avro: bool,
    mapping: Mapping,
    options: Options,
    schemas: Arc<SchemaFolder>,
}

impl Spoke {
    /// Checks a spoke file and compiles it. `schemas` are those that Avro messages may be written with.
    pub fn compile(file: &SpokeFile, options: Options, schemas: &Arc<SchemaFolder>) -> Result<Spoke, SpokeError> {
        let error = |key: &str, problem: &str| SpokeError {
            spoke: file.spoke.clone(),
            line: None,
            key: key.to_owned(),
            problem: problem.to_owned(),
        };
        let is_name = |name: &str, longest: usize| {
            (1..=longest).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        };
        if !is_name(&file.spoke, 64) {
            return Err(
                file.locate(error("spoke", "a spoke's name has 1 to 64 letters, digits, dots, hyphens or underscores"))
            );
        }
        if !is_name(&file.topic, 249) {
            let problem = "a topic's name has 1 to 249 letters, digits, dots, hyphens or underscores";
            return Err(file.locate(error("topic", problem)));
        }
        Ok(Spoke {
            name: file.spoke.clone(),
            topic: file.topic.clone(),
            avro: file.format == Format::TouchpointAvro,
            mapping: Mapping::compile(file).map_err(|error| file.locate(error))?,
            options,
            schemas: Arc::clone(schemas),
        })
    }

    /// The department.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The topic of its events.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Whether its events are Avro, which has no lines.
    pub fn is_avro(&self) -> bool {
        self.avro
    }

    /// Whether its events are canonical touchpoints, with objects inside of objects, and nothing is mapped.
    pub fn is_canonical(&self) -> bool {
        self.mapping.spoke.is_some()
    }

    /// Whether a touchpoint's id is its record's position: the same event sent twice is two touchpoints.
    pub fn has_ids_of_positions(&self) -> bool {
        matches!(self.mapping.id, IdRule::Position)
    }

    /// Maps one record and hands each of its outcomes, at least one, to `each`. Never panics.
    pub fn map(&self, record: &SourceRecord<'_>, each: &mut dyn FnMut(Mapped<'_>)) {
        self.map_noting(record, &mut Unheard, each);
    }

    /// [`Spoke::map`], with a word about schemas and kinds.
    pub fn map_noting(&self, record: &SourceRecord<'_>, notes: &mut dyn Notes, each: &mut dyn FnMut(Mapped<'_>)) {
        let mut capture = Capture::default();
        let decoded = self.decode(record, &mut capture).and_then(|()| self.take_outside(record, &mut capture));
        self.note_schema(record, &decoded, notes);
        if let Err(rejection) = decoded {
            return each(Mapped::Rejected(rejection));
        }
        let Some(rule) = &self.mapping.each else {
            let drafted = self.draft(record, &capture, None);
            self.note_kind(&drafted, &capture, notes);
            return match drafted {
                Ok(draft) => each(Mapped::Touchpoint(draft.touchpoint())),
                Err(rejection) => each(Mapped::Rejected(rejection)),
            };
        };
        if capture.elements() == 0 {
            return each(Mapped::Skipped);
        }
        for index in 0..capture.elements() {
            capture.select(&self.mapping.shape, index);
            let drafted = self.draft(record, &capture, Some((rule, index)));
            self.note_kind(&drafted, &capture, notes);
            match drafted {
                Ok(draft) => each(Mapped::Touchpoint(draft.touchpoint())),
                Err(mut rejection) => {
                    rejection.touchpoint = index;
                    if let Some(rest) = rejection.field.strip_prefix(&rule.path) {
                        rejection.field = format!("{}{index}]{rest}", &rule.path[..rule.path.len() - 1]);
                    }
                    each(Mapped::Rejected(rejection));
                }
            }
        }
    }

    /// A schema that is not known says nothing of the department's records, and anybody can make one up.
    fn note_schema(&self, record: &SourceRecord<'_>, decoded: &Result<(), Rejection>, notes: &mut dyn Notes) {
        let unknown = matches!(decoded, Err(Rejection { reason: Reason::UnknownSchema | Reason::TooLarge, .. }));
        if self.avro
            && !unknown
            && let Some(schema) = record.payload.and_then(wire::avro::named_schema)
        {
            notes.schema(schema);
        }
    }

    fn note_kind(&self, drafted: &Result<Draft<'_>, Rejection>, capture: &Capture<'_>, notes: &mut dyn Notes) {
        let of_note = match drafted {
            Ok(draft) => draft.kind() == Kind::Other,
            Err(rejection) => rejection.reason == Reason::UnknownKind,
        };
        if let (true, WordRule::Slot { place, map, .. }) = (of_note, &self.mapping.kind)
            && let Ok(Some(word)) = validate::text(capture.scalar(place.slot(capture)), validate::TEXT_CHARACTERS_MAX)
            && draft::translated(&word, map, Kind::parse).is_none()
        {
            notes.unmapped_kind(&word);
        }
    }

    /// One touchpoint, of a record or of an element of it, with its id.
    fn draft<'c>(
        &'c self,
        record: &SourceRecord<'_>,
        capture: &'c Capture<'_>,
        element: Option<(&EachRule, usize)>,
    ) -> Result<Draft<'c>, Rejection> {
        let mut draft = Draft::take(&self.mapping, &self.name, capture, record, self.options.too_far_in_future_ms)?;
        if let IdRule::Content = self.mapping.id {
            let mut encoded = Vec::with_capacity(256);
            draft.touchpoint().encode_into(&mut encoded);
            draft.set_id(format!("{:032x}", Touchpoint::content_hash(&encoded)));
        }
        if let Some((EachRule { suffix: Some(suffix), .. }, index)) = element {
            let (slot, key) = match suffix {
                Suffix::Number => (None, Ok(Cow::Owned((index + 1).to_string()))),
                Suffix::Place(place) => {
                    let slot = place.slot(capture);
                    let key = match capture.scalar(slot).is_absent() {
                        false => validate::id(capture.scalar(slot)),
                        true => validate::refused(
                            Reason::MissingField,
                            "there is nothing that tells the element from the others of its record; send it",
                        ),
                    };
                    (Some(slot), key)
                }
            };
            let key = key.and_then(|key| {
                let id = format!("{}#{key}", draft.id());
                match id.chars().count() <= validate::ID_CHARACTERS_MAX {
                    true => Ok(id),
                    false => {
                        validate::refused(Reason::TooLarge, "the id is longer than 128 characters; send a shorter one")
                    }
                }
            });
            draft.set_id(key.map_err(|refused| Rejection {
                reason: refused.reason,
                field: slot.map(|slot| self.mapping.shape.path(slot).to_owned()).unwrap_or_default(),
                message: format!("each.key: {}.", refused.message),
                touchpoint: 0,
            })?);
        }
        Ok(draft)
    }

    /// Fills in what the mapping takes from the record's key and headers. Like absent text, an empty one is missing.
    fn take_outside<'a>(&self, record: &SourceRecord<'a>, capture: &mut Capture<'a>) -> Result<(), Rejection> {
        for (slot, outside) in &self.mapping.outside {
            let found = match outside {
                Outside::Key => match record.key.map(std::str::from_utf8) {
                    None | Some(Ok("")) => Ok(Scalar::Missing),
                    Some(Ok(key)) => Ok(Scalar::Text(Cow::Borrowed(key))),
                    Some(Err(error)) => Err(error),
                },
                Outside::Header(name) => {
                    let mut found = Ok(Scalar::Missing);
                    record.headers.header(name, &mut |value| {
                        found = std::str::from_utf8(value).map(|text| match text {
                            "" => Scalar::Missing,
                            text => Scalar::Text(Cow::Owned(text.to_owned())),
                        });
                    });
                    found
                }
            };
            capture.set(
                *slot,
                found.map_err(|_| Rejection {
                    reason: Reason::WrongType,
                    field: self.mapping.shape.path(*slot).to_owned(),
                    message: "It is not UTF-8 text; send text, or take another place for it.".into(),
                    touchpoint: 0,
                })?,
            );
        }
        Ok(())
    }

    fn decode<'a>(&self, record: &SourceRecord<'a>, capture: &mut Capture<'a>) -> Result<(), Rejection> {
        let whole = |reason, message: String| Err(Rejection { reason, field: String::new(), message, touchpoint: 0 });
        let Some(payload) = record.payload else {
            return whole(Reason::Undecodable, "The record has no payload; send events, not tombstones.".into());
        };
        if payload.len() > self.options.message_bytes_max {
            let limit = self.options.message_bytes_max;
            let message = format!("The payload is larger than {limit} bytes; send less, or raise the limit.");
            return whole(Reason::TooLarge, message);
        }
        let decoded = if self.avro {
            wire::avro::capture(&self.mapping.shape, payload, &self.schemas, capture).map_err(|error| match error {
                AvroError::UnknownFingerprint(_) | AvroError::UnknownId(_) => (
                    Reason::UnknownSchema,
                    format!("Unknown schema: {error}; put it there, or write with one that is."),
                ),
                error => (Reason::Undecodable, format!("Not readable as Avro: {error}.")),
            })
        } else {
            wire::json::capture(&self.mapping.shape, payload, capture)
                .map_err(|error| (Reason::Undecodable, format!("The payload is {error}; send one JSON object.")))
        };
        let fault = |slot, reason, message: &str| {
            Err(Rejection {
                reason,
                field: self.mapping.shape.path(slot).to_owned(),
                message: message.to_owned(),
                touchpoint: 0,
            })
        };
        match (capture.fault(), decoded) {
            (Some(Fault::Repeated(slot)), _) => {
                fault(slot, Reason::Undecodable, "The key is there twice, and only one of them can hold; send it once.")
            }
            (_, Err((reason, message))) => whole(reason, message),
            (Some(Fault::NotAContainer(slot)), Ok(())) if self.mapping.shape.path(slot).is_empty() => {
                whole(Reason::Undecodable, "The payload is not an object; send one object for each event.".into())
            }
            (Some(Fault::TooMany(slot)), Ok(())) => {
                fault(slot, Reason::TooLarge, "The list has more than 1000 elements; send fewer.")
            }
            (Some(Fault::NotAContainer(slot)), Ok(())) => fault(
                slot,
                Reason::WrongType,
                "It holds no object or list, but the spoke file has a path that leads into it; send one, or correct the path.",
            ),
            (None, Ok(())) => Ok(()),
        }
    }
}

/// All spokes, by topic.
#[derive(Debug, Default)]
pub struct SpokeSet {
    by_topic: HashMap<String, Spoke, ahash::RandomState>,
}

impl SpokeSet {
    /// Takes compiled spokes; each has its own topic and its own name.
    pub fn new(spokes: impl IntoIterator<Item = Spoke>) -> Result<SpokeSet, SpokeError> {
        let mut set = SpokeSet::default();
        for spoke in spokes {
            let error = |key: &str, problem: &str| SpokeError {
                spoke: spoke.name.clone(),
                line: None,
                key: key.to_owned(),
                problem: problem.to_owned(),
            };
            if set.by_topic.contains_key(&spoke.topic) {
                return Err(error("topic", "another spoke reads this topic; give each its own"));
            }
            if set.by_topic.values().any(|other| other.name == spoke.name) {
                return Err(error("spoke", "another file has this name; a touchpoint's id is unique within its spoke"));
            }
            set.by_topic.insert(spoke.topic.clone(), spoke);
        }
        Ok(set)
    }

    /// The spoke that a topic belongs to.
    pub fn of_topic(&self, topic: &str) -> Option<&Spoke> {
        self.by_topic.get(topic)
    }

    /// Every spoke, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Spoke> {
        let mut spokes: Vec<&Spoke> = self.by_topic.values().collect();
        spokes.sort_by(|a, b| a.name.cmp(&b.name));
        spokes.into_iter()
    }
}

#[cfg(test)]
mod tests;
