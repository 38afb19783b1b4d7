//! Writer schemas: `.avsc` texts → which schema a message was written with, and whether it is safe to decode.

use std::{collections::HashMap, fmt, sync::Arc};

use apache_avro::{
    Schema,
    rabin::Rabin,
    schema::{Name, UuidSchema},
};

use serde_avro_fast::schema::{SchemaError as Unreadable, SchemaMut};

use super::registry::{Found, Registry};

/// The canonical touchpoint's schema: the text of `schemas/touchpoint.avsc`.
pub const TOUCHPOINT_SCHEMA: &str = include_str!("../../schemas/touchpoint.avsc");

/// Beyond this a schema is no description of an event any more, and parsing it becomes an attack.
const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// Bounds the recursion of decoding. Below serde_avro_fast's own limit of 64, in which unions count as well.
const SCHEMA_DEPTH_MAX: usize = 16;
/// Bounds what one message can make the decoder look at…
const SCHEMA_FIELDS_MAX: usize = 200;
/// …also where named records are used again and again: each use counts here. A record of records of nulls takes no bytes,
/// so the size of the message would not bound the work.
const SCHEMA_FIELDS_EXPANDED_MAX: usize = 5_000;

/// Why a schema is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// No Avro schema.
    #[error("{name}: not an Avro schema: {problem}")]
    Unparsable {
        /// The file.
        name: String,
        /// What the parser says.
        problem: String,
    },
    /// A schema that an attacker could use, or nobody needs.
    #[error("{name}: {problem}; such schemas are not decoded")]
    Unsafe {
        /// The file.
        name: String,
        /// Which limit it breaks.
        problem: String,
    },
    /// Two files say different things about the same id.
    #[error("{name}: the registry id {id} is taken by another file; keep one file for each id")]
    RepeatedId {
        /// The file.
        name: String,
        /// The id.
        id: u32,
    },
}

/// A schema that messages are written with, checked and ready to decode.
#[derive(Debug)]
pub struct WriterSchema {
    /// How its bytes are laid out.
    pub(super) layout: SchemaMut,
    pub(super) parsed: Schema,
    fingerprint: [u8; 8],
    /// What the Rust and Python libraries of the Avro project (0.22, 1.12) take for it: their canonical form keeps
    /// `{"type":"long"}` where a logical type was. Theirs is read, never written.
    fingerprint_otherwise: [u8; 8],
}

impl WriterSchema {
    /// Parses and checks a schema; `name` is for the error.
    pub fn parse(name: &str, text: &str) -> Result<WriterSchema, SchemaError> {
        let rejected = |problem: String| SchemaError::Unsafe { name: name.to_owned(), problem };
        let unparsable = |problem: String| SchemaError::Unparsable { name: name.to_owned(), problem };
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(rejected("it is larger than 256 KiB".into()));
        }
        let parsed = Schema::parse_str(text).map_err(|error| unparsable(error.to_string()))?;
        lint(&parsed).map_err(|problem| rejected(problem.to_owned()))?;
        // Only after the lint: the second parser looks for cycles along every path.
        let layout: SchemaMut = text.parse().map_err(|error: Unreadable| unparsable(error.to_string()))?;
        let schema = layout.clone().freeze().map_err(|error| unparsable(error.to_string()))?;
        let otherwise = parsed.fingerprint::<Rabin>().bytes;
        Ok(WriterSchema {
            fingerprint: *schema.rabin_fingerprint(),
            fingerprint_otherwise: otherwise.try_into().expect("CRC-64 has eight bytes"),
            layout,
            parsed,
        })
    }

    /// Its text.
    pub fn text(&self) -> String {
        serde_json::to_string(&self.parsed).expect("a schema that was parsed of JSON is JSON")
    }

    /// CRC-64-AVRO of the parsing canonical form, in the byte order of single-object encoding (little endian).
    pub fn fingerprint(&self) -> [u8; 8] {
        self.fingerprint
    }
}

/// CRC-64-AVRO of the parsing canonical form of a schema's text, little endian (Avro specification 1.12, "Schema
/// Fingerprints").
///
/// Not that of `apache_avro`: its canonical form keeps `{"type":"long"}` where a logical type was; the specification and its
/// Java implementation have `"long"`.
pub fn fingerprint(text: &str) -> Result<[u8; 8], SchemaError> {
    let schema: serde_avro_fast::Schema = text.parse().map_err(|error: Unreadable| SchemaError::Unparsable {
        name: "the schema".to_owned(),
        problem: error.to_string(),
    })?;
    Ok(*schema.rabin_fingerprint())
}

