//! `insight-hub generate`: a seeded company's touchpoints, to files or to the spokes' topics.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;

use super::{
    exit::{Exit, Failure},
    hub,
    output::{Format, Listing},
    place,
};
use crate::{
    company::{Company, CompanyOptions, ORDER_SCHEMA, SalesFormat},
    engine::{
        log::{LogError, kafka::KafkaOptions},
        topics::{Cleanup, ErasedWithin, Ownership, TopicSpec},
    },
    ingest::SpokeFile,
    settings::Settings,
};

/// How long a cluster may take to answer the first question.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Flags of `generate`. The same flags make the same bytes.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct GenerateArguments {
    /// What every choice is drawn from: the same seed makes the same company
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of customers
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub customers: u32,
    /// Number of touchpoints, before duplicates are added
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub touchpoints: u64,
    /// Share that is sent twice, 0 to 1
    #[arg(long, default_value_t = 0.01, value_parser = share, value_name = "SHARE")]
    pub duplicates: f64,
    /// Share that arrives days late, 0 to 1
    #[arg(long, default_value_t = 0.05, value_parser = share, value_name = "SHARE")]
    pub late: f64,
    /// Share that must be rejected, 0 to 1
    #[arg(long, default_value_t = 0.01, value_parser = share, value_name = "SHARE")]
    pub invalid: f64,
    /// Send everything in a random order
    #[arg(long)]
    pub shuffle: bool,
    /// Where it goes
    #[command(flatten)]
    pub to: Destination,
    /// Create the departments' topics that are missing, with so many partitions and without retention
    #[arg(long, value_name = "PARTITIONS", conflicts_with = "to_files", value_parser = clap::value_parser!(u16).range(1..))]
    pub create_topics: Option<u16>,
    /// How the summary is shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Where touchpoints go: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[group(required = true, multiple = false)]
pub struct Destination {
    /// Write one file of JSON lines per department into this folder, and their mappings into its folder `spokes`
    #[arg(long, value_name = "DIRECTORY")]
    pub to_files: Option<PathBuf>,
    /// Write to the topics marketing.events, operations.events, sales.events and support.events, on the brokers or in the
    /// embedded log
    #[arg(long)]
    pub to_topics: bool,
}

/// How many records went where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// A file or a topic.
    pub to: String,
    /// Records written there.
    pub records: u64,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

pub(super) fn execute(
    settings: &Settings,
    arguments: &GenerateArguments,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let sum = arguments.duplicates + arguments.late + arguments.invalid;
    if sum > 1.0 {
        return Err(Failure::new(
            Exit::Usage,
            format!("the shares of duplicates, late and invalid add up to {sum}, more than everything"),
            "lower --duplicates, --late or --invalid",
        ));
    }
    let written = write_company(settings, arguments)?;
    let total: u64 = written.iter().map(|written| written.records).sum();
    let mut listing = Listing::new(arguments.output, "written", &["to", "records"], output);
    for Written { to, records } in &written {
        let rows = || vec![vec![to.clone(), records.to_string()]];
        listing.push_rows(rows, || json!({"to": to, "records": records}))?;
    }
    if arguments.output == Format::Table {
        listing.push_rows(|| vec![vec!["total".into(), total.to_string()]], || json!(null))?;
    }
    let output = listing.end(&[("records", total.into())])?;
    output.flush()?;
    Ok(())
}

/// What the departments' mappings are, by department, and where its events go.
struct Department {
    spoke: &'static str,
    mapping: Cow<'static, str>,
    topic: String,
}

const SALES: &str = include_str!("../../deploy/spokes/sales.toml");

/// Sales writes Avro to its topic, and Avro has no lines: in files its records are the JSON that they would be, in which no
/// schema says what a time is counted in.
fn sales_in_files() -> String {
    let (mapping, _) = SALES.split_once("\n# In a test").unwrap_or((SALES, ""));
    mapping.replace("format = \"avro\"", "format = \"json\"").replace("format = \"logical\"", "format = \"epoch_us\"")
}

