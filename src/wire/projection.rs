//! A mapping's shape over one writer's schema: under which names the writer has what the mapping names, what is there where
//! the writer has nothing, and what its numbers mean.
//!
//! Avro specification 1.12, "Schema Resolution", done once for a pair of schemas and only for the paths that the mapping
//! has: fields by name or by the reader's aliases, the reader's defaults, promotions, the reader's default for a symbol that
//! it does not know. Where it goes further than the specification: a number that is written as a decimal of another scale is
//! taken, and of a union one branch must fit, not all. Without a reader's schema, the writer's is the reader's.

mod defaults;
mod plan;
pub mod sample;
#[cfg(test)]
mod tests;
mod types;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use apache_avro::{
    Schema,
    schema::{EnumSchema, RecordField, RecordSchema},
};

use super::{
    avro::AvroError,
    capture::{Capture, Entry},
    scalar::Scalar,
    schemas::WriterSchema,
    shape::{Node, Shape, Slot},
};
use defaults::filler;
use plan::Plan;
use types::{Names, fits, time_of};

/// How a mapping reads a time whose schema says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUse {
    /// As an instant: numbers become milliseconds since 1970-01-01T00:00:00Z.
    Instant,
    /// As a local time: numbers become text such as `2026-01-31T09:00:00.250`.
    Local,
    /// The same of what was promised: a date is the end of its day, `2026-01-31T24:00:00`.
    LocalDue,
}

/// Why a mapping cannot read what a schema describes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Mismatch {
    /// The path.
    pub path: String,
    /// Whether the writer lacks it; otherwise it is of another type.
    pub is_missing: bool,
    /// What is wrong and what to do.
    pub problem: String,
}

/// A shape over one writer's schema.
#[derive(Debug)]
pub struct Projection {
    /// Under the writer's names; `None`: the mapping's own shape will do.
    shape: Option<Shape>,
    plan: Plan,
    /// In the order of their slots: what holds others comes before them.
    fixes: Vec<Fix>,
}

/// What is done to one slot after a capture.
#[derive(Debug)]
struct Fix {
    slot: u16,
    /// The slot that it is inside of. A default stands only where that holds something.
    parent: u16,
    /// What is there if the writer has nothing.
    default: Option<Filler>,
    symbols: Option<Symbols>,
    /// The same of each item of a list, or value of an object, that is wanted as it is.
    item_symbols: Option<Symbols>,
    time: Option<(TimeUse, Unit)>,
}

/// The symbols that a reader knows, in ascending order, and what it takes others for.
#[derive(Debug)]
struct Symbols {
    known: Vec<Box<str>>,
    default: Box<str>,
}

impl Symbols {
    /// What a reader takes a symbol for; `None`: for what it is.
    fn replaced(&self, symbol: &str) -> Option<&str> {
        self.known.binary_search_by(|known| (**known).cmp(symbol)).is_err().then_some(&*self.default)
    }
}

/// What stands in a slot by default.
#[derive(Clone, Debug, PartialEq)]
enum Filler {
    Scalar(Scalar<'static>),
    /// The entries of an object, or of a list, whose keys are empty.
    Entries(Vec<(String, Scalar<'static>)>),
}

/// What a whole number of a schema counts, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Days,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    fn milliseconds(self, count: i64) -> Option<i64> {
        match self {
            Unit::Days => count.checked_mul(86_400_000),
            Unit::Milliseconds => Some(count),
            Unit::Microseconds => Some(count.div_euclid(1_000)),
            Unit::Nanoseconds => Some(count.div_euclid(1_000_000)),
        }
    }
}

impl Projection {
    /// Lays a shape over a writer's schema. `root`: where the shape begins that the schema describes; `None`: it is the
    /// whole payload's. `times`: the slots that are read as times.
    pub fn new(
        shape: &Shape,
        root: Option<Slot>,
        times: &[(Slot, TimeUse)],
        writer: &WriterSchema,
        reader: Option<&WriterSchema>,
    ) -> Result<Projection, Mismatch> {
        let reader_schema = reader.map_or(&writer.parsed, |reader| &reader.parsed);
        let (reader_names, writer_names) = (Names::of(reader_schema), Names::of(&writer.parsed));
        let (readers, writers) = (reader_names.branches(reader_schema), writer_names.branches(&writer.parsed));
        let mut walker = Walker {
            shape,
            renamed: shape.clone(),
            is_renamed: false,
            is_resolved: reader.is_some(),
            times,
            fixes: Vec::new(),
            reader_names,
            writer_names,
        };
        let root = root.map_or(0, |slot| slot.0);
        walker.visit(root, &readers, &writers)?;
        walker.fixes.sort_by_key(|fix| fix.slot);
        if walker.is_renamed {
            walker.renamed.index_keys();
        }
        let plan = Plan::compile(&walker.renamed, root, &writer.layout).map_err(|_| Mismatch {
            path: shape.nodes[usize::from(root)].path.clone(),
            is_missing: false,
            problem:
                "the writer's schema has unions with very many branches, and more ways through them than are read; write \
                      with one that has fewer"
                    .into(),
        })?;
        Ok(Projection { shape: walker.is_renamed.then_some(walker.renamed), plan, fixes: walker.fixes })
    }

