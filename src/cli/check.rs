//! `insight-hub check`: is the configuration right, does every spoke compile and pass the tests in its file, and what do
//! sample records become? It connects to nothing, unless it is asked whether what the hub needs is there (`--connect`).

mod connect;
mod credentials;
mod findings;
mod sample;

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use serde_json::json;

use self::findings::Finding;
use super::{
    access,
    exit::{Exit, Failure},
    hub,
    output::{Format, Listing, escaped, write_json},
    schemas,
};
use crate::{
    ingest::{self, MISTAKES_MAX, Mistakes, Spoke, SpokeError, SpokeFile, SpokeSet, segments::Segments},
    settings::Settings,
    wire::Schemas,
};

/// What is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct CheckArguments {
    /// How the result is shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
    /// Show what each record of a file becomes, or why it is rejected; JSON on lines or as a list, or CSV; values are shown
    #[arg(long, value_name = "FILE")]
    pub sample: Option<PathBuf>,
    /// The key of each sample record, for a mapping that reads it (@key)
    #[arg(long, value_name = "TEXT", requires = "sample")]
    pub key: Option<String>,
    /// A header of each sample record, for a mapping that reads it (@header:NAME, CloudEvents in binary mode); may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", requires = "sample", value_parser = sample::header)]
    pub headers: Vec<(String, String)>,
    /// Look at what the hub needs as well: brokers, topics and this user's rights on them, or the data directory of a hub without
    /// Kafka; changes nothing
    #[arg(long, conflicts_with = "sample")]
    pub connect: bool,
    /// Check this spoke only; whose records --sample has, if there are several
    #[arg(long, value_name = "SPOKE")]
    pub spoke: Option<String>,
}

/// What a mapping says, when it compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpokeSummary {
    /// The spoke's name.
    pub spoke: String,
    /// The topic that it reads.
    pub topic: String,
    /// `json`, `touchpoint-json` or `touchpoint-avro`.
    pub format: String,
    /// How many tests its file has, and all pass.
    pub tests: usize,
}

/// One file of the spokes' folder and what came of it.
struct Verdict {
    file: PathBuf,
    /// The name of the spoke, if its mapping compiles.
    compiled: Option<String>,
    result: Result<SpokeSummary, Wrong>,
}

/// What is wrong with one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wrong {
    /// In words, one below the other.
    text: String,
    /// Each mistake of the mapping.
    mistakes: Vec<SpokeError>,
}

impl From<String> for Wrong {
    fn from(text: String) -> Wrong {
        Wrong { text, mistakes: Vec::new() }
    }
}

impl From<Mistakes> for Wrong {
    fn from(Mistakes { found, may_be_more }: Mistakes) -> Wrong {
        let mut lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        if found.len() == MISTAKES_MAX && may_be_more {
            lines.push(format!("there may be more than these {MISTAKES_MAX}"));
        }
        Wrong { text: lines.join("\n"), mistakes: found }
    }
}

impl Verdict {
    /// A file that cannot be read is taken for the spoke that it is named after.
    fn is_of(&self, name: &str) -> bool {
        match &self.compiled {
            Some(spoke) => spoke == name,
            None => self.file.file_stem().is_some_and(|stem| stem == name),
        }
    }
}

