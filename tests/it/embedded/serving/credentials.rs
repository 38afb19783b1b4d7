//! What somebody may send instead of a credential: each is refused alike, and nothing of it is in the answer or in the log.

use serde_json::{Map, Value, json};

use super::{
    login::{log_in, session},
    *,
};
use crate::harness::signer::{Signer, message, part, with_secret};

const ISSUER: &str = "https://login.example";
const AUDIENCE: &str = "insight-hub";

/// The company's login: four key pairs, and the settings of a hub that takes its tokens.
pub struct Login {
    rsa: Signer,
    ec: Signer,
    ed: Signer,
    _home: crate::harness::sweeper::Scratch,
    settings: Vec<String>,
}

impl Login {
    pub fn new(name: &str) -> Login {
        let home = crate::harness::sweeper::Scratch::new(name);
        let (rsa, ec, ed) = (Signer::rsa("rsa-1"), Signer::ec("ec-1"), Signer::ed("ed-1"));
        // It is about to sign with another one.
        let next = Signer::rsa("rsa-2");
        let path = home.path().join("jwks.json");
        std::fs::write(&path, json!({ "keys": [rsa.jwk(), next.jwk(), ec.jwk(), ed.jwk()] }).to_string()).unwrap();
        let roles: Vec<String> = ROLES.iter().map(|role| format!("group-{}={role}", role.replace(':', "-"))).collect();
        let settings = vec![
            format!("oidc.issuer={ISSUER}"),
            format!("oidc.audience={AUDIENCE}"),
            format!("oidc.jwks_file={}", path.display()),
            "oidc.algorithms=RS256,ES256,EdDSA".to_owned(),
            "oidc.roles_claim=groups".to_owned(),
            format!("oidc.roles={}", roles.join(",")),
        ];
        Login { rsa, ec, ed, _home: home, settings }
    }

    pub fn settings(&self) -> Vec<&str> {
        self.settings.iter().map(String::as_str).collect()
    }

    /// What a token of somebody with a role claims.
    fn claims(role: &str) -> Value {
        let now = now_s();
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": format!("somebody with {role}"),
            "groups": ["others", format!("group-{}", role.replace(':', "-"))],
            "exp": now + 600, "nbf": now - 5, "iat": now - 5,
        })
    }

    /// A token with a role, as a header's value, and what the audit calls whoever has it.
    pub fn token(&self, role: &str) -> (String, String) {
        let token = match role.len() % 3 {
            0 => self.rsa.token(&Login::claims(role)),
            1 => self.ec.token(&Login::claims(role)),
            _ => self.ed.token(&Login::claims(role)),
        };
        let subject = format!("{ISSUER}\nsomebody with {role}");
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, subject.as_bytes());
        let digits: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        (format!("Bearer {token}"), format!("oidc-{digits}"))
    }

    /// One that has ended, and one for somebody else.
    pub fn ended(&self) -> [String; 2] {
        let mut ended = Login::claims("read:metrics");
        ended["exp"] = json!(now_s() - 60);
        let mut elsewhere = Login::claims("read:metrics");
        elsewhere["aud"] = json!("another-service");
        [ended, elsewhere].map(|claims| format!("Bearer {}", self.rsa.token(&claims)))
    }
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn changed(value: &Value, changes: &[(&str, Value)]) -> Value {
    let mut value = value.clone();
    let fields: &mut Map<String, Value> = value.as_object_mut().unwrap();
    for (name, change) in changes {
        fields.insert((*name).to_owned(), change.clone());
    }
    value
}

fn without(value: &Value, name: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove(name);
    value
}