    /// Picks the shape's scalars out of a value, which is all of the bytes.
    pub(super) fn capture<'a>(
        &'a self,
        shape: &Shape,
        datum: &'a [u8],
        capture: &mut Capture<'a>,
    ) -> Result<(), AvroError> {
        let under_its_names = self.shape.as_ref().unwrap_or(shape);
        let rest = self.plan.run(under_its_names, datum, capture).map_err(|_| AvroError::Malformed)?;
        if !rest.is_empty() {
            return Err(AvroError::Trailing);
        }
        self.settle(shape, capture);
        Ok(())
    }

    /// Puts in place what the schemas say of what was captured: defaults are borrowed from here.
    pub fn settle<'a>(&'a self, shape: &Shape, capture: &mut Capture<'a>) {
        let in_element = |slot: u16| match shape.of_element.is_empty() {
            true => None,
            false => shape.of_element.iter().position(|&node| node == slot),
        };
        for fix in &self.fixes {
            match in_element(fix.slot) {
                None => {
                    let has_parent = matches!(capture.scalars[usize::from(fix.parent)], Scalar::Composite);
                    fix.apply(has_parent, &mut capture.scalars[usize::from(fix.slot)], &mut capture.entries);
                }
                Some(index) => {
                    let parent = in_element(fix.parent);
                    for (scalars, entries) in &mut capture.elements {
                        let has_parent = parent.is_none_or(|parent| scalars[parent] == Scalar::Composite);
                        fix.apply(has_parent, &mut scalars[index], entries);
                    }
                }
            }
        }
    }
}

impl Fix {
    fn apply<'a>(&'a self, has_parent: bool, scalar: &mut Scalar<'a>, entries: &mut Vec<Entry<'a>>) {
        if let Some(symbols) = &self.item_symbols {
            for entry in entries.iter_mut().filter(|entry| entry.slot == self.slot) {
                if let Scalar::Text(symbol) = &entry.value
                    && let Some(default) = symbols.replaced(symbol)
                {
                    entry.value = Scalar::Text(Cow::Borrowed(default));
                }
            }
        }
        let settled = match (&*scalar, &self.default, &self.symbols, self.time) {
            (Scalar::Missing, Some(_), _, _) if !has_parent => return,
            (Scalar::Missing, Some(Filler::Scalar(default)), _, _) => default.borrowed(),
            (Scalar::Missing, Some(Filler::Entries(defaults)), _, _) => {
                let entry = |(key, value): &'a (String, Scalar<'static>)| Entry {
                    slot: self.slot,
                    key: key.as_str().into(),
                    value: value.borrowed(),
                };
                entries.extend(defaults.iter().map(entry));
                Scalar::Null
            }
            (Scalar::Text(symbol), _, Some(symbols), _) if symbols.replaced(symbol).is_some() => {
                Scalar::Text(Cow::Borrowed(&symbols.default))
            }
            (&Scalar::Int(count), _, _, Some((wanted, unit))) => time(count, wanted, unit),
            _ => return,
        };
        *scalar = settled;
    }
}

/// A schema's number of a time as the mapping reads it; what no calendar has stays a number, which is refused as a time.
fn time(count: i64, wanted: TimeUse, unit: Unit) -> Scalar<'static> {
    let at = unit.milliseconds(count);
    match wanted {
        TimeUse::Instant => at.map_or(Scalar::Float(f64::INFINITY), Scalar::Int),
        TimeUse::Local | TimeUse::LocalDue => match at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok()) {
            Some(at) => {
                let local = jiff::tz::Offset::UTC.to_datetime(at);
                Scalar::Text(match wanted == TimeUse::LocalDue && unit == Unit::Days {
                    true => format!("{}T24:00:00", local.date()).into(),
                    false => local.to_string().into(),
                })
            }
            None => Scalar::Float(f64::INFINITY),
        },
    }
}

