//! The text of a path into a payload → its steps.

/// Segments of the longest path. Far above every real payload and far below serde_json's recursion limit of 128.
const PATH_SEGMENTS_MAX: usize = 32;
/// The largest array index in a path: a larger one is a mistake, and would make a scan of the whole array worthwhile.
const PATH_INDEX_MAX: usize = 1_000;

/// A path that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path {path:?} {problem}")]
pub struct PathError {
    pub(super) path: String,
    pub(super) problem: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

/// The keys of a path that has nothing but keys.
pub fn keys(path: &str) -> Option<Vec<String>> {
    let segments = parse_path(path).ok()?.into_iter().map(|segment| match segment {
        Segment::Key(key) => Some(key),
        Segment::Index(_) => None,
    });
    segments.collect()
}

/// `a.b[0].c`, with `\.`, `\[` and `\\` for these characters in a key. A leading `$.` is the payload itself, for a first
/// key that would otherwise be taken for a word of the mapping (`$.content`).
pub(super) fn parse_path(path: &str) -> Result<Vec<Segment>, PathError> {
    let error = |problem| PathError { path: path.to_owned(), problem };
    let mut segments = Vec::new();
    let mut characters = path.strip_prefix("$.").unwrap_or(path).chars().peekable();
    let mut key = String::new();
    // A key may start here; after an index only `.`, `[` or the end may follow.
    let mut key_expected = true;
    loop {
        match characters.next() {
            Some('\\') => match characters.next() {
                Some(escaped @ ('.' | '[' | '\\')) if key_expected => key.push(escaped),
                _ => {
                    return Err(error("has a backslash that is not followed by \".\", \"[\" or another backslash"));
                }
            },
            ended @ (Some('.' | '[') | None) => {
                if !key.is_empty() {
                    segments.push(Segment::Key(std::mem::take(&mut key)));
                } else if key_expected && !(ended == Some('[') && segments.is_empty()) {
                    return Err(error("has an empty key; write it as keys joined by dots, such as \"customer.id\""));
                }
                match ended {
                    None => break,
                    Some('.') => key_expected = true,
                    _ => {
                        let digits: String = std::iter::from_fn(|| characters.next_if(char::is_ascii_digit)).collect();
                        let index = digits.parse().ok().filter(|&index| index <= PATH_INDEX_MAX);
                        match (index, characters.next()) {
                            (Some(index), Some(']')) => segments.push(Segment::Index(index)),
                            _ => return Err(error("has an index that is not a number up to 1000 in brackets")),
                        }
                        key_expected = false;
                    }
                }
            }
            Some(character) if key_expected => key.push(character),
            Some(_) => return Err(error("goes on after an index without a dot")),
        }
    }
    if segments.len() > PATH_SEGMENTS_MAX {
        return Err(error("is deeper than 32 steps"));
    }
    Ok(segments)
}
