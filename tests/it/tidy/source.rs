//! Rust source → its words, its paths and the modules they stand in: as much of the language as `tidy` needs.

use std::path::Path;

/// One source file.
pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The module that the file is: `src/engine/log/kafka.rs` → `["engine", "log", "kafka"]`, `src/lib.rs` → `[]`,
    /// `src/main.rs` → `["main"]`.
    pub fn module(&self) -> Vec<String> {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let inner = inner.strip_suffix(".rs").unwrap_or(inner);
        let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod")) || module == ["lib"] {
            module.pop();
        }
        module
    }

    pub fn room(&self) -> Option<String> {
        self.module().into_iter().next()
    }

    /// All text files below `folder` (from the root), sorted; none when there is no such folder.
    pub fn all(root: &Path, folder: &str) -> Vec<Self> {
        let mut found = Vec::new();
        let mut folders = vec![root.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(text) = std::fs::read_to_string(&path) {
                    let name = path.strip_prefix(root).expect("it is below the root").to_string_lossy().into_owned();
                    found.push(Self { path: name, text });
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    pub fn words(&self) -> Vec<Word> {
        words(&self.text)
    }

    /// Every path written in the file, use trees expanded, `crate`, `self` and `super` resolved to `crate::…`.
    pub fn paths(&self) -> Vec<Use> {
        let words = self.words();
        let file_module = self.module();
        let is_test_file = matches!(file_module.last().map(String::as_str), Some("tests" | "test"));
        let mut paths = Vec::new();
        let mut depth = 0;
        // Inline modules that are open: name, depth of their brace, whether only tests are in it.
        let mut open: Vec<(String, usize, bool)> = Vec::new();
        let mut at = 0;
        while at < words.len() {
            match words[at].text.as_str() {
                "mod" if words.get(at + 2).is_some_and(|word| word.text == "{") => {
                    let before: String =
                        words[at.saturating_sub(8)..at].iter().map(|word| word.text.as_str()).collect();
                    let is_test = before.ends_with("#[cfg(test)]") || before.ends_with("#[cfg(test)]pub");
                    depth += 1;
                    open.push((words[at + 1].text.clone(), depth, is_test));
                    at += 3;
                }
                "{" => {
                    depth += 1;
                    at += 1;
                }
                "}" => {
                    open.retain(|(_, of, _)| *of != depth);
                    depth = depth.saturating_sub(1);
                    at += 1;
                }
                text if is_name(text) && (at == 0 || !matches!(words[at - 1].text.as_str(), "." | "::" | "mod")) => {
                    let mut found = Vec::new();
                    let next = expand(&words, at, &[], &mut found);
                    let mut module = file_module.clone();
                    module.extend(open.iter().map(|(name, _, _)| name.clone()));
                    let in_test = is_test_file || open.iter().any(|(_, _, is_test)| *is_test);
                    for segments in found {
                        paths.push(Use { line: words[at].line, segments: resolve(&module, segments), in_test });
                    }
                    at = next.max(at + 1);
                }
                _ => at += 1,
            }
        }
        paths
    }
}

/// A word of code: a name, a number or one punctuation (`::` is one). Comments and the insides of literals are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub line: usize,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub line: usize,
    pub segments: Vec<String>,
    /// Stands in `#[cfg(test)] mod …` or in a file of tests.
    pub in_test: bool,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The absolute form of a path that stands in `module`; paths of other crates stay as they are.
fn resolve(module: &[String], segments: Vec<String>) -> Vec<String> {
    let mut base: Vec<String> = match segments[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        // The program is a crate of its own and names the library.
        "insight_hub" => Vec::new(),
        _ => return segments,
    };
    let mut rest = segments.as_slice();
    if matches!(rest[0].as_str(), "crate" | "self" | "insight_hub") {
        rest = &rest[1..];
    }
    while rest.first().is_some_and(|segment| segment == "super") {
        base.pop();
        rest = &rest[1..];
    }
    ["crate".to_owned()].into_iter().chain(base).chain(rest.iter().cloned()).collect()
}

/// Expands the path or use tree that starts at `at`; returns where it ends.
fn expand(words: &[Word], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match words.get(at).map(|word| word.text.as_str()) {
            Some("{") => {
                at += 1;
                while let Some(word) = words.get(at) {
                    match word.text.as_str() {
                        "}" => return at + 1,
                        "," => at += 1,
                        // `name as other`
                        "as" => at += 2,
                        _ => at = expand(words, at, &path, found).max(at + 1),
                    }
                }
                return at;
            }
            Some(text) if is_name(text) || text == "*" => {
                // `a::{self}` is `a`.
                if text != "self" || path.is_empty() {
                    path.push(text.to_owned());
                }
                at += 1;
            }
            _ => break,
        }
        if words.get(at).is_some_and(|word| word.text == "::") {
            at += 1;
        } else {
            break;
        }
    }
    if !path.is_empty() {
        found.push(path);
    }
    at
}

fn words(text: &str) -> Vec<Word> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut line = 1;
    let mut at = 0;
    let starts = |at: usize, what: &str| what.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    while at < chars.len() {
        let c = chars[at];
        let begin = at;
        if c.is_whitespace() {
            at += 1;
        } else if starts(at, "//") {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if starts(at, "/*") {
            let mut depth = 0;
            while at < chars.len() {
                if starts(at, "/*") {
                    depth += 1;
                    at += 2;
                } else if starts(at, "*/") {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        break;
                    }
                } else {
                    at += 1;
                }
            }
        } else if let Some(end) = raw_string(&chars, at) {
            at = end;
        } else if c == '"' || (matches!(c, 'b' | 'c') && chars.get(at + 1) == Some(&'"')) {
            at += if c == '"' { 1 } else { 2 };
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' {
            // A character ends with a quote; a lifetime does not.
            if chars.get(at + 1) == Some(&'\\') {
                at += 3;
                while at < chars.len() && chars[at] != '\'' {
                    at += 1;
                }
                at += 1;
            } else if chars.get(at + 2) == Some(&'\'') {
                at += 3;
            } else {
                at += 1;
                while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                    at += 1;
                }
            }
        } else if c.is_alphanumeric() || c == '_' {
            if starts(at, "r#") {
                at += 2;
            }
            let name = at;
            while at < chars.len() && (chars[at].is_alphanumeric() || chars[at] == '_') {
                at += 1;
            }
            words.push(Word { line, text: chars[name..at].iter().collect() });
        } else {
            at += if starts(at, "::") { 2 } else { 1 };
            words.push(Word { line, text: chars[begin..at].iter().collect() });
        }
        at = at.min(chars.len());
        line += chars[begin..at].iter().filter(|c| **c == '\n').count();
    }
    words
}

