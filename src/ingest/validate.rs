//! Captured scalars → the parts of a touchpoint, normalised and within their limits, or the reason why not.
//!
//! Texts are trimmed; an empty one is absent; a control character in one becomes a space (tabs and line breaks slip into
//! names, and are no reason to lose a customer's touchpoint). An identifier's value that identifies nobody is dropped
//! ([`IdentifierRules`]). No message here quotes the payload.

use std::borrow::Cow;

use super::{
    made::Keeper,
    number::{self, is_number, whole},
};
use crate::{
    model::{IdentifierRules, IdentifierType, Reason, is_blocked},
    wire::Scalar,
};

/// Characters of a touchpoint's id.
pub(super) const ID_CHARACTERS_MAX: usize = 128;
/// Characters of a dimension's value, of a label, of an item.
pub(super) const TEXT_CHARACTERS_MAX: usize = 256;
/// Characters of an identifier's value.
const IDENTIFIER_CHARACTERS_MAX: usize = 256;
/// Identifiers of one touchpoint.
pub(super) const IDENTIFIERS_MAX: usize = 32;
/// Properties of one touchpoint.
pub(super) const PROPERTIES_MAX: usize = 32;
/// Characters of a property's name, and of its value.
pub(super) const PROPERTY_CHARACTERS_MAX: usize = 128;
/// Minor units of one amount: 10^15, so that nine thousand of the largest still add up within 64 bits.
pub(super) const MINOR_UNITS_MAX: i64 = 1_000_000_000_000_000;

/// Why a part cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub reason: Reason,
    pub message: Cow<'static, str>,
}

/// Says why, and what to do.
#[cold]
pub(super) fn refused<T>(reason: Reason, message: impl Into<Cow<'static, str>>) -> Result<T, Box<Refused>> {
    Err(Box::new(Refused { reason, message: message.into() }))
}

/// Whether there is nothing to trim, to replace or to count: printable ASCII, no space at either end, short enough. Nearly
/// every text is like this, and seen to be so in one look.
#[inline]
pub(super) fn is_plain(text: &str, characters_max: usize) -> bool {
    let bytes = text.as_bytes();
    match bytes {
        [] | [b' ', ..] | [.., b' '] => false,
        _ => bytes.len() <= characters_max && is_printable(bytes),
    }
}

/// Whether all bytes are printable ASCII, eight at a time.
#[inline]
fn is_printable(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    // The high bit of each byte below 0x20, of each 0x7F and of each above it. A borrow may mark more bytes, but only when
    // one is marked rightly (S. Anderson, "Bit Twiddling Hacks": determine if a word has a byte less than n).
    let unprintable = |word: [u8; 8]| {
        let word = u64::from_le_bytes(word);
        (word | word.wrapping_sub(ONES * 0x20) | (word & (ONES * 0x7F)).wrapping_add(ONES)) & (ONES * 0x80)
    };
    let (words, _) = bytes.as_chunks::<8>();
    // The rest is seen in the last eight bytes, some of them for the second time.
    match bytes.last_chunk::<8>() {
        Some(&last) => words.iter().fold(unprintable(last), |found, &word| found | unprintable(word)) == 0,
        None => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(&[a, b, c, d]), Some(&[e, f, g, h])) => unprintable([a, b, c, d, e, f, g, h]) == 0,
            _ => bytes.iter().fold(true, |plain, byte| plain & matches!(byte, 0x20..=0x7E)),
        },
    }
}

fn has_control(text: &str) -> bool {
    // The C1 controls begin with 0xC2 in UTF-8: everything else is decided by looking at bytes.
    text.bytes().any(|byte| byte < 0x20 || byte == 0x7F || byte == 0xC2) && text.chars().any(char::is_control)
}

fn is_longer(text: &str, characters_max: usize) -> bool {
    text.len() > characters_max && text.chars().count() > characters_max
}

/// A scalar as text; `None` if it is absent, an error if it is no scalar.
#[inline]
fn as_text<'c>(scalar: &'c Scalar<'_>, keeper: &Keeper<'c>) -> Result<Option<&'c str>, Box<Refused>> {
    Ok(Some(match scalar {
        Scalar::Missing | Scalar::Null => return Ok(None),
        Scalar::Text(text) => text,
        Scalar::Int(value) => keeper.keep(value.to_string()),
        Scalar::Large(value) => keeper.keep(value.to_string()),
        Scalar::Float(value) => keeper.keep(value.to_string()),
        Scalar::Digits(number) => number,
        Scalar::Bool(value) => {
            if *value {
                "true"
            } else {
                "false"
            }
        }
        Scalar::Composite => {
            return refused(Reason::WrongType, "it is an object or a list; send a single text, number or true/false");
        }
    }))
}

