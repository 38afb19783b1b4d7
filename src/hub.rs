//! A configuration in; a hub that runs inside of your program out: append events, read feeds. For programs in Rust; others
//! reach the same hub through the socket in its data directory (`engine::log::access::socket`).
//!
//! ```
//! use std::time::Duration;
//! use insight_hub::{hub::Hub, engine::log::{access::NewRecord, outside::{FeedRead, Next, Span}}, settings::Settings};
//!
//! # let home = std::env::temp_dir().join(format!("insight-hub-library-{}", std::process::id()));
//! # std::fs::create_dir_all(home.join("spokes"))?;
//! # let text = |path: &std::path::Path| path.display().to_string();
//! std::fs::write(home.join("spokes/shop.toml"), r#"
//!     spoke = "shop"
//!     topic = "shop.orders"
//!     format = "json"
//!     id = "number"
//!     occurred_at = { path = "at", format = "rfc3339" }
//!     [kind]
//!     constant = "order_placed"
//!     [identifiers]
//!     customer_id = "who"
//! "#)?;
//! let set = |key: &str, value: String| (key.to_owned(), value);
//! let settings = Settings::load(None, &[
//!     set("hub.data_directory", text(&home.join("data"))),
//!     set("spokes.directory", text(&home.join("spokes"))),
//!     set("http.listen", "127.0.0.1:0".into()),
//! ], std::iter::empty())?;
//!
//! let hub = Hub::open(settings)?;
//! let order = br#"{"number": 1, "at": "2026-03-01T10:00:00Z", "who": "ann"}"#;
//! hub.append("shop.orders", &[NewRecord { value: Some(order), ..NewRecord::default() }])?;
//!
//! // From the oldest record on, and on for ever; here the first one is enough.
//! let mut customers = hub.feed("customers", Span { from_beginning: true, until_end: false })?;
//! let Next::Record(record) = customers.next(Duration::from_secs(60))? else { panic!("Ann does not come") };
//! let record: serde_json::Value = serde_json::from_slice(&record.value.unwrap_or_default())?;
//! assert_eq!(record["identifiers"]["customer_id"][0], "ann");
//! hub.stop()?;
//! # std::fs::remove_dir_all(&home)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    cli::{Failure, StopToken, embedded_options, run_until_stopped},
    engine::log::{
        LogError,
        access::{AccessError, Appended, Durability, LogAccess, NewRecord, socket::Remote},
        commit_log::Policy,
        embedded::AccessFeed,
        outside::Span,
    },
    settings::Settings,
    telemetry::Telemetry,
};

/// How long a hub may take to open its log.
const OPEN_WITHIN: Duration = Duration::from_secs(60);

/// Why a hub does not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// It could not start, or it stopped by itself: what happened, and what to do.
    #[error("{0}")]
    Stopped(Failure),
    /// The log refused.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A feed cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A hub without Kafka that runs on threads of this process until it is stopped or dropped.
pub struct Hub {
    running: Option<JoinHandle<Result<(), Failure>>>,
    stop: StopToken,
    telemetry: Telemetry,
    access: Arc<dyn LogAccess>,
    prefix: String,
    spoke_partitions: u32,
    spoke_policy: Policy,
}

impl Hub {
    /// Starts a hub on the log in `hub.data_directory`, whatever brokers the settings name, and waits until it can be reached.
    ///
    /// # Errors
    /// [`HubError::Stopped`] if it cannot start: another process uses the directory, a spoke is wrong, the address of
    /// `http.listen` is taken.
    pub fn open(settings: Settings) -> Result<Hub, HubError> {
        let mut settings = settings;
        settings.kafka.brokers = None;
        let (stop, telemetry) = (StopToken::default(), Telemetry::new());
        let directory = settings.hub.data_directory.clone();
        let prefix = settings.topics.prefix.clone();
        let spoke_partitions = u32::from(settings.embedded.spoke_partitions);
        let spoke_policy = embedded_options(&settings).spoke_policy();
        let (opened, is_open) = mpsc::channel();
        let running = {
            let (stop, telemetry) = (stop.clone(), telemetry.clone());
            thread::spawn(move || {
                // We wait for it below.
                run_until_stopped(&settings, &telemetry, &stop, |_| opened.send(()).unwrap_or_default())
            })
        };
        // Only once the log is ours is whoever answers in its directory our hub.
        let mut is_ours = is_open.recv().is_ok();
        let began = Instant::now();
        while is_ours && !running.is_finished() {
            if let Ok(Some(remote)) = Remote::connect(&directory) {
                let access: Arc<dyn LogAccess> = Arc::new(remote);
                return Ok(Hub {
                    running: Some(running),
                    stop,
                    telemetry,
                    access,
                    prefix,
                    spoke_partitions,
                    spoke_policy,
                });
            }
            thread::sleep(Duration::from_millis(5));
            is_ours = began.elapsed() < OPEN_WITHIN;
        }
        stop.request("it cannot be reached");
        Err(HubError::Stopped(ended(running)))
    }

    /// Appends records to a department's topic, all of them or none, and returns when they are in the log. A topic that is
    /// missing is made. A record whose `timestamp_ms` is 0 gets the time of the call: what a touchpoint's own time is compared
    /// with, so that a clock that is wrong does not move the hub into the future.
    ///
    /// # Errors
    /// [`HubError::Access`]; its variants say whether to try again.
    pub fn append(&self, topic: &str, records: &[NewRecord<'_>]) -> Result<Appended, HubError> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let stamped = |record: &NewRecord<'_>| match record.timestamp_ms {
            0 => now_ms,
            timestamp_ms => timestamp_ms,
        };
        let records: Vec<NewRecord<'_>> =
            records.iter().map(|record| NewRecord { timestamp_ms: stamped(record), ..*record }).collect();
        let records = records.as_slice();
        match self.access.append(topic, records, Durability::AsConfigured) {
            Err(AccessError::Mistaken { .. }) if !self.access.topics()?.iter().any(|known| known.name == topic) => {
                self.access.create_topic(topic, self.spoke_partitions, self.spoke_policy)?;
                Ok(self.access.append(topic, records, Durability::AsConfigured)?)
            }
            appended => Ok(appended?),
        }
    }

    /// Reads a feed by its word: `customers`, `touchpoints`, `metrics`, `catalogue` or `rejected`.
    ///
    /// # Errors
    /// [`HubError::Log`] if there is no such feed.
    pub fn feed(&self, name: &str, span: Span) -> Result<AccessFeed, HubError> {
        Ok(AccessFeed::open(Arc::clone(&self.access), &format!("{}{name}", self.prefix), span)?)
    }

    /// The log itself, for what else can be asked of it.
    pub fn log(&self) -> &Arc<dyn LogAccess> {
        &self.access
    }

    /// Its figures and its health.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Takes in what was begun, commits it and stops.
    ///
    /// # Errors
    /// [`HubError::Stopped`] if it had stopped by itself.
    pub fn stop(mut self) -> Result<(), HubError> {
        self.stop.request("its program stops it");
        match self.running.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(failure))) => Err(HubError::Stopped(failure)),
            Some(Err(_)) => Err(HubError::Stopped(Failure::panicked())),
        }
    }
}

impl Drop for Hub {
    /// As [`Hub::stop`], without an answer.
    fn drop(&mut self) {
        self.stop.request("its program ends");
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}

fn ended(running: JoinHandle<Result<(), Failure>>) -> Failure {
    match running.join() {
        Ok(Err(failure)) => failure,
        Ok(Ok(())) => Failure::ended(),
        Err(_) => Failure::panicked(),
    }
}
