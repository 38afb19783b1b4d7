//! `insight-hub generate`: a seeded company's touchpoints, to files or to the spokes' topics.

use std::{io::Write, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    exit::{Exit, Failure},
    output::{Format, write_json, write_table},
};
use crate::settings::Settings;

/// Flags of `generate`. The same flags make the same bytes.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct GenerateArguments {
    /// What every choice is drawn from: the same seed makes the same company
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of customers
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub customers: u64,
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
    /// How the summary is shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Where touchpoints go: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[group(required = true, multiple = false)]
pub struct Destination {
    /// Write one file of JSON lines per department into this folder, with their mappings
    #[arg(long, value_name = "DIRECTORY")]
    pub to_files: Option<PathBuf>,
    /// Write to the departments' topics [kafka.brokers]
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
    if arguments.to.to_topics {
        super::require_brokers(settings)?;
    }
    let written = write_company(settings, arguments)?;
    let total: u64 = written.iter().map(|written| written.records).sum();
    if arguments.output == Format::Json {
        for written in &written {
            write_json(output, &json!({"to": written.to, "records": written.records}))?;
        }
    } else {
        let mut rows: Vec<Vec<String>> =
            written.into_iter().map(|written| vec![written.to, written.records.to_string()]).collect();
        rows.push(vec!["total".into(), total.to_string()]);
        write_table(output, &["to", "records"], &rows)?;
    }
    output.flush()?;
    Ok(())
}

/// Makes the company and writes its touchpoints to `arguments.to`.
fn write_company(settings: &Settings, arguments: &GenerateArguments) -> Result<Vec<Written>, Failure> {
    let _ = (settings, arguments);
    Err(super::room_missing("generate a company"))
}
