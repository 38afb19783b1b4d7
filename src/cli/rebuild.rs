//! `insight-hub rebuild`: after a change of definition, folds every kept touchpoint again and switches the feeds over.
//!
//! It runs the stages that keep state, and no others: departments' topics are not read. Whatever ends it in the middle, it
//! goes on where it was when it is started again; until it is complete, `run` refuses.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    exit::{Exit, Failure},
    hub,
    place::Place,
    run::{self, HubInput},
    stop::StopToken,
    topics,
};
use crate::{
    engine::{
        log::kafka::Admin,
        rebuild::{Rebuild, RebuildProgress},
    },
    settings::Settings,
    telemetry::Telemetry,
};

/// How often it says how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(2);

pub(super) fn execute(settings: &Settings, output: &mut dyn Write) -> Result<(), Failure> {
    super::start_log(&settings.log.options())?;
    let person_key = hub::person_key(settings)?;
    let telemetry = Telemetry::new();
    let stop = run::stop_on_signals(settings)?;
    let mut options = hub::topology_options(settings, person_key.clone(), &telemetry)?;
    if !hub::register_feeds(settings, &telemetry, &stop, &mut options)? {
        return Err(Failure::new(
            Exit::Failure,
            "stopped before the schemas of the feeds were registered",
            "run it again when the registry answers",
        ));
    }
    let place = Place::of(settings)?;
    let topology = place.prepare(settings, options)?;
    // Whoever has an embedded log open has it alone.
    if let Place::Kafka(kafka) = &place {
        wait_until_alone(settings, &topics::connect(settings, kafka)?, &stop, output)?;
    }
    let stores = run::open_stores(settings)?;

    let topology = topology.stateful();
    let rebuild = Arc::new(Rebuild::new(&topology));
    let input = HubInput { settings, person_key, telemetry: &telemetry, stop: &stop, reloading: None };
    let ended = std::thread::scope(|scope| {
        let workers = scope.spawn(|| run::run_workers(&input, &topology, &place, &stores, Some(&rebuild)));
        let watched = watch(settings, &rebuild, &stop, output);
        stop.request(if watched.is_ok() { "the rebuild is complete" } else { "the rebuild cannot be completed" });
        let worked = workers.join().unwrap_or_else(|_| {
            Err(Failure::new(Exit::Failure, "the rebuild panicked", "report the message above, then run it again"))
        });
        worked.and(watched)
    });
    ended?;
    let progress = rebuild.progress();
    if progress.was_needed {
        writeln!(
            output,
            "rebuilt: {} tasks are of this definition, and the feeds hold its values. Start the hub with `insight-hub run`.",
            progress.tasks
        )?;
    } else {
        writeln!(output, "all {} tasks are already of this definition: nothing to do", progress.tasks)?;
    }
    Ok(output.flush()?)
}

/// Waits until the group is empty: for as long as the broker may take to notice that a process was killed.
fn wait_until_alone(
    settings: &Settings,
    admin: &Admin,
    stop: &StopToken,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let patience = Duration::from_millis(settings.kafka.session_timeout_ms.into()) + Duration::from_secs(5);
    let began = Instant::now();
    let mut told = false;
    loop {
        let members = admin.members(&settings.hub.application_id).map_err(|error| hub::log_failure(&error))?;
        if members.is_empty() {
            return Ok(());
        }
        let group = &settings.hub.application_id;
        if began.elapsed() > patience {
            return Err(Failure::new(
                Exit::Failure,
                format!("{} instances of {group:?} are running: {}", members.len(), members.join(", ")),
                "stop all of them (SIGTERM), then run `insight-hub rebuild` again; nothing was changed",
            ));
        }
        if !told {
            told = true;
            writeln!(output, "waiting until {} have left the group {group:?}", members.join(", "))?;
            output.flush()?;
        }
        if stop.wait(Duration::from_millis(500)) {
            return Err(stopped(None));
        }
    }
}

/// Tells how far it is until it is complete, or somebody asks for a stop, or others hold a part of the hub.
fn watch(settings: &Settings, rebuild: &Rebuild, stop: &StopToken, output: &mut dyn Write) -> Result<(), Failure> {
    let patience = Duration::from_millis(settings.kafka.session_timeout_ms.into()) + Duration::from_secs(60);
    let mut told = (Instant::now(), None);
    let mut owned_all = Instant::now();
    loop {
        if stop.wait(Duration::from_millis(20)) {
            return Err(stopped(stop.reason().as_deref()));
        }
        let progress = rebuild.progress();
        if progress.is_complete() {
            return Ok(());
        }
        if progress.owned == progress.tasks {
            owned_all = Instant::now();
        } else if owned_all.elapsed() > patience {
            return Err(Failure::new(
                Exit::Failure,
                format!("other instances hold {} of {} tasks", progress.tasks - progress.owned, progress.tasks),
                "stop all of them (SIGTERM), then run `insight-hub rebuild` again: it goes on where it was",
            ));
        }
        if told.0.elapsed() >= TOLD_EVERY && told.1 != Some(progress) {
            told = (Instant::now(), Some(progress));
            writeln!(output, "{}", describe(progress))?;
            output.flush()?;
        }
    }
}

fn stopped(reason: Option<&str>) -> Failure {
    Failure::new(
        Exit::Failure,
        format!("the rebuild was stopped before it was complete ({})", reason.unwrap_or("as asked for")),
        "run `insight-hub rebuild` again: it goes on where it was",
    )
}

fn describe(progress: RebuildProgress) -> String {
    let RebuildProgress { tasks, owned, done, decided, entries, .. } = progress;
    if decided {
        format!("{done} of {tasks} tasks are done; {entries} stored touchpoints and cells were worked on")
    } else {
        format!("{owned} of {tasks} tasks are here; restoring them")
    }
}