/// The schemas that messages may be written with: the canonical one, and those of a folder.
///
/// The files of the folder are `<name>.avsc`. Every one is found by its fingerprint (single-object encoding); one whose
/// name is a number, such as `17.avsc`, also by that id (the wire format of schema registries).
#[derive(Debug)]
pub struct SchemaFolder {
    canonical: Arc<WriterSchema>,
    by_fingerprint: HashMap<[u8; 8], Arc<WriterSchema>, ahash::RandomState>,
    by_id: HashMap<u32, Arc<WriterSchema>, ahash::RandomState>,
    by_name: HashMap<String, Arc<WriterSchema>, ahash::RandomState>,
}

impl Default for SchemaFolder {
    /// The canonical schema alone.
    fn default() -> SchemaFolder {
        let canonical = Arc::new(
            WriterSchema::parse("touchpoint.avsc", TOUCHPOINT_SCHEMA)
                .expect("the built-in schema is checked by the tests of this file"),
        );
        SchemaFolder {
            by_fingerprint: [canonical.fingerprint, canonical.fingerprint_otherwise]
                .map(|fingerprint| (fingerprint, Arc::clone(&canonical)))
                .into_iter()
                .collect(),
            by_id: HashMap::default(),
            by_name: HashMap::default(),
            canonical,
        }
    }
}

impl SchemaFolder {
    /// From the folder's files as (file name, text); files that do not end in `.avsc` are left out. Reading them is the
    /// caller's.
    pub fn from_files<N: AsRef<str>, T: AsRef<str>>(
        files: impl IntoIterator<Item = (N, T)>,
    ) -> Result<SchemaFolder, SchemaError> {
        let mut folder = SchemaFolder::default();
        for (name, text) in files {
            let name = name.as_ref();
            let Some(stem) = name.strip_suffix(".avsc") else {
                continue;
            };
            let schema = Arc::new(WriterSchema::parse(name, text.as_ref())?);
            if let Ok(id) = stem.parse()
                && folder.by_id.insert(id, Arc::clone(&schema)).is_some()
            {
                return Err(SchemaError::RepeatedId { name: name.to_owned(), id });
            }
            folder.by_fingerprint.insert(schema.fingerprint_otherwise, Arc::clone(&schema));
            folder.by_fingerprint.insert(schema.fingerprint, Arc::clone(&schema));
            folder.by_name.insert(name.to_owned(), schema);
        }
        Ok(folder)
    }

    /// The schema with a fingerprint, as it stands in a message.
    pub fn with_fingerprint(&self, fingerprint: [u8; 8]) -> Option<&Arc<WriterSchema>> {
        if fingerprint == self.canonical.fingerprint {
            return Some(&self.canonical);
        }
        self.by_fingerprint.get(&fingerprint)
    }

    /// The schema with a registry id.
    pub fn with_id(&self, id: u32) -> Option<&Arc<WriterSchema>> {
        self.by_id.get(&id)
    }

    /// The schema in a file.
    pub fn in_file(&self, name: &str) -> Option<&Arc<WriterSchema>> {
        self.by_name.get(name)
    }
}

/// How a message names the schema that it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaRef {
    /// By its fingerprint, as it stands in single-object encoding.
    Fingerprint([u8; 8]),
    /// By its id in a registry.
    Id(u32),
}

impl SchemaRef {
    /// `id:17`, or `fp:` and 16 hexadecimal digits.
    pub fn short(self) -> String {
        match self {
            SchemaRef::Fingerprint(bytes) => format!("fp:{:016x}", u64::from_le_bytes(bytes)),
            SchemaRef::Id(id) => format!("id:{id}"),
        }
    }
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaRef::Fingerprint(bytes) => write!(formatter, "fingerprint {:016x}", u64::from_le_bytes(*bytes)),
            SchemaRef::Id(id) => write!(formatter, "registry id {id}"),
        }
    }
}

/// Every schema that messages may be written with: those of a folder, and those of a registry, if there is one.
#[derive(Debug, Default)]
pub struct Schemas {
    /// Those at hand.
    pub folder: SchemaFolder,
    /// Where others are.
    pub registry: Option<Registry>,
}

impl From<SchemaFolder> for Schemas {
    fn from(folder: SchemaFolder) -> Schemas {
        Schemas { folder, registry: None }
    }
}

impl Schemas {
    /// What is known of a schema, without waiting. The folder goes before the registry.
    pub fn find(&self, named: SchemaRef) -> Found {
        let at_hand = match named {
            SchemaRef::Fingerprint(fingerprint) => self.folder.with_fingerprint(fingerprint),
            SchemaRef::Id(id) => self.folder.with_id(id),
        };
        match (at_hand, named, &self.registry) {
            (Some(schema), ..) => Found::Schema(Arc::clone(schema)),
            (None, SchemaRef::Id(id), Some(registry)) => registry.find(id),
            (None, ..) => Found::Unknown(None),
        }
    }

