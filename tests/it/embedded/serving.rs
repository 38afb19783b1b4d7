//! The API of a hub that runs, by every route, role and state of a token; what it shows against what the feeds hold.

mod canaries;
mod credentials;
mod encrypted;
mod expected;
mod limits;
mod login;
mod operations;
mod own_types;
mod pages;
mod planted;
mod reviewing;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use insight_hub::serve::http::rolled_metrics;
use serde_json::{Value, json};

use super::identity::{DAY_MS, House, event};
use crate::harness::{
    http::{Answer, ask},
    kafka::free_port,
};

const WITHIN: Duration = Duration::from_secs(60);
const ROLES: [&str; 6] = ["read:metrics", "read:customers", "review", "erase", "operate", "ingest:shop"];

/// A hub with an API.
struct Desk {
    house: House,
    port: u16,
}

impl Desk {
    fn open(name: &str, more: &[&str]) -> Desk {
        Desk::on(name, None, more)
    }

    /// The same on a data directory that is there already.
    fn on(name: &str, data: Option<&Path>, more: &[&str]) -> Desk {
        let port = free_port();
        let listen = format!("serve.listen=127.0.0.1:{port}");
        let settings: Vec<&str> = std::iter::once(listen.as_str()).chain(more.iter().copied()).collect();
        Desk { house: House::on(name, data, &settings), port }
    }

    fn try_ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        ask(self.port, method, path, headers)
    }

    #[track_caller]
    fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_ask("GET", path, headers).unwrap_or_else(|| panic!("no answer to {path}"))
    }

    /// Asks until the answer is as it should be.
    #[track_caller]
    fn becomes(&self, path: &str, headers: &[(&str, &str)], is_right: &dyn Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + WITHIN;
        loop {
            let answer = self.try_ask("GET", path, headers);
            if let Some(answer) = answer.filter(is_right) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} does not become what it should");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks until so many values are what the feed of metrics holds of them: how sure a window is may still change.
    #[track_caller]
    fn settled(&self, path: &str, count: usize, is_shown: &dyn Fn(&&Value) -> bool) -> Answer {
        let deadline = Instant::now() + WITHIN;
        loop {
            let is_whole = |answer: &Answer| answer.status == 200 && answer.items().len() == count;
            let answer = self.becomes(path, &[], &is_whole);
            let held: Vec<Value> = self.feed("metrics").iter().filter(is_shown).cloned().collect();
            if sorted(answer.items()) == sorted(held.clone()) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path}: {:?}\nis not {held:?}", answer.items());
        }
    }

    /// A token with a role, as a header's value, and its id.
    fn token(&self, role: &str, more: &[&str]) -> (String, String) {
        let arguments = [&["token", "create", "test", "--role", role, "-o", "json"], more].concat();
        let made: Value = serde_json::from_str(&self.house.succeed(&arguments)).unwrap();
        (format!("Bearer {}", made["token"].as_str().unwrap()), made["id"].as_str().unwrap().to_owned())
    }

    /// The newest value of each key of a feed, without the view.
    fn feed(&self, feed: &str) -> Vec<Value> {
        let lines = self.house.succeed(&["export", feed, "-o", "jsonl"]);
        lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|line| line["value"].clone())
            .collect()
    }
}

fn orders(days: std::ops::Range<i64>) -> Vec<Value> {
    days.map(|day| {
        let mut order =
            event(&format!("o-{day}"), day, "order_placed", json!({ "email": format!("ann{}@example.org", day % 5) }));
        order["amount"] = json!({ "minor": 1_000 + day, "currency": "EUR" });
        // What a customer wrote, on its way into a spreadsheet.
        order["region"] = json!(if day % 2 == 0 { "north" } else { "=HYPERLINK(\"http://x\")" });
        order
    })
    .collect()
}

fn sorted(mut values: Vec<Value>) -> Vec<String> {
    values.sort_by_key(Value::to_string);
    values.iter().map(Value::to_string).collect()
}

