//! `insight-hub rejected`: dead letters in; what was rejected and why, one record as it came, or a replay, out.
//!
//! - `letter`: a record of `insight.rejected` → the department's record in it.
//! - `filter`: flags → which letters are meant.
//! - `list`, `show`: letters → a table or JSON, with counts by spoke and reason.
//! - `history`: letters of replays → what the latest replay of each record left.
//! - `replay`: letters → what they become by the mapping as it is now, and back to their topics.
//!
//! Everything is read as a stream: what stays in memory is a count for each spoke and reason, and of each record that came
//! back from a replay, what was left of it.

mod filter;
mod history;
mod letter;
mod list;
mod replay;
mod show;

use std::io::Write;

use clap::{Args, Subcommand};

pub use self::filter::FilterArguments;
pub(super) use self::letter::Letter;
use super::{exit::Failure, output::Format, place};
use crate::{engine::log::outside::FeedRead, feeds::Feed, settings::Settings};

/// Flags of `rejected`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RejectedArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: RejectedAction,
}

/// What to do with dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum RejectedAction {
    /// List what was rejected and why, with counts by spoke and reason; nothing of the records themselves
    List {
        /// Which ones
        #[command(flatten)]
        filter: FilterArguments,
        /// Only the counts by spoke and reason
        #[arg(long)]
        summary: bool,
        /// How the list is shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Show one dead letter: why, and the record as the department sent it, with the personal data in it
    Show {
        /// Where the record came: TOPIC:PARTITION:OFFSET, or the feed's key TOPIC|PARTITION|OFFSET
        #[arg(value_name = "POSITION")]
        position: String,
        /// How it is shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Hand records that the mapping as it is now takes back to their topics; each counts once, however often it is done
    Replay {
        /// Which ones
        #[command(flatten)]
        filter: FilterArguments,
        /// Send nothing; say of each dead letter what it becomes now
        #[arg(long)]
        dry_run: bool,
        /// How the result is shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
}

pub(super) fn execute(
    settings: &Settings,
    arguments: &RejectedArguments,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    match &arguments.action {
        RejectedAction::List { filter, summary, output: format } => {
            list::list(&mut *open(settings)?, filter, *summary, *format, output)
        }
        RejectedAction::Show { position, output: format } => {
            let key = show::key(position)?;
            show::show(&mut *open(settings)?, &key, *format, output)
        }
        RejectedAction::Replay { filter, dry_run, output: format } => {
            replay::execute(settings, filter, *dry_run, *format, output)
        }
    }
}

fn open(settings: &Settings) -> Result<Box<dyn FeedRead>, Failure> {
    place::feed(settings, &place::topic_of(settings, Feed::Rejected), place::WHOLE)
}

/// Hands over every dead letter; returns how many records of the feed are none that a hub wrote.
pub(super) fn read_letters(
    log: &mut dyn FeedRead,
    each: &mut dyn FnMut(Letter) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let mut foreign = 0;
    place::read_whole(log, &mut |record| match Letter::read(record) {
        Some(letter) => each(letter),
        None => {
            foreign += 1;
            Ok(())
        }
    })?;
    Ok(foreign)
}

#[cfg(test)]
mod tests;
