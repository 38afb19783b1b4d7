//! The condition of a spoke file (CEL) and one captured payload in; whether the record is taken, or why nobody can say, out.
//!
//! - [`compile`]: the text → a [`Node`], with a slot for every place that it names. Nothing else of a payload is seen.
//! - [`evaluate`]: a [`Node`] over what was captured → a value.
//!
//! The language is CEL (<https://cel.dev>), read by the parser of the `cel` crate; of it, what one record needs: single
//! values, no loops, no lists but those that the condition itself writes down. It is evaluated here, over borrowed text
//! and without a tree of values, so that each error knows the place that is to blame and none repeats what is there. Where
//! both take an expression, a test holds the two against each other. What is more lenient than CEL: whole numbers and
//! decimals calculate with each other, `has` takes every place, and null is nothing, as everywhere in a mapping.

mod compile;
mod evaluate;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use jiff::Timestamp;
use regex::Regex;

use crate::wire::{Capture, Slot};

/// The longest condition, in bytes. The parser recurses along chains: ten times as much would not fit a thread's stack.
const SOURCE_BYTES_MAX: usize = 2_000;
/// The deepest expression. The parser is bounded too, but not along chains such as `a + b + c`.
const DEPTH_MAX: usize = 64;
/// Parts of an expression: each is evaluated once at most.
const NODES_MAX: usize = 500;
/// The longest text that is looked at or made, in bytes: with [`NODES_MAX`], this bounds the work for one record.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// The largest compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// A compiled condition.
#[derive(Debug)]
pub(super) struct Condition {
    root: Node,
    of_element: bool,
}

impl Condition {
    /// Reads a condition. `place` makes the slot of a path, as a spoke file would write it; `has_elements`: whether a list
    /// is read element by element. The error says what is wrong and what to do.
    pub(super) fn compile(
        source: &str,
        has_elements: bool,
        place: &mut dyn FnMut(&str) -> Result<Slot, String>,
    ) -> Result<Condition, String> {
        compile::compile(source, has_elements, place)
    }

    /// Whether it looks at the element, and so is asked for each.
    pub(super) fn is_of_element(&self) -> bool {
        self.of_element
    }

    /// Whether it holds for what was captured.
    pub(super) fn holds(&self, capture: &Capture<'_>) -> Result<bool, Undecided> {
        let outcome = evaluate::evaluate(&self.root, capture)?;
        match outcome.value {
            Value::Bool(holds) => Ok(holds),
            _ => Err(outcome.undecided("its outcome is not true or false; compare it with something")),
        }
    }
}

/// Why a condition neither holds nor does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecided {
    /// The place that is to blame, if it is one.
    pub slot: Option<Slot>,
    /// What is wrong and what to do; nothing of the payload is in it.
    pub problem: &'static str,
}

/// An expression whose names are slots.
#[derive(Debug)]
enum Node {
    Constant(Value<'static>),
    Slot(Slot),
    Has(Slot),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Choose(Box<[Node; 3]>),
    Compare(Comparison, Box<[Node; 2]>),
    In(Box<Node>, Box<[Node]>),
    Calculate(Calculation, Box<[Node; 2]>),
    Search(Search, Box<[Node; 2]>),
    Matches(Box<Node>, Regex),
    Convert(Conversion, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conversion {
    Size,
    Int,
    Double,
    Text,
    Timestamp,
    LowerAscii,
    UpperAscii,
    Trim,
}

/// What an expression is at one record.
#[derive(Clone, Debug)]
enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Mostly a whole number above [`i64::MAX`].
    UInt(u64),
    Double(f64),
    Text(Cow<'a, str>),
    Time(Timestamp),
    /// A list or an object.
    Composite,
}