struct Walker<'s> {
    shape: &'s Shape,
    renamed: Shape,
    is_renamed: bool,
    /// Whether there is a reader's schema.
    is_resolved: bool,
    times: &'s [(Slot, TimeUse)],
    fixes: Vec<Fix>,
    reader_names: Names<'s>,
    writer_names: Names<'s>,
}

/// Each of them once: where every record of a union leads to the same union, there are no more at any depth than the schema has.
fn distinct(schemas: Vec<&Schema>) -> Vec<&Schema> {
    let mut seen = BTreeSet::new();
    schemas.into_iter().filter(|schema| seen.insert(std::ptr::from_ref(*schema))).collect()
}

impl<'s> Walker<'s> {
    /// `readers`, `writers`: what may stand at a node, unions laid open.
    fn visit(&mut self, node: u16, readers: &[&'s Schema], writers: &[&'s Schema]) -> Result<(), Mismatch> {
        let at = &self.shape.nodes[usize::from(node)];
        let mut written = writers.iter().filter(|schema| !matches!(schema, Schema::Null)).peekable();
        if written.peek().is_none() {
            return Ok(()); // never anything but null
        }
        if self.is_resolved && !written.any(|writer| readers.iter().any(|reader| fits(reader, writer))) {
            return Err(self.unlike(node));
        }
        for (index, (key, child)) in at.keys.iter().enumerate() {
            self.field(node, index, key, *child, readers, writers)?;
        }
        let (read, written) = (self.reader_names.items(readers), self.writer_names.items(writers));
        let (read, written) = (distinct(read), distinct(written));
        for child in at.items.iter().map(|&(_, child)| child).chain(at.element) {
            self.visit(child, &read, &written)?;
        }
        if at.list && at.items.is_empty() || at.entries {
            self.items(node, readers, writers)?;
        }
        if at.leaf {
            self.scalar(node, readers, writers)?;
        }
        Ok(())
    }

