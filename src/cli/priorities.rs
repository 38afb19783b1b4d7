//! `insight-hub priorities …`: the feed of what to fix first in; its newest month, or the word that somebody has seen one of it, out.

use std::{collections::BTreeMap, io::Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    alerts::day,
    exit::{Exit, Failure},
    identity,
    output::{Format, Listing},
    place,
};
use crate::{feeds::Feed, model::Order, settings::Settings};

/// Flags of `priorities`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct PrioritiesArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: PrioritiesAction,
}

/// What to do with priorities.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum PrioritiesAction {
    /// List what to fix first, of the newest month or another
    List {
        /// Of one department
        #[arg(long, value_name = "SPOKE")]
        owner: Option<String>,
        /// The first day of another month, as in 2026-05-01
        #[arg(long, value_name = "DATE")]
        month: Option<String>,
        /// How they are shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Say that somebody has taken it on: it says so in every month that has it, before and after
    Acknowledge {
        /// Its id, 32 hexadecimal digits
        #[arg(value_name = "ID")]
        priority: String,
        /// Who has taken it on, as everybody will read who subscribes to the feed
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
}

pub(super) fn execute(
    settings: &Settings,
    arguments: &PrioritiesArguments,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    match &arguments.action {
        PrioritiesAction::List { owner, month, output: format } => {
            list(settings, (owner.as_deref(), month.as_deref()), *format, output)
        }
        PrioritiesAction::Acknowledge { priority, by } => {
            let order = Order::acknowledge(priority, by.as_deref().unwrap_or_default())?;
            let is_there = |record: &Value| priorities(record).any(|it| it["id"] == priority.to_lowercase());
            if !months(settings)?.values().any(is_there) {
                let next = "see what there is with `insight-hub priorities list`";
                return Err(Failure::new(Exit::Failure, "no priority of any month has that id", next));
            }
            identity::command(settings, None, order, output)
        }
    }
}

/// Records by the first day of their month.
fn months(settings: &Settings) -> Result<BTreeMap<String, Value>, Failure> {
    let mut by_key = BTreeMap::new();
    place::read_feed(settings, Feed::Priorities, &mut |key, value| match value {
        Some(value) => drop(by_key.insert(key.to_owned(), value)),
        None => drop(by_key.remove(key)),
    })?;
    Ok(by_key.into_values().map(|record| (day(&record["window"]["start"]), record)).collect())
}

fn priorities(record: &Value) -> impl Iterator<Item = &Value> {
    record["priorities"].as_array().into_iter().flatten()
}

fn list(
    settings: &Settings,
    (owner, month): (Option<&str>, Option<&str>),
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let months = months(settings)?;
    let chosen = match month {
        Some(month) => months.get_key_value(month),
        None => months.last_key_value(),
    };
    let found: Vec<&Value> = chosen
        .into_iter()
        .flat_map(|(_, record)| priorities(record))
        .filter(|it| owner.is_none_or(|owner| it["owner"] == owner))
        .collect();
    let header = ["rank", "owner", "kind", "subject", "reach", "score", "from", "to", "acknowledged by", "id"];
    let mut listing = Listing::new(format, "priorities", &header, output);
    for priority in &found {
        let cells = || {
            let text = |field: &str| priority[field].as_str().unwrap_or_default().to_owned();
            let score = |field: &str| priority[field].as_f64().map_or_else(String::new, |it| format!("{it:.0}"));
            let seen = match priority["acknowledged_by"].as_str() {
                Some("") => "somebody".to_owned(),
                Some(name) => name.to_owned(),
                None => String::new(),
            };
            let [rank, reach] = ["rank", "reach"].map(|field| priority[field].to_string());
            let [owner, kind, subject, id] = ["owner", "kind", "subject", "id"].map(text);
            let [middle, low, high] = ["score", "score_low", "score_high"].map(score);
            vec![rank, owner, kind, subject, reach, middle, low, high, seen, id]
        };
        listing.push(cells, || (*priority).clone())?;
    }
    let of = chosen.map(|(start, _)| start.as_str());
    let output = listing.end(&[("month", json!(of)), ("count", json!(found.len()))])?;
    if found.is_empty() && format == Format::Table {
        writeln!(output, "no priorities: a month is told of when the month after is over")?;
    }
    Ok(output.flush()?)
}
