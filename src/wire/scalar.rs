//! One value at one place of a payload, as it was written: text is borrowed wherever the format allows.

use std::borrow::Cow;

/// What stands at one place of a payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Scalar<'a> {
    /// Nothing: the place does not exist.
    #[default]
    Missing,
    /// An explicit null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number above [`i64::MAX`].
    Large(u64),
    /// Any other number. A decimal of up to 15 digits is recovered exactly from it.
    Float(f64),
    /// A number with more digits than a float holds, as it was written.
    Digits(&'a str),
    /// Text.
    Text(Cow<'a, str>),
    /// An object, an array or bytes: no scalar.
    Composite,
}

impl Scalar<'_> {
    /// Whether there is nothing to read: the place does not exist or holds null.
    pub fn is_absent(&self) -> bool {
        matches!(self, Scalar::Missing | Scalar::Null)
    }

    /// The same, borrowed from this one.
    pub fn borrowed(&self) -> Scalar<'_> {
        match self {
            Scalar::Text(text) => Scalar::Text(Cow::Borrowed(text)),
            other => other.clone(),
        }
    }
}
