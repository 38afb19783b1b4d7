//! A browser's headers in; who asks, by session, token or because this machine may, out; and the tokens that show that a form is ours.
//!
//! Two cookies, neither of them readable for a script or sent along from elsewhere: the session, and for who has none a random
//! number that forms are tied to. Behind TLS both have the prefix `__Host-`, which no other host can set.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::serve::{
    access::{Caller, SESSION_LIFETIME, secret},
    http::inside::{Inside, Refused},
};

const SESSION: &str = "insight_session";
const FORM: &str = "insight_form";
/// What a page's script sends when it asks by itself.
const LIVE: &str = "x-insight-live";
/// The longest value of a cookie of ours, and more.
const COOKIE_BYTES_MAX: usize = 128;

/// A browser.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    session: Option<String>,
    /// What forms are tied to without a session, and whether the browser has it already.
    form: Option<String>,
    new_form: Option<String>,
    /// Whether the way to the browser is TLS: to here, or as whatever ends it says.
    is_secure: bool,
    /// Whether a page asks by itself.
    pub(super) is_live: bool,
    headers: HeaderMap,
}

/// Who asks for a page.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) caller: Caller,
    session: Option<String>,
    visitor: Visitor,
}

impl Visitor {
    /// `over_tls`: whether it came here over TLS.
    pub(super) fn of(headers: &HeaderMap, over_tls: bool) -> Visitor {
        let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // Of several that passed it on, the first is the browser's.
        let first = |name: &str| value(name).split(',').next().unwrap_or_default().trim().to_ascii_lowercase();
        let says_https = |pair: &str| matches!(pair.trim(), "proto=https" | "proto=\"https\"");
        let is_secure =
            over_tls || first("x-forwarded-proto") == "https" || first("forwarded").split(';').any(says_https);
        let session = cookie(headers, &name(SESSION, is_secure));
        let form = cookie(headers, &name(FORM, is_secure));
        // Without random numbers no form is taken.
        let new_form = if form.is_none() { secret().ok() } else { None };
        Visitor { session, form, new_form, is_secure, is_live: headers.contains_key(LIVE), headers: headers.clone() }
    }

    /// Sees to it that it can be told who it is, where somebody else must be asked first.
    pub(super) async fn prepare(&self, desk: &Inside) {
        if let Some(session) = &self.session {
            desk.access().prepare_session(session).await;
        }
        desk.prepare(&self.headers).await;
    }

    /// Who it is.
    pub(super) fn who(&self, desk: &Inside) -> Result<Who, Refused> {
        let who = |caller, session| Who { caller, session, visitor: self.clone() };
        if let Some(session) = &self.session {
            let found = desk.access().of_session(session, !self.is_live);
            if let Some(caller) = found.map_err(|error| Inside::failed(&error))? {
                return Ok(who(caller, Some(session.clone())));
            }
        }
        Ok(who(desk.caller_of(&self.headers)?, None))
    }

    /// The session that the browser says it has.
    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// What a form of somebody without a session must send.
    pub(super) fn form_token(&self) -> String {
        self.form.as_ref().or(self.new_form.as_ref()).map(|key| token(key)).unwrap_or_default()
    }

    /// Refuses a form that another page made.
    pub(super) fn check_form(&self, sent: &str) -> Result<(), Refused> {
        self.check_origin()?;
        check(self.form.as_deref(), sent)
    }

    /// Browsers say where a form was.
    fn check_origin(&self) -> Result<(), Refused> {
        let value = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let is_ours = match (value("sec-fetch-site"), value("origin"), value("host")) {
            (Some(site), ..) => matches!(site, "same-origin" | "none"),
            (None, Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, of)| of == host),
            (None, Some(_), None) => false,
            (None, None, _) => true,
        };
        if is_ours { Ok(()) } else { Err(not_ours()) }
    }

    /// The cookie that forms are tied to, for who has none.
    pub(super) fn new_form_cookie(&self) -> Option<HeaderValue> {
        let key = self.new_form.as_ref()?;
        self.cookie(FORM, key, "")
    }

    /// The cookie of a session that begins.
    pub(super) fn session_cookie(&self, secret: &str) -> Option<HeaderValue> {
        self.cookie(SESSION, secret, &format!("; Max-Age={}", SESSION_LIFETIME.as_secs()))
    }

    /// What takes the cookie of a session away.
    pub(super) fn no_session_cookie(&self) -> Option<HeaderValue> {
        self.cookie(SESSION, "", "; Max-Age=0")
    }

    fn cookie(&self, plain: &str, value: &str, more: &str) -> Option<HeaderValue> {
        let (name, secure) = (name(plain, self.is_secure), if self.is_secure { "; Secure" } else { "" });
        HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}")).ok()
    }
}

impl Who {
    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// What a form of theirs must send.
    pub(super) fn form_token(&self) -> String {
        self.session.as_ref().map_or_else(|| self.visitor.form_token(), |session| token(session))
    }

