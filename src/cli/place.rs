//! The configuration in; the place where the hub's topics are out: brokers, or a log in the data directory.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    exit::{Exit, Failure},
    hub, schemas,
    stop::StopToken,
    topics,
};
use crate::{
    engine::{
        log::{
            LogError,
            access::{LogAccess, socket::Remote},
            embedded::{AccessFeed, AccessRecords, AccessSpokes, EmbeddedOptions, Fsync, SharedLog},
            kafka::{FeedReader, KafkaOptions, RecordReader, SpokeWriter},
            outside::{CommittedRecord, FeedRead, Next, RecordRead, Span, SpokeAppend},
        },
        stage::Topology,
        topics::Ownership,
    },
    feeds::Feed,
    settings::{self, Settings},
    telemetry::Event,
    topology::{self, TopologyOptions},
};

/// How long a cluster may take to answer the first question.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a hub may take to open its socket after its log.
const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// Silence after which a reader is asked again.
pub(super) const IDLE_AFTER: Duration = Duration::from_millis(200);

/// Where the hub's topics are.
pub(super) enum Place {
    /// On brokers.
    Kafka(Box<KafkaOptions>),
    /// In a log of this process's own.
    Embedded(Arc<SharedLog>),
}

impl Place {
    /// The place that the configuration names. The embedded log is opened, and nobody else's until this is dropped.
    pub(super) fn of(settings: &Settings) -> Result<Place, Failure> {
        if is_embedded(settings) {
            return Ok(Place::Embedded(open(settings)?));
        }
        let kafka = hub::kafka_options(settings, hub::instance_id(settings)?)?;
        Ok(Place::Kafka(Box::new(kafka)))
    }

    /// Before a hub runs: creates what is missing of its topics, and refuses what does not fit. Returns the topology that
    /// knows how many partitions departments' topics have.
    pub(super) fn prepare(&self, settings: &Settings, mut options: TopologyOptions) -> Result<Topology, Failure> {
        let shared = match self {
            Place::Kafka(kafka) => return topics::prepare(settings, kafka, options),
            Place::Embedded(shared) => shared,
        };
        let (topology, _) = topology::topology(&options);
        let spokes = topology.topics.iter().filter(|(_, topic)| topic.ownership == Ownership::Spoke);
        options.spoke_partitions = spokes
            .map(|(_, topic)| {
                let partitions = shared.partitions(&topic.name);
                (topic.name.to_string(), partitions.unwrap_or(settings.embedded.spoke_partitions.into()))
            })
            .collect();
        let (topology, _) = topology::topology(&options);
        for index in shared.prepare(&topology.topics).map_err(|error| hub::log_failure(&error))? {
            let topic = topology.topics.get(index);
            options.telemetry.emit(Event::TopicCreated { topic: &topic.name, partitions: topic.partitions });
        }
        Ok(topology)
    }
}

/// The hub that runs in a data directory, if one does.
fn running(settings: &Settings) -> Result<Option<Remote>, Failure> {
    Remote::connect(&settings.hub.data_directory).map_err(hub::access_failure)
}

/// Waits for the socket of the hub of this process, which has the log's lock: nobody else can be serving there.
pub(super) fn wait_for_hub(settings: &Settings, stop: &StopToken) -> Result<Arc<dyn LogAccess>, Failure> {
    let began = Instant::now();
    while !stop.requested() && began.elapsed() < OPEN_WITHIN {
        if let Some(remote) = running(settings)? {
            return Ok(Arc::new(remote));
        }
        stop.wait(Duration::from_millis(5));
    }
    Err(Failure::ended())
}

/// The embedded log of the configuration's data directory, wherever it is open: in the hub that runs there, or else here,
/// which keeps a hub from starting until this is dropped.
pub(super) fn access(settings: &Settings) -> Result<Arc<dyn LogAccess>, Failure> {
    match running(settings)? {
        Some(remote) => Ok(Arc::new(remote)),
        None => Ok(Arc::new(open(settings)?.access())),
    }
}

/// Opens the embedded log in this process.
fn open(settings: &Settings) -> Result<Arc<SharedLog>, Failure> {
    hub::private_data_directory(settings)?;
    SharedLog::open(&log_directory(settings), embedded_options(settings)).map_err(|error| hub::log_failure(&error))
}

/// Everything that a topic holds now.
pub(super) const WHOLE: Span = Span { from_beginning: true, until_end: true };

/// The topic of operators' commands.
pub(super) fn commands_topic(settings: &Settings) -> String {
    format!("{}{}", settings.topics.prefix, topology::COMMANDS_SUFFIX)
}

/// The topic of a feed.
pub(super) fn topic_of(settings: &Settings, feed: Feed) -> String {
    format!("{}{}", settings.topics.prefix, feed.description().suffix)
}

/// A reader of a topic.
pub(super) fn feed(settings: &Settings, topic: &str, span: Span) -> Result<Box<dyn FeedRead>, Failure> {
    let failed = |error: LogError| hub::log_failure(&error);
    if !is_embedded(settings) {
        let kafka = hub::kafka_options(settings, "tail".to_owned())?;
        let application_id = &settings.hub.application_id;
        return Ok(Box::new(FeedReader::open(&kafka, application_id, topic, span, ANSWER_WITHIN).map_err(failed)?));
    }
    let access = access_of_topics(settings, span)?;
    Ok(Box::new(AccessFeed::open(access, topic, span).map_err(failed)?))
}

