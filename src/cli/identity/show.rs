//! The feed of identities in; whom an identifier names, and what needs a look, out.

use std::{collections::BTreeMap, io::Write};

use serde_json::{Value, json};

use super::Sought;
use crate::{
    cli::{
        exit::{Exit, Failure},
        hub,
        output::{Format, Listing, shortened, write_json, write_table},
        place,
    },
    feeds::Feed,
    links::Rules,
    model::IdentifierType,
    settings::Settings,
};

/// A person is close to a limit from this share of it on, in percent.
const CLOSE_PERCENT: usize = 80;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `type:value`.
fn written(identifier: &Value) -> String {
    format!("{}:{}", text(identifier, "type"), text(identifier, "value"))
}

fn is_sought(sought: &Sought, key: &str, value: &Value) -> bool {
    match sought {
        Sought::Person(person) => person == key,
        Sought::Identifier(kind, value_sought) => {
            let identifier = &value["identifier"];
            text(identifier, "type") == kind.as_str() && text(identifier, "value") == value_sought
        }
    }
}

/// The person that an identifier or an id leads to, with its key; and whether a redirect led there.
pub(in crate::cli) fn find(settings: &Settings, sought: &Sought) -> Result<Option<(String, Value, bool)>, Failure> {
    let mut found: Option<(String, Value)> = None;
    place::read_feed(settings, Feed::Identities, &mut |key, value| match value {
        Some(value) if is_sought(sought, key, &value) => found = Some((key.to_owned(), value)),
        _ if found.as_ref().is_some_and(|(known, _)| *known == key) => found = None,
        _ => {}
    })?;
    let Some((key, value)) = found else { return Ok(None) };
    let person = text(&value, "person").to_owned();
    if person == key {
        return Ok(Some((key, value, false)));
    }
    let mut strongest = None;
    place::read_feed(settings, Feed::Identities, &mut |key, value| {
        if key == person {
            strongest = value;
        }
    })?;
    Ok(strongest.map(|value| (person, value, true)))
}

fn nobody() -> Failure {
    Failure::new(
        Exit::Failure,
        "nobody is known by that",
        "see how the identifier is written in `insight-hub tail identities --from-beginning`",
    )
}

pub(super) fn one(
    settings: &Settings,
    identifier: &str,
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let sought = Sought::parse(identifier, &hub::identifier_rules(settings))?.published(settings)?;
    let (person, value, redirected) = find(settings, &sought)?.ok_or_else(nobody)?;
    if format != Format::Table {
        write_json(output, &value)?;
        return Ok(output.flush()?);
    }
    writeln!(output, "person {person}{}\n", if redirected { " (a redirect led there)" } else { "" })?;
    if value["shared"] == true {
        writeln!(output, "this identifier belongs to so many that it links nobody\n")?;
    }
    let identifiers = list(&value, "identifiers");
    let rows: Vec<Vec<String>> =
        identifiers.iter().map(|it| vec![text(it, "type").to_owned(), shortened(text(it, "value"))]).collect();
    write_table(output, &["identifier", "value"], &rows)?;
    more(&value, "identifiers_total", identifiers.len(), output)?;
    let conflicts = list(&value, "conflicts");
    if !conflicts.is_empty() {
        writeln!(output, "\nnot linked, and why")?;
        let rows: Vec<Vec<String>> = conflicts.iter().map(conflict_row).collect();
        write_table(output, &["stronger", "weaker", "rule"], &rows)?;
        more(&value, "conflicts_total", conflicts.len(), output)?;
    }
    Ok(output.flush()?)
}

fn more(value: &Value, total: &str, shown: usize, output: &mut dyn Write) -> Result<(), Failure> {
    let total = value.get(total).and_then(Value::as_u64).unwrap_or_default();
    if total > shown as u64 {
        writeln!(output, "… and {} more", total - shown as u64)?;
    }
    Ok(())
}

fn conflict_row(conflict: &Value) -> Vec<String> {
    let decided = if conflict["decided"] == true { " (an operator's link)" } else { "" };
    vec![
        shortened(&written(&conflict["stronger"])),
        shortened(&written(&conflict["weaker"])),
        format!("{}{decided}", text(conflict, "rule")),
    ]
}

/// The limits that a person is close to, in words.
fn close_to(value: &Value, rules: &Rules) -> Vec<String> {
    let mut counts: BTreeMap<IdentifierType, usize> = BTreeMap::new();
    for identifier in list(value, "identifiers") {
        if let Some(kind) = IdentifierType::parse(text(identifier, "type")) {
            *counts.entry(kind).or_default() += 1;
        }
    }
    let close = counts.into_iter().filter_map(|(kind, count)| {
        let limit = usize::try_from(rules.limit(kind)?).ok()?;
        (limit > 1 && count * 100 >= limit * CLOSE_PERCENT).then(|| format!("{count} of {limit} {kind}"))
    });
    close.collect()
}

