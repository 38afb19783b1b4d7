//! One record → what its spoke's paths lead to, whatever it is written in: JSON, Avro with its schemas, an envelope of
//! CloudEvents; its key and headers.

use std::{
    borrow::Cow,
    cell::OnceCell,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use indexmap::IndexMap;

use super::{
    Options, Rejection, SourceRecord, SpokeError, SpokeFile,
    rules::{Mapping, Outside},
    spoke_file::Format,
};
use crate::{
    model::Reason,
    wire::{
        self, Capture, Fault, Scalar, Schemas, Slot,
        projection::{
            Mismatch, Projection,
            sample::{Misfit, misfit as sample_misfit},
        },
        registry::{Found, Registry},
        schemas::{SchemaRef, WriterSchema},
    },
};

/// Projections that are kept. A department has a few versions of a few schemas in use; what is forgotten is made anew.
const PROJECTIONS_MAX: usize = 256;

/// Projections that are looked at first, without a lock and in turn: what a department writes with, nearly always.
const FIRST_PROJECTIONS: usize = 4;

/// A schema that is not here yet: nothing was done with the record, offer it again soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the schema with the {0} is not here yet")]
pub struct NotYet(pub SchemaRef);

/// Why a record was not decoded.
#[derive(Debug)]
pub(super) enum Undecoded {
    /// It never will be.
    Rejected(Rejection),
    /// Its schema is being fetched.
    NotYet(NotYet),
}

impl From<Rejection> for Undecoded {
    fn from(rejection: Rejection) -> Undecoded {
        Undecoded::Rejected(rejection)
    }
}

/// What a spoke's records are written in.
#[derive(Debug)]
pub(super) struct Decoder {
    options: Options,
    schemas: Arc<Schemas>,
    avro: Option<Avro>,
    envelope: Option<Envelope>,
}

#[derive(Debug)]
struct Avro {
    reader: Option<Arc<WriterSchema>>,
    /// The first that were made. They are never forgotten.
    first: [OnceLock<(SchemaRef, Arc<Projection>)>; FIRST_PROJECTIONS],
    projections: RwLock<IndexMap<SchemaRef, Projected, ahash::RandomState>>,
}

/// What a writer's schema makes of the mapping.
#[derive(Clone, Debug)]
enum Projected {
    Fits(Arc<Projection>),
    /// No record of it can be read.
    Never(Rejection),
}

/// What the scalars of a record may borrow that is not in the record.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Bytes that the record has as text.
    unpacked: OnceCell<Vec<u8>>,
    /// How its schema is read: defaults are there …
    projection: OnceCell<Arc<Projection>>,
    /// … and those of a sample that stands for a record as JSON.
    of_sample: OnceCell<Projection>,
}

impl Aside {
    /// The bytes that the record has as text, once they are unpacked.
    pub(super) fn unpacked(&self) -> Option<&[u8]> {
        self.unpacked.get().map(Vec::as_slice)
    }
}

/// An envelope of CloudEvents 1.0: an event's attributes around its data. Structured: one object with both. Binary: the
/// attributes are headers, and the payload is the data.
#[derive(Debug)]
pub(super) struct Envelope {
    /// Where `specversion` is, which every event has.
    pub version: Slot,
    /// Where the data is.
    pub data: Slot,
    /// Where it is in structured mode if it is no JSON, or not written as such: bytes as text.
    pub data_base64: Slot,
    /// The attributes that the mapping names: each with its header.
    pub attributes: Vec<(Slot, Box<str>)>,
}

fn whole(reason: Reason, message: impl Into<String>) -> Rejection {
    Rejection { reason, field: String::new(), message: message.into(), touchpoint: 0 }
}

impl Decoder {
    pub(super) fn compile(
        file: &SpokeFile,
        mapping: &mut Mapping,
        options: Options,
        schemas: &Arc<Schemas>,
    ) -> Result<Decoder, SpokeError> {
        let error = |problem: String| SpokeError {
            spoke: file.spoke.clone(),
            line: None,
            key: "reader_schema".into(),
            problem,
        };
        let reader = match &file.reader_schema {
            None => None,
            Some(name) => {
                let found = schemas.folder.in_file(name);
                let reader = found.ok_or_else(|| {
                    error(format!("there is no {name:?} in the folder of schemas (schemas.directory); put it there"))
                })?;
                // The reader's schema must have what the mapping names.
                let root = mapping.envelope.as_ref().map(|envelope| envelope.data);
                Projection::new(&mapping.shape, root, &mapping.times, reader, Some(reader))
                    .map_err(|mismatch| error(format!("{}: {}", mismatch.path, mismatch.problem)))?;
                Some(Arc::clone(reader))
            }
        };
        let is_avro = matches!(file.format, Format::Avro(_) | Format::TouchpointAvro);
        Ok(Decoder {
            options,
            schemas: Arc::clone(schemas),
            avro: is_avro.then(|| Avro { reader, first: Default::default(), projections: RwLock::default() }),
            envelope: mapping.envelope.take(),
        })
    }

