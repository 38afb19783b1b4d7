//! An address of a service in; whether it can be one, or what to write instead, out: nothing that would be seen or would lead elsewhere.

/// What an address of some service may have, and how a right one looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct UrlRules {
    /// One that is right.
    pub(super) example: &'static str,
    /// Where a name and password go instead.
    pub(super) login: &'static str,
    /// Whether it may have a query.
    pub(super) query: bool,
}

/// Whether an address does not leave this machine.
pub(super) fn is_of_this_machine(url: &str) -> bool {
    let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|own| host.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')))
}

/// Whether an address can be one of a service. The error says what to write instead.
pub(super) fn check_url(url: &str, rules: UrlRules) -> Result<(), String> {
    let wrong = |problem: &str| Err(format!("{problem}; write it as in {}", rules.example));
    let rest = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) | (_, Some(rest)) => rest,
        _ => return wrong("it begins with neither https:// nor http://"),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return wrong(&format!("it has a name or password in it, which would be seen; {}", rules.login));
    }
    if url.contains('#')
        || url.contains('?') && !rules.query
        || url.chars().any(|letter| letter.is_whitespace() || letter.is_control())
    {
        return wrong(if rules.query {
            "it has a fragment or a space"
        } else {
            "it has a query, a fragment or a space"
        });
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

    const RULES: UrlRules =
        UrlRules { example: "https://registry.example.com:8081", login: "set registry.username", query: false };

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        for url in ["http://127.0.0.1:8081", "https://registry.example.com/apis/ccompat/v7", "http://[::1]:8081/"] {
            assert_eq!(check_url(url, RULES), Ok(()), "{url}");
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
            let error = check_url(url, RULES).expect_err(url);
            assert!(error.contains(problem), "{url}: {error}");
            assert!(!error.contains("secret"));
        }
        let with_query = UrlRules { query: true, ..RULES };
        assert_eq!(check_url("https://issuer.example.com/keys?p=policy", with_query), Ok(()));
        assert!(check_url("https://issuer.example.com/keys#x", with_query).is_err());
        assert!(check_url("https://user:secret@issuer.example.com?p", with_query).is_err());
    }

    #[test]
    fn this_machine_is_known_by_its_own_names_only() {
        for url in ["http://localhost/x", "http://127.0.0.1:8081", "http://[::1]:1/", "http://localhost?x"] {
            assert!(is_of_this_machine(url), "{url}");
        }
        for url in ["http://localhost.evil.example", "http://127.0.0.1.evil.example/", "http://10.0.0.1", "localhost"] {
            assert!(!is_of_this_machine(url), "{url}");
        }
    }
}