pub(super) fn conflicts(settings: &Settings, format: Format, output: &mut dyn Write) -> Result<(), Failure> {
    let rules = hub::link_rules(settings);
    let mut people: BTreeMap<String, Value> = BTreeMap::new();
    place::read_feed(settings, Feed::Identities, &mut |key, value| match value.filter(|value| {
        let is_person = text(value, "person") == key;
        let has_conflicts = value["conflicts_total"].as_u64().unwrap_or_default() > 0;
        is_person && (has_conflicts || value["shared"] == true || !close_to(value, &rules).is_empty())
    }) {
        Some(value) => drop(people.insert(key.to_owned(), value)),
        None => drop(people.remove(key)),
    })?;
    let mut listing = Listing::new(format, "people", &["person", "strongest", "conflicts", "why"], output);
    for (person, value) in &people {
        let close = close_to(value, &rules);
        let mut why: Vec<String> = list(value, "conflicts").iter().map(|it| text(it, "rule").to_owned()).collect();
        why.sort_unstable();
        why.dedup();
        if value["shared"] == true {
            why.push("shared: it links nobody".to_owned());
        }
        why.extend(close.iter().map(|close| format!("close to a limit: {close}")));
        let total = value["conflicts_total"].as_u64().unwrap_or_default();
        listing.push(
            || vec![person.clone(), written(&value["strongest"]), total.to_string(), why.join(", ")],
            || json!({ "person": person, "identity": value, "close_to_limits": close }),
        )?;
    }
    let output = listing.end(&[("count", people.len().into())])?;
    if people.is_empty() && format == Format::Table {
        writeln!(output, "no conflicts")?;
    }
    Ok(output.flush()?)
}

/// How many touchpoints up to an instant still name an identifier, by its value or its keyed hash.
pub(super) fn touchpoints_left(
    settings: &Settings,
    sought: &Sought,
    hash: &str,
    until: &Value,
) -> Result<usize, Failure> {
    let (Sought::Identifier(kind, name), true) = (sought, settings.topics.touchpoints_feed) else { return Ok(0) };
    let mut left: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
    place::read_feed(settings, Feed::Touchpoints, &mut |key, value| {
        let names = value.as_ref().map_or(&[][..], |value| list(&value["identifiers"], kind.as_str()));
        let is_it = names.iter().filter_map(Value::as_str).any(|value| value == name || value == hash);
        // Times of one feed are all text, which sorts by time, or all numbers.
        let is_before = value.as_ref().is_some_and(|value| match (&value["occurred_at"], until) {
            (Value::String(at), Value::String(until)) => at <= until,
            (at, until) => at.as_i64() <= until.as_i64(),
        });
        if is_it && is_before {
            left.insert(key.to_owned());
        } else {
            left.remove(key);
        }
    })?;
    Ok(left.len())
}

/// What an erasure would take.
pub(super) fn what_goes(
    settings: &Settings,
    sought: &Sought,
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let (person, value, _) = find(settings, sought)?.ok_or_else(nobody)?;
    let mut touchpoints: BTreeMap<String, u64> = BTreeMap::new();
    let mut known: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
    if settings.topics.touchpoints_feed {
        place::read_feed(settings, Feed::Touchpoints, &mut |key, value| {
            if key.split_once('|').is_some_and(|(of, _)| of == person) {
                match value {
                    Some(_) => drop(known.insert(key.to_owned())),
                    None => drop(known.remove(key)),
                }
            }
        })?;
    }
    for key in &known {
        *touchpoints.entry(key.split('|').nth(1).unwrap_or_default().to_owned()).or_default() += 1;
    }
    if format != Format::Table {
        write_json(
            output,
            &json!({ "person": person, "identity": value, "touchpoints": touchpoints, "dry_run": true }),
        )?;
        return Ok(output.flush()?);
    }
    let total = value.get("identifiers_total").and_then(Value::as_u64).unwrap_or_default();
    writeln!(output, "person {person}: {total} identifiers and {} touchpoints would be erased", known.len())?;
    let rows: Vec<Vec<String>> = list(&value, "identifiers")
        .iter()
        .map(|it| vec![text(it, "type").to_owned(), shortened(text(it, "value"))])
        .collect();
    write_table(output, &["identifier", "value"], &rows)?;
    let rows: Vec<Vec<String>> = touchpoints.into_iter().map(|(spoke, count)| vec![spoke, count.to_string()]).collect();
    write_table(output, &["department", "touchpoints"], &rows)?;
    writeln!(output, "nothing was erased; the departments' own topics are theirs to clean")?;
    Ok(output.flush()?)
}
