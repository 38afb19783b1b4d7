//! The folder of schemas and the registry, as configured: what messages in Avro are decoded by.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    settings::Settings,
    telemetry::{Event, Telemetry},
    wire::{
        SchemaFolder, Schemas,
        registry::{
            Registry, RegistryEvent, RegistryWatcher,
            client::{RegistryClient, RegistryOptions},
        },
    },
};

/// The Avro schemas of a folder; the canonical one is always among them.
fn folder(directory: Option<&Path>) -> Result<SchemaFolder, String> {
    let Some(directory) = directory else { return Ok(SchemaFolder::default()) };
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
    SchemaFolder::from_files(files).map_err(|error| error.to_string())
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
    let folder = folder(settings.schemas.directory.as_deref())?;
    let registry = match client(settings)? {
        None => None,
        Some(client) => {
            let unknown_for = Duration::from_secs(settings.registry.unknown_seconds.into());
            let started = Registry::start(client, unknown_for, watcher);
            Some(started.map_err(|error| format!("the thread of the schema registry: {error}"))?)
        }
    };
    Ok(Arc::new(Schemas { folder, registry }))
}

/// Nobody hears of the registry: commands that end say themselves what they lack.
pub(super) fn unwatched() -> RegistryWatcher {
    Arc::new(|_| {})
}

/// What the registry does becomes events.
pub(super) fn watched(telemetry: &Telemetry) -> RegistryWatcher {
    let telemetry = telemetry.clone();
    Arc::new(move |event| {
        telemetry.emit(match event {
            RegistryEvent::Fetched { id } => Event::SchemaAnswered { id, outcome: "fetched", message: "" },
            RegistryEvent::Unknown { id } => {
                Event::SchemaAnswered { id, outcome: "unknown", message: "the registry has no schema with this id" }
            }
            RegistryEvent::Unusable { id, problem } => {
                Event::SchemaAnswered { id, outcome: "unusable", message: problem }
            }
            RegistryEvent::Unavailable { problem, tries } => Event::RegistryUnavailable { tries, message: problem },
            RegistryEvent::Available => Event::RegistryAvailable,
        });
    })
}
