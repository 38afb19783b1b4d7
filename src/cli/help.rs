//! The subcommands in; the first help that somebody sees, with the commands by who needs them, out.

use clap::{Args, Command as Definition, CommandFactory as _, FromArgMatches as _};
use clap_complete::Shell;

use super::{
    Cli,
    exit::{Exit, Failure},
};

use std::{io::Write, path::PathBuf};

/// Who needs which command. Every command is in one group: a test says which is not.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Try it", &["demo", "generate"]),
    ("Departments: plug in, and see what becomes of an event", &["spoke", "import", "tap", "rejected", "explain"]),
    ("Downstream: what the hub publishes", &["tail", "export", "customer", "alerts", "priorities"]),
    ("Who is one person: look, decide, erase", &["identity", "export-person", "erase"]),
    (
        "Operators: run it, and keep it",
        &["run", "reload", "check", "topics", "rebuild", "token", "state", "backup", "restore"],
    ),
    ("This program", &["completions", "man", "help"]),
];
/// Columns of the help, as wide as a terminal is at least.
const COLUMNS: usize = 100;
/// Columns of a command's name.
const NAME_COLUMNS: usize = 14;

/// The heading of the flags that say where the configuration comes from, which every command has.
pub(super) const CONFIGURATION: &str = "Configuration, for every command";

/// The command line, with a help of our own.
pub(super) fn definition() -> Definition {
    // Once, so that clap adds its own `help`, which has a group as well.
    let mut command = Cli::command();
    command.build();
    let groups: Vec<String> = GROUPS.iter().map(|(title, names)| group(&command, title, names)).collect();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}\nOptions:\n{{options}}{{after-help}}\n",
        groups.join("\n")
    );
    Cli::command().help_template(template)
}

/// Parses a command line.
pub(super) fn parse(
    words: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
) -> Result<Cli, clap::Error> {
    let matches = definition().try_get_matches_from(words)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut definition()))
}

fn group(command: &Definition, title: &str, names: &[&str]) -> String {
    let mut text = format!("{title}:\n");
    for name in names {
        let about = command.find_subcommand(name).and_then(Definition::get_about).map(ToString::to_string);
        let mut line = format!("  {name:<NAME_COLUMNS$}");
        for word in about.unwrap_or_default().split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > COLUMNS {
                text.push_str(line.trim_end());
                text.push('\n');
                line = " ".repeat(NAME_COLUMNS + 2);
            }
            if !line.ends_with(' ') {
                line.push(' ');
            }
            line.push_str(word);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Flags of `completions`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Writes what a shell reads to complete our words.
pub(super) fn completions(arguments: &CompletionsArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut definition(), "insight-hub", &mut script);
    output.write_all(&script)?;
    Ok(output.flush()?)
}

/// Flags of `man`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ManArguments {
    /// Write a page for each command into this folder; without it, the first page comes on standard output
    #[arg(value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
}

/// Writes manual pages.
pub(super) fn man(arguments: &ManArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let Some(directory) = &arguments.directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(definition()).render(&mut page)?;
        output.write_all(&page)?;
        return Ok(output.flush()?);
    };
    std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(definition(), directory)).map_err(
        |error| {
            Failure::new(
                Exit::Failure,
                format!("{} cannot be written: {error}", directory.display()),
                "name a folder that this user may write to",
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let mut command = Cli::command();
        command.build();
        let mut groups: BTreeMap<&str, usize> = command.get_subcommands().map(|it| (it.get_name(), 0)).collect();
        for name in GROUPS.iter().flat_map(|(_, names)| names.iter()) {
            *groups.get_mut(name).unwrap_or_else(|| panic!("{name} is in a group and is no command")) += 1;
        }
        let wrong: Vec<_> = groups.iter().filter(|(_, count)| **count != 1).collect();
        assert!(wrong.is_empty(), "each must be in one group: {wrong:?}");
    }

    #[test]
    fn the_help_shows_the_groups_with_what_each_command_does() {
        let help = definition().render_help().to_string();
        for word in ["Try it:\n  demo", "Operators: run it", "Draft a department's mapping", "--config", "Exit codes"] {
            assert!(help.contains(word), "{word} in\n{help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 110), "{help}");
        assert!(help.ends_with("flags.\n") && !help.ends_with("\n\n"), "{help}");
        let error = parse(["insight-hub"]).expect_err("help is shown").to_string();
        assert!(error.contains("Departments: plug in"), "{error}");
    }

    #[test]
    fn every_shell_has_completions_of_every_command() {
        for shell in Shell::value_variants() {
            let mut output = Vec::new();
            completions(&CompletionsArguments { shell: *shell }, &mut output).expect("memory");
            let script = String::from_utf8(output).expect("text");
            for word in ["rejected", "completions", "from-beginning"] {
                assert!(script.contains(word), "{word} for {shell}");
            }
        }
    }

    #[test]
    fn manual_pages_are_one_or_one_for_each_command() {
        let mut output = Vec::new();
        man(&ManArguments { directory: None }, &mut output).expect("memory");
        let page = String::from_utf8(output).expect("text");
        assert!(page.contains(".TH insight\\-hub 1") || page.contains(".TH insight-hub 1"), "{page}");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let directory = directory.path().join("man1");
        man(&ManArguments { directory: Some(directory.clone()) }, &mut Vec::new()).expect("a writable directory");
        for name in ["insight-hub.1", "insight-hub-run.1", "insight-hub-topics-plan.1", "insight-hub-spoke-new.1"] {
            assert!(directory.join(name).is_file(), "{name}");
        }
        let failure = man(&ManArguments { directory: Some("/proc/man".into()) }, &mut Vec::new());
        assert_eq!(failure.expect_err("not writable").exit, Exit::Failure);
    }
}
