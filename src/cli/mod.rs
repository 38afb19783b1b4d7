//! The command line in; calls of the rooms, results on standard output and an exit code out. One file per subcommand.
//!
//! Each subcommand resolves the configuration, checks what it needs, calls the rooms in one function, and shows what
//! came of it. Errors go to standard error as what happened, to which thing, and what to do next.

mod access;
mod alerts;
mod check;
mod customer;
mod demo;
mod exit;
mod explain;
mod export;
mod export_person;
mod figures;
mod forgetting;
mod generate;
mod help;
mod housekeeping;
mod hub;
mod identity;
mod import;
mod judge;
mod output;
mod place;
mod priorities;
mod private;
mod rebuild;
mod rejected;
mod reload;
mod reread;
mod rest;
mod run;
mod schemas;
mod serving;
mod spoke;
mod state;
mod stop;
mod tail;
mod tap;
mod token;
mod topics;
mod value;

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

pub use alerts::{AlertsAction, AlertsArguments, Seen};
pub use check::{CheckArguments, SpokeSummary};
pub use customer::CustomerArguments;
pub use demo::DemoArguments;
pub use exit::{Exit, Failure};
pub use explain::ExplainArguments;
pub use export::{ExportArguments, ExportFormat};
pub use export_person::ExportPersonArguments;
pub use generate::{Destination, GenerateArguments, Written};
pub use help::{CompletionsArguments, ManArguments};
pub use identity::{EraseArguments, IdentityAction, IdentityArguments};
pub use import::{ImportArguments, ImportFormat};
pub use output::Format;
pub(crate) use place::embedded_options;
pub use priorities::{PrioritiesAction, PrioritiesArguments};
pub use rebuild::RebuildArguments;
pub use rejected::{FilterArguments, RejectedAction, RejectedArguments};
pub use reload::Reloading;
pub use run::{HubInput, RunArguments, run_until_stopped};
pub use spoke::{NewArguments, SpokeAction, SpokeArguments};
pub use state::{BackupArguments, RestoreArguments, StateAction, StateArguments};
pub use stop::StopToken;
pub use tail::{FeedQuery, FeedRecord, FeedValue, TailArguments};
pub use tap::TapArguments;
pub use token::{TokenAction, TokenArguments};
pub use topics::{Action, TopicLine, TopicState, TopicsArguments};

use crate::{settings::Settings, telemetry::LogOptions};

/// The whole command line.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "insight-hub", version, about = about(), after_help = exit::HELP, arg_required_else_help = true)]
pub struct Cli {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub sources: Sources,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The sources of the configuration that the command line names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Sources {
    /// Configuration file; deploy/insight-hub.toml shows every key
    #[arg(short, long, global = true, help_heading = help::CONFIGURATION, value_name = "FILE", env = "INSIGHT_HUB_CONFIG")]
    pub config: Option<PathBuf>,
    /// Set a key of the configuration, for example --set commit.interval_ms=50
    #[arg(long = "set", global = true, help_heading = help::CONFIGURATION, value_name = "SECTION.KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Where a hub's log and stores lie [hub.data_directory]
    #[arg(long, global = true, help_heading = help::CONFIGURATION, value_name = "DIRECTORY")]
    pub data_directory: Option<PathBuf>,
    /// Brokers as host:port, separated by commas; without them the hub keeps its own log [kafka.brokers]
    #[arg(long, global = true, help_heading = help::CONFIGURATION, value_name = "ADDRESSES")]
    pub brokers: Option<String>,
}

/// The subcommands.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// See what the hub does: a made-up company that changes over nine months, live, with nothing to install
    Demo(DemoArguments),
    /// Take touchpoints in and publish insight, until SIGTERM or SIGINT; SIGHUP reads the configuration again
    Run(RunArguments),
    /// Have the running hub read configuration and mappings again: applied whole or not at all
    Reload,
    /// Check the configuration, the spokes' mappings and the tests in them, or sample records; with --connect what is around
    Check(CheckArguments),
    /// Draft a department's mapping out of sample records
    Spoke(SpokeArguments),
    /// Plan, create or verify the topics that the hub needs
    Topics(TopicsArguments),
    /// Show a public feed as it is committed
    Tail(TailArguments),
    /// Write a feed as it is now, the latest value of every key, as JSON or CSV
    Export(ExportArguments),
    /// Show one customer: the record, the timeline, and why
    Customer(CustomerArguments),
    /// What somebody should look at: list it, say that it was seen
    Alerts(AlertsArguments),
    /// What to fix first, by month; say that somebody has taken it on
    Priorities(PrioritiesArguments),
    /// See who is one person and why; decide what the evidence cannot: link, split, take back
    Identity(IdentityArguments),
    /// Erase a person: record, touchpoints, identifiers, now and for what comes late
    Erase(EraseArguments),
    /// Write everything that the hub keeps about one person, for whoever asks for their data
    ExportPerson(ExportPersonArguments),
    /// Show what comes into a department's topic and what its mapping makes of it, with who it is about hidden
    Tap(TapArguments),
    /// Say where an event counts, by its id, or why it does not
    Explain(ExplainArguments),
    /// Dead letters: list what could not be taken in, show one, hand them back after the mapping was mended
    Rejected(RejectedArguments),
    /// Make a seeded company's touchpoints, for trying and testing
    Generate(GenerateArguments),
    /// Send the rows of a file, CSV or JSON lines, through a department's mapping; started again, it goes on where it was
    Import(ImportArguments),
    /// Make, list and end the tokens that the API is used with
    Token(TokenArguments),
    /// Copy the log of a hub without Kafka, and its key, while it runs
    Backup(BackupArguments),
    /// Make a data directory of a backup
    Restore(RestoreArguments),
    /// Check what a hub without Kafka keeps
    State(StateArguments),
    /// Fold all kept touchpoints again after a change of definition, and switch over; with --from-sources read departments'
    /// topics again after a change of mappings; no instance may run meanwhile
    Rebuild(RebuildArguments),
    /// Write what a shell reads to complete commands and flags
    Completions(CompletionsArguments),
    /// Write the manual page, or a folder with a page for each command
    Man(ManArguments),
}

