//! Keeps the house: reads the source and says where it breaks the rules that no compiler checks.
//!
//! Each rule is a function from sources to complaints, and each is shown a bad snippet below, so that it can fail.

mod analyses;
mod complete;
mod source;

use self::source::Source;
use std::collections::BTreeSet;
use std::path::Path;

/// **Imports go down only.** Who may use whom; what is not here may not. An entry `a::b` allows only that part of `a`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    // A library's door: what `run` does, for a program that has a hub inside.
    ("hub", &["cli", "settings", "engine::log", "telemetry"]),
    // `customers`, `links` and `metrics` for their options, which it makes from the settings; the models of buying, which are
    // applied where they are read.
    (
        "cli",
        &[
            "topology",
            "serve",
            "company",
            "settings",
            "ingest",
            "customers",
            "links",
            "metrics",
            "analyses::buying",
            "feeds",
            "model",
            "engine",
            "telemetry",
            "wire",
        ],
    ),
    (
        "topology",
        &["ingest", "customers", "links", "metrics", "analyses", "feeds", "engine", "telemetry", "model", "wire"],
    ),
    // A store of the engine's, because the view is kept as a task's state is: a table in memory, behind it a disk.
    ("serve", &["feeds", "ingest", "model", "wire", "telemetry", "engine::log", "engine::store"]),
    // What a configuration becomes is made by `cli`, so that settings know no room that they configure.
    ("settings", &["telemetry::LogOptions", "telemetry::LogFormat", "model"]),
    ("ingest", &["wire", "model"]),
    ("customers", &["model", "metrics::catalogue"]),
    ("links", &["model"]),
    ("metrics", &["model", "analyses"]),
    ("analyses", &["model"]),
    // Findings are published as they are found.
    ("feeds", &["wire", "model", "analyses"]),
    ("wire", &["model"]),
    ("company", &["model", "wire"]),
    ("engine", &["telemetry"]),
    ("telemetry", &[]),
    ("model", &[]),
];

/// **A library has one door.** Crate → the only places that may name it.
const CONFINED: &[(&str, &[&str])] = &[
    ("rdkafka", &["src/engine/log/kafka"]),
    ("apache_avro", &["src/wire"]),
    ("serde_avro_fast", &["src/wire"]),
    ("axum", &["src/serve"]),
    ("utoipa", &["src/serve/http"]),
    ("sha2", &["src/serve"]),
    ("cel", &["src/ingest/condition"]),
    ("clap", &["src/cli", "src/main.rs"]),
    ("config", &["src/settings/layers.rs"]),
    ("fjall", &["src/engine"]),
    ("aws_lc_rs", &["src/serve/access/oidc", "src/serve/tls"]),
    ("rustls", &["src/serve/tls"]),
    ("tokio_rustls", &["src/serve/tls"]),
    ("ureq", &["src/wire/fetch", "src/wire/registry"]),
];

/// **Time is event time.** These rooms never look at a clock …
const CLOCKLESS: &[&str] = &["model", "wire", "ingest", "customers", "links", "metrics", "analyses", "feeds"];

/// … but for the one that waits for another machine. What it fetches is judged without it.
const CLOCKLESS_BUT: &str = "src/wire/registry";

/// **The core is pure.** Same input, same output: no IO, no randomness, no order that a hash decides.
const PURE: &[&str] = &["model", "customers", "links", "metrics", "analyses"];

/// What a reader holds in mind.
const LINES_MAX: usize = 600;
const LONG_BECAUSE: &str = "// tidy: long because ";
const HASH_BECAUSE: &str = "// tidy: hash order unseen because ";

fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
}

/// Whether a file holds a room's own tests: they may read fixtures, and ask another library whether it agrees.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Whether a line of the file starts with the argument and goes on with a reason.
fn argues(source: &Source, argument: &str) -> bool {
    source.text.lines().any(|line| line.trim().strip_prefix(argument).is_some_and(|reason| reason.trim().len() > 10))
}

