//! The configuration as the options of the rooms: what `run`, `check`, `topics` and `rebuild` build the hub from.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, Hasher, RandomState},
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    exit::{Exit, Failure},
    place, private, schemas,
    stop::StopToken,
};
use crate::{
    customers::{self, FoldOptions, JourneyOptions},
    engine::{
        log::LogError, log::access::AccessError, log::kafka::KafkaOptions, stage::StageError, topics::ErasedWithin,
        worker::WorkerOptions,
    },
    feeds::{self, Names},
    ingest::{self, LiveSpokes, Spoke, SpokeFile, SpokeSet, segments::Segments, trial::Trial},
    links::Rules,
    metrics,
    model::{Calendar, IdentifierRules, IdentifierType, PersonKey, Segmenting},
    settings::{ClientRole, FeedFormat, PublishedIdentifiers, Settings},
    telemetry::Telemetry,
    topology::TopologyOptions,
    wire::{Schemas, registry::RegistryWatcher},
};

/// Limits that hold for every spoke.
pub(super) fn ingest_options(settings: &Settings) -> ingest::Options {
    ingest::Options {
        too_far_in_future_ms: i64::from(settings.time.too_far_in_future_seconds) * 1_000,
        message_bytes_max: usize::try_from(settings.spokes.message_bytes_max).unwrap_or(usize::MAX),
        identifiers: identifier_rules(settings),
    }
}

fn wrong(happened: String) -> Failure {
    Failure::new(Exit::Usage, happened, "correct it; `insight-hub check` shows the first mistake of each file")
}

/// Every spoke of the folder, compiled. Any that is wrong is an error that names it.
pub(super) fn spokes(settings: &Settings) -> Result<SpokeSet, Failure> {
    spokes_watched(settings, schemas::unwatched())
}

/// The same; `watcher` hears of the schema registry.
fn spokes_watched(settings: &Settings, watcher: RegistryWatcher) -> Result<SpokeSet, Failure> {
    let schemas = schemas::schemas(settings, watcher).map_err(wrong)?;
    let compiled = compiled_spokes(settings, &schemas)?.into_iter().map(|compiled| compiled.spoke);
    SpokeSet::new(compiled).map_err(|error| wrong(error.to_string()))
}

/// A file of the folder of spokes.
pub(super) struct Compiled {
    pub file: PathBuf,
    pub spoke: Spoke,
    /// The tests in it, which were not run.
    pub tests: Vec<Trial>,
}

