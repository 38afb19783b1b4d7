//! Files of samples in; the drafted file, and what the command says of it, out.

use std::sync::Arc;

use super::*;
use crate::{
    cli::judge::{Outcome, Patience, judge},
    company::{Company, CompanyOptions},
    ingest::{self, NoHeaders, SourceRecord, Spoke, SpokeFile},
};

fn run(
    name: &str,
    content: &[u8],
    change: impl FnOnce(&Path, &mut NewArguments),
) -> (String, String, Result<(), Failure>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let from = directory.path().join(name);
    std::fs::write(&from, content).expect("a writable directory");
    let mut arguments = NewArguments { from, spoke: None, topic: None, output: None, zone: None, delimiter: None };
    change(directory.path(), &mut arguments);
    let mut output = Vec::new();
    match new(&Settings::default(), &arguments, -1, &mut output) {
        Ok((said, ended)) => {
            let text = match &arguments.output {
                Some(file) => std::fs::read_to_string(file).expect("the file was written"),
                None => String::from_utf8(output).expect("text"),
            };
            (text, said, ended)
        }
        Err(failure) => (String::new(), String::new(), Err(failure)),
    }
}

const CSV: &str = "Buchung;Zeitpunkt;Kundennummer;Vorgang;Betrag;Währung\n\
                   B-1;31.01.2026 09:00;K1;Bestellung;12.50;EUR\nB-2;31.01.2026 09:05;K2;Storno;-12.50;EUR\n\
                   B-3;31.01.2026 09:10;K3;Bestellung;3.00;EUR\nB-4;31.01.2026 09:15;K4;Bestellung;4\n";

#[test]
fn csv_is_drafted_and_summed_up() {
    let (text, said, ended) = run("Garden shop.csv", CSV.as_bytes(), |directory, arguments| {
        arguments.output = Some(directory.join("spokes/garden.toml"));
    });
    assert_eq!(ended, Ok(()), "{said}");
    for expected in [
        "spoke = \"garden-shop\"",
        "topic = \"garden-shop.events\"",
        "format = \"%d.%m.%Y %H:%M\"",
        "customer_id = \"Kundennummer\"",
        "path = \"Vorgang\"",
        "amount = { value = \"Betrag\", unit = \"major\", currency = \"Währung\" }",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    for expected in [
        "drafted from 4 records",
        "(CSV with ; between cells: import needs --delimiter ';')\n",
        "takes 3 of 4 records: 3 touchpoints, 0 records skipped, 1 record rejected\n",
        "  1 × undecodable\n",
        "look at\n",
        "Storno",
        "next: read ",
        "check --spoke garden-shop --sample '",
        "/Garden shop.csv' --set spokes.directory=",
    ] {
        assert!(said.contains(expected), "{expected} in\n{said}");
    }
}

#[test]
fn a_file_that_is_there_is_not_touched_and_wrong_names_are_told() {
    let (_, _, ended) = run("a.csv", CSV.as_bytes(), |directory, arguments| {
        let file = directory.join("garden.toml");
        std::fs::write(&file, "mine").expect("a writable directory");
        arguments.output = Some(file);
    });
    assert!(ended.expect_err("it is there").happened.contains("is not touched"));
    for (name, content, expected) in [
        ("a.json", "5 6 7", "no record that is a JSON object"),
        ("a.json", "", "no record that is a JSON object"),
        ("a.csv", "only\n1\n", "one column only"),
    ] {
        let failure = run(name, content.as_bytes(), |_, _| {}).2.expect_err(expected);
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.happened.contains(expected), "{failure}");
    }
    let spoke = |directory: &Path, arguments: &mut NewArguments| {
        let _ = directory;
        arguments.spoke = Some("no spaces".into());
    };
    assert!(run("a.csv", CSV.as_bytes(), spoke).2.expect_err("a name").next.contains("--spoke"));
    let zone = |_: &Path, arguments: &mut NewArguments| arguments.zone = Some("Mars".into());
    assert!(run("a.csv", CSV.as_bytes(), zone).2.expect_err("a zone").next.contains("--zone"));
}

