//! A shape and a writer's schema → the steps of a plan.
//!
//! The schema is laid out as serde_avro_fast understands it, which is what a message's fingerprint is of.

use std::collections::{HashMap, HashSet};

use serde_avro_fast::schema::{LogicalType, RegularType, SchemaKey, SchemaMut};

use super::{Absent, Decimal, Plan, Read, Step};
use crate::wire::shape::Shape;

/// Steps of one plan. What a schema names often is compiled twice at most, so that only unions with very many branches, each of
/// which leads to others, have more.
const STEPS_MAX: usize = 40_000;
/// What is skipped and has no more parts than this is as short as a call of it.
const FLAT_MAX: usize = 8;
/// No schema that is taken is nested as deep.
const DEPTH_MAX: usize = 64;

/// There are too many ways through a schema's unions.
#[derive(Debug)]
pub(in super::super) struct TooLarge;

/// What is wanted of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Want {
    /// What a node of the shape says.
    Node(u16),
    /// An entry under this node; of a list, one for each item if it is no item itself.
    Entry {
        node: u16,
        is_item: bool,
    },
    Nothing(Skip),
}

/// How a value is skipped.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Skip {
    /// With no look into it where its length is known.
    Blind,
    /// What stands in a union: a text must be one, a symbol must be known, blocks are looked into.
    Looking,
}

/// A type, with what its logical type makes of it.
enum Kind<'s> {
    Null,
    Scalar(Read),
    /// A number of days, months and milliseconds: a record, if anybody asks.
    Duration,
    Array(SchemaKey),
    Map(SchemaKey),
    Union(&'s [SchemaKey]),
    Record(Vec<(&'s str, SchemaKey)>),
}

impl Kind<'_> {
    /// Branches or fields.
    fn parts(&self) -> usize {
        match self {
            Kind::Union(branches) => branches.len(),
            Kind::Record(fields) => fields.len(),
            Kind::Null | Kind::Scalar(_) | Kind::Duration | Kind::Array(_) | Kind::Map(_) => 0,
        }
    }
}

const DURATION: [&str; 3] = ["months", "days", "milliseconds"];

impl Plan {
    /// Compiles the steps that pick out what the shape wants, which begins at a node of it.
    pub(in super::super) fn compile(shape: &Shape, root: u16, layout: &SchemaMut) -> Result<Plan, TooLarge> {
        let mut compiler = Compiler {
            shape,
            layout,
            plan: Plan::default(),
            steps: Vec::new(),
            label: 0,
            symbols: HashMap::new(),
            seen: HashSet::new(),
            known: HashMap::new(),
            routines: Vec::new(),
            count: 0,
        };
        compiler.visit(Want::Node(root), SchemaKey::root(), 0);
        let Compiler { mut plan, steps, routines, count, .. } = compiler;
        if count > STEPS_MAX {
            return Err(TooLarge);
        }
        plan.main = steps.len();
        plan.steps = steps;
        for routine in routines {
            let first = plan.steps.len();
            plan.steps.extend(routine);
            plan.routines.push((number(first), number(plan.steps.len())));
        }
        Ok(plan)
    }
}

/// How a scalar is read where bytes are wanted as text, or not.
fn wanted(read: Read, as_text: bool) -> Read {
    match read {
        Read::Bytes { .. } => Read::Bytes { as_text },
        Read::Fixed { size, .. } => Read::Fixed { size, as_text },
        read => read,
    }
}

/// Numbers of steps and the like, of which there are few.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

struct Compiler<'s> {
    shape: &'s Shape,
    layout: &'s SchemaMut,
    plan: Plan,
    /// Of the routine that is being compiled.
    steps: Vec<Step>,
    /// Before this one, steps may be jumped over: nothing is added to them.
    label: usize,
    symbols: HashMap<usize, u32>,
    /// What has been compiled where it stands: the next time, it is called.
    seen: HashSet<(usize, Want)>,
    /// What is called.
    known: HashMap<(usize, Want), u32>,
    routines: Vec<Vec<Step>>,
    /// Steps of all routines.
    count: usize,
}

