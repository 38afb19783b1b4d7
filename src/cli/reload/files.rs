//! The files that the configuration names, and that are read once: which of them have another content than at the start.
//!
//! Others are read again whenever they are needed: the registry's password, the API's tokens and certificate, keys of the company's login.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::settings::Settings;

/// Of a file, so much is looked at: certificates of all authorities that there are have less.
const BYTES_MAX: u64 = 4 << 20;

/// Keys with the files that they name.
fn named(settings: &Settings) -> [(&'static str, Option<&PathBuf>); 9] {
    let (kafka, registry) = (&settings.kafka, &settings.registry);
    [
        ("hub.person_key_file", settings.hub.person_key_file.as_ref()),
        ("kafka.ca_file", kafka.ca_file.as_ref()),
        ("kafka.certificate_file", kafka.certificate_file.as_ref()),
        ("kafka.key_file", kafka.key_file.as_ref()),
        ("kafka.password_file", kafka.password_file.as_ref()),
        ("oidc.ca_file", settings.oidc.ca_file.as_ref()),
        ("registry.ca_file", registry.ca_file.as_ref()),
        ("registry.certificate_file", registry.certificate_file.as_ref()),
        ("registry.key_file", registry.key_file.as_ref()),
    ]
}

/// What was in them, as hashes: `None` of one that could not be read.
#[derive(Debug)]
pub(in crate::cli) struct Files(BTreeMap<&'static str, Option<blake3::Hash>>);

impl Files {
    /// Looks at the files that a configuration names.
    pub(in crate::cli) fn of(settings: &Settings) -> Files {
        let named = named(settings).into_iter().filter_map(|(key, path)| Some((key, hash(path?).ok())));
        Files(named.collect())
    }

    /// The keys whose files have another content now, in order. One that names another file is none of them.
    pub(super) fn changed(&self, settings: &Settings, new: &Settings) -> Vec<String> {
        let mut changed = Vec::new();
        for ((key, path), (_, named_now)) in named(settings).into_iter().zip(named(new)) {
            let (Some(path), true) = (path, path == named_now) else { continue };
            if self.0.get(key) != Some(&hash(path).ok()) {
                changed.push(format!("{key} (its content)"));
            }
        }
        changed
    }
}

fn hash(path: &Path) -> io::Result<blake3::Hash> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(blake3::hash(&bytes))
}
