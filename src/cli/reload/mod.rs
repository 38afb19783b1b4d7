//! `insight-hub reload`, and what SIGHUP and it make a running hub do: the configuration and the spoke files are read again,
//! all of it is validated as at the start, with the tests in the files besides, and applied whole or not at all.
//!
//! ```text
//! read again ──wrong──────────────────────────▶ invalid         nothing is applied, what is wrong is said
//!     │ right
//!     ├──something but mappings differs───────▶ needs a restart nothing is applied, what differs is named
//!     ├──mappings or schemas differ───────────▶ applied         from the next transaction of each source partition on
//!     │  or the API has another certificate                     from the next connection on
//!     └──nothing differs──────────────────────▶ unchanged
//! ```
//!
//! `desk`: how a command asks, and is answered. `files`: which files that are read once have another content.

mod desk;
mod files;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use self::desk::{Answer, Desk, Unanswered, ask};
pub(super) use self::files::Files;
use super::{
    access,
    exit::{Exit, Failure},
    hub::{self, Compiled},
    schemas,
    stop::StopToken,
};
use crate::{
    ingest::{LiveSpokes, SpokeChanges, SpokeSet, trial},
    serve::tls::{Fresh, Tls},
    settings::Settings,
    telemetry::{Event, ReloadOutcome, Telemetry},
    wire::registry::Registry,
};

/// How often a hub looks whether somebody asks. A look costs some microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a command waits for its answer: a thousand mappings with their tests take a few seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Reads the configuration from where it came from at the start.
pub(super) type Read = Box<dyn Fn() -> Result<Settings, Failure> + Send + Sync>;

/// What a hub needs to be reloaded.
pub struct Reloading {
    read: Read,
    /// Until the hub watches: a signal that comes earlier waits.
    signals: Mutex<Option<(Runtime, Signal)>>,
}

impl Reloading {
    /// From now on SIGHUP does not end this process.
    ///
    /// # Errors
    /// What the machine says about signals.
    pub(super) fn on_hangup(read: Read) -> io::Result<Reloading> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let hangups = {
            let _entered = runtime.enter();
            signal(SignalKind::hangup())?
        };
        Ok(Reloading { read, signals: Mutex::new(Some((runtime, hangups))) })
    }
}

/// A hub that runs, as far as a reload looks at it.
pub(super) struct Running<'a> {
    pub settings: &'a Settings,
    /// What was in the files that they name.
    pub files: &'a Files,
    pub spokes: &'a LiveSpokes,
    pub telemetry: &'a Telemetry,
    /// The API's, whose certificate may be replaced.
    pub tls: Option<&'a Tls>,
}

impl Running<'_> {
    /// Reloads whenever SIGHUP comes or a command asks, until a stop is requested. `schemas`: those in force.
    pub(super) fn watch(&self, reloading: &Reloading, mut schemas: Schemas, stop: &StopToken) {
        let signals = reloading.signals.lock().map(|mut signals| signals.take());
        let Ok(Some((runtime, mut hangups))) = signals else {
            return;
        };
        let desk = Desk::open(&self.settings.hub.data_directory);
        let desk = desk.inspect_err(|error| tracing::warn!(%error, "only SIGHUP reloads this hub, no command")).ok();
        self.tell_loaded(&schemas);
        runtime.block_on(async {
            while !stop.requested() {
                let is_signal = tokio::select! {
                    _ = hangups.recv() => true,
                    () = tokio::time::sleep(LOOK_EVERY) => false,
                };
                let asking = desk.as_ref().map(Desk::requests).unwrap_or_default();
                if !is_signal && asking.is_empty() {
                    continue;
                }
                let answer = self.reload(&reloading.read, &mut schemas);
                if let Some(Err(error)) = desk.as_ref().map(|desk| desk.answer(&asking, &answer)) {
                    tracing::warn!(%error, "who asked for the reload cannot be answered");
                }
            }
        });
    }

    /// Reads everything again, and applies it if that can be done while the hub runs. `schemas`: those in force.
    fn reload(&self, read: &Read, schemas: &mut Schemas) -> Answer {
        let answer = match read()
            .and_then(|new| Ok((candidate(&new, self.spokes.now().registry())?, self.certificate()?, new)))
        {
            Err(failure) => Answer { problem: failure.happened, ..answer(ReloadOutcome::Invalid) },
            Ok(((spokes, new_schemas), certificate, new)) => {
                let SpokeChanges { mappings, others } = self.spokes.now().changes(&spokes);
                let of_files = self.files.changed(self.settings, &new);
                let needs_restart = [self.settings.differences(&new), of_files, others].concat();
                let mut changed: Vec<String> = mappings.iter().map(|spoke| format!("the mapping of {spoke}")).collect();
                if *schemas != new_schemas {
                    changed.push("the schemas".to_owned());
                }
                if certificate.is_some() {
                    changed.push("the certificate of the API".to_owned());
                }
                match (needs_restart.is_empty(), changed.is_empty()) {
                    (false, _) => Answer { needs_restart, ..answer(ReloadOutcome::NeedsRestart) },
                    (true, true) => answer(ReloadOutcome::Unchanged),
                    (true, false) => {
                        self.spokes.replace(spokes);
                        *schemas = new_schemas;
                        if let (Some(tls), Some(fresh)) = (self.tls, certificate) {
                            access::tell(fresh.validity(), self.telemetry);
                            tls.replace(fresh);
                        }
                        Answer { changed, ..answer(ReloadOutcome::Applied) }
                    }
                }
            }
        };
        if matches!(answer.outcome, ReloadOutcome::Applied | ReloadOutcome::Unchanged) {
            self.tell_loaded(schemas);
        }
        self.telemetry.emit(Event::Reloaded {
            outcome: answer.outcome,
            changed: &answer.changed.join(", "),
            needs_restart: &answer.needs_restart.join(", "),
            problem: &answer.problem,
        });
        answer
    }

    /// The API's certificate, looked at, if it is another one now.
    fn certificate(&self) -> Result<Option<Fresh>, Failure> {
        let fresh = self.tls.map(Tls::fresh).transpose();
        let next = "correct serve.certificate_file or serve.key_file";
        Ok(fresh.map_err(|error| Failure::new(Exit::Usage, error.to_string(), next))?.flatten())
    }

    fn tell_loaded(&self, schemas: &Schemas) {
        let mut hash = blake3::Hasher::new_derive_key("insight-hub mappings 1");
        for spoke in self.spokes.now().iter() {
            hash.update(&spoke.fingerprint().to_le_bytes());
        }
        for (name, text) in schemas {
            hash.update(blake3::hash(name.as_bytes()).as_bytes()).update(blake3::hash(text.as_bytes()).as_bytes());
        }
        let mut first = [0; 8];
        // 48 bits: a figure of Prometheus holds 53.
        first[..6].copy_from_slice(&hash.finalize().as_bytes()[..6]);
        self.telemetry.emit(Event::MappingsLoaded { hash: u64::from_le_bytes(first), at_ms: hub::now_ms() });
    }
}