impl<'s> Compiler<'s> {
    fn visit(&mut self, want: Want, key: SchemaKey, depth: usize) {
        if self.count > STEPS_MAX {
            return; // which is noticed in the end
        }
        let kind = self.kind(key);
        if depth > DEPTH_MAX {
            return self.push(Step::Refuse);
        }
        let is_called = match want {
            Want::Nothing(_) => !self.is_flat(&kind),
            Want::Node(_) | Want::Entry { .. } => kind.parts() > 1 && !self.seen.insert((key.idx(), want)),
        };
        if is_called { self.call(want, key, kind, depth + 1) } else { self.steps_of(want, kind, depth + 1) }
    }

    fn steps_of(&mut self, want: Want, kind: Kind<'s>, depth: usize) {
        match (kind, want) {
            (kind, Want::Nothing(skip)) => self.skip(skip, &kind, depth),
            (Kind::Union(branches), want) => self.union(want, branches, depth),
            (kind, Want::Node(node)) => self.node(node, kind, depth),
            (kind, Want::Entry { node, is_item }) => self.entry(node, is_item, kind, depth),
        }
    }

    /// What a node of the shape wants of a value that is no union.
    fn node(&mut self, node: u16, kind: Kind<'s>, depth: usize) {
        let shape = self.shape;
        let at = &shape.nodes[usize::from(node)];
        match kind {
            Kind::Null => {
                self.push(Step::Null(node));
                if node == 0 {
                    self.note_scalar(node);
                }
            }
            Kind::Scalar(read) => {
                self.push(match wanted(read, at.bytes_as_text) {
                    Read::Text | Read::Uuid => Step::Text(node),
                    Read::Long => Step::Long(node),
                    read => Step::Take(node, read),
                });
                self.note_scalar(node);
            }
            Kind::Array(items) => self.list(node, items, depth),
            Kind::Map(values) => {
                self.push(Step::Object(node));
                if at.entries {
                    let opened = self.open();
                    self.visit(Want::Entry { node, is_item: false }, values, depth);
                    self.close(opened, |span| Step::Entries { span });
                } else if at.keys.is_empty() {
                    self.note_if(at.refuses_objects(), node);
                    self.skip_items(true, false, values, depth);
                } else {
                    let children: Vec<u16> = at.keys.iter().map(|&(_, child)| child).collect();
                    self.places(&children, values, depth, |first, span| Step::Keys { node, first, span });
                }
            }
            Kind::Record(fields) => {
                self.push(Step::Object(node));
                let names: Vec<&str> = fields.iter().map(|&(name, _)| name).collect();
                self.fields(node, &names, |compiler, want, index| compiler.visit(want, fields[index].1, depth));
            }
            Kind::Duration => {
                self.push(Step::Ahead(12));
                self.push(Step::Object(node));
                self.fields(node, &DURATION, |compiler, want, _| match want {
                    Want::Node(child) => {
                        compiler.push(Step::Take(child, Read::Part));
                        compiler.note_scalar(child);
                    }
                    Want::Entry { node, .. } => compiler.push(Step::Entry(node, Read::Part)),
                    Want::Nothing(_) => compiler.push_skip(4),
                });
            }
            Kind::Union(branches) => self.union(Want::Node(node), branches, depth),
        }
    }