#[test]
fn a_draft_that_takes_nothing_is_written_and_is_a_failure() {
    let (text, said, ended) = run("scales.json", br#"[{"weight":1},{"weight":2}]"#, |_, _| {});
    assert_eq!(ended.expect_err("nothing is taken").exit, Exit::Failure);
    assert!(text.contains("LOOK: no time was found") && said.contains("takes 0 of 2 records"), "{text}{said}");
    assert!(said.contains("next: write it to the folder of mappings"), "{said}");
}

#[test]
fn paths_are_one_word_of_a_shell() {
    for (path, expected) in [("a/b-1.csv", "a/b-1.csv"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$(x)", "'$(x)'")] {
        assert_eq!(shell_word(Path::new(path)), expected);
    }
}

#[test]
fn names_come_from_the_files() {
    for (file, expected) in [
        ("garage.ndjson", "garage"),
        ("x/Garage Events.csv.gz", "garage-events"),
        ("...", "spoke"),
        ("é.json", "spoke"),
    ] {
        assert_eq!(name_of(Path::new(file)), expected, "{file}");
    }
}

/// The events of one department of the made-up company, as lines, and how many of them are valid.
fn department(name: &str) -> (Vec<u8>, usize) {
    let options = CompanyOptions { seed: 11, customers: 200, touchpoints: 4_000, ..CompanyOptions::default() };
    let (mut lines, mut valid) = (Vec::new(), 0);
    for event in Company::new(options).filter(|event| event.spoke == name) {
        valid += usize::from(event.valid);
        lines.extend_from_slice(&event.payload);
        lines.push(b'\n');
    }
    (lines, valid)
}

/// What a spoke file makes of each line, without some fields.
fn fields(text: &str, lines: &[u8], left_out: &[&str]) -> Vec<Vec<String>> {
    let file = SpokeFile::parse("test", text).expect("a spoke file");
    let spoke = Spoke::compile(&file, ingest::Options::default(), &Arc::default()).expect("a mapping");
    let shown = |outcome: Outcome| match outcome {
        Outcome::Accepted(accepted) => accepted
            .fields
            .into_iter()
            .filter(|(name, _)| !left_out.contains(name))
            .map(|(name, value)| format!("{name} {value}"))
            .collect::<Vec<_>>()
            .join("\n"),
        other => other.word().to_owned(),
    };
    lines
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let record = SourceRecord {
                topic: spoke.topic(),
                partition: 0,
                offset: 0,
                timestamp_ms: -1,
                key: None,
                payload: Some(line),
                headers: &NoHeaders,
            };
            judge(&spoke, &record, &mut Patience::default()).into_iter().map(shown).collect()
        })
        .collect()
}

#[test]
fn the_four_departments_are_drafted_as_they_were_written_by_hand() {
    for (name, left_out) in [
        ("marketing", &["properties"][..]),
        ("support", &["properties", "effort"]),
        // Words that only the department knows, and what they stand for.
        ("operations", &["kind", "label", "initiator", "channel", "region", "amount", "cost", "properties"]),
        ("sales", &["kind", "label", "initiator", "channel", "region", "segment", "amount", "product", "account"]),
    ] {
        let (lines, valid) = department(name);
        let (text, said, ended) = run(&format!("{name}.ndjson"), &lines, |_, _| {});
        assert_eq!(ended, Ok(()), "{name}: {said}");
        let taken = said.split("takes ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        assert!(taken >= Some(valid), "{name}, {valid} are valid: {said}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("deploy/spokes/{name}.toml"));
        // Sales writes Avro there, and the same as JSON here.
        let by_hand = std::fs::read_to_string(path).expect("an example");
        let by_hand = by_hand.replace("\"avro\"", "\"json\"").replace("\"logical\"", "\"epoch_us\"");
        let (by_hand, drafted) = (fields(&by_hand, &lines, left_out), fields(&text, &lines, left_out));
        let differs: Vec<_> = by_hand.iter().zip(&drafted).filter(|(by_hand, drafted)| by_hand != drafted).collect();
        // A bad record may be bad in a field that the draft does not read.
        assert!(differs.len() <= by_hand.len() - valid, "{name}: {differs:#?}\n{text}\n{said}");
    }
}
