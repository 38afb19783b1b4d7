//! `insight-hub import`: a file of rows in; records of a department's topic out, and a report of what the hub makes of them.
//!
//! - `source`: a file → its bytes, unpacked, and what tells it from others.
//! - `window`, `rows`, `documents`: bytes → rows, each as the payload of an event or with what is wrong with it.
//! - `transfer`: rows → batches on the log, each judged by the department's mapping as the hub will judge it.
//! - `checkpoint`: how far it is, so that another start goes on there.
//! - `glance`: the first records of a file of any form, for `check` and `spoke new`.
//! - `report`, `rejects`: what came of the rows, in short for all and in full for those that were rejected.
//!
//! What was sent after the last checkpoint is sent again by the next start, and counts once in the hub because of its id: so
//! ids made from positions cannot be imported. Rejected rows are sent as well, for the hub to publish them with the reason.

mod checkpoint;
mod documents;
pub(super) mod glance;
mod rejects;
mod report;
mod rows;
mod source;
mod transfer;
mod window;

use std::{
    io::{IsTerminal as _, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    checkpoint::{Checkpoint, CheckpointFile, Identity},
    rejects::Rejects,
    report::Report,
    rows::RowFormat,
    source::Source,
    transfer::{Ended, Pace, Transfer},
};
use super::{
    exit::{Exit, Failure},
    hub,
    output::Format,
    place, run,
    stop::StopToken,
    topics,
};
use crate::{
    engine::log::outside::SpokeAppend,
    ingest::{Spoke, SpokeSet},
    settings::Settings,
};

/// How long a cluster may take to answer the first question.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Flags of `import`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ImportArguments {
    /// The file: CSV with a header, a JSON object on each line, or one JSON list of objects; gzip is unpacked
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Whose events they are: a spoke of spokes.directory. Its mapping takes a column's name as a path (a dot in it as \.)
    #[arg(long, value_name = "SPOKE")]
    pub spoke: String,
    /// What the rows look like [default: as the file's name ends: .csv, .tsv, .ndjson, .jsonl, .json, each also with .gz]
    #[arg(long, value_enum)]
    pub format: Option<ImportFormat>,
    /// What stands between two cells of CSV: one ASCII character, or \t [default: , and in .tsv files \t]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// Write every rejected row to this file, as a line of JSON with its line number, reason, field, message and text; it
    /// holds what the rows hold, personal data too
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Begin from the start, whatever an earlier import of this file did; what the hub has already counts once
    #[arg(long)]
    pub again: bool,
    /// How the report is shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// What the rows of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// A header with the names of the columns, then one event per row.
    Csv,
    /// One JSON object per line, or one list of them.
    Ndjson,
    /// One JSON list of objects, or objects one after the other, however they are laid out.
    Json,
}

pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" | b"tab" => Ok(b'\t'),
        [b'"' | b'\r' | b'\n'] => Err("a quote or a line break cannot stand between cells".to_owned()),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("must be one ASCII character, such as ; or \\t".to_owned()),
    }
}

pub(super) fn execute(settings: &Settings, arguments: &ImportArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let spokes = hub::spokes(settings)?;
    let job = Job::new(settings, &spokes, arguments)?;
    let stop = run::stop_on_signals(settings)?;
    let mut connect = || {
        if !place::is_embedded(settings) {
            require_topic(settings, job.spoke.topic())?;
        }
        place::appender(settings, "import")
    };
    import(&job, &mut connect, &stop, Pace::default(), output)
}

/// Departments' topics are theirs to create: a missing one is an error, and not a minute of waiting for it.
fn require_topic(settings: &Settings, topic: &str) -> Result<(), Failure> {
    let kafka = hub::kafka_options(settings, "import".to_owned())?;
    let admin = topics::connect(settings, &kafka)?;
    let found = admin.partitions(&[Arc::from(topic)], ANSWER_WITHIN).map_err(|error| hub::log_failure(&error))?;
    if found == [None] {
        return Err(Failure::new(
            Exit::TopicsDiffer,
            format!("there is no topic {topic}"),
            "create it as its department would, then import",
        ));
    }
    Ok(())
}

