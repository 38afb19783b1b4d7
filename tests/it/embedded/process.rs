//! The program itself on an embedded log, and departments that reach it through its socket.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use insight_hub::{
    company::SourceEvent,
    engine::log::{
        access::{AccessError, Durability, LogAccess, NewRecord, socket::Remote},
        commit_log::Policy,
        embedded::AccessFeed,
        outside::{CommittedRecord, FeedRead as _, Next, Span},
    },
};

use serde_json::Value;

use crate::{
    harness::{
        kafka::free_port,
        process::{Hub, HubCommand},
    },
    oracle::{Expected, Feeds, compare},
    world::{PERSON_KEY, SCHEMAS, latest},
};

/// Partitions of a department's topic.
const PARTITIONS: u32 = 2;

/// A hub that runs, or was killed.
pub struct Running {
    pub hub: Hub,
    pub port: u16,
    data: PathBuf,
}

/// The program with its configuration; `more`: further keys as `section.key=value`.
pub fn command(name: &str, data: Option<&Path>, more: &[&str]) -> (HubCommand, u16) {
    let port = free_port();
    let data = data.map_or("data".to_owned(), |path| path.display().to_string());
    let spokes = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/spokes");
    let configuration = format!(
        "[hub]\nworkers = 2\nperson_key_file = \"person.key\"\ndata_directory = \"{data}\"\n\
         [embedded]\nspoke_partitions = {PARTITIONS}\nsegment_bytes = 1048576\n\
         [topics]\ncustomers_partitions = 4\nmetrics_partitions = 2\nfeed_partitions = 2\n\
         [memory]\nunflushed_bytes = 1048576\n\
         [http]\nlisten = \"127.0.0.1:{port}\"\n[spokes]\ndirectory = \"{spokes}\"\n[schemas]\ndirectory = \"{SCHEMAS}\"\n"
    );
    let key: String = PERSON_KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut command = Hub::command(name).file("hub.toml", &configuration).file("person.key", &key);
    command = command.args(["--config", "hub.toml"]);
    for pair in more {
        command = command.args(["--set", pair]);
    }
    (command, port)
}

impl Running {
    pub fn start(name: &str, data: Option<&Path>, more: &[&str]) -> Self {
        let (command, port) = command(name, data, more);
        let data = data.map_or_else(|| command.directory().join("data"), Path::to_owned);
        Self { hub: command.args(["run"]).spawn(), port, data }
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The log, when the hub has opened it.
    pub fn connect(&mut self) -> Arc<dyn LogAccess> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            // A socket that a killed hub left refuses.
            if let Ok(Some(remote)) = Remote::connect(&self.data) {
                return Arc::new(remote);
            }
            assert!(self.hub.process.is_running(), "the hub has ended\n{}", self.hub.process.story());
            assert!(Instant::now() < deadline, "the hub does not open its socket\n{}", self.hub.process.story());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it tells Prometheus.
    pub fn metrics(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// The sum of a figure's samples.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let text = self.metrics()?;
        let samples = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' ')));
        let values: Vec<f64> = samples.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The touchpoints that have arrived, and what was rejected or skipped instead.
    pub fn taken(&self) -> u64 {
        let of = |outcome: &str, text: &str| -> u64 {
            let label = format!("outcome=\"{outcome}\"");
            let samples =
                text.lines().filter(|line| line.starts_with("insight_hub_outcomes_total{") && line.contains(&label));
            samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        let text = self.metrics().unwrap_or_default();
        ["accepted", "skipped", "rejected"].iter().map(|outcome| of(outcome, &text)).sum()
    }

    /// Waits until the feeds hold what they must.
    pub fn assert_becomes(&mut self, expected: &Expected, within: Duration) {
        let deadline = Instant::now() + within;
        loop {
            let access = self.connect();
            let differences = feeds(&access).map(|feeds| compare(&expected.feeds, &feeds));
            if differences.as_ref().is_ok_and(Vec::is_empty) {
                return;
            }
            if Instant::now() >= deadline {
                let shown: Vec<String> = differences.unwrap().iter().take(12).map(ToString::to_string).collect();
                panic!("the feeds do not become what they must:\n{}\n{}", shown.join("\n"), self.hub.process.story());
            }
            thread::sleep(Duration::from_millis(300));
        }
    }
}

