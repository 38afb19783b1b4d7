//! `insight-hub spoke new`: sample records of a department in; a drafted spoke file out, and what of it to look at.
//!
//! Nothing is connected to. Of the sample only so much is read as a draft needs, and no value of it is shown that may be
//! somebody's.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use super::{
    exit::{Exit, Failure},
    hub,
    import::{
        delimiter,
        glance::{Glance, Limits, glance},
    },
    output::escaped,
};
use crate::{
    ingest::sketch::{self, Draft, Sketch},
    settings::Settings,
};

/// How much of a sample is looked at: more does not make guesses better.
const LIMITS: Limits = Limits { records: 5_000, bytes: 8 << 20 };

/// What to do about departments' mappings.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SpokeArguments {
    /// What to do
    #[command(subcommand)]
    pub action: SpokeAction,
}

/// What to do about departments' mappings.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum SpokeAction {
    /// Draft a spoke file out of sample records: what is sure, what is a guess, and what a person must say
    New(NewArguments),
}

/// Flags of `spoke new`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct NewArguments {
    /// The sample: JSON on lines, as one document or as a list, or CSV (.csv, .tsv) with a header; gzip is unpacked. The more
    /// records of every kind, the surer; at most 5000 records and 8 MiB of it are read
    #[arg(long, value_name = "SAMPLE")]
    pub from: PathBuf,
    /// What the department is called [default: as the sample's file]
    #[arg(long, value_name = "NAME")]
    pub spoke: Option<String>,
    /// The topic of its events [default: NAME.events]
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Where to write the file; one that is there is not touched [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The time zone of local times, such as Europe/Amsterdam
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// The sample is CSV, and this stands between two cells: one ASCII character, or \t
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,
}

pub(super) fn execute(settings: &Settings, arguments: &SpokeArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let SpokeAction::New(arguments) = &arguments.action;
    let (said, ended) = new(settings, arguments, hub::now_ms(), output)?;
    output.flush()?;
    #[expect(clippy::print_stderr, reason = "the command line's own words")]
    {
        eprint!("{said}");
    }
    ended
}

/// Drafts and writes. Returns what to say of it, and how the command ends.
fn new(
    settings: &Settings,
    arguments: &NewArguments,
    now_ms: i64,
    output: &mut dyn Write,
) -> Result<(String, Result<(), Failure>), Failure> {
    if let Some(file) = arguments.output.as_deref().filter(|file| file.exists()) {
        return Err(is_there(file));
    }
    let glance = glance(&arguments.from, arguments.delimiter, LIMITS)?;
    let payloads: Vec<Vec<u8>> = glance.records.iter().map(|(_, payload)| payload.clone()).collect();
    let spoke = arguments.spoke.clone().unwrap_or_else(|| name_of(&arguments.from));
    let draft = Draft {
        topic: arguments.topic.clone().unwrap_or_else(|| format!("{spoke}.events")),
        spoke,
        zone: arguments.zone.clone(),
        options: hub::ingest_options(settings),
        now_ms,
    };
    let sketch = sketch::sketch(&payloads, &draft).map_err(|error| {
        let next = match error.key.as_str() {
            "" => "name a file with events: JSON objects, or CSV (in a file that is called .csv, or with --delimiter)",
            "zone" => "correct --zone",
            _ => "give another name with --spoke and --topic",
        };
        Failure::new(Exit::Usage, error.to_string(), next)
    })?;
    match &arguments.output {
        None => write!(output, "{}", sketch.text)?,
        Some(file) => write_new(file, &sketch.text)?,
    }
    let said = summary(settings, arguments, &draft.spoke, &glance, &sketch);
    let ended = match sketch.tally.taken {
        0 => Err(Failure::new(
            Exit::Failure,
            "the draft takes none of the records",
            "put what is missing into the file: each line with LOOK says what",
        )),
        _ => Ok(()),
    };
    Ok((said, ended))
}

fn is_there(file: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} is there already, and is not touched", file.display()),
        "name another file with --output, or remove it",
    )
}

/// Writes a file that was not there, and the folder that it belongs in.
fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(file),
        _ => Failure::new(
            Exit::Failure,
            format!("{} cannot be written: {error}", file.display()),
            "name a file that this user may make",
        ),
    };
    if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let mut made = OpenOptions::new().write(true).create_new(true).open(file).map_err(failed)?;
    made.write_all(text.as_bytes()).map_err(failed)
}

/// A spoke's name by that of its sample: `Garage events.csv.gz` → `garage-events`.
fn name_of(sample: &Path) -> String {
    let name = sample.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or_default();
    let sound: String = stem
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() || character == '_' { character } else { '-' })
        .collect();
    let sound = sound.trim_matches('-');
    if sound.is_empty() { "spoke".to_owned() } else { sound.chars().take(64).collect() }
}

/// What was read, what the mapping makes of it, what to look at, and what to do next.
fn summary(settings: &Settings, arguments: &NewArguments, spoke: &str, glance: &Glance, sketch: &Sketch) -> String {
    let tally = &sketch.tally;
    let plural =
        |count: usize, thing: &str| if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") };
    let more = match glance.is_cut {
        true => "; the file has more, which was not read (at most 5000 records and 8 MiB are)",
        false => "",
    };
    let records = plural(tally.records, "record");
    let mut said = format!("drafted from {records} of {} ({}){more}\n", arguments.from.display(), glance.form);
    said.push_str(&format!(
        "takes {} of {records}: {}, {} skipped, {} rejected\n",
        tally.taken,
        plural(tally.touchpoints, "touchpoint"),
        plural(tally.skipped, "record"),
        plural(tally.rejected_records, "record"),
    ));
    for ((reason, field), count) in tally.rejected.iter().take(20) {
        let at = if field.is_empty() { String::new() } else { format!(" at {}", escaped(field)) };
        said.push_str(&format!("  {count} × {reason}{at}\n"));
    }
    if !sketch.remarks.is_empty() {
        said.push_str("look at\n");
        for remark in &sketch.remarks {
            said.push_str(&format!("  {}\n", escaped(remark)));
        }
    }
    let file = match &arguments.output {
        Some(file) => file.clone(),
        None => {
            return said
                + "next: write it to the folder of mappings with --output, for example spokes/"
                + spoke
                + ".toml\n";
        }
    };
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = match directory == settings.spokes.directory {
        true => String::new(),
        false => format!(" --set spokes.directory={}", shell_word(directory)),
    };
    said.push_str(&format!(
        "next: read {}, then insight-hub check --spoke {spoke} --sample {}{folder}\n",
        file.display(),
        shell_word(&arguments.from),
    ));
    said
}

/// A path as a shell takes it for one word.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '/' | '.' | '_' | '-' | '+' | ',');
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests;
