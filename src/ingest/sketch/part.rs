//! One field of a touchpoint, guessed: the lines that say it in a spoke file, why, and what of it a person must look at.

use super::{forms::TimeForm, survey::Place};

/// One entry of a spoke file.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// What is said above it.
    pub comments: Vec<String>,
    /// The lines themselves; none where nothing was found that could be written.
    pub lines: Vec<String>,
    /// The places that it reads, for a made-up record.
    pub uses: Vec<Use>,
    /// What a person must look at.
    pub remark: Option<String>,
}

/// A place that is read.
#[derive(Clone, Debug)]
pub(super) struct Use {
    /// The keys that lead there.
    pub keys: Vec<String>,
    /// Whether it is in an element.
    pub of_element: bool,
    /// What stands there in a made-up record.
    pub made_up: MadeUp,
}

/// What stands at a place of a made-up record. Never what stood there in the sample, unless that is in the spoke file anyway.
#[derive(Clone, Debug)]
pub(super) enum MadeUp {
    /// What stood there: a word of a map, a currency, a time zone, true or false.
    Same,
    /// An address.
    Email,
    /// A number of a telephone.
    Phone,
    /// Other letters and digits of the same form.
    Form,
    /// The same number for all.
    Number(i64),
    /// A time, so many days after the first.
    Time(TimeForm, i64),
    /// Words that say what it is.
    Words(&'static str),
}

impl Part {
    /// A line and where it comes from.
    pub(super) fn new(comment: impl Into<String>, line: impl Into<String>) -> Part {
        Part { comments: vec![comment.into()], lines: vec![line.into()], ..Part::default() }
    }

    /// Only something to say.
    pub(super) fn comment(text: impl Into<String>) -> Part {
        Part { comments: vec![text.into()], ..Part::default() }
    }

    /// With a place that it reads.
    pub(super) fn reads(mut self, place: &Place<'_>, made_up: MadeUp) -> Part {
        let keys = place.keys.iter().map(|key| (*key).to_owned()).collect();
        self.uses.push(Use { keys, of_element: place.of_element, made_up });
        self
    }

    /// With a line that a person may want, as a comment.
    pub(super) fn suggests(mut self, line: impl std::fmt::Display) -> Part {
        self.lines.push(format!("# {line}"));
        self
    }

    /// With something to look at, above the line and on the command's summary.
    pub(super) fn look(mut self, field: &str, remark: impl Into<String>) -> Part {
        let remark = remark.into();
        self.comments.push(format!("LOOK: {remark}"));
        self.remark = Some(format!("{field}: {remark}"));
        self
    }
}

/// What would do something to a terminal, end a comment, or turn the order of what is read.
pub(super) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text between quotation marks, as TOML has it. Control characters are written as numbers.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            character if is_unsafe(character) => quoted.push_str(&format!("\\u{:04X}", u32::from(character))),
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// A key as TOML has it.
pub(super) fn key(text: &str) -> String {
    let is_bare =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_bare { text.to_owned() } else { quoted(text) }
}

/// `{ word = "ours", … }`.
pub(super) fn inline_map<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let entries: Vec<String> =
        entries.into_iter().map(|(word, ours)| format!("{} = {}", key(word), quoted(ours))).collect();
    format!("{{ {} }}", entries.join(", "))
}

/// One place, or several.
pub(super) fn paths(places: &[&Place<'_>]) -> String {
    let quotes: Vec<String> = places.iter().map(|place| quoted(&place.path)).collect();
    match quotes.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}