/// Every record of a topic that is kept.
pub fn records(access: &Arc<dyn LogAccess>, topic: &str) -> Result<Vec<CommittedRecord>, String> {
    let whole = Span { from_beginning: true, until_end: true };
    let mut log = AccessFeed::open(Arc::clone(access), topic, whole).map_err(|error| error.to_string())?;
    let mut records = Vec::new();
    while let Next::Record(record) = log.next(Duration::ZERO).map_err(|error| error.to_string())? {
        records.push(record);
    }
    Ok(records)
}

/// The newest value of each key of a feed.
pub fn feed(access: &Arc<dyn LogAccess>, topic: &str) -> Result<BTreeMap<String, Value>, String> {
    Ok(latest(records(access, topic)?.into_iter().map(|record| (record.key, record.value))))
}

/// The feeds as a subscriber sees them.
pub fn feeds(access: &Arc<dyn LogAccess>) -> Result<Feeds, String> {
    let feed = |name: &str| feed(access, name);
    Ok(Feeds {
        customers: feed("insight.customers")?,
        touchpoints: feed("insight.touchpoints")?,
        identities: feed("insight.identities")?,
        alerts: feed("insight.alerts")?,
        metrics: feed("insight.metrics")?,
        journeys: feed("insight.journeys")?,
        attribution: feed("insight.attribution")?,
        drivers: feed("insight.drivers")?,
        priorities: feed("insight.priorities")?,
        changes: feed("insight.changes")?,
        balance: feed("insight.balance")?,
        parameters: crate::oracle::parameters(feed("insight.catalogue")?),
        scorecards: feed("insight.scorecards")?,
    })
}

/// Departments that append each event once, whatever happens to the hub: what an append did whose answer was lost is seen
/// in the topic.
#[derive(Default)]
pub struct Departments {
    /// Events of each topic that the hub has acknowledged.
    acknowledged: BTreeMap<String, u64>,
}

impl Departments {
    fn stored(access: &Arc<dyn LogAccess>, topic: &str) -> Result<u64, AccessError> {
        Ok(access.spans(topic)?.iter().map(|span| span.end).sum())
    }

    /// Appends events in small batches; `Err` when the hub went away, with how many of them were stored.
    pub fn append(&mut self, access: &Arc<dyn LogAccess>, events: &[SourceEvent]) -> Result<(), usize> {
        for (index, event) in events.iter().enumerate() {
            let topic = format!("{}.events", event.spoke);
            let record = NewRecord {
                timestamp_ms: event.timestamp_ms,
                key: Some(&event.key),
                value: Some(&event.payload),
                ..NewRecord::default()
            };
            let appended = access.append(&topic, &[record], Durability::AsConfigured);
            let appended = match appended {
                Err(AccessError::Mistaken { .. }) => access
                    .create_topic(&topic, PARTITIONS, Policy::Keep)
                    .and_then(|()| access.append(&topic, &[record], Durability::AsConfigured)),
                other => other,
            };
            match appended {
                Ok(_) => *self.acknowledged.entry(topic).or_default() += 1,
                Err(AccessError::Denied { reason } | AccessError::Mistaken { reason }) => panic!("{reason}"),
                Err(_) => return Err(index),
            }
        }
        Ok(())
    }

    /// After a crash: nothing that was acknowledged is missing. Returns whether `event`, whose answer was lost, is stored.
    pub fn check(&mut self, access: &Arc<dyn LogAccess>, event: Option<&SourceEvent>) -> bool {
        let mut is_stored = false;
        for (topic, acknowledged) in &mut self.acknowledged {
            let stored = Self::stored(access, topic).unwrap();
            let in_doubt = event.is_some_and(|event| *topic == format!("{}.events", event.spoke));
            assert!(stored >= *acknowledged, "{topic}: {acknowledged} were acknowledged, {stored} are there");
            assert!(stored <= *acknowledged + u64::from(in_doubt), "{topic}: {stored} of {acknowledged} are there");
            is_stored |= stored > *acknowledged;
            *acknowledged = stored;
        }
        is_stored
    }
}
