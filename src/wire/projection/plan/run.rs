//! The steps of a plan, done over the bytes of one record: scalars go to their slots, borrowed from the record.

use std::borrow::Cow;

use super::{
    Absent, Plan, Read, Step,
    bytes::{self, Blocks, Malformed, Texts},
    decimal,
};
use crate::wire::{
    capture::{Capture, LIST_ELEMENTS_MAX, float},
    scalar::Scalar,
    shape::Shape,
};

impl Plan {
    /// Picks the shape's scalars out of a record; what is left after it. The shape must be the one that the plan was made of.
    pub(in super::super) fn run<'a>(
        &self,
        shape: &Shape,
        record: &'a [u8],
        capture: &mut Capture<'a>,
    ) -> Result<&'a [u8], Malformed> {
        // Every item takes at least one byte (the lint of schemas sees to it): more items than bytes is a lie.
        let mut run = Run {
            plan: self,
            shape,
            capture,
            items_max: record.len(),
            texts: Texts::default(),
            key: Cow::Borrowed(""),
        };
        run.steps(0, self.main, record)
    }
}

struct Run<'p, 'c, 'a> {
    plan: &'p Plan,
    shape: &'p Shape,
    capture: &'c mut Capture<'a>,
    items_max: usize,
    texts: Texts<'a>,
    /// Of the entries that come next.
    key: Cow<'a, str>,
}

impl<'a> Run<'_, '_, 'a> {
    /// Does the steps from one to before another; what is left of the bytes.
    fn steps(&mut self, mut at: usize, end: usize, mut rest: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let plan = self.plan;
        let steps = plan.steps.get(..end).unwrap_or_default();
        while let Some(&step) = steps.get(at) {
            at += 1;
            match step {
                Step::Text(node) => {
                    let text = self.texts.next(&mut rest)?;
                    self.put(node, Scalar::Text(Cow::Borrowed(text)))?;
                }
                Step::Long(node) => {
                    let number = bytes::long(&mut rest)?;
                    self.put(node, Scalar::Int(number))?;
                }
                Step::Take(node, read) => {
                    let scalar = self.read(read, &mut rest)?;
                    self.put(node, scalar)?;
                }
                Step::Null(node) => self.put(node, Scalar::Null)?,
                Step::Object(node) => self.put(node, Scalar::Composite)?,
                Step::NotAContainer(node) => self.capture.note_not_a_container(node),
                Step::Entry(node, read) => {
                    let scalar = self.read(read, &mut rest)?;
                    self.entry(node, scalar);
                }
                Step::NullEntry(node) => self.entry(node, Scalar::Null),
                Step::CompositeEntry(node) => self.entry(node, Scalar::Composite),
                Step::Name(name) => {
                    let name = plan.names.get(name as usize).ok_or(Malformed)?;
                    self.key = Cow::Owned(name.clone());
                }
                Step::Nullable { null, absent, span } => {
                    let branch = bytes::index(&mut rest)?;
                    if branch == usize::from(null) {
                        at += span as usize;
                        match absent {
                            Absent::Skipped => {}
                            Absent::At(node) => self.put(node, Scalar::Null)?,
                            Absent::Entry(node) => self.entry(node, Scalar::Null),
                        }
                    } else if branch > 1 {
                        return Err(Malformed);
                    }
                }
                Step::Union { first, count } => {
                    let branch = bytes::index(&mut rest)?;
                    let branches = plan.branches.get(first as usize..).and_then(|all| all.get(..count as usize));
                    at += *branches.and_then(|branches| branches.get(branch)).ok_or(Malformed)? as usize;
                }
                Step::Jump(span) => at += span as usize,
                Step::Ahead(count) => _ = rest.get(..usize::from(count)).ok_or(Malformed)?,
                Step::Skip(count) => _ = bytes::take(&mut rest, count)?,
                Step::SkipInt => _ = bytes::int(&mut rest)?,
                Step::SkipLong => _ = bytes::varint(&mut rest)?,
                Step::SkipBoolean => _ = bytes::boolean(&mut rest)?,
                Step::SkipSized => _ = bytes::sized(&mut rest)?,
                Step::SkipText => _ = self.texts.next(&mut rest)?,
                Step::SkipSymbol(count) => {
                    if bytes::index(&mut rest)? >= count as usize {
                        return Err(Malformed);
                    }
                }
                Step::SkipDecimal(decimal) => _ = decimal::read(&mut rest, decimal)?,
                Step::Call(routine) => {
                    let &(first, last) = plan.routines.get(routine as usize).ok_or(Malformed)?;
                    rest = self.steps(first as usize, last as usize, rest)?;
                }
                Step::Refuse => return Err(Malformed),
                Step::SkipItems { span, .. }
                | Step::Entries { span, .. }
                | Step::List { span, .. }
                | Step::EntryItems { span, .. }
                | Step::Keys { span, .. }
                | Step::Items { span, .. }
                | Step::Each { span, .. } => {
                    let end = at + span as usize;
                    rest = self.items(step, at, end, rest)?;
                    at = end;
                }
            }
        }
        Ok(rest)
    }

