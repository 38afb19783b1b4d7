//! The folder of schemas and the registry, as configured: what messages in Avro are decoded by.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use super::{
    exit::{Exit, Failure},
    stop::StopToken,
};
use crate::{
    feeds::{Feed, Reader, SchemaIds},
    settings::{FeedFormat, Settings},
    telemetry::{Event, Telemetry},
    wire::{
        SchemaFolder, Schemas,
        registry::{
            Registry, RegistryEvent, RegistryWatcher,
            client::{RegistryClient, RegistryError, RegistryOptions},
        },
    },
};

/// The Avro schemas of a folder; the canonical one is always among them.
fn folder(directory: Option<&Path>) -> Result<SchemaFolder, String> {
    SchemaFolder::from_files(files(directory)?).map_err(|error| error.to_string())
}

/// (name, text) of the files of a folder of schemas, by name.
pub(super) fn files(directory: Option<&Path>) -> Result<Vec<(String, String)>, String> {
    let Some(directory) = directory else { return Ok(Vec::new()) };
    let unreadable = |error: std::io::Error| format!("the schema folder {}: {error}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "avsc") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, std::fs::read_to_string(&path).map_err(unreadable)?));
        }
    }
    files.sort();
    Ok(files)
}

/// A client of the registry, if one is configured. The error names what cannot be used.
pub(super) fn client(settings: &Settings) -> Result<Option<RegistryClient>, String> {
    let registry = &settings.registry;
    let Some(url) = &registry.url else { return Ok(None) };
    let secret = registry.clone();
    let password = Arc::new(move || match secret.password(&mut |_| {}) {
        Ok(password) => Ok(password.map(|password| password.expose().to_owned()).unwrap_or_default()),
        Err(error) => Err(error.to_string()),
    });
    let options = RegistryOptions {
        url: url.clone(),
        login: registry.username.clone().map(|name| (name, password as _)),
        ca_file: registry.ca_file.clone(),
        certificate: registry.certificate_file.clone().zip(registry.key_file.clone()),
        timeout: Duration::from_millis(registry.timeout_ms.into()),
    };
    RegistryClient::new(options).map(Some).map_err(|problem| format!("the schema registry (registry.url): {problem}"))
}

/// Every schema that messages may be written with. The error names what cannot be used.
pub(super) fn schemas(settings: &Settings, watcher: RegistryWatcher) -> Result<Arc<Schemas>, String> {
    Ok(Arc::new(Schemas {
        folder: folder(settings.schemas.directory.as_deref())?,
        registry: registry(settings, watcher)?,
    }))
}

/// A reader of a feed, also of what other versions of the hub wrote on it.
pub(super) fn reader(settings: &Settings, feed: Feed) -> Result<Reader, Failure> {
    match schemas(settings, unwatched()) {
        Ok(schemas) => Ok(Reader::with_schemas(feed, schemas)),
        // What is written in JSON needs none.
        Err(_) if settings.topics.feed_format == FeedFormat::Json => Ok(Reader::new(feed)),
        Err(problem) => Err(Failure::new(Exit::Usage, problem, "correct the sections [schemas] and [registry]")),
    }
}

/// The same of files that were read, on a registry that is asked already: what was fetched is kept.
pub(super) fn schemas_with(
    files: &BTreeMap<String, String>,
    registry: Option<Registry>,
) -> Result<Arc<Schemas>, String> {
    let folder = SchemaFolder::from_files(files).map_err(|error| error.to_string())?;
    Ok(Arc::new(Schemas { folder, registry }))
}

fn registry(settings: &Settings, watcher: RegistryWatcher) -> Result<Option<Registry>, String> {
    Ok(match client(settings)? {
        None => None,
        Some(client) => {
            let unknown_for = Duration::from_secs(settings.registry.unknown_seconds.into());
            let started = Registry::start(client, unknown_for, watcher);
            Some(started.map_err(|error| format!("the thread of the schema registry: {error}"))?)
        }
    })
}