/// Every file of the folder of spokes, by name. Any that is wrong is an error that names it. `schemas`: those that
/// messages may be written with.
pub(super) fn compiled_spokes(settings: &Settings, schemas: &Arc<Schemas>) -> Result<Vec<Compiled>, Failure> {
    let directory = &settings.spokes.directory;
    let unreadable = |error: std::io::Error| wrong(format!("the folder of spokes, {}: {error}", directory.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(wrong(format!("the folder of spokes, {}, has no .toml file", directory.display())));
    }
    let mut compiled = Vec::new();
    for file in paths {
        let text = std::fs::read_to_string(&file).map_err(unreadable)?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (spoke, tests) = SpokeFile::parse(&name, &text)
            .and_then(|parsed| Ok((Spoke::compile(&parsed, ingest_options(settings), schemas)?, parsed.tests)))
            .map_err(|error| wrong(format!("{}: {error}", file.display())))?;
        compiled.push(Compiled { file, spoke, tests });
    }
    Ok(compiled)
}

/// How identifiers are compared.
pub(super) fn identifier_rules(settings: &Settings) -> IdentifierRules {
    settings.identity.rules().expect("settings are valid once they are loaded")
}

/// How the feeds write identifiers.
pub(super) fn names(settings: &Settings, person_key: &PersonKey) -> Names {
    match settings.identity.publish {
        PublishedIdentifiers::Clear => Names::Clear,
        PublishedIdentifiers::Hashed => Names::Hashed(Arc::new(person_key.clone())),
    }
}

/// What links people.
pub(super) fn link_rules(settings: &Settings) -> Rules {
    let identity = &settings.identity;
    let whole = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let own = identity.own_types().expect("settings are valid once they are loaded");
    let mut rules = Rules::without_limits()
        .with_own_types(&own.keys().copied().collect::<Vec<_>>())
        .with_shared_above(whole(identity.shared_above))
        .with_component_max(whole(identity.component_max));
    for (kind, limit) in identity.limits() {
        if let Some(kind) = IdentifierType::parse(kind) {
            rules = rules.with_limit(kind, (limit > 0).then_some(limit));
        }
    }
    for (kind, limit) in own {
        rules = rules.with_limit(kind, (limit > 0).then_some(limit));
    }
    for kind in identity.unique().filter_map(IdentifierType::parse) {
        rules = rules.with_unique(kind);
    }
    rules
}

/// What the fold of a timeline depends on.
pub(super) fn fold_options(settings: &Settings, calendar: &Calendar) -> Result<FoldOptions, Failure> {
    let milliseconds = |seconds: u32| i64::from(seconds) * 1_000;
    let segments = Segments::parse(&settings.metrics.segments).map_err(|problem| {
        Failure::new(
            Exit::Usage,
            format!("metrics.segments: {problem}"),
            "mend it; README, \"Segments\", has the names",
        )
    })?;
    Ok(FoldOptions {
        calendar: calendar.clone(),
        on_time_tolerance_ms: milliseconds(settings.metrics.on_time_tolerance_seconds),
        unanswered_target_ms: milliseconds(settings.metrics.unanswered_target_seconds),
        acquisition_spokes: settings.metrics.acquisition_spokes().map(str::to_owned).collect(),
        contact_cap: settings.metrics.contact_cap.into(),
        currency: settings.metrics.currency().expect("settings are valid once they are loaded"),
        journeys: JourneyOptions {
            goals: settings.journeys.goals().expect("settings are valid once they are loaded").into(),
            expire_after_ms: i64::from(settings.journeys.expire_after_days) * 86_400_000,
            steps_max: settings.journeys.steps_max,
        },
        segments: segments.map(|segments| Arc::new(segments) as Arc<dyn Segmenting>),
    })
}

/// The options of the topology.
pub(super) fn topology_options(
    settings: &Settings,
    person_key: PersonKey,
    telemetry: &Telemetry,
) -> Result<TopologyOptions, Failure> {
    let calendar = settings.calendar()?;
    let customers_partitions = i32::from(settings.topics.customers_partitions);
    let links = link_rules(settings);
    let milliseconds = |seconds: u32| i64::from(seconds) * 1_000;
    Ok(TopologyOptions {
        application_id: settings.hub.application_id.clone(),
        spokes: Arc::new(LiveSpokes::new(spokes_watched(settings, schemas::watched(telemetry))?)),
        spoke_partitions: BTreeMap::new(),
        person_key: person_key.clone(),
        customers_partitions,
        metrics_partitions: i32::from(settings.topics.metrics_partitions),
        feed_partitions: i32::from(settings.topics.feed_partitions),
        feed_prefix: settings.topics.prefix.clone(),
        feed_format: feed_format(settings),
        touchpoints_feed: settings.topics.touchpoints_feed,
        names: names(settings, &person_key),
        rejected_retention_ms: settings.topics.rejected_retention_ms(),
        erased_within: ErasedWithin::ms(settings.topics.erased_within_ms()),
        allowed_disorder_ms: milliseconds(settings.time.allowed_disorder_seconds),
        customers: customers::Options {
            fold: fold_options(settings, &calendar)?,
            // A decoded head takes about 2 KiB.
            person_key,
            unique: links.unique().collect(),
            heads_max: (table_bytes(settings) / 2_048 / usize::from(settings.topics.customers_partitions)).max(1_000),
            ..customers::Options::default()
        },
        links,
        metrics: metrics::Options {
            grace_ms: milliseconds(settings.time.grace_seconds),
            stated: Arc::new(metrics::Stated {
                efforts: settings.analyses.efforts().expect("settings are valid once they are loaded"),
                limits: settings.analyses.limits().expect("settings are valid once they are loaded"),
            }),
            capacities: Arc::new(settings.analyses.capacities().expect("settings are valid once they are loaded")),
            currency: settings.metrics.currency().expect("settings are valid once they are loaded"),
            alerts_owner: settings.analyses.alerts_owner.trim().into(),
            dimension_values_max: settings.metrics.dimension_values_max as usize,
            ..metrics::Options::new(calendar.clone(), customers_partitions.unsigned_abs())
        },
        calendar,
        telemetry: telemetry.clone(),
    })
}

/// Registers the schemas of the feeds where their format needs it, and puts their ids into the options. Returns false if a
/// stop was requested while the registry did not answer.
pub(super) fn register_feeds(
    settings: &Settings,
    telemetry: &Telemetry,
    stop: &StopToken,
    options: &mut TopologyOptions,
) -> Result<bool, Failure> {
    if settings.topics.feed_format != FeedFormat::AvroRegistry {
        return Ok(true);
    }
    let ids = schemas::register(settings, telemetry, stop)?;
    if let Some(ids) = ids {
        options.feed_format = feeds::FeedFormat::AvroRegistry(ids);
    }
    Ok(ids.is_some())
}

fn table_bytes(settings: &Settings) -> usize {
    usize::try_from(settings.memory().table_bytes).unwrap_or(usize::MAX)
}

/// The options of every worker.
pub(super) fn worker_options(settings: &Settings) -> WorkerOptions {
    let workers = settings.hub.worker_threads();
    let bytes = |total: u64| usize::try_from(total).unwrap_or(usize::MAX);
    WorkerOptions {
        commit_interval: Duration::from_millis(settings.commit.interval_ms.into()),
        transaction_bytes_max: bytes(settings.commit.transaction_bytes_max),
        unflushed_bytes_max: (bytes(settings.memory().unflushed_bytes) / workers).max(1 << 20),
        idle_after: Duration::from_secs(settings.time.idle_partition_seconds.into()),
        ..WorkerOptions::default()
    }
}

/// How to reach Kafka, and as whom.
pub(super) fn kafka_options(settings: &Settings, instance_id: String) -> Result<KafkaOptions, Failure> {
    let mut warn = once(|warning| tracing::warn!("{warning}"));
    let mut properties = |role| settings.kafka.client_properties(role, &mut warn);
    Ok(KafkaOptions {
        consumer: properties(ClientRole::Consumer)?,
        producer: properties(ClientRole::Producer)?,
        admin: properties(ClientRole::Admin)?,
        static_membership: settings.hub.instance_id.is_some(),
        instance_id,
        session_timeout: Duration::from_millis(settings.kafka.session_timeout_ms.into()),
        transaction_timeout: Duration::from_millis(settings.kafka.transaction_timeout_ms.into()),
        compression: settings.topics.compression.as_str().to_owned(),
    })
}

/// Hands each warning on once: every role's client reads the same password.
fn once(mut warn: impl FnMut(String)) -> impl FnMut(String) {
    let mut known = BTreeSet::new();
    move |warning| {
        if known.insert(warning.clone()) {
            warn(warning);
        }
    }
}

/// The instance's name: as configured, or one that is made up once and kept in the data directory.
pub(super) fn instance_id(settings: &Settings) -> Result<String, Failure> {
    if let Some(id) = &settings.hub.instance_id {
        return Ok(id.clone());
    }
    let path = settings.hub.data_directory.join("instance-id");
    let failed = |error: std::io::Error| unusable_directory(settings, &error);
    private::directory(&settings.hub.data_directory).map_err(failed)?;
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        _ => {
            // Seeded by the system for every process: random enough to tell instances apart.
            let id = format!("{:016x}", RandomState::new().build_hasher().finish());
            std::fs::write(&path, &id).map_err(failed)?;
            Ok(id)
        }
    }
}