#[test]
fn what_the_api_shows_is_what_the_feeds_hold_before_and_after_a_crash() {
    let mut desk = Desk::open("serving", &["serve.requests_per_second=100000"]);
    desk.house.append(DAY_MS, &orders(1..21));
    let orders_path = "/api/v1/metrics/orders/series?window=day&from=2026-02-01";
    // Nobody has made a token: this machine may read metrics.
    let of_orders = |value: &&Value| {
        value["metric"] == "orders" && value["window"]["kind"] == "day" && value["dimension"] == "company"
    };
    let seen = desk.settled(orders_path, 20, &of_orders);
    let days: Vec<&str> = Vec::from_iter(seen.items().leak().iter().map(|it| it["window"]["start"].as_str().unwrap()));
    assert!(days.is_sorted(), "{days:?}");

    // Page by page, with or without cursors in the body, the same.
    let paged = |path: &str, limit: usize| {
        let (mut items, mut next, mut pages) = (Vec::new(), format!("{path}&limit={limit}"), 0);
        loop {
            let page = desk.ask(&next, &[]);
            items.extend(page.items());
            pages += 1;
            let Some(cursor) = page.json()["next"].as_str().map(str::to_owned) else { return (items, pages) };
            let link = page.headers["link"].clone();
            assert!(link.contains(&cursor) && link.ends_with("rel=\"next\""), "{link}");
            next = link[1..].split_once('>').unwrap().0.to_owned();
        }
    };
    assert_eq!(paged(orders_path, 7), (seen.items(), 3));
    assert_eq!(paged("/api/v1/metrics/revenue/series?window=day&dimension=region", 6).0.len(), 20);
    let definitions = paged("/api/v1/metrics?", 10).0;
    let rolled: BTreeSet<String> = rolled_metrics().map(str::to_owned).collect();
    let ids: BTreeSet<String> = definitions.iter().map(|it| it["metric"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, rolled, "for each metric it is decided how its windows add up");

    // Cursors of another question.
    let cursor = desk.ask(&format!("{orders_path}&limit=7"), &[]).json()["next"].as_str().unwrap().to_owned();
    let other = desk.ask(&format!("/api/v1/metrics/orders/series?window=week&cursor={cursor}"), &[]);
    assert_eq!((other.status, other.problem().as_str()), (400, "invalid-cursor"));

    // Rolled up from what the days say.
    let rolled = desk.ask("/api/v1/metrics/revenue/roll-up?window=day&currency=EUR", &[]).json();
    assert_eq!(rolled["numerator"], json!((1..21).map(|day| 1_000 + day).sum::<i64>()));
    assert_eq!((&rolled["windows"], &rolled["n"]), (&json!(20), &json!(20)));
    let mean = desk.ask("/api/v1/metrics/average_order_value/roll-up?window=day&currency=EUR", &[]).json();
    assert_eq!(mean["value"], json!(1_010.5), "{mean}");
    let reach = desk.ask("/api/v1/metrics/reach/roll-up?window=day", &[]);
    assert_eq!((reach.status, reach.problem().as_str()), (422, "not-additive"));

    // A table that is data and nothing else.
    let table = desk.ask("/api/v1/metrics/orders/series?window=day&dimension=region&format=csv", &[]);
    assert!(table.headers["content-type"].starts_with("text/csv"), "{:?}", table.headers);
    let header = table.body.lines().next().unwrap();
    assert!(
        header.starts_with("metric,unit,window.kind,window.start,window.end,dimension,dimension_value"),
        "{header}"
    );
    assert!(table.body.contains("\"'=HYPERLINK(") && !table.body.contains(",\"=HYPERLINK("), "{}", table.body);
    let accepted = desk.ask("/api/v1/metrics/orders/series?window=day&dimension=region", &[("accept", "text/csv")]);
    assert_eq!(accepted.body, table.body);

    // What has not changed is not sent again.
    let tag = seen.headers["etag"].clone();
    let same = desk.ask(orders_path, &[("if-none-match", &format!("\"x\", {tag}"))]);
    assert_eq!((same.status, same.body.as_str()), (304, ""));
    let head = |known: &str| desk.try_ask("HEAD", orders_path, &[("if-none-match", known)]).unwrap();
    assert_eq!((head("\"x\"").status, head("\"x\"").headers["etag"].as_str()), (200, tag.as_str()), "HEAD as GET");
    assert_eq!((head(&tag).status, head("\"x\"").body.as_str()), (304, ""));

    // Killed in the middle, started again, fed again: what was there is there, and what is new comes.
    desk.house.restart();
    desk.house.append(DAY_MS, &orders(21..25));
    desk.settled(orders_path, 24, &of_orders);
    assert!(desk.ask(orders_path, &[("if-none-match", &tag)]).status == 200, "it has changed");
    let health = desk.house.ready();
    assert_eq!(health["view"], json!({"status": "current", "behind_records": 0}), "{health}");
}

/// A stream of events that is being read.
struct Stream {
    stream: TcpStream,
    text: String,
    /// Bytes of the text that are behind us.
    read: usize,
}

impl Stream {
    /// The head of the answer, and the stream behind it.
    fn open(port: u16, path: &str, headers: &[(&str, &str)]) -> (u16, Stream) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n");
        headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
        stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
        let mut stream = Stream { stream, text: String::new(), read: 0 };
        let began = Instant::now();
        while !stream.text.contains("\r\n\r\n") {
            assert!(began.elapsed() < WITHIN, "no answer to {path}");
            stream.fill();
        }
        stream.read = stream.text.find("\r\n\r\n").unwrap() + 4;
        (stream.text.split(' ').nth(1).unwrap().parse().unwrap(), stream)
    }

    /// Whether it goes on.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16_384];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.text.push_str(std::str::from_utf8(&bytes[..count]).expect("ASCII in this test"));
                true
            }
            Err(_) => true,
        }
    }

    /// The events at hand: id and data. Each is sent as one chunk, so that no chunk's length is within.
    fn events(&mut self) -> Vec<(String, Value)> {
        self.fill();
        let mut events = Vec::new();
        while let Some(end) = self.text[self.read..].find("\n\n") {
            let event = &self.text[self.read..self.read + end];
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                events.push((id.to_owned(), serde_json::from_str(data).unwrap()));
            }
            self.read += end + 2;
        }
        events
    }

    /// Takes events over until a feed is as it should be; the id of the last one.
    #[track_caller]
    fn until(
        &mut self,
        kept: &mut BTreeMap<String, Value>,
        expected: &dyn Fn() -> BTreeMap<String, Value>,
    ) -> Option<String> {
        let (began, mut last) = (Instant::now(), None);
        // Asked for again each time: how sure a window is may still change.
        while *kept != expected() {
            assert!(began.elapsed() < WITHIN, "what came, {} keys, is not what the feed holds", kept.len());
            for (id, data) in self.events() {
                let key = data["key"].as_str().unwrap().to_owned();
                match &data["value"] {
                    Value::Null => drop(kept.remove(&key)),
                    value => drop(kept.insert(key, value.clone())),
                }
                last = Some(id);
            }
        }
        last
    }
}

