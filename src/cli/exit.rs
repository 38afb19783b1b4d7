//! How a command ends: exit codes, and errors that say what happened, to which thing, and what to do next.

use std::{fmt, io, process::ExitCode};

use crate::{model::OrderError, settings::SettingsError};

/// The exit code of every command. Scripts build on them: a code keeps its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// It did not work, for a reason that no other code has.
    Failure = 1,
    /// The command line or the configuration is wrong; nothing was done.
    Usage = 2,
    /// Topics are not as the configuration says.
    TopicsDiffer = 3,
    /// No broker answers, or it refuses the login.
    Unreachable = 4,
    /// Stored state was computed by another definition, or a rebuild is not complete: `insight-hub rebuild`, or with
    /// `--from-sources` if the error says so.
    Generation = 5,
    /// A stop took longer than its deadline; what was not committed is read again.
    StopDeadline = 6,
}

/// The exit codes as `--help` shows them.
pub(super) const HELP: &str = "\
Exit codes:
  0  all is well
  1  it did not work, for a reason that no other code has
  2  the command line or the configuration is wrong; nothing was done
  3  topics are not as the configuration says
  4  no broker answers, or it refuses the login
  5  stored state was computed by another definition, or a rebuild is not complete: run `insight-hub rebuild`, with `--from-sources` if it says so
  6  a stop took longer than its deadline; what was not committed is read again

Configuration: defaults, then --config FILE, then INSIGHT_HUB__SECTION__KEY in the environment, then flags.";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code to exit with. `Exit::Ok`: whoever read our output has had enough, which is no failure.
    pub exit: Exit,
    /// What happened, and to which thing.
    pub happened: String,
    /// What the reader can do next.
    pub next: String,
}

impl Failure {
    /// A failure with its code, what happened and what to do next.
    pub fn new(exit: Exit, happened: impl Into<String>, next: impl Into<String>) -> Failure {
        Failure { exit, happened: happened.into(), next: next.into() }
    }
}

impl Failure {
    /// The hub panicked.
    pub fn panicked() -> Failure {
        Failure::new(Exit::Failure, "the hub panicked", "report the message above; nothing is lost")
    }

    /// The hub ended before it could be used.
    pub fn ended() -> Failure {
        Failure::new(Exit::Failure, "the hub ended before it could be used", "see what it logged")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: {}\n  next: {}", self.happened, self.next)
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        let next = match &error {
            SettingsError::Missing { key, .. } => {
                format!("set it in the file given with --config, or with --set {key}=…")
            }
            SettingsError::Secret { .. } => "correct the file or the key that names it".to_owned(),
            _ => "correct it and try `insight-hub check`; the annotated example shows every key".to_owned(),
        };
        Failure::new(Exit::Usage, error.to_string(), next)
    }
}

impl From<OrderError> for Failure {
    fn from(OrderError { happened, next }: OrderError) -> Failure {
        Failure::new(Exit::Usage, happened, next)
    }
}

impl From<io::Error> for Failure {
    /// An error of writing our output: `tail | head` closes the pipe, and that is a clean end.
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::new(Exit::Ok, "the reader of the output left", "nothing");
        }
        Failure::new(
            Exit::Failure,
            format!("the output cannot be written: {error}"),
            "see to the disk or the pipe that standard output goes to",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_in_the_help() {
        for exit in [
            Exit::Ok,
            Exit::Failure,
            Exit::Usage,
            Exit::TopicsDiffer,
            Exit::Unreachable,
            Exit::Generation,
            Exit::StopDeadline,
        ] {
            assert!(HELP.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit, Exit::Ok);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).exit, Exit::Failure);
    }
}