pub(super) fn execute(settings: &Settings, arguments: &CheckArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let format = arguments.output;
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    // A configuration without a person key serves commands that need none: absence is worth a note.
    match settings.hub.person_key(&mut |warning| warnings.push(warning)) {
        Ok(_) => {}
        // Without Kafka the hub makes one in its data directory.
        Err(_) if settings.hub.person_key_file.is_none() && settings.kafka.brokers.is_none() => {}
        Err(error) if settings.hub.person_key_file.is_none() => warnings.push(error.to_string()),
        Err(error) => problems.push(error.to_string()),
    }
    if let Err(problem) = Segments::parse(&settings.metrics.segments) {
        problems.push(format!("metrics.segments: {problem}"));
    }
    if let Err(error) = settings.kafka.password(&mut |warning| warnings.push(warning)) {
        problems.push(error.to_string());
    }
    if let Err(error) = settings.registry.password(&mut |warning| warnings.push(warning)) {
        problems.push(error.to_string());
    }
    problems.extend(access::problems(settings));
    let schemas = schemas::schemas(settings, schemas::unwatched()).unwrap_or_else(|error| {
        problems.push(error);
        Arc::default()
    });
    let (mut verdicts, mut spokes) = check_spokes(settings, &schemas)?;
    if let Some(name) = &arguments.spoke {
        let known: Vec<String> = spokes.iter().map(|spoke| spoke.name().to_owned()).collect();
        verdicts.retain(|verdict| verdict.is_of(name));
        spokes.retain(|spoke| spoke.name() == name);
        if verdicts.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                format!("no spoke is called {name}"),
                format!("name one of {}", known.join(", ")),
            ));
        }
    }
    if let Some(file) = &arguments.sample {
        // What a mapping makes of samples is worth seeing when its own tests find something else than they expect.
        let wrong = verdicts.iter().filter(|verdict| verdict.compiled.is_none());
        if let Some(error) = wrong.filter_map(|verdict| verdict.result.as_ref().err()).next() {
            return Err(Failure::new(
                Exit::Usage,
                error.text.clone(),
                "correct the mapping, or name another with --spoke",
            ));
        }
        let [spoke] = spokes.as_slice() else {
            let names: Vec<&str> = spokes.iter().map(Spoke::name).collect();
            return Err(Failure::new(
                Exit::Usage,
                "whose records the samples are is not said",
                format!("name the spoke with --spoke: one of {}", names.join(", ")),
            ));
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let beside = sample::Beside {
            timestamp_ms: i64::try_from(now.as_millis()).unwrap_or(-1),
            key: arguments.key.as_deref(),
            headers: &arguments.headers,
        };
        let shown = sample::show(file, spoke, &beside, format, output);
        return match verdicts.iter().find_map(|verdict| verdict.result.as_ref().err()) {
            Some(error) => {
                let next = "correct the mapping or its tests; what it makes of the samples is shown above";
                Err(Failure::new(Exit::Usage, error.text.clone(), next))
            }
            None => shown,
        };
    }
    // Two files may each be right and not go together.
    if let Err(error) = SpokeSet::new(spokes) {
        problems.push(error.to_string());
    }
    let refused = verdicts.iter().filter(|verdict| verdict.result.is_err()).count();
    let is_right = refused + problems.len() == 0;
    // Which topics are needed only a right configuration says.
    let findings = if arguments.connect && is_right { connect::look(settings)? } else { Vec::new() };
    report(&verdicts, &warnings, &problems, &findings, format, output)?;
    output.flush()?;
    if is_right {
        return findings::judge(&findings);
    }
    Err(Failure::new(
        Exit::Usage,
        format!("{} of the configuration and {refused} of {} spokes are wrong", problems.len(), verdicts.len()),
        "correct what is listed above",
    ))
}

fn check_spokes(settings: &Settings, schemas: &Arc<Schemas>) -> Result<(Vec<Verdict>, Vec<Spoke>), Failure> {
    let directory = &settings.spokes.directory;
    let unreadable = |error: std::io::Error| {
        Failure::new(
            Exit::Usage,
            format!("the folder of spokes, {}, cannot be read: {error}", directory.display()),
            "make it, or set spokes.directory to where the mappings lie",
        )
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            format!("the folder of spokes, {}, has no .toml file", directory.display()),
            "put one mapping per department there, or set spokes.directory",
        ));
    }
    files.sort();
    let (mut verdicts, mut spokes) = (Vec::new(), Vec::new());
    for file in files {
        let (compiled, result) = match compile(&file, &hub::ingest_options(settings), schemas) {
            Ok((parsed, spoke)) => {
                let (name, result) = (spoke.name().to_owned(), try_out(&parsed, &spoke).map_err(Wrong::from));
                spokes.push(spoke);
                (Some(name), result)
            }
            Err(error) => (None, Err(error)),
        };
        verdicts.push(Verdict { file, compiled, result });
    }
    Ok((verdicts, spokes))
}

/// Compiles one mapping. The error says of each key that is wrong why it is.
fn compile(file: &Path, options: &ingest::Options, schemas: &Arc<Schemas>) -> Result<(SpokeFile, Spoke), Wrong> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}"))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let compiled = SpokeFile::parse(&name, &text)
        .and_then(|parsed| Spoke::compile(&parsed, options.clone(), schemas).map(|spoke| (parsed, spoke)));
    compiled.map_err(|first| match Mistakes::of(&name, &text, options, schemas) {
        mistakes if mistakes.found.is_empty() => Wrong { text: first.to_string(), mistakes: vec![first] },
        mistakes => mistakes.into(),
    })
}

