//! `insight-hub check`: is the configuration right, and does every spoke compile? Connects to nothing.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;

use super::{
    exit::{Exit, Failure},
    hub,
    output::{Format, write_json, write_table},
};
use crate::{
    ingest::{self, Spoke, SpokeFile, SpokeSet},
    settings::Settings,
    wire::SchemaFolder,
};

/// What a mapping says, when it compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpokeSummary {
    /// The spoke's name.
    pub spoke: String,
    /// The topic that it reads.
    pub topic: String,
    /// `json`, `touchpoint-json` or `touchpoint-avro`.
    pub format: String,
}

/// One file of the spokes' folder and what came of it.
struct Verdict {
    file: PathBuf,
    result: Result<SpokeSummary, String>,
}

pub(super) fn execute(settings: &Settings, format: Format, output: &mut dyn Write) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    // A configuration without brokers or a person key serves commands that need neither: absence is worth a note.
    match settings.hub.person_key(&mut |warning| warnings.push(warning)) {
        Ok(_) => {}
        Err(error) if settings.hub.person_key_file.is_none() => warnings.push(error.to_string()),
        Err(error) => problems.push(error.to_string()),
    }
    if let Err(error) = settings.kafka.password(&mut |warning| warnings.push(warning)) {
        problems.push(error.to_string());
    }
    let schemas = hub::schemas(settings.schemas.directory.as_deref()).unwrap_or_else(|error| {
        problems.push(error);
        Arc::default()
    });
    let (verdicts, spokes) = check_spokes(settings, &schemas)?;
    // Two files may each be right and not go together.
    if let Err(error) = SpokeSet::new(spokes) {
        problems.push(error.to_string());
    }
    report(&verdicts, &warnings, &problems, format, output)?;
    output.flush()?;
    let refused = verdicts.iter().filter(|verdict| verdict.result.is_err()).count();
    if refused + problems.len() == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!("{} of the configuration and {refused} of {} spokes are wrong", problems.len(), verdicts.len()),
        "correct what is listed above",
    ))
}

fn check_spokes(settings: &Settings, schemas: &Arc<SchemaFolder>) -> Result<(Vec<Verdict>, Vec<Spoke>), Failure> {
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
        let result = check_spoke(&file, hub::ingest_options(settings), schemas).map(|(summary, spoke)| {
            spokes.push(spoke);
            summary
        });
        verdicts.push(Verdict { file, result });
    }
    Ok((verdicts, spokes))
}

/// Compiles one mapping. `Err` says which key is wrong and why.
fn check_spoke(
    file: &Path,
    options: ingest::Options,
    schemas: &Arc<SchemaFolder>,
) -> Result<(SpokeSummary, Spoke), String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}"))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let parsed = SpokeFile::parse(&name, &text).map_err(|error| error.to_string())?;
    let spoke = Spoke::compile(&parsed, options, schemas).map_err(|error| error.to_string())?;
    let format = match parsed.format {
        ingest::Format::Json(_) => "json",
        ingest::Format::TouchpointJson => "touchpoint-json",
        ingest::Format::TouchpointAvro => "touchpoint-avro",
    };
    let summary =
        SpokeSummary { spoke: spoke.name().to_owned(), topic: spoke.topic().to_owned(), format: format.to_owned() };
    Ok((summary, spoke))
}

fn report(
    verdicts: &[Verdict],
    warnings: &[String],
    problems: &[String],
    format: Format,
    output: &mut dyn Write,
) -> std::io::Result<()> {
    if format == Format::Json {
        for warning in warnings {
            write_json(output, &json!({"warning": warning}))?;
        }
        for problem in problems {
            write_json(output, &json!({"error": problem}))?;
        }
        for verdict in verdicts {
            let file = verdict.file.display().to_string();
            let line = match &verdict.result {
                Ok(spoke) => {
                    json!({"file": file, "spoke": spoke.spoke, "topic": spoke.topic, "format": spoke.format})
                }
                Err(error) => json!({"file": file, "error": error}),
            };
            write_json(output, &line)?;
        }
        return Ok(());
    }
    for warning in warnings {
        writeln!(output, "warning: {warning}")?;
    }
    for problem in problems {
        writeln!(output, "error: {problem}")?;
    }
    let rows: Vec<Vec<String>> = verdicts
        .iter()
        .map(|verdict| {
            let file = verdict.file.display().to_string();
            match &verdict.result {
                Ok(spoke) => vec![file, spoke.spoke.clone(), spoke.topic.clone(), spoke.format.clone(), "right".into()],
                Err(error) => vec![file, String::new(), String::new(), String::new(), error.clone()],
            }
        })
        .collect();
    write_table(output, &["file", "spoke", "topic", "format", "verdict"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(directory: &Path) -> Settings {
        let mut settings = Settings::default();
        settings.spokes.directory = directory.to_owned();
        settings
    }

    #[test]
    fn a_folder_without_spokes_is_named() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for folder in [directory.path().to_owned(), directory.path().join("absent")] {
            let failure = execute(&settings(&folder), Format::Table, &mut Vec::new()).expect_err("no spokes");
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.happened.contains(&folder.display().to_string()), "{failure}");
        }
    }

    #[test]
    fn the_example_spokes_are_right_and_two_of_one_topic_are_not() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/spokes");
        let mut output = Vec::new();
        execute(&settings(&example), Format::Json, &mut output).expect("the examples are right");
        let output = String::from_utf8(output).expect("JSON lines are text");
        assert!(output.contains(r#""spoke":"sales","topic":"sales.events""#), "{output}");

        let directory = tempfile::tempdir().expect("a temporary directory");
        for (from, to) in [("sales", "sales"), ("sales", "shop")] {
            let text = std::fs::read_to_string(example.join(format!("{from}.toml"))).expect("an example");
            let text = text.replace("spoke = \"sales\"", &format!("spoke = \"{to}\""));
            std::fs::write(directory.path().join(format!("{to}.toml")), text).expect("a writable directory");
        }
        let mut output = Vec::new();
        execute(&settings(directory.path()), Format::Json, &mut output).expect_err("one topic, two spokes");
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
        let failure = execute(&settings, Format::Json, &mut output).expect_err("three mistakes");
        assert_eq!(failure.happened, "2 of the configuration and 1 of 1 spokes are wrong");
        let output = String::from_utf8(output).expect("JSON lines are text");
        for expected in ["hub.person_key_file", "kafka.password_file", "sales.toml"] {
            assert!(output.contains(expected), "{expected} in {output}");
        }
    }
}