fn answer(outcome: ReloadOutcome) -> Answer {
    Answer { outcome, changed: Vec::new(), needs_restart: Vec::new(), problem: String::new() }
}

/// The files of the schemas' folder: name → text.
pub(super) type Schemas = BTreeMap<String, String>;

pub(super) fn schemas_of(settings: &Settings) -> Result<Schemas, Failure> {
    let files = schemas::files(settings.schemas.directory.as_deref());
    files.map(|files| files.into_iter().collect()).map_err(|problem| Failure::new(Exit::Usage, problem, "correct it"))
}

/// The spokes and schemas of a configuration, all of them valid and each mapping as its own tests want it. `registry`: the
/// one that is asked already.
fn candidate(settings: &Settings, registry: Option<Registry>) -> Result<(SpokeSet, Schemas), Failure> {
    settings.calendar()?;
    // Read once: what is told to be in use is what is.
    let schemas = schemas_of(settings)?;
    let known = schemas::schemas_with(&schemas, registry).map_err(|problem| {
        Failure::new(Exit::Usage, problem, "correct it; `insight-hub check` shows the first mistake of each file")
    })?;
    let compiled = hub::compiled_spokes(settings, &known)?;
    for Compiled { file, spoke, tests } in &compiled {
        // What was found is in the samples, and no matter for the log.
        if let Some(failure) = trial::run(spoke, tests).first() {
            let at = if failure.field.is_empty() { String::new() } else { format!(" at {}", failure.field) };
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "{}: test {} of its own finds something else than it expects{at}",
                    file.display(),
                    failure.test
                ),
                "correct it; `insight-hub check` shows the first mistake of each file",
            ));
        }
    }
    let spokes = SpokeSet::new(compiled.into_iter().map(|compiled| compiled.spoke));
    let next = "correct it; `insight-hub check` shows the first mistake of each file";
    Ok((spokes.map_err(|error| Failure::new(Exit::Usage, error.to_string(), next))?, schemas))
}

/// Asks the hub that runs with the configured data directory to reload, and says what came of it.
pub(super) fn execute(settings: &Settings, output: &mut dyn Write) -> Result<(), Failure> {
    let directory = &settings.hub.data_directory;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let id = format!("{:x}-{:x}", std::process::id(), now.as_nanos());
    let answer = ask(directory, &id, ANSWER_WITHIN).map_err(|unanswered| {
        let shown = directory.display();
        let (happened, next) = match unanswered {
            Unanswered::NoHub => (
                format!("no hub runs with the data directory {shown}"),
                "name its directory with --data-directory; a hub that is started reads everything anyway",
            ),
            Unanswered::Late => (
                format!("the hub in {shown} did not answer within {} seconds", ANSWER_WITHIN.as_secs()),
                "see its log for what came of it, then try again",
            ),
            Unanswered::Unreachable(error) => (
                format!("the hub in {shown} cannot be asked: {error}"),
                "be the hub's user or root, or send SIGHUP to its process",
            ),
        };
        Failure::new(Exit::Failure, happened, next)
    })?;
    match answer.outcome {
        ReloadOutcome::Applied => Ok(writeln!(output, "applied: {}", answer.changed.join(", "))?),
        ReloadOutcome::Unchanged => Ok(writeln!(output, "unchanged: what is configured is what runs")?),
        ReloadOutcome::NeedsRestart => Err(Failure::new(
            Exit::Failure,
            format!("nothing was applied, because this needs a restart: {}", answer.needs_restart.join(", ")),
            "restart the hub, or take it back and reload the rest",
        )),
        ReloadOutcome::Invalid => Err(Failure::new(
            Exit::Usage,
            format!("nothing was applied, because the configuration is wrong: {}", answer.problem),
            "correct it; `insight-hub check` shows the first mistake of each file",
        )),
    }
}

#[cfg(test)]
mod tests;
