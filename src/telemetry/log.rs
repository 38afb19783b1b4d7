//! Log lines to standard error, as text or JSON. Standard output belongs to the commands' results.

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

/// What to log and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Text or JSON.
    pub format: LogFormat,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`) or directives such as `info,insight_hub::engine=debug`.
    pub level: String,
}

/// The log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `level` is neither a level nor directives.
    #[error(
        "log level {level:?} cannot be read ({message}); use error, warn, info, debug, trace or target=level pairs"
    )]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        message: String,
    },
    /// A log is already running in this process.
    #[error("the log of this process is already started")]
    Started,
}

impl LogOptions {
    /// Whether the level can be read.
    pub fn check(&self) -> Result<(), LogError> {
        self.filter().map(drop)
    }

    fn filter(&self) -> Result<EnvFilter, LogError> {
        EnvFilter::builder()
            .parse(&self.level)
            .map_err(|error| LogError::Level { level: self.level.clone(), message: error.to_string() })
    }
}

/// Starts the log of this process. Once per process.
pub fn start(options: &LogOptions) -> Result<(), LogError> {
    let filter = options.filter()?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match options.format {
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_target(false).with_ansi(colours).finish().try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).finish().try_init(),
    }
    .map_err(|_| LogError::Started)
}