/// Signed tokens that are none: what is wrong, and the token.
fn wrong_tokens(login: &Login) -> Vec<(String, String)> {
    let (rsa, ec, ed) = (&login.rsa, &login.ec, &login.ed);
    let (header, claims, now) = (rsa.header(), Login::claims("read:metrics"), now_s());
    let right = rsa.token(&claims);
    let parts: Vec<&str> = right.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let mut wrong: Vec<(String, String)> = Vec::new();
    let mut add = |what: &str, token: String| wrong.push((what.to_owned(), token));

    // Of its form.
    add("no signature", format!("{head}.{body}"));
    add("an empty signature", format!("{head}.{body}."));
    add("nothing but dots", "..".to_owned());
    add("an empty header", format!(".{body}.{signature}"));
    add("no claims", format!("{head}..{signature}"));
    add("four parts", format!("{right}.{signature}"));
    add("five parts, as if it were encrypted", format!("{right}.{body}.{signature}"));
    add("a dot behind it", format!("{right}."));
    add("a dot before it", format!(".{right}"));
    add("its last letter is missing", right[..right.len() - 1].to_owned());
    add("its first letter is missing", right[1..].to_owned());
    add("its first half", right[..right.len() / 2].to_owned());
    add("padded", format!("{head}.{body}.{signature}=="));
    add("a padded header", format!("{head}=.{body}.{signature}"));
    add("another alphabet", right.replace('-', "+").replace('_', "/") + "+/");
    add("no base64", format!("{head}.{body}.%%%%"));
    add("claims that are no base64", format!("{head}.!{body}.{signature}"));
    add("all upper case", right.to_ascii_uppercase());
    add("quoted", format!("\"{right}\""));
    add("one letter of the claims changed", format!("{head}.{}A.{signature}", &body[..body.len() - 1]));
    add("very long", rsa.token(&changed(&claims, &[("more", json!("x".repeat(9_000)))])));
    add("long and nothing", "e".repeat(9_000));
    add("claims that are a list", rsa.token(&json!([claims.clone()])));
    add("claims that are a text", rsa.token(&json!("iss")));
    let text = claims.to_string();
    let twice = |name: &str, value: &str| format!("{},\"{name}\":{value}}}", &text[..text.len() - 1]);
    for (name, value) in [("sub", "\"admin\""), ("exp", "9999999999"), ("groups", "[\"group-erase\"]")] {
        add(&format!("{name} twice"), rsa.sign(&format!("{head}.{}", part(twice(name, value))), "RS256"));
    }
    let two_algorithms = "{\"alg\":\"none\",\"kid\":\"rsa-1\",\"alg\":\"RS256\"}";
    add("two algorithms", rsa.sign(&format!("{}.{body}", part(two_algorithms)), "RS256"));
    add("claims with something behind them", rsa.sign(&format!("{head}.{}", part(format!("{text}{{}}"))), "RS256"));

    // Of its algorithm and its key.
    for word in ["none", "None", "NONE", "nOnE", ""] {
        let header = changed(&header, &[("alg", json!(word))]);
        add(&format!("algorithm {word:?}, unsigned"), format!("{}.", message(&header, &claims)));
        add(&format!("algorithm {word:?}, signed"), rsa.token_with(&header, &claims));
    }
    add("no algorithm", rsa.token_with(&without(&header, "alg"), &claims));
    add("a list of algorithms", rsa.token_with(&changed(&header, &[("alg", json!(["RS256"]))]), &claims));
    add("an algorithm in lower case", rsa.token_with(&changed(&header, &[("alg", json!("rs256"))]), &claims));
    for alg in ["RS384", "PS256"] {
        add(alg, rsa.token_with(&changed(&header, &[("alg", json!(alg))]), &claims));
    }
    let hs = changed(&header, &[("alg", json!("HS256"))]);
    add("the public key as a secret", with_secret(&rsa.public(), &hs, &claims));
    add("the published key as a secret", with_secret(rsa.jwk().to_string().as_bytes(), &hs, &claims));
    add("the modulus as a secret", with_secret(rsa.jwk()["n"].as_str().unwrap().as_bytes(), &hs, &claims));
    add("a point as a secret", with_secret(&ec.public(), &changed(&hs, &[("kid", json!("ec-1"))]), &claims));
    add("an empty secret", with_secret(b"", &hs, &claims));
    let secret = with_secret(&rsa.public(), &header, &claims);
    add("a secret's signature called RS256", secret);
    add("another key of its name", Signer::rsa("rsa-1").token(&claims));
    add("another's key under this name", ec.token_with(&changed(&ec.header(), &[("kid", json!("rsa-1"))]), &claims));
    add("this key under another name", rsa.token_with(&changed(&header, &[("kid", json!("ec-1"))]), &claims));
    let of_ec = message(&ec.header(), &claims);
    add("zeros for a signature", format!("{of_ec}.{}", part([0; 64])));
    add("zeros for one of Ed25519", format!("{}.{}", message(&ed.header(), &claims), part([0; 64])));
    add("a signature of half the length", format!("{of_ec}.{}", part([1; 32])));
    add(
        "the signature of another token",
        format!("{}.{signature}", message(&header, &changed(&claims, &[("sub", json!("x"))]))),
    );
    for kid in [
        json!("unheard-of"),
        json!(""),
        json!(7),
        Value::Null,
        json!(["rsa-1"]),
        json!("../../../../dev/null"),
        json!("rsa-1' OR '1'='1"),
        json!("rsa-1\u{0}"),
        json!("k".repeat(300)),
    ] {
        add(&format!("the key {kid}"), rsa.token_with(&changed(&header, &[("kid", kid.clone())]), &claims));
    }
    add("no name of a key, and two that it may be of", rsa.token_with(&without(&header, "kid"), &claims));
    let own = Signer::rsa("own");
    let with_own = |name: &str, value: Value| own.token_with(&changed(&own.header(), &[(name, value)]), &claims);
    add("its own key within", with_own("jwk", own.jwk()));
    add("the address of its own key", with_own("jku", json!("http://127.0.0.1:1/keys")));
    add("the address of its own certificate", with_own("x5u", json!("http://169.254.169.254/")));
    add("its own certificate", with_own("x5c", json!(["MIIB"])));
    for (name, value) in [
        ("jwk", rsa.jwk()),
        ("jku", json!(format!("{ISSUER}/keys"))),
        ("x5u", json!(ISSUER)),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("typ", json!("logout+jwt")),
        ("typ", json!(7)),
    ] {
        add(&format!("{name} in its header"), rsa.token_with(&changed(&header, &[(name, value)]), &claims));
    }

    // Of its claims.
    for needed in ["iss", "aud", "exp", "nbf", "sub"] {
        add(&format!("no {needed}"), rsa.token(&without(&claims, needed)));
        add(&format!("{needed} is null"), rsa.token(&changed(&claims, &[(needed, Value::Null)])));
    }
    for (name, value) in [
        ("exp", json!(now - 31)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(format!("{}", now + 600))),
        ("exp", json!(1e300)),
        ("nbf", json!(now + 600)),
        ("iat", json!(now + 600)),
        ("iss", json!("https://login.example/")),
        ("iss", json!("https://login.example.evil")),
        ("iss", json!([ISSUER])),
        ("aud", json!("another-service")),
        ("aud", json!(["another-service"])),
        ("aud", json!([])),
        ("aud", json!([AUDIENCE, 7])),
        ("aud", json!("INSIGHT-HUB")),
        ("sub", json!("")),
    ] {
        add(&format!("{name} is {value}"), rsa.token(&changed(&claims, &[(name, value.clone())])));
    }
    wrong
}

