//! A shape and a writer's schema, compiled once into the steps that pick the shape's scalars out of every record of it.
//!
//! The layout of a plan. Steps stand one after the other, in the order of the bytes, and are done in one loop: a record inside
//! of a record is laid out flat, and what nobody wants is one step where its length is known (`Skip(12)`) or is written
//! (`SkipSized`). What may be left out has its steps behind it, with a span: how many of them, from the next one on.
//!
//! ```text
//! {"id": string, "paid": [null, {"cents": long, "rate": double, "by": string}], "tags": [string]}, of which id and paid.cents
//!
//! 0  Object 0                  the record itself is noted
//! 1  Text 1                    id
//! 2  Nullable, span 4          null: noted at 2, on with 7
//! 3    Object 2                paid
//! 4    Long 3                  paid.cents
//! 5    Skip 8                  paid.rate
//! 6    SkipSized               paid.by
//! 7  SkipItems, span 1         tags: a block whose size is written at once, others item by item
//! 8    SkipSized
//! ```
//!
//! A `Union` has the way to each branch in `branches`, and every branch but the last ends in a `Jump` behind all of them. The
//! steps inside of a list or a map are done again for every item, by a call of the loop, so that the depth of the stack is the
//! depth of the schema. What is skipped and is more than a handful of scalars is compiled once and called (`Call`), however
//! often a schema names it; what is wanted is compiled where it stands first, and called from then on.
//!
//! A plan reads what serde_avro_fast reads of the same bytes into the same shape, and refuses what that refuses: its tests
//! compare the two. Both look at what is skipped no more than they must: a text that nobody wants may be no UTF-8, but for one
//! in a union.

mod bytes;
mod compile;
mod decimal;
mod run;
#[cfg(test)]
pub(super) mod tests;

pub(super) use decimal::text as decimal_text;

/// The steps that read every record of one schema.
#[derive(Debug, Default)]
pub(super) struct Plan {
    steps: Vec<Step>,
    /// The steps of the record; the others are called.
    main: usize,
    /// Where the steps of what is called begin and end.
    routines: Vec<(u32, u32)>,
    /// For each union in turn, where the steps of each branch begin, seen from the next step.
    branches: Vec<u32>,
    /// For each map and list with wanted places in turn: where the steps of each place begin, seen from the next step, and how
    /// many they are; then those of what is skipped.
    places: Vec<(u32, u32)>,
    symbols: Vec<Box<[String]>>,
    /// Fields that are entries.
    names: Vec<String>,
}

/// One step. Numbers of nodes are those of the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A text at a node: the most frequent step.
    Text(u16),
    /// A long number at a node.
    Long(u16),
    /// Another scalar at a node.
    Take(u16, Read),
    /// Null at a node.
    Null(u16),
    /// An object or a list at a node, which is read on.
    Object(u16),
    /// A scalar stood where a path leads on.
    NotAContainer(u16),
    /// An entry of an object or a list, under the key that was read last.
    Entry(u16, Read),
    NullEntry(u16),
    /// The same for a list or an object, which was skipped.
    CompositeEntry(u16),
    /// The key of the entries that follow: a field's name.
    Name(u32),
    /// A union of null and one other: which branch is null, what null is, and the steps of the other.
    Nullable {
        null: u8,
        absent: Absent,
        span: u32,
    },
    /// A union: its branches' place among all of them, and how many they are.
    Union {
        first: u32,
        count: u32,
    },
    /// On, over so many steps.
    Jump(u32),
    /// The entries of a map: the steps of its values.
    Entries {
        span: u32,
    },
    /// A list of scalars at a node: the steps of its items, and those that skip one.
    List {
        node: u16,
        item: u32,
        span: u32,
    },
    /// The items of a list that is an entry: their steps.
    EntryItems {
        span: u32,
    },
    /// A map at a node of which some keys are wanted.
    Keys {
        node: u16,
        first: u32,
        span: u32,
    },
    /// A list at a node of which some items are wanted.
    Items {
        node: u16,
        first: u32,
        span: u32,
    },
    /// A list at a node that is read element by element: the steps of an element, and those that skip one.
    Each {
        node: u16,
        item: u32,
        span: u32,
    },
    Call(u32),
    /// So many bytes must follow, before anything is noted of them.
    Ahead(u8),
    Skip(usize),
    /// A number of 32 bits.
    SkipInt,
    SkipLong,
    SkipBoolean,
    /// Anything with its length before it.
    SkipSized,
    /// A text, which must be one.
    SkipText,
    SkipSymbol(u32),
    SkipDecimal(Decimal),
    /// A list or a map. `by_size`: a block whose size is written is not looked into.
    SkipItems {
        keyed: bool,
        by_size: bool,
        span: u32,
    },
    /// Nested deeper than anything is read.
    Refuse,
}

/// What null is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    Skipped,
    At(u16),
    Entry(u16),
}

/// How a scalar is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Text,
    Uuid,
    Bytes {
        as_text: bool,
    },
    Fixed {
        size: u32,
        as_text: bool,
    },
    Symbol(u32),
    Decimal(Decimal),
    /// Four bytes of a duration.
    Part,
}

/// How a decimal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decimal {
    Bytes {
        scale: u8,
    },
    Fixed {
        scale: u8,
        size: u8,
    },
    /// With its scale.
    Big,
}
