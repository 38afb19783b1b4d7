//! The configuration in; who may use the API, and over what, out; or why it must not be opened like that.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use super::{
    exit::{Exit, Failure},
    hub,
};
use crate::{
    serve::{
        access::{
            TokenFile,
            oidc::{Issuer, KeysAt, OidcOptions},
        },
        tls::{Fresh, Tls, TlsFiles, Validity},
    },
    settings::Settings,
    telemetry::{Event, Telemetry},
    wire::fetch::Trust,
};

/// Any right for everyone, or writing for the group.
const TOO_OPEN: u32 = 0o027;
/// A certificate that ends so soon is worth a word.
const ENDS_SOON_MS: i64 = 14 * 86_400_000;

/// Refuses to open what should be for those with a credential to those without. Whether this machine needs none.
pub(super) fn is_open_inside(settings: &Settings, listen: SocketAddr) -> Result<bool, Failure> {
    let path = settings.serve.tokens_file(&settings.hub);
    let file = TokenFile::new(path.clone());
    let unusable = |error: crate::serve::access::TokenError| {
        Failure::new(Exit::Failure, error.to_string(), "correct serve.tokens_file")
    };
    let (tokens, were_made) = file.found().map_err(unusable)?;
    let is_empty = tokens.is_empty();
    let make = "insight-hub token create NAME --role read:metrics";
    if is_empty && settings.serve.tokens_file.is_some() {
        return Err(Failure::new(
            Exit::Usage,
            format!("serve.tokens_file = \"{}\" is not there, or has no token in it", path.display()),
            format!("restore it, or make a token first: {make}"),
        ));
    }
    if is_empty && were_made {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "{} is gone, or has no token any more, and there were some: the API would be open to this machine",
                path.display()
            ),
            format!(
                "restore it, make a token ({make}), or remove {} if nobody is to need one",
                file.lock_path().display()
            ),
        ));
    }
    let is_inside = listen.ip().is_loopback();
    if is_empty && !is_inside && settings.oidc.issuer.is_none() {
        return Err(Failure::new(
            Exit::Usage,
            format!("other machines reach serve.listen = \"{listen}\", and there is no token"),
            format!("make one first: {make}; or listen on 127.0.0.1"),
        ));
    }
    if !is_inside && settings.serve.certificate_file.is_none() {
        tracing::warn!(
            address = %listen,
            "tokens and personal data travel in clear unless something before the hub ends TLS; set serve.certificate_file"
        );
    }
    Ok(is_inside && is_empty && settings.oidc.issuer.is_none())
}

/// Whose signed tokens are taken, if anybody's are.
pub(super) fn issuer(settings: &Settings) -> Result<Option<Arc<Issuer>>, Failure> {
    let Some(options) = oidc_options(settings)? else { return Ok(None) };
    let opened = Issuer::open(options).map_err(|problem| {
        Failure::new(Exit::Usage, format!("oidc.jwks_file is of no use: {problem}"), "put the issuer's JWKS there")
    });
    Ok(Some(Arc::new(opened?)))
}

/// What `[oidc]` says, valid.
pub(super) fn oidc_options(settings: &Settings) -> Result<Option<OidcOptions>, Failure> {
    let oidc = &settings.oidc;
    let (Some(issuer), Some(audience)) = (oidc.issuer.clone(), oidc.audience.clone()) else { return Ok(None) };
    let wrong = |key: &str, problem: String| {
        Failure::new(Exit::Usage, format!("{key}: {problem}"), "correct it; deploy/insight-hub.toml explains every key")
    };
    let keys = match (&oidc.jwks_file, &oidc.jwks_url) {
        (Some(path), _) => KeysAt::File(path.clone()),
        (None, url) => {
            let trust = Trust { ca_file: oidc.ca_file.clone(), certificate: None };
            let url = url.as_deref().unwrap_or_default();
            KeysAt::url(url, &trust, Duration::from_millis(oidc.timeout_ms.into()))
                .map_err(|problem| wrong("oidc.ca_file", problem))?
        }
    };
    let roles = oidc.roles.as_deref().unwrap_or_default();
    Ok(Some(OidcOptions {
        issuer,
        audience,
        keys,
        signings: OidcOptions::parse_signings(&oidc.algorithms).map_err(|problem| wrong("oidc.algorithms", problem))?,
        typ: (!oidc.typ.is_empty()).then(|| oidc.typ.clone()),
        roles_claim: oidc.roles_claim.clone(),
        roles: OidcOptions::parse_roles(roles).map_err(|problem| wrong("oidc.roles", problem))?,
        leeway: Duration::from_secs(oidc.leeway_seconds.into()),
        needs_nbf: oidc.require_nbf,
        refresh: Duration::from_secs(oidc.refresh_seconds.into()),
    }))
}

/// What is wrong with `[oidc]` and with the files of the API, without asking anybody.
pub(super) fn problems(settings: &Settings) -> Vec<String> {
    let oidc = match (&settings.oidc.jwks_file, oidc_options(settings)) {
        (_, Err(failure)) => Some(failure.happened),
        (Some(_), Ok(Some(options))) => Issuer::open(options).err().map(|problem| format!("oidc.jwks_file: {problem}")),
        (_, Ok(_)) => None,
    };
    let tls = tls_files(settings).and_then(|files| Fresh::read(&files).err()).map(|error| error.to_string());
    oidc.into_iter().chain(tls).collect()
}

/// The files of TLS, if they are configured.
fn tls_files(settings: &Settings) -> Option<TlsFiles> {
    let serve = &settings.serve;
    Some(TlsFiles { certificate: serve.certificate_file.clone()?, key: serve.key_file.clone()? })
}

/// What makes connections of the API TLS, if something does.
pub(super) fn tls(settings: &Settings, telemetry: &Telemetry) -> Result<Option<Tls>, Failure> {
    let Some(files) = tls_files(settings) else { return Ok(None) };
    warn_if_open(&files.key);
    let next = "correct serve.certificate_file or serve.key_file: the certificate first, then what signs it, and its key, in PEM";
    let fresh = Fresh::read(&files).map_err(|error| Failure::new(Exit::Usage, error.to_string(), next))?;
    tell(fresh.validity(), telemetry);
    let tls = Tls::new(files, fresh);
    tls.map(Some).map_err(|problem| Failure::new(Exit::Failure, format!("TLS cannot be had: {problem}"), next))
}

/// Says how long a certificate is good, and loudly if it is not.
pub(super) fn tell(validity: Validity, telemetry: &Telemetry) {
    let now_ms = hub::now_ms();
    let ends_ms = validity.ends_s.saturating_mul(1_000);
    if let Err(problem) = validity.at(now_ms) {
        tracing::warn!(
            "the certificate of the API {problem}: clients refuse it; replace serve.certificate_file and reload"
        );
    } else if ends_ms - now_ms < ENDS_SOON_MS {
        let days = (ends_ms - now_ms) / 86_400_000;
        tracing::warn!(days, "the certificate of the API expires soon; replace serve.certificate_file and reload");
    }
    telemetry.emit(Event::CertificateTaken { ends_s: validity.ends_s });
}

fn warn_if_open(key: &Path) {
    let mode = std::fs::metadata(key).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & TOO_OPEN != 0 {
        tracing::warn!(
            "`serve.key_file`: others may read or change file {} (mode {mode:03o}); run `chmod 600` on it",
            key.display()
        );
    }
}
