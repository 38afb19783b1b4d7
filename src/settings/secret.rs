//! Files with secrets in; the secrets out, with a warning when others can read them.

use std::{
    fmt,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::model::PersonKey;

use super::{Hub, Kafka, Registry, SettingsError};

/// Hexadecimal digits of a person key: 256 bits.
const PERSON_KEY_DIGITS: usize = 64;
/// A secret is short: a larger file is another file, given by mistake.
const SECRET_BYTES_MAX: u64 = 4_096;
/// Any right for everyone, or writing for the group. Reading by the group is how containers mount secrets.
const TOO_OPEN: u32 = 0o027;

/// A secret text. Neither shown nor logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the client that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl Hub {
    /// Reads the key of person ids. `warn` hears of a file that others can read.
    pub fn person_key(&self, warn: &mut dyn FnMut(String)) -> Result<PersonKey, SettingsError> {
        const KEY: &str = "hub.person_key_file";
        let Some(path) = &self.person_key_file else {
            return Err(SettingsError::Missing {
                key: KEY,
                message: "person ids are keyed hashes and need a key that never changes; make one with \
                          `openssl rand -hex 32 > person.key && chmod 600 person.key`, keep a copy, and name the file \
                          in the configuration"
                    .into(),
            });
        };
        let text = read(KEY, path, warn)?;
        parse_person_key(&text.0).ok_or_else(|| SettingsError::Secret {
            key: KEY,
            path: path.clone(),
            message: format!(
                "has {} characters; it must hold exactly {PERSON_KEY_DIGITS} hexadecimal digits (256 bits)",
                text.0.chars().count()
            ),
        })
    }
}

impl Kafka {
    /// Reads the password to log in with; `None` when no file is configured.
    pub fn password(&self, warn: &mut dyn FnMut(String)) -> Result<Option<Secret>, SettingsError> {
        let path = self.password_file.as_deref();
        path.map(|path| read("kafka.password_file", path, warn)).transpose()
    }
}

impl Registry {
    /// Reads the password to log in with; `None` when no file is configured.
    pub fn password(&self, warn: &mut dyn FnMut(String)) -> Result<Option<Secret>, SettingsError> {
        let path = self.password_file.as_deref();
        path.map(|path| read("registry.password_file", path, warn)).transpose()
    }
}

fn read(key: &'static str, path: &Path, warn: &mut dyn FnMut(String)) -> Result<Secret, SettingsError> {
    let refused = |message: String| SettingsError::Secret { key, path: PathBuf::from(path), message };
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        // Who writes the secret where its file belongs must not see it in a log.
        std::io::ErrorKind::NotFound if !path.to_string_lossy().contains('/') => SettingsError::Invalid {
            key: key.to_owned(),
            origin: None,
            message: "there is no such file in the working directory; it takes the path of a file that has the secret, not the secret".into(),
        },
        _ => refused(format!("cannot be read: {error}")),
    })?;
    if !metadata.is_file() {
        return Err(refused("is not a file".into()));
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(refused(format!("is larger than {SECRET_BYTES_MAX} bytes: this is not the secret")));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & TOO_OPEN != 0 {
        warn(format!(
            "`{key}`: others may read or change file {} (mode {mode:03o}); run `chmod 600` on it",
            path.display()
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refused(format!("cannot be read: {error}")))?;
    // Editors and `echo` end a file with a newline that is not part of the secret.
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(refused("is empty".into()));
    }
    Ok(Secret(text.to_owned()))
}

fn parse_person_key(text: &str) -> Option<PersonKey> {
    let digits = text.as_bytes();
    if digits.len() != PERSON_KEY_DIGITS {
        return None;
    }
    let mut key = [0_u8; PERSON_KEY_DIGITS / 2];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(PersonKey(key))
}