#[test]
fn whatever_is_no_credential_is_refused_alike_and_nothing_of_it_is_told() {
    let login = Login::new("bad-tokens-login");
    let mut settings = login.settings();
    settings.extend(["serve.requests_per_second=100000", "log.level=trace"]);
    let mut desk = Desk::open("bad-tokens", &settings);
    let (token, id) = desk.token("read:metrics", &[]);
    let (other, _) = desk.token("erase", &[]);
    let (revoked, revoked_id) = desk.token("read:metrics", &[]);
    desk.house.succeed(&["token", "revoke", &revoked_id]);
    desk.house.append(DAY_MS, &orders(1..2));
    desk.becomes("/api/v1/metrics", &[("authorization", &token)], &|answer| answer.status == 200);
    let (signed, _) = login.token("read:metrics");
    for right in [signed.clone(), signed.replace("Bearer", "bearer"), signed.replace("Bearer", "BEARER")] {
        assert_eq!(desk.ask("/api/v1/metrics", &[("authorization", &right)]).status, 200, "{right}");
    }
    let unnamed = login.ec.token_with(&without(&login.ec.header(), "kid"), &Login::claims("read:metrics"));
    let unnamed = format!("Bearer {unnamed}");
    assert_eq!(
        desk.ask("/api/v1/metrics", &[("authorization", &unnamed)]).status,
        200,
        "without a name of a key, where there is but one that it may be of"
    );

    check_login(&desk, &signed["Bearer ".len()..]);

    let mut wrong: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |what: &str, values: &[String]| wrong.push((what.to_owned(), values.to_vec()));
    for (what, token) in wrong_tokens(&login) {
        add(&what, &[format!("Bearer {token}")]);
    }
    let (secret, jwt) = (token["Bearer ".len()..].to_owned(), signed["Bearer ".len()..].to_owned());
    let (begin, end) = secret.split_at(secret.len() - 43);
    let swapped = format!("{begin}{}", &other[other.len() - 43..]);
    for (what, value) in [
        ("a revoked one", revoked.clone()),
        ("the first part of one", format!("Bearer {begin}")),
        ("one without its beginning", format!("Bearer {end}")),
        ("all but its last letter", format!("Bearer {}", &secret[..secret.len() - 1])),
        ("one letter more", format!("Bearer {secret}A")),
        ("a padded one", format!("Bearer {secret}=")),
        ("in upper case", format!("Bearer {}", secret.to_ascii_uppercase())),
        ("the id of one with the secret of another", format!("Bearer {swapped}")),
        ("an id", format!("Bearer {id}")),
        ("the prefix", "Bearer ihub_".to_owned()),
        ("a signed one with the prefix", format!("Bearer ihub_{jwt}")),
        ("a signed one behind one", format!("Bearer {secret}.{jwt}")),
        ("two spaces", format!("Bearer  {secret}")),
        ("something behind it", format!("Bearer {secret} x")),
        ("a tab", format!("Bearer\t{secret}")),
        ("no scheme", secret.clone()),
        ("a signed one without a scheme", jwt.clone()),
        ("nothing", "Bearer".to_owned()),
        ("another scheme", format!("Basic {secret}")),
        ("a signed one in another scheme", format!("Basic {jwt}")),
        ("a scheme that begins alike", format!("BearerX {secret}")),
        ("Token", format!("Token {secret}")),
        ("DPoP", format!("DPoP {jwt}")),
        ("two in one", format!("Bearer {secret}, Bearer {jwt}")),
    ] {
        add(what, &[value]);
    }
    add("two of them", &[token.clone(), token.clone()]);
    add("one of each kind", &[token.clone(), signed.clone()]);
    add("a right one behind a wrong one", &["Bearer x".to_owned(), token.clone()]);
    assert!(wrong.len() >= 60, "{} of them", wrong.len());

    for (what, values) in &wrong {
        let headers: Vec<(&str, &str)> = values.iter().map(|value| ("authorization", value.as_str())).collect();
        let answer = desk.ask("/api/v1/metrics", &headers);
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        assert_eq!(
            (answer.problem().as_str(), answer.headers["www-authenticate"].as_str()),
            ("unauthenticated", "Bearer")
        );
        // All alike: what was wrong is nobody's business.
        assert_eq!(answer.json()["detail"], "the token is none, has ended or was revoked", "{what}");
        // A form takes no more.
        let told = format!("{}{:?}", answer.body, answer.headers);
        for value in values {
            for piece in pieces(value) {
                assert!(!told.contains(piece), "{what}: {piece}");
            }
        }
    }
    let log = desk.house.log();
    assert!(log.contains("DEBUG"), "it says more than at work");
    for value in wrong.iter().flat_map(|(_, values)| values).chain([&token, &signed]) {
        for piece in pieces(value) {
            assert!(!log.contains(piece), "the log says {piece}");
        }
    }
    // A header that is longer than any is refused before anybody looks at it.
    let huge = format!("Bearer {}", "e".repeat(900_000));
    let answer = desk.try_ask("GET", "/api/v1/metrics", &[("authorization", &huge)]);
    assert!(answer.is_none_or(|answer| matches!(answer.status, 400 | 401 | 431)), "it is let in");
    assert_eq!(
        desk.ask("/api/v1/metrics", &[("authorization", &token)]).status,
        200,
        "and the right one is still right"
    );
}

/// A signed token opens the dashboard as well, until somebody logs out.
fn check_login(desk: &Desk, token: &str) {
    let page = desk.ask("/login", &[]);
    assert!(page.body.contains("(JWT)"), "it says what is taken: {}", page.body);
    assert_eq!(log_in(desk, &token[..token.len() - 4]).status, 401);
    let session = &session(&log_in(desk, token));
    assert!(session.starts_with("insight_session=") && !session.contains(&token[..20]), "{session}");
    assert_eq!(desk.ask("/metrics", &[("cookie", session)]).status, 200);
    assert_eq!(desk.ask("/customers/00000000000000000000000000000000", &[("cookie", session)]).status, 403);
}

/// What would give a credential away: its long words, but for those that are no secret.
fn pieces(value: &str) -> impl Iterator<Item = &str> {
    let words = value.split(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '_' | '+' | '/'));
    words.filter(|word| word.len() >= 20).map(|word| &word[word.len() - 20..])
}
