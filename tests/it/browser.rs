//! The dashboard in a real browser, against a hub with the demo company: every page without a complaint of the browser and without a
//! serious finding of axe, light, dark and narrow; login, search, timeline; news seen; hostile names inert. `doing`: what is decided,
//! acknowledged and erased there, and the keyboard; `states`: what is said when a page cannot be shown, or not as it should be.
//!
//! Pictures of the pages are in `target/screenshots`, for people to look at.

mod chromium;
mod doing;
mod states;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use insight_hub::engine::log::access::{Durability, LogAccess, NewRecord, socket::Remote};
use serde_json::{Value, json};

use self::chromium::Chromium;
use crate::harness::{
    http::ask,
    kafka::free_port,
    process::{Hub, HubCommand},
    sweeper::Scratch,
};

const WITHIN: Duration = Duration::from_secs(240);
/// Enough that every page has something to show.
const TOUCHPOINTS: &str = "24000";
/// The end of the story is soon taken for quiet: until then there are no alerts of its last days.
const IDLE: &str = "time.idle_partition_seconds=3";
/// What is in a name that is no name.
const HOSTILE: &str = "<img src=x onerror=\"window.isHurt=1\"><script>window.isHurt=1</script>'\"--></title>";

/// The browser and axe; `None` where `tests/run` could not have both, and has said and counted so.
fn tools() -> Option<(PathBuf, String)> {
    let set = std::env::var_os("INSIGHT_HUB_TEST_AXE");
    if set.as_ref().is_some_and(|set| set == "none") {
        return None;
    }
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-cache/axe/axe.min.js");
    let axe = set.map_or_else(usual, PathBuf::from);
    let script = std::fs::read_to_string(&axe);
    let script =
        script.unwrap_or_else(|error| panic!("{}: {error}; run `tests/run` once, which fetches it", axe.display()));
    let program = chromium::program().expect("Chromium is not installed: run `tests/run` once as root");
    Some((program, script))
}

/// A hub with the demo company, all of it taken in.
struct Demo {
    hub: Hub,
    home: Scratch,
    port: u16,
}

impl Demo {
    fn start() -> Demo {
        let (home, port) = (Scratch::new("demo-pages"), free_port());
        let directory = home.path().join("company").display().to_string();
        let listen = format!("serve.listen=127.0.0.1:{port}");
        let hub = Hub::command("demo-pages").args([
            "--set",
            &listen,
            "--set",
            "serve.requests_per_second=10000",
            "--set",
            IDLE,
            "demo",
        ]);
        let hub = hub.args([
            "--directory",
            &directory,
            "--touchpoints",
            TOUCHPOINTS,
            "--pace",
            "0",
            "--listen",
            "127.0.0.1:0",
        ]);
        let mut demo = Demo { hub: hub.spawn(), home, port };
        demo.until("the story is told", |demo| demo.hub.process.stdout().contains("The story is told"));
        demo.until("the copy of the feeds is current", |demo| {
            let page = ask(demo.port, "GET", "/", &[]);
            page.is_some_and(|page| page.status == 200 && page.body.contains("Current: everything"))
        });
        let told = format!("Dashboard: http://127.0.0.1:{}/", demo.port);
        assert!(demo.hub.process.stdout().contains(&told), "{}", demo.hub.process.story());
        demo
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Demo) -> bool) {
        let deadline = Instant::now() + WITHIN;
        while !is_so(self) {
            assert!(self.hub.process.is_running(), "the demo has ended\n{}", self.hub.process.story());
            assert!(Instant::now() < deadline, "not {what}\n{}", self.hub.process.story());
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("company/data")
    }

    fn token(&self, roles: &[&str]) -> String {
        let data = format!("hub.data_directory={}", self.data().display());
        let roles = roles.iter().flat_map(|role| ["--role", role]);
        let command: HubCommand =
            Hub::command("token").args(["--set", &data, "token", "create", "test", "-o", "json"]).args(roles);
        let (status, output, errors) = command.run(WITHIN);
        assert!(status.success(), "{errors}");
        let made: Value = serde_json::from_str(&output).expect("JSON");
        made["token"].as_str().expect("a token").to_owned()
    }

    /// The number of the customer whom the demo shows.
    fn customer(&self) -> String {
        let told = self.hub.process.stdout();
        let number = told.split("customer_id:").nth(1).and_then(|rest| rest.split_whitespace().next());
        number.expect("the demo names a customer").to_owned()
    }

    fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A department's event, after all others.
    fn append(&self, topic: &str, event: &Value) {
        let access: Arc<dyn LogAccess> = Arc::new(Remote::connect(&self.data()).expect("a socket").expect("a hub"));
        let timestamp_ms =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
        let payload = event.to_string();
        let record = NewRecord {
            timestamp_ms: i64::try_from(timestamp_ms).expect("before the year 292 million"),
            key: Some(b"key"),
            value: Some(payload.as_bytes()),
            ..NewRecord::default()
        };
        access.append(topic, &[record], Durability::AsConfigured).expect("taken");
    }
}