    /// The fields of a record at a node.
    fn fields(&mut self, node: u16, names: &[&str], mut visit: impl FnMut(&mut Compiler<'s>, Want, usize)) {
        let at = &self.shape.nodes[usize::from(node)];
        if !at.entries && at.keys.is_empty() {
            self.note_if(at.refuses_objects(), node);
        }
        for (index, name) in names.iter().enumerate() {
            let want = match at.keys.iter().find(|(key, _)| **key == **name) {
                _ if at.entries => {
                    self.push(Step::Name(number(self.plan.names.len())));
                    self.plan.names.push((*name).to_owned());
                    Want::Entry { node, is_item: false }
                }
                Some(&(_, child)) => Want::Node(child),
                None => Want::Nothing(Skip::Blind),
            };
            visit(self, want, index);
        }
    }

    /// A list at a node.
    fn list(&mut self, node: u16, items: SchemaKey, depth: usize) {
        let at = &self.shape.nodes[usize::from(node)];
        let each = |node, item, span| Step::Each { node, item, span };
        let list = |node, item, span| Step::List { node, item, span };
        type Open = fn(u16, u32, u32) -> Step;
        let (want, step): (Want, Open) = match at.element {
            Some(element) => (Want::Node(element), each),
            None if at.list && at.items.is_empty() => (Want::Entry { node, is_item: true }, list),
            None => {
                self.push(Step::Object(node));
                if at.items.is_empty() {
                    self.note_if(at.refuses_lists(node), node);
                    return self.skip_items(false, false, items, depth);
                }
                let children: Vec<u16> = at.items.iter().map(|&(_, child)| child).collect();
                return self.places(&children, items, depth, |first, span| Step::Items { node, first, span });
            }
        };
        let opened = self.open();
        self.visit(want, items, depth);
        let item = number(self.steps.len() - opened - 1);
        self.label = self.steps.len();
        self.visit(Want::Nothing(Skip::Blind), items, depth);
        self.close(opened, |span| step(node, item, span));
    }

    /// The steps of each wanted place of a map or a list, and those that skip one.
    fn places(&mut self, children: &[u16], inner: SchemaKey, depth: usize, step: impl FnOnce(u32, u32) -> Step) {
        let opened = self.open();
        let wants = children.iter().map(|&child| Want::Node(child)).chain([Want::Nothing(Skip::Blind)]);
        let mut places = Vec::new();
        for want in wants {
            let first = self.steps.len();
            self.label = first;
            self.visit(want, inner, depth);
            places.push((number(first - opened - 1), number(self.steps.len() - first)));
        }
        let first = number(self.plan.places.len());
        self.plan.places.extend(places);
        self.close(opened, |span| step(first, span));
    }

    /// The entries of a value that is no union.
    fn entry(&mut self, node: u16, is_item: bool, kind: Kind<'s>, depth: usize) {
        match kind {
            Kind::Null => self.push(Step::NullEntry(node)),
            Kind::Scalar(read) => {
                let as_text = self.shape.nodes[usize::from(node)].items_as_text;
                self.push(Step::Entry(node, wanted(read, as_text)));
            }
            Kind::Array(items) if !is_item => {
                let opened = self.open();
                self.visit(Want::Entry { node, is_item: true }, items, depth);
                self.close(opened, |span| Step::EntryItems { span });
            }
            kind => {
                self.skip(Skip::Looking, &kind, depth);
                self.push(Step::CompositeEntry(node));
            }
        }
    }

    /// Every branch's steps, one after the other.
    fn union(&mut self, want: Want, branches: &'s [SchemaKey], depth: usize) {
        let want = match want {
            Want::Nothing(_) => Want::Nothing(Skip::Looking),
            want => want,
        };
        let is_null = |key: &SchemaKey| matches!(self.layout[*key].type_, RegularType::Null);
        let nullable = match (branches, want) {
            (_, Want::Node(0)) => None,
            ([null, other], _) if is_null(null) && !is_null(other) => Some((0, *other)),
            ([other, null], _) if is_null(null) && !is_null(other) => Some((1, *other)),
            _ => None,
        };
        if let Some((null, other)) = nullable {
            let absent = match want {
                Want::Nothing(_) => Absent::Skipped,
                Want::Node(node) => Absent::At(node),
                Want::Entry { node, .. } => Absent::Entry(node),
            };
            let opened = self.open();
            self.visit(want, other, depth);
            return self.close(opened, |span| Step::Nullable { null, absent, span });
        }
        let opened = self.open();
        let (mut starts, mut jumps) = (Vec::new(), Vec::new());
        for (index, branch) in branches.iter().enumerate() {
            self.label = self.steps.len();
            starts.push(number(self.steps.len() - opened - 1));
            self.visit(want, *branch, depth);
            if index + 1 < branches.len() {
                jumps.push(self.open());
            }
        }
        for jump in jumps {
            self.close(jump, Step::Jump);
        }
        let (first, count) = (number(self.plan.branches.len()), number(starts.len()));
        self.plan.branches.extend(starts);
        self.close(opened, |_| Step::Union { first, count });
    }

    /// Skips a value that is no union.
    fn skip(&mut self, skip: Skip, kind: &Kind<'s>, depth: usize) {
        let blind = skip == Skip::Blind;
        match kind {
            Kind::Null => {}
            Kind::Scalar(read) => match *read {
                Read::Boolean => self.push(Step::SkipBoolean),
                Read::Int => self.push(Step::SkipInt),
                Read::Long => self.push(Step::SkipLong),
                Read::Float | Read::Part => self.push_skip(4),
                Read::Double => self.push_skip(8),
                Read::Text if blind => self.push(Step::SkipSized),
                Read::Text | Read::Uuid => self.push(Step::SkipText),
                Read::Bytes { .. } => self.push(Step::SkipSized),
                Read::Fixed { size, .. } => self.push_skip(size as usize),
                Read::Symbol(_) if blind => self.push(Step::SkipLong),
                Read::Symbol(symbols) => {
                    let count = self.plan.symbols.get(symbols as usize).map_or(0, |symbols| symbols.len());
                    self.push(Step::SkipSymbol(number(count)));
                }
                Read::Decimal(decimal) => self.push(Step::SkipDecimal(decimal)),
            },
            Kind::Duration => self.push_skip(12),
            Kind::Array(items) => self.skip_items(false, blind, *items, depth),
            Kind::Map(values) => self.skip_items(true, blind, *values, depth),
            Kind::Record(fields) => {
                for &(_, field) in fields {
                    self.visit(Want::Nothing(Skip::Blind), field, depth);
                }
            }
            Kind::Union(branches) => self.union(Want::Nothing(Skip::Looking), branches, depth),
        }
    }

    /// Skips the items of a list or a map.
    fn skip_items(&mut self, keyed: bool, by_size: bool, inner: SchemaKey, depth: usize) {
        let opened = self.open();
        self.visit(Want::Nothing(Skip::Blind), inner, depth);
        self.close(opened, |span| Step::SkipItems { keyed, by_size, span });
    }

    /// Whether a value is a scalar or made of a few.
    fn is_flat(&self, kind: &Kind<'s>) -> bool {
        let is_scalar = |key: &SchemaKey| {
            let inner = &self.layout[*key].type_;
            !matches!(
                inner,
                RegularType::Array(_) | RegularType::Map(_) | RegularType::Union(_) | RegularType::Record(_)
            )
        };
        match kind {
            Kind::Null | Kind::Scalar(_) | Kind::Duration => true,
            Kind::Array(inner) | Kind::Map(inner) => is_scalar(inner),
            Kind::Union(branches) => branches.len() <= FLAT_MAX && branches.iter().all(is_scalar),
            Kind::Record(fields) => fields.len() <= FLAT_MAX && fields.iter().all(|(_, field)| is_scalar(field)),
        }
    }

    /// Reads or skips a value by a call of its steps, which are compiled once.
    fn call(&mut self, want: Want, key: SchemaKey, kind: Kind<'s>, depth: usize) {
        let known = self.known.get(&(key.idx(), want)).copied();
        let routine = known.unwrap_or_else(|| {
            let steps = std::mem::take(&mut self.steps);
            let label = std::mem::take(&mut self.label);
            self.steps_of(want, kind, depth);
            self.label = label;
            let routine = number(self.routines.len());
            self.routines.push(std::mem::replace(&mut self.steps, steps));
            self.known.insert((key.idx(), want), routine);
            routine
        });
        self.push(Step::Call(routine));
    }

    fn note_scalar(&mut self, node: u16) {
        self.note_if(self.shape.nodes[usize::from(node)].refuses_scalars(node), node);
    }

    fn note_if(&mut self, is_wrong: bool, node: u16) {
        if is_wrong {
            self.push(Step::NotAContainer(node));
        }
    }

    fn push(&mut self, step: Step) {
        self.count += 1;
        self.steps.push(step);
    }

    /// Bytes of a known number, with those that are skipped just before them.
    fn push_skip(&mut self, bytes: usize) {
        match self.steps[self.label..].last_mut() {
            Some(Step::Skip(before)) => *before = before.saturating_add(bytes),
            _ => self.push(Step::Skip(bytes)),
        }
    }

    /// A place for a step that other steps belong to.
    fn open(&mut self) -> usize {
        self.push(Step::Refuse);
        self.label = self.steps.len();
        self.label - 1
    }

    /// Puts the step there, once all that belong to it stand behind it.
    fn close(&mut self, opened: usize, step: impl FnOnce(u32) -> Step) {
        self.label = self.steps.len();
        self.steps[opened] = step(number(self.label - opened - 1));
    }

    fn kind(&mut self, key: SchemaKey) -> Kind<'s> {
        let layout = self.layout;
        let node = &layout[key];
        // A logical type that stands on another type than its own says nothing.
        Kind::Scalar(match (&node.logical_type, &node.type_) {
            (Some(LogicalType::Decimal(decimal)), RegularType::Bytes) => {
                Read::Decimal(Decimal::Bytes { scale: small(decimal.scale as usize) })
            }
            (Some(LogicalType::Decimal(decimal)), RegularType::Fixed(fixed)) => {
                Read::Decimal(Decimal::Fixed { scale: small(decimal.scale as usize), size: small(fixed.size) })
            }
            (Some(LogicalType::BigDecimal), RegularType::Bytes) => Read::Decimal(Decimal::Big),
            (Some(LogicalType::Duration), RegularType::Fixed(fixed)) if fixed.size == 12 => return Kind::Duration,
            (Some(LogicalType::Uuid), RegularType::String) => Read::Uuid,
            (_, RegularType::Null) => return Kind::Null,
            (_, RegularType::Boolean) => Read::Boolean,
            (_, RegularType::Int) => Read::Int,
            (_, RegularType::Long) => Read::Long,
            (_, RegularType::Float) => Read::Float,
            (_, RegularType::Double) => Read::Double,
            (_, RegularType::Bytes) => Read::Bytes { as_text: false },
            (_, RegularType::String) => Read::Text,
            (_, RegularType::Fixed(fixed)) => Read::Fixed { size: number(fixed.size), as_text: false },
            (_, RegularType::Enum(symbols)) => {
                let next = number(self.plan.symbols.len());
                let place = *self.symbols.entry(key.idx()).or_insert(next);
                if place == next {
                    self.plan.symbols.push(symbols.symbols.clone().into_boxed_slice());
                }
                Read::Symbol(place)
            }
            (_, RegularType::Array(array)) => return Kind::Array(array.items),
            (_, RegularType::Map(map)) => return Kind::Map(map.values),
            (_, RegularType::Union(union)) => return Kind::Union(&union.variants),
            (_, RegularType::Record(record)) => {
                return Kind::Record(record.fields.iter().map(|field| (field.name.as_str(), field.type_)).collect());
            }
        })
    }
}

/// A scale or a size; one of 255 and more is refused like one of 255.
fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