fn complaints_about_imports(sources: &[Source]) -> Vec<String> {
    let rooms: BTreeSet<String> = sources.iter().filter_map(Source::room).collect();
    let mut complaints = Vec::new();
    for source in sources {
        // lib.rs declares the rooms and uses none.
        let room = source.room().unwrap_or_else(|| "lib".to_owned());
        let allowed = MAY_USE.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        if allowed.is_none() && room != "lib" {
            complaints.push(format!("{}: the room `{room}` is not in the picture of imports", source.path));
            continue;
        }
        for path in source.paths() {
            let Some((first, inner)) = path.segments.split_first().filter(|(first, _)| *first == "crate") else {
                continue;
            };
            debug_assert_eq!(first, "crate");
            let Some(other) = inner.first().filter(|other| **other != room) else { continue };
            if !rooms.contains(other) && other != "*" {
                continue;
            }
            let written = inner.join("::");
            let is_allowed = allowed.unwrap_or_default().iter().any(|allowed| {
                written == *allowed || written.strip_prefix(allowed).is_some_and(|rest| rest.starts_with("::"))
            });
            if !is_allowed {
                complaints.push(format!("{}:{}: `{room}` may not use `{written}`", source.path, path.line));
            }
        }
    }
    complaints
}

fn complaints_about_libraries(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        for path in source.paths().iter().filter(|path| !path.in_test && !is_test_file(&source.path)) {
            for (library, places) in CONFINED {
                let named = path.segments[0] == *library && path.segments.len() > 1;
                if named && !places.iter().any(|place| is_below(&source.path, place)) {
                    complaints.push(format!(
                        "{}:{}: `{library}` belongs in {}",
                        source.path,
                        path.line,
                        places.join(" or ")
                    ));
                }
            }
        }
    }
    complaints
}

fn complaints_about_purity(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let room = source.room().unwrap_or_default();
        for path in source.paths().iter().filter(|path| !path.in_test && !is_test_file(&source.path)) {
            let mut complain = |what: &str| {
                complaints.push(format!(
                    "{}:{}: `{room}` {what}: {}",
                    source.path,
                    path.line,
                    path.segments.join("::")
                ));
            };
            let clocks = ["SystemTime", "Instant", "Timestamp", "Zoned"];
            let is_clock = |pair: &[String]| clocks.contains(&pair[0].as_str()) && pair[1] == "now";
            if CLOCKLESS.contains(&room.as_str())
                && !is_below(&source.path, CLOCKLESS_BUT)
                && path.segments.windows(2).any(is_clock)
            {
                complain("never looks at the clock");
            }
            if !PURE.contains(&room.as_str()) {
                continue;
            }
            let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
            match segments.as_slice() {
                ["std", "fs" | "net" | "env" | "process" | "thread", ..] | ["tokio", _, ..] => complain("does no IO"),
                ["rand" | "getrandom", _, ..] => complain("is not random"),
                // With fixed seeds it is a hash function; otherwise it is seeded by the system.
                _ if segments.contains(&"RandomState") => {
                    let is_seeded = source.text.contains("RandomState::with_seeds(")
                        && !["RandomState::new(", "RandomState::default("].iter().any(|it| source.text.contains(it));
                    if !is_seeded || !argues(source, HASH_BECAUSE) {
                        complain("is not random");
                    }
                }
                _ if segments
                    .iter()
                    .any(|name| matches!(*name, "HashMap" | "HashSet" | "HashTable" | "AHashMap" | "AHashSet"))
                    && !argues(source, HASH_BECAUSE) =>
                {
                    complain(&format!("has no order that a hash decides (a line `{HASH_BECAUSE}…` argues otherwise)"));
                }
                _ => {}
            }
        }
    }
    complaints
}

fn complaints_about_files(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        if lines > LINES_MAX && !argues(source, LONG_BECAUSE) {
            complaints.push(format!(
                "{}: {lines} lines are more than {LINES_MAX}: divide it, or argue in a line `{LONG_BECAUSE}…`",
                source.path
            ));
        }
        if !source.text.starts_with("//! ") {
            complaints.push(format!("{}: the first line is not `//! ` and what comes in and goes out", source.path));
        }
        let lines: Vec<&str> = source.text.lines().collect();
        for word in source.words().iter().filter(|word| word.text == "unsafe") {
            let above = lines[..word.line - 1].iter().rev().take_while(|line| line.trim_start().starts_with("//"));
            if !above.into_iter().any(|line| line.trim_start().starts_with("// SAFETY: ")) {
                complaints.push(format!("{}:{}: unsafe code without a proof above it", source.path, word.line));
            }
        }
    }
    complaints
}

