//! The configuration in; what somebody may do over HTTP, by tokens and by groups of the company's login, and whether that login's keys
//! can be had, out.

use std::collections::BTreeSet;

use super::findings::Finding;
use crate::{
    cli::{access, hub},
    serve::access::{Role, Token, TokenError, TokenFile, oidc::OidcOptions},
    settings::Settings,
};

/// The roles that somebody has: those of tokens that are good for something now, and those of groups of the company's login. Without
/// an API nobody has any.
///
/// # Errors
/// [`TokenError`] if the file of tokens cannot be read: who may what is not known then.
fn granted(settings: &Settings, now_ms: i64) -> Result<BTreeSet<Role>, TokenError> {
    if settings.serve.listen.is_none() {
        return Ok(BTreeSet::new());
    }
    let tokens = TokenFile::new(settings.serve.tokens_file(&settings.hub)).list()?;
    let is_good = |token: &&Token| !token.is_revoked() && token.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms);
    let of_tokens = tokens.iter().filter(is_good).flat_map(|token| token.roles.iter().cloned());
    Ok(of_tokens.chain(of_login(settings)).collect())
}

/// The roles of groups of the company's login.
fn of_login(settings: &Settings) -> BTreeSet<Role> {
    let pairs = settings.oidc.issuer.as_ref().and(settings.oidc.roles.as_deref());
    let groups = pairs.and_then(|pairs| OidcOptions::parse_roles(pairs).ok()).unwrap_or_default();
    groups.into_values().flatten().collect()
}

/// The departments that may send over HTTP, so that the hub writes to their topics.
///
/// # Errors
/// [`TokenError`] if the file of tokens cannot be read: who may send is not known then.
pub(super) fn senders(settings: &Settings, now_ms: i64) -> Result<BTreeSet<String>, TokenError> {
    let spoke = |role| match role {
        Role::Ingest(spoke) => Some(spoke),
        _ => None,
    };
    Ok(granted(settings, now_ms)?.into_iter().filter_map(spoke).collect())
}

/// Whether the keys of the company's login can be had, and which roles nobody has.
pub(super) fn look(settings: &Settings, findings: &mut Vec<Finding>) {
    if settings.serve.listen.is_none() {
        return;
    }
    look_at_keys(settings, findings);
    findings.push(roles(settings, hub::now_ms()));
}

fn look_at_keys(settings: &Settings, findings: &mut Vec<Finding>) {
    // What is wrong with it otherwise was said before anything was asked.
    let Ok(Some(options)) = access::oidc_options(settings) else { return };
    let oidc = &settings.oidc;
    let place = match (&oidc.jwks_file, &oidc.jwks_url) {
        (Some(path), _) => path.display().to_string(),
        (None, url) => url.clone().unwrap_or_default(),
    };
    findings.push(match options.keys.look() {
        Ok(count) => Finding::right("login", place, format!("has {count} keys that tokens can be checked with")),
        Err(problem) => {
            let next = "nobody is let in by a signed token; mend that, or correct the section [oidc]";
            Finding::missing("login", place, problem, next)
        }
    });
}

/// What nobody can do over HTTP: nothing that the hub needs, and yet what somebody may miss.
fn roles(settings: &Settings, now_ms: i64) -> Finding {
    let granted = match granted(settings, now_ms) {
        Ok(granted) => granted,
        Err(error) => return Finding::unseen("roles", "all", error.to_string(), "look as the user of the hub"),
    };
    let names = |is_granted: bool| -> Vec<String> {
        let some = Role::PLAIN.iter().filter(|role| granted.contains(role) == is_granted);
        some.map(ToString::to_string).collect()
    };
    match names(false) {
        none if none.is_empty() => Finding::right("roles", names(true).join(", "), "somebody has each of them"),
        none => Finding::without(
            "roles",
            none.join(", "),
            "nobody has them over HTTP, by a token or by a group of the company's login",
            "if somebody is to: insight-hub token create NAME --role ROLE, or GROUP=ROLE in oidc.roles; commands on this machine need none",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::findings::State;

    fn settings(directory: &std::path::Path) -> (Settings, TokenFile) {
        let mut settings = Settings::default();
        settings.serve.listen = Some(([127, 0, 0, 1], 9_700).into());
        settings.serve.tokens_file = Some(directory.join("tokens.json"));
        (settings, TokenFile::new(directory.join("tokens.json")))
    }

    fn make(file: &TokenFile, roles: &[Role], expires_ms: Option<i64>) -> String {
        file.create("a", &roles.iter().cloned().collect(), expires_ms, 0).expect("a writable directory").token.id
    }

    fn log_in(settings: &mut Settings, roles: &str) {
        settings.oidc.issuer = Some("https://login.example".to_owned());
        settings.oidc.roles = Some(roles.to_owned());
    }

    #[test]
    fn a_department_sends_over_http_while_there_is_an_api_and_a_token_or_a_group_that_lets_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut settings, file) = settings(directory.path());
        let sent = |settings: &Settings, now_ms| {
            senders(settings, now_ms).expect("readable").into_iter().collect::<Vec<_>>().join(" ")
        };
        make(&file, &[Role::Ingest("shop".into()), Role::ReadMetrics], None);
        let listen = settings.serve.listen.take();
        assert_eq!(sent(&settings, 5), "", "there is no API");
        settings.serve.listen = listen;
        make(&file, &[Role::Ingest("sales".into())], Some(10));
        let gone = make(&file, &[Role::Ingest("support".into())], None);
        assert!(file.revoke(&gone).expect("a writable directory"));
        make(&file, &[Role::Operate], None);
        assert_eq!((sent(&settings, 9), sent(&settings, 10)), ("sales shop".to_owned(), "shop".to_owned()));
        log_in(&mut settings, "logistics=ingest:operations,cx=read:metrics");
        assert_eq!(sent(&settings, 10), "operations shop");
        settings.oidc.issuer = None;
        assert_eq!(sent(&settings, 10), "shop", "without an issuer no such token is taken");
        std::fs::write(directory.path().join("tokens.json"), "{").expect("a writable directory");
        assert!(senders(&settings, 5).is_err());
    }

    #[test]
    fn roles_that_nobody_has_by_a_token_or_by_the_login_are_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut settings, file) = settings(directory.path());
        let seen = |settings: &Settings| {
            let found = roles(settings, 5);
            (found.state, found.name)
        };
        let all = "read:metrics, read:customers, review, erase, operate";
        assert_eq!(seen(&settings), (State::Without, all.to_owned()));
        make(&file, &[Role::ReadMetrics, Role::Operate], None);
        assert_eq!(seen(&settings), (State::Without, "read:customers, review, erase".to_owned()));
        log_in(&mut settings, "care=read:customers,care=review");
        assert_eq!(seen(&settings), (State::Without, "erase".to_owned()), "who reviews does so by the login");
        log_in(&mut settings, "care=read:customers,care=review,privacy=erase");
        assert_eq!(seen(&settings), (State::Right, all.to_owned()));
        std::fs::write(directory.path().join("tokens.json"), "{").expect("a writable directory");
        assert_eq!(seen(&settings).0, State::Unseen);
    }
}