/// A text, trimmed; `None` if nothing is left.
#[inline]
pub(super) fn text<'c>(
    scalar: &'c Scalar<'_>,
    characters_max: usize,
    keeper: &Keeper<'c>,
) -> Result<Option<&'c str>, Box<Refused>> {
    match scalar {
        Scalar::Missing | Scalar::Null => Ok(None),
        Scalar::Text(text) if is_plain(text, characters_max) => Ok(Some(text)),
        _ => any_text(scalar, characters_max, keeper),
    }
}

fn any_text<'c>(
    scalar: &'c Scalar<'_>,
    characters_max: usize,
    keeper: &Keeper<'c>,
) -> Result<Option<&'c str>, Box<Refused>> {
    let Some(text) = as_text(scalar, keeper)? else {
        return Ok(None);
    };
    let mut text = text.trim();
    if has_control(text) {
        text = keeper.keep(text.replace(char::is_control, " ")).trim();
    }
    if text.is_empty() {
        return Ok(None);
    }
    if is_longer(text, characters_max) {
        return refused(
            Reason::TooLarge,
            format!("the text is longer than {characters_max} characters; shorten it, or send a code for it"),
        );
    }
    Ok(Some(text))
}

/// Whether it is a number that is not whole, or not written as such.
#[inline]
fn is_fraction(scalar: &Scalar<'_>) -> bool {
    match scalar {
        Scalar::Float(_) => true,
        Scalar::Digits(number) => !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'),
        _ => false,
    }
}

/// Whether there is nothing to take, whatever is wanted: nothing is there, or an empty text, as exports write it.
#[inline]
pub(super) fn is_nothing(scalar: &Scalar<'_>) -> bool {
    match scalar {
        // Nearly every text begins with something.
        Scalar::Text(text) if text.as_bytes().first().is_some_and(u8::is_ascii_graphic) => false,
        Scalar::Text(text) => is_blank(text),
        scalar => scalar.is_absent(),
    }
}

#[cold]
fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// The touchpoint's id, as it was written.
#[inline]
pub(super) fn id<'c>(scalar: &'c Scalar<'_>, keeper: &Keeper<'c>) -> Result<&'c str, Box<Refused>> {
    match scalar {
        Scalar::Text(id) if is_plain(id, ID_CHARACTERS_MAX) => Ok(id),
        _ => any_id(scalar, keeper),
    }
}

fn any_id<'c>(scalar: &'c Scalar<'_>, keeper: &Keeper<'c>) -> Result<&'c str, Box<Refused>> {
    if is_fraction(scalar) {
        return refused(Reason::WrongType, "the id is a fraction; send it as text or as a whole number");
    }
    let id = as_text(scalar, keeper)?.unwrap_or_default();
    if id.trim().is_empty() {
        return refused(Reason::MissingField, "there is no id; send one, or set id = \"content\" in the spoke file");
    }
    if is_longer(id, ID_CHARACTERS_MAX) {
        return refused(Reason::TooLarge, "the id is longer than 128 characters; send a shorter one");
    }
    if has_control(id) {
        return refused(Reason::WrongType, "the id has control characters; send one without them");
    }
    Ok(id)
}

/// The value of an identifier in the form in which it is compared; `None` if it identifies nobody.
pub(super) fn identifier<'c>(
    rules: &IdentifierRules,
    kind: IdentifierType,
    scalar: &'c Scalar<'_>,
    keeper: &Keeper<'c>,
) -> Result<Option<&'c str>, Box<Refused>> {
    match scalar {
        Scalar::Missing | Scalar::Null => Ok(None),
        Scalar::Text(value) if is_plain(value, IDENTIFIER_CHARACTERS_MAX) && rules.keeps(kind, value) => {
            Ok((!is_blocked(value)).then_some(value))
        }
        _ => any_identifier(rules, kind, scalar, keeper),
    }
}

fn any_identifier<'c>(
    rules: &IdentifierRules,
    kind: IdentifierType,
    scalar: &'c Scalar<'_>,
    keeper: &Keeper<'c>,
) -> Result<Option<&'c str>, Box<Refused>> {
    if is_fraction(scalar) {
        return refused(Reason::WrongType, "the identifier is a fraction; send it as text or as a whole number");
    }
    let Some(value) = as_text(scalar, keeper)? else {
        return Ok(None);
    };
    if is_plain(value, IDENTIFIER_CHARACTERS_MAX) && rules.keeps(kind, value) {
        return Ok((!is_blocked(value)).then_some(value));
    }
    let value = match rules.normalize(kind, value) {
        None => return Ok(None),
        Some(Cow::Borrowed(form)) => form,
        Some(Cow::Owned(form)) => keeper.keep(form),
    };
    if is_longer(value, IDENTIFIER_CHARACTERS_MAX) {
        return refused(
            Reason::TooLarge,
            "the identifier is longer than 256 characters; send the one that your customers are known by",
        );
    }
    Ok(Some(value))
}

