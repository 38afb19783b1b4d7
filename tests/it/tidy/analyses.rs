//! **Every analysis says how it is computed and what it does not say.** Its module's documentation has five parts, by these words.

use super::source::Source;

/// What the documentation of an analysis has, each with something behind it.
const PARTS: [&str; 5] = ["Formula", "Assumptions", "Source", "Smallest n", "What not to conclude"];

/// What analyses stand on: none of them finds anything by itself.
const NO_ANALYSIS: [&str; 8] =
    ["buying/minimum", "buying/mod", "buying/month", "contacts", "leaders", "mod", "ranking", "statistics"];

/// Fewer letters say nothing.
const LETTERS_MIN: usize = 25;

pub fn complaints(sources: &[Source]) -> Vec<String> {
    let analyses = sources.iter().filter_map(|source| {
        let name = source.path.strip_prefix("src/analyses/")?.strip_suffix(".rs")?;
        (!name.starts_with("tests/") && !NO_ANALYSIS.contains(&name)).then_some((source, name))
    });
    let mut found = Vec::new();
    for (source, name) in analyses {
        let lines = source.text.lines().map_while(|line| line.strip_prefix("//!"));
        let documentation = lines.collect::<Vec<_>>().join(" ");
        for part in PARTS {
            // A part ends where the next one begins.
            let said = documentation.split_once(&format!("*{part}.*")).map(|(_, rest)| {
                let ends = PARTS.iter().filter_map(|next| rest.find(&format!("*{next}.*")));
                rest[..ends.min().unwrap_or(rest.len())].trim()
            });
            if said.is_none_or(|said| said.chars().filter(|it| it.is_alphabetic()).count() < LETTERS_MIN) {
                found.push(format!("{}: the documentation of `{name}` lacks *{part}.*", source.path));
            }
        }
    }
    found
}

#[test]
fn every_analysis_says_what_it_assumes_where_it_comes_from_and_what_not_to_conclude() {
    let sources = Source::all(std::path::Path::new(env!("CARGO_MANIFEST_DIR")), "src/analyses");
    assert_eq!(complaints(&sources), [""; 0]);
    for name in NO_ANALYSIS {
        assert!(sources.iter().any(|it| it.path == format!("src/analyses/{name}.rs")), "there is no {name}");
    }
}

#[test]
fn a_new_analysis_without_them_is_found() {
    let whole: String =
        PARTS.iter().map(|part| format!("//! *{part}.* What is to be said about it, in a sentence.\n")).collect();
    let of = |text: &str| complaints(&[Source::new("src/analyses/new.rs", text)]);
    assert_eq!(of(&whole), [""; 0]);
    for part in PARTS {
        let without: String =
            whole.lines().filter(|line| !line.contains(part)).map(|line| format!("{line}\n")).collect();
        let empty =
            whole.replace(&format!("*{part}.* What is to be said about it, in a sentence."), &format!("*{part}.*"));
        for text in [without, empty] {
            assert_eq!(of(&text), [format!("src/analyses/new.rs: the documentation of `new` lacks *{part}.*")]);
        }
    }
    // After the code it is no documentation of the module.
    assert_eq!(of(&format!("\n{whole}")).len(), PARTS.len());
}
