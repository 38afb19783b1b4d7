//! A seed and the time in; the company's events in the topics of its departments out, from where they were left.

use std::{collections::BTreeMap, iter::Peekable, path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{DemoArguments, STORY_TAKES};
use crate::{
    cli::{
        exit::{Exit, Failure},
        hub, private,
    },
    company::{Chapter, Company, CompanyOptions, SalesFormat, Story},
    engine::log::{access::LogAccess, commit_log::Policy, embedded::AccessSpokes, outside::SpokeAppend as _},
};

/// Partitions of a department's topic.
pub(super) const PARTITIONS: u32 = 2;
/// What happened in a second is sent in so many parts at most.
const EVENTS_AT_ONCE: u64 = 2_000;
/// Enough for every effect of the story to be seen.
const TOUCHPOINTS: u64 = 300_000;
const STORY: Story = Story::NineMonths;

/// What a directory was begun with, so that it goes on with the same company.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Begun {
    seed: u64,
    touchpoints: u64,
}

/// Sends the events of the company.
pub(super) struct Feeder {
    company: Peekable<Company>,
    chapters: Vec<Chapter>,
    spokes: AccessSpokes,
    /// Events of each department that are in its topic already.
    known: BTreeMap<&'static str, u64>,
    fed: BTreeMap<&'static str, u64>,
    /// Events sent in this run, and how many are to be sent in it.
    sent: u64,
    limit: u64,
    /// Per second; `None`: as fast as it goes.
    pace: Option<f64>,
    today_ms: Option<i64>,
    went_on: bool,
}

impl Feeder {
    pub(super) fn open(access: &Arc<dyn LogAccess>, home: &Path, arguments: &DemoArguments) -> Result<Feeder, Failure> {
        let begun = begun(home, arguments)?;
        let options = CompanyOptions {
            seed: begun.seed,
            customers: STORY.customers(begun.touchpoints),
            touchpoints: begun.touchpoints,
            days: STORY.days(),
            sales: SalesFormat::Avro,
            story: Some(STORY),
            ..CompanyOptions::default()
        };
        let company = Company::new(options);
        let mut known = BTreeMap::new();
        for topic in access.topics().map_err(hub::access_failure)? {
            let spoke = crate::company::SPOKES.iter().find(|spoke| topic.name == topic_of(spoke));
            if let Some(spoke) = spoke {
                let spans = access.spans(&topic.name).map_err(hub::access_failure)?;
                known.insert(*spoke, spans.iter().map(|span| span.end).sum());
            }
        }
        let limit = arguments.once.unwrap_or(u64::MAX);
        let pace = match (arguments.once, arguments.pace) {
            (Some(_), None) | (_, Some(0)) => None,
            (_, Some(pace)) => Some(f64::from(pace)),
            // A count of events is far below 2^53.
            (None, None) => Some(begun.touchpoints as f64 / STORY_TAKES.as_secs_f64()),
        };
        Ok(Feeder {
            chapters: company.chapters().to_vec(),
            company: company.peekable(),
            spokes: AccessSpokes::new(Arc::clone(access), PARTITIONS, Policy::Keep),
            went_on: known.values().any(|count| *count > 0),
            fed: known.clone(),
            known,
            sent: 0,
            limit,
            pace,
            today_ms: None,
        })
    }

    pub(super) fn chapters(&self) -> Vec<Chapter> {
        self.chapters.clone()
    }

    /// Whether the directory had a part of the story already.
    pub(super) fn went_on(&self) -> bool {
        self.went_on
    }

    /// Events in each department's topic.
    pub(super) fn fed(&self) -> &BTreeMap<&'static str, u64> {
        &self.fed
    }

    /// When the last event arrived, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) fn today(&self) -> Option<i64> {
        self.today_ms
    }

    /// The topics that have events.
    pub(super) fn topics(&self) -> impl Iterator<Item = String> {
        self.fed.keys().map(|spoke| topic_of(spoke))
    }

    /// Sends what is due after so much time; whether everything that is to be sent was.
    pub(super) fn advance(&mut self, elapsed: Duration) -> Result<bool, Failure> {
        let due = match self.pace {
            Some(pace) => ((pace * elapsed.as_secs_f64()) as u64).min(self.sent.saturating_add(EVENTS_AT_ONCE)),
            None => self.sent.saturating_add(EVENTS_AT_ONCE),
        };
        let due = due.min(self.limit);
        let log_failed = |error| hub::log_failure(&error);
        let mut is_over = false;
        while self.sent < due {
            let Some(event) = self.company.next() else {
                is_over = true;
                break;
            };
            self.today_ms = Some(event.timestamp_ms);
            // A department's events come in the same order again: those that it has are the first ones.
            let known = self.known.entry(event.spoke).or_default();
            if *known > 0 {
                *known -= 1;
                continue;
            }
            let topic = topic_of(event.spoke);
            self.spokes.send(&topic, Some(&event.key), &event.payload, event.timestamp_ms).map_err(log_failed)?;
            *self.fed.entry(event.spoke).or_default() += 1;
            self.sent += 1;
        }
        self.spokes.flush().map_err(log_failed)?;
        Ok(is_over || self.sent >= self.limit || self.company.peek().is_none())
    }
}

fn topic_of(spoke: &str) -> String {
    format!("{spoke}.events")
}

fn begun(home: &Path, arguments: &DemoArguments) -> Result<Begun, Failure> {
    let path = home.join("demo.json");
    let failed =
        |what: String| Failure::new(Exit::Failure, format!("{}: {what}", path.display()), "name another --directory");
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // The whole story at any size: what is shown of it must not be its first days.
            let touchpoints = arguments.touchpoints.or(arguments.once).unwrap_or(TOUCHPOINTS).max(1_000);
            let begun = Begun { seed: arguments.seed, touchpoints };
            let bytes = serde_json::to_vec(&begun).map_err(|error| failed(error.to_string()))?;
            private::replace(&path, &bytes).map_err(|error| failed(error.to_string()))?;
            Ok(begun)
        }
        Err(error) => Err(failed(error.to_string())),
    }
}