/// The file of the key of person ids in a data directory.
pub(super) const PERSON_KEY: &str = "person.key";

/// The key of person ids: as configured; a hub that keeps its own log makes one in its data directory when it begins.
pub(super) fn person_key(settings: &Settings) -> Result<PersonKey, Failure> {
    let mut hub = settings.hub.clone();
    if hub.person_key_file.is_none() && place::is_embedded(settings) {
        let path = hub.data_directory.join(PERSON_KEY);
        if make_key(&path).map_err(|error| unusable_directory(settings, &error))? {
            tracing::info!(file = %path.display(), "made the key of person ids; a backup of the data directory has it too");
        }
        hub.person_key_file = Some(path);
    }
    Ok(hub.person_key(&mut |warning| tracing::warn!("{warning}"))?)
}

/// Makes a file with a key of 256 bits, unless it is there. Whether it made one.
fn make_key(path: &Path) -> std::io::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    if let Some(directory) = path.parent() {
        private::directory(directory)?;
    }
    let mut key = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    // Half a key would be refused for ever.
    private::replace(path, digits.as_bytes())?;
    Ok(true)
}

/// Makes the data directory, if there is none.
pub(super) fn private_data_directory(settings: &Settings) -> Result<(), Failure> {
    private::directory(&settings.hub.data_directory).map_err(|error| unusable_directory(settings, &error))
}