/// A ticket of the department of support, as its own system writes it.
fn ticket(id: &str, at: &str, subject: &str, customer: &Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/tickets", "type": "ticket.opened", "time": at,
        "data": { "ticket": id, "subject": subject, "product": HOSTILE, "region": HOSTILE, "segment": HOSTILE, "via": "phone",
            "requester": customer } })
}

/// A page as it is looked at: without complaints, without serious findings, no wider than the screen.
struct Looker<'a> {
    browser: Chromium,
    axe: &'a str,
    pictures: PathBuf,
    /// What was wrong with pages so far: all of it is told at once.
    wrong: Vec<String>,
}

impl Looker<'_> {
    fn look(&mut self, name: &str) {
        let mut wrong = Vec::new();
        for (screen, width, is_dark) in [("light", 1_280, false), ("dark", 1_280, true), ("narrow", 360, false)] {
            self.browser.screen(width, is_dark);
            let wide =
                self.browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            if wide.as_i64().is_none_or(|wide| wide > 0) {
                let widest = self.browser.value(
                    "[...document.querySelectorAll('main *, header *, footer *')].filter(it => it.getBoundingClientRect().right > innerWidth + 1 \
                     && !it.closest('.scroll')).slice(0, 5).map(it => it.outerHTML.slice(0, 160))",
                );
                wrong.push(format!("{screen}: {wide} pixels too wide: {widest}"));
            }
            let twice = self.browser.value(
                "(all => all.filter((id, at) => all.indexOf(id) !== at))([...document.querySelectorAll('[id]')].map(it => it.id))",
            );
            if twice != json!([]) {
                wrong.push(format!("{screen}: two things are called {twice}"));
            }
            // Everything is looked at, also what is folded away. In the dark only colours differ.
            self.browser.value("document.querySelectorAll('details').forEach(it => { it.open = true; })");
            let rules = if is_dark { "runOnly: ['color-contrast'], " } else { "" };
            wrong.extend(self.findings(rules).into_iter().map(|finding| format!("{screen}: {finding}")));
            self.browser.value("document.querySelectorAll('details').forEach(it => { it.open = false; })");
            let file = self.pictures.join(format!("{name}-{screen}.png"));
            self.browser.picture(&file);
        }
        self.browser.screen(1_280, false);
        wrong.extend(self.browser.complaints());
        self.wrong.extend(wrong.into_iter().map(|wrong| format!("{name}, {wrong}")));
        assert_ne!(self.browser.value("window.isHurt"), 1, "{name}");
    }

    fn findings(&mut self, rules: &str) -> Vec<String> {
        self.browser
            .value(&format!("typeof axe === 'undefined' ? ({{}}, eval.call, void (() => {{ {} }})()) : 0", self.axe));
        let found = self.browser.value(&format!(
            "axe.run(document, {{ {rules}resultTypes: ['violations'] }}).then(it => it.violations.map(v => \
             ({{ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + ' ' + \
             (n.any[0] ? n.any[0].message : '')) }})))"
        ));
        let is_serious = |finding: &&Value| matches!(finding["impact"].as_str(), Some("serious" | "critical"));
        found.as_array().expect("findings").iter().filter(is_serious).map(Value::to_string).collect()
    }
}