fn about() -> &'static str {
    "Departments' touchpoints in; one insight record per customer and company-wide CX metrics out, exactly once"
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("must be section.key=value".to_owned()),
    }
}

impl Cli {
    /// The flags as settings; a flag of its own wins over `--set`.
    fn overrides(&self) -> Vec<(String, String)> {
        let mut overrides = self.sources.set.clone();
        if let Some(brokers) = &self.sources.brokers {
            overrides.push(("kafka.brokers".to_owned(), brokers.clone()));
        }
        if let Some(directory) = &self.sources.data_directory {
            overrides.push(("hub.data_directory".to_owned(), directory.display().to_string()));
        }
        if let Command::Run(arguments) = &self.command {
            overrides.extend(arguments.overrides());
        }
        overrides
    }

    /// The configuration that the command line names, read now.
    fn settings(&self) -> Result<Settings, Failure> {
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(Settings::load(self.sources.config.as_deref(), &self.overrides(), environment)?)
    }

    fn execute(&self, settings: &Settings, output: &mut dyn Write) -> Result<(), Failure> {
        match &self.command {
            Command::Demo(arguments) => demo::execute(settings, arguments, output),
            Command::Run(_) => {
                let cli = self.clone();
                run::execute(settings, Box::new(move || cli.settings()))
            }
            Command::Reload => reload::execute(settings, output),
            Command::Check(arguments) => check::execute(settings, arguments, output),
            Command::Spoke(arguments) => spoke::execute(settings, arguments, output),
            Command::Topics(arguments) => topics::execute(settings, arguments, output),
            Command::Tail(arguments) => tail::execute(settings, arguments, output),
            Command::Export(arguments) => export::execute(settings, arguments, output),
            Command::Customer(arguments) => customer::execute(settings, arguments, output),
            Command::Alerts(arguments) => alerts::execute(settings, arguments, output),
            Command::Priorities(arguments) => priorities::execute(settings, arguments, output),
            Command::Identity(arguments) => identity::execute(settings, arguments, output),
            Command::Erase(arguments) => identity::erase(settings, arguments, output),
            Command::ExportPerson(arguments) => export_person::execute(settings, arguments, output),
            Command::Tap(arguments) => tap::execute(settings, arguments, output),
            Command::Explain(arguments) => explain::execute(settings, arguments, output),
            Command::Rejected(arguments) => rejected::execute(settings, arguments, output),
            Command::Generate(arguments) => generate::execute(settings, arguments, output),
            Command::Import(arguments) => import::execute(settings, arguments, output),
            Command::Token(arguments) => token::execute(settings, arguments, output),
            Command::Backup(arguments) => state::backup(settings, arguments, output),
            Command::Restore(arguments) => state::restore(settings, arguments, output),
            Command::State(arguments) => state::execute(settings, *arguments, output),
            Command::Rebuild(arguments) => rebuild::execute(settings, arguments, output),
            Command::Completions(arguments) => help::completions(arguments, output),
            Command::Man(arguments) => help::man(arguments, output),
        }
    }
}

/// The program: parses the command line, does what it says, and returns the exit code of [`Exit`].
pub fn main() -> ExitCode {
    let cli = match help::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for, and go to standard output; a closed pipe there is no failure.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit.into();
        }
    };
    let settings = match cli.command {
        // For whoever packages the program: no configuration, right or wrong, is looked at.
        Command::Completions(_) | Command::Man(_) => Ok(Settings::default()),
        _ => cli.settings(),
    };
    let ended = settings.and_then(|settings| {
        let mut output = BufWriter::new(io::stdout().lock());
        let ended = cli.execute(&settings, &mut output);
        let flushed = output.flush().map_err(Failure::from);
        ended.and(flushed)
    });
    match ended {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            if failure.exit != Exit::Ok {
                #[expect(clippy::print_stderr, reason = "the command line's own words")]
                {
                    eprintln!("{failure}");
                }
            }
            failure.exit.into()
        }
    }
}

/// The brokers, or an error that says how to name them.
fn require_brokers(settings: &Settings) -> Result<&str, Failure> {
    settings.kafka.brokers.as_deref().ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            "`kafka.brokers` is not set: without brokers there are no topics to look after",
            "name a Kafka broker: --brokers HOST:PORT, INSIGHT_HUB__KAFKA__BROKERS=HOST:PORT, or brokers = \"HOST:PORT\" \
             under [kafka] in the file given with --config",
        )
    })
}

fn start_log(options: &LogOptions) -> Result<(), Failure> {
    crate::telemetry::start_log(options)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string(), "correct log.level"))
}

/// The definition of the command line, for documentation and tests.
pub fn definition() -> clap::Command {
    help::definition()
}

#[cfg(test)]
mod tests;