    /// What to do about a schema that is nowhere.
    pub fn advice(&self, named: SchemaRef) -> String {
        match (named, &self.registry) {
            (SchemaRef::Id(id), None) => format!(
                "the schema with the {named} is not in the schema folder as {id}.avsc, and no registry is configured \
                 (registry.url)"
            ),
            (SchemaRef::Id(_), Some(_)) => {
                format!("the schema with the {named} is neither in the registry nor in the schema folder")
            }
            (SchemaRef::Fingerprint(_), _) => format!("the schema with the {named} is not in the schema folder"),
        }
    }
}

/// What is known of a type once all of it has been seen.
#[derive(Clone, Copy)]
struct Extent {
    depth: usize,
    fields_expanded: usize,
    /// A value may take no bytes at all.
    empty: bool,
}

impl Extent {
    const LEAF: Extent = Extent { depth: 1, fields_expanded: 0, empty: false };
}

/// Says which limit a schema breaks: 22 bytes under an array of nulls make a decoder allocate gigabytes, a recursive schema
/// overflows its stack.
fn lint(schema: &Schema) -> Result<(), &'static str> {
    let mut linter = Linter::default();
    let extent = linter.visit(schema, 1)?;
    if extent.depth > SCHEMA_DEPTH_MAX {
        return Err(TOO_DEEP);
    }
    if linter.fields > SCHEMA_FIELDS_MAX || extent.fields_expanded > SCHEMA_FIELDS_EXPANDED_MAX {
        return Err("it has more than 200 fields");
    }
    Ok(())
}

const TOO_DEEP: &str = "it is nested deeper than 16";
const ZERO_WIDTH: &str = "it has an array or map whose items take no bytes";

#[derive(Default)]
struct Linter<'s> {
    finished: HashMap<&'s Name, Extent>,
    fields: usize,
}