fn complaints_about_leftovers(sources: &[Source]) -> Vec<String> {
    // In halves, because this file is read too.
    // Not the three crosses: ISO 4217 has them for "no currency".
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let macros = [concat!("to", "do"), concat!("unimple", "mented"), concat!("d", "bg")];
    let mut complaints = Vec::new();
    for source in sources {
        for (line, text) in source.text.lines().enumerate() {
            let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            if let Some(mark) = words.find(|word| marks.contains(word)) {
                complaints.push(format!("{}:{}: {mark}: do it, or write an issue", source.path, line + 1));
            }
        }
        if source.path.ends_with(".rs") {
            for pair in source.words().windows(2) {
                if macros.contains(&pair[0].text.as_str()) && pair[1].text == "!" {
                    complaints.push(format!("{}:{}: `{}!` is left over", source.path, pair[0].line, pair[0].text));
                }
            }
        }
    }
    complaints
}

/// The map in `lib.rs` (the list after the line "The rooms, …"), the modules it declares and the rooms on disk are the same,
/// in the same order.
fn complaints_about_the_map(sources: &[Source]) -> Vec<String> {
    let Some(lib) = sources.iter().find(|source| source.path == "src/lib.rs") else {
        return vec!["there is no src/lib.rs".to_owned()];
    };
    let mut mapped = Vec::new();
    let mut lines = lib.text.lines().skip_while(|line| !line.starts_with("//! The rooms"));
    if lines.next().is_none() {
        return vec!["src/lib.rs: there is no line `//! The rooms, …` that begins the map".to_owned()];
    }
    for line in lines.skip_while(|line| line.trim() == "//!") {
        let Some(text) = line.strip_prefix("//!") else { break };
        if let Some(item) = text.strip_prefix(" - ") {
            mapped
                .push(item.trim_start_matches(['[', '`']).split(['`', ']', '/']).next().unwrap_or_default().to_owned());
        } else if !text.starts_with("   ") {
            break;
        }
    }
    let words = lib.words();
    let declared: Vec<String> = words
        .windows(3)
        .filter(|three| three[0].text == "mod" && three[2].text == ";")
        .map(|three| three[1].text.clone())
        .collect();
    let on_disk: BTreeSet<String> = sources.iter().filter_map(Source::room).filter(|room| room != "main").collect();
    let mut complaints = Vec::new();
    if mapped != declared {
        complaints.push(format!("src/lib.rs: the map names {mapped:?}, the declarations are {declared:?}"));
    }
    if declared.iter().cloned().collect::<BTreeSet<_>>() != on_disk {
        complaints.push(format!("src/lib.rs: it declares {declared:?}, and in src/ there are {on_disk:?}"));
    }
    complaints
}

