//! Decisions, erasures and access requests over HTTP: what they do is what the commands do, and each is on `insight.audit`.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::identity::{DAY_MS, House, event};
use crate::harness::{
    http::{Answer, ask, send},
    kafka::free_port,
};

const WITHIN: Duration = Duration::from_secs(60);
/// `printf %s mine | sha256sum`, and of `again`: how the audit tells ids that somebody gave.
const MINE: &str = "given-3fd30542fe3f61b14bd4a4b2dc0b6fb3";
const AGAIN: &str = "given-b4c9e14061c2fd453b36700e3b0da008";
const ANN: &str = "ann.canary@example.org";

struct Desk {
    house: House,
    port: u16,
}

impl Desk {
    fn open(name: &str) -> Desk {
        let port = free_port();
        let listen = format!("serve.listen=127.0.0.1:{port}");
        let more = ["serve.requests_per_second=100000", "time.idle_partition_seconds=1"];
        Desk { house: House::with(name, &[&[listen.as_str()], &more[..]].concat()), port }
    }

    /// A token with a role, as a header's value, and its id.
    fn token(&self, role: &str) -> (String, String) {
        let made = self.house.succeed(&["token", "create", "test", "--role", role, "-o", "json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        (format!("Bearer {}", made["token"].as_str().unwrap()), made["id"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    fn post(&self, path: &str, token: &str, document: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        send(self.port, "POST", path, &headers, document.to_string().as_bytes()).expect("an answer")
    }

    /// Hands a decision over; the id of its command.
    #[track_caller]
    fn decide(&self, token: &str, document: &Value) -> String {
        let answer = self.post("/api/v1/identity/decisions", token, document);
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.json()["command"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn becomes(&self, path: &str, token: &str, is_right: &dyn Fn(&Answer) -> bool) -> Answer {
        let began = Instant::now();
        loop {
            let answer = ask(self.port, "GET", path, &[("authorization", token)]);
            if let Some(answer) = answer.filter(is_right) {
                return answer;
            }
            assert!(began.elapsed() < WITHIN, "{path} does not become what it should");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn audit(&self) -> Vec<Value> {
        let lines = self.house.succeed(&["export", "audit", "-o", "jsonl"]);
        let mut entries: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["value"].clone()).collect();
        entries.sort_by_key(|entry| entry["at"].to_string());
        entries
    }
}

fn story() -> Vec<Value> {
    vec![
        event("1", 1, "page_viewed", json!({ "cookie": "c-1" })),
        event("2", 2, "order_placed", json!({ "email": ANN, "cookie": "c-1" })),
        event("3", 3, "case_opened", json!({ "email": ANN, "case": "T-1" })),
        event("4", 4, "page_viewed", json!({ "email": "bob@example.org" })),
        event("5", 29, "page_viewed", json!({ "email": ANN })),
        event("6", 30, "page_viewed", json!({ "email": "bob@example.org" })),
    ]
}

#[test]
fn a_reviewer_decides_and_takes_back_as_at_the_command_line() {
    let mut desk = Desk::open("deciding");
    desk.house.append(DAY_MS, &story());
    let (review, actor) = desk.token("review");
    let ann = format!("email:{ANN}");
    let total = |shown: Option<&Value>| shown.map(|it| it["identifiers_total"].as_u64().unwrap());
    desk.house.becomes(&ann, &|shown| total(shown) == Some(3));
    desk.becomes("/api/v1/identity/conflicts", &review, &|answer| answer.status == 200);

    let link = json!({ "decision": "link", "identifiers": [ann, "email: Bob@Example.org"], "id": "mine" });
    assert_eq!(desk.decide(&review, &link), "mine");
    desk.house.becomes(&ann, &|shown| total(shown) == Some(4));
    let undo = desk.decide(&review, &json!({ "decision": "undo", "command": "mine" }));
    desk.house.becomes(&ann, &|shown| total(shown) == Some(3));
    // Sent again by its id it has no effect; an undo is undone.
    desk.decide(&review, &link);
    let undone = desk.decide(&review, &json!({ "decision": "undo", "command": undo }));
    desk.house.becomes(&ann, &|shown| total(shown) == Some(4));
    desk.decide(&review, &json!({ "decision": "undo", "command": "mine", "id": "again" }));
    desk.house.becomes(&ann, &|shown| total(shown) == Some(3));
    let split = desk.decide(&review, &json!({ "decision": "split", "identifiers": ["cookie:c-1"], "from": [ann] }));
    desk.house.becomes(&ann, &|shown| total(shown) == Some(2));

    for (wrong, word) in [
        (json!({ "decision": "link", "identifiers": [ann] }), "invalid-body"),
        (json!({ "decision": "link", "identifiers": [ann, ANN] }), "invalid-body"),
        (json!({ "decision": "marry", "identifiers": [ann, "cookie:c-1"] }), "invalid-body"),
        (json!({ "decision": "link", "identifiers": [ann, "cookie:c-1"], "because": ANN }), "invalid-body"),
        (json!({ "decision": "split", "identifiers": [ann], "from": [ann] }), "invalid-body"),
        (json!({ "decision": "undo", "command": "" }), "invalid-body"),
        (json!([]), "invalid-body"),
    ] {
        let answer = desk.post("/api/v1/identity/decisions", &review, &wrong);
        assert_eq!((answer.status, answer.problem().as_str()), (400, word), "{wrong}");
        assert!(!answer.body.contains("canary"), "an error quotes nobody: {}", answer.body);
    }

    // What was seen of an alert.
    let (reader, _) = desk.token("read:customers");
    let alerts = desk.becomes("/api/v1/alerts?cause=case_unanswered", &reader, &|answer| {
        answer.status == 200 && answer.items().len() == 1
    });
    let listed =
        |query: &str| desk.becomes(&format!("/api/v1/alerts?{query}"), &reader, &|it| it.status == 200).items();
    for query in ["about=person", "about=person&cause=case_unanswered", "about=person&state=open"] {
        assert_eq!(listed(query), alerts.items(), "{query}");
    }
    for query in ["about=metric", "about=metric&order=newest", "about=metric&cause=case_unanswered"] {
        assert!(listed(query).is_empty(), "{query}");
    }
    let id = alerts.items()[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/alerts/{id}/acknowledgement");
    assert_eq!(desk.post(&path, &review, &json!({ "by": "a\nb" })).status, 400);
    let answer = desk.post(&path, &review, &json!({ "by": "mo" }));
    assert_eq!(answer.status, 202, "{}", answer.body);
    let acknowledged = answer.json()["command"].as_str().unwrap().to_owned();
    desk.becomes("/api/v1/alerts?state=acknowledged", &reader, &|answer| {
        answer.status == 200 && answer.items().first().is_some_and(|alert| alert["acknowledged_by"] == "mo")
    });

    let audit = desk.audit();
    let of = |operation: &str| {
        let found = audit.iter().filter(|it| it["operation"] == operation && it["actor"] == actor.as_str());
        let said = found.map(|it| {
            let command = it["command"].as_str().expect("which decision it was");
            (it["action"].as_str().unwrap(), it["records"].as_i64().unwrap(), command)
        });
        said.collect::<Vec<_>>()
    };
    assert_eq!(
        of("decide_identity"),
        [(2, MINE), (0, &undo), (2, MINE), (0, &undone), (0, AGAIN), (2, &split)]
            .map(|(names, command)| ("decide", names, command)),
        "what is wrong is no decision"
    );
    assert_eq!(of("acknowledge_alert"), [("decide", 1, acknowledged.as_str())]);
    let mut reads = audit.iter().filter(|it| it["action"] == "read").peekable();
    assert!(reads.peek().is_some() && reads.all(|it| it["command"].is_null()), "{audit:?}");
    assert!(!json!(audit).to_string().contains("canary"), "{audit:?}");
}

#[test]
fn somebody_takes_a_priority_on_and_every_month_says_so() {
    let mut desk = Desk::open("priorities");
    let order = |customer: i64, day: i64| {
        let who = json!({ "customer_id": format!("C{customer}") });
        let mut order = event(&format!("o{customer}-{day}"), day, "order_placed", who);
        order["amount"] = json!({ "minor": 1_000, "currency": "EUR" });
        order
    };
    let complaint = |customer: i64| {
        let who = json!({ "customer_id": format!("C{customer}") });
        let mut complaint = event(&format!("c{customer}"), 4, "complaint_made", who);
        complaint["subject"] = json!("delivery");
        complaint
    };
    // In February all buy, and half complain; in March the others buy again. A month is told of when the month after is over.
    let mut events: Vec<Value> = (0..80).map(|customer| order(customer, 2)).collect();
    events.extend((0..40).map(complaint));
    events.extend((40..80).map(|customer| order(customer, 15)));
    events.push(event("v", 60, "page_viewed", json!({ "customer_id": "C1" })));
    desk.house.append(DAY_MS + 70 * 86_400_000, &events);
    let (review, _) = desk.token("review");
    let (reader, _) = desk.token("read:metrics");
    let priorities = |answer: &Answer| -> Vec<Value> {
        let months = if answer.status == 200 { answer.items() } else { Vec::new() };
        months.iter().flat_map(|month| month["priorities"].as_array().unwrap().clone()).collect()
    };
    let found = desk.becomes("/api/v1/priorities", &reader, &|answer| !priorities(answer).is_empty());
    let id = priorities(&found)[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/priorities/{}/acknowledgement", id.to_uppercase());
    let answer = desk.post(&path, &review, &json!({ "by": "mo" }));
    assert_eq!(answer.status, 202, "{}", answer.body);
    let command = answer.json()["command"].clone();
    let is_it = |entry: &Value| entry["operation"] == "acknowledge_priority" && entry["command"] == command;
    assert!(desk.audit().iter().any(is_it), "{:?}", desk.audit());
    desk.becomes("/api/v1/priorities", &reader, &|answer| {
        priorities(answer).iter().any(|it| it["id"] == id.as_str() && it["acknowledged_by"] == "mo")
    });
}

#[test]
fn somebody_is_given_their_data_and_erased_and_both_are_noted() {
    let mut desk = Desk::open("erasing");
    desk.house.append(DAY_MS, &story());
    let (erase, actor) = desk.token("erase");
    let (other, _) = desk.token("erase");
    let ann = format!("email:{ANN}");
    desk.house.customer(&ann, 4);
    let dry = |desk: &Desk| desk.post("/api/v1/erasures", &erase, &json!({ "identifier": ann, "dry_run": true }));
    let began = Instant::now();
    // The view may be a moment behind.
    while dry(&desk).status != 200 || dry(&desk).json()["touchpoints"]["shop"] != 4 {
        assert!(began.elapsed() < WITHIN, "{}", dry(&desk).body);
        thread::sleep(Duration::from_millis(50));
    }
    let goes = dry(&desk).json();
    let shown = desk.house.succeed(&["erase", &ann, "--dry-run", "-o", "json"]);
    assert_eq!(goes, serde_json::from_str::<Value>(&shown).unwrap(), "as the command shows it");
    let person = goes["person"].as_str().unwrap().to_owned();

    // Everything that is kept, as the command gives it.
    let begun = desk.post("/api/v1/access-requests", &erase, &json!({ "identifier": ann }));
    assert_eq!(begun.status, 202, "{}", begun.body);
    let place = begun.headers["location"].clone();
    let is_done = |answer: &Answer| answer.status == 200 && answer.json()["status"] != "running";
    // How far it is may be looked at without that the data leaves, which is noted below once.
    let status = desk.becomes(&format!("{place}?document=false"), &erase, &is_done).json();
    assert_eq!((&status["status"], &status["document"]), (&json!("done"), &Value::Null), "{status}");
    let gathered = desk.becomes(&place, &erase, &is_done);
    assert_eq!(gathered.headers["cache-control"], "no-store");
    let exported: Value = serde_json::from_str(&desk.house.succeed(&["export-person", &ann])).unwrap();
    let contents = json!(
        ["touchpoints", "alerts", "journal", "rejected"]
            .map(|of| (of, exported[of].as_array().unwrap().len()))
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>()
    );
    assert_eq!(status["contents"], contents, "{status}");
    assert_eq!(gathered.json(), json!({ "status": "done", "document": exported, "contents": contents }));
    let elsewhere = ask(desk.port, "GET", &place, &[("authorization", other.as_str())]).unwrap();
    assert_eq!(elsewhere.status, 404, "it is for who asked");
    let nobody = desk.post("/api/v1/access-requests", &erase, &json!({ "identifier": "email:nobody@example.org" }));
    let nobody = desk.becomes(&nobody.headers["location"].clone(), &erase, &is_done);
    assert_eq!(nobody.json(), json!({ "status": "nobody", "document": null, "contents": null }));

    let answer = desk.post("/api/v1/erasures", &erase, &json!({ "identifier": ann }));
    assert_eq!(answer.status, 202, "{}", answer.body);
    let (place, command) = (answer.headers["location"].clone(), answer.json()["command"].clone());
    let erased = desk.becomes(&place, &erase, &|answer| answer.status == 200).json();
    let began = Instant::now();
    let confirmed: Value = loop {
        let (status, output, _) = desk.house.run(&["erase", &ann, "--confirm", "-o", "json"]);
        if status.success() {
            break serde_json::from_str(&output).unwrap();
        }
        assert!(began.elapsed() < WITHIN, "it is not confirmed: {output}");
    };
    for (of_api, of_command) in [
        ("erasure", "identifier"),
        ("erased_at", "erased_at"),
        ("erased_until", "erased_until"),
        ("command", "command"),
        ("bytes_gone_by", "bytes_gone_by"),
    ] {
        assert_eq!(erased[of_api], confirmed[of_command], "{erased} {confirmed}");
    }
    // Erased again, the confirmation of before is none of this one.
    let again = desk.post("/api/v1/erasures", &erase, &json!({ "identifier": ann }));
    assert_eq!(again.status, 202, "{}", again.body);
    let (place, again) = (again.headers["location"].clone(), again.json());
    assert_eq!(
        place,
        format!(
            "/api/v1/erasures/{}?ordered_at={}",
            erased["erasure"].as_str().unwrap(),
            again["ordered_at"].as_str().unwrap()
        )
    );
    let anew = desk.becomes(&place, &erase, &|answer| answer.status == 200).json();
    assert!(anew["command"].as_i64() > erased["command"].as_i64(), "{erased} {anew}");
    assert!(anew["erased_until"].as_str() >= again["ordered_at"].as_str(), "{again} {anew}");
    // So says the command.
    let of = |at: &str| desk.house.run(&["erase", &ann, "--confirm", "--ordered-at", at, "-o", "json"]);
    let (status, output, errors) = of(again["ordered_at"].as_str().unwrap());
    assert!(status.success(), "{errors}");
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap()["command"], anew["command"]);
    let (status, _, errors) = of("2199-01-01T00:00:00Z");
    assert!(status.code() == Some(1) && errors.contains("no erasure of it is confirmed"), "{errors}");
    let wrong = ask(desk.port, "GET", &format!("{place}x"), &[("authorization", &erase)]).unwrap();
    assert_eq!((wrong.status, wrong.problem().as_str()), (400, "invalid-parameter"));
    let unknown = ask(desk.port, "GET", &format!("/api/v1/erasures/{}", "0".repeat(32)), &[("authorization", &erase)]);
    assert_eq!(unknown.unwrap().status, 404);
    let wrong = ask(desk.port, "GET", "/api/v1/erasures/ann", &[("authorization", &erase)]).unwrap();
    assert_eq!((wrong.status, wrong.problem().as_str()), (400, "invalid-parameter"));
    let began = Instant::now();
    while dry(&desk).status != 404 {
        assert!(began.elapsed() < WITHIN, "she is still there");
        thread::sleep(Duration::from_millis(50));
    }
    for wrong in [json!({ "identifier": person }), json!({ "identifier": ANN }), json!({ "dry_run": true })] {
        let answer = desk.post("/api/v1/erasures", &erase, &wrong);
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-body"), "{wrong}");
        assert!(!answer.body.contains("canary"), "{}", answer.body);
    }

    let audit = desk.audit();
    let count = |action: &str, operation: &str, of: Value| {
        let is_it = |it: &&Value| it["action"] == action && it["operation"] == operation && it["person"] == of;
        audit.iter().filter(is_it).filter(|it| it["actor"] == actor.as_str()).count()
    };
    assert_eq!(count("erase", "erase_person", json!(person)), 1, "{audit:?}");
    let erasure = audit.iter().find(|it| it["action"] == "erase").expect("it is noted");
    assert_eq!((&erasure["command"], command.is_string()), (&command, true), "{erasure}");
    assert!(count("read", "erase_person", json!(person)) >= 2, "a dry run shows her");
    assert_eq!(count("read", "request_access", json!(person)), 1);
    assert_eq!(count("read", "get_access_request", json!(person)), 1);
    assert_eq!(count("read", "request_access", Value::Null), 1, "who asked for nobody asked");
    assert!(!json!(audit).to_string().contains("canary"), "{audit:?}");
}