#[test]
fn a_stream_has_every_record_once_and_goes_on_where_it_was_after_a_crash() {
    let mut desk = Desk::open("streams", &["serve.requests_per_second=100000"]);
    let port = desk.port;
    desk.house.append(DAY_MS, &orders(1..11));
    let (metrics, _) = desk.token("read:metrics", &[]);
    let (customers, actor) = desk.token("read:customers", &[]);
    let (to_revoke, id_to_revoke) = desk.token("read:metrics", &[]);
    let by = [("authorization", metrics.as_str())];
    let path = "/api/v1/metrics/orders/series?window=day";
    desk.becomes(path, &by, &|answer| answer.status == 200 && answer.items().len() == 10);
    let keyed = |desk: &Desk, feed: &str| -> BTreeMap<String, Value> {
        let lines = desk.house.succeed(&["export", feed, "-o", "jsonl"]);
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| (line["key"].as_str().unwrap().to_owned(), line["value"].clone())).collect()
    };
    let beginning = "/api/v1/feeds/metrics/events?from=beginning";
    let now = "/api/v1/feeds/metrics/events";
    let (status, mut whole) = Stream::open(port, beginning, &by);
    assert_eq!(status, 200);
    let mut kept = BTreeMap::new();
    let last = whole.until(&mut kept, &|| keyed(&desk, "metrics")).expect("there are events");

    // Nothing of what was had comes again, and what comes now comes to both.
    let (_, mut live) = Stream::open(port, now, &by);
    let (_, mut resumed) = Stream::open(port, now, &[by[0], ("last-event-id", &last)]);
    assert!(resumed.events().len() < 5, "what was had does not come again");
    desk.house.append(DAY_MS, &orders(11..13));
    desk.becomes(path, &by, &|answer| answer.status == 200 && answer.items().len() == 12);
    let expected = || keyed(&desk, "metrics");
    let (mut of_live, mut of_resumed) = (kept.clone(), kept.clone());
    live.until(&mut of_live, &expected);
    let last = resumed.until(&mut of_resumed, &expected).expect("there are events");

    // A crash in between: what was missed is read up.
    desk.house.restart();
    desk.house.append(DAY_MS, &orders(13..16));
    desk.becomes(path, &by, &|answer| answer.status == 200 && answer.items().len() == 15);
    let (_, mut after) = Stream::open(port, now, &[by[0], ("last-event-id", &last)]);
    let missing = || -> BTreeMap<String, Value> {
        keyed(&desk, "metrics").into_iter().filter(|(key, value)| of_resumed.get(key) != Some(value)).collect()
    };
    let mut came = BTreeMap::new();
    after.until(&mut came, &missing);
    assert!(!came.is_empty() && came.len() < keyed(&desk, "metrics").len(), "{} came", came.len());

    // Who may not, and what is no id.
    for (feed, token, status) in [
        ("metrics", &customers, 403),
        ("customers", &metrics, 403),
        ("touchpoints", &metrics, 403),
        ("identities", &metrics, 403),
        ("identity-journal", &metrics, 403),
        ("alerts", &metrics, 403),
        ("rejected", &metrics, 403),
        ("audit", &metrics, 403),
        ("nothing", &metrics, 404),
    ] {
        let answer = desk.ask(&format!("/api/v1/feeds/{feed}/events"), &[("authorization", token)]);
        assert_eq!(answer.status, status, "{feed}");
    }
    let wrong = desk.ask(now, &[by[0], ("last-event-id", "yesterday")]);
    assert_eq!((wrong.status, wrong.problem().as_str()), (400, "invalid-cursor"));
    let (status, mut persons) =
        Stream::open(port, "/api/v1/feeds/customers/events?from=beginning", &[("authorization", &customers)]);
    assert_eq!(status, 200);
    persons.until(&mut BTreeMap::new(), &|| keyed(&desk, "customers"));
    let audit = desk.feed("audit");
    assert!(audit.iter().any(|it| it["operation"] == "watch_feed" && it["actor"] == actor.as_str()), "{audit:?}");

    // A token that ends takes its streams with it.
    let (_, mut ended) = Stream::open(port, now, &[("authorization", &to_revoke)]);
    desk.house.succeed(&["token", "revoke", &id_to_revoke]);
    let began = Instant::now();
    // In chunks, a stream that ends says so by an empty one.
    while ended.fill() && !ended.text.ends_with("\r\n0\r\n\r\n") {
        assert!(began.elapsed() < WITHIN, "the stream goes on");
    }
}

