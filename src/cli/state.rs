//! `insight-hub state verify`, `backup` and `restore`: the directory of a hub that keeps its own log.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    exit::{Exit, Failure},
    hub,
    output::{Format, Steps, write_one},
    place::{self, Place},
    private,
    rest::Rest,
    run::{self, FolderDisks, Hub},
    stop::StopToken,
};
use crate::{
    engine::{
        log::{
            LogError,
            access::LogAccess,
            commit_log::{CommitLog, CommitLogError, Options, Policy, TopicPartition, files::real::RealFiles},
            embedded::{AccessFeed, AccessSpokes, EmbeddedLog, SharedLog},
            outside::{SpokeAppend as _, SpokeRecord},
        },
        topics::Ownership,
        verify::{StoresVerified, verify_stores},
    },
    feeds::{Feed, Reader},
    serve::access::TokenFile,
    settings::Settings,
    telemetry::Telemetry,
};

/// What to do about the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct StateArguments {
    /// What to do
    #[command(subcommand)]
    pub action: StateAction,
}

/// What to do about the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum StateAction {
    /// Check the whole log, and that stores are the fold of their changelogs; the hub must not run
    Verify {
        /// Also take everything that departments ever sent into a second hub, and compare what it publishes; takes as long
        /// as it did the first time, and as much room
        #[arg(long)]
        from_input: bool,
        /// How the result is shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
}

/// Flags of `backup`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct BackupArguments {
    /// A directory that does not exist or is empty, on this machine
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
    /// How the result is shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Flags of `restore`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RestoreArguments {
    /// The directory that `backup` wrote
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// How the result is shown
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

fn require_embedded(settings: &Settings) -> Result<(), Failure> {
    if place::is_embedded(settings) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        "this is for a hub that keeps its own log; with brokers, state is restored from Kafka's topics",
        "leave --brokers and kafka.brokers out, or see to the brokers' own backups",
    ))
}

fn failed_with(path: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    |error| Failure::new(Exit::Failure, format!("{}: {error}", path.display()), "see to the directory, then try again")
}

fn log_stop(error: CommitLogError) -> Failure {
    Failure::new(Exit::Failure, error.to_string(), "see to the cause, then try again")
}

/// Copies the log as it is now, and the key of person ids; the hub goes on meanwhile.
pub(super) fn backup(settings: &Settings, arguments: &BackupArguments, output: &mut dyn Write) -> Result<(), Failure> {
    require_embedded(settings)?;
    if !place::log_directory(settings).is_dir() {
        return Err(Failure::new(
            Exit::Usage,
            format!("no hub has run in {} yet: there is nothing to back up", settings.hub.data_directory.display()),
            "name the hub's directory with --data-directory",
        ));
    }
    let target = std::path::absolute(&arguments.directory).map_err(failed_with(&arguments.directory))?;
    private::directory(&target).map_err(failed_with(&target))?;
    if std::fs::read_dir(&target).map_err(failed_with(&target))?.next().is_some() {
        return Err(Failure::new(
            Exit::Usage,
            format!("{} is not empty", target.display()),
            "name a directory that does not exist yet",
        ));
    }
    let access = place::access(settings)?;
    let log = target.join("log");
    let made = access.backup(&log).map_err(|error| {
        Failure::new(Exit::Failure, error.to_string(), "remove the directory, see to the cause, then try again")
    })?;
    let data = &settings.hub.data_directory;
    let key = settings.hub.person_key_file.clone().unwrap_or_else(|| data.join(hub::PERSON_KEY));
    copy_private(&key, &target.join(hub::PERSON_KEY))?;
    // Tokens are no part of it; that there were some is, so that nobody needs none afterwards.
    if tokens_of(settings).were_made() {
        let path = target.join(TOKENS_WERE_MADE);
        private::write_new(&path, &[]).map_err(failed_with(&path))?;
    }
    // Last: a backup without it is not one.
    write_manifest(&target)?;
    let words = format!(
        "{} files, {} bytes and the key of person ids in {}; `insight-hub restore` makes a data directory of them",
        made.files,
        made.bytes,
        target.display()
    );
    let value = json!({"directory": target.display().to_string(), "files": made.files, "bytes": made.bytes});
    Ok(write_one(arguments.output, output, &words, &value)?)
}

