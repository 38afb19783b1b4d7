//! `insight-hub run`: takes touchpoints in and publishes insight until it is asked to stop.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use clap::Args;

use super::{
    exit::{Exit, Failure},
    figures::Figures,
    forgetting::Flushes,
    housekeeping::{Keeping, Processed},
    hub,
    place::Place,
    reload::{self, Reloading, Running},
    serving::Serving,
    stop::StopToken,
};
use crate::{
    engine::{
        log::{Log, LogError, embedded::EmbeddedLog, kafka::KafkaLog},
        rebuild::Rebuild,
        stage::{StageError, Topology},
        store::{Disk, DiskError, FjallDisk, Identity, StoreFolder},
        topics::ErasedWithin,
        worker::{Disks, Worker},
    },
    model::PersonKey,
    serve::Server,
    settings::Settings,
    telemetry::{Event, Pulse, Telemetry},
    topology::{PlannedFault, TelemetryObserver},
};

/// Flags of `run`; each stands for a key of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct RunArguments {
    /// Worker threads; 0: one per core [hub.workers]
    #[arg(long, value_name = "NUMBER")]
    pub workers: Option<usize>,
    /// Address of /metrics and /health [http.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
}

impl RunArguments {
    /// The flags as settings.
    pub(super) fn overrides(&self) -> Vec<(String, String)> {
        let workers = self.workers.map(|workers| ("hub.workers", workers.to_string()));
        let listen = self.listen.map(|address| ("http.listen", address.to_string()));
        [workers, listen].into_iter().flatten().map(|(key, value)| (key.to_owned(), value)).collect()
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
    /// How the configuration is read again; `None`: it is not.
    pub reloading: Option<&'a Reloading>,
    /// The view and the API; `None`: there is none.
    pub(super) serving: Option<&'a Serving>,
}

pub(super) fn execute(settings: &Settings, read: reload::Read) -> Result<(), Failure> {
    super::start_log(&settings.log.options())?;
    let telemetry = Telemetry::new();
    let stop = stop_on_signals(settings)?;
    let reloading = Reloading::on_hangup(read).map_err(|error| no_signals(&error))?;
    let mut hub = Hub::open(settings, &telemetry, &stop, false)?;
    hub.input.reloading = Some(&reloading);
    tracing::info!(address = %hub.address(), "operators' endpoints are open");
    hub.run()
}

/// Runs a hub until `stop` is requested. `opened` is called once, with the address of the operators' endpoints, when the log
/// is this hub's.
///
/// # Errors
/// What happened, and what to do next.
pub fn run_until_stopped(
    settings: &Settings,
    telemetry: &Telemetry,
    stop: &StopToken,
    opened: impl FnOnce(SocketAddr),
) -> Result<(), Failure> {
    let hub = Hub::open(settings, telemetry, stop, false)?;
    opened(hub.address());
    hub.run()
}

/// A hub with its log and its operators' endpoints, about to run.
pub(super) struct Hub<'a> {
    input: HubInput<'a>,
    place: Place,
    server: Server,
    serving: Option<Serving>,
}

impl<'a> Hub<'a> {
    /// Finds the key of person ids, opens the log and the operators' endpoints; `any_port`: on another port, if theirs is
    /// taken. From then on no other process has an embedded log, so that whoever answers in its directory is this hub.
    pub(super) fn open(
        settings: &'a Settings,
        telemetry: &'a Telemetry,
        stop: &'a StopToken,
        any_port: bool,
    ) -> Result<Hub<'a>, Failure> {
        let person_key = hub::person_key(settings)?;
        let place = Place::of(settings)?;
        let serving = Serving::start(settings, &person_key, &place, telemetry)?;
        let progress = serving.as_ref().map(Serving::progress);
        let board = serving.as_ref().and_then(|serving| serving.board(settings));
        let listen = settings.http.listen;
        let mut server = Server::start(listen, telemetry.clone(), progress.clone(), board.clone());
        if server.is_err() && any_port {
            server = Server::start(SocketAddr::new(listen.ip(), 0), telemetry.clone(), progress, board);
        }
        let server = server.map_err(|error| {
            Failure::new(
                Exit::Failure,
                error.to_string(),
                "free the address, or set another one with --listen or http.listen",
            )
        })?;
        let input = HubInput { settings, person_key, telemetry, stop, reloading: None, serving: None };
        Ok(Hub { input, place, server, serving })
    }

    /// Where the operators' endpoints are.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where the API and the dashboard are, if the configuration has an address for them.
    pub(super) fn dashboard(&self) -> Option<SocketAddr> {
        self.serving.as_ref().map(Serving::address)
    }

    /// Runs it until a stop is requested.
    pub(super) fn run(self) -> Result<(), Failure> {
        let Hub { input, place, server, serving } = self;
        let input = HubInput { serving: serving.as_ref(), ..input };
        let (telemetry, stop) = (input.telemetry, input.stop);
        let ended = std::thread::scope(|scope| {
            // Readiness must fall as soon as a stop is asked for, whatever the workers are busy with.
            scope.spawn(|| {
                stop.wait(Duration::MAX);
                let reason = stop.reason();
                telemetry.emit(Event::HubStopping { reason: reason.as_deref().unwrap_or("unknown") });
            });
            let _requests = RequestOnDrop(stop);
            run_hub(&input, &place)
        });
        telemetry.emit(Event::HubStopped { committed: matches!(ended, Ok(true)) });
        if let Some(serving) = serving {
            serving.stop();
        }
        server.stop();
        ended.map(drop)
    }
}