fn departments(in_files: bool) -> Result<Vec<Department>, Failure> {
    let mappings = [
        ("marketing", Cow::Borrowed(include_str!("../../deploy/spokes/marketing.toml"))),
        ("operations", Cow::Borrowed(include_str!("../../deploy/spokes/operations.toml"))),
        ("sales", if in_files { Cow::Owned(sales_in_files()) } else { Cow::Borrowed(SALES) }),
        ("support", Cow::Borrowed(include_str!("../../deploy/spokes/support.toml"))),
    ];
    let departments = mappings.into_iter().map(|(spoke, mapping)| {
        let file = SpokeFile::parse(spoke, &mapping)
            .map_err(|error| Failure::new(Exit::Failure, error.to_string(), "report it: this mapping is built in"))?;
        Ok(Department { spoke, mapping, topic: file.topic })
    });
    departments.collect()
}

/// Makes the company and writes its touchpoints to `arguments.to`.
fn write_company(settings: &Settings, arguments: &GenerateArguments) -> Result<Vec<Written>, Failure> {
    let per_million = |share: f64| (share * 1_000_000.0).round() as u32;
    let in_files = arguments.to.to_files.is_some();
    let company = Company::new(CompanyOptions {
        seed: arguments.seed,
        customers: arguments.customers,
        touchpoints: arguments.touchpoints,
        duplicates_per_million: per_million(arguments.duplicates),
        late_per_million: per_million(arguments.late),
        invalid_per_million: per_million(arguments.invalid),
        shuffled: arguments.shuffle,
        sales: if in_files { SalesFormat::Json } else { SalesFormat::Avro },
        ..CompanyOptions::default()
    });
    let departments = departments(in_files)?;
    match &arguments.to.to_files {
        Some(directory) => write_files(company, &departments, directory),
        None => write_topics(settings, arguments, company, &departments),
    }
}

fn write_files(company: Company, departments: &[Department], directory: &Path) -> Result<Vec<Written>, Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::new(
            Exit::Failure,
            format!("{} cannot be written: {error}", path.display()),
            "name a folder that this user may write to, on a disk with room",
        )
    };
    let spokes = directory.join("spokes");
    std::fs::create_dir_all(&spokes).map_err(|error| failed(&spokes, &error))?;
    let mut files = BTreeMap::new();
    for department in departments {
        let mapping = spokes.join(format!("{}.toml", department.spoke));
        std::fs::write(&mapping, department.mapping.as_bytes()).map_err(|error| failed(&mapping, &error))?;
        let path = directory.join(format!("{}.ndjson", department.spoke));
        let file = std::fs::File::create(&path).map_err(|error| failed(&path, &error))?;
        files.insert(department.spoke, (path, BufWriter::new(file), 0_u64));
    }
    for event in company {
        let Some((path, file, records)) = files.get_mut(event.spoke) else { continue };
        file.write_all(&event.payload).and_then(|()| file.write_all(b"\n")).map_err(|error| failed(path, &error))?;
        *records += 1;
    }
    let mut written = Vec::new();
    for (path, mut file, records) in files.into_values() {
        file.flush().map_err(|error| failed(&path, &error))?;
        written.push(Written { to: path.display().to_string(), records });
    }
    Ok(written)
}

/// Writes the mappings of the made-up departments' topics into a folder, and the schemas that they are in into another.
pub(super) fn write_mappings(folder: &Path, schemas: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::new(
            Exit::Failure,
            format!("{} cannot be written: {error}", path.display()),
            "name a folder that this user may write to, on a disk with room",
        )
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for department in departments(false)? {
        let path = folder.join(format!("{}.toml", department.spoke));
        std::fs::write(&path, department.mapping.as_bytes()).map_err(|error| failed(&path, &error))?;
    }
    std::fs::create_dir_all(schemas).map_err(|error| failed(schemas, &error))?;
    let path = schemas.join("order-event.avsc");
    std::fs::write(&path, ORDER_SCHEMA).map_err(|error| failed(&path, &error))
}