#[test]
fn people_look_in_with_a_real_browser() {
    let Some((program, axe)) = tools() else { return };
    let mut demo = Demo::start();
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    let mut looker = Looker { browser: Chromium::start(&program), axe: &axe, pictures, wrong: Vec::new() };

    // Nobody has made a token: this machine may read metrics, and sees nobody.
    looker.browser.open(&demo.address("/"));
    assert!(looker.browser.text("document.querySelector('main').innerText").contains("Scoreboard"));
    looker.browser.open(&demo.address("/customers"));
    assert!(looker.browser.text("document.querySelector('main').innerText").contains("read:customers"));
    looker.look("customers-masked");

    let all = demo.token(&["read:metrics", "read:customers", "operate", "review", "erase"]);
    let few = demo.token(&["operate"]);
    log_in(&mut looker, &demo, &all);
    every_page(&mut looker, &demo);
    let person = search(&mut looker, &demo, &all);
    news_are_seen(&mut looker, &demo, &person);
    let newest = looker.browser.text("document.querySelector('.timeline time').dateTime");
    hostile_names_are_inert(&mut looker, &demo, &newest);
    the_newest_alerts_are_the_oldest_turned_round(&demo, &all);
    doing::alerts_are_acknowledged(&mut looker, &demo);
    doing::identities_are_decided(&mut looker, &demo, &person, &newest);
    doing::persons_are_given_their_data_and_forgotten(&mut looker, &demo);
    doing::a_keyboard_reaches_everything(&mut looker, &demo);
    states::what_is_no_page_says_so(&mut looker, &demo);
    states::a_session_that_is_over_leads_back(&mut looker, &demo, &all);
    a_session_is_what_its_token_may(&mut looker, &demo, &few);
    states::a_page_that_listens_again_is_asked_for_again(&mut looker, &demo);
    states::a_page_says_that_the_hub_is_away(&mut looker, &mut demo);
    assert!(looker.wrong.is_empty(), "{}", looker.wrong.join("\n"));
}

/// The overview asks for the newest alone.
fn the_newest_alerts_are_the_oldest_turned_round(demo: &Demo, token: &str) {
    let by = format!("Bearer {token}");
    let get = |path: &str| {
        ask(demo.port, "GET", &format!("/api/v1/alerts?{path}"), &[("authorization", &by)]).expect("an answer")
    };
    let since = |path: &str| -> Vec<String> {
        get(path).items().iter().map(|it| it["since"].as_str().expect("a time").to_owned()).collect()
    };
    let deadline = Instant::now() + WITHIN;
    let person = loop {
        let some = get("limit=1000").items();
        let of = some.iter().map(|it| it["person"].as_str().expect("text")).filter(|person| !person.is_empty());
        // Of somebody with two of them, if there is one.
        let twice = of.clone().find(|person| some.iter().filter(|it| it["person"] == *person).count() > 1);
        if let Some(person) = twice.or_else(|| of.clone().next()) {
            break person.to_owned();
        }
        assert!(Instant::now() < deadline, "there is no alert");
        thread::sleep(Duration::from_millis(100));
    };
    for of in [format!("person={person}"), "cause=metric_unusual".to_owned()] {
        let oldest = || since(&format!("{of}&limit=1000"));
        let (before, newest, first) = loop {
            let before = oldest();
            let newest = since(&format!("{of}&limit=1000&order=newest"));
            let first = since(&format!("{of}&limit=1&order=newest"));
            // None has opened meanwhile.
            if oldest() == before {
                break (before, newest, first);
            }
        };
        let turned: Vec<String> = newest.iter().rev().cloned().collect();
        assert!(before.is_sorted() && turned == before, "{of}: {before:?} {newest:?}");
        assert_eq!(first, newest[..newest.len().min(1)]);
    }
    assert_eq!(get("order=newest").status, 400, "of whom?");
}

/// By keyboard alone.
fn log_in(looker: &mut Looker<'_>, demo: &Demo, token: &str) {
    let browser = &mut looker.browser;
    browser.open(&demo.address("/metrics?metric=csat"));
    assert_eq!(browser.text("location.pathname + location.search"), "/login?next=%2Fmetrics%3Fmetric%3Dcsat");
    looker.look("login");
    let browser = &mut looker.browser;
    browser.press("Tab");
    assert_eq!(browser.text("document.activeElement.className"), "skip", "the first stop is the way to the content");
    browser.write("#token", "ihub_0123456789abcdef_wrong");
    browser.leaving(|browser| browser.press("Enter"));
    assert!(browser.text("document.querySelector('[role=alert]').innerText").contains("none of this hub"));
    // The browser says that the answer was 401: that is so.
    assert!(browser.complaints().iter().all(|complaint| complaint.contains("401")));
    browser.write("#token", token);
    browser.leaving(|browser| browser.press("Enter"));
    assert_eq!(browser.text("location.pathname + location.search"), "/metrics?metric=csat", "where it was to go on");
    assert_eq!(browser.text("document.cookie"), "", "no script reads the session");
    let cookies = browser.call("Network.getCookies", json!({}));
    let session = cookies["cookies"]
        .as_array()
        .expect("cookies")
        .iter()
        .find(|it| it["name"] == "insight_session")
        .expect("one")
        .clone();
    assert_eq!((&session["httpOnly"], &session["sameSite"]), (&json!(true), &json!("Strict")));
    assert!(!session["value"].as_str().expect("text").contains(&token[token.len() - 20..]));
}

