//! Spokes: a department's records → touchpoints, or rejections that say which field and why.
//!
//! - [`spoke_file`], `keys`: the text of a spoke file → its keys.
//! - [`trial`]: the tests inside of a spoke file; `lines`: where a mistake is; [`fields()`]: what a touchpoint has.
//! - [`Mistakes`]: a spoke file that is wrong → everything that is wrong with it.
//! - `mapping`: a spoke file → `rules`, compiled over the slots of one trie of paths.
//! - `condition`: whether a captured payload is taken at all.
//! - [`segments`]: conditions over touchpoints and what was known of the customer → segments.
//! - `decode`: one record → one captured payload, whatever it is written in.
//! - [`SpokeSet`]: all spokes of a hub; [`LiveSpokes`]: spokes that are replaced while records come.
//! - [`sketch`]: sample records → a spoke file for them.
//! - `draft`: one captured payload → one touchpoint, part by part.
//! - `validate`, `number`, `local`: one scalar → one part, normalised and within its limits; `words`: what it means to us;
//!   `made`: texts that are not in the payload.
//!
//! Nothing here panics on a payload, looks at a clock, or repeats a payload's values in a message; but for the word of a kind
//! that is not known, which is the department's and no customer's.

mod condition;
mod decode;
mod draft;
mod fields;
mod keys;
mod lines;
mod live;
mod local;
mod made;
mod mapping;
mod mistakes;
mod number;
mod rules;
pub mod segments;
mod set;
pub mod sketch;
pub mod spoke_file;
pub mod trial;
mod validate;
mod words;

use std::{sync::Arc, time::Duration};

use crate::{
    model::{IdentifierRules, Kind, Reason, Touchpoint},
    wire::{self, Capture, Scalar, Schemas, schemas::SchemaRef},
};
use condition::Undecided;
pub use decode::NotYet;
use decode::{Aside, Decoder, Undecoded, misfit, take_outside};
pub use draft::may_name_somebody;
pub use fields::fields;
pub use live::{LiveSpokes, SpokeChanges};
use made::{Keeper, Made};
pub use mistakes::{MISTAKES_MAX, Mistakes};
pub use number::currency_exponent;
use rules::{EachRule, IdRule, Mapping, Suffix, WordRule};
pub use set::SpokeSet;
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
    fn schema(&mut self, schema: SchemaRef);
    /// One touchpoint has a kind that has no mapping: the department's own word. It may be anything.
    fn unmapped_kind(&mut self, word: &str);
}

/// Hears nothing.
struct Unheard;

impl Notes for Unheard {
    fn schema(&mut self, _: SchemaRef) {}

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
    /// Nothing is to be taken from it, or from one element of it.
    Skipped(Skip),
    /// It cannot be taken.
    Rejected(Rejection),
}

/// Why nothing is taken from a record that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The spoke file's condition does not hold for it.
    Condition,
    /// The list that is read element by element has none.
    NoElements,
}

impl Skip {
    /// `condition` or `no_elements`.
    pub fn as_str(self) -> &'static str {
        match self {
            Skip::Condition => "condition",
            Skip::NoElements => "no_elements",
        }
    }

    /// The same in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Skip::Condition => "skipped by the condition",
            Skip::NoElements => "skipped, its list has no elements",
        }
    }
}

/// Why a record, or one touchpoint in it, was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason, of a closed set.
    pub reason: Reason,
    /// The field to blame, as a path into the payload; empty if it is the payload as a whole.
    pub field: String,
    /// A sentence that says what is wrong and what to do. Nothing of the payload is in it but the word of an unknown kind.
    pub message: String,
    /// Which touchpoint of the record, from 0.
    pub touchpoint: usize,
}

/// What a mapping's paths found in records ([`Spoke::look`]).
#[derive(Clone, Debug, Default)]
pub struct Finds(Vec<bool>);

/// What holds for every spoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How far after its record's timestamp a touchpoint may lie.
    pub too_far_in_future_ms: i64,
    /// The largest payload that is decoded.
    pub message_bytes_max: usize,
    /// How identifiers are compared; a spoke may have a region of its own.
    pub identifiers: IdentifierRules,
}

impl Default for Options {
    /// One day; 1 MiB.
    fn default() -> Options {
        Options {
            too_far_in_future_ms: 86_400_000,
            message_bytes_max: wire::MESSAGE_BYTES_MAX,
            identifiers: IdentifierRules::default(),
        }
    }
}

