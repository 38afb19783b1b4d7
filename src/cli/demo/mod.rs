//! `insight-hub demo`: a hub of its own, a made-up company that changes over nine months, and what an analyst would look at
//! first, live.
//!
//! Nothing in it is special: the hub is that of `run`, the departments append through its socket, and what is shown was
//! read from its feeds.

mod feeder;
mod findings;
mod screen;
mod view;

use std::{
    io::{IsTerminal as _, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;

use super::{
    exit::{Exit, Failure},
    generate, hub, place, private,
    rest::Rest,
    run::{self, Hub},
    stop::StopToken,
};
use crate::{
    engine::log::{
        LogError,
        access::LogAccess,
        embedded::AccessFeed,
        outside::{FeedRead as _, Next, Span},
    },
    feeds::{Feed, Reader},
    settings::Settings,
    telemetry::Telemetry,
};

use feeder::Feeder;
use findings::Findings;
use screen::Screen;
use view::View;

/// How often the terminal is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(400);
/// Where the demo's dashboard is, unless the port is taken or the configuration says otherwise.
const DASHBOARD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9700);
/// Names tried for a temporary directory.
const TEMPORARY_TRIES: u32 = 100;
/// What nine months take on the screen, unless another pace is asked for.
const STORY_TAKES: Duration = Duration::from_secs(100);

/// Flags of `demo`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DemoArguments {
    /// Keep everything in this directory and go on there the next time; without it, a temporary one that is removed
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
    /// Take in so many touchpoints as fast as possible, show the metrics and one customer, and end
    #[arg(long, value_name = "TOUCHPOINTS", value_parser = clap::value_parser!(u64).range(1..))]
    pub once: Option<u64>,
    /// How many touchpoints the nine months have: 300,000, or those of --once; a directory keeps the number that it was begun with
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1_000..))]
    pub touchpoints: Option<u64>,
    /// Another seed is another company; a directory keeps the one that it was begun with
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Touchpoints per second; 0: as fast as possible; without it, nine months take 100 seconds
    #[arg(long, value_name = "PER_SECOND")]
    pub pace: Option<u32>,
    /// Address of /metrics and /health; if it is taken, another port is [http.listen]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
}

pub(super) fn execute(settings: &Settings, arguments: &DemoArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let home = Home::open(arguments)?;
    let settings = settings_of(settings, arguments, &home.path)?;
    super::start_log(&settings.log.options())?;
    let telemetry = Telemetry::new();
    let stop = run::stop_on_signals(&settings)?;
    let hub = Hub::open(&settings, &telemetry, &stop, true)?;
    let addresses = Addresses { operators: hub.address(), dashboard: hub.dashboard() };
    let ended = std::thread::scope(|scope| {
        let running = scope.spawn(|| hub.run());
        let shown = show(&settings, arguments, &home, addresses, (&telemetry, &stop), output);
        stop.request("the demo is over");
        let ran = running.join().unwrap_or_else(|_| Err(Failure::panicked()));
        // A hub that could not go on is why there was nothing to show.
        ran.and(shown)
    });
    ended?;
    home.farewell(output)?;
    Ok(())
}

/// Where its hub listens.
#[derive(Clone, Copy)]
struct Addresses {
    operators: SocketAddr,
    dashboard: Option<SocketAddr>,
}

/// Where the demo keeps everything.
struct Home {
    path: PathBuf,
    is_temporary: bool,
}

impl Home {
    fn open(arguments: &DemoArguments) -> Result<Home, Failure> {
        let failed = |path: &Path, error: &std::io::Error| {
            Failure::new(
                Exit::Failure,
                format!("{} cannot be made: {error}", path.display()),
                "name a directory that this user may write to with --directory",
            )
        };
        if let Some(path) = &arguments.directory {
            private::directory(path).map_err(|error| failed(path, &error))?;
            return Ok(Home { path: path.clone(), is_temporary: false });
        }
        // What is there already may be somebody else's.
        let (mut path, mut made) = (PathBuf::new(), Ok(()));
        for number in 0..TEMPORARY_TRIES {
            path = std::env::temp_dir().join(format!("insight-hub-demo-{}-{number}", std::process::id()));
            made = private::new_directory(&path);
            if made.is_ok() {
                break;
            }
        }
        made.map_err(|error| failed(&path, &error))?;
        Ok(Home { path, is_temporary: true })
    }

