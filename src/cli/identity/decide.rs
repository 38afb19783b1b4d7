//! What an operator decides in; a command on `insight.commands` out.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io::Write,
};

use super::{EraseArguments, Sought, confirm, show};
use crate::{
    cli::{
        exit::{Exit, Failure},
        hub, place,
    },
    model::{COMMAND_ID_CHARACTERS_MAX, COMMAND_PAIRS_MAX, CommandRecord, Name, Order, PersonKey},
    settings::Settings,
};

fn names(settings: &Settings, identifiers: &[String], key: &PersonKey) -> Result<Vec<Name>, Failure> {
    let rules = hub::identifier_rules(settings);
    let mut names = Vec::with_capacity(identifiers.len());
    for identifier in identifiers {
        names.push(Sought::parse(identifier, &rules)?.name(key)?);
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Every two of a list.
fn every_two(names: &[Name]) -> Vec<(Name, Name)> {
    let rest = |index: usize| names[index + 1..].iter();
    names.iter().enumerate().flat_map(|(index, one)| rest(index).map(move |other| (*one, *other))).collect()
}

pub(super) fn link(
    settings: &Settings,
    identifiers: &[String],
    id: Option<&str>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let names = names(settings, identifiers, &hub::person_key(settings)?)?;
    send(settings, id, Order::Link { pairs: names.windows(2).map(|two| (two[0], two[1])).collect() }, output)
}

pub(super) fn never(
    settings: &Settings,
    identifiers: &[String],
    id: Option<&str>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let names = names(settings, identifiers, &hub::person_key(settings)?)?;
    send(settings, id, Order::NeverLink { pairs: every_two(&names) }, output)
}

pub(super) fn split(
    settings: &Settings,
    one_side: &[String],
    other_side: &[String],
    id: Option<&str>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let key = hub::person_key(settings)?;
    let (one_side, other_side) = (names(settings, one_side, &key)?, names(settings, other_side, &key)?);
    if one_side.iter().any(|name| other_side.contains(name)) {
        return Err(Failure::new(Exit::Usage, "an identifier is on both sides", "name each on one side"));
    }
    let pairs = one_side.iter().flat_map(|one| other_side.iter().map(move |other| (*one, *other))).collect();
    send(settings, id, Order::NeverLink { pairs }, output)
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
        return confirm::confirm(settings, &sought, identifier, arguments.output, output);
    }
    if !arguments.yes {
        return Err(Failure::new(
            Exit::Usage,
            "an erasure cannot be taken back",
            "look at it first with --dry-run, then add --yes",
        ));
    }
    send(settings, None, Order::Erase { identifier }, output)?;
    let (key, by) = (identifier.id, confirm::gone_by(settings, hub::now_ms()));
    writeln!(
        output,
        "confirmed by insight.identity-journal, change \"erased\", key {key}, once it is made: look with --confirm\n\
         no byte of it is left in topics and files of the hub by {by}, at the latest; departments' own topics, and backups, \
         are their owners' to clean"
    )?;
    Ok(output.flush()?)
}

/// Hands a command over; without an `id` it is given one.
pub(in crate::cli) fn send(
    settings: &Settings,
    id: Option<&str>,
    order: Order,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    if let Order::Link { pairs } | Order::NeverLink { pairs } = &order
        && (pairs.is_empty() || pairs.len() > COMMAND_PAIRS_MAX)
    {
        return Err(Failure::new(
            Exit::Usage,
            format!("that makes {} pairs of identifiers", pairs.len()),
            format!("name at least two that differ, and so many that at most {COMMAND_PAIRS_MAX} pairs come of it"),
        ));
    }
    let id = match id {
        Some(id) if id.is_empty() || id.chars().count() > COMMAND_ID_CHARACTERS_MAX => {
            let next = format!("give it one of 1 to {COMMAND_ID_CHARACTERS_MAX} characters");
            return Err(Failure::new(Exit::Usage, "the command's id is empty or too long", next));
        }
        Some(id) => id.to_owned(),
        // The state of the hasher is random.
        None => format!("{:016x}", RandomState::new().build_hasher().finish()),
    };
    let command = CommandRecord { id, order };
    let topic = place::commands_topic(settings);
    let failed = |error| hub::log_failure(&error);
    let mut appender = place::appender(settings, "identity")?;
    appender.send(&topic, Some(command.id.as_bytes()), &command.encode(), hub::now_ms()).map_err(failed)?;
    appender.flush().map_err(failed)?;
    writeln!(output, "command {} was handed over; a running hub takes it at once", command.id)?;
    Ok(output.flush()?)
}
