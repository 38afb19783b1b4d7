//! `insight-hub rebuild`: after a change of definition, folds every kept touchpoint again and switches the feeds over; after
//! a change of mappings, with `--from-sources`, reads departments' topics again ([`super::reread`]).
//!
//! It runs the stages that keep state and, if it was asked to, the one that reads again; ingest does not run. Whatever ends it
//! in the middle, it goes on where it was when it is started again; until it is complete, `run` refuses.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    exit::{Exit, Failure},
    hub,
    place::Place,
    reread::{self, Rereading},
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
/// How far a topic reaches, a Kafka client tells once a second: what others have sent to the last stage shows within so long.
const SEEN_WITHIN: Duration = Duration::from_secs(3);

/// What is rebuilt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct RebuildArguments {
    /// Read departments' topics again from their first record that is there, through the mappings of now
    #[arg(long)]
    pub from_sources: bool,
    /// Only this department's; may be given again. Without it, all
    #[arg(long, value_name = "SPOKE", requires = "from_sources")]
    pub spoke: Vec<String>,
    /// Where retention has removed records, let what the hub made of them go as well
    #[arg(long, requires = "from_sources")]
    pub forget_unread: bool,
}

impl RebuildArguments {
    /// The command, to be run again.
    fn command(&self) -> &'static str {
        if self.from_sources { "insight-hub rebuild --from-sources" } else { "insight-hub rebuild" }
    }
}

pub(super) fn execute(
    settings: &Settings,
    arguments: &RebuildArguments,
    output: &mut dyn Write,
) -> Result<(), Failure> {
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
    reread::check(arguments, &options)?;
    let place = Place::of(settings)?;
    let topology = place.prepare(settings, options.clone())?;
    // Whoever has an embedded log open has it alone.
    let admin = match &place {
        Place::Kafka(kafka) => Some(topics::connect(settings, kafka)?),
        Place::Embedded(_) => None,
    };
    if let Some(admin) = &admin {
        wait_until_alone(settings, admin, arguments.command(), &stop, output)?;
    }
    let stores = run::open_stores(settings)?;

    let (topology, rereading) = match arguments.from_sources {
        true => {
            let (topology, rereading) = reread::plan(arguments, &options, &topology, admin.as_ref())?;
            (topology, Some(rereading))
        }
        false => (topology.stateful(), None),
    };
    drop(admin);
    let rebuild = Arc::new(Rebuild::new(&topology));
    let watching = Watching {
        settings,
        command: arguments.command(),
        rebuild: &rebuild,
        rereading: rereading.as_deref(),
        // A rebuild by kept touchpoints says itself when the last stage has everything.
        seen_within: match (&place, &rereading) {
            (Place::Kafka(_), Some(_)) => SEEN_WITHIN,
            _ => Duration::ZERO,
        },
    };
    let input = HubInput { settings, person_key, telemetry: &telemetry, stop: &stop, reloading: None, serving: None };
    let ended = std::thread::scope(|scope| {
        let workers = scope.spawn(|| run::run_workers(&input, &topology, &place, &stores, Some(&rebuild)));
        let watched = watching.watch(&stop, output);
        stop.request(if watched.is_ok() { "the rebuild is complete" } else { "the rebuild cannot be completed" });
        let worked = workers.join().unwrap_or_else(|_| {
            Err(Failure::new(Exit::Failure, "the rebuild panicked", "report the message above, then run it again"))
        });
        worked.and(watched)
    });
    ended?;
    let progress = rebuild.progress();
    if let Some(rereading) = &rereading {
        reread::report(rereading, output)?;
    } else if progress.was_needed {
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
    command: &str,
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
                format!("stop all of them (SIGTERM), then run `{command}` again; nothing was changed"),
            ));
        }
        if !told {
            told = true;
            writeln!(output, "waiting until {} have left the group {group:?}", members.join(", "))?;
            output.flush()?;
        }
        if stop.wait(Duration::from_millis(500)) {
            return Err(stopped(command, None));
        }
    }
}

/// What is waited for.
struct Watching<'a> {
    settings: &'a Settings,
    command: &'static str,
    rebuild: &'a Rebuild,
    rereading: Option<&'a Rereading>,
    /// How long everything must have been complete.
    seen_within: Duration,
}

impl Watching<'_> {
    /// Tells how far it is until it is complete, or somebody asks for a stop, or others hold a part of the hub.
    fn watch(&self, stop: &StopToken, output: &mut dyn Write) -> Result<(), Failure> {
        let patience = Duration::from_millis(self.settings.kafka.session_timeout_ms.into()) + Duration::from_secs(60);
        let mut told = (Instant::now(), String::new());
        let mut owned_all = Instant::now();
        let mut complete_since: Option<Instant> = None;
        loop {
            if stop.wait(Duration::from_millis(20)) {
                return Err(stopped(self.command, stop.reason().as_deref()));
            }
            let progress = self.rebuild.progress();
            if progress.is_complete() {
                if complete_since.get_or_insert_with(Instant::now).elapsed() >= self.seen_within {
                    return Ok(());
                }
                continue;
            }
            complete_since = None;
            if progress.owned == progress.tasks {
                owned_all = Instant::now();
            } else if owned_all.elapsed() > patience {
                return Err(Failure::new(
                    Exit::Failure,
                    format!("other instances hold {} of {} tasks", progress.tasks - progress.owned, progress.tasks),
                    format!("stop all of them (SIGTERM), then run `{}` again: it goes on where it was", self.command),
                ));
            }
            if told.0.elapsed() >= TOLD_EVERY {
                let line = self.describe(progress);
                if told.1 != line {
                    writeln!(output, "{line}")?;
                    output.flush()?;
                }
                told = (Instant::now(), line);
            }
        }
    }

    fn describe(&self, progress: RebuildProgress) -> String {
        let RebuildProgress { tasks, owned, done, decided, was_needed, entries } = progress;
        match self.rereading.map(Rereading::progress) {
            _ if !decided => format!("{owned} of {tasks} tasks are here; restoring them"),
            Some(progress) if progress.decided => reread::describe(&progress),
            Some(_) if !was_needed || entries == 0 => "finding out how far former readings have come".to_owned(),
            _ => format!("{done} of {tasks} tasks are done; {entries} stored touchpoints and cells were worked on"),
        }
    }
}

fn stopped(command: &str, reason: Option<&str>) -> Failure {
    Failure::new(
        Exit::Failure,
        format!("the rebuild was stopped before it was complete ({})", reason.unwrap_or("as asked for")),
        format!("run `{command}` again: it goes on where it was"),
    )
}