impl<'s> Linter<'s> {
    fn visit(&mut self, schema: &'s Schema, depth: usize) -> Result<Extent, &'static str> {
        if depth > SCHEMA_DEPTH_MAX {
            return Err(TOO_DEEP);
        }
        match schema {
            Schema::Array(array) => self.items(&array.items, depth),
            // A map's items have at least their key's length, but nulls under many empty keys are as useless.
            Schema::Map(map) => self.items(&map.types, depth),
            Schema::Union(union) => {
                let mut extent = Extent::LEAF;
                for variant in union.variants() {
                    let inner = self.visit(variant, depth + 1)?;
                    extent.depth = extent.depth.max(inner.depth + 1);
                    extent.fields_expanded = extent.fields_expanded.max(inner.fields_expanded);
                }
                Ok(extent)
            }
            Schema::Record(record) => {
                self.fields += record.fields.len();
                let mut extent = Extent { empty: true, ..Extent::LEAF };
                for field in &record.fields {
                    let inner = self.visit(&field.schema, depth + 1)?;
                    extent.depth = extent.depth.max(inner.depth + 1);
                    extent.fields_expanded = extent.fields_expanded.saturating_add(inner.fields_expanded + 1);
                    extent.empty &= inner.empty;
                }
                self.finished.insert(&record.name, extent);
                Ok(extent)
            }
            Schema::Enum(enumeration) => Ok(self.named(&enumeration.name, Extent::LEAF)),
            Schema::Fixed(fixed) | Schema::Duration(fixed) => Ok(self.fixed(&fixed.name, fixed.size)),
            Schema::Decimal(decimal) => match &decimal.inner {
                apache_avro::schema::InnerDecimalSchema::Fixed(fixed) => Ok(self.fixed(&fixed.name, fixed.size)),
                apache_avro::schema::InnerDecimalSchema::Bytes => Ok(Extent::LEAF),
            },
            Schema::Uuid(UuidSchema::Fixed(fixed)) => Ok(self.fixed(&fixed.name, fixed.size)),
            // A name that is used before all of it has been seen is used inside itself (or before its definition, which
            // this parser does not read).
            Schema::Ref { name } => self.finished.get(name).copied().ok_or("it is recursive"),
            Schema::Null => Ok(Extent { empty: true, ..Extent::LEAF }),
            _ => Ok(Extent::LEAF),
        }
    }

    fn items(&mut self, items: &'s Schema, depth: usize) -> Result<Extent, &'static str> {
        let inner = self.visit(items, depth + 1)?;
        if inner.empty {
            return Err(ZERO_WIDTH);
        }
        Ok(Extent { depth: inner.depth + 1, ..inner })
    }

    fn fixed(&mut self, name: &'s Name, size: usize) -> Extent {
        self.named(name, Extent { empty: size == 0, ..Extent::LEAF })
    }

    fn named(&mut self, name: &'s Name, extent: Extent) -> Extent {
        self.finished.insert(name, extent);
        extent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::single_object::SingleObject;

    fn problem(schema: &str) -> String {
        match WriterSchema::parse("x.avsc", schema) {
            Ok(_) => "fine".into(),
            Err(SchemaError::Unsafe { problem, .. }) => problem,
            Err(error) => error.to_string(),
        }
    }

    fn record(name: &str, fields: &str) -> String {
        format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
    }

    #[test]
    fn the_canonical_schema_is_fine_and_its_fingerprint_is_the_one_of_the_specification() {
        assert_eq!(problem(TOUCHPOINT_SCHEMA), "fine");
        // The Avro specification's own example: the fingerprint of "null" is 0x63dd24e7cc258f8a.
        assert_eq!(fingerprint("\"null\""), Ok(0x63dd_24e7_cc25_8f8a_u64.to_le_bytes()));
        // As fastavro 1.13.1 (Python) computes it: fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO").
        let expected = [0x76, 0x99, 0x69, 0x92, 0x61, 0x4f, 0x0e, 0x08];
        assert_eq!(fingerprint(TOUCHPOINT_SCHEMA), Ok(expected));
        let feeds = SingleObject::parse(TOUCHPOINT_SCHEMA).expect("it is valid");
        assert_eq!(feeds.fingerprint().to_le_bytes(), expected);
        // As avro 1.12.2 (Python) and apache-avro (Rust) compute it: their messages are read too.
        let otherwise = [0x9a, 0x10, 0x1d, 0x28, 0x3d, 0xeb, 0x5f, 0x5c];
        for fingerprint in [expected, otherwise] {
            let found = SchemaFolder::default().with_fingerprint(fingerprint).map(|schema| schema.fingerprint());
            assert_eq!(found, Some(expected));
        }
    }

    #[test]
    fn schemas_that_could_be_used_for_an_attack_are_not_taken() {
        assert_eq!(problem(r#"{"type":"array","items":"null"}"#), ZERO_WIDTH);
        assert_eq!(problem(r#"{"type":"array","items":{"type":"array","items":"null"}}"#), ZERO_WIDTH);
        assert_eq!(problem(r#"{"type":"map","values":{"type":"fixed","name":"F","size":0}}"#), ZERO_WIDTH);
        let empty = record("E", "");
        assert_eq!(problem(&format!(r#"{{"type":"array","items":{empty}}}"#)), ZERO_WIDTH);
        assert_eq!(problem(&record("R", r#"{"name":"next","type":["null","R"]}"#)), "it is recursive");
        let mut deep = String::from("\"string\"");
        for _ in 0..16 {
            deep = format!(r#"{{"type":"array","items":{deep}}}"#);
        }
        assert_eq!(problem(&deep), TOO_DEEP);
        let mut wide: Vec<String> = (0..200).map(|n| format!(r#"{{"name":"f{n}","type":"int"}}"#)).collect();
        assert_eq!(problem(&record("W", &wide.join(","))), "fine");
        wide.push(r#"{"name":"one_more","type":"int"}"#.into());
        assert_eq!(problem(&record("W", &wide.join(","))), "it has more than 200 fields");
        // Twelve uses of a record of twelve uses of …: no bytes, and 12^12 fields to look at.
        let mut bomb = r#"{"name":"z","type":"null"}"#.to_owned();
        for level in 0..12 {
            let inner = record(&format!("L{level}"), &bomb);
            let uses: Vec<String> = (1..12).map(|n| format!(r#"{{"name":"f{n}","type":"L{level}"}}"#)).collect();
            bomb = format!(r#"{{"name":"f0","type":{inner}}},{}"#, uses.join(","));
        }
        assert_eq!(problem(&record("Top", &bomb)), "it has more than 200 fields");
        assert_eq!(problem(&" ".repeat(300_000)), "it is larger than 256 KiB");
        assert!(problem(&"[".repeat(100_000)).contains("not an Avro schema"));
        assert!(problem("{}").contains("not an Avro schema"));
    }

    #[test]
    fn a_folder_finds_schemas_by_fingerprint_and_those_named_by_a_number_by_id() {
        let order = record("Order", r#"{"name":"id","type":"string"}"#);
        let folder = SchemaFolder::from_files([("17.avsc", order.as_str()), ("README.md", "no schema")])
            .expect("a schema of this test");
        let found = folder.with_id(17).expect("it is in the folder");
        assert_eq!(
            folder.with_fingerprint(found.fingerprint()).map(|schema| schema.fingerprint()),
            Some(found.fingerprint())
        );
        assert!(folder.with_id(18).is_none());
        assert!(folder.with_fingerprint([0; 8]).is_none());
        let twice = SchemaFolder::from_files([("17.avsc", order.as_str()), ("017.avsc", order.as_str())]);
        assert!(matches!(twice, Err(SchemaError::RepeatedId { id: 17, .. })));
    }
}
