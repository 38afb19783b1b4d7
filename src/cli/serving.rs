//! The configuration and the place of the topics in; the view and the API over it, as long as the hub runs, out.

use std::{net::SocketAddr, path::Path, sync::Arc, thread::JoinHandle, time::Duration};

use serde_json::Value;

use super::{
    access,
    exit::{Exit, Failure},
    export_person, hub,
    place::{self, Place},
    schemas,
};
use crate::{
    engine::{
        log::{
            LogError,
            commit_log::Policy,
            embedded::{AccessFollow, AccessSpokes, SharedLog},
            kafka::{Follower, KafkaOptions, SpokeWriter},
            outside::{Follow, Followed, SpokeAppend},
        },
        topics::ErasedWithin,
    },
    feeds::{Feed, FeedFormat},
    ingest::LiveSpokes,
    metrics::catalogue::CATALOGUE,
    model::PersonKey,
    serve::{
        Board, Server, Shown,
        audit::{AuditDesk, AuditTrail},
        http::{ApiOptions, GatherPerson, IngestLimits, Ungathered},
        room::Rooms,
        tls::Tls,
        view::{Following, Progress, Subscribe, View, ViewError, ViewOptions},
        writing::{Door, WritingDesk},
    },
    settings::Settings,
    telemetry::Telemetry,
    topology,
};

/// How long a cluster may take to say where the feeds end.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The feeds, wherever they are.
struct Feeds {
    prefix: String,
    application_id: String,
    log: Log,
    /// Partitions of a department's topic that is made, and what is given up of it.
    spoke_partitions: u32,
    spoke_policy: Policy,
}

enum Log {
    Kafka(Box<KafkaOptions>),
    Embedded(Arc<SharedLog>),
}

impl Subscribe for Feeds {
    fn topic(&self, feed: Feed) -> String {
        format!("{}{}", self.prefix, feed.description().suffix)
    }

    fn follow(&self, followed: &[Followed]) -> Result<Box<dyn Follow>, LogError> {
        Ok(match &self.log {
            Log::Kafka(options) => Box::new(Follower::open(options, &self.application_id, followed, ANSWER_WITHIN)?),
            Log::Embedded(shared) => Box::new(AccessFollow::open(Arc::new(shared.access()), shared.id(), followed)?),
        })
    }
}

impl AuditTrail for Feeds {
    fn topic(&self) -> String {
        Subscribe::topic(self, Feed::Audit)
    }

    fn source(&self) -> String {
        self.application_id.clone()
    }

    fn open(&self) -> Result<Box<dyn SpokeAppend>, LogError> {
        Ok(match &self.log {
            Log::Kafka(options) => Box::new(SpokeWriter::connect(options, &self.application_id)?),
            Log::Embedded(shared) => {
                // The topic is there: the hub makes its own before it begins.
                Box::new(AccessSpokes::new(Arc::new(shared.access()), 1, Policy::Keep))
            }
        })
    }
}

impl Door for Feeds {
    fn commands_topic(&self) -> String {
        format!("{}{}", self.prefix, topology::COMMANDS_SUFFIX)
    }

    fn open(&self) -> Result<Box<dyn SpokeAppend>, LogError> {
        Ok(match &self.log {
            Log::Kafka(options) => Box::new(SpokeWriter::connect(options, &self.application_id)?),
            Log::Embedded(shared) => {
                let access = Arc::new(shared.access());
                Box::new(AccessSpokes::new(access, self.spoke_partitions, self.spoke_policy).by_key())
            }
        })
    }
}

/// Gathers what is kept of a person as `insight-hub export-person` does.
struct Persons(Settings);

impl GatherPerson for Persons {
    fn gather(&self, text: &str) -> Result<Option<Value>, Ungathered> {
        let gathered = export_person::gathered(&self.0, text).map_err(|failure| {
            tracing::error!("what is kept of a person cannot be gathered: {}; {}", failure.happened, failure.next);
            Ungathered
        })?;
        Ok(gathered.map(|(_, document)| document))
    }
}

/// The view and the API over it.
pub(super) struct Serving {
    view: Arc<View>,
    audit: AuditDesk,
    auditing: JoinHandle<()>,
    writing: WritingDesk,
    written: JoinHandle<()>,
    following: Following,
    server: Server,
    tls: Option<Tls>,
}