    pub(super) fn is_avro(&self) -> bool {
        self.avro.is_some()
    }

    /// Places that an envelope has whatever the mapping.
    pub(super) fn envelope_slots(&self) -> Vec<Slot> {
        self.envelope.iter().flat_map(|envelope| [envelope.version, envelope.data_base64]).collect()
    }

    /// Where an envelope has the data that a schema describes.
    fn data(&self) -> Option<Slot> {
        self.envelope.as_ref().map(|envelope| envelope.data)
    }

    pub(super) fn wait_for(&self, named: SchemaRef, at_most: Duration) -> Result<(), Arc<str>> {
        match (named, &self.schemas.registry) {
            (SchemaRef::Id(id), Some(registry)) => registry.wait(id, at_most).map(|_| ()),
            _ => Ok(()),
        }
    }

    pub(super) fn registry(&self) -> Option<Registry> {
        self.schemas.registry.clone()
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Where JSON that stands for an Avro record is not what the reader's schema describes. Without a reader's schema, and
    /// where the payload is no JSON or the data in it is Avro, there is nothing to say.
    pub(super) fn misfit(&self, payload: &[u8]) -> Option<Rejection> {
        let reader = self.avro.as_ref()?.reader.as_ref()?;
        let sample: serde_json::Value = serde_json::from_slice(payload).ok()?;
        let (at, described) = match &self.envelope {
            None => ("", &sample),
            Some(_) => ("data", sample.get("data").filter(|data| !data.is_null())?),
        };
        let Misfit { path, problem } = sample_misfit(reader, described)?;
        let dot = if at.is_empty() || path.is_empty() { "" } else { "." };
        Some(Rejection {
            reason: Reason::Undecodable,
            field: format!("{at}{dot}{path}"),
            message: format!("No record of the reader's schema is like this: {problem}."),
            touchpoint: 0,
        })
    }

    /// Decodes a record. `as_json`: an Avro record is given as the JSON that it would be. `aside`: where is kept what is borrowed
    /// and not in the record.
    pub(super) fn decode<'a>(
        &'a self,
        mapping: &Mapping,
        record: &SourceRecord<'a>,
        as_json: bool,
        aside: &'a Aside,
        capture: &mut Capture<'a>,
    ) -> Result<(), Undecoded> {
        let binary = self.envelope.as_ref().filter(|_| has_header(record, "ce_specversion"));
        let structured = self.envelope.as_ref().filter(|_| binary.is_none());
        let shape = &mapping.shape;
        shape.begin(capture);
        let Some(payload) = record.payload else {
            if let Some(envelope) = binary {
                return Ok(envelope.attributes(mapping, record, capture)?); // an event without data
            }
            let message = "The record has no payload; send events, not tombstones.";
            return Err(whole(Reason::Undecodable, message).into());
        };
        if payload.len() > self.options.message_bytes_max {
            let limit = self.options.message_bytes_max;
            let message = format!("The payload is larger than {limit} bytes; send less, or raise the limit.");
            return Err(whole(Reason::TooLarge, message).into());
        }
        let root = binary.map(|envelope| envelope.data);
        match &self.avro {
            Some(avro) if !as_json && structured.is_none() => self.avro(avro, mapping, payload, aside, capture)?,
            _ => json(mapping, payload, root, capture)?,
        }
        if let (Some(avro), true) = (&self.avro, as_json)
            && let Some(reader) = &avro.reader
            && let Ok(projection) = Projection::new(shape, self.data(), &mapping.times, reader, Some(reader))
        {
            aside.of_sample.get_or_init(|| projection).settle(shape, capture);
        }
        match (binary, structured) {
            (Some(envelope), _) => Ok(envelope.attributes(mapping, record, capture)?),
            (_, Some(envelope)) => self.structured(envelope, mapping, as_json, aside, capture),
            (None, None) => Ok(()),
        }
    }

