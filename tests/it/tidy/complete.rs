//! Each thing has what belongs to it: a metric its fold and its oracle, a feed its schema and golden file, a command of the
//! README its place in the program.

use clap::Parser as _;
use insight_hub::{cli, feeds::Feed};

use super::source::Source;
use super::{assert_tidy, root};

/// The text of one file of the repository.
fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// (constant, id) of each metric that the catalogue's source defines.
fn metrics(catalogue: &str) -> Vec<(String, String)> {
    let mut metrics = Vec::new();
    let mut constant = None;
    for line in catalogue.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("index: index::") {
            constant = Some(name.trim_end_matches(',').to_owned());
        } else if let Some(id) = line.strip_prefix("id: \"")
            && let Some(constant) = constant.take()
        {
            metrics.push((constant, id.trim_end_matches("\",").to_owned()));
        }
    }
    metrics
}

/// Numbers of the catalogue's `index` without a definition, and metrics without a function that contributes to them or
/// without an oracle that computes them apart from the product.
fn complaints_about_metrics(catalogue: &str, contributing: &str, oracle: &str) -> Vec<String> {
    let metrics = metrics(catalogue);
    let mut complaints = Vec::new();
    for line in catalogue.lines() {
        let Some(name) = line.trim().strip_prefix("pub const ").and_then(|rest| rest.split_once(": u8 = ")) else {
            continue;
        };
        if !metrics.iter().any(|(constant, _)| constant == name.0) {
            complaints.push(format!("index::{} has no definition in the catalogue", name.0));
        }
    }
    for (constant, id) in &metrics {
        let named = |text: &str| {
            text.match_indices(&format!("index::{constant}")).any(|(at, found)| {
                !text[at + found.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
            })
        };
        if !named(contributing) {
            complaints.push(format!("{id}: nothing contributes to it: add its function to customers::fold::measures"));
        }
        if !oracle.contains(&format!("\"{id}\"")) {
            complaints.push(format!("{id}: tests/it/oracle does not compute it"));
        }
    }
    complaints
}

#[test]
fn every_metric_has_a_definition_a_contributing_function_and_an_oracle() {
    // Data quality is about arrivals, so that ingest contributes to it and no fold.
    let contributing = text("src/customers/fold/measures.rs") + &text("src/topology/ingest.rs");
    // It is outside the promise too, so that no oracle has to agree with it.
    let outside_the_promise = "\"data_quality\"";
    let oracle: String = Source::all(root(), "tests/it/oracle").into_iter().map(|source| source.text).collect();
    let oracle = oracle + outside_the_promise;
    let parts: String = Source::all(root(), "src/metrics/catalogue").into_iter().map(|source| source.text).collect();
    let catalogue = text("src/metrics/catalogue.rs") + &parts;
    assert!(metrics(&catalogue).len() >= 22, "the catalogue is read wrongly: {:?}", metrics(&catalogue));
    assert_tidy(complaints_about_metrics(&catalogue, &contributing, &oracle));
}

#[test]
fn a_metric_that_lacks_something_is_named() {
    let catalogue = "pub const NPS: u8 = 0;\npub const ON: u8 = 1;\npub const OFF: u8 = 2;\n\
        index: index::NPS,\nid: \"nps\",\nindex: index::ON,\nid: \"on\",\n";
    let complaints = complaints_about_metrics(catalogue, "(index::NPS, nps), index::ON_TIME", "\"on\"");
    let expected = ["index::OFF has no definition", "nps: tests/it/oracle", "on: nothing contributes"];
    assert_eq!(complaints.len(), expected.len(), "{complaints:?}");
    for (complaint, expected) in complaints.iter().zip(expected) {
        assert!(complaint.contains(expected), "{complaint}");
    }
}

#[test]
fn every_feed_has_its_schema_its_golden_files_and_its_row_in_the_readme() {
    let readme = text("README.md");
    for feed in Feed::ALL {
        let feed = feed.description();
        assert_eq!(text(&format!("schemas/{}.avsc", feed.suffix)), feed.schema);
        assert!(!text(&format!("tests/fixtures/feeds/{}.json", feed.suffix)).is_empty());
        if feed.encoded {
            assert!(!text(&format!("tests/fixtures/feeds/{}.avro.hex", feed.suffix)).is_empty());
        }
        let row = format!("| `{}` | {} | {} |", feed.topic, feed.key.replace('|', "\\|"), feed.cleanup.as_str());
        assert!(readme.contains(&row), "README.md has no row {row}");
    }
}

/// The command lines of a text: `cargo run --release -- …` and lines that begin with `insight-hub` whole, `insight-hub WORD` in
/// a sentence by their first word.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some((_, arguments)) = line.split_once("cargo run --release -- ") {
            lines.push(arguments.split_whitespace().map(str::to_owned).collect());
        }
        if let Some(arguments) = line.strip_prefix("insight-hub ") {
            lines.push(arguments.split_whitespace().map(str::to_owned).collect());
        }
        for (at, found) in line.match_indices("`insight-hub ") {
            let rest = &line[at + found.len()..];
            let quoted = rest.split('`').next().unwrap_or_default();
            lines.push(quoted.split_whitespace().take(1).map(str::to_owned).collect());
        }
    }
    lines
}

fn complaints_about_commands(text: &str) -> Vec<String> {
    let definition = cli::definition();
    let mut complaints = Vec::new();
    for line in command_lines(text) {
        let is_whole = line.len() > 1;
        let known = line.first().is_some_and(|name| definition.find_subcommand(name).is_some());
        let parsed = cli::Cli::try_parse_from(std::iter::once("insight-hub").chain(line.iter().map(String::as_str)));
        if !known || (is_whole && parsed.is_err()) {
            complaints.push(format!("the program does not know {:?}", line.join(" ")));
        }
    }
    complaints
}

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = text("README.md");
    assert!(command_lines(&readme).len() > 8, "the README is read wrongly");
    assert_tidy(complaints_about_commands(&readme));
    for command in cli::definition().get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_name();
        assert!(readme.contains(&format!("| `insight-hub {name}")), "README.md does not say what {name} does");
    }
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let text = "cargo run --release -- run --loud\ncargo run --release -- tail metrics --until-end\ninsight-hub run --mad\nsee `insight-hub mend`";
    let complaints = complaints_about_commands(text);
    let expected = ["run --loud", "run --mad", "mend"].map(|line| format!("the program does not know {line:?}"));
    assert_eq!(complaints, expected);
}

#[test]
fn the_words_of_the_readme_are_those_of_the_program() {
    use insight_hub::model::{Channel, IdentifierType, Initiator, Kind, ScoreScale, Visibility};
    let readme = text("README.md");
    let (_, section) = readme.split_once("### The words").expect("README lists them");
    let (section, _) = section.split_once("\n### ").expect("another section follows");
    let known: Vec<&str> = [
        Kind::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>(),
        Channel::ALL.iter().map(|word| word.as_str()).collect(),
        IdentifierType::BUILT_IN.iter().map(|word| word.as_str()).collect(),
        Initiator::ALL.iter().map(|word| word.as_str()).collect(),
        Visibility::ALL.iter().map(|word| word.as_str()).collect(),
        ScoreScale::ALL.iter().map(|word| word.as_str()).collect(),
    ]
    .concat();
    for word in known {
        assert!(section.contains(&format!("`{word}`")), "README does not list {word}");
    }
}