/// Makes a data directory of a backup. Stores are filled from the log by the next start.
pub(super) fn restore(
    settings: &Settings,
    arguments: &RestoreArguments,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    require_embedded(settings)?;
    let data = &settings.hub.data_directory;
    if data.exists() && std::fs::read_dir(data).map_err(failed_with(data))?.next().is_some() {
        return Err(Failure::new(
            Exit::Usage,
            format!("{} is not empty: nothing is written over", data.display()),
            "move it away, or name another one with --set hub.data_directory=DIRECTORY",
        ));
    }
    // Checked before and copied by the log itself: what does not verify is no backup.
    check_manifest(&arguments.backup)?;
    let from = RealFiles::new(&existing(&arguments.backup.join("log"))?).map_err(failed_with(&arguments.backup))?;
    let log = CommitLog::open(Arc::new(from), Options::default()).map_err(log_stop)?;
    let verified = log.verify(&mut |_, _| {}).map_err(log_stop)?;
    private::directory(data).map_err(failed_with(data))?;
    copy_private(&arguments.backup.join(hub::PERSON_KEY), &data.join(hub::PERSON_KEY))?;
    let tokens = tokens_of(settings);
    // A file elsewhere that is named has to be there when the hub starts.
    if arguments.backup.join(TOKENS_WERE_MADE).exists() && settings.serve.tokens_file.is_none() {
        let path = tokens.lock_path();
        private::write_new(&path, &[]).map_err(failed_with(&path))?;
    }
    let directory = place::log_directory(settings);
    let into = RealFiles::new(&directory).map_err(failed_with(data))?;
    log.backup(&into).map_err(log_stop)?;
    // What came after the backup is gone, and something else will have its offsets: whoever has one of those is told that this is
    // another log, also when it has grown beyond them.
    SharedLog::begin_another(&directory).map_err(log_stop)?;
    let words = format!(
        "{} records verified and restored into {}; start the hub with `insight-hub run`",
        verified.records,
        data.display()
    );
    let value = json!({"data_directory": data.display().to_string(), "records": verified.records});
    Ok(write_one(arguments.output, output, &words, &value)?)
}

fn tokens_of(settings: &Settings) -> TokenFile {
    TokenFile::new(settings.serve.tokens_file(&settings.hub))
}

/// Files of a backup by name: bytes and the hash of their content.
type Manifest = BTreeMap<String, (u64, String)>;

fn manifest_of(backup: &Path) -> Result<Manifest, Failure> {
    let mut manifest = Manifest::new();
    for entry in std::fs::read_dir(backup.join("log")).map_err(failed_with(backup))? {
        let entry = entry.map_err(failed_with(backup))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Whoever opens the log makes it, and it is empty.
        if name != "LOCK" {
            let mut hasher = blake3::Hasher::new();
            let mut file = std::fs::File::open(entry.path()).map_err(failed_with(backup))?;
            let bytes = std::io::copy(&mut file, &mut hasher).map_err(failed_with(backup))?;
            manifest.insert(name, (bytes, hasher.finalize().to_hex().to_string()));
        }
    }
    Ok(manifest)
}

fn write_manifest(backup: &Path) -> Result<(), Failure> {
    let manifest = manifest_of(backup)?;
    let text = serde_json::to_vec(&manifest).map_err(|error| failed_with(backup)(error.into()))?;
    let path = backup.join(MANIFEST);
    private::write_new(&path, &text).map_err(failed_with(&path))
}

/// What is not all there, or not what was written, is no backup.
fn check_manifest(backup: &Path) -> Result<(), Failure> {
    let refuse = |what: String| {
        Failure::new(
            Exit::Failure,
            format!("{} is no whole backup: {what}", backup.display()),
            "get it again, or take another one",
        )
    };
    existing(&backup.join("log"))?;
    let text = std::fs::read(backup.join(MANIFEST)).map_err(|error| refuse(format!("{MANIFEST}: {error}")))?;
    let wanted: Manifest = serde_json::from_slice(&text).map_err(|error| refuse(format!("{MANIFEST}: {error}")))?;
    let found = manifest_of(backup)?;
    for (name, file) in &wanted {
        match found.get(name) {
            None => return Err(refuse(format!("log/{name} is missing"))),
            Some(other) if other != file => return Err(refuse(format!("log/{name} is not what was written"))),
            Some(_) => {}
        }
    }
    Ok(())
}

/// The list of a backup's files.
const MANIFEST: &str = "backup.json";
/// Of a hub whose API has had tokens.
const TOKENS_WERE_MADE: &str = "tokens.lock";

fn existing(path: &Path) -> Result<PathBuf, Failure> {
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    Err(Failure::new(
        Exit::Usage,
        format!("there is no {}", path.display()),
        "name the directory that `insight-hub backup` wrote",
    ))
}

