//! `[oidc]`: signed tokens (JWT) of the company's own login, beside the hub's own.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    url::{UrlRules, check_url, is_of_this_machine},
    valid::{Broken, rule},
};

const URL: UrlRules = UrlRules {
    example: "https://login.example.com/realms/company/protocol/openid-connect/certs",
    login: "keys are public, and need none",
    query: true,
};

/// `[oidc]`: tokens of the company's own login (OpenID Connect).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// Who issues them: `iss`, letter by letter. Without it no such token is taken.
    pub issuer: Option<String>,
    /// Whom they are for: what `aud` must have.
    pub audience: Option<String>,
    /// File with the issuer's public keys (JWKS); looked at for each token.
    pub jwks_file: Option<PathBuf>,
    /// Address of the issuer's public keys (JWKS), `https://…`.
    pub jwks_url: Option<String>,
    /// PEM file with the authorities that sign the certificate of `jwks_url`; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether `jwks_url` may be `http://…` on this machine.
    pub allow_loopback_http: bool,
    /// How tokens may be signed: words separated by commas.
    pub algorithms: String,
    /// What `typ` must be, without `application/`; empty: nothing, `JWT` or `at+jwt`.
    pub typ: String,
    /// Where the groups are: a claim's name, or a JSON pointer if it begins with `/`.
    pub roles_claim: String,
    /// What a group may: `GROUP=ROLE` pairs separated by commas.
    pub roles: Option<String>,
    /// How far the issuer's clock may be from this one, in seconds.
    pub leeway_seconds: u32,
    /// Whether a token without `nbf` is refused.
    pub require_nbf: bool,
    /// How old keys of `jwks_url` may be before they are asked for again, in seconds.
    pub refresh_seconds: u32,
    /// How long one request for them may take, in milliseconds.
    pub timeout_ms: u32,
}

impl Default for Oidc {
    fn default() -> Self {
        Oidc {
            issuer: None,
            audience: None,
            jwks_file: None,
            jwks_url: None,
            ca_file: None,
            allow_loopback_http: false,
            algorithms: "RS256".to_owned(),
            typ: String::new(),
            roles_claim: "roles".to_owned(),
            roles: None,
            leeway_seconds: 30,
            require_nbf: true,
            refresh_seconds: 900,
            timeout_ms: 5_000,
        }
    }
}

impl Oidc {
    /// Checks what must hold; the error names the key. What algorithms and roles there are is known where tokens are.
    pub(super) fn validate(&self) -> Result<(), Broken> {
        for (key, is_set) in [
            ("oidc.audience", self.audience.is_some()),
            ("oidc.jwks_file", self.jwks_file.is_some()),
            ("oidc.jwks_url", self.jwks_url.is_some()),
            ("oidc.roles", self.roles.is_some()),
        ] {
            rule(!is_set || self.issuer.is_some(), key, || "has no effect without oidc.issuer; set it too".into())?;
        }
        if let Some(url) = &self.jwks_url {
            check_url(url, URL).map_err(|problem| ("oidc.jwks_url", problem))?;
            let is_safe = url.starts_with("https://") || self.allow_loopback_http && is_of_this_machine(url);
            rule(is_safe, "oidc.jwks_url", || {
                "keys that come in clear may be anybody's; write https:// (oidc.allow_loopback_http is for tests on this machine)"
                    .into()
            })?;
        }
        rule(self.ca_file.is_none() || self.jwks_url.is_some(), "oidc.ca_file", || {
            "has no effect without oidc.jwks_url; set it, or remove this".into()
        })?;
        rule(self.leeway_seconds <= 300, "oidc.leeway_seconds", || "must be 300 or less; see to the clocks".into())?;
        rule((5..=86_400).contains(&self.refresh_seconds), "oidc.refresh_seconds", || {
            "must be between 5 and 86400".into()
        })?;
        rule((100..=60_000).contains(&self.timeout_ms), "oidc.timeout_ms", || "must be between 100 and 60000".into())?;
        if self.issuer.is_none() {
            return Ok(());
        }
        let is_text = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
        rule(is_text(&self.issuer), "oidc.issuer", || "is empty; write what `iss` is in a token".into())?;
        rule(is_text(&self.audience), "oidc.audience", || {
            "is needed: a token for another service must not be good here; write what `aud` is in a token".into()
        })?;
        rule(self.jwks_file.is_some() != self.jwks_url.is_some(), "oidc.jwks_url", || {
            "set either this or oidc.jwks_file: the keys that tokens are checked with".into()
        })?;
        rule(!self.roles_claim.trim().is_empty(), "oidc.roles_claim", || {
            "is empty; name the claim with the groups".into()
        })?;
        rule(is_text(&self.roles), "oidc.roles", || {
            "is needed: what the issuer's groups may do here, as in \"cx-analysts=read:metrics,cx-care=read:customers\""
                .into()
        })
    }
}