fn write_topics(
    settings: &Settings,
    arguments: &GenerateArguments,
    company: Company,
    departments: &[Department],
) -> Result<Vec<Written>, Failure> {
    let failed = |error: LogError| hub::log_failure(&error);
    if place::is_embedded(settings) {
        if arguments.create_topics.is_some() {
            return Err(Failure::new(
                Exit::Usage,
                "--create-topics is for brokers; a hub without them makes departments' topics by itself",
                "leave it out; embedded.spoke_partitions says how many partitions they get",
            ));
        }
    } else {
        let kafka = hub::kafka_options(settings, "generate".to_owned())?;
        prepare_topics(settings, arguments.create_topics, &kafka, departments)?;
    }
    let mut writer = place::appender(settings, "generate")?;
    let mut topics: BTreeMap<&str, (&str, u64)> =
        departments.iter().map(|department| (department.spoke, (department.topic.as_str(), 0))).collect();
    for event in company {
        let Some((topic, records)) = topics.get_mut(event.spoke) else { continue };
        writer.send(topic, Some(&event.key), &event.payload, event.timestamp_ms).map_err(failed)?;
        *records += 1;
    }
    writer.flush().map_err(failed)?;
    Ok(topics.into_values().map(|(topic, records)| Written { to: topic.to_owned(), records }).collect())
}

/// Departments' topics are theirs to create: a missing one is an error, unless the command line asks for it.
fn prepare_topics(
    settings: &Settings,
    create_partitions: Option<u16>,
    kafka: &KafkaOptions,
    departments: &[Department],
) -> Result<(), Failure> {
    let failed = |error: LogError| hub::log_failure(&error);
    let admin = super::topics::connect(settings, kafka)?;
    let names: Vec<Arc<str>> = departments.iter().map(|department| Arc::from(department.topic.as_str())).collect();
    let found = admin.partitions(&names, ANSWER_WITHIN).map_err(failed)?;
    let missing: Vec<&Arc<str>> =
        names.iter().zip(&found).filter(|(_, partitions)| partitions.is_none()).map(|(name, _)| name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let Some(partitions) = create_partitions else {
        let missing: Vec<&str> = missing.into_iter().map(|name| &**name).collect();
        return Err(Failure::new(
            Exit::TopicsDiffer,
            format!("there is no topic {}", missing.join(", ")),
            "create it as its department would, or add --create-topics PARTITIONS",
        ));
    };
    let specs: Vec<TopicSpec> = missing
        .into_iter()
        .map(|name| TopicSpec {
            name: Arc::clone(name),
            ownership: Ownership::Spoke,
            partitions: i32::from(partitions),
            // The company's days are in the past: any retention would remove them at once.
            cleanup: Cleanup::Delete { retention_ms: None },
        })
        .collect();
    admin.create(&specs.iter().collect::<Vec<_>>(), ErasedWithin::default()).map_err(failed)?;
    // What was created is known to every broker a moment later.
    let deadline = Instant::now() + ANSWER_WITHIN;
    while admin.partitions(&names, ANSWER_WITHIN).map_err(failed)?.contains(&None) {
        if Instant::now() >= deadline {
            return Err(Failure::new(Exit::Failure, "the topics that were created do not appear", "try again"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    #[test]
    fn files_hold_one_event_per_line_and_their_mappings_are_right() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let out = directory.path().display().to_string();
        let cli = Cli::try_parse_from([
            "insight-hub",
            "generate",
            "--touchpoints",
            "2000",
            "--duplicates",
            "0",
            "--invalid",
            "0.05",
            "--to-files",
            &out,
        ])
        .expect("a right command line");
        let Command::Generate(arguments) = &cli.command else { panic!("it is generate") };
        let written = write_company(&Settings::default(), arguments).expect("a writable directory");
        assert_eq!(written.len(), 4);
        let mut records = 0;
        for written in &written {
            let lines = std::fs::read(&written.to).expect("it was written").split(|byte| *byte == b'\n').count() - 1;
            assert_eq!(lines as u64, written.records, "{}", written.to);
            records += written.records;
        }
        assert!((2_050..2_160).contains(&records), "2,000 and about 5 % invalid ones: {records}");
        let mut settings = Settings::default();
        settings.spokes.directory = directory.path().join("spokes");
        crate::cli::check::execute(&settings, &crate::cli::CheckArguments::default(), &mut Vec::new())
            .expect("the mappings are right");
    }
}
