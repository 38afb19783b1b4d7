//! `insight-hub run`: takes touchpoints in and publishes insight until it is asked to stop.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use super::{
    exit::{Exit, Failure},
    stop::StopToken,
};
use crate::{
    model::PersonKey,
    serve::Server,
    settings::Settings,
    telemetry::{Event, Telemetry},
};

/// Flags of `run`; each stands for a key of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct RunArguments {
    /// Worker threads; 0: one per core [hub.workers]
    #[arg(long, value_name = "NUMBER")]
    pub workers: Option<usize>,
    /// Where stores lie [hub.data_directory]
    #[arg(long, value_name = "DIRECTORY")]
    pub data_directory: Option<PathBuf>,
    /// Address of /metrics and /health [http.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
}

impl RunArguments {
    /// The flags as settings.
    pub(super) fn overrides(&self) -> Vec<(String, String)> {
        let workers = self.workers.map(|workers| ("hub.workers", workers.to_string()));
        let directory = self.data_directory.as_ref();
        let directory = directory.map(|path| ("hub.data_directory", path.display().to_string()));
        let listen = self.listen.map(|address| ("http.listen", address.to_string()));
        [workers, directory, listen]
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}

/// What the hub runs on.
pub struct HubInput<'a> {
    /// The whole configuration, valid.
    pub settings: &'a Settings,
    /// The key of person ids.
    pub person_key: PersonKey,
    /// Where news go.
    pub telemetry: &'a Telemetry,
    /// Says when to drain, commit and leave.
    pub stop: &'a StopToken,
}

pub(super) fn execute(settings: &Settings) -> Result<(), Failure> {
    super::require_brokers(settings)?;
    super::start_log(&settings.log.options())?;
    let person_key = settings.hub.person_key(&mut |warning| tracing::warn!("{warning}"))?;
    let telemetry = Telemetry::new();
    let stop = StopToken::default();
    stop.on_signals(Duration::from_secs(settings.hub.stop_deadline_seconds.into()))
        .map_err(|error| {
            Failure::new(
                Exit::Failure,
                format!("signals cannot be handled: {error}"),
                "see to the limits of threads and open files of this process",
            )
        })?;
    let server = Server::start(settings.http.listen, telemetry.clone()).map_err(|error| {
        Failure::new(
            Exit::Failure,
            error.to_string(),
            "free the address, or set another one with --listen or http.listen",
        )
    })?;
    tracing::info!(address = %server.address(), "operators' endpoints are open");
    let ended = std::thread::scope(|scope| {
        // Readiness must fall as soon as a stop is asked for, whatever the workers are busy with.
        scope.spawn(|| {
            stop.wait(Duration::MAX);
            let reason = stop.reason();
            telemetry.emit(Event::HubStopping {
                reason: reason.as_deref().unwrap_or("unknown"),
            });
        });
        let _requests = RequestOnDrop(&stop);
        run_hub(&HubInput {
            settings,
            person_key,
            telemetry: &telemetry,
            stop: &stop,
        })
    });
    telemetry.emit(Event::HubStopped {
        committed: ended.is_ok(),
    });
    server.stop();
    ended
}

/// Requests a stop when the hub ends, also by a panic: who waits for one must not wait for ever.
struct RequestOnDrop<'a>(&'a StopToken);

impl Drop for RequestOnDrop<'_> {
    fn drop(&mut self) {
        self.0.request("the hub ended by itself");
    }
}

/// Runs the hub until `input.stop` is requested and everything taken in is committed.
fn run_hub(input: &HubInput<'_>) -> Result<(), Failure> {
    let _ = (input.settings, &input.person_key, input.telemetry, input.stop);
    Err(super::room_missing("run the stages"))
}