/// What the customer wrote, and nobody sees without the role.
const CANARY: &str = "ann.canary@example.org";

fn story() -> Vec<Value> {
    vec![
        event("1", 1, "page_viewed", json!({ "cookie": "c-1" })),
        event("2", 2, "order_placed", json!({ "email": CANARY, "cookie": "c-1" })),
        event("3", 3, "order_placed", json!({ "email": CANARY, "order": "O-1" })),
        event("4", 4, "order_delivered", json!({ "order": "O-1" })),
        event("5", 5, "juggled", json!({ "email": CANARY })),
        event("6", 6, "page_viewed", json!({ "email": "bob@example.org" })),
    ]
}

#[test]
fn a_customer_is_one_by_each_identifier_and_every_access_is_noted_before_it_is_answered() {
    let mut desk = Desk::open("customers", &["serve.requests_per_second=100000"]);
    desk.house.append(DAY_MS, &story());
    let (customers, actor) = desk.token("read:customers", &[]);
    let by = [("authorization", customers.as_str())];
    let is_whole = |answer: &Answer| answer.status == 200 && answer.json()["touchpoints"] == 4;
    let ann = desk.becomes(&format!("/api/v1/customers/email:{CANARY}"), &by, &is_whole).json();
    let person = ann["person"].as_str().unwrap().to_owned();
    let mut as_fed = ann.clone();
    let expected = as_fed.as_object_mut().unwrap().remove("expected").expect("what is expected of her");
    assert_eq!(expected, Value::Null, "nobody has bought often enough for that");
    assert!(desk.feed("customers").contains(&as_fed), "as the feed has her");
    for wrong in ["0", "3651", "soon", "-1"] {
        let answer = desk.ask(&format!("/api/v1/customers/{person}?horizon_days={wrong}"), &by);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-parameter"), "{wrong}");
    }
    for name in [person.as_str(), "cookie:c-1", "order:O-1", "email:Ann.Canary@EXAMPLE.org"] {
        assert_eq!(desk.ask(&format!("/api/v1/customers/{name}"), &by).json(), ann, "{name}");
    }
    // The cookie was a person of its own for a moment: its id still leads to her.
    let cookie = desk.house.succeed(&["identity", "show", "cookie:c-1", "-o", "json"]);
    assert!(cookie.contains(&person), "{cookie}");
    for (name, status) in [("email:nobody@example.org", 404), (&"0".repeat(32), 404), ("nonsense", 400), ("x:y", 400)] {
        let answer = desk.ask(&format!("/api/v1/customers/{name}"), &by);
        assert_eq!(answer.status, status, "{name}");
        assert!(!answer.body.contains("nobody@"), "an error says nothing of whom was asked for: {}", answer.body);
    }
    let timeline =
        desk.becomes("/api/v1/customers/cookie:c-1/timeline?limit=3", &by, &|answer| answer.items().len() == 3);
    let ids: Vec<Value> = timeline.items().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, ["4", "3", "2"], "the newest first");
    let next = timeline.json()["next"].as_str().unwrap().to_owned();
    let rest = desk.ask(&format!("/api/v1/customers/cookie:c-1/timeline?limit=3&cursor={next}"), &by);
    assert_eq!((rest.items()[0]["id"].clone(), rest.items().len()), (json!("1"), 1));
    let why = desk.ask("/api/v1/customers/order:O-1/identity", &by).json();
    let total = why["person"]["identifiers"].as_array().unwrap().len();
    assert_eq!((total, why["identifiers"].as_array().unwrap().len()), (3, 3), "{why}");
    let linked = why["changes"].as_array().unwrap().iter().filter(|change| change["change"] == "linked").count();
    assert_eq!(linked, 2, "{why}");

    // Dead letters: what the department sent is for whoever may see customers.
    let (operate, operator) = desk.token("operate", &[]);
    let masked =
        desk.becomes("/api/v1/dead-letters", &[("authorization", &operate)], &|answer| answer.items().len() == 1);
    assert!(!masked.body.contains("canary") && masked.items()[0]["reason"] == "unknown_kind", "{}", masked.body);
    let whole = desk.ask("/api/v1/dead-letters?spoke=shop", &by).items();
    assert!(whole[0]["value"].as_str().unwrap().contains(CANARY), "{whole:?}");
    assert!(desk.ask("/api/v1/dead-letters?spoke=other", &by).items().is_empty());
    let position = whole[0]["position"].as_str().unwrap().replace('|', "%7C");
    let one = desk.ask(&format!("/api/v1/dead-letters/{position}"), &[("authorization", &operate)]).json();
    assert_eq!((&one["value"], &one["key"]), (&Value::Null, &Value::Null));
    let table = desk.ask("/api/v1/dead-letters?format=csv", &[("authorization", &operate)]);
    assert!(!table.body.contains("canary"), "{}", table.body);
    assert!(desk.ask("/api/v1/alerts?state=open", &by).status == 200);

    // Each access of the one who saw her, none of the one who did not; and nothing of what was seen.
    let audit = desk.feed("audit");
    assert!(audit.iter().all(|entry| entry["actor"] == actor.as_str()), "{operator} saw nothing personal: {audit:?}");
    let count = |operation: &str, person: Value| {
        audit.iter().filter(|entry| entry["operation"] == operation && entry["person"] == person).count()
    };
    assert!(count("get_customer", json!(person)) >= 5, "{audit:?}");
    assert!(count("get_customer", Value::Null) >= 2, "who looked for nobody looked");
    assert!(count("get_customer_timeline", json!(person)) >= 2);
    assert_eq!(count("get_customer_identity", json!(person)), 1);
    assert_eq!((count("list_dead_letters", Value::Null), count("list_alerts", Value::Null)), (2, 1));
    let text = json!(audit).to_string();
    assert!(!text.contains("canary") && !text.contains("c-1"), "{text}");

    // Erased, she is gone here too.
    desk.house.succeed(&["erase", &format!("email:{CANARY}"), "--yes"]);
    desk.becomes(&format!("/api/v1/customers/email:{CANARY}"), &by, &|answer| answer.status == 404);
    desk.becomes(&format!("/api/v1/customers/{person}/timeline"), &by, &|answer| {
        answer.status == 404 || answer.items().is_empty()
    });
}