    /// The rest of an event in structured mode, whose object was read: its data, if that is bytes.
    fn structured<'a>(
        &'a self,
        envelope: &Envelope,
        mapping: &Mapping,
        as_json: bool,
        aside: &'a Aside,
        capture: &mut Capture<'a>,
    ) -> Result<(), Undecoded> {
        let at = |slot: Slot, reason, message: &str| -> Result<(), Undecoded> {
            Err(fault(mapping, slot, reason, message).into())
        };
        if capture.scalar(envelope.version).is_absent() {
            let message = "It is no CloudEvent: neither the header ce_specversion (binary) nor the field specversion \
                           (structured) is there; send one, or remove envelope from the spoke file.";
            return at(envelope.version, Reason::MissingField, message);
        }
        let has_data = !capture.scalar(envelope.data).is_absent();
        let bytes = match capture.scalar(envelope.data_base64) {
            Scalar::Missing | Scalar::Null if has_data && self.is_avro() && !as_json => {
                let message = "The data of this spoke's events is Avro; send it as data_base64, or in binary mode.";
                return at(envelope.data, Reason::Undecodable, message);
            }
            Scalar::Missing | Scalar::Null => return Ok(()),
            _ if has_data => {
                let message = "The event has both data and data_base64; send one of them.";
                return at(envelope.data_base64, Reason::Undecodable, message);
            }
            Scalar::Text(text) => wire::from_base64(text),
            _ => None,
        };
        let Some(bytes) = bytes else {
            return at(envelope.data_base64, Reason::Undecodable, "It is no base64; send the data's bytes as such.");
        };
        // The object may say that there is no data, as null.
        capture.set(envelope.data, Scalar::Missing);
        let bytes = aside.unpacked.get_or_init(|| bytes);
        match &self.avro {
            Some(avro) => self.avro(avro, mapping, bytes, aside, capture),
            None => Ok(json(mapping, bytes, Some(envelope.data), capture)?),
        }
    }

    fn avro<'a>(
        &'a self,
        avro: &'a Avro,
        mapping: &Mapping,
        payload: &'a [u8],
        aside: &'a Aside,
        capture: &mut Capture<'a>,
    ) -> Result<(), Undecoded> {
        let unreadable = |error| whole(Reason::Undecodable, format!("Not readable as Avro: {error}."));
        let (named, datum) = wire::avro::unframe(payload).map_err(unreadable)?;
        let first = avro.first.iter().map_while(OnceLock::get).find(|(known, _)| *known == named);
        if let Some((_, projection)) = first {
            let decoded = wire::avro::capture_at(&mapping.shape, datum, projection, capture);
            return Ok(check(mapping, capture, decoded.map_err(unreadable))?);
        }
        let known = avro.projections.read().unwrap_or_else(PoisonError::into_inner).get(&named).cloned();
        let projected = match known {
            Some(known) => known,
            None => self.project(avro, mapping, named)?,
        };
        match projected {
            Projected::Fits(projection) => {
                let projection = aside.projection.get_or_init(|| projection);
                let decoded = wire::avro::capture_at(&mapping.shape, datum, projection, capture);
                Ok(check(mapping, capture, decoded.map_err(unreadable))?)
            }
            Projected::Never(rejection) => Err(rejection.into()),
        }
    }

    /// Lays the mapping over a schema that was not seen before.
    fn project(&self, avro: &Avro, mapping: &Mapping, named: SchemaRef) -> Result<Projected, Undecoded> {
        let writer = match self.schemas.find(named) {
            Found::Schema(writer) => writer,
            Found::Waiting => return Err(Undecoded::NotYet(NotYet(named))),
            // Not kept: it may be there later.
            Found::Unknown(referred) => {
                let message = match referred {
                    None => format!(
                        "Unknown schema: {}; put it there, or write with one that is.",
                        self.schemas.advice(named)
                    ),
                    Some(referred) => format!(
                        "Unknown schema: the one with the {named} refers to {referred}, which the registry does not have; \
                         register it there."
                    ),
                };
                return Err(whole(Reason::UnknownSchema, message).into());
            }
            Found::Unusable(problem) => {
                let message = format!("Its schema is not decoded: {problem}.");
                return Err(whole(Reason::Undecodable, message).into());
            }
        };
        let projected =
            match Projection::new(&mapping.shape, self.data(), &mapping.times, &writer, avro.reader.as_deref()) {
                Ok(projection) => Projected::Fits(Arc::new(projection)),
                Err(Mismatch { path, is_missing, problem }) => Projected::Never(Rejection {
                    reason: if is_missing { Reason::MissingField } else { Reason::WrongType },
                    field: path,
                    message: format!("It was written with the {named}: {problem}."),
                    touchpoint: 0,
                }),
            };
        if let Projected::Fits(projection) = &projected {
            // Two at once may make the same one twice, which only takes its place.
            let is_kept = |place: &OnceLock<_>| place.set((named, Arc::clone(projection))).is_ok();
            let _ = avro.first.iter().any(is_kept);
        }
        let mut known = avro.projections.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PROJECTIONS_MAX {
            known.shift_remove_index(0);
        }
        known.insert(named, projected.clone());
        Ok(projected)
    }
}