/// The embedded log for a reader of what is there already.
fn access_of_topics(settings: &Settings, span: Span) -> Result<Arc<dyn LogAccess>, Failure> {
    match running(settings)? {
        Some(remote) => Ok(Arc::new(remote)),
        None if !log_directory(settings).is_dir() => Err(Failure::new(
            Exit::Failure,
            format!("no hub has run in {} yet", settings.hub.data_directory.display()),
            "start one with `insight-hub run`, name its directory with --data-directory, or name brokers with --brokers",
        )),
        // Nothing would ever come, and no hub could start while we have its log.
        None if !span.until_end => Err(Failure::new(
            Exit::Failure,
            format!("no hub runs in {}: nothing new comes", settings.hub.data_directory.display()),
            "start one with `insight-hub run`, or add --until-end to see what is there",
        )),
        None => Ok(Arc::new(open(settings)?.access())),
    }
}

/// What a replay of dead letters needs. The embedded log is opened once for all of it.
pub(super) struct ForReplay {
    /// All dead letters.
    pub letters: Box<dyn FeedRead>,
    /// Records of departments' topics.
    pub records: Box<dyn RecordRead>,
    /// A way to departments' topics, where one is asked for.
    pub appender: Option<Box<dyn SpokeAppend>>,
}

/// Everything that a topic of dead letters holds now, and ways from departments' topics and to them.
pub(super) fn for_replay(settings: &Settings, topic: &str, name: &str, sends: bool) -> Result<ForReplay, Failure> {
    let failed = |error: LogError| hub::log_failure(&error);
    if !is_embedded(settings) {
        let kafka = hub::kafka_options(settings, name.to_owned())?;
        return Ok(ForReplay {
            letters: feed(settings, topic, WHOLE)?,
            records: Box::new(RecordReader::connect(&kafka, &settings.hub.application_id).map_err(failed)?),
            appender: if sends { Some(appender(settings, name)?) } else { None },
        });
    }
    let access = access_of_topics(settings, WHOLE)?;
    Ok(ForReplay {
        letters: Box::new(AccessFeed::open(Arc::clone(&access), topic, WHOLE).map_err(failed)?),
        records: Box::new(AccessRecords(Arc::clone(&access))),
        appender: sends.then(|| Box::new(spokes_of(settings, access)) as Box<dyn SpokeAppend>),
    })
}

fn spokes_of(settings: &Settings, access: Arc<dyn LogAccess>) -> AccessSpokes {
    let policy = embedded_options(settings).spoke_policy();
    AccessSpokes::new(access, u32::from(settings.embedded.spoke_partitions), policy)
}

/// Hands over every record of a reader that was opened to stop at the end.
pub(super) fn read_whole(
    log: &mut dyn FeedRead,
    each: &mut dyn FnMut(CommittedRecord) -> Result<(), Failure>,
) -> Result<(), Failure> {
    loop {
        match log.next(IDLE_AFTER).map_err(|error| hub::log_failure(&error))? {
            Next::Record(record) => each(record)?,
            Next::Idle => {}
            Next::End => return Ok(()),
        }
    }
}

/// Hands over every record of a feed as it is now: key and decoded value, `None` for a tombstone.
pub(super) fn read_feed(
    settings: &Settings,
    feed: Feed,
    each: &mut dyn FnMut(&str, Option<Value>),
) -> Result<(), Failure> {
    let mut log = self::feed(settings, &topic_of(settings, feed), WHOLE)?;
    let reader = schemas::reader(settings, feed)?;
    read_whole(&mut *log, &mut |record| {
        let value = record.value.as_deref().map(|value| reader.read_with(value, &record.headers)).transpose();
        each(&String::from_utf8_lossy(&record.key), value.map_err(hub::foreign_value)?);
        Ok(())
    })
}

/// A way to departments' topics. `name`: of the command, for the brokers' logs.
pub(super) fn appender(settings: &Settings, name: &str) -> Result<Box<dyn SpokeAppend>, Failure> {
    if is_embedded(settings) {
        return Ok(Box::new(spokes_of(settings, access(settings)?)));
    }
    let kafka = hub::kafka_options(settings, name.to_owned())?;
    let writer = SpokeWriter::connect(&kafka, &settings.hub.application_id);
    Ok(Box::new(writer.map_err(|error| hub::log_failure(&error))?))
}

/// Whether the hub keeps its own log.
pub(super) fn is_embedded(settings: &Settings) -> bool {
    settings.kafka.brokers.is_none()
}

/// Where the embedded log lies.
pub(super) fn log_directory(settings: &Settings) -> PathBuf {
    settings.hub.data_directory.join("log")
}

/// How the embedded log is kept.
pub(crate) fn embedded_options(settings: &Settings) -> EmbeddedOptions {
    let embedded = &settings.embedded;
    let kept_hours = u64::from(embedded.spoke_retention_hours);
    EmbeddedOptions {
        fsync: match embedded.fsync {
            settings::Fsync::Commit => Fsync::Commit,
            settings::Fsync::Interval => Fsync::Interval(Duration::from_millis(embedded.fsync_interval_ms.into())),
            settings::Fsync::Never => Fsync::Never,
        },
        segment_bytes: embedded.segment_bytes,
        reserved_bytes: embedded.reserved_bytes,
        spoke_retention: (kept_hours > 0).then(|| Duration::from_secs(kept_hours * 3_600)),
        reserved_names: vec![settings.topics.prefix.clone(), format!("{}-", settings.hub.application_id)],
        // What others than the engine write to, although the hub made it.
        inputs: vec![commands_topic(settings), topic_of(settings, Feed::Audit)],
        unread: vec![topic_of(settings, Feed::Audit)],
    }
}
