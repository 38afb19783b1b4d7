//! What can be wrong with a configuration: each says which key, where it was set, and what to do.

use std::path::PathBuf;

/// The configuration cannot be used. All of these end a command with the exit code for usage.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The configuration file cannot be read.
    #[error("configuration file {} cannot be read: {message}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        message: String,
    },
    /// The configuration file is not TOML.
    #[error("configuration file {} is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {origin}{}", did_you_mean(.suggestion.as_deref()))]
    UnknownKey {
        /// `section.key`, as given.
        key: String,
        /// Where it was set.
        origin: String,
        /// The key that was probably meant.
        suggestion: Option<String>,
    },
    /// A value that a key cannot have.
    #[error("`{key}`{}: {message}", set_in(.origin.as_deref()))]
    Invalid {
        /// `section.key`.
        key: String,
        /// Where it was set; `None` for a default.
        origin: Option<String>,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A property of the Kafka client that is not passed through.
    #[error("`kafka.client.{name}`: {message}{}", did_you_mean(.suggestion.as_deref()))]
    ClientProperty {
        /// The property.
        name: String,
        /// Why it is refused, with the properties that are allowed.
        message: String,
        /// The property that was probably meant.
        suggestion: Option<String>,
    },
    /// A key that this command cannot do without.
    #[error("`{key}` is not set: {message}")]
    Missing {
        /// `section.key`.
        key: &'static str,
        /// What it is for and how to set it.
        message: String,
    },
    /// A file with a secret that cannot be used. Never contains the file's content.
    #[error("`{key}`: file {} {message}", path.display())]
    Secret {
        /// `section.key`.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        message: String,
    },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}

fn set_in(origin: Option<&str>) -> String {
    origin.map_or_else(String::new, |origin| format!(" in {origin}"))
}
