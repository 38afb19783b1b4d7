//! Pages of the dashboard by every role and state of a session: who sees which, and what leads to the login. What they look like is tested
//! in a browser.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Desk, ROLES, Stream, WITHIN, orders};
use crate::{embedded::identity::DAY_MS, harness::http::send};

/// Pages, and the roles that each is for; personal data is on none of those without `read:customers`.
const PAGES: [(&str, &[&str]); 15] = [
    // Each of its parts says by itself which role it needs.
    ("/", &ROLES),
    ("/department", &["read:metrics"]),
    ("/metrics", &["read:metrics"]),
    ("/journeys", &["read:metrics"]),
    ("/drivers", &["read:metrics"]),
    ("/priorities", &["read:metrics"]),
    ("/balance", &["read:metrics"]),
    ("/customers", &ROLES),
    ("/customers/review", &["read:customers", "review"]),
    ("/customers/privacy", &["erase"]),
    ("/alerts", &ROLES),
    ("/spokes", &["read:metrics", "operate"]),
    ("/spokes/letters", &["read:customers", "operate"]),
    ("/spokes/try", &ROLES),
    ("/operations", &["read:metrics", "operate"]),
];

#[test]
fn every_page_is_for_its_roles_and_leads_others_to_the_login() {
    let mut desk = Desk::open("pages", &["serve.requests_per_second=100000"]);
    desk.house.append(DAY_MS, &orders(1..4));
    desk.becomes("/api/v1/metrics/orders/roll-up?window=day", &[], &|answer| answer.status == 200);
    // Nobody has made a token: this machine may look in, and a page that makes its own name point here may not.
    assert_eq!(desk.ask("/metrics", &[]).status, 200);
    assert_eq!(desk.ask("/metrics", &[("host", "evil.example")]).status, 303);
    assert_eq!(desk.ask("/metrics", &[("x-forwarded-for", "1.2.3.4")]).status, 303);

    let tokens: Vec<(&str, String)> = ROLES.iter().map(|role| (*role, desk.token(role, &[]).0)).collect();
    let reader = &tokens.iter().find(|(role, _)| *role == "read:customers").unwrap().1;
    let person =
        desk.becomes("/api/v1/customers/email:ann1@example.org", &[("authorization", reader)], &|it| it.status == 200);
    let person = format!("/customers/{}", person.json()["person"].as_str().unwrap());
    let of_person: (&str, &[&str]) = (&person, &["read:customers"]);
    for (path, roles) in PAGES.into_iter().chain([of_person]) {
        let answer = desk.ask(path, &[]);
        let to_login = answer.headers.get("location").is_some_and(|it| it.starts_with("/login"));
        assert_eq!((answer.status, to_login), (303, true), "{path} without a credential");
        let head = desk.try_ask("HEAD", path, &[]).unwrap();
        assert_eq!((head.status, &head.headers["location"]), (303, &answer.headers["location"]), "HEAD {path}");
        for wrong in ["Bearer x", "Basic eDp5"] {
            let answer = desk.ask(path, &[("authorization", wrong)]);
            assert!(matches!(answer.status, 303 | 429), "{path} with {wrong}: {}", answer.status);
        }
        for cookie in ["insight_session=x", "insight_session=", "insight_session=x; insight_session=x"] {
            assert_eq!(desk.ask(path, &[("cookie", cookie)]).status, 303, "{path} with {cookie}");
        }
        for (role, token) in &tokens {
            let answer = desk.ask(path, &[("authorization", token)]);
            assert_eq!(
                answer.status,
                if roles.contains(role) { 200 } else { 403 },
                "{path} with {role}: {}",
                answer.body
            );
            assert!(answer.headers["content-security-policy"].starts_with("default-src 'none'; style-src 'self'"));
            assert_eq!(answer.headers["cache-control"], "no-store");
            let is_personal = answer.body.contains("ann1@example.org");
            assert!(!is_personal || *role == "read:customers", "{path} with {role} shows a person");
        }
    }
    assert!(desk.ask(&person, &[("authorization", reader)]).body.contains("ann1@example.org"));
    // Forms of nobody's are refused, whoever sends them.
    for path in FORMS {
        let answer = desk.try_ask("POST", path, &[("authorization", reader), ("content-length", "0")]).unwrap();
        assert_eq!(answer.status, 403, "POST {path}");
    }
    what_is_done_needs_its_role(&desk, &tokens);
}

/// Everything that takes a form.
const FORMS: [&str; 8] = [
    "/customers",
    "/customers/review",
    "/customers/privacy",
    "/alerts",
    "/priorities",
    "/spokes/try",
    "/logout",
    "/login",
];