/// Under what the values of a feed are registered: Confluent's TopicNameStrategy.
pub(super) fn subject(settings: &Settings, feed: Feed) -> String {
    format!("{}{}-value", settings.topics.prefix, feed.description().suffix)
}

/// Registers the schemas of the feeds, each under `<topic>-value`, and returns their ids. A registry that does not answer
/// is asked again until it does or a stop is requested (`None`). A schema that it does not take is an error: somebody who
/// reads the feed by an older one could not read what this version writes.
pub(super) fn register(
    settings: &Settings,
    telemetry: &Telemetry,
    stop: &StopToken,
) -> Result<Option<SchemaIds>, Failure> {
    let client = client(settings).and_then(|client| client.ok_or_else(|| "registry.url is not set".into()));
    let client = client.map_err(|problem| Failure::new(Exit::Usage, problem, "correct the section [registry]"))?;
    let mut ids = SchemaIds::default();
    for feed in Feed::ALL.into_iter().filter(|feed| feed.description().encoded) {
        let description = feed.description();
        let subject = subject(settings, feed);
        let refused = |problem: String| {
            // Whoever keeps the registry mends it: a supervisor's next start then succeeds.
            Failure::new(
                Exit::Failure,
                format!("the schema of {} cannot be registered under {subject}: {problem}", feed.topic()),
                format!(
                    "what is registered there is not an older version of this schema, or the subject's compatibility \
                     forbids the change; remove the subject or loosen its compatibility, or set another topics.prefix than \
                     {:?}",
                    settings.topics.prefix
                ),
            )
        };
        let mut tries = 0;
        let id = loop {
            // Asked first: a registry whose compatibility is NONE takes anything.
            let answer = match client.is_compatible(&subject, description.schema) {
                Ok(true) => client.register(&subject, description.schema),
                Ok(false) => Err(RegistryError::Refused("it is not compatible with the newest one there".into())),
                Err(error) => Err(error),
            };
            match answer {
                Ok(id) => break id,
                Err(RegistryError::Unavailable(problem)) => {
                    tries += 1;
                    telemetry.emit(Event::RegistryUnavailable { tries, message: &problem });
                    if stop.wait(Duration::from_secs(tries.min(10).into())) {
                        return Ok(None);
                    }
                }
                Err(RegistryError::Refused(problem) | RegistryError::Unusable(problem)) => {
                    return Err(refused(problem));
                }
                Err(RegistryError::NotFound) => return Err(refused("the registry has no such subject".into())),
                Err(RegistryError::ReferenceNotFound(referred)) => {
                    return Err(refused(format!("the newest one there refers to {referred}, which is not there")));
                }
            }
        };
        if tries > 0 {
            telemetry.emit(Event::RegistryAvailable);
        }
        ids.set(feed, id);
    }
    Ok(Some(ids))
}

/// Nobody hears of the registry: commands that end say themselves what they lack.
pub(super) fn unwatched() -> RegistryWatcher {
    Arc::new(|_| {})
}

/// What the registry does becomes events.
pub(super) fn watched(telemetry: &Telemetry) -> RegistryWatcher {
    let telemetry = telemetry.clone();
    Arc::new(move |event| {
        let missing;
        telemetry.emit(match event {
            RegistryEvent::Fetched { id } => Event::SchemaAnswered { id, outcome: "fetched", message: "" },
            RegistryEvent::Unknown { id, referred } => {
                missing = match referred {
                    None => "the registry has no schema with this id".to_owned(),
                    Some(referred) => format!("the schema refers to {referred}, which the registry does not have"),
                };
                Event::SchemaAnswered { id, outcome: "unknown", message: &missing }
            }
            RegistryEvent::Unusable { id, problem } => {
                Event::SchemaAnswered { id, outcome: "unusable", message: problem }
            }
            RegistryEvent::Unavailable { problem, tries } => Event::RegistryUnavailable { tries, message: problem },
            RegistryEvent::Available => Event::RegistryAvailable,
        });
    })
}