    fn farewell(&self, output: &mut dyn Write) -> Result<(), Failure> {
        if self.is_temporary {
            writeln!(output, "\nThe temporary directory is removed; keep one with --directory DIRECTORY.")?;
        } else {
            let path = self.path.display();
            writeln!(output, "\nEverything is kept in {path}; go on with: insight-hub demo --directory {path}")?;
        }
        Ok(output.flush()?)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.is_temporary {
            // What is left of a temporary directory is the system's to remove.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The configuration of the demo's hub: the user's, but for where everything lies.
fn settings_of(settings: &Settings, arguments: &DemoArguments, home: &Path) -> Result<Settings, Failure> {
    let (spokes, schemas) = (home.join("spokes"), home.join("schemas"));
    generate::write_mappings(&spokes, &schemas)?;
    let mut settings = settings.clone();
    settings.kafka.brokers = None;
    settings.hub.data_directory = home.join("data");
    settings.hub.person_key_file = None;
    settings.spokes.directory = spokes;
    settings.schemas.directory = Some(schemas);
    settings.embedded.spoke_partitions = feeder::PARTITIONS as u16;
    if let Some(listen) = arguments.listen {
        settings.http.listen = listen;
    }
    // Whoever watches wants to look in; a demo that ends by itself is watched by nobody.
    if settings.serve.listen.is_none() && arguments.once.is_none() {
        let is_free = TcpListener::bind(DASHBOARD).is_ok();
        settings.serve.listen = Some(if is_free { DASHBOARD } else { SocketAddr::new(DASHBOARD.ip(), 0) });
    }
    if settings.log == Settings::default().log {
        // The screen is for the company; what goes wrong is said all the same.
        settings.log.level = "error".into();
    }
    Ok(settings)
}

/// Feeds the company to the hub and shows what comes of it.
fn show(
    settings: &Settings,
    arguments: &DemoArguments,
    home: &Home,
    addresses: Addresses,
    (telemetry, stop): (&Telemetry, &StopToken),
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let access = place::wait_for_hub(settings, stop)?;
    let mut feeder = Feeder::open(&access, &home.path, arguments)?;
    let mut view = View::new(feeder.chapters());
    let is_terminal = std::io::stdout().is_terminal() && arguments.once.is_none();
    let mut screen = Screen::new(is_terminal, home, settings, addresses);
    screen.begin(&feeder, output)?;
    let mut feeds = Feeds::open(&access, settings)?;
    let began = Instant::now();
    let (mut rest, mut drawn) = (Rest::new(), None::<Instant>);
    while !stop.requested() {
        let is_told = feeder.advance(began.elapsed())?;
        feeds.take(&mut view)?;
        view.note_fed(feeder.fed(), feeder.today());
        if arguments.once.is_some() && access.status().map_err(hub::access_failure)?.is_paused {
            return Err(Failure::new(
                Exit::Failure,
                format!("the disk of {} is full", home.path.display()),
                "free space, or name a directory on another disk with --directory",
            ));
        }
        let topics: Vec<String> = feeder.topics().collect();
        let rests = rest.has_come(&*access, telemetry, topics.iter().map(String::as_str));
        let is_done = rests.map_err(hub::access_failure)? && is_told;
        if is_done && arguments.once.is_some() {
            feeds.take(&mut view)?;
            break;
        }
        if drawn.is_none_or(|at| at.elapsed() >= DRAW_EVERY) {
            drawn = Some(Instant::now());
            screen.draw(&view, is_done, output)?;
        }
        stop.wait(if is_told || arguments.once.is_none() { Duration::from_millis(40) } else { Duration::ZERO });
    }
    screen.end(&view, output)
}

/// The feeds that are shown.
struct Feeds {
    readers: Vec<(Feed, AccessFeed, Reader)>,
}

impl Feeds {
    fn open(access: &Arc<dyn LogAccess>, settings: &Settings) -> Result<Feeds, Failure> {
        let span = Span { from_beginning: true, until_end: false };
        let open = |feed: Feed| {
            let topic = place::topic_of(settings, feed);
            let reader = AccessFeed::open(Arc::clone(access), &topic, span);
            Ok((feed, reader.map_err(|error: LogError| hub::log_failure(&error))?, Reader::new(feed)))
        };
        let readers = [Feed::Metrics, Feed::Customers, Feed::Rejected].into_iter().chain(Findings::FEEDS).map(open);
        Ok(Feeds { readers: readers.collect::<Result<_, Failure>>()? })
    }

    /// Hands what is new to the view.
    fn take(&mut self, view: &mut View) -> Result<(), Failure> {
        for (feed, log, reader) in &mut self.readers {
            while let Next::Record(record) = log.next(Duration::ZERO).map_err(|error| hub::log_failure(&error))? {
                match feed {
                    Feed::Rejected => view.rejected(&record),
                    _ => {
                        let key = String::from_utf8_lossy(&record.key).into_owned();
                        let value = record.value.as_deref().map(|value| reader.read(value)).transpose();
                        let value = value.map_err(hub::foreign_value)?;
                        match feed {
                            Feed::Metrics => view.metric(&key, value),
                            Feed::Customers => view.customer(&key, value),
                            _ => view.analysis(*feed, &key, value.as_ref()),
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