fn complaints_about_schemas(schemas: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for schema in schemas.iter().filter(|schema| schema.path.ends_with(".avsc")) {
        match serde_json::from_str::<serde_json::Value>(&schema.text) {
            Ok(value) if value.get("doc").is_none() => {
                complaints.push(format!("{}: the schema has no `doc`", schema.path));
            }
            Ok(_) => {}
            Err(error) => complaints.push(format!("{}: not JSON: {error}", schema.path)),
        }
    }
    complaints
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn product() -> Vec<Source> {
    Source::all(root(), "src").into_iter().filter(|source| source.path.ends_with(".rs")).collect()
}

#[track_caller]
fn assert_tidy(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn imports_go_down_only() {
    assert_tidy(complaints_about_imports(&product()));
}

#[test]
fn libraries_stay_behind_their_door() {
    assert_tidy(complaints_about_libraries(&product()));
}

#[test]
fn the_core_is_pure() {
    assert_tidy(complaints_about_purity(&product()));
}

#[test]
fn files_are_short_introduced_and_safe() {
    assert_tidy(complaints_about_files(&product()));
}

#[test]
fn nothing_is_left_over() {
    let sources: Vec<Source> = ["src", "tests", "benches", "schemas", "deploy"]
        .into_iter()
        .flat_map(|folder| Source::all(root(), folder))
        .collect();
    assert_tidy(complaints_about_leftovers(&sources));
}

#[test]
fn the_map_names_the_rooms_that_exist() {
    assert_tidy(complaints_about_the_map(&product()));
}

#[test]
fn schemas_are_json_and_explain_themselves() {
    let schemas = Source::all(root(), "schemas");
    assert_tidy(complaints_about_schemas(&schemas));
    let feeds = product().iter().any(|source| source.room().as_deref() == Some("feeds"));
    assert_eq!(feeds, schemas.iter().any(|schema| schema.path.ends_with(".avsc")), "feeds and schemas come together");
}

#[test]
fn the_picture_of_imports_points_one_way() {
    // Remove rooms that use nothing that is left, until none is left.
    let mut left: Vec<(&str, BTreeSet<&str>)> = MAY_USE
        .iter()
        .map(|(room, others)| (*room, others.iter().map(|other| other.split("::").next().unwrap_or(other)).collect()))
        .collect();
    while !left.is_empty() {
        let names: BTreeSet<&str> = left.iter().map(|(room, _)| *room).collect();
        let before = left.len();
        left.retain(|(_, others)| others.iter().any(|other| names.contains(other)));
        assert!(left.len() < before, "a circle: {left:?}");
    }
}

mod each_rule_can_fail {
    use super::*;

    /// The complaints about `files`, which must be as many as `expected` and contain these texts in this order.
    #[track_caller]
    fn check(rule: fn(&[Source]) -> Vec<String>, files: &[(&str, &str)], expected: &[&str]) {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let complaints = rule(&sources);
        assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
        for (complaint, expected) in complaints.iter().zip(expected) {
            assert!(complaint.contains(expected), "{complaint:?} does not contain {expected:?}");
        }
    }

    #[test]
    fn an_import_that_goes_up() {
        let rooms = [
            ("src/model/mod.rs", "use crate::wire::Json;"),
            ("src/wire.rs", "use crate::model; fn f() { crate::customers::fold() }"),
            (
                "src/customers/mod.rs",
                "use super::model; use crate::{metrics::{catalogue::Metric, cells}, customers::fold};",
            ),
            (
                "src/metrics/cells.rs",
                "// crate::cli\nconst A: &str = \"crate::cli\"; use super::super::customers::Person;",
            ),
        ];
        check(
            complaints_about_imports,
            &rooms,
            &[
                "src/model/mod.rs:1: `model` may not use `wire::Json`",
                "src/wire.rs:1: `wire` may not use `customers::fold`",
                "`customers` may not use `metrics::cells`",
                "src/metrics/cells.rs:2: `metrics` may not use `customers::Person`",
            ],
        );
    }

    #[test]
    fn imports_of_the_program_the_settings_and_of_unknown_rooms() {
        let rooms = [
            ("src/main.rs", "fn main() { insight_hub::cli::main(); insight_hub::engine::run(); }"),
            ("src/cli/mod.rs", "use crate::engine::log::kafka; use crate::*;"),
            ("src/engine/mod.rs", ""),
            ("src/settings/mod.rs", "use crate::{engine::Options, model::Calendar, telemetry::LogOptions};"),
            ("src/telemetry/mod.rs", ""),
            ("src/model/mod.rs", ""),
            ("src/cellar/mod.rs", ""),
        ];
        check(
            complaints_about_imports,
            &rooms,
            &[
                "`main` may not use `engine::run`",
                "`cli` may not use `*`",
                "`settings` may not use `engine::Options`",
                "`cellar` is not in the picture",
            ],
        );
    }

    #[test]
    fn a_library_outside_of_its_door() {
        let files = [
            ("src/engine/log/kafka/consumer.rs", "use rdkafka::consumer;"),
            ("src/engine/log/kafka.rs", "use rdkafka::consumer;"),
            ("src/engine/log/kafkaesque.rs", "use rdkafka::consumer;"),
            ("src/settings/layers.rs", "config::Config::builder()"),
            ("src/cli/run.rs", "config::Config::builder(); config.get(); crate::config::x(); clap::Parser"),
        ];
        check(
            complaints_about_libraries,
            &files,
            &[
                "src/engine/log/kafkaesque.rs:1: `rdkafka` belongs in src/engine/log/kafka",
                "src/cli/run.rs:1: `config`",
            ],
        );
    }

    #[test]
    fn a_core_that_is_not_pure() {
        let files = [
            ("src/ingest/mod.rs", "fn f() { std::time::SystemTime::now(); std::fs::read(p); }"),
            ("src/engine/mod.rs", "fn f() { std::time::Instant::now(); }"),
            ("src/customers/mod.rs", "use std::{collections::HashMap, fs};\n#[cfg(test)]\nmod tests { use std::net; }"),
            ("src/links/mod.rs", "// tidy: hash order unseen because only looked up by key\nuse hashbrown::HashMap;"),
            ("src/metrics/mod.rs", "fn f() { jiff::Zoned::now(); rand::rng(); }"),
            ("src/metrics/tests/mod.rs", "fn f() { std::fs::read(p); }"),
        ];
        check(
            complaints_about_purity,
            &files,
            &[
                "`ingest` never looks at the clock",
                "`customers` has no order that a hash decides",
                "`customers` does no IO: std::fs",
                "`metrics` never looks at the clock",
                "`metrics` is not random",
            ],
        );
    }

    #[test]
    fn a_file_that_is_long_silent_or_unsafe() {
        let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));
        let argued = format!(
            "//! Long.\n// tidy: long because it is one table that is read as a whole\n{}",
            "\n".repeat(LINES_MAX)
        );
        let files = [
            ("src/a.rs", long.as_str()),
            ("src/b.rs", argued.as_str()),
            ("src/c.rs", "use std::io;"),
            ("src/d.rs", "//! Says `unsafe` only.\nfn f() { unsafe { g() } }"),
            ("src/e.rs", "//! Argues.\nfn f() {\n    // SAFETY: g keeps\n    // nothing.\n    unsafe { g() }\n}"),
        ];
        check(
            complaints_about_files,
            &files,
            &["src/a.rs: 601 lines", "src/c.rs: the first line", "src/d.rs:2: unsafe code without a proof"],
        );
    }

    #[test]
    fn a_leftover() {
        let comment = format!("// {}: later\nlet a = \"{}\";", concat!("TO", "DO"), concat!("to", "do", "!()"));
        let call = format!("fn f() {{ {}!(x) }}", concat!("d", "bg"));
        check(
            complaints_about_leftovers,
            &[("tests/a.rs", comment.as_str()), ("src/b.rs", call.as_str())],
            &["tests/a.rs:1", "src/b.rs:1"],
        );
    }

    #[test]
    fn a_map_that_is_not_true() {
        let lib = "//! The hub.\n//!\n//! The rooms, in the order data flows:\n//!\n//! - [`model`]: nouns\n//!   and more\n//! - [`wire`]: bytes\n//!\n//! - `never`: x\n";
        let good = format!("{lib}pub mod model;\npub mod wire;");
        let swapped = format!("{lib}pub mod wire;\npub mod model;");
        let rooms = [("src/model/mod.rs", ""), ("src/wire.rs", ""), ("src/main.rs", "")];
        let with = |lib: &'static str, text: &str, rooms: &[(&str, &str)], expected: &[&str]| {
            let mut files = vec![(lib, text)];
            files.extend(rooms);
            check(complaints_about_the_map, &files, expected);
        };
        with("src/lib.rs", &good, &rooms, &[]);
        with("src/lib.rs", &swapped, &rooms, &["the map names"]);
        with("src/lib.rs", &good, &rooms[1..], &["it declares"]);
        with("src/lib.rs", "//! No map.", &rooms, &["begins the map"]);
        with("src/else.rs", "", &rooms, &["no src/lib.rs"]);
    }

    #[test]
    fn a_schema_that_is_no_json_or_says_nothing() {
        check(
            complaints_about_schemas,
            &[("schemas/a.avsc", "{"), ("schemas/b.avsc", "{}"), ("schemas/c.avsc", r#"{"doc": "x"}"#)],
            &["schemas/a.avsc: not JSON", "schemas/b.avsc: the schema has no `doc`"],
        );
    }
}
