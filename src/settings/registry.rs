//! What must hold within `[registry]`: one address, without what would be seen or would lead elsewhere.

use super::{
    FeedFormat, Settings,
    valid::{Broken, rule},
};

impl Settings {
    pub(super) fn validate_registry(&self) -> Result<(), Broken> {
        let registry = &self.registry;
        let url = registry.url.as_deref();
        if let Some(url) = url {
            check_url(url).map_err(|problem| ("registry.url", problem))?;
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

/// Whether an address does not leave this machine.
fn is_of_this_machine(url: &str) -> bool {
    let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|own| host.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')))
}

/// Whether an address can be one of a registry. The error says what to write instead.
fn check_url(url: &str) -> Result<(), String> {
    let wrong = |problem: &str| Err(format!("{problem}; write it as in https://registry.example.com:8081"));
    let rest = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) | (_, Some(rest)) => rest,
        _ => return wrong("it begins with neither https:// nor http://"),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return wrong(
            "it has a name or password in it, which would be seen; set registry.username and registry.password_file",
        );
    }
    if url.contains(['?', '#']) || url.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return wrong("it has a query, a fragment or a space");
    }
    // An address of IPv6 stands in brackets, and has colons of its own.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_host = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_' | '[' | ']' | ':');
    if host.is_empty() || !host.chars().all(is_host) {
        return wrong("it names no host");
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => wrong("its port is no number up to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        for url in ["http://127.0.0.1:8081", "https://registry.example.com/apis/ccompat/v7", "http://[::1]:8081/"] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for (url, problem) in [
            ("registry:8081", "neither https:// nor http://"),
            ("file:///etc/passwd", "neither https:// nor http://"),
            ("https://user:secret@registry:8081", "a name or password"),
            ("https://registry:8081/?a=b", "a query"),
            ("https://registry:8081/ x", "a query, a fragment or a space"),
            ("https://", "no host"),
            ("http://:8081", "no host"),
            ("http://registry:port", "no number"),
        ] {
            let error = check_url(url).expect_err(url);
            assert!(error.contains(problem), "{url}: {error}");
            assert!(!error.contains("secret"));
        }
    }
}