/// A whole number within a range, with the reason for one outside.
pub(super) fn within(
    scalar: &Scalar<'_>,
    (smallest, largest): (i64, i64),
    outside: Reason,
) -> Result<Option<i64>, Box<Refused>> {
    if is_nothing(scalar) {
        return Ok(None);
    }
    match whole(scalar) {
        Some(value) if (smallest..=largest).contains(&value) => Ok(Some(value)),
        None if !is_number(scalar) => refused(Reason::WrongType, "it is not a number; send a whole number"),
        _ => refused(outside, format!("it is not a whole number from {smallest} to {largest}; send one in this range")),
    }
}

/// An answer on a department's own scale, brought to ours.
pub(super) fn rescaled(scalar: &Scalar<'_>, own: (i64, i64), ours: (i64, i64)) -> Result<Option<i64>, Box<Refused>> {
    if is_nothing(scalar) {
        return Ok(None);
    }
    match number::rescaled(scalar, own, ours) {
        Some(answer) => Ok(Some(answer)),
        None if !is_number(scalar) => refused(Reason::WrongType, "it is not a number; send a number"),
        None => {
            let (first, last) = own;
            let message =
                format!("it is not a number from {first} to {last} with at most 3 decimals; send one in this range");
            refused(Reason::ScoreOutOfRange, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::made::Made, *};

    fn shown(kind: IdentifierType, value: &str) -> String {
        match identifier(
            &IdentifierRules::default(),
            kind,
            &Scalar::Text(Cow::Borrowed(value)),
            &Keeper::new(&Made::default()),
        ) {
            Ok(Some(value)) => value.to_owned(),
            Ok(None) => "nobody".into(),
            Err(refused) => refused.reason.to_string(),
        }
    }

    #[test]
    fn identifiers_are_normalised_and_those_of_nobody_are_dropped() {
        let customer = IdentifierType::CustomerId;
        assert_eq!(shown(customer, "  C1 "), "C1");
        assert_eq!(shown(IdentifierType::Email, " Ann@Example.ORG"), "ann@example.org");
        assert_eq!(shown(IdentifierType::Email, "É@x"), "é@x");
        for nobody in [
            "",
            " ",
            "\t",
            "null",
            "NONE",
            "NaN",
            "undefined",
            "Anonymous",
            "guest",
            "unknown",
            "true",
            "FALSE",
            "id",
            "email",
            "[object Object]",
            "-1",
            "0",
            "0000",
            "-",
            "00-00",
            "a\u{0}b",
        ] {
            assert_eq!(shown(customer, nobody), "nobody", "{nobody:?}");
        }
        assert_eq!(shown(IdentifierType::Email, "no address"), "nobody");
        assert_eq!(shown(customer, &"é".repeat(256)), "é".repeat(256));
        assert_eq!(shown(customer, &"é".repeat(257)), "too_large");
        let made = Made::default();
        let number = |value| {
            identifier(&IdentifierRules::default(), customer, &Scalar::Int(value), &Keeper::new(&made))
                .map(|value| value.map(str::to_owned))
        };
        assert_eq!(number(4711), Ok(Some("4711".into())));
        assert_eq!(number(0), Ok(None));
    }

    #[test]
    fn an_id_of_blanks_is_none() {
        let shown = |text: &str| match id(&Scalar::Text(Cow::Borrowed(text)), &Keeper::new(&Made::default())) {
            Ok(id) => format!("{id:?}"),
            Err(refused) => refused.reason.to_string(),
        };
        for blank in ["", " ", "  ", "\t", "\u{a0}", " \u{2003} "] {
            assert_eq!(shown(blank), "missing_field", "{blank:?}");
        }
        // One with blanks around it stays as it was written.
        assert_eq!(shown(" 1 "), "\" 1 \"");
        assert_eq!(shown("1\t"), "wrong_type");
    }

    #[test]
    fn texts_are_trimmed_and_lose_their_control_characters() {
        let of =
            |scalar: Scalar<'_>| text(&scalar, 5, &Keeper::new(&Made::default())).map(|text| text.map(str::to_owned));
        let shown = |value: &str| of(Scalar::Text(Cow::Borrowed(value)));
        assert_eq!(shown(" a\tb "), Ok(Some("a b".into())));
        assert_eq!(shown("\u{85}\u{0}\n"), Ok(None));
        assert_eq!(shown("ééééé"), Ok(Some("ééééé".into())));
        assert_eq!(shown("123456").map_err(|refused| refused.reason), Err(Reason::TooLarge));
        assert_eq!(of(Scalar::Float(0.5)), Ok(Some("0.5".into())));
        assert_eq!(of(Scalar::Bool(true)), Ok(Some("true".into())));
        assert_eq!(of(Scalar::Null), Ok(None));
    }

    #[test]
    fn printable_is_what_each_byte_says() {
        for byte in 0..=255_u8 {
            for (place, length) in (0..20).flat_map(|place| (place + 1..=20).map(move |length| (place, length))) {
                let mut text = [b'a'; 20];
                text[place] = byte;
                let expected = (0x20..=0x7E).contains(&byte);
                assert_eq!(is_printable(&text[..length]), expected, "byte {byte:#x} at {place} of {length}");
            }
        }
    }
}
