//! A place in a list in; an opaque cursor out, and back: good for the same question only, and for as long as the list is there.
//!
//! A cursor is the key of the first record that was not looked at, so that what is added or removed meanwhile neither repeats nor
//! hides another record.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use xxhash_rust::xxh3::xxh3_64;

use super::problem::{Kind, Problem};

/// Records of a page, unless the question says how many.
const LIMIT_DEFAULT: usize = 100;
/// The most that it may say.
const LIMIT_MAX: usize = 1_000;

/// How many records a page may have.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(LIMIT_DEFAULT),
        Some(limit @ 1..=LIMIT_MAX) => Ok(limit),
        Some(_) => Err(Problem::parameter(format!("`limit` must be between 1 and {LIMIT_MAX}"))),
    }
}

/// The cursor of a place. `question`: what the list was asked for.
pub(super) fn cursor(question: &str, place: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([&xxh3_64(question.as_bytes()).to_be_bytes(), place].concat())
}

/// The place of a cursor of the same question.
pub(super) fn place(question: &str, cursor: &str) -> Result<Vec<u8>, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong_cursor())?;
    let (of, place) = bytes.split_first_chunk::<8>().ok_or_else(wrong_cursor)?;
    if u64::from_be_bytes(*of) != xxh3_64(question.as_bytes()) {
        return Err(wrong_cursor());
    }
    Ok(place.to_vec())
}

/// A cursor that is none of the question's.
pub(super) fn wrong_cursor() -> Problem {
    Problem::new(Kind::InvalidCursor, "take `next` of the page before, and ask as you did for that page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_question_only() {
        let given = cursor("metrics?window=day", b"\x02key");
        assert_eq!(place("metrics?window=day", &given).ok().as_deref(), Some(&b"\x02key"[..]));
        assert!(place("metrics?window=week", &given).is_err());
        for wrong in ["", "x", "****", &given[1..], &format!("{given}=")] {
            assert!(place("metrics?window=day", wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_page_has_a_bound() {
        assert_eq!(limit(None).ok(), Some(100));
        assert_eq!(limit(Some(1_000)).ok(), Some(1_000));
        assert!(limit(Some(0)).is_err() && limit(Some(1_001)).is_err());
    }
}