fn unusable_directory(settings: &Settings, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failure,
        format!("the data directory {} cannot be used: {error}", settings.hub.data_directory.display()),
        "make it writable for this user, or set hub.data_directory",
    )
}

/// The wall clock in milliseconds since 1970-01-01T00:00:00Z.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// An engine's error as the command's.
pub(super) fn engine_failure(error: &StageError) -> Failure {
    match error {
        StageError::NotYet(text) => {
            Failure::new(Exit::Failure, text.clone(), "see whether the schema registry runs, and try again")
        }
        StageError::Generation(text) if text.contains("--from-sources") => {
            Failure::new(Exit::Generation, text.clone(), "it goes on where it was; nothing was changed by this command")
        }
        StageError::Generation(text) => {
            Failure::new(Exit::Generation, text.clone(), "run `insight-hub rebuild`, or go back to that configuration")
        }
        StageError::Placement(text) => Failure::new(
            Exit::Usage,
            text.clone(),
            "go back to the person key, the [identity], topics.customers_partitions and topics.metrics_partitions that it was \
             stored by, or start a new hub: another hub.application_id, an empty hub.data_directory, another topics.prefix",
        ),
        StageError::Log(error) => log_failure(error),
        StageError::Stop(text) => Failure::new(Exit::Failure, text.clone(), "see to the cause, then start again"),
    }
}

/// What an embedded log refuses, as the command's.
pub(super) fn access_failure(error: AccessError) -> Failure {
    Failure::new(Exit::Failure, error.to_string(), "see to the cause, then try again")
}

/// A value of a feed that cannot be read: another version of the hub wrote it, or somebody else.
pub(super) fn foreign_value(error: feeds::ReadError) -> Failure {
    Failure::new(Exit::Failure, error.to_string(), error.advice())
}

/// A log's error as the command's.
pub(super) fn log_failure(error: &LogError) -> Failure {
    let text = error.to_string();
    let unreachable = ["does not answer", "does not accept", "refuses this client", "is not trusted"];
    if unreachable.iter().any(|words| text.contains(words)) {
        return Failure::new(Exit::Unreachable, text, "see to the brokers, the address or the login, then start again");
    }
    Failure::new(Exit::Failure, text, "see to the cause, then start again")
}

/// How the values of feeds are written; a registry's ids are not known yet.
pub(super) fn feed_format(settings: &Settings) -> feeds::FeedFormat {
    match settings.topics.feed_format {
        FeedFormat::Json => feeds::FeedFormat::Json,
        FeedFormat::Avro => feeds::FeedFormat::AvroSingleObject,
        // Whoever publishes registers the schemas first, and puts their ids here.
        FeedFormat::AvroRegistry => feeds::FeedFormat::AvroRegistry(feeds::SchemaIds::default()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::settings::{Kafka, SaslMechanism, SecurityProtocol};

    #[test]
    fn every_client_reads_the_password_and_its_open_file_is_told_of_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("password");
        std::fs::write(&file, "s3cret").expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("its owner's");
        let kafka = Kafka {
            brokers: Some("localhost:9092".into()),
            security_protocol: SecurityProtocol::SaslSsl,
            sasl_mechanism: Some(SaslMechanism::Plain),
            username: Some("hub".into()),
            password_file: Some(file),
            ..Kafka::default()
        };
        let mut told = Vec::new();
        let mut warn = once(|warning| told.push(warning));
        for role in [ClientRole::Consumer, ClientRole::Producer, ClientRole::Admin] {
            let properties = kafka.client_properties(role, &mut warn).expect("a readable file");
            assert!(properties.contains(&("sasl.password".to_owned(), "s3cret".to_owned())));
        }
        drop(warn);
        assert_eq!(told.len(), 1, "{told:?}");
    }
}