/// A token that SIGTERM and SIGINT request a stop with.
pub(super) fn stop_on_signals(settings: &Settings) -> Result<StopToken, Failure> {
    let stop = StopToken::default();
    let deadline = Duration::from_secs(settings.hub.stop_deadline_seconds.into());
    stop.on_signals(deadline).map_err(|error| no_signals(&error))?;
    Ok(stop)
}

fn no_signals(error: &io::Error) -> Failure {
    Failure::new(
        Exit::Failure,
        format!("signals cannot be handled: {error}"),
        "see to the limits of threads and open files of this process",
    )
}

/// Requests a stop when a worker or the hub ends, also by a panic: who waits for one must not wait for ever.
struct RequestOnDrop<'a>(&'a StopToken);

impl Drop for RequestOnDrop<'_> {
    fn drop(&mut self) {
        self.0.request("the hub or a worker of it ended by itself");
    }
}

/// Runs the hub until `input.stop` is requested. Returns whether everything taken in is committed: a worker that lost its
/// tasks, or whose last commit failed, leaves input to be read again.
fn run_hub(input: &HubInput<'_>, place: &Place) -> Result<bool, Failure> {
    let settings = input.settings;
    // Before the mappings, so that what changes meanwhile is seen as a change.
    let (files, schemas) = (reload::Files::of(settings), reload::schemas_of(settings)?);
    let mut options = hub::topology_options(settings, input.person_key.clone(), input.telemetry)?;
    if !hub::register_feeds(settings, input.telemetry, input.stop, &mut options)? {
        return Ok(true); // nothing was taken in
    }
    let (spokes, feed_format) = (Arc::clone(&options.spokes), options.feed_format);
    let topology = place.prepare(settings, options)?;
    if let Some(serving) = input.serving {
        serving.begin(feed_format, &spokes);
    }
    let stores = open_stores(settings)?;
    let generation: String = topology.definition.iter().map(|byte| format!("{byte:02x}")).collect();
    input.telemetry.emit(Event::HubStarted {
        application_id: &settings.hub.application_id,
        workers: settings.hub.worker_threads(),
        generation: &generation,
    });
    std::thread::scope(|scope| {
        let watching = input.reloading.map(|reloading| {
            let tls = input.serving.and_then(Serving::tls);
            let running = Running { settings, files: &files, spokes: &spokes, telemetry: input.telemetry, tls };
            scope.spawn(move || running.watch(reloading, schemas, input.stop))
        });
        let ended = run_workers(input, &topology, place, &stores, None);
        // It has requested a stop, if nobody had before.
        let watched = watching.map_or(Ok(()), |thread| joined(thread.join().map(Ok), "who reloads"));
        ended.and_then(|committed| watched.map(|()| committed))
    })
}

/// Runs every worker until `input.stop` is requested; for a rebuild, or the hub. Returns as [`run_hub`].
pub(super) fn run_workers(
    input: &HubInput<'_>,
    topology: &Topology,
    place: &Place,
    stores: &StoreFolder,
    rebuild: Option<&Arc<Rebuild>>,
) -> Result<bool, Failure> {
    let fault = std::env::var("INSIGHT_HUB_TEST_FAULT").ok().as_deref().and_then(PlannedFault::parse);
    let _requests = RequestOnDrop(input.stop);
    let shared = &Shared {
        place,
        topology,
        stores,
        processed: Processed::default(),
        flushes: Flushes::default(),
        fault,
        rebuild,
    };
    let keeping = Keeping::of(input, place)?;
    let mut first_failure = None;
    let mut committed = true;
    std::thread::scope(|scope| {
        let keepers = keeping.start(scope, input, shared);
        let threads: Vec<_> = (0..input.settings.hub.worker_threads())
            .map(|worker| {
                std::thread::Builder::new()
                    .name(format!("worker-{worker}"))
                    .spawn_scoped(scope, move || {
                        let _requests = RequestOnDrop(input.stop);
                        let ended = work(input, shared, worker);
                        if let Err(failure) = &ended {
                            input.telemetry.emit(Event::WorkerFailed { worker, message: &failure.happened });
                            // One that cannot go on takes the others along: a supervisor starts the whole again.
                            input.stop.request("a worker failed");
                        }
                        ended
                    })
                    .map_err(|error| {
                        input.stop.request("a worker cannot start");
                        Failure::new(
                            Exit::Failure,
                            format!("a worker cannot start: {error}"),
                            "raise the limit of threads",
                        )
                    })
            })
            .collect();
        for thread in threads {
            match thread.and_then(|thread| joined(thread.join(), "a worker")) {
                Ok(last_commit) => committed &= last_commit,
                Err(failure) => drop(first_failure.get_or_insert(failure)),
            }
        }
        for keeper in keepers {
            if let Err(failure) = joined(keeper.join(), "the log's keeper") {
                first_failure.get_or_insert(failure);
            }
        }
    });
    // Also after a failure: what was acknowledged is to last.
    let finished = keeping.finish();
    first_failure.map_or(finished.map(|()| committed), Err)
}

