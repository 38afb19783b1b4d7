//! The company's login behind an authority of its own: certificates that are of no use, keys that are replaced, and browsers' sessions
//! that end with them.

use serde_json::json;

use super::*;
use crate::harness::{
    certificates::{Issuer, authority, certificate, certificate_of},
    http::send,
    signer::Signer,
    sweeper::Scratch,
};

/// What comes of showing a token at the dashboard's login.
pub fn log_in(desk: &Desk, token: &str) -> Answer {
    let page = desk.ask("/login", &[]);
    let form = page.headers["set-cookie"].split(';').next().unwrap().to_owned();
    let csrf = page.body.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let body = format!("csrf={csrf}&token={token}&next=%2Fmetrics");
    let headers = [("cookie", form.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    send(desk.port, "POST", "/login", &headers, body.as_bytes()).unwrap()
}

/// The cookie of a session that began.
pub fn session(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.headers["location"].as_str()), (303, "/metrics"), "{}", answer.body);
    answer.headers["set-cookie"].split(';').next().unwrap().to_owned()
}

/// Whether a page is shown to a session, rather than the login.
#[track_caller]
fn lasts(answer: &Answer) -> bool {
    match answer.status {
        200 => true,
        303 => {
            assert_eq!(answer.headers["location"], "/login?next=%2Fmetrics");
            false
        }
        status => panic!("{status}: {}", answer.body),
    }
}

fn document(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<Value>>() }).to_string()
}

fn token(signer: &Signer, ends_in_s: i64) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(since.as_secs()).unwrap();
    signer.token(&json!({
        "iss": "https://login.example", "aud": "insight-hub", "sub": "ann", "roles": ["cx"],
        "exp": now + ends_in_s, "nbf": now - 5, "iat": now - 5,
    }))
}

#[test]
fn a_login_behind_an_authority_of_its_own_is_followed_and_sessions_end_with_its_keys() {
    let home = Scratch::new("private-login");
    let (path, elsewhere) = (home.path(), home.path().join("elsewhere"));
    authority(path);
    authority(&elsewhere);
    certificate(path, "login", 2);
    certificate(path, "over", -1);
    certificate_of(path, "other", 2, "DNS:login.example");
    certificate(&elsewhere, "login", 2);
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let issuer = Issuer::open(&elsewhere, "login", document(&[&old]));
    let url = format!("https://127.0.0.1:{}/keys", issuer.port);
    let settings = [
        "oidc.issuer=https://login.example".to_owned(),
        "oidc.audience=insight-hub".to_owned(),
        format!("oidc.jwks_url={url}"),
        format!("oidc.ca_file={}", path.join("ca.pem").display()),
        "oidc.algorithms=ES256".to_owned(),
        "oidc.roles=cx=read:metrics".to_owned(),
        "oidc.refresh_seconds=5".to_owned(),
        "serve.requests_per_second=100000".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut desk = Desk::open("private-login", &settings);
    desk.house.append(DAY_MS, &orders(1..2));
    let by = |token: &str| format!("Bearer {token}");
    let (of_old, of_new) = (token(&old, 600), token(&new, 600));

    // Somebody else may be at that address: nobody is let in by what they say, and the log says what to do.
    let as_old = by(&of_old);
    let waits = desk.becomes("/api/v1/metrics", &[("authorization", &as_old)], &|answer| answer.status == 503);
    assert_eq!(waits.problem(), "starting");
    let trusted = "signed by nobody who is trusted here; name the PEM file of the authority that signs it as ca_file";
    let log = desk.house.log();
    assert!(log.contains(trusted) && log.contains("nobody is let in by a signed token meanwhile"), "{log}");
    for (folder, name, said) in [
        (elsewhere.as_path(), "login", trusted),
        (path, "over", "its certificate has expired"),
        (path, "other", "its certificate is of another name"),
    ] {
        issuer.show(folder, name);
        let (status, found, errors) = desk.house.run(&["check", "--connect"]);
        assert_eq!(status.code(), Some(1), "{errors}");
        assert!(found.contains(said) && found.contains(&url), "{said}:\n{found}");
    }
    issuer.show(path, "login");
    let (status, found, errors) = desk.house.run(&["check", "--connect"]);
    assert_eq!(status.code(), Some(0), "{found}\n{errors}");
    assert!(found.contains("has 1 keys that tokens can be checked with"), "{found}");
    assert!(found.contains("roles read:customers, review, erase, operate: nobody has them"), "{found}");

    // It is asked again by itself. A token of the hub's own opens a session beside that of the login.
    desk.becomes("/api/v1/metrics", &[("authorization", &as_old)], &|answer| answer.status == 200);
    let of_login = session(&log_in(&desk, &of_old));
    let (own, id) = desk.token("read:metrics", &[]);
    let of_token = session(&log_in(&desk, &own["Bearer ".len()..]));
    let soon_over = session(&log_in(&desk, &token(&old, 1)));
    let page = |session: &str| desk.ask("/metrics", &[("cookie", session)]);
    assert!(lasts(&page(&of_login)) && lasts(&page(&of_token)));

    // A new key is followed; what the old one signed is as good as before.
    issuer.answer(document(&[&old, &new]));
    let as_new = by(&of_new);
    desk.becomes("/api/v1/metrics", &[("authorization", &as_new)], &|answer| answer.status == 200);
    assert!(lasts(&page(&of_login)));
    assert!(!lasts(&page(&soon_over)), "its token has ended, and there is no leeway for a session");
    let of_both = session(&log_in(&desk, &of_new));

    // The old one is withdrawn: whoever came in by it goes, though no token comes from anywhere.
    issuer.answer(document(&[&new]));
    desk.becomes("/metrics", &[("cookie", &of_login)], &|answer| !lasts(answer));
    assert_eq!(desk.ask("/api/v1/metrics", &[("authorization", &as_old)]).status, 401);
    assert!(lasts(&page(&of_both)) && lasts(&page(&of_token)));
    desk.house.succeed(&["token", "revoke", &id]);
    assert!(!lasts(&page(&of_token)), "a token that was revoked ends its sessions");
}