/// The end of a raw string that starts here (`r"…"`, `br#"…"#`, …).
fn raw_string(chars: &[char], mut at: usize) -> Option<usize> {
    if matches!(chars.get(at), Some('b' | 'c')) {
        at += 1;
    }
    if chars.get(at) != Some(&'r') {
        return None;
    }
    at += 1;
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    at += hashes;
    if chars.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    while at < chars.len() {
        if chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes {
            return Some(at + 1 + hashes);
        }
        at += 1;
    }
    Some(at)
}

#[test]
fn comments_and_literals_are_not_words() {
    let text = "let a = \"x::y \\\" z\"; // b\n/* c /* d */ e */ let f = r#\"g \" h\"#; 'i' '\\'' &'life j b\"k\"";
    let text: Vec<String> = words(text).into_iter().map(|word| word.text).collect();
    assert_eq!(text, ["let", "a", "=", ";", "let", "f", "=", ";", "&", "j"]);
}

#[test]
fn paths_are_expanded_and_resolved() {
    let source = Source::new(
        "src/customers/fold.rs",
        "use crate::{model::{self, Kind as K}, wire::*};\nuse super::super::links;\n#[cfg(test)] mod tests { use super::*; use super::super::homes; }\n\
         fn f() -> std::io::Result<()> { a.b::<C>(); crate::metrics::catalogue::all() }",
    );
    let paths: Vec<(usize, String, bool)> =
        source.paths().into_iter().map(|path| (path.line, path.segments.join("::"), path.in_test)).collect();
    let has = |line, path: &str, in_test| {
        assert!(paths.contains(&(line, path.to_owned(), in_test)), "{path} is not in {paths:?}");
    };
    has(1, "crate::model", false);
    has(1, "crate::model::Kind", false);
    has(1, "crate::wire::*", false);
    has(2, "crate::links", false);
    has(3, "crate::customers::fold::*", true);
    has(3, "crate::customers::homes", true);
    has(4, "std::io::Result", false);
    has(4, "crate::metrics::catalogue::all", false);
}