fn copy_private(from: &Path, to: &Path) -> Result<(), Failure> {
    let bytes = std::fs::read(from).map_err(failed_with(from))?;
    private::write_new(to, &bytes).map_err(failed_with(to))
}

pub(super) fn execute(settings: &Settings, arguments: StateArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let StateAction::Verify { from_input, output: format } = arguments.action;
    require_embedded(settings)?;
    let mut steps = Steps::new(format, "checks", output);
    let verified = verify(settings, from_input, &mut steps);
    let ended = steps.end(&[]);
    verified.and(ended.map_err(Failure::from))
}

fn verify(settings: &Settings, from_input: bool, steps: &mut Steps<'_>) -> Result<(), Failure> {
    super::start_log(&settings.log.options())?;
    existing(&place::log_directory(settings))?;
    let telemetry = Telemetry::new();
    let options = hub::topology_options(settings, hub::person_key(settings)?, &telemetry)?;
    let place = Place::of(settings)?;
    let topology = place.prepare(settings, options)?;
    let Place::Embedded(shared) = &place else { return require_embedded(settings) };
    let found = shared.log().verify(&mut |_, _| {}).map_err(log_stop)?;
    steps.push(
        &format!("log: {} records in {} segments, every checksum holds", found.records, found.segments),
        &json!({"of": "log", "records": found.records, "segments": found.segments}),
    )?;

    let mut log = EmbeddedLog::new(shared, &topology, 0, 1, hub::now_ms, Box::new(|| true))
        .map_err(|error| hub::log_failure(&error))?;
    let stores = run::open_stores(settings)?;
    let verified = verify_stores(&mut log, &topology, &mut FolderDisks(stores));
    let verified = verified.map_err(|error| hub::engine_failure(&error))?;
    let StoresVerified { stores, entries, derived, different } = verified;
    steps.push(
        &format!(
            "stores: {stores} with {entries} entries and {derived} derived ones; {different} are not what the changelogs say"
        ),
        &json!({"of": "stores", "stores": stores, "entries": entries, "derived": derived, "different": different}),
    )?;
    if different > 0 {
        return Err(Failure::new(
            Exit::Failure,
            format!("{different} entries of stores are not what their changelogs say"),
            "remove the folder `stores` of the data directory: the next start fills it from the log; and report it",
        ));
    }
    if from_input {
        let spokes = topology.topics.iter().filter(|(_, topic)| topic.ownership == Ownership::Spoke);
        let mut spokes: Vec<String> = spokes.map(|(_, topic)| topic.name.to_string()).collect();
        spokes.push(place::commands_topic(settings));
        for (index, topic) in topology.topics.iter() {
            let is_input = topology.stage_of(index).is_some();
            if is_input && !is_taken_in(shared, &topic.name)? {
                return Err(Failure::new(
                    Exit::Failure,
                    format!("the hub has not taken in all of {} yet", topic.name),
                    "let `insight-hub run` come to rest, stop it, then verify",
                ));
            }
        }
        compare_with_input(settings, shared, &spokes, &Scratch::new(settings)?, steps)?;
    }
    Ok(())
}