/// Runs a mapping's own tests. The error says which of them found something else.
fn try_out(parsed: &SpokeFile, spoke: &Spoke) -> Result<SpokeSummary, String> {
    let failures = ingest::trial::run(spoke, &parsed.tests);
    if !failures.is_empty() {
        let shown: Vec<String> = failures.iter().map(ToString::to_string).collect();
        return Err(format!("spoke {}: {}", spoke.name(), shown.join("\n")));
    }
    let format = match parsed.format {
        ingest::Format::Json(_) => "json",
        ingest::Format::Avro(_) => "avro",
        ingest::Format::TouchpointJson => "touchpoint-json",
        ingest::Format::TouchpointAvro => "touchpoint-avro",
    };
    let summary = SpokeSummary {
        spoke: spoke.name().to_owned(),
        topic: spoke.topic().to_owned(),
        format: format.to_owned(),
        tests: parsed.tests.len(),
    };
    Ok(summary)
}

fn report(
    verdicts: &[Verdict],
    warnings: &[String],
    problems: &[String],
    findings: &[Finding],
    format: Format,
    output: &mut dyn Write,
) -> std::io::Result<()> {
    for (word, texts) in [("warning", warnings), ("error", problems)] {
        for text in texts {
            match format {
                Format::Table => writeln!(output, "{word}: {text}")?,
                Format::Jsonl => write_json(output, &json!({word: text}))?,
                Format::Json => {}
            }
        }
    }
    let mut listing = Listing::new(format, "spokes", &["file", "spoke", "topic", "format", "tests", "verdict"], output);
    for verdict in verdicts {
        let file = verdict.file.display().to_string();
        let (row, value) = match &verdict.result {
            Ok(SpokeSummary { spoke, topic, format, tests }) => {
                let cells = [&file, spoke, topic, format, &tests.to_string(), "right"].map(str::to_owned);
                let value = json!({"file": file, "spoke": spoke, "topic": topic, "format": format, "tests": tests});
                (cells.to_vec(), value)
            }
            Err(error) => {
                let blank = String::new;
                let cells = vec![file.clone(), blank(), blank(), blank(), blank(), escaped(&error.text)];
                let mistakes = error
                    .mistakes
                    .iter()
                    .map(|mistake| json!({"line": mistake.line, "key": mistake.key, "problem": mistake.problem}));
                (cells, json!({"file": file, "error": error.text, "mistakes": mistakes.collect::<Vec<_>>()}))
            }
        };
        listing.push_rows(|| vec![row], || value)?;
    }
    let output = listing.end(&[
        ("warnings", warnings.into()),
        ("errors", problems.into()),
        ("connections", findings.iter().map(Finding::as_json).collect()),
    ])?;
    findings::report(findings, format, output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(directory: &Path) -> Settings {
        let mut settings = Settings::default();
        settings.spokes.directory = directory.to_owned();
        settings
    }

    fn json_lines() -> CheckArguments {
        CheckArguments { output: Format::Jsonl, ..CheckArguments::default() }
    }

    /// What `check` says of one mapping with a file of samples, and how it ends.
    fn sampled(mapping: &str, samples: &str, arguments: CheckArguments) -> (String, Result<(), Failure>) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("web.toml"), mapping).expect("a writable directory");
        let file = directory.path().join("samples.ndjson");
        std::fs::write(&file, samples).expect("a writable directory");
        let mut output = Vec::new();
        let arguments = CheckArguments { sample: arguments.sample.map(|_| file), ..arguments };
        let ended = execute(&settings(directory.path()), &arguments, &mut output);
        (String::from_utf8(output).expect("text"), ended)
    }

    const WEB: &str = "spoke = \"web\"\ntopic = \"web.events\"\nformat = \"touchpoint-json\"\n";
    const VISIT: &str = r#"{"id":"v-1","kind":"visit_made","occurred_at":"2026-01-31T09:00:00Z","identifiers":{"customer_id":"C1"},"amount":{"minor":5,"currency":"EUR"}}"#;

    #[test]
    fn samples_are_shown_field_by_field_or_with_the_reason() {
        let samples = format!("{VISIT}\n\n{{\"id\":\"v-2\"}}\n");
        let with_sample = || CheckArguments { sample: Some(PathBuf::new()), ..CheckArguments::default() };
        let (output, ended) = sampled(WEB, &samples, with_sample());
        for expected in [
            "line 1: a touchpoint\n",
            "  identifiers.customer_id  C1\n",
            "  amount.minor             5\n",
            "line 3: rejected, missing_field\n  field         kind\n  kind: there is no kind; send what happened.\n",
            "2 records: 1 touchpoints, 0 skipped, 1 rejected\n",
        ] {
            assert!(output.contains(expected), "{expected} in {output}");
        }
        let failure = ended.expect_err("one is rejected");
        assert_eq!(
            (failure.exit, failure.happened.as_str()),
            (Exit::Failure, "1 of 2 samples are rejected, at least in part")
        );

        let (output, ended) = sampled(WEB, &samples, CheckArguments { output: Format::Jsonl, ..with_sample() });
        assert!(ended.is_err());
        let lines: Vec<serde_json::Value> =
            output.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        assert_eq!(lines[0]["touchpoint"]["identifiers"]["customer_id"][0], "C1");
        assert_eq!((&lines[1]["reason"], &lines[1]["line"]), (&json!("missing_field"), &json!(3)));
        assert_eq!(sampled(WEB, VISIT, with_sample()).1, Ok(()));
        let (output, ended) = sampled(&format!("{WEB}condition = \"kind != 'visit_made'\"\n"), VISIT, with_sample());
        assert!(output.starts_with("line 1: skipped by the condition\n") && ended.is_ok(), "{output}");
        assert!(output.ends_with("1 records: 0 touchpoints, 1 skipped, 0 rejected\n"), "{output}");
        let failing = format!("{WEB}[[tests]]\nsample = '{{}}'\nexpect_rejected = \"too_large\"\n");
        let (output, ended) = sampled(&failing, VISIT, with_sample());
        assert!(output.starts_with("line 1: a touchpoint\n"), "{output}");
        let failure = ended.expect_err("its own test fails");
        assert!(failure.exit == Exit::Usage && failure.happened.contains("test 1: expected too_large"), "{failure:?}");
        let absent = CheckArguments { spoke: Some("shop".into()), ..with_sample() };
        assert!(sampled(WEB, VISIT, absent).1.expect_err("another spoke").next.contains("web"));
    }

    #[test]
    fn samples_have_the_key_and_the_headers_that_are_given() {
        let mapping = "spoke = \"web\"\ntopic = \"web.events\"\nformat = \"json\"\nenvelope = \"cloudevents\"\nid = \"id\"\n\
                       occurred_at = { path = \"time\", format = \"rfc3339\" }\nkind = { constant = \"visit_made\" }\n\
                       region = \"@header:land\"\nproduct = \"data.sku\"\nidentifiers = { customer_id = \"@key\" }\n";
        let sample = "{\"sku\":\"P-1\"}";
        let arguments = |given: &[&str]| {
            #[derive(clap::Parser)]
            struct Line {
                #[command(flatten)]
                check: CheckArguments,
            }
            let line = ["check", "--sample", "samples.ndjson"].iter().chain(given);
            clap::Parser::try_parse_from(line).map(|Line { check }| check)
        };
        let given = ["--key", "C1", "--header", "ce_specversion=1.0", "--header", "ce_id=e-1", "--header"];
        let given = [&given[..], &["ce_time=2026-01-31T09:00:00Z", "--header", "land=a=b"]].concat();
        let (output, ended) = sampled(mapping, sample, arguments(&given).expect("right flags"));
        assert_eq!(ended, Ok(()), "{output}");
        for shown in ["e-1", "2026-01-31T09:00:00.000Z", "C1", "a=b", "P-1"] {
            assert!(output.contains(shown), "{shown} in {output}");
        }
        let (output, ended) = sampled(mapping, sample, arguments(&given[..2]).expect("right flags"));
        assert!(ended.is_err() && output.contains("ce_specversion"), "{output}");
        let told = |given: &[&str]| arguments(given).expect_err("wrong flags").to_string();
        assert!(told(&["--header", "land"]).contains("NAME=VALUE"), "{}", told(&["--header", "land"]));
    }

    #[test]
    fn paths_that_find_nothing_in_the_whole_sample_are_told() {
        let mapping = "spoke = \"web\"\ntopic = \"web.events\"\nformat = \"json\"\neach = \"items\"\nid = [\"n\", \"nr\"]\n\
            kind = { constant = \"visit_made\" }\noccurred_at = { path = \"at\", format = \"rfc3339\" }\n\
            identifiers = { customer_id = \"who\", email = \"mails\", phone = \"@key\" }\nregion = \".land\"\nproduct = \".sku\"\n\
            subject = \"x.y\"\n";
        let samples = r#"{"n":1,"at":"2026-01-31T09:00:00Z","who":null,"mails":["a@x"],"items":[{"sku":"A"},{"land":"NL"}]}
            {"n":2,"at":"2026-01-31T09:00:00Z","items":[]}"#;
        let shown = |format| {
            let arguments =
                CheckArguments { sample: Some(PathBuf::new()), output: format, ..CheckArguments::default() };
            sampled(mapping, samples, arguments).0
        };
        let table = shown(Format::Table);
        assert!(
            table.contains("in none of the records, so look whether they are written right: nr, who, x.y\n"),
            "{table}"
        );
        let document: serde_json::Value = serde_json::from_str(&shown(Format::Json)).expect("a document");
        assert_eq!(document["not_found"], json!(["nr", "who", "x.y"]));
        assert!(shown(Format::Jsonl).ends_with("{\"not_found\":[\"nr\",\"who\",\"x.y\"]}\n"));
    }

    #[test]
    fn a_sample_of_an_avro_spoke_is_held_to_its_schema() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let schema = r#"{"type":"record","name":"Order","fields":[{"name":"number","type":"string"},{"name":"buyer","type":"string"},
            {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
        std::fs::write(directory.path().join("order.avsc"), schema).expect("a writable directory");
        let mapping = "spoke = \"shop\"\ntopic = \"shop.events\"\nformat = \"avro\"\nreader_schema = \"order.avsc\"\nid = \"number\"\n\
            kind = { constant = \"order_placed\" }\noccurred_at = { path = \"at\", format = \"logical\" }\n\
            identifiers = { customer_id = \"buyer\" }\n";
        std::fs::write(directory.path().join("shop.toml"), mapping).expect("a writable directory");
        let file = directory.path().join("samples.ndjson");
        let right = r#"{"number":"1","buyer":"C1","at":1769850000250}"#;
        std::fs::write(&file, format!("{right}\n{}\n", right.replace("buyer", "bier"))).expect("a writable directory");
        let mut settings = settings(directory.path());
        settings.schemas.directory = Some(directory.path().to_owned());
        let mut output = Vec::new();
        let arguments = CheckArguments { sample: Some(file), ..CheckArguments::default() };
        execute(&settings, &arguments, &mut output).expect_err("one has another field than the schema");
        let output = String::from_utf8(output).expect("text");
        assert!(output.contains("line 1: a touchpoint\n"), "{output}");
        assert!(output.contains("line 2: rejected, undecodable\n  field         bier\n"), "{output}");
    }

    #[test]
    fn tests_inside_of_a_mapping_are_run() {
        let with = |tests: &str| {
            let (output, ended) = sampled(&format!("{WEB}{tests}"), "", json_lines());
            assert_eq!(ended.is_ok(), !output.contains("\"error\""), "{output}");
            output
        };
        let test = |expect: &str| format!("[[tests]]\nsample = '''\n{VISIT}'''\n{expect}\n");
        let right = test(
            "expect = { kind = \"visit_made\", occurred_at = 2026-01-31T10:00:00+01:00, identifiers = { customer_id = [\"C1\"] }, amount = { minor = 5 } }",
        );
        let rejected = "[[tests]]\nsample = '{}'\nexpect_rejected = \"missing_field\"\n";
        assert!(with(&format!("{right}{rejected}")).contains("\"tests\":2"));
        let wrong = test("expect = { kind = \"page_viewed\", region = \"north\", identifiers = { email = \"x\" } }");
        let output = with(&format!("{right}{wrong}"));
        for expected in [
            r#"test 2: kind: expected \"page_viewed\", found \"visit_made\""#,
            r#"test 2: region: expected \"north\", found nothing"#,
            r#"test 2: identifiers.email: expected \"x\", found nothing"#,
        ] {
            assert!(output.contains(expected), "{expected} in {output}");
        }
        assert!(
            with(&test("expect_rejected = \"too_large\""))
                .contains("expected too_large, found a touchpoint of kind visit_made")
        );
        assert!(with(&test("expect_skipped = true")).contains("expected skipped, found"));
        assert!(with(&test("expect = []")).contains("expected 0 touchpoints, found 1"));
    }

    #[test]
    fn every_mistake_of_a_mapping_is_told_in_one_go() {
        let wrong = WEB.replace("web.events", "web events") + "chanel = \"c\"\ncondition = \"kind ==\"\n";
        let (output, ended) = sampled(&wrong, "", json_lines());
        assert_eq!(ended.expect_err("three mistakes").exit, Exit::Usage);
        let line: serde_json::Value = serde_json::from_str(output.trim()).expect("one line of JSON");
        let told = |at: usize| (line["mistakes"][at]["line"].as_i64(), line["mistakes"][at]["key"].as_str());
        assert_eq!(
            [0, 1, 2].map(told),
            [(Some(2), Some("topic")), (Some(4), Some("chanel")), (Some(5), Some("condition"))]
        );
        let (table, _) = sampled(&wrong, "", CheckArguments::default());
        for expected in ["line 2: topic: ", "line 4: chanel: there is no such key", "line 5: condition: "] {
            assert!(table.contains(expected), "{expected} in {table}");
            assert!(line["error"].as_str().is_some_and(|error| error.contains(expected)), "{expected} in {line}");
        }
    }

    #[test]
    fn a_folder_without_spokes_is_named() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for folder in [directory.path().to_owned(), directory.path().join("absent")] {
            let failure =
                execute(&settings(&folder), &CheckArguments::default(), &mut Vec::new()).expect_err("no spokes");
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.happened.contains(&folder.display().to_string()), "{failure}");
        }
    }

    #[test]
    fn the_example_spokes_are_right_and_two_of_one_topic_are_not() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/spokes");
        let mut output = Vec::new();
        execute(&settings(&example), &json_lines(), &mut output).expect("the examples are right");
        let output = String::from_utf8(output).expect("JSON lines are text");
        assert!(output.contains(r#""spoke":"sales","tests":2,"topic":"sales.events""#), "{output}");
        let more = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
        let mut settings_of_more = settings(&more.join("spokes"));
        settings_of_more.schemas.directory = Some(more.join("schemas"));
        let mut output = Vec::new();
        execute(&settings_of_more, &json_lines(), &mut output).expect("the further examples are right");
        assert!(String::from_utf8_lossy(&output).contains(r#""spoke":"shop","tests":2,"topic":"shop.orders""#));

        let directory = tempfile::tempdir().expect("a temporary directory");
        for (from, to) in [("sales", "sales"), ("sales", "shop")] {
            let text = std::fs::read_to_string(example.join(format!("{from}.toml"))).expect("an example");
            let text = text.replace("spoke = \"sales\"", &format!("spoke = \"{to}\""));
            std::fs::write(directory.path().join(format!("{to}.toml")), text).expect("a writable directory");
        }
        let mut output = Vec::new();
        execute(&settings(directory.path()), &json_lines(), &mut output).expect_err("one topic, two spokes");
        let output = String::from_utf8(output).expect("JSON lines are text");
        assert!(output.contains("another spoke reads this topic"), "{output}");
    }

    #[test]
    fn every_problem_is_listed_not_only_the_first() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("sales.toml"), "not a mapping").expect("a writable directory");
        let mut settings = settings(directory.path());
        settings.hub.person_key_file = Some(directory.path().join("absent.key"));
        settings.kafka.password_file = Some(directory.path().join("absent.password"));
        let mut output = Vec::new();
        let failure = execute(&settings, &json_lines(), &mut output).expect_err("three mistakes");
        assert_eq!(failure.happened, "2 of the configuration and 1 of 1 spokes are wrong");
        let output = String::from_utf8(output).expect("JSON lines are text");
        for expected in ["hub.person_key_file", "kafka.password_file", "sales.toml"] {
            assert!(output.contains(expected), "{expected} in {output}");
        }
    }
}