/// Pages with what they must show.
fn every_page(looker: &mut Looker<'_>, demo: &Demo) {
    let pages = [
        (
            "overview",
            "/",
            vec![
                "What changed",
                "What to fix first",
                "Net promoter score",
                "95 %",
                "n ",
                "that is closed",
                "so far",
                "What was done",
            ],
        ),
        (
            "department",
            "/department?spoke=support",
            vec!["What its failures do to others", "Satisfaction", "Its part in drivers"],
        ),
        (
            "metrics",
            "/metrics?metric=on_time&window=week",
            vec!["Delivered on time", "How it is computed", "All metrics"],
        ),
        (
            "metrics-by",
            "/metrics?metric=on_time&window=month&dimension=region&with=nps",
            vec!["by region", "Beside it: Net promoter score"],
        ),
        ("metrics-money", "/metrics?metric=revenue&window=month", vec!["Revenue, EUR"]),
        ("journeys", "/journeys?goal=repurchase", vec!["The most travelled ways", "Drop-offs", "Critical", "Markov"]),
        ("drivers", "/drivers?outcome=bought_again", vec!["Pearson", "Relative weight"]),
        ("priorities", "/priorities", vec!["What to fix first", "What was done", "Before"]),
        ("balance", "/balance", vec!["Where to invest", "The whole ranking", "Capacity used", "EUR"]),
        ("customers", "/customers", vec!["Kind of identifier", "Identity review", "Erasure and access"]),
        ("review", "/customers/review", vec!["Decide about identifiers", "Take a decision back"]),
        ("privacy", "/customers/privacy", vec!["Whose data", "Gather all that is kept"]),
        ("alerts", "/alerts", vec!["usual range", "Alerts about customers"]),
        ("spokes", "/spokes?spoke=support", vec!["Departments", "What became of records", "Dead letters"]),
        ("letters", "/spokes/letters?spoke=support", vec!["Why", "rejected replay --spoke support --dry-run"]),
        ("try", "/spokes/try", vec!["The mapping, as TOML"]),
        ("operations", "/operations", vec!["ready", "Tasks", "current"]),
    ];
    for (name, path, shown) in pages {
        looker.browser.open(&demo.address(path));
        let text = looker.browser.text("document.body.textContent");
        for part in shown {
            if !text.contains(part) {
                looker.wrong.push(format!("{part} is not on {path}"));
            }
        }
        assert!(looker.browser.value("document.querySelectorAll('nav [aria-current=page]').length") == 1, "{path}");
        looker.look(name);
    }
    // A mapping, tried.
    looker.browser.open(&demo.address("/spokes/try"));
    looker.browser.leaving(|browser| browser.click("main button[type=submit]"));
    let text = looker.browser.text("document.querySelector('main').innerText");
    assert!(text.contains("becomes a touchpoint of kind visit_made") && text.contains("is rejected"), "{text}");
    looker.look("tried");
}