    /// Refuses a form that another page made.
    pub(super) fn check_form(&self, sent: &str) -> Result<(), Refused> {
        self.visitor.check_origin()?;
        check(self.session.as_deref().or(self.visitor.form.as_deref()), sent)
    }
}

fn check(key: Option<&str>, sent: &str) -> Result<(), Refused> {
    let is_it = key.is_some_and(|key| bool::from(token(key).as_bytes().ct_eq(sent.as_bytes())));
    if is_it { Ok(()) } else { Err(not_ours()) }
}

fn not_ours() -> Refused {
    Refused {
        status: StatusCode::FORBIDDEN,
        title: "The form is not of this session".to_owned(),
        detail: "go back, load the page again and send the form once more".to_owned(),
    }
}

/// What ties a form to a secret, without telling it.
fn token(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("insight-hub form {key}")))
}

fn name(plain: &str, is_secure: bool) -> String {
    if is_secure { format!("__Host-{plain}") } else { plain.to_owned() }
}

/// The one cookie of a name; where there are two, one is somebody else's.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(of, _)| *of == name).map(|(_, value)| value);
    let value = found.next().filter(|value| (1..=COOKIE_BYTES_MAX).contains(&value.len()))?;
    found.next().is_none().then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(headers: &[(&'static str, &str)]) -> Visitor {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, HeaderValue::from_str(value).expect("a header"));
        }
        Visitor::of(&all, false)
    }

    #[test]
    fn a_form_is_taken_from_whom_it_was_given_to() {
        let first = visitor(&[]);
        let cookie = first.new_form_cookie().expect("a cookie");
        let cookie = cookie.to_str().expect("text");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
        let pair = cookie.split(';').next().expect("a pair").to_owned();
        let token = first.form_token();
        let second = visitor(&[("cookie", &format!("other=1; {pair}"))]);
        assert!(second.new_form_cookie().is_none(), "it has one");
        assert_eq!(second.check_form(&token), Ok(()));
        let secret = pair.split_once('=').expect("a pair").1.to_owned();
        for wrong in ["", "x", &secret, &visitor(&[]).form_token()] {
            assert!(second.check_form(wrong).is_err(), "{wrong}");
        }
        assert!(first.check_form(&token).is_err(), "without the cookie");
        assert!(
            visitor(&[("cookie", &format!("{pair}; insight_form=evil"))]).check_form(&token).is_err(),
            "two cookies"
        );
        assert!(visitor(&[("cookie", &pair), ("cookie", &pair)]).check_form(&token).is_err(), "two cookies");
    }

    #[test]
    fn a_form_of_another_page_is_refused_whatever_it_sends() {
        let first = visitor(&[]);
        let cookie = first.new_form_cookie().expect("a cookie");
        let pair = cookie.to_str().expect("text").split(';').next().expect("a pair").to_owned();
        let (token, pair) = (first.form_token(), pair.as_str());
        let taken = |more: &[(&'static str, &str)]| {
            let headers = [&[("cookie", pair), ("host", "hub:9700")], more].concat();
            visitor(&headers).check_form(&token).is_ok()
        };
        assert!(taken(&[]) && taken(&[("sec-fetch-site", "same-origin")]) && taken(&[("origin", "http://hub:9700")]));
        for site in ["cross-site", "same-site"] {
            assert!(!taken(&[("sec-fetch-site", site)]), "{site}");
        }
        for origin in ["http://evil.example", "null", "http://hub:9701", "http://hub:9700.evil.example"] {
            assert!(!taken(&[("origin", origin)]), "{origin}");
        }
    }

    #[test]
    fn behind_tls_cookies_are_secure_and_of_this_host() {
        for header in [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-proto", " HTTPS ,http,https"),
            ("forwarded", "for=1.2.3.4;Proto=HTTPS"),
            ("forwarded", "for=1.2.3.4; proto=\"https\", for=10.0.0.1;proto=http"),
        ] {
            let visitor = visitor(&[header]);
            for cookie in [visitor.session_cookie("abc"), visitor.new_form_cookie(), visitor.no_session_cookie()] {
                let cookie = cookie.expect("a cookie");
                let cookie = cookie.to_str().expect("text");
                assert!(cookie.starts_with("__Host-insight_") && cookie.contains("; Secure"), "{cookie}");
                assert!(cookie.contains("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
            }
        }
        assert!(Visitor::of(&HeaderMap::new(), true).is_secure, "its own TLS");
        for header in [
            ("x-forwarded-proto", "http, https"),
            ("x-forwarded-proto", "httpsx"),
            ("forwarded", "for=x;proto=http, proto=https"),
        ] {
            assert!(!visitor(&[header]).is_secure, "{header:?}");
        }
        let plain = visitor(&[]).session_cookie("abc").expect("a cookie");
        assert_eq!(plain, "insight_session=abc; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200");
        // A plain one does not pass for one of TLS.
        assert!(visitor(&[("x-forwarded-proto", "https"), ("cookie", "insight_session=abc")]).session().is_none());
    }
}