    /// Does the steps of a list or a map, from one to before another, for each of its items.
    fn items(&mut self, step: Step, at: usize, end: usize, mut rest: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let by_size = matches!(step, Step::SkipItems { by_size: true, .. });
        let mut blocks = Blocks::new(self.items_max, by_size);
        match step {
            Step::Entries { .. } => {
                while blocks.has_next(&mut rest)? {
                    self.key = Cow::Borrowed(self.texts.next(&mut rest)?);
                    rest = self.steps(at, end, rest)?;
                }
            }
            Step::EntryItems { .. } => {
                while blocks.has_next(&mut rest)? {
                    rest = self.steps(at, end, rest)?;
                }
            }
            Step::List { node, item, .. } => {
                self.put(node, Scalar::Null)?;
                self.key = Cow::Borrowed("");
                let skipping = at + item as usize;
                let mut left = LIST_ELEMENTS_MAX;
                while blocks.has_next(&mut rest)? {
                    rest = self.steps(at, skipping, rest)?;
                    if left == 0 {
                        self.capture.entries.pop();
                        self.capture.note_too_many(node);
                        return self.skip_items(blocks, skipping, end, rest);
                    }
                    left -= 1;
                }
            }
            Step::Each { node, item, .. } => {
                self.put(node, Scalar::Composite)?;
                let skipping = at + item as usize;
                while blocks.has_next(&mut rest)? {
                    let entries = self.capture.entries.len();
                    rest = self.steps(at, skipping, rest)?;
                    if self.capture.elements.len() == LIST_ELEMENTS_MAX {
                        self.capture.note_too_many(node);
                        return self.skip_items(blocks, skipping, end, rest);
                    }
                    self.capture.put_aside(self.shape, entries);
                }
            }
            Step::Keys { node, first, .. } => {
                let shape = self.shape;
                let node = shape.nodes.get(usize::from(node)).ok_or(Malformed)?;
                let mut after = 0;
                while blocks.has_next(&mut rest)? {
                    let key = self.texts.next(&mut rest)?;
                    let found = node.index.find(&node.keys, after, key);
                    after = found.map_or(after, |found| found + 1);
                    rest = self.place(first as usize + found.unwrap_or(node.keys.len()), at, rest)?;
                }
            }
            Step::Items { node, first, .. } => {
                let shape = self.shape;
                let wanted = &shape.nodes.get(usize::from(node)).ok_or(Malformed)?.items;
                let mut number = 0;
                while blocks.has_next(&mut rest)? {
                    let found = wanted.iter().position(|&(wanted, _)| wanted == number);
                    rest = self.place(first as usize + found.unwrap_or(wanted.len()), at, rest)?;
                    number += 1;
                }
            }
            Step::SkipItems { keyed, .. } => {
                while blocks.has_next(&mut rest)? {
                    if keyed {
                        bytes::sized(&mut rest)?;
                    }
                    rest = self.steps(at, end, rest)?;
                }
            }
            _ => return Err(Malformed),
        }
        Ok(rest)
    }

    /// Does the steps of one of the places that are wanted of a map or a list, or those that skip one.
    fn place(&mut self, place: usize, at: usize, rest: &'a [u8]) -> Result<&'a [u8], Malformed> {
        let &(first, count) = self.plan.places.get(place).ok_or(Malformed)?;
        let first = at + first as usize;
        self.steps(first, first + count as usize, rest)
    }

    fn skip_items(
        &mut self,
        mut blocks: Blocks,
        at: usize,
        end: usize,
        mut rest: &'a [u8],
    ) -> Result<&'a [u8], Malformed> {
        while blocks.has_next(&mut rest)? {
            rest = self.steps(at, end, rest)?;
        }
        Ok(rest)
    }

    #[inline(always)]
    fn put(&mut self, node: u16, scalar: Scalar<'a>) -> Result<(), Malformed> {
        if self.capture.place(node, scalar) { Ok(()) } else { Err(Malformed) }
    }

    fn entry(&mut self, node: u16, value: Scalar<'a>) {
        self.capture.add_entry(node, self.key.clone(), value);
    }

    fn read(&mut self, read: Read, rest: &mut &'a [u8]) -> Result<Scalar<'a>, Malformed> {
        let of_bytes = |bytes: &'a [u8], as_text: bool| {
            let text = if as_text { std::str::from_utf8(bytes).ok() } else { None };
            text.map_or(Scalar::Composite, |text| Scalar::Text(Cow::Borrowed(text)))
        };
        Ok(match read {
            Read::Boolean => Scalar::Bool(bytes::boolean(rest)?),
            Read::Int => Scalar::Int(bytes::int(rest)?),
            Read::Long => Scalar::Int(bytes::long(rest)?),
            Read::Float => Scalar::Float(float(f32::from_le_bytes(bytes::array(rest)?))),
            Read::Double => Scalar::Float(f64::from_le_bytes(bytes::array(rest)?)),
            Read::Text | Read::Uuid => Scalar::Text(Cow::Borrowed(self.texts.next(rest)?)),
            Read::Bytes { as_text } => of_bytes(bytes::sized(rest)?, as_text),
            Read::Fixed { size, as_text } => of_bytes(bytes::take(rest, size as usize)?, as_text),
            Read::Symbol(symbols) => {
                let symbol = bytes::index(rest)?;
                let symbols = self.plan.symbols.get(symbols as usize).ok_or(Malformed)?;
                Scalar::Text(Cow::Owned(symbols.get(symbol).ok_or(Malformed)?.clone()))
            }
            Read::Decimal(decimal) => Scalar::Text(Cow::Owned(decimal::read(rest, decimal)?)),
            Read::Part => Scalar::Int(i64::from(u32::from_le_bytes(bytes::array(rest)?))),
        })
    }
}