/// From an identifier to a customer and what happened to them; their id.
fn search(looker: &mut Looker<'_>, demo: &Demo, token: &str) -> String {
    let browser = &mut looker.browser;
    browser.open(&demo.address("/customers"));
    browser.write("#value", "nobody-at-all");
    browser.leaving(|browser| browser.press("Enter"));
    assert!(browser.text("document.querySelector('[role=alert]').innerText").contains("Nobody is known"));
    assert!(browser.complaints().iter().all(|complaint| complaint.contains("404")));
    let number = demo.customer();
    browser.write("#value", &number);
    browser.leaving(|browser| browser.press("Enter"));
    let path = browser.text("location.pathname");
    let person = path.strip_prefix("/customers/").expect("a customer's page").to_owned();
    assert_eq!(person.len(), 32, "no identifier is in the address");
    let text = browser.text("document.querySelector('main').innerText");
    for part in [
        number.as_str(),
        "Timeline across departments",
        "Why this is one person",
        "What is open",
        "How the relationship is",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(
        browser.value("document.querySelectorAll('.timeline li').length").as_i64().is_some_and(|it| it > 1),
        "{text}"
    );
    what_is_expected_is_that_of_the_command(looker, demo, token, &person);
    looker.look("customer");
    person
}

/// What the models of buying say of a customer, or that nothing is known: on the page, over the API and by the command the same.
fn what_is_expected_is_that_of_the_command(looker: &mut Looker<'_>, demo: &Demo, token: &str, person: &str) {
    let by = format!("Bearer {token}");
    let known = ask(demo.port, "GET", &format!("/api/v1/customers/{person}"), &[("authorization", &by)]);
    let said = known.expect("an answer").json()["expected"].clone();
    let data = format!("hub.data_directory={}", demo.data().display());
    let (status, output, errors) =
        Hub::command("customer").args(["--set", &data, "customer", person, "-o", "json"]).run(WITHIN);
    assert!(status.success(), "{errors}");
    let shown: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(said, shown["expected"], "by the command");
    let text = looker.browser.text("document.querySelector('#health').textContent");
    let words = if said.is_null() {
        "no closed month has parameters: too few bought again, or how they did does not determine them"
    } else {
        "P(alive)"
    };
    assert!(text.contains(words), "{words} in {text}");
}

/// A page renews itself when something of what it shows has changed, and keeps what its reader has opened.
fn news_are_seen(looker: &mut Looker<'_>, demo: &Demo, person: &str) {
    let browser = &mut looker.browser;
    browser.open(&demo.address(&format!("/customers/{person}")));
    browser.until("document.body.dataset.listening");
    browser.click("#identity details summary");
    browser.until("document.querySelector('#identity details').open");
    let before = browser.value("document.querySelectorAll('.timeline li').length").as_i64().expect("a number");
    let newest = browser.text("document.querySelector('.timeline time').dateTime");
    demo.append("support.events", &ticket("t-live", &newest, "seen live", &json!({ "number": demo.customer() })));
    browser.until(&format!(
        "document.querySelector('#timeline').innerText.includes('seen live') || document.querySelectorAll('.timeline li').length > {before}"
    ));
    assert!(browser.text("document.querySelector('#timeline').innerText").contains("seen live"));
    assert_eq!(browser.value("document.querySelector('#identity details').open"), true, "what was open stays open");
    assert!(browser.text("document.querySelector('#said').textContent").starts_with("Updated"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Seconds since 1970 of a time as pages write it.
fn seconds(at: &str) -> i64 {
    at.parse::<jiff::Timestamp>().expect("a time").as_second()
}

/// The page of the customer who has an address, as soon as there is one.
fn find_by_email(looker: &mut Looker<'_>, demo: &Demo, email: &str) {
    let browser = &mut looker.browser;
    let deadline = Instant::now() + WITHIN;
    loop {
        browser.open(&demo.address("/customers"));
        browser.value("void (document.querySelector('#kind').value = 'email')");
        browser.write("#value", email);
        browser.leaving(|browser| browser.press("Enter"));
        if browser.text("location.pathname").len() > 20 {
            break;
        }
        assert!(Instant::now() < deadline, "the customer does not come");
        thread::sleep(Duration::from_millis(200));
    }
    browser.until("document.querySelector('#timeline')");
    // It was not there at once.
    browser.complaints();
}

/// What a field has where its name should be.
fn hostile(field: &str) -> String {
    format!("{HOSTILE}{field}")
}

/// Whatever a department writes where a name should be is text.
fn hostile_names_are_inert(looker: &mut Looker<'_>, demo: &Demo, newest: &str) {
    let customer = json!({ "number": HOSTILE, "email": "hostile@example.org", "company": hostile("account") });
    demo.append("support.events", &ticket("t-hostile", newest, &hostile("subject"), &customer));
    demo.append(
        "marketing.events",
        &json!({ "id": hostile("id"), "ts": seconds(newest), "event": hostile("kind"), "segment": hostile("segment"),
            "market": hostile("region"), "product": hostile("product"), "cmp": hostile("campaign"), "asset": hostile("content"),
            "variant": hostile("property"), "referred_by": hostile("referrer"),
            "profile": { "mail": "hostile@example.org", "cookie": hostile("cookie") } }),
    );
    demo.append("support.events", &json!({ "specversion": "1.0", "id": HOSTILE, "type": HOSTILE, "data": HOSTILE }));
    find_by_email(looker, demo, "hostile@example.org");
    let browser = &mut looker.browser;
    browser.until("document.querySelectorAll('.timeline li').length > 1");
    let text = browser.text("document.querySelector('main').textContent");
    // Who referred them is a hash.
    for field in
        ["subject", "account", "segment", "region", "product", "campaign", "content", "property", "id", "cookie"]
    {
        assert!(text.contains(&hostile(field)), "{field} as text in {text}");
    }
    looker.look("hostile-customer");
    let by = |dimension| (format!("/metrics?metric=reach&window=month&dimension={dimension}"), Some(dimension));
    let whole = |path: &str| (path.to_owned(), None);
    for (path, dimension) in [
        by("region"),
        by("segment"),
        by("subject"),
        by("product"),
        by("account"),
        by("campaign"),
        whole("/spokes?spoke=support"),
        whole("/spokes?spoke=marketing"),
        whole("/alerts"),
        whole("/journeys"),
        whole("/balance"),
    ] {
        looker.browser.open(&demo.address(&path));
        if let Some(dimension) = dimension {
            // Where there is something to choose; and then in titles, pictures and tables.
            let name = hostile(dimension);
            looker.browser.until(&format!("document.querySelector('main').textContent.includes({})", json!(name)));
            looker.browser.value(&format!("void (document.querySelector('#value').value = {})", json!(name)));
            looker.browser.leaving(|browser| browser.click("main form button"));
            let shown = format!("document.querySelector('#series').textContent.includes({})", json!(name));
            assert_eq!(looker.browser.value(&shown), true, "{path}");
        }
        assert_ne!(looker.browser.value("window.isHurt"), 1, "{path}");
        let planted = looker.browser.value("document.querySelectorAll('main img, main script').length");
        assert_eq!(planted, 0, "{path}");
        assert_eq!(looker.browser.complaints(), Vec::<String>::new(), "{path}");
    }
    looker.browser.open(&demo.address("/spokes/letters?spoke=support"));
    assert!(looker.browser.text("document.querySelector('main').innerText").contains("<script>window.isHurt=1"));
    // In a sample that is tried, and in its mapping.
    looker.browser.open(&demo.address("/spokes/try"));
    let spoilt = [
        ("sample", "tyres", HOSTILE.replace('"', "\\\"")),
        ("mapping", "spoke = ", format!("'{}' = 1\nspoke = ", HOSTILE.replace('\'', ""))),
    ];
    for (area, plain, hostile) in spoilt {
        looker.browser.value(&format!(
            "(() => {{ const it = document.querySelector('#{area}'); it.value = it.value.replace({}, () => {}); }})()",
            json!(plain),
            json!(hostile)
        ));
        looker.browser.leaving(|browser| browser.click("main button[type=submit]"));
        let text = looker.browser.text("document.querySelector('#found').innerText");
        assert!(text.contains("<script>window.isHurt=1"), "{area}: {text}");
        assert_eq!(looker.browser.value("document.querySelectorAll('main img, main script').length"), 0);
    }
    // In an address, too.
    let encoded: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for path in [
        "/metrics?metric=",
        "/department?spoke=",
        "/alerts?owner=",
        "/login?next=",
        "/priorities?month=",
        "/balance?month=",
        "/spokes/letters?spoke=",
        "/spokes/letters?cursor=",
        "/customers/review?done=",
        "/customers/privacy?request=",
        "/nothing/",
    ] {
        looker.browser.open(&demo.address(&format!("{path}{encoded}")));
        assert_ne!(looker.browser.value("window.isHurt"), 1, "{path}");
    }
    looker.browser.complaints();
}

/// Whoever has another token sees what that one may see, and nothing after the end.
fn a_session_is_what_its_token_may(looker: &mut Looker<'_>, demo: &Demo, few: &str) {
    let browser = &mut looker.browser;
    browser.open(&demo.address("/"));
    browser.leaving(|browser| browser.click(".who button"));
    assert_eq!(browser.text("location.pathname"), "/login");
    browser.open(&demo.address("/"));
    assert_eq!(browser.text("location.pathname"), "/login", "the session is over");
    browser.write("#token", few);
    browser.leaving(|browser| browser.press("Enter"));
    let text = browser.text("document.querySelector('main').innerText");
    assert!(text.contains("this needs the role"), "{text}");
    looker.look("overview-without-roles");
    looker.browser.open(&demo.address("/spokes"));
    assert!(looker.browser.text("document.querySelector('#letters').innerText").contains("withheld"));
    // A form of another page, and one without its token, change nothing.
    let browser = &mut looker.browser;
    let status = browser.value(
        "fetch('/logout', { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'csrf=wrong' }).then(it => it.status)",
    );
    assert_eq!(status, 403);
    browser.open(&demo.address("/operations"));
    assert_eq!(browser.text("location.pathname"), "/operations", "the session goes on");
}