/// Whether a topic was read to its end.
fn is_taken_in(shared: &SharedLog, name: &str) -> Result<bool, Failure> {
    let topics = shared.log().topics();
    for (topic, found) in (0..).zip(&topics).filter(|(_, found)| found.name == name) {
        for partition in 0..found.partitions {
            let partition = TopicPartition { topic, partition };
            let end = shared.log().end(partition).map_err(log_stop)?;
            if shared.log().committed(partition).unwrap_or(0) < end {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// A directory for the second hub, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(settings: &Settings) -> Result<Scratch, Failure> {
        let path = settings.hub.data_directory.join("verify");
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(failed_with(&path))?;
        }
        private::directory(&path).map_err(failed_with(&path))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is removed by the next verification.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Takes all input into a second hub and compares what both publish.
fn compare_with_input(
    settings: &Settings,
    shared: &Arc<SharedLog>,
    spokes: &[String],
    scratch: &Scratch,
    steps: &mut Steps<'_>,
) -> Result<(), Failure> {
    let access: Arc<dyn LogAccess> = Arc::new(shared.access());
    let log_failed = |error: LogError| hub::log_failure(&error);
    for spoke in spokes {
        if access.spans(spoke).map_err(hub::access_failure)?.iter().any(|span| span.start > 0) {
            return Err(Failure::new(
                Exit::Failure,
                format!("{spoke} no longer holds everything that was sent (embedded.spoke_retention_hours)"),
                "leave --from-input out",
            ));
        }
    }
    let mut second = settings.clone();
    second.hub.person_key_file =
        Some(settings.hub.person_key_file.clone().unwrap_or_else(|| settings.hub.data_directory.join(hub::PERSON_KEY)));
    second.hub.data_directory = scratch.0.join("second");
    second.http.listen.set_port(0);
    // What somebody sent to it meanwhile would be acknowledged, and then be gone with it.
    second.serve.listen = None;
    let telemetry = Telemetry::new();
    let stop = StopToken::default();
    let hub = Hub::open(&second, &telemetry, &stop, true)?;
    let differences = std::thread::scope(|scope| {
        let running = scope.spawn(|| hub.run());
        let compared = (|| {
            let remote = place::wait_for_hub(&second, &stop)?;
            let partitions = settings.embedded.spoke_partitions.into();
            let mut writer = AccessSpokes::new(Arc::clone(&remote), partitions, Policy::Keep);
            for spoke in spokes {
                let mut records = AccessFeed::open(Arc::clone(&access), spoke, place::WHOLE).map_err(log_failed)?;
                place::read_whole(&mut records, &mut |record| {
                    let payload = record.value.unwrap_or_default();
                    // A replay says in its headers where it came first.
                    let headers: Vec<(&str, &[u8])> =
                        record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
                    let record = SpokeRecord {
                        topic: spoke,
                        key: Some(&record.key),
                        payload: Some(&payload),
                        timestamp_ms: record.timestamp_ms,
                        headers: &headers,
                    };
                    writer.send_record(&record).map_err(log_failed)
                })?;
            }
            writer.flush().map_err(log_failed)?;
            let mut rest = Rest::new();
            let topics = || spokes.iter().map(String::as_str);
            while !rest.has_come(&*remote, &telemetry, topics()).map_err(hub::access_failure)? {
                if stop.wait(Duration::from_millis(100)) {
                    break;
                }
            }
            let mut differences = 0;
            for feed in [Feed::Customers, Feed::Touchpoints, Feed::Identities, Feed::Metrics] {
                if feed == Feed::Touchpoints && !settings.topics.touchpoints_feed {
                    continue;
                }
                let topic = place::topic_of(settings, feed);
                let ours = published(&access, &topic, feed)?;
                let theirs = published(&remote, &topic, feed)?;
                let different = ours.iter().filter(|(key, value)| theirs.get(*key) != Some(value)).count()
                    + theirs.keys().filter(|key| !ours.contains_key(*key)).count();
                let (same, values) = (ours.len() - different.min(ours.len()), ours.len());
                steps.push(
                    &format!("{topic}: {same} of {values} values are those of the input"),
                    &json!({"of": "feed", "topic": topic, "values": values, "same": same, "different": different}),
                )?;
                differences += different;
            }
            Ok(differences)
        })();
        stop.request("the comparison is over");
        let ran = running.join().unwrap_or_else(|_| Err(Failure::panicked()));
        ran.and(compared)
    })?;
    if differences > 0 {
        return Err(Failure::new(
            Exit::Failure,
            format!("{differences} published values are not those of the input"),
            "keep a copy of the data directory and report it; `insight-hub rebuild` publishes them anew",
        ));
    }
    Ok(())
}

/// What a feed says, by hashes of keys and values, without what is outside of the promise.
fn published(access: &Arc<dyn LogAccess>, topic: &str, feed: Feed) -> Result<BTreeMap<u128, u128>, Failure> {
    let log = AccessFeed::open(Arc::clone(access), topic, place::WHOLE);
    let mut log = log.map_err(|error| hub::log_failure(&error))?;
    let reader = Reader::new(feed);
    let mut values = BTreeMap::new();
    place::read_whole(&mut log, &mut |record| {
        let key = xxh3_128(&record.key);
        let Some(bytes) = &record.value else {
            values.remove(&key);
            return Ok(());
        };
        // It counts arrivals.
        if record.key.starts_with(b"data_quality|") {
            return Ok(());
        }
        let mut value = reader.read(bytes).map_err(hub::foreign_value)?;
        if let Value::Object(fields) = &mut value {
            fields.remove("status");
            fields.remove("revision");
        }
        values.insert(key, xxh3_128(value.to_string().as_bytes()));
        Ok(())
    })?;
    Ok(values)
}