    /// The items of a list, or the values of a map, that are wanted as they are: values may be lists of such items.
    fn items(&mut self, node: u16, readers: &[&'s Schema], writers: &[&'s Schema]) -> Result<(), Mismatch> {
        if !self.is_resolved {
            return Ok(());
        }
        let is_entries = self.shape.nodes[usize::from(node)].entries;
        let inner = |names: &Names<'s>, all: &[&'s Schema]| -> Vec<&'s Schema> {
            if !is_entries {
                return distinct(names.items(all));
            }
            let values: Vec<&'s Schema> = all
                .iter()
                .filter_map(|schema| match schema {
                    Schema::Map(map) => Some(names.branches(&map.types)),
                    _ => None,
                })
                .flatten()
                .collect();
            let of_lists = names.items(&values);
            distinct(values.into_iter().chain(of_lists).collect())
        };
        let (read, written) = (inner(&self.reader_names, readers), inner(&self.writer_names, writers));
        let mut some = written.iter().filter(|schema| !matches!(schema, Schema::Null)).peekable();
        if read.is_empty() || some.peek().is_none() {
            return Ok(());
        }
        if !some.any(|writer| read.iter().any(|reader| fits(reader, writer))) {
            return Err(self.unlike(node));
        }
        if reads_bytes_as_text(&read, &written) {
            self.renamed.nodes[usize::from(node)].items_as_text = true;
            self.is_renamed = true;
        }
        if let Some(symbols) = unknown_symbols(&read, &written) {
            self.fix(node).item_symbols = Some(symbols);
        }
        Ok(())
    }

    fn unlike(&self, node: u16) -> Mismatch {
        Mismatch {
            path: self.shape.nodes[usize::from(node)].path.clone(),
            is_missing: false,
            problem:
                "the writer's schema has another type here than the reader's, and the one cannot be read as the other; \
                      change the reader's schema"
                    .into(),
        }
    }

    /// A key of an object: a field of records, or an entry of maps.
    fn field(
        &mut self,
        node: u16,
        index: usize,
        key: &str,
        child: u16,
        readers: &[&'s Schema],
        writers: &[&'s Schema],
    ) -> Result<(), Mismatch> {
        let (mut read, mut default) = (Vec::new(), None);
        for reader in readers {
            match reader {
                Schema::Record(record) => {
                    for field in record.fields.iter().filter(|field| field.name == key) {
                        read.extend(self.reader_names.branches(&field.schema));
                        default = default.or(field.default.as_ref().map(|default| (&field.schema, default)));
                    }
                }
                Schema::Map(map) => read.extend(self.reader_names.branches(&map.types)),
                _ => {}
            }
        }
        if self.is_resolved && read.is_empty() {
            let problem = "the reader's schema has no such field; correct the path, or add the field to the schema";
            return Err(self.missing(child, problem));
        }
        let (mut written, mut names, mut is_lacking) = (Vec::new(), BTreeSet::new(), false);
        for writer in writers {
            match writer {
                Schema::Record(record) => {
                    let reader = readers.iter().find(|reader| fits(reader, writer));
                    let found = match reader {
                        Some(Schema::Record(reader)) if self.is_resolved => written_as(reader, record, key),
                        _ => record.fields.iter().find(|field| field.name == key),
                    };
                    match found {
                        Some(field) => {
                            written.extend(self.writer_names.branches(&field.schema));
                            names.insert(field.name.as_str());
                        }
                        None => is_lacking = true,
                    }
                }
                Schema::Map(map) => {
                    written.extend(self.writer_names.branches(&map.types));
                    names.insert(key);
                }
                _ => {}
            }
        }
        if self.is_resolved && (names.len() > 1 || !names.contains(key)) {
            self.is_renamed = true;
            let keys = &mut self.renamed.nodes[usize::from(node)].keys;
            // Without any, what the writer has under the reader's name is another's: no field is called by nothing.
            let mut names = names.iter();
            keys[index].0 = names.next().copied().unwrap_or_default().into();
            keys.extend(names.map(|name| (Box::from(*name), child)));
        }
        if is_lacking && self.is_resolved {
            match default {
                Some((schema, default)) => self.fill(child, schema, default)?,
                None => {
                    let problem = "the writer's schema has no such field, and the reader's has no default for it; add a \
                                   default to the reader's schema";
                    return Err(self.missing(child, problem));
                }
            }
        }
        if written.is_empty() { Ok(()) } else { self.visit(child, &distinct(read), &distinct(written)) }
    }

    fn missing(&self, node: u16, problem: &str) -> Mismatch {
        let path = self.shape.nodes[usize::from(node)].path.clone();
        Mismatch { path, is_missing: true, problem: problem.to_owned() }
    }

    fn fix(&mut self, slot: u16) -> &mut Fix {
        let index = self.fixes.iter().position(|fix| fix.slot == slot).unwrap_or_else(|| {
            let holds = |node: &Node| {
                let children =
                    node.keys.iter().map(|(_, child)| *child).chain(node.items.iter().map(|(_, child)| *child));
                children.chain(node.element).any(|child| child == slot)
            };
            let parent = self.shape.nodes.iter().position(holds).and_then(|node| u16::try_from(node).ok()).unwrap_or(0);
            self.fixes.push(Fix { slot, parent, default: None, symbols: None, item_symbols: None, time: None });
            self.fixes.len() - 1
        });
        &mut self.fixes[index]
    }

    /// The default of a field, for every slot that lies in it.
    fn fill(&mut self, node: u16, schema: &'s Schema, default: &serde_json::Value) -> Result<(), Mismatch> {
        let at = &self.shape.nodes[usize::from(node)];
        let unusable =
            |problem: &str| Mismatch { path: at.path.clone(), is_missing: true, problem: problem.to_owned() };
        if at.element.is_some() && default.as_array().is_some_and(|items| !items.is_empty()) {
            return Err(unusable("a list that is read element by element can only be empty by default"));
        }
        let branches = self.reader_names.branches(schema);
        let wanted = self.times.iter().find(|(slot, _)| slot.0 == node).map(|&(_, wanted)| wanted);
        if let Some(filler) = filler(at, &branches, default, wanted).map_err(unusable)? {
            self.fix(node).default = Some(filler);
        }
        for (key, child) in &at.keys {
            for branch in &branches {
                let (schema, inner) = match branch {
                    Schema::Record(record) => {
                        let Some(field) = record.fields.iter().find(|field| field.name == **key) else { continue };
                        (&field.schema, default.get(&**key).or(field.default.as_ref()))
                    }
                    Schema::Map(map) => (&*map.types, default.get(&**key)),
                    _ => continue,
                };
                if let Some(inner) = inner {
                    self.fill(*child, schema, inner)?;
                }
            }
        }
        for &(index, child) in &at.items {
            for branch in &branches {
                if let (Schema::Array(array), Some(inner)) = (branch, default.get(index)) {
                    self.fill(child, &array.items, inner)?;
                }
            }
        }
        Ok(())
    }

    /// What the schemas say of a scalar beyond its type.
    fn scalar(&mut self, node: u16, readers: &[&'s Schema], writers: &[&'s Schema]) -> Result<(), Mismatch> {
        if self.is_resolved && reads_bytes_as_text(readers, writers) {
            self.renamed.nodes[usize::from(node)].bytes_as_text = true;
            self.is_renamed = true;
        }
        if let Some(symbols) = unknown_symbols(readers, writers) {
            self.fix(node).symbols = Some(symbols);
        }
        let Some(&(_, wanted)) = self.times.iter().find(|(slot, _)| slot.0 == node) else {
            return Ok(());
        };
        // A number that was written before its schema said what it is: the reader's says it.
        let read = readers.iter().find_map(|reader| time_of(reader, wanted)).flatten().filter(|_| self.is_resolved);
        let unit = |writer: &&'s Schema| time_of(writer, wanted).map(|unit| unit.or(read));
        let units: BTreeSet<Option<Unit>> = writers.iter().filter_map(unit).collect();
        match units.iter().collect::<Vec<_>>().as_slice() {
            [] => Ok(()),
            [Some(unit)] => {
                self.fix(node).time = Some((wanted, *unit));
                Ok(())
            }
            _ => Err(Mismatch {
                path: self.shape.nodes[usize::from(node)].path.clone(),
                is_missing: false,
                problem: match wanted {
                    TimeUse::Instant => {
                        "the schema does not say which instant its number means; say it with a format such as \"epoch_ms\""
                    }
                    TimeUse::Local | TimeUse::LocalDue => "the schema does not say which local time its number means; send text",
                }
                .into(),
            }),
        }
    }
}

/// Whether the reader has a text where the writer has bytes.
fn reads_bytes_as_text(readers: &[&Schema], writers: &[&Schema]) -> bool {
    readers.iter().any(|reader| matches!(reader, Schema::String))
        && writers.iter().any(|writer| matches!(writer, Schema::Bytes))
}

/// What a reader takes symbols for that it does not know.
fn unknown_symbols(readers: &[&Schema], writers: &[&Schema]) -> Option<Symbols> {
    fn symbols<'s>(all: &[&'s Schema]) -> Vec<&'s EnumSchema> {
        let symbols = all.iter().filter_map(|schema| match schema {
            Schema::Enum(symbols) => Some(symbols),
            _ => None,
        });
        symbols.collect()
    }
    // Which of the two a text was is not to be seen any more.
    let writes_text = writers.iter().any(|writer| matches!(writer, Schema::String | Schema::Bytes));
    let (readers, writers) = (symbols(readers), symbols(writers));
    let ([reader], [writer, ..]) = (readers.as_slice(), writers.as_slice()) else { return None };
    let default = reader.default.as_ref().filter(|_| !writes_text)?;
    if writer.symbols.iter().all(|symbol| reader.symbols.contains(symbol)) {
        return None;
    }
    let mut known: Vec<Box<str>> = reader.symbols.iter().map(|symbol| symbol.as_str().into()).collect();
    known.sort_unstable();
    Some(Symbols { known, default: default.as_str().into() })
}

/// The field of a writer's record that a reader's field is read from. A field that the writer does not have under its own
/// name takes one by an alias, and nobody else has that then; each field of the writer is read once.
fn written_as<'w>(reader: &RecordSchema, writer: &'w RecordSchema, key: &str) -> Option<&'w RecordField> {
    let named = |name: &str| writer.fields.iter().find(|field| field.name == name);
    let mut claimed: BTreeMap<&str, &str> = BTreeMap::new(); // the writer's field → the reader's
    let lacking = reader.fields.iter().filter(|field| named(&field.name).is_none());
    let having = reader.fields.iter().filter(|field| named(&field.name).is_some());
    for field in lacking.chain(having) {
        let own = named(&field.name).filter(|own| !claimed.contains_key(own.name.as_str()));
        let by_alias =
            || field.aliases.iter().filter_map(|alias| named(alias)).find(|it| !claimed.contains_key(it.name.as_str()));
        if let Some(found) = own.or_else(by_alias) {
            claimed.insert(&found.name, &field.name);
        }
    }
    claimed.iter().find(|(_, reader)| **reader == key).and_then(|(writer, _)| named(writer))
}