/// A form of one's own is taken from whom its role has been given to; what it names may be nobody.
fn what_is_done_needs_its_role(desk: &Desk, tokens: &[(&str, String)]) {
    let nobody = "0".repeat(32);
    let forms: [(&str, String, &str, u16); 7] = [
        ("/alerts", format!("alert={nobody}"), "review", 404),
        ("/priorities", format!("priority={nobody}"), "review", 404),
        (
            "/customers/review",
            "step=look&decision=link&identifiers=email%3Aann1%40example.org".to_owned(),
            "review",
            400,
        ),
        ("/customers/review", "step=decide&decision=link&identifiers=x".to_owned(), "review", 400),
        ("/customers/review", "step=undo&command=none".to_owned(), "review", 303),
        ("/customers/privacy", "step=look&kind=email&value=nobody%40example.org".to_owned(), "erase", 404),
        // Without the tick nothing goes.
        ("/customers/privacy", "step=erase&kind=email&value=ann1%40example.org".to_owned(), "erase", 400),
    ];
    for (role, token) in tokens {
        let page = desk.ask("/customers", &[("authorization", token)]);
        let cookie = page.headers["set-cookie"].split(';').next().unwrap().to_owned();
        let csrf = form_token(desk, token, &cookie);
        for (path, body, needed, status) in &forms {
            let kind = ("content-type", "application/x-www-form-urlencoded");
            let headers = [("authorization", token.as_str()), ("cookie", &cookie), kind];
            let body = format!("csrf={csrf}&{body}");
            let answer = send(desk.port, "POST", path, &headers, body.as_bytes()).unwrap();
            let expected = if role == needed { *status } else { 403 };
            assert_eq!(answer.status, expected, "POST {path} with {role}: {}", answer.body);
        }
    }
    let (_, reader) = tokens.iter().find(|(role, _)| *role == "read:customers").unwrap();
    let still = desk.ask("/api/v1/customers/email:ann1@example.org", &[("authorization", reader)]);
    assert_eq!(still.status, 200, "nobody was erased");
}

/// What the forms of somebody must send: a page with a form says so.
pub(super) fn form_token(desk: &Desk, token: &str, cookie: &str) -> String {
    let page = desk.ask("/login", &[("authorization", token), ("cookie", cookie)]);
    let value = page.body.split("name=\"csrf\" value=\"").nth(1).expect("a form");
    value.split('"').next().expect("its token").to_owned()
}

impl Desk {
    /// Where a page listens.
    fn live_of(&self, page: &str, headers: &[(&str, &str)]) -> String {
        let page = self.becomes(page, headers, &|answer| answer.status == 200);
        let live = page.body.split("data-live=\"").nth(1).expect("a page that listens");
        live.split('"').next().expect("an address").replace("&#38;", "&")
    }

    /// The first thing that whoever listens there is told.
    fn told_first(&self, live: &str, headers: &[(&str, &str)]) -> String {
        let began = Instant::now();
        let (status, mut stream) = Stream::open(self.port, live, headers);
        assert_eq!(status, 200, "{live}");
        while !stream.text[stream.read..].contains("\n\n") {
            assert!(began.elapsed() < WITHIN, "nothing is told");
            stream.fill();
        }
        stream.text[stream.read..].to_owned()
    }

    /// Where a page listens of which nothing has changed since it was made.
    fn live_at_rest(&self, page: &str, headers: &[(&str, &str)]) -> String {
        let began = Instant::now();
        loop {
            let live = self.live_of(page, headers);
            let told = self.told_first(&live, headers);
            if !told.contains("changed") {
                assert!(told.contains("retry: 3000\n: here\n\n"), "{told}");
                return live;
            }
            assert!(began.elapsed() < WITHIN, "{page} is never at rest");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_page_is_told_at_once_what_has_changed_since_it_was_made() {
    let mut desk = Desk::open("live", &["serve.requests_per_second=100000"]);
    desk.house.append(DAY_MS, &orders(1..4));
    let (token, _) = desk.token("read:customers", &["--role", "read:metrics"]);
    let by = [("authorization", token.as_str())];
    let series = "/api/v1/metrics/orders/series?window=day";
    desk.becomes(series, &by, &|answer| answer.status == 200 && answer.items().len() == 3);
    let ann = desk.becomes("/api/v1/customers/email:ann1@example.org", &by, &|answer| answer.status == 200);
    let ann = format!("/customers/{}", ann.json()["person"].as_str().unwrap());

    // Between making a page and listening for it, something comes.
    let metrics = desk.live_at_rest("/metrics?metric=orders", &by);
    let of_ann = desk.live_at_rest(&ann, &by);
    desk.house.append(DAY_MS, &[orders(6..7), orders(11..12)].concat());
    desk.becomes(series, &by, &|answer| answer.items().len() == 5);
    let is_known = |answer: &crate::harness::http::Answer| answer.status == 200 && answer.json()["touchpoints"] == 3;
    desk.becomes("/api/v1/customers/email:ann1@example.org", &by, &is_known);
    for live in [&metrics, &of_ann] {
        let told = desk.told_first(live, &by);
        assert!(told.contains("retry: 3000\nevent: changed\n"), "{live}: {told}");
    }
    // A page of the former version says nothing of what it has seen.
    let former = metrics.split("&seen=").next().unwrap();
    assert!(former != metrics && desk.told_first(former, &by).contains("event: changed"));

    // Another process counts anew.
    let metrics = desk.live_at_rest("/metrics?metric=orders", &by);
    desk.house.restart();
    desk.becomes(series, &by, &|answer| answer.status == 200);
    assert!(desk.told_first(&metrics, &by).contains("event: changed"), "{metrics}");
}
