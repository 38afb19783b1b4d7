//! What an operator decides in; a command on `insight.commands` out.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io::Write,
};

use serde_json::json;

use super::{EraseArguments, Sought, confirm, show};
use crate::{
    cli::{
        exit::{Exit, Failure},
        hub,
        output::write_one,
        place,
    },
    model::{CommandRecord, EventTime, Name, Order, OrderError},
    settings::Settings,
};

fn names(settings: &Settings, identifiers: &[String]) -> Result<Vec<Name>, Failure> {
    let (rules, key) = (hub::identifier_rules(settings), hub::person_key(settings)?);
    let names = identifiers.iter().map(|identifier| Name::of_decision(identifier, &rules, &key));
    Ok(names.collect::<Result<_, OrderError>>()?)
}

pub(super) fn link(
    settings: &Settings,
    identifiers: &[String],
    id: Option<&str>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    send(settings, id, Order::link(names(settings, identifiers)?)?, output)
}

pub(super) fn never(
    settings: &Settings,
    identifiers: &[String],
    id: Option<&str>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    send(settings, id, Order::never_link(names(settings, identifiers)?)?, output)
}

pub(super) fn split(
    settings: &Settings,
    one_side: &[String],
    other_side: &[String],
    id: Option<&str>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    send(settings, id, Order::split(names(settings, one_side)?, names(settings, other_side)?)?, output)
}

pub(super) fn undo(
    settings: &Settings,
    command: &str,
    id: Option<&str>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    send(settings, id, Order::Undo { undo: command.to_owned() }, output)
}

pub(super) fn erase(settings: &Settings, arguments: &EraseArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let sought = Sought::parse(&arguments.identifier, &hub::identifier_rules(settings))?;
    let identifier = sought.name(&hub::person_key(settings)?)?;
    if arguments.dry_run {
        return show::what_goes(settings, &sought.published(settings)?, arguments.output, output);
    }
    if arguments.confirm {
        let ordered_at = arguments.ordered_at.map(|at| EventTime(at.as_millisecond()));
        return confirm::confirm(settings, &sought, (identifier, ordered_at), arguments.output, output);
    }
    if !arguments.yes {
        return Err(Failure::new(
            Exit::Usage,
            "an erasure cannot be taken back",
            "look at it first with --dry-run, then add --yes",
        ));
    }
    // It erases up to the time of its record, which comes after this.
    let ordered_at = EventTime(hub::now_ms()).to_string();
    let command = hand_over(settings, None, Order::Erase { identifier })?;
    let (key, by) = (identifier.id.to_string(), confirm::gone_by(settings, hub::now_ms()).to_string());
    let words = format!(
        "{}\n\
         confirmed by insight.identity-journal, change \"erased\", key {key}, once it is made: look with --confirm \
         --ordered-at {ordered_at}\n\
         no byte of it is left in topics and files of the hub by {by}, at the latest; departments' own topics, and backups, \
         are their owners' to clean",
        handed_over(&command)
    );
    let value = json!({"command": command, "key": key, "ordered_at": ordered_at, "gone_by": by});
    Ok(write_one(arguments.output, output, &words, &value)?)
}

fn handed_over(command: &str) -> String {
    format!("command {command} was handed over; a running hub takes it at once")
}

/// Hands a command over; without an `id` it is given one.
pub(in crate::cli) fn send(
    settings: &Settings,
    id: Option<&str>,
    order: Order,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let command = hand_over(settings, id, order)?;
    writeln!(output, "{}", handed_over(&command))?;
    Ok(output.flush()?)
}

/// The same; the command's id.
fn hand_over(settings: &Settings, id: Option<&str>, order: Order) -> Result<String, Failure> {
    // The state of the hasher is random.
    let command = CommandRecord::of(id, order, RandomState::new().build_hasher().finish())?;
    let topic = place::commands_topic(settings);
    let failed = |error| hub::log_failure(&error);
    let mut appender = place::appender(settings, "identity")?;
    appender.send(&topic, Some(command.id.as_bytes()), &command.encode(), hub::now_ms()).map_err(failed)?;
    appender.flush().map_err(failed)?;
    Ok(command.id)
}
