//! `insight-hub alerts …`: the feed of alerts in; what is open, or the word that somebody has seen one, out.

use std::{collections::BTreeMap, io::Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    exit::{Exit, Failure},
    identity,
    output::{Format, Listing},
    place,
};
use crate::{
    feeds::Feed,
    model::{AlertCause, AlertState, Order},
    settings::Settings,
};

/// Flags of `alerts`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct AlertsArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: AlertsAction,
}

/// What to do with alerts.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum AlertsAction {
    /// List what is open, the oldest first
    List {
        /// Of one department
        #[arg(long, value_name = "SPOKE")]
        owner: Option<String>,
        /// Of one cause
        #[arg(long, value_parser = cause)]
        cause: Option<AlertCause>,
        /// Only what nobody has seen (open), or what somebody has (acknowledged)
        #[arg(long, value_enum)]
        state: Option<Seen>,
        /// How they are shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Say that an alert was seen: it stays until its cause is over
    Acknowledge {
        /// Its id, 32 hexadecimal digits
        #[arg(value_name = "ID")]
        alert: String,
        /// Who has seen it, as everybody will read who subscribes to the feed
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
}

/// Whether somebody has seen an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Seen {
    /// Nobody.
    Open,
    /// Somebody.
    Acknowledged,
}

impl Seen {
    const fn word(self) -> &'static str {
        match self {
            Seen::Open => AlertState::Open.as_str(),
            Seen::Acknowledged => AlertState::Acknowledged.as_str(),
        }
    }
}

fn cause(word: &str) -> Result<AlertCause, String> {
    let known = || AlertCause::ALL.iter().map(|cause| cause.as_str()).collect::<Vec<_>>().join(", ");
    AlertCause::parse(word).ok_or_else(|| format!("one of {}", known()))
}

pub(super) fn execute(settings: &Settings, arguments: &AlertsArguments, output: &mut dyn Write) -> Result<(), Failure> {
    match &arguments.action {
        AlertsAction::List { owner, cause, state, output: format } => {
            let is_sought = |alert: &Value| {
                owner.as_ref().is_none_or(|owner| alert["owner"] == owner.as_str())
                    && cause.is_none_or(|cause| alert["cause"] == cause.as_str())
                    && state.is_none_or(|state| alert["state"] == state.word())
            };
            list(settings, &is_sought, *format, output)
        }
        AlertsAction::Acknowledge { alert, by } => {
            acknowledge(settings, alert, by.as_deref().unwrap_or_default(), output)
        }
    }
}

/// What is open, by key.
fn open(settings: &Settings) -> Result<BTreeMap<String, Value>, Failure> {
    let mut open = BTreeMap::new();
    place::read_feed(settings, Feed::Alerts, &mut |key, value| match value {
        Some(value) if value["state"] != AlertState::Closed.as_str() => drop(open.insert(key.to_owned(), value)),
        _ => drop(open.remove(key)),
    })?;
    Ok(open)
}

fn text<'a>(alert: &'a Value, field: &str) -> &'a str {
    alert[field].as_str().unwrap_or_default()
}

/// A day as the feed's format writes it: a text, or days since 1970.
pub(super) fn day(since: &Value) -> String {
    match since.as_i64().and_then(|days| i32::try_from(days).ok()) {
        Some(days) => crate::model::Day(days).to_string(),
        None => since.as_str().unwrap_or_default().to_owned(),
    }
}

/// What it is about, in a cell: a thing or a metric, and figures.
fn about(alert: &Value) -> String {
    let mut words = Vec::new();
    if let Some(metric) = alert["metric"].as_object() {
        let part = |name: &str| metric.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut series = part("id").to_owned();
        for (name, value) in [(part("dimension"), part("dimension_value")), ("currency", part("currency"))] {
            if !value.is_empty() {
                series.extend([" ", name, "=", value]);
            }
        }
        if let Some(start) = metric.get("window").and_then(|window| window.get("start")) {
            series.extend([" week from ", &day(start)]);
        }
        words.push(series);
    }
    if let Some(thing) = alert["thing"].as_object() {
        let part = |name: &str| thing.get(name).and_then(Value::as_str).unwrap_or_default();
        words.push(format!("{}:{}", part("type"), part("value")));
    }
    let figures = alert["figures"].as_object().into_iter().flatten();
    words.extend(figures.map(|(name, figure)| format!("{name} {figure}")));
    words.extend(alert["test"].as_str().map(str::to_owned));
    words.join(", ")
}

fn list(
    settings: &Settings,
    is_sought: &dyn Fn(&Value) -> bool,
    format: Format,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let mut alerts: Vec<Value> = open(settings)?.into_values().filter(|alert| is_sought(alert)).collect();
    alerts.sort_by_cached_key(|alert| (day(&alert["since"]), text(alert, "id").to_owned()));
    let header = ["since", "cause", "owner", "state", "person", "about", "id"];
    let mut listing = Listing::new(format, "alerts", &header, output);
    for alert in &alerts {
        let cells = || {
            let words = ["cause", "owner", "state", "person"].map(|field| text(alert, field).to_owned());
            let mut cells = vec![day(&alert["since"])];
            cells.extend(words);
            cells.extend([about(alert), text(alert, "id").to_owned()]);
            cells
        };
        listing.push(cells, || alert.clone())?;
    }
    let output = listing.end(&[("count", json!(alerts.len()))])?;
    if alerts.is_empty() && format == Format::Table {
        writeln!(output, "no alerts")?;
    }
    Ok(output.flush()?)
}

fn acknowledge(settings: &Settings, alert: &str, by: &str, output: &mut dyn Write) -> Result<(), Failure> {
    let order = Order::acknowledge(alert, by)?;
    if !open(settings)?.values().any(|open| text(open, "id").eq_ignore_ascii_case(alert)) {
        let next = "see what is open with `insight-hub alerts list`";
        return Err(Failure::new(Exit::Failure, "no alert with that id is open", next));
    }
    identity::command(settings, None, order, output)
}
