//! `insight-hub identity …` and `insight-hub erase`: who is one person and why in; operators' decisions out, as commands.

mod confirm;
mod decide;
mod show;

use std::io::Write;

use clap::{Args, Subcommand};

use super::{
    exit::{Exit, Failure},
    hub,
    output::Format,
};
use crate::{
    model::{Identifier, IdentifierRules, IdentifierType, Name, PersonId, PersonKey},
    settings::{PublishedIdentifiers, Settings},
};

pub(super) use decide::send as command;
pub(super) use show::find;

/// Flags of `identity`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct IdentityArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: IdentityAction,
}

/// What to do with identities.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum IdentityAction {
    /// Show whom an identifier names, by which identifiers, what was refused, and which touchpoints name both of such a pair
    Show {
        /// TYPE:VALUE, for example email:ann@example.org; or the 32 digits of a person's id, also one no longer in use
        #[arg(value_name = "IDENTIFIER")]
        identifier: String,
        /// How it is shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// List people with conflicts and who named both of such a pair, identifiers that belong to too many, and people close to a limit
    Conflicts {
        /// How they are shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Decide that identifiers are one person, over shared identifiers and limits
    Link {
        /// Two or more, each TYPE:VALUE, or TYPE#DIGITS with the 32 digits of its keyed hash
        #[arg(value_name = "IDENTIFIER", num_args = 2..)]
        identifiers: Vec<String>,
        /// How the command is called, for an undo; one that was used has no effect
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Decide that identifiers are never one person, by any path
    NeverLink {
        /// Two or more, each TYPE:VALUE or TYPE#DIGITS: every two of them are never one
        #[arg(value_name = "IDENTIFIER", num_args = 2..)]
        identifiers: Vec<String>,
        /// How the command is called, for an undo; one that was used has no effect
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Split a person: none of some identifiers is one person with any of the others
    Split {
        /// One side, each TYPE:VALUE or TYPE#DIGITS
        #[arg(value_name = "IDENTIFIER", num_args = 1..)]
        identifiers: Vec<String>,
        /// The other side, each TYPE:VALUE or TYPE#DIGITS
        #[arg(long, value_name = "IDENTIFIER", num_args = 1.., required = true)]
        from: Vec<String>,
        /// How the command is called, for an undo; one that was used has no effect
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// Take an earlier command back
    Undo {
        /// The id that the command was given or told
        #[arg(value_name = "COMMAND")]
        command: String,
        /// How this command is called, so that it can be undone itself
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
}

/// Flags of `erase`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct EraseArguments {
    /// TYPE:VALUE of any identifier of the person
    #[arg(value_name = "IDENTIFIER")]
    pub identifier: String,
    /// Show what would be erased, and erase nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Erase: there is no way back
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// Say whether an erasure was made and confirmed, and when no byte of it is left; exit code 1 if not
    #[arg(long, conflicts_with_all = ["dry_run", "yes"])]
    pub confirm: bool,
    /// Of which erasure that is asked: when it was ordered, as the order said; the newest if nothing is said
    #[arg(long, value_name = "TIME", requires = "confirm")]
    pub ordered_at: Option<jiff::Timestamp>,
    /// How it is shown what would be erased, or was
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

pub(super) fn execute(
    settings: &Settings,
    arguments: &IdentityArguments,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    match &arguments.action {
        IdentityAction::Show { identifier, output: format } => show::one(settings, identifier, *format, output),
        IdentityAction::Conflicts { output: format } => show::conflicts(settings, *format, output),
        IdentityAction::Link { identifiers, id } => decide::link(settings, identifiers, id.as_deref(), output),
        IdentityAction::NeverLink { identifiers, id } => decide::never(settings, identifiers, id.as_deref(), output),
        IdentityAction::Split { identifiers, from, id } => {
            decide::split(settings, identifiers, from, id.as_deref(), output)
        }
        IdentityAction::Undo { command, id } => decide::undo(settings, command, id.as_deref(), output),
    }
}

pub(super) fn erase(settings: &Settings, arguments: &EraseArguments, output: &mut dyn Write) -> Result<(), Failure> {
    decide::erase(settings, arguments, output)
}

/// Whom to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// By the id of the feeds.
    Person(String),
    /// By one of the identifiers.
    Identifier(IdentifierType, String),
}

impl Sought {
    /// In the form in which the hub compares it.
    pub(super) fn parse(text: &str, rules: &IdentifierRules) -> Result<Sought, Failure> {
        let wrong = |happened: String| {
            let kinds: Vec<&str> = rules.kinds().into_iter().map(IdentifierType::as_str).collect();
            Failure::new(
                Exit::Usage,
                happened,
                format!("name TYPE:VALUE with a type of {}; or the 32 digits of a person's id", kinds.join(", ")),
            )
        };
        if !text.contains(':') {
            return match PersonId::parse(text) {
                Some(person) => Ok(Sought::Person(person.to_string())),
                None => Err(wrong("that is neither an identifier nor a person's id".to_owned())),
            };
        }
        let (kind, form) = rules.named(text).map_err(|error| wrong(error.happened))?;
        Ok(Sought::Identifier(kind, form))
    }

    /// As the feeds write it.
    pub(super) fn published(self, settings: &Settings) -> Result<Sought, Failure> {
        match self {
            Sought::Identifier(kind, value) if settings.identity.publish == PublishedIdentifiers::Hashed => {
                let names = hub::names(settings, &hub::person_key(settings)?);
                Ok(Sought::Identifier(kind, names.show(Identifier { kind, value: &value }).as_str().to_owned()))
            }
            other => Ok(other),
        }
    }

    /// As a command names it. A person's id says no type, and may be that of somebody who reuses an erased identifier.
    pub(super) fn name(&self, key: &PersonKey) -> Result<Name, Failure> {
        match self {
            Sought::Identifier(kind, value) => {
                Ok(Name { kind: *kind, id: key.person(Identifier { kind: *kind, value }) })
            }
            Sought::Person(_) => Err(Failure::new(
                Exit::Usage,
                "a decision is about identifiers, not about ids of the feeds",
                "name them as TYPE:VALUE; `insight-hub identity show` has those of a person",
            )),
        }
    }
}