fn joined<T>(ended: std::thread::Result<Result<T, Failure>>, who: &str) -> Result<T, Failure> {
    ended.unwrap_or_else(|_| {
        Err(Failure::new(Exit::Failure, format!("{who} panicked"), "report the message above; nothing is lost"))
    })
}

/// The stores of all workers; a damaged folder is restored from the changelogs.
pub(super) fn open_stores(settings: &Settings) -> Result<StoreFolder, Failure> {
    let path = settings.hub.data_directory.join("stores");
    let cache = settings.memory().disk_cache_bytes;
    let failed = |error: DiskError| {
        Failure::new(Exit::Failure, error.to_string(), "make the data directory usable, or set hub.data_directory")
    };
    // A changelog forgets deletions after a while: a store that was not written for nearly so long could miss one.
    let written = newest_change(&path).and_then(|at| at.elapsed().ok());
    let kept_ms = ErasedWithin::ms(settings.topics.erased_within_ms()).changelog_deletions_kept_ms();
    if written.is_some_and(|age| age.as_millis() > u128::from((kept_ms / 10 * 9).unsigned_abs())) {
        tracing::warn!(store = %path.display(), "stores are too old and will be restored from their changelogs");
        StoreFolder::erase(&path).map_err(failed)?;
    }
    let opened = match StoreFolder::open(&path, cache) {
        Err(DiskError::Rebuild { task, reason }) => {
            tracing::warn!(store = %task, %reason, "stores are damaged and will be restored from their changelogs");
            StoreFolder::erase(&path).and_then(|()| StoreFolder::open(&path, cache))
        }
        opened => opened,
    };
    opened.map_err(failed)
}

/// When anything in a folder was written last.
fn newest_change(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        if metadata.is_dir() { newest_change(&entry.path()) } else { metadata.modified().ok() }
    });
    times.max()
}

/// What the workers share.
pub(super) struct Shared<'a> {
    pub(super) place: &'a Place,
    pub(super) topology: &'a Topology,
    pub(super) stores: &'a StoreFolder,
    pub(super) processed: Processed,
    pub(super) flushes: Flushes,
    fault: Option<PlannedFault>,
    rebuild: Option<&'a Arc<Rebuild>>,
}

/// One worker, from its first partition to its last commit. Returns whether that happened.
fn work(input: &HubInput<'_>, shared: &Shared<'_>, worker: usize) -> Result<bool, Failure> {
    let failed = |error: LogError| hub::log_failure(&error);
    let pulse = Arc::new(input.telemetry.health().pulse());
    match shared.place {
        Place::Kafka(kafka) => {
            let log = KafkaLog::connect(kafka, shared.topology, worker).map_err(failed)?;
            drive(input, shared, worker, log, &pulse)
        }
        Place::Embedded(log) => {
            let (stop, beating) = (input.stop.clone(), pulse.clone());
            let patience = Box::new(move || {
                beating.beat();
                !stop.requested()
            });
            let workers = input.settings.hub.worker_threads();
            let log = EmbeddedLog::new(log, shared.topology, worker, workers, hub::now_ms, patience).map_err(failed)?;
            drive(input, shared, worker, log, &pulse)
        }
    }
}

fn drive<L: Log>(
    input: &HubInput<'_>,
    shared: &Shared<'_>,
    number: usize,
    log: L,
    pulse: &Pulse,
) -> Result<bool, Failure> {
    let fail = |error: StageError| hub::engine_failure(&error);
    let topology = shared.topology.clone();
    let observer = TelemetryObserver::new(input.telemetry, &topology, number, shared.fault.clone(), hub::now_ms);
    let mut figures = Figures::new(input, topology.clone(), &shared.processed);
    let mut worker = Worker::new(
        log,
        topology,
        hub::worker_options(input.settings),
        Box::new(FolderDisks(shared.stores.clone())),
        Box::new(observer),
    );
    if let Some(rebuild) = shared.rebuild {
        worker = worker.rebuilding(rebuild.clone());
    }
    let began = Instant::now();
    while !input.stop.requested() {
        pulse.beat();
        worker.step(began.elapsed(), Duration::from_millis(10)).map_err(fail)?;
        figures.tell(&mut worker);
        if let Some(asked) = shared.flushes.wanted(number)
            && worker.flush().map_err(fail)?
        {
            shared.flushes.done(number, asked);
        }
    }
    worker.close().map_err(fail)
}

/// The stores of a folder.
pub(super) struct FolderDisks(pub(super) StoreFolder);

impl Disks for FolderDisks {
    fn open(&mut self, task: &str, identity: Identity) -> Result<Box<dyn Disk>, DiskError> {
        Ok(Box::new(FjallDisk::open(&self.0, task, identity)?))
    }
}