/// What is to be done, checked before anything is connected.
struct Job<'a> {
    settings: &'a Settings,
    arguments: &'a ImportArguments,
    spoke: &'a Spoke,
    format: RowFormat,
    source: Source,
}

impl<'a> Job<'a> {
    fn new(settings: &'a Settings, spokes: &'a SpokeSet, arguments: &'a ImportArguments) -> Result<Job<'a>, Failure> {
        let spoke = spokes.iter().find(|spoke| spoke.name() == arguments.spoke).ok_or_else(|| {
            let names: Vec<&str> = spokes.iter().map(Spoke::name).collect();
            Failure::new(
                Exit::Usage,
                format!("there is no spoke {:?} in {}", arguments.spoke, settings.spokes.directory.display()),
                format!("name one of those there: {}", names.join(", ")),
            )
        })?;
        let format = row_format(arguments)?;
        can_import(spoke, format)?;
        Ok(Job { settings, arguments, spoke, format, source: Source::open(&arguments.file)? })
    }

    fn identity(&self) -> Identity {
        let place = self.settings.kafka.brokers.as_ref().map_or("embedded".to_owned(), |it| format!("kafka {it}"));
        Identity {
            fingerprint: self.source.fingerprint.clone(),
            spoke: self.spoke.name().to_owned(),
            application_id: self.settings.hub.application_id.clone(),
            target: format!("{place} {}", self.spoke.topic()),
            format: match self.format {
                RowFormat::Csv { delimiter } => format!("csv {:?}", char::from(delimiter)),
                RowFormat::Ndjson => "ndjson".to_owned(),
                RowFormat::Json => "json".to_owned(),
            },
        }
    }
}

/// As the command line says, or the file's name.
fn row_format(arguments: &ImportArguments) -> Result<RowFormat, Failure> {
    let usage = |happened: String, next: &str| Err(Failure::new(Exit::Usage, happened, next));
    let name = arguments.file.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let extension = Path::new(name).extension().unwrap_or_default().to_string_lossy();
    let (named, usual) = match &*extension {
        "csv" => (Some(ImportFormat::Csv), b','),
        "tsv" => (Some(ImportFormat::Csv), b'\t'),
        "ndjson" | "jsonl" => (Some(ImportFormat::Ndjson), b','),
        "json" => (Some(ImportFormat::Json), b','),
        _ => (None, b','),
    };
    match (arguments.format.or(named), arguments.delimiter) {
        (Some(ImportFormat::Csv), delimiter) => Ok(RowFormat::Csv { delimiter: delimiter.unwrap_or(usual) }),
        (Some(ImportFormat::Ndjson), None) => Ok(RowFormat::Ndjson),
        (Some(ImportFormat::Json), None) => Ok(RowFormat::Json),
        (Some(ImportFormat::Ndjson | ImportFormat::Json), Some(_)) => {
            usage("--delimiter is for CSV, and the rows are JSON".into(), "leave it out, or add --format csv")
        }
        (None, _) => usage(
            format!("the name of {} does not say what its rows look like", arguments.file.display()),
            "add --format csv, --format ndjson or --format json",
        ),
    }
}

/// Whether rows can become events of a spoke, and each counts once however often it is sent.
fn can_import(spoke: &Spoke, format: RowFormat) -> Result<(), Failure> {
    let name = spoke.name();
    let usage = |happened: String, next: &str| Err(Failure::new(Exit::Usage, happened, next));
    if spoke.has_ids_of_positions() {
        return usage(
            format!(
                "the mapping of {name} makes ids from positions: a row that is sent again, after an interruption or with \
                 --again, would count twice"
            ),
            "name a column that is unique for each row in its mapping (id = \"column\"), or take a hash of what is mapped \
             (id = \"content\")",
        );
    }
    if spoke.is_avro() {
        return usage(
            format!("{name} writes Avro, and the rows of a file become JSON"),
            "give the rows a spoke of their own, with another topic and a mapping (format = \"json\")",
        );
    }
    if spoke.is_canonical() && matches!(format, RowFormat::Csv { .. }) {
        return usage(
            format!(
                "{name} writes canonical touchpoints, with objects inside of objects, and the cells of CSV are text"
            ),
            "import JSON (NDJSON, or one list), or give the rows a spoke of their own, with another topic and a mapping (format = \"json\")",
        );
    }
    Ok(())
}

/// Does it, or what is left of it, or says that it is done.
fn import(
    job: &Job<'_>,
    connect: &mut dyn FnMut() -> Result<Box<dyn SpokeAppend>, Failure>,
    stop: &StopToken,
    pace: Pace,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let Job { settings, arguments, spoke, source, format } = job;
    let file = source.name();
    let identity = job.identity();
    let checkpoints = CheckpointFile::hold(&settings.hub.data_directory, &identity)?;
    let earlier = if arguments.again { None } else { checkpoints.read()? };
    let (spoke_name, topic) = (spoke.name(), spoke.topic());
    if let Some(Checkpoint { tally, unfit, done: true, .. }) = &earlier {
        let (done, done_before, resumed_after_line) = (true, true, None);
        let report = Report { file: &file, spoke: spoke_name, topic, tally, done, done_before, resumed_after_line };
        report.write(arguments.output, output)?;
        return all_fit(*unfit, &file, topic);
    }
    let resumed = earlier.as_ref().map(|earlier| (earlier.line, earlier.tally.rows)).filter(|(_, rows)| *rows > 0);
    let mut checkpoint = earlier.unwrap_or_else(|| Checkpoint::new(identity, file.clone()));
    let rejects = match &arguments.rejects {
        Some(path) => Some(Rejects::open(path, source.path(), checkpoint.rejects.as_ref())?),
        None => None,
    };
    let mut appender = connect()?;
    if let (Some((line, rows)), Format::Table) = (resumed, arguments.output) {
        writeln!(output, "going on after line {line} of {file}: {rows} rows were sent before\n")?;
        output.flush()?;
    }
    let bar = progress_bar(source.bytes);
    let message_bytes_max = hub::ingest_options(settings).message_bytes_max;
    let transfer = Transfer {
        source,
        format: *format,
        spoke,
        message_bytes_max,
        checkpoints: &checkpoints,
        rejects,
        pace,
        stop,
        bar: &bar,
    };
    let ended = transfer.run(&mut checkpoint, &mut *appender)?;
    let report = Report {
        file: &file,
        spoke: spoke_name,
        topic,
        tally: &checkpoint.tally,
        done: ended == Ended::Done,
        done_before: false,
        resumed_after_line: resumed.map(|(line, _)| line),
    };
    report.write(arguments.output, output)?;
    match ended {
        Ended::Done => all_fit(checkpoint.unfit, &file, topic),
        Ended::Stopped => Err(Failure::new(
            Exit::Failure,
            format!(
                "the import of {file} was stopped after line {} ({})",
                checkpoint.line,
                stop.reason().as_deref().unwrap_or("as asked for")
            ),
            "run the same command again: it goes on there",
        )),
    }
}

/// Rows that were not sent are a failure, however often the import is asked for.
fn all_fit(unfit: u64, file: &str, topic: &str) -> Result<(), Failure> {
    if unfit == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failure,
        format!("{unfit} of the rows of {file} are larger than {topic} takes, and were not sent"),
        "raise max.message.bytes of the topic and import again with --again: what the hub has already counts once",
    ))
}

/// On a terminal; nothing in a pipe, and nothing where no person looks.
fn progress_bar(bytes: u64) -> ProgressBar {
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    if in_ci || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} % {bytes_per_sec}, {eta} left; {msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests;
