//! The configuration in; the departments whose touchpoints come over HTTP, so that the hub writes to their topics, out.

use std::collections::BTreeSet;

use crate::{
    serve::access::{Role, Token, TokenError, TokenFile},
    settings::Settings,
};

/// The departments that may send over HTTP: those whose role a token has that is good for something now. Without an API there are
/// none.
///
/// # Errors
/// [`TokenError`] if the file of tokens cannot be read: who may send is not known then.
pub(super) fn senders(settings: &Settings, now_ms: i64) -> Result<BTreeSet<String>, TokenError> {
    if settings.serve.listen.is_none() {
        return Ok(BTreeSet::new());
    }
    let tokens = TokenFile::new(settings.serve.tokens_file(&settings.hub)).list()?;
    Ok(of(&tokens, now_ms))
}

fn of(tokens: &[Token], now_ms: i64) -> BTreeSet<String> {
    let is_good = |token: &&Token| !token.is_revoked() && token.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms);
    let spoke = |role: &Role| match role {
        Role::Ingest(spoke) => Some(spoke.clone()),
        _ => None,
    };
    tokens.iter().filter(is_good).flat_map(|token| token.roles.iter().filter_map(spoke)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_department_sends_over_http_while_there_is_an_api_and_a_token_that_lets_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut settings = Settings::default();
        settings.serve.tokens_file = Some(directory.path().join("tokens.json"));
        let file = TokenFile::new(directory.path().join("tokens.json"));
        let make = |roles: &[Role], expires_ms| {
            file.create("a", &roles.iter().cloned().collect(), expires_ms, 0).expect("a writable directory").token.id
        };
        let sent = |settings: &Settings, now_ms| {
            senders(settings, now_ms).expect("readable").into_iter().collect::<Vec<_>>().join(" ")
        };
        make(&[Role::Ingest("shop".into()), Role::ReadMetrics], None);
        assert_eq!(sent(&settings, 5), "", "there is no API");
        settings.serve.listen = Some(([127, 0, 0, 1], 9_700).into());
        make(&[Role::Ingest("sales".into())], Some(10));
        let gone = make(&[Role::Ingest("support".into())], None);
        assert!(file.revoke(&gone).expect("a writable directory"));
        make(&[Role::Operate], None);
        assert_eq!((sent(&settings, 9), sent(&settings, 10)), ("sales shop".to_owned(), "shop".to_owned()));
        std::fs::write(directory.path().join("tokens.json"), "{").expect("a writable directory");
        assert!(senders(&settings, 5).is_err());
    }
}
