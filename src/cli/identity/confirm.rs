//! An erased identifier in; the confirmation that its erasure was published, and when no byte of it is left, out.

use std::{collections::BTreeSet, io::Write};

use serde_json::{Value, json};

use super::{Sought, show};
use crate::{
    cli::{
        exit::{Exit, Failure},
        hub,
        output::{Format, write_json},
        place, schemas,
    },
    engine::topics::ErasedWithin,
    feeds::{self, Feed},
    model::{EventTime, Name},
    settings::Settings,
};

/// What the journal says of an erasure.
#[derive(Debug, PartialEq)]
struct Confirmation {
    /// The offset of the command on `insight.commands`.
    command: Option<i64>,
    erased_until: Value,
    /// When the hub said so, in milliseconds since 1970.
    at_ms: i64,
}

/// When no byte is left, at the latest, of what was erased at an instant.
pub(super) fn gone_by(settings: &Settings, erased_ms: i64) -> EventTime {
    EventTime(erased_ms.saturating_add(ErasedWithin::ms(settings.topics.erased_within_ms()).whole_ms()))
}

pub(super) fn confirm(
    settings: &Settings,
    sought: &Sought,
    (name, ordered_at): (Name, Option<EventTime>),
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let key = name.id.to_string();
    let mut newest: Option<Confirmation> = None;
    // By the command that erased them: one person's, with their other identifiers.
    let mut by_command: BTreeSet<(Option<i64>, String)> = BTreeSet::new();
    let reader = schemas::reader(settings, Feed::IdentityJournal)?;
    let topic = place::topic_of(settings, Feed::IdentityJournal);
    place::read_whole(&mut *place::feed(settings, &topic, place::WHOLE)?, &mut |record| {
        let Some(value) = record.value else { return Ok(()) };
        let value = reader.read_with(&value, &record.headers).map_err(hub::foreign_value)?;
        if value["change"] != "erased" {
            return Ok(());
        }
        let (of, command) = (String::from_utf8_lossy(&record.key).into_owned(), value["command"].as_i64());
        // It erases all that happened until it was ordered: what erased less was another.
        let is_this = ordered_at.is_none_or(|at| feeds::instant(&value["erased_until"]) >= Some(at));
        if of == key && is_this && newest.as_ref().is_none_or(|known| known.at_ms <= record.timestamp_ms) {
            let erased_until = value["erased_until"].clone();
            newest = Some(Confirmation { command, erased_until, at_ms: record.timestamp_ms });
        }
        by_command.insert((command, of));
        Ok(())
    })?;
    let Some(confirmation) = newest else {
        return Err(Failure::new(
            Exit::Failure,
            "no erasure of it is confirmed",
            "if one was just asked for, look again when a hub runs; confirmations are kept for as long as dead letters \
             (topics.rejected_retention_hours), so keep what this says",
        ));
    };
    let identifiers = by_command.iter().filter(|(command, _)| *command == confirmation.command).count();
    let left = show::touchpoints_left(settings, sought, &key, &confirmation.erased_until)?;
    let (at, by) = (EventTime(confirmation.at_ms), gone_by(settings, confirmation.at_ms));
    if format == Format::Table {
        writeln!(output, "identifier      {key} (its keyed hash)")?;
        writeln!(output, "erased          {at}, with {} more of the same person", identifiers.saturating_sub(1))?;
        writeln!(output, "up to           {}", shown(&confirmation.erased_until))?;
        writeln!(output, "confirmed by    insight.identity-journal, change \"erased\", key {key}")?;
        writeln!(output, "touchpoints     {left} of the time before are published")?;
        writeln!(output, "bytes gone by   {by}, at the latest, while hubs and brokers run")?;
    } else {
        let command = confirmation.command;
        write_json(
            output,
            &json!({ "identifier": key, "erased_at": at.to_string(), "identifiers": identifiers, "command": command,
                     "erased_until": shown(&confirmation.erased_until), "touchpoints_left": left,
                     "bytes_gone_by": by.to_string() }),
        )?;
    }
    output.flush()?;
    if left > 0 {
        return Err(Failure::new(
            Exit::Failure,
            format!("{left} touchpoints of the time before still name it"),
            "the hub is still at it, or stands: look again in a moment",
        ));
    }
    Ok(())
}

/// As it is shown.
fn shown(at: &Value) -> String {
    feeds::instant(at).map_or_else(String::new, |at| at.to_string())
}
