//! The feed of identities in; whom an identifier names, and what needs a look, out.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use serde_json::{Value, json};

use super::Sought;
use crate::{
    cli::{
        exit::{Exit, Failure},
        hub,
        output::{Format, Listing, shortened, write_json, write_table},
        place,
    },
    feeds::{Feed, Sighting, Sightings, Together},
    settings::Settings,
};

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
    let (person, mut value, redirected) = find(settings, &sought)?.ok_or_else(nobody)?;
    let sightings = sightings(settings, list(&value, "conflicts"))?;
    if format != Format::Table {
        value["seen"] = seen(&value, sightings.as_ref());
        write_json(output, &value)?;
        return Ok(output.flush()?);
    }
    writeln!(output, "person {person}{}\n", if redirected { " (a redirect led there)" } else { "" })?;
    if value["shared"] == true {
        writeln!(output, "this identifier belongs to so many that it links nobody\n")?;
    }
    let close = close_to(&value);
    if !close.is_empty() {
        writeln!(output, "close to a limit: {}\n", close.join(", "))?;
    }
    let identifiers = list(&value, "identifiers");
    let rows: Vec<Vec<String>> =
        identifiers.iter().map(|it| vec![text(it, "type").to_owned(), shortened(text(it, "value"))]).collect();
    write_table(output, &["identifier", "value"], &rows)?;
    more(&value, "identifiers_total", identifiers.len(), output)?;
    let conflicts = list(&value, "conflicts");
    if !conflicts.is_empty() {
        writeln!(output, "\nnot linked, and why")?;
        let rows: Vec<Vec<String>> = conflicts.iter().map(|it| conflict_row(it, sightings.as_ref())).collect();
        let header = ["stronger", "weaker", "rule", "seen together", "first", "last"];
        write_table(output, &header[..rows[0].len()], &rows)?;
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

fn conflict_row(conflict: &Value, sightings: Option<&Sightings>) -> Vec<String> {
    let decided = if conflict["decided"] == true { " (an operator's link)" } else { "" };
    let mut row = vec![
        written(&conflict["stronger"]),
        written(&conflict["weaker"]),
        format!("{}{decided}", text(conflict, "rule")),
    ];
    if let Some(sightings) = sightings {
        let together = sightings.together(conflict);
        let by: Vec<String> = together.by_spoke.iter().map(|(spoke, count)| format!("{count} by {spoke}")).collect();
        row.push(if by.is_empty() { "-".to_owned() } else { by.join(", ") });
        row.extend(
            [together.first, together.last]
                .map(|moment| moment.map_or("-".to_owned(), |it| format!("{} {} {}", it.occurred_at, it.spoke, it.id))),
        );
    }
    row.iter().map(|cell| shortened(cell)).collect()
}

/// What touchpoints say of the pairs of conflicts; `None`: the hub publishes no touchpoints.
fn sightings<'v>(
    settings: &Settings,
    conflicts: impl IntoIterator<Item = &'v Value>,
) -> Result<Option<Sightings>, Failure> {
    if !settings.topics.touchpoints_feed {
        return Ok(None);
    }
    let mut sightings = Sightings::of(conflicts);
    if !sightings.is_empty() {
        let mut found: BTreeMap<String, Sighting> = BTreeMap::new();
        place::read_feed(settings, Feed::Touchpoints, &mut |key, value| match value
            .and_then(|touchpoint| sightings.sighting(&touchpoint))
        {
            Some(sighting) => drop(found.insert(key.to_owned(), sighting)),
            None => drop(found.remove(key)),
        })?;
        found.values().for_each(|sighting| sightings.add(sighting));
    }
    Ok(Some(sightings))
}

/// Of each conflict of a person, in their order, what touchpoints say.
fn seen(value: &Value, sightings: Option<&Sightings>) -> Value {
    let shown = |it: Together| json!({ "touchpoints": it.touchpoints(), "by_spoke": it.by_spoke, "first": it.first, "last": it.last });
    sightings.map_or(Value::Null, |sightings| {
        list(value, "conflicts").iter().map(|conflict| shown(sightings.together(conflict))).collect()
    })
}

/// What touchpoints say of all conflicts of a person, in one line.
fn seen_words(value: &Value, sightings: Option<&Sightings>) -> String {
    let conflicts = list(value, "conflicts").iter();
    let seen: Vec<Together> =
        sightings.map_or_else(Vec::new, |sightings| conflicts.map(|it| sightings.together(it)).collect());
    let by: BTreeSet<&str> = seen.iter().flat_map(|it| it.by_spoke.keys()).map(String::as_str).collect();
    let first = seen.iter().filter_map(|it| it.first.as_ref()).min();
    let last = seen.iter().filter_map(|it| it.last.as_ref()).max();
    let day = |instant: &str| instant.get(..10).unwrap_or(instant).to_owned();
    match first.zip(last) {
        None => "-".to_owned(),
        Some((first, last)) => {
            let by: Vec<&str> = by.into_iter().collect();
            format!("{} to {} by {}", day(&first.occurred_at), day(&last.occurred_at), by.join(", "))
        }
    }
}

/// The limits that a person is close to, in words.
fn close_to(value: &Value) -> Vec<String> {
    let words = |it: &Value| format!("{} of {} {}", it["count"], it["limit"], text(it, "type"));
    list(value, "close_to_limits").iter().map(words).collect()
}

pub(super) fn conflicts(settings: &Settings, format: Format, output: &mut dyn Write) -> Result<(), Failure> {
    let mut people: BTreeMap<String, Value> = BTreeMap::new();
    place::read_feed(settings, Feed::Identities, &mut |key, value| match value.filter(|value| {
        let is_person = text(value, "person") == key;
        let has_conflicts = value["conflicts_total"].as_u64().unwrap_or_default() > 0;
        is_person && (has_conflicts || value["shared"] == true || !close_to(value).is_empty())
    }) {
        Some(value) => drop(people.insert(key.to_owned(), value)),
        None => drop(people.remove(key)),
    })?;
    let sightings = sightings(settings, people.values().flat_map(|value| list(value, "conflicts")))?;
    let header = ["person", "strongest", "conflicts", "why", "seen together"];
    let mut listing = Listing::new(format, "people", &header, output);
    for (person, value) in &people {
        let close = close_to(value);
        let mut why: Vec<String> = list(value, "conflicts").iter().map(|it| text(it, "rule").to_owned()).collect();
        why.sort_unstable();
        why.dedup();
        if value["shared"] == true {
            why.push("shared: it links nobody".to_owned());
        }
        why.extend(close.iter().map(|close| format!("close to a limit: {close}")));
        let total = value["conflicts_total"].as_u64().unwrap_or_default();
        listing.push(
            || {
                let seen = seen_words(value, sightings.as_ref());
                vec![person.clone(), written(&value["strongest"]), total.to_string(), why.join(", "), seen]
            },
            || {
                let seen = seen(value, sightings.as_ref());
                json!({ "person": person, "identity": value, "close_to_limits": close, "seen": seen })
            },
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
    let mut left: BTreeSet<String> = BTreeSet::new();
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
    let mut known: BTreeSet<String> = BTreeSet::new();
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