/// Reads JSON, which is the whole payload or stands at `root`.
fn json<'a>(
    mapping: &Mapping,
    bytes: &'a [u8],
    root: Option<Slot>,
    capture: &mut Capture<'a>,
) -> Result<(), Rejection> {
    let decoded = wire::json::capture_at(&mapping.shape, root, bytes, capture)
        .map_err(|error| whole(Reason::Undecodable, format!("The payload is {error}; send one JSON object.")));
    check(mapping, capture, decoded)
}

/// Whether a payload can be read at all.
fn check(mapping: &Mapping, capture: &Capture<'_>, decoded: Result<(), Rejection>) -> Result<(), Rejection> {
    match (capture.fault(), decoded) {
        (Some(Fault::Repeated(slot)), _) => {
            let message = "The key is there twice, and only one of them can hold; send it once.";
            Err(fault(mapping, slot, Reason::Undecodable, message))
        }
        (_, Err(rejection)) => Err(rejection),
        (Some(Fault::NotAContainer(slot)), Ok(())) if mapping.shape.path(slot).is_empty() => {
            let message = "The payload is not an object; send one object for each event.";
            Err(whole(Reason::Undecodable, message))
        }
        _ => Ok(()),
    }
}

/// Whether a payload that is in order has a form that the paths do not expect.
pub(super) fn misfit(mapping: &Mapping, capture: &Capture<'_>) -> Result<(), Rejection> {
    match capture.fault() {
        Some(Fault::TooMany(slot)) => {
            let message = "The list has more than 1000 elements; send fewer.";
            Err(fault(mapping, slot, Reason::TooLarge, message))
        }
        Some(Fault::NotAContainer(slot)) => Err(fault(
            mapping,
            slot,
            Reason::WrongType,
            "It holds no object or list, but the spoke file has a path that leads into it; send one, or correct the path.",
        )),
        Some(Fault::Repeated(_)) | None => Ok(()),
    }
}

fn fault(mapping: &Mapping, slot: Slot, reason: Reason, message: &str) -> Rejection {
    Rejection { reason, field: mapping.shape.path(slot).to_owned(), message: message.to_owned(), touchpoint: 0 }
}

impl Envelope {
    /// Fills in the attributes of an event in binary mode.
    fn attributes<'a>(
        &self,
        mapping: &Mapping,
        record: &SourceRecord<'a>,
        capture: &mut Capture<'a>,
    ) -> Result<(), Rejection> {
        for (slot, header) in &self.attributes {
            capture.set(*slot, header_text(mapping, *slot, record, header)?);
        }
        Ok(())
    }
}

/// Fills in what the mapping takes from the record's key and headers. Like absent text, an empty one is missing. The
/// error is the first that is no text; the others are filled in all the same.
pub(super) fn take_outside<'a>(
    mapping: &Mapping,
    record: &SourceRecord<'a>,
    capture: &mut Capture<'a>,
) -> Result<(), Rejection> {
    let mut first = Ok(());
    for (slot, outside) in &mapping.outside {
        let found = match outside {
            Outside::Key => match record.key.map(std::str::from_utf8) {
                None | Some(Ok("")) => Ok(Scalar::Missing),
                Some(Ok(key)) => Ok(Scalar::Text(Cow::Borrowed(key))),
                Some(Err(_)) => Err(not_text(mapping, *slot)),
            },
            Outside::Header(name) => header_text(mapping, *slot, record, name),
        };
        match found {
            Ok(scalar) => capture.set(*slot, scalar),
            Err(rejection) => first = first.and(Err(rejection)),
        }
    }
    first
}

fn has_header(record: &SourceRecord<'_>, name: &str) -> bool {
    let mut found = false;
    record.headers.header(name, &mut |_| found = true);
    found
}

fn header_text(
    mapping: &Mapping,
    slot: Slot,
    record: &SourceRecord<'_>,
    name: &str,
) -> Result<Scalar<'static>, Rejection> {
    let mut found = Ok(Scalar::Missing);
    record.headers.header(name, &mut |value| {
        found = std::str::from_utf8(value).map(|text| match text {
            "" => Scalar::Missing,
            text => Scalar::Text(Cow::Owned(text.to_owned())),
        });
    });
    found.map_err(|_| not_text(mapping, slot))
}

fn not_text(mapping: &Mapping, slot: Slot) -> Rejection {
    Rejection {
        reason: Reason::WrongType,
        field: mapping.shape.path(slot).to_owned(),
        message: "It is not UTF-8 text; send text, or take another place for it.".into(),
        touchpoint: 0,
    }
}
