//! What must hold within `[registry]`: one address, without what would be seen or would lead elsewhere.

use super::{
    FeedFormat, Settings,
    url::{UrlRules, check_url, is_of_this_machine},
    valid::{Broken, rule},
};

const URL: UrlRules = UrlRules {
    example: "https://registry.example.com:8081",
    login: "set registry.username and registry.password_file",
    query: false,
};

impl Settings {
    pub(super) fn validate_registry(&self) -> Result<(), Broken> {
        let registry = &self.registry;
        let url = registry.url.as_deref();
        if let Some(url) = url {
            check_url(url, URL).map_err(|problem| ("registry.url", problem))?;
        }
        for (key, is_set) in [
            ("registry.username", registry.username.is_some()),
            ("registry.password_file", registry.password_file.is_some()),
            ("registry.ca_file", registry.ca_file.is_some()),
            ("registry.certificate_file", registry.certificate_file.is_some()),
            ("registry.key_file", registry.key_file.is_some()),
        ] {
            rule(!is_set || url.is_some(), key, || {
                "has no effect without registry.url; set it, or remove this".into()
            })?;
        }
        let encrypts = url.is_some_and(|url| url.starts_with("https://"));
        rule(encrypts || registry.ca_file.is_none() && registry.certificate_file.is_none(), "registry.url", || {
            "certificates have no effect on http://; write https://, or remove them".into()
        })?;
        let both = |one: bool, other: bool, key, message: &str| rule(one == other, key, || message.into());
        both(
            registry.username.is_some(),
            registry.password_file.is_some(),
            "registry.password_file",
            "goes with registry.username; set both, or none",
        )?;
        both(
            registry.certificate_file.is_some(),
            registry.key_file.is_some(),
            "registry.key_file",
            "goes with registry.certificate_file; set both, or none",
        )?;
        rule(url.is_some() || self.topics.feed_format != FeedFormat::AvroRegistry, "topics.feed_format", || {
            "\"avro-registry\" needs a registry; set registry.url, or use \"avro\"".into()
        })?;
        rule(registry.unknown_seconds >= 2, "registry.unknown_seconds", || {
            "must be 2 or more: a record is offered again after at most one".into()
        })?;
        rule(registry.username.is_none() || encrypts || url.is_none_or(is_of_this_machine), "registry.url", || {
            "the password would be sent in clear; write https://, or remove registry.username".into()
        })?;
        rule((100..=60_000).contains(&registry.timeout_ms), "registry.timeout_ms", || {
            "must be between 100 and 60000".into()
        })
    }
}