/// A department, plugged in: its compiled mapping.
#[derive(Debug)]
pub struct Spoke {
    name: String,
    topic: String,
    fingerprint: u64,
    mapping: Mapping,
    decoder: Decoder,
}

impl Spoke {
    /// Checks a spoke file and compiles it. `schemas` are those that Avro messages may be written with.
    pub fn compile(file: &SpokeFile, mut options: Options, schemas: &Arc<Schemas>) -> Result<Spoke, SpokeError> {
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
        if let Some(region) = &file.phone_region {
            let with_region = options.identifiers.with_phone_region(region);
            options.identifiers = with_region.map_err(|problem| file.locate(error("phone_region", &problem)))?;
        }
        let mut mapping = Mapping::compile(file, &options.identifiers).map_err(|error| file.locate(error))?;
        let decoder = Decoder::compile(file, &mut mapping, options, schemas).map_err(|error| file.locate(error))?;
        Ok(Spoke {
            name: file.spoke.clone(),
            topic: file.topic.clone(),
            fingerprint: file.fingerprint(),
            mapping,
            decoder,
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

    /// A hash of its file: another one is another mapping, or another way to write the same.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether its events are Avro, which has no lines.
    pub fn is_avro(&self) -> bool {
        self.decoder.is_avro()
    }

    /// Whether its events are canonical touchpoints, with objects inside of objects, and nothing is mapped.
    pub fn is_canonical(&self) -> bool {
        self.mapping.spoke.is_some()
    }

    /// Whether a touchpoint's id is its record's position: the same event sent twice is two touchpoints.
    pub fn has_ids_of_positions(&self) -> bool {
        matches!(self.mapping.id, IdRule::Position)
    }

    /// Whether a field that a rejection names is of the first element of its record's list.
    pub fn is_of_first_element(&self, field: &str) -> bool {
        self.mapping.each.as_ref().is_some_and(|rule| {
            let of_list = rule.path.strip_suffix(']').and_then(|list| field.strip_prefix(list));
            of_list.is_some_and(|rest| rest.starts_with("0]"))
        })
    }

    /// Whether a record becomes as many touchpoints as a list in it has elements.
    pub fn reads_elements(&self) -> bool {
        self.mapping.each.is_some()
    }

    /// Whether something of a touchpoint is taken from its record's key.
    pub fn reads_keys(&self) -> bool {
        self.mapping.outside.iter().any(|(_, outside)| matches!(outside, rules::Outside::Key))
    }

    /// Maps one record and hands each of its outcomes, at least one, to `each`; none if the schema that it was written
    /// with is not here yet. Never panics.
    pub fn map(&self, record: &SourceRecord<'_>, each: &mut dyn FnMut(Mapped<'_>)) -> Result<(), NotYet> {
        self.map_form(record, false, &mut Unheard, each)
    }

    /// [`Spoke::map`], with a word about schemas and kinds.
    pub fn map_noting(
        &self,
        record: &SourceRecord<'_>,
        notes: &mut dyn Notes,
        each: &mut dyn FnMut(Mapped<'_>),
    ) -> Result<(), NotYet> {
        self.map_form(record, false, notes, each)
    }

    /// The same for a record of an Avro spoke that is given as the JSON that it would be: tests and samples.
    pub fn map_json(&self, record: &SourceRecord<'_>, each: &mut dyn FnMut(Mapped<'_>)) {
        // What is given as JSON needs no schema, unless Avro is inside of it.
        if let Err(NotYet(named)) = self.map_form(record, true, &mut Unheard, each) {
            each(Mapped::Rejected(Rejection {
                reason: Reason::UnknownSchema,
                field: String::new(),
                message: format!("The schema with the {named} is not at hand; try again, or send the data as JSON."),
                touchpoint: 0,
            }));
        }
    }

    fn map_form(
        &self,
        record: &SourceRecord<'_>,
        as_json: bool,
        notes: &mut dyn Notes,
        each: &mut dyn FnMut(Mapped<'_>),
    ) -> Result<(), NotYet> {
        let aside = Aside::default();
        let mut capture = Capture::default();
        match self.decoder.decode(&self.mapping, record, as_json, &aside, &mut capture) {
            Ok(()) => {
                self.note_schema(record, &aside, None, notes);
                self.take(record, &mut capture, notes, each);
            }
            Err(Undecoded::NotYet(not_yet)) => return Err(not_yet),
            Err(Undecoded::Rejected(rejection)) => {
                self.note_schema(record, &aside, Some(rejection.reason), notes);
                each(Mapped::Rejected(rejection));
            }
        }
        Ok(())
    }

    /// Why no record can be like a sample that stands for one as JSON: it is not what the reader's schema describes.
    pub fn misfit(&self, sample: &[u8]) -> Option<Rejection> {
        self.decoder.misfit(sample)
    }

    /// Notes which paths of the mapping find something in a record, which may be given as the JSON that it would be.
    pub fn look(&self, record: &SourceRecord<'_>, as_json: bool, finds: &mut Finds) {
        let aside = Aside::default();
        let mut capture = Capture::default();
        if self.decoder.decode(&self.mapping, record, as_json, &aside, &mut capture).is_ok() {
            self.mapping.shape.note_found(&mut capture, &mut finds.0);
        }
    }

    /// The paths of the mapping that found nothing so far. What the format itself looks for is not among them, nor what
    /// samples do not have: keys and headers.
    pub fn not_found(&self, finds: &Finds) -> Vec<&str> {
        match self.is_canonical() {
            true => Vec::new(), // every field of the canonical touchpoint may be left out
            false => self.mapping.shape.unfound(&finds.0, &self.decoder.envelope_slots()),
        }
    }

    /// Waits until a schema is here or known not to be anywhere, at most so long. The error says what was in the way.
    pub fn wait_for(&self, named: SchemaRef, at_most: Duration) -> Result<(), Arc<str>> {
        self.decoder.wait_for(named, at_most)
    }

    /// Makes touchpoints of what was captured.
    fn take<'a>(
        &self,
        record: &SourceRecord<'a>,
        capture: &mut Capture<'a>,
        notes: &mut dyn Notes,
        each: &mut dyn FnMut(Mapped<'_>),
    ) {
        let outside = take_outside(&self.mapping, record, capture);
        // The condition comes first: of what it leaves out, no other shape is expected.
        let misfit = misfit(&self.mapping, capture).err().or(outside.err());
        let of_record = self.mapping.condition.as_ref().filter(|condition| !condition.is_of_element());
        match (of_record.map(|condition| condition.holds(capture)), misfit) {
            (Some(Ok(false)), _) => return each(Mapped::Skipped(Skip::Condition)),
            (_, Some(rejection)) => return each(Mapped::Rejected(rejection)),
            (Some(Err(undecided)), None) => return each(Mapped::Rejected(self.undecided(undecided))),
            (Some(Ok(true)) | None, None) => {}
        }
        let Some(rule) = &self.mapping.each else {
            let made = Made::default();
            let drafted = self.draft(record, capture, &made, None);
            self.note_kind(&drafted, capture, notes);
            return match drafted {
                Ok(touchpoint) => each(Mapped::Touchpoint(touchpoint)),
                Err(rejection) => each(Mapped::Rejected(*rejection)),
            };
        };
        if capture.elements() == 0 {
            // An empty list, or null, says that there is nothing. A list that is not there may be called otherwise now.
            let is_there = !matches!(capture.scalar(rule.list), Scalar::Missing);
            return each(match is_there || rule.is_optional {
                true => Mapped::Skipped(Skip::NoElements),
                false => Mapped::Rejected(self.without_list(rule)),
            });
        }
        for index in 0..capture.elements() {
            capture.select(&self.mapping.shape, index);
            let of_element = self.mapping.condition.as_ref().filter(|condition| condition.is_of_element());
            let made = Made::default();
            let drafted = match of_element.map(|condition| condition.holds(capture)) {
                Some(Ok(false)) => {
                    each(Mapped::Skipped(Skip::Condition));
                    continue;
                }
                Some(Err(undecided)) => Err(Box::new(self.undecided(undecided))),
                Some(Ok(true)) | None => self.draft(record, capture, &made, Some((rule, index))),
            };
            self.note_kind(&drafted, capture, notes);
            match drafted {
                Ok(touchpoint) => each(Mapped::Touchpoint(touchpoint)),
                Err(mut rejection) => {
                    rejection.touchpoint = index;
                    if let Some(rest) = rejection.field.strip_prefix(&rule.path) {
                        rejection.field = format!("{}{index}]{rest}", &rule.path[..rule.path.len() - 1]);
                    }
                    each(Mapped::Rejected(*rejection));
                }
            }
        }
    }

    /// The rejection of a record that has not even an empty list of elements.
    #[cold]
    fn without_list(&self, rule: &EachRule) -> Rejection {
        Rejection {
            reason: Reason::MissingField,
            field: self.mapping.shape.path(rule.list).to_owned(),
            message:
                "each: there is no such list; send it, if only an empty one, or say where it is now; if records may be \
                      without it, set each = { path = \"…\", optional = true } in the spoke file."
                    .to_owned(),
            touchpoint: 0,
        }
    }

    /// The rejection of what the condition cannot decide.
    fn undecided(&self, Undecided { slot, problem }: Undecided) -> Rejection {
        Rejection {
            reason: Reason::ConditionError,
            field: slot.map(|slot| self.mapping.shape.path(slot).to_owned()).unwrap_or_default(),
            message: format!("condition: {problem}."),
            touchpoint: 0,
        }
    }

    /// A schema that is not known says nothing of the department's records, and anybody can make one up.
    fn note_schema(&self, record: &SourceRecord<'_>, aside: &Aside, rejected: Option<Reason>, notes: &mut dyn Notes) {
        let unknown = matches!(rejected, Some(Reason::UnknownSchema | Reason::TooLarge));
        if self.is_avro()
            && !unknown
            && let Some(Ok((schema, _))) = aside.unpacked().or(record.payload).map(wire::avro::unframe)
        {
            notes.schema(schema);
        }
    }

    fn note_kind(
        &self,
        drafted: &Result<Touchpoint<'_>, Box<Rejection>>,
        capture: &Capture<'_>,
        notes: &mut dyn Notes,
    ) {
        let of_note = match drafted {
            Ok(touchpoint) => touchpoint.kind == Kind::Other,
            Err(rejection) => rejection.reason == Reason::UnknownKind,
        };
        if let (true, WordRule::Slot { place, map, .. }) = (of_note, &self.mapping.kind)
            && let Ok(Some(word)) = validate::text(
                capture.scalar(place.slot(capture)),
                validate::TEXT_CHARACTERS_MAX,
                &Keeper::new(&Made::default()),
            )
            && draft::translated(word, map, Kind::parse).is_none()
        {
            notes.unmapped_kind(word);
        }
    }

    /// One touchpoint, of a record or of an element of it, with its id. It is large: what nothing is added to is handed on as it is.
    fn draft<'c>(
        &'c self,
        record: &SourceRecord<'_>,
        capture: &'c Capture<'_>,
        made: &'c Made,
        element: Option<(&EachRule, usize)>,
    ) -> Result<Touchpoint<'c>, Box<Rejection>> {
        let keeper = Keeper::new(made);
        let mut drafted = draft::take(&self.mapping, &self.name, capture, &keeper, record, self.decoder.options());
        if (element.is_some() || matches!(self.mapping.id, IdRule::Content))
            && let Ok(touchpoint) = &mut drafted
            && let Err(rejection) = self.complete_id(touchpoint, capture, &keeper, element)
        {
            drafted = Err(rejection);
        }
        drafted
    }

    /// The part of an id that is not in the record: a hash of the rest, what tells an element from the others.
    fn complete_id<'c>(
        &self,
        touchpoint: &mut Touchpoint<'c>,
        capture: &'c Capture<'_>,
        keeper: &Keeper<'c>,
        element: Option<(&EachRule, usize)>,
    ) -> Result<(), Box<Rejection>> {
        if let IdRule::Content = self.mapping.id {
            let mut encoded = Vec::with_capacity(256);
            touchpoint.encode_into(&mut encoded);
            touchpoint.id = keeper.keep(format!("{:032x}", Touchpoint::content_hash(&encoded)));
        }
        if let Some((EachRule { suffix: Some(suffix), .. }, index)) = element {
            let (slot, key) = match suffix {
                Suffix::Number => (None, Ok(keeper.keep((index + 1).to_string()))),
                Suffix::Place(place) => {
                    let slot = place.slot(capture);
                    let key = match validate::is_nothing(capture.scalar(slot)) {
                        false => validate::id(capture.scalar(slot), keeper),
                        true => validate::refused(
                            Reason::MissingField,
                            "there is nothing that tells the element from the others of its record; send it",
                        ),
                    };
                    (Some(slot), key)
                }
            };
            let key = key.and_then(|key| {
                let id = format!("{}#{key}", touchpoint.id);
                match id.chars().count() <= validate::ID_CHARACTERS_MAX {
                    true => Ok(id),
                    false => {
                        validate::refused(Reason::TooLarge, "the id is longer than 128 characters; send a shorter one")
                    }
                }
            });
            let id = key.map_err(|refused| {
                Box::new(Rejection {
                    reason: refused.reason,
                    field: slot.map(|slot| self.mapping.shape.path(slot).to_owned()).unwrap_or_default(),
                    message: format!("each.key: {}.", refused.message),
                    touchpoint: 0,
                })
            })?;
            touchpoint.id = keeper.keep(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