#[test]
fn a_hub_that_publishes_hashes_still_finds_its_customers_and_shows_nobody_in_clear() {
    let mut desk = Desk::open("hashed-api", &["serve.requests_per_second=100000", "identity.publish=hashed"]);
    desk.house.append(DAY_MS, &story());
    let (customers, _) = desk.token("read:customers", &[]);
    let by = [("authorization", customers.as_str())];
    let is_whole = |answer: &Answer| answer.status == 200 && answer.json()["touchpoints"] == 4;
    let ann = desk.becomes(&format!("/api/v1/customers/email:{CANARY}"), &by, &is_whole);
    let person = ann.json()["person"].as_str().unwrap().to_owned();
    for path in [format!("/api/v1/customers/{person}/timeline"), format!("/api/v1/customers/{person}/identity")] {
        let answer = desk.becomes(&path, &by, &|answer| answer.status == 200);
        assert!(!answer.body.contains("canary") && !answer.body.contains("c-1"), "{}", answer.body);
    }
    assert!(!ann.body.contains("canary"), "{}", ann.body);
}

#[test]
fn whoever_asks_too_much_is_told_when_to_come_again() {
    let desk = Desk::open("rate", &["serve.requests_per_second=5"]);
    desk.becomes("/api/v1/metrics", &[], &|answer| answer.status == 200);
    let (one, _) = desk.token("read:metrics", &[]);
    let (other, _) = desk.token("read:metrics", &[]);
    let answers: Vec<Answer> =
        (0..60).map(|_| desk.ask("/api/v1/metrics", &[("authorization", one.as_str())])).collect();
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(answers[..10].iter().all(|answer| answer.status == 200), "twice as many at once");
    assert!(!refused.is_empty() && refused.len() < 51, "{} of 60 are refused", refused.len());
    for answer in refused {
        assert_eq!((answer.problem().as_str(), answer.headers["retry-after"].as_str()), ("too-many-requests", "1"));
    }
    assert_eq!(
        desk.ask("/api/v1/metrics", &[("authorization", other.as_str())]).status,
        200,
        "it holds up nobody else"
    );
}

#[test]
fn an_address_for_other_machines_needs_a_token_first() {
    let port = free_port();
    let (command, _) = super::process::command("open", None, &[&format!("serve.listen=0.0.0.0:{port}")]);
    let (status, _, errors) = command.args(["run"]).run(WITHIN);
    assert_eq!(status.code(), Some(2), "{errors}");
    assert!(errors.contains("there is no token") && errors.contains("insight-hub token create"), "{errors}");
}