impl Serving {
    /// Starts both, if the configuration has an address for them.
    pub(super) fn start(
        settings: &Settings,
        person_key: &PersonKey,
        place: &Place,
        telemetry: &Telemetry,
    ) -> Result<Option<Serving>, Failure> {
        let path = settings.hub.data_directory.join("view");
        let Some(listen) = settings.serve.listen else {
            forget(&path)?;
            return Ok(None);
        };
        let tokens_file = settings.serve.tokens_file(&settings.hub);
        let inside = access::is_open_inside(settings, listen)?;
        let (issuer, tls) = (access::issuer(settings)?, access::tls(settings, telemetry)?);
        hub::private_data_directory(settings)?;
        let within = ErasedWithin::ms(settings.topics.erased_within_ms());
        let options = ViewOptions {
            cache_bytes: settings.serve.cache_bytes,
            source: source(settings),
            deletions_kept_ms: within.feed_deletions_kept_ms(),
            retention_ms: settings.topics.rejected_retention_ms(),
        };
        let known = schemas::schemas(settings, schemas::unwatched())
            .map_err(|problem| Failure::new(Exit::Usage, problem, "correct the sections [schemas] and [registry]"))?;
        let opened = View::open(&path, options, hub::now_ms()).map(|view| Arc::new(view.reading(&known)));
        let view = opened.map_err(|error| {
            Failure::new(
                Exit::Failure,
                format!("the view in {} cannot be opened: {error}", path.display()),
                "make the folder usable; it may be removed while no hub runs: the feeds are read again",
            )
        })?;
        let log = match place {
            Place::Kafka(options) => Log::Kafka(options.clone()),
            Place::Embedded(shared) => Log::Embedded(Arc::clone(shared)),
        };
        let application_id = settings.hub.application_id.clone();
        let feeds = Arc::new(Feeds {
            prefix: settings.topics.prefix.clone(),
            application_id,
            log,
            spoke_partitions: settings.embedded.spoke_partitions.into(),
            spoke_policy: place::embedded_options(settings).spoke_policy(),
        });
        let no_thread = |what: &str, error: std::io::Error| {
            Failure::new(Exit::Failure, format!("{what} cannot be kept: {error}"), "raise the limit of threads")
        };
        let (audit, auditing) =
            AuditDesk::start(feeds.clone()).map_err(|error| no_thread("who sees personal data", error))?;
        let (writing, written) = WritingDesk::start(feeds.clone(), telemetry.clone(), rooms(settings))
            .map_err(|error| no_thread("what comes over the API", error))?;
        let options = ApiOptions {
            tokens_file,
            inside,
            issuer,
            tls: tls.clone(),
            requests_per_second: settings.serve.requests_per_second,
            concurrent_requests: settings.serve.concurrent_requests as usize,
            streams_per_caller: settings.serve.streams_per_token as usize,
            request_timeout: Duration::from_millis(settings.serve.request_timeout_ms.into()),
            rules: hub::identifier_rules(settings),
            names: hub::names(settings, person_key),
            person_key: person_key.clone(),
            currency: settings.metrics.currency().expect("settings are valid once they are loaded"),
            calendar: settings.calendar()?,
            audit: audit.clone(),
            writing: writing.clone(),
            ingestion: IngestLimits {
                body_bytes_max: settings.serve.ingest_body_bytes_max as usize,
                items_max: settings.serve.ingest_items_max as usize,
            },
            erased_within_ms: within.whole_ms(),
            telemetry: telemetry.clone(),
            gather: Arc::new(Persons(settings.clone())),
            feeds: feeds.clone(),
            now_ms: hub::now_ms,
        };
        let server = Server::api(listen, Arc::clone(&view), options).map_err(|error| {
            Failure::new(Exit::Failure, error.to_string(), "free the address, or set another one in serve.listen")
        })?;
        let following = Following::start(Arc::clone(&view), feeds, hub::now_ms);
        let following = following.map_err(|error| no_thread("the view", error))?;
        tracing::info!(address = %server.address(), "the API and the dashboard are open");
        Ok(Some(Serving { view, audit, auditing, writing, written, following, server, tls }))
    }

    /// Where the API and the dashboard are.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What makes its connections TLS, if something does.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// How far the view is.
    pub(super) fn progress(&self) -> Progress {
        self.view.progress().clone()
    }

    /// The newest values of the company's metrics, if they are to be among the figures.
    pub(super) fn board(&self, settings: &Settings) -> Option<Arc<Board>> {
        let shown = CATALOGUE.iter().map(|metric| Shown {
            metric: metric.id,
            unit: metric.unit,
            is_money: metric.per_currency || metric.currencies_within,
        });
        let currency = settings.metrics.currency.clone();
        settings.http.company_values.then(|| Arc::new(Board::new(Arc::clone(&self.view), shown.collect(), currency)))
    }

    /// Leaves nothing on the disk that the feeds no longer have.
    pub(super) fn clean_thoroughly(&self, now_ms: i64) -> Result<(), ViewError> {
        self.view.clean_thoroughly(now_ms)
    }

    /// The hub is about to begin: its topics are there, it writes feeds in this format, and maps with these.
    pub(super) fn begin(&self, format: FeedFormat, spokes: &Arc<LiveSpokes>) {
        self.audit.begin(format);
        self.writing.begin(Arc::clone(spokes));
    }

    /// Ends both.
    pub(super) fn stop(self) {
        self.server.stop();
        self.following.stop();
        drop((self.audit, self.writing));
        // With the last desk; the server's was dropped with it. A panic has been reported by its hook.
        let _ = (self.auditing.join(), self.written.join());
    }
}

/// For what waits to be stored: three quarters of it are the most that one token may have, and room for one body at least.
fn rooms(settings: &Settings) -> Rooms {
    let all = settings.serve.ingest_waiting_bytes;
    Rooms::new(all, (all - all / 4).max(2 * settings.serve.ingest_body_bytes_max))
}

/// What tells the feeds of this hub from others.
fn source(settings: &Settings) -> String {
    let brokers = match place::is_embedded(settings) {
        true => "embedded".to_owned(),
        false => settings.kafka.brokers.clone().unwrap_or_default(),
    };
    format!("{}* on {brokers}", settings.topics.prefix)
}

/// What was kept for an API that is not wanted any more goes: no erasure would reach it.
fn forget(view: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(view) {
        Ok(()) => tracing::info!(path = %view.display(), "removed the view: there is no API any more"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            let happened = format!("the view in {} cannot be removed: {error}", view.display());
            return Err(Failure::new(Exit::Failure, happened, "remove it: without the API no erasure reaches it"));
        }
    }
    Ok(())
}
