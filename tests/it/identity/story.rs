//! A named story, told to the hub step by step: after each the feeds must be those of the oracle, whatever fails meanwhile.

use insight_hub::company::SourceEvent;
use serde_json::Value;

use super::{Clerk, Hub, Id, Ordered, START_MS, Said, id, touch};
use crate::{
    oracle::{Feeds, IDENTIFIER_TYPES},
    world::assert_truth,
};

/// Each story is told under so many schedules.
const SCHEDULES: u64 = 6;
/// Faults in each step of a schedule; the first schedule has none.
const FAULTS: u32 = 3;

pub struct Story {
    hub: Hub,
    clerk: Clerk,
    faults: u32,
    what: String,
    feeds: Feeds,
    steps: usize,
}

/// Tells a story under several schedules.
pub fn tell(story: impl Fn(&mut Story)) {
    for seed in 0..SCHEDULES {
        let (instances, faults) = if seed == 0 { (1, 0) } else { (3, FAULTS) };
        let mut told = Story {
            hub: Hub::new(seed, instances),
            clerk: Clerk::default(),
            faults,
            what: format!("schedule {seed}"),
            feeds: Feeds::default(),
            steps: 0,
        };
        story(&mut told);
    }
}

/// What a department sees: `event("shop", 1, 24, "page_viewed", "cookie:k email:ann@x.org")`.
pub fn event(department: &'static str, number: usize, hour: i64, kind: &str, identifiers: &str) -> SourceEvent {
    let identifiers: Vec<Id> = identifiers.split(' ').map(id).collect();
    touch(department, number, hour, kind, &identifiers)
}

impl Story {
    /// Departments say this, and the hub comes to rest.
    #[track_caller]
    pub fn seen(&mut self, events: &[SourceEvent]) {
        let said: Vec<Said> = events.iter().cloned().map(Said::Event).collect();
        self.step(&said);
    }

    /// An operator orders this, so many hours after the beginning.
    #[track_caller]
    pub fn ordered(&mut self, command: &str, hour: i64, order: Ordered) {
        let at_ms = START_MS + hour * super::HOUR_MS;
        self.step(&[Said::Command { id: command.to_owned(), order, at_ms }]);
    }

    #[track_caller]
    fn step(&mut self, said: &[Said]) {
        self.steps += 1;
        let what = format!("{}, step {}", self.what, self.steps);
        self.hub.tell(said);
        self.hub.simulation.add_faults(self.faults);
        self.clerk.hear(said);
        self.feeds = self.hub.rest(&what);
        assert_truth(&self.clerk.truth().feeds, &self.feeds, &what);
    }

    /// Everything that departments ever said.
    pub fn history(&self) -> Vec<SourceEvent> {
        self.clerk.events.clone()
    }

    /// Reason and field of each dead letter.
    pub fn letters(&self) -> Vec<(String, String)> {
        self.hub.letters()
    }

    pub fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    /// The id of the person whom an identifier names.
    pub fn person(&self, identifier: &str) -> Option<String> {
        let (rank, value) = id(identifier);
        let is_it = |state: &&Value| {
            state["identifier"]["type"] == IDENTIFIER_TYPES[rank] && state["identifier"]["value"] == value.as_str()
        };
        let found: Vec<&Value> = self.feeds.identities.values().filter(is_it).collect();
        assert!(found.len() < 2, "{identifier} is published twice: {found:?}");
        found.first().map(|state| state["person"].as_str().unwrap().to_owned())
    }

    /// How many touchpoints the record of an identifier's person counts.
    #[track_caller]
    pub fn touchpoints(&self, identifier: &str) -> u64 {
        let person = self.person(identifier).unwrap();
        self.feeds.customers[&person]["touchpoints"].as_u64().unwrap()
    }
}
